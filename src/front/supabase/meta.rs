//! What a request says about the bytes: type, caching, metadata, robots.
//!
//! **Invariant:** what is stored can be sent again as a header, or is JSON that only JSON carries.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::{HeaderValue, header};
use serde_json::{Map, Value};

use super::Asked;
use super::error::{Refusal, Result};
use super::row::{UNCACHED, UNTYPED};
use crate::config::limits::{DOCUMENT_BYTES_MAX, METADATA_BYTES_MAX};
use crate::model::object::Content;

/// Rules of robots without a value.
const ROBOTS: [&str; 8] =
    ["all", "noindex", "nofollow", "none", "nosnippet", "indexifembedded", "notranslate", "noimageindex"];

/// What the headers of an upload say.
pub(super) fn of_headers(asked: &Asked) -> Result<Content> {
    let kind = match asked.head.headers.get(header::CONTENT_TYPE) {
        None => UNTYPED.to_owned(),
        Some(value) => media_type(value.to_str().unwrap_or_default())?,
    };
    let cache = match asked.head.headers.get(header::CACHE_CONTROL) {
        None => UNCACHED.to_owned(),
        Some(value) => value.to_str().map_err(|_| Refusal::invalid("Invalid Cache-Control header"))?.to_owned(),
    };
    let mut content = Content { content_type: Some(kind), cache_control: Some(cache), ..Content::default() };
    content.robots = robots(asked)?;
    content.encoding = asked.header("content-encoding").map(str::to_owned);
    if let Some(document) = header_document(asked)? {
        describe(&mut content, document);
    }
    Ok(content)
}

/// Whether a text is a word of HTTP.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !b"/;,\"()<>@:\\[]?={}".contains(&b))
}

/// A media type, which must look like one.
pub(super) fn media_type(text: &str) -> Result<String> {
    let kind = text.split(';').next().unwrap_or_default().trim();
    let legal = kind.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
    if legal && HeaderValue::from_str(text).is_ok() && text.is_ascii() {
        return Ok(text.to_owned());
    }
    Err(Refusal::media_type("Invalid Content-Type header"))
}

/// Whether a text is a number of seconds as caching has it.
pub(super) fn is_seconds(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// The metadata of the header, in base64. What cannot be read is passed over.
pub(super) fn header_document(asked: &Asked) -> Result<Option<Map<String, Value>>> {
    let Some(text) = asked.header("x-metadata") else { return Ok(None) };
    let Some(bytes) = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok() else { return Ok(None) };
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(too_much());
    }
    Ok(serde_json::from_slice::<Value>(&bytes).ok().and_then(|value| match value {
        Value::Object(map) => Some(map),
        _ => None,
    }))
}

/// Metadata in JSON. What cannot be read is passed over.
pub(super) fn document(text: &str) -> Result<Option<Map<String, Value>>> {
    if text.len() > DOCUMENT_BYTES_MAX {
        return Err(too_much());
    }
    Ok(serde_json::from_str::<Map<String, Value>>(text).ok())
}

fn too_much() -> Refusal {
    Refusal::new(413, "Payload too large", "The user_metadata exceeded the maximum allowed size", "EntityTooLarge")
}

/// Keeps metadata: as it was given, and what headers can carry for the interfaces that have nothing else.
pub(super) fn describe(content: &mut Content, document: Map<String, Value>) {
    let mut user = BTreeMap::new();
    let mut left = METADATA_BYTES_MAX;
    for (name, value) in &document {
        let name = name.to_ascii_lowercase();
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let token = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let fits = left.checked_sub(name.len() + text.len());
        if let Some(rest) = fits.filter(|_| token && !text.chars().any(char::is_control)) {
            left = rest;
            user.insert(name, text);
        }
    }
    content.document = (!document.is_empty()).then(|| Value::Object(document).to_string());
    content.user = user;
}

fn robots(asked: &Asked) -> Result<Option<String>> {
    let Some(value) = asked.head.headers.get("x-robots-tag") else { return Ok(None) };
    let text = value.to_str().unwrap_or("?");
    for rule in text.split(',').map(str::trim) {
        if !is_robots_rule(rule) {
            let message = format!("Invalid X-Robots-Tag header: Invalid X-Robots-Tag rule: \"{rule}\"");
            return Err(Refusal::new(400, "invalid_x_robots_tag", message, "InvalidRequest"));
        }
    }
    Ok(Some(text.to_owned()))
}

fn is_robots_rule(rule: &str) -> bool {
    let number = |text: &str| text.trim().strip_prefix('-').unwrap_or(text.trim()).parse::<u32>().is_ok();
    match rule.split_once(':') {
        None => ROBOTS.contains(&rule),
        Some(("max-snippet" | "max-video-preview", value)) => number(value),
        Some(("max-image-preview", value)) => ["none", "standard", "large"].contains(&value.trim()),
        Some(("unavailable_after", value)) => !value.trim().is_empty(),
        Some((bot, rest)) => {
            let name = !bot.is_empty() && bot.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
            let rest = rest.trim();
            name && (ROBOTS.contains(&rest) || rest.contains(':') && is_robots_rule(rest) && !rest.starts_with(bot))
        }
    }
}
