//! Why somebody may do something, or not: the decision that a request would get, with its reason.
//!
//! **Invariant:** it asks the one function that decides, on the rows that a request would find, and changes nothing.

use crate::auth::decide::{Decision, Row, Rules, Target, Verdict, explain};
use crate::model::action::Action;
use crate::model::caller::{Caller, ROOT, Who};
use crate::model::name::{BucketName, ObjectKey};
use crate::store::error::{Error, Result};
use crate::store::{SERVICE, Store};

/// What a question is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// The service.
    Service,
    /// A bucket.
    Bucket(BucketName),
    /// An object, or a key without one.
    Object(BucketName, ObjectKey),
}

impl Store {
    /// The caller that a user is, for an administrator who asks about it: `root`, `anonymous`, or a user's name.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if there is no such user; refusals.
    pub async fn caller_named(&self, caller: &Caller, name: &str) -> Result<Caller> {
        self.allow(caller, Action::Administer, Target::Service)?;
        if name == ROOT {
            return Ok(Caller::ROOT);
        }
        if name == Caller::ANONYMOUS.id() {
            return Ok(Caller::ANONYMOUS);
        }
        let user = self.0.users.user(name).await?;
        let user = user.ok_or(Error::InvalidArgument { name: "user", message: "There is no such user" })?;
        Ok(Who::User(user.into()).into())
    }

    /// Decides as a request of `asked` would be decided, and says why.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`], refusals.
    pub async fn explain(
        &self,
        caller: &Caller,
        asked: &Caller,
        action: Action,
        resource: &Resource,
    ) -> Result<Decision> {
        self.allow(caller, Action::Administer, Target::Service)?;
        let (name, key) = match resource {
            Resource::Service => return Ok(explain(asked, action, Target::Service)),
            Resource::Bucket(name) if action == Action::CreateBucket => {
                return Ok(explain(asked, action, Target::NewBucket(name)));
            }
            Resource::Bucket(name) => (name, None),
            Resource::Object(name, key) => (name, Some(key)),
        };
        let bucket = self.catalog().bucket(&SERVICE, name).await?.ok_or(Error::NoSuchBucket)?;
        let rules = Rules::of(&bucket);
        let Some(key) = key else { return Ok(explain(asked, action, Target::Bucket(&bucket, &rules))) };
        let decision = explain(asked, action, Target::Object(&bucket, &rules, key, Row::Unknown));
        if decision.verdict != Verdict::NeedsObject {
            return Ok(decision);
        }
        let row = self.catalog().object(&SERVICE, bucket.id, key).await?;
        let heir = if row.is_none() { self.heir(&bucket, key).await? } else { None };
        let row = Row::of(row.as_ref(), heir.as_deref());
        Ok(explain(asked, action, Target::Object(&bucket, &rules, key, row)))
    }
}
