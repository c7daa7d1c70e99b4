//! Pages of other origins.
//!
//! **Invariant:** every origin may ask with a token that it holds; only the configured ones may ask with what a browser
//! adds by itself.

use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::FilestoreOptions;

const METHODS: &str = "GET, HEAD, POST, PUT, OPTIONS";
const HEADERS: &str = "content-type, x-auth-token, authorization, x-requested-with, range, if-none-match";
const EXPOSED: &str = "etag, last-modified, content-length, content-range, accept-ranges";

/// A request of a page.
#[derive(Debug)]
pub(super) struct Page {
    origin: HeaderValue,
    /// Whether its cookies count.
    trusted: bool,
    preflight: bool,
}

impl Page {
    pub(super) fn of(head: &Parts, options: &FilestoreOptions) -> Option<Self> {
        let origin = head.headers.get(header::ORIGIN)?.clone();
        let trusted = origin.to_str().is_ok_and(|origin| options.trusts(origin));
        let asks = head.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        Some(Self { origin, trusted, preflight: asks && head.method == Method::OPTIONS })
    }

    /// Whether it only asks what it may.
    pub(super) fn is_preflight(&self) -> bool {
        self.preflight
    }

    /// Lets the page read the answer.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, self.origin.clone());
        if self.trusted {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        differ(headers);
        if self.preflight {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
        } else {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        }
    }
}

/// Says that the answer to pages of other origins is another one.
pub(super) fn differ(headers: &mut HeaderMap) {
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}

/// An answer to what is only asked.
pub(super) fn options() -> Response {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(METHODS));
    answer
}

impl FilestoreOptions {
    /// Whether the cookies of an origin's pages count: it is configured, or that of a tenant.
    fn trusts(&self, origin: &str) -> bool {
        let of_tenant = self.domain.as_ref().is_some_and(|domain| {
            let host = origin.strip_prefix("https://").unwrap_or_default().to_ascii_lowercase();
            host.strip_suffix(domain.as_str()).and_then(|rest| rest.strip_suffix('.')).is_some_and(|tenant| {
                !tenant.is_empty() && tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            })
        });
        of_tenant || self.origins.iter().any(|known| known == origin)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn cookies_of_tenants_and_configured_origins_count() {
        let options = FilestoreOptions {
            services: Vec::new(),
            domain: Some("nive.local".into()),
            origins: vec!["http://localhost:8080".into()],
            sign_in: Duration::from_secs(1),
        };
        for (origin, trusted) in [
            ("https://a.nive.local", true),
            ("https://a.b.nive.local", false),
            ("http://a.nive.local", false),
            ("https://nive.local", false),
            ("https://xnive.local", false),
            ("https://a.nive.local.evil", false),
            ("http://localhost:8080", true),
            ("null", false),
        ] {
            assert_eq!(options.trusts(origin), trusted, "{origin}");
        }
    }
}
