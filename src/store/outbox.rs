//! Steps owed to providers after a commit: taken at once, repeated until they are taken, forgotten only when durable.
//!
//! A step is taken right after its commit, under the key's lock. If that fails, or the process ends, the row in the
//! outbox makes a later pass take it again (`replay`); every step is idempotent. Twice a second the containers with steps
//! that were taken are settled (one `syncfs` for all of them) and the rows go.
//!
//! Where several processes serve one catalog each takes the steps it wrote. Whoever needs one of another's to be taken
//! takes it too, and leaves the row to its owner, who alone knows what it has written and synced.
//!
//! **Invariant:** a row leaves the outbox only after its step was taken and the container settled behind it, by whoever it
//! belongs to; that of a lay-out only while its version is current, or after it was brought away from the key again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::catalog::{Step, Task};
use crate::model::id::{BucketId, VersionId};
use crate::model::name::ObjectKey;
use crate::model::object::Object;
use crate::model::place::{Displaced, Place, Placed, Stamp};
use crate::model::record::Record;
use crate::provider::{self, LaidOut, LayOut};
use crate::store::bound::{Bound, is_absent};
use crate::store::error::{Error, Result};
use crate::store::late::Late;
use crate::store::{SERVICE, Store};

/// Steps taken in one bucket, and the bytes that the catalog keeps with them.
#[derive(Debug)]
struct Taken {
    bound: Arc<Bound>,
    tasks: Vec<i64>,
    laid_out: Vec<Task>,
    kept: u64,
}

/// When a step that was taken may be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forget {
    /// Once it is durable.
    Durable,
    /// If its version is still current then: it was brought to its key, where it must not stay otherwise.
    Current,
}

/// Where a version is after its lay-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Laid {
    /// At its key, unless a newer one is there.
    Out,
    /// Where it is to be without a key.
    Aside,
    /// Nowhere.
    Nowhere,
}

/// Steps taken and not yet settled, by bucket.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    taken: Mutex<BTreeMap<BucketId, Taken>>,
    /// One settlement at a time: who asks for one waits for the one under way, whose steps are no longer in `taken`.
    turn: tokio::sync::Mutex<()>,
    /// Files of steps up to this number may be damaged: a crash or a failed sync came after they were written.
    distrusted: AtomicI64,
    /// Steps that were taken over: nobody knows what became of their files.
    strange: Mutex<BTreeSet<i64>>,
    /// Versions that may still be removed from their keys.
    pub(super) late: Late,
    epoch: AtomicU64,
}

impl Outbox {
    fn note(&self, bound: &Arc<Bound>, task: &Task, forget: Forget) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Taken { bound: bound.clone(), tasks: Vec::new(), laid_out: Vec::new(), kept: 0 };
        let taken = taken.entry(bound.bucket.id).or_insert_with(new);
        match forget {
            Forget::Durable => taken.tasks.push(task.id),
            Forget::Current => taken.laid_out.push(task.clone()),
        }
        taken.kept += task.inline.unwrap_or(0);
    }

    /// Files of steps up to `task` are written anew where the catalog keeps their bytes.
    pub(super) fn distrust(&self, task: i64) {
        self.distrusted.fetch_max(task, Ordering::SeqCst);
    }

    fn strange(&self) -> MutexGuard<'_, BTreeSet<i64>> {
        self.strange.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same of those that were taken over.
    pub(super) fn distrust_these(&self, tasks: &[i64]) {
        self.strange().extend(tasks);
    }

    fn is_distrusted(&self, task: &Task) -> bool {
        task.inline.is_some()
            && (task.id <= self.distrusted.load(Ordering::SeqCst) || self.strange().contains(&task.id))
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
        taken
            .remove(&bucket)
            .and_then(|taken| taken.tasks.into_iter().chain(taken.laid_out.iter().map(|task| task.id)).max())
            .unwrap_or(0)
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
            self.make_way(bound, &task).await;
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

    /// Takes one step, and notes it as taken if it is this process's.
    pub(super) async fn take_step(&self, bound: &Arc<Bound>, task: &Task) {
        if task.ours {
            let taken = self.perform(bound, task).await;
            self.took(bound, task, taken);
        } else if let Err(error) = self.place(bound, task, false).await {
            tracing::debug!(bucket = %bound.bucket.name, key = %task.task.key, %error, "a step of another process");
        }
    }

    /// Takes the steps that other processes owe for a key. False: there are none.
    pub(super) async fn help_others(&self, bound: &Arc<Bound>, key: &ObjectKey) -> Result<bool> {
        if !self.catalog().is_shared() {
            return Ok(false);
        }
        let owed = self.catalog().tasks_of(&SERVICE, bound.bucket.id, key).await?;
        let moves = |task: &&Task| matches!(task.task.step, Step::LayOut { .. } | Step::SetAside { .. });
        let others: Vec<_> = owed.iter().filter(|task| !task.ours).filter(moves).collect();
        for task in &others {
            self.take_step(bound, task).await;
        }
        Ok(!others.is_empty())
    }

    /// What a fresh version displaces may still be on its way to its key, by another process. It goes first: what it
    /// displaces in its turn is known to nobody else.
    async fn make_way(&self, bound: &Arc<Bound>, task: &Task) {
        let Step::LayOut { over: Some(over), .. } = &task.task.step else { return };
        if !self.catalog().is_shared() {
            return;
        }
        let key = &task.task.key;
        let there = bound.provider.stat(bound.place(), &Place::Natural(key.clone())).await;
        if there.is_ok_and(|there| there.stamp == *over) {
            return;
        }
        if let Err(error) = self.help_others(bound, key).await {
            tracing::debug!(bucket = %bound.bucket.name, %key, %error, "steps of other processes are not known");
        }
    }

    fn took(&self, bound: &Arc<Bound>, task: &Task, taken: Result<Forget>) {
        match taken {
            Ok(forget) => self.0.outbox.note(bound, task, forget),
            Err(error) => {
                let (bucket, key) = (&bound.bucket.name, &task.task.key);
                tracing::warn!(%bucket, %key, %error, cause = ?std::error::Error::source(&error), "a step stays owed");
            }
        }
    }

    async fn perform(&self, bound: &Arc<Bound>, task: &Task) -> Result<Forget> {
        if self.0.outbox.is_distrusted(task) {
            if self.is_written_anew(bound, task).await? {
                // The newer step has the bytes, durable since its commit: nothing rests on this one any more.
                self.catalog().tasks_done(&SERVICE, &[task.id]).await?;
                self.0.outbox.strange().remove(&task.id);
                return Ok(Forget::Durable);
            }
            if let Some(anew) = self.write_anew(bound, task).await? {
                let forget = self.place(bound, &anew, false).await?;
                self.0.outbox.note(bound, &anew, forget);
                return Ok(Forget::Durable);
            }
        }
        self.place(bound, task, false).await
    }

    /// Takes a step. `fresh`: its commit was made under this key's lock a moment ago. If another process has displaced
    /// it since, the lay-out finds the newer version at the key and leaves it there, or nothing, and the step stays owed.
    async fn place(&self, bound: &Arc<Bound>, task: &Task, fresh: bool) -> Result<Forget> {
        let (key, version) = (&task.task.key, task.task.version);
        match &task.task.step {
            Step::LayOut { stamp, over, displaced, counter } => {
                let (over, displaced) = (over.as_ref(), *displaced);
                let step = LayOut { version, stamp, key, over, displaced, counter: *counter };
                let laid =
                    if fresh { self.lay_out_current(bound, step).await? } else { self.lay_out(bound, step).await? };
                if laid == Laid::Nowhere && task.inline.is_some() {
                    // The next pass writes it anew.
                    if task.ours {
                        self.0.outbox.distrust(task.id);
                    }
                    return Err(Error::Unavailable("its file vanished".into()));
                }
                if let Displaced::Keep(Some(own)) = displaced {
                    self.note(bound, key, own).await?;
                }
                return Ok(if laid == Laid::Out { Forget::Current } else { Forget::Durable });
            }
            Step::Settle { .. } => {}
            Step::SetAside { stamp } => self.move_aside(bound, key, version, stamp).await?,
            Step::Note { .. } => self.note(bound, key, version).await?,
            Step::Drop { stamp } => self.free(bound, key, version, stamp.as_ref()).await?,
            Step::FreeUpload { handle, attempts } => {
                bound.provider.free_upload(bound.place(), handle, attempts).await?;
            }
        }
        Ok(Forget::Durable)
    }

    /// Lays a version out, if it is still the current one; else it is set aside or freed.
    async fn lay_out(&self, bound: &Bound, step: LayOut<'_>) -> Result<Laid> {
        let (key, version) = (step.key, step.version);
        let row = self.catalog().object(&SERVICE, bound.bucket.id, key).await?;
        if row.as_ref().is_none_or(|row| row.version != version) {
            self.lay_aside(bound, &step, row.as_ref()).await?;
            return Ok(Laid::Aside);
        }
        // Its key could not be a path when it was tried. The row says so, and then nobody looks for it at the key first.
        if row.is_some_and(|row| row.placed == Placed::Managed) {
            return Ok(Laid::Aside);
        }
        self.lay_out_current(bound, step).await
    }

    async fn lay_out_current(&self, bound: &Bound, step: LayOut<'_>) -> Result<Laid> {
        let (key, version) = (step.key, step.version);
        let home = bound.home(key, version);
        match bound.provider.lay_out(bound.place(), LayOut { key: &home, ..step.clone() }).await {
            Ok(LaidOut::Done | LaidOut::Superseded) => Ok(Laid::Out),
            Ok(LaidOut::DoneKeeping(name)) => {
                tracing::warn!(bucket = %bound.bucket.name, %key, name, "an outside edit was displaced and is kept in .longshore/lost");
                Ok(Laid::Out)
            }
            // Where we may not write the bytes stay where we may, as they do where an outside edit cannot be kept aside.
            Err(provider::Error::Clash | provider::Error::Denied | provider::Error::Archived) => {
                let there = bound.provider.stat(bound.place(), &Place::Natural(home.clone())).await;
                if there.is_ok_and(|there| there.stamp == *step.stamp) {
                    tracing::warn!(bucket = %bound.bucket.name, %key, "a copy of an object beside its key could not be removed");
                    return Ok(Laid::Out);
                }
                let place = Place::Managed(version);
                // First the record: a rebuild takes what was meant for its key and is not there for a write that was
                // never committed.
                let row = self.catalog().object(&SERVICE, bound.bucket.id, key).await?;
                if let Some(row) = row.filter(|row| row.version == version) {
                    let record = Record::of(&Object { placed: Placed::Managed, ..row }, &bound.bucket.name);
                    bound.provider.set_record(bound.place(), &place, step.stamp, &record).await?;
                }
                self.catalog().set_place(&SERVICE, bound.bucket.id, key, version, &place).await?;
                Ok(Laid::Out)
            }
            Err(provider::Error::NotFound) => {
                // At neither place and nothing at the key: somebody took it away, which the next read or scan will see.
                tracing::warn!(bucket = %bound.bucket.name, %key, "a version vanished before it was laid out");
                Ok(Laid::Nowhere)
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
            Err(provider::Error::Archived) => match bound.provider.remove_archived(bound.place(), key, stamp).await {
                // It stays there, and is found again as one of somebody else.
                Err(provider::Error::Denied) => {
                    tracing::warn!(bucket = %bound.bucket.name, %key, "an archived object may not be deleted, and stays");
                    return Ok(());
                }
                ended => ended?,
            },
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

    /// The same at once, and under the key's lock. If others have written over it at its key meanwhile it is freed.
    pub(super) async fn put_back(&self, bound: &Bound, key: &ObjectKey, version: VersionId) -> Result<()> {
        let _order = self.0.locks.lock(bound.bucket.id, key).await;
        // What is at its key may go any moment: then the copy is all there is. It is looked after when that is over.
        if self.0.outbox.late.has(version) {
            return Ok(());
        }
        let row = self.catalog().object(&SERVICE, bound.bucket.id, key).await?;
        let Some(row) = row.filter(|row| row.version == version && row.placed != Placed::Managed) else {
            return Ok(());
        };
        // A lay-out that is still owed knows what it displaces; that is no outside edit.
        let owed = self.catalog().tasks_of(&SERVICE, bound.bucket.id, key).await?;
        if owed.is_empty() && self.was_written_over(bound, &row).await? {
            tracing::info!(bucket = %bound.bucket.name, %key, "an object was changed outside behind a removal of it that was cut short");
            return Ok(bound.provider.delete_managed(bound.place(), version, Some(&row.stamp)).await?);
        }
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
        self.lay_out(bound, step.clone()).await?;
        // No step is owed for this. Another process that displaced it meanwhile may have looked for it at its managed place.
        let now = self.catalog().object(&SERVICE, bound.bucket.id, key).await?;
        match now.as_ref().is_some_and(|now| now.version == version) {
            true => Ok(()),
            false => self.lay_aside(bound, &step, now.as_ref()).await,
        }
    }

    /// Makes the steps taken so far durable and forgets them.
    pub(super) async fn settle(&self) {
        let _turn = self.0.outbox.turn.lock().await;
        for (id, Taken { bound, tasks, laid_out, kept }) in self.0.outbox.drain() {
            let settled = match self.settle_container(&bound).await {
                Ok(()) => self.forget_steps(tasks, laid_out).await,
                Err(error) => Err(error),
            };
            match settled {
                Ok(overtaken) => {
                    self.0.inline.sub(kept);
                    self.free_later(&bound, overtaken);
                }
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

    /// Forgets steps that are durable. Returns lay-outs of versions that another process has displaced: what they brought
    /// to the key must not stay there.
    async fn forget_steps(&self, mut tasks: Vec<i64>, mut laid_out: Vec<Task>) -> Result<Vec<Task>> {
        if self.catalog().is_shared() {
            let numbers: Vec<i64> = laid_out.iter().map(|task| task.id).collect();
            let gone: BTreeSet<i64> = self.catalog().laid_out(&SERVICE, &numbers).await?.into_iter().collect();
            laid_out.retain(|task| !gone.contains(&task.id));
        } else {
            // Whoever displaces a version has waited for its lay-out: one commit is enough.
            tasks.extend(laid_out.drain(..).map(|task| task.id));
        }
        self.catalog().tasks_done(&SERVICE, &tasks).await?;
        Ok(laid_out)
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
}
