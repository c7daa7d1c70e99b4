//! What the providers across a network need to be told: plain values, which the configuration reads and the drivers are
//! opened with.
//!
//! They stand here and not with the configuration, because a driver knows nothing of files, flags and environments.
//!
//! **Invariant:** a value of one of these types is complete: defaults are filled in, addresses have a scheme and no
//! trailing slash, and what contradicts itself was refused before it existed. Secrets are [`Secret`]s.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::secret::Secret;

/// How requests to a storage service are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportConfig {
    /// The most that making a connection may take.
    pub connect_timeout: Duration,
    /// The most that may pass between two pieces of an answer, or before its first.
    pub read_timeout: Duration,
    /// Most requests under way at a time.
    pub concurrency_max: usize,
    /// Most times that a request is sent anew after it failed.
    pub retries_max: usize,
    /// A file of certificates, in PEM, that are trusted in place of those of the system.
    pub ca_bundle: Option<PathBuf>,
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(30),
            concurrency_max: 64,
            retries_max: 3,
            ca_bundle: None,
        }
    }
}

/// Amazon S3, or a service that speaks its protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmazonConfig {
    /// Who we are.
    pub credentials: AmazonCredentials,
    /// The region; `None`: that of the environment, else the first one.
    pub region: Option<String>,
    /// Where the service is; `None`: Amazon, in the region.
    pub endpoint: Option<String>,
    /// The bucket is the first segment of the path and not a part of the host's name.
    pub path_style: bool,
    /// Bodies are not hashed for the signature: TLS protects them.
    pub unsigned_payload: bool,
}

/// Who we are at Amazon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AmazonCredentials {
    /// An access key.
    Key {
        /// Its id, which is no secret.
        id: String,
        /// Its secret.
        secret: Secret,
        /// The token of temporary credentials.
        session_token: Option<Secret>,
    },
    /// What the environment of the process and the machine offer: variables, a web identity, the instance's role.
    Ambient,
}

/// Azure Blob Storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureConfig {
    /// The storage account.
    pub account: String,
    /// Who we are.
    pub credentials: AzureCredentials,
    /// Where the account's blobs are, without the container; `None`: `https://ACCOUNT.blob.core.windows.net`.
    pub endpoint: Option<String>,
}

/// Who we are at Azure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AzureCredentials {
    /// The key of the account, in base64.
    AccessKey(Secret),
    /// A shared access signature: the text of its query, without a question mark.
    SasToken(Secret),
    /// A token of OAuth that somebody else renews.
    BearerToken(Secret),
    /// An application that is registered with the directory.
    Client {
        /// The directory.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// Its secret.
        client_secret: Secret,
    },
    /// What the machine offers: a workload or managed identity.
    Ambient,
}

/// Google Cloud Storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoogleConfig {
    /// Who we are.
    pub credentials: GoogleCredentials,
    /// The project that new buckets belong to; `None`: that of the service account's key.
    pub project_id: Option<String>,
    /// Where the service is; `None`: Google.
    pub endpoint: Option<String>,
}

/// Who we are at Google.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GoogleCredentials {
    /// The JSON of a service account's key.
    ServiceAccount(Secret),
    /// A file of application default credentials.
    ApplicationDefault(PathBuf),
    /// What the machine offers: its own default credentials, or the instance's account.
    Ambient,
}

/// `OpenStack` Swift and Rackspace Cloud Files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwiftConfig {
    /// Who we are, and where that is asked.
    pub auth: SwiftAuth,
    /// The region of the storage; `None`: the account's default, else the first of the service catalog.
    pub region: Option<String>,
    /// Which of the storage's addresses is used.
    pub interface: SwiftInterface,
    /// The storage URL with the account in it, whatever the identity service says; `None`: what it says.
    pub endpoint: Option<String>,
}

/// Which address of the service catalog is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SwiftInterface {
    /// For everybody.
    #[default]
    Public,
    /// Within the data centre.
    Internal,
    /// For administrators.
    Admin,
}

/// A user, project or domain of Keystone, by what identifies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// Its id.
    Id(String),
    /// Its name.
    Name(String),
}

/// Who we are at Swift. `url` is the identity service with its version in it, without a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwiftAuth {
    /// `TempAuth` and its like: `GET url` (it ends with `/auth/v1.0`) with `X-Auth-User` and `X-Auth-Key`.
    V1 {
        /// The address that is asked.
        url: String,
        /// The user, with its account: `account:user`.
        username: String,
        /// Its key.
        password: Secret,
    },
    /// Identity v2.0 with a password: `POST url/tokens`.
    V2 {
        /// The address, which ends with `/v2.0`.
        url: String,
        /// The user.
        username: String,
        /// Its password.
        password: Secret,
        /// The tenant; `None`: the user's own, or the first that is enabled.
        tenant: Option<Reference>,
    },
    /// Identity v2.0 with the API key of a Rackspace account: `POST url/tokens`.
    ApiKey {
        /// The address, which ends with `/v2.0`.
        url: String,
        /// The user.
        username: String,
        /// The key.
        api_key: Secret,
        /// The tenant; `None`: the user's own.
        tenant: Option<Reference>,
    },
    /// Identity v3 with a password: `POST url/auth/tokens`.
    Password {
        /// The address, which ends with `/v3`.
        url: String,
        /// The user.
        user: Reference,
        /// The user's domain; not needed for a user that is known by its id.
        user_domain: Reference,
        /// Its password.
        password: Secret,
        /// What the token is for.
        scope: SwiftScope,
    },
    /// Identity v3 with an application credential: `POST url/auth/tokens`. Its scope is its project.
    ApplicationCredential {
        /// The address, which ends with `/v3`.
        url: String,
        /// The credential; one that is known by its name needs the user.
        credential: Reference,
        /// The user, and its domain.
        user: Option<(Reference, Reference)>,
        /// Its secret.
        secret: Secret,
    },
}

impl SwiftAuth {
    /// The address of the identity service.
    #[must_use]
    pub fn url(&self) -> &str {
        match self {
            Self::V1 { url, .. }
            | Self::V2 { url, .. }
            | Self::ApiKey { url, .. }
            | Self::Password { url, .. }
            | Self::ApplicationCredential { url, .. } => url,
        }
    }
}

/// What a token of Keystone v3 is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwiftScope {
    /// A project.
    Project {
        /// The project.
        project: Reference,
        /// Its domain; not needed for a project that is known by its id.
        domain: Reference,
    },
    /// The user's default project.
    Default,
}

/// A storage service over REST: a `LoopBack` application with the storage component, or another Longshore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteConfig {
    /// The root of its REST API, without the plural of the model.
    pub url: String,
    /// The plural of its container model: the last segment before names of containers.
    pub containers: String,
    /// The token of the user that asks.
    pub access_token: Option<Secret>,
    /// Addresses of this machine and of private networks are not connected to.
    pub refuse_private: bool,
}
