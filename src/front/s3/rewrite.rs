//! Headers that s3s reads more strictly than S3 does.
//!
//! A `Range` that means nothing is to be ignored, as is a date that is none; a copy source may be a bucket whose name
//! Amazon would not allow. s3s refuses all of these, and where they are signed they cannot be changed before the
//! signature is verified. So such a request takes a route of its own: s3s verifies it as it came, and then it is served
//! with plain headers under the identity that was verified. So does one whose signer moved headers into the query (see
//! `hoisted`), every request below a path (see `mount`), whose path is changed in between, and whose body comes out of
//! its chunks there, and every document with text in it (see `references`).
//!
//! **Invariant:** a [`Verified`] exists only behind a verified signature or for an anonymous request; nothing but the
//! headers named in [`plain`], those in the query, the path in front, how a document writes its characters and what
//! proved who asks differs between what was verified and what is served.

use std::sync::Arc;

use http::header::{AUTHORIZATION, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, RANGE};
use http::{Extensions, HeaderMap, HeaderValue, Method, Uri};
use s3s::route::S3Route;
use s3s::service::S3Service;
use s3s::{Body, S3Request, S3Response, S3Result, TrailingHeaders};
use time::PrimitiveDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::context::Scheme;
use super::error::Result;
use super::exchange::Exchange;
use super::mount::{Inner, Keys, TOKEN, token};
use super::references::{self, Document};
use super::{guard, hoisted, query};
use crate::model::caller::Token;
use crate::model::name::BucketName;
use crate::model::range::ByteRange;

/// Who asks, verified when the request came in.
#[derive(Debug, Clone)]
pub(super) struct Verified {
    /// The access key; `None`: anonymous.
    pub(super) access_key: Option<String>,
    /// How it was signed.
    pub(super) scheme: Option<Scheme>,
    /// Whom the token beside the signature speaks of, if there was one.
    pub(super) session: Option<Arc<Token>>,
}

/// The trailers of a body that was taken out of its chunks.
#[derive(Debug, Clone)]
pub(super) struct Trailers(pub(super) TrailingHeaders);

/// Whom the token of a request speaks of.
#[derive(Debug, Clone)]
struct Session(Arc<Token>);

/// The copy source as the client sent it.
#[derive(Debug, Clone)]
pub(super) struct SourceHeader(pub(super) HeaderValue);

const COPY_SOURCE: &str = "x-amz-copy-source";
const DATES: [HeaderName; 4] = [
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
    HeaderName::from_static("x-amz-copy-source-if-modified-since"),
    HeaderName::from_static("x-amz-copy-source-if-unmodified-since"),
];
const TAGS: [HeaderName; 4] = [
    IF_MATCH,
    IF_NONE_MATCH,
    HeaderName::from_static("x-amz-copy-source-if-match"),
    HeaderName::from_static("x-amz-copy-source-if-none-match"),
];

/// The route.
pub(super) struct Rewrite {
    /// Serves what was verified.
    pub(super) plain: S3Service,
    pub(super) keys: Keys,
}

impl Rewrite {
    /// Whom the token of a request speaks of, whose signature was verified.
    fn session(&self, request: &S3Request<Body>) -> Result<Option<Arc<Token>>> {
        let Some(credentials) = &request.credentials else {
            guard::no_session_token(&request.headers, request.uri.query())?;
            return Ok(None);
        };
        guard::host_is_signed(&request.headers, request.uri.query())?;
        let token = token(&request.headers, request.uri.query())?;
        self.keys.session(&credentials.access_key, token.as_deref())
    }
}

#[async_trait::async_trait]
impl S3Route for Rewrite {
    fn is_match(&self, method: &Method, uri: &Uri, headers: &HeaderMap, extensions: &mut Extensions) -> bool {
        let marked = extensions.get::<Inner>().is_some() || extensions.get::<Document>().is_some();
        if marked || hoisted::any(method, uri, headers) {
            return true;
        }
        let bodyless =
            matches!(*method, Method::GET | Method::HEAD | Method::DELETE) || headers.contains_key(COPY_SOURCE);
        bodyless && plain(headers).is_some()
    }

    async fn check_access(&self, request: &mut S3Request<Body>) -> S3Result<()> {
        let exchange = Exchange::of(&request.extensions);
        let session = self.session(request).map_err(|refusal| exchange.refuse(refusal))?;
        if let Some(token) = session {
            request.extensions.insert(Session(token));
        }
        Ok(())
    }

    async fn call(&self, mut request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let mut headers = plain(&request.headers).unwrap_or_else(|| request.headers.clone());
        let scheme = Scheme::of(&headers, request.uri.query());
        headers.remove(AUTHORIZATION);
        let session = request.extensions.remove::<Session>().map(|Session(token)| token);
        if session.is_some() {
            headers.remove(TOKEN);
        }
        // The signature covers the query only where it stands in it and was verified.
        let moved = request.credentials.is_some() && hoisted::any(&request.method, &request.uri, &request.headers);
        let uri = request.extensions.remove::<Inner>().map_or(request.uri, |Inner(uri)| uri);
        if moved {
            let exchange = Exchange::of(&request.extensions);
            hoisted::put_back(&uri, &mut headers).map_err(|refusal| exchange.refuse(refusal))?;
        }
        let document = request.extensions.remove::<Document>();
        let mut served = http::Request::new(match document {
            Some(Document) => references::as_bytes(request.input),
            None => request.input,
        });
        *served.method_mut() = request.method;
        *served.uri_mut() = without(&uri, |name| query::is_signature(name) || (moved && hoisted::is_header(name)));
        *served.headers_mut() = headers;
        *served.extensions_mut() = request.extensions;
        // One that was verified before s3s saw the request stays.
        if let Some(credentials) = request.credentials {
            served.extensions_mut().insert(Verified { access_key: Some(credentials.access_key), scheme, session });
        }
        if let Some(trailers) = request.trailing_headers {
            served.extensions_mut().insert(Trailers(trailers));
        }
        if let Some(source) = request.headers.get(COPY_SOURCE) {
            served.extensions_mut().insert(SourceHeader(source.clone()));
        }
        let (parts, body) = self
            .plain
            .call(served)
            .await
            .map_err(|_| s3s::S3Error::from(s3s::S3ErrorCode::InternalError))?
            .into_parts();
        let mut response = S3Response::new(body);
        response.status = Some(parts.status);
        response.headers = parts.headers;
        Ok(response)
    }
}

/// The URI without the parameters whose names are `gone`.
fn without(uri: &Uri, gone: impl Fn(&str) -> bool) -> Uri {
    let kept: Vec<&str> = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| {
            let name = pair.split_once('=').map_or(*pair, |(name, _)| name);
            !pair.is_empty() && !gone(&query::decoded(name))
        })
        .collect();
    let mut text = uri.path().to_owned();
    if !kept.is_empty() {
        text.push('?');
        text.push_str(&kept.join("&"));
    }
    text.parse().unwrap_or_else(|_| uri.clone())
}

/// The headers in the form that s3s reads, if any of them is not.
pub(super) fn plain(headers: &HeaderMap) -> Option<HeaderMap> {
    let mut changed = None;
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(range) = text(&RANGE) {
        let wanted = ByteRange::parse(range).map(range_text);
        replace(&mut changed, headers, &RANGE, range, wanted);
    }
    for name in &DATES {
        if let Some(date) = text(name) {
            replace(&mut changed, headers, name, date, http_date(date));
        }
    }
    for name in &TAGS {
        if let Some(tags) = text(name) {
            let quoted = tags == "*" || tags.contains('"');
            let wanted = if quoted { tags.to_owned() } else { format!("\"{}\"", tags.trim()) };
            replace(&mut changed, headers, name, tags, Some(wanted));
        }
    }
    let source = HeaderName::from_static(COPY_SOURCE);
    if let Some(value) = text(&source) {
        let bucket = query::decoded(value.trim_start_matches('/').split('/').next().unwrap_or_default());
        let unusual = BucketName::new(&bucket).is_ok_and(|bucket| !bucket.is_aws());
        // The handler reads the source as it was sent; s3s only has to take something for one.
        let wanted = if unusual { "source/key".to_owned() } else { value.to_owned() };
        replace(&mut changed, headers, &source, value, Some(wanted));
    }
    changed
}

fn replace(
    changed: &mut Option<HeaderMap>,
    headers: &HeaderMap,
    name: &HeaderName,
    sent: &str,
    wanted: Option<String>,
) {
    if wanted.as_deref() == Some(sent) {
        return;
    }
    let changed = changed.get_or_insert_with(|| headers.clone());
    match wanted.and_then(|text| HeaderValue::from_str(&text).ok()) {
        Some(value) => {
            changed.insert(name, value);
        }
        None => {
            changed.remove(name);
        }
    }
}

fn range_text(range: ByteRange) -> String {
    // Positions beyond this are beyond every object, and s3s does not read them.
    let capped = |n: u64| n.min(i64::MAX as u64);
    match range {
        ByteRange::FromTo(a, b) => format!("bytes={}-{}", capped(a), capped(b)),
        ByteRange::From(a) => format!("bytes={}-", capped(a)),
        ByteRange::Suffix(n) => format!("bytes=-{}", capped(n)),
    }
}

const IMF_FIXDATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
const ASCTIME: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short] [month repr:short] [day padding:space] [hour]:[minute]:[second] [year]");

/// The date as HTTP writes it now, from any of the three forms it has had; `None` for what is no date.
fn http_date(text: &str) -> Option<String> {
    http_moment(text)?.format(IMF_FIXDATE).ok()
}

/// The time that an HTTP date in any of its three forms names. Greenwich may be named as mail does.
pub(super) fn http_moment(text: &str) -> Option<PrimitiveDateTime> {
    let zoned = text.strip_suffix("-0000").or_else(|| text.strip_suffix("+0000")).map(|text| format!("{text}GMT"));
    let text = zoned.as_deref().unwrap_or(text);
    PrimitiveDateTime::parse(text, IMF_FIXDATE)
        .or_else(|_| PrimitiveDateTime::parse(&from_rfc_850(text).unwrap_or_default(), IMF_FIXDATE))
        .or_else(|_| PrimitiveDateTime::parse(text, ASCTIME))
        .ok()
}

/// `Sunday, 06-Nov-94 08:49:37 GMT` as `Sun, 06 Nov 1994 08:49:37 GMT`. Years below 70 are of this century.
fn from_rfc_850(text: &str) -> Option<String> {
    let (weekday, rest) = text.split_once(", ")?;
    let (date, clock) = rest.split_once(' ')?;
    let mut parts = date.split('-');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?.parse::<u32>().ok().filter(|y| *y < 100)?);
    let year = if year < 70 { 2000 + year } else { 1900 + year };
    Some(format!("{}, {day} {month} {year} {clock}", weekday.get(..3)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain_of(name: &str, value: &str) -> Option<Option<String>> {
        let mut headers = HeaderMap::new();
        let name: HeaderName = name.parse().expect("a name");
        headers.insert(&name, value.parse().expect("a value"));
        plain(&headers).map(|plain| plain.get(&name).map(|v| v.to_str().expect("text").to_owned()))
    }

    #[test]
    fn headers_that_mean_nothing_are_dropped_and_others_are_put_plainly() {
        for (name, sent, wanted) in [
            ("range", "bytes=0-4", None),
            ("range", "bytes=5-2", Some(None)),
            ("range", "bytes=0-1,3-4", Some(None)),
            ("range", "Bytes = 1-2", Some(Some("bytes=1-2"))),
            ("range", "bytes=99999999999999999999-", Some(Some("bytes=9223372036854775807-"))),
            ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT", None),
            ("if-modified-since", "Sunday, 06-Nov-94 08:49:37 GMT", Some(Some("Sun, 06 Nov 1994 08:49:37 GMT"))),
            ("if-unmodified-since", "Sun Nov  6 08:49:37 1994", Some(Some("Sun, 06 Nov 1994 08:49:37 GMT"))),
            ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 -0000", Some(Some("Sun, 06 Nov 1994 08:49:37 GMT"))),
            ("if-unmodified-since", "yesterday", Some(None)),
            ("if-match", "*", None),
            ("if-match", "\"a\", \"b\"", None),
            ("if-none-match", "a_b", Some(Some("\"a_b\""))),
            ("x-amz-copy-source", "/my-bucket/k%20", None),
            ("x-amz-copy-source", "K%C3%B6ln/k", Some(Some("source/key"))),
            ("x-amz-copy-source", "", None),
        ] {
            let wanted = wanted.map(|value: Option<&str>| value.map(str::to_owned));
            assert_eq!(plain_of(name, sent), wanted, "{name}: {sent}");
        }
    }

    #[test]
    fn the_signature_leaves_the_query_and_nothing_else_does() {
        let without_signature = |uri: &Uri| without(uri, query::is_signature);
        let uri: Uri = "/b/k?versionId=1&X-Amz-Signature=2&x%2Damz-date=3&response-expires=4".parse().expect("a URI");
        assert_eq!(without_signature(&uri).to_string(), "/b/k?versionId=1&response-expires=4");
        assert_eq!(without_signature(&"/b/k?X-Amz-Date=1".parse().expect("a URI")).to_string(), "/b/k");
    }
}
