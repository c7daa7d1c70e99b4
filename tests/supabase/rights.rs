//! Tokens on the embedded catalog: the policies of buckets and what is public decide, for every interface.

use serde_json::{Value, json};

use super::{As, Site, U1, U2, body, refused};

/// Every user has a folder, the first may list it, and everybody who has signed in may read what is shared.
fn policy() -> Value {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "role:authenticated"},
         "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
         "Resource": "arn:aws:s3:::priv/${jwt:sub}/*"},
        {"Effect": "Allow", "Principal": {"AWS": "role:authenticated"}, "Action": "s3:GetObject",
         "Resource": "arn:aws:s3:::priv/shared/*"},
        {"Effect": "Allow", "Principal": {"AWS": format!("sub:{U1}")}, "Action": "s3:ListBucket",
         "Resource": "arn:aws:s3:::priv", "Condition": {"StringLike": {"s3:prefix": "${jwt:sub}/*"}}},
        {"Effect": "Deny", "Principal": {"AWS": "role:anon"}, "Action": "s3:*", "Resource": "arn:aws:s3:::priv/*"}
    ]})
}

async fn with_policy() -> Site {
    let site = Site::start();
    site.bucket(json!({"name": "priv"})).await;
    let set = site.server.root().call("PUT", "/priv").query("policy", "").body(policy().to_string()).send().await;
    assert_eq!(set.status, 204, "{}", set.text());
    site.upload(As::Service, "priv/shared/s.txt", "shared").await.expect(200);
    site
}

#[tokio::test]
async fn policies_speak_of_roles_and_subjects() {
    let site = with_policy().await;
    let (one, two) = (As::User(U1), As::User(U2));
    site.upload(one, &format!("priv/{U1}/f.txt"), "mine").await.expect(200);
    let denied = site.upload(one, &format!("priv/{U2}/f.txt"), "not mine").await;
    refused(&denied, "403", "AccessDenied", "new row violates row-level security policy");
    let own = format!("/object/authenticated/priv/{U1}/f.txt");
    assert_eq!(site.plain(one, "GET", &own).await.expect(200).text(), "mine");
    for who in [two, As::Anon] {
        refused(&site.plain(who, "GET", &own).await, "404", "NoSuchKey", "Object not found");
    }
    for who in [one, two] {
        assert_eq!(site.plain(who, "GET", "/object/priv/shared/s.txt").await.expect(200).text(), "shared");
    }
    refused(
        &site.plain(As::Nobody, "GET", "/object/priv/shared/s.txt").await,
        "404",
        "NoSuchBucket",
        "Bucket not found",
    );
    let list = |who| {
        let site = &site;
        async move { body(&site.json(who, "POST", "/object/list/priv", json!({"prefix": U1})).await.expect(200)) }
    };
    assert_eq!((list(one).await[0]["name"].as_str(), list(two).await), (Some("f.txt"), json!([])));
    let root = json!({"prefix": ""});
    assert_eq!(site.json(one, "POST", "/object/list/priv", root).await.expect(200).text(), "[]");
    // Owned by the subject, which is no user.
    let copy = json!({"bucketId": "priv", "sourceKey": format!("{U1}/f.txt"), "destinationKey": format!("{U1}/g.txt")});
    let copied = body(&site.json(one, "POST", "/object/copy", copy).await.expect(200));
    assert_eq!((&copied["owner"], &copied["owner_id"]), (&json!(U1), &json!(U1)));
    let steal =
        json!({"bucketId": "priv", "sourceKey": format!("{U1}/f.txt"), "destinationKey": format!("{U2}/g.txt")});
    refused(&site.json(two, "POST", "/object/copy", steal.clone()).await, "404", "NoSuchKey", "Object not found");
    refused(&site.json(two, "POST", "/object/move", steal).await, "404", "NoSuchKey", "Object not found");
    let give = json!({"bucketId": "priv", "sourceKey": format!("{U1}/f.txt"), "destinationKey": format!("{U2}/g.txt")});
    let give = site.json(one, "POST", "/object/move", give).await;
    refused(&give, "403", "AccessDenied", "new row violates row-level security policy");
    let shared = json!({"bucketId": "priv", "sourceKey": "shared/s.txt", "destinationKey": format!("{U1}/s.txt")});
    let shared = site.json(one, "POST", "/object/move", shared).await;
    refused(&shared, "403", "AccessDenied", "new row violates row-level security policy");
    assert_eq!(
        site.server.root().keys_of("priv", "").await,
        [format!("{U1}/f.txt"), format!("{U1}/g.txt"), "shared/s.txt".to_owned()]
    );
}

#[tokio::test]
async fn what_nothing_allows_is_refused() {
    let site = with_policy().await;
    for who in [As::Anon, As::User(U1), As::User("root"), As::User("service_role")] {
        let made = site.json(who, "POST", "/bucket", json!({"name": "mine"})).await;
        refused(&made, "403", "AccessDenied", "new row violates row-level security policy");
        for (method, path, asked) in [
            ("GET", "/bucket/priv", json!(null)),
            ("PUT", "/bucket/priv", json!({"public": true})),
            ("DELETE", "/bucket/priv", json!(null)),
        ] {
            let call = site.call(who, method, path);
            let call = if asked.is_null() {
                call
            } else {
                call.header("content-type", "application/json").body(asked.to_string())
            };
            refused(&call.send().await, "404", "NoSuchBucket", "Bucket not found");
        }
        let empty = site.plain(who, "POST", "/bucket/priv/empty").await.expect(403);
        super::told(&empty, "403", "AccessDenied", "Access denied: Invalid role");
        assert_eq!(site.plain(who, "GET", "/bucket").await.expect(200).text(), "[]");
        let sign = site.json(who, "POST", "/object/sign/priv/nope", json!({"expiresIn": 60})).await;
        refused(&sign, "404", "NoSuchKey", "Object not found");
    }
    // A lock on root's name, and the lists of S3, give a token nothing.
    let root = site.server.root();
    root.call("PUT", "/acl-1").header("x-amz-acl", "authenticated-read").send().await.expect(200);
    root.put("acl-1", "k", "x").await.expect(200);
    for who in [As::User("root"), As::Anon] {
        refused(&site.plain(who, "GET", "/object/authenticated/acl-1/k").await, "404", "NoSuchKey", "Object not found");
    }
}
