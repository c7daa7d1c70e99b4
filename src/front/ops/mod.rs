//! Whether the server lives, whether it is ready, and what it counted.
//!
//! **Invariant:** nothing here needs or shows data of clients. The metrics are told to this machine only, unless the
//! operator set a token, which must then be shown: a crawl from outside learns nothing.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
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
        return request
            .extensions()
            .get::<PeerAddress>()
            .is_some_and(|PeerAddress(address)| address.to_canonical().is_loopback());
    };
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    shown.and_then(|text| text.strip_prefix("Bearer ")).is_some_and(|shown| Secret::new(shown) == *token)
}

fn note(request: &Request, operation: &'static str) {
    if let Some(facts) = request.extensions().get::<RequestFacts>() {
        facts.set_operation(operation);
    }
}
