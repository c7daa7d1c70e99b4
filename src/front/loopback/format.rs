//! In which form an answer is sent: JSON, JSON for a script of another page, XML; and what goes with it.
//!
//! **Invariant:** the form is settled before anything is done, so that nothing is done whose answer the client would not
//! take.

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use sha1::{Digest as _, Sha1};

use super::Asked;
use super::error::{Refusal, Result};
use super::tree::Tree;
use crate::front::wire::put;

/// Most ranges of media types of one request that are looked at.
const ACCEPTED_MAX: usize = 64;

/// The form of an answer that is no refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    /// A call of this function.
    Script(String),
    /// Under this media type.
    Xml(&'static str),
}

/// The form of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorFormat {
    Json,
    Html,
    Xml,
}

impl Format {
    /// What a client takes, by its query and its header.
    pub(super) fn of(asked: &Asked) -> Result<Self> {
        let known = ["application/json", "application/javascript", "text/javascript"];
        let callback = asked.parameter("callback");
        let name = || -> String {
            let legal = |c: &char| c.is_ascii_alphanumeric() || "_$.[]".contains(*c);
            callback.unwrap_or_default().chars().filter(legal).collect()
        };
        let script = || match name() {
            name if name.is_empty() => Self::Json,
            name => Self::Script(name),
        };
        if asked.has("_format") {
            let format = asked.parameter("_format").map(str::to_ascii_lowercase);
            return match format.as_deref() {
                Some("json" | "application/json" | "*/*" | "") => Ok(Self::Json),
                Some("application/javascript" | "text/javascript") => Ok(script()),
                Some("application/xml") => Ok(Self::Xml("application/xml; charset=utf-8")),
                Some("xml" | "text/xml") => Ok(Self::Xml("text/xml; charset=utf-8")),
                _ => Err(Refusal::unacceptable()),
            };
        }
        match best(&asked.head.headers, &known) {
            Some(0) => Ok(Self::Json),
            Some(_) => Ok(script()),
            None => Err(Refusal::unacceptable()),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Json => "application/json; charset=utf-8",
            Self::Script(_) => "text/javascript; charset=utf-8",
            Self::Xml(kind) => kind,
        }
    }

    /// A whole answer.
    fn text(&self, tree: &Tree) -> String {
        match (self, tree) {
            (Self::Json, tree) => tree.json(),
            (Self::Script(name), tree) => {
                format!("/**/ typeof {name} === 'function' && {name}({});", for_script(tree.json()))
            }
            (Self::Xml(_), Tree::List(rows)) => {
                let rows = Tree::Object(rows.iter().map(|row| ("result".to_owned(), row.clone())).collect());
                self.text(&rows)
            }
            (Self::Xml(_), tree) => {
                let mut text = DECLARATION.to_owned();
                tree.write_xml(&mut text, "response", 0, 2);
                text
            }
        }
    }

    /// What stands before, between and behind the lines of a list that is sent as it is read.
    pub(super) fn frame(&self) -> (String, &'static str, &'static str) {
        match self {
            Self::Json => ("[".to_owned(), ",", "]"),
            Self::Script(name) => (format!("/**/ typeof {name} === 'function' && {name}(["), ",", "]);"),
            Self::Xml(_) => (format!("{DECLARATION}\n<response>"), "", "\n</response>"),
        }
    }

    /// One line of such a list.
    pub(super) fn line(&self, row: &Tree) -> String {
        match self {
            Self::Json => row.json(),
            Self::Script(_) => for_script(row.json()),
            Self::Xml(_) => {
                let mut text = String::new();
                row.write_xml(&mut text, "result", 1, 2);
                text
            }
        }
    }

    /// Says what the form is.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.kind()));
        if matches!(self, Self::Script(_)) {
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
    }

    /// An answer of 200, or of 304 to who has it.
    pub(super) fn answer(&self, asked: &Asked, tree: &Tree) -> Response {
        let text = self.text(tree);
        let sum = STANDARD.encode(Sha1::digest(text.as_bytes()));
        let etag = format!("W/\"{:x}-{}\"", text.len(), &sum[..27]);
        let length = text.len().to_string();
        let reads = asked.head.method == Method::GET || asked.head.method == Method::HEAD;
        let mut answer = Response::new(Body::empty());
        put(answer.headers_mut(), ETAG, &etag);
        if reads && has(&asked.head.headers, &etag) {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            return answer;
        }
        *answer.body_mut() = Body::from(text);
        self.tell(answer.headers_mut());
        put(answer.headers_mut(), CONTENT_LENGTH, &length);
        answer
    }
}

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";

/// Two characters that JSON has and scripts had not.
fn for_script(json: String) -> String {
    json.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// Whether a client says that it has an answer, and does not insist on a new one.
fn has(headers: &HeaderMap, etag: &str) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    if text(CACHE_CONTROL).split(',').any(|word| word.trim().eq_ignore_ascii_case("no-cache")) {
        return false;
    }
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    text(IF_NONE_MATCH).split(',').any(|tag| tag.trim() == "*" || bare(tag) == bare(etag))
}

/// The form of a refusal of this request.
pub(super) fn error_format(asked: &Asked) -> ErrorFormat {
    match asked.parameter("_format") {
        Some("json" | "application/json") => return ErrorFormat::Json,
        Some("html" | "text/html") => return ErrorFormat::Html,
        Some("xml" | "text/xml") => return ErrorFormat::Xml,
        _ => {}
    }
    match best(&asked.head.headers, &["application/json", "text/html", "text/xml", "application/xml"]) {
        Some(1) => ErrorFormat::Html,
        Some(2 | 3) => ErrorFormat::Xml,
        _ => ErrorFormat::Json,
    }
}

/// Which of these media types a client likes best: by its weight, then by how exactly it is named, then in the order of
/// the header. `None`: none of them.
fn best(headers: &HeaderMap, known: &[&str]) -> Option<usize> {
    let Some(accept) = headers.get(ACCEPT) else { return Some(0) };
    let accept = accept.to_str().unwrap_or_default();
    let ranges: Vec<(&str, u32)> = accept.split(',').take(ACCEPTED_MAX).filter_map(range).collect();
    let liked = known.iter().enumerate().filter_map(|(at, kind)| {
        let found = ranges.iter().enumerate().filter_map(|(order, (range, weight))| {
            let exact = match range.split_once('/')? {
                ("*", "*") => 0,
                (kind_of, "*") if kind.split('/').next().is_some_and(|k| k.eq_ignore_ascii_case(kind_of)) => 1,
                _ if range.eq_ignore_ascii_case(kind) => 2,
                _ => return None,
            };
            Some((exact, std::cmp::Reverse(order), *weight))
        });
        // The most exact range says how much it is liked.
        let (exact, order, weight) = found.max()?;
        (weight > 0).then_some((weight, exact, order, std::cmp::Reverse(at)))
    });
    liked.max().map(|(.., at)| at.0)
}

/// One range of media types with its weight in thousandths.
fn range(text: &str) -> Option<(&str, u32)> {
    let mut parts = text.split(';');
    let range = parts.next()?.trim();
    let weight = parts.find_map(|part| part.trim().strip_prefix("q=")?.trim().parse::<f32>().ok()).unwrap_or(1.0);
    (!range.is_empty()).then_some((range, (weight.clamp(0.0, 1.0) * 1000.0) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_liked_form_is_found() {
        let known = ["application/json", "application/javascript", "text/javascript"];
        for (accept, found) in [
            ("*/*", Some(0)),
            ("application/json", Some(0)),
            ("application/*;q=0.5", Some(0)),
            ("text/javascript, */*;q=0.1", Some(2)),
            ("application/javascript;q=0.4, application/json;q=0.6", Some(0)),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Some(0)),
            ("text/plain", None),
            ("application/json;q=0", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(best(&headers, &known), found, "{accept}");
        }
        assert_eq!(best(&HeaderMap::new(), &known), Some(0));
    }

    #[test]
    fn a_client_has_what_it_names() {
        let etag = "W/\"2-l9Fw4VUO7kr8CvBlt4zaMCqXZ0w\"";
        let with = |value: &'static str| HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static(value))]);
        assert!(has(&with("\"x\", \"2-l9Fw4VUO7kr8CvBlt4zaMCqXZ0w\""), etag) && has(&with("*"), etag));
        assert!(!has(&with("\"x\""), etag) && !has(&HeaderMap::new(), etag));
        let mut fresh = with("*");
        fresh.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        assert!(!has(&fresh, etag));
    }
}
