//! DELETE: take aside, verify, commit, answer, free.
//!
//! **Invariant:** nothing that has bytes is freed before the commit: until then they lie aside, and go back to their
//! key if it fails, or if it never comes to it, unless others have written there meanwhile. A bucket that keeps versions
//! gets one marker, however often the commit is tried.

use std::sync::Arc;

use crate::catalog::{self, Change, Commit, History, Intent, NewTask, Scope, Step};
use crate::config::limits::COMMIT_TRIES_MAX;
use crate::model::action::Action;
use crate::model::caller::Caller;
use crate::model::condition::Conditions;
use crate::model::id::VersionId;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::{Attached, Content, Object};
use crate::model::place::{Place, Placed, Stamp};
use crate::model::record::Record;
use crate::model::versioning::Versioning;
use crate::provider::{self, Seal};
use crate::store::adopt::{Reconciled, counter_now};
use crate::store::bound::{Bound, container_is_gone};
use crate::store::displace::{Behind, Fate, fate};
use crate::store::error::{Error, Result};
use crate::store::events::{Cause, How};
use crate::store::request::{DeleteRequest, Deletion};
use crate::store::write::{current_of, refusal};
use crate::store::{SERVICE, Store};

impl Store {
    /// Deletes a key, or removes one version of it for good. What is not there is fine, unless a condition needs it. In a
    /// bucket that keeps versions a key is deleted by a marker.
    ///
    /// # Errors
    /// Refusals, [`Error::ObjectLocked`]; the object is whole and at its place then. On cancellation: the delete goes on
    /// without an answer.
    pub async fn delete(&self, caller: &Caller, request: DeleteRequest) -> Result<Deletion> {
        self.delete_because(caller, request, How::Delete).await
    }

    /// Whether a caller may delete a key.
    ///
    /// # Errors
    /// Refusals.
    pub async fn may_delete(&self, caller: &Caller, bucket: &BucketName, key: &ObjectKey) -> Result<()> {
        self.enter_to_delete(caller, bucket, key).await.map(|_| ())
    }

    /// The bucket of a key that a caller may delete.
    pub(super) async fn enter_to_delete(
        &self,
        caller: &Caller,
        bucket: &BucketName,
        key: &ObjectKey,
    ) -> Result<Arc<Bound>> {
        let bound = self.enter_object(caller, bucket, key, Action::DeleteObject).await?;
        bound.writable()?;
        self.ask(&self.scope(caller), &bound, key, &Intent::Remove).await?;
        Ok(bound)
    }

    /// The same, as a request or a rule asks for it.
    pub(super) async fn delete_because(&self, caller: &Caller, request: DeleteRequest, how: How) -> Result<Deletion> {
        let DeleteRequest { bucket, key, version, .. } = &request;
        let bound = self.enter_version(caller, bucket, key, *version, Action::DeleteObject).await?;
        bound.writable()?;
        let bypass = request.bypass_governance;
        if bypass && request.version.is_some() {
            self.enter_version(caller, bucket, key, *version, Action::BypassGovernanceRetention).await?;
        }
        let scope = self.scope(caller);
        if scope != SERVICE && !self.ask_to_delete(&scope, &bound, &request).await? {
            request.conditions.delete(None).map_err(refusal)?;
            return Ok(Deletion { version: request.version, marker: false });
        }
        let (store, cause) = (self.clone(), Cause::new(caller, how));
        let section = tokio::spawn(async move {
            let DeleteRequest { key, version, conditions, .. } = request;
            let deleted = match version {
                Some(version) => {
                    store.remove_version(&bound, (&key, version), &conditions, bypass, (&cause, &scope)).await
                }
                None => store.take_away(bound.clone(), &key, &conditions, (&cause, &scope)).await,
            };
            store.forget_gone(&bound, &key).await;
            deleted
        });
        section.await?
    }

    /// Asks for a role before anything is moved. False: there is nothing to delete, and for a role nothing is marked then.
    async fn ask_to_delete(&self, scope: &Scope, bound: &Bound, request: &DeleteRequest) -> Result<bool> {
        let (id, key) = (bound.bucket.id, &request.key);
        let there = match request.version {
            None => self.catalog().object(&SERVICE, id, key).await?,
            Some(version) => self.catalog().version(&SERVICE, id, key, version).await?,
        };
        if there.is_none() {
            return Ok(false);
        }
        let intent = request.version.map_or(Intent::Remove, Intent::RemoveVersion);
        self.ask(scope, bound, key, &intent).await?;
        Ok(true)
    }

    async fn take_away(
        &self,
        bound: Arc<Bound>,
        key: &ObjectKey,
        conditions: &Conditions,
        (cause, scope): (&Cause, &Scope),
    ) -> Result<Deletion> {
        let mut bound = bound;
        let mut marker = None;
        for _ in 0..COMMIT_TRIES_MAX {
            let order = self.0.locks.lock(bound.bucket.id, key).await;
            let keeps = bound.bucket.config.versioning.ever();
            let row = self.to_delete(&bound, key, conditions).await?;
            // For a role there is nothing to mark where there is nothing.
            if row.is_none() && (!keeps || *scope != SERVICE) {
                return Ok(Deletion::default());
            }
            if let Some(row) = row.as_ref().filter(|row| row.placed == Placed::Natural)
                && !self.set_aside(&bound, row).await?
            {
                drop(order);
                match self.reconcile(&bound, row).await? {
                    Reconciled::Gone if conditions.is_empty() && !keeps => return Ok(Deletion::default()),
                    Reconciled::Gone | Reconciled::Again => continue,
                    Reconciled::Kept(_) => return Err(Error::Unavailable("its file cannot be made durable".into())),
                }
            }
            let commit = match keeps {
                true => match self.marking(&bound, key, row.as_ref(), &mut marker).await {
                    Ok(commit) => commit,
                    Err(error) => {
                        row.iter().for_each(|row| self.lay_out_again(bound.clone(), key.clone(), row.version));
                        return Err(error);
                    }
                },
                false => {
                    let fate = fate(&bound, key, row.as_ref(), &Behind::default(), false);
                    commit_of(&bound, key, row.as_ref(), fate)
                }
            };
            let gone = marker.as_ref().filter(|_| keeps).or(row.as_ref());
            let events = gone.map(|gone| self.events_of_deletion(&bound, cause, gone)).unwrap_or_default();
            match self.catalog().commit(scope, Commit { events, ..commit }).await {
                Ok(tasks) => {
                    self.prune(&bound, key).await;
                    self.take_fresh(&bound, tasks, self.0.outbox.epoch()).await;
                    let marker = marker.filter(|_| keeps);
                    return Ok(Deletion { version: marker.as_ref().map(Object::shown), marker: marker.is_some() });
                }
                // Another bucket of this name has nothing to put back.
                Err(catalog::Error::NotFound) => return Err(Error::NoSuchBucket),
                // It may have happened. If not, the bytes go back; who looks at the row first is told.
                Err(error) => {
                    if let Some(row) = row {
                        self.lay_out_again(bound.clone(), key.clone(), row.version);
                    }
                    match error {
                        catalog::Error::Conflict => bound = self.bound_anew(&bound).await?,
                        error => return Err(error.into()),
                    }
                }
            }
        }
        Err(Error::ConditionalConflict)
    }

    /// Before the answer, so that a key that was a directory until now can be a file at once.
    pub(super) async fn prune(&self, bound: &Bound, key: &ObjectKey) {
        if key.as_str().contains('/')
            && let Err(error) = bound.provider.prune(bound.place(), key).await
        {
            tracing::debug!(%error, "empty directories stay");
        }
    }

    /// The commit that puts a delete marker before `row`. Its file is written once, however often the commit is tried.
    async fn marking(
        &self,
        bound: &Bound,
        key: &ObjectKey,
        row: Option<&Object>,
        marker: &mut Option<Object>,
    ) -> Result<Commit> {
        let behind = self.behind(bound, key, row).await?;
        let last = row.into_iter().chain(&behind.newest).map(|object| object.counter).max();
        let null = bound.bucket.config.versioning != Versioning::Enabled;
        let unfit = |made: &Object| made.null != null || last.is_some_and(|last| last >= made.counter);
        if marker.as_ref().is_none_or(unfit) {
            if let Some(made) = marker.take() {
                bound.provider.delete_managed(bound.place(), made.version, Some(&made.stamp)).await?;
            }
            *marker = Some(self.publish_marker(bound, key, (null, last)).await?);
        }
        let mut fate = fate(bound, key, row, &behind, false);
        if let Some(marker) = marker {
            fate.history.push(History::Add(Box::new(marker.clone())));
            if bound.provider.capabilities().inline {
                let step = Step::Settle { stamp: marker.stamp.clone() };
                let (bucket, bytes) = (bound.bucket.id, Some(bytes::Bytes::new()));
                fate.tasks.push(NewTask { bucket, key: key.clone(), version: marker.version, step, bytes });
            }
        }
        Ok(commit_of(bound, key, row, fate))
    }

    /// Writes the file of a delete marker: no bytes, and a record, of which a rebuild makes the marker again.
    async fn publish_marker(
        &self,
        bound: &Bound,
        key: &ObjectKey,
        (null, last): (bool, Option<u64>),
    ) -> Result<Object> {
        let modified = self.0.clock.unique();
        let mut marker = Object {
            key: key.clone(),
            version: VersionId::fresh(),
            counter: counter_now(last),
            placed: Placed::Managed,
            stamp: Stamp::new(""),
            size: 0,
            modified,
            etag: String::new(),
            checksum: None,
            crc64nvme: None,
            content: Content::default(),
            parts: Vec::new(),
            owner: bound.bucket.owner.clone(),
            null,
            marker: true,
            revision: 0,
            attached: Attached::default(),
        };
        let stage = self.stage(bound, marker.version).await?;
        let record = Record::of(&marker, &bound.bucket.name);
        let unsynced = bound.provider.capabilities().inline;
        marker.stamp = stage.publish(Seal { modified, size: 0, record: Some(&record), unsynced }).await?;
        Ok(marker)
    }

    /// The row to delete, if there is one and the conditions let it go.
    async fn to_delete(&self, bound: &Arc<Bound>, key: &ObjectKey, conditions: &Conditions) -> Result<Option<Object>> {
        let row = match self.catalog().object(&SERVICE, bound.bucket.id, key).await? {
            Some(row) if conditions.is_empty() => Some(row),
            Some(row) => self.verified(bound, row).await?,
            None if bound.may_adopt(key) => self.adopt_file_locked(bound, key).await?,
            None => None,
        };
        conditions.delete(row.as_ref().map(current_of)).map_err(refusal)?;
        Ok(row)
    }

    /// Moves the bytes of a row away from its key. False if other bytes are there. If it fails they may be at both places,
    /// and go back.
    pub(super) async fn set_aside(&self, bound: &Arc<Bound>, row: &Object) -> Result<bool> {
        match bound.provider.take_aside(bound.place(), &row.key, row.version, &row.stamp).await {
            Ok(()) => Ok(true),
            // Not laid out yet, or gone: in both cases nothing of it is at the key, unless it was the container that was
            // not there.
            Err(provider::Error::NotFound) => match self.look(bound, &row.key).await? {
                Some(found) if found.stamp == row.stamp => Err(container_is_gone()),
                _ => Ok(true),
            },
            Err(provider::Error::StampMismatch) => Ok(false),
            // What its storage has archived cannot be moved. It goes behind the commit, unless versions are kept.
            Err(provider::Error::Archived) if !bound.bucket.config.versioning.ever() => Ok(true),
            Err(error) => {
                self.lay_out_late(bound.clone(), row, error.retryable());
                // Whoever is told of an internal error tries again.
                Err(if matches!(error, provider::Error::Denied) { Error::AccessDenied } else { error.into() })
            }
        }
    }

    /// Puts a version back whose removal from its key failed: where there are no renames a copy of it may be aside, which
    /// would outlive whatever is done at the key. What nobody knows the end of may still be done, and then that copy is all
    /// there is: so it stays for a while.
    fn lay_out_late(&self, bound: Arc<Bound>, row: &Object, may_come: bool) {
        let (key, version) = (row.key.clone(), row.version);
        if !may_come {
            return self.lay_out_again(bound, key, version);
        }
        if !self.0.outbox.late.note(version) {
            return;
        }
        let store = self.clone();
        tokio::spawn(async move {
            store.0.outbox.late.over(version).await;
            store.lay_out_again(bound, key, version);
        });
    }

    /// Whether others have written over a version at its key since it was laid out there. Asked where nothing is owed for
    /// the key: then a version that lies aside is what a removal left that did not come to its commit, and the edit came
    /// behind it. It is as any other edit, and not undone. Where versions are kept what lies aside is one of them.
    pub(super) async fn was_written_over(&self, bound: &Bound, row: &Object) -> Result<bool> {
        if row.placed != Placed::Natural || bound.bucket.config.versioning.ever() {
            return Ok(false);
        }
        let there = match bound.provider.stat(bound.place(), &Place::Natural(row.key.clone())).await {
            Ok(there) => there,
            Err(provider::Error::NotFound) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let ours = there.record.as_ref().is_some_and(|record| {
            record.is_live(there.size, there.modified) && record.is_of(&bound.bucket.name, &row.key)
        });
        Ok(!ours && there.stamp != row.stamp && there.modified > row.modified)
    }
}

/// The commit that takes `row` away from its key.
fn commit_of(bound: &Bound, key: &ObjectKey, row: Option<&Object>, fate: Fate) -> Commit {
    let change = Change {
        bucket: bound.bucket.id,
        key: key.clone(),
        expect: row.map(Object::seen),
        becomes: None,
        history: fate.history,
        revision: Some(bound.bucket.revision),
    };
    Commit { changes: vec![change], tasks: fate.tasks, ..Commit::default() }
}
