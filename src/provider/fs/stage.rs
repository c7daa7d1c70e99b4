//! A body on its way in.
//!
//! A body of one block at most stays in memory, and everything that makes it a managed file happens in one hop to a
//! blocking thread. A larger one is written block by block, each while the next one is on its way.
//!
//! **Invariant:** at most two blocks are in memory. A stage that is dropped at any moment leaves no file: what a
//! blocking thread still holds goes when the thread is done with it.

use std::fmt;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::task::JoinHandle;

use super::draft::Draft;
use super::error::failed;
use super::root::Root;
use super::space::Space;
use super::spot::Facts;
use super::{blocking, joined};
use crate::config::limits::BLOCK_BYTES;
use crate::model::id::VersionId;
use crate::model::name::BucketName;
use crate::model::place::{Place, Stamp};
use crate::provider::{Error, Result, Seal, Stage};

/// Pieces kept as they came; more of them are joined, so that their number is bounded as their bytes are.
const PIECES_MAX: usize = 256;
/// Bytes copied in one hop to a blocking thread: a copy that nobody waits for any more ends after so many.
const COPY_BYTES: u64 = 64 * 1024 * 1024;

/// What has left memory already.
enum Work {
    /// Nothing: no file was made yet.
    None,
    /// The file, at rest.
    Idle(Box<Draft>),
    /// The file, being written.
    Writing(JoinHandle<Result<Box<Draft>>>),
    /// An earlier step failed.
    Broken,
}

/// A body on its way to `managed(version)`.
pub(super) struct FsStage {
    root: Arc<Root>,
    space: Arc<Space>,
    version: VersionId,
    held: Vec<Bytes>,
    held_bytes: usize,
    work: Work,
}

impl fmt::Debug for FsStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FsStage")
            .field("container", &self.space.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// The source of a copy, opened once.
struct Source {
    file: OwnedFd,
    stamp: Stamp,
}

impl Source {
    fn check(&self) -> Result<Facts> {
        let facts = Facts::of_open(&self.file)?;
        if facts.is(&self.stamp) { Ok(facts) } else { Err(Error::StampMismatch) }
    }
}

impl FsStage {
    /// An empty one.
    pub(super) fn new(root: Arc<Root>, space: Arc<Space>, version: VersionId) -> Self {
        Self { root, space, version, held: Vec::new(), held_bytes: 0, work: Work::None }
    }

    /// Waits for the write under way and takes the file, if there is one yet.
    async fn rest(&mut self) -> Result<Option<Box<Draft>>> {
        if let Work::Writing(task) = &mut self.work {
            let done = joined(task.await).and_then(|done| done);
            self.work = Work::Broken;
            return done.map(Some);
        }
        match std::mem::replace(&mut self.work, Work::Broken) {
            Work::None => Ok(None),
            Work::Idle(draft) => Ok(Some(draft)),
            Work::Writing(_) | Work::Broken => Err(failed("the stage failed before")),
        }
    }

    fn take_held(&mut self) -> Vec<Bytes> {
        self.held_bytes = 0;
        std::mem::take(&mut self.held)
    }

    /// Starts to write what is held.
    async fn flush(&mut self) -> Result<()> {
        let draft = self.rest().await?;
        let held = self.take_held();
        let (space, version) = (self.space.clone(), self.version);
        self.work = Work::Writing(tokio::task::spawn_blocking(move || {
            let mut draft = opened(draft, &space, version)?;
            draft.write(&held)?;
            Ok(draft)
        }));
        Ok(())
    }
}

fn opened(draft: Option<Box<Draft>>, space: &Space, version: VersionId) -> Result<Box<Draft>> {
    draft.map_or_else(|| Draft::open(space, version).map(Box::new), Ok)
}

#[async_trait]
impl Stage for FsStage {
    async fn write(&mut self, block: Bytes) -> Result<()> {
        if block.is_empty() {
            return Ok(());
        }
        if self.held.len() >= PIECES_MAX {
            let mut all = BytesMut::with_capacity(self.held_bytes);
            self.held.drain(..).for_each(|piece| all.extend_from_slice(&piece));
            self.held.push(all.freeze());
        }
        self.held_bytes += block.len();
        self.held.push(block);
        if self.held_bytes > BLOCK_BYTES { self.flush().await } else { Ok(()) }
    }

    async fn append(&mut self, container: &BucketName, from: &Place, stamp: &Stamp, range: Range<u64>) -> Result<()> {
        self.flush().await?;
        let mut draft = self.rest().await?.ok_or_else(|| failed("the stage has no file"))?;
        let (root, container, from, stamp) = (self.root.clone(), container.clone(), from.clone(), stamp.clone());
        let end = range.end;
        let mut source = blocking(move || {
            let (file, _) = root.enter(&container)?.open_file(&from)?;
            let source = Source { file, stamp };
            if range.start > range.end || range.end > source.check()?.size {
                return Err(failed("a range beyond the end of the source was to be copied"));
            }
            Ok(source)
        })
        .await?;
        let mut at = range.start;
        loop {
            let slice = at..end.min(at.saturating_add(COPY_BYTES));
            at = slice.end;
            (draft, source) = blocking(move || {
                draft.copy(&source.file, slice)?;
                source.check()?;
                Ok((draft, source))
            })
            .await?;
            if at == end {
                break;
            }
        }
        self.work = Work::Idle(draft);
        Ok(())
    }

    async fn publish(mut self: Box<Self>, seal: Seal<'_>) -> Result<Stamp> {
        let draft = self.rest().await?;
        let held = self.take_held();
        let (space, version) = (self.space.clone(), self.version);
        let (modified, size, record) = (seal.modified, seal.size, seal.record.cloned());
        let durable = space.terms.durable && !seal.unsynced;
        blocking(move || {
            let mut draft = opened(draft, &space, version)?;
            draft.write(&held)?;
            draft.publish(modified, size, record.as_ref(), durable)
        })
        .await
    }
}
