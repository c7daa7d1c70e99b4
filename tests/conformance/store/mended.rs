//! Findings that were mended: each test failed before.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use longshore::catalog::{Catalog as _, Change, Commit, GatewayId, NewTask, Scope, Step, Uploads as _};
use longshore::model::bucket::BucketRules;
use longshore::model::condition::Conditions;
use longshore::model::name::BucketName;
use longshore::model::object::Content;
use longshore::model::place::{Displaced, Layout, Placed};
use longshore::model::upload::UploadState;
use longshore::provider;
use longshore::provider::cloud::CloudProvider;
use longshore::provider::fs::{Durability, FsProvider, OpenOptions};
use longshore::store::request::{
    CompleteRequest, CopyContent, CopyRequest, CreateUpload, ListedPart, ScanOptions, UploadRef,
};
use longshore::store::{Attach, Error};

use super::holes::{ALL, Site};
use super::{Bed, Kind, ROOT, incoming, key, open_catalog, open_ruled, pattern, share_catalog, walk};
use crate::conformance::provider::objects::Objects;

/// A mount for as long as the value lives; `None` if this test may not mount, which it says.
struct Mount<'a>(&'a Path);

impl<'a> Mount<'a> {
    fn new(at: &'a Path, arguments: &[&str]) -> Option<Self> {
        let mounted = Command::new("mount").args(arguments).arg(at).output().expect("mount");
        if mounted.status.success() {
            return Some(Self(at));
        }
        let why = String::from_utf8_lossy(&mounted.stderr).into_owned();
        assert!(!rustix::process::geteuid().is_root() || why.contains("permission"), "{why}");
        eprintln!("skipped: the right to mount (CAP_SYS_ADMIN) is missing");
        None
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

fn outside_of(path: &Path) -> Vec<String> {
    let names = std::fs::read_dir(path).expect("readable").map(|e| e.expect("an entry").file_name());
    let mut names: Vec<_> = names.map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned()).collect();
    names.sort();
    names
}

/// What is mounted below a bucket is not served: its files could be neither replaced nor deleted whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mount_below_a_bucket_is_not_served() {
    for bind in [false, true] {
        let site = Site::new(Kind::Fs, Layout::Natural).await;
        site.bed.put("m/under", b"covered").await.expect("puts");
        let source = site.bed.dir.path().join("source");
        std::fs::create_dir(&source).expect("makes");
        let arguments = if bind { ["--bind", source.to_str().expect("UTF-8")] } else { ["-ttmpfs", "none"] };
        let at = site.file("m");
        let Some(mount) = Mount::new(&at, &arguments) else { return };
        std::fs::create_dir(site.file("m/d")).expect("makes");
        for name in ["m/f", "m/d/f"] {
            std::fs::write(site.file(name), b"theirs").expect("writes");
        }
        site.bed.put("n", b"beside").await.expect("puts");
        for name in ["m/f", "m/d/f"] {
            assert!(matches!(site.bed.get(name).await, Err(Error::NoSuchKey)), "bind {bind}: {name} is served");
        }
        site.scan().await;
        // What it covers is not lost, and not to be had now.
        assert!(matches!(site.bed.get("m/under").await, Err(Error::Unavailable(_) | Error::Internal(_))));
        assert_eq!(site.bed.keys("", None, 10).await.0, ["m/under", "n"]);
        for (name, body) in [("m/f", &b"ours"[..]), ("m/d/f", b"ours"), ("m/new/f", b"new")] {
            assert_eq!(site.bed.put(name, body).await.expect("puts").key, key(name));
            assert_eq!(site.bed.get(name).await.expect("gets").1, body);
            assert_eq!(site.row(name).await.expect("a row").placed, Placed::Managed);
        }
        for name in ["m/f", "m/d/f", "m/new/f"] {
            site.bed.delete(name).await.expect("deletes");
            assert!(matches!(site.bed.get(name).await, Err(Error::NoSuchKey)), "bind {bind}: {name} came back");
        }
        assert_eq!(outside_of(&at), ["d", "f"], "something was written into the mount");
        assert_eq!(std::fs::read(site.file("m/f")).expect("reads"), b"theirs");
        site.bed.delete("n").await.expect("deletes");
        let gone = site.bed.store.delete_bucket(&ROOT, &site.bed.bucket).await;
        assert!(matches!(gone, Err(Error::BucketNotEmpty)), "{gone:?}");
        drop(mount);
        assert_eq!(site.bed.get("m/under").await.expect("is back").1, b"covered");
    }
}

/// A container that takes no writes is served, indexed, and does not lose its rows when its mount goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_container_is_known_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let (data, source) = (dir.path().join("data"), dir.path().join("source"));
    for path in [&data, &source, &data.join("photos")] {
        std::fs::create_dir(path).expect("makes");
    }
    for n in 0..3 {
        std::fs::write(source.join(format!("p{n}")), b"a picture").expect("writes");
    }
    let at = data.join("photos");
    let source = source.to_str().expect("UTF-8").to_owned();
    let mount = || Mount::new(&at, &["--bind", "-oro", &source]);
    let Some(mounted) = mount() else { return };
    let read_only = Command::new("mount").args(["-o", "remount,bind,ro"]).arg(&at).status().expect("mount");
    assert!(read_only.success());
    let options = OpenOptions { notes: Some(dir.path().join("notes")), ..OpenOptions::default() };
    let provider = FsProvider::open_with(&data, Durability::Os, options).expect("opens");
    let mut bed = Bed::over(Arc::new(provider), Kind::Fs, Layout::Natural, dir).await;
    bed.bucket = BucketName::new("photos").expect("legal");
    assert_eq!(bed.get("p0").await.expect("gets").1, b"a picture");
    assert!(matches!(bed.put("new", b"x").await, Err(Error::ReadOnly)));
    bed.store.scan(&ROOT, &bed.bucket, ScanOptions::default()).await.expect("scans");
    assert!(bed.store.head_bucket(&ROOT, &bed.bucket).await.expect("there").indexed.is_some(), "it is never indexed");
    // A file that its owner removed is gone.
    std::fs::remove_file(Path::new(&source).join("p2")).expect("removes");
    assert!(matches!(bed.get("p2").await, Err(Error::NoSuchKey)));
    assert_eq!(outside_of(Path::new(&source)), ["p0", "p1"], "something was written");
    drop(mounted);
    for name in ["p0", "p1"] {
        let lost = bed.get(name).await;
        assert!(matches!(lost, Err(Error::Unavailable(_))), "a lost mount is a delete: {lost:?}");
    }
    assert!(bed.store.scan(&ROOT, &bed.bucket, ScanOptions::default()).await.is_err());
    let _mounted = mount().expect("mounts again");
    assert_eq!(bed.keys("", None, 10).await.0, ["p0", "p1"]);
    assert_eq!(bed.get("p1").await.expect("gets").1, b"a picture");
}

/// A directory in which we may not write: the bytes stay where we may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lay_out_that_is_denied_leaves_a_managed_object() {
    for kind in [Kind::Fs, Kind::Memory] {
        let site = Site::new(kind, Layout::Natural).await;
        site.hooks.fail("lay_out", 1, || provider::Error::Denied);
        site.bed.put("d/k", b"bytes").await.expect("puts");
        assert_eq!(site.row("d/k").await.expect("a row").placed, Placed::Managed);
        assert_eq!(site.bed.get("d/k").await.expect("gets").1, b"bytes");
        site.bed.store.release().await.expect("a clean stop");
        assert!(site.catalog().tasks(&Scope::Service, 0, 10).await.expect("answers").is_empty(), "a step stays owed");
    }
}

/// A bucket of names that are keys, at a storage where one gateway's condition may hit what another has just written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_that_cannot_be_told_apart_write_to_no_keys() {
    for shared in [false, true] {
        let dir = tempfile::tempdir().expect("a directory");
        if shared && !share_catalog(dir.path(), "the store over a cloud with several gateways") {
            return;
        }
        let objects = Objects::new(false, true, 1700).with_tags_of_bytes();
        let provider = Arc::new(CloudProvider::new(Arc::new(objects), shared));
        let mut bed = Bed::over(provider.clone(), Kind::Memory, Layout::Natural, dir).await;
        // A rule of the configuration says that one gateway is alone. The bucket was made before.
        assert_eq!(bed.put("told", b"bytes").await.expect("puts").placed, Placed::Natural);
        let catalog = open_catalog(bed.dir.path(), Some(GatewayId::of(&["one of several".to_owned()])));
        catalog.enlist(&[]).await.expect("begins");
        bed.store = open_ruled(provider, BucketRules::default(), catalog);
        bed.store.attach(Attach::Serve).await.expect("attaches");
        let expected = if shared { Placed::Managed } else { Placed::Natural };
        for name in ["k", "told"] {
            assert_eq!(bed.put(name, b"bytes").await.expect("puts").placed, expected);
            assert_eq!(bed.get(name).await.expect("gets").1, b"bytes");
        }
    }
}

/// Somebody wrote over a managed file that is to be freed: it is kept, and nothing is owed for it any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_managed_file_that_was_edited_is_kept_and_owed_no_more() {
    let site = Site::new(Kind::Fs, Layout::Managed).await;
    let put = site.bed.put("k", b"ours").await.expect("puts");
    std::fs::write(site.managed_file(&put), b"theirs, in our tree").expect("edits");
    site.bed.put("k", b"new").await.expect("puts");
    site.bed.store.release().await.expect("a clean stop");
    assert_eq!(std::fs::read(site.managed_file(&put)).expect("kept"), b"theirs, in our tree");
    assert!(site.catalog().tasks(&Scope::Service, 0, 10).await.expect("answers").is_empty(), "a step stays owed");
}

/// A version whose lay-out is still owed is laid out by a read. What it displaced is no outside edit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lay_out_by_a_read_knows_what_it_displaces() {
    let site = Site::new(Kind::Fs, Layout::Natural).await;
    // A file that others made has no record: only its stamp tells that it was displaced.
    std::fs::write(site.file("k"), b"theirs").expect("writes");
    site.bed.get("k").await.expect("adopted");
    let failed = || provider::Error::Unavailable(std::io::Error::other("slow"));
    site.hooks.fail("lay_out", 1, failed);
    site.hooks.fail("delete_managed", 1, failed);
    site.bed.put("k", b"ours").await.expect("is decided");
    assert_eq!(std::fs::read(site.file("k")).expect("reads"), b"theirs");
    assert_eq!(site.bed.get("k").await.expect("gets").1, b"ours");
    while std::fs::read(site.file("k")).expect("reads") != b"ours" {
        tokio::task::yield_now().await;
    }
    site.bed.store.release().await.expect("a clean stop");
    assert_eq!(walk(&site.file(".longshore/lost")), Vec::<std::path::PathBuf>::new());
    site.bed.assert_managed(0);
}

/// Its own step is all that says that the bytes at the key were displaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lay_out_that_comes_too_late_frees_what_it_displaced() {
    let mut site = Site::new(Kind::Fs, Layout::Natural).await;
    std::fs::write(site.file("k"), b"theirs").expect("writes");
    let old = site.bed.get("k").await.expect("adopted").0;
    let late = longshore::model::id::VersionId::fresh();
    let (bucket, stamp) = (site.bucket_id().await, longshore::model::place::Stamp::new("1-2-3"));
    let step =
        Step::LayOut { stamp, over: Some(old.stamp.clone()), displaced: Displaced::Free, counter: old.counter + 1 };
    let commit = Commit {
        changes: vec![Change::of_row(bucket, key("k"), Some(old.seen()), None)],
        tasks: vec![NewTask { bucket, key: key("k"), version: late, step, bytes: None }],
        upload: None,
        ..Commit::default()
    };
    site.catalog().commit(&Scope::Service, commit).await.expect("commits");
    site.bed.reopen(true).await;
    assert!(matches!(site.bed.get("k").await, Err(Error::NoSuchKey)), "it came back");
    assert!(!site.file("k").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_is_deleted_does_not_wait_for_others() {
    for kind in [Kind::Fs, Kind::Memory] {
        let site = Site::new(kind, Layout::Managed).await;
        let empty = BucketName::new("empty").expect("legal");
        site.bed.store.create_bucket(&ROOT, &empty, Default::default()).await.expect("a bucket");
        site.hooks.fail("delete_managed", 1, || provider::Error::Unavailable(std::io::Error::other("slow")));
        site.bed.put("k", b"first").await.expect("puts");
        site.bed.put("k", b"second").await.expect("puts, and a step stays owed");
        // It is freed behind the answer.
        while !site.hooks.are_done() {
            tokio::task::yield_now().await;
        }
        site.hooks.calls();
        site.bed.store.delete_bucket(&ROOT, &empty).await.expect("deletes");
        assert!(!site.hooks.calls().contains(&"delete_managed"), "it took a step of another bucket");
    }
}

/// Links and names that are no text cannot be objects, and are somebody's all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_with_what_cannot_be_an_object_is_not_empty() {
    let site = Site::new(Kind::Fs, Layout::Natural).await;
    let odd = [Path::new("link").to_owned(), Path::new(std::ffi::OsStr::from_bytes(b"no\xfftext")).to_owned()];
    for (n, name) in odd.iter().enumerate() {
        let path = site.file("").join(name);
        match n {
            0 => std::os::unix::fs::symlink("nowhere", &path).expect("links"),
            _ => std::fs::write(&path, b"").expect("writes"),
        }
        let gone = site.bed.store.delete_bucket(&ROOT, &site.bed.bucket).await;
        assert!(matches!(gone, Err(Error::BucketNotEmpty)), "{name:?}: {gone:?}");
        site.bed.put("k", b"it is a bucket still").await.expect("puts");
        site.bed.delete("k").await.expect("deletes");
        std::fs::remove_file(path).expect("removes");
    }
    site.bed.store.delete_bucket(&ROOT, &site.bed.bucket).await.expect("nothing is left");
    assert!(!site.file("").exists());
}

/// Another process deletes the bucket while a body is on its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_into_a_bucket_that_went_is_told_so() {
    for (kind, layout) in ALL {
        for size in [5, 600_000] {
            let site = Site::new(kind, layout).await;
            let (other, bucket) = (site.other(), site.bed.bucket.clone());
            site.hooks.after("stage", 0, move || async move {
                other.delete_bucket(&ROOT, &bucket).await.expect("deletes");
            });
            let put = site.bed.put("k", &pattern(size, 1)).await;
            // A body of many blocks may meet the absence before all of it has come.
            let told =
                matches!(put, Err(Error::NoSuchBucket)) || (size > 5 && matches!(put, Err(Error::Unavailable(_))));
            assert!(told, "{size}: {put:?}");
            let again = site.bed.put("k", b"x").await;
            assert!(matches!(again, Err(Error::NoSuchBucket)), "{again:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_changes_under_a_copy_may_be_tried_again() {
    for layout in [Layout::Natural, Layout::Managed] {
        let site = Site::new(Kind::Fs, layout).await;
        std::fs::write(site.file("from"), pattern(3 * 1024 * 1024, 1)).expect("writes");
        site.bed.get("from").await.expect("adopted");
        let file = site.file("from");
        // The source is open by the time the destination is staged; nobody hashed it, so it is streamed.
        site.hooks.after("stage", 0, move || async move {
            std::fs::File::options().write(true).open(&file).expect("opens").set_len(100).expect("cuts");
        });
        let copy = || CopyRequest {
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
        let cut = site.bed.store.copy(&ROOT, copy()).await;
        assert!(matches!(cut, Err(Error::Unavailable(_))), "{cut:?}");
        assert!(matches!(site.bed.get("to").await, Err(Error::NoSuchKey)));
        assert_eq!(site.bed.store.copy(&ROOT, copy()).await.expect("copies").object.size, 100);
    }
}

/// One directory that cannot be read, or one provider that does not answer, keeps nobody else from being served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_container_does_not_stop_a_start() {
    let mut site = Site::new(Kind::Fs, Layout::Natural).await;
    let good = BucketName::new("good").expect("legal");
    site.bed.store.create_bucket(&ROOT, &good, Default::default()).await.expect("a bucket");
    site.bed.store.release().await.expect("a clean stop");
    site.bed.store = site.other();
    // The first container that is asked is `bed`.
    site.hooks.fail("read_note", 1, || provider::Error::Failed(std::io::Error::other("a bad block")));
    let report = site.bed.store.attach(Attach::Serve).await.expect("attaches");
    assert_eq!((report.buckets, report.failed), (1, vec!["bed".to_owned()]));
    site.bed.bucket = good;
    site.bed.put("k", b"served").await.expect("puts");
    site.bed.store.release().await.expect("a clean stop");
    site.bed.store = site.other();
    site.hooks.fail("containers", 1, || provider::Error::Failed(std::io::Error::other("no answer")));
    let report = site.bed.store.attach(Attach::Serve).await.expect("attaches");
    assert_eq!((report.buckets, report.failed), (0, vec!["default".to_owned()]));
    assert_eq!(site.bed.get("k").await.expect("gets").1, b"served");
}

/// A Complete that failed and could not say so leaves the upload in a state that only a start would have ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_left_completing_goes_on() {
    for (kind, layout) in ALL {
        let site = Site::new(kind, layout).await;
        for what in ["complete", "part", "abort"] {
            let request = CreateUpload {
                conditions: Default::default(),
                length: None,
                given: Default::default(),
                bucket: site.bed.bucket.clone(),
                key: key(what),
                content: Content::default(),
                checksum: None,
            };
            let id = site.bed.store.create_upload(&ROOT, request).await.expect("begins").id;
            let upload = UploadRef { bucket: site.bed.bucket.clone(), key: key(what), id };
            let part = site.bed.store.upload_part(&ROOT, &upload, 1, None, incoming(b"a part")).await.expect("a part");
            let (open, completing) = (UploadState::Open, UploadState::Completing);
            site.catalog().set_upload_state(&Scope::Service, id, &open, completing).await.expect("left so");
            match what {
                "part" => {
                    site.bed.store.upload_part(&ROOT, &upload, 2, None, incoming(b"more")).await.expect("a part");
                }
                "abort" => site.bed.store.abort_upload(&ROOT, &upload).await.expect("aborts"),
                _ => {
                    let parts = vec![ListedPart { number: 1, etag: part.etag, checksum: None }];
                    let conditions = Conditions::default();
                    let request = CompleteRequest {
                        upload,
                        parts,
                        conditions,
                        size: None,
                        checksum: None,
                        kind: None,
                        customer_key: None,
                    };
                    site.bed.store.complete_upload(&ROOT, request).await.expect("completes");
                    assert_eq!(site.bed.get(what).await.expect("gets").1, b"a part");
                }
            }
        }
    }
}

/// A part that is sent again and cut leaves the part that was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h11_a_part_that_is_resent_and_cut_leaves_the_acknowledged_one() {
    for (kind, layout) in ALL {
        let site = Site::new(kind, layout).await;
        let request = CreateUpload {
            conditions: Default::default(),
            length: None,
            given: Default::default(),
            bucket: site.bed.bucket.clone(),
            key: key("k"),
            content: Content::default(),
            checksum: None,
        };
        let id = site.bed.store.create_upload(&ROOT, request).await.expect("begins").id;
        let upload = UploadRef { bucket: site.bed.bucket.clone(), key: key("k"), id };
        let body = pattern(700_000, 1);
        let part = site.bed.store.upload_part(&ROOT, &upload, 1, None, incoming(&body)).await.expect("a part");
        let mut cut = incoming(&pattern(600_000, 2));
        cut.length = Some(700_000);
        assert!(matches!(site.bed.store.upload_part(&ROOT, &upload, 1, None, cut).await, Err(Error::Body(_))));
        let parts = vec![ListedPart { number: 1, etag: part.etag, checksum: None }];
        let conditions = Conditions::default();
        let request =
            CompleteRequest { upload, parts, conditions, size: None, checksum: None, kind: None, customer_key: None };
        site.bed.store.complete_upload(&ROOT, request).await.expect("completes");
        assert_eq!(site.bed.get("k").await.expect("gets").1, body);
    }
}
