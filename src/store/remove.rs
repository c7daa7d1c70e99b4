//! Removing one version for good.
//!
//! **Invariant:** what object lock holds stays, whoever asks; the commit compares the facts of the version, so a lock
//! that is set meanwhile is seen. If the newest version goes, the one behind it is current again by the same commit.

use std::sync::Arc;

use crate::catalog::{self, Change, Commit, History, NewTask, Scope, Step};
use crate::config::limits::COMMIT_TRIES_MAX;
use crate::model::condition::Conditions;
use crate::model::name::ObjectKey;
use crate::model::object::Object;
use crate::model::place::Placed;
use crate::model::versioning::VersionRef;
use crate::store::adopt::Reconciled;
use crate::store::bound::Bound;
use crate::store::error::{Error, Result};
use crate::store::events::Cause;
use crate::store::get::is_named;
use crate::store::inline::placing;
use crate::store::request::Deletion;
use crate::store::write::{current_of, refusal};
use crate::store::{SERVICE, Store};

impl Store {
    /// Removes a version. One that is not there is fine.
    pub(super) async fn remove_version(
        &self,
        bound: &Arc<Bound>,
        (key, version): (&ObjectKey, VersionRef),
        conditions: &Conditions,
        bypass: bool,
        (cause, scope): (&Cause, &Scope),
    ) -> Result<Deletion> {
        let nothing = Deletion { version: Some(version), marker: false };
        for _ in 0..COMMIT_TRIES_MAX {
            let order = self.0.locks.lock(bound.bucket.id, key).await;
            let current = match self.catalog().object(&SERVICE, bound.bucket.id, key).await? {
                None if version == VersionRef::Null && bound.may_adopt(key) => {
                    self.adopt_file_locked(bound, key).await?
                }
                current => current,
            };
            let named = current.clone().filter(|row| is_named(row, version));
            let is_current = named.is_some();
            let row = match named {
                Some(row) => Some(row),
                None => self.catalog().version(&SERVICE, bound.bucket.id, key, version).await?,
            };
            conditions.delete(row.as_ref().map(current_of)).map_err(refusal)?;
            let Some(row) = row else { return Ok(nothing) };
            // A rule asks for noncurrent versions only; this one is current again since.
            if is_current && cause.is_rule() {
                return Err(Error::PreconditionFailed);
            }
            if row.attached.lock.refuses_removal(Self::now(), bypass) {
                return Err(Error::ObjectLocked);
            }
            let done = Deletion { version: Some(row.shown()), marker: row.marker };
            if is_current && row.placed == Placed::Natural && !self.set_aside(bound, &row).await? {
                drop(order);
                match self.reconcile(bound, &row).await? {
                    Reconciled::Gone | Reconciled::Again => continue,
                    Reconciled::Kept(_) => return Err(Error::Unavailable("its file cannot be made durable".into())),
                }
            }
            let commit = match self.removal(bound, key, (&row, is_current), current.as_ref()).await {
                Ok(commit) => commit,
                Err(error) => {
                    self.lay_out_again(bound.clone(), key.clone(), row.version);
                    return Err(error);
                }
            };
            let events = self.events_of_removal(bound, cause, &row);
            match self.catalog().commit(scope, Commit { events, ..commit }).await {
                Ok(tasks) => {
                    if is_current {
                        self.prune(bound, key).await;
                    }
                    self.take_fresh(bound, tasks, self.0.outbox.epoch()).await;
                    return Ok(done);
                }
                Err(catalog::Error::Conflict) if is_current => {
                    self.lay_out_again(bound.clone(), key.clone(), row.version);
                }
                Err(catalog::Error::Conflict) => {}
                Err(catalog::Error::NotFound) => return Err(Error::NoSuchBucket),
                Err(error) => {
                    self.lay_out_again(bound.clone(), key.clone(), row.version);
                    return Err(error.into());
                }
            }
        }
        Err(Error::ConditionalConflict)
    }

    /// The commit that removes `row`, and makes the version behind it current if nothing newer is left.
    async fn removal(
        &self,
        bound: &Bound,
        key: &ObjectKey,
        (row, is_current): (&Object, bool),
        current: Option<&Object>,
    ) -> Result<Commit> {
        let task = |version, step| NewTask { bucket: bound.bucket.id, key: key.clone(), version, step, bytes: None };
        let mut tasks = vec![task(row.version, Step::Drop { stamp: Some(row.stamp.clone()) })];
        let mut history = if is_current { Vec::new() } else { vec![History::Remove(row.seen())] };
        let mut becomes = current.filter(|_| !is_current).cloned();
        if becomes.is_none() {
            let left = self.catalog().history(&SERVICE, bound.bucket.id, key, 2).await?;
            let next = left.into_iter().find(|next| next.version != row.version);
            history.push(History::Newest(next.as_ref().map(|next| next.version)));
            if let Some(next) = next.filter(|next| !next.marker) {
                history.push(History::Remove(next.seen()));
                let next = self.promoted(bound, next).await?;
                let step = placing(&next, None, bound.displacing(), false);
                tasks.extend(step.map(|step| task(next.version, step)));
                becomes = Some(next);
            }
        }
        let change = Change {
            bucket: bound.bucket.id,
            key: key.clone(),
            expect: current.map(Object::seen),
            becomes,
            history,
            revision: None,
        };
        Ok(Commit { changes: vec![change], tasks, ..Commit::default() })
    }

    /// A version that is current again: at its key, where that can be. One whose file is not durable yet stays where it
    /// is, as its step says.
    async fn promoted(&self, bound: &Bound, row: Object) -> Result<Object> {
        let kept = self.catalog().inline(&SERVICE, bound.bucket.id, row.version).await?.is_some();
        let sealed = row.attached.sealing.is_some();
        let held = row.attached.lock.refuses_removal(Self::now(), false);
        let placed = if kept || sealed || held { Placed::Managed } else { bound.placed(&row.key) };
        Ok(Object { placed, ..row })
    }
}
