//! What a browser gets that has uploaded a file: a status of its choice, or the page it is to go to.
//!
//! **Invariant:** a redirect leads where the form says, which its policy covers, and carries what was stored behind it
//! escaped.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use quick_xml::escape::escape;
use s3s::Body;

use super::form::Fields;
use crate::front::s3::encode::{url, xml_safe};
use crate::model::name::BucketName;

/// The answer for an object that was stored, whose headers it keeps.
pub(super) fn of(
    stored: Response<Body>,
    fields: &Fields,
    bucket: &BucketName,
    key: &str,
    location: &str,
) -> Response<Body> {
    let mut headers = stored.headers().clone();
    let etag = headers.get(ETAG).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let redirect = fields.get("success_action_redirect").or(fields.get("redirect"));
    let redirect = redirect.and_then(|page| leading_to(page, bucket, key, &etag));
    let (status, location) = match redirect {
        Some(page) => (StatusCode::SEE_OTHER, Some(page)),
        None => (status(fields.get("success_action_status")), HeaderValue::from_str(location).ok()),
    };
    headers.extend(location.clone().map(|location| (LOCATION, location)));
    let mut response = Response::new(Body::empty());
    if status == StatusCode::CREATED {
        let location = location.as_ref().and_then(|location| location.to_str().ok()).unwrap_or_default();
        let text = document(location, bucket.as_str(), key, &etag);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
        *response.body_mut() = Body::from(text);
    } else {
        no_body(&mut headers, status);
    }
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn no_body(headers: &mut HeaderMap, status: StatusCode) {
    headers.remove(CONTENT_TYPE);
    headers.remove(CONTENT_LENGTH);
    if status != StatusCode::NO_CONTENT {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
}

fn status(asked: Option<&str>) -> StatusCode {
    match asked {
        Some("200") => StatusCode::OK,
        Some("201") => StatusCode::CREATED,
        _ => StatusCode::NO_CONTENT,
    }
}

/// The page with what was stored in its query; `None` if it is no address.
fn leading_to(page: &str, bucket: &BucketName, key: &str, etag: &str) -> Option<HeaderValue> {
    let (page, fragment) = page.split_once('#').map_or((page, None), |(page, fragment)| (page, Some(fragment)));
    let address: Uri = page.parse().ok()?;
    if !matches!(address.scheme_str(), Some("http" | "https")) {
        return None;
    }
    let joint = if address.query().is_some() { '&' } else { '?' };
    let etag = utf8_percent_encode(etag, NON_ALPHANUMERIC);
    let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
    let text = format!("{page}{joint}bucket={}&key={}&etag={etag}{fragment}", url(bucket.as_str()), url(key));
    HeaderValue::from_str(&text).ok()
}

fn document(location: &str, bucket: &str, key: &str, etag: &str) -> String {
    let element = |name: &str, value: &str| format!("<{name}>{}</{name}>", escape(xml_safe(value)));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PostResponse>{}{}{}{}</PostResponse>",
        element("Location", location),
        element("Bucket", bucket),
        element("Key", key),
        element("ETag", etag),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_carries_what_was_stored() {
        let bucket = BucketName::new("b").expect("legal");
        let led = |page: &str| leading_to(page, &bucket, "a b&c", "\"e\"");
        let behind = "bucket=b&key=a%20b%26c&etag=%22e%22";
        for (page, wanted) in [
            ("http://h/p", Some(format!("http://h/p?{behind}"))),
            ("https://h/p?x=1#f", Some(format!("https://h/p?x=1&{behind}#f"))),
            ("javascript:alert(1)", None),
            ("/p", None),
            ("http://h/\r\nSet-Cookie: a", None),
            ("", None),
        ] {
            assert_eq!(led(page).map(|value| value.to_str().expect("text").to_owned()), wanted, "{page}");
        }
    }
}
