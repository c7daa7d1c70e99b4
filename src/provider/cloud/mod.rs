//! Object storages as providers: Amazon S3, Azure Blob, Google Cloud Storage, OpenStack Swift and Rackspace.
//!
//! What they have in common is written once, on top of the verbs of [`service::Service`]: the reserved tree, records,
//! stages, lay-outs, listings. Below it each has a driver that speaks its protocol.
//!
//! **Invariant:** as of every provider. A managed name is written once and by us alone; a key is written only under the
//! condition on what lay there.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use self::service::{Piece, Shared};
use self::space::Space;
use self::stage::CloudStage;
use crate::config::limits::CLOUD_PIECES_AT_ONCE;
use crate::model::id::VersionId;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::place::{Place, Stamp};
use crate::model::record::Record;
use crate::model::time::Timestamp;
use crate::provider::{
    Body, Capabilities, Container, Error, LaidOut, LayOut, ListedPage, ManagedFile, Note, PartRef, Provider, Result,
    Stage, Stat,
};

pub mod amazon;
pub mod azure;
pub mod beneath;
pub(in crate::provider) mod breaker;
pub mod google;
mod layout;
mod list;
mod mark;
pub mod payload;
pub mod service;
mod space;
mod stage;
pub mod swift;
pub mod transport;

/// An object storage.
pub struct CloudProvider {
    space: Arc<Space>,
    /// Several gateways may write there.
    shared: bool,
}

impl fmt::Debug for CloudProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.space.service, f)
    }
}

impl CloudProvider {
    /// Over a driver; `shared`: other gateways may serve the storage, too.
    #[must_use]
    pub fn new(service: Shared, shared: bool) -> Self {
        Self { space: Arc::new(Space::new(service)), shared }
    }

    fn described(name: BucketName, created: Timestamp) -> Container {
        Container { name, created, writable: true, folds: false }
    }

    async fn require(&self, container: &BucketName) -> Result<String> {
        let name = self.space.container(container)?;
        self.space.service.container(&name).await?.map(|_| name).ok_or(Error::NotFound)
    }
}

#[async_trait]
impl Provider for CloudProvider {
    fn capabilities(&self) -> Capabilities {
        let rules = self.space.service.rules();
        let judged = rules.conditions && rules.conditional_delete;
        Capabilities {
            natural: true,
            exchange: judged,
            records: true,
            durable: true,
            reflink: true,
            inline: false,
            flat: true,
            conditional: judged && (rules.unique_tags || !self.shared),
        }
    }

    async fn containers(&self) -> Result<Vec<Container>> {
        let all = self.space.service.containers().await?.into_iter();
        let named = all.filter_map(|(name, created)| Some(Self::described(BucketName::new(&name).ok()?, created)));
        let mut containers: Vec<_> = named.collect();
        containers.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(containers)
    }

    async fn container(&self, container: &BucketName) -> Result<Option<Container>> {
        let Ok(name) = self.space.container(container) else { return Ok(None) };
        let created = self.space.service.container(&name).await?;
        Ok(created.map(|created| Self::described(container.clone(), created)))
    }

    async fn create_container(&self, container: &BucketName) -> Result<()> {
        self.space.service.create_container(&self.space.container(container)?).await
    }

    async fn delete_container(&self, container: &BucketName) -> Result<()> {
        let name = self.require(container).await?;
        if !self.is_vacant(container).await? {
            return Err(Error::NotEmpty);
        }
        self.space.clear_reserved(&name).await?;
        self.space.service.delete_container(&name).await
    }

    async fn is_vacant(&self, container: &BucketName) -> Result<bool> {
        let name = self.space.container(container)?;
        let page = self.space.list_keys(&name, "", None, 1).await?;
        Ok(page.files.is_empty() && page.unnameable == 0)
    }

    async fn read_note(&self, container: &BucketName, note: Note) -> Result<Option<Bytes>> {
        let name = self.space.container(container)?;
        match self.space.small(&name, &Space::note(note)).await? {
            Some(text) => Ok(Some(text)),
            None => self.require(container).await.map(|_| None),
        }
    }

    async fn write_note(&self, container: &BucketName, note: Note, text: Bytes) -> Result<()> {
        let name = self.space.container(container)?;
        self.space.write_small(&name, &Space::note(note), text).await
    }

    async fn stat(&self, container: &BucketName, place: &Place) -> Result<Stat> {
        self.space.stat(&self.space.container(container)?, &Space::name(place)).await
    }

    /// A container of a cloud goes away by being deleted, and with its id: so that is read last.
    async fn look(&self, container: &BucketName, place: &Place) -> Result<(Option<Stat>, Option<Bytes>)> {
        let stat = match self.stat(container, place).await {
            Ok(stat) => Some(stat),
            Err(Error::NotFound) => None,
            Err(error) => return Err(error),
        };
        Ok((stat, self.read_note(container, Note::Id).await?))
    }

    async fn read(&self, container: &BucketName, place: &Place, stamp: &Stamp, range: Range<u64>) -> Result<Body> {
        let name = self.space.container(container)?;
        self.space.read(&name, &Space::name(place), stamp, range).await
    }

    async fn stage(&self, container: &BucketName, version: VersionId) -> Result<Box<dyn Stage>> {
        let name = self.space.container(container)?;
        Ok(Box::new(CloudStage::new(Arc::clone(&self.space), name, version)))
    }

    async fn set_record(&self, container: &BucketName, place: &Place, stamp: &Stamp, record: &Record) -> Result<()> {
        let name = self.space.container(container)?;
        if !stamp.names(&self.space.known(&name, &Space::name(place)).await?.stamp) {
            return Err(Error::StampMismatch);
        }
        self.space.write_record(&name, record).await
    }

    async fn delete_managed(&self, container: &BucketName, version: VersionId, stamp: Option<&Stamp>) -> Result<()> {
        let name = self.space.container(container)?;
        let managed = Space::managed(version);
        let Some(known) = self.space.known_if_there(&name, &managed).await? else { return Ok(()) };
        if stamp.is_some_and(|stamp| !stamp.names(&known.stamp)) {
            return Err(Error::StampMismatch);
        }
        self.space.free(&name, &managed, &known).await
    }

    async fn lay_out(&self, container: &BucketName, step: LayOut<'_>) -> Result<LaidOut> {
        self.space.lay_out(container, &step).await
    }

    async fn take_aside(
        &self,
        container: &BucketName,
        key: &ObjectKey,
        version: VersionId,
        stamp: &Stamp,
    ) -> Result<()> {
        self.space.take_aside(&self.space.container(container)?, key, version, stamp).await
    }

    async fn remove_archived(&self, container: &BucketName, key: &ObjectKey, stamp: &Stamp) -> Result<()> {
        let name = self.space.container(container)?;
        let Some(known) = self.space.known_if_there(&name, key.as_str()).await? else { return Ok(()) };
        if known.stamp != *stamp {
            return Ok(());
        }
        match self.space.free(&name, key.as_str(), &known).await {
            Err(Error::StampMismatch) => Ok(()),
            ended => ended,
        }
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
        self.space.list_keys(&self.space.container(container)?, prefix, after, limit).await
    }

    async fn list_folded(
        &self,
        container: &BucketName,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListedPage> {
        self.space.list_folded(&self.space.container(container)?, prefix, after, limit).await
    }

    async fn list_managed(
        &self,
        container: &BucketName,
        after: Option<VersionId>,
        limit: usize,
    ) -> Result<Vec<ManagedFile>> {
        self.space.list_managed(&self.space.container(container)?, after, limit).await
    }

    async fn sweep_staged(&self, container: &BucketName, before: Timestamp) -> Result<u64> {
        let name = self.space.container(container)?;
        let blocks = self.space.service.sweep(&name, before).await?;
        Ok(blocks + self.space.sweep_records(&name, before).await?)
    }

    async fn settle(&self, _container: &BucketName) -> Result<()> {
        // What a cloud has acknowledged is durable.
        Ok(())
    }

    async fn begin_upload(&self, container: &BucketName, _version: VersionId) -> Result<String> {
        self.require(container).await.map(|_| String::new())
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
        let name = self.space.container(container)?;
        let looks: Vec<_> = parts.iter().map(|part| self.space.piece(&name, part)).collect();
        let pieces: Vec<Piece> = stream::iter(looks).buffered(CLOUD_PIECES_AT_ONCE).try_collect().await?;
        let pieces: Vec<Piece> = pieces.into_iter().filter(|piece| piece.size > 0).collect();
        let least = self.space.service.rules().join_bytes_min;
        if pieces.iter().rev().skip(1).all(|piece| piece.size >= least) {
            return Ok(Box::new(CloudStage::joining(Arc::clone(&self.space), name, version, pieces)));
        }
        // The service would refuse the join: the bytes pass through here like any others, a block at a time.
        let mut stage = CloudStage::new(Arc::clone(&self.space), name, version);
        for part in parts.iter().filter(|part| part.size > 0) {
            stage.append(container, &Place::Managed(part.attempt), &part.stamp, 0..part.size).await?;
        }
        Ok(Box::new(stage))
    }

    async fn free_upload(&self, container: &BucketName, _handle: &str, attempts: &[VersionId]) -> Result<()> {
        let removals: Vec<_> = attempts.iter().map(|attempt| self.delete_managed(container, *attempt, None)).collect();
        stream::iter(removals).buffer_unordered(CLOUD_PIECES_AT_ONCE).try_collect().await
    }
}
