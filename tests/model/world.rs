//! A store over a directory or memory, beside the model of what it should hold; opened, stopped, killed, rebuilt.
//!
//! Each life of the store has a runtime of its own. Dropping it in the middle of anything is what `kill -9` is to the
//! tasks of a process: each ends at its next await, and what a blocking thread has begun is finished.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use longshore::auth::secret::{MasterKey, Secret};
use longshore::catalog::Catalog;
use longshore::catalog::sqlite::{self, SqliteCatalog};
use longshore::model::bucket::{BucketRule, BucketRules};
use longshore::model::caller::Caller;
use longshore::model::name::{BucketName, ObjectKey};
use longshore::model::place::{Layout, Placed};
use longshore::model::time::Clock;
use longshore::provider::Provider;
use longshore::provider::fs::{self, FsProvider};
use longshore::provider::memory::MemoryProvider;
use longshore::store::request::{CreateBucket, GetRequest, Portion, ScanOptions};
use longshore::store::{Attach, Error, RootCredentials, Store, StoreParts};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::kept::Kept;
use super::memory::{Bucket, Outcome, State, Tag, Upload, md5_hex, same};

pub(super) const ROOT: Caller = Caller::ROOT;

/// No step takes as long, unless something waits for itself.
const STEP_SECONDS_MAX: u64 = 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Fs,
    Memory,
}

/// One life of the store.
struct Life {
    runtime: Runtime,
    store: Store,
    catalog: Arc<dyn Catalog>,
}

/// The store and what it should hold.
pub(super) struct World {
    pub(super) kind: Kind,
    pub(super) layout: Layout,
    pub(super) names: Vec<BucketName>,
    pub(super) buckets: Vec<Bucket>,
    pub(super) uploads: Vec<Upload>,
    /// The bucket that keeps versions.
    pub(super) kept: Kept,
    pub(super) clock: Clock,
    /// A request was cut: a body that nobody names may lie at its managed place until it is collected.
    pub(super) cut: bool,
    /// The same of parts whose uploads went with their catalog.
    orphans: bool,
    life: Option<Life>,
    memory: Arc<MemoryProvider>,
    dir: tempfile::TempDir,
}

pub(super) fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).expect("a legal key")
}

/// The name of a refusal.
pub(super) fn name_of(error: &Error) -> String {
    format!("{error:?}").chars().take_while(char::is_ascii_alphanumeric).collect()
}

pub(super) fn said(error: &Error) -> String {
    format!("{error:?}, because {:?}", std::error::Error::source(error))
}

impl World {
    pub(super) fn new(kind: Kind, layout: Layout) -> Outcome<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("data")).expect("a directory");
        std::fs::create_dir(dir.path().join("elsewhere")).expect("a directory");
        for name in ["b", "k"] {
            std::fs::write(dir.path().join("elsewhere").join(name), "not of the bucket").expect("writes");
        }
        let mut names: Vec<_> = ["one", "two"].map(|name| BucketName::new(name).expect("legal")).into();
        if kind == Kind::Fs && layout == Layout::Natural {
            // A directory that somebody made: a bucket that nobody has walked yet.
            names.push(BucketName::new("found").expect("legal"));
            std::fs::create_dir(dir.path().join("data/found")).expect("a directory");
        }
        let mut world = Self {
            buckets: names.iter().map(|_| Bucket::default()).collect(),
            uploads: Vec::new(),
            kept: Kept::new(),
            clock: Clock::default(),
            cut: false,
            orphans: false,
            life: None,
            memory: Arc::new(MemoryProvider::new()),
            kind,
            layout,
            names,
            dir,
        };
        world.open(Attach::Serve)?;
        for name in world.names[..2].iter().chain([&world.kept.name]) {
            world.wait(world.store().create_bucket(&ROOT, name, CreateBucket::default())).map_err(|e| said(&e))?;
        }
        Ok(world)
    }

    pub(super) fn store(&self) -> &Store {
        &self.life.as_ref().expect("a life").store
    }

    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        let bounded = async { tokio::time::timeout(Duration::from_secs(STEP_SECONDS_MAX), work).await };
        self.life.as_ref().expect("a life").runtime.block_on(bounded).expect("a step that ends")
    }

    /// The directory of a bucket.
    pub(super) fn files(&self, bucket: usize) -> PathBuf {
        self.dir.path().join("data").join(self.names[bucket].as_str())
    }

    /// A directory outside of all buckets.
    pub(super) fn elsewhere(&self) -> PathBuf {
        self.dir.path().join("elsewhere")
    }

    fn open(&mut self, why: Attach) -> Outcome {
        let provider: Arc<dyn Provider> = match self.kind {
            Kind::Fs => {
                Arc::new(FsProvider::open(&self.dir.path().join("data"), fs::Durability::Fsync).expect("opens"))
            }
            Kind::Memory => self.memory.clone(),
        };
        let options = sqlite::OpenOptions { durability: sqlite::Durability::Os, ..sqlite::OpenOptions::default() };
        let catalog = SqliteCatalog::open(&self.dir.path().join("catalog.db"), options).expect("opens");
        let catalog: Arc<dyn Catalog> = Arc::new(catalog);
        let rule = BucketRule { pattern: "*".into(), layout: Some(self.layout), ..BucketRule::default() };
        let store = Store::new(StoreParts {
            catalog: catalog.clone(),
            providers: BTreeMap::from([("default".to_owned(), provider.into())]),
            default_provider: "default".into(),
            inline_bytes_max: longshore::config::limits::INLINE_BYTES_MAX,
            bucket_rules: BucketRules(vec![rule]),
            master_key: MasterKey::generate(),
            named_keys: Default::default(),
            targets: Vec::new(),
            region: String::new(),
            root: RootCredentials { access_key: "root".into(), secret: Secret::new("not needed here") },
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        self.life = Some(Life { runtime, store, catalog });
        self.wait(self.store().attach(why)).map_err(|e| format!("the store does not start: {}", said(&e)))?;
        Ok(())
    }

    /// What was taken so far becomes durable.
    pub(super) fn settle(&self) {
        let stop = CancellationToken::new();
        stop.cancel();
        self.wait(self.store().run(stop));
    }

    /// Ends the process without a word, and starts the next one.
    pub(super) fn crash(&mut self) -> Outcome {
        let Life { runtime, store, catalog } = self.life.take().expect("a life");
        drop((runtime, store));
        // The thread that writes is no task: a commit that was asked for is made, or the next life would see it late.
        let last = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        last.block_on(catalog.close()).map_err(|error| format!("the catalog does not close: {error:?}"))?;
        drop(catalog);
        self.open(Attach::Serve)?;
        self.look(false)
    }

    /// Runs a request for so long, then ends the process. `None`: it was cut.
    pub(super) fn cut<T>(&mut self, micros: u16, request: impl FnOnce(Store) -> CutFuture<T>) -> Outcome<Option<T>> {
        let request = request(self.store().clone());
        let cut = async { tokio::time::timeout(Duration::from_micros(micros.into()), request).await };
        let answer = self.life.as_ref().expect("a life").runtime.block_on(cut).ok();
        self.cut |= answer.is_none();
        Ok(answer)
    }

    fn release(&mut self) -> Outcome {
        self.wait(self.store().release()).map_err(|e| format!("no clean stop: {}", said(&e)))?;
        self.life = None;
        Ok(())
    }

    pub(super) fn restart(&mut self) -> Outcome {
        self.release()?;
        self.open(Attach::Serve)?;
        self.look(true)?;
        self.nothing_is_left()
    }

    /// Not after a request was cut: a body that was published and never decided upon has a record like any other, so
    /// until it is collected a rebuild takes it for an object.
    pub(super) fn rebuild(&mut self) -> Outcome {
        if self.cut {
            return self.restart();
        }
        self.release()?;
        for entry in std::fs::read_dir(self.dir.path()).expect("reads").flatten() {
            if entry.file_name().to_string_lossy().starts_with("catalog.db") {
                std::fs::remove_file(entry.path()).expect("removes");
            }
        }
        self.open(Attach::Rebuild)?;
        for bucket in 0..self.names.len() {
            self.scan(bucket, ScanOptions { rebuild: true, ..ScanOptions::default() })?;
        }
        self.walk(&self.kept.name, ScanOptions { rebuild: true, ..ScanOptions::default() })?;
        for upload in &mut self.uploads {
            // A catalog that is lost takes its uploads with it; their parts are left to be collected.
            self.orphans |= upload.state == State::Open && !upload.parts.is_empty();
            upload.state = State::Gone;
        }
        for held in self.buckets.iter_mut().flat_map(|bucket| bucket.objects.values_mut()) {
            if !held.recorded {
                held.tag = Tag::Provisional(None);
            }
            if !held.recorded || held.moved {
                held.version = None;
            }
        }
        self.look(true)?;
        self.restart()
    }

    fn walk(&self, bucket: &BucketName, options: ScanOptions) -> Outcome {
        let report = self.wait(self.store().scan(&ROOT, bucket, options));
        let report = report.map_err(|e| format!("no scan: {}", said(&e)))?;
        same("what was held back", report.held_back, 0)
    }

    pub(super) fn scan(&mut self, bucket: usize, options: ScanOptions) -> Outcome {
        self.walk(&self.names[bucket], options)?;
        self.buckets[bucket].stale.clear();
        if options.hash {
            for held in self.buckets[bucket].objects.values_mut().filter(|held| !held.recorded) {
                held.tag = Tag::Known(md5_hex(&held.bytes));
            }
        }
        Ok(())
    }

    /// After a clean stop nothing is kept but what is named.
    fn nothing_is_left(&self) -> Outcome {
        if self.kind == Kind::Memory || self.cut || self.orphans {
            return Ok(());
        }
        same("the number of files of versions", self.managed_files(&self.kept.name), self.kept.managed)?;
        for (number, bucket) in self.buckets.iter().enumerate() {
            let found = self.managed_files(&self.names[number]);
            let objects = bucket.objects.values().filter(|held| held.placed == Some(Placed::Managed)).count();
            let open = self.uploads.iter().filter(|u| u.bucket == number && u.state == State::Open);
            let parts: usize = open.map(|upload| upload.parts.len()).sum();
            same("the number of managed files", found, objects + parts)?;
        }
        Ok(())
    }

    /// Files in Longshore's own directories.
    fn managed_files(&self, bucket: &BucketName) -> usize {
        let ours = self.dir.path().join("data").join(bucket.as_str()).join(".longshore");
        files_below(&ours.join("objects")) + files_below(&ours.join("tmp"))
    }

    /// HEAD.
    pub(super) fn head(&mut self, bucket: usize, name: &str) -> Outcome {
        let request = self.request(bucket, name, Portion::Whole);
        let answer = self.wait(self.store().head(&ROOT, request)).map(|found| found.object);
        let wrong = |why: String| format!("HEAD {bucket}/{name:?}: {why}");
        match (answer, self.buckets[bucket].objects.get_mut(name)) {
            (Ok(object), Some(held)) => held.agrees(&object).map_err(wrong)?,
            (Err(Error::NoSuchKey), None) => {}
            (Ok(object), None) => return Err(wrong(format!("it is there, and should not be: {object:?}"))),
            (Err(error), held) => {
                return Err(wrong(format!(
                    "{}; it should {}be there",
                    said(&error),
                    if held.is_some() { "" } else { "not " }
                )));
            }
        }
        self.buckets[bucket].stale.remove(name);
        Ok(())
    }

    pub(super) fn request(&self, bucket: usize, name: &str, portion: Portion) -> GetRequest {
        let conditions = longshore::model::condition::Conditions::default();
        GetRequest {
            version: None,
            bucket: self.names[bucket].clone(),
            key: key(name),
            portion,
            conditions,
            if_range: None,
            customer_key: None,
        }
    }
}

pub(super) type CutFuture<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;

fn files_below(dir: &Path) -> usize {
    let below = |entry: std::fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => files_below(&entry.path()),
        _ => 1,
    };
    std::fs::read_dir(dir).into_iter().flatten().flatten().map(below).sum()
}
