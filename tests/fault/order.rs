//! The order in which a write asks the kernel for things: nothing is answered before it is on stable storage, and
//! nothing is named before its bytes are.
//!
//! **Invariant:** each step is looked for behind the end of the one before it, so two that overlap are out of order.

use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use super::dice::{bytes_of, has_tool, report};
use crate::harness::{Client, Options, Server, Strace, Syscall};

const CALLS: &str = "trace=fsync,fdatasync,syncfs,linkat,renameat2,unlinkat,pwritev,pwrite64,writev,sendto,write";
const BUCKET: &str = "ordered";
const SMALL_BYTES: usize = 9_000;
const LARGE_BYTES: usize = 200_000;

/// The calls of one request, in the order in which they began.
struct Trace(Vec<Syscall>);

impl Trace {
    /// The first call that begins behind `moment` and is one.
    #[track_caller]
    fn next(&self, what: &str, behind: &Syscall, is: impl Fn(&Syscall) -> bool) -> &Syscall {
        let found = self.0.iter().find(|call| call.began > behind.ended && is(call));
        let found = found.unwrap_or_else(|| panic!("no {what} behind {behind:?} in\n{}", self.text()));
        assert!(found.succeeded(), "{what} failed: {found:?}");
        found
    }

    #[track_caller]
    fn first(&self, what: &str, is: impl Fn(&Syscall) -> bool) -> &Syscall {
        self.0.iter().find(|call| is(call)).unwrap_or_else(|| panic!("no {what} in\n{}", self.text()))
    }

    fn text(&self) -> String {
        self.0.iter().map(|c| format!("{}..{} {}({} = {}\n", c.began, c.ended, c.name, c.arguments, c.result)).collect()
    }

    /// The answer, of which there is one.
    #[track_caller]
    fn answer(&self, status: u16) -> &Syscall {
        let is = |call: &&Syscall| call.arguments.contains(&format!("HTTP/1.1 {status}"));
        let answers: Vec<_> = self.0.iter().filter(is).collect();
        assert_eq!(answers.len(), 1, "answers in\n{}", self.text());
        answers[0]
    }
}

fn is_wal_sync(call: &Syscall) -> bool {
    call.name == "fdatasync" && call.arguments.contains("catalog.db-wal>")
}

fn is_wal_write(call: &Syscall) -> bool {
    call.name == "pwrite64" && call.arguments.contains("catalog.db-wal>")
}

/// Whether a call syncs a file that has no name yet.
fn is_file_sync(call: &Syscall) -> bool {
    call.name == "fsync" && call.arguments.contains(".longshore/objects/") && call.arguments.contains("(deleted)")
}

/// Whether a call gives or takes a name at the key.
fn names(call: &Syscall, key: &str) -> bool {
    matches!(call.name.as_str(), "renameat2" | "linkat") && call.arguments.contains(&format!("\"{key}\""))
}

/// The path of the directory that a call names last.
fn last_directory(call: &Syscall) -> &str {
    let (_, rest) = call.arguments.rsplit_once('<').expect("a descriptor with its path");
    rest.split_once('>').expect("a descriptor with its path").0
}

/// Waits until nothing is owed any more, so that no work of an earlier request gets into a trace.
fn until_nothing_is_owed(server: &Server) {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let catalog = Connection::open_with_flags(server.state().join("catalog.db"), flags).expect("the catalog");
    catalog.busy_timeout(Duration::from_secs(5)).expect("set");
    let deadline = Instant::now() + Duration::from_secs(20);
    while catalog.query_row("SELECT count(*) FROM outbox", [], |row| row.get::<_, i64>(0)).expect("a number") > 0 {
        assert!(Instant::now() < deadline, "steps stay owed");
        std::thread::yield_now();
    }
}

/// One request, and everything until nothing is owed for it.
async fn traced(server: &Server, request: impl Future<Output = crate::harness::Answer>, status: u16) -> Trace {
    until_nothing_is_owed(server);
    let strace = Strace::attach(server, &["-e", CALLS]);
    request.await.expect(status);
    until_nothing_is_owed(server);
    Trace(strace.detach())
}

async fn served() -> (Server, Client) {
    let server = Server::with(Options::default().env("LONGSHORE_LOG", "warn"));
    let root = server.root();
    root.create_bucket(BUCKET).await.expect(200);
    (server, root)
}

/// The file is synced before it is named, its directory and the commit before the answer.
fn check_synced_file(trace: &Trace, key: &str) {
    let file = trace.first("sync of the file", is_file_sync);
    let link = trace.next("link of the file", file, |call| call.name == "linkat");
    let directory = last_directory(link);
    assert!(directory.contains(".longshore/objects/"), "it is named first in {directory}");
    let is_sync = |call: &Syscall| call.name == "fsync" && call.arguments.contains(&format!("<{directory}>"));
    let named = trace.next("sync of the directory", link, is_sync);
    let commit = trace.next("sync of the commit", named, is_wal_sync);
    let laid_out = trace.next("lay-out", commit, |call| names(call, key));
    let answer = trace.answer(200);
    assert!(answer.began > laid_out.ended, "answered before it was laid out:\n{}", trace.text());
    check_forgotten_last(trace, laid_out);
}

/// What is owed is forgotten only when the whole file system was synced behind the step.
fn check_forgotten_last(trace: &Trace, step: &Syscall) {
    let synced = trace.next("sync of the file system", step, |call| call.name == "syncfs");
    let early = trace.0.iter().find(|call| is_wal_write(call) && call.began > step.ended && call.ended < synced.ended);
    assert!(early.is_none(), "{early:?} forgets before the sync of the file system in\n{}", trace.text());
    trace.next("commit that forgets", synced, is_wal_write);
}

#[tokio::test]
async fn a_large_put_is_on_stable_storage_before_its_answer() {
    if !has_tool("order", "strace", "`make tools` installs it") {
        return;
    }
    let (server, root) = served().await;
    let trace = traced(&server, root.put(BUCKET, "new", bytes_of(1, LARGE_BYTES)), 200).await;
    check_synced_file(&trace, "new");
    let trace = traced(&server, root.put(BUCKET, "new", bytes_of(2, LARGE_BYTES)), 200).await;
    check_synced_file(&trace, "new");
    let commit = trace.first("sync of the commit", is_wal_sync);
    let early = trace.0.iter().find(|call| call.name == "unlinkat" && call.began < commit.ended);
    assert!(early.is_none(), "{early:?} frees what is still the object in\n{}", trace.text());
    report("order: a large PUT of a new key and of an old one");
}

#[tokio::test]
async fn a_small_put_is_on_stable_storage_before_its_answer() {
    if !has_tool("order", "strace", "`make tools` installs it") {
        return;
    }
    let (server, root) = served().await;
    for n in [1, 2] {
        let trace = traced(&server, root.put(BUCKET, "small", bytes_of(n, SMALL_BYTES)), 200).await;
        let commit = trace.first("sync of the commit", is_wal_sync);
        let written = trace.first("write of the commit", is_wal_write);
        assert!(written.ended < commit.began, "it is synced before it is written:\n{}", trace.text());
        let laid_out = trace.next("lay-out", commit, |call| names(call, "small"));
        assert!(trace.answer(200).began > laid_out.ended, "answered before it was laid out:\n{}", trace.text());
        check_forgotten_last(&trace, laid_out);
        // The commit holds the bytes until the file is durable, so nothing else is synced for them.
        let synced = trace.0.iter().find(|call| is_file_sync(call));
        assert!(synced.is_none(), "{synced:?} costs what the commit was to save in\n{}", trace.text());
    }
    report("order: a small PUT of a new key and of an old one");
}

#[tokio::test]
async fn a_delete_is_on_stable_storage_before_its_answer() {
    if !has_tool("order", "strace", "`make tools` installs it") {
        return;
    }
    let (server, root) = served().await;
    root.put(BUCKET, "gone", bytes_of(1, LARGE_BYTES)).await.expect(200);
    let trace = traced(&server, root.delete(BUCKET, "gone"), 204).await;
    let aside = trace.first("step aside", |call| names(call, "gone"));
    let commit = trace.next("sync of the commit", aside, is_wal_sync);
    assert!(trace.answer(204).began > commit.ended, "answered before it was decided:\n{}", trace.text());
    let is_free = |call: &Syscall| call.name == "unlinkat" && call.arguments.contains(".longshore/objects/");
    let freed = trace.first("unlink", is_free);
    assert!(freed.began > commit.ended, "freed before it was decided:\n{}", trace.text());
    check_forgotten_last(&trace, freed);
    report("order: a DELETE");
}
