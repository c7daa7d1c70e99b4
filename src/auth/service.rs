//! What the groups of a FileStore let a caller do, on whichever front it asks.
//!
//! | asked for | permission | on |
//! |---|---|---|
//! | read an object, its tags, its lock | `read` | the item |
//! | write a new one | `newItem` | the directory that it comes into |
//! | write over one, change its tags | `setItem` | the item |
//! | delete one | `removeItem` | the item |
//! | list keys, versions, uploads | `list` | the directory of the prefix, and every one below it of which something is said |
//! | read or change a list | `getPermissions`, `setPermissions` | the item |
//! | go on with an upload, or give it up | as to write | |
//! | anything else | nobody | |
//!
//! A function of the FileStore interface is asked for by its own name, and its steps count as that function.
//!
//! About a role that a catalog judges by policies of its own ([`crate::auth::roles`]) those policies decide, and who has a
//! permission usually is not asked: what was said of an item keeps a role out that is in none of the groups, and lets
//! nobody in.
//!
//! **Invariant:** nothing but a group that the caller is in says yes; of an item whose owner is not known yet, `sys:owner`
//! says neither yes nor no.

use crate::auth::decide::{Row, Target};
use crate::auth::policy::{Match, Question};
use crate::model::action::Action;
use crate::model::caller::{Caller, User, Who};
use crate::model::service::{AUTHENTICATED, EVERYONE, NOBODY, OWNER, Permission, Service};

/// The claim of a token that names groups.
const GROUPS_CLAIM: &str = "groups";
/// The condition key under which a listing tells its prefix.
const PREFIX: &str = "s3:prefix";

/// Who owns what is acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owned<'a> {
    /// That was not looked up.
    Unknown,
    /// Nobody in particular.
    Nobody,
    /// This user.
    By(&'a str),
}

/// Whether the caller administers a service: by its group, or the whole server.
#[must_use]
pub fn administers(service: &Service, caller: &Caller) -> bool {
    match &caller.who {
        Who::Root => true,
        Who::User(user) => is_admin(user) || is_in(caller, &service.admin_group),
        Who::Token(token) => token.is_service() || is_in(caller, &service.admin_group),
        Who::Anonymous => false,
    }
}

/// Who has a permission of which nobody has said anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsaid {
    /// The group that has it usually.
    Usual,
    /// Whoever asks, as others decide then.
    Anyone,
}

/// The groups that are asked.
#[derive(Debug, Clone, Copy)]
struct Groups<'a> {
    service: &'a Service,
    unsaid: Unsaid,
}

/// What the groups say to a question.
pub(super) fn judge(service: &Service, question: &Question<'_>, unsaid: Unsaid) -> Match {
    let caller = question.caller;
    if administers(service, caller) {
        return Match::Yes;
    }
    let groups = Groups { service, unsaid };
    let function = caller.context.as_ref().and_then(|context| context.function);
    match question.target {
        Target::Service | Target::NewBucket(_) => Match::No,
        Target::Item(_, _, path, permission, owned) => groups.let_in(caller, permission, path.as_str(), owned),
        Target::Bucket(..) => on_bucket(groups, question),
        Target::Object(_, _, key, row) => {
            let path = key.as_str().strip_suffix('/').unwrap_or(key.as_str());
            on_object(groups, question, (path, row), function)
        }
    }
}

fn on_bucket(groups: Groups<'_>, question: &Question<'_>) -> Match {
    match question.action {
        Action::ListBucket | Action::ListBucketVersions | Action::ListBucketMultipartUploads => {}
        Action::GetBucketLocation | Action::GetBucketVersioning => {
            return groups.let_in(question.caller, Permission::List, "", Owned::Nobody);
        }
        _ => return Match::No,
    }
    let context = question.caller.context.as_deref();
    let sent = context.and_then(|context| context.values.get(PREFIX)).and_then(|values| values.first());
    let prefix = sent.map_or("", String::as_str);
    let directory = prefix.rsplit_once('/').map_or("", |(directory, _)| directory);
    let lists = |path: &str| groups.let_in(question.caller, Permission::List, path, Owned::Nobody) == Match::Yes;
    Match::from(lists(directory) && groups.service.said_below(prefix, Permission::List).all(lists))
}

fn on_object(
    groups: Groups<'_>,
    question: &Question<'_>,
    (path, row): (&str, Row<'_>),
    function: Option<Permission>,
) -> Match {
    let caller = question.caller;
    let owned = match row {
        Row::Unknown => Owned::Unknown,
        Row::Missing | Row::Under(_) => Owned::Nobody,
        Row::Is(object) => Owned::By(&object.owner),
    };
    let on_item = |permission| groups.let_in(caller, permission, path, owned);
    match question.action {
        Action::GetObject
        | Action::GetObjectVersion
        | Action::GetObjectAttributes
        | Action::GetObjectVersionAttributes
        | Action::GetObjectTagging
        | Action::GetObjectVersionTagging
        | Action::GetObjectRetention
        | Action::GetObjectLegalHold
        | Action::GetObjectTorrent => on_item(match function {
            Some(named @ (Permission::GetItem | Permission::SetItem | Permission::Write | Permission::Move)) => named,
            _ => Permission::Read,
        }),
        Action::PutObject | Action::AbortMultipartUpload | Action::ListMultipartUploadParts => {
            let over = if function == Some(Permission::Write) { Permission::Write } else { Permission::SetItem };
            let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
            let new = |owned| groups.let_in(caller, Permission::NewItem, directory, owned);
            match row {
                Row::Is(_) => on_item(over),
                Row::Missing => new(Owned::Nobody),
                Row::Under(owner) => new(Owned::By(owner)),
                Row::Unknown => match (on_item(over), new(Owned::Unknown)) {
                    (Match::Yes, Match::Yes) => Match::Yes,
                    (Match::No, Match::No) => Match::No,
                    _ => Match::Open,
                },
            }
        }
        Action::DeleteObject | Action::DeleteObjectVersion => {
            on_item(if function == Some(Permission::Move) { Permission::Move } else { Permission::RemoveItem })
        }
        Action::PutObjectTagging
        | Action::PutObjectVersionTagging
        | Action::DeleteObjectTagging
        | Action::DeleteObjectVersionTagging => on_item(Permission::SetItem),
        Action::GetObjectAcl | Action::GetObjectVersionAcl => on_item(Permission::GetPermissions),
        Action::PutObjectAcl | Action::PutObjectVersionAcl => on_item(Permission::SetPermissions),
        _ => Match::No,
    }
}

impl Groups<'_> {
    /// Whether the caller is in a group that has a permission on a path.
    fn let_in(self, caller: &Caller, permission: Permission, path: &str, owned: Owned<'_>) -> Match {
        if self.unsaid == Unsaid::Anyone && self.service.said_of(path, permission).is_none() {
            return Match::Yes;
        }
        let mut answer = Match::No;
        for group in self.service.groups(path, permission) {
            let found = match group {
                EVERYONE => Match::Yes,
                AUTHENTICATED => Match::from(is_known(caller)),
                NOBODY => Match::No,
                OWNER => owns(caller, owned),
                group => Match::from(is_in(caller, group)),
            };
            match found {
                Match::Yes => return Match::Yes,
                Match::Open => answer = Match::Open,
                Match::No => {}
            }
        }
        answer
    }
}

fn owns(caller: &Caller, owned: Owned<'_>) -> Match {
    let Some(name) = caller.owner().filter(|_| is_known(caller)) else { return Match::No };
    match owned {
        Owned::Unknown => Match::Open,
        Owned::Nobody => Match::No,
        Owned::By(owner) => Match::from(owner == name),
    }
}

/// Whether the caller has shown who it is.
fn is_known(caller: &Caller) -> bool {
    match &caller.who {
        Who::Root | Who::User(_) => true,
        Who::Token(token) => token.is_service() || token.subject().is_some(),
        Who::Anonymous => false,
    }
}

/// Whether the caller is in a group of somebody's making: those of the system are in nobody's hands.
fn is_in(caller: &Caller, group: &str) -> bool {
    if group.starts_with("sys:") {
        return false;
    }
    match &caller.who {
        Who::User(user) => user.groups.iter().any(|own| own == group),
        Who::Token(token) => {
            let named = token.claims().get(GROUPS_CLAIM).and_then(serde_json::Value::as_array);
            named.is_some_and(|groups| groups.iter().any(|own| own.as_str() == Some(group)))
        }
        Who::Root | Who::Anonymous => false,
    }
}

fn is_admin(user: &User) -> bool {
    user.policy == "admin"
}
