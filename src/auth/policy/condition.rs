//! The `Condition` of a statement: operators over the facts of a request.
//!
//! **Invariant:** a value that its operator cannot read makes the document unreadable; a fact of the request that it
//! cannot read is equal to nothing.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::auth::policy::keys::Key;
use crate::auth::policy::question::Question;
use crate::auth::policy::template::{Reads, Template};
use crate::auth::policy::{Effect, Malformed, Match};
use crate::model::network::Network;

/// One operator on one key.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    key: Key,
    over: Over,
    /// A key that is not there fulfils it.
    if_exists: bool,
    /// It asks for no value to be equal.
    negated: bool,
    test: Test,
}

/// How the values of a key count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    /// The key has one value; if it has more, one of them is enough.
    Plain,
    /// `ForAnyValue:`
    Any,
    /// `ForAllValues:`
    All,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    Text { patterns: Vec<Template>, fold_case: bool },
    Number(Order, Vec<f64>),
    Date(Order, Vec<i128>),
    Bool(Vec<bool>),
    Address(Vec<Network>),
    Binary(Vec<Vec<u8>>),
    Null(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    /// Reads the end of the name of an operator; the second says whether it is negated.
    fn parse(name: &str) -> Option<(Self, bool)> {
        Some(match name {
            "equals" => (Self::Equal, false),
            "notequals" => (Self::Equal, true),
            "lessthan" => (Self::Less, false),
            "lessthanequals" => (Self::LessOrEqual, false),
            "greaterthan" => (Self::Greater, false),
            "greaterthanequals" => (Self::GreaterOrEqual, false),
            _ => return None,
        })
    }

    fn holds<T: PartialOrd>(self, value: &T, wanted: &T) -> bool {
        match self {
            Self::Equal => value == wanted,
            Self::Less => value < wanted,
            Self::LessOrEqual => value <= wanted,
            Self::Greater => value > wanted,
            Self::GreaterOrEqual => value >= wanted,
        }
    }
}

impl Condition {
    /// Reads an operator with the values of one key.
    pub(super) fn parse(operator: &str, key: &str, values: &[String], variables: bool) -> Result<Self, Malformed> {
        if values.is_empty() {
            return Err(Malformed::new(format!("the condition on {key:?} has no value")));
        }
        let lower = operator.to_ascii_lowercase();
        let (over, rest) = match lower.split_once(':') {
            None => (Over::Plain, lower.as_str()),
            Some(("foranyvalue", rest)) => (Over::Any, rest),
            Some(("forallvalues", rest)) => (Over::All, rest),
            Some(_) => return Err(unknown(operator)),
        };
        let (name, if_exists) = match rest.strip_suffix("ifexists") {
            Some(name) => (name, true),
            None => (rest, false),
        };
        let (test, negated) = Test::parse(name, values, variables)?.ok_or_else(|| unknown(operator))?;
        if matches!(test, Test::Null(_)) && (if_exists || over != Over::Plain) {
            return Err(unknown(operator));
        }
        let condition = Self { key: Key::parse(key)?, over, if_exists, negated, test };
        Ok(condition)
    }

    /// Whether it is fulfilled. `effect`: that of its statement, which takes what cannot be told for the worse.
    pub(super) fn holds(&self, question: &Question<'_>, effect: Effect) -> Match {
        let open = |key| question.is_open(key);
        if open(&self.key) || self.test.keys().any(open) {
            return Match::Open;
        }
        let values = question.values(&self.key);
        let values = values.as_deref().unwrap_or_default();
        if let Test::Null(wanted) = self.test {
            return Match::from(values.is_empty() == wanted);
        }
        if values.is_empty() {
            return Match::from(match self.over {
                Over::All => true,
                _ if self.if_exists => true,
                Over::Any => false,
                Over::Plain => self.negated,
            });
        }
        // A variable that stands for nothing fulfils no condition of a right, and any "not" of a refusal.
        let fulfils = |equal: Option<bool>| match equal {
            Some(equal) => equal != self.negated,
            None => self.negated && effect == Effect::Deny,
        };
        let mut each = values.iter().map(|value| fulfils(self.test.is_equal(value, question)));
        Match::from(match self.over {
            Over::All => each.all(|fulfilled| fulfilled),
            // "Not" asks of every value, where the key is not said to have many.
            Over::Plain if self.negated => each.all(|fulfilled| fulfilled),
            Over::Plain | Over::Any => each.any(|fulfilled| fulfilled),
        })
    }

    /// Whether it lets only callers in whom its author has named by a fixed value.
    pub(super) fn narrows(&self) -> bool {
        if self.negated || self.if_exists || self.over == Over::All || !self.key.narrows() {
            return false;
        }
        match &self.test {
            Test::Text { patterns, .. } => patterns.iter().all(Template::is_fixed),
            Test::Address(networks) => networks.iter().all(Network::is_narrow),
            _ => false,
        }
    }
}

fn unknown(operator: &str) -> Malformed {
    Malformed::new(format!("the condition operator {operator:?} is not known"))
}

impl Test {
    /// Reads the values of an operator; `None`: there is no such operator. The second says whether it is negated.
    fn parse(name: &str, values: &[String], variables: bool) -> Result<Option<(Self, bool)>, Malformed> {
        let text = |wildcards, fold_case| -> Result<Self, Malformed> {
            let reads = Reads { variables, wildcards };
            let patterns = values.iter().map(|value| Template::parse(value, reads)).collect::<Result<_, _>>()?;
            Ok(Self::Text { patterns, fold_case })
        };
        if let Some((order, negated)) = name.strip_prefix("numeric").and_then(Order::parse) {
            return Ok(Some((Self::Number(order, each(values, number)?), negated)));
        }
        if let Some((order, negated)) = name.strip_prefix("date").and_then(Order::parse) {
            return Ok(Some((Self::Date(order, each(values, moment)?), negated)));
        }
        Ok(Some(match name {
            "stringequals" => (text(false, false)?, false),
            "stringnotequals" => (text(false, false)?, true),
            "stringequalsignorecase" => (text(false, true)?, false),
            "stringnotequalsignorecase" => (text(false, true)?, true),
            "stringlike" | "arnlike" | "arnequals" => (text(true, false)?, false),
            "stringnotlike" | "arnnotlike" | "arnnotequals" => (text(true, false)?, true),
            "bool" => (Self::Bool(each(values, truth)?), false),
            "null" => match each(values, truth)?.as_slice() {
                [wanted] => (Self::Null(*wanted), false),
                _ => return Err(Malformed::new("Null takes one value")),
            },
            "ipaddress" => (Self::Address(each(values, Network::parse)?), false),
            "notipaddress" => (Self::Address(each(values, Network::parse)?), true),
            "binaryequals" => (Self::Binary(each(values, |value| STANDARD.decode(value).ok())?), false),
            _ => return Ok(None),
        }))
    }

    /// Whether a value is what one of its own says; `None`: that depends on a variable that stands for nothing.
    fn is_equal(&self, value: &str, question: &Question<'_>) -> Option<bool> {
        Some(match self {
            Self::Text { patterns, fold_case } => {
                let mut resolved = true;
                for pattern in patterns {
                    match pattern.matches(value, *fold_case, question) {
                        Some(true) => return Some(true),
                        Some(false) => {}
                        None => resolved = false,
                    }
                }
                return resolved.then_some(false);
            }
            Self::Number(order, wanted) => {
                number(value).is_some_and(|value| wanted.iter().any(|wanted| order.holds(&value, wanted)))
            }
            Self::Date(order, wanted) => {
                moment(value).is_some_and(|value| wanted.iter().any(|wanted| order.holds(&value, wanted)))
            }
            Self::Bool(wanted) => truth(value).is_some_and(|value| wanted.contains(&value)),
            Self::Address(networks) => {
                value.parse::<IpAddr>().is_ok_and(|address| networks.iter().any(|network| network.contains(address)))
            }
            Self::Binary(wanted) => STANDARD.decode(value).is_ok_and(|value| wanted.contains(&value)),
            Self::Null(_) => false,
        })
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        let patterns = match self {
            Self::Text { patterns, .. } => patterns.as_slice(),
            _ => &[],
        };
        patterns.iter().flat_map(Template::keys)
    }
}

fn each<T>(values: &[String], read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Malformed> {
    let one = |value: &String| {
        read(value).ok_or_else(|| Malformed::new(format!("the condition value {value:?} cannot be read")))
    };
    values.iter().map(one).collect()
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn truth(text: &str) -> Option<bool> {
    [true, false].into_iter().find(|truth| text.eq_ignore_ascii_case(if *truth { "true" } else { "false" }))
}

/// An instant in nanoseconds: seconds since 1970, a date, or a date with a time.
fn moment(text: &str) -> Option<i128> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Some(i128::from(seconds) * 1_000_000_000);
    }
    let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    OffsetDateTime::parse(&full, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp_nanos)
}
