//! Requests to the storage: addresses, and what answers mean.
//!
//! **Invariant:** a name is sent as its bytes, percent-encoded but for what is unreserved and the slash.

use http::{Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Swift;
use super::auth::Proof;
use crate::provider::cloud::service::At;
use crate::provider::cloud::transport::{Call, Reply};
use crate::provider::{Error, Result};

/// All that is encoded in a value of a query.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// All that is encoded in a path.
const PATH: &AsciiSet = &VALUE.remove(b'/');

/// The path of a name below its account.
pub(super) fn path(at: At<'_>) -> String {
    format!("/{}/{}", utf8_percent_encode(at.container, VALUE), utf8_percent_encode(at.name, PATH))
}

/// A query, with its question mark.
pub(super) fn query(fields: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        text.extend(utf8_percent_encode(value, VALUE));
    }
    text
}

impl Swift {
    /// A request for the account.
    pub(super) async fn for_account(&self, method: Method, query: &str) -> Result<Call> {
        Ok(Call::new(method, format!("{}{query}", self.identity.session().await?.url)))
    }

    /// A request for a container.
    pub(super) async fn for_container(&self, method: Method, container: &str, query: &str) -> Result<Call> {
        let container = utf8_percent_encode(container, VALUE);
        Ok(Call::new(method, format!("{}/{container}{query}", self.identity.session().await?.url)))
    }

    /// A request for an object.
    pub(super) async fn for_object(&self, method: Method, at: At<'_>, query: &str) -> Result<Call> {
        Ok(Call::new(method, format!("{}{}{query}", self.identity.session().await?.url, path(at))))
    }

    pub(super) async fn send(&self, call: &Call) -> Result<Reply> {
        self.transport.send(&Proof::new(&self.identity), call).await
    }

    /// As [`Swift::send`], where only success is of use.
    pub(super) async fn ask(&self, call: &Call) -> Result<Reply> {
        let reply = self.send(call).await?;
        if reply.status.is_success() { Ok(reply) } else { Err(refusal(reply).await) }
    }
}

/// What an answer that was not hoped for means.
pub(super) async fn refusal(reply: Reply) -> Error {
    let cause = |text: &str| std::io::Error::other(text.to_owned());
    match reply.status.as_u16() {
        // Of an account or a container that is full; of a body that is too large otherwise.
        413 => match has_quota(&reply.bytes().await.unwrap_or_default()) {
            true => Error::NoSpace,
            false => Error::Failed(cause("the service takes no body of this size")),
        },
        422 => Error::Unavailable(cause("the bytes came to the service other than they were sent")),
        498 => Error::Unavailable(cause("the service takes no more requests for a while")),
        499 => Error::Unavailable(cause("the service could not read what it was to copy")),
        _ => reply.refusal().await,
    }
}

fn has_quota(text: &[u8]) -> bool {
    String::from_utf8_lossy(text).to_ascii_lowercase().contains("quota")
}

/// Whether nothing is there.
pub(super) fn is_missing(reply: &Reply) -> bool {
    matches!(reply.status, StatusCode::NOT_FOUND | StatusCode::GONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sent_as_they_are() {
        let at = |name| At { container: "c %", name };
        assert_eq!(path(at("/a//b/../ü+?#%41~")), "/c%20%25//a//b/../%C3%BC%2B%3F%23%2541~");
        assert_eq!(query(&[("a", "b/&="), ("c", "")]), "?a=b%2F%26%3D&c=");
        assert_eq!(query(&[]), "");
    }

    #[test]
    fn a_quota_is_told_from_a_limit() {
        assert!(has_quota(b"<p>Upload exceeds quota.</p>"));
        assert!(!has_quota(b"Your request is too large."));
    }
}
