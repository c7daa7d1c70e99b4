//! Rows to write.

use longshore::catalog::{Acting, Catalog, Change, Commit, Error, NewBucket, NewTask, Scope, Step, Task, Window};
use longshore::model::acl::Canned;
use longshore::model::bucket::{Bucket, BucketConfig, BucketSettings};
use longshore::model::checksum::{Algorithm, Checksum, ChecksumKind};
use longshore::model::id::{BucketId, UploadId, VersionId};
use longshore::model::lock::Lock;
use longshore::model::name::{BucketName, ObjectKey};
use longshore::model::object::{Attached, Content, Object, PartFact, Seen};
use longshore::model::page::Seek;
use longshore::model::place::{Placed, Stamp};
use longshore::model::tag::{Tag, Tags};
use longshore::model::time::Timestamp;
use longshore::model::upload::{Part, Upload, UploadState};

/// The scope of all but the test of scopes.
pub(super) const US: &Scope = &Scope::Service;

/// The scope of a token.
pub(super) fn as_role(role: &str, subject: &str, operation: &str) -> Scope {
    let mut claims = serde_json::json!({"role": role, "app": {"team": "red"}});
    if !subject.is_empty() {
        claims["sub"] = subject.into();
    }
    Scope::As(Acting { role: role.into(), claims, operation: operation.into(), only_new: false })
}

pub(super) fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).expect("a legal key")
}

pub(super) fn name(text: &str) -> BucketName {
    BucketName::new(text).expect("a legal name")
}

pub(super) fn new_bucket(text: &str) -> NewBucket {
    NewBucket {
        name: name(text),
        provider: "disk".into(),
        container: name(text),
        owner: "root".into(),
        created: Timestamp(1_700_000_000_123_456_789),
        settings: BucketSettings::default(),
        config: BucketConfig::default(),
        indexed: None,
    }
}

pub(super) async fn bucket(catalog: &dyn Catalog, text: &str) -> Bucket {
    catalog.create_bucket(US, new_bucket(text)).await.expect("a new bucket")
}

/// An object that uses every column.
pub(super) fn rich(text: &str) -> Object {
    let sum = |value: &str, kind| Checksum { algorithm: Algorithm::Crc32c, kind, value: value.into() };
    let part = |number| PartFact { number, size: 5, checksum: Some(sum("AAAAAA==", ChecksumKind::FullObject)) };
    Object {
        key: key(text),
        version: VersionId::fresh(),
        counter: 1_700_000_000_000_000_001,
        placed: Placed::Natural,
        stamp: Stamp::new("17-é-'\"-1"),
        size: 10,
        modified: Timestamp(-1),
        etag: "0123-2".into(),
        checksum: Some(sum("/////w==-2", ChecksumKind::Composite)),
        crc64nvme: Some(u64::MAX),
        content: Content {
            content_type: Some("text/plain; charset=\"utf-8\"".into()),
            expires: Some("never".into()),
            storage_class: Some("STANDARD_IA".into()),
            user: [("a".to_owned(), "b\"'\\\u{7f}é".to_owned())].into(),
            ..Content::default()
        },
        parts: vec![part(1), part(7)],
        owner: "alice".into(),
        null: false,
        marker: false,
        revision: 0,
        attached: Attached {
            tags: Tags::new(vec![Tag { key: "k".into(), value: "é".into() }], 10).expect("a tag"),
            acl: Some(Canned::PublicRead.grants("alice", "bob")),
            lock: Lock { retention: None, legal_hold: Some(false) },
            sealing: None,
            created: Some(Timestamp(1)),
            id: Some(VersionId::fresh()),
            ends: None,
            length: None,
        },
    }
}

/// The same, whatever its row is known by: an overwritten one may stay known by what it was.
pub(super) fn but_for_id(mut object: Object) -> Object {
    object.attached.id = None;
    object
}

/// An object of few facts.
pub(super) fn plain(text: &str) -> Object {
    Object {
        placed: Placed::Managed,
        checksum: None,
        crc64nvme: None,
        content: Content::default(),
        parts: Vec::new(),
        null: true,
        revision: 0,
        attached: Attached::default(),
        ..rich(text)
    }
}

pub(super) fn change(bucket: BucketId, text: &str, expect: Option<VersionId>, becomes: Option<&Object>) -> Change {
    let expect = expect.map(|version| Seen { version, revision: 0 });
    Change::of_row(bucket, key(text), expect, becomes.cloned())
}

pub(super) fn commit(changes: Vec<Change>) -> Commit {
    Commit { changes, ..Commit::default() }
}

/// Writes an object where there is none.
pub(super) async fn insert(catalog: &dyn Catalog, bucket: BucketId, object: &Object) {
    let change = change(bucket, object.key.as_str(), None, Some(object));
    catalog.commit(US, commit(vec![change])).await.expect("an insert");
}

pub(super) fn assert_conflict<T: std::fmt::Debug>(outcome: Result<T, Error>) {
    assert!(matches!(outcome, Err(Error::Conflict)), "{outcome:?}");
}

pub(super) fn assert_missing<T: std::fmt::Debug>(outcome: Result<T, Error>) {
    assert!(matches!(outcome, Err(Error::NotFound)), "{outcome:?}");
}

pub(super) fn drop_of(bucket: BucketId, text: &str, version: VersionId) -> NewTask {
    NewTask { bucket, key: key(text), version, step: Step::Drop { stamp: Some(Stamp::new("s")) }, bytes: None }
}

pub(super) async fn tasks(catalog: &dyn Catalog) -> Vec<Task> {
    catalog.tasks(US, 0, 10_000).await.expect("the outbox")
}

pub(super) fn window(prefix: &str, seek: Seek, limit: usize) -> Window {
    Window { prefix: prefix.into(), seek, limit }
}

/// Keys of a page.
pub(super) async fn keys(
    catalog: &dyn Catalog,
    bucket: BucketId,
    prefix: &str,
    seek: Seek,
    limit: usize,
) -> Vec<String> {
    let page = catalog.list(US, bucket, window(prefix, seek, limit)).await.expect("a page");
    page.into_iter().map(|entry| entry.key.as_str().to_owned()).collect()
}

pub(super) fn new_upload(bucket: BucketId, text: &str, created: i64) -> Upload {
    Upload {
        id: UploadId::fresh(),
        bucket,
        key: key(text),
        created: Timestamp(created),
        initiator: "alice".into(),
        owner: "bob".into(),
        content: rich(text).content,
        attached: rich(text).attached,
        checksum: Some((Algorithm::Crc64Nvme, ChecksumKind::FullObject)),
        handle: "h".into(),
        state: UploadState::Open,
    }
}

pub(super) async fn upload(catalog: &dyn Catalog, bucket: BucketId, text: &str, created: i64) -> Upload {
    let upload = new_upload(bucket, text, created);
    catalog.create_upload(US, upload.clone()).await.expect("a new upload");
    upload
}

pub(super) fn part(number: u32) -> Part {
    Part {
        number,
        attempt: VersionId::fresh(),
        stamp: Stamp::new("p"),
        size: 5,
        modified: Timestamp(9),
        etag: "e".into(),
        checksum: rich("x").checksum,
        crc64nvme: u64::MAX - 1,
    }
}
