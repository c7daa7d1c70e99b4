//! The protocols. A front parses, calls the store, renders; it never names another front, a provider or a catalog.

pub mod facts;
pub mod ops;
pub mod s3;
