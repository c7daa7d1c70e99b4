//! Encrypted objects: what lies in the storage, what comes back, and what damage does.

use std::path::PathBuf;

use longshore::model::encryption::{CustomerKey, EncryptionRequest};
use longshore::model::object::{Content, Object};
use longshore::model::range::ByteRange;
use longshore::model::versioning::Versioning;
use longshore::store::Error;
use longshore::store::request::{
    CompleteRequest, CopyContent, CopyRequest, CreateUpload, FindingKind, FsckOptions, FsckReport, GetRequest, Given,
    ListedPart, Portion, PutRequest, ScanOptions, UploadRef,
};

use super::{Bed, ROOT, bytes, incoming, key, md5_hex, pattern, walk};

const CHUNK: usize = 64 * 1024;

fn given(encryption: EncryptionRequest) -> Given {
    Given { encryption, ..Given::default() }
}

fn customer() -> CustomerKey {
    CustomerKey::new([5; 32], "the digest that a front has compared".into())
}

pub(super) async fn put(bed: &Bed, name: &str, body: &[u8], encryption: EncryptionRequest) -> Object {
    let request = PutRequest {
        bucket: bed.bucket.clone(),
        key: key(name),
        content: Content::default(),
        given: given(encryption),
        conditions: Default::default(),
        body: incoming(body),
    };
    bed.store.put(&ROOT, request).await.expect("puts")
}

async fn fsck(bed: &Bed) -> FsckReport {
    bed.store.fsck(&ROOT, &bed.bucket, FsckOptions { deep: true, repair: false }).await.expect("checks")
}

/// The only managed file of this many bytes.
fn file_of(bed: &Bed, stored: u64) -> PathBuf {
    let objects = bed.files.as_ref().expect("a directory").join(".longshore/objects");
    let mut files = walk(&objects);
    files.retain(|file| file.metadata().expect("is there").len() == stored);
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

/// Changes a file so that nobody can tell by its stamp.
fn rewrite(file: &std::path::Path, change: impl FnOnce(&mut Vec<u8>)) {
    let modified = file.metadata().expect("is there").modified().expect("has one");
    let mut bytes = std::fs::read(file).expect("reads");
    change(&mut bytes);
    std::fs::write(file, bytes).expect("writes");
    let times = std::fs::FileTimes::new().set_modified(modified);
    std::fs::File::options().write(true).open(file).expect("opens").set_times(times).expect("sets");
}

pub(super) async fn ranges_of_sealed_bodies_are_exact(bed: &mut Bed) {
    let body = pattern(5 * CHUNK + 11, 3);
    let put = put(bed, "k", &body, EncryptionRequest::Server).await;
    assert_eq!((put.size, put.etag), (body.len() as u64, md5_hex(&body)));
    assert_eq!(bed.get("k").await.expect("gets").1, body);
    for edge in [0, CHUNK, 2 * CHUNK, 4 * CHUNK, 5 * CHUNK, body.len()] {
        for (from, to) in [(edge.saturating_sub(2), edge + 2), (edge, edge + CHUNK), (edge.saturating_sub(1), edge)] {
            let to = to.min(body.len() - 1);
            if from > to {
                continue;
            }
            let range = ByteRange::parse(&format!("bytes={from}-{to}")).expect("a range");
            let (_, got) = bed.read("k", Portion::Range(range)).await.expect("gets");
            assert_eq!(got, body[from..=to], "{from}-{to}");
        }
    }
    put_empty(bed).await;
}

async fn put_empty(bed: &Bed) {
    let customer = customer();
    let put = put(bed, "empty", b"", EncryptionRequest::Customer(customer.clone())).await;
    assert_ne!(put.etag, md5_hex(b""), "the ETag says nothing of the bytes");
    let request = bed.request("empty", Portion::Whole);
    assert!(matches!(bed.store.get(&ROOT, request.clone()).await, Err(Error::InvalidRequest(_))));
    let found = bed.store.get(&ROOT, longshore::store::request::GetRequest { customer_key: Some(customer), ..request });
    assert_eq!(bytes(found.await.expect("gets").body).await.expect("reads"), b"");
}

pub(super) async fn older_versions_come_back_plain(bed: &mut Bed) {
    bed.store.set_versioning(&ROOT, &bed.bucket, Versioning::Enabled).await.expect("sets");
    let mine = customer();
    for (name, scheme) in [("server", EncryptionRequest::Server), ("mine", EncryptionRequest::Customer(mine.clone()))] {
        let customer_key = matches!(scheme, EncryptionRequest::Customer(_)).then(|| mine.clone());
        for body in [pattern(3 * CHUNK + 5, 7), pattern(900, 8)] {
            let older = put(bed, name, &body, scheme.clone()).await;
            put(bed, name, b"newer", EncryptionRequest::Server).await;
            let version = Some(older.shown());
            let range = ByteRange::parse("bytes=100-299").expect("a range");
            for (portion, wanted) in [(Portion::Whole, &body[..]), (Portion::Range(range), &body[100..300])] {
                let request = GetRequest { version, customer_key: customer_key.clone(), ..bed.request(name, portion) };
                let found = bed.store.get(&ROOT, request.clone()).await.expect("gets");
                assert_eq!(bytes(found.body).await.expect("reads"), wanted, "{name} {portion:?}");
                if customer_key.is_some() {
                    let bare = bed.store.get(&ROOT, GetRequest { customer_key: None, ..request }).await;
                    assert!(matches!(bare, Err(Error::InvalidRequest(_))), "{bare:?}");
                }
            }
            let restored = CopyRequest {
                from_bucket: bed.bucket.clone(),
                from_key: key(name),
                from_version: version,
                source_conditions: Default::default(),
                source_key: customer_key.clone(),
                bucket: bed.bucket.clone(),
                key: key("restored"),
                content: CopyContent::Keep,
                keep_tags: true,
                given: Default::default(),
                conditions: Default::default(),
                algorithm: None,
            };
            bed.store.copy(&ROOT, restored).await.expect("copies");
            assert_eq!(bed.get("restored").await.expect("gets").1, body, "{name}");
        }
    }
}

/// An upload of two parts, completed.
async fn upload(bed: &Bed, name: &str, parts: [&[u8]; 2], encryption: EncryptionRequest) -> UploadRef {
    let (bucket, key) = (bed.bucket.clone(), key(name));
    let request = CreateUpload {
        conditions: Default::default(),
        length: None,
        bucket: bucket.clone(),
        key: key.clone(),
        content: Content::default(),
        given: given(encryption),
        checksum: None,
    };
    let id = bed.store.create_upload(&ROOT, request).await.expect("begins").id;
    let upload = UploadRef { bucket, key, id };
    let mut listed = Vec::new();
    for (number, body) in [(2, parts[0]), (7, parts[1])] {
        let part = bed.store.upload_part(&ROOT, &upload, number, None, incoming(body)).await.expect("a part");
        listed.push(ListedPart { number, etag: part.etag, checksum: None });
    }
    let report = fsck(bed).await;
    assert_eq!((report.wrong(), report.sealed), (0, 0));
    let (conditions, upload_of) = (Default::default(), upload.clone());
    let request = CompleteRequest {
        upload: upload_of,
        parts: listed,
        conditions,
        size: None,
        checksum: None,
        kind: None,
        customer_key: None,
    };
    bed.store.complete_upload(&ROOT, request).await.expect("completes");
    upload
}

pub(super) async fn parts_are_sealed_one_by_one(bed: &mut Bed) {
    let (a, b) = (pattern(5 * 1024 * 1024 + 1, 1), pattern(100_000, 2));
    upload(bed, "k", [&a, &b], EncryptionRequest::Server).await;
    let body = [a.clone(), b.clone()].concat();
    let (object, got) = bed.get("k").await.expect("gets");
    assert_eq!((object.size, got == body), (body.len() as u64, true));
    assert_eq!(bed.read("k", Portion::Part(2)).await.expect("gets").1, b);
    for (from, to) in [(a.len() - 1, a.len()), (a.len() - CHUNK, a.len() + CHUNK), (a.len(), a.len())] {
        let range = ByteRange::parse(&format!("bytes={from}-{to}")).expect("a range");
        assert_eq!(bed.read("k", Portion::Range(range)).await.expect("gets").1, body[from..=to], "{from}-{to}");
    }
    let report = fsck(bed).await;
    assert_eq!((report.wrong(), report.hashed_bytes), (0, body.len() as u64), "the deep check decrypts");
}

pub(super) async fn no_plain_byte_is_stored(bed: &mut Bed) {
    let secret = b"a sentence that must not be found anywhere".repeat(3);
    let large = secret.repeat(3000);
    for (name, body) in [("small", &secret), ("large", &large)] {
        put(bed, name, body, EncryptionRequest::Server).await;
        put(bed, &format!("{name}-c"), body, EncryptionRequest::Customer(customer())).await;
    }
    assert_eq!(bed.get("small").await.expect("gets").1, secret);
    let dir = bed.files.as_ref().and_then(|files| files.parent()?.parent()).expect("a directory").to_owned();
    let files = walk(&dir);
    assert!(
        files.iter().any(|file| file.ends_with("catalog.db") || file.ends_with(super::ADDRESS)),
        "the catalog is looked at too"
    );
    for file in files {
        let bytes = std::fs::read(&file).expect("reads");
        assert!(!bytes.windows(20).any(|window| window == &secret[..20]), "{}", file.display());
        assert!(!bytes.windows(32).any(|window| window == [5; 32]), "{}", file.display());
    }
}

pub(super) async fn damage_is_refused_and_found(bed: &mut Bed) {
    let body = pattern(2 * CHUNK, 1);
    let stored = (body.len() + 2 * 24) as u64;
    for (name, at) in [("prefix", 3), ("first", 1000), ("tag", CHUNK + 20), ("last", body.len() + 40)] {
        put(bed, name, &body, EncryptionRequest::Server).await;
        let file = file_of(bed, stored);
        rewrite(&file, |bytes| bytes[at] ^= 4);
        assert!(bed.get(name).await.is_err(), "{name}");
        assert_eq!(fsck(bed).await.counts.get(&FindingKind::CorruptBytes), Some(&1), "{name}");
        bed.delete(name).await.expect("deletes");
        bed.assert_managed(0);
    }
    // The bytes of one object do not pass for those of another.
    put(bed, "one", &body, EncryptionRequest::Server).await;
    let other = std::fs::read(file_of(bed, stored)).expect("reads");
    bed.delete("one").await.expect("deletes");
    bed.assert_managed(0);
    put(bed, "two", &body, EncryptionRequest::Server).await;
    rewrite(&file_of(bed, stored), |bytes| *bytes = other);
    assert!(bed.get("two").await.is_err());
    bed.delete("two").await.expect("deletes");
    // What only its client can decrypt is not called sound.
    put(bed, "theirs", &body, EncryptionRequest::Customer(customer())).await;
    let report = fsck(bed).await;
    assert_eq!((report.wrong(), report.sealed, report.hashed_bytes), (0, 1, 0));
}

pub(super) async fn a_rebuild_restores_sealed_objects(bed: &mut Bed) {
    let (body, a, b) = (pattern(CHUNK + 1, 1), pattern(5 * 1024 * 1024, 2), pattern(9, 3));
    put(bed, "whole", &body, EncryptionRequest::Server).await;
    upload(bed, "parts", [&a, &b], EncryptionRequest::Server).await;
    bed.reopen(false).await;
    let options = ScanOptions { rebuild: true, ..ScanOptions::default() };
    let report = bed.store.scan(&ROOT, &bed.bucket, options).await.expect("rebuilds");
    assert_eq!(report.restored, 2);
    let (object, got) = bed.get("whole").await.expect("gets");
    assert_eq!((object.size, got), (body.len() as u64, body));
    assert_eq!(bed.get("parts").await.expect("gets").1, [a, b].concat());
    assert_eq!(fsck(bed).await.wrong(), 0);
}

pub(super) async fn kept_bytes_are_sealed_too(bed: &mut Bed) {
    let body = pattern(500, 1);
    put(bed, "k", &body, EncryptionRequest::Server).await;
    assert_eq!(bed.kept(), 1);
    let file = file_of(bed, 524);
    bed.crash(|| std::fs::remove_file(&file).expect("removes")).await;
    assert_eq!(bed.get("k").await.expect("gets").1, body);
    assert_eq!(file_of(bed, 524).metadata().expect("is there").len(), 524, "written anew as it was");
}
