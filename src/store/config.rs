//! What the owner of a bucket may set of it: read, and changed by compare-and-swap.
//!
//! **Invariant:** a change is decided on the configuration that it replaces; one that is refused changes nothing.

use crate::catalog;
use crate::config::limits::COMMIT_TRIES_MAX;
use crate::model::action::Action;
use crate::model::bucket::{Bucket, BucketConfig};
use crate::model::caller::Caller;
use crate::model::name::BucketName;
use crate::store::error::{Error, Result};
use crate::store::{SERVICE, Store};

impl Store {
    /// A bucket, for a caller who may do this with it.
    ///
    /// # Errors
    /// Refusals.
    pub async fn config(&self, caller: &Caller, name: &BucketName, action: Action) -> Result<Bucket> {
        self.enter(caller, name, action).await?;
        self.catalog().bucket(&SERVICE, name).await?.ok_or(Error::NoSuchBucket)
    }

    /// Changes the configuration of a bucket.
    ///
    /// # Errors
    /// Refusals, and those of `change`.
    pub async fn change_config(
        &self,
        caller: &Caller,
        name: &BucketName,
        action: Action,
        change: impl Fn(&mut BucketConfig, &Bucket) -> Result<()> + Send,
    ) -> Result<()> {
        for _ in 0..COMMIT_TRIES_MAX {
            let bucket = self.config(caller, name, action).await?;
            let mut config = (*bucket.config).clone();
            change(&mut config, &bucket)?;
            if config == *bucket.config {
                return Ok(());
            }
            let swapped = self.catalog().set_bucket_config(&SERVICE, bucket.id, bucket.revision, config).await;
            self.forget_bucket(name);
            match swapped {
                Ok(()) => return Ok(()),
                Err(catalog::Error::Conflict) => {}
                Err(catalog::Error::NotFound) => return Err(Error::NoSuchBucket),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::ConditionalConflict)
    }
}
