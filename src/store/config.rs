//! Configuration of buckets: read, and changed by compare-and-swap.
//!
//! What a change must keep to (a lock that needs versions, lists that lists-off would end, a public policy that is
//! blocked) is decided here against the configuration that is replaced, so that two changes at once cannot pass each
//! other. The note beside the bytes follows the row, so that `rebuild` finds the configuration again.
//!
//! **Invariant:** a change that is refused leaves what is stored as it was; of two changes at once one is decided anew
//! on what the other made.

use std::sync::Arc;

use crate::auth::decide::Rules;
use crate::auth::policy::{self, validate_bucket_policy};
use crate::catalog;
use crate::config::limits::COMMIT_TRIES_MAX;
use crate::model::action::Action;
use crate::model::bucket::{Bucket, BucketConfig, Ownership, PublicAccessBlock};
use crate::model::caller::Caller;
use crate::model::lock::LockConfig;
use crate::model::name::BucketName;
use crate::model::tag::Tags;
use crate::model::versioning::Versioning;
use crate::store::bound::Bound;
use crate::store::error::{Error, Result};
use crate::store::{SERVICE, Store};

impl Store {
    /// A bucket with its configuration, for a caller who may read this part of it.
    ///
    /// # Errors
    /// Refusals.
    pub async fn config(&self, caller: &Caller, name: &BucketName, action: Action) -> Result<Bucket> {
        let bound = self.enter(caller, name, action).await?;
        self.see_bucket(caller, &bound).await?;
        Ok(bound.bucket.clone())
    }

    /// Changes the configuration of a bucket. `change` may refuse; it is asked again if somebody else changed the
    /// configuration meanwhile.
    ///
    /// # Errors
    /// Refusals, also those of `change`; the stored configuration is as it was then. On cancellation: the change is made
    /// with its note, or not at all.
    pub async fn change_config(
        &self,
        caller: &Caller,
        name: &BucketName,
        action: Action,
        change: impl Fn(&mut BucketConfig, &Bucket) -> Result<()> + Send + Sync,
    ) -> Result<()> {
        for _ in 0..COMMIT_TRIES_MAX {
            // The decision is taken again each time: the owner or the policy may be what was changed.
            let bound = self.enter(caller, name, action).await?;
            let mut config = (*bound.bucket.config).clone();
            change(&mut config, &bound.bucket)?;
            if config == *bound.bucket.config {
                return Ok(());
            }
            let store = self.clone();
            let section = tokio::spawn(async move { store.replace_config(&bound, config).await });
            if section.await?? {
                return Ok(());
            }
        }
        Err(Error::ConditionalConflict)
    }

    /// Replaces the configuration that was seen, and notes it beside the bytes. False if it was another one.
    async fn replace_config(&self, bound: &Arc<Bound>, config: BucketConfig) -> Result<bool> {
        // In order, or the note of an earlier change could be the last one that is written.
        let _order = self.0.names.lock_name(&bound.bucket.name).await;
        let (id, revision) = (bound.bucket.id, bound.bucket.revision);
        let replaced = self.catalog().set_bucket_config(&SERVICE, id, revision, config).await;
        self.forget_bucket(&bound.bucket.name);
        match replaced {
            Ok(()) => {}
            Err(catalog::Error::Conflict) => return Ok(false),
            Err(catalog::Error::NotFound) => return Err(Error::NoSuchBucket),
            Err(error) => return Err(error.into()),
        }
        let row = self.catalog().bucket(&SERVICE, &bound.bucket.name).await?.filter(|row| row.id == id);
        if let (Some(row), Some(container)) = (row, &bound.container)
            && self.is_marked(bound).await?
        {
            self.note_settings(&row, &*bound.provider, container).await?;
        }
        Ok(true)
    }

    /// Turns versioning on, or suspends it.
    ///
    /// # Errors
    /// [`Error::InvalidBucketState`] if object lock needs it; refusals.
    pub async fn set_versioning(&self, caller: &Caller, name: &BucketName, versioning: Versioning) -> Result<()> {
        self.change_config(caller, name, Action::PutBucketVersioning, |config, bucket| {
            if bucket.settings.layout.shared().is_some() {
                return Err(Error::InvalidBucketState("Another server uses this bucket, and it keeps no versions."));
            }
            if config.lock.is_some() && versioning != Versioning::Enabled {
                return Err(Error::InvalidBucketState(
                    "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.",
                ));
            }
            config.versioning = versioning;
            Ok(())
        })
        .await
    }

    /// Turns object lock on for good, with what new versions get.
    ///
    /// # Errors
    /// [`Error::InvalidBucketState`] unless versioning is on; refusals.
    pub async fn set_lock(&self, caller: &Caller, name: &BucketName, lock: LockConfig) -> Result<()> {
        self.change_config(caller, name, Action::PutBucketObjectLockConfiguration, |config, _| {
            if config.versioning != Versioning::Enabled {
                return Err(Error::InvalidBucketState(
                    "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration",
                ));
            }
            config.lock = Some(lock);
            Ok(())
        })
        .await
    }

    /// Sets the tags of a bucket; none removes them.
    ///
    /// # Errors
    /// Refusals.
    pub async fn set_bucket_tags(&self, caller: &Caller, name: &BucketName, tags: Tags) -> Result<()> {
        self.change_config(caller, name, Action::PutBucketTagging, |config, _| {
            config.tags = tags.clone();
            Ok(())
        })
        .await
    }

    /// Sets the policy of a bucket, which must be one.
    ///
    /// # Errors
    /// [`Error::MalformedPolicy`]; [`Error::AccessDenied`] if it is public and the bucket blocks public policies.
    pub async fn set_policy(&self, caller: &Caller, name: &BucketName, text: String) -> Result<()> {
        self.enter(caller, name, Action::PutBucketPolicy).await?;
        let policy =
            validate_bucket_policy(&text, name).map_err(|error| Error::MalformedPolicy(error.why().to_owned()))?;
        let public = policy::is_public(&policy);
        self.change_config(caller, name, Action::PutBucketPolicy, |config, _| {
            if public && config.public_access.is_some_and(|block| block.block_policy) {
                return Err(Error::AccessDenied);
            }
            config.policy = Some(text.clone());
            Ok(())
        })
        .await
    }

    /// Removes the policy of a bucket.
    ///
    /// # Errors
    /// Refusals.
    pub async fn delete_policy(&self, caller: &Caller, name: &BucketName) -> Result<()> {
        self.change_config(caller, name, Action::DeleteBucketPolicy, |config, _| {
            config.policy = None;
            Ok(())
        })
        .await
    }

    /// Whether the list or the policy of a bucket lets everyone in, as far as they count.
    ///
    /// # Errors
    /// Refusals.
    pub async fn is_public(&self, caller: &Caller, name: &BucketName) -> Result<bool> {
        let bucket = self.config(caller, name, Action::GetBucketPolicyStatus).await?;
        let config = &bucket.config;
        let block = config.public_access.unwrap_or_default();
        let lists = config.ownership != Some(Ownership::BucketOwnerEnforced) && !block.ignore_acls;
        let list = lists && config.acl.as_ref().is_some_and(crate::model::acl::Acl::is_public);
        let policy = !block.restrict_buckets && Rules::of(&bucket).public();
        Ok(bucket.settings.public || list || policy)
    }

    /// Sets or removes what blocks public access.
    ///
    /// # Errors
    /// Refusals.
    pub async fn set_public_access(
        &self,
        caller: &Caller,
        name: &BucketName,
        block: Option<PublicAccessBlock>,
    ) -> Result<()> {
        self.change_config(caller, name, Action::PutBucketPublicAccessBlock, |config, _| {
            config.public_access = block;
            Ok(())
        })
        .await
    }

    /// Sets or removes who owns what is written.
    ///
    /// # Errors
    /// [`Error::AclWithOwnership`] if lists are to stop to count while that of the bucket grants others something.
    pub async fn set_ownership(&self, caller: &Caller, name: &BucketName, ownership: Option<Ownership>) -> Result<()> {
        self.change_config(caller, name, Action::PutBucketOwnershipControls, |config, bucket| {
            config.ownership = ownership;
            fits_ownership(config, &bucket.owner)
        })
        .await
    }
}

/// A bucket whose lists do not count has none that grants others anything.
pub(super) fn fits_ownership(config: &BucketConfig, owner: &str) -> Result<()> {
    let enforced = config.ownership == Some(Ownership::BucketOwnerEnforced);
    if enforced && config.acl.as_ref().is_some_and(|acl| acl.grants_others(owner)) {
        return Err(Error::AclWithOwnership);
    }
    Ok(())
}
