//! The cipher: one chunk in, one chunk out.
//!
//! **Invariant:** a nonce is never used twice under one data key. Its first 8 bytes are random for each stream and the
//! rest is the number of the chunk; a data key serves one body, or the attempts of the parts of one upload, far fewer
//! than would make two prefixes alike. What a chunk is (its part, its number, whether it is the last) is under the tag.

use std::fmt;

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use bytes::{BufMut as _, Bytes, BytesMut};
use zeroize::Zeroize as _;

use crate::auth::secret::MasterKey;
use crate::model::encryption::{CHUNK_OVERHEAD_BYTES, SEAL_CHUNK_BYTES};
use crate::model::id::{hex, random};

const PREFIX_BYTES: usize = 8;

/// Stored bytes of a full chunk.
pub(super) const STORED_CHUNK_BYTES: u64 = SEAL_CHUNK_BYTES as u64 + CHUNK_OVERHEAD_BYTES;

/// The key of one body.
#[derive(Clone)]
pub(in crate::store) struct DataKey([u8; 32]);

impl Drop for DataKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}

impl DataKey {
    /// A new one.
    pub(super) fn generate() -> Self {
        let mut key = [0; 32];
        random(&mut key);
        Self(key)
    }

    /// From its bytes.
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// Its bytes, to be sealed.
    pub(super) fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// An ETag that tells those who do not have the key nothing about bytes of this MD5.
    pub(in crate::store) fn etag(&self, md5: &str) -> String {
        let mac = MasterKey::new(self.0).for_use(&[b"longshore: etag", md5.as_bytes()].concat());
        hex(&mac.bytes()[..16])
    }

    pub(super) fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(&self.0.into())
    }
}

/// What one chunk is: bound to its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkId {
    /// The part's number; 0: the body is one stream.
    pub(super) part: u32,
    /// Its number in the stream, from 0.
    pub(super) index: u32,
    /// Whether the stream ends with it.
    pub(super) last: bool,
}

impl ChunkId {
    fn nonce(self, prefix: [u8; PREFIX_BYTES]) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[..PREFIX_BYTES].copy_from_slice(&prefix);
        nonce[PREFIX_BYTES..].copy_from_slice(&self.index.to_be_bytes());
        nonce
    }

    fn bound(self) -> [u8; 9] {
        let mut bound = [0; 9];
        bound[..4].copy_from_slice(&self.part.to_be_bytes());
        bound[4..8].copy_from_slice(&self.index.to_be_bytes());
        bound[8] = u8::from(self.last);
        bound
    }
}

/// Seals the plain bytes of a chunk.
pub(super) fn seal(cipher: &Aes256Gcm, prefix: [u8; PREFIX_BYTES], id: ChunkId, plain: &[u8]) -> Bytes {
    let payload = Payload { msg: plain, aad: &id.bound() };
    let text =
        cipher.encrypt(&Nonce::from(id.nonce(prefix)), payload).expect("a chunk is far below the cipher's limit");
    let mut chunk = BytesMut::with_capacity(PREFIX_BYTES + text.len());
    chunk.put_slice(&prefix);
    chunk.put_slice(&text);
    chunk.freeze()
}

/// Opens a chunk; `None`: it is not the one that is looked for, or was changed.
pub(super) fn open(cipher: &Aes256Gcm, id: ChunkId, chunk: &[u8]) -> Option<([u8; PREFIX_BYTES], Bytes)> {
    let (prefix, text) = chunk.split_first_chunk::<PREFIX_BYTES>()?;
    let payload = Payload { msg: text, aad: &id.bound() };
    let plain = cipher.decrypt(&Nonce::from(id.nonce(*prefix)), payload).ok()?;
    Some((*prefix, plain.into()))
}

/// Cuts plain bytes into chunks and seals them. The last chunk is known only at the end, so one is always held back.
pub(super) struct Sealer {
    cipher: Aes256Gcm,
    prefix: [u8; PREFIX_BYTES],
    part: u32,
    index: u32,
    pending: BytesMut,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("part", &self.part).field("index", &self.index).finish_non_exhaustive()
    }
}

impl Sealer {
    /// Of a part, or of a whole body (0).
    pub(super) fn new(key: &DataKey, part: u32) -> Self {
        let mut prefix = [0; PREFIX_BYTES];
        random(&mut prefix);
        Self { cipher: key.cipher(), prefix, part, index: 0, pending: BytesMut::new() }
    }

    /// Takes plain bytes in and returns the chunks that are full.
    pub(super) fn push(&mut self, plain: &[u8]) -> Vec<Bytes> {
        let mut chunks = Vec::new();
        let mut rest = plain;
        while self.pending.len() + rest.len() > SEAL_CHUNK_BYTES {
            let (now, later) = rest.split_at(SEAL_CHUNK_BYTES - self.pending.len());
            self.pending.extend_from_slice(now);
            rest = later;
            chunks.push(self.next(false));
        }
        self.pending.extend_from_slice(rest);
        chunks
    }

    /// The last chunk.
    pub(super) fn end(&mut self) -> Bytes {
        self.next(true)
    }

    fn next(&mut self, last: bool) -> Bytes {
        let id = ChunkId { part: self.part, index: self.index, last };
        let chunk = seal(&self.cipher, self.prefix, id, &self.pending);
        self.pending.clear();
        // Bodies end at 5 GiB, which is 81,920 chunks.
        self.index += 1;
        chunk
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::encryption::stored_stream;

    fn sealed(key: &DataKey, part: u32, plain: &[u8], step: usize) -> Vec<Bytes> {
        let mut sealer = Sealer::new(key, part);
        let mut chunks: Vec<Bytes> = plain.chunks(step.max(1)).flat_map(|piece| sealer.push(piece)).collect();
        chunks.push(sealer.end());
        chunks
    }

    #[test]
    fn chunks_are_full_but_the_last() {
        let key = DataKey::generate();
        for len in [0, 1, SEAL_CHUNK_BYTES - 1, SEAL_CHUNK_BYTES, SEAL_CHUNK_BYTES + 1, 3 * SEAL_CHUNK_BYTES] {
            for step in [1000, SEAL_CHUNK_BYTES, 300_000] {
                let chunks = sealed(&key, 0, &vec![7; len], step);
                let stored: u64 = chunks.iter().map(|chunk| chunk.len() as u64).sum();
                assert_eq!(stored, stored_stream(len as u64), "{len} by {step}");
                assert!(chunks.iter().rev().skip(1).all(|chunk| chunk.len() as u64 == STORED_CHUNK_BYTES));
            }
        }
    }

    #[test]
    fn a_chunk_opens_as_what_it_is_only() {
        let key = DataKey::generate();
        let chunks = sealed(&key, 2, &vec![7; SEAL_CHUNK_BYTES + 5], 4096);
        let first = ChunkId { part: 2, index: 0, last: false };
        let cipher = key.cipher();
        assert_eq!(open(&cipher, first, &chunks[0]).expect("opens").1, vec![7; SEAL_CHUNK_BYTES]);
        let second = ChunkId { part: 2, index: 1, last: true };
        assert_eq!(open(&cipher, second, &chunks[1]).expect("opens").1, vec![7; 5]);
        for other in [
            ChunkId { last: true, ..first },
            ChunkId { index: 1, ..first },
            ChunkId { part: 1, ..first },
            ChunkId { part: 0, ..first },
        ] {
            assert!(open(&cipher, other, &chunks[0]).is_none(), "{other:?}");
        }
        assert!(open(&DataKey::generate().cipher(), first, &chunks[0]).is_none());
        for cut in [0, 7, 8, 20, chunks[1].len() - 1] {
            assert!(open(&cipher, second, &chunks[1][..cut]).is_none(), "{cut}");
        }
        for bit in 0..chunks[1].len() * 8 {
            let mut flipped = chunks[1].to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&cipher, second, &flipped).is_none(), "{bit}");
        }
    }

    #[test]
    fn two_streams_share_no_nonce() {
        let key = DataKey::generate();
        let (one, other) = (sealed(&key, 1, b"same", 4), sealed(&key, 1, b"same", 4));
        assert_ne!(one[0][..8], other[0][..8]);
        assert_ne!(one[0][8..], other[0][8..]);
    }
}
