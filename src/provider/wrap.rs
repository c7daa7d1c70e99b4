//! A provider whose calls are timed.
//!
//! **Invariant:** every method of the trait is forwarded to the provider inside, so that no default of the trait ever
//! stands in for its own. The bytes of a body pass by untouched and untimed.

#![deny(clippy::missing_trait_methods)]

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::metrics::Metrics;
use crate::model::id::VersionId;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::place::{Place, Stamp};
use crate::model::record::Record;
use crate::model::time::Timestamp;
use crate::provider::{
    Body, Capabilities, Container, LaidOut, LayOut, ListedPage, ManagedFile, Note, PartRef, Provider, Result, Stage,
    Stat,
};

/// Times the calls of the provider inside.
#[derive(Debug)]
pub struct Metered {
    inner: Arc<dyn Provider>,
    name: Arc<str>,
    metrics: Arc<Metrics>,
}

impl Metered {
    /// Times the calls of `inner` under the provider's name.
    pub fn new(inner: Arc<dyn Provider>, name: &str, metrics: Arc<Metrics>) -> Self {
        Self { inner, name: name.into(), metrics }
    }

    async fn time<T>(&self, method: &'static str, call: impl Future<Output = T>) -> T {
        self.metrics.time(&self.name, method, call).await
    }
}

#[async_trait]
impl Provider for Metered {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn belongs_to(&self, catalog: &str) {
        self.inner.belongs_to(catalog);
    }

    async fn containers(&self) -> Result<Vec<Container>> {
        self.time("containers", self.inner.containers()).await
    }

    async fn container(&self, container: &BucketName) -> Result<Option<Container>> {
        self.time("container", self.inner.container(container)).await
    }

    async fn create_container(&self, container: &BucketName) -> Result<()> {
        self.time("create_container", self.inner.create_container(container)).await
    }

    async fn delete_container(&self, container: &BucketName) -> Result<()> {
        self.time("delete_container", self.inner.delete_container(container)).await
    }

    async fn is_vacant(&self, container: &BucketName) -> Result<bool> {
        self.time("is_vacant", self.inner.is_vacant(container)).await
    }

    async fn read_note(&self, container: &BucketName, note: Note) -> Result<Option<Bytes>> {
        self.time("read_note", self.inner.read_note(container, note)).await
    }

    async fn write_note(&self, container: &BucketName, note: Note, text: Bytes) -> Result<()> {
        self.time("write_note", self.inner.write_note(container, note, text)).await
    }

    async fn stat(&self, container: &BucketName, place: &Place) -> Result<Stat> {
        self.time("stat", self.inner.stat(container, place)).await
    }

    async fn look(&self, container: &BucketName, place: &Place) -> Result<(Option<Stat>, Option<Bytes>)> {
        self.time("look", self.inner.look(container, place)).await
    }

    async fn read(&self, container: &BucketName, place: &Place, stamp: &Stamp, range: Range<u64>) -> Result<Body> {
        self.time("read", self.inner.read(container, place, stamp, range)).await
    }

    async fn stage(&self, container: &BucketName, version: VersionId) -> Result<Box<dyn Stage>> {
        self.time("stage", self.inner.stage(container, version)).await
    }

    async fn set_record(&self, container: &BucketName, place: &Place, stamp: &Stamp, record: &Record) -> Result<()> {
        self.time("set_record", self.inner.set_record(container, place, stamp, record)).await
    }

    async fn delete_managed(&self, container: &BucketName, version: VersionId, stamp: Option<&Stamp>) -> Result<()> {
        self.time("delete_managed", self.inner.delete_managed(container, version, stamp)).await
    }

    async fn lay_out(&self, container: &BucketName, step: LayOut<'_>) -> Result<LaidOut> {
        self.time("lay_out", self.inner.lay_out(container, step)).await
    }

    async fn take_aside(
        &self,
        container: &BucketName,
        key: &ObjectKey,
        version: VersionId,
        stamp: &Stamp,
    ) -> Result<()> {
        self.time("take_aside", self.inner.take_aside(container, key, version, stamp)).await
    }

    async fn remove_archived(&self, container: &BucketName, key: &ObjectKey, stamp: &Stamp) -> Result<()> {
        self.time("remove_archived", self.inner.remove_archived(container, key, stamp)).await
    }

    async fn prune(&self, container: &BucketName, key: &ObjectKey) -> Result<()> {
        self.time("prune", self.inner.prune(container, key)).await
    }

    async fn list(
        &self,
        container: &BucketName,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListedPage> {
        self.time("list", self.inner.list(container, prefix, after, limit)).await
    }

    async fn list_folded(
        &self,
        container: &BucketName,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListedPage> {
        self.time("list_folded", self.inner.list_folded(container, prefix, after, limit)).await
    }

    async fn list_managed(
        &self,
        container: &BucketName,
        after: Option<VersionId>,
        limit: usize,
    ) -> Result<Vec<ManagedFile>> {
        self.time("list_managed", self.inner.list_managed(container, after, limit)).await
    }

    async fn sweep_staged(&self, container: &BucketName, before: Timestamp) -> Result<u64> {
        self.time("sweep_staged", self.inner.sweep_staged(container, before)).await
    }

    async fn settle(&self, container: &BucketName) -> Result<()> {
        self.time("settle", self.inner.settle(container)).await
    }

    async fn begin_upload(&self, container: &BucketName, version: VersionId) -> Result<String> {
        self.time("begin_upload", self.inner.begin_upload(container, version)).await
    }

    async fn stage_part(
        &self,
        container: &BucketName,
        handle: &str,
        number: u32,
        attempt: VersionId,
    ) -> Result<Box<dyn Stage>> {
        self.time("stage_part", self.inner.stage_part(container, handle, number, attempt)).await
    }

    async fn assemble(
        &self,
        container: &BucketName,
        handle: &str,
        parts: &[PartRef],
        version: VersionId,
    ) -> Result<Box<dyn Stage>> {
        self.time("assemble", self.inner.assemble(container, handle, parts, version)).await
    }

    async fn free_upload(&self, container: &BucketName, handle: &str, attempts: &[VersionId]) -> Result<()> {
        self.time("free_upload", self.inner.free_upload(container, handle, attempts)).await
    }
}
