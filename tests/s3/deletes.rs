//! DeleteObjects.

use super::{md5_base64, served};
use crate::harness::{Answer, Client};

async fn delete(client: &Client, body: &str) -> Answer {
    let call = client.call("POST", "/b-1").query("delete", "").header("content-md5", &md5_base64(body.as_bytes()));
    call.body(body).send().await
}

fn list(keys: &[&str], quiet: bool) -> String {
    let keys: String = keys.iter().map(|key| format!("<Object><Key>{key}</Key></Object>")).collect();
    format!("<Delete>{keys}<Quiet>{quiet}</Quiet></Delete>")
}

#[tokio::test]
async fn every_key_is_answered_in_order() {
    let (server, root) = served("b-1").await;
    for key in ["a", "b&c", "d"] {
        root.put("b-1", key, "x").await.expect(200);
    }
    let answer = delete(&root, &list(&["d", "none", "b&amp;c"], false)).await.expect(200);
    assert_eq!(answer.elements("Key"), ["d", "none", "b&amp;c"]);
    assert_eq!(answer.elements("Error").len(), 0);
    assert_eq!(root.keys_of("b-1", "").await, ["a"]);
    assert!(!server.data().join("b-1/d").exists());
    let quiet = delete(&root, &list(&["a", ".longshore/x"], true)).await.expect(200);
    assert_eq!((quiet.elements("Deleted").len(), quiet.elements("Code")), (0, vec!["InvalidArgument".to_owned()]));
}

#[tokio::test]
async fn a_list_needs_a_digest_that_fits_and_one_to_a_thousand_keys() {
    let (_server, root) = served("b-1").await;
    root.put("b-1", "a", "x").await.expect(200);
    let body = list(&["a"], false);
    let call = || root.call("POST", "/b-1").query("delete", "").body(body.clone());
    call().send().await.refused(400, "InvalidRequest");
    call().header("content-md5", &md5_base64(b"other")).send().await.refused(400, "BadDigest");
    call().header("content-md5", "no").send().await.refused(400, "InvalidDigest");
    call().header("x-amz-checksum-crc32", "AAAAAA==").send().await.refused(400, "BadDigest");
    delete(&root, &list(&[], false)).await.refused(400, "MalformedXML");
    delete(&root, &list(&["a"; 1001], false)).await.refused(400, "MalformedXML");
    delete(&root, "<Delete><Object>").await.refused(400, "MalformedXML");
    assert_eq!(root.keys_of("b-1", "").await, ["a"]);
    delete(&root, &list(&["a"; 1000], false)).await.expect(200);
    assert!(root.keys_of("b-1", "").await.is_empty());
}

/// MinIO's client for Python writes every character beyond ASCII so.
#[tokio::test]
async fn keys_may_be_written_by_the_numbers_of_their_characters() {
    let (_server, root) = served("b-1").await;
    for key in ["k\u{e4}", "\u{1f600}", "\u{10ffff}/\u{20000}"] {
        root.put("b-1", key, "x").await.expect(200);
    }
    let body = list(&["k&#228;", "&#128512;", "&#x10FFFF;/&#x20000;"], false);
    let answer = delete(&root, &body).await.expect(200);
    assert_eq!(answer.elements("Key"), ["k\u{e4}", "\u{1f600}", "\u{10ffff}/\u{20000}"]);
    assert!(root.keys_of("b-1", "").await.is_empty());
    root.put("b-1", "tagged", "x").await.expect(200);
    let tags = "<Tagging><TagSet><Tag><Key>k</Key><Value>a&#228;b</Value></Tag></TagSet></Tagging>";
    root.call("PUT", "/b-1/tagged").query("tagging", "").body(tags).send().await.expect(200);
    let told = root.call("GET", "/b-1/tagged").query("tagging", "").send().await.expect(200);
    assert_eq!(told.elements("Value"), ["a\u{e4}b"]);
    let policy = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"&#128512;\",\"Effect\":\"Allow\",\
                  \"Principal\":\"*\",\"Action\":\"s3:GetObject\",\"Resource\":\"arn:aws:s3:::b-1/*\"}]}";
    root.call("PUT", "/b-1").query("policy", "").body(policy).send().await.expect(204);
    let told = root.call("GET", "/b-1").query("policy", "").send().await.expect(200);
    assert!(told.text().contains("&#128512;"), "a policy is no XML");
}
