//! The catalog in Postgres, which any number of processes share.
//!
//! Current versions are rows of Supabase's own tables, so that its policies and queries hold for what is written through
//! any door; what an object is besides stands in the schema `longshore`, joined by the version. A lookup is one round trip
//! and so is a commit: see [`pool`] and [`commit`].
//!
//! **Invariant:** only rows and their locks decide, never this process: whatever is remembered here may be old and costs
//! a second try, no more.

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;

use crate::catalog::{
    AccessKey, Acting, BucketIntent, Catalog, Commit, Enlisted, Error, Event, Glance, Intent, NewBucket, Progress,
    Result, Scope, SecretMark, Sight, Task, Unnamed, VersionWindow, Window,
};
use crate::config::limits::CATALOG_WINDOWS_MAX;
use crate::model::bucket::{Bucket, BucketConfig, BucketSettings, Quota};
use crate::model::caller::User;
use crate::model::id::{BucketId, CatalogId, VersionId};
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::{Entry, Object};
use crate::model::place::Place;
use crate::model::time::Timestamp;
use crate::model::versioning::VersionRef;

mod advice;
mod buckets;
mod commit;
mod connect;
mod credentials;
mod failure;
mod gateways;
mod glances;
mod identities;
mod lacks;
mod migrations;
mod objects;
mod open;
mod outbox;
mod pool;
mod role_versions;
mod roles;
mod rows;
mod span;
mod statements;
mod uploads;

use commit::Counted;
use gateways::Gateway;
pub use open::OpenOptions;
use pool::{Begin, Call, Pool};

/// The catalog in Postgres.
#[derive(Debug)]
pub struct PostgresCatalog {
    id: CatalogId,
    /// For what is short.
    pool: Pool,
    /// For listings and other walks, so that no number of them delays a lookup.
    walks: Pool,
    /// For what says that this process is at work, which must not wait for anything.
    beats: Pool,
    counted: Counted,
    begin: Begin,
    /// What it may become for a token. Whatever else the login may become is not for tokens.
    roles: Vec<String>,
    gateway: Option<Gateway>,
}

/// Whether a statement may run under this scope.
fn admit(scope: &Scope) -> Result<()> {
    match scope {
        Scope::Service => Ok(()),
        Scope::As(_) => Err(Error::NoRoles),
    }
}

impl PostgresCatalog {
    /// As whom a statement runs; `None`: as Longshore.
    fn acting<'a>(&self, scope: &'a Scope) -> Result<Option<&'a Acting>> {
        match scope {
            Scope::Service => Ok(None),
            Scope::As(acting) if self.roles.contains(&acting.role) => Ok(Some(acting)),
            Scope::As(_) => Err(Error::NoRoles),
        }
    }
}

#[async_trait]
impl Catalog for PostgresCatalog {
    fn id(&self) -> CatalogId {
        self.id
    }

    fn judges(&self) -> bool {
        true
    }

    async fn generation(&self) -> Result<u64> {
        buckets::generation(&self.pool).await
    }

    fn is_shared(&self) -> bool {
        self.gateway.is_some()
    }

    async fn enlist(&self, secrets: &[SecretMark]) -> Result<Enlisted> {
        match &self.gateway {
            Some(gateway) => gateway.enlist(&self.pool, secrets).await,
            None => Ok(Enlisted::default()),
        }
    }

    async fn beat(&self) -> Result<bool> {
        match &self.gateway {
            Some(gateway) => gateway.beat(&self.beats).await,
            None => Ok(true),
        }
    }

    async fn leave(&self) -> Result<()> {
        match &self.gateway {
            Some(gateway) => gateway.leave(&self.pool).await,
            None => Ok(()),
        }
    }

    async fn has_others(&self) -> Result<bool> {
        gateways::has_others(&self.pool).await
    }

    async fn lease(&self, job: &str) -> Result<bool> {
        match &self.gateway {
            Some(_) => gateways::lease(&self.beats, job).await,
            None => Ok(true),
        }
    }

    async fn give_back(&self, job: &str) -> Result<()> {
        gateways::give_back(&self.pool, job).await
    }

    async fn ping(&self) -> Result<()> {
        self.generation().await.map(|_| ())
    }

    async fn close(&self) -> Result<()> {
        self.beats.close().await;
        self.walks.close().await;
        self.pool.close().await;
        Ok(())
    }

    async fn create_bucket(&self, scope: &Scope, bucket: NewBucket) -> Result<Bucket> {
        match self.acting(scope)? {
            None => buckets::create(&self.pool, bucket).await,
            Some(acting) => roles::create_bucket(&self.pool, acting, bucket).await,
        }
    }

    async fn bucket(&self, scope: &Scope, name: &BucketName) -> Result<Option<Bucket>> {
        match self.acting(scope)? {
            None => buckets::get_one(&self.pool, name).await,
            Some(acting) => roles::bucket(&self.pool, acting, name).await,
        }
    }

    async fn buckets(&self, scope: &Scope, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Bucket>> {
        match self.acting(scope)? {
            None => buckets::list(&self.walks, prefix, after, limit).await,
            Some(acting) => roles::buckets(&self.walks, acting, prefix, after, limit).await,
        }
    }

    async fn set_bucket(&self, scope: &Scope, bucket: BucketId, settings: BucketSettings) -> Result<()> {
        match self.acting(scope)? {
            None => buckets::set(&self.pool, bucket, &settings).await,
            Some(acting) => roles::set_bucket(&self.pool, acting, bucket, &settings).await,
        }
    }

    async fn set_bucket_config(
        &self,
        scope: &Scope,
        bucket: BucketId,
        revision: u64,
        config: BucketConfig,
    ) -> Result<()> {
        admit(scope)?;
        buckets::set_config(&self.pool, bucket, revision, &config).await
    }

    async fn restore_bucket(
        &self,
        scope: &Scope,
        bucket: BucketId,
        owner: &str,
        created: Timestamp,
        settings: BucketSettings,
        config: BucketConfig,
    ) -> Result<()> {
        admit(scope)?;
        buckets::restore(&self.pool, bucket, owner, created, &settings, &config).await
    }

    async fn set_indexed(&self, scope: &Scope, bucket: BucketId, at: Option<Timestamp>) -> Result<()> {
        admit(scope)?;
        buckets::set_indexed(&self.pool, bucket, at).await
    }

    async fn delete_bucket(&self, scope: &Scope, bucket: BucketId, with_objects: bool) -> Result<()> {
        match self.acting(scope)? {
            None => buckets::delete(&self.pool, bucket, with_objects).await,
            Some(acting) if !with_objects => roles::delete_bucket(&self.pool, acting, bucket).await,
            Some(_) => Err(Error::NoRoles),
        }
    }

    async fn adopt_buckets(&self, scope: &Scope, provider: &str, settings: BucketSettings) -> Result<Vec<Bucket>> {
        match scope {
            Scope::Service => buckets::adopt(&self.pool, provider, settings).await,
            Scope::As(_) => Err(Error::NoRoles),
        }
    }

    async fn object(&self, scope: &Scope, bucket: BucketId, key: &ObjectKey) -> Result<Option<Object>> {
        match self.acting(scope)? {
            None => objects::get_current(&self.pool, bucket, key).await,
            Some(acting) => roles::object(&self.pool, acting, bucket, key).await,
        }
    }

    async fn objects(&self, scope: &Scope, bucket: BucketId, keys: &[ObjectKey]) -> Result<Vec<Object>> {
        let mut found = match self.acting(scope)? {
            None => objects::get_all(&self.walks, bucket, keys).await?,
            Some(acting) => roles::objects(&self.walks, acting, bucket, keys).await?,
        };
        let order: HashMap<&ObjectKey, usize> = keys.iter().enumerate().map(|(at, key)| (key, at)).collect();
        found.sort_by_key(|object| order.get(&object.key).copied());
        Ok(found)
    }

    async fn may(&self, scope: &Scope, bucket: BucketId, key: &ObjectKey, intent: &Intent) -> Result<()> {
        match self.acting(scope)? {
            None => Ok(()),
            Some(acting) => roles::may(&self.pool, acting, bucket, key, intent).await,
        }
    }

    async fn may_with_bucket(&self, scope: &Scope, intent: &BucketIntent) -> Result<()> {
        match self.acting(scope)? {
            None => Ok(()),
            Some(acting) => roles::may_with_bucket(&self.pool, acting, intent).await,
        }
    }

    async fn version(
        &self,
        scope: &Scope,
        bucket: BucketId,
        key: &ObjectKey,
        version: VersionRef,
    ) -> Result<Option<Object>> {
        match self.acting(scope)? {
            None => objects::version(&self.pool, bucket, key, version).await,
            Some(acting) => role_versions::version(&self.pool, acting, bucket, key, version).await,
        }
    }

    async fn history(&self, scope: &Scope, bucket: BucketId, key: &ObjectKey, limit: usize) -> Result<Vec<Object>> {
        admit(scope)?;
        objects::history(&self.pool, bucket, key, limit).await
    }

    async fn list_versions(&self, scope: &Scope, bucket: BucketId, window: VersionWindow) -> Result<Vec<Entry>> {
        match self.acting(scope)? {
            None => objects::list_versions(&self.walks, bucket, window).await,
            Some(acting) => role_versions::list(&self.walks, acting, bucket, window).await,
        }
    }

    async fn room(&self, scope: &Scope, bucket: BucketId) -> Result<Option<Quota>> {
        admit(scope)?;
        buckets::room(&self.pool, bucket).await
    }

    async fn list(&self, scope: &Scope, bucket: BucketId, window: Window) -> Result<Vec<Entry>> {
        match self.acting(scope)? {
            None => objects::list(&self.walks, bucket, window).await,
            Some(acting) => Ok(roles::list(&self.walks, acting, bucket, window, None).await?.entries),
        }
    }

    async fn glance(&self, scope: &Scope, bucket: BucketId, window: Window, created: bool) -> Result<Vec<Glance>> {
        admit(scope)?;
        glances::list(&self.walks, bucket, window, created).await
    }

    async fn look_through(&self, scope: &Scope, bucket: BucketId, window: Window) -> Result<Sight> {
        match self.acting(scope)? {
            None => Ok(Sight { entries: objects::list(&self.walks, bucket, window).await?, stopped: None }),
            Some(acting) => roles::list(&self.walks, acting, bucket, window, Some(CATALOG_WINDOWS_MAX)).await,
        }
    }

    async fn usage(&self, scope: &Scope, bucket: BucketId) -> Result<(u64, u64)> {
        admit(scope)?;
        objects::usage(&self.walks, bucket).await
    }

    async fn commit(&self, scope: &Scope, commit: Commit) -> Result<Vec<Task>> {
        match self.acting(scope)? {
            None => commit::commit(&self.pool, &self.counted, self.begin, commit).await,
            Some(acting) => roles::commit(&self.pool, &self.counted, self.begin, acting, commit).await,
        }
    }

    async fn named(&self, scope: &Scope, bucket: BucketId, versions: &[VersionId]) -> Result<Vec<VersionId>> {
        admit(scope)?;
        outbox::named(&self.walks, bucket, versions).await
    }

    async fn give_up(&self, scope: &Scope, bucket: BucketId, files: Vec<Unnamed>) -> Result<Vec<Task>> {
        admit(scope)?;
        outbox::give_up(&self.pool, bucket, files).await
    }

    async fn note_progress(&self, scope: &Scope, bucket: BucketId, progress: Progress) -> Result<()> {
        admit(scope)?;
        buckets::note_progress(&self.pool, bucket, &progress).await
    }

    async fn progress(&self, scope: &Scope, bucket: BucketId) -> Result<Option<Progress>> {
        admit(scope)?;
        buckets::progress(&self.pool, bucket).await
    }

    async fn tasks(&self, scope: &Scope, after: i64, limit: usize) -> Result<Vec<Task>> {
        admit(scope)?;
        outbox::tasks(&self.walks, after, limit).await
    }

    async fn own_tasks(&self, scope: &Scope, after: i64, limit: usize) -> Result<Vec<Task>> {
        admit(scope)?;
        outbox::own(&self.walks, after, limit).await
    }

    async fn take_over(&self, scope: &Scope, limit: usize) -> Result<Vec<i64>> {
        admit(scope)?;
        outbox::take_over(&self.walks, limit).await
    }

    async fn tasks_of(&self, scope: &Scope, bucket: BucketId, key: &ObjectKey) -> Result<Vec<Task>> {
        admit(scope)?;
        outbox::tasks_of(&self.pool, bucket, key).await
    }

    async fn inline(&self, scope: &Scope, bucket: BucketId, version: VersionId) -> Result<Option<Bytes>> {
        admit(scope)?;
        outbox::inline(&self.pool, bucket, version).await
    }

    async fn tasks_done(&self, scope: &Scope, done: &[i64]) -> Result<()> {
        admit(scope)?;
        self.forget(statements::DELETE_TASKS, done).await
    }

    async fn laid_out(&self, scope: &Scope, done: &[i64]) -> Result<Vec<i64>> {
        admit(scope)?;
        outbox::laid_out(&self.pool, done).await
    }

    async fn events(&self, scope: &Scope, target: &str, limit: usize) -> Result<Vec<Event>> {
        admit(scope)?;
        outbox::events(&self.walks, target.to_owned(), limit).await
    }

    async fn events_done(&self, scope: &Scope, done: &[i64]) -> Result<()> {
        admit(scope)?;
        self.forget(statements::DELETE_EVENTS, done).await
    }

    async fn forget_events(&self, scope: &Scope, before: Timestamp, most: u64) -> Result<u64> {
        admit(scope)?;
        outbox::forget_events(&self.walks, before, most).await
    }

    async fn set_place(
        &self,
        scope: &Scope,
        bucket: BucketId,
        key: &ObjectKey,
        version: VersionId,
        place: &Place,
    ) -> Result<()> {
        admit(scope)?;
        objects::set_place(&self.pool, bucket, key, version, place).await
    }

    async fn put_user(&self, user: User, replace: bool) -> Result<()> {
        identities::put_user(&self.pool, user, replace).await
    }

    async fn user(&self, name: &str) -> Result<Option<User>> {
        identities::user(&self.pool, name).await
    }

    async fn users(&self, after: Option<&str>, limit: usize) -> Result<Vec<User>> {
        identities::users(&self.walks, after, limit).await
    }

    async fn delete_user(&self, name: &str) -> Result<()> {
        identities::delete_user(&self.pool, name).await
    }

    async fn add_key(&self, key: AccessKey) -> Result<()> {
        identities::add_key(&self.pool, key).await
    }

    async fn key(&self, access_key: &str) -> Result<Option<AccessKey>> {
        identities::key(&self.pool, access_key).await
    }

    async fn keys(&self, user: &str) -> Result<Vec<AccessKey>> {
        identities::keys(&self.walks, user).await
    }

    async fn delete_key(&self, access_key: &str) -> Result<()> {
        identities::delete_key(&self.pool, access_key).await
    }
}

impl PostgresCatalog {
    /// Removes rows by their numbers. What a loss of power brings back is only done again.
    async fn forget(&self, text: &'static str, ids: &[i64]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        self.pool.run(Begin::Hint, &[Call::new(text).with(ids.to_vec())]).await.map(|_| ())
    }
}
