//! Uploads in parts.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use longshore::config::limits::QUOTA_UPLOADS_MAX;
use md5::{Digest as _, Md5};

use super::{md5_hex, pattern, served};
use crate::harness::{Answer, Client, sign};

const PART: usize = 5 * 1024 * 1024;

async fn begin(client: &Client, headers: &[(&str, &str)]) -> String {
    let mut call = client.call("POST", "/b-1/k").query("uploads", "");
    for (name, value) in headers {
        call = call.header(name, value);
    }
    call.send().await.expect(200).elements("UploadId").remove(0)
}

async fn part(client: &Client, upload: &str, number: u32, body: Vec<u8>) -> Answer {
    let call = client.call("PUT", "/b-1/k").query("uploadId", upload).query("partNumber", &number.to_string());
    call.body(body).send().await
}

async fn complete(client: &Client, upload: &str, parts: &[(u32, &str)]) -> Answer {
    complete_saying(client, upload, parts, &[]).await
}

async fn complete_saying(client: &Client, upload: &str, parts: &[(u32, &str)], headers: &[(&str, &str)]) -> Answer {
    let one =
        |(number, etag): &(u32, &str)| format!("<Part><PartNumber>{number}</PartNumber><ETag>\"{etag}\"</ETag></Part>");
    let list: String = parts.iter().map(one).collect();
    let body = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
    let mut call = client.call("POST", "/b-1/k").query("uploadId", upload).body(body);
    for (name, value) in headers {
        call = call.header(name, value);
    }
    call.send().await
}

fn etag_of(parts: &[&[u8]]) -> String {
    let mut all = Md5::new();
    parts.iter().for_each(|part| all.update(Md5::digest(part)));
    format!("{}-{}", sign::hex(&all.finalize()), parts.len())
}

#[tokio::test]
async fn parts_become_one_object_that_remembers_them() {
    let (server, root) = served("b-1").await;
    let (a, b) = (pattern(PART, 1), pattern(70_000, 2));
    let upload = begin(&root, &[("content-type", "a/b")]).await;
    let last = part(&root, &upload, 9, b.clone()).await.expect(200);
    let first = part(&root, &upload, 2, a.clone()).await.expect(200);
    assert_eq!((first.etag(), last.etag()), (md5_hex(&a).as_str(), md5_hex(&b).as_str()));
    assert!(root.keys_of("b-1", "").await.is_empty(), "nothing shows before it is complete");
    let made = complete(&root, &upload, &[(2, first.etag()), (9, last.etag())]).await.expect(200);
    let etag = etag_of(&[&a, &b]);
    assert_eq!(made.elements("ETag"), [format!("\"{etag}\"")]);
    let got = root.get("b-1", "k").await.expect(200);
    assert_eq!((got.etag(), got.header("content-type")), (etag.as_str(), Some("a/b")));
    assert!(got.body[..] == [a.clone(), b.clone()].concat());
    assert!(std::fs::read(server.data().join("b-1/k")).expect("the file") == got.body);
    for (number, bytes, range) in [("1", &a, "bytes 0-5242879/5312880"), ("2", &b, "bytes 5242880-5312879/5312880")] {
        let answer = root.call("GET", "/b-1/k").query("partNumber", number).send().await.expect(206);
        assert!(answer.body[..] == bytes[..], "part {number}");
        assert_eq!(answer.header("content-range"), Some(range));
        assert_eq!((answer.header("x-amz-mp-parts-count"), answer.etag()), (Some("2"), etag.as_str()));
    }
    root.call("GET", "/b-1/k").query("partNumber", "3").send().await.refused(400, "InvalidPart");
    root.call("GET", "/b-1/k").query("partNumber", "0").send().await.refused(400, "InvalidArgument");
    let call = root.call("GET", "/b-1/k").query("attributes", "");
    let shown = call.header("x-amz-object-attributes", "ETag,ObjectParts,ObjectSize").send().await.expect(200);
    assert_eq!((shown.elements("ETag"), shown.elements("ObjectSize")), (vec![etag], vec!["5312880".to_owned()]));
    assert_eq!(shown.elements("PartsCount"), ["2"]);
    assert_eq!(shown.elements("Size"), [PART.to_string(), "70000".to_owned()]);
}

#[tokio::test]
async fn a_number_listed_twice_counts_as_it_is_listed_last() {
    let (_server, root) = served("b-1").await;
    let upload = begin(&root, &[]).await;
    let old = part(&root, &upload, 1, b"old".to_vec()).await.expect(200);
    let new = part(&root, &upload, 1, b"new".to_vec()).await.expect(200);
    complete(&root, &upload, &[(1, new.etag()), (1, old.etag())]).await.refused(400, "InvalidPart");
    complete(&root, &upload, &[(1, old.etag()), (1, new.etag())]).await.expect(200);
    assert_eq!(root.get("b-1", "k").await.expect(200).text(), "new");
}

#[tokio::test]
async fn a_wrong_list_is_refused_and_the_upload_stays() {
    let (_server, root) = served("b-1").await;
    let upload = begin(&root, &[]).await;
    let (a, b) = (part(&root, &upload, 1, b"a".to_vec()).await, part(&root, &upload, 2, b"b".to_vec()).await);
    let (a, b) = (a.etag(), b.etag());
    for (parts, code) in [
        (&[][..], "MalformedXML"),
        (&[(2, b), (1, a)], "InvalidPartOrder"),
        (&[(1, b)], "InvalidPart"),
        (&[(3, a)], "InvalidPart"),
    ] {
        complete(&root, &upload, parts).await.refused(400, code);
    }
    let small = complete(&root, &upload, &[(1, a), (2, b)]).await.refused(400, "EntityTooSmall");
    assert_eq!(small.elements("MinSizeAllowed"), ["5242880"]);
    let listed = root.call("GET", "/b-1/k").query("uploadId", &upload).send().await.expect(200);
    assert_eq!((listed.elements("PartNumber"), listed.elements("Size").len()), (vec!["1".into(), "2".into()], 2));
    let uploads = root.call("GET", "/b-1").query("uploads", "").send().await.expect(200);
    assert_eq!(uploads.elements("UploadId"), std::slice::from_ref(&upload));
    // Only what is listed is used.
    complete(&root, &upload, &[(2, b)]).await.expect(200);
    assert_eq!(root.get("b-1", "k").await.expect(200).text(), "b");
    // A repeated Complete is answered alike; another one is not.
    complete(&root, &upload, &[(2, b)]).await.expect(200);
    complete(&root, &upload, &[(1, a)]).await.refused(404, "NoSuchUpload");
}

#[tokio::test]
async fn completes_that_come_at_once_are_answered_alike() {
    let (_server, root) = served("b-1").await;
    let upload = begin(&root, &[]).await;
    let bodies: Vec<Vec<u8>> = (1..=4).map(|number| pattern(PART, number)).collect();
    let mut etags = Vec::new();
    for (number, body) in (1..).zip(&bodies) {
        etags.push(part(&root, &upload, number, body.clone()).await.expect(200).etag().to_owned());
    }
    let parts: Vec<(u32, &str)> = (1..).zip(etags.iter().map(String::as_str)).collect();
    let answers = join_all((0..8).map(|_| complete(&root, &upload, &parts))).await;
    let told: BTreeSet<_> = answers.into_iter().map(|answer| answer.expect(200).elements("ETag")).collect();
    let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
    assert_eq!(told, BTreeSet::from([vec![format!("\"{}\"", etag_of(&bodies))]]));
    assert!(root.get("b-1", "k").await.expect(200).body[..] == bodies.concat());
}

#[tokio::test]
async fn an_aborted_upload_is_gone_with_its_parts() {
    let (_server, root) = served("b-1").await;
    let upload = begin(&root, &[]).await;
    part(&root, &upload, 1, pattern(100_000, 1)).await.expect(200);
    let abort = || root.call("DELETE", "/b-1/k").query("uploadId", &upload).send();
    abort().await.expect(204);
    abort().await.refused(404, "NoSuchUpload");
    part(&root, &upload, 1, b"x".to_vec()).await.refused(404, "NoSuchUpload");
    complete(&root, &upload, &[(1, "a")]).await.refused(404, "NoSuchUpload");
    for (id, number, status, code) in
        [("made-up", "1", 404, "NoSuchUpload"), (upload.as_str(), "10001", 400, "InvalidArgument")]
    {
        let call = root.call("PUT", "/b-1/k").query("uploadId", id).query("partNumber", number);
        call.body("x").send().await.refused(status, code);
    }
}

#[tokio::test]
async fn parts_are_copied_by_range() {
    let (_server, root) = served("b-1").await;
    root.put("b-1", "source", "0123456789").await.expect(200);
    let upload = begin(&root, &[]).await;
    let copy = |range: &'static str| {
        let call = root.call("PUT", "/b-1/k").query("uploadId", &upload).query("partNumber", "1");
        call.header("x-amz-copy-source", "b-1/source").header("x-amz-copy-source-range", range).send()
    };
    copy("bytes=5-20").await.refused(416, "InvalidRange");
    for range in ["bytes=5-", "5-6", "bytes=6-5", "bytes=0-1,3-4"] {
        copy(range).await.refused(400, "InvalidArgument");
    }
    let copied = copy("bytes=2-5").await.expect(200);
    assert_eq!(copied.elements("ETag"), [format!("\"{}\"", md5_hex(b"2345"))]);
    complete(&root, &upload, &[(1, &md5_hex(b"2345"))]).await.expect(200);
    assert_eq!(root.get("b-1", "k").await.expect(200).text(), "2345");
}

#[tokio::test]
async fn a_composite_checksum_is_made_of_those_of_the_parts() {
    use sha2::Sha256;
    let (_server, root) = served("b-1").await;
    let (a, b) = (pattern(PART, 1), pattern(10, 2));
    let upload = begin(&root, &[("x-amz-checksum-algorithm", "SHA256")]).await;
    let mut etags = Vec::new();
    for (number, body) in [(1, &a), (2, &b)] {
        let stored = part(&root, &upload, number, body.clone()).await.expect(200);
        let wanted = super::base64(&Sha256::digest(body));
        assert_eq!(stored.header("x-amz-checksum-sha256"), Some(wanted.as_str()));
        etags.push(stored.etag().to_owned());
    }
    // The list need not repeat the checksums.
    let made = complete(&root, &upload, &[(1, &etags[0]), (2, &etags[1])]).await.expect(200);
    let both = [Sha256::digest(&a), Sha256::digest(&b)].concat();
    let composite = format!("{}-2", super::base64(&Sha256::digest(both)));
    assert_eq!(made.elements("ChecksumSHA256"), std::slice::from_ref(&composite));
    let head = root.call("HEAD", "/b-1/k").header("x-amz-checksum-mode", "ENABLED").send().await.expect(200);
    assert_eq!(head.header("x-amz-checksum-sha256"), Some(composite.as_str()));
    // A part shows its own value beside the type of the whole.
    let one = root.call("GET", "/b-1/k").query("partNumber", "2").header("x-amz-checksum-mode", "ENABLED");
    let one = one.send().await.expect(206);
    assert_eq!(one.header("x-amz-checksum-sha256"), Some(super::base64(&Sha256::digest(&b)).as_str()));
    assert_eq!(one.header("x-amz-checksum-type"), Some("COMPOSITE"));
}

#[tokio::test]
async fn a_quota_bounds_the_uploads_of_a_bucket() {
    let (server, root) = served("b-1").await;
    server.run(&["bucket", "set", "b-1", "--quota-bytes", "10"]);
    // The commit of a write meets the quota, and then it is known.
    root.put("b-1", "empty", "").await.expect(200);
    let first = begin(&root, &[]).await;
    part(&root, &first, 1, b"eleven more".to_vec()).await.refused(403, "QuotaExceeded");
    part(&root, &first, 1, b"sixsix".to_vec()).await.expect(200);
    part(&root, &first, 2, b"sixsix".to_vec()).await.refused(403, "QuotaExceeded");
    let listed = root.call("GET", "/b-1/k").query("uploadId", &first).send().await.expect(200);
    assert_eq!(listed.elements("Size"), ["6"]);
    for _ in 1..QUOTA_UPLOADS_MAX {
        begin(&root, &[]).await;
    }
    let more = || root.call("POST", "/b-1/k").query("uploads", "").send();
    more().await.refused(403, "QuotaExceeded");
    root.call("DELETE", "/b-1/k").query("uploadId", &first).send().await.expect(204);
    more().await.expect(200);
    more().await.refused(403, "QuotaExceeded");
}

#[tokio::test]
async fn a_composite_may_be_declared_without_the_count_of_its_parts() {
    use sha1::Sha1;
    let (_server, root) = served("b-1").await;
    let whole = super::base64(&Sha1::digest(Sha1::digest("hello")));
    let shown = format!("{whole}-1");
    let wrong = super::base64(&Sha1::digest("hello"));
    for right in [&whole, &shown] {
        let upload = begin(&root, &[("x-amz-checksum-algorithm", "SHA1")]).await;
        let etag = part(&root, &upload, 1, b"hello".to_vec()).await.expect(200).etag().to_owned();
        let declare = |value: &str| {
            let (root, upload, etag, value) = (&root, &upload, &etag, value.to_owned());
            async move { complete_saying(root, upload, &[(1, etag)], &[("x-amz-checksum-sha1", &value)]).await }
        };
        for bad in [&wrong, &format!("{wrong}-1"), &format!("{whole}-2")] {
            declare(bad).await.refused(400, "BadDigest");
        }
        let made = declare(right).await.expect(200);
        assert_eq!(made.elements("ChecksumSHA1"), std::slice::from_ref(&shown), "declared as {right}");
        let head = root.call("HEAD", "/b-1/k").header("x-amz-checksum-mode", "ENABLED").send().await.expect(200);
        assert_eq!(head.header("x-amz-checksum-sha1"), Some(shown.as_str()));
    }
}

#[tokio::test]
async fn a_complete_names_the_type_of_the_upload_or_none() {
    let (_server, root) = served("b-1").await;
    for (own, other) in [("COMPOSITE", "FULL_OBJECT"), ("FULL_OBJECT", "COMPOSITE")] {
        let upload = begin(&root, &[("x-amz-checksum-algorithm", "CRC32C"), ("x-amz-checksum-type", own)]).await;
        let etag = part(&root, &upload, 1, b"hello".to_vec()).await.expect(200).etag().to_owned();
        let listed = [(1, etag.as_str())];
        let named = |name: &'static str| {
            let (root, upload, listed) = (&root, &upload, &listed);
            async move { complete_saying(root, upload, listed, &[("x-amz-checksum-type", name)]).await }
        };
        named(other).await.refused(400, "BadDigest");
        assert_eq!(named(own).await.expect(200).elements("ChecksumType"), [own]);
    }
}
