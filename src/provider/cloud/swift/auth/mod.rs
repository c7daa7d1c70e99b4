//! Who we are at Swift: a token that is fetched once, renewed before it ends and given up when it is refused.
//!
//! Requests to the identity service have a client of their own: they are made while requests to the storage hold places
//! in theirs, and must not wait for those.
//!
//! **Invariant:** one token is fetched at a time, all others wait for it; a token that was refused is dropped once, by
//! whoever was refused with it, and never a newer one; no secret is in a log, an error or a `Debug`.

mod endpoint;
mod v1;
mod v2;
mod v3;

use std::io;
use std::sync::{Arc, Mutex as Cell, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderValue, Request, StatusCode};
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::config::limits::{SWIFT_REFUSAL_SECONDS, SWIFT_RENEWAL_SECONDS};
use crate::model::secret::Secret;
use crate::model::time::{Clock, Timestamp};
use crate::provider::cloud::payload::Payload;
use crate::provider::cloud::transport::{Call, Reply, Sign, Transport, Unsigned, failed};
use crate::provider::settings::{Reference, SwiftAuth, SwiftConfig, TransportConfig};
use crate::provider::{Error, Result};

/// What an identity service gave.
#[derive(Debug)]
struct Grant {
    token: Secret,
    /// The address of the storage, with the account in it.
    url: String,
    /// How long the token lasts, if that is known.
    life: Option<Duration>,
}

/// A token with the storage that it is for.
#[derive(Debug)]
pub(super) struct Session {
    token: Secret,
    /// The address of the storage, with the account in it and without a trailing slash.
    pub(super) url: String,
    /// From when on another one is fetched.
    renew: Option<Instant>,
    /// From when on it is of no use.
    end: Option<Instant>,
}

impl Session {
    fn new(grant: Grant) -> Self {
        let now = Instant::now();
        let renew = |life: Duration| {
            // A life of a few seconds is no life of minutes: it is used for its first half at least.
            let early = Duration::from_secs(SWIFT_RENEWAL_SECONDS).min(life / 2);
            now.checked_add(life - early)
        };
        Self {
            token: grant.token,
            url: grant.url.trim_end_matches('/').to_owned(),
            // One that ends beyond all time has no end.
            renew: grant.life.and_then(renew),
            end: grant.life.and_then(|life| now.checked_add(life)),
        }
    }

    fn is_fresh(&self) -> bool {
        self.renew.is_none_or(|renew| Instant::now() < renew)
    }

    fn is_alive(&self) -> bool {
        self.end.is_none_or(|end| Instant::now() < end)
    }
}

#[derive(Debug, Default)]
struct Slot {
    session: Option<Arc<Session>>,
    /// Until when nobody asks again with credentials that were refused: identity services lock users out.
    refused: Option<Instant>,
    /// When nothing was last got; those who waited for it meanwhile do not wait again, each in turn.
    failed: Option<Instant>,
}

/// The sessions of one provider.
#[derive(Debug)]
pub(super) struct Identity {
    transport: Transport,
    config: SwiftConfig,
    slot: Mutex<Slot>,
}

impl Identity {
    pub(super) fn new(name: &str, config: &SwiftConfig, transport: &TransportConfig) -> io::Result<Self> {
        let transport = TransportConfig { concurrency_max: 1, ..transport.clone() };
        Ok(Self { transport: Transport::new(name, transport)?, config: config.clone(), slot: Mutex::default() })
    }

    /// The session that lasts longest.
    ///
    /// # Errors
    /// `Denied`: the credentials are wrong. `Failed`: there is no such storage. `Unavailable`.
    pub(super) async fn session(&self) -> Result<Arc<Session>> {
        let asked = Instant::now();
        let mut slot = self.slot.lock().await;
        if let Some(session) = slot.session.as_ref().filter(|session| session.is_fresh()) {
            return Ok(Arc::clone(session));
        }
        let alive = slot.session.as_ref().filter(|session| session.is_alive()).cloned();
        if slot.failed.is_some_and(|failed| failed >= asked) {
            return alive.ok_or_else(|| Error::Unavailable(io::Error::other("no token could be had just now")));
        }
        if slot.refused.is_some_and(|until| Instant::now() < until) {
            return Err(Error::Denied);
        }
        match self.fetch().await {
            Ok(grant) => {
                let session = Arc::new(Session::new(grant));
                *slot = Slot { session: Some(Arc::clone(&session)), ..Slot::default() };
                Ok(session)
            }
            Err(Error::Denied) => {
                slot.refused = Some(Instant::now() + Duration::from_secs(SWIFT_REFUSAL_SECONDS));
                Err(Error::Denied)
            }
            Err(error) => {
                slot.failed = error.retryable().then(Instant::now);
                // The old one is good for a while yet.
                alive.filter(|_| error.retryable()).ok_or(error)
            }
        }
    }

    /// Gives a session up, unless another one has taken its place.
    async fn drop_session(&self, refused: &Arc<Session>) {
        let mut slot = self.slot.lock().await;
        if slot.session.as_ref().is_some_and(|session| Arc::ptr_eq(session, refused)) {
            slot.session = None;
        }
    }

    async fn fetch(&self) -> Result<Grant> {
        let grant = self.granted().await?;
        // Where the service ends its TLS at a proxy it may not know of it. Tokens and bytes would go in the clear.
        let clear = grant.url.starts_with("http://") && self.config.auth.url().starts_with("https://");
        if clear && self.config.endpoint.is_none() {
            let what =
                "the identity service is asked over TLS and names a storage without it; say in endpoint which to use";
            return Err(Error::Failed(io::Error::other(what)));
        }
        Ok(grant)
    }

    async fn granted(&self) -> Result<Grant> {
        let config = &self.config;
        match &config.auth {
            SwiftAuth::V1 { url, username, password } => {
                let reply = self.ask(v1::ask(url, username, password)?).await?;
                let grant = v1::grant(&reply)?;
                let url = config.endpoint.clone().unwrap_or(grant.url);
                Ok(Grant { url, ..grant })
            }
            SwiftAuth::V2 { url, username, password, tenant } => {
                let ask = |tenant: Option<&_>| v2::ask(url, username, v2::Proof::Password(password), tenant);
                self.fetch_v2(url, ask(tenant.as_ref())?, |tenant| ask(Some(tenant))).await
            }
            SwiftAuth::ApiKey { url, username, api_key, tenant } => {
                let ask = |tenant: Option<&_>| v2::ask(url, username, v2::Proof::ApiKey(api_key), tenant);
                self.fetch_v2(url, ask(tenant.as_ref())?, |tenant| ask(Some(tenant))).await
            }
            SwiftAuth::Password { url, user, user_domain, password, scope } => {
                self.fetch_v3(v3::ask_password(url, (user, user_domain), password, scope)?).await
            }
            SwiftAuth::ApplicationCredential { url, credential, user, secret } => {
                self.fetch_v3(v3::ask_credential(url, credential, user.as_ref(), secret)?).await
            }
        }
    }

    async fn fetch_v2(
        &self,
        url: &str,
        first: Call,
        again: impl Fn(&Reference) -> Result<Call> + Send + Sync,
    ) -> Result<Grant> {
        let reply = self.ask(first).await?;
        let now = told(&reply);
        let token = match v2::said(&reply.bytes().await?, &self.config, now)? {
            v2::Said::Granted(grant) => return Ok(grant),
            v2::Said::Unscoped(token) => token,
        };
        let tenants = self.ask(v2::ask_tenants(url, &token)?).await?.bytes().await?;
        let reply = self.ask(again(&v2::first_tenant(&tenants)?)?).await?;
        let now = told(&reply);
        match v2::said(&reply.bytes().await?, &self.config, now)? {
            v2::Said::Granted(grant) => Ok(grant),
            v2::Said::Unscoped(_) => Err(Error::Failed(io::Error::other("the service catalog is empty"))),
        }
    }

    async fn fetch_v3(&self, call: Call) -> Result<Grant> {
        let reply = self.ask(call).await?;
        let (now, token) = (told(&reply), reply.header("x-subject-token").to_owned());
        if token.is_empty() {
            return Err(Error::Failed(io::Error::other("the answer of the identity service has no token")));
        }
        v3::grant(&token, &reply.bytes().await?, &self.config, now)
    }

    async fn ask(&self, call: Call) -> Result<Reply> {
        let reply = self.transport.send(&Unsigned, &call).await?;
        match reply.status {
            status if status.is_success() => Ok(reply),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                tracing::error!(identity = %call.uri, "the identity service refuses the credentials");
                Err(Error::Denied)
            }
            status => {
                let error = reply.refusal().await;
                tracing::error!(identity = %call.uri, status = status.as_u16(), "the identity service fails");
                // A missing address is nothing that is missing in the storage.
                let what = format!("the identity service answers {}", status.as_u16());
                Err(if error.retryable() { error } else { Error::Failed(io::Error::other(what)) })
            }
        }
    }
}

/// The proof of one call: it remembers the session that it used.
#[derive(Debug)]
pub(super) struct Proof<'a> {
    identity: &'a Identity,
    used: Cell<Option<Arc<Session>>>,
}

impl<'a> Proof<'a> {
    pub(super) fn new(identity: &'a Identity) -> Self {
        Self { identity, used: Cell::default() }
    }
}

#[async_trait]
impl Sign for Proof<'_> {
    async fn sign(&self, request: &mut Request<()>, _: &Payload) -> Result<()> {
        let session = self.identity.session().await?;
        let mut token = HeaderValue::from_str(session.token.expose()).map_err(|error| failed("a token", error))?;
        token.set_sensitive(true);
        request.headers_mut().insert("x-auth-token", token);
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
        Ok(())
    }

    async fn refused(&self) -> bool {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(used) = used else { return false };
        self.identity.drop_session(&used).await;
        true
    }
}

/// What the clock of the service says; ours, if it does not tell.
fn told(reply: &Reply) -> Timestamp {
    let date = OffsetDateTime::parse(reply.header("date"), &Rfc2822);
    date.map_or_else(|_| Clock::now(), Timestamp::from_utc)
}

/// An instant as services write it; in UTC if they say nothing else.
pub(super) fn instant(text: &str) -> Option<Timestamp> {
    let parse = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok().map(Timestamp::from_utc);
    parse(text).or_else(|| parse(&format!("{text}Z")))
}

/// How long it is until an instant.
fn until(text: &str, now: Timestamp) -> Option<Duration> {
    let left = instant(text)?.0.saturating_sub(now.0);
    Some(Duration::from_nanos(u64::try_from(left).unwrap_or(0)))
}

#[cfg(test)]
fn md5_of(text: &str) -> String {
    Payload::from(text.to_owned()).md5_hex()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(life: Option<u64>) -> Session {
        let life = life.map(Duration::from_secs);
        Session::new(Grant { token: Secret::new("t"), url: "http://s/v1/a/".into(), life })
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_a_minute_before_its_end() {
        let long = session(Some(3600));
        assert_eq!(long.url, "http://s/v1/a");
        tokio::time::advance(Duration::from_secs(3539)).await;
        assert!(long.is_fresh());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!long.is_fresh() && long.is_alive());
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(!long.is_alive());
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_life_is_used_and_an_unknown_one_does_not_end() {
        let (short, endless) = (session(Some(5)), session(None));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(short.is_fresh());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!short.is_fresh() && short.is_alive());
        tokio::time::advance(Duration::from_secs(1_000_000)).await;
        assert!(endless.is_fresh());
    }

    #[test]
    fn instants_of_all_services() {
        for text in [
            "2026-11-22T09:00:00Z",
            "2026-11-22T09:00:00.000000Z",
            "2026-11-22T09:00:00",
            "2026-11-22T03:00:00.000-06:00",
        ] {
            assert_eq!(instant(text).map(Timestamp::seconds), Some(1_795_338_000), "{text}");
        }
        assert_eq!(instant("soon"), None);
    }

    #[test]
    fn no_secret_shows() {
        let text = format!("{:?}", session(Some(5)));
        assert!(text.contains("Secret(..)"), "{text}");
    }
}
