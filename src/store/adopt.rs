//! Files that others put, edited or removed: adoption and reconciliation.
//!
//! **Invariant:** what lies in a container can change a row only if it is really there now (or really absent, while
//! `.longshore/id` is readable), only forward, and only by a commit against the row that was looked at. Content facts
//! may come from a live record; identity never does. All of it runs under the key's lock, as do our own moves, so a
//! file that is just being moved by us is never taken for missing.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use md5::{Digest as _, Md5};

use crate::catalog::{self, Change, Commit};
use crate::model::caller::ROOT;
use crate::model::id::{VersionId, hex, unhex};
use crate::model::name::ObjectKey;
use crate::model::object::{Attached, Content, Object};
use crate::model::place::{Place, Placed, Stamp};
use crate::model::time::Clock;
use crate::model::versioning::VersionRef;
use crate::provider::{self, Body, Note, Stat};
use crate::store::bound::{Bound, container_is_gone, is_absent};
use crate::store::error::{Error, Result};
use crate::store::young::{is_due, young_etag};
use crate::store::{SERVICE, Store};

/// Files up to this size are hashed while they are adopted by a read, if the bucket asks for it; larger ones by a scan.
const HASH_ON_READ_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What a row turned out to be.
#[derive(Debug)]
pub(super) enum Reconciled {
    /// Look again: the row or a file has moved.
    Again,
    /// Nothing is there any more, and the row is gone.
    Gone,
    /// The row stands: the catalog itself keeps its bytes.
    Kept(Bytes),
}

/// The ETag of bytes whose MD5 nobody computed: a hash of their stamp, so every gateway gives the same one, and it
/// changes exactly when the stamp does.
pub(super) fn provisional_etag(stamp: &Stamp) -> String {
    format!("{}-1", hex(&Md5::digest(stamp.as_str().as_bytes())))
}

/// Whether a record's ETag is one that bytes can have. Whoever can write the directory can forge one, and it goes into
/// headers.
fn is_etag(text: &str) -> bool {
    let (md5, parts) = text.split_once('-').unwrap_or((text, "1"));
    unhex::<16>(md5).is_some() && !parts.is_empty() && parts.len() <= 5 && parts.bytes().all(|b| b.is_ascii_digit())
}

/// An object for a file that others put: content facts from its record if that is live, else none. Those of an encrypted
/// body are of what it was before, and not of a file that somebody moved to a key.
pub(super) fn object_of_file(key: &ObjectKey, stat: Stat, counter: u64) -> Object {
    let record = stat.record.filter(|record| {
        let plain = record.attached.sealing.is_none();
        plain && record.is_live(stat.size, stat.modified) && is_etag(&record.etag)
    });
    let mut object = Object {
        key: key.clone(),
        version: VersionId::fresh(),
        counter,
        placed: Placed::Natural,
        etag: if stat.young { young_etag(&stat.stamp) } else { provisional_etag(&stat.stamp) },
        stamp: stat.stamp,
        size: stat.size,
        modified: stat.modified,
        checksum: None,
        crc64nvme: None,
        content: Content::default(),
        parts: Vec::new(),
        owner: ROOT.to_owned(),
        null: true,
        marker: false,
        revision: 0,
        attached: Attached::default(),
    };
    if let Some(foreign) = stat.foreign {
        object.content = foreign.content;
        object.etag = foreign.etag.filter(|etag| is_etag(etag)).unwrap_or(object.etag);
    }
    if let Some(record) = record {
        object.etag = record.etag;
        object.checksum = record.checksum;
        object.crc64nvme = record.crc64nvme;
        object.content = record.content;
        object.parts = record.parts;
    }
    object
}

/// The order of a version made now that displaces one of order `displaced`.
pub(super) fn counter_now(displaced: Option<u64>) -> u64 {
    let now = u64::try_from(Clock::now().0).unwrap_or(0);
    displaced.map_or(now, |d| now.max(d.saturating_add(1)))
}

/// What is told of the MD5 of bytes that were not read to their end.
fn unhashed(error: provider::Error, object: &Object) -> Result<Option<String>> {
    match error {
        error if is_absent(&error) => Ok(None),
        provider::Error::Archived => Ok(Some(object.etag.clone())),
        error => Err(error.into()),
    }
}

impl Store {
    /// Adopts the file at the path of a key that has no row. `None`: nothing is there.
    pub(super) async fn adopt_file(&self, bound: &Arc<Bound>, key: &ObjectKey) -> Result<Option<Object>> {
        if !bound.may_adopt(key) || !self.lies_there(bound, key).await? {
            return Ok(None);
        }
        let _order = self.0.locks.lock(bound.bucket.id, key).await;
        if let Some(row) = self.catalog().object(&SERVICE, bound.bucket.id, key).await? {
            return Ok(Some(row));
        }
        self.adopt_file_locked(bound, key).await
    }

    /// What a condition is about: the row if its bytes are there, else what lies at the key now.
    pub(super) async fn really_there(&self, bound: &Arc<Bound>, key: &ObjectKey) -> Result<Option<Object>> {
        let _order = self.0.locks.lock(bound.bucket.id, key).await;
        match self.catalog().object(&SERVICE, bound.bucket.id, key).await? {
            Some(row) => self.verified(bound, row).await,
            None if bound.may_adopt(key) => self.adopt_file_locked(bound, key).await,
            None => Ok(None),
        }
    }

    /// A look without the lock, so that reads of keys that do not exist never wait.
    async fn lies_there(&self, bound: &Bound, key: &ObjectKey) -> Result<bool> {
        match bound.provider.stat(bound.place(), &Place::Natural(key.clone())).await {
            Ok(_) => Ok(true),
            Err(provider::Error::NotFound | provider::Error::Denied) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// As [`Store::adopt_file`], by somebody who holds the key's lock and found no row.
    pub(super) async fn adopt_file_locked(&self, bound: &Arc<Bound>, key: &ObjectKey) -> Result<Option<Object>> {
        let place = Place::Natural(key.clone());
        let stat = match bound.provider.stat(bound.place(), &place).await {
            Ok(stat) => stat,
            Err(provider::Error::NotFound | provider::Error::Denied) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if self.is_owed(bound, key, &stat.stamp).await? {
            return Ok(None);
        }
        let mut object = object_of_file(key, stat, counter_now(None));
        self.fit_in(bound, &mut object, None).await?;
        self.hash_adopted(bound, &mut object).await?;
        let change = Change::of_row(bound.bucket.id, key.clone(), None, Some(object.clone()));
        match self.commit_change(change).await {
            Ok(()) => {}
            Err(catalog::Error::Conflict) => return Ok(self.catalog().object(&SERVICE, bound.bucket.id, key).await?),
            Err(catalog::Error::NotFound) => return Err(Error::NoSuchBucket),
            Err(error) => return Err(error.into()),
        }
        // Whoever removed the file meanwhile did not see our row: undo it.
        match bound.provider.stat(bound.place(), &place).await {
            Ok(now) if now.stamp == object.stamp => Ok(Some(object)),
            _ => {
                let undo = Change::of_row(bound.bucket.id, key.clone(), Some(object.seen()), None);
                let _moved_on = self.commit_change(undo).await;
                Ok(None)
            }
        }
    }

    /// Fits what was found at a key in among the versions that are kept of it: it is newer than they are, and `null`
    /// unless another one is. `gone`: the version that it takes the place of.
    pub(super) async fn fit_in(&self, bound: &Bound, object: &mut Object, gone: Option<VersionId>) -> Result<()> {
        if !bound.bucket.config.versioning.ever() {
            return Ok(());
        }
        let (bucket, key) = (bound.bucket.id, &object.key);
        let newest = self.catalog().history(&SERVICE, bucket, key, 1).await?.pop();
        let null = self.catalog().version(&SERVICE, bucket, key, VersionRef::Null).await?;
        if let Some(newest) = newest {
            object.counter = object.counter.max(newest.counter.saturating_add(1));
        }
        object.null = null.is_none_or(|null| Some(null.version) == gone);
        Ok(())
    }

    pub(super) async fn commit_change(&self, change: Change) -> catalog::Result<()> {
        let commit = Commit { changes: vec![change], ..Commit::default() };
        self.catalog().commit(&SERVICE, commit).await.map(|_| ())
    }

    /// Whether the outbox names these bytes: they are being freed or displaced.
    pub(super) async fn is_named(&self, bound: &Bound, key: &ObjectKey, found: &Stamp) -> Result<bool> {
        let tasks = self.catalog().tasks_of(&SERVICE, bound.bucket.id, key).await?;
        Ok(tasks.iter().any(|task| task.task.step.names(found)))
    }

    /// The same, and the steps that name them are taken.
    pub(super) async fn is_owed(&self, bound: &Arc<Bound>, key: &ObjectKey, found: &Stamp) -> Result<bool> {
        let tasks = self.catalog().tasks_of(&SERVICE, bound.bucket.id, key).await?;
        let mut owed = false;
        for task in tasks.iter().filter(|task| task.task.step.names(found)) {
            owed = true;
            self.take_step(bound, task).await;
        }
        Ok(owed)
    }

    /// Hashes an adopted file, if its bucket asks for it, so that its ETag is its MD5 from the start.
    pub(super) async fn hash_adopted(&self, bound: &Bound, object: &mut Object) -> Result<()> {
        // A file that is young is hashed when its stamp is final.
        let provisional = object.etag == provisional_etag(&object.stamp) && object.parts.is_empty();
        if !bound.bucket.settings.hash_on_adopt || !provisional || object.size > HASH_ON_READ_BYTES_MAX {
            return Ok(());
        }
        if let Some(md5) = self.md5_of(bound, object).await? {
            object.etag = md5;
        }
        Ok(())
    }

    /// Hex MD5 of the bytes of an object, or the ETag that it has if its storage has archived them: then they are not
    /// hashed, and it is served under that one. `None` if they moved meanwhile.
    pub(super) async fn md5_of(&self, bound: &Bound, object: &Object) -> Result<Option<String>> {
        Self::until_final(object).await;
        let read = bound.provider.read(bound.place(), &object.place(), &object.stamp, 0..object.size).await;
        let mut md5 = Md5::new();
        match read {
            Ok(Body::Whole(bytes)) => md5.update(&bytes),
            Ok(Body::Blocks(mut blocks)) => {
                while let Some(block) = blocks.next().await {
                    match block {
                        Ok(block) => md5.update(&block),
                        Err(error) => return unhashed(error, object),
                    }
                }
            }
            Err(error) => return unhashed(error, object),
        }
        Ok(Some(hex(&md5.finalize())))
    }

    /// The row, if its bytes are where it says; else what the file at the key says now. Under the key's lock.
    pub(super) async fn verified(&self, bound: &Arc<Bound>, row: Object) -> Result<Option<Object>> {
        for place in [row.place(), row.other_place()] {
            match bound.provider.read(bound.place(), &place, &row.stamp, 0..0).await {
                Ok(_) if !is_due(&row) => return Ok(Some(row)),
                // A condition is about the ETag that is due now.
                Ok(_) => {
                    self.settle_stamp(bound, &row.key).await?;
                    return Ok(self.catalog().object(&SERVICE, bound.bucket.id, &row.key).await?);
                }
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let key = row.key.clone();
        // Where the catalog keeps the bytes the row stands, and is read again unchanged.
        self.reconcile_locked(bound, row).await?;
        Ok(self.catalog().object(&SERVICE, bound.bucket.id, &key).await?)
    }

    /// Settles a row whose bytes were at neither of its places.
    pub(super) async fn reconcile(&self, bound: &Arc<Bound>, row: &Object) -> Result<Reconciled> {
        let _order = self.0.locks.lock(bound.bucket.id, &row.key).await;
        let now = self.catalog().object(&SERVICE, bound.bucket.id, &row.key).await?;
        match now {
            Some(now) if now == *row => self.reconcile_locked(bound, now).await,
            _ => Ok(Reconciled::Again),
        }
    }

    async fn reconcile_locked(&self, bound: &Arc<Bound>, row: Object) -> Result<Reconciled> {
        for place in [row.place(), row.other_place()] {
            match bound.provider.read(bound.place(), &place, &row.stamp, 0..0).await {
                Ok(_) => return Ok(Reconciled::Again),
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(bytes) = self.kept(bound, &row).await? {
            return Ok(Reconciled::Kept(bytes));
        }
        // Another process may be about to bring them to their place, or have died at it.
        if self.help_others(bound, &row.key).await? {
            return Ok(Reconciled::Again);
        }
        if row.placed != Placed::Natural {
            // Another process may have displaced it since its row was read.
            if self.catalog().object(&SERVICE, bound.bucket.id, &row.key).await?.as_ref() != Some(&row) {
                return Ok(Reconciled::Again);
            }
            // Nobody but us writes there: this is loss, not an edit, and must not be taken for a delete.
            let text = format!("the bytes of version {} are not at their managed place", row.version);
            return Err(Error::Internal(text.into()));
        }
        let found = self.look(bound, &row.key).await?;
        if found.as_ref().is_some_and(|stat| stat.stamp == row.stamp) {
            return Ok(Reconciled::Again);
        }
        if let Some(stat) = &found
            && self.is_owed(bound, &row.key, &stat.stamp).await?
        {
            return Ok(Reconciled::Again);
        }
        let becomes = match found {
            Some(stat) => {
                let mut object = object_of_file(&row.key, stat, counter_now(Some(row.counter)));
                object.owner.clone_from(&row.owner);
                self.fit_in(bound, &mut object, Some(row.version)).await?;
                self.hash_adopted(bound, &mut object).await?;
                Some(object)
            }
            None => None,
        };
        let gone = becomes.is_none();
        tracing::info!(bucket = %bound.bucket.name, key = %row.key, gone, "an object was changed outside");
        let change = Change::of_row(bound.bucket.id, row.key.clone(), Some(row.seen()), becomes);
        match self.commit_change(change).await {
            Ok(()) if gone => Ok(Reconciled::Gone),
            Ok(()) | Err(catalog::Error::Conflict) => Ok(Reconciled::Again),
            Err(catalog::Error::NotFound) => Err(Error::NoSuchBucket),
            Err(error) => Err(error.into()),
        }
    }

    /// What lies at a key. Absence counts only where the container's id is readable and names this catalog: a lost mount
    /// is not a delete. Both are asked of one and the same container, as a mount may come back between two questions.
    pub(super) async fn look(&self, bound: &Bound, key: &ObjectKey) -> Result<Option<Stat>> {
        match bound.provider.look(bound.place(), &Place::Natural(key.clone())).await {
            Ok((found, Some(id))) if self.is_ours(&id) => Ok(found),
            Ok(_) | Err(provider::Error::NotFound) => Err(container_is_gone()),
            Err(error) => Err(error.into()),
        }
    }

    /// Refuses work that takes what it does not find in a container for absent.
    pub(super) async fn require_container(&self, bound: &Bound) -> Result<()> {
        match bound.provider.read_note(bound.place(), Note::Id).await {
            Ok(Some(text)) if self.is_ours(&text) => Ok(()),
            Ok(_) | Err(provider::Error::NotFound) => Err(container_is_gone()),
            Err(error) => Err(error.into()),
        }
    }
}
