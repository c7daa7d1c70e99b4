//! A directory as a provider.
