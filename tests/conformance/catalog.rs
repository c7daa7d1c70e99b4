//! Catalog suite.
