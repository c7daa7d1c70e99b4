//! A storage service over REST as a provider: a `LoopBack` application with the storage component, or another Longshore.
//!
//! Such a service has containers with files in them, whose names are flat. It keeps bytes and a time, replaces them in
//! place and by no condition, and knows neither metadata nor uploads in parts. So new bytes always go to managed places,
//! what it cannot keep lies in a slip beside them, and files that were there before are served in place. Another Longshore
//! says in its answers that it is one; then listings come in pages, and ranges and conditions are trusted.
//!
//! What cannot be had: a file at a key that is changed between the last look at it and its removal is removed as it is
//! then, unless the other side is a Longshore; and nothing says whether the other side makes durable what it acknowledges.
//!
//! **Invariant:** as of every provider. A managed name is written once and by us alone, and what is read of it whole has the
//! MD5 of what was written.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::RwLock;
use tokio::time::timeout;

use self::entry::FileEntry;
use self::read::Trust;
use self::routes::strange;
use self::slip::Slots;
use self::stage::{Beside, RemoteStage};
use self::wire::Wire;
use crate::config::limits::{CLOUD_CLEAR_ROUNDS_MAX, LIST_KEYS_MAX, REMOTE_CONTAINERS_MAX, REMOTE_FILES_AT_ONCE};
use crate::model::id::VersionId;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::place::{Place, Stamp};
use crate::model::record::Record;
use crate::model::time::Timestamp;
use crate::provider::settings::{RemoteConfig, TransportConfig};
use crate::provider::{
    Body, Capabilities, Container, Error, LaidOut, LayOut, ListedPage, ManagedFile, Note, PartRef, Provider, Result,
    Seal, Stage, Stat,
};

mod array;
mod entry;
mod list;
mod names;
mod read;
mod routes;
mod slip;
mod stage;
mod upload;
mod wire;

/// How long a settlement waits for what bodies that were given up left.
const SETTLE_SECONDS_MAX: u64 = 60;

/// What stages, reads and listings of one other side share.
#[derive(Debug)]
struct Remote {
    wire: Wire,
    ranges: Trust,
    /// The last answer was a Longshore's.
    fuller: AtomicBool,
    /// Held by whatever removes what was given up.
    clearing: Arc<RwLock<()>>,
}

/// A storage service over REST.
pub struct RemoteProvider {
    remote: Arc<Remote>,
}

impl fmt::Debug for RemoteProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.remote.wire, f)
    }
}

impl RemoteProvider {
    /// Makes the client of a service; nothing is asked yet.
    ///
    /// # Errors
    /// The address or the certificates cannot be used.
    pub fn open(name: &str, config: &RemoteConfig, transport: TransportConfig) -> io::Result<Self> {
        let wire = Wire::new(name, config, transport)?;
        let (ranges, fuller, clearing) = (Trust::default(), AtomicBool::new(false), Arc::default());
        Ok(Self { remote: Arc::new(Remote { wire, ranges, fuller, clearing }) })
    }
}

fn described(name: BucketName, created: Timestamp) -> Container {
    Container { name, created, writable: true, folds: false }
}

/// What a managed file is, with the slip beside it.
fn seen(entry: &FileEntry, beside: Option<Beside>) -> Stat {
    let size = entry.size;
    match beside.filter(|beside| beside.size == size) {
        Some(beside) => {
            let (stamp, modified) = (beside.stamp(), beside.modified);
            Stat { stamp, size, modified, record: beside.record, foreign: None, young: false }
        }
        // It was never published, or is not what was.
        None => Stat { foreign: None, young: false, ..entry.stat() },
    }
}

impl Remote {
    fn is_fuller(&self) -> bool {
        self.fuller.load(Ordering::Relaxed)
    }

    /// Notes of what kind the other side is, as an answer of its says.
    fn met(&self, fuller: bool) {
        self.fuller.store(fuller, Ordering::Relaxed);
    }

    /// The name of what lies at a key, if such a file can be asked for.
    fn name_of<'a>(&self, key: &'a ObjectKey) -> Option<&'a str> {
        names::of_key(key, self.is_fuller())
    }

    async fn require(&self, container: &str) -> Result<Timestamp> {
        self.wire.container(container).await?.ok_or(Error::NotFound)
    }

    /// The bytes of a version, and the slip beside them, with where that lies.
    async fn known(&self, container: &str, version: VersionId) -> Result<(FileEntry, Option<Beside>, Slots)> {
        let (name, stem) = (names::managed(version), names::record(version));
        let ((entry, fuller), slots) =
            tokio::try_join!(self.wire.file(container, &name), self.slots(container, &stem))?;
        self.met(fuller);
        Ok((entry, slots.text().and_then(|text| serde_json::from_slice(&text).ok()), slots))
    }

    async fn stat_managed(&self, container: &str, version: VersionId) -> Result<Stat> {
        let (entry, beside, _) = self.known(container, version).await?;
        Ok(seen(&entry, beside))
    }

    async fn stat(&self, container: &str, place: &Place) -> Result<Stat> {
        match place {
            Place::Managed(version) => self.stat_managed(container, *version).await,
            Place::Natural(key) => {
                let name = self.name_of(key).ok_or(Error::NotFound)?;
                let (entry, fuller) = self.wire.file(container, name).await?;
                self.met(fuller);
                Ok(entry.stat())
            }
        }
    }

    /// Removes a version with its slip, which was seen before or is looked for.
    async fn free(&self, container: &str, version: VersionId, slots: Option<Slots>) -> Result<()> {
        let stem = names::record(version);
        self.wire.remove(container, &names::managed(version), None).await?;
        let slots = match slots {
            Some(slots) => slots,
            None => self.slots(container, &stem).await?,
        };
        self.remove_slots(container, &stem, &slots).await
    }

    /// Copies the bytes of a stamp from a key to a managed place, where they go on under that stamp.
    async fn copy_aside(self: &Arc<Self>, at: (&BucketName, &Place), version: VersionId, stat: &Stat) -> Result<()> {
        let (container, place) = at;
        let mut stage = RemoteStage::new(Arc::clone(self), container.as_str().to_owned(), version);
        let seal = Seal { modified: stat.modified, size: stat.size, record: None, unsynced: false };
        let copied = async {
            stage.take_from(container, place, &stat.stamp, 0..stat.size).await?;
            stage.land(&seal, Some(&stat.stamp)).await
        };
        let copied = copied.await;
        if copied.is_err() {
            stage.give_up().await;
        }
        copied.map(drop)
    }

    async fn take_aside(
        self: &Arc<Self>,
        bucket: &BucketName,
        key: &ObjectKey,
        version: VersionId,
        stamp: &Stamp,
    ) -> Result<()> {
        let (container, place) = (bucket.as_str(), Place::Natural(key.clone()));
        let aside = match self.stat_managed(container, version).await {
            Ok(stat) => stat.stamp == *stamp,
            Err(Error::NotFound) => false,
            Err(error) => return Err(error),
        };
        let there = match self.stat(container, &place).await {
            Ok(there) if stamp.names(&there.stamp) => there,
            Ok(_) | Err(Error::NotFound) if aside => return Ok(()),
            Ok(_) => return Err(Error::StampMismatch),
            Err(error) => return Err(error),
        };
        if !aside {
            // A copy that did not come to its end is in the way.
            self.free(container, version, None).await?;
            self.copy_aside((bucket, &place), version, &there).await?;
        }
        let name = self.name_of(key).ok_or(Error::NotFound)?;
        let removed = match self.wire.file(container, name).await {
            Ok((entry, fuller)) if entry.stamp() == there.stamp => {
                let etag = entry.etag.as_deref().filter(|_| fuller);
                self.wire.remove(container, name, etag).await
            }
            // Somebody else has replaced or removed it, and the bytes are aside.
            Ok(_) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        };
        match removed {
            Err(Error::StampMismatch) => Ok(()),
            removed => removed,
        }
    }

    /// Removes all files of ours from a container.
    async fn clear_reserved(&self, container: &str) -> Result<()> {
        for _ in 0..CLOUD_CLEAR_ROUNDS_MAX {
            let page = self.reserved(container, names::RESERVED, None, LIST_KEYS_MAX).await?;
            if page.is_empty() {
                return Ok(());
            }
            let removals: Vec<_> = page.iter().map(|entry| self.wire.remove(container, &entry.name, None)).collect();
            stream::iter(removals).buffer_unordered(REMOTE_FILES_AT_ONCE).try_collect::<()>().await?;
        }
        Err(Error::NotEmpty)
    }
}

#[async_trait]
impl Provider for RemoteProvider {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            natural: false,
            exchange: false,
            records: true,
            durable: false,
            reflink: false,
            inline: false,
            flat: true,
            conditional: false,
        }
    }

    fn belongs_to(&self, catalog: &str) {
        self.remote.wire.ask_for(catalog);
    }

    async fn containers(&self) -> Result<Vec<Container>> {
        let mut listing = self.remote.wire.containers().await?;
        self.remote.met(listing.paged);
        let mut found = Vec::new();
        while let Some(value) = listing.next().await? {
            let name = value["name"].as_str().ok_or_else(|| strange("a container without a name is listed"))?;
            let Ok(bucket) = BucketName::new(name) else { continue };
            if found.len() == REMOTE_CONTAINERS_MAX {
                return Err(strange("there are more containers than are taken"));
            }
            found.push(described(bucket, entry::container(&value, name).unwrap_or_default()));
        }
        found.sort_unstable_by(|a: &Container, b| a.name.cmp(&b.name));
        Ok(found)
    }

    async fn container(&self, container: &BucketName) -> Result<Option<Container>> {
        let made = self.remote.wire.container(container.as_str()).await?;
        Ok(made.map(|made| described(container.clone(), made)))
    }

    async fn create_container(&self, container: &BucketName) -> Result<()> {
        let (wire, name) = (&self.remote.wire, container.as_str());
        if name.contains('\\') {
            return Err(Error::BadName);
        }
        if wire.container(name).await?.is_some() {
            return Err(Error::AlreadyExists);
        }
        let created = wire.create(name).await;
        // What was answered says little: some providers forget the name, and one that failed may be of another's making.
        match (created, wire.container(name).await?) {
            (Ok(()), Some(_)) => Ok(()),
            (Ok(()), None) => Err(strange("a container that was made is not there")),
            (Err(Error::Failed(_)), Some(_)) => Err(Error::AlreadyExists),
            (Err(error), _) => Err(error),
        }
    }

    async fn delete_container(&self, container: &BucketName) -> Result<()> {
        let (remote, name) = (&self.remote, container.as_str());
        remote.require(name).await?;
        if !remote.is_vacant(name).await? {
            return Err(Error::NotEmpty);
        }
        remote.clear_reserved(name).await?;
        // The other side removes what is in a container with it: so it is looked at again, right before.
        if !remote.is_vacant(name).await? {
            return Err(Error::NotEmpty);
        }
        let destroyed = remote.wire.destroy(name).await;
        match (destroyed, remote.wire.container(name).await?) {
            (_, None) => Ok(()),
            (Ok(()), Some(_)) => Err(strange("a container that was removed is still there")),
            // Something lies in it that is no file.
            (Err(Error::Failed(_)), Some(_)) => Err(Error::NotEmpty),
            (Err(error), Some(_)) => Err(error),
        }
    }

    async fn is_vacant(&self, container: &BucketName) -> Result<bool> {
        self.remote.is_vacant(container.as_str()).await
    }

    async fn read_note(&self, container: &BucketName, note: Note) -> Result<Option<Bytes>> {
        let slots = self.remote.slots(container.as_str(), &names::note(note)).await?;
        match slots.text() {
            Some(text) => Ok(Some(text)),
            None => self.remote.require(container.as_str()).await.map(|_| None),
        }
    }

    async fn write_note(&self, container: &BucketName, note: Note, text: Bytes) -> Result<()> {
        self.remote.write_anew(container.as_str(), &names::note(note), &text).await
    }

    async fn stat(&self, container: &BucketName, place: &Place) -> Result<Stat> {
        self.remote.stat(container.as_str(), place).await
    }

    /// A container goes away with its id: so that is read last.
    async fn look(&self, container: &BucketName, place: &Place) -> Result<(Option<Stat>, Option<Bytes>)> {
        let stat = match self.stat(container, place).await {
            Ok(stat) => Some(stat),
            Err(Error::NotFound) => None,
            Err(error) => return Err(error),
        };
        Ok((stat, self.read_note(container, Note::Id).await?))
    }

    async fn read(&self, container: &BucketName, place: &Place, stamp: &Stamp, range: Range<u64>) -> Result<Body> {
        self.remote.read(container, place, stamp, range).await
    }

    async fn stage(&self, container: &BucketName, version: VersionId) -> Result<Box<dyn Stage>> {
        let container = container.as_str().to_owned();
        Ok(Box::new(RemoteStage::new(Arc::clone(&self.remote), container, version)))
    }

    async fn set_record(&self, container: &BucketName, place: &Place, stamp: &Stamp, record: &Record) -> Result<()> {
        let (remote, name) = (&self.remote, container.as_str());
        let Place::Managed(version) = place else {
            // Beside what lies at a key there is nothing of ours.
            let found = remote.stat(name, place).await?.stamp;
            return if stamp.names(&found) { Ok(()) } else { Err(Error::StampMismatch) };
        };
        let (entry, beside, _) = remote.known(name, *version).await?;
        let beside = beside.filter(|beside| stamp.names(&beside.stamp()) && beside.size == entry.size);
        let mut beside = beside.ok_or(Error::StampMismatch)?;
        beside.record = Some(record.clone());
        remote.write_anew(name, &names::record(*version), &beside.text()?).await
    }

    async fn delete_managed(&self, container: &BucketName, version: VersionId, stamp: Option<&Stamp>) -> Result<()> {
        let (remote, name) = (&self.remote, container.as_str());
        let mut slots = None;
        if let Some(stamp) = stamp {
            match remote.known(name, version).await {
                Ok((entry, beside, there)) => {
                    if !stamp.names(&seen(&entry, beside).stamp) {
                        return Err(Error::StampMismatch);
                    }
                    slots = Some(there);
                }
                Err(Error::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        remote.free(name, version, slots).await
    }

    /// Nothing is replaced at a key here: a version stays at its managed place. One that is at its key as it was found
    /// there, and of which a removal that failed has left a copy aside, is there alone again.
    async fn lay_out(&self, container: &BucketName, step: LayOut<'_>) -> Result<LaidOut> {
        let (remote, name) = (&self.remote, container.as_str());
        match remote.stat(name, &Place::Natural(step.key.clone())).await {
            Ok(there) if there.stamp == *step.stamp => {
                remote.free(name, step.version, None).await?;
                Ok(LaidOut::Done)
            }
            Ok(_) | Err(Error::NotFound) => Err(Error::Clash),
            Err(error) => Err(error),
        }
    }

    async fn take_aside(
        &self,
        container: &BucketName,
        key: &ObjectKey,
        version: VersionId,
        stamp: &Stamp,
    ) -> Result<()> {
        self.remote.take_aside(container, key, version, stamp).await
    }

    async fn prune(&self, _container: &BucketName, _key: &ObjectKey) -> Result<()> {
        Ok(())
    }

    async fn list(
        &self,
        container: &BucketName,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListedPage> {
        self.remote.list_keys(container.as_str(), prefix, after, limit).await
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
        self.remote.list_managed(container.as_str(), after, limit).await
    }

    async fn sweep_staged(&self, container: &BucketName, before: Timestamp) -> Result<u64> {
        self.remote.sweep(container.as_str(), before).await
    }

    /// What was given up is removed behind the answers; nothing else is owed to the other side.
    async fn settle(&self, _container: &BucketName) -> Result<()> {
        let waited = timeout(Duration::from_secs(SETTLE_SECONDS_MAX), self.remote.clearing.write()).await;
        waited.map(drop).map_err(|_| Error::Unavailable(io::Error::other("what was given up is still being removed")))
    }

    async fn begin_upload(&self, container: &BucketName, _version: VersionId) -> Result<String> {
        self.remote.require(container.as_str()).await.map(|_| String::new())
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
        let mut stage = RemoteStage::new(Arc::clone(&self.remote), container.as_str().to_owned(), version);
        for part in parts {
            let place = Place::Managed(part.attempt);
            let taken = stage.take_from(container, &place, &part.stamp, 0..part.size).await;
            if let Err(error) = taken {
                stage.give_up().await;
                return Err(error);
            }
        }
        Ok(Box::new(stage))
    }

    async fn free_upload(&self, container: &BucketName, _handle: &str, attempts: &[VersionId]) -> Result<()> {
        let removals: Vec<_> = attempts.iter().map(|attempt| self.delete_managed(container, *attempt, None)).collect();
        stream::iter(removals).buffer_unordered(REMOTE_FILES_AT_ONCE).try_collect().await
    }
}
