//! Dates as the protocol writes them.
//!
//! **Invariant:** no date is a panic: one that has no text is told as the beginning of 1970, and one that cannot be
//! read is none.

use time::OffsetDateTime;
use time::PrimitiveDateTime;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;

use crate::model::time::Timestamp;

const HTTP: StaticFormatDescription =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
const ISO: StaticFormatDescription = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

/// As headers say it.
pub(super) fn http_date(at: Timestamp) -> String {
    formatted(at, HTTP)
}

/// As signatures say it.
pub(super) fn iso_date(at: Timestamp) -> String {
    formatted(at, ISO)
}

fn formatted(at: Timestamp, format: StaticFormatDescription) -> String {
    let at = at.to_utc();
    at.format(format).or_else(|_| OffsetDateTime::UNIX_EPOCH.format(format)).unwrap_or_default()
}

/// Reads the date of a header or of a listing.
pub(super) fn parsed(text: &str) -> Option<Timestamp> {
    PrimitiveDateTime::parse(text, HTTP).ok().map(|at| Timestamp::from_utc(at.assume_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_go_there_and_back() {
        let text = "Fri, 26 Jun 2015 23:39:12 GMT";
        let at = parsed(text).expect("a date");
        assert_eq!((http_date(at).as_str(), iso_date(at).as_str()), (text, "2015-06-26T23:39:12Z"));
        assert_eq!(parsed("yesterday"), None);
    }
}
