//! Holds a server against the ledger: every key, every upload, the catalog, and what lies about on the disk.
//!
//! **Invariant:** an audit looks at every key that there ever was, by GET, HEAD and LIST, and settles the ledger with
//! what it read, so that nothing may change any more that nobody changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use rusqlite::{Connection, OpenFlags};

use super::ledger::{Ledger, Name, Value, md5_hex};
use super::load::{Load, MANAGED, NATURAL, Upload, UploadIs, complete};
use crate::harness::{Client, Server};

/// Requests under way at a time.
const AT_ONCE: usize = 8;
/// How long a file that was taken away may take to be put back to its key.
const PUT_BACK_MAX: Duration = Duration::from_secs(20);

/// Holds everything against the ledger, and returns how many keys were looked at.
pub(super) async fn audit(server: &Server, ledger: &Ledger) -> usize {
    let root = server.root();
    let mut listed = BTreeMap::new();
    for bucket in [NATURAL, MANAGED] {
        let keys = root.keys_of(bucket, "").await;
        assert!(keys.is_sorted_by(|a, b| a < b), "{bucket} is listed out of order or twice: {keys:?}");
        listed.extend(list_etags(&root, bucket).await);
        assert_eq!(keys.len(), listed.keys().filter(|name: &&Name| name.0 == bucket).count(), "{bucket}");
    }
    let names: BTreeSet<Name> = ledger.names().into_iter().chain(listed.keys().cloned()).collect();
    let checks = names.iter().map(|name| check(server, &root, ledger, name, listed.get(name)));
    futures_util::stream::iter(checks).buffer_unordered(AT_ONCE).collect::<()>().await;
    names.len()
}

/// ETags and sizes of a listing.
async fn list_etags(root: &Client, bucket: &str) -> Vec<(Name, (String, usize))> {
    let page = root.list(bucket, "").await.expect(200);
    assert_eq!(page.elements("IsTruncated"), ["false"], "one page is enough for the keys of these tests");
    let (keys, etags, sizes) = (page.elements("Key"), page.elements("ETag"), page.elements("Size"));
    let unescape = |text: &str| text.replace("&quot;", "\"").replace("&amp;", "&");
    let facts = etags
        .iter()
        .zip(sizes)
        .map(|(etag, size)| (unescape(etag).trim_matches('"').to_owned(), size.parse().expect("a number")));
    keys.iter().zip(facts).map(|(key, facts)| ((bucket.to_owned(), unescape(key)), facts)).collect()
}

async fn check(server: &Server, root: &Client, ledger: &Ledger, name: &Name, listed: Option<&(String, usize)>) {
    let (bucket, key) = name;
    let permitted = ledger.permitted(name);
    let (got, head) = (root.get(bucket, key).await, root.head(bucket, key).await);
    assert_eq!(got.status, head.status, "GET and HEAD of {name:?} disagree");
    let found = match got.status {
        404 => None,
        200 => {
            let etag = got.etag();
            let value = permitted.iter().flatten().find(|value| value.etag == etag && value.bytes() == got.body[..]);
            let text = || format!("{} bytes with ETag {etag}, permitted: {permitted:?}", got.body.len());
            Some(value.unwrap_or_else(|| panic!("{name:?} has wrong bytes: {}", text())).clone())
        }
        status => panic!("GET {name:?}: {status} {}", got.text()),
    };
    assert!(permitted.contains(&found), "{name:?} is {found:?}, permitted: {permitted:?}");
    let facts = found.as_ref().map(|value| (value.etag.clone(), value.len()));
    assert_eq!(listed, facts.as_ref(), "{name:?} is listed with other facts than it has, or not at all");
    if let Some(value) = &found {
        let told = (head.etag().to_owned(), head.header("content-length").expect("a length").to_owned());
        assert_eq!(told, (value.etag.clone(), value.len().to_string()), "HEAD {name:?}");
    }
    check_file(server, name, found.as_ref()).await;
    ledger.settle(name, found);
}

/// In natural layout an object is the file at its key, unless another key lies below it. A delete that was killed before its
/// commit has taken the file away, and the read that found it so puts it back beside its answer: what is missing is waited
/// for, and what lies there is right at once.
async fn check_file(server: &Server, (bucket, key): &Name, value: Option<&Value>) {
    if bucket != NATURAL || key.ends_with("/b") || key.ends_with("/b/c") {
        return;
    }
    let path = server.data().join(bucket).join(key);
    let deadline = Instant::now() + PUT_BACK_MAX;
    while value.is_some() && !path.exists() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let file = std::fs::read(path).ok();
    let told = file.as_ref().map(|bytes| (bytes.len(), md5_hex(bytes)));
    assert!(file == value.map(Value::bytes), "the file of {key} is {told:?}, its object {value:?}");
}

/// Requires that every upload is where its client knows it to be, and brings it to an end.
pub(super) async fn end_uploads(server: &Server, load: &Arc<Load>) {
    let root = server.root();
    let uploads = std::mem::take(&mut *load.uploads());
    for (id, upload) in uploads {
        let path = format!("/{}/{}", upload.name.0, upload.name.1);
        let call = |method| root.call(method, &path).query("uploadId", &id);
        match upload.state {
            UploadIs::Open => {
                check_parts(&call("GET").send().await.expect(200).elements("ETag"), &upload);
                call("DELETE").send().await.expect(204);
            }
            // It happened or did not; a repeat is answered as the first would have been.
            UploadIs::Completing => {
                let value = Value::of_parts(&upload.parts);
                let ticket = load.ledger.begin(&upload.name, Some(value.clone()));
                let answer = complete(&root, &id, &upload).send().await.expect(200);
                assert_eq!(answer.elements("ETag"), [format!("\"{}\"", value.etag)], "a repeated Complete of {path}");
                load.ledger.acknowledge(&upload.name, ticket);
            }
            UploadIs::Aborting => {
                let status = call("DELETE").send().await.status;
                assert!(status == 204 || status == 404, "a repeated abort of {path}: {status}");
            }
        }
    }
    // An upload whose beginning was not answered is known to nobody.
    for bucket in [NATURAL, MANAGED] {
        let open = root.call("GET", &format!("/{bucket}")).query("uploads", "").send().await.expect(200);
        for (id, key) in open.elements("UploadId").iter().zip(open.elements("Key")) {
            let key = key.replace("&amp;", "&");
            let call = root.call("DELETE", &format!("/{bucket}/{key}")).query("uploadId", id);
            call.send().await.expect(204);
        }
    }
}

fn check_parts(etags: &[String], upload: &Upload) {
    let known = |(body, len): &(u64, usize)| Value::whole(*body, *len).etag;
    let listed: Vec<String> = etags.iter().map(|etag| etag.replace("&quot;", "").replace('"', "")).collect();
    // The last part may have been stored without an answer.
    let acknowledged: Vec<String> = upload.parts.iter().map(known).collect();
    assert!(listed.starts_with(&acknowledged), "parts of {:?}: {listed:?}, not {acknowledged:?}", upload.name);
}

/// Requires that the catalog is sound and that no staged file is left.
pub(super) fn check_storage(server: &Server) {
    let catalog = server.state().join("catalog.db");
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let catalog = Connection::open_with_flags(catalog, flags).expect("the catalog");
    let verdict: String = catalog.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a verdict");
    assert_eq!(verdict, "ok", "the catalog is damaged");
    let staged = staged_files(server.data());
    assert!(staged.is_empty(), "staged files are left: {staged:?}");
}

/// Files in the directories of staged bodies.
fn staged_files(data: &Path) -> Vec<PathBuf> {
    let mut left = Vec::new();
    for entry in std::fs::read_dir(data).expect("the served directory").map_while(Result::ok) {
        files_below(&entry.path().join(".longshore/tmp"), &mut left);
    }
    files_below(&data.join(".longshore/tmp"), &mut left);
    left
}

/// Files below a directory, which may be missing.
pub(super) fn files_below(dir: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for path in entries.map_while(Result::ok).map(|entry| entry.path()) {
        if path.is_dir() { files_below(&path, found) } else { found.push(path) }
    }
}
