//! What fronts of one listener take from requests and give to answers alike: bodies in frames, conditions, escapes, and
//! what browsers may do with what is stored.
//!
//! **Invariant:** a body that breaks off or stands still ends in an error and never early; a text with a broken escape is
//! no text.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::header::{
    CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

use super::dates;
use crate::config::limits::BODY_IDLE_SECONDS_MAX;
use crate::model::condition::{Conditions, IfRange, TagMatch};
use crate::store::BodyError;
use crate::store::request::{Body as Bytes, Frames};

/// The frames of a body, which end at the first error or when nothing comes any more.
pub(crate) fn frames(body: Body) -> Frames {
    let idle = Duration::from_secs(BODY_IDLE_SECONDS_MAX);
    let frames = body.into_data_stream();
    Box::pin(stream::unfold(Some(frames), move |frames| async move {
        let mut frames = frames?;
        match tokio::time::timeout(idle, frames.next()).await {
            Ok(None) => None,
            Ok(Some(Ok(frame))) => Some((Ok(frame), Some(frames))),
            Ok(Some(Err(_))) => Some((Err(BodyError::Gone), None)),
            Err(_) => Some((Err(BodyError::Timeout), None)),
        }
    }))
}

/// The frames of a body that may have so many bytes.
pub(crate) fn limited(frames: Frames, most: u64) -> Frames {
    Box::pin(stream::unfold(Some((frames, most)), |state| async move {
        let (mut frames, left) = state?;
        match frames.next().await? {
            Ok(frame) => match left.checked_sub(frame.len() as u64) {
                Some(left) => Some((Ok(frame), Some((frames, left)))),
                None => Some((Err(BodyError::TooLarge), None)),
            },
            Err(error) => Some((Err(error), None)),
        }
    }))
}

/// The length that a body says it has.
pub(crate) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The state of which a range is wanted, if a request names one. A weak tag and what is neither tag nor date name none
/// that is there.
pub(crate) fn if_range(headers: &HeaderMap) -> Option<IfRange> {
    let text = headers.get(IF_RANGE)?.to_str().unwrap_or_default().trim();
    let tag = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    Some(dates::parse(text).map_or_else(|| IfRange::Tag(tag.to_owned()), IfRange::Date))
}

/// The bytes of an object as a body.
pub(crate) fn outgoing(body: Bytes) -> Body {
    match body {
        Bytes::Whole(bytes) => Body::from(bytes),
        Bytes::Blocks(blocks) => Body::from_stream(blocks.map_err(axum::Error::new)),
    }
}

/// The conditions of a request.
pub(crate) fn conditions(headers: &HeaderMap) -> Conditions {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    Conditions {
        if_match: text(IF_MATCH).map(TagMatch::parse),
        if_none_match: text(IF_NONE_MATCH).map(TagMatch::parse),
        if_modified_since: text(IF_MODIFIED_SINCE).and_then(dates::parse),
        if_unmodified_since: text(IF_UNMODIFIED_SINCE).and_then(dates::parse),
        ..Conditions::default()
    }
}

/// Sets a header; what cannot be one is left out.
pub(crate) fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The rights of a stored page that is only shown: it may have styles of its own, and can run and load nothing.
pub(crate) const STILL: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox";
/// The rights of a stored page that works: it runs, but in an origin that no other page has, so whoever opens it, it cannot
/// act in his name at the interfaces of the listener.
pub(crate) const APART: &str = "sandbox allow-downloads allow-forms allow-modals allow-popups \
                                allow-popups-to-escape-sandbox allow-scripts allow-top-navigation-by-user-activation";

/// Gives stored bytes these rights and no more, where a browser would run what is of the type that the headers say. A policy
/// that is there stays beside them: a browser holds a page to both.
pub(crate) fn confine(headers: &mut HeaderMap, rights: &'static str) {
    if headers.get(CONTENT_TYPE).is_some_and(|kind| may_run(kind.as_bytes())) {
        headers.append(CONTENT_SECURITY_POLICY, HeaderValue::from_static(rights));
    }
}

/// Types that browsers run, beside those that end in `xml`.
const RUN: [&[u8]; 4] = [b"text/html", b"text/xsl", b"text/rdf", b"multipart/x-mixed-replace"];

/// Whether browsers run what is of a type. Each word is looked at, as of several types a browser takes one, and does not
/// ask what stands behind it.
fn may_run(kind: &[u8]) -> bool {
    let kind = kind.to_ascii_lowercase();
    let mut words = kind.split(|byte| !byte.is_ascii_alphanumeric() && !b"/+-._".contains(byte));
    words.any(|word| word.ends_with(b"xml") || RUN.contains(&word))
}

/// A text without its escapes; `None` if one of them is none, or what comes out is no text.
pub(crate) fn decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    let broken = bytes.iter().enumerate().any(|(at, byte)| *byte == b'%' && !(hex(at + 1) && hex(at + 2)));
    if broken {
        return None;
    }
    percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned)
}

/// The parameters of a query, without their escapes; what is no text holds other characters in its place.
pub(crate) fn parameters(query: Option<&str>) -> impl Iterator<Item = (String, String)> {
    let plain = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs.map(move |pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (plain(name), plain(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_browsers_run_is_known_by_its_type() {
        for kind in [
            "text/html",
            "Text/HTML; charset=x",
            "text/plain, text/html",
            "text/html(x",
            "text/html; x=\u{fc}",
            "text/xml",
            "text/xsl",
            "application/xhtml+xml",
            "image/svg+xml;charset=utf-8",
        ] {
            assert!(may_run(kind.as_bytes()), "{kind}");
        }
        for kind in [
            "",
            "text/plain",
            "text/javascript",
            "application/pdf",
            "image/png",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ] {
            assert!(!may_run(kind.as_bytes()), "{kind}");
        }
    }

    #[test]
    fn a_policy_of_its_own_stays_beside_the_rights() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src *"));
        confine(&mut headers, APART);
        assert_eq!(headers.get_all(CONTENT_SECURITY_POLICY).iter().count(), 1);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        confine(&mut headers, APART);
        let policies: Vec<_> = headers.get_all(CONTENT_SECURITY_POLICY).iter().collect();
        assert_eq!(policies, ["default-src *", APART]);
        assert!(!APART.contains("allow-same-origin"));
    }
}
