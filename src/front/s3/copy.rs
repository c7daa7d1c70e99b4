//! Copies within the server: whole objects, and parts of uploads.
//!
//! **Invariant:** the source is decoded once, from the header as the client sent it, and its names pass the checks of
//! the names of a request. The store decides about exactly these, and so do conditions of policies.

use http::{Extensions, HeaderMap};
use percent_encoding::percent_decode_str;
use s3s::S3Request;
use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopyPartResult, MetadataDirective, TaggingDirective,
    Timestamp, UploadPartCopyInput, UploadPartCopyOutput,
};

use super::access::owned_by;
use super::error::{Refusal, Result};
use super::exchange::caller;
use super::gateway::Gateway;
use super::object::checksum_type;
use super::rewrite::SourceHeader;
use super::wire::{self, show_checksum};
use super::{content, declared, given, lifecycle, sse};
use crate::model::condition::Conditions;
use crate::model::encryption::EncryptionRequest;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::Object;
use crate::model::versioning::VersionRef;
use crate::store::request::{Copied, CopyContent, CopyRequest, PartCopy, UploadRef};

/// What is copied.
struct Source {
    bucket: BucketName,
    key: ObjectKey,
    version: Option<VersionRef>,
}

/// Reads `x-amz-copy-source` as it was sent: the names are percent-decoded once, the version stands outside.
fn source(headers: &HeaderMap, extensions: &Extensions) -> Result<Source> {
    let sent = extensions.get::<SourceHeader>().map(|source| &source.0).or_else(|| headers.get("x-amz-copy-source"));
    parse(sent.and_then(|value| value.to_str().ok()).unwrap_or_default())
}

/// `bucket/key` as a copy source names it, decoded, and the text of its version; `None`: it cannot be decoded.
pub(super) fn named(sent: &str) -> Option<(String, Option<&str>)> {
    let (path, version) = match sent.split_once("?versionId=") {
        Some((path, version)) => (path, Some(version)),
        None => (sent, None),
    };
    // A plus is a space here, as in a query: clients that mean a plus send %2B, and some escape spaces so.
    let path = path.replace('+', " ");
    let path = percent_decode_str(&path).decode_utf8().ok()?;
    Some((path.strip_prefix('/').unwrap_or(&path).to_owned(), version))
}

fn parse(sent: &str) -> Result<Source> {
    let invalid = || {
        Refusal::argument(
            "x-amz-copy-source",
            sent,
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
        )
    };
    let (path, version) = named(sent).ok_or_else(invalid)?;
    if path.starts_with("arn:") {
        return Err(Refusal::not_implemented("A copy from an access point"));
    }
    let (bucket, key) = path.split_once('/').ok_or_else(invalid)?;
    let source = Source {
        bucket: BucketName::new(bucket).map_err(|_| invalid())?,
        key: ObjectKey::new(key).map_err(|_| invalid())?,
        version: wire::version(version)?,
    };
    Ok(source)
}

fn source_conditions(headers: &HeaderMap, since: Option<Timestamp>, until: Option<Timestamp>) -> Conditions {
    Conditions {
        if_modified_since: since.map(wire::moment),
        if_unmodified_since: until.map(wire::moment),
        ..wire::tag_conditions(headers, "x-amz-copy-source-if-match", "x-amz-copy-source-if-none-match")
    }
}

async fn source_owner(gateway: &Gateway, source: &Source, expected: Option<&str>) -> Result<()> {
    match expected {
        Some(expected) => owned_by(&gateway.store, source.bucket.as_str(), expected.as_bytes()).await,
        None => Ok(()),
    }
}

/// CopyObject.
pub(super) async fn object(gateway: &Gateway, request: S3Request<CopyObjectInput>) -> Result<CopyObjectOutput> {
    let S3Request { input, headers, extensions, .. } = request;
    let caller = caller(&extensions);
    let source = source(&headers, &extensions)?;
    let (bucket, key) = (wire::bucket(&input.bucket)?, wire::key(&input.key)?);
    source_owner(gateway, &source, input.expected_source_bucket_owner.as_deref()).await?;
    let keep_tags = match input.tagging_directive.as_ref().map(TaggingDirective::as_str) {
        None | Some(TaggingDirective::COPY) => true,
        Some(TaggingDirective::REPLACE) => false,
        Some(other) => {
            return Err(Refusal::argument("x-amz-tagging-directive", other, "Unknown tagging directive."));
        }
    };
    let source_conditions =
        source_conditions(&headers, input.copy_source_if_modified_since, input.copy_source_if_unmodified_since);
    let (given, source_key) = (given::of(&headers)?, sse::source_key(&headers)?);
    let asked = content::of(&headers, input.metadata)?;
    let changes =
        asked.storage_class.is_some() || asked.redirect.is_some() || headers.contains_key("x-amz-storage-class");
    let content = match input.metadata_directive.as_ref().map(MetadataDirective::as_str) {
        Some(MetadataDirective::REPLACE) => CopyContent::Replace(Box::new(asked)),
        None | Some(MetadataDirective::COPY)
            if !changes
                && source.bucket == bucket
                && source.key == key
                && source.version.is_none()
                && given.encryption == EncryptionRequest::Default =>
        {
            return Err(Refusal::request(
                "This copy request is illegal because it is trying to copy an object to itself without changing the \
                 object's metadata, storage class, website redirect location or encryption attributes.",
            ));
        }
        None | Some(MetadataDirective::COPY) => {
            CopyContent::KeepBut { storage_class: asked.storage_class, redirect: asked.redirect }
        }
        Some(other) => {
            return Err(Refusal::argument("x-amz-metadata-directive", other, "Unknown metadata directive."));
        }
    };
    let algorithm = input.checksum_algorithm.map(|name| declared::algorithm(name.as_str())).transpose()?;
    let request = CopyRequest {
        from_version: source.version,
        keep_tags,
        given,
        source_key,
        from_bucket: source.bucket,
        from_key: source.key,
        source_conditions,
        bucket,
        key,
        content,
        conditions: wire::conditions(&headers),
        algorithm,
    };
    let (from_bucket, bucket) = (request.from_bucket.clone(), request.bucket.clone());
    let Copied { object: copied, source } = gateway.store.copy(&caller, request).await?;
    let version_id = gateway.written_version(&bucket, copied.shown()).await?;
    let copy_source_version_id = gateway.shown_version(&from_bucket, source).await?;
    let expiration = lifecycle::expiration(gateway, &bucket, &copied).await;
    let output = CopyObjectOutput { version_id, copy_source_version_id, expiration, ..CopyObjectOutput::default() };
    Ok(described(output, copied))
}

/// The answer with the facts of the copy.
fn described(mut output: CopyObjectOutput, copied: Object) -> CopyObjectOutput {
    let mut result = CopyObjectResult {
        e_tag: Some(wire::etag(&copied.etag)),
        last_modified: Some(wire::time(copied.modified)),
        checksum_type: copied.checksum.as_ref().map(checksum_type),
        ..CopyObjectResult::default()
    };
    show_checksum!(result, &copied.checksum);
    output.copy_object_result = Some(result);
    sse::show_sealing!(output, &copied.attached.sealing);
    output.ssekms_encryption_context = copied.attached.sealing.and_then(|sealing| sealing.context);
    output
}

/// UploadPartCopy.
pub(super) async fn part(gateway: &Gateway, request: S3Request<UploadPartCopyInput>) -> Result<UploadPartCopyOutput> {
    let S3Request { input, headers, extensions, .. } = request;
    let caller = caller(&extensions);
    let source = source(&headers, &extensions)?;
    let upload = UploadRef {
        bucket: wire::bucket(&input.bucket)?,
        key: wire::key(&input.key)?,
        id: wire::upload(&input.upload_id)?,
    };
    let number = wire::part_number(input.part_number)?;
    source_owner(gateway, &source, input.expected_source_bucket_owner.as_deref()).await?;
    let from = PartCopy {
        from_version: source.version,
        from_bucket: source.bucket,
        from_key: source.key,
        source_conditions: source_conditions(
            &headers,
            input.copy_source_if_modified_since,
            input.copy_source_if_unmodified_since,
        ),
        source_key: sse::source_key(&headers)?,
        range: input.copy_source_range.as_deref().map(exact_range).transpose()?,
    };
    let from_bucket = from.from_bucket.clone();
    let key = sse::customer_key(&headers)?;
    let copied = gateway.store.copy_part(&caller, &upload, number, key.as_ref(), from).await?;
    let copy_source_version_id = gateway.shown_version(&from_bucket, copied.source).await?;
    let stored = copied.part;
    let mut result = CopyPartResult {
        e_tag: Some(wire::etag(&stored.etag)),
        last_modified: Some(wire::time(stored.modified)),
        ..CopyPartResult::default()
    };
    show_checksum!(result, &stored.checksum);
    let mut output = UploadPartCopyOutput {
        copy_part_result: Some(result),
        copy_source_version_id,
        ..UploadPartCopyOutput::default()
    };
    sse::show_sealing!(output, &stored.sealing);
    Ok(output)
}

/// `bytes=a-b` and no other form.
fn exact_range(text: &str) -> Result<(u64, u64)> {
    let number =
        |digits: &str| -> Option<u64> { digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())? };
    let range = text.strip_prefix("bytes=").and_then(|spec| spec.split_once('-'));
    let range = range.and_then(|(a, b)| Some((number(a)?, number(b)?))).filter(|(a, b)| a <= b);
    range.ok_or_else(|| {
        Refusal::argument(
            "x-amz-copy-source-range",
            text,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the \
             zero-based offsets of the first and last bytes to copy",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_decoded_once() {
        for (sent, wanted) in [
            ("b/k", Some(("b", "k"))),
            ("/b/k", Some(("b", "k"))),
            ("BENCH_x/a%2Fb%20c+d%2Be", Some(("BENCH_x", "a/b c d+e"))),
            ("b%2Fk%252F", Some(("b", "k%2F"))),
            ("b//k", Some(("b", "/k"))),
            ("b/k%3FversionId=1", Some(("b", "k?versionId=1"))),
            ("b/k?versionId=null", Some(("b", "k"))),
            ("b/k?versionId=zz", None),
            ("b", None),
            ("b/", None),
            ("/k", None),
            ("b/%ff", None),
            ("b/.longshore/x", None),
            ("../k", None),
            ("arn:aws:s3:::b/k", None),
        ] {
            let source = parse(sent).ok();
            let names = source.as_ref().map(|source| (source.bucket.as_str(), source.key.as_str()));
            assert_eq!(names, wanted, "{sent}");
        }
    }

    #[test]
    fn ranges_of_parts_have_one_form() {
        for (text, wanted) in [
            ("bytes=0-4", Some((0, 4))),
            ("bytes=4-0", None),
            ("bytes=0-", None),
            ("bytes=-4", None),
            ("0-4", None),
            ("bytes=0-4,6-7", None),
            ("bytes=0-99999999999999999999", None),
        ] {
            assert_eq!(exact_range(text).ok(), wanted, "{text}");
        }
    }
}
