//! Catalogs in Postgres: the same tests over them (this binary once more, where each server has a database of its own),
//! several servers over one, and a database that goes and comes.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use tokio_postgres::NoTls;

use super::pattern;
use crate::harness::postgres::{Database, database, own_postgres, postgres};
use crate::harness::{Options, Server, report};

/// What has to do with the catalog.
const SUITES: [&str; 9] = [
    "s3::attached::",
    "s3::buckets::",
    "s3::conditions::",
    "s3::copy::",
    "s3::deletes::",
    "s3::lifecycle::",
    "s3::listing::",
    "s3::multipart::",
    "s3::objects::",
];
/// The same of the LoopBack and the FileStore interface.
const OTHERS: [&str; 13] = [
    "filestore::items::",
    "filestore::lists::",
    "filestore::moves::a_file",
    "filestore::moves::a_directory_goes",
    "filestore::rights::",
    "loopback::crossing::",
    "loopback::dialect::",
    "loopback::downloads::ranges",
    "loopback::routes::a_container",
    "loopback::routes::containers",
    "loopback::routes::files",
    "loopback::tokens::users",
    "loopback::uploads::a_form",
];

/// Runs tests of this program where each server has a database of its own, and says how many there were.
fn over_postgres(suites: &[&str], least: usize) -> usize {
    let mut tests = Command::new(std::env::current_exe().expect("this program"));
    tests.args(suites).args(["--test-threads", "2"]).env("LONGSHORE_TEST_CATALOG", "postgres").stdin(Stdio::null());
    let output = tests.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let passed = said.lines().filter(|line| line.starts_with("test ") && line.ends_with("... ok")).count();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(passed >= least, "only {passed} tests ran");
    passed
}

#[test]
fn s3_holds_over_a_catalog_in_postgres() {
    if postgres("s3_holds_over_a_catalog_in_postgres").is_none() {
        return;
    }
    let passed = over_postgres(&SUITES, 30);
    report::report(&format!("{passed} tests of S3 over catalogs in Postgres passed"));
}

#[test]
fn loopback_and_filestore_hold_over_a_catalog_in_postgres() {
    if postgres("loopback_and_filestore_hold_over_a_catalog_in_postgres").is_none() {
        return;
    }
    let passed = over_postgres(&OTHERS, 25);
    report::report(&format!("{passed} tests of LoopBack and FileStore over catalogs in Postgres passed"));
}

fn over(database: &Database) -> Options {
    Options { database: Some(database.clone()), ..Options::default() }.env("LONGSHORE_LOG", "warn")
}

/// Of the writers of one key one wins each round, whichever server they ask, and both show what he wrote.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_decide_as_one() {
    let Some(database) = database("two_servers_decide_as_one") else { return };
    let first = Server::with(over(&database));
    let state = tempfile::tempdir().expect("a directory");
    // The key that seals what the catalog keeps is one, and so is the secret of tokens.
    for secret in ["master.key", "jwt.secret"] {
        std::fs::copy(first.state().join(secret), state.path().join(secret)).expect("copies");
    }
    let other =
        Options { data: Some(first.data().to_owned()), state: Some(state.path().to_owned()), ..over(&database) };
    let second = Server::with(other);
    let roots = [first.root(), second.root()];
    roots[0].create_bucket("b-1").await.expect(200);
    for round in 0..30 {
        let key = format!("/b-1/k{round}");
        let tries = (0..16).map(|i| {
            let body = pattern(if round % 2 == 0 { 100 } else { 40_000 }, i);
            roots[usize::from(i % 2)].call("PUT", &key).header("if-none-match", "*").body(body).send()
        });
        let answers = join_all(tries).await;
        let won: Vec<_> = (0..16).filter(|i| answers[*i].status == 200).collect();
        let [winner] = won[..] else {
            panic!("one winner: {:?}", answers.iter().map(|a| a.status).collect::<Vec<_>>())
        };
        assert!(answers.iter().all(|answer| [200, 409, 412].contains(&answer.status)));
        let wanted = pattern(if round % 2 == 0 { 100 } else { 40_000 }, winner.try_into().expect("small"));
        for root in &roots {
            let found = root.call("GET", &key).send().await.expect(200);
            assert_eq!(found.etag(), answers[winner].etag());
            assert!(found.body == wanted, "its bytes are those of the winner");
        }
    }
    // What one removes is gone at the other at once.
    roots[1].call("DELETE", "/b-1/k0").send().await.expect(204);
    roots[0].call("GET", "/b-1/k0").send().await.expect(404);
}

/// The database ends without a word and comes back: requests are refused with 503 meanwhile, none is answered wrongly,
/// what was acknowledged is there, and five seconds later all is well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_restarts_is_an_outage_and_no_more() {
    let Some(postgres) = own_postgres("a_database_that_restarts") else { return };
    let server = Server::with(over(&postgres.fresh()));
    let root = server.root();
    root.create_bucket("b-1").await.expect(200);
    let (stop, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writers: Vec<_> = (0..8u8)
        .map(|writer| {
            let (root, stop, refused) = (root.clone(), Arc::clone(&stop), Arc::clone(&refused));
            tokio::spawn(async move {
                let mut kept = Vec::new();
                for i in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let (key, body) = (format!("/b-1/{writer}-{i}"), pattern(1000, writer));
                    match root.call("PUT", &key).body(body.clone()).send().await.status {
                        200 => {
                            kept.push(key.clone());
                            let read = root.call("GET", &key).send().await;
                            assert!(read.status == 503 || (read.status == 200 && read.body == body), "{}", read.status);
                        }
                        503 => {
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                        other => panic!("{other}"),
                    }
                }
                kept
            })
        })
        .collect();
    for _ in 0..2 {
        tokio::task::block_in_place(|| postgres.restart());
        let up = Instant::now();
        while root.put("b-1", "again", "x").await.status != 200 {
            assert!(up.elapsed() < Duration::from_secs(5), "it does not recover");
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut kept = 0;
    for writer in writers {
        for key in writer.await.expect("no wrong answer") {
            root.call("GET", &key).send().await.expect(200);
            kept += 1;
        }
    }
    report::report(&format!(
        "{kept} objects were kept, {} requests refused, over two restarts",
        refused.load(Ordering::Relaxed)
    ));
}

/// Connections that the README promises at most.
const CONNECTIONS_MAX: i64 = 21;

/// What asks on when its client went away still has its place: whoever comes next waits, and the database never works for
/// more than it was promised.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_go_away_open_no_further_connections() {
    let Some(database) = database("clients_that_go_away_open_no_further_connections") else { return };
    let server = Server::with(over(&database));
    let root = server.root();
    root.create_bucket("b-1").await.expect(200);
    root.put("b-1", "k", "x").await.expect(200);
    let mut admins = Vec::new();
    for _ in 0..2 {
        let (sql, connection) = tokio_postgres::connect(&database.admin, NoTls).await.expect("a database");
        tokio::spawn(connection);
        admins.push(sql);
    }
    let [holder, watcher] = &admins[..] else { unreachable!("two") };
    let count = async |of: &str| -> i64 {
        let text = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND {of}");
        watcher.query_one(&text, &[]).await.expect("a count").get(0)
    };
    holder.batch_execute("BEGIN; LOCK TABLE storage.objects IN ACCESS EXCLUSIVE MODE").await.expect("a lock");
    let list = root.call("GET", "/b-1").query("list-type", "2").signed();
    let mut most = 0;
    for _ in 0..4 {
        let asking = tokio::spawn({
            let (root, list) = (root.clone(), list.clone());
            async move { root.leave(&list, 32, Duration::from_millis(10)).await }
        });
        while !asking.is_finished() {
            most = most.max(count("application_name LIKE 'longshore%'").await);
        }
    }
    let told = tokio::spawn({
        let root = root.clone();
        async move { root.call("GET", "/b-1/k").send().await.status }
    });
    let mut waited = 0;
    while !told.is_finished() {
        most = most.max(count("application_name LIKE 'longshore%'").await);
        waited = waited.max(count("wait_event_type = 'Lock'").await);
    }
    assert!(waited > 0 && most <= CONNECTIONS_MAX, "{most} connections, {waited} of them waited");
    assert_eq!(told.await.expect("an answer"), 503, "the lock is still held");
    holder.batch_execute("ROLLBACK").await.expect("no lock");
    root.get("b-1", "k").await.expect(200);
}
