//! What answers tell of versions: ids where they are kept, and whether a missing key is a deleted one.

use super::served;
use crate::harness::Client;

async fn versioning(root: &Client, status: &str) {
    let body = format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>");
    root.call("PUT", "/b-1").query("versioning", "").body(body).send().await.expect(200);
}

#[tokio::test]
async fn a_write_tells_its_version_only_where_it_is_kept() {
    let (_server, root) = served("b-1").await;
    let put = || root.put("b-1", "k", "hello");
    let copy = || root.call("PUT", "/b-1/copy").header("x-amz-copy-source", "/b-1/k").send();
    assert_eq!(put().await.expect(200).header("x-amz-version-id"), None);
    versioning(&root, "Enabled").await;
    let kept = put().await.expect(200);
    let id = kept.header("x-amz-version-id").expect("an id");
    let got = root.call("GET", "/b-1/k").query("versionId", id).send().await.expect(200);
    assert_eq!((got.text().as_str(), got.header("x-amz-version-id")), ("hello", Some(id)));
    assert!(copy().await.expect(200).header("x-amz-version-id").is_some());
    versioning(&root, "Suspended").await;
    assert_eq!(put().await.expect(200).header("x-amz-version-id"), None);
    assert_eq!(copy().await.expect(200).header("x-amz-version-id"), None);
    assert_eq!(root.get("b-1", "k").await.expect(200).header("x-amz-version-id"), Some("null"));
}

#[tokio::test]
async fn a_missing_key_says_whether_it_was_deleted() {
    let (_server, root) = served("b-1").await;
    for status in ["Enabled", "Suspended"] {
        versioning(&root, status).await;
        root.put("b-1", status, "hello").await.expect(200);
        root.delete("b-1", status).await.expect(204);
        assert_eq!(root.head("b-1", status).await.expect(404).header("x-amz-delete-marker"), Some("true"), "{status}");
        root.get("b-1", status).await.refused(404, "NoSuchKey");
    }
    assert_eq!(root.head("b-1", "never").await.expect(404).header("x-amz-delete-marker"), Some("false"));
}

#[tokio::test]
async fn a_copied_part_tells_the_version_it_was_made_of() {
    let (_server, root) = served("b-1").await;
    root.create_bucket("to-1").await.expect(200);
    let begun = root.call("POST", "/to-1/k").query("uploads", "").send().await.expect(200);
    let upload = begun.elements("UploadId").remove(0);
    let told = |source: String| {
        let call = root.call("PUT", "/to-1/k").query("uploadId", &upload).query("partNumber", "1");
        let call = call.header("x-amz-copy-source", &source);
        async move { call.send().await.expect(200).header("x-amz-copy-source-version-id").map(str::to_owned) }
    };
    let plain = || "b-1/k".to_owned();
    root.put("b-1", "k", "old").await.expect(200);
    assert_eq!(told(plain()).await, None);
    assert_eq!(told("b-1/k?versionId=null".to_owned()).await, None, "the bucket never kept any");
    versioning(&root, "Enabled").await;
    assert_eq!(told(plain()).await.as_deref(), Some("null"));
    let new = root.put("b-1", "k", "new").await.expect(200);
    let id = new.header("x-amz-version-id").expect("an id");
    assert_eq!(told(plain()).await.as_deref(), Some(id));
    assert_eq!(told("b-1/k?versionId=null".to_owned()).await.as_deref(), Some("null"));
}
