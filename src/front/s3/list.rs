//! Listings of keys, in the three forms that S3 has.
//!
//! A page is asked for once and shown in the form asked for. Versions of a bucket that never had any are its objects, each
//! with the id `null`; every clean-up tool lists them.

use s3s::S3Request;
use s3s::dto::{
    ChecksumAlgorithm, ChecksumType, CommonPrefix, DeleteMarkerEntry, EncodingType, ListObjectVersionsInput,
    ListObjectVersionsOutput, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output,
    Object as Listed, ObjectStorageClass, ObjectVersion, ObjectVersionStorageClass,
};

use super::bucket::{read_token, token};
use super::encode::{Encoding, xml_safe};
use super::error::{Refusal, Result};
use super::exchange::caller;
use super::gateway::Gateway;
use super::wire;
use crate::config::limits::LIST_KEYS_MAX;
use crate::model::object::Entry;
use crate::model::page::{Page, PageQuery};
use crate::store::request::{VersionPage, VersionQuery};

/// What the three forms have in common.
struct Asked {
    prefix: String,
    delimiter: Option<String>,
    limit: usize,
    encoding: Encoding,
}

impl Asked {
    fn new(
        prefix: Option<String>,
        delimiter: Option<String>,
        max_keys: Option<i32>,
        encoding: Option<&EncodingType>,
    ) -> Result<Self> {
        Ok(Self {
            prefix: prefix.unwrap_or_default(),
            delimiter: delimiter.filter(|delimiter| !delimiter.is_empty()),
            limit: wire::page_size("max-keys", max_keys, LIST_KEYS_MAX)?,
            encoding: encoding_of(encoding)?,
        })
    }

    /// The query; of a page of none, one entry is asked for and dropped, so that rights and bucket are still looked at.
    fn query(&self, after: Option<String>) -> PageQuery {
        PageQuery {
            prefix: self.prefix.clone(),
            delimiter: self.delimiter.clone(),
            after: after.filter(|after| !after.is_empty()),
            limit: self.limit.max(1),
        }
    }

    fn cut(&self, page: Page<Entry>) -> Page<Entry> {
        if self.limit == 0 { Page::default() } else { page }
    }

    fn name(&self, name: &str) -> String {
        self.encoding.name(name)
    }

    /// The prefix of the first form: of the clients that ask for encoded names, some decode this one and some do not.
    /// So it is encoded only if it has no form that both read alike.
    fn echoed_prefix(&self) -> String {
        let prefix = &self.prefix;
        if prefix.contains(['%', '+']) || xml_safe(prefix) != *prefix { self.name(prefix) } else { prefix.clone() }
    }

    fn shown_delimiter(&self) -> Option<String> {
        self.delimiter.as_deref().map(|delimiter| self.name(delimiter))
    }

    fn shown_encoding(&self) -> Option<EncodingType> {
        shown_encoding(self.encoding)
    }

    fn objects(&self, entries: Vec<Entry>, owners: bool) -> Vec<Listed> {
        let show = |entry: Entry| Listed {
            checksum_algorithm: entry
                .checksum
                .map(|(algorithm, _)| vec![ChecksumAlgorithm::from_static(algorithm.name())]),
            checksum_type: entry.checksum.map(|(_, kind)| ChecksumType::from_static(kind.name())),
            e_tag: Some(wire::etag(&entry.etag)),
            key: Some(self.name(entry.key.as_str())),
            last_modified: Some(wire::time(entry.modified)),
            owner: owners.then(|| wire::owner(&entry.owner)),
            size: Some(wire::bytes(entry.size)),
            storage_class: Some(ObjectStorageClass::from(wire::storage_class(entry.storage_class))),
            ..Listed::default()
        };
        entries.into_iter().map(show).collect()
    }
}

/// Reads `encoding-type`.
pub(super) fn encoding_of(asked: Option<&EncodingType>) -> Result<Encoding> {
    match asked.map(EncodingType::as_str) {
        None | Some("") => Ok(Encoding::Xml),
        Some(EncodingType::URL) => Ok(Encoding::Url),
        Some(other) => Err(Refusal::argument("encoding-type", other, "Invalid Encoding Method specified in Request")),
    }
}

/// `EncodingType` of an answer.
pub(super) fn shown_encoding(encoding: Encoding) -> Option<EncodingType> {
    (encoding == Encoding::Url).then(|| EncodingType::from_static(EncodingType::URL))
}

/// Common prefixes of an answer.
pub(super) fn prefixes(prefixes: &[String], encoding: Encoding) -> Vec<CommonPrefix> {
    prefixes.iter().map(|prefix| CommonPrefix { prefix: Some(encoding.name(prefix)) }).collect()
}

/// ListObjects, the first form.
pub(super) async fn v1(gateway: &Gateway, request: S3Request<ListObjectsInput>) -> Result<ListObjectsOutput> {
    let S3Request { input, extensions, .. } = request;
    let asked = Asked::new(input.prefix, input.delimiter, input.max_keys, input.encoding_type.as_ref())?;
    let marker = input.marker.unwrap_or_default();
    let bucket = wire::bucket(&input.bucket)?;
    let query = asked.query(Some(marker.clone()));
    let page = asked.cut(gateway.store.list(&caller(&extensions), &bucket, query).await?);
    // Without a delimiter the client goes on after the last key, if that is where this page ends.
    let is_last = |next: &str| page.entries.last().is_some_and(|last| last.key.as_str() == next);
    let next = page.next.as_deref().filter(|next| asked.delimiter.is_some() || !is_last(next));
    let next_marker = next.map(|next| asked.name(next));
    Ok(ListObjectsOutput {
        name: Some(input.bucket),
        prefix: Some(asked.echoed_prefix()),
        marker: Some(asked.name(&marker)),
        max_keys: Some(wire::count(asked.limit)),
        is_truncated: Some(page.next.is_some()),
        next_marker,
        delimiter: asked.shown_delimiter(),
        encoding_type: asked.shown_encoding(),
        common_prefixes: Some(prefixes(&page.prefixes, asked.encoding)),
        contents: Some(asked.objects(page.entries, true)),
        ..ListObjectsOutput::default()
    })
}

/// ListObjectsV2.
pub(super) async fn v2(gateway: &Gateway, request: S3Request<ListObjectsV2Input>) -> Result<ListObjectsV2Output> {
    let S3Request { input, extensions, .. } = request;
    let asked = Asked::new(input.prefix, input.delimiter, input.max_keys, input.encoding_type.as_ref())?;
    let after = match input.continuation_token.as_deref() {
        None | Some("") => input.start_after.clone(),
        Some(token) => Some(read_token(token)?),
    };
    let bucket = wire::bucket(&input.bucket)?;
    let page = asked.cut(gateway.store.list(&caller(&extensions), &bucket, asked.query(after)).await?);
    Ok(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(asked.name(&asked.prefix)),
        max_keys: Some(wire::count(asked.limit)),
        key_count: Some(wire::count(page.entries.len() + page.prefixes.len())),
        continuation_token: input.continuation_token,
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page.next.as_deref().map(token),
        delimiter: asked.shown_delimiter(),
        encoding_type: asked.shown_encoding(),
        start_after: input.start_after.as_deref().map(|after| asked.name(after)),
        common_prefixes: Some(prefixes(&page.prefixes, asked.encoding)),
        contents: Some(asked.objects(page.entries, input.fetch_owner.unwrap_or(false))),
        ..ListObjectsV2Output::default()
    })
}

/// ListObjectVersions.
pub(super) async fn versions(
    gateway: &Gateway,
    request: S3Request<ListObjectVersionsInput>,
) -> Result<ListObjectVersionsOutput> {
    let S3Request { input, extensions, .. } = request;
    let asked = Asked::new(input.prefix, input.delimiter, input.max_keys, input.encoding_type.as_ref())?;
    let key_marker = input.key_marker.unwrap_or_default();
    let version_marker = input.version_id_marker.filter(|marker| !marker.is_empty());
    if let Some(marker) = version_marker.as_deref().filter(|_| key_marker.is_empty()) {
        return Err(Refusal::argument(
            "version-id-marker",
            marker,
            "A version-id marker cannot be specified without a key marker.",
        ));
    }
    let bucket = wire::bucket(&input.bucket)?;
    let query = VersionQuery {
        page: asked.query(Some(key_marker.clone())),
        after_version: wire::version(version_marker.as_deref())?,
    };
    let page = gateway.store.list_versions(&caller(&extensions), &bucket, query).await?;
    let page = if asked.limit == 0 { VersionPage::default() } else { page };
    let (markers, versions): (Vec<_>, Vec<_>) = page.entries.into_iter().partition(|entry| entry.marker);
    let versions = versions.into_iter().map(|entry| ObjectVersion {
        checksum_algorithm: entry.checksum.map(|(algorithm, _)| vec![ChecksumAlgorithm::from_static(algorithm.name())]),
        checksum_type: entry.checksum.map(|(_, kind)| ChecksumType::from_static(kind.name())),
        e_tag: Some(wire::etag(&entry.etag)),
        is_latest: Some(entry.latest),
        key: Some(asked.name(entry.key.as_str())),
        last_modified: Some(wire::time(entry.modified)),
        owner: Some(wire::owner(&entry.owner)),
        size: Some(wire::bytes(entry.size)),
        version_id: Some(entry.shown().to_string()),
        storage_class: Some(ObjectVersionStorageClass::from(wire::storage_class(entry.storage_class))),
        ..ObjectVersion::default()
    });
    let markers = markers.into_iter().map(|entry| DeleteMarkerEntry {
        is_latest: Some(entry.latest),
        key: Some(asked.name(entry.key.as_str())),
        last_modified: Some(wire::time(entry.modified)),
        owner: Some(wire::owner(&entry.owner)),
        version_id: Some(entry.shown().to_string()),
    });
    Ok(ListObjectVersionsOutput {
        versions: Some(versions.collect()),
        delete_markers: Some(markers.collect()),
        name: Some(input.bucket),
        prefix: Some(asked.name(&asked.prefix)),
        key_marker: Some(asked.name(&key_marker)),
        version_id_marker: Some(version_marker.as_deref().map(xml_safe).unwrap_or_default()),
        max_keys: Some(wire::count(asked.limit)),
        is_truncated: Some(page.next.is_some()),
        next_key_marker: page.next.as_ref().map(|(key, _)| asked.name(key)),
        next_version_id_marker: page.next.as_ref().and_then(|(_, version)| version.map(|v| v.to_string())),
        delimiter: asked.shown_delimiter(),
        encoding_type: asked.shown_encoding(),
        common_prefixes: Some(prefixes(&page.prefixes, asked.encoding)),
        ..ListObjectVersionsOutput::default()
    })
}
