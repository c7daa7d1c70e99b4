//! Notifications: what is kept of their rules, and that each event comes to its webhook, in order, whatever happens.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::post::Sent;
use crate::harness::{Answer, Client, Options, Server};

/// What a webhook got: the head, and the body as JSON.
pub(crate) type Got = (String, serde_json::Value);

/// A webhook that refuses as many requests as it is told to, and keeps what it took.
pub(crate) struct Hook {
    address: SocketAddr,
    refusals: Arc<AtomicUsize>,
    pub(crate) got: Arc<Mutex<Vec<Got>>>,
}

impl Hook {
    pub(crate) fn start(refusals: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
        let address = listener.local_addr().expect("bound");
        let hook = Self { address, refusals: Arc::new(AtomicUsize::new(refusals)), got: Arc::default() };
        let (refusals, got) = (Arc::clone(&hook.refusals), Arc::clone(&hook.got));
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let (refusals, got) = (Arc::clone(&refusals), Arc::clone(&got));
                std::thread::spawn(move || serve(socket, &refusals, &got));
            }
        });
        hook
    }

    pub(crate) fn config(&self) -> String {
        let address = self.address;
        format!(
            "[s3]\nlifecycle_day_seconds = 1\n[[notification.target]]\nname = \"hook\"\nurl = \"http://{address}/in\"\n\
             token = \"bearer-of-tests\"\n"
        )
    }

    /// The event names of each key, once so many events were taken.
    async fn until(&self, count: usize) -> BTreeMap<String, Vec<String>> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let got = self.got.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if got.len() >= count {
                let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
                for (_, body) in got {
                    let record = &body["Records"][0];
                    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
                    keys.entry(text(&record["s3"]["object"]["key"])).or_default().push(text(&record["eventName"]));
                }
                return keys;
            }
            assert!(Instant::now() < deadline, "only {got:?} came");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn serve(socket: TcpStream, refusals: &AtomicUsize, got: &Mutex<Vec<Got>>) {
    let mut reader = BufReader::new(socket.try_clone().expect("a socket"));
    let mut socket = socket;
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        let refuse = refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if !refuse {
            let body = serde_json::from_slice(&body).expect("JSON");
            got.lock().unwrap_or_else(PoisonError::into_inner).push((head, body));
        }
        let status = if refuse { "503 Service Unavailable" } else { "200 OK" };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        if socket.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

async fn set(client: &Client, inner: &str) -> Answer {
    let text = format!("<NotificationConfiguration>{inner}</NotificationConfiguration>");
    client.call("PUT", "/b-1").query("notification", "").body(text).send().await
}

fn topic(id: &str, events: &[&str], filter: &[(&str, &str)]) -> String {
    let events: String = events.iter().map(|event| format!("<Event>{event}</Event>")).collect();
    let rules: String = filter
        .iter()
        .map(|(name, value)| format!("<FilterRule><Name>{name}</Name><Value>{value}</Value></FilterRule>"))
        .collect();
    format!(
        "<TopicConfiguration><Id>{id}</Id><Topic>arn:longshore:sns:::hook</Topic>{events}\
         <Filter><S3Key>{rules}</S3Key></Filter></TopicConfiguration>"
    )
}

async fn hooked(hook: &Hook) -> (Server, Client) {
    let server = Server::with(Options::default().config(&hook.config()));
    let root = server.root();
    root.create_bucket("b-1").await.expect(200);
    (server, root)
}

#[tokio::test]
async fn rules_are_kept_and_bad_ones_change_nothing() {
    let hook = Hook::start(0);
    let (server, root) = hooked(&hook).await;
    let kept = || async { root.call("GET", "/b-1").query("notification", "").send().await.expect(200) };
    assert!(!kept().await.text().contains("TopicConfiguration"));
    let good = topic("one", &["s3:ObjectCreated:*"], &[("Prefix", "in/"), ("suffix", ".jpg")]);
    let queue = "<QueueConfiguration><Id>two</Id><Queue>arn:longshore:sns:::hook</Queue>\
                 <Event>s3:ObjectRemoved:*</Event></QueueConfiguration>";
    set(&root, &format!("{good}{queue}")).await.expect(200);
    let answer = kept().await;
    let mut ids = answer.elements("Id");
    ids.sort();
    assert_eq!(ids, ["one", "two"]);
    assert_eq!(answer.elements("Queue"), ["arn:longshore:sns:::hook"]);
    assert_eq!(answer.elements("Value"), ["in/", ".jpg"]);
    for (bad, code) in [
        (topic("x", &["s3:Bogus"], &[]), "InvalidArgument"),
        (topic("x", &["s3:ObjectCreated:*"], &[("infix", "a")]), "InvalidArgument"),
        (topic("x", &["s3:ObjectCreated:*"], &[("prefix", "a"), ("prefix", "b")]), "InvalidArgument"),
        (topic("x", &["s3:ObjectCreated:*"], &[]).replace(":::hook", ":::nobody"), "InvalidArgument"),
        (topic("x", &["s3:ObjectCreated:*"], &[]).replace("arn:longshore", "arn:aws"), "InvalidArgument"),
        (format!("{good}{}", topic("x", &["s3:ObjectCreated:Put"], &[])), "InvalidArgument"),
        ("<TopicConfiguration><Event>s3:ObjectCreated:*</Event></TopicConfiguration>".to_owned(), "MalformedXML"),
    ] {
        set(&root, &bad).await.refused(400, code);
        assert_eq!(kept().await.elements("Value"), ["in/", ".jpg"], "{bad}");
    }
    set(&server.user("reader", "readonly"), "").await.refused(403, "AccessDenied");
    set(&root, "").await.expect(200);
    assert!(!kept().await.text().contains("<Id>"));
}

#[tokio::test]
async fn every_event_comes_in_the_order_of_its_key() {
    let hook = Hook::start(7);
    let (server, root) = hooked(&hook).await;
    let all = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"];
    set(&root, &topic("one", &all, &[("prefix", "in/")])).await.expect(200);
    for round in 0..3 {
        for key in ["in/a", "in/b c", "out/d"] {
            root.put("b-1", key, format!("{round}")).await.expect(200);
        }
    }
    root.call("PUT", "/b-1/in/copy").header("x-amz-copy-source", "b-1/in/a").send().await.expect(200);
    root.delete("b-1", "in/a").await.expect(204);
    root.delete("b-1", "in/never").await.expect(204);
    root.call("PUT", "/b-1").query("acl", "").header("x-amz-acl", "public-read-write").send().await.expect(200);
    Sent::new(&[("key", "in/form")], b"f").post(&server.anonymous(), "/b-1").await.expect(204);
    let keys = hook.until(9).await;
    let put = "ObjectCreated:Put";
    assert_eq!(keys["in/a"], [put, put, put, "ObjectRemoved:Delete"]);
    assert_eq!(keys["in/b+c"], [put, put, put]);
    assert_eq!(keys["in/copy"], ["ObjectCreated:Copy"]);
    assert_eq!(keys["in/form"], ["ObjectCreated:Post"]);
    assert_eq!(keys.len(), 4, "{keys:?}");
    let got = hook.got.lock().expect("whole").clone();
    // What nobody posted may have come first.
    let of_root = |(_, body): &&Got| body["Records"][0]["s3"]["object"]["key"] == "in/a";
    let (head, body) = got.iter().find(of_root).expect("an event");
    assert!(head.contains("Bearer bearer-of-tests") && head.starts_with("POST /in "), "{head}");
    let record = &body["Records"][0];
    assert_eq!(record["eventVersion"], "2.1");
    assert_eq!(record["s3"]["bucket"]["name"], "b-1");
    assert_eq!(record["s3"]["configurationId"], "one");
    assert_eq!(record["s3"]["object"]["size"], 1);
    assert_eq!(record["userIdentity"]["principalId"], "root");
    let order = |key: &str| -> Vec<String> {
        let of = |body: &serde_json::Value| body["Records"][0]["s3"]["object"].clone();
        let objects = got.iter().map(|(_, body)| of(body)).filter(|object| object["key"] == key);
        objects.map(|object| object["sequencer"].as_str().expect("a text").to_owned()).collect()
    };
    assert!(order("in/a").is_sorted_by(|a, b| a < b), "{:?}", order("in/a"));
}

#[tokio::test]
async fn an_event_survives_a_kill_before_its_delivery() {
    let hook = Hook::start(usize::MAX);
    let (mut server, root) = hooked(&hook).await;
    set(&root, &topic("one", &["s3:ObjectCreated:*"], &[])).await.expect(200);
    for n in 0..5 {
        root.put("b-1", "k", format!("{n}")).await.expect(200);
    }
    server.kill();
    assert_eq!(hook.got.lock().expect("whole").len(), 0, "nothing was taken so far");
    hook.refusals.store(0, Ordering::SeqCst);
    let _server = server.restart();
    assert_eq!(hook.until(5).await["k"], vec!["ObjectCreated:Put"; 5]);
}

#[tokio::test]
async fn the_end_of_an_upload_and_of_a_life_is_told() {
    let hook = Hook::start(0);
    let (_server, root) = hooked(&hook).await;
    set(&root, &topic("one", &["s3:ObjectCreated:*", "s3:LifecycleExpiration:*"], &[])).await.expect(200);
    let begun = root.call("POST", "/b-1/k").query("uploads", "").send().await.expect(200);
    let id = begun.elements("UploadId").remove(0);
    let part = root.call("PUT", "/b-1/k").query("partNumber", "1").query("uploadId", &id).body("part");
    let etag = part.send().await.expect(200).etag().to_owned();
    let list = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    );
    root.call("POST", "/b-1/k").query("uploadId", &id).body(list).send().await.expect(200);
    let rule = "<LifecycleConfiguration><Rule><ID>r</ID><Prefix></Prefix><Status>Enabled</Status><Expiration>\
                <Days>1</Days></Expiration></Rule></LifecycleConfiguration>";
    root.call("PUT", "/b-1").query("lifecycle", "").body(rule).send().await.expect(200);
    let keys = hook.until(2).await;
    assert_eq!(keys["k"], ["ObjectCreated:CompleteMultipartUpload", "LifecycleExpiration:Delete"]);
}

#[tokio::test]
async fn markers_and_removed_versions_are_told_apart() {
    let hook = Hook::start(0);
    let (_server, root) = hooked(&hook).await;
    let text = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    root.call("PUT", "/b-1").query("versioning", "").body(text).send().await.expect(200);
    set(&root, &topic("one", &["s3:ObjectCreated:*", "s3:ObjectRemoved:*"], &[])).await.expect(200);
    let version = root.put("b-1", "k", "x").await.expect(200).header("x-amz-version-id").expect("an id").to_owned();
    root.delete("b-1", "k").await.expect(204);
    root.call("DELETE", "/b-1/k").query("versionId", &version).send().await.expect(204);
    let keys = hook.until(3).await;
    assert_eq!(keys["k"], ["ObjectCreated:Put", "ObjectRemoved:DeleteMarkerCreated", "ObjectRemoved:Delete"]);
    let got = hook.got.lock().expect("whole").clone();
    let named = |n: usize| got[n].1["Records"][0]["s3"]["object"]["versionId"].clone();
    assert_eq!((named(0) == *version, named(1) == *version, named(2) == *version), (true, false, true));
}
