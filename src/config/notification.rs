//! Whom buckets can notify: `[[notification.target]]`.
//!
//! **Invariant:** only the operator says where anything is posted to; a bucket's rules name targets and hold no address.

use super::section::Section;
use crate::auth::secret::Secret;
use crate::config::limits::TARGETS_MAX;

/// One target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetConfig {
    /// Its name: buckets call it `arn:longshore:sns:::NAME`.
    pub name: String,
    /// Where events are posted.
    pub url: String,
    /// What is shown there as a bearer.
    pub token: Option<Secret>,
}

/// Reads the section.
pub(super) fn targets(mut section: Section<'_>) -> Vec<TargetConfig> {
    let mut targets: Vec<TargetConfig> = Vec::new();
    let sections = section.sections("target");
    if sections.len() > TARGETS_MAX {
        section.problem("target", &format!("there are more than {TARGETS_MAX}"));
    }
    for mut section in sections {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let name = section.text("name").unwrap_or_default();
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            section.problem("name", "a target needs one of 1 to 64 letters, digits, - and _");
        } else if targets.iter().any(|other| other.name == name) {
            section.problem("name", &format!("{name:?} is taken by another target"));
        }
        let url = section.text("url").unwrap_or_default();
        if !is_address(&url) {
            section.problem("url", "expected an address such as \"https://host/path\", without a user in it");
        }
        let token = section.text("token").map(|token| Secret::new(&token));
        if token.as_ref().is_some_and(|token| !token.expose().bytes().all(|b| b.is_ascii_graphic())) {
            section.problem("token", "it may hold printable ASCII only");
        }
        section.finish();
        targets.push(TargetConfig { name, url, token });
    }
    section.finish();
    targets
}

pub(super) fn is_address(url: &str) -> bool {
    let Ok(uri) = url.parse::<http::Uri>() else { return false };
    let scheme = uri.scheme_str().is_some_and(|scheme| scheme == "http" || scheme == "https");
    scheme && uri.authority().is_some_and(|authority| !authority.as_str().contains('@') && !authority.host().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_no_user() {
        assert!(is_address("http://127.0.0.1:1/x?y=z") && is_address("https://example.com"));
        for bad in ["", "host", "/path", "ftp://host/", "http://user:pass@host/", "http://"] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
