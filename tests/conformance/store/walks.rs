//! What the walks do: scan, rebuild, fsck and gc over the same bucket.
//!
//! What a crash leaves is made by the provider itself, as a write that ends before its commit would make it.

use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use longshore::model::id::VersionId;
use longshore::model::object::Content;
use longshore::model::place::{Layout, Placed, Stamp};
use longshore::model::record::Record;
use longshore::model::time::Clock;
use longshore::provider::fs::{Durability, FsProvider};
use longshore::provider::{Provider as _, Seal};
use longshore::store::request::{
    CreateUpload, FindingKind, FsckOptions, FsckReport, GcOptions, GcReport, ScanOptions, UploadRef,
};
use longshore::store::{Attach, Error};

use super::{Bed, Kind, ROOT, incoming, key, md5_hex, pattern};

fn files(bed: &Bed) -> &Path {
    bed.files.as_deref().expect("a directory")
}

async fn scan(bed: &Bed, options: ScanOptions) -> longshore::store::request::ScanReport {
    bed.store.scan(&ROOT, &bed.bucket, options).await.expect("scans")
}

async fn fsck(bed: &Bed, deep: bool, repair: bool) -> FsckReport {
    bed.store.fsck(&ROOT, &bed.bucket, FsckOptions { deep, repair }).await.expect("checks")
}

/// Frees whatever nothing names, however young.
async fn gc(bed: &Bed) -> GcReport {
    let options = GcOptions { grace: Duration::ZERO, ..GcOptions::default() };
    bed.store.gc(&ROOT, &bed.bucket, options).await.expect("cleans up")
}

fn kinds(report: &FsckReport) -> Vec<(FindingKind, u64)> {
    report.counts.iter().map(|(kind, count)| (*kind, *count)).collect()
}

/// A write that was published and never committed.
async fn leave(bed: &Bed, name: &str, body: &[u8], placed: Placed) -> VersionId {
    let provider = FsProvider::open(&bed.dir.path().join("data"), Durability::Os).expect("opens");
    let (version, modified) = (VersionId::fresh(), Clock::now());
    let record = Record {
        version,
        bucket: bed.bucket.clone(),
        key: key(name),
        counter: u64::try_from(modified.0).expect("after 1970"),
        size: body.len() as u64,
        modified,
        etag: md5_hex(body),
        checksum: None,
        crc64nvme: None,
        owner: "root".into(),
        placed,
        content: Content::default(),
        parts: Vec::new(),
        null: true,
        marker: false,
        attached: Default::default(),
        cut: false,
    };
    let mut stage = provider.stage(&bed.bucket, version).await.expect("stages");
    stage.write(Bytes::copy_from_slice(body)).await.expect("writes");
    let seal = Seal { modified, size: record.size, record: Some(&record), unsynced: false };
    let _: Stamp = stage.publish(seal).await.expect("publishes");
    version
}

pub(super) async fn nothing_is_wrong_with_what_is_in_use(bed: &mut Bed) {
    for name in ["a", "a/b", "dir/", "x//y", "dir/file"] {
        bed.put(name, &pattern(300_000, 9)).await.expect("puts");
    }
    bed.put("dir/file", b"again").await.expect("overwrites");
    bed.delete("x//y").await.expect("deletes");
    let upload = CreateUpload {
        conditions: Default::default(),
        length: None,
        given: Default::default(),
        bucket: bed.bucket.clone(),
        key: key("up"),
        content: Content::default(),
        checksum: None,
    };
    let id = bed.store.create_upload(&ROOT, upload).await.expect("begins").id;
    let upload = UploadRef { bucket: bed.bucket.clone(), key: key("up"), id };
    bed.store.upload_part(&ROOT, &upload, 3, None, incoming(b"a part")).await.expect("a part");
    let report = fsck(bed, true, false).await;
    assert_eq!((kinds(&report), report.wrong()), (vec![], 0));
    assert_eq!((report.rows, report.parts), (4, 1));
    assert_eq!(report.hashed_bytes, 3 * 300_000 + 5 + 6);
    assert_eq!(gc(bed).await.freed, 0);
    for name in ["a", "a/b", "dir/"] {
        assert_eq!(bed.get(name).await.expect("gets").1, pattern(300_000, 9), "{name}");
    }
    assert_eq!(kinds(&fsck(bed, true, false).await), []);
}

pub(super) async fn walks_are_for_administrators(bed: &mut Bed) {
    let nobody = longshore::model::caller::Caller::ANONYMOUS;
    let refused = |error: Error| assert!(matches!(error, Error::AccessDenied), "{error:?}");
    refused(bed.store.scan(&nobody, &bed.bucket, ScanOptions::default()).await.expect_err("refused"));
    refused(bed.store.fsck(&nobody, &bed.bucket, FsckOptions::default()).await.expect_err("refused"));
    refused(bed.store.gc(&nobody, &bed.bucket, GcOptions::default()).await.expect_err("refused"));
    refused(bed.store.progress(&nobody, &bed.bucket).await.expect_err("refused"));
    refused(bed.store.walks(&nobody).expect_err("refused"));
}

pub(super) async fn gc_frees_what_a_crash_left_after_the_grace(bed: &mut Bed) {
    bed.put("k", b"old").await.expect("puts");
    bed.put("m//k", b"managed").await.expect("puts");
    let placed = if bed.layout == Layout::Natural { Placed::Natural } else { Placed::Managed };
    let left = leave(bed, "k", b"never committed", placed).await;
    let managed = if bed.layout == Layout::Natural { 1 } else { 2 };
    let young = bed.store.gc(&ROOT, &bed.bucket, GcOptions::default()).await.expect("cleans up");
    assert_eq!((young.managed, young.young, young.freed), (managed + 1, 1, 0));
    let report = fsck(bed, true, true).await;
    assert_eq!((kinds(&report), report.unsettled), (vec![], 1));
    let dry = GcOptions { dry_run: true, grace: Duration::ZERO, ..GcOptions::default() };
    assert_eq!(bed.store.gc(&ROOT, &bed.bucket, dry).await.expect("looks").freed, 1);
    bed.assert_managed(usize::try_from(managed).expect("few") + 1);
    let freed = gc(bed).await;
    assert_eq!((freed.freed, freed.freed_bytes), (1, b"never committed".len() as u64), "{left}");
    bed.assert_managed(usize::try_from(managed).expect("few"));
    assert_eq!(bed.get("k").await.expect("gets").1, b"old");
    assert_eq!(bed.get("m//k").await.expect("gets").1, b"managed");
    assert_eq!(gc(bed).await.freed, 0);
}

/// A catalog from a backup would call all newer objects orphans.
pub(super) async fn gc_does_not_take_a_stale_catalog_at_its_word(bed: &mut Bed) {
    for n in 0..101 {
        leave(bed, &format!("newer//{n}"), b"x", Placed::Managed).await;
    }
    let report = gc(bed).await;
    assert_eq!((report.freed, report.held_back), (0, 101), "counted before the first one goes");
    let forced = GcOptions { grace: Duration::ZERO, force: true, ..GcOptions::default() };
    assert_eq!(bed.store.gc(&ROOT, &bed.bucket, forced).await.expect("cleans up").freed, 101);
}

pub(super) async fn a_delete_that_was_cut_short_is_put_back(bed: &mut Bed) {
    if bed.layout == Layout::Managed {
        return;
    }
    for (name, by_gc) in [("by-gc", true), ("by-scan", false)] {
        let object = bed.put(name, b"x").await.expect("puts");
        bed.reopen(true).await;
        let shard = files(bed).join(".longshore/objects").join(object.version.shard());
        std::fs::create_dir_all(&shard).expect("makes");
        let aside = shard.join(object.version.to_string());
        std::fs::rename(files(bed).join(name), aside).expect("as a kill would leave it");
        if by_gc {
            assert_eq!(gc(bed).await.put_back, 1);
        } else {
            assert_eq!(scan(bed, ScanOptions::default()).await.removed, 0);
        }
        assert_eq!(std::fs::read(files(bed).join(name)).expect("at its key"), b"x", "{name}");
        bed.assert_managed(0);
    }
}

/// The bytes that an outside file displaced from a managed place were never freed.
pub(super) async fn a_newer_file_displaces_a_managed_object(bed: &mut Bed) {
    bed.put("a", b"a file").await.expect("puts");
    bed.put("a/b", b"beneath it, so managed").await.expect("puts");
    let before = scan(bed, ScanOptions::default()).await;
    bed.delete("a").await.expect("deletes");
    bed.reopen(true).await;
    std::fs::create_dir_all(files(bed).join("a")).expect("makes");
    std::fs::write(files(bed).join("a/b"), b"theirs").expect("writes");
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    let file = std::fs::File::options().write(true).open(files(bed).join("a/b")).expect("opens");
    file.set_modified(old).expect("dated");
    assert_eq!((before.changed, scan(bed, ScanOptions::default()).await.changed), (0, 0));
    assert_eq!(bed.get("a/b").await.expect("gets").1, b"beneath it, so managed");
    assert_eq!(kinds(&fsck(bed, false, true).await), [(FindingKind::HiddenFile, 1)]);
    let newer = u64::try_from(Clock::now().0).expect("after 1970") + 1_000_000_000;
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_nanos(newer)).expect("dated");
    assert_eq!(scan(bed, ScanOptions::default()).await.changed, 1);
    assert_eq!(bed.get("a/b").await.expect("gets").1, b"theirs");
    bed.assert_managed(0);
}

pub(super) async fn fsck_tells_what_is_wrong_and_repairs_what_can_be(bed: &mut Bed) {
    let body = pattern(200_000, 5);
    for name in ["fine", "edited", "gone", "rotten", "lost//managed"] {
        bed.put(name, &body).await.expect("puts");
    }
    let lost = bed.get("lost//managed").await.expect("gets").0.version;
    bed.reopen(true).await;
    std::fs::write(files(bed).join("theirs"), b"no row").expect("writes");
    let managed =
        |version: VersionId| files(bed).join(".longshore/objects").join(version.shard()).join(version.to_string());
    std::fs::remove_file(managed(lost)).expect("removes");
    let mut expected = vec![(FindingKind::MissingBytes, 1), (FindingKind::UnindexedFile, 1)];
    let mut unrepaired = 1;
    if bed.layout == Layout::Natural {
        std::fs::write(files(bed).join("edited"), b"theirs").expect("edits");
        std::fs::remove_file(files(bed).join("gone")).expect("removes");
        rot(&files(bed).join("rotten"));
        expected = vec![
            (FindingKind::MissingBytes, 2),
            (FindingKind::ChangedBytes, 1),
            (FindingKind::CorruptBytes, 1),
            (FindingKind::UnindexedFile, 1),
        ];
        unrepaired = 2;
    }
    let shallow = fsck(bed, false, false).await;
    assert_eq!(shallow.counts.get(&FindingKind::CorruptBytes), None, "that takes a deep look");
    let deep = fsck(bed, true, false).await;
    assert_eq!((kinds(&deep), deep.repaired), (expected.clone(), 0));
    let repaired = fsck(bed, true, true).await;
    assert_eq!((kinds(&repaired), repaired.wrong()), (expected, unrepaired));
    let again = fsck(bed, true, true).await;
    assert_eq!((again.wrong(), again.repaired), (unrepaired, 0), "what stays wrong is kept and told again");
    assert_eq!(bed.get("theirs").await.expect("gets").1, b"no row");
    assert_eq!(bed.get("fine").await.expect("gets").1, body);
    if bed.layout == Layout::Natural {
        assert_eq!(bed.get("edited").await.expect("gets").1, b"theirs");
        assert!(matches!(bed.get("gone").await, Err(Error::NoSuchKey)));
    }
}

pub(super) async fn fsck_holds_records_and_parts_against_their_rows(bed: &mut Bed) {
    bed.put("k", b"x").await.expect("puts");
    let object = bed.get("k").await.expect("gets").0;
    let upload = CreateUpload {
        conditions: Default::default(),
        length: None,
        given: Default::default(),
        bucket: bed.bucket.clone(),
        key: key("up"),
        content: Content::default(),
        checksum: None,
    };
    let id = bed.store.create_upload(&ROOT, upload).await.expect("begins").id;
    let upload = UploadRef { bucket: bed.bucket.clone(), key: key("up"), id };
    bed.store.upload_part(&ROOT, &upload, 1, None, incoming(b"a part")).await.expect("a part");
    let provider = FsProvider::open(&bed.dir.path().join("data"), Durability::Os).expect("opens");
    let record = Record { owner: "somebody".into(), ..Record::of(&object, &bed.bucket) };
    provider.set_record(&bed.bucket, &object.place(), &object.stamp, &record).await.expect("written");
    for path in super::walk(&files(bed).join(".longshore/objects")) {
        if std::fs::read(&path).expect("reads") == b"a part" {
            std::fs::remove_file(path).expect("removes");
        }
    }
    let both = [(FindingKind::RecordDiffers, 1), (FindingKind::MissingPart, 1)];
    assert_eq!(kinds(&fsck(bed, true, false).await), both);
    assert_eq!(fsck(bed, true, true).await.wrong(), 1);
    assert_eq!(kinds(&fsck(bed, true, false).await), both[1..], "a part has no second place");
    assert_eq!(bed.get("k").await.expect("gets").0, object, "the row decides");
}

/// A byte changes, and neither size nor mtime tell.
fn rot(path: &Path) {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::File::options().read(true).write(true).open(path).expect("opens");
    let modified = file.metadata().expect("stats").modified().expect("an mtime");
    file.write_at(b"!", 1000).expect("writes");
    file.set_modified(modified).expect("dated");
}

pub(super) async fn a_rebuild_does_not_bring_back_what_was_never_committed(bed: &mut Bed) {
    if bed.layout == Layout::Managed {
        return;
    }
    bed.put("k", b"committed").await.expect("puts");
    bed.put("a", b"a file").await.expect("puts");
    bed.put("a/b", b"clashes, so managed").await.expect("puts");
    leave(bed, "k", b"never committed", Placed::Natural).await;
    leave(bed, "k", b"nor this", Placed::Managed).await;
    leave(bed, "new", b"nor this key", Placed::Natural).await;
    let before = bed.keys("", None, 100).await;
    bed.reopen(false).await;
    let report = scan(bed, ScanOptions { rebuild: true, ..ScanOptions::default() }).await;
    assert_eq!(report.orphans, 2);
    assert_eq!(bed.keys("", None, 100).await, before);
    assert_eq!(bed.get("k").await.expect("gets").1, b"committed");
    assert_eq!(bed.get("a/b").await.expect("gets").1, b"clashes, so managed");
    assert_eq!(gc(bed).await.freed, 3);
    assert_eq!(bed.get("k").await.expect("gets").1, b"committed");
}

/// After a crash the newest version may have been acknowledged, so it counts.
pub(super) async fn a_rebuild_after_a_crash_takes_the_newest(bed: &mut Bed) {
    bed.put("k", b"older").await.expect("puts");
    leave(bed, "k", b"newest", if bed.layout == Layout::Natural { Placed::Natural } else { Placed::Managed }).await;
    lose_the_catalog(bed).await;
    let unclean = bed.store.attach(Attach::Rebuild).await.expect("attaches").unclean;
    assert_eq!(unclean, std::slice::from_ref(&bed.bucket));
    bed.store.take_over(&unclean).await.expect("takes over");
    scan(bed, ScanOptions { rebuild: true, ..ScanOptions::default() }).await;
    assert_eq!(bed.get("k").await.expect("gets").1, b"newest");
}

/// The server ends without a clean stop, and its catalog is gone.
async fn lose_the_catalog(bed: &mut Bed) {
    bed.store = super::open(Kind::Memory, bed.layout, bed.dir.path());
    super::lose_catalog(bed.dir.path());
    bed.store = super::open(Kind::Fs, bed.layout, bed.dir.path());
}

/// The mark said "clean" before the rebuild had begun, so one that was cut short was served as if it were whole.
pub(super) async fn a_rebuild_that_was_cut_short_is_not_served(bed: &mut Bed) {
    bed.put("k", b"x").await.expect("puts");
    bed.reopen(false).await;
    bed.store.release().await.expect("it ends before it has walked anything");
    bed.store = super::open(Kind::Fs, bed.layout, bed.dir.path());
    let error = bed.store.attach(Attach::Serve).await.expect_err("refused");
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(cause.contains("rebuild"), "{cause}");
    assert_eq!(bed.store.attach(Attach::Rebuild).await.expect("attaches").unclean, []);
    scan(bed, ScanOptions { rebuild: true, ..ScanOptions::default() }).await;
    bed.reopen(true).await;
    assert_eq!(bed.get("k").await.expect("gets").1, b"x");
}

pub(super) async fn what_is_held_back_is_told_until_it_is_decided(bed: &mut Bed) {
    if bed.layout == Layout::Managed {
        return;
    }
    for n in 0..120 {
        bed.put(&format!("d/{n:03}"), b"x").await.expect("puts");
    }
    std::fs::remove_dir_all(files(bed).join("d")).expect("removes");
    let told = async |bed: &Bed| {
        let progress = bed.store.progress(&ROOT, &bed.bucket).await.expect("asks").expect("walked");
        (progress.held_back, progress.ended.is_some())
    };
    let dry = scan(bed, ScanOptions { dry_run: true, ..ScanOptions::default() }).await;
    assert_eq!((dry.removed, dry.held_back), (0, 120));
    assert_eq!(scan(bed, ScanOptions::default()).await.held_back, 120);
    assert_eq!(told(bed).await, (120, true));
    assert_eq!(fsck(bed, false, true).await.wrong(), 120, "a repair asks as a scan does");
    let dry = scan(bed, ScanOptions { dry_run: true, force: true, ..ScanOptions::default() }).await;
    assert_eq!((dry.removed, dry.held_back), (120, 0));
    assert_eq!(scan(bed, ScanOptions { force: true, ..ScanOptions::default() }).await.removed, 120);
    assert_eq!(told(bed).await, (0, true));
}
