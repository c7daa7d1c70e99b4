//! Reads: the bytes of a stamp, as many as were asked for, or an error.
//!
//! Of a plain `LoopBack` application ranges cannot be taken on trust: over a cloud it answers 206 and sends the file from
//! its beginning, with the length of the part. So whether it keeps to ranges is found out once, on the bytes of a file, and
//! until then and where it does not, the file is read from its beginning and what was not asked for is dropped.
//!
//! **Invariant:** a body ends well only after exactly the bytes of its range; the last of them is withheld until the whole
//! of a version of ours has its MD5, and until what lies at a key was seen to be still what it was.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderName, IF_MATCH, RANGE};
use http::{HeaderValue, StatusCode};
use md5::{Digest as _, Md5};

use super::Remote;
use super::names;
use super::routes::{is_fuller, quoted, strange};
use crate::config::limits::{BLOCK_BYTES, REMOTE_TRIAL_BYTES};
use crate::model::id::{VersionId, hex};
use crate::model::name::BucketName;
use crate::model::place::{Place, Stamp};
use crate::provider::cloud::transport::{Reply, failed, long, short};
use crate::provider::{Blocks, Body, Error, Result};

/// Whether the other side keeps to ranges.
#[derive(Debug, Default)]
pub(super) struct Trust(AtomicU8);

const UNTRIED: u8 = 0;
const KEPT: u8 = 1;
const IGNORED: u8 = 2;

/// Bytes that may be read.
#[derive(Debug, Clone)]
pub(super) struct Source {
    container: String,
    name: String,
    size: u64,
    md5: Option<String>,
    /// What must still be there when the last bytes were read.
    stamp: Option<Stamp>,
    /// What the other side calls it.
    etag: Option<String>,
}

/// A body, cut to what was asked for.
struct Cut {
    reply: Reply,
    skip: u64,
    left: u64,
    /// Behind what is left nothing may come.
    to_end: bool,
}

impl Cut {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.left == 0 {
                let over = self.to_end && self.reply.next().await?.is_some();
                return if over { Err(long()) } else { Ok(None) };
            }
            let Some(mut block) = self.reply.next().await? else { return Err(short()) };
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(block.len());
            self.skip -= skipped as u64;
            let mut rest = block.split_off(skipped);
            if rest.len() as u64 > self.left {
                if self.to_end {
                    return Err(long());
                }
                rest.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            }
            self.left -= rest.len() as u64;
            if !rest.is_empty() {
                return Ok(Some(rest));
            }
        }
    }
}

/// The stamp of a version that was written here.
pub(super) fn stamp_of(version: VersionId, size: u64, md5: &str) -> Stamp {
    Stamp::new(&format!("v{version}-{size}-{md5}"))
}

/// Size and MD5 that the stamp of this very version says.
fn said_by(stamp: &Stamp, version: VersionId) -> Option<(u64, String)> {
    let (id, rest) = stamp.as_str().strip_prefix('v')?.split_once('-')?;
    let (size, md5) = rest.split_once('-')?;
    (VersionId::parse(id) == Some(version)).then_some((size.parse().ok()?, md5.to_owned()))
}

impl Remote {
    /// Reads a range of the bytes of a stamp.
    pub(super) async fn read(
        self: &Arc<Self>,
        container: &BucketName,
        place: &Place,
        stamp: &Stamp,
        range: Range<u64>,
    ) -> Result<Body> {
        let source = self.source(container.as_str(), place, stamp, range.is_empty()).await?;
        if range.end > source.size {
            return Err(strange("a range beyond the end of the bytes was asked for"));
        }
        if range.is_empty() {
            return Ok(Body::Whole(Bytes::new()));
        }
        let few = range.end - range.start <= BLOCK_BYTES as u64;
        let blocks = self.open(source, range).await?;
        if few { Ok(Body::Whole(collect(blocks).await?)) } else { Ok(Body::Blocks(blocks)) }
    }

    /// What a stamp names. A version of ours says itself what it is, and is looked at only if nothing is read of it.
    async fn source(&self, container: &str, place: &Place, stamp: &Stamp, look: bool) -> Result<Source> {
        let (container_of, not_it) = (|| container.to_owned(), || Error::StampMismatch);
        match place {
            Place::Managed(version) => {
                let name = names::managed(*version);
                let source =
                    |name, size, md5| Source { container: container_of(), name, size, md5, stamp: None, etag: None };
                if let Some((size, md5)) = said_by(stamp, *version) {
                    if look && self.wire.file(container, &name).await?.0.size != size {
                        return Err(Error::StampMismatch);
                    }
                    return Ok(source(name, size, Some(md5)));
                }
                let (entry, beside, _) = self.known(container, *version).await?;
                let beside = beside.filter(|beside| stamp.names(&beside.stamp()) && beside.size == entry.size);
                let md5 = beside.ok_or_else(not_it)?.md5;
                Ok(source(name, entry.size, md5))
            }
            Place::Natural(key) => {
                let name = self.name_of(key).ok_or(Error::NotFound)?;
                let (entry, _) = self.wire.file(container, name).await?;
                let (found, name) = (entry.stamp(), name.to_owned());
                let found = stamp.names(&found).then_some(found).ok_or_else(not_it)?;
                let (size, etag) = (entry.size, entry.etag);
                Ok(Source { container: container_of(), name, size, md5: None, stamp: Some(found), etag })
            }
        }
    }

    async fn open(self: &Arc<Self>, source: Source, range: Range<u64>) -> Result<Blocks> {
        let whole = range == (0..source.size);
        let (cut, fuller) = self.part(&source, range).await?;
        let md5 = source.md5.clone().filter(|_| whole).map(|md5| (Md5::new(), md5));
        // A Longshore was told what to send, and sends nothing else.
        let told = fuller && source.etag.is_some();
        let stamp = source.stamp.clone().filter(|_| !told);
        let reader = Reader { remote: Arc::clone(self), source, cut, md5, stamp, held: None };
        Ok(Box::pin(stream::try_unfold(reader, |mut reader| async move {
            Ok(reader.next().await?.map(|block| (block, reader)))
        })))
    }

    /// The bytes of a range, with whether a Longshore sends them.
    async fn part(&self, source: &Source, range: Range<u64>) -> Result<(Cut, bool)> {
        let to_end = range.end == source.size;
        let mut asked = Vec::new();
        if let Some(etag) = &source.etag {
            asked.push((IF_MATCH, quoted(etag)?));
        }
        let partial = range.start > 0 || !to_end;
        // Of the first bytes a plain one sends the whole, and a length that is not of it.
        let ranged = partial && (self.is_fuller() || (range.start > 0 && self.keeps_to_ranges(source).await?));
        if ranged {
            asked.push(bytes_of(&range)?);
        }
        let reply = self.wire.download((&source.container, &source.name), &asked).await?;
        let fuller = is_fuller(&reply);
        self.met(fuller);
        let left = range.end - range.start;
        let cut = match reply.status {
            StatusCode::PARTIAL_CONTENT if ranged => {
                // It was a Longshore a moment ago: what another one sends for a range was not found out.
                if self.is_fuller_or_kept(fuller) && is_of(&reply, &range, source.size) {
                    Cut { reply, skip: 0, left, to_end: true }
                } else {
                    return Err(Error::Unavailable(io::Error::other("another range came than was asked for")));
                }
            }
            StatusCode::OK => {
                if length(&reply).is_some_and(|length| length != source.size) {
                    return Err(Error::Unavailable(io::Error::other("a file of another length came")));
                }
                Cut { reply, skip: range.start, left, to_end }
            }
            _ => return Err(strange("a part came of what was asked for whole")),
        };
        Ok((cut, fuller))
    }

    fn is_fuller_or_kept(&self, fuller: bool) -> bool {
        fuller || self.ranges.0.load(Ordering::Relaxed) == KEPT
    }

    /// Whether the other side keeps to ranges; found out on the first file that can tell it.
    async fn keeps_to_ranges(&self, source: &Source) -> Result<bool> {
        match self.ranges.0.load(Ordering::Relaxed) {
            KEPT => return Ok(true),
            IGNORED => return Ok(false),
            _ => {}
        }
        let end = source.size.min(1 + REMOTE_TRIAL_BYTES);
        let place = (&*source.container, &*source.name);
        let whole = self.wire.download(place, &[]).await?;
        if is_fuller(&whole) {
            self.met(true);
            return Ok(true);
        }
        let mut whole = Cut { reply: whole, skip: 0, left: end, to_end: false };
        let whole = gathered(&mut whole).await?;
        let part = self.wire.download(place, &[bytes_of(&(1..end))?]).await?;
        let ranged = part.status == StatusCode::PARTIAL_CONTENT && is_of(&part, &(1..end), source.size);
        let mut part = Cut { reply: part, skip: 0, left: end - 1, to_end: false };
        let part = gathered(&mut part).await?;
        let last = whole.len() - 1;
        let found = match (ranged && part == whole[1..], part == whole[..last]) {
            (true, false) => KEPT,
            // One byte over and over tells nothing.
            (true, true) => UNTRIED,
            (false, _) => IGNORED,
        };
        self.ranges.0.store(found, Ordering::Relaxed);
        tracing::debug!(kept = found == KEPT, "whether the other side keeps to ranges");
        Ok(found == KEPT)
    }
}

/// A body that is being read.
struct Reader {
    remote: Arc<Remote>,
    source: Source,
    cut: Cut,
    md5: Option<(Md5, String)>,
    stamp: Option<Stamp>,
    /// The newest block: it may be the last.
    held: Option<Bytes>,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let Some(block) = self.cut.next().await? else {
                let Some(last) = self.held.take() else { return Ok(None) };
                self.verify().await?;
                return Ok(Some(last));
            };
            if let Some((md5, _)) = &mut self.md5 {
                md5.update(&block);
            }
            if let Some(before) = self.held.replace(block) {
                return Ok(Some(before));
            }
        }
    }

    async fn verify(&mut self) -> Result<()> {
        if let Some((md5, expected)) = self.md5.take()
            && hex(&md5.finalize()) != expected
        {
            // Nobody else writes there: the storage has damaged it, or says what is not so.
            return Err(strange("the bytes of a version are not those that were written"));
        }
        let Some(stamp) = self.stamp.take() else { return Ok(()) };
        match self.remote.wire.file(&self.source.container, &self.source.name).await {
            Ok((entry, _)) if entry.stamp() == stamp => Ok(()),
            Ok(_) | Err(Error::NotFound) => Err(Error::StampMismatch),
            Err(error) => Err(error),
        }
    }
}

/// The header that asks for a range.
fn bytes_of(range: &Range<u64>) -> Result<(HeaderName, HeaderValue)> {
    let value = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
    Ok((RANGE, HeaderValue::try_from(value).map_err(|error| failed("a header's value", error))?))
}

fn length(reply: &Reply) -> Option<u64> {
    reply.header(CONTENT_LENGTH.as_str()).parse().ok()
}

/// Whether an answer is of exactly this range of so many bytes, as far as its head tells.
fn is_of(reply: &Reply, range: &Range<u64>, size: u64) -> bool {
    let said = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
    reply.header(CONTENT_RANGE.as_str()) == said && length(reply).is_none_or(|length| length == range.end - range.start)
}

async fn gathered(cut: &mut Cut) -> Result<Bytes> {
    let mut all = BytesMut::new();
    while let Some(block) = cut.next().await? {
        all.extend_from_slice(&block);
    }
    Ok(all.freeze())
}

async fn collect(mut blocks: Blocks) -> Result<Bytes> {
    let mut all = BytesMut::new();
    while let Some(block) = blocks.next().await {
        all.extend_from_slice(&block?);
    }
    Ok(all.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_speaks_for_its_own_version() {
        let version = VersionId::fresh();
        let stamp = stamp_of(version, 7, "ab");
        assert_eq!(said_by(&stamp, version), Some((7, "ab".to_owned())));
        assert_eq!(said_by(&stamp, VersionId::fresh()), None);
        for other in ["1-2-3", "n7-t2026", "*", "v", "v1-2"] {
            assert_eq!(said_by(&Stamp::new(other), version), None, "{other}");
        }
    }
}
