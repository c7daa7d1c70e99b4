//! Reading the bytes that a stamp identifies.
//!
//! The first block is read in the same hop to a blocking thread that opens the file, so a small object costs one. A
//! larger one is read one block ahead of its client.
//!
//! **Invariant:** the last block is given out only after the stamp was found unchanged behind it, and no block is
//! shorter than it should be; so a body that ends well is the body that was named.

use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, pread};
use tokio::task::JoinHandle;

use super::error::{failed, meaning};
use super::space::Space;
use super::spot::Facts;
use super::{blocking, joined};
use crate::config::limits::BLOCK_BYTES;
use crate::model::place::{Place, Stamp};
use crate::provider::{Body, Error, Result};

/// An open file of which a range is still to be read.
#[derive(Debug)]
struct Reader {
    file: Arc<OwnedFd>,
    stamp: Stamp,
    at: u64,
    end: u64,
}

impl Reader {
    /// Reads the next block; the last one only if the file is still the one that was named.
    fn next_block(&mut self) -> Result<Bytes> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let block = read_exactly(&self.file, self.at, left.min(BLOCK_BYTES))?;
        self.at += block.len() as u64;
        if self.at == self.end && !Facts::of_open(&*self.file)?.is(&self.stamp) {
            return Err(Error::StampMismatch);
        }
        Ok(block)
    }

    fn is_done(&self) -> bool {
        self.at == self.end
    }
}

/// Reads `len` bytes at `offset`; a file that ends earlier is not the one that was named.
fn read_exactly(file: &OwnedFd, offset: u64, len: usize) -> Result<Bytes> {
    let mut block: Vec<u8> = Vec::with_capacity(len);
    while block.len() < len {
        let at = offset + block.len() as u64;
        match pread(file, spare_capacity(&mut block), at) {
            Ok(0) => return Err(Error::StampMismatch),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(meaning(errno, "read a file")),
        }
    }
    block.truncate(len);
    Ok(Bytes::from(block))
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
    let mut reader = Reader { file: Arc::new(file), stamp, at: range.start, end: range.end };
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
