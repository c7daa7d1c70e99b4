//! Removals of which nobody knows whether they are still to come: the storage was not waited for any longer.
//!
//! **Invariant:** while a version is in here the copy of it that was set aside stays, because it may become all there is.
//! Whoever puts one in that nobody looks after yet looks after it when it is over; how many there are is bounded.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::limits::{REMOVAL_LATE_SECONDS_MAX, REMOVALS_LATE_MAX};
use crate::model::id::VersionId;

/// Versions that may still be removed from their keys, and until when.
#[derive(Debug, Default)]
pub(super) struct Late(Mutex<BTreeMap<VersionId, Instant>>);

impl Late {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<VersionId, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a version may still be removed from its key.
    pub(super) fn has(&self, version: VersionId) -> bool {
        self.lock().contains_key(&version)
    }

    /// Notes that a version may be removed from its key, from now on for a while. True: the caller is to wait until that
    /// is over, as nobody does yet.
    pub(super) fn note(&self, version: VersionId) -> bool {
        let until = Instant::now() + Duration::from_secs(REMOVAL_LATE_SECONDS_MAX);
        let mut all = self.lock();
        let is_new = !all.contains_key(&version);
        if is_new && all.len() >= REMOVALS_LATE_MAX {
            return false;
        }
        all.insert(version, until);
        is_new
    }

    /// Waits until a version cannot be removed from its key any more, however often that was noted anew.
    pub(super) async fn over(&self, version: VersionId) {
        while let Some(until) = self.until(version) {
            tokio::time::sleep_until(until.into()).await;
        }
    }

    /// Until when, if that is not over; what is over is forgotten.
    fn until(&self, version: VersionId) -> Option<Instant> {
        match self.lock().entry(version) {
            Entry::Occupied(until) if *until.get() > Instant::now() => Some(*until.get()),
            Entry::Occupied(until) => {
                until.remove();
                None
            }
            Entry::Vacant(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_waits_until_the_last_removal_cannot_come() {
        let (late, version) = (Late::default(), VersionId::fresh());
        assert!(late.note(version) && !late.note(version) && late.has(version));
        late.lock().insert(version, Instant::now() + Duration::from_millis(30));
        late.over(version).await;
        assert!(!late.has(version));
        assert!((0..REMOVALS_LATE_MAX).all(|_| late.note(VersionId::fresh())));
        assert!(!late.note(VersionId::fresh()), "there are too many");
    }
}
