//! A server with something to lose, and the means to see that nothing happened to it.
//!
//! **Invariant:** [`Seen`] holds everything a client could have changed: every name below the directory that holds the
//! served one, with the bytes of every file, and how often providers were called. Only the catalog's own files and the
//! notes that the server keeps for itself are left out; what they say is seen through the listings.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::sign::sha256_hex;
use crate::harness::{Client, Options, Server};

/// The bucket that every table attacks.
pub(super) const BUCKET: &str = "vault";
/// An object in it.
pub(super) const KEY: &str = "gold/bar";
/// Its bytes.
pub(super) const BYTES: &str = "twelve kilograms";

/// A server with a bucket and an object.
pub(super) struct Site {
    pub(super) server: Server,
    pub(super) root: Client,
    pub(super) rest: Client,
}

/// What there was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    files: BTreeMap<String, String>,
    keys: Vec<String>,
    uploads: Vec<String>,
    buckets: Vec<String>,
}

impl Site {
    /// Starts it.
    pub(super) async fn new() -> Self {
        Self::with(Options::default()).await
    }

    /// Starts it with these options.
    pub(super) async fn with(options: Options) -> Self {
        let server = Server::with(options);
        let (root, rest) = (server.root(), Client::new(server.rest, None));
        root.create_bucket(BUCKET).await.expect(200);
        root.put(BUCKET, KEY, BYTES).await.expect(200);
        Self { server, root, rest }
    }

    /// Everything there is now.
    pub(super) async fn seen(&self) -> Seen {
        let mut files = BTreeMap::new();
        let outer = self.server.data().parent().expect("a directory around it");
        walk(outer, outer, &mut files);
        let buckets = self.root.call("GET", "/").send().await.expect(200).elements("Name");
        let (mut keys, mut uploads) = (Vec::new(), Vec::new());
        for bucket in &buckets {
            keys.extend(self.root.keys_of(bucket, "").await.into_iter().map(|key| format!("{bucket}/{key}")));
            let answer = self.root.call("GET", &format!("/{bucket}")).query("uploads", "").send().await.expect(200);
            uploads.extend(answer.elements("UploadId"));
        }
        Seen { files, keys, uploads, buckets }
    }

    /// Requires that nothing is other than it was.
    #[track_caller]
    pub(super) fn compare(before: &Seen, after: &Seen, what: &str) {
        let gone: Vec<_> = before.files.iter().filter(|(name, _)| !after.files.contains_key(*name)).collect();
        let new: Vec<_> = after.files.iter().filter(|(name, _)| !before.files.contains_key(*name)).collect();
        assert!(gone.is_empty() && new.is_empty(), "{what}: files gone {gone:?}, files left {new:?}");
        assert_eq!(before, after, "{what}: something changed");
    }

    /// Waits until nothing is under way and what was dropped is gone, then requires that nothing is other than it was.
    pub(super) async fn settles_to(&self, before: &Seen, what: &str) {
        self.idle(what).await;
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let after = self.seen().await;
            if after == *before || Instant::now() > deadline {
                return Self::compare(before, &after, what);
            }
        }
    }

    /// Waits until no request of the S3 front is under way.
    pub(super) async fn idle(&self, what: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.metrics().await.contains("longshore_requests_in_flight{front=\"s3\"} 0") {
            assert!(Instant::now() < deadline, "{what}: a request never ends");
        }
    }

    /// The text of the metrics.
    pub(super) async fn metrics(&self) -> String {
        self.rest.call("GET", "/metrics").send().await.expect(200).text()
    }

    /// How often each method of the provider was called.
    ///
    /// What the server does by itself is left out: it settles, and it looks anew for the container of a bucket after the
    /// catalog changed, before it can know who asks. Nothing is owed while it is counted, so nothing else is asked either.
    pub(super) async fn provider_calls(&self) -> BTreeSet<String> {
        self.server.until_settled();
        let text = self.metrics().await;
        let counted = text.lines().filter(|line| {
            line.starts_with("longshore_call_duration_seconds_count{part=\"default\"")
                && !line.contains("\"settle\"")
                && !line.contains("\"container\"")
        });
        counted.map(str::to_owned).collect()
    }
}

fn walk(outer: &Path, dir: &Path, files: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(dir).expect("a readable directory").map_while(Result::ok) {
        let path = entry.path();
        let name = path.strip_prefix(outer).expect("below").to_string_lossy().into_owned();
        let Ok(meta) = path.symlink_metadata() else { continue };
        if is_own(&name) {
            continue;
        }
        if meta.is_dir() {
            // An empty shard is no file; any other empty directory is a trace.
            if !name.contains(".longshore/objects") {
                files.insert(format!("{name}/"), String::new());
            }
            walk(outer, &path, files);
        } else if meta.is_symlink() {
            files.insert(name, format!("link to {:?}", std::fs::read_link(&path)));
        } else if let Ok(bytes) = std::fs::read(&path) {
            files.insert(name, format!("{} bytes {}", bytes.len(), sha256_hex(&bytes)));
        }
    }
}

/// What the server keeps for itself and writes at its own times.
fn is_own(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    file.starts_with("catalog.db")
}
