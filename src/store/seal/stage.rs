//! A stage that encrypts what is written to it, or passes it on as it is.
//!
//! **Invariant:** where there is a key, the stage inside never gets a plain byte.

use std::ops::Range;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use super::cipher::{DataKey, Sealer};
use crate::config::limits::INLINE_BYTES_MOST;
use crate::model::name::BucketName;
use crate::model::place::{Place, Stamp};
use crate::provider::{self, Seal, Stage};

/// A stage around another one.
#[derive(Debug)]
pub(in crate::store) struct SealedStage {
    inner: Box<dyn Stage>,
    sealer: Option<Sealer>,
    /// What the stage inside got, as long as the catalog could keep it.
    kept: Option<BytesMut>,
}

impl SealedStage {
    /// Encrypts with `key` as part `part` (0: the whole body); without a key it changes nothing.
    pub(in crate::store) fn over(inner: Box<dyn Stage>, key: Option<&DataKey>, part: u32) -> Self {
        let sealer = key.map(|key| Sealer::new(key, part));
        Self { inner, kept: sealer.as_ref().map(|_| BytesMut::new()), sealer }
    }

    /// Whether it encrypts.
    pub(in crate::store) fn seals(&self) -> bool {
        self.sealer.is_some()
    }

    /// Ends the body. Returns the stage, to be published, and the stored bytes if they are short: `plain` where nothing
    /// was encrypted.
    pub(in crate::store) async fn finish(
        mut self,
        plain: Option<Bytes>,
    ) -> provider::Result<(Box<dyn Stage>, Option<Bytes>)> {
        if self.sealer.is_none() {
            return Ok((self.inner, plain));
        }
        self.end().await?;
        Ok((self.inner, self.kept.map(BytesMut::freeze)))
    }

    async fn end(&mut self) -> provider::Result<()> {
        match self.sealer.take() {
            Some(mut sealer) => self.pass(sealer.end()).await,
            None => Ok(()),
        }
    }

    async fn pass(&mut self, chunk: Bytes) -> provider::Result<()> {
        match &mut self.kept {
            Some(kept) if kept.len() + chunk.len() <= INLINE_BYTES_MOST => kept.extend_from_slice(&chunk),
            _ => self.kept = None,
        }
        self.inner.write(chunk).await
    }
}

#[async_trait]
impl Stage for SealedStage {
    async fn write(&mut self, block: Bytes) -> provider::Result<()> {
        let Some(sealer) = &mut self.sealer else { return self.inner.write(block).await };
        // A block is a few chunks, which take less time than handing them to another thread.
        for chunk in sealer.push(&block) {
            self.pass(chunk).await?;
        }
        Ok(())
    }

    async fn append(
        &mut self,
        container: &BucketName,
        from: &Place,
        stamp: &Stamp,
        range: Range<u64>,
    ) -> provider::Result<()> {
        match self.sealer {
            Some(_) => {
                Err(provider::Error::Failed(std::io::Error::other("bytes of a storage cannot be encrypted there")))
            }
            None => self.inner.append(container, from, stamp, range).await,
        }
    }

    async fn publish(mut self: Box<Self>, seal: Seal<'_>) -> provider::Result<Stamp> {
        self.end().await?;
        self.inner.publish(seal).await
    }
}
