//! Uploads and their parts.
//!
//! **Invariant:** an upload changes its state by compare-and-swap only, and takes parts only while it is open. How long
//! it becomes is said once.

use async_trait::async_trait;

use crate::catalog::{Error, PartAdded, Result, Scope, Task};
use crate::model::id::{BucketId, UploadId};
use crate::model::object::Attached;
use crate::model::time::Timestamp;
use crate::model::upload::{Part, Upload, UploadState};

/// Uploads in parts. Every method is one transaction, as those of [`Catalog`](crate::catalog::Catalog).
#[async_trait]
pub trait Uploads: Send + Sync {
    /// Begins an upload.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the bucket is gone.
    async fn create_upload(&self, scope: &Scope, upload: Upload) -> Result<()>;

    /// One upload.
    ///
    /// # Errors
    /// Failures of the database.
    async fn upload(&self, scope: &Scope, id: UploadId) -> Result<Option<Upload>>;

    /// Open and completing uploads of a bucket by key, then age, then id, whose keys begin with `prefix`. `after` is a
    /// key with or without an upload id: without one, all uploads of that key are passed over.
    ///
    /// # Errors
    /// Failures of the database.
    async fn uploads(
        &self,
        scope: &Scope,
        bucket: BucketId,
        prefix: &str,
        after: Option<(&str, Option<UploadId>)>,
        limit: usize,
    ) -> Result<Vec<Upload>>;

    /// Compare-and-swap on the state of an upload. What another process at work is completing is its own. To `Aborted`: its
    /// part rows go and a `FreeUpload` step is written, which is returned.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is in another state, [`Error::NotFound`].
    async fn set_upload_state(
        &self,
        scope: &Scope,
        id: UploadId,
        from: &UploadState,
        to: UploadState,
    ) -> Result<Option<Task>>;

    /// Says how long an open upload becomes; the same again changes nothing.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is not open, or another length was said; [`Error::NotFound`].
    async fn set_upload_length(&self, scope: &Scope, id: UploadId, length: u64) -> Result<()>;

    /// Forgets uploads that were done or aborted before `before`. With `reopen`, when nothing is served yet, it returns
    /// `completing` uploads to `open` that no other process is completing.
    ///
    /// # Errors
    /// Failures of the database.
    async fn tidy_uploads(&self, scope: &Scope, reopen: bool, before: Timestamp) -> Result<()>;

    /// Names an attempt of a part, if the upload is open.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the upload is not open, [`Error::NotFound`] if it is gone.
    async fn add_part(&self, scope: &Scope, upload: UploadId, part: Part) -> Result<PartAdded>;

    /// Parts of an upload by number, after number `after`.
    ///
    /// # Errors
    /// Failures of the database.
    async fn parts(&self, scope: &Scope, upload: UploadId, after: u32, limit: usize) -> Result<Vec<Part>>;
}

/// What is attached to an upload once its length is said.
pub(super) fn with_length(upload: Option<Upload>, length: u64) -> Result<Attached> {
    let Upload { state, attached, .. } = upload.ok_or(Error::NotFound)?;
    if state != UploadState::Open || attached.length.is_some_and(|known| known != length) {
        return Err(Error::Conflict);
    }
    Ok(Attached { length: Some(length), ..attached })
}
