//! The operations that s3s calls, each one line away from the function that serves it.
//!
//! What is not in the table is answered by s3s with 501.

use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput, CompleteMultipartUploadOutput,
    CopyObjectInput, CopyObjectOutput, CreateBucketInput, CreateBucketOutput, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, DeleteBucketInput, DeleteBucketOutput, DeleteObjectInput, DeleteObjectOutput,
    DeleteObjectsInput, DeleteObjectsOutput, GetBucketLocationInput, GetBucketLocationOutput, GetBucketVersioningInput,
    GetBucketVersioningOutput, GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectInput, GetObjectOutput,
    HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListBucketsInput, ListBucketsOutput,
    ListMultipartUploadsInput, ListMultipartUploadsOutput, ListObjectVersionsInput, ListObjectVersionsOutput,
    ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, ListPartsInput, ListPartsOutput,
    PutObjectInput, PutObjectOutput, UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput, UploadPartOutput,
};
use s3s::{S3, S3Request, S3Response, S3Result};

use super::exchange::Exchange;
use super::host::Hosts;
use super::{bucket, copy, delete, list, multipart, object};
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
}

macro_rules! operations {
    ($($name:ident: $input:ident => $output:ident = $serve:path;)*) => {
        #[async_trait::async_trait]
        impl S3 for Gateway {
            $(
                async fn $name(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
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
    get_bucket_versioning: GetBucketVersioningInput => GetBucketVersioningOutput = bucket::versioning;
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
}
