//! Rows of objects: lookups, listings, and the commit that decides.
//!
//! **Invariant:** a row changes only under the version it was checked against, in the same transaction as the steps it
//! owes; the first expectation that does not hold undoes the whole commit.

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::failure::Fault;
use super::quotas::{self, Growth};
use super::{buckets, events, outbox, rows, span, statements as sql, uploads};
use crate::catalog::{Change, Commit, Error, History, Result, Task, VersionWindow, Window};
use crate::model::id::{BucketId, VersionId};
use crate::model::name::ObjectKey;
use crate::model::object::{Entry, Object, Seen};
use crate::model::place::{Place, Placed};
use crate::model::versioning::VersionRef;

/// Where the columns stand that an entry and an object have at different ends of a row.
struct Tail {
    counter: usize,
    null: usize,
    marker: usize,
    latest: Option<usize>,
}

const OF_ENTRY: Tail = Tail { counter: 11, null: 12, marker: 13, latest: Some(14) };
const OF_OBJECT: Tail = Tail { counter: 12, null: 16, marker: 17, latest: None };

fn read_entry(row: &Row<'_>, tail: &Tail) -> rows::Read<Entry> {
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
        counter: rows::unsigned(row, tail.counter)?,
        null: row.get(tail.null)?,
        marker: row.get(tail.marker)?,
        latest: tail.latest.map_or(Ok(false), |latest| row.get(latest))?,
    })
}

fn read_object(row: &Row<'_>) -> rows::Read<Object> {
    let entry = read_entry(row, &OF_OBJECT)?;
    Ok(Object {
        key: entry.key,
        version: entry.version,
        counter: entry.counter,
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
        null: entry.null,
        marker: entry.marker,
        revision: rows::unsigned(row, 18)?,
        attached: rows::attached(row, 19)?,
    })
}

/// The current version of a key.
pub(super) fn get(connection: &Connection, bucket: BucketId, key: &ObjectKey) -> Result<Option<Object>> {
    let mut statement = connection.prepare_cached(sql::OBJECT)?;
    Ok(statement.query_row(params![bucket.0, key.as_str()], read_object).optional()?)
}

/// One version of a key.
pub(super) fn version(
    connection: &Connection,
    bucket: BucketId,
    key: &ObjectKey,
    version: VersionRef,
) -> Result<Option<Object>> {
    // One snapshot: a version that is demoted meanwhile is in one of the two tables.
    let snapshot = connection.unchecked_transaction()?;
    let texts = match version {
        VersionRef::Id(_) => [sql::OBJECT_OF_VERSION, sql::VERSION],
        VersionRef::Null => [sql::OBJECT_IF_NULL, sql::NULL_VERSION],
    };
    for text in texts {
        let mut statement = snapshot.prepare_cached(text)?;
        let found = match version {
            VersionRef::Id(id) => statement.query_row(params![bucket.0, key.as_str(), rows::bytes(id)], read_object),
            VersionRef::Null => statement.query_row(params![bucket.0, key.as_str()], read_object),
        };
        if let Some(found) = found.optional()? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Noncurrent versions and delete markers of a key, newest first.
pub(super) fn history(connection: &Connection, bucket: BucketId, key: &ObjectKey, limit: usize) -> Result<Vec<Object>> {
    let mut statement = connection.prepare_cached(sql::HISTORY)?;
    let found = statement.query_map(params![bucket.0, key.as_str(), span::rows(limit)], read_object)?;
    Ok(found.collect::<rows::Read<_>>()?)
}

/// A page of versions: the two tables merged.
pub(super) fn list_versions(connection: &Connection, bucket: BucketId, window: VersionWindow) -> Result<Vec<Entry>> {
    let snapshot = connection.unchecked_transaction()?;
    let read = |row: &Row<'_>| read_entry(row, &OF_ENTRY);
    let mut page = Vec::new();
    if let Some((key, counter)) = window.rest_of {
        let mut statement = snapshot.prepare_cached(sql::LIST_REST)?;
        let columns = params![bucket.0, key.as_str(), rows::signed(counter)?, span::rows(window.limit)];
        page = statement.query_map(columns, read)?.collect::<rows::Read<_>>()?;
    }
    let left = window.limit - page.len();
    let Some(span) = span::span(&window.prefix, window.seek).filter(|_| left > 0) else { return Ok(page) };
    let mut both = Vec::new();
    for text in [sql::LIST_CURRENT, sql::LIST_VERSIONS] {
        let mut statement = snapshot.prepare_cached(text)?;
        let columns = params![bucket.0, span.from, span.until, span::rows(left)];
        both.push(statement.query_map(columns, read)?.collect::<rows::Read<Vec<Entry>>>()?);
    }
    let mut merged = both.concat();
    merged.sort_by(|a, b| (&a.key, b.counter, b.latest).cmp(&(&b.key, a.counter, a.latest)));
    merged.truncate(left);
    // The first of a key is the latest, also where it is a marker.
    for i in 0..merged.len() {
        merged[i].latest = i == 0 || merged[i - 1].key != merged[i].key;
    }
    page.extend(merged);
    Ok(page)
}

/// A page of current versions.
pub(super) fn list(connection: &Connection, bucket: BucketId, window: Window) -> Result<Vec<Entry>> {
    let Some(span) = span::span(&window.prefix, window.seek) else { return Ok(Vec::new()) };
    let mut statement = connection.prepare_cached(sql::LIST)?;
    let found = statement.query_map(params![bucket.0, span.from, span.until, span::rows(window.limit)], |row| {
        read_entry(row, &OF_ENTRY)
    })?;
    Ok(found.collect::<rows::Read<_>>()?)
}

/// The number of objects and the sum of their bytes.
pub(super) fn usage(connection: &Connection, bucket: BucketId) -> Result<(u64, u64)> {
    let (mut count, mut bytes) = (0, 0u128);
    for text in [sql::USAGE, sql::USAGE_OF_VERSIONS] {
        let mut statement = connection.prepare_cached(text)?;
        let halves = |row: &Row<'_>| Ok((rows::unsigned(row, 0)?, rows::unsigned(row, 1)?, rows::unsigned(row, 2)?));
        let (rows, high, low) = statement.query_row([bucket.0], halves)?;
        count += rows;
        bytes += (u128::from(high) << 32) + u128::from(low);
    }
    Ok((count, u64::try_from(bytes).unwrap_or(u64::MAX)))
}

/// Decides.
pub(super) fn commit(connection: &Connection, commit: &Commit) -> Result<Vec<Task>> {
    for task in &commit.tasks {
        buckets::must_be(connection, task.bucket)?;
    }
    for change in &commit.changes {
        let revision = buckets::revision(connection, change.bucket)?;
        if change.revision.is_some_and(|seen| seen != revision) {
            return Err(Error::Conflict);
        }
        let mut growth = quotas::counts(connection, change.bucket)?.then(Growth::default);
        apply(connection, change, growth.as_mut())?;
        if let Some(growth) = growth {
            quotas::count(connection, change.bucket, growth, commit.within_quota)?;
        }
    }
    if let Some((bucket, key)) = &commit.free
        && connection.prepare_cached(sql::OBJECT_IS)?.exists(params![bucket.0, key.as_str()])?
    {
        return Err(Error::Conflict);
    }
    if let Some(end) = &commit.upload {
        uploads::end(connection, end)?;
    }
    for event in &commit.events {
        events::add(connection, event)?;
    }
    commit.tasks.iter().map(|task| outbox::add(connection, task.clone())).collect()
}

/// Makes one change, or tells that its expectation does not hold.
fn apply(connection: &Connection, change: &Change, mut growth: Option<&mut Growth>) -> Result<()> {
    // A version that comes back from behind the current one was never given up.
    let promoted =
        |version| change.history.iter().any(|step| matches!(step, History::Remove(seen) if seen.version == version));
    if let Some(object) = change
        .becomes
        .as_ref()
        .filter(|object| change.expect.is_none_or(|seen| seen.version != object.version) && !promoted(object.version))
    {
        outbox::must_not_be_owed(connection, change.bucket, object.version)?;
    }
    if let Some(growth) = growth.as_deref_mut() {
        let mut statement = connection.prepare_cached(sql::SIZE_OF_OBJECT)?;
        let size = statement.query_row(params![change.bucket.0, change.key.as_str()], |row| row.get(0)).optional()?;
        if let Some(size) = size {
            growth.sub(size);
        }
        if let Some(object) = &change.becomes {
            growth.add(rows::signed(object.size)?);
        }
    }
    let held = match (&change.expect, &change.becomes) {
        (None, None) => {
            let mut statement = connection.prepare_cached(sql::OBJECT_IS)?;
            !statement.exists(params![change.bucket.0, change.key.as_str()])?
        }
        (Some(seen), None) => {
            let mut statement = connection.prepare_cached(sql::DELETE_OBJECT)?;
            let (version, revision) = (rows::bytes(seen.version), rows::signed(seen.revision)?);
            statement.execute(params![change.bucket.0, change.key.as_str(), version, revision])? == 1
        }
        (None, Some(object)) => write(connection, change, object, sql::INSERT_OBJECT, &[])?,
        (Some(seen), Some(object)) => {
            let (version, revision) = (rows::bytes(seen.version), rows::signed(seen.revision)?);
            write(connection, change, object, sql::UPDATE_OBJECT, &[&version, &revision])?
        }
    };
    if !held {
        return Err(Error::Conflict);
    }
    change.history.iter().try_for_each(|step| behind(connection, change, step, growth.as_deref_mut()))
}

/// Makes one change of the versions behind the current one.
fn behind(connection: &Connection, change: &Change, step: &History, mut growth: Option<&mut Growth>) -> Result<()> {
    let (bucket, key) = (change.bucket.0, change.key.as_str());
    let remove = |seen: &Seen, growth: Option<&mut Growth>| -> Result<bool> {
        let mut statement = connection.prepare_cached(sql::DELETE_VERSION)?;
        let columns = params![bucket, key, rows::bytes(seen.version), rows::signed(seen.revision)?];
        let gone = statement.query_row(columns, |row| Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?)));
        let Some((size, marker)) = gone.optional()? else { return Ok(false) };
        if let Some(growth) = growth.filter(|_| !marker) {
            growth.sub(size);
        }
        Ok(true)
    };
    let add = |object: &Object, growth: Option<&mut Growth>| -> Result<bool> {
        if let Some(growth) = growth.filter(|_| !object.marker) {
            growth.add(rows::signed(object.size)?);
        }
        write(connection, change, object, sql::INSERT_VERSION, &[&object.marker])
    };
    let held = match step {
        History::Add(object) => {
            if change.expect.is_none_or(|seen| seen.version != object.version) {
                outbox::must_not_be_owed(connection, change.bucket, object.version)?;
            }
            add(object, growth)?
        }
        History::Remove(seen) => remove(seen, growth)?,
        History::Replace(seen, object) => remove(seen, growth.as_deref_mut())? && add(object, growth)?,
        History::Newest(expected) => {
            let mut statement = connection.prepare_cached(sql::NEWEST_VERSION)?;
            let newest = statement.query_row(params![bucket, key], |row| rows::version(row, 0)).optional()?;
            newest == *expected
        }
    };
    if held { Ok(()) } else { Err(Error::Conflict) }
}

/// Writes the row of a version. `more`: the parameters of the statement behind its columns.
fn write(connection: &Connection, change: &Change, object: &Object, text: &str, more: &[&dyn ToSql]) -> Result<bool> {
    let version = rows::bytes(object.version);
    let (counter, size, revision) =
        (rows::signed(object.counter)?, rows::signed(object.size)?, rows::signed(object.revision)?);
    let (algorithm, kind) = rows::sum_columns(object.checksum.as_ref());
    let sum = object.checksum.as_ref().map(|sum| &sum.value);
    let crc = object.crc64nvme.map(rows::crc_column);
    let content = rows::to_json(&object.content)?;
    let parts = if object.parts.is_empty() { None } else { Some(rows::to_json(&object.parts)?) };
    let placed = rows::placed_column(object.placed);
    let attached = rows::attached_column(&object.attached)?;
    let (stamp, key) = (object.stamp.as_str(), change.key.as_str());
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
        &object.null,
        &revision,
        &attached,
    ];
    columns.extend(more);
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
