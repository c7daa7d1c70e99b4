//! Encryption at rest as clients ask for it: by the server, by named keys, by keys of their own, by default.

use super::{base64, md5_base64, md5_hex, pattern, served};
use crate::harness::server::Options;
use crate::harness::{Answer, Client, Server};

const SSE: &str = "x-amz-server-side-encryption";
const KEY_ID: &str = "x-amz-server-side-encryption-aws-kms-key-id";
const CHUNK: usize = 64 * 1024;

/// The three headers of a client's key.
fn customer(prefix: &str, key: [u8; 32]) -> [(String, String); 3] {
    let name = |last: &str| format!("{prefix}server-side-encryption-customer-{last}");
    [(name("algorithm"), "AES256".to_owned()), (name("key"), base64(&key)), (name("key-md5"), md5_base64(&key))]
}

async fn call(client: &Client, method: &str, path: &str, headers: &[(String, String)], body: &[u8]) -> Answer {
    let mut call = client.call(method, path).body(body);
    for (name, value) in headers {
        call = call.header(name, value);
    }
    call.send().await
}

fn header(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// A server with the named keys `one`, the default one, and `two`.
async fn keyed() -> (Server, Client) {
    let (one, two) = (base64(&[1; 32]), base64(&[2; 32]));
    let config = format!(
        "[encryption]\ndefault = \"one\"\nkeys = [{{ name = \"one\", base64 = \"{one}\" }}, {{ name = \"two\", base64 = \"{two}\" }}]\n"
    );
    let server = Server::with(Options::default().config(&config));
    let root = server.root();
    root.create_bucket("b-1").await.expect(200);
    (server, root)
}

#[tokio::test]
async fn the_server_encrypts_and_decrypts() {
    let (server, root) = served("b-1").await;
    let body = pattern(3 * CHUNK + 5, 1);
    let put = call(&root, "PUT", "/b-1/k", &[header(SSE, "AES256")], &body).await.expect(200);
    assert_eq!((put.header(SSE), put.etag()), (Some("AES256"), md5_hex(&body).as_str()));
    let got = root.get("b-1", "k").await.expect(200);
    assert_eq!((got.header(SSE), got.body == body), (Some("AES256"), true));
    let part = root.call("GET", "/b-1/k").header("range", &format!("bytes={}-{CHUNK}", CHUNK - 1)).send().await;
    assert_eq!(part.expect(206).body, body[CHUNK - 1..=CHUNK]);
    assert!(!server.data().join("b-1/k").exists(), "no natural file holds sealed bytes");
    for method in ["GET", "HEAD"] {
        call(&root, method, "/b-1/k", &[header(SSE, "AES256")], b"").await.expect(400);
    }
    // Another master key opens nothing.
    let state = server.state();
    let mut server = server;
    server.stop();
    std::fs::write(state.join("master.key"), format!("{}\n", "ab".repeat(32))).expect("written");
    let server = server.restart();
    server.root().get("b-1", "k").await.refused(500, "InternalError");
}

#[tokio::test]
async fn clients_bring_their_keys_along() {
    let (_server, root) = served("b-1").await;
    let (key, other) = (customer("x-amz-", [3; 32]), customer("x-amz-", [4; 32]));
    let body = pattern(100_000, 1);
    let put = call(&root, "PUT", "/b-1/k", &key, &body).await.expect(200);
    assert_ne!(put.etag(), md5_hex(&body));
    assert_eq!(put.header(&key[2].0), Some(key[2].1.as_str()));
    for method in ["GET", "HEAD"] {
        call(&root, method, "/b-1/k", &[], b"").await.expect(400);
        call(&root, method, "/b-1/k", &other, b"").await.expect(400);
        call(&root, method, "/b-1/k", &key, b"").await.expect(200);
    }
    let got = call(&root, "GET", "/b-1/k", &key, b"").await.expect(200);
    assert_eq!((got.body == body, got.etag()), (true, put.etag()));
    call(&root, "GET", "/b-1/k", &[], b"").await.refused(400, "InvalidRequest");
    // A copy needs both keys, and may have another one.
    let mut headers = vec![header("x-amz-copy-source", "/b-1/k")];
    headers.extend(other.clone());
    call(&root, "PUT", "/b-1/copy", &headers, b"").await.expect(400);
    headers.extend(customer("x-amz-copy-source-", [3; 32]));
    call(&root, "PUT", "/b-1/copy", &headers, b"").await.expect(200);
    assert_eq!(call(&root, "GET", "/b-1/copy", &other, b"").await.expect(200).body, body);
    // What is not encrypted so needs no key, and takes none.
    root.put("b-1", "plain", "x").await.expect(200);
    call(&root, "GET", "/b-1/plain", &key, b"").await.refused(400, "InvalidRequest");
    for spoil in 0..3 {
        let mut half = key.to_vec();
        half.remove(spoil);
        call(&root, "PUT", "/b-1/no", &half, b"x").await.refused(400, "InvalidArgument");
    }
    let mut both = key.to_vec();
    both.push(header(SSE, "AES256"));
    call(&root, "PUT", "/b-1/no", &both, b"x").await.refused(400, "InvalidArgument");
}

#[tokio::test]
async fn keys_have_names() {
    let (_server, root) = keyed().await;
    let kms = |key: &str| [header(SSE, "aws:kms"), header(KEY_ID, key)];
    call(&root, "PUT", "/b-1/k", &kms("two"), b"body").await.expect(200);
    call(&root, "PUT", "/b-1/default", &[header(SSE, "aws:kms")], b"body").await.expect(200);
    for (name, key) in [("k", "two"), ("default", "one")] {
        let got = root.get("b-1", name).await.expect(200);
        assert_eq!((got.header(SSE), got.header(KEY_ID), &got.body[..]), (Some("aws:kms"), Some(key), &b"body"[..]));
    }
    call(&root, "PUT", "/b-1/no", &kms("three"), b"x").await.refused(400, "KMS.NotFoundException");
    call(&root, "PUT", "/b-1/no", &[header(KEY_ID, "two")], b"x").await.refused(400, "InvalidArgument");
    call(&root, "PUT", "/b-1/no", &[header(SSE, "aes:kms")], b"x").await.refused(400, "InvalidArgument");
    root.get("b-1", "no").await.expect(404);
}

#[tokio::test]
async fn buckets_have_a_default() {
    let (_server, root) = keyed().await;
    let get = || async { root.call("GET", "/b-1").query("encryption", "").send().await };
    get().await.refused(404, "ServerSideEncryptionConfigurationNotFoundError");
    let config = "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms\
                  </SSEAlgorithm><KMSMasterKeyID>two</KMSMasterKeyID></ApplyServerSideEncryptionByDefault></Rule>\
                  </ServerSideEncryptionConfiguration>";
    root.call("PUT", "/b-1").query("encryption", "").body(config).send().await.expect(200);
    assert_eq!(get().await.expect(200).elements("KMSMasterKeyID"), ["two"]);
    let put = root.put("b-1", "k", "body").await.expect(200);
    assert_eq!((put.header(SSE), put.header(KEY_ID)), (Some("aws:kms"), Some("two")));
    let own = call(&root, "PUT", "/b-1/own", &[header(SSE, "AES256")], b"body").await.expect(200);
    assert_eq!(own.header(SSE), Some("AES256"), "a request says otherwise");
    root.call("DELETE", "/b-1").query("encryption", "").send().await.expect(204);
    get().await.expect(404);
    assert_eq!(root.put("b-1", "later", "body").await.expect(200).header(SSE), None);
    assert_eq!(root.get("b-1", "k").await.expect(200).text(), "body");
}
