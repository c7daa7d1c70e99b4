//! `longshore user`.
//!
//! **Invariant:** a password comes from standard input alone, never from an argument or the environment, and no more of
//! it is read than a password may have.

use std::io::{BufRead as _, Read as _};
use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::app::Opening;
use crate::auth::password::{PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN};
use crate::auth::secret::Secret;
use crate::cli::exit::{Failure, Outcome};
use crate::cli::{Beside, print};
use crate::config::limits::{CLI_PAGE_ROWS, POLICY_BYTES_MAX};
use crate::model::caller::{Caller, User};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a user.
    Create(Create),
    /// List all users.
    List {
        /// Print JSON.
        #[arg(long, env = "LONGSHORE_JSON")]
        json: bool,
        #[command(flatten)]
        beside: Beside,
    },
    /// Delete a user and its access keys. Its buckets pass to root.
    Delete {
        /// The user's name.
        name: String,
        #[command(flatten)]
        beside: Beside,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The user's name, which is its canonical id.
    name: String,
    /// A group the user is in; may be repeated.
    #[arg(long = "group", value_name = "G", env = "LONGSHORE_GROUP")]
    groups: Vec<String>,
    /// What the user may do: readonly, readwrite, admin, or a file with an IAM policy document.
    #[arg(long, value_name = "POLICY", env = "LONGSHORE_POLICY", default_value = "readwrite")]
    policy: String,
    /// The user's e-mail address.
    #[arg(long, value_name = "E", env = "LONGSHORE_EMAIL")]
    email: Option<String>,
    /// What lists show; the name if it is not given.
    #[arg(long, value_name = "D", env = "LONGSHORE_DISPLAY_NAME")]
    display_name: Option<String>,
    /// Read the user's password from standard input, up to the end of its first line: with it the user signs in to the
    /// FileStore interface.
    #[arg(long, env = "LONGSHORE_PASSWORD_STDIN")]
    password_stdin: bool,
    /// Change the user if there is one of this name.
    #[arg(long, env = "LONGSHORE_REPLACE")]
    replace: bool,
    #[command(flatten)]
    beside: Beside,
}

pub(super) async fn run(command: Command) -> Outcome {
    match command {
        Command::Create(arguments) => create(arguments).await,
        Command::List { json, beside } => list(json, beside).await,
        Command::Delete { name, beside } => {
            Ok(beside.open_identities(Opening::Change).await?.store.delete_user(&Caller::ROOT, &name).await?)
        }
    }
}

async fn create(arguments: Create) -> Outcome {
    let user = User {
        display_name: arguments.display_name.unwrap_or_else(|| arguments.name.clone()),
        email: arguments.email,
        groups: arguments.groups,
        policy: policy(&arguments.policy)?,
        name: arguments.name,
    };
    let password = if arguments.password_stdin { Some(password()?) } else { None };
    let app = arguments.beside.make_identities().await?;
    let name = user.name.clone();
    app.store.put_user(&Caller::ROOT, user, arguments.replace).await?;
    match password {
        Some(password) => Ok(app.store.set_password(&Caller::ROOT, &name, password).await?),
        None => Ok(()),
    }
}

/// One line of standard input.
fn password() -> Result<Secret, Failure> {
    let mut line = String::new();
    let most = PASSWORD_BYTES_MAX as u64 + 2;
    let read = std::io::stdin().lock().take(most).read_line(&mut line);
    read.map_err(|error| Failure::failed(format!("the password cannot be read: {error}")))?;
    let text = line.trim_end_matches(['\r', '\n']);
    if text.chars().count() < PASSWORD_CHARS_MIN || text.len() > PASSWORD_BYTES_MAX {
        return Err(Failure::refused("a password has at least 8 characters and at most 1024 bytes"));
    }
    Ok(Secret::new(text))
}

/// A built-in name stays as it is; all else is a file.
fn policy(given: &str) -> Result<String, Failure> {
    if ["readonly", "readwrite", "admin"].contains(&given) {
        return Ok(given.to_owned());
    }
    let path = Path::new(given);
    let unreadable = |error| Failure::failed(format!("the policy {given:?} is no built-in one and no file: {error}"));
    if path.metadata().map_err(unreadable)?.len() > POLICY_BYTES_MAX {
        return Err(Failure::failed(format!("the policy {given:?} is larger than {POLICY_BYTES_MAX} bytes")));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

async fn list(as_json: bool, beside: Beside) -> Outcome {
    let app = beside.open_identities(Opening::Look).await?;
    let mut users: Vec<User> = Vec::new();
    loop {
        let after = users.last().map(|user| user.name.clone());
        let page = app.store.users(&Caller::ROOT, after.as_deref(), CLI_PAGE_ROWS).await?;
        let last = page.len() < CLI_PAGE_ROWS;
        users.extend(page);
        if last {
            break;
        }
    }
    if as_json {
        let shown = |user: &User| {
            json!({
                "name": user.name, "display_name": user.display_name, "email": user.email,
                "groups": user.groups, "policy": user.policy,
            })
        };
        return Ok(print::json(&users.iter().map(shown).collect::<Vec<_>>())?);
    }
    let row = |user: &User| {
        let policy = if user.policy.contains('{') { "(document)" } else { &user.policy };
        vec![print::plain(&user.name), policy.to_owned(), print::plain(&user.groups.join(","))]
    };
    Ok(print::rows(&users.iter().map(row).collect::<Vec<_>>())?)
}
