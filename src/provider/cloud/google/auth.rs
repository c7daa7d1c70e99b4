//! Who we are at Google: bearer tokens, which `object_store` gets from a service account's key, a file of application
//! default credentials or the machine's metadata server, and renews.
//!
//! **Invariant:** a token goes only into the `Authorization` header of our requests, never to an `http://` endpoint of
//! which nobody said who we are, and into no log.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use object_store::gcp::{GcpCredentialProvider, GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{Certificate, ClientOptions, RetryConfig};
use serde::Deserialize;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::config::limits::{CLOUD_RENEWAL_SECONDS_MIN, CLOUD_RETRY_SECONDS_MAX};
use crate::model::task::TaskError;
use crate::provider::cloud::payload::Payload;
use crate::provider::cloud::transport::{Sign, failed};
use crate::provider::settings::{GoogleConfig, GoogleCredentials};
use crate::provider::{Error, Result};

const GOOGLE: &str = "https://storage.googleapis.com";

/// What is of interest in the JSON of a key, besides what `object_store` reads itself.
#[derive(Default, Deserialize)]
#[serde(default)]
struct KeyFile {
    project_id: Option<String>,
    quota_project_id: Option<String>,
    gcs_base_url: Option<String>,
    disable_oauth: bool,
}

/// Who we are.
pub(super) struct Account {
    /// The project that containers belong to.
    pub(super) project: Option<String>,
    /// Where the service is.
    pub(super) endpoint: String,
    tokens: Option<Tokens>,
}

/// Where tokens come from.
struct Tokens {
    credentials: GoogleCredentials,
    ca_bundle: Option<PathBuf>,
    now: Mutex<(GcpCredentialProvider, Instant)>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("project", &self.project)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Account {
    /// From what was configured. Tokens are fetched when they are needed.
    pub(super) async fn open(config: &GoogleConfig, ca_bundle: Option<PathBuf>) -> io::Result<Self> {
        let key = key_file(&config.credentials).await?;
        let endpoint = config.endpoint.clone().or(key.gcs_base_url).unwrap_or_else(|| GOOGLE.to_owned());
        let ambient = matches!(config.credentials, GoogleCredentials::Ambient);
        let unsigned = key.disable_oauth || (ambient && endpoint.starts_with("http://"));
        let tokens = if unsigned { None } else { Some(Tokens::open(config.credentials.clone(), ca_bundle).await?) };
        let project = config.project_id.clone().or(key.project_id).or(key.quota_project_id);
        Ok(Self { project, endpoint: endpoint.trim_end_matches('/').to_owned(), tokens })
    }
}

impl Tokens {
    async fn open(credentials: GoogleCredentials, ca_bundle: Option<PathBuf>) -> io::Result<Self> {
        let provider = provider(credentials.clone(), ca_bundle.clone()).await?;
        Ok(Self { credentials, ca_bundle, now: Mutex::new((provider, Instant::now())) })
    }

    fn provider(&self) -> (GcpCredentialProvider, Instant) {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Sign for Account {
    async fn sign(&self, request: &mut Request<()>, _: &Payload) -> Result<()> {
        let Some(tokens) = &self.tokens else { return Ok(()) };
        let (provider, _) = tokens.provider();
        let credential = provider.get_credential().await.map_err(|error| match error {
            object_store::Error::Unauthenticated { .. } | object_store::Error::PermissionDenied { .. } => Error::Denied,
            error => Error::Unavailable(io::Error::other(error)),
        })?;
        let mut value = HeaderValue::from_str(&format!("Bearer {}", credential.bearer))
            .map_err(|error| failed("a token", error))?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
        Ok(())
    }

    /// Another provider of tokens has none of those that were kept. Many requests are refused together, so one that was
    /// made a moment ago does for all.
    async fn refused(&self) -> bool {
        let Some(tokens) = &self.tokens else { return false };
        let (_, made) = tokens.provider();
        if made.elapsed() < Duration::from_secs(CLOUD_RENEWAL_SECONDS_MIN) {
            return true;
        }
        match provider(tokens.credentials.clone(), tokens.ca_bundle.clone()).await {
            Ok(provider) => {
                *tokens.now.lock().unwrap_or_else(PoisonError::into_inner) = (provider, Instant::now());
                true
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the credentials cannot be read again");
                false
            }
        }
    }
}

async fn key_file(credentials: &GoogleCredentials) -> io::Result<KeyFile> {
    match credentials {
        GoogleCredentials::ServiceAccount(key) => parse(key.expose()),
        GoogleCredentials::ApplicationDefault(file) => parse(&read(file).await?),
        GoogleCredentials::Ambient => Ok(KeyFile::default()),
    }
}

fn parse(text: &str) -> io::Result<KeyFile> {
    // The error of the parser may show a part of the text, which is a secret.
    serde_json::from_str(text).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not the JSON of a key"))
}

async fn read(file: &Path) -> io::Result<String> {
    let file = file.to_owned();
    spawn_blocking(move || std::fs::read_to_string(file)).await.map_err(TaskError::from).map_err(io::Error::other)?
}

async fn provider(credentials: GoogleCredentials, ca_bundle: Option<PathBuf>) -> io::Result<GcpCredentialProvider> {
    // It reads files.
    let built = spawn_blocking(move || build(&credentials, ca_bundle.as_deref())).await;
    built.map_err(TaskError::from).map_err(io::Error::other)?
}

fn build(credentials: &GoogleCredentials, ca_bundle: Option<&Path>) -> io::Result<GcpCredentialProvider> {
    let builder = match credentials {
        GoogleCredentials::ServiceAccount(key) => {
            GoogleCloudStorageBuilder::new().with_service_account_key(key.expose())
        }
        GoogleCredentials::ApplicationDefault(file) => {
            GoogleCloudStorageBuilder::new().with_application_credentials(file.to_string_lossy())
        }
        GoogleCredentials::Ambient => ambient(),
    };
    // `http` is for the metadata server, which is asked over it.
    let mut options = ClientOptions::new().with_allow_http(true);
    if let Some(bundle) = ca_bundle {
        for certificate in Certificate::from_pem_bundle(&std::fs::read(bundle)?).map_err(io::Error::other)? {
            options = options.with_root_certificate(certificate);
        }
    }
    // The transport tries again by itself.
    let retry = RetryConfig {
        max_retries: 1,
        retry_timeout: Duration::from_secs(CLOUD_RETRY_SECONDS_MAX),
        ..RetryConfig::default()
    };
    // It is made for one bucket, of which its credentials know nothing.
    let store = builder.with_bucket_name("any").with_client_options(options).with_retry(retry).build();
    Ok(store.map_err(io::Error::other)?.credentials().clone())
}

/// What the variables of the process name, else the well-known file, else the metadata server.
fn ambient() -> GoogleCloudStorageBuilder {
    let said = GoogleCloudStorageBuilder::from_env();
    let keys =
        [GoogleConfigKey::ServiceAccount, GoogleConfigKey::ServiceAccountKey, GoogleConfigKey::ApplicationCredentials];
    keys.into_iter().fold(GoogleCloudStorageBuilder::new(), |builder, key| match said.get_config_value(&key) {
        Some(value) => builder.with_config(key, value),
        None => builder,
    })
}
