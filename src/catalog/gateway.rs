//! The processes that serve one catalog, as they know of each other.
//!
//! **Invariant:** what is told here is for order and for taking over what somebody left, never for correctness: a process
//! that is taken for gone and is not finds every decision made by rows.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::model::id::hex;

/// Who a process is to the others of its catalog: the same after a restart, and not that of any other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayId([u8; 16]);

impl GatewayId {
    /// Of the texts that, together, no other process has.
    #[must_use]
    pub fn of(texts: &[String]) -> Self {
        let mut hash = Sha256::new();
        for text in texts {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finalize()[..16]);
        Self(id)
    }
}

impl fmt::Display for GatewayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// A secret that all processes of a catalog must have alike, by a mark of it that does not tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretMark {
    /// What it is, for people.
    pub name: String,
    /// Its mark.
    pub mark: String,
    /// What is in the catalog depends on it, so it never changes; of the others only those at work must agree.
    pub lasting: bool,
}

/// What a process hears that says it is at work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Enlisted {
    /// The secrets that are otherwise here than for the catalog or for another process. If there is one, this process
    /// does not count as being at work.
    pub differing: Vec<String>,
    /// Another process is at work already.
    pub others: bool,
}
