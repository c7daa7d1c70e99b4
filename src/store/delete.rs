//! DELETE: take aside, verify, commit, answer, free.

use std::sync::Arc;

use crate::catalog::{self, Change, Commit, NewTask, Step};
use crate::config::limits::COMMIT_TRIES_MAX;
use crate::model::action::Action;
use crate::model::caller::Caller;
use crate::model::condition::Conditions;
use crate::model::name::ObjectKey;
use crate::model::object::Object;
use crate::model::place::Placed;
use crate::provider;
use crate::store::adopt::Reconciled;
use crate::store::bound::Bound;
use crate::store::error::{Error, Result};
use crate::store::events::{Cause, How};
use crate::store::request::DeleteRequest;
use crate::store::write::{current_of, refusal};
use crate::store::{SERVICE, Store};

impl Store {
    /// Deletes a key. A key that is not there is fine, unless a condition needs it.
    ///
    /// # Errors
    /// Refusals; the object is whole and at its place then. On cancellation: the delete goes on without an answer.
    pub async fn delete(&self, caller: &Caller, request: DeleteRequest) -> Result<()> {
        self.delete_because(caller, request, How::Delete).await
    }

    /// The same, as a request or a rule asks for it.
    pub(super) async fn delete_because(&self, caller: &Caller, request: DeleteRequest, how: How) -> Result<()> {
        let bound = self.enter_object(caller, &request.bucket, &request.key, Action::DeleteObject).await?;
        bound.writable()?;
        let (store, cause) = (self.clone(), Cause::new(caller, how));
        let section =
            tokio::spawn(async move { store.take_away(&bound, &request.key, &request.conditions, &cause).await });
        section.await.map_err(|error| Error::Internal(error.into()))?
    }

    async fn take_away(
        &self,
        bound: &Arc<Bound>,
        key: &ObjectKey,
        conditions: &Conditions,
        cause: &Cause,
    ) -> Result<()> {
        for _ in 0..COMMIT_TRIES_MAX {
            let order = self.0.locks.lock(bound.bucket.id, key).await;
            let Some(row) = self.to_delete(bound, key, conditions).await? else { return Ok(()) };
            if row.placed == Placed::Natural && !self.set_aside(bound, &row).await? {
                drop(order);
                match self.reconcile(bound, &row).await? {
                    Reconciled::Gone if conditions.is_empty() => return Ok(()),
                    Reconciled::Gone | Reconciled::Again => continue,
                    Reconciled::Kept(_) => return Err(Error::Unavailable("its file cannot be made durable".into())),
                }
            }
            let events = self.events_of_removal(bound, cause, &row);
            match self.catalog().commit(&SERVICE, Commit { events, ..commit_of(bound, &row) }).await {
                Ok(tasks) => {
                    // Before the answer, so that a key that was a directory until now can be a file at once.
                    if key.as_str().contains('/')
                        && let Err(error) = bound.provider.prune(bound.place(), key).await
                    {
                        tracing::debug!(%error, "empty directories stay");
                    }
                    self.free_later(bound, tasks);
                    return Ok(());
                }
                Err(catalog::Error::Conflict) => self.lay_out_again(bound.clone(), key.clone(), row.version),
                Err(catalog::Error::NotFound) => return Err(Error::NoSuchBucket),
                // It may have happened. If not, the bytes go back; who looks at the row first is told.
                Err(error) => {
                    self.lay_out_again(bound.clone(), key.clone(), row.version);
                    return Err(error.into());
                }
            }
        }
        Err(Error::ConditionalConflict)
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

    /// Moves the bytes of a row away from its key. False if other bytes are there.
    async fn set_aside(&self, bound: &Bound, row: &Object) -> Result<bool> {
        match bound.provider.take_aside(bound.place(), &row.key, row.version, &row.stamp).await {
            Ok(()) => Ok(true),
            // Not laid out yet, or gone: in both cases nothing of it is at the key.
            Err(provider::Error::NotFound) => {
                self.require_container(bound).await?;
                Ok(true)
            }
            Err(provider::Error::StampMismatch) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn commit_of(bound: &Bound, row: &Object) -> Commit {
    let (bucket, key) = (bound.bucket.id, row.key.clone());
    let step = Step::Drop { stamp: Some(row.stamp.clone()) };
    let task = NewTask { bucket, key: key.clone(), version: row.version, step, bytes: None };
    let change = Change::of_row(bucket, key, Some(row.seen()), None);
    Commit { changes: vec![change], tasks: vec![task], ..Commit::default() }
}
