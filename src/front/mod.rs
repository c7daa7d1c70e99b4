//! The protocols, and what they have in common.
//!
//! **Invariant:** a front parses, calls the store and renders. It never names another front, a provider or a catalog.

mod bearer;
mod dates;
pub mod facts;
pub mod filestore;
mod form;
pub mod loopback;
pub mod ops;
pub mod s3;
pub mod supabase;
mod turn;
mod wire;
