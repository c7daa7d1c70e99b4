//! A bucket that keeps versions under the same load, and what clients were told of each version.
//!
//! Its writers have keys of their own, so the order in which their versions were acknowledged is that of the versions.
//!
//! **Invariant:** a version that was acknowledged is there, whole, until its removal is asked for; after an acknowledged
//! removal it is not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::dice::{Dice, bytes_of};
use super::ledger::{Value, md5_hex};
use super::load::{Load, Step};
use crate::harness::{Call, Client, Server};

const BUCKET: &str = "versioned";
const SIZES: [usize; 4] = [0, 300, 12 << 10, 300 << 10];
/// A key with more versions than this loses one before it gets another.
const VERSIONS_MAX: usize = 12;

/// What is known of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    id: String,
    /// `None`: it is a delete marker.
    value: Option<Value>,
    /// Its removal was asked for, and not answered.
    going: bool,
}

/// The acknowledged versions of every key, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Versions(Mutex<BTreeMap<String, Vec<Version>>>);

/// Makes the bucket.
pub(super) async fn make_bucket(server: &Server) {
    let root = server.root();
    root.create_bucket(BUCKET).await.expect(200);
    let text = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    root.call("PUT", &format!("/{BUCKET}")).query("versioning", "").body(text).send().await.expect(200);
}

impl Versions {
    fn keys(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Version>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, key: &str, id: &str, value: Option<Value>) {
        self.keys().entry(key.to_owned()).or_default().push(Version { id: id.to_owned(), value, going: false });
    }

    fn going(&self, key: &str, id: &str) {
        self.keys().get_mut(key).into_iter().flatten().filter(|held| held.id == id).for_each(|held| held.going = true);
    }

    fn gone(&self, key: &str, id: &str) {
        self.keys().entry(key.to_owned()).or_default().retain(|held| held.id != id);
    }

    fn of(&self, key: &str) -> Vec<Version> {
        self.keys().get(key).cloned().unwrap_or_default()
    }

    /// Holds the server against what is known: every version is listed in its order and can be read. What nobody was told
    /// of is removed, so that no key gets more and more. Returns how many versions were read.
    pub(super) async fn audit(&self, server: &Server) -> usize {
        let root = server.root();
        let listed = listed(&root).await;
        let count = listed.values().map(Vec::len).sum();
        let mut keys: Vec<String> = self.keys().keys().cloned().collect();
        keys.extend(listed.keys().filter(|key| !keys.contains(key)).cloned().collect::<Vec<_>>());
        for key in &keys {
            let shown = listed.get(key).cloned().unwrap_or_default();
            let held = self.of(key).into_iter().filter(|held| !held.going || shown.iter().any(|one| one.id == held.id));
            let held: Vec<Version> = held.map(|held| Version { going: false, ..held }).collect();
            hold(&root, key, &shown, &held).await;
            self.keys().insert(key.clone(), held);
        }
        count
    }
}

/// A version as it is listed.
#[derive(Debug, Clone)]
struct Shown {
    id: String,
    marker: bool,
    latest: bool,
}

/// Holds the versions of one key, as they are listed, against those that are known.
async fn hold(root: &Client, key: &str, shown: &[Shown], held: &[Version]) {
    // Markers come behind all versions, so the two have an order each.
    for marker in [false, true] {
        let is_known = |id: &&String| held.iter().any(|held| held.id == **id);
        let listed: Vec<&String> =
            shown.iter().filter(|one| one.marker == marker).map(|one| &one.id).filter(is_known).collect();
        let kind = held.iter().rev().filter(|held| held.value.is_none() == marker);
        let wanted: Vec<&String> = kind.map(|held| &held.id).collect();
        assert_eq!(listed, wanted, "the acknowledged versions of {key}; listed: {shown:?}");
    }
    let latest = shown.iter().filter(|one| one.latest).count();
    assert_eq!(latest, usize::from(!shown.is_empty()), "the latest versions of {key}: {shown:?}");
    let mut current = None;
    for one in shown {
        let bytes = read(root, key, one, held.iter().find(|held| held.id == one.id)).await;
        if one.latest {
            current = bytes;
        }
    }
    let got = root.get(BUCKET, key).await;
    let found = (got.status == 200).then(|| got.body.to_vec());
    assert!(found == current, "{key} is not its latest version, but {} {:?}", got.status, got.headers);
    for one in shown.iter().filter(|one| !held.iter().any(|held| held.id == one.id)) {
        root.call("DELETE", &path(key)).query("versionId", &one.id).send().await.expect(204);
    }
}

fn path(key: &str) -> String {
    format!("/{BUCKET}/{key}")
}

/// The versions of each key, the newest first, and behind them the markers.
async fn listed(root: &Client) -> BTreeMap<String, Vec<Shown>> {
    let page = root.call("GET", &format!("/{BUCKET}")).query("versions", "").send().await.expect(200);
    assert_eq!(page.elements("IsTruncated"), ["false"], "one page is enough for the versions of these tests");
    let mut all: BTreeMap<String, Vec<Shown>> = BTreeMap::new();
    for (element, marker) in [("Version", false), ("DeleteMarker", true)] {
        for text in page.elements(element) {
            let field = |name: &str| {
                let (_, rest) = text.split_once(&format!("<{name}>"))?;
                Some(rest.split_once("</")?.0.replace("&amp;", "&"))
            };
            let told = (field("Key"), field("VersionId"), field("IsLatest"));
            let (Some(key), Some(id), Some(latest)) = told else { panic!("a version without a name: {text}") };
            all.entry(key).or_default().push(Shown { id, marker, latest: latest == "true" });
        }
    }
    all
}

/// The bytes of a version; `None` of a marker. One that nobody was told of is at least whole.
async fn read(root: &Client, key: &str, Shown { id, marker, .. }: &Shown, known: Option<&Version>) -> Option<Vec<u8>> {
    let got = root.call("GET", &path(key)).query("versionId", id).send().await;
    let found = match got.status {
        200 => Some(got.body.to_vec()),
        405 if got.header("x-amz-delete-marker") == Some("true") => None,
        status => panic!("GET {key} {id}: {status} {}", got.text()),
    };
    assert_eq!(found.is_none(), *marker, "{key} {id}: whether it is a marker");
    if let Some(bytes) = &found {
        assert_eq!(got.etag(), md5_hex(bytes), "{key} {id} has other bytes than its ETag says");
    }
    if let Some(known) = known {
        let wanted = known.value.as_ref().map(Value::bytes);
        assert!(found == wanted, "{key} {id} holds {:?} bytes, not those of {known:?}", found.map(|bytes| bytes.len()));
    }
    found
}

/// Who writes, marks and removes versions.
pub(super) struct Keeper {
    pub(super) n: usize,
    pub(super) load: Arc<Load>,
    pub(super) versions: Arc<Versions>,
    pub(super) client: Client,
    pub(super) dice: Dice,
}

impl Keeper {
    pub(super) async fn write(mut self) {
        while self.step().await.is_ok() {}
    }

    async fn step(&mut self) -> Step {
        let key = format!("v{}/{}", self.n, self.dice.one_of(&["a", "a/b", "ü +%&"]));
        let held = self.versions.of(&key);
        match self.dice.below(100) {
            _ if held.len() > VERSIONS_MAX => self.remove(&key, &held).await,
            0..65 => self.put(&key).await,
            65..80 => self.mark(&key).await,
            _ if held.is_empty() => Ok(()),
            _ => self.remove(&key, &held).await,
        }
    }

    fn call(&self, method: &str, key: &str) -> Call<'_> {
        self.client.call(method, &path(key))
    }

    async fn put(&mut self, key: &str) -> Step {
        let (id, len) = (self.load.fresh(), *self.dice.one_of(&SIZES));
        let value = Value::whole(id, len);
        let answer = self.load.send(&self.client, self.call("PUT", key).body(bytes_of(id, len))).await?.expect(200);
        assert_eq!(answer.etag(), value.etag, "PUT {key} of {len} bytes");
        self.versions.add(key, answer.header("x-amz-version-id").expect("a version"), Some(value));
        self.load.count();
        Ok(())
    }

    async fn mark(&mut self, key: &str) -> Step {
        let answer = self.load.send(&self.client, self.call("DELETE", key)).await?.expect(204);
        assert_eq!(answer.header("x-amz-delete-marker"), Some("true"), "DELETE {key}");
        self.versions.add(key, answer.header("x-amz-version-id").expect("a version"), None);
        self.load.count();
        Ok(())
    }

    async fn remove(&mut self, key: &str, held: &[Version]) -> Step {
        let id = &self.dice.one_of(held).id;
        self.versions.going(key, id);
        let call = self.client.call("DELETE", &path(key)).query("versionId", id);
        self.load.send(&self.client, call).await?.expect(204);
        self.versions.gone(key, id);
        self.load.count();
        Ok(())
    }
}
