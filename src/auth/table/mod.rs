//! The table of decisions: each row says who asks for what, under which rules, and what the answer is.
//!
//! Rows are lines of columns separated by `|`; the answer is `+` (allowed), `-` (refused) or `?` (depends on the object).
//!
//! **Invariant:** a row with a column too many or too few, or with an action that there is not, fails its test; only
//! lines of `#` are passed over. Nothing here decides: what is asked is what the store asks.

use std::net::IpAddr;
use std::sync::Arc;

use super::decide::{Row, Rules, Target, Verdict, decide};
use crate::model::acl::{Acl, Canned, Grant, Grantee, Permission};
use crate::model::action::Action;
use crate::model::bucket::{Bucket, BucketConfig, BucketSettings, Ownership, PublicAccessBlock};
use crate::model::caller::{Caller, User, Who};
use crate::model::context::RequestContext;
use crate::model::id::{BucketId, VersionId};
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::{Attached, Content, Object};
use crate::model::place::{Placed, Stamp};
use crate::model::tag::{OBJECT_TAGS_MAX, Tag, Tags};
use crate::model::time::Timestamp;

mod conditions;
mod documents;
mod lists;
mod services;
mod statements;

/// The rows of a table, their columns without the space around them.
fn rows(table: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = table.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split('|').map(str::trim).collect())
}

/// `root`, `anon`, or a user with its policy: `alice`, who has `readwrite`, or `carol/readonly`.
fn caller(who: &str) -> Caller {
    let (name, policy) = who.split_once('/').unwrap_or((who, "readwrite"));
    user(name, policy)
}

fn user(name: &str, policy: &str) -> Caller {
    match name {
        "root" => Caller::ROOT,
        "anon" => Caller::ANONYMOUS,
        name => Caller::from(Who::User(Arc::new(User {
            name: name.into(),
            display_name: name.into(),
            email: None,
            groups: vec![],
            policy: policy.into(),
        }))),
    }
}

fn action(name: &str) -> Action {
    let name = format!("s3:{name}").replace("s3:longshore:", "longshore:");
    *Action::ALL.iter().find(|action| action.name() == name).expect(&name)
}

fn bucket(owner: &str, config: BucketConfig) -> Bucket {
    Bucket {
        id: BucketId(1),
        name: BucketName::new("b").expect("legal"),
        provider: "p".into(),
        container: BucketName::new("b").expect("legal"),
        owner: owner.into(),
        created: Timestamp(0),
        settings: BucketSettings::default(),
        config: Arc::new(config),
        revision: 0,
        indexed: None,
    }
}

fn object(owner: &str, acl: Option<Acl>, tags: Vec<Tag>) -> Object {
    Object {
        key: key("k"),
        version: VersionId::fresh(),
        counter: 1,
        placed: Placed::Managed,
        stamp: Stamp::new("s"),
        size: 0,
        modified: Timestamp(0),
        etag: String::new(),
        checksum: None,
        crc64nvme: None,
        content: Content::default(),
        parts: vec![],
        owner: owner.into(),
        null: true,
        marker: false,
        revision: 0,
        attached: Attached { acl, tags: Tags::new(tags, OBJECT_TAGS_MAX).expect("legal"), ..Attached::default() },
    }
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).expect("legal")
}

/// `-`: none; a canned one of `owner`; or grants such as `bob:R all:W auth:F`, without the owner's.
fn acl(text: &str, owner: &str, bucket_owner: &str) -> Option<Acl> {
    if text == "-" {
        return None;
    }
    if let Some(canned) = Canned::parse(text) {
        return Some(canned.grants(owner, bucket_owner));
    }
    let grant = |text: &str| {
        let (grantee, permission) = text.split_once(':').expect("a grant");
        let grantee = match grantee {
            "all" => Grantee::AllUsers,
            "auth" => Grantee::AuthenticatedUsers,
            "logs" => Grantee::LogDelivery,
            name => Grantee::User(name.into()),
        };
        let permission = match permission {
            "R" => Permission::Read,
            "W" => Permission::Write,
            "RA" => Permission::ReadAcp,
            "WA" => Permission::WriteAcp,
            _ => Permission::FullControl,
        };
        Grant { grantee, permission }
    };
    Some(Acl(text.split_whitespace().filter(|text| *text != "none").map(grant).collect()))
}

fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allowed => "+",
        Verdict::Refused => "-",
        Verdict::NeedsObject => "?",
        Verdict::Catalog => "=",
    }
}

/// The circumstances with the tags that the request brings, and the tags of the object:
/// `ip=10.0.0.1; secure; at=0; s3:prefix=a; new:a=1; tag:security=public`.
fn context(text: &str) -> (RequestContext, Vec<Tag>) {
    let (mut context, mut tags) = (RequestContext::default(), vec![]);
    for item in text.split(';').map(str::trim).filter(|item| !item.is_empty()) {
        match item.split_once('=').unwrap_or((item, "")) {
            ("secure", _) => context.secure = true,
            ("ip", ip) => context.source_ip = Some(ip.parse::<IpAddr>().expect("an address")),
            ("at", at) => context.at = Some(Timestamp(at.parse::<i64>().expect("seconds") * 1_000_000_000)),
            (name, value) => match (name.strip_prefix("tag:"), name.strip_prefix("new:")) {
                (Some(name), _) => tags.push(Tag { key: name.into(), value: value.into() }),
                (_, Some(name)) => context.tags.push(Tag { key: name.into(), value: value.into() }),
                (None, None) => context.values.entry(name.into()).or_default().push(value.into()),
            },
        }
    }
    (context, tags)
}
