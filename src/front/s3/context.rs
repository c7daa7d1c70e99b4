//! The circumstances of a request, as the conditions of policies ask for them.
//!
//! **Invariant:** what is told here is what is served: a parameter or header that was sent twice, which no operation
//! takes, counts as not sent; the address is the socket's, whatever a header says.

use http::header::{AUTHORIZATION, IF_MATCH, IF_NONE_MATCH, REFERER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{copy, query};
use crate::front::facts::RequestFacts;
use crate::model::context::RequestContext;
use crate::model::tag::Tag;
use crate::model::time::{Clock, Timestamp};

/// How a request was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scheme {
    in_query: bool,
    version: &'static str,
}

impl Scheme {
    /// From where the signature stands. `None`: there is none.
    pub(super) fn of(headers: &HeaderMap, query: Option<&str>) -> Option<Self> {
        if let Some(value) = headers.get(AUTHORIZATION) {
            let version = if value.as_bytes().starts_with(b"AWS4-") { "AWS4-HMAC-SHA256" } else { "AWS" };
            return Some(Self { in_query: false, version });
        }
        let has = |name| query::value(query, name).is_some();
        let version = if has("X-Amz-Signature") {
            "AWS4-HMAC-SHA256"
        } else if has("Signature") {
            "AWS"
        } else {
            return None;
        };
        Some(Self { in_query: true, version })
    }
}

/// The parameters that are condition keys, with the keys.
const PARAMETERS: [(&str, &str); 4] = [
    ("prefix", "s3:prefix"),
    ("delimiter", "s3:delimiter"),
    ("max-keys", "s3:max-keys"),
    ("versionId", "s3:versionid"),
];

/// The headers that are condition keys, with the keys; beside those of Amazon's own.
const HEADERS: [(HeaderName, &str); 4] = [
    (REFERER, "aws:referer"),
    (USER_AGENT, "aws:useragent"),
    (IF_MATCH, "s3:if-match"),
    (IF_NONE_MATCH, "s3:if-none-match"),
];

/// The headers that are condition keys under another name too.
const LOCKS: [(&str, &str); 3] = [
    ("x-amz-object-lock-mode", "s3:object-lock-mode"),
    ("x-amz-object-lock-retain-until-date", "s3:object-lock-retain-until-date"),
    ("x-amz-object-lock-legal-hold", "s3:object-lock-legal-hold"),
];

/// The circumstances of a request. `source`: the copy source as the client sent it, where it was changed since.
pub(super) fn of(
    facts: &RequestFacts,
    headers: &HeaderMap,
    query: Option<&str>,
    scheme: Option<Scheme>,
    source: Option<&HeaderValue>,
) -> RequestContext {
    let mut context = RequestContext {
        source_ip: facts.peer(),
        secure: facts.is_secure(),
        at: Some(Clock::now()),
        ..RequestContext::default()
    };
    let mut put = |key: &str, value: String| {
        context.values.insert(key.to_owned(), vec![value]);
    };
    for (parameter, key) in PARAMETERS {
        let mut sent = query::pairs(query.unwrap_or_default()).filter(|(name, _)| query::decoded(name) == parameter);
        if let (Some((_, value)), None) = (sent.next(), sent.next()) {
            put(key, query::decoded(value));
        }
    }
    for (name, key) in HEADERS {
        if let Some(value) = single(headers, name.as_str()) {
            put(key, value);
        }
    }
    for name in headers.keys().map(HeaderName::as_str) {
        if name.starts_with("x-amz-")
            && !name.starts_with("x-amz-meta-")
            && let Some(value) = single(headers, name)
        {
            put(&format!("s3:{name}"), value);
        }
    }
    for (name, key) in LOCKS {
        if let Some(value) = single(headers, name) {
            put(key, value);
        }
    }
    if let Some(days) = single(headers, "x-amz-object-lock-retain-until-date").and_then(|until| days_until(&until)) {
        put("s3:object-lock-remaining-retention-days", days.to_string());
    }
    let source = source.and_then(text).or_else(|| single(headers, "x-amz-copy-source"));
    if let Some(source) = source {
        // What cannot be decoded is refused by the operation itself.
        put("s3:x-amz-copy-source", copy::named(&source).map_or(source.clone(), |(path, _)| path));
    }
    if let Some(scheme) = scheme {
        put("s3:authtype", if scheme.in_query { "REST-QUERY-STRING" } else { "REST-HEADER" }.to_owned());
        put("s3:signatureversion", scheme.version.to_owned());
    }
    if let Some(tags) = single(headers, "x-amz-tagging") {
        let tag = |(key, value)| Tag { key: query::decoded(key), value: query::decoded(value) };
        context.tags = query::pairs(&tags).map(tag).collect();
    }
    context
}

fn text(value: &HeaderValue) -> Option<String> {
    value.to_str().ok().map(str::to_owned)
}

/// The value of a header that was sent once.
fn single(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => text(value),
        _ => None,
    }
}

/// Whole days from now to a date.
fn days_until(date: &str) -> Option<i64> {
    let until = Timestamp::from_utc(OffsetDateTime::parse(date, &Rfc3339).ok()?);
    Some((until.seconds() - Clock::now().seconds()).div_euclid(24 * 60 * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(query: &str, headers: &[(&'static str, &'static str)]) -> RequestContext {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let facts = RequestFacts::default();
        facts.set_origin([192, 0, 2, 1].into(), true);
        of(&facts, &map, Some(query), Scheme::of(&map, Some(query)), None)
    }

    #[test]
    fn what_is_known_of_a_request() {
        let query = "prefix=a%2Fb&delimiter=/&delimiter=-&X-Amz-Signature=s";
        let headers = [
            ("referer", "http://x/"),
            ("x-amz-acl", "private"),
            ("x-amz-meta-a", "b"),
            ("x-amz-website-redirect-location", "/1"),
            ("x-amz-website-redirect-location", "/2"),
            ("x-amz-copy-source", "/b/public%20a+b?versionId=1"),
            ("x-amz-tagging", "Security=public&a+b=%26"),
            ("x-forwarded-for", "10.0.0.1"),
        ];
        let context = context(query, &headers);
        let value = |key: &str| context.values.get(key).map(|values| values.join(","));
        for (key, wanted) in [
            ("s3:prefix", Some("a/b")),
            ("s3:delimiter", None),
            ("s3:max-keys", None),
            ("aws:referer", Some("http://x/")),
            ("aws:useragent", None),
            ("s3:x-amz-acl", Some("private")),
            ("s3:x-amz-meta-a", None),
            ("s3:x-amz-website-redirect-location", None),
            ("s3:x-amz-copy-source", Some("b/public a b")),
            ("s3:authtype", Some("REST-QUERY-STRING")),
            ("s3:signatureversion", Some("AWS4-HMAC-SHA256")),
        ] {
            assert_eq!(value(key).as_deref(), wanted, "{key}");
        }
        let tags: Vec<_> = context.tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str())).collect();
        assert_eq!(tags, [("Security", "public"), ("a b", "&")]);
        assert_eq!(context.source_ip, Some([192, 0, 2, 1].into()));
        assert!(context.secure);
    }

    #[test]
    fn how_a_request_is_signed() {
        let kind = |query: &str, headers: &[(&'static str, &'static str)]| {
            let context = context(query, headers);
            let value = |key: &str| context.values.get(key).map(|values| values.join(","));
            value("s3:authtype").zip(value("s3:signatureversion"))
        };
        let some = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(kind("", &[]), None);
        assert_eq!(kind("", &[("authorization", "AWS4-HMAC-SHA256 x")]), some("REST-HEADER", "AWS4-HMAC-SHA256"));
        assert_eq!(kind("", &[("authorization", "AWS a:b")]), some("REST-HEADER", "AWS"));
        assert_eq!(kind("Signature=x", &[]), some("REST-QUERY-STRING", "AWS"));
    }
}
