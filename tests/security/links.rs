//! Symbolic links in the served directory: they lead nowhere, also when one takes a directory's place during a request.

use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::site::{BUCKET, Site};

const SECRET: &str = "bytes that lie outside";

/// A directory outside the served one, and a bucket full of ways to it.
async fn site_with_links() -> (Site, std::path::PathBuf) {
    let site = Site::new().await;
    let outside = site.server.data().parent().expect("a directory around it").join("outside");
    std::fs::create_dir(&outside).expect("made");
    std::fs::write(outside.join("secret"), SECRET).expect("written");
    let bucket = site.server.data().join(BUCKET);
    let link = |to: &str, name: &str| symlink(to, bucket.join(name)).expect("linked");
    link(outside.join("secret").to_str().expect("UTF-8"), "file");
    link(outside.to_str().expect("UTF-8"), "dir");
    link("../../outside", "relative");
    link("gold", "inside");
    link("loop", "loop");
    link("nowhere", "dangling");
    link("..", "up");
    symlink(&outside, site.server.data().join("linked")).expect("linked");
    (site, outside)
}

#[tokio::test]
async fn links_are_not_followed() {
    let (site, outside) = site_with_links().await;
    let keys =
        ["file", "dir/secret", "relative/secret", "inside/bar", "loop", "loop/x", "dangling", "up/vault/gold/bar"];
    for key in keys {
        for method in ["GET", "HEAD"] {
            let answer = site.root.call(method, &format!("/{BUCKET}/{key}")).send().await;
            assert_eq!(answer.status, 404, "{method} {key}: {}", answer.text());
        }
        let copy = site.root.call("PUT", "/vault/copied").header("x-amz-copy-source", &format!("{BUCKET}/{key}"));
        copy.send().await.refused(404, "NoSuchKey");
    }
    assert_eq!(site.root.keys_of(BUCKET, "").await, ["gold/bar"], "a link is listed");
    // What is written where a link is in the way is an object as any other, and nothing went through the link.
    for key in keys.into_iter().chain(["dir/new", "relative/new", "dir"]) {
        let answer = site.root.put(BUCKET, key, key.to_owned()).await;
        if answer.status == 200 {
            assert_eq!(site.root.get(BUCKET, key).await.expect(200).text(), key);
            site.root.delete(BUCKET, key).await.expect(204);
        } else {
            assert!(matches!(answer.status, 400 | 403 | 409), "PUT {key}: {} {}", answer.status, answer.text());
        }
        site.root.delete(BUCKET, key).await.expect(204);
    }
    let files: Vec<_> =
        std::fs::read_dir(&outside).expect("readable").map_while(Result::ok).map(|e| e.file_name()).collect();
    assert_eq!(files, ["secret"], "something was written through a link");
    assert_eq!(std::fs::read_to_string(outside.join("secret")).expect("still there"), SECRET);
    // Nor is a link a bucket.
    assert_eq!(site.root.call("GET", "/").send().await.expect(200).elements("Name"), [BUCKET]);
    for path in ["/linked", "/linked/secret"] {
        site.root.call("GET", path).send().await.refused(404, "NoSuchBucket");
    }
    // Where a link or a file has the name, no bucket can be made, and none is said to be.
    std::fs::write(site.server.data().join("a-file"), "x").expect("written");
    symlink("nowhere", site.server.data().join("dangling")).expect("linked");
    for name in ["linked", "a-file", "dangling"] {
        site.root.create_bucket(name).await.refused(409, "BucketAlreadyExists");
        site.root.put(name, "new", "x").await.refused(404, "NoSuchBucket");
    }
    assert_eq!(site.root.call("GET", "/").send().await.expect(200).elements("Name"), [BUCKET]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_becomes_a_link_during_a_request_leads_nowhere() {
    let (site, outside) = site_with_links().await;
    site.root.put(BUCKET, "swap/secret", "bytes that lie inside").await.expect(200);
    let bucket = site.server.data().join(BUCKET);
    // A directory without files would be cleared away.
    std::fs::write(bucket.join("swap/kept"), "x").expect("written");
    let stop = Arc::new(AtomicBool::new(false));
    let swapper = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let mut swaps = 0u32;
            while !stop.load(Ordering::Relaxed) || swaps % 2 == 1 {
                renameat_with(CWD, bucket.join("swap"), CWD, bucket.join("dir"), RenameFlags::EXCHANGE)
                    .expect("swapped");
                swaps += 1;
            }
            swaps
        }
    });
    for n in 0..150 {
        let read = site.root.get(BUCKET, "swap/secret").await;
        assert!(!read.text().contains(SECRET), "a read went through the link");
        let body = format!("bytes {n}");
        let write = site.root.put(BUCKET, "swap/secret", body).await;
        assert!(write.status < 500 || write.status == 503, "PUT: {} {}", write.status, write.text());
        site.root.put(BUCKET, &format!("swap/{n}"), "x").await;
        site.root.delete(BUCKET, &format!("swap/{n}")).await;
        let copy = site.root.call("PUT", "/vault/copied").header("x-amz-copy-source", "vault/swap/secret");
        copy.send().await;
    }
    stop.store(true, Ordering::Relaxed);
    let swaps = swapper.join().expect("swapped to the end");
    assert!(swaps > 10, "only {swaps} swaps");
    let copied = site.root.get(BUCKET, "copied").await;
    assert!(!copied.text().contains(SECRET), "a copy went through the link");
    let files: Vec<_> =
        std::fs::read_dir(&outside).expect("readable").map_while(Result::ok).map(|e| e.file_name()).collect();
    assert_eq!(files, ["secret"], "something was written through the link");
    assert_eq!(std::fs::read_to_string(outside.join("secret")).expect("still there"), SECRET);
}
