//! The Supabase interface: every operation of its route table × bucket × key × who asks.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{BUCKETS, Ground, Said, WHO, keys, said_by_rest};
use crate::supabase::{As, U1, U2, body};

const ROUTES: &str = include_str!("../../../src/front/supabase/route.rs");

/// What the tests of this file ask of each operation.
const OBJECTS: &[&str] = &[
    "Get",
    "GetAuthenticated",
    "GetPublic",
    "Info",
    "InfoAuthenticated",
    "InfoPublic",
    "RenderAuthenticated",
    "RenderPublic",
    "Sign",
    "SignMany",
    "SignUpload",
    "Upload",
    "Update",
    "Resume",
    "Move",
    "Copy",
    "Delete",
    "DeleteMany",
];
const OF_BUCKETS: &[&str] =
    &["CreateBucket", "ListBuckets", "GetBucket", "UpdateBucket", "EmptyBucket", "DeleteBucket", "List", "ListV2"];
/// By a signed address, for which nobody's role is asked: that is done when it is signed.
const BY_ADDRESS: &[&str] = &["GetSigned", "RenderSigned", "UploadSigned", "ResumeSigned"];
/// About no bucket and no object, or nothing that is in them.
const ASIDE: &[&str] = &["Health", "Status", "Version", "PurgeCache"];

#[test]
fn every_operation_is_in_one_of_the_tables() {
    let table = ROUTES.split("operations! {").nth(1).and_then(|rest| rest.split("\n}").next()).expect("the table");
    let built: BTreeSet<&str> =
        table.lines().filter_map(|line| line.split_once(" = ")).map(|(op, _)| op.trim()).collect();
    let asked: Vec<&str> = [OBJECTS, OF_BUCKETS, BY_ADDRESS, ASIDE].concat();
    assert_eq!(built, asked.iter().copied().collect(), "an operation is not asked about");
    assert!(built.len() == asked.len() && built.len() > 25);
}

impl Ground {
    /// What the database says to one operation on an object.
    pub(super) async fn wanted(&self, op: &str, who: As, bucket: &str, key: &str) -> Said {
        match op {
            "Get" | "GetAuthenticated" | "Info" | "InfoAuthenticated" | "RenderAuthenticated" | "Sign" | "SignMany" => {
                self.read(who, bucket, key).await
            }
            // No bucket of the tables is public.
            "GetPublic" | "InfoPublic" | "RenderPublic" => Said::Hidden,
            "Upload" | "SignUpload" | "Resume" => self.write(who, bucket, key, true).await,
            "Update" => self.write(who, bucket, key, false).await,
            "Move" => self.rename(who, (bucket, key), (bucket, "moved")).await,
            "Copy" => self.copy(who, (bucket, key), (bucket, "absent"), true).await,
            "Delete" => self.delete(who, bucket, key).await,
            // Of many, what may not be deleted stays and is not told.
            "DeleteMany" => match (self.read(who, bucket, key).await, self.delete(who, bucket, key).await) {
                (Said::Yes, Said::Yes) => Said::Yes,
                _ => Said::Hidden,
            },
            other => panic!("{other}"),
        }
    }

    /// What the front says to it.
    pub(super) async fn told(&self, op: &str, who: As, bucket: &str, key: &str) -> Said {
        let (site, name) = (&self.site, format!("{bucket}/{key}"));
        let way = |to: &str| json!({"bucketId": bucket, "sourceKey": key, "destinationKey": to});
        let answer = match op {
            "Get" => site.plain(who, "GET", &format!("/object/{name}")).await,
            "GetAuthenticated" => site.plain(who, "GET", &format!("/object/authenticated/{name}")).await,
            "GetPublic" => site.plain(who, "GET", &format!("/object/public/{name}")).await,
            "Info" => site.plain(who, "GET", &format!("/object/info/{name}")).await,
            "InfoAuthenticated" => site.plain(who, "GET", &format!("/object/info/authenticated/{name}")).await,
            "InfoPublic" => site.plain(who, "GET", &format!("/object/info/public/{name}")).await,
            "RenderAuthenticated" | "RenderPublic" => {
                let door = if op == "RenderPublic" { "public" } else { "authenticated" };
                let answer = site.plain(who, "GET", &format!("/render/image/{door}/{name}?width=5")).await;
                let status = body(&answer)["statusCode"].clone();
                // A text is no image, which is found out by who may read it.
                return if ["404", "403"].iter().any(|hidden| status == *hidden) { Said::Hidden } else { Said::Yes };
            }
            "Sign" => site.json(who, "POST", &format!("/object/sign/{name}"), json!({"expiresIn": 60})).await,
            "SignMany" => {
                let asked = json!({"expiresIn": 60, "paths": [key]});
                let answer = site.json(who, "POST", &format!("/object/sign/{bucket}"), asked).await.expect(200);
                return if body(&answer)[0]["signedURL"].is_string() { Said::Yes } else { Said::Hidden };
            }
            "SignUpload" => {
                let call = site.call(who, "POST", &format!("/object/upload/sign/{name}"));
                call.header("content-type", "text/plain").send().await
            }
            "Upload" => site.upload(who, &name, "body").await,
            "Update" => {
                let call = site.call(who, "PUT", &format!("/object/{name}"));
                call.header("content-type", "text/plain").body("body").send().await
            }
            "Resume" => {
                let said = super::uploads::metadata(&[
                    ("bucketName", bucket),
                    ("objectName", key),
                    ("contentType", "text/plain"),
                ]);
                let call = site.call(who, "POST", "/upload/resumable").header("tus-resumable", "1.0.0");
                call.header("upload-length", "4").header("upload-metadata", &said).send().await
            }
            "Move" => site.json(who, "POST", "/object/move", way("moved")).await,
            "Copy" => site.json(who, "POST", "/object/copy", way("absent")).await,
            "Delete" => site.plain(who, "DELETE", &format!("/object/{name}")).await,
            "DeleteMany" => {
                let asked = json!({"prefixes": [key]});
                let answer = site.json(who, "DELETE", &format!("/object/{bucket}"), asked).await.expect(200);
                return if body(&answer) == json!([]) { Said::Hidden } else { Said::Yes };
            }
            other => panic!("{other}"),
        };
        said_by_rest(&answer)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_what_the_database_says_they_are() {
    let Some(ground) = Ground::start("objects_are_what_the_database_says_they_are").await else { return };
    let (mut cells, mut wrong, mut seen) = (0, Vec::new(), BTreeSet::new());
    for op in OBJECTS {
        for bucket in BUCKETS {
            for key in &keys() {
                for who in WHO {
                    let wanted = ground.wanted(op, who, bucket, key).await;
                    let told = ground.told(op, who, bucket, key).await;
                    cells += 1;
                    seen.insert(format!("{wanted:?}"));
                    if told != wanted {
                        wrong.push(format!("{op} {bucket}/{key} {who:?}: the front {told:?}, the database {wanted:?}"));
                    }
                    if told == Said::Yes {
                        match *op {
                            "Upload" | "Update" | "Delete" | "DeleteMany" => ground.mend(bucket, key).await,
                            "Copy" => ground.mend(bucket, "absent").await,
                            "Move" => {
                                ground.mend(bucket, "moved").await;
                                ground.mend(bucket, key).await;
                            }
                            _ => {}
                        }
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {cells} cells:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(seen.len(), 4, "every answer was wanted of some cell");
    crate::harness::report::report(&format!("{cells} cells of the Supabase interface equal the database"));
}

fn names(listed: &Value) -> Vec<String> {
    let text = |row: &Value| row["name"].as_str().expect("a name").to_owned();
    listed.as_array().expect("rows").iter().map(text).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buckets_and_lists_are_what_the_database_says_they_are() {
    let Some(ground) = Ground::start("buckets_and_lists").await else { return };
    let site = &ground.site;
    for who in WHO {
        let listed = body(&site.plain(who, "GET", "/bucket?sortColumn=id").await.expect(200));
        assert_eq!(names(&listed), ground.buckets_seen(who).await, "{who:?}");
        for bucket in BUCKETS {
            let told = said_by_rest(&site.plain(who, "GET", &format!("/bucket/{bucket}")).await);
            assert_eq!(told, ground.look(who, bucket).await, "{bucket} {who:?}");
            let seen = ground.seen(who, bucket).await;
            let listed = site.json(who, "POST", &format!("/object/list-v2/{bucket}"), json!({})).await.expect(200);
            assert_eq!(names(&body(&listed)["objects"]), seen, "{bucket} {who:?}");
            let asked = json!({"prefix": ""});
            let listed = body(&site.json(who, "POST", &format!("/object/list/{bucket}"), asked).await.expect(200));
            let mut level: Vec<_> = seen.iter().map(|key| key.split('/').next().expect("a name").to_owned()).collect();
            level.dedup();
            assert_eq!(names(&listed), level, "{bucket} {who:?}");
            let told = said_by_rest(&site.plain(who, "DELETE", &format!("/bucket/{bucket}")).await);
            let text = "DELETE FROM storage.buckets WHERE id = $1 RETURNING id";
            assert_eq!(told, ground.of_bucket(who, text, bucket).await, "{bucket} {who:?}");
            if who != As::Service {
                let empty = site.plain(who, "POST", &format!("/bucket/{bucket}/empty")).await.expect(403);
                assert_eq!(said_by_rest(&empty), Said::No);
            }
        }
        for bucket in ["mine-1", "yours-1", "open"] {
            let wanted = ground.make(who, bucket).await;
            let told = said_by_rest(&site.json(who, "POST", "/bucket", json!({"name": bucket})).await);
            assert_eq!(told, wanted, "{bucket} {who:?}");
            if told != Said::Yes {
                continue;
            }
            for asking in WHO {
                for (public, text) in [
                    (true, "UPDATE storage.buckets SET public = true WHERE id = $1 RETURNING id"),
                    (false, "UPDATE storage.buckets SET public = false WHERE id = $1 RETURNING id"),
                ] {
                    let wanted = ground.of_bucket(asking, text, bucket).await;
                    let asked = json!({"public": public});
                    let told = said_by_rest(&site.json(asking, "PUT", &format!("/bucket/{bucket}"), asked).await);
                    assert_eq!(told, wanted, "{public} {bucket} of {who:?} by {asking:?}");
                }
            }
            let text = "DELETE FROM storage.buckets WHERE id = $1 RETURNING id";
            for asking in [As::Anon, As::User(U1), As::User(U2), As::Service] {
                let wanted = ground.of_bucket(asking, text, bucket).await;
                let told = said_by_rest(&site.plain(asking, "DELETE", &format!("/bucket/{bucket}")).await);
                assert_eq!(told, wanted, "{bucket} of {who:?} by {asking:?}");
            }
        }
    }
    // What a policy asks of a new bucket it asks of all that is given for it.
    let limited = json!({"name": "mine-2", "file_size_limit": 5});
    assert_eq!(said_by_rest(&site.json(As::User(U1), "POST", "/bucket", limited).await), Said::No);
}

/// What is public is everyone's, and who shows no token reads nothing else, whatever the role of nobody may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_public_is_everyones() {
    let Some(ground) = Ground::start("what_is_public_is_everyones").await else { return };
    let site = &ground.site;
    site.bucket(json!({"name": "pub", "public": true})).await;
    site.upload(As::Service, "pub/k", "x").await.expect(200);
    for who in [As::Nobody, As::Anon, As::User(U2)] {
        assert_eq!(site.plain(who, "GET", "/object/pub/k").await.expect(200).text(), "x");
        assert_eq!(site.plain(who, "GET", "/object/public/pub/k").await.expect(200).text(), "x");
    }
    site.plain(As::Anon, "GET", "/object/open/plain").await.expect(200);
    let told = site.plain(As::Nobody, "GET", "/object/open/plain").await;
    super::super::refused(&told, "404", "NoSuchBucket", "Bucket not found");
    // An address that is signed for who may read is for everyone, and a role of a token not.
    let signed =
        body(&site.json(As::User(U1), "POST", &format!("/object/sign/own/{U1}/a"), json!({"expiresIn": 60})).await);
    let address = signed["signedURL"].as_str().expect("an address");
    assert_eq!(site.plain(As::Nobody, "GET", address).await.expect(200).text(), "seed");
}
