//! A directory as storage: its top-level directories are the containers, and a key's path is its file's.
//!
//! Each call hops once to a blocking thread and works there by file descriptors beneath the container. What the parts
//! are: `root` (containers), `space` (one container), `open` (never outside, never through links), `spot` (names and
//! renames), `draft` and `stage` (bodies in), `read` (bodies out), `layout` (the steps of natural layout), `list`,
//! `note`, `record`, `probe`, `error`.
//!
//! **Invariant:** stamps are of descriptors, never of paths: inode, mtime in nanoseconds and size. The mtime is set by
//! us and never repeats, so an outside edit always shows.

mod block;
mod draft;
mod error;
mod layout;
mod list;
mod note;
mod open;
mod probe;
mod read;
mod reap;
mod record;
mod root;
mod space;
mod spot;
mod stage;
mod turns;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::JoinError;

use self::root::Root;
use self::space::Space;
use self::stage::FsStage;
use super::{Body, Capabilities, Container, Error, LaidOut, LayOut, ListedPage, ManagedFile, Note, PartRef, Provider};
use super::{Result, Stage, Stat};
use crate::model::id::VersionId;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::place::{Place, Stamp};
use crate::model::record::Record;
use crate::model::task::TaskError;
use crate::model::time::Timestamp;

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// When it survives power loss.
    Fsync,
    /// When the operating system has it: it survives the end of the process.
    Os,
}

/// Calls of the kernel that are not used although they may be there, so that the ways taken on kernels and file systems
/// without them can be tried anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Without {
    /// Paths are walked segment by segment.
    pub openat2: bool,
    /// Staged files bear names.
    pub tmpfile: bool,
    /// A version is renamed over its key after what is there was linked aside.
    pub exchange: bool,
    /// A write soon after another one may leave the mtime as it is.
    pub fine_times: bool,
    /// Names that differ in case are taken for one.
    pub case: bool,
}

/// How to open a directory.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// Calls of the kernel to do without.
    pub without: Without,
    /// Where notes of containers that take no writes are kept; it is made when it is needed.
    pub notes: Option<PathBuf>,
    /// Several processes serve it.
    pub shared: bool,
    /// Only to look: what deletions left behind stays.
    pub looks: bool,
}

/// Storage in a directory.
#[derive(Debug)]
pub struct FsProvider {
    root: Arc<Root>,
}

impl FsProvider {
    /// Opens the directory at `root`, which must be there.
    ///
    /// # Errors
    /// Whatever stands in the way of opening the directory.
    pub fn open(root: &Path, durability: Durability) -> std::io::Result<Self> {
        Self::open_without(root, durability, Without::default())
    }

    /// The same, without some calls of the kernel.
    ///
    /// # Errors
    /// Whatever stands in the way of opening the directory.
    pub fn open_without(root: &Path, durability: Durability, without: Without) -> std::io::Result<Self> {
        Self::open_with(root, durability, OpenOptions { without, ..OpenOptions::default() })
    }

    /// The same, as the options say.
    ///
    /// # Errors
    /// Whatever stands in the way of opening the directory.
    pub fn open_with(root: &Path, durability: Durability, options: OpenOptions) -> std::io::Result<Self> {
        Ok(Self { root: Arc::new(Root::open(root, durability, options)?) })
    }

    /// Runs `work` on a blocking thread, in the container.
    async fn within<T: Send + 'static>(
        &self,
        container: &BucketName,
        work: impl FnOnce(&Space) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let enter = self.enter(container);
        blocking(move || work(&*enter()?)).await
    }

    fn enter(&self, container: &BucketName) -> impl FnOnce() -> Result<Arc<Space>> + Send + 'static {
        let (root, container) = (self.root.clone(), container.clone());
        move || root.enter(&container)
    }

    async fn at_root<T: Send + 'static>(&self, work: impl FnOnce(&Root) -> Result<T> + Send + 'static) -> Result<T> {
        let root = self.root.clone();
        blocking(move || work(&root)).await
    }
}

/// Runs `work` where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    joined(tokio::task::spawn_blocking(work).await)?
}

/// The result of a blocking thread, if it came to one.
fn joined<T>(done: std::result::Result<T, JoinError>) -> Result<T> {
    done.map_err(|error| Error::Failed(std::io::Error::other(TaskError::from(error))))
}

#[async_trait]
impl Provider for FsProvider {
    fn capabilities(&self) -> Capabilities {
        self.root.capabilities()
    }

    async fn containers(&self) -> Result<Vec<Container>> {
        self.at_root(Root::containers).await
    }

    async fn container(&self, container: &BucketName) -> Result<Option<Container>> {
        let name = container.clone();
        self.at_root(move |root| root.container(&name)).await
    }

    async fn create_container(&self, container: &BucketName) -> Result<()> {
        let name = container.clone();
        self.at_root(move |root| root.create(&name)).await
    }

    async fn delete_container(&self, container: &BucketName) -> Result<()> {
        let name = container.clone();
        self.at_root(move |root| root.delete(&name)).await
    }

    async fn is_vacant(&self, container: &BucketName) -> Result<bool> {
        let name = container.clone();
        self.at_root(move |root| root.is_vacant(&name)).await
    }

    async fn read_note(&self, container: &BucketName, note: Note) -> Result<Option<Bytes>> {
        self.within(container, move |space| note::read(space, note)).await
    }

    async fn write_note(&self, container: &BucketName, note: Note, text: Bytes) -> Result<()> {
        self.within(container, move |space| note::write(space, note, &text)).await
    }

    async fn stat(&self, container: &BucketName, place: &Place) -> Result<Stat> {
        let place = place.clone();
        self.within(container, move |space| list::stat(space, &place)).await
    }

    async fn look(&self, container: &BucketName, place: &Place) -> Result<(Option<Stat>, Option<Bytes>)> {
        let place = place.clone();
        self.within(container, move |space| {
            Ok((error::if_there(list::stat(space, &place))?, note::read(space, Note::Id)?))
        })
        .await
    }

    async fn read(&self, container: &BucketName, place: &Place, stamp: &Stamp, range: Range<u64>) -> Result<Body> {
        if let Some(space) = self.root.entered(container)
            && let Some(body) = read::read_cached(&space, place, stamp, &range)
        {
            return Ok(body);
        }
        read::read(self.enter(container), place.clone(), stamp.clone(), range).await
    }

    async fn stage(&self, container: &BucketName, version: VersionId) -> Result<Box<dyn Stage>> {
        // Nothing is made before there are bytes, so there is seldom anything to wait for.
        let space = match self.root.entered(container) {
            Some(space) => space,
            None => blocking(self.enter(container)).await?,
        };
        Ok(Box::new(FsStage::new(self.root.clone(), space, version)))
    }

    async fn set_record(&self, container: &BucketName, place: &Place, stamp: &Stamp, record: &Record) -> Result<()> {
        let (place, stamp, record) = (place.clone(), stamp.clone(), record.clone());
        self.within(container, move |space| {
            let (file, facts) = space.open_file(&place)?;
            if facts.is(&stamp) { record::write(&file, &record) } else { Err(Error::StampMismatch) }
        })
        .await
    }

    async fn delete_managed(&self, container: &BucketName, version: VersionId, stamp: Option<&Stamp>) -> Result<()> {
        let stamp = stamp.cloned();
        self.within(container, move |space| layout::delete_managed(space, version, stamp.as_ref())).await
    }

    async fn lay_out(&self, container: &BucketName, step: LayOut<'_>) -> Result<LaidOut> {
        let step = layout::Step::from(step);
        self.within(container, move |space| layout::lay_out(space, &step)).await
    }

    async fn take_aside(
        &self,
        container: &BucketName,
        key: &ObjectKey,
        version: VersionId,
        stamp: &Stamp,
    ) -> Result<()> {
        let (key, stamp) = (key.clone(), stamp.clone());
        self.within(container, move |space| layout::take_aside(space, &key, version, &stamp)).await
    }

    async fn prune(&self, container: &BucketName, key: &ObjectKey) -> Result<()> {
        let key = key.clone();
        self.within(container, move |space| {
            if let Some((parents, _)) = space.path_of(&key).and_then(|path| path.rsplit_once('/')) {
                space.prune(parents);
            }
            Ok(())
        })
        .await
    }

    async fn list(
        &self,
        container: &BucketName,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListedPage> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.within(container, move |space| list::list(space, &prefix, after.as_deref(), limit, list::Beneath::All))
            .await
    }

    async fn list_folded(
        &self,
        container: &BucketName,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListedPage> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.within(container, move |space| list::list(space, &prefix, after.as_deref(), limit, list::Beneath::One))
            .await
    }

    async fn list_managed(
        &self,
        container: &BucketName,
        after: Option<VersionId>,
        limit: usize,
    ) -> Result<Vec<ManagedFile>> {
        self.within(container, move |space| list::list_managed(space, after, limit)).await
    }

    async fn sweep_staged(&self, container: &BucketName, before: Timestamp) -> Result<u64> {
        self.within(container, move |space| list::sweep_staged(space, before)).await
    }

    async fn settle(&self, container: &BucketName) -> Result<()> {
        self.within(container, Space::settle).await
    }

    async fn begin_upload(&self, container: &BucketName, _version: VersionId) -> Result<String> {
        self.within(container, |_| Ok(String::new())).await
    }

    async fn stage_part(
        &self,
        container: &BucketName,
        _handle: &str,
        _number: u32,
        attempt: VersionId,
    ) -> Result<Box<dyn Stage>> {
        self.stage(container, attempt).await
    }

    async fn assemble(
        &self,
        container: &BucketName,
        _handle: &str,
        parts: &[PartRef],
        version: VersionId,
    ) -> Result<Box<dyn Stage>> {
        let mut stage = self.stage(container, version).await?;
        for part in parts {
            stage.append(container, &Place::Managed(part.attempt), &part.stamp, 0..part.size).await?;
        }
        Ok(stage)
    }

    async fn free_upload(&self, container: &BucketName, _handle: &str, attempts: &[VersionId]) -> Result<()> {
        let attempts = attempts.to_vec();
        self.within(container, move |space| {
            attempts.iter().try_for_each(|attempt| layout::delete_managed(space, *attempt, None))
        })
        .await
    }
}
