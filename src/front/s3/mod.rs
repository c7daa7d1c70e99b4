//! The S3 protocol, on s3s. Only this module names s3s.
