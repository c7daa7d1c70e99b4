//! S3 by access keys of roles: every operation that exists × bucket × key × who asks.

use std::collections::BTreeSet;

use super::{BUCKETS, Ground, Said, WHO, keys, said_by_s3};
use crate::harness::{Answer, Client};
use crate::s3::md5_base64;
use crate::supabase::{As, U1};

const OPERATIONS: &str = include_str!("../../../src/front/s3/operation.rs");

/// What the tests of this file, or of `uploads` and `versions` beside it, ask of each operation.
const OBJECTS: &[&str] = &[
    "GetObject",
    "HeadObject",
    "GetObjectAttributes",
    "GetObjectTagging",
    "GetObjectAcl",
    "PutObject",
    "PutObjectNew",
    "CreateMultipartUpload",
    "CopyObject",
    "UploadPartCopy",
    "PutObjectTagging",
    "DeleteObjectTagging",
    "DeleteObject",
    "DeleteObjects",
];
const ELSEWHERE: &[&str] = &[
    "AbortMultipartUpload",
    "CompleteMultipartUpload",
    "CreateBucket",
    "DeleteBucket",
    "GetBucketLocation",
    "GetBucketVersioning",
    "HeadBucket",
    "ListBuckets",
    "ListMultipartUploads",
    "ListObjectVersions",
    "ListObjects",
    "ListObjectsV2",
    "ListParts",
    "UploadPart",
    // A lock is read as its object is, where the bucket has locks; an object is no torrent.
    "GetObjectRetention",
    "GetObjectLegalHold",
    "GetObjectTorrent",
];
/// What gives or takes rights past the policies, as requests: not for roles, whatever they may do with the bucket.
const REFUSED: &[(&str, &str, &str)] = &[
    ("GetBucketAcl", "GET", "acl"),
    ("PutBucketAcl", "PUT", "acl"),
    ("GetBucketPolicy", "GET", "policy"),
    ("PutBucketPolicy", "PUT", "policy"),
    ("DeleteBucketPolicy", "DELETE", "policy"),
    ("GetBucketPolicyStatus", "GET", "policyStatus"),
    ("GetBucketCors", "GET", "cors"),
    ("PutBucketCors", "PUT", "cors"),
    ("DeleteBucketCors", "DELETE", "cors"),
    ("GetBucketEncryption", "GET", "encryption"),
    ("PutBucketEncryption", "PUT", "encryption"),
    ("DeleteBucketEncryption", "DELETE", "encryption"),
    ("GetBucketLifecycleConfiguration", "GET", "lifecycle"),
    ("PutBucketLifecycleConfiguration", "PUT", "lifecycle"),
    ("DeleteBucketLifecycle", "DELETE", "lifecycle"),
    ("GetBucketLogging", "GET", "logging"),
    ("PutBucketLogging", "PUT", "logging"),
    ("GetBucketNotificationConfiguration", "GET", "notification"),
    ("PutBucketNotificationConfiguration", "PUT", "notification"),
    ("GetBucketOwnershipControls", "GET", "ownershipControls"),
    ("PutBucketOwnershipControls", "PUT", "ownershipControls"),
    ("DeleteBucketOwnershipControls", "DELETE", "ownershipControls"),
    ("GetPublicAccessBlock", "GET", "publicAccessBlock"),
    ("PutPublicAccessBlock", "PUT", "publicAccessBlock"),
    ("DeletePublicAccessBlock", "DELETE", "publicAccessBlock"),
    ("GetBucketRequestPayment", "GET", "requestPayment"),
    ("PutBucketRequestPayment", "PUT", "requestPayment"),
    ("GetBucketReplication", "GET", "replication"),
    ("DeleteBucketReplication", "DELETE", "replication"),
    ("GetBucketTagging", "GET", "tagging"),
    ("PutBucketTagging", "PUT", "tagging"),
    ("DeleteBucketTagging", "DELETE", "tagging"),
    ("GetBucketWebsite", "GET", "website"),
    ("PutBucketWebsite", "PUT", "website"),
    ("DeleteBucketWebsite", "DELETE", "website"),
    ("GetBucketAccelerateConfiguration", "GET", "accelerate"),
    ("GetObjectLockConfiguration", "GET", "object-lock"),
    ("PutObjectLockConfiguration", "PUT", "object-lock"),
    ("PutBucketVersioning", "PUT", "versioning"),
];
/// The same, of an object.
const REFUSED_OF_OBJECTS: &[(&str, &str)] =
    &[("PutObjectAcl", "acl"), ("PutObjectRetention", "retention"), ("PutObjectLegalHold", "legal-hold")];

#[test]
fn every_operation_is_in_one_of_the_tables() {
    let table =
        OPERATIONS.split("BUILT: &[&str] = &[").nth(1).and_then(|rest| rest.split("];").next()).expect("a table");
    let built: BTreeSet<&str> = table.split('"').skip(1).step_by(2).collect();
    let mut asked: BTreeSet<&str> = [OBJECTS, ELSEWHERE].concat().into_iter().collect();
    asked.extend(REFUSED.iter().map(|(name, ..)| *name).chain(REFUSED_OF_OBJECTS.iter().map(|(name, _)| *name)));
    asked.remove("PutObjectNew");
    assert_eq!(built, asked, "an operation is not asked about");
}

const TAGS: &str = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";

impl Ground {
    pub(super) async fn wanted_by_s3(&self, op: &str, who: As, bucket: &str, key: &str) -> Said {
        match op {
            "GetObject" | "HeadObject" | "GetObjectAttributes" | "GetObjectTagging" | "GetObjectAcl" => {
                self.read(who, bucket, key).await
            }
            "PutObject" | "CreateMultipartUpload" => self.write(who, bucket, key, false).await,
            "PutObjectNew" => self.write(who, bucket, key, true).await,
            "CopyObject" => self.copy(who, (bucket, key), (bucket, "copied"), false).await,
            "UploadPartCopy" => self.read(who, bucket, key).await,
            "PutObjectTagging" | "DeleteObjectTagging" => self.touch(who, bucket, key).await,
            // Nothing is left to delete where there is nothing.
            "DeleteObject" | "DeleteObjects" => match self.delete(who, bucket, key).await {
                Said::Hidden => Said::Yes,
                other => other,
            },
            other => panic!("{other}"),
        }
    }

    pub(super) async fn told_by_s3(&self, op: &str, client: &Client, bucket: &str, key: &str) -> Said {
        let path = format!("/{bucket}/{key}");
        let call = |method: &str| client.call(method, &path).header("content-type", "text/plain");
        let answer = match op {
            "GetObject" => call("GET").send().await,
            "HeadObject" => call("HEAD").send().await,
            "GetObjectAttributes" => {
                call("GET").query("attributes", "").header("x-amz-object-attributes", "ETag").send().await
            }
            "GetObjectTagging" => call("GET").query("tagging", "").send().await,
            "GetObjectAcl" => call("GET").query("acl", "").send().await,
            "PutObject" => call("PUT").body("body").send().await,
            "PutObjectNew" => call("PUT").header("if-none-match", "*").body("body").send().await,
            "CreateMultipartUpload" => call("POST").query("uploads", "").send().await,
            "CopyObject" => {
                let to = client.call("PUT", &format!("/{bucket}/copied"));
                to.header("x-amz-copy-source", &path).send().await
            }
            "UploadPartCopy" => return self.part_copy(client, &path).await,
            "PutObjectTagging" => call("PUT").query("tagging", "").body(TAGS).send().await,
            "DeleteObjectTagging" => call("DELETE").query("tagging", "").send().await,
            "DeleteObject" => call("DELETE").send().await,
            "DeleteObjects" => {
                let text = format!("<Delete><Object><Key>{key}</Key></Object></Delete>");
                let call = client.call("POST", &format!("/{bucket}")).query("delete", "");
                let answer =
                    call.header("content-md5", &md5_base64(text.as_bytes())).body(text).send().await.expect(200);
                return if answer.code() == "AccessDenied" { Said::No } else { Said::Yes };
            }
            other => panic!("{other}"),
        };
        said_by_s3(&answer)
    }

    /// Copies a part into an upload of a bucket that takes everything of everybody.
    async fn part_copy(&self, client: &Client, source: &str) -> Said {
        let begun = client.call("POST", "/any/parts").query("uploads", "").send().await.expect(200);
        let id = &begun.elements("UploadId")[0];
        let call = client.call("PUT", "/any/parts").query("partNumber", "1").query("uploadId", id);
        let said = said_by_s3(&call.header("x-amz-copy-source", source).send().await);
        client.call("DELETE", "/any/parts").query("uploadId", id).send().await.expect(204);
        said
    }

    async fn mend_after(&self, op: &str, bucket: &str, key: &str) {
        match op {
            "PutObject" | "PutObjectNew" | "DeleteObject" | "DeleteObjects" => self.mend(bucket, key).await,
            "CopyObject" => self.mend(bucket, "copied").await,
            _ => {}
        }
    }
}

async fn with_any(test: &str) -> Option<Ground> {
    let ground = Ground::start(test).await?;
    ground.site.server.root().create_bucket("any").await.expect(200);
    let any =
        "CREATE POLICY anything ON storage.objects FOR ALL USING (bucket_id = 'any') WITH CHECK (bucket_id = 'any')";
    ground.superuser(any).await;
    Some(ground)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_what_the_database_says_they_are() {
    let Some(ground) = with_any("objects_by_s3").await else { return };
    let clients = WHO.map(|who| (who, ground.s3(who)));
    let (mut cells, mut wrong) = (0, Vec::new());
    for op in OBJECTS {
        for bucket in BUCKETS {
            for key in &keys() {
                for (who, client) in &clients {
                    let wanted = ground.wanted_by_s3(op, *who, bucket, key).await;
                    let told = ground.told_by_s3(op, client, bucket, key).await;
                    cells += 1;
                    if told != wanted {
                        wrong.push(format!("{op} {bucket}/{key} {who:?}: the front {told:?}, the database {wanted:?}"));
                    }
                    if told == Said::Yes {
                        ground.mend_after(op, bucket, key).await;
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {cells} cells:\n{}", wrong.len(), wrong.join("\n"));
    crate::harness::report::report(&format!("{cells} cells of S3 equal the database"));
}

fn names(answer: &Answer, element: &str) -> Vec<String> {
    answer.elements(element)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buckets_and_lists_are_what_the_database_says_they_are() {
    let Some(ground) = Ground::start("buckets_by_s3").await else { return };
    for who in WHO {
        let client = ground.s3(who);
        let listed = client.call("GET", "/").send().await.expect(200);
        assert_eq!(names(&listed, "Name"), ground.buckets_seen(who).await, "{who:?}");
        for bucket in BUCKETS {
            let path = format!("/{bucket}");
            let look = ground.look(who, bucket).await;
            for (method, query) in [("HEAD", ""), ("GET", "location"), ("GET", "versioning"), ("GET", "uploads")] {
                let call = client.call(method, &path);
                let call = if query.is_empty() { call } else { call.query(query, "") };
                assert_eq!(said_by_s3(&call.send().await), look, "{query} {bucket} {who:?}");
            }
            let seen = ground.seen(who, bucket).await;
            for query in [("list-type", "2"), ("max-keys", "1000"), ("versions", "")] {
                let listed = client.call("GET", &path).query(query.0, query.1).send().await.expect(200);
                assert_eq!(names(&listed, "Key"), seen, "{query:?} {bucket} {who:?}");
            }
            let text = "DELETE FROM storage.buckets WHERE id = $1 RETURNING id";
            let wanted = ground.of_bucket(who, text, bucket).await;
            assert_eq!(said_by_s3(&client.call("DELETE", &path).send().await), wanted, "{bucket} {who:?}");
        }
        for bucket in ["mine-1", "yours-1", "open"] {
            let wanted = ground.make(who, bucket).await;
            // What one has already is made again and stays as it is.
            if wanted == Said::Taken {
                continue;
            }
            let told = said_by_s3(&client.create_bucket(bucket).await);
            assert_eq!(told, wanted, "{bucket} {who:?}");
            if told == Said::Yes {
                let text = "DELETE FROM storage.buckets WHERE id = $1 RETURNING id";
                let wanted = ground.of_bucket(who, text, bucket).await;
                assert_eq!(said_by_s3(&client.call("DELETE", &format!("/{bucket}")).send().await), wanted);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_counts_past_the_policies_is_not_for_roles() {
    let Some(ground) = with_any("what_counts_past_the_policies").await else { return };
    let one = ground.s3(As::User(U1));
    one.put("any", "k", "x").await.expect(200);
    for (name, method, query) in REFUSED {
        for body in ["", "<x/>"] {
            let answer = one.call(method, "/any").query(query, "").body(body).send().await;
            assert!([400, 403].contains(&answer.status), "{name}: {} {}", answer.status, answer.text());
        }
    }
    for (name, query) in REFUSED_OF_OBJECTS {
        let answer = one.call("PUT", "/any/k").query(query, "").body("<x/>").send().await;
        assert!([400, 403].contains(&answer.status), "{name}: {} {}", answer.status, answer.text());
    }
    for header in [
        ("x-amz-acl", "public-read"),
        ("x-amz-grant-read", "uri=\"http://acs.amazonaws.com/groups/global/AllUsers\""),
        ("x-amz-object-lock-legal-hold", "ON"),
    ] {
        one.call("PUT", "/any/k2").header(header.0, header.1).body("x").send().await.refused(403, "AccessDenied");
    }
    one.call("PUT", "/any/k2").header("x-amz-acl", "private").body("x").send().await.expect(200);
    // Nothing of it came to be.
    let root = ground.site.server.root();
    assert_eq!(root.keys_of("any", "").await, ["k", "k2"]);
    root.call("GET", "/any").query("policy", "").send().await.refused(404, "NoSuchBucketPolicy");
    // Nobody in particular has no role on S3, and what a role made is private.
    ground.site.server.anonymous().get("any", "k").await.refused(403, "AccessDenied");
}

/// A file that nobody has served yet is not there for a role, and is no file of anybody's by its asking.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_adopted_in_the_name_of_a_role() {
    let Some(ground) = with_any("nothing_is_adopted").await else { return };
    let (one, root) = (ground.s3(As::User(U1)), ground.site.server.root());
    std::fs::write(ground.site.server.data().join("any").join("file"), "outside").expect("a file");
    std::fs::create_dir(ground.site.server.data().join("unknown")).expect("a directory");
    one.get("any", "file").await.refused(404, "NoSuchKey");
    assert!(one.keys_of("any", "").await.is_empty());
    one.get("unknown", "file").await.refused(404, "NoSuchBucket");
    assert!(!one.call("GET", "/").send().await.expect(200).elements("Name").contains(&"unknown".to_owned()));
    assert_eq!(root.get("any", "file").await.expect(200).text(), "outside");
    // By now it is served, has a row, and the policy speaks of it.
    assert_eq!(one.get("any", "file").await.expect(200).text(), "outside");
}
