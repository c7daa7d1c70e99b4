//! The critical section of every write: publish, decide, lay out.
//!
//! PUT, copy and Complete end here. The body is published at its managed place, the commit swaps the row against the
//! version that the conditions were checked on, and natural layout exchanges the file into its key.
//!
//! **Invariant:** the section runs in a task of its own, so a client that goes away cannot stop it half-way; a body
//! whose write was refused is freed; one whose commit may have happened is not. Where it depends on what is displaced
//! who may write and who owns what is written, both are judged by the row that the commit is held against.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::MutexGuard;

use crate::catalog::{self, Change, Commit, Intent, NewTask, Scope, Step, UploadEnd};
use crate::model::caller::Caller;
use crate::model::condition::{Conditions, Current, WriteRefusal};
use crate::model::lock::Retention;
use crate::model::name::ObjectKey;
use crate::model::object::Object;
use crate::model::place::Placed;
use crate::model::record::Record;
use crate::model::upload::{UploadResult, UploadState};
use crate::model::versioning::Versioning;
use crate::provider::{Seal, Stage};
use crate::store::attached::retention_of;
use crate::store::bound::{Bound, is_absent};
use crate::store::displace::{Behind, fate};
use crate::store::error::{Error, Result};
use crate::store::events::Cause;
use crate::store::inline::placing;
use crate::store::relocate::Leaving;
use crate::store::rights::is_of_new;
use crate::store::{SERVICE, Store};

/// A body that was taken in and what it is to become. Version, counter, stamp and date of the draft are settled here.
pub(super) struct Write {
    pub(super) bound: Arc<Bound>,
    pub(super) stage: Box<dyn Stage>,
    pub(super) draft: Object,
    /// The body once more, if it is short: the catalog may keep it until the file is durable.
    pub(super) whole: Option<Bytes>,
    pub(super) conditions: Conditions,
    pub(super) along: Along,
    pub(super) by: By,
}

/// Who writes.
pub(super) struct By {
    /// About whom it is decided.
    pub(super) caller: Caller,
    /// For whom it is told.
    pub(super) cause: Cause,
    /// As whom the catalog is asked.
    pub(super) scope: Scope,
    /// Whose the object is if it replaces none; `None`: the owner of the draft, whatever it replaces.
    pub(super) own: Option<String>,
}

/// What ends by the commit of a write.
#[derive(Default)]
pub(super) struct Along {
    /// The upload that becomes the object.
    pub(super) upload: Option<EndOfUpload>,
    /// The object whose key is given up for it.
    pub(super) leaves: Option<Leaving>,
}

/// The upload that becomes an object by a write.
pub(super) struct EndOfUpload {
    pub(super) id: crate::model::id::UploadId,
    pub(super) listed: String,
    pub(super) free: Step,
}

impl Store {
    /// Makes the draft the current version of its key.
    pub(super) async fn write(&self, write: Write) -> Result<Object> {
        let store = self.clone();
        let section = tokio::spawn(async move { store.publish_and_decide(write).await });
        section.await?
    }

    async fn publish_and_decide(&self, write: Write) -> Result<Object> {
        let Write { bound, stage, mut draft, whole, conditions, mut along, by } = write;
        let kept = self.0.inline.admit(&bound, whole);
        let epoch = self.0.outbox.epoch();
        draft.modified = self.0.clock.unique();
        draft.counter = u64::try_from(draft.modified.0).unwrap_or(0);
        // Under a key's name others would take sealed bytes for the object's own.
        draft.placed = if draft.attached.sealing.is_some() { Placed::Managed } else { bound.placed(&draft.key) };
        draft.null = bound.bucket.config.versioning != Versioning::Enabled;
        let asked = draft.attached.lock.retention;
        draft.attached.lock.retention = retention_of(&bound, draft.attached.lock.retention);
        let record = Record::of(&draft, &bound.bucket.name);
        let unsynced = kept.is_some();
        let seal = Seal { modified: draft.modified, size: draft.stored_size(), record: Some(&record), unsynced };
        draft.stamp = match stage.publish(seal).await {
            Err(error) if is_absent(&error) => return Err(self.lost_container(&bound).await),
            stamp => stamp?,
        };
        let (version, stamp) = (draft.version, draft.stamp.clone());
        let decided = self.decide_write(&bound, (draft, asked), (kept, epoch), &conditions, &mut along, &by).await;
        if let Err((_, Outcome::Refused)) = decided
            && let Err(error) = bound.provider.delete_managed(bound.place(), version, Some(&stamp)).await
        {
            tracing::warn!(%version, %error, "a refused body is left for gc");
        }
        if let (Ok(_), Some(leaving)) = (&decided, &along.leaves) {
            self.forget_gone(&leaving.bound, &leaving.row.key).await;
        }
        decided.map_err(|(error, _)| error)
    }

    async fn decide_write(
        &self,
        bound: &Arc<Bound>,
        (mut draft, asked): (Object, Option<Retention>),
        (kept, epoch): (Option<Bytes>, u64),
        conditions: &Conditions,
        along: &mut Along,
        by: &By,
    ) -> std::result::Result<Object, (Error, Outcome)> {
        let refused = |error: Error| (error, Outcome::Refused);
        let mut bound = bound.clone();
        for _ in 0..crate::config::limits::COMMIT_TRIES_MAX {
            let _order = self.in_order(&bound, &draft.key, along).await;
            let displaced = self.displaced(&bound, &draft, conditions).await.map_err(refused)?;
            self.lets_write(&bound, &draft, conditions, displaced.as_ref(), by).await.map_err(refused)?;
            let behind = self.behind(&bound, &draft.key, displaced.as_ref()).await.map_err(refused)?;
            self.put_after(&bound, &mut draft, displaced.as_ref(), &behind, by).await.map_err(refused)?;
            let upload = along.upload.as_ref();
            let mut commit = commit_of(&bound, &draft, kept.clone(), displaced.as_ref(), &behind, upload);
            commit.events = self.events_of(&bound, &by.cause, &draft);
            commit.free = conditions.beside.clone().map(|neighbour| (bound.bucket.id, neighbour));
            if let Some(leaving) = &along.leaves {
                self.set_off(leaving, &by.cause, &mut commit).await.map_err(refused)?;
            }
            match self.catalog().commit(&by.scope, commit).await.inspect_err(|_| self.stays(along)) {
                Ok(mut tasks) => {
                    if let Some(leaving) = &along.leaves {
                        tasks = self.has_left(leaving, tasks).await;
                    }
                    self.0.inline.add(kept.map_or(0, |kept| kept.len() as u64));
                    // The row says where the bytes are owed; the lay-out is taken before the answer, and again by the
                    // outbox if it fails now.
                    self.take_fresh(&bound, tasks, epoch).await;
                    return Ok(draft);
                }
                // Somebody changed the row, or the bucket's configuration.
                Err(catalog::Error::Conflict) => {
                    let now = self.bound_anew(&bound).await.map_err(refused)?;
                    if now.bucket.revision != bound.bucket.revision {
                        self.suit(&now, &mut draft, asked).await.map_err(refused)?;
                    }
                    bound = now;
                    if let Some(leaving) = &mut along.leaves {
                        leaving.bound = self.bound_anew(&leaving.bound).await.map_err(refused)?;
                    }
                }
                Err(catalog::Error::NotFound) => {
                    self.forget_bucket(&bound.bucket.name);
                    along.leaves.iter().for_each(|leaving| self.forget_bucket(&leaving.bound.bucket.name));
                    return Err(refused(Error::NoSuchBucket));
                }
                Err(catalog::Error::QuotaExceeded) => return Err(refused(Error::QuotaExceeded)),
                Err(catalog::Error::Denied | catalog::Error::NoRoles) => return Err(refused(Error::AccessDenied)),
                // A catalog without space has undone the whole commit.
                Err(catalog::Error::NoSpace) => return Err(refused(Error::NoSpace)),
                Err(error) => return Err((error.into(), Outcome::Unknown)),
            }
        }
        Err(refused(Error::ConditionalConflict))
    }

    /// Whether the conditions of a write hold, and whoever writes may displace what is there.
    async fn lets_write(
        &self,
        bound: &Bound,
        draft: &Object,
        conditions: &Conditions,
        displaced: Option<&Object>,
        by: &By,
    ) -> Result<()> {
        let holds = match check_write(conditions, displaced) {
            Ok(()) => self.refuse_beside(bound, conditions).await,
            failed => failed,
        };
        if holds.is_err() {
            // Who may not write does not learn from a condition what there is.
            let intent = Intent::write(&draft.content, Some(draft.size));
            self.ask(&by.scope, bound, &draft.key, &intent).await?;
            // That there is something is all that a refusal would tell of a write of something new, too.
            if is_of_new(conditions) {
                return holds;
            }
        }
        self.may_displace(bound, &by.caller, &draft.key, displaced).await?;
        holds
    }

    /// Waits for the key of a write and for the one that is given up for it.
    async fn in_order(
        &self,
        bound: &Bound,
        key: &ObjectKey,
        along: &Along,
    ) -> (MutexGuard<'_, ()>, Option<MutexGuard<'_, ()>>) {
        let locks = &self.0.locks;
        match &along.leaves {
            None => (locks.lock(bound.bucket.id, key).await, None),
            Some(from) => locks.lock_both((bound.bucket.id, key), (from.bound.bucket.id, &from.row.key)).await,
        }
    }

    /// Gives the draft the place and the retention that the bucket's configuration asks for as it is now.
    async fn suit(&self, bound: &Bound, draft: &mut Object, asked: Option<Retention>) -> Result<()> {
        if draft.placed == Placed::Natural {
            draft.placed = bound.placed(&draft.key);
        }
        draft.attached.lock.retention = retention_of(bound, asked);
        self.record_draft(bound, draft).await
    }

    /// Writes the record of a draft anew, as it is now.
    async fn record_draft(&self, bound: &Bound, draft: &Object) -> Result<()> {
        let record = Record::of(draft, &bound.bucket.name);
        let place = crate::model::place::Place::Managed(draft.version);
        Ok(bound.provider.set_record(bound.place(), &place, &draft.stamp, &record).await?)
    }

    /// What the write displaces: the row, or, where it matters, a file that has none yet.
    async fn displaced(&self, bound: &Arc<Bound>, draft: &Object, conditions: &Conditions) -> Result<Option<Object>> {
        let row = self.catalog().object(&SERVICE, bound.bucket.id, &draft.key).await?;
        if let Some(row) = row {
            // A condition is about what is there, and somebody may have edited the file behind the row.
            return if conditions.is_empty() { Ok(Some(row)) } else { self.verified(bound, row).await };
        }
        let look = !conditions.is_empty() || bound.bucket.indexed.is_none();
        if look && bound.may_adopt(&draft.key) { self.adopt_file_locked(bound, &draft.key).await } else { Ok(None) }
    }

    /// Gives the draft a place in the order behind what it displaces and the owner that it has over that, and its record
    /// what is true of it now. Rare: only if the bucket's versioning or the owner at the key was changed meanwhile, the
    /// clock of the other writer was ahead, or its write was finished between our date and our commit.
    async fn put_after(
        &self,
        bound: &Bound,
        draft: &mut Object,
        displaced: Option<&Object>,
        behind: &Behind,
        by: &By,
    ) -> Result<()> {
        let owner = by.own.as_deref().map(|own| self.owner_over(bound, &by.caller, own, displaced));
        let other = owner.filter(|owner| *owner != draft.owner);
        let null = bound.bucket.config.versioning != Versioning::Enabled;
        let last = displaced.into_iter().chain(&behind.newest).map(|object| object.counter).max();
        let overtaken = last.filter(|last| *last >= draft.counter);
        if let Some(last) = overtaken {
            draft.counter = last.saturating_add(1);
        }
        if overtaken.is_none() && other.is_none() && null == draft.null {
            return Ok(());
        }
        draft.null = null;
        if let Some(owner) = other {
            owner.clone_into(&mut draft.owner);
        }
        self.record_draft(bound, draft).await
    }
}

/// Whether a body may be freed after its write failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Nothing was decided: nobody names the body.
    Refused,
    /// The commit may have happened.
    Unknown,
}

/// The conditions of a write against what is there.
pub(super) fn check_write(conditions: &Conditions, current: Option<&Object>) -> Result<()> {
    conditions.write(current.map(current_of)).map_err(refusal)
}

pub(super) fn refusal(refusal: WriteRefusal) -> Error {
    match refusal {
        WriteRefusal::Failed => Error::PreconditionFailed,
        WriteRefusal::Missing => Error::NoSuchKey,
    }
}

pub(super) fn current_of(object: &Object) -> Current<'_> {
    Current { etag: &object.etag, modified: object.modified, size: object.size }
}

fn commit_of(
    bound: &Bound,
    draft: &Object,
    kept: Option<Bytes>,
    displaced: Option<&Object>,
    behind: &Behind,
    upload: Option<&EndOfUpload>,
) -> Commit {
    let task = |version, step| NewTask { bucket: bound.bucket.id, key: draft.key.clone(), version, step, bytes: None };
    let fate = fate(bound, &draft.key, displaced, behind, draft.placed == Placed::Natural);
    let mut tasks = Vec::new();
    let over = displaced.filter(|d| d.placed == Placed::Natural).map(|d| d.stamp.clone());
    if let Some(step) = placing(draft, over, fate.displaced, kept.is_some()) {
        tasks.push(NewTask { bytes: kept, ..task(draft.version, step) });
    }
    tasks.extend(fate.tasks);
    if let Some(upload) = upload {
        tasks.push(task(draft.version, upload.free.clone()));
    }
    let change = Change {
        bucket: bound.bucket.id,
        key: draft.key.clone(),
        expect: displaced.map(Object::seen),
        becomes: Some(draft.clone()),
        history: fate.history,
        revision: Some(bound.bucket.revision),
    };
    let upload = upload.map(|end| {
        let result = UploadResult {
            version: draft.version,
            null: draft.null,
            etag: draft.etag.clone(),
            checksum: draft.checksum.clone(),
            listed: end.listed.clone(),
        };
        UploadEnd { id: end.id, state: UploadState::Done(Box::new(result)) }
    });
    Commit { changes: vec![change], tasks, upload, within_quota: true, ..Commit::default() }
}
