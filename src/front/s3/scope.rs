//! What a signature of version 4 says of itself, held against its request before s3s verifies it. s3s refuses the same,
//! with other codes than S3.
//!
//! **Invariant:** nothing is let in here; what passes is verified.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName};
use time::PrimitiveDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::error::{Refusal, Result};
use super::query;
use crate::model::id::unhex;

/// The time of a signature.
pub(super) const AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
/// The form of that time.
pub(super) const BASIC: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day]T[hour][minute][second]Z");

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// What may stand for the hash of a body.
const PAYLOADS: [&str; 6] = [
    "UNSIGNED-PAYLOAD",
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
    "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER",
];

/// Refuses a header that cannot be read, a scope or a time that are not those of the request, and what is no hash.
pub(super) fn fits(headers: &HeaderMap, uri_query: Option<&str>) -> Result<()> {
    let authorization = headers.get(AUTHORIZATION).map(|value| String::from_utf8_lossy(value.as_bytes()));
    // Other algorithms are not implemented, which s3s says.
    let authorization = authorization.filter(|text| text.starts_with(ALGORITHM));
    if let Some(text) = &authorization {
        let day = day_of(text)?;
        if !is_of(headers, day)? {
            return Err(malformed("Invalid credential date. Date is not the same as X-Amz-Date."));
        }
    }
    if authorization.is_some() || query::value(uri_query, "X-Amz-Signature").is_some() {
        return known_payload(headers);
    }
    Ok(())
}

fn malformed(what: &'static str) -> Refusal {
    Refusal::new(400, "AuthorizationHeaderMalformed", format!("The authorization header is malformed; {what}"))
}

/// The day in the scope of an `Authorization`, whose form and service are right.
fn day_of(authorization: &str) -> Result<&str> {
    let credential = || {
        let rest = authorization.strip_prefix(ALGORITHM)?.strip_prefix(char::is_whitespace)?;
        let (credential, rest) = rest.trim_start().strip_prefix("Credential=")?.split_once(',')?;
        let (_, rest) = rest.trim_start().strip_prefix("SignedHeaders=")?.split_once(',')?;
        rest.trim_start().strip_prefix("Signature=").map(|_| credential)
    };
    let credential = credential().ok_or_else(|| malformed("it needs Credential, SignedHeaders and Signature."))?;
    let mut parts = credential.split('/');
    let mut next = || parts.next();
    match (next(), next(), next(), next(), next(), next()) {
        (Some(_), Some(day), Some(_), Some("s3"), Some("aws4_request"), None) => Ok(day),
        (Some(_), Some(_), Some(_), Some(_), Some("aws4_request"), None) => {
            Err(malformed("incorrect service. This endpoint belongs to \"s3\"."))
        }
        _ => Err(malformed("the Credential must be \"<key>/YYYYMMDD/REGION/SERVICE/aws4_request\".")),
    }
}

/// Whether the time of the signature is on this day.
fn is_of(headers: &HeaderMap, day: &str) -> Result<bool> {
    let mut times = headers.get_all(AMZ_DATE).iter().map(|value| value.to_str().unwrap_or_default());
    match (times.next(), times.next()) {
        (Some(time), None) if PrimitiveDateTime::parse(time, BASIC).is_ok() => {
            Ok(time.split_once('T').is_some_and(|(of, _)| of == day))
        }
        _ => Err(Refusal::denied("AWS authentication requires a valid Date or x-amz-date header")),
    }
}

fn known_payload(headers: &HeaderMap) -> Result<()> {
    const NAME: &str = "x-amz-content-sha256";
    let Some(value) = headers.get(NAME) else { return Ok(()) };
    let text = String::from_utf8_lossy(value.as_bytes());
    let hash = || unhex::<32>(&text).is_some() || STANDARD.decode(&*text).is_ok_and(|hash| hash.len() == 32);
    if PAYLOADS.contains(&&*text) || hash() {
        return Ok(());
    }
    let message = "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, \
                   STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, or a valid sha256 \
                   value.";
    Err(Refusal::argument(NAME, &text, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str =
        "AWS4-HMAC-SHA256 Credential=key/20260102/eu-1/s3/aws4_request, SignedHeaders=host, Signature=00";

    fn code(authorization: &str, date: Option<&str>, hash: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, authorization.parse().expect("a value"));
        headers.extend(date.map(|date| (AMZ_DATE, date.parse().expect("a value"))));
        headers.insert("x-amz-content-sha256", hash.parse().expect("a value"));
        fits(&headers, None).err().map(|refusal| refusal.code.into_owned())
    }

    #[test]
    fn a_signature_says_what_its_request_says() {
        let now = Some("20260102T030405Z");
        let malformed = Some("AuthorizationHeaderMalformed");
        for (authorization, date, hash, wanted) in [
            (SOUND.to_owned(), now, "UNSIGNED-PAYLOAD", None),
            (SOUND.replace(", ", ","), now, &*"0".repeat(64), None),
            (SOUND.to_owned(), now, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", None),
            (SOUND.to_owned(), now, "nonsense", Some("InvalidArgument")),
            (SOUND.to_owned(), now, "", Some("InvalidArgument")),
            (SOUND.to_owned(), None, "UNSIGNED-PAYLOAD", Some("AccessDenied")),
            (SOUND.to_owned(), Some("yesterday"), "UNSIGNED-PAYLOAD", Some("AccessDenied")),
            (SOUND.to_owned(), Some("20260103T030405Z"), "UNSIGNED-PAYLOAD", malformed),
            (SOUND.replace("/s3/", "/sqs/"), now, "UNSIGNED-PAYLOAD", malformed),
            (SOUND.replace("aws4_", "aws5_"), now, "UNSIGNED-PAYLOAD", malformed),
            (SOUND.replace("key/", "a/key/"), now, "UNSIGNED-PAYLOAD", malformed),
            (SOUND.replace("SignedHeaders=host, ", ""), now, "UNSIGNED-PAYLOAD", malformed),
            (SOUND.replace("Signature=00", ""), now, "UNSIGNED-PAYLOAD", malformed),
            ("AWS4-HMAC-SHA256".to_owned(), now, "UNSIGNED-PAYLOAD", malformed),
            ("AWS4-FOO x".to_owned(), None, "nonsense", None),
        ] {
            assert_eq!(code(&authorization, date, hash).as_deref(), wanted, "{authorization} {date:?} {hash}");
        }
        let hash = [("x-amz-content-sha256".parse().expect("a name"), "nonsense".parse().expect("a value"))];
        let hash: HeaderMap = hash.into_iter().collect();
        assert!(fits(&hash, Some("X-Amz-Signature=1")).is_err());
        assert!(fits(&hash, None).is_ok(), "nobody's");
    }
}
