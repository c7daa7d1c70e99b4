//! One question to the statements: who asks for what, to be done to what, and under which circumstances.
//!
//! **Invariant:** a fact is worked out when a statement asks for it, so requests that no document concerns cost nothing.

use std::borrow::Cow;
use std::cell::OnceCell;

use time::format_description::well_known::Rfc3339;

use crate::auth::decide::{Row, Target};
use crate::auth::policy::keys::Key;
use crate::auth::service::Owned;
use crate::model::action::Action;
use crate::model::bucket::Bucket;
use crate::model::caller::{Caller, ROOT, Who};
use crate::model::tag::Tag;
use crate::model::time::{Clock, Timestamp};

/// What every ARN of S3 begins with.
pub(crate) const ARN: &str = "arn:aws:s3:::";

/// The question.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) action: Action,
    pub(crate) target: Target<'a>,
    arn: OnceCell<String>,
    now: OnceCell<Timestamp>,
}

impl<'a> Question<'a> {
    pub(crate) fn new(caller: &'a Caller, action: Action, target: Target<'a>) -> Self {
        Self { caller, action, target, arn: OnceCell::new(), now: OnceCell::new() }
    }

    /// What is acted on, as policies name it.
    pub(super) fn arn(&self) -> &str {
        self.arn.get_or_init(|| match self.target {
            Target::Service => format!("{ARN}*"),
            Target::NewBucket(name) => format!("{ARN}{name}"),
            Target::Bucket(bucket, _) => format!("{ARN}{}", bucket.name),
            Target::Object(bucket, _, key, _) => format!("{ARN}{}/{key}", bucket.name),
            Target::Item(bucket, _, path, ..) if path.is_root() => format!("{ARN}{}", bucket.name),
            Target::Item(bucket, _, path, ..) => format!("{ARN}{}/{path}", bucket.name),
        })
    }

    /// The bucket it is about.
    pub(crate) fn bucket(&self) -> Option<&'a Bucket> {
        self.target.bucket()
    }

    /// Whether the value of a key depends on an object that was not looked up yet.
    pub(super) fn is_open(&self, key: &Key) -> bool {
        matches!(key, Key::ExistingTag(_))
            && matches!(self.target, Target::Object(_, _, _, Row::Unknown) | Target::Item(_, _, _, _, Owned::Unknown))
    }

    /// The values of a key; `None`: it is not there.
    pub(super) fn values(&self, key: &Key) -> Option<Cow<'_, [String]>> {
        let one = |text: String| Some(Cow::Owned(vec![text]));
        let context = self.caller.context.as_deref();
        match key {
            Key::SourceIp => one(context?.source_ip?.to_canonical().to_string()),
            Key::SecureTransport => one(context?.secure.to_string()),
            Key::CurrentTime => one(self.now().to_utc().format(&Rfc3339).ok()?),
            Key::EpochTime => one(self.now().seconds().to_string()),
            Key::PrincipalArn => match &self.caller.who {
                Who::Root => one(format!("arn:aws:iam::{ROOT}:root")),
                Who::User(user) => one(format!("arn:aws:iam:::user/{}", user.name)),
                Who::Token(_) | Who::Anonymous => None,
            },
            Key::PrincipalType => one(match &self.caller.who {
                Who::Root => "Account",
                Who::User(_) => "User",
                Who::Token(_) => "FederatedUser",
                Who::Anonymous => "Anonymous",
            }
            .to_owned()),
            Key::UserName => match &self.caller.who {
                Who::User(user) => one(user.name.clone()),
                Who::Root | Who::Token(_) | Who::Anonymous => None,
            },
            Key::Role | Key::Subject => match &self.caller.who {
                Who::Token(token) if *key == Key::Role => one(token.role().to_owned()),
                Who::Token(token) => one(token.subject()?.to_owned()),
                Who::Root | Who::User(_) | Who::Anonymous => None,
            },
            Key::UserId => one(self.caller.id().to_owned()),
            Key::ResourceAccount => one(self.bucket()?.owner.clone()),
            Key::ExistingTag(name) => {
                let Target::Object(_, _, _, Row::Is(object)) = self.target else { return None };
                tag(object.attached.tags.as_slice(), name).and_then(|value| one(value.to_owned()))
            }
            Key::RequestTag(name) => tag(&context?.tags, name).and_then(|value| one(value.to_owned())),
            Key::Sent(name) if name == "s3:requestobjecttagkeys" => {
                let keys: Vec<String> = context?.tags.iter().map(|tag| tag.key.clone()).collect();
                (!keys.is_empty()).then_some(Cow::Owned(keys))
            }
            Key::Sent(name) => context?.values.get(name).map(|values| Cow::Borrowed(values.as_slice())),
        }
    }

    /// The present, or the one that the circumstances were given with.
    fn now(&self) -> Timestamp {
        *self.now.get_or_init(|| self.caller.context.as_ref().and_then(|context| context.at).unwrap_or_else(Clock::now))
    }
}

/// The value of a tag: of exactly this key, or else of the same in another case. There may be two such, and a right for
/// the one is none for the other.
fn tag<'t>(tags: &'t [Tag], name: &str) -> Option<&'t str> {
    let exact = tags.iter().find(|tag| tag.key == name);
    exact.or_else(|| tags.iter().find(|tag| tag.key.eq_ignore_ascii_case(name))).map(|tag| tag.value.as_str())
}
