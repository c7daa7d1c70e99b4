//! Tokens: in every place that LoopBack looks for one, of whom, and what mounts let in without one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Site, body, file, form, names, refused, token_of};
use crate::harness::Answer;

const NEEDED: &str =
    r#"{"error":{"statusCode":401,"name":"Error","message":"Authorization Required","code":"AUTHORIZATION_REQUIRED"}}"#;
const INVALID: &str =
    r#"{"error":{"statusCode":401,"name":"Error","message":"Invalid Access Token","code":"INVALID_TOKEN"}}"#;

#[tokio::test]
async fn a_token_is_found_wherever_it_is() {
    let site = Site::start();
    let token = site.token.as_str();
    let base64 = |text: &str| STANDARD.encode(text);
    let target = format!("/api/containers?access_token={token}");
    site.bare("GET", &target).send().await.expect(200);
    for (name, value) in [
        ("x-access-token", token.to_owned()),
        ("authorization", token.to_owned()),
        ("authorization", format!("Bearer {}", base64(token))),
        ("authorization", format!("Bearer {}", base64(token).trim_end_matches('='))),
        ("authorization", format!("bearer {token}")),
        ("authorization", format!("Basic {}", base64(&format!("{token}:")))),
        ("authorization", format!("Basic {}", base64(&format!("u:{token}")))),
    ] {
        site.bare("GET", "/api/containers").header(name, &value).send().await.expect(200);
    }
    for value in ["", "x", "Bearer", "Bearer !!!", "Basic !!!", "Basic Og==", "Bearer Og==", "a.b.c"] {
        let call = site.bare("GET", "/api/containers").header("authorization", value);
        refused(&call.send().await, 401, NEEDED);
    }
    refused(&site.bare("GET", &format!("{target}x")).send().await, 401, NEEDED);
    refused(&site.bare("GET", &format!("{target}&access_token=x")).send().await, 401, NEEDED);
    assert!(!site.server.log().contains(token), "the log holds a token");
}

#[tokio::test]
async fn who_shows_no_token_learns_that_one_is_needed() {
    let site = Site::start();
    site.make("c").await;
    site.upload("c", "f", "text/plain", "1").await.expect(200);
    let none = |method: &'static str, below: &'static str| site.bare(method, &format!("/api/containers{below}")).send();
    for (method, below) in [
        ("GET", ""),
        ("POST", ""),
        ("GET", "/c"),
        ("GET", "/none"),
        ("DELETE", "/c"),
        ("DELETE", "/none"),
        ("GET", "/c/files"),
        ("GET", "/none/files"),
        ("GET", "/c/files/f"),
        ("GET", "/c/files/none"),
        ("DELETE", "/c/files/f"),
        ("DELETE", "/none/files/f"),
        ("GET", "/c/download/f"),
        ("GET", "/none/download/f"),
        ("POST", "/c/upload"),
        ("GET", "/%2e%2e"),
    ] {
        refused(&none(method, below).await, 401, NEEDED);
    }
    let kind = format!("multipart/form-data; boundary={}", super::BOUNDARY);
    let upload = |target: &'static str| {
        let call = site.bare("POST", target).header("content-type", &kind);
        call.body(form(&[file("f", "x", "text/plain", "1")])).send()
    };
    refused(&upload("/api/containers/c/upload").await, 401, NEEDED);
    refused(&upload("/api/containers/none/upload").await, 401, NEEDED);
    assert_eq!(site.files("c").await, ["f"]);
    // What is public is public here, too, and nothing else is.
    let role = site.server.run(&["token", "create", "--role", "service_role"]);
    let open = site.bare("POST", "/storage/v1/bucket").header("authorization", role.trim());
    let open = open.header("content-type", "application/json").body(r#"{"name":"open","public":true}"#);
    open.send().await.expect(200);
    site.upload("open", "f", "text/plain", "1").await.expect(200);
    assert_eq!(none("GET", "/open/download/f").await.expect(200).text(), "1");
    for (method, below) in [("GET", "/open/files"), ("GET", "/open/download/none"), ("DELETE", "/open/files/f")] {
        refused(&none(method, below).await, 401, NEEDED);
    }
}

#[tokio::test]
async fn users_have_their_own() {
    let site = Site::start();
    let server = &site.server;
    let (ann, bob) = (server.user("ann", "readwrite"), server.user("bob", "readwrite"));
    let (ann_token, bob_token) = (token_of(server, "ann"), token_of(server, "bob"));
    let by = |token: &str, method: &str, below: &str| {
        site.bare(method, &format!("/api/containers{below}")).header("authorization", token)
    };
    let made = by(&ann_token, "POST", "").header("content-type", "application/json").body(r#"{"name":"anns"}"#);
    made.send().await.expect(200);
    ann.put("anns", "f", "ann's").await.expect(200);
    assert_eq!(by(&ann_token, "GET", "/anns/download/f").send().await.expect(200).text(), "ann's");
    // What bob may not see is not there for him.
    for below in ["/anns", "/anns/files/f", "/anns/download/f"] {
        by(&bob_token, "GET", below).send().await.expect(404);
    }
    assert_eq!(by(&bob_token, "GET", "/anns/files").send().await.expect(200).text(), "[]");
    assert_eq!(names(&by(&bob_token, "GET", "").send().await.expect(200)), [""; 0]);
    for (method, below) in [("DELETE", "/anns"), ("DELETE", "/anns/files/f")] {
        by(&bob_token, method, below).send().await.expect(403);
    }
    let kind = format!("multipart/form-data; boundary={}", super::BOUNDARY);
    let upload = by(&bob_token, "POST", "/anns/upload").header("content-type", &kind);
    let denied = upload.body(form(&[file("f", "g", "text/plain", "1")])).send().await;
    refused(
        &denied,
        403,
        r#"{"error":{"statusCode":403,"name":"Error","message":"Access Denied","code":"ACCESS_DENIED"}}"#,
    );
    ann.head("anns", "f").await.expect(200);
    ann.head("anns", "g").await.expect(404);
    bob.get("anns", "f").await.expect(403);
    let mine = site.server.run(&["token", "create", "--role", "service_role"]);
    by(mine.trim(), "GET", "/anns").send().await.expect(200);
    server.run(&["user", "delete", "ann"]);
    let ended = by(&ann_token, "GET", "").send().await;
    refused(&ended, 401, INVALID);
}

/// The statuses of reads and writes of nobody below a mount: of what is root's, and of what is ann's.
async fn open_to_nobody(site: &Site, mount: &str, container: &str) -> Vec<u16> {
    let call = |method: &'static str, below: &str| site.bare(method, &format!("{mount}{below}"));
    let mut found = Vec::new();
    let mut note = |answer: Answer| found.push(answer.status);
    note(call("GET", &format!("/{container}")).send().await);
    note(call("GET", &format!("/{container}/files/f")).send().await);
    note(call("GET", &format!("/{container}/download/f")).send().await);
    let kind = format!("multipart/form-data; boundary={}", super::BOUNDARY);
    let upload = call("POST", &format!("/{container}/upload")).header("content-type", &kind);
    note(upload.body(form(&[file("f", "g", "text/plain", "1")])).send().await);
    note(call("DELETE", &format!("/{container}/files/f")).send().await);
    found
}

/// Mounts that let strangers in, beside one that does not.
const GUESTS: &str = "[[loopback.mount]]\npath = \"/read\"\naccess = \"read-only\"\n\
    [[loopback.mount]]\npath = \"/open\"\naccess = \"open\"\n[[loopback.mount]]\npath = \"/api/containers\"\n";

#[tokio::test]
async fn mounts_let_in_what_they_say_and_no_more() {
    let site = Site::with(GUESTS);
    let log = site.server.log();
    assert!(log.contains("without a token") && log.contains("/open"), "no warning:\n{log}");
    assert_eq!(log.matches("without a token").count(), 1);
    let ann = site.server.user("ann", "readwrite");
    ann.create_bucket("anns").await.expect(200);
    // Whoever has a key of the server may read this; who is let in by a mount has none.
    let put = ann.call("PUT", "/anns/f").header("x-amz-acl", "authenticated-read").body("1");
    put.send().await.expect(200);
    for name in ["one", "two"] {
        site.make(name).await;
        site.upload(name, "f", "text/plain", "1").await.expect(200);
    }
    assert_eq!(open_to_nobody(&site, "/read", "one").await, [200, 200, 200, 401, 401]);
    assert_eq!(open_to_nobody(&site, "/open", "two").await, [200, 200, 200, 200, 200]);
    assert_eq!(open_to_nobody(&site, "/read", "anns").await, [404, 404, 404, 401, 401]);
    assert_eq!(open_to_nobody(&site, "/open", "anns").await, [404, 404, 404, 401, 401]);
    assert_eq!(names(&site.bare("GET", "/read").send().await.expect(200)), ["one", "two"]);
    assert_eq!(names(&site.bare("GET", "/open/two/files").send().await.expect(200)), ["g"]);
    assert_eq!(site.bare("GET", "/open/anns/files").send().await.expect(200).text(), "[]");
    let make = |mount: &str| {
        let call = site.bare("POST", mount).header("content-type", "application/json");
        call.body(r#"{"name":"new"}"#).send()
    };
    assert_eq!(make("/read").await.status, 401);
    assert_eq!(body(&make("/open").await.expect(200))["name"], "new");
    let shown = site.server.run(&["bucket", "show", "new", "--json"]);
    assert!(shown.contains(r#""owner": "root""#) || shown.contains(r#""owner":"root""#), "{shown}");
    // A token that is none counts as none where none is needed; one that has ended is told of.
    site.bare("GET", "/read/one").header("authorization", "x").send().await.expect(200);
    site.server.run(&["user", "create", "carl"]);
    let carl = token_of(&site.server, "carl");
    site.server.run(&["user", "delete", "carl"]);
    refused(&site.bare("GET", "/read/one").header("authorization", &carl).send().await, 401, INVALID);
    assert_eq!(site.bare("DELETE", "/open/new").send().await.expect(200).text(), "{}");
}

/// A guest has shown no credential, so it is in none of the groups of a FileStore that are of those who have.
#[tokio::test]
async fn in_a_filestore_a_guest_is_nobody() {
    let services =
        "[[filestore.service]]\nname = \"closed\"\n[[filestore.service]]\nname = \"public\"\nprivate = false\n";
    let site = Site::with(&format!("{GUESTS}{services}"));
    let root = site.server.root();
    for name in ["closed", "public"] {
        root.put(name, "f", "root's").await.expect(200);
    }
    for mount in ["/read", "/open"] {
        assert_eq!(open_to_nobody(&site, mount, "closed").await, [404, 404, 404, 401, 401], "{mount}");
        assert_eq!(open_to_nobody(&site, mount, "public").await, [200, 200, 200, 401, 401], "{mount}");
        let list = |below: &str| site.bare("GET", &format!("{mount}{below}")).send();
        assert_eq!(names(&list("").await.expect(200)), ["public"], "{mount}");
        assert_eq!(list("/closed/files").await.expect(200).text(), "[]", "{mount}");
        assert_eq!(names(&list("/public/files").await.expect(200)), ["f"], "{mount}");
        for name in ["closed", "public"] {
            let make = site.bare("POST", mount).header("content-type", "application/json");
            assert_eq!(make.body(format!(r#"{{"name":"{name}"}}"#)).send().await.status, 401, "{mount} {name}");
            let destroy = site.bare("DELETE", &format!("{mount}/{name}")).send().await;
            assert_eq!(destroy.status, 401, "{mount} {name}");
            assert_eq!(root.keys_of(name, "").await, ["f"], "{mount} {name}");
            assert_eq!(root.get(name, "f").await.expect(200).text(), "root's", "{mount} {name}");
        }
    }
    assert_eq!(names(&site.get("").await.expect(200)), ["closed", "public"]);
}
