//! Connections at their limits: over-long heads, silent clients, and requests that a stop finds under way.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Client, Payload, Server};

#[tokio::test]
async fn over_long_heads_are_refused() {
    let server = Server::start();
    let root = server.root();
    root.call("GET", "/b").query("prefix", &"x".repeat(9000)).send().await.expect(414);
    root.call("GET", "/b").header("x-amz-meta-a", &"x".repeat(17_000)).send().await.expect(431);
    root.call("HEAD", "/b").header("x-amz-meta-a", &"x".repeat(17_000)).send().await.expect(431);
    root.call("GET", "/").send().await.expect(200);
    let rest = Client::new(server.rest, None);
    let answer = rest.call("GET", "/healthz").query("x", &"x".repeat(9000)).send().await.expect(414);
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

/// Reads until the server closes, which must be soon after the ten seconds for a head.
async fn until_closed(mut socket: TcpStream) {
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(20), socket.read_to_end(&mut answer)).await;
    assert!(closed.is_ok(), "the server waits for a silent client");
}

#[tokio::test]
async fn silent_clients_are_given_up() {
    let server = Server::start();
    let mut waiting = Vec::new();
    for said in ["", "PRI * HTTP/2", "GET / HTTP/1.1\r\nhost: x\r\n"] {
        let mut socket = TcpStream::connect(server.s3).await.expect("a connection");
        socket.write_all(said.as_bytes()).await.expect("written");
        waiting.push(tokio::spawn(until_closed(socket)));
    }
    let began = Instant::now();
    for closed in waiting {
        closed.await.expect("closed");
    }
    assert!(began.elapsed() > Duration::from_secs(8), "closed too early");
}

#[tokio::test]
async fn an_upload_under_way_is_finished_before_the_end() {
    let mut server = Server::start();
    let root = server.root();
    root.create_bucket("photos").await.expect(200);
    let body = vec![7; 1 << 20];
    let signed = root.call("PUT", "/photos/late").payload(Payload::Unsigned).body(body.clone()).signed();
    let mut socket = TcpStream::connect(server.s3).await.expect("a connection");
    socket.write_all(signed.head().as_bytes()).await.expect("written");
    let (first, rest) = body.split_at(300_000);
    socket.write_all(first).await.expect("written");
    // The request is under way once it is counted.
    let metrics = Client::new(server.rest, None);
    let under_way = "longshore_requests_in_flight{front=\"s3\"} 1";
    let deadline = Instant::now() + Duration::from_secs(10);
    while !metrics.call("GET", "/metrics").send().await.expect(200).text().contains(under_way) {
        assert!(Instant::now() < deadline, "the upload does not begin");
    }
    server.signal(rustix::process::Signal::TERM);
    // The stop has begun once nobody else is let in.
    while TcpStream::connect(server.s3).await.is_ok() {
        assert!(Instant::now() < deadline, "the stop does not begin");
    }
    socket.write_all(rest).await.expect("written");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    assert!(server.wait().success());
    let server = server.restart();
    assert_eq!(server.root().get("photos", "late").await.expect(200).body.len(), body.len());
}

#[tokio::test]
async fn idle_connections_do_not_starve_a_request() {
    let server = Server::start();
    let mut idle = Vec::new();
    // What this process may open is the limit here; the full size is run with more descriptors.
    for _ in 0..300 {
        idle.push(TcpStream::connect(server.s3).await.expect("a connection"));
    }
    server.root().call("GET", "/").send().await.expect(200);
    assert!(server.peak_memory_bytes() < 500 << 20);
}
