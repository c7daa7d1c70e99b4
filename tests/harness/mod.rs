//! The built server, started for a test.
