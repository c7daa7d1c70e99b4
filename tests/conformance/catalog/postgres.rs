//! The catalog in Postgres: its rights, its schema, several processes, and a server that goes and comes.

use std::sync::Arc;

use futures_util::future::join_all;
use longshore::catalog::postgres::{OpenOptions, PostgresCatalog};
use longshore::catalog::{Catalog, Commit, Error, History, NewBucket, Unnamed};
use longshore::model::bucket::{BucketConfig, Quota};
use longshore::model::id::VersionId;
use longshore::model::object::Object;
use longshore::model::page::Seek;
use longshore::model::place::Stamp;
use longshore::model::secret::Secret;

use super::samples::*;
use crate::harness::postgres::{Database, database, postgres};

pub(super) async fn open(test: &str) -> Option<PostgresCatalog> {
    Some(at(&database(test)?).await)
}

/// With so many connections of each kind.
pub(super) async fn over_few(database: &Database, connections: u32) -> PostgresCatalog {
    let options = OpenOptions { connections: Some(connections), ..OpenOptions::default() };
    PostgresCatalog::open(&Secret::new(&database.url), options).await.expect("a catalog")
}

pub(super) async fn at(database: &Database) -> PostgresCatalog {
    PostgresCatalog::open(&Secret::new(&database.url), OpenOptions::default()).await.expect("a catalog")
}

fn reason(outcome: Result<PostgresCatalog, Error>) -> String {
    let Err(Error::Failed(source)) = outcome else { panic!("it was to be refused: {outcome:?}") };
    source.to_string()
}

#[tokio::test]
async fn rows_and_the_id_survive_a_restart() {
    let Some(database) = database("rows_and_the_id_survive_a_restart") else { return };
    let first = at(&database).await;
    let b = bucket(&first, "b").await;
    let object = rich("k");
    insert(&first, b.id, &object).await;
    first.close().await.unwrap();
    for outcome in [first.ping().await.err(), first.object(US, b.id, &key("k")).await.err()] {
        assert!(matches!(outcome, Some(Error::Unavailable(_))), "{outcome:?}");
    }
    first.close().await.expect("closing twice is fine");
    let second = at(&database).await;
    assert_eq!(second.id(), first.id());
    assert_eq!(second.object(US, b.id, &key("k")).await.unwrap(), Some(object));
}

/// Many processes begin on an empty database at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_database_is_made_ready_once() {
    let Some(server) = postgres("an_empty_database_is_made_ready_once") else { return };
    let empty = server.database("template0");
    let url = Secret::new(&empty.admin);
    let opened = join_all((0..6).map(|_| PostgresCatalog::open(&url, OpenOptions::default()))).await;
    let ids: Vec<_> = opened.into_iter().map(|catalog| catalog.expect("a catalog").id()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
    let steps = server.sql(&empty.name, "SELECT string_agg(name, ' ' ORDER BY number) FROM longshore.migrations");
    assert_eq!(steps, "roles storage longshore shared gateways key_claims credentials");
    let levels = server.sql(&empty.name, "SELECT count(*), max(id), max(length(hash)) FROM storage.migrations");
    assert_eq!(levels, "64|63|40");
}

#[tokio::test]
async fn who_may_not_is_refused_with_the_reason() {
    let Some(server) = postgres("who_may_not_is_refused_with_the_reason") else { return };
    let open = async |url: &str| PostgresCatalog::open(&Secret::new(url), OpenOptions::default()).await;
    let empty = server.database("template0");
    assert!(reason(open(&empty.url).await).contains("catalog migrate"));
    let ready = database("who_may_not_is_refused_with_the_reason").expect("a server");
    server.sql(&ready.name, "INSERT INTO longshore.migrations (number, name) VALUES (1000, 'later')");
    assert!(reason(open(&ready.url).await).contains("newer release"));
    for wrong in ["postgres://nobody:nothing@127.0.0.1", "mysql://x@h/d"] {
        assert!(reason(open(wrong).await).contains("postgres://"));
    }
    // Nobody listens there.
    let nowhere = open("postgres://x:y@127.0.0.1:1/d").await;
    assert!(matches!(nowhere, Err(Error::Unavailable(_))), "{nowhere:?}");
}

/// What forgets to say as whom it acts may do nothing, and nothing of ours is open to the users' roles.
#[tokio::test]
async fn the_login_may_do_nothing_by_itself() {
    let Some(server) = postgres("the_login_may_do_nothing_by_itself") else { return };
    let database = database("the_login_may_do_nothing_by_itself").expect("a server");
    at(&database).await;
    let rights = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE nspname IN ('storage', 'longshore') AND relkind = 'r' \
        AND has_table_privilege(";
    for (role, wanted) in [("longshore", "0"), ("anon", "4"), ("authenticated", "4")] {
        let found = server.sql(&database.name, &format!("{rights}'{role}', c.oid, 'SELECT')"));
        assert_eq!(found, wanted, "{role}");
    }
    let ours = "SELECT bool_or(has_schema_privilege(r, 'longshore', 'USAGE')) \
        FROM unnest(ARRAY['longshore', 'anon', 'authenticated', 'service_role']) r";
    assert_eq!(server.sql(&database.name, ours), "f");
    let open = "SELECT count(*) FROM pg_class WHERE oid IN ('storage.objects'::regclass, 'storage.buckets'::regclass) \
        AND relrowsecurity AND NOT relforcerowsecurity";
    assert_eq!(server.sql(&database.name, open), "2");
}

/// What is written shows in the tables that policies and queries are written for.
#[tokio::test]
async fn the_tables_of_supabase_show_what_is_written() {
    let Some(server) = postgres("the_tables_of_supabase_show_what_is_written") else { return };
    let database = database("the_tables_of_supabase_show_what_is_written").expect("a server");
    let catalog = at(&database).await;
    let b = bucket(&catalog, "b").await.id;
    let object = rich("folder/k.txt");
    insert(&catalog, b, &object).await;
    let shown = "SELECT version, owner_id, metadata->>'eTag', metadata->>'size', metadata->>'mimetype', \
        metadata->>'lastModified', storage.foldername(name), storage.extension(name), user_metadata IS NOT NULL \
        FROM storage.objects WHERE bucket_id = 'b'";
    let wanted = format!(
        "{}|alice|\"0123-2\"|10|text/plain; charset=\"utf-8\"|1969-12-31T23:59:59.999Z|{{folder}}|txt|t",
        object.version
    );
    assert_eq!(server.sql(&database.name, shown), wanted);
    let folders = "SELECT name, id IS NULL FROM storage.search('', 'b')";
    assert_eq!(server.sql(&database.name, folders), "folder|t");
    let files = "SELECT name, id IS NULL FROM storage.search('folder/', 'b', 100, 2)";
    assert_eq!(server.sql(&database.name, files), "k.txt|f");
    // Somebody else's row at the key is not one of ours.
    server.sql(&database.name, "UPDATE storage.objects SET version = gen_random_uuid()");
    assert_eq!(catalog.object(US, b, &object.key).await.unwrap(), None);
}

/// Creates, updates and removals of one key from two processes: each round has one winner.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_one_wins() {
    let Some(database) = database("of_two_processes_one_wins") else { return };
    let catalogs = [at(&database).await, at(&database).await];
    let b = bucket(&catalogs[0], "b").await.id;
    for round in 0..20 {
        let text = format!("k{round}");
        let objects: Vec<_> = (0..8).map(|_| plain(&text)).collect();
        let one = |expect, becomes| commit(vec![change(b, &text, expect, becomes)]);
        let creates = objects.iter().enumerate().map(|(i, o)| catalogs[i % 2].commit(US, one(None, Some(o))));
        let created = join_all(creates).await;
        assert_eq!(created.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{created:?}");
        assert!(created.iter().all(|o| matches!(o, Ok(_) | Err(Error::Conflict))), "{created:?}");
        let seen = catalogs[1].object(US, b, &key(&text)).await.unwrap().expect("there").version;
        let others: Vec<_> = (0..8).map(|i| (i % 2 == 0).then(|| plain(&text))).collect();
        let changes = others.iter().enumerate().map(|(i, o)| catalogs[i % 2].commit(US, one(Some(seen), o.as_ref())));
        let changed = join_all(changes).await;
        assert_eq!(changed.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{changed:?}");
        let won = changed.iter().position(Result::is_ok).expect("one");
        let left = catalogs[0].object(US, b, &key(&text)).await.unwrap();
        assert_eq!(left.map(but_for_id), others[won]);
    }
}

/// A version is never current while a marker that was written after it lies behind it: who brings it back and who writes
/// another marker exclude each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_marker_and_a_version_that_comes_back_exclude_each_other() {
    let Some(database) = database("a_marker_and_a_version_that_comes_back") else { return };
    let catalogs = [at(&database).await, at(&database).await];
    let b = bucket(&catalogs[0], "b").await.id;
    for round in 0..20 {
        let text = format!("k{round}");
        let of = |counter, marker| Object { counter, marker, null: false, ..plain(&text) };
        let (old, marker, newer) = (of(1, false), of(2, true), of(3, true));
        let mut before = change(b, &text, None, None);
        before.history = vec![History::Add(Box::new(old.clone())), History::Add(Box::new(marker.clone()))];
        catalogs[0].commit(US, commit(vec![before])).await.unwrap();
        let mut back = change(b, &text, None, Some(&old));
        back.history =
            vec![History::Remove(marker.seen()), History::Newest(Some(old.version)), History::Remove(old.seen())];
        let mut hide = change(b, &text, None, None);
        hide.history = vec![History::Add(Box::new(newer.clone()))];
        let (back, hide) =
            tokio::join!(catalogs[0].commit(US, commit(vec![back])), catalogs[1].commit(US, commit(vec![hide])));
        assert!(back.is_ok() != hide.is_ok(), "{back:?} {hide:?}");
        let current = catalogs[0].object(US, b, &key(&text)).await.unwrap();
        let behind = catalogs[0].history(US, b, &key(&text), 9).await.unwrap();
        let behind: Vec<_> = behind.iter().map(|object| object.counter).collect();
        assert_eq!((current.is_some(), behind), if back.is_ok() { (true, vec![]) } else { (false, vec![3, 2, 1]) });
    }
}

/// `gc` and a slow write on two processes: the bytes are given up, or named, never both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_are_given_up_or_named() {
    let Some(database) = database("bytes_are_given_up_or_named") else { return };
    let catalogs = [at(&database).await, at(&database).await];
    let b = bucket(&catalogs[0], "b").await.id;
    let (mut named, mut given) = (0, 0);
    for round in 0..40 {
        let object = plain(&format!("k{round}"));
        let file = Unnamed { version: object.version, stamp: Stamp::new("s") };
        let write = catalogs[0].commit(US, commit(vec![change(b, object.key.as_str(), None, Some(&object))]));
        let give_up = catalogs[1].give_up(US, b, vec![file]);
        let (written, given_up) = if round % 2 == 0 {
            tokio::join!(write, give_up)
        } else {
            let (given_up, written) = tokio::join!(give_up, write);
            (written, given_up)
        };
        let given_up = given_up.expect("an answer").len();
        assert_eq!(written.is_ok(), given_up == 0, "{written:?}");
        assert!(written.is_ok() || matches!(written, Err(Error::Unavailable(_))), "{written:?}");
        named += usize::from(written.is_ok());
        given += given_up;
    }
    assert_eq!(named + given, 40);
}

/// What a bucket with a quota holds is counted exactly, whoever writes, and a process that does not know of the quota yet
/// counts all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quotas_hold_across_processes() {
    let Some(database) = database("quotas_hold_across_processes") else { return };
    let catalogs = [at(&database).await, at(&database).await];
    let b = catalogs[0].create_bucket(US, NewBucket { ..new_bucket("b") }).await.unwrap();
    insert(&catalogs[0], b.id, &plain("before")).await;
    let quota = Quota { objects: Some(9), bytes: None };
    let config = BucketConfig { quota, ..BucketConfig::default() };
    catalogs[0].set_bucket_config(US, b.id, 0, config).await.unwrap();
    assert_eq!(catalogs[1].room(US, b.id).await.unwrap(), Some(Quota { objects: Some(8), bytes: None }));
    let objects: Vec<_> = (0..24).map(|i| plain(&format!("k{i}"))).collect();
    let writes = objects.iter().enumerate().map(|(i, object)| {
        let changes = vec![change(b.id, object.key.as_str(), None, Some(object))];
        catalogs[i % 2].commit(US, Commit { changes, within_quota: true, ..Commit::default() })
    });
    let outcomes = join_all(writes).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 8, "{outcomes:?}");
    assert!(outcomes.iter().all(|o| matches!(o, Ok(_) | Err(Error::QuotaExceeded))), "{outcomes:?}");
    let kept = keys(&catalogs[0], b.id, "", Seek::From(String::new()), 99).await;
    let first = kept.iter().find(|key| key.starts_with('k')).expect("one of them");
    let row = catalogs[0].object(US, b.id, &key(first)).await.unwrap().expect("there");
    catalogs[1].commit(US, commit(vec![change(b.id, first, Some(row.version), None)])).await.unwrap();
    assert_eq!(catalogs[0].room(US, b.id).await.unwrap(), Some(Quota { objects: Some(1), bytes: None }));
}

/// The server ends every connection: what was idle is replaced unseen, and a statement that was cut off says that it may
/// be tried again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_were_ended_are_replaced() {
    let Some(server) = postgres("connections_that_were_ended_are_replaced") else { return };
    let database = database("connections_that_were_ended_are_replaced").expect("a server");
    let catalog = Arc::new(at(&database).await);
    let b = bucket(&*catalog, "b").await.id;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for round in 0..5 {
        let writer = {
            let catalog = Arc::clone(&catalog);
            tokio::spawn(async move {
                for i in 0..40 {
                    let object = plain(&format!("{round}-{i}"));
                    let one = commit(vec![change(b, object.key.as_str(), None, Some(&object))]);
                    match catalog.commit(US, one).await {
                        Ok(_) => {
                            let read = catalog.object(US, b, &object.key).await;
                            assert!(matches!(&read, Ok(Some(_)) | Err(Error::Unavailable(_))), "{read:?}");
                        }
                        Err(error) => assert!(error.retryable(), "{error:?}"),
                    }
                }
            })
        };
        tokio::task::block_in_place(|| server.sql(&database.name, end));
        writer.await.unwrap();
    }
    assert!(catalog.ping().await.is_ok() || catalog.ping().await.is_ok(), "one may be found ended only now");
}

/// A request that is dropped while it waits takes nothing with it: its write happened whole or not at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_request_leaves_all_or_nothing() {
    let Some(database) = database("a_dropped_request_leaves_all_or_nothing") else { return };
    let catalog = Arc::new(at(&database).await);
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
        // Whoever deletes the bucket's rows waits for a transaction that is still under way.
        catalog.give_up(US, b, vec![Unnamed { version: VersionId::fresh(), stamp: Stamp::new("s") }]).await.unwrap();
        let found = keys(&*catalog, b, &format!("{i}-"), Seek::From(String::new()), 9).await;
        assert!(found.is_empty() || found.len() == 2, "{found:?}");
    }
}

/// A page of a large bucket reads a page of rows, wherever it begins.
#[tokio::test]
async fn a_page_reads_what_it_shows() {
    let Some(server) = postgres("a_page_reads_what_it_shows") else { return };
    let database = database("a_page_reads_what_it_shows").expect("a server");
    let catalog = at(&database).await;
    let b = bucket(&catalog, "b").await.id;
    let first = plain("first");
    insert(&catalog, b, &first).await;
    // The statements are planned while there is next to nothing.
    keys(&catalog, b, "", Seek::From(String::new()), 10).await;
    let many = format!(
        "INSERT INTO storage.objects (bucket_id, name, version) \
         SELECT 'b', 'k' || lpad(i::text, 6, '0'), lpad(to_hex(i), 32, '0') FROM generate_series(1, 60000) i; \
         INSERT INTO longshore.facts SELECT (jsonb_populate_record(f, \
            jsonb_build_object('version', lpad(to_hex(i), 32, '0')))).* \
         FROM generate_series(1, 60000) i, longshore.facts f WHERE f.version = '{}'",
        first.version
    );
    server.sql(&database.name, &many);
    let rows = "SELECT coalesce(sum(idx_tup_fetch), 0) + coalesce(sum(seq_tup_read), 0) FROM pg_stat_user_tables \
        WHERE relname IN ('objects', 'facts')";
    let fetched = || server.sql(&database.name, rows).parse::<i64>().expect("a number");
    for from in ["", "k030000", "k059000"] {
        // A connection tells what it read when it ends, at the latest.
        let fresh = at(&database).await;
        let before = fetched();
        let page = keys(&fresh, b, "", Seek::From(from.into()), 100).await;
        assert_eq!(page.len(), 100);
        fresh.close().await.unwrap();
        let mut after = fetched();
        for _ in 0..200 {
            if after != before {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            after = fetched();
        }
        assert!(after - before < 1000, "{} rows for a page from {from:?}", after - before);
    }
}
