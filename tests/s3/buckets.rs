//! Buckets: names, creation, listing, removal.

use super::served;

#[tokio::test]
async fn names_outside_the_rules_are_refused() {
    let (_server, root) = served("good-name.1").await;
    for name in ["ab", "Upper", "a_b", "a..b", "192.168.1.1", "-ab", "ab-", &"a".repeat(64)] {
        root.create_bucket(name).await.refused(400, "InvalidBucketName");
    }
    assert_eq!(root.call("GET", "/").send().await.expect(200).elements("Name"), ["good-name.1"]);
}

#[tokio::test]
async fn creating_again_is_answered_alike_and_drops_nothing() {
    let (server, root) = served("photos").await;
    root.put("photos", "k", "kept").await.expect(200);
    let again = root.create_bucket("photos").await.expect(200);
    assert_eq!(again.header("location"), Some("/photos"));
    assert_eq!(root.get("photos", "k").await.expect(200).text(), "kept");
    server.user("alice", "readwrite").create_bucket("photos").await.refused(409, "BucketAlreadyExists");
}

#[tokio::test]
async fn a_bucket_is_a_directory_until_it_is_deleted() {
    let (server, root) = served("photos").await;
    assert!(server.data().join("photos").is_dir());
    root.put("photos", "k", "x").await.expect(200);
    root.call("DELETE", "/photos").send().await.refused(409, "BucketNotEmpty");
    root.delete("photos", "k").await.expect(204);
    root.call("DELETE", "/photos").send().await.expect(204);
    assert!(!server.data().join("photos").exists());
    let head = root.call("HEAD", "/photos").send().await.expect(404);
    assert!(head.body.is_empty());
    root.call("DELETE", "/photos").send().await.refused(404, "NoSuchBucket");
    root.put("photos", "k", "x").await.refused(404, "NoSuchBucket");
    assert!(!server.data().join("photos").exists());
}

#[tokio::test]
async fn the_region_is_told_and_no_other_can_be_asked_for() {
    let (_server, root) = served("photos").await;
    let head = root.call("HEAD", "/photos").send().await.expect(200);
    assert_eq!(head.header("x-amz-bucket-region"), Some("us-east-1"));
    let location = root.call("GET", "/photos").query("location", "").send().await.expect(200).text();
    assert!(location.contains("<LocationConstraint"), "{location}");
    assert!(!location.contains("us-east-1"), "{location}");
    let body = "<CreateBucketConfiguration><LocationConstraint>eu-9</LocationConstraint></CreateBucketConfiguration>";
    root.call("PUT", "/other").body(body).send().await.refused(400, "InvalidLocationConstraint");
    root.call("HEAD", "/other").send().await.expect(404);
}

#[tokio::test]
async fn buckets_are_listed_by_pages_in_order() {
    let (server, root) = served("c-bucket").await;
    for name in ["a-bucket", "b-bucket"] {
        root.create_bucket(name).await.expect(200);
    }
    server.user("alice", "readwrite").create_bucket("hers").await.expect(200);
    let mut names = Vec::new();
    let mut token = String::new();
    loop {
        let call = root.call("GET", "/").query("max-buckets", "2");
        let call = if token.is_empty() { call } else { call.query("continuation-token", &token) };
        let page = call.send().await.expect(200);
        assert!(page.elements("Name").len() <= 2);
        names.extend(page.elements("Name"));
        match page.elements("ContinuationToken").pop() {
            Some(next) => token = next,
            None => break,
        }
    }
    names.retain(|name| name != "hers");
    assert_eq!(names, ["a-bucket", "b-bucket", "c-bucket"]);
    let prefixed = root.call("GET", "/").query("prefix", "b-").send().await.expect(200);
    assert_eq!(prefixed.elements("Name"), ["b-bucket"]);
    root.call("GET", "/").query("max-buckets", "0").send().await.refused(400, "InvalidArgument");
}

#[tokio::test]
async fn the_expected_owner_is_held_against_the_real_one() {
    let (_server, root) = served("photos").await;
    root.put("photos", "k", "x").await.expect(200);
    let owner = root.call("GET", "/").send().await.expect(200).elements("ID").remove(0);
    for (expected, status) in [(owner.as_str(), 200), ("somebody-else", 403)] {
        for path in ["/photos", "/photos/k"] {
            let answer = root.call("GET", path).header("x-amz-expected-bucket-owner", expected).send().await;
            assert_eq!(answer.status, status, "{path} {expected}");
        }
    }
    let copy = root.call("PUT", "/photos/copy").header("x-amz-copy-source", "photos/k");
    copy.header("x-amz-source-expected-bucket-owner", "else").send().await.refused(403, "AccessDenied");
}

/// The header had a directory adopted before anything was decided, and told whoever sent it which directories there are.
#[tokio::test]
async fn an_expected_owner_makes_a_bucket_of_no_directory() {
    let (server, root) = served("photos").await;
    std::fs::create_dir(server.data().join("somedir")).expect("a directory");
    let nobody = server.anonymous();
    for path in ["/somedir", "/somedir/k", "/nowhere", "/nowhere/k"] {
        let plain = nobody.call("GET", path).send().await.refused(404, "NoSuchBucket");
        for expected in ["x", "root"] {
            let asked = nobody.call("GET", path).header("x-amz-expected-bucket-owner", expected);
            let asked = asked.send().await.refused(404, "NoSuchBucket");
            assert_eq!(asked.elements("Message"), plain.elements("Message"), "{path} {expected}");
        }
    }
    let copy = root.call("PUT", "/photos/copy").header("x-amz-copy-source", "somedir/k");
    copy.header("x-amz-source-expected-bucket-owner", "x").send().await.refused(404, "NoSuchBucket");
    let mark = server.data().join("somedir/.longshore");
    assert!(!mark.exists() && !server.log().contains("a container is served as a bucket"));
    // Who may have it served has it served, for whom it belongs to then.
    let ask = |expected: &str| root.call("GET", "/somedir").header("x-amz-expected-bucket-owner", expected).send();
    ask("x").await.refused(404, "NoSuchBucket");
    assert!(!mark.exists());
    ask("root").await.expect(200);
    assert!(mark.exists());
    ask("x").await.refused(403, "AccessDenied");
}
