//! Buckets.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{As, Site, body, refused, told};

const SERVICE: As = As::Service;

#[tokio::test]
async fn a_bucket_is_made_read_changed_and_removed() {
    let site = Site::start();
    let made = site.json(SERVICE, "POST", "/bucket", json!({"name": "avatars"})).await.expect(200);
    assert_eq!(made.text(), r#"{"name":"avatars"}"#);
    assert_eq!(made.header("content-type"), Some("application/json; charset=utf-8"));
    let whole = json!({"name": "pub", "id": "pub", "public": "true", "file_size_limit": "1MB",
        "allowed_mime_types": ["image/*", "", "text/plain"]});
    site.json(SERVICE, "POST", "/storage/v1/bucket/", whole).await.expect(200);
    let twice = site.json(SERVICE, "POST", "/bucket", json!({"name": "avatars"})).await;
    refused(&twice, "409", "BucketAlreadyExists", "The resource already exists");
    let shown = body(&site.plain(SERVICE, "GET", "/bucket/pub").await.expect(200));
    assert_eq!(shown["file_size_limit"], 1_000_000);
    assert_eq!(shown["allowed_mime_types"], json!(["image/*", "text/plain"]));
    assert_eq!((&shown["public"], &shown["owner"], &shown["id"]), (&json!(true), &json!(""), &json!("pub")));
    let created = shown["created_at"].as_str().expect("a date");
    assert!(created.len() == 24 && created.ends_with('Z'), "{created}");
    let change = json!({"public": true, "file_size_limit": "20mb", "allowed_mime_types": ["image/jpeg"]});
    let changed = site.json(SERVICE, "PUT", "/bucket/avatars", change).await.expect(200);
    assert_eq!(changed.text(), r#"{"message":"Successfully updated"}"#);
    let shown = body(&site.plain(SERVICE, "GET", "/bucket/avatars").await);
    assert_eq!((&shown["public"], &shown["file_size_limit"]), (&json!(true), &json!(20_000_000)));
    site.json(SERVICE, "PUT", "/bucket/avatars", json!({"file_size_limit": null, "allowed_mime_types": null}))
        .await
        .expect(200);
    site.json(SERVICE, "PUT", "/bucket/avatars", json!({})).await.expect(200);
    site.plain(SERVICE, "PUT", "/bucket/avatars").await.expect(200);
    let shown = body(&site.plain(SERVICE, "GET", "/bucket/avatars").await);
    assert_eq!((&shown["file_size_limit"], &shown["allowed_mime_types"]), (&Value::Null, &Value::Null));
    assert_eq!(shown["public"], true);
    site.upload(SERVICE, "avatars/a", "x").await.expect(200);
    let full = site.plain(SERVICE, "DELETE", "/bucket/avatars").await;
    refused(&full, "409", "ResourceNotEmpty", "The bucket you tried to delete is not empty");
    let emptied = site.plain(SERVICE, "POST", "/bucket/avatars/empty").await.expect(200);
    assert_eq!(emptied.text(), r#"{"message":"Successfully emptied"}"#);
    let gone = site.plain(SERVICE, "DELETE", "/bucket/avatars").await.expect(200);
    assert_eq!(gone.text(), r#"{"message":"Successfully deleted"}"#);
    refused(&site.plain(SERVICE, "GET", "/bucket/avatars").await, "404", "NoSuchBucket", "Bucket not found");
}

#[tokio::test]
async fn what_makes_no_bucket_is_told() {
    let site = Site::start();
    let long = "a".repeat(101);
    for name in ["", "a/b", " a", &long, "bücket", "x--table-s3", ".longshore"] {
        let answer = site.json(SERVICE, "POST", "/bucket", json!({ "name": name })).await;
        refused(&answer, "400", "InvalidBucketName", "Bucket name invalid");
    }
    let size = "body/file_size_limit must match pattern \"^[0-9]+(?:\\.[0-9]+)?(?:[gG][bB]|[mM][bB]|[kK][bB]|[bB])$\", \
                body/file_size_limit must match a schema in anyOf";
    for (asked, status, code, message) in [
        (json!({"public": true}), "400", "InvalidRequest", "body must have required property 'name'".to_owned()),
        (json!({"name": "b", "public": "yes"}), "400", "InvalidRequest", "body/public must be boolean".to_owned()),
        (json!([1]), "400", "InvalidRequest", "body must be object".to_owned()),
        (
            json!({"name": "b", "file_size_limit": -1}),
            "400",
            "InvalidRequest",
            format!("body/file_size_limit must be >= 0, {size}"),
        ),
        (
            json!({"name": "b", "file_size_limit": "100XB"}),
            "400",
            "InvalidRequest",
            format!(
                "body/file_size_limit must be integer, body/file_size_limit must pass \"finite\" keyword validation, {size}"
            ),
        ),
        (
            json!({"name": "b", "file_size_limit": "100GB"}),
            "413",
            "EntityTooLarge",
            "The object exceeded the maximum allowed size".to_owned(),
        ),
        (
            json!({"name": "b", "allowed_mime_types": ["png"]}),
            "415",
            "InvalidMimeType",
            "mime type png is not supported".to_owned(),
        ),
    ] {
        refused(&site.json(SERVICE, "POST", "/bucket", asked).await, status, code, &message);
    }
    let call = || site.call(SERVICE, "POST", "/bucket");
    let bad = call().header("content-type", "application/json").body("{x}").send().await;
    refused(&bad, "400", "InvalidRequest", "Body is not valid JSON but content-type is set to 'application/json'");
    let none = call().header("content-type", "application/json").send().await;
    refused(&none, "400", "InvalidRequest", "Body cannot be empty when content-type is set to 'application/json'");
    let form = call().header("content-type", "application/x-www-form-urlencoded").body("name=b").send().await;
    refused(&form, "400", "InvalidRequest", "body must be object");
    let huge = format!("{{\"name\":\"{}\"}}", "x".repeat(2 << 20));
    let huge = call().header("content-type", "application/json").body(huge).send().await;
    assert_eq!(body(&huge)["statusCode"], "413");
    let unknown = site.plain(SERVICE, "GET", "/bucket/a/b/c").await.expect(404);
    told(&unknown, "404", "InvalidRequest", "Route GET:/bucket/a/b/c not found");
}

#[tokio::test]
async fn buckets_are_listed_sorted_paged_and_searched() {
    let site = Site::start();
    for name in ["beta", "Alpha", "a_c", "abc"] {
        site.bucket(json!({ "name": name })).await;
    }
    let names = |answer: crate::harness::Answer| -> Vec<String> {
        let list = body(&answer.expect(200));
        list.as_array().expect("a list").iter().map(|b| b["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names(site.plain(SERVICE, "GET", "/bucket").await), ["beta", "Alpha", "a_c", "abc"]);
    let sorted = site.plain(SERVICE, "GET", "/bucket/?sortColumn=name&sortOrder=desc&limit=2&offset=1").await;
    assert_eq!(names(sorted), ["abc", "a_c"]);
    assert_eq!(names(site.plain(SERVICE, "GET", "/bucket?search=ALP").await), ["Alpha"]);
    assert_eq!(names(site.plain(SERVICE, "GET", "/bucket?search=_").await), ["a_c"]);
    let typed = body(&site.plain(SERVICE, "GET", "/bucket").await);
    assert_eq!(typed[0]["type"], "STANDARD");
    let old = site.call(SERVICE, "GET", "/bucket").header("x-client-info", "supabase-py/2.17.3").send().await;
    assert!(body(&old)[0].get("type").is_none());
    for (query, message) in [
        ("sortColumn=foo", "querystring/sortColumn must be equal to one of the allowed values"),
        ("limit=0", "querystring/limit must be >= 1"),
        ("limit=x", "querystring/limit must be integer"),
        ("offset=-1", "querystring/offset must be >= 0"),
    ] {
        refused(&site.plain(SERVICE, "GET", &format!("/bucket?{query}")).await, "400", "InvalidRequest", message);
    }
    assert_eq!(site.plain(As::Anon, "GET", "/bucket").await.expect(200).text(), "[]");
}

#[tokio::test]
async fn limits_of_a_bucket_hold_on_every_door() {
    let site = Site::start();
    let asked = json!({"name": "small", "file_size_limit": 1000, "allowed_mime_types": ["text/plain", "image/*"]});
    site.bucket(asked).await;
    let root = site.server.root();
    let text = |bytes: usize| root.call("PUT", "/small/k").header("content-type", "text/plain").body(vec![b'x'; bytes]);
    text(1000).send().await.expect(200);
    text(1001).send().await.refused(400, "EntityTooLarge");
    let other = root.call("PUT", "/small/z").header("content-type", "application/zip").body("x").send().await;
    other.refused(415, "InvalidMimeType");
    root.put("small", "untyped", "x").await.refused(415, "InvalidMimeType");
    let copy = root.call("PUT", "/small/copy").header("x-amz-copy-source", "/small/k").send().await;
    copy.expect(200);
    let retyped = root.call("PUT", "/small/copy").header("x-amz-copy-source", "/small/k");
    let retyped = retyped.header("x-amz-metadata-directive", "REPLACE").header("content-type", "text/html");
    retyped.send().await.refused(415, "InvalidMimeType");
    root.create_bucket("large").await.expect(200);
    root.call("PUT", "/large/k").header("content-type", "text/plain").body(vec![b'x'; 2000]).send().await.expect(200);
    let copy = root.call("PUT", "/small/copy").header("x-amz-copy-source", "/large/k").send().await;
    copy.refused(400, "EntityTooLarge");
    let begun =
        root.call("POST", "/small/parts").query("uploads", "").header("content-type", "text/plain").send().await;
    let id = begun.expect(200).elements("UploadId").remove(0);
    let part = |number: &str, bytes: usize| {
        let call = root.call("PUT", "/small/parts").query("partNumber", number).query("uploadId", &id);
        call.body(vec![b'x'; bytes])
    };
    part("1", 1001).send().await.refused(400, "EntityTooLarge");
    assert_eq!(root.keys_of("small", "").await, ["copy", "k"]);
    // A body whose length nobody says.
    let address = site.server.rest;
    let token = As::Service.token().expect("a token");
    let head = format!(
        "POST /object/small/chunked HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    );
    let body = format!("{head}9C4\r\n{}\r\n0\r\n\r\n", "x".repeat(2500));
    let mut socket = TcpStream::connect(address).await.expect("a connection");
    socket.write_all(body.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.expect("an answer");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("EntityTooLarge"), "{answer}");
    assert_eq!(root.keys_of("small", "").await, ["copy", "k"]);
}
