//! Content as headers, and what the service says of an object.
//!
//! **Invariant:** Longshore's own entries are always sent; a client's entry that the service would refuse, change or
//! have no room for is left out. What others wrote never fails a read.

use http::{HeaderMap, HeaderValue};
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use crate::model::object::Content;
use crate::model::time::Timestamp;
use crate::provider::cloud::service::Facts;
use crate::provider::cloud::transport::Call;
use crate::provider::{Error, Result};

const META: &str = "x-amz-meta-";
/// What the names of Longshore's own entries begin with.
const OWN: &str = "longshore";
/// Most bytes of user metadata. The service counts names and values; some others count the prefix too.
const META_BYTES_MAX: usize = 2048;
const HTTP_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// Adds the headers that keep `content`.
pub(super) fn with_content(mut call: Call, content: &Content) -> Call {
    let plain = [
        ("content-type", &content.content_type),
        ("cache-control", &content.cache_control),
        ("content-disposition", &content.disposition),
        ("content-encoding", &content.encoding),
        ("content-language", &content.language),
        ("expires", &content.expires),
    ];
    for (name, value) in plain {
        if let Some(value) = value.as_deref().filter(|value| is_plain(value))
            && let Ok(value) = HeaderValue::from_str(value)
        {
            call.headers.insert(name, value);
        }
    }
    let mut room = META_BYTES_MAX;
    let own = |name: &str| name.starts_with(OWN);
    let first = content.user.iter().filter(|(name, _)| own(name));
    for (name, value) in first.chain(content.user.iter().filter(|(name, _)| !own(name))) {
        let bytes = META.len() + name.len() + value.len();
        let fits = own(name) || bytes <= room && is_plain(value);
        let header = http::HeaderName::from_bytes(format!("{META}{name}").as_bytes());
        if let (true, Ok(header), Ok(value)) = (fits, header, HeaderValue::from_str(value)) {
            room = room.saturating_sub(bytes);
            call.headers.insert(header, value);
        }
    }
    call
}

/// Whether a value comes back as it was sent.
fn is_plain(value: &str) -> bool {
    value.bytes().all(|b| (b' '..=b'~').contains(&b))
        && !value.is_empty()
        && value.trim() == value
        && !value.contains("  ")
}

/// An ETag with its quotes, as conditions name it.
pub(super) fn tag(etag: &str) -> String {
    if etag.ends_with('"') { etag.to_owned() } else { format!("\"{etag}\"") }
}

/// An ETag without its quotes.
pub(super) fn bare(etag: &str) -> &str {
    etag.trim_start_matches("W/").trim_matches('"')
}

/// The MD5 that an ETag is, if nothing says that it is not.
pub(super) fn digest(etag: &str) -> Option<String> {
    let bare = bare(etag);
    (bare.len() == 32 && bare.bytes().all(|b| b.is_ascii_hexdigit())).then(|| bare.to_ascii_lowercase())
}

/// Whether the ETag is of other bytes than the client's: those that the service keeps encrypted.
pub(super) fn is_sealed(headers: &HeaderMap) -> bool {
    let by_key = headers.get("x-amz-server-side-encryption").is_some_and(|how| how.as_bytes().starts_with(b"aws:kms"));
    by_key || headers.contains_key("x-amz-server-side-encryption-customer-algorithm")
}

/// What the headers of an answer say of an object of `size` bytes.
///
/// # Errors
/// `Failed`: they do not say what it is.
pub(super) fn facts(headers: &HeaderMap, size: u64) -> Result<Facts> {
    let text = |name: &str| {
        let values: Vec<_> = headers.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes())).collect();
        Some(values.join(",")).filter(|text| !text.is_empty())
    };
    let etag = text("etag").ok_or_else(|| odd("there is no ETag"))?;
    let modified = text("last-modified").and_then(|date| http_date(&date)).ok_or_else(|| odd("there is no date"))?;
    let user = headers.keys().filter_map(|name| {
        let short = name.as_str().strip_prefix(META)?;
        Some((short.to_owned(), text(name.as_str()).unwrap_or_default()))
    });
    let content = Content {
        content_type: text("content-type"),
        cache_control: text("cache-control"),
        disposition: text("content-disposition"),
        encoding: text("content-encoding"),
        language: text("content-language"),
        expires: text("expires"),
        user: user.collect(),
        ..Content::default()
    };
    // Of encrypted bytes it may have the form of an MD5, which clients would hold against theirs.
    let open = !is_sealed(headers);
    Ok(Facts {
        tag: tag(&etag),
        digest: digest(&etag).filter(|_| open),
        etag: open.then(|| bare(&etag).to_owned()),
        size,
        modified,
        content,
    })
}

/// An answer that does not say what it must.
pub(super) fn odd(what: &str) -> Error {
    Error::Failed(std::io::Error::new(std::io::ErrorKind::InvalidData, format!("S3's answer is odd: {what}")))
}

fn http_date(text: &str) -> Option<Timestamp> {
    PrimitiveDateTime::parse(text.trim(), HTTP_DATE).ok().map(|date| Timestamp::from_utc(date.assume_utc()))
}

/// A date of a listing, in whole seconds as the headers have it, so that both say the same.
pub(super) fn listed_date(text: &str) -> Option<Timestamp> {
    let date = OffsetDateTime::parse(text.trim(), &Rfc3339).ok()?;
    Some(Timestamp::from_parts(date.unix_timestamp(), 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    #[test]
    fn content_goes_there_and_back() {
        let mut content = Content { content_type: Some("text/plain".to_owned()), ..Content::default() };
        content.expires = Some("never".to_owned());
        let user = [("a_b", "1 2"), ("longshore0", "{\"x\":1}"), ("name", "v")];
        content.user = user.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let mut headers = with_content(Call::new(Method::PUT, "http://h/".to_owned()), &content).headers;
        headers.insert("etag", HeaderValue::from_static("\"D41D8CD98F00B204E9800998ECF8427E\""));
        headers.insert("last-modified", HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"));
        let seen = facts(&headers, 7).expect("facts");
        assert_eq!(seen.content, content);
        assert_eq!((seen.size, seen.modified), (7, Timestamp(784_111_777_000_000_000)));
        assert_eq!(seen.digest.as_deref(), Some("d41d8cd98f00b204e9800998ecf8427e"));
        assert_eq!(seen.etag.as_deref(), Some("D41D8CD98F00B204E9800998ECF8427E"));
        headers.insert("x-amz-server-side-encryption", HeaderValue::from_static("aws:kms"));
        let sealed = facts(&headers, 7).expect("facts");
        assert_eq!((sealed.digest, sealed.etag), (None, None), "it has the form of an MD5 and is none");
        assert_eq!(sealed.tag, seen.tag, "conditions name it all the same");
        headers.insert("x-amz-meta-odd", HeaderValue::from_bytes(b"\xff\xfe").expect("bytes"));
        assert!(facts(&headers, 7).expect("facts").content.user.contains_key("odd"));
        headers.remove("etag");
        assert!(facts(&headers, 7).is_err());
    }

    #[test]
    fn what_cannot_be_carried_is_left_out() {
        let mut content = Content::default();
        let long = "x".repeat(1900);
        let kept = [("longshore0", long.as_str()), ("z", "ok")];
        let lost =
            [("a", long.as_str()), ("b", " led"), ("c", "ü"), ("d", ""), ("e f", "x"), ("g", "a  b"), ("h", "a\nb")];
        content.user = kept.iter().chain(&lost).map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        content.disposition = Some("a\nb".to_owned());
        let headers = with_content(Call::new(Method::PUT, "http://h/".to_owned()), &content).headers;
        let mut names: Vec<_> = headers.keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["x-amz-meta-longshore0", "x-amz-meta-z"]);
    }

    #[test]
    fn dates_and_tags() {
        let listed = listed_date("1994-11-06T08:49:37.529Z").expect("a date");
        assert_eq!(Some(listed), http_date("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_eq!(listed_date("yesterday"), None);
        assert_eq!(tag("\"a\""), "\"a\"");
        assert_eq!(tag("a"), "\"a\"");
        assert_eq!(digest("\"d41d8cd98f00b204e9800998ecf8427e-2\""), None);
    }
}
