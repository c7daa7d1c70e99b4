//! Reading the bytes that a stamp identifies.
//!
//! Bytes that the kernel has in memory are read at once, on the thread that sends them: no thread is woken for a block,
//! and what was just copied is still in the cache of the processor that copies it again. What would have to wait for the
//! disk is read by a blocking thread, and as long as the disk is slower than the client, one block ahead of it.
//!
//! **Invariant:** the last block is given out only after the stamp was found unchanged behind it, and no block is
//! shorter than it should be; so a body that ends well is the body that was named.

use std::io::IoSliceMut;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2};
use tokio::task::{JoinError, JoinHandle};

use super::block::Block;
use super::error::{failed, meaning};
use super::space::Space;
use super::spot::Facts;
use super::{blocking, joined};
use crate::config::limits::BLOCK_BYTES;
use crate::model::place::{Place, Stamp};
use crate::provider::{Body, Error, Result};

/// Whether a read may wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    May,
    MustNot,
}

/// An open file of which a range is still to be read.
#[derive(Debug)]
struct Reader {
    file: OwnedFd,
    stamp: Stamp,
    at: u64,
    end: u64,
}

impl Reader {
    /// A reader of an open file with these facts, if it is the one that was named.
    fn new(file: OwnedFd, facts: &Facts, stamp: &Stamp, range: &Range<u64>) -> Result<Self> {
        if !facts.is(stamp) {
            return Err(Error::StampMismatch);
        }
        if range.start > range.end || range.end > facts.size {
            return Err(failed("a range beyond the end of the bytes was asked for"));
        }
        let Range { start: at, end } = *range;
        Ok(Self { file, stamp: facts.stamp(), at, end })
    }

    /// Reads the next block; the last one only if the file is still the one that was named. `None`: it would have to
    /// wait.
    fn next_block(&mut self, wait: Wait) -> Result<Option<Bytes>> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let len = left.min(BLOCK_BYTES);
        if len == 0 {
            return Ok(Some(Bytes::new()));
        }
        let mut block = Block::new(len);
        match wait {
            Wait::May => read_exactly(&self.file, self.at, block.room())?,
            Wait::MustNot if read_at_once(&self.file, self.at, block.room()) => {}
            Wait::MustNot => return Ok(None),
        }
        self.at += len as u64;
        if self.at == self.end && !Facts::of_open(&self.file)?.is(&self.stamp) {
            return Err(Error::StampMismatch);
        }
        Ok(Some(block.into_bytes()))
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

/// Fills `block` from `offset` if the kernel has the bytes in memory.
fn read_at_once(file: &OwnedFd, offset: u64, block: &mut [u8]) -> bool {
    let len = block.len();
    preadv2(file, &mut [IoSliceMut::new(block)], offset, ReadWriteFlags::NOWAIT) == Ok(len)
}

/// Reads `range` if the kernel has the name and the first block in memory.
pub(super) fn read_cached(space: &Space, place: &Place, stamp: &Stamp, range: &Range<u64>) -> Option<Body> {
    let (file, facts) = space.open_file_cached(place)?;
    // What fails here is told by the read that may wait.
    let mut reader = Reader::new(file, &facts, stamp, range).ok()?;
    let first = reader.next_block(Wait::MustNot).ok()??;
    Some(body(first, reader, Rest::Idle))
}

/// Opens a place and reads the first block of `range`.
fn begin(space: &Space, place: &Place, stamp: &Stamp, range: &Range<u64>) -> Result<(Bytes, Reader)> {
    let (file, facts) = space.open_file(place)?;
    let mut reader = Reader::new(file, &facts, stamp, range)?;
    let first = must(reader.next_block(Wait::May))?;
    Ok((first, reader))
}

/// The block of a read that may wait.
fn must(block: Result<Option<Bytes>>) -> Result<Bytes> {
    block?.ok_or_else(|| failed("a read that may wait gave nothing"))
}

/// Reads `range` of the bytes that `stamp` identifies.
pub(super) async fn read(
    enter: impl FnOnce() -> Result<Arc<Space>> + Send + 'static,
    place: Place,
    stamp: Stamp,
    range: Range<u64>,
) -> Result<Body> {
    let (first, reader) = blocking(move || begin(&*enter()?, &place, &stamp, &range)).await?;
    Ok(body(first, reader, Rest::ahead))
}

/// A body of a first block and the rest.
fn body(first: Bytes, reader: Reader, rest: impl FnOnce(Reader) -> Rest) -> Body {
    if reader.is_done() {
        return Body::Whole(first);
    }
    let blocks = Blocks { first: Some(first), rest: rest(reader) };
    Body::Blocks(Box::pin(stream::unfold(blocks, Blocks::next)))
}

/// What a blocking thread makes of a reader.
type Read = (Reader, Result<Bytes>);

/// What comes after the block that is given out.
enum Rest {
    /// To be read when it is asked for.
    Idle(Reader),
    /// Being read.
    Ahead(JoinHandle<Read>),
    Ended,
}

impl Rest {
    fn ahead(reader: Reader) -> Self {
        if reader.is_done() { Self::Ended } else { Self::Ahead(on_a_thread(reader)) }
    }
}

fn on_a_thread(mut reader: Reader) -> JoinHandle<Read> {
    tokio::task::spawn_blocking(move || {
        let block = must(reader.next_block(Wait::May));
        (reader, block)
    })
}

/// The blocks of a body that are still to be given out.
struct Blocks {
    first: Option<Bytes>,
    rest: Rest,
}

impl Blocks {
    async fn next(mut self) -> Option<(Result<Bytes>, Self)> {
        if let Some(first) = self.first.take() {
            return Some((Ok(first), self));
        }
        let (block, rest) = match self.rest {
            Rest::Idle(reader) if reader.is_done() => return None,
            Rest::Ended => return None,
            Rest::Idle(mut reader) => match reader.next_block(Wait::MustNot) {
                Ok(Some(block)) => (Ok(block), Rest::Idle(reader)),
                Ok(None) => waited(on_a_thread(reader).await, Rest::ahead),
                Err(error) => (Err(error), Rest::Ended),
            },
            // Where the disk is the faster one, the next block is likely in memory by the time it is asked for.
            Rest::Ahead(task) if task.is_finished() => waited(task.await, Rest::Idle),
            Rest::Ahead(task) => waited(task.await, Rest::ahead),
        };
        Some((block, Self { first: None, rest }))
    }
}

/// The block that a thread has read, and what comes then.
fn waited(read: std::result::Result<Read, JoinError>, then: impl FnOnce(Reader) -> Rest) -> (Result<Bytes>, Rest) {
    match joined(read) {
        Ok((reader, Ok(block))) => (Ok(block), then(reader)),
        Ok((_, Err(error))) | Err(error) => (Err(error), Rest::Ended),
    }
}
