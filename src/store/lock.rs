//! Order among writers of one key inside this process.
//!
//! A lock covers conditions, commit and lay-out of one key. It is speed and order, never correctness: that is the
//! compare-and-swap of the commit. Keys share a fixed number of stripes, so the locks take no memory that grows; two keys
//! of one stripe wait for each other, which costs time and nothing else.
//!
//! **Invariant:** a task waits for a stripe only while it holds none, or one that comes before it, so no two tasks can wait
//! for each other in a circle.

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

    /// Waits for two keys, which may be one. On cancellation: nothing is held.
    pub(super) async fn lock_both(
        &self,
        one: (BucketId, &ObjectKey),
        other: (BucketId, &ObjectKey),
    ) -> (MutexGuard<'_, ()>, Option<MutexGuard<'_, ()>>) {
        let mut stripes = [one, other].map(|(bucket, key)| stripe_of(self.hasher.hash_one((bucket, key))));
        stripes.sort_unstable();
        let first = self.stripes[stripes[0]].lock().await;
        let second = if stripes[0] == stripes[1] { None } else { Some(self.stripes[stripes[1]].lock().await) };
        (first, second)
    }

    /// Waits for the name of a bucket, among locks that are for names. On cancellation: nothing is held.
    pub(super) async fn lock_name(&self, name: &BucketName) -> MutexGuard<'_, ()> {
        self.stripe(self.hasher.hash_one(name)).await
    }

    async fn stripe(&self, hash: u64) -> MutexGuard<'_, ()> {
        self.stripes[stripe_of(hash)].lock().await
    }
}

fn stripe_of(hash: u64) -> usize {
    usize::try_from(hash % STRIPES as u64).unwrap_or(0)
}
