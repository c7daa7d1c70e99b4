//! Encryption at rest: what is asked for, and what a row keeps of it.
//!
//! **Invariant:** no type here holds a key of a client or of this server in the clear, but [`CustomerKey`], which lives
//! for one request and is never written or logged.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A key that the client sends with each request (SSE-C). Compared by its MD5 alone.
#[derive(Clone, PartialEq, Eq)]
pub struct CustomerKey {
    key: [u8; 32],
    /// Base64 of its MD5, as the client sends it and answers repeat it.
    pub md5: String,
}

impl CustomerKey {
    /// A key with the base64 of its MD5; whoever makes one has compared the two.
    #[must_use]
    pub fn new(key: [u8; 32], md5: String) -> Self {
        Self { key, md5 }
    }

    /// The key, for the cipher.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.key
    }
}

impl fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomerKey({})", self.md5)
    }
}

/// Whose key seals the data key of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// This server's master key (SSE-S3, `AES256`).
    Server,
    /// A named key of the configuration (SSE-KMS, `aws:kms`).
    Named(String),
    /// The client's, known by the base64 of its MD5 (SSE-C).
    Customer(String),
}

/// How the bytes of an object are encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealing {
    /// Whose key.
    pub scheme: Scheme,
    /// The data key, sealed by it; base64.
    pub data_key: String,
    /// `x-amz-server-side-encryption-aws-kms-key-id` as answers repeat it, `x-amz-server-side-encryption-context` not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bucket_key: bool,
}

/// What a write asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum EncryptionRequest {
    /// What the bucket says.
    #[default]
    Default,
    /// `AES256`.
    Server,
    /// `aws:kms`, with the key's name if one was given.
    Named(Option<String>),
    /// The client's own key.
    Customer(CustomerKey),
}

/// What a bucket says of writes that ask for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultEncryption {
    /// `None`: `AES256`; else `aws:kms` with this key, or with the default one if it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<String>,
    /// Echoed.
    #[serde(default)]
    pub bucket_key: bool,
}
