//! Which pages of other origins may use a bucket from a browser: the rules of a CORS configuration, and the first that
//! matches.
//!
//! **Invariant:** a [`Cors`] holds at least one rule and at most [`CORS_RULES_MAX`], each pattern has at most one
//! wildcard, and every text of it can stand in a header of an answer.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Most rules of one bucket (the S3 limit).
pub const CORS_RULES_MAX: usize = 100;
/// Most bytes of all texts of a configuration (the S3 limit).
pub const CORS_BYTES_MAX: usize = 64 * 1024;
/// Longest id of a rule, in characters (the S3 limit).
const ID_CHARS_MAX: usize = 255;
/// Most headers that one preflight asks about; no browser comes near, and each is held against every pattern.
const HEADERS_ASKED_MAX: usize = 100;

/// A method that a rule can allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// GET.
    Get,
    /// PUT.
    Put,
    /// POST.
    Post,
    /// DELETE.
    Delete,
    /// HEAD.
    Head,
}

impl Method {
    const ALL: [(Self, &'static str); 5] =
        [(Self::Get, "GET"), (Self::Put, "PUT"), (Self::Post, "POST"), (Self::Delete, "DELETE"), (Self::Head, "HEAD")];

    /// From its name, which is in upper case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, text)| *text == name).map(|(method, _)| method)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
            Self::Head => "HEAD",
        }
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorsRule {
    /// The name its owner gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Methods, in the order given.
    pub methods: Vec<Method>,
    /// Origins, with at most one `*` in each.
    pub origins: Vec<String>,
    /// Headers that a request may have, with at most one `*` in each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// Headers of answers that a page may see.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exposed: Vec<String>,
    /// Seconds for which a browser may remember the answer to a preflight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u32>,
}

/// The rules of a bucket, in the order given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cors(Vec<CorsRule>);

/// Why rules are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidCors {
    /// They do not have the form of a configuration: none, too many, or one without a method or an origin.
    Form,
    /// All their texts together are too long.
    TooLong,
    /// One of them says what cannot be: a sentence for the client.
    Rule(String),
}

impl fmt::Display for InvalidCors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str("the configuration has no rules, too many, or a rule without method or origin"),
            Self::TooLong => f.write_str("the configuration is too long"),
            Self::Rule(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for InvalidCors {}

impl Cors {
    /// Checks and takes rules.
    ///
    /// # Errors
    /// [`InvalidCors`].
    pub fn new(rules: Vec<CorsRule>) -> Result<Self, InvalidCors> {
        if rules.is_empty() || rules.len() > CORS_RULES_MAX {
            return Err(InvalidCors::Form);
        }
        if rules.iter().flat_map(CorsRule::texts).map(str::len).sum::<usize>() > CORS_BYTES_MAX {
            return Err(InvalidCors::TooLong);
        }
        rules.iter().try_for_each(CorsRule::check)?;
        Ok(Self(rules))
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &[CorsRule] {
        &self.0
    }

    /// The first rule that lets a page of `origin` use `method` with these headers.
    #[must_use]
    pub fn rule(&self, origin: &str, method: Method, headers: &[&str]) -> Option<&CorsRule> {
        if headers.len() > HEADERS_ASKED_MAX {
            return None;
        }
        self.0.iter().find(|rule| {
            rule.methods.contains(&method)
                && rule.origins.iter().any(|pattern| matches(pattern, origin, false))
                && headers.iter().all(|asked| rule.headers.iter().any(|pattern| matches(pattern, asked, true)))
        })
    }
}

impl CorsRule {
    fn texts(&self) -> impl Iterator<Item = &str> {
        let lists = [&self.origins, &self.headers, &self.exposed];
        lists.into_iter().flatten().chain(&self.id).map(String::as_str)
    }

    fn check(&self) -> Result<(), InvalidCors> {
        if self.methods.is_empty() || self.origins.is_empty() {
            return Err(InvalidCors::Form);
        }
        let rule = |message: String| Err(InvalidCors::Rule(message));
        if self.id.as_ref().is_some_and(|id| id.chars().count() > ID_CHARS_MAX) {
            return rule("The ID of a CORS rule must not be longer than 255 characters.".to_owned());
        }
        for (name, patterns) in [("AllowedOrigin", &self.origins), ("AllowedHeader", &self.headers)] {
            for pattern in patterns {
                if pattern.matches('*').count() > 1 {
                    return rule(format!("{name} \"{pattern}\" can not have more than one wildcard."));
                }
                if pattern.is_empty() || !pattern.chars().all(|c| c.is_ascii_graphic()) {
                    return rule(format!("{name} must be of printable characters without spaces."));
                }
            }
        }
        for header in &self.exposed {
            if header.contains('*') {
                return rule(format!(
                    "ExposeHeader \"{header}\" contains wildcard. We currently do not support wildcard for ExposeHeader."
                ));
            }
            if header.is_empty() || !header.bytes().all(is_token) {
                return rule("ExposeHeader must be the name of a header.".to_owned());
            }
        }
        Ok(())
    }

    /// What an answer says to a page of `origin`: `*` if the rule is for all.
    #[must_use]
    pub fn allowed_origin<'o>(&self, origin: &'o str) -> &'o str {
        if self.origins.iter().any(|pattern| pattern == "*") { "*" } else { origin }
    }
}

/// A character of the name of a header.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&byte)
}

/// Whether a text fits a pattern, whose one `*` stands for anything.
fn matches(pattern: &str, text: &str, fold: bool) -> bool {
    let same = |a: &[u8], b: &[u8]| if fold { a.eq_ignore_ascii_case(b) } else { a == b };
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let Some(star) = pattern.iter().position(|b| *b == b'*') else { return same(pattern, text) };
    let (start, end) = (&pattern[..star], &pattern[star + 1..]);
    text.len() >= start.len() + end.len()
        && same(start, &text[..start.len()])
        && same(end, &text[text.len() - end.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(methods: &[Method], origins: &[&str], headers: &[&str]) -> CorsRule {
        let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        CorsRule {
            id: None,
            methods: methods.to_vec(),
            origins: texts(origins),
            headers: texts(headers),
            exposed: Vec::new(),
            max_age: None,
        }
    }

    #[test]
    fn patterns_have_one_wildcard() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("*", "http://a", true),
            ("start*end", "startend", true),
            ("start*end", "start1end", true),
            ("start*end", "0start1end", false),
            ("ab*ba", "aba", false),
            ("*suffix", "foo.suffix", true),
            ("*suffix", "foo.suffix.get", false),
            ("prefix*", "prefix", true),
            ("http://a", "http://A", false),
        ] {
            assert_eq!(matches(pattern, text, false), fits, "{pattern} {text}");
        }
        assert!(matches("X-Amz-*", "x-amz-date", true));
    }

    #[test]
    fn the_first_rule_that_matches_counts() {
        let first = CorsRule { max_age: Some(1), ..rule(&[Method::Get], &["http://a"], &["x-*"]) };
        let second = CorsRule { max_age: Some(2), ..rule(&[Method::Get, Method::Put], &["*"], &[]) };
        let cors = Cors::new(vec![first, second]).expect("legal");
        let age = |origin, method, headers: &[&str]| cors.rule(origin, method, headers).map(|rule| rule.max_age);
        assert_eq!(age("http://a", Method::Get, &[]), Some(Some(1)));
        assert_eq!(age("http://a", Method::Get, &["X-A"]), Some(Some(1)));
        assert_eq!(age("http://a", Method::Put, &[]), Some(Some(2)));
        assert_eq!(age("http://b", Method::Get, &["x-a"]), None);
        assert_eq!(age("http://b", Method::Delete, &[]), None);
        assert_eq!(age("http://a", Method::Get, &["x-a"; HEADERS_ASKED_MAX + 1]), None);
    }

    #[test]
    fn what_a_configuration_may_say() {
        let get = &[Method::Get][..];
        let long = "h".repeat(CORS_BYTES_MAX);
        for (rules, refused) in [
            (vec![], Some("no rules")),
            (vec![rule(get, &["*"], &[]); CORS_RULES_MAX + 1], Some("no rules")),
            (vec![rule(get, &["*"], &[]); CORS_RULES_MAX], None),
            (vec![rule(&[], &["*"], &[])], Some("no rules")),
            (vec![rule(get, &[], &[])], Some("no rules")),
            (vec![rule(get, &["http://*.*"], &[])], Some("wildcard")),
            (vec![rule(get, &["*"], &["*-*"])], Some("wildcard")),
            (vec![rule(get, &["a\nb"], &[])], Some("printable")),
            (vec![rule(get, &[&long, "*"], &[])], Some("too long")),
            (vec![CorsRule { exposed: vec!["x-*".into()], ..rule(get, &["*"], &[]) }], Some("wildcard")),
            (vec![CorsRule { exposed: vec!["a b".into()], ..rule(get, &["*"], &[]) }], Some("name of a header")),
            (vec![CorsRule { id: Some("i".repeat(256)), ..rule(get, &["*"], &[]) }], Some("255")),
        ] {
            let told = Cors::new(rules).err().map(|error| error.to_string());
            assert_eq!(told.is_some(), refused.is_some(), "{told:?} {refused:?}");
            assert!(told.zip(refused).is_none_or(|(told, part)| told.contains(part)), "{refused:?}");
        }
    }
}
