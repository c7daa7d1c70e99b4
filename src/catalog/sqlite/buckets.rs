//! Rows of buckets.
//!
//! **Invariant:** every change of a bucket's row moves the generation, so that whoever cached it looks again.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{quotas, rows, span, statements as sql};
use crate::catalog::{Error, NewBucket, Progress, Result};
use crate::model::bucket::{Bucket, BucketConfig, BucketSettings};
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
        config: Arc::new(rows::json(row, 8)?),
        revision: rows::unsigned(row, 9)?,
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
    revision(connection, bucket).map(|_| ())
}

/// The revision of a bucket's configuration.
pub(super) fn revision(connection: &Connection, bucket: BucketId) -> Result<u64> {
    let mut statement = connection.prepare_cached(sql::REVISION)?;
    statement.query_row([bucket.0], |row| rows::unsigned(row, 0)).optional()?.ok_or(Error::NotFound)
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
        rows::to_json(&new.config)?,
    ];
    let id = statement.query_row(columns, |row| row.get(0)).optional()?.ok_or(Error::AlreadyExists)?;
    next_generation(connection)?;
    let NewBucket { name, provider, container, owner, created, settings, config, indexed } = new;
    let config = Arc::new(config);
    Ok(Bucket { id: BucketId(id), name, provider, container, owner, created, settings, config, revision: 0, indexed })
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
    config: &BucketConfig,
) -> Result<()> {
    let mut statement = connection.prepare_cached(sql::RESTORE_BUCKET)?;
    let columns = params![bucket.0, owner, created.0, rows::to_json(settings)?, rows::to_json(config)?];
    changed(connection, statement.execute(columns)?)?;
    quotas::set(connection, bucket, config.quota)
}

/// Replaces the configuration, if it is still that of `revision`.
pub(super) fn set_config(connection: &Connection, bucket: BucketId, seen: u64, config: &BucketConfig) -> Result<()> {
    if revision(connection, bucket)? != seen {
        return Err(Error::Conflict);
    }
    let mut statement = connection.prepare_cached(sql::SET_CONFIG)?;
    changed(connection, statement.execute(params![bucket.0, rows::signed(seen)?, rows::to_json(config)?])?)?;
    quotas::set(connection, bucket, config.quota)
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
        connection.prepare_cached(sql::DELETE_BUCKET_VERSIONS)?.execute([bucket.0])?;
    } else if connection.prepare_cached(sql::BUCKET_HAS_OBJECTS)?.exists([bucket.0])?
        || connection.prepare_cached(sql::BUCKET_HAS_VERSIONS)?.exists([bucket.0])?
    {
        return Err(Error::NotEmpty);
    }
    for text in [
        sql::DELETE_BUCKET_PARTS,
        sql::DELETE_BUCKET_UPLOADS,
        sql::DELETE_BUCKET_OUTBOX,
        sql::DELETE_BUCKET_PROGRESS,
        sql::DELETE_BUCKET_QUOTA,
        sql::DELETE_BUCKET,
    ] {
        connection.prepare_cached(text)?.execute([bucket.0])?;
    }
    next_generation(connection)
}
