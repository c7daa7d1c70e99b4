//! Uploads in parts, by S3 and resumable: whose they are, and when the policies are asked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{Ground, Said, said_by_s3};
use crate::harness::{Answer, Client};
use crate::supabase::{As, U1, U2, token};

/// What says where an upload goes.
pub(super) fn metadata(pairs: &[(&str, &str)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name} {}", STANDARD.encode(value))).collect::<Vec<_>>().join(",")
}

async fn begin(client: &Client, path: &str) -> Answer {
    client.call("POST", path).query("uploads", "").header("content-type", "text/plain").send().await
}

async fn part(client: &Client, path: &str, id: &str) -> Answer {
    client.call("PUT", path).query("partNumber", "1").query("uploadId", id).body("part").send().await
}

async fn complete(client: &Client, path: &str, id: &str, etag: &str) -> Answer {
    let text = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    );
    client.call("POST", path).query("uploadId", id).body(text).send().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_of_the_role_and_subject_that_began_it() {
    let Some(ground) = Ground::start("an_upload_is_of_the_role_and_subject").await else { return };
    let [one, two, anon] = [As::User(U1), As::User(U2), As::Anon].map(|who| ground.s3(who));
    let path = format!("/own/{U1}/parts");
    for refused in [&two, &anon] {
        begin(refused, &path).await.refused(403, "AccessDenied");
    }
    let begun = begin(&one, &path).await.expect(200);
    let id = &begun.elements("UploadId")[0];
    // The same subject under another role is somebody else.
    let other = ground.site.server.run(&["key", "create", "--json", "--role", "anon", "--sub", U1]);
    let other: serde_json::Value = serde_json::from_str(&other).expect("JSON");
    let text = |name: &str| other[name].as_str().expect("a text").to_owned();
    let other = ground.site.server.client(&text("access_key"), &text("secret_key"));
    for stranger in [&two, &anon, &other] {
        part(stranger, &path, id).await.refused(404, "NoSuchUpload");
        stranger.call("GET", &path).query("uploadId", id).send().await.refused(404, "NoSuchUpload");
        stranger.call("DELETE", &path).query("uploadId", id).send().await.refused(404, "NoSuchUpload");
        complete(stranger, &path, id, "x").await.refused(404, "NoSuchUpload");
    }
    let listed = |client: Client| async move { client.call("GET", "/own").query("uploads", "").send().await };
    assert_eq!(listed(one.clone()).await.expect(200).elements("UploadId"), std::slice::from_ref(id));
    assert!(listed(two).await.expect(200).elements("UploadId").is_empty());
    listed(anon).await.refused(404, "NoSuchBucket");
    let stored = part(&one, &path, id).await.expect(200);
    // What was let in may be refused at the end.
    ground.superuser("ALTER POLICY own_folder ON storage.objects WITH CHECK (bucket_id = 'nowhere')").await;
    complete(&one, &path, id, stored.etag()).await.refused(403, "AccessDenied");
    assert_eq!(said_by_s3(&ground.site.server.root().head("own", &format!("{U1}/parts")).await), Said::Hidden);
    ground.superuser("ALTER POLICY own_folder ON storage.objects WITH CHECK (bucket_id = 'own')").await;
    complete(&one, &path, id, stored.etag()).await.expect(200);
    assert_eq!(one.get("own", &format!("{U1}/parts")).await.expect(200).text(), "part");
}

/// A right that is taken while a body is on its way is gone when it is decided.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resumable_uploads_are_asked_about_at_both_ends() {
    let Some(ground) = Ground::start("resumable_uploads_are_asked_about").await else { return };
    let site = &ground.site;
    let begin = |who: As, bucket: &str, key: &str| {
        let said = metadata(&[("bucketName", bucket), ("objectName", key), ("contentType", "text/plain")]);
        site.call(who, "POST", "/upload/resumable")
            .header("tus-resumable", "1.0.0")
            .header("upload-length", "4")
            .header("upload-metadata", &said)
    };
    let patch = |who: As, at: &str| {
        site.call(who, "PATCH", at)
            .header("tus-resumable", "1.0.0")
            .header("upload-offset", "0")
            .header("content-type", "application/offset+octet-stream")
            .body("body")
    };
    // A drop box takes what is new, also in pieces.
    let at = begin(As::Anon, "drop", "new").send().await.expect(201).header("location").expect("an address").to_owned();
    patch(As::User(U1), &at).send().await.expect(404);
    patch(As::Anon, &at).send().await.expect(204);
    begin(As::Anon, "drop", "new").send().await.expect(409);
    begin(As::Anon, "open", "new").send().await.expect(403);
    let key = format!("{U1}/late");
    let at =
        begin(As::User(U1), "own", &key).send().await.expect(201).header("location").expect("an address").to_owned();
    ground.superuser("DROP POLICY own_folder ON storage.objects").await;
    patch(As::User(U1), &at).send().await.expect(403);
    site.plain(As::Service, "GET", &format!("/object/own/{key}")).await.expect(400);
    // A token that has ended goes on with nothing.
    let ended = token(&json!({"role": "authenticated", "sub": U1, "exp": 5}), crate::supabase::SECRET);
    let call = patch(As::Nobody, &at).header("authorization", &format!("Bearer {ended}"));
    assert_ne!(call.send().await.status, 204);
}
