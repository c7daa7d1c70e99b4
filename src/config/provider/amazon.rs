//! `provider = "amazon"`: Amazon S3, or a service that speaks its protocol.
//!
//! **Invariant:** `key` is the secret and `keyId` the access key id, as `LoopBack` has it; one without the other is
//! refused, and none means what the environment offers.

use super::{AmazonConfig, AmazonCredentials, address};
use crate::config::section::Section;

pub(super) fn read(section: &mut Section<'_>) -> Option<AmazonConfig> {
    let id = section.one(&["keyId", "accessKeyId", "access_key_id", "key_id"]);
    let secret = section.secret(&["key", "accessKey", "secret_access_key"]);
    let session_token = section.secret(&["session_token", "sessionToken"]);
    let region = section.one(&["region"]);
    let endpoint = address(section, &["endpoint"]);
    let path_style = section.boolean("path_style").or(section.boolean("forcePathBucket"));
    let unsigned_payload = section.boolean("unsigned_payload");
    let credentials = match (id, secret) {
        (Some(id), Some(secret)) => Some(AmazonCredentials::Key { id, secret, session_token }),
        (None, None) => {
            if session_token.is_some() {
                section.problem("session_token", "it belongs to a key, and there is none");
            }
            Some(AmazonCredentials::Ambient)
        }
        (Some(_), None) => {
            section.problem("key", "keyId needs it: it is the secret of the access key");
            None
        }
        (None, Some(_)) => {
            section.problem("keyId", "key needs it: it is the id of the access key");
            None
        }
    };
    let plain = endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    Some(AmazonConfig {
        credentials: credentials?,
        region,
        path_style: path_style.unwrap_or(endpoint.is_some()),
        unsigned_payload: unsigned_payload.unwrap_or(!plain),
        endpoint,
    })
}
