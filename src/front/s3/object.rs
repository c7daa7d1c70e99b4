//! One object: put, get, head, delete, and its attributes.
//!
//! **Invariant:** the facts in an answer are those of the version whose bytes are in it, as both come of one call of
//! the store. Beside a range no checksum is shown, and beside a part only its own.

use http::Extensions;
use s3s::S3Request;
use s3s::dto::{
    Checksum as ShownChecksum, ChecksumMode, ChecksumType, DeleteObjectInput, DeleteObjectOutput,
    GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectAttributesParts, GetObjectInput, GetObjectOutput,
    HeadObjectInput, HeadObjectOutput, ObjectLockMode, ObjectPart, PutObjectInput, PutObjectOutput, StorageClass,
    Timestamp, TimestampFormat,
};

use super::content::{Overrides, Shown, shown};
use super::error::{Refusal, Result};
use super::exchange::{Exchange, caller};
use super::gateway::Gateway;
use super::post::Posted;
use super::wire::{self, show_checksum};
use super::{body, content, given, lifecycle, lock, sse};
use crate::config::limits::LIST_KEYS_MAX;
use crate::model::checksum::Checksum;
use crate::model::condition::Conditions;
use crate::model::object::{Attached, Object};
use crate::model::range::ByteRange;
use crate::store::request::{DeleteRequest, Found, GetRequest, Given, Portion, PutRequest};

/// PutObject.
pub(super) async fn put(gateway: &Gateway, request: S3Request<PutObjectInput>) -> Result<PutObjectOutput> {
    let S3Request { input, headers, extensions, trailing_headers, .. } = request;
    let request = PutRequest {
        given: Given { posted: extensions.get::<Posted>().is_some(), ..given::of(&headers)? },
        bucket: wire::bucket(&input.bucket)?,
        key: wire::key(&input.key)?,
        content: content::of(&headers, input.metadata)?,
        conditions: wire::conditions(&headers),
        body: body::incoming(input.body, &headers, &extensions, input.content_length, trailing_headers)?,
    };
    let bucket = request.bucket.clone();
    let object = gateway.store.put(&caller(&extensions), request).await?;
    let version_id = gateway.written_version(&bucket, object.shown()).await?;
    let expiration = lifecycle::expiration(gateway, &bucket, &object).await;
    let mut output =
        PutObjectOutput { version_id, expiration, e_tag: Some(wire::etag(&object.etag)), ..PutObjectOutput::default() };
    output.checksum_type = object.checksum.as_ref().map(checksum_type);
    show_checksum!(output, &object.checksum);
    sse::show_sealing!(output, &object.attached.sealing);
    output.ssekms_encryption_context = object.attached.sealing.and_then(|sealing| sealing.context);
    Ok(output)
}

/// The type of a checksum.
pub(super) fn checksum_type(checksum: &Checksum) -> ChecksumType {
    ChecksumType::from_static(checksum.kind.name())
}

/// Which bytes a GET or HEAD asks for.
fn portion(headers: &http::HeaderMap, part: Option<i32>) -> Result<Portion> {
    let range = headers.get(http::header::RANGE).and_then(|value| ByteRange::parse(value.to_str().ok()?));
    match (range, part) {
        (Some(_), Some(_)) => Err(Refusal::request("Cannot specify both Range header and partNumber query parameter")),
        (Some(range), None) => Ok(Portion::Range(range)),
        (None, Some(part)) => Ok(Portion::Part(wire::part_number(part)?)),
        (None, None) => Ok(Portion::Whole),
    }
}

fn read_conditions(headers: &http::HeaderMap, since: Option<Timestamp>, until: Option<Timestamp>) -> Conditions {
    Conditions {
        if_modified_since: since.map(wire::moment),
        if_unmodified_since: until.map(wire::moment),
        ..wire::conditions(headers)
    }
}

/// The facts of an answer to GET or HEAD.
struct Facts {
    shown: Shown,
    object: Object,
    checksum: Option<Checksum>,
    checksum_type: Option<ChecksumType>,
    length: i64,
    content_range: Option<String>,
    parts: Option<i32>,
}

fn facts(extensions: &Extensions, found: Found, overrides: Overrides, mode: Option<&ChecksumMode>) -> Result<Facts> {
    let Found { mut object, range, partial, part } = found;
    let stored = std::mem::take(&mut object.content);
    let size = object.size;
    // A range of no bytes has no form in the header; it is a part of an empty object.
    let content_range =
        (partial && range.start < range.end).then(|| format!("bytes {}-{}/{size}", range.start, range.end - 1));
    let wanted = mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
    let parts = part.is_some().then_some(object.parts.len()).filter(|n| *n > 0).map(wire::count);
    let checksum = match part {
        _ if !wanted => None,
        Some(part) if !object.parts.is_empty() => part.checksum,
        Some(_) => object.checksum.clone(),
        None if partial => None,
        None => object.checksum.clone(),
    };
    // Beside the value of a part stands the type of the whole, which says how the two are related.
    let checksum_type = checksum.as_ref().map(|own| checksum_type(object.checksum.as_ref().unwrap_or(own)));
    let length = wire::bytes(range.end - range.start);
    let mut shown = shown(stored, overrides)?;
    for (name, value) in std::mem::take(&mut shown.latin) {
        Exchange::of(extensions).add_header(name, value);
    }
    Ok(Facts { shown, object, checksum, checksum_type, length, content_range, parts })
}

/// How many tags there are, if there are any.
fn tag_count(attached: &Attached) -> Option<i32> {
    Some(attached.tags.as_slice().len()).filter(|n| *n > 0).map(wire::count)
}

/// Fills in an output of GET or HEAD: their fields have the same names.
macro_rules! fill {
    ($output:ident, $facts:expr) => {{
        let Facts { shown, object, checksum, checksum_type, length, content_range, parts } = $facts;
        let Shown { content, metadata, missing, latin: _ } = shown;
        let mut output = $output {
            accept_ranges: Some("bytes".to_owned()),
            content_type: content.content_type,
            cache_control: content.cache_control,
            content_disposition: content.disposition,
            content_encoding: content.encoding,
            content_language: content.language,
            expires: content.expires,
            website_redirect_location: content.redirect,
            storage_class: content.storage_class.map(StorageClass::from),
            content_length: Some(length),
            content_range,
            e_tag: Some(wire::etag(&object.etag)),
            last_modified: Some(wire::time(object.modified)),
            metadata: Some(metadata),
            missing_meta: missing,
            parts_count: parts,
            checksum_type,
            tag_count: tag_count(&object.attached),
            object_lock_mode: object.attached.lock.retention.map(|held| ObjectLockMode::from_static(held.mode.name())),
            object_lock_retain_until_date: object.attached.lock.retention.map(|held| wire::time(held.until)),
            object_lock_legal_hold_status: object.attached.lock.legal_hold.map(lock::shown_hold),
            ..$output::default()
        };
        show_checksum!(output, &checksum);
        sse::show_sealing!(output, &object.attached.sealing);
        output
    }};
}

/// The overrides of a GET or HEAD: their inputs have the same names.
macro_rules! overrides {
    ($input:expr) => {
        Overrides {
            content_type: $input.response_content_type.take(),
            cache_control: $input.response_cache_control.take(),
            disposition: $input.response_content_disposition.take(),
            encoding: $input.response_content_encoding.take(),
            language: $input.response_content_language.take(),
            expires: $input.response_expires.take().as_ref().and_then(http_date),
        }
    };
}

fn http_date(at: &Timestamp) -> Option<String> {
    let mut text = Vec::new();
    at.format(TimestampFormat::HttpDate, &mut text).ok()?;
    String::from_utf8(text).ok()
}

/// GetObject.
pub(super) async fn get(gateway: &Gateway, request: S3Request<GetObjectInput>) -> Result<GetObjectOutput> {
    let S3Request { mut input, headers, extensions, .. } = request;
    let overrides = overrides!(input);
    let request = GetRequest {
        version: wire::version(input.version_id.as_deref())?,
        bucket: wire::bucket(&input.bucket)?,
        key: wire::key(&input.key)?,
        portion: portion(&headers, input.part_number)?,
        conditions: read_conditions(&headers, input.if_modified_since, input.if_unmodified_since),
        if_range: None,
        customer_key: sse::read_key(&headers)?,
    };
    let bucket = request.bucket.clone();
    let current = request.version.is_none();
    let found = gateway.store.get(&caller(&extensions), request).await?;
    let version_id = gateway.shown_version(&bucket, found.found.object.shown()).await?;
    let expiration = lifecycle::expiration(gateway, &bucket, &found.found.object).await.filter(|_| current);
    let facts = facts(&extensions, found.found, overrides, input.checksum_mode.as_ref())?;
    let mut output = fill!(GetObjectOutput, facts);
    output.version_id = version_id;
    output.expiration = expiration;
    output.body = Some(body::outgoing(found.body));
    Ok(output)
}

/// HeadObject.
pub(super) async fn head(gateway: &Gateway, request: S3Request<HeadObjectInput>) -> Result<HeadObjectOutput> {
    let S3Request { mut input, headers, extensions, .. } = request;
    let overrides = overrides!(input);
    let request = GetRequest {
        version: wire::version(input.version_id.as_deref())?,
        bucket: wire::bucket(&input.bucket)?,
        key: wire::key(&input.key)?,
        portion: portion(&headers, input.part_number)?,
        conditions: read_conditions(&headers, input.if_modified_since, input.if_unmodified_since),
        if_range: None,
        customer_key: sse::read_key(&headers)?,
    };
    let bucket = request.bucket.clone();
    let current = request.version.is_none();
    let found = gateway.store.head(&caller(&extensions), request).await?;
    let version_id = gateway.shown_version(&bucket, found.object.shown()).await?;
    let expiration = lifecycle::expiration(gateway, &bucket, &found.object).await.filter(|_| current);
    let facts = facts(&extensions, found, overrides, input.checksum_mode.as_ref())?;
    let mut output = fill!(HeadObjectOutput, facts);
    output.version_id = version_id;
    output.expiration = expiration;
    Ok(output)
}

/// DeleteObject.
pub(super) async fn delete(gateway: &Gateway, request: S3Request<DeleteObjectInput>) -> Result<DeleteObjectOutput> {
    let S3Request { input, headers, extensions, .. } = request;
    let conditions = Conditions {
        if_size: input.if_match_size.map(|size| size_of("x-amz-if-match-size", size)).transpose()?,
        if_last_modified: input.if_match_last_modified_time.map(wire::moment),
        ..wire::conditions(&headers)
    };
    let request = DeleteRequest {
        version: wire::version(input.version_id.as_deref())?,
        bypass_governance: input.bypass_governance_retention.unwrap_or(false),
        bucket: wire::bucket(&input.bucket)?,
        key: wire::key(&input.key)?,
        conditions,
    };
    let deletion = gateway.store.delete(&caller(&extensions), request).await?;
    Ok(DeleteObjectOutput {
        delete_marker: deletion.marker.then_some(true),
        version_id: deletion.version.map(|version| version.to_string()),
        ..DeleteObjectOutput::default()
    })
}

/// A size that was read.
pub(super) fn size_of(name: &'static str, size: i64) -> Result<u64> {
    u64::try_from(size).map_err(|_| Refusal::argument(name, &size.to_string(), "A size must not be negative."))
}

const ATTRIBUTES: [&str; 5] = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"];

/// GetObjectAttributes.
pub(super) async fn attributes(
    gateway: &Gateway,
    request: S3Request<GetObjectAttributesInput>,
) -> Result<GetObjectAttributesOutput> {
    let S3Request { input, headers, extensions, .. } = request;
    let wanted: Vec<&str> =
        input.object_attributes.iter().flat_map(|list| list.as_str().split(',')).map(str::trim).collect();
    if let Some(unknown) = wanted.iter().find(|name| !ATTRIBUTES.contains(name)) {
        return Err(Refusal::argument("x-amz-object-attributes", unknown, "Invalid attribute name specified."));
    }
    let limit = wire::page_size("x-amz-max-parts", input.max_parts, LIST_KEYS_MAX)?;
    let marker = wire::part_marker("x-amz-part-number-marker", input.part_number_marker)?;
    let request = GetRequest {
        version: wire::version(input.version_id.as_deref())?,
        bucket: wire::bucket(&input.bucket)?,
        key: wire::key(&input.key)?,
        portion: Portion::Whole,
        conditions: Conditions::default(),
        if_range: None,
        customer_key: sse::read_key(&headers)?,
    };
    let bucket = request.bucket.clone();
    let object = gateway.store.attributes(&caller(&extensions), request).await?.object;
    let version_id = gateway.shown_version(&bucket, object.shown()).await?;
    let wants = |name: &str| wanted.contains(&name);
    let checksum = object.checksum.as_ref().filter(|_| wants("Checksum")).map(|checksum| {
        let mut shown = ShownChecksum { checksum_type: Some(checksum_type(checksum)), ..ShownChecksum::default() };
        show_checksum!(shown, Some(checksum));
        shown
    });
    Ok(GetObjectAttributesOutput {
        e_tag: wants("ETag").then(|| wire::etag(&object.etag)),
        checksum,
        object_parts: (wants("ObjectParts") && !object.parts.is_empty()).then(|| parts(&object, marker, limit)),
        object_size: wants("ObjectSize").then(|| wire::bytes(object.size)),
        storage_class: wants("StorageClass")
            .then(|| StorageClass::from(wire::storage_class(object.content.storage_class))),
        last_modified: Some(wire::time(object.modified)),
        version_id,
        ..GetObjectAttributesOutput::default()
    })
}

fn parts(object: &Object, marker: u32, limit: usize) -> GetObjectAttributesParts {
    let after = || object.parts.iter().filter(|part| part.number > marker);
    let shown: Vec<ObjectPart> = after()
        .take(limit)
        .map(|part| {
            let mut shown = ObjectPart {
                part_number: Some(wire::count(part.number)),
                size: Some(wire::bytes(part.size)),
                ..ObjectPart::default()
            };
            show_checksum!(shown, &part.checksum);
            shown
        })
        .collect();
    GetObjectAttributesParts {
        is_truncated: Some(after().count() > shown.len()),
        max_parts: Some(wire::count(limit)),
        next_part_number_marker: Some(shown.last().and_then(|part| part.part_number).unwrap_or(0)),
        part_number_marker: Some(wire::count(marker)),
        parts: Some(shown),
        total_parts_count: Some(wire::count(object.parts.len())),
    }
}
