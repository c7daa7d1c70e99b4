//! Secrets for the verification of signatures.
//!
//! **Invariant:** a secret that cannot be read just now is never told as a key that is not known: a client would give
//! up its key. No secret is in a log.

use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Error, S3ErrorCode, S3Result};

use super::mount::Keys;

/// Tells the secret of an access key.
pub(super) struct Secrets(pub(super) Keys);

#[async_trait::async_trait]
impl S3Auth for Secrets {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        match self.0.secret_of(access_key).await {
            Ok(Some(secret)) => Ok(SecretKey::from(secret.expose())),
            Ok(None) => Err(S3Error::new(S3ErrorCode::InvalidAccessKeyId)),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a secret could not be read");
                Err(S3Error::new(S3ErrorCode::ServiceUnavailable))
            }
        }
    }
}
