//! What callers of a catalog say and hear: changes, steps that are owed, windows of listings.
//!
//! **Invariant:** a change names the row it was decided upon; a step is owed by the commit it stands in.

use bytes::Bytes;

use super::NewEvent;
use crate::model::bucket::{BucketConfig, BucketSettings, Intake};
use crate::model::id::{BucketId, UploadId, VersionId};
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::{Content, Entry, Object, Seen};
use crate::model::page::Seek;
use crate::model::place::{Displaced, Stamp};
use crate::model::time::Timestamp;
use crate::model::upload::UploadState;
use crate::model::versioning::VersionRef;

/// Under whose rights a statement runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Scope {
    /// Longshore's own.
    Service,
    /// Those of a database role with a token's claims: buckets and objects are looked up, listed, made, changed and removed
    /// as its policies let it; nothing else is done under a role.
    As(Acting),
}

/// As whom, and on which occasion.
#[derive(Debug, Clone, PartialEq)]
pub struct Acting {
    /// The role.
    pub role: String,
    /// The claims, as JSON.
    pub claims: serde_json::Value,
    /// What is being done, for policies that ask: `storage.object.upload` and the like.
    pub operation: String,
    /// A write is to make a new object and never to replace one: it needs the right to insert, and no more.
    pub only_new: bool,
}

/// What somebody means to do with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// Write it. The policies see this much of what is to come.
    Write {
        /// Its type.
        content_type: Option<String>,
        /// How long it is said to be.
        length: Option<u64>,
        /// The metadata of its user, if there is any.
        user: Option<serde_json::Value>,
    },
    /// Remove it.
    Remove,
    /// Change what is attached to it.
    Change,
    /// Give it another name.
    Move {
        /// The bucket of that name.
        bucket: BucketId,
        /// The key.
        key: ObjectKey,
    },
    /// Remove one version of it for good.
    RemoveVersion(VersionRef),
    /// Change what is attached to one version of it.
    ChangeVersion(VersionRef),
}

impl Intent {
    /// To write an object of this content.
    #[must_use]
    pub fn write(content: &Content, length: Option<u64>) -> Self {
        let document = content.document.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let user = document.or_else(|| (!content.user.is_empty()).then(|| serde_json::json!(content.user)));
        Self::Write { content_type: content.content_type.clone(), length, user }
    }
}

/// What somebody means to do with a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BucketIntent {
    /// Make it.
    Make {
        /// Its name.
        name: BucketName,
        /// Whether everyone may read its objects.
        public: bool,
        /// What it takes.
        intake: Intake,
    },
    /// Change it.
    Set {
        /// Which.
        bucket: BucketId,
        /// Whether everyone may read its objects.
        public: bool,
        /// What it takes.
        intake: Intake,
    },
    /// Remove it.
    Remove(BucketId),
}

/// A page of what a role sees.
#[derive(Debug, Clone, Default)]
pub struct Sight {
    /// The rows.
    pub entries: Vec<Entry>,
    /// Where it stopped to look, if that is neither the end nor the last row: behind this key, which the role may not see.
    pub stopped: Option<String>,
}

/// A bucket to be made.
#[derive(Debug, Clone)]
pub struct NewBucket {
    /// Its name.
    pub name: BucketName,
    /// The provider of its container.
    pub provider: String,
    /// Its container.
    pub container: BucketName,
    /// Canonical id of its owner.
    pub owner: String,
    /// When.
    pub created: Timestamp,
    /// Its settings.
    pub settings: BucketSettings,
    /// What its maker set with it.
    pub config: BucketConfig,
    /// Whether it is known to be empty, and so indexed from the start.
    pub indexed: Option<Timestamp>,
}

/// One change of one key.
#[derive(Debug, Clone)]
pub struct Change {
    /// The bucket. If it is gone the commit ends with [`Error::NotFound`](super::Error::NotFound).
    pub bucket: BucketId,
    /// The key.
    pub key: ObjectKey,
    /// The row the change was checked against; `None`: there must be no row.
    pub expect: Option<Seen>,
    /// The new current version; `None`: none.
    pub becomes: Option<Object>,
    /// What becomes of the versions behind it.
    pub history: Vec<History>,
    /// The revision of the bucket's configuration it was decided under; `None`: it does not depend on it. Under another
    /// one the commit ends with [`Error::Conflict`](super::Error::Conflict).
    pub revision: Option<u64>,
}

impl Change {
    /// A change of the row alone.
    #[must_use]
    pub fn of_row(bucket: BucketId, key: ObjectKey, expect: Option<Seen>, becomes: Option<Object>) -> Self {
        Self { bucket, key, expect, becomes, history: Vec::new(), revision: None }
    }
}

/// One change of the noncurrent versions and delete markers of a key.
#[derive(Debug, Clone)]
pub enum History {
    /// Adds one. [`Error::Conflict`](super::Error::Conflict) if it is shown as `null` and another one is.
    Add(Box<Object>),
    /// Removes one, as it was seen. [`Error::Conflict`](super::Error::Conflict) if it is not there, or was changed.
    Remove(Seen),
    /// Changes the facts of one, as it was seen.
    Replace(Seen, Box<Object>),
    /// Of those that are left this must be the newest (`None`: none is left), or [`Error::Conflict`](super::Error::Conflict).
    Newest(Option<VersionId>),
}

/// A step owed to a provider.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Step {
    /// Lay `version` out at the key.
    LayOut {
        /// Its stamp.
        stamp: Stamp,
        /// The bytes it displaced.
        over: Option<Stamp>,
        /// What becomes of those.
        #[serde(default)]
        displaced: Displaced,
        /// Its order.
        counter: u64,
    },
    /// Make the bytes at the managed place durable: they were published unsynced.
    Settle {
        /// Their stamp.
        stamp: Stamp,
    },
    /// Free the bytes of `version`, which no row names any more.
    Drop {
        /// Its stamp.
        stamp: Option<Stamp>,
    },
    /// Move the bytes of `version`, which is no longer current or is held, from its key to its managed place, and say so
    /// in their record.
    SetAside {
        /// Their stamp.
        stamp: Stamp,
    },
    /// Write the record beside the bytes of `version` anew, as its row says it now.
    Note {
        /// Its stamp.
        stamp: Stamp,
    },
    /// Free the attempts of an upload.
    FreeUpload {
        /// The provider's handle.
        handle: String,
        /// The attempts.
        attempts: Vec<VersionId>,
    },
}

impl Step {
    /// Whether these bytes at the key are being freed or displaced: who took them for a file that others put there would
    /// bring a deleted object back.
    #[must_use]
    pub fn names(&self, found: &Stamp) -> bool {
        match self {
            Self::LayOut { stamp, over, .. } => stamp == found || over.as_ref() == Some(found),
            Self::Drop { stamp } => stamp.as_ref() == Some(found),
            Self::SetAside { stamp } => stamp == found,
            Self::Settle { .. } | Self::Note { .. } | Self::FreeUpload { .. } => false,
        }
    }
}

/// A step to be written with a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// The bucket.
    pub bucket: BucketId,
    /// The key.
    pub key: ObjectKey,
    /// The version it is about.
    pub version: VersionId,
    /// What is owed.
    pub step: Step,
    /// The bytes of the version, kept with the step until it is durable: they are the version, whatever lies at its
    /// places. Only when a step is written; see [`Task::inline`] and [`Catalog::inline`](super::Catalog::inline).
    pub bytes: Option<Bytes>,
}

/// A step in the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its number, which grows.
    pub id: i64,
    /// What is owed. Its bytes stay in the catalog.
    pub task: NewTask,
    /// How many bytes are kept with it.
    pub inline: Option<u64>,
    /// Whether it is this process's to take.
    pub ours: bool,
}

/// How a commit ends an upload: from `completing` to done, with its part rows removed, or not at all.
#[derive(Debug, Clone)]
pub struct UploadEnd {
    /// The upload.
    pub id: UploadId,
    /// The state to write, `Done`.
    pub state: UploadState,
}

/// How the latest walk of a bucket goes or went, for whoever looks from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Progress {
    /// When it began.
    pub began: Timestamp,
    /// When it came to its end; `None`: it is under way, or was cut short.
    pub ended: Option<Timestamp>,
    /// Files met.
    pub files: u64,
    /// Rows met.
    pub rows: u64,
    /// Rows without a file that it did not drop because they were too many.
    pub held_back: u64,
}

/// A managed file that `gc` means to free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unnamed {
    /// The version its name says.
    pub version: VersionId,
    /// What identifies its bytes.
    pub stamp: Stamp,
}

/// One atomic decision.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// The changes; all or none.
    pub changes: Vec<Change>,
    /// The steps they owe.
    pub tasks: Vec<NewTask>,
    /// The upload that becomes an object by it; it must be `Completing`, else [`Error::Conflict`](super::Error::Conflict).
    pub upload: Option<UploadEnd>,
    /// What is to be told of them.
    pub events: Vec<NewEvent>,
    /// A key at which nothing may be, while its neighbour comes to be: `a` beside `a/`. Of commits that each need the other's
    /// key to be free one wins; for the other one it is an [`Error::Conflict`](super::Error::Conflict).
    pub free: Option<(BucketId, ObjectKey)>,
    /// A client's write: a bucket that would hold more than its quota by it ends it with [`Error::QuotaExceeded`](super::Error::QuotaExceeded).
    pub within_quota: bool,
}

/// Which rows of a bucket.
#[derive(Debug, Clone)]
pub struct Window {
    /// Only keys that begin with this.
    pub prefix: String,
    /// Where to begin.
    pub seek: Seek,
    /// Most rows.
    pub limit: usize,
}

/// Which versions of a bucket.
#[derive(Debug, Clone)]
pub struct VersionWindow {
    /// Only keys that begin with this.
    pub prefix: String,
    /// First of all what is left of one key: its versions whose order is below this.
    pub rest_of: Option<(ObjectKey, u64)>,
    /// Where to go on then.
    pub seek: Seek,
    /// Most rows.
    pub limit: usize,
}

/// What a part replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartAdded {
    /// The attempt that no longer counts. A `Drop` of it was written to the outbox in the same commit.
    pub displaced: Option<Task>,
}

/// An access key with its sealed secret.
#[derive(Debug, Clone)]
pub struct AccessKey {
    /// The access key id.
    pub access_key: String,
    /// The user it belongs to.
    pub user: String,
    /// The secret, sealed with the master key for the key's id and its claims.
    pub sealed_secret: Vec<u8>,
    /// What a token of it would say, as JSON, if it is a key of a role and not of its user.
    pub claims: Option<String>,
    /// When it was made.
    pub created: Timestamp,
}
