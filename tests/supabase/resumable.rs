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

/// Begins an upload whose length is said later.
fn create_open<'s>(site: &'s Site, key: &str) -> Call<'s> {
    let said = metadata(&[("bucketName", "priv"), ("objectName", key), ("contentType", "text/plain")]);
    tus(site, SERVICE, "POST", "/upload/resumable").header("upload-defer-length", "1").header("upload-metadata", &said)
}

/// A PATCH that says how long the whole becomes.
async fn patch_of(site: &Site, at: &str, offset: &str, length: &str, text: &str) -> Answer {
    let call = tus(site, SERVICE, "PATCH", at).header("upload-offset", offset).header("content-type", PIECES);
    call.header("upload-length", length).body(text).send().await
}

/// What HEAD tells: the offset, the length, and whether that is still to be said.
async fn heard(site: &Site, at: &str) -> [String; 3] {
    let head = tus(site, SERVICE, "HEAD", at).send().await.expect(200);
    ["upload-offset", "upload-length", "upload-defer-length"]
        .map(|name| head.header(name).unwrap_or_default().to_owned())
}

async fn text_of(site: &Site, key: &str) -> String {
    site.server.root().get("priv", key).await.expect(200).text()
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
        ("priv", "b", "text/plain", "+5", 400, "upload-length is no number"),
    ] {
        let answer = begin(&[("bucketName", bucket), ("objectName", key), ("contentType", kind)], length).await;
        assert_eq!((answer.status, answer.text().as_str()), (status, text));
        assert_eq!(answer.header("content-type"), Some("text/plain;charset=UTF-8"));
    }
    let bare = tus(&site, SERVICE, "POST", "/upload/resumable").header("upload-length", "5").send().await.expect(400);
    assert_eq!(bare.text(), "Metadata header is required");
    let old = site.call(SERVICE, "POST", "/upload/resumable").header("upload-length", "5").send().await.expect(412);
    assert_eq!((old.text().as_str(), old.header("tus-version")), ("Tus-Resumable Required", Some("1.0.0")));
    let other =
        site.call(SERVICE, "POST", "/upload/resumable").header("tus-resumable", "0.2.2").send().await.expect(412);
    assert_eq!(other.header("tus-version"), Some("1.0.0"));
    for (later, length) in [("0", None), ("2", None), ("2", Some("5")), ("1", Some("5"))] {
        let mut call = tus(&site, SERVICE, "POST", "/upload/resumable").header("upload-defer-length", later);
        call = call.header("upload-metadata", &metadata(&[("bucketName", "priv"), ("objectName", "b")]));
        if let Some(length) = length {
            call = call.header("upload-length", length);
        }
        let told = call.send().await;
        assert_eq!(told.status, 400, "{later} {length:?}: {}", told.text());
    }
    let anon = create(&site, As::Anon, "b", "5").send().await.expect(403);
    assert_eq!(anon.text(), "new row violates row-level security policy");
    let nobody = create(&site, As::Nobody, "b", "5").send().await;
    refused(&nobody, "403", "AccessDenied", "Invalid Compact JWS");
    let at = location(&create(&site, SERVICE, "b", "5").send().await.expect(201));
    patch(&site, As::Anon, &at, "0", "x").await.expect(403);
    patch(&site, SERVICE, &at, "0", "too long").await.expect(413);
    assert_eq!(heard(&site, &at).await, ["0", "5", ""]);
    let typed = tus(&site, SERVICE, "PATCH", &at).header("upload-offset", "0").body("x").send().await;
    assert_eq!(typed.status, 415);
    for forged in ["/upload/resumable/x", &format!("{at}x"), &at.replace("resumable/", "resumable/sign/")] {
        let answer = tus(&site, SERVICE, "HEAD", forged).send().await;
        assert!([400, 404].contains(&answer.status), "{forged}: {}", answer.status);
    }
    tus(&site, SERVICE, "DELETE", &at).send().await.expect(204);
    let gone = tus(&site, SERVICE, "HEAD", &at).send().await.expect(404);
    assert_eq!((gone.header("cache-control"), offset(&gone), gone.body.len()), (Some("no-store"), None, 0));
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

/// A client that hears that all of it is there takes the upload for done, and asks for nothing more.
#[tokio::test]
async fn an_upload_whose_end_failed_is_not_told_as_done() {
    let site = with_bucket().await;
    site.server.run(&["bucket", "set", "priv", "--quota-objects", "1"]);
    let at = location(&create(&site, SERVICE, "tus/a.txt", "11").send().await.expect(201));
    // Its pieces fit, and the object would be the second one.
    site.server.root().call("PUT", "/priv/other").header("content-type", "text/plain").send().await.expect(200);
    patch(&site, SERVICE, &at, "0", "hello world").await.expect(413);
    let head = tus(&site, SERVICE, "HEAD", &at).send().await.expect(413);
    assert_eq!((offset(&head), head.header("cache-control")), (None, Some("no-store")));
    patch(&site, SERVICE, &at, "11", "").await.expect(413);
    site.server.root().get("priv", "tus/a.txt").await.expect(404);
    let site = Site::again(site);
    tus(&site, SERVICE, "HEAD", &at).send().await.expect(413);
    site.server.root().delete("priv", "other").await.expect(204);
    assert_eq!(heard(&site, &at).await, ["11", "11", ""], "whoever asks ends it");
    assert_eq!(text_of(&site, "tus/a.txt").await, "hello world");
    assert_eq!(heard(&site, &at).await, ["11", "11", ""]);
}

#[tokio::test]
async fn an_end_that_the_storage_failed_is_made_up_for() {
    let site = with_bucket().await;
    let begin = async |key: &str| {
        let at = location(&create_open(&site, key).send().await.expect(201));
        patch(&site, SERVICE, &at, "0", "hello world").await.expect(204);
        at
    };
    let (by_head, by_patch) = (begin("tus/head.txt").await, begin("tus/patch.txt").await);
    let objects = site.server.data().join("priv/.longshore/objects");
    let away = site.server.data().parent().expect("around").join("away");
    std::fs::rename(&objects, &away).expect("moved");
    std::fs::write(&objects, "in the way").expect("written");
    for at in [&by_head, &by_patch] {
        let last = patch_of(&site, at, "11", "11", "").await;
        assert!(last.status >= 500, "{}", last.status);
        let head = tus(&site, SERVICE, "HEAD", at).send().await;
        assert!(head.status >= 400 && offset(&head).is_none(), "{}", head.status);
    }
    std::fs::remove_file(&objects).expect("removed");
    std::fs::rename(&away, &objects).expect("moved back");
    assert_eq!(heard(&site, &by_head).await, ["11", "11", ""]);
    // The length was said: it is kept.
    let last = patch(&site, SERVICE, &by_patch, "11", "").await.expect(204);
    assert_eq!((offset(&last), last.header("tus-complete")), (Some("11"), Some("1")));
    for key in ["tus/head.txt", "tus/patch.txt"] {
        assert_eq!(text_of(&site, key).await, "hello world");
    }
}

#[tokio::test]
async fn a_length_that_is_said_later_is_kept() {
    let site = with_bucket().await;
    let at = location(&create_open(&site, "tus/d.txt").send().await.expect(201));
    assert_eq!(heard(&site, &at).await, ["0", "", "1"]);
    patch(&site, SERVICE, &at, "0", "hello ").await.expect(204);
    assert_eq!(heard(&site, &at).await, ["6", "", "1"]);
    patch_of(&site, &at, "6", "5", "").await.expect(400);
    patch_of(&site, &at, "6", "1000001", "").await.expect(413);
    assert_eq!(heard(&site, &at).await, ["6", "", "1"], "what is refused is not kept");
    let part = patch_of(&site, &at, "6", "11", "wo").await.expect(204);
    assert_eq!((offset(&part), part.header("tus-complete")), (Some("8"), None));
    assert_eq!(heard(&site, &at).await, ["8", "11", ""]);
    let site = Site::again(site);
    assert_eq!(heard(&site, &at).await, ["8", "11", ""]);
    assert_eq!(patch_of(&site, &at, "8", "12", "rld!").await.expect(400).text(), "Upload-Length cannot be changed");
    patch(&site, SERVICE, &at, "8", "rld and more").await.expect(413);
    let last = patch(&site, SERVICE, &at, "8", "rld").await.expect(204);
    assert_eq!((offset(&last), last.header("tus-complete")), (Some("11"), Some("1")));
    assert_eq!(text_of(&site, "tus/d.txt").await, "hello world");
    assert_eq!(heard(&site, &at).await, ["11", "11", ""]);
}

/// Who lost the answer to the last PATCH hears what came, and not that nothing did.
#[tokio::test]
async fn an_upload_is_told_as_done_also_if_its_length_came_last() {
    let site = with_bucket().await;
    let once = location(&create_open(&site, "tus/once.txt").send().await.expect(201));
    let last = patch_of(&site, &once, "0", "11", "hello world").await.expect(204);
    assert_eq!((offset(&last), last.header("tus-complete")), (Some("11"), Some("1")));
    // A browser knows the end of a stream only behind it.
    let behind = location(&create_open(&site, "tus/behind.txt").send().await.expect(201));
    patch(&site, SERVICE, &behind, "0", "hello").await.expect(204);
    patch_of(&site, &behind, "5", "5", "").await.expect(204);
    let empty = location(&create_open(&site, "tus/empty.txt").send().await.expect(201));
    patch_of(&site, &empty, "0", "0", "").await.expect(204);
    let site = Site::again(site);
    for (at, key, text) in
        [(&once, "tus/once.txt", "hello world"), (&behind, "tus/behind.txt", "hello"), (&empty, "tus/empty.txt", "")]
    {
        let length = text.len().to_string();
        assert_eq!(heard(&site, at).await, [length.as_str(), length.as_str(), ""], "{key}");
        assert_eq!(text_of(&site, key).await, text);
    }
}

#[tokio::test]
async fn nothing_is_kept_of_what_is_too_much() {
    let site = with_bucket().await;
    let at = location(&create(&site, SERVICE, "tus/spilt", "5").send().await.expect(201));
    let token = SERVICE.token().expect("a token");
    let mut socket = TcpStream::connect(site.server.rest).await.expect("a connection");
    let head = format!(
        "PATCH {at} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nTus-Resumable: 1.0.0\r\n\
         Upload-Offset: 0\r\nContent-Type: {PIECES}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    );
    let chunks = "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    socket.write_all(format!("{head}{chunks}").as_bytes()).await.expect("sent");
    let mut said = Vec::new();
    let _ = socket.read_to_end(&mut said).await;
    assert!(said.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&said));
    // What fits may be kept, if it came by itself.
    let head = tus(&site, SERVICE, "HEAD", &at).send().await.expect(200);
    match offset(&head) {
        Some("5") => assert_eq!(text_of(&site, "tus/spilt").await, "hello"),
        known => assert_eq!(known, Some("0")),
    }
}

#[tokio::test]
async fn metadata_that_says_nothing_is_passed_over() {
    let site = Site::start();
    site.bucket(json!({"name": "priv"})).await;
    for (key, kind, cache, typed, cached) in [
        ("a", "", "max-age=3600", "application/octet-stream", "no-cache"),
        ("b", "text/plain", "", "text/plain", "no-cache"),
        ("c", "text/plain", "60", "text/plain", "max-age=60"),
        ("d", "text/plain", "-1", "text/plain", "max-age=-1"),
        ("e", "text/plain", "1 000", "text/plain", "no-cache"),
    ] {
        let pairs = [("bucketName", "priv"), ("objectName", key), ("contentType", kind), ("cacheControl", cache)];
        let call = tus(&site, SERVICE, "POST", "/upload/resumable").header("upload-length", "1");
        let call = call.header("upload-metadata", &metadata(&pairs)).header("content-type", PIECES);
        call.body("x").send().await.expect(201);
        let read = site.plain(SERVICE, "GET", &format!("/object/authenticated/priv/{key}")).await.expect(200);
        assert_eq!((read.header("content-type"), read.header("cache-control")), (Some(typed), Some(cached)), "{key}");
    }
}

#[tokio::test]
async fn a_post_may_stand_for_another_method() {
    let site = with_bucket().await;
    let meant = |at: &str, method: &str| tus(&site, SERVICE, "POST", at).header("x-http-method-override", method);
    let at = location(&create(&site, SERVICE, "tus/o.txt", "5").send().await.expect(201));
    let head = meant(&at, "HEAD").send().await.expect(200);
    assert_eq!((offset(&head), head.header("cache-control")), (Some("0"), Some("no-store")));
    let call = meant(&at, "PATCH").header("upload-offset", "0").header("content-type", PIECES);
    assert_eq!(offset(&call.body("hello").send().await.expect(204)), Some("5"));
    assert_eq!(text_of(&site, "tus/o.txt").await, "hello");
    let at = location(&create(&site, SERVICE, "tus/gone.txt", "5").send().await.expect(201));
    meant(&at, "PUT").send().await.expect(404);
    tus(&site, SERVICE, "POST", &at).send().await.expect(404);
    meant("/upload/resumable", "PATCH").header("content-type", PIECES).send().await.expect(400);
    meant(&at, "DELETE").send().await.expect(204);
    tus(&site, SERVICE, "HEAD", &at).send().await.expect(404);
    // And by a signed address.
    let signed = body(&site.plain(SERVICE, "POST", "/object/upload/sign/priv/tus/s.txt").await.expect(200));
    let token = signed["token"].as_str().expect("a token");
    let said = metadata(&[("bucketName", "priv"), ("objectName", "tus/s.txt"), ("contentType", "text/plain")]);
    let call = tus(&site, As::Nobody, "POST", "/upload/resumable/sign").header("x-signature", token);
    let begun = call.header("upload-length", "3").header("upload-metadata", &said).send().await.expect(201);
    let call =
        tus(&site, As::Nobody, "POST", &location(&begun)).header("x-signature", token).header("upload-offset", "0");
    let call = call.header("x-http-method-override", "PATCH").header("content-type", PIECES);
    call.body("abc").send().await.expect(204);
    assert_eq!(text_of(&site, "tus/s.txt").await, "abc");
    let unknown = tus(&site, As::Nobody, "HEAD", "/upload/resumable/sign/x").header("x-signature", token);
    assert_eq!(unknown.send().await.expect(404).header("cache-control"), Some("no-store"));
}
