//! What an object storage offers, in the few verbs that Longshore needs: the seam under which each cloud has a driver.
//!
//! A driver speaks one service's protocol and decides nothing. Names are raw: a driver sends `a//b`, `/a`, `a/`, `..` and
//! control characters exactly as they are, percent-encoded, or says by [`Service::holds`] that it cannot.
//!
//! **Invariant:** a name shows nothing or whole bytes; a call that failed or was cut short either did nothing or all of
//! what it was asked for, and may be repeated; a condition is judged by the service, in the same step as the write.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;

use super::payload::Payload;
use crate::model::object::Content;
use crate::model::time::Timestamp;
use crate::provider::{Blocks, Result};

/// A name in a container, as the service spells both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At<'a> {
    /// The container.
    pub container: &'a str,
    /// The name.
    pub name: &'a str,
}

/// What must be true of a name for a write or a removal to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When<'a> {
    /// Nothing.
    Always,
    /// Nothing is there.
    Absent,
    /// What is there has this [`Facts::tag`].
    Is(&'a str),
}

/// What a service can do, and within what limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent fact about a service")]
pub struct Rules {
    /// [`When`] is judged by the service on writes and copies; without it an outside writer, or a second Longshore, has
    /// a window between look and write.
    pub conditions: bool,
    /// [`When::Is`] is judged on removals.
    pub conditional_delete: bool,
    /// No two writes have one [`Facts::tag`], those of equal bytes neither: a condition never takes another gateway's
    /// write for the one that it names.
    pub unique_tags: bool,
    /// [`Service::commit`] takes the headers; else [`Service::begin`] does and `commit` ignores them.
    pub late_headers: bool,
    /// The digest in [`Facts`] and [`Entry`] is the MD5 of the bytes for what [`Service::put`] wrote.
    pub md5: bool,
    /// Most bytes of metadata, names and values, that Longshore may use for itself.
    pub mark_bytes_max: usize,
    /// Most blocks of one upload, and most pieces of one join.
    pub blocks_max: u32,
    /// Least bytes of a piece of a join that is not its last.
    pub join_bytes_min: u64,
    /// Largest body of one [`Service::put`] and of one [`Service::copy`], in bytes.
    pub copy_bytes_max: u64,
}

/// What is at a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What the service says identifies this write of the name: an ETag or a generation. For [`When::Is`].
    pub tag: String,
    /// The MD5 of the bytes in lower-case hex, if the service vouches for it, the same on every look and in listings.
    pub digest: Option<String>,
    /// The ETag that S3 clients of the storage itself see, without quotes, if it is an S3 storage.
    pub etag: Option<String>,
    /// Bytes, all of them, also where a range was read.
    pub size: u64,
    /// When it was written, as the service says.
    pub modified: Timestamp,
    /// The headers kept with it; user metadata with lower-case names, that of Longshore among them.
    pub content: Content,
}

/// What a listing shows of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// As [`Facts::digest`].
    pub digest: Option<String>,
    /// Bytes.
    pub size: u64,
    /// When it was written.
    pub modified: Timestamp,
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Entries in the order of the bytes of their names.
    pub entries: Vec<Entry>,
    /// Whether more may follow.
    pub more: bool,
    /// Where the next page begins if it is not behind the last entry (a page may be empty and yet have more).
    pub next: Option<String>,
}

/// A block that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Its number, from 1, without gaps.
    pub number: u32,
    /// What the service answered for it.
    pub tag: String,
    /// Bytes.
    pub size: u64,
    /// The MD5 of its bytes in lower-case hex.
    pub md5: String,
}

/// A source of a join: whole bytes at a name of the same container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The name.
    pub name: String,
    /// What it must still be: [`Facts::tag`].
    pub tag: String,
    /// Bytes.
    pub size: u64,
}

/// One object storage.
///
/// Errors of all methods are those of [`crate::provider::Error`]: `NotFound` (the name or the container), `StampMismatch`
/// (a condition was not met), `AlreadyExists` and `NotEmpty` (containers), `Denied`, `Archived` (bytes that were to be read
/// or copied), `NoSpace`, `ReadOnly`, `Unavailable` (worth another try; the transport has tried already), `Failed`.
#[async_trait]
pub trait Service: fmt::Debug + Send + Sync + 'static {
    /// What it can do.
    fn rules(&self) -> Rules;

    /// Whether it can hold an object of exactly this name, so that its own clients see it under that name.
    fn holds(&self, name: &str) -> bool;

    /// Whether a container may have this name.
    fn may_name(&self, container: &str) -> bool;

    /// All containers with the time when they were made (0: it does not tell), in any order.
    ///
    /// # Errors
    /// Failures of the service.
    async fn containers(&self) -> Result<Vec<(String, Timestamp)>>;

    /// When a container was made; `None` if it is not there.
    ///
    /// # Errors
    /// Failures of the service.
    async fn container(&self, container: &str) -> Result<Option<Timestamp>>;

    /// Makes a container.
    ///
    /// # Errors
    /// `AlreadyExists`.
    async fn create_container(&self, container: &str) -> Result<()>;

    /// Removes an empty container.
    ///
    /// # Errors
    /// `NotEmpty`, `NotFound`.
    async fn delete_container(&self, container: &str) -> Result<()>;

    /// What is at a name.
    ///
    /// # Errors
    /// `NotFound`.
    async fn head(&self, at: At<'_>) -> Result<Facts>;

    /// Reads a range that is not empty, as far as there are bytes, with what is at the name now: both are of one and the
    /// same write of it. The stream ends with an error if fewer bytes came.
    ///
    /// # Errors
    /// `NotFound`; `StampMismatch` if the range begins beyond the end.
    async fn get(&self, at: At<'_>, range: Range<u64>) -> Result<(Facts, Blocks)>;

    /// Writes a whole body of at most [`Rules::copy_bytes_max`] with its headers. The service verifies its MD5.
    /// Returns the tag.
    ///
    /// # Errors
    /// `StampMismatch`: the condition was not met (or, after a repeated try, was made untrue by this very call).
    async fn put(&self, at: At<'_>, body: &Payload, content: &Content, when: When<'_>) -> Result<String>;

    /// Removes what is at a name, with everything it consists of. `Ok` if nothing is there.
    ///
    /// # Errors
    /// `StampMismatch`.
    async fn delete(&self, at: At<'_>, when: When<'_>) -> Result<()>;

    /// Names that begin with `prefix` and come after `after` (exclusive), at most `limit` (at most 1,000).
    ///
    /// # Errors
    /// `NotFound` if the container is missing.
    async fn list(&self, container: &str, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page>;

    /// Copies within the service what has the tag and the size of `from`, also between containers, with new headers.
    /// Any size. The bytes of source and copy are independent: removing one leaves the other.
    ///
    /// # Errors
    /// `NotFound`: the source is gone; `StampMismatch`: the source is another, or `when` was not met.
    async fn copy(&self, from: At<'_>, source: &Facts, to: At<'_>, content: &Content, when: When<'_>) -> Result<()>;

    /// Begins a body in blocks and returns the service's handle. Nobody sees it before [`Service::commit`].
    ///
    /// # Errors
    /// Failures of the service.
    async fn begin(&self, at: At<'_>, content: &Content) -> Result<String>;

    /// Sends one block. Blocks are of one size (but the last), at least 5 MiB (but the last).
    ///
    /// # Errors
    /// Failures of the service.
    async fn block(&self, at: At<'_>, handle: &str, number: u32, body: &Payload) -> Result<String>;

    /// Makes the blocks sent, in their order, the object at the name. Returns the tag.
    ///
    /// # Errors
    /// Failures of the service.
    async fn commit(&self, at: At<'_>, handle: &str, blocks: &[Sent], content: &Content) -> Result<String>;

    /// Gives up a body in blocks, with all that was sent. `Ok` if it is gone.
    ///
    /// # Errors
    /// Failures of the service.
    async fn abort(&self, at: At<'_>, handle: &str) -> Result<()>;

    /// Joins pieces, in their order, to one object, moving no bytes through here where the service can. The pieces stay
    /// and the object does not depend on them. All but the last are of at least [`Rules::join_bytes_min`]; none is empty;
    /// there is one.
    ///
    /// # Errors
    /// `NotFound`, `StampMismatch`: a piece is not what was named.
    async fn join(&self, to: At<'_>, pieces: &[Piece], content: &Content) -> Result<()>;

    /// Gives up what bodies in blocks left in a container that were begun before `before`. Returns how many.
    ///
    /// # Errors
    /// Failures of the service.
    async fn sweep(&self, container: &str, before: Timestamp) -> Result<u64>;
}

/// A service that is shared.
pub type Shared = Arc<dyn Service>;
