//! A file and a row of one key: what a scan makes of them.
//!
//! **Invariant:** a row is changed only by what a look has found; what is listed only says whether to look. Where listings
//! show nothing but sizes, a key at which nothing changes is looked at once or twice, and not by every scan.

use super::super::Seen;
use super::Scan;
use crate::catalog::{Change, History};
use crate::model::id::VersionId;
use crate::model::name::ObjectKey;
use crate::model::object::{Entry, Object};
use crate::model::place::{Place, Placed};
use crate::model::time::Timestamp;
use crate::provider::Listed;
use crate::store::SERVICE;
use crate::store::adopt::{counter_now, object_of_file};
use crate::store::displace::{Fate, demoted, fate};
use crate::store::error::Result;

impl Scan<'_> {
    /// A file and a row.
    pub(super) async fn both(&mut self, file: Listed, row: Entry) -> Result<()> {
        // Swift lists what names a prefix as empty, whatever its size is: then its date says so.
        let dated = file.size == 0 && row.stamp.is_of_others() && file.modified == row.modified;
        let of_size = file.stamp.is_size_alone() && (file.size == row.size || dated);
        let alike = of_size || row.stamp.may_show_as(&file.stamp);
        if alike && !self.may_be_other(&file, &row) {
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
        let current = match self.see_settled(&row.key).await? {
            Seen::Bare(current) => current,
            Seen::Whole(object, Place::Natural(_), _) if alike => {
                self.redate(file.modified, object).await?;
                return self.hash_known(&row).await;
            }
            Seen::Whole(..) | Seen::Denied(_) | Seen::Kept | Seen::Gone => return Ok(()),
        };
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

    /// Whether bytes that are listed as the row's would be may be others: nothing is shown of them but how many they are.
    /// What others wrote has the date that its storage gave it, and another date is looked into; then the row takes that
    /// one, so that there is one look. What we wrote came to its key after its row was dated, at a moment of which the row
    /// says nothing. It is looked at if it may have come there since the last scan began: once, or twice if it was just
    /// before.
    fn may_be_other(&self, file: &Listed, row: &Entry) -> bool {
        if !file.stamp.is_size_alone() {
            return false;
        }
        if row.placed == Placed::Natural && row.stamp.is_of_others() {
            return file.modified != row.modified;
        }
        self.since.is_none_or(|since| file.modified >= since)
    }

    /// Gives an object of others the date that is listed, if one is, after a look has found it to be unchanged.
    async fn redate(&self, modified: Timestamp, object: Object) -> Result<()> {
        let other = modified != object.modified && modified != Timestamp::default();
        if other && object.stamp.is_of_others() && !self.options.dry_run {
            let (key, seen) = (object.key.clone(), Some(object.seen()));
            let change = Change::of_row(self.bound.bucket.id, key, seen, Some(Object { modified, ..object }));
            self.commit_one(change, Vec::new()).await?;
        }
        Ok(())
    }

    /// Looks at a row. What a removal left aside that did not come to its end is settled first, as a read would do it.
    async fn see_settled(&self, key: &ObjectKey) -> Result<Seen> {
        let seen = self.store.see(self.bound, key).await?;
        if let Seen::Whole(object, Place::Managed(_), _) = &seen
            && object.placed == Placed::Natural
            && !self.options.dry_run
            && !self.options.rebuild
        {
            self.store.put_back(self.bound, key, object.version).await?;
            return self.store.see(self.bound, key).await;
        }
        Ok(seen)
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
        if object.etag == row.etag {
            return Ok(());
        }
        // Without the lock: hashing takes its time, and the version it was for is what the commit compares.
        let change = Change::of_row(bucket, row.key.clone(), Some(seen), Some(object));
        let changed = self.options.dry_run || self.commit_one(change, Vec::new()).await?;
        self.report.changed += u64::from(changed);
        Ok(())
    }
}
