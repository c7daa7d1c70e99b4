//! Where the service, a container and a name are: addresses as they go over the wire and are signed.
//!
//! **Invariant:** every byte of a name but the unreserved ones and the slash is percent-encoded, and nothing is
//! normalised: two names never share an address.

use std::io;

use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::provider::settings::AmazonConfig;

const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: &AsciiSet = &VALUE.remove(b'/');

/// Escapes a name for a path.
pub(super) fn path(name: &str) -> String {
    utf8_percent_encode(name, PATH).to_string()
}

/// Escapes a value of a query.
pub(super) fn value(text: &str) -> String {
    utf8_percent_encode(text, VALUE).to_string()
}

/// What a listing with `encoding-type=url` means; `None`: it is no text.
pub(super) fn decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// The address of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    scheme: String,
    authority: String,
    /// What all paths begin with; no slash at its end.
    base: String,
    path_style: bool,
    /// Whether it is Amazon itself.
    pub(super) amazon: bool,
}

impl Address {
    /// That of a configuration.
    ///
    /// # Errors
    /// The endpoint is no address.
    pub(super) fn new(config: &AmazonConfig, region: &str) -> io::Result<Self> {
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let own = format!("https://s3.{region}.{domain}");
        let text = config.endpoint.as_deref().unwrap_or(&own);
        let wrong = || io::Error::new(io::ErrorKind::InvalidInput, "the endpoint is no address");
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let scheme = uri.scheme_str().ok_or_else(wrong)?.to_owned();
        let authority = uri.authority().ok_or_else(wrong)?.as_str().to_owned();
        let base = uri.path().trim_end_matches('/').to_owned();
        let host = uri.host().unwrap_or_default();
        let amazon = host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn");
        Ok(Self { scheme, authority, base, path_style: config.path_style, amazon })
    }

    /// Of the service itself.
    pub(super) fn service(&self, query: &str) -> String {
        let Self { scheme, authority, base, .. } = self;
        format!("{scheme}://{authority}{base}/{}", question(query))
    }

    /// Of a container.
    pub(super) fn container(&self, container: &str, query: &str) -> String {
        let Self { scheme, authority, base, .. } = self;
        if self.in_path(container) {
            format!("{scheme}://{authority}{base}/{}{}", path(container), question(query))
        } else {
            format!("{scheme}://{container}.{authority}{base}/{}", question(query))
        }
    }

    /// Of a name in a container.
    pub(super) fn name(&self, container: &str, name: &str, query: &str) -> String {
        let Self { scheme, authority, base, .. } = self;
        let (name, query) = (path(name), question(query));
        if self.in_path(container) {
            format!("{scheme}://{authority}{base}/{}/{name}{query}", path(container))
        } else {
            format!("{scheme}://{container}.{authority}{base}/{name}{query}")
        }
    }

    /// A certificate for `*.host` does not cover a name with a dot; a name with other letters is none of a host.
    fn in_path(&self, container: &str) -> bool {
        self.path_style || !host_like(container) || self.scheme == "https" && container.contains('.')
    }
}

fn host_like(container: &str) -> bool {
    container.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
}

fn question(query: &str) -> String {
    if query.is_empty() { String::new() } else { format!("?{query}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::settings::AmazonCredentials;

    fn address(endpoint: Option<&str>, path_style: bool) -> Address {
        let config = AmazonConfig {
            credentials: AmazonCredentials::Ambient,
            region: None,
            endpoint: endpoint.map(str::to_owned),
            path_style,
            unsigned_payload: true,
        };
        Address::new(&config, "eu-west-1").expect("an address")
    }

    #[test]
    fn hosts_and_paths() {
        let own = address(None, false);
        assert!(own.amazon);
        assert_eq!(own.service(""), "https://s3.eu-west-1.amazonaws.com/");
        assert_eq!(own.container("b", "location="), "https://b.s3.eu-west-1.amazonaws.com/?location=");
        assert_eq!(own.name("b.c", "/a", ""), "https://s3.eu-west-1.amazonaws.com/b.c//a");
        let other = address(Some("http://127.0.0.1:9000/s3/"), true);
        assert!(!other.amazon);
        assert_eq!(other.container("b", ""), "http://127.0.0.1:9000/s3/b");
        assert_eq!(other.name("b", "a/../b//c", "x=1"), "http://127.0.0.1:9000/s3/b/a/../b//c?x=1");
        assert_eq!(address(Some("http://s3.test"), false).name("b.c", "k", ""), "http://b.c.s3.test/k");
    }

    #[test]
    fn names_survive() {
        let odd = "a b+c%41?#&=\u{1}\n\u{7f}ü/é~-._*'()\\\"<";
        let sent = path(odd);
        assert!(sent.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/%".contains(&b)), "{sent}");
        assert_eq!(decoded(&sent).as_deref(), Some(odd));
        assert_eq!(decoded("a+b%2Bc").as_deref(), Some("a b+c"));
        assert_eq!(decoded("%ff"), None);
        assert_eq!(value("a/b"), "a%2Fb");
    }

    #[test]
    fn an_address_is_asked_for() {
        let mut config = AmazonConfig {
            credentials: AmazonCredentials::Ambient,
            region: None,
            endpoint: Some("nowhere".to_owned()),
            path_style: true,
            unsigned_payload: true,
        };
        assert!(Address::new(&config, "x").is_err());
        config.endpoint = Some("/path".to_owned());
        assert!(Address::new(&config, "x").is_err());
    }
}
