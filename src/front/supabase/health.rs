//! Whether the service answers, what it is, and the cache in front of it, of which there is none here.
//!
//! **Invariant:** without a token that counts nothing is told but that the service answers, and its version.

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::AUTHORIZATION;
use serde_json::json;

use super::error::{self, Refusal, Result};
use super::{Asked, Supabase};
use crate::auth::jwt::TokenError;

/// For whoever has a token.
pub(super) async fn health(front: &Supabase, asked: &Asked) -> Result<Response> {
    if !asked.head.headers.contains_key(AUTHORIZATION) {
        return Err(TokenError::Malformed.into());
    }
    front.caller(asked).await?;
    Ok(error::json(StatusCode::OK, &json!({ "healthy": true })))
}

/// For everyone.
pub(super) fn status() -> Response {
    Response::new(Body::empty())
}

/// What is served.
pub(super) fn version() -> Response {
    concat!("longshore ", env!("CARGO_PKG_VERSION")).into_response()
}

/// There is no cache to purge.
pub(super) async fn purge(front: &Supabase, asked: &Asked) -> Result<Response> {
    front.service(asked).await?;
    let message = "Missing Required Parameter CDN_PURGE_ENDPOINT_URL is not set";
    Err(Refusal::new(400, "MissingParameter", message, "MissingParameter"))
}
