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
use crate::model::action::Action;
use crate::model::bucket::Bucket;
use crate::model::condition::Conditions;
use crate::model::object::Object;
use crate::store::request::{GetRequest, Portion};

/// Each part of the configuration has a right of its own, also where there is nothing of it.
async fn bucket(gateway: &Gateway, extensions: &Extensions, name: &str, action: Action) -> Result<Bucket> {
    Ok(gateway.store.config(&caller(extensions), &wire::bucket(name)?, action).await?)
}

async fn object(gateway: &Gateway, extensions: &Extensions, bucket: &str, key: &str) -> Result<Object> {
    let request = GetRequest {
        version: None,
        bucket: wire::bucket(bucket)?,
        key: wire::key(key)?,
        portion: Portion::Whole,
        conditions: Conditions::default(),
        if_range: None,
        customer_key: None,
    };
    Ok(gateway.store.torrent(&caller(extensions), request).await?.object)
}

/// Reads that answer 404 with a code of their own.
macro_rules! absent {
    ($($name:ident by $action:ident: $input:ident => $output:ident = $code:literal, $message:literal;)*) => {$(
        #[doc = concat!("Answers `", $code, "`.")]
        pub(super) async fn $name(gateway: &Gateway, request: S3Request<dto::$input>) -> Result<dto::$output> {
            let name = request.input.bucket;
            bucket(gateway, &request.extensions, &name, Action::$action).await?;
            Err(Refusal::new(404, $code, $message).with("BucketName", name))
        }
    )*};
}

absent! {
    replication by GetReplicationConfiguration: GetBucketReplicationInput => GetBucketReplicationOutput =
        "ReplicationConfigurationNotFoundError", "The replication configuration was not found";
}

/// Reads of what is empty, and removals of what is not there.
macro_rules! nothing {
    ($($name:ident by $action:ident: $input:ident => $output:ident;)*) => {$(
        #[doc = concat!("Answers an empty `", stringify!($output), "`.")]
        pub(super) async fn $name(gateway: &Gateway, request: S3Request<dto::$input>) -> Result<dto::$output> {
            bucket(gateway, &request.extensions, &request.input.bucket, Action::$action).await?;
            Ok(dto::$output::default())
        }
    )*};
}

nothing! {
    accelerate by GetAccelerateConfiguration: GetBucketAccelerateConfigurationInput => GetBucketAccelerateConfigurationOutput;
    no_replication by PutReplicationConfiguration: DeleteBucketReplicationInput => DeleteBucketReplicationOutput;
}

/// GetObjectTorrent: no object has a torrent, whether or not it exists.
pub(super) async fn torrent(
    gateway: &Gateway,
    request: S3Request<dto::GetObjectTorrentInput>,
) -> Result<dto::GetObjectTorrentOutput> {
    object(gateway, &request.extensions, &request.input.bucket, &request.input.key).await?;
    Err(crate::store::Error::NoSuchKey.into())
}
