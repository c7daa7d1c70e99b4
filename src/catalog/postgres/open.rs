//! Opening a catalog in Postgres: its schema, the roles that tokens may name, and the pools of connections.
//!
//! **Invariant:** nothing is served from a database whose schema, roles or rights are not as they should be.

use super::PostgresCatalog;
use super::commit::Counted;
use super::connect::{self, Address};
use super::gateways::Gateway;
use super::lacks::Lacks;
use super::migrations;
use super::pool::{Begin, Pool};
use crate::catalog::{GatewayId, Result};
use crate::config::limits::{CATALOG_CONNECTIONS_MAX, CATALOG_WALKS_MAX};
use crate::model::secret::Secret;

/// How to open a catalog in Postgres.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// A commit counts as kept before the server has it on stable storage.
    pub lazily: bool,
    /// The roles that tokens may name, beside the service's.
    pub roles: Vec<String>,
    /// Who this process is to others that serve the catalog; `None`: it serves nobody, as a command does.
    pub gateway: Option<GatewayId>,
    /// Only to look: a schema that is missing or old is refused, and stays as it is.
    pub looks: bool,
    /// Most connections for what is short, and as many for walks; `None`: as many of each as usual.
    pub connections: Option<u32>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        let roles = ["anon", "authenticated"].map(str::to_owned).to_vec();
        Self { lazily: false, roles, gateway: None, looks: false, connections: None }
    }
}

impl PostgresCatalog {
    /// Opens the catalog at `postgres://user:password@host/database` and brings its schema up to date, if the login may.
    ///
    /// # Errors
    /// [`Failed`](crate::catalog::Error::Failed) with the reason: an address that is none, a newer schema, a login without the rights.
    /// [`Unavailable`](crate::catalog::Error::Unavailable): the database does not answer.
    pub async fn open(url: &Secret, options: OpenOptions) -> Result<Self> {
        let address = Address::parse(url)?.of_gateway(options.gateway);
        let id = migrations::open(&address, options.looks).await?;
        connect::check_roles(&address, &options.roles).await?;
        let lacks = Lacks::probe(&address.connect().await?).await?;
        let pool = |usual| Pool::new(address.clone(), options.connections.unwrap_or(usual), lacks);
        Ok(Self {
            id,
            pool: pool(CATALOG_CONNECTIONS_MAX),
            walks: pool(CATALOG_WALKS_MAX),
            beats: Pool::new(address.clone(), 1, lacks),
            counted: Counted::default(),
            begin: if options.lazily { Begin::Hint } else { Begin::Write },
            roles: options.roles,
            gateway: Gateway::new(options.gateway),
        })
    }

    /// Brings the schema of a database up to date, by a login that may, and lets another login use it.
    ///
    /// # Errors
    /// As [`PostgresCatalog::open`].
    pub async fn prepare(url: &Secret, login: Option<&str>) -> Result<()> {
        migrations::prepare(&Address::parse(url)?, login).await
    }

    /// An address as it may be shown: host and database.
    ///
    /// # Errors
    /// [`Failed`](crate::catalog::Error::Failed): it is no address.
    pub fn place(url: &Secret) -> Result<String> {
        Address::parse(url).map(|address| address.to_string())
    }
}
