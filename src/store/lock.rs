//! Order among writers of one key inside this process.
//!
//! A lock covers conditions, commit and lay-out of one key. It is speed and order, never correctness: that is the
//! compare-and-swap of the commit. Keys share a fixed number of stripes, so the locks take no memory that grows; two keys
//! of one stripe wait for each other, which costs time and nothing else.
//!
//! **Invariant:** a task holds at most one stripe, so no two tasks can wait for each other in a circle.

use std::hash::{BuildHasher as _, RandomState};

use tokio::sync::{Mutex, MutexGuard};

use crate::model::id::BucketId;
use crate::model::name::{BucketName, ObjectKey};

/// Stripes: with 64 writers at once, fewer than one pair in a hundred meets by chance.
const STRIPES: usize = 4096;

pub(super) struct KeyLocks {
    stripes: Box<[Mutex<()>]>,
    hasher: RandomState,
}

impl std::fmt::Debug for KeyLocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyLocks")
    }
}

impl KeyLocks {
    pub(super) fn new() -> Self {
        Self { stripes: (0..STRIPES).map(|_| Mutex::new(())).collect(), hasher: RandomState::new() }
    }

    /// Waits for the key. On cancellation: nothing is held.
    pub(super) async fn lock(&self, bucket: BucketId, key: &ObjectKey) -> MutexGuard<'_, ()> {
        self.stripe(self.hasher.hash_one((bucket, key))).await
    }

    /// Waits for the name of a bucket, among locks that are for names. On cancellation: nothing is held.
    pub(super) async fn lock_name(&self, name: &BucketName) -> MutexGuard<'_, ()> {
        self.stripe(self.hasher.hash_one(name)).await
    }

    async fn stripe(&self, hash: u64) -> MutexGuard<'_, ()> {
        let stripe = usize::try_from(hash % STRIPES as u64).unwrap_or(0);
        self.stripes[stripe].lock().await
    }
}
