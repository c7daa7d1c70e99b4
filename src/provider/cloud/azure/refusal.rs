//! What the service's codes mean.
//!
//! **Invariant:** a condition that was not met is told from everything else that has the same status.

use std::io;

use crate::provider::cloud::transport::Reply;
use crate::provider::{Error, Result};

/// What an answer that was not hoped for means.
pub(super) async fn refusal(reply: Reply) -> Error {
    let code = reply.header("x-ms-error-code").to_owned();
    let refused = || io::Error::other(format!("the service refuses: {code}"));
    let meant = match code.as_str() {
        "ContainerAlreadyExists" => Error::AlreadyExists,
        "BlobAlreadyExists" => Error::StampMismatch,
        // The account is closed to writes, or the blob to everybody but the holder of its lease.
        "LeaseIdMissing"
        | "LeaseIdMismatchWithBlobOperation"
        | "LeaseIdMismatchWithContainerOperation"
        | "BlobImmutableDueToPolicy"
        | "BlobImmutableDueToLegalHold"
        | "InsufficientAccountPermissions" => Error::Denied,
        "BlobArchived" | "InvalidBlobType" | "BlobTypeMismatch" | "BlobOverwritten" => Error::Failed(refused()),
        // Another commit of the same name took the blocks away.
        "InvalidBlockList" => Error::Unavailable(refused()),
        _ => return reply.refusal().await,
    };
    tracing::debug!(code, "the service refuses");
    // What it says more is not needed, but the connection is to be used again.
    let _ = reply.bytes().await;
    meant
}

/// An answer of this status, or what it means.
pub(super) async fn expect(reply: Reply, status: u16) -> Result<Reply> {
    if reply.status.as_u16() == status { Ok(reply) } else { Err(refusal(reply).await) }
}
