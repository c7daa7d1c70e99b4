//! Listings of keys, in the three forms that S3 has.
//!
//! A page is asked for once and shown in the form asked for. Versions of a bucket that never had any are its objects, each
//! with the id `null`; every clean-up tool lists them.
//!
//! s3s has versions and delete markers in a list each and writes one behind the other. Clients rely on the order of S3,
//! by key and then the newest first, whatever an entry is; so the document of versions is written here.
//!
//! **Invariant:** no page holds more than was asked for, nor more than [`LIST_KEYS_MAX`]; a page of none is decided
//! like any other. Every key goes through the encoding of the answer, so none can spoil the document.

use std::io::Write;

use s3s::S3Request;
use s3s::dto::{
    ChecksumAlgorithm, ChecksumType, CommonPrefix, EncodingType, ListObjectVersionsInput, ListObjectVersionsOutput,
    ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, Object as Listed, ObjectStorageClass,
    TimestampFormat,
};
use s3s::xml::{SerResult, Serializer};

use super::bucket::{read_token, token};
use super::encode::{Encoding, xml_safe};
use super::error::{Refusal, Result};
use super::exchange::{Exchange, caller};
use super::gateway::Gateway;
use super::wire;
use crate::config::limits::LIST_KEYS_MAX;
use crate::model::object::Entry;
use crate::model::page::{Page, PageQuery};
use crate::store::request::{VersionPage, VersionQuery};

/// The namespace of an answer's elements.
const XMLNS: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

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
    let told = Told { bucket: input.bucket, key_marker, version_marker, asked, page };
    let document = told.document().map_err(|_| Refusal::internal())?;
    Exchange::of(&extensions).set_document(document);
    Ok(ListObjectVersionsOutput::default())
}

/// What the answer to ListObjectVersions tells.
struct Told {
    bucket: String,
    key_marker: String,
    version_marker: Option<String>,
    asked: Asked,
    page: VersionPage,
}

impl Told {
    fn document(&self) -> SerResult<Vec<u8>> {
        let mut text = Vec::with_capacity(512 * (1 + self.page.entries.len()));
        let mut xml = Serializer::new(&mut text);
        xml.decl()?;
        xml.element_with_ns("ListVersionsResult", XMLNS, |xml| {
            self.head(xml)?;
            for entry in &self.page.entries {
                self.entry(xml, entry)?;
            }
            xml.flattened_list("CommonPrefixes", &prefixes(&self.page.prefixes, self.asked.encoding))
        })?;
        Ok(text)
    }

    fn head<W: Write>(&self, xml: &mut Serializer<W>) -> SerResult {
        xml.content("Name", &self.bucket)?;
        xml.content("Prefix", &self.asked.name(&self.asked.prefix))?;
        xml.content("KeyMarker", &self.asked.name(&self.key_marker))?;
        xml.content("VersionIdMarker", &self.version_marker.as_deref().map(xml_safe).unwrap_or_default())?;
        if let Some((key, version)) = &self.page.next {
            xml.content("NextKeyMarker", &self.asked.name(key))?;
            if let Some(version) = version {
                xml.content("NextVersionIdMarker", &version.to_string())?;
            }
        }
        xml.content("MaxKeys", &wire::count(self.asked.limit))?;
        if let Some(delimiter) = self.asked.shown_delimiter() {
            xml.content("Delimiter", &delimiter)?;
        }
        if let Some(encoding) = self.asked.shown_encoding() {
            xml.content("EncodingType", encoding.as_str())?;
        }
        xml.content("IsTruncated", &self.page.next.is_some())
    }

    fn entry<W: Write>(&self, xml: &mut Serializer<W>, entry: &Entry) -> SerResult {
        xml.element(if entry.marker { "DeleteMarker" } else { "Version" }, |xml| {
            xml.content("Key", &self.asked.name(entry.key.as_str()))?;
            xml.content("VersionId", &entry.shown().to_string())?;
            xml.content("IsLatest", &entry.latest)?;
            xml.timestamp("LastModified", &wire::time(entry.modified), TimestampFormat::DateTime)?;
            if !entry.marker {
                xml.content("ETag", &wire::etag(&entry.etag))?;
                if let Some((algorithm, kind)) = entry.checksum {
                    xml.content("ChecksumAlgorithm", algorithm.name())?;
                    xml.content("ChecksumType", kind.name())?;
                }
                xml.content("Size", &wire::bytes(entry.size))?;
                xml.content("StorageClass", &wire::storage_class(entry.storage_class.clone()))?;
            }
            xml.content("Owner", &wire::owner(&entry.owner))
        })
    }
}
