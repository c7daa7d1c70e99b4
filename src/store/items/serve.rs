//! Which buckets are FileStores: what the configuration says is written into theirs, where every front and every
//! gateway reads it.
//!
//! **Invariant:** a bucket whose groups decide goes on so until the configuration of a server that is alone says that it
//! is no FileStore any more; a server that cannot reach its storage changes nothing.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use dashmap::DashSet;
use tokio_util::sync::CancellationToken;

use crate::model::action::Action;
use crate::model::bucket::{BucketConfig, Quota};
use crate::model::caller::Caller;
use crate::model::name::BucketName;
use crate::store::error::{Error, Result};
use crate::store::request::CreateBucket;
use crate::store::{SERVICE, Store};

/// Between two looks at directories that are on their way, and at services that could not be served yet.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Buckets read at a time.
const ROWS_PAGE: usize = 1000;

/// What is configured of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRules {
    /// Its bucket.
    pub bucket: BucketName,
    /// The group whose members may do everything.
    pub admin_group: String,
    /// Whether only those who have shown a credential read where nothing else is said.
    pub private: bool,
    /// Most items.
    pub items_max: Option<u64>,
    /// Most bytes.
    pub bytes_max: Option<u64>,
    /// Most segments of a path.
    pub levels_max: Option<usize>,
}

impl ServiceRules {
    fn apply(&self, config: &mut BucketConfig) {
        let service = config.service.get_or_insert_default();
        service.bound = true;
        service.admin_group.clone_from(&self.admin_group);
        service.private = self.private;
        service.levels_max = self.levels_max;
        config.quota.objects = self.items_max.or(config.quota.objects);
        config.quota.bytes = self.bytes_max.or(config.quota.bytes);
    }
}

/// What this process knows of the services it serves.
#[derive(Debug, Default)]
pub(in crate::store) struct Served {
    rules: Mutex<Vec<ServiceRules>>,
    /// Those that could not be served yet.
    waiting: Mutex<Vec<ServiceRules>>,
    /// Directories that this process moves now.
    moving: DashSet<String>,
}

impl Served {
    /// Begins to move a directory. False: this process does already.
    pub(super) fn begin(&self, name: &str) -> bool {
        self.moving.insert(name.to_owned())
    }

    /// Whether this process moves a directory now.
    pub(super) fn is_moving(&self, name: &str) -> bool {
        self.moving.contains(name)
    }

    /// Says that it is moved no more.
    pub(super) fn end(&self, name: &str) {
        self.moving.remove(name);
    }
}

impl Store {
    /// Makes buckets FileStores, and buckets that are missing; those that are FileStores and not among them are none any
    /// more. What cannot be reached now is tried again by [`Store::keep_services`].
    ///
    /// # Errors
    /// Failures of the catalog.
    pub async fn serve_services(&self, services: Vec<ServiceRules>) -> Result<()> {
        if !self.catalog().has_others().await? {
            self.release_services(&services).await?;
        }
        let served = &self.0.served;
        served.rules.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&services);
        let mut waiting = Vec::new();
        for rules in services {
            if let Err(error) = self.serve_service(&rules).await {
                tracing::error!(bucket = %rules.bucket, %error, "a FileStore cannot be served yet");
                waiting.push(rules);
            }
        }
        *served.waiting.lock().unwrap_or_else(PoisonError::into_inner) = waiting;
        Ok(())
    }

    async fn serve_service(&self, rules: &ServiceRules) -> Result<()> {
        let mut config = BucketConfig::default();
        rules.apply(&mut config);
        // What it may hold is counted from the moment at which it is set.
        config.quota = Quota::default();
        let request = CreateBucket { config, ..CreateBucket::default() };
        match self.create_bucket(&Caller::ROOT, &rules.bucket, request).await {
            Ok(_) | Err(Error::BucketOwned | Error::BucketTaken) => {}
            Err(error) => return Err(error),
        }
        self.change_config(&Caller::ROOT, &rules.bucket, Action::PutBucketPolicy, |config, _| {
            rules.apply(config);
            Ok(())
        })
        .await
    }

    /// Lets go of buckets that are FileStores no more.
    async fn release_services(&self, services: &[ServiceRules]) -> Result<()> {
        let mut after: Option<String> = None;
        loop {
            let rows = self.catalog().buckets(&SERVICE, "", after.as_deref(), ROWS_PAGE).await?;
            after = rows.last().map(|bucket| bucket.name.as_str().to_owned());
            let ended = rows.len() < ROWS_PAGE;
            for bucket in rows {
                let named = services.iter().any(|service| service.bucket == bucket.name);
                if named || bucket.config.bound_service().is_none() {
                    continue;
                }
                let released = self.change_config(&Caller::ROOT, &bucket.name, Action::PutBucketPolicy, |config, _| {
                    if let Some(service) = &mut config.service {
                        service.bound = false;
                    }
                    Ok(())
                });
                match released.await {
                    Ok(()) => tracing::warn!(bucket = %bucket.name, "the bucket is no FileStore any more"),
                    Err(error) => tracing::error!(bucket = %bucket.name, %error, "the bucket stays a FileStore"),
                }
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// Serves what could not be served yet, and goes on with directories that are on their way, until `stop`.
    pub async fn keep_services(&self, stop: CancellationToken) {
        let served = &self.0.served;
        loop {
            let waiting = served.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone();
            for rules in waiting {
                if self.serve_service(&rules).await.is_ok() {
                    tracing::info!(bucket = %rules.bucket, "a FileStore is served");
                    let mut waiting = served.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                    waiting.retain(|other| *other != rules);
                }
            }
            let all = served.rules.lock().unwrap_or_else(PoisonError::into_inner).clone();
            for rules in all {
                if stop.run_until_cancelled(self.carry_on(&rules.bucket)).await.is_none() {
                    return;
                }
            }
            if stop.run_until_cancelled(tokio::time::sleep(LOOK_INTERVAL)).await.is_none() {
                return;
            }
        }
    }
}
