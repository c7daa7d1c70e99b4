//! Why the embedded catalog fails, in the words of the trait's errors.
//!
//! **Invariant:** a full disk is `NoSpace`, a lock that others hold is `Unavailable`, and everything else is `Failed`
//! with its cause as source; no statement and no path gets into a message that a client could see.

use std::sync::Arc;

use rusqlite::ErrorCode;

use crate::catalog::Error;

/// A cause that SQLite itself does not report.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The catalog was closed.
    #[error("the catalog is closed")]
    Closed,
    /// A statement of ours panicked. Its transaction was rolled back.
    #[error("a transaction of the catalog panicked and was rolled back")]
    Panicked,
    /// SQLite gave up the transaction that the job shared with others.
    #[error("the transaction was given up by the database")]
    GivenUp,
    /// The file belongs to a newer release.
    #[error("the catalog has schema {found}, and this release knows schemas up to {known}: use the newer release")]
    Newer {
        /// The schema of the file.
        found: i64,
        /// The newest schema known here.
        known: i64,
    },
    /// The schema is of an older release, and nothing is to be changed.
    #[error(
        "the catalog has schema {found}, and this release uses schema {known}: `longshore serve` brings it up to date"
    )]
    Older {
        /// The schema of the file.
        found: i64,
        /// The schema of this release.
        known: i64,
    },
    /// The file is a database of another program.
    #[error("the file is an SQLite database, but not a catalog of Longshore")]
    NotOurs,
    /// The file system cannot share memory between processes or loses locks.
    #[error("the catalog cannot be on a network file system ({0}): choose a state directory on a local disk")]
    NetworkFileSystem(&'static str),
    /// The file system does not do what WAL needs.
    #[error("the database cannot use a write-ahead log here (journal mode {0:?})")]
    NoWal(String),
    /// A number that SQLite's 64 signed bits cannot hold.
    #[error("the number {0} is too large for the catalog")]
    TooLarge(u64),
    /// A row that this code did not write.
    #[error("a row of the catalog is malformed: {0}")]
    Malformed(&'static str),
    /// `gc` was faster than the write.
    #[error("the bytes of a new version were given up before it was committed")]
    GivenUpBytes,
    /// The caller named a place that is not one of the version's two.
    #[error("the place is not one of this version's")]
    ForeignPlace,
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Closed | Fault::GivenUp | Fault::GivenUpBytes => Self::Unavailable(Box::new(fault)),
            Fault::Panicked
            | Fault::Newer { .. }
            | Fault::Older { .. }
            | Fault::NotOurs
            | Fault::NetworkFileSystem(_)
            | Fault::NoWal(_)
            | Fault::TooLarge(_)
            | Fault::Malformed(_)
            | Fault::ForeignPlace => Self::Failed(Box::new(fault)),
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        shared(&Arc::new(error))
    }
}

/// The meaning of a failure that hits several callers at once: each gets an error of its own over the same cause.
pub(super) fn shared(error: &Arc<rusqlite::Error>) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::NoSpace,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::Unavailable(Box::new(Arc::clone(error))),
        _ => Error::Failed(Box::new(Arc::clone(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_sqlite_by_meaning() {
        let failure = |code| Error::from(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None));
        assert!(matches!(failure(rusqlite::ffi::SQLITE_FULL), Error::NoSpace));
        assert!(failure(rusqlite::ffi::SQLITE_BUSY).retryable());
        assert!(failure(rusqlite::ffi::SQLITE_BUSY_SNAPSHOT).retryable());
        assert!(matches!(failure(rusqlite::ffi::SQLITE_CORRUPT), Error::Failed(_)));
    }
}
