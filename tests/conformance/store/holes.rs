//! Races and failures in the middle of the protocols: each test makes one happen at the call where it would hurt.
//!
//! The number that a name begins with is that of the hole in the protocols which it keeps closed. A second store over the
//! same catalog and provider stands for another process: it shares no locks with the first one.

use std::path::PathBuf;
use std::sync::Arc;

use longshore::catalog::sqlite::{self, SqliteCatalog};
use longshore::catalog::{Catalog as _, Change, Commit, Scope};
use longshore::model::caller::Caller;
use longshore::model::condition::{Conditions, TagMatch};
use longshore::model::id::BucketId;
use longshore::model::object::{Content, Object};
use longshore::model::place::{Layout, Placed};
use longshore::provider::{self, Body, Provider};
use longshore::store::request::{DeleteRequest, GetRequest, Portion, PutRequest, ScanOptions};
use longshore::store::{Error, Store};

use super::hooked::{Hooked, Hooks};
use super::{Bed, Kind, ROOT, incoming, key, md5_hex, pattern};

/// In memory and on files, in each layout.
pub(super) const ALL: [(Kind, Layout); 4] = [
    (Kind::Fs, Layout::Natural),
    (Kind::Fs, Layout::Managed),
    (Kind::Memory, Layout::Natural),
    (Kind::Memory, Layout::Managed),
];

/// A bed over a provider with hooks.
pub(super) struct Site {
    pub(super) bed: Bed,
    pub(super) hooks: Hooks,
    provider: Arc<dyn Provider>,
}

impl Site {
    pub(super) async fn new(kind: Kind, layout: Layout) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let inner = super::provider(kind, dir.path());
        Self::over(inner, kind, layout, dir).await
    }

    pub(super) async fn over(inner: Arc<dyn Provider>, kind: Kind, layout: Layout, dir: tempfile::TempDir) -> Self {
        let hooks = Hooks::default();
        let provider: Arc<dyn Provider> = Arc::new(Hooked::new(inner, hooks.clone()));
        let bed = Bed::over(provider.clone(), kind, layout, dir).await;
        Self { bed, hooks, provider }
    }

    /// Another process over the same catalog and storage.
    pub(super) fn other(&self) -> Store {
        super::open_over(self.provider.clone(), self.bed.layout, self.bed.dir.path())
    }

    /// The catalog by itself.
    pub(super) fn catalog(&self) -> SqliteCatalog {
        let options = sqlite::OpenOptions { durability: sqlite::Durability::Os, ..sqlite::OpenOptions::default() };
        SqliteCatalog::open(&self.bed.dir.path().join("catalog.db"), options).expect("opens")
    }

    pub(super) async fn row(&self, name: &str) -> Option<Object> {
        self.catalog().object(&Scope::Service, self.bucket_id().await, &key(name)).await.expect("the catalog answers")
    }

    pub(super) async fn bucket_id(&self) -> BucketId {
        let bucket = self.catalog().bucket(&Scope::Service, &self.bed.bucket).await.expect("the catalog answers");
        bucket.expect("there").id
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.bed.files.as_deref().expect("a directory").join(name)
    }

    pub(super) fn managed_file(&self, object: &Object) -> PathBuf {
        self.file(".longshore/objects").join(object.version.shard()).join(object.version.to_string())
    }

    /// What the provider says of the path of a key.
    pub(super) async fn provider_stat(&self, name: &str) -> provider::Result<provider::Stat> {
        self.provider.stat(&self.bed.bucket, &longshore::model::place::Place::Natural(key(name))).await
    }

    pub(super) fn put_request(&self, name: &str, body: &[u8]) -> PutRequest {
        let (bucket, key) = (self.bed.bucket.clone(), key(name));
        let (content, conditions) = (Content::default(), Conditions::default());
        PutRequest { given: Default::default(), bucket, key, content, conditions, body: incoming(body) }
    }

    pub(super) async fn scan(&self) {
        self.bed.store.scan(&ROOT, &self.bed.bucket, ScanOptions::default()).await.expect("scans");
    }
}

pub(super) fn only_if(etag: &str) -> Conditions {
    Conditions { if_match: Some(TagMatch::Of(vec![etag.to_owned()])), ..Conditions::default() }
}

pub(super) fn only_new() -> Conditions {
    Conditions { if_none_match: Some(TagMatch::Any), ..Conditions::default() }
}

async fn storage_is_slow() {}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h1_of_writers_in_two_processes_one_wins_and_the_others_leave_nothing() {
    for (kind, layout) in ALL {
        let site = Site::new(kind, layout).await;
        let stores = [site.bed.store.clone(), site.other()];
        let mut etag: Option<String> = None;
        for round in 0..30_u8 {
            let conditions = || etag.as_deref().map_or_else(only_new, only_if);
            let tries = (0..4_u8).map(|n| {
                let body = pattern(1000 + usize::from(n), round);
                let request = PutRequest { conditions: conditions(), ..site.put_request("k", &body) };
                let store = stores[usize::from(n) % 2].clone();
                tokio::spawn(async move { store.put(&ROOT, request).await.map(|object| (object.etag, body)) })
            });
            let ends = futures_util::future::join_all(tries).await;
            let won: Vec<_> = ends.into_iter().filter_map(|end| end.expect("no panic").ok()).collect();
            assert_eq!(won.len(), 1, "round {round}: so many wrote over what only one could have seen");
            assert_eq!(site.bed.get("k").await.expect("gets").1, won[0].1, "round {round}: a loser is read");
            etag = Some(won[0].0.clone());
        }
        site.bed.store.release().await.expect("a clean stop");
        site.bed.assert_managed(usize::from(layout == Layout::Managed));
    }
}

/// A process that was paused between its commit and its lay-out goes on after another one overwrote the key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h1_a_late_lay_out_does_not_destroy_what_is_newer() {
    for kind in [Kind::Fs, Kind::Memory] {
        let site = Site::new(kind, Layout::Natural).await;
        site.bed.put("k", b"first").await.expect("puts");
        let (other, request, hooks) = (site.other(), site.put_request("k", b"third"), site.hooks.clone());
        site.hooks.before("lay_out", 0, move || async move {
            // The displaced bytes are not freed yet, so both files are there to be exchanged.
            hooks.fail("delete_managed", 1, || provider::Error::Unavailable(std::io::Error::other("slow")));
            other.put(&ROOT, request).await.expect("the other process overwrites");
        });
        site.bed.put("k", b"second").await.expect("was decided first");
        // What the other one displaced is freed behind its answer.
        while !site.hooks.are_done() {
            tokio::task::yield_now().await;
        }
        assert_eq!(site.bed.get("k").await.expect("gets").1, b"third");
        if kind == Kind::Fs {
            assert_eq!(std::fs::read(site.file("k")).expect("reads"), b"third");
            assert!(!site.file(".longshore/lost").exists(), "a version of ours was taken for an outside edit");
        }
    }
}

/// The bytes at the key change only after the catalog has decided.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h1_a_lay_out_follows_its_commit() {
    let site = Site::new(Kind::Fs, Layout::Natural).await;
    site.bed.put("k", b"first").await.expect("puts");
    let (catalog, bucket) = (site.catalog(), site.bucket_id().await);
    site.hooks.before("lay_out", 0, move || async move {
        let row = catalog.object(&Scope::Service, bucket, &key("k")).await.expect("answers").expect("a row");
        assert_eq!(row.etag, md5_hex(b"second"), "the key is about to change and nothing was decided");
    });
    site.bed.put("k", b"second").await.expect("puts");
    assert!(site.hooks.are_done());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h8_what_cannot_be_looked_at_is_not_absent() {
    let errors: [fn() -> provider::Error; 3] = [
        || provider::Error::Denied,
        || provider::Error::Unavailable(std::io::Error::other("slow")),
        || provider::Error::Failed(std::io::Error::other("broken")),
    ];
    for (kind, layout) in ALL {
        let site = Site::new(kind, layout).await;
        site.bed.put("k", b"bytes").await.expect("puts");
        for error in errors {
            for method in ["read", "look"] {
                site.hooks.fail(method, 100, error);
                if method == "look" {
                    // The file is not there, and whether that counts cannot be told.
                    site.hooks.fail("read", 100, || provider::Error::NotFound);
                }
                assert!(matches!(site.bed.get("k").await, Err(Error::Unavailable(_) | Error::Internal(_))));
                site.hooks.clear();
                assert_eq!(site.bed.get("k").await.expect("still there").1, b"bytes", "{method}");
            }
        }
    }
}

/// A mount that was away for one look, and is back for the next, deletes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h8_a_mount_that_comes_back_is_not_taken_for_the_one_that_was_looked_at() {
    let site = Site::new(Kind::Fs, Layout::Natural).await;
    let written = site.bed.put("k", b"bytes").await.expect("puts");
    let bucket = site.bed.files.clone().expect("a directory");
    let aside = bucket.with_file_name("aside");
    let swap = |there: bool| {
        let (bucket, aside) = (bucket.clone(), aside.clone());
        move || async move {
            if there {
                std::fs::remove_dir(&bucket).expect("the mount point goes");
                std::fs::rename(&aside, &bucket).expect("comes back");
            } else {
                std::fs::rename(&bucket, &aside).expect("goes");
                std::fs::create_dir(&bucket).expect("its mount point");
            }
        }
    };
    site.hooks.before("read", 0, swap(false));
    site.hooks.after("look", 0, swap(true));
    assert!(matches!(site.bed.get("k").await, Err(Error::Unavailable(_))));
    assert!(site.hooks.are_done());
    assert_eq!(site.bed.get("k").await.expect("still there").0.version, written.version);
    // A delete that found the file missing must not leave it behind as somebody else's.
    site.hooks.before("take_aside", 0, swap(false));
    site.hooks.after("take_aside", 0, swap(true));
    assert!(matches!(site.bed.delete("k").await, Err(Error::Unavailable(_))));
    assert!(site.hooks.are_done());
    assert_eq!(site.bed.get("k").await.expect("still there").0.version, written.version);
    site.bed.delete("k").await.expect("deletes");
    assert!(matches!(site.bed.get("k").await, Err(Error::NoSuchKey)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h15_a_file_that_goes_while_it_is_adopted_leaves_no_row() {
    let site = Site::new(Kind::Fs, Layout::Natural).await;
    std::fs::write(site.file("k"), b"theirs").expect("writes");
    let file = site.file("k");
    // The second look is the one that adopts.
    site.hooks.after("stat", 1, move || async move { std::fs::remove_file(file).expect("removes") });
    assert!(matches!(site.bed.get("k").await, Err(Error::NoSuchKey)));
    assert!(site.hooks.are_done());
    assert_eq!(site.row("k").await, None, "a ghost is left in the index");
    // A conditional write decides by what it adopts, and reads none of it.
    std::fs::write(site.file("k"), b"theirs").expect("writes");
    let file = site.file("k");
    site.hooks.after("stat", 0, move || async move { std::fs::remove_file(file).expect("removes") });
    site.bed.put_if("k", b"ours", only_new()).await.expect("nothing was there");
    assert!(site.hooks.are_done());
    site.bed.delete("k").await.expect("deletes");
    assert_eq!(site.bed.keys("", None, 10).await.0, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h15_an_adoption_does_not_go_over_a_write() {
    let site = Site::new(Kind::Fs, Layout::Natural).await;
    std::fs::write(site.file("k"), b"theirs").expect("writes");
    let (other, request) = (site.other(), site.put_request("k", b"ours"));
    site.hooks.after("stat", 1, move || async move {
        other.put(&ROOT, request).await.expect("puts");
    });
    let (object, body) = site.bed.get("k").await.expect("gets");
    assert_eq!((object.etag, body), (md5_hex(b"ours"), b"ours".to_vec()));
    assert_eq!(site.row("k").await.expect("a row").etag, md5_hex(b"ours"));
}

/// Power loss takes back the removal of a file whose deletion was answered, and the step that owes it is still there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h16_what_a_delete_still_owes_is_not_adopted() {
    for freed_by in ["read", "scan", "start"] {
        let mut site = Site::new(Kind::Fs, Layout::Natural).await;
        let object = site.bed.put("d/k", b"bytes").await.expect("puts");
        site.hooks.fail("delete_managed", 100, || provider::Error::Unavailable(std::io::Error::other("slow")));
        site.bed.delete("d/k").await.expect("is decided");
        let aside = site.managed_file(&object);
        std::fs::create_dir_all(site.file("d")).expect("makes");
        std::fs::rename(aside, site.file("d/k")).expect("as power loss would leave it");
        // What is freed behind the answer has given up by now, or does so before the storage works again.
        let bucket = site.bucket_id().await;
        while site.hooks.calls().iter().filter(|call| **call == "delete_managed").count() == 0 {
            tokio::task::yield_now().await;
        }
        site.hooks.clear();
        assert!(!site.catalog().tasks_of(&Scope::Service, bucket, &key("d/k")).await.expect("answers").is_empty());
        match freed_by {
            "read" => assert!(matches!(site.bed.get("d/k").await, Err(Error::NoSuchKey)), "it came back"),
            "scan" => site.scan().await,
            _ => site.bed.reopen(true).await,
        }
        assert!(matches!(site.bed.get("d/k").await, Err(Error::NoSuchKey)), "{freed_by}: it came back");
        assert!(!site.file("d/k").exists(), "{freed_by}: the owed step was not taken");
        assert_eq!(site.bed.keys("", None, 10).await.0, Vec::<String>::new());
    }
}

/// A delete takes the file aside and compares it there, so an edit that nobody saw is not destroyed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h16_a_delete_destroys_only_what_it_decided_about() {
    let site = Site::new(Kind::Fs, Layout::Natural).await;
    let put = site.bed.put("k", b"ours").await.expect("puts");
    let file = site.file("k");
    site.hooks.before("take_aside", 0, move || async move { std::fs::write(file, b"theirs").expect("edits") });
    let request = DeleteRequest {
        version: None,
        bypass_governance: false,
        bucket: site.bed.bucket.clone(),
        key: key("k"),
        conditions: only_if(&put.etag),
    };
    assert!(matches!(site.bed.store.delete(&ROOT, request).await, Err(Error::PreconditionFailed)));
    assert_eq!(std::fs::read(site.file("k")).expect("still there"), b"theirs");
    let (object, body) = site.bed.get("k").await.expect("gets");
    assert_eq!(body, b"theirs");
    assert_ne!(object.etag, md5_hex(b"ours"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h18_a_reader_whose_row_moved_looks_again() {
    for (kind, layout) in ALL {
        for what in ["overwritten", "deleted"] {
            let site = Site::new(kind, layout).await;
            site.bed.put("k", b"first").await.expect("puts");
            let (other, request, bucket) = (site.other(), site.put_request("k", b"second"), site.bed.bucket.clone());
            site.hooks.before("read", 0, move || async move {
                if what == "overwritten" {
                    other.put(&ROOT, request).await.expect("puts");
                } else {
                    let conditions = Conditions::default();
                    other
                        .delete(
                            &ROOT,
                            DeleteRequest {
                                version: None,
                                bypass_governance: false,
                                bucket,
                                key: key("k"),
                                conditions,
                            },
                        )
                        .await
                        .expect("deletes");
                }
                storage_is_slow().await;
            });
            let found = site.bed.get("k").await;
            match (what, found) {
                ("overwritten", Ok((object, body))) => {
                    // The first read may still have had the old bytes, which were whole; never a mix.
                    assert_eq!(object.etag, md5_hex(&body));
                }
                ("deleted", Err(Error::NoSuchKey)) => {}
                // Freed behind the answer: the bytes may have been there a moment longer.
                ("deleted", Ok((_, body))) => assert_eq!(body, b"first"),
                (_, other) => panic!("{what}: {other:?}"),
            }
            assert!(site.hooks.are_done());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h19_an_edit_during_a_read_cuts_it() {
    for layout in [Layout::Natural, Layout::Managed] {
        let site = Site::new(Kind::Fs, layout).await;
        let put = site.bed.put("k", &pattern(3 * 1024 * 1024, 1)).await.expect("puts");
        let file = if layout == Layout::Natural { site.file("k") } else { site.managed_file(&put) };
        let found = site.bed.store.get(&ROOT, site.bed.request("k", Portion::Whole)).await.expect("begins");
        let Body::Blocks(mut blocks) = found.body else { panic!("three megabytes in one block") };
        futures_util::StreamExt::next(&mut blocks).await.expect("a block").expect("read");
        let edited = std::fs::File::options().write(true).open(&file).expect("opens");
        std::os::unix::fs::FileExt::write_all_at(&edited, b"an edit", 100).expect("edits");
        let rest = super::bytes(Body::Blocks(blocks)).await;
        assert!(rest.is_err(), "{layout:?}: two bodies in one answer");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h20_a_file_without_a_row_counts() {
    for layout in [Layout::Natural, Layout::Managed] {
        let site = Site::new(Kind::Fs, layout).await;
        std::fs::write(site.file("k"), b"theirs").expect("writes");
        assert!(matches!(site.bed.put_if("k", b"ours", only_new()).await, Err(Error::PreconditionFailed)));
        assert_eq!(std::fs::read(site.file("k")).expect("reads"), b"theirs");
        std::fs::write(site.file("other"), b"theirs").expect("writes");
        let gone = site.bed.store.delete_bucket(&ROOT, &site.bed.bucket).await;
        assert!(matches!(gone, Err(Error::BucketNotEmpty)));
        assert_eq!(site.bed.get("other").await.expect("gets").1, b"theirs");
    }
}

/// Who may not ask learns nothing, and makes the storage do nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h23_nothing_is_asked_of_the_storage_before_the_decision() {
    let site = Site::new(Kind::Fs, Layout::Natural).await;
    std::fs::write(site.file("theirs"), b"unseen").expect("writes");
    std::fs::create_dir(site.file("../found")).expect("makes");
    // A process that has not looked at any bucket yet.
    let store = site.other();
    site.hooks.calls();
    let found = longshore::model::name::BucketName::new("found").expect("legal");
    for bucket in [site.bed.bucket.clone(), found] {
        let get = GetRequest { bucket: bucket.clone(), ..site.bed.request("theirs", Portion::Whole) };
        let put = PutRequest { bucket: bucket.clone(), ..site.put_request("theirs", b"ours") };
        let delete = DeleteRequest {
            version: None,
            bypass_governance: false,
            bucket: bucket.clone(),
            key: key("theirs"),
            conditions: Conditions::default(),
        };
        assert!(store.get(&Caller::ANONYMOUS, get).await.is_err());
        assert!(store.put(&Caller::ANONYMOUS, put).await.is_err());
        assert!(store.delete(&Caller::ANONYMOUS, delete).await.is_err());
        assert!(store.list(&Caller::ANONYMOUS, &bucket, longshore::model::page::PageQuery::default()).await.is_err());
        assert!(store.delete_bucket(&Caller::ANONYMOUS, &bucket).await.is_err());
    }
    assert_eq!(site.hooks.calls(), Vec::<&str>::new());
    assert_eq!(site.row("theirs").await, None, "somebody who may not read made it an object");
}

/// A clock that went back, or another process's that is ahead: what is adopted still comes after what it displaces.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h10_what_is_found_comes_after_what_it_displaces() {
    let site = Site::new(Kind::Fs, Layout::Natural).await;
    let put = site.bed.put("k", b"ours").await.expect("puts");
    let ahead = Object { counter: put.counter + (1 << 60), ..put.clone() };
    let (bucket, becomes) = (site.bucket_id().await, Some(ahead.clone()));
    let change = Change::of_row(bucket, key("k"), Some(put.seen()), becomes);
    let commit = Commit { changes: vec![change], ..Commit::default() };
    site.catalog().commit(&Scope::Service, commit).await.expect("commits");
    std::fs::write(site.file("k"), b"theirs").expect("edits");
    let (object, body) = site.bed.get("k").await.expect("gets");
    assert_eq!((body.as_slice(), object.placed), (&b"theirs"[..], Placed::Natural));
    assert!(object.counter > ahead.counter, "the order of versions went back");
}
