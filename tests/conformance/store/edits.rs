//! What others do to the directory, and what remains when the catalog is lost.

use std::path::Path;

use longshore::model::place::Layout;
use longshore::store::request::ScanOptions;
use longshore::store::{Attach, Error};

use super::{Bed, ROOT, md5_hex, pattern, walk};

fn files(bed: &Bed) -> &Path {
    bed.files.as_deref().expect("a directory")
}

async fn scan(bed: &Bed, options: ScanOptions) -> longshore::store::request::ScanReport {
    bed.store.scan(&ROOT, &bed.bucket, options).await.expect("scans")
}

pub(super) async fn natural_objects_are_plain_files(bed: &mut Bed) {
    bed.put("dir/file", b"one").await.expect("puts");
    bed.put("dir/file", b"two").await.expect("puts");
    bed.put("dir/other", &pattern(600_000, 1)).await.expect("puts");
    assert_eq!(std::fs::read(files(bed).join("dir/file")).expect("reads"), b"two");
    assert_eq!(std::fs::read(files(bed).join("dir/other")).expect("reads"), pattern(600_000, 1));
    bed.assert_managed(0);
    bed.delete("dir/file").await.expect("deletes");
    bed.delete("dir/other").await.expect("deletes");
    bed.store.release().await.expect("a clean stop");
    assert!(!files(bed).join("dir").exists(), "empty directories go");
    bed.assert_managed(0);
}

pub(super) async fn files_put_behind_the_back_are_read_and_scanned(bed: &mut Bed) {
    std::fs::create_dir_all(files(bed).join("x/y")).expect("makes");
    std::fs::write(files(bed).join("x/y/z"), b"outside").expect("writes");
    std::fs::write(files(bed).join("x/other"), b"also").expect("writes");
    std::os::unix::fs::symlink("/etc/passwd", files(bed).join("x/link")).expect("links");
    let (object, body) = bed.get("x/y/z").await.expect("reads at once");
    assert_eq!(body, b"outside");
    assert!(object.etag.ends_with("-1"), "nobody hashed it: {}", object.etag);
    assert!(matches!(bed.get("x/link").await, Err(Error::NoSuchKey)));
    assert!(matches!(bed.get("x/y").await, Err(Error::NoSuchKey)));
    let report = scan(bed, ScanOptions::default()).await;
    assert_eq!((report.files, report.adopted), (2, 1));
    assert_eq!(bed.keys("", None, 10).await.0, ["x/other", "x/y/z"]);
    assert_eq!(bed.get("x/y/z").await.expect("gets").0.etag, object.etag, "an ETag stays while the file does");
    let hashed = scan(bed, ScanOptions { hash: true, ..ScanOptions::default() }).await;
    assert_eq!(hashed.changed, 2);
    assert_eq!(bed.get("x/y/z").await.expect("gets").0.etag, md5_hex(b"outside"));
    let again = scan(bed, ScanOptions { hash: true, ..ScanOptions::default() }).await;
    assert_eq!((again.changed, again.adopted, again.removed), (0, 0, 0));
}

pub(super) async fn outside_edits_become_new_objects(bed: &mut Bed) {
    if bed.layout == Layout::Managed {
        return;
    }
    for name in ["read", "scanned", "overwritten", "deleted"] {
        bed.put(name, b"ours").await.expect("puts");
        std::fs::write(files(bed).join(name), b"theirs").expect("edits in place");
    }
    let (object, body) = bed.get("read").await.expect("gets");
    assert_eq!(body, b"theirs");
    assert_ne!(object.etag, md5_hex(b"ours"), "an old ETag never covers new bytes");
    assert_eq!(scan(bed, ScanOptions::default()).await.changed, 3);
    assert_eq!(bed.get("scanned").await.expect("gets").1, b"theirs");
    bed.put("overwritten", b"ours again").await.expect("puts");
    assert_eq!(std::fs::read(files(bed).join("overwritten")).expect("reads"), b"ours again");
    std::fs::write(files(bed).join("deleted"), b"edited once more").expect("edits");
    bed.delete("deleted").await.expect("deletes");
    assert!(matches!(bed.get("deleted").await, Err(Error::NoSuchKey)));
    // An edit between two writes of ours that nobody saw is displaced, and kept.
    bed.put("unseen", b"ours").await.expect("puts");
    std::fs::write(files(bed).join("unseen"), b"theirs, unseen").expect("edits");
    bed.put("unseen", b"ours again").await.expect("puts");
    let lost: Vec<_> = walk(&files(bed).join(".longshore/lost"));
    assert!(lost.iter().any(|p| std::fs::read(p).expect("reads") == b"theirs, unseen"), "{lost:?}");
}

pub(super) async fn files_removed_outside_are_gone(bed: &mut Bed) {
    if bed.layout == Layout::Managed {
        return;
    }
    for name in ["a", "b", "c"] {
        bed.put(name, b"x").await.expect("puts");
    }
    std::fs::remove_file(files(bed).join("a")).expect("removes");
    assert!(matches!(bed.get("a").await, Err(Error::NoSuchKey)));
    std::fs::remove_file(files(bed).join("b")).expect("removes");
    assert_eq!(scan(bed, ScanOptions::default()).await.removed, 1);
    assert_eq!(bed.keys("", None, 10).await.0, ["c"]);
}

pub(super) async fn a_lost_container_is_not_a_mass_delete(bed: &mut Bed) {
    // Longer than what the catalog may keep for a while, and give while the files are away.
    bed.put("k", &pattern(20_000, 1)).await.expect("puts");
    let away = files(bed).with_file_name("away");
    std::fs::rename(files(bed), &away).expect("a mount goes");
    assert!(matches!(bed.get("k").await, Err(Error::Unavailable(_) | Error::Internal(_))));
    std::fs::create_dir(files(bed)).expect("an empty mount point");
    assert!(matches!(bed.get("k").await, Err(Error::Unavailable(_) | Error::Internal(_))));
    assert!(bed.store.scan(&ROOT, &bed.bucket, ScanOptions::default()).await.is_err());
    std::fs::remove_dir_all(files(bed)).expect("removes");
    std::fs::rename(&away, files(bed)).expect("it comes back");
    assert_eq!(bed.get("k").await.expect("gets").1, pattern(20_000, 1));
}

pub(super) async fn a_mass_removal_is_held_back(bed: &mut Bed) {
    if bed.layout == Layout::Managed {
        return;
    }
    for i in 0..150 {
        bed.put(&format!("d/{i:03}"), b"x").await.expect("puts");
    }
    std::fs::remove_dir_all(files(bed).join("d")).expect("removes");
    let report = scan(bed, ScanOptions::default()).await;
    assert_eq!((report.removed, report.held_back), (0, 150));
    let forced = scan(bed, ScanOptions { force: true, ..ScanOptions::default() }).await;
    assert_eq!((forced.removed, forced.held_back), (150, 0));
    assert_eq!(bed.keys("", None, 10).await.0, Vec::<String>::new());
}

pub(super) async fn rebuild_restores_the_listing(bed: &mut Bed) {
    let keys = ["a", "a/b", "dir/", "../up", "x//y", "plain/file", "ü"];
    for name in keys {
        bed.put(name, name.as_bytes()).await.expect("puts");
    }
    bed.put("plain/file", &pattern(500_000, 4)).await.expect("overwrites");
    std::fs::write(files(bed).join("theirs"), b"outside").expect("writes");
    scan(bed, ScanOptions::default()).await;
    let mut before = Vec::new();
    for name in keys {
        before.push(bed.get(name).await.expect("gets"));
    }
    let listed = bed.keys("", None, 1000).await;
    bed.reopen(false).await;
    let options = ScanOptions { rebuild: true, ..ScanOptions::default() };
    scan(bed, options).await;
    assert_eq!(bed.keys("", None, 1000).await, listed);
    for (name, (mut object, body)) in keys.iter().zip(before) {
        let (now, bytes) = bed.get(name).await.expect("gets");
        assert_eq!(bytes, body, "{name}");
        // What the row of a key that was written over is known by, the lost catalog alone knew.
        object.attached.id = None;
        assert_eq!(now, object, "{name}");
    }
}

pub(super) async fn another_catalog_is_refused(bed: &mut Bed) {
    bed.put("k", b"x").await.expect("puts");
    bed.store.release().await.expect("a clean stop");
    let id = files(bed).join(".longshore/id");
    let text = std::fs::read_to_string(&id).expect("reads");
    let digit = text.find(|c: char| c.is_ascii_hexdigit() && c.is_ascii_digit()).expect("an id");
    let other = if text.as_bytes()[digit] == b'1' { "2" } else { "1" };
    let mut changed = text.clone();
    changed.replace_range(digit..=digit, other);
    std::fs::write(&id, changed).expect("writes");
    bed.store = super::open(super::Kind::Fs, bed.layout, bed.dir.path());
    assert!(bed.store.attach(Attach::Serve).await.is_err());
    std::fs::write(&id, text).expect("writes");
    bed.store.attach(Attach::Serve).await.expect("attaches");
}

/// A process that ended between its commit and its lay-out, or between a take-aside and its commit.
pub(super) async fn owed_steps_are_taken_at_the_next_start(bed: &mut Bed) {
    bed.put("k", b"x").await.expect("puts");
    let (object, _) = bed.get("k").await.expect("gets");
    if bed.layout == Layout::Natural {
        let aside = object.version.to_string();
        let shard = files(bed).join(".longshore/objects").join(object.version.shard());
        std::fs::create_dir_all(&shard).expect("makes");
        std::fs::rename(files(bed).join("k"), shard.join(aside)).expect("as a kill would leave it");
        assert_eq!(bed.get("k").await.expect("served from the other place").1, b"x");
    }
    bed.reopen(true).await;
    assert_eq!(bed.get("k").await.expect("gets").1, b"x");
    assert_eq!(bed.keys("", None, 10).await.0, ["k"]);
}

/// A page that skips more full folders than a doubled batch has bits never ended.
pub(super) async fn many_full_folders_are_one_page_each(bed: &mut Bed) {
    // A directory that somebody made is a bucket that nobody has walked yet.
    bed.bucket = longshore::model::name::BucketName::new("found").expect("legal");
    bed.files = bed.files.as_ref().map(|files| files.with_file_name("found"));
    std::fs::create_dir(files(bed)).expect("makes");
    for folder in 0..70 {
        let folder = files(bed).join(format!("folder-{folder:02}"));
        std::fs::create_dir(&folder).expect("makes");
        for file in 0..75 {
            std::fs::write(folder.join(format!("{file:02}")), b"").expect("writes");
        }
    }
    for round in ["merged", "indexed"] {
        let (keys, prefixes) = bed.keys("", Some("/"), 66).await;
        assert_eq!((keys.len(), prefixes.len()), (0, 70), "{round}");
        assert_eq!(bed.keys("folder-5", None, 1000).await.0.len(), 750, "{round}");
        scan(bed, ScanOptions::default()).await;
    }
}

/// The state directory outlives a mount that is missing at the start: its empty mount point is not the bucket.
pub(super) async fn a_mount_that_is_missing_at_the_start_deletes_nothing(bed: &mut Bed) {
    bed.put("k", b"x").await.expect("puts");
    bed.store.release().await.expect("a clean stop");
    std::fs::rename(files(bed), bed.dir.path().join("away")).expect("a mount goes");
    std::fs::create_dir(files(bed)).expect("an empty mount point");
    bed.store = super::open(super::Kind::Fs, bed.layout, bed.dir.path());
    bed.store.attach(Attach::Serve).await.expect("attaches");
    assert!(matches!(bed.get("k").await, Err(Error::Unavailable(_) | Error::Internal(_))));
    bed.store.release().await.expect("a stop");
    std::fs::remove_dir_all(files(bed)).expect("removes");
    std::fs::rename(bed.dir.path().join("away"), files(bed)).expect("it comes back");
    bed.store = super::open(super::Kind::Fs, bed.layout, bed.dir.path());
    bed.store.attach(Attach::Serve).await.expect("attaches");
    assert_eq!(bed.get("k").await.expect("gets").1, b"x");
}
