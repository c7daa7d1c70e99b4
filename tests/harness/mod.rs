//! The built server, started for a test, and a client that shares no code with it.
//!
//! **Invariant:** a test's server has directories, ports and credentials of its own, so tests run in parallel and in any
//! order; it is killed by its own handle when the test ends, and its log is printed only if the test failed.

#![allow(dead_code, unused_imports, reason = "each suite uses another part of it")]

pub(crate) mod backends;
pub(crate) mod client;
pub(crate) mod postgres;
pub(crate) mod report;
pub(crate) mod server;
pub(crate) mod sign;
pub(crate) mod strace;

pub(crate) use backends::{Backend, fresh_name};
pub(crate) use client::{Answer, Call, Client};
pub(crate) use report::{has_tool, report, skipped};
pub(crate) use server::{Options, Server, longshore};
pub(crate) use sign::{Auth, Keys, Payload, Signed};
pub(crate) use strace::{Strace, Syscall};
