//! What comes along with a write (a list, tags, a lock) where a policy denies it, or does not allow it.

use serde_json::{Value, json};

use super::post::Sent;
use crate::harness::{Answer, Call, Client, Server};

const ALL: &str = "uri=\"http://acs.amazonaws.com/groups/global/AllUsers\"";
const UNTIL: &str = "2190-01-01T00:00:00Z";
const TAGGING: &str = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";

type Pairs = &'static [(&'static str, &'static str)];

/// Each thing, as headers and as fields of a form.
const BROUGHT: [(&str, Pairs, Pairs); 5] = [
    ("list", &[("x-amz-acl", "public-read")], &[("acl", "public-read")]),
    ("grant", &[("x-amz-grant-read", ALL)], &[("x-amz-grant-read", ALL)]),
    ("tags", &[("x-amz-tagging", "a=b")], &[("tagging", TAGGING)]),
    ("retention", &RETENTION, &RETENTION),
    ("hold", &HOLD, &HOLD),
];
const RETENTION: [(&str, &str); 2] =
    [("x-amz-object-lock-mode", "COMPLIANCE"), ("x-amz-object-lock-retain-until-date", UNTIL)];
const HOLD: [(&str, &str); 1] = [("x-amz-object-lock-legal-hold", "ON")];

/// Each way to write, with its status.
const DOORS: [(&str, u16); 4] = [("put", 200), ("form", 204), ("create", 200), ("copy", 200)];

/// A bucket of ann's that locks, with an object `source`, under a policy of these statements.
async fn locked(server: &Server, statements: Value) -> Client {
    let ann = server.user("ann", "readwrite");
    ann.call("PUT", "/b-1").header("x-amz-bucket-object-lock-enabled", "true").send().await.expect(200);
    ann.put("b-1", "source", "x").await.expect(200);
    decide(&ann, statements).await;
    ann
}

async fn decide(ann: &Client, statements: Value) {
    let policy = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    ann.call("PUT", "/b-1").query("policy", "").body(policy).send().await.expect(204);
}

/// What is said of bob and the objects of the bucket.
fn of_bob(effect: &str, actions: &[&str]) -> Value {
    json!({"Effect": effect, "Principal": {"AWS": "arn:aws:iam:::user/bob"}, "Action": actions,
           "Resource": "arn:aws:s3:::b-1/*"})
}

fn with<'c>(call: Call<'c>, headers: &[(&str, &str)]) -> Call<'c> {
    headers.iter().fold(call, |call, (name, value)| call.header(name, value))
}

fn copy<'c>(client: &'c Client, key: &str) -> Call<'c> {
    client.call("PUT", &format!("/b-1/{key}")).header("x-amz-copy-source", "b-1/source")
}

async fn write(
    client: &Client,
    (door, key): (&str, &str),
    headers: &[(&str, &str)],
    fields: &[(&str, &str)],
) -> Answer {
    let path = format!("/b-1/{key}");
    let call = match door {
        "put" => client.call("PUT", &path).body("x"),
        "create" => client.call("POST", &path).query("uploads", ""),
        "copy" => copy(client, key).header("x-amz-tagging-directive", "REPLACE"),
        _ => {
            let fields = [&[("key", key)][..], fields].concat();
            let mut conditions = vec![json!({"bucket": "b-1"})];
            conditions.extend(fields.iter().map(|(name, _)| json!(["starts-with", format!("${name}"), ""])));
            let form = Sent::new(&fields, b"x").signed(client, Value::Array(conditions));
            return form.post(client, "/b-1").await;
        }
    };
    with(call, headers).send().await
}

#[tokio::test]
async fn what_is_denied_does_not_come_along_with_a_write() {
    let server = Server::start();
    let bob = server.user("bob", "readwrite");
    let denied = ["s3:PutObjectAcl", "s3:PutObjectRetention", "s3:PutObjectLegalHold", "s3:PutObjectTagging"];
    let statements = [of_bob("Allow", &["s3:GetObject", "s3:PutObject"]), of_bob("Deny", &denied)];
    let ann = locked(&server, json!(statements)).await;
    for (what, headers, fields) in BROUGHT {
        for (door, _) in DOORS {
            let refused = write(&bob, (door, "k"), headers, fields).await;
            assert_eq!((refused.status, refused.code().as_str()), (403, "AccessDenied"), "{what} by {door}");
        }
    }
    assert_eq!(ann.keys_of("b-1", "").await, ["source"]);
    let uploads = ann.call("GET", "/b-1").query("uploads", "").send().await.expect(200);
    assert!(uploads.elements("UploadId").is_empty(), "{}", uploads.text());
    for (door, status) in DOORS {
        write(&bob, (door, "plain"), &[("x-amz-acl", "private")], &[("acl", "private")]).await.expect(status);
    }
    for (what, headers, fields) in BROUGHT {
        for (door, status) in DOORS {
            let key = format!("{what}/{door}");
            let written = write(&ann, (door, &key), headers, fields).await;
            assert_eq!(written.status, status, "{what} by {door} of the owner: {}", written.text());
        }
    }
}

#[tokio::test]
async fn a_lock_comes_along_only_where_it_is_allowed() {
    let server = Server::start();
    let bob = server.user("bob", "readwrite");
    let anyone = json!({"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:PutObject"],
                        "Resource": "arn:aws:s3:::b-1/*"});
    let ann = locked(&server, json!([anyone])).await;
    for (what, headers, fields) in &BROUGHT[3..] {
        for (door, _) in DOORS {
            let refused = write(&bob, (door, "k"), headers, fields).await;
            assert_eq!((refused.status, refused.code().as_str()), (403, "AccessDenied"), "{what} by {door}");
        }
        let nobody = server.anonymous();
        with(nobody.call("PUT", "/b-1/k").body("x"), headers).send().await.refused(403, "AccessDenied");
    }
    assert_eq!(ann.keys_of("b-1", "").await, ["source"]);
    // A list and tags come with the right to write.
    for (what, headers, fields) in &BROUGHT[..3] {
        for (door, status) in DOORS {
            let written = write(&bob, (door, &format!("{what}/{door}")), headers, fields).await;
            assert_eq!(written.status, status, "{what} by {door}: {}", written.text());
        }
    }
    let locks = ["s3:PutObjectRetention", "s3:PutObjectLegalHold"];
    decide(&ann, json!([anyone, of_bob("Allow", &locks)])).await;
    for (what, headers, fields) in &BROUGHT[3..] {
        for (door, status) in DOORS {
            let written = write(&bob, (door, &format!("{what}/{door}")), headers, fields).await;
            assert_eq!(written.status, status, "{what} by {door}: {}", written.text());
        }
    }
    // What the bucket gives to everything in it is nobody's to be allowed.
    let rule = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>\
                <Mode>GOVERNANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>";
    ann.call("PUT", "/b-1").query("object-lock", "").body(rule).send().await.expect(200);
    decide(&ann, json!([anyone, of_bob("Deny", &locks)])).await;
    bob.put("b-1", "kept", "x").await.expect(200);
    assert_eq!(server.root().head("b-1", "kept").await.header("x-amz-object-lock-mode"), Some("GOVERNANCE"));
}

#[tokio::test]
async fn a_copy_carries_no_tags_that_are_denied() {
    let server = Server::start();
    let bob = server.user("bob", "readwrite");
    let allow = of_bob("Allow", &["s3:GetObject", "s3:PutObject"]);
    let ann = locked(&server, json!([allow])).await;
    let tag = || ann.call("PUT", "/b-1/source").query("tagging", "").body(TAGGING).send();
    for denied in ["s3:GetObjectTagging", "s3:PutObjectTagging"] {
        ann.call("DELETE", "/b-1/source").query("tagging", "").send().await.expect(204);
        decide(&ann, json!([allow, of_bob("Deny", &[denied])])).await;
        copy(&bob, "plain").send().await.expect(200);
        tag().await.expect(200);
        copy(&bob, "copy").send().await.refused(403, "AccessDenied");
        copy(&bob, "bare").header("x-amz-tagging-directive", "REPLACE").send().await.expect(200);
        copy(&ann, "hers").send().await.expect(200);
    }
    ann.head("b-1", "copy").await.expect(404);
    decide(&ann, json!([allow])).await;
    copy(&bob, "copy").send().await.expect(200);
    assert_eq!(server.root().head("b-1", "copy").await.expect(200).header("x-amz-tagging-count"), Some("1"));
}
