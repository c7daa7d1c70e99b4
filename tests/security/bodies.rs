//! Bodies that are not what was said of them.
//!
//! **Invariant:** nothing of such a body is kept, whether it was to be an object or a part of one.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::site::{BUCKET, Site};
use super::wire;
use crate::harness::{Call, Payload, Signed};

/// The body of the tables, and its CRC-32.
const TEXT: &str = "123456789";
const CRC32: &str = "y/Q5Jg==";

/// The two requests that take a body in.
async fn doors(site: &Site) -> [(&'static str, Vec<(String, String)>); 2] {
    let begun = site.root.call("POST", &format!("/{BUCKET}/half")).query("uploads", "").send().await;
    let upload = begun.expect(200).elements("UploadId").remove(0);
    let part = vec![("partNumber".to_owned(), "1".to_owned()), ("uploadId".to_owned(), upload)];
    [("/vault/new", Vec::new()), ("/vault/half", part)]
}

fn put<'s>(site: &'s Site, door: &(&'static str, Vec<(String, String)>)) -> Call<'s> {
    door.1.iter().fold(site.root.call("PUT", door.0), |call, (name, value)| call.query(name, value)).body(TEXT)
}

type Change = fn(&mut Signed);

fn text_of(signed: &Signed) -> String {
    String::from_utf8(signed.body.clone()).expect("text")
}

fn replace(signed: &mut Signed, from: &str, to: &str) {
    let text = text_of(signed);
    assert!(text.contains(from), "{from:?} is not in {text:?}");
    signed.body = text.replacen(from, to, 1).into_bytes();
}

/// Cuts the body before the last chunk, which has no bytes.
fn without_end(signed: &mut Signed) {
    let text = text_of(signed);
    let end = text.rfind("\r\n0").expect("a last chunk") + 2;
    signed.body.truncate(end);
}

/// Faults of the framing, and how they are made.
const FAULTS: [(&str, Change); 15] = [
    ("no chunks", |signed| signed.body.clear()),
    ("more bytes than declared", |signed| signed.set_header("x-amz-decoded-content-length", "8")),
    ("fewer bytes than declared", |signed| signed.set_header("x-amz-decoded-content-length", "10")),
    ("a declared length that is no number", |signed| signed.set_header("x-amz-decoded-content-length", "nine")),
    ("a negative declared length", |signed| signed.set_header("x-amz-decoded-content-length", "-9")),
    ("an enormous declared length", |signed| {
        signed.set_header("x-amz-decoded-content-length", "99999999999999999999");
    }),
    ("no declared length", |signed| signed.headers.retain(|(name, _)| name != "x-amz-decoded-content-length")),
    ("a chunk longer than it says", |signed| replace(signed, "4", "3")),
    ("a chunk shorter than it says", |signed| replace(signed, "4", "5")),
    ("a chunk of no size", |signed| replace(signed, "4", "")),
    ("a chunk of a size that is none", |signed| replace(signed, "4", "zz")),
    ("a chunk of a negative size", |signed| replace(signed, "4", "-4")),
    ("a chunk of more than there are bytes in the world", |signed| replace(signed, "4", "ffffffffffffffff")),
    ("a chunk of a size beyond all integers", |signed| replace(signed, "4", "fffffffffffffffffffffffff")),
    ("the body as it is", |signed| signed.body = TEXT.as_bytes().to_vec()),
];

#[tokio::test]
async fn chunks_that_are_not_as_declared_are_refused() {
    let site = Site::new().await;
    let crc = |value: &str| Some(("x-amz-checksum-crc32".to_owned(), value.to_owned()));
    let doors = doors(&site).await;
    let before = site.seen().await;
    let kinds = [
        ("signed chunks", Payload::SignedChunks(4, None)),
        ("signed chunks with a trailer", Payload::SignedChunks(4, crc(CRC32))),
        ("unsigned chunks with a trailer", Payload::UnsignedChunks(4, crc(CRC32))),
    ];
    for door in &doors {
        for (kind, payload) in &kinds {
            for (fault, change) in FAULTS {
                let what = format!("PUT {} with {kind} and {fault}", door.0);
                let signed = put(&site, door).payload(payload.clone()).spoil(change).signed();
                let reply = wire::send(site.server.s3, &signed).await;
                let told = (400..500).contains(&reply.status);
                assert!(told, "{what}: {} {}", reply.head, String::from_utf8_lossy(&reply.body));
                site.settles_to(&before, &what).await;
            }
        }
    }
}

#[tokio::test]
async fn chunks_without_the_last_one_are_refused() {
    let site = Site::new().await;
    let doors = doors(&site).await;
    let before = site.seen().await;
    let crc = || Some(("x-amz-checksum-crc32".to_owned(), CRC32.to_owned()));
    let cut: Change = |signed| {
        without_end(signed);
        signed.body.push(b'0');
    };
    for payload in [Payload::SignedChunks(4, crc()), Payload::UnsignedChunks(4, crc()), Payload::SignedChunks(4, None)]
    {
        for door in &doors {
            for (fault, change) in [("no last chunk", without_end as Change), ("a last chunk that is cut", cut)] {
                let what = format!("PUT {} as {payload:?} with {fault}", door.0);
                let signed = put(&site, door).payload(payload.clone()).spoil(change).signed();
                let reply = wire::send(site.server.s3, &signed).await;
                let told = (400..500).contains(&reply.status);
                assert!(told, "{what}: {} {}", reply.head, String::from_utf8_lossy(&reply.body));
                site.settles_to(&before, &what).await;
            }
        }
    }
}

/// Exchanges the bytes of the first two chunks.
fn exchange(signed: &mut Signed) {
    let text = text_of(signed);
    let (first, second) = (text.find("\r\n1234").expect("a chunk"), text.find("5678").expect("another"));
    assert!(first < second);
    signed.body = text.replace("1234", "....").replace("5678", "1234").replace("....", "5678").into_bytes();
}

#[tokio::test]
async fn chunks_that_are_not_as_signed_are_refused() {
    let site = Site::new().await;
    let crc = |value: &str| Some(("x-amz-checksum-crc32".to_owned(), value.to_owned()));
    let doors = doors(&site).await;
    let before = site.seen().await;
    let signed_chunks = || Payload::SignedChunks(4, crc(CRC32));
    let unsigned = || Payload::UnsignedChunks(4, crc(CRC32));
    let rows: [(&str, Payload, Change); 16] = [
        ("another byte", signed_chunks(), |signed| replace(signed, "1234", "1235")),
        ("two chunks exchanged", signed_chunks(), exchange),
        ("another signature of a chunk", signed_chunks(), |signed| {
            replace(signed, "chunk-signature=", "chunk-signature=0");
        }),
        ("no signature of a chunk", signed_chunks(), |signed| {
            let text = text_of(signed);
            let at = text.find(";chunk-signature").expect("signed");
            signed.body = format!("{}{}", &text[..at], &text[at + 81..]).into_bytes();
        }),
        ("another signature of the trailer", signed_chunks(), |signed| {
            replace(signed, "x-amz-trailer-signature:", "x-amz-trailer-signature:0");
        }),
        ("no signature of the trailer", signed_chunks(), |signed| {
            let text = text_of(signed);
            let at = text.find("x-amz-trailer-signature").expect("signed");
            signed.body = format!("{}\r\n", &text[..at]).into_bytes();
        }),
        ("another trailer than was signed", signed_chunks(), |signed| replace(signed, CRC32, "AAAAAA==")),
        ("a signed trailer of other bytes", Payload::SignedChunks(4, crc("AAAAAA==")), |_| {}),
        ("a trailer of other bytes", Payload::UnsignedChunks(4, crc("AAAAAA==")), |_| {}),
        ("a trailer that is no checksum", Payload::UnsignedChunks(4, crc("?")), |_| {}),
        ("no trailer", unsigned(), |signed| replace(signed, "x-amz-checksum-crc32:y/Q5Jg==\r\n", "")),
        ("another trailer than was announced", unsigned(), |signed| {
            replace(signed, "x-amz-checksum-crc32:", "x-amz-checksum-crc32c:");
        }),
        ("a trailer twice", unsigned(), |signed| {
            replace(signed, "x-amz-checksum-crc32:", "x-amz-checksum-crc32:AAAAAA==\r\nx-amz-checksum-crc32:");
        }),
        ("a thousand trailers", unsigned(), |signed| {
            let many: String = (0..1000).map(|n| format!("x-amz-meta-{n}:1\r\n")).collect();
            replace(signed, "x-amz-checksum-crc32:", &format!("{many}x-amz-checksum-crc32:"));
        }),
        ("a trailer of a megabyte", unsigned(), |signed| {
            replace(signed, "x-amz-checksum-crc32:", &format!("x-a:{}\r\nx-amz-checksum-crc32:", "x".repeat(1 << 20)));
        }),
        (
            "a trailer that is no checksum's name",
            Payload::UnsignedChunks(4, Some(("x-amz-meta-a".into(), "1".into()))),
            |_| {},
        ),
    ];
    for (fault, payload, change) in rows {
        for door in &doors {
            let what = format!("PUT {} with {fault}", door.0);
            let signed = put(&site, door).payload(payload.clone()).spoil(change).signed();
            let reply = wire::send(site.server.s3, &signed).await;
            let told = (400..500).contains(&reply.status);
            assert!(told, "{what}: {} {}", reply.head, String::from_utf8_lossy(&reply.body));
            site.settles_to(&before, &what).await;
        }
    }
    for door in &doors {
        let sound = wire::send(site.server.s3, &put(&site, door).payload(signed_chunks()).signed()).await;
        assert_eq!(sound.status, 200, "the request itself is sound: {}", String::from_utf8_lossy(&sound.body));
    }
}

#[tokio::test]
async fn bodies_that_are_not_as_declared_are_refused() {
    let site = Site::new().await;
    let doors = doors(&site).await;
    let before = site.seen().await;
    let zeros = "0".repeat(64);
    for (name, value, status, code) in [
        ("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==", 400, "BadDigest"),
        ("content-md5", "AAAA", 400, "InvalidDigest"),
        ("content-md5", "no base64", 400, "InvalidDigest"),
        ("x-amz-content-sha256", &zeros, 400, "XAmzContentSHA256Mismatch"),
        ("x-amz-checksum-crc32", "AAAAAA==", 400, "BadDigest"),
        ("x-amz-checksum-crc32c", "AAAAAA==", 400, "BadDigest"),
        ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=", 400, "BadDigest"),
        ("x-amz-checksum-sha1", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=", 400, "BadDigest"),
        ("x-amz-checksum-sha256", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", 400, "BadDigest"),
        ("x-amz-checksum-crc32", "AAAA", 400, "BadDigest"),
        ("x-amz-checksum-crc32", "", 400, "BadDigest"),
        ("x-amz-checksum-unheard-of", "AAAA", 400, "InvalidRequest"),
    ] {
        for door in &doors {
            let answer = put(&site, door).header(name, value).send().await;
            let what = format!("PUT {} with {name}: {value}", door.0);
            assert_eq!((answer.status, answer.code().as_str()), (status, code), "{what}: {}", answer.text());
            site.settles_to(&before, &what).await;
        }
    }
}

#[tokio::test]
async fn lengths_that_contradict_themselves_are_refused() {
    let site = Site::new().await;
    let doors = doors(&site).await;
    let before = site.seen().await;
    for door in &doors {
        let with = |headers: &[(&str, &str)], body: &str| {
            let call =
                headers.iter().fold(put(&site, door).payload(Payload::Unsigned), |call, (n, v)| call.header(n, v));
            let mut signed = call.signed();
            signed.body = body.as_bytes().to_vec();
            signed
        };
        let chunked = "9\r\n123456789\r\n0\r\n\r\n";
        for (what, signed) in [
            ("chunks and a length", with(&[("transfer-encoding", "chunked"), ("content-length", "9")], chunked)),
            ("a length and chunks", with(&[("content-length", "21"), ("transfer-encoding", "chunked")], chunked)),
            ("two lengths", with(&[("content-length", "9"), ("content-length", "10")], TEXT)),
            ("a list of lengths", with(&[("content-length", "9, 10")], TEXT)),
            ("a negative length", with(&[("content-length", "-9")], TEXT)),
            ("a signed length", with(&[("content-length", "+9")], TEXT)),
            ("a length that is no number", with(&[("content-length", "nine")], TEXT)),
            ("a length beyond all integers", with(&[("content-length", "99999999999999999999")], TEXT)),
            ("a length beyond the largest object", with(&[("content-length", "5368709121")], TEXT)),
            ("another transfer encoding", with(&[("transfer-encoding", "gzip")], TEXT)),
            ("chunks twice", with(&[("transfer-encoding", "chunked, chunked")], chunked)),
            ("chunks, but not last", with(&[("transfer-encoding", "chunked, identity")], chunked)),
        ] {
            let reply = wire::send(site.server.s3, &signed).await;
            let told = (400..=501).contains(&reply.status) && reply.status != 500;
            let what = format!("PUT {} with {what}", door.0);
            assert!(told, "{what}: {} {}", reply.head, String::from_utf8_lossy(&reply.body));
            // What follows must not be taken for a second request.
            assert_eq!(reply.head.matches("HTTP/1.1 ").count(), 1, "{what}");
            site.settles_to(&before, &what).await;
        }
    }
}

#[tokio::test]
async fn a_chunk_is_never_held_whole() {
    const BYTES: usize = 128 << 20;
    let site = Site::new().await;
    let before = site.seen().await;
    let memory = site.server.peak_memory_bytes();
    // A signed one would have to be, so there is a largest one.
    let large = Payload::SignedChunks(17 << 20, None);
    let signed = site.root.call("PUT", "/vault/new").payload(large).body(vec![7; 17 << 20]).signed();
    let reply = wire::send(site.server.s3, &signed).await;
    assert!(matches!(reply.status, 0 | 400), "a signed chunk of 17 MiB: {}", reply.head);
    // An unsigned one passes; what it ends with is wrong, so that nothing stays.
    let trailer = Some(("x-amz-checksum-crc32".to_owned(), "AAAAAA==".to_owned()));
    let call = site.root.call("PUT", "/vault/new").payload(Payload::UnsignedChunks(1, trailer));
    let mut signed = call.signed();
    let tail = "\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
    let head = format!("{BYTES:x}\r\n");
    signed.set_header("content-length", &(head.len() + BYTES + tail.len()).to_string());
    // The declared length is signed, so the request is made for it from the start.
    let call = site.root.call("PUT", "/vault/new").payload(Payload::Unsigned);
    let call = call.header("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    let call =
        call.header("x-amz-decoded-content-length", &BYTES.to_string()).header("content-encoding", "aws-chunked");
    let mut made = call.header("x-amz-trailer", "x-amz-checksum-crc32").signed();
    made.set_header("content-length", signed.header("content-length").expect("set"));
    let mut socket = TcpStream::connect(site.server.s3).await.expect("a connection");
    socket.write_all(wire::last_head(&made).as_bytes()).await.expect("written");
    socket.write_all(head.as_bytes()).await.expect("written");
    let block = vec![7; 1 << 20];
    for _ in 0..BYTES >> 20 {
        socket.write_all(&block).await.expect("written");
    }
    socket.write_all(tail.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.expect("an answer");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("BadDigest"), "{answer}");
    site.settles_to(&before, "a large chunk").await;
    let rise = site.server.peak_memory_bytes().saturating_sub(memory);
    assert!(rise < 64 << 20, "memory rose by {} MiB", rise >> 20);
}

#[tokio::test]
async fn forms_of_nobody_are_refused_unread() {
    let site = Site::new().await;
    let before = site.seen().await;
    let memory = site.server.peak_memory_bytes();
    let field = |name: &str, value: &str| {
        format!("--edge\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let file = "--edge\r\ncontent-disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n";
    let fields = field("key", "stolen") + &field("acl", "public-read") + file;
    let head = |framing: &str| {
        format!(
            "POST /vault HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: multipart/form-data; boundary=edge\r\n{framing}\r\n\r\n"
        )
    };
    // The file of a gigabyte is announced; a megabyte of it comes.
    let announced = format!("{}{fields}{}", head("content-length: 1073741824"), "x".repeat(1 << 20));
    let reply = wire::exchange(site.server.s3, announced.as_bytes()).await;
    let refused = matches!(reply.status, 400 | 403 | 411 | 501);
    assert!(refused, "a form of a gigabyte: {}", reply.head);
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, "x".repeat(1 << 20));
    let chunked =
        format!("{}{:x}\r\n{fields}\r\n{}", head("transfer-encoding: chunked"), fields.len(), chunk.repeat(96));
    let reply = wire::exchange(site.server.s3, chunked.as_bytes()).await;
    assert!(matches!(reply.status, 0 | 411), "a form without a length: {}", reply.head);
    let many: String = (0..20_000).map(|n| field(&format!("x-ignore-{n}"), "x")).collect();
    for (what, form) in [
        ("a field of a megabyte", field("key", &"k".repeat(1 << 20)) + file + "x\r\n--edge--\r\n"),
        ("many fields", many + file + "x\r\n--edge--\r\n"),
        ("no end", fields.clone()),
        ("a small form", fields + "x\r\n--edge--\r\n"),
    ] {
        let request = format!("{}{form}", head(&format!("content-length: {}", form.len())));
        let reply = wire::exchange(site.server.s3, request.as_bytes()).await;
        assert!(matches!(reply.status, 0 | 400 | 403 | 501), "a form with {what}: {}", reply.head);
    }
    site.settles_to(&before, "forms").await;
    let rise = site.server.peak_memory_bytes().saturating_sub(memory);
    assert!(rise < 64 << 20, "memory rose by {} MiB", rise >> 20);
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_still_writes() {
    let site = Site::new().await;
    for (bytes, comes) in [(100 << 10, true), (700 << 10, true), (64 << 20, false)] {
        let mut signed = site.root.call("PUT", "/vault/new").payload(Payload::Unsigned).body(vec![7; bytes]).signed();
        signed.set_header("authorization", "AWS4-HMAC-SHA256 nonsense");
        let mut socket = TcpStream::connect(site.server.s3).await.expect("a connection");
        socket.write_all(wire::last_head(&signed).as_bytes()).await.expect("written");
        // The answer is there before most of the body is written, and is looked at only afterwards, as the SDKs do it.
        let (begin, rest) = signed.body.split_at(64 << 10);
        socket.write_all(begin).await.expect("written");
        socket.readable().await.expect("an answer");
        let mut written = Ok(());
        for piece in rest.chunks(32 << 10) {
            written = written.and(socket.write_all(piece).await);
        }
        assert_eq!(written.is_ok(), comes, "{bytes} bytes: {written:?}");
        let mut answer = String::new();
        let read = socket.read_to_string(&mut answer).await;
        if comes {
            assert!(read.is_ok() && answer.starts_with("HTTP/1.1 4"), "{bytes} bytes: {read:?} {answer}");
        }
    }
    // Who waits to be asked for the body is not.
    let signed = site.root.call("PUT", "/vault/new").payload(Payload::Unsigned).body(vec![7; 1000]).signed();
    let head = wire::last_head(&signed).replacen("\r\n", "\r\nexpect: 100-continue\r\nx-amz-acl: public-read\r\n", 1);
    let reply = wire::exchange(site.server.s3, head.as_bytes()).await;
    assert!(reply.status >= 400, "{reply:?}");
}
