//! Storage in memory: for tests, and for a server that shall forget.
//!
//! It behaves as a directory does, down to the clash of `a` with `a/b`, so that what holds for one holds for the other.
//! Only empty directories are absent: a name goes with its last file.
//!
//! **Invariant:** every method takes the one lock once, so each is atomic; no lock is held across an await.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Bound, Range};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::stream;

use super::{Body, Capabilities, Container, Error, LaidOut, LayOut, Listed, ListedPage, ManagedFile, Note, PartRef};
use super::{Provider, Result, Seal, Stage, Stat};
use crate::config::limits::BLOCK_BYTES;
use crate::model::id::VersionId;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::place::{Displaced, Place, Stamp};
use crate::model::record::Record;
use crate::model::time::{Clock, Timestamp};

/// Bytes with what is known of them.
#[derive(Debug, Clone)]
struct File {
    bytes: Bytes,
    stamp: Stamp,
    modified: Timestamp,
    record: Option<Record>,
    /// Set when the bytes were changed in place, for those who are reading them.
    edited: Arc<AtomicBool>,
}

impl File {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn live_record(&self) -> Option<&Record> {
        self.record.as_ref().filter(|record| record.is_live(self.size(), self.modified))
    }

    fn stat(&self) -> Stat {
        Stat {
            stamp: self.stamp.clone(),
            size: self.size(),
            modified: self.modified,
            record: self.record.clone(),
            // No stamp is ever given twice here.
            foreign: None,
            young: false,
        }
    }
}

/// One container.
#[derive(Default)]
struct Vault {
    created: Timestamp,
    natural: BTreeMap<ObjectKey, File>,
    managed: BTreeMap<(String, VersionId), File>,
    lost: BTreeMap<String, File>,
    /// By the name of the note.
    notes: BTreeMap<&'static str, Bytes>,
}

fn slot(version: VersionId) -> (String, VersionId) {
    (version.shard(), version)
}

impl Vault {
    fn file(&self, place: &Place) -> Result<&File> {
        match place {
            Place::Managed(version) => self.managed.get(&slot(*version)),
            Place::Natural(key) => self.natural.get(key),
        }
        .ok_or(Error::NotFound)
    }

    fn stamped(&self, place: &Place, stamp: &Stamp) -> Result<&File> {
        self.file(place).and_then(|file| if file.stamp == *stamp { Ok(file) } else { Err(Error::StampMismatch) })
    }

    /// Whether a file lies where `key` needs a directory, or the reverse.
    fn clashes(&self, key: &ObjectKey) -> bool {
        let Some(path) = key.as_path(false) else { return true };
        let above = path.match_indices('/').any(|(at, _)| self.natural.contains_key(&path[..at]));
        above || self.beneath(&format!("{path}/"))
    }

    fn beneath(&self, directory: &str) -> bool {
        let from = (Bound::Included(directory), Bound::Unbounded);
        self.natural.range::<str, _>(from).next().is_some_and(|(key, _)| key.as_str().starts_with(directory))
    }

    fn lay_out(&mut self, container: &BucketName, step: &LayOut<'_>) -> Result<LaidOut> {
        if step.key.as_path(false).is_none() {
            return Err(Error::Clash);
        }
        if self.managed.get(&slot(step.version)).is_none_or(|file| file.stamp != *step.stamp) {
            let at_key = self.natural.get(step.key).ok_or(Error::NotFound)?;
            return Ok(if at_key.stamp == *step.stamp { LaidOut::Done } else { LaidOut::Superseded });
        }
        if self.clashes(step.key) {
            return Err(Error::Clash);
        }
        let mut done = LaidOut::Done;
        if let Some(out) = self.natural.get(step.key) {
            let ours = out.live_record().filter(|record| record.is_of(container, step.key)).map(|r| r.counter);
            if step.over != Some(&out.stamp) {
                match ours {
                    Some(counter) if counter < step.counter => {}
                    Some(counter) if counter > step.counter => return Ok(LaidOut::Superseded),
                    _ => {
                        let name = format!("{}-{}", step.version, self.lost.len());
                        self.lost.insert(name.clone(), out.clone());
                        done = LaidOut::DoneKeeping(name);
                    }
                }
            }
        }
        let own = match (self.natural.get(step.key), step.displaced, &done) {
            (Some(out), Displaced::Keep(known), LaidOut::Done) if step.over == Some(&out.stamp) => known,
            (Some(out), Displaced::Keep(_), LaidOut::Done) => out.live_record().map(|record| record.version),
            _ => None,
        };
        if let Some(file) = self.managed.remove(&slot(step.version)) {
            let out = self.natural.insert(step.key.clone(), file);
            if let (Some(out), Some(own)) = (out, own) {
                self.managed.entry(slot(own)).or_insert(out);
            }
        }
        Ok(done)
    }
}

/// What all stages and the provider share.
#[derive(Default)]
struct State {
    vaults: Mutex<BTreeMap<BucketName, Vault>>,
    clock: Clock,
    stamps: std::sync::atomic::AtomicU64,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<BucketName, Vault>> {
        self.vaults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn within<T>(&self, container: &BucketName, work: impl FnOnce(&mut Vault) -> Result<T>) -> Result<T> {
        work(self.lock().get_mut(container).ok_or(Error::NotFound)?)
    }

    fn file(&self, bytes: Bytes, modified: Timestamp, record: Option<Record>) -> File {
        let stamp = Stamp::new(&self.stamps.fetch_add(1, Ordering::Relaxed).to_string());
        File { bytes, stamp, modified, record, edited: Arc::default() }
    }
}

/// Storage in memory.
#[derive(Default, Clone)]
pub struct MemoryProvider {
    state: Arc<State>,
}

impl fmt::Debug for MemoryProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryProvider").finish_non_exhaustive()
    }
}

impl MemoryProvider {
    /// Without any container.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes bytes at a key as another program would: in place, with a new mtime and the old record beside them.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the container is missing.
    pub fn edit_outside(&self, container: &BucketName, key: &ObjectKey, bytes: &[u8]) -> Result<()> {
        let modified = self.state.clock.unique();
        let mut file = self.state.file(Bytes::copy_from_slice(bytes), modified, None);
        self.state.within(container, |vault| {
            if let Some(old) = vault.natural.get(key) {
                old.edited.store(true, Ordering::Release);
                file.record.clone_from(&old.record);
            }
            vault.natural.insert(key.clone(), file);
            Ok(())
        })
    }

    /// Removes the bytes at a key as another program would.
    ///
    /// # Errors
    /// [`Error::NotFound`] if nothing is there.
    pub fn remove_outside(&self, container: &BucketName, key: &ObjectKey) -> Result<()> {
        self.state.within(container, |vault| vault.natural.remove(key).map(|_| ()).ok_or(Error::NotFound))
    }

    /// The bytes at a key, as another program would see them.
    #[must_use]
    pub fn read_outside(&self, container: &BucketName, key: &ObjectKey) -> Option<Bytes> {
        self.state.lock().get(container)?.natural.get(key).map(|file| file.bytes.clone())
    }

    /// The bytes that a lay-out kept under this name.
    #[must_use]
    pub fn lost(&self, container: &BucketName, name: &str) -> Option<Bytes> {
        self.state.lock().get(container)?.lost.get(name).map(|file| file.bytes.clone())
    }
}

/// A body on its way in.
struct MemoryStage {
    state: Arc<State>,
    container: BucketName,
    version: VersionId,
    body: BytesMut,
}

impl fmt::Debug for MemoryStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStage").field("version", &self.version).finish_non_exhaustive()
    }
}

/// The slice of `bytes` that `range` names.
fn slice(bytes: &Bytes, range: &Range<u64>) -> Result<Bytes> {
    match (usize::try_from(range.start), usize::try_from(range.end)) {
        (Ok(start), Ok(end)) if start <= end && end <= bytes.len() => Ok(bytes.slice(start..end)),
        _ => Err(Error::Failed(std::io::Error::other("a range beyond the end of the bytes was asked for"))),
    }
}

#[async_trait]
impl Stage for MemoryStage {
    async fn write(&mut self, block: Bytes) -> Result<()> {
        self.body.extend_from_slice(&block);
        Ok(())
    }

    async fn append(&mut self, container: &BucketName, from: &Place, stamp: &Stamp, range: Range<u64>) -> Result<()> {
        let source = self.state.within(container, |vault| slice(&vault.stamped(from, stamp)?.bytes, &range))?;
        self.body.extend_from_slice(&source);
        Ok(())
    }

    async fn publish(self: Box<Self>, seal: Seal<'_>) -> Result<Stamp> {
        if self.body.len() as u64 != seal.size {
            let why = "other than the announced number of bytes was written";
            return Err(Error::Failed(std::io::Error::other(why)));
        }
        let file = self.state.file(self.body.freeze(), seal.modified, seal.record.cloned());
        let stamp = file.stamp.clone();
        self.state.within(&self.container, |vault| {
            if vault.managed.contains_key(&slot(self.version)) {
                return Err(Error::AlreadyExists);
            }
            vault.managed.insert(slot(self.version), file);
            Ok(())
        })?;
        Ok(stamp)
    }
}

/// The blocks of bytes that may be edited while they are read.
fn blocks(bytes: Bytes, edited: Arc<AtomicBool>) -> Body {
    let next = move |mut rest: Bytes| {
        let edited = edited.clone();
        async move {
            let block = rest.split_to(rest.len().min(BLOCK_BYTES));
            let cut = rest.is_empty() && edited.load(Ordering::Acquire);
            match block.is_empty() {
                true => None,
                false if cut => Some((Err(Error::StampMismatch), rest)),
                false => Some((Ok(block), rest)),
            }
        }
    };
    Body::Blocks(Box::pin(stream::unfold(bytes, next)))
}

#[async_trait]
impl Provider for MemoryProvider {
    fn capabilities(&self) -> Capabilities {
        Capabilities { natural: true, exchange: true, records: true, conditional: true, ..Capabilities::default() }
    }

    async fn containers(&self) -> Result<Vec<Container>> {
        let vaults = self.state.lock();
        Ok(vaults.iter().map(|(name, vault)| described(name, vault)).collect())
    }

    async fn container(&self, container: &BucketName) -> Result<Option<Container>> {
        Ok(self.state.lock().get(container).map(|vault| described(container, vault)))
    }

    async fn create_container(&self, container: &BucketName) -> Result<()> {
        let mut vaults = self.state.lock();
        if vaults.contains_key(container) {
            return Err(Error::AlreadyExists);
        }
        vaults.insert(container.clone(), Vault { created: Clock::now(), ..Vault::default() });
        Ok(())
    }

    async fn delete_container(&self, container: &BucketName) -> Result<()> {
        let mut vaults = self.state.lock();
        if !vaults.get(container).ok_or(Error::NotFound)?.natural.is_empty() {
            return Err(Error::NotEmpty);
        }
        vaults.remove(container);
        Ok(())
    }

    async fn read_note(&self, container: &BucketName, note: Note) -> Result<Option<Bytes>> {
        self.state.within(container, |vault| Ok(vault.notes.get(note.name()).cloned()))
    }

    async fn write_note(&self, container: &BucketName, note: Note, text: Bytes) -> Result<()> {
        self.state.within(container, |vault| Ok(vault.notes.insert(note.name(), text))).map(drop)
    }

    async fn stat(&self, container: &BucketName, place: &Place) -> Result<Stat> {
        self.state.within(container, |vault| vault.file(place).map(File::stat))
    }

    async fn look(&self, container: &BucketName, place: &Place) -> Result<(Option<Stat>, Option<Bytes>)> {
        let id = |vault: &Vault| vault.notes.get(Note::Id.name()).cloned();
        self.state.within(container, |vault| Ok((vault.file(place).ok().map(File::stat), id(vault))))
    }

    async fn read(&self, container: &BucketName, place: &Place, stamp: &Stamp, range: Range<u64>) -> Result<Body> {
        let file = self.state.within(container, |vault| vault.stamped(place, stamp).cloned())?;
        let bytes = slice(&file.bytes, &range)?;
        Ok(if bytes.len() <= BLOCK_BYTES { Body::Whole(bytes) } else { blocks(bytes, file.edited) })
    }

    async fn stage(&self, container: &BucketName, version: VersionId) -> Result<Box<dyn Stage>> {
        self.state.within(container, |_| Ok(()))?;
        let (state, container) = (self.state.clone(), container.clone());
        Ok(Box::new(MemoryStage { state, container, version, body: BytesMut::new() }))
    }

    async fn set_record(&self, container: &BucketName, place: &Place, stamp: &Stamp, record: &Record) -> Result<()> {
        self.state.within(container, |vault| {
            vault.stamped(place, stamp)?;
            let file = match place {
                Place::Managed(version) => vault.managed.get_mut(&slot(*version)),
                Place::Natural(key) => vault.natural.get_mut(key),
            };
            file.ok_or(Error::NotFound)?.record = Some(record.clone());
            Ok(())
        })
    }

    async fn delete_managed(&self, container: &BucketName, version: VersionId, stamp: Option<&Stamp>) -> Result<()> {
        self.state.within(container, |vault| match (vault.managed.get(&slot(version)), stamp) {
            (Some(file), Some(stamp)) if file.stamp != *stamp => Err(Error::StampMismatch),
            _ => {
                vault.managed.remove(&slot(version));
                Ok(())
            }
        })
    }

    async fn lay_out(&self, container: &BucketName, step: LayOut<'_>) -> Result<LaidOut> {
        self.state.within(container, |vault| vault.lay_out(container, &step))
    }

    async fn take_aside(
        &self,
        container: &BucketName,
        key: &ObjectKey,
        version: VersionId,
        stamp: &Stamp,
    ) -> Result<()> {
        self.state.within(container, |vault| {
            if vault.managed.get(&slot(version)).is_some_and(|file| file.stamp == *stamp) {
                return Ok(());
            }
            vault.stamped(&Place::Natural(key.clone()), stamp)?;
            if let Some(file) = vault.natural.remove(key) {
                vault.managed.insert(slot(version), file);
            }
            Ok(())
        })
    }

    async fn prune(&self, container: &BucketName, _key: &ObjectKey) -> Result<()> {
        self.state.within(container, |_| Ok(()))
    }

    async fn list(
        &self,
        container: &BucketName,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListedPage> {
        self.state.within(container, |vault| {
            let from = match after {
                Some(after) if after >= prefix => Bound::Excluded(after),
                _ => Bound::Included(prefix),
            };
            let mut page = ListedPage::default();
            let found = vault.natural.range::<str, _>((from, Bound::Unbounded));
            for (key, file) in found.take_while(|(key, _)| key.as_str().starts_with(prefix)) {
                if page.files.len() == limit {
                    page.more = limit > 0;
                    break;
                }
                let (stamp, size, modified) = (file.stamp.clone(), file.size(), file.modified);
                page.files.push(Listed { key: key.clone(), stamp, size, modified, md5: None });
            }
            Ok(page)
        })
    }

    async fn list_folded(
        &self,
        container: &BucketName,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListedPage> {
        self.list(container, prefix, after, limit).await
    }

    async fn list_managed(
        &self,
        container: &BucketName,
        after: Option<VersionId>,
        limit: usize,
    ) -> Result<Vec<ManagedFile>> {
        self.state.within(container, |vault| {
            let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(slot(after)));
            let found = vault.managed.range((from, Bound::Unbounded)).take(limit);
            Ok(found.map(|((_, version), file)| ManagedFile { version: *version, stat: file.stat() }).collect())
        })
    }

    async fn sweep_staged(&self, container: &BucketName, _before: Timestamp) -> Result<u64> {
        self.state.within(container, |_| Ok(0))
    }

    async fn settle(&self, container: &BucketName) -> Result<()> {
        self.state.within(container, |_| Ok(()))
    }

    async fn begin_upload(&self, container: &BucketName, _version: VersionId) -> Result<String> {
        self.state.within(container, |_| Ok(String::new()))
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
        self.state.within(container, |vault| {
            attempts.iter().for_each(|attempt| drop(vault.managed.remove(&slot(*attempt))));
            Ok(())
        })
    }
}

fn described(name: &BucketName, vault: &Vault) -> Container {
    Container { name: name.clone(), created: vault.created, writable: true, folds: false }
}
