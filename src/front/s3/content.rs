//! What a client says about the bytes of an object, between headers and the model.
//!
//! **Invariant:** nothing that is stored here can break the headers of a later answer: values are printable ASCII, and
//! user metadata, which may be any text, is given back in encoded words. What an answer is asked to say instead may have
//! the letters of ISO-8859-1, too.

use std::collections::HashMap;

use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, EXPIRES, HeaderName,
};
use http::{HeaderMap, HeaderValue};

use super::error::{Refusal, Result};
use crate::config::limits::METADATA_BYTES_MAX;
use crate::model::object::Content;

/// The type of an object whose client named none.
pub(super) const DEFAULT_TYPE: &str = "binary/octet-stream";

const STORAGE_CLASSES: [&str; 8] = [
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "DEEP_ARCHIVE",
    "GLACIER_IR",
];

/// Reads what the headers of a write say, with the user metadata as s3s decoded it.
pub(super) fn of(headers: &HeaderMap, metadata: Option<HashMap<String, String>>) -> Result<Content> {
    let encoding = text(headers, &CONTENT_ENCODING)?.and_then(|value| without_transport(&value));
    Ok(Content {
        content_type: text(headers, &CONTENT_TYPE)?,
        cache_control: text(headers, &CACHE_CONTROL)?,
        disposition: text(headers, &CONTENT_DISPOSITION)?,
        encoding,
        language: text(headers, &CONTENT_LANGUAGE)?,
        expires: text(headers, &EXPIRES)?,
        redirect: redirect(headers)?,
        storage_class: storage_class(headers)?,
        user: user(metadata.unwrap_or_default())?,
        ..Content::default()
    })
}

/// The redirect of the headers.
pub(super) fn redirect(headers: &HeaderMap) -> Result<Option<String>> {
    let redirect = text(headers, &HeaderName::from_static("x-amz-website-redirect-location"))?;
    match redirect {
        Some(to) if !["/", "http://", "https://"].iter().any(|start| to.starts_with(start)) => Err(Refusal::new(
            400,
            "InvalidRedirectLocation",
            "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.",
        )),
        redirect => Ok(redirect),
    }
}

/// The storage class of the headers; `None` is STANDARD.
pub(super) fn storage_class(headers: &HeaderMap) -> Result<Option<String>> {
    match text(headers, &HeaderName::from_static("x-amz-storage-class"))? {
        Some(class) if !STORAGE_CLASSES.contains(&class.as_str()) => {
            Err(Refusal::new(400, "InvalidStorageClass", "The storage class you specified is not valid"))
        }
        class => Ok(class.filter(|class| class != "STANDARD")),
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let value = value.to_str().map_err(|_| {
        Refusal::new(400, "InvalidArgument", "A header holds a character that is not printable ASCII.")
            .with("ArgumentName", name.as_str())
    })?;
    Ok(Some(value.trim().to_owned()).filter(|value| !value.is_empty()))
}

/// The encodings as they were sent, but for those that were taken off on the way.
fn without_transport(encoding: &str) -> Option<String> {
    let kept: Vec<&str> = encoding
        .split(',')
        .filter(|token| !token.trim().is_empty() && !token.trim().eq_ignore_ascii_case("aws-chunked"))
        .collect();
    (!kept.is_empty()).then(|| kept.join(",").trim().to_owned())
}

fn user(metadata: HashMap<String, String>) -> Result<std::collections::BTreeMap<String, String>> {
    let mut bytes = 0;
    for (name, value) in &metadata {
        bytes += name.len() + value.len();
        // Encoded words can carry what a header cannot.
        if value.chars().any(char::is_control) {
            return Err(Refusal::new(400, "InvalidArgument", "User metadata must not hold control characters.")
                .with("ArgumentName", format!("x-amz-meta-{name}")));
        }
    }
    if bytes > METADATA_BYTES_MAX {
        return Err(Refusal::new(
            400,
            "MetadataTooLarge",
            "Your metadata headers exceed the maximum allowed metadata size",
        )
        .with("Size", bytes.to_string())
        .with("MaxSizeAllowed", METADATA_BYTES_MAX.to_string()));
    }
    Ok(metadata.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect())
}

/// What a GET asks to be answered instead of what is stored.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    /// `response-content-type`.
    pub(super) content_type: Option<String>,
    /// `response-cache-control`.
    pub(super) cache_control: Option<String>,
    /// `response-content-disposition`.
    pub(super) disposition: Option<String>,
    /// `response-content-encoding`.
    pub(super) encoding: Option<String>,
    /// `response-content-language`.
    pub(super) language: Option<String>,
    /// `response-expires`.
    pub(super) expires: Option<String>,
}

/// What an answer says about the bytes, fit for headers.
#[derive(Debug)]
pub(super) struct Shown {
    /// Content-Type, Cache-Control and so on, and user metadata.
    pub(super) content: Content,
    /// User metadata as s3s takes it.
    pub(super) metadata: HashMap<String, String>,
    /// How many entries of it no header can carry.
    pub(super) missing: Option<i32>,
    /// Headers beyond ASCII, in ISO-8859-1. s3s would write them in UTF-8.
    pub(super) latin: Vec<(HeaderName, HeaderValue)>,
}

/// Puts what is stored and what is asked for instead together.
///
/// # Errors
/// 400 if what is asked for cannot be in a header: a control character, or one that ISO-8859-1 has not.
pub(super) fn shown(stored: Content, overrides: Overrides) -> Result<Shown> {
    let mut latin = Vec::new();
    let mut pick = |name: &'static str, header, asked: Option<String>, stored: Option<String>| match asked {
        Some(asked) if printable(&asked) => Ok(Some(asked)),
        Some(asked) => match in_latin(&asked) {
            Some(value) => {
                latin.push((header, value));
                Ok(None)
            }
            None => Err(Refusal::argument(name, &asked, "Header value cannot be represented using ISO-8859-1.")),
        },
        // Another front may have stored what a header cannot carry.
        None => Ok(stored.filter(|value| printable(value))),
    };
    let Overrides { content_type, cache_control, disposition, encoding, language, expires } = overrides;
    let content = Content {
        content_type: pick("response-content-type", CONTENT_TYPE, content_type, stored.content_type)?
            .or_else(|| Some(DEFAULT_TYPE.to_owned())),
        cache_control: pick("response-cache-control", CACHE_CONTROL, cache_control, stored.cache_control)?,
        disposition: pick("response-content-disposition", CONTENT_DISPOSITION, disposition, stored.disposition)?,
        encoding: pick("response-content-encoding", CONTENT_ENCODING, encoding, stored.encoding)?,
        language: pick("response-content-language", CONTENT_LANGUAGE, language, stored.language)?,
        expires: pick("response-expires", EXPIRES, expires, stored.expires)?,
        redirect: stored.redirect.filter(|value| printable(value)),
        storage_class: stored.storage_class,
        ..Content::default()
    };
    let all = stored.user.len();
    let metadata: HashMap<String, String> = stored
        .user
        .into_iter()
        .filter(|(name, value)| {
            HeaderName::from_bytes(format!("x-amz-meta-{name}").as_bytes()).is_ok()
                && !value.chars().any(char::is_control)
        })
        .collect();
    let missing = i32::try_from(all - metadata.len()).ok().filter(|missing| *missing > 0);
    Ok(Shown { content, metadata, missing, latin })
}

fn printable(value: &str) -> bool {
    HeaderValue::from_str(value).is_ok_and(|value| value.to_str().is_ok())
}

/// A text in ISO-8859-1, if it can be written so and breaks no header.
fn in_latin(text: &str) -> Option<HeaderValue> {
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok().filter(|_| !c.is_control())).collect();
    HeaderValue::from_bytes(&bytes?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &'static str, value: &'static [u8]) -> std::result::Result<Content, String> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_bytes(value).expect("a value"));
        of(&headers, None).map_err(|refusal| refusal.code.into_owned())
    }

    #[test]
    fn the_transport_encoding_is_not_kept() {
        for (sent, kept) in [
            (&b"aws-chunked"[..], None),
            (b"gzip, AWS-Chunked", Some("gzip")),
            (b"aws-chunked,gzip,br", Some("gzip,br")),
            (b"deflate, gzip, aws-chunked", Some("deflate, gzip")),
            (b"aws-chunked, aws-chunked", None),
            (b"gzip", Some("gzip")),
        ] {
            assert_eq!(read("content-encoding", sent).expect("read").encoding.as_deref(), kept);
        }
    }

    #[test]
    fn values_that_no_answer_could_carry_are_refused() {
        assert_eq!(read("content-disposition", "é".as_bytes()), Err("InvalidArgument".into()));
        assert_eq!(read("x-amz-website-redirect-location", b"ftp://a"), Err("InvalidRedirectLocation".into()));
        assert_eq!(read("x-amz-storage-class", b"COLD"), Err("InvalidStorageClass".into()));
        let meta = |value: &str| of(&HeaderMap::new(), Some([("a".to_owned(), value.to_owned())].into()));
        assert!(meta("é").is_ok() && meta("").is_ok());
        assert_eq!(meta("a\r\nb").expect_err("refused").code, "InvalidArgument");
        assert_eq!(meta(&"x".repeat(2048)).expect_err("refused").code, "MetadataTooLarge");
        assert!(meta(&"x".repeat(2047)).is_ok());
    }

    #[test]
    fn overrides_come_before_what_is_stored() {
        let stored = Content {
            cache_control: Some("a\nb".into()),
            user: [("bad name".to_owned(), "1".to_owned()), ("good".to_owned(), "2".to_owned())].into(),
            ..Content::default()
        };
        let asked = Overrides { language: Some("de".into()), ..Overrides::default() };
        let answer = shown(stored, asked).expect("shown");
        assert_eq!(answer.content.content_type.as_deref(), Some(DEFAULT_TYPE));
        assert_eq!((answer.content.language.as_deref(), answer.content.cache_control), (Some("de"), None));
        assert_eq!((answer.metadata.len(), answer.missing), (1, Some(1)));
        for bad in ["a\r\nSet-Cookie: b", "a\0", "é\r\nSet-Cookie: b", "é\u{85}", "–", "倉"] {
            let asked = Overrides { content_type: Some(bad.into()), ..Overrides::default() };
            assert!(shown(Content::default(), asked).is_err(), "{bad:?}");
        }
        let asked = Overrides { disposition: Some("é".into()), ..Overrides::default() };
        let latin = shown(Content::default(), asked).expect("shown").latin;
        assert_eq!(latin, [(CONTENT_DISPOSITION, HeaderValue::from_bytes(b"\xe9").expect("a value"))]);
    }
}
