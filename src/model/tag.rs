//! Tags of objects and buckets, with the one rule for what a tag may be.
//!
//! **Invariant:** a [`Tags`] holds at most as many tags as its resource may have, each key once, in the order given.

use serde::{Deserialize, Serialize};

/// Most tags of one object.
pub const OBJECT_TAGS_MAX: usize = 10;
/// Most tags of one bucket.
pub const BUCKET_TAGS_MAX: usize = 50;
/// Longest key, in UTF-16 units as AWS counts.
const KEY_UNITS_MAX: usize = 128;
/// Longest value, in UTF-16 units.
const VALUE_UNITS_MAX: usize = 256;

/// One tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// Its key.
    #[serde(rename = "k")]
    pub key: String,
    /// Its value, which may be empty.
    #[serde(rename = "v")]
    pub value: String,
}

/// Tags in the order they were given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tags(Vec<Tag>);

/// Why tags are refused, as a sentence for the client. S3 answers all of them with `InvalidTag`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTags {
    /// Too many.
    #[error("There are more tags than a resource can have.")]
    TooMany,
    /// A key twice.
    #[error("Cannot provide multiple Tags with the same key.")]
    Repeated,
    /// A key that is empty or too long, or has characters no tag may have.
    #[error("The TagKey you have provided is invalid.")]
    Key,
    /// A value that is too long, or has characters no tag may have.
    #[error("The TagValue you have provided is invalid.")]
    Value,
}

/// Letters, digits, space and the punctuation AWS names; nothing that controls.
fn legal(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

impl Tags {
    /// Checks and takes tags.
    ///
    /// # Errors
    /// [`InvalidTags`].
    pub fn new(tags: Vec<Tag>, most: usize) -> Result<Self, InvalidTags> {
        if tags.len() > most {
            return Err(InvalidTags::TooMany);
        }
        for (i, tag) in tags.iter().enumerate() {
            let units = |text: &str| text.encode_utf16().count();
            if tag.key.is_empty() || units(&tag.key) > KEY_UNITS_MAX || !legal(&tag.key) {
                return Err(InvalidTags::Key);
            }
            if units(&tag.value) > VALUE_UNITS_MAX || !legal(&tag.value) {
                return Err(InvalidTags::Value);
            }
            if tags[..i].iter().any(|other| other.key == tag.key) {
                return Err(InvalidTags::Repeated);
            }
        }
        Ok(Self(tags))
    }

    /// The tags.
    #[must_use]
    pub fn as_slice(&self) -> &[Tag] {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|tag| tag.key == key).map(|tag| tag.value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> Tag {
        Tag { key: key.into(), value: value.into() }
    }

    #[test]
    fn what_a_tag_may_be() {
        let long = |n: usize| "x".repeat(n);
        for (tags, verdict) in [
            (vec![], Ok(())),
            (vec![tag("a", ""), tag("b", "x")], Ok(())),
            (vec![tag(&long(128), &long(256))], Ok(())),
            (vec![tag(&long(129), "")], Err(InvalidTags::Key)),
            (vec![tag("", "x")], Err(InvalidTags::Key)),
            (vec![tag("a\n", "x")], Err(InvalidTags::Key)),
            (vec![tag("a", &long(257))], Err(InvalidTags::Value)),
            (vec![tag("a", "1"), tag("a", "2")], Err(InvalidTags::Repeated)),
            ((0..11).map(|n| tag(&n.to_string(), "")).collect(), Err(InvalidTags::TooMany)),
        ] {
            assert_eq!(Tags::new(tags.clone(), OBJECT_TAGS_MAX).map(|_| ()), verdict, "{tags:?}");
        }
    }
}
