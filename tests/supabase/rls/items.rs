//! What roles do with the items of a FileStore: whole directories, what becomes whose, and what was said of them besides.

use std::collections::BTreeSet;

use serde_json::json;

use super::filestore::{listed, said_by_filestore};
use super::{Ground, Said};
use crate::supabase::{As, U1, U2, body, now, token};

/// The statement of a move.
const MOVE: &str = "UPDATE storage.objects SET name = $3, version = '1', owner_id = $4::text, owner = $4::text::uuid \
    WHERE bucket_id = $1 AND name = $2 RETURNING name";

/// A directory of which a role may not touch everything, seen or not, is neither removed nor moved by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_goes_whole_or_not_at_all() {
    let Some(ground) = Ground::of_filestore("a_directory_goes_whole").await else { return };
    let policies = "
        CREATE POLICY hers ON storage.objects FOR ALL TO authenticated
            USING (bucket_id = 'dark' AND name LIKE 'd%' AND name NOT LIKE '%hidden')
            WITH CHECK (bucket_id = 'dark' AND name NOT LIKE 'closed%');";
    ground.superuser(policies).await;
    let (one, root) = (As::User(U1), ground.site.server.root());
    let keys = async || ground.seen(As::Service, "dark").await;
    for name in ["d/a", "d/e/b", "d/e/hidden"] {
        ground.site.upload(As::Service, &format!("dark/{name}"), name).await.expect(200);
    }
    let before = keys().await;
    for (function, asked) in [("removeItem", json!({"recursive": true})), ("move", json!({"newpath": "/d2"}))] {
        assert_eq!(ground.said(one, "dark", "d", function, asked).await, Said::No, "{function}");
        assert_eq!(keys().await, before, "{function}");
        let allowed = body(&ground.function(one, "dark", "d", "allowed", json!({"permission": function})).await);
        assert_eq!(allowed["result"], false);
        assert_eq!(ground.function(one, "dark", "d", "removeItem", json!({})).await.status, 422);
    }
    root.delete("dark", "d/e/hidden").await.expect(204);
    assert_eq!(ground.said(one, "dark", "d", "move", json!({"newpath": "/closed"})).await, Said::No);
    assert_eq!(ground.said(one, "dark", "d", "move", json!({"newpath": "/d2"})).await, Said::Yes);
    assert_eq!(
        listed(&ground.function(one, "dark", "d2", "list", json!({})).await).0,
        BTreeSet::from(["a".into(), "e/".into()])
    );
    assert_eq!(root.get("dark", "d2/e/b").await.expect(200).text(), "d/e/b");
    // The policies were asked about rows of the caller's own, and so they are.
    let owners = "SELECT DISTINCT owner_id FROM storage.objects WHERE bucket_id = 'dark' AND name LIKE 'd2/%'";
    assert_eq!(ground.names(As::Service, owners, &[]).await, [U1]);
    assert_eq!(body(&ground.function(one, "dark", "d2/a", "getOwner", json!({})).await)["owner"], format!("sub:{U1}"));
    let removed = ground.function(one, "dark", "d2", "removeItem", json!({"recursive": true})).await.expect(200);
    assert_eq!(body(&removed)["result"], 4);
    assert!(!keys().await.iter().any(|key| key.starts_with("d2")));
}

/// What a role moves is asked as the row that it becomes: its own, under the new name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_and_moved_is_the_row_that_was_asked_about() {
    let Some(ground) = Ground::of_filestore("what_is_written_and_moved").await else { return };
    // Anybody may take an item over, and only for itself.
    let policies = "
        CREATE POLICY taken ON storage.objects FOR ALL TO authenticated USING (bucket_id = 'dark')
            WITH CHECK (bucket_id = 'dark' AND owner_id = (SELECT auth.uid()::text));";
    ground.superuser(policies).await;
    let owner = async |key: &str| {
        let text = "SELECT coalesce(owner_id, '-') FROM storage.objects WHERE bucket_id = 'dark' AND name = $1";
        ground.names(As::Service, text, &[&key]).await.concat()
    };
    let key = format!("{U1}/a");
    assert_eq!(owner(&key).await, U1);
    for (function, named) in [("write", "contents"), ("setItem", "header")] {
        for (who, sub) in [(As::User(U2), U2), (As::User(U1), U1)] {
            assert_eq!(ground.said(who, "dark", &key, function, json!({ named: sub })).await, Said::Yes);
            assert_eq!(owner(&key).await, sub, "{function}");
        }
    }
    let wanted = ground.ask(As::User(U2), MOVE, &[&"dark", &key, &"to", &Some(U2)]).await.map(|rows| rows.len());
    assert_eq!(wanted.ok(), Some(1));
    ground
        .superuser(
            "CREATE POLICY hidden ON storage.objects AS RESTRICTIVE FOR SELECT TO authenticated USING (name <> 'to/')",
        )
        .await;
    ground.site.server.root().put("dark", "to/", "").await.expect(200);
    assert_eq!(ground.said(As::User(U2), "dark", &key, "move", json!({"newpath": "/to"})).await, Said::Yes);
    assert_eq!(owner("to").await, U2);
    // What users write of items stays whose it is, as ever.
    let ann = ground.site.server.user("boss", "admin");
    ann.put("dark", "to", "by an administrator").await.expect(200);
    assert_eq!(owner("to").await, U2);
}

/// What was said of an item keeps roles out that are in none of the groups, on every front, and lets nobody in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_keeps_out_and_never_lets_in() {
    let Some(ground) = Ground::of_filestore("what_was_said_keeps_out").await else { return };
    let key = format!("{U1}/a");
    let with = |sub: &str, groups: &[&str]| {
        let claims = json!({"role": "authenticated", "sub": sub, "groups": groups, "exp": now() + 600});
        token(&claims, crate::supabase::SECRET)
    };
    let read = async |text: &str| {
        let name = key.replace('/', "%2F");
        let mut told = Vec::new();
        for target in
            [format!("/own/{key}"), format!("/object/own/{key}"), format!("/api/containers/own/download/{name}")]
        {
            let call = ground.site.call(As::Nobody, "GET", "/").spoil(move |signed| signed.target = target);
            told.push(call.header("authorization", &format!("Bearer {text}")).send().await.status == 200);
        }
        told
    };
    let all = |answer: bool| vec![answer; 3];
    let say = async |path: &str, groups: &[&str], action: &str| {
        let said = json!({"permissions": {"permission": "read", "groups": groups, "action": action}});
        ground.function(As::Service, "own", path, "setPermissions", said).await.expect(200);
    };
    let (hers, member, other) = (with(U1, &[]), with(U1, &["editors"]), with(U2, &["editors"]));
    assert_eq!(read(&hers).await, all(true));
    assert_eq!(ground.said(As::User(U1), "own", &key, "write", json!({"contents": "hers"})).await, Said::Yes);
    say(U1, &["editors"], "replace").await;
    assert_eq!((read(&hers).await, read(&member).await, read(&other).await), (all(false), all(true), all(false)));
    let s3 = ground.s3(As::User(U1));
    s3.get("own", &key).await.refused(403, "AccessDenied");
    // What is said opens nothing that policies close: not to everyone, nor to the group of administrators.
    say(U1, &["sys:everyone"], "replace").await;
    assert_eq!(
        (read(&hers).await, read(&other).await, read(&with(U2, &["admins"])).await),
        (all(true), all(false), all(false))
    );
    say(U1, &["sys:noone"], "replace").await;
    assert_eq!((read(&hers).await, read(&with(U1, &["admins"])).await), (all(false), all(true)));
    // Its owner is who wrote it.
    say(U1, &["sys:owner"], "replace").await;
    assert_eq!(read(&hers).await, all(true));
    ground.site.server.root().delete("own", &key).await.expect(204);
    ground.site.upload(As::Service, &format!("own/{key}"), "seed").await.expect(200);
    say(U1, &["sys:owner"], "replace").await;
    assert_eq!(read(&hers).await, all(false));
    // Nor may anyone of a role say anything, whatever groups it claims.
    let said = json!({"permissions": {"permission": "read", "groups": ["sys:everyone"]}}).to_string();
    for (function, text) in
        [("setPermissions", said.as_str()), ("setOwner", r#"{"owner":"ann"}"#), ("getPermissions", "{}")]
    {
        let call = ground.site.call(As::Nobody, "POST", &format!("/own/api/{key}/@{function}"));
        let call = call.header("authorization", &format!("Bearer {}", with(U1, &["admins"])));
        call.header("content-type", "application/json").body(text).send().await.expect(403);
    }
    // A denial by the bucket's policy is one.
    let deny = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": {"AWS": "role:authenticated"},
        "Action": "s3:GetObject", "Resource": "arn:aws:s3:::own/*"}]});
    say(U1, &["sys:everyone"], "replace").await;
    assert_eq!(read(&hers).await, all(true));
    ground.site.server.root().call("PUT", "/own").query("policy", "").body(deny.to_string()).send().await.expect(204);
    assert_eq!(read(&hers).await, all(false));
}

/// Into a directory of which a role sees nothing it puts what its policies let in, and learns nothing of what is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drop_box_takes_items_and_shows_none() {
    let Some(ground) = Ground::of_filestore("a_drop_box_takes_items").await else { return };
    for directory in ["", U1, "nowhere"] {
        let item = json!({"name": "dropped", "contents": "x"});
        assert_eq!(ground.said(As::Anon, "drop", directory, "newItem", item.clone()).await, Said::Yes, "{directory}");
        assert_eq!(ground.said(As::Anon, "drop", directory, "newItem", item).await, Said::Taken, "{directory}");
        let path = format!("{directory}/dropped");
        let path = path.trim_start_matches('/');
        for (function, asked) in [("read", json!({})), ("write", json!({"contents": "y"})), ("removeItem", json!({}))] {
            assert_eq!(ground.said(As::Anon, "drop", path, function, asked).await, Said::Hidden, "{function} {path}");
        }
    }
    assert_eq!(listed(&ground.function(As::Anon, "drop", "", "list", json!({})).await), (BTreeSet::new(), 0));
    // The mark of a directory that is hidden is in nobody's way, and nobody learns of it.
    for (function, path, asked) in [
        ("newItem", "", json!({"name": "secret", "contents": "x"})),
        ("newItem", "", json!({"name": "plain", "type": "d"})),
    ] {
        ground.site.server.root().put("drop", "secret/", "").await.expect(200);
        assert_eq!(ground.said(As::Anon, "drop", path, function, asked).await, Said::Yes);
    }
    // Who shows no token is no role: what is open to everyone by its service is, and what is private is not.
    let open = ground.site.plain(As::Nobody, "GET", "/drop/dropped").await;
    assert_eq!((said_by_filestore(&open), open.text().as_str()), (Said::Yes, "x"));
    assert_eq!(said_by_filestore(&ground.site.plain(As::Nobody, "GET", "/own/plain").await), Said::No);
}

/// A directory whose last item a role removes stays for it, if it may make the mark; its policies know what it calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_stays_where_the_role_may_mark_it() {
    let Some(ground) = Ground::of_filestore("a_directory_stays").await else { return };
    let one = As::User(U1);
    assert_eq!(ground.said(one, "own", &format!("{U1}/a"), "removeItem", json!({})).await, Said::Yes);
    assert_eq!(listed(&ground.function(one, "own", "", "list", json!({})).await).0, BTreeSet::from([format!("{U1}/")]));
    let owner = "SELECT owner_id FROM storage.objects WHERE bucket_id = 'own' AND name = $1";
    assert_eq!(ground.names(As::Service, owner, &[&format!("{U1}/")]).await, [U1]);
    // In this one it may remove what is its own, and make nothing without a text.
    assert_eq!(ground.said(one, "team", &format!("{U1}/a"), "removeItem", json!({})).await, Said::Yes);
    assert!(!ground.seen(As::Service, "team").await.iter().any(|key| key.starts_with(U1)));
    let policy = "CREATE POLICY told ON storage.objects FOR SELECT TO anon \
        USING (bucket_id = 'dark' AND storage.operation() = 'filestore.read')";
    ground.superuser(policy).await;
    assert_eq!(ground.said(As::Anon, "dark", "plain", "read", json!({})).await, Said::Yes);
    assert_eq!(ground.said(As::Anon, "dark", "plain", "getItem", json!({})).await, Said::Hidden);
}

/// A policy that fails is a failure without a word of it, and shows nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_fails_shows_nothing() {
    let Some(ground) = Ground::of_filestore("a_policy_that_fails_shows_nothing").await else { return };
    let claims = json!({"role": "authenticated", "sub": "no uuid", "exp": now() + 600});
    let text = format!("Bearer {}", token(&claims, crate::supabase::SECRET));
    for (method, target) in [
        ("GET", "/own/plain"),
        ("GET", "/own/api/@list"),
        ("GET", "/own/api/plain/@getItem"),
        ("POST", "/own/api/plain/@removeItem"),
        ("POST", "/own/api/@newItem?name=new"),
        ("GET", "/own/api/plain/@allowed"),
        ("GET", "/api/containers/own/files"),
        ("GET", "/api/containers/own/download/plain"),
        ("DELETE", "/api/containers/own/files/plain"),
    ] {
        let call = ground.site.call(As::Nobody, method, "/").spoil(move |signed| signed.target = target.to_owned());
        let answer = call.header("authorization", &text).send().await.expect(500);
        let told = answer.text();
        assert!(told.contains("service_failure") || told.contains("Internal Server Error"), "{target} {told}");
        assert!(!told.contains("uuid") && !told.contains("policy") && !told.contains("seed"), "{target} {told}");
    }
    assert_eq!(ground.seen(As::Service, "own").await.len(), 3);
}
