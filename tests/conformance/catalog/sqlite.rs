//! The embedded catalog: its file, its restarts, and other processes on the same file.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use longshore::catalog::sqlite::{Durability, OpenOptions, SqliteCatalog};
use longshore::catalog::{Catalog, Error};
use longshore::model::page::Seek;
use tempfile::TempDir;

use super::identities::{access_key, user};
use super::samples::*;

fn file(directory: &TempDir) -> PathBuf {
    directory.path().join("catalog.db")
}

pub(super) fn open(directory: &TempDir) -> SqliteCatalog {
    SqliteCatalog::open(&file(directory), OpenOptions::default()).expect("a catalog")
}

fn reason(path: &Path) -> String {
    match SqliteCatalog::open(path, OpenOptions::default()) {
        Err(Error::Failed(source)) => source.to_string(),
        other => panic!("it was to be refused: {other:?}"),
    }
}

#[tokio::test]
async fn rows_and_the_id_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(&directory);
    let b = bucket(&first, "b").await;
    let object = rich("k");
    insert(&first, b.id, &object).await;
    let id = first.id();
    first.close().await.unwrap();
    let second = open(&directory);
    assert_eq!(second.id(), id);
    assert_eq!(second.bucket(US, &b.name).await.unwrap(), Some(b.clone()));
    assert_eq!(second.object(US, b.id, &key("k")).await.unwrap(), Some(object));
}

/// The files are copied while the catalog is open, as a crash would leave them: what was answered is in the copy.
#[tokio::test]
async fn what_was_answered_is_in_the_files() {
    let (directory, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let catalog = open(&directory);
    let b = bucket(&catalog, "b").await;
    for i in 0..50 {
        insert(&catalog, b.id, &plain(&format!("{i:02}"))).await;
    }
    for suffix in ["", "-wal"] {
        let name = format!("catalog.db{suffix}");
        std::fs::copy(directory.path().join(&name), copy.path().join(&name)).unwrap();
    }
    let after = open(&copy);
    assert_eq!(keys(&after, b.id, "", Seek::From(String::new()), 99).await.len(), 50);
}

#[tokio::test]
async fn a_close_leaves_no_log_and_ends_everything() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory);
    let b = bucket(&catalog, "b").await;
    insert(&catalog, b.id, &plain("k")).await;
    assert_eq!(keys(&catalog, b.id, "", Seek::From(String::new()), 9).await, ["k"]);
    catalog.close().await.unwrap();
    let mut names: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(
        names,
        ["catalog.db", "catalog.db-reserve"],
        "the space that is kept back stays for a start on a full disk"
    );
    for outcome in [
        catalog.ping().await.err(),
        catalog.object(US, b.id, &key("k")).await.err(),
        catalog.list(US, b.id, window("", Seek::From(String::new()), 9)).await.err(),
        catalog.delete_bucket(US, b.id, true).await.err(),
    ] {
        assert!(matches!(outcome, Some(Error::Unavailable(_))), "{outcome:?}");
    }
    catalog.close().await.expect("closing twice is fine");
}

/// A close in the middle of traffic: each write is answered, and exactly those answered well are kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_under_load_keeps_what_was_answered() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = Arc::new(open(&directory));
    let b = bucket(&*catalog, "b").await.id;
    let writers: Vec<_> = (0..8)
        .map(|w| {
            let catalog = Arc::clone(&catalog);
            tokio::spawn(async move {
                let mut kept = Vec::new();
                for i in 0.. {
                    let object = plain(&format!("{w}-{i:06}"));
                    let one = commit(vec![change(b, object.key.as_str(), None, Some(&object))]);
                    match catalog.commit(US, one).await {
                        Ok(_) => kept.push(object.key.as_str().to_owned()),
                        Err(Error::Unavailable(_)) => return kept,
                        Err(other) => panic!("{other:?}"),
                    }
                }
                kept
            })
        })
        .collect();
    while catalog.usage(US, b).await.unwrap().0 < 100 {
        tokio::task::yield_now().await;
    }
    catalog.close().await.unwrap();
    let mut kept = Vec::new();
    for writer in writers {
        kept.extend(writer.await.unwrap());
    }
    kept.sort();
    assert_eq!(keys(&open(&directory), b, "", Seek::From(String::new()), usize::MAX).await, kept);
}

#[tokio::test]
async fn the_file_is_for_its_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory);
    bucket(&catalog, "b").await;
    for suffix in ["", "-wal", "-shm"] {
        let path = directory.path().join(format!("catalog.db{suffix}"));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{suffix:?}");
    }
}

#[test]
fn what_is_no_catalog_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("text");
    std::fs::write(&text, "not a database, but long enough to be taken for the header of one, one hundred bytes or so")
        .unwrap();
    let before = std::fs::read(&text).unwrap();
    reason(&text);
    assert_eq!(std::fs::read(&text).unwrap(), before);

    let missing = directory.path().join("no/such/directory/catalog.db");
    assert!(matches!(SqliteCatalog::open(&missing, OpenOptions::default()), Err(Error::Failed(_))));

    let other = directory.path().join("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    let before = std::fs::read(&other).unwrap();
    assert!(reason(&other).contains("not a catalog"));
    assert_eq!(std::fs::read(&other).unwrap(), before);
}

#[tokio::test]
async fn a_file_of_a_newer_release_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    open(&directory).close().await.unwrap();
    let connection = rusqlite::Connection::open(file(&directory)).unwrap();
    connection.pragma_update(None, "user_version", 1000).unwrap();
    drop(connection);
    assert!(reason(&file(&directory)).contains("newer release"));
}

#[tokio::test]
async fn another_process_is_seen() {
    let directory = tempfile::tempdir().unwrap();
    let (server, command) = (open(&directory), open(&directory));
    assert_eq!(server.id(), command.id());
    let b = bucket(&server, "b").await.id;
    let before = server.generation().await.unwrap();
    insert(&server, b, &plain("k")).await;
    assert_eq!(server.generation().await.unwrap(), before);
    command.put_user(user("alice"), false).await.unwrap();
    command.add_key(access_key("AK", "alice")).await.unwrap();
    assert_ne!(server.generation().await.unwrap(), before);
    assert!(server.key("AK").await.unwrap().is_some());
    command.close().await.unwrap();
    insert(&server, b, &plain("l")).await;
    assert_eq!(keys(&server, b, "", Seek::From(String::new()), 9).await, ["k", "l"]);
}

/// Two writers on one file take turns: none of their commits is lost or refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_write_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let catalogs = [Arc::new(open(&directory)), Arc::new(open(&directory))];
    let b = bucket(&*catalogs[0], "b").await.id;
    let writers: Vec<_> = (0..8)
        .map(|w| {
            let catalog = Arc::clone(&catalogs[w % 2]);
            tokio::spawn(async move {
                for i in 0..25 {
                    insert(&*catalog, b, &plain(&format!("{w}-{i}"))).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    for catalog in catalogs {
        assert_eq!(catalog.usage(US, b).await.unwrap().0, 200);
    }
}

/// Another process holds the lock for longer than a command takes: the write says that it may be tried again, and the
/// catalog goes on afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_held_too_long_is_unavailable() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(&directory);
    let b = bucket(&catalog, "b").await.id;
    let other = rusqlite::Connection::open(file(&directory)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = catalog.commit(US, commit(vec![change(b, "k", None, Some(&plain("k")))])).await;
    assert!(refused.is_err_and(|error| error.retryable()));
    assert_eq!(catalog.object(US, b, &key("k")).await.unwrap(), None, "reads go on meanwhile");
    other.execute_batch("ROLLBACK").unwrap();
    insert(&catalog, b, &plain("k")).await;
}

/// Who only looks makes no catalog, reads what there is, and writes neither into it nor beside it.
#[tokio::test]
async fn a_look_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (file, reserve) = (file(&directory), directory.path().join("catalog.db-reserve"));
    let looks = OpenOptions { looks: true, ..OpenOptions::default() };
    assert!(SqliteCatalog::open(&file, looks).is_err() && !file.exists(), "it is made by a look");
    let catalog = open(&directory);
    let b = bucket(&catalog, "b").await.id;
    insert(&catalog, b, &plain("k")).await;
    catalog.close().await.unwrap();
    std::fs::remove_file(&reserve).unwrap();
    let catalog = SqliteCatalog::open(&file, looks).unwrap();
    let written = catalog.commit(US, commit(vec![change(b, "other", None, Some(&plain("other")))])).await;
    assert!(matches!(written, Err(Error::Failed(_))), "{written:?}");
    assert!(catalog.tasks_done(US, &[1]).await.is_err());
    assert!(catalog.object(US, b, &key("k")).await.unwrap().is_some());
    assert_eq!(catalog.usage(US, b).await.unwrap().0, 1);
    catalog.close().await.unwrap();
    assert!(!reserve.exists(), "space is taken by a look");
}

#[tokio::test]
async fn less_durability_keeps_the_rest_of_the_promises() {
    let directory = tempfile::tempdir().unwrap();
    let options = OpenOptions { durability: Durability::Os, ..OpenOptions::default() };
    let catalog = SqliteCatalog::open(&file(&directory), options).unwrap();
    let b = bucket(&catalog, "b").await.id;
    insert(&catalog, b, &plain("k")).await;
    catalog.close().await.unwrap();
    assert!(open(&directory).object(US, b, &key("k")).await.unwrap().is_some());
}

/// A request that is dropped while it waits takes nothing with it: its write happened whole or not at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_request_leaves_all_or_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = Arc::new(open(&directory));
    let b = bucket(&*catalog, "b").await.id;
    for i in 0..40 {
        let (first, second) = (plain(&format!("{i}-a")), plain(&format!("{i}-b")));
        let both = [&first, &second].map(|o| change(b, o.key.as_str(), None, Some(o))).to_vec();
        let cloned = Arc::clone(&catalog);
        let request = tokio::spawn(async move { cloned.commit(US, commit(both)).await });
        for _ in 0..i % 4 {
            tokio::task::yield_now().await;
        }
        request.abort();
        let _ = request.await;
        insert(&*catalog, b, &plain(&format!("{i}-fence"))).await;
        let found = keys(&*catalog, b, &format!("{i}-"), Seek::From(String::new()), 9).await;
        assert!(found.len() == 1 || found.len() == 3, "{found:?}");
    }
}
