//! Reads: GET, HEAD, conditions, ranges, downloads.

use serde_json::json;

use super::{As, Site, refused, told};
use crate::harness::Options;

const SERVICE: As = As::Service;

async fn with_objects() -> Site {
    let site = Site::start();
    site.bucket(json!({"name": "pub", "public": true})).await;
    site.bucket(json!({"name": "priv"})).await;
    for bucket in ["pub", "priv"] {
        let call =
            site.call(SERVICE, "POST", &format!("/object/{bucket}/f/cat.txt")).header("cache-control", "max-age=60");
        call.header("content-type", "text/plain").body("hello put").send().await.expect(200);
    }
    site
}

#[tokio::test]
async fn who_may_read_what() {
    let site = with_objects().await;
    for (who, path, text) in [
        (SERVICE, "/object/authenticated/pub/f/cat.txt", true),
        (SERVICE, "/storage/v1/object/priv/f/cat.txt", true),
        (As::Nobody, "/object/pub/f/cat.txt", true),
        (As::Anon, "/object/pub/f/cat.txt", true),
        (As::Nobody, "/object/public/pub/f/cat.txt", true),
    ] {
        let answer = site.plain(who, "GET", path).await.expect(200);
        assert_eq!(answer.text() == "hello put", text, "{path}");
        for (name, value) in [
            ("accept-ranges", "bytes"),
            ("content-type", "text/plain"),
            ("etag", "\"56672f76ded40e260d3a3c8b47cb4ec7\""),
            ("x-robots-tag", "none"),
            ("cache-control", "max-age=60"),
            ("content-length", "9"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{name} of {path}");
        }
        let head = site.plain(who, "HEAD", path).await.expect(200);
        assert_eq!(head.header("content-length"), Some("9"));
    }
    let bad = site.call(As::Nobody, "GET", "/object/pub/f/cat.txt").header("authorization", "Bearer a.b.c");
    bad.send().await.expect(200);
    for path in [
        "/object/priv/f/cat.txt",
        "/object/public/priv/f/cat.txt",
        "/object/public/nob/x",
        "/object/info/priv/f/cat.txt",
    ] {
        refused(&site.plain(As::Nobody, "GET", path).await, "404", "NoSuchBucket", "Bucket not found");
    }
    refused(&site.plain(As::Nobody, "GET", "/object/public/pub/zzz").await, "404", "NoSuchKey", "Object not found");
    for who in [As::Anon, As::User(super::U1)] {
        let hidden = site.plain(who, "GET", "/object/authenticated/priv/f/cat.txt").await;
        refused(&hidden, "404", "NoSuchKey", "Object not found");
    }
    refused(
        &site.plain(SERVICE, "GET", "/object/authenticated/priv/zzz").await,
        "404",
        "NoSuchKey",
        "Object not found",
    );
    let missing = site.plain(SERVICE, "GET", "/object/authenticated/nob/zzz").await;
    refused(&missing, "404", "NoSuchBucket", "Bucket not found");
    let unnamed = site.plain(As::Nobody, "GET", "/object/authenticated/pub/f/cat.txt").await;
    refused(&unnamed, "400", "InvalidRequest", "headers must have required property 'authorization'");
    assert_eq!(site.plain(SERVICE, "HEAD", "/object/pub/zzz").await.status, 400);
}

#[tokio::test]
async fn conditions_and_ranges_are_those_of_http() {
    let site = with_objects().await;
    let path = "/object/public/pub/f/cat.txt";
    let get = |name: &'static str, value: String| site.call(As::Nobody, "GET", path).header(name, &value).send();
    let etag = "\"56672f76ded40e260d3a3c8b47cb4ec7\"";
    let date = site.plain(As::Nobody, "GET", path).await.header("last-modified").expect("a date").to_owned();
    for (name, value) in [
        ("if-none-match", etag.to_owned()),
        ("if-none-match", format!("W/{etag}")),
        ("if-none-match", "*".to_owned()),
        ("if-none-match", format!("\"x\", {etag}")),
        ("if-modified-since", date.clone()),
    ] {
        let answer = get(name, value).await.expect(304);
        assert_eq!((answer.header("etag"), answer.header("cache-control")), (Some(etag), Some("max-age=60")));
    }
    let changed = get("if-none-match", "\"x\"".to_owned()).await.expect(200);
    assert_eq!(changed.header("cache-control"), Some("max-age=60, stale-while-revalidate=30"));
    for (range, text, told) in
        [("bytes=0-3", "hell", "bytes 0-3/9"), ("bytes=-3", "put", "bytes 6-8/9"), ("bytes=4-", "o put", "bytes 4-8/9")]
    {
        let part = get("range", range.to_owned()).await.expect(206);
        assert_eq!((part.text().as_str(), part.header("content-range")), (text, Some(told)));
    }
    for range in ["bytes=100-200", "bytes=0-1,3-4", "items=0-1", "bytes=x"] {
        told(&get("range", range.to_owned()).await.expect(416), "416", "InvalidRange", "invalid range provided");
    }
    let held = |value: String| {
        site.call(As::Nobody, "GET", path).header("range", "bytes=0-3").header("if-range", &value).send()
    };
    held(etag.to_owned()).await.expect(206);
    held(date).await.expect(206);
    assert_eq!(held("\"x\"".to_owned()).await.expect(200).text(), "hello put");
}

#[tokio::test]
async fn downloads_have_names_and_pages_do_not_run() {
    let site = with_objects().await;
    let bare = site.call(As::Nobody, "GET", "/object/public/pub/f/cat.txt").query("download", "").send().await;
    assert_eq!(bare.header("content-disposition"), Some("attachment;"));
    let named = site.plain(As::Nobody, "GET", "/object/public/pub/f/cat.txt?download=my filé.txt").await;
    let wanted = "attachment; filename=my%20fil%C3%A9.txt; filename*=UTF-8''my%20fil%C3%A9.txt";
    assert_eq!(named.header("content-disposition"), Some(wanted));
    let split = site.plain(As::Nobody, "GET", "/object/public/pub/f/cat.txt?download=a\r\nx-y: z").await.expect(200);
    assert_eq!(split.header("x-y"), None);
    for (kind, shown) in [("text/html; charset=utf-8", "text/plain"), ("image/svg+xml", "image/svg+xml")] {
        let call = site.call(SERVICE, "PUT", "/object/pub/page").header("content-type", kind);
        call.body("<b>").send().await.expect(200);
        let answer = site.plain(As::Nobody, "GET", "/object/public/pub/page").await.expect(200);
        assert_eq!(answer.header("content-type"), Some(shown));
        let sandbox = answer.header("content-security-policy").is_some_and(|policy| policy.contains("sandbox"));
        assert_eq!(sandbox, shown != "text/plain");
    }
    let nosy = site.call(As::Nobody, "GET", "/object/public/pub/f/cat.txt").header("origin", "http://evil.example");
    let nosy = nosy.send().await.expect(200);
    assert_eq!(nosy.header("access-control-allow-origin"), Some("*"));
    assert_eq!(nosy.header("access-control-allow-credentials"), None);
    let asks = site.call(As::Nobody, "OPTIONS", "/object/pub/x").header("origin", "http://a.example");
    let asks = asks.header("access-control-request-method", "POST");
    let asks = asks.header("access-control-request-headers", "authorization,x-upsert").send().await.expect(204);
    assert_eq!(asks.header("access-control-allow-headers"), Some("authorization,x-upsert"));
}

#[tokio::test]
async fn health_is_told() {
    let site = Site::with(Options::default());
    assert_eq!(site.plain(As::Anon, "GET", "/health").await.expect(200).text(), r#"{"healthy":true}"#);
    refused(&site.plain(As::Nobody, "GET", "/health").await, "403", "AccessDenied", "Invalid Compact JWS");
    assert_eq!(site.plain(As::Nobody, "GET", "/status").await.expect(200).text(), "");
    assert_eq!(site.plain(As::Nobody, "GET", "/healthz").await.expect(200).text(), "ok\n");
    let purge = site.plain(As::Anon, "DELETE", "/cdn/b/k").await.expect(403);
    told(&purge, "403", "AccessDenied", "Access denied: Invalid role");
    let message = "Missing Required Parameter CDN_PURGE_ENDPOINT_URL is not set";
    refused(&site.plain(SERVICE, "DELETE", "/cdn/b/k").await, "400", "MissingParameter", message);
}
