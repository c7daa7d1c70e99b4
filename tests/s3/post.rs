//! Forms of browsers: what their policies let in, and what is left of one that is refused.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::Sha256;
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{base64, md5_hex, pattern, request, served};
use crate::harness::sign::{hex, now_plus};
use crate::harness::{Answer, Auth, Client, Options, Server};

const BOUNDARY: &str = "a-boundary";

/// A form on its way.
#[derive(Clone)]
pub(crate) struct Sent {
    fields: Vec<(String, String)>,
    filename: String,
    file: Vec<u8>,
}

impl Sent {
    pub(crate) fn new(fields: &[(&str, &str)], file: &[u8]) -> Self {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { fields, filename: "f.txt".to_owned(), file: file.to_vec() }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(other, _)| other != name);
        self
    }

    /// With a policy of these conditions, signed in version 2.
    pub(crate) fn signed(self, client: &Client, conditions: Value) -> Self {
        let document = json!({"expiration": later(3600), "conditions": conditions});
        self.signed_document(client, &document.to_string())
    }

    fn signed_document(self, client: &Client, document: &str) -> Self {
        let keys = client.keys().expect("keys");
        let policy = base64(document.as_bytes());
        let mut mac = Hmac::<Sha1>::new_from_slice(keys.secret.as_bytes()).expect("any length is a key");
        mac.update(policy.as_bytes());
        let signature = base64(&mac.finalize().into_bytes());
        self.with("AWSAccessKeyId", &keys.access_key).with("policy", &policy).with("signature", &signature)
    }

    fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (name, value) in &self.fields {
            body.extend(
                format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes(),
            );
        }
        let disposition = format!("form-data; name=\"file\"; filename=\"{}\"", self.filename);
        body.extend(format!("--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\nContent-Type: a/b\r\n\r\n").bytes());
        body.extend(&self.file);
        body.extend(format!("\r\n--{BOUNDARY}--\r\n").bytes());
        body
    }

    pub(crate) async fn post(&self, client: &Client, path: &str) -> Answer {
        let call = client.call("POST", path).auth(Auth::Anonymous).body(self.body());
        call.header("content-type", &format!("multipart/form-data; boundary={BOUNDARY}")).send().await
    }
}

fn later(seconds: i64) -> String {
    now_plus(seconds).format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z")).expect("a date")
}

/// What a policy must say of every form of these tests.
fn conditions(more: &[Value]) -> Value {
    let mut all = vec![json!({"bucket": "b-1"}), json!(["starts-with", "$key", "up/"])];
    all.extend(more.iter().cloned());
    Value::Array(all)
}

#[tokio::test]
async fn a_signed_form_is_stored_with_its_fields() {
    let (server, root) = served("b-1").await;
    let file = pattern(300_000, 1);
    let sent = Sent::new(
        &[("Key", "up/${filename}"), ("content-TYPE", "text/x"), ("x-amz-meta-a", "é"), ("x-ignore-b", "1")],
        &file,
    );
    let sent = Sent { filename: "C:\\dir\\ä b.txt".to_owned(), ..sent };
    let sent = sent.with("Cache-Control", "no-store").with("acl", "private");
    let policy = conditions(&[
        json!(["eq", "$Content-Type", "text/x"]),
        json!({"x-amz-meta-a": "é"}),
        json!({"acl": "private"}),
        json!(["starts-with", "$cache-control", ""]),
        json!(["content-length-range", 300_000, 300_000]),
    ]);
    let answer = sent.signed(&root, policy).post(&root, "/b-1").await.expect(204);
    assert_eq!(answer.etag(), md5_hex(&file));
    let location = format!("http://{}/b-1/up/%C3%A4%20b.txt", server.s3);
    assert_eq!((answer.header("location"), answer.body.len()), (Some(location.as_str()), 0));
    let stored = root.get("b-1", "up/ä b.txt").await.expect(200);
    assert_eq!(stored.body, file);
    assert_eq!(stored.header("content-type"), Some("text/x"));
    assert_eq!(stored.header("cache-control"), Some("no-store"));
    assert_eq!(stored.header("x-amz-meta-a"), Some("=?UTF-8?B?w6k=?="));
    assert_eq!(std::fs::read(server.data().join("b-1/up/ä b.txt")).expect("the file"), file);
}

#[tokio::test]
async fn version_four_signs_forms_too() {
    let (_server, root) = served("b-1").await;
    let keys = root.keys().expect("keys").clone();
    let at: OffsetDateTime = now_plus(0);
    let date = at.format(format_description!("[year][month][day]T[hour][minute][second]Z")).expect("a date");
    let credential = format!("{}/{}/us-east-1/s3/aws4_request", keys.access_key, &date[..8]);
    let mac = |key: &[u8], text: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length is a key");
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    };
    let fields = [
        ("key", "up/4"),
        ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
        ("x-amz-credential", credential.as_str()),
        ("x-amz-date", date.as_str()),
    ];
    let covered: Vec<Value> = fields[1..].iter().map(|(name, value)| json!({*name: *value})).collect();
    let policy = base64(json!({"expiration": later(60), "conditions": conditions(&covered)}).to_string().as_bytes());
    let mut key = format!("AWS4{}", keys.secret).into_bytes();
    for word in [&date[..8], "us-east-1", "s3", "aws4_request"] {
        key = mac(&key, word);
    }
    let signature = hex(&mac(&key, &policy));
    let sent = Sent::new(&fields, b"four").with("policy", &policy).with("x-amz-signature", &signature);
    sent.post(&root, "/b-1").await.expect(204);
    assert_eq!(root.get("b-1", "up/4").await.expect(200).text(), "four");
    let spoiled = sent.clone().without("x-amz-signature").with("x-amz-signature", &signature.replace(['0', '1'], "2"));
    spoiled.post(&root, "/b-1").await.refused(403, "SignatureDoesNotMatch");
    sent.without("x-amz-date").post(&root, "/b-1").await.refused(400, "InvalidArgument");
}

#[tokio::test]
async fn the_answer_is_of_the_form_s_choice() {
    let (server, root) = served("b-1").await;
    for (status, answered) in [("200", 200), ("201", 201), ("204", 204), ("404", 204), ("x", 204)] {
        let sent = Sent::new(&[("key", "up/<&>"), ("success_action_status", status)], b"x");
        let policy = conditions(&[json!(["starts-with", "$success_action_status", ""])]);
        let answer = sent.signed(&root, policy).post(&root, "/b-1").await.expect(answered);
        if answered == 201 {
            assert_eq!(answer.elements("Key"), ["up/&lt;&amp;&gt;"]);
            assert_eq!(answer.elements("Bucket"), ["b-1"]);
            assert_eq!(answer.elements("ETag"), [format!("&quot;{}&quot;", md5_hex(b"x"))]);
            assert_eq!(answer.elements("Location"), [format!("http://{}/b-1/up/%3C%26%3E", server.s3)]);
            assert_eq!(answer.header("content-type"), Some("application/xml"));
        } else {
            assert_eq!(answer.text(), "");
        }
    }
    for (field, page, location) in [
        ("success_action_redirect", "http://h/p?a=1", Some("http://h/p?a=1&bucket=b-1&key=up/a%20b&etag=%22")),
        ("redirect", "https://h/p", Some("https://h/p?bucket=b-1&key=up/a%20b&etag=%22")),
        ("success_action_redirect", "javascript:alert(1)", None),
    ] {
        let sent = Sent::new(&[("key", "up/a b"), (field, page)], b"x");
        let policy = conditions(&[json!(["eq", format!("${field}"), page])]);
        let answer = sent.signed(&root, policy).post(&root, "/b-1").await;
        match location {
            Some(start) => {
                let answer = answer.expect(303);
                let wanted = format!("{start}{}%22", md5_hex(b"x"));
                assert_eq!(answer.header("location"), Some(wanted.as_str()));
            }
            None => assert_eq!(answer.expect(204).header("location").map(|l| l.contains("alert")), Some(false)),
        }
    }
}

#[tokio::test]
async fn what_a_policy_does_not_let_in_leaves_nothing() {
    let (server, root) = served("b-1").await;
    let sent = |fields: &[(&str, &str)]| Sent::new(fields, b"12345");
    let good = || sent(&[("key", "up/k")]).signed(&root, conditions(&[]));
    let sized = |least: Value, most: Value| {
        sent(&[("key", "up/k")]).signed(&root, conditions(&[json!(["content-length-range", least, most])]))
    };
    let document = |text: &str| sent(&[("key", "up/k")]).signed_document(&root, text);
    let expired = json!({"expiration": later(-60), "conditions": conditions(&[])}).to_string();
    let stranger = server.client("NOBODY", "no-secret-of-anybody");
    let reader = server.user("reader", "readonly");
    for (what, form, status, code) in [
        ("no key", sent(&[]).signed(&root, conditions(&[])), 400, "InvalidArgument"),
        ("another key", sent(&[("key", "k")]).signed(&root, conditions(&[])), 403, "AccessDenied"),
        ("an extra field", good().with("acl", "public-read"), 403, "AccessDenied"),
        ("another bucket", good().with("bucket", "b-2").without("key").with("key", "x"), 403, "AccessDenied"),
        ("nobody", sent(&[("key", "up/k")]), 403, "AccessDenied"),
        ("no signature", good().without("signature"), 400, "InvalidArgument"),
        ("no policy", good().without("policy"), 400, "InvalidArgument"),
        ("no access key", good().without("AWSAccessKeyId"), 400, "InvalidArgument"),
        ("a field twice", good().with("KEY", "up/other"), 400, "InvalidArgument"),
        ("a stranger", sent(&[("key", "up/k")]).signed(&stranger, conditions(&[])), 403, "InvalidAccessKeyId"),
        ("who may only read", sent(&[("key", "up/k")]).signed(&reader, conditions(&[])), 403, "AccessDenied"),
        ("a session", good().with("x-amz-security-token", "t"), 400, "InvalidToken"),
        ("too large", sized(json!(0), json!(4)), 400, "EntityTooLarge"),
        ("too small", sized(json!(6), json!(9)), 400, "EntityTooSmall"),
        ("a size below zero", sized(json!(-1), json!(9)), 400, "InvalidPolicyDocument"),
        ("expired", document(&expired), 403, "AccessDenied"),
        ("no JSON", document("{"), 400, "InvalidPolicyDocument"),
        ("a bomb", document(&"[".repeat(12_000)), 400, "InvalidPolicyDocument"),
        ("too much", good().with("x-ignore-a", &"x".repeat(21_000)), 400, "MaxPostPreDataLengthExceeded"),
        ("a wrong checksum", good().with("x-amz-checksum-crc32", "AAAAAA=="), 400, "BadDigest"),
        ("no checksum", good().with("x-amz-checksum-sha256", "sailorjerry"), 400, "BadDigest"),
        ("a reserved key", sent(&[("key", "up/\u{0}")]).signed(&root, conditions(&[])), 400, "InvalidArgument"),
        (
            "a long key",
            sent(&[("key", &format!("up/{}", "k".repeat(1024)))]).signed(&root, conditions(&[])),
            400,
            "KeyTooLongError",
        ),
    ] {
        let answer = form.post(&root, "/b-1").await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{what}: {}", answer.text());
        assert_eq!(root.keys_of("b-1", "").await, Vec::<String>::new(), "{what}");
    }
    let wrong = good().without("signature").with("signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    wrong.post(&root, "/b-1").await.refused(403, "SignatureDoesNotMatch");
    good().post(&root, "/none").await.refused(403, "AccessDenied");
    good().with("x-amz-checksum-crc32", "y/Q5Jg==").post(&root, "/b-1").await.refused(400, "BadDigest");
    good().post(&root, "/b-1").await.expect(204);
}

#[tokio::test]
async fn what_is_no_form_is_refused() {
    let (_server, root) = served("b-1").await;
    let whole = Sent::new(&[("key", "up/k")], b"12345").signed(&root, conditions(&[]));
    let form = format!("multipart/form-data; boundary={BOUNDARY}");
    let cut = whole.body().len() - 9;
    let late = [whole.body(), vec![b'x'; 100_000]].concat();
    for (what, kind, body, status, code) in [
        ("another type", "text/plain", whole.body(), 412, "PreconditionFailed"),
        ("no boundary", "multipart/form-data", whole.body(), 400, "MalformedPOSTRequest"),
        ("another boundary", "multipart/form-data; boundary=x", whole.body(), 400, "MalformedPOSTRequest"),
        ("nothing", &form, Vec::new(), 411, "MissingContentLength"),
        ("no file", &form, format!("--{BOUNDARY}--").into_bytes(), 400, "InvalidArgument"),
        ("cut in the file", &form, whole.body()[..cut - 12].to_vec(), 400, "IncompleteBody"),
        ("cut in the end", &form, whole.body()[..cut].to_vec(), 400, "IncompleteBody"),
        ("much behind the end", &form, late, 400, "MalformedPOSTRequest"),
    ] {
        let call = root.call("POST", "/b-1").auth(Auth::Anonymous).header("content-type", kind).body(body);
        let answer = call.send().await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{what}: {}", answer.text());
        assert_eq!(root.keys_of("b-1", "").await, Vec::<String>::new(), "{what}");
    }
    let twice = root.call("POST", "/b-1").header("content-type", &form).body(whole.body());
    twice.send().await.refused(400, "InvalidRequest");
}

#[tokio::test]
async fn a_form_whose_client_goes_away_leaves_nothing() {
    let (server, root) = served("b-1").await;
    let sent = Sent::new(&[("key", "up/k")], &pattern(3 << 20, 5)).signed(&root, conditions(&[]));
    let body = sent.body();
    let head = format!(
        "POST /b-1 HTTP/1.1\r\nhost: {}\r\ncontent-type: multipart/form-data; boundary={BOUNDARY}\r\ncontent-length: {}\r\n\r\n",
        server.s3,
        body.len()
    );
    // What comes before the file, in it, and behind its last byte but before the end of the body.
    for sent in [100, 1 << 20, body.len() - 1] {
        let mut socket = TcpStream::connect(server.s3).await.expect("a connection");
        socket.write_all(head.as_bytes()).await.expect("sent");
        socket.write_all(&body[..sent]).await.expect("sent");
        socket.shutdown().await.expect("closed");
        let mut answer = Vec::new();
        // The server sees the end of the body, answers or not, and closes: it is done with the form then.
        let _ = socket.read_to_end(&mut answer).await;
        assert!(!String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 2"), "{sent}");
        assert_eq!(root.keys_of("b-1", "").await, Vec::<String>::new(), "{sent}");
    }
    sent.post(&root, "/b-1").await.expect(204);
    assert_eq!(root.get("b-1", "up/k").await.expect(200).body, sent.file);
}

#[tokio::test]
async fn a_form_may_name_its_bucket_by_the_host() {
    let server = Server::with(Options::default().config("[s3]\ndomains = [\"s3.example.com\"]\n"));
    let root = server.root();
    root.create_bucket("b-1").await.expect(200);
    let sent = Sent::new(&[("key", "up/k")], b"by host").signed(&root, conditions(&[]));
    let mut form = request("b-1.s3.example.com", "POST", "/");
    form.auth = Auth::Anonymous;
    form.headers.push(("content-type".to_owned(), format!("multipart/form-data; boundary={BOUNDARY}")));
    form.body = sent.body();
    let answer = root.send(form.sign(None)).await.expect(204);
    assert_eq!(answer.header("location"), Some("http://b-1.s3.example.com/up/k"));
    assert_eq!(root.get("b-1", "up/k").await.expect(200).text(), "by host");
}
