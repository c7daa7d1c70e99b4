//! What should be there: plain maps, and the rules of conditions, ranges and pages written a second time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bytes::Bytes;
use longshore::model::checksum::{Algorithm, Checksum, ChecksumKind, Hasher};
use longshore::model::condition::{Conditions, TagMatch};
use longshore::model::id::{UploadId, VersionId};
use longshore::model::object::{Content, Object};
use longshore::model::place::Placed;
use longshore::model::time::Timestamp;
use longshore::store::request::ListedPart;
use md5::{Digest as _, Md5};

use super::letters::{Body, If, PART, Part};

/// Why a sequence is wrong, in words.
pub(super) type Outcome<T = ()> = Result<T, String>;

/// The ETag of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tag {
    Known(String),
    /// Of a file that nobody hashed: some hash of its stamp, which must not change once it was seen.
    Provisional(Option<String>),
}

impl Tag {
    pub(super) fn seen(&self) -> Option<&str> {
        match self {
            Self::Known(tag) => Some(tag),
            Self::Provisional(tag) => tag.as_deref(),
        }
    }
}

/// An object as it should be. What only the server knows is filled in when it is first seen, and must stay.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) bytes: Bytes,
    pub(super) tag: Tag,
    pub(super) checksum: Option<Checksum>,
    pub(super) content: Content,
    pub(super) parts: Vec<(u32, u64)>,
    pub(super) modified: Option<Timestamp>,
    pub(super) version: Option<VersionId>,
    pub(super) placed: Option<Placed>,
    /// A record of ours lies beside the bytes.
    pub(super) recorded: bool,
    /// Another program has renamed it.
    pub(super) moved: bool,
}

impl Held {
    /// What a plain write makes.
    pub(super) fn written(bytes: Bytes, content: Content, algorithm: Option<Algorithm>) -> Self {
        Self {
            tag: Tag::Known(md5_hex(&bytes)),
            checksum: Some(sum(algorithm.unwrap_or(Algorithm::Crc64Nvme), &bytes)),
            parts: Vec::new(),
            modified: None,
            version: None,
            placed: None,
            recorded: true,
            moved: false,
            bytes,
            content,
        }
    }

    /// What a file is that another program wrote.
    pub(super) fn found(bytes: Bytes, modified: Timestamp) -> Self {
        Self {
            tag: Tag::Provisional(None),
            checksum: None,
            modified: Some(modified),
            recorded: false,
            ..Self::written(bytes, Content::default(), None)
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Compares with what the server says, and learns what only the server knows.
    pub(super) fn agrees(&mut self, object: &Object) -> Outcome {
        same("the size", object.size, self.size())?;
        same("the checksum", &object.checksum, &self.checksum)?;
        same("the content", &object.content, &self.content)?;
        let parts: Vec<_> = object.parts.iter().map(|part| (part.number, part.size)).collect();
        same("the parts", &parts, &self.parts)?;
        same("the owner", object.owner.as_str(), "root")?;
        match &mut self.tag {
            Tag::Known(tag) => same("the ETag", &object.etag, tag)?,
            Tag::Provisional(Some(tag)) => same("the provisional ETag", &object.etag, tag)?,
            Tag::Provisional(seen) => {
                let hex = object.etag.strip_suffix("-1").unwrap_or_default();
                let hex = hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit());
                same("a provisional form of the ETag", hex, true)?;
                *seen = Some(object.etag.clone());
            }
        }
        same("Last-Modified", object.modified, *self.modified.get_or_insert(object.modified))?;
        same("the version", object.version, *self.version.get_or_insert(object.version))?;
        self.placed = Some(object.placed);
        Ok(())
    }

    /// The bytes a read gets.
    pub(super) fn range(&self, part: Part) -> Result<Range<u64>, &'static str> {
        let size = self.size();
        let range = match part {
            Part::Whole => return Ok(0..size),
            Part::FromTo(from, to) => from..to.saturating_add(1).min(size),
            Part::From(from) => from..size,
            Part::Suffix(count) => size - count.min(size)..size,
            Part::Number(1) if self.parts.is_empty() => return Ok(0..size),
            Part::Number(number) => {
                let index = (number as usize).checked_sub(1).filter(|i| *i < self.parts.len()).ok_or("NoSuchPart")?;
                let start: u64 = self.parts[..index].iter().map(|(_, size)| size).sum();
                return Ok(start..start + self.parts[index].1);
            }
        };
        if range.start < range.end { Ok(range) } else { Err("InvalidRange") }
    }
}

/// A bucket as it should be.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    pub(super) objects: BTreeMap<String, Held>,
    /// Keys whose files were changed behind the server's back and that nobody has read since: a listing may show what
    /// was there before.
    pub(super) stale: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Open,
    Done { listed: Vec<(u32, String)>, etag: String },
    Gone,
}

#[derive(Debug)]
pub(super) struct Upload {
    pub(super) bucket: usize,
    pub(super) key: String,
    pub(super) id: UploadId,
    pub(super) sums: Option<(Algorithm, ChecksumKind)>,
    pub(super) content: Content,
    pub(super) parts: BTreeMap<u32, Bytes>,
    pub(super) state: State,
}

impl Upload {
    /// What Complete makes of a list, or why it refuses it.
    pub(super) fn completed(&self, listed: &[ListedPart]) -> Result<Held, &'static str> {
        if listed.windows(2).any(|two| two[0].number > two[1].number) {
            return Err("InvalidPartOrder");
        }
        let last_named: BTreeMap<u32, &str> = listed.iter().map(|part| (part.number, part.etag.as_str())).collect();
        let mut chosen: Vec<(u32, &Bytes)> = Vec::new();
        for (number, etag) in last_named {
            match self.parts.get(&number) {
                Some(bytes) if md5_hex(bytes) == etag => chosen.push((number, bytes)),
                _ => return Err("InvalidPart"),
            }
        }
        if chosen.iter().rev().skip(1).any(|(_, bytes)| bytes.len() < PART) {
            return Err("PartTooSmall");
        }
        let bytes: Bytes = chosen.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
        let hashes: Vec<u8> = chosen.iter().flat_map(|(_, bytes)| Md5::digest(bytes)).collect();
        let mut held = Held::written(bytes, self.content.clone(), None);
        held.tag = Tag::Known(format!("{}-{}", md5_hex(&hashes), chosen.len()));
        held.parts = chosen.iter().map(|(number, bytes)| (*number, bytes.len() as u64)).collect();
        if let Some((algorithm, kind)) = self.sums {
            held.checksum = Some(match kind {
                ChecksumKind::FullObject => sum(algorithm, &held.bytes),
                ChecksumKind::Composite => {
                    let sums: Vec<u8> = chosen.iter().flat_map(|(_, bytes)| hash(algorithm, bytes)).collect();
                    let value = format!("{}-{}", sum(algorithm, &sums).value, chosen.len());
                    Checksum { algorithm, kind, value }
                }
            });
        }
        Ok(held)
    }
}

/// A page, or all pages, of a listing: keys and common prefixes in one order.
pub(super) fn listing<'k>(
    keys: impl Iterator<Item = &'k str>,
    prefix: &str,
    delimiter: Option<&str>,
    after: Option<&str>,
) -> BTreeSet<(String, bool)> {
    let mut found = BTreeSet::new();
    for key in keys.filter(|key| key.starts_with(prefix)) {
        let group = |key: &str| {
            let at = key.strip_prefix(prefix)?.find(delimiter?)? + prefix.len() + delimiter?.len();
            Some(key[..at].to_owned())
        };
        let grouped = group(key);
        // A cursor that is itself a common prefix stands for all that it hides.
        let hidden = after.is_some_and(|after| grouped.as_deref() == Some(after));
        if hidden || after.is_some_and(|after| key <= after) {
            continue;
        }
        let is_prefix = grouped.is_some();
        found.insert((grouped.unwrap_or_else(|| key.to_owned()), is_prefix));
    }
    found
}

/// Why a write is refused, if it is.
pub(super) fn write_refusal(there: Option<&Held>, condition: If) -> Option<&'static str> {
    let known = there.is_some_and(|held| held.tag.seen().is_some());
    match (condition, there) {
        (If::Always, _) | (If::Absent | If::NotSame, None) | (If::Present, Some(_)) => None,
        (If::Same, Some(_)) if known => None,
        (If::NotSame, Some(_)) if !known => None,
        (If::Present | If::Same | If::Other, None) => Some("NoSuchKey"),
        (If::Absent | If::Same | If::Other | If::NotSame, Some(_)) => Some("PreconditionFailed"),
    }
}

/// Why a read is refused, if it is.
pub(super) fn read_refusal(held: &Held, condition: If) -> Option<&'static str> {
    let known = held.tag.seen().is_some();
    match condition {
        If::Always | If::Present => None,
        If::Absent => Some("NotModified"),
        If::Same => (!known).then_some("PreconditionFailed"),
        If::Other => Some("PreconditionFailed"),
        If::NotSame => known.then_some("NotModified"),
    }
}

/// The headers of a condition.
pub(super) fn conditions(there: Option<&Held>, condition: If) -> Conditions {
    let tag = there.and_then(|held| held.tag.seen()).unwrap_or("stale");
    let (some, none) = match condition {
        If::Always => (None, None),
        If::Absent => (None, Some("*")),
        If::Present => (Some("*"), None),
        If::Same => (Some(tag), None),
        If::Other => (Some("other"), None),
        If::NotSame => (None, Some(tag)),
    };
    let read = |tag: Option<&str>| tag.map(TagMatch::parse);
    Conditions { if_match: read(some), if_none_match: read(none), ..Conditions::default() }
}

pub(super) fn content(seed: u8) -> Content {
    let mut content = Content { content_type: Some(format!("text/{seed}")), ..Content::default() };
    if seed.is_multiple_of(2) {
        content.user.insert("seed".into(), seed.to_string());
        content.cache_control = Some("no-cache".into());
    }
    content
}

pub(super) fn algorithm(seed: u8) -> Option<Algorithm> {
    [None, Some(Algorithm::Crc32c), Some(Algorithm::Sha256)][usize::from(seed % 3)]
}

/// The bytes of a body: no two sizes and seeds give the same, beside the empty one.
pub(super) fn bytes(body: Body) -> Bytes {
    let Body(size, seed) = body;
    let byte = |i: usize| (i as u8).wrapping_mul(31).wrapping_add((i >> 8) as u8).wrapping_add(seed);
    (0..size).map(byte).collect()
}

fn hash(algorithm: Algorithm, bytes: &[u8]) -> Vec<u8> {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}

pub(super) fn sum(algorithm: Algorithm, bytes: &[u8]) -> Checksum {
    Checksum::full(algorithm, &hash(algorithm, bytes))
}

pub(super) fn md5_hex(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// An assertion whose failure can shrink.
pub(super) fn same<T: PartialEq + std::fmt::Debug>(what: &str, is: T, should: T) -> Outcome {
    if is == should { Ok(()) } else { Err(format!("{what} is {is:?} and should be {should:?}")) }
}
