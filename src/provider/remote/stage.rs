//! Bodies on their way to the other side.
//!
//! A small one is held until it is whole, and sent with its length. A larger one is sent as it comes. Behind the bytes goes
//! a slip with what the other side cannot keep: the stamp, the MD5 and the record.
//!
//! **Invariant:** a body that is published lies there whole, as far as the other side tells, and its slip beside it; of one
//! that is not nothing stays, unless the other side cannot be reached, and then it is named by nothing.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};

use super::Remote;
use super::names;
use super::read::stamp_of;
use super::routes::strange;
use super::upload::Flow;
use crate::config::limits::BLOCK_BYTES;
use crate::model::id::{VersionId, hex};
use crate::model::name::BucketName;
use crate::model::place::{Place, Stamp};
use crate::model::record::Record;
use crate::model::time::Timestamp;
use crate::provider::{Body, Error, Result, Seal, Stage};

/// What is kept beside the bytes of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Beside {
    stamp: String,
    /// Bytes.
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) md5: Option<String>,
    pub(super) modified: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<Record>,
}

impl Beside {
    pub(super) fn stamp(&self) -> Stamp {
        Stamp::new(&self.stamp)
    }

    pub(super) fn text(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| Error::Failed(io::Error::other(error)))
    }
}

/// A body on its way.
pub(super) struct RemoteStage {
    remote: Arc<Remote>,
    container: String,
    version: VersionId,
    name: String,
    held: BytesMut,
    flow: Option<Flow>,
    written: u64,
    md5: Md5,
    /// Something of it may lie there, and counts for nothing yet.
    dirty: bool,
}

impl fmt::Debug for RemoteStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteStage")
            .field("version", &self.version)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

impl RemoteStage {
    pub(super) fn new(remote: Arc<Remote>, container: String, version: VersionId) -> Self {
        let (name, held, md5) = (names::managed(version), BytesMut::new(), Md5::new());
        Self { remote, container, version, name, held, flow: None, written: 0, md5, dirty: false }
    }

    async fn take(&mut self, bytes: Bytes) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.md5.update(&bytes);
        self.written += bytes.len() as u64;
        if let Some(flow) = &mut self.flow {
            return flow.send(bytes).await;
        }
        self.held.extend_from_slice(&bytes);
        if self.held.len() > BLOCK_BYTES {
            self.dirty = true;
            let mut flow = self.remote.flow(&self.container, &self.name)?;
            let sent = flow.send(self.held.split().freeze()).await;
            self.flow = Some(flow);
            sent?;
        }
        Ok(())
    }

    /// Takes a range of the bytes of a stamp.
    pub(super) async fn take_from(
        &mut self,
        container: &BucketName,
        from: &Place,
        stamp: &Stamp,
        range: Range<u64>,
    ) -> Result<()> {
        match self.remote.read(container, from, stamp, range).await? {
            Body::Whole(bytes) => self.take(bytes).await,
            Body::Blocks(mut blocks) => {
                while let Some(block) = blocks.next().await {
                    self.take(block?).await?;
                }
                Ok(())
            }
        }
    }

    /// Sends what is left, looks whether it arrived, and writes the slip. `stamp`: it goes on under this one.
    pub(super) async fn land(&mut self, seal: &Seal<'_>, stamp: Option<&Stamp>) -> Result<Stamp> {
        if self.written != seal.size {
            return Err(Error::Failed(io::Error::other("other than the announced number of bytes was written")));
        }
        let md5 = hex(&std::mem::take(&mut self.md5).finalize());
        let stamp = stamp.cloned().unwrap_or_else(|| stamp_of(self.version, seal.size, &md5));
        let (at, remote) = ((&*self.container, &*self.name), Arc::clone(&self.remote));
        self.dirty = true;
        match self.flow.take() {
            Some(flow) => remote.land(flow, at, seal.size).await?,
            None => remote.upload(at.0, at.1, self.held.split().freeze()).await?,
        }
        let (size, modified, record) = (seal.size, seal.modified, seal.record.cloned());
        let beside = Beside { stamp: stamp.as_str().to_owned(), size, md5: Some(md5), modified, record }.text()?;
        let stem = names::record(self.version);
        let looked = async {
            match remote.wire.file(at.0, at.1).await {
                Ok((entry, _)) if entry.size == size => Ok(()),
                Ok(_) | Err(Error::NotFound) => Err(strange("what was stored is not what was sent")),
                Err(error) => Err(error),
            }
        };
        tokio::try_join!(looked, remote.write_first(at.0, &stem, &beside))?;
        self.dirty = false;
        Ok(stamp)
    }

    /// Removes what lies there of it.
    pub(super) async fn give_up(&mut self) {
        if let Some(flow) = self.flow.take() {
            flow.cut().await;
        }
        if std::mem::take(&mut self.dirty) {
            forget(&self.remote, &self.container, self.version).await;
        }
    }
}

async fn forget(remote: &Remote, container: &str, version: VersionId) {
    remote.clear(container, &names::managed(version)).await;
    let stem = names::record(version);
    if let Ok(slots) = remote.slots(container, &stem).await
        && let Err(error) = remote.remove_slots(container, &stem, &slots).await
    {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(container, %version, error, "a slip without bytes stays until it is swept");
    }
}

#[async_trait]
impl Stage for RemoteStage {
    async fn write(&mut self, block: Bytes) -> Result<()> {
        self.take(block).await
    }

    async fn append(&mut self, container: &BucketName, from: &Place, stamp: &Stamp, range: Range<u64>) -> Result<()> {
        self.take_from(container, from, stamp, range).await
    }

    async fn publish(mut self: Box<Self>, seal: Seal<'_>) -> Result<Stamp> {
        let landed = self.land(&seal, None).await;
        if landed.is_err() {
            self.give_up().await;
        }
        landed
    }
}

impl Drop for RemoteStage {
    fn drop(&mut self) {
        let flow = self.flow.take();
        if !self.dirty {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (remote, container, version) = (Arc::clone(&self.remote), self.container.clone(), self.version);
        // Whoever settles waits for it.
        let busy = Arc::clone(&remote.clearing).try_read_owned();
        runtime.spawn(async move {
            if let Some(flow) = flow {
                flow.cut().await;
            }
            forget(&remote, &container, version).await;
            drop(busy);
        });
    }
}
