//! The embedded catalog: one SQLite file with a write-ahead log.
//!
//! One thread writes ([`writer`]), bounded pools read ([`readers`]); each method of the trait is one closure over a
//! connection, and its statements are in [`statements`]. Readers see the last commit, never a part of one, and are
//! never held up by the writer. Another process (the command line) may open the same file at the same time: writers
//! take turns by SQLite's lock.
//!
//! **Invariant:** what a writing method answered is visible to every read that begins after it, and with
//! [`Durability::Fsync`] it is on stable storage, except where losing it only means that it is done again.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::Connection;

use crate::catalog::{
    AccessKey, BucketIntent, Catalog, Commit, Error, Event, Glance, Intent, NewBucket, Progress, Result, Scope, Sight,
    Task, Unnamed, VersionWindow, Window,
};
use crate::config::limits::{CATALOG_LOOKUPS_MAX, CATALOG_WALKS_MAX};
use crate::model::bucket::{Bucket, BucketConfig, BucketSettings, Quota};
use crate::model::caller::User;
use crate::model::id::{BucketId, CatalogId, VersionId};
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::{Entry, Object};
use crate::model::place::Place;
use crate::model::task::TaskError;
use crate::model::time::Timestamp;
use crate::model::versioning::VersionRef;

mod buckets;
mod credentials;
mod events;
mod failure;
mod file;
mod glances;
mod identities;
mod migrations;
mod objects;
mod outbox;
#[cfg(test)]
mod plans;
mod quotas;
mod readers;
mod reserve;
mod rows;
mod span;
mod statements;
mod uploads;
mod writer;

use readers::Readers;
use reserve::Reserve;
use writer::Writer;

/// When a commit counts as kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Once it is on stable storage: it survives a loss of power.
    #[default]
    Fsync,
    /// Once the operating system has it: it survives the end of the process, and a loss of power may take the last
    /// commits, never a part of one.
    Os,
}

impl Durability {
    fn synchronous(self) -> &'static str {
        match self {
            Self::Fsync => "FULL",
            Self::Os => "NORMAL",
        }
    }
}

/// How to open a catalog.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenOptions {
    /// When a commit counts as kept.
    pub durability: Durability,
    /// Only to look: a catalog that is missing or old is refused, what there is stays as it is, and writes fail.
    pub looks: bool,
}

/// The embedded catalog.
#[derive(Debug)]
pub struct SqliteCatalog {
    id: CatalogId,
    writer: Writer,
    lookups: Arc<Readers>,
    walks: Arc<Readers>,
    reserve: Arc<Reserve>,
}

/// Whether a statement may run under this scope: SQLite knows no roles, so only Longshore's own may.
fn admit(scope: &Scope) -> Result<()> {
    match scope {
        Scope::Service => Ok(()),
        Scope::As(_) => Err(Error::NoRoles),
    }
}

impl SqliteCatalog {
    /// Opens the catalog at `path`, makes it if it is missing, and brings its schema up to date, unless it is only to
    /// be looked at. Blocks.
    ///
    /// # Errors
    /// [`Error::Failed`] with the reason: a network file system, a newer schema, another program's file.
    /// [`Error::Unavailable`]: another process holds it for longer than a command takes.
    pub fn open(path: &Path, options: OpenOptions) -> Result<Self> {
        file::check_place(path)?;
        let (connection, id, reserve) = if options.looks {
            let connection = file::connect_reader(path)?;
            let id = migrations::id(&connection)?;
            (connection, id, Reserve::left(path))
        } else {
            file::create(path)?;
            let mut connection = file::connect_writer(path, options.durability)?;
            let id = migrations::migrate(&mut connection)?;
            (connection, id, Reserve::beside(path))
        };
        Ok(Self {
            id,
            writer: Writer::start(connection, options.durability)?,
            lookups: Readers::new(path.to_owned(), CATALOG_LOOKUPS_MAX),
            walks: Readers::new(path.to_owned(), CATALOG_WALKS_MAX),
            reserve: Arc::new(reserve),
        })
    }

    /// Reads a few pages, on the task that asks.
    async fn look<T>(&self, scope: &Scope, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        admit(scope)?;
        self.lookups.look(work).await
    }

    /// Reads what may be many rows, on a blocking thread.
    async fn walk<T, F>(&self, scope: &Scope, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        admit(scope)?;
        self.walks.walk(work).await
    }

    /// Writes, on the one thread that does.
    async fn write<T, F>(&self, scope: &Scope, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        admit(scope)?;
        self.writer.run(Durability::Fsync, work).await
    }

    /// Writes what frees something: on a full disk, into the space that is kept back for it.
    async fn write_freeing<T, F>(&self, scope: &Scope, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T> + Clone + Send + 'static,
    {
        match self.write(scope, work.clone()).await {
            Err(Error::NoSpace) => {
                let reserve = Arc::clone(&self.reserve);
                let given_up = tokio::task::spawn_blocking(move || reserve.give_up()).await;
                given_up.map_err(|error| Error::Failed(Box::new(TaskError::from(error))))?;
                self.write(scope, work).await
            }
            written => written,
        }
    }

    /// Writes what a loss of power may take back, because it would only be done again: whatever it leaves behind is
    /// what a process that ended a moment earlier would have left. It is visible at once, never waits for the disk,
    /// and is never lost while something written after it is kept.
    async fn write_hint<F>(&self, scope: &Scope, work: F) -> Result<()>
    where
        F: FnOnce(&Connection) -> Result<()> + Send + 'static,
    {
        admit(scope)?;
        self.writer.run(Durability::Os, work).await
    }
}

#[async_trait]
impl Catalog for SqliteCatalog {
    fn id(&self) -> CatalogId {
        self.id
    }

    fn judges(&self) -> bool {
        false
    }

    async fn generation(&self) -> Result<u64> {
        self.look(&Scope::Service, buckets::generation).await
    }

    async fn ping(&self) -> Result<()> {
        if self.writer.is_closed() {
            return Err(failure::Fault::Closed.into());
        }
        self.generation().await.map(|_| ())
    }

    async fn close(&self) -> Result<()> {
        self.lookups.close().await;
        self.walks.close().await;
        self.writer.close().await
    }

    async fn create_bucket(&self, scope: &Scope, bucket: NewBucket) -> Result<Bucket> {
        self.write(scope, move |c| buckets::create(c, bucket)).await
    }

    async fn bucket(&self, scope: &Scope, name: &BucketName) -> Result<Option<Bucket>> {
        self.look(scope, |c| buckets::get(c, name)).await
    }

    async fn buckets(&self, scope: &Scope, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Bucket>> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.walk(scope, move |c| buckets::list(c, &prefix, after.as_deref(), limit)).await
    }

    async fn set_bucket(&self, scope: &Scope, bucket: BucketId, settings: BucketSettings) -> Result<()> {
        self.write(scope, move |c| buckets::set(c, bucket, &settings)).await
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
        let owner = owner.to_owned();
        self.write(scope, move |c| buckets::restore(c, bucket, &owner, created, &settings, &config)).await
    }

    async fn set_bucket_config(
        &self,
        scope: &Scope,
        bucket: BucketId,
        revision: u64,
        config: BucketConfig,
    ) -> Result<()> {
        self.write(scope, move |c| buckets::set_config(c, bucket, revision, &config)).await
    }

    async fn version(
        &self,
        scope: &Scope,
        bucket: BucketId,
        key: &ObjectKey,
        version: VersionRef,
    ) -> Result<Option<Object>> {
        self.look(scope, |c| objects::version(c, bucket, key, version)).await
    }

    async fn history(&self, scope: &Scope, bucket: BucketId, key: &ObjectKey, limit: usize) -> Result<Vec<Object>> {
        self.look(scope, |c| objects::history(c, bucket, key, limit)).await
    }

    async fn list_versions(&self, scope: &Scope, bucket: BucketId, window: VersionWindow) -> Result<Vec<Entry>> {
        self.walk(scope, move |c| objects::list_versions(c, bucket, window)).await
    }

    async fn room(&self, scope: &Scope, bucket: BucketId) -> Result<Option<Quota>> {
        self.look(scope, |c| quotas::room(c, bucket)).await
    }

    async fn set_indexed(&self, scope: &Scope, bucket: BucketId, at: Option<Timestamp>) -> Result<()> {
        self.write(scope, move |c| buckets::set_indexed(c, bucket, at)).await
    }

    async fn delete_bucket(&self, scope: &Scope, bucket: BucketId, with_objects: bool) -> Result<()> {
        self.write_freeing(scope, move |c| buckets::delete(c, bucket, with_objects)).await
    }

    /// Nobody shares an embedded catalog.
    async fn adopt_buckets(&self, scope: &Scope, _: &str, _: BucketSettings) -> Result<Vec<Bucket>> {
        admit(scope)?;
        Ok(Vec::new())
    }

    async fn object(&self, scope: &Scope, bucket: BucketId, key: &ObjectKey) -> Result<Option<Object>> {
        self.look(scope, |c| objects::get(c, bucket, key)).await
    }

    async fn may(&self, scope: &Scope, _: BucketId, _: &ObjectKey, _: &Intent) -> Result<()> {
        admit(scope)
    }

    async fn may_with_bucket(&self, scope: &Scope, _: &BucketIntent) -> Result<()> {
        admit(scope)
    }

    async fn list(&self, scope: &Scope, bucket: BucketId, window: Window) -> Result<Vec<Entry>> {
        self.walk(scope, move |c| objects::list(c, bucket, window)).await
    }

    async fn glance(&self, scope: &Scope, bucket: BucketId, window: Window, created: bool) -> Result<Vec<Glance>> {
        self.walk(scope, move |c| glances::list(c, bucket, window, created)).await
    }

    async fn look_through(&self, scope: &Scope, bucket: BucketId, window: Window) -> Result<Sight> {
        Ok(Sight { entries: self.list(scope, bucket, window).await?, stopped: None })
    }

    async fn usage(&self, scope: &Scope, bucket: BucketId) -> Result<(u64, u64)> {
        self.walk(scope, move |c| objects::usage(c, bucket)).await
    }

    async fn commit(&self, scope: &Scope, commit: Commit) -> Result<Vec<Task>> {
        if commit.changes.iter().all(|change| change.becomes.is_none()) {
            let commit = Arc::new(commit);
            return self.write_freeing(scope, move |c| objects::commit(c, &commit)).await;
        }
        self.write(scope, move |c| objects::commit(c, &commit)).await
    }

    async fn named(&self, scope: &Scope, bucket: BucketId, versions: &[VersionId]) -> Result<Vec<VersionId>> {
        let versions = versions.to_vec();
        self.walk(scope, move |c| outbox::named(c, bucket, &versions)).await
    }

    async fn give_up(&self, scope: &Scope, bucket: BucketId, files: Vec<Unnamed>) -> Result<Vec<Task>> {
        self.write(scope, move |c| outbox::give_up(c, bucket, files)).await
    }

    async fn note_progress(&self, scope: &Scope, bucket: BucketId, progress: Progress) -> Result<()> {
        self.write_hint(scope, move |c| buckets::note_progress(c, bucket, &progress)).await
    }

    async fn progress(&self, scope: &Scope, bucket: BucketId) -> Result<Option<Progress>> {
        self.look(scope, |c| buckets::progress(c, bucket)).await
    }

    async fn tasks(&self, scope: &Scope, after: i64, limit: usize) -> Result<Vec<Task>> {
        self.walk(scope, move |c| outbox::tasks(c, after, limit)).await
    }

    async fn tasks_of(&self, scope: &Scope, bucket: BucketId, key: &ObjectKey) -> Result<Vec<Task>> {
        self.look(scope, |c| outbox::tasks_of(c, bucket, key)).await
    }

    async fn inline(&self, scope: &Scope, bucket: BucketId, version: VersionId) -> Result<Option<Bytes>> {
        self.look(scope, |c| outbox::inline(c, bucket, version)).await
    }

    async fn tasks_done(&self, scope: &Scope, done: &[i64]) -> Result<()> {
        let done = done.to_vec();
        self.write_hint(scope, move |c| outbox::done(c, &done)).await?;
        if !self.reserve.is_held() {
            let reserve = Arc::clone(&self.reserve);
            let taken = tokio::task::spawn_blocking(move || reserve.take()).await;
            taken.map_err(|error| Error::Failed(Box::new(TaskError::from(error))))?;
        }
        Ok(())
    }

    async fn events(&self, scope: &Scope, target: &str, limit: usize) -> Result<Vec<Event>> {
        let target = target.to_owned();
        self.walk(scope, move |c| events::list(c, &target, limit)).await
    }

    async fn events_done(&self, scope: &Scope, done: &[i64]) -> Result<()> {
        let done = done.to_vec();
        self.write_hint(scope, move |c| events::done(c, &done)).await
    }

    async fn forget_events(&self, scope: &Scope, before: Timestamp, most: u64) -> Result<u64> {
        self.write(scope, move |c| events::forget(c, before, most)).await
    }

    async fn set_place(
        &self,
        scope: &Scope,
        bucket: BucketId,
        key: &ObjectKey,
        version: VersionId,
        place: &Place,
    ) -> Result<()> {
        let (key, place) = (key.clone(), place.clone());
        self.write_hint(scope, move |c| objects::set_place(c, bucket, &key, version, &place)).await
    }

    async fn put_user(&self, user: User, replace: bool) -> Result<()> {
        self.write(&Scope::Service, move |c| identities::put_user(c, &user, replace)).await
    }

    async fn user(&self, name: &str) -> Result<Option<User>> {
        self.look(&Scope::Service, |c| identities::user(c, name)).await
    }

    async fn users(&self, after: Option<&str>, limit: usize) -> Result<Vec<User>> {
        let after = after.map(str::to_owned);
        self.walk(&Scope::Service, move |c| identities::users(c, after.as_deref(), limit)).await
    }

    async fn delete_user(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.write(&Scope::Service, move |c| identities::delete_user(c, &name)).await
    }

    async fn add_key(&self, key: AccessKey) -> Result<()> {
        self.write(&Scope::Service, move |c| identities::add_key(c, &key)).await
    }

    async fn key(&self, access_key: &str) -> Result<Option<AccessKey>> {
        self.look(&Scope::Service, |c| identities::key(c, access_key)).await
    }

    async fn keys(&self, user: &str) -> Result<Vec<AccessKey>> {
        let user = user.to_owned();
        self.walk(&Scope::Service, move |c| identities::keys(c, &user)).await
    }

    async fn delete_key(&self, access_key: &str) -> Result<()> {
        let access_key = access_key.to_owned();
        self.write(&Scope::Service, move |c| identities::delete_key(c, &access_key)).await
    }
}
