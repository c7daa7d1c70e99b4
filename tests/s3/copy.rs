//! Copies within the server.

use std::fs;

use super::{md5_hex, served};

#[tokio::test]
async fn a_copy_carries_what_the_source_says_unless_told_otherwise() {
    let (server, root) = served("b-1").await;
    root.create_bucket("b-2").await.expect(200);
    let put = root.call("PUT", "/b-1/a b+c").header("content-type", "a/b").header("x-amz-meta-m", "1").body("hello");
    put.send().await.expect(200);
    let copy = |to: &str| root.call("PUT", to).header("x-amz-copy-source", "/b-1/a%20b%2Bc");
    let kept = copy("/b-2/kept").header("x-amz-meta-m", "ignored").send().await.expect(200);
    assert_eq!(kept.elements("ETag"), [format!("\"{}\"", md5_hex(b"hello"))]);
    assert_eq!(fs::read(server.data().join("b-2/kept")).expect("the file"), b"hello");
    let head = root.head("b-2", "kept").await.expect(200);
    assert_eq!((head.header("content-type"), head.header("x-amz-meta-m")), (Some("a/b"), Some("1")));
    let replaced = copy("/b-2/new").header("x-amz-metadata-directive", "REPLACE").header("x-amz-meta-n", "2");
    replaced.send().await.expect(200);
    let head = root.head("b-2", "new").await.expect(200);
    assert_eq!(head.header("content-type"), Some("binary/octet-stream"));
    assert_eq!((head.header("x-amz-meta-m"), head.header("x-amz-meta-n")), (None, Some("2")));
    copy("/b-2/k").header("x-amz-metadata-directive", "MAYBE").send().await.refused(400, "InvalidArgument");
}

#[tokio::test]
async fn a_copy_has_the_storage_class_and_the_redirect_that_it_names() {
    let (_server, root) = served("b-1").await;
    let (class, redirect) = ("x-amz-storage-class", "x-amz-website-redirect-location");
    let put = root.call("PUT", "/b-1/from").header(class, "STANDARD_IA").header(redirect, "/old");
    put.header("content-type", "a/b").header("x-amz-meta-m", "1").body("hello").send().await.expect(200);
    for (to, name, value, of_class, leads_to) in [
        ("to", "", "", None, None),
        ("to", redirect, "/new", None, Some("/new")),
        ("to", class, "GLACIER_IR", Some("GLACIER_IR"), None),
        ("from", class, "STANDARD", None, None),
    ] {
        let mut copy = root.call("PUT", &format!("/b-1/{to}")).header("x-amz-copy-source", "b-1/from");
        if !name.is_empty() {
            copy = copy.header(name, value);
        }
        copy.send().await.expect(200);
        let head = root.head("b-1", to).await.expect(200);
        assert_eq!((head.header(class), head.header(redirect)), (of_class, leads_to), "{to} with {name}");
        assert_eq!((head.header("content-type"), head.header("x-amz-meta-m")), (Some("a/b"), Some("1")));
    }
}

#[tokio::test]
async fn a_copy_onto_itself_must_change_something() {
    let (_server, root) = served("b-1").await;
    root.put("b-1", "k", "hello").await.expect(200);
    let copy = || root.call("PUT", "/b-1/k").header("x-amz-copy-source", "b-1/k");
    copy().send().await.refused(400, "InvalidRequest");
    let replace = copy().header("x-amz-metadata-directive", "REPLACE").header("x-amz-meta-n", "2");
    replace.send().await.expect(200);
    let got = root.get("b-1", "k").await.expect(200);
    assert_eq!((got.text().as_str(), got.header("x-amz-meta-n")), ("hello", Some("2")));
}

#[tokio::test]
async fn a_source_is_looked_for_and_may_be_conditional() {
    let (_server, root) = served("b-1").await;
    let etag = root.put("b-1", "k", "hello").await.expect(200).etag().to_owned();
    for (source, status, code) in [
        ("b-1/none", 404, "NoSuchKey"),
        ("none/k", 404, "NoSuchBucket"),
        ("b-1", 400, "InvalidArgument"),
        ("b-1/k?versionId=zz", 400, "InvalidArgument"),
    ] {
        root.call("PUT", "/b-1/to").header("x-amz-copy-source", source).send().await.refused(status, code);
    }
    for (name, value, status) in [
        ("if-match", etag.as_str(), 200),
        ("if-match", "no", 412),
        ("if-none-match", etag.as_str(), 412),
        ("if-none-match", "no", 200),
        ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT", 412),
        ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT", 200),
    ] {
        let call = root.call("PUT", "/b-1/to").header("x-amz-copy-source", "b-1/k");
        let answer = call.header(&format!("x-amz-copy-source-{name}"), value).send().await;
        assert_eq!(answer.status, status, "{name}: {value}");
    }
}

#[tokio::test]
async fn a_source_must_be_readable_by_the_one_who_copies() {
    let (server, _) = served("b-1").await;
    let (alice, bob) = (server.user("alice", "readwrite"), server.user("bob", "readwrite"));
    alice.create_bucket("hers").await.expect(200);
    alice.put("hers", "secret", "hello").await.expect(200);
    bob.create_bucket("his").await.expect(200);
    let copy = bob.call("PUT", "/his/k").header("x-amz-copy-source", "hers/secret");
    copy.send().await.refused(403, "AccessDenied");
    bob.get("his", "k").await.refused(404, "NoSuchKey");
    let upload =
        bob.call("POST", "/his/k").query("uploads", "").send().await.expect(200).elements("UploadId").remove(0);
    let part = bob.call("PUT", "/his/k").query("uploadId", &upload).query("partNumber", "1");
    part.header("x-amz-copy-source", "hers/secret").send().await.refused(403, "AccessDenied");
}
