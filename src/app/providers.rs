//! Opening providers: each by its kind, within the time that one gets, and again those that could not be at the start.
//!
//! **Invariant:** only who serves makes a directory, and never one where a mount may come later.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::state::State;
use crate::config::{CommonConfig, Config, Durability, ProviderConfig, ProviderKind};
use crate::metrics::Metrics;
use crate::provider::cloud::CloudProvider;
use crate::provider::cloud::amazon::Amazon;
use crate::provider::cloud::azure::Azure;
use crate::provider::cloud::beneath::Beneath;
use crate::provider::cloud::google::Google;
use crate::provider::cloud::swift::Swift;
use crate::provider::fs::{self, FsProvider};
use crate::provider::memory::MemoryProvider;
use crate::provider::remote::RemoteProvider;
use crate::provider::{self, Provider};
use crate::store::{Mounted, Store};

/// The most that opening a provider may take: some ask for credentials first.
const OPEN_LIMIT: Duration = Duration::from_secs(4);
/// Before the first try to open and attach what could not be at the start; doubled each time.
const MOUNT_PAUSE_FIRST: Duration = Duration::from_secs(1);
/// The most it is doubled to.
const MOUNT_PAUSE_MOST: Duration = Duration::from_secs(10);

/// What the parts are opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// To serve them: the directories of providers that are missing are made.
    Serve,
    /// To change something, beside a server or without one.
    Change,
    /// To look: catalogs and directories stay as they are.
    Look,
}

/// What providers are opened with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opener<'a> {
    pub(super) config: &'a Config,
    pub(super) state: &'a State,
    pub(super) to: Opening,
}

impl Opener<'_> {
    /// Opens a provider within the time that one gets, under the names of its containers, and timed.
    pub(super) async fn open(self, provider: &ProviderConfig, metrics: &Arc<Metrics>) -> io::Result<Arc<dyn Provider>> {
        let notes = self.state.notes(&provider.name);
        let shared = self.config.catalog.is_some();
        let opening = open_provider(provider, (self.config.server.durability, shared), self.to, Some(notes));
        let opened = timeout(OPEN_LIMIT, opening).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(Arc::new(provider::wrap::Metered::new(opened, &provider.name, Arc::clone(metrics))))
    }
}

pub(super) fn mounted(config: &ProviderConfig, provider: Option<Arc<dyn Provider>>) -> Mounted {
    let local = matches!(config.kind, ProviderKind::Filesystem { .. } | ProviderKind::Memory);
    Mounted { provider, layout: config.common.layout, adopt: config.common.adopt, local }
}

/// Opens and attaches in the background what could not be at the start.
pub(super) async fn keep_mounting(
    config: Config,
    state: State,
    store: Store,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    let mut pause = MOUNT_PAUSE_FIRST;
    while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        pause = (pause * 2).min(MOUNT_PAUSE_MOST);
        let unopened = store.unopened();
        // A directory that is missing now may be a mount that comes: nothing is made in its place.
        let opener = Opener { config: &config, state: &state, to: Opening::Change };
        let mut opening = Vec::new();
        for provider in config.providers.iter().filter(|provider| unopened.contains(&provider.name)) {
            let metrics = &metrics;
            opening.push(async move { (&provider.name, opener.open(provider, metrics).await) });
        }
        for (name, opened) in join_all(opening).await {
            match opened {
                Ok(provider) => store.mount(name, provider),
                Err(error) => {
                    let why = error.to_string();
                    if told.get(name) != Some(&why) {
                        tracing::error!(provider = %name, %error, "a provider cannot be opened; its buckets are unavailable");
                        told.insert(name.clone(), why);
                    }
                }
            }
        }
        store.attach_missing();
    }
}

/// Opens one provider; the second says whether other processes serve it too. What it cannot note beside the bytes it keeps
/// in `notes`.
///
/// # Errors
/// Failures of the storage.
pub async fn open_provider(
    config: &ProviderConfig,
    durability: (Durability, bool),
    to: Opening,
    notes: Option<PathBuf>,
) -> io::Result<Arc<dyn Provider>> {
    let opened = open_kind(config, durability, to, notes).await?;
    let CommonConfig { prefix, names, .. } = &config.common;
    if prefix.is_empty() && names.is_empty() {
        return Ok(opened);
    }
    Ok(Arc::new(provider::named::Named::new(opened, prefix, names)))
}

async fn open_kind(
    config: &ProviderConfig,
    (durability, several): (Durability, bool),
    to: Opening,
    notes: Option<PathBuf>,
) -> io::Result<Arc<dyn Provider>> {
    match &config.kind {
        ProviderKind::Filesystem { root } => {
            let root = &config.common.shared.as_ref().map_or_else(|| root.clone(), |shared| shared.below(root));
            if to == Opening::Serve {
                std::fs::create_dir_all(root)?;
            }
            let durability = match durability {
                Durability::Fsync => fs::Durability::Fsync,
                Durability::Os => fs::Durability::Os,
            };
            let looks = to == Opening::Look;
            let options = fs::OpenOptions { notes, shared: several, looks, ..fs::OpenOptions::default() };
            Ok(Arc::new(FsProvider::open_with(root, durability, options)?))
        }
        ProviderKind::Memory => Ok(Arc::new(MemoryProvider::new())),
        ProviderKind::Amazon(amazon) => {
            let service = Arc::new(Amazon::open(&config.name, amazon, config.transport.clone()).await?);
            Ok(Arc::new(match &config.common.shared {
                None => CloudProvider::new(service, several),
                Some(shared) => {
                    CloudProvider::new(Arc::new(Beneath::new(service, &shared.bucket, &shared.tenant)), several)
                }
            }))
        }
        ProviderKind::Azure(azure) => {
            let service = Azure::open(&config.name, azure, config.transport.clone()).await?;
            Ok(Arc::new(CloudProvider::new(Arc::new(service), several)))
        }
        ProviderKind::Google(google) => {
            let service = Google::open(&config.name, google, config.transport.clone()).await?;
            Ok(Arc::new(CloudProvider::new(Arc::new(service), several)))
        }
        ProviderKind::Swift(swift) => {
            let service = Swift::open(&config.name, swift, config.transport.clone()).await?;
            Ok(Arc::new(CloudProvider::new(Arc::new(service), several)))
        }
        ProviderKind::Remote(remote) => {
            Ok(Arc::new(RemoteProvider::open(&config.name, remote, config.transport.clone())?))
        }
    }
}
