//! What signs and verifies tokens, wired: the secret, the rules, the keys beside it.
//!
//! **Invariant:** a secret is made only where neither the configuration nor the state directory has one, and is kept
//! before anything is signed with it: whoever signs beside a server of that directory has the secret that the server
//! verifies by.

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::AppError;
use crate::auth::jwt::{KeySource, TokenRules, Tokens};
use crate::auth::secret::Secret;
use crate::config::state::State;
use crate::config::{Config, JwtConfig};

/// The secret of tokens: of the configuration, or the one that is kept. The second says that it was made just now.
///
/// # Errors
/// A damaged file of it.
pub fn secret(config: &Config, state: &State) -> Result<(Secret, bool), AppError> {
    if let Some(secret) = &config.jwt.secret {
        return Ok((secret.clone(), false));
    }
    if let Some(secret) = state.jwt_secret()? {
        return Ok((secret, false));
    }
    Ok((state.generate_jwt_secret()?, true))
}

/// What signs and verifies tokens.
///
/// # Errors
/// A damaged secret; a file of keys that cannot be read.
pub fn made_of(config: &Config, secret: Secret) -> Result<Tokens, AppError> {
    let JwtConfig { keys, algorithms, roles, require_exp, issuers, audiences, .. } = config.jwt.clone();
    let tokens = Tokens::new(TokenRules { secret, algorithms, roles, require_exp, issuers, audiences });
    if let Some(keys) = keys {
        tokens.set_keys(keys.first().map_err(AppError::TokenKeys)?);
    }
    Ok(tokens)
}

/// The same for the server, which tells of a secret that it makes.
pub(super) fn of_server(config: &Config, state: &State) -> Result<Tokens, AppError> {
    let (secret, new) = self::secret(config, state)?;
    if new {
        tracing::info!(file = %state.jwt_file().display(), "a secret that signs tokens was made");
    }
    made_of(config, secret)
}

/// Fetches the keys that are at an address, until `stop`.
pub(super) fn keep_keys(work: &mut JoinSet<()>, config: &Config, tokens: &Tokens, stop: &CancellationToken) {
    if let Some(KeySource::Address(address)) = config.jwt.keys.clone() {
        let (tokens, stop, stopped) = (tokens.clone(), stop.clone(), stop.clone());
        work.spawn(async move {
            // No stop waits for an address to answer.
            let _ended = stopped.run_until_cancelled(tokens.keep_keys(address, stop)).await;
        });
    }
}
