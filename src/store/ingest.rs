//! Bodies on their way in: streamed into a stage, hashed on the way, and held against what was declared.
//!
//! **Invariant:** a body that does not end exactly as declared (length, MD5, checksum, trailer) never reaches
//! [`crate::provider::Stage::publish`]. Memory is a few blocks, whatever the body's size.

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use md5::{Digest as _, Md5};

use crate::config::limits::{BLOCK_BYTES, INLINE_BYTES_MOST};
use crate::model::checksum::{Algorithm, Checksum, Hasher};
use crate::provider::Stage;
use crate::store::error::{BodyError, Error, Result};
use crate::store::request::Incoming;

/// Bodies up to this size are hashed where they are read; larger blocks go to a thread that may block.
const HASH_INLINE_BYTES_MAX: usize = 32 * 1024;

/// What is known of bytes that passed through.
#[derive(Debug, Clone)]
pub(super) struct Digest {
    pub(super) size: u64,
    pub(super) md5: [u8; 16],
    pub(super) crc64nvme: u64,
    /// The checksum to show: the one asked for, else CRC-64/NVME.
    pub(super) checksum: Checksum,
    /// The body itself, if it is no longer than what the catalog may keep.
    pub(super) whole: Option<Bytes>,
}

impl Digest {
    pub(super) fn etag(&self) -> String {
        crate::model::id::hex(&self.md5)
    }
}

/// All hashes of one body.
struct Hashes {
    md5: Md5,
    crc: Hasher,
    asked: Option<(Algorithm, Hasher)>,
    size: u64,
}

impl Hashes {
    fn new(asked: Option<Algorithm>) -> Self {
        // CRC-64/NVME is computed of every body; asking for it costs nothing more.
        let asked = asked.filter(|a| *a != Algorithm::Crc64Nvme).map(|a| (a, Hasher::new(a)));
        Self { md5: Md5::new(), crc: Hasher::new(Algorithm::Crc64Nvme), asked, size: 0 }
    }

    fn update(&mut self, frames: &[Bytes]) {
        for frame in frames {
            self.md5.update(frame);
            self.crc.update(frame);
            if let Some((_, hasher)) = &mut self.asked {
                hasher.update(frame);
            }
            self.size += frame.len() as u64;
        }
    }

    fn finish(self) -> Digest {
        let crc = self.crc.finish();
        let checksum = match self.asked {
            Some((algorithm, hasher)) => Checksum::full(algorithm, &hasher.finish()),
            None => Checksum::full(Algorithm::Crc64Nvme, &crc),
        };
        let crc64nvme = crc.iter().fold(0, |n, b| (n << 8) | u64::from(*b));
        Digest { size: self.size, md5: self.md5.finalize().into(), crc64nvme, checksum, whole: None }
    }
}

/// Streams a client's body into `stage` and holds it against its declaration.
///
/// # Errors
/// [`BodyError`]s, [`Error::BadDigest`], [`Error::TooLarge`], failures of the storage. The stage is to be dropped then.
pub(super) async fn receive(body: Incoming, stage: &mut dyn Stage, bytes_max: u64) -> Result<Digest> {
    if body.length.is_some_and(|length| length > bytes_max) {
        return Err(Error::TooLarge { bytes_max });
    }
    let algorithm = body.checksum.as_ref().map(|c| c.algorithm).or(body.algorithm);
    let most = body.length.unwrap_or(bytes_max);
    let digest = pour(body.frames, stage, most, algorithm).await.map_err(|error| match (error, body.length) {
        (Error::TooLarge { .. }, Some(_)) => Error::Body(BodyError::Incomplete),
        (error, _) => error,
    })?;
    if body.length.is_some_and(|length| length != digest.size) {
        return Err(BodyError::Incomplete.into());
    }
    if body.md5.is_some_and(|md5| md5 != digest.md5) {
        return Err(Error::BadDigest);
    }
    let declared = match (body.checksum, body.trailer) {
        (Some(checksum), _) => Some(checksum),
        (None, Some(trailer)) => Some(trailer()?),
        (None, None) => None,
    };
    match declared {
        Some(declared) if declared != digest.checksum => Err(Error::BadDigest),
        _ => Ok(digest),
    }
}

/// Streams bytes into `stage` and hashes them.
///
/// # Errors
/// Those of the stream and of the storage; [`Error::TooLarge`] after more than `bytes_max` bytes.
pub(super) async fn pour<S, E>(
    mut frames: S,
    stage: &mut dyn Stage,
    bytes_max: u64,
    algorithm: Option<Algorithm>,
) -> Result<Digest>
where
    S: Stream<Item = std::result::Result<Bytes, E>> + Unpin + Send,
    E: Into<Error>,
{
    let mut hashes = Hashes::new(algorithm);
    let mut left = bytes_max;
    loop {
        let (block, ended) = next_block(&mut frames).await?;
        let len: usize = block.iter().map(Bytes::len).sum();
        let whole = (ended && left == bytes_max && len <= INLINE_BYTES_MOST).then(|| joined(&block));
        left = left.checked_sub(len as u64).ok_or(Error::TooLarge { bytes_max })?;
        hashes = write_and_hash(block, len, stage, hashes).await?;
        if ended {
            return Ok(Digest { whole, ..hashes.finish() });
        }
    }
}

/// Frames that make up at least a block, or the rest.
async fn next_block<S, E>(frames: &mut S) -> Result<(Vec<Bytes>, bool)>
where
    S: Stream<Item = std::result::Result<Bytes, E>> + Unpin + Send,
    E: Into<Error>,
{
    let (mut block, mut len) = (Vec::new(), 0);
    while len < BLOCK_BYTES {
        match frames.next().await {
            // The first error ends it: some streams go on with bytes after one.
            Some(frame) => {
                let frame = frame.map_err(Into::into)?;
                len += frame.len();
                block.push(frame);
            }
            None => return Ok((block, true)),
        }
    }
    Ok((block, false))
}

fn joined(frames: &[Bytes]) -> Bytes {
    match frames {
        [] => Bytes::new(),
        [one] => one.clone(),
        many => many.concat().into(),
    }
}

async fn write_and_hash(block: Vec<Bytes>, len: usize, stage: &mut dyn Stage, mut hashes: Hashes) -> Result<Hashes> {
    if len <= HASH_INLINE_BYTES_MAX {
        hashes.update(&block);
        for frame in block {
            stage.write(frame).await?;
        }
        return Ok(hashes);
    }
    let hashed = block.clone();
    let hashing = tokio::task::spawn_blocking(move || {
        hashes.update(&hashed);
        hashes
    });
    for frame in block {
        stage.write(frame).await?;
    }
    Ok(hashing.await?)
}
