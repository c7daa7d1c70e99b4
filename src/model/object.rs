//! An object as the catalog knows it: the facts that make a body an S3 object.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::checksum::Checksum;
use crate::model::id::VersionId;
use crate::model::name::ObjectKey;
use crate::model::place::{Place, Placed, Stamp};
use crate::model::time::Timestamp;

/// What the client said about the bytes, given back as it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Content {
    /// `Content-Type`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// `Cache-Control`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<String>,
    /// `Content-Disposition`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disposition: Option<String>,
    /// `Content-Encoding`, without the transport token `aws-chunked`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// `Content-Language`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// `Expires`, verbatim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// `x-amz-website-redirect-location`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<String>,
    /// `x-amz-storage-class`; `None` is STANDARD.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
    /// User metadata: lower-case names without `x-amz-meta-`, values as text.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub user: BTreeMap<String, String>,
}

/// One part of an object that was uploaded in parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartFact {
    /// The client's part number, 1 to 10,000.
    #[serde(rename = "n")]
    pub number: u32,
    /// Bytes.
    #[serde(rename = "s")]
    pub size: u64,
    /// The part's own checksum, if the client asked for one.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<Checksum>,
}

/// The current version of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The key.
    pub key: ObjectKey,
    /// This version.
    pub version: VersionId,
    /// Grows with every version of the key: the order of versions, in the row and in the record. Nanoseconds of the
    /// write or one more than the version displaced, whichever is later.
    pub counter: u64,
    /// Where to look first.
    pub placed: Placed,
    /// What identifies the bytes there.
    pub stamp: Stamp,
    /// Bytes.
    pub size: u64,
    /// Last-Modified.
    pub modified: Timestamp,
    /// The ETag without quotes.
    pub etag: String,
    /// The checksum that is shown to clients.
    pub checksum: Option<Checksum>,
    /// CRC-64/NVME of the body as stored, if it ever passed through here.
    pub crc64nvme: Option<u64>,
    /// What the client said about the bytes.
    pub content: Content,
    /// The parts, if it was uploaded in parts.
    pub parts: Vec<PartFact>,
    /// Canonical id of the owner.
    pub owner: String,
}

impl Object {
    /// The place its row points at.
    #[must_use]
    pub fn place(&self) -> Place {
        match self.placed {
            Placed::Managed => Place::Managed(self.version),
            Placed::Natural => Place::Natural(self.key.clone()),
        }
    }

    /// The other place it may be at, if a step that is owed has not been taken yet.
    #[must_use]
    pub fn other_place(&self) -> Place {
        match self.placed {
            Placed::Managed => Place::Natural(self.key.clone()),
            Placed::Natural => Place::Managed(self.version),
        }
    }
}

/// What a listing shows of an object, and what a scan compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: ObjectKey,
    /// This version.
    pub version: VersionId,
    /// Where to look first.
    pub placed: Placed,
    /// What identifies the bytes.
    pub stamp: Stamp,
    /// Bytes.
    pub size: u64,
    /// Last-Modified.
    pub modified: Timestamp,
    /// The ETag without quotes.
    pub etag: String,
    /// Canonical id of the owner.
    pub owner: String,
    /// The storage class; `None` is STANDARD.
    pub storage_class: Option<String>,
    /// Algorithm and type of the checksum that is shown.
    pub checksum: Option<(crate::model::checksum::Algorithm, crate::model::checksum::ChecksumKind)>,
}
