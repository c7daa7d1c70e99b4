//! Resumable uploads.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{As, Site, body, refused};
use crate::harness::{Answer, Call, Options};

const SERVICE: As = As::Service;
const PIECES: &str = "application/offset+octet-stream";

async fn with_bucket() -> Site {
    let site = Site::start();
    site.bucket(json!({"name": "priv", "file_size_limit": 1_000_000, "allowed_mime_types": ["text/plain"]})).await;
    site
}

/// What says where an upload goes.
fn metadata(pairs: &[(&str, &str)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name} {}", STANDARD.encode(value))).collect::<Vec<_>>().join(",")
}

fn tus<'s>(site: &'s Site, who: As, method: &str, path: &str) -> Call<'s> {
    site.call(who, method, path).header("tus-resumable", "1.0.0")
}

fn create<'s>(site: &'s Site, who: As, key: &str, length: &str) -> Call<'s> {
    let said = metadata(&[
        ("bucketName", "priv"),
        ("objectName", key),
        ("contentType", "text/plain"),
        ("cacheControl", "3600"),
        ("metadata", "{\"k\":\"v\"}"),
    ]);
    tus(site, who, "POST", "/upload/resumable").header("upload-length", length).header("upload-metadata", &said)
}

async fn patch(site: &Site, who: As, at: &str, offset: &str, text: &str) -> Answer {
    let call = tus(site, who, "PATCH", at).header("upload-offset", offset).header("content-type", PIECES);
    call.body(text).send().await
}

fn location(answer: &Answer) -> String {
    answer.header("location").expect("an address").to_owned()
}

fn offset(answer: &Answer) -> Option<&str> {
    answer.header("upload-offset")
}

#[tokio::test]
async fn an_upload_goes_on_where_it_ended() {
    let site = with_bucket().await;
    let begun = create(&site, SERVICE, "tus/a.txt", "11").send().await.expect(201);
    let at = location(&begun);
    assert!(begun.header("upload-expires").is_some() && at.starts_with("/upload/resumable/"), "{at}");
    let head = tus(&site, SERVICE, "HEAD", &at).send().await.expect(200);
    assert_eq!(
        (offset(&head), head.header("upload-length"), head.header("cache-control")),
        (Some("0"), Some("11"), Some("no-store"))
    );
    assert_eq!(offset(&patch(&site, SERVICE, &at, "0", "hello ").await.expect(204)), Some("6"));
    assert_eq!(patch(&site, SERVICE, &at, "3", "xxx").await.expect(409).text(), "Upload-Offset conflict");
    let early = site.plain(SERVICE, "GET", "/object/authenticated/priv/tus/a.txt").await;
    refused(&early, "404", "NoSuchKey", "Object not found");
    // Parts of any size, and any process goes on.
    let site = Site::again(site);
    let head = tus(&site, SERVICE, "HEAD", &at).send().await.expect(200);
    assert_eq!(offset(&head), Some("6"));
    let last = patch(&site, SERVICE, &at, "6", "world").await.expect(204);
    assert_eq!((offset(&last), last.header("tus-complete")), (Some("11"), Some("1")));
    let read = site.plain(SERVICE, "GET", "/object/authenticated/priv/tus/a.txt").await.expect(200);
    assert_eq!((read.text().as_str(), read.header("cache-control")), ("hello world", Some("max-age=3600")));
    assert_eq!(body(&site.plain(SERVICE, "GET", "/object/info/priv/tus/a.txt").await)["metadata"], json!({"k": "v"}));
    assert_eq!(offset(&tus(&site, SERVICE, "HEAD", &at).send().await.expect(200)), Some("11"));
    patch(&site, SERVICE, &at, "11", "more").await.expect(409);
    let taken = create(&site, SERVICE, "tus/a.txt", "2").send().await.expect(409);
    assert_eq!(taken.text(), "The resource already exists");
    let over = create(&site, SERVICE, "tus/a.txt", "2").header("x-upsert", "true").header("content-type", PIECES);
    let over = over.body("hi").send().await.expect(201);
    assert_eq!((offset(&over), over.header("tus-complete")), (Some("2"), Some("1")));
    assert_eq!(site.server.root().get("priv", "tus/a.txt").await.text(), "hi");
    create(&site, SERVICE, "tus/empty", "0").send().await.expect(201);
    assert_eq!(site.server.root().get("priv", "tus/empty").await.expect(200).text(), "");
}

#[tokio::test]
async fn what_came_before_a_break_counts() {
    let site = with_bucket().await;
    let at = location(&create(&site, SERVICE, "tus/cut", "300000").send().await.expect(201));
    let token = SERVICE.token().expect("a token");
    let mut socket = TcpStream::connect(site.server.rest).await.expect("a connection");
    let head = format!(
        "PATCH {at} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nTus-Resumable: 1.0.0\r\n\
         Upload-Offset: 0\r\nContent-Type: {PIECES}\r\nContent-Length: 300000\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.expect("sent");
    socket.write_all(&vec![b'a'; 100_000]).await.expect("sent");
    socket.shutdown().await.expect("gone");
    let mut said = Vec::new();
    let _ = socket.read_to_end(&mut said).await;
    // Whoever asks ends what may still be waiting, and is told what is there.
    let head = tus(&site, SERVICE, "HEAD", &at).send().await.expect(200);
    let known: usize = offset(&head).expect("an offset").parse().expect("a number");
    assert!(known <= 100_000, "{known}");
    let rest = "a".repeat(300_000 - known);
    patch(&site, SERVICE, &at, &known.to_string(), &rest).await.expect(204);
    assert_eq!(site.server.root().get("priv", "tus/cut").await.body.len(), 300_000);
}

#[tokio::test]
async fn uploads_are_refused_in_plain_words() {
    let site = with_bucket().await;
    let options = site.plain(As::Nobody, "OPTIONS", "/upload/resumable").await.expect(204);
    let extensions = "creation,creation-with-upload,creation-defer-length,termination,expiration";
    assert_eq!((options.header("tus-extension"), options.header("tus-version")), (Some(extensions), Some("1.0.0")));
    let begin = |pairs: &[(&str, &str)], length: &str| {
        let call = tus(&site, SERVICE, "POST", "/upload/resumable").header("upload-length", length);
        call.header("upload-metadata", &metadata(pairs)).send()
    };
    for (bucket, key, kind, length, status, text) in [
        ("nob", "b", "text/plain", "5", 404, "Bucket not found"),
        ("priv", "a{b", "text/plain", "5", 400, "Invalid key: a{b"),
        ("priv", "b", "application/zip", "5", 415, "mime type application/zip is not supported"),
        ("priv", "b", "text/plain", "1000001", 413, "Maximum size exceeded"),
        ("priv", "b", "text/plain", "-1", 400, "upload-length is no number"),
    ] {
        let answer = begin(&[("bucketName", bucket), ("objectName", key), ("contentType", kind)], length).await;
        assert_eq!((answer.status, answer.text().as_str()), (status, text));
        assert_eq!(answer.header("content-type"), Some("text/plain;charset=UTF-8"));
    }
    let bare = tus(&site, SERVICE, "POST", "/upload/resumable").header("upload-length", "5").send().await.expect(400);
    assert_eq!(bare.text(), "Metadata header is required");
    let old = site.call(SERVICE, "POST", "/upload/resumable").header("upload-length", "5").send().await.expect(412);
    assert_eq!(old.text(), "Tus-Resumable Required");
    let anon = create(&site, As::Anon, "b", "5").send().await.expect(403);
    assert_eq!(anon.text(), "new row violates row-level security policy");
    let nobody = create(&site, As::Nobody, "b", "5").send().await;
    refused(&nobody, "403", "AccessDenied", "Invalid Compact JWS");
    let at = location(&create(&site, SERVICE, "b", "5").send().await.expect(201));
    patch(&site, As::Anon, &at, "0", "x").await.expect(403);
    patch(&site, SERVICE, &at, "0", "too long").await.expect(413);
    let typed = tus(&site, SERVICE, "PATCH", &at).header("upload-offset", "0").body("x").send().await;
    assert_eq!(typed.status, 415);
    for forged in ["/upload/resumable/x", &format!("{at}x"), &at.replace("resumable/", "resumable/sign/")] {
        let answer = tus(&site, SERVICE, "HEAD", forged).send().await;
        assert!([400, 404].contains(&answer.status), "{forged}: {}", answer.status);
    }
    tus(&site, SERVICE, "DELETE", &at).send().await.expect(204);
    tus(&site, SERVICE, "HEAD", &at).send().await.expect(404);
    assert!(site.server.root().keys_of("priv", "").await.is_empty());
}

#[tokio::test]
async fn a_signed_address_begins_an_upload() {
    let site = with_bucket().await;
    let signed = body(&site.plain(SERVICE, "POST", "/object/upload/sign/priv/tus/s.txt").await.expect(200));
    let token = signed["token"].as_str().expect("a token").to_owned();
    let begin = |key: &'static str| {
        let said = metadata(&[("bucketName", "priv"), ("objectName", key), ("contentType", "text/plain")]);
        let call = tus(&site, As::Nobody, "POST", "/upload/resumable/sign").header("upload-length", "3");
        call.header("upload-metadata", &said)
    };
    assert_eq!(begin("tus/s.txt").send().await.expect(400).text(), "Missing x-signature header");
    assert_eq!(begin("tus/z.txt").header("x-signature", &token).send().await.expect(400).text(), "Invalid signature");
    let at = location(&begin("tus/s.txt").header("x-signature", &token).send().await.expect(201));
    let call = tus(&site, As::Nobody, "PATCH", &at).header("upload-offset", "0").header("content-type", PIECES);
    call.header("x-signature", &token).body("abc").send().await.expect(204);
    assert_eq!(site.server.root().get("priv", "tus/s.txt").await.text(), "abc");
}

#[tokio::test]
async fn an_upload_ends_in_time() {
    let site = Site::with(Options::default().config("[supabase]\nresumable_upload_seconds = 1\n"));
    site.bucket(json!({"name": "priv"})).await;
    let at = location(&create(&site, SERVICE, "late", "5").send().await.expect(201));
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while tus(&site, SERVICE, "HEAD", &at).send().await.status != 404 {
        assert!(std::time::Instant::now() < until, "it does not end");
    }
    patch(&site, SERVICE, &at, "0", "hello").await.expect(404);
}

#[tokio::test]
async fn what_came_of_an_upload_that_ended_is_freed() {
    let config = "[supabase]\nresumable_upload_seconds = 1\n[s3]\nlifecycle_day_seconds = 4\n";
    let site = Site::with(Options::default().config(config));
    site.bucket(json!({"name": "priv"})).await;
    let root = site.server.root();
    let at = location(&create(&site, SERVICE, "late", "50000").send().await.expect(201));
    patch(&site, SERVICE, &at, "0", &"x".repeat(40_000)).await;
    // One of S3 stays: no rule ends it.
    root.call("POST", "/priv/stays").query("uploads", "").send().await.expect(200);
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let uploads = root.call("GET", "/priv").query("uploads", "").send().await.expect(200).elements("Key");
        if uploads == ["stays"] {
            break;
        }
        assert!(std::time::Instant::now() < until, "{uploads:?} do not end");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    site.server.until_settled();
    let shards = std::fs::read_dir(site.server.data().join("priv/.longshore/objects")).expect("shards");
    let files = shards.flat_map(|shard| std::fs::read_dir(shard.expect("a shard").path()).expect("files")).count();
    assert_eq!(files, 0, "its pieces are gone");
}

#[tokio::test]
async fn an_upload_fits_into_the_quota_before_it_is_complete() {
    let site = with_bucket().await;
    site.server.run(&["bucket", "set", "priv", "--quota-bytes", "10"]);
    // The commit of a write meets the quota, and then it is known.
    let root = site.server.root();
    root.call("PUT", "/priv/empty").header("content-type", "text/plain").send().await.expect(200);
    let at = location(&create(&site, SERVICE, "tus/a.txt", "12").send().await.expect(201));
    let told = patch(&site, SERVICE, &at, "0", "eleven more").await.expect(413);
    assert_eq!(told.text(), "Maximum size exceeded");
    assert_eq!(offset(&tus(&site, SERVICE, "HEAD", &at).send().await.expect(200)), Some("0"));
    assert_eq!(offset(&patch(&site, SERVICE, &at, "0", "sixsix").await.expect(204)), Some("6"));
    patch(&site, SERVICE, &at, "6", "sixsix").await.expect(413);
    assert_eq!(offset(&tus(&site, SERVICE, "HEAD", &at).send().await.expect(200)), Some("6"));
}
