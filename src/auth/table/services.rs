//! Decisions in a bucket that is a FileStore: its groups, on every front.
//!
//! **Invariant:** nothing that opens other buckets (their owner, a list, a policy, `public`) opens what groups close
//! here, and what a policy denies is denied to members too.

use super::*;
use crate::auth::decide::decide_said;
use crate::auth::service::Owned;
use crate::model::caller::Token;
use crate::model::item::ItemPath;
use crate::model::service::{ADMINS, GrantChange, Permission as Function, Service};

/// A user with groups behind a colon: `ann:editors`.
fn member(who: &str) -> Caller {
    let (name, groups) = who.split_once(':').unwrap_or((who, ""));
    let caller = caller(name);
    let Who::User(user) = &caller.who else { return caller };
    let groups = groups.split(',').filter(|group| !group.is_empty()).map(str::to_owned).collect();
    Caller::from(Who::User(Arc::new(User { groups, ..User::clone(user) })))
}

/// `path permission group,group` replaces what is said.
fn service(said: &str) -> BucketConfig {
    let mut service = Service { bound: true, admin_group: ADMINS.into(), ..Service::default() };
    for line in said.split(';').map(str::trim).filter(|line| !line.is_empty()) {
        let fields: Vec<&str> = line.split(' ').collect();
        let groups = fields[2].split(',').map(str::to_owned).collect();
        let permission = Function::parse(fields[1]).expect("a permission");
        let grant = crate::model::service::Grant { permission, groups, change: GrantChange::Replace };
        service.grant(fields[0].trim_matches('/'), &[grant]);
    }
    BucketConfig { service: Some(service), ..BucketConfig::default() }
}

#[test]
fn groups_decide_for_everyone_on_every_front() {
    // Who | what was said | action | key | whose it is (? not looked up, - nothing is there, ^x in a directory of x's)
    let table = "
        anon            |                          | GetObject        | d/a | bob | +
        anon            |                          | PutObject        | d/a | -   | -
        bob             |                          | PutObject        | d/a | -   | +
        bob             |                          | PutObject        | d/a | bob | +
        bob             |                          | PutObject        | d/a | ann | -
        bob             |                          | PutObject        | d/a | ?   | ?
        bob             |                          | DeleteObject     | d/a | ann | -
        bob/readonly    |                          | DeleteObject     | d/a | bob | +
        root            | /d read sys:noone        | GetObject        | d/a | ann | +
        eve/admin       | /d read sys:noone        | GetObject        | d/a | ann | +
        ann:admins      | /d read sys:noone        | GetObject        | d/a | bob | +
        ann             | /d read sys:noone        | GetObject        | d/a | ann | -
        ann:editors     | /d read editors          | GetObject        | d/a | bob | +
        ann:editors     | /d read editors          | GetObjectTagging | d/a | bob | +
        bob:viewers     | /d read editors          | GetObject        | d/a | bob | -
        bob:viewers     | /d read editors          | GetObject        | da  | ann | +
        ann:sys:owner   | /d read sys:owner        | GetObject        | d/a | bob | -
        ann             | /d newItem sys:owner     | PutObject        | d/a | ^ann | +
        bob             | /d newItem sys:owner     | PutObject        | d/a | ^ann | -
        anon            | /d newItem sys:owner     | PutObject        | d/a | -   | -
        bob             |                          | PutObjectTagging | d/a | ann | -
        bob             |                          | GetObjectAcl     | d/a | bob | -
        bob             |                          | PutObjectAcl     | d/a | bob | -
        bob             |                          | PutObjectRetention | d/a | bob | -
    ";
    for row in rows(table) {
        let [who, said, named, at, owner, wanted] = row.as_slice() else { panic!("{row:?}") };
        let bucket = bucket("root", service(said));
        let (rules, key, object) = (Rules::of(&bucket), key(at), object(owner, None, vec![]));
        let row = match *owner {
            "?" => Row::Unknown,
            "-" => Row::Missing,
            owner => owner.strip_prefix('^').map_or(Row::Is(&object), Row::Under),
        };
        let verdict = decide(&member(who), action(named), Target::Object(&bucket, &rules, &key, row));
        assert_eq!(sign(verdict), *wanted, "{who} {said} {named} {at} {owner}");
    }
}

/// A role of a token, with a subject behind a slash and groups behind a colon: `anon`, `authenticated/ann:editors`.
fn role(who: &str) -> Caller {
    let (who, groups) = who.split_once(':').unwrap_or((who, ""));
    let (role, subject) = who.split_once('/').unwrap_or((who, ""));
    let groups: Vec<&str> = groups.split(',').filter(|group| !group.is_empty()).collect();
    let claims = serde_json::json!({"role": role, "sub": subject, "groups": groups});
    let claims = claims.as_object().cloned().unwrap_or_default();
    Caller::from(Who::Token(Arc::new(Token::new(role, claims))))
}

#[test]
fn roles_are_kept_out_by_what_was_said_and_by_nothing_that_is_usual() {
    // Who | what was said | action | key | whose it is
    let table = "
        anon                       |                          | GetObject        | d/a | sub:ann | +
        anon                       |                          | DeleteObject     | d/a | root    | +
        anon                       |                          | PutObject        | d/a | ?       | +
        authenticated/ann          | /d read editors          | GetObject        | d/a | sub:ann | -
        authenticated/ann          | /d read editors          | DeleteObject     | d/a | sub:bob | +
        authenticated/ann          | /d read editors          | GetObject        | e/a | sub:bob | +
        authenticated/ann:editors  | /d read editors          | GetObject        | d/a | sub:bob | +
        authenticated/ann:admins   | /d read sys:noone        | GetObject        | d/a | sub:bob | +
        authenticated/ann          | /d read sys:noone        | GetObject        | d/a | sub:ann | -
        authenticated/ann          | / read sys:authenticated | GetObject        | d/a | root    | +
        anon                       | / read sys:authenticated | GetObject        | d/a | root    | -
        authenticated/ann          | /d removeItem sys:owner  | DeleteObject     | d/a | sub:ann | +
        authenticated/ann          | /d removeItem sys:owner  | DeleteObject     | d/a | sub:bob | -
        authenticated/ann          | /d removeItem sys:owner  | DeleteObject     | d/a | ?       | ?
        authenticated/ann          | /d setItem editors       | PutObject        | d/a | root    | -
        authenticated/ann          | /d setItem editors       | PutObject        | d/a | -       | +
    ";
    for row in rows(table) {
        let [who, said, named, at, owner, wanted] = row.as_slice() else { panic!("{row:?}") };
        let bucket = bucket("root", service(said));
        let (rules, key, object) = (Rules::of(&bucket), key(at), object(owner, None, vec![]));
        let row = match *owner {
            "?" => Row::Unknown,
            "-" => Row::Missing,
            _ => Row::Is(&object),
        };
        let verdict = decide_said(&role(who), action(named), Target::Object(&bucket, &rules, &key, row));
        assert_eq!(sign(verdict), *wanted, "{who} {said} {named} {at} {owner}");
    }
    // A list is kept back whole where something below it is; in another bucket nothing was said.
    let governed = bucket("root", service("/d/e list editors"));
    let rules = Rules::of(&governed);
    let plain = bucket("root", BucketConfig::default());
    let list = |bucket: &Bucket, prefix: &str| {
        let mut context = RequestContext::default();
        context.values.insert("s3:prefix".into(), vec![prefix.into()]);
        sign(decide_said(&role("anon").in_context(context), Action::ListBucket, Target::Bucket(bucket, &rules)))
    };
    assert_eq!(
        [list(&governed, ""), list(&governed, "d/"), list(&governed, "f/"), list(&plain, "")],
        ["-", "-", "+", "+"]
    );
}

#[test]
fn what_stands_in_no_row_is_not_for_roles() {
    let bucket = bucket("root", service("/ getPermissions sys:everyone; / setOwner sys:everyone"));
    let (rules, path) = (Rules::of(&bucket), ItemPath::parse("d/a").expect("a path"));
    for function in Function::ALL.iter().copied() {
        let target = Target::Item(&bucket, &rules, &path, function, Owned::Nobody);
        let past = [Function::GetPermissions, Function::SetPermissions, Function::SetOwner].contains(&function);
        let wanted = if past { Verdict::Refused } else { Verdict::Catalog };
        assert_eq!(crate::auth::roles::decide(function.action(), target), wanted, "{function:?}");
    }
}

#[test]
fn nothing_else_opens_what_groups_close() {
    let mut bucket = bucket("bob", service("/ read admins; / list admins"));
    bucket.settings.public = true;
    let policy = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:*",
        "Resource": ["arn:aws:s3:::b", "arn:aws:s3:::b/*"]}]}"#;
    let config =
        BucketConfig { policy: Some(policy.into()), acl: acl("all:F", "bob", "bob"), ..(*bucket.config).clone() };
    bucket.config = Arc::new(config);
    let (rules, key, object) = (Rules::of(&bucket), key("k"), object("bob", acl("all:F", "bob", "bob"), vec![]));
    for named in ["ListBucket", "DeleteBucket", "PutBucketPolicy", "PutLifecycleConfiguration", "GetBucketAcl"] {
        let verdict = decide(&member("bob"), action(named), Target::Bucket(&bucket, &rules));
        assert_eq!(sign(verdict), "-", "{named}");
    }
    for named in ["GetObject", "GetObjectAcl"] {
        let target = Target::Object(&bucket, &rules, &key, Row::Is(&object));
        assert_eq!(sign(decide(&member("bob"), action(named), target)), "-", "{named}");
        assert_eq!(sign(decide(&Caller::ANONYMOUS, action(named), target)), "-", "{named}");
    }
    // What a policy denies is denied to a member, too.
    let denied = policy.replace("Allow", "Deny");
    bucket.config = Arc::new(BucketConfig { policy: Some(denied), ..service("") });
    let rules = Rules::of(&bucket);
    let target = Target::Object(&bucket, &rules, &key, Row::Is(&object));
    assert_eq!(sign(decide(&member("bob:admins"), action("GetObject"), target)), "-");
}

#[test]
fn functions_are_asked_for_by_their_own_names() {
    let bucket = bucket("root", service("/d write editors; /d setItem sys:noone; /d list editors"));
    let rules = Rules::of(&bucket);
    let path = ItemPath::parse("d/a").expect("a path");
    let ask = |who: &str, permission: Function, owned| {
        let target = Target::Item(&bucket, &rules, &path, permission, owned);
        sign(decide(&member(who), permission.action(), target))
    };
    assert_eq!(ask("ann:editors", Function::Write, Owned::Unknown), "+");
    assert_eq!(ask("ann:editors", Function::SetItem, Owned::By("ann")), "-");
    assert_eq!(ask("ann", Function::RemoveItem, Owned::Unknown), "?");
    assert_eq!(ask("ann", Function::RemoveItem, Owned::By("ann")), "+");
    assert_eq!(ask("anon", Function::RemoveItem, Owned::Unknown), "-");
    // A step of a function counts as that function.
    let (key, object) = (key("d/a"), object("bob", None, vec![]));
    let target = Target::Object(&bucket, &rules, &key, Row::Is(&object));
    let within = |permission| {
        let context = RequestContext { function: Some(permission), ..RequestContext::default() };
        member("ann:editors").in_context(context)
    };
    assert_eq!(sign(decide(&within(Function::Write), Action::PutObject, target)), "+");
    assert_eq!(sign(decide(&member("ann:editors"), Action::PutObject, target)), "-");
    // A listing shows what is below, so all of it must be open.
    let list = |prefix: &str| {
        let mut context = RequestContext::default();
        context.values.insert("s3:prefix".into(), vec![prefix.into()]);
        sign(decide(&member("ann").in_context(context), Action::ListBucket, Target::Bucket(&bucket, &rules)))
    };
    assert_eq!([list(""), list("d/"), list("d/x/"), list("e/"), list("da")], ["-", "-", "-", "+", "+"]);
}
