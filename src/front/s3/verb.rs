//! Verbs that a resource has not.
//!
//! **Invariant:** no operation is refused by its verb: the refusal counts only where s3s itself has found none for the
//! request.

use http::{Method, Request, Response, StatusCode};
use s3s::Body;

use super::error::{Refusal, wrong_method};
use super::host::{self, Hosts};
use super::query;

/// How a request is refused if no operation has its verb: of a resource by itself, since what a sub-resource that is not
/// known takes is not known either.
pub(super) fn wrong<B>(request: &Request<B>, hosts: &Hosts) -> Option<Refusal> {
    let (method, uri) = (request.method(), request.uri());
    if method == Method::GET || query::names_any(uri.query()) {
        return None;
    }
    let (resource, allowed) = match host::target(hosts, host::of(uri, request.headers()), uri.path()) {
        None => ("SERVICE", &["GET"][..]),
        Some((_, key)) if key.is_empty() => ("BUCKET", &["DELETE", "GET", "HEAD", "POST", "PUT"][..]),
        Some(_) => ("OBJECT", &["DELETE", "GET", "HEAD", "PUT"][..]),
    };
    (!allowed.contains(&method.as_str())).then(|| wrong_method(method, resource, &allowed.join(", ")))
}

/// Whether s3s says of a request with such a verb that it knows no operation for it.
pub(super) fn is_unknown(method: &Method, response: &Response<Body>) -> bool {
    match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => true,
        // A HEAD is told nothing more.
        StatusCode::NOT_IMPLEMENTED => method == Method::HEAD || says(response, "Unknown operation"),
        _ => false,
    }
}

fn says(response: &Response<Body>, message: &str) -> bool {
    let body = response.body().bytes().unwrap_or_default();
    String::from_utf8_lossy(&body).contains(message)
}
