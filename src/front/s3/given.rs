//! What a request wants attached to what it writes: tags, a list, a lock, all of it in headers.
//!
//! **Invariant:** a header that is not understood is refused, never ignored.

use http::HeaderMap;
use s3s::dto::{Timestamp, TimestampFormat};

use super::error::{Refusal, Result};
use super::{query, sse, wire};
use crate::model::acl::{Canned, Permission};
use crate::model::lock::{Retention, RetentionMode};
use crate::model::tag::{OBJECT_TAGS_MAX, Tag, Tags};
use crate::model::time::Clock;
use crate::store::Error;
use crate::store::request::{AclRequest, Given, GranteeRequest, GrantsRequest};

const MODE: &str = "x-amz-object-lock-mode";
const UNTIL: &str = "x-amz-object-lock-retain-until-date";
const LEGAL_HOLD: &str = "x-amz-object-lock-legal-hold";
const TAGGING: &str = "x-amz-tagging";

/// The headers that grant something, in the order in which the grants are listed.
const GRANTS: [(&str, Permission); 5] = [
    ("x-amz-grant-read", Permission::Read),
    ("x-amz-grant-write", Permission::Write),
    ("x-amz-grant-read-acp", Permission::ReadAcp),
    ("x-amz-grant-write-acp", Permission::WriteAcp),
    ("x-amz-grant-full-control", Permission::FullControl),
];

/// Reads the headers of a write.
pub(super) fn of(headers: &HeaderMap) -> Result<Given> {
    Ok(Given {
        tags: tags(headers)?,
        acl: object_acl(headers)?,
        retention: retention(headers)?,
        legal_hold: text(headers, LEGAL_HOLD)?.map(legal_hold).transpose()?,
        encryption: sse::asked(headers),
        keeps_created: false,
        heritage: None,
        moved: false,
        posted: false,
        ends: None,
    })
}

fn text<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = value.to_str().map_err(|_| Refusal::argument(name, "", "The header is not text."))?;
    Ok((!text.is_empty()).then_some(text))
}

/// `k=v&k2`, escaped as in a form. What has no order in a header is kept in that of the keys.
fn tags(headers: &HeaderMap) -> Result<Tags> {
    let Some(sent) = text(headers, TAGGING)? else { return Ok(Tags::default()) };
    let decoded = |raw: &str| {
        let raw = raw.replace('+', " ");
        percent_encoding::percent_decode_str(&raw).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| {
            Refusal::argument(
                TAGGING,
                sent,
                "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag \
                 name duplicates.",
            )
        })
    };
    let mut tags = Vec::new();
    for (key, value) in query::pairs(sent) {
        tags.push(Tag { key: decoded(key)?, value: decoded(value)? });
    }
    tags.sort_by(|a, b| a.key.cmp(&b.key));
    Tags::new(tags, OBJECT_TAGS_MAX).map_err(|error| Error::InvalidTag(error).into())
}

/// The list that headers ask for, of an object.
pub(super) fn object_acl(headers: &HeaderMap) -> Result<AclRequest> {
    match acl(headers)? {
        AclRequest::Canned(Canned::LogDeliveryWrite) => Err(unknown_canned("log-delivery-write")),
        acl => Ok(acl),
    }
}

/// The list that headers ask for: a canned one or grants, not both.
pub(super) fn acl(headers: &HeaderMap) -> Result<AclRequest> {
    let mut grants = Vec::new();
    for (name, permission) in GRANTS {
        for value in headers.get_all(name) {
            let value = value.to_str().map_err(|_| Refusal::argument(name, "", "The header is not text."))?;
            grants.extend(grantees(name, value)?.into_iter().map(|grantee| (grantee, permission)));
        }
    }
    match text(headers, "x-amz-acl")? {
        Some(_) if !grants.is_empty() => {
            Err(Refusal::request("Specifying both Canned ACLs and Header Grants is not allowed"))
        }
        Some(name) => Canned::parse(name).map(AclRequest::Canned).ok_or_else(|| unknown_canned(name)),
        None if grants.is_empty() => Ok(AclRequest::None),
        None => Ok(AclRequest::Grants(GrantsRequest { owner: None, grants })),
    }
}

fn unknown_canned(name: &str) -> Refusal {
    Refusal::argument("x-amz-acl", name, "The canned ACL is not one of those there are.")
}

/// `id="…", emailAddress="…", uri=…`.
fn grantees(name: &'static str, value: &str) -> Result<Vec<GranteeRequest>> {
    let malformed = || Refusal::argument(name, value, "Argument format not recognized");
    let one = |text: &str| {
        let (kind, who) = text.split_once('=')?;
        let who = who.trim();
        let who = who.strip_prefix('"').and_then(|who| who.strip_suffix('"')).unwrap_or(who);
        match kind.trim().to_ascii_lowercase().as_str() {
            _ if who.is_empty() || who.contains('"') => None,
            "id" => Some(Ok(GranteeRequest::Id(who.to_owned()))),
            "emailaddress" => Some(Ok(GranteeRequest::Email(who.to_owned()))),
            "uri" => Some(wire::group(who).map(GranteeRequest::Group)),
            _ => None,
        }
    };
    value.split(',').map(|text| one(text).ok_or_else(malformed)?).collect()
}

fn retention(headers: &HeaderMap) -> Result<Option<Retention>> {
    let (mode, until) = match (text(headers, MODE)?, text(headers, UNTIL)?) {
        (None, None) => return Ok(None),
        (Some(mode), Some(until)) => (mode, until),
        (mode, _) => {
            let name = if mode.is_some() { UNTIL } else { MODE };
            return Err(Refusal::argument(
                name,
                "",
                "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied",
            ));
        }
    };
    let mode =
        RetentionMode::parse(mode).ok_or_else(|| Refusal::argument(MODE, mode, "Unknown wormMode directive."))?;
    let at = Timestamp::parse(TimestampFormat::DateTime, until)
        .map_err(|_| Refusal::argument(UNTIL, until, "The retain until date must be provided in ISO 8601 format"))?;
    future(Retention { mode, until: wire::moment(at) }).map(Some)
}

/// A retention that holds for a while. What is too far away to be told apart from another time is refused, because a
/// client must read back what it asked for.
pub(super) fn future(retention: Retention) -> Result<Retention> {
    let at = || retention.until.to_utc().to_string();
    if retention.until <= Clock::now() {
        return Err(Refusal::argument(UNTIL, &at(), "The retain until date must be in the future!"));
    }
    if retention.until.0 == i64::MAX {
        return Err(Refusal::argument(UNTIL, &at(), "The retain until date is too far in the future."));
    }
    Ok(retention)
}

fn legal_hold(status: &str) -> Result<bool> {
    match status {
        "ON" => Ok(true),
        "OFF" => Ok(false),
        _ => Err(Refusal::argument(LEGAL_HOLD, status, "Legal Hold must be either of 'ON' or 'OFF'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::acl::Grantee;

    fn read(pairs: &[(&'static str, &'static str)]) -> Result<Given> {
        let headers: HeaderMap =
            pairs.iter().map(|(n, v)| (n.parse().expect("a name"), v.parse().expect("a value"))).collect();
        of(&headers)
    }

    #[test]
    fn what_cannot_be_attached_is_refused() {
        let far = "2199-01-01T00:00:00Z";
        for (headers, code) in [
            (&[(TAGGING, "a=b&c")][..], None),
            (&[(TAGGING, "a=b&a=c")], Some("InvalidTag")),
            (&[(TAGGING, "=b")], Some("InvalidTag")),
            (&[(TAGGING, "a=%ff")], Some("InvalidArgument")),
            (&[(TAGGING, "a&b&c&d&e&f&g&h&i&j&k")], Some("InvalidTag")),
            (&[("x-amz-acl", "public-read")], None),
            (&[("x-amz-acl", "")], None),
            (&[("x-amz-acl", "public-ready")], Some("InvalidArgument")),
            (&[("x-amz-acl", "log-delivery-write")], Some("InvalidArgument")),
            (&[("x-amz-acl", "private"), ("x-amz-grant-read", "id=a")], Some("InvalidRequest")),
            (&[("x-amz-grant-read", "id=\"a\", emailAddress=b")], None),
            (&[("x-amz-grant-read", "id=\"a")], Some("InvalidArgument")),
            (&[("x-amz-grant-read", "a")], Some("InvalidArgument")),
            (&[("x-amz-grant-read", "name=a")], Some("InvalidArgument")),
            (&[("x-amz-grant-read", "")], Some("InvalidArgument")),
            (&[("x-amz-grant-read", "uri=http://example.com/")], Some("InvalidArgument")),
            (&[(MODE, "GOVERNANCE"), (UNTIL, far)], None),
            (&[(MODE, "GOVERNANCE")], Some("InvalidArgument")),
            (&[(UNTIL, far)], Some("InvalidArgument")),
            (&[(MODE, "governance"), (UNTIL, far)], Some("InvalidArgument")),
            (&[(MODE, "COMPLIANCE"), (UNTIL, "2001-01-01T00:00:00Z")], Some("InvalidArgument")),
            (&[(MODE, "COMPLIANCE"), (UNTIL, "soon")], Some("InvalidArgument")),
            (&[(MODE, "COMPLIANCE"), (UNTIL, "2999-01-01T00:00:00Z")], Some("InvalidArgument")),
            (&[(LEGAL_HOLD, "OFF")], None),
            (&[(LEGAL_HOLD, "on")], Some("InvalidArgument")),
        ] {
            let refused = read(headers).err().map(|refusal| refusal.code.into_owned());
            assert_eq!(refused.as_deref(), code, "{headers:?}");
        }
    }

    #[test]
    fn tags_and_grants_are_read_as_they_were_meant() {
        let given = read(&[(TAGGING, "foo=b%26r+x&bar")]).expect("tags");
        let tags: Vec<_> = given.tags.as_slice().iter().map(|tag| (tag.key.as_str(), tag.value.as_str())).collect();
        assert_eq!(tags, [("bar", ""), ("foo", "b&r x")]);
        let everyone = "uri=\"http://acs.amazonaws.com/groups/global/AllUsers\"";
        let given = read(&[("x-amz-grant-full-control", "id=a"), ("x-amz-grant-read", everyone)]).expect("grants");
        let grants = vec![
            (GranteeRequest::Group(Grantee::AllUsers), Permission::Read),
            (GranteeRequest::Id("a".into()), Permission::FullControl),
        ];
        assert_eq!(given.acl, AclRequest::Grants(GrantsRequest { owner: None, grants }));
    }
}
