//! Policies: IAM JSON documents and the three built-in ones, compiled into statements.
//!
//! **Invariant:** an element this build does not evaluate makes the whole document unreadable, and an unreadable
//! document allows nothing: a condition that is not understood must not widen a right.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use dashmap::DashMap;

use crate::config::limits::POLICIES_REMEMBERED_MAX;

mod actions;
mod bucket;
mod condition;
mod document;
mod keys;
mod principal;
mod public;
mod question;
mod statement;
mod template;

pub(crate) use actions::ActionSet;
pub use bucket::validate_bucket_policy;
pub use public::is_public;
pub(crate) use question::Question;
pub use statement::Statement;

use document::Kind;

/// What a matching statement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
pub enum Effect {
    /// Yes, unless another one says no.
    Allow,
    /// No.
    Deny,
}

/// A document that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Its statements, in its order.
    pub statements: Vec<Statement>,
}

/// Why a document is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the policy is not understood: {0}")]
pub struct Malformed(Cow<'static, str>);

impl Malformed {
    fn new(why: impl Into<Cow<'static, str>>) -> Self {
        Self(why.into())
    }

    /// What is wrong, without the words that say that something is.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.0
    }
}

/// Whether a statement speaks of what is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// That depends on the object, which was not looked up yet.
    Open,
}

impl From<bool> for Match {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

impl Match {
    /// Both.
    pub(crate) fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::No => Self::No,
            Self::Yes => other(),
            Self::Open => match other() {
                Self::No => Self::No,
                Self::Yes | Self::Open => Self::Open,
            },
        }
    }
}

/// The statements of a user's policy: a built-in name, or an IAM document.
///
/// # Errors
/// [`Malformed`], with a sentence for the administrator.
pub fn compile(policy: &str) -> Result<Policy, Malformed> {
    match policy {
        "readonly" => Ok(Policy { statements: vec![Statement::built_in(ActionSet::matching("s3:Get*|s3:List*"))] }),
        "readwrite" => Ok(Policy { statements: vec![Statement::built_in(ActionSet::matching("s3:*"))] }),
        "admin" => Ok(Policy { statements: vec![Statement::built_in(ActionSet::matching("*"))] }),
        text => document::parse(text, Kind::User),
    }
}

/// The statements of a stored bucket policy. It was validated when it was set; what is checked there and does not bear
/// on its meaning is not checked again.
///
/// # Errors
/// [`Malformed`].
pub fn compile_bucket(text: &str) -> Result<Policy, Malformed> {
    document::parse(text, Kind::Bucket)
}

/// A policy as it was compiled once.
pub(crate) type Compiled = Arc<Result<Policy, Malformed>>;

/// The compiled policy of a user, remembered by its text.
pub(crate) fn remembered(text: &str) -> Compiled {
    static BUILT_IN: LazyLock<[(&str, Compiled); 3]> =
        LazyLock::new(|| ["readwrite", "readonly", "admin"].map(|name| (name, Arc::new(compile(name)))));
    static REMEMBERED: LazyLock<DashMap<String, Compiled>> = LazyLock::new(DashMap::new);
    if let Some((_, policy)) = BUILT_IN.iter().find(|(name, _)| *name == text) {
        return policy.clone();
    }
    if let Some(policy) = REMEMBERED.get(text) {
        return policy.clone();
    }
    let policy: Compiled = Arc::new(compile(text));
    if REMEMBERED.len() >= POLICIES_REMEMBERED_MAX {
        REMEMBERED.clear();
    }
    REMEMBERED.insert(text.to_owned(), policy.clone());
    policy
}
