//! Events that are still to be told to somebody outside.
//!
//! **Invariant:** an event is written in the transaction of what it tells of. It outlives its bucket, so that the removal
//! of the last object is told too; what nobody takes goes when it is old.

use rusqlite::{Connection, Row, params};

use super::{rows, span, statements as sql};
use crate::catalog::{Event, NewEvent, Result};
use crate::model::id::BucketId;
use crate::model::time::Timestamp;

fn read(row: &Row<'_>) -> rows::Read<Event> {
    let event = NewEvent {
        bucket: BucketId(row.get(1)?),
        key: rows::key(row, 2)?,
        target: row.get(3)?,
        created: rows::timestamp(row, 4)?,
        text: row.get(5)?,
    };
    Ok(Event { id: row.get(0)?, event })
}

/// Writes an event.
pub(super) fn add(connection: &Connection, event: &NewEvent) -> Result<()> {
    let NewEvent { bucket, key, target, created, text } = event;
    let mut statement = connection.prepare_cached(sql::INSERT_EVENT)?;
    statement.execute(params![bucket.0, key.as_str(), target, created.0, text])?;
    Ok(())
}

/// The oldest events for a target.
pub(super) fn list(connection: &Connection, target: &str, limit: usize) -> Result<Vec<Event>> {
    let mut statement = connection.prepare_cached(sql::EVENTS)?;
    let found = statement.query_map(params![target, span::rows(limit)], read)?;
    Ok(found.collect::<rows::Read<_>>()?)
}

/// Removes events that were told.
pub(super) fn done(connection: &Connection, ids: &[i64]) -> Result<()> {
    let mut statement = connection.prepare_cached(sql::DELETE_EVENT)?;
    for id in ids {
        statement.execute([id])?;
    }
    Ok(())
}

/// Removes what is too old, and the oldest of what is too many. Returns how many.
pub(super) fn forget(connection: &Connection, before: Timestamp, most: u64) -> Result<u64> {
    let old = connection.prepare_cached(sql::FORGET_OLD_EVENTS)?.execute([before.0])?;
    let many = connection.prepare_cached(sql::FORGET_MANY_EVENTS)?.execute([rows::signed(most)?])?;
    Ok((old + many) as u64)
}
