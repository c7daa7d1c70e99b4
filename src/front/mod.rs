//! The protocols. A front parses, calls the store, renders; it never names another front, a provider or a catalog.

mod bearer;
pub mod facts;
mod form;
pub mod ops;
pub mod s3;
pub mod supabase;
