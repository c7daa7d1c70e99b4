//! S3 as a client sees it: the built server, signed requests, and answers held against what S3 documents.
//!
//! **Invariant:** what was written is checked another way than it was written: by digests made here, by reading the
//! files in the served directory, by another operation.

mod access;
mod attached;
mod brought;
mod buckets;
mod checksums;
mod conditions;
mod config;
mod copy;
mod cors;
mod deletes;
mod encryption;
mod errors;
mod expect;
mod hosts;
mod lifecycle;
mod listing;
mod logging;
mod multipart;
pub(crate) mod notification;
mod objects;
pub(crate) mod post;
mod postgres;
mod providers;
mod ranges;
mod signatures;
mod sigv2;
mod told_versions;
mod traps;
mod unset;
mod website;

use base64::Engine as _;
use md5::{Digest as _, Md5};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::sign::{self, now_plus};
use crate::harness::{Answer, Auth, Client, Payload, Server};

/// A fresh server with one bucket, and root's client.
async fn served(bucket: &str) -> (Server, Client) {
    let server = Server::start();
    let root = server.root();
    root.create_bucket(bucket).await.expect(200);
    (server, root)
}

/// A request whose every part the test decides, the host and the time among them.
fn request(host: &str, method: &str, path: &str) -> sign::Request {
    sign::Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: Vec::new(),
        headers: vec![("host".to_owned(), host.to_owned())],
        body: Vec::new(),
        auth: Auth::Header,
        payload: Payload::Hashed,
        region: "us-east-1".to_owned(),
        service: "s3".to_owned(),
        at: now_plus(0),
        unsigned: Vec::new(),
    }
}

/// Signs it with the client's keys and sends it.
async fn send(client: &Client, request: sign::Request) -> Answer {
    client.send(request.sign(client.keys())).await
}

/// Sends bytes as they are, which must ask for the connection to be closed, and returns what comes back. The sending
/// side stays open: a server may give up on a client that closed it.
async fn exchange(server: &Server, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(server.s3).await.expect("a connection");
    socket.write_all(bytes).await.expect("sent");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.expect("an answer to its end");
    String::from_utf8(answer).expect("text")
}

pub(crate) fn md5_hex(bytes: &[u8]) -> String {
    sign::hex(&Md5::digest(bytes))
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

pub(crate) fn md5_base64(bytes: &[u8]) -> String {
    base64(&Md5::digest(bytes))
}

/// Bytes that differ from place to place.
fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i as u8).wrapping_mul(31).wrapping_add((i >> 8) as u8).wrapping_add(seed)).collect()
}
