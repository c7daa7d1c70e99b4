//! What Google's JSON says of objects and containers, and what is said to it.
//!
//! **Invariant:** what is sent as metadata is given back as it was, also in the headers of the XML protocol: printable
//! ASCII within the limits of the service. What cannot be is left out, but nothing of Longshore's.

use std::collections::BTreeMap;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::model::id::hex;
use crate::model::object::Content;
use crate::model::time::Timestamp;
use crate::provider::cloud::service::{Entry, Facts};
use crate::provider::{Error, Result};

/// What is asked for of an object whose facts are wanted.
pub(super) const FACTS: &str = "name,generation,size,timeCreated,md5Hash,componentCount,contentType,cacheControl,\
                                contentDisposition,contentEncoding,contentLanguage,metadata";
/// What is asked for of a page of a listing.
pub(super) const PAGE: &str = "items(name,generation,size,timeCreated,md5Hash,componentCount),nextPageToken";
/// What is asked for of what was written.
pub(super) const WRITTEN: &str = "name,generation,size,md5Hash";

/// Most bytes of the metadata of an object, names and values (the limit of the service).
const METADATA_BYTES_MAX: usize = 8 * 1024;
/// Most bytes of a content language (the limit of the service).
const LANGUAGE_BYTES_MAX: usize = 100;
/// What the service says of bytes of which nothing was said.
const UNKNOWN_TYPE: &str = "application/octet-stream";
/// What the service keeps for itself among the names of metadata.
const RESERVED_NAMES: &str = "goog-reserved-";

/// An object, as far as it was asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Object {
    pub(super) name: String,
    pub(super) generation: String,
    pub(super) size: String,
    pub(super) time_created: String,
    pub(super) md5_hash: Option<String>,
    pub(super) component_count: Option<u32>,
    pub(super) content_type: Option<String>,
    pub(super) cache_control: Option<String>,
    pub(super) content_disposition: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) content_language: Option<String>,
    pub(super) metadata: BTreeMap<String, String>,
}

/// A page of a listing of objects.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Objects {
    pub(super) items: Vec<Object>,
    pub(super) next_page_token: Option<String>,
}

/// A container.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Bucket {
    pub(super) name: String,
    pub(super) time_created: String,
}

/// A page of a listing of containers.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Buckets {
    pub(super) items: Vec<Bucket>,
    pub(super) next_page_token: Option<String>,
}

/// How far a copy is.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Rewritten {
    pub(super) done: bool,
    pub(super) rewrite_token: Option<String>,
    pub(super) resource: Option<Object>,
}

/// What an object is to be: what is written of its headers.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resource<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) md5_hash: Option<String>,
    pub(super) content_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cache_control: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_disposition: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_encoding: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_language: Option<&'a str>,
    pub(super) metadata: BTreeMap<&'a str, &'a str>,
}

/// Of what a name is composed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Composition<'a> {
    pub(super) source_objects: Vec<Source<'a>>,
    pub(super) destination: Resource<'a>,
}

/// One source of a composition.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Source<'a> {
    name: &'a str,
    object_preconditions: Precondition<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Precondition<'a> {
    if_generation_match: &'a str,
}

impl<'a> Source<'a> {
    /// What is at a name, if it still is that.
    pub(super) fn new(name: &'a str, tag: &'a str) -> Self {
        Self { name, object_preconditions: Precondition { if_generation_match: tag } }
    }
}

impl<'a> Resource<'a> {
    /// With these headers.
    pub(super) fn new(content: &'a Content) -> Self {
        Self {
            name: None,
            md5_hash: None,
            content_type: plain(content.content_type.as_deref()).unwrap_or(UNKNOWN_TYPE),
            cache_control: plain(content.cache_control.as_deref()),
            content_disposition: plain(content.disposition.as_deref()),
            content_encoding: plain(content.encoding.as_deref()),
            content_language: plain(content.language.as_deref()).filter(|text| text.len() <= LANGUAGE_BYTES_MAX),
            metadata: carried(&content.user),
        }
    }

    /// Of this name, with bytes of this MD5.
    pub(super) fn of(mut self, name: &'a str, md5: [u8; 16]) -> Self {
        self.name = Some(name);
        self.md5_hash = Some(STANDARD.encode(md5));
        self
    }
}

/// A value that a header can be, without blanks at its ends, which one loses.
fn plain(value: Option<&str>) -> Option<&str> {
    value.filter(|text| !text.is_empty() && text.trim() == *text && text.bytes().all(|b| (b' '..0x7f).contains(&b)))
}

/// The entries of user metadata that the service carries.
fn carried(user: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    let ours = |name: &str| name.strip_prefix("longshore").is_some_and(|n| n.parse::<u32>().is_ok());
    let pairs = || user.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut kept: BTreeMap<&str, &str> = pairs().filter(|(name, _)| ours(name)).collect();
    let mut left = METADATA_BYTES_MAX.saturating_sub(kept.iter().map(|(name, value)| name.len() + value.len()).sum());
    for (name, value) in pairs().filter(|(name, value)| !ours(name) && is_name(name) && plain(Some(value)).is_some()) {
        if let Some(rest) = left.checked_sub(name.len() + value.len()) {
            left = rest;
            kept.insert(name, value);
        }
    }
    kept
}

/// Whether a header can have it as the end of its name, and the service no use for it.
fn is_name(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(token) && !name.starts_with(RESERVED_NAMES)
}

impl Object {
    /// As an entry of a listing.
    pub(super) fn entry(self) -> Result<Entry> {
        let (digest, size, modified) = (self.digest(), number(&self.size)?, moment(&self.time_created)?);
        Ok(Entry { name: self.name, digest, size, modified })
    }

    /// As facts.
    pub(super) fn facts(self) -> Result<Facts> {
        let (digest, size, modified) = (self.digest(), number(&self.size)?, moment(&self.time_created)?);
        number(&self.generation)?;
        let given = |value: Option<String>| value.filter(|text| !text.is_empty());
        let content = Content {
            content_type: given(self.content_type),
            cache_control: given(self.cache_control),
            disposition: given(self.content_disposition),
            encoding: given(self.content_encoding),
            language: given(self.content_language),
            user: self.metadata.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect(),
            ..Content::default()
        };
        Ok(Facts { tag: self.generation, digest, etag: None, size, modified, content })
    }

    /// A composed object has none at Google, whatever others say of it.
    fn digest(&self) -> Option<String> {
        self.md5_hash.as_deref().filter(|_| self.component_count.is_none()).and_then(digest)
    }
}

/// An MD5 in base64 as hex.
pub(super) fn digest(base64: &str) -> Option<String> {
    STANDARD.decode(base64).ok().filter(|bytes| bytes.len() == 16).map(|bytes| hex(&bytes))
}

/// A number, which the service writes as text.
pub(super) fn number(text: &str) -> Result<u64> {
    text.parse().map_err(|_| strange("it says no number where one belongs"))
}

/// A moment.
pub(super) fn moment(text: &str) -> Result<Timestamp> {
    let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| strange("it says no time where one belongs"))?;
    Ok(Timestamp::from_utc(at))
}

/// An answer that is not what the protocol says.
pub(super) fn strange(what: &str) -> Error {
    Error::Failed(io::Error::other(format!("the answer is not understood: {what}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read() {
        let text = r#"{"name":"a","generation":"17","size":"5","timeCreated":"2026-11-22T07:58:02.238Z",
            "md5Hash":"XUFAKrxLKna5cZ2REBfFkg==","contentType":"text/plain","metadata":{"Foo_B":"ü"}}"#;
        let facts = serde_json::from_str::<Object>(text).expect("JSON").facts().expect("facts");
        assert_eq!((facts.tag.as_str(), facts.size), ("17", 5));
        assert_eq!(facts.digest.as_deref(), Some("5d41402abc4b2a76b9719d911017c592"));
        assert_eq!(facts.modified.0 % 1_000_000_000, 238_000_000);
        assert_eq!(facts.content.content_type.as_deref(), Some("text/plain"));
        assert_eq!(facts.content.user.get("foo_b").map(String::as_str), Some("ü"));
        let composed = r#"{"name":"a","generation":"1","size":"5","timeCreated":"2026-11-22T07:58:02Z",
            "md5Hash":"XUFAKrxLKna5cZ2REBfFkg==","componentCount":2}"#;
        assert_eq!(serde_json::from_str::<Object>(composed).expect("JSON").facts().expect("facts").digest, None);
        for bad in [r#"{"generation":"1","size":"x","timeCreated":"2026-11-22T07:58:02Z"}"#, r#"{"size":"1"}"#] {
            assert!(serde_json::from_str::<Object>(bad).expect("JSON").facts().is_err());
        }
    }

    #[test]
    fn metadata_that_cannot_be_carried_is_left_out() {
        let user = [
            ("plain", "v".to_owned()),
            ("with space", "v".to_owned()),
            ("goog-reserved-x", "v".to_owned()),
            ("umlaut", "ü".to_owned()),
            ("blank", " v".to_owned()),
            ("large", "v".repeat(5000)),
            ("longshore0", "m".repeat(4000)),
            ("longshore-note", "v".to_owned()),
        ];
        let user = user.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        assert_eq!(carried(&user).into_keys().collect::<Vec<_>>(), ["longshore-note", "longshore0", "plain"]);
    }

    #[test]
    fn a_resource_says_its_digest() {
        let content = Content { language: Some("x".repeat(101)), ..Content::default() };
        let resource = Resource::new(&content).of("n", md5(b""));
        let text = serde_json::to_string(&resource).expect("JSON");
        let expected = r#"{"name":"n","md5Hash":"1B2M2Y8AsgTpgAmY7PhCfg==","contentType":"application/octet-stream","metadata":{}}"#;
        assert_eq!(text, expected);
        assert_eq!(digest("1B2M2Y8AsgTpgAmY7PhCfg==").as_deref(), Some("d41d8cd98f00b204e9800998ecf8427e"));
    }

    fn md5(bytes: &'static [u8]) -> [u8; 16] {
        crate::provider::cloud::payload::Payload::from(bytes::Bytes::from_static(bytes)).md5()
    }
}
