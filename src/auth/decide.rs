//! The one decision: may this caller do this, to that?
//!
//! All inputs (who owns what, the caller's policy, the bucket's policy, the access control lists, the switches of the
//! bucket) become one list of statements: root first, then an explicit deny wins, then an allow, else no. A policy that
//! cannot be read is a deny.
//!
//! A user's own policy counts on the user's buckets and on root's, an administrator's everywhere; what it denies, it
//! denies everywhere. On the bucket of a user the owner gives, by its own policy or the bucket's, only what it holds:
//! an object that somebody else owns is read, and its list read and changed, by whom that list names.
//!
//! In a bucket that is a FileStore its groups decide instead of all of these ([`super::service`]), but for root, denials
//! and whoever administers it. Roles that a catalog's own policies judge they only keep out ([`decide_said`]).
//!
//! **Invariant:** no other function says yes. About roles that a catalog's own policies judge it is not asked:
//! [`super::roles`].

use crate::auth::policy::{self, ActionSet, Effect, Malformed, Match, Policy, Question};
use crate::auth::service::{Owned, Unsaid};
use crate::auth::{grants, service};
use crate::model::action::Action;
use crate::model::bucket::{Bucket, Ownership, PublicAccessBlock};
use crate::model::caller::{Caller, ROOT, User, Who, subject_of};
use crate::model::item::ItemPath;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::Object;
use crate::model::service::{Permission, Service};

/// What is to be acted on.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// The service itself: users, keys, the list of buckets.
    Service,
    /// A bucket that is to be made.
    NewBucket(&'a BucketName),
    /// A bucket.
    Bucket(&'a Bucket, &'a Rules),
    /// An object of a bucket, or the key of one to be.
    Object(&'a Bucket, &'a Rules, &'a ObjectKey, Row<'a>),
    /// An item of a bucket that is a FileStore, a directory or a file, for one of its functions.
    Item(&'a Bucket, &'a Rules, &'a ItemPath, Permission, Owned<'a>),
}

/// What is known of an object that is to be acted on.
#[derive(Debug, Clone, Copy)]
pub enum Row<'a> {
    /// It was not looked up.
    Unknown,
    /// There is none.
    Missing,
    /// There is none, and the directory that it would be in is this user's.
    Under(&'a str),
    /// This.
    Is(&'a Object),
}

impl<'a> Row<'a> {
    /// What was looked up; `heir`: whose the directory is that a new one would be in.
    #[must_use]
    pub fn of(found: Option<&'a Object>, heir: Option<&'a str>) -> Self {
        match (found, heir) {
            (Some(object), _) => Self::Is(object),
            (None, Some(owner)) => Self::Under(owner),
            (None, None) => Self::Missing,
        }
    }
}

/// What a bucket's configuration says about access, as it was compiled once.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    policy: Option<Result<Policy, Malformed>>,
    public: bool,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Allowed,
    /// No.
    Refused,
    /// That depends on the object, of which nothing was said.
    NeedsObject,
    /// The policies of the catalog say, asked by a statement under the caller's role ([`super::roles`]).
    Catalog,
}

/// What decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The caller is the administrator.
    Root,
    /// The caller shows a token of the service.
    ServiceRole,
    /// A statement of the caller's policy, by its place in the document.
    UserPolicy {
        /// Its name.
        sid: Option<String>,
        /// Its place, from 0.
        index: usize,
    },
    /// The caller's policy cannot be read.
    UnreadableUserPolicy,
    /// A statement of the bucket's policy.
    BucketPolicy {
        /// Its name.
        sid: Option<String>,
        /// Its place, from 0.
        index: usize,
    },
    /// The bucket's policy cannot be read.
    UnreadableBucketPolicy,
    /// The bucket is public.
    PublicBucket,
    /// A grant of the bucket's list.
    BucketAcl,
    /// A grant of the object's list.
    ObjectAcl,
    /// The caller owns the object.
    ObjectOwner,
    /// Somebody else owns the object, and its list gives the bucket's owner nothing.
    AnotherOwner,
    /// The bucket's block of public access.
    PublicAccessBlock,
    /// A group of the FileStore that the bucket is, which the caller is in.
    Group,
    /// Nothing allows it.
    Nothing,
}

/// An answer with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The answer.
    pub verdict: Verdict,
    /// What decided.
    pub source: Source,
}

impl<'a> Target<'a> {
    pub(crate) fn bucket(&self) -> Option<&'a Bucket> {
        match self {
            Self::Bucket(bucket, _) | Self::Object(bucket, ..) | Self::Item(bucket, ..) => Some(bucket),
            Self::Service | Self::NewBucket(_) => None,
        }
    }
}

impl Rules {
    /// Compiles them.
    #[must_use]
    pub fn of(bucket: &Bucket) -> Self {
        let policy = bucket.config.policy.as_deref().map(policy::compile_bucket);
        if let Some(Err(error)) = &policy {
            tracing::error!(bucket = %bucket.name, %error, "a bucket's policy cannot be read and allows nothing");
        }
        let public = matches!(&policy, Some(Ok(policy)) if policy::is_public(policy));
        Self { policy, public }
    }

    /// Whether the bucket's policy is public.
    #[must_use]
    pub fn public(&self) -> bool {
        self.public
    }
}

/// One statement of the list, as far as it speaks of the question.
struct Clause<'a> {
    effect: Effect,
    matched: Match,
    from: From<'a>,
}

/// Where a statement comes from.
#[derive(Clone, Copy)]
enum From<'a> {
    User(usize, &'a policy::Statement),
    Bucket(usize, &'a policy::Statement),
    Plain(fn() -> Source),
}

impl From<'_> {
    fn source(self) -> Source {
        match self {
            Self::User(index, statement) => Source::UserPolicy { sid: statement.sid.clone(), index },
            Self::Bucket(index, statement) => Source::BucketPolicy { sid: statement.sid.clone(), index },
            Self::Plain(source) => source(),
        }
    }
}

/// The list, and why a right was left out of it.
struct Clauses<'a> {
    list: Vec<Clause<'a>>,
    withheld: Option<Source>,
}

impl<'a> Clauses<'a> {
    fn add(&mut self, effect: Effect, matched: Match, from: From<'a>) {
        if matched != Match::No {
            self.list.push(Clause { effect, matched, from });
        }
    }

    fn allow(&mut self, matched: Match, source: fn() -> Source) {
        self.add(Effect::Allow, matched, From::Plain(source));
    }

    fn deny(&mut self, source: fn() -> Source) {
        self.add(Effect::Deny, Match::Yes, From::Plain(source));
    }

    /// A right that counts as far as the bucket's owner holds it.
    fn allow_held(&mut self, matched: Match, held: impl FnOnce() -> Match, from: From<'a>) {
        let both = matched.and(held);
        if both == Match::No && matched != Match::No {
            self.withheld = Some(Source::AnotherOwner);
        }
        self.add(Effect::Allow, both, from);
    }

    /// The verdict, with the statement that it rests on.
    fn weigh(&self) -> (Verdict, Option<&Clause<'a>>) {
        let first = |effect, matched| self.list.iter().find(|c| c.effect == effect && c.matched == matched);
        if let Some(deny) = first(Effect::Deny, Match::Yes) {
            return (Verdict::Refused, Some(deny));
        }
        let allowed = first(Effect::Allow, Match::Yes);
        let open = first(Effect::Allow, Match::Open);
        match (first(Effect::Deny, Match::Open), allowed, open) {
            (_, None, None) => (Verdict::Refused, None),
            (Some(deny), _, _) => (Verdict::NeedsObject, Some(deny)),
            (None, Some(allow), _) => (Verdict::Allowed, Some(allow)),
            (None, None, Some(open)) => (Verdict::NeedsObject, Some(open)),
        }
    }
}

/// Decides.
#[must_use]
pub fn decide(caller: &Caller, action: Action, target: Target<'_>) -> Verdict {
    if caller.is_unbounded() {
        return Verdict::Allowed;
    }
    let question = Question::new(caller, action, target);
    let own = own_policy(caller);
    clauses(&question, own.as_deref()).weigh().0
}

/// Whether a role is kept out of a bucket that is a FileStore, about which the policies of a catalog decide: by what was
/// said of the item, or by what a policy denies. What is allowed here is still theirs to allow.
#[must_use]
pub fn decide_said(caller: &Caller, action: Action, target: Target<'_>) -> Verdict {
    let question = Question::new(caller, action, target);
    match target.bucket().and_then(|bucket| bucket.config.bound_service()) {
        None => Verdict::Allowed,
        Some(service) => clauses_of_service(&question, None, (service, Unsaid::Anyone)).weigh().0,
    }
}

/// Decides about what comes along with a write, as a list or tags do: who may write may bring it, unless a statement denies
/// that.
#[must_use]
pub fn decide_along(caller: &Caller, action: Action, target: Target<'_>) -> Verdict {
    if caller.is_unbounded() {
        return Verdict::Allowed;
    }
    let question = Question::new(caller, action, target);
    let own = own_policy(caller);
    let mut clauses = clauses(&question, own.as_deref());
    clauses.allow(Match::Yes, || Source::Nothing);
    clauses.weigh().0
}

/// Decides, and says what decided.
#[must_use]
pub fn explain(caller: &Caller, action: Action, target: Target<'_>) -> Decision {
    if caller.is_unbounded() {
        let source = if caller.who == Who::Root { Source::Root } else { Source::ServiceRole };
        return Decision { verdict: Verdict::Allowed, source };
    }
    let question = Question::new(caller, action, target);
    let own = own_policy(caller);
    let clauses = clauses(&question, own.as_deref());
    let (verdict, clause) = clauses.weigh();
    let source = clause.map(|clause| clause.from.source());
    Decision { verdict, source: source.or_else(|| clauses.withheld.clone()).unwrap_or(Source::Nothing) }
}

/// Whether the caller's own policy counts on a bucket: then lists of buckets show what it allows.
#[must_use]
pub fn policy_counts(caller: &Caller, bucket: &Bucket) -> bool {
    match &caller.who {
        Who::Root => true,
        Who::User(user) => bucket.owner == user.name || bucket.owner == ROOT || is_admin(user),
        Who::Token(token) => token.is_service(),
        Who::Anonymous => false,
    }
}

fn is_admin(user: &User) -> bool {
    user.policy == "admin"
}

fn own_policy(caller: &Caller) -> Option<policy::Compiled> {
    match &caller.who {
        Who::User(user) => Some(policy::remembered(&user.policy)),
        Who::Root | Who::Token(_) | Who::Anonymous => None,
    }
}

/// The list of all statements that speak of a question.
fn clauses<'a>(question: &Question<'a>, own: Option<&'a Result<Policy, Malformed>>) -> Clauses<'a> {
    if let Some(service) = question.bucket().and_then(|bucket| bucket.config.bound_service()) {
        return clauses_of_service(question, own, (service, Unsaid::Usual));
    }
    let mut clauses = Clauses { list: Vec::with_capacity(4), withheld: None };
    add_user(question, own, &mut clauses);
    match question.target {
        Target::Service | Target::NewBucket(_) => {}
        Target::Bucket(bucket, rules) => add_bucket(question, bucket, rules, &mut clauses),
        Target::Object(bucket, rules, _, row) => {
            add_bucket(question, bucket, rules, &mut clauses);
            add_object(question, bucket, row, &mut clauses);
        }
        Target::Item(..) => {}
    }
    clauses
}

/// The list where the groups of a FileStore decide: what a policy denies is denied there, too, and nothing but a group
/// allows anything.
fn clauses_of_service<'a>(
    question: &Question<'a>,
    own: Option<&'a Result<Policy, Malformed>>,
    (store, unsaid): (&Service, Unsaid),
) -> Clauses<'a> {
    let mut all = Clauses { list: Vec::with_capacity(4), withheld: None };
    add_user(question, own, &mut all);
    if let Target::Bucket(bucket, rules) | Target::Object(bucket, rules, ..) | Target::Item(bucket, rules, ..) =
        question.target
    {
        add_bucket_policy(question, bucket, rules, false, &mut all);
    }
    all.list.retain(|clause| clause.effect == Effect::Deny);
    all.allow(service::judge(store, question, unsaid), || Source::Group);
    all
}

fn add_user<'a>(question: &Question<'a>, own: Option<&'a Result<Policy, Malformed>>, clauses: &mut Clauses<'a>) {
    let (Some(own), Who::User(user)) = (own, &question.caller.who) else { return };
    let policy = match own {
        Ok(policy) => policy,
        Err(error) => {
            tracing::error!(user = user.name, %error, "a policy cannot be read and allows nothing");
            return clauses.deny(|| Source::UnreadableUserPolicy);
        }
    };
    let counts = question.bucket().is_none_or(|bucket| policy_counts(question.caller, bucket));
    for (index, statement) in policy.statements.iter().enumerate() {
        let from = From::User(index, statement);
        match statement.effect {
            Effect::Deny => clauses.add(Effect::Deny, statement.matches(question), from),
            Effect::Allow if counts && is_admin(user) => {
                clauses.add(Effect::Allow, statement.matches(question), from);
            }
            Effect::Allow if counts => clauses.allow_held(statement.matches(question), || held(question), from),
            Effect::Allow => {}
        }
    }
}

fn add_bucket<'a>(question: &Question<'a>, bucket: &'a Bucket, rules: &'a Rules, clauses: &mut Clauses<'a>) {
    let caller = question.caller;
    let block = bucket.config.public_access.unwrap_or_default();
    let inside = match &caller.who {
        Who::Root => true,
        Who::User(user) => user.name == bucket.owner || is_admin(user),
        // A token that is not the service's is of a person whom the bucket's owner may not know.
        Who::Token(token) => token.is_service(),
        Who::Anonymous => false,
    };
    if bucket.settings.public && question.action == Action::GetObject {
        if block.restrict_buckets && !inside {
            clauses.withheld = Some(Source::PublicAccessBlock);
        } else {
            clauses.allow(Match::Yes, || Source::PublicBucket);
        }
    }
    add_bucket_policy(question, bucket, rules, block.restrict_buckets && rules.public && !inside, clauses);
    if let Some(acl) = bucket.config.acl.as_ref().filter(|_| lists_count(bucket))
        && let Some(permission) = grants::on_bucket(question.action)
    {
        // What the owner does with its bucket, its own policy says.
        let to = grants::To { caller, by_name: caller.id() != bucket.owner };
        add_grants(acl, permission, to, block, || Source::BucketAcl, clauses);
    }
}

fn add_bucket_policy<'a>(
    question: &Question<'a>,
    bucket: &'a Bucket,
    rules: &'a Rules,
    restricted: bool,
    clauses: &mut Clauses<'a>,
) {
    const POLICY: ActionSet =
        ActionSet::of(&[Action::GetBucketPolicy, Action::PutBucketPolicy, Action::DeleteBucketPolicy]);
    // The owner can always undo a policy that shuts it out.
    let owner = matches!(&question.caller.who, Who::User(user) if user.name == bucket.owner);
    let exempt = owner && POLICY.has(question.action);
    let policy = match &rules.policy {
        None => return,
        Some(Err(_)) if exempt => return,
        Some(Err(_)) => return clauses.deny(|| Source::UnreadableBucketPolicy),
        Some(Ok(policy)) => policy,
    };
    for (index, statement) in policy.statements.iter().enumerate() {
        let from = From::Bucket(index, statement);
        match statement.effect {
            Effect::Deny if exempt => {}
            Effect::Deny => clauses.add(Effect::Deny, statement.matches(question), from),
            Effect::Allow if restricted => {
                if statement.matches(question) != Match::No {
                    clauses.withheld = Some(Source::PublicAccessBlock);
                }
            }
            Effect::Allow => clauses.allow_held(statement.matches(question), || held(question), from),
        }
    }
}

fn add_object<'a>(question: &Question<'a>, bucket: &'a Bucket, row: Row<'a>, clauses: &mut Clauses<'a>) {
    let Some(permission) = grants::on_object(question.action).filter(|_| lists_count(bucket)) else { return };
    let object = match row {
        Row::Missing | Row::Under(_) => return,
        Row::Unknown => return clauses.allow(Match::Open, || Source::ObjectAcl),
        Row::Is(object) => object,
    };
    let caller = question.caller;
    let owns = matches!(&caller.who, Who::User(user) if user.name == object.owner);
    // Where its policy counts, an owner holds what it holds under that policy.
    let under_policy = policy_counts(caller, bucket);
    let default = object.attached.acl.is_none();
    if owns && !under_policy && (default || grants::is_of_list(permission)) {
        clauses.allow(Match::Yes, || Source::ObjectOwner);
    }
    if let Some(acl) = &object.attached.acl {
        let by_name = !(under_policy && (owns || caller.id() == bucket.owner));
        let block = bucket.config.public_access.unwrap_or_default();
        add_grants(acl, permission, grants::To { caller, by_name }, block, || Source::ObjectAcl, clauses);
    }
}

fn add_grants(
    acl: &crate::model::acl::Acl,
    permission: crate::model::acl::Permission,
    to: grants::To<'_>,
    block: PublicAccessBlock,
    source: fn() -> Source,
    clauses: &mut Clauses<'_>,
) {
    if grants::by_name(acl, permission, to) || (!block.ignore_acls && grants::by_group(acl, permission, to.caller)) {
        clauses.allow(Match::Yes, source);
    } else if grants::by_group(acl, permission, to.caller) {
        clauses.withheld = Some(Source::PublicAccessBlock);
    }
}

/// Whether the owner of the bucket holds what is asked for, and so can give or use it. Root holds everything.
fn held(question: &Question<'_>) -> Match {
    let Target::Object(bucket, _, _, row) = question.target else { return Match::Yes };
    let Some(permission) = grants::on_object(question.action) else { return Match::Yes };
    if bucket.owner == ROOT || !lists_count(bucket) {
        return Match::Yes;
    }
    match row {
        Row::Unknown => Match::Open,
        Row::Missing | Row::Under(_) => Match::Yes,
        Row::Is(object) => {
            // What nobody in particular wrote is the owner's of the bucket.
            let own = [bucket.owner.as_str(), ROOT, Caller::ANONYMOUS.id()].contains(&object.owner.as_str())
                // Tokens have no lists to give it with.
                || subject_of(&object.owner).is_some();
            let given = object.attached.acl.as_ref().is_some_and(|acl| grants::to_user(acl, permission, &bucket.owner));
            Match::from(own || given)
        }
    }
}

fn lists_count(bucket: &Bucket) -> bool {
    bucket.config.ownership != Some(Ownership::BucketOwnerEnforced)
}
