//! Copies and joins: bytes that move within the service.
//!
//! A plain copy is one request. Under a condition it is not, as conditions on what a copy replaces are served by few:
//! small bodies are read and written with the condition, larger ones become an upload of copied ranges that is completed
//! with it.
//!
//! **Invariant:** every range is copied only from the bytes that were named; an upload that fails is given up, and one that
//! is cut off is known by its note.

use std::ops::Range;

use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::Method;

use super::address::path;
use super::facts::{odd, tag, with_content};
use super::{Amazon, PARTS_MAX, REQUEST_BYTES_MAX};
use crate::config::limits::{CLOUD_BLOCK_BYTES, CLOUD_PIECES_AT_ONCE};
use crate::model::object::Content;
use crate::provider::cloud::payload::Payload;
use crate::provider::cloud::service::{At, Piece, When};
use crate::provider::cloud::transport::Call;
use crate::provider::{Error, Result};

/// Bytes of the ranges of a large copy, unless there would be too many.
const RANGE_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source<'a> {
    from: At<'a>,
    tag: &'a str,
    /// `None`: all of them.
    range: Option<Range<u64>>,
    size: u64,
}

impl Amazon {
    pub(super) async fn copy_any(
        &self,
        from: At<'_>,
        (tag, size): (&str, u64),
        to: At<'_>,
        content: &Content,
        when: When<'_>,
    ) -> Result<()> {
        let whole = Source { from, tag, range: None, size };
        if when != When::Always && size <= CLOUD_BLOCK_BYTES as u64 {
            return self.pass_through(&whole, to, content, when).await;
        }
        if when == When::Always && size <= REQUEST_BYTES_MAX {
            let call = Call::new(Method::PUT, self.address.name(to.container, to.name, ""));
            let call = with_content(call, content).header("x-amz-metadata-directive", "REPLACE")?;
            return self.moved(&of(call, &whole)?).await.map(|_| ());
        }
        let most = RANGE_BYTES.max(size.div_ceil(u64::from(PARTS_MAX) - 1)).min(REQUEST_BYTES_MAX);
        self.assemble(&split(&whole, most), to, content, when).await
    }

    /// Reads a small body and writes it under a condition.
    async fn pass_through(&self, source: &Source<'_>, to: At<'_>, content: &Content, when: When<'_>) -> Result<()> {
        let _one = self.passing.acquire().await.map_err(|error| Error::Unavailable(std::io::Error::other(error)))?;
        let mut body = Payload::default();
        let found = if source.size == 0 {
            self.look(source.from).await?
        } else {
            let (found, mut blocks) = self.read(source.from, 0..source.size, Some(source.tag)).await?;
            while let Some(block) = blocks.try_next().await? {
                body.push(block);
            }
            found
        };
        if found.tag != source.tag || found.size != source.size {
            return Err(Error::StampMismatch);
        }
        self.write(to, &body, content, when).await.map(|_| ())
    }

    pub(super) async fn join_all(&self, to: At<'_>, pieces: &[Piece], content: &Content) -> Result<()> {
        if let [Piece { name, tag, size }] = pieces {
            let from = At { container: to.container, name };
            return self.copy_any(from, (tag, *size), to, content, When::Always).await;
        }
        let mut sources = Vec::with_capacity(pieces.len());
        for Piece { name, tag, size } in pieces {
            let from = At { container: to.container, name };
            sources.extend(split(&Source { from, tag, range: None, size: *size }, REQUEST_BYTES_MAX));
        }
        self.assemble(&sources, to, content, When::Always).await
    }

    /// Makes one object of ranges of others.
    async fn assemble(&self, sources: &[Source<'_>], to: At<'_>, content: &Content, when: When<'_>) -> Result<()> {
        let upload = self.begin_upload(to, content).await?;
        let ended = match self.note_upload(to, &upload).await {
            Ok(()) => self.assemble_into(&upload, sources, to, when).await,
            Err(error) => Err(error),
        };
        if ended.is_err()
            && let Err(error) = self.abort_upload(to, &upload).await
        {
            // So does its note, by which the sweep will find it.
            tracing::warn!(error = &error as &dyn std::error::Error, "an upload stays that was to be given up");
            return ended;
        }
        self.forget_upload(to, &upload).await;
        ended
    }

    async fn assemble_into(&self, upload: &str, sources: &[Source<'_>], to: At<'_>, when: When<'_>) -> Result<()> {
        let mut rest = sources.iter().zip(1_u32..);
        let mut under_way = FuturesUnordered::new();
        let (mut parts, mut failure) = (Vec::with_capacity(sources.len()), None);
        loop {
            while failure.is_none()
                && under_way.len() < CLOUD_PIECES_AT_ONCE
                && let Some((source, number)) = rest.next()
            {
                under_way.push(self.copy_part(source, to, upload, number));
            }
            // After a failure the others are waited for: a part that comes after the upload was given up would stay.
            match under_way.next().await {
                None => break,
                Some(Ok(part)) => parts.push(part),
                Some(Err(error)) => failure = failure.or(Some(error)),
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        parts.sort_unstable();
        let size = sources.iter().map(|source| source.size).sum();
        self.complete(to, upload, (&parts, size), when).await.map(|_| ())
    }

    async fn copy_part(&self, source: &Source<'_>, to: At<'_>, upload: &str, number: u32) -> Result<(u32, String)> {
        let mut call = Call::new(Method::PUT, self.part(to, upload, number));
        if let Some(range) = &source.range {
            let text = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
            call = call.header("x-amz-copy-source-range", &text)?;
        }
        let root = self.moved(&of(call, source)?).await?;
        match root.text("ETag") {
            "" => Err(odd("a copied part has no ETag")),
            etag => Ok((number, tag(etag))),
        }
    }
}

/// The request with its source.
fn of(call: Call, source: &Source<'_>) -> Result<Call> {
    let name = format!("{}/{}", path(source.from.container), path(source.from.name));
    let call = call.header("x-amz-copy-source", &name)?.header("x-amz-copy-source-if-match", source.tag)?;
    Ok(call.moving(source.size))
}

/// In ranges of equal size, but for a byte, of at most `most` bytes: none of them is too small to be a part.
fn split<'a>(whole: &Source<'a>, most: u64) -> Vec<Source<'a>> {
    let count = whole.size.div_ceil(most).max(1);
    if count == 1 {
        return vec![whole.clone()];
    }
    let (each, longer) = (whole.size / count, whole.size % count);
    let begin = |i: u64| each * i + i.min(longer);
    let range = |i| begin(i)..begin(i + 1);
    (0..count).map(|i| Source { range: Some(range(i)), size: begin(i + 1) - begin(i), ..whole.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_all_and_none_is_small() {
        let from = At { container: "c", name: "n" };
        for (size, most, count) in [(1, 10, 1), (10, 10, 1), (11, 10, 2), (101, 10, 11), (0, 10, 1)] {
            let parts = split(&Source { from, tag: "t", range: None, size }, most);
            assert_eq!(parts.len(), count, "{size}");
            assert_eq!(parts.iter().map(|part| part.size).sum::<u64>(), size);
            let ranges: Vec<_> = parts.iter().filter_map(|part| part.range.clone()).collect();
            assert!(ranges.windows(2).all(|two| two[0].end == two[1].start), "{ranges:?}");
            assert!(count == 1 || ranges.len() == count && ranges[0].start == 0 && ranges[count - 1].end == size);
            assert!(parts.iter().all(|part| part.size <= most && (count == 1 || part.size >= most / 2)));
        }
    }
}
