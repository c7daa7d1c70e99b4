//! Object storages as providers.

mod breaker;
pub mod google;
pub mod payload;
pub mod service;
pub mod transport;
