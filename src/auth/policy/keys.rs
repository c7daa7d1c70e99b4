//! Condition keys: the facts of a request that policies ask for.
//!
//! **Invariant:** a key that this build cannot know the value of is refused, unless its absence is its true value.

use crate::auth::policy::Malformed;

/// A condition key. Keys match in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// `aws:SourceIp`.
    SourceIp,
    /// `aws:SecureTransport`.
    SecureTransport,
    /// `aws:CurrentTime`.
    CurrentTime,
    /// `aws:EpochTime`.
    EpochTime,
    /// `aws:PrincipalArn`.
    PrincipalArn,
    /// `aws:PrincipalType`.
    PrincipalType,
    /// `aws:username`.
    UserName,
    /// `aws:userid`.
    UserId,
    /// `jwt:role`: that of the caller's token.
    Role,
    /// `jwt:sub`: of whom the caller's token speaks.
    Subject,
    /// `s3:ResourceAccount`.
    ResourceAccount,
    /// `s3:ExistingObjectTag/…`, with the key of the tag as it was written.
    ExistingTag(String),
    /// `s3:RequestObjectTag/…`, likewise.
    RequestTag(String),
    /// One that the front fills in, in lower case.
    Sent(String),
}

/// What the front may fill in of the protocol, beside the headers.
const SENT: [&str; 13] = [
    "s3:if-match",
    "s3:prefix",
    "s3:delimiter",
    "s3:max-keys",
    "s3:versionid",
    "s3:requestobjecttagkeys",
    "s3:authtype",
    "s3:signatureversion",
    "s3:object-lock-mode",
    "s3:object-lock-retain-until-date",
    "s3:object-lock-remaining-retention-days",
    "s3:object-lock-legal-hold",
    "s3:if-none-match",
];

impl Key {
    /// Reads a key.
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        let lower = text.to_ascii_lowercase();
        Ok(match lower.as_str() {
            "aws:sourceip" => Self::SourceIp,
            "aws:securetransport" => Self::SecureTransport,
            "aws:currenttime" => Self::CurrentTime,
            "aws:epochtime" => Self::EpochTime,
            "aws:principalarn" => Self::PrincipalArn,
            "aws:principaltype" => Self::PrincipalType,
            "aws:username" => Self::UserName,
            "aws:userid" => Self::UserId,
            "jwt:role" => Self::Role,
            "jwt:sub" => Self::Subject,
            "s3:resourceaccount" | "aws:resourceaccount" => Self::ResourceAccount,
            other => match other.strip_prefix("s3:") {
                // What Longshore has not, such as a VPC or a second factor, is absent in truth.
                None if other.len() > 4 && other.starts_with("aws:") => Self::Sent(lower),
                Some(rest) if rest.starts_with("existingobjecttag/") && rest.len() > 18 => {
                    Self::ExistingTag(text["s3:ExistingObjectTag/".len()..].to_owned())
                }
                Some(rest) if rest.starts_with("requestobjecttag/") && rest.len() > 17 => {
                    Self::RequestTag(text["s3:RequestObjectTag/".len()..].to_owned())
                }
                Some(rest) if rest.starts_with("x-amz-") || SENT.contains(&other) => Self::Sent(lower),
                _ => return Err(Malformed::new(format!("the condition key {text:?} is not known"))),
            },
        })
    }

    /// Whether a fixed value of it keeps the public out.
    pub(super) fn narrows(&self) -> bool {
        const SENT: [&str; 11] = [
            "aws:sourcearn",
            "aws:sourcevpc",
            "aws:sourcevpce",
            "aws:sourceaccount",
            "aws:sourceowner",
            "aws:sourceorgid",
            "aws:principalorgid",
            "aws:principalorgpaths",
            "aws:principalaccount",
            "aws:calledvia",
            "s3:x-amz-server-side-encryption-aws-kms-key-id",
        ];
        match self {
            Self::SourceIp | Self::PrincipalArn | Self::UserId | Self::UserName | Self::Subject => true,
            Self::Sent(key) => SENT.contains(&key.as_str()),
            _ => false,
        }
    }
}
