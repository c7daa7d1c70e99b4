//! What the store refuses, by meaning. Each front has one exhaustive match from here to its protocol's codes.
//!
//! **Invariant:** nothing of the inside (paths, SQL, hosts, secrets) is in a variant that a front prints; causes are
//! sources, and go to the log.

use tokio::task::JoinError;

use crate::catalog;
use crate::model::name::NameError;
use crate::model::tag::InvalidTags;
use crate::model::task::TaskError;
use crate::model::time::Timestamp;
use crate::model::versioning::VersionRef;
use crate::provider;

/// Why a body could not be taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It ended before the declared length, or went on after it.
    #[error("the body does not have the declared length")]
    Incomplete,
    /// It exceeds the limit.
    #[error("the body is too large")]
    TooLarge,
    /// A chunk or trailer signature does not match.
    #[error("a chunk signature does not match")]
    Signature,
    /// It differs from the signed SHA-256.
    #[error("the body differs from its signed hash")]
    SignedHash,
    /// Its framing or trailer is malformed.
    #[error("the body is malformed")]
    Malformed,
    /// The announced trailer did not come or is not well formed.
    #[error("the announced trailer is missing or malformed")]
    Trailer,
    /// The client went away.
    #[error("the client went away")]
    Gone,
    /// The client sent nothing for too long.
    #[error("the client sent nothing for too long")]
    Timeout,
}

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bucket is not there.
    #[error("the bucket does not exist")]
    NoSuchBucket,
    /// The key is not there.
    #[error("the key does not exist")]
    NoSuchKey,
    /// The key's current version is a delete marker.
    #[error("the key was deleted")]
    Deleted {
        /// The marker.
        version: VersionRef,
    },
    /// The version is not there.
    #[error("the version does not exist")]
    NoSuchVersion,
    /// The version that was named is a delete marker, which has nothing to read or to attach to.
    #[error("the version is a delete marker")]
    MarkerNamed {
        /// The marker.
        version: VersionRef,
        /// When it was made.
        modified: Timestamp,
    },
    /// The upload is not there.
    #[error("the upload does not exist")]
    NoSuchUpload,
    /// The bucket name is taken by somebody else.
    #[error("the bucket name is taken")]
    BucketTaken,
    /// The caller has this bucket already.
    #[error("the bucket is yours already")]
    BucketOwned,
    /// The bucket still has objects.
    #[error("the bucket is not empty")]
    BucketNotEmpty,
    /// What is asked for does not go with what the bucket is set to.
    #[error("{0}")]
    InvalidBucketState(&'static str),
    /// The bucket's list grants others something, and lists are to stop to count.
    #[error("the access control list of the bucket grants others")]
    AclWithOwnership,
    /// Lists do not count in this bucket.
    #[error("the bucket takes no access control lists")]
    AclNotSupported,
    /// A list names too many.
    #[error("the access control list is malformed")]
    MalformedAcl,
    /// A bucket policy that is not understood, or speaks of something else.
    #[error("the bucket policy is malformed: {0}")]
    MalformedPolicy(String),
    /// No user has this e-mail address, or several have it.
    #[error("no single user has the e-mail address")]
    UnresolvableEmail,
    /// Tags that cannot be.
    #[error(transparent)]
    InvalidTag(#[from] InvalidTags),
    /// A version is held by object lock.
    #[error("the version is held by object lock")]
    ObjectLocked,
    /// The object never had the retention or legal hold that is asked for.
    #[error("the object has no such lock")]
    NoSuchObjectLock,
    /// The bucket may not hold so much.
    #[error("the quota of the bucket is used up")]
    QuotaExceeded,
    /// The decision is no.
    #[error("access denied")]
    AccessDenied,
    /// There is no key of this name to encrypt or decrypt with.
    #[error("there is no encryption key of this name")]
    UnknownEncryptionKey,
    /// A condition does not hold.
    #[error("a precondition failed")]
    PreconditionFailed,
    /// Another request won a race on this key.
    #[error("a conflicting request is in progress")]
    ConditionalConflict,
    /// What the client has is current.
    #[error("not modified")]
    NotModified {
        /// The ETag without quotes.
        etag: String,
        /// Last-Modified.
        modified: Timestamp,
        /// Cache-Control, if the object has one.
        cache_control: Option<String>,
    },
    /// The range lies outside the object.
    #[error("the range is not satisfiable")]
    InvalidRange {
        /// Bytes of the object.
        size: u64,
    },
    /// The part number of a read is not one of the object's.
    #[error("no such part")]
    NoSuchPart,
    /// A name breaks the rules.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An argument is wrong.
    #[error("{message}")]
    InvalidArgument {
        /// Its name on the wire.
        name: &'static str,
        /// A sentence for the client.
        message: &'static str,
    },
    /// The request does not fit together.
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// A listed part is missing or has another ETag or checksum.
    #[error("a listed part is not as it was uploaded")]
    InvalidPart {
        /// Its number.
        number: u32,
    },
    /// The listed parts do not ascend.
    #[error("the parts do not ascend")]
    InvalidPartOrder,
    /// A part other than the last is too small.
    #[error("a part is too small")]
    PartTooSmall {
        /// Its number.
        number: u32,
        /// Its bytes.
        size: u64,
        /// Its ETag.
        etag: String,
    },
    /// The bucket does not take objects of this type.
    #[error("mime type {0} is not supported")]
    TypeRefused(String),
    /// The object or part exceeds a limit.
    #[error("the object is too large")]
    TooLarge {
        /// The limit in bytes.
        bytes_max: u64,
    },
    /// The checksum or MD5 sent differs from that of the body.
    #[error("a checksum does not match the body")]
    BadDigest,
    /// The body could not be taken in.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// Not built.
    #[error("{0} is not implemented")]
    NotImplemented(&'static str),
    /// No space is left.
    #[error("no space is left")]
    NoSpace,
    /// The bucket takes no writes.
    #[error("the bucket is read-only")]
    ReadOnly,
    /// The storage has put the bytes away, and gives none of them out before somebody has them restored there.
    #[error("the object is archived in its storage")]
    Archived,
    /// The storage of the bucket could not be attached yet.
    #[error("{0}")]
    NotAttached(&'static str),
    /// The catalog's own policies fail by themselves.
    #[error("the policies of the catalog fail")]
    Policy {
        /// The state by which the database tells why: five characters of the SQL standard.
        state: String,
        /// For the log.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Storage or catalog do not answer now; a later try may succeed.
    #[error("the storage is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Anything else. The source is for the log.
    #[error("an internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A result of the store.
pub type Result<T> = std::result::Result<T, Error>;

impl From<catalog::Error> for Error {
    fn from(error: catalog::Error) -> Self {
        match error {
            catalog::Error::NoSpace => Self::NoSpace,
            catalog::Error::QuotaExceeded => Self::QuotaExceeded,
            catalog::Error::Denied | catalog::Error::NoRoles => Self::AccessDenied,
            catalog::Error::Policy { state, source } => Self::Policy { state, source },
            error if error.retryable() => Self::Unavailable(error.into()),
            error => Self::Internal(error.into()),
        }
    }
}

impl From<JoinError> for Error {
    fn from(error: JoinError) -> Self {
        Self::Internal(TaskError::from(error).into())
    }
}

impl From<provider::Error> for Error {
    fn from(error: provider::Error) -> Self {
        match error {
            provider::Error::NoSpace => Self::NoSpace,
            provider::Error::ReadOnly => Self::ReadOnly,
            provider::Error::Archived => Self::Archived,
            // Whoever expects absence asks for it; all others have lost what they were working on to somebody else.
            error @ (provider::Error::NotFound | provider::Error::StampMismatch) => Self::Unavailable(error.into()),
            error if error.retryable() => Self::Unavailable(error.into()),
            error => Self::Internal(error.into()),
        }
    }
}
