//! Whether the server lives, whether it is ready, and what it counted.
//!
//! **Invariant:** nothing here needs or shows data of clients. The metrics are told to this machine only, and not to a proxy
//! on it, unless the operator set a token, which must then be shown: a crawl from outside learns nothing.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderName, StatusCode, Version, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use crate::auth::secret::Secret;
use crate::front::facts::RequestFacts;
use crate::metrics::Metrics;
use crate::store::Store;

/// The type that scrapers of this format expect.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The address a request came from, as the socket tells it. Whoever serves the router puts it into the extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

/// What the routes need.
#[derive(Debug, Clone)]
pub struct Ops {
    /// Asked whether it is ready.
    pub store: Store,
    /// What is told.
    pub metrics: Arc<Metrics>,
    /// Who may be told, if not this machine alone.
    pub metrics_token: Option<Secret>,
}

/// The routes, and a 404 in JSON for everything else.
pub fn router(ops: Ops) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(|| async { message(StatusCode::NOT_FOUND) })
        .method_not_allowed_fallback(|| async { message(StatusCode::METHOD_NOT_ALLOWED) })
        .with_state(ops)
}

/// An answer of a status alone, in JSON.
pub fn message(status: StatusCode) -> Response {
    let text = status.canonical_reason().unwrap_or("Failed");
    let body = serde_json::json!({ "error": { "code": status.as_u16(), "message": text } });
    (status, axum::Json(body)).into_response()
}

/// The process lives.
async fn healthz(request: Request) -> Response {
    note(&request, "Healthz");
    "ok\n".into_response()
}

/// Catalog and providers answer.
async fn readyz(State(ops): State<Ops>, request: Request) -> Response {
    note(&request, "Readyz");
    match ops.store.ready().await {
        Ok(()) => "ready\n".into_response(),
        Err(error) => {
            tracing::warn!(error = &error as &(dyn std::error::Error + 'static), "not ready");
            message(StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}

async fn metrics(State(ops): State<Ops>, request: Request) -> Response {
    note(&request, "Metrics");
    if !may_see(&ops, &request) {
        return message(StatusCode::FORBIDDEN);
    }
    match ops.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(_) => message(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn may_see(ops: &Ops, request: &Request) -> bool {
    let Some(token) = &ops.metrics_token else {
        let peer = request.extensions().get::<PeerAddress>();
        let near = peer.is_some_and(|PeerAddress(address)| address.to_canonical().is_loopback());
        return near && !is_passed_on(request) && names_this_machine(request);
    };
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    shown.and_then(|text| text.strip_prefix("Bearer ")).is_some_and(|shown| Secret::new(shown) == *token)
}

/// Whether a proxy shows that it sent the request, for whomever: by what it adds, or by the version that nginx speaks unless
/// it is told otherwise.
fn is_passed_on(request: &Request) -> bool {
    let adds = |name: &HeaderName| {
        let name = name.as_str();
        ["forwarded", "via", "x-real-ip"].contains(&name) || name.starts_with("x-forwarded-")
    };
    request.version() < Version::HTTP_11 || request.headers().keys().any(adds)
}

/// Whether the host that a request names is one by which a machine knows only itself.
fn names_this_machine(request: &Request) -> bool {
    let header = request.headers().get(header::HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let Some(authority) = request.uri().authority().cloned().or(header) else { return false };
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn note(request: &Request, operation: &'static str) {
    if let Some(facts) = request.extensions().get::<RequestFacts>() {
        facts.set_operation(operation);
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(version: Version, target: &str, headers: &[(&str, &str)]) -> Request {
        let request = Request::builder().version(version).uri(target);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(Body::empty()).expect("a request")
    }

    #[test]
    fn what_comes_by_a_proxy_is_known() {
        let is = |version, name| is_passed_on(&request(version, "/metrics", &[("host", "localhost"), (name, "x")]));
        for name in ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via"] {
            assert!(is(Version::HTTP_11, name), "{name}");
        }
        assert!(is(Version::HTTP_10, "accept") && !is(Version::HTTP_11, "accept") && !is(Version::HTTP_2, "accept"));
    }

    #[test]
    fn a_machine_knows_itself_by_loopback_names() {
        for (host, own) in [
            ("localhost", true),
            ("LocalHost:9001", true),
            ("127.0.0.1:9001", true),
            ("127.1.2.3", true),
            ("[::1]:9001", true),
            ("", false),
            ("files.example", false),
            ("localhost.example", false),
            ("127.0.0.1.example", false),
            ("0.0.0.0:9001", false),
            ("192.0.2.1", false),
            ("[2001:db8::1]", false),
        ] {
            let sent = request(Version::HTTP_11, "/metrics", &[("host", host)]);
            assert_eq!(names_this_machine(&sent), own, "{host}");
        }
        assert!(!names_this_machine(&request(Version::HTTP_11, "/metrics", &[])));
        assert!(names_this_machine(&request(Version::HTTP_2, "http://localhost:9001/metrics", &[])));
        assert!(!names_this_machine(&request(Version::HTTP_2, "http://files.example/metrics", &[])));
    }
}
