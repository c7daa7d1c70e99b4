//! What must not get out: secrets and signatures into the log, the inside of the server into errors.

use std::sync::Mutex;

use super::site::{BUCKET, BYTES, Site};
use crate::harness::server::ROOT_SECRET;
use crate::harness::{Answer, Auth, Call, Client, Options, Payload, Signed};

/// A filter that asks for everything, also of libraries that print what they read.
const EVERYTHING: &str = "trace,longshore=trace,s3s=trace,s3s::ops=trace,s3s_sigv4=trace,s3s::sig_v4=trace,hyper=trace,\
                          hyper::proto=trace,hyper::proto::h1=trace,hyper_util=trace,h2=trace,axum=trace,tower=trace";

/// Sends requests and remembers what of them is secret.
struct Witness {
    secrets: Mutex<Vec<String>>,
}

impl Witness {
    fn keep(&self, secret: &str) {
        if !secret.is_empty() {
            self.secrets.lock().expect("not poisoned").push(secret.to_owned());
        }
    }

    fn note(&self, signed: &Signed) {
        if let Some(authorization) = signed.header("authorization") {
            self.keep(authorization);
            for part in ["Signature=", "Credential="] {
                let value = authorization.split_once(part).map(|(_, rest)| rest.split(',').next().unwrap_or(rest));
                self.keep(value.unwrap_or_default());
            }
        }
        if let Some((_, query)) = signed.target.split_once('?').filter(|(_, query)| query.contains("X-Amz-")) {
            self.keep(query);
            for part in ["X-Amz-Signature=", "X-Amz-Credential="] {
                let value = query.split_once(part).map(|(_, rest)| rest.split('&').next().unwrap_or(rest));
                self.keep(value.unwrap_or_default());
            }
        }
        let body = String::from_utf8_lossy(&signed.body);
        for rest in body.split("signature=").skip(1).chain(body.split("trailer-signature:").skip(1)) {
            self.keep(rest.split("\r\n").next().unwrap_or_default());
        }
    }

    async fn send(&self, client: &Client, call: Call<'_>) -> Answer {
        let signed = call.signed();
        self.note(&signed);
        client.send(signed).await
    }
}

async fn workload(site: &Site, witness: &Witness, client: &Client) {
    let crc = Some(("x-amz-checksum-crc32".to_owned(), "y/Q5Jg==".to_owned()));
    let put = |key: &str| client.call("PUT", &format!("/{BUCKET}/{key}")).body("123456789");
    for payload in [
        Payload::Hashed,
        Payload::Unsigned,
        Payload::SignedChunks(4, None),
        Payload::SignedChunks(4, crc.clone()),
        Payload::UnsignedChunks(4, crc),
    ] {
        witness.send(client, put("a").payload(payload)).await.expect(200);
    }
    witness.send(client, put("b").auth(Auth::Presigned(60))).await.expect(200);
    for auth in [Auth::Header, Auth::Presigned(60)] {
        for (method, path) in
            [("GET", "/vault/a"), ("HEAD", "/vault/a"), ("GET", "/vault"), ("GET", "/"), ("GET", "/none/x")]
        {
            witness.send(client, client.call(method, path).auth(auth)).await;
        }
        witness.send(client, client.call("GET", "/vault/a").auth(auth).at(-3600)).await.expect(403);
        witness
            .send(client, client.call("GET", "/vault/a").auth(auth).header("x-amz-security-token", "t0ken-t0ken"))
            .await;
        let spoiled = client.call("GET", "/vault/a").auth(auth).spoil(|signed| signed.target += "0");
        witness.send(client, spoiled).await;
        let unread = client.call("GET", "/vault/a").auth(auth).spoil(|signed| {
            signed.target = signed.target.replace("Expires=60", "Expires=x");
            let text = signed.header("authorization").map(|text| text.replace("SignedHeaders=", "Signed="));
            if let Some(text) = text {
                signed.set_header("authorization", &text);
            }
        });
        witness.send(client, unread).await;
        witness.send(client, client.call("GET", "/vault").auth(auth).query("max-keys", "\u{1}")).await;
        witness.send(client, client.call("POST", "/vault/c").auth(auth).query("uploads", "")).await;
        witness.send(client, client.call("POST", "/vault").auth(auth).query("delete", "").body("<not XML")).await;
        witness.send(client, client.call("PATCH", "/vault/a").auth(auth)).await;
        witness.send(client, client.call("GET", "/vault/a").auth(auth).header("range", "bytes=9-0")).await;
    }
    // The secret itself where somebody pasted it by mistake, and versions and kinds that are not served.
    let secret = client.keys().expect("keys").secret.clone();
    for authorization in
        [format!("Bearer {secret}"), format!("AWS KEY:{secret}"), format!("AWS4-HMAC-SHA256 {secret}"), secret.clone()]
    {
        let call =
            client.call("GET", "/vault/a").spoil(move |signed| signed.set_header("authorization", &authorization));
        witness.send(client, call).await;
    }
    let query = format!("AWSAccessKeyId=A&Expires=9999999999&Signature={secret}");
    let old = client.call("GET", "/vault/a").spoil(move |signed| signed.target = format!("/vault/a?{query}"));
    witness.send(client, old).await;
    site.rest.call("GET", "/metrics").header("authorization", &format!("Bearer {secret}")).send().await;
    site.rest.call("GET", "/healthz").query("token", &secret).send().await;
}

#[tokio::test]
async fn the_log_holds_no_secret_whatever_it_is_asked_for() {
    for format in ["text", "json"] {
        let options = Options::default().env("LONGSHORE_LOG", EVERYTHING).arg("--log-format").arg(format);
        let mut site = Site::with(options).await;
        let witness = Witness { secrets: Mutex::new(vec![ROOT_SECRET.to_owned(), "t0ken-t0ken".to_owned()]) };
        let ann = site.server.user("ann", "readwrite");
        witness.keep(&ann.keys().expect("keys").secret);
        for client in [site.root.clone(), ann] {
            workload(&site, &witness, &client).await;
        }
        assert!(site.server.stop().success());
        let log = site.server.log();
        assert!(log.contains("PutObject"), "nothing is logged");
        for secret in witness.secrets.lock().expect("not poisoned").iter() {
            let line = log.lines().find(|line| line.contains(secret.as_str()));
            assert_eq!(line, None, "{secret} is in the log");
        }
        for part in ["AWS4-HMAC-SHA256", "X-Amz-Signature", "chunk-signature", "Bearer "] {
            let line = log.lines().find(|line| line.contains(part));
            assert_eq!(line, None, "{part} is in the log");
        }
    }
}

fn inside(site: &Site) -> Vec<String> {
    let words = [
        "/tmp/",
        "catalog.db",
        "master.key",
        ".longshore/objects",
        ".longshore/id",
        "sqlite",
        "SQLITE",
        "SELECT ",
        "INSERT ",
        "UPDATE ",
        ".rs:",
        "src/",
        "panicked",
        "os error",
        "errno",
        "No such file",
        "Permission denied",
        "Not a directory",
        "tokio",
        "hyper",
        "s3s",
        "quick_xml",
        "serde",
        "RUST_BACKTRACE",
        "stack backtrace",
    ];
    let paths = [site.server.data(), &site.server.state()].map(|path| path.to_string_lossy().into_owned());
    let secrets = [ROOT_SECRET.to_owned()];
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    let host = (host.len() > 5 && host != "localhost").then_some(host);
    words.iter().map(|word| (*word).to_owned()).chain(paths).chain(secrets).chain(host).collect()
}

fn call<'c>(client: &'c Client, method: &str, target: &str) -> Call<'c> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    query.split('&').filter(|pair| !pair.is_empty()).fold(client.call(method, path), |call, pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        call.query(name, value)
    })
}

/// What each request was, and what is answered to it.
type Answers = Vec<(String, Answer)>;

/// Requests that are refused for what they are.
async fn refused(site: &Site) -> Answers {
    let mut answers = Vec::new();
    for (method, target) in [
        ("GET", "/none/x"),
        ("GET", "/vault/none"),
        ("GET", "/vault/gold"),
        ("PUT", "/vault/.longshore/x"),
        ("GET", "/vault/gold/bar?versionId=x"),
        ("GET", "/vault/gold/bar?partNumber=7"),
        ("GET", "/vault/gold/bar?partNumber=x"),
        ("GET", "/vault?max-keys=x"),
        ("GET", "/vault?list-type=2&continuation-token=x"),
        ("GET", "/vault?encoding-type=x"),
        ("GET", "/vault?analytics"),
        ("GET", "/vault?policy"),
        ("PUT", "/vault?acl"),
        ("DELETE", "/vault"),
        ("PUT", "/Not_Legal"),
        ("POST", "/vault"),
        ("POST", "/vault?delete"),
        ("POST", "/vault/x?uploadId=x"),
        ("PUT", "/vault/x?uploadId=x&partNumber=1"),
        ("PUT", "/vault/x?uploadId=x&partNumber=99999"),
        ("PATCH", "/vault/x"),
        ("OPTIONS", "/vault/x"),
        ("GET", "/vault/gold/bar?attributes"),
    ] {
        answers.push((format!("{method} {target}"), call(&site.root, method, target).send().await));
    }
    for (name, value) in [("if-match", "\"x\""), ("range", "bytes=99-"), ("x-amz-expected-bucket-owner", "x")] {
        answers.push((name.to_owned(), call(&site.root, "GET", "/vault/gold/bar").header(name, value).send().await));
    }
    for (name, value) in [
        ("content-md5", "x"),
        ("x-amz-checksum-crc32", "AAAAAA=="),
        ("x-amz-copy-source", "none/x"),
        ("x-amz-copy-source", "vault/none"),
        ("x-amz-storage-class", "x"),
        ("x-amz-tagging", "x=%ff"),
        ("x-amz-object-lock-mode", "x"),
    ] {
        answers.push((
            format!("{name}: {value}"),
            call(&site.root, "PUT", "/vault/x").header(name, value).body("x").send().await,
        ));
    }
    let anonymous = site.server.anonymous();
    answers.push(("nobody".to_owned(), anonymous.get(BUCKET, "gold/bar").await));
    answers.push(("no path of ours".to_owned(), site.rest.call("GET", "/none").send().await));
    answers.push(("no method of ours".to_owned(), site.rest.call("PUT", "/metrics").send().await));
    answers
}

/// Requests that fail with the storage.
async fn failed(site: &Site) -> Answers {
    let mut answers = Vec::new();
    // Failures of the storage: where managed bytes would go, there is a file; then the whole bucket is away.
    let bucket = site.server.data().join(BUCKET);
    let objects = bucket.join(".longshore/objects");
    // Until then the catalog itself keeps what is small, and gives it without the storage.
    site.server.until_settled();
    let _ = std::fs::remove_dir_all(&objects);
    std::fs::write(&objects, "in the way").expect("written");
    let failed = call(&site.root, "PUT", "/vault/x").body("x").send().await;
    assert!(failed.status >= 500, "{}", failed.text());
    answers.push(("a failure of the storage".to_owned(), failed));
    std::fs::rename(&bucket, site.server.data().parent().expect("around").join("away")).expect("moved");
    for method in ["GET", "PUT", "DELETE"] {
        answers
            .push((format!("{method} without the bucket"), call(&site.root, method, "/vault/gold/bar").send().await));
    }
    answers
}

#[tokio::test]
async fn errors_tell_nothing_of_the_inside() {
    let site = Site::new().await;
    let inside = inside(&site);
    let mut answers = refused(&site).await;
    answers.extend(failed(&site).await);
    for (what, answer) in answers {
        let text = answer.text();
        assert!(answer.status >= 400 || answer.status == 204, "{what}: {} {text}", answer.status);
        assert!(!text.contains(BYTES), "{what}: {text}");
        for word in &inside {
            assert!(!text.contains(word.as_str()), "{what} tells {word:?}: {text}");
            let header =
                answer.headers.values().any(|value| value.to_str().is_ok_and(|value| value.contains(word.as_str())));
            assert!(!header, "{what} tells {word:?} in a header: {:?}", answer.headers);
        }
        if answer.status >= 500 {
            let allowed = ["Code", "Message", "Resource", "RequestId", "HostId"];
            let names: Vec<&str> = text.split('<').filter_map(|rest| rest.split(['>', ' ']).next()).collect();
            let odd = names.iter().find(|name| {
                !name.is_empty() && !name.starts_with(['/', '?']) && **name != "Error" && !allowed.contains(name)
            });
            assert_eq!(odd, None, "{what}: {text}");
        }
    }
}
