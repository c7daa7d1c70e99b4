//! Bodies on their way to a cloud.
//!
//! A small body is one request with its record beside it; a larger one goes in blocks, of which this holds one in memory.
//! What is copied as a whole, and what is joined of parts, moves within the cloud.
//!
//! **Invariant:** nothing is at the managed name before `publish`, and then all of it; a stage that is dropped gives its
//! blocks up, and what a crash leaves is found by the sweep. Memory is bounded for all bodies together: beyond its first
//! few bytes a body waits for a block's worth.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::mark::Mark;
use super::payload::Payload;
use super::service::{At, Facts, Piece, Sent, When};
use super::space::Space;
use crate::config::limits::{CLOUD_BLOCK_BYTES, CLOUD_BLOCK_WAIT_SECONDS_MAX, CLOUD_FREE_BYTES};
use crate::model::id::VersionId;
use crate::model::name::BucketName;
use crate::model::object::Content;
use crate::model::place::{Place, Stamp};
use crate::provider::{Body, Error, Result, Seal, Stage};

/// What a body consists of so far.
enum Made {
    /// Bytes in memory, and blocks that were sent before them.
    Bytes,
    /// All bytes of one object, to be copied.
    Copy { container: String, name: String, stamp: Stamp, facts: Box<Facts> },
    /// Parts, to be joined.
    Join(Vec<Piece>),
}

/// A body on its way in.
pub(super) struct CloudStage {
    space: Arc<Space>,
    container: String,
    version: VersionId,
    name: String,
    made: Made,
    /// Bytes that were not sent yet.
    rest: VecDeque<Bytes>,
    rest_len: usize,
    /// What lets it hold a block's worth of them.
    room: Option<OwnedSemaphorePermit>,
    /// The handle of the blocks, once one was sent.
    handle: Option<String>,
    sent: Vec<Sent>,
    written: u64,
}

impl fmt::Debug for CloudStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudStage")
            .field("version", &self.version)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

impl CloudStage {
    pub(super) fn new(space: Arc<Space>, container: String, version: VersionId) -> Self {
        let name = Space::managed(version);
        let (rest, sent) = (VecDeque::new(), Vec::new());
        let made = Made::Bytes;
        Self { space, container, version, name, made, rest, rest_len: 0, room: None, handle: None, sent, written: 0 }
    }

    /// Of parts that lie at managed names.
    pub(super) fn joining(space: Arc<Space>, container: String, version: VersionId, pieces: Vec<Piece>) -> Self {
        let written = pieces.iter().map(|piece| piece.size).sum();
        let mut stage = Self::new(space, container, version);
        (stage.made, stage.written) = (Made::Join(pieces), written);
        stage
    }

    fn at(&self) -> At<'_> {
        At { container: &self.container, name: &self.name }
    }

    async fn make_room(&mut self) -> Result<()> {
        let wait = Duration::from_secs(CLOUD_BLOCK_WAIT_SECONDS_MAX);
        let room = timeout(wait, Arc::clone(&self.space.room).acquire_owned()).await;
        let room = room.ok().and_then(|room| room.ok());
        let busy = || Error::Unavailable(io::Error::other("too many large bodies are on their way to this provider"));
        self.room = Some(room.ok_or_else(busy)?);
        Ok(())
    }

    /// The next block's worth of what was not sent yet.
    fn take_block(&mut self) -> Payload {
        let mut block = Payload::default();
        while let Some(mut piece) = self.rest.pop_front() {
            let left = CLOUD_BLOCK_BYTES - usize::try_from(block.len()).unwrap_or(CLOUD_BLOCK_BYTES);
            if piece.len() > left {
                let rest = piece.split_off(left);
                self.rest.push_front(rest);
            }
            self.rest_len -= piece.len();
            block.push(piece);
            if block.len() == CLOUD_BLOCK_BYTES as u64 {
                break;
            }
        }
        block
    }

    async fn send_block(&mut self) -> Result<()> {
        let block = self.take_block();
        let number = u32::try_from(self.sent.len() + 1).map_err(|error| Error::Failed(io::Error::other(error)))?;
        if number > self.space.service.rules().blocks_max {
            return Err(Error::Failed(io::Error::other("the body has more blocks than the storage takes")));
        }
        let handle = match &self.handle {
            Some(handle) => handle.clone(),
            None => {
                // Where this is the last word on headers the rest is put on when the version comes to its key.
                let (content, _) = Mark::of(self.version).beside(&Content::default(), self.mark_bytes_max());
                let handle = self.space.service.begin(self.at(), &content).await?;
                self.handle.insert(handle).clone()
            }
        };
        let tag = self.space.service.block(self.at(), &handle, number, &block).await?;
        self.sent.push(Sent { number, tag, size: block.len(), md5: block.md5_hex() });
        Ok(())
    }

    fn mark_bytes_max(&self) -> usize {
        self.space.service.rules().mark_bytes_max
    }

    /// The mark and headers of the whole body, with whether the record is among them.
    fn headers(&self, seal: &Seal<'_>, digest: Option<String>) -> (Mark, Content, bool) {
        let record = seal.record.map(|record| Box::new(record.clone()));
        let (size, modified) = (Some(seal.size), Some(seal.modified));
        let mark = Mark { digest, size, modified, record, ..Mark::of(self.version) };
        let content = seal.record.map(|record| record.content.clone()).unwrap_or_default();
        let (content, whole) = mark.clone().beside(&content, self.mark_bytes_max());
        (mark, content, whole || seal.record.is_none())
    }

    /// Copies bytes that were named but not read, because more follows.
    async fn read_named(&mut self) -> Result<()> {
        if let Made::Copy { container, name, stamp, facts } = std::mem::replace(&mut self.made, Made::Bytes) {
            self.written = 0;
            let body = self.space.read(&container, &name, &stamp, 0..facts.size).await?;
            self.take(body).await?;
        }
        Ok(())
    }

    async fn take(&mut self, body: Body) -> Result<()> {
        match body {
            Body::Whole(bytes) => self.take_bytes(bytes).await,
            Body::Blocks(mut blocks) => {
                while let Some(block) = blocks.next().await {
                    self.take_bytes(block?).await?;
                }
                Ok(())
            }
        }
    }

    async fn take_bytes(&mut self, bytes: Bytes) -> Result<()> {
        self.written += bytes.len() as u64;
        self.rest_len += bytes.len();
        if self.rest_len > CLOUD_FREE_BYTES && self.room.is_none() {
            self.make_room().await?;
        }
        self.rest.push_back(bytes);
        // A body of exactly one block goes as a whole.
        while self.rest_len > CLOUD_BLOCK_BYTES {
            self.send_block().await?;
        }
        Ok(())
    }

    async fn publish_bytes(&mut self, seal: &Seal<'_>) -> Result<Stamp> {
        if self.handle.is_none() {
            let body = self.take_block();
            let digest = self.space.service.rules().md5.then(|| body.md5_hex());
            let (mark, content, whole) = self.headers(seal, digest);
            self.keep_record(seal, whole).await?;
            self.space.service.put(self.at(), &body, &content, When::Always).await?;
            return Ok(mark.stamp(seal.size));
        }
        if self.rest_len > 0 {
            self.send_block().await?;
        }
        let (mark, content, whole) = self.headers(seal, None);
        // Where the headers had to be told first, the record is not among them.
        self.keep_record(seal, whole && self.space.service.rules().late_headers).await?;
        let handle = self.handle.clone().unwrap_or_default();
        self.space.service.commit(self.at(), &handle, &self.sent, &content).await?;
        self.handle = None;
        Ok(mark.stamp(seal.size))
    }

    async fn keep_record(&self, seal: &Seal<'_>, whole: bool) -> Result<()> {
        match seal.record {
            Some(record) if !whole => self.space.write_record(&self.container, record).await,
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Stage for CloudStage {
    async fn write(&mut self, block: Bytes) -> Result<()> {
        self.read_named().await?;
        self.take_bytes(block).await
    }

    async fn append(&mut self, container: &BucketName, from: &Place, stamp: &Stamp, range: Range<u64>) -> Result<()> {
        self.read_named().await?;
        let (container, name) = (self.space.container(container)?, Space::name(from));
        if self.written == 0 && range.start == 0 && !range.is_empty() {
            let known = self.space.known(&container, &name).await?;
            if known.stamp != *stamp {
                return Err(Error::StampMismatch);
            }
            if known.facts.size == range.end {
                self.written = range.end;
                self.made = Made::Copy { container, name, stamp: known.stamp, facts: Box::new(known.facts) };
                return Ok(());
            }
        }
        let body = self.space.read(&container, &name, stamp, range).await?;
        self.take(body).await
    }

    async fn publish(mut self: Box<Self>, seal: Seal<'_>) -> Result<Stamp> {
        if self.written != seal.size {
            let why = "other than the announced number of bytes was written";
            return Err(Error::Failed(io::Error::other(why)));
        }
        match std::mem::replace(&mut self.made, Made::Bytes) {
            Made::Bytes => self.publish_bytes(&seal).await,
            Made::Copy { container, name, facts, .. } => {
                let (mark, content, whole) = self.headers(&seal, facts.digest.clone());
                self.keep_record(&seal, whole).await?;
                let from = At { container: &container, name: &name };
                self.space.service.copy(from, &facts, self.at(), &content, When::Always).await?;
                Ok(mark.stamp(seal.size))
            }
            Made::Join(pieces) if pieces.is_empty() => self.publish_bytes(&seal).await,
            Made::Join(pieces) => {
                let (mark, content, whole) = self.headers(&seal, None);
                self.keep_record(&seal, whole).await?;
                self.space.service.join(self.at(), &pieces, &content).await?;
                Ok(mark.stamp(seal.size))
            }
        }
    }
}

impl Drop for CloudStage {
    fn drop(&mut self) {
        let Some(handle) = self.handle.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (space, container, name) = (Arc::clone(&self.space), self.container.clone(), self.name.clone());
        runtime.spawn(async move {
            let at = At { container: &container, name: &name };
            if let Err(error) = space.service.abort(at, &handle).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "blocks stay until they are swept");
            }
        });
    }
}
