//! What answers tell of versions: ids where they are kept, and whether a missing key is a deleted one.

use super::served;
use crate::harness::{Answer, Client};

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

/// Versions and markers as they stand in a listing, one behind the other: the element, the key, the id, whether it is the
/// latest.
fn in_order(answer: &Answer) -> Vec<[String; 4]> {
    let text = answer.text();
    let mut entries = Vec::new();
    for (at, _) in text.match_indices('<') {
        let Some(kind) =
            ["Version", "DeleteMarker"].into_iter().find(|kind| text[at + 1..].starts_with(&format!("{kind}>")))
        else {
            continue;
        };
        let (entry, _) = text[at..].split_once(&format!("</{kind}>")).expect("an end");
        let inside = |name: &str| {
            let (_, rest) = entry.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name}: {entry}"));
            rest.split('<').next().unwrap_or_default().to_owned()
        };
        entries.push([kind.to_owned(), inside("Key"), inside("VersionId"), inside("IsLatest")]);
    }
    entries
}

#[tokio::test]
async fn versions_and_markers_are_listed_by_key_and_then_the_newest_first() {
    let (_server, root) = served("b-1").await;
    versioning(&root, "Enabled").await;
    let mut wanted = Vec::new();
    for (key, shown, encoded) in [("k1", "k1", "k1"), ("k<2>&\u{1}", "k&lt;2&gt;&amp;%01", "k%3C2%3E%26%01")] {
        let first = root.put("b-1", key, "one").await.expect(200);
        let second = root.put("b-1", key, "second").await.expect(200);
        let marker = root.delete("b-1", key).await.expect(204);
        for (kind, written) in [("DeleteMarker", marker), ("Version", second), ("Version", first)] {
            let id = written.header("x-amz-version-id").expect("an id").to_owned();
            wanted.push((kind, shown, encoded, id, (kind == "DeleteMarker").to_string()));
        }
    }
    let list = || root.call("GET", "/b-1").query("versions", "").query("prefix", "k");
    let plain: Vec<_> = wanted
        .iter()
        .map(|(kind, shown, _, id, latest)| [(*kind).to_owned(), (*shown).to_owned(), id.clone(), latest.clone()])
        .collect();
    let listed = list().send().await.expect(200);
    assert_eq!(in_order(&listed), plain, "{}", listed.text());
    assert_eq!(listed.elements("Size"), ["6", "3", "6", "3"]);
    assert_eq!((listed.elements("ETag").len(), listed.elements("Owner").len()), (4, 6));

    let encoded: Vec<_> = wanted
        .iter()
        .map(|(kind, _, encoded, id, latest)| [(*kind).to_owned(), (*encoded).to_owned(), id.clone(), latest.clone()])
        .collect();
    let listed = list().query("encoding-type", "url").query("delimiter", "/").send().await.expect(200);
    assert_eq!(in_order(&listed), encoded, "{}", listed.text());
    assert_eq!(listed.header("content-type"), Some("application/xml"));
    assert_eq!(listed.header("content-length"), Some(listed.body.len().to_string().as_str()));
    let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
                <ListVersionsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b-1</Name><Prefix>k</Prefix>\
                <KeyMarker></KeyMarker><VersionIdMarker></VersionIdMarker><MaxKeys>1000</MaxKeys>\
                <Delimiter>/</Delimiter><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated><DeleteMarker>";
    assert!(listed.text().starts_with(head), "{}", listed.text());

    // A page may end between the versions of a key.
    let page = list().query("max-keys", "2").send().await.expect(200);
    assert_eq!((in_order(&page), page.elements("IsTruncated")), (plain[..2].to_vec(), vec!["true".to_owned()]));
    let (key, version) = (page.elements("NextKeyMarker"), page.elements("NextVersionIdMarker"));
    let rest = list().query("key-marker", &key[0]).query("version-id-marker", &version[0]).send().await.expect(200);
    assert_eq!((in_order(&rest), rest.elements("KeyMarker")), (plain[2..].to_vec(), key));
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
