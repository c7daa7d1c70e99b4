//! The FileStore interface: every function of its route table × service × item × who asks. Each bucket is a FileStore, of
//! which some are open to everyone where nothing is said: to roles that opens nothing.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio_postgres::types::ToSql;

use super::{BUCKETS, Ground, Said, WHO, keys};
use crate::harness::{Answer, Options};
use crate::supabase::{As, U1, U2, body, now, token};

const ROUTES: &str = include_str!("../../../src/front/filestore/route.rs");

/// What the tests of this file ask of each function, and what is no function.
const ASKED: &[&str] = &[
    "getItem",
    "newItem",
    "newDirectory",
    "setItem",
    "setHeader",
    "removeItem",
    "read",
    "view",
    "write",
    "move",
    "allowed",
    "getPermissions",
    "setPermissions",
    "getOwner",
    "setOwner",
];
/// By itself, or about nothing.
const ASIDE: &[&str] = &["list", "ping"];
/// What `allowed` is asked about.
const PERMISSIONS: [&str; 12] = [
    "getItem",
    "newItem",
    "setItem",
    "removeItem",
    "read",
    "write",
    "move",
    "list",
    "getPermissions",
    "setPermissions",
    "getOwner",
    "setOwner",
];
/// The statement of a move.
const MOVE: &str = "UPDATE storage.objects SET name = $3, version = '1', owner_id = $4::text, owner = $4::text::uuid \
    WHERE bucket_id = $1 AND name = $2 RETURNING name";

#[test]
fn every_function_is_in_one_of_the_tables() {
    let table = ROUTES.split("functions! {\n").nth(1).and_then(|rest| rest.split("\n}").next()).expect("the table");
    let built: BTreeSet<&str> = table.lines().filter_map(|line| line.split('"').nth(1)).collect();
    let mut asked: BTreeSet<&str> = [ASKED, ASIDE].concat().into_iter().collect();
    for other in ["newDirectory", "setHeader", "view"] {
        asked.remove(other);
    }
    assert_eq!(built, asked, "a function is not asked about");
    assert_eq!(built.len(), 14);
}

/// What the interface said.
#[track_caller]
fn said_by_filestore(answer: &Answer) -> Said {
    match answer.status {
        200..=299 => Said::Yes,
        404 => Said::Hidden,
        403 => Said::No,
        409 => Said::Taken,
        _ => panic!("{answer:?} {}", answer.text()),
    }
}

fn yes(said: Said) -> bool {
    said == Said::Yes
}

impl Ground {
    pub(super) async fn of_filestore(test: &str) -> Option<Self> {
        let service = |bucket: &str| {
            let private = !["open", "drop"].contains(&bucket);
            format!("[[filestore.service]]\nname = \"{bucket}\"\nprivate = {private}\n")
        };
        let config: String = BUCKETS.iter().map(|bucket| service(bucket)).collect();
        let ground = Self::with(test, Options::default().config(&config)).await?;
        ground.site.server.run(&["user", "create", "ann"]);
        Some(ground)
    }

    /// A function of a service.
    async fn function(&self, who: As, bucket: &str, path: &str, function: &str, asked: Value) -> Answer {
        let slash = if path.is_empty() { "" } else { "/" };
        self.site.json(who, "POST", &format!("/{bucket}/api{slash}{path}/@{function}"), asked).await
    }

    async fn said(&self, who: As, bucket: &str, path: &str, function: &str, asked: Value) -> Said {
        said_by_filestore(&self.function(who, bucket, path, function, asked).await)
    }

    /// What is beyond policies: for the service what is there, for everyone else refused.
    async fn past_policies(&self, who: As, bucket: &str, key: &str) -> Said {
        if who == As::Service { self.read(who, bucket, key).await } else { Said::No }
    }

    /// To one that changes an object that it sees.
    async fn over(&self, who: As, bucket: &str, key: &str) -> Said {
        match self.read(who, bucket, key).await {
            Said::Yes => self.write(who, bucket, key, false).await,
            other => other,
        }
    }

    /// To one that removes an object that it sees.
    async fn gone(&self, who: As, bucket: &str, key: &str) -> Said {
        match self.read(who, bucket, key).await {
            Said::Yes => self.delete(who, bucket, key).await,
            other => other,
        }
    }

    async fn wanted_of_item(&self, function: &str, who: As, bucket: &str, key: &str) -> Said {
        match function {
            "getItem" | "read" | "view" | "getOwner" => self.read(who, bucket, key).await,
            "newItem" => self.write(who, bucket, key, true).await,
            "newDirectory" => self.mark(who, bucket, &format!("{key}-d/")).await,
            "setItem" | "setHeader" | "write" => self.over(who, bucket, key).await,
            "removeItem" => self.gone(who, bucket, key).await,
            "move" => self.rename(who, (bucket, key), (bucket, "moved")).await,
            "getPermissions" | "setPermissions" | "setOwner" => self.past_policies(who, bucket, key).await,
            other => panic!("{other}"),
        }
    }

    /// To one that makes the mark of a directory.
    async fn mark(&self, who: As, bucket: &str, key: &str) -> Said {
        let text = "INSERT INTO storage.objects (bucket_id, name, version, owner_id, owner, metadata) \
            VALUES ($1, $2, '1', $3::text, $3::text::uuid, '{\"mimetype\": \"application/x-directory\", \"contentLength\": 0}')";
        let values: [&(dyn ToSql + Sync); 3] = [&bucket, &key, &who.subject()];
        if self.ask(who, text, &values).await.is_ok() { Said::Yes } else { Said::No }
    }

    async fn told_of_item(&self, function: &str, who: As, bucket: &str, key: &str) -> Said {
        let (directory, name) = key.rsplit_once('/').unwrap_or(("", key));
        match function {
            "newItem" => {
                let item = json!({"name": name, "contents": "body", "mime": "text/plain"});
                self.said(who, bucket, directory, "newItem", item).await
            }
            "newDirectory" => {
                let item = json!({"name": format!("{name}-d"), "type": "d"});
                self.said(who, bucket, directory, "newItem", item).await
            }
            "setItem" => self.said(who, bucket, key, "setItem", json!({"contents": "body"})).await,
            "setHeader" => {
                let header = format!("h{}", now());
                self.said(who, bucket, key, "setItem", json!({"header": header, "cache": header})).await
            }
            "view" => said_by_filestore(&self.site.plain(who, "GET", &format!("/{bucket}/{key}")).await),
            "write" => self.said(who, bucket, key, "write", json!({"contents": "body"})).await,
            "move" => self.said(who, bucket, key, "move", json!({"newpath": "/moved"})).await,
            "setPermissions" => {
                // What is said by default of nobody's files, so that nothing changes.
                let said = json!({"permission": "getPermissions", "groups": ["admins"]});
                self.said(who, bucket, key, "setPermissions", json!({"permissions": said})).await
            }
            "setOwner" => self.said(who, bucket, key, "setOwner", json!({"owner": "ann"})).await,
            other => self.said(who, bucket, key, other, json!({})).await,
        }
    }

    /// Puts a service back to what it was, after a function on one of its items.
    async fn mend_item(&self, bucket: &str, key: &str) {
        let root = self.site.server.root();
        for gone in [format!("{key}-d/"), "moved".to_owned(), format!("{U1}/"), format!("{U2}/")] {
            root.delete(bucket, &gone).await.expect(204);
        }
        root.delete(bucket, key).await.expect(204);
        if key != keys()[3] {
            self.site.upload(As::Service, &format!("{bucket}/{key}"), "seed").await.expect(200);
            self.own_folders().await;
        }
    }

    /// What `allowed` says must be what each of the functions would.
    async fn allowed(&self, who: As, bucket: &str, key: &str) -> Vec<String> {
        let directory = key.rsplit_once('/').map_or("", |(directory, _)| directory);
        let told = body(&self.function(who, bucket, key, "allowed", json!({})).await.expect(200));
        let there = body(&self.function(who, bucket, directory, "allowed", json!({"permission": "newItem"})).await);
        let mut wrong = Vec::new();
        for name in PERMISSIONS {
            let (told, wanted) = match name {
                "newItem" => {
                    let new = [directory, "new-name"].join("/");
                    let wanted = self.mark_of(who, bucket, new.trim_start_matches('/')).await;
                    (&there[name], wanted)
                }
                // Of who may do everything groups say it, whether or not there is anything.
                _ if who == As::Service => (&told[name], Said::Yes),
                "getItem" | "read" | "list" | "getOwner" => (&told[name], self.read(who, bucket, key).await),
                "setItem" | "write" => (&told[name], self.over(who, bucket, key).await),
                "removeItem" => (&told[name], self.gone(who, bucket, key).await),
                "move" => (&told[name], self.touch(who, bucket, key).await),
                _ => (&told[name], Said::No),
            };
            if *told != json!(yes(wanted)) {
                wrong.push(format!("allowed {name} {bucket}/{key} {who:?}: the front {told}, the database {wanted:?}"));
            }
        }
        wrong
    }

    /// To one that makes an object of which no more than its name is known.
    async fn mark_of(&self, who: As, bucket: &str, key: &str) -> Said {
        let text = "INSERT INTO storage.objects (bucket_id, name, version, owner_id, owner, metadata) \
            VALUES ($1, $2, '1', $3::text, $3::text::uuid, '{\"mimetype\": null}')";
        let values: [&(dyn ToSql + Sync); 3] = [&bucket, &key, &who.subject()];
        if self.ask(who, text, &values).await.is_ok() { Said::Yes } else { Said::No }
    }

    /// The names in a directory that a role sees, with a slash behind those of directories.
    async fn level(&self, who: As, bucket: &str, directory: &str) -> BTreeSet<String> {
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let seen = self.seen(who, bucket).await;
        let below = seen.iter().filter_map(|key| key.strip_prefix(&prefix)).filter(|rest| !rest.is_empty());
        below.map(|rest| rest.split_inclusive('/').next().unwrap_or(rest).to_owned()).collect()
    }
}

/// The names of a list, with a slash behind those of directories, and how many there are in all.
fn listed(answer: &Answer) -> (BTreeSet<String>, u64) {
    let told = body(answer);
    let name = |item: &Value| {
        format!("{}{}", item["name"].as_str().expect("a name"), if item["type"] == "d" { "/" } else { "" })
    };
    let items = told["items"].as_array().expect("items");
    (items.iter().map(name).collect(), told["total"].as_u64().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_are_what_the_database_says_they_are() {
    let Some(ground) = Ground::of_filestore("items_by_filestore").await else { return };
    let (mut cells, mut wrong, mut seen) = (0, Vec::new(), BTreeSet::new());
    for function in ASKED.iter().copied() {
        for bucket in BUCKETS {
            for key in &keys() {
                for who in WHO {
                    if function == "allowed" {
                        cells += PERMISSIONS.len();
                        wrong.extend(ground.allowed(who, bucket, key).await);
                        continue;
                    }
                    let wanted = ground.wanted_of_item(function, who, bucket, key).await;
                    let told = ground.told_of_item(function, who, bucket, key).await;
                    cells += 1;
                    seen.insert(format!("{wanted:?}"));
                    if told != wanted {
                        wrong.push(format!(
                            "{function} {bucket}/{key} {who:?}: the front {told:?}, the database {wanted:?}"
                        ));
                    }
                    let reads = ["getItem", "read", "view", "getOwner", "getPermissions"].contains(&function);
                    if told == Said::Yes && !reads {
                        ground.mend_item(bucket, key).await;
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {cells} cells:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(seen.len(), 4, "every answer was wanted of some cell");
    crate::harness::report::report(&format!("{cells} cells of the FileStore interface equal the database"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_what_the_database_says_they_are() {
    let Some(ground) = Ground::of_filestore("lists_by_filestore").await else { return };
    for bucket in BUCKETS {
        ground.site.upload(As::Service, &format!("{bucket}/{U1}/deep/er"), "seed").await.expect(200);
    }
    let mut cells = 0;
    for who in WHO {
        for bucket in BUCKETS {
            ground.function(who, bucket, "", "ping", json!({})).await.expect(200);
            for directory in ["", U1, U2, "plain", "none"] {
                let wanted = ground.level(who, bucket, directory).await;
                let as_file = ground.read(who, bucket, directory).await;
                for asked in [json!({"size": 1000}), json!({"size": 1000, "sort": "mtime", "order": ">"})] {
                    cells += 1;
                    let answer = ground.function(who, bucket, directory, "list", asked).await;
                    match answer.status {
                        422 => assert!(yes(as_file), "{bucket}/{directory} {who:?}"),
                        404 => assert!(!yes(as_file) && wanted.is_empty() && !directory.is_empty(), "{who:?}"),
                        _ => {
                            let told = listed(&answer.expect(200));
                            assert_eq!(told, (wanted.clone(), wanted.len() as u64), "{bucket}/{directory} {who:?}");
                            assert!(directory.is_empty() || !wanted.is_empty());
                        }
                    }
                }
                // In batches it is the same.
                let asked = |start: usize| json!({"size": 1, "start": start});
                let mut batched = BTreeSet::new();
                for start in 1..=wanted.len() {
                    let answer = ground.function(who, bucket, directory, "list", asked(start)).await.expect(200);
                    batched.extend(listed(&answer).0);
                }
                assert_eq!(batched, wanted);
                let told = ground.said(who, bucket, directory, "getItem", json!({})).await;
                let there = directory.is_empty() || yes(as_file) || !wanted.is_empty();
                assert_eq!(told, if there { Said::Yes } else { Said::Hidden }, "{bucket}/{directory} {who:?}");
            }
        }
    }
    crate::harness::report::report(&format!("{cells} lists of the FileStore interface equal the database"));
}

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

/// In a bucket that is a FileStore, of which nothing was said, roles are told the same on the other fronts as in any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_fronts_say_in_a_filestore_what_the_database_says() {
    let Some(ground) = Ground::of_filestore("the_other_fronts_say_in_a_filestore").await else { return };
    let clients = WHO.map(|who| (who, ground.s3(who)));
    let (mut cells, mut wrong) = (0, Vec::new());
    let asked = ["Get", "Upload", "Update", "Delete"].map(|op| ("Supabase", op)).into_iter();
    let asked = asked.chain(["GetObject", "PutObject", "DeleteObject"].map(|op| ("S3", op)));
    for (front, op) in asked.chain(["Download", "Remove"].map(|op| ("LoopBack", op))) {
        for bucket in BUCKETS {
            for key in &keys() {
                for (who, client) in &clients {
                    let method = if op == "Remove" { "DELETE" } else { "GET" };
                    let (wanted, told) = match front {
                        "Supabase" => {
                            let wanted = ground.wanted(op, *who, bucket, key).await;
                            (wanted, ground.told(op, *who, bucket, key).await)
                        }
                        "S3" => {
                            let wanted = ground.wanted_by_s3(op, *who, bucket, key).await;
                            (wanted, ground.told_by_s3(op, client, bucket, key).await)
                        }
                        _ => {
                            let wanted = ground.wanted_of_file((op, method), *who, bucket, key).await;
                            (wanted, ground.told_of_file((op, method), *who, true, bucket, key).await)
                        }
                    };
                    cells += 1;
                    if told != wanted {
                        wrong.push(format!("{front} {op} {bucket}/{key} {who:?}: {told:?}, the database {wanted:?}"));
                    }
                    if told == Said::Yes && !["Get", "GetObject", "Download"].contains(&op) {
                        ground.mend(bucket, key).await;
                    }
                }
            }
        }
        for (who, client) in &clients {
            for bucket in BUCKETS {
                assert_eq!(client.keys_of(bucket, "").await, ground.seen(*who, bucket).await, "{bucket} {who:?}");
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {cells} cells:\n{}", wrong.len(), wrong.join("\n"));
    crate::harness::report::report(&format!("{cells} cells of other fronts in FileStores equal the database"));
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
