//! Provider suite.
