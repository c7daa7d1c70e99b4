//! Conditional requests: one rule each for reads, copy sources, writes and deletes, used by every front.
//!
//! Rules: RFC 9110 section 13 in the order S3 applies it. Dates compare in whole seconds, as the headers carry them.
//!
//! **Invariant:** a verdict follows from the conditions and from what is there alone, so whoever asks again under the
//! lock of the key asks the same. What needs something there fails where nothing is. [`Conditions::beside`] is not
//! judged here: it is about another key, at which the store looks.

use crate::model::name::ObjectKey;
use crate::model::time::Timestamp;

/// The tags of an `If-Match` or `If-None-Match`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagMatch {
    /// `*`.
    Any,
    /// One of these, without quotes.
    Of(Vec<String>),
}

impl TagMatch {
    /// Reads a header: `*`, or tags parted by commas, with or without quotes, weak or strong.
    #[must_use]
    pub fn parse(header: &str) -> Self {
        if header.trim() == "*" {
            return Self::Any;
        }
        let bare = |tag: &str| {
            let tag = tag.trim();
            tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"').to_owned()
        };
        Self::Of(header.split(',').map(bare).collect())
    }

    fn matches(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Of(tags) => tags.iter().any(|tag| tag == etag),
        }
    }
}

/// The state of an object of which a range is wanted (RFC 9110, section 13.1.5): of another one the whole is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfRange {
    /// That with this ETag, without quotes.
    Tag(String),
    /// That which was written in this second.
    Date(Timestamp),
}

impl IfRange {
    /// Whether this is that state.
    #[must_use]
    pub fn names(&self, etag: &str, modified: Timestamp) -> bool {
        match self {
            Self::Tag(tag) => tag == etag,
            Self::Date(date) => date.seconds() == modified.seconds(),
        }
    }
}

/// The conditions of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// `If-Match`.
    pub if_match: Option<TagMatch>,
    /// `If-None-Match`.
    pub if_none_match: Option<TagMatch>,
    /// `If-Modified-Since`.
    pub if_modified_since: Option<Timestamp>,
    /// `If-Unmodified-Since`.
    pub if_unmodified_since: Option<Timestamp>,
    /// `x-amz-if-match-size` of a delete.
    pub if_size: Option<u64>,
    /// `x-amz-if-match-last-modified-time` of a delete.
    pub if_last_modified: Option<Timestamp>,
    /// Another key, at which nothing may be while something new is written: the directory of a file's name, or the reverse.
    pub beside: Option<ObjectKey>,
}

/// What a conditional request is compared with.
#[derive(Debug, Clone, Copy)]
pub struct Current<'a> {
    /// The ETag without quotes.
    pub etag: &'a str,
    /// Last-Modified.
    pub modified: Timestamp,
    /// Bytes.
    pub size: u64,
}

/// What a conditional read is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadVerdict {
    /// The object.
    Proceed,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

/// Why a conditional write is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteRefusal {
    /// 412: what is there differs.
    Failed,
    /// 404: `If-Match` needs an object and there is none.
    Missing,
}

fn not_newer(current: Timestamp, limit: Timestamp) -> bool {
    current.seconds() <= limit.seconds()
}

impl Conditions {
    /// Only while the ETag is this one.
    #[must_use]
    pub fn matching(etag: &str) -> Self {
        Self { if_match: Some(TagMatch::Of(vec![etag.to_owned()])), ..Self::default() }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The verdict on a GET or HEAD.
    #[must_use]
    pub fn read(&self, current: Current<'_>) -> ReadVerdict {
        match (&self.if_match, self.if_unmodified_since) {
            (Some(tags), _) if !tags.matches(current.etag) => return ReadVerdict::Failed,
            (None, Some(limit)) if !not_newer(current.modified, limit) => return ReadVerdict::Failed,
            _ => {}
        }
        match (&self.if_none_match, self.if_modified_since) {
            (Some(tags), _) if tags.matches(current.etag) => ReadVerdict::NotModified,
            (None, Some(since)) if not_newer(current.modified, since) => ReadVerdict::NotModified,
            _ => ReadVerdict::Proceed,
        }
    }

    /// Whether the source of a copy may be read: every failure is a 412, also of `If-None-Match`.
    #[must_use]
    pub fn copy_source(&self, current: Current<'_>) -> bool {
        self.read(current) == ReadVerdict::Proceed
    }

    /// Whether a write may replace what is there (`None`: nothing).
    ///
    /// # Errors
    /// The refusal.
    pub fn write(&self, current: Option<Current<'_>>) -> Result<(), WriteRefusal> {
        match (&self.if_match, current) {
            (Some(_), None) => return Err(WriteRefusal::Missing),
            (Some(tags), Some(now)) if !tags.matches(now.etag) => return Err(WriteRefusal::Failed),
            _ => {}
        }
        match (&self.if_none_match, current) {
            (Some(tags), Some(now)) if tags.matches(now.etag) => Err(WriteRefusal::Failed),
            _ => Ok(()),
        }
    }

    /// Whether a delete may remove what is there. A delete of nothing is fine without a condition.
    ///
    /// # Errors
    /// The refusal.
    pub fn delete(&self, current: Option<Current<'_>>) -> Result<(), WriteRefusal> {
        self.write(current)?;
        let Some(now) = current else {
            let asks = self.if_size.is_some() || self.if_last_modified.is_some();
            return if asks { Err(WriteRefusal::Missing) } else { Ok(()) };
        };
        let size = self.if_size.is_none_or(|size| size == now.size);
        let date = self.if_last_modified.is_none_or(|at| at.seconds() == now.modified.seconds());
        if size && date { Ok(()) } else { Err(WriteRefusal::Failed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Current<'static> = Current { etag: "e", modified: Timestamp(10_500_000_000), size: 3 };
    fn tag(text: &str) -> Option<TagMatch> {
        Some(TagMatch::parse(text))
    }
    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp::from_parts(seconds, 0))
    }

    #[test]
    fn reads() {
        let none = Conditions::default;
        for (conditions, verdict) in [
            (none(), ReadVerdict::Proceed),
            (Conditions { if_match: tag("\"e\""), ..none() }, ReadVerdict::Proceed),
            (Conditions { if_match: tag("x"), ..none() }, ReadVerdict::Failed),
            (Conditions { if_match: tag("x, \"e\""), ..none() }, ReadVerdict::Proceed),
            (Conditions { if_match: tag("e"), if_unmodified_since: at(5), ..none() }, ReadVerdict::Proceed),
            (Conditions { if_unmodified_since: at(9), ..none() }, ReadVerdict::Failed),
            (Conditions { if_unmodified_since: at(10), ..none() }, ReadVerdict::Proceed),
            (Conditions { if_none_match: tag("*"), ..none() }, ReadVerdict::NotModified),
            (Conditions { if_none_match: tag("W/\"e\""), ..none() }, ReadVerdict::NotModified),
            (Conditions { if_none_match: tag("x"), if_modified_since: at(99), ..none() }, ReadVerdict::Proceed),
            (Conditions { if_modified_since: at(10), ..none() }, ReadVerdict::NotModified),
            (Conditions { if_modified_since: at(9), ..none() }, ReadVerdict::Proceed),
        ] {
            assert_eq!(conditions.read(NOW), verdict, "{conditions:?}");
        }
    }

    #[test]
    fn writes_and_deletes() {
        let create = Conditions { if_none_match: tag("*"), ..Conditions::default() };
        assert_eq!(create.write(None), Ok(()));
        assert_eq!(create.write(Some(NOW)), Err(WriteRefusal::Failed));
        let update = Conditions { if_match: tag("*"), ..Conditions::default() };
        assert_eq!(update.write(None), Err(WriteRefusal::Missing));
        assert_eq!(update.delete(Some(NOW)), Ok(()));
        let sized = Conditions { if_size: Some(4), ..Conditions::default() };
        assert_eq!(sized.delete(Some(NOW)), Err(WriteRefusal::Failed));
        let dated = Conditions { if_last_modified: at(10), ..Conditions::default() };
        assert_eq!(dated.delete(Some(NOW)), Ok(()));
        assert_eq!(Conditions::default().delete(None), Ok(()));
    }
}
