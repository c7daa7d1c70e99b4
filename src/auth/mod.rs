//! Who may do what, and what proves who asks.
//!
//! **Invariant:** [`decide::decide`] is the only function that says yes, for every front; where a catalog judges roles,
//! [`roles::decide`] says which questions are put to it.

pub mod decide;
mod grants;
pub mod jwt;
pub mod password;
pub mod policy;
pub mod roles;
pub mod secret;
pub mod service;
mod source;
pub mod users;

#[cfg(test)]
mod table;
