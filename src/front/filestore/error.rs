//! Refusals, as clients of the FileStore interface know them.
//!
//! Its Python client tries again what was answered by 503 and 504, with a body that is used up by then, and takes what is
//! above 505 for a result. So a server that cannot answers 500, and a full one 413.
//!
//! **Invariant:** an answer tells a word, names of parameters and nothing of the inside; causes go to the log.

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::front::bearer::BearerError;
use crate::front::facts::RequestFacts;
use crate::model::causes::causes;
use crate::store::{BodyError, Error, ItemError};

/// Why a request is refused.
#[derive(Debug)]
pub(super) struct Refusal {
    status: u16,
    message: &'static str,
    invalid: Vec<String>,
    result: Value,
    allow: Option<&'static str>,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// A result of the front.
pub(super) type Result<T> = std::result::Result<T, Refusal>;

impl Refusal {
    pub(super) fn new(status: u16, message: &'static str) -> Self {
        Self { status, message, invalid: Vec::new(), result: Value::Bool(false), allow: None, cause: None }
    }

    /// A parameter is wrong.
    pub(super) fn invalid(name: &str) -> Self {
        Self::new(422, "invalid_parameter").naming(vec![name.to_owned()])
    }

    /// These are.
    pub(super) fn naming(self, invalid: Vec<String>) -> Self {
        Self { invalid, ..self }
    }

    /// The method is not one of these.
    pub(super) fn method(allow: &'static str) -> Self {
        Self { allow: Some(allow), ..Self::new(405, "method_not_allowed") }
    }

    /// Of a function whose result is a number.
    pub(super) fn counting(mut self) -> Self {
        if self.result == Value::Bool(false) {
            self.result = 0.into();
        }
        self
    }

    /// The same, unless it is about something else: a parameter that the path did not name.
    pub(super) fn about(mut self, name: &str) -> Self {
        if self.invalid == ["path"] {
            self.invalid = vec![name.to_owned()];
        }
        self
    }

    pub(super) fn not_found() -> Self {
        Self::new(404, "not_found")
    }

    pub(super) fn forbidden() -> Self {
        Self::new(403, "forbidden")
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(401, "unauthorized")
    }

    /// Others are served first, for longer than one waits.
    pub(super) fn busy() -> Self {
        Self::new(429, "too_many_requests")
    }

    fn failure(cause: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self { cause: Some(cause), ..Self::new(500, "service_failure") }
    }

    /// The answer.
    pub(super) fn answer(self, facts: &RequestFacts) -> Response {
        if let Some(cause) = &self.cause {
            let text = causes(cause.as_ref());
            tracing::error!(request = facts.id().as_str(), status = self.status, cause = text, "a request failed");
        }
        let mut body = json!({ "result": self.result, "message": self.message });
        if !self.invalid.is_empty() {
            body["invalid"] = self.invalid.into();
        }
        let mut answer = json(StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &body);
        if let Some(allow) = self.allow {
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        answer
    }
}

/// An answer in JSON.
pub(super) fn json(status: StatusCode, body: &Value) -> Response {
    let mut answer = (status, Body::from(body.to_string())).into_response();
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// A result.
pub(super) fn result(value: impl Into<Value>) -> Response {
    json(StatusCode::OK, &json!({ "result": value.into() }))
}

impl From<BearerError> for Refusal {
    fn from(error: BearerError) -> Self {
        match error {
            BearerError::Token(_) => Self::unauthorized(),
            BearerError::Store(error) => error.into(),
        }
    }
}

impl From<ItemError> for Refusal {
    fn from(error: ItemError) -> Self {
        match error {
            ItemError::Store(error) => error.into(),
            ItemError::Exists => Self::new(409, "exists"),
            ItemError::NotEmpty => Self::new(422, "not_empty"),
            ItemError::NotDirectory => Self::new(422, "not_a_directory").naming(vec!["path".to_owned()]),
            ItemError::NotFile => Self::new(422, "not_a_file"),
            ItemError::Path => Self::new(422, "invalid_path").naming(vec!["path".to_owned()]),
            ItemError::Inside => Self::invalid("newpath"),
            ItemError::TooManyLevels => Self::new(413, "too_many_levels"),
            ItemError::TooManyItems => Self::new(413, "too_many_items"),
            ItemError::TooManyGrants => Self::new(413, "storage_limit"),
            ItemError::NoSuchUser => Self::new(422, "unknown_user"),
            ItemError::Cut { removed, source } => {
                let refusal = Self::from(source);
                let failed = Self { status: 500, message: "service_failure", ..refusal };
                Self { result: removed.into(), ..failed }
            }
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::NoSuchBucket
            | Error::NoSuchKey
            | Error::Deleted { .. }
            | Error::NoSuchVersion
            | Error::MarkerNamed { .. } => Self::not_found(),
            Error::AccessDenied | Error::ObjectLocked | Error::ReadOnly => Self::forbidden(),
            Error::QuotaExceeded | Error::TooLarge { .. } => Self::new(413, "storage_limit"),
            Error::TypeRefused(_) => Self::invalid("mime"),
            Error::Name(_) => Self::invalid("path"),
            Error::PreconditionFailed => Self::new(412, "precondition_failed"),
            Error::NotModified { .. } => Self::new(304, "not_modified"),
            Error::InvalidRange { .. } | Error::NoSuchPart => Self::new(416, "invalid_range"),
            Error::ConditionalConflict => Self::new(409, "conflict"),
            Error::Archived => Self::new(409, "archived"),
            Error::BucketTaken | Error::BucketOwned | Error::BucketNotEmpty => Self::new(409, "exists"),
            Error::Body(error) => error.into(),
            Error::Unavailable(cause) | Error::Internal(cause) | Error::Policy { source: cause, .. } => {
                Self::failure(cause)
            }
            error @ (Error::NoSpace | Error::NotAttached(_)) => Self::failure(error.into()),
            // What only other protocols can ask for.
            error @ (Error::NoSuchUpload
            | Error::InvalidBucketState(_)
            | Error::AclWithOwnership
            | Error::AclNotSupported
            | Error::MalformedAcl
            | Error::MalformedPolicy(_)
            | Error::UnresolvableEmail
            | Error::InvalidTag(_)
            | Error::NoSuchObjectLock
            | Error::UnknownEncryptionKey
            | Error::InvalidArgument { .. }
            | Error::InvalidRequest(_)
            | Error::InvalidPart { .. }
            | Error::InvalidPartOrder
            | Error::PartTooSmall { .. }
            | Error::BadDigest
            | Error::NotImplemented(_)) => Self { cause: Some(error.into()), ..Self::new(422, "invalid_parameter") },
        }
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::new(413, "storage_limit"),
            BodyError::Malformed => Self::invalid("contents"),
            BodyError::Incomplete
            | BodyError::Gone
            | BodyError::Timeout
            | BodyError::Signature
            | BodyError::SignedHash
            | BodyError::Trailer => Self::new(400, "incomplete_body"),
        }
    }
}
