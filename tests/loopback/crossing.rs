//! One object, whichever interface wrote it: the same for S3, for LoopBack and for Supabase.

use super::{Site, body};

/// What an object is, as one interface tells it.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    bytes: Vec<u8>,
    size: String,
    etag: String,
    kind: String,
}

/// A type without its character set, which LoopBack adds to texts.
fn essence(kind: Option<&str>) -> String {
    kind.unwrap_or_default().split(';').next().unwrap_or_default().to_owned()
}

async fn told_by_all(site: &Site, bucket: &str, key: &str) -> Vec<Told> {
    let escaped: String = key.bytes().map(|b| format!("%{b:02X}")).collect();
    let s3 = site.server.root().get(bucket, key).await;
    let loopback = site.get(&format!("/{bucket}/download/{escaped}")).await;
    let role = site.server.run(&["token", "create", "--role", "service_role"]);
    let target = format!("/storage/v1/object/{bucket}/{escaped}");
    let supabase = site.bare("GET", &target).header("authorization", &format!("Bearer {}", role.trim())).send().await;
    let tell = |answer: crate::harness::Answer| {
        let answer = answer.expect(200);
        Told {
            bytes: answer.body.to_vec(),
            size: answer.header("content-length").expect("a length").to_owned(),
            etag: answer.etag().to_owned(),
            kind: essence(answer.header("content-type")),
        }
    };
    [s3, loopback, supabase].into_iter().map(tell).collect()
}

#[tokio::test]
async fn every_pair_of_interfaces_agrees() {
    let site = Site::start();
    site.make("shared").await;
    let root = site.server.root();
    let put = root.call("PUT", "/shared/by s3.json").header("content-type", "application/json").body("{\"a\":1}");
    put.send().await.expect(200);
    root.put("shared", "deep/by s3", "deep").await.expect(200);
    site.upload("shared", "by loopback.csv", "text/csv", "a,b").await.expect(200);
    let role = site.server.run(&["token", "create", "--role", "service_role"]);
    let call = site.bare("POST", "/storage/v1/object/shared/by%20supabase.png").header("content-type", "image/png");
    call.header("authorization", &format!("Bearer {}", role.trim())).body("png").send().await.expect(200);
    for key in ["by s3.json", "by loopback.csv", "by supabase.png"] {
        let told = told_by_all(&site, "shared", key).await;
        assert!(told.iter().all(|one| *one == told[0]), "{key}: {told:?}");
        let size = body(&site.get(&format!("/shared/files/{}", key.replace(' ', "%20"))).await.expect(200))["size"]
            .to_string();
        assert_eq!(size, told[0].size, "{key}");
    }
    assert_eq!(site.files("shared").await, ["by loopback.csv", "by s3.json", "by supabase.png"]);
    assert_eq!(root.keys_of("shared", "").await.len(), 4);
    // Who owns it is told by the one that has a word for it.
    let owners =
        root.call("GET", "/shared").query("list-type", "2").query("fetch-owner", "true").send().await.expect(200);
    assert!(owners.elements("ID").iter().all(|owner| owner == "root"), "{}", owners.text());
    // What one removes is gone for all, and what one makes anew is new for all.
    site.call("DELETE", "/shared/files/by%20s3.json").send().await.expect(200);
    root.head("shared", "by s3.json").await.expect(404);
    root.delete("shared", "by loopback.csv").await.expect(204);
    site.get("/shared/files/by%20loopback.csv").await.expect(404);
    site.upload("shared", "by supabase.png", "image/png", "another").await.expect(200);
    let told = told_by_all(&site, "shared", "by supabase.png").await;
    assert!(told.iter().all(|one| *one == told[0] && one.bytes == b"another"), "{told:?}");
}

#[tokio::test]
async fn who_uploads_by_a_token_owns_what_it_uploads() {
    let site = Site::start();
    let ann = site.server.user("ann", "readwrite");
    site.make("roots").await;
    let token = super::token_of(&site.server, "ann");
    let kind = format!("multipart/form-data; boundary={}", super::BOUNDARY);
    let call = site.bare("POST", "/api/containers/roots/upload").header("authorization", &token);
    let call = call.header("content-type", &kind).body(super::form(&[super::file("f", "f", "text/plain", "1")]));
    call.send().await.expect(200);
    let list = ann.call("GET", "/roots").query("list-type", "2").query("fetch-owner", "true").send().await.expect(200);
    assert_eq!(list.elements("ID"), ["ann"]);
}
