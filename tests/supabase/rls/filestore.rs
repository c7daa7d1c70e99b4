//! The FileStore interface: every function of its route table × service × item × who asks. Each bucket is a FileStore, of
//! which some are open to everyone where nothing is said: to roles that opens nothing.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio_postgres::types::ToSql;

use super::{BUCKETS, Ground, Said, WHO, keys};
use crate::harness::{Answer, Options};
use crate::supabase::{As, U1, U2, body, now};

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
pub(super) fn said_by_filestore(answer: &Answer) -> Said {
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
    pub(super) async fn function(&self, who: As, bucket: &str, path: &str, function: &str, asked: Value) -> Answer {
        let slash = if path.is_empty() { "" } else { "/" };
        self.site.json(who, "POST", &format!("/{bucket}/api{slash}{path}/@{function}"), asked).await
    }

    pub(super) async fn said(&self, who: As, bucket: &str, path: &str, function: &str, asked: Value) -> Said {
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
pub(super) fn listed(answer: &Answer) -> (BTreeSet<String>, u64) {
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
