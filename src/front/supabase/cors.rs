//! Pages of other origins: they may ask whatever a token of theirs allows.
//!
//! **Invariant:** nothing is let in by cookies or other credentials that a browser adds by itself, so every origin may be
//! let in; what is told is the same for each.

use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

/// What a page may read of an answer.
const EXPOSED: &str = "content-length, content-range, content-disposition, etag, last-modified, location, \
                       upload-offset, upload-length, upload-defer-length, upload-expires, tus-version, tus-resumable, tus-max-size, \
                       tus-extension, tus-complete, x-robots-tag";
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
/// What a page may send that asks for nothing in particular.
const HEADERS: &str = "authorization, apikey, content-type, cache-control, range, x-client-info, x-metadata, x-upsert";

/// A request of a page.
#[derive(Debug)]
pub(super) struct Page {
    /// The headers that it asks for beforehand, if it does.
    preflight: Option<HeaderValue>,
}

impl Page {
    pub(super) fn of(head: &Parts) -> Option<Self> {
        head.headers.get(header::ORIGIN)?;
        let asks = head.method == Method::OPTIONS && head.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let wanted = head.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        Some(Self { preflight: asks.then(|| wanted.unwrap_or(HeaderValue::from_static(HEADERS))) })
    }

    /// The answer to a request that asks beforehand.
    pub(super) fn preflight(&self) -> Option<Response> {
        let wanted = self.preflight.clone()?;
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::NO_CONTENT;
        let headers = answer.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
        Some(answer)
    }

    /// Lets a page read an answer of S3, whose headers have names that clients choose.
    pub(super) fn tell_all(headers: &mut HeaderMap) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    }
}

/// Lets pages read an answer.
pub(super) fn tell(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
}
