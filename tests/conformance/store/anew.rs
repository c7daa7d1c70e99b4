//! Small versions that are written anew after a crash, while a step about one of their two names fails or is still owed.
//!
//! A crash is a second store over the same catalog and storage: nothing of the first one is stopped or settled.

use longshore::model::encryption::EncryptionRequest;
use longshore::model::place::Layout;
use longshore::model::versioning::Versioning;
use longshore::provider::Error;
use longshore::store::Attach;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::holes::Site;
use super::versions::{read, set};
use super::{Kind, pattern, sealed, walk};

fn slow() -> Error {
    Error::Unavailable(std::io::Error::other("slow"))
}

/// Ends the process and starts another one.
async fn crash(site: &mut Site) {
    site.bed.store = site.other();
    site.bed.store.attach(Attach::Serve).await.expect("attaches");
}

/// The files that contain these bytes, beneath a directory of the bucket.
fn files_with(site: &Site, dir: &str, body: &[u8]) -> usize {
    walk(&site.file(dir)).iter().filter(|file| std::fs::read(file).expect("reads") == body).count()
}

/// A crash came between the exchange and the judgement of what came out of the key, and the judgement fails at the next
/// start as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_out_of_a_key_outlives_a_lay_out_that_fails() {
    let failures: [fn() -> Error; 4] = [|| Error::NoSpace, slow, || Error::Denied, || Error::Clash];
    for failure in failures {
        for edited in [false, true] {
            let mut site = Site::new(Kind::Synced, Layout::Natural).await;
            set(&site.bed, Versioning::Enabled).await;
            let (large, edit) = (pattern(100_000, 1), b"somebody's work".to_vec());
            let old = site.bed.put("d/k", &large).await.expect("puts");
            if edited {
                std::fs::write(site.file("d/k"), &edit).expect("edits");
            }
            site.hooks.fail("lay_out", 1, slow);
            let new = site.bed.put("d/k", b"small").await.expect("is decided");
            assert!(site.hooks.are_done());
            let (path, managed) = (site.file("d/k"), site.managed_file(&new));
            renameat_with(CWD, &path, CWD, &managed, RenameFlags::EXCHANGE).expect("as the step began");

            site.hooks.fail("lay_out", 1, failure);
            crash(&mut site).await;
            assert!(site.hooks.are_done(), "the lay-out was not tried");
            let displaced = if edited { &edit } else { &large };
            assert_eq!(files_with(&site, ".longshore", displaced), 1, "it was freed: {:?}", failure());
            assert_eq!(read(&site.bed, "d/k", None).await.expect("reads"), b"small");

            crash(&mut site).await;
            assert_eq!(std::fs::read(site.file("d/k")).expect("laid out"), b"small");
            if edited {
                assert_eq!(files_with(&site, ".longshore/lost", &edit), 1, "{:?}", failure());
            } else {
                assert_eq!(read(&site.bed, "d/k", Some(old.shown())).await.expect("reads"), large);
            }
            site.bed.store.release().await.expect("a clean stop");
            assert_eq!(site.bed.kept(), 0, "a step stays owed");
        }
    }
}

/// A version went behind one that has no file at the key, and nobody has brought it from there when it is written anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_is_still_to_be_set_aside_is_written_anew_once() {
    let mut site = Site::new(Kind::Synced, Layout::Natural).await;
    set(&site.bed, Versioning::Enabled).await;
    let first = site.bed.put("k", b"first").await.expect("puts");
    assert!(site.file("k").exists());
    site.hooks.fail("take_aside", 1, slow);
    sealed::put(&site.bed, "k", b"second", EncryptionRequest::Server).await;
    // It is set aside behind the answer.
    while !site.hooks.are_done() {
        tokio::task::yield_now().await;
    }
    assert!(site.file("k").exists(), "the test rests on a step that is still owed");
    crash(&mut site).await;
    for settled in [false, true] {
        if settled {
            site.bed.store.release().await.expect("a clean stop");
            assert_eq!(site.bed.kept(), 0, "a step stays owed");
            crash(&mut site).await;
        }
        assert_eq!(read(&site.bed, "k", Some(first.shown())).await.expect("reads"), b"first", "settled: {settled}");
        assert_eq!(read(&site.bed, "k", None).await.expect("reads"), b"second", "settled: {settled}");
    }
    assert!(!site.file("k").exists());
    assert_eq!(walk(&site.file(".longshore/lost")), Vec::<std::path::PathBuf>::new());
    site.bed.assert_managed(2);
}
