//! Bodies in blocks: sent, or taken by the service from other blobs.
//!
//! Blocks are sent to the very blob they will be, which shows none of them before they are committed. Their ids begin
//! with the handle of the body, so those of two bodies for one name never meet; all ids are of one length, as the
//! service wants it. Blocks that were never committed are dropped by the service with the next commit or whole write of
//! that name, else within a week.
//!
//! **Invariant:** a commit names its blocks one by one, so nothing that another attempt left can be among them.

use std::fmt::Write as _;
use std::io;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::Method;

use super::blobs::{conditional, tag};
use super::{Azure, headers, names, refusal};
use crate::config::limits::CLOUD_PIECES_AT_ONCE;
use crate::model::id;
use crate::model::object::Content;
use crate::provider::cloud::payload::Payload;
use crate::provider::cloud::service::{At, Sent, When};
use crate::provider::cloud::transport::Call;
use crate::provider::{Error, Result};

/// Most blocks of a blob.
pub(super) const BLOCKS_MAX: u32 = 50_000;
/// Most bytes that the service takes from another blob at once. It was always so; later versions take 4,000 MiB, but a
/// step is to end within the time for an answer.
const TAKEN_BYTES: u64 = 100 * 1024 * 1024;

/// A source of a blob that is put together.
pub(super) struct Whole<'a> {
    pub(super) from: At<'a>,
    pub(super) tag: &'a str,
    pub(super) size: u64,
}

/// One block to take from a blob.
struct Taken<'a> {
    number: u32,
    whole: &'a Whole<'a>,
    range: Range<u64>,
}

/// A new handle.
pub(super) fn handle() -> String {
    let mut bytes = [0; 16];
    id::random(&mut bytes);
    id::hex(&bytes)
}

/// The id of a block, which is shorter than the 64 bytes that it may have.
fn block_id(handle: &str, number: u32) -> String {
    BASE64.encode(format!("{handle}{number:05}"))
}

impl Azure {
    pub(super) async fn send_block(&self, at: At<'_>, handle: &str, number: u32, body: &Payload) -> Result<String> {
        let id = block_id(handle, number);
        let call = self.block_call(at, &id)?.header("content-md5", &BASE64.encode(body.md5()))?.body(body.clone());
        refusal::expect(self.send(&call).await?, 201).await?;
        Ok(id)
    }

    pub(super) async fn commit_sent(
        &self,
        at: At<'_>,
        handle: &str,
        blocks: &[Sent],
        content: &Content,
    ) -> Result<String> {
        let ids = blocks.iter().map(|block| block_id(handle, block.number));
        let size = blocks.iter().map(|block| block.size).sum();
        self.commit_blocks(at, (ids, size), content, When::Always, None).await
    }

    /// Puts a blob together from others, in their order. `md5`: that of the whole, in hex, if it is known.
    pub(super) async fn gather(
        &self,
        to: At<'_>,
        sources: &[Whole<'_>],
        content: &Content,
        when: When<'_>,
        md5: Option<&str>,
    ) -> Result<()> {
        let handle = handle();
        // Nothing can be taken from what is empty, so that is looked at.
        for empty in sources.iter().filter(|source| source.size == 0) {
            if self.look(empty.from).await?.tag != empty.tag {
                return Err(Error::StampMismatch);
            }
        }
        let taken = cut(sources)?;
        let ids: Vec<String> = taken.iter().map(|block| block_id(&handle, block.number)).collect();
        let mut under_way = FuturesUnordered::new();
        for block in taken {
            if under_way.len() == CLOUD_PIECES_AT_ONCE {
                under_way.try_next().await?;
            }
            under_way.push(self.take(to, &handle, block));
        }
        under_way.try_collect::<()>().await?;
        let size = sources.iter().map(|source| source.size).sum();
        self.commit_blocks(to, (ids.into_iter(), size), content, when, md5).await.map(drop)
    }

    async fn take(&self, to: At<'_>, handle: &str, block: Taken<'_>) -> Result<()> {
        let from = block.whole.from;
        let source = self.signer.readable(self.readable(from)?, from.container, from.name).await?;
        let range = format!("bytes={}-{}", block.range.start, block.range.end - 1);
        let call = self
            .block_call(to, &block_id(handle, block.number))?
            .header("x-ms-copy-source", &source)?
            .header("x-ms-source-range", &range)?
            .header("x-ms-source-if-match", block.whole.tag)?
            .moving(block.range.end - block.range.start);
        refusal::expect(self.send(&call).await?, 201).await.map(drop)
    }

    fn block_call(&self, at: At<'_>, id: &str) -> Result<Call> {
        Ok(Call::new(Method::PUT, format!("{}?comp=block&blockid={}", self.writable(at)?, names::query(id))))
    }

    async fn commit_blocks(
        &self,
        at: At<'_>,
        (ids, size): (impl Iterator<Item = String>, u64),
        content: &Content,
        when: When<'_>,
        md5: Option<&str>,
    ) -> Result<String> {
        let mut list = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
        for id in ids {
            // The latest block of an id is the committed one when a commit is repeated whose answer was lost.
            let _ = write!(list, "<Latest>{id}</Latest>");
        }
        list.push_str("</BlockList>");
        let body = Payload::from(Bytes::from(list));
        let mut call = Call::new(Method::PUT, format!("{}?comp=blocklist", self.writable(at)?))
            .header("content-md5", &BASE64.encode(body.md5()))?;
        if let Some(md5) = md5.and_then(id::unhex::<16>) {
            call = call.header("x-ms-blob-content-md5", &BASE64.encode(md5))?;
        }
        // The service may look at all of them before it answers.
        let call = conditional(headers::add(call, content)?, when)?.body(body).moving(size);
        let reply = refusal::expect(self.send(&call).await?, 201).await?;
        tag(&reply)
    }
}

/// Cuts sources into blocks.
fn cut<'a>(sources: &'a [Whole<'a>]) -> Result<Vec<Taken<'a>>> {
    let mut bytes = TAKEN_BYTES;
    while sources.iter().map(|source| source.size.div_ceil(bytes)).sum::<u64>() > u64::from(BLOCKS_MAX) {
        // Of the largest sources a block is 128 times as large, which is more than any blob has.
        if bytes >= TAKEN_BYTES << 7 {
            return Err(Error::Failed(io::Error::other("these are too many pieces for one blob")));
        }
        bytes *= 2;
    }
    let mut taken = Vec::new();
    for whole in sources {
        let mut start = 0;
        while start < whole.size {
            let end = whole.size.min(start + bytes);
            let number = u32::try_from(taken.len() + 1).unwrap_or(BLOCKS_MAX);
            taken.push(Taken { number, whole, range: start..end });
            start = end;
        }
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(size: u64) -> Whole<'static> {
        Whole { from: At { container: "c", name: "n" }, tag: "t", size }
    }

    #[test]
    fn ids_are_of_one_length_and_never_meet() {
        let (one, other) = (handle(), handle());
        assert_ne!(one, other);
        assert_eq!(block_id(&one, 1).len(), block_id(&other, BLOCKS_MAX).len());
        assert!(one.len() + 5 <= 64);
    }

    #[test]
    fn sources_are_cut_in_their_order() {
        let sources = [whole(1), whole(TAKEN_BYTES + 1), whole(0), whole(TAKEN_BYTES)];
        let cut = cut(&sources).expect("few");
        let found: Vec<_> = cut.iter().map(|block| (block.number, block.range.clone())).collect();
        assert_eq!(found, [(1, 0..1), (2, 0..TAKEN_BYTES), (3, TAKEN_BYTES..TAKEN_BYTES + 1), (4, 0..TAKEN_BYTES)]);
    }

    #[test]
    fn the_largest_are_cut_into_as_many_as_there_may_be() {
        let sources = [whole(6 << 40)];
        let taken = cut(&sources).expect("few");
        assert!(taken.len() <= BLOCKS_MAX as usize);
        assert!(taken.iter().all(|block| block.range.end - block.range.start <= 4000 << 20));
        let many: Vec<_> = (0..=BLOCKS_MAX).map(|_| whole(1)).collect();
        assert!(cut(&many).is_err());
    }
}
