//! The command line: one file per command. The doc comments of the arguments are the help.
//!
//! **Invariant:** every flag has its environment variable; a secret is read from the environment or a file and printed
//! only by the command that makes it. A command that lists, shows or explains opens to look, and leaves everything as
//! it is.

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::app::{App, AppError, Opening, root_of_command};
use crate::auth::secret::Secret;
use crate::cli::exit::{EXIT_HELP, Failure, Outcome};
use crate::config::state::State;
use crate::config::{ANON_KEY_VARIABLE, Config, JWT_SECRET_VARIABLE, Overrides, ProviderConfig, ProviderKind};

mod bucket;
mod catalog;
mod check;
mod exit;
mod fsck;
mod gc;
mod key;
mod policy;
mod print;
mod progress;
mod provider;
mod scan;
mod serve;
mod token;
mod user;

/// The token is no flag: other users of the machine can read flags.
const METRICS_TOKEN_VARIABLE: &str = "LONGSHORE_METRICS_TOKEN";

/// An S3 endpoint in front of the storage you already have.
#[derive(Debug, Parser)]
#[command(name = "longshore", version, after_help = EXIT_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a directory until SIGTERM or SIGINT.
    Serve(serve::Arguments),
    /// Read the configuration, open what it names, and print what is found. Leaves everything as it is.
    Check(check::Arguments),
    /// Make, list and delete users.
    #[command(subcommand)]
    User(user::Command),
    /// Make, list and delete access keys of users and roles.
    #[command(subcommand)]
    Key(key::Command),
    /// Make tokens for the REST interfaces.
    #[command(subcommand)]
    Token(token::Command),
    /// Ask why somebody may do something, or not.
    #[command(subcommand)]
    Policy(policy::Command),
    /// List providers, and try one.
    #[command(subcommand)]
    Provider(provider::Command),
    /// List buckets, and show or change their settings.
    #[command(subcommand)]
    Bucket(bucket::Command),
    /// Prepare a catalog in Postgres.
    #[command(subcommand)]
    Catalog(catalog::Command),
    /// Bring the catalog up to date with what lies in the storage.
    Scan(scan::ScanArguments),
    /// Restore the objects of a lost catalog from the records beside the bytes. The server must not be running.
    Rebuild(scan::RebuildArguments),
    /// Check catalog and storage against each other. Exit code 3 says that something is wrong.
    Fsck(fsck::Arguments),
    /// Free what a crash left: files that no object, upload or step names.
    Gc(gc::Arguments),
}

/// Where configuration and state are.
#[derive(Debug, Clone, Args)]
struct Places {
    /// Configuration file, in TOML.
    #[arg(long, value_name = "FILE", env = "LONGSHORE_CONFIG")]
    config: Option<PathBuf>,
    /// State directory: catalog, master key, root credentials, secret of tokens. [default: DIR/.longshore]
    #[arg(long, value_name = "DIR", env = "LONGSHORE_STATE")]
    state: Option<PathBuf>,
    /// Catalog in Postgres: postgres://USER:PASSWORD@HOST/DATABASE, with ?sslmode=require to encrypt. Others can see flags:
    /// a password is better kept in the variable or the configuration. [default: SQLite in the state directory]
    #[arg(long, value_name = "URL", env = "LONGSHORE_CATALOG", hide_env_values = true, value_parser = secret)]
    catalog: Option<Secret>,
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

/// The directory of commands that have it as their argument.
#[derive(Debug, Clone, Args)]
struct Served {
    /// Root of the default filesystem provider; its top-level directories are the buckets. [default: ./data]
    #[arg(value_name = "DIR", env = "LONGSHORE_DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    places: Places,
}

/// The directory of commands whose argument is something else.
#[derive(Debug, Clone, Args)]
struct Beside {
    /// Root of the default filesystem provider. [default: the parent of a state directory named .longshore, or ./data]
    #[arg(long, value_name = "DIR", env = "LONGSHORE_DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    places: Places,
}

impl Places {
    fn overrides(self, dir: Option<PathBuf>) -> Overrides {
        let metrics_token = std::env::var(METRICS_TOKEN_VARIABLE).ok().map(|token| Secret::new(&token));
        let jwt_secret = std::env::var(JWT_SECRET_VARIABLE).ok().map(|secret| Secret::new(&secret));
        Overrides {
            config: self.config,
            state: self.state,
            catalog: self.catalog,
            dir,
            metrics_token,
            jwt_secret,
            anon_key: std::env::var(ANON_KEY_VARIABLE).ok().map(|key| Secret::new(&key)),
            ..Overrides::default()
        }
    }
}

impl Served {
    fn overrides(self) -> Overrides {
        self.places.overrides(self.dir)
    }
}

impl Beside {
    /// Reads the configuration.
    fn config(self) -> Result<Config, Failure> {
        Ok(Config::load(&self.places.overrides(self.dir))?)
    }

    /// Opens catalog and providers.
    async fn open(self, to: Opening) -> Result<App, Failure> {
        let config = Config::load(&self.places.overrides(self.dir))?;
        let state = State::open(&config.state)?;
        Ok(App::open(&config, &state, root_of_command(&state)?, to).await?)
    }

    /// Opens the catalog for a command that asks no provider: it works wherever DIR is, and before there is one.
    async fn open_identities(self, to: Opening) -> Result<App, Failure> {
        let config = Config::load(&self.places.overrides(self.dir))?;
        let state = State::open(&config.state)?;
        identities(config, &state, to).await
    }

    /// The same for the command that makes the first identity: it makes the state, too.
    async fn make_identities(self) -> Result<App, Failure> {
        let config = Config::load(&self.places.overrides(self.dir))?;
        let state = State::create(&config.state)?;
        identities(config, &state, Opening::Change).await
    }
}

async fn identities(mut config: Config, state: &State, to: Opening) -> Result<App, Failure> {
    config.providers = vec![ProviderConfig::plain(&config.server.default_provider, ProviderKind::Memory)];
    Ok(App::open(&config, state, root_of_command(state)?, to).await?)
}

/// Reads the command line, runs the command, and ends with its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Serve(arguments) => serve::run(arguments),
        Command::Check(arguments) => wait(check::run(arguments)),
        Command::User(command) => wait(user::run(command)),
        Command::Key(command) => wait(key::run(command)),
        Command::Token(command) => wait(token::run(command)),
        Command::Policy(command) => wait(policy::run(command)),
        Command::Provider(command) => wait(provider::run(command)),
        Command::Bucket(command) => wait(bucket::run(command)),
        Command::Catalog(command) => wait(catalog::run(command)),
        Command::Scan(arguments) => wait(scan::scan(arguments)),
        Command::Rebuild(arguments) => wait(scan::rebuild(arguments)),
        Command::Fsck(arguments) => wait(fsck::run(arguments)),
        Command::Gc(arguments) => wait(gc::run(arguments)),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Runs a command that does one thing after the other.
fn wait(command: impl Future<Output = Outcome>) -> Outcome {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AppError::System)?.block_on(command)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_every_flag_has_its_variable() {
        let mut commands = vec![Cli::command()];
        Cli::command().debug_assert();
        while let Some(command) = commands.pop() {
            commands.extend(command.get_subcommands().cloned());
            for argument in command.get_arguments().filter(|a| a.get_long().is_some()) {
                let name = argument.get_id().as_str();
                let built_in = ["help", "version"].contains(&name);
                let variable = argument.get_env().map(|name| name.to_string_lossy().into_owned());
                assert!(
                    built_in || variable.is_some_and(|name| name.starts_with("LONGSHORE_")),
                    "--{name} of {} has no variable",
                    command.get_name(),
                );
                assert!(built_in || argument.get_help().is_some(), "--{name} has no help");
            }
        }
    }
}
