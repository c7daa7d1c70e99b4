//! Moves: one object gives up its key for another one, by one commit.
//!
//! The bytes are copied and published first. Then, under both keys' locks, the source is taken aside as a delete does it,
//! and the commit that makes the copy an object takes the row of the source away. Whoever reads finds the object under
//! exactly one of its names, and a crash leaves it there. A bucket that has ever kept versions keeps one of what leaves its
//! key: there a move is a copy and a deletion.
//!
//! **Invariant:** the source goes only as the version that was copied; whatever else is at its key by then stays, and the
//! move did not happen.

use std::sync::Arc;

use crate::catalog::{Change, Commit, Task};
use crate::model::caller::Caller;
use crate::model::condition::Conditions;
use crate::model::name::BucketName;
use crate::model::object::{Attached, Object};
use crate::model::place::Placed;
use crate::store::bound::Bound;
use crate::store::displace::{Behind, fate};
use crate::store::error::{Error, Result};
use crate::store::events::Cause;
use crate::store::request::{Copied, CopyRequest, DeleteRequest};
use crate::store::write::{Along, current_of};
use crate::store::{SERVICE, Store};

/// How a copy that is a move takes its source away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    /// By its own commit.
    AtOnce,
    /// By a deletion that follows.
    Deleted,
}

/// The object whose key is given up by the commit of a write.
pub(super) struct Leaving {
    pub(super) bound: Arc<Bound>,
    /// As it was copied.
    pub(super) row: Object,
}

/// What a moved object keeps beside its bytes: since when it is there, which one it is and, as long as it is the same
/// person's, who else may what.
pub(super) fn inherit(moved: Moved, source: &Object, owner: &str, attached: &mut Attached) {
    attached.created = Some(source.created());
    // Until it is deleted, the source is the one with this id.
    if moved == Moved::AtOnce {
        attached.id = Some(source.id());
    }
    if source.owner == owner {
        attached.acl.clone_from(&source.attached.acl);
    }
}

impl Store {
    /// Gives the current version of a key another key, maybe in another bucket: what the request says of a copy, and its
    /// source is gone with it.
    ///
    /// # Errors
    /// Those of a copy and of a deletion; [`Error::PreconditionFailed`] also if the source was written meanwhile. Nothing has
    /// changed then. On cancellation: it happened whole, or not at all.
    pub async fn move_object(&self, caller: &Caller, request: CopyRequest) -> Result<Copied> {
        let (bucket, key) = (request.from_bucket.clone(), request.from_key.clone());
        if request.from_version.is_some() {
            return Err(Error::InvalidRequest("Only the current version of an object can be moved."));
        }
        let source = self.enter_to_delete(caller, &bucket, &key).await?;
        if !source.bucket.config.versioning.ever() {
            return self.transfer(caller, request, Some(Moved::AtOnce)).await;
        }
        let to_bucket = request.bucket.clone();
        let row = self.really_there(&source, &key).await?.ok_or(Error::NoSuchKey)?;
        let source_conditions = Conditions::matching(&row.etag);
        if !request.source_conditions.copy_source(current_of(&row)) {
            return Err(Error::PreconditionFailed);
        }
        let copied = self.transfer(caller, CopyRequest { source_conditions, ..request }, Some(Moved::Deleted)).await?;
        self.give_up(caller, (&bucket, &row), (&to_bucket, &copied.object)).await?;
        Ok(copied)
    }

    /// Deletes what was copied, or, if that is not what is there any more, the copy.
    ///
    /// # Errors
    /// [`Error::PreconditionFailed`] if it was the copy, those of a deletion.
    pub(super) async fn give_up(
        &self,
        caller: &Caller,
        source: (&BucketName, &Object),
        copy: (&BucketName, &Object),
    ) -> Result<()> {
        let deletion = |(bucket, object): (&BucketName, &Object)| {
            DeleteRequest::current(bucket.clone(), object.key.clone(), Conditions::matching(&object.etag))
        };
        match self.delete(caller, deletion(source)).await {
            Ok(_) | Err(Error::NoSuchKey) => Ok(()),
            Err(Error::PreconditionFailed) => {
                self.delete(caller, deletion(copy)).await?;
                Err(Error::PreconditionFailed)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes the source aside and adds to the commit that it goes. Under the locks of both keys.
    pub(super) async fn set_off(&self, leaving: &Leaving, cause: &Cause, commit: &mut Commit) -> Result<()> {
        let Leaving { bound, row } = leaving;
        let now = self.catalog().object(&SERVICE, bound.bucket.id, &row.key).await?;
        // Versions are kept since: the next try copies and deletes.
        if now.is_none_or(|now| now.seen() != row.seen()) || bound.bucket.config.versioning.ever() {
            return Err(Error::PreconditionFailed);
        }
        if row.placed == Placed::Natural && !self.set_aside(bound, row).await? {
            return Err(Error::PreconditionFailed);
        }
        let fate = fate(bound, &row.key, Some(row), &Behind::default(), false);
        let change = Change {
            bucket: bound.bucket.id,
            key: row.key.clone(),
            expect: Some(row.seen()),
            becomes: None,
            history: fate.history,
            revision: Some(bound.bucket.revision),
        };
        // First what goes: a bucket that is full has room for what moves within it.
        commit.changes.insert(0, change);
        commit.tasks.extend(fate.tasks);
        commit.events.extend(self.events_of_deletion(bound, &cause.of_removal(), row));
        Ok(())
    }

    /// The commit failed, or may have: the source goes back to its key if its row says so.
    pub(super) fn stays(&self, along: &Along) {
        if let Some(Leaving { bound, row }) = &along.leaves {
            self.lay_out_again(bound.clone(), row.key.clone(), row.version);
        }
    }

    /// The commit was made. Returns the steps that are not about the source.
    pub(super) async fn has_left(&self, leaving: &Leaving, tasks: Vec<Task>) -> Vec<Task> {
        let Leaving { bound, row } = leaving;
        // Before anything is laid out: what was a directory may be wanted as a file.
        self.prune(bound, &row.key).await;
        let is_of_source = |task: &Task| task.task.bucket == bound.bucket.id && task.task.version == row.version;
        let (freeing, others) = tasks.into_iter().partition(is_of_source);
        self.free_later(bound, freeing);
        others
    }
}
