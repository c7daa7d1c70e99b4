//! The caller whom the text of a token makes, alike in every front that takes tokens.
//!
//! **Invariant:** a token of a user makes the user as the catalog has it now; one of a user who is not there, or that
//! was given back, makes nobody.

use crate::auth::jwt::{Meaning, TokenError, Tokens};
use crate::model::caller::{Caller, Who};
use crate::store::{Error, Store};

/// Why a token makes no caller.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BearerError {
    /// It counts for nothing.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The catalog could not be asked.
    #[error(transparent)]
    Store(#[from] Error),
}

/// The caller of a token.
///
/// # Errors
/// Why there is none.
pub(crate) async fn caller(store: &Store, tokens: &Tokens, text: &str) -> Result<Caller, BearerError> {
    match tokens.meaning(text)? {
        Meaning::Role(token) => Ok(Who::Token(token.into()).into()),
        Meaning::User(token) => Ok(store.caller_of_token(&token).await?.ok_or(TokenError::User)?),
    }
}
