//! Scan and rebuild: walk provider and catalog in key order, merge, act.
//!
//! One engine in two modes. A scan brings the index up to what lies in the container: new files get rows, edited files
//! get new versions, rows whose files are gone go. A rebuild also takes identity from records, an administrator's
//! decision, and restores what lies at managed places.
//!
//! **Invariant:** safe beside a running server: every change is a compare-and-swap against the row that was compared.
//! Rows go last, only while the container's id is readable, and never more than a hundredth of them unasked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::catalog::{self, Change, Commit, Window};
use crate::model::action::Action;
use crate::model::caller::Caller;
use crate::model::id::{BucketId, VersionId};
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::{Entry, Object};
use crate::model::page::Seek;
use crate::model::place::{Place, Placed};
use crate::provider::{Listed, ManagedFile};
use crate::store::adopt::{counter_now, object_of_file};
use crate::store::bound::{Bound, container_is_gone, is_absent};
use crate::store::error::{Error, Result};
use crate::store::request::{ScanOptions, ScanReport};
use crate::store::{SERVICE, Store};

/// Files and rows compared at a time.
const WALK_PAGE: usize = 2000;
/// Rows written in one commit.
const COMMIT_ROWS: usize = 500;
/// Between two looks for buckets that nobody has walked yet.
const INDEX_INTERVAL: Duration = Duration::from_millis(500);
/// Before a walk that failed is tried again; doubled each time.
const INDEX_RETRY: Duration = Duration::from_secs(5);
/// Rows that may go without being asked about, however few there are.
const REMOVED_UNASKED_MIN: u64 = 100;

/// One walk.
struct Walk<'a> {
    bound: &'a Arc<Bound>,
    options: ScanOptions,
    report: ScanReport,
    changes: Vec<Change>,
    /// Rows whose files were not met, to be looked at once more at the end.
    missing: Vec<Entry>,
    missing_max: usize,
}

impl Store {
    /// Walks one bucket; administrators only.
    ///
    /// # Errors
    /// Refusals, and failures of catalog and storage: then what was found so far is in the index and the rest is not.
    pub async fn scan(&self, caller: &Caller, bucket: &BucketName, options: ScanOptions) -> Result<ScanReport> {
        let bound = self.enter(caller, bucket, Action::Administer).await?;
        self.walk(&bound, options).await
    }

    async fn walk(&self, bound: &Arc<Bound>, options: ScanOptions) -> Result<ScanReport> {
        self.require_container(bound).await?;
        let (rows, _) = self.catalog().usage(&SERVICE, bound.bucket.id).await?;
        let unasked = (rows / 100).max(REMOVED_UNASKED_MIN);
        let missing_max = if options.force { usize::MAX } else { usize::try_from(unasked).unwrap_or(usize::MAX) };
        let (report, changes, missing) = (ScanReport::default(), Vec::new(), Vec::new());
        let mut walk = Walk { bound, options, report, changes, missing, missing_max };
        if options.rebuild {
            self.restore_managed(&mut walk).await?;
        }
        self.merge(&mut walk).await?;
        self.write_changes(&mut walk).await?;
        self.remove_missing(&mut walk).await?;
        if !options.dry_run && walk.report.held_back == 0 {
            self.catalog().set_indexed(&SERVICE, bound.bucket.id, Some(Self::now())).await?;
            self.forget_bucket(&bound.bucket.name);
        }
        Ok(walk.report)
    }

    /// Files and rows side by side in the order of keys.
    async fn merge(&self, walk: &mut Walk<'_>) -> Result<()> {
        let (mut files, mut rows) = (Files::default(), Rows::default());
        loop {
            files.fill(self, walk).await?;
            rows.fill(self, walk).await?;
            match (files.page.front(), rows.page.front()) {
                (None, None) => return Ok(()),
                (Some(file), Some(row)) if file.key == row.key => {
                    if let (Some(file), Some(row)) = (files.page.pop_front(), rows.page.pop_front()) {
                        self.both(walk, file, row).await?;
                    }
                }
                (Some(file), row) if row.is_none_or(|row| file.key < row.key) => {
                    if let Some(file) = files.page.pop_front() {
                        self.file_alone(walk, file).await?;
                    }
                }
                _ => {
                    if let Some(row) = rows.page.pop_front() {
                        row_alone(walk, row);
                    }
                }
            }
        }
    }

    async fn file_alone(&self, walk: &mut Walk<'_>, file: Listed) -> Result<()> {
        if self.is_owed(walk.bound, &file.key, &file.stamp).await? {
            return Ok(());
        }
        let Some(object) = self.object_of(walk, file, None).await? else { return Ok(()) };
        walk.report.adopted += 1;
        self.change(walk, None, object).await
    }

    async fn both(&self, walk: &mut Walk<'_>, file: Listed, row: Entry) -> Result<()> {
        if file.stamp == row.stamp {
            return self.hash_known(walk, &row).await;
        }
        let Some(current) = self.catalog().object(&SERVICE, walk.bound.bucket.id, &row.key).await? else {
            return Ok(());
        };
        if current.version != row.version || self.is_owed(walk.bound, &row.key, &file.stamp).await? {
            return Ok(());
        }
        if !walk.options.rebuild && row.placed == Placed::Natural {
            // As a read would: under the key's lock, with both places looked at.
            self.reconcile(walk.bound, &current).await?;
            let now = self.catalog().object(&SERVICE, walk.bound.bucket.id, &row.key).await?;
            if now.as_ref().is_none_or(|now| now.version != current.version) {
                walk.report.changed += 1;
            }
            if let Some(now) = now {
                self.hash_object(walk, now).await?;
            }
            return Ok(());
        }
        // A managed row is not laid out, so the file beside it is somebody's: it is newer or it is none of ours.
        if row.placed == Placed::Managed && file.modified <= row.modified && !walk.options.rebuild {
            tracing::warn!(bucket = %walk.bound.bucket.name, key = %row.key, "a file at the path of a managed object is older and is not served");
            return Ok(());
        }
        let Some(mut object) = self.object_of(walk, file, Some(&current)).await? else { return Ok(()) };
        if walk.options.rebuild && object.counter <= current.counter {
            return Ok(());
        }
        if !walk.options.rebuild {
            object.owner = row.owner;
        }
        walk.report.changed += 1;
        self.change(walk, Some(row.version), object).await
    }

    /// Gives a known file its true MD5, if that is asked for and nobody computed it yet.
    async fn hash_known(&self, walk: &mut Walk<'_>, row: &Entry) -> Result<()> {
        if !walk.options.hash || row.placed != Placed::Natural || !row.etag.ends_with("-1") {
            return Ok(());
        }
        let Some(object) = self.catalog().object(&SERVICE, walk.bound.bucket.id, &row.key).await? else {
            return Ok(());
        };
        if object.version == row.version && self.hash_object(walk, object).await? {
            walk.report.changed += 1;
        }
        Ok(())
    }

    /// Gives an object at its key its true MD5, if that is asked for and nobody computed it. False if not.
    async fn hash_object(&self, walk: &mut Walk<'_>, mut object: Object) -> Result<bool> {
        let provisional = object.placed == Placed::Natural && object.etag.ends_with("-1") && object.parts.is_empty();
        if !walk.options.hash || !provisional {
            return Ok(false);
        }
        let Some(md5) = self.md5_of(walk.bound, &object).await? else { return Ok(false) };
        object.etag = md5;
        self.change(walk, Some(object.version), object).await?;
        Ok(true)
    }

    /// The object of a file; `None` if the file went or moved meanwhile.
    async fn object_of(&self, walk: &Walk<'_>, file: Listed, displaced: Option<&Object>) -> Result<Option<Object>> {
        let bound = walk.bound;
        let stat = match bound.provider.stat(bound.place(), &Place::Natural(file.key.clone())).await {
            Ok(stat) => stat,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(crate::provider::Error::Denied) => {
                tracing::warn!(bucket = %bound.bucket.name, key = %file.key, "a file may not be read and is not served");
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let identity = stat.record.clone().filter(|record| {
            walk.options.rebuild
                && record.is_live(stat.size, stat.modified)
                && record.is_of(&bound.bucket.name, &file.key)
        });
        let stamp = stat.stamp.clone();
        let mut object = match identity {
            Some(record) => record.into_object(Placed::Natural, stamp),
            None => object_of_file(&file.key, stat, counter_now(displaced.map(|d| d.counter))),
        };
        if (walk.options.hash || bound.bucket.settings.hash_on_adopt)
            && object.etag.ends_with("-1")
            && object.parts.is_empty()
        {
            match self.md5_of(bound, &object).await? {
                Some(md5) => object.etag = md5,
                None => return Ok(None),
            }
        }
        Ok(Some(object))
    }

    async fn change(&self, walk: &mut Walk<'_>, expect: Option<VersionId>, object: Object) -> Result<()> {
        if walk.options.dry_run {
            return Ok(());
        }
        let (bucket, key) = (walk.bound.bucket.id, object.key.clone());
        walk.changes.push(Change { bucket, key, expect, becomes: Some(object) });
        if walk.changes.len() >= COMMIT_ROWS { self.write_changes(walk).await } else { Ok(()) }
    }

    /// Writes what was gathered; if somebody else moved one of the rows, each on its own.
    async fn write_changes(&self, walk: &mut Walk<'_>) -> Result<()> {
        let changes = std::mem::take(&mut walk.changes);
        if changes.is_empty() {
            return Ok(());
        }
        let all = Commit { changes: changes.clone(), ..Commit::default() };
        match self.catalog().commit(&SERVICE, all).await {
            Ok(_) => return self.undo_ghosts(walk.bound, &changes).await,
            Err(catalog::Error::Conflict) => {}
            Err(catalog::Error::NotFound) => return Err(Error::NoSuchBucket),
            Err(error) => return Err(error.into()),
        }
        for change in &changes {
            let one = Commit { changes: vec![change.clone()], ..Commit::default() };
            match self.catalog().commit(&SERVICE, one).await {
                // Whoever moved the row knew better than this walk.
                Ok(_) | Err(catalog::Error::Conflict) => {}
                Err(catalog::Error::NotFound) => return Err(Error::NoSuchBucket),
                Err(error) => return Err(error.into()),
            }
        }
        self.undo_ghosts(walk.bound, &changes).await
    }

    /// Whoever removed a file between our look and our row did not see the row: it is undone.
    async fn undo_ghosts(&self, bound: &Bound, changes: &[Change]) -> Result<()> {
        for change in changes.iter().filter(|change| change.expect.is_none()) {
            let Some(object) = change.becomes.as_ref().filter(|o| o.placed == Placed::Natural) else { continue };
            match bound.provider.stat(bound.place(), &object.place()).await {
                Ok(stat) if stat.stamp == object.stamp => {}
                Ok(_) | Err(crate::provider::Error::NotFound) => {
                    let undo = Change { expect: Some(object.version), becomes: None, ..change.clone() };
                    let _moved_on = self.commit_change(undo).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Rows without a file go, if there are not too many of them: each is looked at once more, as any read would.
    async fn remove_missing(&self, walk: &mut Walk<'_>) -> Result<()> {
        if walk.report.held_back > 0 {
            walk.report.held_back += walk.missing.len() as u64;
            return Ok(());
        }
        for row in std::mem::take(&mut walk.missing) {
            walk.report.removed += 1;
            if walk.options.dry_run {
                continue;
            }
            let object = self.catalog().object(&SERVICE, walk.bound.bucket.id, &row.key).await?;
            let Some(object) = object.filter(|o| o.version == row.version) else {
                walk.report.removed -= 1;
                continue;
            };
            match self.reconcile(walk.bound, &object).await {
                Ok(crate::store::adopt::Reconciled::Gone) => {}
                Ok(crate::store::adopt::Reconciled::Again | crate::store::adopt::Reconciled::Kept(_)) => {
                    walk.report.removed -= 1
                }
                // Not to be reached is not absence.
                Err(Error::Internal(cause)) => {
                    tracing::warn!(bucket = %walk.bound.bucket.name, key = %row.key, %cause, "an object cannot be looked at");
                    walk.report.removed -= 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Restores what lies at managed places, newest version of each key, from its records.
    async fn restore_managed(&self, walk: &mut Walk<'_>) -> Result<()> {
        let mut after = None;
        loop {
            let page = walk.bound.provider.list_managed(walk.bound.place(), after, WALK_PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.version);
            for file in page {
                self.restore(walk, file).await?;
            }
        }
    }

    async fn restore(&self, walk: &mut Walk<'_>, file: ManagedFile) -> Result<()> {
        let (stat, version) = (file.stat, file.version);
        let Some(record) = stat.record.filter(|record| {
            record.is_live(stat.size, stat.modified)
                && record.bucket == walk.bound.bucket.name
                && record.version == version
        }) else {
            return Ok(());
        };
        let object = record.into_object(Placed::Managed, stat.stamp);
        let row = self.catalog().object(&SERVICE, walk.bound.bucket.id, &object.key).await?;
        if row.as_ref().is_some_and(|row| row.counter >= object.counter) {
            return Ok(());
        }
        walk.report.restored += 1;
        // Written one by one: two files of one key may be on the same page.
        self.change(walk, row.map(|row| row.version), object).await?;
        self.write_changes(walk).await
    }

    /// Walks buckets that nobody has walked yet, one at a time. A bucket whose walk fails waits longer each time.
    pub(super) async fn index_new_buckets(&self, stop: CancellationToken) {
        let mut failed: BTreeMap<BucketId, (u32, Instant)> = BTreeMap::new();
        while stop.run_until_cancelled(tokio::time::sleep(INDEX_INTERVAL)).await.is_some() {
            let Ok(buckets) = self.all_buckets().await else { continue };
            for bucket in buckets.into_iter().filter(|b| b.indexed.is_none()) {
                if failed.get(&bucket.id).is_some_and(|(_, next)| Instant::now() < *next) {
                    continue;
                }
                let walked = stop.run_until_cancelled(async {
                    let bound = self.bound(&bucket.name).await?;
                    self.walk(&bound, ScanOptions::default()).await
                });
                let name = &bucket.name;
                match walked.await {
                    Some(Ok(report)) if report.held_back == 0 => {
                        tracing::info!(bucket = %name, files = report.files, adopted = report.adopted, "a bucket is indexed");
                        failed.remove(&bucket.id);
                        continue;
                    }
                    Some(Ok(report)) => {
                        tracing::warn!(bucket = %name, held_back = report.held_back, "too many objects have lost their files: scan it");
                    }
                    Some(Err(error)) => {
                        let cause = std::error::Error::source(&error);
                        tracing::warn!(bucket = %name, %error, ?cause, "a bucket could not be indexed");
                    }
                    None => return,
                }
                let tries = failed.get(&bucket.id).map_or(0, |(tries, _)| *tries).saturating_add(1).min(10);
                failed.insert(bucket.id, (tries, Instant::now() + INDEX_RETRY * 2_u32.pow(tries)));
            }
        }
    }
}

/// A row whose file was not met. Managed bytes are nobody else's, so their row stands.
fn row_alone(walk: &mut Walk<'_>, row: Entry) {
    if row.placed == Placed::Managed {
        return;
    }
    if walk.missing.len() < walk.missing_max {
        walk.missing.push(row);
    } else {
        walk.report.held_back += 1;
    }
}

/// The files of a walk, a page at a time.
#[derive(Default)]
struct Files {
    page: std::collections::VecDeque<Listed>,
    after: Option<ObjectKey>,
    ended: bool,
}

impl Files {
    async fn fill(&mut self, _store: &Store, walk: &mut Walk<'_>) -> Result<()> {
        if self.ended || !self.page.is_empty() {
            return Ok(());
        }
        let after = self.after.as_ref().map(ObjectKey::as_str);
        let listed = walk.bound.provider.list(walk.bound.place(), "", after, WALK_PAGE).await;
        let listed = listed.map_err(|error| if is_absent(&error) { container_is_gone() } else { error.into() })?;
        self.ended = !listed.more;
        self.after = listed.files.last().map(|file| file.key.clone()).or(self.after.take());
        walk.report.files += listed.files.len() as u64;
        walk.report.unnameable += listed.unnameable;
        self.page.extend(listed.files);
        Ok(())
    }
}

/// The rows of a walk, a page at a time.
#[derive(Default)]
struct Rows {
    page: std::collections::VecDeque<Entry>,
    after: Option<ObjectKey>,
    ended: bool,
}

impl Rows {
    async fn fill(&mut self, store: &Store, walk: &mut Walk<'_>) -> Result<()> {
        if self.ended || !self.page.is_empty() {
            return Ok(());
        }
        let seek = self.after.as_ref().map_or(Seek::From(String::new()), |key| Seek::After(key.as_str().to_owned()));
        let window = Window { prefix: String::new(), seek, limit: WALK_PAGE };
        let rows = store.catalog().list(&SERVICE, walk.bound.bucket.id, window).await?;
        self.ended = rows.len() < WALK_PAGE;
        self.after = rows.last().map(|row| row.key.clone()).or(self.after.take());
        walk.report.rows += rows.len() as u64;
        self.page.extend(rows);
        Ok(())
    }
}
