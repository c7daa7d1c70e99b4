//! What the owner of a bucket sets through a protocol: read, and changed under its revision.
//!
//! **Invariant:** a change is made of the configuration that the row has, or not at all: one that somebody else changed
//! meanwhile is read again.

use crate::catalog;
use crate::config::limits::COMMIT_TRIES_MAX;
use crate::model::action::Action;
use crate::model::bucket::{Bucket, BucketConfig};
use crate::model::caller::Caller;
use crate::model::name::BucketName;
use crate::store::error::{Error, Result};
use crate::store::{SERVICE, Store};

impl Store {
    /// A bucket with its configuration, for a caller who may `action`.
    ///
    /// # Errors
    /// Refusals.
    pub async fn config(&self, caller: &Caller, name: &BucketName, action: Action) -> Result<Bucket> {
        Ok(self.enter(caller, name, action).await?.bucket.clone())
    }

    /// Changes the configuration of a bucket, for a caller who may `action`. What `change` refuses changes nothing; it is
    /// called again if somebody else was faster.
    ///
    /// # Errors
    /// Refusals, and those of `change`.
    pub async fn change_config(
        &self,
        caller: &Caller,
        name: &BucketName,
        action: Action,
        change: impl Fn(&mut BucketConfig, &Bucket) -> Result<()> + Send + Sync,
    ) -> Result<()> {
        for _ in 0..COMMIT_TRIES_MAX {
            let bound = self.enter(caller, name, action).await?;
            let mut config = BucketConfig::clone(&bound.bucket.config);
            change(&mut config, &bound.bucket)?;
            if config == *bound.bucket.config {
                return Ok(());
            }
            let (id, revision) = (bound.bucket.id, bound.bucket.revision);
            let changed = self.catalog().set_bucket_config(&SERVICE, id, revision, config).await;
            self.forget_bucket(name);
            match changed {
                Err(catalog::Error::Conflict) => {}
                Err(catalog::Error::NotFound) => return Err(Error::NoSuchBucket),
                changed => return Ok(changed?),
            }
        }
        Err(Error::ConditionalConflict)
    }
}
