//! A bucket as a website: which key a path names, and where a browser is sent instead.
//!
//! **Invariant:** a [`Website`] either redirects everything or has an index document; every text of it can stand in the
//! `Location` of an answer once it is escaped.

use serde::{Deserialize, Serialize};

/// Most routing rules of one bucket (the S3 limit).
pub const ROUTING_RULES_MAX: usize = 50;
/// Most bytes of all texts of a configuration.
pub const WEBSITE_BYTES_MAX: usize = 64 * 1024;

/// The protocol of a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// `http`.
    Http,
    /// `https`.
    Https,
}

impl Protocol {
    /// From its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "http" => Some(Self::Http),
            "https" => Some(Self::Https),
            _ => None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// What takes the place of a key in a redirect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Replace {
    /// The whole key.
    Key(String),
    /// The prefix that the rule is for.
    Prefix(String),
}

/// Where a browser is sent. What is absent stays as it was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// Another host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Another protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Another status than 301.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Another key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace: Option<Replace>,
}

/// One routing rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutingRule {
    /// Only for keys that begin with this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Only if the answer would have this status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<u16>,
    /// Where to.
    pub redirect: Redirect,
}

/// What a bucket answers as a website.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Website {
    /// Everything is elsewhere: a host, and a protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<(String, Option<Protocol>)>,
    /// What is appended to the path of a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// The key of the page that is shown with an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The rules, in the order given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RoutingRule>,
}

/// Why a configuration is refused; the sentences are for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWebsite {
    /// An element has a value it cannot have.
    #[error("{1}")]
    Argument(&'static str, &'static str),
    /// The elements do not fit together.
    #[error("{0}")]
    Request(String),
    /// It does not have the form of a configuration.
    #[error("the configuration does not have the form of one")]
    Form,
    /// All texts together are too long.
    #[error("the configuration is too long")]
    TooLong,
}

impl Website {
    /// Checks a configuration.
    ///
    /// # Errors
    /// [`InvalidWebsite`].
    pub fn checked(self) -> Result<Self, InvalidWebsite> {
        if self.texts().map(str::len).sum::<usize>() > WEBSITE_BYTES_MAX {
            return Err(InvalidWebsite::TooLong);
        }
        if let Some((host, _)) = &self.elsewhere {
            if self.index.is_some() || self.error.is_some() || !self.rules.is_empty() {
                return Err(InvalidWebsite::Request(
                    "RedirectAllRequestsTo cannot be provided in conjunction with other elements.".into(),
                ));
            }
            return if is_host(host) { Ok(self) } else { Err(invalid_host()) };
        }
        match self.index.as_deref() {
            None => {
                let message = "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty";
                return Err(InvalidWebsite::Argument("IndexDocument", message));
            }
            Some(suffix) if suffix.is_empty() || suffix.contains('/') => {
                return Err(InvalidWebsite::Argument("IndexDocument", "The IndexDocument Suffix is not well formed"));
            }
            Some(_) => {}
        }
        if self.error.as_deref().is_some_and(|key| key.is_empty() || key.len() > 1024) {
            return Err(InvalidWebsite::Argument("ErrorDocument", "The ErrorDocument Key is not well formed"));
        }
        if self.rules.len() > ROUTING_RULES_MAX {
            return Err(InvalidWebsite::Request(format!(
                "{} routing rules provided, the number of routing rules in a website configuration is limited to 50.",
                self.rules.len()
            )));
        }
        self.rules.iter().try_for_each(RoutingRule::check)?;
        Ok(self)
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        let rules = self.rules.iter().flat_map(|rule| {
            let replace = rule.redirect.replace.as_ref().map(|(Replace::Key(text) | Replace::Prefix(text))| text);
            [rule.prefix.as_ref(), rule.redirect.host.as_ref(), replace].into_iter().flatten()
        });
        let host = self.elsewhere.as_ref().map(|(host, _)| host);
        [self.index.as_ref(), self.error.as_ref(), host].into_iter().flatten().chain(rules).map(String::as_str)
    }

    /// The key whose object answers for a path without its first slash.
    #[must_use]
    pub fn key(&self, path: &str) -> String {
        match &self.index {
            Some(index) if path.is_empty() || path.ends_with('/') => format!("{path}{index}"),
            _ => path.to_owned(),
        }
    }

    /// The rule for a path before it is looked at, or for one whose answer would have the status `error`.
    #[must_use]
    pub fn rule(&self, path: &str, error: Option<u16>) -> Option<&RoutingRule> {
        self.rules
            .iter()
            .find(|rule| rule.error == error && rule.prefix.as_deref().is_none_or(|prefix| path.starts_with(prefix)))
    }
}

impl RoutingRule {
    fn check(&self) -> Result<(), InvalidWebsite> {
        let refuse = |message: String| Err(InvalidWebsite::Request(message));
        if self.redirect == Redirect::default() {
            return Err(InvalidWebsite::Form);
        }
        if let Some(status) = self.redirect.status.filter(|status| !(301..400).contains(status)) {
            return refuse(format!(
                "The provided HTTP redirect code ({status}) is not valid. Valid codes are 3XX except 300."
            ));
        }
        if let Some(status) = self.error.filter(|status| !(400..600).contains(status)) {
            return refuse(format!(
                "The provided HTTP error code ({status}) is not valid. Valid codes are 4XX or 5XX."
            ));
        }
        if self.redirect.host.as_deref().is_some_and(|host| !is_host(host)) {
            return Err(invalid_host());
        }
        Ok(())
    }

    /// The key that takes the place of `path`.
    #[must_use]
    pub fn replaced(&self, path: &str) -> String {
        match &self.redirect.replace {
            None => path.to_owned(),
            Some(Replace::Key(key)) => key.clone(),
            Some(Replace::Prefix(with)) => {
                let prefix = self.prefix.as_deref().unwrap_or_default();
                format!("{with}{}", path.strip_prefix(prefix).unwrap_or(path))
            }
        }
    }
}

fn invalid_host() -> InvalidWebsite {
    InvalidWebsite::Argument("HostName", "The host name is not well formed")
}

/// Whether a text is a host, with a port or without; AWS takes a path behind it, too.
fn is_host(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/[]%".contains(&b);
    !text.is_empty() && text.len() <= 1024 && !text.starts_with('/') && text.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(rules: Vec<RoutingRule>) -> Website {
        Website { index: Some("index.html".into()), rules, ..Website::default() }
    }

    fn rule(prefix: Option<&str>, error: Option<u16>, replace: Option<Replace>) -> RoutingRule {
        let redirect = Redirect { host: Some("h".into()), replace, ..Redirect::default() };
        RoutingRule { prefix: prefix.map(str::to_owned), error, redirect }
    }

    #[test]
    fn a_directory_is_its_index() {
        let site = site(vec![]);
        for (path, key) in [("", "index.html"), ("a/", "a/index.html"), ("a", "a"), ("a/b.html", "a/b.html")] {
            assert_eq!(site.key(path), key);
        }
    }

    #[test]
    fn rules_are_for_prefixes_and_statuses() {
        let site = site(vec![
            rule(Some("old/"), None, Some(Replace::Prefix("new/".into()))),
            rule(Some("old/"), Some(404), Some(Replace::Key("lost".into()))),
            rule(None, Some(403), None),
        ]);
        let sent = |path: &str, error| site.rule(path, error).map(|rule| rule.replaced(path));
        assert_eq!(sent("old/a", None).as_deref(), Some("new/a"));
        assert_eq!(sent("old/a", Some(404)).as_deref(), Some("lost"));
        assert_eq!(sent("a", Some(403)).as_deref(), Some("a"));
        assert_eq!((sent("a", None), sent("a", Some(404))), (None, None));
    }

    #[test]
    fn what_a_configuration_may_say() {
        let all = |host: &str| Website { elsewhere: Some((host.into(), None)), ..Website::default() };
        let status = |status| {
            let redirect = Redirect { status: Some(status), ..Redirect::default() };
            site(vec![RoutingRule { prefix: None, error: None, redirect }])
        };
        let empty = RoutingRule { prefix: None, error: None, redirect: Redirect::default() };
        for (site, legal) in [
            (site(vec![]), true),
            (all("example.com:8080"), true),
            (all("exa mple"), false),
            (all("a\r\nb"), false),
            (Website { index: Some("i".into()), ..all("h") }, false),
            (Website::default(), false),
            (Website { index: Some("a/b".into()), ..Website::default() }, false),
            (Website { index: Some(String::new()), ..Website::default() }, false),
            (Website { error: Some(String::new()), ..site(vec![]) }, false),
            (site(vec![rule(None, Some(404), None)]), true),
            (site(vec![rule(None, Some(200), None)]), false),
            (status(302), true),
            (status(300), false),
            (status(200), false),
            (site(vec![empty]), false),
            (site(vec![rule(None, None, None); ROUTING_RULES_MAX + 1]), false),
            (site(vec![rule(Some(&"p".repeat(WEBSITE_BYTES_MAX)), None, None)]), false),
        ] {
            let told = format!("{:?}", site.elsewhere);
            assert_eq!(site.checked().is_ok(), legal, "{told}");
        }
    }
}
