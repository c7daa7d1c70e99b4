//! Buckets from the command line: their settings, scans, and the rebuild of a lost catalog.

use serde_json::Value;

use super::stderr;
use crate::harness::Server;

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[tokio::test]
async fn settings_are_shown_and_changed() {
    let server = Server::start();
    server.root().create_bucket("photos").await.expect(200);
    let shown = json(&server.run(&["bucket", "show", "photos", "--json"]));
    assert_eq!((&shown["owner"], &shown["layout"]), (&Value::from("root"), &Value::from("natural")));
    server.run(&["bucket", "set", "photos", "--layout", "managed", "--public", "true", "--exclusive"]);
    let shown = json(&server.run(&["bucket", "show", "photos", "--json"]));
    assert_eq!(shown["layout"], "managed");
    assert_eq!((&shown["public"], &shown["exclusive"]), (&Value::Bool(true), &Value::Bool(true)));
    server.run(&["bucket", "set", "photos", "--public", "false"]);
    let shown = json(&server.run(&["bucket", "show", "photos", "--json"]));
    assert_eq!((&shown["public"], &shown["exclusive"]), (&Value::Bool(false), &Value::Bool(true)));
    assert_eq!(json(&server.run(&["bucket", "list", "--json"])).as_array().map(Vec::len), Some(1));
    assert_eq!(server.command(&["bucket", "show", "nothing"]).status.code(), Some(1));
}

#[tokio::test]
async fn a_quota_is_held_and_lifted_beside_a_running_server() {
    let server = Server::start();
    let root = server.root();
    root.create_bucket("photos").await.expect(200);
    root.put("photos", "a", "12345").await.expect(200);
    server.run(&["bucket", "set", "photos", "--quota-objects", "2", "--quota-bytes", "10"]);
    let shown = json(&server.run(&["bucket", "show", "photos", "--json"]));
    assert_eq!((&shown["quota_objects"], &shown["quota_bytes"]), (&Value::from(2), &Value::from(10)));
    root.put("photos", "b", "123456").await.refused(403, "QuotaExceeded");
    root.put("photos", "b", "12345").await.expect(200);
    root.put("photos", "c", "").await.refused(403, "QuotaExceeded");
    root.put("photos", "a", "1234").await.expect(200);
    root.put("photos", "a", "123456").await.refused(403, "QuotaExceeded");
    root.call("DELETE", "/photos/b").send().await.expect(204);
    root.put("photos", "c", "1").await.expect(200);
    assert_eq!(root.keys_of("photos", "").await, ["a", "c"]);
    server.run(&["bucket", "set", "photos", "--quota-objects", "none", "--quota-bytes", "none"]);
    root.put("photos", "d", "more than ten bytes").await.expect(200);
    assert_eq!(server.command(&["bucket", "set", "photos", "--quota-bytes", "-1"]).status.code(), Some(2));
}

#[tokio::test]
async fn a_scan_finds_what_others_put_there() {
    let server = Server::start();
    server.root().create_bucket("photos").await.expect(200);
    std::fs::write(server.data().join("photos/outside.txt"), "hello").expect("written");
    let report = json(&server.run(&["scan", "--bucket", "photos", "--dry-run", "--json"]));
    assert_eq!((&report[0]["bucket"], &report[0]["report"]["adopted"]), (&Value::from("photos"), &Value::from(1)));
    server.run(&["scan"]);
    assert_eq!(server.root().keys_of("photos", "").await, ["outside.txt"]);
}

#[tokio::test]
async fn a_lost_catalog_is_rebuilt_after_a_clean_stop_only() {
    let mut server = Server::start();
    let root = server.root();
    root.create_bucket("photos").await.expect(200);
    let put = root.call("PUT", "/photos/a").header("x-amz-meta-colour", "red").body("hello").send().await.expect(200);
    let running = server.command(&["rebuild"]);
    assert_eq!(running.status.code(), Some(2), "{}", stderr(&running));
    assert!(server.stop().success());
    for name in ["catalog.db", "catalog.db-wal", "catalog.db-shm"] {
        let _ = std::fs::remove_file(server.state().join(name));
    }
    server.run(&["rebuild"]);
    let server = server.restart();
    let head = server.root().head("photos", "a").await.expect(200);
    assert_eq!(head.header("x-amz-meta-colour"), Some("red"));
    assert_eq!(head.etag(), put.etag());
}

#[tokio::test]
async fn a_rebuild_after_a_crash_asks_for_force() {
    let mut server = Server::start();
    server.root().create_bucket("photos").await.expect(200);
    server.root().put("photos", "a", "hello").await.expect(200);
    server.kill();
    for _ in 0..2 {
        let refused = server.command(&["rebuild"]);
        assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
        assert!(stderr(&refused).contains("--force"), "{}", stderr(&refused));
    }
    server.run(&["rebuild", "--force"]);
    let server = server.restart();
    assert_eq!(server.root().get("photos", "a").await.expect(200).text(), "hello");
}
