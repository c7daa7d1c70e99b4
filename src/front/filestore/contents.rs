//! Contents on their way into an item: as they came, or out of base64.
//!
//! **Invariant:** what is no base64 to its end becomes no item; of a body that is decoded no more is held than a frame
//! and three characters. What had to wait for its turn to be in memory keeps it until it is gone from there.

use std::sync::Arc;

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use base64::{alphabet, engine};
use futures_util::{StreamExt as _, stream};
use tokio::sync::OwnedSemaphorePermit;

use crate::store::BodyError;
use crate::store::request::{Behind, Frames, Incoming};

/// Takes both alphabets once they are made one, with padding or without.
const BASE64: GeneralPurpose = engine::GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Which lets a large body be in memory.
pub(super) type Turn = Option<Arc<OwnedSemaphorePermit>>;

/// Bytes that the store may still read, or hash, when the client has left.
struct Held {
    bytes: Bytes,
    _turn: Turn,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Bytes that were sent.
pub(super) enum Contents {
    /// In memory, with the turn of the body that they came in.
    Whole(Bytes, Turn),
    /// As they come.
    Stream {
        /// The bytes.
        frames: Frames,
        /// How many, if that was said.
        length: Option<u64>,
        /// How long the request around them is, if that was said.
        around: Option<u64>,
        /// What stands behind them.
        behind: Option<Behind>,
    },
}

impl Contents {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Whole(bytes, _) => bytes.is_empty(),
            Self::Stream { length, .. } => *length == Some(0),
        }
    }

    /// As the store takes them.
    ///
    /// # Errors
    /// [`BodyError::Malformed`] if they are in memory and no base64.
    pub(super) fn incoming(self, decode: bool) -> Result<(Incoming, Option<Behind>), BodyError> {
        let (frames, length, around, behind): (Frames, _, _, _) = match self {
            Self::Whole(bytes, turn) => {
                let bytes = if decode { decoded(&bytes)? } else { bytes };
                let length = Some(bytes.len() as u64);
                let bytes = Bytes::from_owner(Held { bytes, _turn: turn });
                (Box::pin(stream::iter([Ok(bytes)])), length, None, None)
            }
            Self::Stream { frames, length, around, behind } if decode => {
                (decoding(frames), None, length.or(around), behind)
            }
            Self::Stream { frames, length, around, behind } => (frames, length, around, behind),
        };
        Ok((Incoming { around, ..Incoming::new(frames, length) }, behind))
    }
}

/// The letters of the usual alphabet, without white space.
fn letters(text: &[u8]) -> impl Iterator<Item = u8> {
    text.iter().filter(|byte| !byte.is_ascii_whitespace()).map(|byte| match byte {
        b'-' => b'+',
        b'_' => b'/',
        byte => *byte,
    })
}

fn decoded(text: &[u8]) -> Result<Bytes, BodyError> {
    let letters: Vec<u8> = letters(text).collect();
    BASE64.decode(letters).map(Bytes::from).map_err(|_| BodyError::Malformed)
}

/// Decodes what comes, four letters at a time.
fn decoding(frames: Frames) -> Frames {
    Box::pin(stream::unfold(Some((frames, Vec::new())), |state| async move {
        let (mut frames, mut held): (Frames, Vec<u8>) = state?;
        match frames.next().await {
            Some(Ok(frame)) => {
                held.extend(letters(&frame));
                let whole = held.len() / 4 * 4;
                let rest = held.split_off(whole);
                // Padding is only at the end.
                if held.contains(&b'=') && !rest.is_empty() {
                    return Some((Err(BodyError::Malformed), None));
                }
                let ended = held.contains(&b'=');
                match BASE64.decode(&held) {
                    Ok(bytes) if ended => Some((Ok(bytes.into()), Some((only_white(frames), rest)))),
                    Ok(bytes) => Some((Ok(bytes.into()), Some((frames, rest)))),
                    Err(_) => Some((Err(BodyError::Malformed), None)),
                }
            }
            Some(Err(error)) => Some((Err(error), None)),
            None if held.is_empty() => None,
            None => match BASE64.decode(&held) {
                Ok(bytes) => Some((Ok(bytes.into()), None)),
                Err(_) => Some((Err(BodyError::Malformed), None)),
            },
        }
    }))
}

/// What may follow padding: nothing but white space.
fn only_white(frames: Frames) -> Frames {
    Box::pin(frames.map(|frame| match frame {
        Ok(frame) if letters(&frame).next().is_some() => Err(BodyError::Malformed),
        other => other.map(|_| Bytes::new()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn streamed(text: &str, size: usize) -> Result<Vec<u8>, BodyError> {
        let frames: Vec<_> = text.as_bytes().chunks(size).map(|frame| Ok(Bytes::copy_from_slice(frame))).collect();
        let mut frames = decoding(Box::pin(stream::iter(frames)));
        let mut all = Vec::new();
        while let Some(frame) = frames.next().await {
            all.extend_from_slice(&frame?);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn a_turn_lasts_as_long_as_what_it_was_for() {
        let turns = Arc::new(tokio::sync::Semaphore::new(1));
        for decode in [false, true] {
            let turn = Arc::clone(&turns).acquire_owned().await.expect("a turn");
            let contents = Contents::Whole("aGVsbG8=".into(), Some(Arc::new(turn)));
            let (mut incoming, _) = contents.incoming(decode).expect("base64");
            let frame = incoming.frames.next().await.expect("a frame").expect("bytes");
            assert_eq!(frame, if decode { "hello" } else { "aGVsbG8=" });
            drop(incoming);
            assert_eq!(turns.available_permits(), 0);
            drop(frame);
            assert_eq!(turns.available_permits(), 1);
        }
    }

    #[tokio::test]
    async fn base64_is_read_however_it_is_cut() {
        for (text, bytes) in [
            ("", Some(&b""[..])),
            ("aGVsbG8gd29ybGQ=", Some(b"hello world")),
            ("aGVsbG8gd29ybGQ", Some(b"hello world")),
            ("aGVs bG8g\r\nd29y bGQ= \n", Some(b"hello world")),
            ("--__", Some(b"\xfb\xef\xff")),
            ("++//", Some(b"\xfb\xef\xff")),
            ("a", None),
            ("aGVs*G8", None),
            ("aGVsbG8=aGVs", None),
            ("=", None),
        ] {
            let whole = decoded(text.as_bytes()).ok();
            assert_eq!(whole.as_deref(), bytes, "{text}");
            for size in [1, 2, 3, 5, 64] {
                assert_eq!(streamed(text, size).await.ok().as_deref(), bytes, "{text} in {size}");
            }
        }
    }
}
