//! What the service's codes mean.
//!
//! **Invariant:** a condition that was not met is told from everything else that has the same status.

use std::io;

use crate::provider::cloud::transport::Reply;
use crate::provider::{Error, Result};

/// A blob of another type lies at the name: it can be written over by none but its own.
#[derive(Debug, thiserror::Error)]
#[error("the service refuses: a blob of another type is there")]
struct OtherType;

/// What an answer that was not hoped for means.
pub(super) async fn refusal(reply: Reply) -> Error {
    let code = reply.header("x-ms-error-code").to_owned();
    let Some(meant) = meaning(&code) else { return reply.refusal().await };
    tracing::debug!(code, "the service refuses");
    if code == "SnapshotsPresent" {
        tracing::warn!("a blob with snapshots is not removed, as they would go with it: remove them first");
    }
    // What it says more is not needed, but the connection is to be used again.
    let _ = reply.bytes().await;
    meant
}

/// What a code means that says more than the status it comes with.
fn meaning(code: &str) -> Option<Error> {
    let refused = || io::Error::other(format!("the service refuses: {code}"));
    Some(match code {
        "ContainerAlreadyExists" => Error::AlreadyExists,
        "BlobAlreadyExists" => Error::StampMismatch,
        // The account is closed to writes, or the blob to everybody but the holder of its lease; or what somebody keeps of
        // the blob would go with it.
        "LeaseIdMissing"
        | "LeaseIdMismatchWithBlobOperation"
        | "LeaseIdMismatchWithContainerOperation"
        | "BlobImmutableDueToPolicy"
        | "BlobImmutableDueToLegalHold"
        | "SnapshotsPresent"
        | "InsufficientAccountPermissions" => Error::Denied,
        "BlobArchived" | "BlobBeingRehydrated" => Error::Archived,
        "InvalidBlobType" => Error::Failed(io::Error::other(OtherType)),
        "BlobTypeMismatch" | "BlobOverwritten" => Error::Failed(refused()),
        // Another commit of the same name took the blocks away.
        "InvalidBlockList" => Error::Unavailable(refused()),
        _ => return None,
    })
}

/// Whether a write was refused because a blob of another type lies at its name.
pub(super) fn is_other_type(error: &Error) -> bool {
    matches!(error, Error::Failed(cause) if cause.get_ref().is_some_and(|cause| cause.is::<OtherType>()))
}

/// An answer of this status, or what it means.
pub(super) async fn expect(reply: Reply, status: u16) -> Result<Reply> {
    if reply.status.as_u16() == status { Ok(reply) } else { Err(refusal(reply).await) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_have_one_status_mean_different_things() {
        let meant = |code: &str| meaning(code).expect("known");
        assert!(matches!(meant("BlobAlreadyExists"), Error::StampMismatch));
        assert!(matches!(meant("ContainerAlreadyExists"), Error::AlreadyExists));
        assert!(matches!(meant("SnapshotsPresent"), Error::Denied));
        assert!(matches!(meant("LeaseIdMissing"), Error::Denied));
        assert!(matches!(meant("BlobArchived"), Error::Archived));
        assert!(matches!(meant("BlobBeingRehydrated"), Error::Archived));
        assert!(matches!(meant("InvalidBlockList"), Error::Unavailable(_)));
        assert!(is_other_type(&meant("InvalidBlobType")));
        assert!(!is_other_type(&meant("BlobTypeMismatch")) && !is_other_type(&Error::Archived));
        assert!(meaning("ServerBusy").is_none() && meaning("").is_none());
    }
}
