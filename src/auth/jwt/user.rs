//! Tokens of users: signed with the secret of this server, they name a user of the catalog.
//!
//! **Invariant:** a token of a user says who was meant when it was signed, and never what the user may do: that is what
//! the catalog says when it is shown. It has an end and a name of its own, whatever the rules for tokens of roles are,
//! and keys that others hold sign none.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{TokenError, Tokens};
use crate::config::limits::TOKEN_ID_CHARS_MAX;
use crate::model::caller::Token;
use crate::model::id::{hex, random};
use crate::model::time::Clock;

/// The claim that names the user.
pub const USER_CLAIM: &str = "longshore_user";
/// Random bytes of the name of a token.
const ID_BYTES: usize = 16;

/// What a token of a user says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserToken {
    /// The name of the user.
    pub user: String,
    /// The name of the token (`jti`).
    pub id: String,
    /// When it was signed, in seconds.
    pub issued: i64,
    /// When it ends, in seconds.
    pub ends: i64,
}

/// Of whom a token speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// Of a role.
    Role(Token),
    /// Of a user, if the catalog still has it.
    User(UserToken),
}

impl Tokens {
    /// Of whom a token speaks.
    ///
    /// # Errors
    /// Why it counts for nothing.
    pub fn meaning(&self, text: &str) -> Result<Meaning, TokenError> {
        let claims = match self.verified(text, true) {
            // Tokens of users are ours, whichever algorithms are let in.
            Err(TokenError::Algorithm) => match self.verified(text, false) {
                Ok(own) if own.claims.contains_key(USER_CLAIM) => own.claims,
                Ok(_) | Err(_) => return Err(TokenError::Algorithm),
            },
            verified => verified?.claims,
        };
        // Who was given an address to read was not given the rights of anybody.
        if claims.contains_key("url") {
            return Err(TokenError::Address);
        }
        if claims.contains_key(USER_CLAIM) {
            return read(&self.verified(text, false)?.claims).map(Meaning::User);
        }
        self.of_role(claims).map(Meaning::Role)
    }

    /// Signs a token of a user.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] for what cannot be written, or would end beyond all dates.
    pub fn sign_user(&self, user: &str, lives: Duration) -> Result<(String, UserToken), TokenError> {
        let issued = Clock::now().seconds();
        let ends = i64::try_from(lives.as_secs()).ok().and_then(|seconds| issued.checked_add(seconds));
        let mut id = [0; ID_BYTES];
        random(&mut id);
        let token = UserToken { user: user.to_owned(), id: hex(&id), issued, ends: ends.ok_or(TokenError::Malformed)? };
        let claims = Map::from_iter([
            (USER_CLAIM.to_owned(), Value::from(user)),
            ("iat".to_owned(), token.issued.into()),
            ("exp".to_owned(), token.ends.into()),
            ("jti".to_owned(), token.id.as_str().into()),
        ]);
        Ok((self.sign(&claims)?, token))
    }
}

fn read(claims: &Map<String, Value>) -> Result<UserToken, TokenError> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let date = |name: &str| claims.get(name).and_then(Value::as_i64);
    let id = text("jti").filter(|id| id.len() <= TOKEN_ID_CHARS_MAX).ok_or(TokenError::Malformed)?;
    Ok(UserToken {
        user: text(USER_CLAIM).ok_or(TokenError::Malformed)?.to_owned(),
        id: id.to_owned(),
        issued: date("iat").ok_or(TokenError::Malformed)?,
        ends: date("exp").ok_or(TokenError::Expired)?,
    })
}
