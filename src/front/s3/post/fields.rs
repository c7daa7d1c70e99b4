//! The fields of a form as the headers of the PutObject that they stand for.
//!
//! **Invariant:** a field becomes a header only if it is on the list; one that would make another operation of the
//! request, or another identity, is not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::Tagging;
use s3s::xml::{Deserialize as _, Deserializer};

use super::form::Fields;
use crate::front::s3::error::{Refusal, Result};
use crate::model::tag::{OBJECT_TAGS_MAX, Tag, Tags};

/// Fields of the name of their header.
const SAME: [&str; 10] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-md5",
    "content-type",
    "expires",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
];
/// Beginnings of the names of those that are many.
const MANY: [&str; 5] =
    ["x-amz-meta-", "x-amz-checksum-", "x-amz-server-side-encryption", "x-amz-object-lock-", "x-amz-grant-"];

/// The headers.
pub(super) fn headers(fields: &Fields) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields.iter() {
        let (name, value) = match name {
            "acl" => ("x-amz-acl", value.to_owned()),
            "tagging" => ("x-amz-tagging", tagging(value)?),
            name if name.starts_with("x-amz-meta-") => (name, metadata(value)),
            name if SAME.contains(&name) || MANY.iter().any(|start| name.starts_with(start)) => {
                (name, value.to_owned())
            }
            _ => continue,
        };
        let invalid =
            || Refusal::argument("field", name, "A field of the form has a name or value that no header has.");
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
        headers.insert(header, HeaderValue::from_bytes(value.as_bytes()).map_err(|_| invalid())?);
    }
    Ok(headers)
}

/// User metadata may be any text; as a header it is one encoded word if it must be.
fn metadata(value: &str) -> String {
    let plain =
        value.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) && !value.contains("=?") && value.trim() == value;
    if plain { value.to_owned() } else { format!("=?UTF-8?B?{}?=", BASE64.encode(value)) }
}

/// The tags of a form are a document; those of a header are a query.
fn tagging(document: &str) -> Result<String> {
    if document.to_ascii_lowercase().contains("<!doctype") {
        return Err(Refusal::malformed_xml());
    }
    let mut reader = Deserializer::new(document.as_bytes());
    let read = Tagging::deserialize(&mut reader).and_then(|tagging| reader.expect_eof().map(|()| tagging));
    let read = read.map_err(|_| Refusal::malformed_xml())?;
    let tags = read.tag_set.into_iter().map(|tag| match (tag.key, tag.value) {
        (Some(key), Some(value)) => Ok(Tag { key, value }),
        _ => Err(Refusal::malformed_xml()),
    });
    let tags = Tags::new(tags.collect::<Result<_>>()?, OBJECT_TAGS_MAX);
    let tags = tags.map_err(|invalid| Refusal::new(400, "InvalidTag", invalid.to_string()))?;
    let escaped = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs = tags.as_slice().iter().map(|tag| format!("{}={}", escaped(&tag.key), escaped(&tag.value)));
    Ok(pairs.collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> std::result::Result<Vec<(String, String)>, String> {
        let mut fields = Fields::default();
        fields.set(name, value.to_owned());
        let headers = headers(&fields).map_err(|refusal| refusal.code.into_owned())?;
        let text = |value: &HeaderValue| String::from_utf8(value.as_bytes().to_vec()).expect("text");
        Ok(headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect())
    }

    #[test]
    fn fields_become_headers_by_the_list() {
        let tags = "<Tagging><TagSet><Tag><Key>a&amp;</Key><Value>é</Value></Tag><Tag><Key>b</Key><Value/></Tag></TagSet></Tagging>";
        for (name, value, header) in [
            ("acl", "private", Some(("x-amz-acl", "private"))),
            ("content-type", "a/b", Some(("content-type", "a/b"))),
            ("x-amz-meta-a", "plain text", Some(("x-amz-meta-a", "plain text"))),
            ("x-amz-meta-a", "é", Some(("x-amz-meta-a", "=?UTF-8?B?w6k=?="))),
            ("tagging", tags, Some(("x-amz-tagging", "a%26=%C3%A9&b="))),
            ("x-amz-server-side-encryption", "AES256", Some(("x-amz-server-side-encryption", "AES256"))),
            ("x-amz-copy-source", "/b/k", None),
            ("x-amz-security-token", "t", None),
            ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", None),
            ("x-amz-tagging", "a=b", None),
            ("authorization", "AWS a:b", None),
            ("if-none-match", "*", None),
            ("key", "k", None),
        ] {
            let wanted: Vec<_> = header.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            assert_eq!(read(name, value), Ok(wanted), "{name}: {value}");
        }
    }

    #[test]
    fn what_no_header_can_be_is_refused() {
        for (name, value, code) in [
            ("content-type", "a\r\nb", "InvalidArgument"),
            ("x-amz-meta-a b", "x", "InvalidArgument"),
            ("tagging", "<Tagging>", "MalformedXML"),
            ("tagging", "<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>", "MalformedXML"),
            ("tagging", "<!DOCTYPE a><Tagging><TagSet/></Tagging>", "MalformedXML"),
            ("tagging", "<Tagging><TagSet><Tag><Key></Key><Value>x</Value></Tag></TagSet></Tagging>", "InvalidTag"),
        ] {
            assert_eq!(read(name, value), Err(code.to_owned()), "{name}: {value}");
        }
    }
}
