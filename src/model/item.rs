//! Items as the FileStore interface names them: files and directories by path, over keys.
//!
//! A directory is what keys begin with: `a/b` is one if there is a key below `a/b/`, or the empty object of that name that
//! marks it.
//!
//! **Invariant:** a path has no empty, `.` or `..` segment, no backslash and no control character, and it fits into a key
//! as a file and as a directory. The root alone has no key.

use std::fmt;
use std::sync::Arc;

use crate::model::name::{KEY_BYTES_MAX, NameError, ObjectKey, SEGMENT_BYTES_MAX};

/// The path of an item, without slashes around it; that of the root is empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemPath {
    text: Arc<str>,
    keys: Option<(ObjectKey, ObjectKey)>,
}

impl ItemPath {
    /// The root.
    #[must_use]
    pub fn root() -> Self {
        Self { text: Arc::from(""), keys: None }
    }

    /// Of a path with or without slashes around it; those between segments may be several.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        // Longer ones are not looked through.
        if text.len() > 2 * KEY_BYTES_MAX {
            return Err(NameError::TooLong);
        }
        let segments = text.split('/').filter(|segment| !segment.is_empty());
        segments.clone().try_for_each(check_name)?;
        Self::of(&segments.collect::<Vec<_>>().join("/"))
    }

    /// Of a text that has its form.
    fn of(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Ok(Self::root());
        }
        let keys = (ObjectKey::new(text)?, ObjectKey::new(&format!("{text}/"))?);
        Ok(Self { text: text.into(), keys: Some(keys) })
    }

    /// The item that a key belongs to, if it can be one: a file, or the mark of a directory.
    #[must_use]
    pub fn of_key(key: &ObjectKey) -> Option<Self> {
        let text = key.as_str().strip_suffix('/').unwrap_or(key.as_str());
        text.split('/').try_for_each(check_name).ok()?;
        Self::of(text).ok()
    }

    /// An item in this directory.
    ///
    /// # Errors
    /// What is wrong with the name.
    pub fn join(&self, name: &str) -> Result<Self, NameError> {
        check_name(name)?;
        if self.is_root() { Self::of(name) } else { Self::of(&format!("{self}/{name}")) }
    }

    /// Whether it is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.keys.is_none()
    }

    /// As text, without slashes around it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The last segment; of the root none.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text.rsplit('/').next().unwrap_or_default()
    }

    /// The directory that it is in; of the root itself.
    #[must_use]
    pub fn parent(&self) -> Self {
        let parent = self.text.rsplit_once('/').map_or("", |(parent, _)| parent);
        Self::of(parent).unwrap_or_else(|_| Self::root())
    }

    /// The key of the file.
    #[must_use]
    pub fn file(&self) -> Option<&ObjectKey> {
        self.keys.as_ref().map(|(file, _)| file)
    }

    /// The key of the empty object that marks the directory.
    #[must_use]
    pub fn mark(&self) -> Option<&ObjectKey> {
        self.keys.as_ref().map(|(_, mark)| mark)
    }

    /// What the keys of all that is in the directory begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.mark().map_or("", ObjectKey::as_str)
    }

    /// How many segments it has.
    #[must_use]
    pub fn levels(&self) -> usize {
        if self.is_root() { 0 } else { self.text.split('/').count() }
    }

    /// Whether it is in this directory, or in one that is.
    #[must_use]
    pub fn is_below(&self, directory: &Self) -> bool {
        !self.is_root() && self != directory && self.as_str().starts_with(directory.prefix())
    }
}

/// Whether a text can be the name of an item.
///
/// # Errors
/// Why not.
pub fn check_name(name: &str) -> Result<(), NameError> {
    match name {
        "" => Err(NameError::Empty),
        "." | ".." => Err(NameError::Forbidden),
        name if name.len() > SEGMENT_BYTES_MAX => Err(NameError::TooLong),
        name if name.chars().any(|c| c.is_control() || c == '/' || c == '\\') => Err(NameError::Forbidden),
        _ => Ok(()),
    }
}

impl fmt::Display for ItemPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ItemPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_with_or_without_slashes_around_them() {
        for (text, path) in [("", ""), ("/", ""), ("///", ""), ("a", "a"), ("/a/b/", "a/b"), ("a//b", "a/b")] {
            assert_eq!(ItemPath::parse(text).map(|path| path.as_str().to_owned()), Ok(path.to_owned()), "{text:?}");
        }
        for text in ["..", "/a/../b", "./a", "a\\b", "a\0", "a\nb", ".longshore/x", &"x".repeat(256), &"x/".repeat(600)]
        {
            assert!(ItemPath::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_path_knows_its_place() {
        let path = ItemPath::parse("/a/b/c").expect("a path");
        assert_eq!((path.name(), path.parent().as_str(), path.levels()), ("c", "a/b", 3));
        assert!(path.is_below(&ItemPath::root()) && path.is_below(&path.parent()) && !path.is_below(&path));
        assert!(!ItemPath::parse("a/bc").expect("a path").is_below(&ItemPath::parse("a/b").expect("a path")));
        assert_eq!(ItemPath::root().parent(), ItemPath::root());
        assert_eq!(path.parent().join("c"), Ok(path));
    }
}
