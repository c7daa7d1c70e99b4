//! What goes wrong at a storage, by meaning.
//!
//! **Invariant:** a variant says what may be done about it, and only what may pass by itself is retryable. Sources are for
//! the log, never for a client.

/// What went wrong, by meaning.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing is at the place, or the container is missing.
    #[error("nothing is there")]
    NotFound,
    /// Other bytes are there than the caller named.
    #[error("other bytes are there")]
    StampMismatch,
    /// The container exists.
    #[error("it exists")]
    AlreadyExists,
    /// The container holds something of its users'.
    #[error("it is not empty")]
    NotEmpty,
    /// The key cannot be a path here: a file lies where a directory is needed or the reverse, the name is too long for
    /// this file system, or a mount lies in between. The bytes stay at their managed place.
    #[error("the key cannot be a path here")]
    Clash,
    /// No space, no inodes or over quota.
    #[error("no space is left")]
    NoSpace,
    /// The storage takes no writes.
    #[error("the storage is read-only")]
    ReadOnly,
    /// The storage refused us.
    #[error("the storage refuses access")]
    Denied,
    /// The bytes are there, but the storage has put them away: it tells of them, and neither reads nor copies them before
    /// somebody has them restored there.
    #[error("the storage has archived the bytes")]
    Archived,
    /// The storage does not answer now; a later try may succeed.
    #[error("the storage is not available")]
    Unavailable(#[source] std::io::Error),
    /// The storage takes no container of this name.
    #[error("the storage takes no container of this name")]
    BadName,
    /// Anything else. The source is for the log, never for a client.
    #[error("the storage failed")]
    Failed(#[source] std::io::Error),
}

impl Error {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// A result of a provider.
pub type Result<T> = std::result::Result<T, Error>;
