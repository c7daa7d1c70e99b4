//! What is attached to an object: read, and changed without new bytes.
//!
//! **Invariant:** a change is made to the version that was decided upon, or not at all.

use crate::auth::decide::Target;
use crate::catalog::{self, Change, Commit};
use crate::config::limits::COMMIT_TRIES_MAX;
use crate::model::action::Action;
use crate::model::caller::Caller;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::Object;
use crate::model::versioning::VersionRef;
use crate::store::bound::Bound;
use crate::store::error::{Error, Result};
use crate::store::request::AttachedChange;
use crate::store::{SERVICE, Store};

/// What a bucket without object lock answers to all about it.
const NO_LOCK: Error = Error::InvalidRequest("Bucket is missing Object Lock Configuration");

impl Store {
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
        let bound = self.enter_object(caller, bucket, key, action).await?;
        let held = matches!(action, Action::GetObjectRetention | Action::GetObjectLegalHold);
        if held && bound.bucket.config.lock.is_none() {
            return Err(NO_LOCK);
        }
        self.version_of(caller, &bound, key, version).await
    }

    /// Changes what is attached to an object, or to one version of it.
    ///
    /// # Errors
    /// Refusals; [`Error::MarkerNamed`] for a delete marker, [`Error::ObjectLocked`] for what its lock does not allow.
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
        let bound = self.enter_object(caller, bucket, key, action).await?;
        bound.writable()?;
        let target = Target::Object(&bound.bucket, key);
        let bypass = bypass_governance && Self::allow(caller, Action::BypassGovernanceRetention, target).is_ok();
        for _ in 0..COMMIT_TRIES_MAX {
            let _order = self.0.locks.lock(bound.bucket.id, key).await;
            let held = self.version_of(caller, &bound, key, version).await?;
            let mut object = held.clone();
            object.revision += 1;
            match &change {
                AttachedChange::Tags(tags) => object.attached.tags = tags.clone(),
                AttachedChange::Acl(request) => {
                    object.attached.acl = self.granted(request, &held.owner, &bound.bucket).await?.1;
                }
                AttachedChange::Retention(_) | AttachedChange::LegalHold(_) if bound.bucket.config.lock.is_none() => {
                    return Err(NO_LOCK);
                }
                AttachedChange::Retention(retention) => {
                    if !held.attached.lock.allows_retention(*retention, Self::now(), bypass) {
                        return Err(Error::ObjectLocked);
                    }
                    object.attached.lock.retention = *retention;
                }
                AttachedChange::LegalHold(on) => object.attached.lock.legal_hold = Some(*on),
            }
            let change = Change::of_row(bound.bucket.id, key.clone(), Some(held.seen()), Some(object.clone()));
            match self.catalog().commit(&SERVICE, Commit { changes: vec![change], ..Commit::default() }).await {
                Ok(_) => return Ok(object),
                Err(catalog::Error::Conflict) => {}
                Err(catalog::Error::NotFound) => return Err(Error::NoSuchBucket),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::ConditionalConflict)
    }

    async fn version_of(
        &self,
        caller: &Caller,
        bound: &Bound,
        key: &ObjectKey,
        version: Option<VersionRef>,
    ) -> Result<Object> {
        let row = self.catalog().object(&SERVICE, bound.bucket.id, key).await?;
        let row = row.filter(|row| version.is_none_or(|named| named == row.shown()));
        row.ok_or_else(|| version.map_or_else(|| Self::missing_key(caller, bound), |_| Error::NoSuchVersion))
    }
}
