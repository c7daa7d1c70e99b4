//! Values of the model as columns that both databases keep alike.
//!
//! **Invariant:** what is written here is read back as the same value by either catalog, whichever wrote it; no text holds
//! a NUL, because JSON escapes it.

use serde::Serialize;

use crate::catalog::{Error, Result};
use crate::model::checksum::{Algorithm, ChecksumKind};
use crate::model::object::Attached;
use crate::model::time::Clock;
use crate::model::upload::UploadState;

/// The two columns of the algorithm and type of a checksum.
pub(super) fn kind_columns(kind: Option<(Algorithm, ChecksumKind)>) -> (Option<&'static str>, Option<&'static str>) {
    (kind.map(|(algorithm, _)| algorithm.name()), kind.map(|(_, kind)| kind.name()))
}

/// The column of a value kept as JSON.
pub(super) fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Failed(Box::new(error)))
}

/// The column of a CRC-64, bit by bit.
pub(super) fn crc_column(crc: u64) -> i64 {
    i64::from_ne_bytes(crc.to_ne_bytes())
}

/// A CRC-64 from its column.
pub(super) fn crc(column: i64) -> u64 {
    u64::from_ne_bytes(column.to_ne_bytes())
}

/// The column of what is attached to an object: nothing, most often.
pub(super) fn attached_column(attached: &Attached) -> Result<Option<String>> {
    if attached.is_empty() { Ok(None) } else { to_json(attached).map(Some) }
}

/// The three columns of the state of an upload: its name, its result, and when it ended if it did.
pub(super) fn state_columns(state: &UploadState) -> Result<(&'static str, Option<String>, Option<i64>)> {
    Ok(match state {
        UploadState::Open => ("open", None, None),
        UploadState::Completing => ("completing", None, None),
        UploadState::Done(result) => ("done", Some(to_json(result)?), Some(Clock::now().0)),
        UploadState::Aborted => ("aborted", None, Some(Clock::now().0)),
    })
}
