//! Dates in headers and in JSON.
//!
//! **Invariant:** everything is in UTC, and no date is a panic: one that cannot be read is none. A fraction is cut and
//! never rounded, so the header and the JSON of one moment agree.

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use crate::model::time::Timestamp;

const HEADER: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
const JSON: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// As headers have it.
pub(crate) fn header(at: Timestamp) -> String {
    at.to_utc().format(HEADER).unwrap_or_default()
}

/// From a header.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    PrimitiveDateTime::parse(text.trim(), HEADER).ok().map(|at| Timestamp::from_utc(at.assume_utc()))
}

/// As JSON has it, to the millisecond.
pub(crate) fn json(at: Timestamp) -> String {
    at.to_utc().format(JSON).unwrap_or_default()
}

/// Of seconds since 1970, as headers have it.
pub(crate) fn of_seconds(seconds: i64) -> Option<String> {
    OffsetDateTime::from_unix_timestamp(seconds).ok()?.format(HEADER).ok()
}
