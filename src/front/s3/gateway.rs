//! The operations that s3s calls, each one line away from the function that serves it.
//!
//! What is not in the table is answered by s3s with 501.
//!
//! **Invariant:** what is in the table is what [`super::operation`] has as built: the gate refuses an operation that is
//! only here. Each refusal is left in the [`Exchange`], so the client is told ours and not that of s3s.

use s3s::{S3, S3Request, S3Response, S3Result};

use super::error::Result;
use super::exchange::Exchange;
use super::host::Hosts;
use super::{
    acl, bucket, bucket_config, copy, cors, delete, lifecycle, list, lock, logging, multipart, notification, object,
    sse, tagging, unset, website,
};
use crate::model::name::BucketName;
use crate::model::versioning::VersionRef;
use crate::store::Store;

/// What the operations need.
#[derive(Debug, Clone)]
pub(super) struct Gateway {
    /// The data.
    pub(super) store: Store,
    /// The region of every bucket.
    pub(super) region: String,
    /// The domains that name buckets.
    pub(super) hosts: Hosts,
    /// The path below which it is served; empty: at the root.
    pub(super) base: &'static str,
}

impl Gateway {
    /// The id of a version, as an answer shows it: not where the bucket never kept any.
    pub(super) async fn shown_version(&self, bucket: &BucketName, version: VersionRef) -> Result<Option<String>> {
        Ok(self.store.keeps_versions(bucket).await?.then(|| version.to_string()))
    }

    /// The id of a version that was written: not where versioning is suspended, as the next write replaces it.
    pub(super) async fn written_version(&self, bucket: &BucketName, version: VersionRef) -> Result<Option<String>> {
        if version == VersionRef::Null {
            return Ok(None);
        }
        self.shown_version(bucket, version).await
    }
}

macro_rules! operations {
    ($($name:ident: $input:ident => $output:ident = $serve:path;)*) => {
        #[async_trait::async_trait]
        impl S3 for Gateway {
            $(
                async fn $name(
                    &self,
                    request: S3Request<s3s::dto::$input>,
                ) -> S3Result<S3Response<s3s::dto::$output>> {
                    let exchange = Exchange::of(&request.extensions);
                    let served = $serve(self, request).await;
                    served.map(S3Response::new).map_err(|refusal| exchange.refuse(refusal))
                }
            )*
        }
    };
}

operations! {
    list_buckets: ListBucketsInput => ListBucketsOutput = bucket::list;
    create_bucket: CreateBucketInput => CreateBucketOutput = bucket::create;
    head_bucket: HeadBucketInput => HeadBucketOutput = bucket::head;
    delete_bucket: DeleteBucketInput => DeleteBucketOutput = bucket::delete;
    get_bucket_location: GetBucketLocationInput => GetBucketLocationOutput = bucket::location;
    get_bucket_versioning: GetBucketVersioningInput => GetBucketVersioningOutput = bucket_config::versioning;
    put_bucket_encryption: PutBucketEncryptionInput => PutBucketEncryptionOutput = sse::put_default;
    put_object: PutObjectInput => PutObjectOutput = object::put;
    get_object: GetObjectInput => GetObjectOutput = object::get;
    head_object: HeadObjectInput => HeadObjectOutput = object::head;
    delete_object: DeleteObjectInput => DeleteObjectOutput = object::delete;
    delete_objects: DeleteObjectsInput => DeleteObjectsOutput = delete::run;
    get_object_attributes: GetObjectAttributesInput => GetObjectAttributesOutput = object::attributes;
    copy_object: CopyObjectInput => CopyObjectOutput = copy::object;
    list_objects: ListObjectsInput => ListObjectsOutput = list::v1;
    list_objects_v2: ListObjectsV2Input => ListObjectsV2Output = list::v2;
    list_object_versions: ListObjectVersionsInput => ListObjectVersionsOutput = list::versions;
    create_multipart_upload: CreateMultipartUploadInput => CreateMultipartUploadOutput = multipart::create;
    upload_part: UploadPartInput => UploadPartOutput = multipart::upload_part;
    upload_part_copy: UploadPartCopyInput => UploadPartCopyOutput = copy::part;
    complete_multipart_upload: CompleteMultipartUploadInput => CompleteMultipartUploadOutput = multipart::complete;
    abort_multipart_upload: AbortMultipartUploadInput => AbortMultipartUploadOutput = multipart::abort;
    list_parts: ListPartsInput => ListPartsOutput = multipart::list_parts;
    list_multipart_uploads: ListMultipartUploadsInput => ListMultipartUploadsOutput = multipart::list_uploads;
    get_bucket_accelerate_configuration:
        GetBucketAccelerateConfigurationInput => GetBucketAccelerateConfigurationOutput = unset::accelerate;
    get_bucket_acl: GetBucketAclInput => GetBucketAclOutput = acl::bucket;
    get_bucket_cors: GetBucketCorsInput => GetBucketCorsOutput = cors::get;
    put_bucket_cors: PutBucketCorsInput => PutBucketCorsOutput = cors::put;
    get_bucket_encryption: GetBucketEncryptionInput => GetBucketEncryptionOutput = sse::get_default;
    get_bucket_lifecycle_configuration:
        GetBucketLifecycleConfigurationInput => GetBucketLifecycleConfigurationOutput = lifecycle::get;
    put_bucket_lifecycle_configuration:
        PutBucketLifecycleConfigurationInput => PutBucketLifecycleConfigurationOutput = lifecycle::put;
    get_bucket_logging: GetBucketLoggingInput => GetBucketLoggingOutput = logging::get;
    put_bucket_logging: PutBucketLoggingInput => PutBucketLoggingOutput = logging::put;
    get_bucket_notification_configuration:
        GetBucketNotificationConfigurationInput => GetBucketNotificationConfigurationOutput = notification::get;
    put_bucket_notification_configuration:
        PutBucketNotificationConfigurationInput => PutBucketNotificationConfigurationOutput = notification::put;
    get_bucket_ownership_controls:
        GetBucketOwnershipControlsInput => GetBucketOwnershipControlsOutput = bucket_config::ownership;
    get_bucket_policy: GetBucketPolicyInput => GetBucketPolicyOutput = bucket_config::policy;
    get_bucket_replication: GetBucketReplicationInput => GetBucketReplicationOutput = unset::replication;
    get_bucket_request_payment: GetBucketRequestPaymentInput => GetBucketRequestPaymentOutput = bucket_config::payment;
    get_bucket_tagging: GetBucketTaggingInput => GetBucketTaggingOutput = tagging::bucket;
    get_bucket_website: GetBucketWebsiteInput => GetBucketWebsiteOutput = website::get;
    put_bucket_website: PutBucketWebsiteInput => PutBucketWebsiteOutput = website::put;
    get_object_acl: GetObjectAclInput => GetObjectAclOutput = acl::object;
    get_object_lock_configuration: GetObjectLockConfigurationInput => GetObjectLockConfigurationOutput = lock::config;
    get_object_tagging: GetObjectTaggingInput => GetObjectTaggingOutput = tagging::object;
    get_object_torrent: GetObjectTorrentInput => GetObjectTorrentOutput = unset::torrent;
    get_public_access_block: GetPublicAccessBlockInput => GetPublicAccessBlockOutput = bucket_config::public_access;
    delete_bucket_cors: DeleteBucketCorsInput => DeleteBucketCorsOutput = cors::delete;
    delete_bucket_encryption: DeleteBucketEncryptionInput => DeleteBucketEncryptionOutput = sse::delete_default;
    delete_bucket_lifecycle: DeleteBucketLifecycleInput => DeleteBucketLifecycleOutput = lifecycle::delete;
    delete_bucket_ownership_controls:
        DeleteBucketOwnershipControlsInput => DeleteBucketOwnershipControlsOutput = bucket_config::delete_ownership;
    delete_bucket_policy: DeleteBucketPolicyInput => DeleteBucketPolicyOutput = bucket_config::delete_policy;
    delete_bucket_replication: DeleteBucketReplicationInput => DeleteBucketReplicationOutput = unset::no_replication;
    delete_bucket_tagging: DeleteBucketTaggingInput => DeleteBucketTaggingOutput = tagging::delete_bucket;
    delete_bucket_website: DeleteBucketWebsiteInput => DeleteBucketWebsiteOutput = website::delete;
    delete_object_tagging: DeleteObjectTaggingInput => DeleteObjectTaggingOutput = tagging::delete_object;
    delete_public_access_block:
        DeletePublicAccessBlockInput => DeletePublicAccessBlockOutput = bucket_config::delete_public_access;
    put_bucket_versioning: PutBucketVersioningInput => PutBucketVersioningOutput = bucket_config::set_versioning;
    put_object_lock_configuration: PutObjectLockConfigurationInput => PutObjectLockConfigurationOutput = lock::set_config;
    put_bucket_tagging: PutBucketTaggingInput => PutBucketTaggingOutput = tagging::set_bucket;
    put_bucket_policy: PutBucketPolicyInput => PutBucketPolicyOutput = bucket_config::set_policy;
    get_bucket_policy_status: GetBucketPolicyStatusInput => GetBucketPolicyStatusOutput = bucket_config::policy_status;
    put_public_access_block: PutPublicAccessBlockInput => PutPublicAccessBlockOutput = bucket_config::set_public_access;
    put_bucket_ownership_controls: PutBucketOwnershipControlsInput => PutBucketOwnershipControlsOutput = bucket_config::set_ownership;
    put_bucket_acl: PutBucketAclInput => PutBucketAclOutput = acl::set_bucket;
    put_bucket_request_payment: PutBucketRequestPaymentInput => PutBucketRequestPaymentOutput = bucket_config::set_payment;
    put_object_acl: PutObjectAclInput => PutObjectAclOutput = acl::set_object;
    put_object_tagging: PutObjectTaggingInput => PutObjectTaggingOutput = tagging::set_object;
    get_object_retention: GetObjectRetentionInput => GetObjectRetentionOutput = lock::retention;
    put_object_retention: PutObjectRetentionInput => PutObjectRetentionOutput = lock::set_retention;
    get_object_legal_hold: GetObjectLegalHoldInput => GetObjectLegalHoldOutput = lock::legal_hold;
    put_object_legal_hold: PutObjectLegalHoldInput => PutObjectLegalHoldOutput = lock::set_legal_hold;
}
