//! `provider = "azure"`: Azure Blob Storage.
//!
//! **Invariant:** at most one of key, signature, token and application says who we are; none means what the machine
//! offers.

use super::{AzureConfig, AzureCredentials, address};
use crate::config::section::Section;

pub(super) fn read(section: &mut Section<'_>) -> Option<AzureConfig> {
    let account = section.one(&["storageAccount", "storage_account", "account"]);
    let endpoint = endpoint(section, account.as_deref());
    let key = section.secret(&["storageAccessKey", "storage_access_key", "access_key"]);
    let sas = section.secret(&["sas_token", "sasToken"]);
    let bearer = section.secret(&["bearer_token"]);
    let tenant_id = section.one(&["tenant_id", "tenantId"]);
    let client_id = section.one(&["client_id", "clientId"]);
    let client_secret = section.secret(&["client_secret", "clientSecret"]);
    let client = match (tenant_id, client_id, client_secret) {
        (Some(tenant_id), Some(client_id), Some(client_secret)) => {
            Some(AzureCredentials::Client { tenant_id, client_id, client_secret })
        }
        (None, None, None) => None,
        _ => {
            section.problem("client_id", "tenant_id, client_id and client_secret go together");
            return None;
        }
    };
    let mut given: Vec<AzureCredentials> = [
        key.map(AzureCredentials::AccessKey),
        sas.map(AzureCredentials::SasToken),
        bearer.map(AzureCredentials::BearerToken),
        client,
    ]
    .into_iter()
    .flatten()
    .collect();
    let credentials = given.pop().unwrap_or(AzureCredentials::Ambient);
    if !given.is_empty() {
        section.problem("storageAccessKey", "one of storageAccessKey, sas_token, bearer_token and client_id is enough");
    }
    if account.is_none() {
        section.problem("storageAccount", "azure needs it");
    }
    Some(AzureConfig { account: account?, credentials, endpoint })
}

/// `LoopBack` says a part of the host's name, and the scheme apart.
fn endpoint(section: &mut Section<'_>, account: Option<&str>) -> Option<String> {
    let endpoint = address(section, &["endpoint"]);
    let servers = section.one(&["serversUrl"]);
    let protocol = section.one(&["protocol"]).unwrap_or_else(|| "https://".to_owned());
    match (endpoint, servers, account) {
        (Some(endpoint), servers, _) => {
            if servers.is_some() {
                section.problem("serversUrl", "it says the same as endpoint: one of them is enough");
            }
            Some(endpoint)
        }
        (None, Some(servers), Some(account)) => {
            let scheme = protocol.trim_end_matches("://");
            let url = format!("{scheme}://{account}.{}", servers.trim_end_matches('/'));
            if !super::is_address(&url) {
                section.problem("serversUrl", "expected a part of a host's name such as \"blob.core.windows.net\"");
            }
            Some(url)
        }
        (None, _, _) => None,
    }
}
