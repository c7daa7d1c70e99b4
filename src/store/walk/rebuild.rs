//! Rebuild: a scan that takes identity from records, an administrator's decision, for a catalog that was lost.
//!
//! First what lies at managed places gets its rows, then the walk over files and rows follows. What a record says of
//! version, owner and order counts only here.
//!
//! # What is not restored
//!
//! A crash leaves managed files that no commit ever named, with records like any other. After a **clean stop** they can be
//! told apart: everything that was committed for its key had been laid out there, so what was meant for its key and is
//! still at a managed place was never committed; and whatever a committed version displaces had been freed, so a version
//! that lies at its key was never displaced by a managed one. After a **crash** (`--force`) neither can be said, and the
//! newest version of a key counts: it may have been acknowledged.
//!
//! **Invariant:** it frees nothing. What it does not restore stays for `gc`, which has its grace.

use std::collections::BTreeMap;

use super::scan::Scan;
use super::{BATCH, MANAGED_PAGE};
use crate::catalog::{self, Change, Commit, History};
use crate::model::id::VersionId;
use crate::model::name::ObjectKey;
use crate::model::object::Object;
use crate::model::place::Placed;
use crate::model::versioning::VersionRef;
use crate::provider::{ManagedFile, Stat};
use crate::store::SERVICE;
use crate::store::displace::demoted;
use crate::store::error::{Error, Result};

impl Scan<'_> {
    /// Restores what lies at managed places: the newest version of each key, and where versions are kept all of them.
    pub(super) async fn restore_managed(&mut self) -> Result<()> {
        let mut after = None;
        let mut batch: BTreeMap<ObjectKey, Object> = BTreeMap::new();
        let mut met = 0;
        loop {
            let page = self.bound.provider.list_managed(self.bound.place(), after, MANAGED_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.version);
            met += page.len() as u64;
            for file in page {
                let Some(object) = self.restorable(file) else { continue };
                if self.bound.bucket.config.versioning.ever() {
                    self.restore_version(object).await?;
                    continue;
                }
                match batch.get(&object.key) {
                    Some(other) if other.counter >= object.counter => self.report.orphans += 1,
                    other => {
                        self.report.orphans += u64::from(other.is_some());
                        batch.insert(object.key.clone(), object);
                    }
                }
                if batch.len() >= BATCH {
                    self.restore(std::mem::take(&mut batch)).await?;
                }
            }
            self.ticker.tick(met, 0).await?;
        }
        self.restore(batch).await
    }

    /// The object of a managed file, if its record speaks for it and it was committed.
    fn restorable(&mut self, file: ManagedFile) -> Option<Object> {
        let ManagedFile { version, stat } = file;
        let record = stat.record.filter(|record| {
            record.is_live(stat.size, stat.modified)
                && record.bucket == self.bound.bucket.name
                && record.version == version
        })?;
        if record.placed == Placed::Natural && !self.after_crash {
            self.report.orphans += 1;
            return None;
        }
        // Where it lies now is where it is looked for first; what is at its key then is decided by the walk.
        Some(record.into_object(Placed::Managed, stat.stamp))
    }

    /// Puts a version or marker to its place in the order of its key.
    async fn restore_version(&mut self, object: Object) -> Result<()> {
        let (bucket, key) = (self.bound.bucket.id, object.key.clone());
        let _order = self.store.0.locks.lock(bucket, &key).await;
        let id = VersionRef::Id(object.version);
        if self.store.catalog().version(&SERVICE, bucket, &key, id).await?.is_some()
            || self.is_given_up(&key, object.version).await?
        {
            return Ok(());
        }
        let row = self.store.catalog().object(&SERVICE, bucket, &key).await?;
        let newest = self.store.catalog().history(&SERVICE, bucket, &key, 1).await?.pop();
        let last = row.iter().chain(&newest).map(|other| other.counter).max();
        let mut change = Change::of_row(bucket, key, row.as_ref().map(Object::seen), row.clone());
        if last.is_none_or(|last| last < object.counter) {
            change.history.extend(row.iter().map(|row| History::Add(Box::new(demoted(row)))));
            change.becomes = (!object.marker).then(|| object.clone());
        }
        if change.becomes.as_ref().is_none_or(|current| current.version != object.version) {
            change.history.push(History::Add(Box::new(demoted(&object))));
        }
        match self.commit_one(change, Vec::new()).await? {
            true => self.report.restored += 1,
            // Another version `null` of the key: one of them was never committed.
            false => self.report.orphans += 1,
        }
        Ok(())
    }

    /// Writes the rows of restored versions where they are newer than what is there.
    async fn restore(&mut self, objects: BTreeMap<ObjectKey, Object>) -> Result<()> {
        let bucket = self.bound.bucket.id;
        let mut changes = Vec::with_capacity(objects.len());
        for (key, object) in objects {
            let row = self.store.catalog().object(&SERVICE, bucket, &key).await?;
            let same = row.as_ref().is_some_and(|row| row.version == object.version);
            if same || self.is_given_up(&key, object.version).await? {
                continue;
            }
            if row.as_ref().is_some_and(|row| row.counter >= object.counter) {
                self.report.orphans += 1;
                continue;
            }
            changes.push(Change::of_row(bucket, key, row.map(|row| row.seen()), Some(object)));
        }
        if changes.is_empty() {
            return Ok(());
        }
        let all = Commit { changes: changes.clone(), ..Commit::default() };
        match self.store.catalog().commit(&SERVICE, all).await {
            Ok(_) => self.report.restored += changes.len() as u64,
            Err(catalog::Error::Conflict) => {
                for change in changes {
                    let _order = self.store.0.locks.lock(bucket, &change.key).await;
                    self.report.restored += u64::from(self.commit_one(change, Vec::new()).await?);
                }
            }
            Err(catalog::Error::NotFound) => return Err(Error::NoSuchBucket),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Whether a step that is owed names the version: it was displaced, or `gc` has given it up.
    async fn is_given_up(&self, key: &ObjectKey, version: VersionId) -> Result<bool> {
        if self.store.catalog().tasks(&SERVICE, 0, 1).await?.is_empty() {
            return Ok(false);
        }
        let named = self.store.catalog().named(&SERVICE, self.bound.bucket.id, &[version]).await?;
        let row = self.store.catalog().object(&SERVICE, self.bound.bucket.id, key).await?;
        Ok(!named.is_empty() && row.is_none_or(|row| row.version != version))
    }

    /// The object whose identity the record of a file at a key carries, in a rebuild.
    pub(super) fn identity(&self, key: &ObjectKey, stat: &Stat) -> Option<Object> {
        let record = stat.record.clone().filter(|record| {
            self.options.rebuild
                && record.is_live(stat.size, stat.modified)
                && record.is_of(&self.bound.bucket.name, key)
        })?;
        Some(record.into_object(Placed::Natural, stat.stamp.clone()))
    }

    /// Whether a version that lies at its key goes before the row.
    pub(super) fn goes_before(&self, object: &Object, row: &Object) -> bool {
        let never_displaced = row.placed == Placed::Managed && !self.after_crash;
        never_displaced || object.counter >= row.counter
    }
}
