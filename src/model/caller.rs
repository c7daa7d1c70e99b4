//! Who asks.
//!
//! **Invariant:** a [`Caller`] exists only after its credential was verified; it holds no secret.

use std::sync::Arc;

use crate::model::context::RequestContext;
use crate::model::tag::Tags;

/// The name, and canonical id, of the administrator.
pub const ROOT: &str = "root";

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
            Who::Anonymous => "anonymous",
        }
    }

    /// What lists show as its name.
    #[must_use]
    pub fn display_name(&self) -> &str {
        match &self.who {
            Who::User(user) => &user.display_name,
            Who::Root | Who::Anonymous => self.id(),
        }
    }
}

impl From<Who> for Caller {
    fn from(who: Who) -> Self {
        Self { who, context: None }
    }
}
