//! Small bodies that the catalog keeps until their files are durable.
//!
//! Power loss is played by damaging files after a store was dropped without a stop: what was acknowledged is read from
//! the catalog's own file, and must come back whole.

use std::path::Path;

use longshore::model::place::Layout;
use longshore::store::request::ScanOptions;
use longshore::store::{Attach, Error};

use super::{Bed, ROOT, md5_hex, pattern, walk};

fn files(bed: &Bed) -> &Path {
    bed.files.as_deref().expect("a directory")
}

/// A way to damage a file, with its name.
type Damage = (&'static str, fn(&Path));

/// Where the bytes of a key are now: at the key, or at the one managed place.
fn file_of(bed: &Bed, key: &str) -> std::path::PathBuf {
    if bed.layout == Layout::Natural {
        return files(bed).join(key);
    }
    bed.assert_managed(1);
    walk(&files(bed).join(".longshore/objects")).remove(0)
}

pub(super) async fn small_bodies_are_kept_until_they_are_settled(bed: &mut Bed) {
    for (name, len) in [("empty", 0), ("small", 4096), ("most", 16 * 1024), ("large", 16 * 1024 + 1)] {
        bed.put(name, &pattern(len, 1)).await.expect("puts");
    }
    assert_eq!(bed.kept(), 3, "one for each small body");
    bed.delete("empty").await.expect("deletes");
    bed.reopen(true).await;
    assert_eq!(bed.kept(), 0, "a clean stop leaves nothing in the catalog");
    for (name, len) in [("small", 4096), ("most", 16 * 1024), ("large", 16 * 1024 + 1)] {
        assert_eq!(bed.get(name).await.expect("gets").1, pattern(len, 1), "{name}");
    }
}

pub(super) async fn damaged_files_are_written_anew_after_a_crash(bed: &mut Bed) {
    let damages: [Damage; 4] = [
        ("cut", |file| drop(std::fs::File::create(file).expect("cuts"))),
        ("zeros", |file| {
            let facts = std::fs::metadata(file).expect("is there");
            std::fs::write(file, vec![0; usize::try_from(facts.len()).expect("small")]).expect("writes");
            // As on a file system that keeps names and times but not the bytes: even the stamp is the same.
            let times = std::fs::FileTimes::new().set_modified(facts.modified().expect("has one"));
            std::fs::File::options().write(true).open(file).expect("opens").set_times(times).expect("sets");
        }),
        ("removed", |file| std::fs::remove_file(file).expect("removes")),
        ("untouched", |_| {}),
    ];
    for (name, damage) in damages {
        bed.put(name, &pattern(500, 1)).await.expect("puts");
        let put = bed.put(name, &pattern(500, 2)).await.expect("overwrites");
        let file = file_of(bed, name);
        bed.crash(|| damage(&file)).await;
        let (object, body) = bed.get(name).await.expect("gets");
        assert_eq!(body, pattern(500, 2), "{name}");
        assert_eq!((&object.etag, object.modified, object.version), (&put.etag, put.modified, put.version), "{name}");
        assert_eq!(std::fs::read(file_of(bed, name)).expect("reads"), pattern(500, 2), "{name}");
        bed.reopen(true).await;
        assert_eq!(bed.kept(), 0, "{name}");
        assert_eq!(bed.get(name).await.expect("gets").1, pattern(500, 2), "{name}");
        bed.delete(name).await.expect("deletes");
        bed.reopen(true).await;
        bed.assert_managed(0);
    }
}

pub(super) async fn a_rebuild_after_a_crash_writes_what_is_kept(bed: &mut Bed) {
    bed.put("k", &pattern(500, 1)).await.expect("puts");
    let file = file_of(bed, "k");
    bed.crash_into(Attach::Rebuild, || drop(std::fs::File::create(&file).expect("cuts"))).await;
    let options = ScanOptions { rebuild: true, ..ScanOptions::default() };
    bed.store.scan(&ROOT, &bed.bucket, options).await.expect("rebuilds");
    bed.reopen(true).await;
    assert_eq!(bed.get("k").await.expect("gets").1, pattern(500, 1));
    assert_eq!(std::fs::read(file_of(bed, "k")).expect("reads"), pattern(500, 1));
}

pub(super) async fn what_was_deleted_or_overwritten_stays_so_after_a_crash(bed: &mut Bed) {
    bed.put("deleted", b"one").await.expect("puts");
    bed.delete("deleted").await.expect("deletes");
    bed.put("overwritten", b"one").await.expect("puts");
    bed.put("overwritten", &pattern(100_000, 3)).await.expect("overwrites");
    bed.put("odd//key", b"odd").await.expect("puts");
    bed.crash(|| {}).await;
    assert!(matches!(bed.get("deleted").await, Err(Error::NoSuchKey)));
    assert_eq!(bed.get("overwritten").await.expect("gets").1, pattern(100_000, 3));
    assert_eq!(bed.get("odd//key").await.expect("gets").1, b"odd");
    assert_eq!(bed.keys("", None, 10).await.0, ["odd//key", "overwritten"]);
}

pub(super) async fn an_edit_shows_at_once_and_is_never_hidden_by_kept_bytes(bed: &mut Bed) {
    if bed.layout == Layout::Managed {
        return;
    }
    bed.put("k", b"ours").await.expect("puts");
    std::fs::write(files(bed).join("k"), b"theirs").expect("edits");
    let (object, body) = bed.get("k").await.expect("gets");
    assert_eq!(body, b"theirs");
    assert_ne!(object.etag, md5_hex(b"ours"));
    assert_eq!(bed.kept(), 0);
    bed.put("l", b"ours").await.expect("puts");
    std::fs::remove_file(files(bed).join("l")).expect("removes");
    assert_eq!(bed.store.scan(&ROOT, &bed.bucket, ScanOptions::default()).await.expect("scans").removed, 1);
    assert!(matches!(bed.get("l").await, Err(Error::NoSuchKey)));
}

/// Another key was in the way, so the version is at its managed place for good. Its step still says otherwise.
pub(super) async fn what_stepped_aside_for_another_key_stays_deleted(bed: &mut Bed) {
    bed.put("way", b"in the way").await.expect("puts");
    bed.put("way/aside", b"aside").await.expect("puts");
    bed.delete("way").await.expect("deletes");
    bed.crash(|| {}).await;
    assert_eq!(bed.get("way/aside").await.expect("gets").1, b"aside");
    bed.delete("way/aside").await.expect("deletes");
    bed.reopen(true).await;
    assert!(matches!(bed.get("way/aside").await, Err(Error::NoSuchKey)), "it came back");
    bed.assert_managed(0);
}

/// A crash between the exchange and the judgement of what came out of the key.
pub(super) async fn an_edit_that_a_crash_left_at_a_managed_place_is_kept(bed: &mut Bed) {
    if bed.layout == Layout::Managed {
        return;
    }
    bed.put("k", b"ours").await.expect("puts");
    let put = bed.get("k").await.expect("gets").0;
    bed.assert_managed(0);
    let managed = files(bed).join(format!(".longshore/objects/{}/{}", put.version.shard(), put.version));
    bed.crash(|| {
        std::fs::create_dir_all(managed.parent().expect("has one")).expect("makes");
        std::fs::write(&managed, b"theirs, displaced").expect("writes");
    })
    .await;
    assert_eq!(bed.get("k").await.expect("gets").1, b"ours");
    let lost = walk(&files(bed).join(".longshore/lost"));
    assert!(lost.iter().any(|file| std::fs::read(file).expect("reads") == b"theirs, displaced"), "{lost:?}");
}
