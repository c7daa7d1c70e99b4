//! The policy of a form: what whoever signed it lets a browser upload.
//!
//! **Invariant:** a document that is not understood to its last element allows nothing, and neither does one that says
//! nothing of a field that was sent.

use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use time::PrimitiveDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::form::{ANY_SIZE, Fields};
use crate::front::s3::error::{Refusal, Result};
use crate::model::time::Timestamp;

/// What a field must be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Equals(String),
    StartsWith(String),
}

/// A policy that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policy {
    expires: Timestamp,
    /// By name of the field, in lower case.
    tests: Vec<(String, Test)>,
    /// The sizes that the file may have.
    pub(super) sizes: RangeInclusive<u64>,
}

fn invalid(why: &str) -> Refusal {
    Refusal::new(400, "InvalidPolicyDocument", format!("Invalid Policy: {why}"))
}

fn denied(why: &str) -> Refusal {
    Refusal::new(403, "AccessDenied", format!("Invalid according to Policy: {why}"))
}

impl Policy {
    /// Reads the field `policy`.
    pub(super) fn parse(field: &str) -> Result<Self> {
        let text: String = field.split_ascii_whitespace().collect();
        let raw = BASE64.decode(text).map_err(|_| invalid("Invalid 'Base64' encoding."))?;
        let document: Value = serde_json::from_slice(&raw).map_err(|_| invalid("Invalid JSON."))?;
        let Value::Object(document) = document else { return Err(invalid("It is no JSON object.")) };
        if document.keys().any(|name| name != "expiration" && name != "conditions") {
            return Err(invalid("It has an unexpected element."));
        }
        let expiration = document.get("expiration").and_then(Value::as_str);
        let expires = moment(expiration.ok_or_else(|| invalid("Policy missing expiration."))?)?;
        let conditions = document.get("conditions").and_then(Value::as_array);
        let conditions = conditions.ok_or_else(|| invalid("Policy missing conditions."))?;
        let mut policy = Self { expires, tests: Vec::new(), sizes: ANY_SIZE };
        if conditions.is_empty() {
            return Err(invalid("conditions must not be empty."));
        }
        for condition in conditions {
            policy.take(condition)?;
        }
        Ok(policy)
    }

    fn take(&mut self, condition: &Value) -> Result<()> {
        match condition {
            Value::Object(pair) => {
                let mut pairs = pair.iter();
                let (Some((name, Value::String(value))), None) = (pairs.next(), pairs.next()) else {
                    return Err(invalid("Invalid Simple-Condition: it must have exactly one property, a text."));
                };
                self.tests.push((name.to_ascii_lowercase(), Test::Equals(value.clone())));
                Ok(())
            }
            Value::Array(list) => self.take_list(list),
            _ => Err(invalid("A condition must be a list or an object.")),
        }
    }

    fn take_list(&mut self, list: &[Value]) -> Result<()> {
        let [Value::String(operator), first, second] = list else {
            return Err(invalid("A condition must have an operator and two operands."));
        };
        let operator = operator.to_ascii_lowercase();
        if operator == "content-length-range" {
            let (Some(least), Some(most)) = (size(first), size(second)) else {
                return Err(invalid("content-length-range must have two sizes."));
            };
            let (start, end) = (*self.sizes.start(), *self.sizes.end());
            self.sizes = start.max(least)..=end.min(most);
            return Ok(());
        }
        let (Some(name), Some(value)) = (first.as_str().and_then(|name| name.strip_prefix('$')), second.as_str())
        else {
            return Err(invalid("A condition must have a field, which begins with $, and a text."));
        };
        let test = match operator.as_str() {
            "eq" => Test::Equals(value.to_owned()),
            "starts-with" => Test::StartsWith(value.to_owned()),
            _ => return Err(invalid("A condition must be eq, starts-with or content-length-range.")),
        };
        self.tests.push((name.to_ascii_lowercase(), test));
        Ok(())
    }

    /// Whether the form may be served now. The bucket must be among its fields.
    pub(super) fn allows(&self, fields: &Fields, now: Timestamp) -> Result<()> {
        if now >= self.expires {
            return Err(denied("Policy expired."));
        }
        for (name, test) in &self.tests {
            // A field that may be anything may also be left out.
            let held = fields.get(name).map_or_else(|| test.takes_anything(), |value| test.holds(name, value));
            if !held {
                return Err(denied(&format!("Policy Condition failed for the field {name}.")));
            }
        }
        for (name, _) in fields.iter() {
            if !is_free(name) && !self.tests.iter().any(|(known, _)| known == name) {
                return Err(denied(&format!("Extra input fields: {name}")));
            }
        }
        Ok(())
    }
}

impl Test {
    fn takes_anything(&self) -> bool {
        matches!(self, Self::StartsWith(start) if start.is_empty())
    }

    fn holds(&self, name: &str, value: &str) -> bool {
        match self {
            Self::Equals(wanted) => value == wanted,
            // Each type of a list must begin so.
            Self::StartsWith(start) if name == "content-type" => {
                value.split(',').all(|one| one.trim_start().starts_with(start))
            }
            Self::StartsWith(start) => value.starts_with(start),
        }
    }
}

/// Fields that no policy needs to speak of. A checksum can only make an upload fail.
fn is_free(name: &str) -> bool {
    matches!(name, "policy" | "signature" | "awsaccesskeyid" | "x-amz-signature")
        || name.starts_with("x-ignore-")
        || name.starts_with("x-amz-checksum-")
}

/// A size as a number, or as the text of one.
fn size(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit())),
        value => value.as_u64(),
    }
}

fn moment(text: &str) -> Result<Timestamp> {
    const ISO: &[BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second][optional [.[subsecond]]]Z");
    let at = PrimitiveDateTime::parse(text, ISO);
    at.map(|at| Timestamp::from_utc(at.assume_utc())).map_err(|_| invalid("Invalid 'expiration' value."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: &str = "2030-01-01T00:00:00Z";

    fn parse(document: &str) -> std::result::Result<Policy, String> {
        Policy::parse(&BASE64.encode(document)).map_err(|refusal| refusal.code.into_owned())
    }

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in pairs {
            fields.set(name, (*value).to_owned());
        }
        fields
    }

    #[test]
    fn what_is_not_understood_allows_nothing() {
        let with = |conditions: &str| format!("{{\"expiration\":\"{LATER}\",\"conditions\":{conditions}}}");
        for (document, legal) in [
            (with("[{\"key\":\"k\"}]"), true),
            (with("[[\"EQ\",\"$Key\",\"k\"],[\"content-length-range\",0,\"9\"]]"), true),
            (with("[{\"key\":\"k\"}]").replace("00:00Z", "00:00.123Z"), true),
            (with("[{\"key\":\"k\"}]").replace('T', " "), false),
            (with("[{\"key\":\"k\"}]").replace("00:00Z", "00:00+00:00"), false),
            (with("[{\"key\":\"k\"}]").replace("expiration", "EXPIRATION"), false),
            (with("[{\"key\":\"k\"}]").replace("conditions", "CONDITIONS"), false),
            (with("[{\"key\":\"k\"}]").replace('{', "{\"x\":1,"), false),
            (format!("{{\"expiration\":\"{LATER}\"}}"), false),
            ("{\"conditions\":[{\"key\":\"k\"}]}".into(), false),
            (with("[]"), false),
            (with("[{}]"), false),
            (with("[{\"a\":\"1\",\"b\":\"2\"}]"), false),
            (with("[{\"a\":1}]"), false),
            (with("[7]"), false),
            (with("[[\"eq\",\"key\",\"k\"]]"), false),
            (with("[[\"ends-with\",\"$key\",\"k\"]]"), false),
            (with("[[\"content-length-range\",0]]"), false),
            (with("[[\"content-length-range\",-1,0]]"), false),
            (with("[[\"content-length-range\",\"+1\",3]]"), false),
            ("[]".into(), false),
            ("{".into(), false),
            ("[".repeat(10_000), false),
        ] {
            let read = parse(&document);
            assert_eq!(read.is_ok(), legal, "{document:.80}");
            assert!(read.is_ok() || read == Err("InvalidPolicyDocument".into()));
        }
        assert!(Policy::parse("not base64!").is_err());
    }

    #[test]
    fn every_field_is_spoken_of_and_fits() {
        let policy = parse(&format!(
            "{{\"expiration\":\"{LATER}\",\"conditions\":[{{\"bUcket\":\"b\"}},[\"starts-with\",\"$Key\",\"user/\"],\
             [\"starts-with\",\"$Content-Type\",\"image/\"],[\"content-length-range\",2,10],\
             [\"content-length-range\",0,5]]}}"
        ));
        let policy = policy.expect("understood");
        assert_eq!(policy.sizes, 2..=5);
        let whole = [("bucket", "b"), ("key", "user/1"), ("content-type", "image/png, image/gif")];
        let now = Timestamp(0);
        let allowed = |pairs: &[(&str, &str)]| policy.allows(&fields(pairs), now).is_ok();
        assert!(allowed(&whole));
        assert!(allowed(&[&whole[..], &[("x-ignore-a", "1"), ("policy", "x"), ("signature", "y")]].concat()));
        assert!(allowed(&[&whole[..], &[("x-amz-checksum-sha256", "x")]].concat()));
        assert!(!allowed(&[&whole[..], &[("acl", "public-read")]].concat()));
        assert!(!allowed(&[&whole[..], &[("x-amz-meta-a", "1")]].concat()));
        assert!(!allowed(&whole[..2]), "a field that is asked for is missing");
        assert!(!allowed(&[("bucket", "c"), whole[1], whole[2]]));
        assert!(!allowed(&[whole[0], ("key", "users"), whole[2]]));
        assert!(!allowed(&[whole[0], whole[1], ("content-type", "image/png, text/html")]));
        let late = moment(LATER).expect("a moment");
        assert_eq!(policy.allows(&fields(&whole), late).expect_err("expired").code, "AccessDenied");
    }
}
