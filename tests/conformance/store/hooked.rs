//! A provider that lets a test act, or fail, at one call: what another process or the storage would do just then.
//!
//! **Invariant:** every method is forwarded, and a hook acts once.

#![deny(clippy::missing_trait_methods)]

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use longshore::model::id::VersionId;
use longshore::model::name::{BucketName, ObjectKey};
use longshore::model::place::{Place, Stamp};
use longshore::model::record::Record;
use longshore::model::time::Timestamp;
use longshore::provider::{
    Body, Capabilities, Container, Error, LaidOut, LayOut, ListedPage, ManagedFile, Note, PartRef, Provider, Result,
    Stage, Stat,
};

type Act = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = Result<()>> + Send>> + Send>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    Before,
    After,
}

struct Hook {
    method: &'static str,
    moment: Moment,
    /// Calls to let pass.
    skip: usize,
    act: Act,
}

/// What is to happen, and what was called.
#[derive(Default, Clone)]
pub(crate) struct Hooks {
    hooks: Arc<Mutex<Vec<Hook>>>,
    calls: Arc<Mutex<Vec<&'static str>>>,
}

impl Hooks {
    /// Does something before the next call of a method but `skip`.
    pub(crate) fn before<F>(&self, method: &'static str, skip: usize, act: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.add(method, Moment::Before, skip, act);
    }

    /// Does something after it, before its caller learns how it ended.
    pub(crate) fn after<F>(&self, method: &'static str, skip: usize, act: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.add(method, Moment::After, skip, act);
    }

    fn add<F>(&self, method: &'static str, moment: Moment, skip: usize, act: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let act: Act = Box::new(|| {
            let done = act();
            Box::pin(async move {
                done.await;
                Ok(())
            })
        });
        self.hooks.lock().expect("whole").push(Hook { method, moment, skip, act });
    }

    /// Lets the next `times` calls of a method fail without reaching the storage.
    pub(crate) fn fail(&self, method: &'static str, times: usize, error: fn() -> Error) {
        for _ in 0..times {
            let act: Act = Box::new(move || Box::pin(async move { Err(error()) }));
            self.hooks.lock().expect("whole").push(Hook { method, moment: Moment::Before, skip: 0, act });
        }
    }

    /// Whether every hook has acted.
    pub(crate) fn are_done(&self) -> bool {
        self.hooks.lock().expect("whole").is_empty()
    }

    /// Nothing is to happen any more.
    pub(crate) fn clear(&self) {
        self.hooks.lock().expect("whole").clear();
    }

    /// The methods called since the last time this was asked.
    pub(crate) fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.calls.lock().expect("whole"))
    }

    fn take(&self, method: &'static str, moment: Moment) -> Option<Act> {
        let mut hooks = self.hooks.lock().expect("whole");
        let at = hooks.iter().position(|hook| hook.method == method && hook.moment == moment)?;
        if hooks[at].skip > 0 {
            hooks[at].skip -= 1;
            return None;
        }
        Some(hooks.remove(at).act)
    }

    async fn pass<T>(&self, method: &'static str, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.calls.lock().expect("whole").push(method);
        if let Some(act) = self.take(method, Moment::Before) {
            act().await?;
        }
        let done = call.await;
        if let Some(act) = self.take(method, Moment::After) {
            act().await?;
        }
        done
    }
}

/// The provider inside, with hooks.
#[derive(Clone)]
pub(crate) struct Hooked {
    inner: Arc<dyn Provider>,
    hooks: Hooks,
}

impl Hooked {
    pub(crate) fn new(inner: Arc<dyn Provider>, hooks: Hooks) -> Self {
        Self { inner, hooks }
    }
}

impl std::fmt::Debug for Hooked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hooked")
    }
}

#[async_trait]
impl Provider for Hooked {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn belongs_to(&self, catalog: &str) {
        self.inner.belongs_to(catalog);
    }
    async fn containers(&self) -> Result<Vec<Container>> {
        self.hooks.pass("containers", self.inner.containers()).await
    }
    async fn container(&self, container: &BucketName) -> Result<Option<Container>> {
        self.hooks.pass("container", self.inner.container(container)).await
    }
    async fn create_container(&self, container: &BucketName) -> Result<()> {
        self.hooks.pass("create_container", self.inner.create_container(container)).await
    }
    async fn delete_container(&self, container: &BucketName) -> Result<()> {
        self.hooks.pass("delete_container", self.inner.delete_container(container)).await
    }
    async fn is_vacant(&self, container: &BucketName) -> Result<bool> {
        self.hooks.pass("is_vacant", self.inner.is_vacant(container)).await
    }
    async fn read_note(&self, container: &BucketName, note: Note) -> Result<Option<Bytes>> {
        self.hooks.pass("read_note", self.inner.read_note(container, note)).await
    }
    async fn write_note(&self, container: &BucketName, note: Note, text: Bytes) -> Result<()> {
        self.hooks.pass("write_note", self.inner.write_note(container, note, text)).await
    }
    async fn stat(&self, container: &BucketName, place: &Place) -> Result<Stat> {
        self.hooks.pass("stat", self.inner.stat(container, place)).await
    }
    async fn look(&self, container: &BucketName, place: &Place) -> Result<(Option<Stat>, Option<Bytes>)> {
        self.hooks.pass("look", self.inner.look(container, place)).await
    }
    async fn read(&self, container: &BucketName, place: &Place, stamp: &Stamp, range: Range<u64>) -> Result<Body> {
        self.hooks.pass("read", self.inner.read(container, place, stamp, range)).await
    }
    async fn stage(&self, container: &BucketName, version: VersionId) -> Result<Box<dyn Stage>> {
        self.hooks.pass("stage", self.inner.stage(container, version)).await
    }
    async fn set_record(&self, container: &BucketName, place: &Place, stamp: &Stamp, record: &Record) -> Result<()> {
        self.hooks.pass("set_record", self.inner.set_record(container, place, stamp, record)).await
    }
    async fn delete_managed(&self, container: &BucketName, version: VersionId, stamp: Option<&Stamp>) -> Result<()> {
        self.hooks.pass("delete_managed", self.inner.delete_managed(container, version, stamp)).await
    }
    async fn lay_out(&self, container: &BucketName, step: LayOut<'_>) -> Result<LaidOut> {
        self.hooks.pass("lay_out", self.inner.lay_out(container, step)).await
    }
    async fn take_aside(
        &self,
        container: &BucketName,
        key: &ObjectKey,
        version: VersionId,
        stamp: &Stamp,
    ) -> Result<()> {
        self.hooks.pass("take_aside", self.inner.take_aside(container, key, version, stamp)).await
    }
    async fn remove_archived(&self, container: &BucketName, key: &ObjectKey, stamp: &Stamp) -> Result<()> {
        self.hooks.pass("remove_archived", self.inner.remove_archived(container, key, stamp)).await
    }
    async fn prune(&self, container: &BucketName, key: &ObjectKey) -> Result<()> {
        self.hooks.pass("prune", self.inner.prune(container, key)).await
    }
    async fn list(
        &self,
        container: &BucketName,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListedPage> {
        self.hooks.pass("list", self.inner.list(container, prefix, after, limit)).await
    }
    async fn list_folded(
        &self,
        container: &BucketName,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListedPage> {
        self.inner.list_folded(container, prefix, after, limit).await
    }

    async fn sweep_staged(&self, container: &BucketName, before: Timestamp) -> Result<u64> {
        self.inner.sweep_staged(container, before).await
    }

    async fn list_managed(
        &self,
        container: &BucketName,
        after: Option<VersionId>,
        limit: usize,
    ) -> Result<Vec<ManagedFile>> {
        self.hooks.pass("list_managed", self.inner.list_managed(container, after, limit)).await
    }
    async fn settle(&self, container: &BucketName) -> Result<()> {
        self.hooks.pass("settle", self.inner.settle(container)).await
    }
    async fn begin_upload(&self, container: &BucketName, version: VersionId) -> Result<String> {
        self.hooks.pass("begin_upload", self.inner.begin_upload(container, version)).await
    }
    async fn stage_part(
        &self,
        container: &BucketName,
        handle: &str,
        number: u32,
        attempt: VersionId,
    ) -> Result<Box<dyn Stage>> {
        self.hooks.pass("stage_part", self.inner.stage_part(container, handle, number, attempt)).await
    }
    async fn assemble(
        &self,
        container: &BucketName,
        handle: &str,
        parts: &[PartRef],
        version: VersionId,
    ) -> Result<Box<dyn Stage>> {
        self.hooks.pass("assemble", self.inner.assemble(container, handle, parts, version)).await
    }
    async fn free_upload(&self, container: &BucketName, handle: &str, attempts: &[VersionId]) -> Result<()> {
        self.hooks.pass("free_upload", self.inner.free_upload(container, handle, attempts)).await
    }
}
