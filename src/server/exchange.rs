//! One request through a front and back.
//!
//! **Invariant:** whatever a front does, there is an answer; the front sees a head within the limits, the facts it fills
//! in, and the address of the peer; nothing a client sends in a header changes that address.

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
}

impl<F: Front> Exchange<F> {
    /// Serves requests by `front` and counts them in `metrics`.
    pub fn new(front: F, metrics: Arc<Metrics>) -> Self {
        Self { front, metrics }
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
        facts.set_peer(peer.ip());
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
        if let Ok(answer) = AssertUnwindSafe(self.front.answer(request)).catch_unwind().await {
            return answer;
        }
        self.metrics.panicked();
        tracing::error!(target: REQUEST, id = facts.id().as_str(), "the request ended in a panic");
        self.failure(StatusCode::INTERNAL_SERVER_ERROR, facts, &method)
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
