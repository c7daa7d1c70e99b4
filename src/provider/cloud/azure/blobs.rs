//! Blobs as wholes: looks, reads, writes, removals and copies.
//!
//! **Invariant:** conditions are judged by the service in the step that they are for; a blob that has snapshots stays, and
//! they with it.

use std::io;
use std::ops::Range;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, Method};
use tokio::time::{Instant, sleep};

use super::blocks::Whole;
use super::{Azure, date, headers, names, refusal, xml};
use crate::config::limits::CLOUD_COPY_SECONDS_MAX;
use crate::model::object::Content;
use crate::provider::cloud::payload::Payload;
use crate::provider::cloud::service::{At, Facts, When};
use crate::provider::cloud::transport::{Call, Reply};
use crate::provider::{Blocks, Error, Result};

/// Milliseconds between two looks at a copy that is under way, at first and at most.
const LOOK_MILLIS: (u64, u64) = (50, 2000);

impl Azure {
    pub(super) async fn look(&self, at: At<'_>) -> Result<Facts> {
        let call = Call::new(Method::HEAD, self.readable(at)?);
        let reply = refusal::expect(self.send(&call).await?, 200).await?;
        facts(&reply, reply.header("content-length").parse().ok())
    }

    pub(super) async fn read(&self, at: At<'_>, range: Range<u64>) -> Result<(Facts, Blocks)> {
        let asked = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        let call = Call::new(Method::GET, self.readable(at)?).header("x-ms-range", &asked)?;
        let reply = self.send(&call).await?;
        if !matches!(reply.status.as_u16(), 200 | 206) {
            return Err(refusal::refusal(reply).await);
        }
        let (given, size) = given(&reply).ok_or_else(|| unclear("which range it gives"))?;
        let facts = facts(&reply, Some(size))?;
        if given != (range.start..range.end.min(size)) {
            return Err(unclear("the range that was asked for"));
        }
        Ok((facts, reply.blocks(given.end - given.start)))
    }

    pub(super) async fn write(&self, at: At<'_>, body: &Payload, content: &Content, when: When<'_>) -> Result<String> {
        let md5 = BASE64.encode(body.md5());
        let call = Call::new(Method::PUT, self.writable(at)?)
            .header("x-ms-blob-type", "BlockBlob")?
            .header("content-md5", &md5)?
            .header("x-ms-blob-content-md5", &md5)?;
        let call = conditional(headers::add(call, content)?, when)?.body(body.clone());
        let reply = refusal::expect(self.send(&call).await?, 201).await?;
        tag(&reply)
    }

    pub(super) async fn remove(&self, at: At<'_>, when: When<'_>) -> Result<()> {
        if !names::is_plain(at.name) {
            return Ok(());
        }
        // Nothing is said of snapshots: the service refuses to remove a blob that has some. Ours have none.
        let call = Call::new(Method::DELETE, self.address(at));
        let reply = self.send(&conditional(call, when)?).await?;
        if reply.header("x-ms-error-code") == "BlobNotFound" {
            return Ok(());
        }
        match refusal::expect(reply, 202).await.map(drop) {
            // The condition is judged before it is seen whether anything is there.
            Err(Error::StampMismatch) => match self.look(at).await {
                Ok(_) => Err(Error::StampMismatch),
                Err(Error::NotFound) => Ok(()),
                Err(error) => Err(error),
            },
            ended => ended,
        }
    }

    /// Copies. What lies at the name and cannot be written over (an append or page blob, or one in the archive) goes first,
    /// if the condition names it: whoever named it has judged it, and the source is still there.
    pub(super) async fn copied(
        &self,
        from: At<'_>,
        source: &Facts,
        to: At<'_>,
        content: &Content,
        when: When<'_>,
    ) -> Result<()> {
        let error = match self.copy_over(from, source, to, content, when).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let When::Is(tag) = when else { return Err(error) };
        if !self.is_in_the_way(&error, to).await? {
            return Err(error);
        }
        self.remove(to, When::Is(tag)).await?;
        self.copy_over(from, source, to, content, When::Absent).await
    }

    /// Whether a copy was refused for the kind of what lies at its name, and not for that of its source.
    async fn is_in_the_way(&self, error: &Error, to: At<'_>) -> Result<bool> {
        if !matches!(error, Error::Archived) {
            return Ok(refusal::is_other_type(error));
        }
        let reply = refusal::expect(self.send(&Call::new(Method::HEAD, self.readable(to)?)).await?, 200).await?;
        Ok(reply.header("x-ms-access-tier").eq_ignore_ascii_case("Archive"))
    }

    /// A copy with the headers of its source is one step of the service. One with others is put together anew, as they
    /// could only be set after the copy was seen.
    async fn copy_over(
        &self,
        from: At<'_>,
        source: &Facts,
        to: At<'_>,
        content: &Content,
        when: When<'_>,
    ) -> Result<()> {
        let same = headers::properties(content) == headers::properties(&source.content);
        // Without any metadata given, a copy has that of its source.
        let told = !headers::metadata(content).is_empty() || source.content.user.is_empty();
        if !same || !told {
            let pieces = [Whole { from, tag: &source.tag, size: source.size }];
            return self.gather(to, &pieces, content, when, source.digest.as_deref()).await;
        }
        let from = self.signer.copyable(self.readable(from)?).await?;
        let call = Call::new(Method::PUT, self.writable(to)?)
            .header("x-ms-copy-source", &from)?
            .header("x-ms-source-if-match", &source.tag)?;
        let call = conditional(headers::add_metadata(call, content)?, when)?;
        let reply = refusal::expect(self.send(&call).await?, 202).await?;
        let id = reply.header("x-ms-copy-id").to_owned();
        match reply.header("x-ms-copy-status") {
            "success" => Ok(()),
            "pending" => self.copy_ends(to, &id).await,
            other => Err(unclear(&format!("how the copy stands: {other}"))),
        }
    }

    /// Waits for the end of a copy. One that fails leaves nothing.
    async fn copy_ends(&self, to: At<'_>, id: &str) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(CLOUD_COPY_SECONDS_MAX);
        let mut wait = LOOK_MILLIS.0;
        let call = Call::new(Method::HEAD, self.address(to));
        loop {
            sleep(Duration::from_millis(wait)).await;
            wait = (wait * 2).min(LOOK_MILLIS.1);
            let reply = refusal::expect(self.send(&call).await?, 200).await?;
            // Somebody has written over it: the copy was there, and then was replaced or given up for that.
            if reply.header("x-ms-copy-id") != id {
                return Ok(());
            }
            match reply.header("x-ms-copy-status") {
                "success" => return Ok(()),
                "pending" if Instant::now() < end => {}
                "pending" => self.give_up_copy(to, id).await?,
                _ => {
                    let why = io::Error::other("the service gave up a copy");
                    // What it leaves is an empty blob.
                    self.remove(to, When::Is(&tag(&reply)?)).await?;
                    return Err(Error::Unavailable(why));
                }
            }
        }
    }

    async fn give_up_copy(&self, to: At<'_>, id: &str) -> Result<()> {
        let uri = format!("{}?comp=copy&copyid={}", self.address(to), names::query(id));
        let call = Call::new(Method::PUT, uri).header("x-ms-copy-action", "abort")?;
        let reply = self.send(&call).await?;
        // It ended meanwhile.
        if reply.header("x-ms-error-code") == "NoPendingCopyOperation" {
            return Ok(());
        }
        refusal::expect(reply, 204).await.map(drop)
    }
}

/// Adds a condition on what is there.
pub(super) fn conditional(call: Call, when: When<'_>) -> Result<Call> {
    match when {
        When::Always => Ok(call),
        When::Absent => call.header("if-none-match", "*"),
        When::Is(tag) => call.header("if-match", tag),
    }
}

/// The tag of what was written.
pub(super) fn tag(reply: &Reply) -> Result<String> {
    let tag = reply.header("etag");
    if tag.is_empty() { Err(unclear("the tag")) } else { Ok(tag.to_owned()) }
}

fn unclear(what: &str) -> Error {
    Error::Failed(io::Error::other(format!("the service's answer does not say {what}")))
}

fn facts(reply: &Reply, size: Option<u64>) -> Result<Facts> {
    if reply.header("x-ms-copy-status") == "pending" {
        return Err(Error::Unavailable(io::Error::other("a copy to this name is under way")));
    }
    Ok(Facts {
        tag: tag(reply)?,
        digest: digest(&reply.headers, reply.status.as_u16() == 206),
        etag: None,
        size: size.ok_or_else(|| unclear("the size"))?,
        modified: date::parsed(reply.header("last-modified")).unwrap_or_default(),
        content: headers::content(&reply.headers),
    })
}

/// The MD5 of the whole blob: of a part, `Content-MD5` is that of the part.
fn digest(headers: &HeaderMap, part: bool) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let whole = text("x-ms-blob-content-md5");
    let whole = if part { whole } else { whole.or_else(|| text("content-md5")) };
    xml::digest(whole?)
}

/// The range that an answer gives, and the size of the whole.
fn given(reply: &Reply) -> Option<(Range<u64>, u64)> {
    if reply.status.as_u16() == 200 {
        let size = reply.header("content-length").parse().ok()?;
        return Some((0..size, size));
    }
    let (range, size) = reply.header("content-range").strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let last: u64 = last.parse().ok()?;
    Some((first.parse().ok()?..last.checked_add(1)?, size.parse().ok()?))
}
