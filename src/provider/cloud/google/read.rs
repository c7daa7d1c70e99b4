//! Reading bytes with what is known of them, in one request. Only the XML protocol gives metadata along with the bytes,
//! in headers.
//!
//! `Accept-Encoding: gzip` is always sent, as the service would unpack bytes whose content encoding says gzip for whoever
//! does not say that he can; then neither size nor range would be those of the object.
//!
//! **Invariant:** the bytes are those of the range that was asked for, as they are stored, of the generation in the tag.

use std::ops::Range;

use http::header::{CONTENT_LENGTH, CONTENT_RANGE};
use http::{HeaderMap, Method, StatusCode};
use time::PrimitiveDateTime;
use time::macros::format_description;

use super::Google;
use super::json::{digest, number, strange};
use crate::model::object::Content;
use crate::model::range::content_range;
use crate::model::time::Timestamp;
use crate::provider::cloud::service::{At, Facts};
use crate::provider::cloud::transport::Call;
use crate::provider::{Blocks, Result};

/// What the headers of user metadata begin with.
const META: &str = "x-goog-meta-";
/// What the service answers for an object whose cache control nobody set.
const UNSET_CACHE_CONTROL: [&str; 2] = ["private, max-age=0", "public, max-age=3600"];

impl Google {
    pub(super) async fn read(&self, at: At<'_>, range: Range<u64>) -> Result<(Facts, Blocks)> {
        let last = range.end.checked_sub(1).filter(|last| *last >= range.start);
        let last = last.ok_or_else(|| strange("an empty range cannot be asked for"))?;
        let call = Call::new(Method::GET, self.endpoint.bytes(at))
            .header("range", &format!("bytes={}-{last}", range.start))?
            .header("accept-encoding", "gzip")?;
        let reply = self.ask(&call).await?;
        let size = whole_size(reply.status, &reply.headers, &range)?;
        let facts = facts(&reply.headers, size)?;
        Ok((facts, reply.blocks(range.end.min(size).saturating_sub(range.start))))
    }
}

/// The size of the object of which a range was answered.
fn whole_size(status: StatusCode, headers: &HeaderMap, range: &Range<u64>) -> Result<u64> {
    let length = number(text(headers, CONTENT_LENGTH.as_str()))?;
    if status == StatusCode::PARTIAL_CONTENT {
        let (came, size) = content_range(text(headers, CONTENT_RANGE.as_str()))
            .ok_or_else(|| strange("a part of the body has no range"))?;
        if came != (range.start..range.end.min(size)) || length != came.end - came.start {
            return Err(strange("another range than was asked for"));
        }
        return Ok(size);
    }
    // All of it is the range, if the range is all of it.
    if range.start > 0 || length > range.end {
        return Err(strange("the whole body instead of a range"));
    }
    let stored = text(headers, "x-goog-stored-content-length");
    if stored.is_empty() || number(stored)? == length { Ok(length) } else { Err(strange("the body was transformed")) }
}

fn facts(headers: &HeaderMap, size: u64) -> Result<Facts> {
    let tag = text(headers, "x-goog-generation");
    number(tag)?;
    let composed = headers.contains_key("x-goog-component-count");
    let md5 = headers.get_all("x-goog-hash").iter().filter_map(|value| value.to_str().ok());
    let md5 = md5.flat_map(|value| value.split(',')).find_map(|hash| hash.trim().strip_prefix("md5="));
    let header = |name: &str| Some(text(headers, name)).filter(|value| !value.is_empty()).map(str::to_owned);
    let content = Content {
        content_type: header("content-type"),
        cache_control: header("cache-control").filter(|value| !UNSET_CACHE_CONTROL.contains(&value.as_str())),
        disposition: header("content-disposition"),
        encoding: header("content-encoding"),
        language: header("content-language"),
        user: headers
            .iter()
            .filter_map(|(name, value)| {
                let name = name.as_str().strip_prefix(META)?;
                Some((name.to_owned(), std::str::from_utf8(value.as_bytes()).ok()?.to_owned()))
            })
            .collect(),
        ..Content::default()
    };
    Ok(Facts {
        tag: tag.to_owned(),
        digest: md5.filter(|_| !composed).and_then(digest),
        etag: None,
        size,
        modified: date(text(headers, "last-modified"))?,
        content,
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok()).unwrap_or_default()
}

/// A date as HTTP writes it (RFC 9110 section 5.6.7).
fn date(text: &str) -> Result<Timestamp> {
    let form =
        format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    let at = PrimitiveDateTime::parse(text, form).map_err(|_| strange("it says no date where one belongs"))?;
    Ok(Timestamp::from_utc(at.assume_utc()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        headers
    }

    #[test]
    fn a_range_is_the_one_asked_for() {
        let part = |range: &str, length: &str, asked: Range<u64>| {
            let headers = headers(&[("content-range", range), ("content-length", length)]);
            whole_size(StatusCode::PARTIAL_CONTENT, &headers, &asked).ok()
        };
        assert_eq!(part("bytes 2-4/10", "3", 2..5), Some(10));
        assert_eq!(part("bytes 2-9/10", "8", 2..50), Some(10), "shorter than was thought");
        for (range, length, asked) in [
            ("bytes 2-4/10", "2", 2..5),
            ("bytes 1-4/10", "4", 2..5),
            ("bytes 2-3/10", "2", 2..5),
            ("bytes 4-2/10", "3", 2..5),
            ("bytes 2-4/*", "3", 2..5),
        ] {
            assert_eq!(part(range, length, asked), None, "{range}");
        }
        let whole = |length: &str, stored: &str, asked: Range<u64>| {
            let headers = headers(&[("content-length", length), ("x-goog-stored-content-length", stored)]);
            whole_size(StatusCode::OK, &headers, &asked).ok()
        };
        assert_eq!(whole("10", "10", 0..10), Some(10));
        assert_eq!(whole("10", "7", 0..10), None, "unpacked on the way");
        assert_eq!(whole("10", "10", 0..9), None);
        assert_eq!(whole("10", "10", 1..10), None);
    }

    #[test]
    fn headers_are_facts() {
        let headers = headers(&[
            ("x-goog-generation", "1777369647609324"),
            ("x-goog-hash", "crc32c=kUU6vA==,md5=XUFAKrxLKna5cZ2REBfFkg=="),
            ("last-modified", "Tue, 28 Apr 2026 09:47:27 GMT"),
            ("cache-control", "private, max-age=0"),
            ("content-type", "text/plain"),
            ("x-goog-meta-a_b", "1"),
            ("x-goog-meta-c", "\u{fc}"),
        ]);
        let facts = facts(&headers, 5).expect("facts");
        assert_eq!((facts.tag.as_str(), facts.modified.seconds()), ("1777369647609324", 1_777_369_647));
        assert_eq!(facts.digest.as_deref(), Some("5d41402abc4b2a76b9719d911017c592"));
        assert_eq!(facts.content.cache_control, None);
        assert_eq!(facts.content.user.into_keys().collect::<Vec<_>>(), ["a_b", "c"]);
    }
}
