//! `longshore key`.
//!
//! **Invariant:** a secret is printed once, by the command that makes the key, and no list has it. A key of a role is
//! made only for a role that tokens may have here.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::app::Opening;
use crate::auth::secret::Secret;
use crate::cli::exit::{Failure, Outcome};
use crate::cli::token::claims_of;
use crate::cli::{Beside, print};
use crate::config::Config;
use crate::model::caller::Caller;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make an access key of a user, or of a role with claims, and print it with its secret, which is shown this once.
    Create(Create),
    /// List the access keys of a user.
    List {
        /// The user.
        #[arg(long, value_name = "NAME", env = "LONGSHORE_USER")]
        user: String,
        /// Print JSON.
        #[arg(long, env = "LONGSHORE_JSON")]
        json: bool,
        #[command(flatten)]
        beside: Beside,
    },
    /// Delete an access key.
    Delete {
        /// The user; if it is given, only a key of this user is deleted.
        #[arg(long, value_name = "NAME", env = "LONGSHORE_USER")]
        user: Option<String>,
        /// The access key.
        #[arg(long, value_name = "K", env = "LONGSHORE_ACCESS_KEY")]
        access_key: String,
        #[command(flatten)]
        beside: Beside,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The user.
    #[arg(
        long,
        value_name = "NAME",
        env = "LONGSHORE_USER",
        required_unless_present = "role",
        conflicts_with = "role"
    )]
    user: Option<String>,
    /// A role instead of a user: whoever has the key is what a token of this role would be.
    #[arg(long, value_name = "ROLE", env = "LONGSHORE_ROLE")]
    role: Option<String>,
    /// The subject that goes with the role: who owns what is written with the key.
    #[arg(long, value_name = "SUB", env = "LONGSHORE_SUB", requires = "role")]
    sub: Option<String>,
    /// Further claims that go with the role, as a JSON object.
    #[arg(long, value_name = "JSON", env = "LONGSHORE_CLAIMS", requires = "role")]
    claims: Option<String>,
    /// The access key to use instead of a new one.
    #[arg(long, value_name = "K", env = "LONGSHORE_ACCESS_KEY", requires = "secret_key")]
    access_key: Option<String>,
    /// The secret that goes with it.
    #[arg(long, value_name = "S", env = "LONGSHORE_SECRET_KEY", hide_env_values = true, requires = "access_key")]
    secret_key: Option<String>,
    /// Print JSON.
    #[arg(long, env = "LONGSHORE_JSON")]
    json: bool,
    #[command(flatten)]
    beside: Beside,
}

pub(super) async fn run(command: Command) -> Outcome {
    match command {
        Command::Create(arguments) => create(arguments).await,
        Command::List { user, json, beside } => list(&user, json, beside).await,
        Command::Delete { user, access_key, beside } => delete(user.as_deref(), &access_key, beside).await,
    }
}

async fn create(arguments: Create) -> Outcome {
    let Create { user, role, sub, claims, access_key, secret_key, json: as_json, beside } = arguments;
    let given = access_key.zip(secret_key.as_deref().map(Secret::new));
    let ((access_key, secret), of) = match role {
        None => {
            let user = user.unwrap_or_default();
            let store = beside.open_identities(Opening::Change).await?.store;
            (store.add_key(&Caller::ROOT, &user, given).await?, ("user", Value::from(user)))
        }
        Some(role) => {
            let config = Config::load(&beside.places.clone().overrides(beside.dir.clone()))?;
            let claims = claims_of(&config, role, sub, claims.as_deref())?;
            let store = beside.open_identities(Opening::Change).await?.store;
            (store.add_role_key(&Caller::ROOT, &claims, given).await?, ("claims", Value::Object(claims)))
        }
    };
    let secret = secret.expose();
    if as_json {
        let mut shown = json!({ "access_key": access_key, "secret_key": secret });
        shown[of.0] = of.1;
        return Ok(print::json(&shown)?);
    }
    let row = |name: &str, value: &str| vec![name.to_owned(), value.to_owned()];
    Ok(print::rows(&[row("access key", &access_key), row("secret key", secret)])?)
}

async fn list(user: &str, as_json: bool, beside: Beside) -> Outcome {
    let keys = beside.open_identities(Opening::Look).await?.store.keys(&Caller::ROOT, user).await?;
    if as_json {
        let shown = keys.iter().map(|key| {
            let claims = key.claims.as_deref().and_then(|claims| serde_json::from_str::<Value>(claims).ok());
            let mut shown = json!({ "access_key": key.access_key, "created": print::date(key.created) });
            if let Some(claims) = claims {
                shown["claims"] = claims;
            }
            shown
        });
        return Ok(print::json(&shown.collect::<Vec<_>>())?);
    }
    let row = keys.iter().map(|key| {
        let claims = print::plain(key.claims.as_deref().unwrap_or_default());
        vec![print::plain(&key.access_key), print::date(key.created), claims]
    });
    Ok(print::rows(&row.collect::<Vec<_>>())?)
}

async fn delete(user: Option<&str>, access_key: &str, beside: Beside) -> Outcome {
    let store = beside.open_identities(Opening::Change).await?.store;
    if let Some(user) = user
        && !store.keys(&Caller::ROOT, user).await?.iter().any(|key| key.access_key == access_key)
    {
        return Err(Failure::failed(format!("the user {user:?} has no access key {access_key:?}")));
    }
    Ok(store.delete_key(&Caller::ROOT, access_key).await?)
}
