//! One statement of a policy.
//!
//! **Invariant:** it matches where its principals, actions, resources and all of its conditions do; an element that it
//! does not have is matched by everything only where its document may leave it out.

use crate::auth::policy::actions::ActionSet;
use crate::auth::policy::condition::Condition;
use crate::auth::policy::principal::{Principal, Principals};
use crate::auth::policy::question::Question;
use crate::auth::policy::template::Template;
use crate::auth::policy::{Effect, Match};

/// One statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// Its name.
    pub sid: Option<String>,
    /// What it says.
    pub effect: Effect,
    pub(super) principals: Principals,
    pub(super) actions: ActionSet,
    pub(super) resources: Resources,
    pub(super) conditions: Vec<Condition>,
}

/// What a statement speaks of, as ARNs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resources {
    /// Everything.
    Any,
    /// `Resource`
    These(Vec<Template>),
    /// `NotResource`
    AllBut(Vec<Template>),
}

impl Statement {
    /// A right of a built-in policy.
    pub(super) fn built_in(actions: ActionSet) -> Self {
        Self {
            sid: None,
            effect: Effect::Allow,
            principals: Principals::These(vec![Principal::Anyone]),
            actions,
            resources: Resources::Any,
            conditions: Vec::new(),
        }
    }

    /// Whether it speaks of what is asked.
    pub(crate) fn matches(&self, question: &Question<'_>) -> Match {
        if !self.actions.has(question.action) || !self.principals.include(question.caller) {
            return Match::No;
        }
        // Conditions on what is known come to an end before those on an object that is not.
        self.conditions.iter().fold(self.resources.include(question, self.effect), |matched, condition| {
            matched.and(|| condition.holds(question, self.effect))
        })
    }
}

impl Resources {
    fn include(&self, question: &Question<'_>, effect: Effect) -> Match {
        let (templates, others) = match self {
            Self::Any => return Match::Yes,
            Self::These(templates) => (templates, false),
            Self::AllBut(templates) => (templates, true),
        };
        if templates.iter().flat_map(Template::keys).any(|key| question.is_open(key)) {
            return Match::Open;
        }
        let mut resolved = true;
        for template in templates {
            match template.matches(question.arn(), false, question) {
                Some(true) => return Match::from(!others),
                Some(false) => {}
                None => resolved = false,
            }
        }
        // What is taken out by a variable that stands for nothing is not known: no right may rest on that.
        Match::from(others && (resolved || effect == Effect::Deny))
    }
}
