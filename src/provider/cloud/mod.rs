//! Object storages as providers.

pub mod amazon;
mod breaker;
pub mod payload;
pub mod service;
pub mod transport;
