//! What the protocol library reads wrongly, in two ways, or not at all, each under the name it has in our notes.

use super::{exchange, md5_base64, request, send, served};
use crate::harness::{Auth, Client, Options, Payload, Server};
use crate::security::wire::last_head;

#[tokio::test]
#[allow(non_snake_case, reason = "the letters are names")]
async fn trap_A1_headers_added_to_a_signed_url_are_refused() {
    let (_server, root) = served("b-1").await;
    root.put("b-1", "secret", "hidden").await.expect(200);
    for (name, value) in [("x-amz-copy-source", "/b-1/secret"), ("x-amz-meta-a", "1"), ("x-amz-acl", "private")] {
        let call = root.call("PUT", "/b-1/k").auth(Auth::Presigned(60));
        call.spoil(move |signed| signed.set_header(name, value)).send().await.refused(403, "AccessDenied");
    }
    root.get("b-1", "k").await.refused(404, "NoSuchKey");
}

#[tokio::test]
#[allow(non_snake_case, reason = "the letters are names")]
async fn trap_A2_the_host_must_be_signed() {
    let (server, root) = served("b-1").await;
    for auth in [Auth::Header, Auth::Presigned(60)] {
        let mut request = request(&server.s3.to_string(), "GET", "/b-1");
        request.auth = auth;
        request.headers.push(("x-amz-meta-foo".to_owned(), "1".to_owned()));
        request.unsigned.push("host".to_owned());
        send(&root, request).await.refused(403, "AccessDenied");
    }
}

#[tokio::test]
#[allow(non_snake_case, reason = "the letters are names")]
async fn trap_A3_A5_A10_other_schemes_are_refused() {
    let (_server, root) = served("b-1").await;
    let nobody = root.with_keys(None);
    for (value, status, code) in [
        ("Bearer abc", 400, "InvalidArgument"),
        ("FOO Credential=a", 400, "InvalidArgument"),
        ("AWS HAHAHA", 400, "InvalidArgument"),
        ("AWS key:c2lnbmF0dXJl", 400, "InvalidRequest"),
    ] {
        nobody.call("GET", "/b-1").header("authorization", value).send().await.refused(status, code);
    }
    let query = nobody.call("GET", "/b-1").query("AWSAccessKeyId", "key").query("Expires", "1").query("Signature", "a");
    query.send().await.refused(400, "InvalidRequest");
    let other = root.call("GET", "/b-1").spoil(|signed| {
        let value = signed.header("authorization").expect("signed").replace("AWS4-HMAC-SHA256", "AWS4-FOO");
        signed.set_header("authorization", &value);
    });
    other.send().await.refused(501, "NotImplemented");
    assert_eq!(nobody.call("GET", "/b-1").header("authorization", "").send().await.status, 403);
}

#[tokio::test]
#[allow(non_snake_case, reason = "the letters are names")]
async fn trap_A6_the_scope_must_fit() {
    let server = Server::with(Options::default().config("[s3]\nregion = \"eu-1\"\n"));
    let root = server.root();
    let answer = root.call("GET", "/").send().await.refused(400, "AuthorizationHeaderMalformed");
    assert_eq!(answer.elements("Region"), ["eu-1"]);
    let other = root.call("GET", "/").scope("eu-1", "sqs").send().await.refused(400, "AuthorizationHeaderMalformed");
    assert!(other.elements("Region").is_empty(), "{}", other.text());
    root.call("GET", "/").scope("eu-1", "s3").send().await.expect(200);
}

#[tokio::test]
#[allow(non_snake_case, reason = "the letters are names")]
async fn trap_A7_A8_tokens_and_second_signatures_are_refused() {
    let (_server, root) = served("b-1").await;
    root.call("GET", "/b-1").header("x-amz-security-token", "a").send().await.refused(400, "InvalidToken");
    let query = root.call("GET", "/b-1").auth(Auth::Presigned(60)).query("X-Amz-Security-Token", "a");
    query.send().await.refused(400, "InvalidToken");
    let twice = root.call("GET", "/b-1").spoil(|signed| {
        let value = signed.header("authorization").expect("signed").to_owned();
        signed.headers.push(("authorization".to_owned(), value));
    });
    twice.send().await.refused(400, "InvalidRequest");
    let both = root.call("GET", "/b-1").auth(Auth::Presigned(60));
    both.spoil(|signed| signed.set_header("authorization", "AWS4-HMAC-SHA256 x"))
        .send()
        .await
        .refused(400, "InvalidArgument");
    let hosts = root.call("GET", "/b-1").spoil(|signed| signed.headers.push(("host".to_owned(), "evil".to_owned())));
    assert_eq!(hosts.send().await.status, 400);
}

#[tokio::test]
#[allow(non_snake_case, reason = "the letters are names")]
async fn trap_A9_B1_the_unsigned_may_neither_send_chunks_nor_choose_headers() {
    let (_server, root) = served("b-1").await;
    root.put("b-1", "k", "x").await.expect(200);
    let nobody = root.with_keys(None);
    let html = nobody.call("GET", "/b-1/k").query("response-content-type", "text/html");
    html.send().await.refused(400, "InvalidRequest");
    let chunks = nobody.call("PUT", "/b-1/k").payload(Payload::UnsignedChunks(4, None)).body("hello");
    chunks.send().await.refused(400, "InvalidRequest");
    assert_eq!(root.get("b-1", "k").await.expect(200).text(), "x");
}

#[tokio::test]
#[allow(non_snake_case, reason = "the letters are names")]
async fn trap_A15_headers_moved_into_a_signed_url_are_taken_or_refused() {
    let (_server, root) = served("b-1").await;
    let put = |name: &str, value: &str| {
        root.call("PUT", "/b-1/k").query(name, value).query("x-id", "PutObject").body("x").auth(Auth::Presigned(60))
    };
    for (name, value, status, code) in [
        ("x-amz-copy-source", "/b-1/k", 501, "NotImplemented"),
        ("x-amz-grant-read", "id=root", 501, "NotImplemented"),
        ("X-Amz-Object-Lock-Legal-Hold", "ON", 501, "NotImplemented"),
        ("x-amz-acl", "public-ready", 400, "InvalidArgument"),
        ("x-amz-meta-a", "1\r\nx-b: 2", 400, "InvalidRequest"),
    ] {
        put(name, value).send().await.refused(status, code);
    }
    put("x-amz-acl", "private").query("X-Amz-Acl", "public-read").send().await.refused(400, "InvalidRequest");
    root.get("b-1", "k").await.refused(404, "NoSuchKey");

    // S3 does not take tags from there.
    let taken = put("x-amz-acl", "public-read").query("X-Amz-Meta-Colour", "dark blue").query("x-amz-tagging", "a=b");
    let taken = taken.query("x-amz-storage-class", "STANDARD_IA").query("x-amz-checksum-crc32", "AAAAAA==");
    let taken = taken.query("x-amz-meta-b", "moved").header("x-amz-meta-b", "sent").header("content-type", "a/b");
    taken.send().await.expect(200);
    let head = root.head("b-1", "k").await.expect(200);
    for (name, value) in [
        ("x-amz-meta-colour", "dark blue"),
        ("x-amz-meta-b", "sent"),
        ("x-amz-storage-class", "STANDARD_IA"),
        ("content-type", "a/b"),
    ] {
        assert_eq!(head.header(name), Some(value), "{name}");
    }
    assert_eq!(root.with_keys(None).get("b-1", "k").await.expect(200).text(), "x");
    let tags = root.call("GET", "/b-1/k").query("tagging", "").send().await.expect(200);
    assert!(tags.elements("Tag").is_empty(), "{}", tags.text());

    let begun = root.call("POST", "/b-1/parts").query("uploads", "").query("x-amz-meta-a", "1");
    let begun = begun.auth(Auth::Presigned(60)).send().await.expect(200);
    let upload = &begun.elements("UploadId")[0];
    let part = root.call("PUT", "/b-1/parts").query("partNumber", "1").query("uploadId", upload).body("y");
    let etag = part.send().await.expect(200).etag().to_owned();
    let parts = format!("<Part><PartNumber>1</PartNumber><ETag>\"{etag}\"</ETag></Part>");
    let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
    root.call("POST", "/b-1/parts").query("uploadId", upload).body(body).send().await.expect(200);
    assert_eq!(root.head("b-1", "parts").await.expect(200).header("x-amz-meta-a"), Some("1"));
}

#[tokio::test]
#[allow(non_snake_case, reason = "the letters are names")]
async fn trap_A15_headers_in_a_query_that_no_url_signs_do_nothing() {
    let (server, root) = served("b-1").await;
    let reader = server.user("reader", "readonly");
    let signed = || root.call("PUT", "/b-1/k").body("x").auth(Auth::Presigned(60));
    for added in ["&x-amz-acl=public-read", "&X-Amz-Meta-A=1"] {
        let call = signed().spoil(move |signed| signed.target.push_str(added));
        call.send().await.refused(403, "SignatureDoesNotMatch");
    }
    for client in [&root, &root.with_keys(None)] {
        let call = client.call("PUT", "/b-1/k").query("x-amz-acl", "public-read").body("x");
        call.send().await.refused(501, "NotImplemented");
    }
    let changed = signed().query("x-amz-acl", "private");
    let changed = changed.spoil(|signed| signed.target = signed.target.replace("acl=private", "acl=public-read"));
    changed.send().await.refused(403, "SignatureDoesNotMatch");
    // Who signs may still do no more than he may.
    let call = reader.call("PUT", "/b-1/k").query("x-amz-meta-a", "1").body("x").auth(Auth::Presigned(60));
    call.send().await.refused(403, "AccessDenied");
    // The signature of a form is among its fields, and the one in the query is not looked at.
    let form = root.call("POST", "/b-1/k").query("uploads", "").query("x-amz-acl", "public-read");
    let form = form.header("content-type", "multipart/form-data; boundary=a").auth(Auth::Presigned(60));
    assert!(form.body("--a--\r\n").send().await.status >= 400);
    let uploads = root.call("GET", "/b-1").query("uploads", "").send().await.expect(200);
    assert!(uploads.elements("UploadId").is_empty(), "{}", uploads.text());
    root.get("b-1", "k").await.refused(404, "NoSuchKey");
}

#[tokio::test]
#[allow(non_snake_case, reason = "the letters are names")]
async fn trap_B2_bodies_end_as_announced() {
    let (_server, root) = served("b-1").await;
    let trailer = || Some(("x-amz-checksum-crc32".to_owned(), "NhCmhg==".to_owned()));
    for payload in [Payload::UnsignedChunks(3, trailer()), Payload::SignedChunks(3, trailer())] {
        let put = || root.call("PUT", "/b-1/k").payload(payload.clone()).body("hello");
        // All bytes came, but not the trailer.
        let cut = put().spoil(|signed| {
            let text = String::from_utf8_lossy(&signed.body).into_owned();
            let end = text.find("\r\n0").expect("the last chunk") + 2;
            signed.body.truncate(end);
        });
        assert_eq!(cut.send().await.status, 400);
        root.get("b-1", "k").await.refused(404, "NoSuchKey");
        put().send().await.expect(200);
        root.delete("b-1", "k").await.expect(204);
    }
    for length in ["3", "999"] {
        let call = root.call("PUT", "/b-1/k").payload(Payload::Hashed).header("x-amz-decoded-content-length", length);
        let answer =
            call.header("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER").body("5\r\nhello\r\n0\r\n\r\n");
        assert!(answer.send().await.status >= 400);
        root.get("b-1", "k").await.refused(404, "NoSuchKey");
    }
}

#[tokio::test]
#[allow(non_snake_case, reason = "the letters are names")]
async fn trap_B5_B8_what_would_be_buffered_is_bounded() {
    let (server, root) = served("b-1").await;
    let host = server.s3;
    let form = format!(
        "POST /b-1 HTTP/1.1\r\nHost: {host}\r\nContent-Type: multipart/form-data; boundary=x\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n"
    );
    assert!(exchange(&server, form.as_bytes()).await.starts_with("HTTP/1.1 411 "));
    let long = "x".repeat(3_000_000);
    let call = root.call("POST", "/b-1").query("delete", "").header("content-md5", &md5_base64(long.as_bytes()));
    // The head alone: it is refused by its length, before a byte of the body is waited for.
    let refused = exchange(&server, last_head(&call.body(long).signed()).as_bytes()).await;
    assert!(refused.starts_with("HTTP/1.1 400 ") && refused.contains("MaxMessageLengthExceeded"), "{refused}");
}

#[tokio::test]
#[allow(non_snake_case, reason = "the letters are names")]
async fn trap_B9_a_key_that_cannot_be_read_deletes_nothing() {
    let (_server, root) = served("b-1").await;
    root.put("b-1", "foo", "x").await.expect(200);
    let body = "<Delete><Object><Key><![CDATA[foo]]></Key></Object></Delete>";
    let call = root.call("POST", "/b-1").query("delete", "").header("content-md5", &md5_base64(body.as_bytes()));
    call.body(body).send().await.refused(400, "MalformedXML");
    assert_eq!(root.keys_of("b-1", "").await, ["foo"]);
}

async fn falls_through(root: &Client, method: &str, path: &str, words: &[&str]) {
    for word in words {
        let call = root.call(method, path).query(word, "").body(if method == "PUT" { "<X/>" } else { "" });
        let answer = call.send().await;
        assert!(answer.status >= 400, "{method} {path}?{word} was answered with {}", answer.status);
    }
}

#[tokio::test]
#[allow(non_snake_case, reason = "the letters are names")]
async fn trap_R1_unknown_sub_resources_do_not_fall_through() {
    let (_server, root) = served("b-1").await;
    root.create_bucket("empty-1").await.expect(200);
    root.put("b-1", "k", "kept").await.expect(200);
    let on_buckets = [
        "logging",
        "notification",
        "versioning",
        "acl",
        "versions",
        "abac",
        "accelerate",
        "object-lock",
        "policyStatus",
        "requestPayment",
        "metadataInventoryTable",
        "location",
        "uploads",
        "delete",
        "unheard-of",
        "lo%67ging",
    ];
    falls_through(&root, "DELETE", "/empty-1", &on_buckets).await;
    root.call("HEAD", "/empty-1").send().await.expect(200);
    let on_keys =
        ["acl", "legal-hold", "retention", "torrent", "restore", "attributes", "encryption", "uploads", "partNumber"];
    falls_through(&root, "DELETE", "/b-1/k", &on_keys).await;
    let on_puts = ["uploads", "restore", "torrent", "attributes", "versions", "versionId", "select", "cors", "append"];
    falls_through(&root, "PUT", "/b-1/k", &on_puts).await;
    falls_through(&root, "PUT", "/b-1/k", &["uploadId", "partNumber", "unheard-of"]).await;
    falls_through(&root, "PUT", "/new-1", &["location", "policyStatus", "versions", "uploads", "session", "x"]).await;
    root.call("HEAD", "/new-1").send().await.expect(404);
    assert_eq!(root.get("b-1", "k").await.expect(200).text(), "kept");
}

#[tokio::test]
#[allow(non_snake_case, reason = "the letters are names")]
async fn trap_R2_an_escaped_slash_parts_a_bucket_from_its_key_as_a_plain_one_does() {
    let (_server, root) = served("b-1").await;
    for (target, status) in [("/b-1%2Fk", 200), ("/b-1/..%2F..%2Fk", 200)] {
        let mut signed = root.call("PUT", "/b-1/x").body("x").signed();
        target.clone_into(&mut signed.target);
        // The signature covers the path as it is sent.
        assert_eq!(root.send(signed).await.status, 403, "{target}");
        let path = target.replace("%2F", "/");
        assert_eq!(root.call("PUT", &path).body("x").send().await.status, status, "{path}");
    }
    assert_eq!(root.keys_of("b-1", "").await, ["../../k", "k"]);
    for path in ["/", "//"] {
        assert!(root.call("PUT", path).body("x").send().await.status >= 400);
    }
}

#[tokio::test]
#[allow(non_snake_case, reason = "the letters are names")]
async fn trap_R8_what_a_client_says_of_its_operation_decides_nothing() {
    let (_server, root) = served("b-1").await;
    root.put("b-1", "k", "kept").await.expect(200);
    let call = |method, path, word, id| root.call(method, path).query(word, "").query("x-id", id).send();
    assert!(call("PUT", "/b-1/k", "tagging", "PutObject").await.status >= 400);
    call("DELETE", "/b-1", "cors", "DeleteBucket").await.expect(204);
    let acl = call("GET", "/b-1/k", "acl", "GetObject").await.expect(200);
    assert!(!acl.text().contains("kept"));
    assert_eq!(root.get("b-1", "k").await.expect(200).text(), "kept");
    let known = root.call("GET", "/b-1/k").query("x-id", "GetObject").send().await.expect(200);
    assert_eq!(known.text(), "kept");
}

#[tokio::test]
#[allow(non_snake_case, reason = "the letters are names")]
async fn trap_X3_control_characters_do_not_break_listings() {
    let (_server, root) = served("b-1").await;
    let put = root.put("b-1", "a\u{1}b", "x").await;
    root.put("b-1", "c", "x").await.expect(200);
    let keys = root.keys_of("b-1", "").await;
    let wanted: &[&str] = if put.status == 200 { &["a%01b", "c"] } else { &["c"] };
    assert_eq!(keys, wanted);
    root.list("b-1", "\u{1}").await.expect(200);
}

#[tokio::test]
#[allow(non_snake_case, reason = "the letters are names")]
async fn trap_X13_an_error_that_cannot_be_written_is_an_answer_still() {
    let (_server, root) = served("b-1").await;
    for name in ["max-keys", "encoding-type"] {
        let answer = root.call("GET", "/b-1").query(name, "\u{1}").send().await.expect(400);
        assert!(answer.header("x-amz-request-id").is_some());
        assert!(!answer.text().contains('\u{1}'));
    }
    root.call("GET", "/b-1/k").query("partNumber", "\u{1}").send().await.expect(400);
}

#[tokio::test]
#[allow(non_snake_case, reason = "the letters are names")]
async fn trap_X5_repeated_metadata_is_joined() {
    let (_server, root) = served("b-1").await;
    let call = root.call("PUT", "/b-1/k").header("x-amz-meta-a", "1").header("x-amz-meta-a", "2").body("x");
    call.send().await.expect(200);
    assert_eq!(root.head("b-1", "k").await.expect(200).header("x-amz-meta-a"), Some("1,2"));
}
