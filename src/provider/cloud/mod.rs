//! Object storages as providers.

mod breaker;
pub mod payload;
pub mod service;
pub mod swift;
pub mod transport;
