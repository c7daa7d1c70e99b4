//! Requests to a service: one client for all drivers, with limits, timeouts, bounded retries and a breaker.
//!
//! Addresses are sent as they were written, as no URL type is between: `..` and `//` are parts of names to a storage.
//!
//! **Invariant:** nothing waits without an end; a service that does not answer costs others nothing, as after a few
//! failures calls fail at once until one that is let through succeeds; redirects are never followed.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::header::{CONTENT_LENGTH, HOST, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::breaker::Breaker;
use super::payload::{Payload, PayloadBody};
use crate::config::limits::{
    CLOUD_ANSWER_BYTES_MAX, CLOUD_HEADERS_MAX, CLOUD_IDLE_PER_HOST_MAX, CLOUD_MOVE_SECONDS_MAX,
    CLOUD_RETRY_SECONDS_MAX, CLOUD_WAIT_MILLIS_FIRST,
};
use crate::model::causes::causes;
use crate::provider::settings::TransportConfig;
use crate::provider::{Blocks, Error, Result};

/// One request, which may be sent several times.
#[derive(Clone)]
pub struct Call {
    /// Its method.
    pub method: Method,
    /// Scheme, authority, path and query, encoded.
    pub uri: String,
    /// Its headers; `Host` and `Content-Length` are added.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Payload,
    /// Bytes that the service may move before its answer begins: it is waited for longer.
    pub moved: u64,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.uri.split('?').next().unwrap_or_default())
    }
}

impl Call {
    /// Without headers or body.
    #[must_use]
    pub fn new(method: Method, uri: String) -> Self {
        Self { method, uri, headers: HeaderMap::new(), body: Payload::default(), moved: 0 }
    }

    /// Adds a header.
    ///
    /// # Errors
    /// `Failed`: the value cannot be one.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self> {
        let name = http::HeaderName::from_bytes(name.as_bytes()).map_err(|error| failed("a header's name", error))?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|error| failed("a header's value", error))?;
        self.headers.insert(name, value);
        Ok(self)
    }

    /// With so many bytes that the service may move before its answer begins.
    #[must_use]
    pub fn moving(mut self, bytes: u64) -> Self {
        self.moved = bytes;
        self
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: Payload) -> Self {
        self.body = body;
        self
    }
}

/// What makes a request one of an account's.
#[async_trait]
pub trait Sign: fmt::Debug + Send + Sync {
    /// Adds the headers that prove who asks. Called for each try.
    ///
    /// # Errors
    /// Credentials cannot be had.
    async fn sign(&self, request: &mut Request<()>, body: &Payload) -> Result<()>;

    /// The service said 401 to what was signed: whether another try with new credentials makes sense. Asked once a call.
    async fn refused(&self) -> bool {
        false
    }
}

/// Of requests that need no proof.
#[derive(Debug)]
pub struct Unsigned;

#[async_trait]
impl Sign for Unsigned {
    async fn sign(&self, _: &mut Request<()>, _: &Payload) -> Result<()> {
        Ok(())
    }
}

/// The head of an answer, with a body that is yet to be read.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    body: Incoming,
    idle: Duration,
}

impl Reply {
    /// Of an answer, each piece of whose body may take so long.
    pub(in crate::provider) fn of(answer: http::Response<Incoming>, idle: Duration) -> Self {
        let (head, body) = answer.into_parts();
        Self { status: head.status, headers: head.headers, body, idle }
    }

    /// The next bytes of the body; `None` at its end.
    ///
    /// # Errors
    /// `Unavailable`: it was cut.
    pub(in crate::provider) async fn next(&mut self) -> Result<Option<Bytes>> {
        next_block(&mut self.body, self.idle).await
    }

    /// The text of a header; empty if it is not there or no text.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok()).unwrap_or_default()
    }

    /// The whole body, which must be a small one.
    ///
    /// # Errors
    /// `Unavailable`: it was cut. `Failed`: it is larger than any answer that is waited for.
    pub async fn bytes(mut self) -> Result<Bytes> {
        let mut all = BytesMut::new();
        while let Some(block) = next_block(&mut self.body, self.idle).await? {
            if all.len() + block.len() > CLOUD_ANSWER_BYTES_MAX {
                return Err(Error::Failed(io::Error::other("the answer is larger than any that is expected")));
            }
            all.extend_from_slice(&block);
        }
        Ok(all.freeze())
    }

    /// The body, block by block, which must be of exactly `size` bytes.
    #[must_use]
    pub fn blocks(self, size: u64) -> Blocks {
        let next = |(mut body, idle, left): (Incoming, Duration, u64)| async move {
            if left == 0 {
                return Ok(None);
            }
            let Some(block) = next_block(&mut body, idle).await? else { return Err(short()) };
            let left = left.checked_sub(block.len() as u64).ok_or_else(long)?;
            Ok(Some((block, (body, idle, left))))
        };
        Box::pin(stream::try_unfold((self.body, self.idle, size), next))
    }

    /// What an answer that was not hoped for means, by its status. Reads the body, for the log.
    pub async fn refusal(self) -> Error {
        let status = self.status;
        let text = self.bytes().await.unwrap_or_default();
        let text = String::from_utf8_lossy(&text[..text.len().min(400)]).into_owned();
        tracing::debug!(status = status.as_u16(), text, "the service refuses");
        meaning(status, &text)
    }
}

/// What a status means where nothing special is known about it.
#[must_use]
pub fn meaning(status: StatusCode, text: &str) -> Error {
    let cause = || io::Error::other(format!("the service answered {} {}", status.as_u16(), one_line(text)));
    match status.as_u16() {
        404 | 410 => Error::NotFound,
        304 | 412 | 416 => Error::StampMismatch,
        401 | 403 => Error::Denied,
        507 => Error::NoSpace,
        408 | 409 | 425 | 429 | 500 | 502..=504 => Error::Unavailable(cause()),
        _ => Error::Failed(cause()),
    }
}

pub(in crate::provider) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

async fn next_block(body: &mut Incoming, idle: Duration) -> Result<Option<Bytes>> {
    loop {
        match timeout(idle, body.frame()).await {
            Err(_) => return Err(Error::Unavailable(io::Error::new(io::ErrorKind::TimedOut, "the body stalled"))),
            Ok(None) => return Ok(None),
            Ok(Some(Err(error))) => return Err(Error::Unavailable(io::Error::other(error))),
            Ok(Some(Ok(frame))) => {
                // Trailers say nothing that is asked for here.
                if let Ok(block) = frame.into_data()
                    && !block.is_empty()
                {
                    return Ok(Some(block));
                }
            }
        }
    }
}

pub(in crate::provider) fn short() -> Error {
    Error::Unavailable(io::Error::new(io::ErrorKind::UnexpectedEof, "the body ended early"))
}

pub(in crate::provider) fn long() -> Error {
    Error::Unavailable(io::Error::other("the body is longer than it was to be"))
}

/// An error of ours while a request is made.
pub fn failed(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    tracing::debug!(what, error = &error as &dyn std::error::Error, "a request cannot be made");
    Error::Failed(io::Error::other(error))
}

/// The client of one provider.
pub struct Transport {
    name: Arc<str>,
    client: Client<HttpsConnector<HttpConnector>, PayloadBody>,
    at_once: Semaphore,
    breaker: Breaker,
    options: TransportConfig,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Transport {
    /// The client of the provider of this name.
    ///
    /// # Errors
    /// The certificates cannot be read.
    pub fn new(name: &str, options: TransportConfig) -> io::Result<Self> {
        // Somebody else in this process may have chosen it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let tls = tls(&options)?;
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_connect_timeout(Some(options.connect_timeout));
        http.set_nodelay(true);
        let https = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(CLOUD_IDLE_PER_HOST_MAX)
            .http1_max_headers(CLOUD_HEADERS_MAX)
            .build(https.wrap_connector(http));
        let at_once = Semaphore::new(options.concurrency_max);
        Ok(Self { name: name.into(), client, at_once, breaker: Breaker::default(), options })
    }

    /// Sends a request until it is answered by other than a failure that may pass, or there were enough tries.
    /// Any status may come back, also that of the last failure.
    ///
    /// # Errors
    /// `Unavailable`: nothing answers in time. What [`Sign::sign`] fails with.
    pub async fn send(&self, sign: &dyn Sign, call: &Call) -> Result<Reply> {
        self.breaker.pass()?;
        let waited = timeout(self.options.read_timeout, self.at_once.acquire()).await;
        let _one = waited
            .ok()
            .and_then(|permit| permit.ok())
            .ok_or_else(|| Error::Unavailable(io::Error::other("too many requests to this provider are under way")))?;
        let end = Instant::now() + Duration::from_secs(CLOUD_RETRY_SECONDS_MAX);
        let (mut tries, mut renewed) = (0, false);
        loop {
            let ended = self.once(sign, call).await;
            self.breaker.tell(!matches!(&ended, Err(Error::Unavailable(_))) && !is_failure(&ended));
            if let Ok(reply) = &ended
                && reply.status == StatusCode::UNAUTHORIZED
                && !std::mem::replace(&mut renewed, true)
                && sign.refused().await
            {
                continue;
            }
            let in_time = |wait: &Duration| Instant::now().checked_add(*wait).is_some_and(|then| then < end);
            let Some(wait) = self.wait(&ended, tries).filter(in_time) else {
                return ended;
            };
            tries += 1;
            tracing::debug!(provider = %self.name, ?call, tries, "another try follows");
            tokio::time::sleep(wait).await;
        }
    }

    /// How long to wait for another try; `None`: there is none.
    fn wait(&self, ended: &Result<Reply>, tries: usize) -> Option<Duration> {
        let passes = match ended {
            Err(Error::Unavailable(_)) => true,
            Err(_) => false,
            Ok(reply) => matches!(reply.status.as_u16(), 408 | 425 | 429 | 500 | 502..=504),
        };
        if !passes || tries >= self.options.retries_max {
            return None;
        }
        let asked = ended.as_ref().ok().and_then(|reply| reply.header(RETRY_AFTER.as_str()).parse().ok());
        let most = CLOUD_WAIT_MILLIS_FIRST << tries.min(6);
        // Full jitter, so that those who failed together do not come back together.
        let millis = most / 2 + u64::from(getrandom::u32().unwrap_or(0)) % (most / 2 + 1);
        Some(asked.map_or(Duration::from_millis(millis), Duration::from_secs))
    }

    async fn once(&self, sign: &dyn Sign, call: &Call) -> Result<Reply> {
        let uri: Uri = call.uri.parse().map_err(|error| failed("an address", error))?;
        let mut request = Request::new(());
        let host = uri.authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default();
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = call.headers.clone();
        let host = HeaderValue::from_str(&host).map_err(|error| failed("a host", error))?;
        request.headers_mut().insert(HOST, host);
        if !call.body.is_empty() || matches!(call.method, Method::PUT | Method::POST) {
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(call.body.len()));
        }
        sign.sign(&mut request, &call.body).await?;
        let request = request.map(|()| call.body.clone().into_body());
        // The time for the head begins anew with each megabyte that is to be sent, or moved over there.
        let megabytes = call.body.len().saturating_add(call.moved) / (1024 * 1024);
        let allowed = self.options.read_timeout + Duration::from_secs(megabytes.min(CLOUD_MOVE_SECONDS_MAX));
        match timeout(allowed, self.client.request(request)).await {
            Err(_) => {
                tracing::warn!(provider = %self.name, ?call, "no answer in time");
                Err(Error::Unavailable(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")))
            }
            Ok(Err(error)) => {
                let cause = causes(&error);
                tracing::warn!(provider = %self.name, ?call, cause, "the request failed");
                Err(Error::Unavailable(io::Error::other(cause)))
            }
            Ok(Ok(answer)) => {
                tracing::trace!(provider = %self.name, ?call, status = answer.status().as_u16(), "answered");
                Ok(Reply::of(answer, self.options.read_timeout))
            }
        }
    }
}

fn is_failure(ended: &Result<Reply>) -> bool {
    ended.as_ref().is_ok_and(|reply| matches!(reply.status.as_u16(), 500 | 502..=504))
}

/// The certificates that are trusted: those of the bundle that was configured, else those of the system.
pub(in crate::provider) fn tls(options: &TransportConfig) -> io::Result<ClientConfig> {
    let builder = ClientConfig::builder();
    let Some(bundle) = &options.ca_bundle else {
        return Ok(hyper_rustls::ConfigBuilderExt::with_native_roots(builder)?.with_no_client_auth());
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(bundle).map_err(io::Error::other)? {
        roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A wait that no clock can count was a panic.
    #[tokio::test]
    async fn a_service_that_is_away_for_ever_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let uri = format!("http://{}/", listener.local_addr().expect("an address"));
        let service = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut head = [0; 4096];
            assert!(stream.read(&mut head).await.expect("a request") > 0);
            let answer = format!("HTTP/1.1 503 Busy\r\nRetry-After: {}\r\nContent-Length: 0\r\n\r\n", u64::MAX);
            stream.write_all(answer.as_bytes()).await.expect("an answer");
            stream
        });
        let transport = Transport::new("t", TransportConfig::default()).expect("a client");
        let reply = transport.send(&Unsigned, &Call::new(Method::GET, uri)).await.expect("its answer");
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
        drop(service.await.expect("no panic"));
    }
}
