//! Users among themselves: what belongs to one does not exist for the other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};

use super::operations::{OPERATIONS, UPLOAD_KEY};
use super::site::{BUCKET, BYTES, KEY, Site};
use crate::harness::sign::escape;
use crate::harness::{Answer, Client};

/// An answer without what differs from request to request.
fn told(answer: &Answer, key: &str) -> (u16, String) {
    let mut text = answer.text().replace(key, "KEY");
    for id in answer.elements("RequestId") {
        text = text.replace(&id, "ID");
    }
    (answer.status, text)
}

async fn begin(client: &Client, bucket: &str) -> String {
    let begun = client.call("POST", &format!("/{bucket}/{UPLOAD_KEY}")).query("uploads", "").send().await;
    begun.expect(200).elements("UploadId").remove(0)
}

#[tokio::test]
async fn a_user_has_nothing_of_another() {
    let site = Site::new().await;
    let (ann, bob) = (site.server.user("ann", "readwrite"), site.server.user("bob", "readwrite"));
    for (client, bucket) in [(&ann, "anns"), (&bob, "bobs")] {
        client.create_bucket(bucket).await.expect(200);
        client.put(bucket, KEY, format!("bytes of {bucket}")).await.expect(200);
    }
    let upload = begin(&ann, "anns").await;
    let before = site.seen().await;
    for operation in OPERATIONS {
        let what = format!("bob and {} of ann's bucket", operation.name);
        let calls = site.provider_calls().await;
        let answer = operation.call(&bob, "anns", &upload).send().await;
        assert!(!answer.text().contains("bytes of anns"), "{what}: {}", answer.text());
        match operation.name {
            "list_buckets" => {
                let names = answer.expect(200).elements("Name");
                assert!(!names.contains(&"anns".to_owned()), "{what}: {names:?}");
                continue;
            }
            // That is bob's own right.
            "create_bucket" => {
                answer.expect(200);
                bob.call("DELETE", "/anns-new").send().await.expect(204);
                continue;
            }
            "delete_objects" => assert_eq!(answer.expect(200).elements("Code"), ["AccessDenied"], "{what}"),
            _ if operation.method == "HEAD" => assert_eq!(answer.status, 403, "{what}"),
            _ => drop(answer.refused(403, "AccessDenied")),
        }
        assert_eq!(site.provider_calls().await, calls, "{what}: the provider was asked");
    }
    bob.create_bucket("anns").await.refused(409, "BucketAlreadyExists");
    site.settles_to(&before, "bob's requests").await;
}

#[tokio::test]
async fn a_user_does_not_learn_what_another_has() {
    let site = Site::new().await;
    let (ann, bob) = (site.server.user("ann", "readwrite"), site.server.user("bob", "readwrite"));
    ann.create_bucket("anns").await.expect(200);
    ann.put("anns", "there", "bytes").await.expect(200);
    let nobody = site.server.anonymous();
    for client in [&bob, &nobody] {
        for method in ["GET", "HEAD", "PUT", "DELETE"] {
            let ask = |key: &'static str| async move { client.call(method, &format!("/anns/{key}")).send().await };
            let (there, absent) = (ask("there").await, ask("absent").await);
            assert_eq!(there.status, 403, "{method}: {}", there.text());
            assert_eq!(told(&there, "there"), told(&absent, "absent"), "{method} tells which keys exist");
        }
        // Conditions and ranges are not looked at before the right.
        for (name, value) in [("if-match", "\"0\""), ("if-none-match", "*"), ("range", "bytes=99-")] {
            let answer = client.call("GET", "/anns/there").header(name, value).send().await;
            assert_eq!(answer.status, 403, "{name}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn a_copy_needs_both_rights() {
    let site = Site::new().await;
    let (ann, bob) = (site.server.user("ann", "readwrite"), site.server.user("bob", "readwrite"));
    let carl = site.server.user("carl", "readonly");
    for (client, bucket) in [(&ann, "anns"), (&bob, "bobs")] {
        client.create_bucket(bucket).await.expect(200);
        client.put(bucket, KEY, format!("bytes of {bucket}")).await.expect(200);
    }
    let bobs_upload = begin(&bob, "bobs").await;
    let roots_upload = begin(&site.root, BUCKET).await;
    let before = site.seen().await;
    for (what, client, from, to, upload) in [
        ("from ann's bucket", &bob, "anns/gold/bar", "bobs", &bobs_upload),
        ("from ann's bucket, escaped", &bob, "%61nns/gold%2Fbar", "bobs", &bobs_upload),
        ("from ann's bucket, with its version", &bob, "/anns/gold/bar?versionId=null", "bobs", &bobs_upload),
        ("from ann's bucket, of a key that is not there", &bob, "anns/absent", "bobs", &bobs_upload),
        ("to ann's bucket", &bob, "bobs/gold/bar", "anns", &bobs_upload),
        ("to where one may only read", &carl, "vault/gold/bar", BUCKET, &roots_upload),
    ] {
        for part in [false, true] {
            let calls = site.provider_calls().await;
            let mut call = client.call("PUT", &format!("/{to}/{UPLOAD_KEY}")).header("x-amz-copy-source", from);
            if part {
                call = call.query("partNumber", "1").query("uploadId", upload);
            }
            let answer = call.send().await;
            assert_eq!((answer.status, answer.code().as_str()), (403, "AccessDenied"), "{what}: {}", answer.text());
            assert_eq!(site.provider_calls().await, calls, "{what}: the provider was asked");
        }
    }
    site.settles_to(&before, "copies without a right").await;
    let own = bob.call("PUT", "/bobs/copied").header("x-amz-copy-source", "bobs/gold/bar");
    own.send().await.expect(200);
}

#[tokio::test]
async fn an_upload_is_open_to_who_began_it() {
    let site = Site::new().await;
    let (ann, bob) = (site.server.user("ann", "readwrite"), site.server.user("bob", "readwrite"));
    // Root's bucket is open to both.
    bob.put(BUCKET, "bobs", "bytes").await.expect(200);
    let upload = begin(&ann, BUCKET).await;
    let part = ann.call("PUT", &format!("/{BUCKET}/{UPLOAD_KEY}")).query("partNumber", "1").query("uploadId", &upload);
    let etag = part.body("ann's part").send().await.expect(200).etag().to_owned();
    let before = site.seen().await;
    let of_uploads =
        ["upload_part", "upload_part_copy", "complete_multipart_upload", "abort_multipart_upload", "list_parts"];
    for operation in OPERATIONS.iter().filter(|operation| of_uploads.contains(&operation.name)) {
        for (what, client, id) in [
            ("bob with ann's id", &bob, upload.clone()),
            ("ann with an id in capitals", &ann, upload.to_uppercase()),
            ("ann with half an id", &ann, upload[..upload.len() / 2].to_owned()),
            ("ann with a path", &ann, format!("../{upload}")),
        ] {
            let answer = operation.call(client, BUCKET, &id).send().await;
            let refused = (answer.status, answer.code()) == (404, "NoSuchUpload".to_owned());
            assert!(refused, "{what} and {}: {} {}", operation.name, answer.status, answer.text());
        }
    }
    let elsewhere = ann.call("GET", &format!("/{BUCKET}/another")).query("uploadId", &upload);
    elsewhere.send().await.refused(404, "NoSuchUpload");
    site.settles_to(&before, "requests with another's upload").await;
    let list = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    );
    let end = ann.call("POST", &format!("/{BUCKET}/{UPLOAD_KEY}")).query("uploadId", &upload).body(list);
    end.send().await.expect(200);
    assert_eq!(ann.get(BUCKET, UPLOAD_KEY).await.expect(200).text(), "ann's part");
}

#[tokio::test]
async fn the_key_that_is_allowed_is_the_key_that_is_meant() {
    let site = Site::new().await;
    let policy = site.server.data().parent().expect("a directory around it").join("policy.json");
    let text = r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::vault/mine/*"}}"#;
    std::fs::write(&policy, text).expect("written");
    let ann = site.server.user("ann", policy.to_str().expect("UTF-8"));
    let before = site.seen().await;
    for key in ["mine/x", "mine/../gold/bar", "mine/../../vault/gold/bar", "mine/%2e%2e/gold/bar", "mine//x", "mine/."]
    {
        ann.put(BUCKET, key, key).await.expect(200);
        assert_eq!(site.root.get(BUCKET, key).await.expect(200).text(), key, "{key} was written elsewhere");
        assert_eq!(site.root.get(BUCKET, KEY).await.expect(200).text(), BYTES, "{key} led to another key");
        ann.delete(BUCKET, key).await.expect(204);
    }
    for key in
        ["gold/bar", "mine", "MINE/x", "/mine/x", "./mine/x", "x/mine/x", "mine\\x", "mine%2Fx", "gold/../mine/x"]
    {
        for method in ["GET", "PUT", "DELETE"] {
            ann.call(method, &format!("/{BUCKET}/{key}")).send().await.refused(403, "AccessDenied");
        }
        let copy =
            ann.call("PUT", "/vault/mine/x").header("x-amz-copy-source", &format!("{BUCKET}/{}", escape(key, true)));
        assert_eq!(copy.send().await.status, 403, "a copy of {key}");
    }
    let sideways = ann.call("PUT", "/vault/mine/x").header("x-amz-copy-source", "vault/mine%2F..%2Fgold%2Fbar");
    assert!(matches!(sideways.send().await.status, 403 | 404));
    // Of many keys each is decided on its own.
    ann.put(BUCKET, "mine/x", "x").await.expect(200);
    let list = "<Delete><Object><Key>gold/bar</Key></Object><Object><Key>mine/x</Key></Object></Delete>";
    let delete = ann.call("POST", "/vault").query("delete", "").body(list);
    let answer = delete.header("content-md5", &BASE64.encode(Md5::digest(list))).send().await.expect(200);
    assert_eq!(answer.elements("Deleted"), ["<Key>mine/x</Key>"], "{}", answer.text());
    assert_eq!(answer.elements("Code"), ["AccessDenied"], "{}", answer.text());
    site.settles_to(&before, "keys beside those that are allowed").await;
}
