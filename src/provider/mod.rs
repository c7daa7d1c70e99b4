//! Where bytes live: the one trait that every kind of storage implements.
//!
//! A provider keeps bytes at [`Place`]s of containers and knows nothing of S3. It never decides: the catalog's commit
//! does, and each method here is a step before or after it that can be repeated.
//!
//! **Invariant:** bytes that are visible at a place are whole; nothing is destroyed unless its stamp was named by the
//! caller and verified after it had been taken aside; a staged body that was not published leaves nothing behind.

use std::fmt;
use std::ops::Range;
use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;

use crate::model::id::VersionId;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::Content;
use crate::model::place::{Displaced, Place, Stamp};
use crate::model::record::Record;
use crate::model::time::Timestamp;

mod capabilities;
pub mod check;
pub mod cloud;
mod error;
pub mod fs;
pub mod memory;
pub mod named;
pub mod remote;
pub mod settings;
pub mod via;
pub mod wrap;

pub use capabilities::Capabilities;
pub use error::{Error, Result};

/// One container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: BucketName,
    /// When it was made, as far as the storage tells.
    pub created: Timestamp,
    /// Whether it takes writes.
    pub writable: bool,
    /// Whether names that differ in case are one: then adoption goes by scan only.
    pub folds: bool,
}

/// Small files of ours in the reserved tree of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Note {
    /// `.longshore/id`: the catalog it belongs to. Absence of objects counts only while this is readable.
    Id,
    /// `.longshore/bucket`: the bucket's settings, for `rebuild`.
    Bucket,
}

impl Note {
    /// Its name in the reserved tree.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Bucket => "bucket",
        }
    }
}

/// What is at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// What identifies the bytes.
    pub stamp: Stamp,
    /// Bytes.
    pub size: u64,
    /// Mtime.
    pub modified: Timestamp,
    /// The record beside the bytes, live or not; judge it by [`Record::is_live`].
    pub record: Option<Record>,
    /// What the storage keeps of its own with an object that is not ours.
    pub foreign: Option<Box<Foreign>>,
    /// The mtime is so recent that a further write might not change it: the stamp is not yet final.
    pub young: bool,
}

/// What a storage keeps of its own with an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Foreign {
    /// The ETag under which S3 clients should see it, without quotes: the MD5 if the storage vouches for it.
    pub etag: Option<String>,
    /// Its headers.
    pub content: Content,
}

/// A stream of the blocks of a body.
pub type Blocks = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// The bytes of a read.
pub enum Body {
    /// All of them, in memory; at most one block.
    Whole(Bytes),
    /// Block by block. Ends with [`Error::StampMismatch`] instead of the last block if the bytes changed meanwhile.
    Blocks(Blocks),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "Whole({} bytes)", bytes.len()),
            Self::Blocks(_) => f.write_str("Blocks"),
        }
    }
}

/// What a natural listing shows of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The key: its path.
    pub key: ObjectKey,
    /// What identifies the bytes, as far as a listing shows it: compare by [`Stamp::may_show_as`].
    pub stamp: Stamp,
    /// Bytes.
    pub size: u64,
    /// Mtime.
    pub modified: Timestamp,
    /// The MD5 of the bytes, if the listing vouches for it: then nothing that a listing of ours shows is left to look up.
    pub md5: Option<String>,
}

/// A page of a natural listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListedPage {
    /// Files in the order of the bytes of their keys.
    pub files: Vec<Listed>,
    /// Whether more follow the last one.
    pub more: bool,
    /// Names met that cannot be keys (not UTF-8, over-long) and are not served.
    pub unnameable: u64,
}

/// A managed file, as `rebuild` and `gc` meet it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedFile {
    /// The version its name says.
    pub version: VersionId,
    /// Its stat with record.
    pub stat: Stat,
}

/// What is needed to finish a staged body.
#[derive(Debug, Clone)]
pub struct Seal<'a> {
    /// The mtime to give it, which no other body of this process has.
    pub modified: Timestamp,
    /// Bytes that must have been written.
    pub size: u64,
    /// The record to write beside it; parts of uploads have none.
    pub record: Option<&'a Record>,
    /// Leave it to the next [`Provider::settle`] to make it durable: the caller keeps the bytes until then.
    pub unsynced: bool,
}

/// A body on its way in: nobody sees it until [`Stage::publish`]; dropping it leaves nothing behind.
#[async_trait]
pub trait Stage: Send + fmt::Debug {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Error::NoSpace`] and other failures of the storage; the stage is then of no further use.
    /// On cancellation: drop the stage; nothing is left behind.
    async fn write(&mut self, block: Bytes) -> Result<()>;

    /// Takes bytes from a place of the same provider without moving them through memory where it can.
    ///
    /// # Errors
    /// [`Error::NotFound`] or [`Error::StampMismatch`] if the bytes named are not there, before or after the copy.
    async fn append(&mut self, container: &BucketName, from: &Place, stamp: &Stamp, range: Range<u64>) -> Result<()>;

    /// Makes the body durable (in `fsync` durability, unless the seal leaves it) and gives it its managed name. Returns its stamp, taken from the
    /// descriptor that was written, never from a path.
    ///
    /// # Errors
    /// Failures of the storage, and [`Error::Failed`] if other than `seal.size` bytes were written. Nothing is left.
    /// On timeout or cancellation: the managed file may exist; it is named by no row and found by `gc`.
    async fn publish(self: Box<Self>, seal: Seal<'_>) -> Result<Stamp>;
}

/// The step that natural layout adds: exchange `managed(version)` with the key.
#[derive(Debug, Clone)]
pub struct LayOut<'a> {
    /// The version to lay out.
    pub version: VersionId,
    /// Its stamp.
    pub stamp: &'a Stamp,
    /// Its key.
    pub key: &'a ObjectKey,
    /// The bytes that this version displaced, if the catalog knew any at the key.
    pub over: Option<&'a Stamp>,
    /// What becomes of those, and of older versions of ours that are met at the key.
    pub displaced: Displaced,
    /// Its place in the order of versions.
    pub counter: u64,
}

/// How a lay-out ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaidOut {
    /// The version is at its key; what it displaced is freed.
    Done,
    /// The version is at its key; what came out was an outside edit, kept under this name in `.longshore/lost`.
    DoneKeeping(String),
    /// A newer version of ours is at the key and stays there; this one was superseded.
    Superseded,
}

/// Storage for bytes. Every method may be called at any time from any task.
///
/// **Invariant:** no path a caller names leads outside the container, through a symbolic link or into the reserved tree.
#[async_trait]
pub trait Provider: fmt::Debug + Send + Sync + 'static {
    /// What it can keep of the promises.
    fn capabilities(&self) -> Capabilities;

    /// Says to which catalog its buckets belong, by that one's id: a storage that is another server may be told who asks.
    fn belongs_to(&self, _catalog: &str) {}

    /// All containers, in the order of their names. Entries that cannot be bucket names are left out.
    ///
    /// # Errors
    /// Failures of the storage.
    async fn containers(&self) -> Result<Vec<Container>>;

    /// One container, if it is there.
    ///
    /// # Errors
    /// Failures of the storage.
    async fn container(&self, container: &BucketName) -> Result<Option<Container>>;

    /// Makes a container.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`]. On timeout: it may have been made.
    async fn create_container(&self, container: &BucketName) -> Result<()>;

    /// Removes a container in which nothing but the reserved tree is left. Empty directories do not count.
    ///
    /// # Errors
    /// [`Error::NotEmpty`], with nothing removed; [`Error::NotFound`].
    async fn delete_container(&self, container: &BucketName) -> Result<()>;

    /// Whether nothing but the reserved tree and empty directories is in a container: what cannot be a key (symbolic
    /// links, odd names, mounts) counts as its users' too.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the container is missing.
    async fn is_vacant(&self, container: &BucketName) -> Result<bool> {
        Ok(self.list(container, "", None, 1).await?.files.is_empty())
    }

    /// Reads a note; `None` if it is not there. A missing container is [`Error::NotFound`].
    ///
    /// # Errors
    /// Failures of the storage.
    async fn read_note(&self, container: &BucketName, note: Note) -> Result<Option<Bytes>>;

    /// Writes a note atomically and durably.
    ///
    /// # Errors
    /// [`Error::ReadOnly`] and other failures of the storage. On timeout: the old or the new one is there.
    async fn write_note(&self, container: &BucketName, note: Note, text: Bytes) -> Result<()>;

    /// What is at a place, with its record.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no regular file; a directory is nothing.
    async fn stat(&self, container: &BucketName, place: &Place) -> Result<Stat>;

    /// What is at a place, if anything is, with the text of the container's id, if it has one. Both are of one and the
    /// same container: where a mount can go and come back between two calls, only this tells a file that is gone from a
    /// mount that was.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the container is missing.
    async fn look(&self, container: &BucketName, place: &Place) -> Result<(Option<Stat>, Option<Bytes>)>;

    /// Reads `range` of the bytes that `stamp` identifies.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::StampMismatch`]; [`Error::Archived`] unless the range is empty. The body itself ends
    /// with `StampMismatch` if the bytes change while they are read; then its last block was withheld.
    async fn read(&self, container: &BucketName, place: &Place, stamp: &Stamp, range: Range<u64>) -> Result<Body>;

    /// Begins a body that will be published at `managed(version)`.
    ///
    /// # Errors
    /// Failures of the storage.
    async fn stage(&self, container: &BucketName, version: VersionId) -> Result<Box<dyn Stage>>;

    /// Replaces the record beside the bytes that `stamp` identifies; the stamp stays.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::StampMismatch`].
    async fn set_record(&self, container: &BucketName, place: &Place, stamp: &Stamp, record: &Record) -> Result<()>;

    /// Removes the bytes at a managed place, if they are those of `stamp` (`None`: whatever is there, as nobody else
    /// writes there). `Ok` also if nothing is there.
    ///
    /// # Errors
    /// [`Error::StampMismatch`]: something else is there and stays.
    async fn delete_managed(&self, container: &BucketName, version: VersionId, stamp: Option<&Stamp>) -> Result<()>;

    /// Lays a version out at its key. Idempotent: the version already at its key is `Done`; nothing at the managed
    /// place and something else at the key is [`LaidOut::Superseded`].
    ///
    /// What comes out of the key is verified: the bytes named by `over`, or an older version of ours (its live record
    /// is of this container and key and its counter is lower), are freed, or go to their own managed place; a newer version of ours is swapped back;
    /// anything else is an outside edit and kept in `.longshore/lost`.
    ///
    /// # Errors
    /// [`Error::Clash`]: it stays at its managed place, and nothing was changed. [`Error::NotFound`]: it is at neither
    /// place and nothing is at the key.
    /// On timeout or cancellation: the version is at one of its two places.
    async fn lay_out(&self, container: &BucketName, step: LayOut<'_>) -> Result<LaidOut>;

    /// Moves the bytes of `stamp` from the key to `managed(version)`. `Ok` also if they are at that managed place
    /// already, whatever is at the key: where there are no renames, other bytes may come there behind the copy, and
    /// stay. Parent directories that became empty stay until [`Provider::prune`].
    ///
    /// # Errors
    /// [`Error::StampMismatch`]: other bytes are at the key, and they are there again. [`Error::NotFound`]: nothing.
    /// In both cases the bytes of `stamp` are at neither place. [`Error::Archived`]: they are at the key and stay.
    async fn take_aside(
        &self,
        container: &BucketName,
        key: &ObjectKey,
        version: VersionId,
        stamp: &Stamp,
    ) -> Result<()>;

    /// Removes the bytes of `stamp` from a key from which they cannot be moved: [`Provider::take_aside`] said
    /// [`Error::Archived`]. Only behind the commit that gave them up. `Ok` also if others are there, which stay, or nothing.
    ///
    /// # Errors
    /// Failures of the storage.
    async fn remove_archived(&self, _container: &BucketName, _key: &ObjectKey, _stamp: &Stamp) -> Result<()> {
        Err(Error::Archived)
    }

    /// Removes the parent directories of `key` that are empty, up to the container.
    ///
    /// # Errors
    /// Failures of the storage other than "not empty" and "not there", which are success.
    async fn prune(&self, container: &BucketName, key: &ObjectKey) -> Result<()>;

    /// Files at natural places whose keys begin with `prefix` and come after `after` (exclusive), in the order of the
    /// bytes of their keys, at most `limit`. The reserved tree, symbolic links and special files are left out.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the container is missing.
    async fn list(&self, container: &BucketName, prefix: &str, after: Option<&str>, limit: usize)
    -> Result<ListedPage>;

    /// As [`Provider::list`], but of the files beneath one directory behind the prefix only some need to be there, at
    /// least one: for a listing that shows the directory and not what is in it.
    ///
    /// # Errors
    /// As [`Provider::list`].
    async fn list_folded(
        &self,
        container: &BucketName,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListedPage>;

    /// Managed files in the order of their versions' shards and ids, after `after`, at most `limit`.
    ///
    /// # Errors
    /// Failures of the storage.
    async fn list_managed(
        &self,
        container: &BucketName,
        after: Option<VersionId>,
        limit: usize,
    ) -> Result<Vec<ManagedFile>>;

    /// Removes what staged bodies left that were abandoned before `before`, by processes that ended before they could.
    /// Returns how many.
    ///
    /// # Errors
    /// Failures of the storage.
    async fn sweep_staged(&self, container: &BucketName, before: Timestamp) -> Result<u64>;

    /// Makes every step taken so far in this container durable: names, exchanges, removals. What was freed is gone when
    /// it returns, at the latest.
    ///
    /// # Errors
    /// Failures of the storage; the steps are then still owed.
    async fn settle(&self, container: &BucketName) -> Result<()>;

    /// Begins a multipart upload at the provider and returns its own handle, or an empty one if parts are bodies like
    /// any other.
    ///
    /// # Errors
    /// Failures of the storage. On timeout: an upload no row names may exist; `gc` aborts it.
    async fn begin_upload(&self, container: &BucketName, version: VersionId) -> Result<String>;

    /// Begins one attempt of a part. Publishing it makes it durable; it is named by the attempt.
    ///
    /// # Errors
    /// Failures of the storage.
    async fn stage_part(
        &self,
        container: &BucketName,
        handle: &str,
        number: u32,
        attempt: VersionId,
    ) -> Result<Box<dyn Stage>>;

    /// Joins parts, in the order given, into a body that can be published at `managed(version)`. The parts stay.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::StampMismatch`] if a part is not what its row says.
    async fn assemble(
        &self,
        container: &BucketName,
        handle: &str,
        parts: &[PartRef],
        version: VersionId,
    ) -> Result<Box<dyn Stage>>;

    /// Frees the attempts given and, if it has a handle, the provider's upload. `Ok` also if they are gone.
    ///
    /// # Errors
    /// Failures of the storage.
    async fn free_upload(&self, container: &BucketName, handle: &str, attempts: &[VersionId]) -> Result<()>;
}

/// A part to assemble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartRef {
    /// The attempt whose bytes count.
    pub attempt: VersionId,
    /// What identifies them.
    pub stamp: Stamp,
    /// Bytes.
    pub size: u64,
}
