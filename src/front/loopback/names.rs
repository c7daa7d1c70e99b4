//! Names as LoopBack takes them.
//!
//! **Invariant:** no name that reaches the store has a part that means another directory, whichever slash parts it.

use super::error::{Refusal, Result};
use crate::model::name::{BucketName, ObjectKey};

/// Whether a part of a name means the directory itself or the one above it.
fn climbs(name: &str) -> bool {
    name.split(['/', '\\']).any(|part| part == "." || part == "..")
}

/// The name of a container.
pub(super) fn container(name: &str) -> Result<BucketName> {
    if climbs(name) {
        return Err(Refusal::invalid_name(name));
    }
    BucketName::new(name).map_err(|_| Refusal::invalid_name(name))
}

/// The name of a file that may be there, which may hold slashes if another interface wrote it.
pub(super) fn file(name: &str) -> Result<ObjectKey> {
    if climbs(name) {
        return Err(Refusal::invalid_name(name));
    }
    ObjectKey::new(name).map_err(|_| Refusal::invalid_name(name))
}

/// The name of a file that is to be written.
pub(super) fn new_file(name: &str) -> Result<ObjectKey> {
    if name.contains('/') {
        return Err(Refusal::invalid_name(name));
    }
    file(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_none() {
        for name in ["", ".", "..", "../x", "..\\x", "x\\..", "a/../b", "a\0b", ".longshore"] {
            assert!(container(name).is_err() && file(name).is_err() && new_file(name).is_err(), "{name:?}");
        }
        for name in ["a", "a..b", "...", "a b", "é", "a\\b", "%2e%2e"] {
            assert!(container(name).is_ok() && file(name).is_ok() && new_file(name).is_ok(), "{name:?}");
        }
        assert!(file("a/b").is_ok() && new_file("a/b").is_err() && container("a/b").is_err());
    }
}
