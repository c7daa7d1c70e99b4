//! The body of a resumable upload, in pieces, and whose turn it is.
//!
//! **Invariant:** a piece holds what came in order, and no byte is in two; a body that breaks off ends its piece and is
//! no error. Requests for one upload go one after another, and a newer one ends the body of the one before.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use super::error::{Refusal, Result};
use crate::config::limits::TURN_SECONDS_MAX;
use crate::model::id::UploadId;
use crate::store::request::Frames;

/// A body that is taken piece by piece.
#[derive(Clone)]
pub(super) struct Source {
    inner: Arc<tokio::sync::Mutex<Inner>>,
    over: Arc<AtomicBool>,
}

struct Inner {
    frames: Option<Frames>,
    pending: Bytes,
    /// Bytes that may still come.
    left: u64,
    ended: CancellationToken,
}

/// One piece.
pub(super) struct Taken {
    pub(super) frames: Frames,
    /// How many bytes it gave.
    pub(super) bytes: Arc<AtomicU64>,
}

impl Source {
    /// Of at most `left` bytes, until `ended`.
    pub(super) fn new(frames: Frames, left: u64, ended: CancellationToken) -> Self {
        let inner = Inner { frames: Some(frames), pending: Bytes::new(), left, ended };
        Self { inner: Arc::new(tokio::sync::Mutex::new(inner)), over: Arc::new(AtomicBool::new(false)) }
    }

    /// Whether there is at least one byte more.
    pub(super) async fn has_more(&self) -> bool {
        self.fill(&mut *self.inner.lock().await).await
    }

    /// Whether more came than may.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    async fn fill(&self, inner: &mut Inner) -> bool {
        while inner.pending.is_empty() {
            let Some(frames) = &mut inner.frames else { return false };
            let frame = inner.ended.run_until_cancelled(frames.next()).await.flatten();
            match frame {
                Some(Ok(frame)) if frame.len() as u64 > inner.left => {
                    self.over.store(true, Ordering::SeqCst);
                    inner.frames = None;
                }
                Some(Ok(frame)) => {
                    inner.left -= frame.len() as u64;
                    inner.pending = frame;
                }
                Some(Err(_)) | None => inner.frames = None,
            }
        }
        true
    }

    /// The next piece, of at most so many bytes.
    pub(super) fn piece(&self, most: u64) -> Taken {
        let bytes = Arc::new(AtomicU64::new(0));
        let (source, given) = (self.clone(), Arc::clone(&bytes));
        let frames = stream::unfold((source, given), move |(source, given)| async move {
            let room = most - given.load(Ordering::SeqCst);
            let inner = Arc::clone(&source.inner);
            let mut inner = inner.lock().await;
            if room == 0 || !source.fill(&mut inner).await {
                return None;
            }
            let size = usize::try_from(room).unwrap_or(usize::MAX).min(inner.pending.len());
            let frame = inner.pending.split_to(size);
            given.fetch_add(frame.len() as u64, Ordering::SeqCst);
            drop(inner);
            Some((Ok(frame), (source, given)))
        });
        Taken { frames: Box::pin(frames), bytes }
    }
}

/// Whose turn it is, for each upload that is being written.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<Mutex<HashMap<UploadId, Line>>>);

#[derive(Debug, Clone)]
struct Line {
    lock: Arc<tokio::sync::Mutex<()>>,
    /// Ends the body of whoever has the turn.
    holder: CancellationToken,
    /// How many have it or wait for it.
    here: usize,
}

/// A turn, for as long as the value lives.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Turns,
    id: UploadId,
    ended: CancellationToken,
    held: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl Turns {
    /// Ends whoever has the turn, and waits for it.
    pub(super) async fn next(&self, id: UploadId) -> Result<Turn> {
        let ended = CancellationToken::new();
        let lock = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Line { lock: Arc::default(), holder: CancellationToken::new(), here: 0 };
            let line = all.entry(id).or_insert_with(new);
            line.holder.cancel();
            line.holder = ended.clone();
            line.here += 1;
            Arc::clone(&line.lock)
        };
        let mut turn = Turn { turns: self.clone(), id, ended, held: None };
        match tokio::time::timeout(Duration::from_secs(TURN_SECONDS_MAX), lock.lock_owned()).await {
            Ok(held) => {
                turn.held = Some(held);
                Ok(turn)
            }
            Err(_) => Err(Refusal::new(423, "ResourceLocked", "The resource is locked", "ResourceLocked")),
        }
    }
}

impl Turn {
    /// Ends when somebody else asks for the upload.
    pub(super) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.held = None;
        let mut all = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = all.get_mut(&self.id) {
            line.here -= 1;
            if line.here == 0 {
                all.remove(&self.id);
            }
        }
    }
}
