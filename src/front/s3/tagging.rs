//! Tags of buckets and objects.
//!
//! **Invariant:** tags become [`Tags`], which checks them, before the store is asked; the tags of a named version are
//! another right than those of the current one.

use s3s::S3Request;
use s3s::dto::{
    DeleteBucketTaggingInput, DeleteBucketTaggingOutput, DeleteObjectTaggingInput, DeleteObjectTaggingOutput,
    GetBucketTaggingInput, GetBucketTaggingOutput, GetObjectTaggingInput, GetObjectTaggingOutput,
    PutBucketTaggingInput, PutBucketTaggingOutput, PutObjectTaggingInput, PutObjectTaggingOutput, Tag as ShownTag,
};

use super::encode::xml_safe;
use super::error::{Refusal, Result};
use super::exchange::caller;
use super::gateway::Gateway;
use super::wire;
use crate::model::action::Action;
use crate::model::object::Object;
use crate::model::tag::{BUCKET_TAGS_MAX, OBJECT_TAGS_MAX, Tag, Tags};
use crate::store::Error;
use crate::store::request::AttachedChange;

/// The tags of a body.
pub(super) fn tags(set: Vec<ShownTag>, most: usize) -> Result<Tags> {
    let tag = |tag: ShownTag| match tag {
        ShownTag { key: Some(key), value: Some(value) } => Ok(Tag { key, value }),
        ShownTag { .. } => Err(Refusal::malformed_xml()),
    };
    let tags = set.into_iter().map(tag).collect::<Result<_>>()?;
    Tags::new(tags, most).map_err(|error| Error::InvalidTag(error).into())
}

fn shown(tags: &Tags) -> Vec<ShownTag> {
    let shown = |tag: &Tag| ShownTag { key: Some(xml_safe(&tag.key)), value: Some(xml_safe(&tag.value)) };
    tags.as_slice().iter().map(shown).collect()
}

/// GetBucketTagging.
pub(super) async fn bucket(
    gateway: &Gateway,
    request: S3Request<GetBucketTaggingInput>,
) -> Result<GetBucketTaggingOutput> {
    let (caller, name) = (caller(&request.extensions), wire::bucket(&request.input.bucket)?);
    let bucket = gateway.store.config(&caller, &name, Action::GetBucketTagging).await?;
    if bucket.config.tags.is_empty() {
        return Err(
            Refusal::new(404, "NoSuchTagSet", "The TagSet does not exist").with("BucketName", request.input.bucket)
        );
    }
    Ok(GetBucketTaggingOutput { tag_set: shown(&bucket.config.tags) })
}

/// PutBucketTagging.
pub(super) async fn set_bucket(
    gateway: &Gateway,
    request: S3Request<PutBucketTaggingInput>,
) -> Result<PutBucketTaggingOutput> {
    let (caller, name) = (caller(&request.extensions), wire::bucket(&request.input.bucket)?);
    let tags = tags(request.input.tagging.tag_set, BUCKET_TAGS_MAX)?;
    gateway.store.set_bucket_tags(&caller, &name, tags).await?;
    Ok(PutBucketTaggingOutput {})
}

/// DeleteBucketTagging.
pub(super) async fn delete_bucket(
    gateway: &Gateway,
    request: S3Request<DeleteBucketTaggingInput>,
) -> Result<DeleteBucketTaggingOutput> {
    let (caller, name) = (caller(&request.extensions), wire::bucket(&request.input.bucket)?);
    gateway.store.set_bucket_tags(&caller, &name, Tags::default()).await?;
    Ok(DeleteBucketTaggingOutput {})
}

/// The id of a version, where versions have ids.
fn version_id(object: &Object) -> Option<String> {
    (!object.null).then(|| object.shown().to_string())
}

/// GetObjectTagging.
pub(super) async fn object(
    gateway: &Gateway,
    request: S3Request<GetObjectTaggingInput>,
) -> Result<GetObjectTaggingOutput> {
    let S3Request { input, extensions, .. } = request;
    let (bucket, key) = (wire::bucket(&input.bucket)?, wire::key(&input.key)?);
    let version = wire::version(input.version_id.as_deref())?;
    let action = if version.is_some() { Action::GetObjectVersionTagging } else { Action::GetObjectTagging };
    let object = gateway.store.attached(&caller(&extensions), action, &bucket, &key, version).await?;
    Ok(GetObjectTaggingOutput { tag_set: shown(&object.attached.tags), version_id: version_id(&object) })
}

/// PutObjectTagging.
pub(super) async fn set_object(
    gateway: &Gateway,
    request: S3Request<PutObjectTaggingInput>,
) -> Result<PutObjectTaggingOutput> {
    let S3Request { input, extensions, .. } = request;
    let (bucket, key) = (wire::bucket(&input.bucket)?, wire::key(&input.key)?);
    let version = wire::version(input.version_id.as_deref())?;
    let action = if version.is_some() { Action::PutObjectVersionTagging } else { Action::PutObjectTagging };
    let change = AttachedChange::Tags(tags(input.tagging.tag_set, OBJECT_TAGS_MAX)?);
    let caller = caller(&extensions);
    let object = gateway.store.set_attached(&caller, action, &bucket, &key, version, change, false).await?;
    Ok(PutObjectTaggingOutput { version_id: version_id(&object) })
}

/// DeleteObjectTagging.
pub(super) async fn delete_object(
    gateway: &Gateway,
    request: S3Request<DeleteObjectTaggingInput>,
) -> Result<DeleteObjectTaggingOutput> {
    let S3Request { input, extensions, .. } = request;
    let (bucket, key) = (wire::bucket(&input.bucket)?, wire::key(&input.key)?);
    let version = wire::version(input.version_id.as_deref())?;
    let action = if version.is_some() { Action::DeleteObjectVersionTagging } else { Action::DeleteObjectTagging };
    let change = AttachedChange::Tags(Tags::default());
    let caller = caller(&extensions);
    let object = gateway.store.set_attached(&caller, action, &bucket, &key, version, change, false).await?;
    Ok(DeleteObjectTaggingOutput { version_id: version_id(&object) })
}
