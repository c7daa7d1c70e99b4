//! Directories that were there before: how soon their first page comes, and what their index costs.
//!
//! **Invariant:** nothing was served there before, so that the first page is of a bucket that nobody has walked yet.

use std::path::Path;
use std::time::{Duration, Instant};

use super::at_full_size;
use crate::harness::{Client, Options, Server};

/// Most bytes resident while any of this is listed and indexed.
const MEMORY_BYTES_MAX: u64 = 256 << 20;
/// Until an index of a million files is given up: the built program is not optimized.
const INDEX_SECONDS_MAX: u64 = 1800;

fn empty_files(dir: &Path, count: usize) {
    std::fs::create_dir_all(dir).expect("made");
    // Not in the order of their names.
    for i in 0..count {
        std::fs::File::create(dir.join(format!("{:07}", i * 7919 % count))).expect("made");
    }
}

fn serve(data: &Path) -> Server {
    // At trace level the log of a million files would be what is measured.
    let options = Options { data: Some(data.to_owned()), ..Options::default() };
    Server::with(options.env("LONGSHORE_LOG", "info"))
}

async fn first_page(root: &Client, bucket: &str, delimiter: Option<&str>) -> (Duration, usize, usize) {
    let mut call = root.call("GET", &format!("/{bucket}")).query("list-type", "2");
    if let Some(delimiter) = delimiter {
        call = call.query("delimiter", delimiter);
    }
    let began = Instant::now();
    let page = call.send().await.expect(200);
    (began.elapsed(), page.elements("Key").len(), page.elements("CommonPrefixes").len())
}

/// Waits for what the server itself tells of its index, and returns the files that it saw on the way.
async fn indexed(server: &Server, bucket: &str) -> Vec<u64> {
    let rest = Client::new(server.rest, None);
    let deadline = Instant::now() + Duration::from_secs(INDEX_SECONDS_MAX);
    let mut seen = Vec::new();
    loop {
        let shown: serde_json::Value =
            serde_json::from_str(&server.run(&["bucket", "show", bucket, "--json"])).expect("JSON");
        seen.push(shown["walk"]["files"].as_u64().unwrap_or(0));
        let metrics = rest.call("GET", "/metrics").send().await.expect(200).text();
        if !shown["indexed"].is_null() && metrics.contains("longshore_buckets_unindexed 0\n") {
            return seen;
        }
        assert!(Instant::now() < deadline, "{shown}\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_that_was_there_is_listed_at_once() {
    let side = if at_full_size() { 1000 } else { 100 };
    let dir = tempfile::tempdir().expect("a directory");
    for i in 0..side {
        empty_files(&dir.path().join(format!("tree/d{i:03}")), side);
    }
    let server = serve(dir.path());
    let root = server.root();
    let (took, keys, _) = first_page(&root, "tree", None).await;
    assert_eq!(keys, 1000);
    assert!(took < Duration::from_secs(1), "the first page took {took:?}");
    let (took, keys, prefixes) = first_page(&root, "tree", Some("/")).await;
    assert_eq!((keys, prefixes), (0, side));
    assert!(took < Duration::from_secs(5), "the first page of folders took {took:?}");
    let seen = indexed(&server, "tree").await;
    assert!(seen.is_sorted(), "the index went back: {seen:?}");
    assert_eq!(seen.last().copied(), Some((side * side) as u64));
    assert_eq!(first_page(&root, "tree", Some("/")).await.2, side);
    let peak = server.peak_memory_bytes();
    assert!(peak < MEMORY_BYTES_MAX, "{} MiB were resident", peak >> 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_large_directory_is_listed_soon() {
    let count = if at_full_size() { 1_000_000 } else { 20_000 };
    let dir = tempfile::tempdir().expect("a directory");
    empty_files(&dir.path().join("flat"), count);
    let server = serve(dir.path());
    let root = server.root();
    let (took, keys, _) = first_page(&root, "flat", None).await;
    assert_eq!(keys, 1000);
    assert!(took < Duration::from_secs(5), "the first page took {took:?}");
    indexed(&server, "flat").await;
    // Every file is there once, whether it is counted by pages or by the scan.
    let report = server.run(&["scan", "--bucket", "flat", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    let report = &report[0]["report"];
    assert_eq!((&report["files"], &report["rows"]), (&count.into(), &count.into()));
    assert_eq!((&report["adopted"], &report["changed"], &report["removed"]), (&0.into(), &0.into(), &0.into()));
    let peak = server.peak_memory_bytes();
    assert!(peak < MEMORY_BYTES_MAX, "{} MiB were resident", peak >> 20);
}
