//! What fronts ask of the store, and what they get.
//!
//! **Invariant:** what is here was read by a front, and nothing of it was decided. Names and ids are checked values;
//! prefixes, delimiters and positions are texts as they came.

mod attached;
mod incoming;
mod walks;

use std::borrow::Cow;
use std::ops::Range;

pub use crate::catalog::Progress;
use crate::model::acl::Canned;
use crate::model::bucket::{Bucket, BucketConfig};
use crate::model::checksum::{Algorithm, Checksum, ChecksumKind};
use crate::model::condition::{Conditions, IfRange};
use crate::model::encryption::{CustomerKey, EncryptionRequest, Sealing};
use crate::model::id::UploadId;
use crate::model::lock::Retention;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::{Content, Entry, Object};
use crate::model::page::PageQuery;
use crate::model::range::ByteRange;
use crate::model::tag::Tags;
use crate::model::time::Timestamp;
use crate::model::upload::{Part, Upload};
use crate::model::versioning::VersionRef;
pub use crate::provider::Body;
use crate::store::error::BodyError;
pub use attached::{AttachedChange, GranteeRequest, GrantsRequest, ShownAcl};
pub use incoming::{Frames, Incoming, Trailer};
pub use walks::{
    Finding, FindingKind, FsckOptions, FsckReport, GcOptions, GcReport, ScanOptions, ScanReport, UnderWay,
};

/// What a write wants attached to the object it makes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// Its tags.
    pub tags: Tags,
    /// Its access control list.
    pub acl: AclRequest,
    /// Its retention; `None`: that of the bucket.
    pub retention: Option<Retention>,
    /// Its legal hold.
    pub legal_hold: Option<bool>,
    /// How its bytes are encrypted.
    pub encryption: EncryptionRequest,
    /// Whether it takes over since when there is something at the key from what it replaces.
    pub keeps_created: bool,
    /// Whose it is and since when, where it was another key's until now.
    pub heritage: Option<Heritage>,
    /// Whether it is the first half of a move: in a FileStore it stays whose it is then, and what is said of it follows it.
    pub moved: bool,
    /// Whether a form of a browser brought it.
    pub posted: bool,
    /// When an upload is given up that has not become an object by then.
    pub ends: Option<Timestamp>,
}

/// What an object takes over from the one that it is a copy of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heritage {
    /// Canonical id of its owner.
    pub owner: String,
    /// When it came to be.
    pub created: Timestamp,
}

/// The access control list that a request asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AclRequest {
    /// None: the owner's full control.
    #[default]
    None,
    /// One by name.
    Canned(Canned),
    /// These grants.
    Grants(GrantsRequest),
}

/// Asked once, after the last frame: what came behind the bytes that changes what is said about them.
pub type Behind = Box<dyn FnOnce(Content) -> Result<Content, BodyError> + Send>;

/// Write an object.
#[derive(Debug)]
pub struct PutRequest {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// What the client says about the bytes.
    pub content: Content,
    /// What is attached to it.
    pub given: Given,
    /// Only if.
    pub conditions: Conditions,
    /// The bytes.
    pub body: Incoming,
}

/// Which bytes of an object to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Portion {
    /// All.
    Whole,
    /// A range.
    Range(ByteRange),
    /// One part, by its number.
    Part(u32),
}

/// Read an object.
#[derive(Debug, Clone)]
pub struct GetRequest {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// Which version; `None`: the current one.
    pub version: Option<VersionRef>,
    /// Which bytes.
    pub portion: Portion,
    /// Of which state a range is wanted; of another one the whole is meant.
    pub if_range: Option<IfRange>,
    /// Only if.
    pub conditions: Conditions,
    /// The key that the client encrypted it with.
    pub customer_key: Option<CustomerKey>,
}

/// An object found.
#[derive(Debug)]
pub struct Found {
    /// Its facts.
    pub object: Object,
    /// The bytes asked for; the whole if no portion was.
    pub range: Range<u64>,
    /// Whether a range or part was asked for: the answer is partial even if it covers everything.
    pub partial: bool,
    /// The part that was asked for.
    pub part: Option<crate::model::object::PartFact>,
}

/// Delete a key.
#[derive(Debug, Clone)]
pub struct DeleteRequest {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// Remove this version for good; `None`: delete the key, which in a bucket with versions adds a marker.
    pub version: Option<VersionRef>,
    /// Lift governance, if the caller may.
    pub bypass_governance: bool,
    /// Only if.
    pub conditions: Conditions,
}

impl DeleteRequest {
    /// Deletes what is at a key, and holds to what locks it.
    #[must_use]
    pub fn current(bucket: BucketName, key: ObjectKey, conditions: Conditions) -> Self {
        Self { bucket, key, version: None, bypass_governance: false, conditions }
    }
}

/// What a delete did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deletion {
    /// The version that was removed for good, or the marker that was added.
    pub version: Option<VersionRef>,
    /// Whether that is a delete marker.
    pub marker: bool,
}

/// Which versions to list.
#[derive(Debug, Clone, Default)]
pub struct VersionQuery {
    /// Prefix, delimiter, key marker and limit.
    pub page: PageQuery,
    /// Among the versions of the key marker, only those behind this one.
    pub after_version: Option<VersionRef>,
}

/// A page of versions.
#[derive(Debug, Clone, Default)]
pub struct VersionPage {
    /// The versions and markers.
    pub entries: Vec<Entry>,
    /// The common prefixes.
    pub prefixes: Vec<String>,
    /// The key and version the next page begins behind; a common prefix has no version.
    pub next: Option<(String, Option<VersionRef>)>,
}

/// What a copy carries over.
#[derive(Debug, Clone)]
pub enum CopyContent {
    /// What the source has.
    Keep,
    /// What the source has, but for what S3 never copies: that is as it is given here.
    KeepBut {
        /// The storage class; `None` is STANDARD.
        storage_class: Option<String>,
        /// Where a website sends who asks for the copy.
        redirect: Option<String>,
    },
    /// This instead.
    Replace(Box<Content>),
}

impl CopyContent {
    /// What the copy of a source with this content has.
    pub(super) fn over<'c>(&'c self, source: &'c Content) -> Cow<'c, Content> {
        match self {
            Self::Keep => Cow::Borrowed(source),
            Self::KeepBut { storage_class, redirect } => Cow::Owned(Content {
                storage_class: storage_class.clone(),
                redirect: redirect.clone(),
                ..source.clone()
            }),
            Self::Replace(content) => Cow::Borrowed(content),
        }
    }
}

/// Copy an object.
#[derive(Debug, Clone)]
pub struct CopyRequest {
    /// The source bucket.
    pub from_bucket: BucketName,
    /// The source key.
    pub from_key: ObjectKey,
    /// Which version of it; `None`: the current one.
    pub from_version: Option<VersionRef>,
    /// Only if the source is so.
    pub source_conditions: Conditions,
    /// The key that the client encrypted the source with.
    pub source_key: Option<CustomerKey>,
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// Metadata and headers.
    pub content: CopyContent,
    /// Whether the copy gets the tags of the source instead of those given.
    pub keep_tags: bool,
    /// What is attached to the copy.
    pub given: Given,
    /// Only if the destination is so.
    pub conditions: Conditions,
    /// The checksum to compute; `None`: that of the source.
    pub algorithm: Option<Algorithm>,
}

/// What a copy made.
#[derive(Debug, Clone)]
pub struct Copied {
    /// The copy.
    pub object: Object,
    /// The version it was made of.
    pub source: VersionRef,
}

/// Begin an upload.
#[derive(Debug, Clone)]
pub struct CreateUpload {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// What the object will carry.
    pub content: Content,
    /// What will be attached to it.
    pub given: Given,
    /// The conditions that it will be completed under, as far as they are known.
    pub conditions: Conditions,
    /// How long it will be, if that is known.
    pub length: Option<u64>,
    /// The checksum announced.
    pub checksum: Option<(Algorithm, ChecksumKind)>,
}

/// An upload as requests name it.
#[derive(Debug, Clone)]
pub struct UploadRef {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// The id; a text that is none is `NoSuchUpload` at the front.
    pub id: UploadId,
}

/// Copy a part from an object.
#[derive(Debug, Clone)]
pub struct PartCopy {
    /// The source bucket.
    pub from_bucket: BucketName,
    /// The source key.
    pub from_key: ObjectKey,
    /// Which version of it; `None`: the current one.
    pub from_version: Option<VersionRef>,
    /// Only if the source is so.
    pub source_conditions: Conditions,
    /// The key that the client encrypted the source with.
    pub source_key: Option<CustomerKey>,
    /// First and last byte; `None`: all. One past the end is refused as `InvalidRange`.
    pub range: Option<(u64, u64)>,
}

/// A part as Complete lists it.
#[derive(Debug, Clone)]
pub struct ListedPart {
    /// Its number.
    pub number: u32,
    /// Its ETag without quotes.
    pub etag: String,
    /// The checksum the client lists with it.
    pub checksum: Option<Checksum>,
}

/// Complete an upload.
#[derive(Debug, Clone)]
pub struct CompleteRequest {
    /// The upload.
    pub upload: UploadRef,
    /// Its parts, in the order they were listed.
    pub parts: Vec<ListedPart>,
    /// Only if.
    pub conditions: Conditions,
    /// The size the client says the object has.
    pub size: Option<u64>,
    /// The checksum the client says the object has.
    pub checksum: Option<Checksum>,
    /// The checksum type the client repeats.
    pub kind: Option<ChecksumKind>,
    /// The key that the client encrypted the parts with.
    pub customer_key: Option<CustomerKey>,
}

/// What Complete made.
#[derive(Debug, Clone)]
pub struct Completed {
    /// The version that was made.
    pub version: VersionRef,
    /// The ETag without quotes.
    pub etag: String,
    /// The checksum that is shown.
    pub checksum: Option<Checksum>,
    /// How its bytes are encrypted.
    pub sealing: Option<Sealing>,
}

/// A page of parts.
#[derive(Debug, Clone)]
pub struct PartPage {
    /// The upload.
    pub upload: Upload,
    /// Its parts.
    pub parts: Vec<Part>,
    /// Whether more follow.
    pub more: bool,
}

/// Which uploads to list.
#[derive(Debug, Clone, Default)]
pub struct UploadQuery {
    /// Only keys that begin with this.
    pub prefix: String,
    /// Group keys.
    pub delimiter: Option<String>,
    /// Only after this key.
    pub key_marker: Option<String>,
    /// Among the uploads of the key marker, only after this one.
    pub upload_marker: Option<UploadId>,
    /// Most entries.
    pub limit: usize,
}

/// A page of uploads.
#[derive(Debug, Clone, Default)]
pub struct UploadPage {
    /// The uploads.
    pub uploads: Vec<Upload>,
    /// The common prefixes.
    pub prefixes: Vec<String>,
    /// The key and upload the next page begins after.
    pub next: Option<(String, Option<UploadId>)>,
}

/// Make a bucket.
#[derive(Debug, Clone, Default)]
pub struct CreateBucket {
    /// Its access control list.
    pub acl: AclRequest,
    /// The rest of its configuration.
    pub config: BucketConfig,
    /// Whether anyone may read its objects.
    pub public: bool,
    /// The provider it is asked for on; `None`: the one that the rules say.
    pub provider: Option<String>,
}

/// Which buckets to list.
#[derive(Debug, Clone, Default)]
pub struct BucketQuery {
    /// Only names that begin with this.
    pub prefix: String,
    /// Only after this name.
    pub after: Option<String>,
    /// Most names.
    pub limit: usize,
}

/// A page of buckets.
#[derive(Debug, Clone, Default)]
pub struct BucketPage {
    /// The buckets.
    pub buckets: Vec<Bucket>,
    /// The name the next page begins after.
    pub next: Option<String>,
}

/// A read with its bytes.
#[derive(Debug)]
pub struct FoundBody {
    /// The facts.
    pub found: Found,
    /// The bytes of `found.range`.
    pub body: Body,
}

/// A part that was stored.
#[derive(Debug, Clone)]
pub struct PartStored {
    /// The ETag without quotes: hex MD5, unless it is encrypted with another key than the server's own.
    pub etag: String,
    /// The checksum that is shown.
    pub checksum: Option<Checksum>,
    /// When.
    pub modified: Timestamp,
    /// How its bytes are encrypted.
    pub sealing: Option<Sealing>,
}

/// A part that was copied from an object.
#[derive(Debug, Clone)]
pub struct PartCopied {
    /// The part.
    pub part: PartStored,
    /// The version it was made of.
    pub source: VersionRef,
}
