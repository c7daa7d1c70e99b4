//! Byte ranges of reads (RFC 9110 section 14, as S3 applies it).
//!
//! **Invariant:** nothing is allocated by a client's number, and a resolved range lies inside the body.

use std::ops::Range;

/// A range a client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// `bytes=a-b`, both included.
    FromTo(u64, u64),
    /// `bytes=a-`.
    From(u64),
    /// `bytes=-n`: the last n bytes.
    Suffix(u64),
}

/// The range lies outside the body: 416 InvalidRange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the range is not satisfiable")]
pub struct Unsatisfiable;

impl ByteRange {
    /// Reads a `Range` header; `None` if it is to be ignored: another unit, several ranges, reversed, not numbers.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let (unit, spec) = header.trim().split_once('=')?;
        if !unit.trim_end().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (first, last) = spec.trim().split_once('-')?;
        let number = |digits: &str| -> Option<u64> {
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            // A number past 2^64 is beyond the end of every body, which is all that matters of it.
            Some(digits.parse().unwrap_or(u64::MAX))
        };
        match (first, last) {
            ("", n) => number(n).map(Self::Suffix),
            (a, "") => number(a).map(Self::From),
            (a, b) => {
                let (a, b) = (number(a)?, number(b)?);
                (a <= b).then_some(Self::FromTo(a, b))
            }
        }
    }

    /// The bytes it means in a body of `size` bytes.
    ///
    /// # Errors
    /// [`Unsatisfiable`] if it begins at or past the end, or is an empty suffix.
    pub fn resolve(self, size: u64) -> Result<Range<u64>, Unsatisfiable> {
        let range = match self {
            Self::FromTo(a, b) => a..b.saturating_add(1).min(size),
            Self::From(a) => a..size,
            Self::Suffix(n) => size.saturating_sub(n)..size,
        };
        if range.start >= range.end { Err(Unsatisfiable) } else { Ok(range) }
    }
}

/// The bytes that a `Content-Range` of an answer names, end excluded, and the size of the whole; `None`: it is none.
#[must_use]
pub fn content_range(text: &str) -> Option<(Range<u64>, u64)> {
    let (range, size) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, size): (u64, u64, u64) = (first.parse().ok()?, last.parse().ok()?, size.parse().ok()?);
    (first <= last && last < size).then(|| (first..last + 1, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn understood_and_ignored() {
        for (text, range) in [
            ("bytes=0-4", Some(ByteRange::FromTo(0, 4))),
            ("bytes=5-", Some(ByteRange::From(5))),
            ("bytes=-5", Some(ByteRange::Suffix(5))),
            ("Bytes = 1-2", Some(ByteRange::FromTo(1, 2))),
            ("bytes=5-2", None),
            ("bytes=abc", None),
            ("items=0-1", None),
            ("bytes=0-1,3-4", None),
            ("bytes=-", None),
            ("bytes=+1-2", None),
            ("bytes=99999999999999999999999-", Some(ByteRange::From(u64::MAX))),
        ] {
            assert_eq!(ByteRange::parse(text), range, "{text}");
        }
    }

    #[test]
    fn resolved_inside_the_body() {
        for (range, size, bytes) in [
            (ByteRange::FromTo(0, 4), 3, Ok(0..3)),
            (ByteRange::FromTo(3, 4), 3, Err(Unsatisfiable)),
            (ByteRange::From(u64::MAX), 3, Err(Unsatisfiable)),
            (ByteRange::Suffix(5), 3, Ok(0..3)),
            (ByteRange::Suffix(0), 3, Err(Unsatisfiable)),
            (ByteRange::Suffix(1), 0, Err(Unsatisfiable)),
            (ByteRange::FromTo(0, u64::MAX), 3, Ok(0..3)),
        ] {
            assert_eq!(range.resolve(size), bytes, "{range:?} of {size}");
        }
    }

    #[test]
    fn ranges_of_answers() {
        assert_eq!(content_range("bytes 0-9/10"), Some((0..10, 10)));
        assert_eq!(content_range("bytes 3-3/4"), Some((3..4, 4)));
        for wrong in ["", "bytes */10", "bytes 5-4/10", "bytes 0-10/10", "bytes 0-9/*", "items 0-9/10", "bytes 1-2"] {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
    }
}
