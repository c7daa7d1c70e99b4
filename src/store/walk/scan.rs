//! Scan: brings the index up to what lies in the container.
//!
//! New files get rows, edited files get new versions, rows whose files are gone go. A rebuild is a scan that also takes
//! identity from records; what is different then is in `rebuild`.
//!
//! **Invariant:** rows go last, each after another look under its key's lock and only while the container's id is
//! readable; if they are more than a hundredth of all rows none goes unasked.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::progress::Ticker;
use super::{BATCH, LOOKS_AT_ONCE, Met, Seen, Sides};
use crate::catalog::{self, Change, Commit, History, NewTask};
use crate::config::limits::REMOVED_UNASKED_MIN;
use crate::model::action::Action;
use crate::model::caller::Caller;
use crate::model::id::VersionId;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::{Entry, Object};
use crate::model::place::{Place, Placed};
use crate::provider::{self, Listed, Stat};
use crate::store::adopt::{Reconciled, counter_now, object_of_file};
use crate::store::bound::Bound;
use crate::store::displace::{Fate, demoted, fate};
use crate::store::error::{Error, Result};
use crate::store::request::{ScanOptions, ScanReport};
use crate::store::{SERVICE, Store};

/// Rows without a file that are remembered. If more of them may go, a second walk finds them again.
const MISSING_KEPT_MAX: usize = 10_000;

/// One scan.
pub(super) struct Scan<'a> {
    pub(super) store: &'a Store,
    pub(super) bound: &'a Arc<Bound>,
    pub(super) options: ScanOptions,
    /// For a rebuild: the last stop was not clean, so steps may be owed that nobody knows of any more.
    pub(super) after_crash: bool,
    pub(super) report: ScanReport,
    pub(super) ticker: Ticker<'a>,
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

    /// Leaves out files that the outbox names: they are being freed or displaced. The steps are taken on the way.
    async fn without_owed(&self, objects: Vec<Object>) -> Result<Vec<Object>> {
        if self.store.catalog().tasks(&SERVICE, 0, 1).await?.is_empty() {
            return Ok(objects);
        }
        let mut free = Vec::with_capacity(objects.len());
        for object in objects {
            let _order = self.store.0.locks.lock(self.bound.bucket.id, &object.key).await;
            if !self.store.is_owed(self.bound, &object.key, &object.stamp).await? {
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

    /// A file and a row.
    async fn both(&mut self, file: Listed, row: Entry) -> Result<()> {
        if row.stamp.may_show_as(&file.stamp) {
            return self.hash_known(&row).await;
        }
        if !self.options.dry_run && (row.placed == Placed::Managed || self.options.rebuild) {
            let order = self.store.0.locks.lock(self.bound.bucket.id, &row.key).await;
            if self.replace(&row).await? {
                self.report.changed += 1;
                return Ok(());
            }
            drop(order);
        }
        if row.placed == Placed::Managed {
            // In a dry run the same question is asked of what was listed.
            let newer = file.modified > row.modified;
            self.report.changed += u64::from(self.options.dry_run && newer);
            return Ok(());
        }
        let Seen::Bare(current) = self.store.see(self.bound, &row.key).await? else { return Ok(()) };
        if self.options.dry_run {
            self.report.changed += 1;
            return Ok(());
        }
        // As a read would: under the key's lock, with both places looked at.
        self.store.reconcile(self.bound, &current).await?;
        let now = self.store.catalog().object(&SERVICE, self.bound.bucket.id, &row.key).await?;
        self.report.changed += u64::from(now.as_ref().is_none_or(|now| now.version != current.version));
        match now.filter(|now| self.options.hash && now.placed == Placed::Natural) {
            Some(now) => self.hash_edited(now).await,
            None => Ok(()),
        }
    }

    /// Gives an object that was just taken in for an edit its true MD5.
    async fn hash_edited(&mut self, object: Object) -> Result<()> {
        let (etag, seen, key) = (object.etag.clone(), object.seen(), object.key.clone());
        let Some(object) = self.hashed(object).await? else { return Ok(()) };
        if object.etag != etag {
            let change = Change::of_row(self.bound.bucket.id, key, Some(seen), Some(object));
            self.commit_one(change, Vec::new()).await?;
        }
        Ok(())
    }

    /// Puts the file at a key in the place of its row, if the file is what counts. Under the key's lock.
    async fn replace(&self, row: &Entry) -> Result<bool> {
        let bucket = self.bound.bucket.id;
        let current = self.store.catalog().object(&SERVICE, bucket, &row.key).await?;
        let Some(current) = current.filter(|current| current.version == row.version) else { return Ok(false) };
        let Some(stat) = self.look(&row.key).await? else { return Ok(false) };
        if stat.stamp == current.stamp || self.store.is_owed(self.bound, &row.key, &stat.stamp).await? {
            return Ok(false);
        }
        let mut fate = Fate::default();
        let object = match self.identity(&row.key, &stat) {
            Some(object) if self.goes_before(&object, &current) => object,
            Some(_) => return Ok(false),
            // A managed row is not laid out, so the file beside it is somebody's: it is newer or it is none of ours.
            None if current.placed == Placed::Managed && stat.modified > current.modified => {
                let mut object = object_of_file(&row.key, stat, counter_now(Some(current.counter)));
                object.owner.clone_from(&current.owner);
                let leaves;
                (fate, leaves) = self.displaced(&current).await?;
                self.store.fit_in(self.bound, &mut object, leaves).await?;
                object
            }
            None => return Ok(false),
        };
        let Some(object) = self.hashed(object).await? else { return Ok(false) };
        let mut change = Change::of_row(bucket, row.key.clone(), Some(current.seen()), Some(object));
        if self.options.rebuild {
            // A rebuild frees nothing: what it leaves unnamed is for `gc`. It met the versions behind it first.
            fate = Fate::default();
            if self.bound.bucket.config.versioning.ever() {
                fate.history.push(History::Add(Box::new(demoted(&current))));
            }
        }
        change.history = fate.history;
        self.commit_one(change, fate.tasks).await
    }

    /// What becomes of a version whose key somebody took, as by a write, and which `null` goes by it.
    async fn displaced(&self, current: &Object) -> Result<(Fate, Option<VersionId>)> {
        let behind = self.store.behind(self.bound, &current.key, Some(current)).await?;
        let fate = fate(self.bound, &current.key, Some(current), &behind, false);
        let goes = behind.null.as_ref().or(fate.history.is_empty().then_some(current));
        Ok((fate, goes.map(|null| null.version)))
    }

    /// Gives a known file its true MD5, if that is asked for and nobody computed it yet.
    async fn hash_known(&mut self, row: &Entry) -> Result<()> {
        if !self.options.hash || row.placed != Placed::Natural || !row.etag.ends_with("-1") {
            return Ok(());
        }
        let bucket = self.bound.bucket.id;
        let Some(object) = self.store.catalog().object(&SERVICE, bucket, &row.key).await? else { return Ok(()) };
        if object.version != row.version || !object.parts.is_empty() {
            return Ok(());
        }
        let seen = object.seen();
        let Some(object) = self.hashed(object).await? else { return Ok(()) };
        // Without the lock: hashing takes its time, and the version it was for is what the commit compares.
        let change = Change::of_row(bucket, row.key.clone(), Some(seen), Some(object));
        let changed = self.options.dry_run || self.commit_one(change, Vec::new()).await?;
        self.report.changed += u64::from(changed);
        Ok(())
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
        let Self { store, bound, options, report, ticker, .. } = self;
        if !options.dry_run {
            if options.rebuild {
                store.mark_rebuilt(bound).await?;
            }
            if report.held_back == 0 {
                store.catalog().set_indexed(&SERVICE, bound.bucket.id, Some(Store::now())).await?;
                store.forget_bucket(&bound.bucket.name);
            }
        }
        ticker.end(report.held_back).await?;
        Ok(report)
    }
}
