//! One object of the most that a single PUT takes, onto the storages that cut it into pieces: up in one piece and in parts,
//! down, by ranges, and copied.
//!
//! **Invariant:** no body is held in memory, neither here nor by the server: it is made, hashed and compared as it passes.
//! What is read back is compared with what would be sent again, and not with anything that the server said.

use std::time::Instant;

use md5::{Digest as _, Md5};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::at_full_size;
use super::dice::report;
use crate::harness::backends::{self, Backend, fresh_name};
use crate::harness::sign::hex;
use crate::harness::{Client, Options, Payload, Server, Signed};
use crate::security::wire::last_head;

const BLOCK_BYTES: u64 = 64 << 10;
/// Whatever passes through, the server has less resident.
const MEMORY_BYTES_MAX: u64 = 200 << 20;

/// What is sent: in whole blocks, of which no two are alike.
fn body_bytes() -> u64 {
    if at_full_size() { 5 << 30 } else { 48 << 20 }
}

fn part_bytes() -> u64 {
    if at_full_size() { 128 << 20 } else { 8 << 20 }
}

/// A range that is read by itself: it begins and ends within blocks.
fn range_bytes() -> u64 {
    if at_full_size() { (256 << 20) - 12_345 } else { (5 << 20) - 12_345 }
}

/// The block at a place of the body; places are counted in blocks.
fn fill(block: &mut [u8], n: u64, seed: u8) {
    block.fill(seed ^ n.to_le_bytes()[0]);
    block[..8].copy_from_slice(&n.to_be_bytes());
}

/// The MD5 of the bytes from `from` to `to` of the body.
fn md5_of(seed: u8, from: u64, to: u64) -> String {
    let mut block = vec![0; usize::try_from(BLOCK_BYTES).expect("small")];
    let mut md5 = Md5::new();
    let mut at = from;
    while at < to {
        let n = at / BLOCK_BYTES;
        fill(&mut block, n, seed);
        let end = to.min((n + 1) * BLOCK_BYTES);
        let within = |at: u64| usize::try_from(at - n * BLOCK_BYTES).expect("small");
        md5.update(&block[within(at)..within(end)]);
        at = end;
    }
    hex(&md5.finalize())
}

/// A server with a bucket on a storage.
struct Bench {
    server: Server,
    root: Client,
    bucket: String,
}

impl Bench {
    async fn on(backend: &Backend) -> Self {
        let more = format!("prefix = \"{}-\"\n", fresh_name("large"));
        let config = format!("{}[server]\ndefault_provider = \"cloud\"\n", backend.entry("cloud", &more));
        // At trace level the log of so many pieces would be a load of its own.
        let server = Server::with(Options::default().config(&config).env("LONGSHORE_LOG", "info"));
        let (root, bucket) = (server.root(), "large".to_owned());
        root.create_bucket(&bucket).await.expect(200);
        Self { server, root, bucket }
    }

    fn path(&self, key: &str) -> String {
        format!("/{}/{key}", self.bucket)
    }

    /// Sends the blocks from `from` to `to` as the body of a request, and returns the text of its answer.
    async fn send(&self, mut signed: Signed, seed: u8, from: u64, to: u64) -> String {
        signed.headers.push(("content-length".to_owned(), (to - from).to_string()));
        let mut socket = TcpStream::connect(self.server.s3).await.expect("a connection");
        socket.write_all(last_head(&signed).as_bytes()).await.expect("written");
        let mut block = vec![0; usize::try_from(BLOCK_BYTES).expect("small")];
        for n in from / BLOCK_BYTES..to / BLOCK_BYTES {
            fill(&mut block, n, seed);
            // A server that refuses what is sent says why.
            if socket.write_all(&block).await.is_err() {
                break;
            }
        }
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.expect("an answer");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 200"), "{} {}: {answer}", signed.method, signed.target);
        answer
    }

    /// Up in one request.
    async fn put(&self, key: &str, seed: u8) {
        let signed = self.root.call("PUT", &self.path(key)).payload(Payload::Unsigned).signed();
        let answer = self.send(signed, seed, 0, body_bytes()).await;
        let md5 = md5_of(seed, 0, body_bytes());
        assert!(answer.contains(&format!("\"{md5}\"")), "another MD5 than {md5}: {answer}");
    }

    /// Up in parts, two of them at the same time.
    async fn put_in_parts(&self, key: &str, seed: u8) {
        let path = self.path(key);
        let begun = self.root.call("POST", &path).query("uploads", "").send().await;
        let upload = begun.expect(200).elements("UploadId").remove(0);
        let parts: Vec<u64> = (0..body_bytes().div_ceil(part_bytes())).collect();
        let mut listed = String::new();
        for two in parts.chunks(2) {
            let sent = two.iter().map(|n| {
                let call = self.root.call("PUT", &path).query("uploadId", &upload).payload(Payload::Unsigned);
                let signed = call.query("partNumber", &(n + 1).to_string()).signed();
                self.send(signed, seed, n * part_bytes(), body_bytes().min((n + 1) * part_bytes()))
            });
            futures_util::future::join_all(sent).await;
            for n in two {
                let etag = md5_of(seed, n * part_bytes(), body_bytes().min((n + 1) * part_bytes()));
                listed.push_str(&format!("<Part><PartNumber>{}</PartNumber><ETag>{etag}</ETag></Part>", n + 1));
            }
        }
        let list = format!("<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>");
        let ended = self.root.call("POST", &path).query("uploadId", &upload).body(list).send().await.expect(200);
        assert!(ended.code().is_empty() && !ended.elements("ETag").is_empty(), "{}", ended.text());
    }

    /// The MD5 and the number of the bytes of an answer.
    async fn receive(&self, key: &str, range: Option<(u64, u64)>) -> (String, u64) {
        let path = self.path(key);
        let mut call = self.root.call("GET", &path);
        if let Some((from, to)) = range {
            call = call.header("range", &format!("bytes={from}-{}", to - 1));
        }
        let mut socket = TcpStream::connect(self.server.s3).await.expect("a connection");
        socket.write_all(last_head(&call.signed()).as_bytes()).await.expect("written");
        let mut block = vec![0; usize::try_from(4 * BLOCK_BYTES).expect("small")];
        let (mut head, mut md5, mut bytes) = (Vec::new(), Md5::new(), 0);
        loop {
            let read = socket.read(&mut block).await.expect("read");
            if read == 0 {
                break;
            }
            let mut data = &block[..read];
            if !head.ends_with(b"\r\n\r\n") {
                let end = data.windows(4).position(|four| four == b"\r\n\r\n").expect("a head in one piece") + 4;
                head.extend_from_slice(&data[..end]);
                data = &data[end..];
            }
            md5.update(data);
            bytes += data.len() as u64;
        }
        let head = String::from_utf8_lossy(&head);
        let status = if range.is_some() { "HTTP/1.1 206" } else { "HTTP/1.1 200" };
        assert!(head.starts_with(status), "GET {key}: {head}");
        (hex(&md5.finalize()), bytes)
    }

    /// Reads it whole, and again by ranges that cover it.
    async fn is_there(&self, key: &str, seed: u8) {
        let head = self.root.head(&self.bucket, key).await.expect(200);
        assert_eq!(head.header("content-length"), Some(&*body_bytes().to_string()), "{key}");
        assert_eq!(self.receive(key, None).await, (md5_of(seed, 0, body_bytes()), body_bytes()), "{key}");
        let mut from = 0;
        while from < body_bytes() {
            let to = body_bytes().min(from + range_bytes());
            assert_eq!(
                self.receive(key, Some((from, to))).await,
                (md5_of(seed, from, to), to - from),
                "{key} from {from}"
            );
            from = to;
        }
    }

    /// What the server had resident at its worst so far, which is never much.
    fn stays_small(&self, test: &str, what: &str, began: Instant) {
        let peak = self.server.peak_memory_bytes();
        let seconds = began.elapsed().as_secs();
        report(&format!("{test}: {what} of {} MiB in {seconds} s, {} MiB resident", body_bytes() >> 20, peak >> 20));
        assert!(peak < MEMORY_BYTES_MAX, "{what}: {} MiB were resident", peak >> 20);
    }
}

async fn passes_through(test: &str, backend: Option<&'static Backend>) {
    let Some(backend) = backend else { return };
    let bench = Bench::on(backend).await;
    let mut began = Instant::now();
    let mut done = |what: &str| {
        bench.stays_small(test, what, began);
        began = Instant::now();
    };
    bench.put("whole", 0x5a).await;
    done("one PUT");
    bench.is_there("whole", 0x5a).await;
    done("reads");
    let source = format!("{}/whole", bench.bucket);
    let copied = bench.root.call("PUT", &bench.path("copy")).header("x-amz-copy-source", &source).send().await;
    assert_eq!(copied.expect(200).elements("ETag").len(), 1);
    done("a copy");
    // There is no room for all of them at the same time on every disk.
    bench.root.delete(&bench.bucket, "whole").await.expect(204);
    bench.is_there("copy", 0x5a).await;
    bench.root.delete(&bench.bucket, "copy").await.expect(204);
    done("reads of the copy");
    bench.put_in_parts("parts", 0xa5).await;
    done("parts");
    bench.is_there("parts", 0xa5).await;
    done("reads of what came in parts");
    bench.root.delete(&bench.bucket, "parts").await.expect(204);
    assert_eq!(bench.root.keys_of(&bench.bucket, "").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_object_passes_through_azure() {
    let test = "a_large_object_passes_through_azure";
    passes_through(test, backends::azure(test)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_object_passes_through_openstack() {
    let test = "a_large_object_passes_through_openstack";
    passes_through(test, backends::openstack(test)).await;
}
