//! Policies: IAM JSON documents and the three built-in ones, compiled into statements.
//!
//! **Invariant:** an element this build does not evaluate makes the whole document unreadable, and an unreadable
//! document allows nothing: a condition that is not understood must not widen a right.

use serde::Deserialize;

use crate::config::limits::POLICY_BYTES_MAX;
use crate::model::action::Action;
use crate::model::pattern::wild_match;

/// What a matching statement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Effect {
    /// Yes, unless another one says no.
    Allow,
    /// No.
    Deny,
}

/// One statement: its effect on the actions and resources that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The effect.
    pub effect: Effect,
    /// In lower case: actions match in any.
    actions: Vec<String>,
    resources: Vec<String>,
}

/// Why a document is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the policy is not understood: {0}")]
pub struct Malformed(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(rename = "Version")]
    version: Option<String>,
    #[serde(rename = "Id")]
    _id: Option<String>,
    #[serde(rename = "Statement")]
    statement: OneOrMany<RawStatement>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStatement {
    #[serde(rename = "Sid")]
    _sid: Option<String>,
    #[serde(rename = "Effect")]
    effect: Effect,
    #[serde(rename = "Action")]
    action: OneOrMany<String>,
    #[serde(rename = "Resource")]
    resource: OneOrMany<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

impl Statement {
    /// A statement on one action and one resource pattern.
    #[must_use]
    pub fn allow(action: &str, resource: &str) -> Self {
        Self { effect: Effect::Allow, actions: vec![action.to_ascii_lowercase()], resources: vec![resource.to_owned()] }
    }

    /// Whether it speaks of `action` on `resource` (an ARN).
    #[must_use]
    pub fn matches(&self, action: Action, resource: &str) -> bool {
        let action = action.name().to_ascii_lowercase();
        self.actions.iter().any(|pattern| wild_match(pattern, &action))
            && self.resources.iter().any(|pattern| wild_match(pattern, resource))
    }
}

/// The statements of a user's policy: a built-in name, or an IAM document.
///
/// # Errors
/// [`Malformed`], with a sentence for the administrator.
pub fn compile(policy: &str) -> Result<Vec<Statement>, Malformed> {
    match policy {
        "readonly" => Ok(vec![Statement::allow("s3:Get*", "*"), Statement::allow("s3:List*", "*")]),
        "readwrite" => Ok(vec![Statement::allow("s3:*", "*")]),
        "admin" => Ok(vec![Statement::allow("*", "*")]),
        text => parse(text),
    }
}

fn parse(text: &str) -> Result<Vec<Statement>, Malformed> {
    if text.len() as u64 > POLICY_BYTES_MAX {
        return Err(Malformed("it exceeds 20 KiB".into()));
    }
    let document: Document = serde_json::from_str(text).map_err(|error| Malformed(error.to_string()))?;
    if document.version.is_some_and(|v| v != "2012-10-17" && v != "2008-10-17") {
        return Err(Malformed("unknown Version".into()));
    }
    let statements = document.statement.into_vec();
    if statements.is_empty() {
        return Err(Malformed("it has no Statement".into()));
    }
    statements.into_iter().map(statement).collect()
}

fn statement(raw: RawStatement) -> Result<Statement, Malformed> {
    let (actions, resources) = (raw.action.into_vec(), raw.resource.into_vec());
    if actions.is_empty() || resources.is_empty() {
        return Err(Malformed("a statement without Action or Resource".into()));
    }
    // Policy variables are not evaluated; taken as text they would match nothing, also in a Deny.
    if resources.iter().any(|r| r.contains("${")) {
        return Err(Malformed("policy variables".into()));
    }
    if !actions.iter().all(|a| a == "*" || a.contains(':')) {
        return Err(Malformed("an Action without a service prefix".into()));
    }
    let actions = actions.iter().map(|action| action.to_ascii_lowercase()).collect();
    Ok(Statement { effect: raw.effect, actions, resources })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_evaluated_is_refused() {
        for text in [
            "",
            "{}",
            "[]",
            r#"{"Statement":[]}"#,
            r#"{"Statement":{"Effect":"Maybe","Action":"s3:*","Resource":"*"}}"#,
            r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{}}}"#,
            r#"{"Statement":{"Effect":"Allow","NotAction":"s3:*","Resource":"*"}}"#,
            r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::${aws:username}"}}"#,
            r#"{"Version":"1","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#,
            r#"{"Statement":{"Effect":"Allow","Action":"getobject","Resource":"*"}}"#,
        ] {
            assert!(compile(text).is_err(), "{text}");
        }
        let text = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject"],"Resource":"arn:aws:s3:::b/*"}]}"#;
        let statements = compile(text).expect("a document");
        assert!(statements[0].matches(Action::GetObject, "arn:aws:s3:::b/k"));
        assert!(!statements[0].matches(Action::PutObject, "arn:aws:s3:::b/k"));
        assert!(!statements[0].matches(Action::GetObject, "arn:aws:s3:::c/k"));
    }
}
