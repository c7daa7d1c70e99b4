//! Wiring: the one place that names concrete providers, catalogs and fronts together.
//!
//! **Invariant:** the ready line is printed when both listeners accept, and nothing else goes to standard output; what
//! a stop does not get to (the outbox, the clean mark) is done at the next start. Nothing is served for long without
//! the work beside requests: a task of it that panics stops the process, with an exit code that says so.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write as _, stdout};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::catalog::postgres::PostgresCatalog;
use crate::catalog::sqlite::SqliteCatalog;
use crate::catalog::{self, Catalog, GatewayId, postgres, sqlite};
use crate::config::root::{RootKeys, RootKeysError};
use crate::config::state::{State, StateError};
use crate::config::{Config, Durability, KeyError};
use crate::front::s3::{self, FIRST_REGION, S3Options};
use crate::metrics::Metrics;
use crate::model::caller::SERVICE_ROLE;
use crate::model::name::BucketName;
use crate::model::task::TaskError;
use crate::server::fronts::S3;
use crate::server::{Exchange, Listener, Proxies};
use crate::store::{self, RootCredentials, Store, StoreParts, Upkeep};

mod providers;
mod rest;
mod secrets;
pub mod tokens;

use self::providers::{Opener, keep_mounting, mounted};
pub use self::providers::{Opening, open_provider};

/// The most that the start waits for providers which do not answer.
const ATTACH_LIMIT: Duration = Duration::from_secs(4);

/// Why the program cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// The root credentials.
    #[error(transparent)]
    RootKeys(#[from] RootKeysError),
    /// The catalog.
    #[error("the catalog {} cannot be opened", .0.display())]
    Catalog(PathBuf, #[source] catalog::Error),
    /// The catalog in Postgres.
    #[error("the catalog {0} cannot be opened")]
    CatalogServer(String, #[source] catalog::Error),
    /// An encryption key.
    #[error(transparent)]
    EncryptionKey(#[from] KeyError),
    /// The keys of tokens.
    #[error("the keys of tokens (jwks_file) cannot be read")]
    TokenKeys(#[source] io::Error),
    /// A provider.
    #[error("the provider {0:?} cannot be opened")]
    Provider(String, #[source] io::Error),
    /// An address.
    #[error("cannot listen on {0}")]
    Listen(std::net::SocketAddr, #[source] io::Error),
    /// Another gateway of the catalog has other secrets.
    #[error(
        "the catalog is that of gateways with {}: give all of them the same ones, by LONGSHORE_JWT_SECRET, LONGSHORE_ROOT_ACCESS_KEY \
         and LONGSHORE_ROOT_SECRET_KEY, and by the file master.key in their state directories", .0.join(" and ")
    )]
    Secrets(Vec<String>),
    /// The store cannot take its containers.
    #[error("cannot begin")]
    Attach(#[source] store::Error),
    /// The store cannot be left clean.
    #[error("cannot stop cleanly")]
    Release(#[source] store::Error),
    /// A task that goes on for as long as the server does has failed.
    #[error("a part of the server has failed, so it was stopped")]
    Fallen(#[source] TaskError),
    /// The operating system.
    #[error("the operating system refuses")]
    System(#[from] io::Error),
}

/// The parts of the program, opened but untouched.
#[derive(Debug)]
pub struct App {
    /// The store.
    pub store: Store,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Why providers could not be opened: their buckets are unavailable.
    pub failed: Vec<AppError>,
}

impl App {
    /// Opens catalog and providers.
    ///
    /// # Errors
    /// What cannot be opened, but for providers.
    pub async fn open(config: &Config, state: &State, root: RootKeys, to: Opening) -> Result<Self, AppError> {
        let metrics = Arc::new(Metrics::default());
        let (mut providers, mut failed) = (BTreeMap::new(), Vec::new());
        let opener = Opener { config, state, to };
        let mut opening = Vec::new();
        for provider in &config.providers {
            opening.push(opener.open(provider, &metrics));
        }
        for (provider, opened) in config.providers.iter().zip(join_all(opening).await) {
            let opened = opened.map_err(|error| failed.push(AppError::Provider(provider.name.clone(), error))).ok();
            providers.insert(provider.name.clone(), mounted(provider, opened));
        }
        let catalog = open_catalog(config, state, to).await?;
        let catalog: Arc<dyn Catalog> = Arc::new(catalog::wrap::Metered::new(catalog, Arc::clone(&metrics)));
        let parts = StoreParts {
            catalog,
            providers,
            default_provider: config.server.default_provider.clone(),
            bucket_rules: config.buckets.clone(),
            inline_bytes_max: config.limits.inline_bytes_max,
            master_key: state.master_key()?,
            named_keys: config.encryption.load()?,
            root: RootCredentials { access_key: root.access_key, secret: root.secret },
            targets: config.targets.clone(),
            region: config.s3.region.clone().unwrap_or_else(|| FIRST_REGION.to_owned()),
        };
        let store = if to == Opening::Look { Store::to_look(parts) } else { Store::new(parts) };
        Ok(Self { store, metrics, failed })
    }

    /// For a command that needs all providers.
    ///
    /// # Errors
    /// The first that could not be opened.
    pub fn whole(mut self) -> Result<Self, AppError> {
        if self.failed.is_empty() { Ok(self) } else { Err(self.failed.remove(0)) }
    }
}

async fn open_catalog(config: &Config, state: &State, to: Opening) -> Result<Arc<dyn Catalog>, AppError> {
    let looks = to == Opening::Look;
    let Some(url) = &config.catalog else {
        let durability = match config.server.durability {
            Durability::Fsync => sqlite::Durability::Fsync,
            Durability::Os => sqlite::Durability::Os,
        };
        let path = state.catalog();
        let catalog = SqliteCatalog::open(&path, sqlite::OpenOptions { durability, looks });
        return Ok(Arc::new(catalog.map_err(|error| AppError::Catalog(path, error))?));
    };
    let roles = config.jwt.roles.iter().filter(|role| *role != SERVICE_ROLE).cloned().collect();
    let gateway = if to == Opening::Serve { Some(GatewayId::of(&state.identity()?)) } else { None };
    let lazily = config.server.durability == Durability::Os;
    let options = postgres::OpenOptions { lazily, roles, gateway, looks, connections: None };
    let place = PostgresCatalog::place(url).unwrap_or_else(|_| "in Postgres".to_owned());
    let catalog = PostgresCatalog::open(url, options).await;
    Ok(Arc::new(catalog.map_err(|error| AppError::CatalogServer(place, error))?))
}

/// Brings the schema of the catalog in Postgres up to date, and lets `login` use it. Without one there is nothing to do.
///
/// # Errors
/// What the database refuses.
pub async fn prepare_catalog(config: &Config, login: Option<&str>) -> Result<(), AppError> {
    let Some(url) = &config.catalog else { return Ok(()) };
    let place = PostgresCatalog::place(url).unwrap_or_else(|_| "in Postgres".to_owned());
    PostgresCatalog::prepare(url, login).await.map_err(|error| AppError::CatalogServer(place, error))
}

/// What might be changed about the policies and roles in the database of a catalog in Postgres.
///
/// # Errors
/// What the database refuses.
pub async fn advice(config: &Config) -> Result<Vec<String>, AppError> {
    let Some(url) = &config.catalog else { return Ok(Vec::new()) };
    // The service is none of those whose rights are in question.
    let roles: Vec<String> = config.jwt.roles.iter().filter(|role| *role != SERVICE_ROLE).cloned().collect();
    let place = PostgresCatalog::place(url).unwrap_or_else(|_| "in Postgres".to_owned());
    PostgresCatalog::advise(url, &roles).await.map_err(|error| AppError::CatalogServer(place, error))
}

/// The root credentials of a command beside the server, which acts as root and shows them to nobody: new ones are not
/// kept, so that the first `serve` still prints those it makes.
///
/// # Errors
/// Refused or damaged credentials.
pub fn root_of_command(state: &State) -> Result<RootKeys, AppError> {
    let keys = match RootKeys::from_environment()? {
        Some(keys) => Some(keys),
        None => state.root_keys()?,
    };
    Ok(keys.unwrap_or_else(RootKeys::generate))
}

/// The root credentials of the server; new ones are kept, and printed this once.
fn root_of_server(state: &State) -> Result<RootKeys, AppError> {
    if let Some(keys) = RootKeys::from_environment()? {
        return Ok(keys);
    }
    if let Some(keys) = state.root_keys()? {
        return Ok(keys);
    }
    let keys = state.generate_root_keys()?;
    let file = state.root_file();
    let RootKeys { access_key, secret } = &keys;
    let secret = secret.expose();
    let text = format!(
        "longshore: new root credentials, printed once and kept in {}\n  access key  {access_key}\n  secret key  {secret}\n",
        file.display(),
    );
    io::stderr().write_all(text.as_bytes())?;
    Ok(keys)
}

/// Runs the server until it is told to stop, or a part of it fails.
///
/// # Errors
/// Why it cannot begin or go on, or did not stop cleanly.
pub async fn serve(config: &Config) -> Result<(), AppError> {
    let mut signals = Signals::new()?;
    let state = State::create(&config.state)?;
    let lock = state.lock()?;
    let root = root_of_server(&state)?;
    raise_descriptor_limit();
    let tokens = tokens::of_server(config, &state)?;
    let secrets = secrets::marks(config, &state, &root)?;
    let app = App::open(config, &state, root, Opening::Serve).await?;
    let differing = app.store.enlist(&secrets).await.map_err(AppError::Attach)?;
    if !differing.is_empty() {
        return Err(AppError::Secrets(differing));
    }
    let background = CancellationToken::new();
    let mut work = JoinSet::new();
    {
        let (store, background) = (app.store.clone(), background.clone());
        work.spawn(async move { store.keep_enlisted(background).await });
    }
    let drain = Duration::from_secs(config.limits.drain_seconds_max);
    let bind = |address| async move {
        let listener = Listener::bind(address, config.limits.connections_max, drain).await;
        listener.map_err(|error| AppError::Listen(address, error))
    };
    let s3 = bind(config.server.s3_listen).await?;
    let rest = bind(config.server.rest_listen).await?;
    let ready = format!("longshore ready s3=http://{} rest=http://{}\n", s3.address()?, rest.address()?);
    for error in &app.failed {
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        tracing::error!(%error, cause, "its buckets are unavailable; it is tried again");
    }
    let attached = app.store.attach_within(ATTACH_LIMIT).await.map_err(AppError::Attach)?;
    tracing::info!(buckets = attached.buckets, unclean = attached.unclean.len(), "attached");
    app.store.serve_services(rest::services(config)).await.map_err(AppError::Attach)?;
    let stop = CancellationToken::new();
    begin_work(&mut work, config, (&app, state), attached.unclean, &background);
    tokens::keep_keys(&mut work, config, &tokens, &background);
    let mut listening = JoinSet::new();
    listening.spawn(s3.serve(s3_exchange(config, &app), stop.clone()));
    listening.spawn(rest.serve(rest::exchange(config, &app, tokens), stop.clone()));
    announce(&ready);

    let fallen = tokio::select! {
        () = signals.wait() => None,
        error = first_fall(&mut listening) => Some(error),
        error = first_fall(&mut work) => Some(error),
    };
    match &fallen {
        None => tracing::info!("stopping"),
        Some(error) => tracing::error!(%error, "a part of the server has failed: stopping"),
    }
    stop.cancel();
    all_ended(listening).await;
    background.cancel();
    all_ended(work).await;
    app.store.release().await.map_err(AppError::Release)?;
    drop(lock);
    tracing::info!("stopped");
    fallen.map_or(Ok(()), |error| Err(AppError::Fallen(error)))
}

/// Waits until one of these tasks fails. One that ends well had nothing to do.
async fn first_fall(tasks: &mut JoinSet<()>) -> TaskError {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            return error.into();
        }
    }
    std::future::pending().await
}

/// Waits until these tasks have ended. A panic there is told, and then the stop goes on: the data comes first.
async fn all_ended(mut tasks: JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended.map_err(TaskError::from) {
            tracing::error!(%error, "a task of the server failed");
        }
    }
}

/// Begins what is done beside requests, until `background` ends it.
fn begin_work(
    work: &mut JoinSet<()>,
    config: &Config,
    (app, state): (&App, State),
    unclean: Vec<BucketName>,
    background: &CancellationToken,
) {
    let with = || (app.store.clone(), background.clone());
    let (store, stop) = with();
    work.spawn(async move { store.run(stop).await });
    let (store, stop) = with();
    let (scan_interval, metrics) = (config.server.scan_interval, Arc::clone(&app.metrics));
    let upkeep = Upkeep { scan_interval, unclean, metrics };
    work.spawn(async move { store.keep_up(stop, upkeep).await });
    let ((store, stop), day) = (with(), config.s3.lifecycle_day);
    work.spawn(async move { store.keep_lifecycle(stop, day).await });
    let (store, stop) = with();
    work.spawn(async move { store.keep_telling(stop).await });
    let ((store, stop), interval) = (with(), config.s3.access_log_interval);
    work.spawn(async move { store.keep_access_logs(stop, interval).await });
    let (store, stop) = with();
    work.spawn(keep_mounting(config.clone(), state, store, Arc::clone(&app.metrics), stop));
    let (store, stop) = with();
    work.spawn(async move { store.keep_services(stop).await });
}

fn s3_exchange(config: &Config, app: &App) -> Exchange<S3> {
    let options = S3Options {
        region: config.s3.region.clone(),
        domains: config.s3.domains.clone(),
        website_domains: config.s3.website_domains.clone(),
        sigv2: config.s3.sigv2,
        mount: None,
    };
    let proxies = Proxies::new(config.server.trusted_proxies.clone());
    Exchange::new(S3(s3::service(app.store.clone(), options)), Arc::clone(&app.metrics)).behind(proxies)
}

/// A server whose starter has closed the pipe serves all the same.
fn announce(line: &str) {
    let mut stdout = stdout().lock();
    if let Err(error) = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()) {
        tracing::warn!(error = &error as &(dyn Error + 'static), "cannot print the ready line");
    }
}

/// A request holds up to three descriptors: the connection, the file it reads, the file it stages.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "cannot raise the limit of open files");
    }
}

/// The signals that stop the server, heard from the moment this exists.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_part_that_fails_is_heard_of_while_the_others_go_on() {
        let mut tasks = JoinSet::new();
        tasks.spawn(std::future::ready(()));
        tasks.spawn(std::future::pending());
        tasks.spawn(async { panic!("a part that panics, as this test wants") });
        assert_eq!(first_fall(&mut tasks).await, TaskError::Panicked);
        assert!(!tasks.is_empty(), "the one that goes on was waited for");
    }

    #[tokio::test]
    async fn a_part_that_has_nothing_to_do_has_not_failed() {
        let mut tasks = JoinSet::new();
        tasks.spawn(std::future::ready(()));
        assert!(timeout(Duration::from_millis(50), first_fall(&mut tasks)).await.is_err());
        all_ended(tasks).await;
    }
}
