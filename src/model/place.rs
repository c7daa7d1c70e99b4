//! Where the bytes of a version are, and what identifies them there.
//!
//! **Invariant:** bytes are known by their [`Stamp`], never by their path: whoever opens a place compares.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::id::VersionId;
use crate::model::name::ObjectKey;

/// One place in a container.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Place {
    /// `.longshore/objects/<xx>/<version>`: nobody else's, never overwritten.
    Managed(VersionId),
    /// The key itself.
    Natural(ObjectKey),
}

/// Which of its places a version's row points at. A reader tries the other one if its bytes are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placed {
    /// At its managed place.
    #[serde(rename = "managed")]
    Managed,
    /// At the key.
    #[serde(rename = "natural")]
    Natural,
    /// Where Supabase's own server has it, beneath the key: `key/version`. Nothing is ever displaced there.
    #[serde(rename = "supabase")]
    Beneath,
    /// Where that server has it if it is told to keep names flat: `key-$v-version`.
    #[serde(rename = "supabase-flat")]
    Beside,
}

impl Placed {
    /// The path of a version that lies beneath or beside its key; `None`: it lies elsewhere, or there can be no such path.
    #[must_use]
    pub fn path(self, key: &ObjectKey, version: VersionId) -> Option<ObjectKey> {
        let separator = match self {
            Self::Managed | Self::Natural => return None,
            Self::Beneath => "/",
            Self::Beside => "-$v-",
        };
        match version.uuid() {
            // What was written before there were versions.
            None => Some(key.clone()),
            Some(version) => ObjectKey::new(&format!("{key}{separator}{version}")).ok(),
        }
    }

    /// Whether it lies where its version is part of the path and is never anything else.
    #[must_use]
    pub fn is_of_version(self) -> bool {
        matches!(self, Self::Beneath | Self::Beside)
    }
}

/// What becomes of the bytes that a version displaces at its key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Displaced {
    /// They are freed.
    #[default]
    Free,
    /// They go to the managed place of their version: this one, if they are those the catalog knew at the key, else the
    /// one that their record names.
    Keep(Option<VersionId>),
}

/// Where a bucket's new bytes end up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// The path is the key, wherever the key can be a path.
    Natural,
    /// A fresh managed place for each version.
    Managed,
    /// As Supabase's own server has it, which may write beside us: [`Placed::Beneath`].
    #[serde(rename = "supabase")]
    Supabase,
    /// The same with flat names: [`Placed::Beside`].
    #[serde(rename = "supabase-flat")]
    SupabaseFlat,
}

impl Layout {
    /// The name in configuration and output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Natural => "natural",
            Self::Managed => "managed",
            Self::Supabase => "supabase",
            Self::SupabaseFlat => "supabase-flat",
        }
    }

    /// Where versions lie in a layout that is shared with another server; `None`: it is ours alone.
    #[must_use]
    pub fn shared(self) -> Option<Placed> {
        match self {
            Self::Natural | Self::Managed => None,
            Self::Supabase => Some(Placed::Beneath),
            Self::SupabaseFlat => Some(Placed::Beside),
        }
    }

    /// One of those that are ours alone, from its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Natural, Self::Managed].into_iter().find(|l| l.name() == name)
    }
}

/// What the provider says identifies bytes at a place: inode, mtime and size of a file, an ETag, a generation.
/// Opaque to all but the provider; equal stamps mean equal bytes.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Stamp(Arc<str>);

impl Stamp {
    /// As the provider spells it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Of whatever is there: at a place where nothing but the bytes of one version ever is, and which somebody else has
    /// written, so that nobody has looked yet.
    #[must_use]
    pub fn any() -> Self {
        Self::new("*")
    }

    /// Whether it is the one of whatever is there.
    #[must_use]
    pub fn is_any(&self) -> bool {
        &*self.0 == "*"
    }

    /// Whether it names the bytes that were found.
    #[must_use]
    pub fn names(&self, found: &Self) -> bool {
        self == found || self.is_any()
    }

    /// Whether bytes of this stamp may be those that a listing shows with that one. Some storages list only a part of it,
    /// which begins with `#` and ends the whole.
    #[must_use]
    pub fn may_show_as(&self, listed: &Self) -> bool {
        self == listed || (listed.0.starts_with('#') && self.0.ends_with(&*listed.0))
    }

    /// Whether it is of a listing that shows nothing of the bytes but how many they are.
    #[must_use]
    pub fn is_size_alone(&self) -> bool {
        self.0.starts_with("#s")
    }

    /// Whether it was made of what the storage said of bytes that others wrote. Known of storages that list only a part of
    /// stamps: what was ours from the first has one that begins otherwise there.
    #[must_use]
    pub fn is_of_others(&self) -> bool {
        self.0.starts_with('t')
    }

    /// The provider's spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl From<String> for Stamp {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}
impl From<Stamp> for String {
    fn from(stamp: Stamp) -> Self {
        stamp.0.as_ref().to_owned()
    }
}
