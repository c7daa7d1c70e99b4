//! Every statement prepares, and those that walk go by an index: without that a page would cost as much as the bucket.
//!
//! **Invariant:** what stands here goes by the index beside it, and neither scans a table nor sorts. A new statement
//! that walks gets its line.

use rusqlite::{Connection, params};

use super::{migrations, span, statements as sql};
use crate::config::limits::CATALOG_STATEMENTS_KEPT_MAX;
use crate::model::page::Seek;

fn catalog() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    migrations::migrate(&mut connection).unwrap();
    connection
}

/// The plan of a statement, its lines parted by `; `.
fn plan(connection: &Connection, text: &str) -> String {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
    let mut rows = statement.raw_query();
    let mut lines = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        lines.push(row.get::<_, String>(3).unwrap());
    }
    lines.join("; ")
}

#[test]
fn every_statement_prepares() {
    let connection = catalog();
    assert!(sql::ALL.len() <= CATALOG_STATEMENTS_KEPT_MAX, "all of them are kept");
    for (name, text) in sql::ALL {
        connection.prepare(text).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn walks_go_by_an_index_and_never_sort() {
    let connection = catalog();
    for (text, expected) in [
        (sql::LIST, "SEARCH objects USING PRIMARY KEY (bucket_id=? AND name>? AND name<?)"),
        (sql::GLANCE, "SEARCH objects USING PRIMARY KEY (bucket_id=? AND name>? AND name<?)"),
        (sql::OBJECT, "SEARCH objects USING PRIMARY KEY (bucket_id=? AND name=?)"),
        (sql::USAGE, "SEARCH objects USING PRIMARY KEY (bucket_id=?)"),
        (sql::BUCKET_HAS_OBJECTS, "bucket_id=?"),
        (sql::BUCKETS, "SEARCH buckets USING INDEX sqlite_autoindex_buckets_1 (name>? AND name<?)"),
        (sql::UPLOADS, "SEARCH uploads USING INDEX uploads_under_way (bucket_id=? AND "),
        (sql::PARTS, "SEARCH parts USING PRIMARY KEY (upload_id=? AND number>?)"),
        (sql::ATTEMPTS, "SEARCH parts USING PRIMARY KEY (upload_id=?)"),
        (sql::TASKS, "SEARCH outbox USING INTEGER PRIMARY KEY (rowid>?)"),
        (sql::TASKS_OF, "SEARCH outbox USING INDEX outbox_key (bucket_id=? AND name=?)"),
        (sql::EVENTS, "SEARCH events USING INDEX events_target (target=?)"),
        (sql::FORGET_OLD_EVENTS, "SEARCH events USING INDEX events_created (created<?)"),
        (sql::FREEING_STEPS, "SEARCH outbox USING INDEX outbox_frees (bucket_id=?)"),
        (sql::NAMED, "USING COVERING INDEX objects_version (version=? AND bucket_id=?)"),
        (sql::NAMED, "USING COVERING INDEX parts_attempt (attempt=?"),
        (sql::NAMED, "USING INDEX outbox_version (version=?)"),
        (sql::VERSION_IS_OWED, "SEARCH outbox USING INDEX outbox_version (version=?)"),
        (sql::FORGET_UPLOADS, "uploads_ended (ended<?)"),
        (sql::USERS, "SEARCH users USING PRIMARY KEY (name>?)"),
        (sql::KEYS, "SEARCH access_keys USING INDEX access_keys_of (user=?)"),
        (sql::DISOWN_BUCKETS, "buckets_of (owner=?)"),
    ] {
        let plan = plan(&connection, text);
        assert!(plan.contains(expected), "{text}\n{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{text}\n{plan}");
        let scans = plan.split("; ").any(|line| line.starts_with("SCAN") && line != "SCAN CONSTANT ROW");
        assert!(!scans, "{text}\n{plan}");
    }
}

/// A page costs the rows it gives, not the rows before it: the virtual machine's steps are counted.
#[test]
fn a_page_costs_the_same_wherever_it_is() {
    let connection = catalog();
    connection
        .execute_batch(
            "INSERT INTO objects (bucket_id, name, version, counter, placed, stamp, size, modified, etag, owner, content)
             WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 19999)
             SELECT 1, printf('%08d', i), randomblob(16), 1, 0, 's', 1, 1, 'e', 'root', '{}' FROM n",
        )
        .unwrap();
    let mut statement = connection.prepare(sql::LIST).unwrap();
    let mut steps = |prefix: &str, seek: Seek| {
        let span = span::span(prefix, seek).unwrap();
        let count = statement.query_map(params![1, span.from, span.until, 100], |_| Ok(())).unwrap().count();
        (count, statement.reset_status(rusqlite::StatementStatus::VmStep))
    };
    let (rows, first) = steps("", Seek::From(String::new()));
    assert_eq!(rows, 100);
    for (prefix, seek) in [
        ("", Seek::After("00015000".into())),
        ("000199", Seek::From(String::new())),
        ("0001", Seek::After("00012345".into())),
    ] {
        let (rows, cost) = steps(prefix, seek.clone());
        assert!(rows > 0 && cost <= first + 16, "{prefix:?} {seek:?}: {rows} rows in {cost} steps, the first {first}");
    }
}
