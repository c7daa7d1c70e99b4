//! Scan: brings the index up to what lies in the container.
//!
//! New files get rows, edited files get new versions, rows whose files are gone go. A rebuild is a scan that also takes
//! identity from records; what is different then is in `rebuild`.
//!
//! **Invariant:** rows go last, each after another look under its key's lock and only while the container's id is
//! readable; if they are more than a hundredth of all rows none goes unasked.

mod both;

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::progress::Ticker;
use super::{BATCH, LOOKS_AT_ONCE, Met, Seen, Sides};
use crate::catalog::{self, Change, Commit, NewTask};
use crate::config::limits::REMOVED_UNASKED_MIN;
use crate::model::action::Action;
use crate::model::caller::Caller;
use crate::model::id::VersionId;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::{Entry, Object};
use crate::model::place::{Place, Placed};
use crate::model::time::Timestamp;
use crate::provider::{self, Listed, Stat};
use crate::store::adopt::{Reconciled, counter_now, object_of_file};
use crate::store::bound::Bound;
use crate::store::error::{Error, Result};
use crate::store::request::{ScanOptions, ScanReport};
use crate::store::{SERVICE, Store};

/// Rows without a file that are remembered. If more of them may go, a second walk finds them again.
const MISSING_KEPT_MAX: usize = 10_000;
/// How much older a change may be dated than it is: clocks differ, and S3 dates an upload from its beginning.
const DATED_BACK_NANOS: i64 = 60 * 60 * 1_000_000_000;

/// One scan.
pub(super) struct Scan<'a> {
    pub(super) store: &'a Store,
    pub(super) bound: &'a Arc<Bound>,
    pub(super) options: ScanOptions,
    /// For a rebuild: the last stop was not clean, so steps may be owed that nobody knows of any more.
    pub(super) after_crash: bool,
    pub(super) report: ScanReport,
    pub(super) ticker: Ticker<'a>,
    began: Timestamp,
    /// What is dated before this was there when the last scan looked.
    since: Option<Timestamp>,
    /// Files without a row that were met since the last batch.
    found: Vec<Listed>,
    missing: Vec<(ObjectKey, VersionId)>,
    missing_count: u64,
}

impl Store {
    /// Walks one bucket; administrators only.
    ///
    /// # Errors
    /// Refusals, and failures of catalog and storage: then what was found so far is in the index and the rest is not.
    pub async fn scan(&self, caller: &Caller, bucket: &BucketName, options: ScanOptions) -> Result<ScanReport> {
        let bound = self.enter(caller, bucket, Action::Administer).await?;
        self.scan_bound(&bound, options).await
    }

    pub(super) async fn scan_bound(&self, bound: &Arc<Bound>, options: ScanOptions) -> Result<ScanReport> {
        self.require_container(bound).await?;
        // What lies there is not named by keys, and the tables alone say what there is.
        if bound.is_shared() {
            return Ok(ScanReport::default());
        }
        let after_crash = options.rebuild && !self.was_left_clean(bound).await?;
        let mut scan = Scan {
            store: self,
            bound,
            options,
            after_crash,
            report: ScanReport::default(),
            ticker: Ticker::start(self, &bound.bucket, !options.dry_run).await?,
            began: Self::now(),
            since: bound.bucket.indexed.map(|last| Timestamp(last.0.saturating_sub(DATED_BACK_NANOS))),
            found: Vec::new(),
            missing: Vec::new(),
            missing_count: 0,
        };
        if options.rebuild {
            scan.restore_managed().await?;
        }
        scan.merge().await?;
        scan.remove_missing().await?;
        scan.end().await
    }
}

impl<'a> Scan<'a> {
    /// Files and rows side by side in the order of keys.
    async fn merge(&mut self) -> Result<()> {
        let mut sides = Sides::new(self.store, self.bound);
        let mut since = 0;
        let mut last = None;
        while let Some(met) = sides.next().await? {
            let key = match met {
                Met::File(file) => {
                    let key = file.key.clone();
                    self.found.push(file);
                    key
                }
                Met::Both(file, row) => {
                    let key = file.key.clone();
                    self.both(file, row).await?;
                    key
                }
                Met::Row(row) => {
                    let key = row.key.clone();
                    self.row_alone(row).await?;
                    key
                }
            };
            last = Some(key);
            since += 1;
            if since == BATCH {
                since = 0;
                self.end_batch(&sides, last.take()).await?;
            }
        }
        self.end_batch(&sides, last).await
    }

    async fn end_batch(&mut self, sides: &Sides<'_>, last: Option<ObjectKey>) -> Result<()> {
        (self.report.files, self.report.rows) = (sides.files.met, sides.rows.met);
        self.report.unnameable = sides.unnameable;
        self.adopt_found().await?;
        if let Some(last) = last.filter(|_| !self.options.dry_run) {
            self.ticker.reach(last);
        }
        self.ticker.tick(sides.files.passed(), sides.rows.passed()).await
    }

    /// Gives the files that were found their rows.
    async fn adopt_found(&mut self) -> Result<()> {
        let found = std::mem::take(&mut self.found);
        if found.is_empty() {
            return Ok(());
        }
        let scan = &*self;
        let looks = found.into_iter().map(|file| scan.object_of(file));
        let objects: Vec<_> = stream::iter(looks).buffered(LOOKS_AT_ONCE).try_collect().await?;
        let objects = self.without_owed(objects.into_iter().flatten().collect()).await?;
        self.report.adopted += if self.options.dry_run { objects.len() as u64 } else { self.insert(objects).await? };
        Ok(())
    }

    /// The object of a file without a row; `None` if the file went or may not be read.
    async fn object_of(&self, file: Listed) -> Result<Option<Object>> {
        let Some(stat) = self.look(&file.key).await? else { return Ok(None) };
        let object = match self.identity(&file.key, &stat) {
            Some(object) => object,
            None => {
                let mut object = object_of_file(&file.key, stat, counter_now(None));
                self.store.fit_in(self.bound, &mut object, None).await?;
                object
            }
        };
        self.hashed(object).await
    }

    /// What lies at a key, if anything that may be read does.
    pub(super) async fn look(&self, key: &ObjectKey) -> Result<Option<Stat>> {
        match self.bound.provider.stat(self.bound.place(), &Place::Natural(key.clone())).await {
            Ok(stat) => Ok(Some(stat)),
            Err(provider::Error::NotFound) => Ok(None),
            Err(provider::Error::Denied) => {
                tracing::warn!(bucket = %self.bound.bucket.name, %key, "a file may not be read and is not served");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The object with its true MD5, if that is asked for and nobody computed it yet; `None` if its bytes moved.
    async fn hashed(&self, mut object: Object) -> Result<Option<Object>> {
        let asked = self.options.hash || self.bound.bucket.settings.hash_on_adopt;
        if asked && object.etag.ends_with("-1") && object.parts.is_empty() {
            let Some(md5) = self.store.md5_of(self.bound, &object).await? else { return Ok(None) };
            object.etag = md5;
        }
        Ok(Some(object))
    }

    /// Leaves out files that the outbox names: they are being freed or displaced. The steps are taken on the way, unless
    /// it is only said what would be done.
    async fn without_owed(&self, objects: Vec<Object>) -> Result<Vec<Object>> {
        if self.store.catalog().tasks(&SERVICE, 0, 1).await?.is_empty() {
            return Ok(objects);
        }
        let mut free = Vec::with_capacity(objects.len());
        for object in objects {
            let _order = self.store.0.locks.lock(self.bound.bucket.id, &object.key).await;
            let named = match self.options.dry_run {
                true => self.store.is_named(self.bound, &object.key, &object.stamp).await?,
                false => self.store.is_owed(self.bound, &object.key, &object.stamp).await?,
            };
            if !named {
                free.push(object);
            }
        }
        Ok(free)
    }

    /// Inserts rows where there are none, all in one commit if nobody is in the way. Returns how many.
    async fn insert(&self, objects: Vec<Object>) -> Result<u64> {
        let bucket = self.bound.bucket.id;
        let change = |object: &Object| Change::of_row(bucket, object.key.clone(), None, Some(object.clone()));
        let all = Commit { changes: objects.iter().map(change).collect(), ..Commit::default() };
        let inserted = match self.store.catalog().commit(&SERVICE, all).await {
            Ok(_) => objects,
            Err(catalog::Error::Conflict) => {
                let mut inserted = Vec::new();
                for object in objects {
                    // Whoever wrote the row knew better than this walk.
                    if self.commit_one(change(&object), Vec::new()).await? {
                        inserted.push(object);
                    }
                }
                inserted
            }
            Err(catalog::Error::NotFound) => return Err(Error::NoSuchBucket),
            Err(error) => return Err(error.into()),
        };
        let met = inserted.len() as u64;
        Ok(met - self.undo_ghosts(inserted).await?)
    }

    /// Makes one change and takes the steps it owes. False if somebody else moved the row.
    pub(super) async fn commit_one(&self, change: Change, tasks: Vec<NewTask>) -> Result<bool> {
        let commit = Commit { changes: vec![change], tasks, ..Commit::default() };
        match self.store.catalog().commit(&SERVICE, commit).await {
            Ok(tasks) => {
                self.store.take_steps(self.bound, tasks).await;
                Ok(true)
            }
            Err(catalog::Error::Conflict) => Ok(false),
            Err(catalog::Error::NotFound) => Err(Error::NoSuchBucket),
            Err(error) => Err(error.into()),
        }
    }

    /// Whoever removed a file between our look and our row did not see the row: it is undone. Returns how many were.
    async fn undo_ghosts(&self, inserted: Vec<Object>) -> Result<u64> {
        let looks = inserted.into_iter().map(|object| self.is_ghost(object));
        let ghosts: Vec<_> = stream::iter(looks).buffered(LOOKS_AT_ONCE).try_collect().await?;
        let mut undone = 0;
        for object in ghosts.into_iter().flatten() {
            let _order = self.store.0.locks.lock(self.bound.bucket.id, &object.key).await;
            let (bucket, key) = (self.bound.bucket.id, object.key.clone());
            let undo = Change::of_row(bucket, key, Some(object.seen()), None);
            undone += u64::from(self.commit_one(undo, Vec::new()).await?);
        }
        Ok(undone)
    }

    async fn is_ghost(&self, object: Object) -> Result<Option<Object>> {
        match self.bound.provider.stat(self.bound.place(), &object.place()).await {
            Ok(stat) if stat.stamp == object.stamp => Ok(None),
            Ok(_) | Err(provider::Error::NotFound) => Ok(Some(object)),
            Err(error) => Err(error.into()),
        }
    }

    /// A row without a file at its key. Managed bytes are nobody else's, so their row stands.
    async fn row_alone(&mut self, row: Entry) -> Result<()> {
        if row.placed == Placed::Managed {
            return Ok(());
        }
        match self.store.see(self.bound, &row.key).await? {
            Seen::Bare(_) => {}
            // A delete that did not come to its commit, or a lay-out under way: to its key, in both cases.
            Seen::Whole(object, Place::Managed(_), _) if !self.options.dry_run => {
                return self.store.put_back(self.bound, &object.key, object.version).await;
            }
            Seen::Whole(..) | Seen::Denied(_) | Seen::Kept | Seen::Gone => return Ok(()),
        }
        if self.options.force {
            return self.remove(&row.key, row.version).await;
        }
        self.missing_count += 1;
        if self.missing.len() < MISSING_KEPT_MAX {
            self.missing.push((row.key, row.version));
        }
        Ok(())
    }

    /// Rows without a file go, if there are not too many of them.
    async fn remove_missing(&mut self) -> Result<()> {
        let unasked = (self.report.rows / 100).max(REMOVED_UNASKED_MIN);
        if self.missing_count > unasked {
            self.report.held_back = self.missing_count;
            return Ok(());
        }
        let missing = std::mem::take(&mut self.missing);
        if missing.len() as u64 == self.missing_count {
            for (key, version) in missing {
                self.remove(&key, version).await?;
            }
            return Ok(());
        }
        let mut sides = Sides::new(self.store, self.bound);
        while let Some(met) = sides.next().await? {
            if let Met::Row(row) = met
                && row.placed == Placed::Natural
            {
                self.remove(&row.key, row.version).await?;
            }
        }
        Ok(())
    }

    /// Removes a row whose file is gone, after another look, as any read would.
    async fn remove(&mut self, key: &ObjectKey, version: VersionId) -> Result<()> {
        let object = match self.store.see(self.bound, key).await? {
            Seen::Bare(object) if object.version == version => object,
            Seen::Bare(_) | Seen::Whole(..) | Seen::Denied(_) | Seen::Kept | Seen::Gone => return Ok(()),
        };
        if self.options.dry_run {
            self.report.removed += 1;
            return Ok(());
        }
        match self.store.reconcile(self.bound, &object).await {
            Ok(Reconciled::Gone) => self.report.removed += 1,
            Ok(Reconciled::Again | Reconciled::Kept(_)) => {}
            // Not to be reached is not absence.
            Err(Error::Internal(cause)) => {
                tracing::warn!(bucket = %self.bound.bucket.name, %key, %cause, "an object cannot be looked at");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn end(self) -> Result<ScanReport> {
        let Self { store, bound, options, report, ticker, began, .. } = self;
        if !options.dry_run {
            if options.rebuild {
                store.mark_rebuilt(bound).await?;
            }
            if report.held_back == 0 {
                // What changed behind this scan is for the next one.
                store.catalog().set_indexed(&SERVICE, bound.bucket.id, Some(began)).await?;
                store.forget_bucket(&bound.bucket.name);
            }
        }
        ticker.end(report.held_back).await?;
        Ok(report)
    }
}
