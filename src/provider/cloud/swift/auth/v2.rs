//! Identity v2.0: a password, or the API key of a Rackspace account.
//!
//! Without a tenant some services give a token without a catalog; then the first tenant that is enabled is asked for.
//!
//! **Invariant:** what proves who asks is in the body or a header and never in the address, which is logged. Where no
//! address of the storage is configured, it is that of an `object-store` at the configured interface, and of nothing
//! else in the catalog.

use std::io;

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::endpoint::{Endpoint, choose};
use super::{Grant, until};
use crate::model::secret::Secret;
use crate::model::time::Timestamp;
use crate::provider::cloud::transport::{Call, failed};
use crate::provider::settings::{Reference, SwiftConfig, SwiftInterface};
use crate::provider::{Error, Result};

/// What proves who asks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Proof<'a> {
    Password(&'a Secret),
    ApiKey(&'a Secret),
}

#[derive(Deserialize)]
struct Answer {
    access: Access,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Access {
    token: Token,
    #[serde(default)]
    service_catalog: Vec<Service>,
    #[serde(default)]
    user: User,
}

#[derive(Deserialize)]
struct Token {
    id: String,
    #[serde(default)]
    expires: String,
}

#[derive(Deserialize, Default)]
struct User {
    #[serde(rename = "RAX-AUTH:defaultRegion")]
    region: Option<String>,
}

#[derive(Deserialize)]
struct Service {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    endpoints: Vec<Addresses>,
}

#[derive(Deserialize)]
struct Addresses {
    #[serde(default)]
    region: Option<String>,
    #[serde(rename = "publicURL")]
    public: Option<String>,
    #[serde(rename = "internalURL")]
    internal: Option<String>,
    #[serde(rename = "adminURL")]
    admin: Option<String>,
}

#[derive(Deserialize)]
struct Tenants {
    tenants: Vec<Tenant>,
}

#[derive(Deserialize)]
struct Tenant {
    id: String,
    #[serde(default)]
    enabled: Option<bool>,
}

/// What an answer says.
pub(super) enum Said {
    Granted(Grant),
    /// The token is for no tenant.
    Unscoped(Secret),
}

pub(super) fn ask(url: &str, username: &str, proof: Proof<'_>, tenant: Option<&Reference>) -> Result<Call> {
    let mut auth = match proof {
        Proof::Password(password) => {
            json!({"passwordCredentials": {"username": username, "password": password.expose()}})
        }
        Proof::ApiKey(key) => {
            json!({"RAX-KSKEY:apiKeyCredentials": {"username": username, "apiKey": key.expose()}})
        }
    };
    match tenant {
        Some(Reference::Id(id)) => auth["tenantId"] = Value::from(id.as_str()),
        Some(Reference::Name(name)) => auth["tenantName"] = Value::from(name.as_str()),
        None => {}
    }
    let call = Call::new(Method::POST, format!("{url}/tokens")).body(json!({ "auth": auth }).to_string().into());
    call.header("content-type", "application/json")?.header("accept", "application/json")
}

/// Reads an answer that came at `now` by the clock of the service.
pub(super) fn said(text: &[u8], config: &SwiftConfig, now: Timestamp) -> Result<Said> {
    let answer: Answer = serde_json::from_slice(text).map_err(|error| failed("an answer of identity v2", error))?;
    let access = answer.access;
    let token = Secret::new(&access.token.id);
    if access.service_catalog.is_empty() && config.endpoint.is_none() {
        return Ok(Said::Unscoped(token));
    }
    let stores = access.service_catalog.into_iter().filter(|service| service.kind == "object-store");
    let endpoints: Vec<Endpoint> = stores
        .flat_map(|service| service.endpoints)
        .filter_map(|at| {
            let url = match config.interface {
                SwiftInterface::Public => at.public,
                SwiftInterface::Internal => at.internal,
                SwiftInterface::Admin => at.admin,
            };
            Some(Endpoint { region: at.region.unwrap_or_default(), url: url? })
        })
        .collect();
    let url = match &config.endpoint {
        Some(url) => url.clone(),
        None => choose(&endpoints, config.region.as_deref(), access.user.region.as_deref())?,
    };
    Ok(Said::Granted(Grant { token, url, life: until(&access.token.expires, now) }))
}

pub(super) fn ask_tenants(url: &str, token: &Secret) -> Result<Call> {
    Call::new(Method::GET, format!("{url}/tenants")).header("x-auth-token", token.expose())
}

pub(super) fn first_tenant(text: &[u8]) -> Result<Reference> {
    let all: Tenants = serde_json::from_slice(text).map_err(|error| failed("a list of tenants", error))?;
    let first = all.tenants.into_iter().find(|tenant| tenant.enabled != Some(false));
    let none = || Error::Failed(io::Error::other("the user has no tenant that is enabled"));
    first.map(|tenant| Reference::Id(tenant.id)).ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::provider::cloud::swift::auth::instant;
    use crate::provider::settings::SwiftAuth;

    const ANSWER: &str = r#"{"access": {
        "token": {"id": "t0", "expires": "2026-11-22T10:00:00.000Z", "tenant": {"id": "1", "name": "1"}},
        "serviceCatalog": [
            {"name": "cloudFilesCDN", "type": "rax:object-cdn", "endpoints": [{"region": "DFW", "publicURL": "https://cdn"}]},
            {"name": "cloudFiles", "type": "object-store", "endpoints": [
                {"region": "ORD", "publicURL": "https://ord/v1/a", "internalURL": "https://snet-ord/v1/a"},
                {"region": "DFW", "publicURL": "https://dfw/v1/a", "internalURL": "https://snet-dfw/v1/a"}]}],
        "user": {"id": "1", "name": "u", "roles": [], "RAX-AUTH:defaultRegion": "DFW"}}}"#;

    fn config(region: Option<&str>, interface: SwiftInterface) -> SwiftConfig {
        let auth = SwiftAuth::ApiKey {
            url: "https://id/v2.0".into(),
            username: "u".into(),
            api_key: Secret::new("k"),
            tenant: None,
        };
        SwiftConfig { auth, region: region.map(str::to_owned), interface, endpoint: None }
    }

    fn url(region: Option<&str>, interface: SwiftInterface) -> String {
        let now = instant("2026-11-22T09:00:00Z").expect("an instant");
        match said(ANSWER.as_bytes(), &config(region, interface), now).expect("an answer") {
            Said::Granted(grant) => {
                assert_eq!(grant.life, Some(Duration::from_secs(3600)));
                grant.url
            }
            Said::Unscoped(_) => panic!("it has a catalog"),
        }
    }

    #[test]
    fn the_store_and_not_the_cdn_of_the_right_region() {
        assert_eq!(url(None, SwiftInterface::Public), "https://dfw/v1/a");
        assert_eq!(url(Some("ord"), SwiftInterface::Public), "https://ord/v1/a");
        assert_eq!(url(Some("ORD"), SwiftInterface::Internal), "https://snet-ord/v1/a");
        assert!(said(ANSWER.as_bytes(), &config(Some("LON"), SwiftInterface::Public), Timestamp(0)).is_err());
        assert!(said(ANSWER.as_bytes(), &config(None, SwiftInterface::Admin), Timestamp(0)).is_err());
    }

    #[test]
    fn what_is_asked() {
        let secret = Secret::new("s");
        let named = ask("https://id/v2.0", "u", Proof::Password(&secret), Some(&Reference::Name("t".into())));
        let named = named.expect("a call");
        assert_eq!(named.uri, "https://id/v2.0/tokens");
        let expected = r#"{"auth":{"passwordCredentials":{"password":"s","username":"u"},"tenantName":"t"}}"#;
        assert_eq!(named.body.md5_hex(), super::super::md5_of(expected));
        let key = ask("https://id/v2.0", "u", Proof::ApiKey(&secret), None).expect("a call");
        let expected = r#"{"auth":{"RAX-KSKEY:apiKeyCredentials":{"apiKey":"s","username":"u"}}}"#;
        assert_eq!(key.body.md5_hex(), super::super::md5_of(expected));
    }

    #[test]
    fn without_a_tenant_the_first_enabled_one() {
        let bare =
            br#"{"access":{"token":{"id":"t0","expires":"2026-11-22T10:00:00Z"},"serviceCatalog":[],"user":{}}}"#;
        let bare = said(bare, &config(None, SwiftInterface::Public), Timestamp(0)).expect("an answer");
        assert!(matches!(bare, Said::Unscoped(token) if token.expose() == "t0"));
        let tenants = br#"{"tenants":[{"id":"a","enabled":false,"name":"x"},{"id":"b","enabled":true,"name":"y"}]}"#;
        assert_eq!(first_tenant(tenants).expect("one"), Reference::Id("b".into()));
        assert!(first_tenant(br#"{"tenants":[]}"#).is_err());
    }
}
