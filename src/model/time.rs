//! Instants, and the one clock.
//!
//! **Invariant:** two values of [`Clock::unique`] of one process are never equal, so an mtime of ours never repeats and
//! a stamp made of it identifies one body.

use std::sync::atomic::{AtomicI64, Ordering};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// From whole seconds and nanoseconds, as a file system gives them; saturates outside the years 1677 to 2262.
    #[must_use]
    pub fn from_parts(seconds: i64, nanos: u32) -> Self {
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(nanos)))
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// Nanoseconds within the second.
    #[must_use]
    pub fn subsec_nanos(self) -> u32 {
        u32::try_from(self.0.rem_euclid(1_000_000_000)).unwrap_or(0)
    }

    /// The date and time in UTC.
    #[must_use]
    pub fn to_utc(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// From a date and time; saturates outside the years 1677 to 2262.
    #[must_use]
    pub fn from_utc(at: OffsetDateTime) -> Self {
        let nanos = at.unix_timestamp_nanos();
        Self(i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX }))
    }
}

/// The clock of the process. All code asks it, so that a test can see every place where time matters.
#[derive(Debug, Default)]
pub struct Clock {
    last: AtomicI64,
}

impl Clock {
    /// The present.
    #[must_use]
    pub fn now() -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
        let now = std::time::SystemTime::now();
        Timestamp::from_utc(now.into())
    }

    /// The present, moved on by as many nanoseconds as it takes to be later than every value given before.
    #[must_use]
    pub fn unique(&self) -> Timestamp {
        let now = Self::now().0;
        let mut last = self.last.load(Ordering::Relaxed);
        loop {
            let next = now.max(last.saturating_add(1));
            match self.last.compare_exchange_weak(last, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Timestamp(next),
                Err(seen) => last = seen,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unique_never_repeats() {
        let clock = Clock::default();
        let mut seen: Vec<_> = (0..10_000).map(|_| clock.unique()).collect();
        seen.dedup();
        assert_eq!(seen.len(), 10_000);
        assert!(seen.is_sorted());
    }

    #[test]
    fn parts_before_the_epoch() {
        let t = Timestamp::from_parts(-1, 500_000_000);
        assert_eq!((t.seconds(), t.subsec_nanos()), (-1, 500_000_000));
    }
}
