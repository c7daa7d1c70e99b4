//! How far walks have come: in memory for this process, noted in the catalog for others.
//!
//! **Invariant:** a walk stands in the list of those under way exactly as long as it runs, however it ends; the catalog
//! hears of it at most once a second.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::auth::decide::Target;
use crate::catalog::Progress;
use crate::model::action::Action;
use crate::model::bucket::Bucket;
use crate::model::caller::Caller;
use crate::model::id::BucketId;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::page::Seek;
use crate::store::error::Result;
use crate::store::request::UnderWay;
use crate::store::{SERVICE, Store};

/// Between two notes in the catalog.
const NOTE_INTERVAL: Duration = Duration::from_secs(1);
/// Between two lines of the log.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The walks under way.
#[derive(Debug, Default)]
pub(in crate::store) struct Walks(Mutex<BTreeMap<BucketId, Going>>);

#[derive(Debug, Clone)]
struct Going {
    under_way: UnderWay,
    /// Up to this key the index is complete.
    reached: Option<ObjectKey>,
}

impl Walks {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<BucketId, Going>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the walk that builds the index of a bucket is past a position: up to there the rows are all there is.
    pub(in crate::store) fn is_past(&self, bucket: BucketId, at: &Seek) -> bool {
        let (Seek::From(key) | Seek::After(key)) = at else { return false };
        let going = self.lock();
        let reached = going.get(&bucket).and_then(|going| going.reached.as_ref());
        reached.is_some_and(|reached| key.as_str() <= reached.as_str())
    }
}

/// The hand of one walk on the list.
#[derive(Debug)]
pub(super) struct Ticker<'a> {
    store: &'a Store,
    bucket: &'a Bucket,
    progress: Progress,
    /// Whether the catalog is to hear of it.
    noted: bool,
    last_note: Instant,
    last_log: Instant,
}

impl<'a> Ticker<'a> {
    /// Puts a walk on the list.
    pub(super) async fn start(store: &'a Store, bucket: &'a Bucket, noted: bool) -> Result<Self> {
        let before = store.catalog().progress(&SERVICE, bucket.id).await?;
        let expected = before.filter(|before| before.ended.is_some() && before.files > 0).map(|before| before.files);
        let progress = Progress { began: Store::now(), ..Progress::default() };
        let under_way = UnderWay { bucket: bucket.name.clone(), progress, expected };
        store.0.walks.lock().insert(bucket.id, Going { under_way, reached: None });
        let ticker = Self { store, bucket, progress, noted, last_note: Instant::now(), last_log: Instant::now() };
        ticker.note().await?;
        Ok(ticker)
    }

    async fn note(&self) -> Result<()> {
        if self.noted {
            self.store.catalog().note_progress(&SERVICE, self.bucket.id, self.progress).await?;
        }
        Ok(())
    }

    /// Tells what was met so far.
    pub(super) async fn tick(&mut self, files: u64, rows: u64) -> Result<()> {
        (self.progress.files, self.progress.rows) = (files, rows);
        if let Some(going) = self.store.0.walks.lock().get_mut(&self.bucket.id) {
            going.under_way.progress = self.progress;
        }
        if self.last_note.elapsed() >= NOTE_INTERVAL {
            self.last_note = Instant::now();
            self.note().await?;
        }
        if self.last_log.elapsed() >= LOG_INTERVAL {
            self.last_log = Instant::now();
            tracing::info!(bucket = %self.bucket.name, files, rows, "a bucket is being walked");
        }
        Ok(())
    }

    /// Tells that every file up to `key` has its row.
    pub(super) fn reach(&self, key: ObjectKey) {
        if let Some(going) = self.store.0.walks.lock().get_mut(&self.bucket.id) {
            going.reached = Some(key);
        }
    }

    /// Tells that the walk came to its end.
    pub(super) async fn end(mut self, held_back: u64) -> Result<()> {
        self.progress.ended = Some(Store::now());
        self.progress.held_back = held_back;
        self.note().await
    }
}

impl Drop for Ticker<'_> {
    fn drop(&mut self) {
        self.store.0.walks.lock().remove(&self.bucket.id);
    }
}

impl Store {
    /// Files met by the walks under way.
    pub(super) fn files_met(&self) -> u64 {
        self.0.walks.lock().values().map(|going| going.under_way.progress.files).sum()
    }

    /// The walks under way in this process; administrators only.
    ///
    /// # Errors
    /// Refusals.
    pub fn walks(&self, caller: &Caller) -> Result<Vec<UnderWay>> {
        self.allow(caller, Action::Administer, Target::Service)?;
        Ok(self.0.walks.lock().values().map(|going| going.under_way.clone()).collect())
    }

    /// How the latest walk of a bucket goes or went, in whichever process; administrators only.
    ///
    /// # Errors
    /// Refusals and failures of the catalog.
    pub async fn progress(&self, caller: &Caller, bucket: &BucketName) -> Result<Option<Progress>> {
        let bound = self.enter(caller, bucket, Action::Administer).await?;
        Ok(self.catalog().progress(&SERVICE, bound.bucket.id).await?)
    }
}
