//! What is attached to an object: given with a write, read, and changed without new bytes.
//!
//! **Invariant:** a change is made to the version and the facts that were decided upon, or not at all; a lock that does
//! not allow it refuses it, whoever asks.

use std::sync::Arc;

use crate::catalog::{self, Change, Commit, History, NewTask, Scope, Step};
use crate::config::limits::COMMIT_TRIES_MAX;
use crate::model::action::Action;
use crate::model::caller::Caller;
use crate::model::lock::{Lock, Retention};
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::{Attached, Object};
use crate::model::place::Placed;
use crate::model::time::Clock;
use crate::model::versioning::VersionRef;
use crate::store::bound::Bound;
use crate::store::error::{Error, Result};
use crate::store::get::is_named;
use crate::store::request::{AttachedChange, Given};
use crate::store::{SERVICE, Store};

/// What a bucket without object lock answers to all about it.
const NO_LOCK: Error = Error::InvalidRequest("Bucket is missing Object Lock Configuration");

/// What a write attaches to the object it makes, and who owns that.
pub(super) struct Accepted {
    /// Whose it is, if what it replaces stays as it is until then.
    pub(super) owner: String,
    /// Whose it is if it replaces nothing; `None`: its owner does not depend on that.
    pub(super) own: Option<String>,
    pub(super) attached: Attached,
}

impl Store {
    /// What a write attaches to the object it makes, and who owns that.
    pub(super) async fn accept(
        &self,
        bound: &Bound,
        key: &ObjectKey,
        caller: &Caller,
        given: &Given,
    ) -> Result<Accepted> {
        let asked = given.retention.is_some() || given.legal_hold.is_some();
        if asked && bound.bucket.config.lock.is_none() {
            return Err(NO_LOCK);
        }
        if given.heritage.is_none() || given.moved {
            self.refuse_too_deep(bound, key).await?;
        }
        let (own, acl) = self.granted(&given.acl, self.owner_of_write(bound, caller), &bound.bucket).await?;
        let lock = Lock { retention: given.retention, legal_hold: given.legal_hold };
        // Asked before the body, as the record that is written with it has to say it too.
        let of_service = bound.bucket.config.bound_service().is_some();
        let replaced = match given.keeps_created || of_service {
            true => self.catalog().object(&SERVICE, bound.bucket.id, key).await?,
            false => None,
        };
        let (owner, own) = match &given.heritage {
            Some(heritage) => (heritage.owner.clone(), None),
            None => (self.owner_over(bound, caller, &own, replaced.as_ref()).to_owned(), Some(own)),
        };
        let created = given.heritage.as_ref().map(|heritage| heritage.created);
        let created = created.or(replaced.as_ref().map(Object::created));
        let id = replaced.as_ref().map(Object::id);
        let attached = Attached { tags: given.tags.clone(), acl, lock, created, id, ..Attached::default() };
        Ok(Accepted { owner, own, attached })
    }

    /// The facts of an object, or of one version of it, for a caller who may read this of what is attached to it.
    ///
    /// # Errors
    /// Refusals; [`Error::MarkerNamed`] for a delete marker.
    pub async fn attached(
        &self,
        caller: &Caller,
        action: Action,
        bucket: &BucketName,
        key: &ObjectKey,
        version: Option<VersionRef>,
    ) -> Result<Object> {
        let bound = self.enter_version(caller, bucket, key, version, action).await?;
        let held = matches!(action, Action::GetObjectRetention | Action::GetObjectLegalHold);
        if held && bound.bucket.config.lock.is_none() {
            return Err(NO_LOCK);
        }
        let scope = self.scope(caller);
        if scope == SERVICE {
            self.adopt_unknown(&bound, key, version).await?;
        }
        Ok(self.row_of(caller, &bound, (key, version), &scope).await?.0)
    }

    /// Changes what is attached to an object, or to one version of it.
    ///
    /// # Errors
    /// Refusals; [`Error::MarkerNamed`] for a delete marker, [`Error::ObjectLocked`] for what its lock does not allow.
    /// On cancellation: it may have happened.
    #[expect(clippy::too_many_arguments, reason = "who, what right, which version, what change")]
    pub async fn set_attached(
        &self,
        caller: &Caller,
        action: Action,
        bucket: &BucketName,
        key: &ObjectKey,
        version: Option<VersionRef>,
        change: AttachedChange,
        bypass_governance: bool,
    ) -> Result<Object> {
        let bringing = match &change {
            AttachedChange::Tags(tags) => Some(caller.bringing(tags)),
            _ => None,
        };
        let caller = bringing.as_ref().unwrap_or(caller);
        let mut bound = self.enter_version(caller, bucket, key, version, action).await?;
        bound.writable()?;
        if bypass_governance {
            self.enter_version(caller, bucket, key, version, Action::BypassGovernanceRetention).await?;
        }
        let scope = self.scope(caller);
        if scope == SERVICE {
            self.adopt_unknown(&bound, key, version).await?;
        }
        for _ in 0..COMMIT_TRIES_MAX {
            let _order = self.0.locks.lock(bound.bucket.id, key).await;
            let (held, current) = self.row_of(caller, &bound, (key, version), &scope).await?;
            let object = self.changed(&bound, &held, &change, bypass_governance).await?;
            let epoch = self.0.outbox.epoch();
            match self.catalog().commit(&scope, commit_of(&bound, &held, &object, current.as_ref())).await {
                Ok(tasks) => {
                    self.take_fresh(&bound, tasks, epoch).await;
                    return Ok(object);
                }
                Err(catalog::Error::Conflict) => bound = self.bound_anew(&bound).await?,
                Err(catalog::Error::NotFound) => return Err(Error::NoSuchBucket),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::ConditionalConflict)
    }

    /// Adopts a file that nobody knows yet, which can only be the version `null`.
    async fn adopt_unknown(&self, bound: &Arc<Bound>, key: &ObjectKey, version: Option<VersionRef>) -> Result<()> {
        if version.is_none_or(|version| version == VersionRef::Null)
            && self.catalog().object(&SERVICE, bound.bucket.id, key).await?.is_none()
        {
            self.adopt_file(bound, key).await?;
        }
        Ok(())
    }

    /// The object with the change made.
    async fn changed(&self, bound: &Bound, held: &Object, change: &AttachedChange, bypass: bool) -> Result<Object> {
        let mut object = held.clone();
        object.revision += 1;
        let lock = &mut object.attached.lock;
        match change {
            AttachedChange::Tags(tags) => object.attached.tags = tags.clone(),
            AttachedChange::Acl(request) => {
                object.attached.acl = self.granted(request, &held.owner, &bound.bucket).await?.1;
            }
            AttachedChange::Retention(_) | AttachedChange::LegalHold(_) if bound.bucket.config.lock.is_none() => {
                return Err(NO_LOCK);
            }
            AttachedChange::Retention(retention) => {
                if !lock.allows_retention(*retention, Clock::now(), bypass) {
                    return Err(Error::ObjectLocked);
                }
                lock.retention = *retention;
            }
            AttachedChange::LegalHold(on) => lock.legal_hold = Some(*on),
            AttachedChange::Owner(owner) => object.owner.clone_from(owner),
        }
        // What is held goes where nobody else can get at it.
        if object.attached.lock.refuses_removal(Clock::now(), false) {
            object.placed = Placed::Managed;
        }
        Ok(object)
    }

    /// The version that a request names, if whoever asks sees it, and the current row.
    async fn row_of(
        &self,
        caller: &Caller,
        bound: &Bound,
        (key, version): (&ObjectKey, Option<VersionRef>),
        scope: &Scope,
    ) -> Result<(Object, Option<Object>)> {
        if *scope != SERVICE {
            let current = self.catalog().object(&SERVICE, bound.bucket.id, key).await?;
            let (seen, missing) = match version {
                None => (self.catalog().object(scope, bound.bucket.id, key).await?, Error::NoSuchKey),
                Some(version) => {
                    (self.catalog().version(scope, bound.bucket.id, key, version).await?, Error::NoSuchVersion)
                }
            };
            return match seen {
                Some(row) if row.marker => Err(Error::MarkerNamed { version: row.shown(), modified: row.modified }),
                Some(row) => Ok((row, current)),
                None => Err(missing),
            };
        }
        let current = self.catalog().object(&SERVICE, bound.bucket.id, key).await?;
        let named = |row: &&Object| version.is_none_or(|version| is_named(row, version));
        if let Some(row) = current.as_ref().filter(named) {
            return Ok((row.clone(), current));
        }
        let Some(version) = version else {
            return Err(match self.missing(caller, bound, key).await? {
                Error::Deleted { version } => {
                    let marker = self.catalog().version(&SERVICE, bound.bucket.id, key, version).await?;
                    marker.map_or(Error::NoSuchKey, |marker| Error::MarkerNamed { version, modified: marker.modified })
                }
                missing => missing,
            });
        };
        match self.catalog().version(&SERVICE, bound.bucket.id, key, version).await? {
            Some(row) if row.marker => Err(Error::MarkerNamed { version: row.shown(), modified: row.modified }),
            Some(row) => Ok((row, current)),
            None => Err(self.missing_version(caller, bound, key)),
        }
    }
}

/// The retention that a version made now gets: its own, or that of the bucket.
pub(super) fn retention_of(bound: &Bound, own: Option<Retention>) -> Option<Retention> {
    own.or_else(|| Some(bound.bucket.config.lock?.default?.from(Clock::now())))
}

fn commit_of(bound: &Bound, held: &Object, object: &Object, current: Option<&Object>) -> Commit {
    let (bucket, key) = (bound.bucket.id, held.key.clone());
    let is_current = current.is_some_and(|current| current.version == held.version);
    let (becomes, history) = match is_current {
        true => (Some(object.clone()), Vec::new()),
        false => (current.cloned(), vec![History::Replace(held.seen(), Box::new(object.clone()))]),
    };
    let expect = current.map(Object::seen);
    let revision = Some(bound.bucket.revision);
    let stamp = object.stamp.clone();
    let step = match object.placed == held.placed {
        true => Step::Note { stamp },
        false => Step::SetAside { stamp },
    };
    let task = NewTask { bucket, key: key.clone(), version: object.version, step, bytes: None };
    let change = Change { bucket, key, expect, becomes, history, revision };
    Commit { changes: vec![change], tasks: vec![task], ..Commit::default() }
}
