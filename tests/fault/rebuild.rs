//! The catalog is lost after a clean stop: what `rebuild` makes of the records is what was there before.

use std::collections::BTreeMap;

use super::at_full_size;
use crate::harness::{Client, Options, Server};

const PART_BYTES: usize = 5 << 20;

fn objects() -> usize {
    if at_full_size() { 10_000 } else { 1000 }
}

/// Keys of every shape: paths, clashes, and those that are no paths.
fn key(i: usize) -> String {
    match i % 10 {
        0 => format!("dir/{:02}/file-{i}", i % 37),
        1 => format!("dir//double-{i}"),
        2 => format!("folder-{i}/"),
        3 => format!("../up-{i}"),
        4 => format!("ünï/日本-{i}"),
        5 => format!("clash-{}", i / 10),
        6 => format!("clash-{}/beneath", i / 10),
        7 => format!("with space+plus&{i}%"),
        8 => format!("/absolute-{i}"),
        _ => format!("plain-{i}"),
    }
}

async fn put(root: &Client, i: usize) {
    let path = format!("/bed/{}", key(i));
    let mut call = root.call("PUT", &path).body(format!("body of {i}").repeat(i % 50));
    if i.is_multiple_of(3) {
        call = call.header("x-amz-meta-number", &i.to_string()).header("content-type", "text/x-number");
    }
    if i.is_multiple_of(7) {
        call = call.header("cache-control", "max-age=7").header("content-disposition", "attachment");
    }
    if i.is_multiple_of(11) {
        call = call.header("x-amz-checksum-algorithm", "SHA256");
    }
    call.send().await.expect(200);
}

async fn put_in_parts(root: &Client, key: &str) {
    let path = format!("/bed/{key}");
    let created = root.call("POST", &path).query("uploads", "").header("x-amz-meta-made", "in parts").send().await;
    let id = created.expect(200).elements("UploadId").remove(0);
    let mut list = String::new();
    for (number, bytes) in [(1, PART_BYTES), (4, 1000)] {
        let part = root.call("PUT", &path).query("partNumber", &number.to_string()).query("uploadId", &id);
        let part = part.body(vec![number as u8; bytes]).send().await.expect(200);
        list.push_str(&format!("<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag></Part>", part.etag()));
    }
    let body = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
    root.call("POST", &path).query("uploadId", &id).body(body).send().await.expect(200);
}

/// Everything that a client can see of the bucket, but what differs from answer to answer.
async fn dump(root: &Client) -> (Vec<String>, BTreeMap<String, String>) {
    let (mut pages, mut heads) = (Vec::new(), BTreeMap::new());
    let mut after = String::new();
    loop {
        let call = root.call("GET", "/bed").query("list-type", "2").query("start-after", &after);
        let page = call.query("fetch-owner", "true").send().await.expect(200);
        let keys = page.elements("Key");
        for key in &keys {
            let key = key.replace("&amp;", "&");
            let head = root.call("HEAD", &format!("/bed/{key}")).header("x-amz-checksum-mode", "ENABLED");
            let head = head.send().await.expect(200);
            let volatile = |name: &str| ["date", "x-amz-request-id", "x-amz-id-2"].contains(&name);
            let mut lines: Vec<_> = head.headers.iter().filter(|(name, _)| !volatile(name.as_str())).collect();
            lines.sort_by_key(|(name, _)| name.as_str().to_owned());
            heads.insert(key.clone(), format!("{lines:?}"));
            after = key;
        }
        let text = page.text();
        // The token is an opaque cursor; what it leads to is on the next page.
        let token = page.elements("NextContinuationToken").pop().unwrap_or_default();
        pages.push(if token.is_empty() { text } else { text.replace(&token, "-") });
        if token.is_empty() {
            return (pages, heads);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuilt_catalog_shows_what_was_there() {
    let mut server = Server::with(Options::default().arg("--durability").arg("os").env("LONGSHORE_LOG", "info"));
    let root = server.root();
    root.create_bucket("bed").await.expect(200);
    for i in 0..objects() {
        put(&root, i).await;
    }
    for i in (0..objects()).step_by(13) {
        put(&root, i).await;
    }
    for i in (0..objects()).step_by(17) {
        root.delete("bed", &key(i)).await.expect(204);
    }
    put_in_parts(&root, "parts/natural").await;
    put_in_parts(&root, "parts//managed").await;
    std::fs::write(server.data().join("bed/theirs"), "somebody else's").expect("written");
    server.run(&["scan"]);
    let before = dump(&root).await;
    assert!(before.1.len() > objects() * 9 / 10);
    assert!(server.stop().success());
    for name in ["catalog.db", "catalog.db-wal", "catalog.db-shm"] {
        let _ = std::fs::remove_file(server.state().join(name));
    }
    server.run(&["rebuild"]);
    let server = server.restart();
    let after = dump(&server.root()).await;
    assert_eq!(after.0.len(), before.0.len());
    for (page, (now, then)) in after.0.iter().zip(&before.0).enumerate() {
        assert_eq!(now, then, "page {page}");
    }
    for (key, then) in &before.1 {
        assert_eq!(after.1.get(key), Some(then), "{key:?}");
    }
    assert_eq!(after.1.len(), before.1.len());
    server.run(&["fsck", "--deep"]);
}
