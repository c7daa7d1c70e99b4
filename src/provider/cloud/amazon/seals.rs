//! In which containers ETags are made of other bytes than the clients': where most objects are kept encrypted by a key of
//! the service's (SSE-KMS) or of a client's.
//!
//! A listing does not say of an object how it is kept, and an ETag of such a one has the form of an MD5. So what looks at
//! objects show is remembered for each container. Where most are encrypted their listings vouch for no digest: it would be
//! none, and a scan would look at each object again. Elsewhere they do, or it would look at each of the others.
//!
//! **Invariant:** what is remembered saves looks and decides nothing: a digest that counts is one of a look.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Most that is remembered of one kind, so that a container may change.
const SEEN_MAX: i32 = 10_000;

/// How many more objects were seen encrypted than not, by containers in which any were.
#[derive(Debug, Default)]
pub(super) struct Seals(Mutex<BTreeMap<String, i32>>);

impl Seals {
    /// An object of a container was looked at.
    pub(super) fn note(&self, container: &str, sealed: bool) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.get_mut(container) {
            Some(more) if sealed => *more = (*more + 1).min(SEEN_MAX),
            Some(more) => *more = (*more - 1).max(-SEEN_MAX),
            None if sealed => {
                seen.insert(container.to_owned(), 1);
            }
            None => {}
        }
    }

    /// Whether most objects of a container are encrypted, as far as they were seen.
    pub(super) fn prevail(&self, container: &str) -> bool {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(container).is_some_and(|more| *more > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_objects_decide_for_their_container() {
        let seals = Seals::default();
        seals.note("plain", false);
        assert!(!seals.prevail("plain") && !seals.prevail("never seen"));
        for _ in 0..3 {
            seals.note("sealed", true);
            seals.note("plain", false);
        }
        seals.note("sealed", false);
        assert!(seals.prevail("sealed") && !seals.prevail("plain"), "one is not known by the other");
        seals.note("plain", true);
        seals.note("plain", false);
        assert!(!seals.prevail("plain"), "a single one among many is looked at each time, and not the many");
        for _ in 0..5 {
            seals.note("sealed", false);
        }
        assert!(!seals.prevail("sealed"));
    }
}
