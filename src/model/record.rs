//! The record: what travels with the bytes, so that a lost catalog can be rebuilt from the provider alone.
//!
//! **Invariant:** a record speaks only for the size and mtime it was written for. A file whose size or mtime differ is
//! somebody else's edit and its record is dead; a file that only lies under another name keeps its content facts (ETag,
//! checksums, type, metadata) and loses its identity (version, owner). Identity is taken from records by `rebuild`
//! alone, which an administrator runs, because whoever can write the directory can forge one.

use serde::{Deserialize, Serialize};

use crate::model::checksum::Checksum;
use crate::model::id::VersionId;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::{Attached, Content, Object, PartFact};
use crate::model::place::{Placed, Stamp};
use crate::model::time::Timestamp;

/// What is written beside the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The version.
    #[serde(rename = "v")]
    pub version: VersionId,
    /// The bucket it was written to.
    #[serde(rename = "b")]
    pub bucket: BucketName,
    /// The key it was written to.
    #[serde(rename = "k")]
    pub key: ObjectKey,
    /// The order among the versions of the key.
    #[serde(rename = "c")]
    pub counter: u64,
    /// Bytes it was written for, before they were encrypted.
    #[serde(rename = "s")]
    pub size: u64,
    /// Mtime it was written for.
    #[serde(rename = "m")]
    pub modified: Timestamp,
    /// The ETag without quotes.
    #[serde(rename = "e")]
    pub etag: String,
    /// The checksum that is shown.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<Checksum>,
    /// CRC-64/NVME of the body.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub crc64nvme: Option<u64>,
    /// Canonical id of the owner.
    #[serde(rename = "o")]
    pub owner: String,
    /// Where the version was to end up. After a clean stop what is still at a managed place although it was meant for
    /// its key was never committed.
    #[serde(rename = "l", default = "managed")]
    pub placed: Placed,
    /// What the client said about the bytes.
    #[serde(rename = "h", default)]
    pub content: Content,
    /// The parts.
    #[serde(rename = "p", default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartFact>,
    /// Whether its version id is shown as `null`.
    #[serde(rename = "u", default = "yes", skip_serializing_if = "is_true")]
    pub null: bool,
    /// Whether it is a delete marker.
    #[serde(rename = "d", default, skip_serializing_if = "std::ops::Not::not")]
    pub marker: bool,
    /// What was attached to it when the record was written.
    #[serde(rename = "a", default, skip_serializing_if = "Attached::is_empty")]
    pub attached: Attached,
    /// True if metadata or parts did not fit beside the bytes and were left out.
    #[serde(rename = "cut", default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form serde asks for")]
fn is_true(value: &bool) -> bool {
    *value
}

/// What a record says that does not say it.
fn managed() -> Placed {
    Placed::Managed
}

impl Record {
    /// The record of `object` in `bucket`.
    #[must_use]
    pub fn of(object: &Object, bucket: &BucketName) -> Self {
        Self {
            version: object.version,
            bucket: bucket.clone(),
            key: object.key.clone(),
            counter: object.counter,
            size: object.size,
            modified: object.modified,
            etag: object.etag.clone(),
            checksum: object.checksum.clone(),
            crc64nvme: object.crc64nvme,
            owner: object.owner.clone(),
            placed: object.placed,
            content: object.content.clone(),
            parts: object.parts.clone(),
            null: object.null,
            marker: object.marker,
            attached: object.attached.clone(),
            cut: false,
        }
    }

    /// Whether it speaks for a file of this size and mtime.
    #[must_use]
    pub fn is_live(&self, size: u64, modified: Timestamp) -> bool {
        let stored = self.attached.sealing.as_ref().map_or(self.size, |sealing| sealing.stored(self.size));
        stored == size && self.modified == modified
    }

    /// Whether it was written for this bucket and key.
    #[must_use]
    pub fn is_of(&self, bucket: &BucketName, key: &ObjectKey) -> bool {
        &self.bucket == bucket && &self.key == key
    }

    /// The object it describes, at a place with this stamp.
    #[must_use]
    pub fn into_object(self, placed: Placed, stamp: Stamp) -> Object {
        Object {
            key: self.key,
            version: self.version,
            counter: self.counter,
            placed,
            stamp,
            size: self.size,
            modified: self.modified,
            etag: self.etag,
            checksum: self.checksum,
            crc64nvme: self.crc64nvme,
            content: self.content,
            parts: self.parts,
            owner: self.owner,
            null: self.null,
            marker: self.marker,
            revision: 0,
            attached: self.attached,
        }
    }

    /// Its text, leaving out first the parts, then the user metadata if it exceeds `bytes_max`.
    /// `None` if even then it does not fit.
    #[must_use]
    pub fn encode(&self, bytes_max: usize) -> Option<Vec<u8>> {
        let fits = |record: &Self| serde_json::to_vec(record).ok().filter(|text| text.len() <= bytes_max);
        fits(self).or_else(|| {
            let mut smaller = Self { parts: Vec::new(), cut: true, ..self.clone() };
            fits(&smaller).or_else(|| {
                smaller.content.user.clear();
                fits(&smaller)
            })
        })
    }

    /// Reads its text; `None` if it is not one of ours.
    #[must_use]
    pub fn decode(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            version: VersionId::fresh(),
            bucket: BucketName::new("b").expect("legal"),
            key: ObjectKey::new("a/k\u{1}").expect("legal"),
            counter: 7,
            size: 3,
            modified: Timestamp(5),
            etag: "e".into(),
            checksum: None,
            crc64nvme: Some(1),
            owner: "root".into(),
            placed: Placed::Managed,
            content: Content { user: [("m".to_owned(), "x".repeat(2000))].into(), ..Content::default() },
            parts: vec![PartFact { number: 1, size: 3, checksum: None }; 200],
            null: true,
            marker: false,
            attached: Attached::default(),
            cut: false,
        }
    }

    #[test]
    fn round_trips_and_shrinks_to_fit() {
        let whole = record();
        assert_eq!(Record::decode(&whole.encode(usize::MAX).expect("fits")), Some(whole.clone()));
        let no_parts = Record::decode(&whole.encode(3800).expect("fits")).expect("reads");
        assert!(no_parts.cut && no_parts.parts.is_empty() && !no_parts.content.user.is_empty());
        let bare = Record::decode(&whole.encode(600).expect("fits")).expect("reads");
        assert!(bare.cut && bare.content.user.is_empty());
        assert_eq!(whole.encode(10), None);
    }

    #[test]
    fn speaks_only_for_its_own_bytes() {
        let record = record();
        assert!(record.is_live(3, Timestamp(5)));
        assert!(!record.is_live(4, Timestamp(5)) && !record.is_live(3, Timestamp(6)));
    }

    #[test]
    fn forged_or_foreign_text_is_no_record() {
        for text in [&b""[..], b"{}", b"null", b"{\"v\":\"../../etc\"}", &[0xff, 0xfe]] {
            assert_eq!(Record::decode(text), None);
        }
    }
}
