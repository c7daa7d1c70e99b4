//! What files of ours are called in a container whose names are flat.
//!
//! A `LoopBack` application has no directories, and a slash in the name of an upload ends some of them. So the reserved
//! tree is a prefix here: `.longshore.o.<shard>.<version>` are bytes, `.longshore.r.…` the slips beside them, and
//! `.longshore.n.…` notes. All of them are of letters that every such service takes as they are.
//!
//! **Invariant:** a name of ours is never that of a key, and a key that cannot be one segment of a path has no name.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::model::id::VersionId;
use crate::model::name::ObjectKey;
use crate::provider::Note;

/// What all names of ours begin with.
pub(super) const RESERVED: &str = ".longshore.";
/// What managed names begin with.
pub(super) const MANAGED: &str = ".longshore.o.";
/// What the names of slips begin with.
pub(super) const RECORDS: &str = ".longshore.r.";
/// Behind all names that begin with [`RESERVED`].
pub(super) const BEHIND_RESERVED: &str = ".longshore.\u{10FFFF}";
/// Longest name of a file, in bytes: that of the file systems beneath.
const NAME_BYTES_MAX: usize = 255;
/// All that is encoded in a segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The name of a version's bytes.
pub(super) fn managed(version: VersionId) -> String {
    format!("{MANAGED}{}.{version}", version.shard())
}

/// What the names of a version's slip begin with.
pub(super) fn record(version: VersionId) -> String {
    format!("{RECORDS}{}.{version}", version.shard())
}

/// What the names of a note begin with.
pub(super) fn note(note: Note) -> String {
    format!("{RESERVED}n.{}", note.name())
}

/// The version that a managed name is of.
pub(super) fn version_of(name: &str) -> Option<VersionId> {
    let (shard, id) = name.strip_prefix(MANAGED)?.split_once('.')?;
    VersionId::parse(id).filter(|version| version.shard() == shard)
}

/// The version that the name of a copy of a slip is of.
pub(super) fn version_of_slip(name: &str) -> Option<VersionId> {
    let (_, rest) = name.strip_prefix(RECORDS)?.split_once('.')?;
    VersionId::parse(rest.split_once('.')?.0)
}

/// Whether a name is one of ours, also where names fold.
pub(super) fn is_reserved(name: &str) -> bool {
    name.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED))
}

/// The name of what lies at a key, if such a file can be asked for. `slashes`: the other side has keys with slashes.
pub(super) fn of_key(key: &ObjectKey, slashes: bool) -> Option<&str> {
    let name = key.as_str();
    let dots = |segment: &str| matches!(segment, "." | "..");
    let odd = name.split('/').any(dots) || name.chars().any(|c| c == '\\' || c.is_control());
    let long = name.split('/').any(|segment| segment.len() > NAME_BYTES_MAX);
    let fits = !odd && !long && (slashes || !name.contains('/')) && !is_reserved(name);
    fits.then_some(name)
}

/// As one segment of a path.
pub(super) fn segment(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_ours_are_those_of_no_key() {
        let version = VersionId::fresh();
        assert_eq!(version_of(&managed(version)), Some(version));
        assert_eq!(version_of(&record(version)), None);
        assert_eq!(version_of_slip(&format!("{}.1", record(version))), Some(version));
        let key = |text: &str| ObjectKey::new(text).expect("legal");
        for name in [managed(version), record(version), note(Note::Id), ".LongShore.x".to_owned()] {
            assert!(is_reserved(&name) && of_key(&key(&name), true).is_none(), "{name}");
        }
        assert!(managed(version).as_str() < BEHIND_RESERVED && ".longshore2" > BEHIND_RESERVED);
        for name in ["a", ".longshore2", "ü 1+%", "...", "a\"b"] {
            assert_eq!(of_key(&key(name), false), Some(name));
        }
        for name in ["..", ".", "a/../b", "a\\b", "a\nb", &"x".repeat(256)] {
            assert_eq!(of_key(&key(name), true), None, "{name}");
        }
        assert_eq!((of_key(&key("a/b"), false), of_key(&key("a/b"), true)), (None, Some("a/b")));
    }
}
