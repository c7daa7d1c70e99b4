//! Refusals as LoopBack 3 tells them: an object `error`, and of what is the server's fault no more than its status.
//!
//! **Invariant:** paths that are told are those of the interface, never of a storage; causes go to the log.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};

use super::Asked;
use super::format::{ErrorFormat, error_format};
use super::tree::{Tree, escaped};
use crate::auth::jwt::TokenError;
use crate::front::facts::RequestFacts;
use crate::front::wire::put;
use crate::model::causes::causes;
use crate::store::{BodyError, Error};

/// The result of what serves a request.
pub(super) type Result<T> = std::result::Result<T, Refusal>;

/// Why a request is not served.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    name: &'static str,
    message: Cow<'static, str>,
    code: Option<&'static str>,
    /// Bytes of the object whose range was asked for.
    size: Option<u64>,
    /// Whether it is told as a text and not as an object.
    bare: bool,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Refusal {
    pub(super) fn new(status: u16, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        Self { status, name: "Error", message, code: None, size: None, bare: false, cause: None }
    }

    pub(super) fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    pub(super) fn code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    fn caused_by(self, cause: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self { cause: Some(cause), ..self }
    }

    pub(super) fn undecoded(text: &str) -> Self {
        Self::new(400, format!("Failed to decode param '{text}'")).named("URIError")
    }

    pub(super) fn invalid_name(name: &str) -> Self {
        Self::new(500, format!("Invalid name: {name}"))
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(401, "Authorization Required").code("AUTHORIZATION_REQUIRED")
    }

    pub(super) fn invalid_token() -> Self {
        Self::new(401, "Invalid Access Token").code("INVALID_TOKEN")
    }

    /// Whether it says that a token does not count any more.
    pub(super) fn is_of_old_token(&self) -> bool {
        self.code == Some("INVALID_TOKEN")
    }

    /// The answer could not be written as the client wants it.
    pub(super) fn unacceptable() -> Self {
        Self { bare: true, ..Self::new(406, "Not Acceptable") }
    }

    /// The request has come by this server before.
    pub(super) fn circle() -> Self {
        Self::new(508, "Loop Detected").code("LOOP_DETECTED")
    }

    /// What is told to who shows no token: that one would be needed. `hides`: whatever the reason is.
    pub(super) fn for_nobody(self, hides: bool) -> Self {
        let told = [406, 412, 416, 503, 508].contains(&self.status) || self.cause.is_some();
        if self.status == 403 || (hides && !told) { Self::unauthorized() } else { self }
    }

    /// Writes the cause to the log.
    fn log(&self, facts: &RequestFacts) {
        let Some(cause) = &self.cause else { return };
        let text = causes(cause.as_ref());
        tracing::error!(request = facts.id().as_str(), status = self.status, cause = text, "a request failed");
    }

    fn tree(&self, open: bool) -> Tree {
        let status = Tree::Number(u64::from(self.status));
        if self.status >= 500 && !open {
            let reason = StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason());
            return Tree::object([("statusCode", status), ("message", Tree::text(reason.unwrap_or("Error")))]);
        }
        let message = Tree::text(self.message.clone());
        let mut tree = Tree::object([("statusCode", status), ("name", Tree::text(self.name)), ("message", message)]);
        if let Some(code) = self.code {
            tree.push("code", Tree::text(code));
        }
        tree
    }

    /// The answer.
    pub(super) fn answer(self, asked: &Asked) -> Response {
        self.log(&asked.facts);
        let tree = self.tree(asked.mount.debug || asked.fuller);
        let (kind, text) = match error_format(asked) {
            _ if self.bare => ("text/plain; charset=utf-8", self.message.clone().into_owned()),
            ErrorFormat::Json => ("application/json; charset=utf-8", Tree::object([("error", tree)]).json()),
            ErrorFormat::Html => ("text/html; charset=utf-8", page(&tree)),
            ErrorFormat::Xml => {
                let mut text = "<?xml version='1.0'?>".to_owned();
                tree.write_xml(&mut text, "error", 0, 4);
                ("text/xml; charset=utf-8", text)
            }
        };
        let length = text.len().to_string();
        let mut answer = Response::new(Body::from(text));
        *answer.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = answer.headers_mut();
        if !self.bare {
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        put(headers, CONTENT_LENGTH, &length);
        if let Some(size) = self.size {
            put(headers, CONTENT_RANGE, &format!("bytes */{size}"));
        }
        answer
    }
}

/// A refusal for people who look with a browser.
fn page(tree: &Tree) -> String {
    let member = |wanted: &str| match tree {
        Tree::Object(members) => {
            members.iter().find(|(name, _)| name == wanted).map_or(String::new(), |(_, value)| match value {
                Tree::Text(text) => escaped(text),
                value => escaped(&value.json()),
            })
        }
        _ => String::new(),
    };
    let (name, status, message, code) = (member("name"), member("statusCode"), member("message"), member("code"));
    let title = if name.is_empty() { &message } else { &name };
    let code = if code.is_empty() { code } else { format!("<div><b>code</b>: {code}</div>") };
    format!(
        "<html><head><meta charset='utf-8'><title>{title}</title></head><body><h1>{name}</h1>\
         <h2><em>{status}</em> {message}</h2>{code}</body></html>\n"
    )
}

/// What was tried, in the words that Node.js has for it.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    /// The system call that LoopBack would have made.
    call: &'static str,
    /// What it would have been about, in the names of the interface.
    path: String,
    /// The status of what is not there: LoopBack has two.
    missing: u16,
}

impl Attempt {
    /// To look at something.
    pub(super) fn look(path: String) -> Self {
        Self { call: "stat", path, missing: 404 }
    }

    /// To change something.
    pub(super) fn change(call: &'static str, path: String) -> Self {
        Self { call, path, missing: 500 }
    }

    fn failed(&self, status: u16, code: &'static str, text: &str) -> Refusal {
        Refusal::new(status, format!("{code}: {text}, {} '{}'", self.call, self.path)).code(code)
    }

    fn missing(&self) -> Refusal {
        self.failed(self.missing, "ENOENT", "no such file or directory")
    }

    /// Why it did not succeed.
    pub(super) fn refused(&self, error: Error) -> Refusal {
        match error {
            Error::NoSuchBucket
            | Error::NoSuchKey
            | Error::Deleted { .. }
            | Error::NoSuchVersion
            | Error::MarkerNamed { .. } => self.missing(),
            // What a caller may not see is not there.
            Error::AccessDenied if self.call == "stat" => self.missing(),
            Error::AccessDenied | Error::ObjectLocked => Refusal::new(403, "Access Denied").code("ACCESS_DENIED"),
            Error::BucketTaken | Error::BucketOwned => self.failed(500, "EEXIST", "file already exists"),
            Error::BucketNotEmpty => self.failed(500, "ENOTEMPTY", "directory not empty"),
            Error::ReadOnly => self.failed(500, "EROFS", "read-only file system"),
            Error::NoSpace => self.failed(500, "ENOSPC", "no space left on device"),
            Error::QuotaExceeded => self.failed(500, "EDQUOT", "disk quota exceeded"),
            Error::PreconditionFailed => Refusal::new(412, "Precondition Failed"),
            Error::ConditionalConflict => Refusal::new(409, "Conflict"),
            Error::Archived => Refusal::new(409, "The file is archived in its storage").code("ARCHIVED"),
            Error::NotModified { .. } => Refusal::new(304, "Not Modified"),
            Error::InvalidRange { size } => Refusal { size: Some(size), ..Refusal::new(416, "Range Not Satisfiable") },
            Error::TooLarge { bytes_max } => too_large(bytes_max),
            Error::TypeRefused(kind) => Refusal::new(500, format!("contentType \"{kind}\" is not allowed")),
            Error::Name(_) => Refusal::invalid_name(&self.path),
            Error::Body(error) => broken(error),
            Error::NotAttached(why) => unavailable(why.into()),
            Error::Unavailable(cause) => unavailable(cause),
            Error::Internal(cause) | Error::Policy { source: cause, .. } => {
                Refusal::new(500, "Internal Server Error").caused_by(cause)
            }
            Error::InvalidArgument { message, .. }
            | Error::InvalidRequest(message)
            | Error::InvalidBucketState(message) => Refusal::new(500, message),
            // What only other protocols can ask for.
            error @ (Error::NoSuchUpload
            | Error::NoSuchPart
            | Error::AclWithOwnership
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
            | Error::NotImplemented(_)) => Refusal::new(500, error.to_string()),
        }
    }
}

fn unavailable(cause: Box<dyn std::error::Error + Send + Sync>) -> Refusal {
    Refusal::new(503, "Service Unavailable").caused_by(cause)
}

pub(super) fn too_large(bytes_max: u64) -> Refusal {
    Refusal::new(500, format!("maxFileSize exceeded (max is {bytes_max})"))
}

/// Why a body cannot be read.
pub(super) fn broken(error: BodyError) -> Refusal {
    match error {
        BodyError::Timeout => Refusal::new(408, "Request Timeout"),
        BodyError::Gone => Refusal::new(400, "Request aborted").code("ECONNABORTED"),
        BodyError::TooLarge => Refusal::new(500, "maxFieldsSize exceeded"),
        _ => Refusal::new(500, "MultipartParser.end(): stream ended unexpectedly"),
    }
}

/// Why a token makes nobody, where that is told.
pub(super) fn token(error: TokenError) -> Refusal {
    match error {
        TokenError::Expired | TokenError::User => Refusal::invalid_token(),
        _ => Refusal::unauthorized(),
    }
}
