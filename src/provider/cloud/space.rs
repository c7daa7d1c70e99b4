//! What stages, lay-outs and listings of one cloud share: names, looks and reads.
//!
//! **Invariant:** bytes that are read are those of the stamp that was asked for, also where a cut body was gone on with.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use tokio::sync::Semaphore;

use super::mark::{Known, Mark};
use super::payload::Payload;
use super::service::{At, Facts, Piece, Shared, When};
use crate::config::limits::{BLOCK_BYTES, CLOUD_ANSWER_BYTES_MAX, CLOUD_BLOCKS_MAX, CLOUD_READ_TRIES_MAX};
use crate::model::id::VersionId;
use crate::model::name::{BucketName, RESERVED};
use crate::model::object::Content;
use crate::model::place::{Place, Stamp};
use crate::model::record::Record;
use crate::provider::{Blocks, Body, Error, Note, PartRef, Result};

/// One cloud.
#[derive(Debug)]
pub(super) struct Space {
    pub(super) service: Shared,
    /// Memory for blocks of bodies on their way in.
    pub(super) room: Arc<Semaphore>,
}

impl Space {
    pub(super) fn new(service: Shared) -> Self {
        Self { service, room: Arc::new(Semaphore::new(CLOUD_BLOCKS_MAX)) }
    }

    /// The container of a bucket.
    pub(super) fn container(&self, bucket: &BucketName) -> Result<String> {
        if self.service.may_name(bucket.as_str()) { Ok(bucket.as_str().to_owned()) } else { Err(Error::BadName) }
    }

    /// What the names in the reserved tree begin with.
    pub(super) fn reserved() -> String {
        format!("{RESERVED}/")
    }

    /// What managed names begin with.
    pub(super) fn managed_prefix() -> String {
        format!("{RESERVED}/objects/")
    }

    pub(super) fn managed(version: VersionId) -> String {
        format!("{RESERVED}/objects/{}/{version}", version.shard())
    }

    pub(super) fn records_prefix() -> String {
        format!("{RESERVED}/records/")
    }

    pub(super) fn record(version: VersionId) -> String {
        format!("{RESERVED}/records/{}/{version}", version.shard())
    }

    pub(super) fn lost(name: &str) -> String {
        format!("{RESERVED}/lost/{name}")
    }

    pub(super) fn note(note: Note) -> String {
        format!("{RESERVED}/{}", note.name())
    }

    pub(super) fn name(place: &Place) -> String {
        match place {
            Place::Managed(version) => Self::managed(*version),
            Place::Natural(key) => key.as_str().to_owned(),
        }
    }

    /// What is at a name.
    pub(super) async fn known(&self, container: &str, name: &str) -> Result<Known> {
        self.service.head(At { container, name }).await.map(Known::new)
    }

    /// What is at a name, if anything is. A container that is missing holds nothing.
    pub(super) async fn known_if_there(&self, container: &str, name: &str) -> Result<Option<Known>> {
        match self.known(container, name).await {
            Ok(known) => Ok(Some(known)),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A part that is to be joined, as it lies there.
    pub(super) async fn piece(&self, container: &str, part: &PartRef) -> Result<Piece> {
        let name = Self::managed(part.attempt);
        let known = self.known(container, &name).await?;
        if known.stamp != part.stamp || known.facts.size != part.size {
            return Err(Error::StampMismatch);
        }
        Ok(Piece { name, tag: known.facts.tag, size: part.size })
    }

    /// Writes the record of a version beside its bytes.
    pub(super) async fn write_record(&self, container: &str, record: &Record) -> Result<()> {
        let text = serde_json::to_vec(record).map_err(|error| Error::Failed(io::Error::other(error)))?;
        let name = Self::record(record.version);
        self.service.put(At { container, name: &name }, &Bytes::from(text).into(), &json(), When::Always).await?;
        Ok(())
    }

    /// The record that was written beside the bytes of a version.
    pub(super) async fn read_record(&self, container: &str, version: VersionId) -> Result<Option<Record>> {
        let text = self.small(container, &Self::record(version)).await?;
        Ok(text.and_then(|text| Record::decode(&text)))
    }

    /// A small object of ours, whole.
    pub(super) async fn small(&self, container: &str, name: &str) -> Result<Option<Bytes>> {
        // One request, whatever its size: between two it may be written anew.
        match self.service.get(At { container, name }, 0..CLOUD_ANSWER_BYTES_MAX as u64).await {
            Ok((facts, _)) if facts.size > CLOUD_ANSWER_BYTES_MAX as u64 => {
                Err(Error::Failed(io::Error::other("a note is larger than any of ours")))
            }
            Ok((_, blocks)) => Ok(Some(collect(blocks).await?)),
            Err(Error::NotFound) => Ok(None),
            // There is no range of nothing.
            Err(Error::StampMismatch) => Ok(Some(Bytes::new())),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn write_small(&self, container: &str, name: &str, text: Bytes) -> Result<()> {
        let at = At { container, name };
        self.service.put(at, &Payload::from(text), &json(), When::Always).await.map(drop)
    }

    /// Removes what is known to be at a name, with the record beside it if it is its own: what others copied carries the
    /// mark of its original, whose record stays.
    pub(super) async fn free(&self, container: &str, name: &str, known: &Known) -> Result<()> {
        self.service.delete(At { container, name }, When::Is(&known.facts.tag)).await?;
        match known.version().filter(|version| name == Self::managed(*version)) {
            Some(version) => self.free_record(container, version).await,
            None => Ok(()),
        }
    }

    pub(super) async fn free_record(&self, container: &str, version: VersionId) -> Result<()> {
        let name = Self::record(version);
        self.service.delete(At { container, name: &name }, When::Always).await
    }

    /// Copies bytes as they are, under their stamp.
    pub(super) async fn move_to(
        &self,
        container: &str,
        from: &str,
        known: &Known,
        to: &str,
        when: When<'_>,
    ) -> Result<()> {
        let (mark, headers) = self.carried(container, known, to).await?;
        let (content, _) = mark.beside(&headers, self.service.rules().mark_bytes_max);
        let (from, to) = (At { container, name: from }, At { container, name: to });
        self.service.copy(from, &known.facts, to, &content, when).await
    }

    /// The mark and the headers of a copy. Some services are told both before the first byte is sent, when neither size nor
    /// sums are known; what is said then lies in the record beside the bytes, and is put on now.
    async fn carried(&self, container: &str, known: &Known, to: &str) -> Result<(Mark, Content)> {
        let (mark, mut headers) = (known.mark_of_copy(), known.facts.content.clone());
        let mut mark = match (mark.size, mark.version()) {
            (None, Some(version)) => match self.read_record(container, version).await?.filter(|r| known.fits(r)) {
                Some(record) => {
                    let completed = mark.completed(known.facts.size, &record);
                    headers = record.content;
                    completed
                }
                None => Mark { size: Some(known.facts.size), ..mark },
            },
            _ => mark,
        };
        // Where nobody but us writes the stamp is enough.
        if to.starts_with(&Self::reserved()) {
            mark.md5 = None;
        }
        Ok((mark, headers))
    }

    /// Reads a range of the bytes of a stamp.
    pub(super) async fn read(
        self: &Arc<Self>,
        container: &str,
        name: &str,
        stamp: &Stamp,
        range: Range<u64>,
    ) -> Result<Body> {
        if range.is_empty() {
            let known = self.known(container, name).await?;
            return if stamp.names(&known.stamp) { Ok(Body::Whole(Bytes::new())) } else { Err(Error::StampMismatch) };
        }
        let len = range.end - range.start;
        let blocks = self.open(container, name, stamp, range.clone()).await?;
        let reader = Reader {
            space: Arc::clone(self),
            container: container.to_owned(),
            name: name.to_owned(),
            stamp: stamp.clone(),
            rest: range,
            tries: 0,
            since: 0,
        };
        let blocks = reader.go_on(blocks);
        if len <= BLOCK_BYTES as u64 { Ok(Body::Whole(collect(blocks).await?)) } else { Ok(Body::Blocks(blocks)) }
    }

    async fn open(&self, container: &str, name: &str, stamp: &Stamp, range: Range<u64>) -> Result<Blocks> {
        let opened = self.service.get(At { container, name }, range.clone()).await;
        // A range beyond the end is a mistake of ours, if the bytes are those that were meant.
        let (facts, blocks) = match opened {
            Ok((facts, blocks)) if facts.size >= range.end => (facts, blocks),
            Ok((facts, _)) => return Err(beyond(facts, stamp)),
            Err(Error::StampMismatch) => {
                return Err(beyond(self.service.head(At { container, name }).await?, stamp));
            }
            Err(error) => return Err(error),
        };
        if stamp.names(&Known::new(facts).stamp) { Ok(blocks) } else { Err(Error::StampMismatch) }
    }
}

/// Why a range that ends behind `facts` cannot be read.
fn beyond(facts: Facts, stamp: &Stamp) -> Error {
    if !stamp.names(&Known::new(facts).stamp) {
        return Error::StampMismatch;
    }
    Error::Failed(io::Error::other("a range beyond the end of the bytes was asked for"))
}

fn json() -> Content {
    Content { content_type: Some("application/json".to_owned()), ..Content::default() }
}

async fn collect(mut blocks: Blocks) -> Result<Bytes> {
    let mut all = BytesMut::new();
    while let Some(block) = blocks.next().await {
        all.extend_from_slice(&block?);
    }
    Ok(all.freeze())
}

/// A body that is being read, and gone on with where it was cut.
struct Reader {
    space: Arc<Space>,
    container: String,
    name: String,
    stamp: Stamp,
    rest: Range<u64>,
    /// Cuts without a block's worth of bytes between them.
    tries: u32,
    /// Bytes that came since the last one.
    since: u64,
}

impl Reader {
    fn go_on(self, blocks: Blocks) -> Blocks {
        Box::pin(stream::try_unfold((self, blocks), |(mut reader, mut blocks)| async move {
            loop {
                match blocks.next().await {
                    Some(Ok(block)) => {
                        reader.came(block.len() as u64);
                        return Ok(Some((block, (reader, blocks))));
                    }
                    None if reader.rest.is_empty() => return Ok(None),
                    None => {
                        let why = io::Error::new(io::ErrorKind::UnexpectedEof, "the body ended early");
                        blocks = reader.again(Error::Unavailable(why)).await?;
                    }
                    Some(Err(error)) => blocks = reader.again(error).await?,
                }
            }
        }))
    }

    /// A service that cuts a long body now and then still gives it out. One that cuts it after every few bytes does not:
    /// nobody waits for the end of it.
    fn came(&mut self, bytes: u64) {
        self.rest.start += bytes;
        self.since += bytes;
        if self.since >= BLOCK_BYTES as u64 {
            self.tries = 0;
        }
    }

    async fn again(&mut self, error: Error) -> Result<Blocks> {
        self.tries += 1;
        self.since = 0;
        if !error.retryable() || self.tries > CLOUD_READ_TRIES_MAX {
            return Err(error);
        }
        tracing::debug!(error = &error as &dyn std::error::Error, "a body was cut and is gone on with");
        match self.space.open(&self.container, &self.name, &self.stamp, self.rest.clone()).await {
            // What was read is of bytes that are gone.
            Err(Error::NotFound) => Err(Error::StampMismatch),
            opened => opened,
        }
    }
}
