//! Who may do what, and what proves who asks.

pub mod secret;
