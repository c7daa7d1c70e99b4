//! The deep check: every byte is read and held against what the catalog says of it.
//!
//! **Invariant:** memory is one block and the sums of the parts; bytes that move while they are read prove nothing, and
//! nothing is said of them.

use bytes::Bytes;
use futures_util::StreamExt as _;
use md5::{Digest as _, Md5};

use crate::model::checksum::{Algorithm, Checksum, ChecksumKind, Hasher};
use crate::model::id::hex;
use crate::model::object::Object;
use crate::model::place::{Place, Stamp};
use crate::model::upload::{Part, Upload};
use crate::provider;
use crate::store::Store;
use crate::store::bound::{Bound, is_absent};
use crate::store::error::{Error, Result};
use crate::store::get::blocks;
use crate::store::seal::{Reading, is_damage, shows_md5};

/// The sums of some bytes.
struct Sums {
    md5: Md5,
    crc: Hasher,
    asked: Option<Hasher>,
}

/// A finished [`Sums`].
struct Summed {
    md5: [u8; 16],
    crc: Vec<u8>,
    asked: Option<Vec<u8>>,
}

impl Sums {
    fn new(asked: Option<Algorithm>) -> Self {
        Self { md5: Md5::new(), crc: Hasher::new(Algorithm::Crc64Nvme), asked: asked.map(Hasher::new) }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.crc.update(bytes);
        if let Some(asked) = &mut self.asked {
            asked.update(bytes);
        }
    }

    fn finish(self) -> Summed {
        Summed { md5: self.md5.finalize().into(), crc: self.crc.finish(), asked: self.asked.map(Hasher::finish) }
    }
}

/// The sums of a body as a whole and of the parts it was made of.
struct Body {
    whole: Sums,
    parts: Vec<Summed>,
    part: Sums,
    sizes: std::vec::IntoIter<u64>,
    /// Bytes that the part under way still takes.
    left: u64,
    asked: Option<Algorithm>,
}

impl Body {
    fn new(sizes: Vec<u64>, asked: Option<Algorithm>) -> Self {
        let mut sizes = sizes.into_iter();
        let left = sizes.next().unwrap_or(u64::MAX);
        Self { whole: Sums::new(asked), parts: Vec::new(), part: Sums::new(asked), sizes, left, asked }
    }

    fn update(&mut self, block: &Bytes) {
        self.whole.update(block);
        let mut rest = &block[..];
        while !rest.is_empty() {
            self.end_parts();
            let now = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
            self.part.update(&rest[..now]);
            self.left -= now as u64;
            rest = &rest[now..];
        }
    }

    /// Ends the parts that are full, also empty ones.
    fn end_parts(&mut self) {
        while self.left == 0 {
            let full = std::mem::replace(&mut self.part, Sums::new(self.asked));
            self.parts.push(full.finish());
            self.left = self.sizes.next().unwrap_or(u64::MAX);
        }
    }

    fn finish(mut self) -> (Summed, Vec<Summed>) {
        self.end_parts();
        (self.whole.finish(), self.parts)
    }
}

/// What reading every byte told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They are those of the ETag and the checksums.
    Intact,
    /// They are not, or cannot be decrypted with the key that belongs to them.
    Corrupt,
    /// They moved while they were read, which proves nothing.
    Moved,
    /// They are encrypted with a client's key, or one that is not configured here: nothing can be said.
    Sealed,
}

impl Store {
    /// Whether the bytes of an object are those of its ETag and checksums.
    pub(super) async fn is_intact(&self, bound: &Bound, object: &Object, place: &Place) -> Result<Verdict> {
        let asked = object.checksum.as_ref().map(|sum| sum.algorithm);
        let sizes = object.parts.iter().map(|part| part.size).collect();
        let reading = self.reading(bound, object, None, || Ok(0..object.size));
        let body = Body::new(sizes, asked);
        self.summed(bound, place, &object.stamp, reading, body, |(whole, parts)| agrees(object, whole, parts)).await
    }

    /// The same of a part of an upload.
    pub(super) async fn is_part_intact(&self, bound: &Bound, upload: &Upload, part: &Part) -> Result<Verdict> {
        let asked = part.checksum.as_ref().map(|sum| sum.algorithm);
        let place = Place::Managed(part.attempt);
        let reading = self.reading_of_part(bound, upload, part);
        let shown = shows_md5(upload.attached.sealing.as_ref());
        self.summed(bound, &place, &part.stamp, reading, Body::new(Vec::new(), asked), |(whole, _)| {
            let sum = part.checksum.as_ref().is_none_or(|sum| sum.raw() == whole.asked);
            (!shown || hex(&whole.md5) == part.etag) && whole.crc == part.crc64nvme.to_be_bytes() && sum
        })
        .await
    }

    async fn summed(
        &self,
        bound: &Bound,
        place: &Place,
        stamp: &Stamp,
        reading: Result<Reading>,
        mut body: Body,
        agrees: impl FnOnce(&(Summed, Vec<Summed>)) -> bool + Send,
    ) -> Result<Verdict> {
        let reading = match reading {
            Ok(reading) => reading,
            Err(Error::InvalidRequest(_) | Error::UnknownEncryptionKey) => return Ok(Verdict::Sealed),
            // What nobody can decrypt any more is as lost as what was overwritten.
            Err(Error::Internal(_)) => return Ok(Verdict::Corrupt),
            Err(error) => return Err(error),
        };
        let read = bound.provider.read(bound.place(), place, stamp, reading.stored()).await;
        let mut blocks = match read.and_then(|read| reading.open(read)) {
            Ok(read) => blocks(read),
            Err(error) => return failed(error),
        };
        while let Some(block) = blocks.next().await {
            match block {
                Ok(block) => body.update(&block),
                Err(error) => return failed(error),
            }
        }
        Ok(if agrees(&body.finish()) { Verdict::Intact } else { Verdict::Corrupt })
    }
}

fn failed(error: provider::Error) -> Result<Verdict> {
    match error {
        error if is_absent(&error) => Ok(Verdict::Moved),
        error if is_damage(&error) => Ok(Verdict::Corrupt),
        // Nobody can read it until its storage brings it back.
        provider::Error::Archived => Ok(Verdict::Sealed),
        error => Err(error.into()),
    }
}

fn agrees(object: &Object, whole: &Summed, parts: &[Summed]) -> bool {
    if parts.len() != object.parts.len() {
        return false;
    }
    let crc = object.crc64nvme.is_none_or(|crc| whole.crc == crc.to_be_bytes());
    let etag = if !shows_md5(object.attached.sealing.as_ref()) {
        true
    } else if object.parts.is_empty() {
        // The ETag of a file that nobody hashed is made of its stamp, and one of parts that are not known says nothing.
        object.etag.contains('-') || object.etag == hex(&whole.md5)
    } else {
        let mut md5 = Md5::new();
        parts.iter().for_each(|part| md5.update(part.md5));
        object.etag == format!("{}-{}", hex(&md5.finalize()), parts.len())
    };
    let of_parts = object.parts.iter().zip(parts).all(|(fact, part)| match (&fact.checksum, &part.asked) {
        (Some(fact), Some(raw)) => fact.raw().as_ref() == Some(raw),
        (Some(_), None) | (None, _) => true,
    });
    crc && etag && of_parts && object.checksum.as_ref().is_none_or(|sum| shows(sum, whole, parts))
}

/// Whether a checksum that clients are shown is that of the bytes.
fn shows(sum: &Checksum, whole: &Summed, parts: &[Summed]) -> bool {
    match sum.kind {
        ChecksumKind::FullObject => sum.raw() == whole.asked,
        // Without its parts a composite cannot be made again.
        ChecksumKind::Composite if parts.is_empty() => true,
        ChecksumKind::Composite => {
            let raw = parts.iter().filter_map(|part| part.asked.as_ref());
            let sums: Vec<_> = raw.map(|raw| Checksum::full(sum.algorithm, raw)).collect();
            Checksum::compose(sum.algorithm, &sums).is_some_and(|made| made.value == sum.value)
        }
    }
}
