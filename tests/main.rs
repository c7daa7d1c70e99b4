//! One test binary: the built server against real clients, and the conformance suites of the traits.

mod architecture;
mod cli;
mod conformance;
mod fault;
mod filestore;
mod fronts;
mod harness;
mod loopback;
mod model;
mod s3;
mod security;
mod supabase;
