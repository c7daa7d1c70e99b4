//! Suites that belong to the traits; every implementation runs the whole list.

mod catalog;
mod provider;
pub(crate) mod store;
