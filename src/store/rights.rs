//! Under whose rights a request runs: as whom the catalog is asked, and which function decides.
//!
//! Who a catalog with policies of its own can judge (the role of a token that is not the service's) is asked about there,
//! by the statements of the request themselves; about all others [`crate::auth::decide`] decides, and their statements run
//! as Longshore. What no request asks for always does.
//!
//! **Invariant:** this is the one place where a caller becomes a scope. What a role may not see is not there for it: no
//! file is looked for in its name, and nothing that it is told holds a name which it was not shown.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::auth::decide::{Row, Target, Verdict, decide, decide_along, decide_said};
use crate::auth::roles;
use crate::auth::secret::Secret;
use crate::catalog::{self, Acting, Intent, Scope};
use crate::config::limits::{DELETES_AT_ONCE, ITEMS_PAGE_ROWS};
use crate::model::acl::Canned;
use crate::model::action::Action;
use crate::model::caller::{Caller, Token, Who};
use crate::model::condition::{Conditions, TagMatch};
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::Object;
use crate::model::page::PageQuery;
use crate::model::tag::Tags;
use crate::store::bound::Bound;
use crate::store::error::{Error, Result};
use crate::store::request::{AclRequest, CopyRequest, Given};
use crate::store::{SERVICE, Store};

/// For how long a page is looked for that a role sees little of.
pub(super) const LOOK_MAX: Duration = Duration::from_secs(2);
/// What a position begins with that is no name of a key.
const POSITION: &str = "longshore-position-";

/// A way to decide.
type Judge = fn(&Store, &Caller, Action, Target<'_>) -> Verdict;

impl Store {
    /// The token of a caller about whom the catalog decides.
    fn judged<'a>(&self, caller: &'a Caller) -> Option<&'a Token> {
        match &caller.who {
            Who::Token(token) if !token.is_service() && self.catalog().judges() => Some(token),
            Who::Token(_) | Who::Root | Who::User(_) | Who::Anonymous => None,
        }
    }

    /// Whether the catalog decides about a caller.
    #[must_use]
    pub fn is_judged(&self, caller: &Caller) -> bool {
        self.judged(caller).is_some()
    }

    /// Whether the catalog decides about roles of tokens.
    #[must_use]
    pub fn judges_roles(&self) -> bool {
        self.catalog().judges()
    }

    /// As whom the catalog is asked for a caller.
    pub(super) fn scope(&self, caller: &Caller) -> Scope {
        let Some(token) = self.judged(caller) else { return SERVICE };
        let operation = caller.context.as_ref().map_or("", |context| context.operation);
        Scope::As(Acting {
            role: token.role().to_owned(),
            claims: token.claims().clone().into(),
            operation: operation.to_owned(),
            only_new: false,
        })
    }

    /// The same, for a write: one that must not replace anything needs fewer rights.
    pub(super) fn scope_to_write(&self, caller: &Caller, conditions: &Conditions) -> Scope {
        match self.scope(caller) {
            Scope::Service => Scope::Service,
            Scope::As(acting) => Scope::As(Acting { only_new: is_of_new(conditions), ..acting }),
        }
    }

    /// The same, for a read: what everyone may read is not asked about.
    pub(super) fn scope_to_read(&self, caller: &Caller, bound: &Bound, action: Action) -> Scope {
        if roles::is_open(action, &bound.bucket) { SERVICE } else { self.scope(caller) }
    }

    /// The decision.
    pub(super) fn decide(&self, caller: &Caller, action: Action, target: Target<'_>) -> Verdict {
        if !self.is_judged(caller) {
            return decide(caller, action, target);
        }
        match decide_said(caller, action, target) {
            Verdict::Allowed => roles::decide(action, target),
            kept_out => kept_out,
        }
    }

    /// Takes the decision; everything that has an effect begins here. Where the catalog decides, it is still to be asked.
    pub(super) fn allow(&self, caller: &Caller, action: Action, target: Target<'_>) -> Result<()> {
        match self.decide(caller, action, target) {
            Verdict::Allowed | Verdict::Catalog => Ok(()),
            Verdict::Refused | Verdict::NeedsObject => Err(Error::AccessDenied),
        }
    }

    /// Asks the catalog, before anything happens.
    ///
    /// # Errors
    /// [`Error::AccessDenied`]; [`Error::PreconditionFailed`] if the key is taken, and only a new one was to be written.
    pub(super) async fn ask(&self, scope: &Scope, bound: &Bound, key: &ObjectKey, intent: &Intent) -> Result<()> {
        match self.catalog().may(scope, bound.bucket.id, key, intent).await {
            Err(catalog::Error::AlreadyExists) => Err(Error::PreconditionFailed),
            other => Ok(other?),
        }
    }

    /// Asks for a role about all that is beneath a prefix, also what it does not see: so it is done to all of it or to
    /// nothing. `most`: about no more than so many keys.
    ///
    /// # Errors
    /// As [`Store::ask`], for the first of it that is refused.
    pub(super) async fn ask_of_all(
        &self,
        scope: &Scope,
        bound: &Arc<Bound>,
        (prefix, most): (&str, usize),
        intent: impl Fn(&ObjectKey) -> Result<Intent> + Send + Sync,
    ) -> Result<()> {
        let (mut after, mut left) = (None, most);
        while *scope != SERVICE && left > 0 {
            let limit = left.min(ITEMS_PAGE_ROWS);
            let query = PageQuery { prefix: prefix.to_owned(), delimiter: None, after, limit };
            let page = self.page(bound, query, &SERVICE).await?;
            left -= page.entries.len().min(left);
            let asked = stream::iter(page.entries)
                .map(|entry| {
                    let intent = intent(&entry.key);
                    async move { self.ask(scope, bound, &entry.key, &intent?).await }
                })
                .buffer_unordered(DELETES_AT_ONCE);
            asked.try_collect::<()>().await?;
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        Ok(())
    }

    /// Whether a caller about whom the catalog decides may remove everything in a bucket, also what it does not see.
    ///
    /// # Errors
    /// [`Error::AccessDenied`].
    pub async fn may_empty(&self, caller: &Caller, name: &BucketName) -> Result<()> {
        let bound = self.enter(caller, name, Action::ListBucket).await?;
        self.ask_of_all(&self.scope(caller), &bound, ("", usize::MAX), |_| Ok(Intent::Remove)).await
    }

    /// Asks whether the caller sees a bucket that is there.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`].
    pub(super) async fn see_bucket(&self, caller: &Caller, bound: &Bound) -> Result<()> {
        match self.scope(caller) {
            Scope::Service => Ok(()),
            scope @ Scope::As(_) => {
                self.catalog().bucket(&scope, &bound.bucket.name).await?.map(|_| ()).ok_or(Error::NoSuchBucket)
            }
        }
    }

    /// Refuses what the caller may not attach to what it writes. A list and tags come with the right to write unless they are
    /// denied; a lock binds whoever comes after, so it takes the right to set it. Of roles that the catalog judges, lists and
    /// locks count past its policies.
    ///
    /// # Errors
    /// [`Error::AccessDenied`].
    pub(super) async fn may_give(&self, caller: &Caller, bound: &Bound, key: &ObjectKey, given: &Given) -> Result<()> {
        let listed = !matches!(given.acl, AclRequest::None | AclRequest::Canned(Canned::Private));
        let (kept, held) = (given.retention.is_some(), given.legal_hold.is_some());
        if self.is_judged(caller) && (listed || kept || held) {
            return Err(Error::AccessDenied);
        }
        let asked: [(bool, Action, Judge); 4] = [
            (listed, Action::PutObjectAcl, Self::decide_along),
            (!given.tags.is_empty(), Action::PutObjectTagging, Self::decide_along),
            (kept, Action::PutObjectRetention, Self::decide),
            (held, Action::PutObjectLegalHold, Self::decide),
        ];
        for (_, action, judge) in asked.into_iter().filter(|(given, ..)| *given) {
            self.may_attach(caller, (bound, key), action, judge).await?;
        }
        Ok(())
    }

    /// The tags that a copy gets from its source.
    ///
    /// # Errors
    /// [`Error::AccessDenied`] if there are some that the caller is denied to read, or to give.
    pub(super) async fn carried_tags(
        &self,
        caller: &Caller,
        (source, object): (&Bound, &Object),
        bound: &Bound,
        request: &CopyRequest,
    ) -> Result<Tags> {
        let tags = &object.attached.tags;
        if tags.is_empty() {
            return Ok(Tags::default());
        }
        let read = Action::GetObjectTagging;
        let read = if request.from_version.is_some() { read.of_version() } else { read };
        let target = Target::Object(&source.bucket, &source.rules, &object.key, Row::Is(object));
        if self.decide_along(caller, read, target) != Verdict::Allowed {
            return Err(Error::AccessDenied);
        }
        let to = (bound, &request.key);
        self.may_attach(&caller.bringing(tags), to, Action::PutObjectTagging, Self::decide_along).await?;
        Ok(tags.clone())
    }

    /// The decision about what comes along with a write. Where the catalog decides, policies of buckets do not count.
    fn decide_along(&self, caller: &Caller, action: Action, target: Target<'_>) -> Verdict {
        let of_service = target.bucket().is_some_and(|bucket| bucket.config.bound_service().is_some());
        if self.is_judged(caller) && !of_service {
            return Verdict::Allowed;
        }
        decide_along(caller, action, target)
    }

    /// Takes a decision about a key that is written, by what is there where that bears on it.
    async fn may_attach(
        &self,
        caller: &Caller,
        (bound, key): (&Bound, &ObjectKey),
        action: Action,
        judge: Judge,
    ) -> Result<()> {
        let mut verdict = judge(self, caller, action, Target::Object(&bound.bucket, &bound.rules, key, Row::Unknown));
        if verdict == Verdict::NeedsObject {
            let there = self.catalog().object(&SERVICE, bound.bucket.id, key).await?;
            let row = Row::of(there.as_ref(), None);
            verdict = judge(self, caller, action, Target::Object(&bound.bucket, &bound.rules, key, row));
        }
        if verdict == Verdict::Allowed { Ok(()) } else { Err(Error::AccessDenied) }
    }

    /// Whether the caller may give an object another name; who goes on with it then.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`], [`Error::PreconditionFailed`] if there is something under that name, refusals.
    pub async fn may_move(
        &self,
        caller: &Caller,
        from: (&BucketName, &ObjectKey),
        to: (&BucketName, &ObjectKey),
    ) -> Result<Caller> {
        let Some(token) = self.judged(caller) else {
            self.may_delete(caller, from.0, from.1).await?;
            return Ok(caller.clone());
        };
        let source = self.enter_object(caller, from.0, from.1, Action::DeleteObject).await?;
        let bound = self.enter_object(caller, to.0, to.1, Action::PutObject).await?;
        source.writable()?;
        bound.writable()?;
        let scope = self.scope(caller);
        if self.catalog().object(&scope, source.bucket.id, from.1).await?.is_none() {
            return Err(Error::NoSuchKey);
        }
        let intent = Intent::Move { bucket: bound.bucket.id, key: to.1.clone() };
        self.ask(&scope, &source, from.1, &intent).await?;
        let service = Token::service_for(token.subject());
        Ok(Caller { who: Who::Token(service.into()), context: caller.context.clone() })
    }

    /// A position in a listing, as it can be told to who may not see the key there.
    pub(super) fn sealed_position(&self, bound: &Bound, key: &str) -> String {
        let sealed = self.0.positions.seal(bound.bucket.name.as_str(), &Secret::new(key));
        format!("{POSITION}{}", URL_SAFE_NO_PAD.encode(sealed))
    }

    /// The key of a position; `None`: it is none.
    pub(super) fn opened_position(&self, bound: &Bound, text: &str) -> Option<String> {
        let sealed = URL_SAFE_NO_PAD.decode(text.strip_prefix(POSITION)?).ok()?;
        let key = self.0.positions.open(bound.bucket.name.as_str(), &sealed).ok()?;
        Some(key.expose().to_owned())
    }
}

/// Whether a write is to make a new object and never to replace one.
pub(super) fn is_of_new(conditions: &Conditions) -> bool {
    matches!(conditions.if_none_match, Some(TagMatch::Any))
}
