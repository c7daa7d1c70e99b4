//! Configuration that no bucket and no object has, read and removed.
//!
//! SDKs and provisioning tools read all of it after they made a bucket, and remove it before they delete one. Nothing of
//! it can be set here: the operations that would are answered with 501. So the answers for what was never set are true.
//!
//! **Invariant:** nothing is said before the store let the caller at the bucket or object.

use http::Extensions;
use s3s::S3Request;
use s3s::dto::{self, Grant, Grantee, Owner, Payer, Permission, Type};

use super::error::{Refusal, Result};
use super::exchange::caller;
use super::gateway::Gateway;
use super::wire;
use crate::model::bucket::Bucket;
use crate::model::caller::Who;
use crate::model::condition::Conditions;
use crate::model::object::Object;
use crate::store::request::{GetRequest, Portion};

const EVERYONE: &str = "http://acs.amazonaws.com/groups/global/AllUsers";

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
        customer_key: None,
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
    policy: GetBucketPolicyInput => GetBucketPolicyOutput =
        "NoSuchBucketPolicy", "The bucket policy does not exist";
    cors: GetBucketCorsInput => GetBucketCorsOutput =
        "NoSuchCORSConfiguration", "The CORS configuration does not exist";
    lifecycle: GetBucketLifecycleConfigurationInput => GetBucketLifecycleConfigurationOutput =
        "NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist";
    tags: GetBucketTaggingInput => GetBucketTaggingOutput =
        "NoSuchTagSet", "The TagSet does not exist";
    website: GetBucketWebsiteInput => GetBucketWebsiteOutput =
        "NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration";
    public_access: GetPublicAccessBlockInput => GetPublicAccessBlockOutput =
        "NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found";
    ownership: GetBucketOwnershipControlsInput => GetBucketOwnershipControlsOutput =
        "OwnershipControlsNotFoundError", "The bucket ownership controls were not found";
    lock: GetObjectLockConfigurationInput => GetObjectLockConfigurationOutput =
        "ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket";
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
    logging: GetBucketLoggingInput => GetBucketLoggingOutput;
    notification: GetBucketNotificationConfigurationInput => GetBucketNotificationConfigurationOutput;
    accelerate: GetBucketAccelerateConfigurationInput => GetBucketAccelerateConfigurationOutput;
    versioning: GetBucketVersioningInput => GetBucketVersioningOutput;
    no_policy: DeleteBucketPolicyInput => DeleteBucketPolicyOutput;
    no_cors: DeleteBucketCorsInput => DeleteBucketCorsOutput;
    no_lifecycle: DeleteBucketLifecycleInput => DeleteBucketLifecycleOutput;
    no_tags: DeleteBucketTaggingInput => DeleteBucketTaggingOutput;
    no_website: DeleteBucketWebsiteInput => DeleteBucketWebsiteOutput;
    no_public_access: DeletePublicAccessBlockInput => DeletePublicAccessBlockOutput;
    no_ownership: DeleteBucketOwnershipControlsInput => DeleteBucketOwnershipControlsOutput;
    no_replication: DeleteBucketReplicationInput => DeleteBucketReplicationOutput;
}

/// GetBucketRequestPayment: the owner pays.
pub(super) async fn payment(
    gateway: &Gateway,
    request: S3Request<dto::GetBucketRequestPaymentInput>,
) -> Result<dto::GetBucketRequestPaymentOutput> {
    bucket(gateway, &request.extensions, &request.input.bucket).await?;
    Ok(dto::GetBucketRequestPaymentOutput { payer: Some(Payer::from_static(Payer::BUCKET_OWNER)) })
}

/// GetObjectTagging: no tags.
pub(super) async fn object_tags(
    gateway: &Gateway,
    request: S3Request<dto::GetObjectTaggingInput>,
) -> Result<dto::GetObjectTaggingOutput> {
    wire::version(request.input.version_id.as_deref())?;
    object(gateway, &request.extensions, &request.input.bucket, &request.input.key).await?;
    Ok(dto::GetObjectTaggingOutput::default())
}

/// DeleteObjectTagging: there were none.
pub(super) async fn no_object_tags(
    gateway: &Gateway,
    request: S3Request<dto::DeleteObjectTaggingInput>,
) -> Result<dto::DeleteObjectTaggingOutput> {
    wire::version(request.input.version_id.as_deref())?;
    object(gateway, &request.extensions, &request.input.bucket, &request.input.key).await?;
    Ok(dto::DeleteObjectTaggingOutput::default())
}

/// GetObjectTorrent: no object has a torrent, whether or not it exists.
pub(super) async fn torrent(
    gateway: &Gateway,
    request: S3Request<dto::GetObjectTorrentInput>,
) -> Result<dto::GetObjectTorrentOutput> {
    object(gateway, &request.extensions, &request.input.bucket, &request.input.key).await?;
    Err(crate::store::Error::NoSuchKey.into())
}

/// GetBucketAcl: what is in force for the owner.
pub(super) async fn bucket_acl(
    gateway: &Gateway,
    request: S3Request<dto::GetBucketAclInput>,
) -> Result<dto::GetBucketAclOutput> {
    let bucket = bucket(gateway, &request.extensions, &request.input.bucket).await?;
    let (owner, grant) = owned(&bucket.owner);
    Ok(dto::GetBucketAclOutput { owner: Some(owner), grants: Some(vec![grant]) })
}

/// GetObjectAcl: what is in force for the owner, and for everyone if the bucket is public.
pub(super) async fn object_acl(
    gateway: &Gateway,
    request: S3Request<dto::GetObjectAclInput>,
) -> Result<dto::GetObjectAclOutput> {
    let dto::GetObjectAclInput { bucket: name, key, version_id, .. } = request.input;
    // Who may read a public object need not learn whose it is.
    if caller(&request.extensions).who == Who::Anonymous {
        return Err(Refusal::denied("Access Denied"));
    }
    wire::version(version_id.as_deref())?;
    let object = object(gateway, &request.extensions, &name, &key).await?;
    let bucket = bucket(gateway, &request.extensions, &name).await?;
    let (owner, grant) = owned(&object.owner);
    let mut grants = vec![grant];
    if bucket.settings.public {
        let everyone = Grantee {
            display_name: None,
            email_address: None,
            id: None,
            type_: Type::from_static(Type::GROUP),
            uri: Some(EVERYONE.to_owned()),
        };
        grants.push(Grant { grantee: Some(everyone), permission: Some(Permission::from_static(Permission::READ)) });
    }
    Ok(dto::GetObjectAclOutput { owner: Some(owner), grants: Some(grants), ..dto::GetObjectAclOutput::default() })
}

fn owned(id: &str) -> (Owner, Grant) {
    let owner = wire::owner(id);
    let grantee = Grantee {
        display_name: owner.display_name.clone(),
        email_address: None,
        id: owner.id.clone(),
        type_: Type::from_static(Type::CANONICAL_USER),
        uri: None,
    };
    let permission = Some(Permission::from_static(Permission::FULL_CONTROL));
    (owner, Grant { grantee: Some(grantee), permission })
}
