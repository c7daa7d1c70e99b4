//! Who may do what, and what proves who asks.
//!
//! **Invariant:** [`decide::decide`] is the only function that says yes, for every front.

pub mod decide;
mod grants;
pub mod jwt;
pub mod policy;
pub mod secret;
mod source;
pub mod users;

#[cfg(test)]
mod table;
