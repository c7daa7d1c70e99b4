//! What Longshore writes into the metadata of an object: whose bytes they are, and their record.
//!
//! A mark is a few entries of user metadata, `longshore0` and so on, which every service keeps through its own copies. It
//! says how the bytes are to be stamped, so that a version has one stamp wherever it lies: `v<version>#<MD5>`, or
//! `v<version>#s<size>` for what was sent in blocks. Objects of others are stamped by what the service says of them, and
//! carry that stamp on when they are copied. What stands behind `#` is also seen in listings.
//!
//! **Invariant:** a mark speaks only for bytes of the size and MD5 it was written for; with other bytes it is dead, and
//! they are somebody else's. One that was written before either was known is completed when its bytes come to their key,
//! where others can get at them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::service::Facts;
use crate::model::id::{VersionId, unhex};
use crate::model::object::Content;
use crate::model::place::Stamp;
use crate::model::record::Record;
use crate::model::time::Timestamp;
use crate::provider::{Foreign, Stat};

/// What the names of our entries begin with.
const ENTRY: &str = "longshore";
/// Most bytes of one entry's value: the least that a service allows.
const VALUE_BYTES_MAX: usize = 250;
/// Most bytes of all metadata of an object, names and values: the least that a service allows.
const METADATA_BYTES_MAX: usize = 2000;

/// What is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// What the stamp begins with.
    #[serde(rename = "i")]
    pub(super) identity: String,
    /// MD5 of the bytes in hex.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<String>,
    /// Bytes, if that was known when it was written.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
    /// Mtime, if that was known.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub(super) modified: Option<Timestamp>,
    /// The record, if it fitted.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<Box<Record>>,
    /// MD5 of the bytes in hex, where it was known too late to be a part of their stamp.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub(super) md5: Option<String>,
}

impl Mark {
    /// Of a version of ours.
    pub(super) fn of(version: VersionId) -> Self {
        Self { identity: format!("v{version}"), digest: None, size: None, modified: None, record: None, md5: None }
    }

    /// The version, if it is one of ours.
    pub(super) fn version(&self) -> Option<VersionId> {
        VersionId::parse(self.identity.strip_prefix('v')?)
    }

    /// The stamp of bytes with this mark.
    pub(super) fn stamp(&self, size: u64) -> Stamp {
        stamp(&self.identity, self.digest.as_deref(), size)
    }

    fn entries(&self) -> Option<Vec<(String, String)>> {
        let text = URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).ok()?);
        let values = text.as_bytes().chunks(VALUE_BYTES_MAX);
        Some(
            values.enumerate().map(|(n, part)| (format!("{ENTRY}{n}"), String::from_utf8_lossy(part).into())).collect(),
        )
    }

    /// The headers of an object with this mark, of at most `bytes_max` for it. The record is left out if it does not
    /// fit, and the client's own metadata, which the record has, if they do not fit beside it. With them, whether the
    /// record is among them.
    pub(super) fn beside(mut self, content: &Content, bytes_max: usize) -> (Content, bool) {
        let bytes =
            |entries: &[(String, String)]| entries.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        let fits = |entries: &Option<Vec<_>>| entries.as_deref().is_some_and(|entries| bytes(entries) <= bytes_max);
        let mut entries = self.entries();
        if self.record.is_some() && !fits(&entries) {
            self.record = None;
            entries = self.entries();
        }
        let entries = entries.unwrap_or_default();
        let mut content = content.clone();
        content.user.retain(|name, value| !name.starts_with(ENTRY) && is_plain(name, value));
        let user: usize = content.user.iter().map(|(name, value)| name.len() + value.len()).sum();
        if user + bytes(&entries) > METADATA_BYTES_MAX {
            content.user.clear();
        }
        content.user.extend(entries);
        (content, self.record.is_some())
    }

    fn read(user: &BTreeMap<String, String>) -> Option<Self> {
        let mut text = String::new();
        for n in 0.. {
            let Some(part) = user.get(&format!("{ENTRY}{n}")) else { break };
            text.push_str(part);
        }
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }

    /// With what its record knows of bytes of this size, and the mark did not when they were sent. The stamp stays as it
    /// is. An ETag is believed to be an MD5 only where the bytes passed through here as they are and in one piece.
    pub(super) fn completed(self, size: u64, record: &Record) -> Self {
        let hashed = record.crc64nvme.is_some() && record.parts.is_empty() && record.attached.sealing.is_none();
        let md5 = (hashed && unhex::<16>(&record.etag).is_some()).then(|| record.etag.clone());
        Self { size: Some(size), modified: Some(record.modified), md5, ..self }
    }

    fn speaks_for(&self, facts: &Facts) -> bool {
        let same = |ours: &str, theirs: &str| ours.eq_ignore_ascii_case(theirs);
        let digests = self.digest.as_deref().or(self.md5.as_deref()).zip(facts.digest.as_deref());
        self.size.is_none_or(|size| size == facts.size) && digests.is_none_or(|(ours, theirs)| same(ours, theirs))
    }
}

/// Names and values that every service carries as they are.
fn is_plain(name: &str, value: &str) -> bool {
    let name_is = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let value_is = value.len() <= VALUE_BYTES_MAX && value.bytes().all(|b| (b' '..0x7f).contains(&b));
    name_is && value_is && value.trim() == value && !value.is_empty()
}

fn stamp(identity: &str, digest: Option<&str>, size: u64) -> Stamp {
    Stamp::new(&format!("{identity}{}", shown(digest, size)))
}

/// The part of a stamp that a listing shows.
fn shown(digest: Option<&str>, size: u64) -> String {
    digest.map_or_else(|| format!("#s{size}"), |digest| format!("#{digest}"))
}

/// The stamp of a listing.
pub(super) fn listed_stamp(digest: Option<&str>, size: u64) -> Stamp {
    Stamp::new(&shown(digest, size))
}

/// What is at a name, as Longshore sees it.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) stamp: Stamp,
    pub(super) facts: Facts,
    /// The mark, if it is live.
    pub(super) mark: Option<Mark>,
}

impl Known {
    pub(super) fn new(mut facts: Facts) -> Self {
        let mark = Mark::read(&facts.content.user).filter(|mark| mark.speaks_for(&facts));
        facts.content.user.retain(|name, _| !name.starts_with(ENTRY));
        let stamp = match &mark {
            Some(mark) => mark.stamp(facts.size),
            None => stamp(&format!("t{}", facts.tag), facts.digest.as_deref(), facts.size),
        };
        Self { stamp, facts, mark }
    }

    /// The version of ours that these bytes are.
    pub(super) fn version(&self) -> Option<VersionId> {
        self.mark.as_ref().and_then(Mark::version)
    }

    /// The mark of a copy of these bytes, under which they keep their stamp.
    pub(super) fn mark_of_copy(&self) -> Mark {
        self.mark.clone().unwrap_or_else(|| Mark {
            identity: format!("t{}", self.facts.tag),
            digest: self.facts.digest.clone(),
            size: Some(self.facts.size),
            modified: Some(self.facts.modified),
            record: None,
            md5: None,
        })
    }

    /// Whether a record is of bytes of this size.
    pub(super) fn fits(&self, record: &Record) -> bool {
        record.is_live(self.facts.size, record.modified)
    }

    /// With the record that is kept beside them, which goes before the one among the metadata.
    pub(super) fn stat(self, beside: Option<Record>) -> Stat {
        let beside = beside.filter(|record| self.fits(record));
        let (modified, within) = match self.mark {
            Some(mark) => (mark.modified, mark.record.map(|record| *record)),
            None => (None, None),
        };
        let record = beside.or(within);
        let modified = modified.or(record.as_ref().map(|record| record.modified)).unwrap_or(self.facts.modified);
        let etag = self.facts.digest.or(self.facts.etag);
        let foreign = record.is_none().then(|| Box::new(Foreign { etag, content: self.facts.content }));
        Stat { stamp: self.stamp, size: self.facts.size, modified, record, foreign, young: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(user: BTreeMap<String, String>, size: u64, digest: Option<&str>) -> Facts {
        let content = Content { user, ..Content::default() };
        Facts { tag: "x".into(), digest: digest.map(Into::into), etag: None, size, modified: Timestamp(1), content }
    }

    #[test]
    fn a_mark_speaks_for_its_bytes_alone() {
        let version = VersionId::fresh();
        let mark = Mark { digest: Some("ab".into()), size: Some(3), ..Mark::of(version) };
        let user: BTreeMap<_, _> =
            [("a".to_owned(), "1".to_owned()), ("longshore0".to_owned(), "mine".to_owned())].into();
        let content = Content { user, ..Content::default() };
        let (content, _) = mark.clone().beside(&content, 1500);
        let known = Known::new(facts(content.user.clone(), 3, Some("AB")));
        assert_eq!((known.version(), known.stamp.as_str()), (Some(version), &*format!("v{version}#ab")));
        assert_eq!(known.facts.content.user.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(Known::new(facts(content.user.clone(), 3, None)).version(), Some(version));
        for (size, digest) in [(4, Some("ab")), (3, Some("cd"))] {
            let other = Known::new(facts(content.user.clone(), size, digest));
            assert_eq!((other.version(), other.stamp.as_str().starts_with("tx#")), (None, true));
        }
    }

    #[test]
    fn a_completed_mark_stamps_as_before_and_speaks_for_its_bytes_alone() {
        let version = VersionId::fresh();
        let mut record: Record = serde_json::from_value(serde_json::json!({
            "v": version, "b": "b", "k": "k", "c": 1, "s": 3, "m": 5, "n": 7, "o": "root",
            "e": "900150983cd24fb0d6963f7d28e17f72",
        }))
        .expect("a record");
        let speaks = |mark: &Mark, size, digest: Option<&str>| {
            let (content, _) = mark.clone().beside(&Content::default(), 1500);
            Known::new(facts(content.user, size, digest)).version().is_some()
        };
        let early = Mark::of(version);
        assert!(speaks(&early, 4, Some("cd")), "it was sent before anything was known");
        let whole = early.clone().completed(3, &record);
        assert_eq!(whole.stamp(3), early.stamp(3));
        assert!(speaks(&whole, 3, None) && speaks(&whole, 3, Some(&record.etag)));
        assert!(!speaks(&whole, 4, None) && !speaks(&whole, 3, Some("cd")));
        // No MD5: of what did not pass through here, the ETag is whatever its storage gave.
        record.crc64nvme = None;
        assert!(speaks(&early.completed(3, &record), 3, Some("cd")));
    }

    #[test]
    fn a_copy_of_foreign_bytes_keeps_their_stamp() {
        let there = Known::new(facts(BTreeMap::new(), 5, None));
        let (content, _) = there.mark_of_copy().beside(&Content::default(), 1500);
        let copy = Known::new(Facts { tag: "y".into(), ..facts(content.user, 5, None) });
        assert_eq!(copy.stamp, there.stamp);
        assert!(there.stamp.may_show_as(&listed_stamp(None, 5)) && !there.stamp.may_show_as(&listed_stamp(None, 6)));
    }
}
