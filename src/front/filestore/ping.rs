//! Whether the service is there, and what a client makes of a status.
//!
//! **Invariant:** the store is not asked, so it says nothing of the data. No status below 200 is sent, and none that
//! has no body gets one.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use super::error::{self, Refusal, Result};
use super::params::Params;

pub(super) fn ping(params: &mut Params) -> Result<Response> {
    let fake = match params.take("fake") {
        None => 200,
        Some(value) if value.as_str() == Some("") => 200,
        Some(value) => {
            let text = value.as_str().and_then(|text| text.trim().parse().ok());
            let status = value.as_u64().or(text).and_then(|number| u16::try_from(number).ok());
            status.filter(|status| (200..600).contains(status)).ok_or_else(|| Refusal::invalid("fake"))?
        }
    };
    let status = StatusCode::from_u16(fake).map_err(|_| Refusal::invalid("fake"))?;
    let mut answer = error::json(status, &json!({ "result": i32::from(fake == 200) }));
    if matches!(fake, 204 | 205 | 304) {
        *answer.body_mut() = Body::empty();
    }
    Ok(answer)
}
