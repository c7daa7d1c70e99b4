//! What the store refuses, in the words of S3.
//!
//! One exhaustive match leads from [`crate::store::Error`] to code, status, sentence and elements. A refusal carries its cause
//! for the log only.
//!
//! **Invariant:** nothing of the inside is in a [`Refusal`] but its cause, which is never printed to a client.

use std::borrow::Cow;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_RANGE, ETAG, LAST_MODIFIED};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::config::limits::PART_BYTES_MIN;
use crate::model::causes::causes;
use crate::model::name::NameError;
use crate::model::time::Timestamp;
use crate::model::versioning::VersionRef;
use crate::store::{BodyError, Error};

/// A result of a handler.
pub(super) type Result<T> = std::result::Result<T, Refusal>;

/// Why a request was refused, as the client is told.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The code, such as `NoSuchKey`.
    pub(super) code: Cow<'static, str>,
    /// The status.
    pub(super) status: StatusCode,
    /// The sentence.
    pub(super) message: Cow<'static, str>,
    /// The elements that belong to this code.
    pub(super) elements: Vec<(&'static str, String)>,
    /// Headers of the answer.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// For the log.
    pub(super) cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Refusal {
    /// With a code and a sentence.
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code: Cow::Borrowed(code),
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            message: message.into(),
            elements: Vec::new(),
            headers: Vec::new(),
            cause: None,
        }
    }

    /// 400 InvalidRequest.
    pub(super) fn request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, "InvalidRequest", message)
    }

    /// 400 InvalidArgument.
    pub(super) fn argument(name: &'static str, value: &str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, "InvalidArgument", message).with("ArgumentName", name).with("ArgumentValue", value)
    }

    /// 501 NotImplemented.
    pub(super) fn not_implemented(what: &str) -> Self {
        Self::new(501, "NotImplemented", format!("{what} is not implemented."))
    }

    /// 403 AccessDenied.
    pub(super) fn denied(message: &'static str) -> Self {
        Self::new(403, "AccessDenied", message)
    }

    /// 400 MalformedXML.
    pub(super) fn malformed_xml() -> Self {
        Self::new(400, "MalformedXML", MALFORMED_XML)
    }

    /// 500 InternalError.
    pub(super) fn internal() -> Self {
        Self::new(500, "InternalError", "We encountered an internal error. Please try again.")
    }

    /// With one element more.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.elements.push((name, value.into()));
        self
    }

    fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    fn caused_by(mut self, cause: Box<dyn std::error::Error + Send + Sync>) -> Self {
        self.cause = Some(cause);
        self
    }

    /// The cause with its own causes, for the log.
    pub(super) fn cause_text(&self) -> Option<String> {
        self.cause.as_deref().map(|cause| causes(cause))
    }
}

const BUCKET_TAKEN: &str = "The requested bucket name is not available. The bucket namespace is shared by all users of \
                            the system. Please select a different name and try again.";

/// The sentence of AWS; that of s3s is its documentation.
pub(super) const MALFORMED_XML: &str =
    "The XML you provided was not well-formed or did not validate against our published schema";

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::NoSuchBucket => Self::new(404, "NoSuchBucket", "The specified bucket does not exist"),
            Error::NoSuchKey => Self::new(404, "NoSuchKey", "The specified key does not exist."),
            Error::NoSuchVersion => no_such_version(),
            Error::Deleted { version } => deleted(version),
            Error::MarkerNamed { version, modified } => marker_named(version, modified),
            Error::NoSuchUpload => no_such_upload(),
            Error::BucketTaken => Self::new(409, "BucketAlreadyExists", BUCKET_TAKEN),
            Error::BucketOwned => bucket_owned(),
            Error::BucketNotEmpty => Self::new(409, "BucketNotEmpty", "The bucket you tried to delete is not empty"),
            Error::InvalidBucketState(message) => Self::new(409, "InvalidBucketState", message),
            Error::AclWithOwnership => acl_with_ownership(),
            Error::AclNotSupported => acl_not_supported(),
            Error::MalformedAcl => malformed_acl(),
            Error::MalformedPolicy(message) => Self::new(400, "MalformedPolicy", message),
            Error::UnresolvableEmail => unresolvable_email(),
            Error::InvalidTag(error) => Self::new(400, "InvalidTag", error.to_string()),
            Error::ObjectLocked => Self::denied("Access Denied because object protected by object lock."),
            Error::NoSuchObjectLock => no_such_object_lock(),
            Error::QuotaExceeded => Self::new(403, "QuotaExceeded", "The bucket may not hold as much."),
            Error::AccessDenied => Self::denied("Access Denied"),
            Error::UnknownEncryptionKey => {
                Self::new(400, "KMS.NotFoundException", "There is no encryption key of this name.")
            }
            Error::PreconditionFailed => {
                Self::new(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
            }
            Error::ConditionalConflict => conditional_conflict(),
            Error::NotModified { etag, modified, cache_control } => {
                not_modified(&etag, modified, cache_control.as_deref())
            }
            Error::InvalidRange { size } => invalid_range(size),
            Error::NoSuchPart => {
                Self::new(400, "InvalidPart", "The requested part number is not one of the object's parts.")
            }
            Error::Name(error) => name(error),
            Error::InvalidArgument { name, message } => {
                Self::new(400, "InvalidArgument", message).with("ArgumentName", name)
            }
            Error::InvalidRequest(message) => Self::request(message),
            Error::InvalidPart { number } => invalid_part(number),
            Error::InvalidPartOrder => invalid_part_order(),
            Error::PartTooSmall { number, size, etag } => part_too_small(number, size, &etag),
            Error::TooLarge { bytes_max } => too_large().with("MaxSizeAllowed", bytes_max.to_string()),
            Error::TypeRefused(kind) => Self::new(415, "InvalidMimeType", format!("mime type {kind} is not supported")),
            Error::BadDigest => bad_digest(),
            Error::Body(error) => body(error),
            Error::NotImplemented(what) => Self::not_implemented(what),
            Error::NoSpace => Self::new(507, "InsufficientStorage", "The storage has no space left for this request."),
            Error::ReadOnly => Self::denied("The bucket is read-only."),
            Error::Archived => {
                Self::new(403, "InvalidObjectState", "The operation is not valid for the object's storage class")
            }
            Error::NotAttached(why) => {
                Self::new(503, "ServiceUnavailable", "The storage of the bucket is not available now.")
                    .caused_by(why.into())
            }
            Error::Unavailable(cause) => {
                Self::new(503, "SlowDown", "Please reduce your request rate.").caused_by(cause)
            }
            Error::Internal(cause) | Error::Policy { source: cause, .. } => Self::internal().caused_by(cause),
        }
    }
}

/// 404 NoSuchKey, and that a delete marker is why.
fn deleted(marker: VersionRef) -> Refusal {
    Refusal::from(Error::NoSuchKey)
        .header(HeaderName::from_static("x-amz-delete-marker"), "true")
        .header(HeaderName::from_static("x-amz-version-id"), &marker.to_string())
}

/// 409 BucketAlreadyOwnedByYou.
fn bucket_owned() -> Refusal {
    Refusal::new(
        409,
        "BucketAlreadyOwnedByYou",
        "Your previous request to create the named bucket succeeded and you already own it.",
    )
}

/// 409 ConditionalRequestConflict.
fn conditional_conflict() -> Refusal {
    Refusal::new(
        409,
        "ConditionalRequestConflict",
        "A conflicting conditional operation is currently in progress against this resource. Please try again.",
    )
}

/// 416 InvalidRange.
fn invalid_range(size: u64) -> Refusal {
    Refusal::new(416, "InvalidRange", "The requested range is not satisfiable")
        .with("ActualObjectSize", size.to_string())
        .header(CONTENT_RANGE, &format!("bytes */{size}"))
}

/// 404 NoSuchVersion.
pub(super) fn no_such_version() -> Refusal {
    Refusal::new(404, "NoSuchVersion", "The specified version does not exist.")
}

/// 404 NoSuchUpload.
pub(super) fn no_such_upload() -> Refusal {
    Refusal::new(
        404,
        "NoSuchUpload",
        "The specified multipart upload does not exist. The upload ID might be invalid, or the multipart upload might \
         have been aborted or completed.",
    )
}

/// 405 MethodNotAllowed, with the methods that are.
pub(super) fn wrong_method(method: &Method, resource: &'static str, allowed: &str) -> Refusal {
    not_allowed().with("Method", method.as_str()).with("ResourceType", resource).header(ALLOW, allowed)
}

fn not_allowed() -> Refusal {
    Refusal::new(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
}

/// 405 MethodNotAllowed: of a delete marker nothing can be done but to delete it.
fn marker_named(version: VersionRef, modified: Timestamp) -> Refusal {
    not_allowed()
        .with("ResourceType", "DeleteMarker")
        .header(ALLOW, "DELETE")
        .header(LAST_MODIFIED, &http_date(modified))
        .header(HeaderName::from_static("x-amz-delete-marker"), "true")
        .header(HeaderName::from_static("x-amz-version-id"), &version.to_string())
}

/// 400 InvalidBucketAclWithObjectOwnership.
fn acl_with_ownership() -> Refusal {
    Refusal::new(
        400,
        "InvalidBucketAclWithObjectOwnership",
        "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
    )
}

/// 400 AccessControlListNotSupported.
fn acl_not_supported() -> Refusal {
    Refusal::new(400, "AccessControlListNotSupported", "The bucket does not allow ACLs")
}

/// 400 MalformedACLError.
pub(super) fn malformed_acl() -> Refusal {
    Refusal::new(
        400,
        "MalformedACLError",
        "The XML you provided was not well-formed or did not validate against our published schema",
    )
}

/// 400 UnresolvableGrantByEmailAddress.
fn unresolvable_email() -> Refusal {
    Refusal::new(
        400,
        "UnresolvableGrantByEmailAddress",
        "The e-mail address you provided does not match any account on record.",
    )
}

/// 404 NoSuchObjectLockConfiguration.
fn no_such_object_lock() -> Refusal {
    Refusal::new(404, "NoSuchObjectLockConfiguration", "The specified object does not have a ObjectLock configuration")
}

fn too_large() -> Refusal {
    Refusal::new(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
}

fn invalid_part(number: u32) -> Refusal {
    Refusal::new(
        400,
        "InvalidPart",
        "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified \
         entity tag may not match the part's entity tag.",
    )
    .with("PartNumber", number.to_string())
}

fn invalid_part_order() -> Refusal {
    Refusal::new(
        400,
        "InvalidPartOrder",
        "The list of parts was not in ascending order. Parts must be ordered by part number.",
    )
}

fn bad_digest() -> Refusal {
    Refusal::new(
        400,
        "BadDigest",
        "The Content-MD5 or checksum value that you specified did not match what the server received.",
    )
}

fn part_too_small(number: u32, size: u64, etag: &str) -> Refusal {
    Refusal::new(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
        .with("ProposedSize", size.to_string())
        .with("MinSizeAllowed", PART_BYTES_MIN.to_string())
        .with("PartNumber", number.to_string())
        .with("ETag", etag)
}

fn not_modified(etag: &str, modified: Timestamp, cache_control: Option<&str>) -> Refusal {
    let refusal = Refusal::new(304, "NotModified", "Not Modified")
        .header(ETAG, &format!("\"{etag}\""))
        .header(LAST_MODIFIED, &http_date(modified));
    match cache_control {
        Some(value) => refusal.header(CACHE_CONTROL, value),
        None => refusal,
    }
}

fn http_date(at: Timestamp) -> String {
    const IMF_FIXDATE: &[time::format_description::BorrowedFormatItem<'_>] = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    at.to_utc().format(IMF_FIXDATE).unwrap_or_default()
}

fn name(error: NameError) -> Refusal {
    match error {
        NameError::TooLong => Refusal::new(400, "KeyTooLongError", "Your key is too long"),
        NameError::Empty => Refusal::new(400, "InvalidArgument", "A name must not be empty."),
        NameError::Forbidden => Refusal::new(400, "InvalidArgument", "The name holds a character that is not allowed."),
        NameError::Reserved => Refusal::new(400, "InvalidArgument", "Names under .longshore are reserved."),
    }
}

/// 400 for a body that could not be taken in.
pub(super) fn body(error: BodyError) -> Refusal {
    match error {
        BodyError::Incomplete | BodyError::Gone => Refusal::new(
            400,
            "IncompleteBody",
            "You did not provide the number of bytes specified by the Content-Length HTTP header",
        ),
        BodyError::TooLarge => too_large(),
        BodyError::Signature => Refusal::new(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your key and \
             signing method.",
        ),
        BodyError::SignedHash => Refusal::new(
            400,
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        ),
        BodyError::Malformed => Refusal::request("The framing of the body is malformed."),
        BodyError::Trailer => Refusal::new(
            400,
            "MalformedTrailerError",
            "The request contained trailing data that was not well-formed or did not conform to our published schema.",
        ),
        BodyError::Timeout => Refusal::new(
            400,
            "RequestTimeout",
            "Your socket connection to the server was not read from or written to within the timeout period.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_for_the_log_only() {
        let refusal = Refusal::from(Error::Internal("open /secret/path".into()));
        assert_eq!((refusal.status.as_u16(), &*refusal.code), (500, "InternalError"));
        assert!(!refusal.message.contains("secret"));
        assert_eq!(refusal.cause_text().as_deref(), Some("open /secret/path"));
    }

    #[test]
    fn answers_carry_what_their_codes_ask_for() {
        let headers = |refusal: &Refusal| -> Vec<(String, String)> {
            let text = |value: &HeaderValue| value.to_str().expect("text").to_owned();
            refusal.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let range = Refusal::from(Error::InvalidRange { size: 7 });
        assert_eq!(headers(&range), [pair("content-range", "bytes */7")]);
        assert_eq!(range.elements, [("ActualObjectSize", "7".to_owned())]);
        let modified = Timestamp::from_parts(784_111_777, 999);
        let same = Refusal::from(Error::NotModified { etag: "e".into(), modified, cache_control: Some("no".into()) });
        assert_eq!(
            headers(&same),
            [
                pair("etag", "\"e\""),
                pair("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
                pair("cache-control", "no"),
            ]
        );
    }
}
