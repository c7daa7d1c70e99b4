//! Names as the service takes them, and in addresses.
//!
//! The service (not its emulator) reads a path as a file system would: `..` leads out of the container, `\` is `/`, and
//! dots at the end of a segment are dropped. A name with those would be another one's, so it is never sent.
//!
//! **Invariant:** a name that is sent is the one that is written, read and listed.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Most bytes of an address that is the source of a copy.
const SOURCE_BYTES_MAX: usize = 2048;
/// Most characters of a name.
const NAME_CHARS_MAX: usize = 1024;
/// Most segments of a name.
const SEGMENTS_MAX: usize = 254;

const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const IN_PATH: &AsciiSet = &IN_QUERY.remove(b'/');

/// A name as a path.
pub(super) fn path(name: &str) -> String {
    utf8_percent_encode(name, IN_PATH).to_string()
}

/// A value as a part of a query.
pub(super) fn query(value: &str) -> String {
    utf8_percent_encode(value, IN_QUERY).to_string()
}

/// Whether a name is nothing but itself to the service.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.chars().any(|c| c.is_control() || c == '\\')
        && name.split('/').all(|segment| !segment.ends_with('.'))
}

/// Whether a name can be given to a blob: neither private use nor what is no character is taken.
pub(super) fn is_taken(name: &str) -> bool {
    let odd = |c: char| {
        let code = u32::from(c);
        matches!(code, 0xD7FF | 0xE000..=0xF8FF | 0xFDD0..=0xFDEF | 0xF0000..) || code & 0xFFFE == 0xFFFE
    };
    is_plain(name) && !name.chars().any(odd)
}

/// Whether a name can be written here, and copied from: the address of a source is bounded, with its container and its
/// signature.
pub(super) fn fits(name: &str, beside: usize) -> bool {
    is_taken(name)
        && name.encode_utf16().count() <= NAME_CHARS_MAX
        && name.split('/').count() <= SEGMENTS_MAX
        && path(name).len() + beside <= SOURCE_BYTES_MAX
}

/// Whether a container may have this name.
pub(super) fn may_name(container: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    (3..=63).contains(&container.len())
        && container.bytes().all(|c| inner(c) || c == b'-')
        && !container.contains("--")
        && !container.starts_with('-')
        && !container.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_be_others_are_refused() {
        for name in ["a", "a//b", "/a", "a/", "a b", ".a", "..a", "a%2Fb", "ü", "😀", "nｚ", "a?#+&", "a.b/c.d"] {
            assert!(is_plain(name), "{name}");
        }
        for name in ["", ".", "..", "a/../b", "../b", "a./b", "a.", "a...", "a\\b", "a\u{1}b", "a\u{7f}"] {
            assert!(!is_plain(name), "{name:?}");
        }
        assert!(is_plain("\u{E000}") && !is_taken("\u{E000}") && !is_taken("\u{FFFF}") && is_taken("😀ｚ"));
    }

    #[test]
    fn names_that_fit() {
        assert!(fits(&"x".repeat(1024), 300));
        assert!(!fits(&"x".repeat(1025), 300));
        assert!(!fits(&"ü".repeat(512), 300), "as an address it is too long to copy from");
        assert!(fits(&"a/".repeat(253), 300));
        assert!(!fits(&"a/".repeat(254), 300));
    }

    #[test]
    fn names_of_containers() {
        for name in ["abc", "a-b", "0-9", &"x".repeat(63)] {
            assert!(may_name(name), "{name}");
        }
        for name in ["ab", "a--b", "-ab", "ab-", "a.b", "Abc", "a_b", "$root", &"x".repeat(64)] {
            assert!(!may_name(name), "{name}");
        }
    }

    #[test]
    fn everything_but_what_is_unreserved_is_encoded() {
        assert_eq!(path("a/../b c+%~ü"), "a/../b%20c%2B%25~%C3%BC");
        assert_eq!(query("a/b=="), "a%2Fb%3D%3D");
    }
}
