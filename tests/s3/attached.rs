//! What is attached to objects: lists, tags, retention and legal hold.

use super::served;
use crate::harness::{Answer, Client};

const ALL: &str = "http://acs.amazonaws.com/groups/global/AllUsers";

async fn set(client: &Client, path: &str, what: &str, body: impl Into<Vec<u8>>) -> Answer {
    client.call("PUT", path).query(what, "").body(body).send().await
}

async fn read(client: &Client, path: &str, what: &str) -> Answer {
    client.call("GET", path).query(what, "").send().await
}

fn list(owner: &str, grants: &str) -> String {
    format!(
        "<AccessControlPolicy xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><Owner><ID>{owner}</ID></Owner>\
         <AccessControlList>{grants}</AccessControlList></AccessControlPolicy>"
    )
}

fn grant(kind: &str, grantee: &str, permission: &str) -> String {
    format!("<Grant><Grantee xsi:type=\"{kind}\">{grantee}</Grantee><Permission>{permission}</Permission></Grant>")
}

fn user(id: &str, permission: &str) -> String {
    grant("CanonicalUser", &format!("<ID>{id}</ID>"), permission)
}

#[tokio::test]
async fn lists_are_set_by_name_by_headers_and_by_body() {
    let (server, root) = served("b-1").await;
    root.put("b-1", "k", "x").await.expect(200);
    server.run(&[
        "user",
        "create",
        "ann",
        "--policy",
        "readonly",
        "--email",
        "ann@example.com",
        "--display-name",
        "Ann",
    ]);
    for path in ["/b-1", "/b-1/k"] {
        let put = || root.call("PUT", path).query("acl", "");
        put().header("x-amz-acl", "public-read").send().await.expect(200);
        let acl = read(&root, path, "acl").await.expect(200);
        assert_eq!(acl.elements("Permission"), ["READ", "FULL_CONTROL"]);
        assert_eq!(acl.elements("URI"), [ALL]);
        let granted = put().header("x-amz-grant-write-acp", "emailAddress=\"ann@example.com\"");
        granted.header("x-amz-grant-read", &format!("id=root, uri=\"{ALL}\"")).send().await.expect(200);
        let acl = read(&root, path, "acl").await.expect(200);
        assert_eq!(acl.elements("Permission"), ["READ", "READ", "WRITE_ACP"]);
        assert_eq!(acl.elements("ID"), ["root", "ann", "root"]);
        assert_eq!(acl.elements("DisplayName"), ["root", "Ann", "root"]);
        let email = grant("AmazonCustomerByEmail", "<EmailAddress>ann@example.com</EmailAddress>", "FULL_CONTROL");
        let group = grant("Group", &format!("<URI>{ALL}</URI>"), "READ_ACP");
        set(&root, path, "acl", list("root", &format!("{}{email}{group}", user("root", "READ")))).await.expect(200);
        let acl = read(&root, path, "acl").await.expect(200);
        assert_eq!(acl.elements("Permission"), ["READ_ACP", "READ", "FULL_CONTROL"]);
        set(&root, path, "acl", list("root", "")).await.expect(200);
        let acl = read(&root, path, "acl").await.expect(200);
        assert!(acl.elements("Permission").is_empty() && acl.text().contains("<AccessControlList"), "{}", acl.text());
        put().header("x-amz-acl", "private").send().await.expect(200);
        assert_eq!(read(&root, path, "acl").await.elements("Permission"), ["FULL_CONTROL"]);
    }
}

#[tokio::test]
async fn lists_that_cannot_be_are_refused_and_change_nothing() {
    let (_server, root) = served("b-1").await;
    root.put("b-1", "k", "x").await.expect(200);
    let many: String = (0..101).map(|_| user("root", "READ")).collect();
    for path in ["/b-1", "/b-1/k"] {
        for (body, status, code) in [
            ("", 400, "MissingSecurityHeader"),
            (&*list("root", &user("nobody-of-this-name", "READ")), 400, "InvalidArgument"),
            (
                &*list("root", &grant("AmazonCustomerByEmail", "<EmailAddress>no@example.com</EmailAddress>", "READ")),
                400,
                "UnresolvableGrantByEmailAddress",
            ),
            (&*list("root", &grant("Group", "<URI>http://example.com/</URI>", "READ")), 400, "InvalidArgument"),
            (&*list("root", &user("root", "EVERYTHING")), 400, "MalformedACLError"),
            (&*list("root", &grant("Somebody", "<ID>root</ID>", "READ")), 400, "MalformedACLError"),
            (&*list("root", &many), 400, "MalformedACLError"),
            (&*list("somebody-else", &user("root", "READ")), 403, "AccessDenied"),
            ("<AccessControlPolicy/>", 400, "MalformedACLError"),
            ("<Unheard/>", 400, "MalformedXML"),
            ("<!DOCTYPE a><a/>", 400, "MalformedXML"),
        ] {
            let answer = set(&root, path, "acl", body).await;
            assert_eq!((answer.status, answer.code().as_str()), (status, code), "{path} {body}: {}", answer.text());
        }
        let call = || root.call("PUT", path).query("acl", "");
        let both = call().header("x-amz-acl", "private").header("x-amz-grant-read", "id=root");
        both.send().await.refused(400, "InvalidRequest");
        let body = list("root", &user("root", "READ"));
        call().header("x-amz-acl", "private").body(body.clone()).send().await.refused(400, "UnexpectedContent");
        call().header("x-amz-grant-read", "id=root").body(body).send().await.refused(400, "UnexpectedContent");
        call().header("x-amz-acl", "public-ready").send().await.refused(400, "InvalidArgument");
        assert_eq!(read(&root, path, "acl").await.elements("Permission"), ["FULL_CONTROL"]);
    }
    let logs = root.call("PUT", "/b-1/k").query("acl", "").header("x-amz-acl", "log-delivery-write");
    logs.send().await.refused(400, "InvalidArgument");
    root.call("PUT", "/b-1/none")
        .query("acl", "")
        .header("x-amz-acl", "private")
        .send()
        .await
        .refused(404, "NoSuchKey");
}

fn tags(pairs: &[(&str, &str)]) -> String {
    let tag = |(key, value): &(&str, &str)| format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>");
    format!("<Tagging><TagSet>{}</TagSet></Tagging>", pairs.iter().map(tag).collect::<String>())
}

#[tokio::test]
async fn objects_have_up_to_ten_tags() {
    let (_server, root) = served("b-1").await;
    root.put("b-1", "k", "x").await.expect(200);
    let before = root.head("b-1", "k").await.expect(200);
    assert_eq!(before.header("x-amz-tagging-count"), None);
    set(&root, "/b-1/k", "tagging", tags(&[("z", "1"), ("a", "")])).await.expect(200);
    assert_eq!(read(&root, "/b-1/k", "tagging").await.expect(200).elements("Key"), ["z", "a"]);
    for answer in [root.head("b-1", "k").await.expect(200), root.get("b-1", "k").await.expect(200)] {
        assert_eq!(answer.header("x-amz-tagging-count"), Some("2"));
        assert_eq!(answer.header("last-modified"), before.header("last-modified"));
        assert_eq!(answer.header("etag"), before.header("etag"));
    }
    let names: Vec<String> = (0..11).map(|n| n.to_string()).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    for (body, code) in [
        (&*tags(&many), "InvalidTag"),
        (&*tags(&[("a", "1"), ("a", "2")]), "InvalidTag"),
        (&*tags(&[("", "1")]), "InvalidTag"),
        (&*tags(&[(&"k".repeat(129), "1")]), "InvalidTag"),
        (&*tags(&[("a", &"v".repeat(257))]), "InvalidTag"),
        ("<Tagging/>", "MalformedXML"),
        ("<Tagging><TagSet><Tag><Value>a</Value></Tag></TagSet></Tagging>", "MalformedXML"),
        ("<Unheard/>", "MalformedXML"),
        ("", "MissingRequestBodyError"),
    ] {
        set(&root, "/b-1/k", "tagging", body).await.refused(400, code);
        assert_eq!(read(&root, "/b-1/k", "tagging").await.expect(200).elements("Key"), ["z", "a"], "{body}");
    }
    set(&root, "/b-1/k", "tagging", tags(&many[..10])).await.expect(200);
    assert_eq!(read(&root, "/b-1/k", "tagging").await.expect(200).elements("Key").len(), 10);
    for _ in 0..2 {
        root.call("DELETE", "/b-1/k").query("tagging", "").send().await.expect(204);
        assert!(read(&root, "/b-1/k", "tagging").await.expect(200).elements("Key").is_empty());
    }
    assert_eq!(root.get("b-1", "k").await.expect(200).text(), "x");
    for method in ["GET", "DELETE"] {
        root.call(method, "/b-1/none").query("tagging", "").send().await.refused(404, "NoSuchKey");
        let odd = root.call(method, "/b-1/k").query("tagging", "").query("versionId", "x");
        odd.send().await.refused(400, "InvalidArgument");
    }
    set(&root, "/b-1/none", "tagging", tags(&[])).await.refused(404, "NoSuchKey");
}

fn retention(mode: &str, until: &str) -> String {
    format!("<Retention><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>")
}

fn hold(status: &str) -> String {
    format!("<LegalHold><Status>{status}</Status></LegalHold>")
}

const FAR: &str = "2199-01-01T00:00:00Z";

#[tokio::test]
async fn locks_need_a_bucket_that_has_them() {
    let (_server, root) = served("b-1").await;
    root.put("b-1", "k", "x").await.expect(200);
    set(&root, "/b-1/k", "retention", retention("GOVERNANCE", FAR)).await.refused(400, "InvalidRequest");
    set(&root, "/b-1/k", "legal-hold", hold("ON")).await.refused(400, "InvalidRequest");
    read(&root, "/b-1/k", "retention").await.refused(400, "InvalidRequest");
    read(&root, "/b-1/k", "legal-hold").await.refused(400, "InvalidRequest");
    assert_eq!(root.head("b-1", "k").await.expect(200).header("x-amz-object-lock-mode"), None);
}

#[tokio::test]
async fn a_retention_grows_and_shrinks_only_where_it_may() {
    let (_server, root) = served("b-0").await;
    let locked = root.call("PUT", "/b-1").header("x-amz-bucket-object-lock-enabled", "true");
    locked.send().await.expect(200);
    root.put("b-1", "k", "x").await.expect(200);
    read(&root, "/b-1/k", "retention").await.refused(404, "NoSuchObjectLockConfiguration");
    read(&root, "/b-1/k", "legal-hold").await.refused(404, "NoSuchObjectLockConfiguration");
    set(&root, "/b-1/k", "retention", retention("GOVERNANCE", FAR)).await.expect(200);
    set(&root, "/b-1/k", "legal-hold", hold("ON")).await.expect(200);
    let shown = read(&root, "/b-1/k", "retention").await.expect(200);
    assert_eq!(shown.elements("Mode"), ["GOVERNANCE"]);
    assert!(shown.elements("RetainUntilDate")[0].starts_with("2199-01-01T00:00:00"), "{}", shown.text());
    assert_eq!(read(&root, "/b-1/k", "legal-hold").await.elements("Status"), ["ON"]);
    let head = root.head("b-1", "k").await.expect(200);
    assert_eq!(head.header("x-amz-object-lock-mode"), Some("GOVERNANCE"));
    assert_eq!(head.header("x-amz-object-lock-legal-hold"), Some("ON"));
    assert!(head.header("x-amz-object-lock-retain-until-date").is_some_and(|at| at.starts_with("2199-01-01T")));
    for (what, body, status, code) in [
        ("retention", &*retention("governance", FAR), 400, "MalformedXML"),
        ("retention", &*retention("GOVERNANCE", "2001-01-01T00:00:00Z"), 400, "InvalidArgument"),
        ("retention", &*retention("GOVERNANCE", "soon"), 400, "MalformedXML"),
        ("retention", &*retention("GOVERNANCE", "2999-01-01T00:00:00Z"), 400, "InvalidArgument"),
        ("retention", "<Retention><Mode>GOVERNANCE</Mode></Retention>", 400, "MalformedXML"),
        ("retention", &*retention("GOVERNANCE", "2198-01-01T00:00:00Z"), 403, "AccessDenied"),
        ("retention", "<Retention/>", 403, "AccessDenied"),
        ("retention", "", 400, "MalformedXML"),
        ("legal-hold", &*hold("on"), 400, "MalformedXML"),
        ("legal-hold", "<LegalHold/>", 400, "MalformedXML"),
        ("legal-hold", "<!DOCTYPE a><a/>", 400, "MalformedXML"),
    ] {
        let answer = set(&root, "/b-1/k", what, body).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{what} {body}: {}", answer.text());
        assert!(read(&root, "/b-1/k", "retention").await.text().contains("2199"), "{what} {body}");
        assert_eq!(read(&root, "/b-1/k", "legal-hold").await.elements("Status"), ["ON"], "{what} {body}");
    }
    let bypass =
        root.call("PUT", "/b-1/k").query("retention", "").body(retention("GOVERNANCE", "2198-01-01T00:00:00Z"));
    bypass.header("x-amz-bypass-governance-retention", "true").send().await.expect(200);
    assert!(read(&root, "/b-1/k", "retention").await.text().contains("2198"));
    set(&root, "/b-1/k", "legal-hold", hold("OFF")).await.expect(200);
    assert_eq!(read(&root, "/b-1/k", "legal-hold").await.elements("Status"), ["OFF"]);
    set(&root, "/b-1/none", "legal-hold", hold("OFF")).await.refused(404, "NoSuchKey");
}
