//! `longshore catalog …`.
//!
//! **Invariant:** no command here prints or logs the address of a catalog with its password.

use clap::{Args, Subcommand};

use crate::app;
use crate::cli::Beside;
use crate::cli::exit::{Failure, Outcome};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Bring the schema of a catalog in Postgres up to date, as a login that may make roles and schemas.
    Migrate(Migrate),
}

#[derive(Debug, Args)]
pub(super) struct Migrate {
    /// The login that the servers will use, which this lets act for them. It should be NOINHERIT and own nothing.
    #[arg(long, value_name = "NAME", env = "LONGSHORE_CATALOG_LOGIN")]
    login: Option<String>,
    #[command(flatten)]
    beside: Beside,
}

pub(super) async fn run(command: Command) -> Outcome {
    let Command::Migrate(Migrate { login, beside }) = command;
    let config = beside.config()?;
    if config.catalog.is_none() {
        return Err(Failure::refused("name the catalog in Postgres: --catalog postgres://USER:PASSWORD@HOST/DATABASE"));
    }
    Ok(app::prepare_catalog(&config, login.as_deref()).await?)
}
