//! The index of buckets, objects, uploads, identities, and of steps still owed to providers.
//!
//! **Invariant:** only a commit here decides. A commit compares and swaps: each change names the version it was checked
//! against, and either all changes happen or none. Steps owed to a provider (the outbox) are rows of the same commit.

use async_trait::async_trait;
use bytes::Bytes;

use crate::model::bucket::{Bucket, BucketConfig, BucketSettings, Quota};
use crate::model::caller::User;
use crate::model::id::{BucketId, CatalogId, VersionId};
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::{Entry, Object};
use crate::model::place::Place;
use crate::model::time::Timestamp;
use crate::model::versioning::VersionRef;

mod change;
mod columns;
mod credentials;
mod error;
mod event;
mod gateway;
mod glance;
pub mod postgres;
pub mod sqlite;
mod uploads;
pub mod wrap;

pub use change::{
    AccessKey, Acting, BucketIntent, Change, Commit, History, Intent, NewBucket, NewTask, PartAdded, Progress, Scope,
    Sight, Step, Task, Unnamed, UploadEnd, VersionWindow, Window,
};
pub use credentials::Credentials;
pub use error::{Error, Result};
pub use event::{Event, NewEvent};
pub use gateway::{Enlisted, GatewayId, SecretMark};
pub use glance::Glance;
pub use uploads::Uploads;

/// The catalog. Every method is one transaction. On timeout or cancellation of a writing method: it may have happened
/// whole, or not at all; a repeat under the same expectation tells.
#[async_trait]
pub trait Catalog: Credentials + Uploads + std::fmt::Debug + Send + Sync + 'static {
    /// The identity that the containers of this catalog carry.
    fn id(&self) -> CatalogId;

    /// Whether policies of its own decide what a role may do: then [`Scope::As`] is understood.
    fn judges(&self) -> bool;

    /// A number that changes whenever a bucket, a user or a key was changed, by any process: caches are dropped then.
    ///
    /// # Errors
    /// Failures of the database.
    async fn generation(&self) -> Result<u64>;

    /// Whether other processes may be at work on this catalog. What they leave behind when they go is taken over then.
    /// A catalog of one process answers for all that follows up to [`Catalog::give_back`] as if it were alone.
    fn is_shared(&self) -> bool {
        false
    }

    /// Says that this process begins its work, and with which secrets. It counts as being at work for
    /// [`GATEWAY_LEASE_SECONDS`](crate::config::limits::GATEWAY_LEASE_SECONDS), unless it says so again.
    ///
    /// # Errors
    /// Failures of the database.
    async fn enlist(&self, _secrets: &[SecretMark]) -> Result<Enlisted> {
        Ok(Enlisted::default())
    }

    /// Says again that this process is at work. False: another one has said the same under its name.
    ///
    /// # Errors
    /// Failures of the database.
    async fn beat(&self) -> Result<bool> {
        Ok(true)
    }

    /// Says that this process is no longer at work.
    ///
    /// # Errors
    /// Failures of the database.
    async fn leave(&self) -> Result<()> {
        Ok(())
    }

    /// Whether another process is at work.
    ///
    /// # Errors
    /// Failures of the database.
    async fn has_others(&self) -> Result<bool> {
        Ok(false)
    }

    /// Takes a job that one process does at a time, or keeps it, for
    /// [`GATEWAY_LEASE_SECONDS`](crate::config::limits::GATEWAY_LEASE_SECONDS). False: another one has it.
    ///
    /// # Errors
    /// Failures of the database.
    async fn lease(&self, _job: &str) -> Result<bool> {
        Ok(true)
    }

    /// Gives a job back that this process has.
    ///
    /// # Errors
    /// Failures of the database.
    async fn give_back(&self, _job: &str) -> Result<()> {
        Ok(())
    }

    /// Whether the catalog answers.
    ///
    /// # Errors
    /// Failures of the database.
    async fn ping(&self) -> Result<()>;

    /// Writes everything out and closes; nothing may be called after it. With SQLite the WAL is gone afterwards.
    ///
    /// # Errors
    /// Failures of the database.
    async fn close(&self) -> Result<()>;

    /// Makes a bucket.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`].
    async fn create_bucket(&self, scope: &Scope, bucket: NewBucket) -> Result<Bucket>;

    /// One bucket.
    ///
    /// # Errors
    /// Failures of the database.
    async fn bucket(&self, scope: &Scope, name: &BucketName) -> Result<Option<Bucket>>;

    /// Buckets in the order of their names, after `after`, that begin with `prefix`.
    ///
    /// # Errors
    /// Failures of the database.
    async fn buckets(&self, scope: &Scope, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Bucket>>;

    /// Changes the settings of a bucket.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    async fn set_bucket(&self, scope: &Scope, bucket: BucketId, settings: BucketSettings) -> Result<()>;

    /// Replaces the configuration of a bucket, if it is still that of `revision`.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Conflict`].
    async fn set_bucket_config(
        &self,
        scope: &Scope,
        bucket: BucketId,
        revision: u64,
        config: BucketConfig,
    ) -> Result<()>;

    /// Gives an adopted bucket the owner, date and settings that were noted beside its bytes (`rebuild`).
    ///
    /// # Errors
    /// [`Error::NotFound`].
    async fn restore_bucket(
        &self,
        scope: &Scope,
        bucket: BucketId,
        owner: &str,
        created: Timestamp,
        settings: BucketSettings,
        config: BucketConfig,
    ) -> Result<()>;

    /// Notes when a bucket was last walked from end to end.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    async fn set_indexed(&self, scope: &Scope, bucket: BucketId, at: Option<Timestamp>) -> Result<()>;

    /// Removes a bucket without objects, with its uploads, parts and outbox rows. With `with_objects` (a container that
    /// is gone for good) its object rows go too.
    ///
    /// # Errors
    /// [`Error::NotEmpty`], [`Error::NotFound`].
    async fn delete_bucket(&self, scope: &Scope, bucket: BucketId, with_objects: bool) -> Result<()>;

    /// Takes in the buckets that another server has made in tables that are shared with it, as buckets of a provider,
    /// and forgets those that it has removed. Returns the new ones.
    ///
    /// # Errors
    /// Failures of the database.
    async fn adopt_buckets(&self, scope: &Scope, provider: &str, settings: BucketSettings) -> Result<Vec<Bucket>>;

    /// The current version of a key.
    ///
    /// # Errors
    /// Failures of the database.
    async fn object(&self, scope: &Scope, bucket: BucketId, key: &ObjectKey) -> Result<Option<Object>>;

    /// The current versions of these keys, in their order; what is not there is left out. No key may be given twice.
    ///
    /// # Errors
    /// Failures of the database.
    async fn objects(&self, scope: &Scope, bucket: BucketId, keys: &[ObjectKey]) -> Result<Vec<Object>> {
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.extend(self.object(scope, bucket, key).await?);
        }
        Ok(found)
    }

    /// Whether a change of a key would be let in, before its bytes are read. Nothing of it is left. The commit under the
    /// same scope asks once more.
    ///
    /// # Errors
    /// [`Error::Denied`]. [`Error::AlreadyExists`]: the key is taken, and only a new one was to be written.
    async fn may(&self, scope: &Scope, bucket: BucketId, key: &ObjectKey, intent: &Intent) -> Result<()>;

    /// The same, of a bucket.
    ///
    /// # Errors
    /// [`Error::Denied`]. [`Error::NotFound`]: it is not there for whoever asks. [`Error::AlreadyExists`]: the name is
    /// taken. [`Error::NotEmpty`].
    async fn may_with_bucket(&self, scope: &Scope, intent: &BucketIntent) -> Result<()>;

    /// One version of a key, current or not.
    ///
    /// # Errors
    /// Failures of the database.
    async fn version(
        &self,
        scope: &Scope,
        bucket: BucketId,
        key: &ObjectKey,
        version: VersionRef,
    ) -> Result<Option<Object>>;

    /// The noncurrent versions and delete markers of a key, newest first, at most `limit`.
    ///
    /// # Errors
    /// Failures of the database.
    async fn history(&self, scope: &Scope, bucket: BucketId, key: &ObjectKey, limit: usize) -> Result<Vec<Object>>;

    /// Versions in the order of the bytes of their keys, newest first within a key.
    ///
    /// # Errors
    /// Failures of the database.
    async fn list_versions(&self, scope: &Scope, bucket: BucketId, window: VersionWindow) -> Result<Vec<Entry>>;

    /// How much more a bucket with a quota may hold, in objects and bytes; `None`: it has none.
    ///
    /// # Errors
    /// Failures of the database.
    async fn room(&self, scope: &Scope, bucket: BucketId) -> Result<Option<Quota>>;

    /// Current versions in the order of the bytes of their keys: an index range, at constant cost per row.
    ///
    /// # Errors
    /// Failures of the database.
    async fn list(&self, scope: &Scope, bucket: BucketId, window: Window) -> Result<Vec<Entry>>;

    /// What lies directly below the prefix of a window, in the order of the bytes of its keys: keys that go on alike up to
    /// a slash are one. When they came to be is told if `created` says so, and else when they were changed.
    ///
    /// # Errors
    /// Failures of the database.
    async fn glance(&self, scope: &Scope, bucket: BucketId, window: Window, created: bool) -> Result<Vec<Glance>>;

    /// The same in bounded work, where policies may hide most of what there is: it may stop to look on the way.
    ///
    /// # Errors
    /// Failures of the database.
    async fn look_through(&self, scope: &Scope, bucket: BucketId, window: Window) -> Result<Sight>;

    /// The number of objects of a bucket and the sum of their bytes, with noncurrent versions and without delete markers.
    ///
    /// # Errors
    /// Failures of the database.
    async fn usage(&self, scope: &Scope, bucket: BucketId) -> Result<(u64, u64)>;

    /// Decides. Returns the numbered outbox rows it wrote, in the order given. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::Conflict`]: an expectation does not hold. [`Error::NotFound`]: the bucket is gone.
    /// [`Error::Unavailable`]: `gc` has given the bytes of a new version up.
    async fn commit(&self, scope: &Scope, commit: Commit) -> Result<Vec<Task>>;

    /// Which of these places or versions are named by a row, an upload's part or the outbox: `gc` asks before it frees.
    ///
    /// # Errors
    /// Failures of the database.
    async fn named(&self, scope: &Scope, bucket: BucketId, versions: &[VersionId]) -> Result<Vec<VersionId>>;

    /// Gives managed files up: for each that no row, part or step names, a `Drop` is written to the outbox, in one
    /// transaction. From then on no commit can name its version ([`Error::Unavailable`]), so a write that is slower than
    /// `gc` fails as a whole and never loses its bytes. Returns the steps it wrote.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the bucket is gone.
    async fn give_up(&self, scope: &Scope, bucket: BucketId, files: Vec<Unnamed>) -> Result<Vec<Task>>;

    /// Notes how the walk of a bucket goes. A note about a bucket that is gone is dropped.
    ///
    /// # Errors
    /// Failures of the database.
    async fn note_progress(&self, scope: &Scope, bucket: BucketId, progress: Progress) -> Result<()>;

    /// What was noted last about the walk of a bucket.
    ///
    /// # Errors
    /// Failures of the database.
    async fn progress(&self, scope: &Scope, bucket: BucketId) -> Result<Option<Progress>>;

    /// Steps still owed, in the order they were written, after number `after`.
    ///
    /// # Errors
    /// Failures of the database.
    async fn tasks(&self, scope: &Scope, after: i64, limit: usize) -> Result<Vec<Task>>;

    /// Those of them that are this process's to take, which it wrote or took over.
    ///
    /// # Errors
    /// Failures of the database.
    async fn own_tasks(&self, scope: &Scope, after: i64, limit: usize) -> Result<Vec<Task>> {
        self.tasks(scope, after, limit).await
    }

    /// Makes steps this process's own that belong to none at work, oldest first. Returns their numbers.
    ///
    /// # Errors
    /// Failures of the database.
    async fn take_over(&self, _scope: &Scope, _limit: usize) -> Result<Vec<i64>> {
        Ok(Vec::new())
    }

    /// Steps still owed for one key, oldest first: reconcile and adoption ask before they believe what they see.
    ///
    /// # Errors
    /// Failures of the database.
    async fn tasks_of(&self, scope: &Scope, bucket: BucketId, key: &ObjectKey) -> Result<Vec<Task>>;

    /// The bytes that are kept with a step of `version`, if its places cannot be relied on yet.
    ///
    /// # Errors
    /// Failures of the database.
    async fn inline(&self, scope: &Scope, bucket: BucketId, version: VersionId) -> Result<Option<Bytes>>;

    /// Removes steps that are taken and durable, with the bytes kept with them. Those of other processes stay.
    ///
    /// # Errors
    /// Failures of the database.
    async fn tasks_done(&self, scope: &Scope, done: &[i64]) -> Result<()>;

    /// The same for versions that were brought to their keys: a step whose version another process has displaced
    /// meanwhile stays, as what lies at the key is not what should. Returns those that went.
    ///
    /// # Errors
    /// Failures of the database.
    async fn laid_out(&self, scope: &Scope, done: &[i64]) -> Result<Vec<i64>> {
        self.tasks_done(scope, done).await.map(|()| done.to_vec())
    }

    /// The oldest events for a target that are still to be told.
    ///
    /// # Errors
    /// Failures of the database.
    async fn events(&self, scope: &Scope, target: &str, limit: usize) -> Result<Vec<Event>>;

    /// Removes events that were told.
    ///
    /// # Errors
    /// Failures of the database.
    async fn events_done(&self, scope: &Scope, done: &[i64]) -> Result<()>;

    /// Removes events from before `before`, and the oldest of more than `most`. Returns how many it removed.
    ///
    /// # Errors
    /// Failures of the database.
    async fn forget_events(&self, scope: &Scope, before: Timestamp, most: u64) -> Result<u64>;

    /// Points the row of `version` at another of its places, if it is still current.
    ///
    /// # Errors
    /// Failures of the database.
    async fn set_place(
        &self,
        scope: &Scope,
        bucket: BucketId,
        key: &ObjectKey,
        version: VersionId,
        place: &Place,
    ) -> Result<()>;

    /// Makes or replaces a user.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] if there is one and `replace` is false.
    async fn put_user(&self, user: User, replace: bool) -> Result<()>;

    /// One user.
    ///
    /// # Errors
    /// Failures of the database.
    async fn user(&self, name: &str) -> Result<Option<User>>;

    /// All users by name, after `after`.
    ///
    /// # Errors
    /// Failures of the database.
    async fn users(&self, after: Option<&str>, limit: usize) -> Result<Vec<User>>;

    /// Removes a user and its keys. Its buckets pass to root.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    async fn delete_user(&self, name: &str) -> Result<()>;

    /// Adds an access key of a user.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], [`Error::NotFound`] if there is no such user.
    async fn add_key(&self, key: AccessKey) -> Result<()>;

    /// One access key.
    ///
    /// # Errors
    /// Failures of the database.
    async fn key(&self, access_key: &str) -> Result<Option<AccessKey>>;

    /// The access keys of a user, in the order of their ids.
    ///
    /// # Errors
    /// Failures of the database.
    async fn keys(&self, user: &str) -> Result<Vec<AccessKey>>;

    /// Removes an access key.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    async fn delete_key(&self, access_key: &str) -> Result<()>;
}
