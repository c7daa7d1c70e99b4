//! Gc beside a server under load, killed half-way: nothing that is referenced is lost, and a second run leaves nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::at_full_size;
use crate::harness::{Client, Options, Server, longshore};

const WRITERS: usize = 4;
const KEYS: usize = 40;

fn orphans() -> usize {
    if at_full_size() { 20_000 } else { 2000 }
}

fn managed(server: &Server) -> PathBuf {
    server.data().join("bed/.longshore/objects")
}

/// A file such as a crash leaves: at a managed place, named by nothing.
fn leave(objects: &Path, n: usize) {
    let version = format!("0192{:026x}{:02x}", n, n % 256);
    let shard = objects.join(&version[30..]);
    std::fs::create_dir_all(&shard).expect("made");
    std::fs::write(shard.join(version), format!("orphan {n}")).expect("written");
}

fn files(dir: &Path) -> usize {
    let count = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.expect("an entry");
        if entry.path().is_dir() { files(&entry.path()) } else { 1 }
    };
    std::fs::read_dir(dir).map_or(0, |entries| entries.map(count).sum())
}

/// Writes until it is told to stop; what was acknowledged last of each key. A write that gc outran is not.
async fn write(root: Client, writer: usize, stop: Arc<AtomicBool>) -> BTreeMap<String, Option<String>> {
    let mut last = BTreeMap::new();
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        // Managed and natural places, a part of the keys overwritten, a part deleted.
        let key = if n % 2 == 0 { format!("w{writer}/{}", n % KEYS) } else { format!("w{writer}//{}", n % KEYS) };
        if n % 7 == 0 {
            root.delete("bed", &key).await.expect(204);
            last.insert(key, None);
            continue;
        }
        let body = format!("{writer} {n} ").repeat(n % 100 + 1);
        match root.put("bed", &key, body.clone()).await.status {
            200 => last.insert(key, Some(body)),
            503 => None,
            status => panic!("PUT {key}: {status}"),
        };
    }
    last
}

/// A run of gc that frees whatever nothing names, however young; killed as soon as it has begun to if `kill` says so.
fn gc(server: &Server, kill: bool) {
    let mut command = longshore(&["gc", "--grace", "0s", "--json"]);
    command.env("LONGSHORE_DIR", server.data()).env("LONGSHORE_STATE", server.state());
    let before = files(&managed(server));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the built program");
    while kill && child.try_wait().expect("its status").is_none() {
        if files(&managed(server)) + orphans() / 20 < before {
            child.kill().expect("killed");
        }
    }
    let output = child.wait_with_output().expect("its end");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(kill || output.status.success(), "gc ended with {}: {stderr}", output.status);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn gc_beside_a_server_under_load_frees_what_nothing_names() {
    let server = Server::with(Options::default().arg("--durability").arg("os").env("LONGSHORE_LOG", "info"));
    let root = server.root();
    root.create_bucket("bed").await.expect(200);
    root.put("bed", "kept//managed", "kept").await.expect(200);
    let upload = root.call("POST", "/bed/up").query("uploads", "").send().await.expect(200);
    let id = upload.elements("UploadId").remove(0);
    let part = root.call("PUT", "/bed/up").query("partNumber", "1").query("uploadId", &id).body("a part");
    let part = part.send().await.expect(200);
    (0..orphans()).for_each(|n| leave(&managed(&server), n));
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> =
        (0..WRITERS).map(|writer| tokio::spawn(write(root.clone(), writer, Arc::clone(&stop)))).collect();
    let server = tokio::task::spawn_blocking(move || {
        gc(&server, true);
        (orphans()..orphans() + 100).for_each(|n| leave(&managed(&server), n));
        (0..3).for_each(|_| gc(&server, false));
        server
    });
    let mut server = server.await.expect("gc ran");
    stop.store(true, Ordering::Relaxed);
    let mut kept = 0;
    for writer in writers {
        for (key, body) in writer.await.expect("a writer") {
            let answer = root.get("bed", &key).await;
            match body {
                Some(body) => assert_eq!(answer.expect(200).text(), body, "{key}"),
                None => drop(answer.refused(404, "NoSuchKey")),
            }
            kept += 1;
        }
    }
    assert!(kept > WRITERS * KEYS / 2, "the writers came to {kept} keys only");
    assert_eq!(root.get("bed", "kept//managed").await.expect(200).text(), "kept");
    let list = format!("<Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part>", part.etag());
    let body = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
    root.call("POST", "/bed/up").query("uploadId", &id).body(body).send().await.expect(200);
    assert_eq!(root.get("bed", "up").await.expect(200).text(), "a part");
    assert!(server.stop().success());
    gc(&server, false);
    server.run(&["fsck", "--deep"]);
    // What is left is what rows name, and all of it.
    let named = |key: &&String| key.contains("//");
    let server = server.restart();
    let keys = server.root().keys_of("bed", "").await;
    assert_eq!(files(&managed(&server)), keys.iter().filter(named).count());
}
