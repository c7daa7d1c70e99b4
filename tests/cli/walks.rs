//! `scan`, `fsck` and `gc` as commands: what they print, how they end, and that they are safe beside a server.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{stderr, stdout};
use crate::harness::{Options, Server};

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// A file such as a crash of last year leaves.
fn leave(bucket: &Path) {
    let shard = bucket.join(".longshore/objects/2a");
    std::fs::create_dir_all(&shard).expect("made");
    let path = shard.join("01920000000000000000000000abcd2a");
    std::fs::write(&path, "left").expect("written");
    let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    std::fs::File::options().write(true).open(&path).expect("opened").set_modified(old).expect("dated");
}

#[tokio::test]
async fn fsck_ends_with_3_until_nothing_is_wrong() {
    let server = Server::start();
    server.root().create_bucket("photos").await.expect(200);
    server.root().put("photos", "a", "hello").await.expect(200);
    assert!(server.command(&["fsck", "--deep"]).status.success());
    leave(&server.data().join("photos"));
    std::fs::write(server.data().join("photos/new\nline"), "outside").expect("written");
    let found = server.command(&["fsck", "--json"]);
    assert_eq!(found.status.code(), Some(3), "{}", stderr(&found));
    let report = &json(&stdout(&found))[0]["report"];
    assert_eq!(report["counts"], serde_json::json!({ "orphan": 1, "unindexed-file": 1 }));
    let kinds: Vec<_> = report["findings"].as_array().expect("a list").iter().map(|f| &f["kind"]).collect();
    assert_eq!(kinds, ["unindexed-file", "orphan"]);
    let shown = server.command(&["fsck", "--bucket", "photos"]);
    assert!(stdout(&shown).contains("new\\nline"), "a name cannot break a line: {}", stdout(&shown));
    assert!(server.run(&["fsck", "--repair"]).contains("repaired"));
    assert!(server.run(&["fsck", "--deep", "--json"]).contains("\"counts\": {}"));
    assert_eq!(server.root().get("photos", "new\nline").await.expect(200).text(), "outside");
    assert_eq!(server.command(&["fsck", "--bucket", "nothing"]).status.code(), Some(1));
}

#[tokio::test]
async fn gc_frees_beside_a_server_what_is_older_than_the_grace() {
    let server = Server::start();
    server.root().create_bucket("photos").await.expect(200);
    server.root().put("photos", "a//b", "hello").await.expect(200);
    leave(&server.data().join("photos"));
    let gc = |args: &[&str]| json(&server.run(&[&["gc", "--json"], args].concat()))[0]["report"].clone();
    assert_eq!(gc(&["--grace", "36500d"])["young"], 1);
    let dry = gc(&["--dry-run"]);
    assert_eq!((&dry["managed"], &dry["freed"], &dry["freed_bytes"]), (&2.into(), &1.into(), &4.into()));
    assert_eq!(gc(&[])["freed"], 1);
    assert_eq!((&gc(&["--grace", "0s"])["freed"], &gc(&[])["managed"]), (&0.into(), &1.into()));
    assert_eq!(server.root().get("photos", "a//b").await.expect(200).text(), "hello");
    for bad in ["24", "soon", "-1h"] {
        assert_eq!(server.command(&["gc", "--grace", bad]).status.code(), Some(2), "{bad}");
    }
}

/// Asks until `done` says so, for as long as a background walk may take to be noticed.
async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done().await {
        assert!(Instant::now() < deadline, "{what} never came");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn buckets_are_scanned_and_cleaned_up_in_the_background() {
    let server = Server::with(Options::default().env("LONGSHORE_SCAN_INTERVAL", "1s"));
    let root = server.root();
    root.create_bucket("photos").await.expect(200);
    leave(&server.data().join("photos"));
    std::fs::write(server.data().join("photos/outside"), "theirs").expect("written");
    until("the file in the listing", async || root.keys_of("photos", "").await == ["outside"]).await;
    let orphan = server.data().join("photos/.longshore/objects/2a/01920000000000000000000000abcd2a");
    until("gc", async || !orphan.exists()).await;
    let rest = crate::harness::Client::new(server.rest, None);
    let metric = async |line: &str| rest.call("GET", "/metrics").send().await.expect(200).text().contains(line);
    until("the metric", async || metric("longshore_gc_freed_files_total 1\n").await).await;
    assert!(metric("longshore_walks_total{mode=\"scan\",outcome=\"done\"}").await);
}

#[tokio::test]
async fn what_a_scan_holds_back_is_told_until_it_is_forced() {
    let server = Server::with(Options::default().env("LONGSHORE_SCAN_INTERVAL", "1s"));
    let root = server.root();
    root.create_bucket("photos").await.expect(200);
    for n in 0..120 {
        std::fs::write(server.data().join(format!("photos/{n:03}")), "x").expect("written");
    }
    server.run(&["scan"]);
    for n in 0..120 {
        std::fs::remove_file(server.data().join(format!("photos/{n:03}"))).expect("removed");
    }
    let rest = crate::harness::Client::new(server.rest, None);
    let held = async |n: u64| {
        let line = format!("longshore_objects_held_back {n}\n");
        rest.call("GET", "/metrics").send().await.expect(200).text().contains(&line)
    };
    until("the metric", async || held(120).await).await;
    assert!(server.log().contains("held_back=120"), "{}", server.log());
    assert!(server.run(&["bucket", "list"]).contains("120 objects held back"));
    let scan = server.command(&["scan"]);
    assert_eq!(scan.status.code(), Some(2), "{}", stderr(&scan));
    assert_eq!(json(&server.run(&["bucket", "show", "photos", "--json"]))["walk"]["held_back"], 120);
    assert_eq!(root.keys_of("photos", "").await.len(), 120);
    let forced = json(&server.run(&["scan", "--force", "--json"]));
    // The scan in the background may meet the rows that this one has not come to yet, few enough to remove unasked.
    let removed = forced[0]["report"]["removed"].as_u64().expect("a number");
    assert!((1..=120).contains(&removed), "{removed}");
    until("all to be gone", async || root.keys_of("photos", "").await.is_empty()).await;
    until("the end of it", async || held(0).await).await;
    assert!(server.run(&["bucket", "list"]).contains("indexed 2"));
}
