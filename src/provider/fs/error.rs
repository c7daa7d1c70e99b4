//! From what the kernel says to what it means for a caller.
//!
//! **Invariant:** only this file decides the meaning of an errno; the step that failed is named for the log, and no
//! message of it ever reaches a client, because [`Error`] shows none of its sources.

use std::io;

use rustix::io::Errno;

use crate::provider::{Error, Result};

/// A step that the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}")]
struct Refused {
    doing: &'static str,
    #[source]
    cause: io::Error,
}

/// The meaning of `errno`, met while `doing` something.
pub(super) fn meaning(errno: Errno, doing: &'static str) -> Error {
    let cause = || {
        let cause = io::Error::from(errno);
        io::Error::new(cause.kind(), Refused { doing, cause })
    };
    match errno {
        // A name that the file system cannot hold is a name at which nothing is; the same holds for symbolic links and
        // for what is neither a file nor a directory, since these are never followed nor opened.
        Errno::NOENT | Errno::NOTDIR | Errno::ISDIR | Errno::LOOP | Errno::NAMETOOLONG | Errno::NXIO | Errno::NODEV => {
            Error::NotFound
        }
        Errno::XDEV => Error::Clash,
        Errno::EXIST => Error::AlreadyExists,
        Errno::NOTEMPTY => Error::NotEmpty,
        Errno::NOSPC | Errno::DQUOT => Error::NoSpace,
        Errno::ROFS => Error::ReadOnly,
        Errno::ACCESS | Errno::PERM => Error::Denied,
        Errno::AGAIN | Errno::INTR | Errno::STALE | Errno::TIMEDOUT => Error::Unavailable(cause()),
        // Ours, not the storage's: but they too are over when other requests are.
        Errno::MFILE | Errno::NFILE | Errno::NOMEM => Error::Unavailable(cause()),
        _ => Error::Failed(cause()),
    }
}

/// Whether `errno`, met while making a place for a key, says that the key cannot be a path here.
pub(super) fn is_clash(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::NOTDIR
            | Errno::ISDIR
            | Errno::LOOP
            | Errno::NAMETOOLONG
            | Errno::XDEV
            | Errno::ILSEQ
            | Errno::MLINK
            | Errno::NOTEMPTY
            | Errno::BUSY
    )
}

/// A failure that no errno describes.
pub(super) fn failed(why: &'static str) -> Error {
    Error::Failed(io::Error::other(why))
}

/// A step that lost every race it ran: others keep changing the same names.
pub(super) fn contended(doing: &'static str) -> Error {
    meaning(Errno::AGAIN, doing)
}

/// Names the step in the error of a system call.
pub(super) trait Doing<T> {
    /// The result with the meaning of its error.
    fn doing(self, step: &'static str) -> Result<T>;
}

impl<T> Doing<T> for rustix::io::Result<T> {
    fn doing(self, step: &'static str) -> Result<T> {
        self.map_err(|errno| meaning(errno, step))
    }
}

/// Turns "nothing is there" into `None`.
pub(super) fn if_there<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_keep_their_meaning_and_their_cause() {
        assert!(matches!(meaning(Errno::DQUOT, "write"), Error::NoSpace));
        assert!(matches!(meaning(Errno::ROFS, "write"), Error::ReadOnly));
        assert!(meaning(Errno::STALE, "read").retryable());
        let Error::Failed(cause) = meaning(Errno::IO, "write the bytes") else { panic!("EIO is a failure") };
        assert_eq!(cause.to_string(), "cannot write the bytes");
        let root = std::error::Error::source(&cause).map(ToString::to_string);
        assert!(root.is_some_and(|text| text.contains("os error 5")));
    }
}
