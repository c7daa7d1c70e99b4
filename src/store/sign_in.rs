//! Signing in with a password, and giving a token back.
//!
//! **Invariant:** an unknown user and a wrong password look the same, in time, too; a token that was given back makes
//! nobody any more, on any front.

use tokio::sync::OwnedSemaphorePermit;

use crate::auth::jwt::UserToken;
use crate::auth::password::{self, PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN};
use crate::auth::secret::Secret;
use crate::catalog::{self, Catalog};
use crate::model::caller::Caller;
use crate::model::time::Clock;
use crate::store::Store;
use crate::store::error::{Error, Result};

impl Store {
    /// Gives a user a password.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for one that is too short or too long, or without such a user; refusals.
    pub async fn set_password(&self, caller: &Caller, user: &str, password: Secret) -> Result<()> {
        self.administer(caller)?;
        let text = password.expose();
        if text.chars().count() < PASSWORD_CHARS_MIN || text.len() > PASSWORD_BYTES_MAX {
            let message = "A password has at least 8 characters and at most 1024 bytes";
            return Err(Error::InvalidArgument { name: "password", message });
        }
        let hash = tokio::task::spawn_blocking(move || password::hash(&password)).await;
        let hash = hash?.ok_or("no memory to hash a password");
        let hash = hash.map_err(|why| Error::Internal(why.into()))?;
        match self.catalog().set_password(user, &hash).await {
            Err(catalog::Error::NotFound) => {
                Err(Error::InvalidArgument { name: "user", message: "There is no such user" })
            }
            other => Ok(other?),
        }
    }

    /// Whether a password is a user's. The turn to look at one is over when that is done.
    ///
    /// On cancellation: it is looked at all the same, unheard, and the turn lasts until then.
    ///
    /// # Errors
    /// Failures of the catalog.
    pub async fn knows_password(&self, user: &str, password: Secret, turn: OwnedSemaphorePermit) -> Result<bool> {
        if password.expose().len() > PASSWORD_BYTES_MAX {
            return Ok(false);
        }
        let hash = self.catalog().password(user).await?;
        let verified = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            password::verify(&password, hash.as_deref())
        });
        Ok(verified.await?)
    }

    /// The caller of a token of a user that was verified; `None` if there is no such user now, or it was given back.
    ///
    /// # Errors
    /// Failures of the catalog.
    pub async fn caller_of_token(&self, token: &UserToken) -> Result<Option<Caller>> {
        if self.catalog().is_given_back(&token.id, &token.user, token.issued).await? {
            return Ok(None);
        }
        self.caller_of_user(&token.user).await
    }

    /// Takes a token back.
    ///
    /// # Errors
    /// Failures of the catalog.
    pub async fn give_token_back(&self, token: &UserToken) -> Result<()> {
        let catalog: &dyn Catalog = self.catalog();
        Ok(catalog.give_token_back(&token.id, token.ends, Clock::now().seconds()).await?)
    }
}
