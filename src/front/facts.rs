//! What is known of a request while it is served: filled in by the front, read by the request log and the metrics.
//!
//! **Invariant:** nothing in here is a secret, a signature or a token.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use crate::model::id::RequestId;

/// Shared between the listener, which puts it into the request's extensions, and the front that fills it in.
#[derive(Debug, Clone)]
pub struct RequestFacts(Arc<Cells>);

#[derive(Debug)]
struct Cells {
    id: RequestId,
    operation: OnceLock<&'static str>,
    caller: OnceLock<String>,
    bucket: OnceLock<String>,
    key: OnceLock<String>,
    peer: OnceLock<IpAddr>,
}

impl Default for RequestFacts {
    fn default() -> Self {
        Self::new(RequestId::fresh())
    }
}

impl RequestFacts {
    /// Of a request that begins.
    #[must_use]
    pub fn new(id: RequestId) -> Self {
        let cells = Cells {
            id,
            operation: OnceLock::new(),
            caller: OnceLock::new(),
            bucket: OnceLock::new(),
            key: OnceLock::new(),
            peer: OnceLock::new(),
        };
        Self(Arc::new(cells))
    }

    /// The request's id.
    #[must_use]
    pub fn id(&self) -> &RequestId {
        &self.0.id
    }

    /// Notes the operation, such as `GetObject`. The first one stays.
    pub fn set_operation(&self, operation: &'static str) {
        let _ = self.0.operation.set(operation);
    }

    /// Notes the canonical id of the caller.
    pub fn set_caller(&self, caller: &str) {
        let _ = self.0.caller.set(caller.to_owned());
    }

    /// Notes what the request is about.
    pub fn set_target(&self, bucket: &str, key: Option<&str>) {
        let _ = self.0.bucket.set(bucket.to_owned());
        if let Some(key) = key {
            let _ = self.0.key.set(key.to_owned());
        }
    }

    /// Notes where the request came from.
    pub fn set_peer(&self, address: IpAddr) {
        let _ = self.0.peer.set(address.to_canonical());
    }

    /// Where the request came from.
    #[must_use]
    pub fn peer(&self) -> Option<IpAddr> {
        self.0.peer.get().copied()
    }

    /// The operation, if the front got as far as knowing it.
    #[must_use]
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation.get().copied()
    }

    /// The caller, if its credential was verified.
    #[must_use]
    pub fn caller(&self) -> Option<&str> {
        self.0.caller.get().map(String::as_str)
    }

    /// The bucket.
    #[must_use]
    pub fn bucket(&self) -> Option<&str> {
        self.0.bucket.get().map(String::as_str)
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.0.key.get().map(String::as_str)
    }
}
