//! Steps owed to providers, and the question which versions are still spoken for.
//!
//! **Invariant:** a step is written in the transaction that owes it; its number grows and is never used again.

use std::collections::HashSet;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::failure::Fault;
use super::{buckets, rows, span, statements as sql};
use crate::catalog::{NewTask, Result, Step, Task, Unnamed};
use crate::model::id::{BucketId, VersionId};
use crate::model::name::ObjectKey;

fn read(row: &Row<'_>) -> rows::Read<Task> {
    let task = NewTask {
        bucket: BucketId(row.get(1)?),
        key: rows::key(row, 2)?,
        version: rows::version(row, 3)?,
        step: rows::json(row, 4)?,
        bytes: None,
    };
    let inline = row.get::<_, Option<i64>>(5)?.and_then(|bytes| u64::try_from(bytes).ok());
    Ok(Task { id: row.get(0)?, task, inline, ours: true })
}

/// Writes a step and numbers it.
pub(super) fn add(connection: &Connection, mut task: NewTask) -> Result<Task> {
    let frees = matches!(task.step, Step::FreeUpload { .. });
    let step = rows::to_json(&task.step)?;
    let (version, bytes) = (rows::bytes(task.version), task.bytes.take());
    let mut statement = connection.prepare_cached(sql::INSERT_TASK)?;
    let id = statement.insert(params![task.bucket.0, task.key.as_str(), version, frees, step, bytes.as_deref()])?;
    Ok(Task { id, task, inline: bytes.map(|bytes| bytes.len() as u64), ours: true })
}

/// The bytes kept with the newest step of a version.
pub(super) fn inline(connection: &Connection, bucket: BucketId, version: VersionId) -> Result<Option<Bytes>> {
    let mut statement = connection.prepare_cached(sql::INLINE)?;
    let found = statement.query_row(params![rows::bytes(version), bucket.0], |row| row.get::<_, Vec<u8>>(0));
    Ok(found.optional()?.map(Bytes::from))
}

/// Steps still owed, in the order they were written.
pub(super) fn tasks(connection: &Connection, after: i64, limit: usize) -> Result<Vec<Task>> {
    let mut statement = connection.prepare_cached(sql::TASKS)?;
    let found = statement.query_map([after, span::rows(limit)], read)?;
    Ok(found.collect::<rows::Read<_>>()?)
}

/// Steps still owed for one key, oldest first.
pub(super) fn tasks_of(connection: &Connection, bucket: BucketId, key: &ObjectKey) -> Result<Vec<Task>> {
    let mut statement = connection.prepare_cached(sql::TASKS_OF)?;
    let found = statement.query_map(params![bucket.0, key.as_str()], read)?;
    Ok(found.collect::<rows::Read<_>>()?)
}

/// Removes steps that were taken.
pub(super) fn done(connection: &Connection, ids: &[i64]) -> Result<()> {
    let mut statement = connection.prepare_cached(sql::DELETE_TASK)?;
    for id in ids {
        statement.execute([id])?;
    }
    Ok(())
}

/// Which of `versions` are named by a row, a part or a step, in the order given.
///
/// One snapshot for all of them: a version that moves from a row into the outbox meanwhile is in one of the two.
pub(super) fn named(connection: &Connection, bucket: BucketId, versions: &[VersionId]) -> Result<Vec<VersionId>> {
    let snapshot = connection.unchecked_transaction()?;
    let named = named_now(&snapshot, bucket, versions)?;
    Ok(versions.iter().copied().filter(|version| named.contains(version)).collect())
}

/// The same, in a transaction that is open.
fn named_now(connection: &Connection, bucket: BucketId, versions: &[VersionId]) -> Result<HashSet<VersionId>> {
    let mut named = HashSet::new();
    let mut open = HashSet::new();
    let mut statement = connection.prepare_cached(sql::NAMED)?;
    for version in versions {
        let is = statement.query_row(params![bucket.0, rows::bytes(*version)], |row| row.get::<_, bool>(0))?;
        if is {
            named.insert(*version)
        } else {
            open.insert(*version)
        };
    }
    // Attempts that wait to be freed stand inside their step. Such steps are few and short-lived: one is read at a time.
    let mut statement = connection.prepare_cached(sql::FREEING_STEPS)?;
    let mut steps = statement.query([bucket.0])?;
    while let Some(row) = steps.next()? {
        let Step::FreeUpload { attempts, .. } = rows::json(row, 0)? else { continue };
        named.extend(attempts.into_iter().filter(|attempt| open.contains(attempt)));
    }
    Ok(named)
}

/// Writes a `Drop` for each file that nothing names, under a key that no file can have: what lies at natural places is
/// not meant, even where it is the same file under two names.
pub(super) fn give_up(connection: &Connection, bucket: BucketId, files: Vec<Unnamed>) -> Result<Vec<Task>> {
    buckets::must_be(connection, bucket)?;
    let versions: Vec<_> = files.iter().map(|file| file.version).collect();
    let named = named_now(connection, bucket, &versions)?;
    let key = ObjectKey::new("//").expect("two slashes are a key");
    let unnamed = files.into_iter().filter(|file| !named.contains(&file.version));
    let step = |Unnamed { version, stamp }| {
        let task = NewTask { bucket, key: key.clone(), version, step: Step::Drop { stamp: Some(stamp) }, bytes: None };
        add(connection, task)
    };
    unnamed.map(step).collect()
}

/// Refuses to name a version whose bytes were given up. A fresh version stands in no other step yet.
pub(super) fn must_not_be_owed(connection: &Connection, bucket: BucketId, version: VersionId) -> Result<()> {
    let mut statement = connection.prepare_cached(sql::VERSION_IS_OWED)?;
    let owed = statement.exists(params![rows::bytes(version), bucket.0])?;
    if owed { Err(Fault::GivenUpBytes.into()) } else { Ok(()) }
}
