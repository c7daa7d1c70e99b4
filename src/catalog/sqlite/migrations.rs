//! The schema, as numbered steps that only go forward.
//!
//! `user_version` counts the steps that a file has taken. A file that has taken more than are known here belongs to a
//! newer release and is refused; one without our `application_id` belongs to another program and is not touched.
//!
//! **Invariant:** a step that was released never changes. All missing steps are taken in one transaction, so a file is
//! never between two schemas.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::failure::Fault;
use super::{rows, statements};
use crate::catalog::Result;
use crate::model::id::CatalogId;

/// "LSHR": what marks the file as ours.
const APPLICATION_ID: i64 = 0x4C53_4852;

/// The steps. Texts compare by bytes (BINARY) everywhere; ids are blobs of 16 bytes; times are nanoseconds; unsigned
/// numbers are checked to fit into 63 bits, except CRC-64s, which are kept bit by bit.
const STEPS: &[&str] = &[
    "
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta (name, value) VALUES ('generation', 1);

CREATE TABLE buckets (
    -- Numbers are never used again: rows of a bucket that is gone can never come to belong to another.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    provider TEXT NOT NULL,
    container TEXT NOT NULL,
    owner TEXT NOT NULL,
    created INTEGER NOT NULL,
    settings TEXT NOT NULL,
    indexed INTEGER
) STRICT;
CREATE INDEX buckets_of ON buckets (owner);

-- What a listing shows comes first, what only a lookup needs behind it: where a row is longer than its share of a page,
-- it is the tail that moves to overflow pages, and a listing never reads those.
CREATE TABLE objects (
    bucket_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    version BLOB NOT NULL,
    counter INTEGER NOT NULL,
    placed INTEGER NOT NULL,
    stamp TEXT NOT NULL,
    size INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    etag TEXT NOT NULL,
    owner TEXT NOT NULL,
    storage_class TEXT,
    sum_algorithm TEXT,
    sum_kind TEXT,
    sum_value TEXT,
    crc64 INTEGER,
    content TEXT NOT NULL,
    parts TEXT,
    PRIMARY KEY (bucket_id, name)
) STRICT, WITHOUT ROWID;
-- For the question which versions are named. Version ids begin with their time, so new entries go to the end of it.
CREATE INDEX objects_version ON objects (version);

CREATE TABLE uploads (
    id BLOB PRIMARY KEY,
    bucket_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    initiator TEXT NOT NULL,
    content TEXT NOT NULL,
    sum_algorithm TEXT,
    sum_kind TEXT,
    handle TEXT NOT NULL,
    state TEXT NOT NULL,
    result TEXT,
    -- When it was done or aborted; without it the upload is open or completing.
    ended INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX uploads_under_way ON uploads (bucket_id, name, created, id) WHERE ended IS NULL;
CREATE INDEX uploads_ended ON uploads (ended) WHERE ended IS NOT NULL;

CREATE TABLE parts (
    upload_id BLOB NOT NULL,
    number INTEGER NOT NULL,
    attempt BLOB NOT NULL,
    stamp TEXT NOT NULL,
    size INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    etag TEXT NOT NULL,
    sum_algorithm TEXT,
    sum_kind TEXT,
    sum_value TEXT,
    crc64 INTEGER NOT NULL,
    PRIMARY KEY (upload_id, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX parts_attempt ON parts (attempt);

CREATE TABLE outbox (
    -- Numbers grow and are never used again, so a reader that goes on after a number misses nothing.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    bucket_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    version BLOB NOT NULL,
    -- Whether it frees attempts of an upload, which are versions named inside the step.
    frees INTEGER NOT NULL,
    step TEXT NOT NULL
) STRICT;
CREATE INDEX outbox_key ON outbox (bucket_id, name, id);
CREATE INDEX outbox_version ON outbox (version);
CREATE INDEX outbox_frees ON outbox (bucket_id) WHERE frees = 1;

CREATE TABLE users (
    name TEXT PRIMARY KEY,
    display_name TEXT NOT NULL,
    email TEXT,
    groups TEXT NOT NULL,
    policy TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE access_keys (
    access_key TEXT PRIMARY KEY,
    user TEXT NOT NULL,
    sealed_secret BLOB NOT NULL,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX access_keys_of ON access_keys (user, access_key);
",
    "
-- The bytes of a small version, until its file is durable. Last, so that whoever reads the steps never reads them.
ALTER TABLE outbox ADD COLUMN bytes BLOB;
",
    "
-- How the latest walk of a bucket goes. Apart from the buckets, whose every change makes all caches look again.
CREATE TABLE progress (
    bucket_id INTEGER PRIMARY KEY,
    state TEXT NOT NULL
) STRICT;
",
    "
ALTER TABLE buckets ADD COLUMN config TEXT NOT NULL DEFAULT '{}';
ALTER TABLE buckets ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE objects ADD COLUMN null_version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE objects ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE objects ADD COLUMN attached TEXT;
ALTER TABLE uploads ADD COLUMN attached TEXT;

-- What is behind the current versions: noncurrent ones and delete markers, newest first within a key.
CREATE TABLE versions (
    bucket_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    version BLOB NOT NULL,
    counter INTEGER NOT NULL,
    placed INTEGER NOT NULL,
    stamp TEXT NOT NULL,
    size INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    etag TEXT NOT NULL,
    owner TEXT NOT NULL,
    null_version INTEGER NOT NULL,
    marker INTEGER NOT NULL,
    storage_class TEXT,
    sum_algorithm TEXT,
    sum_kind TEXT,
    sum_value TEXT,
    crc64 INTEGER,
    content TEXT NOT NULL,
    parts TEXT,
    revision INTEGER NOT NULL,
    attached TEXT,
    PRIMARY KEY (bucket_id, name, counter DESC, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX versions_version ON versions (version);
CREATE UNIQUE INDEX versions_null ON versions (bucket_id, name) WHERE null_version = 1;

-- What buckets with a quota hold, counted by every commit.
CREATE TABLE quotas (
    bucket_id INTEGER PRIMARY KEY,
    objects INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    objects_max INTEGER,
    bytes_max INTEGER
) STRICT;
",
    "
-- What is still to be told to targets outside. Not bound to a bucket that is there.
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    bucket_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    target TEXT NOT NULL,
    created INTEGER NOT NULL,
    event TEXT NOT NULL
) STRICT;
CREATE INDEX events_target ON events (target, id);
CREATE INDEX events_created ON events (created);
",
    "
-- Who will own the object; without it the one who began it.
ALTER TABLE uploads ADD COLUMN owner TEXT;
",
    "
-- What a token of an access key would say, where it is one of a role and not of its user.
ALTER TABLE access_keys ADD COLUMN claims TEXT;
",
    "
-- Hashes of passwords. Apart from the users, which are replaced whole.
CREATE TABLE passwords (
    user TEXT PRIMARY KEY,
    hash TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Tokens of users that were given back before their end, which is in seconds.
CREATE TABLE tokens_given_back (
    token TEXT PRIMARY KEY,
    ends INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_given_back_ends ON tokens_given_back (ends);

-- When the last user of a name was removed, in seconds: tokens that are older are not those of a later one.
CREATE TABLE users_removed (
    user TEXT PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
",
];

/// Refuses a database that is not a catalog, or that is one of a newer release. Changes nothing.
pub(super) fn check(connection: &Connection) -> Result<()> {
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let application: i64 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let empty = application == 0 && found == 0 && tables == 0;
    if application != APPLICATION_ID && !empty {
        return Err(Fault::NotOurs.into());
    }
    if found > known || found < 0 {
        return Err(Fault::Newer { found, known }.into());
    }
    Ok(())
}

/// The id of a catalog that has taken all steps. Changes nothing.
pub(super) fn id(connection: &Connection) -> Result<CatalogId> {
    check(connection)?;
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    if found < known {
        return Err(Fault::Older { found, known }.into());
    }
    let id = connection.query_row(statements::CATALOG_ID, [], |row| rows::catalog_id(row, 0)).optional()?;
    Ok(id.ok_or(Fault::Malformed("the id of the catalog"))?)
}

/// Takes the steps that are missing and returns the catalog's id, which a new file gets here.
pub(super) fn migrate(connection: &mut Connection) -> Result<CatalogId> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Asked again inside the transaction: another process may have been first.
    check(&transaction)?;
    let taken: u32 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    for step in STEPS.iter().skip(taken as usize) {
        transaction.execute_batch(step)?;
    }
    if (taken as usize) < STEPS.len() {
        transaction.pragma_update(None, "user_version", i64::try_from(STEPS.len()).unwrap_or(i64::MAX))?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    let id = transaction.query_row(statements::CATALOG_ID, [], |row| rows::catalog_id(row, 0)).optional()?;
    let id = match id {
        Some(id) => id,
        None => {
            let id = CatalogId::fresh();
            transaction.execute(statements::SET_CATALOG_ID, [rows::bytes(id)])?;
            id
        }
    };
    transaction.commit()?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Error;

    fn reason(error: Error) -> String {
        let Error::Failed(source) = error else { panic!("another error: {error:?}") };
        source.to_string()
    }

    #[test]
    fn a_second_run_changes_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        let id = migrate(&mut connection).unwrap();
        assert_eq!(migrate(&mut connection).unwrap(), id);
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        connection.pragma_update(None, "user_version", 999).unwrap();
        let reason = reason(migrate(&mut connection).expect_err("refused"));
        assert!(reason.contains("schema 999") && reason.contains("newer release"), "{reason}");
    }

    #[test]
    fn another_programs_database_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE x (y)").unwrap();
        assert!(reason(migrate(&mut connection).expect_err("refused")).contains("not a catalog"));
    }
}
