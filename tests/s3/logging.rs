//! Access logging: the configuration, and the lines that come to the bucket that gets them.

use std::time::{Duration, Instant};

use crate::harness::{Answer, Client, Options, Server};

pub(super) async fn set(client: &Client, inner: &str) -> Answer {
    set_of(client, "b-1", inner).await
}

async fn set_of(client: &Client, bucket: &str, inner: &str) -> Answer {
    let text = format!("<BucketLoggingStatus>{inner}</BucketLoggingStatus>");
    client.call("PUT", &format!("/{bucket}")).query("logging", "").body(text).send().await
}

pub(super) fn enabled(target: &str, more: &str) -> String {
    format!(
        "<LoggingEnabled><TargetBucket>{target}</TargetBucket><TargetPrefix>log/</TargetPrefix>{more}</LoggingEnabled>"
    )
}

async fn logged() -> (Server, Client) {
    let server = Server::with(Options::default().config("[s3]\naccess_log_seconds = 1\n"));
    let root = server.root();
    for bucket in ["b-1", "logs"] {
        root.create_bucket(bucket).await.expect(200);
    }
    (server, root)
}

/// The lines that have come, once there is one that holds each of these texts.
pub(super) async fn lines(client: &Client, wanted: &[&str]) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mut lines = Vec::new();
        for key in client.keys_of("logs", "log/").await {
            let text = client.get("logs", &key).await.expect(200).text();
            lines.extend(text.lines().map(str::to_owned));
        }
        if wanted.iter().all(|text| lines.iter().any(|line| line.contains(text))) {
            return lines;
        }
        assert!(Instant::now() < deadline, "{wanted:?} is not all in {lines:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn where_the_log_goes_is_kept() {
    let (server, root) = logged().await;
    let kept = || async { root.call("GET", "/b-1").query("logging", "").send().await.expect(200) };
    assert!(!kept().await.text().contains("LoggingEnabled"));
    let format = "<TargetObjectKeyFormat><PartitionedPrefix><PartitionDateSource>EventTime</PartitionDateSource>\
                  </PartitionedPrefix></TargetObjectKeyFormat>";
    set(&root, &enabled("logs", format)).await.expect(200);
    let answer = kept().await;
    assert_eq!(answer.elements("TargetBucket"), ["logs"]);
    assert_eq!(answer.elements("TargetPrefix"), ["log/"]);
    assert_eq!(answer.elements("PartitionDateSource"), ["EventTime"]);
    let eve = server.user("eve", "readwrite");
    eve.create_bucket("of-eve").await.expect(200);
    let both = "<TargetObjectKeyFormat><SimplePrefix/><PartitionedPrefix/></TargetObjectKeyFormat>";
    for (bad, code) in [
        (enabled("none", ""), "InvalidTargetBucketForLogging"),
        (enabled("of-eve", ""), "InvalidTargetBucketForLogging"),
        (enabled("logs", &format.replace("EventTime", "Never")), "MalformedXML"),
        (enabled("logs", both), "MalformedXML"),
        ("<LoggingEnabled><TargetBucket>logs</TargetBucket></LoggingEnabled>".to_owned(), "MalformedXML"),
        ("<LoggingEnabled>".to_owned(), "MalformedXML"),
    ] {
        set(&root, &bad).await.refused(400, code);
        assert_eq!(kept().await.elements("PartitionDateSource"), ["EventTime"], "{bad}");
    }
    set(&server.user("reader", "readonly"), "").await.refused(403, "AccessDenied");
    set(&root, "").await.expect(200);
    assert!(!kept().await.text().contains("LoggingEnabled"));
}

#[tokio::test]
async fn requests_come_to_the_log() {
    let (server, root) = logged().await;
    set(&root, &enabled("logs", "")).await.expect(200);
    root.put("b-1", "a b", "four").await.expect(200);
    let id = root.get("b-1", "a b").await.expect(200).header("x-amz-request-id").expect("an id").to_owned();
    server.anonymous().get("b-1", "a b").await.expect(403);
    root.get("b-1", "none").await.expect(404);
    root.put("logs", "other", "x").await.expect(200);
    let found = lines(&root, &["REST.PUT.OBJECT a%20b", &id, " 403 AccessDenied ", " 404 NoSuchKey "]).await;
    let line = found.iter().find(|line| line.contains(&id)).expect("the line of the GET");
    assert!(line.starts_with("root b-1 ["), "{line}");
    assert!(
        line.contains(&format!("] 127.0.0.1 root {id} REST.GET.OBJECT a%20b \"GET /b-1/a%20b HTTP/1.1\" 200 - 4 4 ")),
        "{line}"
    );
    let denied = found.iter().find(|line| line.contains(" 403 AccessDenied ")).expect("the line of nobody");
    assert!(denied.contains("] 127.0.0.1 - "), "{denied}");
    assert!(found.iter().all(|line| line.contains(" b-1 ")), "only the bucket that is logged: {found:#?}");
}

#[tokio::test]
async fn a_stop_writes_what_is_left() {
    let server = Server::with(Options::default().config("[s3]\naccess_log_seconds = 3600\n"));
    let root = server.root();
    for bucket in ["b-1", "logs"] {
        root.create_bucket(bucket).await.expect(200);
    }
    set(&root, &enabled("logs", "")).await.expect(200);
    root.put("b-1", "k", "x").await.expect(200);
    let server = server.restart();
    lines(&server.root(), &["REST.PUT.OBJECT k "]).await;
}

#[tokio::test]
async fn a_log_comes_to_no_bucket_of_another_owner() {
    let server = Server::with(Options::default().config("[s3]\naccess_log_seconds = 1\n"));
    let (ann, bob) = (server.user("ann", "readwrite"), server.user("bob", "readwrite"));
    for bucket in ["src", "logs"] {
        ann.create_bucket(bucket).await.expect(200);
    }
    set_of(&ann, "src", &enabled("logs", "")).await.expect(200);
    ann.delete("src", "none").await.expect(204);
    lines(&ann, &["REST.DELETE.OBJECT none "]).await;
    for key in ann.keys_of("logs", "").await {
        ann.delete("logs", &key).await.expect(204);
    }
    ann.call("DELETE", "/logs").send().await.expect(204);
    bob.create_bucket("logs").await.expect(200);
    ann.put("src", "k", "x").await.expect(200);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !server.log().contains("has another owner") {
        assert!(bob.keys_of("logs", "").await.is_empty(), "a log of ann's came to bob");
        assert!(Instant::now() < deadline, "nobody was told: {}", server.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(bob.keys_of("logs", "").await.is_empty(), "a log of ann's came to bob");
}

#[tokio::test]
async fn what_was_asked_of_a_bucket_is_not_told_to_who_makes_another_of_its_name() {
    let server = Server::with(Options::default().config("[s3]\naccess_log_seconds = 3600\n"));
    let (ann, bob) = (server.user("ann", "readwrite"), server.user("bob", "readwrite"));
    for bucket in ["src", "of-ann"] {
        ann.create_bucket(bucket).await.expect(200);
    }
    set_of(&ann, "src", &enabled("of-ann", "")).await.expect(200);
    ann.put("src", "anns", "x").await.expect(200);
    ann.delete("src", "anns").await.expect(204);
    ann.call("DELETE", "/src").send().await.expect(204);
    for bucket in ["src", "logs"] {
        bob.create_bucket(bucket).await.expect(200);
    }
    set_of(&bob, "src", &enabled("logs", "")).await.expect(200);
    bob.put("src", "bobs", "x").await.expect(200);
    let server = server.restart();
    let found = lines(&server.root(), &["REST.PUT.OBJECT bobs "]).await;
    assert!(found.iter().all(|line| !line.contains("anns")), "{found:#?}");
}
