//! Rows of objects: lookups, listings, and the commit that decides.
//!
//! **Invariant:** a row changes only under the version it was checked against, in the same transaction as the steps it
//! owes; the first expectation that does not hold undoes the whole commit.

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::failure::Fault;
use super::{buckets, outbox, rows, span, statements as sql, uploads};
use crate::catalog::{Change, Commit, Error, Result, Task, Window};
use crate::model::id::{BucketId, VersionId};
use crate::model::name::ObjectKey;
use crate::model::object::{Entry, Object};
use crate::model::place::{Place, Placed};

fn read_entry(row: &Row<'_>) -> rows::Read<Entry> {
    Ok(Entry {
        key: rows::key(row, 0)?,
        version: rows::version(row, 1)?,
        placed: rows::placed(row, 2)?,
        stamp: rows::stamp(row, 3)?,
        size: rows::unsigned(row, 4)?,
        modified: rows::timestamp(row, 5)?,
        etag: row.get(6)?,
        owner: row.get(7)?,
        storage_class: row.get(8)?,
        checksum: rows::sum_kind(row, 9)?,
    })
}

fn read_object(row: &Row<'_>) -> rows::Read<Object> {
    let entry = read_entry(row)?;
    Ok(Object {
        key: entry.key,
        version: entry.version,
        counter: rows::unsigned(row, 12)?,
        placed: entry.placed,
        stamp: entry.stamp,
        size: entry.size,
        modified: entry.modified,
        etag: entry.etag,
        checksum: rows::sum(row, 9)?,
        crc64nvme: row.get::<_, Option<i64>>(13)?.map(rows::crc),
        content: rows::json(row, 14)?,
        parts: rows::json_or_none(row, 15)?.unwrap_or_default(),
        owner: entry.owner,
    })
}

/// The current version of a key.
pub(super) fn get(connection: &Connection, bucket: BucketId, key: &ObjectKey) -> Result<Option<Object>> {
    let mut statement = connection.prepare_cached(sql::OBJECT)?;
    Ok(statement.query_row(params![bucket.0, key.as_str()], read_object).optional()?)
}

/// A page of current versions.
pub(super) fn list(connection: &Connection, bucket: BucketId, window: Window) -> Result<Vec<Entry>> {
    let Some(span) = span::span(&window.prefix, window.seek) else { return Ok(Vec::new()) };
    let mut statement = connection.prepare_cached(sql::LIST)?;
    let found = statement.query_map(params![bucket.0, span.from, span.until, span::rows(window.limit)], read_entry)?;
    Ok(found.collect::<rows::Read<_>>()?)
}

/// The number of objects and the sum of their bytes.
pub(super) fn usage(connection: &Connection, bucket: BucketId) -> Result<(u64, u64)> {
    let mut statement = connection.prepare_cached(sql::USAGE)?;
    let halves = |row: &Row<'_>| Ok((rows::unsigned(row, 0)?, rows::unsigned(row, 1)?, rows::unsigned(row, 2)?));
    let (count, high, low) = statement.query_row([bucket.0], halves)?;
    let bytes = (u128::from(high) << 32) + u128::from(low);
    Ok((count, u64::try_from(bytes).unwrap_or(u64::MAX)))
}

/// Decides.
pub(super) fn commit(connection: &Connection, commit: &Commit) -> Result<Vec<Task>> {
    for bucket in commit.changes.iter().map(|c| c.bucket).chain(commit.tasks.iter().map(|t| t.bucket)) {
        buckets::must_be(connection, bucket)?;
    }
    for change in &commit.changes {
        apply(connection, change)?;
    }
    if let Some(end) = &commit.upload {
        uploads::end(connection, end)?;
    }
    commit.tasks.iter().map(|task| outbox::add(connection, task.clone())).collect()
}

/// Makes one change, or tells that its expectation does not hold.
fn apply(connection: &Connection, change: &Change) -> Result<()> {
    if let Some(object) = change.becomes.as_ref().filter(|object| change.expect != Some(object.version)) {
        outbox::must_not_be_owed(connection, change.bucket, object.version)?;
    }
    let held = match (&change.expect, &change.becomes) {
        (None, None) => {
            let mut statement = connection.prepare_cached(sql::OBJECT_IS)?;
            !statement.exists(params![change.bucket.0, change.key.as_str()])?
        }
        (Some(expected), None) => {
            let mut statement = connection.prepare_cached(sql::DELETE_OBJECT)?;
            statement.execute(params![change.bucket.0, change.key.as_str(), rows::bytes(*expected)])? == 1
        }
        (expected, Some(object)) => put(connection, change, object, *expected)?,
    };
    if held { Ok(()) } else { Err(Error::Conflict) }
}

/// Writes the row of a version, if the row it replaces (`None`: no row) is there.
fn put(connection: &Connection, change: &Change, object: &Object, expected: Option<VersionId>) -> Result<bool> {
    let version = rows::bytes(object.version);
    let counter = rows::signed(object.counter)?;
    let size = rows::signed(object.size)?;
    let (algorithm, kind) = rows::sum_columns(object.checksum.as_ref());
    let sum = object.checksum.as_ref().map(|sum| &sum.value);
    let crc = object.crc64nvme.map(rows::crc_column);
    let content = rows::to_json(&object.content)?;
    let parts = if object.parts.is_empty() { None } else { Some(rows::to_json(&object.parts)?) };
    let placed = rows::placed_column(object.placed);
    let (stamp, key) = (object.stamp.as_str(), change.key.as_str());
    let expected = expected.map(rows::bytes);

    let mut columns: Vec<&dyn ToSql> = vec![
        &change.bucket.0,
        &key,
        &version,
        &counter,
        &placed,
        &stamp,
        &size,
        &object.modified.0,
        &object.etag,
        &object.owner,
        &object.content.storage_class,
        &algorithm,
        &kind,
        &sum,
        &crc,
        &content,
        &parts,
    ];
    let text = match &expected {
        Some(expected) => {
            columns.push(expected);
            sql::UPDATE_OBJECT
        }
        None => sql::INSERT_OBJECT,
    };
    Ok(connection.prepare_cached(text)?.execute(&columns[..])? == 1)
}

/// Points the row of a version at another of its places. A row that has moved on is left alone.
pub(super) fn set_place(
    connection: &Connection,
    bucket: BucketId,
    key: &ObjectKey,
    version: VersionId,
    place: &Place,
) -> Result<()> {
    let placed = match place {
        Place::Managed(named) if *named == version => Placed::Managed,
        Place::Natural(named) if named == key => Placed::Natural,
        Place::Managed(_) | Place::Natural(_) => return Err(Fault::ForeignPlace.into()),
    };
    let mut statement = connection.prepare_cached(sql::SET_PLACED)?;
    statement.execute(params![bucket.0, key.as_str(), rows::bytes(version), rows::placed_column(placed)])?;
    Ok(())
}
