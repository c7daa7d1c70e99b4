//! What happened, and is still to be told outside.
//!
//! **Invariant:** an event is written by the commit of what it tells of, and its text is whole then: nothing is looked
//! up when it is told. Numbers grow and are not used again, and those of one key come in the order of its commits.

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
