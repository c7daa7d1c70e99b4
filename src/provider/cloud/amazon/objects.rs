//! Looking, reading, writing, removing and listing, each in one request.
//!
//! **Invariant:** a range that comes back is the one that was asked for; a write with a condition is never repeated
//! without it, but where the service does not know conditions.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{Method, StatusCode};

use super::Amazon;
use super::address::{decoded, value};
use super::facts::{digest, facts, is_sealed, listed_date, odd, tag, with_content};
use super::refusal::{Refusal, Refused, document, expect};
use super::xml::Element;
use crate::config::limits::CLOUD_EMPTY_PAGES_MAX;
use crate::model::object::Content;
use crate::model::range::content_range;
use crate::provider::cloud::payload::Payload;
use crate::provider::cloud::service::{At, Entry, Facts, Page, When};
use crate::provider::cloud::transport::{Call, Reply};
use crate::provider::{Blocks, Error, Result};

/// Tries of a write that met another one.
const CONFLICTS_MAX: u32 = 4;
/// Milliseconds between them, the first time.
const CONFLICT_MILLIS: u64 = 40;

impl Amazon {
    pub(super) async fn look(&self, at: At<'_>) -> Result<Facts> {
        let call = Call::new(Method::HEAD, self.address.name(at.container, at.name, ""));
        let reply = expect(self.send(&call).await?).await?;
        let size = reply.header("content-length").parse().map_err(|_| odd("there is no length"))?;
        self.seals.note(at.container, is_sealed(&reply.headers));
        facts(&reply.headers, size)
    }

    /// Reads a range, if what is there has the tag.
    pub(super) async fn read(&self, at: At<'_>, range: Range<u64>, tag: Option<&str>) -> Result<(Facts, Blocks)> {
        let last = range.end.checked_sub(1).filter(|last| *last >= range.start).ok_or_else(|| odd("an empty range"))?;
        let call = Call::new(Method::GET, self.address.name(at.container, at.name, ""));
        let mut call = call.header("range", &format!("bytes={}-{last}", range.start))?;
        if let Some(tag) = tag {
            call = call.header("if-match", tag)?;
        }
        let reply = expect(self.send(&call).await?).await?;
        let given = span(&reply)?;
        if given.start != range.start || given.end != range.end.min(given.size) {
            return Err(odd("another range than was asked for"));
        }
        self.seals.note(at.container, is_sealed(&reply.headers));
        let facts = facts(&reply.headers, given.size)?;
        Ok((facts, reply.blocks(given.end - given.start)))
    }

    pub(super) async fn write(&self, at: At<'_>, body: &Payload, content: &Content, when: When<'_>) -> Result<String> {
        let call = with_content(Call::new(Method::PUT, self.address.name(at.container, at.name, "")), content);
        let call = call.header("content-md5", &BASE64_STANDARD.encode(body.md5()))?.body(body.clone());
        etag(&self.send_when(at, when, &call).await?)
    }

    /// Sends a write with its condition.
    pub(super) async fn send_when(
        &self,
        at: At<'_>,
        when: When<'_>,
        call: &Call,
    ) -> std::result::Result<Reply, Refused> {
        let mut judged = !(matches!(when, When::Is(_)) && self.unjudged.load(Ordering::Relaxed));
        let mut conflicts = 0;
        loop {
            let call = match when {
                When::Always => call.clone(),
                When::Absent if judged => call.clone().header("if-none-match", "*")?,
                When::Is(tag) if judged => call.clone().header("if-match", tag)?,
                When::Absent | When::Is(_) => {
                    self.judge(at, when).await?;
                    call.clone()
                }
            };
            let reply = self.send(&call).await?;
            if reply.status.is_success() {
                return Ok(reply);
            }
            let refusal = Refusal::read(reply).await;
            if refusal.is_unserved() && judged && when != When::Always {
                judged = false;
                if !self.unjudged.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "this S3 service does not know conditions on writes: it is looked before it is written"
                    );
                }
                continue;
            }
            // An upload that met another write has to be made anew, a body only to be sent again.
            if refusal.is_conflict() && call.method == Method::PUT && conflicts < CONFLICTS_MAX {
                tokio::time::sleep(Duration::from_millis(CONFLICT_MILLIS << conflicts)).await;
                conflicts += 1;
                continue;
            }
            let gone = refusal.status == StatusCode::NOT_FOUND && !refusal.is_no_container() && !refusal.is_no_upload();
            if gone && matches!(when, When::Is(_)) {
                return Err(Error::StampMismatch.into());
            }
            return Err(Refused::Answer(refusal));
        }
    }

    /// Looks whether a condition is met that the service does not judge.
    async fn judge(&self, at: At<'_>, when: When<'_>) -> Result<()> {
        let met = match (self.look(at).await, when) {
            (Ok(_) | Err(Error::NotFound), When::Always) | (Err(Error::NotFound), When::Absent) => true,
            (Ok(found), When::Is(tag)) => found.tag == tag,
            (Ok(_), When::Absent) | (Err(Error::NotFound), When::Is(_)) => false,
            (Err(error), _) => return Err(error),
        };
        if met { Ok(()) } else { Err(Error::StampMismatch) }
    }

    pub(super) async fn remove(&self, at: At<'_>, when: When<'_>) -> Result<()> {
        // Not every service judges it, and some answer as if they had.
        if when == When::Absent || when != When::Always && !self.address.amazon {
            match self.look(at).await {
                Err(Error::NotFound) => return Ok(()),
                Err(error) => return Err(error),
                Ok(found) if when == When::Is(&found.tag) => {}
                Ok(_) => return Err(Error::StampMismatch),
            }
        }
        let plain = Call::new(Method::DELETE, self.address.name(at.container, at.name, ""));
        let call = if let When::Is(tag) = when { plain.clone().header("if-match", tag)? } else { plain.clone() };
        let mut reply = self.send(&call).await?;
        if reply.status == StatusCode::NOT_IMPLEMENTED && !self.address.amazon {
            reply = self.send(&plain).await?;
        }
        if reply.status.is_success() {
            return Ok(());
        }
        let refusal = Refusal::read(reply).await;
        match refusal.error() {
            Error::NotFound if !refusal.is_no_container() => Ok(()),
            // The condition is not met by nothing either.
            Error::StampMismatch if matches!(self.look(at).await, Err(Error::NotFound)) => Ok(()),
            error => Err(error),
        }
    }

    pub(super) async fn page(&self, container: &str, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page> {
        let limit = limit.clamp(1, 1000);
        let mut query = format!("encoding-type=url&list-type=2&max-keys={limit}");
        if !prefix.is_empty() {
            query.push_str(&format!("&prefix={}", value(prefix)));
        }
        let mut place = after.filter(|after| !after.is_empty()).map(|after| format!("&start-after={}", value(after)));
        for _ in 0..CLOUD_EMPTY_PAGES_MAX {
            let query = format!("{query}{}", place.unwrap_or_default());
            let call = Call::new(Method::GET, self.address.container(container, &query));
            let root = document(self.send(&call).await?).await?;
            let mut entries = entries(&root)?;
            entries.retain(|entry| {
                after.is_none_or(|after| entry.name.as_str() > after) && entry.name.starts_with(prefix)
            });
            if self.seals.prevail(container) {
                entries.iter_mut().for_each(|entry| entry.digest = None);
            }
            let more = root.is_true("IsTruncated");
            if !more || !entries.is_empty() {
                return Ok(Page { entries, more, next: None });
            }
            // A page of nothing but what cannot be shown; only the service knows where the next one begins.
            let token = root.text("NextContinuationToken");
            if token.is_empty() {
                return Err(odd("a page is empty and has no next one"));
            }
            place = Some(format!("&continuation-token={}", value(token)));
        }
        Err(odd("a listing does not end"))
    }
}

/// The tag in the head of an answer.
pub(super) fn etag(reply: &Reply) -> Result<String> {
    match reply.header("etag") {
        "" => Err(odd("there is no ETag")),
        etag => Ok(tag(etag)),
    }
}

/// The part of an object that an answer holds.
struct Span {
    start: u64,
    end: u64,
    /// Of the whole object.
    size: u64,
}

fn span(reply: &Reply) -> Result<Span> {
    let length: Option<u64> = reply.header("content-length").parse().ok();
    let span = if reply.status == StatusCode::PARTIAL_CONTENT {
        content_range(reply.header("content-range")).map(|(Range { start, end }, size)| Span { start, end, size })
    } else {
        length.map(|size| Span { start: 0, end: size, size })
    };
    let span = span.ok_or_else(|| odd("it does not say which range it is"))?;
    match length {
        Some(length) if length != span.end - span.start => Err(odd("its length is not that of its range")),
        Some(_) | None => Ok(span),
    }
}

fn entries(root: &Element) -> Result<Vec<Entry>> {
    let encoded = root.text("EncodingType").eq_ignore_ascii_case("url");
    let entry = |content: &Element| {
        let key = content.text("Key");
        let name = if encoded { decoded(key) } else { Some(key.to_owned()) };
        let Some(name) = name else {
            tracing::debug!(key, "a name that is no text is not shown");
            return Ok(None);
        };
        let size = content.text("Size").trim().parse().map_err(|_| odd("an entry has no size"))?;
        let modified = listed_date(content.text("LastModified")).ok_or_else(|| odd("an entry has no date"))?;
        Ok(Some(Entry { name, digest: digest(content.text("ETag")), size, modified }))
    };
    root.all("Contents").filter_map(|content| entry(content).transpose()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages() {
        let text = "<ListBucketResult><EncodingType>url</EncodingType>\
            <Contents><Key>a%2Fb+c%2B%01</Key><LastModified>2026-01-01T00:00:00.5Z</LastModified>\
            <ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>3</Size></Contents>\
            <Contents><Key>%FF</Key></Contents>\
            <Contents><Key>m</Key><LastModified>2026-01-01T00:00:00Z</LastModified><ETag>\"x-2\"</ETag><Size>4</Size></Contents>\
            </ListBucketResult>";
        let all = entries(&Element::parse(text.as_bytes()).expect("XML")).expect("entries");
        let seen: Vec<_> = all.iter().map(|e| (e.name.as_str(), e.size, e.digest.is_some())).collect();
        assert_eq!(seen, [("a/b c+\u{1}", 3, true), ("m", 4, false)]);
        let raw = text.replace("<EncodingType>url</EncodingType>", "").replace("%FF", "n").replace("<Key>n</Key>", "");
        assert!(entries(&Element::parse(raw.as_bytes()).expect("XML")).is_err(), "an entry without a size");
    }
}
