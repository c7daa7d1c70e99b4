//! The words every layer shares: names, objects, records, conditions, ranges, pages, actions, callers.
//!
//! **Invariant:** nothing here does I/O or is async, and a value of one of these types has passed its checks: below a
//! front no `&str` is a key. Parsing happens once, at the edge.

pub mod acl;
pub mod action;
pub mod bucket;
pub mod caller;
pub mod causes;
pub mod checksum;
pub mod condition;
pub mod context;
pub mod cors;
pub mod encryption;
pub mod file_system;
pub mod id;
pub mod item;
pub mod lifecycle;
pub mod lock;
pub mod logging;
pub mod name;
pub mod network;
pub mod notification;
pub mod object;
pub mod page;
pub mod pattern;
pub mod place;
pub mod range;
pub mod record;
pub mod secret;
pub mod service;
pub mod tag;
pub mod task;
pub mod time;
pub mod upload;
pub mod versioning;
pub mod website;
