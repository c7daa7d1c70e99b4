//! What of a bucket's configuration concerns browsers, before it is known who asks: a preflight has no signature, and the
//! answer to a request that was refused says whether a page may see it.
//!
//! **Invariant:** nothing else of a bucket is told here, and no provider is asked: a container without a row has no
//! configuration.

use std::sync::Arc;

use crate::model::bucket::BucketConfig;
use crate::model::cors::Cors;
use crate::model::name::BucketName;
use crate::model::website::Website;
use crate::store::error::Result;
use crate::store::{SERVICE, Store};

/// A bucket as browsers know it.
#[derive(Debug, Clone)]
pub struct Site(Arc<BucketConfig>);

impl Site {
    /// Which pages of other origins may use it.
    #[must_use]
    pub fn cors(&self) -> Option<&Cors> {
        self.0.cors.as_ref()
    }

    /// What it answers as a website.
    #[must_use]
    pub fn website(&self) -> Option<&Website> {
        self.0.website.as_ref()
    }
}

impl Store {
    /// The bucket as browsers know it; `None` if it has no row.
    ///
    /// # Errors
    /// Failures of the catalog.
    pub async fn site(&self, name: &BucketName) -> Result<Option<Site>> {
        if let Some(bound) = self.0.bounds.get(name) {
            return Ok(Some(Site(Arc::clone(&bound.bucket.config))));
        }
        Ok(self.catalog().bucket(&SERVICE, name).await?.map(|bucket| Site(bucket.config)))
    }

    /// The same, only if it is remembered: for what must not cost a look.
    #[must_use]
    pub fn site_at_hand(&self, name: &BucketName) -> Option<Site> {
        self.0.bounds.get(name).map(|bound| Site(Arc::clone(&bound.bucket.config)))
    }
}
