//! Requests whose client goes away in the middle.
//!
//! **Invariant:** a cut request is as if it had never been: nothing is visible, no file is left, nothing goes on.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::site::{BUCKET, Site};
use crate::harness::{Payload, Signed};

const BODY_BYTES: usize = 3 << 20;

/// Sends the head and so many bytes of the body, waits until the server is at work, and goes away.
async fn cut(site: &Site, signed: &Signed, bytes: usize, what: &str) {
    let mut socket = TcpStream::connect(site.server.s3).await.expect("a connection");
    socket.write_all(signed.head().as_bytes()).await.expect("written");
    socket.write_all(&signed.body[..bytes]).await.expect("written");
    let deadline = Instant::now() + Duration::from_secs(10);
    while site.metrics().await.contains("longshore_requests_in_flight{front=\"s3\"} 0") {
        assert!(Instant::now() < deadline, "{what}: the request does not begin");
    }
    drop(socket);
}

#[tokio::test]
async fn a_cut_upload_leaves_nothing() {
    let site = Site::new().await;
    let begun = site.root.call("POST", &format!("/{BUCKET}/half")).query("uploads", "").send().await;
    let upload = begun.expect(200).elements("UploadId").remove(0);
    let before = site.seen().await;
    let body: Vec<u8> = (0..BODY_BYTES).map(|n| (n % 251) as u8).collect();
    let trailer = Some(("x-amz-checksum-crc32".to_owned(), "AAAAAA==".to_owned()));
    for payload in [Payload::Hashed, Payload::SignedChunks(64 << 10, None), Payload::UnsignedChunks(1 << 20, trailer)] {
        for path in ["/vault/new", "/vault/gold/bar", "/vault/half"] {
            let mut call = site.root.call("PUT", path).payload(payload.clone()).body(body.clone());
            if path == "/vault/half" {
                call = call.query("partNumber", "1").query("uploadId", &upload);
            }
            let signed = call.signed();
            for bytes in [0, 1, 64 << 10, (256 << 10) + 1, 1 << 20, signed.body.len() - 1] {
                let what = format!("PUT {path} cut after {bytes} bytes of {} as {payload:?}", signed.body.len());
                cut(&site, &signed, bytes, &what).await;
                site.settles_to(&before, &what).await;
            }
        }
    }
    let parts = site.root.call("GET", "/vault/half").query("uploadId", &upload).send().await.expect(200);
    assert_eq!(parts.elements("Part"), Vec::<String>::new(), "a cut part was kept");
}

#[tokio::test]
async fn small_bodies_and_lists_that_are_cut_do_nothing() {
    let site = Site::new().await;
    let before = site.seen().await;
    let small = site.root.call("PUT", "/vault/new").body(vec![7; 100]).signed();
    let list = "<Delete><Object><Key>gold/bar</Key></Object></Delete>";
    let list = site.root.call("POST", "/vault").query("delete", "").payload(Payload::Unsigned).body(list);
    let list = list.header("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==").signed();
    for signed in [small, list] {
        for bytes in [0, 50, signed.body.len() - 1] {
            let what = format!("{} {} cut after {bytes} bytes", signed.method, signed.target);
            cut(&site, &signed, bytes, &what).await;
            site.settles_to(&before, &what).await;
        }
    }
}

#[tokio::test]
async fn a_cut_download_ends() {
    let site = Site::new().await;
    site.root.put(BUCKET, "large", vec![7; 32 << 20]).await.expect(200);
    let before = site.seen().await;
    let signed = site.root.call("GET", "/vault/large").signed();
    for bytes in [1, 64 << 10, 1 << 20] {
        let mut socket = TcpStream::connect(site.server.s3).await.expect("a connection");
        socket.write_all(signed.head().as_bytes()).await.expect("written");
        let mut read = vec![0; bytes];
        socket.read_exact(&mut read).await.expect("read");
        drop(socket);
        site.settles_to(&before, &format!("a download cut after {bytes} bytes")).await;
    }
}
