//! Signature Version 4: who asks, proved for each request.
//!
//! **Invariant:** what is signed is what is sent, to the byte: path and query are taken as they stand in the request,
//! which every name was encoded into once. No secret and no signature is ever printed.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use object_store::aws::{AmazonS3Builder, AwsCredentialProvider};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::model::id::hex;
use crate::model::secret::Secret;
use crate::model::time::Clock;
use crate::provider::cloud::payload::Payload;
use crate::provider::cloud::transport::{Sign, failed};
use crate::provider::settings::AmazonCredentials;
use crate::provider::{Error, Result};

/// `20130524T000000Z`.
const STAMP: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day]T[hour][minute][second]Z");
/// The most that asking the machine for credentials may take, in seconds.
const CREDENTIALS_SECONDS_MAX: u64 = 30;
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// A key with which one request is signed.
struct Key {
    id: String,
    secret: Secret,
    token: Option<Secret>,
}

/// Where keys come from.
enum Source {
    Fixed(Arc<Key>),
    /// The machine's, which are renewed as they end.
    Ambient(AwsCredentialProvider),
}

/// Signs the requests of one provider.
pub(super) struct Signer {
    source: Source,
    region: String,
    unsigned_payload: bool,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("region", &self.region).finish_non_exhaustive()
    }
}

impl Signer {
    /// With these credentials.
    ///
    /// # Errors
    /// The environment contradicts itself.
    pub(super) fn new(credentials: &AmazonCredentials, region: &str, unsigned_payload: bool) -> io::Result<Self> {
        let source = match credentials {
            AmazonCredentials::Key { id, secret, session_token } => {
                let (id, secret, token) = (id.clone(), secret.clone(), session_token.clone());
                Source::Fixed(Arc::new(Key { id, secret, token }))
            }
            AmazonCredentials::Ambient => {
                // The name is never asked for: only the credentials of this store are used.
                let builder = AmazonS3Builder::from_env().with_bucket_name("none").with_region(region);
                let store = builder.build().map_err(io::Error::other)?;
                Source::Ambient(Arc::clone(store.credentials()))
            }
        };
        Ok(Self { source, region: region.to_owned(), unsigned_payload })
    }

    async fn key(&self) -> Result<Arc<Key>> {
        let provider = match &self.source {
            Source::Fixed(key) => return Ok(Arc::clone(key)),
            Source::Ambient(provider) => provider,
        };
        let asked = tokio::time::timeout(Duration::from_secs(CREDENTIALS_SECONDS_MAX), provider.get_credential());
        let given = asked.await.map_err(|_| Error::Unavailable(io::Error::other("no credentials in time")))?;
        let given = given.map_err(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "the machine gives no credentials");
            Error::Unavailable(io::Error::other("the machine gives no credentials"))
        })?;
        let token = given.token.as_deref().map(Secret::new);
        Ok(Arc::new(Key { id: given.key_id.clone(), secret: Secret::new(&given.secret_key), token }))
    }

    /// Adds the headers of a signature made at `now`.
    fn put(&self, key: &Key, request: &mut Request<()>, payload: &str, now: OffsetDateTime) -> Result<()> {
        let stamp = now.format(STAMP).map_err(|error| failed("the time", error))?;
        let headers = request.headers_mut();
        set(headers, "x-amz-date", &stamp)?;
        set(headers, "x-amz-content-sha256", payload)?;
        if let Some(token) = &key.token {
            set(headers, "x-amz-security-token", token.expose())?;
        }
        let (names, lines) = canonical_headers(headers);
        let uri = request.uri();
        let query = canonical_query(uri.query().unwrap_or_default());
        let canonical = format!("{}\n{}\n{query}\n{lines}\n{names}\n{payload}", request.method(), uri.path());
        let scope = format!("{}/{}/s3/aws4_request", &stamp[..8], self.region);
        let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
        let mut secret = hmac(format!("AWS4{}", key.secret.expose()).as_bytes(), &stamp[..8]);
        for word in [self.region.as_str(), "s3", "aws4_request"] {
            secret = hmac(&secret, word);
        }
        let signature = hex(&hmac(&secret, &text));
        let id = &key.id;
        let line = format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}");
        let mut line = HeaderValue::from_str(&line).map_err(|error| failed("the key id", error))?;
        line.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, line);
        Ok(())
    }
}

#[async_trait]
impl Sign for Signer {
    async fn sign(&self, request: &mut Request<()>, body: &Payload) -> Result<()> {
        let key = self.key().await?;
        let payload = if self.unsigned_payload { UNSIGNED.to_owned() } else { body.sha256_hex() };
        self.put(&key, request, &payload, Clock::now().to_utc())
    }
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) -> Result<()> {
    let mut value = HeaderValue::from_str(value).map_err(|error| failed("a header of the signature", error))?;
    value.set_sensitive(true);
    headers.insert(HeaderName::from_static(name), value);
    Ok(())
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length is a key");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// The names of the headers that are signed, and their lines. The length is left out: what is between may tell it in
/// another way.
fn canonical_headers(headers: &HeaderMap) -> (String, String) {
    let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    names.retain(|name| *name != CONTENT_LENGTH && *name != AUTHORIZATION);
    names.sort_unstable();
    let line = |name: &&str| {
        let text = |value: &HeaderValue| {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
        };
        let values: Vec<String> = headers.get_all(*name).iter().map(text).collect();
        format!("{name}:{}\n", values.join(","))
    };
    let lines = names.iter().map(line).collect();
    (names.join(";"), lines)
}

/// The query with its pairs in order. They are encoded as they have to be since they were written.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(&str, &str)> =
        query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    pairs.retain(|(name, _)| !name.is_empty());
    pairs.sort_unstable();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn signer() -> Signer {
        let credentials = AmazonCredentials::Key {
            id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
            session_token: None,
        };
        Signer::new(&credentials, "us-east-1", false).expect("a signer")
    }

    /// Signs as the published examples of the service do, and returns the signature.
    fn signature(method: &str, target: &str, headers: &[(&str, &str)], payload: &str) -> String {
        let uri = format!("https://examplebucket.s3.amazonaws.com{target}");
        let mut request = Request::builder().method(method).uri(uri).body(()).expect("a request");
        let host = [("host", "examplebucket.s3.amazonaws.com")];
        for (name, value) in headers.iter().chain(&host) {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            request.headers_mut().insert(name, value.parse().expect("a value"));
        }
        let signer = signer();
        let Source::Fixed(key) = &signer.source else { panic!("a key was given") };
        signer.put(key, &mut request, payload, time::macros::datetime!(2013-05-24 00:00 UTC)).expect("signed");
        let line = request.headers()[AUTHORIZATION].to_str().expect("text").to_owned();
        assert!(!format!("{signer:?} {request:?}").contains("EXAMPLE"), "nothing of it is printed");
        line.rsplit_once("Signature=").expect("a signature").1.to_owned()
    }

    #[test]
    fn the_published_examples() {
        let get = signature("GET", "/test.txt", &[("range", "bytes=0-9")], EMPTY);
        assert_eq!(get, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
        let put = [("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")];
        let payload = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
        let put = signature("PUT", "/test%24file.text", &put, payload);
        assert_eq!(put, "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
        let lifecycle = signature("GET", "/?lifecycle=", &[], EMPTY);
        assert_eq!(lifecycle, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
        let list = signature("GET", "/?max-keys=2&prefix=J", &[], EMPTY);
        assert_eq!(list, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
    }

    #[test]
    fn the_query_is_in_order() {
        assert_eq!(canonical_query("uploadId=x&partNumber=1"), "partNumber=1&uploadId=x");
        assert_eq!(canonical_query("uploads"), "uploads=");
        assert_eq!(canonical_query(""), "");
    }
}
