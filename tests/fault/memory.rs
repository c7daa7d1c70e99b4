//! Memory while large bodies pass: it must not grow with their size.
//!
//! **Invariant:** no body is held in memory here either; it is made and compared as it passes.

use std::net::SocketAddr;

use md5::{Digest as _, Md5};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::at_full_size;
use super::dice::report;
use crate::harness::sign::hex;
use crate::harness::{Client, Options, Payload, Server};
use crate::security::wire::last_head;

const BLOCK_BYTES: usize = 64 << 10;
const AT_ONCE: u8 = 8;
/// Asks for encryption with the server's key, and says of it.
const SEALED: (&str, &str) = ("x-amz-server-side-encryption", "AES256");

/// A debug build encrypts a few MiB in a second. What is under way is more than may be resident all the same.
fn body_bytes(sealed: bool) -> usize {
    match (at_full_size(), sealed) {
        (true, false) => 1 << 30,
        (true, true) | (false, false) => 64 << 20,
        (false, true) => 8 << 20,
    }
}

fn memory_bytes_max() -> u64 {
    if at_full_size() { 128 << 20 } else { 96 << 20 }
}

/// Uploads a body of which no two blocks are alike, to be kept `sealed`; its MD5.
async fn upload(root: Client, address: SocketAddr, key: String, seed: u8, sealed: bool) -> String {
    let mut call = root.call("PUT", &format!("/large/{key}")).payload(Payload::Unsigned);
    if sealed {
        call = call.header(SEALED.0, SEALED.1);
    }
    let signed = call.header("content-length", &body_bytes(sealed).to_string()).signed();
    let mut socket = TcpStream::connect(address).await.expect("a connection");
    socket.write_all(last_head(&signed).as_bytes()).await.expect("written");
    let mut block = vec![seed; BLOCK_BYTES];
    let mut md5 = Md5::new();
    for n in 0..body_bytes(sealed) / BLOCK_BYTES {
        block[..8].copy_from_slice(&n.to_be_bytes());
        md5.update(&block);
        socket.write_all(&block).await.expect("written");
    }
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.expect("an answer");
    let (answer, md5) = (String::from_utf8_lossy(&answer).into_owned(), hex(&md5.finalize()));
    assert!(answer.starts_with("HTTP/1.1 200"), "PUT {key}: {answer}");
    assert_eq!(says_sealed(&answer), sealed, "PUT {key}: {answer}");
    assert!(answer.contains(&format!("\"{md5}\"")), "PUT {key} was answered with another MD5 than {md5}: {answer}");
    md5
}

fn says_sealed(head: &str) -> bool {
    head.to_ascii_lowercase().contains(&format!("{}: {}\r\n", SEALED.0, SEALED.1.to_ascii_lowercase()))
}

/// Downloads an object, which is kept `sealed`; its MD5.
async fn download(root: Client, address: SocketAddr, key: String, sealed: bool) -> String {
    let signed = root.call("GET", &format!("/large/{key}")).signed();
    let mut socket = TcpStream::connect(address).await.expect("a connection");
    socket.write_all(last_head(&signed).as_bytes()).await.expect("written");
    let mut block = vec![0; BLOCK_BYTES];
    let mut head = Vec::new();
    let (mut md5, mut bytes) = (Md5::new(), 0);
    loop {
        let read = socket.read(&mut block).await.expect("read");
        if read == 0 {
            break;
        }
        let mut data = &block[..read];
        if bytes == 0 && !head.ends_with(b"\r\n\r\n") {
            let end = data.windows(4).position(|four| four == b"\r\n\r\n").expect("a head in one piece") + 4;
            head.extend_from_slice(&data[..end]);
            data = &data[end..];
        }
        md5.update(data);
        bytes += data.len();
    }
    let head = String::from_utf8_lossy(&head);
    assert!(head.starts_with("HTTP/1.1 200"), "GET {key}: {head}");
    assert_eq!(says_sealed(&head), sealed, "GET {key}: {head}");
    assert_eq!(bytes, body_bytes(sealed), "GET {key} was cut");
    hex(&md5.finalize())
}

/// As many uploads and downloads at once, and what the server had resident at its worst.
async fn memory_stays_small(sealed: bool) {
    // What is synced does not change what is held.
    let server = Server::with(Options::default().arg("--durability").arg("os"));
    let root = server.root();
    root.create_bucket("large").await.expect(200);
    let before = upload(root.clone(), server.s3, "before".to_owned(), 255, sealed).await;
    let mut transfers = JoinSet::new();
    for n in 0..AT_ONCE {
        transfers.spawn(upload(root.clone(), server.s3, format!("up-{n}"), n, sealed));
        transfers.spawn({
            let (root, address, before) = (root.clone(), server.s3, before.clone());
            async move {
                let md5 = download(root, address, "before".to_owned(), sealed).await;
                assert_eq!(md5, before, "download {n}");
                md5
            }
        });
    }
    while let Some(ended) = transfers.join_next().await {
        ended.expect("a transfer that is whole");
    }
    let peak = server.peak_memory_bytes();
    report(&format!("memory: {} MiB resident at most, sealed: {sealed}", peak >> 20));
    assert!(peak < memory_bytes_max(), "{} MiB were resident", peak >> 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_does_not_grow_with_bodies() {
    memory_stays_small(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_does_not_grow_with_bodies_that_are_encrypted() {
    memory_stays_small(true).await;
}
