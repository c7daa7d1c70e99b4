//! A range of names in an index.
//!
//! **Invariant:** a prefix and a position become two bounds that the B-tree itself seeks to, so that no row outside the
//! range is ever stepped over, and one statement serves every kind of range.

use rusqlite::types::Value;

use crate::model::page::{Seek, after_prefix};

/// Names from `from` (inclusive) up to `until` (exclusive).
#[derive(Debug, PartialEq)]
pub(super) struct Span {
    /// The least name.
    pub(super) from: String,
    /// The first name that is too great. Where there is none, it is an empty blob: SQLite sorts every blob behind every
    /// text, so the statement needs no second form.
    pub(super) until: Value,
}

/// The names that begin with `prefix` and are not before `seek`; `None`: no name can be.
pub(super) fn span(prefix: &str, seek: Seek) -> Option<Span> {
    let start = match seek {
        Seek::From(text) => text,
        // Nothing fits between a text and the same text with a NUL behind it.
        Seek::After(text) => text + "\0",
        Seek::End => return None,
    };
    let until = until(prefix);
    Some(Span { from: if start.as_str() < prefix { prefix.to_owned() } else { start }, until })
}

/// The first name that is past every name that begins with `prefix`.
pub(super) fn until(prefix: &str) -> Value {
    match after_prefix(prefix) {
        Seek::From(text) | Seek::After(text) => Value::Text(text),
        Seek::End => Value::Blob(Vec::new()),
    }
}

/// A number of rows as SQLite takes it.
pub(super) fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        let all = Value::Blob(Vec::new());
        for (prefix, seek, from, until) in [
            ("", Seek::From(String::new()), "", all.clone()),
            ("a/", Seek::From("a/".into()), "a/", Value::Text("a0".into())),
            ("a/", Seek::From("Z".into()), "a/", Value::Text("a0".into())),
            ("a/", Seek::After("a/b".into()), "a/b\0", Value::Text("a0".into())),
            ("\u{10FFFF}", Seek::After("x".into()), "\u{10FFFF}", all),
        ] {
            assert_eq!(span(prefix, seek), Some(Span { from: from.into(), until }), "{prefix:?}");
        }
        assert_eq!(span("a", Seek::End), None);
    }
}
