//! The JSON of policy documents.
//!
//! **Invariant:** an element that is not named here, or that is there twice, makes the document unreadable.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, IntoDeserializer as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::auth::policy::actions::ActionSet;
use crate::auth::policy::condition::Condition;
use crate::auth::policy::principal::{Principal, Principals};
use crate::auth::policy::statement::{Resources, Statement};
use crate::auth::policy::template::{Reads, Template};
use crate::auth::policy::{Effect, Malformed, Policy};
use crate::config::limits::POLICY_BYTES_MAX;

/// Whose policy it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A user's own: it speaks of the user, and of every service.
    User,
    /// A bucket's: each statement says of whom it speaks.
    Bucket,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Document {
    version: Option<String>,
    #[serde(rename = "Id")]
    _id: Option<String>,
    statement: OneOrMany<RawStatement>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct RawStatement {
    sid: Option<String>,
    effect: Effect,
    principal: Option<RawPrincipal>,
    not_principal: Option<RawPrincipal>,
    action: Option<OneOrMany<String>>,
    not_action: Option<OneOrMany<String>>,
    resource: Option<OneOrMany<String>>,
    not_resource: Option<OneOrMany<String>>,
    #[serde(default)]
    condition: Pairs<Pairs<OneOrMany<Scalar>>>,
}

/// A value that may stand alone or in a list.
struct OneOrMany<T>(Vec<T>);

/// The members of an object, each name once.
struct Pairs<T>(Vec<(String, T)>);

/// A text, or what a document may write without quotes.
struct Scalar(String);

enum RawPrincipal {
    Anyone,
    Of(Vec<(String, OneOrMany<String>)>),
}

impl<T> Default for Pairs<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = OneOrMany<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or a list of values")
            }
            fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
                T::deserialize(value.into_deserializer()).map(|one| OneOrMany(vec![one]))
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
                T::deserialize(value.into_deserializer()).map(|one| OneOrMany(vec![one]))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
                T::deserialize(value.into_deserializer()).map(|one| OneOrMany(vec![one]))
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
                T::deserialize(value.into_deserializer()).map(|one| OneOrMany(vec![one]))
            }
            fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
                T::deserialize(value.into_deserializer()).map(|one| OneOrMany(vec![one]))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|one| OneOrMany(vec![one]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut many = Vec::new();
                while let Some(one) = list.next_element()? {
                    many.push(one);
                }
                Ok(OneOrMany(many))
            }
        }
        deserializer.deserialize_any(Reader(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Pairs<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut pairs, mut names) = (Vec::new(), HashSet::new());
                while let Some((name, value)) = map.next_entry::<String, T>()? {
                    if !names.insert(name.to_ascii_lowercase()) {
                        return Err(A::Error::custom(format_args!("{name:?} is there twice")));
                    }
                    pairs.push((name, value));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Reader(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Scalar;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number or a truth value")
            }
            fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
                Ok(Scalar(value.to_string()))
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
                Ok(Scalar(value.to_string()))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
                Ok(Scalar(value.to_string()))
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
                Ok(Scalar(value.to_string()))
            }
            fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
                Ok(Scalar(value.to_owned()))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl<'de> Deserialize<'de> for RawPrincipal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = RawPrincipal;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"*\" or an object")
            }
            fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
                if value == "*" { Ok(RawPrincipal::Anyone) } else { Err(E::custom("a principal without its kind")) }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Pairs::deserialize(MapAccessDeserializer::new(map)).map(|pairs| RawPrincipal::Of(pairs.0))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// Reads a document.
pub(super) fn parse(text: &str, kind: Kind) -> Result<Policy, Malformed> {
    if text.len() as u64 > POLICY_BYTES_MAX {
        return Err(Malformed::new("it exceeds 20 KiB"));
    }
    let document: Document = serde_json::from_str(text).map_err(|error| Malformed::new(error.to_string()))?;
    let variables = match document.version.as_deref() {
        Some("2012-10-17") => true,
        None | Some("2008-10-17") => false,
        Some(_) => return Err(Malformed::new("unknown Version")),
    };
    let statements = document.statement.0;
    if statements.is_empty() {
        return Err(Malformed::new("it has no Statement"));
    }
    let statements = statements.into_iter().map(|raw| statement(raw, kind, variables)).collect::<Result<_, _>>()?;
    Ok(Policy { statements })
}

fn statement(raw: RawStatement, kind: Kind, variables: bool) -> Result<Statement, Malformed> {
    let principals = principals(raw.principal, raw.not_principal, kind, raw.effect)?;
    let bucket = kind == Kind::Bucket;
    let set = |patterns: OneOrMany<String>| {
        patterns.0.iter().try_fold(ActionSet::NONE, |set, pattern| Ok(set.and(ActionSet::parse(pattern, bucket)?)))
    };
    let actions = match either(raw.action, raw.not_action, "Action")? {
        (patterns, false) => set(patterns)?,
        (patterns, true) => set(patterns)?.complement(raw.effect == Effect::Deny && !bucket),
    };
    let resources = match either(raw.resource, raw.not_resource, "Resource")? {
        (patterns, false) if patterns.0.iter().any(|pattern| pattern == "*") => Resources::Any,
        (patterns, false) => Resources::These(templates(&patterns.0, variables)?),
        (patterns, true) => Resources::AllBut(templates(&patterns.0, variables)?),
    };
    let mut conditions = Vec::new();
    for (operator, keys) in raw.condition.0 {
        for (key, values) in keys.0 {
            let values: Vec<String> = values.0.into_iter().map(|scalar| scalar.0).collect();
            conditions.push(Condition::parse(&operator, &key, &values, variables)?);
        }
    }
    Ok(Statement { sid: raw.sid, effect: raw.effect, principals, actions, resources, conditions })
}

/// An element or its opposite, which the second says; exactly one of them must be there, and not empty.
fn either(
    these: Option<OneOrMany<String>>,
    others: Option<OneOrMany<String>>,
    name: &str,
) -> Result<(OneOrMany<String>, bool), Malformed> {
    match (these, others) {
        (Some(list), None) if !list.0.is_empty() => Ok((list, false)),
        (None, Some(list)) if !list.0.is_empty() => Ok((list, true)),
        _ => Err(Malformed::new(format!("a statement needs either {name} or Not{name}"))),
    }
}

fn templates(patterns: &[String], variables: bool) -> Result<Vec<Template>, Malformed> {
    let reads = Reads { variables, wildcards: true };
    let one = |pattern: &String| {
        if !pattern.starts_with("arn:") && !pattern.starts_with('*') {
            return Err(Malformed::new(format!("the resource {pattern:?} is no ARN")));
        }
        Template::parse(pattern, reads)
    };
    patterns.iter().map(one).collect()
}

fn principals(
    these: Option<RawPrincipal>,
    others: Option<RawPrincipal>,
    kind: Kind,
    effect: Effect,
) -> Result<Principals, Malformed> {
    match (these, others) {
        (None, None) if kind == Kind::User => Ok(Principals::These(vec![Principal::Anyone])),
        (Some(_), _) | (_, Some(_)) if kind == Kind::User => Err(Malformed::new("a user's policy names no Principal")),
        (Some(these), None) => Ok(Principals::These(listed(these)?)),
        (None, Some(_)) if effect == Effect::Allow => Err(Malformed::new("Allow with NotPrincipal")),
        (None, Some(others)) => Ok(Principals::AllBut(listed(others)?)),
        _ => Err(Malformed::new("a statement needs either Principal or NotPrincipal")),
    }
}

fn listed(raw: RawPrincipal) -> Result<Vec<Principal>, Malformed> {
    let RawPrincipal::Of(kinds) = raw else { return Ok(vec![Principal::Anyone]) };
    let mut found = Vec::new();
    for (kind, names) in kinds {
        for name in names.0 {
            found.push(match kind.as_str() {
                "AWS" => Principal::aws(&name)?,
                "CanonicalUser" => Principal::user(&name)?,
                "Service" if name.ends_with(".amazonaws.com") => Principal::Service,
                _ => return Err(Malformed::new(format!("the principal {kind:?} {name:?} is not known"))),
            });
        }
    }
    if found.is_empty() { Err(Malformed::new("a Principal that is nobody")) } else { Ok(found) }
}
