//! Rows of buckets.
//!
//! **Invariant:** every change of a bucket's row moves the generation, so that whoever cached it looks again.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{rows, span, statements as sql};
use crate::catalog::{Error, NewBucket, Progress, Result};
use crate::model::bucket::{Bucket, BucketSettings};
use crate::model::id::BucketId;
use crate::model::name::BucketName;
use crate::model::page::Seek;
use crate::model::time::Timestamp;

fn read(row: &Row<'_>) -> rows::Read<Bucket> {
    Ok(Bucket {
        id: BucketId(row.get(0)?),
        name: rows::bucket_name(row, 1)?,
        provider: row.get(2)?,
        container: rows::bucket_name(row, 3)?,
        owner: row.get(4)?,
        created: rows::timestamp(row, 5)?,
        settings: rows::json(row, 6)?,
        indexed: row.get::<_, Option<i64>>(7)?.map(Timestamp),
    })
}

/// The number that moves with every change of a bucket, a user or a key, by whichever process.
pub(super) fn generation(connection: &Connection) -> Result<u64> {
    let mut statement = connection.prepare_cached(sql::GENERATION)?;
    Ok(statement.query_row([], |row| rows::unsigned(row, 0))?)
}

/// Moves the generation.
pub(super) fn next_generation(connection: &Connection) -> Result<()> {
    connection.prepare_cached(sql::NEXT_GENERATION)?.execute([])?;
    Ok(())
}

/// Refuses if the bucket is gone.
pub(super) fn must_be(connection: &Connection, bucket: BucketId) -> Result<()> {
    let is = connection.prepare_cached(sql::BUCKET_IS)?.exists([bucket.0])?;
    if is { Ok(()) } else { Err(Error::NotFound) }
}

/// Makes a bucket.
pub(super) fn create(connection: &Connection, new: NewBucket) -> Result<Bucket> {
    let mut statement = connection.prepare_cached(sql::INSERT_BUCKET)?;
    let columns = params![
        new.name.as_str(),
        new.provider,
        new.container.as_str(),
        new.owner,
        new.created.0,
        rows::to_json(&new.settings)?,
        new.indexed.map(|at| at.0),
    ];
    let id = statement.query_row(columns, |row| row.get(0)).optional()?.ok_or(Error::AlreadyExists)?;
    next_generation(connection)?;
    let NewBucket { name, provider, container, owner, created, settings, indexed } = new;
    Ok(Bucket { id: BucketId(id), name, provider, container, owner, created, settings, indexed })
}

/// One bucket.
pub(super) fn get(connection: &Connection, name: &BucketName) -> Result<Option<Bucket>> {
    let mut statement = connection.prepare_cached(sql::BUCKET)?;
    Ok(statement.query_row([name.as_str()], read).optional()?)
}

/// Buckets in the order of their names.
pub(super) fn list(connection: &Connection, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Bucket>> {
    let seek = after.map_or_else(|| Seek::From(prefix.to_owned()), |name| Seek::After(name.to_owned()));
    let Some(span) = span::span(prefix, seek) else { return Ok(Vec::new()) };
    let mut statement = connection.prepare_cached(sql::BUCKETS)?;
    let found = statement.query_map(params![span.from, span.until, span::rows(limit)], read)?;
    Ok(found.collect::<rows::Read<_>>()?)
}

/// Changes the settings.
pub(super) fn set(connection: &Connection, bucket: BucketId, settings: &BucketSettings) -> Result<()> {
    let mut statement = connection.prepare_cached(sql::SET_SETTINGS)?;
    changed(connection, statement.execute(params![bucket.0, rows::to_json(settings)?])?)
}

/// Gives an adopted bucket its owner, date and settings back.
pub(super) fn restore(
    connection: &Connection,
    bucket: BucketId,
    owner: &str,
    created: Timestamp,
    settings: &BucketSettings,
) -> Result<()> {
    let mut statement = connection.prepare_cached(sql::RESTORE_BUCKET)?;
    changed(connection, statement.execute(params![bucket.0, owner, created.0, rows::to_json(settings)?])?)
}

/// Notes when the bucket was last walked.
pub(super) fn set_indexed(connection: &Connection, bucket: BucketId, at: Option<Timestamp>) -> Result<()> {
    let mut statement = connection.prepare_cached(sql::SET_INDEXED)?;
    changed(connection, statement.execute(params![bucket.0, at.map(|at| at.0)])?)
}

/// Notes how a walk goes. Nobody caches it, so the generation stays.
pub(super) fn note_progress(connection: &Connection, bucket: BucketId, progress: &Progress) -> Result<()> {
    let mut statement = connection.prepare_cached(sql::NOTE_PROGRESS)?;
    statement.execute(params![bucket.0, rows::to_json(progress)?])?;
    Ok(())
}

/// How the latest walk went.
pub(super) fn progress(connection: &Connection, bucket: BucketId) -> Result<Option<Progress>> {
    let mut statement = connection.prepare_cached(sql::PROGRESS)?;
    Ok(statement.query_row([bucket.0], |row| rows::json(row, 0)).optional()?)
}

fn changed(connection: &Connection, rows: usize) -> Result<()> {
    if rows == 0 { Err(Error::NotFound) } else { next_generation(connection) }
}

/// Removes a bucket with all that hangs on it.
pub(super) fn delete(connection: &Connection, bucket: BucketId, with_objects: bool) -> Result<()> {
    must_be(connection, bucket)?;
    if with_objects {
        connection.prepare_cached(sql::DELETE_BUCKET_OBJECTS)?.execute([bucket.0])?;
    } else if connection.prepare_cached(sql::BUCKET_HAS_OBJECTS)?.exists([bucket.0])? {
        return Err(Error::NotEmpty);
    }
    for text in [
        sql::DELETE_BUCKET_PARTS,
        sql::DELETE_BUCKET_UPLOADS,
        sql::DELETE_BUCKET_OUTBOX,
        sql::DELETE_BUCKET_PROGRESS,
        sql::DELETE_BUCKET,
    ] {
        connection.prepare_cached(text)?.execute([bucket.0])?;
    }
    next_generation(connection)
}
