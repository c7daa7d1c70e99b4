//! Who reaches what through policies, lists and owners, over HTTP.

use crate::harness::Server;

const ALICE: &str = "alice";

#[tokio::test]
async fn a_policy_lets_others_in_as_far_as_its_conditions_hold() {
    let server = Server::start();
    let (alice, bob) = (server.user(ALICE, "readwrite"), server.user("bob", "readwrite"));
    alice.create_bucket("hers").await.expect(200);
    for (key, tag) in [("open", "level=public"), ("shut", "level=private")] {
        alice.call("PUT", &format!("/hers/{key}")).header("x-amz-tagging", tag).body("x").send().await.expect(200);
    }
    bob.get("hers", "open").await.refused(403, "AccessDenied");
    let policy = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::hers/*",
         "Condition":{"StringEquals":{"s3:ExistingObjectTag/level":"public"}}},
        {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam:::user/bob"},"Action":"s3:PutObject",
         "Resource":"arn:aws:s3:::hers/${aws:username}/*","Condition":{"StringEquals":{"s3:RequestObjectTag/a":"1"}}},
        {"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::hers/*",
         "Condition":{"StringLike":{"aws:Referer":"http://evil/*"}}}]}"#;
    alice.call("PUT", "/hers").query("policy", "").body(policy).send().await.expect(204);
    for client in [&bob, &server.anonymous()] {
        client.get("hers", "open").await.expect(200);
        client.head("hers", "open").await.expect(200);
        client.get("hers", "shut").await.refused(403, "AccessDenied");
        // Who may not list does not learn which keys there are.
        client.get("hers", "absent").await.refused(403, "AccessDenied");
        client.list("hers", "").await.refused(403, "AccessDenied");
        client.call("GET", "/hers/open").header("referer", "http://evil/x").send().await.refused(403, "AccessDenied");
    }
    alice.call("GET", "/hers/shut").header("referer", "http://evil/x").send().await.refused(403, "AccessDenied");
    alice.get("hers", "absent").await.refused(404, "NoSuchKey");
    bob.put("hers", "bob/k", "x").await.refused(403, "AccessDenied");
    let put = |key: &str| bob.call("PUT", &format!("/hers/{key}")).header("x-amz-tagging", "a=1").body("x");
    put("bob/k").send().await.expect(200);
    put("carol/k").send().await.refused(403, "AccessDenied");
    // What bob wrote is bob's: its bucket's owner removes it, and does not read it.
    bob.get("hers", "bob/k").await.expect(200);
    alice.get("hers", "bob/k").await.refused(403, "AccessDenied");
    alice.delete("hers", "bob/k").await.expect(204);
    // A source that may not be read is not copied, wherever to.
    bob.create_bucket("his").await.expect(200);
    let copy = |key: &str| bob.call("PUT", "/his/k").header("x-amz-copy-source", &format!("/hers/{key}"));
    copy("shut").send().await.refused(403, "AccessDenied");
    copy("open").send().await.expect(200);
}

#[tokio::test]
async fn lists_let_others_in_and_a_policy_keeps_them_out() {
    let server = Server::start();
    let (alice, bob) = (server.user(ALICE, "readwrite"), server.user("bob", "readwrite"));
    alice.create_bucket("hers").await.expect(200);
    alice.put("hers", "k", "x").await.expect(200);
    alice.call("PUT", "/hers").query("acl", "").header("x-amz-acl", "public-read").send().await.expect(200);
    bob.list("hers", "").await.expect(200);
    server.anonymous().list("hers", "").await.expect(200);
    bob.get("hers", "k").await.refused(403, "AccessDenied");
    bob.get("hers", "absent").await.refused(404, "NoSuchKey");
    bob.put("hers", "k", "y").await.refused(403, "AccessDenied");
    alice.call("PUT", "/hers/k").query("acl", "").header("x-amz-acl", "public-read").send().await.expect(200);
    bob.get("hers", "k").await.expect(200);
    server.anonymous().get("hers", "k").await.expect(200);
    // Somebody else's public bucket is not among one's own.
    let listed = bob.call("GET", "/").send().await.expect(200);
    assert_eq!(listed.elements("Name"), Vec::<String>::new());
    let deny = r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"s3:*",
        "Resource":["arn:aws:s3:::hers","arn:aws:s3:::hers/*"]}}"#;
    alice.call("PUT", "/hers").query("policy", "").body(deny).send().await.expect(204);
    for client in [&alice, &bob, &server.anonymous()] {
        client.list("hers", "").await.refused(403, "AccessDenied");
        client.get("hers", "k").await.refused(403, "AccessDenied");
    }
    server.root().get("hers", "k").await.expect(200);
    bob.call("DELETE", "/hers").query("policy", "").send().await.refused(403, "AccessDenied");
    alice.call("DELETE", "/hers").query("policy", "").send().await.expect(204);
    alice.get("hers", "k").await.expect(200);
}

#[tokio::test]
async fn a_policy_that_is_not_understood_is_refused() {
    let server = Server::start();
    let root = server.root();
    root.create_bucket("photos").await.expect(200);
    for statement in [
        r#"{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::other/*"}"#,
        r#"{"Effect":"Allow","Principal":"*","Action":"s3:GetObjekt","Resource":"arn:aws:s3:::photos/*"}"#,
        r#"{"Effect":"Allow","Principal":"*","Action":"s3:ListBucket","Resource":"arn:aws:s3:::photos/*"}"#,
        r#"{"Effect":"Allow","NotPrincipal":{"AWS":"a"},"Action":"s3:*","Resource":"arn:aws:s3:::photos/*"}"#,
        r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::photos/*"}"#,
        r#"{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*","Condition":{"Like":{"aws:Referer":"a"}}}"#,
    ] {
        let policy = format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#);
        root.call("PUT", "/photos").query("policy", "").body(policy).send().await.refused(400, "MalformedPolicy");
    }
    root.call("GET", "/photos").query("policy", "").send().await.refused(404, "NoSuchBucketPolicy");
}
