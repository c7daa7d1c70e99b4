//! Requests to the other side: one client with limits, timeouts and a breaker, and bodies that are sent as they come.
//!
//! **Invariant:** nothing waits without an end; a body that was not declared to be at its end is never ended well, so that
//! the other side can tell it was cut; redirects are not followed; with `refuse_private` no address of this machine or of a
//! private network is connected to, whatever its name resolves to.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HOST, VIA};
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use crate::config::limits::{
    CLOUD_HEADERS_MAX, CLOUD_IDLE_PER_HOST_MAX, CLOUD_RETRY_SECONDS_MAX, CLOUD_WAIT_MILLIS_FIRST, REMOTE_VIA_BYTES_MAX,
};
use crate::model::causes::causes;
use crate::provider::cloud::breaker::Breaker;
use crate::provider::cloud::transport::{Reply, failed, tls};
use crate::provider::settings::{RemoteConfig, TransportConfig};
use crate::provider::via::came_by;
use crate::provider::{Error, Result};

/// What a Longshore answers with, and is asked with, that speaks the fuller dialect.
pub(super) const DIALECT: &str = "x-longshore";

/// A body of a request.
pub(super) type Sending = UnsyncBoxBody<Bytes, io::Error>;

/// A body that is known whole.
pub(super) fn whole(bytes: Bytes) -> Sending {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// The client of one other side.
pub(super) struct Wire {
    name: Arc<str>,
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Sending>,
    /// The address of its containers, without a slash at its end.
    base: String,
    host: HeaderValue,
    token: Option<HeaderValue>,
    /// Who asks, so that a ring of servers is noticed.
    via: OnceLock<String>,
    at_once: Semaphore,
    breaker: Breaker,
    options: TransportConfig,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Wire {
    /// The client of a provider of this name.
    pub(super) fn new(name: &str, config: &RemoteConfig, options: TransportConfig) -> io::Result<Self> {
        // Somebody else in this process may have chosen it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base = format!("{}/{}", config.url, config.containers);
        let uri: Uri = base.parse().map_err(io::Error::other)?;
        let authority = uri.authority().ok_or_else(|| io::Error::other("an address without a host"))?;
        let literal = authority.host().trim_matches(['[', ']']).parse::<IpAddr>();
        if config.refuse_private && literal.is_ok_and(is_private) {
            return Err(io::Error::other("its address is a private one, and refuse_private is set"));
        }
        let token = config.access_token.as_ref().map(|token| {
            let mut value = HeaderValue::try_from(format!("Bearer {}", STANDARD.encode(token.expose())))?;
            value.set_sensitive(true);
            Ok::<_, http::header::InvalidHeaderValue>(value)
        });
        let mut http = HttpConnector::new_with_resolver(Resolver { refuse_private: config.refuse_private });
        http.enforce_http(false);
        http.set_connect_timeout(Some(options.connect_timeout));
        http.set_nodelay(true);
        let https = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls(&options)?);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            // Less than the five seconds after which such applications close a connection that is idle.
            .pool_idle_timeout(Duration::from_secs(3))
            .pool_max_idle_per_host(CLOUD_IDLE_PER_HOST_MAX)
            .http1_max_headers(CLOUD_HEADERS_MAX)
            .build(https.https_or_http().enable_http1().wrap_connector(http));
        Ok(Self {
            name: name.into(),
            client,
            host: HeaderValue::from_str(authority.as_str()).map_err(io::Error::other)?,
            base,
            token: token.transpose().map_err(io::Error::other)?,
            via: OnceLock::new(),
            at_once: Semaphore::new(options.concurrency_max),
            breaker: Breaker::default(),
            options,
        })
    }

    /// Says from now on in whose name it asks.
    pub(super) fn ask_for(&self, catalog: &str) {
        // Whoever told it first goes on to be meant.
        let _ = self.via.set(format!("1.1 longshore-{catalog}"));
    }

    /// How long a piece of a body, or an answer, is waited for.
    pub(super) fn patience(&self) -> Duration {
        self.options.read_timeout
    }

    /// A request for what is at a path below the containers, as far as it is the same for all.
    pub(super) fn request(&self, method: Method, path: &str) -> Result<Request<()>> {
        let uri: Uri = format!("{}{path}", self.base).parse().map_err(|error| failed("an address", error))?;
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(DIALECT, HeaderValue::from_static("1"));
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, token.clone());
        }
        let came_by = came_by();
        let own = self.via.get().map(String::as_str);
        let servers: Vec<&str> = [&*came_by].into_iter().chain(own).filter(|hop| !hop.is_empty()).collect();
        if !servers.is_empty() {
            let via = servers.join(", ");
            if via.len() > REMOTE_VIA_BYTES_MAX {
                return Err(Error::Failed(io::Error::other("the request came by too many servers")));
            }
            headers.insert(VIA, HeaderValue::try_from(via).map_err(|error| failed("a list of servers", error))?);
        }
        Ok(request)
    }

    /// Sends a request that changes nothing, again if that failed in a way that passes.
    pub(super) async fn ask(&self, request: &Request<()>) -> Result<Reply> {
        let end = Instant::now() + Duration::from_secs(CLOUD_RETRY_SECONDS_MAX);
        for tries in 0.. {
            let again = || request.clone().map(|()| whole(Bytes::new()));
            self.breaker.pass()?;
            let ended = self.sent(again(), self.patience()).await;
            let passes = match &ended {
                Err(error) => error.retryable(),
                Ok(reply) => is_passing(reply.status.as_u16()),
            };
            let most = CLOUD_WAIT_MILLIS_FIRST << tries.min(6);
            // Full jitter, so that those who failed together do not come back together.
            let wait = Duration::from_millis(most / 2 + u64::from(getrandom::u32().unwrap_or(0)) % (most / 2 + 1));
            if !passes || tries >= self.options.retries_max || Instant::now() + wait >= end {
                return ended;
            }
            tokio::time::sleep(wait).await;
        }
        Err(Error::Unavailable(io::Error::other("no tries are left")))
    }

    /// Sends a request once, and waits so long for the head of its answer. Any status may come back.
    pub(super) async fn send(&self, request: Request<Sending>, allowed: Duration) -> Result<Reply> {
        self.breaker.pass()?;
        self.sent(request, allowed).await
    }

    /// The same for a request that was let pass. Only what was sent can fail: a refusal of our own says nothing of the other
    /// side, and if it counted, those that are refused would keep the breaker open for ever.
    async fn sent(&self, request: Request<Sending>, allowed: Duration) -> Result<Reply> {
        let _one = self.turn().await?;
        let ended = self.exchange(request, allowed).await;
        if ended.is_err() {
            self.breaker.tell(false);
        }
        ended
    }

    /// The same for a body that may be cut by who makes it, which says nothing of the other side.
    pub(super) async fn send_flowing(&self, request: Request<Sending>, allowed: Duration) -> Result<Reply> {
        self.breaker.pass()?;
        let _one = self.turn().await?;
        self.exchange(request, allowed).await
    }

    async fn exchange(&self, request: Request<Sending>, allowed: Duration) -> Result<Reply> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let ended = match timeout(allowed, self.client.request(request)).await {
            Err(_) => Err(Error::Unavailable(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))),
            Ok(Err(error)) => Err(Error::Unavailable(io::Error::other(causes(&error)))),
            Ok(Ok(answer)) => Ok(Reply::of(answer, self.patience())),
        };
        match &ended {
            Ok(reply) => {
                // A plain 500 is how such applications say that something is missing, or there already.
                self.breaker.tell(!is_passing(reply.status.as_u16()));
                tracing::trace!(provider = %self.name, %method, path, status = reply.status.as_u16(), "answered");
            }
            Err(error) => {
                let error = error as &dyn std::error::Error;
                tracing::debug!(provider = %self.name, %method, path, error, "the request failed");
            }
        }
        ended
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>> {
        let waited = timeout(self.patience(), self.at_once.acquire()).await;
        let busy = || Error::Unavailable(io::Error::other("too many requests to this provider are under way"));
        waited.ok().and_then(|permit| permit.ok()).ok_or_else(busy)
    }
}

/// Whether a status says that the service, or what stands before it, is not well now.
fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 502..=504)
}

/// Finds the addresses of names, and leaves those out that are not to be connected to.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    refuse_private: bool,
}

impl tower::Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let refuse = self.refuse_private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<_> = found.filter(|address| !(refuse && is_private(address.ip()))).collect();
            if allowed.is_empty() {
                return Err(io::Error::other("the name has no address that may be connected to"));
            }
            Ok(allowed.into_iter())
        })
    }
}

/// Whether an address is of this machine, of a private network, or of nobody.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            let shared = first == 100 && (64..128).contains(&second);
            let nobody = first == 0 || first >= 224;
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || shared || nobody
        }
        IpAddr::V6(v6) => {
            v6 == Ipv6Addr::UNSPECIFIED
                || v6.is_loopback()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || v6.is_multicast()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::limits::{CLOUD_BREAKER_FAILURES, CLOUD_BREAKER_SECONDS_FIRST};

    #[test]
    fn private_addresses_are_known() {
        let is = |text: &str| is_private(text.parse().expect("an address"));
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "::",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "ff02::1",
        ] {
            assert!(is(address), "{address}");
        }
        for address in ["8.8.8.8", "100.128.0.1", "172.32.0.1", "2001:4860:4860::8888", "::ffff:8.8.8.8"] {
            assert!(!is(address), "{address}");
        }
    }

    fn open(url: &str) -> io::Result<Wire> {
        let (url, containers) = (url.to_owned(), "containers".to_owned());
        let config = RemoteConfig { url, containers, access_token: None, refuse_private: true };
        let options = TransportConfig { retries_max: 0, ..TransportConfig::default() };
        Wire::new("r", &config, options)
    }

    /// Whoever asks while it is open must not keep it open.
    #[tokio::test(start_paused = true)]
    async fn a_service_that_is_well_again_is_asked_again() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/api", listener.local_addr().expect("an address"));
        let config = RemoteConfig { url, containers: "containers".into(), access_token: None, refuse_private: false };
        let options = TransportConfig { retries_max: 0, ..TransportConfig::default() };
        let wire = Wire::new("r", &config, options).expect("a client");
        for _ in 0..CLOUD_BREAKER_FAILURES {
            wire.breaker.tell(false);
        }
        let request = wire.request(Method::GET, "").expect("a request");
        for _ in 0..100 {
            assert!(wire.ask(&request).await.is_err());
            assert!(wire.send(request.clone().map(|()| whole(Bytes::new())), wire.patience()).await.is_err());
            tokio::time::advance(Duration::from_millis(CLOUD_BREAKER_SECONDS_FIRST * 1000 / 101)).await;
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        wire.breaker.pass().expect("one tries");
    }

    #[tokio::test]
    async fn private_addresses_are_refused_by_number_and_by_name() {
        assert!(open("http://127.0.0.1:1").is_err() && open("http://[::1]:1").is_err());
        let wire = open("http://localhost:1/api").expect("a name may be anybody's");
        let request = wire.request(Method::GET, "").expect("a request");
        let Err(Error::Unavailable(why)) = wire.ask(&request).await else { panic!("it was connected to") };
        assert!(why.to_string().contains("no address that may be connected to"), "{why}");
    }
}
