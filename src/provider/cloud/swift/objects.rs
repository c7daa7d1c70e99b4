//! Objects in one piece, and what is looked at before a name is written.
//!
//! Swift judges no condition but that nothing is at a name, and that only where bytes are sent: all others are a look
//! before the write. The look also finds the segments that a write makes useless.
//!
//! **Invariant:** what a write or a removal makes useless is freed only after it succeeded. A copy names the `ETag` of
//! its source, so one that was replaced meanwhile is refused.

use std::ops::Range;

use http::{Method, StatusCode};

use super::Swift;
use super::call::{is_missing, path, refusal};
use super::headers::{Form, Seen, dress, fresh_write, seen, tag, unquoted, untag};
use super::segments::is_segment;
use super::slo::Remains;
use crate::model::object::Content;
use crate::model::range::content_range;
use crate::provider::cloud::payload::Payload;
use crate::provider::cloud::service::{At, Facts, When};
use crate::provider::cloud::transport::Reply;
use crate::provider::{Blocks, Error, Result};

/// The source of a copy: what must still have the `ETag`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) at: At<'a>,
    pub(super) etag: &'a str,
    /// Bytes.
    pub(super) size: u64,
}

impl Swift {
    /// What is at a name, on the newest of its replicas.
    pub(super) async fn look(&self, at: At<'_>) -> Result<Seen> {
        let call = self.for_object(Method::HEAD, at, "").await?.header("x-newest", "true")?;
        let reply = self.ask(&call).await?;
        let size = reply.header("content-length").parse();
        Ok(seen(&reply.headers, size.map_err(|_| Error::Failed(std::io::Error::other("an object without a size")))?))
    }

    pub(super) async fn read(&self, at: At<'_>, range: Range<u64>) -> Result<(Facts, Blocks)> {
        let last = range.end.saturating_sub(1);
        let asked = format!("bytes={}-{last}", range.start);
        let reply = self.ask(&self.for_object(Method::GET, at, "").await?.header("range", &asked)?).await?;
        let size = whole_size(&reply, &range)?;
        Ok((seen(&reply.headers, size).facts, reply.blocks(range.end.min(size).saturating_sub(range.start))))
    }

    /// What a write of a name leaves behind, after a look whether it may be written at all.
    pub(super) async fn before(&self, at: At<'_>, when: When<'_>) -> Result<Remains> {
        let seen = match self.look(at).await {
            Ok(seen) => seen,
            Err(Error::NotFound) if matches!(when, When::Is(_)) => return Err(Error::StampMismatch),
            Err(Error::NotFound) => return Ok(Remains::default()),
            Err(error) => return Err(error),
        };
        let holds = match when {
            When::Always => true,
            When::Absent => false,
            When::Is(tag) => seen.facts.tag == tag,
        };
        if !holds {
            return Err(Error::StampMismatch);
        }
        // What lies among the segments is never more than itself.
        if seen.form == Form::Static && !is_segment(at.name) { self.remains(at).await } else { Ok(Remains::default()) }
    }

    pub(super) async fn write(&self, at: At<'_>, body: &Payload, content: &Content, when: When<'_>) -> Result<String> {
        let absent = when == When::Absent;
        let remains = if absent { Remains::default() } else { self.before(at, when).await? };
        let write = fresh_write();
        let md5 = body.md5_hex();
        let mut call = self.for_object(Method::PUT, at, "").await?.header("etag", &md5)?.body(body.clone());
        if absent {
            call = call.header("if-none-match", "*")?;
        }
        let reply = self.ask(&dress(call, at.name, content, self.limits().await?, &write)?).await?;
        let etag = Some(unquoted(reply.header("etag"))).filter(|etag| !etag.is_empty()).unwrap_or(&md5);
        let tag = tag(Form::Plain, etag, &write);
        self.free(at, remains, None).await;
        Ok(tag)
    }

    pub(super) async fn remove(&self, at: At<'_>, when: When<'_>) -> Result<()> {
        let remains = match self.before(at, when).await {
            Err(Error::StampMismatch) if matches!(when, When::Is(_)) => {
                // Nothing may be there, and then nothing is to be done.
                return match self.look(at).await {
                    Err(Error::NotFound) => Ok(()),
                    Ok(_) => Err(Error::StampMismatch),
                    Err(error) => Err(error),
                };
            }
            remains => remains?,
        };
        self.remove_plainly(at).await?;
        self.free(at, remains, None).await;
        Ok(())
    }

    /// Removes what is at a name, and nothing that it lists.
    pub(super) async fn remove_plainly(&self, at: At<'_>) -> Result<()> {
        let reply = self.send(&self.for_object(Method::DELETE, at, "").await?).await?;
        if reply.status.is_success() || is_missing(&reply) { Ok(()) } else { Err(refusal(reply).await) }
    }

    pub(super) async fn duplicate(
        &self,
        from: At<'_>,
        source: &Facts,
        to: At<'_>,
        content: &Content,
        when: When<'_>,
    ) -> Result<()> {
        let remains = self.before(to, when).await?;
        let (form, etag) = untag(&source.tag);
        let source = Source { at: from, etag, size: source.size };
        if form == Form::Plain {
            self.copy_plain(source, to, content).await?;
            self.free(to, remains, None).await;
            return Ok(());
        }
        // What shows no digest goes on to show none, so a copy of segments is one of segments, however few.
        let handle = self.begin_segments(to).await?;
        match self.gather(source, to, &handle, content).await {
            Ok(_) => {
                self.free(to, remains, Some(&handle)).await;
                Ok(())
            }
            Err(error) => Err(self.give_up_after(to, &handle, error).await),
        }
    }

    async fn copy_plain(&self, source: Source<'_>, to: At<'_>, content: &Content) -> Result<()> {
        let call = self.for_object(Method::PUT, to, "").await?.moving(source.size);
        let call = call.header("x-copy-from", &path(source.at))?.header("x-fresh-metadata", "true")?;
        let call = call.header("if-match", source.etag)?;
        let reply = self.send(&dress(call, to.name, content, self.limits().await?, &fresh_write())?).await?;
        self.copied(reply, source).await.map(drop)
    }

    /// Copies a range into a segment and returns its `ETag`.
    pub(super) async fn copy_range(&self, source: Source<'_>, range: Range<u64>, to: At<'_>) -> Result<String> {
        let call = self.for_object(Method::PUT, to, "").await?.moving(range.end - range.start);
        let call = call.header("x-copy-from", &path(source.at))?.header("x-fresh-metadata", "true")?;
        let call = call.header("range", &format!("bytes={}-{}", range.start, range.end - 1))?;
        let call = call.header("if-match", source.etag)?.header("content-type", "application/octet-stream")?;
        let reply = self.send(&call).await?;
        let reply = self.copied(reply, source).await?;
        Ok(unquoted(reply.header("etag")).to_owned())
    }

    /// The answer to a copy. One that failed half-way says nothing of its cause: the source may have been replaced.
    async fn copied(&self, reply: Reply, source: Source<'_>) -> Result<Reply> {
        match reply.status {
            status if status.is_success() => Ok(reply),
            status if matches!(status.as_u16(), 409 | 499) => {
                let now = self.look(source.at).await?;
                let same = untag(&now.facts.tag).1 == source.etag;
                let what = "a large object lacks some of its segments, or has others";
                Err(if same { Error::Failed(std::io::Error::other(what)) } else { Error::StampMismatch })
            }
            _ => Err(refusal(reply).await),
        }
    }
}

/// The size of an object of which a range came, if it is the range that was asked for.
fn whole_size(reply: &Reply, range: &Range<u64>) -> Result<u64> {
    let odd = || Error::Failed(std::io::Error::other("another range came than the one that was asked for"));
    if reply.status == StatusCode::OK {
        let size: u64 = reply.header("content-length").parse().map_err(|_| odd())?;
        return if range.start == 0 && size <= range.end { Ok(size) } else { Err(odd()) };
    }
    let (came, size) = content_range(reply.header("content-range")).ok_or_else(odd)?;
    if came == (range.start..range.end.min(size)) { Ok(size) } else { Err(odd()) }
}
