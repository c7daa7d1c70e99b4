//! What is looked at before s3s sees a request: what it would read in two ways, buffer without a bound, or not verify.
//!
//! **Invariant:** one request names one host and one signature; no XML body reaches s3s whole unless its length and
//! every digest that came with it agree.

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, HOST, HeaderName, TRANSFER_ENCODING,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body::Body as _;

use super::detached::Detached;
use super::error::{Refusal, Result};
use super::exchange::Exchange;
use super::host::{self, Hosts};
use super::rewrite::http_moment;
use super::scope::{AMZ_DATE, BASIC};
use super::{hoisted, last_chunk, query, references, scope, xml_body};
use crate::config::limits::{BODY_XML_BYTES_MAX, FIELDS_BYTES_MAX, URI_BYTES_MAX};

/// Longest life of a signature in the query, in seconds.
const SIGNED_QUERY_SECONDS_MAX: i64 = 7 * 24 * 60 * 60;

/// Looks at a request and hands it on in the shape that s3s takes.
pub(super) fn admit<B>(request: Request<B>, hosts: &Hosts, exchange: &Exchange) -> Result<Request<s3s::Body>>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let (mut parts, body) = request.into_parts();
    sizes(&parts)?;
    one_host(&parts)?;
    one_signature(&mut parts)?;
    lengths(&parts)?;
    join_lists(&mut parts.headers);
    time_of_signature(&mut parts.headers);
    scope::fits(&parts.headers, parts.uri.query())?;
    parts.extensions.insert(exchange.clone());
    let mut body = last_chunk::required(&parts.headers, s3s::Body::http_body_unsync(body));
    let framed = parts.headers.contains_key(CONTENT_LENGTH) || parts.headers.contains_key(TRANSFER_ENCODING);
    if let Some(length) = body.size_hint().exact().filter(|_| !framed) {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    if let Some(kind) = xml_kind(&parts, hosts) {
        let length = parts.headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > BODY_XML_BYTES_MAX as u64) {
            return Err(xml_body::too_long());
        }
        body = xml_body::checked(body, &parts.headers, kind, length, exchange.clone())?;
        // A list of parts has no text of the client's, and what comes in chunks is read as it comes.
        if kind != xml_body::Kind::Parts && !parts.headers.contains_key("x-amz-decoded-content-length") {
            parts.extensions.insert(references::Document);
        }
    } else if parts.method == Method::PUT && !parts.headers.contains_key(CONTENT_LENGTH) {
        body = match Detached::take(&parts.headers, body) {
            Ok(detached) => {
                parts.extensions.insert(detached);
                s3s::Body::empty()
            }
            Err(body) => body,
        };
    }
    Ok(Request::from_parts(parts, body))
}

fn sizes(parts: &Parts) -> Result<()> {
    if parts.uri.path_and_query().map_or(0, |text| text.as_str().len()) > URI_BYTES_MAX {
        return Err(Refusal::new(400, "InvalidURI", "The URI is too long."));
    }
    let bytes: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > FIELDS_BYTES_MAX {
        return Err(Refusal::new(
            400,
            "RequestHeaderSectionTooLarge",
            "Your request header section exceeds the maximum allowed size.",
        ));
    }
    Ok(())
}

fn one_host(parts: &Parts) -> Result<()> {
    if parts.headers.get_all(HOST).iter().count() > 1 {
        return Err(Refusal::request("The Host header was sent more than once."));
    }
    Ok(())
}

/// One `Authorization` or one signature in the query, each part of it once. What looks like half a signature is refused,
/// or it would be served as anonymous.
fn one_signature(parts: &mut Parts) -> Result<()> {
    let mut seen: Vec<String> = Vec::new();
    for (name, _) in query::pairs(parts.uri.query().unwrap_or_default()) {
        let name = query::decoded(name);
        if query::is_signature(&name) {
            seen.push(name.to_ascii_lowercase());
        }
    }
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    let exact = query::value(parts.uri.query(), "X-Amz-Signature").is_some();
    let malformed = |message| Refusal::new(400, "AuthorizationQueryParametersError", message);
    if seen.len() < count {
        return Err(malformed("A query parameter of the signature was sent more than once."));
    }
    if count > 0 && !exact && seen.iter().any(|name| name != "x-amz-security-token" && name != "x-amz-date") {
        return Err(malformed("Query-string authentication needs all of its X-Amz-* parameters."));
    }
    lifetime(parts.uri.query().filter(|_| exact))?;
    let headers = &mut parts.headers;
    if headers.get_all(AUTHORIZATION).iter().count() > 1 {
        return Err(Refusal::request("The Authorization header was sent more than once."));
    }
    // An empty one is that of nobody.
    if headers.get(AUTHORIZATION).is_some_and(|value| value.as_bytes().trim_ascii().is_empty()) {
        headers.remove(AUTHORIZATION);
    }
    match headers.get(AUTHORIZATION) {
        Some(_) if exact => Err(Refusal::new(
            400,
            "InvalidArgument",
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string \
             parameter or the Authorization header should be specified",
        )),
        Some(value) if !is_scheme(value.as_bytes()) => {
            Err(Refusal::new(400, "InvalidArgument", "Unsupported Authorization Type")
                .with("ArgumentName", "Authorization"))
        }
        _ => Ok(()),
    }
}

/// Whether this is an `Authorization` of a form that s3s knows and says the right thing about.
fn is_scheme(value: &[u8]) -> bool {
    match value.strip_prefix(b"AWS ") {
        // The second version: a key, a colon, and a signature.
        Some(rest) => rest.iter().position(|b| *b == b':').is_some_and(|at| at > 0 && at + 1 < rest.len()),
        None => value.starts_with(b"AWS4-"),
    }
}

/// A signature in the query lives for a second to a week.
fn lifetime(signed: Option<&str>) -> Result<()> {
    match query::value(signed, "X-Amz-Expires").and_then(|seconds| seconds.parse::<i64>().ok()) {
        Some(seconds) if !(1..=SIGNED_QUERY_SECONDS_MAX).contains(&seconds) => {
            Err(Refusal::denied("X-Amz-Expires must be between 1 and 604800 seconds"))
        }
        _ => Ok(()),
    }
}

/// A signature may be made for the time in `Date`, where s3s does not look. It is the one that is verified: a time other
/// than that of the signature makes another signature.
fn time_of_signature(headers: &mut HeaderMap) {
    let signed = headers.get(AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(b"AWS4-"));
    if !signed || headers.contains_key(AMZ_DATE) || headers.get_all(DATE).iter().count() != 1 {
        return;
    }
    let at = headers.get(DATE).and_then(|value| http_moment(value.to_str().ok()?));
    let text = at.and_then(|at| HeaderValue::from_str(&at.format(BASIC).ok()?).ok());
    headers.extend(text.map(|text| (AMZ_DATE, text)));
}

fn lengths(parts: &Parts) -> Result<()> {
    let length = parts.headers.contains_key(CONTENT_LENGTH);
    if length && parts.headers.contains_key(TRANSFER_ENCODING) {
        return Err(Refusal::request("Transfer-Encoding and Content-Length exclude each other."));
    }
    if is_form(parts) && !length {
        return Err(Refusal::new(411, "MissingContentLength", "You must provide the Content-Length HTTP header."));
    }
    Ok(())
}

fn is_form(parts: &Parts) -> bool {
    parts.method == Method::POST && parts.headers.get_all(CONTENT_TYPE).iter().any(hoisted::is_form)
}

/// Joins user metadata and encodings that were sent in several headers of one name, as the canonical request of the
/// signature does.
fn join_lists(headers: &mut HeaderMap) {
    let repeated: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("x-amz-meta-") || **name == CONTENT_ENCODING)
        .filter(|name| headers.get_all(*name).iter().count() > 1)
        .cloned()
        .collect();
    for name in repeated {
        let values: Vec<&[u8]> = headers.get_all(&name).iter().map(|value| value.as_bytes().trim_ascii()).collect();
        if let Ok(value) = HeaderValue::from_bytes(&values.join(&b',')) {
            headers.insert(name, value);
        }
    }
}

/// Which digests belong to the XML body of this request, if it has one.
fn xml_kind(parts: &Parts, hosts: &Hosts) -> Option<xml_body::Kind> {
    let has = |wanted: &str| {
        query::pairs(parts.uri.query().unwrap_or_default()).any(|(name, _)| query::decoded(name) == wanted)
    };
    if parts.method == Method::POST && !is_form(parts) {
        // The checksums of Complete are those of the object.
        return Some(match (has("uploadId"), has("delete")) {
            (true, _) => xml_body::Kind::Parts,
            (false, true) => xml_body::Kind::Deletes,
            (false, false) => xml_body::Kind::Plain,
        });
    }
    // What is attached to an object comes as a document, its bytes do not.
    let attached = || ["acl", "tagging", "retention", "legal-hold"].into_iter().any(has);
    (parts.method == Method::PUT && (is_bucket(parts, hosts) || attached())).then_some(xml_body::Kind::Plain)
}

fn is_bucket(parts: &Parts, hosts: &Hosts) -> bool {
    let host = host::of(&parts.uri, &parts.headers);
    let path = query::decoded_path(parts.uri.path());
    let path = path.strip_prefix('/').unwrap_or(&path);
    match hosts.bucket(host) {
        Some(_) => path.is_empty(),
        None => !path.trim_end_matches('/').contains('/'),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;
    use crate::front::facts::RequestFacts;

    fn code(method: &str, uri: &str, headers: &[(&'static str, &'static str)]) -> Option<String> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::new())).expect("a request");
        let exchange = Exchange::new(RequestFacts::default());
        admit(request, &Hosts::default(), &exchange).err().map(|refusal| refusal.code.into_owned())
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        const SIGNED: &str = "/b/k?X-Amz-Signature=1&X-Amz-Credential=2";
        let long = format!("/b/{}", "k".repeat(9000));
        for (method, uri, headers, wanted) in [
            ("GET", "/b/k", &[][..], None),
            ("GET", SIGNED, &[], None),
            ("GET", SIGNED, &[("authorization", "AWS4-HMAC-SHA256 x")], Some("InvalidArgument")),
            ("GET", "/b/k", &[("authorization", "AWS a"), ("authorization", "AWS b")], Some("InvalidRequest")),
            ("GET", "/b/k", &[("authorization", "Bearer a")], Some("InvalidArgument")),
            ("GET", "/b/k", &[("authorization", "")], None),
            ("HEAD", "/b/k", &[("authorization", "AWS4-HMAC-SHA256 x")], Some("AuthorizationHeaderMalformed")),
            ("GET", "/b/k", &[("authorization", "AWS HAHAHA")], Some("InvalidArgument")),
            ("GET", "/b/k", &[("authorization", "AWS key:signature")], None),
            ("GET", "/b/k?X-Amz-Signature=1&X-Amz-Expires=-1", &[], Some("AccessDenied")),
            ("GET", "/b/k?X-Amz-Signature=1&X-Amz-Expires=604801", &[], Some("AccessDenied")),
            ("GET", "/b/k?X-Amz-Signature=1&X-Amz-Expires=604800", &[], None),
            ("GET", "/b/k", &[("host", "a"), ("host", "b")], Some("InvalidRequest")),
            ("GET", "/b/k?X-Amz-Credential=1", &[], Some("AuthorizationQueryParametersError")),
            ("GET", "/b/k?x-amz-signature=1", &[], Some("AuthorizationQueryParametersError")),
            ("GET", "/b/k?X-Amz-Signature=1&X%2DAmz-Signature=2", &[], Some("AuthorizationQueryParametersError")),
            ("GET", &long, &[], Some("InvalidURI")),
            ("PUT", "/b/k", &[("transfer-encoding", "chunked"), ("content-length", "3")], Some("InvalidRequest")),
            ("POST", "/b", &[("content-type", "Multipart/Form-Data; boundary=a")], Some("MissingContentLength")),
            ("POST", "/b?delete", &[("content-length", "3000000")], Some("MaxMessageLengthExceeded")),
        ] {
            assert_eq!(code(method, uri, headers).as_deref(), wanted, "{method} {uri} {headers:?}");
        }
    }

    #[test]
    fn the_date_is_the_time_of_a_signature_without_one() {
        let time = |pairs: &[(&'static str, &'static str)]| {
            let mut headers: HeaderMap =
                pairs.iter().map(|(n, v)| (n.parse().expect("a name"), v.parse().expect("a value"))).collect();
            time_of_signature(&mut headers);
            headers.get(AMZ_DATE).map(|value| value.to_str().expect("text").to_owned())
        };
        let (signed, date) = (("authorization", "AWS4-HMAC-SHA256 x"), ("date", "Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_eq!(time(&[signed, date]).as_deref(), Some("19941106T084937Z"));
        assert_eq!(time(&[signed, date, ("x-amz-date", "20200101T000000Z")]).as_deref(), Some("20200101T000000Z"));
        assert_eq!(time(&[signed, ("date", "yesterday")]), None);
        assert_eq!(time(&[date]), None);
    }

    #[test]
    fn repeated_metadata_is_joined() {
        let mut headers = HeaderMap::new();
        headers.append("x-amz-meta-a", "1".parse().expect("a value"));
        headers.append("x-amz-meta-a", " 2".parse().expect("a value"));
        join_lists(&mut headers);
        assert_eq!(headers.get_all("x-amz-meta-a").iter().collect::<Vec<_>>(), ["1,2"]);
    }
}
