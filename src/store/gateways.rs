//! This process among others that serve the same catalog: saying that it is at work, and doing jobs in turn.
//!
//! **Invariant:** nothing is right only because a process has a turn. Who was taken for gone, or goes on for a moment after
//! its turn has passed to another, does what is decided again by rows.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::catalog::SecretMark;
use crate::config::limits::{GATEWAY_BEAT_SECONDS, GATEWAY_LEASE_SECONDS};
use crate::store::Store;
use crate::store::error::Result;

/// Between two looks whether a job is to be had that another process has.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
const BEAT: Duration = Duration::from_secs(GATEWAY_BEAT_SECONDS);
const LEASE: Duration = Duration::from_secs(GATEWAY_LEASE_SECONDS as u64);

/// What this process knows of its place among the others.
#[derive(Debug, Default)]
pub(super) struct Gateways {
    /// Another one was at work when it began.
    joined: AtomicBool,
    /// Since when it has said without a gap that it is at work.
    steady: Mutex<Option<Instant>>,
}

impl Gateways {
    fn said(&self, ok: bool) {
        let mut steady = self.steady.lock().unwrap_or_else(PoisonError::into_inner);
        *steady = if ok { steady.or_else(|| Some(Instant::now())) } else { None };
    }
}

/// A job that one process does at a time, as this process knows it.
#[derive(Debug)]
pub(super) struct Turn {
    job: String,
    /// Ours until then.
    until: Option<Instant>,
    /// Not to be asked for before.
    next: Option<Instant>,
}

impl Turn {
    pub(super) fn at(job: impl Into<String>) -> Self {
        Self { job: job.into(), until: None, next: None }
    }
}

impl Store {
    /// Says that this process is at work, and with which secrets. Returns those that others have otherwise: with one of
    /// them it must not serve.
    ///
    /// # Errors
    /// Failures of the catalog.
    pub async fn enlist(&self, secrets: &[SecretMark]) -> Result<Vec<String>> {
        let enlisted = self.catalog().enlist(secrets).await?;
        self.0.gateways.joined.store(enlisted.others, Ordering::SeqCst);
        Ok(enlisted.differing)
    }

    /// Says again and again that this process is at work, until `stop`. Nothing else that takes long is done here.
    pub async fn keep_enlisted(&self, stop: CancellationToken) {
        if !self.catalog().is_shared() {
            return;
        }
        while stop.run_until_cancelled(tokio::time::sleep(BEAT)).await.is_some() {
            match stop.run_until_cancelled(self.catalog().beat()).await {
                None => return,
                Some(Ok(true)) => self.0.gateways.said(true),
                Some(Ok(false)) => {
                    self.0.gateways.said(false);
                    tracing::error!(
                        "another process serves under the name of this one: is its state directory a copy?"
                    );
                }
                Some(Err(error)) => {
                    self.0.gateways.said(false);
                    tracing::warn!(%error, "the catalog does not hear that this process is at work");
                }
            }
        }
    }

    /// Whether another process was at work when this one began.
    pub(super) fn joined_others(&self) -> bool {
        self.0.gateways.joined.load(Ordering::SeqCst)
    }

    /// Whether this process was heard for so long that one which was not must be gone.
    pub(super) fn is_steady(&self) -> bool {
        let steady = *self.0.gateways.steady.lock().unwrap_or_else(PoisonError::into_inner);
        steady.is_some_and(|since| since.elapsed() >= LEASE)
    }

    /// Whether a job is this process's now. It stays so while this is asked every few seconds.
    pub(super) async fn has_turn(&self, turn: &mut Turn) -> bool {
        if !self.catalog().is_shared() {
            return true;
        }
        let now = Instant::now();
        let left = turn.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        if left > LEASE / 2 {
            return true;
        }
        if turn.next.is_some_and(|next| now < next) {
            return left > LEASE / 4;
        }
        turn.next = Some(now + LOOK_INTERVAL);
        match self.catalog().lease(&turn.job).await {
            Ok(true) => turn.until = Some(now + LEASE),
            Ok(false) => turn.until = None,
            Err(error) => tracing::debug!(job = turn.job, %error, "the catalog does not say whose turn it is"),
        }
        turn.until.is_some_and(|until| until.saturating_duration_since(Instant::now()) > LEASE / 4)
    }

    /// Does work of a job while it is this process's turn; cut short where it ends. `None`: it is another one's.
    pub(super) async fn in_turn<T>(&self, turn: &mut Turn, work: impl Future<Output = T> + Send) -> Option<T> {
        if !self.has_turn(turn).await {
            return None;
        }
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                () = tokio::time::sleep(LOOK_INTERVAL) => {
                    if !self.has_turn(turn).await {
                        return None;
                    }
                }
            }
        }
    }
}
