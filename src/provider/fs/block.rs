//! Blocks of memory that bodies are read into.
//!
//! Fresh memory costs a page fault for every page, and a block that was used a while ago has left the cache of the
//! processor. So there is one stock for all bodies, and the block that was given back last is lent first.
//!
//! **Invariant:** a block is nobody's when it is lent: it comes back when the last [`Bytes`] of it is dropped.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::config::limits::{BLOCK_BYTES, BLOCKS_KEPT_MAX};

/// Most bytes of a block that is not from the stock: it is not worth a whole one.
const SHORT_BYTES_MAX: usize = 64 * 1024;

static STOCK: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

/// A block on loan.
#[derive(Debug)]
pub(super) struct Block {
    /// Of [`BLOCK_BYTES`] if it is from the stock.
    memory: Box<[u8]>,
    len: usize,
}

impl Block {
    /// A block of `len` bytes of anything, at most [`BLOCK_BYTES`].
    pub(super) fn new(len: usize) -> Self {
        if len <= SHORT_BYTES_MAX {
            return Self { memory: vec![0; len].into(), len };
        }
        let kept = STOCK.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Self { memory: kept.unwrap_or_else(|| vec![0; BLOCK_BYTES].into()), len }
    }

    /// Room for its bytes.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.memory[..self.len]
    }

    /// Its bytes.
    pub(super) fn into_bytes(mut self) -> Bytes {
        if self.len <= SHORT_BYTES_MAX {
            return std::mem::take(&mut self.memory).into();
        }
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.len]
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if self.memory.len() != BLOCK_BYTES {
            return;
        }
        let mut stock = STOCK.lock().unwrap_or_else(PoisonError::into_inner);
        if stock.len() < BLOCKS_KEPT_MAX {
            stock.push(std::mem::take(&mut self.memory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_in_use_is_not_lent() {
        let filled = |byte: u8, len: usize| {
            let mut block = Block::new(len);
            block.room().fill(byte);
            block.into_bytes()
        };
        let (whole, cut, short) = (filled(1, BLOCK_BYTES), filled(2, BLOCK_BYTES - 7), filled(3, 5));
        for _ in 0..BLOCKS_KEPT_MAX + 2 {
            drop((filled(4, BLOCK_BYTES), filled(5, BLOCK_BYTES)));
        }
        for (bytes, byte, len) in [(whole, 1, BLOCK_BYTES), (cut, 2, BLOCK_BYTES - 7), (short, 3, 5)] {
            assert_eq!(bytes.len(), len);
            assert!(bytes.iter().all(|b| *b == byte), "the block of {byte} was lent twice");
        }
    }
}
