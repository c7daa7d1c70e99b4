//! The failures of a catalog, by meaning.
//!
//! **Invariant:** a source is for the log; nothing of it reaches a client.

/// What went wrong, by meaning.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A change's expectation does not hold: somebody else committed first. Nothing was changed.
    #[error("the row has changed")]
    Conflict,
    /// The bucket, upload, user or key is not there.
    #[error("no such row")]
    NotFound,
    /// The name is taken.
    #[error("the name is taken")]
    AlreadyExists,
    /// The bucket still has objects, or the user still owns buckets.
    #[error("it is not empty")]
    NotEmpty,
    /// This catalog cannot act under this role, or not in this way.
    #[error("the catalog does not act under this role")]
    NoRoles,
    /// The policies of the role refuse it.
    #[error("the policies of the role refuse it")]
    Denied,
    /// The policies of the role fail by themselves.
    #[error("the policies of the role fail")]
    Policy {
        /// The state by which the database tells why: five characters of the SQL standard.
        state: String,
        /// For the log.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The bucket would hold more than its quota.
    #[error("the quota of the bucket is exceeded")]
    QuotaExceeded,
    /// No space for the catalog.
    #[error("no space is left for the catalog")]
    NoSpace,
    /// The catalog does not answer now; a later try may succeed.
    #[error("the catalog is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Anything else. The source is for the log, never for a client.
    #[error("the catalog failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// A result of a catalog.
pub type Result<T> = std::result::Result<T, Error>;
