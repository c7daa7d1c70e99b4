//! The AWS SDK for Rust: default checksums, parts, pages, conditions, presigned URLs, and a lock of one object.
//!
//! The report is the one of harness.py: a line per check group; a comparison of ours that fails says "differs".

use std::error::Error;
use std::fmt::Debug;
use std::future::Future;
use std::process::{ExitCode, id};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Credentials, Region};
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier};
use aws_smithy_http_client::Builder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PART_BYTES: usize = 5 << 20;

type Checked<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// The bucket of this run, and who asks.
struct Run {
    client: Client,
    bucket: String,
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn same<T: PartialEq + Debug>(got: T, wanted: T, what: &str) -> Checked {
    if got == wanted { Ok(()) } else { Err(format!("{what} differs: {got:.120?}, wanted {wanted:.120?}").into()) }
}

/// Whether the call failed with this code.
fn refused<T, E, R>(answer: Result<T, SdkError<E, R>>, code: &str) -> Checked
where
    E: ProvideErrorMetadata + Error + 'static,
    R: Debug + 'static,
{
    match answer {
        Ok(_) => Err(format!("not refused with {code}").into()),
        Err(error) => same(error.code().unwrap_or_default(), code, "code"),
    }
}

/// Bytes of which no two pieces are alike.
fn bytes(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64 ^ len as u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

impl Run {
    fn new() -> Self {
        let credentials =
            Credentials::new(variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"), None, None, "compat");
        let config = aws_sdk_s3::Config::builder()
            .behavior_version_latest()
            .endpoint_url(variable("S3_ENDPOINT"))
            .region(Region::new(variable("AWS_DEFAULT_REGION")))
            .credentials_provider(credentials)
            .force_path_style(true)
            .http_client(Builder::new().build_http())
            .build();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { client: Client::from_conf(config), bucket: format!("compat-rust-{:x}-{:x}", id(), now.as_millis()) }
    }

    async fn put(&self, key: &str, body: &[u8]) -> Checked {
        let body = ByteStream::from(body.to_vec());
        self.client.put_object().bucket(&self.bucket).key(key).body(body).send().await?;
        Ok(())
    }

    async fn read(&self, key: &str) -> Checked<Vec<u8>> {
        let answer = self.client.get_object().bucket(&self.bucket).key(key).send().await?;
        Ok(answer.body.collect().await?.to_vec())
    }

    async fn holds(&self, key: &str, wanted: &[u8]) -> Checked {
        same(self.read(key).await? == wanted, true, "equality of bytes")
    }

    async fn create(&self) -> Checked {
        self.client.create_bucket().bucket(&self.bucket).send().await?;
        self.client.head_bucket().bucket(&self.bucket).send().await?;
        Ok(())
    }

    async fn objects(&self) -> Checked {
        let (key, data) = ("dir/a b+ü", bytes(100_000));
        let put = self.client.put_object().bucket(&self.bucket).key(key).body(ByteStream::from(data.clone()));
        put.content_type("text/x-a").metadata("kept", "yes").send().await?;
        let head = self.client.head_object().bucket(&self.bucket).key(key).send().await?;
        same(head.content_type(), Some("text/x-a"), "type")?;
        same(head.metadata().and_then(|all| all.get("kept")).map(String::as_str), Some("yes"), "metadata")?;
        same(head.content_length(), Some(100_000), "length")?;
        self.holds(key, &data).await?;
        let range = self.client.get_object().bucket(&self.bucket).key(key).range("bytes=10-19").send().await?;
        same(range.content_range(), Some("bytes 10-19/100000"), "range")?;
        same(range.body.collect().await?.to_vec(), data[10..20].to_vec(), "bytes of a range")?;
        let none = self.client.get_object().bucket(&self.bucket).key("none").send().await;
        refused(none, "NoSuchKey")?;
        let source = format!("{}/dir/a%20b%2B%C3%BC", self.bucket);
        self.client.copy_object().bucket(&self.bucket).key("copy").copy_source(source).send().await?;
        self.holds("copy", &data).await
    }

    async fn checksums(&self) -> Checked {
        let data = bytes(50_000);
        for algorithm in [
            ChecksumAlgorithm::Crc32,
            ChecksumAlgorithm::Crc32C,
            ChecksumAlgorithm::Crc64Nvme,
            ChecksumAlgorithm::Sha1,
            ChecksumAlgorithm::Sha256,
        ] {
            let key = format!("sums/{algorithm}");
            let put = self.client.put_object().bucket(&self.bucket).key(&key).checksum_algorithm(algorithm);
            put.body(ByteStream::from(data.clone())).send().await?;
            self.holds(&key, &data).await?;
        }
        let bad = self.client.put_object().bucket(&self.bucket).key("sums/bad").checksum_crc32("AAAAAA==");
        refused(bad.body(ByteStream::from(data)).send().await, "BadDigest")
    }

    async fn conditions(&self) -> Checked {
        let put = |body: &'static str| {
            self.client.put_object().bucket(&self.bucket).key("cond").body(ByteStream::from_static(body.as_bytes()))
        };
        let first = put("one").if_none_match("*").send().await?;
        let etag = first.e_tag().unwrap_or_default();
        refused(put("two").if_none_match("*").send().await, "PreconditionFailed")?;
        put("two").if_match(etag).send().await?;
        refused(put("three").if_match(etag).send().await, "PreconditionFailed")?;
        self.holds("cond", b"two").await
    }

    /// What programs do that agree on one of them: who makes the object has the lock.
    async fn lock(&self) -> Checked {
        let take = |owner: &'static str| {
            let put = self.client.put_object().bucket(&self.bucket).key("state.tflock").if_none_match("*");
            put.content_type("application/json").body(ByteStream::from_static(owner.as_bytes())).send()
        };
        take(r#"{"ID":"one"}"#).await?;
        refused(take(r#"{"ID":"two"}"#).await, "PreconditionFailed")?;
        self.holds("state.tflock", br#"{"ID":"one"}"#).await?;
        self.client.delete_object().bucket(&self.bucket).key("state.tflock").send().await?;
        let gone = self.client.get_object().bucket(&self.bucket).key("state.tflock").send().await;
        refused(gone, "NoSuchKey")?;
        take(r#"{"ID":"two"}"#).await?;
        self.holds("state.tflock", br#"{"ID":"two"}"#).await?;
        self.client.delete_object().bucket(&self.bucket).key("state.tflock").send().await?;
        Ok(())
    }

    async fn parts(&self) -> Checked {
        let (key, data) = ("large", bytes(2 * PART_BYTES + 1));
        let begun = self.client.create_multipart_upload().bucket(&self.bucket).key(key).send().await?;
        let id = begun.upload_id().unwrap_or_default();
        let mut list = CompletedMultipartUpload::builder();
        for (number, part) in (1..).zip(data.chunks(PART_BYTES)) {
            let call = self.client.upload_part().bucket(&self.bucket).key(key).upload_id(id).part_number(number);
            let sent = call.body(ByteStream::from(part.to_vec())).send().await?;
            let part = CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag);
            list = list.parts(part.set_checksum_crc32(sent.checksum_crc32).build());
        }
        let listed = self.client.list_parts().bucket(&self.bucket).key(key).upload_id(id).send().await?;
        same(listed.parts().len(), 3, "number of parts")?;
        let end = self.client.complete_multipart_upload().bucket(&self.bucket).key(key).upload_id(id);
        let done = end.multipart_upload(list.build()).send().await?;
        same(done.e_tag().is_some_and(|tag| tag.ends_with("-3\"")), true, "count of parts in the ETag")?;
        self.holds(key, &data).await?;
        let second = self.client.get_object().bucket(&self.bucket).key(key).part_number(2).send().await?;
        same(second.body.collect().await?.to_vec() == data[PART_BYTES..2 * PART_BYTES], true, "bytes of a part")?;
        let begun = self.client.create_multipart_upload().bucket(&self.bucket).key("given up").send().await?;
        let id = begun.upload_id().unwrap_or_default();
        self.client.abort_multipart_upload().bucket(&self.bucket).key("given up").upload_id(id).send().await?;
        let left = self.client.list_multipart_uploads().bucket(&self.bucket).send().await?;
        same(left.uploads().len(), 0, "number of uploads")
    }

    async fn keys(&self, prefix: &str) -> Checked<Vec<String>> {
        let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix).max_keys(7);
        let mut pages = list.into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            keys.extend(page?.contents().iter().filter_map(|object| object.key().map(str::to_owned)));
        }
        Ok(keys)
    }

    async fn listings(&self) -> Checked {
        let wanted: Vec<String> = (0..40).map(|n| format!("list/{n:03}")).collect();
        for key in &wanted {
            self.put(key, key.as_bytes()).await?;
        }
        same(self.keys("list/").await?, wanted, "listing")?;
        let list = self.client.list_objects_v2().bucket(&self.bucket).delimiter("/");
        let grouped = list.send().await?;
        let prefixes: Vec<&str> = grouped.common_prefixes().iter().filter_map(|one| one.prefix()).collect();
        same(prefixes, vec!["dir/", "list/", "sums/"], "common prefixes")
    }

    async fn presigned(&self) -> Checked {
        let soon = || PresigningConfig::expires_in(Duration::from_secs(60));
        let put = self.client.put_object().bucket(&self.bucket).key("signed").presigned(soon()?).await?;
        same(by_url(&put, b"by URL").await?.0, 200, "status of the PUT")?;
        let get = self.client.get_object().bucket(&self.bucket).key("signed").presigned(soon()?).await?;
        same(by_url(&get, b"").await?, (200, b"by URL".to_vec()), "answer to the GET")
    }

    async fn deletes(&self) -> Checked {
        let keys = self.keys("").await?;
        let objects: Result<Vec<_>, _> = keys.iter().map(|key| ObjectIdentifier::builder().key(key).build()).collect();
        let list = Delete::builder().set_objects(Some(objects?)).build()?;
        let done = self.client.delete_objects().bucket(&self.bucket).delete(list).send().await?;
        same((done.deleted().len(), done.errors().len()), (keys.len(), 0), "number of deleted")?;
        self.client.delete_bucket().bucket(&self.bucket).send().await?;
        Ok(())
    }
}

/// Sends a request that was signed before, as a program without the SDK does; the status and the body of its answer.
async fn by_url(request: &PresignedRequest, body: &[u8]) -> Checked<(u16, Vec<u8>)> {
    let rest = request.uri().strip_prefix("http://").ok_or("an address in the clear")?;
    let (host, path) = rest.split_once('/').ok_or("a path")?;
    let mut head = format!("{} /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n", request.method());
    for (name, value) in request.headers().filter(|(name, _)| !name.eq_ignore_ascii_case("host")) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() && !head.contains("content-length") {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    let mut socket = TcpStream::connect(host).await?;
    socket.write_all(format!("{head}\r\n").as_bytes()).await?;
    socket.write_all(body).await?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or("the head of an answer")? + 4;
    let status = String::from_utf8_lossy(&answer[..end]).split(' ').nth(1).unwrap_or_default().parse()?;
    Ok((status, answer.split_off(end)))
}

/// Runs one group of checks, and says how it went.
async fn group(what: &str, check: impl Future<Output = Checked>) -> u8 {
    match check.await {
        Ok(()) => {
            println!("PASS rust: {what}");
            0
        }
        Err(error) => {
            let why = format!("{}", DisplayErrorContext(&*error));
            let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
            println!("FAIL rust: {what}: {why:.400}");
            1
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let run = Run::new();
    let failed = group("create the bucket", run.create()).await
        + group("objects, ranges, copies", run.objects()).await
        + group("checksums", run.checksums()).await
        + group("conditional writes", run.conditions()).await
        + group("a lock of one object", run.lock()).await
        + group("upload in parts", run.parts()).await
        + group("pages of a listing", run.listings()).await
        + group("presigned PUT and GET", run.presigned()).await
        + group("delete everything and the bucket", run.deletes()).await;
    ExitCode::from(failed)
}
