//! The addresses of Google's two protocols: JSON for everything, XML to read bytes with their headers in one answer.
//!
//! **Invariant:** a name is one segment, with its slashes escaped, so nothing on the way can take `..` or `//` in it for
//! anything else.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

use crate::provider::cloud::service::{At, When};

/// All but the unreserved characters of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn escape(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, ESCAPED)
}

/// Where the service is.
#[derive(Debug)]
pub(super) struct Endpoint(pub(super) String);

impl Endpoint {
    /// All containers.
    pub(super) fn containers(&self) -> Address {
        Address(format!("{}/storage/v1/b", self.0))
    }

    /// A container.
    pub(super) fn container(&self, container: &str) -> Address {
        Address(format!("{}/storage/v1/b/{}", self.0, escape(container)))
    }

    /// The names in a container.
    pub(super) fn names(&self, container: &str) -> Address {
        Address(format!("{}/storage/v1/b/{}/o", self.0, escape(container)))
    }

    /// What is at a name.
    pub(super) fn object(&self, at: At<'_>) -> Address {
        Address(format!("{}/storage/v1/b/{}/o/{}", self.0, escape(at.container), escape(at.name)))
    }

    /// Its bytes.
    pub(super) fn bytes(&self, at: At<'_>) -> String {
        format!("{}/{}/{}", self.0, escape(at.container), escape(at.name))
    }

    /// Where bodies are sent for a container.
    pub(super) fn upload(&self, container: &str) -> Address {
        Address(format!("{}/upload/storage/v1/b/{}/o?uploadType=multipart", self.0, escape(container)))
    }

    /// Where a name is composed of others.
    pub(super) fn compose(&self, at: At<'_>) -> Address {
        Address(format!("{}/compose", self.object(at).0))
    }

    /// Where a name is copied to another.
    pub(super) fn rewrite(&self, from: At<'_>, to: At<'_>) -> Address {
        Address(format!("{}/rewriteTo/b/{}/o/{}", self.object(from).0, escape(to.container), escape(to.name)))
    }
}

/// An address that a query is put to.
#[derive(Debug)]
pub(super) struct Address(String);

impl Address {
    /// With a parameter.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        self.0.push_str(name);
        self.0.push('=');
        self.0.extend(escape(value));
        self
    }

    /// With a parameter that may be missing.
    pub(super) fn with_some(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Under a condition on the name that is written or removed.
    pub(super) fn when(self, when: When<'_>) -> Self {
        match when {
            When::Always => self,
            When::Absent => self.with("ifGenerationMatch", "0"),
            When::Is(tag) => self.with("ifGenerationMatch", tag),
        }
    }

    /// As text.
    pub(super) fn uri(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment() {
        let endpoint = Endpoint("https://h".into());
        let at = At { container: "b", name: "/a//../ü +%?#\u{1}" };
        let name = "%2Fa%2F%2F..%2F%C3%BC%20%2B%25%3F%23%01";
        assert_eq!(endpoint.object(at).uri(), format!("https://h/storage/v1/b/b/o/{name}"));
        assert_eq!(endpoint.bytes(at), format!("https://h/b/{name}"));
        let to = At { container: "c", name: "x/y" };
        assert_eq!(
            endpoint.rewrite(at, to).when(When::Absent).with_some("t", None).with("t", "=/").uri(),
            format!("https://h/storage/v1/b/b/o/{name}/rewriteTo/b/c/o/x%2Fy?ifGenerationMatch=0&t=%3D%2F")
        );
        assert!(endpoint.upload("b").when(When::Is("7")).uri().ends_with("?uploadType=multipart&ifGenerationMatch=7"));
    }
}
