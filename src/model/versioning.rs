//! Versioning of buckets, and how requests name a version.
//!
//! **Invariant:** a version has one name, the one that it is shown by: a text that is neither `null` nor an id names
//! none, and never the current one.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::id::VersionId;

/// Whether a bucket keeps what is overwritten or deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Versioning {
    /// It never did.
    #[default]
    Never,
    /// Every write makes a version.
    Enabled,
    /// It did; writes make and replace the version `null`.
    Suspended,
}

impl Versioning {
    /// Whether versions may be there, so that answers name them.
    #[must_use]
    pub fn ever(self) -> bool {
        self != Self::Never
    }
}

/// A version as a request names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VersionRef {
    /// The one that was written while the bucket kept none: `null`.
    Null,
    /// By its id.
    Id(VersionId),
}

impl VersionRef {
    /// Reads `null` or 32 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "null" { Some(Self::Null) } else { VersionId::parse(text).map(Self::Id) }
    }
}

impl fmt::Display for VersionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Id(id) => id.fmt(f),
        }
    }
}
