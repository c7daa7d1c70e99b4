//! What buckets with a quota hold.
//!
//! **Invariant:** the numbers of a bucket that has a row here are moved by the transaction that moves what they count, so
//! they are true after every commit, whoever made it.

use rusqlite::{Connection, OptionalExtension, params};

use super::{objects, rows, statements as sql};
use crate::catalog::{Error, Result};
use crate::model::bucket::Quota;
use crate::model::id::BucketId;

/// By how much a commit changes what a bucket holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Growth {
    pub(super) objects: i64,
    pub(super) bytes: i64,
}

impl Growth {
    /// Of one version that comes.
    pub(super) fn add(&mut self, size: i64) {
        self.objects += 1;
        self.bytes = self.bytes.saturating_add(size);
    }

    /// Of one that goes.
    pub(super) fn sub(&mut self, size: i64) {
        self.objects -= 1;
        self.bytes = self.bytes.saturating_sub(size);
    }
}

struct Row {
    objects: u64,
    bytes: u64,
    most: Quota,
}

fn get(connection: &Connection, bucket: BucketId) -> Result<Option<Row>> {
    let mut statement = connection.prepare_cached(sql::QUOTA)?;
    let row = statement.query_row([bucket.0], |row| {
        let (objects, bytes) = (rows::unsigned(row, 0)?, rows::unsigned(row, 1)?);
        let most = Quota { objects: rows::unsigned_or_none(row, 2)?, bytes: rows::unsigned_or_none(row, 3)? };
        // A row is there because something is limited.
        if most.is_none() { Err(rows::malformed(2, "a quota")) } else { Ok(Row { objects, bytes, most }) }
    });
    Ok(row.optional()?)
}

/// Whether what a bucket holds is counted.
pub(super) fn counts(connection: &Connection, bucket: BucketId) -> Result<bool> {
    Ok(get(connection, bucket)?.is_some())
}

/// Begins to count, with what is there now, or ends it.
pub(super) fn set(connection: &Connection, bucket: BucketId, quota: Quota) -> Result<()> {
    if quota.is_none() {
        connection.prepare_cached(sql::DELETE_BUCKET_QUOTA)?.execute([bucket.0])?;
        return Ok(());
    }
    let (objects, bytes) = objects::usage(connection, bucket)?;
    let most = |most: Option<u64>| most.map(rows::signed).transpose();
    let columns =
        params![bucket.0, rows::signed(objects)?, rows::signed(bytes)?, most(quota.objects)?, most(quota.bytes)?];
    connection.prepare_cached(sql::SET_QUOTA)?.execute(columns)?;
    Ok(())
}

/// Counts what a commit changed. `bounded`: growth beyond the quota is refused.
pub(super) fn count(connection: &Connection, bucket: BucketId, growth: Growth, bounded: bool) -> Result<()> {
    if growth == Growth::default() {
        return Ok(());
    }
    connection.prepare_cached(sql::COUNT_QUOTA)?.execute(params![bucket.0, growth.objects, growth.bytes])?;
    if !bounded {
        return Ok(());
    }
    let Some(row) = get(connection, bucket)? else { return Ok(()) };
    let beyond = |held: u64, most: Option<u64>, growth: i64| growth > 0 && most.is_some_and(|most| held > most);
    if beyond(row.objects, row.most.objects, growth.objects) || beyond(row.bytes, row.most.bytes, growth.bytes) {
        return Err(Error::QuotaExceeded);
    }
    Ok(())
}

/// How much more the bucket may hold.
pub(super) fn room(connection: &Connection, bucket: BucketId) -> Result<Option<Quota>> {
    let left = |most: Option<u64>, held: u64| most.map(|most| most.saturating_sub(held));
    Ok(get(connection, bucket)?
        .map(|row| Quota { objects: left(row.most.objects, row.objects), bytes: left(row.most.bytes, row.bytes) }))
}
