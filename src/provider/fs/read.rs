//! Reading the bytes that a stamp identifies.
//!
//! A small object whose name and bytes the kernel has in memory is read at once, without waiting for the disk and so
//! without a thread that may wait. Otherwise the first block is read in the same hop to a blocking thread that opens the
//! file. A large one is read one block ahead of its client, into blocks that the client is done with.
//!
//! **Invariant:** the last block is given out only after the stamp was found unchanged behind it, and no block is
//! shorter than it should be; so a body that ends well is the body that was named.

use std::collections::VecDeque;
use std::io::IoSliceMut;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2};
use tokio::task::JoinHandle;

use super::error::{failed, meaning};
use super::space::Space;
use super::spot::Facts;
use super::{blocking, joined};
use crate::config::limits::BLOCK_BYTES;
use crate::model::place::{Place, Stamp};
use crate::provider::{Body, Error, Result};

/// Bytes that are copied from memory at once, on the thread that asks.
const READ_AT_ONCE_BYTES_MAX: usize = 64 * 1024;
/// Blocks given out that are remembered, to be read into again when the client is done with them: one on its way, one
/// ahead, one being read.
const BLOCKS_REMEMBERED: usize = 3;

/// An open file of which a range is still to be read.
#[derive(Debug)]
struct Reader {
    file: Arc<OwnedFd>,
    stamp: Stamp,
    at: u64,
    end: u64,
    given: VecDeque<Bytes>,
}

impl Reader {
    /// Reads the next block; the last one only if the file is still the one that was named.
    fn next_block(&mut self) -> Result<Bytes> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let len = left.min(BLOCK_BYTES);
        let mut block = self.buffer(len);
        read_exactly(&self.file, self.at, &mut block)?;
        let block = block.freeze();
        self.at += len as u64;
        if self.at < self.end {
            self.given.push_back(block.clone());
        }
        if self.at == self.end && !Facts::of_open(&*self.file)?.is(&self.stamp) {
            return Err(Error::StampMismatch);
        }
        Ok(block)
    }

    /// A block that its client is done with, or a new one. Fresh memory costs a page fault for every page.
    fn buffer(&mut self, len: usize) -> BytesMut {
        for _ in 0..self.given.len() {
            match self.given.pop_front().map(Bytes::try_into_mut) {
                Some(Ok(mut block)) if block.len() >= len => {
                    block.truncate(len);
                    return block;
                }
                Some(Err(in_use)) => self.given.push_back(in_use),
                Some(Ok(_)) | None => {}
            }
        }
        while self.given.len() >= BLOCKS_REMEMBERED {
            self.given.pop_front();
        }
        BytesMut::zeroed(len)
    }

    fn is_done(&self) -> bool {
        self.at == self.end
    }
}

/// Fills `block` from `offset`; a file that ends earlier is not the one that was named.
fn read_exactly(file: &OwnedFd, offset: u64, block: &mut [u8]) -> Result<()> {
    let mut filled = 0;
    while filled < block.len() {
        match pread(file, &mut block[filled..], offset + filled as u64) {
            Ok(0) => return Err(Error::StampMismatch),
            Ok(n) => filled += n,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(meaning(errno, "read a file")),
        }
    }
    Ok(())
}

/// Reads `range` if the kernel has the name and the bytes in memory, and if they are few.
pub(super) fn read_cached(space: &Space, place: &Place, stamp: &Stamp, range: &Range<u64>) -> Option<Body> {
    let len = usize::try_from(range.end.checked_sub(range.start)?).ok().filter(|len| *len <= READ_AT_ONCE_BYTES_MAX)?;
    let (file, facts) = space.open_file_cached(place)?;
    if !facts.is(stamp) || range.end > facts.size {
        return None;
    }
    let mut block = vec![0; len];
    if len > 0 {
        let into = &mut [IoSliceMut::new(&mut block)];
        let got = preadv2(&file, into, range.start, ReadWriteFlags::NOWAIT).ok()?;
        if got < len || !Facts::of_open(&file).ok()?.is(stamp) {
            return None;
        }
    }
    Some(Body::Whole(Bytes::from(block)))
}

/// Opens a place and reads the first block of `range`.
fn begin(space: &Space, place: &Place, stamp: Stamp, range: &Range<u64>) -> Result<(Reader, Bytes)> {
    let (file, facts) = space.open_file(place)?;
    if !facts.is(&stamp) {
        return Err(Error::StampMismatch);
    }
    if range.start > range.end || range.end > facts.size {
        return Err(failed("a range beyond the end of the bytes was asked for"));
    }
    let mut reader = Reader { file: Arc::new(file), stamp, at: range.start, end: range.end, given: VecDeque::new() };
    let first = reader.next_block()?;
    Ok((reader, first))
}

/// Reads `range` of the bytes that `stamp` identifies.
pub(super) async fn read(
    enter: impl FnOnce() -> Result<Arc<Space>> + Send + 'static,
    place: Place,
    stamp: Stamp,
    range: Range<u64>,
) -> Result<Body> {
    let (reader, first) = blocking(move || begin(&*enter()?, &place, stamp, &range)).await?;
    if reader.is_done() {
        return Ok(Body::Whole(first));
    }
    let ahead = Ahead { first: Some(first), rest: Rest::Idle(reader) };
    Ok(Body::Blocks(Box::pin(stream::unfold(ahead, Ahead::next))))
}

/// What comes after the block that is given out.
enum Rest {
    Idle(Reader),
    Reading(JoinHandle<(Reader, Result<Bytes>)>),
    Ended,
}

/// A reader one block ahead.
struct Ahead {
    first: Option<Bytes>,
    rest: Rest,
}

impl Ahead {
    async fn next(mut self) -> Option<(Result<Bytes>, Self)> {
        if let Some(first) = self.first.take() {
            self.rest = match self.rest {
                Rest::Idle(reader) => Rest::start(reader),
                other => other,
            };
            return Some((Ok(first), self));
        }
        match self.rest {
            Rest::Reading(task) => {
                let (result, rest) = match joined(task.await) {
                    Ok((reader, Ok(block))) => (Ok(block), Rest::start(reader)),
                    Ok((_, Err(error))) | Err(error) => (Err(error), Rest::Ended),
                };
                Some((result, Self { first: None, rest }))
            }
            Rest::Idle(_) | Rest::Ended => None,
        }
    }
}

impl Rest {
    fn start(mut reader: Reader) -> Self {
        if reader.is_done() {
            return Self::Ended;
        }
        Self::Reading(tokio::task::spawn_blocking(move || {
            let block = reader.next_block();
            (reader, block)
        }))
    }
}
