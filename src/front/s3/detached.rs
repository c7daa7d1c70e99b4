//! Bodies of signed requests that do not say how long they are.
//!
//! s3s takes a signed body only if it knows its length, though neither the signature nor the store needs it. Such a body
//! goes around s3s: it verifies the request with an empty one, and the handler takes the body from here.
//!
//! **Invariant:** the end of the body is reported only after its bytes had the hash that is signed, if one is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use s3s::Body;
use sha2::{Digest as _, Sha256};

use crate::config::limits::BODY_IDLE_SECONDS_MAX;
use crate::model::id::unhex;
use crate::store::BodyError;
use crate::store::request::Frames;

/// What is compared at the end: the hash so far, and the signed one.
type Hash = (Sha256, [u8; 32]);

/// What is on its way: a body, with the hash it must have if one is signed, or frames that were read out of one.
enum Whole {
    Body(Body, Option<Hash>),
    Frames(Frames),
}

/// The body on its way around s3s.
#[derive(Clone)]
pub(super) struct Detached(Arc<Mutex<Option<Whole>>>);

impl Detached {
    /// Takes the body if s3s would refuse it for its unknown length: signed as a whole, or not at all but under a signed
    /// header that says so. Chunked framing is left to s3s, which is told the length in a header of its own.
    pub(super) fn take(headers: &HeaderMap, body: Body) -> Result<Self, Body> {
        let hash = match headers.get("x-amz-content-sha256").map(http::HeaderValue::as_bytes) {
            Some(b"UNSIGNED-PAYLOAD") => None,
            Some(hex) => match std::str::from_utf8(hex).ok().and_then(unhex::<32>) {
                Some(wanted) => Some((Sha256::new(), wanted)),
                None => return Err(body),
            },
            None => return Err(body),
        };
        Ok(Self::new(Whole::Body(body, hash)))
    }

    /// Of frames that were read out of another body.
    pub(super) fn of(frames: Frames) -> Self {
        Self::new(Whole::Frames(frames))
    }

    fn new(whole: Whole) -> Self {
        Self(Arc::new(Mutex::new(Some(whole))))
    }

    /// The frames of the body, once.
    pub(super) fn frames(&self) -> Option<Frames> {
        let (body, hash) = match self.0.lock().unwrap_or_else(PoisonError::into_inner).take()? {
            Whole::Body(body, hash) => (body, hash),
            Whole::Frames(frames) => return Some(frames),
        };
        Some(Box::pin(stream::unfold(Some((body, hash)), |state| async move {
            let (mut body, mut hash) = state?;
            match next(&mut body, &mut hash).await {
                Ok(Some(data)) => Some((Ok(data), Some((body, hash)))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })))
    }
}

async fn next(body: &mut Body, hash: &mut Option<Hash>) -> Result<Option<Bytes>, BodyError> {
    let idle = Duration::from_secs(BODY_IDLE_SECONDS_MAX);
    loop {
        match tokio::time::timeout(idle, body.frame()).await {
            Err(_) => return Err(BodyError::Timeout),
            Ok(Some(Err(_))) => return Err(BodyError::Gone),
            Ok(None) => {
                let wrong = hash.take().is_some_and(|(hasher, wanted)| hasher.finalize()[..] != wanted);
                return if wrong { Err(BodyError::SignedHash) } else { Ok(None) };
            }
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    if let Some((hasher, _)) = hash {
                        hasher.update(&data);
                    }
                    return Ok(Some(data));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    async fn read(hash: &str) -> Option<Result<usize, BodyError>> {
        let headers = [("x-amz-content-sha256".parse().expect("a name"), hash.parse().expect("a value"))];
        let body = Body::from(Bytes::from_static(b"123456789"));
        let detached = Detached::take(&headers.into_iter().collect(), body).ok()?;
        let mut frames = detached.frames().expect("the first time");
        assert!(detached.frames().is_none());
        let mut bytes = 0;
        while let Some(frame) = frames.next().await {
            match frame {
                Ok(frame) => bytes += frame.len(),
                Err(error) => return Some(Err(error)),
            }
        }
        Some(Ok(bytes))
    }

    #[tokio::test]
    async fn the_signed_hash_is_compared() {
        let right = "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225";
        assert!(matches!(read(right).await, Some(Ok(9))));
        assert!(matches!(read("UNSIGNED-PAYLOAD").await, Some(Ok(9))));
        assert!(matches!(read(&"0".repeat(64)).await, Some(Err(BodyError::SignedHash))));
        assert!(read("STREAMING-UNSIGNED-PAYLOAD-TRAILER").await.is_none());
    }
}
