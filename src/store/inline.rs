//! Small bodies: kept in the catalog by the commit itself until their files are durable.
//!
//! A sync of each small file and of its directory costs far more than its bytes. So the bytes go into the outbox row
//! of the deciding commit, whose one sync serves every writer that waits; the file is published and laid out unsynced,
//! and a settlement (`syncfs`) of the container makes many of them durable at once, after which the bytes go.
//!
//! **Invariant:** while the catalog keeps the bytes of a version they are the version, whatever lies at its places. They
//! go only behind a settlement that began after the file was in its place and that succeeded; after a crash or a
//! settlement that failed the file is written anew from them first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::catalog::{self, Change, Commit, History, NewTask, Step, Task};
use crate::config::limits::INLINE_TOTAL_BYTES_MAX;
use crate::model::object::Object;
use crate::model::place::{Displaced, Place, Placed, Stamp};
use crate::model::record::Record;
use crate::model::versioning::VersionRef;
use crate::provider::{self, LayOut, Seal};
use crate::store::bound::{Bound, is_absent};
use crate::store::error::{Error, Result};
use crate::store::{SERVICE, Store};

/// Which bodies are kept in the catalog, and how many bytes of them are.
#[derive(Debug)]
pub(super) struct Inline {
    bytes_max: usize,
    kept: AtomicU64,
}

impl Inline {
    /// Bodies up to `bytes_max` bytes; 0: none.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, kept: AtomicU64::new(0) }
    }

    /// The body, if it is to be kept in the catalog of a bucket.
    pub(super) fn admit(&self, bound: &Bound, body: Option<Bytes>) -> Option<Bytes> {
        let room = INLINE_TOTAL_BYTES_MAX.saturating_sub(self.kept.load(Ordering::Relaxed));
        let fits = |body: &Bytes| self.bytes_max > 0 && body.len() <= self.bytes_max && body.len() as u64 <= room;
        body.filter(|body| bound.provider.capabilities().inline && fits(body))
    }

    /// Whether a body is known to be so short that its decision is not worth a question of its own before it.
    pub(super) fn is_short(&self, length: Option<u64>) -> bool {
        length.is_some_and(|length| length <= self.bytes_max as u64)
    }

    /// Bytes that a commit has put there.
    pub(super) fn add(&self, bytes: u64) {
        self.kept.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that went. Those of an earlier process were never added.
    pub(super) fn sub(&self, bytes: u64) {
        let less = |kept: u64| Some(kept.saturating_sub(bytes));
        self.kept.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok();
    }
}

/// The step that a version placed as `object` owes; its bytes go with it.
pub(super) fn placing(object: &Object, over: Option<Stamp>, displaced: Displaced, kept: bool) -> Option<Step> {
    let stamp = object.stamp.clone();
    match object.placed {
        Placed::Natural | Placed::Beneath | Placed::Beside => {
            Some(Step::LayOut { stamp, over, displaced, counter: object.counter })
        }
        Placed::Managed => kept.then_some(Step::Settle { stamp }),
    }
}

impl Store {
    /// The bytes of a version whose file is not as its row says, if the catalog still keeps them. Files that were laid
    /// out are settled first, so that an outside edit of one is not hidden behind them. Under the key's lock.
    pub(super) async fn kept(&self, bound: &Bound, row: &Object) -> Result<Option<Bytes>> {
        if !bound.provider.capabilities().inline {
            return Ok(None);
        }
        if self.catalog().inline(&SERVICE, bound.bucket.id, row.version).await?.is_none() {
            return Ok(None);
        }
        self.settle().await;
        Ok(self.catalog().inline(&SERVICE, bound.bucket.id, row.version).await?)
    }

    /// Whether a version was written anew since this step, so that a newer one is owed in its stead.
    pub(super) async fn is_written_anew(&self, bound: &Bound, task: &Task) -> Result<bool> {
        let owed = self.catalog().tasks_of(&SERVICE, bound.bucket.id, &task.task.key).await?;
        let newer = |other: &Task| other.id > task.id && other.inline.is_some();
        Ok(owed.iter().any(|other| other.task.version == task.task.version && newer(other)))
    }

    /// Writes the file of a version anew from the bytes kept with its step, as its old file cannot be relied on. Returns
    /// the step that is owed instead; `None` if there is nothing to write.
    pub(super) async fn write_anew(&self, bound: &Arc<Bound>, task: &Task) -> Result<Option<Task>> {
        let (key, version) = (&task.task.key, task.task.version);
        let current = self.catalog().object(&SERVICE, bound.bucket.id, key).await?;
        let row = self.catalog().version(&SERVICE, bound.bucket.id, key, VersionRef::Id(version)).await?;
        let Some(mut row) = row else { return Ok(None) };
        let Some(bytes) = self.catalog().inline(&SERVICE, bound.bucket.id, version).await? else { return Ok(None) };
        self.clear(bound, &row, &task.task.step).await?;
        let (old, seen) = (row.stamp.clone(), row.seen());
        row.stamp = self.publish_kept(bound, &row, &bytes).await?;
        let len = bytes.len() as u64;
        let displaced = match &task.task.step {
            Step::LayOut { displaced: Displaced::Keep(_), .. } => Displaced::Keep(None),
            _ => Displaced::Free,
        };
        let Some(step) = placing(&row, Some(old), displaced, true) else { return Ok(None) };
        let (bucket, stamp) = (bound.bucket.id, row.stamp.clone());
        let change = match current.as_ref().is_some_and(|current| current.version == version) {
            true => Change::of_row(bucket, key.clone(), Some(seen), Some(row)),
            // It is behind a newer one by now, which stays as it is.
            false => {
                let expect = current.as_ref().map(Object::seen);
                let history = vec![History::Replace(seen, Box::new(row))];
                Change { history, ..Change::of_row(bucket, key.clone(), expect, current) }
            }
        };
        let owed = NewTask { bucket, key: key.clone(), version, step, bytes: Some(bytes) };
        let commit = Commit { changes: vec![change], tasks: vec![owed], ..Commit::default() };
        match self.catalog().commit(&SERVICE, commit).await {
            Ok(tasks) => {
                self.0.inline.add(len);
                Ok(tasks.into_iter().next())
            }
            Err(catalog::Error::Conflict) => {
                bound.provider.delete_managed(bound.place(), version, Some(&stamp)).await?;
                // The old file is as little to be relied on as before, whoever moved the row: the step stays owed.
                Err(Error::Unavailable("the row of a version that was written anew has moved".into()))
            }
            Err(catalog::Error::NotFound) => Err(Error::NoSuchBucket),
            Err(error) => Err(error.into()),
        }
    }

    /// Frees the managed place of a version. What a lay-out that was cut short left there may be somebody's edit or an
    /// older version, so the lay-out is finished first: it judges what came out, and keeps what is not ours. While it
    /// cannot, nothing is freed: the bytes are in the catalog, so the step can wait.
    async fn clear(&self, bound: &Bound, row: &Object, step: &Step) -> Result<()> {
        let version = row.version;
        let key = &bound.home(&row.key, version);
        let stays_aside = row.placed == Placed::Managed;
        // Laid out although its row says that it stays aside, it would be a second file, which no deletion knows.
        if (!self.is_its_own(bound, row).await? || !stays_aside)
            && let Step::LayOut { stamp, over, displaced, counter } = step
        {
            let step = LayOut { version, stamp, key, over: over.as_ref(), displaced: *displaced, counter: *counter };
            match bound.provider.lay_out(bound.place(), step).await {
                Ok(_) | Err(provider::Error::NotFound) => {}
                Err(provider::Error::Clash | provider::Error::Denied) => {
                    if !self.is_its_own(bound, row).await? {
                        return Err(Error::Unavailable("what lies at a managed place cannot be judged now".into()));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        // Left at the key, the old file would come to the managed place by a step that is still owed, and push the new
        // one out.
        if stays_aside
            && let Err(error) = bound.provider.take_aside(bound.place(), key, version, &row.stamp).await
            && !is_absent(&error)
        {
            return Err(error.into());
        }
        Ok(bound.provider.delete_managed(bound.place(), version, None).await?)
    }

    /// Whether nothing lies at the managed place of a version but its own file.
    async fn is_its_own(&self, bound: &Bound, row: &Object) -> Result<bool> {
        match bound.provider.stat(bound.place(), &Place::Managed(row.version)).await {
            Ok(stat) => Ok(stat.stamp == row.stamp),
            Err(provider::Error::NotFound) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    async fn publish_kept(&self, bound: &Bound, row: &Object, bytes: &Bytes) -> Result<Stamp> {
        let mut stage = bound.provider.stage(bound.place(), row.version).await?;
        stage.write(bytes.clone()).await?;
        let record = Record::of(row, &bound.bucket.name);
        let seal = Seal { modified: row.modified, size: row.stored_size(), record: Some(&record), unsynced: true };
        Ok(stage.publish(seal).await?)
    }
}
