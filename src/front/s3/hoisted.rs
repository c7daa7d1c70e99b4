//! Headers that a presigner moved into the query, as SDKs do with most that begin with `x-amz-`.
//!
//! S3 takes some of them from there as if they had been sent as headers. s3s does not, so such a request takes the route
//! of those that are changed behind their verification (see `rewrite`), and there they become headers again.
//!
//! **Invariant:** a parameter stands for a header only where a verified signature stands in the same query, which covers
//! every parameter of it; a header that was sent stays as it was sent, and none is named twice.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use super::error::{Refusal, Result};
use super::query;

/// Whether a parameter stands for the header of its name, in the query of a signature of version 4. Others change what a
/// request is, or S3 does not take them from there.
pub(super) fn is_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    matches!(name.as_str(), "x-amz-acl" | "x-amz-storage-class") || name.starts_with("x-amz-meta-")
}

/// Whether the query of this request holds headers, and the signature that covers them. It must still be verified.
///
/// Of a form s3s verifies the signature among its fields, and never the one in the query.
pub(super) fn any(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    let may = match *method {
        Method::PUT => true,
        Method::POST => !headers.get_all(CONTENT_TYPE).iter().any(is_form),
        _ => false,
    };
    may && query::value(uri.query(), "X-Amz-Signature").is_some()
        && query::pairs(uri.query().unwrap_or_default()).any(|(name, _)| is_header(&query::decoded(name)))
}

/// Whether a Content-Type is that of a form.
pub(super) fn is_form(value: &HeaderValue) -> bool {
    String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase().contains("multipart/form-data")
}

/// Puts the headers in the query back to where they are read from.
///
/// # Errors
/// `InvalidRequest` for one that is named twice, or that no header can be.
pub(super) fn put_back(uri: &Uri, headers: &mut HeaderMap) -> Result<()> {
    let mut moved = HeaderMap::new();
    for (name, value) in query::pairs(uri.query().unwrap_or_default()) {
        let name = query::decoded(name);
        if is_header(&name) {
            let (name, value) = header(&name, &query::decoded(value))?;
            if moved.insert(name, value).is_some() {
                return Err(Refusal::request("A header was sent more than once in the query."));
            }
        }
    }
    for (name, value) in &moved {
        headers.entry(name).or_insert_with(|| value.clone());
    }
    Ok(())
}

/// The header that a parameter stands for.
///
/// # Errors
/// `InvalidRequest` where its name or value can be that of no header.
pub(super) fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue)> {
    let unusable = || Refusal::request("A header in the query has a name or value that no header has.");
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable())?;
    let value = HeaderValue::from_str(value.trim()).map_err(|_| unusable())?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (n.parse().expect("a name"), v.parse().expect("a value"))).collect()
    }

    #[test]
    fn only_the_query_of_a_signature_holds_headers() {
        let form = [("content-type", "Multipart/Form-Data; boundary=a")];
        for (method, query, sent, wanted) in [
            ("PUT", "x-amz-acl=private&X-Amz-Signature=1", &[][..], true),
            ("POST", "uploads&X%2DAmz-Meta-A=1&X-Amz-Signature=1", &[], true),
            ("PUT", "x-amz-storage-class=STANDARD&X-Amz-Signature=1", &form, true),
            ("POST", "uploads&x-amz-acl=private&X-Amz-Signature=1", &form, false),
            ("PUT", "x-amz-acl=private", &[], false),
            ("PUT", "x-amz-acl=private&x-amz-signature=1", &[], false),
            ("PUT", "x-amz-copy-source=b%2Fk&X-Amz-Signature=1", &[], false),
            ("GET", "x-amz-acl=private&X-Amz-Signature=1", &[], false),
            ("DELETE", "x-amz-meta-a=1&X-Amz-Signature=1", &[], false),
        ] {
            let uri: Uri = format!("/b/k?{query}").parse().expect("a URI");
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            assert_eq!(any(&method, &uri, &headers(sent)), wanted, "{method} {query}");
        }
    }

    #[test]
    fn headers_come_back_once_and_never_over_one_that_was_sent() {
        let put_back = |query: &str, sent: &[(&'static str, &'static str)]| {
            let mut headers = headers(sent);
            put_back(&format!("/b/k?{query}").parse().expect("a URI"), &mut headers).map(|()| headers)
        };
        let sent = [("x-amz-meta-b", "sent")];
        let headers = put_back("x-amz-acl=private&X-Amz-Meta-A=1%202+3&x-amz-meta-b=4&x-amz-tagging=a", &sent);
        let headers = headers.expect("sound");
        for (name, value) in [("x-amz-acl", "private"), ("x-amz-meta-a", "1 2 3"), ("x-amz-meta-b", "sent")] {
            assert_eq!(headers.get_all(name).iter().collect::<Vec<_>>(), [value], "{name}");
        }
        assert_eq!(headers.len(), 3);
        for query in ["x-amz-acl=a&X-Amz-Acl=b", "x-amz-meta-a=1%0d%0aX-b:%202", "x-amz-meta-%20=1"] {
            assert!(put_back(query, &[]).is_err(), "{query}");
        }
    }
}
