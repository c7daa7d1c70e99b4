//! What walks of a bucket are asked for, and what they find and did.
//!
//! **Invariant:** the numbers of a report tell of everything that was met, also of what a list is too short to name.

use crate::catalog::Progress;
use crate::model::id::VersionId;
use crate::model::name::BucketName;

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
    /// Objects and parts whose bytes a deep check could not verify: they are encrypted with a client's key, or with one
    /// that is not configured.
    pub sealed: u64,
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
