//! The one door to data: it authorizes, then acts.
//!
//! **Invariant:** every effect follows exactly one decision of [`crate::auth::decide`], taken before any provider call;
//! only a commit of the catalog decides what an object is; each step owed after it is in the outbox.

use crate::model::bucket::{Bucket, BucketSettings};
use crate::model::caller::Caller;
use crate::model::name::BucketName;
use crate::model::object::{Entry, Object};
use crate::model::page::{Page, PageQuery};
use crate::store::request::*;

pub mod error;
pub mod request;

pub use error::{BodyError, Error, Result};

/// The store.
#[derive(Debug, Clone)]
pub struct Store {}

#[allow(unused_variables, clippy::unused_async, missing_docs, clippy::unimplemented)]
impl Store {
    /// Finds the caller of an access key whose signature was verified. Unknown: `None`.
    pub async fn caller_of(&self, access_key: &str) -> Result<Option<Caller>> {
        unimplemented!()
    }
    /// The secret of an access key, for verification of a signature. Unknown: `None`.
    pub async fn secret_of(&self, access_key: &str) -> Result<Option<crate::auth::secret::Secret>> {
        unimplemented!()
    }
    pub async fn list_buckets(&self, caller: &Caller, query: BucketQuery) -> Result<BucketPage> {
        unimplemented!()
    }
    pub async fn create_bucket(&self, caller: &Caller, name: &BucketName) -> Result<Bucket> {
        unimplemented!()
    }
    pub async fn head_bucket(&self, caller: &Caller, name: &BucketName) -> Result<Bucket> {
        unimplemented!()
    }
    pub async fn bucket_location(&self, caller: &Caller, name: &BucketName) -> Result<Bucket> {
        unimplemented!()
    }
    pub async fn delete_bucket(&self, caller: &Caller, name: &BucketName) -> Result<()> {
        unimplemented!()
    }
    pub async fn set_bucket(&self, caller: &Caller, name: &BucketName, settings: BucketSettings) -> Result<()> {
        unimplemented!()
    }
    pub async fn put(&self, caller: &Caller, request: PutRequest) -> Result<Object> {
        unimplemented!()
    }
    pub async fn get(&self, caller: &Caller, request: GetRequest) -> Result<FoundBody> {
        unimplemented!()
    }
    /// As get without the bytes (HEAD).
    pub async fn head(&self, caller: &Caller, request: GetRequest) -> Result<Found> {
        unimplemented!()
    }
    /// As head, under the action GetObjectAttributes.
    pub async fn attributes(&self, caller: &Caller, request: GetRequest) -> Result<Found> {
        unimplemented!()
    }
    pub async fn delete(&self, caller: &Caller, request: DeleteRequest) -> Result<()> {
        unimplemented!()
    }
    pub async fn copy(&self, caller: &Caller, request: CopyRequest) -> Result<Object> {
        unimplemented!()
    }
    pub async fn list(&self, caller: &Caller, bucket: &BucketName, query: PageQuery) -> Result<Page<Entry>> {
        unimplemented!()
    }
    /// As list, under the action ListBucketVersions.
    pub async fn list_versions(&self, caller: &Caller, bucket: &BucketName, query: PageQuery) -> Result<Page<Entry>> {
        unimplemented!()
    }
    pub async fn create_upload(&self, caller: &Caller, request: CreateUpload) -> Result<crate::model::id::UploadId> {
        unimplemented!()
    }
    pub async fn upload_part(
        &self,
        caller: &Caller,
        upload: &UploadRef,
        number: u32,
        body: Incoming,
    ) -> Result<PartStored> {
        unimplemented!()
    }
    pub async fn copy_part(
        &self,
        caller: &Caller,
        upload: &UploadRef,
        number: u32,
        from: PartCopy,
    ) -> Result<PartStored> {
        unimplemented!()
    }
    /// The upload itself (its announced checksum), for a caller who may write parts to it.
    pub async fn upload(&self, caller: &Caller, upload: &UploadRef) -> Result<crate::model::upload::Upload> {
        unimplemented!()
    }
    pub async fn complete_upload(&self, caller: &Caller, request: CompleteRequest) -> Result<Completed> {
        unimplemented!()
    }
    pub async fn abort_upload(&self, caller: &Caller, upload: &UploadRef) -> Result<()> {
        unimplemented!()
    }
    pub async fn list_parts(&self, caller: &Caller, upload: &UploadRef, after: u32, limit: usize) -> Result<PartPage> {
        unimplemented!()
    }
    pub async fn list_uploads(&self, caller: &Caller, bucket: &BucketName, query: UploadQuery) -> Result<UploadPage> {
        unimplemented!()
    }
    /// Walks one bucket; administrators only.
    pub async fn scan(&self, caller: &Caller, bucket: &BucketName, options: ScanOptions) -> Result<ScanReport> {
        unimplemented!()
    }
}
