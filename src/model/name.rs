//! Bucket names and object keys, checked once where they enter.
//!
//! **Invariant:** a [`BucketName`] can be one directory entry and an [`ObjectKey`] can never name anything of ours:
//! every rejection (length, NUL, control characters in bucket names, the reserved tree) lives in this file. Keys are
//! kept byte for byte: `..`, `a//b`, `/a` and `a/` are keys like any other, and only [`ObjectKey::as_path`] decides
//! whether one of them may also be a path.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The directory (or key prefix) in every container that belongs to Longshore.
pub const RESERVED: &str = ".longshore";
/// Longest bucket name, in bytes.
pub const BUCKET_NAME_BYTES_MAX: usize = 100;
/// Longest object key, in bytes of UTF-8 (the S3 limit).
pub const KEY_BYTES_MAX: usize = 1024;
/// Longest segment of a path on the file systems in use, in bytes.
pub const SEGMENT_BYTES_MAX: usize = 255;
/// Deepest directory nesting that natural layout uses; deeper keys are stored at managed places.
pub const PATH_DEPTH_MAX: usize = 64;

/// Why a name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name has no bytes.
    #[error("the name is empty")]
    Empty,
    /// The name exceeds its limit.
    #[error("the name is too long")]
    TooLong,
    /// The name holds a character that no protocol of ours can carry.
    #[error("the name holds a character that is not allowed")]
    Forbidden,
    /// The name lies in the tree that belongs to Longshore.
    #[error("the name is reserved")]
    Reserved,
}

/// The name of a bucket, which is also the name of its container.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BucketName(Arc<str>);

impl BucketName {
    /// Checks the model's rule: 1 to 100 bytes, no `/`, control character, U+FFFE or U+FFFF (which no XML holds), not `.`,
    /// `..` or `.longshore`.
    ///
    /// # Errors
    /// The reason why the name is refused.
    pub fn new(name: &str) -> Result<Self, NameError> {
        match name {
            "" => return Err(NameError::Empty),
            "." | ".." => return Err(NameError::Forbidden),
            _ => {}
        }
        if name.len() > BUCKET_NAME_BYTES_MAX {
            return Err(NameError::TooLong);
        }
        if name.eq_ignore_ascii_case(RESERVED) {
            return Err(NameError::Reserved);
        }
        if name.chars().any(|c| matches!(c, '/' | '\u{FFFE}' | '\u{FFFF}') || c.is_control()) {
            return Err(NameError::Forbidden);
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether Amazon S3 would let a bucket of this name be created.
    ///
    /// Rule: 3 to 63 of `[a-z0-9.-]`, begins and ends with a letter or digit, no `..`, `.-` or `-.`, no IPv4 address,
    /// none of the prefixes and suffixes that Amazon keeps for itself.
    #[must_use]
    pub fn is_aws(&self) -> bool {
        let name = &*self.0;
        let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = name.as_bytes();
        (3..=63).contains(&bytes.len())
            && bytes.iter().all(|&b| alnum(b) || b == b'.' || b == b'-')
            && alnum(bytes[0])
            && alnum(bytes[bytes.len() - 1])
            && !["..", ".-", "-."].iter().any(|bad| name.contains(bad))
            && name.parse::<std::net::Ipv4Addr>().is_err()
            && !["xn--", "sthree-", "amzn-s3-demo-"].iter().any(|p| name.starts_with(p))
            && !["-s3alias", "--ol-s3", ".mrap", "--x-s3"].iter().any(|s| name.ends_with(s))
    }
}

/// The key of an object: 1 to 1024 bytes of UTF-8, kept exactly as the client sent it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectKey(Arc<str>);

impl ObjectKey {
    /// Checks the rule of keys: NUL, U+FFFE, U+FFFF and anything under `.longshore/` are refused, all else is kept.
    ///
    /// # Errors
    /// The reason why the key is refused.
    pub fn new(key: &str) -> Result<Self, NameError> {
        if key.is_empty() {
            return Err(NameError::Empty);
        }
        if key.len() > KEY_BYTES_MAX {
            return Err(NameError::TooLong);
        }
        if key.chars().any(|c| matches!(c, '\0' | '\u{FFFE}' | '\u{FFFF}')) {
            return Err(NameError::Forbidden);
        }
        if key.split('/').next() == Some(RESERVED) {
            return Err(NameError::Reserved);
        }
        Ok(Self(key.into()))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key as a relative path, if it can be one: no empty, `.` or `..` segment, no over-long segment, not too deep.
    ///
    /// `folds` says that the container's file system takes names that differ in case as one; there the reserved tree
    /// is compared folded. Whether the path is free of clashes is for the provider to find out.
    #[must_use]
    pub fn as_path(&self, folds: bool) -> Option<&str> {
        let mut depth = 0;
        for segment in self.0.split('/') {
            depth += 1;
            if segment.is_empty() || segment == "." || segment == ".." || segment.len() > SEGMENT_BYTES_MAX {
                return None;
            }
            if depth == 1 && folds && segment.eq_ignore_ascii_case(RESERVED) {
                return None;
            }
        }
        (depth <= PATH_DEPTH_MAX).then_some(&*self.0)
    }
}

macro_rules! text_name {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(name: String) -> Result<Self, NameError> {
                Self::new(&name)
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}
text_name!(BucketName);
text_name!(ObjectKey);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_and_only_paths_are_paths() {
        for (key, path) in [
            ("a", true),
            ("a/b", true),
            ("a//b", false),
            ("/a", false),
            ("a/", false),
            ("..", false),
            ("a/../b", false),
            ("./a", false),
            (".longshore2/a", true),
            ("x/.longshore/a", true),
            ("\u{1}\n", true),
        ] {
            let key = ObjectKey::new(key).expect("a legal key");
            assert_eq!(key.as_path(false).is_some(), path, "{key:?}");
        }
        assert!(ObjectKey::new(&"x".repeat(256)).expect("legal").as_path(false).is_none());
        assert!(ObjectKey::new(&"x/".repeat(70)).expect("legal").as_path(false).is_none());
        assert!(ObjectKey::new(".LONGSHORE/a").expect("legal").as_path(true).is_none());
    }

    #[test]
    fn keys_that_no_front_takes() {
        for (key, why) in [
            ("", NameError::Empty),
            ("a\0b", NameError::Forbidden),
            ("\u{FFFE}", NameError::Forbidden),
            (".longshore", NameError::Reserved),
            (".longshore/objects/x", NameError::Reserved),
        ] {
            assert_eq!(ObjectKey::new(key).expect_err("refused"), why, "{key:?}");
        }
        assert_eq!(ObjectKey::new(&"x".repeat(1025)).expect_err("refused"), NameError::TooLong);
    }

    #[test]
    fn bucket_names() {
        for name in ["a", "Photos 2024", "köln", "a_b", "xn--x"] {
            assert!(BucketName::new(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", ".longshore", ".Longshore", "a/b", "a\nb", "a\u{FFFE}", &"x".repeat(101)] {
            assert!(BucketName::new(name).is_err(), "{name:?}");
        }
        for (name, aws) in [
            ("abc", true),
            ("a.b-c", true),
            ("ab", false),
            ("a_b", false),
            ("1.2.3.4", false),
            ("a..b", false),
            ("-ab", false),
        ] {
            assert_eq!(BucketName::new(name).expect("legal").is_aws(), aws, "{name}");
        }
    }
}
