//! Where a range of plain bytes lies among the stored ones, and how they become plain again.
//!
//! **Invariant:** no byte is passed on before the tag of its chunk was verified, and only those asked for are. Memory is
//! one chunk and one block of the storage, whatever the range.

use std::fmt;
use std::ops::Range;

use aes_gcm::Aes256Gcm;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};

use super::cipher::{ChunkId, DataKey, STORED_CHUNK_BYTES, open};
use crate::model::encryption::{CHUNK_OVERHEAD_BYTES, PartRun, SEAL_CHUNK_BYTES, Sealing, stored_stream};
use crate::provider::{self, Body};

const CHUNK: u64 = SEAL_CHUNK_BYTES as u64;

/// One chunk of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Spot {
    /// Which run of parts.
    run: usize,
    /// Which part of the run.
    part: u32,
    /// Which chunk of the part.
    chunk: u32,
}

/// A range, and what there is of it in the stored bytes.
#[derive(Debug)]
pub(in crate::store) struct Window {
    stored: Range<u64>,
    runs: Vec<PartRun>,
    first: Spot,
    /// Plain bytes of the first chunk before the range.
    skip: usize,
    /// Plain bytes of the range.
    length: u64,
}

impl Window {
    /// The range `plain` of a body of `size` bytes; `None` if it has none there, which only a damaged row can say. A body
    /// that is not of parts is itself part `number` of something, or 0.
    pub(in crate::store) fn of(sealing: &Sealing, size: u64, number: u32, plain: Range<u64>) -> Option<Self> {
        let runs = match &sealing.parts[..] {
            [] => vec![PartRun { number, count: 1, size }],
            runs => runs.to_vec(),
        };
        let length = plain.end.checked_sub(plain.start)?;
        let start = Spot { run: 0, part: 0, chunk: 0 };
        if length == 0 {
            return Some(Self { stored: 0..0, runs, first: start, skip: 0, length });
        }
        let (first, from, skip) = locate(&runs, plain.start)?;
        let (last, to, _) = locate(&runs, plain.end - 1)?;
        let end = to.checked_add(plain_of(&runs, last)?.checked_add(CHUNK_OVERHEAD_BYTES)?)?;
        Some(Self { stored: from..end, runs, first, skip, length })
    }

    /// The bytes to read from the storage.
    pub(in crate::store) fn stored(&self) -> Range<u64> {
        self.stored.clone()
    }

    /// Makes what was read plain.
    ///
    /// # Errors
    /// [`provider::Error::Failed`] if it is not what was sealed; from the body itself if that comes block by block.
    pub(in crate::store) fn open(self, key: &DataKey, body: Body) -> provider::Result<Body> {
        let mut opener = Opener {
            cipher: key.cipher(),
            runs: self.runs,
            at: self.first,
            skip: self.skip,
            left: self.length,
            prefix: None,
            pending: BytesMut::new(),
        };
        match body {
            Body::Whole(bytes) => {
                opener.pending.extend_from_slice(&bytes);
                let mut plain = BytesMut::new();
                while let Some(chunk) = opener.next()? {
                    plain.extend_from_slice(&chunk);
                }
                if opener.left > 0 { Err(damaged()) } else { Ok(Body::Whole(plain.freeze())) }
            }
            Body::Blocks(blocks) => {
                let opened = stream::unfold(Some((blocks, opener)), |state| async move {
                    let (mut blocks, mut opener) = state?;
                    loop {
                        match opener.next() {
                            Ok(Some(chunk)) => return Some((Ok(chunk), Some((blocks, opener)))),
                            Ok(None) if opener.left == 0 && opener.pending.is_empty() => {
                                // What the storage says at the end of its bytes is about all of them.
                                let said = blocks.next().await?;
                                return Some((said.and_then(|_| Err(damaged())), None));
                            }
                            Ok(None) => {}
                            Err(error) => return Some((Err(error), None)),
                        }
                        match blocks.next().await {
                            Some(Ok(block)) => opener.pending.extend_from_slice(&block),
                            Some(Err(error)) => return Some((Err(error), None)),
                            None => return Some((Err(damaged()), None)),
                        }
                    }
                });
                Ok(Body::Blocks(Box::pin(opened)))
            }
        }
    }
}

/// Stored bytes that do not open.
#[derive(Debug, thiserror::Error)]
#[error("sealed bytes do not open: they were changed, or are another body's")]
struct Damaged;

fn damaged() -> provider::Error {
    provider::Error::Failed(std::io::Error::other(Damaged))
}

/// Whether bytes were read that do not open.
pub(in crate::store) fn is_damage(error: &provider::Error) -> bool {
    matches!(error, provider::Error::Failed(cause) if cause.get_ref().is_some_and(|cause| cause.is::<Damaged>()))
}

/// The chunk that holds a plain byte, where it is stored, and the plain bytes of the chunk before it.
fn locate(runs: &[PartRun], byte: u64) -> Option<(Spot, u64, usize)> {
    let (mut plain, mut stored) = (0u64, 0u64);
    for (run, PartRun { count, size, .. }) in runs.iter().enumerate() {
        let here = size.checked_mul(u64::from(*count))?;
        if let Some(within) = byte.checked_sub(plain).filter(|within| *within < here) {
            let (part, offset) = (within / size, within % size);
            let chunk = offset / CHUNK;
            let at = part.checked_mul(stored_stream(*size))?.checked_add(chunk.checked_mul(STORED_CHUNK_BYTES)?)?;
            let spot = Spot { run, part: u32::try_from(part).ok()?, chunk: u32::try_from(chunk).ok()? };
            return Some((spot, stored.checked_add(at)?, usize::try_from(offset % CHUNK).ok()?));
        }
        plain = plain.checked_add(here)?;
        stored = stored.checked_add(stored_stream(*size).checked_mul(u64::from(*count))?)?;
    }
    None
}

/// Plain bytes of a chunk.
fn plain_of(runs: &[PartRun], spot: Spot) -> Option<u64> {
    let before = u64::from(spot.chunk).checked_mul(CHUNK)?;
    Some(runs.get(spot.run)?.size.checked_sub(before)?.min(CHUNK))
}

/// Stored bytes on their way to plain ones.
struct Opener {
    cipher: Aes256Gcm,
    runs: Vec<PartRun>,
    at: Spot,
    skip: usize,
    /// Plain bytes still to come.
    left: u64,
    /// That of the stream under way: its chunks are of one attempt.
    prefix: Option<[u8; 8]>,
    pending: BytesMut,
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("at", &self.at).field("left", &self.left).finish_non_exhaustive()
    }
}

impl Opener {
    /// The next bytes; `None`: there are no more, or the next chunk is not whole yet. Never empty.
    fn next(&mut self) -> provider::Result<Option<Bytes>> {
        while self.left > 0 {
            let plain = plain_of(&self.runs, self.at).ok_or_else(damaged)?;
            let stored = usize::try_from(plain + CHUNK_OVERHEAD_BYTES).map_err(|_| damaged())?;
            if self.pending.len() < stored {
                return Ok(None);
            }
            let chunk = self.pending.split_to(stored);
            let run = self.runs.get(self.at.run).copied().ok_or_else(damaged)?;
            let last = u64::from(self.at.chunk + 1) * CHUNK >= run.size;
            let id = ChunkId { part: run.number.saturating_add(self.at.part), index: self.at.chunk, last };
            let (prefix, bytes) = open(&self.cipher, id, &chunk).ok_or_else(damaged)?;
            if self.prefix.is_some_and(|other| other != prefix) {
                return Err(damaged());
            }
            self.prefix = (!last).then_some(prefix);
            self.at = match last {
                false => Spot { chunk: self.at.chunk + 1, ..self.at },
                true if self.at.part + 1 < run.count => Spot { part: self.at.part + 1, chunk: 0, ..self.at },
                true => Spot { run: self.at.run + 1, part: 0, chunk: 0 },
            };
            let from = std::mem::take(&mut self.skip).min(bytes.len());
            let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - from);
            self.left -= wanted as u64;
            if wanted > 0 {
                return Ok(Some(bytes.slice(from..from + wanted)));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::cipher::Sealer;
    use super::*;
    use crate::model::encryption::Scheme;

    fn sealing(parts: &[usize]) -> Sealing {
        let (data_key, context) = (String::new(), None);
        let mut sealing = Sealing { scheme: Scheme::Server, data_key, bucket_key: false, context, parts: Vec::new() };
        for (i, size) in parts.iter().enumerate() {
            sealing.add_part(u32::try_from(i + 1).expect("few"), *size as u64);
        }
        sealing
    }

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i as u8).wrapping_mul(31).wrapping_add((i >> 8) as u8)).collect()
    }

    fn sealed(key: &DataKey, part: u32, plain: &[u8]) -> Vec<u8> {
        let mut sealer = Sealer::new(key, part);
        let mut stored: Vec<u8> = sealer.push(plain).concat();
        stored.extend_from_slice(&sealer.end());
        stored
    }

    /// A body as a storage gives it: in blocks of `step` bytes, or whole.
    fn body(stored: &[u8], step: usize) -> Body {
        if step == 0 {
            return Body::Whole(Bytes::copy_from_slice(stored));
        }
        let blocks: Vec<_> = stored.chunks(step).map(|block| Ok(Bytes::copy_from_slice(block))).collect();
        Body::Blocks(Box::pin(stream::iter(blocks)))
    }

    async fn read(window: Window, key: &DataKey, stored: &[u8], step: usize) -> provider::Result<Vec<u8>> {
        let at = |n: u64| usize::try_from(n).expect("small").min(stored.len());
        let range = window.stored();
        let part = &stored[at(range.start)..at(range.end)];
        match window.open(key, body(part, step))? {
            Body::Whole(bytes) => Ok(bytes.to_vec()),
            Body::Blocks(mut blocks) => {
                let mut plain = Vec::new();
                while let Some(block) = blocks.next().await {
                    plain.extend_from_slice(&block?);
                }
                Ok(plain)
            }
        }
    }

    #[tokio::test]
    async fn ranges_around_every_edge_are_exact() {
        let key = DataKey::generate();
        let plain = pattern(3 * SEAL_CHUNK_BYTES + 77);
        let stored = sealed(&key, 0, &plain);
        let sealing = sealing(&[]);
        let edges: Vec<usize> =
            (0..=3).flat_map(|n| (0..3).map(move |d| (n * SEAL_CHUNK_BYTES + d).saturating_sub(1))).collect();
        for (i, from) in edges.iter().enumerate() {
            for to in edges[i..].iter().chain([&plain.len()]) {
                let (from, to) = (*from.min(to), *to.max(from));
                let window = Window::of(&sealing, plain.len() as u64, 0, from as u64..to as u64).expect("inside");
                assert!(window.stored().end - window.stored().start <= (to - from) as u64 + 5 * STORED_CHUNK_BYTES);
                for step in [0, 5000] {
                    let window = Window::of(&sealing, plain.len() as u64, 0, from as u64..to as u64).expect("inside");
                    assert_eq!(
                        read(window, &key, &stored, step).await.expect("opens"),
                        plain[from..to],
                        "{from}..{to}"
                    );
                }
            }
        }
        assert!(Window::of(&sealing, 10, 0, 0..11).is_none());
    }

    #[tokio::test]
    async fn parts_are_streams_behind_each_other() {
        let key = DataKey::generate();
        let sizes = [SEAL_CHUNK_BYTES + 1, SEAL_CHUNK_BYTES + 1, 100, 2 * SEAL_CHUNK_BYTES, 0];
        let plain = pattern(sizes.iter().sum());
        let (mut stored, mut at) = (Vec::new(), 0);
        for (i, size) in sizes.iter().enumerate() {
            stored.extend(sealed(&key, u32::try_from(i + 1).expect("few"), &plain[at..at + size]));
            at += size;
        }
        let sealing = sealing(&sizes);
        assert_eq!(sealing.stored(plain.len() as u64), stored.len() as u64);
        let mut edges: Vec<usize> = vec![0, 1, plain.len()];
        let mut at = 0;
        for size in sizes {
            at += size;
            edges.extend([at - 1, at, at + 1, (at + SEAL_CHUNK_BYTES) - 1]);
        }
        edges.retain(|edge| *edge <= plain.len());
        for from in &edges {
            for to in edges.iter().filter(|to| *to >= from) {
                let window = Window::of(&sealing, plain.len() as u64, 0, *from as u64..*to as u64).expect("inside");
                assert_eq!(read(window, &key, &stored, 7000).await.expect("opens"), plain[*from..*to], "{from}..{to}");
            }
        }
    }

    #[tokio::test]
    async fn damage_is_never_passed_on() {
        let key = DataKey::generate();
        let plain = pattern(2 * SEAL_CHUNK_BYTES + 9);
        let stored = sealed(&key, 0, &plain);
        let size = plain.len() as u64;
        let whole = || Window::of(&sealing(&[]), size, 0, 0..size).expect("inside");
        let chunk = usize::try_from(STORED_CHUNK_BYTES).expect("small");
        let swapped = [&stored[chunk..2 * chunk], &stored[..chunk], &stored[2 * chunk..]].concat();
        let mut spoiled = vec![stored[..chunk].to_vec(), stored[..2 * chunk].to_vec(), swapped, Vec::new()];
        spoiled.push(stored[..stored.len() - 1].to_vec());
        spoiled.push(sealed(&DataKey::generate(), 0, &plain));
        // Chunks of two streams under one key do not mix.
        spoiled.push([&stored[..chunk], &sealed(&key, 0, &plain)[chunk..]].concat());
        for at in [0, 8, 100, chunk, 2 * chunk + 10, stored.len() - 1] {
            let mut flipped = stored.clone();
            flipped[at] ^= 1;
            spoiled.push(flipped);
        }
        for (i, spoiled) in spoiled.iter().enumerate() {
            for step in [0, 5000] {
                assert!(read(whole(), &key, spoiled, step).await.is_err(), "{i} by {step}");
            }
        }
        // A truncated body does not pass for a shorter one either.
        let shorter = SEAL_CHUNK_BYTES as u64;
        let window = Window::of(&sealing(&[]), shorter, 0, 0..shorter).expect("inside");
        assert!(read(window, &key, &stored[..chunk], 0).await.is_err());
    }

    #[tokio::test]
    async fn what_the_storage_says_at_the_end_is_heard() {
        let key = DataKey::generate();
        let stored = sealed(&key, 0, b"abc");
        let blocks = vec![Ok(Bytes::from(stored)), Err(provider::Error::StampMismatch)];
        let body = Body::Blocks(Box::pin(stream::iter(blocks)));
        let window = Window::of(&sealing(&[]), 3, 0, 0..3).expect("inside");
        let Ok(Body::Blocks(blocks)) = window.open(&key, body) else { panic!("blocks stay blocks") };
        let said: Vec<_> = blocks.collect().await;
        assert!(matches!(said.last(), Some(Err(provider::Error::StampMismatch))));
    }
}
