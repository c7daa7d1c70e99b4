//! Signed addresses.

use serde_json::json;

use super::{As, SECRET, Site, body, now, refused, token};

const SERVICE: As = As::Service;

async fn with_objects() -> Site {
    let site = Site::start();
    site.bucket(json!({"name": "ls"})).await;
    for key in ["c/2.txt", "cp 1.txt", "what?.txt"] {
        site.upload(SERVICE, &format!("ls/{key}"), "x").await.expect(200);
    }
    site
}

/// The path and the token of a signed address.
fn parts(url: &str) -> (String, String) {
    let (path, token) = url.split_once("?token=").expect("a token");
    (path.to_owned(), token.to_owned())
}

async fn by(site: &Site, method: &str, path: &str, token: &str) -> crate::harness::Answer {
    site.call(As::Nobody, method, path).query("token", token).header("content-type", "text/plain").body("").send().await
}

#[tokio::test]
async fn an_address_reads_one_object_until_it_ends() {
    let site = with_objects().await;
    let asked = json!({"expiresIn": "60"});
    let signed = body(&site.json(SERVICE, "POST", "/object/sign/ls/c/2.txt", asked).await.expect(200));
    let (path, good) = parts(signed["signedURL"].as_str().expect("an address"));
    assert_eq!(path, "/object/sign/ls/c/2.txt");
    let read = by(&site, "GET", &path, &good).await.expect(200);
    assert!(read.header("expires").is_some() && read.header("cache-control").is_none());
    assert_eq!(read.text(), "x");
    by(&site, "HEAD", &path, &good).await.expect(200);
    let named =
        site.call(As::Nobody, "GET", &path).query("token", &good).query("download", "x.txt").send().await.expect(200);
    assert_eq!(named.header("content-disposition"), Some("attachment; filename=x.txt; filename*=UTF-8''x.txt"));
    let claims = |url: &str, scope: &str, end: i64| json!({"url": url, "scope": scope, "iat": 1, "exp": end});
    let later = now() + 60;
    for (path, text, code, message) in [
        ("/object/sign/ls/cp 1.txt", good.clone(), "InvalidSignature", "Invalid signature"),
        (path.as_str(), "abc".to_owned(), "InvalidJWT", "Invalid Compact JWS"),
        (
            path.as_str(),
            token(&claims("ls/c/2.txt", "download", later), "another secret"),
            "InvalidJWT",
            "signature verification failed",
        ),
        (
            path.as_str(),
            token(&claims("ls/c/2.txt", "download", 5), SECRET),
            "InvalidJWT",
            "\"exp\" claim timestamp check failed",
        ),
        (
            path.as_str(),
            token(&claims("ls/c/2.txt", "upload", later), SECRET),
            "InvalidSignature",
            "Token is not scoped for download",
        ),
        (
            path.as_str(),
            token(&json!({"role": "service_role", "exp": later}), SECRET),
            "InvalidSignature",
            "Invalid signature",
        ),
        (
            path.as_str(),
            token(&json!({"url": "ls/c/2.txt", "upsert": false, "exp": later}), SECRET),
            "InvalidSignature",
            "Token is not scoped for download",
        ),
    ] {
        refused(&by(&site, "GET", path, &text).await, "400", code, message);
    }
    // As older servers signed them.
    by(&site, "GET", &path, &token(&json!({"url": "ls/c/2.txt", "exp": later}), SECRET)).await.expect(200);
    let bare = site.plain(As::Nobody, "GET", &path).await;
    refused(&bare, "400", "InvalidRequest", "querystring must have required property 'token'");
    // It is no token of a caller.
    let call = site.call(As::Nobody, "GET", "/bucket").header("authorization", &format!("Bearer {good}")).send().await;
    refused(&call, "403", "AccessDenied", "signature verification failed");
    let signed =
        body(&site.json(SERVICE, "POST", "/object/sign/ls/what?.txt", json!({"expiresIn": 60})).await.expect(200));
    let (path, good) = parts(signed["signedURL"].as_str().expect("an address"));
    // Clients escape what they get, also what is escaped already.
    for path in [path.clone(), path.replace('%', "%25")] {
        let call = site
            .call(As::Nobody, "GET", "/object/sign/ls/x")
            .spoil(|signed| signed.target = format!("{path}?token={good}"));
        call.send().await.expect(200);
    }
}

#[tokio::test]
async fn what_is_not_signed_is_told() {
    let site = with_objects().await;
    let sign = |who, path: &'static str, asked: serde_json::Value| {
        let site = &site;
        async move { site.json(who, "POST", &format!("/object/sign/{path}"), asked).await }
    };
    for (asked, code, message) in [
        (json!({}), "InvalidRequest", "body must have required property 'expiresIn'"),
        (json!({"expiresIn": 0}), "InvalidRequest", "body/expiresIn must be >= 1"),
        (json!({"expiresIn": 9_007_199_254_740_991_i64}), "InvalidParameter", "Invalid Parameter expiresIn"),
    ] {
        refused(&sign(SERVICE, "ls/c/2.txt", asked).await, "400", code, message);
    }
    for (who, path) in [(SERVICE, "ls/nope.txt"), (As::Anon, "ls/c/2.txt")] {
        refused(&sign(who, path, json!({"expiresIn": 60})).await, "404", "NoSuchKey", "Object not found");
    }
    let many = body(&sign(SERVICE, "ls", json!({"expiresIn": 60, "paths": ["c/2.txt", "nope.txt"]})).await.expect(200));
    assert_eq!((&many[0]["error"], &many[0]["path"]), (&json!(null), &json!("c/2.txt")));
    let (path, good) = parts(many[0]["signedURL"].as_str().expect("an address"));
    by(&site, "GET", &path, &good).await.expect(200);
    let error = "Either the object does not exist or you do not have access to it";
    assert_eq!(many[1], json!({"error": error, "path": "nope.txt", "signedURL": null}));
    let none = sign(SERVICE, "ls", json!({"expiresIn": 60, "paths": []})).await;
    refused(&none, "400", "InvalidRequest", "body/paths must NOT have fewer than 1 items");
    let missing = body(&sign(SERVICE, "nope", json!({"expiresIn": 60, "paths": ["a"]})).await.expect(200));
    assert_eq!(missing[0]["error"], error);
}

#[tokio::test]
async fn an_address_writes_one_object() {
    let site = with_objects().await;
    let signed = body(&site.plain(SERVICE, "POST", "/object/upload/sign/ls/su/a.txt").await.expect(200));
    let (path, text) = parts(signed["url"].as_str().expect("an address"));
    assert_eq!((path.as_str(), signed["token"].as_str()), ("/object/upload/sign/ls/su/a.txt", Some(text.as_str())));
    let put = |path: &str, token: &str, upsert: &str| {
        let call = site.call(As::Nobody, "PUT", path).query("token", token).header("content-type", "text/plain");
        call.header("x-upsert", upsert).body("signed body").send()
    };
    let done = put(&path, &text, "false").await.expect(200);
    assert_eq!(done.text(), r#"{"Key":"ls/su/a.txt"}"#);
    refused(&put(&path, &text, "true").await, "409", "KeyAlreadyExists", "The resource already exists");
    let taken = site.plain(SERVICE, "POST", "/object/upload/sign/ls/su/a.txt").await;
    refused(&taken, "409", "KeyAlreadyExists", "The resource already exists");
    let call =
        site.call(As::Service, "POST", "/object/upload/sign/ls/su/a.txt").header("x-upsert", "true").send().await;
    let (path, over) = parts(body(&call.expect(200))["url"].as_str().expect("an address"));
    put(&path, &over, "false").await.expect(200);
    refused(
        &put("/object/upload/sign/ls/su/z.txt", &over, "true").await,
        "400",
        "InvalidSignature",
        "Invalid signature",
    );
    let download = body(&site.json(SERVICE, "POST", "/object/sign/ls/c/2.txt", json!({"expiresIn": 60})).await);
    let (_, download) = parts(download["signedURL"].as_str().expect("an address"));
    let answer = put("/object/upload/sign/ls/c/2.txt", &download, "true").await;
    refused(&answer, "400", "InvalidSignature", "Token is not scoped for upload");
    let read = by(&site, "GET", "/object/sign/ls/su/a.txt", &over).await;
    refused(&read, "400", "InvalidSignature", "Token is not scoped for download");
    let bare = site.plain(As::Nobody, "PUT", "/object/upload/sign/ls/su/a.txt").await;
    refused(&bare, "400", "InvalidRequest", "querystring must have required property 'token'");
    let anon = site.plain(As::Anon, "POST", "/object/upload/sign/ls/su/c.txt").await;
    refused(&anon, "403", "AccessDenied", "new row violates row-level security policy");
    let missing = site.plain(SERVICE, "POST", "/object/upload/sign/nope/su/c.txt").await;
    refused(&missing, "404", "InvalidRequest", "The related resource does not exist");
}
