//! Configuration that no bucket and no object has, read and removed.
//!
//! SDKs and provisioning tools read all of it after they made a bucket, and remove it before they delete one. Nothing of
//! it can be set here: the operations that would are answered with 501. So the answers for what was never set are true.
//!
//! **Invariant:** nothing is said before the store let the caller at the bucket or object.

use http::Extensions;
use s3s::S3Request;
use s3s::dto;

use super::error::{Refusal, Result};
use super::exchange::caller;
use super::gateway::Gateway;
use super::wire;
use crate::model::bucket::Bucket;
use crate::model::condition::Conditions;
use crate::model::object::Object;
use crate::store::request::{GetRequest, Portion};

async fn bucket(gateway: &Gateway, extensions: &Extensions, name: &str) -> Result<Bucket> {
    Ok(gateway.store.head_bucket(&caller(extensions), &wire::bucket(name)?).await?)
}

async fn object(gateway: &Gateway, extensions: &Extensions, bucket: &str, key: &str) -> Result<Object> {
    let request = GetRequest {
        version: None,
        bucket: wire::bucket(bucket)?,
        key: wire::key(key)?,
        portion: Portion::Whole,
        conditions: Conditions::default(),
    };
    Ok(gateway.store.head(&caller(extensions), request).await?.object)
}

/// Reads that answer 404 with a code of their own.
macro_rules! absent {
    ($($name:ident: $input:ident => $output:ident = $code:literal, $message:literal;)*) => {$(
        #[doc = concat!("Answers `", $code, "`.")]
        pub(super) async fn $name(gateway: &Gateway, request: S3Request<dto::$input>) -> Result<dto::$output> {
            let name = request.input.bucket;
            bucket(gateway, &request.extensions, &name).await?;
            Err(Refusal::new(404, $code, $message).with("BucketName", name))
        }
    )*};
}

absent! {
    cors: GetBucketCorsInput => GetBucketCorsOutput =
        "NoSuchCORSConfiguration", "The CORS configuration does not exist";
    website: GetBucketWebsiteInput => GetBucketWebsiteOutput =
        "NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration";
    encryption: GetBucketEncryptionInput => GetBucketEncryptionOutput =
        "ServerSideEncryptionConfigurationNotFoundError", "The server side encryption configuration was not found";
    replication: GetBucketReplicationInput => GetBucketReplicationOutput =
        "ReplicationConfigurationNotFoundError", "The replication configuration was not found";
}

/// Reads of what is empty, and removals of what is not there.
macro_rules! nothing {
    ($($name:ident: $input:ident => $output:ident;)*) => {$(
        #[doc = concat!("Answers an empty `", stringify!($output), "`.")]
        pub(super) async fn $name(gateway: &Gateway, request: S3Request<dto::$input>) -> Result<dto::$output> {
            bucket(gateway, &request.extensions, &request.input.bucket).await?;
            Ok(dto::$output::default())
        }
    )*};
}

nothing! {
    accelerate: GetBucketAccelerateConfigurationInput => GetBucketAccelerateConfigurationOutput;
    no_cors: DeleteBucketCorsInput => DeleteBucketCorsOutput;
    no_website: DeleteBucketWebsiteInput => DeleteBucketWebsiteOutput;
    no_encryption: DeleteBucketEncryptionInput => DeleteBucketEncryptionOutput;
    no_replication: DeleteBucketReplicationInput => DeleteBucketReplicationOutput;
}

/// GetObjectTorrent: no object has a torrent, whether or not it exists.
pub(super) async fn torrent(
    gateway: &Gateway,
    request: S3Request<dto::GetObjectTorrentInput>,
) -> Result<dto::GetObjectTorrentOutput> {
    object(gateway, &request.extensions, &request.input.bucket, &request.input.key).await?;
    Err(crate::store::Error::NoSuchKey.into())
}
