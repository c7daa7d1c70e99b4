//! Values of the model as columns, and back.
//!
//! **Invariant:** what is read passes the same checks as what enters at the edge; a row that fails them is an error of
//! the catalog, never a panic and never a name that was not checked.

use rusqlite::Row;
use rusqlite::types::Type;
use serde::de::DeserializeOwned;

use super::failure::Fault;
use crate::catalog::Error;
pub(super) use crate::catalog::columns::{attached_column, crc, crc_column, kind_columns, to_json};
use crate::model::checksum::{Algorithm, Checksum, ChecksumKind};
use crate::model::id::{CatalogId, UploadId, VersionId, hex, unhex};
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::Attached;
use crate::model::place::{Placed, Stamp};
use crate::model::time::Timestamp;

/// A result in the words of rusqlite, as its callbacks want it.
pub(super) type Read<T> = rusqlite::Result<T>;

/// The 16 bytes of an id: half of what its digits take, in every index that holds it.
pub(super) fn bytes(id: impl Into<String>) -> [u8; 16] {
    unhex(&id.into()).expect("an id of ours is 32 hexadecimal digits")
}

/// A row that is not as this program writes it.
pub(super) fn malformed(column: usize, what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Null, Box::new(Fault::Malformed(what)))
}

fn id<T>(row: &Row<'_>, column: usize, parse: fn(&str) -> Option<T>) -> Read<T> {
    let bytes: [u8; 16] = row.get(column)?;
    parse(&hex(&bytes)).ok_or_else(|| malformed(column, "an id"))
}

/// A version.
pub(super) fn version(row: &Row<'_>, column: usize) -> Read<VersionId> {
    id(row, column, VersionId::parse)
}

/// An upload's id.
pub(super) fn upload_id(row: &Row<'_>, column: usize) -> Read<UploadId> {
    id(row, column, UploadId::parse)
}

/// The catalog's id.
pub(super) fn catalog_id(row: &Row<'_>, column: usize) -> Read<CatalogId> {
    id(row, column, CatalogId::parse)
}

/// A text, borrowed from the row.
pub(super) fn text<'r>(row: &'r Row<'_>, column: usize) -> Read<&'r str> {
    row.get_ref(column)?.as_str().map_err(|_| malformed(column, "a text"))
}

/// A key.
pub(super) fn key(row: &Row<'_>, column: usize) -> Read<ObjectKey> {
    ObjectKey::new(text(row, column)?).map_err(|_| malformed(column, "a key"))
}

/// A bucket's name.
pub(super) fn bucket_name(row: &Row<'_>, column: usize) -> Read<BucketName> {
    BucketName::new(text(row, column)?).map_err(|_| malformed(column, "a bucket name"))
}

/// A stamp.
pub(super) fn stamp(row: &Row<'_>, column: usize) -> Read<Stamp> {
    text(row, column).map(Stamp::new)
}

/// An instant.
pub(super) fn timestamp(row: &Row<'_>, column: usize) -> Read<Timestamp> {
    row.get(column).map(Timestamp)
}

/// A number that is never negative.
pub(super) fn unsigned(row: &Row<'_>, column: usize) -> Read<u64> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|_| malformed(column, "a number"))
}

/// A number that is never negative, if there is one.
pub(super) fn unsigned_or_none(row: &Row<'_>, column: usize) -> Read<Option<u64>> {
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => unsigned(row, column).map(Some),
    }
}

/// The column of a number that is never negative.
pub(super) fn signed(number: u64) -> Result<i64, Error> {
    i64::try_from(number).map_err(|_| Fault::TooLarge(number).into())
}

/// Where an object's row points.
pub(super) fn placed(row: &Row<'_>, column: usize) -> Read<Placed> {
    match row.get::<_, i64>(column)? {
        0 => Ok(Placed::Managed),
        1 => Ok(Placed::Natural),
        2 => Ok(Placed::Beneath),
        3 => Ok(Placed::Beside),
        _ => Err(malformed(column, "a place")),
    }
}

/// The column of where an object's row points.
pub(super) fn placed_column(placed: Placed) -> i64 {
    match placed {
        Placed::Managed => 0,
        Placed::Natural => 1,
        Placed::Beneath => 2,
        Placed::Beside => 3,
    }
}

/// Algorithm and type of a checksum, from two columns.
pub(super) fn sum_kind(row: &Row<'_>, column: usize) -> Read<Option<(Algorithm, ChecksumKind)>> {
    if matches!(row.get_ref(column)?, rusqlite::types::ValueRef::Null) {
        return Ok(None);
    }
    let algorithm = Algorithm::parse(text(row, column)?).ok_or_else(|| malformed(column, "an algorithm"))?;
    let name = text(row, column + 1)?;
    let kind = [ChecksumKind::FullObject, ChecksumKind::Composite].into_iter().find(|kind| kind.name() == name);
    Ok(Some((algorithm, kind.ok_or_else(|| malformed(column + 1, "a type of checksum"))?)))
}

/// A checksum, from three columns.
pub(super) fn sum(row: &Row<'_>, column: usize) -> Read<Option<Checksum>> {
    let Some((algorithm, kind)) = sum_kind(row, column)? else { return Ok(None) };
    Ok(Some(Checksum { algorithm, kind, value: row.get(column + 2)? }))
}

/// The two columns of the algorithm and type of a checksum.
pub(super) fn sum_columns(sum: Option<&Checksum>) -> (Option<&'static str>, Option<&'static str>) {
    kind_columns(sum.map(|sum| (sum.algorithm, sum.kind)))
}

/// A value kept as JSON.
pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Read<T> {
    serde_json::from_str(text(row, column)?)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(e)))
}

/// A value kept as JSON, if there is one.
pub(super) fn json_or_none<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Read<Option<T>> {
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => json(row, column).map(Some),
    }
}

/// What is attached to an object. What says more than is known here may hold the object or close it, and is not read as if it
/// said less. (A record beside the bytes is: of a lost catalog, what is known of a lock is worth more than nothing.)
pub(super) fn attached(row: &Row<'_>, column: usize) -> Read<Attached> {
    let Some(attached) = json_or_none::<Attached>(row, column)? else { return Ok(Attached::default()) };
    let known = serde_json::to_value(&attached).map_err(|_| malformed(column, "what is attached"))?;
    if json::<serde_json::Value>(row, column)? == known {
        Ok(attached)
    } else {
        Err(malformed(column, "what is attached"))
    }
}
