//! What must not happen, asked of the built server: one table per kind of attack.
//!
//! The names of the tests say the rule; the rows say how it is attacked. A row that goes wrong names itself.
//!
//! **Invariant:** a refused or cut request leaves nothing visible and no temporary file. [`site::Site`] looks at the
//! whole directory before and after, so that a row need not know where something could be left.

mod bodies;
mod connections;
mod cut;
mod derived;
mod forwarded;
mod heads;
mod leaks;
mod links;

mod names;
mod operations;
mod proxies;
mod rights;
mod secrets;
mod signatures;
mod site;
mod tls;
mod unreadable;
mod users;
pub(crate) mod wire;
mod xml;
