//! Uploads.

use serde_json::json;

use super::{As, Site, body, refused};

const SERVICE: As = As::Service;

fn form(parts: &[(&str, &str)]) -> String {
    let part = |(head, text): &(&str, &str)| format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{text}\r\n");
    format!("{}--b--\r\n", parts.iter().map(part).collect::<String>())
}

#[tokio::test]
async fn an_upload_keeps_what_is_said_about_it() {
    let site = Site::start();
    site.bucket(json!({"name": "b"})).await;
    let call = site.call(SERVICE, "POST", "/object/b/folder/cat.txt").header("content-type", "text/plain");
    let call = call.header("cache-control", "max-age=3600").header("x-metadata", "eyJhIjoiMSIsIm4iOjJ9");
    let first = call.header("x-robots-tag", "noindex").body("hello world").send().await.expect(200);
    let first = body(&first);
    assert_eq!(first["Key"], "b/folder/cat.txt");
    let id = first["Id"].as_str().expect("an id").to_owned();
    assert_eq!(id.len(), 36);
    let info = site.plain(SERVICE, "GET", "/object/info/b/folder/cat.txt").await.expect(200);
    let told = body(&info);
    assert_eq!((&told["metadata"], &told["size"]), (&json!({"a": "1", "n": 2}), &json!(11)));
    assert_eq!((&told["content_type"], &told["cache_control"]), (&json!("text/plain"), &json!("max-age=3600")));
    assert_eq!(told["etag"], "\"5eb63bbbe01eeed093cb22bb8f5acdc3\"");
    assert_eq!(told["created_at"], told["last_modified"]);
    // S3 sees the same object.
    let s3 = site.server.root().get("b", "folder/cat.txt").await.expect(200);
    assert_eq!((s3.text().as_str(), s3.header("content-type")), ("hello world", Some("text/plain")));
    assert_eq!((s3.header("x-amz-meta-a"), s3.header("x-amz-meta-n")), (Some("1"), Some("2")));
    assert_eq!(s3.header("cache-control"), Some("max-age=3600"));
    let duplicate = site.upload(SERVICE, "b/folder/cat.txt", "again").await;
    refused(&duplicate, "409", "KeyAlreadyExists", "The resource already exists");
    let shouted =
        site.call(SERVICE, "POST", "/object/b/folder/cat.txt").header("x-upsert", "TRUE").body("x").send().await;
    refused(&shouted, "409", "KeyAlreadyExists", "The resource already exists");
    let call = site.call(SERVICE, "POST", "/object/b/folder/cat.txt").header("x-upsert", "true");
    let again = body(&call.header("content-type", "text/plain").body("hello upsert").send().await.expect(200));
    assert_eq!(again["Id"], id.as_str());
    let now = body(&site.plain(SERVICE, "GET", "/object/info/b/folder/cat.txt").await);
    assert_eq!((&now["metadata"], &now["created_at"]), (&json!({}), &told["created_at"]));
    assert_ne!(now["version"], told["version"]);
    let put = site.call(SERVICE, "PUT", "/object/b/new").body("put").send().await.expect(200);
    assert_eq!(body(&put)["Key"], "b/new");
    assert_eq!(site.server.root().get("b", "new").await.header("content-type"), Some("application/octet-stream"));
    // And what S3 writes is seen here.
    let s3 = site.server.root().call("PUT", "/b/s3.txt").header("x-amz-meta-Who", "me").body("x").send().await;
    s3.expect(200);
    let info = body(&site.plain(SERVICE, "GET", "/object/info/b/s3.txt").await.expect(200));
    assert_eq!(info["metadata"], json!({"who": "me"}));
}

#[tokio::test]
async fn forms_have_one_file_and_fields_around_it() {
    let site = Site::start();
    site.bucket(json!({"name": "b", "file_size_limit": 1000})).await;
    let send = |path: &'static str, text: String| {
        let call = site.call(SERVICE, "POST", path).header("content-type", "multipart/form-data; boundary=b");
        call.body(text).send()
    };
    let file = ("name=\"\"; filename=\"x\"\r\nContent-Type: text/plain", "hello form");
    let before = form(&[("name=\"cacheControl\"", "3600"), ("name=\"metadata\"", "{\"k\":\"v\"}"), file]);
    send("/object/b/a.txt", before).await.expect(200);
    let info = body(&site.plain(SERVICE, "GET", "/object/info/b/a.txt").await);
    assert_eq!((&info["cache_control"], &info["metadata"]), (&json!("max-age=3600"), &json!({"k": "v"})));
    assert_eq!((&info["content_type"], &info["size"]), (&json!("text/plain"), &json!(10)));
    let behind = form(&[file, ("name=\"cacheControl\"", "77"), ("name=\"contentType\"", "text/csv")]);
    send("/object/b/b.txt", behind).await.expect(200);
    let info = body(&site.plain(SERVICE, "GET", "/object/info/b/b.txt").await);
    assert_eq!((&info["cache_control"], &info["content_type"]), (&json!("max-age=77"), &json!("text/csv")));
    for nothing in [form(&[("name=\"a\"", "b")]), String::new(), "--x".to_owned()] {
        refused(&send("/object/b/c.txt", nothing).await, "400", "InvalidRequest", "No content provided");
    }
    let large = "x".repeat(1001);
    let large = form(&[("name=\"\"; filename=\"x\"", &large)]);
    let answer = send("/object/b/d.txt", large).await;
    refused(&answer, "413", "EntityTooLarge", "The object exceeded the maximum allowed size");
    let cut = form(&[file]).replace("--b--", "");
    assert_eq!(send("/object/b/e.txt", cut).await.status, 400);
    let two = form(&[file, file]);
    assert_eq!(send("/object/b/f.txt", two).await.status, 400);
    assert_eq!(site.server.root().keys_of("b", "").await, ["a.txt", "b.txt"]);
}

#[tokio::test]
async fn names_are_kept_or_refused() {
    let site = Site::start();
    site.bucket(json!({"name": "b"})).await;
    for key in ["a!b_c*'() &$=@;:+,?d-.txt", "a//b.txt", "dir/", "x/.emptyFolderPlaceholder"] {
        let text = if key.ends_with("Placeholder") { "" } else { "x" };
        let answer = site.upload(SERVICE, &format!("b/{key}"), text).await.expect(200);
        assert_eq!(body(&answer)["Key"], format!("b/{key}"));
        let read = site.plain(SERVICE, "GET", &format!("/object/authenticated/b/{key}")).await.expect(200);
        assert_eq!(read.text(), text);
    }
    let long = "k".repeat(1025);
    for key in ["a{b}.txt", "a~b", "你.txt", "../../etc/passwd", "./x", "a/..", "", &long, "a\0b", ".longshore/id"] {
        let answer = site.upload(SERVICE, &format!("b/{key}"), "x").await;
        refused(&answer, "400", "InvalidKey", &format!("Invalid key: {key}"));
    }
    let target = |path: &'static str| {
        site.call(SERVICE, "POST", "/object/b/x").spoil(move |signed| signed.target = path.to_owned()).body("x").send()
    };
    let encoded = target("/object/b/..%2F..%2Fetc").await;
    refused(&encoded, "400", "InvalidKey", "Invalid key: ../../etc");
    assert_eq!(body(&target("/object/b/a%ZZ").await)["code"], "FST_ERR_BAD_URL");
    refused(&target("/object/b%7Bx/x").await, "400", "InvalidBucketName", "Bucket name invalid");
    refused(&site.upload(SERVICE, "nob/x", "x").await, "404", "NoSuchBucket", "Bucket not found");
    let full = site.upload(SERVICE, "b/y/.emptyFolderPlaceholder", "x").await;
    refused(&full, "413", "EntityTooLarge", "The object exceeded the maximum allowed size");
    let typed = site.call(SERVICE, "POST", "/object/b/t").header("content-type", "undefined").body("x").send().await;
    refused(&typed, "415", "InvalidMimeType", "Invalid Content-Type header");
    let robots = site.call(SERVICE, "POST", "/object/b/r").header("x-robots-tag", "bogus!").body("x").send().await;
    refused(&robots, "400", "InvalidRequest", "Invalid X-Robots-Tag header: Invalid X-Robots-Tag rule: \"bogus!\"");
    let unread = site.call(SERVICE, "POST", "/object/b/m").header("x-metadata", "%%%").body("x").send().await;
    unread.expect(200);
}

#[tokio::test]
async fn of_writes_of_a_new_key_at_once_one_is_taken() {
    let site = Site::start();
    site.bucket(json!({"name": "b"})).await;
    let writes = (0..16).map(|n| site.call(SERVICE, "POST", "/object/b/one").body(format!("body {n}")).send());
    let answers = futures_util::future::join_all(writes).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for lost in answers.iter().filter(|answer| answer.status != 200) {
        refused(lost, "409", "KeyAlreadyExists", "The resource already exists");
    }
}
