//! Configuration: file, then environment, then flags; read once at start.

pub mod limits;
