//! S3 below a path of another listener, as Supabase has it: `/storage/v1/s3/bucket/key`.
//!
//! Clients sign the path that they send. So the signature of such a request, the hash of its body and the frames of its
//! chunks are verified under the address that was sent, and everything else reads the address without the path in front
//! of it: behind the verification the request is one like any other.
//!
//! There a client may be somebody whom a token speaks of: it signs with the name of the project and the key that all
//! programs of the project share, and sends the token beside. The signature says nothing of who asks then; the token does.
//!
//! **Invariant:** a session is made of a token that was signed and verified, never of a signature alone; an access key of
//! the catalog takes no token with it, and the project's name is no access key of the catalog.

use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderMap, Request, Uri};

use super::error::{Refusal, Result};
use super::guard;
use super::query;
use crate::auth::jwt::Tokens;
use crate::auth::secret::Secret;
use crate::model::caller::Token;
use crate::store::{self, Store};

/// The header, and the parameter, of a token.
pub(super) const TOKEN: &str = "x-amz-security-token";

/// Where the front is, if not at the root of a listener of its own.
#[derive(Debug, Clone)]
pub struct Mount {
    /// The path, without a slash at its end.
    pub base: &'static str,
    /// The clients that come with a token, if any may.
    pub sessions: Option<Sessions>,
}

/// Clients that come with a token.
#[derive(Debug, Clone)]
pub struct Sessions {
    /// What stands for their access key.
    pub project: String,
    /// The key that they share and sign with. It is in every program of the project, so it proves nothing.
    pub secret: Secret,
    /// What verifies their tokens.
    pub tokens: Tokens,
}

/// The address as it was sent, while the request bears the one without the base.
#[derive(Debug, Clone)]
struct Sent(Uri);

/// The address without the base, while the request bears the one that was sent.
#[derive(Debug, Clone)]
pub(super) struct Inner(pub(super) Uri);

/// Takes the base off.
pub(super) fn enter<B>(base: &str, mut request: Request<B>) -> Request<B> {
    let inner = inside(base, request.uri()).unwrap_or_else(|| request.uri().clone());
    let sent = std::mem::replace(request.uri_mut(), inner);
    request.extensions_mut().insert(Sent(sent));
    request
}

/// Puts the base back on, for the eyes of who verifies the signature.
pub(super) fn as_sent<B>(mut request: Request<B>) -> Request<B> {
    if let Some(Sent(sent)) = request.extensions_mut().remove::<Sent>() {
        let inner = std::mem::replace(request.uri_mut(), sent);
        request.extensions_mut().insert(Inner(inner));
    }
    request
}

/// The address below the base; `None` if it lies elsewhere.
fn inside(base: &str, uri: &Uri) -> Option<Uri> {
    let path = uri.path().strip_prefix(base).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
    let path = if path.is_empty() { "/" } else { path };
    let text = uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

/// What verifies signatures: the keys of the catalog, and the one of the sessions.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub(super) store: Store,
    pub(super) sessions: Option<Arc<Sessions>>,
}

impl Keys {
    /// The secret of an access key.
    ///
    /// # Errors
    /// Failures of the catalog.
    pub(super) async fn secret_of(&self, access_key: &str) -> store::Result<Option<Secret>> {
        match self.sessions_of(access_key) {
            Some(sessions) => Ok(Some(sessions.secret.clone())),
            None => self.store.secret_of(access_key).await,
        }
    }

    /// Who asks, if it is a session: `access_key` has signed, and `token` is what was sent beside and signed.
    pub(super) fn session(&self, access_key: &str, token: Option<&str>) -> Result<Option<Arc<Token>>> {
        match (self.sessions_of(access_key), token) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(guard::invalid_token()),
            (Some(_), None) => Err(Refusal::denied("A session token is needed with this access key.")),
            (Some(sessions), Some(text)) => match sessions.tokens.caller(text) {
                Ok(token) => Ok(Some(Arc::new(token))),
                Err(why) => Err(Refusal::new(403, "AccessDenied", why.to_string())),
            },
        }
    }

    fn sessions_of(&self, access_key: &str) -> Option<&Sessions> {
        self.sessions.as_deref().filter(|sessions| sessions.project == access_key)
    }
}

/// The token that was sent beside a signature, once.
pub(super) fn token(headers: &HeaderMap, uri_query: Option<&str>) -> Result<Option<String>> {
    let in_query = query::pairs(uri_query.unwrap_or_default())
        .filter(|(name, _)| query::decoded(name).eq_ignore_ascii_case(TOKEN))
        .map(|(_, value)| query::decoded(value));
    let in_headers = headers.get_all(TOKEN).iter().map(|value| value.to_str().unwrap_or_default().trim().to_owned());
    let mut sent = in_query.chain(in_headers);
    match (sent.next(), sent.next()) {
        (_, Some(_)) => Err(Refusal::request("The session token was sent more than once.")),
        (token, None) => Ok(token),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_taken_off_and_put_back() {
        for (sent, wanted) in [
            ("/storage/v1/s3", "/"),
            ("/storage/v1/s3?list-type=2", "/?list-type=2"),
            ("/storage/v1/s3/", "/"),
            ("/storage/v1/s3/b/k%20%2F?a=b", "/b/k%20%2F?a=b"),
            ("/storage/v1/s3/b//k/", "/b//k/"),
            ("/storage/v1/s3//b", "//b"),
            ("http://host:1/storage/v1/s3/b", "http://host:1/b"),
            ("/storage/v1/s33/b", "/storage/v1/s33/b"),
        ] {
            let request = Request::builder().uri(sent).body(()).expect("a request");
            let request = enter("/storage/v1/s3", request);
            assert_eq!(request.uri().to_string(), wanted, "{sent}");
            let request = as_sent(request);
            assert_eq!(request.uri(), &sent.parse::<Uri>().expect("a URI"));
            assert_eq!(request.extensions().get::<Inner>().expect("kept").0.to_string(), wanted);
        }
    }

    #[test]
    fn a_token_is_sent_once() {
        let header = |texts: &[&'static str]| {
            texts.iter().map(|text| (TOKEN.parse().expect("a name"), text.parse().expect("a value"))).collect()
        };
        assert_eq!(token(&HeaderMap::new(), Some("X-Amz-Security-Token=a%2Eb")).expect("one").as_deref(), Some("a.b"));
        assert_eq!(token(&header(&["a"]), None).expect("one").as_deref(), Some("a"));
        assert_eq!(token(&header(&[]), Some("a=b")).expect("none"), None);
        assert!(token(&header(&["a"]), Some("X-Amz-Security-Token=a")).is_err());
        assert!(token(&header(&[]), Some("X-Amz-Security-Token=a&x-amz-security%2Dtoken=b")).is_err());
        let mut two = header(&["a"]);
        two.append(TOKEN, "b".parse().expect("a value"));
        assert!(token(&two, None).is_err());
    }
}
