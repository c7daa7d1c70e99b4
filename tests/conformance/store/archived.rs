//! Objects whose storage tells of them and gives none of their bytes out.

use longshore::model::place::Layout;
use longshore::provider;
use longshore::store::Error;
use longshore::store::request::ScanOptions;

use super::holes::Site;
use super::{Kind, ROOT, md5_hex};

/// A scan that was to hash them ended at the first one, and whoever asked for one was told to come again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_archived_is_indexed_and_not_hashed() {
    let site = Site::new(Kind::Fs, Layout::Natural).await;
    let names = ["a", "b"];
    for name in names {
        std::fs::write(site.file(name), b"bytes").expect("writes");
    }
    // Whichever is read first is the one that is archived.
    site.hooks.fail("read", 1, || provider::Error::Archived);
    let options = ScanOptions { hash: true, ..ScanOptions::default() };
    let report = site.bed.store.scan(&ROOT, &site.bed.bucket, options).await.expect("scans");
    assert!(site.hooks.are_done());
    assert_eq!(report.adopted, 2);
    let mut etags = Vec::new();
    for name in names {
        etags.push(site.row(name).await.expect("a row").etag);
    }
    let hashed = etags.iter().filter(|etag| **etag == md5_hex(b"bytes")).count();
    let unhashed = etags.iter().filter(|etag| etag.ends_with("-1")).count();
    assert_eq!((hashed, unhashed), (1, 1), "{etags:?}");

    site.hooks.fail("read", 1, || provider::Error::Archived);
    let refused = site.bed.get("a").await;
    assert!(matches!(refused, Err(Error::Archived)), "{refused:?}");
    assert_eq!(site.bed.get("a").await.expect("it was restored").1, b"bytes");
}
