//! Longshore puts an S3 endpoint and REST storage APIs in front of the storage people already have.
//!
//! Imports run one way: `model` ← `provider`, `catalog` ← `auth` ← `store` ← `front` ← `server` ← `app`, `main`.

pub mod app;
pub mod auth;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod front;
pub mod metrics;
pub mod model;
pub mod provider;
pub mod server;
pub mod store;
