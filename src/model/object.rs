//! An object as the catalog knows it: the facts that make a body an S3 object.
//!
//! **Invariant:** the bytes of a version are at [`Object::place`] or at [`Object::other_place`] and nowhere else. Each
//! field that may be absent from what is stored has its default, so what older versions wrote is read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::acl::Acl;
use crate::model::checksum::Checksum;
use crate::model::encryption::Sealing;
use crate::model::id::VersionId;
use crate::model::lock::Lock;
use crate::model::name::ObjectKey;
use crate::model::place::{Place, Placed, Stamp};
use crate::model::tag::Tags;
use crate::model::time::Timestamp;
use crate::model::versioning::VersionRef;

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
    /// `X-Robots-Tag`, for what is not to be found by search engines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub robots: Option<String>,
    /// User metadata as a JSON object, where it was given as one: it may hold what headers cannot. `user` holds then
    /// what they can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
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

/// What is attached to an object beside its content. It can change without new bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attached {
    /// Its tags.
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Its access control list; `None`: the owner's full control.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acl: Option<Acl>,
    /// What holds it.
    #[serde(skip_serializing_if = "is_default")]
    pub lock: Lock,
    /// How its bytes are encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sealing: Option<Sealing>,
    /// When the key came to be, if it was overwritten since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// What its row is known by to others who use the same tables, where that is not its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<VersionId>,
    /// Of an upload: when it is given up. No object has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends: Option<Timestamp>,
    /// Of an upload: how many bytes it becomes, where that was said after it was begun. No object has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
}

impl Attached {
    /// Whether nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What a decision about a row was based on: the version, and how often its facts were changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The version.
    pub version: VersionId,
    /// The revision of its facts.
    pub revision: u64,
}

/// One version of one key; most often the current one.
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
    /// Whether its version id is shown as `null`: it was written while its bucket kept no versions.
    pub null: bool,
    /// Whether it is a delete marker, which has no bytes of its own and is never the row of a key.
    pub marker: bool,
    /// How often `attached` was changed.
    pub revision: u64,
    /// What is attached to it.
    pub attached: Attached,
}

impl Object {
    /// What a change that is decided upon this row expects.
    #[must_use]
    pub fn seen(&self) -> Seen {
        Seen { version: self.version, revision: self.revision }
    }

    /// When the key came to be.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        self.attached.created.unwrap_or(self.modified)
    }

    /// What its row is known by to others: the first version of the key, most often.
    #[must_use]
    pub fn id(&self) -> VersionId {
        self.attached.id.unwrap_or(self.version)
    }

    /// How requests name this version.
    #[must_use]
    pub fn shown(&self) -> VersionRef {
        if self.null { VersionRef::Null } else { VersionRef::Id(self.version) }
    }

    /// Bytes of its file: more than its own where they are encrypted.
    #[must_use]
    pub fn stored_size(&self) -> u64 {
        self.attached.sealing.as_ref().map_or(self.size, |sealing| sealing.stored(self.size))
    }

    /// The place its row points at.
    #[must_use]
    pub fn place(&self) -> Place {
        match self.placed {
            Placed::Managed => Place::Managed(self.version),
            Placed::Natural => Place::Natural(self.key.clone()),
            Placed::Beneath | Placed::Beside => {
                let path = self.placed.path(&self.key, self.version);
                path.map_or(Place::Managed(self.version), Place::Natural)
            }
        }
    }

    /// The other place it may be at, if a step that is owed has not been taken yet.
    #[must_use]
    pub fn other_place(&self) -> Place {
        match self.placed {
            Placed::Managed => Place::Natural(self.key.clone()),
            Placed::Natural | Placed::Beneath | Placed::Beside => Place::Managed(self.version),
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
    /// Its order among the versions of the key.
    pub counter: u64,
    /// Whether its version id is shown as `null`.
    pub null: bool,
    /// Whether it is a delete marker.
    pub marker: bool,
    /// Whether it is what a request gets that names no version.
    pub latest: bool,
}

impl Entry {
    /// How requests name this version.
    #[must_use]
    pub fn shown(&self) -> VersionRef {
        if self.null { VersionRef::Null } else { VersionRef::Id(self.version) }
    }
}
