//! `longshore token`.
//!
//! **Invariant:** nothing is signed for a role that is not let in or for a user who is not there, and nothing that has
//! ended already. No further claim can stand for one of those that decide.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use crate::app::{Opening, tokens};
use crate::auth::jwt::USER_CLAIM;
use crate::auth::secret::Secret;
use crate::cli::exit::{Failure, Outcome};
use crate::cli::{Beside, print};
use crate::config::state::State;
use crate::config::{Config, duration};
use crate::model::time::Clock;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Sign a token for a user or a role and print it alone.
    Create(Create),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The user: whoever shows the token is this user, for as long as there is one.
    #[arg(
        long,
        value_name = "NAME",
        env = "LONGSHORE_USER",
        required_unless_present = "role",
        conflicts_with = "role"
    )]
    user: Option<String>,
    /// The role instead of a user, such as anon, authenticated or service_role.
    #[arg(long, value_name = "ROLE", env = "LONGSHORE_ROLE")]
    role: Option<String>,
    /// The subject that goes with the role: of whom the token speaks, and who owns what is written with it.
    #[arg(long, value_name = "SUB", env = "LONGSHORE_SUB", requires = "role")]
    sub: Option<String>,
    /// Further claims that go with the role, as a JSON object.
    #[arg(long, value_name = "JSON", env = "LONGSHORE_CLAIMS", requires = "role")]
    claims: Option<String>,
    /// How long it counts: 30m, 24h, 7d.
    #[arg(long, value_name = "TIME", env = "LONGSHORE_EXPIRES", value_parser = duration, default_value = "1h")]
    expires: Duration,
    #[command(flatten)]
    beside: Beside,
}

pub(super) async fn run(command: Command) -> Outcome {
    match command {
        Command::Create(arguments) => create(arguments).await,
    }
}

/// The claims of a role that is let in, of a subject if there is one, and further ones.
pub(super) fn claims_of(
    config: &Config,
    role: String,
    sub: Option<String>,
    further: Option<&str>,
) -> Result<Map<String, Value>, Failure> {
    if !config.jwt.roles.contains(&role) {
        return Err(Failure::refused(format!("the role {role:?} is not let in; jwt.roles lists those that are")));
    }
    let mut all = match further.map(serde_json::from_str::<Value>) {
        None => Map::new(),
        Some(Ok(Value::Object(claims))) => claims,
        Some(_) => return Err(Failure::refused("the claims must be a JSON object")),
    };
    if let Some(taken) =
        ["role", "sub", "iat", "exp", "nbf", "url", USER_CLAIM].iter().find(|name| all.contains_key(**name))
    {
        return Err(Failure::refused(format!("the claim {taken:?} cannot be set by --claims")));
    }
    all.insert("role".to_owned(), role.into());
    all.extend(sub.map(|sub| ("sub".to_owned(), Value::from(sub))));
    Ok(all)
}

async fn create(arguments: Create) -> Outcome {
    let Create { user, role, sub, claims, expires, beside } = arguments;
    let config = Config::load(&beside.places.clone().overrides(beside.dir.clone()))?;
    let now = Clock::now().seconds();
    let ends = i64::try_from(expires.as_secs()).ok().and_then(|seconds| now.checked_add(seconds));
    let ends =
        ends.filter(|_| !expires.is_zero()).ok_or_else(|| Failure::refused("it would never count, or forever"))?;
    let text = match role {
        None => of_user(&config, beside, &user.unwrap_or_default(), expires).await?,
        Some(role) => {
            let mut all = claims_of(&config, role, sub, claims.as_deref())?;
            all.extend([("iat".to_owned(), now.into()), ("exp".to_owned(), ends.into())]);
            tokens::made_of(&config, secret(&config)?)?.sign_role(all)?
        }
    };
    Ok(print::text(&format!("{text}\n"))?)
}

/// What signs: it needs no catalog.
fn secret(config: &Config) -> Result<Secret, Failure> {
    Ok(match &config.jwt.secret {
        Some(secret) => secret.clone(),
        None => tokens::secret(config, &State::open(&config.state)?)?.0,
    })
}

/// A token of a user who is there.
async fn of_user(config: &Config, beside: Beside, user: &str, lives: Duration) -> Result<String, Failure> {
    let store = beside.open_identities(Opening::Look).await?.store;
    if store.caller_of_user(user).await?.is_none() {
        return Err(Failure::failed(format!("there is no user {user:?}")));
    }
    Ok(tokens::made_of(config, secret(config)?)?.sign_user(user, lives)?.0)
}
