//! Buckets: list, create, head, delete, and the small questions every client asks of one.
//!
//! **Invariant:** only a name that Amazon allows is made here, while every name of the model is served. A token of a
//! list is a position and no right: what a page shows is decided anew.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as TOKEN;
use s3s::S3Request;
use s3s::dto::{
    Bucket as Listed, BucketLocationConstraint, CreateBucketInput, CreateBucketOutput, DeleteBucketInput,
    DeleteBucketOutput, GetBucketLocationInput, GetBucketLocationOutput, HeadBucketInput, HeadBucketOutput,
    ListBucketsInput, ListBucketsOutput, Owner,
};

use super::encode::xml_safe;
use super::error::{Refusal, Result};
use super::exchange::caller;
use super::gateway::Gateway;
use super::{bucket_config::ownership_named, given, tagging, wire};
use crate::config::limits::LIST_BUCKETS_MAX;
use crate::model::bucket::BucketConfig;
use crate::model::lock::LockConfig;
use crate::model::tag::BUCKET_TAGS_MAX;
use crate::model::versioning::Versioning;
use crate::store::Error;
use crate::store::request::{BucketQuery, CreateBucket};

/// The region whose buckets have no location constraint.
pub const FIRST_REGION: &str = "us-east-1";

/// ListBuckets.
pub(super) async fn list(gateway: &Gateway, request: S3Request<ListBucketsInput>) -> Result<ListBucketsOutput> {
    let caller = caller(&request.extensions);
    let input = request.input;
    let limit = match input.max_buckets {
        None => LIST_BUCKETS_MAX,
        Some(n) => usize::try_from(n).ok().filter(|n| (1..=LIST_BUCKETS_MAX).contains(n)).ok_or_else(|| {
            Refusal::argument(
                "max-buckets",
                &n.to_string(),
                "Argument max-buckets must be an integer between 1 and 10000",
            )
        })?,
    };
    let after = match input.continuation_token.as_deref() {
        None | Some("") => None,
        Some(token) => Some(read_token(token)?),
    };
    let query = BucketQuery { prefix: input.prefix.clone().unwrap_or_default(), after, limit };
    let mut page = gateway.store.list_buckets(&caller, query).await?;
    if input.bucket_region.is_some_and(|region| region != gateway.region) {
        page = crate::store::request::BucketPage::default();
    }
    let buckets = page.buckets.into_iter().map(|bucket| Listed {
        name: Some(bucket.name.as_str().to_owned()),
        creation_date: Some(wire::time(bucket.created)),
        bucket_region: Some(gateway.region.clone()),
        ..Listed::default()
    });
    Ok(ListBucketsOutput {
        buckets: Some(buckets.collect()),
        continuation_token: page.next.as_deref().map(token),
        owner: Some(Owner { id: Some(caller.id().to_owned()), display_name: Some(caller.display_name().to_owned()) }),
        prefix: input.prefix.as_deref().map(xml_safe),
    })
}

/// An opaque token for the position after a name.
pub(super) fn token(after: &str) -> String {
    TOKEN.encode(after)
}

/// The position of a token.
pub(super) fn read_token(token: &str) -> Result<String> {
    let text = TOKEN.decode(token).ok().and_then(|raw| String::from_utf8(raw).ok());
    text.ok_or_else(|| Refusal::argument("continuation-token", token, "The continuation token provided is incorrect"))
}

/// CreateBucket.
pub(super) async fn create(gateway: &Gateway, request: S3Request<CreateBucketInput>) -> Result<CreateBucketOutput> {
    let caller = caller(&request.extensions);
    let input = request.input;
    let name = wire::bucket(&input.bucket)?;
    if !name.is_aws() {
        return Err(Refusal::new(400, "InvalidBucketName", "The specified bucket is not valid."));
    }
    let mut made = BucketConfig::default();
    if let Some(name) = &input.object_ownership {
        let unknown =
            || Refusal::argument("x-amz-object-ownership", name.as_str(), "Invalid x-amz-object-ownership header");
        made.ownership = Some(ownership_named(name).ok_or_else(unknown)?);
    }
    if input.object_lock_enabled_for_bucket == Some(true) {
        (made.versioning, made.lock) = (Versioning::Enabled, Some(LockConfig::default()));
    }
    let mut provider = None;
    if let Some(config) = input.create_bucket_configuration {
        if config.bucket.is_some() || config.location.is_some() {
            return Err(Refusal::not_implemented("A directory bucket"));
        }
        made.tags = tagging::tags(config.tags.unwrap_or_default(), BUCKET_TAGS_MAX)?;
        let constraint = config.location_constraint.as_ref().map_or("", BucketLocationConstraint::as_str);
        if gateway.store.has_provider(constraint) {
            provider = Some(constraint.to_owned());
        } else if !constraint.is_empty() && constraint != gateway.region {
            return Err(Refusal::new(
                400,
                "InvalidLocationConstraint",
                "The specified location-constraint is not valid",
            )
            .with("LocationConstraint", constraint));
        }
    }
    let request = CreateBucket { acl: given::acl(&request.headers)?, config: made, provider, public: false };
    match gateway.store.create_bucket(&caller, &name, request).await {
        Ok(_) => {}
        // The first region answers a repetition as it answered the first time.
        Err(Error::BucketOwned) if gateway.region == FIRST_REGION => {}
        Err(error) => return Err(error.into()),
    }
    Ok(CreateBucketOutput { location: Some(format!("/{name}")), ..CreateBucketOutput::default() })
}

/// HeadBucket.
pub(super) async fn head(gateway: &Gateway, request: S3Request<HeadBucketInput>) -> Result<HeadBucketOutput> {
    let caller = caller(&request.extensions);
    gateway.store.head_bucket(&caller, &wire::bucket(&request.input.bucket)?).await?;
    Ok(HeadBucketOutput { bucket_region: Some(gateway.region.clone()), ..HeadBucketOutput::default() })
}

/// DeleteBucket.
pub(super) async fn delete(gateway: &Gateway, request: S3Request<DeleteBucketInput>) -> Result<DeleteBucketOutput> {
    let caller = caller(&request.extensions);
    gateway.store.delete_bucket(&caller, &wire::bucket(&request.input.bucket)?).await?;
    Ok(DeleteBucketOutput::default())
}

/// GetBucketLocation: the provider, which is what was asked for; on the default one, the region.
pub(super) async fn location(
    gateway: &Gateway,
    request: S3Request<GetBucketLocationInput>,
) -> Result<GetBucketLocationOutput> {
    let caller = caller(&request.extensions);
    let bucket = gateway.store.bucket_location(&caller, &wire::bucket(&request.input.bucket)?).await?;
    let location = if bucket.provider == gateway.store.default_provider_name() {
        Some(gateway.region.clone()).filter(|region| region != FIRST_REGION)
    } else {
        Some(bucket.provider)
    };
    Ok(GetBucketLocationOutput { location_constraint: location.map(BucketLocationConstraint::from) })
}
