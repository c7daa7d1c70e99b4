//! DeleteObjects: many keys, each decided on its own.
//!
//! **Invariant:** the answer has one entry for each key asked for, in that order; a key that cannot be read is an error
//! of its own and deletes nothing.

use futures_util::{StreamExt as _, stream};
use s3s::S3Request;
use s3s::dto::{DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, Error as KeyError, ObjectIdentifier};

use super::encode::xml_safe;
use super::error::{Refusal, Result};
use super::exchange::{Exchange, caller};
use super::gateway::Gateway;
use super::object::size_of;
use super::wire;
use crate::config::limits::DELETE_KEYS_MAX;
use crate::model::caller::Caller;
use crate::model::condition::{Conditions, TagMatch};
use crate::model::name::BucketName;
use crate::store::request::{DeleteRequest, Deletion};

/// Deletions of one request under way at a time.
const AT_A_TIME: usize = 16;

/// DeleteObjects.
pub(super) async fn run(gateway: &Gateway, request: S3Request<DeleteObjectsInput>) -> Result<DeleteObjectsOutput> {
    let exchange = Exchange::of(&request.extensions);
    let caller = caller(&request.extensions);
    let bucket = wire::bucket(&request.input.bucket)?;
    let delete = request.input.delete;
    // An empty key is also what s3s makes of one in a CDATA section: it deletes nothing, and says so.
    if delete.objects.is_empty() || delete.objects.len() > DELETE_KEYS_MAX {
        return Err(Refusal::malformed_xml());
    }
    let quiet = delete.quiet.unwrap_or(false);
    let bypass = request.input.bypass_governance_retention.unwrap_or(false);
    let (caller, bucket) = (&caller, &bucket);
    let mut answers = stream::iter(delete.objects)
        .map(|named| async move {
            let (key, version) = (named.key.clone(), named.version_id.clone());
            (key, version, one(gateway, caller, bucket, named, bypass).await)
        })
        .buffered(AT_A_TIME);
    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    while let Some((key, version_id, outcome)) = answers.next().await {
        let key = Some(xml_safe(&key));
        match outcome {
            Ok(_) if quiet => {}
            Ok(deletion) => deleted.push(DeletedObject {
                key,
                delete_marker: deletion.marker.then_some(true),
                delete_marker_version_id: deletion.version.filter(|_| deletion.marker).map(|v| v.to_string()),
                version_id,
            }),
            // The bucket is missing for every key, and the client asked about the bucket.
            Err(refusal) if refusal.code == "NoSuchBucket" => return Err(refusal),
            Err(refusal) => {
                if let Some(cause) = refusal.cause_text() {
                    tracing::error!(request = exchange.facts().id().as_str(), cause, "a key was not deleted");
                }
                errors.push(KeyError {
                    key,
                    version_id: version_id.as_deref().map(xml_safe),
                    code: Some(refusal.code.into_owned()),
                    message: Some(refusal.message.into_owned()),
                });
            }
        }
    }
    Ok(DeleteObjectsOutput { deleted: Some(deleted), errors: Some(errors), ..DeleteObjectsOutput::default() })
}

async fn one(
    gateway: &Gateway,
    caller: &Caller,
    bucket: &BucketName,
    named: ObjectIdentifier,
    bypass: bool,
) -> Result<Deletion> {
    let conditions = Conditions {
        if_match: named.e_tag.map(|tag| TagMatch::parse(tag.value())),
        if_size: named.size.map(|size| size_of("Size", size)).transpose()?,
        if_last_modified: named.last_modified_time.map(wire::moment),
        ..Conditions::default()
    };
    let request = DeleteRequest {
        version: wire::version(named.version_id.as_deref())?,
        bypass_governance: bypass,
        bucket: bucket.clone(),
        key: wire::key(&named.key)?,
        conditions,
    };
    Ok(gateway.store.delete(caller, request).await?)
}
