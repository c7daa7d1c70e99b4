//! Memory as a provider.
