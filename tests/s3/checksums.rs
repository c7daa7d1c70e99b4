//! Checksums in headers and trailers. The values are the published ones of the text `123456789`, or made here.

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::{base64, md5_base64, pattern, served};
use crate::harness::{Answer, Client, Payload};

const TEXT: &str = "123456789";

fn values() -> [(&'static str, String); 5] {
    [
        ("crc32", base64(&0xCBF4_3926_u32.to_be_bytes())),
        ("crc32c", base64(&0xE306_9283_u32.to_be_bytes())),
        ("crc64nvme", base64(&0xAE8B_1486_0A79_9888_u64.to_be_bytes())),
        ("sha1", base64(&Sha1::digest(TEXT))),
        ("sha256", base64(&Sha256::digest(TEXT))),
    ]
}

/// The value with one bit of it turned.
fn wrong(value: &str) -> String {
    let first = if value.starts_with('A') { "B" } else { "A" };
    format!("{first}{}", &value[1..])
}

async fn checked_head(root: &Client) -> Answer {
    root.call("HEAD", "/b-1/k").header("x-amz-checksum-mode", "ENABLED").send().await.expect(200)
}

#[tokio::test]
async fn a_checksum_in_a_header_is_compared_kept_and_shown() {
    let (_server, root) = served("b-1").await;
    for (name, value) in values() {
        let name = format!("x-amz-checksum-{name}");
        let put = |value: &str| root.call("PUT", "/b-1/k").header(&name, value).body(TEXT).send();
        for bad in [wrong(&value), "bad".to_owned(), value[..value.len() - 4].to_owned()] {
            put(&bad).await.refused(400, "BadDigest");
            root.get("b-1", "k").await.refused(404, "NoSuchKey");
        }
        let stored = put(&value).await.expect(200);
        assert_eq!(stored.header(&name), Some(value.as_str()));
        let head = checked_head(&root).await;
        assert_eq!(head.header(&name), Some(value.as_str()));
        assert_eq!(head.header("x-amz-checksum-type"), Some("FULL_OBJECT"));
        assert_eq!(root.head("b-1", "k").await.expect(200).header(&name), None, "only if it is asked for");
        let range = root.call("GET", "/b-1/k").header("x-amz-checksum-mode", "ENABLED").header("range", "bytes=0-1");
        assert_eq!(range.send().await.expect(206).header(&name), None, "not of a range");
        root.delete("b-1", "k").await.expect(204);
    }
}

#[tokio::test]
async fn without_one_the_whole_has_a_crc64nvme() {
    let (_server, root) = served("b-1").await;
    root.put("b-1", "k", TEXT).await.expect(200);
    assert_eq!(checked_head(&root).await.header("x-amz-checksum-crc64nvme"), Some("rosUhgp5mIg="));
    let named = root.call("PUT", "/b-1/k").header("x-amz-checksum-algorithm", "CRC32C").body(TEXT);
    named.send().await.expect(200);
    assert_eq!(checked_head(&root).await.header("x-amz-checksum-crc32c"), Some("4waSgw=="));
}

#[tokio::test]
async fn one_checksum_that_is_named_as_it_is_sent() {
    let (_server, root) = served("b-1").await;
    let crc = ("x-amz-checksum-crc32", "y/Q5Jg==");
    for (headers, status, code) in [
        (&[crc, ("x-amz-checksum-crc32c", "4waSgw==")][..], 400, "InvalidRequest"),
        (&[("x-amz-sdk-checksum-algorithm", "CRC32")], 400, "InvalidRequest"),
        (&[("x-amz-sdk-checksum-algorithm", "SHA1"), crc], 400, "InvalidRequest"),
        (&[("x-amz-checksum-what", "AAAA")], 400, "InvalidRequest"),
        (&[("x-amz-checksum-xxhash64", "AAAAAAAAAAA=")], 501, "NotImplemented"),
        (&[("content-md5", "")], 400, "InvalidDigest"),
        (&[("content-md5", "bm8=")], 400, "InvalidDigest"),
        (&[("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")], 400, "BadDigest"),
    ] {
        let mut call = root.call("PUT", "/b-1/k").body(TEXT);
        for (name, value) in headers {
            call = call.header(name, value);
        }
        call.send().await.refused(status, code);
        root.get("b-1", "k").await.refused(404, "NoSuchKey");
    }
    let good = root.call("PUT", "/b-1/k").header("content-md5", &md5_base64(TEXT.as_bytes()));
    good.header("x-amz-sdk-checksum-algorithm", "CRC32").header(crc.0, crc.1).body(TEXT).send().await.expect(200);
}

#[tokio::test]
async fn trailers_of_chunked_bodies_are_compared() {
    let (server, root) = served("b-1").await;
    for (name, value) in values() {
        let name = format!("x-amz-checksum-{name}");
        for (signed, sent, status) in
            [(false, &value, 200), (true, &value, 200), (false, &wrong(&value), 400), (true, &wrong(&value), 400)]
        {
            let trailer = Some((name.clone(), sent.clone()));
            let payload = if signed { Payload::SignedChunks(4, trailer) } else { Payload::UnsignedChunks(4, trailer) };
            let answer = root.call("PUT", "/b-1/k").payload(payload).body(TEXT).send().await.expect(status);
            if status == 200 {
                assert_eq!(answer.header(&name), Some(value.as_str()));
                assert_eq!(std::fs::read_to_string(server.data().join("b-1/k")).expect("the file"), TEXT);
                let head = checked_head(&root).await;
                assert_eq!((head.header(&name), head.header("content-encoding")), (Some(value.as_str()), None));
                root.delete("b-1", "k").await.expect(204);
            } else {
                assert_eq!(answer.code(), "BadDigest");
                root.get("b-1", "k").await.refused(404, "NoSuchKey");
            }
        }
    }
}

#[tokio::test]
async fn signed_chunks_of_a_long_body_are_joined() {
    let (server, root) = served("b-1").await;
    let body = pattern(300_001, 7);
    let call = root.call("PUT", "/b-1/k").payload(Payload::SignedChunks(65_536, None)).body(body.clone());
    call.send().await.expect(200);
    assert!(std::fs::read(server.data().join("b-1/k")).expect("the file") == body);
    let spoilt = root.call("PUT", "/b-1/k").payload(Payload::SignedChunks(65_536, None)).body(body.clone());
    let spoilt = spoilt.spoil(|signed| {
        let middle = signed.body.len() / 2;
        signed.body[middle] ^= 1;
    });
    spoilt.send().await.refused(403, "SignatureDoesNotMatch");
    assert!(root.get("b-1", "k").await.expect(200).body[..] == body[..]);
}
