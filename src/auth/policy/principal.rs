//! Whom a statement of a bucket's policy speaks of.
//!
//! **Invariant:** a principal of a kind that this build does not know is refused, so a name never means somebody else
//! later.

use crate::auth::policy::Malformed;
use crate::model::caller::{Caller, ROOT, Who};

/// Callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Principal {
    /// Everyone, also without a name.
    Anyone,
    /// A user, by its canonical id.
    User(String),
    /// The tokens of a role.
    Role(String),
    /// The tokens that speak of a subject.
    Subject(String),
    /// A service of Amazon's, which no caller is.
    Service,
}

impl Principal {
    /// Reads the value of the kind `AWS`.
    pub(super) fn aws(text: &str) -> Result<Self, Malformed> {
        if text == "*" {
            return Ok(Self::Anyone);
        }
        for (kind, of) in [("role:", Self::Role as fn(String) -> Self), ("sub:", Self::Subject)] {
            if let Some(name) = text.strip_prefix(kind).filter(|name| !name.is_empty() && !name.contains('*')) {
                return Ok(of(name.to_owned()));
            }
        }
        let unknown = || Malformed::new(format!("the principal {text:?} is not known"));
        let Some(rest) = text.strip_prefix("arn:") else { return Self::user(text) };
        let mut parts = rest.splitn(5, ':');
        let (partition, service, region) = (parts.next(), parts.next(), parts.next());
        let (account, name) = (parts.next().ok_or_else(unknown)?, parts.next().ok_or_else(unknown)?);
        if !partition.is_some_and(|p| p.starts_with("aws")) || service != Some("iam") || region != Some("") {
            return Err(unknown());
        }
        match name.strip_prefix("user/") {
            // The path before the name says nothing here.
            Some(path) => Self::user(path.rsplit('/').next().unwrap_or(path)),
            None if name == "root" => Self::user(account),
            None => Err(unknown()),
        }
    }

    /// A user, by its canonical id.
    pub(super) fn user(name: &str) -> Result<Self, Malformed> {
        let legal = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-$".contains(c);
        if name.is_empty() || !name.chars().all(legal) {
            return Err(Malformed::new(format!("the principal {name:?} is not known")));
        }
        Ok(Self::User(name.to_owned()))
    }

    /// Whether the caller is meant.
    pub(super) fn is(&self, caller: &Caller) -> bool {
        match (self, &caller.who) {
            (Self::Anyone, _) => true,
            (Self::User(name), Who::User(user)) => *name == user.name,
            (Self::User(name), Who::Root) => name == ROOT,
            (Self::Role(role), Who::Token(token)) => role == token.role(),
            (Self::Subject(subject), Who::Token(token)) => token.subject() == Some(subject),
            (Self::User(_) | Self::Role(_) | Self::Subject(_) | Self::Service, _) => false,
        }
    }
}

/// Who is meant by a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Principals {
    /// `Principal`; of a user's own policy: everyone.
    These(Vec<Principal>),
    /// `NotPrincipal`.
    AllBut(Vec<Principal>),
}

impl Principals {
    /// Whether the caller is meant.
    pub(super) fn include(&self, caller: &Caller) -> bool {
        match self {
            Self::These(these) => these.iter().any(|principal| principal.is(caller)),
            Self::AllBut(others) => !others.iter().any(|principal| principal.is(caller)),
        }
    }

    /// Whether everyone is meant.
    pub(super) fn are_anyone(&self) -> bool {
        matches!(self, Self::These(these) if these.contains(&Principal::Anyone))
    }
}
