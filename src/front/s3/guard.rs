//! Refusals that s3s leaves to its users: each function is one rule over what a client sent.
//!
//! **Invariant:** what asks for a feature that does not exist is refused, never ignored; an operation is never more than
//! its query says.

use http::{HeaderMap, Method};

use super::error::{Refusal, Result};
use super::query;

/// `SignedHeaders` must name `host`, or a captured request could be replayed at another server.
pub(super) fn host_is_signed(headers: &HeaderMap, uri_query: Option<&str>) -> Result<()> {
    let signed = query::value(uri_query, "X-Amz-SignedHeaders").or_else(|| {
        let authorization = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
        let list = authorization.split("SignedHeaders=").nth(1)?;
        Some(list.split(',').next().unwrap_or_default().trim().to_owned())
    });
    let named = signed.is_some_and(|list| list.split(';').any(|name| name.eq_ignore_ascii_case("host")));
    if named { Ok(()) } else { Err(Refusal::denied("The host header must be signed.")) }
}

/// A session token that nobody has verified must not be accepted.
pub(super) fn no_session_token(headers: &HeaderMap, uri_query: Option<&str>) -> Result<()> {
    let in_query = uri_query.is_some_and(|q| {
        query::pairs(q).any(|(name, _)| query::decoded(name).eq_ignore_ascii_case("x-amz-security-token"))
    });
    if in_query || headers.contains_key("x-amz-security-token") {
        return Err(invalid_token());
    }
    Ok(())
}

/// A session token where none counts.
pub(super) fn invalid_token() -> Refusal {
    Refusal::new(400, "InvalidToken", "The provided token is malformed or otherwise invalid.")
}

/// An operation into which unknown sub-resources would fall through: each name of the query must be known, or a
/// `DELETE /bucket?logging` would delete the bucket. Names are compared undecoded, so tricks fail closed.
pub(super) fn no_fall_through(operation: &str, uri_query: Option<&str>) -> Result<()> {
    let allowed: &[&str] = match operation {
        "CreateBucket" | "DeleteBucket" | "PutObject" | "CopyObject" => &[],
        "DeleteObject" => &["versionId"],
        _ => return Ok(()),
    };
    for (name, _) in query::pairs(uri_query.unwrap_or_default()) {
        let known = name == "x-id" || allowed.contains(&name);
        if !known && !name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("x-amz-")) {
            return Err(Refusal::not_implemented("A sub-resource of this request"));
        }
    }
    Ok(())
}

/// Headers in the query that nothing took from there (see `hoisted`): those that change what is written must not be lost.
/// A checksum in a presigned URL is that of no bytes, as the signer does not know the body; tags S3 ignores there.
pub(super) fn no_hoisted_headers(method: &Method, uri_query: Option<&str>) -> Result<()> {
    if method == Method::GET || method == Method::HEAD {
        return Ok(());
    }
    for (name, _) in query::pairs(uri_query.unwrap_or_default()) {
        let name = query::decoded(name).to_ascii_lowercase();
        let harmless = query::is_signature(&name)
            || matches!(
                name.as_str(),
                "x-amz-content-sha256" | "x-amz-user-agent" | "x-amz-sdk-checksum-algorithm" | "x-amz-tagging"
            )
            || name.starts_with("x-amz-checksum-");
        if name.starts_with("x-amz-") && !harmless {
            return Err(Refusal::not_implemented(&format!("The query parameter {name}")));
        }
    }
    Ok(())
}

/// What only a signed request may ask for. Without a signature s3s would not take the framing of a chunked body off,
/// and anybody could make a public object answer with a type of their choice.
pub(super) fn anonymous(headers: &HeaderMap, uri_query: Option<&str>) -> Result<()> {
    if is_framed(headers) {
        return Err(Refusal::request("A chunked upload must be signed."));
    }
    let overrides = query::pairs(uri_query.unwrap_or_default())
        .any(|(name, _)| query::decoded(name).to_ascii_lowercase().starts_with("response-"));
    if overrides {
        return Err(Refusal::request("Request specific response headers cannot be used for anonymous GET requests."));
    }
    Ok(())
}

/// Whether the body is in chunks of the protocol's own, which s3s takes off behind a signature of its own kind only.
pub(super) fn is_framed(headers: &HeaderMap) -> bool {
    let holds = |name: &str, needle: &str| {
        headers.get_all(name).iter().any(|v| v.to_str().is_ok_and(|v| v.to_ascii_lowercase().contains(needle)))
    };
    holds("x-amz-content-sha256", "streaming-")
        || holds("content-encoding", "aws-chunked")
        || headers.contains_key("x-amz-decoded-content-length")
        || headers.contains_key("x-amz-trailer")
}

/// Headers of features that do not exist here.
pub(super) fn features(headers: &HeaderMap) -> Result<()> {
    const ABSENT: [&str; 4] =
        ["x-amz-write-offset-bytes", "x-amz-rename-source", "x-amz-bucket-namespace", "x-amz-if-match-initiated-time"];
    match ABSENT.into_iter().find(|name| headers.contains_key(*name)) {
        Some(name) => Err(Refusal::not_implemented(&format!("The header {name}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (n.parse().expect("a name"), v.parse().expect("a value"))).collect()
    }

    #[test]
    fn an_operation_is_never_more_than_its_query_says() {
        for (operation, query, fits) in [
            ("DeleteBucket", "", true),
            ("DeleteBucket", "logging", false),
            ("DeleteBucket", "lo%67ging", false),
            ("DeleteBucket", "x-id=DeleteBucket", true),
            ("DeleteBucket", "versionId=1", false),
            ("DeleteObject", "versionId=1", true),
            ("DeleteObject", "acl", false),
            ("PutObject", "X-Amz-Signature=1&x-id=PutObject", true),
            ("PutObject", "partNumber=1", false),
            ("PutObject", "é", false),
            ("CreateBucket", "location=", false),
            ("CopyObject", "append", false),
            ("GetObject", "anything", true),
        ] {
            assert_eq!(no_fall_through(operation, Some(query)).is_ok(), fits, "{operation}?{query}");
        }
    }

    #[test]
    fn host_must_be_among_the_signed_headers() {
        let signed = |list: &str| {
            let value = format!("AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders={list}, Signature=00");
            let mut headers = HeaderMap::new();
            headers.insert("authorization", value.parse().expect("a value"));
            host_is_signed(&headers, None).is_ok()
        };
        assert!(signed("host;x-amz-date") && signed("x-amz-date;Host"));
        assert!(!signed("x-amz-date") && !signed("x-host") && !signed(""));
        assert!(host_is_signed(&HeaderMap::new(), Some("X-Amz-SignedHeaders=host%3Bx-a")).is_ok());
        assert!(host_is_signed(&HeaderMap::new(), Some("X-Amz-SignedHeaders=x-foo")).is_err());
        assert!(host_is_signed(&HeaderMap::new(), None).is_err());
    }

    #[test]
    fn features_that_do_not_exist_are_not_ignored() {
        for (name, value, fits) in [
            ("x-amz-acl", "private", true),
            ("x-amz-acl", "public-read", true),
            ("x-amz-tagging", "a=b", true),
            ("x-amz-tagging-directive", "COPY", true),
            ("x-amz-server-side-encryption", "AES256", true),
            ("x-amz-object-lock-mode", "GOVERNANCE", true),
            ("x-amz-grant-read", "id=1", true),
            ("x-amz-write-offset-bytes", "3", false),
            ("x-amz-meta-tagging", "a", true),
            ("content-type", "a", true),
        ] {
            assert_eq!(features(&headers(&[(name, value)])).is_ok(), fits, "{name}: {value}");
        }
    }

    #[test]
    fn only_the_signed_may_send_chunks_or_override_headers() {
        let none = HeaderMap::new();
        assert!(anonymous(&none, Some("versionId=1")).is_ok());
        assert!(anonymous(&none, Some("Response%2DContent-Type=text/html")).is_err());
        assert!(anonymous(&headers(&[("content-encoding", "gzip, AWS-chunked")]), None).is_err());
        assert!(anonymous(&headers(&[("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")]), None).is_err());
        assert!(anonymous(&headers(&[("x-amz-decoded-content-length", "1")]), None).is_err());
    }

    #[test]
    fn hoisted_headers_and_session_tokens() {
        assert!(no_hoisted_headers(&Method::PUT, Some("x-amz-acl=private")).is_err());
        assert!(no_hoisted_headers(&Method::PUT, Some("X-Amz-Meta-A=1")).is_err());
        assert!(no_hoisted_headers(&Method::PUT, Some("x-amz-object-lock-mode=GOVERNANCE")).is_err());
        assert!(no_hoisted_headers(&Method::PUT, Some("X-Amz-Signature=1&x-amz-checksum-crc32=A")).is_ok());
        assert!(no_hoisted_headers(&Method::PUT, Some("x-amz-tagging=a%3Db")).is_ok());
        assert!(no_hoisted_headers(&Method::GET, Some("x-amz-checksum-mode=ENABLED")).is_ok());
        assert!(no_session_token(&HeaderMap::new(), Some("x-amz-security-token=a")).is_err());
        assert!(no_session_token(&headers(&[("x-amz-security-token", "a")]), None).is_err());
    }
}
