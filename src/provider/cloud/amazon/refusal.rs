//! What the answers mean that were not hoped for.
//!
//! **Invariant:** the code in the body decides where it is known, else the status; an answer of 200 whose body is an
//! error is an error.

use std::io;

use http::StatusCode;

use super::xml::Element;
use crate::provider::cloud::transport::{Reply, meaning};
use crate::provider::{Error, Result};

/// An answer that was not hoped for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// The service's word for it; empty if it told none, as for HEAD.
    pub(super) code: String,
    message: String,
    /// The region in which the container is, if that is the matter.
    region: String,
}

impl Refusal {
    /// Reads the body of an answer for it.
    pub(super) async fn read(reply: Reply) -> Self {
        let status = reply.status;
        let region = reply.header("x-amz-bucket-region").to_owned();
        let body = reply.bytes().await.unwrap_or_default();
        let mut refusal = Self::parse(status, &body);
        refusal.region = region;
        tracing::debug!(status = status.as_u16(), code = refusal.code, message = refusal.message, "S3 refuses");
        refusal
    }

    /// That of a body.
    pub(super) fn parse(status: StatusCode, body: &[u8]) -> Self {
        let error = Element::parse(body).ok().filter(|root| root.name == "Error").unwrap_or_default();
        let code = error.text("Code").trim().to_owned();
        let message: String = error.text("Message").chars().take(300).collect();
        Self { status, code, message, region: String::new() }
    }

    /// Whether the container is missing, and not only a name in it.
    pub(super) fn is_no_container(&self) -> bool {
        self.code == "NoSuchBucket"
    }

    /// Whether a body in blocks is not there.
    pub(super) fn is_no_upload(&self) -> bool {
        self.code == "NoSuchUpload"
    }

    /// Whether the service has not learnt what it was asked for, such as a condition.
    pub(super) fn is_unserved(&self) -> bool {
        self.status == StatusCode::NOT_IMPLEMENTED
    }

    /// Whether another request came between, and the same one may succeed at once.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self.code.as_str(), "ConditionalRequestConflict" | "OperationAborted")
    }

    fn cause(&self) -> io::Error {
        let Self { status, code, message, region } = self;
        let region = if region.is_empty() { String::new() } else { format!(" (the container is in {region:?})") };
        io::Error::other(format!("S3 answered {} {code:?} {message:?}{region}", status.as_u16()))
    }

    /// What it means.
    pub(super) fn error(&self) -> Error {
        match self.code.as_str() {
            "NoSuchKey" | "NoSuchBucket" | "NoSuchUpload" => Error::NotFound,
            "PreconditionFailed" | "InvalidRange" | "NotModified" => Error::StampMismatch,
            "BucketAlreadyExists" | "BucketAlreadyOwnedByYou" => Error::AlreadyExists,
            "BucketNotEmpty" => Error::NotEmpty,
            "QuotaExceeded" | "XMinioStorageFull" | "ServiceQuotaExceededException" => Error::NoSpace,
            "AccessDenied"
            | "SignatureDoesNotMatch"
            | "InvalidAccessKeyId"
            | "ExpiredToken"
            | "InvalidToken"
            | "RequestTimeTooSkewed"
            | "AccountProblem"
            | "AllAccessDisabled" => {
                tracing::warn!(code = self.code, message = self.message, "S3 refuses access");
                Error::Denied
            }
            "SlowDown"
            | "InternalError"
            | "ServiceUnavailable"
            | "RequestTimeout"
            | "BadDigest"
            | "OperationAborted"
            | "ConditionalRequestConflict"
            | "XAmzContentSHA256Mismatch"
            | "IncompleteBody" => Error::Unavailable(self.cause()),
            // No matter of who asks. The second is said of the source of a copy.
            "InvalidObjectState" | "ObjectNotInActiveTierError" => Error::Archived,
            _ if matches!(self.status.as_u16(), 404 | 410 | 304 | 412 | 416 | 401 | 403 | 507) => {
                meaning(self.status, "")
            }
            _ if matches!(self.status.as_u16(), 408 | 425 | 429 | 500 | 502..=504) => Error::Unavailable(self.cause()),
            _ => Error::Failed(self.cause()),
        }
    }
}

/// The answer, if its status is one of success.
///
/// # Errors
/// What another one means.
pub(super) async fn expect(reply: Reply) -> Result<Reply> {
    if reply.status.is_success() { Ok(reply) } else { Err(Refusal::read(reply).await.error()) }
}

/// The body of a success as XML.
///
/// # Errors
/// What another answer means, also if it came with a status of success.
pub(super) async fn document(reply: Reply) -> std::result::Result<Element, Refused> {
    if !reply.status.is_success() {
        return Err(Refused::Answer(Refusal::read(reply).await));
    }
    let body = reply.bytes().await?;
    let root = Element::parse(&body)?;
    if root.name == "Error" {
        // It came after the status was sent, so it is one of the service's own failures unless its code says else.
        return Err(Refused::Answer(Refusal::parse(StatusCode::INTERNAL_SERVER_ERROR, &body)));
    }
    Ok(root)
}

/// Why there is no document.
#[derive(Debug)]
pub(super) enum Refused {
    /// The service said so.
    Answer(Refusal),
    /// There was no answer, or none that can be read.
    Error(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Answer(refusal) => refusal.error(),
            Refused::Error(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, code: &str) -> Error {
        let body = format!("<Error><Code>{code}</Code><Message>m</Message></Error>");
        Refusal::parse(StatusCode::from_u16(status).expect("a status"), body.as_bytes()).error()
    }

    #[test]
    fn codes_go_before_statuses() {
        assert!(matches!(error(409, "BucketNotEmpty"), Error::NotEmpty));
        assert!(matches!(error(409, "BucketAlreadyOwnedByYou"), Error::AlreadyExists));
        assert!(matches!(error(409, "OperationAborted"), Error::Unavailable(_)));
        assert!(matches!(error(400, "ExpiredToken"), Error::Denied));
        assert!(matches!(error(403, "QuotaExceeded"), Error::NoSpace));
        assert!(matches!(error(403, "InvalidObjectState"), Error::Archived));
        assert!(matches!(error(403, "ObjectNotInActiveTierError"), Error::Archived));
        assert!(matches!(error(403, "Anything"), Error::Denied));
        assert!(matches!(error(412, ""), Error::StampMismatch));
        assert!(matches!(error(404, "NoSuchUpload"), Error::NotFound));
        assert!(matches!(error(501, "NotImplemented"), Error::Failed(_)));
        assert!(matches!(error(503, "Odd"), Error::Unavailable(_)));
    }

    #[test]
    fn no_body_and_no_xml() {
        for body in ["", "<html><p>oops", "<Other/>"] {
            let refusal = Refusal::parse(StatusCode::NOT_FOUND, body.as_bytes());
            assert_eq!(refusal.code, "");
            assert!(matches!(refusal.error(), Error::NotFound));
        }
    }
}
