//! Configuration that is never set: what SDKs and provisioning tools read after they made a bucket.

use super::served;

#[tokio::test]
async fn reads_say_that_it_is_not_set() {
    let (_server, root) = served("b-1").await;
    for (what, code) in [
        ("policy", "NoSuchBucketPolicy"),
        ("cors", "NoSuchCORSConfiguration"),
        ("lifecycle", "NoSuchLifecycleConfiguration"),
        ("tagging", "NoSuchTagSet"),
        ("website", "NoSuchWebsiteConfiguration"),
        ("encryption", "ServerSideEncryptionConfigurationNotFoundError"),
        ("publicAccessBlock", "NoSuchPublicAccessBlockConfiguration"),
        ("ownershipControls", "OwnershipControlsNotFoundError"),
        ("object-lock", "ObjectLockConfigurationNotFoundError"),
        ("replication", "ReplicationConfigurationNotFoundError"),
    ] {
        let answer = root.call("GET", "/b-1").query(what, "").send().await.refused(404, code);
        assert_eq!(answer.elements("BucketName"), ["b-1"]);
        root.call("GET", "/none").query(what, "").send().await.refused(404, "NoSuchBucket");
        let nobody = root.with_keys(None);
        nobody.call("GET", "/b-1").query(what, "").send().await.refused(403, "AccessDenied");
    }
    for (what, text) in [
        ("versioning", "VersioningConfiguration"),
        ("logging", "BucketLoggingStatus"),
        ("notification", "NotificationConfiguration"),
        ("accelerate", "AccelerateConfiguration"),
        ("requestPayment", "<Payer>BucketOwner</Payer>"),
    ] {
        let answer = root.call("GET", "/b-1").query(what, "").send().await.expect(200);
        assert!(answer.text().contains(text), "{what}: {}", answer.text());
        assert!(!answer.text().contains("<Status>"), "{what}: {}", answer.text());
        root.call("GET", "/none").query(what, "").send().await.refused(404, "NoSuchBucket");
    }
}

#[tokio::test]
async fn removing_what_is_not_there_succeeds_and_removes_nothing_else() {
    let (_server, root) = served("b-1").await;
    root.put("b-1", "k", "kept").await.expect(200);
    for what in [
        "policy",
        "cors",
        "lifecycle",
        "tagging",
        "website",
        "encryption",
        "publicAccessBlock",
        "ownershipControls",
        "replication",
    ] {
        root.call("DELETE", "/b-1").query(what, "").send().await.expect(204);
        root.call("DELETE", "/none").query(what, "").send().await.refused(404, "NoSuchBucket");
    }
    root.call("DELETE", "/b-1/k").query("tagging", "").send().await.expect(204);
    assert_eq!(root.get("b-1", "k").await.expect(200).text(), "kept");
}

#[tokio::test]
async fn setting_it_is_not_implemented() {
    let (_server, root) = served("b-1").await;
    root.put("b-1", "k", "kept").await.expect(200);
    for what in ["replication", "accelerate"] {
        root.call("PUT", "/b-1").query(what, "").body("<X/>").send().await.refused(501, "NotImplemented");
    }
    assert_eq!(root.get("b-1", "k").await.expect(200).text(), "kept");
}

#[tokio::test]
async fn owners_have_full_control_and_objects_no_tags() {
    let (server, root) = served("b-1").await;
    root.put("b-1", "k", "x").await.expect(200);
    let owner = root.call("GET", "/").send().await.expect(200).elements("ID").remove(0);
    for path in ["/b-1", "/b-1/k"] {
        let acl = root.call("GET", path).query("acl", "").send().await.expect(200);
        assert_eq!(acl.elements("ID"), [owner.clone(), owner.clone()], "the owner, and the one grant");
        assert_eq!(acl.elements("Permission"), ["FULL_CONTROL"]);
        assert!(acl.text().contains("xsi:type=\"CanonicalUser\""), "{}", acl.text());
    }
    let tags = root.call("GET", "/b-1/k").query("tagging", "").send().await.expect(200);
    assert!(tags.text().contains("<TagSet"), "{}", tags.text());
    assert_eq!(tags.elements("Tag").len(), 0);
    for what in ["acl", "tagging"] {
        root.call("GET", "/b-1/none").query(what, "").send().await.refused(404, "NoSuchKey");
        server.anonymous().call("GET", "/b-1/k").query(what, "").send().await.refused(403, "AccessDenied");
    }
}
