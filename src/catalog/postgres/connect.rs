//! Where the database is, and how a connection to it is made.
//!
//! **Invariant:** the password of the address is in no message and no log; a connection that is to be encrypted is one to
//! a server whose certificate was verified.

use std::fmt;
use std::time::Duration;

use rustls::ClientConfig;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::sync::CancellationToken;

use super::failure::Fault;
use crate::catalog::{Error, GatewayId, Result};
use crate::config::limits::{
    CATALOG_CONNECT_SECONDS_MAX, CATALOG_LOCK_SECONDS_MAX, CATALOG_SILENCE_SECONDS_MAX, CATALOG_STATEMENT_SECONDS_MAX,
};
use crate::model::secret::Secret;

/// Statements here are written for one way each: by an index, row after row. The planner is told so, because what it knows
/// of a table is from the last time it was looked through, when there may have been nothing in it.
const PLANS: &str = "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c enable_bitmapscan=off \
    -c enable_sort=off -c jit=off -c plan_cache_mode=force_generic_plan";

/// The address of a database.
#[derive(Clone)]
pub(super) struct Address {
    config: Config,
    tls: Option<MakeRustlsConnect>,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Host and database, without user and password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        });
        let hosts: Vec<_> = hosts.collect();
        write!(f, "postgres://{}/{}", hosts.join(","), self.config.get_dbname().unwrap_or_default())
    }
}

impl Address {
    /// Reads `postgres://user:password@host/database?sslmode=…`.
    pub(super) fn parse(url: &Secret) -> Result<Self> {
        let text = url.expose();
        // Every certificate is verified here, with the name of the host, so the modes that ask for it are one.
        let text =
            text.replace("sslmode=verify-full", "sslmode=require").replace("sslmode=verify-ca", "sslmode=require");
        // The reason of the parser may quote the address.
        let mut config: Config = text.parse().map_err(|_| Fault::Address)?;
        if config.get_hosts().is_empty() || config.get_dbname().is_none() {
            return Err(Fault::Address.into());
        }
        if !text.contains("sslmode=") {
            config.ssl_mode(SslMode::Disable);
        }
        let tls = match config.get_ssl_mode() {
            SslMode::Disable => None,
            _ => Some(MakeRustlsConnect::new(trusting()?)),
        };
        let options = format!(
            "{PLANS} -c statement_timeout={CATALOG_STATEMENT_SECONDS_MAX}s -c lock_timeout={CATALOG_LOCK_SECONDS_MAX}s \
             -c idle_in_transaction_session_timeout={CATALOG_STATEMENT_SECONDS_MAX}s {}",
            config.get_options().unwrap_or_default()
        );
        let name = config.get_application_name().unwrap_or("longshore").to_owned();
        config
            .options(options)
            .application_name(name)
            .connect_timeout(Duration::from_secs(CATALOG_CONNECT_SECONDS_MAX))
            .tcp_user_timeout(Duration::from_secs(CATALOG_SILENCE_SECONDS_MAX))
            .keepalives_idle(Duration::from_secs(CATALOG_SILENCE_SECONDS_MAX));
        Ok(Self { config, tls })
    }

    /// The same for connections that say which gateway they belong to.
    pub(super) fn of_gateway(mut self, gateway: Option<GatewayId>) -> Self {
        if let Some(gateway) = gateway {
            let options = format!("{} -c longshore.holder={gateway}", self.config.get_options().unwrap_or_default());
            self.config.options(options);
        }
        self
    }

    /// Opens a connection and lets it run.
    pub(super) async fn connect(&self) -> Result<Client> {
        Ok(self.connect_told().await?.0)
    }

    /// The same with what is cancelled at its end: when the client was dropped, and the server has answered everything
    /// that was asked before.
    pub(super) async fn connect_told(&self) -> Result<(Client, CancellationToken)> {
        let (limit, ended) = (Duration::from_secs(CATALOG_CONNECT_SECONDS_MAX), CancellationToken::new());
        let connected = tokio::time::timeout(limit, self.open(ended.clone())).await;
        Ok((connected.map_err(|_| Fault::Silent)??, ended))
    }

    async fn open(&self, ended: CancellationToken) -> std::result::Result<Client, tokio_postgres::Error> {
        match &self.tls {
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                tokio::spawn(run(connection, ended));
                Ok(client)
            }
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                tokio::spawn(run(connection, ended));
                Ok(client)
            }
        }
    }
}

/// What of a role keeps tokens from naming it, and whether the login may become it.
const ROLE: &str = "SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication \
        OR rolname = session_user OR pg_has_role(oid, 'longshore_service', 'MEMBER') \
        OR pg_has_role(oid, 'service_role', 'MEMBER'), \
    pg_has_role(session_user, oid, 'MEMBER') FROM pg_roles WHERE rolname = CAST($1 AS text)";

/// Looks whether the roles that tokens may name are there, may no more than a user may, and can be taken on.
pub(super) async fn check_roles(address: &Address, roles: &[String]) -> Result<()> {
    let client = address.connect().await?;
    for role in roles {
        let row = client.query_opt(ROLE, &[role]).await?;
        let (strong, member) = match &row {
            None => return Err(Fault::Role(role.clone(), "is not in the database").into()),
            Some(row) => (row.try_get::<_, bool>(0)?, row.try_get::<_, bool>(1)?),
        };
        if strong {
            return Err(Fault::Role(role.clone(), "may do more than policies can hold back").into());
        }
        if !member {
            return Err(Fault::Role(role.clone(), "was not granted to the login of the catalog").into());
        }
    }
    Ok(())
}

/// Carries a connection until its client is dropped. Whoever waits for an answer hears of its end by himself.
async fn run(
    connection: impl Future<Output = std::result::Result<(), tokio_postgres::Error>>,
    ended: CancellationToken,
) {
    let _ended = ended.drop_guard();
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to the catalog ended");
    }
}

/// The certificates of the system are trusted.
fn trusting() -> Result<ClientConfig> {
    let failed = |error: std::io::Error| Error::Failed(Box::new(error));
    let builder = hyper_rustls::ConfigBuilderExt::with_native_roots(ClientConfig::builder()).map_err(failed)?;
    Ok(builder.with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_shows_no_password_and_encrypts_when_it_says_so() {
        let parse = |text: &str| Address::parse(&Secret::new(text));
        let address = parse("postgres://me:hidden@db.example:5433/store").expect("an address");
        assert_eq!(address.to_string(), "postgres://db.example/store");
        assert!(!format!("{address:?}").contains("hidden") && address.tls.is_none());
        for mode in ["require", "verify-full", "prefer"] {
            let address = parse(&format!("postgres://me@h/d?sslmode={mode}")).expect("an address");
            assert!(address.tls.is_some(), "{mode}");
        }
        assert!(parse("postgres://me@h/d?sslmode=disable").expect("an address").tls.is_none());
        for wrong in ["mysql://hidden@h/d", "postgres://hidden@/d", "postgres://hidden@h", "postgres://hidden@h:x/d"] {
            let error = parse(wrong).expect_err(wrong);
            assert!(!format!("{error:?}").contains("hidden"), "{error:?}");
        }
    }
}
