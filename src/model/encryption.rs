//! Encryption at rest: what is asked for, and what a row keeps of it.
//!
//! # The form of sealed bytes
//!
//! Each body has a data key of its own. Plain bytes are cut into chunks of 64 KiB, each of which is stored as 8 bytes of
//! prefix, the ciphertext and a tag of 16 bytes. The prefix is random for each stream of chunks; with the number of the
//! chunk behind it, it is the nonce. The tag also covers the number of the part, that of the chunk, and whether it is
//! the last, so chunks cannot be left out, reordered or cut off. A body is one stream; one that was uploaded in parts is
//! the streams of its parts, one behind the other, and [`Sealing::parts`] says how long each is.
//!
//! **Invariant:** no type here holds a key of a client or of this server in the clear, but [`CustomerKey`], which lives
//! for one request and is never written or logged; the size of sealed bytes follows from that of the plain ones.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

/// Plain bytes of one chunk: what a read of one byte decrypts, and what is held before anything of it is believed. It is
/// part of the form of stored bytes.
pub const SEAL_CHUNK_BYTES: usize = 64 * 1024;
/// Bytes that a chunk is longer than its plaintext: prefix and tag.
pub const CHUNK_OVERHEAD_BYTES: u64 = 8 + 16;

/// A key that the client sends with each request (SSE-C). Compared by its MD5 alone.
#[derive(Clone, PartialEq, Eq)]
pub struct CustomerKey {
    key: [u8; 32],
    /// Base64 of its MD5, as the client sends it and answers repeat it.
    pub md5: String,
}

impl CustomerKey {
    /// A key with the base64 of its MD5; whoever makes one has compared the two.
    #[must_use]
    pub fn new(key: [u8; 32], md5: String) -> Self {
        Self { key, md5 }
    }

    /// The key, for the cipher.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.key
    }
}

impl Drop for CustomerKey {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomerKey({})", self.md5)
    }
}

/// Whose key seals the data key of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// This server's master key (SSE-S3, `AES256`).
    Server,
    /// A named key of the configuration (SSE-KMS, `aws:kms`).
    Named(String),
    /// The client's, known by the base64 of its MD5 (SSE-C).
    Customer(String),
}

/// Parts of one size with numbers that follow each other: nearly all uploads have two such runs, so a record holds them
/// where the list of the parts would not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRun {
    /// The number of the first.
    #[serde(rename = "n")]
    pub number: u32,
    /// How many.
    #[serde(rename = "c")]
    pub count: u32,
    /// Plain bytes of each.
    #[serde(rename = "s")]
    pub size: u64,
}

/// How the bytes of an object are encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealing {
    /// Whose key.
    pub scheme: Scheme,
    /// The data key, sealed by it; base64.
    pub data_key: String,
    /// `x-amz-server-side-encryption-bucket-key-enabled`, as answers repeat it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bucket_key: bool,
    /// `x-amz-server-side-encryption-context`: sealed with the data key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The parts that it was assembled from; empty: it is one stream.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartRun>,
}

impl Sealing {
    /// Stored bytes of a body of `size` plain ones.
    #[must_use]
    pub fn stored(&self, size: u64) -> u64 {
        match &self.parts[..] {
            [] => stored_stream(size),
            runs => runs.iter().fold(0, |sum: u64, run| {
                sum.saturating_add(stored_stream(run.size).saturating_mul(u64::from(run.count)))
            }),
        }
    }

    /// Takes note of one more part.
    pub fn add_part(&mut self, number: u32, size: u64) {
        match self.parts.last_mut() {
            Some(run) if run.size == size && run.number.checked_add(run.count) == Some(number) => run.count += 1,
            _ => self.parts.push(PartRun { number, count: 1, size }),
        }
    }
}

/// Stored bytes of one stream of `size` plain ones. An empty one has a chunk too, so that nothing can be made empty.
#[must_use]
pub fn stored_stream(size: u64) -> u64 {
    size.saturating_add(size.div_ceil(SEAL_CHUNK_BYTES as u64).max(1).saturating_mul(CHUNK_OVERHEAD_BYTES))
}

/// What a write asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum EncryptionRequest {
    /// What the bucket says.
    #[default]
    Default,
    /// `AES256`.
    Server,
    /// `aws:kms`.
    Named(NamedRequest),
    /// The client's own key.
    Customer(CustomerKey),
    /// Something that does not fit together: refused once the caller is known to be allowed to write at all.
    Unfit {
        /// The header that is wrong.
        name: &'static str,
        /// A sentence for the client.
        message: &'static str,
    },
}

/// What a write asks for with `aws:kms`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamedRequest {
    /// The key's name, if one was given.
    pub key: Option<String>,
    /// Echoed.
    pub bucket_key: bool,
    /// The context, base64.
    pub context: Option<String>,
}

/// What a bucket says of writes that ask for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultEncryption {
    /// `None`: `AES256`; else `aws:kms` with this key, or with the default one if it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<String>,
    /// Echoed.
    #[serde(default)]
    pub bucket_key: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_bytes_follow_from_plain_ones() {
        for (plain, chunks) in [(0, 1), (1, 1), (65_536, 1), (65_537, 2), (131_072, 2)] {
            assert_eq!(stored_stream(plain), plain + chunks * CHUNK_OVERHEAD_BYTES, "{plain}");
        }
        assert_eq!(stored_stream(u64::MAX), u64::MAX, "forged sizes do not overflow");
    }

    #[test]
    fn parts_of_one_size_are_one_run() {
        let (data_key, parts) = (String::new(), Vec::new());
        let mut sealing = Sealing { scheme: Scheme::Server, data_key, bucket_key: false, context: None, parts };
        for (number, size) in [(1, 9), (2, 9), (4, 9), (5, 3)] {
            sealing.add_part(number, size);
        }
        let run = |number, count, size| PartRun { number, count, size };
        assert_eq!(sealing.parts, [run(1, 2, 9), run(4, 1, 9), run(5, 1, 3)]);
        assert_eq!(sealing.stored(30), 30 + 4 * CHUNK_OVERHEAD_BYTES);
    }

    #[test]
    fn keys_of_clients_are_not_printed() {
        let key = CustomerKey::new([7; 32], "md5".into());
        assert_eq!(format!("{key:?}"), "CustomerKey(md5)");
    }
}
