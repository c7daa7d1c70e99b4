//! Uploads in parts.
//!
//! **Invariant:** no answer to Complete begins before its result is known or the store has said that only long work is
//! left. One that has begun says in its body what came of it, an error too.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryFutureExt as _;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use s3s::S3Request;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, ChecksumType,
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, ListMultipartUploadsInput, ListMultipartUploadsOutput, ListPartsInput,
    ListPartsOutput, MultipartUpload, Part as ShownPart, StorageClass, UploadPartInput, UploadPartOutput,
};
use tokio::sync::Notify;

use super::encode::{Encoding, url, xml_safe};
use super::error::{Refusal, Result};
use super::exchange::{Exchange, caller};
use super::gateway::Gateway;
use super::list::{encoding_of, prefixes, shown_encoding};
use super::object::{checksum_type, size_of};
use super::wire::{self, show_checksum};
use super::{body, content, declared, given, lifecycle, sse};
use crate::config::limits::{COMPLETE_SILENT_SECONDS_MAX, LIST_KEYS_MAX, PART_NUMBER_MAX};
use crate::model::checksum::{Algorithm, Checksum, ChecksumKind};
use crate::model::condition::Conditions;
use crate::model::id::UploadId;
use crate::model::upload::{Part, Upload};
use crate::store::request::{CompleteRequest, CreateUpload, ListedPart, UploadPage, UploadQuery, UploadRef};

fn named(bucket: &str, key: &str, id: &str) -> Result<UploadRef> {
    Ok(UploadRef { bucket: wire::bucket(bucket)?, key: wire::key(key)?, id: wire::upload(id)? })
}

/// CreateMultipartUpload.
pub(super) async fn create(
    gateway: &Gateway,
    request: S3Request<CreateMultipartUploadInput>,
) -> Result<CreateMultipartUploadOutput> {
    let S3Request { input, headers, extensions, .. } = request;
    let algorithm = input.checksum_algorithm.map(|name| declared::algorithm(name.as_str())).transpose()?;
    let checksum = announced(algorithm, kind(input.checksum_type.as_ref())?)?;
    let request = CreateUpload {
        conditions: Conditions::default(),
        length: None,
        given: given::of(&headers)?,
        bucket: wire::bucket(&input.bucket)?,
        key: wire::key(&input.key)?,
        content: content::of(&headers, input.metadata)?,
        checksum,
    };
    let upload = gateway.store.create_upload(&caller(&extensions), request).await?;
    let mut output = CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(xml_safe(&input.key)),
        upload_id: Some(upload.id.to_string()),
        checksum_algorithm: checksum.map(|(algorithm, _)| ChecksumAlgorithm::from_static(algorithm.name())),
        checksum_type: checksum.map(|(_, kind)| ChecksumType::from_static(kind.name())),
        ..CreateMultipartUploadOutput::default()
    };
    sse::show_sealing!(output, &upload.attached.sealing);
    output.ssekms_encryption_context = upload.attached.sealing.and_then(|sealing| sealing.context);
    Ok(output)
}

fn kind(asked: Option<&ChecksumType>) -> Result<Option<ChecksumKind>> {
    match asked.map(ChecksumType::as_str) {
        None => Ok(None),
        Some(ChecksumType::FULL_OBJECT) => Ok(Some(ChecksumKind::FullObject)),
        Some(ChecksumType::COMPOSITE) => Ok(Some(ChecksumKind::Composite)),
        Some(_) => Err(Refusal::request("Value for x-amz-checksum-type header is invalid.")),
    }
}

fn announced(algorithm: Option<Algorithm>, kind: Option<ChecksumKind>) -> Result<Option<(Algorithm, ChecksumKind)>> {
    match (algorithm, kind) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Refusal::request(
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
        )),
        (Some(algorithm), kind) => {
            let kind = kind.unwrap_or_else(|| algorithm.default_kind());
            if algorithm.allows(kind) {
                return Ok(Some((algorithm, kind)));
            }
            Err(Refusal::request(format!(
                "The {} checksum type cannot be used with the {} checksum algorithm.",
                kind.name(),
                algorithm.name().to_ascii_lowercase()
            )))
        }
    }
}

/// UploadPart.
pub(super) async fn upload_part(gateway: &Gateway, request: S3Request<UploadPartInput>) -> Result<UploadPartOutput> {
    let S3Request { input, headers, extensions, trailing_headers, .. } = request;
    let number = wire::part_number(input.part_number)?;
    let upload = named(&input.bucket, &input.key, &input.upload_id)?;
    let body = body::incoming(input.body, &headers, &extensions, input.content_length, trailing_headers)?;
    let key = sse::customer_key(&headers)?;
    let stored = gateway.store.upload_part(&caller(&extensions), &upload, number, key.as_ref(), body).await?;
    let mut output = UploadPartOutput { e_tag: Some(wire::etag(&stored.etag)), ..UploadPartOutput::default() };
    show_checksum!(output, &stored.checksum);
    sse::show_sealing!(output, &stored.sealing);
    Ok(output)
}

/// CompleteMultipartUpload.
pub(super) async fn complete(
    gateway: &Gateway,
    request: S3Request<CompleteMultipartUploadInput>,
) -> Result<CompleteMultipartUploadOutput> {
    let exchange = Exchange::of(&request.extensions);
    let checked = Arc::new(Notify::new());
    let work = Box::pin(completed(gateway.clone(), request, Arc::clone(&checked)));
    not_silent(work, &checked, Duration::from_secs(COMPLETE_SILENT_SECONDS_MAX), exchange).await
}

/// The output of `work` if it is there within `silent` since everything was `checked`. Else one that is sent at once and
/// whose body says the rest later; headers that depend on the result are not sent then.
async fn not_silent(
    mut work: BoxFuture<'static, Result<CompleteMultipartUploadOutput>>,
    checked: &Notify,
    silent: Duration,
    exchange: Exchange,
) -> Result<CompleteMultipartUploadOutput> {
    let late = async {
        checked.notified().await;
        tokio::time::sleep(silent).await;
    };
    tokio::select! {
        biased;
        output = &mut work => return output,
        () = late => {}
    }
    let rest = work.map_err(move |refusal| exchange.refuse_late(refusal));
    Ok(CompleteMultipartUploadOutput { future: Some(Box::pin(rest)), ..CompleteMultipartUploadOutput::default() })
}

async fn completed(
    gateway: Gateway,
    request: S3Request<CompleteMultipartUploadInput>,
    checked: Arc<Notify>,
) -> Result<CompleteMultipartUploadOutput> {
    let S3Request { input, headers, extensions, .. } = request;
    let upload = named(&input.bucket, &input.key, &input.upload_id)?;
    let listed = input.multipart_upload.and_then(|list| list.parts).unwrap_or_default();
    if listed.is_empty() || listed.len() > PART_NUMBER_MAX as usize {
        return Err(Refusal::malformed_xml());
    }
    let request = CompleteRequest {
        upload,
        parts: listed.into_iter().map(listed_part).collect::<Result<_>>()?,
        conditions: wire::conditions(&headers),
        size: input.mpu_object_size.map(|size| size_of("x-amz-mp-object-size", size)).transpose()?,
        checksum: declared::value(&headers)?,
        kind: kind(input.checksum_type.as_ref())?,
        customer_key: sse::customer_key(&headers)?,
    };
    let (bucket, key) = (request.upload.bucket.clone(), request.upload.key.clone());
    let made = gateway.store.complete_telling(&caller(&extensions), request, &checked).await?;
    let scheme = Exchange::of(&extensions).facts().scheme();
    let mut output = CompleteMultipartUploadOutput {
        expiration: lifecycle::expiration_of_written(&gateway, &bucket, &key, made.version).await,
        version_id: gateway.written_version(&bucket, made.version).await?,
        location: Some(location(&gateway, &headers, scheme, &input.bucket, &input.key)),
        bucket: Some(input.bucket),
        key: Some(xml_safe(&input.key)),
        e_tag: Some(wire::etag(&made.etag)),
        checksum_type: made.checksum.as_ref().map(checksum_type),
        ..CompleteMultipartUploadOutput::default()
    };
    show_checksum!(output, &made.checksum);
    sse::show_method!(output, &made.sealing);
    sse::add_customer(made.sealing.as_ref(), &extensions);
    Ok(output)
}

/// Where the object can be fetched, as the client addressed this server.
fn location(gateway: &Gateway, headers: &HeaderMap, scheme: &str, bucket: &str, key: &str) -> String {
    let host = headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    match gateway.hosts.bucket(host) {
        Some(_) => format!("{scheme}://{host}/{}", url(key)),
        None => format!("{scheme}://{host}{}/{}/{}", gateway.base, url(bucket), url(key)),
    }
}

fn listed_part(part: CompletedPart) -> Result<ListedPart> {
    let number = part.part_number.ok_or_else(Refusal::malformed_xml)?;
    let etag = part.e_tag.ok_or_else(Refusal::malformed_xml)?;
    let absent = [
        &part.checksum_md5,
        &part.checksum_sha512,
        &part.checksum_xxhash128,
        &part.checksum_xxhash3,
        &part.checksum_xxhash64,
    ];
    if absent.iter().any(|value| value.is_some()) {
        return Err(Refusal::not_implemented("This checksum algorithm"));
    }
    let sent = [
        (Algorithm::Crc32, part.checksum_crc32),
        (Algorithm::Crc32c, part.checksum_crc32c),
        (Algorithm::Crc64Nvme, part.checksum_crc64nvme),
        (Algorithm::Sha1, part.checksum_sha1),
        (Algorithm::Sha256, part.checksum_sha256),
    ];
    let mut checksum: Option<Checksum> = None;
    for (algorithm, value) in sent {
        let Some(value) = value else { continue };
        let invalid = || Refusal::request("A checksum of a listed part is not valid.");
        if checksum.replace(declared::read(algorithm, &value).ok_or_else(invalid)?).is_some() {
            return Err(Refusal::request("A part can have one checksum only."));
        }
    }
    Ok(ListedPart { number: wire::part_number(number)?, etag: etag.into_value(), checksum })
}

/// AbortMultipartUpload.
pub(super) async fn abort(
    gateway: &Gateway,
    request: S3Request<AbortMultipartUploadInput>,
) -> Result<AbortMultipartUploadOutput> {
    let S3Request { input, extensions, .. } = request;
    let upload = named(&input.bucket, &input.key, &input.upload_id)?;
    gateway.store.abort_upload(&caller(&extensions), &upload).await?;
    Ok(AbortMultipartUploadOutput::default())
}

/// ListParts.
pub(super) async fn list_parts(gateway: &Gateway, request: S3Request<ListPartsInput>) -> Result<ListPartsOutput> {
    let S3Request { input, extensions, .. } = request;
    let upload = named(&input.bucket, &input.key, &input.upload_id)?;
    let limit = wire::page_size("max-parts", input.max_parts, LIST_KEYS_MAX)?;
    let after = wire::part_marker("part-number-marker", input.part_number_marker)?;
    let mut page = gateway.store.list_parts(&caller(&extensions), &upload, after, limit.max(1)).await?;
    if limit == 0 {
        page.parts.clear();
        page.more = false;
    }
    let last = page.parts.last().map_or(0, |part| part.number);
    let Upload { initiator, owner, content, checksum, .. } = page.upload;
    Ok(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(xml_safe(&input.key)),
        upload_id: Some(input.upload_id),
        initiator: Some(wire::initiator(&initiator)),
        owner: Some(wire::owner(&owner)),
        storage_class: Some(StorageClass::from(wire::storage_class(content.storage_class))),
        part_number_marker: Some(wire::count(after)),
        next_part_number_marker: Some(wire::count(last)),
        max_parts: Some(wire::count(limit)),
        is_truncated: Some(page.more),
        checksum_algorithm: checksum.map(|(algorithm, _)| ChecksumAlgorithm::from_static(algorithm.name())),
        checksum_type: checksum.map(|(_, kind)| ChecksumType::from_static(kind.name())),
        parts: Some(page.parts.iter().map(shown_part).collect()),
        ..ListPartsOutput::default()
    })
}

fn shown_part(part: &Part) -> ShownPart {
    let mut shown = ShownPart {
        part_number: Some(wire::count(part.number)),
        size: Some(wire::bytes(part.size)),
        e_tag: Some(wire::etag(&part.etag)),
        last_modified: Some(wire::time(part.modified)),
        ..ShownPart::default()
    };
    show_checksum!(shown, &part.checksum);
    shown
}

/// ListMultipartUploads.
pub(super) async fn list_uploads(
    gateway: &Gateway,
    request: S3Request<ListMultipartUploadsInput>,
) -> Result<ListMultipartUploadsOutput> {
    let S3Request { input, extensions, .. } = request;
    let encoding = encoding_of(input.encoding_type.as_ref())?;
    let limit = wire::page_size("max-uploads", input.max_uploads, LIST_KEYS_MAX)?;
    let key_marker = input.key_marker.filter(|marker| !marker.is_empty());
    // Without a key marker there is nothing it could stand behind.
    let upload_marker = input.upload_id_marker.filter(|id| key_marker.is_some() && !id.is_empty());
    let query = UploadQuery {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().filter(|delimiter| !delimiter.is_empty()),
        key_marker: key_marker.clone(),
        upload_marker: upload_marker.as_deref().map(marker).transpose()?,
        limit: limit.max(1),
    };
    let delimiter = query.delimiter.as_deref().map(|delimiter| encoding.name(delimiter));
    let bucket = wire::bucket(&input.bucket)?;
    let mut page = gateway.store.list_uploads(&caller(&extensions), &bucket, query).await?;
    if limit == 0 {
        page = UploadPage::default();
    }
    let (next_key, next_upload) = page.next.map_or((None, None), |(key, id)| (Some(key), id));
    Ok(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        prefix: Some(encoding.name(&input.prefix.unwrap_or_default())),
        key_marker: Some(encoding.name(&key_marker.unwrap_or_default())),
        upload_id_marker: Some(upload_marker.unwrap_or_default()),
        max_uploads: Some(wire::count(limit)),
        is_truncated: Some(next_key.is_some()),
        next_key_marker: next_key.map(|key| encoding.name(&key)),
        next_upload_id_marker: next_upload.map(|id| id.to_string()),
        delimiter,
        encoding_type: shown_encoding(encoding),
        common_prefixes: Some(prefixes(&page.prefixes, encoding)),
        uploads: Some(page.uploads.into_iter().map(|upload| shown_upload(upload, encoding)).collect()),
        ..ListMultipartUploadsOutput::default()
    })
}

fn marker(id: &str) -> Result<UploadId> {
    UploadId::parse(id).ok_or_else(|| Refusal::argument("upload-id-marker", id, "Invalid uploadId marker"))
}

fn shown_upload(upload: Upload, encoding: Encoding) -> MultipartUpload {
    MultipartUpload {
        key: Some(encoding.name(upload.key.as_str())),
        upload_id: Some(upload.id.to_string()),
        initiated: Some(wire::time(upload.created)),
        initiator: Some(wire::initiator(&upload.initiator)),
        owner: Some(wire::owner(&upload.owner)),
        storage_class: Some(StorageClass::from(wire::storage_class(upload.content.storage_class))),
        checksum_algorithm: upload.checksum.map(|(algorithm, _)| ChecksumAlgorithm::from_static(algorithm.name())),
        checksum_type: upload.checksum.map(|(_, kind)| ChecksumType::from_static(kind.name())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::facts::RequestFacts;

    /// What a Complete of so many seconds is answered with; `checks`: seconds of them that go into its checks.
    async fn answer_of(checks: u64, seconds: u64, end: Result<()>) -> Result<CompleteMultipartUploadOutput> {
        let checked = Arc::new(Notify::new());
        let told = Arc::clone(&checked);
        let work = Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(checks)).await;
            told.notify_one();
            tokio::time::sleep(Duration::from_secs(seconds - checks)).await;
            end.map(|()| CompleteMultipartUploadOutput { key: Some("k".into()), ..Default::default() })
        });
        not_silent(work, &checked, Duration::from_secs(10), Exchange::new(RequestFacts::default())).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_complete_is_not_silent_for_long() {
        for (checks, seconds) in [(0, 0), (0, 9), (60, 69)] {
            let output = answer_of(checks, seconds, Ok(())).await.expect("made");
            assert!(output.future.is_none() && output.key.is_some(), "{checks} of {seconds}");
            let refused = answer_of(checks, seconds, Err(Refusal::malformed_xml())).await;
            assert_eq!(refused.expect_err("refused").code, "MalformedXML", "{checks} of {seconds}");
        }
        let output = answer_of(1, 100, Ok(())).await.expect("begins");
        assert_eq!(output.key, None);
        assert_eq!(output.future.expect("goes on").await.expect("made").key.as_deref(), Some("k"));
        let refused = Refusal::from(crate::store::Error::PreconditionFailed);
        let output = answer_of(1, 100, Err(refused)).await.expect("begins");
        let late = output.future.expect("goes on").await.expect_err("refused");
        assert_eq!(late.code().as_str(), "PreconditionFailed");
        assert_eq!(late.message(), Some("At least one of the pre-conditions you specified did not hold"));
    }

    #[test]
    fn algorithms_and_types_that_go_together() {
        for (algorithm, kind, fits) in [
            (None, None, true),
            (None, Some(ChecksumKind::Composite), false),
            (Some(Algorithm::Sha1), Some(ChecksumKind::FullObject), false),
            (Some(Algorithm::Crc64Nvme), Some(ChecksumKind::Composite), false),
            (Some(Algorithm::Crc32), Some(ChecksumKind::FullObject), true),
        ] {
            assert_eq!(announced(algorithm, kind).is_ok(), fits, "{algorithm:?} {kind:?}");
        }
        let default = announced(Some(Algorithm::Crc64Nvme), None).expect("fits");
        assert_eq!(default, Some((Algorithm::Crc64Nvme, ChecksumKind::FullObject)));
    }

    #[test]
    fn listed_parts_name_number_and_tag() {
        let etag = Some(wire::etag("e"));
        let part = |part_number, e_tag| CompletedPart { part_number, e_tag, ..CompletedPart::default() };
        assert!(listed_part(part(Some(1), etag.clone())).is_ok());
        assert_eq!(listed_part(part(None, etag.clone())).expect_err("refused").code, "MalformedXML");
        assert_eq!(listed_part(part(Some(1), None)).expect_err("refused").code, "MalformedXML");
        assert_eq!(listed_part(part(Some(0), etag)).expect_err("refused").code, "InvalidArgument");
    }
}
