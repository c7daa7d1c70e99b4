//! What a request says in JSON or in its query, checked as Supabase's schemas check it: values are coerced, unknown
//! members are ignored, and all that is wrong is told in one message.
//!
//! **Invariant:** a body of JSON is read up to a limit, and only where it is one.

use axum::body::Body;
use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, Limited};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::error::{Refusal, Result};
use crate::config::limits::JSON_BODY_BYTES_MAX;

/// Members with the place they stand in.
#[derive(Debug)]
pub(super) struct Fields {
    at: &'static str,
    map: Map<String, Value>,
    problems: Vec<String>,
}

/// A value that may be set to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Given<T> {
    /// It was not named.
    Absent,
    /// It was `null`.
    Null,
    /// This.
    Is(T),
}

impl Fields {
    /// The parameters of a query; of one that is there twice the last counts.
    pub(super) fn of_query(query: Option<&str>) -> Self {
        let map = pairs(query.unwrap_or_default()).map(|(name, value)| (name, Value::String(value))).collect();
        Self { at: "querystring", map, problems: Vec::new() }
    }

    /// Members that stand in a text of their own.
    pub(super) fn of_map(map: Map<String, Value>) -> Self {
        Self { at: "querystring", map, problems: Vec::new() }
    }

    /// The members of a body.
    pub(super) async fn of_body(headers: &HeaderMap, body: Body) -> Result<Self> {
        let Some(text) = read(headers, body).await? else { return Err(Refusal::schema("body must be object")) };
        if text.is_empty() {
            return Err(empty());
        }
        match serde_json::from_slice(&text) {
            Ok(Value::Object(map)) => Ok(Self { at: "body", map, problems: Vec::new() }),
            Ok(_) => Err(Refusal::schema("body must be object")),
            Err(_) => Err(fastify("Body is not valid JSON but content-type is set to 'application/json'")),
        }
    }

    /// Members of a member.
    pub(super) fn inner(&mut self, name: &str) -> Option<Map<String, Value>> {
        match self.map.remove(name) {
            None | Some(Value::Null) => None,
            Some(Value::Object(map)) => Some(map),
            Some(_) => {
                self.problem(&format!("/{name} must be object"));
                None
            }
        }
    }

    /// Whether it is named.
    pub(super) fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name)
    }

    pub(super) fn problem(&mut self, what: &str) {
        self.problems.push(format!("{}{what}", self.at));
    }

    pub(super) fn required(&mut self, name: &str) {
        if !self.has(name) {
            self.problem(&format!(" must have required property '{name}'"));
        }
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        match self.map.remove(name)? {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(yes) => Some(yes.to_string()),
            Value::Null => Some(String::new()),
            Value::Array(_) | Value::Object(_) => {
                self.problem(&format!("/{name} must be string"));
                None
            }
        }
    }

    pub(super) fn boolean(&mut self, name: &str) -> Option<bool> {
        match self.map.remove(name)? {
            Value::Bool(yes) => Some(yes),
            Value::String(text) if text == "true" => Some(true),
            Value::String(text) if text == "false" => Some(false),
            Value::Null => Some(false),
            Value::Number(n) if n.as_u64() == Some(1) => Some(true),
            Value::Number(n) if n.as_u64() == Some(0) => Some(false),
            _ => {
                self.problem(&format!("/{name} must be boolean"));
                None
            }
        }
    }

    /// A whole number of at least `least`.
    pub(super) fn integer(&mut self, name: &str, least: i64) -> Option<i64> {
        let found = match self.map.remove(name)? {
            Value::Number(number) => whole(&number),
            Value::String(text) => text.trim().parse().ok(),
            Value::Null => Some(0),
            _ => None,
        };
        match found {
            Some(number) if number >= least => Some(number),
            Some(_) => {
                self.problem(&format!("/{name} must be >= {least}"));
                None
            }
            None => {
                self.problem(&format!("/{name} must be integer"));
                None
            }
        }
    }

    /// A number.
    pub(super) fn number(&mut self, name: &str) -> Option<f64> {
        let found = match self.map.remove(name)? {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            Value::Null => Some(0.0),
            _ => None,
        };
        let found = found.filter(|number| number.is_finite());
        if found.is_none() {
            self.problem(&format!("/{name} must be number"));
        }
        found
    }

    /// One of these words.
    pub(super) fn word(&mut self, name: &str, words: &[&'static str]) -> Option<&'static str> {
        let text = self.text(name)?;
        let found = words.iter().find(|word| **word == text).copied();
        if found.is_none() {
            self.problem(&format!("/{name} must be equal to one of the allowed values"));
        }
        found
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, name: &str) -> Given<Vec<String>> {
        let list = match self.map.remove(name) {
            None => return Given::Absent,
            Some(Value::Null) => return Given::Null,
            Some(Value::Array(list)) => list,
            Some(one @ Value::String(_)) => vec![one],
            Some(_) => {
                self.problem(&format!("/{name} must be array"));
                return Given::Absent;
            }
        };
        let texts: Option<Vec<String>> = list.iter().map(|text| text.as_str().map(str::to_owned)).collect();
        match texts {
            Some(texts) => Given::Is(texts),
            None => {
                self.problem(&format!("/{name} must be string"));
                Given::Absent
            }
        }
    }

    /// Tells what was found to be wrong.
    pub(super) fn check(&mut self) -> Result<()> {
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(Refusal::schema(std::mem::take(&mut self.problems).join(", ")))
    }
}

fn whole(number: &serde_json::Number) -> Option<i64> {
    let float = || number.as_f64().filter(|n| n.fract() == 0.0 && n.abs() < 9e15).map(|n| n as i64);
    number.as_i64().or_else(float)
}

/// The parameters of a query, as forms escape them.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    let decoded = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    query.split('&').filter(|pair| !pair.is_empty()).map(move |pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    })
}

fn fastify(message: &'static str) -> Refusal {
    Refusal::new(400, "FastifyError", message, "InvalidRequest")
}

fn empty() -> Refusal {
    fastify("Body cannot be empty when content-type is set to 'application/json'")
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// Refuses a body that says it is JSON and is nothing, where none is needed.
pub(super) fn not_empty_json(headers: &HeaderMap) -> Result<()> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let none = !headers.contains_key(header::TRANSFER_ENCODING) && length.is_none_or(|length| length == "0");
    if is_json(headers) && none { Err(empty()) } else { Ok(()) }
}

/// A body of JSON; `None` if it is of another type.
async fn read(headers: &HeaderMap, body: Body) -> Result<Option<Vec<u8>>> {
    if !is_json(headers) {
        return Ok(None);
    }
    match Limited::new(body, JSON_BODY_BYTES_MAX).collect().await {
        Ok(body) => Ok(Some(body.to_bytes().to_vec())),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Refusal::new(413, "FastifyError", "Request body is too large", "InvalidRequest"))
        }
        Err(_) => Err(Refusal::invalid("The body could not be read")),
    }
}
