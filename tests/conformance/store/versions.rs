//! Versions: kept, named, listed, removed, locked, rebuilt; and what a crash leaves of them.

use longshore::model::action::Action;
use longshore::model::id::VersionId;
use longshore::model::lock::{LockConfig, Retention, RetentionMode};
use longshore::model::object::Object;
use longshore::model::page::PageQuery;
use longshore::model::place::Layout;
use longshore::model::time::{Clock, Timestamp};
use longshore::model::versioning::{VersionRef, Versioning};
use longshore::store::Error;
use longshore::store::request::{
    AttachedChange, DeleteRequest, Deletion, FindingKind, FsckOptions, GetRequest, Portion, ScanOptions, VersionQuery,
};

use super::{Bed, ROOT, bytes, key, pattern};

pub(super) async fn set(bed: &Bed, versioning: Versioning) {
    bed.store.set_versioning(&ROOT, &bed.bucket, versioning).await.expect("sets");
}

pub(super) async fn read(bed: &Bed, name: &str, version: Option<VersionRef>) -> Result<Vec<u8>, Error> {
    let request = GetRequest { version, ..bed.request(name, Portion::Whole) };
    let found = bed.store.get(&ROOT, request).await?;
    bytes(found.body).await
}

async fn remove(bed: &Bed, name: &str, version: Option<VersionRef>) -> Result<Deletion, Error> {
    let (bucket, conditions) = (bed.bucket.clone(), Default::default());
    let request = DeleteRequest { bucket, key: key(name), version, bypass_governance: false, conditions };
    bed.store.delete(&ROOT, request).await
}

fn an_hour() -> Retention {
    Retention { mode: RetentionMode::Compliance, until: Timestamp(Clock::now().0 + 3_600_000_000_000) }
}

async fn attach(bed: &Bed, held: &Object, change: AttachedChange) -> Result<(), Error> {
    let (action, version) = (Action::PutObjectRetention, Some(held.shown()));
    bed.store.set_attached(&ROOT, action, &bed.bucket, &held.key, version, change, false).await.map(drop)
}

/// Every version, by pages of `limit`: key, version, latest, marker.
async fn listed(bed: &Bed, limit: usize) -> Vec<(String, VersionRef, bool, bool)> {
    let (mut all, mut query) = (Vec::new(), VersionQuery::default());
    loop {
        query.page = PageQuery { limit, ..query.page };
        let page = bed.store.list_versions(&ROOT, &bed.bucket, query.clone()).await.expect("lists");
        assert!(page.entries.len() <= limit);
        all.extend(page.entries.iter().map(|e| (e.key.as_str().to_owned(), e.shown(), e.latest, e.marker)));
        let Some((after, version)) = page.next else { return all };
        query.page.after = Some(after);
        query.after_version = version;
    }
}

pub(super) async fn every_version_is_kept_and_named(bed: &mut Bed) {
    let first = bed.put("k", b"before versions").await.expect("puts");
    assert!(first.null);
    set(bed, Versioning::Enabled).await;
    let large = pattern(300_000, 1);
    let second = bed.put("k", &large).await.expect("puts");
    let third = bed.put("k", b"third").await.expect("puts");
    for (version, body) in
        [(first.shown(), &b"before versions"[..]), (second.shown(), &large), (third.shown(), b"third")]
    {
        assert_eq!(read(bed, "k", Some(version)).await.expect("reads"), body, "{version}");
    }
    assert_eq!(read(bed, "k", None).await.expect("reads"), b"third");
    let all = [(third.shown(), true), (second.shown(), false), (first.shown(), false)];
    let all: Vec<_> = all.into_iter().map(|(version, latest)| ("k".to_owned(), version, latest, false)).collect();
    for limit in 1..5 {
        assert_eq!(listed(bed, limit).await, all, "{limit} a page");
    }
    assert!(matches!(read(bed, "k", Some(VersionRef::Id(VersionId::fresh()))).await, Err(Error::NoSuchVersion)));
    assert_eq!(bed.keys("", None, 10).await.0, ["k"]);
}

pub(super) async fn markers_hide_and_removal_brings_back(bed: &mut Bed) {
    set(bed, Versioning::Enabled).await;
    let first = bed.put("a/k", b"first").await.expect("puts");
    let second = bed.put("a/k", b"second").await.expect("puts");
    let marker = remove(bed, "a/k", None).await.expect("deletes");
    assert!(marker.marker && marker.version.is_some());
    assert!(matches!(read(bed, "a/k", None).await, Err(Error::Deleted { .. })));
    assert!(matches!(read(bed, "a/k", marker.version).await, Err(Error::MarkerNamed { .. })));
    assert_eq!(bed.keys("", None, 10).await.0, Vec::<String>::new());
    assert_eq!(read(bed, "a/k", Some(second.shown())).await.expect("reads"), b"second");
    assert_eq!(remove(bed, "a/k", marker.version).await.expect("removes").version, marker.version);
    assert_eq!(read(bed, "a/k", None).await.expect("reads"), b"second");
    remove(bed, "a/k", Some(second.shown())).await.expect("removes");
    assert_eq!(read(bed, "a/k", None).await.expect("reads"), b"first");
    remove(bed, "a/k", Some(first.shown())).await.expect("removes");
    assert!(matches!(read(bed, "a/k", None).await, Err(Error::NoSuchKey)));
    assert_eq!(listed(bed, 10).await, []);
    bed.assert_managed(0);
    bed.store.delete_bucket(&ROOT, &bed.bucket).await.expect("nothing is left");
}

pub(super) async fn suspended_writes_replace_the_null_version(bed: &mut Bed) {
    set(bed, Versioning::Enabled).await;
    let kept = bed.put("k", b"kept").await.expect("puts");
    set(bed, Versioning::Suspended).await;
    for body in [b"one", b"two"] {
        assert!(bed.put("k", body).await.expect("puts").null);
    }
    assert_eq!(read(bed, "k", Some(VersionRef::Null)).await.expect("reads"), b"two");
    let marker = remove(bed, "k", None).await.expect("deletes");
    assert_eq!(marker, Deletion { version: Some(VersionRef::Null), marker: true });
    let all = [("k".to_owned(), VersionRef::Null, true, true), ("k".to_owned(), kept.shown(), false, false)];
    assert_eq!(listed(bed, 1).await, all);
    assert_eq!(read(bed, "k", Some(kept.shown())).await.expect("reads"), b"kept");
    bed.assert_managed(2);
}

/// Others edit the file of a key behind whose current version there is a `null`, and put one where a marker is.
pub(super) async fn an_edit_is_the_only_null(bed: &mut Bed) {
    if bed.layout != Layout::Natural {
        return;
    }
    bed.put("k", b"before versions").await.expect("puts");
    bed.put("gone", b"before versions").await.expect("puts");
    set(bed, Versioning::Enabled).await;
    bed.put("k", b"second").await.expect("puts");
    remove(bed, "gone", None).await.expect("deletes");
    bed.reopen(true).await;
    for name in ["k", "gone"] {
        std::fs::write(bed.files.as_ref().expect("a directory").join(name), b"an edit").expect("writes");
        assert_eq!(read(bed, name, None).await.expect("reads"), b"an edit");
        assert_eq!(read(bed, name, Some(VersionRef::Null)).await.expect("reads"), b"before versions");
        bed.put(name, b"third").await.expect("puts");
        assert!(remove(bed, name, None).await.expect("deletes").marker);
    }
    let nulls = listed(bed, 100).await.into_iter().filter(|(_, version, ..)| *version == VersionRef::Null);
    assert_eq!(nulls.map(|(key, ..)| key).collect::<Vec<_>>(), ["gone", "k"]);
}

/// A version at its managed place, and somebody puts a newer file at its key.
pub(super) async fn a_newer_file_keeps_what_it_displaces(bed: &mut Bed) {
    set(bed, Versioning::Enabled).await;
    bed.store.set_lock(&ROOT, &bed.bucket, LockConfig::default()).await.expect("sets");
    let held = bed.put("k", b"held").await.expect("puts");
    attach(bed, &held, AttachedChange::Retention(Some(an_hour()))).await.expect("holds");
    bed.reopen(true).await;
    let file = bed.files.as_ref().expect("a directory").join("k");
    std::fs::write(&file, b"theirs").expect("writes");
    let newer = u64::try_from(Clock::now().0).expect("after 1970") + 1_000_000_000;
    let newer = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(newer);
    std::fs::File::options().write(true).open(&file).expect("opens").set_modified(newer).expect("dated");
    bed.store.scan(&ROOT, &bed.bucket, ScanOptions::default()).await.expect("scans");
    assert_eq!(read(bed, "k", None).await.expect("reads"), b"theirs");
    assert_eq!(read(bed, "k", Some(held.shown())).await.expect("reads"), b"held");
    assert!(matches!(remove(bed, "k", Some(held.shown())).await, Err(Error::ObjectLocked)));
    bed.reopen(false).await;
    let rebuild = ScanOptions { rebuild: true, ..ScanOptions::default() };
    bed.store.scan(&ROOT, &bed.bucket, rebuild).await.expect("rebuilds");
    assert_eq!(read(bed, "k", Some(held.shown())).await.expect("reads"), b"held");
}

pub(super) async fn a_lock_holds_against_everybody(bed: &mut Bed) {
    set(bed, Versioning::Enabled).await;
    let held = bed.put("k", b"held").await.expect("puts");
    bed.store.set_lock(&ROOT, &bed.bucket, LockConfig::default()).await.expect("sets");
    attach(bed, &held, AttachedChange::Retention(Some(an_hour()))).await.expect("holds");
    assert!(matches!(attach(bed, &held, AttachedChange::Retention(None)).await, Err(Error::ObjectLocked)));
    let refused = |answer: Result<Deletion, Error>| assert!(matches!(answer, Err(Error::ObjectLocked)), "{answer:?}");
    refused(remove(bed, "k", Some(held.shown())).await);
    bed.put("k", b"newer").await.expect("overwrites");
    refused(remove(bed, "k", Some(held.shown())).await);
    remove(bed, "k", None).await.expect("marks");
    refused(remove(bed, "k", Some(held.shown())).await);
    assert_eq!(read(bed, "k", Some(held.shown())).await.expect("reads"), b"held");
}

pub(super) async fn racing_writers_keep_every_version(bed: &mut Bed) {
    set(bed, Versioning::Enabled).await;
    let writers = (0..16u8).map(|n| {
        let bed = &*bed;
        async move { bed.put("k", &pattern(2000, n)).await.expect("puts") }
    });
    let made: Vec<Object> = futures_util::future::join_all(writers).await;
    for (n, object) in made.iter().enumerate() {
        let body = read(bed, "k", Some(object.shown())).await.expect("reads");
        assert_eq!(body, pattern(2000, u8::try_from(n).expect("small")), "{n}");
    }
    let all = listed(bed, 3).await;
    assert_eq!((all.len(), all.iter().filter(|(_, _, latest, _)| *latest).count()), (16, 1));
}

pub(super) async fn the_current_version_is_a_plain_file(bed: &mut Bed) {
    set(bed, Versioning::Enabled).await;
    for body in [&b"first"[..], &pattern(200_000, 3), b"third"] {
        bed.put("dir/k", body).await.expect("puts");
        if bed.layout == Layout::Natural {
            assert_eq!(std::fs::read(bed.files.as_deref().expect("a directory").join("dir/k")).expect("a file"), body);
        }
    }
    remove(bed, "dir/k", None).await.expect("deletes");
    assert!(!bed.files.as_deref().expect("a directory").join("dir").exists());
}

pub(super) async fn fsck_misses_a_version_that_is_gone(bed: &mut Bed) {
    set(bed, Versioning::Enabled).await;
    let first = bed.put("k", &pattern(50_000, 1)).await.expect("puts");
    bed.put("k", &pattern(50_000, 2)).await.expect("puts");
    let options = FsckOptions { deep: true, repair: false };
    assert_eq!(bed.store.fsck(&ROOT, &bed.bucket, options).await.expect("checks").wrong(), 0);
    let shard = bed.files.as_deref().expect("a directory").join(".longshore/objects").join(first.version.shard());
    std::fs::remove_file(shard.join(first.version.to_string())).expect("its managed file");
    let report = bed.store.fsck(&ROOT, &bed.bucket, options).await.expect("checks");
    assert_eq!((report.wrong(), report.findings[0].version), (1, Some(first.version)));
    assert_eq!(report.findings[0].kind, FindingKind::MissingBytes);
    assert!(read(bed, "k", Some(first.shown())).await.is_err(), "no other bytes are answered for it");
    assert_eq!(read(bed, "k", None).await.expect("reads"), pattern(50_000, 2));
}

pub(super) async fn versions_survive_a_crash_and_a_rebuild(bed: &mut Bed) {
    set(bed, Versioning::Enabled).await;
    let mut made = Vec::new();
    for n in 0..4u8 {
        for (name, len) in [("small", 100), ("large", 100_000)] {
            made.push((name, bed.put(name, &pattern(len, n)).await.expect("puts"), pattern(len, n)));
        }
    }
    remove(bed, "large", None).await.expect("marks");
    let before = listed(bed, 100).await;
    bed.crash(|| {}).await;
    assert_eq!(listed(bed, 100).await, before, "after a crash");
    for (name, object, body) in &made {
        assert_eq!(read(bed, name, Some(object.shown())).await.expect("reads"), *body, "{name} after a crash");
    }
    bed.reopen(false).await;
    let options = ScanOptions { rebuild: true, ..ScanOptions::default() };
    bed.store.scan(&ROOT, &bed.bucket, options).await.expect("rebuilds");
    assert_eq!(listed(bed, 100).await, before, "after a rebuild");
    for (name, object, body) in &made {
        assert_eq!(read(bed, name, Some(object.shown())).await.expect("reads"), *body, "{name} after a rebuild");
    }
    assert!(matches!(read(bed, "large", None).await, Err(Error::Deleted { .. })));
}
