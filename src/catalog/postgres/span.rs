//! A range of names in an index.
//!
//! **Invariant:** a prefix and a position become two bounds that the index itself seeks to, and both are texts that
//! Postgres can hold: names never hold a NUL, so a bound with one is moved to the next text without.

use crate::model::name::KEY_BYTES_MAX;
use crate::model::page::{Seek, after_prefix};

/// Names from `from` (inclusive) up to `until` (exclusive).
#[derive(Debug, PartialEq)]
pub(super) struct Span {
    /// The least name.
    pub(super) from: String,
    /// The first name that is too great.
    pub(super) until: String,
}

/// The names that begin with `prefix` and are not before `seek`; `None`: no name can be.
pub(super) fn span(prefix: &str, seek: Seek) -> Option<Span> {
    if prefix.contains('\0') {
        return None;
    }
    let start = match seek {
        Seek::From(text) => next_without_nul(text),
        Seek::After(text) => next_without_nul(text + "\0"),
        Seek::End => return None,
    };
    Some(Span { from: if start.as_str() < prefix { prefix.to_owned() } else { start }, until: until(prefix) })
}

/// The least text without a NUL that is not before this one.
pub(super) fn next_without_nul(mut text: String) -> String {
    if let Some(at) = text.find('\0') {
        text.truncate(at);
        text.push('\u{1}');
    }
    text
}

/// A text past every name that begins with `prefix`, which holds no NUL. Where no name follows those, it is longer than
/// every name, of the last character there is.
pub(super) fn until(prefix: &str) -> String {
    match after_prefix(prefix) {
        Seek::From(text) | Seek::After(text) => text,
        Seek::End => "\u{10FFFF}".repeat(KEY_BYTES_MAX / 4 + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        let last = "\u{10FFFF}".repeat(257);
        assert!(last.as_str() > "\u{10FFFF}".repeat(256).as_str());
        for (prefix, seek, from, until) in [
            ("", Seek::From(String::new()), "", last.as_str()),
            ("a/", Seek::From("a/".into()), "a/", "a0"),
            ("a/", Seek::From("Z".into()), "a/", "a0"),
            ("a/", Seek::After("a/b".into()), "a/b\u{1}", "a0"),
            ("a/", Seek::From("a/b\0c".into()), "a/b\u{1}", "a0"),
            ("\u{10FFFF}", Seek::After("x".into()), "\u{10FFFF}", last.as_str()),
        ] {
            assert_eq!(span(prefix, seek), Some(Span { from: from.into(), until: until.into() }), "{prefix:?}");
        }
        assert_eq!(span("a", Seek::End), None);
        assert_eq!(span("a\0", Seek::From(String::new())), None);
    }
}
