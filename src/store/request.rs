//! What fronts ask of the store, and what they get.

mod attached;

use std::fmt;
use std::ops::Range;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;

pub use crate::catalog::Progress;
use crate::model::acl::Canned;
use crate::model::bucket::{Bucket, BucketConfig};
use crate::model::checksum::{Algorithm, Checksum, ChecksumKind};
use crate::model::condition::Conditions;
use crate::model::encryption::EncryptionRequest;
use crate::model::id::{UploadId, VersionId};
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

/// The frames of a body as they arrive.
pub type Frames = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>;

/// Asked once, after the last frame: the checksum that came as a trailer.
pub type Trailer = Box<dyn FnOnce() -> Result<Checksum, BodyError> + Send>;

/// A body on its way in. It must end exactly as declared, or nothing happens.
pub struct Incoming {
    /// Declared length in bytes; `None` if the protocol has none.
    pub length: Option<u64>,
    /// The frames.
    pub frames: Frames,
    /// The MD5 that the client says it has.
    pub md5: Option<[u8; 16]>,
    /// The checksum that the client says it has.
    pub checksum: Option<Checksum>,
    /// The checksum to compute and keep, if only its algorithm was named, or its value comes as a trailer.
    pub algorithm: Option<Algorithm>,
    /// Where the value comes from if it follows the body.
    pub trailer: Option<Trailer>,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("length", &self.length).finish_non_exhaustive()
    }
}

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
    /// Only if.
    pub conditions: Conditions,
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
    /// This instead.
    Replace(Box<Content>),
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

/// What a scan did.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct ScanReport {
    /// Files met.
    pub files: u64,
    /// Rows met.
    pub rows: u64,
    /// Files that had no row and have one now.
    pub adopted: u64,
    /// Rows whose file had been edited and that say so now.
    pub changed: u64,
    /// Rows whose file is gone, and that are gone now.
    pub removed: u64,
    /// Objects restored from their records by `rebuild`.
    pub restored: u64,
    /// Managed files that `rebuild` did not restore: writes that never came to their commit. They stay for `gc`.
    pub orphans: u64,
    /// Names that cannot be keys and are not served.
    pub unnameable: u64,
    /// Rows whose file is gone, if dropping them all was too much to do unasked; nothing was dropped then.
    pub held_back: u64,
}

/// When and how a scan runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScanOptions {
    /// Only say what would be done.
    pub dry_run: bool,
    /// Compute true MD5s of adopted files.
    pub hash: bool,
    /// Drop rows even if they are more than a hundredth.
    pub force: bool,
    /// Take identity from records: an administrator is rebuilding a lost catalog.
    pub rebuild: bool,
}

/// What `fsck` looks at and does.
#[derive(Debug, Clone, Copy, Default)]
pub struct FsckOptions {
    /// Read every byte and hold it against ETag and checksums.
    pub deep: bool,
    /// Do what a scan or `gc` would do about each finding. What cannot be repaired is kept.
    pub repair: bool,
}

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// The bytes of a row are at none of its places.
    MissingBytes,
    /// Other bytes are at the key than the row says: somebody edited them.
    ChangedBytes,
    /// The bytes are not those of the ETag or of a checksum.
    CorruptBytes,
    /// A file may not be read.
    UnreadableFile,
    /// A file has no row.
    UnindexedFile,
    /// A file lies at the path of a managed object and is not served.
    HiddenFile,
    /// No row, part or step names a managed file, and it is older than the grace.
    Orphan,
    /// A live record says something else than its row.
    RecordDiffers,
    /// A step that is owed cannot be taken.
    StuckStep,
    /// The bytes of a part of an upload are gone.
    MissingPart,
}

impl FindingKind {
    /// Its name in output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MissingBytes => "missing-bytes",
            Self::ChangedBytes => "changed-bytes",
            Self::CorruptBytes => "corrupt-bytes",
            Self::UnreadableFile => "unreadable-file",
            Self::UnindexedFile => "unindexed-file",
            Self::HiddenFile => "hidden-file",
            Self::Orphan => "orphan",
            Self::RecordDiffers => "record-differs",
            Self::StuckStep => "stuck-step",
            Self::MissingPart => "missing-part",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// The key, where there is one.
    pub key: Option<String>,
    /// The version, where there is one.
    pub version: Option<VersionId>,
    /// Whether it was repaired.
    pub repaired: bool,
}

/// What `fsck` found.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct FsckReport {
    /// Files met at natural places.
    pub files: u64,
    /// Rows met.
    pub rows: u64,
    /// Managed files met.
    pub managed: u64,
    /// Parts of uploads met.
    pub parts: u64,
    /// Bytes that were read and hashed.
    pub hashed_bytes: u64,
    /// Managed files that nothing names yet, younger than the grace: writes under way, or what a crash just left.
    pub unsettled: u64,
    /// Names that cannot be keys and are not served.
    pub unnameable: u64,
    /// How many there are of each kind.
    pub counts: std::collections::BTreeMap<FindingKind, u64>,
    /// How many were repaired.
    pub repaired: u64,
    /// The first of them, up to a limit.
    pub findings: Vec<Finding>,
}

impl FsckReport {
    /// How many things are wrong and stay so.
    #[must_use]
    pub fn wrong(&self) -> u64 {
        self.counts.values().sum::<u64>().saturating_sub(self.repaired)
    }
}

/// What `gc` frees.
#[derive(Debug, Clone, Copy)]
pub struct GcOptions {
    /// Only say what would be done.
    pub dry_run: bool,
    /// Leave alone what is younger.
    pub grace: std::time::Duration,
    /// Free files that look like objects even if they are more than a hundredth: else the catalog is suspected.
    pub force: bool,
}

impl Default for GcOptions {
    fn default() -> Self {
        let grace = std::time::Duration::from_secs(crate::config::limits::GC_GRACE_SECONDS);
        Self { dry_run: false, grace, force: false }
    }
}

/// What `gc` did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct GcReport {
    /// Managed files met.
    pub managed: u64,
    /// Those younger than the grace that nothing names yet.
    pub young: u64,
    /// Those that were freed.
    pub freed: u64,
    /// Bytes of those.
    pub freed_bytes: u64,
    /// Versions that a delete which was cut short had left aside, and that are at their keys again.
    pub put_back: u64,
    /// Staged bodies of processes that ended, removed.
    pub staged: u64,
    /// Files that look like objects and that no row names, kept because there are too many: is the catalog an old one?
    pub held_back: u64,
}

/// A walk under way in this process.
#[derive(Debug, Clone)]
pub struct UnderWay {
    /// Its bucket.
    pub bucket: BucketName,
    /// What it has met so far.
    pub progress: Progress,
    /// The files that the latest walk before it met.
    pub expected: Option<u64>,
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
    /// Hex MD5.
    pub etag: String,
    /// The checksum that is shown.
    pub checksum: Option<Checksum>,
    /// When.
    pub modified: Timestamp,
}
