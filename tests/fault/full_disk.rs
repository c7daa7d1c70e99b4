//! Disks that are full: of data, of state, and of both on one disk.
//!
//! **Invariant:** the disk is a small one in memory of this test's own, and it goes when the test ends.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::audit::{audit, check_storage};
use super::dice::{bytes_of, report, skipped};
use super::ledger::{Ledger, Name, Value};
use super::load::{MANAGED, NATURAL, make_buckets};
use crate::harness::{Answer, Client, Options, Server};

const DATA_MIB: usize = 32;
const STATE_MIB: usize = 24;
const OBJECT_BYTES: usize = 1 << 20;
const SECONDS_MAX: u64 = 20;

/// A small disk.
struct Disk(TempDir);

impl Disk {
    fn mount(mib: usize) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).arg(dir.path());
        mount.output().is_ok_and(|done| done.status.success()).then(|| Self(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all space that is left.
    fn fill(&self) {
        let filler = std::fs::File::create(self.path().join("filler")).expect("made");
        let error = std::io::copy(&mut std::io::repeat(7), &mut &filler).expect_err("the disk is endless");
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }

    fn empty(&self) {
        std::fs::remove_file(self.path().join("filler")).expect("removed");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Also while the server still has files open there.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

/// A disk, or the word that this test does not run.
fn disk(mib: usize) -> Option<Disk> {
    let disk = Disk::mount(mib);
    if disk.is_none() {
        skipped("full_disk", "it needs root and the right to mount a tmpfs");
    }
    disk
}

fn name(bucket: &str, key: &str) -> Name {
    (bucket.to_owned(), key.to_owned())
}

/// A PUT that is held against the ledger.
async fn put(root: &Client, ledger: &Ledger, name: &Name, id: u64, len: usize) -> Answer {
    let ticket = ledger.begin(name, Some(Value::whole(id, len)));
    let answer = root.put(&name.0, &name.1, bytes_of(id, len)).await;
    if answer.status == 200 {
        ledger.acknowledge(name, ticket);
        return answer;
    }
    ledger.refuse(name, ticket);
    answer.refused(507, "InsufficientStorage")
}

async fn delete(root: &Client, ledger: &Ledger, name: &Name) {
    let ticket = ledger.begin(name, None);
    root.delete(&name.0, &name.1).await.expect(204);
    ledger.acknowledge(name, ticket);
}

/// Writes objects until one is refused; how many were not.
async fn write_until_full(root: &Client, ledger: &Ledger) -> u64 {
    for n in 0.. {
        let bucket = if n % 2 == 0 { NATURAL } else { MANAGED };
        if put(root, ledger, &name(bucket, &format!("k{n}")), n + 1, OBJECT_BYTES).await.status != 200 {
            return n;
        }
    }
    unreachable!("the disk is endless")
}

/// Writes until there is space; a deletion frees it behind its answer.
async fn until_written(root: &Client, ledger: &Ledger, name: &Name, id: u64, len: usize) {
    let deadline = Instant::now() + Duration::from_secs(SECONDS_MAX);
    while put(root, ledger, name, id, len).await.status != 200 {
        assert!(Instant::now() < deadline, "no space comes back");
    }
}

/// Everything that must hold once the disk of the data is full, and after space was made.
async fn full_of_data(disk: &Disk, options: Options) {
    let server = Server::with(options.env("LONGSHORE_LOG", "warn"));
    let (root, ledger) = (server.root(), Ledger::default());
    make_buckets(&server).await;
    let begun = root.call("POST", "/natural/parts").query("uploads", "").send().await.expect(200);
    let upload = begun.elements("UploadId").remove(0);
    let written = write_until_full(&root, &ledger).await;
    assert!(written >= 10, "only {written} objects fit");
    // What is there is read, and stays when something over it is refused.
    assert_eq!(put(&root, &ledger, &name(NATURAL, "k0"), 1001, 4 * OBJECT_BYTES).await.status, 507);
    assert_eq!(put(&root, &ledger, &name(MANAGED, "k1"), 1002, 4 * OBJECT_BYTES).await.status, 507);
    let part = root.call("PUT", "/natural/parts").query("uploadId", &upload).query("partNumber", "1");
    part.body(bytes_of(1003, 4 * OBJECT_BYTES)).send().await.refused(507, "InsufficientStorage");
    // Others take what is left.
    disk.fill();
    let read = audit(&server, &ledger).await;
    for key in ["k2", "k4"] {
        delete(&root, &ledger, &name(NATURAL, key)).await;
    }
    delete(&root, &ledger, &name(MANAGED, "k3")).await;
    until_written(&root, &ledger, &name(NATURAL, "k2"), 1004, OBJECT_BYTES).await;
    until_written(&root, &ledger, &name(MANAGED, "k3"), 1005, OBJECT_BYTES).await;
    audit(&server, &ledger).await;
    root.call("DELETE", "/natural/parts").query("uploadId", &upload).send().await.expect(204);
    let mut server = server;
    server.kill();
    let server = server.restart();
    audit(&server, &ledger).await;
    check_storage(&server);
    report(&format!("full_disk: {written} objects until the disk was full, {read} keys checked while it was"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_of_data_refuses_writes_and_nothing_else() {
    let Some(disk) = disk(DATA_MIB) else { return };
    let state = tempfile::tempdir().expect("a temporary directory");
    let (data, state) = (Some(disk.path().join("data")), Some(state.path().join("state")));
    full_of_data(&disk, Options { data, state, ..Options::default() }).await;
}

/// Where the state is unless it is told otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_of_data_and_state_is_emptied_by_deleting() {
    let Some(disk) = disk(DATA_MIB) else { return };
    full_of_data(&disk, Options { data: Some(disk.path().join("data")), ..Options::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_of_state_refuses_writes_and_reads_go_on() {
    let Some(disk) = disk(STATE_MIB) else { return };
    let options = Options { state: Some(disk.path().join("state")), ..Options::default() };
    let server = Server::with(options.env("LONGSHORE_LOG", "warn"));
    let (root, ledger) = (server.root(), Ledger::default());
    make_buckets(&server).await;
    for n in 0..10 {
        put(&root, &ledger, &name(NATURAL, &format!("k{n}")), n + 1, 30_000).await;
        put(&root, &ledger, &name(MANAGED, &format!("k{n}")), n + 1, 3_000).await;
    }
    disk.fill();
    // A few commits still fit into the log that is there already.
    let (mut written, mut refused) = (0, 0);
    let deadline = Instant::now() + Duration::from_secs(SECONDS_MAX);
    while refused < 8 {
        assert!(Instant::now() < deadline, "a full disk takes everything");
        let key = format!("k{}", (written + refused) % 10);
        let sizes = [3_000, 30_000];
        let len = sizes[(written + refused) % 2];
        let answer = put(&root, &ledger, &name(NATURAL, &key), 2000 + (written + refused) as u64, len).await;
        if answer.status == 200 { written += 1 } else { refused += 1 }
    }
    let read = audit(&server, &ledger).await;
    disk.empty();
    for bucket in [NATURAL, MANAGED] {
        until_written(&root, &ledger, &name(bucket, "k0"), 3000, 50_000).await;
        delete(&root, &ledger, &name(bucket, "k1")).await;
    }
    audit(&server, &ledger).await;
    let mut server = server;
    server.kill();
    let server = server.restart();
    audit(&server, &ledger).await;
    check_storage(&server);
    report(&format!("full_disk: {refused} writes refused by a full catalog, {read} keys checked while it was"));
}
