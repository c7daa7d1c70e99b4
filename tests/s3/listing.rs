//! Listings of keys in all three forms.

use super::served;
use crate::harness::{Answer, Client};

async fn page(client: &Client, query: &[(&str, &str)]) -> Answer {
    let mut call = client.call("GET", "/b-1");
    for (name, value) in query {
        call = call.query(name, value);
    }
    call.send().await
}

async fn with(keys: &[&str]) -> (crate::harness::Server, Client) {
    let (server, root) = served("b-1").await;
    for key in keys {
        root.put("b-1", key, "x").await.expect(200);
    }
    (server, root)
}

/// The prefixes that stand for many keys; the first `Prefix` is that of the request.
fn common(answer: &Answer) -> Vec<String> {
    answer.elements("CommonPrefixes").iter().map(|e| e.replace("<Prefix>", "").replace("</Prefix>", "")).collect()
}

#[tokio::test]
async fn keys_come_in_the_order_of_their_bytes() {
    let (_server, root) = with(&["foo/bar", "foo+1/bar", "foo-1", "fo", "ä", "Z", "quux ab/thud"]).await;
    let listed = page(&root, &[("list-type", "2")]).await.expect(200);
    assert_eq!(listed.elements("Key"), ["Z", "fo", "foo+1/bar", "foo-1", "foo/bar", "quux ab/thud", "ä"]);
    assert_eq!(listed.elements("KeyCount"), ["7"]);
    let grouped = page(&root, &[("delimiter", "/"), ("encoding-type", "url")]).await.expect(200);
    assert_eq!(common(&grouped), ["foo%2B1/", "foo/", "quux%20ab/"]);
    assert_eq!(grouped.elements("Key"), ["Z", "fo", "foo-1", "%C3%A4"]);
    assert_eq!(grouped.elements("EncodingType"), ["url"]);
}

#[tokio::test]
async fn pages_join_to_the_whole_in_every_form() {
    let keys = ["a/1", "a/2", "b", "c/1", "d"];
    let (_server, root) = with(&keys).await;
    for delimiter in ["", "/"] {
        let wanted: Vec<&str> = if delimiter.is_empty() { keys.to_vec() } else { vec!["a/", "b", "c/", "d"] };
        for (form, next, marker) in [
            (&[("list-type", "2")][..], "NextContinuationToken", "continuation-token"),
            (&[], "NextMarker", "marker"),
            (&[("versions", "")], "NextKeyMarker", "key-marker"),
        ] {
            let (mut seen, mut after) = (Vec::new(), String::new());
            loop {
                let mut query = form.to_vec();
                query.extend([("delimiter", delimiter), ("max-keys", "1")]);
                if !after.is_empty() {
                    query.push((marker, &after));
                }
                let answer = page(&root, &query).await.expect(200);
                let entries = [answer.elements("Key"), common(&answer)].concat();
                assert_eq!(entries.len(), 1, "{}", answer.text());
                seen.extend(entries.clone());
                if answer.elements("IsTruncated") == ["false"] {
                    break;
                }
                // The first form names the next marker only where groups make it hard to guess.
                after = answer.elements(next).pop().unwrap_or_else(|| entries[0].clone());
            }
            assert_eq!(seen, wanted, "{form:?} {delimiter:?}");
        }
    }
}

#[tokio::test]
async fn the_request_is_echoed() {
    let (_server, root) = with(&["asdf/", "asdf/a"]).await;
    let v1 = page(&root, &[("prefix", "asdf/"), ("delimiter", "/"), ("marker", "a")]).await.expect(200);
    assert_eq!((v1.elements("Marker"), v1.elements("MaxKeys")), (vec!["a".into()], vec!["1000".into()]));
    assert_eq!((v1.elements("Key").len(), common(&v1).len()), (2, 0), "a key that is the prefix is a key");
    let v2 = page(&root, &[("list-type", "2"), ("start-after", "asdf/"), ("max-keys", "5000")]).await.expect(200);
    assert_eq!((v2.elements("StartAfter"), v2.elements("MaxKeys")), (vec!["asdf/".into()], vec!["1000".into()]));
    assert_eq!((v2.elements("Key"), v2.elements("Owner").len()), (vec!["asdf/a".into()], 0));
    let owned = page(&root, &[("list-type", "2"), ("fetch-owner", "true")]).await.expect(200);
    assert_eq!(owned.elements("Owner").len(), 2);
}

#[tokio::test]
async fn a_prefix_is_echoed_so_that_every_client_reads_it_alike() {
    let (_server, root) = with(&["a"]).await;
    for (prefix, form, echoed) in [
        ("\n", "1", "\n"),
        ("\n", "2", "%0A"),
        ("ä b", "1", "ä b"),
        ("100%", "1", "100%25"),
        ("a+b", "1", "a%2Bb"),
        ("\u{1}", "1", "%01"),
    ] {
        let mut query = vec![("prefix", prefix), ("encoding-type", "url")];
        if form == "2" {
            query.push(("list-type", "2"));
        }
        let answer = page(&root, &query).await.expect(200);
        assert_eq!(answer.elements("Prefix"), [echoed], "{prefix:?} in form {form}");
    }
}

#[tokio::test]
async fn sizes_of_pages_are_numbers() {
    let (_server, root) = with(&["a"]).await;
    for form in ["1", "2"] {
        let none = page(&root, &[("list-type", form), ("max-keys", "0")]).await.expect(200);
        assert_eq!((none.elements("Key").len(), none.elements("IsTruncated")), (0, vec!["false".to_owned()]));
        for bad in ["-1", "abc"] {
            page(&root, &[("list-type", form), ("max-keys", bad)]).await.refused(400, "InvalidArgument");
        }
    }
    let token = page(&root, &[("list-type", "2"), ("continuation-token", "?!")]).await;
    token.refused(400, "InvalidArgument");
    root.call("GET", "/none").query("list-type", "2").send().await.refused(404, "NoSuchBucket");
}

#[tokio::test]
async fn every_object_is_its_only_version() {
    let (_server, root) = with(&["a", "b"]).await;
    let versions = page(&root, &[("versions", "")]).await.expect(200);
    assert_eq!(versions.elements("VersionId"), ["null", "null"]);
    assert_eq!(versions.elements("IsLatest"), ["true", "true"]);
    assert_eq!(versions.elements("ETag").len(), 2);
    root.call("DELETE", "/b-1/a").query("versionId", "null").send().await.expect(204);
    assert_eq!(root.keys_of("b-1", "").await, ["b"]);
}
