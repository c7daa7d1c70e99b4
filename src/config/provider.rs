//! Placeholder until the configuration of providers is merged.

use std::path::PathBuf;
use std::time::Duration;

/// How a service is talked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportConfig {
    /// For a connection to be made.
    pub connect_timeout: Duration,
    /// For an answer to begin, and between two blocks of a body.
    pub read_timeout: Duration,
    /// Most requests under way.
    pub concurrency_max: usize,
    /// Most further tries of a request that failed.
    pub retries_max: u32,
    /// Certificates to trust instead of those of the system.
    pub ca_bundle: Option<PathBuf>,
}
