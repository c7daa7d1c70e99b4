//! The properties that the fuzz targets hold. `tests/model` holds them over the seeds, so that they run with every test.

pub mod front;
pub mod properties;
#[path = "../../harness/sign.rs"]
#[allow(dead_code, reason = "a signer for all tests")]
mod sign;
