//! What is kept beside the bytes: headers, and facts out of them.
//!
//! Swift drops names of metadata with `_` without a word and counts all of them against one limit. Its object servers keep
//! them, with the headers and the name, in an attribute of the file: on ext4 that has less than 4 KiB, and a server that
//! finds no room for it is left alone for a minute. So what does not fit is left out here, and the rest is taken.
//!
//! **Invariant:** the entries of Longshore (`longshore0`, …) are always sent, before those of users; what a write of ours
//! is known by never shows as metadata.

use http::HeaderMap;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::json::is_md5;
use super::limits::Limits;
use crate::model::id::{hex, random};
use crate::model::object::Content;
use crate::model::time::Timestamp;
use crate::provider::Result;
use crate::provider::cloud::service::Facts;
use crate::provider::cloud::transport::Call;

const META: &str = "x-object-meta-";
/// The entry by which a write is known.
const WRITE: &str = "longshore-write";
/// Bytes for the name, the headers and the metadata of an object: an attribute on ext4 less what Swift adds.
const BESIDE_BYTES_MAX: usize = 3100;
/// What each of them takes beyond its name and value.
const EACH_BYTES: usize = 32;

/// Of what an object consists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Bytes.
    Plain,
    /// A manifest that lists segments.
    Static,
    /// A manifest that names a prefix.
    Dynamic,
}

impl Form {
    fn of(headers: &HeaderMap) -> Self {
        if text(headers, "x-static-large-object").eq_ignore_ascii_case("true") {
            Self::Static
        } else if headers.contains_key("x-object-manifest") {
            Self::Dynamic
        } else {
            Self::Plain
        }
    }

    fn mark(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Static => "slo:",
            Self::Dynamic => "dlo:",
        }
    }
}

/// What is at a name.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) facts: Facts,
    pub(super) form: Form,
}

/// The tag of a write.
pub(super) fn tag(form: Form, etag: &str, write: &str) -> String {
    format!("{}{etag}@{write}", form.mark())
}

/// The form and the `ETag` that a tag is made of.
pub(super) fn untag(tag: &str) -> (Form, &str) {
    let etag = tag.rsplit_once('@').map_or(tag, |(etag, _)| etag);
    for form in [Form::Static, Form::Dynamic] {
        if let Some(etag) = etag.strip_prefix(form.mark()) {
            return (form, etag);
        }
    }
    (Form::Plain, etag)
}

/// An `ETag` without its quotes.
pub(super) fn unquoted(etag: &str) -> &str {
    let etag = etag.strip_prefix("W/").unwrap_or(etag);
    etag.strip_prefix('"').and_then(|etag| etag.strip_suffix('"')).unwrap_or(etag)
}

/// A number that no other write has.
pub(super) fn fresh_write() -> String {
    let mut bytes = [0; 8];
    random(&mut bytes);
    hex(&bytes)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok()).unwrap_or_default()
}

/// When something was written: to ten microseconds, or as a date if the service tells no more.
pub(super) fn modified(headers: &HeaderMap) -> Timestamp {
    let date = || OffsetDateTime::parse(text(headers, "last-modified"), &Rfc2822).ok().map(Timestamp::from_utc);
    epoch(text(headers, "x-timestamp")).or_else(date).unwrap_or(Timestamp(0))
}

/// Seconds with a fraction, since 1970.
fn epoch(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanos = format!("{fraction:0<9}").parse().ok()?;
    Some(Timestamp::from_parts(seconds.parse().ok()?, nanos))
}

/// What the headers of an object of so many bytes say.
pub(super) fn seen(headers: &HeaderMap, size: u64) -> Seen {
    let form = Form::of(headers);
    let etag = unquoted(text(headers, "etag"));
    let write = match text(headers, &format!("{META}{WRITE}")) {
        "" => text(headers, "x-timestamp"),
        write => write,
    };
    let facts = Facts {
        tag: tag(form, etag, write),
        digest: (form == Form::Plain && is_md5(etag)).then(|| etag.to_owned()),
        etag: None,
        size,
        modified: modified(headers),
        content: content(headers),
    };
    Seen { facts, form }
}

fn content(headers: &HeaderMap) -> Content {
    let lossy = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let one = |name: &str| headers.get(name).map(lossy).filter(|value| !value.is_empty());
    let user = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix(META)?;
        (name != WRITE).then(|| (name.to_owned(), lossy(value)))
    });
    Content {
        content_type: one("content-type"),
        cache_control: one("cache-control"),
        disposition: one("content-disposition"),
        encoding: one("content-encoding"),
        language: one("content-language"),
        expires: one("expires"),
        user: user.collect(),
        ..Content::default()
    }
}

/// Whether it comes back as it was sent: printable, and no spaces around it.
fn is_plain(value: &str) -> bool {
    value.bytes().all(|b| (b' '..=b'~').contains(&b)) && value.trim_ascii() == value
}

/// Whether an entry is one of Longshore's.
fn is_ours(name: &str) -> bool {
    let number = name.strip_prefix("longshore").unwrap_or_default();
    !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
}

fn may_be_name(name: &str, limits: &Limits) -> bool {
    let token = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^`|~".contains(&b);
    (1..=limits.name_bytes).contains(&name.len()) && name.bytes().all(token) && name != WRITE
}

/// What is left for headers and metadata.
struct Room {
    /// Bytes beside an object.
    beside: usize,
    /// Bytes of metadata.
    metadata: usize,
    /// Entries of metadata.
    entries: usize,
}

impl Room {
    /// Takes room for a header, or says that there is none.
    fn header(&mut self, name: &str, value: &str) -> bool {
        let left = self.beside.checked_sub(name.len() + value.len() + EACH_BYTES);
        self.beside = left.unwrap_or(self.beside);
        left.is_some()
    }

    /// Takes room for an entry of metadata, or says that there is none.
    fn entry(&mut self, name: &str, value: &str) -> bool {
        let bytes = name.len() + value.len();
        if self.entries == 0 || self.metadata < bytes || !self.header(name, value) {
            return false;
        }
        (self.entries, self.metadata) = (self.entries - 1, self.metadata - bytes);
        true
    }
}

/// Adds what is kept beside the bytes of an object to a request that writes it.
pub(super) fn dress(call: Call, name: &str, content: &Content, limits: &Limits, write: &str) -> Result<Call> {
    let kept = |value: &Option<String>| value.clone().filter(|value| !value.is_empty() && is_plain(value));
    // Without one Swift guesses from the name, and a copy keeps that of its source.
    let kind = kept(&content.content_type).unwrap_or_else(|| "application/octet-stream".to_owned());
    let mut room = Room {
        beside: BESIDE_BYTES_MAX.saturating_sub(name.len()),
        metadata: limits.metadata_bytes,
        entries: limits.entries,
    };
    room.entry(WRITE, write);
    room.header("content-type", &kind);
    let mut call = call.header("content-type", &kind)?.header(&format!("{META}{WRITE}"), write)?;
    let (ours, users): (Vec<_>, Vec<_>) = content.user.iter().partition(|(name, _)| is_ours(name));
    for (name, value) in ours {
        room.entry(name, value);
        call = call.header(&format!("{META}{name}"), value)?;
    }
    for (name, value) in [
        ("cache-control", &content.cache_control),
        ("content-disposition", &content.disposition),
        ("content-encoding", &content.encoding),
        ("content-language", &content.language),
        ("expires", &content.expires),
    ] {
        if let Some(value) = kept(value).filter(|value| room.header(name, value)) {
            call = call.header(name, &value)?;
        }
    }
    for (name, value) in users {
        let sound = may_be_name(name, limits) && value.len() <= limits.value_bytes && is_plain(value);
        if sound && room.entry(name, value) {
            call = call.header(&format!("{META}{name}"), value)?;
        }
    }
    Ok(call)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use http::{HeaderName, HeaderValue, Method};

    use super::*;

    fn headers(pairs: &[(&str, &[u8])]) -> HeaderMap {
        let pair = |(name, value): &(&str, &[u8])| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            (name, HeaderValue::from_bytes(value).expect("a value"))
        };
        pairs.iter().map(pair).collect()
    }

    fn dressed(object: &str, user: &[(&str, &str)]) -> BTreeMap<String, String> {
        let user = user.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let content = Content { user, cache_control: Some("no-cache\u{e9}".into()), ..Content::default() };
        let call = Call::new(Method::PUT, String::new());
        let call = dress(call, object, &content, &Limits::default(), "0011223344556677");
        let call = call.expect("a call");
        assert_eq!(call.headers.get("content-type").expect("one"), "application/octet-stream");
        assert!(!call.headers.contains_key("cache-control"));
        seen(&call.headers, 0).facts.content.user
    }

    #[test]
    fn what_swift_cannot_carry_is_left_out() {
        let long = "v".repeat(257);
        let user =
            [("a", "1"), ("under_score", "1"), ("u", "\u{fc}"), ("s", " x"), ("l", long.as_str()), (WRITE, "mine")];
        assert_eq!(dressed("k", &user), BTreeMap::from([("a".to_owned(), "1".to_owned())]));
    }

    #[test]
    fn marks_come_before_what_users_say() {
        let mark = "m".repeat(250);
        let value = "v".repeat(256);
        let names: Vec<String> = (0..5).map(|n| format!("longshore{n}")).collect();
        let mut user: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), mark.as_str())).collect();
        let more: Vec<String> = (0..20).map(|n| format!("a{n}")).collect();
        user.extend(more.iter().map(|name| (name.as_str(), value.as_str())));
        for (object, kept_of_users) in [("k".to_owned(), 5), ("k".repeat(1024), 1)] {
            let kept = dressed(&object, &user);
            assert!(names.iter().all(|name| kept.contains_key(name)));
            assert_eq!(kept.len(), names.len() + kept_of_users);
        }
        let many: Vec<String> = (0..200).map(|n| format!("u{n}")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "1")).collect();
        assert!((60..90).contains(&dressed("k", &many).len()));
    }

    #[test]
    fn facts_of_a_plain_and_a_large_object() {
        let plain = headers(&[
            ("etag", b"\"5d41402abc4b2a76b9719d911017c592\""),
            ("x-timestamp", b"1795334254.32107"),
            ("content-type", b"text/x"),
            ("x-object-meta-odd", b"\xff"),
        ]);
        let plain = seen(&plain, 5);
        assert_eq!(plain.form, Form::Plain);
        assert_eq!(plain.facts.digest.as_deref(), Some("5d41402abc4b2a76b9719d911017c592"));
        assert_eq!(plain.facts.modified, Timestamp(1_795_334_254_321_070_000));
        assert_eq!(plain.facts.tag, "5d41402abc4b2a76b9719d911017c592@1795334254.32107");
        let large = headers(&[
            ("etag", b"\"5d41402abc4b2a76b9719d911017c592\""),
            ("x-static-large-object", b"True"),
            ("x-object-meta-longshore-write", b"77"),
            ("x-timestamp", b"1795334254.32107"),
        ]);
        let large = seen(&large, 5);
        assert_eq!((large.form, large.facts.digest), (Form::Static, None));
        assert!(large.facts.content.user.is_empty());
        assert_eq!(large.facts.tag, "slo:5d41402abc4b2a76b9719d911017c592@77");
        assert_eq!(untag(&large.facts.tag), (Form::Static, "5d41402abc4b2a76b9719d911017c592"));
        assert_eq!(untag(&plain.facts.tag), (Form::Plain, "5d41402abc4b2a76b9719d911017c592"));
    }

    #[test]
    fn dates_without_a_fraction() {
        let dated = headers(&[("last-modified", b"Sun, 22 Nov 2026 08:03:26 GMT")]);
        assert_eq!(modified(&dated).seconds(), 1_795_334_606);
        assert_eq!(epoch("1795334254"), Some(Timestamp(1_795_334_254_000_000_000)));
        assert_eq!(epoch("x.1"), None);
    }
}
