//! Content headers and metadata: from ours to the service's and back.
//!
//! Metadata names must be identifiers, values are signed text, and all of it together is bounded. What does not fit is
//! left out, as the record of the object has it; what Longshore needs itself always fits and is always sent.
//!
//! **Invariant:** metadata of Longshore comes back as it was sent; no header of anybody's fails a read.

use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, HeaderName};

use crate::model::object::Content;
use crate::provider::Result;
use crate::provider::cloud::transport::Call;

/// Most bytes of metadata, names and values.
const METADATA_BYTES_MAX: usize = 8 * 1024;
/// Bytes that each entry may count beside its own.
const ENTRY_BYTES: usize = 16;
/// What Longshore's own entries begin with.
const OWN: &str = "longshore";
const META: &str = "x-ms-meta-";
/// What a blob has whose type nobody named.
const TYPE_UNNAMED: &str = "application/octet-stream";

/// The content headers as they are sent, in one order.
pub(super) fn properties(content: &Content) -> [(&'static str, Option<&str>); 5] {
    fn sent(value: &Option<String>) -> Option<&str> {
        value.as_deref().filter(|value| is_text(value))
    }
    [
        ("x-ms-blob-content-type", Some(sent(&content.content_type).unwrap_or(TYPE_UNNAMED))),
        ("x-ms-blob-cache-control", sent(&content.cache_control)),
        ("x-ms-blob-content-disposition", sent(&content.disposition)),
        ("x-ms-blob-content-encoding", sent(&content.encoding)),
        ("x-ms-blob-content-language", sent(&content.language)),
    ]
}

/// The metadata as it is sent.
pub(super) fn metadata(content: &Content) -> Vec<(String, &str)> {
    let mut sent = Vec::new();
    let mut left = METADATA_BYTES_MAX;
    let (own, others): (Vec<_>, Vec<_>) = content.user.iter().partition(|(name, _)| name.starts_with(OWN));
    for (name, value) in own.into_iter().chain(others) {
        let bytes = name.len() + value.len() + ENTRY_BYTES;
        if is_identifier(name) && is_text(value) && bytes <= left {
            left -= bytes;
            sent.push((format!("{META}{name}"), value.as_str()));
        }
    }
    sent
}

/// Adds all of it to a request.
pub(super) fn add(mut call: Call, content: &Content) -> Result<Call> {
    for (name, value) in properties(content) {
        if let Some(value) = value {
            call = call.header(name, value)?;
        }
    }
    add_metadata(call, content)
}

/// Adds the metadata to a request.
pub(super) fn add_metadata(mut call: Call, content: &Content) -> Result<Call> {
    for (name, value) in metadata(content) {
        call = call.header(&name, value)?;
    }
    Ok(call)
}

/// What an answer says of a blob.
pub(super) fn content(headers: &HeaderMap) -> Content {
    let one = |name: HeaderName| headers.get(name).map(|value| lossy(value.as_bytes())).filter(|text| !text.is_empty());
    let user = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix(META)?;
        Some((name.to_owned(), lossy(value.as_bytes())))
    });
    Content {
        content_type: one(CONTENT_TYPE),
        cache_control: one(CACHE_CONTROL),
        disposition: one(CONTENT_DISPOSITION),
        encoding: one(CONTENT_ENCODING),
        language: one(CONTENT_LANGUAGE),
        user: user.collect(),
        ..Content::default()
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// Whether a value comes back as it was sent: printable, not empty, without blanks around it.
fn is_text(value: &str) -> bool {
    !value.is_empty() && value.trim() == value && value.bytes().all(|c| matches!(c, b' '..=b'~'))
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_service_cannot_carry_is_left_out() {
        let user =
            [("a", "1"), ("a-b", "2"), ("umlaut", "ü"), ("blank", " x"), ("none", ""), ("1a", "3"), ("_b1", "4")];
        let mut content = Content { disposition: Some("ü".to_owned()), ..Content::default() };
        content.user = user.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(metadata(&content), [("x-ms-meta-_b1".to_owned(), "4"), ("x-ms-meta-a".to_owned(), "1")]);
        assert_eq!(properties(&content).iter().filter_map(|(_, value)| *value).collect::<Vec<_>>(), [TYPE_UNNAMED]);
    }

    #[test]
    fn own_entries_come_first() {
        let mut content = Content::default();
        content.user.insert("a".to_owned(), "x".repeat(8000));
        for i in 0..24 {
            content.user.insert(format!("longshore{i}"), "y".repeat(250));
        }
        let sent = metadata(&content);
        assert_eq!(sent.len(), 24);
        assert!(sent.iter().all(|(name, _)| name.starts_with("x-ms-meta-longshore")));
    }

    #[test]
    fn what_others_wrote_is_read() {
        let mut headers = HeaderMap::new();
        headers.insert("x-ms-meta-u", http::HeaderValue::from_bytes(b"\xff \xc3\xbc").expect("a value"));
        headers.insert("content-type", http::HeaderValue::from_static("text/plain"));
        let content = content(&headers);
        assert_eq!(content.user["u"], "\u{FFFD} ü");
        assert_eq!(content.content_type.as_deref(), Some("text/plain"));
    }
}
