//! What every behaviour stands on: a provider, a fresh container, and another program that edits it from outside.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::StreamExt as _;
use longshore::model::id::VersionId;
use longshore::model::name::{BucketName, ObjectKey};
use longshore::model::object::Content;
use longshore::model::place::{Displaced, Place, Placed, Stamp};
use longshore::model::record::Record;
use longshore::model::time::{Clock, Timestamp};
use longshore::provider::memory::MemoryProvider;
use longshore::provider::{Body, LaidOut, LayOut, Provider, Result, Seal};

/// One behaviour.
pub(crate) type Behaviour = for<'a> fn(&'a Bed<'a>) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// The list of the behaviours named.
macro_rules! behaviours {
    ($($name:ident),* $(,)?) => {
        pub(super) fn all() -> Vec<(&'static str, $crate::conformance::provider::bed::Behaviour)> {
            vec![$((stringify!($name), |bed| Box::pin($name(bed)))),*]
        }
    };
    // Those behind need places that are keys.
    ($($name:ident),* ; $($natural:ident),* $(,)?) => {
        pub(super) fn anywhere() -> Vec<(&'static str, $crate::conformance::provider::bed::Behaviour)> {
            vec![$((stringify!($name), |bed| Box::pin($name(bed)))),*]
        }
        pub(super) fn all() -> Vec<(&'static str, $crate::conformance::provider::bed::Behaviour)> {
            let natural: Vec<(&'static str, $crate::conformance::provider::bed::Behaviour)> =
                vec![$((stringify!($natural), |bed| Box::pin($natural(bed)))),*];
            [anywhere(), natural].concat()
        }
    };
}
pub(crate) use behaviours;

/// Another program that works in the same storage.
pub(crate) trait Outside: Sync {
    /// Writes a file in place, as an editor without a copy does.
    fn write(&self, container: &BucketName, key: &str, bytes: &[u8]);
    fn remove(&self, container: &BucketName, key: &str);
    fn read(&self, container: &BucketName, key: &str) -> Option<Vec<u8>>;
    fn lost(&self, container: &BucketName, name: &str) -> Option<Vec<u8>>;
    /// The directory of a container, where there are directories.
    fn directory(&self, container: &BucketName) -> PathBuf;
}

pub(crate) struct InDirectory {
    pub(crate) root: PathBuf,
}

impl Outside for InDirectory {
    fn write(&self, container: &BucketName, key: &str, bytes: &[u8]) {
        let path = self.directory(container).join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    fn remove(&self, container: &BucketName, key: &str) {
        std::fs::remove_file(self.directory(container).join(key)).unwrap();
    }
    fn read(&self, container: &BucketName, key: &str) -> Option<Vec<u8>> {
        std::fs::read(self.directory(container).join(key)).ok()
    }
    fn lost(&self, container: &BucketName, name: &str) -> Option<Vec<u8>> {
        self.read(container, &format!(".longshore/lost/{name}"))
    }
    fn directory(&self, container: &BucketName) -> PathBuf {
        self.root.join(container.as_str())
    }
}

pub(crate) struct InMemory {
    pub(crate) provider: MemoryProvider,
}

impl Outside for InMemory {
    fn write(&self, container: &BucketName, name: &str, bytes: &[u8]) {
        self.provider.edit_outside(container, &key(name), bytes).unwrap();
    }
    fn remove(&self, container: &BucketName, name: &str) {
        self.provider.remove_outside(container, &key(name)).unwrap();
    }
    fn read(&self, container: &BucketName, name: &str) -> Option<Vec<u8>> {
        self.provider.read_outside(container, &key(name)).map(|bytes| bytes.to_vec())
    }
    fn lost(&self, container: &BucketName, name: &str) -> Option<Vec<u8>> {
        self.provider.lost(container, name).map(|bytes| bytes.to_vec())
    }
    fn directory(&self, _container: &BucketName) -> PathBuf {
        panic!("memory has no directories")
    }
}

pub(crate) fn key(name: &str) -> ObjectKey {
    ObjectKey::new(name).expect("a legal key")
}

pub(crate) fn natural(name: &str) -> Place {
    Place::Natural(key(name))
}

/// Bytes that differ wherever they are cut.
pub(crate) fn pattern(len: usize) -> Bytes {
    (0..len).map(|i| u8::try_from((i * 31 + i / 251) % 256).unwrap()).collect()
}

/// A version that was published.
#[derive(Debug, Clone)]
pub(crate) struct Put {
    pub(crate) version: VersionId,
    pub(crate) stamp: Stamp,
    pub(crate) key: ObjectKey,
    pub(crate) counter: u64,
    pub(crate) record: Record,
}

impl Put {
    pub(crate) fn managed(&self) -> Place {
        Place::Managed(self.version)
    }

    pub(crate) fn step<'a>(&'a self, over: Option<&'a Stamp>) -> LayOut<'a> {
        LayOut {
            version: self.version,
            stamp: &self.stamp,
            key: &self.key,
            over,
            displaced: Displaced::Free,
            counter: self.counter,
        }
    }
}

/// A fresh container of a provider.
pub(crate) struct Bed<'a> {
    pub(crate) provider: &'a dyn Provider,
    pub(crate) outside: &'a dyn Outside,
    pub(crate) container: BucketName,
    pub(crate) clock: Clock,
}

impl<'a> Bed<'a> {
    pub(crate) async fn new(provider: &'a dyn Provider, outside: &'a dyn Outside, name: &str) -> Self {
        let container = BucketName::new(name).expect("a legal name");
        provider.create_container(&container).await.expect("a fresh container");
        Self { provider, outside, container, clock: Clock::default() }
    }

    pub(crate) fn record(&self, version: VersionId, name: &str, size: u64, counter: u64) -> Record {
        Record {
            version,
            bucket: self.container.clone(),
            key: key(name),
            counter,
            size,
            modified: self.clock.unique(),
            etag: "0cc175b9c0f1b6a831c399e269772661".into(),
            checksum: None,
            crc64nvme: Some(7),
            owner: "root".into(),
            placed: Placed::Natural,
            content: Content { content_type: Some("text/plain".into()), ..Content::default() },
            parts: Vec::new(),
            null: true,
            marker: false,
            attached: Default::default(),
            cut: false,
        }
    }

    /// Publishes a version with its record.
    pub(crate) async fn publish(&self, name: &str, bytes: &[u8], counter: u64) -> Put {
        let version = VersionId::fresh();
        let record = self.record(version, name, bytes.len() as u64, counter);
        let stamp = self.publish_with(version, bytes, record.modified, Some(&record)).await.expect("published");
        Put { version, stamp, key: key(name), counter, record }
    }

    pub(crate) async fn publish_with(
        &self,
        version: VersionId,
        bytes: &[u8],
        modified: Timestamp,
        record: Option<&Record>,
    ) -> Result<Stamp> {
        let mut stage = self.provider.stage(&self.container, version).await?;
        for block in bytes.chunks(100_000) {
            stage.write(Bytes::copy_from_slice(block)).await?;
        }
        stage.publish(Seal { modified, size: bytes.len() as u64, record, unsynced: false }).await
    }

    pub(crate) async fn lay_out(&self, put: &Put, over: Option<&Stamp>) -> Result<LaidOut> {
        self.provider.lay_out(&self.container, put.step(over)).await
    }

    /// Publishes a version and brings it to where it stays: a free key, or where keys are no places its managed one.
    pub(crate) async fn settle(&self, name: &str, bytes: &[u8], counter: u64) -> (Put, Place) {
        if self.provider.capabilities().natural {
            return (self.place(name, bytes, counter).await, natural(name));
        }
        let put = self.publish(name, bytes, counter).await;
        let place = put.managed();
        (put, place)
    }

    /// Publishes a version and lays it out at a free key.
    pub(crate) async fn place(&self, name: &str, bytes: &[u8], counter: u64) -> Put {
        let put = self.publish(name, bytes, counter).await;
        assert_eq!(self.lay_out(&put, None).await.expect("laid out"), LaidOut::Done);
        put
    }

    /// The whole body at a place, with its stamp.
    pub(crate) async fn read(&self, place: &Place, stamp: &Stamp, size: u64) -> Result<Vec<u8>> {
        collect(self.provider.read(&self.container, place, stamp, 0..size).await?).await
    }

    pub(crate) fn outside_read(&self, name: &str) -> Option<Vec<u8>> {
        self.outside.read(&self.container, name)
    }

    pub(crate) fn outside_write(&self, name: &str, bytes: &[u8]) {
        self.outside.write(&self.container, name, bytes);
    }

    pub(crate) async fn managed_count(&self) -> usize {
        // What was displaced is removed behind the answers; a settlement waits for it.
        self.provider.settle(&self.container).await.expect("settles");
        self.provider.list_managed(&self.container, None, 1000).await.expect("listed").len()
    }
}

/// All blocks of a body, or its error.
pub(crate) async fn collect(body: Body) -> Result<Vec<u8>> {
    match body {
        Body::Whole(bytes) => Ok(bytes.to_vec()),
        Body::Blocks(mut blocks) => {
            let mut all = Vec::new();
            while let Some(block) = blocks.next().await {
                all.extend_from_slice(&block?);
            }
            Ok(all)
        }
    }
}

/// Asserts that a result is the error of this pattern.
macro_rules! assert_error {
    ($result:expr, $pattern:pat) => {
        match $result {
            Err($pattern) => {}
            other => panic!("{} was {other:?}", stringify!($result)),
        }
    };
}
pub(crate) use assert_error;
