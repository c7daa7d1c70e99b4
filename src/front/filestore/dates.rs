//! Dates as the clients of the interface read them: in UTC, to the second, without a zone.
//!
//! **Invariant:** a fraction of a second is cut and never rounded, so that a date here and the `Last-Modified` of the
//! same item name one second.

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::model::time::Timestamp;

const SHOWN: &[BorrowedFormatItem<'_>] = format_description!("[year]/[month]/[day] [hour]:[minute]:[second]");

/// A date in JSON.
pub(super) fn shown(at: Timestamp) -> String {
    at.to_utc().format(SHOWN).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_to_the_second() {
        assert_eq!(shown(Timestamp::from_parts(1_393_672_510, 999_999_999)), "2014/03/01 11:15:10");
    }
}
