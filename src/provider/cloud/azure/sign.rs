//! Who asks: the account's key, a shared access signature or a token of the directory.
//!
//! **Invariant:** what is signed is the request as it is sent, byte for byte; no secret is printed.

use std::borrow::Cow;
use std::fmt;
use std::io;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderName, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, RANGE,
};
use http::{HeaderMap, HeaderValue, Request, Uri};
use object_store::azure::{AzureConfigKey, AzureCredential, AzureCredentialProvider, MicrosoftAzureBuilder};
use percent_encoding::percent_decode_str;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::date::http_date;
use super::{names, sas};
use crate::model::secret::Secret;
use crate::model::time::Clock;
use crate::provider::cloud::payload::Payload;
use crate::provider::cloud::transport::{Sign, failed};
use crate::provider::settings::{AzureConfig, AzureCredentials};
use crate::provider::{Error, Result};

/// The version of the protocol.
const VERSION: &str = "2023-11-03";
/// Of the standard headers those that are signed, in their order.
const SIGNED: [HeaderName; 11] = [
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    HeaderName::from_static("content-md5"),
    CONTENT_TYPE,
    DATE,
    IF_MODIFIED_SINCE,
    IF_MATCH,
    IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE,
    RANGE,
];

/// Where the proof comes from.
enum Source {
    Key(Zeroizing<Vec<u8>>),
    Sas(Secret),
    Bearer(Secret),
    /// What the directory or the machine gives, and renews.
    Found(AzureCredentialProvider),
}

/// The proof of one request.
enum Proof<'a> {
    Key(&'a [u8]),
    Sas(Cow<'a, str>),
    Bearer(Cow<'a, str>),
}

/// Who asks.
pub(super) struct Signer {
    account: String,
    source: Source,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.source {
            Source::Key(_) => "key",
            Source::Sas(_) => "sas",
            Source::Bearer(_) => "bearer",
            Source::Found(_) => "found",
        };
        write!(f, "Signer({}, {kind})", self.account)
    }
}

impl Signer {
    /// As it is configured.
    pub(super) fn new(config: &AzureConfig) -> io::Result<Self> {
        let source = match &config.credentials {
            AzureCredentials::AccessKey(key) => key_of(key.expose())?,
            AzureCredentials::SasToken(token) => Source::Sas(token.clone()),
            AzureCredentials::BearerToken(token) => Source::Bearer(token.clone()),
            AzureCredentials::Client { tenant_id, client_id, client_secret } => {
                let builder = MicrosoftAzureBuilder::new().with_client_secret_authorization(
                    client_id,
                    client_secret.expose(),
                    tenant_id,
                );
                found(builder, &config.account)?
            }
            AzureCredentials::Ambient => {
                let builder = MicrosoftAzureBuilder::from_env();
                match builder.get_config_value(&AzureConfigKey::AccessKey) {
                    Some(key) => key_of(&key)?,
                    None => found(builder, &config.account)?,
                }
            }
        };
        Ok(Self { account: config.account.clone(), source })
    }

    /// Bytes of what is added to an address.
    pub(super) fn token_bytes(&self) -> usize {
        match &self.source {
            Source::Sas(token) => token.expose().len(),
            Source::Key(_) | Source::Bearer(_) | Source::Found(_) => 0,
        }
    }

    async fn proof(&self) -> Result<Proof<'_>> {
        Ok(match &self.source {
            Source::Key(key) => Proof::Key(key),
            Source::Sas(token) => Proof::Sas(token.expose().trim_start_matches('?').into()),
            Source::Bearer(token) => Proof::Bearer(token.expose().into()),
            Source::Found(provider) => match &*provider.get_credential().await.map_err(|error| unproven(&error))? {
                AzureCredential::BearerToken(token) => Proof::Bearer(token.clone().into()),
                AzureCredential::SASToken(pairs) => {
                    let pair =
                        |(name, value): &(String, String)| format!("{}={}", names::query(name), names::query(value));
                    Proof::Sas(pairs.iter().map(pair).collect::<Vec<_>>().join("&").into())
                }
                AzureCredential::AccessKey(_) => return Err(Error::Denied),
            },
        })
    }

    /// The address of a blob, so that the service can read it by that alone, or by the token that
    /// [`Sign::sign`] adds.
    pub(super) async fn readable(&self, address: String, container: &str, name: &str) -> Result<String> {
        Ok(match self.proof().await? {
            Proof::Key(key) => {
                format!("{address}?{}", sas::for_reading(&self.account, key, container, name, Clock::now()))
            }
            Proof::Sas(token) => format!("{address}?{token}"),
            Proof::Bearer(_) => address,
        })
    }

    /// The address of a blob of the account, so that a copy may read it.
    pub(super) async fn copyable(&self, address: String) -> Result<String> {
        Ok(match self.proof().await? {
            Proof::Sas(token) => format!("{address}?{token}"),
            Proof::Key(_) | Proof::Bearer(_) => address,
        })
    }
}

fn key_of(text: &str) -> io::Result<Source> {
    let key = BASE64.decode(text.trim());
    key.map(|key| Source::Key(key.into()))
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the account's key is not in base64"))
}

/// What the builder finds. It wants a container, which has no part in that.
fn found(builder: MicrosoftAzureBuilder, account: &str) -> io::Result<Source> {
    let store = builder.with_account(account).with_container_name("any").build().map_err(io::Error::other)?;
    Ok(Source::Found(store.credentials().clone()))
}

fn unproven(error: &object_store::Error) -> Error {
    // The text is for the log; what the directory answers to a wrong secret does not repeat it.
    tracing::warn!(error = error as &dyn std::error::Error, "no token can be had");
    match error {
        object_store::Error::Unauthenticated { .. } | object_store::Error::PermissionDenied { .. } => Error::Denied,
        error => Error::Unavailable(io::Error::other(error.to_string())),
    }
}

#[async_trait]
impl Sign for Signer {
    async fn sign(&self, request: &mut Request<()>, _: &Payload) -> Result<()> {
        let headers = request.headers_mut();
        headers.entry("x-ms-version").or_insert(HeaderValue::from_static(VERSION));
        headers.insert("x-ms-date", value(&http_date(Clock::now()))?);
        match self.proof().await? {
            Proof::Key(key) => {
                let signature = mac(key, &string_to_sign(&self.account, request));
                let text = format!("SharedKey {}:{signature}", self.account);
                request.headers_mut().insert(AUTHORIZATION, value(&text)?);
            }
            Proof::Sas(token) => {
                let uri = request.uri().to_string();
                let sign = if uri.contains('?') { '&' } else { '?' };
                *request.uri_mut() =
                    format!("{uri}{sign}{token}").parse().map_err(|error| failed("an address", error))?;
            }
            Proof::Bearer(token) => {
                let token = value(&format!("Bearer {token}"))?;
                let reads =
                    request.headers().contains_key("x-ms-copy-source") && query_has(request.uri(), "comp", "block");
                let headers = request.headers_mut();
                if reads {
                    headers.insert("x-ms-copy-source-authorization", token.clone());
                }
                headers.insert(AUTHORIZATION, token);
            }
        }
        Ok(())
    }
}

fn value(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text).map_err(|error| failed("a header's value", error))?;
    value.set_sensitive(true);
    Ok(value)
}

fn query_has(uri: &Uri, name: &str, value: &str) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|pair| pair.split_once('=') == Some((name, value))))
}

/// HMAC-SHA256 in base64.
pub(super) fn mac(key: &[u8], text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("keys of any length are taken");
    mac.update(text.as_bytes());
    BASE64.encode(mac.finalize().into_bytes())
}

fn string_to_sign(account: &str, request: &Request<()>) -> String {
    let mut text = format!("{}\n", request.method());
    for name in SIGNED {
        let value = text_of(request.headers(), &name);
        // An empty body is signed as none.
        if !(name == CONTENT_LENGTH && value == "0") {
            text.push_str(&value);
        }
        text.push('\n');
    }
    text.push_str(&canonical_headers(request.headers()));
    text.push_str(&canonical_resource(account, request.uri()));
    text
}

fn text_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Cow<'a, str> {
    headers.get(name).map_or("".into(), |value| String::from_utf8_lossy(value.as_bytes()))
}

/// The service sorts as words are sorted, so an underline comes before digits.
fn canonical_headers(headers: &HeaderMap) -> String {
    let mut names: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with("x-ms-")).collect();
    names.sort_by_cached_key(|name| name.as_str().replace('_', "."));
    names.iter().map(|name| format!("{name}:{}\n", text_of(headers, name).trim())).collect()
}

fn canonical_resource(account: &str, uri: &Uri) -> String {
    let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<(String, String)> = pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
            (decode(name).to_lowercase(), decode(value))
        })
        .collect();
    pairs.sort_unstable();
    let mut text = format!("/{account}{}", uri.path());
    for (name, value) in pairs {
        text.push_str(&format!("\n{name}:{value}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, uri: &str, headers: &[(&'static str, &'static str)]) -> Request<()> {
        let mut builder = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).expect("a request")
    }

    /// The example of the protocol's documentation.
    #[test]
    fn the_documented_string_is_signed() {
        let request = request(
            "GET",
            "https://myaccount.blob.core.windows.net/mycontainer?restype=container&comp=metadata&timeout=20",
            &[("x-ms-version", "2014-02-14"), ("x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT"), ("content-length", "0")],
        );
        assert_eq!(
            string_to_sign("myaccount", &request),
            "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2014-02-14\n\
             /myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20"
        );
    }

    #[test]
    fn the_path_is_signed_as_it_is_sent() {
        let request = request(
            "PUT",
            "http://127.0.0.1:1/acc/c/a//%2E/..%20?comp=block&BlockId=YQ%3D%3D",
            &[
                ("content-length", "7"),
                ("content-md5", "x=="),
                ("if-match", "\"t\""),
                ("x-ms-meta-a1", "1"),
                ("x-ms-meta-a_b", "2"),
                ("x-ms-meta-ab", " 3"),
            ],
        );
        assert_eq!(
            string_to_sign("acc", &request),
            "PUT\n\n\n7\nx==\n\n\n\n\"t\"\n\n\n\nx-ms-meta-a_b:2\nx-ms-meta-a1:1\nx-ms-meta-ab:3\n\
             /acc/acc/c/a//%2E/..%20\nblockid:YQ==\ncomp:block"
        );
    }

    #[tokio::test]
    async fn tokens_go_where_they_belong() {
        let config = |credentials| AzureConfig { account: "acc".to_owned(), credentials, endpoint: None };
        let signer = |credentials| Signer::new(&config(credentials)).expect("credentials");
        let empty = Payload::default();
        let sas = signer(AzureCredentials::SasToken(Secret::new("?sv=1&sig=x%2By")));
        let mut asked = request("GET", "http://h/c/a?comp=list", &[]);
        sas.sign(&mut asked, &empty).await.expect("signed");
        assert_eq!(asked.uri().to_string(), "http://h/c/a?comp=list&sv=1&sig=x%2By");
        assert_eq!(sas.copyable("http://h/c/a".to_owned()).await.expect("an address"), "http://h/c/a?sv=1&sig=x%2By");
        let bearer = signer(AzureCredentials::BearerToken(Secret::new("token")));
        let mut copied = request("PUT", "http://h/c/a?comp=block&blockid=x", &[("x-ms-copy-source", "http://h/c/b")]);
        bearer.sign(&mut copied, &empty).await.expect("signed");
        assert_eq!(copied.headers()["x-ms-copy-source-authorization"], "Bearer token");
        assert_eq!(copied.headers()[AUTHORIZATION], "Bearer token");
        let mut plain = request("PUT", "http://h/c/a", &[("x-ms-copy-source", "http://h/c/b")]);
        bearer.sign(&mut plain, &empty).await.expect("signed");
        assert!(!plain.headers().contains_key("x-ms-copy-source-authorization"));
        assert!(Signer::new(&config(AzureCredentials::AccessKey(Secret::new("not base64!")))).is_err());
        assert_eq!(format!("{bearer:?} {sas:?}"), "Signer(acc, bearer) Signer(acc, sas)");
    }
}
