//! S3 requests that come with a token: who asks is whom the token speaks of, and nobody else.

use serde_json::{Value, json};

use super::s3::BASE;
use super::{As, SECRET, Site, U1, U2, now, token};
use crate::harness::server::{ROOT_ACCESS_KEY, ROOT_SECRET};
use crate::harness::{Auth, Call, Client, Keys, Options};

/// What all programs of the project sign with.
const ANON_KEY: &str = "an-anon-key-that-everybody-knows";
const PROJECT: &str = "storage-single-tenant";
const HEADER: &str = "x-amz-security-token";

fn start() -> Site {
    Site::with(Options::default().env("LONGSHORE_ANON_KEY", ANON_KEY))
}

fn client(site: &Site, access_key: &str, secret: &str) -> Client {
    Client::new(site.server.rest, Some(Keys::new(access_key, secret))).below(BASE)
}

/// A user may do what it likes in its own folder.
async fn with_policy() -> Site {
    let site = start();
    site.bucket(json!({"name": "priv"})).await;
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "role:authenticated"},
         "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
         "Resource": "arn:aws:s3:::priv/${jwt:sub}/*"},
        {"Effect": "Allow", "Principal": {"AWS": "role:authenticated"}, "Action": "s3:ListBucket",
         "Resource": "arn:aws:s3:::priv", "Condition": {"StringLike": {"s3:prefix": "${jwt:sub}/*"}}}]});
    let set = site.server.root().call("PUT", "/priv").query("policy", "").body(policy.to_string()).send().await;
    assert_eq!(set.status, 204, "{}", set.text());
    site
}

fn claims(who: As) -> Value {
    match who {
        As::Service => json!({"role": "service_role", "exp": now() + 600}),
        As::User(sub) => json!({"role": "authenticated", "sub": sub, "exp": now() + 600}),
        As::Anon | As::Nobody => json!({"role": "anon", "exp": now() + 600}),
    }
}

fn of(who: As) -> String {
    token(&claims(who), SECRET)
}

/// A call of somebody.
fn call<'c>(client: &'c Client, who: As, method: &str, path: &str) -> Call<'c> {
    client.call(method, path).header(HEADER, &of(who))
}

#[tokio::test]
async fn the_token_says_who_asks() {
    let site = with_policy().await;
    let s3 = client(&site, PROJECT, ANON_KEY);
    let own = format!("/priv/{U1}/f.txt");
    call(&s3, As::User(U1), "PUT", &own).body("mine").send().await.expect(200);
    assert_eq!(call(&s3, As::User(U1), "GET", &own).send().await.expect(200).text(), "mine");
    for who in [As::User(U2), As::Anon] {
        call(&s3, who, "GET", &own).send().await.refused(403, "AccessDenied");
        call(&s3, who, "PUT", &own).body("theirs").send().await.refused(403, "AccessDenied");
        call(&s3, who, "DELETE", &own).send().await.refused(403, "AccessDenied");
        let copy = format!("/priv/{U2}/stolen");
        let copy = call(&s3, who, "PUT", &copy).header("x-amz-copy-source", &own).send().await;
        copy.refused(403, "AccessDenied");
    }
    let list =
        |who, prefix: &'static str| call(&s3, who, "GET", "/priv").query("list-type", "2").query("prefix", prefix);
    let mine = list(As::User(U1), "11111111-1111-4111-8111-111111111111/").send().await.expect(200);
    assert_eq!(mine.elements("Key"), [format!("{U1}/f.txt")]);
    list(As::User(U1), "").send().await.refused(403, "AccessDenied");
    list(As::Anon, "").send().await.refused(403, "AccessDenied");
    // Who is of the service may do everything; the same objects are seen by the other interface, with their owner.
    assert_eq!(list(As::Service, "").send().await.expect(200).elements("Key"), [format!("{U1}/f.txt")]);
    let seen = site.plain(As::User(U1), "GET", &format!("/object/authenticated/priv/{U1}/f.txt")).await;
    assert_eq!(seen.expect(200).text(), "mine");
    let listed = site.json(As::Service, "POST", "/object/list-v2/priv", json!({"prefix": ""})).await.expect(200);
    assert!(listed.text().contains("f.txt"));
    // A session begins uploads, and others cannot go on with them.
    let big = format!("/priv/{U1}/big");
    let begun = call(&s3, As::User(U1), "POST", &big).query("uploads", "").send().await.expect(200);
    let id = begun.elements("UploadId").remove(0);
    let part = |who| call(&s3, who, "PUT", &big).query("partNumber", "1").query("uploadId", &id).body("part");
    part(As::User(U2)).send().await.refused(403, "AccessDenied");
    part(As::User(U1)).send().await.expect(200);
}

#[tokio::test]
async fn a_signed_url_carries_the_token() {
    let site = with_policy().await;
    let s3 = client(&site, PROJECT, ANON_KEY);
    let own = format!("/priv/{U1}/f.txt");
    let presigned =
        |method: &str, who| s3.call(method, &own).auth(Auth::Presigned(60)).query("X-Amz-Security-Token", &of(who));
    presigned("PUT", As::User(U1)).body("mine").send().await.expect(200);
    assert_eq!(presigned("GET", As::User(U1)).send().await.expect(200).text(), "mine");
    presigned("GET", As::User(U2)).send().await.refused(403, "AccessDenied");
    let (one, two) = (of(As::User(U1)), of(As::User(U2)));
    let swapped = s3.call("GET", &own).auth(Auth::Presigned(60)).query("X-Amz-Security-Token", &two);
    let swapped = swapped.spoil(|signed| signed.target = signed.target.replace(&two, &one)).send().await;
    swapped.refused(403, "SignatureDoesNotMatch");
    let twice = presigned("GET", As::User(U1)).header(HEADER, &of(As::User(U1))).send().await;
    twice.refused(400, "InvalidRequest");
}

#[tokio::test]
async fn a_token_that_does_not_count_makes_no_caller() {
    let site = with_policy().await;
    let s3 = client(&site, PROJECT, ANON_KEY);
    let end = now() + 600;
    for (what, text, message) in [
        (
            "of another secret",
            token(&claims(As::Service), "another-secret-that-is-long-enough-00"),
            "signature verification failed",
        ),
        (
            "expired",
            token(&json!({"role": "service_role", "exp": now() - 1}), SECRET),
            "&quot;exp&quot; claim timestamp check failed",
        ),
        (
            "without an end",
            token(&json!({"role": "service_role"}), SECRET),
            "&quot;exp&quot; claim timestamp check failed",
        ),
        (
            "not begun",
            token(&json!({"role": "service_role", "exp": end, "nbf": end}), SECRET),
            "&quot;nbf&quot; claim timestamp check failed",
        ),
        ("of an unknown role", token(&json!({"role": "postgres", "exp": end}), SECRET), "Access denied: Invalid role"),
        ("a signed address", token(&json!({"url": "priv/k", "exp": end}), SECRET), "signature verification failed"),
        ("no token", "garbage".to_owned(), "Invalid Compact JWS"),
        (
            "of no algorithm",
            format!("eyJhbGciOiJub25lIn0.{}.", of(As::Service).split('.').nth(1).expect("claims")),
            "&quot;alg&quot; (Algorithm) Header Parameter value not allowed",
        ),
    ] {
        for in_query in [false, true] {
            let get = s3.call("GET", "/priv").query("list-type", "2");
            let get = match in_query {
                false => get.header(HEADER, &text),
                true => get.auth(Auth::Presigned(60)).query("X-Amz-Security-Token", &text),
            };
            let answer = get.send().await.refused(403, "AccessDenied");
            assert_eq!(answer.elements("Message"), [message], "{what}");
        }
        let put = s3.call("PUT", "/priv/k").header(HEADER, &text).body("x").send().await;
        put.refused(403, "AccessDenied");
    }
    site.server.root().get("priv", "k").await.refused(404, "NoSuchKey");
}

#[tokio::test]
async fn signature_and_token_belong_together() {
    let site = with_policy().await;
    let s3 = client(&site, PROJECT, ANON_KEY);
    let list = |client: &Client, who: Option<As>| {
        let call = client.call("GET", "/priv").query("list-type", "2");
        let call = match who {
            Some(who) => call.header(HEADER, &of(who)),
            None => call,
        };
        call.signed()
    };
    // A signature that everybody can make is nobody's.
    s3.send(list(&s3, None)).await.refused(403, "AccessDenied");
    // A token without the signature, or with a wrong one.
    let anonymous = s3.with_keys(None);
    anonymous.send(list(&anonymous, Some(As::Service))).await.refused(400, "InvalidToken");
    let in_query = anonymous.call("GET", "/priv").query("X-Amz-Security-Token", &of(As::Service)).send().await;
    in_query.refused(400, "InvalidToken");
    let guess = client(&site, PROJECT, "another-anon-key-0000");
    guess.send(list(&guess, Some(As::Service))).await.refused(403, "SignatureDoesNotMatch");
    let other = client(&site, "another-project", ANON_KEY);
    other.send(list(&other, Some(As::Service))).await.refused(403, "InvalidAccessKeyId");
    // One that is not signed, and one that was changed after it was.
    let loose = s3.call("GET", "/priv").unsigned_header(HEADER, &of(As::Service)).send().await;
    loose.refused(403, "AccessDenied");
    let mut changed = list(&s3, Some(As::Anon));
    changed.set_header(HEADER, &of(As::Service));
    s3.send(changed).await.refused(403, "SignatureDoesNotMatch");
    // With a key of somebody's own there is none.
    let root = client(&site, ROOT_ACCESS_KEY, ROOT_SECRET);
    root.send(list(&root, Some(As::Service))).await.refused(400, "InvalidToken");
    root.send(list(&root, None)).await.expect(200);
    // The listener of S3 knows no sessions.
    let plain = Client::new(site.server.s3, s3.keys().cloned());
    plain.send(list(&plain, Some(As::Service))).await.refused(403, "InvalidAccessKeyId");
    // Nor does a server that was told of no key.
    let without = Site::start();
    let s3 = client(&without, PROJECT, ANON_KEY);
    s3.send(list(&s3, Some(As::Service))).await.refused(403, "InvalidAccessKeyId");
    assert!(!site.server.log().contains(ANON_KEY) && !site.server.log().contains(&of(As::Service)[..60]));
}
