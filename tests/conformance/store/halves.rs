//! Removals that end half-way, where there are no renames: the version may then be at its key and aside. And edits that a
//! listing hides.
//!
//! A second copy must not outlive an edit of the first: whoever found it would undo the edit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use longshore::catalog::{Catalog as _, Scope};
use longshore::model::condition::Conditions;
use longshore::model::object::Object;
use longshore::model::place::{Displaced, Layout};
use longshore::model::time::{Clock, Timestamp};
use longshore::model::versioning::VersionRef;
use longshore::provider::cloud::CloudProvider;
use longshore::provider::cloud::service::Service as _;
use longshore::provider::{self, LayOut, Provider};
use longshore::store::request::{CopyContent, CopyRequest, DeleteRequest, GcOptions, ScanOptions};
use longshore::store::{Attach, Error};

use super::holes::Site;
use super::{Kind, ROOT, key, walk};
use crate::conformance::provider::bed::Outside;
use crate::conformance::provider::objects::Objects;

/// No step here takes so long, but one that is to wait.
const SOON: Duration = Duration::from_secs(20);

/// The storage has said no: nothing was done.
fn refused() -> provider::Error {
    provider::Error::Failed(std::io::Error::other("refused"))
}

/// Nobody knows whether it was done.
fn lost() -> provider::Error {
    provider::Error::Unavailable(std::io::Error::other("no answer"))
}

/// A store over a cloud, in natural layout.
struct Cloud {
    site: Site,
    objects: Objects,
    provider: Arc<dyn Provider>,
}

impl Cloud {
    async fn new(objects: Objects) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let provider: Arc<dyn Provider> = Arc::new(CloudProvider::new(Arc::new(objects.clone()), false));
        let site = Site::over(Arc::clone(&provider), Kind::Memory, Layout::Natural, dir).await;
        Self { site, objects, provider }
    }

    /// Another process goes on where this one has stopped cleanly, so that nothing is owed.
    async fn restart(&mut self) {
        self.site.bed.store.release().await.expect("a clean stop");
        self.site.bed.store = self.site.other();
        self.site.bed.store.attach(Attach::Serve).await.expect("attaches");
    }

    fn edit(&self, name: &str, bytes: &[u8]) {
        Outside::write(&self.objects, &self.site.bed.bucket, name, bytes);
    }

    fn there(&self, name: &str) -> Option<Vec<u8>> {
        Outside::read(&self.objects, &self.site.bed.bucket, name)
    }

    async fn managed(&self) -> usize {
        self.provider.list_managed(&self.site.bed.bucket, None, 100).await.expect("listed").len()
    }

    async fn until_managed(&self, count: usize) {
        let until = Instant::now() + SOON;
        while self.managed().await != count {
            assert!(Instant::now() < until, "{} managed files instead of {count}", self.managed().await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn assert_nothing_lost(&self) {
        let name = self.site.bed.bucket.as_str();
        let page = self.objects.list(name, ".longshore/lost/", None, 10).await.expect("listed");
        assert!(page.entries.is_empty(), "an edit was undone: {page:?}");
    }

    /// A delete whose removal may have been made or not, and was not; then the process dies.
    async fn delete_half_way(&mut self, name: &str) {
        self.objects.refuse_removal(name, lost);
        let deleted = self.site.bed.delete(name).await;
        assert!(matches!(deleted, Err(Error::Unavailable(_))), "{deleted:?}");
        assert_eq!(self.managed().await, 1, "what may be removed yet is aside, perhaps for the last time");
        assert_eq!((self.gc().await, self.managed().await), (0, 1), "nor is it freed while that is so");
        self.restart().await;
    }

    async fn gc(&self) -> u64 {
        let options = GcOptions { grace: Duration::ZERO, ..GcOptions::default() };
        self.site.bed.store.gc(&ROOT, &self.site.bed.bucket, options).await.expect("cleans up").put_back
    }

    async fn scan(&self) -> (u64, bool) {
        self.site.hooks.calls();
        let report = self.site.bed.store.scan(&ROOT, &self.site.bed.bucket, ScanOptions::default()).await;
        (report.expect("scans").changed, self.site.hooks.calls().contains(&"stat"))
    }

    async fn body(&self, name: &str) -> Vec<u8> {
        self.site.bed.get(name).await.expect("gets").1
    }
}

fn removal(cloud: &Cloud, version: Option<VersionRef>) -> DeleteRequest {
    let (bucket, conditions) = (cloud.site.bed.bucket.clone(), Conditions::default());
    DeleteRequest { version, bypass_governance: false, bucket, key: key("k"), conditions }
}

fn moving(cloud: &Cloud) -> CopyRequest {
    let bucket = &cloud.site.bed.bucket;
    CopyRequest {
        from_version: None,
        keep_tags: true,
        given: Default::default(),
        from_bucket: bucket.clone(),
        from_key: key("k"),
        source_conditions: Conditions::default(),
        source_key: None,
        bucket: bucket.clone(),
        key: key("to"),
        content: CopyContent::Keep,
        conditions: Conditions::default(),
        algorithm: None,
    }
}

/// The copy stayed aside, and the next edit of the key was undone for its sake.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_that_is_refused_half_way_leaves_one_copy() {
    for what in ["delete", "remove", "move"] {
        let cloud = Cloud::new(Objects::new(false, true, 1700)).await;
        let store = &cloud.site.bed.store;
        cloud.site.bed.put("k", b"ours").await.expect("puts");
        cloud.objects.refuse_removal("k", refused);
        let failed = match what {
            "delete" => store.delete(&ROOT, removal(&cloud, None)).await.is_err(),
            "remove" => store.delete(&ROOT, removal(&cloud, Some(VersionRef::Null))).await.is_err(),
            _ => store.move_object(&ROOT, moving(&cloud)).await.is_err(),
        };
        assert!(failed, "{what}: it was refused");
        cloud.until_managed(0).await;
        assert_eq!(cloud.body("k").await, b"ours", "{what}");
        cloud.edit("k", b"theirs");
        assert_eq!(cloud.body("k").await, b"theirs", "{what}: an edit is hidden");
        cloud.assert_nothing_lost().await;
        cloud.site.bed.delete("k").await.expect("deletes");
        assert_eq!(cloud.there("k"), None, "{what}: it is still there");
    }
}

/// What is left of a process that died between the copy and the removal, of objects of ours and of adopted ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gc_ends_a_removal_that_was_cut_short() {
    for (ours, edited) in [(true, false), (true, true), (false, false), (false, true)] {
        let mut cloud = Cloud::new(Objects::new(false, true, 1700)).await;
        match ours {
            true => drop(cloud.site.bed.put("k", b"before").await.expect("puts")),
            false => cloud.edit("k", b"before"),
        }
        assert_eq!(cloud.body("k").await, b"before");
        cloud.restart().await;
        cloud.delete_half_way("k").await;
        if edited {
            cloud.edit("k", b"theirs");
        }
        assert_eq!((cloud.gc().await, cloud.managed().await), (1, 0), "ours {ours}, edited {edited}");
        let expected = if edited { &b"theirs"[..] } else { b"before" };
        assert_eq!(cloud.there("k").expect("at its key"), expected);
        assert_eq!(cloud.body("k").await, expected);
        assert_eq!(cloud.gc().await, 0, "nothing is left to do");
        cloud.assert_nothing_lost().await;
        cloud.site.bed.delete("k").await.expect("deletes");
        assert_eq!((cloud.there("k"), cloud.scan().await.0), (None, 0));
    }
}

/// Before `gc` comes by: whoever meets the two leaves the edit as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_behind_a_removal_that_was_cut_short_is_not_undone() {
    for by in ["read", "scan"] {
        let mut cloud = Cloud::new(Objects::new(false, true, 1700)).await;
        cloud.site.bed.put("k", b"before").await.expect("puts");
        cloud.restart().await;
        cloud.delete_half_way("k").await;
        cloud.edit("k", b"theirs");
        if by == "scan" {
            assert_eq!(cloud.scan().await.0, 1, "the edit is taken in");
        }
        let until = Instant::now() + SOON;
        while cloud.body("k").await != b"theirs" {
            assert!(Instant::now() < until, "{by}: the edit is hidden");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        cloud.until_managed(0).await;
        assert_eq!(cloud.there("k").expect("untouched"), b"theirs");
        cloud.assert_nothing_lost().await;
    }
}

/// The same in a directory, where the file itself is aside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_came_behind_a_removal_is_not_undone() {
    let mut site = Site::new(Kind::Fs, Layout::Natural).await;
    let put = site.bed.put("k", b"before").await.expect("puts");
    site.bed.reopen(true).await;
    std::fs::create_dir_all(site.managed_file(&put).parent().expect("a shard")).expect("makes");
    std::fs::rename(site.file("k"), site.managed_file(&put)).expect("as a kill would leave it");
    // Where mtimes tick, one may be a little before our own clock.
    tokio::time::sleep(Duration::from_millis(50)).await;
    std::fs::write(site.file("k"), b"theirs").expect("writes");
    site.scan().await;
    assert_eq!(site.bed.get("k").await.expect("gets").1, b"theirs");
    assert_eq!(std::fs::read(site.file("k")).expect("untouched"), b"theirs");
    assert_eq!(walk(&site.file(".longshore/lost")), Vec::<std::path::PathBuf>::new());
    site.bed.assert_managed(0);
}

/// Listings of large objects show their sizes alone: another one of the same size looked like the one that was there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_sees_an_edit_of_the_same_size() {
    let cloud = Cloud::new(Objects::new(true, false, 1700)).await;
    for name in ["adopted", "untouched"] {
        cloud.edit(name, b"first");
    }
    cloud.site.bed.put("ours", b"first").await.expect("puts");
    cloud.scan().await;
    cloud.edit("adopted", b"other");
    cloud.edit("ours", b"other");
    assert_eq!(cloud.scan().await.0, 2, "edits are not seen");
    let query = longshore::model::page::PageQuery { limit: 10, ..Default::default() };
    let page = cloud.site.bed.store.list(&ROOT, &cloud.site.bed.bucket, query).await.expect("lists");
    for name in ["adopted", "ours"] {
        let listed = page.entries.iter().find(|entry| entry.key == key(name)).expect("listed").etag.clone();
        let (object, body) = cloud.site.bed.get(name).await.expect("gets");
        assert_eq!((object.etag, body), (listed, b"other".to_vec()), "{name}: the listing is of what was there");
    }
    assert_eq!(cloud.scan().await, (0, false), "where nothing changed no key is looked at");
}

/// What came to its key after its row was dated is looked at once, or until it is older than the last scan.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_does_not_look_at_what_it_has_seen() {
    let mut cloud = Cloud::new(Objects::new(true, false, 1700)).await;
    cloud.edit("adopted", b"bytes");
    cloud.site.bed.put("ours", b"bytes").await.expect("puts");
    cloud.scan().await;
    let bucket = cloud.site.bucket_id().await;
    let row: Object = cloud.site.row("adopted").await.expect("a row");
    // A removal that was not decided: the copy that came back is younger than the row.
    let (container, provider) = (&cloud.site.bed.bucket, &cloud.provider);
    provider.take_aside(container, &row.key, row.version, &row.stamp).await.expect("taken");
    let (version, stamp, counter) = (row.version, &row.stamp, row.counter);
    let step = LayOut { version, stamp, key: &row.key, over: None, displaced: Displaced::Free, counter };
    provider.lay_out(container, step).await.expect("put back");
    assert_eq!(cloud.scan().await, (0, true), "both are looked at, and are what they were");
    assert_ne!(cloud.site.row("adopted").await.expect("a row").modified, row.modified, "it has the listed date");
    // As if that scan had been a day later.
    let later = Timestamp(Clock::now().0 + 24 * 60 * 60 * 1_000_000_000);
    cloud.site.catalog().set_indexed(&Scope::Service, bucket, Some(later)).await.expect("set");
    cloud.restart().await;
    assert_eq!(cloud.scan().await, (0, false), "what did not change is looked at again");
    for name in ["adopted", "ours"] {
        assert_eq!(cloud.body(name).await, b"bytes");
    }
}
