//! What files say about themselves and may not be believed in: records, mtimes, links, names that fold.
//!
//! The number that a name begins with is that of the hole in the protocols which it keeps closed.

use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use longshore::model::bucket::BucketSettings;
use longshore::model::caller::{Caller, ROOT as ROOT_NAME, User, Who};
use longshore::model::condition::Conditions;
use longshore::model::id::VersionId;
use longshore::model::name::BucketName;
use longshore::model::object::Content;
use longshore::model::place::{Layout, Placed};
use longshore::model::record::Record;
use longshore::provider::fs::{Durability, FsProvider, Without};
use longshore::store::Error;
use longshore::store::request::{CopyContent, CopyRequest, ScanOptions};
use rustix::fs::{XattrFlags, getxattr, setxattr};

use super::holes::{Site, only_if};
use super::{Bed, Kind, ROOT, key, md5_hex, pattern};

const RECORD: &str = "user.longshore";

fn record_of(path: &Path) -> Record {
    let mut text = vec![0; 64 * 1024];
    let len = getxattr(path, RECORD, &mut text[..]).expect("a record");
    Record::decode(&text[..len]).expect("one of ours")
}

fn write_record(path: &Path, record: &Record) {
    setxattr(path, RECORD, &record.encode(4000).expect("fits"), XattrFlags::empty()).expect("writes");
}

fn cp_a(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().expect("cp").success());
}

fn nanos(path: &Path) -> i64 {
    let meta = std::fs::metadata(path).expect("there");
    meta.mtime() * 1_000_000_000 + meta.mtime_nsec()
}

/// A record speaks for the size and the mtime it was written for. What it says about the bytes holds under another name;
/// what it says about who they are does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h2_a_record_speaks_for_its_own_bytes_alone() {
    let site = Site::new(Kind::Fs, Layout::Natural).await;
    let put = site.bed.put("k", b"ours").await.expect("puts");
    cp_a(&site.file("k"), &site.file("copied"));
    let (copied, body) = site.bed.get("copied").await.expect("gets");
    assert_eq!((body.as_slice(), copied.etag.as_str()), (&b"ours"[..], put.etag.as_str()));
    assert_eq!((&copied.content, &copied.checksum), (&put.content, &put.checksum));
    assert_ne!(copied.version, put.version, "two objects are one version");
    // The attribute stays beside the bytes when a program writes over them.
    for (name, edit) in [("k", &b"theirs!"[..]), ("copied", b"same")] {
        std::fs::write(site.file(name), edit).expect("edits in place");
        assert_eq!(record_of(&site.file(name)).etag, put.etag, "the record is still there");
        let (object, body) = site.bed.get(name).await.expect("gets");
        assert_eq!(body, edit);
        assert!(object.etag.ends_with("-1") && object.checksum.is_none(), "{name}: {}", object.etag);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h3_the_mtime_of_what_we_write_is_ours_and_never_repeats() {
    for layout in [Layout::Natural, Layout::Managed] {
        let site = Site::new(Kind::Fs, layout).await;
        let mut seen = std::collections::BTreeSet::new();
        for n in 0..50 {
            let put = site.bed.put(&format!("k{n}"), b"same").await.expect("puts");
            let file = if layout == Layout::Natural { site.file(&format!("k{n}")) } else { site.managed_file(&put) };
            assert_eq!(nanos(&file), put.modified.0, "the mtime is the kernel's");
            assert_eq!(record_of(&file).modified, put.modified);
            assert!(seen.insert(put.modified), "an mtime was given twice");
        }
    }
}

/// Where mtimes tick, a file may be written again without a new stamp. Until that cannot happen any more no ETag of it is
/// shown twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h4_the_etag_of_a_young_file_is_not_promised() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("data")).expect("makes");
    let without = Without { fine_times: true, ..Without::default() };
    let provider = FsProvider::open_without(&dir.path().join("data"), Durability::Os, without).expect("opens");
    let site = Site::over(Arc::new(provider), Kind::Fs, Layout::Natural, dir).await;
    let write = |body: &[u8], at: SystemTime| {
        let file = std::fs::File::options().write(true).create(true).truncate(false).open(site.file("k"));
        let file = file.expect("opens");
        file.write_all_at(body, 0).expect("writes");
        file.set_modified(at).expect("the clock has not ticked");
    };
    #[expect(clippy::disallowed_methods, reason = "dates of files are of the system's clock")]
    let at = SystemTime::now();
    write(b"first!", at);
    let (first, body) = site.bed.get("k").await.expect("gets");
    assert_eq!(body, b"first!");
    write(b"second", at);
    let (second, body) = site.bed.get("k").await.expect("gets");
    assert_eq!(body, b"second");
    assert_eq!(first.stamp, second.stamp, "the test repeats a stamp");
    assert_ne!(first.etag, second.etag, "one ETag was shown for two bodies");
    let pinned = site.bed.put_if("k", b"ours", only_if(&second.etag)).await;
    assert!(matches!(pinned, Err(Error::PreconditionFailed)), "{pinned:?}");
    // Its file is two seconds old now.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let listed = || async {
        let query = longshore::model::page::PageQuery { limit: 10, ..Default::default() };
        site.bed.store.list(&ROOT, &site.bed.bucket, query).await.expect("lists").entries[0].etag.clone()
    };
    let shown = listed().await;
    let (last, body) = site.bed.get("k").await.expect("gets");
    assert_eq!(body, b"second");
    assert!(last.etag != first.etag && last.etag != second.etag && last.etag.ends_with("-1"));
    assert_eq!((shown, listed().await), (last.etag.clone(), last.etag.clone()));
    assert_eq!(site.bed.get("k").await.expect("gets").0.etag, last.etag, "now it stays");
    site.bed.put_if("k", b"ours", only_if(&last.etag)).await.expect("and may be named");
}

/// The same file is hashed by a scan only when its stamp is final.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h4_a_young_file_is_hashed_when_it_is_old() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("data")).expect("makes");
    let without = Without { fine_times: true, ..Without::default() };
    let provider = FsProvider::open_without(&dir.path().join("data"), Durability::Os, without).expect("opens");
    let site = Site::over(Arc::new(provider), Kind::Fs, Layout::Natural, dir).await;
    std::fs::write(site.file("k"), b"first!").expect("writes");
    let at = std::fs::metadata(site.file("k")).expect("there").modified().expect("a date");
    let file = site.file("k");
    // The edit that leaves the stamp as it is comes when a scan that does not wait has hashed the file already.
    site.hooks.after("stat", 0, move || async move {
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(500));
            std::fs::write(&file, b"second").expect("edits");
            std::fs::File::options().write(true).open(&file).expect("opens").set_modified(at).expect("dates");
        });
    });
    let options = ScanOptions { hash: true, ..ScanOptions::default() };
    site.bed.store.scan(&ROOT, &site.bed.bucket, options).await.expect("scans");
    assert!(site.hooks.are_done());
    let (object, body) = site.bed.get("k").await.expect("gets");
    assert_eq!((object.etag, body), (md5_hex(b"second"), b"second".to_vec()));
}

/// On a file system that gives every write a new mtime nothing is young.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h4_a_file_is_not_young_where_mtimes_never_repeat() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = std::fs::File::create(dir.path().join("probe")).expect("makes");
    let fine = (0..32_u8).all(|n| {
        let before = file.metadata().expect("there").modified().expect("a date");
        file.write_all_at(&[n], 0).expect("writes");
        file.metadata().expect("there").modified().expect("a date") != before
    });
    let site = Site::new(Kind::Fs, Layout::Natural).await;
    std::fs::write(site.file("k"), b"theirs").expect("writes");
    let first = site.bed.get("k").await.expect("gets").0.etag;
    assert_eq!(site.bed.get("k").await.expect("gets").0.etag == first, fine, "the probe is wrong");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h6_managed_bytes_that_somebody_edited_are_not_served() {
    let site = Site::new(Kind::Fs, Layout::Managed).await;
    for (name, len) in [("small", 5), ("large", 1024 * 1024)] {
        let put = site.bed.put(name, &pattern(len, 1)).await.expect("puts");
        site.bed.get(name).await.expect("gets");
        std::fs::write(site.managed_file(&put), pattern(len, 2)).expect("edits");
        for _ in 0..2 {
            assert!(matches!(site.bed.get(name).await, Err(Error::Internal(_))), "{name}");
        }
        assert!(site.row(name).await.is_some(), "loss is no delete");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h6_a_copy_shares_no_file_with_its_source() {
    for layout in [Layout::Natural, Layout::Managed] {
        let site = Site::new(Kind::Fs, layout).await;
        let put = site.bed.put("from", b"bytes").await.expect("puts");
        let request = CopyRequest {
            from_version: None,
            keep_tags: true,
            given: Default::default(),
            from_bucket: site.bed.bucket.clone(),
            from_key: key("from"),
            source_conditions: Conditions::default(),
            source_key: None,
            bucket: site.bed.bucket.clone(),
            key: key("to"),
            content: CopyContent::Keep,
            conditions: Conditions::default(),
            algorithm: None,
        };
        let copy = site.bed.store.copy(&ROOT, request).await.expect("copies");
        let file = |object, name| if layout == Layout::Natural { site.file(name) } else { site.managed_file(object) };
        let (from, to) = (file(&put, "from"), file(&copy.object, "to"));
        assert_eq!(std::fs::metadata(&to).expect("there").nlink(), 1);
        std::fs::write(from, b"edits").expect("edits");
        assert_eq!(site.bed.get("to").await.expect("gets").1, b"bytes");
    }
}

/// What no row names may be a write that is about to be decided: a start does not touch it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h7_a_start_frees_nothing_that_it_does_not_own() {
    let mut site = Site::new(Kind::Fs, Layout::Natural).await;
    let put = site.bed.put("k", b"bytes").await.expect("puts");
    let orphan = site.managed_file(&put).with_file_name(VersionId::fresh().to_string());
    std::fs::create_dir_all(orphan.parent().expect("a shard")).expect("makes");
    std::fs::write(&orphan, b"not decided yet").expect("writes");
    site.bed.reopen(true).await;
    assert_eq!(std::fs::read(&orphan).expect("still there"), b"not decided yet");
}

async fn folding() -> Site {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("data")).expect("makes");
    let without = Without { case: true, ..Without::default() };
    let provider = FsProvider::open_without(&dir.path().join("data"), Durability::Os, without).expect("opens");
    Site::over(Arc::new(provider), Kind::Fs, Layout::Natural, dir).await
}

/// Where names fold a path that opens may be spelled otherwise on disk: only a walk knows the true names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h14_where_names_fold_only_a_scan_adopts() {
    let site = folding().await;
    std::fs::write(site.file("README"), b"theirs").expect("writes");
    assert!(matches!(site.bed.get("README").await, Err(Error::NoSuchKey)), "a read took a spelling for a name");
    site.bed.delete("README").await.expect("a delete of nothing is fine");
    assert_eq!(std::fs::read(site.file("README")).expect("still there"), b"theirs");
    site.scan().await;
    assert_eq!(site.bed.get("README").await.expect("gets").1, b"theirs");
    // Two keys that fold are two objects, so neither may be the path.
    for name in ["readme", "Readme"] {
        assert_eq!(site.bed.put(name, name.as_bytes()).await.expect("puts").placed, Placed::Managed);
    }
    for (name, body) in [("README", &b"theirs"[..]), ("readme", b"readme"), ("Readme", b"Readme")] {
        assert_eq!(site.bed.get(name).await.expect("gets").1, body);
    }
    site.bed.delete("readme").await.expect("deletes");
    assert_eq!(site.bed.get("README").await.expect("gets").1, b"theirs");
    assert_eq!(site.bed.keys("", None, 10).await.0, ["README", "Readme"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h14_no_spelling_leads_into_the_reserved_tree() {
    let site = folding().await;
    let object = site.bed.put("k", b"bytes").await.expect("puts");
    // As the file system would answer where names fold: the two are one directory.
    std::fs::rename(site.file(".longshore"), site.file(".LONGSHORE")).expect("renames");
    let inside = format!(".LONGSHORE/objects/{}/{}", object.version.shard(), object.version);
    assert!(site.file(&inside).exists());
    assert!(matches!(site.bed.get(&inside).await, Err(Error::NoSuchKey)));
    assert_eq!(site.bed.keys(".LONGSHORE", None, 10).await.0, Vec::<String>::new());
    let provided = site.provider_stat(&inside).await;
    assert!(matches!(provided, Err(longshore::provider::Error::NotFound)), "{provided:?}");
    std::fs::rename(site.file(".LONGSHORE"), site.file(".longshore")).expect("renames");
}

/// One file has one ETag, whoever looks at it, until it is changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h17_an_etag_stays_while_the_file_does() {
    let mut site = Site::new(Kind::Fs, Layout::Natural).await;
    // A directory that somebody made is a bucket that nobody has walked yet, and is listed from disk.
    site.bed.bucket = BucketName::new("found").expect("legal");
    site.bed.files = site.bed.files.as_ref().map(|files| files.with_file_name("found"));
    std::fs::create_dir(site.file("")).expect("makes");
    std::fs::write(site.file("k"), b"theirs").expect("writes");
    let listed = |bed: &Bed| {
        let (store, bucket) = (bed.store.clone(), bed.bucket.clone());
        async move {
            let query = longshore::model::page::PageQuery { limit: 10, ..Default::default() };
            store.list(&ROOT, &bucket, query).await.expect("lists").entries[0].etag.clone()
        }
    };
    let first = listed(&site.bed).await;
    assert!(first.ends_with("-1"));
    assert_eq!(listed(&site.bed).await, first, "two listings of a file without a row differ");
    let other = site.other();
    let head = other.head(&ROOT, site.bed.request("k", longshore::store::request::Portion::Whole)).await;
    assert_eq!(head.expect("heads").object.etag, first, "another process gives it another ETag");
    assert_eq!(site.bed.get("k").await.expect("gets").0.etag, first);
    site.scan().await;
    assert_eq!(listed(&site.bed).await, first);
    site.bed.reopen(false).await;
    site.scan().await;
    assert_eq!(listed(&site.bed).await, first, "a lost catalog changes ETags");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h21_a_rebuild_restores_settings_and_the_newest_version() {
    let mut bed = Bed::new(Kind::Fs, Layout::Managed).await;
    let alice = User {
        name: "alice".into(),
        display_name: "Alice".into(),
        email: None,
        groups: Vec::new(),
        policy: "readwrite".into(),
    };
    bed.store.put_user(&ROOT, alice.clone(), false).await.expect("a user");
    let hers = BucketName::new("hers").expect("legal");
    bed.store
        .create_bucket(&Caller::from(Who::User(Arc::new(alice))), &hers, Default::default())
        .await
        .expect("a bucket");
    let settings = BucketSettings { public: true, layout: Layout::Natural, ..BucketSettings::default() };
    bed.store.set_bucket(&ROOT, &hers, settings).await.expect("sets");
    // A body that was overwritten and is not freed yet lies beside the newest.
    let mut kept = Vec::new();
    for n in 0..8 {
        let old = bed.put(&format!("k{n}"), b"old").await.expect("puts");
        let shard = bed.files.as_deref().expect("files").join(".longshore/objects").join(old.version.shard());
        let (file, aside) = (shard.join(old.version.to_string()), shard.with_file_name(format!("kept{n}")));
        cp_a(&file, &aside);
        kept.push((aside, file));
        bed.put(&format!("k{n}"), b"new").await.expect("puts");
    }
    bed.store.release().await.expect("a clean stop");
    for (aside, file) in kept {
        std::fs::create_dir_all(file.parent().expect("a shard")).expect("makes");
        std::fs::rename(aside, file).expect("as a step that is owed would leave it");
    }
    bed.open_again(false).await;
    let options = ScanOptions { rebuild: true, ..ScanOptions::default() };
    bed.store.scan(&ROOT, &bed.bucket, options).await.expect("scans");
    for n in 0..8 {
        assert_eq!(bed.get(&format!("k{n}")).await.expect("gets").1, b"new", "an older version is back");
    }
    let restored = bed.store.head_bucket(&ROOT, &hers).await.expect("there");
    assert_eq!((restored.owner.as_str(), restored.settings), ("alice", settings));
}

/// Whoever can write the directory can write any record: it makes nobody the owner of anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h24_a_forged_record_gives_no_identity() {
    let site = Site::new(Kind::Fs, Layout::Natural).await;
    let put = site.bed.put("k", b"ours").await.expect("puts");
    let genuine = record_of(&site.file("k"));
    for name in ["read", "scanned", "spoilt"] {
        std::fs::write(site.file(name), b"theirs").expect("writes");
        let mut forged = genuine.clone();
        (forged.key, forged.size, forged.modified) = (key(name), 6, Default::default());
        forged.modified.0 = nanos(&site.file(name));
        (forged.owner, forged.counter) = ("mallory".into(), u64::MAX >> 2);
        forged.content = Content { content_type: Some("text/html".into()), ..Content::default() };
        if name == "spoilt" {
            forged.etag = "x\"\r\nx-amz-evil: 1".into();
        }
        write_record(&site.file(name), &forged);
    }
    site.bed.get("read").await.expect("gets");
    site.bed.get("spoilt").await.expect("gets");
    site.scan().await;
    for name in ["read", "scanned", "spoilt"] {
        let row = site.row(name).await.expect("adopted");
        assert_eq!(row.owner, ROOT_NAME, "{name}: a file says who owns it");
        assert!(row.version != put.version && row.counter < u64::MAX >> 2, "{name}: a file says which version it is");
    }
    let spoilt = site.row("spoilt").await.expect("adopted").etag;
    assert!(spoilt.ends_with("-1") && spoilt.len() == 34, "{spoilt:?} would go into a header");
}
