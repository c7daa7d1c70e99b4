//! Listeners, limits, request log, drain: what stands between a socket and a front.
//!
//! A listener accepts, bounds and counts connections ([`listener`], [`io`]); an [`Exchange`] runs one request through a
//! front, whatever happens in there ([`exchange`]), what passes is counted and logged when it ended
//! ([`body`]), and what an early answer left unread is read for a while ([`linger`]).
//!
//! **Invariant:** every request that reached a front is answered and logged once, also if the front panics; no client
//! holds anything by doing nothing; after [`listener::Listener::serve`] returned, no request is under way.

pub mod body;
pub mod exchange;
pub mod fronts;
pub mod io;
pub mod linger;
pub mod listener;
pub mod log;
pub mod origin;

pub use body::{AnswerBody, CountedBody};
pub use exchange::{Exchange, Front, Peer};
pub use listener::Listener;
pub use origin::Proxies;
