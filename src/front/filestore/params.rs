//! Parameters of a function, whichever way they came.
//!
//! **Invariant:** `null` is absent; a value of another type than a parameter has is refused by the parameter's name, and
//! so is one that came twice where one is taken. Parameters that nobody asks for are passed over.

use serde_json::{Map, Value};

use super::error::{Refusal, Result};
use crate::config::limits::ITEM_FIELDS_MAX;

/// Parameters, and the names of those that were found to be wrong.
#[derive(Debug, Default)]
pub(super) struct Params {
    map: Map<String, Value>,
    wrong: Vec<String>,
}

impl Params {
    /// Members of an object.
    pub(super) fn of_map(map: Map<String, Value>) -> Self {
        Self { map: map.into_iter().filter(|(_, value)| !value.is_null()).collect(), wrong: Vec::new() }
    }

    /// Fields of a form or of a query. One that came more than once is a list.
    pub(super) fn of_pairs(pairs: impl Iterator<Item = (String, String)>) -> Result<Self> {
        let mut map: Map<String, Value> = Map::new();
        for (number, (name, value)) in pairs.enumerate() {
            if number == ITEM_FIELDS_MAX {
                return Err(Refusal::new(422, "invalid_parameter"));
            }
            match map.get_mut(&name) {
                None => {
                    map.insert(name, value.into());
                }
                Some(Value::Array(list)) => list.push(value.into()),
                Some(one) => *one = vec![one.take(), value.into()].into(),
            }
        }
        Ok(Self::of_map(map))
    }

    /// Takes those of others where it has none of its own.
    pub(super) fn or(mut self, others: Self) -> Self {
        for (name, value) in others.map {
            self.map.entry(name).or_insert(value);
        }
        self
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name)
    }

    /// Notes that a parameter is wrong.
    pub(super) fn wrong(&mut self, name: &str) {
        if !self.wrong.iter().any(|other| other == name) {
            self.wrong.push(name.to_owned());
        }
    }

    fn read<T>(&mut self, name: &str, read: impl FnOnce(Value) -> Option<T>) -> Option<T> {
        let found = read(self.map.remove(name)?);
        if found.is_none() {
            self.wrong(name);
        }
        found
    }

    /// A text.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.read(name, |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
    }

    /// A text, which must be there and hold something.
    pub(super) fn needed(&mut self, name: &str) -> String {
        let text = self.text(name).unwrap_or_default();
        if text.is_empty() {
            self.wrong(name);
        }
        text
    }

    /// True or false, in one of the words for it.
    pub(super) fn boolean(&mut self, name: &str) -> bool {
        let read = |value: Value| match value {
            Value::Bool(yes) => Some(yes),
            Value::String(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Some(true),
                "false" | "0" | "no" | "off" | "" => Some(false),
                _ => None,
            },
            Value::Number(number) => match number.as_u64() {
                Some(1) => Some(true),
                Some(0) => Some(false),
                _ => None,
            },
            _ => None,
        };
        self.read(name, read).unwrap_or(false)
    }

    /// A whole number that is not negative.
    pub(super) fn number(&mut self, name: &str) -> Option<u64> {
        self.read(name, |value| match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        })
    }

    /// One of some words; the value that goes with it.
    pub(super) fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        self.read(name, |value| {
            let text = value.as_str()?;
            words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
        })
    }

    /// A text or a list of texts; in a text, commas part them if `parted`.
    pub(super) fn texts(&mut self, name: &str, parted: bool) -> Option<Vec<String>> {
        self.read(name, |value| texts_of(value, parted))
    }

    /// Tells what was found to be wrong.
    pub(super) fn check(&mut self) -> Result<()> {
        match std::mem::take(&mut self.wrong) {
            wrong if wrong.is_empty() => Ok(()),
            wrong => Err(Refusal::new(422, "invalid_parameter").naming(wrong)),
        }
    }
}

/// A text or a list of texts.
pub(super) fn texts_of(value: Value, parted: bool) -> Option<Vec<String>> {
    let split = |text: &str| -> Vec<String> {
        match parted {
            true => text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect(),
            false => vec![text.to_owned()],
        }
    };
    match value {
        Value::String(text) => Some(split(&text)),
        Value::Array(list) => {
            let texts: Option<Vec<Vec<String>>> = list.iter().map(|text| text.as_str().map(split)).collect();
            texts.map(|texts| texts.concat())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(value: Value) -> Params {
        Params::of_map(value.as_object().cloned().unwrap_or_default())
    }

    #[test]
    fn values_of_another_type_are_named() {
        let mut params = params(serde_json::json!({
            "a": 1, "b": "x", "c": -1, "d": null, "e": "7", "f": "on", "g": ["x", 1], "h": "z",
        }));
        assert_eq!((params.text("a"), params.boolean("b"), params.number("c")), (None, false, None));
        assert_eq!((params.text("d"), params.number("e"), params.boolean("f")), (None, Some(7), true));
        assert_eq!((params.texts("g", false), params.word("h", &[("y", 1)])), (None, None));
        assert_eq!(params.wrong, ["a", "b", "c", "g", "h"]);
        assert!(params.check().is_err() && params.check().is_ok());
    }

    #[test]
    fn a_field_that_came_twice_is_a_list() {
        let pairs = [("a", "1"), ("b", "2"), ("a", "3")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut params = Params::of_pairs(pairs.into_iter()).expect("few");
        assert_eq!(params.texts("a", true), Some(vec!["1".to_owned(), "3".to_owned()]));
        assert_eq!(params.text("b"), Some("2".to_owned()));
        let many = (0..=ITEM_FIELDS_MAX).map(|n| (n.to_string(), String::new()));
        assert!(Params::of_pairs(many).is_err());
    }
}
