//! Lifecycle rules: what is kept of them, what is refused, and what becomes of objects when a day lasts a second.

use std::time::{Duration, Instant};

use crate::harness::{Answer, Client, Options, Server};

use super::served;

fn document(rules: &str) -> String {
    format!(
        "<LifecycleConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{rules}</LifecycleConfiguration>"
    )
}

async fn set(client: &Client, rules: &str) -> Answer {
    client.call("PUT", "/b-1").query("lifecycle", "").body(document(rules)).send().await
}

async fn kept(client: &Client) -> Answer {
    client.call("GET", "/b-1").query("lifecycle", "").send().await
}

/// A server whose days last a second.
async fn hurried() -> (Server, Client) {
    let server = Server::with(Options::default().config("[s3]\nlifecycle_day_seconds = 1\n"));
    let root = server.root();
    root.create_bucket("b-1").await.expect(200);
    (server, root)
}

/// Waits until the bucket holds these keys and no others.
async fn until_keys(client: &Client, wanted: &[&str]) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let keys = client.keys_of("b-1", "").await;
        if keys == wanted {
            return;
        }
        assert!(wanted.iter().all(|key| keys.iter().any(|have| have == key)), "{wanted:?} is not in {keys:?}");
        assert!(Instant::now() < deadline, "{keys:?} is still there, {wanted:?} should be");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn rules_come_back_as_they_were_sent() {
    let (_server, root) = served("b-1").await;
    let rules = "<Rule><Expiration><Days>3</Days></Expiration><ID>one</ID><Filter><And><Prefix>a/</Prefix>\
                 <Tag><Key>k</Key><Value>v</Value></Tag><Tag><Key>l</Key><Value></Value></Tag></And></Filter>\
                 <Status>Enabled</Status></Rule>\
                 <Rule><Prefix>b/</Prefix><Status>Disabled</Status>\
                 <Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>\
                 <AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation>\
                 </AbortIncompleteMultipartUpload></Rule>";
    set(&root, rules).await.expect(200);
    let answer = kept(&root).await.expect(200);
    assert_eq!(answer.header("x-amz-transition-default-minimum-object-size"), Some("all_storage_classes_128K"));
    assert_eq!(answer.elements("Days"), ["3", "1"]);
    assert_eq!(answer.elements("Prefix"), ["a/", "b/"]);
    assert_eq!(answer.elements("Key"), ["k", "l"]);
    assert_eq!(answer.elements("StorageClass"), ["GLACIER"]);
    assert_eq!(answer.elements("DaysAfterInitiation"), ["7"]);
    assert_eq!(answer.elements("Status"), ["Enabled", "Disabled"]);
    let ids = answer.elements("ID");
    assert!(ids.len() == 2 && ids[0] == "one" && !ids[1].is_empty(), "{ids:?}");
    root.call("DELETE", "/b-1").query("lifecycle", "").send().await.expect(204);
    kept(&root).await.refused(404, "NoSuchLifecycleConfiguration");
}

#[tokio::test]
async fn what_is_refused_leaves_what_is_kept() {
    let (server, root) = served("b-1").await;
    let good = "<Rule><ID>good</ID><Prefix>a</Prefix><Status>Enabled</Status>\
                <Expiration><Days>1</Days></Expiration></Rule>";
    set(&root, good).await.expect(200);
    let rule = |inner: &str| format!("<Rule><ID>x</ID><Status>Enabled</Status>{inner}</Rule>");
    let expiring = |inner: &str| rule(&format!("<Prefix>a</Prefix><Expiration>{inner}</Expiration>"));
    for (rules, code) in [
        (String::new(), "MalformedXML"),
        (rule("<Prefix>a</Prefix>"), "InvalidRequest"),
        (expiring(""), "MalformedXML"),
        (expiring("<Days>0</Days>"), "InvalidArgument"),
        (expiring("<Days>-1</Days>"), "InvalidArgument"),
        (expiring("<Days>x</Days>"), "MalformedXML"),
        (expiring("<Days>1</Days><Date>2030-01-01T00:00:00Z</Date>"), "MalformedXML"),
        (expiring("<Date>2030-01-01T00:00:01Z</Date>"), "InvalidArgument"),
        (expiring("<Date>20200101</Date>"), "MalformedXML"),
        (rule("<Expiration><Days>1</Days></Expiration>"), "MalformedXML"),
        (good.replace("good", &"x".repeat(256)), "InvalidArgument"),
        (good.replace("Enabled", "enabled"), "MalformedXML"),
        (format!("{good}{good}"), "InvalidArgument"),
        ("<Rule><Bogus/></Rule>".to_owned(), "MalformedXML"),
    ] {
        set(&root, &rules).await.refused(400, code);
        assert_eq!(kept(&root).await.expect(200).elements("ID"), ["good"], "{rules}");
    }
    let reader = server.user("reader", "readonly");
    set(&reader, good).await.refused(403, "AccessDenied");
    set(&server.anonymous(), good).await.refused(403, "AccessDenied");
    root.call("PUT", "/none").query("lifecycle", "").body(document(good)).send().await.refused(404, "NoSuchBucket");
}

#[tokio::test]
async fn objects_expire_by_prefix_size_and_date() {
    let (_server, root) = hurried().await;
    for key in ["day/a", "day/big", "gone/a", "keep/a", "off/a", "late/a"] {
        root.put("b-1", key, vec![b'x'; if key == "day/big" { 200 } else { 10 }]).await.expect(200);
    }
    let rule = |id: &str, prefix: &str, status: &str, expiration: &str| {
        format!(
            "<Rule><ID>{id}</ID><Filter><And><Prefix>{prefix}</Prefix><ObjectSizeLessThan>100</ObjectSizeLessThan>\
             </And></Filter><Status>{status}</Status><Expiration>{expiration}</Expiration></Rule>"
        )
    };
    let rules = [
        rule("day", "day/", "Enabled", "<Days>1</Days>"),
        rule("past", "gone/", "Enabled", "<Date>2015-01-01T00:00:00Z</Date>"),
        rule("future", "late/", "Enabled", "<Date>2100-01-01T00:00:00Z</Date>"),
        rule("off", "off/", "Disabled", "<Days>1</Days>"),
    ];
    set(&root, &rules.concat()).await.expect(200);
    until_keys(&root, &["day/big", "keep/a", "late/a", "off/a"]).await;
}

#[tokio::test]
async fn rules_are_followed_again_after_a_kill() {
    let (mut server, root) = hurried().await;
    for n in 0..20 {
        root.put("b-1", &format!("old/{n}"), "x").await.expect(200);
    }
    root.put("b-1", "new", "x").await.expect(200);
    set(
        &root,
        "<Rule><ID>r</ID><Prefix>old/</Prefix><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule>",
    )
    .await
    .expect(200);
    server.kill();
    let server = server.restart();
    until_keys(&server.root(), &["new"]).await;
    assert_eq!(server.root().get("b-1", "new").await.expect(200).text(), "x");
}

#[tokio::test]
async fn uploads_are_given_up() {
    let (_server, root) = hurried().await;
    for key in ["old/a", "new/a"] {
        root.call("POST", &format!("/b-1/{key}")).query("uploads", "").send().await.expect(200);
    }
    let rule = "<Rule><ID>r</ID><Prefix>old/</Prefix><Status>Enabled</Status><AbortIncompleteMultipartUpload>\
                <DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>";
    set(&root, rule).await.expect(200);
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let uploads = root.call("GET", "/b-1").query("uploads", "").send().await.expect(200).elements("Key");
        if uploads == ["new/a"] {
            break;
        }
        assert!(Instant::now() < deadline, "{uploads:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn answers_say_when_an_object_expires() {
    let (_server, root) = served("b-1").await;
    let rule = "<Rule><ID>a \"b\"</ID><Prefix>old/</Prefix><Status>Enabled</Status><Expiration>\
                <Date>2100-01-01T00:00:00Z</Date></Expiration></Rule>";
    set(&root, rule).await.expect(200);
    let wanted = Some("expiry-date=\"Fri, 01 Jan 2100 00:00:00 GMT\", rule-id=\"a%20%22b%22\"");
    assert_eq!(root.put("b-1", "old/a", "x").await.expect(200).header("x-amz-expiration"), wanted);
    assert_eq!(root.get("b-1", "old/a").await.expect(200).header("x-amz-expiration"), wanted);
    assert_eq!(root.head("b-1", "old/a").await.expect(200).header("x-amz-expiration"), wanted);
    assert_eq!(root.put("b-1", "new/a", "x").await.expect(200).header("x-amz-expiration"), None);
    for (key, wanted) in [("/b-1/old/b", wanted), ("/b-1/new/b", None)] {
        let begun = root.call("POST", key).query("uploads", "").send().await.expect(200);
        let id = begun.elements("UploadId").remove(0);
        let part = root.call("PUT", key).query("uploadId", &id).query("partNumber", "1").body("x").send().await;
        let list = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part></CompleteMultipartUpload>",
            part.etag()
        );
        let completed = root.call("POST", key).query("uploadId", &id).body(list).send().await.expect(200);
        assert_eq!(completed.header("x-amz-expiration"), wanted, "{key}");
    }
}

/// How many versions and how many delete markers there are.
async fn versions(client: &Client) -> (usize, usize) {
    let page = client.call("GET", "/b-1").query("versions", "").send().await.expect(200);
    (page.elements("Version").len(), page.elements("DeleteMarker").len())
}

async fn until_versions(client: &Client, wanted: (usize, usize)) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let found = versions(client).await;
        if found == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{found:?} are there, {wanted:?} should be");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn versioned(client: &Client) {
    let text = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    client.call("PUT", "/b-1").query("versioning", "").body(text).send().await.expect(200);
}

#[tokio::test]
async fn noncurrent_versions_go_and_then_the_marker() {
    let (_server, root) = hurried().await;
    versioned(&root).await;
    for n in 0..4 {
        root.put("b-1", "gone/a", format!("{n}")).await.expect(200);
        root.put("b-1", "kept/a", format!("{n}")).await.expect(200);
    }
    root.delete("b-1", "gone/a").await.expect(204);
    let rules = "<Rule><ID>gone</ID><Prefix>gone/</Prefix><Status>Enabled</Status><NoncurrentVersionExpiration>\
                 <NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration><Expiration>\
                 <ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration></Rule>\
                 <Rule><ID>kept</ID><Prefix>kept/</Prefix><Status>Enabled</Status><NoncurrentVersionExpiration>\
                 <NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>2</NewerNoncurrentVersions>\
                 </NoncurrentVersionExpiration></Rule>";
    set(&root, rules).await.expect(200);
    // The current one and two behind it.
    until_versions(&root, (3, 0)).await;
    assert_eq!(root.get("b-1", "kept/a").await.expect(200).text(), "3");
    root.get("b-1", "gone/a").await.refused(404, "NoSuchKey");
}

#[tokio::test]
async fn current_versions_expire_behind_a_marker() {
    let (_server, root) = hurried().await;
    versioned(&root).await;
    root.put("b-1", "a", "x").await.expect(200);
    let rule =
        "<Rule><ID>r</ID><Prefix></Prefix><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule>";
    set(&root, rule).await.expect(200);
    until_versions(&root, (1, 1)).await;
    root.get("b-1", "a").await.refused(404, "NoSuchKey");
}
