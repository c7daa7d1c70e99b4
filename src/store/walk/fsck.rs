//! Fsck: holds catalog and storage against each other, both ways.
//!
//! Steps that are owed, files and rows in the order of their keys, managed files, parts of uploads. With `repair` each
//! finding gets what a scan or `gc` would do about it; for the rest there is no safe repair, and it is kept.
//!
//! **Invariant:** a finding was looked at twice, so that a write under way is none; a repair never destroys bytes that a
//! row names, and never drops more rows than a scan would unasked.

use std::sync::Arc;
use std::time::Duration;

use super::deep::Verdict;
use super::gc::{is_object, is_older, older_than};
use super::progress::Ticker;
use super::{BATCH, MANAGED_PAGE, Met, Seen, Sides};
use crate::catalog::{Step, Task, VersionWindow};
use crate::config::limits::{
    FINDINGS_LISTED_MAX, GC_GRACE_SECONDS, LIST_KEYS_MAX, PART_NUMBER_MAX, REMOVED_UNASKED_MIN,
};
use crate::model::action::Action;
use crate::model::caller::Caller;
use crate::model::id::VersionId;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::Object;
use crate::model::page::Seek;
use crate::model::place::{Place, Placed, Stamp};
use crate::model::record::Record;
use crate::model::upload::{Part, Upload};
use crate::model::versioning::VersionRef;
use crate::provider::{self, Stat};
use crate::store::adopt::Reconciled;
use crate::store::bound::{Bound, is_absent};
use crate::store::error::Result;
use crate::store::request::{Finding, FindingKind, FsckOptions, FsckReport};
use crate::store::{SERVICE, Store};

/// Steps read at a time.
const TASKS_PAGE: usize = 1000;

struct Fsck<'a> {
    store: &'a Store,
    bound: &'a Arc<Bound>,
    options: FsckOptions,
    report: FsckReport,
    ticker: Ticker<'a>,
    /// Rows to drop once it is known that they are few.
    missing: Vec<(ObjectKey, VersionId)>,
    /// How many there are, also those that are not listed.
    missing_count: u64,
}

impl Store {
    /// Checks one bucket; administrators only.
    ///
    /// # Errors
    /// Refusals, and failures of catalog and storage.
    pub async fn fsck(&self, caller: &Caller, bucket: &BucketName, options: FsckOptions) -> Result<FsckReport> {
        let bound = self.enter(caller, bucket, Action::Administer).await?;
        self.require_container(&bound).await?;
        if options.repair {
            bound.writable()?;
        }
        let ticker = Ticker::start(self, &bound.bucket, false).await?;
        let report = FsckReport::default();
        let mut fsck =
            Fsck { store: self, bound: &bound, options, report, ticker, missing: Vec::new(), missing_count: 0 };
        fsck.steps().await?;
        if !bound.is_shared() {
            fsck.keys().await?;
            fsck.drop_missing().await?;
        }
        fsck.behind().await?;
        fsck.managed().await?;
        fsck.uploads().await?;
        let Fsck { report, ticker, .. } = fsck;
        ticker.end(0).await?;
        Ok(report)
    }
}

impl Fsck<'_> {
    fn found(&mut self, kind: FindingKind, key: Option<&ObjectKey>, version: Option<VersionId>, repaired: bool) {
        *self.report.counts.entry(kind).or_default() += 1;
        self.report.repaired += u64::from(repaired);
        if self.report.findings.len() < FINDINGS_LISTED_MAX {
            let key = key.map(|key| key.as_str().to_owned());
            self.report.findings.push(Finding { kind, key, version, repaired });
        }
    }

    /// Steps that cannot be taken: their bytes are others than they name.
    async fn steps(&mut self) -> Result<()> {
        let mut after = 0;
        loop {
            let page = self.store.catalog().tasks(&SERVICE, after, TASKS_PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            for task in page.into_iter().filter(|task| task.task.bucket == self.bound.bucket.id) {
                if self.is_stuck(&task).await? {
                    self.found(FindingKind::StuckStep, Some(&task.task.key), Some(task.task.version), false);
                }
            }
        }
    }

    async fn is_stuck(&self, task: &Task) -> Result<bool> {
        // A lay-out without its bytes is a row without its bytes, and found there.
        let Step::Drop { stamp: Some(stamp) } = &task.task.step else { return Ok(false) };
        let place = Place::Managed(task.task.version);
        match self.bound.provider.stat(self.bound.place(), &place).await {
            Ok(stat) => Ok(stat.stamp != *stamp),
            Err(provider::Error::NotFound) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Files and rows.
    async fn keys(&mut self) -> Result<()> {
        let mut sides = Sides::new(self.store, self.bound);
        while let Some(met) = sides.next().await? {
            match met {
                Met::File(file) => self.file_alone(&file.key).await?,
                Met::Row(row) => self.row(&row.key, None).await?,
                Met::Both(file, row) => self.row(&row.key, Some(&file.stamp)).await?,
            }
            self.ticker.tick(sides.files.passed(), sides.rows.passed()).await?;
        }
        (self.report.files, self.report.rows) = (sides.files.met, sides.rows.met);
        self.report.unnameable = sides.unnameable;
        Ok(())
    }

    async fn file_alone(&mut self, key: &ObjectKey) -> Result<()> {
        let stat = match self.bound.provider.stat(self.bound.place(), &Place::Natural(key.clone())).await {
            Ok(stat) => stat,
            Err(provider::Error::NotFound) => return Ok(()),
            Err(provider::Error::Denied) => {
                self.found(FindingKind::UnreadableFile, Some(key), None, false);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        // Asked after the look: a file that is being displaced or freed is none of this.
        if self.store.is_named(self.bound, key, &stat.stamp).await?
            || self.store.catalog().object(&SERVICE, self.bound.bucket.id, key).await?.is_some()
        {
            return Ok(());
        }
        let repaired = self.options.repair && self.store.adopt_file(self.bound, key).await?.is_some();
        self.found(FindingKind::UnindexedFile, Some(key), None, repaired);
        Ok(())
    }

    /// A row, and the file that was listed at its key.
    async fn row(&mut self, key: &ObjectKey, listed: Option<&Stamp>) -> Result<()> {
        match self.store.see(self.bound, key).await? {
            Seen::Whole(object, place, stat) => {
                let hidden = listed.filter(|listed| **listed != object.stamp);
                if let Some(hidden) = hidden
                    && place == Place::Managed(object.version)
                    && !self.store.is_named(self.bound, key, hidden).await?
                {
                    self.hidden(&object, hidden).await?;
                }
                self.record(&object, &place, &stat).await?;
                if self.options.deep {
                    self.bytes(&object, &place).await?;
                }
            }
            Seen::Bare(object) => self.bare(object).await?,
            Seen::Denied(object) => self.found(FindingKind::UnreadableFile, Some(key), Some(object.version), false),
            Seen::Kept | Seen::Gone => {}
        }
        Ok(())
    }

    /// A file at the path of an object whose bytes are at their managed place.
    async fn hidden(&mut self, object: &Object, listed: &Stamp) -> Result<()> {
        let place = Place::Natural(object.key.clone());
        let now = self.bound.provider.stat(self.bound.place(), &place).await;
        let row = self.store.catalog().object(&SERVICE, self.bound.bucket.id, &object.key).await?;
        if now.is_ok_and(|now| now.stamp == *listed) && row.as_ref() == Some(object) {
            self.found(FindingKind::HiddenFile, Some(&object.key), Some(object.version), false);
        }
        Ok(())
    }

    /// A row without its bytes.
    async fn bare(&mut self, object: Object) -> Result<()> {
        let place = Place::Natural(object.key.clone());
        let at_key = match self.bound.provider.stat(self.bound.place(), &place).await {
            Ok(_) => true,
            Err(provider::Error::NotFound | provider::Error::Denied) => false,
            Err(error) => return Err(error.into()),
        };
        let (key, version) = (object.key.clone(), object.version);
        if object.placed == Placed::Natural && at_key {
            let repaired = self.options.repair && self.store.reconcile(self.bound, &object).await.is_ok();
            self.found(FindingKind::ChangedBytes, Some(&key), Some(version), repaired);
            return Ok(());
        }
        self.found(FindingKind::MissingBytes, Some(&key), Some(version), false);
        if object.placed == Placed::Natural {
            self.missing_count += 1;
            if self.options.repair && self.missing.len() < FINDINGS_LISTED_MAX {
                self.missing.push((key, version));
            }
        }
        Ok(())
    }

    /// Drops rows whose files are gone, if a scan would.
    async fn drop_missing(&mut self) -> Result<()> {
        let missing = std::mem::take(&mut self.missing);
        if self.missing_count > (self.report.rows / 100).max(REMOVED_UNASKED_MIN) {
            return Ok(());
        }
        for (key, version) in missing {
            let Seen::Bare(object) = self.store.see(self.bound, &key).await? else { continue };
            if object.version == version
                && let Ok(Reconciled::Gone) = self.store.reconcile(self.bound, &object).await
            {
                self.report.repaired += 1;
                let kind = FindingKind::MissingBytes;
                let same = |found: &&mut Finding| found.kind == kind && found.version == Some(version);
                if let Some(finding) = self.report.findings.iter_mut().find(same) {
                    finding.repaired = true;
                }
            }
        }
        Ok(())
    }

    /// What the record beside the bytes says, if it speaks for this very version.
    async fn record(&mut self, object: &Object, place: &Place, stat: &Stat) -> Result<()> {
        let Some(record) = stat
            .record
            .as_ref()
            .filter(|record| record.version == object.version && record.is_live(stat.size, stat.modified))
        else {
            return Ok(());
        };
        let mut right = Record::of(object, &self.bound.bucket.name);
        // What the row says of the place follows a lay-out; what did not fit was left out.
        right.placed = record.placed;
        right.modified = record.modified;
        right.cut = record.cut;
        // A row that is written over keeps what it is known by, which the catalog alone knows.
        right.attached.id = record.attached.id;
        if record.cut {
            right.parts.clone_from(&record.parts);
            right.content.user.clone_from(&record.content.user);
        }
        if right == *record {
            return Ok(());
        }
        let (placed, modified) = (record.placed, record.modified);
        let whole = Record { placed, modified, ..Record::of(object, &self.bound.bucket.name) };
        let written = self.options.repair
            && self.bound.provider.set_record(self.bound.place(), place, &object.stamp, &whole).await.is_ok();
        self.found(FindingKind::RecordDiffers, Some(&object.key), Some(object.version), written);
        Ok(())
    }

    /// Every byte.
    async fn bytes(&mut self, object: &Object, place: &Place) -> Result<()> {
        let verdict = self.store.is_intact(self.bound, object, place).await?;
        self.count(verdict, object.size);
        if verdict == Verdict::Corrupt {
            self.found(FindingKind::CorruptBytes, Some(&object.key), Some(object.version), false);
        }
        Ok(())
    }

    /// Versions behind the current ones, whose bytes nobody but Longshore may touch: what is gone is loss.
    async fn behind(&mut self) -> Result<()> {
        let (mut rest_of, mut seek) = (None, Seek::From(String::new()));
        while self.bound.bucket.config.versioning.ever() {
            let window = VersionWindow { prefix: String::new(), rest_of, seek, limit: BATCH };
            let page = self.store.catalog().list_versions(&SERVICE, self.bound.bucket.id, window).await?;
            let Some(last) = page.last() else { break };
            seek = Seek::After(last.key.as_str().to_owned());
            rest_of = Some((last.key.clone(), last.counter));
            for entry in page {
                self.behind_one(&entry.key, entry.version).await?;
            }
        }
        Ok(())
    }

    async fn behind_one(&mut self, key: &ObjectKey, version: VersionId) -> Result<()> {
        // Under the lock, as a lay-out holds a displaced version elsewhere for a moment.
        let order = self.store.0.locks.lock(self.bound.bucket.id, key).await;
        let (catalog, id) = (self.store.catalog(), self.bound.bucket.id);
        let current = catalog.object(&SERVICE, id, key).await?;
        let row = catalog.version(&SERVICE, id, key, VersionRef::Id(version)).await?;
        let Some(row) = row.filter(|_| current.is_none_or(|current| current.version != version)) else {
            return Ok(());
        };
        for place in [row.place(), row.other_place()] {
            match self.bound.provider.stat(self.bound.place(), &place).await {
                Ok(stat) if stat.stamp == row.stamp => {
                    drop(order);
                    return if self.options.deep && !row.marker { self.bytes(&row, &place).await } else { Ok(()) };
                }
                Ok(_) | Err(provider::Error::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if catalog.inline(&SERVICE, id, version).await?.is_none() {
            self.found(FindingKind::MissingBytes, Some(key), Some(version), false);
        }
        Ok(())
    }

    fn count(&mut self, verdict: Verdict, size: u64) {
        match verdict {
            Verdict::Intact | Verdict::Corrupt => self.report.hashed_bytes += size,
            Verdict::Sealed => self.report.sealed += 1,
            Verdict::Moved => {}
        }
    }

    /// Managed files that nothing names.
    async fn managed(&mut self) -> Result<()> {
        let before = older_than(Duration::from_secs(GC_GRACE_SECONDS));
        let may_free = self.options.repair && self.store.orphans_are_few(self.bound, before).await?;
        let mut after = None;
        loop {
            let page = self.bound.provider.list_managed(self.bound.place(), after, MANAGED_PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.version);
            self.report.managed += page.len() as u64;
            let named = self.store.named(self.bound, &page).await?;
            let unnamed = page.into_iter().filter(|file| !named.contains(&file.version));
            let (old, young): (Vec<_>, Vec<_>) = unnamed.partition(|file| is_older(file, before));
            self.report.unsettled += young.len() as u64;
            let mut free = Vec::new();
            for file in old.iter().filter(|_| self.options.repair) {
                if may_free || !is_object(self.bound, file) {
                    free.push(file.clone());
                }
            }
            let freed = self.store.free_unnamed(self.bound, &free).await?;
            for file in old {
                let key = file.stat.record.map(|record| record.key);
                self.found(FindingKind::Orphan, key.as_ref(), Some(file.version), freed.contains(&file.version));
            }
        }
    }

    /// Parts of uploads in progress.
    async fn uploads(&mut self) -> Result<()> {
        let mut after: Option<(String, crate::model::id::UploadId)> = None;
        loop {
            let from = after.as_ref().map(|(key, id)| (key.as_str(), Some(*id)));
            let page = self.store.catalog().uploads(&SERVICE, self.bound.bucket.id, "", from, LIST_KEYS_MAX).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some((last.key.as_str().to_owned(), last.id));
            for upload in page {
                self.parts(&upload).await?;
            }
        }
    }

    async fn parts(&mut self, upload: &Upload) -> Result<()> {
        for part in self.all_parts(upload).await? {
            self.report.parts += 1;
            let place = Place::Managed(part.attempt);
            let there = match self.bound.provider.read(self.bound.place(), &place, &part.stamp, 0..0).await {
                Ok(_) => true,
                Err(error) if is_absent(&error) => false,
                Err(error) => return Err(error.into()),
            };
            let kind = match there {
                false => Some(FindingKind::MissingPart),
                true if self.options.deep => {
                    let verdict = self.store.is_part_intact(self.bound, upload, &part).await?;
                    self.count(verdict, part.size);
                    (verdict == Verdict::Corrupt).then_some(FindingKind::CorruptBytes)
                }
                true => None,
            };
            // An attempt that was replaced meanwhile, or an upload that ended, is none of this.
            if let Some(kind) = kind
                && self.all_parts(upload).await?.contains(&part)
            {
                self.found(kind, Some(&upload.key), Some(part.attempt), false);
            }
        }
        Ok(())
    }

    async fn all_parts(&self, upload: &Upload) -> Result<Vec<Part>> {
        let limit = usize::try_from(PART_NUMBER_MAX).unwrap_or(usize::MAX);
        Ok(self.store.catalog().parts(&SERVICE, upload.id, 0, limit).await?)
    }
}
