//! Who asks.
//!
//! **Invariant:** a [`Caller`] exists only after its credential was verified; it holds no secret.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::model::context::RequestContext;
use crate::model::tag::Tags;

/// The name, and canonical id, of the administrator.
pub const ROOT: &str = "root";
/// The role of tokens that may do everything.
pub const SERVICE_ROLE: &str = "service_role";
/// The role of who shows no token where tokens count.
pub const ANON_ROLE: &str = "anon";
/// What the canonical id of a token's subject begins with. No user's name has a colon, so no token passes for a user.
const SUBJECT: &str = "sub:";

/// Who asks, and under which circumstances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub who: Who,
    /// The circumstances; `None`: no request of a client.
    pub context: Option<Arc<RequestContext>>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// The administrator.
    Root,
    /// A user, by one of its access keys.
    User(Arc<User>),
    /// Whoever a signed token speaks of.
    Token(Arc<Token>),
    /// Nobody in particular.
    Anonymous,
}

/// A user as the authorizer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name, which is its canonical id.
    pub name: String,
    /// What lists show.
    pub display_name: String,
    /// Its e-mail address, if it has one.
    pub email: Option<String>,
    /// Its groups.
    pub groups: Vec<String>,
    /// Its policy: `readonly`, `readwrite`, `admin`, or the text of an IAM policy document.
    pub policy: String,
}

/// A verified token as the authorizer sees it. Not the signed text: that is a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    role: String,
    subject: Option<String>,
    claims: Map<String, Value>,
    id: String,
}

impl Token {
    /// Of a role and all claims that were signed, among which may be a subject.
    #[must_use]
    pub fn new(role: &str, claims: Map<String, Value>) -> Self {
        let subject = claims.get("sub").and_then(Value::as_str).filter(|sub| !sub.is_empty()).map(str::to_owned);
        let id = subject.as_ref().map_or_else(|| format!("role:{role}"), |subject| format!("{SUBJECT}{subject}"));
        Self { role: role.to_owned(), subject, claims, id }
    }

    /// Of nobody in particular.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::new(ANON_ROLE, Map::from_iter([("role".to_owned(), ANON_ROLE.into())]))
    }

    /// Of the service, in the name of a subject.
    #[must_use]
    pub fn service_for(subject: Option<&str>) -> Self {
        let mut claims = Map::from_iter([("role".to_owned(), SERVICE_ROLE.into())]);
        claims.extend(subject.map(|subject| ("sub".to_owned(), subject.into())));
        Self::new(SERVICE_ROLE, claims)
    }

    /// Its role.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }

    /// Of whom it speaks.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// All that was signed.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// Whether it may do everything.
    #[must_use]
    pub fn is_service(&self) -> bool {
        self.role == SERVICE_ROLE
    }
}

/// The subject whose token a canonical id stands for, if it is one.
#[must_use]
pub fn subject_of(id: &str) -> Option<&str> {
    id.strip_prefix(SUBJECT)
}

/// The canonical id of the subject of tokens.
#[must_use]
pub fn id_of_subject(subject: &str) -> String {
    format!("{SUBJECT}{subject}")
}

impl Caller {
    /// The administrator, by the command line or in the name of Longshore itself.
    pub const ROOT: Self = Self { who: Who::Root, context: None };
    /// Nobody in particular.
    pub const ANONYMOUS: Self = Self { who: Who::Anonymous, context: None };

    /// The same caller under these circumstances.
    #[must_use]
    pub fn in_context(self, context: RequestContext) -> Self {
        Self { context: Some(Arc::new(context)), ..self }
    }

    /// The same caller, whose request brings these tags in its body.
    #[must_use]
    pub fn bringing(&self, tags: &Tags) -> Self {
        match &self.context {
            None => self.clone(),
            Some(context) => {
                let context = RequestContext { tags: tags.as_slice().to_vec(), ..RequestContext::clone(context) };
                self.clone().in_context(context)
            }
        }
    }

    /// The canonical id under which what it creates is owned, and which logs show.
    #[must_use]
    pub fn id(&self) -> &str {
        match &self.who {
            Who::Root => ROOT,
            Who::User(user) => &user.name,
            Who::Token(token) => &token.id,
            Who::Anonymous => "anonymous",
        }
    }

    /// Whether everything is allowed: the administrator, and tokens of the service.
    #[must_use]
    pub fn is_unbounded(&self) -> bool {
        match &self.who {
            Who::Root => true,
            Who::Token(token) => token.is_service(),
            Who::User(_) | Who::Anonymous => false,
        }
    }

    /// Who owns what it makes; `None`: whoever owns the bucket. What the service makes for nobody in particular is
    /// root's.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        match &self.who {
            Who::Root => Some(ROOT),
            Who::User(user) => Some(&user.name),
            Who::Token(token) if token.subject.is_some() => Some(&token.id),
            Who::Token(token) if token.is_service() => Some(ROOT),
            Who::Token(_) | Who::Anonymous => None,
        }
    }

    /// Under which name an upload is begun and gone on with: that of a token is one of its role, too.
    #[must_use]
    pub fn initiator(&self) -> String {
        match &self.who {
            Who::Token(token) if !token.is_service() && token.subject.is_some() => {
                format!("{} role:{}", token.id, token.role)
            }
            Who::Token(_) | Who::Root | Who::User(_) | Who::Anonymous => self.id().to_owned(),
        }
    }

    /// What lists show as its name.
    #[must_use]
    pub fn display_name(&self) -> &str {
        match &self.who {
            Who::User(user) => &user.display_name,
            Who::Root | Who::Token(_) | Who::Anonymous => self.id(),
        }
    }
}

impl From<Who> for Caller {
    fn from(who: Who) -> Self {
        Self { who, context: None }
    }
}
