//! The one decision: may this caller do this, to that?
//!
//! All inputs (who owns the bucket, the caller's policy, the bucket's `public` switch) become one list of statements:
//! an explicit deny wins, then root, then an allow, else no. A policy that cannot be read allows nothing.
//!
//! **Invariant:** no other function says yes.

use crate::auth::policy::{self, Effect, Statement};
use crate::model::action::Action;
use crate::model::bucket::Bucket;
use crate::model::caller::{Caller, ROOT, User, Who};
use crate::model::name::{BucketName, ObjectKey};

/// What is to be acted on.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// The service itself: users, keys, the list of buckets.
    Service,
    /// A bucket that is to be made.
    NewBucket(&'a BucketName),
    /// A bucket.
    Bucket(&'a Bucket),
    /// An object of a bucket, or the key of one to be.
    Object(&'a Bucket, &'a ObjectKey),
}

impl Target<'_> {
    fn arn(&self) -> String {
        match self {
            Self::Service => "arn:aws:s3:::*".into(),
            Self::NewBucket(name) => format!("arn:aws:s3:::{name}"),
            Self::Bucket(bucket) => format!("arn:aws:s3:::{}", bucket.name),
            Self::Object(bucket, key) => format!("arn:aws:s3:::{}/{key}", bucket.name),
        }
    }

    fn bucket(&self) -> Option<&Bucket> {
        match self {
            Self::Bucket(bucket) | Self::Object(bucket, _) => Some(bucket),
            Self::Service | Self::NewBucket(_) => None,
        }
    }
}

/// Decides.
#[must_use]
pub fn decide(caller: &Caller, action: Action, target: Target<'_>) -> bool {
    if caller.who == Who::Root {
        return true;
    }
    let arn = target.arn();
    let mut statements = Vec::new();
    if let Some(bucket) = target.bucket()
        && bucket.settings.public
    {
        statements.push(Statement::allow("s3:GetObject", "*"));
    }
    if let Who::User(user) = &caller.who
        && policy_counts(user, target.bucket())
    {
        match policy::compile(&user.policy) {
            Ok(own) => statements.extend(own),
            Err(error) => {
                tracing::error!(user = user.name, %error, "a policy cannot be read and allows nothing");
                return false;
            }
        }
    }
    let mut allowed = false;
    for statement in statements.iter().filter(|s| s.matches(action, &arn)) {
        match statement.effect {
            Effect::Deny => return false,
            Effect::Allow => allowed = true,
        }
    }
    allowed
}

/// A user's policy counts on its own buckets and on root's, an administrator's on all.
fn policy_counts(user: &User, bucket: Option<&Bucket>) -> bool {
    bucket.is_none_or(|b| b.owner == user.name || b.owner == ROOT || user.policy == "admin")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::bucket::BucketSettings;
    use crate::model::id::BucketId;
    use crate::model::time::Timestamp;

    fn bucket(owner: &str, public: bool) -> Bucket {
        Bucket {
            id: BucketId(1),
            name: BucketName::new("b").expect("legal"),
            provider: "p".into(),
            container: BucketName::new("b").expect("legal"),
            owner: owner.into(),
            created: Timestamp(0),
            settings: BucketSettings { public, ..BucketSettings::default() },
            config: Arc::default(),
            revision: 0,
            indexed: None,
        }
    }

    fn user(policy: &str) -> Caller {
        Caller::from(Who::User(Arc::new(User {
            name: "u".into(),
            display_name: "u".into(),
            email: None,
            groups: vec![],
            policy: policy.into(),
        })))
    }

    #[test]
    fn who_may_do_what() {
        let key = ObjectKey::new("k").expect("legal");
        let deny = r#"{"Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"},{"Effect":"Deny","Action":"s3:DeleteObject","Resource":"*"}]}"#;
        for (caller, owner, public, action, allowed) in [
            (Caller::ROOT, "x", false, Action::DeleteObject, true),
            (Caller::ANONYMOUS, ROOT, false, Action::GetObject, false),
            (Caller::ANONYMOUS, ROOT, true, Action::GetObject, true),
            (Caller::ANONYMOUS, ROOT, true, Action::ListBucket, false),
            (Caller::ANONYMOUS, ROOT, true, Action::PutObject, false),
            (user("readonly"), ROOT, false, Action::GetObject, true),
            (user("readonly"), ROOT, false, Action::PutObject, false),
            (user("readwrite"), ROOT, false, Action::PutObject, true),
            (user("readwrite"), "u", false, Action::PutObject, true),
            (user("readwrite"), "v", false, Action::GetObject, false),
            (user("readwrite"), "v", true, Action::GetObject, true),
            (user("readwrite"), ROOT, false, Action::Administer, false),
            (user("admin"), "v", false, Action::DeleteObject, true),
            (user("admin"), "v", false, Action::Administer, true),
            (user(deny), ROOT, false, Action::PutObject, true),
            (user(deny), ROOT, false, Action::DeleteObject, false),
            (user("nonsense"), ROOT, true, Action::GetObject, false),
        ] {
            let bucket = bucket(owner, public);
            assert_eq!(
                decide(&caller, action, Target::Object(&bucket, &key)),
                allowed,
                "{caller:?} {owner} {public} {action:?}"
            );
        }
    }
}
