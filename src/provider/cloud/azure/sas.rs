//! A shared access signature of our own: what lets the service read one blob on its way into another.
//!
//! **Invariant:** it lets nobody do more than read that one blob, for an hour.

use super::date::iso_date;
use super::names;
use super::sign::mac;
use crate::model::time::Timestamp;

/// The version of its form.
const VERSION: &str = "2023-11-03";
const SECONDS: i64 = 60 * 60;

/// The query that lets read a blob.
pub(super) fn for_reading(account: &str, key: &[u8], container: &str, name: &str, now: Timestamp) -> String {
    let ends = iso_date(Timestamp::from_parts(now.seconds() + SECONDS, 0));
    let resource = format!("/blob/{account}/{container}/{name}");
    // Permissions, begin, end, what, then identifier, address, protocol; form, kind; snapshot, scope, five headers.
    let signed = format!("r\n\n{ends}\n{resource}\n\n\n\n{VERSION}\nb\n\n\n\n\n\n\n");
    let signature = names::query(&mac(key, &signed));
    format!("sv={VERSION}&sr=b&sp=r&se={}&sig={signature}", names::query(&ends))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_names_one_blob() {
        let now = Timestamp::from_parts(0, 5);
        let sas = |name| for_reading("acc", b"key", "c", name, now);
        assert!(sas("a").starts_with("sv=2023-11-03&sr=b&sp=r&se=1970-01-01T01%3A00%3A00Z&sig="), "{}", sas("a"));
        assert_ne!(sas("a"), sas("b"));
        let signed = "r\n\n1970-01-01T01:00:00Z\n/blob/acc/c/a b\n\n\n\n2023-11-03\nb\n\n\n\n\n\n\n";
        assert_eq!(signed.matches('\n').count(), 15, "of 16 fields");
        assert!(sas("a b").ends_with(&names::query(&mac(b"key", signed))));
    }
}
