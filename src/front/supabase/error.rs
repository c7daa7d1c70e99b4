//! Refusals as Supabase's clients read them: JSON with an inner status, under a status that is nearly always 400.
//!
//! **Invariant:** what is told holds no path, no query and no cause; causes go to the log.

use std::borrow::Cow;

use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};

use crate::auth::jwt::TokenError;
use crate::front::facts::RequestFacts;
use crate::model::causes::causes;
use crate::store::{BodyError, Error};

/// The result of what serves a request.
pub(super) type Result<T> = std::result::Result<T, Refusal>;

/// Why a request is not served.
#[derive(Debug)]
pub(super) struct Refusal {
    http: u16,
    /// The status that is meant.
    pub(super) status: u16,
    label: Cow<'static, str>,
    pub(super) message: Cow<'static, str>,
    pub(super) code: &'static str,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Refusal {
    pub(super) fn new(
        status: u16,
        label: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
        code: &'static str,
    ) -> Self {
        Self { http: 400, status, label: label.into(), message: message.into(), code, cause: None }
    }

    /// With this status meant.
    pub(super) fn meaning(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// Under this status itself.
    pub(super) fn plainly(self, http: u16) -> Self {
        Self { http, ..self }
    }

    fn caused_by(self, cause: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self { cause: Some(cause), ..self }
    }

    /// A request that does not fit its schema.
    pub(super) fn schema(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, "Error", message, "InvalidRequest")
    }

    pub(super) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, "InvalidRequest", message, "InvalidRequest")
    }

    pub(super) fn parameter(name: &str) -> Self {
        Self::new(400, "InvalidParameter", format!("Invalid Parameter {name}"), "InvalidParameter")
    }

    /// A path that is no text.
    pub(super) fn path(path: &str) -> Self {
        Self::new(400, "Bad Request", format!("'{path}' is not a valid url component"), "FST_ERR_BAD_URL")
    }

    pub(super) fn no_route(method: &str, path: &str) -> Self {
        Self::new(404, "Not Found", format!("Route {method}:{path} not found"), "InvalidRequest").plainly(404)
    }

    pub(super) fn no_bucket() -> Self {
        Self::new(404, "Bucket not found", "Bucket not found", "NoSuchBucket")
    }

    pub(super) fn no_key() -> Self {
        Self::new(404, "not_found", "Object not found", "NoSuchKey")
    }

    /// What the request goes with is not there.
    pub(super) fn no_related() -> Self {
        Self::new(404, "InvalidRequest", "The related resource does not exist", "InvalidRequest")
    }

    pub(super) fn duplicate(code: &'static str) -> Self {
        Self::new(409, "Duplicate", "The resource already exists", code)
    }

    pub(super) fn denied(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(403, "Unauthorized", message, "AccessDenied")
    }

    pub(super) fn bucket_name() -> Self {
        Self::new(400, "Invalid Input", "Bucket name invalid", "InvalidBucketName")
    }

    pub(super) fn key(key: &str) -> Self {
        Self::new(400, "InvalidKey", format!("Invalid key: {key}"), "InvalidKey")
    }

    pub(super) fn too_large() -> Self {
        Self::new(413, "Payload too large", "The object exceeded the maximum allowed size", "EntityTooLarge")
    }

    /// Others are served first, for longer than one waits.
    pub(super) fn busy(message: &'static str) -> Self {
        Self::new(429, "too_many_connections", message, "SlowDown").plainly(429)
    }

    pub(super) fn media_type(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(415, "invalid_mime_type", message, "InvalidMimeType")
    }

    pub(super) fn signature(message: &'static str) -> Self {
        Self::new(400, "InvalidSignature", message, "InvalidSignature")
    }

    pub(super) fn range() -> Self {
        Self::new(416, "invalid_range", "invalid range provided", "InvalidRange").plainly(416)
    }

    pub(super) fn internal() -> Self {
        Self::new(500, "Internal", "Internal Server Error", "InternalError").plainly(500)
    }

    /// Of a signed address.
    pub(super) fn address(error: TokenError) -> Self {
        Self::new(400, "InvalidJWT", error.to_string(), "InvalidJWT")
    }

    /// Whether the decision was no.
    pub(super) fn is_denied(&self) -> bool {
        self.code == "AccessDenied"
    }

    /// Writes the cause to the log.
    pub(super) fn log(&self, facts: &RequestFacts) {
        let Some(cause) = &self.cause else { return };
        let text = causes(cause.as_ref());
        tracing::error!(request = facts.id().as_str(), code = self.code, cause = text, "a request failed");
    }

    /// The answer.
    pub(super) fn answer(self, facts: &RequestFacts) -> Response {
        self.log(facts);
        let body = serde_json::json!({
            "statusCode": self.status.to_string(),
            "error": self.label,
            "message": self.message,
            "code": self.code,
        });
        let status = StatusCode::from_u16(self.http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        json(status, &body)
    }
}

/// An answer in JSON.
pub(super) fn json(status: StatusCode, body: &impl serde::Serialize) -> Response {
    let text = serde_json::to_vec(body).unwrap_or_default();
    let mut answer = (status, text).into_response();
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        Self::denied(error.to_string())
    }
}

/// The text that clients know for a write that nothing allows.
const ROW_DENIED: &str = "new row violates row-level security policy";

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::NoSuchBucket => Self::no_bucket(),
            Error::NoSuchKey | Error::Deleted { .. } | Error::NoSuchVersion | Error::MarkerNamed { .. } => {
                Self::no_key()
            }
            Error::NoSuchUpload => Self::new(404, "NoSuchUpload", "Upload not found", "NoSuchUpload"),
            Error::BucketTaken | Error::BucketOwned => Self::duplicate("BucketAlreadyExists"),
            Error::BucketNotEmpty => {
                Self::new(409, "ResourceNotEmpty", "The bucket you tried to delete is not empty", "ResourceNotEmpty")
            }
            Error::AccessDenied => Self::denied(ROW_DENIED),
            Error::ObjectLocked => Self::denied("Access denied"),
            Error::ReadOnly => Self::denied("The bucket is read-only"),
            Error::Archived => {
                Self::new(409, "InvalidObjectState", "The object is archived in its storage", "InvalidObjectState")
            }
            Error::PreconditionFailed => Self::invalid("A precondition failed").plainly(412),
            Error::NotModified { .. } => Self::invalid("Not modified").plainly(304),
            Error::ConditionalConflict => Self::new(423, "ResourceLocked", "The resource is locked", "ResourceLocked"),
            Error::InvalidRange { .. } | Error::NoSuchPart => Self::range(),
            Error::Name(error) => Self::new(400, "InvalidKey", error.to_string(), "InvalidKey"),
            Error::TooLarge { .. } | Error::QuotaExceeded => Self::too_large(),
            Error::TypeRefused(kind) => Self::media_type(format!("mime type {kind} is not supported")),
            Error::Body(error) => body(error),
            Error::NoSpace => {
                Self::new(507, "InternalError", "The storage has no space left", "InternalError").plainly(507)
            }
            Error::NotAttached(why) => unavailable().caused_by(why.into()),
            Error::Unavailable(cause) => unavailable().caused_by(cause),
            Error::Internal(cause) => Self::internal().caused_by(cause),
            Error::Policy { state, source } => policy(&state).caused_by(source),
            Error::InvalidArgument { message, .. }
            | Error::InvalidRequest(message)
            | Error::InvalidBucketState(message) => Self::invalid(message),
            // What only other protocols can ask for.
            error @ (Error::AclWithOwnership
            | Error::AclNotSupported
            | Error::MalformedAcl
            | Error::MalformedPolicy(_)
            | Error::UnresolvableEmail
            | Error::InvalidTag(_)
            | Error::NoSuchObjectLock
            | Error::UnknownEncryptionKey
            | Error::InvalidPart { .. }
            | Error::InvalidPartOrder
            | Error::PartTooSmall { .. }
            | Error::BadDigest
            | Error::NotImplemented(_)) => Self::invalid(error.to_string()),
        }
    }
}

/// Of policies that fail by themselves. The words of the database are for the log: a value in them may be of a row that
/// the caller does not see.
fn policy(state: &str) -> Refusal {
    match state {
        "22P02" => Refusal::new(400, "InvalidParameter", "Invalid Parameter of a policy", "InvalidParameter"),
        "42P17" => {
            let code = "DatabaseInvalidObjectDefinition";
            Refusal::new(503, code, "A policy is not well defined, as one that asks for itself", code)
        }
        "42703" | "42P01" => {
            let code = "DatabaseSchemaMismatch";
            Refusal::new(503, code, "A policy names what is not there", code)
        }
        state => {
            let message = format!("database error, code: {state}");
            Refusal::new(500, "DatabaseError", message, "DatabaseError").plainly(500)
        }
    }
}

fn unavailable() -> Refusal {
    Refusal::new(503, "SlowDown", "The storage is not available now", "SlowDown").plainly(503)
}

fn body(error: BodyError) -> Refusal {
    match error {
        BodyError::TooLarge => Refusal::too_large(),
        BodyError::Gone => Refusal::new(499, "Request aborted", "Request aborted", "Aborted").plainly(499),
        error => Refusal::invalid(error.to_string()),
    }
}
