//! One request through a front and back.
//!
//! **Invariant:** whatever a front does, there is an answer; the front sees a head within the limits, the facts it fills
//! in, and where the request came from; nothing a client sends in a header changes that.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{CONNECTION, EXPECT, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;

use crate::config::limits::{FIELDS_BYTES_MAX, URI_BYTES_MAX};
use crate::front::facts::RequestFacts;
use crate::metrics::Metrics;
use crate::server::body::{AnswerBody, BoxError, CountedBody, Record};
use crate::server::linger::{Awaited, Lingering};
use crate::server::log::REQUEST;
use crate::server::origin::Proxies;

/// The answer of a front.
pub type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;

/// The body of a request as a front reads it.
pub type RequestBody = CountedBody<Lingering>;

/// Where a connection comes from, in the extensions of its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// A protocol, as a listener serves it.
pub trait Front: fmt::Debug + Send + Sync + 'static {
    /// Its name in log and metrics.
    fn name(&self) -> &'static str;

    /// Serves a request.
    fn answer(&self, request: Request<RequestBody>) -> impl Future<Output = Answer> + Send;

    /// Says that a request failed before or instead of being served.
    fn failure(&self, status: StatusCode, facts: &RequestFacts) -> Answer;
}

/// A front with what every exchange needs.
#[derive(Debug)]
pub struct Exchange<F> {
    front: F,
    metrics: Arc<Metrics>,
    proxies: Proxies,
}

impl<F: Front> Exchange<F> {
    /// Serves requests by `front` and counts them in `metrics`.
    pub fn new(front: F, metrics: Arc<Metrics>) -> Self {
        Self { front, metrics, proxies: Proxies::default() }
    }

    /// Behind these proxies.
    #[must_use]
    pub fn behind(self, proxies: Proxies) -> Self {
        Self { proxies, ..self }
    }

    /// The front's name.
    pub fn name(&self) -> &'static str {
        self.front.name()
    }

    /// The metrics it counts in.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Serves one request.
    pub async fn run(&self, peer: SocketAddr, request: Request<Incoming>) -> Response<AnswerBody> {
        let facts = RequestFacts::default();
        let origin = self.proxies.origin(peer.ip(), request.headers());
        facts.set_origin(origin.address, origin.secure);
        let record = Record {
            front: self.front.name(),
            method: request.method().clone(),
            facts: facts.clone(),
            metrics: Arc::clone(&self.metrics),
            began: Instant::now(),
            bytes_in: Arc::new(AtomicU64::new(0)),
            _held: self.metrics.request_begins(self.front.name()),
        };
        let awaited = Awaited::new(waits(&request));
        let answer = match refusal(request.uri(), request.headers()) {
            Some(status) => self.failure(status, &facts, request.method()),
            None => {
                let bytes = Arc::clone(&record.bytes_in);
                let mut request = request.map(|body| CountedBody::new(Lingering::new(body, awaited.clone()), bytes));
                request.extensions_mut().insert(facts.clone());
                request.extensions_mut().insert(Peer(peer));
                self.answer(request, &facts).await
            }
        };
        let (mut head, body) = answer.into_parts();
        if awaited.is_so() {
            head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let body = AnswerBody::new(body, record, &head);
        Response::from_parts(head, body)
    }

    /// The head of an answer to HEAD is all of it.
    fn failure(&self, status: StatusCode, facts: &RequestFacts, method: &Method) -> Answer {
        let answer = self.front.failure(status, facts);
        if method != Method::HEAD {
            return answer;
        }
        answer.map(|_| Empty::new().map_err(|never| match never {}).boxed_unsync())
    }

    /// A front that panics has failed one request, and nothing else.
    async fn answer(&self, request: Request<RequestBody>, facts: &RequestFacts) -> Answer {
        let method = request.method().clone();
        // What a panic leaves half-changed is the request's own; shared state is behind locks that do not poison
        // or in transactions.
        let answered = AssertUnwindSafe(self.front.answer(request)).catch_unwind().await;
        if answered.is_err() {
            facts.set_panicked();
            tracing::error!(target: REQUEST, id = facts.id().as_str(), "the request ended in a panic");
        }
        // A front may have caught one itself, and answered.
        if facts.has_panicked() {
            self.metrics.panicked();
        }
        answered.unwrap_or_else(|_| self.failure(StatusCode::INTERNAL_SERVER_ERROR, facts, &method))
    }
}

/// Whether the client waits for "100 Continue". If the final answer comes without it, the client need not send the body
/// and the server cannot know whether it will, so there must be no next request on the connection: it would be read as
/// that body. Where there is no body, the AWS CLI takes the final answer for the one to its next request.
fn waits(request: &Request<Incoming>) -> bool {
    request.version() == Version::HTTP_11 && request.headers().contains_key(EXPECT)
}

fn refusal(uri: &Uri, headers: &HeaderMap) -> Option<StatusCode> {
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > URI_BYTES_MAX {
        return Some(StatusCode::URI_TOO_LONG);
    }
    if !framed_plainly(headers) {
        return Some(StatusCode::BAD_REQUEST);
    }
    let fields: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    (fields > FIELDS_BYTES_MAX).then_some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
}

/// Other transfer encodings than one `chunked` are read in two ways by two servers, and then a body of the one is a
/// request of the other.
fn framed_plainly(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    let plain = encodings.next().is_none_or(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    plain && encodings.next().is_none()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use axum::body::Body;
    use axum::routing::{get, post};
    use axum::{Extension, Router};
    use futures_util::stream;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::task::JoinHandle;
    use tokio::time::timeout;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::server::Listener;
    use crate::server::fronts::Rest;

    /// Routes of which some panic, on a listener that has one connection at a time.
    struct Served {
        address: SocketAddr,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
        ended: JoinHandle<()>,
    }

    async fn at_once() -> &'static str {
        panic!("a handler that panics, as this test wants")
    }

    async fn behind_the_body(body: Bytes) -> &'static str {
        panic!("a handler that has read {} bytes and panics, as this test wants", body.len())
    }

    async fn caught(Extension(facts): Extension<RequestFacts>) -> StatusCode {
        facts.set_panicked();
        StatusCode::INTERNAL_SERVER_ERROR
    }

    async fn amid_the_answer() -> Body {
        let frames = stream::unfold(false, |begun| async move {
            assert!(!begun, "a body that panics, as this test wants");
            Some((Ok::<_, Infallible>(Bytes::from_static(b"begun")), true))
        });
        Body::from_stream(frames)
    }

    impl Served {
        async fn start() -> Self {
            let routes = Router::new()
                .route("/at-once", get(at_once))
                .route("/behind-the-body", post(behind_the_body))
                .route("/caught", get(caught))
                .route("/amid-the-answer", get(amid_the_answer))
                .route("/well", get(|| async { "all is well" }));
            let metrics = Arc::new(Metrics::default());
            let listener = Listener::bind(([127, 0, 0, 1], 0).into(), 1, Duration::from_secs(5)).await;
            let listener = listener.expect("a port");
            let address = listener.address().expect("its address");
            let (exchange, stop) = (Exchange::new(Rest(routes), Arc::clone(&metrics)), CancellationToken::new());
            let ended = tokio::spawn(listener.serve(exchange, stop.clone()));
            Self { address, metrics, stop, ended }
        }

        /// Sends bytes on a connection of their own, and reads until the server closes it.
        async fn say(&self, bytes: String) -> String {
            let mut answer = Vec::new();
            let exchange = async {
                let mut socket = TcpStream::connect(self.address).await.expect("a connection");
                socket.write_all(bytes.as_bytes()).await.expect("sent");
                // A connection that ends in a panic may be reset: what came before counts.
                let _ = socket.read_to_end(&mut answer).await;
            };
            timeout(Duration::from_secs(30), exchange).await.expect("the server closes the connection");
            String::from_utf8_lossy(&answer).into_owned()
        }

        /// Asks, as the last request of a connection.
        async fn ask(&self, request: &str, body: &str) -> String {
            let length = body.len();
            let head = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n");
            self.say(format!("{head}\r\n{body}")).await
        }

        async fn is_well(&self) {
            let answer = self.ask("GET /well", "").await;
            assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("all is well"), "{answer}");
        }

        fn counts(&self, line: &str) {
            let text = self.metrics.text().expect("text");
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[tokio::test]
    async fn a_panic_in_a_request_is_one_500_and_nothing_else() {
        let served = Served::start().await;
        let told = "{\"error\":{\"code\":500,\"message\":\"Internal Server Error\"}}";
        for (request, body) in [("GET /at-once", ""), ("POST /behind-the-body", "twelve bytes")] {
            let answer = served.ask(request, body).await;
            assert!(answer.starts_with("HTTP/1.1 500 ") && answer.ends_with(told), "{request}: {answer}");
            assert!(!answer.contains("as this test wants"), "{request}: {answer}");
            served.is_well().await;
        }
        // The head of an answer to HEAD is all of it.
        let answer = served.ask("HEAD /at-once", "").await;
        assert!(answer.starts_with("HTTP/1.1 500 ") && answer.ends_with("\r\n\r\n"), "{answer}");
        served.is_well().await;
        // The next request of the same connection is served, too.
        let both = "GET /at-once HTTP/1.1\r\nhost: x\r\n\r\nGET /well HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let answers = served.say(both.to_owned()).await;
        assert!(answers.starts_with("HTTP/1.1 500 ") && answers.contains("HTTP/1.1 200 "), "{answers}");
        assert!(answers.ends_with("all is well"), "{answers}");
        served.counts("longshore_panics_total 4");
    }

    /// A front that answers to its own panics says that there was one.
    #[tokio::test]
    async fn a_panic_that_a_front_has_caught_is_counted_too() {
        let served = Served::start().await;
        let answer = served.ask("GET /caught", "").await;
        assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
        served.is_well().await;
        served.counts("longshore_panics_total 1");
    }

    /// What was said by then cannot be taken back: the answer is cut, so that nobody takes it for a whole one.
    #[tokio::test]
    async fn a_panic_amid_an_answer_cuts_it_and_frees_its_connection() {
        let served = Served::start().await;
        for _ in 0..3 {
            let answer = served.ask("GET /amid-the-answer", "").await;
            assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
            served.is_well().await;
        }
        let Served { metrics, stop, ended, .. } = served;
        stop.cancel();
        ended.await.expect("the listener outlives its connections");
        let text = metrics.text().expect("text");
        for line in ["longshore_requests_in_flight{front=\"rest\"} 0", "longshore_connections{front=\"rest\"} 0"] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
