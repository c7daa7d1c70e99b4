//! Values of the model as columns, and back.
//!
//! **Invariant:** what is read passes the same checks as what enters at the edge; a row that fails them is an error of
//! the catalog, never a panic and never a name that was not checked. No text that is sent holds a NUL, which Postgres has
//! no place for.

use serde::de::DeserializeOwned;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::failure::Fault;
pub(super) use crate::catalog::columns::{attached_column, crc, crc_column, kind_columns, to_json};
use crate::catalog::{Error, Result};
use crate::model::checksum::{Algorithm, Checksum, ChecksumKind};
use crate::model::id::{UploadId, VersionId};
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::{Attached, Object};
use crate::model::place::{Placed, Stamp};
use crate::model::time::Timestamp;

/// A column as it is.
pub(super) fn get<'r, T: FromSql<'r>>(row: &'r Row, column: usize) -> Result<T> {
    row.try_get(column).map_err(|error| Error::Failed(Box::new(error)))
}

/// A version.
pub(super) fn version(row: &Row, column: usize) -> Result<VersionId> {
    VersionId::parse(get(row, column)?).ok_or_else(|| Fault::Malformed("a version").into())
}

/// An upload's id.
pub(super) fn upload_id(row: &Row, column: usize) -> Result<UploadId> {
    UploadId::parse(get(row, column)?).ok_or_else(|| Fault::Malformed("an upload").into())
}

/// A key.
pub(super) fn key(row: &Row, column: usize) -> Result<ObjectKey> {
    ObjectKey::new(get::<&str>(row, column)?).map_err(|_| Fault::Malformed("a key").into())
}

/// A bucket's name.
pub(super) fn bucket_name(row: &Row, column: usize) -> Result<BucketName> {
    BucketName::new(get::<&str>(row, column)?).map_err(|_| Fault::Malformed("a bucket name").into())
}

/// A stamp.
pub(super) fn stamp(row: &Row, column: usize) -> Result<Stamp> {
    get(row, column).map(Stamp::new)
}

/// An instant.
pub(super) fn timestamp(row: &Row, column: usize) -> Result<Timestamp> {
    get(row, column).map(Timestamp)
}

/// A number that is never negative.
pub(super) fn unsigned(row: &Row, column: usize) -> Result<u64> {
    u64::try_from(get::<i64>(row, column)?).map_err(|_| Fault::Malformed("a number").into())
}

/// The column of a number that is never negative.
pub(super) fn signed(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| Fault::TooLarge(number).into())
}

/// A number of rows.
pub(super) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// A limit in bytes; beyond what a column holds there is none to speak of.
pub(super) fn limit_of(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Where an object's row points.
pub(super) fn placed(row: &Row, column: usize) -> Result<Placed> {
    match get::<i16>(row, column)? {
        0 => Ok(Placed::Managed),
        1 => Ok(Placed::Natural),
        2 => Ok(Placed::Beneath),
        3 => Ok(Placed::Beside),
        _ => Err(Fault::Malformed("a place").into()),
    }
}

/// The column of where an object's row points.
pub(super) fn placed_column(placed: Placed) -> i16 {
    match placed {
        Placed::Managed => 0,
        Placed::Natural => 1,
        Placed::Beneath => 2,
        Placed::Beside => 3,
    }
}

/// The algorithm and the type of a checksum, from two columns.
pub(super) fn sum_kind(row: &Row, column: usize) -> Result<Option<(Algorithm, ChecksumKind)>> {
    let Some(algorithm) = get::<Option<&str>>(row, column)? else { return Ok(None) };
    let algorithm = Algorithm::parse(algorithm).ok_or(Fault::Malformed("an algorithm"))?;
    let name: &str = get(row, column + 1)?;
    let kind = [ChecksumKind::FullObject, ChecksumKind::Composite].into_iter().find(|kind| kind.name() == name);
    Ok(Some((algorithm, kind.ok_or(Fault::Malformed("a type of checksum"))?)))
}

/// A checksum, of a kind that was read, with its value in a column.
pub(super) fn sum(kind: Option<(Algorithm, ChecksumKind)>, row: &Row, column: usize) -> Result<Option<Checksum>> {
    let Some((algorithm, kind)) = kind else { return Ok(None) };
    Ok(Some(Checksum { algorithm, kind, value: get(row, column)? }))
}

/// A value kept as JSON.
pub(super) fn json<T: DeserializeOwned>(row: &Row, column: usize) -> Result<T> {
    serde_json::from_str(get(row, column)?).map_err(|error| Error::Failed(Box::new(error)))
}

/// A value kept as JSON, if there is one.
pub(super) fn json_or_none<T: DeserializeOwned>(row: &Row, column: usize) -> Result<Option<T>> {
    let text: Option<&str> = get(row, column)?;
    text.map(serde_json::from_str).transpose().map_err(|error| Error::Failed(Box::new(error)))
}

/// What is attached to an object. What says more than is known here may hold the object or close it, and is not read as if it
/// said less.
pub(super) fn attached(row: &Row, column: usize) -> Result<Attached> {
    let Some(attached) = json_or_none::<Attached>(row, column)? else { return Ok(Attached::default()) };
    let known = serde_json::to_value(&attached).map_err(|error| Error::Failed(Box::new(error)))?;
    if json::<serde_json::Value>(row, column)? == known {
        Ok(attached)
    } else {
        Err(Fault::Malformed("what is attached").into())
    }
}

/// What the tables of Supabase say of an object: its metadata, and that of its user.
pub(super) fn shown(object: &Object) -> (String, String) {
    let modified = object.modified.to_utc();
    let date = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        modified.year(),
        u8::from(modified.month()),
        modified.day(),
        modified.hour(),
        modified.minute(),
        modified.second(),
        modified.millisecond()
    );
    let content = &object.content;
    let mut metadata = serde_json::json!({
        "eTag": format!("\"{}\"", object.etag),
        "size": object.size,
        "mimetype": content.content_type.as_deref().unwrap_or("application/octet-stream"),
        "cacheControl": content.cache_control.as_deref().unwrap_or("no-cache"),
        "lastModified": date,
        "contentLength": object.size,
        "httpStatusCode": 200,
    });
    if let Some(robots) = &content.robots {
        metadata["xRobotsTag"] = robots.as_str().into();
    }
    let document = content.document.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let user = document.unwrap_or_else(|| serde_json::json!(content.user));
    (without_nul(&metadata), without_nul(&user))
}

/// A document for a column of the type jsonb, which refuses one character.
pub(super) fn without_nul(document: &serde_json::Value) -> String {
    fn clean(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::String(text) if text.contains('\0') => *text = text.replace('\0', "\u{FFFD}"),
            serde_json::Value::Array(items) => items.iter_mut().for_each(clean),
            serde_json::Value::Object(fields) => {
                let old = std::mem::take(fields);
                fields.extend(old.into_iter().map(|(name, mut value)| {
                    clean(&mut value);
                    (name.replace('\0', "\u{FFFD}"), value)
                }));
            }
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::String(_) => {}
        }
    }
    let text = document.to_string();
    if !text.contains("\\u0000") {
        return text;
    }
    let mut cleaned = document.clone();
    clean(&mut cleaned);
    cleaned.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_jsonb_refuses_is_replaced() {
        let cleaned = without_nul(&serde_json::json!({"a\0": ["b\0c", 1, null]}));
        assert_eq!(cleaned, "{\"a\u{FFFD}\":[\"b\u{FFFD}c\",1,null]}");
        // A backslash before the same letters is no NUL.
        assert_eq!(without_nul(&serde_json::json!({"a": "\\u0000"})), "{\"a\":\"\\\\u0000\"}");
    }
}
