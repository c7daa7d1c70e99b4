//! Clients that wait for "100 Continue" before they send a body.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{exchange, served};
use crate::harness::{Client, Payload};

/// The head of a PUT of three bytes to a key whose state is a condition.
fn head(root: &Client, condition: (&str, &str)) -> String {
    let put = root.call("PUT", "/b-1/k").payload(Payload::Unsigned).header(condition.0, condition.1);
    put.header("expect", "100-continue").body("new").signed().head()
}

async fn read_until(socket: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        text.push(socket.read_u8().await.expect("more"));
    }
    String::from_utf8(text).expect("text")
}

/// A refusal without "100 Continue" leaves it open whether the body comes, so the connection cannot be used again; a
/// client that is not told so sends its next request there, and that was taken for the body.
#[tokio::test]
async fn a_refusal_before_the_body_ends_the_connection_and_says_so() {
    let (server, root) = served("b-1").await;
    root.put("b-1", "k", "old").await.expect(200);
    let refused = exchange(&server, head(&root, ("if-match", "\"0\"")).as_bytes()).await;
    let text = refused.to_ascii_lowercase();
    assert!(text.starts_with("http/1.1 412 ") && text.contains("\r\nconnection: close\r\n"), "{refused}");
    assert_eq!(root.get("b-1", "k").await.expect(200).text(), "old");
}

#[tokio::test]
async fn a_body_that_was_asked_for_leaves_the_connection_open() {
    let (server, root) = served("b-1").await;
    let mut socket = TcpStream::connect(server.s3).await.expect("a connection");
    socket.write_all(head(&root, ("if-none-match", "*")).as_bytes()).await.expect("sent");
    assert_eq!(read_until(&mut socket, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(b"new").await.expect("sent");
    let answer = read_until(&mut socket, "\r\n\r\n").await.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 200 ") && !answer.contains("connection: close"), "{answer}");
    let get = root.call("GET", "/b-1/k").signed().head();
    socket.write_all(get.as_bytes()).await.expect("sent");
    assert!(read_until(&mut socket, "new").await.starts_with("HTTP/1.1 200 "));
}
