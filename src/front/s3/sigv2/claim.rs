//! What a request says of its signature of the second version: whose it is, when it holds, and the signature.
//!
//! **Invariant:** a request has one signature or none; each part of it is there once.

use http::header::{AUTHORIZATION, DATE, HeaderName};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use percent_encoding::percent_decode_str;

use crate::front::s3::error::{Refusal, Result};
use crate::front::s3::rewrite::http_moment;
use crate::front::s3::{hoisted, query};

const AMZ_DATE: &str = "x-amz-date";
/// The parameters of a signature in the query.
const PARAMETERS: [&str; 3] = ["AWSAccessKeyId", "Expires", "Signature"];
const UNSUPPORTED: &str =
    "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.";
const NO_DATE: &str = "AWS authentication requires a valid Date or x-amz-date header";
const HALF: &str =
    "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters, each of them once";

/// When a signature holds, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Around this time: it stands in a header.
    At(i64),
    /// Until this time: it stands in the query.
    Until(i64),
}

/// Who is said to have signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    /// The access key.
    pub(super) access_key: String,
    /// The signature, in base64.
    pub(super) signature: String,
    /// When it holds.
    pub(super) moment: Moment,
}

impl Claim {
    /// What the request says, if it bears such a signature, which must then be `accepted`.
    pub(super) fn of(parts: &Parts, accepted: bool) -> Result<Option<Self>> {
        let header = parts.headers.get(AUTHORIZATION);
        let in_header = header.and_then(|value| value.as_bytes().strip_prefix(b"AWS "));
        let text = parts.uri.query().unwrap_or_default();
        let named = |name: &str| query::pairs(text).any(|(raw, _)| query::decoded(raw) == name);
        let in_query = named("Signature") || named("AWSAccessKeyId");
        if in_header.is_none() && !in_query {
            return Ok(None);
        }
        if !accepted {
            return Err(Refusal::request(UNSUPPORTED));
        }
        if in_query && (header.is_some() || named("X-Amz-Signature")) {
            return Err(Refusal::new(400, "InvalidArgument", "Only one auth mechanism allowed"));
        }
        match in_header {
            Some(value) => Self::of_header(value, &parts.headers).map(Some),
            None => Self::of_query(text).map(Some),
        }
    }

    fn of_header(value: &[u8], headers: &HeaderMap) -> Result<Self> {
        let malformed = || {
            Refusal::new(400, "InvalidArgument", "Authorization header is invalid -- AWS key:signature is expected")
                .with("ArgumentName", "Authorization")
        };
        let text = std::str::from_utf8(value).map_err(|_| malformed())?;
        let (access_key, signature) = text.trim().split_once(':').ok_or_else(malformed)?;
        let date = time_header(headers).and_then(|value| http_moment(value.to_str().ok()?.trim()));
        // A time before 1970 is none that a clock shows.
        let at = date.map(|date| date.as_utc().unix_timestamp()).filter(|at| *at >= 0);
        let moment = Moment::At(at.ok_or_else(|| Refusal::denied(NO_DATE))?);
        Ok(Self { access_key: access_key.to_owned(), signature: signature.to_owned(), moment })
    }

    fn of_query(text: &str) -> Result<Self> {
        let once = |name: &str| {
            let mut found = query::pairs(text).filter(|(raw, _)| query::decoded(raw) == name);
            match (found.next(), found.next()) {
                (Some((_, value)), None) => Ok(exact(value)),
                _ => Err(Refusal::denied(HALF)),
            }
        };
        let [access_key, expires, signature] = PARAMETERS.map(once);
        let until = expires?.parse().map_err(|_| Refusal::denied("Invalid date (should be seconds since epoch)"))?;
        Ok(Self { access_key: access_key?, signature: signature?, moment: Moment::Until(until) })
    }
}

/// The header that tells the time of a signature: one of its own goes before that of HTTP.
fn time_header(headers: &HeaderMap) -> Option<&HeaderValue> {
    let name = if headers.contains_key(AMZ_DATE) { HeaderName::from_static(AMZ_DATE) } else { DATE };
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// A value without its escapes. A plus is a plus: signatures in base64 hold some, and not every client escapes them.
pub(super) fn exact(raw: &str) -> String {
    percent_decode_str(raw).decode_utf8_lossy().into_owned()
}

/// Whether a parameter of a signed URL stands for the header of its name: `x-amz-*`, and the two that are signed by
/// their place.
pub(super) fn is_header(name: &str) -> bool {
    name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("x-amz-"))
        || name.eq_ignore_ascii_case("content-type")
        || name.eq_ignore_ascii_case("content-md5")
}

/// Takes the signature out of the query, and the headers that the signer moved there back to where they are read from.
pub(super) fn leave_the_query(parts: &mut Parts) -> Result<()> {
    let mut kept: Vec<&str> = Vec::new();
    let uri = parts.uri.clone();
    for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = query::decoded(name);
        if is_header(&name) {
            let (name, value) = hoisted::header(&name, &exact(value))?;
            parts.headers.entry(name).or_insert(value);
        } else if !PARAMETERS.contains(&name.as_str()) {
            kept.push(pair);
        }
    }
    let text = match kept.is_empty() {
        true => uri.path().to_owned(),
        false => format!("{}?{}", uri.path(), kept.join("&")),
    };
    parts.uri = text.parse().map_err(|_| Refusal::new(400, "InvalidURI", "Couldn't parse the specified URI."))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(uri: &str, headers: &[(&'static str, &'static str)]) -> Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    fn code(uri: &str, headers: &[(&'static str, &'static str)], accepted: bool) -> Option<String> {
        Claim::of(&parts(uri, headers), accepted).err().map(|refusal| refusal.code.into_owned())
    }

    const DATED: (&str, &str) = ("date", "Tue, 27 Mar 2007 19:36:42 +0000");
    const SIGNED: (&str, &str) = ("authorization", "AWS key:c2ln");

    #[test]
    fn the_time_of_a_header_is_a_date_after_1970() {
        let claim = Claim::of(&parts("/b", &[SIGNED, DATED]), true).expect("sound").expect("signed");
        let (access_key, signature) = ("key".to_owned(), "c2ln".to_owned());
        assert_eq!(claim, Claim { access_key, signature, moment: Moment::At(1_175_024_202) });
        for date in ["", "Bad Date", "Tue, 07 Jul 1950 21:53:04 GMT"] {
            assert_eq!(code("/b", &[SIGNED, DATED, ("x-amz-date", date)], true).as_deref(), Some("AccessDenied"));
        }
        assert_eq!(code("/b", &[SIGNED, DATED, ("x-amz-date", "Tue, 07 Jul 9999 21:53:04 GMT")], true), None);
        assert_eq!(code("/b", &[SIGNED], true).as_deref(), Some("AccessDenied"));
        assert_eq!(code("/b", &[SIGNED, DATED, DATED], true).as_deref(), Some("AccessDenied"));
    }

    #[test]
    fn half_a_signature_and_two_of_them_are_refused() {
        const WHOLE: &str = "/b?AWSAccessKeyId=key&Expires=9&Signature=a%2Bb+c";
        let claim = Claim::of(&parts(WHOLE, &[]), true).expect("sound").expect("signed");
        assert_eq!((claim.signature.as_str(), claim.moment), ("a+b+c", Moment::Until(9)));
        for (uri, headers, wanted) in [
            ("/b?AWSAccessKeyId=key&Expires=9", &[][..], "AccessDenied"),
            ("/b?Signature=a", &[], "AccessDenied"),
            ("/b?AWSAccessKeyId=key&Expires=9&Signature=a&Signature=b", &[], "AccessDenied"),
            ("/b?AWSAccessKeyId=key&Expires=soon&Signature=a", &[], "AccessDenied"),
            (WHOLE, &[SIGNED, DATED], "InvalidArgument"),
            (WHOLE, &[("authorization", "AWS4-HMAC-SHA256 a")], "InvalidArgument"),
            ("/b?AWSAccessKeyId=key&Expires=9&Signature=a&X-Amz-Signature=b", &[], "InvalidArgument"),
        ] {
            assert_eq!(code(uri, headers, true).as_deref(), Some(wanted), "{uri}");
        }
    }

    #[test]
    fn what_is_not_let_in_is_told_so_and_others_are_left_alone() {
        for uri in ["/b?Signature=a", "/b?AWSAccessKeyId=a"] {
            assert_eq!(code(uri, &[], false).as_deref(), Some("InvalidRequest"));
        }
        assert_eq!(code("/b", &[SIGNED, DATED], false).as_deref(), Some("InvalidRequest"));
        for (uri, header) in [("/b?Expires=1&signature=2", "AWS4-HMAC-SHA256 a"), ("/b?X-Amz-Signature=1", "")] {
            assert_eq!(Claim::of(&parts(uri, &[("authorization", header)]), true).expect("sound"), None);
        }
    }

    #[test]
    fn headers_come_back_from_the_query_and_the_signature_goes() {
        let uri = "/b/k%20?AWSAccessKeyId=1&x-amz-acl=private&versionId=4&Content-Type=a%2Fb&Expires=2&Signature=3";
        let mut parts = parts(uri, &[("content-type", "c/d")]);
        leave_the_query(&mut parts).expect("sound");
        assert_eq!(parts.uri, "/b/k%20?versionId=4");
        assert_eq!(parts.headers["x-amz-acl"], "private");
        assert_eq!(parts.headers["content-type"], "c/d");
    }
}
