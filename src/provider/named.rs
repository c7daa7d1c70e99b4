//! A provider whose containers are called otherwise than the buckets in them: all with a prefix, or some by a list.
//!
//! **Invariant:** bucket and container are one to one. A container without the prefix, or one that the list gives to a
//! bucket of another name, is not there for anybody else. Records name the container, so that what reads the storage
//! without this list finds what it expects.

#![deny(clippy::missing_trait_methods)]

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::model::id::VersionId;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::place::{Place, Stamp};
use crate::model::record::Record;
use crate::model::time::Timestamp;
use crate::provider::{
    Body, Capabilities, Container, Error, LaidOut, LayOut, ListedPage, ManagedFile, Note, PartRef, Provider, Result,
    Seal, Stage, Stat,
};

/// What buckets are called in the storage.
#[derive(Debug, Clone)]
struct Names {
    prefix: String,
    /// By bucket, and by container.
    containers: BTreeMap<BucketName, BucketName>,
    buckets: BTreeMap<BucketName, BucketName>,
}

impl Names {
    /// The container of a bucket. A bucket whose name in the storage is another's has none.
    fn container(&self, bucket: &BucketName) -> Result<BucketName> {
        if let Some(container) = self.containers.get(bucket) {
            return Ok(container.clone());
        }
        let name = format!("{}{}", self.prefix, bucket.as_str());
        let container = BucketName::new(&name).map_err(|_| Error::BadName)?;
        if self.buckets.contains_key(&container) { Err(Error::NotFound) } else { Ok(container) }
    }

    /// The bucket of a container.
    fn bucket(&self, container: &BucketName) -> Option<BucketName> {
        if let Some(bucket) = self.buckets.get(container) {
            return Some(bucket.clone());
        }
        let bucket = BucketName::new(container.as_str().strip_prefix(&self.prefix)?).ok()?;
        (!self.containers.contains_key(&bucket)).then_some(bucket)
    }

    fn as_bucket(&self, container: Container) -> Option<Container> {
        Some(Container { name: self.bucket(&container.name)?, ..container })
    }

    /// What lies in the container `own` of `bucket`. A record that speaks of somewhere else goes on doing so, also if
    /// what is called like this bucket there is another container.
    fn as_read(&self, (bucket, own): (&BucketName, &BucketName), stat: Stat) -> Stat {
        let named = |record: &Record| match self.bucket(&record.bucket) {
            Some(named) => named,
            None if record.bucket == *bucket => own.clone(),
            None => record.bucket.clone(),
        };
        let record = stat.record.map(|record| Record { bucket: named(&record), ..record });
        Stat { record, ..stat }
    }

    fn as_written(&self, record: &Record) -> Result<Record> {
        Ok(Record { bucket: self.container(&record.bucket)?, ..record.clone() })
    }
}

/// Calls the containers of the provider inside otherwise.
#[derive(Debug)]
pub struct Named {
    inner: Arc<dyn Provider>,
    names: Arc<Names>,
}

impl Named {
    /// Puts `prefix` before the names of buckets, except for those that `names` calls otherwise.
    pub fn new(inner: Arc<dyn Provider>, prefix: &str, names: &BTreeMap<BucketName, BucketName>) -> Self {
        let buckets = names.iter().map(|(bucket, container)| (container.clone(), bucket.clone())).collect();
        let names = Names { prefix: prefix.to_owned(), containers: names.clone(), buckets };
        Self { inner, names: Arc::new(names) }
    }

    fn stage_under(&self, inner: Box<dyn Stage>) -> Box<dyn Stage> {
        Box::new(NamedStage { inner, names: Arc::clone(&self.names) })
    }
}

/// A body of a bucket that is called otherwise.
#[derive(Debug)]
struct NamedStage {
    inner: Box<dyn Stage>,
    names: Arc<Names>,
}

#[async_trait]
impl Stage for NamedStage {
    async fn write(&mut self, block: Bytes) -> Result<()> {
        self.inner.write(block).await
    }

    async fn append(&mut self, container: &BucketName, from: &Place, stamp: &Stamp, range: Range<u64>) -> Result<()> {
        self.inner.append(&self.names.container(container)?, from, stamp, range).await
    }

    async fn publish(self: Box<Self>, seal: Seal<'_>) -> Result<Stamp> {
        let record = seal.record.map(|record| self.names.as_written(record)).transpose()?;
        self.inner.publish(Seal { record: record.as_ref(), ..seal }).await
    }
}

#[async_trait]
impl Provider for Named {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn belongs_to(&self, catalog: &str) {
        self.inner.belongs_to(catalog);
    }

    async fn containers(&self) -> Result<Vec<Container>> {
        let all = self.inner.containers().await?;
        let mut named: Vec<Container> = all.into_iter().filter_map(|found| self.names.as_bucket(found)).collect();
        named.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(named)
    }

    async fn container(&self, container: &BucketName) -> Result<Option<Container>> {
        match self.names.container(container) {
            Ok(named) => Ok(self.inner.container(&named).await?.and_then(|found| self.names.as_bucket(found))),
            Err(Error::NotFound | Error::BadName) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create_container(&self, container: &BucketName) -> Result<()> {
        match self.names.container(container) {
            Ok(named) => self.inner.create_container(&named).await,
            Err(Error::NotFound) => Err(Error::AlreadyExists),
            Err(error) => Err(error),
        }
    }

    async fn delete_container(&self, container: &BucketName) -> Result<()> {
        self.inner.delete_container(&self.names.container(container)?).await
    }

    async fn is_vacant(&self, container: &BucketName) -> Result<bool> {
        self.inner.is_vacant(&self.names.container(container)?).await
    }

    async fn read_note(&self, container: &BucketName, note: Note) -> Result<Option<Bytes>> {
        self.inner.read_note(&self.names.container(container)?, note).await
    }

    async fn write_note(&self, container: &BucketName, note: Note, text: Bytes) -> Result<()> {
        self.inner.write_note(&self.names.container(container)?, note, text).await
    }

    async fn stat(&self, container: &BucketName, place: &Place) -> Result<Stat> {
        let own = self.names.container(container)?;
        Ok(self.names.as_read((container, &own), self.inner.stat(&own, place).await?))
    }

    async fn look(&self, container: &BucketName, place: &Place) -> Result<(Option<Stat>, Option<Bytes>)> {
        let own = self.names.container(container)?;
        let (stat, id) = self.inner.look(&own, place).await?;
        Ok((stat.map(|stat| self.names.as_read((container, &own), stat)), id))
    }

    async fn read(&self, container: &BucketName, place: &Place, stamp: &Stamp, range: Range<u64>) -> Result<Body> {
        self.inner.read(&self.names.container(container)?, place, stamp, range).await
    }

    async fn stage(&self, container: &BucketName, version: VersionId) -> Result<Box<dyn Stage>> {
        let stage = self.inner.stage(&self.names.container(container)?, version).await?;
        Ok(self.stage_under(stage))
    }

    async fn set_record(&self, container: &BucketName, place: &Place, stamp: &Stamp, record: &Record) -> Result<()> {
        let record = self.names.as_written(record)?;
        self.inner.set_record(&self.names.container(container)?, place, stamp, &record).await
    }

    async fn delete_managed(&self, container: &BucketName, version: VersionId, stamp: Option<&Stamp>) -> Result<()> {
        self.inner.delete_managed(&self.names.container(container)?, version, stamp).await
    }

    async fn lay_out(&self, container: &BucketName, step: LayOut<'_>) -> Result<LaidOut> {
        self.inner.lay_out(&self.names.container(container)?, step).await
    }

    async fn take_aside(
        &self,
        container: &BucketName,
        key: &ObjectKey,
        version: VersionId,
        stamp: &Stamp,
    ) -> Result<()> {
        self.inner.take_aside(&self.names.container(container)?, key, version, stamp).await
    }

    async fn remove_archived(&self, container: &BucketName, key: &ObjectKey, stamp: &Stamp) -> Result<()> {
        self.inner.remove_archived(&self.names.container(container)?, key, stamp).await
    }

    async fn prune(&self, container: &BucketName, key: &ObjectKey) -> Result<()> {
        self.inner.prune(&self.names.container(container)?, key).await
    }

    async fn list(
        &self,
        container: &BucketName,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListedPage> {
        self.inner.list(&self.names.container(container)?, prefix, after, limit).await
    }

    async fn list_folded(
        &self,
        container: &BucketName,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListedPage> {
        self.inner.list_folded(&self.names.container(container)?, prefix, after, limit).await
    }

    async fn list_managed(
        &self,
        container: &BucketName,
        after: Option<VersionId>,
        limit: usize,
    ) -> Result<Vec<ManagedFile>> {
        let own = self.names.container(container)?;
        let files = self.inner.list_managed(&own, after, limit).await?;
        let read = |file: ManagedFile| ManagedFile { stat: self.names.as_read((container, &own), file.stat), ..file };
        Ok(files.into_iter().map(read).collect())
    }

    async fn sweep_staged(&self, container: &BucketName, before: Timestamp) -> Result<u64> {
        self.inner.sweep_staged(&self.names.container(container)?, before).await
    }

    async fn settle(&self, container: &BucketName) -> Result<()> {
        self.inner.settle(&self.names.container(container)?).await
    }

    async fn begin_upload(&self, container: &BucketName, version: VersionId) -> Result<String> {
        self.inner.begin_upload(&self.names.container(container)?, version).await
    }

    async fn stage_part(
        &self,
        container: &BucketName,
        handle: &str,
        number: u32,
        attempt: VersionId,
    ) -> Result<Box<dyn Stage>> {
        let stage = self.inner.stage_part(&self.names.container(container)?, handle, number, attempt).await?;
        Ok(self.stage_under(stage))
    }

    async fn assemble(
        &self,
        container: &BucketName,
        handle: &str,
        parts: &[PartRef],
        version: VersionId,
    ) -> Result<Box<dyn Stage>> {
        let stage = self.inner.assemble(&self.names.container(container)?, handle, parts, version).await?;
        Ok(self.stage_under(stage))
    }

    async fn free_upload(&self, container: &BucketName, handle: &str, attempts: &[VersionId]) -> Result<()> {
        self.inner.free_upload(&self.names.container(container)?, handle, attempts).await
    }
}
