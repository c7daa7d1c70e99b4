//! One object: its bytes, what is said about them, and its key.

use std::fs;

use super::{exchange, md5_hex, pattern, served};
use crate::harness::{Client, Payload};

#[tokio::test]
async fn what_is_put_is_a_file_with_these_bytes() {
    let (server, root) = served("photos").await;
    let body = pattern(300_000, 3);
    let put = root.put("photos", "2024/a.jpg", body.clone()).await.expect(200);
    assert_eq!(put.header("etag"), Some(format!("\"{}\"", md5_hex(&body)).as_str()));
    assert_eq!(fs::read(server.data().join("photos/2024/a.jpg")).expect("the file"), body);
    let got = root.get("photos", "2024/a.jpg").await.expect(200);
    assert_eq!((&got.body[..], got.etag()), (&body[..], put.etag()));
    let head = root.head("photos", "2024/a.jpg").await.expect(200);
    assert_eq!((head.header("content-length"), head.body.len()), (Some("300000"), 0));
    assert_eq!(head.header("accept-ranges"), Some("bytes"));
    assert_eq!(head.header("last-modified"), got.header("last-modified"));
    root.delete("photos", "2024/a.jpg").await.expect(204);
    assert!(!server.data().join("photos/2024/a.jpg").exists());
    root.delete("photos", "2024/a.jpg").await.expect(204);
}

#[tokio::test]
async fn what_is_said_about_the_bytes_is_given_back_and_replaced_whole() {
    let (_server, root) = served("photos").await;
    let said = [
        ("content-type", "text/plain; charset=utf-8"),
        ("cache-control", "max-age=3"),
        ("content-disposition", "attachment; filename=\"a\""),
        ("content-encoding", "deflate, gzip"),
        ("content-language", "de"),
        ("expires", "tomorrow"),
        ("x-amz-website-redirect-location", "/other"),
        ("x-amz-meta-first", "One  two"),
        ("x-amz-meta-empty", ""),
    ];
    let mut call = root.call("PUT", "/photos/k").body("x");
    for (name, value) in said {
        call = call.header(name, value);
    }
    call.send().await.expect(200);
    for method in ["GET", "HEAD"] {
        let answer = root.call(method, "/photos/k").send().await.expect(200);
        for (name, value) in said {
            assert_eq!(answer.header(name), Some(value), "{method} {name}");
        }
    }
    root.put("photos", "k", "y").await.expect(200);
    let bare = root.head("photos", "k").await.expect(200);
    assert_eq!(bare.header("content-type"), Some("binary/octet-stream"));
    for (name, _) in &said[1..] {
        assert_eq!(bare.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn the_encoding_of_the_transport_is_not_kept() {
    let (_server, root) = served("photos").await;
    for (sent, kept) in
        [("gzip, aws-chunked", Some("gzip")), ("aws-chunked, gzip", Some("gzip")), ("aws-chunked", None)]
    {
        root.call("PUT", "/photos/k").header("content-encoding", sent).body("x").send().await.expect(200);
        assert_eq!(root.head("photos", "k").await.expect(200).header("content-encoding"), kept, "{sent}");
    }
}

#[tokio::test]
async fn metadata_beyond_ascii_is_given_back_in_encoded_words() {
    let (_server, root) = served("photos").await;
    root.call("PUT", "/photos/k").header("x-amz-meta-city", "Köln").body("x").send().await.expect(200);
    let head = root.head("photos", "k").await.expect(200);
    assert_eq!(head.header("x-amz-meta-city"), Some("=?UTF-8?B?S8O2bG4=?="));
    let word = root.call("PUT", "/photos/k").header("x-amz-meta-city", "=?UTF-8?Q?K=C3=B6ln?=");
    word.body("x").send().await.expect(200);
    let head = root.head("photos", "k").await.expect(200);
    assert_eq!(head.header("x-amz-meta-city"), Some("=?UTF-8?B?S8O2bG4=?="));
    let long = root.call("PUT", "/photos/k").header("x-amz-meta-a", &"x".repeat(2048));
    long.body("x").send().await.refused(400, "MetadataTooLarge");
}

#[tokio::test]
async fn keys_of_any_shape_are_kept_apart() {
    let (server, root) = served("photos").await;
    let mut keys =
        ["a b", "a+b", "ä/ö", "a//b", "a/./b", "a/../b", "x%41", "xA", "dir/", "dir", "q?p#f&g", "~", "/lead"];
    for key in keys {
        root.put("photos", key, key).await.expect(200);
    }
    for key in keys {
        assert_eq!(root.get("photos", key).await.expect(200).text(), key);
    }
    keys.sort_by_key(|key| key.as_bytes());
    let listed: Vec<String> = root.keys_of("photos", "").await.iter().map(|key| key.replace("&amp;", "&")).collect();
    assert_eq!(listed, keys);
    assert!(!server.data().join("b").exists(), "nothing leaves the bucket");
    let long = "k".repeat(1024);
    root.put("photos", &long, "long").await.expect(200);
    assert_eq!(root.get("photos", &long).await.expect(200).text(), "long");
    root.put("photos", &"k".repeat(1025), "x").await.refused(400, "KeyTooLongError");
}

#[tokio::test]
async fn a_missing_key_is_missing_and_not_hidden() {
    let (_server, root) = served("photos").await;
    let get = root.get("photos", "none").await.refused(404, "NoSuchKey");
    let head = root.head("photos", "none").await.expect(404);
    for answer in [get, head.clone()] {
        assert_eq!(answer.header("x-amz-delete-marker"), Some("false"));
    }
    assert!(head.body.is_empty());
    root.get("none", "k").await.refused(404, "NoSuchBucket");
    root.call("GET", "/photos/k").query("versionId", "null").send().await.refused(404, "NoSuchVersion");
    root.call("GET", "/photos/k").query("versionId", "zz").send().await.refused(400, "InvalidArgument");
}

#[tokio::test]
async fn a_signed_request_may_ask_for_other_headers() {
    let (_server, root) = served("photos").await;
    root.put("photos", "k", "x").await.expect(200);
    let call = root.call("GET", "/photos/k").query("response-content-type", "text/html");
    let answer = call.query("response-expires", "Thu, 01 Dec 1994 16:00:00 GMT").send().await.expect(200);
    assert_eq!(answer.header("content-type"), Some("text/html"));
    assert_eq!(answer.header("expires"), Some("Thu, 01 Dec 1994 16:00:00 GMT"));
    let bad = root.call("GET", "/photos/k").query("response-content-type", "a\r\nx-evil: 1").send().await;
    assert_eq!((bad.status, bad.header("x-evil")), (400, None));
}

#[tokio::test]
async fn headers_that_are_asked_for_may_have_the_letters_of_latin_1() {
    let (_server, root) = served("photos").await;
    let kept =
        root.call("PUT", "/photos/k").header("content-disposition", "inline").header("cache-control", "no-store");
    kept.body("x").send().await.expect(200);
    for method in ["GET", "HEAD"] {
        let ask = |name: &str, text: &str| root.call(method, "/photos/k").query(name, text);
        let call = ask("response-content-disposition", "attachment; filename=\"Pr\u{fc}fung.pdf\"");
        let call = call.query("response-content-type", "text/x-\u{ff}").query("response-content-language", "de");
        let answer = call.send().await.expect(200);
        for (name, wanted) in [
            ("content-disposition", &b"attachment; filename=\"Pr\xfcfung.pdf\""[..]),
            ("content-type", b"text/x-\xff"),
            ("content-language", b"de"),
            ("cache-control", b"no-store"),
        ] {
            let values: Vec<&[u8]> = answer.headers.get_all(name).iter().map(|value| value.as_bytes()).collect();
            assert_eq!(values, [wanted], "{method} {name}");
        }
        let unfit = ask("response-content-disposition", "attachment; filename=\"1976\u{2013}2016.md\"").send().await;
        assert_eq!(unfit.status, 400, "{method}");
        if method == "GET" {
            let unfit = unfit.refused(400, "InvalidArgument");
            assert_eq!(unfit.elements("Message"), ["Header value cannot be represented using ISO-8859-1."]);
            assert_eq!(unfit.elements("ArgumentName"), ["response-content-disposition"]);
        }
    }
}

/// The head of a PUT of `hello` whose length is not told.
fn unmeasured(root: &Client, payload: Payload) -> String {
    let call = root.call("PUT", "/photos/k").header("transfer-encoding", "chunked").header("connection", "close");
    call.payload(payload).body("hello").signed().head()
}

#[tokio::test]
async fn a_body_without_a_length_is_taken_in_and_still_verified() {
    let (server, root) = served("photos").await;
    let file = server.data().join("photos/k");
    let put = |payload, sent: &'static str| {
        let head = unmeasured(&root, payload);
        let bytes = format!("{head}{:x}\r\n{sent}\r\n0\r\n\r\n", sent.len());
        let server = &server;
        async move { exchange(server, bytes.as_bytes()).await }
    };
    let answer = put(Payload::Hashed, "jello").await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("XAmzContentSHA256Mismatch"), "{answer}");
    root.get("photos", "k").await.refused(404, "NoSuchKey");
    assert!(!file.exists());
    for (payload, sent) in [(Payload::Hashed, "hello"), (Payload::Unsigned, "other")] {
        let answer = put(payload, sent).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(fs::read_to_string(&file).expect("the file"), sent);
    }
}

#[tokio::test]
async fn a_body_that_is_cut_leaves_nothing() {
    let (server, root) = served("photos").await;
    let measured = root.call("PUT", "/photos/k").header("content-length", "10").body("0123456789").signed().head();
    let chunked = unmeasured(&root, Payload::Hashed);
    for bytes in [format!("{measured}01234"), format!("{chunked}5\r\nhello\r\n")] {
        root.raw(bytes.as_bytes()).await;
        root.get("photos", "k").await.refused(404, "NoSuchKey");
        assert!(!server.data().join("photos/k").exists());
    }
}
