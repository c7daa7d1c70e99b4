//! Steps that were not taken right after their commit: after a crash, a failure, or for a process that is gone.
//!
//! **Invariant:** a step of another process that is at work is its own to forget. One that was taken over is of a file of
//! which nobody knows whether it is whole, so it is written anew where the catalog keeps its bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::catalog::Task;
use crate::config::limits::UPLOADS_KEPT_SECONDS;
use crate::model::id::BucketId;
use crate::model::name::BucketName;
use crate::model::time::{Clock, Timestamp};
use crate::store::bound::Bound;
use crate::store::error::Result;
use crate::store::{SERVICE, Store};

/// Between two settlements.
const SETTLE_INTERVAL: Duration = Duration::from_millis(500);
/// Settlements between two passes over steps that were not taken at once.
const PASSES_BETWEEN_REPLAYS: u32 = 10;
/// Rows read from the outbox at a time.
pub(super) const TASKS_PAGE: usize = 1000;

/// The steps of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// This process's.
    Ours,
    /// Those of others too.
    All,
}

impl Store {
    /// Takes every step that an earlier process left owed. Files that were not durable may be damaged by now.
    pub(super) async fn replay_after_start(&self) -> Result<()> {
        self.take_over_steps().await?;
        self.distrust_what_is_owed().await?;
        self.replay(i64::MAX).await
    }

    /// Files of the steps that are owed now may be damaged.
    pub(super) async fn distrust_what_is_owed(&self) -> Result<()> {
        self.0.outbox.distrust(self.newest_task(0).await?);
        Ok(())
    }

    /// Makes the steps this process's that belong to none at work. Returns their numbers.
    pub(super) async fn take_over_steps(&self) -> Result<BTreeSet<i64>> {
        let mut all = BTreeSet::new();
        loop {
            let taken = self.catalog().take_over(&SERVICE, TASKS_PAGE).await?;
            self.0.outbox.distrust_these(&taken);
            all.extend(&taken);
            if taken.len() < TASKS_PAGE {
                return Ok(all);
            }
        }
    }

    /// Takes the steps of processes that are gone.
    async fn take_what_is_left(&self) -> Result<()> {
        // After a silence of the catalog nobody has said anything for a while, and all may be at work.
        if !self.is_steady() {
            return Ok(());
        }
        let taken = self.take_over_steps().await?;
        if taken.is_empty() {
            return Ok(());
        }
        tracing::info!(steps = taken.len(), "what a process left that is gone is taken over");
        self.replay_those(i64::MAX, Whose::Ours, |task| taken.contains(&task.id)).await
    }

    /// Takes every step of this process up to number `until` that is still owed.
    pub(super) async fn replay(&self, until: i64) -> Result<()> {
        self.replay_those(until, Whose::Ours, |_| true).await
    }

    /// Takes every step that is still owed in one bucket.
    pub(super) async fn replay_of(&self, bucket: BucketId) -> Result<()> {
        self.replay_those(i64::MAX, Whose::All, |task| task.task.bucket == bucket).await
    }

    async fn replay_those(&self, until: i64, whose: Whose, wanted: impl Fn(&Task) -> bool + Send) -> Result<()> {
        let mut after = 0;
        loop {
            let page = match whose {
                Whose::Ours => self.catalog().own_tasks(&SERVICE, after, TASKS_PAGE).await?,
                Whose::All => self.catalog().tasks(&SERVICE, after, TASKS_PAGE).await?,
            };
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            let mut bounds: BTreeMap<BucketId, Option<Arc<Bound>>> = BTreeMap::new();
            for task in page.iter().filter(|task| task.id <= until && wanted(task)) {
                let id = task.task.bucket;
                if let std::collections::btree_map::Entry::Vacant(entry) = bounds.entry(id) {
                    entry.insert(self.bound_by_id(id).await?);
                }
                if let Some(Some(bound)) = bounds.get(&id) {
                    let _order = self.0.locks.lock(id, &task.task.key).await;
                    self.take_step(bound, task).await;
                }
            }
            if after >= until {
                return Ok(());
            }
        }
    }

    /// The bucket of a number; `None` if it or its container is not there. Replay is rare, buckets are few.
    async fn bound_by_id(&self, id: BucketId) -> Result<Option<Arc<Bound>>> {
        let mut after: Option<BucketName> = None;
        loop {
            let page = self.catalog().buckets(&SERVICE, "", after.as_ref().map(BucketName::as_str), TASKS_PAGE).await?;
            let Some(last) = page.last() else { return Ok(None) };
            after = Some(last.name.clone());
            if let Some(bucket) = page.into_iter().find(|bucket| bucket.id == id) {
                // A bucket whose storage cannot be reached keeps what is owed to it, and holds nobody else up.
                return match self.bound(&bucket.name).await {
                    Ok(bound) => Ok(bound.container.is_some().then_some(bound)),
                    Err(error) => {
                        tracing::warn!(bucket = %bucket.name, %error, "steps stay owed");
                        Ok(None)
                    }
                };
            }
        }
    }

    /// Background work until `stop`: settle, replay, notice what other processes changed. Walks, which may take hours,
    /// are [`Store::keep_up`].
    pub async fn run(&self, stop: CancellationToken) {
        let mut generation = 0;
        let (mut pass, mut horizon) = (0u32, 0);
        while stop.run_until_cancelled(tokio::time::sleep(SETTLE_INTERVAL)).await.is_some() {
            self.settle().await;
            if let Err(error) = self.adopt_shared().await {
                tracing::warn!(%error, "buckets of another server could not be looked for");
            }
            generation = self.notice_changes(generation).await;
            pass = pass.wrapping_add(1);
            if pass.is_multiple_of(PASSES_BETWEEN_REPLAYS) {
                horizon = self.replay_overdue(horizon).await;
                if let Err(error) = self.take_what_is_left().await {
                    tracing::warn!(%error, "what other processes left could not be read");
                }
                let before =
                    Timestamp(Clock::now().0.saturating_sub(UPLOADS_KEPT_SECONDS.cast_signed() * 1_000_000_000));
                if let Err(error) = self.catalog().tidy_uploads(&SERVICE, false, before).await {
                    tracing::warn!(%error, "old uploads could not be forgotten");
                }
            }
        }
        self.settle().await;
    }

    /// Drops what is remembered if the catalog's identities or buckets changed.
    async fn notice_changes(&self, seen: u64) -> u64 {
        match self.catalog().generation().await {
            Ok(now) if now != seen => {
                self.0.users.forget();
                self.forget_buckets();
                now
            }
            Ok(now) => now,
            Err(error) => {
                tracing::warn!(%error, "the catalog does not answer");
                seen
            }
        }
    }

    /// Takes the steps that were owed at the previous pass already, and returns the newest of this one. A step younger
    /// than a pass is most likely being taken right now.
    async fn replay_overdue(&self, horizon: i64) -> i64 {
        if let Err(error) = self.replay(horizon).await {
            tracing::warn!(%error, "owed steps could not be read");
        }
        match self.newest_task(horizon).await {
            Ok(newest) => newest,
            Err(error) => {
                tracing::warn!(%error, "owed steps could not be read");
                horizon
            }
        }
    }

    pub(super) async fn newest_task(&self, after: i64) -> Result<i64> {
        let mut newest = after;
        while let Some(last) = self.catalog().own_tasks(&SERVICE, newest, TASKS_PAGE).await?.last() {
            newest = last.id;
        }
        Ok(newest)
    }
}
