//! A clock that steps back and forth between starts, and what it does to the order of versions.
//!
//! The wall clock of the server is shifted from outside, by libfaketime; its clock for durations stays.
//!
//! **Invariant:** the order of writes is the order of their commits, whatever the clock says.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::audit::{audit, check_storage};
use super::dice::{bytes_of, report, skipped};
use super::ledger::{Ledger, Name, Value};
use super::load::{MANAGED, NATURAL, make_buckets};
use crate::harness::{Answer, Call, Options, Server};

const DAY_SECONDS: i64 = 24 * 3600;
const KEYS: [&str; 3] = ["small", "dir/large", "parts"];

/// The library, wherever the distribution has put it.
fn library() -> Option<PathBuf> {
    let below = std::fs::read_dir("/usr/lib").ok()?.map_while(Result::ok).map(|entry| entry.path());
    let mut dirs: Vec<PathBuf> = below.collect();
    dirs.push("/usr/lib".into());
    dirs.into_iter().map(|dir| dir.join("faketime/libfaketime.so.1")).find(|path| path.is_file())
}

/// A server whose clock is so many days ahead.
struct Shifted<'l> {
    server: Server,
    days: i64,
    ledger: &'l Ledger,
}

impl<'l> Shifted<'l> {
    fn start(data: PathBuf, days: i64, ledger: &'l Ledger, library: &str) -> Self {
        let mut options = Options { data: Some(data), ..Options::default() }.env("LONGSHORE_LOG", "warn");
        if days != 0 {
            options = options.env("LD_PRELOAD", library).env("FAKETIME", &format!("{days:+}d"));
            options = options.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        Self { server: Server::with(options), days, ledger }
    }

    async fn send(&self, call: Call<'_>) -> Answer {
        call.at(self.days * DAY_SECONDS).send().await
    }

    async fn write(&self, name: &Name, id: u64, len: usize) {
        let root = self.server.root();
        let path = format!("/{}/{}", name.0, name.1);
        if name.1 == "parts" {
            let begun = self.send(root.call("POST", &path).query("uploads", "")).await.expect(200);
            let upload = begun.elements("UploadId").remove(0);
            let part = root.call("PUT", &path).query("uploadId", &upload).query("partNumber", "1");
            let part = self.send(part.body(bytes_of(id, len))).await.expect(200);
            let list = format!("<Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part>", part.etag());
            let list = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
            let ticket = self.ledger.begin(name, Some(Value::of_parts(&[(id, len)])));
            self.send(root.call("POST", &path).query("uploadId", &upload).body(list)).await.expect(200);
            self.ledger.acknowledge(name, ticket);
        } else {
            let ticket = self.ledger.begin(name, Some(Value::whole(id, len)));
            self.send(root.call("PUT", &path).body(bytes_of(id, len))).await.expect(200);
            self.ledger.acknowledge(name, ticket);
        }
    }

    async fn delete(&self, name: &Name) {
        let ticket = self.ledger.begin(name, None);
        let root = self.server.root();
        self.send(root.call("DELETE", &format!("/{}/{}", name.0, name.1))).await.expect(204);
        self.ledger.acknowledge(name, ticket);
    }

    /// The place of each key's version in the order.
    fn counters(&self) -> Vec<(String, i64)> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let catalog = Connection::open_with_flags(self.server.state().join("catalog.db"), flags).expect("the catalog");
        catalog.busy_timeout(Duration::from_secs(5)).expect("set");
        let mut rows = catalog.prepare("SELECT bucket_id || name, counter FROM objects ORDER BY 1").expect("prepared");
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("asked");
        rows.collect::<Result<_, _>>().expect("rows")
    }
}

fn names() -> impl Iterator<Item = Name> {
    let of = |bucket: &'static str| KEYS.into_iter().map(move |key| (bucket.to_owned(), key.to_owned()));
    of(NATURAL).chain(of(MANAGED))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_stay_in_order_when_the_clock_does_not() {
    let Some(library) = library() else {
        skipped("clock", "libfaketime is missing: `make tools` installs it with faketime");
        return;
    };
    let library = library.to_str().expect("text");
    let home = tempfile::tempdir().expect("a temporary directory");
    let data = || home.path().join("data");
    let ledger = Ledger::default();
    let mut body = 1;
    let mut before: Vec<(String, i64)> = Vec::new();
    let server = Shifted::start(data(), 0, &ledger, library);
    make_buckets(&server.server).await;
    drop(server);
    for days in [0, 2, 0, -2, 1, -1] {
        let mut shifted = Shifted::start(data(), days, &ledger, library);
        for name in names() {
            let len = if name.1 == "small" { 700 } else { 90_000 };
            shifted.write(&name, body, len).await;
            // One that was made under this very clock, and goes under it.
            let passing = (name.0.clone(), format!("passing/{}", name.1));
            shifted.write(&passing, body + 1, len).await;
            shifted.delete(&passing).await;
            body += 2;
        }
        let after = shifted.counters();
        let moved_on = before.iter().zip(&after).all(|((of, old), (name, new))| of == name && new > old);
        assert!(moved_on && after.len() == KEYS.len() * 2, "{days} days: {before:?} became {after:?}");
        before = after;
        shifted.server.kill();
        // Read under the right clock, which the next writes then step away from again.
        let mut server = Shifted::start(data(), 0, &ledger, library).server;
        audit(&server, &ledger).await;
        check_storage(&server);
        assert_eq!(server.stop().code(), Some(0));
    }
    report(&format!("clock: 6 clocks, {} acknowledged writes", ledger.acknowledged()));
}
