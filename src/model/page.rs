//! Pages of a listing: prefix, delimiter, cursor and limit, with one rule for where a page goes on.
//!
//! **Invariant:** keys come in the order of their bytes. A common prefix stands once, counts as one entry, and the
//! walk behind it continues at [`after_prefix`], so the cost of a page does not depend on what a prefix hides.

/// Which entries of a listing are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PageQuery {
    /// Only keys that begin with this.
    pub prefix: String,
    /// Group keys up to the next occurrence of this behind the prefix; `None` or empty: do not.
    pub delimiter: Option<String>,
    /// Only entries after this key or common prefix (exclusive).
    pub after: Option<String>,
    /// Most entries, keys and common prefixes together.
    pub limit: usize,
}

/// One page of a listing of `T`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The keys.
    pub entries: Vec<T>,
    /// The common prefixes.
    pub prefixes: Vec<String>,
    /// The last key or common prefix of this page if more follow: the `after` of the next one.
    pub next: Option<String>,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), prefixes: Vec::new(), next: None }
    }
}

impl PageQuery {
    /// The common prefix that `key` falls under, if a delimiter is asked for and occurs behind the prefix.
    #[must_use]
    pub fn common_prefix<'k>(&self, key: &'k str) -> Option<&'k str> {
        let delimiter = self.delimiter.as_deref().filter(|d| !d.is_empty())?;
        let rest = key.strip_prefix(self.prefix.as_str())?;
        let at = rest.find(delimiter)?;
        Some(&key[..self.prefix.len() + at + delimiter.len()])
    }

    /// Where the walk starts.
    #[must_use]
    pub fn start(&self) -> Seek {
        match &self.after {
            // A cursor that is a common prefix stands for every key below it.
            Some(after) if self.common_prefix(after) == Some(after.as_str()) => after_prefix(after),
            Some(after) => Seek::After(after.clone()),
            None => Seek::From(self.prefix.clone()),
        }
    }
}

/// A position in the order of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seek {
    /// The first key at or after this text.
    From(String),
    /// The first key after this text.
    After(String),
    /// No key is left.
    End,
}

/// The position behind every key that begins with `prefix`: the least text that is greater than all of them.
///
/// The last character that has a successor gets it and what follows is dropped, which stays valid UTF-8 and agrees with
/// the order of bytes, as UTF-8 keeps the order of code points.
#[must_use]
pub fn after_prefix(prefix: &str) -> Seek {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        let next = match last {
            '\u{D7FF}' => Some('\u{E000}'),
            char::MAX => None,
            c => char::from_u32(c as u32 + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return Seek::From(chars.into_iter().collect());
        }
    }
    Seek::End
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successor_of_a_prefix_is_past_every_key_below() {
        for (prefix, next) in [
            ("a/", Seek::From("a0".into())),
            ("", Seek::End),
            ("\u{10FFFF}", Seek::End),
            ("a\u{10FFFF}", Seek::From("b".into())),
            ("\u{D7FF}", Seek::From("\u{E000}".into())),
        ] {
            assert_eq!(after_prefix(prefix), next, "{prefix:?}");
        }
        let Seek::From(next) = after_prefix("a/") else { panic!("a position") };
        assert!("a/\u{10FFFF}" < next.as_str() && "a/" < next.as_str());
    }

    #[test]
    fn common_prefixes() {
        let query = PageQuery { prefix: "p/".into(), delimiter: Some("/".into()), ..PageQuery::default() };
        assert_eq!(query.common_prefix("p/a/b"), Some("p/a/"));
        assert_eq!(query.common_prefix("p/a"), None);
        assert_eq!(query.common_prefix("p/"), None);
        assert_eq!(PageQuery { after: Some("p/a/".into()), ..query.clone() }.start(), Seek::From("p/a0".into()));
        assert_eq!(PageQuery { after: Some("p/a".into()), ..query.clone() }.start(), Seek::After("p/a".into()));
        assert_eq!(query.start(), Seek::From("p/".into()));
        assert_eq!(PageQuery { delimiter: Some(String::new()), ..query }.common_prefix("p/a/b"), None);
    }
}
