//! Gc: frees managed files that nothing names.
//!
//! They are what a crash leaves, or a client that was cut at the wrong moment: published, and never committed. The files
//! are listed **first** and the catalog is asked **after**, so a file that was committed meanwhile is named. What is
//! unnamed and older than the grace is given up by the catalog: one transaction writes the step that frees it and makes
//! sure that no commit can name it while that step is owed, so a write that is still under way fails as a whole; the grace
//! is for one that sleeps longer than the step. A process that is killed half-way leaves steps that the next one takes.
//!
//! Of what is named, it brings back to their keys what removals have left aside that were cut short. On a cloud such a
//! version may be at both places, and the copy would outlive an edit of the other.
//!
//! **Invariant:** nothing that has no other copy is freed but by a step of the outbox that was written while no row, part
//! or other step named the file, or because others have written over it at its key. What looks like an object is freed
//! unasked only if there is little of it: a catalog from a backup would call all newer objects orphans, so they are
//! counted before the first one is freed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::progress::Ticker;
use super::{MANAGED_PAGE, ROWS_PAGE};
use crate::catalog::{self, Unnamed, Window};
use crate::config::limits::{GC_ASIDE_MAX, REMOVAL_LATE_SECONDS_MAX, UPLOADS_KEPT_SECONDS};
use crate::model::action::Action;
use crate::model::caller::Caller;
use crate::model::id::VersionId;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::page::Seek;
use crate::model::place::{Place, Placed, Stamp};
use crate::model::time::Timestamp;
use crate::provider::{self, ManagedFile};
use crate::store::bound::Bound;
use crate::store::error::{Error, Result};
use crate::store::request::{GcOptions, GcReport};
use crate::store::{SERVICE, Store};

/// Files that look like objects and may be freed unasked, however few managed files there are.
const FREED_UNASKED_MIN: u64 = 100;

/// Managed files of versions that may be to lie at their keys.
#[derive(Debug, Default)]
struct Aside {
    /// With the keys that their records name.
    found: Vec<(ObjectKey, VersionId, Stamp)>,
    /// Without a record of their own: they were adopted, or are parts of uploads.
    nameless: BTreeMap<VersionId, Stamp>,
}

impl Store {
    /// Frees what nothing names in one bucket; administrators only.
    ///
    /// # Errors
    /// Refusals, and failures of catalog and storage: then what was given up so far is freed by the outbox.
    pub async fn gc(&self, caller: &Caller, bucket: &BucketName, options: GcOptions) -> Result<GcReport> {
        let bound = self.enter(caller, bucket, Action::Administer).await?;
        self.gc_bound(&bound, options).await
    }

    pub(super) async fn gc_bound(&self, bound: &Arc<Bound>, options: GcOptions) -> Result<GcReport> {
        self.require_container(bound).await?;
        if !options.dry_run {
            bound.writable()?;
        }
        let before = older_than(options.grace);
        let mut report = GcReport::default();
        let mut ticker = Ticker::start(self, &bound.bucket, false).await?;
        let may_free = options.force || self.orphans_are_few(bound, before).await?;
        let (mut after, mut aside) = (None, Aside::default());
        loop {
            let page = bound.provider.list_managed(bound.place(), after, MANAGED_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.version);
            report.managed += page.len() as u64;
            ticker.tick(report.managed, 0).await?;
            let named = self.named(bound, &page).await?;
            let (named, unnamed): (Vec<_>, Vec<_>) = page.into_iter().partition(|file| named.contains(&file.version));
            self.note_aside(bound, named, &mut aside).await?;
            let mut free = Vec::new();
            for file in unnamed {
                if !is_older(&file, before) {
                    report.young += 1;
                } else if is_object(bound, &file) && !may_free {
                    report.held_back += 1;
                } else {
                    free.push(file);
                }
            }
            let freed = if options.dry_run { None } else { Some(self.free_unnamed(bound, &free).await?) };
            for file in free.iter().filter(|file| freed.as_ref().is_none_or(|freed| freed.contains(&file.version))) {
                report.freed += 1;
                report.freed_bytes += file.stat.size;
            }
        }
        report.put_back = self.put_all_back(bound, aside, options).await?;
        if !options.dry_run {
            report.staged = bound.provider.sweep_staged(bound.place(), before).await?;
            self.catalog().tidy_uploads(&SERVICE, false, older_than(Duration::from_secs(UPLOADS_KEPT_SECONDS))).await?;
        }
        ticker.end(0).await?;
        Ok(report)
    }

    /// Whether the files that nothing names and that look like objects are so few that a crash may have left them.
    pub(super) async fn orphans_are_few(&self, bound: &Arc<Bound>, before: Timestamp) -> Result<bool> {
        let (mut managed, mut objects) = (0_u64, 0_u64);
        let mut after = None;
        loop {
            let page = bound.provider.list_managed(bound.place(), after, MANAGED_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.version);
            managed += page.len() as u64;
            let old: Vec<_> =
                page.into_iter().filter(|file| is_older(file, before) && is_object(bound, file)).collect();
            objects += (old.len() - self.named(bound, &old).await?.len()) as u64;
        }
        Ok(objects <= (managed / 100).max(FREED_UNASKED_MIN))
    }

    /// Which of these files a row, a part or a step names. Asked after they were listed.
    pub(super) async fn named(&self, bound: &Bound, files: &[ManagedFile]) -> Result<BTreeSet<VersionId>> {
        let versions: Vec<_> = files.iter().map(|file| file.version).collect();
        Ok(self.catalog().named(&SERVICE, bound.bucket.id, &versions).await?.into_iter().collect())
    }

    /// Frees files that nothing named when they were looked up. Returns those that still nothing named.
    pub(super) async fn free_unnamed(&self, bound: &Arc<Bound>, files: &[ManagedFile]) -> Result<BTreeSet<VersionId>> {
        if files.is_empty() {
            return Ok(BTreeSet::new());
        }
        let unnamed = files.iter().map(|f| Unnamed { version: f.version, stamp: f.stat.stamp.clone() }).collect();
        let tasks = match self.catalog().give_up(&SERVICE, bound.bucket.id, unnamed).await {
            Ok(tasks) => tasks,
            Err(catalog::Error::NotFound) => return Err(Error::NoSuchBucket),
            Err(error) => return Err(error.into()),
        };
        let freed = tasks.iter().map(|task| task.task.version).collect();
        self.take_steps(bound, tasks).await;
        self.settle().await;
        Ok(freed)
    }

    /// Notes which of these files may be of versions that are to lie at their keys.
    async fn note_aside(&self, bound: &Bound, named: Vec<ManagedFile>, aside: &mut Aside) -> Result<()> {
        for ManagedFile { version, stat } in named {
            match stat.record.filter(|record| record.version == version) {
                Some(record) if record.placed == Placed::Natural && aside.found.len() < GC_ASIDE_MAX => {
                    if self.belongs_at(bound, &record.key, (version, &stat.stamp)).await? {
                        aside.found.push((record.key, version, stat.stamp));
                    }
                }
                None if aside.nameless.len() < GC_ASIDE_MAX => drop(aside.nameless.insert(version, stat.stamp)),
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    /// Whether a version is the current one of a key and is to lie there, and no step is owed that brings it there.
    async fn belongs_at(&self, bound: &Bound, key: &ObjectKey, seen: (VersionId, &Stamp)) -> Result<bool> {
        let row = self.catalog().object(&SERVICE, bound.bucket.id, key).await?;
        let is_there = row.is_some_and(|row| row.placed == Placed::Natural && (row.version, &row.stamp) == seen);
        Ok(is_there && self.catalog().tasks_of(&SERVICE, bound.bucket.id, key).await?.is_empty())
    }

    /// Puts versions back to their keys that a removal had left aside when it was cut short. Where it copied them they may
    /// be at both places, and another process may just be about to remove the one at the key: so they are looked at twice,
    /// with as much time between as a removal may take.
    async fn put_all_back(&self, bound: &Arc<Bound>, aside: Aside, options: GcOptions) -> Result<u64> {
        let Aside { mut found, nameless } = aside;
        let copied = bound.provider.capabilities().flat;
        // Where nobody else writes nothing is edited.
        if copied && !bound.is_shared() && !bound.bucket.settings.exclusive {
            found.extend(self.keys_of(bound, nameless).await?);
        }
        if copied && !found.is_empty() && !options.dry_run {
            tokio::time::sleep(options.grace.min(Duration::from_secs(REMOVAL_LATE_SECONDS_MAX))).await;
        }
        let mut put_back = 0;
        for (key, version, stamp) in found {
            let still = match bound.provider.stat(bound.place(), &Place::Managed(version)).await {
                Ok(stat) => stat.stamp == stamp,
                Err(provider::Error::NotFound) => false,
                Err(error) => return Err(error.into()),
            };
            let late = self.0.outbox.late.has(version);
            if !still || late || !self.belongs_at(bound, &key, (version, &stamp)).await? {
                continue;
            }
            put_back += 1;
            if !options.dry_run {
                self.put_back(bound, &key, version).await?;
            }
        }
        Ok(put_back)
    }

    /// The keys of current versions that are to lie at them: of adopted ones the index alone knows. It is walked only if
    /// there are such files.
    async fn keys_of(
        &self,
        bound: &Bound,
        nameless: BTreeMap<VersionId, Stamp>,
    ) -> Result<Vec<(ObjectKey, VersionId, Stamp)>> {
        let mut found = Vec::new();
        let mut seek = Seek::From(String::new());
        while found.len() < nameless.len() {
            let window = Window { prefix: String::new(), seek, limit: ROWS_PAGE };
            let rows = self.catalog().list(&SERVICE, bound.bucket.id, window).await?;
            let Some(last) = rows.last() else { break };
            seek = Seek::After(last.key.as_str().to_owned());
            for row in rows.into_iter().filter(|row| row.placed == Placed::Natural) {
                if nameless.get(&row.version) == Some(&row.stamp) {
                    found.push((row.key, row.version, row.stamp));
                }
            }
        }
        Ok(found)
    }
}

/// The instant that lies a grace before now.
pub(super) fn older_than(grace: Duration) -> Timestamp {
    let grace = i64::try_from(grace.as_nanos()).unwrap_or(i64::MAX);
    Timestamp(Store::now().0.saturating_sub(grace))
}

/// Whether a file was neither named nor written since `before`. Its version is as old as the request that began it, its
/// mtime as old as its publication; a name made by a step of layout is fresh, however old the bytes are.
pub(super) fn is_older(file: &ManagedFile, before: Timestamp) -> bool {
    made(file.version) < before && file.stat.modified < before
}

/// When a version id was made, to the millisecond: its first 48 bits.
fn made(version: VersionId) -> Timestamp {
    let millis = i64::from_str_radix(&version.to_string()[..12], 16).unwrap_or(i64::MAX);
    Timestamp(millis.saturating_mul(1_000_000))
}

/// Whether a file looks like an object of this bucket, and not like a part of an upload.
pub(super) fn is_object(bound: &Bound, file: &ManagedFile) -> bool {
    let record = file.stat.record.as_ref();
    record.is_some_and(|record| {
        record.is_live(file.stat.size, file.stat.modified)
            && record.bucket == bound.bucket.name
            && record.version == file.version
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_tells_when_it_was_made() {
        let before = Store::now();
        let made = made(VersionId::fresh());
        assert!(made.0 >= before.0 - 1_000_000 && made.0 <= Store::now().0);
    }
}
