//! A catalog whose calls are timed.
//!
//! **Invariant:** every method of the trait is forwarded to the catalog inside, so that no default of the trait ever
//! stands in for its own.

#![deny(clippy::missing_trait_methods)]

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::catalog::{
    AccessKey, BucketIntent, Catalog, Commit, Credentials, Enlisted, Event, Glance, Intent, NewBucket, PartAdded,
    Progress, Result, Scope, SecretMark, Sight, Task, Unnamed, Uploads, VersionWindow, Window,
};
use crate::metrics::Metrics;
use crate::model::bucket::{Bucket, BucketConfig, BucketSettings, Quota};
use crate::model::caller::User;
use crate::model::id::{BucketId, CatalogId, UploadId, VersionId};
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::{Entry, Object};
use crate::model::place::Place;
use crate::model::time::Timestamp;
use crate::model::upload::{Part, Upload, UploadState};
use crate::model::versioning::VersionRef;

/// Times the calls of the catalog inside.
#[derive(Debug)]
pub struct Metered {
    inner: Arc<dyn Catalog>,
    metrics: Arc<Metrics>,
}

impl Metered {
    /// Times the calls of `inner`.
    pub fn new(inner: Arc<dyn Catalog>, metrics: Arc<Metrics>) -> Self {
        Self { inner, metrics }
    }

    async fn time<T>(&self, method: &'static str, call: impl Future<Output = T>) -> T {
        self.metrics.time("catalog", method, call).await
    }
}

#[async_trait]
impl Credentials for Metered {
    async fn set_password(&self, user: &str, hash: &str) -> Result<()> {
        self.time("set_password", self.inner.set_password(user, hash)).await
    }

    async fn password(&self, user: &str) -> Result<Option<String>> {
        self.time("password", self.inner.password(user)).await
    }

    async fn give_token_back(&self, token: &str, ends: i64, now: i64) -> Result<()> {
        self.time("give_token_back", self.inner.give_token_back(token, ends, now)).await
    }

    async fn is_given_back(&self, token: &str, user: &str, issued: i64) -> Result<bool> {
        self.time("is_given_back", self.inner.is_given_back(token, user, issued)).await
    }
}

#[async_trait]
impl Uploads for Metered {
    async fn create_upload(&self, scope: &Scope, upload: Upload) -> Result<()> {
        self.time("create_upload", self.inner.create_upload(scope, upload)).await
    }

    async fn upload(&self, scope: &Scope, id: UploadId) -> Result<Option<Upload>> {
        self.time("upload", self.inner.upload(scope, id)).await
    }

    async fn uploads(
        &self,
        scope: &Scope,
        bucket: BucketId,
        prefix: &str,
        after: Option<(&str, Option<UploadId>)>,
        limit: usize,
    ) -> Result<Vec<Upload>> {
        self.time("uploads", self.inner.uploads(scope, bucket, prefix, after, limit)).await
    }

    async fn set_upload_state(
        &self,
        scope: &Scope,
        id: UploadId,
        from: &UploadState,
        to: UploadState,
    ) -> Result<Option<Task>> {
        self.time("set_upload_state", self.inner.set_upload_state(scope, id, from, to)).await
    }

    async fn set_upload_length(&self, scope: &Scope, id: UploadId, length: u64) -> Result<()> {
        self.time("set_upload_length", self.inner.set_upload_length(scope, id, length)).await
    }

    async fn tidy_uploads(&self, scope: &Scope, reopen: bool, before: Timestamp) -> Result<()> {
        self.time("tidy_uploads", self.inner.tidy_uploads(scope, reopen, before)).await
    }

    async fn add_part(&self, scope: &Scope, upload: UploadId, part: Part) -> Result<PartAdded> {
        self.time("add_part", self.inner.add_part(scope, upload, part)).await
    }

    async fn parts(&self, scope: &Scope, upload: UploadId, after: u32, limit: usize) -> Result<Vec<Part>> {
        self.time("parts", self.inner.parts(scope, upload, after, limit)).await
    }
}

#[async_trait]
impl Catalog for Metered {
    fn id(&self) -> CatalogId {
        self.inner.id()
    }

    fn judges(&self) -> bool {
        self.inner.judges()
    }

    async fn objects(&self, scope: &Scope, bucket: BucketId, keys: &[ObjectKey]) -> Result<Vec<Object>> {
        self.time("objects", self.inner.objects(scope, bucket, keys)).await
    }

    async fn may_with_bucket(&self, scope: &Scope, intent: &BucketIntent) -> Result<()> {
        self.time("may_with_bucket", self.inner.may_with_bucket(scope, intent)).await
    }

    async fn glance(&self, scope: &Scope, bucket: BucketId, window: Window, created: bool) -> Result<Vec<Glance>> {
        self.time("glance", self.inner.glance(scope, bucket, window, created)).await
    }

    async fn look_through(&self, scope: &Scope, bucket: BucketId, window: Window) -> Result<Sight> {
        self.time("look_through", self.inner.look_through(scope, bucket, window)).await
    }

    async fn generation(&self) -> Result<u64> {
        self.time("generation", self.inner.generation()).await
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    async fn enlist(&self, secrets: &[SecretMark]) -> Result<Enlisted> {
        self.time("enlist", self.inner.enlist(secrets)).await
    }

    async fn beat(&self) -> Result<bool> {
        self.time("beat", self.inner.beat()).await
    }

    async fn leave(&self) -> Result<()> {
        self.time("leave", self.inner.leave()).await
    }

    async fn has_others(&self) -> Result<bool> {
        self.time("has_others", self.inner.has_others()).await
    }

    async fn lease(&self, job: &str) -> Result<bool> {
        self.time("lease", self.inner.lease(job)).await
    }

    async fn give_back(&self, job: &str) -> Result<()> {
        self.time("give_back", self.inner.give_back(job)).await
    }

    async fn ping(&self) -> Result<()> {
        self.time("ping", self.inner.ping()).await
    }

    async fn close(&self) -> Result<()> {
        self.time("close", self.inner.close()).await
    }

    async fn create_bucket(&self, scope: &Scope, bucket: NewBucket) -> Result<Bucket> {
        self.time("create_bucket", self.inner.create_bucket(scope, bucket)).await
    }

    async fn bucket(&self, scope: &Scope, name: &BucketName) -> Result<Option<Bucket>> {
        self.time("bucket", self.inner.bucket(scope, name)).await
    }

    async fn buckets(&self, scope: &Scope, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Bucket>> {
        self.time("buckets", self.inner.buckets(scope, prefix, after, limit)).await
    }

    async fn adopt_buckets(&self, scope: &Scope, provider: &str, settings: BucketSettings) -> Result<Vec<Bucket>> {
        self.time("adopt_buckets", self.inner.adopt_buckets(scope, provider, settings)).await
    }

    async fn set_bucket(&self, scope: &Scope, bucket: BucketId, settings: BucketSettings) -> Result<()> {
        self.time("set_bucket", self.inner.set_bucket(scope, bucket, settings)).await
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
        self.time("restore_bucket", self.inner.restore_bucket(scope, bucket, owner, created, settings, config)).await
    }

    async fn set_bucket_config(
        &self,
        scope: &Scope,
        bucket: BucketId,
        revision: u64,
        config: BucketConfig,
    ) -> Result<()> {
        self.time("set_bucket_config", self.inner.set_bucket_config(scope, bucket, revision, config)).await
    }

    async fn version(
        &self,
        scope: &Scope,
        bucket: BucketId,
        key: &ObjectKey,
        version: VersionRef,
    ) -> Result<Option<Object>> {
        self.time("version", self.inner.version(scope, bucket, key, version)).await
    }

    async fn history(&self, scope: &Scope, bucket: BucketId, key: &ObjectKey, limit: usize) -> Result<Vec<Object>> {
        self.time("history", self.inner.history(scope, bucket, key, limit)).await
    }

    async fn list_versions(&self, scope: &Scope, bucket: BucketId, window: VersionWindow) -> Result<Vec<Entry>> {
        self.time("list_versions", self.inner.list_versions(scope, bucket, window)).await
    }

    async fn room(&self, scope: &Scope, bucket: BucketId) -> Result<Option<Quota>> {
        self.time("room", self.inner.room(scope, bucket)).await
    }

    async fn set_indexed(&self, scope: &Scope, bucket: BucketId, at: Option<Timestamp>) -> Result<()> {
        self.time("set_indexed", self.inner.set_indexed(scope, bucket, at)).await
    }

    async fn delete_bucket(&self, scope: &Scope, bucket: BucketId, with_objects: bool) -> Result<()> {
        self.time("delete_bucket", self.inner.delete_bucket(scope, bucket, with_objects)).await
    }

    async fn object(&self, scope: &Scope, bucket: BucketId, key: &ObjectKey) -> Result<Option<Object>> {
        self.time("object", self.inner.object(scope, bucket, key)).await
    }

    async fn may(&self, scope: &Scope, bucket: BucketId, key: &ObjectKey, intent: &Intent) -> Result<()> {
        self.time("may", self.inner.may(scope, bucket, key, intent)).await
    }

    async fn list(&self, scope: &Scope, bucket: BucketId, window: Window) -> Result<Vec<Entry>> {
        self.time("list", self.inner.list(scope, bucket, window)).await
    }

    async fn usage(&self, scope: &Scope, bucket: BucketId) -> Result<(u64, u64)> {
        self.time("usage", self.inner.usage(scope, bucket)).await
    }

    async fn commit(&self, scope: &Scope, commit: Commit) -> Result<Vec<Task>> {
        self.time("commit", self.inner.commit(scope, commit)).await
    }

    async fn named(&self, scope: &Scope, bucket: BucketId, versions: &[VersionId]) -> Result<Vec<VersionId>> {
        self.time("named", self.inner.named(scope, bucket, versions)).await
    }

    async fn give_up(&self, scope: &Scope, bucket: BucketId, files: Vec<Unnamed>) -> Result<Vec<Task>> {
        self.time("give_up", self.inner.give_up(scope, bucket, files)).await
    }

    async fn note_progress(&self, scope: &Scope, bucket: BucketId, progress: Progress) -> Result<()> {
        self.time("note_progress", self.inner.note_progress(scope, bucket, progress)).await
    }

    async fn progress(&self, scope: &Scope, bucket: BucketId) -> Result<Option<Progress>> {
        self.time("progress", self.inner.progress(scope, bucket)).await
    }

    async fn tasks(&self, scope: &Scope, after: i64, limit: usize) -> Result<Vec<Task>> {
        self.time("tasks", self.inner.tasks(scope, after, limit)).await
    }

    async fn own_tasks(&self, scope: &Scope, after: i64, limit: usize) -> Result<Vec<Task>> {
        self.time("own_tasks", self.inner.own_tasks(scope, after, limit)).await
    }

    async fn take_over(&self, scope: &Scope, limit: usize) -> Result<Vec<i64>> {
        self.time("take_over", self.inner.take_over(scope, limit)).await
    }

    async fn tasks_of(&self, scope: &Scope, bucket: BucketId, key: &ObjectKey) -> Result<Vec<Task>> {
        self.time("tasks_of", self.inner.tasks_of(scope, bucket, key)).await
    }

    async fn inline(&self, scope: &Scope, bucket: BucketId, version: VersionId) -> Result<Option<Bytes>> {
        self.time("inline", self.inner.inline(scope, bucket, version)).await
    }

    async fn tasks_done(&self, scope: &Scope, done: &[i64]) -> Result<()> {
        self.time("tasks_done", self.inner.tasks_done(scope, done)).await
    }

    async fn laid_out(&self, scope: &Scope, done: &[i64]) -> Result<Vec<i64>> {
        self.time("laid_out", self.inner.laid_out(scope, done)).await
    }

    async fn events(&self, scope: &Scope, target: &str, limit: usize) -> Result<Vec<Event>> {
        self.time("events", self.inner.events(scope, target, limit)).await
    }

    async fn events_done(&self, scope: &Scope, done: &[i64]) -> Result<()> {
        self.time("events_done", self.inner.events_done(scope, done)).await
    }

    async fn forget_events(&self, scope: &Scope, before: Timestamp, most: u64) -> Result<u64> {
        self.time("forget_events", self.inner.forget_events(scope, before, most)).await
    }

    async fn set_place(
        &self,
        scope: &Scope,
        bucket: BucketId,
        key: &ObjectKey,
        version: VersionId,
        place: &Place,
    ) -> Result<()> {
        self.time("set_place", self.inner.set_place(scope, bucket, key, version, place)).await
    }

    async fn put_user(&self, user: User, replace: bool) -> Result<()> {
        self.time("put_user", self.inner.put_user(user, replace)).await
    }

    async fn user(&self, name: &str) -> Result<Option<User>> {
        self.time("user", self.inner.user(name)).await
    }

    async fn users(&self, after: Option<&str>, limit: usize) -> Result<Vec<User>> {
        self.time("users", self.inner.users(after, limit)).await
    }

    async fn delete_user(&self, name: &str) -> Result<()> {
        self.time("delete_user", self.inner.delete_user(name)).await
    }

    async fn add_key(&self, key: AccessKey) -> Result<()> {
        self.time("add_key", self.inner.add_key(key)).await
    }

    async fn key(&self, access_key: &str) -> Result<Option<AccessKey>> {
        self.time("key", self.inner.key(access_key)).await
    }

    async fn keys(&self, user: &str) -> Result<Vec<AccessKey>> {
        self.time("keys", self.inner.keys(user)).await
    }

    async fn delete_key(&self, access_key: &str) -> Result<()> {
        self.time("delete_key", self.inner.delete_key(access_key)).await
    }
}
