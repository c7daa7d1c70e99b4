//! Multipart uploads.

use std::sync::Arc;
use std::time::Duration;

use longshore::model::action::Action;
use longshore::model::bucket::{Bucket, BucketConfig, Quota};
use longshore::model::checksum::{Algorithm, ChecksumKind};
use longshore::model::condition::Conditions;
use longshore::model::object::Content;
use longshore::store::Error;
use longshore::store::request::{
    CompleteRequest, CreateUpload, Incoming, ListedPart, PartCopy, PartStored, Portion, UploadQuery, UploadRef,
};

use tokio::sync::Notify;

use super::holes::{ALL, Site};
use super::{Bed, ROOT, incoming, key, md5_hex, pattern};

const MIN: usize = 5 * 1024 * 1024;

async fn begin(bed: &Bed, name: &str, checksum: Option<(Algorithm, ChecksumKind)>) -> UploadRef {
    let content = Content { content_type: Some("a/b".into()), ..Content::default() };
    let request = CreateUpload {
        given: Default::default(),
        conditions: Default::default(),
        length: None,
        bucket: bed.bucket.clone(),
        key: key(name),
        content,
        checksum,
    };
    let id = bed.store.create_upload(&ROOT, request).await.expect("begins").id;
    UploadRef { bucket: bed.bucket.clone(), key: key(name), id }
}

async fn part(bed: &Bed, upload: &UploadRef, number: u32, body: &[u8]) -> PartStored {
    bed.store.upload_part(&ROOT, upload, number, None, incoming(body)).await.expect("stores a part")
}

fn listed(parts: &[(u32, &PartStored)]) -> Vec<ListedPart> {
    let one = |(number, part): &(u32, &PartStored)| ListedPart {
        number: *number,
        etag: part.etag.clone(),
        checksum: part.checksum.clone(),
    };
    parts.iter().map(one).collect()
}

fn complete(upload: &UploadRef, parts: Vec<ListedPart>) -> CompleteRequest {
    let (upload, conditions) = (upload.clone(), Conditions::default());
    CompleteRequest { upload, parts, conditions, size: None, checksum: None, kind: None, customer_key: None }
}

fn etag_of(bodies: &[&[u8]]) -> String {
    use md5::Digest as _;
    let mut all = md5::Md5::new();
    for body in bodies {
        all.update(md5::Md5::digest(body));
    }
    let hex: String = all.finalize().iter().map(|b| format!("{b:02x}")).collect();
    format!("{hex}-{}", bodies.len())
}

pub(super) async fn parts_become_an_object(bed: &mut Bed) {
    let (a, b) = (pattern(MIN, 1), pattern(70_000, 2));
    bed.put("k", b"old").await.expect("puts");
    let upload = begin(bed, "k", None).await;
    // Sparse numbers, out of order.
    let last = part(bed, &upload, 900, &b).await;
    let first = part(bed, &upload, 7, &a).await;
    assert_eq!(first.etag, md5_hex(&a));
    assert_eq!(bed.get("k").await.expect("gets").1, b"old");
    assert_eq!(bed.keys("", None, 10).await.0, ["k"]);
    let page = bed.store.list_parts(&ROOT, &upload, 7, 10).await.expect("lists");
    assert_eq!((page.parts.len(), page.parts[0].number, page.more), (1, 900, false));
    let done = bed.store.complete_upload(&ROOT, complete(&upload, listed(&[(7, &first), (900, &last)]))).await;
    let done = done.expect("completes");
    assert_eq!(done.etag, etag_of(&[&a, &b]));
    let (object, body) = bed.get("k").await.expect("gets");
    assert_eq!((object.etag.as_str(), object.content.content_type.as_deref()), (done.etag.as_str(), Some("a/b")));
    assert_eq!(body, [a.clone(), b.clone()].concat());
    assert_eq!(bed.read("k", Portion::Part(2)).await.expect("reads").1, b);
    assert_eq!(bed.read("k", Portion::Part(1)).await.expect("reads").1, a);
    assert!(matches!(bed.read("k", Portion::Part(3)).await, Err(Error::NoSuchPart)));
    bed.delete("k").await.expect("deletes");
    bed.store.release().await.expect("a clean stop");
    bed.assert_managed(0);
}

pub(super) async fn complete_refuses_what_is_not_right(bed: &mut Bed) {
    let upload = begin(bed, "k", Some((Algorithm::Crc32c, ChecksumKind::Composite))).await;
    let (a, b) = (part(bed, &upload, 1, &pattern(MIN, 1)).await, part(bed, &upload, 2, b"x").await);
    assert_eq!(a.checksum.as_ref().map(|c| c.algorithm), Some(Algorithm::Crc32c));
    let all = listed(&[(1, &a), (2, &b)]);
    let mut wrong_etag = all.clone();
    wrong_etag[0].etag = md5_hex(b"no");
    let mut wrong_sum = all.clone();
    wrong_sum[0].checksum = b.checksum.clone();
    for (name, parts) in [
        ("reversed", vec![all[1].clone(), all[0].clone()]),
        ("twice, the stale one last", vec![all[0].clone(), wrong_etag[0].clone(), all[1].clone()]),
        ("missing", listed(&[(1, &a), (3, &b)])),
        ("etag", wrong_etag.clone()),
        ("checksum", wrong_sum),
        ("small", listed(&[(2, &b)]).into_iter().chain([ListedPart { number: 3, ..all[1].clone() }]).collect()),
    ] {
        bed.store.complete_upload(&ROOT, complete(&upload, parts)).await.expect_err(name);
    }
    let sized = CompleteRequest { size: Some(1), ..complete(&upload, all.clone()) };
    assert!(matches!(bed.store.complete_upload(&ROOT, sized).await, Err(Error::InvalidRequest(_))));
    // A number listed twice counts as it is listed last, and the checksums need not be listed.
    let mut again = all.clone();
    again.insert(0, wrong_etag[0].clone());
    again.iter_mut().for_each(|part| part.checksum = None);
    let done = bed.store.complete_upload(&ROOT, complete(&upload, again)).await.expect("completes after all");
    let checksum = done.checksum.expect("a checksum");
    assert_eq!(checksum.kind, ChecksumKind::Composite);
    assert!(checksum.value.ends_with("-2"));
}

pub(super) async fn a_repeated_complete_answers_alike(bed: &mut Bed) {
    let upload = begin(bed, "k", None).await;
    let only = part(bed, &upload, 1, b"x").await;
    let list = listed(&[(1, &only)]);
    let first = bed.store.complete_upload(&ROOT, complete(&upload, list.clone())).await.expect("completes");
    bed.put("k", b"newer").await.expect("puts");
    let again = bed.store.complete_upload(&ROOT, complete(&upload, list)).await.expect("answers");
    assert_eq!(first.etag, again.etag);
    assert_eq!(bed.get("k").await.expect("gets").1, b"newer");
    let other = bed.store.complete_upload(&ROOT, complete(&upload, Vec::new())).await;
    assert!(matches!(other, Err(Error::NoSuchUpload)));
    assert!(matches!(bed.store.abort_upload(&ROOT, &upload).await, Err(Error::NoSuchUpload)));
    assert!(matches!(bed.store.upload_part(&ROOT, &upload, 1, None, incoming(b"y")).await, Err(Error::NoSuchUpload)));
}

/// A client that gives up waiting sends its Complete again while the first one still copies: it gets the same answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_complete_waits_for_the_one_that_is_at_it() {
    for (kind, layout) in ALL {
        let site = Site::new(kind, layout).await;
        let upload = begin(&site.bed, "k", None).await;
        let only = part(&site.bed, &upload, 1, b"x").await;
        let (reached, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (here, gate) = (Arc::clone(&reached), Arc::clone(&go_on));
        site.hooks.before("assemble", 0, move || async move {
            here.notify_one();
            gate.notified().await;
        });
        let list = listed(&[(1, &only)]);
        let run = |list: Vec<ListedPart>, checked: &Arc<Notify>| {
            let (store, request, checked) = (site.bed.store.clone(), complete(&upload, list), Arc::clone(checked));
            tokio::spawn(async move { store.complete_telling(&ROOT, request, &checked).await })
        };
        let (begun, waits, never) = (Arc::default(), Arc::default(), Arc::default());
        let first = run(list.clone(), &begun);
        reached.notified().await;
        begun.notified().await;
        let again = run(list.clone(), &waits);
        waits.notified().await;
        let mut other = list;
        other[0].etag = md5_hex(b"another");
        let other = run(other, &never).await.expect("ends");
        assert!(matches!(other, Err(Error::ConditionalConflict)), "{other:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!again.is_finished(), "it is answered before there is an answer");
        go_on.notify_one();
        let first = first.await.expect("ends").expect("completes");
        let again = again.await.expect("ends").expect("is answered");
        assert_eq!((first.version, first.etag), (again.version, again.etag));
        assert_eq!(site.bed.get("k").await.expect("gets").1, b"x");
    }
}

pub(super) async fn abort_frees_parts(bed: &mut Bed) {
    let upload = begin(bed, "k", None).await;
    part(bed, &upload, 1, &pattern(300_000, 1)).await;
    part(bed, &upload, 2, &pattern(300_000, 1)).await;
    bed.store.abort_upload(&ROOT, &upload).await.expect("aborts");
    assert!(matches!(bed.store.abort_upload(&ROOT, &upload).await, Err(Error::NoSuchUpload)));
    assert!(matches!(bed.store.list_parts(&ROOT, &upload, 0, 10).await, Err(Error::NoSuchUpload)));
    assert!(matches!(bed.get("k").await, Err(Error::NoSuchKey)));
    bed.assert_managed(0);
}

/// A part of the object `source`.
fn part_copy(bed: &Bed, range: Option<(u64, u64)>) -> PartCopy {
    PartCopy {
        from_version: None,
        from_bucket: bed.bucket.clone(),
        from_key: key("source"),
        source_conditions: Conditions::default(),
        source_key: None,
        range,
    }
}

pub(super) async fn resent_parts_count_last(bed: &mut Bed) {
    let upload = begin(bed, "k", None).await;
    let old = part(bed, &upload, 1, b"old").await;
    let new = part(bed, &upload, 1, b"new").await;
    let stale = bed.store.complete_upload(&ROOT, complete(&upload, listed(&[(1, &old)]))).await;
    assert!(matches!(stale, Err(Error::InvalidPart { number: 1 })));
    let part_copy = part_copy(bed, Some((1, 3)));
    bed.put("source", b"abcde").await.expect("puts");
    let copied = bed.store.copy_part(&ROOT, &upload, 2, None, part_copy.clone()).await.expect("copies").part;
    assert_eq!(copied.etag, md5_hex(b"bcd"));
    let past = PartCopy { range: Some((1, 5)), ..part_copy };
    let past = bed.store.copy_part(&ROOT, &upload, 2, None, past).await;
    assert!(matches!(past, Err(Error::InvalidRange { size: 5 })));
    let small = bed.store.complete_upload(&ROOT, complete(&upload, listed(&[(1, &new), (2, &copied)]))).await;
    assert!(matches!(small, Err(Error::PartTooSmall { number: 1, size: 3, .. })));
    bed.store.complete_upload(&ROOT, complete(&upload, listed(&[(2, &copied)]))).await.expect("completes");
    assert_eq!(bed.get("k").await.expect("gets").1, b"bcd");
}

pub(super) async fn uploads_are_listed(bed: &mut Bed) {
    for name in ["a/1", "a/2", "b", "b"] {
        begin(bed, name, None).await;
    }
    let query = |limit| UploadQuery { delimiter: Some("/".into()), limit, ..UploadQuery::default() };
    let page = bed.store.list_uploads(&ROOT, &bed.bucket, query(10)).await.expect("lists");
    assert_eq!((page.prefixes, page.uploads.len(), page.next), (vec!["a/".to_owned()], 2, None));
    let (mut seen, mut next) = (0, None::<(String, Option<_>)>);
    for _ in 0..10 {
        let (key_marker, upload_marker) = next.clone().map_or((None, None), |(k, u)| (Some(k), u));
        let query = UploadQuery { key_marker, upload_marker, limit: 1, ..UploadQuery::default() };
        let page = bed.store.list_uploads(&ROOT, &bed.bucket, query).await.expect("lists");
        seen += page.uploads.len();
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(seen, 4);
}

/// Until an upload is complete nothing counts its parts, so they must fit by themselves.
pub(super) async fn parts_fit_into_the_quota(bed: &mut Bed) {
    bed.put("source", &pattern(11, 1)).await.expect("puts");
    let ten_more = |config: &mut BucketConfig, _: &Bucket| {
        config.quota = Quota { objects: None, bytes: Some(21) };
        Ok(())
    };
    bed.store.change_config(&ROOT, &bed.bucket, Action::Administer, ten_more).await.expect("sets");
    let upload = begin(bed, "k", None).await;
    let unfit = async |number: u32, bytes: usize| {
        for length in [Some(bytes as u64), None] {
            let body = Incoming { length, ..incoming(&pattern(bytes, 2)) };
            let refused = bed.store.upload_part(&ROOT, &upload, number, None, body).await;
            assert!(matches!(refused, Err(Error::QuotaExceeded)), "{bytes} bytes, {length:?}: {refused:?}");
        }
        let copy = part_copy(bed, Some((0, bytes as u64 - 1)));
        let refused = bed.store.copy_part(&ROOT, &upload, number, None, copy).await;
        assert!(matches!(refused, Err(Error::QuotaExceeded)), "a copy of {bytes} bytes: {refused:?}");
    };
    unfit(1, 11).await;
    let whole = bed.store.copy_part(&ROOT, &upload, 1, None, part_copy(bed, None)).await;
    assert!(matches!(whole, Err(Error::QuotaExceeded)), "{whole:?}");
    assert!(bed.store.list_parts(&ROOT, &upload, 0, 10).await.expect("lists").parts.is_empty());
    part(bed, &upload, 1, &pattern(6, 2)).await;
    unfit(2, 6).await;
    // An attempt at the same number counts instead of the one before it.
    let body = Incoming { length: None, ..incoming(&pattern(10, 3)) };
    bed.store.upload_part(&ROOT, &upload, 1, None, body).await.expect("fits");
    unfit(2, 1).await;
    let copied = bed.store.copy_part(&ROOT, &upload, 1, None, part_copy(bed, Some((1, 10)))).await.expect("fits");
    bed.store.complete_upload(&ROOT, complete(&upload, listed(&[(1, &copied.part)]))).await.expect("completes");
    // What the upload is to replace makes room for its parts.
    let over = begin(bed, "k", None).await;
    part(bed, &over, 1, &pattern(10, 4)).await;
    let beside = begin(bed, "beside", None).await;
    let refused = bed.store.upload_part(&ROOT, &beside, 1, None, incoming(b"x")).await;
    assert!(matches!(refused, Err(Error::QuotaExceeded)), "{refused:?}");
    for upload in [over, beside] {
        bed.store.abort_upload(&ROOT, &upload).await.expect("aborts");
    }
    for name in ["k", "source"] {
        bed.delete(name).await.expect("deletes");
    }
    bed.store.release().await.expect("a clean stop");
    bed.assert_managed(0);
}
