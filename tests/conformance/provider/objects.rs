//! An object storage in memory, of each kind that there is: what is common to all clouds is held to the suite on it,
//! also where no cloud can be reached.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http_body_util::BodyExt as _;
use longshore::model::name::BucketName;
use longshore::model::object::Content;
use longshore::model::time::{Clock, Timestamp};
use longshore::provider::cloud::payload::Payload;
use longshore::provider::cloud::service::{At, Entry, Facts, Page, Piece, Rules, Sent, Service, When};
use longshore::provider::{Blocks, Error, Result};

use super::bed::Outside;

#[derive(Debug, Clone)]
struct Thing {
    bytes: Bytes,
    facts: Facts,
}

#[derive(Debug, Default)]
struct Inside {
    containers: BTreeMap<String, BTreeMap<String, Thing>>,
    blocks: BTreeMap<String, (Content, BTreeMap<u32, Bytes>)>,
    writes: u64,
    /// What somebody writes just before this name is removed.
    edit: Option<(String, Bytes)>,
    /// How the next removal of this name fails.
    refusal: Option<(String, fn() -> Error)>,
    /// Reads end with a failure after so many bytes.
    cut: Option<usize>,
}

/// The storage.
#[derive(Debug, Clone)]
pub(crate) struct Objects {
    rules: Rules,
    inside: Arc<Mutex<Inside>>,
}

impl Objects {
    pub(crate) fn new(late_headers: bool, md5: bool, mark_bytes_max: usize) -> Self {
        let rules = Rules {
            conditions: true,
            conditional_delete: true,
            unique_tags: true,
            late_headers,
            md5,
            mark_bytes_max,
            blocks_max: 10_000,
            join_bytes_min: 5 * 1024 * 1024,
            copy_bytes_max: u64::MAX,
        };
        Self { rules, inside: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap()
    }

    fn write(&self, at: At<'_>, bytes: Bytes, content: &Content, md5: bool, when: When<'_>) -> Result<String> {
        let mut inside = self.lock();
        inside.writes += 1;
        let tag = inside.writes.to_string();
        let things = inside.containers.get_mut(at.container).ok_or(Error::NotFound)?;
        judge(things.get(at.name), when)?;
        let digest = (self.rules.md5 && md5).then(|| Payload::from(bytes.clone()).md5_hex());
        let (size, modified) = (bytes.len() as u64, Clock::now());
        let facts = Facts { tag: tag.clone(), digest, etag: None, size, modified, content: content.clone() };
        things.insert(at.name.to_owned(), Thing { bytes, facts });
        Ok(tag)
    }

    fn thing(&self, at: At<'_>) -> Result<Thing> {
        let inside = self.lock();
        inside.containers.get(at.container).and_then(|things| things.get(at.name)).cloned().ok_or(Error::NotFound)
    }

    /// Such a storage whose tags are made of the bytes.
    pub(crate) fn with_tags_of_bytes(self) -> Self {
        Self { rules: Rules { unique_tags: false, ..self.rules }, ..self }
    }

    /// Somebody else writes this just before the name is removed.
    pub(crate) fn edit_before_removal(&self, name: &str, bytes: &'static [u8]) {
        self.lock().edit = Some((name.to_owned(), Bytes::from_static(bytes)));
    }

    /// The next removal of a name does nothing, and fails.
    pub(crate) fn refuse_removal(&self, name: &str, error: fn() -> Error) {
        self.lock().refusal = Some((name.to_owned(), error));
    }

    /// From now on each read breaks off after so many bytes.
    pub(crate) fn cut_reads(&self, after: usize) {
        self.lock().cut = Some(after);
    }

    /// Somebody writes over what is at a name and leaves its metadata as it is.
    pub(crate) fn rewrite(&self, at: At<'_>, bytes: &[u8]) {
        let content = self.thing(at).unwrap().facts.content;
        self.write(at, Bytes::copy_from_slice(bytes), &content, true, When::Always).unwrap();
    }

    /// Somebody copies what is at a name, with its metadata, as the storage's own copies do.
    pub(crate) fn duplicate(&self, from: At<'_>, to: At<'_>) {
        let Thing { bytes, facts } = self.thing(from).unwrap();
        self.write(to, bytes, &facts.content, facts.digest.is_some(), When::Always).unwrap();
    }

    /// What is left of bodies that were never finished.
    pub(crate) fn blocks(&self) -> usize {
        self.lock().blocks.len()
    }
}

fn judge(there: Option<&Thing>, when: When<'_>) -> Result<()> {
    let met = match when {
        When::Always => true,
        When::Absent => there.is_none(),
        When::Is(tag) => there.is_some_and(|thing| thing.facts.tag == tag),
    };
    if met { Ok(()) } else { Err(Error::StampMismatch) }
}

#[async_trait]
impl Service for Objects {
    fn rules(&self) -> Rules {
        self.rules
    }

    fn holds(&self, name: &str) -> bool {
        !name.contains("cannot-be-held")
    }

    fn may_name(&self, container: &str) -> bool {
        container.is_ascii()
    }

    async fn containers(&self) -> Result<Vec<(String, Timestamp)>> {
        Ok(self.lock().containers.keys().map(|name| (name.clone(), Timestamp(0))).collect())
    }

    async fn container(&self, container: &str) -> Result<Option<Timestamp>> {
        Ok(self.lock().containers.get(container).map(|_| Timestamp(0)))
    }

    async fn create_container(&self, container: &str) -> Result<()> {
        match self.lock().containers.insert(container.to_owned(), BTreeMap::new()) {
            None => Ok(()),
            Some(_) => Err(Error::AlreadyExists),
        }
    }

    async fn delete_container(&self, container: &str) -> Result<()> {
        let mut inside = self.lock();
        if !inside.containers.get(container).ok_or(Error::NotFound)?.is_empty() {
            return Err(Error::NotEmpty);
        }
        inside.containers.remove(container);
        Ok(())
    }

    async fn head(&self, at: At<'_>) -> Result<Facts> {
        self.thing(at).map(|thing| thing.facts)
    }

    async fn get(&self, at: At<'_>, range: Range<u64>) -> Result<(Facts, Blocks)> {
        let thing = self.thing(at)?;
        if range.start >= thing.facts.size {
            return Err(Error::StampMismatch);
        }
        let end = range.end.min(thing.facts.size);
        let bytes = thing.bytes.slice(usize::try_from(range.start).unwrap()..usize::try_from(end).unwrap());
        let cut = self.lock().cut.filter(|cut| *cut < bytes.len());
        let whole = bytes.slice(..cut.unwrap_or(bytes.len()));
        let mut pieces: Vec<_> = whole.chunks(100_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        pieces.extend(cut.map(|_| Err(Error::Unavailable(std::io::Error::other("cut")))));
        Ok((thing.facts, futures_util::stream::iter(pieces).boxed()))
    }

    async fn put(&self, at: At<'_>, body: &Payload, content: &Content, when: When<'_>) -> Result<String> {
        self.write(at, gathered(body).await, content, true, when)
    }

    async fn delete(&self, at: At<'_>, when: When<'_>) -> Result<()> {
        let edit = self.lock().edit.take_if(|(name, _)| name == at.name);
        if let Some((_, bytes)) = edit {
            self.write(at, bytes, &Content::default(), true, When::Always)?;
        }
        let mut inside = self.lock();
        if let Some((_, error)) = inside.refusal.take_if(|(name, _)| name == at.name) {
            return Err(error());
        }
        let things = inside.containers.get_mut(at.container).ok_or(Error::NotFound)?;
        if things.contains_key(at.name) {
            judge(things.get(at.name), when)?;
        }
        things.remove(at.name);
        Ok(())
    }

    async fn list(&self, container: &str, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page> {
        let inside = self.lock();
        let things = inside.containers.get(container).ok_or(Error::NotFound)?;
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let all = things.range::<str, _>((from, Bound::Unbounded)).take_while(|(name, _)| name.starts_with(prefix));
        let mut entries: Vec<Entry> = all
            .take(limit + 1)
            .map(|(name, thing)| {
                let Facts { digest, size, modified, .. } = thing.facts.clone();
                Entry { name: name.clone(), digest, size, modified }
            })
            .collect();
        let more = entries.len() > limit;
        entries.truncate(limit);
        Ok(Page { entries, more, next: None })
    }

    async fn copy(&self, from: At<'_>, source: &Facts, to: At<'_>, content: &Content, when: When<'_>) -> Result<()> {
        let thing = self.thing(from)?;
        judge(Some(&thing), When::Is(&source.tag))?;
        self.write(to, thing.bytes, content, thing.facts.digest.is_some(), when).map(drop)
    }

    async fn begin(&self, _: At<'_>, content: &Content) -> Result<String> {
        let mut inside = self.lock();
        inside.writes += 1;
        let handle = inside.writes.to_string();
        inside.blocks.insert(handle.clone(), (content.clone(), BTreeMap::new()));
        Ok(handle)
    }

    async fn block(&self, _: At<'_>, handle: &str, number: u32, body: &Payload) -> Result<String> {
        let bytes = gathered(body).await;
        self.lock().blocks.get_mut(handle).ok_or(Error::NotFound)?.1.insert(number, bytes);
        Ok(number.to_string())
    }

    async fn commit(&self, at: At<'_>, handle: &str, blocks: &[Sent], content: &Content) -> Result<String> {
        let (first, sent) = self.lock().blocks.remove(handle).ok_or(Error::NotFound)?;
        let mut all = BytesMut::new();
        for (n, block) in (1..).zip(blocks) {
            let bytes = &sent[&n];
            assert_eq!((block.number, block.size, &*block.tag), (n, bytes.len() as u64, &*n.to_string()));
            all.extend_from_slice(bytes);
        }
        let content = if self.rules.late_headers { content } else { &first };
        self.write(at, all.freeze(), content, false, When::Always)
    }

    async fn abort(&self, _: At<'_>, handle: &str) -> Result<()> {
        self.lock().blocks.remove(handle);
        Ok(())
    }

    async fn join(&self, to: At<'_>, pieces: &[Piece], content: &Content) -> Result<()> {
        let small = |piece: &Piece| piece.size < self.rules.join_bytes_min;
        assert!(!pieces.iter().rev().skip(1).any(small), "a piece is too small to be joined: {pieces:?}");
        let mut all = BytesMut::new();
        for piece in pieces {
            let thing = self.thing(At { container: to.container, name: &piece.name })?;
            judge(Some(&thing), When::Is(&piece.tag))?;
            all.extend_from_slice(&thing.bytes);
        }
        self.write(to, all.freeze(), content, false, When::Always).map(drop)
    }

    async fn sweep(&self, _: &str, _: Timestamp) -> Result<u64> {
        Ok(std::mem::take(&mut self.lock().blocks).len() as u64)
    }
}

async fn gathered(body: &Payload) -> Bytes {
    body.clone().into_body().collect().await.expect("in memory").to_bytes()
}

impl Outside for Objects {
    fn write(&self, container: &BucketName, key: &str, bytes: &[u8]) {
        let at = At { container: container.as_str(), name: key };
        Objects::write(self, at, Bytes::copy_from_slice(bytes), &Content::default(), true, When::Always).unwrap();
    }
    fn remove(&self, container: &BucketName, key: &str) {
        self.lock().containers.get_mut(container.as_str()).unwrap().remove(key).unwrap();
    }
    fn read(&self, container: &BucketName, key: &str) -> Option<Vec<u8>> {
        self.thing(At { container: container.as_str(), name: key }).ok().map(|thing| thing.bytes.to_vec())
    }
    fn lost(&self, container: &BucketName, name: &str) -> Option<Vec<u8>> {
        Outside::read(self, container, &format!(".longshore/lost/{name}"))
    }
    fn directory(&self, _: &BucketName) -> std::path::PathBuf {
        panic!("a cloud has no directories")
    }
}
