//! Copies, moves, deletions.

use serde_json::json;

use super::{As, Site, body, refused};

const SERVICE: As = As::Service;

async fn with_objects() -> Site {
    let site = Site::start();
    for name in ["ls", "dst"] {
        site.bucket(json!({ "name": name })).await;
    }
    for key in ["a.txt", "B.txt", "c/1.txt", "c/2.txt"] {
        let call = site.call(SERVICE, "POST", &format!("/object/ls/{key}")).header("content-type", "text/plain");
        call.header("x-metadata", "eyJvbGQiOjF9").body(key).send().await.expect(200);
    }
    site
}

#[tokio::test]
async fn objects_are_moved() {
    let site = with_objects().await;
    let ask = |asked: serde_json::Value| site_move(&site, asked);
    let row = async |key: &str| {
        let info = body(&site.plain(SERVICE, "GET", &format!("/object/info/ls/{key}")).await);
        (info["id"].clone(), info["created_at"].clone())
    };
    let before = row("a.txt").await;
    let moved = ask(json!({"bucketId": "ls", "sourceKey": "a.txt", "destinationKey": "m/a.txt"})).await.expect(200);
    assert_eq!(moved.text(), r#"{"message":"Successfully moved"}"#);
    assert_eq!(row("m/a.txt").await, before, "it is the same one");
    let across = json!({"bucketId": "ls", "sourceKey": "B.txt", "destinationBucket": "dst", "destinationKey": "B.txt"});
    ask(across).await.expect(200);
    let root = site.server.root();
    assert_eq!(root.keys_of("ls", "").await, ["c/1.txt", "c/2.txt", "m/a.txt"]);
    assert_eq!(root.get("dst", "B.txt").await.text(), "B.txt");
    assert_eq!(body(&site.plain(SERVICE, "GET", "/object/info/dst/B.txt").await)["metadata"], json!({"old": 1}));
    ask(json!({"bucketId": "ls", "sourceKey": "m/a.txt", "destinationKey": "m/a.txt"})).await.expect(200);
    for (asked, status, code, message) in [
        (
            json!({"bucketId": "ls", "sourceKey": "a.txt", "destinationKey": "x"}),
            "404",
            "NoSuchKey",
            "Object not found",
        ),
        (
            json!({"bucketId": "nope", "sourceKey": "a.txt", "destinationKey": "x"}),
            "404",
            "NoSuchKey",
            "Object not found",
        ),
        (
            json!({"bucketId": "ls", "sourceKey": "c/1.txt", "destinationKey": "m/a.txt"}),
            "409",
            "ResourceAlreadyExists",
            "The resource already exists",
        ),
        (
            json!({"bucketId": "ls", "sourceKey": "c/1.txt", "destinationBucket": "nope", "destinationKey": "x"}),
            "404",
            "InvalidRequest",
            "The related resource does not exist",
        ),
        (
            json!({"bucketId": "ls", "sourceKey": "c/1.txt", "destinationKey": "C{.txt"}),
            "400",
            "InvalidKey",
            "Invalid key: C{.txt",
        ),
        (
            json!({"bucketId": "ls", "sourceKey": "c/1.txt"}),
            "400",
            "InvalidRequest",
            "body must have required property 'destinationKey'",
        ),
    ] {
        refused(&ask(asked).await, status, code, message);
    }
    let anon = json!({"bucketId": "ls", "sourceKey": "c/1.txt", "destinationKey": "x"});
    refused(&site.json(As::Anon, "POST", "/object/move", anon).await, "404", "NoSuchKey", "Object not found");
    assert_eq!(root.keys_of("ls", "").await, ["c/1.txt", "c/2.txt", "m/a.txt"]);
}

async fn site_move(site: &Site, asked: serde_json::Value) -> crate::harness::Answer {
    site.json(SERVICE, "POST", "/object/move", asked).await
}

#[tokio::test]
async fn objects_are_copied() {
    let site = with_objects().await;
    let asked = json!({"bucketId": "ls", "sourceKey": "c/1.txt", "destinationKey": "cp/1.txt"});
    let copied = body(&site.json(SERVICE, "POST", "/object/copy", asked.clone()).await.expect(200));
    assert_eq!(
        (&copied["Key"], &copied["bucket_id"], &copied["owner"]),
        (&json!("ls/cp/1.txt"), &json!("ls"), &json!(""))
    );
    assert_eq!((&copied["Id"], &copied["user_metadata"]), (&copied["id"], &json!({"old": 1})));
    let twice = site.json(SERVICE, "POST", "/object/copy", asked).await;
    refused(&twice, "409", "KeyAlreadyExists", "The resource already exists");
    let asked = json!({"bucketId": "ls", "sourceKey": "c/2.txt", "destinationKey": "cp/1.txt"});
    let over = site
        .call(SERVICE, "POST", "/object/copy")
        .header("content-type", "application/json")
        .header("x-upsert", "true");
    let over = body(&over.body(asked.to_string()).send().await.expect(200));
    assert_eq!(over["created_at"], copied["created_at"]);
    assert_eq!(site.server.root().get("ls", "cp/1.txt").await.text(), "c/2.txt");
    let asked = json!({"bucketId": "ls", "sourceKey": "c/2.txt", "destinationKey": "cp/2.txt", "copyMetadata": false,
        "metadata": {"cacheControl": "max-age=5", "mimetype": "text/csv"}});
    let call = site.call(SERVICE, "POST", "/object/copy").header("content-type", "application/json");
    call.header("x-metadata", "eyJxIjoxfQ==").body(asked.to_string()).send().await.expect(200);
    let info = body(&site.plain(SERVICE, "GET", "/object/info/ls/cp/2.txt").await);
    assert_eq!((&info["content_type"], &info["cache_control"]), (&json!("text/csv"), &json!("max-age=5")));
    assert_eq!(info["metadata"], json!({"q": 1}));
    // What is not said of a row that is written over stays: so caching is changed.
    let asked = json!({"bucketId": "ls", "sourceKey": "cp/2.txt", "destinationKey": "cp/2.txt", "copyMetadata": false,
        "metadata": {"cacheControl": "max-age=6"}});
    let call = site.call(SERVICE, "POST", "/object/copy").header("content-type", "application/json");
    call.header("x-upsert", "true").body(asked.to_string()).send().await.expect(200);
    let info = body(&site.plain(SERVICE, "GET", "/object/info/ls/cp/2.txt").await);
    assert_eq!((&info["cache_control"], &info["metadata"]), (&json!("max-age=6"), &json!({"q": 1})));
    let itself = json!({"bucketId": "ls", "sourceKey": "c/2.txt", "destinationKey": "c/2.txt"});
    let itself = site.json(SERVICE, "POST", "/object/copy", itself).await;
    refused(&itself, "409", "KeyAlreadyExists", "The resource already exists");
    let missing = json!({"bucketId": "ls", "sourceKey": "nope", "destinationKey": "x"});
    refused(&site.json(SERVICE, "POST", "/object/copy", missing).await, "404", "NoSuchKey", "Object not found");
    let elsewhere =
        json!({"bucketId": "ls", "sourceKey": "c/2.txt", "destinationBucket": "nope", "destinationKey": "x"});
    let elsewhere = site.json(SERVICE, "POST", "/object/copy", elsewhere).await;
    refused(&elsewhere, "404", "InvalidRequest", "The related resource does not exist");
}

#[tokio::test]
async fn objects_are_deleted() {
    let site = with_objects().await;
    let one = site.plain(SERVICE, "DELETE", "/object/ls/a.txt").await.expect(200);
    assert_eq!(one.text(), r#"{"message":"Successfully deleted"}"#);
    for path in ["/object/ls/a.txt", "/object/nope/a.txt"] {
        refused(&site.plain(SERVICE, "DELETE", path).await, "404", "NoSuchKey", "Object not found");
    }
    let empty =
        site.call(SERVICE, "DELETE", "/object/ls/B.txt").header("content-type", "application/json").send().await;
    refused(&empty, "400", "InvalidRequest", "Body cannot be empty when content-type is set to 'application/json'");
    let denied = site.plain(As::User(super::U1), "DELETE", "/object/ls/B.txt").await;
    refused(&denied, "403", "AccessDenied", "Access denied");
    let many = |who, bucket: &'static str, names: serde_json::Value| {
        let site = &site;
        async move { site.json(who, "DELETE", &format!("/object/{bucket}"), json!({ "prefixes": names })).await }
    };
    let gone = body(&many(SERVICE, "ls", json!(["c/2.txt", "nope.txt", "{"])).await.expect(200));
    assert_eq!((gone.as_array().map(Vec::len), &gone[0]["name"]), (Some(1), &json!("c/2.txt")));
    assert_eq!(gone[0]["user_metadata"], json!({"old": 1}));
    for (who, bucket) in [(As::User(super::U1), "ls"), (As::Anon, "ls"), (SERVICE, "nope")] {
        assert_eq!(many(who, bucket, json!(["B.txt"])).await.expect(200).text(), "[]");
    }
    let none = many(SERVICE, "ls", json!([])).await;
    refused(&none, "400", "InvalidRequest", "body/prefixes must NOT have fewer than 1 items");
    let absent = site.json(SERVICE, "DELETE", "/object/docs", json!({})).await;
    refused(&absent, "400", "InvalidRequest", "body must have required property 'prefixes'");
    assert_eq!(site.server.root().keys_of("ls", "").await, ["B.txt", "c/1.txt"]);
}
