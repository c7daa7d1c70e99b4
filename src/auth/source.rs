//! What decided, in words for an operator.
//!
//! **Invariant:** it names rules, never contents: no value of a condition, a tag or a header is told.

use std::fmt;

use crate::auth::decide::Source;

impl Source {
    /// Its kind, for programs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::ServiceRole => "service_role",
            Self::UserPolicy { .. } => "user_policy",
            Self::UnreadableUserPolicy => "unreadable_user_policy",
            Self::BucketPolicy { .. } => "bucket_policy",
            Self::UnreadableBucketPolicy => "unreadable_bucket_policy",
            Self::PublicBucket => "public_bucket",
            Self::BucketAcl => "bucket_acl",
            Self::ObjectAcl => "object_acl",
            Self::ObjectOwner => "object_owner",
            Self::AnotherOwner => "another_owner",
            Self::PublicAccessBlock => "public_access_block",
            Self::Group => "group",
            Self::Nothing => "nothing",
        }
    }

    /// The statement's name and its place in its document, from 1.
    #[must_use]
    pub fn statement(&self) -> Option<(Option<&str>, usize)> {
        match self {
            Self::UserPolicy { sid, index } | Self::BucketPolicy { sid, index } => Some((sid.as_deref(), index + 1)),
            _ => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "the caller is root",
            Self::ServiceRole => "the caller's token is of the service",
            Self::UserPolicy { .. } => "the user's policy",
            Self::UnreadableUserPolicy => "the user's policy cannot be read",
            Self::BucketPolicy { .. } => "the bucket's policy",
            Self::UnreadableBucketPolicy => "the bucket's policy cannot be read",
            Self::PublicBucket => "the bucket is public",
            Self::BucketAcl => "a grant of the bucket's access control list",
            Self::ObjectAcl => "a grant of the object's access control list",
            Self::ObjectOwner => "the caller owns the object",
            Self::AnotherOwner => "the object's owner has not granted it to the bucket's owner",
            Self::PublicAccessBlock => "the bucket blocks public access",
            Self::Group => "a group of the bucket's FileStore",
            Self::Nothing => "nothing allows it",
        })?;
        match self.statement() {
            None => Ok(()),
            Some((None, number)) => write!(f, ", statement {number}"),
            Some((Some(sid), number)) => write!(f, ", statement {number} ({})", sid.escape_debug()),
        }
    }
}
