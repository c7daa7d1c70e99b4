//! What proves a user beside its access keys: the hash of a password, and which tokens count no more.
//!
//! **Invariant:** a password is here only as a hash, and goes with its user. A token that was given back stays so until it
//! would have ended by itself; one of a user who was removed since makes nobody of a later user of that name.

use async_trait::async_trait;

use crate::catalog::Result;

/// Passwords and tokens of users. Every method is one transaction.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// Gives a user a password.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::catalog::Error::NotFound) if there is no such user.
    async fn set_password(&self, user: &str, hash: &str) -> Result<()>;

    /// The hash of a user's password, if it has one.
    ///
    /// # Errors
    /// Failures of the database.
    async fn password(&self, user: &str) -> Result<Option<String>>;

    /// Notes that a token was given back that would have ended at `ends`, in seconds; what ended before `now` is
    /// forgotten.
    ///
    /// # Errors
    /// Failures of the database.
    async fn give_token_back(&self, token: &str, ends: i64, now: i64) -> Result<()>;

    /// Whether a token was given back, or a user of this name was removed since it was `issued`, in seconds, or in the very
    /// second.
    ///
    /// # Errors
    /// Failures of the database.
    async fn is_given_back(&self, token: &str, user: &str, issued: i64) -> Result<bool>;
}
