//! `provider = "google"`: Google Cloud Storage.
//!
//! **Invariant:** a service account comes as the JSON of its key, from wherever it was given; none means what the machine
//! offers.

use std::path::PathBuf;

use super::{GoogleConfig, GoogleCredentials, address};
use crate::auth::secret::Secret;
use crate::config::section::Section;

pub(super) fn read(section: &mut Section<'_>) -> Option<GoogleConfig> {
    let project_id = section.one(&["projectId", "project_id"]);
    let endpoint = address(section, &["endpoint"]);
    let account = section.secret_or_file(&["service_account_key"], &["keyFilename", "service_account_file"]);
    let default = section.one(&["application_credentials"]).map(PathBuf::from);
    if let Some(account) = account.as_ref().filter(|account| !is_object(account)) {
        // One that cannot be read was reported, and is empty.
        if !account.expose().is_empty() {
            section.problem("service_account_key", "it is not the JSON of a service account's key");
        }
    }
    if let Some(file) = default.as_deref().filter(|file| !file.is_file()) {
        section.problem("application_credentials", &format!("{} is no file", file.display()));
    }
    let credentials = match (account, default) {
        (Some(account), None) => GoogleCredentials::ServiceAccount(account),
        (None, Some(file)) => GoogleCredentials::ApplicationDefault(file),
        (None, None) => GoogleCredentials::Ambient,
        (Some(_), Some(_)) => {
            section.problem("application_credentials", "the service account says who we are already");
            return None;
        }
    };
    Some(GoogleConfig { credentials, project_id, endpoint })
}

fn is_object(account: &Secret) -> bool {
    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(account.expose()).is_ok()
}
