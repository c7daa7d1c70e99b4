//! Heads of requests: sizes, ranges, numbers, and characters that would break an answer.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::site::{BUCKET, BYTES, Site};
use super::wire;
use crate::harness::{Auth, Client};

#[tokio::test]
async fn heads_beyond_their_limits_are_refused() {
    let site = Site::new().await;
    let before = site.seen().await;
    let memory = site.server.peak_memory_bytes();
    let put = || site.root.call("PUT", "/vault/new").body("x");
    let many = |count: usize, bytes: usize| {
        (0..count).fold(put(), |call, n| call.header(&format!("x-amz-meta-{n}"), &"v".repeat(bytes)))
    };
    let rows = [
        ("17 KiB in one header", many(1, 17 << 10), 431, "RequestHeaderSectionTooLarge"),
        ("17 KiB in many headers", many(60, 300), 431, "RequestHeaderSectionTooLarge"),
        ("a thousand headers", many(1000, 1), 431, ""),
        ("a URI of 9 KiB", put().query("x", &"x".repeat(9 << 10)), 414, "URITooLong"),
        ("2 KiB of metadata and a byte", put().header("x-amz-meta-a", &"v".repeat(2048)), 400, "MetadataTooLarge"),
        ("metadata in many headers", many(70, 50), 400, "MetadataTooLarge"),
    ];
    for (what, call, status, code) in rows {
        let reply = wire::send(site.server.s3, &call.signed()).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{what}: {}", reply.head);
    }
    // One that never ends is cut while it is read.
    let endless = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}", "x".repeat(8 << 20));
    let reply = wire::exchange(site.server.s3, endless.as_bytes()).await;
    assert!(matches!(reply.status, 0 | 400 | 431), "an endless header: {}", reply.head);
    let endless = format!("GET /{}", "x".repeat(8 << 20));
    let reply = wire::exchange(site.server.s3, endless.as_bytes()).await;
    assert!(matches!(reply.status, 0 | 400 | 414 | 431), "an endless target: {}", reply.head);
    site.settles_to(&before, "large heads").await;
    let rise = site.server.peak_memory_bytes().saturating_sub(memory);
    assert!(rise < 64 << 20, "memory rose by {} MiB", rise >> 20);
}

#[tokio::test]
async fn a_head_that_drips_is_given_up() {
    let site = Site::new().await;
    for address in [site.server.s3, site.server.rest] {
        let mut socket = TcpStream::connect(address).await.expect("a connection");
        socket.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nx-drip: ").await.expect("written");
        let (mut reader, mut writer) = socket.split();
        let began = Instant::now();
        let mut answer = Vec::new();
        let drip = async {
            // As long as the server listens, another byte comes.
            while writer.write_all(b"x").await.is_ok() && began.elapsed() < Duration::from_secs(20) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            _ = reader.read_to_end(&mut answer) => {}
            () = drip => {}
        }
        let took = began.elapsed();
        assert!((8..15).contains(&took.as_secs()), "a dripping head was closed after {took:?}");
    }
}

#[tokio::test]
async fn ranges_are_bounded_by_the_object() {
    let site = Site::new().await;
    let (whole, size) = (BYTES, BYTES.len());
    let many = format!("bytes={}", vec!["0-0"; 1000].join(","));
    for (range, status, body) in [
        ("bytes=0-3", 206, "twel"),
        ("bytes=0-99999999999999999999999999", 206, whole),
        ("bytes=0-18446744073709551615", 206, whole),
        ("bytes=0-9223372036854775807", 206, whole),
        ("bytes=-99999999999999999999999999", 206, whole),
        ("bytes=-18446744073709551616", 206, whole),
        ("bytes=99999999999999999999999999-", 416, ""),
        ("bytes=18446744073709551615-18446744073709551615", 416, ""),
        ("bytes=16-", 416, ""),
        ("bytes=-0", 416, ""),
        ("bytes=5-2", 200, whole),
        ("bytes=18446744073709551615-0", 200, whole),
        (&many, 200, whole),
        ("bytes=0-0,-1", 200, whole),
        ("bytes=", 200, whole),
        ("bytes=-", 200, whole),
        ("bytes=a-b", 200, whole),
        ("bytes=0x0-0x3", 200, whole),
        ("bytes=+0-+3", 200, whole),
        ("bytes=0--3", 200, whole),
        ("items=0-3", 200, whole),
        ("bytes 0-3", 200, whole),
    ] {
        for auth in [Auth::Header, Auth::Presigned(60)] {
            let answer = site.root.call("GET", "/vault/gold/bar").auth(auth).header("range", range).send().await;
            let what = format!("{} with {auth:?}", &range[..range.len().min(60)]);
            assert_eq!(answer.status, status, "{what}: {}", answer.text());
            if status == 416 {
                assert_eq!(answer.code(), "InvalidRange", "{what}");
                assert_eq!(answer.header("content-range"), Some(&*format!("bytes */{size}")), "{what}");
            } else {
                assert_eq!(answer.text(), body, "{what}");
                assert_eq!(answer.header("content-length"), Some(&*body.len().to_string()), "{what}");
            }
        }
    }
    let before = site.seen().await;
    let begun = site.root.call("POST", &format!("/{BUCKET}/half")).query("uploads", "").send().await;
    let upload = begun.expect(200).elements("UploadId").remove(0);
    for range in ["bytes=0-16", "bytes=5-2", "bytes=0-", "bytes=-3", "bytes=0-18446744073709551615", "0-3", &many] {
        let part = site.root.call("PUT", "/vault/half").query("partNumber", "1").query("uploadId", &upload);
        let part = part.header("x-amz-copy-source", "vault/gold/bar").header("x-amz-copy-source-range", range);
        let answer = part.send().await;
        assert!(matches!(answer.status, 400 | 416), "{range}: {} {}", answer.status, answer.text());
    }
    site.root.call("DELETE", "/vault/half").query("uploadId", &upload).send().await.expect(204);
    site.settles_to(&before, "ranges of copies").await;
}

#[tokio::test]
async fn numbers_are_clamped_or_refused() {
    let site = Site::new().await;
    for n in 0..3 {
        site.root.put(BUCKET, &format!("k{n}"), "x").await.expect(200);
    }
    let begun = site.root.call("POST", &format!("/{BUCKET}/half")).query("uploads", "").send().await;
    let upload = begun.expect(200).elements("UploadId").remove(0);
    let numbers = [
        "-1",
        "0",
        "1",
        "2147483647",
        "2147483648",
        "-2147483649",
        "9223372036854775808",
        "1e3",
        "abc",
        "",
        " 1",
        "\u{1}",
        "\u{663}",
    ];
    for number in numbers {
        for (path, sub, parameter) in [
            ("/vault", "list-type=2", "max-keys"),
            ("/vault", "", "max-keys"),
            ("/vault", "versions=", "max-keys"),
            ("/vault", "uploads=", "max-uploads"),
            ("/vault/half", "uploadId", "max-parts"),
            ("/vault/half", "uploadId", "part-number-marker"),
            ("/vault/gold/bar", "", "partNumber"),
            ("/", "", "max-buckets"),
        ] {
            let mut call = site.root.call("GET", path).query(parameter, number);
            if sub == "uploadId" {
                call = call.query(sub, &upload);
            } else if let Some((name, value)) = sub.split_once('=') {
                call = call.query(name, value);
            }
            let answer = call.send().await;
            let what = format!("{parameter}={number:?} of {path}?{sub}");
            assert!(matches!(answer.status, 200 | 206 | 400 | 416), "{what}: {} {}", answer.status, answer.text());
            let entries = ["<Contents>", "<Version>", "<Upload>", "<Part>", "<CreationDate>"];
            let shown: usize = entries.iter().map(|entry| answer.text().matches(entry).count()).sum();
            assert!(number != "0" || !parameter.starts_with("max") || shown == 0, "{what}: {}", answer.text());
            for stated in ["MaxKeys", "MaxUploads", "MaxParts"].iter().flat_map(|name| answer.elements(name)) {
                let most: u64 = stated.parse().unwrap_or(u64::MAX);
                assert!(most <= 1000, "{what}: a page of {stated}");
            }
            let bad = number.parse::<i64>().map_or(!number.is_empty(), |n| n < 0);
            assert!(!bad || answer.status == 400, "{what}: {} {}", answer.status, answer.text());
        }
        for number in [number, "10001"] {
            let part = site.root.call("PUT", "/vault/half").query("partNumber", number).query("uploadId", &upload);
            let answer = part.body("x").send().await;
            let legal = number == "1";
            assert!(legal || answer.status == 400, "part {number:?}: {} {}", answer.status, answer.text());
        }
        let attributes = site.root.call("GET", "/vault/gold/bar").query("attributes", "");
        let attributes = attributes.header("x-amz-object-attributes", "ETag,ObjectParts");
        if !number.contains('\u{1}') {
            let answer = attributes.header("x-amz-max-parts", number).send().await;
            assert!(matches!(answer.status, 200 | 400 | 403), "max-parts {number:?}: {}", answer.text());
        }
    }
}

/// Headers in which anything else than printable ASCII would break an answer.
const KEPT: [&str; 6] = [
    "content-type",
    "content-disposition",
    "content-language",
    "content-encoding",
    "cache-control",
    "x-amz-website-redirect-location",
];

#[tokio::test]
async fn no_header_can_be_written_into_an_answer() {
    let site = Site::new().await;
    let before = site.seen().await;
    for name in KEPT.into_iter().chain(["x-amz-meta-a", "expires"]) {
        for text in
            ["/a\rset-cookie: b", "/a\nset-cookie: b", "/a\r\n\tset-cookie: b", "/a\0b", "/a\u{1}b", "/a\u{7f}b"]
        {
            let signed = site.root.call("PUT", "/vault/new").header(name, text).body("x").signed();
            let reply = wire::send(site.server.s3, &signed).await;
            // A line that goes on in the next one is folded or refused, never taken as it is.
            let refused = matches!(reply.status, 400 | 403);
            assert!(refused, "{name}: {text:?}: {}", reply.head);
        }
    }
    for name in KEPT {
        for text in ["/caf\u{e9}", "/\u{1f600}"] {
            let signed = site.root.call("PUT", "/vault/new").header(name, text).body("x").signed();
            let reply = wire::send(site.server.s3, &signed).await;
            assert_eq!(reply.status, 400, "{name}: {text:?}: {}", reply.head);
        }
    }
    // What an encoded word stands for counts, not how it looks.
    for word in ["=?UTF-8?B?DQpzZXQtY29va2llOiBh?=", "=?UTF-8?Q?a=0D=0Aset-cookie:_b?=", "=?UTF-8?Q?a=00b?="] {
        let answer = site.root.call("PUT", "/vault/new").header("x-amz-meta-a", word).body("x").send().await;
        assert_eq!(answer.status, 400, "{word}: {}", answer.text());
    }
    site.settles_to(&before, "headers that are refused").await;
    let answer = site.root.call("PUT", "/vault/new").header("x-amz-meta-a", "caf\u{e9}").body("x").send().await;
    answer.expect(200);
    let kept = site.root.get(BUCKET, "new").await.expect(200);
    let value = kept.header("x-amz-meta-a").expect("ASCII");
    assert!(value.starts_with("=?UTF-8?"), "{value}");
}

#[tokio::test]
async fn what_a_url_asks_an_answer_to_say_cannot_break_it() {
    let site = Site::new().await;
    for name in ["type", "disposition", "language", "encoding"].map(|name| format!("response-content-{name}")) {
        overrides(&site, &name).await;
    }
    for name in ["response-cache-control", "response-expires"] {
        overrides(&site, name).await;
    }
    // Who is nobody may ask for nothing of the kind, also of what is public.
    site.server.run(&["bucket", "set", BUCKET, "--public", "true"]);
    let anonymous: Client = site.server.anonymous();
    let deadline = Instant::now() + Duration::from_secs(5);
    while anonymous.get(BUCKET, "gold/bar").await.status != 200 {
        assert!(Instant::now() < deadline, "the bucket does not become public");
    }
    let html = anonymous.call("GET", "/vault/gold/bar").query("response-content-type", "text/html").send().await;
    html.refused(400, "InvalidRequest");
}

async fn overrides(site: &Site, name: &str) {
    for text in ["a\r\nset-cookie: b", "a\rb", "a\nset-cookie: b", "a\0b", "a\u{1}b", "caf\u{e9}\u{85}", "\u{20ac}"] {
        for method in ["GET", "HEAD"] {
            for auth in [Auth::Header, Auth::Presigned(60)] {
                let call = site.root.call(method, "/vault/gold/bar").auth(auth).query(name, text);
                let answer = call.send().await;
                assert_eq!(answer.status, 400, "{method} {name}={text:?}: {}", answer.text());
                assert!(answer.header("set-cookie").is_none(), "{method} {name}={text:?} set a cookie");
            }
        }
    }
}
