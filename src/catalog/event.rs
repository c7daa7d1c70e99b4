//! What happened, and is still to be told outside.

use crate::model::id::BucketId;
use crate::model::name::ObjectKey;
use crate::model::time::Timestamp;

/// Something that happened, for a target outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// The bucket, which may be gone when it is told.
    pub bucket: BucketId,
    /// The key: events of one are told in order.
    pub key: ObjectKey,
    /// The name of the target.
    pub target: String,
    /// When it happened.
    pub created: Timestamp,
    /// What is told.
    pub text: String,
}

/// An event that is still to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its number, which grows.
    pub id: i64,
    /// What happened.
    pub event: NewEvent,
}
