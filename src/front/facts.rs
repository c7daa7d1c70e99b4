//! What is known of a request while it is served: filled in by the front, read by the request log and the metrics.
//!
//! **Invariant:** nothing in here is a secret, a signature or a token.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
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
    origin: OnceLock<(IpAddr, bool)>,
    panicked: AtomicBool,
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
            origin: OnceLock::new(),
            panicked: AtomicBool::new(false),
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

    /// Notes where the request came from, and whether over TLS.
    pub fn set_origin(&self, address: IpAddr, secure: bool) {
        let _ = self.0.origin.set((address.to_canonical(), secure));
    }

    /// Notes that serving the request ended in a panic: whoever counts them need not have caught it.
    pub fn set_panicked(&self) {
        self.0.panicked.store(true, Ordering::Relaxed);
    }

    /// Whether serving the request ended in a panic.
    #[must_use]
    pub fn has_panicked(&self) -> bool {
        self.0.panicked.load(Ordering::Relaxed)
    }

    /// Where the request came from.
    #[must_use]
    pub fn peer(&self) -> Option<IpAddr> {
        self.0.origin.get().map(|(address, _)| *address)
    }

    /// Whether the client asked over TLS, as a proxy says whose word counts.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.0.origin.get().is_some_and(|(_, secure)| *secure)
    }

    /// The scheme of addresses of this server, as the client asks it.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.is_secure() { "https" } else { "http" }
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
