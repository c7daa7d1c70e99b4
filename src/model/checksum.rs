//! Checksums as S3 knows them: five algorithms, of the whole object or composed of those of its parts.
//!
//! **Invariant:** a [`Checksum`] always holds the base64 text that the wire shows, so every front and the catalog print
//! the same bytes. CRCs are big-endian. Combination of CRCs is exact: the value of a joined object equals the value a
//! single pass over its bytes would give.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc_fast::CrcAlgorithm;
use serde::{Deserialize, Serialize};
use sha1::Digest as _;

/// An algorithm a client may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// CRC-32 (ISO-HDLC).
    #[serde(rename = "CRC32")]
    Crc32,
    /// CRC-32C (Castagnoli).
    #[serde(rename = "CRC32C")]
    Crc32c,
    /// CRC-64/NVME.
    #[serde(rename = "CRC64NVME")]
    Crc64Nvme,
    /// SHA-1.
    #[serde(rename = "SHA1")]
    Sha1,
    /// SHA-256.
    #[serde(rename = "SHA256")]
    Sha256,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// The name on the wire, such as `CRC32C`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// From the name on the wire, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.name().eq_ignore_ascii_case(name))
    }

    /// Bytes of the raw value.
    #[must_use]
    pub fn raw_len(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// The type an upload gets if the client names none: only CRC-64/NVME is of the whole object by default.
    #[must_use]
    pub fn default_kind(self) -> ChecksumKind {
        match self {
            Self::Crc64Nvme => ChecksumKind::FullObject,
            Self::Crc32 | Self::Crc32c | Self::Sha1 | Self::Sha256 => ChecksumKind::Composite,
        }
    }

    /// Whether a multipart upload may use this algorithm with this type: hashes cannot be combined, and CRC-64/NVME
    /// has no composite form.
    #[must_use]
    pub fn allows(self, kind: ChecksumKind) -> bool {
        match kind {
            ChecksumKind::FullObject => !matches!(self, Self::Sha1 | Self::Sha256),
            ChecksumKind::Composite => self != Self::Crc64Nvme,
        }
    }

    fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Self::Sha1 | Self::Sha256 => None,
        }
    }
}

/// What a checksum covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ChecksumKind {
    /// Every byte of the object.
    #[serde(rename = "FULL_OBJECT")]
    FullObject,
    /// The raw checksums of the parts, in order.
    #[serde(rename = "COMPOSITE")]
    Composite,
}

impl ChecksumKind {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FullObject => "FULL_OBJECT",
            Self::Composite => "COMPOSITE",
        }
    }
}

/// One checksum of one object or part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// What it covers.
    pub kind: ChecksumKind,
    /// Base64 of the raw value, with `-N` behind it if composed of N parts.
    pub value: String,
}

impl Checksum {
    /// A checksum of every byte, from its raw value.
    #[must_use]
    pub fn full(algorithm: Algorithm, raw: &[u8]) -> Self {
        Self { algorithm, kind: ChecksumKind::FullObject, value: BASE64.encode(raw) }
    }

    /// The raw value, if this is a well-formed checksum of every byte.
    #[must_use]
    pub fn raw(&self) -> Option<Vec<u8>> {
        decode(self.algorithm, &self.value)
    }

    /// The composite of parts whose checksums are of `algorithm`; `None` if one is malformed.
    #[must_use]
    pub fn compose(algorithm: Algorithm, parts: &[Self]) -> Option<Self> {
        let mut hasher = Hasher::new(algorithm);
        for part in parts {
            hasher.update(&decode(algorithm, &part.value)?);
        }
        let value = format!("{}-{}", BASE64.encode(hasher.finish()), parts.len());
        Some(Self { algorithm, kind: ChecksumKind::Composite, value })
    }

    /// The whole-object CRC of parts with their sizes in bytes; `None` if one is malformed or no CRC.
    #[must_use]
    pub fn combine(algorithm: Algorithm, parts: &[(Self, u64)]) -> Option<Self> {
        let crc = algorithm.crc()?;
        let mut joined: u64 = 0;
        for (i, (part, size)) in parts.iter().enumerate() {
            let value = decode(algorithm, &part.value)?.iter().fold(0, |n, b| (n << 8) | u64::from(*b));
            joined = if i == 0 { value } else { crc_fast::checksum_combine(crc, joined, value, *size) };
        }
        if parts.is_empty() {
            joined = crc_fast::checksum(crc, b"");
        }
        Some(Self::full(algorithm, &joined.to_be_bytes()[8 - algorithm.raw_len()..]))
    }
}

/// The raw value of base64 `text`, if it has the length that `algorithm` gives.
#[must_use]
pub fn decode(algorithm: Algorithm, text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok().filter(|raw| raw.len() == algorithm.raw_len())
}

/// A running checksum.
#[derive(Debug)]
pub struct Hasher(Inner);

#[derive(Debug)]
enum Inner {
    Crc(Box<crc_fast::Digest>, usize),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
}

impl Hasher {
    /// Over no bytes yet.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match (algorithm, algorithm.crc()) {
            (_, Some(crc)) => Inner::Crc(Box::new(crc_fast::Digest::new(crc)), algorithm.raw_len()),
            (Algorithm::Sha1, None) => Inner::Sha1(sha1::Sha1::new()),
            (_, None) => Inner::Sha256(sha2::Sha256::new()),
        })
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Inner::Crc(digest, _) => digest.update(bytes),
            Inner::Sha1(digest) => digest.update(bytes),
            Inner::Sha256(digest) => digest.update(bytes),
        }
    }

    /// The raw value.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        match self.0 {
            Inner::Crc(digest, len) => digest.finalize().to_be_bytes()[8 - len..].to_vec(),
            Inner::Sha1(digest) => digest.finalize().to_vec(),
            Inner::Sha256(digest) => digest.finalize().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(algorithm: Algorithm, bytes: &[u8]) -> Checksum {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        Checksum::full(algorithm, &hasher.finish())
    }

    #[test]
    fn known_values() {
        // Check values of the CRC catalogue and of the two hash standards, for "123456789".
        for (algorithm, hex) in [
            (Algorithm::Crc32, "cbf43926"),
            (Algorithm::Crc32c, "e3069283"),
            (Algorithm::Crc64Nvme, "ae8b14860a799888"),
            (Algorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            (Algorithm::Sha256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
        ] {
            let raw = sum(algorithm, b"123456789").raw().expect("well formed");
            assert_eq!(crate::model::id::hex(&raw), hex, "{algorithm:?}");
        }
    }

    #[test]
    fn combined_equals_one_pass() {
        let body: Vec<u8> = (0..100_000u32).map(|i| (i * 7 % 251) as u8).collect();
        for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
            let parts: Vec<_> = body.chunks(33_333).map(|c| (sum(algorithm, c), c.len() as u64)).collect();
            assert_eq!(Checksum::combine(algorithm, &parts), Some(sum(algorithm, &body)), "{algorithm:?}");
        }
        assert_eq!(Checksum::combine(Algorithm::Sha1, &[]), None);
    }

    #[test]
    fn malformed_parts_do_not_compose() {
        let bad = Checksum { algorithm: Algorithm::Crc32, kind: ChecksumKind::FullObject, value: "????".into() };
        assert_eq!(Checksum::compose(Algorithm::Crc32, &[bad]), None);
    }
}
