//! Clients that go away, crawl, or are many, and a stop under load.
//!
//! **Invariant:** a slow client is one whose bytes this test holds back until others were served, never one that sleeps.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::at_full_size;
use super::audit::{audit, check_storage, end_uploads, files_below};
use super::dice::{Dice, bytes_of, report};
use super::ledger::md5_hex;
use super::load::{Load, make_buckets};
use crate::harness::{Client, Options, Payload, Server, Signed};
use crate::security::wire::last_head;

const BUCKET: &str = "clients";
const BODY_BYTES: usize = 1 << 20;
const STEP_BYTES: usize = 64 << 10;
const SECONDS_MAX: u64 = 30;

async fn served() -> (Server, Client) {
    let server = Server::with(Options::default().env("LONGSHORE_LOG", "warn"));
    let root = server.root();
    root.create_bucket(BUCKET).await.expect(200);
    (server, root)
}

/// How many requests of the S3 front are under way.
async fn in_flight(server: &Server) -> usize {
    let text = Client::new(server.rest, None).call("GET", "/metrics").send().await.expect(200).text();
    let line = text.lines().find_map(|line| line.strip_prefix("longshore_requests_in_flight{front=\"s3\"} "));
    line.map_or(0, |number| number.parse().expect("a number"))
}

async fn until_in_flight(server: &Server, number: usize, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(SECONDS_MAX);
    while in_flight(server).await != number {
        assert!(Instant::now() < deadline, "{what}: not {number} requests are under way");
    }
}

/// Bodies that the server holds: staged files, which bear no names, and managed ones.
fn held(server: &Server) -> Vec<PathBuf> {
    let mut held = Vec::new();
    files_below(&server.data().join(BUCKET), &mut held);
    held.retain(|path| !matches!(path.file_name().and_then(|name| name.to_str()), Some("id" | "bucket")));
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("a running server");
    let open = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    held.extend(open.filter(|path| path.starts_with(server.data()) && path.to_string_lossy().contains("(deleted)")));
    held
}

/// Sends the head and so many bytes of the body, waits until the server is at work, and goes away.
async fn cut(server: &Server, signed: &Signed, bytes: usize, what: &str) {
    let mut socket = TcpStream::connect(server.s3).await.expect("a connection");
    socket.write_all(signed.head().as_bytes()).await.expect("written");
    socket.write_all(&signed.body[..bytes]).await.expect("written");
    until_in_flight(server, 1, what).await;
    drop(socket);
    until_in_flight(server, 0, what).await;
    // What a blocking thread still holds goes when the thread is done with it.
    let deadline = Instant::now() + Duration::from_secs(SECONDS_MAX);
    while !held(server).is_empty() {
        assert!(Instant::now() < deadline, "{what}: left {:?}", held(server));
    }
}

#[tokio::test]
async fn an_upload_that_is_cut_anywhere_leaves_nothing() {
    let (server, root) = served().await;
    let begun = root.call("POST", "/clients/parts").query("uploads", "").send().await.expect(200);
    let upload = begun.elements("UploadId").remove(0);
    let body = bytes_of(1, BODY_BYTES);
    let mut cuts = 0;
    for part in [false, true] {
        let path = if part { "/clients/parts" } else { "/clients/whole" };
        let mut call = root.call("PUT", path).payload(Payload::Unsigned).body(body.clone());
        if part {
            call = call.query("uploadId", &upload).query("partNumber", "1");
        }
        let signed = call.signed();
        for bytes in (0..BODY_BYTES).step_by(STEP_BYTES) {
            cut(&server, &signed, bytes, &format!("PUT {path} cut after {bytes} bytes")).await;
            cuts += 1;
        }
        assert_eq!(root.head(BUCKET, "whole").await.status, 404);
    }
    assert!(root.keys_of(BUCKET, "").await.is_empty());
    let parts = root.call("GET", "/clients/parts").query("uploadId", &upload).send().await.expect(200);
    assert!(parts.elements("Part").is_empty(), "a cut part was kept");
    report(&format!("clients: {cuts} uploads cut"));
}

/// Sends the head and half of the body.
async fn begin_upload(root: &Client, server: &Server, n: usize) -> (TcpStream, Vec<u8>) {
    let body = bytes_of(n as u64 + 100, BODY_BYTES);
    let call = root.call("PUT", &format!("/clients/slow-{n}")).payload(Payload::Unsigned).body(body.clone());
    let mut socket = TcpStream::connect(server.s3).await.expect("a connection");
    socket.write_all(last_head(&call.signed()).as_bytes()).await.expect("written");
    socket.write_all(&body[..BODY_BYTES / 2]).await.expect("written");
    (socket, body)
}

/// Asks for an object and reads the beginning of the answer.
async fn begin_download(root: &Client, server: &Server) -> (TcpStream, Vec<u8>) {
    let mut socket = TcpStream::connect(server.s3).await.expect("a connection");
    let signed = root.call("GET", "/clients/large").signed();
    socket.write_all(last_head(&signed).as_bytes()).await.expect("written");
    let mut begin = vec![0; 1024];
    socket.read_exact(&mut begin).await.expect("read");
    (socket, begin)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_hold_nobody_up() {
    let slow = if at_full_size() { 300 } else { 60 };
    let (server, root) = served().await;
    // More than the buffers of the kernel take.
    let large = bytes_of(1, 16 << 20);
    root.put(BUCKET, "large", large.clone()).await.expect(200);
    let (mut uploads, mut downloads) = (Vec::new(), Vec::new());
    for n in 0..slow {
        uploads.push(begin_upload(&root, &server, n).await);
        downloads.push(begin_download(&root, &server).await);
    }
    until_in_flight(&server, 2 * slow, "slow clients").await;
    let others = async {
        for n in 0..50_u64 {
            let body = bytes_of(n, 40_000);
            root.put(BUCKET, "quick", body.clone()).await.expect(200);
            assert!(root.get(BUCKET, "quick").await.expect(200).body == body);
            root.list(BUCKET, "qu").await.expect(200);
        }
    };
    tokio::time::timeout(Duration::from_secs(SECONDS_MAX), others).await.expect("slow clients hold others up");
    for (n, (mut socket, body)) in uploads.into_iter().enumerate() {
        socket.write_all(&body[BODY_BYTES / 2..]).await.expect("written");
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.expect("an answer");
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(&md5_hex(&body)), "upload {n}: {answer}");
    }
    for (mut socket, mut answer) in downloads {
        socket.read_to_end(&mut answer).await.expect("the rest");
        let head = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
        assert!(answer[head..] == large, "a slow download has other bytes");
    }
    until_in_flight(&server, 0, "slow clients that are done").await;
    report(&format!("clients: {slow} slow uploads and {slow} slow downloads beside 150 quick requests"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_stop_under_load() {
    let mut dice = Dice::of_run("stop");
    let mut server = Server::with(Options::default().env("LONGSHORE_LOG", "warn"));
    make_buckets(&server).await;
    let load = Arc::new(Load::default());
    let stops = if at_full_size() { 50 } else { 5 };
    for _ in 0..stops {
        let acknowledged = dice.between(20, 100);
        let began = Instant::now();
        let stop = |server: &mut Server| assert!(server.stop().success(), "{}", server.log());
        load.until(&mut server, acknowledged, &mut dice, stop).await;
        assert!(began.elapsed() < Duration::from_secs(SECONDS_MAX), "the stop waits for new requests");
        server = server.restart();
        check_storage(&server);
        audit(&server, &load.ledger).await;
        end_uploads(&server, &load).await;
    }
    report(&format!("clients: {stops} stops under load, {} acknowledged writes", load.ledger.acknowledged()));
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever_for_a_client() {
    let options = Options::default().env("LONGSHORE_LOG", "warn").config("[limits]\ndrain_seconds_max = 1\n");
    let mut server = Server::with(options);
    let root = server.root();
    root.create_bucket(BUCKET).await.expect(200);
    let (socket, _) = begin_upload(&root, &server, 1).await;
    until_in_flight(&server, 1, "an upload that stalls").await;
    let began = Instant::now();
    assert!(server.stop().success());
    assert!(began.elapsed() < Duration::from_secs(10), "the limit of a stop does not hold");
    drop(socket);
    let server = server.restart();
    assert!(server.root().keys_of(BUCKET, "").await.is_empty());
    assert!(held(&server).is_empty(), "{:?}", held(&server));
}

#[tokio::test]
async fn a_second_server_does_not_disturb_the_first() {
    let (server, root) = served().await;
    root.put(BUCKET, "kept", "kept").await.expect(200);
    let (mut socket, body) = begin_upload(&root, &server, 1).await;
    until_in_flight(&server, 1, "an upload").await;
    let same = Options { data: Some(server.data().to_owned()), ..Options::default() };
    let (status, log) = Server::try_with(same.clone()).err().expect("refused");
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("another server is running on the state directory"), "{log}");
    // With a state of its own it would be a second catalog over the same files.
    let other = tempfile::tempdir().expect("a temporary directory");
    let (status, log) =
        Server::try_with(Options { state: Some(other.path().join("state")), ..same }).err().expect("refused");
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("belongs to another catalog"), "{log}");
    socket.write_all(&body[BODY_BYTES / 2..]).await.expect("written");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(root.keys_of(BUCKET, "").await, ["kept", "slow-1"]);
    assert_eq!(root.get(BUCKET, "kept").await.expect(200).text(), "kept");
}
