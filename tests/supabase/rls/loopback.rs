//! The LoopBack interface: every method of its route table × container × file × who asks, in LoopBack's own dialect and in
//! that of programs which know Longshore.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{BUCKETS, Ground, Said, WHO, keys};
use crate::harness::{Answer, Call, Options};
use crate::supabase::{As, U1, U2, body};

const ROUTES: &str = include_str!("../../../src/front/loopback/route.rs");

/// What the tests of this file ask of each method.
const OF_FILES: &[(&str, &str)] = &[
    ("File", "GET"),
    ("File", "HEAD"),
    ("Download", "GET"),
    ("Download", "HEAD"),
    ("Download", "RANGE"),
    ("Download", "IF-RANGE"),
    ("Upload", "POST"),
    ("Upload", "NEW"),
    ("Remove", "DELETE"),
];
const OF_CONTAINERS: &[&str] = &["Containers", "Create", "Container", "Destroy", "Files"];
const DROP: &str = "DELETE FROM storage.buckets WHERE id = $1 RETURNING id";
/// A mount that says why it failed, as LoopBack has one status for most of it.
const CONFIG: &str = r#"
[[loopback.mount]]
path = "/api/containers"
access = "token"
debug = true
[[loopback.mount]]
path = "/unique/containers"
access = "token"
name_conflict = "makeUnique"
"#;

#[test]
fn every_method_is_in_one_of_the_tables() {
    let table = ROUTES.split("enum Op {").nth(1).and_then(|rest| rest.split('}').next()).expect("the table");
    let built: BTreeSet<&str> = table.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let asked = OF_FILES.iter().map(|(op, _)| *op).chain(OF_CONTAINERS.iter().copied());
    assert_eq!(built, asked.collect(), "a method is not asked about");
    assert_eq!(built.len(), 9);
}

/// What the interface said.
#[track_caller]
fn said_by_loopback(answer: &Answer) -> Said {
    match answer.status {
        200..=299 => Said::Yes,
        404 => Said::Hidden,
        403 => Said::No,
        412 => Said::Taken,
        500 => match body(answer)["error"]["code"].as_str() {
            Some("ENOENT") => Said::Hidden,
            Some("EEXIST" | "ENOTEMPTY") => Said::Taken,
            _ => panic!("{answer:?} {}", answer.text()),
        },
        _ => panic!("{answer:?} {}", answer.text()),
    }
}

fn names(answer: &Answer) -> Vec<String> {
    let rows = body(answer);
    let name = |row: &Value| row["name"].as_str().expect("a name").to_owned();
    rows.as_array().expect("a list").iter().map(name).collect()
}

/// A form of files: each a name, a type and its bytes.
fn form(files: &[(&str, &str, &str)]) -> String {
    let part = |(name, kind, bytes): &(&str, &str, &str)| {
        let head = format!("Content-Disposition: form-data; name=\"f\"; filename=\"{name}\"\r\nContent-Type: {kind}");
        format!("--x\r\n{head}\r\n\r\n{bytes}\r\n")
    };
    format!("{}--x--\r\n", files.iter().map(part).collect::<String>())
}

impl Ground {
    async fn of_loopback(test: &str) -> Option<Self> {
        Self::with(test, Options::default().config(CONFIG)).await
    }

    /// A request to what is below the mount; `fuller`: of a program that knows Longshore.
    fn loopback(&self, who: As, fuller: bool, method: &str, below: &str) -> Call<'_> {
        let target = format!("/api/containers{below}");
        let call = self.site.call(who, method, "/").spoil(move |signed| signed.target = target);
        if fuller { call.header("x-longshore", "1") } else { call }
    }

    fn form(&self, who: As, fuller: bool, bucket: &str, files: &[(&str, &str, &str)]) -> Call<'_> {
        let call = self.loopback(who, fuller, "POST", &format!("/{bucket}/upload"));
        call.header("content-type", "multipart/form-data; boundary=x").body(form(files))
    }

    async fn made(&self, who: As, fuller: bool, bucket: &str) -> Answer {
        let call = self.loopback(who, fuller, "POST", "").header("content-type", "application/json");
        call.body(json!({"name": bucket}).to_string()).send().await
    }

    async fn listed(&self, who: As, fuller: bool, below: &str) -> Answer {
        self.loopback(who, fuller, "GET", below).send().await.expect(200)
    }

    pub(super) async fn wanted_of_file(&self, asked: (&str, &str), who: As, bucket: &str, key: &str) -> Said {
        match asked {
            ("File" | "Download", _) => self.read(who, bucket, key).await,
            ("Upload", how) => self.write(who, bucket, key, how == "NEW").await,
            // What it does not see is not there.
            ("Remove", _) => match self.read(who, bucket, key).await {
                Said::Yes => self.delete(who, bucket, key).await,
                other => other,
            },
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn told_of_file(
        &self,
        asked: (&str, &str),
        who: As,
        fuller: bool,
        bucket: &str,
        key: &str,
    ) -> Said {
        let below = |word: &str| format!("/{bucket}/{word}/{}", key.replace('/', "%2F"));
        let answer = match asked {
            ("File", method) => self.loopback(who, fuller, method, &below("files")).send().await,
            ("Download", method @ ("GET" | "HEAD")) => {
                self.loopback(who, fuller, method, &below("download")).send().await
            }
            ("Download", how) => {
                let call = self.loopback(who, fuller, "GET", &below("download")).header("range", "bytes=1-2");
                // Of a date behind all of them the whole is sent.
                let late = "Thu, 01 Jan 2099 00:00:00 GMT";
                let answer = if how == "RANGE" { call } else { call.header("if-range", late) }.send().await;
                let told = [("RANGE", 206, "ee"), ("IF-RANGE", 200, "seed")]
                    .map(|(how, status, text)| (how, answer.status == status && answer.text() == text));
                assert!(told.contains(&(how, true)) || answer.status == 404, "{answer:?}");
                answer
            }
            ("Upload", how) => {
                let call = self.form(who, fuller, bucket, &[(key, "text/plain", "body")]);
                if how == "NEW" { call.header("if-none-match", "*") } else { call }.send().await
            }
            ("Remove", _) => self.loopback(who, fuller, "DELETE", &below("files")).send().await,
            other => panic!("{other:?}"),
        };
        said_by_loopback(&answer)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_what_the_database_says_they_are() {
    let Some(ground) = Ground::of_loopback("files_by_loopback").await else { return };
    let (mut cells, mut wrong, mut seen) = (0, Vec::new(), BTreeSet::new());
    for asked in OF_FILES.iter().copied() {
        for fuller in [false, true] {
            // Conditions of writes are not LoopBack's, and no file is uploaded under a name with a slash.
            if asked == ("Upload", "NEW") && !fuller {
                continue;
            }
            for bucket in BUCKETS {
                for key in keys().iter().filter(|key| asked.0 != "Upload" || !key.contains('/')) {
                    for who in WHO {
                        let wanted = ground.wanted_of_file(asked, who, bucket, key).await;
                        let told = ground.told_of_file(asked, who, fuller, bucket, key).await;
                        cells += 1;
                        seen.insert(format!("{wanted:?}"));
                        if told != wanted {
                            wrong.push(format!(
                                "{asked:?} {fuller} {bucket}/{key} {who:?}: the front {told:?}, the database {wanted:?}"
                            ));
                        }
                        if told == Said::Yes && ["Upload", "Remove"].contains(&asked.0) {
                            ground.mend(bucket, key).await;
                        }
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {cells} cells:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(seen.len(), 4, "every answer was wanted of some cell");
    crate::harness::report::report(&format!("{cells} cells of the LoopBack interface equal the database"));
}

/// Lists of files and of containers, whole and in pages, and containers that come and go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_and_lists_are_what_the_database_says_they_are() {
    let Some(ground) = Ground::of_loopback("containers_by_loopback").await else { return };
    let mut cells = 0;
    for key in ["flat-1", "flat-2", "plain-2"] {
        for bucket in BUCKETS {
            ground.site.upload(As::Service, &format!("{bucket}/{key}"), "seed").await.expect(200);
        }
    }
    let some = "CREATE POLICY some_of_dark ON storage.objects FOR SELECT TO authenticated \
        USING (bucket_id = 'dark' AND name IN ('flat-2', 'plain') AND auth.uid() = '11111111-1111-4111-8111-111111111111')";
    ground.superuser(some).await;
    for who in WHO {
        for fuller in [false, true] {
            let listed = names(&ground.listed(who, fuller, "").await);
            assert_eq!(listed, ground.buckets_seen(who).await, "{who:?}");
            for bucket in BUCKETS {
                for method in ["GET", "HEAD"] {
                    let told = ground.loopback(who, fuller, method, &format!("/{bucket}")).send().await;
                    assert_eq!(said_by_loopback(&told), ground.look(who, bucket).await, "{bucket} {who:?}");
                }
                let seen = ground.seen(who, bucket).await;
                let flat: Vec<String> = seen.into_iter().filter(|key| !key.contains('/')).collect();
                let below = format!("/{bucket}/files");
                let listed = ground.listed(who, fuller, &below).await;
                assert_eq!(names(&listed), flat, "{bucket} {who:?}");
                if fuller {
                    let rows = body(&listed);
                    let full = |row: &Value| row["etag"].is_string() && row["contentType"] == "text/plain";
                    assert!(rows.as_array().expect("rows").iter().all(full), "{rows}");
                    let prefixed = names(&ground.listed(who, true, &format!("{below}?prefix=plain")).await);
                    assert!(prefixed.iter().eq(flat.iter().filter(|key| key.starts_with("plain"))), "{prefixed:?}");
                    let mut paged = names(&ground.listed(who, true, &format!("{below}?limit=1")).await);
                    while let Some(last) = paged.last() {
                        let next = names(&ground.listed(who, true, &format!("{below}?limit=1&after={last}")).await);
                        if next.is_empty() {
                            break;
                        }
                        paged.extend(next);
                    }
                    assert_eq!(paged, flat, "{bucket} {who:?}");
                }
                let told = ground.loopback(who, fuller, "DELETE", &format!("/{bucket}")).send().await;
                let wanted = ground.of_bucket(who, DROP, bucket).await;
                assert_eq!(said_by_loopback(&told), wanted, "{bucket} {who:?}");
                cells += 6;
            }
            for bucket in ["mine-1", "yours-1", "open"] {
                let wanted = ground.make(who, bucket).await;
                let told = said_by_loopback(&ground.made(who, fuller, bucket).await);
                assert_eq!(told, wanted, "{bucket} {who:?}");
                cells += 1;
                if told != Said::Yes {
                    continue;
                }
                for asking in [As::Anon, As::User(U1), As::User(U2), As::Service] {
                    let wanted = ground.of_bucket(asking, DROP, bucket).await;
                    let told = ground.loopback(asking, fuller, "DELETE", &format!("/{bucket}")).send().await;
                    assert_eq!(said_by_loopback(&told), wanted, "{bucket} of {who:?} by {asking:?}");
                    cells += 1;
                }
            }
        }
    }
    crate::harness::report::report(&format!("{cells} cells of containers by LoopBack equal the database"));
}

/// A container goes with its files, and one of which anything may not be removed stays with all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_goes_whole_or_not_at_all() {
    let Some(ground) = Ground::of_loopback("a_container_goes_whole").await else { return };
    let policies = "
        CREATE POLICY mine ON storage.objects FOR ALL TO authenticated
            USING (bucket_id LIKE 'mine-%' AND name LIKE 'own%') WITH CHECK (bucket_id LIKE 'mine-%' AND name LIKE 'own%');
        CREATE POLICY mine_shown ON storage.objects FOR SELECT TO authenticated
            USING (bucket_id LIKE 'mine-%' AND name LIKE 'shown%');";
    ground.superuser(policies).await;
    let one = As::User(U1);
    for (bucket, kept) in [("mine-2", "hidden"), ("mine-3", "shown"), ("mine-4", "hidden/deep")] {
        ground.made(one, false, bucket).await.expect(200);
        ground
            .form(one, false, bucket, &[("own-1", "text/plain", "1"), ("own-2", "text/plain", "2")])
            .send()
            .await
            .expect(200);
        ground.site.upload(As::Service, &format!("{bucket}/{kept}"), "seed").await.expect(200);
        let before = ground.seen(As::Service, bucket).await;
        let told = ground.loopback(one, false, "DELETE", &format!("/{bucket}")).send().await;
        assert_eq!(said_by_loopback(&told), Said::No, "{bucket}");
        assert_eq!(ground.seen(As::Service, bucket).await, before, "{bucket}");
        assert_eq!(ground.site.server.root().get(bucket, "own-1").await.expect(200).text(), "1");
        ground.site.plain(As::Service, "DELETE", &format!("/object/{bucket}/{kept}")).await.expect(200);
        ground.loopback(one, false, "DELETE", &format!("/{bucket}")).send().await.expect(200);
        assert_eq!(ground.look(As::Service, bucket).await, Said::Hidden);
    }
}

/// Of a form each file is asked about by itself: what is refused leaves no row, no bytes and no name, and ends the form.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_form_nothing_is_left_of_what_was_refused() {
    let Some(ground) = Ground::of_loopback("of_a_form_nothing_is_left").await else { return };
    let large = "x".repeat(100_000);
    for (round, bytes) in ["short", large.as_str()].into_iter().enumerate() {
        let (first, second, third) = (format!("a{round}"), format!("b{round}"), format!("c{round}"));
        let before = ground.seen(As::Service, "team").await;
        // The policy takes texts of whom it knows: the second file is none, and so the third does not come.
        let files = [
            (first.as_str(), "text/plain", bytes),
            (second.as_str(), "image/png", bytes),
            (third.as_str(), "text/plain", bytes),
        ];
        let told = ground.form(As::User(U1), false, "team", &files).send().await;
        assert_eq!(said_by_loopback(&told), Said::No);
        let mut wanted = before.clone();
        wanted.push(first.clone());
        wanted.sort();
        assert_eq!(ground.seen(As::Service, "team").await, wanted);
        assert_eq!(ground.site.server.root().get("team", &first).await.expect(200).text(), bytes);
        // Where the first is refused there is nothing at all, and what was there is as it was.
        for (who, bucket, files) in [
            (As::Anon, "team", [("d", "text/plain", bytes), ("e", "text/plain", bytes)]),
            (As::User(U2), "team", [("plain", "text/plain", bytes), ("d", "text/plain", bytes)]),
            (As::User(U1), "dark", [("plain", "text/plain", bytes), ("d", "text/plain", bytes)]),
            (As::User(U1), "nowhere", [("d", "text/plain", bytes), ("e", "text/plain", bytes)]),
        ] {
            let told = said_by_loopback(&ground.form(who, true, bucket, &files).send().await);
            assert_eq!(told, if bucket == "nowhere" { Said::Hidden } else { Said::No }, "{bucket}");
        }
        assert_eq!(ground.seen(As::Service, "team").await, wanted);
        let names: BTreeSet<String> = std::fs::read_dir(ground.site.server.data().join("team"))
            .expect("a directory")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        assert!(!names.contains(&second) && !names.contains("d") && !names.contains("e"), "{names:?}");
        assert_eq!(ground.site.server.root().get("team", "plain").await.expect(200).text(), "seed");
        assert_eq!(ground.site.server.root().get("dark", "plain").await.expect(200).text(), "seed");
    }
}

/// Under names that nobody has nothing is replaced: who may only put something in may do it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drop_box_takes_files_under_names_that_nobody_has() {
    let Some(ground) = Ground::of_loopback("a_drop_box_takes_files").await else { return };
    let files = [("a.txt", "text/plain", "1"), ("a.txt", "text/plain", "2")];
    let told = ground.form(As::Anon, false, "drop", &files).send().await;
    assert_eq!(said_by_loopback(&told), Said::No, "it might replace something");
    let before = ground.seen(As::Service, "drop").await.len();
    let unique = |who: As, bucket: &str| {
        let target = format!("/unique/containers/{bucket}/upload");
        ground.form(who, false, bucket, &files).spoil(move |signed| signed.target = target)
    };
    unique(As::Anon, "drop").send().await.expect(200);
    assert_eq!(ground.seen(As::Service, "drop").await.len(), before + 2);
    unique(As::Anon, "open").send().await.expect(403);
    assert!(ground.seen(As::Anon, "drop").await.is_empty());
}

/// What is asked for is told to the policies by its name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_may_ask_which_method_it_is() {
    let Some(ground) = Ground::of_loopback("policies_may_ask_which_method").await else { return };
    let policy = "CREATE POLICY lists ON storage.objects FOR SELECT TO anon \
        USING (bucket_id = 'dark' AND storage.operation() = 'loopback.getFiles')";
    ground.superuser(policy).await;
    assert_eq!(names(&ground.listed(As::Anon, false, "/dark/files").await), ["plain"]);
    let told = ground.loopback(As::Anon, false, "GET", "/dark/download/plain").send().await;
    assert_eq!(said_by_loopback(&told), Said::Hidden);
}
