//! What is said about the bytes of an item: its type, its custom header, its cache setting.
//!
//! The type and the cache setting are those of the object, whichever front is asked. The header is kept in user metadata,
//! in base64, so that it can be read and set by S3, too.
//!
//! **Invariant:** what is kept can be sent, and none of it can end a header, stand for one that the server sends itself, or
//! say more than what this one answer is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::Value;

use super::error::Result;
use super::params::Params;
use crate::config::limits::{ITEM_CACHE_BYTES_MAX, ITEM_HEADER_BYTES_MAX};
use crate::model::object::Content;

/// Where the custom header is kept: `x-amz-meta-nive-header` for S3.
const HEADER: &str = "nive-header";
/// Longest type, in bytes.
const TYPE_BYTES_MAX: usize = 255;
/// Most headers that one custom header makes.
const HEADERS_MAX: usize = 32;
/// The type of what is of none.
pub(super) const UNTYPED: &str = "application/octet-stream";

/// Headers that the server sends itself, or that rule the connection, the rights of pages, or more than the one answer: the
/// whole origin, or what a proxy does.
const OWN: [&str; 28] = [
    "alt-svc",
    "clear-site-data",
    "connection",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "etag",
    "keep-alive",
    "last-modified",
    "location",
    "nel",
    "origin-agent-cluster",
    "proxy-authenticate",
    "refresh",
    "report-to",
    "reporting-endpoints",
    "service-worker-allowed",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "www-authenticate",
    "x-content-type-options",
];
/// What the names of such headers begin with. Proxies do what these say: send a file of theirs, or keep the answer.
const OWN_PREFIXES: [&str; 8] =
    ["access-control-", "cdn-", "surrogate-", "x-accel-", "x-lighttpd-", "x-longshore", "x-reproxy-", "x-sendfile"];

/// What a request says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Said {
    mime: Option<String>,
    header: Option<String>,
    cache: Option<String>,
}

impl Said {
    /// Takes it from parameters, among which what is wrong is noted.
    pub(super) fn of(params: &mut Params) -> Result<Self> {
        let mime = params.text("mime").filter(|mime| !mime.is_empty());
        if mime.as_deref().is_some_and(|mime| !is_type(mime)) {
            params.wrong("mime");
        }
        let header = match params.take("header") {
            None => None,
            Some(Value::String(text)) => Some(text),
            Some(object @ Value::Object(_)) => Some(object.to_string()),
            Some(_) => {
                params.wrong("header");
                None
            }
        };
        if header.as_deref().is_some_and(|header| !is_header(header)) {
            params.wrong("header");
        }
        let cache = params.text("cache");
        let legal = |cache: &str| {
            cache.len() <= ITEM_CACHE_BYTES_MAX && cache.is_ascii() && HeaderValue::from_str(cache).is_ok()
        };
        if cache.as_deref().is_some_and(|cache| !legal(cache)) {
            params.wrong("cache");
        }
        params.check()?;
        Ok(Self { mime, header, cache })
    }

    /// Whether it is anything.
    pub(super) fn is_any(&self) -> bool {
        *self != Self::default()
    }

    /// Where no type is said: that which came with the bytes, or that which the name tells.
    pub(super) fn typed(mut self, sent: Option<String>, name: &str) -> Self {
        let sent = sent.filter(|sent| is_type(sent));
        self.mime = self.mime.or(sent).or_else(|| Some(guess(name).to_owned()));
        self
    }

    /// Where no type is said: that which came with the bytes.
    pub(super) fn with_type(mut self, sent: Option<String>) -> Self {
        self.mime = self.mime.or(sent);
        self
    }

    /// What is said then.
    pub(super) fn apply(&self, mut content: Content) -> Content {
        if let Some(mime) = &self.mime {
            content.content_type = Some(mime.clone());
        }
        if let Some(cache) = &self.cache {
            content.cache_control = (!cache.is_empty()).then(|| cache.clone());
        }
        match self.header.as_deref() {
            None => {}
            Some("") => {
                content.user.remove(HEADER);
            }
            Some(text) => {
                content.user.insert(HEADER.to_owned(), STANDARD.encode(text));
            }
        }
        content
    }
}

/// The custom header of an item, as it was given.
pub(super) fn header_of(content: &Content) -> String {
    let bytes = content.user.get(HEADER).and_then(|text| STANDARD.decode(text).ok());
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

/// The headers that a custom header makes: those of an object of texts and lists of texts.
pub(super) fn headers_of(content: &Content) -> Vec<(HeaderName, HeaderValue)> {
    let Ok(Value::Object(map)) = serde_json::from_str(&header_of(content)) else { return Vec::new() };
    let mut headers = Vec::new();
    for (name, value) in map {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
        let plain = name.as_str();
        if OWN.contains(&plain) || OWN_PREFIXES.iter().any(|prefix| plain.starts_with(prefix)) {
            continue;
        }
        let texts = super::params::texts_of(value, false).unwrap_or_default();
        let values = texts.iter().filter_map(|text| HeaderValue::from_str(text).ok());
        headers.extend(values.map(|value| (name.clone(), value)));
    }
    headers.truncate(HEADERS_MAX);
    headers
}

/// The type that a request names.
pub(super) fn sent_type(headers: &HeaderMap) -> Option<String> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok().filter(|kind| !kind.is_empty()).map(str::to_owned)
}

/// Whether a text looks like a type.
pub(super) fn is_type(text: &str) -> bool {
    let word = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !b"/;,\"()<>@:\\[]?={}".contains(&b))
    };
    let kind = text.split(';').next().unwrap_or_default().trim();
    let parts = kind.split_once('/').is_some_and(|(kind, subtype)| word(kind) && word(subtype));
    parts && text.len() <= TYPE_BYTES_MAX && text.is_ascii() && HeaderValue::from_str(text).is_ok()
}

/// Whether a text can be a custom header: any text, but what looks like JSON must be an object.
fn is_header(text: &str) -> bool {
    if text.len() > ITEM_HEADER_BYTES_MAX || text.chars().any(|c| matches!(c, '\r' | '\n' | '\0')) {
        return false;
    }
    let json = text.trim_start().starts_with(['{', '[']);
    !json || matches!(serde_json::from_str(text), Ok(Value::Object(_)))
}

/// The type that a name tells.
pub(super) fn guess(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).unwrap_or_default();
    match extension.as_str() {
        "html" | "htm" => "text/html",
        "css" => "text/css",
        "js" | "mjs" => "text/javascript",
        "json" | "map" => "application/json",
        "txt" | "text" | "log" => "text/plain",
        "md" => "text/markdown",
        "csv" => "text/csv",
        "xml" => "application/xml",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/x-icon",
        "bmp" => "image/bmp",
        "tif" | "tiff" => "image/tiff",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        "tar" => "application/x-tar",
        "wasm" => "application/wasm",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        "mov" => "video/quicktime",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "doc" => "application/msword",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xls" => "application/vnd.ms-excel",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "ppt" => "application/vnd.ms-powerpoint",
        "pptx" => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        _ => UNTYPED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_header(text: &str) -> Content {
        Said { header: Some(text.to_owned()), ..Said::default() }.apply(Content::default())
    }

    #[test]
    fn a_custom_header_is_kept_whatever_it_is_and_sent_if_it_is_an_object() {
        let content = with_header("origin=local");
        assert_eq!((header_of(&content).as_str(), headers_of(&content).len()), ("origin=local", 0));
        let text = r#"{"X-A":"1","x-b":["2","3"],"Set-Cookie":"x=y","Content-Length":"9","n":1,"bad name":"x"}"#;
        let content = with_header(text);
        let sent: Vec<(String, String)> = headers_of(&content)
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
            .collect();
        let wanted = [("x-a", "1"), ("x-b", "2"), ("x-b", "3")];
        let wanted: Vec<_> = wanted.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        assert_eq!((sent, header_of(&content).as_str()), (wanted, text));
        let gone = Said { header: Some(String::new()), ..Said::default() }.apply(content);
        assert_eq!(header_of(&gone), "");
    }

    #[test]
    fn what_could_end_a_header_is_none() {
        for text in ["a\r\nb", "a\0", "{", "[1]", "{\"a\":", &"x".repeat(ITEM_HEADER_BYTES_MAX + 1)] {
            assert!(!is_header(text), "{text}");
        }
        for (text, legal) in [
            ("text/html", true),
            ("text/html; charset=utf-8", true),
            ("html", false),
            ("a/b\r\nx: y", false),
            ("/", false),
        ] {
            assert_eq!(is_type(text), legal, "{text}");
        }
    }
}
