//! A multipart upload as the catalog knows it.
//!
//! **Invariant:** a part row names one attempt, which was durable before the row; the attempt that ends last counts.

use serde::{Deserialize, Serialize};

use crate::model::checksum::{Algorithm, Checksum, ChecksumKind};
use crate::model::id::{BucketId, UploadId, VersionId};
use crate::model::name::ObjectKey;
use crate::model::object::{Attached, Content};
use crate::model::place::Stamp;
use crate::model::time::Timestamp;

/// How far an upload has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UploadState {
    /// Takes parts.
    Open,
    /// Being assembled; returns to open if the process ends before the commit.
    Completing,
    /// Complete. Kept for a day so that a repeated Complete is answered alike.
    Done(Box<UploadResult>),
    /// Given up; its parts are being freed.
    Aborted,
}

/// What Complete answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadResult {
    /// The version that was made.
    pub version: VersionId,
    /// Whether its id is shown as `null`.
    #[serde(default = "yes")]
    pub null: bool,
    /// The ETag without quotes.
    pub etag: String,
    /// The checksum that is shown.
    pub checksum: Option<Checksum>,
    /// The part numbers and ETags that were listed, as one digest: a repeat must list the same.
    pub listed: String,
}

fn yes() -> bool {
    true
}

/// One upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its id.
    pub id: UploadId,
    /// The bucket.
    pub bucket: BucketId,
    /// The key it will become.
    pub key: ObjectKey,
    /// When it was begun.
    pub created: Timestamp,
    /// Canonical id of who began it; only that caller, the bucket's owner and root may go on with it.
    pub initiator: String,
    /// Canonical id of who will own the object.
    pub owner: String,
    /// What the object will carry.
    pub content: Content,
    /// What will be attached to it.
    pub attached: Attached,
    /// The checksum the client announced.
    pub checksum: Option<(Algorithm, ChecksumKind)>,
    /// The provider's own handle, stored before the first part is accepted; empty where it has none.
    pub handle: String,
    /// How far it has come.
    pub state: UploadState,
}

/// One part of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// 1 to 10,000.
    pub number: u32,
    /// The attempt whose bytes count, and the name of its managed place.
    pub attempt: VersionId,
    /// What identifies the bytes there.
    pub stamp: Stamp,
    /// Bytes.
    pub size: u64,
    /// When it was finished.
    pub modified: Timestamp,
    /// Hex MD5 of its bytes, or what stands for it where they are encrypted with another key than the server's own.
    pub etag: String,
    /// The checksum of the upload's algorithm.
    pub checksum: Option<Checksum>,
    /// CRC-64/NVME of its bytes.
    pub crc64nvme: u64,
}
