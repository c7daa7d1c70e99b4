//! Access control lists, with the canned ones.
//!
//! **Invariant:** an [`Acl`] says who is granted what beside the owner, whose right to it never ends; who the owner is
//! stands in the row of the bucket or object.

use serde::{Deserialize, Serialize};

/// Most grants of one list.
pub const GRANTS_MAX: usize = 100;

/// Who is granted something.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Grantee {
    /// A user, by canonical id.
    #[serde(rename = "user")]
    User(String),
    /// Everyone, also without a name.
    #[serde(rename = "all")]
    AllUsers,
    /// Everyone who has signed.
    #[serde(rename = "authenticated")]
    AuthenticatedUsers,
    /// The writer of access logs.
    #[serde(rename = "logs")]
    LogDelivery,
}

/// What is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Permission {
    /// List a bucket; read an object.
    Read,
    /// Write and delete the objects of a bucket.
    Write,
    /// Read the list.
    ReadAcp,
    /// Change the list.
    WriteAcp,
    /// All of them.
    FullControl,
}

/// One grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// To whom.
    #[serde(rename = "g")]
    pub grantee: Grantee,
    /// What.
    #[serde(rename = "p")]
    pub permission: Permission,
}

/// The grants of a bucket or object, in the order given. The owner's own full control is a grant like any other, and may
/// be left out of a list that is set; the owner may still read and change the list then.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Acl(pub Vec<Grant>);

/// The lists that have names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Canned {
    /// `private`.
    Private,
    /// `public-read`.
    PublicRead,
    /// `public-read-write`.
    PublicReadWrite,
    /// `authenticated-read`.
    AuthenticatedRead,
    /// `bucket-owner-read`.
    BucketOwnerRead,
    /// `bucket-owner-full-control`.
    BucketOwnerFullControl,
    /// `aws-exec-read`.
    AwsExecRead,
    /// `log-delivery-write`, of buckets.
    LogDeliveryWrite,
}

impl Canned {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Private, "private"),
        (Self::PublicRead, "public-read"),
        (Self::PublicReadWrite, "public-read-write"),
        (Self::AuthenticatedRead, "authenticated-read"),
        (Self::BucketOwnerRead, "bucket-owner-read"),
        (Self::BucketOwnerFullControl, "bucket-owner-full-control"),
        (Self::AwsExecRead, "aws-exec-read"),
        (Self::LogDeliveryWrite, "log-delivery-write"),
    ];

    /// From its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, text)| *text == name).map(|(canned, _)| canned)
    }

    /// The grants it stands for, for what `owner` owns in a bucket of `bucket_owner`.
    #[must_use]
    pub fn grants(self, owner: &str, bucket_owner: &str) -> Acl {
        let full = |user: &str| Grant { grantee: Grantee::User(user.to_owned()), permission: Permission::FullControl };
        let to = |grantee, permission| Grant { grantee, permission };
        let mut grants = vec![full(owner)];
        match self {
            Self::Private | Self::AwsExecRead => {}
            Self::PublicRead => grants.push(to(Grantee::AllUsers, Permission::Read)),
            Self::PublicReadWrite => {
                grants.push(to(Grantee::AllUsers, Permission::Read));
                grants.push(to(Grantee::AllUsers, Permission::Write));
            }
            Self::AuthenticatedRead => grants.push(to(Grantee::AuthenticatedUsers, Permission::Read)),
            Self::BucketOwnerRead if owner != bucket_owner => {
                grants.push(to(Grantee::User(bucket_owner.to_owned()), Permission::Read));
            }
            Self::BucketOwnerFullControl if owner != bucket_owner => grants.push(full(bucket_owner)),
            Self::BucketOwnerRead | Self::BucketOwnerFullControl => {}
            Self::LogDeliveryWrite => {
                grants.push(to(Grantee::LogDelivery, Permission::Write));
                grants.push(to(Grantee::LogDelivery, Permission::ReadAcp));
            }
        }
        Acl(grants)
    }
}

impl Acl {
    /// Whether it grants anything to everyone, or to everyone who has signed.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.0.iter().any(|grant| matches!(grant.grantee, Grantee::AllUsers | Grantee::AuthenticatedUsers))
    }

    /// Whether it grants anything to somebody else than `owner`.
    #[must_use]
    pub fn grants_others(&self, owner: &str) -> bool {
        self.0.iter().any(|grant| !matches!(&grant.grantee, Grantee::User(user) if user == owner))
    }
}
