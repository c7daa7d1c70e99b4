//! Identity v3: Keystone with a password or an application credential.
//!
//! **Invariant:** the name of a user or project goes with its domain, an id without one. What proves who asks is in the
//! body and never in the address, which is logged.

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::endpoint::{Endpoint, choose};
use super::{Grant, until};
use crate::model::secret::Secret;
use crate::model::time::Timestamp;
use crate::provider::Result;
use crate::provider::cloud::transport::{Call, failed};
use crate::provider::settings::{Reference, SwiftConfig, SwiftInterface, SwiftScope};

#[derive(Deserialize)]
struct Answer {
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    expires_at: String,
    #[serde(default)]
    catalog: Vec<Service>,
}

#[derive(Deserialize)]
struct Service {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    endpoints: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    #[serde(default)]
    interface: String,
    region: Option<String>,
    region_id: Option<String>,
    url: String,
}

fn named(it: &Reference) -> Value {
    match it {
        Reference::Id(id) => json!({ "id": id }),
        Reference::Name(name) => json!({ "name": name }),
    }
}

/// A user or a project: its id identifies it, its name does so in its domain.
fn in_domain(it: &Reference, domain: &Reference) -> Value {
    let mut value = named(it);
    if matches!(it, Reference::Name(_)) {
        value["domain"] = named(domain);
    }
    value
}

pub(super) fn ask_password(
    url: &str,
    (user, domain): (&Reference, &Reference),
    password: &Secret,
    scope: &SwiftScope,
) -> Result<Call> {
    let mut user = in_domain(user, domain);
    user["password"] = Value::from(password.expose());
    let mut auth = json!({"identity": {"methods": ["password"], "password": {"user": user}}});
    if let SwiftScope::Project { project, domain } = scope {
        auth["scope"] = json!({"project": in_domain(project, domain)});
    }
    ask(url, &auth)
}

pub(super) fn ask_credential(
    url: &str,
    credential: &Reference,
    user: Option<&(Reference, Reference)>,
    secret: &Secret,
) -> Result<Call> {
    let mut value = named(credential);
    value["secret"] = Value::from(secret.expose());
    if let (Reference::Name(_), Some((user, domain))) = (credential, user) {
        value["user"] = in_domain(user, domain);
    }
    ask(url, &json!({"identity": {"methods": ["application_credential"], "application_credential": value}}))
}

fn ask(url: &str, auth: &Value) -> Result<Call> {
    let call = Call::new(Method::POST, format!("{url}/auth/tokens")).body(json!({ "auth": auth }).to_string().into());
    call.header("content-type", "application/json")?.header("accept", "application/json")
}

/// Reads an answer that came at `now` by the clock of the service.
pub(super) fn grant(token: &str, text: &[u8], config: &SwiftConfig, now: Timestamp) -> Result<Grant> {
    let answer: Answer = serde_json::from_slice(text).map_err(|error| failed("an answer of identity v3", error))?;
    let wanted = match config.interface {
        SwiftInterface::Public => "public",
        SwiftInterface::Internal => "internal",
        SwiftInterface::Admin => "admin",
    };
    let stores = answer.token.catalog.into_iter().filter(|service| service.kind == "object-store");
    let endpoints: Vec<Endpoint> = stores
        .flat_map(|service| service.endpoints)
        .filter(|at| at.interface == wanted)
        .map(|at| Endpoint { region: at.region_id.or(at.region).unwrap_or_default(), url: at.url })
        .collect();
    let url = match &config.endpoint {
        Some(url) => url.clone(),
        None => choose(&endpoints, config.region.as_deref(), None)?,
    };
    Ok(Grant { token: Secret::new(token), url, life: until(&answer.token.expires_at, now) })
}

#[cfg(test)]
mod tests {
    use super::super::md5_of;
    use super::*;

    fn name(text: &str) -> Reference {
        Reference::Name(text.into())
    }

    #[test]
    fn what_a_password_asks() {
        let scope = SwiftScope::Project { project: name("p"), domain: Reference::Id("default".into()) };
        let secret = Secret::new("s");
        let call = ask_password("http://k/v3", (&name("u"), &name("D")), &secret, &scope).expect("a call");
        assert_eq!(call.uri, "http://k/v3/auth/tokens");
        let user = r#"{"domain":{"name":"D"},"name":"u","password":"s"}"#;
        let project = r#"{"domain":{"id":"default"},"name":"p"}"#;
        let identity = format!(r#"{{"methods":["password"],"password":{{"user":{user}}}}}"#);
        let expected = format!(r#"{{"auth":{{"identity":{identity},"scope":{{"project":{project}}}}}}}"#);
        assert_eq!(call.body.md5_hex(), md5_of(&expected));
        assert!(!format!("{call:?}").contains('s') || !format!("{call:?}").contains("\"s\""));
    }

    #[test]
    fn a_credential_has_no_scope_and_names_its_user_only_if_it_must() {
        let (id, secret) = (Reference::Id("i".into()), Secret::new("s"));
        let user = (name("u"), name("D"));
        let call = ask_credential("http://k/v3", &id, Some(&user), &secret).expect("a call");
        let start = r#"{"auth":{"identity":{"application_credential":"#;
        let end = r#","methods":["application_credential"]}}}"#;
        assert_eq!(call.body.md5_hex(), md5_of(&format!(r#"{start}{{"id":"i","secret":"s"}}{end}"#)));
        let call = ask_credential("http://k/v3", &name("c"), Some(&user), &secret).expect("a call");
        let value = r#"{"name":"c","secret":"s","user":{"domain":{"name":"D"},"name":"u"}}"#;
        assert_eq!(call.body.md5_hex(), md5_of(&format!("{start}{value}{end}")));
    }
}
