//! Steps owed to providers after a commit: taken at once, repeated until they are taken, forgotten only when durable.
//!
//! A step is taken right after its commit, under the key's lock. If that fails, or the process ends, the row in the
//! outbox makes a later pass take it again; every step is idempotent. Twice a second the containers with steps that were
//! taken are settled (one `syncfs` for all of them) and the rows go.
//!
//! **Invariant:** a row leaves the outbox only after its step was taken and the container settled behind it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::catalog::{Step, Task};
use crate::model::id::{BucketId, VersionId};
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::Object;
use crate::model::place::{Displaced, Place, Placed, Stamp};
use crate::model::record::Record;
use crate::model::time::{Clock, Timestamp};
use crate::provider::{self, LaidOut, LayOut};
use crate::store::bound::{Bound, is_absent};
use crate::store::error::{Error, Result};
use crate::store::{SERVICE, Store};

/// Between two settlements.
const SETTLE_INTERVAL: Duration = Duration::from_millis(500);
/// Settlements between two passes over steps that were not taken at once.
const PASSES_BETWEEN_REPLAYS: u32 = 10;
/// Rows read from the outbox at a time.
pub(super) const TASKS_PAGE: usize = 1000;
/// A finished or given up upload is remembered this long, so that a repeated Complete is answered alike.
const UPLOADS_KEPT_NANOS: i64 = 24 * 3600 * 1_000_000_000;

/// Steps taken in one bucket, and the bytes that the catalog keeps with them.
#[derive(Debug)]
struct Taken {
    bound: Arc<Bound>,
    tasks: Vec<i64>,
    kept: u64,
}

/// Steps taken and not yet settled, by bucket.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    taken: Mutex<BTreeMap<BucketId, Taken>>,
    /// One settlement at a time: who asks for one waits for the one under way, whose steps are no longer in `taken`.
    turn: tokio::sync::Mutex<()>,
    /// Files of steps up to this number may be damaged: a crash or a failed sync came after they were written.
    distrusted: AtomicI64,
    epoch: AtomicU64,
}

impl Outbox {
    fn note(&self, bound: &Arc<Bound>, task: &Task) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Taken { bound: bound.clone(), tasks: Vec::new(), kept: 0 };
        let taken = taken.entry(bound.bucket.id).or_insert_with(new);
        taken.tasks.push(task.id);
        taken.kept += task.inline.unwrap_or(0);
    }

    /// Files of steps up to `task` are written anew where the catalog keeps their bytes.
    fn distrust(&self, task: i64) {
        self.distrusted.fetch_max(task, Ordering::SeqCst);
    }

    fn is_distrusted(&self, task: &Task) -> bool {
        task.inline.is_some() && task.id <= self.distrusted.load(Ordering::SeqCst)
    }

    /// How many syncs have failed. A write reads it before it publishes.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    fn failed(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    /// Forgets what was taken in a bucket, so that it is taken again. Returns the highest number of it.
    fn forget(&self, bucket: BucketId) -> i64 {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove(&bucket).and_then(|taken| taken.tasks.into_iter().max()).unwrap_or(0)
    }

    fn drain(&self) -> BTreeMap<BucketId, Taken> {
        std::mem::take(&mut *self.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Store {
    /// Takes the steps of a commit that was just made, under its key's lock: the version is placed before the answer,
    /// what it displaced is freed behind it. What fails is taken again later, so there is nothing to report.
    /// A file that was published before a sync failed, in `epoch`, is written anew instead.
    pub(super) async fn take_fresh(&self, bound: &Arc<Bound>, tasks: Vec<Task>, epoch: u64) {
        let (placing, freeing): (Vec<_>, Vec<_>) =
            tasks.into_iter().partition(|task| matches!(task.task.step, Step::LayOut { .. } | Step::Settle { .. }));
        for task in placing {
            let placed = self.place(bound, &task, true).await;
            if task.inline.is_some() && self.0.outbox.epoch() != epoch {
                self.0.outbox.distrust(task.id);
            } else {
                self.took(bound, &task, placed);
            }
        }
        self.free_later(bound, freeing);
    }

    /// Takes the steps of a commit, one after the other: for walks, which have nobody waiting for an answer.
    pub(super) async fn take_steps(&self, bound: &Arc<Bound>, tasks: Vec<Task>) {
        for task in tasks {
            self.take_step(bound, &task).await;
        }
    }

    /// Frees what was displaced or deleted, behind the answer.
    pub(super) fn free_later(&self, bound: &Arc<Bound>, tasks: Vec<Task>) {
        if tasks.is_empty() {
            return;
        }
        let (store, bound) = (self.clone(), bound.clone());
        tokio::spawn(async move {
            for task in tasks {
                let _order = store.0.locks.lock(bound.bucket.id, &task.task.key).await;
                store.take_step(&bound, &task).await;
            }
        });
    }

    /// Takes one step, and notes it as taken.
    pub(super) async fn take_step(&self, bound: &Arc<Bound>, task: &Task) {
        let taken = self.perform(bound, task).await;
        self.took(bound, task, taken);
    }

    fn took(&self, bound: &Arc<Bound>, task: &Task, taken: Result<()>) {
        match taken {
            Ok(()) => self.0.outbox.note(bound, task),
            Err(error) => {
                let (bucket, key) = (&bound.bucket.name, &task.task.key);
                tracing::warn!(%bucket, %key, %error, cause = ?std::error::Error::source(&error), "a step stays owed");
            }
        }
    }

    async fn perform(&self, bound: &Arc<Bound>, task: &Task) -> Result<()> {
        if self.0.outbox.is_distrusted(task) {
            if self.is_written_anew(bound, task).await? {
                // The newer step has the bytes, durable since its commit: nothing rests on this one any more.
                return Ok(self.catalog().tasks_done(&SERVICE, &[task.id]).await?);
            }
            if let Some(anew) = self.write_anew(bound, task).await? {
                self.place(bound, &anew, false).await?;
                self.0.outbox.note(bound, &anew);
                return Ok(());
            }
        }
        self.place(bound, task, false).await
    }

    /// Takes a step. `fresh`: its commit was made under this key's lock a moment ago. If another gateway has displaced
    /// it since, the lay-out finds the newer version at the key and leaves it there.
    async fn place(&self, bound: &Arc<Bound>, task: &Task, fresh: bool) -> Result<()> {
        let (key, version) = (&task.task.key, task.task.version);
        match &task.task.step {
            Step::LayOut { stamp, over, displaced, counter } => {
                let (over, displaced) = (over.as_ref(), *displaced);
                let step = LayOut { version, stamp, key, over, displaced, counter: *counter };
                let there =
                    if fresh { self.lay_out_current(bound, step).await? } else { self.lay_out(bound, step).await? };
                if !there && task.inline.is_some() {
                    // The next pass writes it anew.
                    self.0.outbox.distrust(task.id);
                    return Err(Error::Unavailable("its file vanished".into()));
                }
                match displaced {
                    Displaced::Keep(Some(own)) => self.note(bound, key, own).await,
                    Displaced::Keep(None) | Displaced::Free => Ok(()),
                }
            }
            Step::Settle { .. } => Ok(()),
            Step::SetAside { stamp } => self.move_aside(bound, key, version, stamp).await,
            Step::Note { .. } => self.note(bound, key, version).await,
            Step::Drop { stamp } => self.free(bound, key, version, stamp.as_ref()).await,
            Step::FreeUpload { handle, attempts } => {
                Ok(bound.provider.free_upload(bound.place(), handle, attempts).await?)
            }
        }
    }

    /// Lays a version out, if it is still the current one; else it is freed. False if it was nowhere.
    async fn lay_out(&self, bound: &Bound, step: LayOut<'_>) -> Result<bool> {
        let (key, version) = (step.key, step.version);
        let row = self.catalog().object(&SERVICE, bound.bucket.id, key).await?;
        if row.as_ref().is_none_or(|row| row.version != version) {
            self.lay_aside(bound, &step, row.as_ref()).await?;
            return Ok(true);
        }
        // Its key could not be a path when it was tried. The row says so, and then nobody looks for it at the key first.
        if row.is_some_and(|row| row.placed == Placed::Managed) {
            return Ok(true);
        }
        self.lay_out_current(bound, step).await
    }

    async fn lay_out_current(&self, bound: &Bound, step: LayOut<'_>) -> Result<bool> {
        let (key, version) = (step.key, step.version);
        let home = bound.home(key, version);
        match bound.provider.lay_out(bound.place(), LayOut { key: &home, ..step.clone() }).await {
            Ok(LaidOut::Done | LaidOut::Superseded) => Ok(true),
            Ok(LaidOut::DoneKeeping(name)) => {
                tracing::warn!(bucket = %bound.bucket.name, %key, name, "an outside edit was displaced and is kept in .longshore/lost");
                Ok(true)
            }
            // Where we may not write the bytes stay where we may.
            Err(provider::Error::Clash | provider::Error::Denied) => {
                let place = Place::Managed(version);
                // First the record: a rebuild takes what was meant for its key and is not there for a write that was
                // never committed.
                let row = self.catalog().object(&SERVICE, bound.bucket.id, key).await?;
                if let Some(row) = row.filter(|row| row.version == version) {
                    let record = Record::of(&Object { placed: Placed::Managed, ..row }, &bound.bucket.name);
                    bound.provider.set_record(bound.place(), &place, step.stamp, &record).await?;
                }
                self.catalog().set_place(&SERVICE, bound.bucket.id, key, version, &place).await?;
                Ok(true)
            }
            Err(provider::Error::NotFound) => {
                // At neither place and nothing at the key: somebody took it away, which the next read or scan will see.
                tracing::warn!(bucket = %bound.bucket.name, %key, "a version vanished before it was laid out");
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Frees bytes that no row names, under the key's lock: at their managed place and, if power loss brought them back there, at the key.
    pub(super) async fn free(
        &self,
        bound: &Bound,
        key: &ObjectKey,
        version: VersionId,
        stamp: Option<&Stamp>,
    ) -> Result<()> {
        match bound.provider.delete_managed(bound.place(), version, stamp).await {
            // Somebody wrote where only we should. His bytes stay, and there is nothing to free that is ours.
            Err(provider::Error::StampMismatch) => {
                tracing::warn!(bucket = %bound.bucket.name, %key, %version, "a managed file was changed outside and is kept");
            }
            freed => freed?,
        }
        let key = &bound.home(key, version);
        let Some(stamp) = stamp.filter(|_| bound.can_lie_at(key)) else { return Ok(()) };
        // Looked at before it is moved: the key may well hold a newer version, which must not move even for a moment.
        let stamp = &match bound.provider.stat(bound.place(), &Place::Natural(key.clone())).await {
            Ok(stat) if stamp.names(&stat.stamp) => stat.stamp,
            Ok(_) | Err(provider::Error::NotFound) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match bound.provider.take_aside(bound.place(), key, version, stamp).await {
            Ok(()) => bound.provider.delete_managed(bound.place(), version, Some(stamp)).await?,
            Err(error) if is_absent(&error) => return Ok(()),
            Err(provider::Error::Clash) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        Ok(bound.provider.prune(bound.place(), key).await?)
    }

    /// Puts a version back to its key that was found at its managed place: a delete that did not come to its commit.
    pub(super) fn lay_out_again(&self, bound: Arc<Bound>, key: ObjectKey, version: VersionId) {
        let store = self.clone();
        tokio::spawn(async move {
            if let Err(error) = store.put_back(&bound, &key, version).await {
                tracing::warn!(bucket = %bound.bucket.name, %key, %error, "a version could not be put back to its key");
            }
        });
    }

    /// The same at once, and under the key's lock.
    pub(super) async fn put_back(&self, bound: &Bound, key: &ObjectKey, version: VersionId) -> Result<()> {
        let _order = self.0.locks.lock(bound.bucket.id, key).await;
        let row = self.catalog().object(&SERVICE, bound.bucket.id, key).await?;
        let Some(row) = row.filter(|row| row.version == version && row.placed != Placed::Managed) else {
            return Ok(());
        };
        // A lay-out that is still owed knows what it displaces; that is no outside edit.
        let owed = self.catalog().tasks_of(&SERVICE, bound.bucket.id, key).await.unwrap_or_default();
        let over = owed.iter().filter(|task| task.task.version == version).find_map(|task| match &task.task.step {
            Step::LayOut { over, displaced, .. } => Some((over.as_ref(), *displaced)),
            Step::Settle { .. }
            | Step::Drop { .. }
            | Step::SetAside { .. }
            | Step::Note { .. }
            | Step::FreeUpload { .. } => None,
        });
        let (over, displaced) = over.unwrap_or((None, bound.displacing()));
        let step = LayOut { version, stamp: &row.stamp, key, over, displaced, counter: row.counter };
        self.lay_out(bound, step).await.map(|_| ())
    }

    /// Takes every step that an earlier process left owed. Files that were not durable may be damaged by now.
    pub(super) async fn replay_after_start(&self) -> Result<()> {
        self.distrust_what_is_owed().await?;
        self.replay(i64::MAX).await
    }

    /// Files of the steps that are owed now may be damaged.
    pub(super) async fn distrust_what_is_owed(&self) -> Result<()> {
        self.0.outbox.distrust(self.newest_task(0).await?);
        Ok(())
    }

    /// Takes every step up to number `until` that is still owed.
    pub(super) async fn replay(&self, until: i64) -> Result<()> {
        self.replay_those(until, |_| true).await
    }

    /// Takes every step that is still owed in one bucket.
    pub(super) async fn replay_of(&self, bucket: BucketId) -> Result<()> {
        self.replay_those(i64::MAX, |task| task.task.bucket == bucket).await
    }

    async fn replay_those(&self, until: i64, wanted: impl Fn(&Task) -> bool + Send) -> Result<()> {
        let mut after = 0;
        loop {
            let page = self.catalog().tasks(&SERVICE, after, TASKS_PAGE).await?;
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

    /// Makes the steps taken so far durable and forgets them.
    pub(super) async fn settle(&self) {
        let _turn = self.0.outbox.turn.lock().await;
        for (id, Taken { bound, tasks, kept }) in self.0.outbox.drain() {
            let settled = match self.settle_container(&bound).await {
                Ok(()) => self.catalog().tasks_done(&SERVICE, &tasks).await.map_err(Into::into),
                Err(error) => Err(error),
            };
            match settled {
                Ok(()) => self.0.inline.sub(kept),
                // The rows stay; the next replay takes the steps once more.
                Err(error) if self.is_still_there(&bound).await => {
                    tracing::warn!(bucket = id.0, %error, "steps could not be settled");
                    self.distrust_all(id).await;
                }
                // They went with their bucket.
                Err(_) => self.0.inline.sub(kept),
            }
        }
    }

    /// Makes what lies in a container durable. Steps may only be forgotten if it is the container they were taken in, and
    /// not a directory that is there while its mount is missing.
    async fn settle_container(&self, bound: &Bound) -> Result<()> {
        bound.provider.settle(bound.place()).await?;
        self.require_container(bound).await
    }

    /// After a sync that failed no file is relied on that it may have been about. The kernel tells of lost pages once, so
    /// steps that were taken while it was under way must not go with the next one, and writes whose files were published
    /// by then are told by the epoch.
    async fn distrust_all(&self, bucket: BucketId) {
        self.0.outbox.failed();
        let forgotten = self.0.outbox.forget(bucket);
        let newest = match self.newest_task(0).await {
            Ok(newest) => newest,
            Err(error) => {
                tracing::warn!(%error, "the catalog does not answer");
                forgotten
            }
        };
        self.0.outbox.distrust(newest.max(forgotten));
    }

    /// Whether a bucket was not deleted meanwhile, with what was owed to it.
    pub(super) async fn is_still_there(&self, bound: &Bound) -> bool {
        let row = self.catalog().bucket(&SERVICE, &bound.bucket.name).await;
        !matches!(row, Ok(row) if row.as_ref().is_none_or(|row| row.id != bound.bucket.id))
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
                let before = Timestamp(Clock::now().0.saturating_sub(UPLOADS_KEPT_NANOS));
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

    async fn newest_task(&self, after: i64) -> Result<i64> {
        let mut newest = after;
        while let Some(last) = self.catalog().tasks(&SERVICE, newest, TASKS_PAGE).await?.last() {
            newest = last.id;
        }
        Ok(newest)
    }
}
