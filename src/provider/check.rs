//! Tries each operation of a provider in a container of its own, for whoever sets one up.
//!
//! It is no test of the promises, which the conformance suite holds every provider to: it shows whether credentials,
//! rights and the service behind an address let us do what we need to.
//!
//! **Invariant:** nothing outside of the scratch container is touched, and that is removed whatever failed; if it cannot
//! be removed, that is the last thing told.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;

use crate::model::causes::causes;
use crate::model::id::{VersionId, hex, random};
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::{Attached, Content};
use crate::model::place::{Displaced, Place, Placed, Stamp};
use crate::model::record::Record;
use crate::model::time::Clock;
use crate::provider::{Body, Error, LaidOut, LayOut, Note, PartRef, Provider, Seal, Stage};

/// Bytes of a small body.
const SMALL: usize = 1000;
/// Bytes of a large one: more than one block, and more than one part wherever bodies are cut into some.
const LARGE: usize = 9 * 1024 * 1024;
/// Bytes of a part that is not the last.
const PART: usize = 5 * 1024 * 1024;

/// How an operation went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Works,
    /// The provider does not have it, and says so.
    NotOffered,
    /// Otherwise; why, for an administrator.
    Failed(String),
}

/// What an operation gives, or why it is not as it should be.
type Tried<T> = Result<T, String>;

/// A version that was published.
struct Put {
    version: VersionId,
    stamp: Stamp,
    record: Record,
}

struct Trial<'a, F> {
    provider: &'a dyn Provider,
    container: BucketName,
    clock: Clock,
    tell: F,
}

/// Tries everything, and tells each operation as it ends.
///
/// # Panics
/// Never: the name of the container is a legal one.
pub async fn check(provider: &dyn Provider, tell: impl FnMut(&str, Outcome) + Send) {
    let mut suffix = [0; 6];
    random(&mut suffix);
    let container = BucketName::new(&format!("longshore-check-{}", hex(&suffix))).expect("a legal name");
    let mut trial = Trial { provider, container, clock: Clock::default(), tell };
    trial.listed().await;
    if trial.created().await {
        trial.notes().await;
        trial.bodies().await;
        trial.uploads().await;
        trial.removed().await;
    }
}

impl<F: FnMut(&str, Outcome) + Send> Trial<'_, F> {
    /// Tells an operation; what it gave, if it works.
    fn told<T>(&mut self, operation: &str, tried: Tried<T>) -> Option<T> {
        match tried {
            Ok(value) => {
                (self.tell)(operation, Outcome::Works);
                Some(value)
            }
            Err(why) => {
                (self.tell)(operation, Outcome::Failed(why));
                None
            }
        }
    }

    fn not_offered(&mut self, operations: &[&str]) {
        operations.iter().for_each(|operation| (self.tell)(operation, Outcome::NotOffered));
    }

    async fn listed(&mut self) {
        let listed = self.provider.containers().await.map(|_| ()).map_err(why);
        self.told("list containers", listed);
    }

    async fn created(&mut self) -> bool {
        let created = self.provider.create_container(&self.container).await.map_err(why);
        let created = self.told("create container", created).is_some();
        if created {
            let found = self.provider.container(&self.container).await.map_err(why);
            let found = found.and_then(|found| match found {
                Some(container) if container.writable => Ok(()),
                Some(_) => Err("it is said to be read-only".to_owned()),
                None => Err("it is not there".to_owned()),
            });
            self.told("look up container", found);
        }
        created
    }

    async fn notes(&mut self) {
        let text = Bytes::from_static(b"{}");
        let written = self.provider.write_note(&self.container, Note::Bucket, text.clone()).await.map_err(why);
        self.told("write note", written);
        let read = self.provider.read_note(&self.container, Note::Bucket).await.map_err(why);
        let read = read.and_then(|read| same("the note", read.as_ref() == Some(&text)));
        self.told("read note", read);
        let absent = self.provider.read_note(&self.container, Note::Id).await.map_err(why);
        let absent = absent.and_then(|absent| same("a note that is not there", absent.is_none()));
        self.told("read absent note", absent);
    }

    async fn bodies(&mut self) {
        let small = self.put(pattern(SMALL), 1).await;
        let small = self.told("stage and publish, small", small);
        let large = self.put(pattern(LARGE), 1).await;
        let large = self.told("stage and publish, 9 MiB", large);
        if let Some(put) = &large {
            let place = Place::Managed(put.version);
            let whole = self.read(&place, &put.stamp, 0..LARGE as u64).await;
            let whole = whole.and_then(|bytes| same("the body", bytes == pattern(LARGE)));
            self.told("read", whole);
            let range = 5_000_000..5_000_100;
            let part = self.read(&place, &put.stamp, range.start as u64..range.end as u64).await;
            let part = part.and_then(|bytes| same("the range", bytes == pattern(LARGE).slice(range)));
            self.told("read range", part);
            let freed = self.provider.delete_managed(&self.container, put.version, Some(&put.stamp)).await.map_err(why);
            self.told("delete", freed);
            let gone = self.provider.stat(&self.container, &place).await;
            let gone = same("what was deleted", matches!(gone, Err(Error::NotFound)));
            self.told("stat absent", gone);
        }
        let Some(put) = small else { return };
        let seen = self.stat(&put).await;
        self.told("stat", seen);
        let record = Record { counter: put.record.counter, owner: "somebody".to_owned(), ..put.record.clone() };
        let place = Place::Managed(put.version);
        let set = self.provider.set_record(&self.container, &place, &put.stamp, &record).await.map_err(why);
        self.told("set record", set);
        let managed = self.provider.list_managed(&self.container, None, 10).await.map_err(why);
        let managed = managed.and_then(|all| same("the list", all.iter().any(|file| file.version == put.version)));
        self.told("list managed", managed);
        self.lay_outs(put).await;
    }

    async fn lay_outs(&mut self, first: Put) {
        const ALL: [&str; 5] = ["lay out, new", "lay out, over another", "lay out, superseded", "list", "take aside"];
        if !self.provider.capabilities().natural {
            return self.not_offered(&ALL);
        }
        let laid = self.lay_out(&first, None, &LaidOut::Done).await;
        self.told(ALL[0], laid);
        let second = self.put(pattern(SMALL + 1), 3).await;
        let Some(second) = self.told("stage and publish, again", second) else { return };
        let laid = self.lay_out(&second, Some(&first.stamp), &LaidOut::Done).await;
        self.told(ALL[1], laid);
        // Without records nobody can tell an older version of ours from an edit of somebody else's.
        if self.provider.capabilities().records {
            let superseded = match self.put(pattern(SMALL + 2), 2).await {
                Ok(older) => self.lay_out(&older, None, &LaidOut::Superseded).await,
                Err(why) => Err(why),
            };
            self.told(ALL[2], superseded);
        } else {
            self.not_offered(&ALL[2..3]);
        }
        let listed = self.provider.list(&self.container, "", None, 10).await.map_err(why);
        let key = second.record.key.clone();
        let listed = listed.and_then(|page| {
            let [file] = page.files.as_slice() else { return Err(format!("{} files are listed", page.files.len())) };
            same("the list", file.key == key && file.size == SMALL as u64 + 1 && second.stamp.may_show_as(&file.stamp))
        });
        self.told(ALL[3], listed);
        let aside = self.provider.take_aside(&self.container, &key, second.version, &second.stamp).await.map_err(why);
        self.told(ALL[4], aside);
        let freed = self.provider.delete_managed(&self.container, second.version, Some(&second.stamp)).await;
        self.told("delete what was taken aside", freed.map_err(why));
    }

    async fn uploads(&mut self) {
        let version = VersionId::fresh();
        let begun = self.provider.begin_upload(&self.container, version).await.map_err(why);
        let Some(handle) = self.told("begin upload", begun) else { return };
        // Numbers that a client may choose: neither the first nor one after the other.
        let mut parts = Vec::new();
        for (number, size) in [(2, PART), (5, SMALL)] {
            let part = self.part(&handle, number, pattern(size)).await;
            match self.told(&format!("upload part {number}"), part) {
                Some(part) => parts.push(part),
                None => break,
            }
        }
        if parts.len() == 2 {
            let joined = self.assemble(&handle, &parts, version).await;
            if let Some(stamp) = self.told("assemble", joined) {
                let size = (PART + SMALL) as u64;
                let read = self.read(&Place::Managed(version), &stamp, PART as u64 - 1..size).await;
                let expected = [&pattern(PART)[PART - 1..], &pattern(SMALL)[..]].concat();
                self.told("read what was assembled", read.and_then(|bytes| same("the body", bytes == expected)));
            }
        }
        let attempts: Vec<VersionId> = parts.iter().map(|part| part.attempt).collect();
        let freed = self.provider.free_upload(&self.container, &handle, &attempts).await.map_err(why);
        self.told("free upload", freed);
        let _ = self.provider.delete_managed(&self.container, version, None).await;
    }

    async fn removed(&mut self) {
        let settled = self.provider.settle(&self.container).await.map_err(why);
        self.told("settle", settled);
        self.sweep().await;
        let removed = self.provider.delete_container(&self.container).await;
        let removed = removed.map_err(|error| format!("{}; remove {:?} by hand", why(error), self.container));
        self.told("delete container", removed);
    }

    /// Removes what a failed operation may have left.
    async fn sweep(&self) {
        let left = self.provider.list(&self.container, "", None, 100).await.unwrap_or_default();
        for file in left.files {
            let aside = VersionId::fresh();
            let _ = self.provider.take_aside(&self.container, &file.key, aside, &file.stamp).await;
        }
        for file in self.provider.list_managed(&self.container, None, 100).await.unwrap_or_default() {
            let _ = self.provider.delete_managed(&self.container, file.version, None).await;
        }
    }

    fn record(&self, version: VersionId, size: usize, counter: u64) -> Record {
        Record {
            version,
            bucket: self.container.clone(),
            key: ObjectKey::new("check/object").expect("a legal key"),
            counter,
            size: size as u64,
            modified: self.clock.unique(),
            etag: "d41d8cd98f00b204e9800998ecf8427e".to_owned(),
            checksum: None,
            crc64nvme: None,
            owner: "root".to_owned(),
            placed: Placed::Natural,
            content: Content { content_type: Some("text/plain".to_owned()), ..Content::default() },
            parts: Vec::new(),
            null: true,
            marker: false,
            attached: Attached::default(),
            cut: false,
        }
    }

    async fn put(&self, body: Bytes, counter: u64) -> Tried<Put> {
        let version = VersionId::fresh();
        let record = self.record(version, body.len(), counter);
        let seal = Seal { modified: record.modified, size: record.size, record: Some(&record), unsynced: false };
        let stage = self.provider.stage(&self.container, version).await.map_err(why)?;
        let stamp = written(stage, body).await?.publish(seal).await.map_err(why)?;
        Ok(Put { version, stamp, record })
    }

    async fn part(&self, handle: &str, number: u32, body: Bytes) -> Tried<PartRef> {
        let (attempt, size) = (VersionId::fresh(), body.len() as u64);
        let stage = self.provider.stage_part(&self.container, handle, number, attempt).await.map_err(why)?;
        let seal = Seal { modified: self.clock.unique(), size, record: None, unsynced: false };
        let stamp = written(stage, body).await?.publish(seal).await.map_err(why)?;
        Ok(PartRef { attempt, stamp, size })
    }

    async fn assemble(&self, handle: &str, parts: &[PartRef], version: VersionId) -> Tried<Stamp> {
        let size: u64 = parts.iter().map(|part| part.size).sum();
        let record = self.record(version, PART + SMALL, 9);
        let stage = self.provider.assemble(&self.container, handle, parts, version).await.map_err(why)?;
        let seal = Seal { modified: record.modified, size, record: Some(&record), unsynced: false };
        stage.publish(seal).await.map_err(why)
    }

    async fn stat(&self, put: &Put) -> Tried<()> {
        let stat = self.provider.stat(&self.container, &Place::Managed(put.version)).await.map_err(why)?;
        same("the size", stat.size == put.record.size)?;
        same("the stamp", stat.stamp == put.stamp)?;
        let kept =
            stat.record.is_some_and(|record| record.version == put.version && record.content == put.record.content);
        same("the record", kept || !self.provider.capabilities().records)
    }

    async fn lay_out(&self, put: &Put, over: Option<&Stamp>, expected: &LaidOut) -> Tried<()> {
        let Put { version, stamp, record } = put;
        let (version, counter, displaced) = (*version, record.counter, Displaced::Free);
        let step = LayOut { version, stamp, key: &record.key, over, displaced, counter };
        let ended = self.provider.lay_out(&self.container, step).await.map_err(why)?;
        if ended == *expected { Ok(()) } else { Err(format!("it ended as {ended:?}")) }
    }

    async fn read(&self, place: &Place, stamp: &Stamp, range: Range<u64>) -> Tried<Bytes> {
        match self.provider.read(&self.container, place, stamp, range).await.map_err(why)? {
            Body::Whole(bytes) => Ok(bytes),
            Body::Blocks(blocks) => {
                let all = blocks.try_fold(BytesMut::new(), |mut all, block| async move {
                    all.extend_from_slice(&block);
                    Ok(all)
                });
                all.await.map(BytesMut::freeze).map_err(why)
            }
        }
    }
}

/// Bytes that differ wherever they are cut.
fn pattern(len: usize) -> Bytes {
    (0..len).map(|i| u8::try_from((i * 31 + i / 251) % 256).unwrap_or(0)).collect()
}

async fn written(mut stage: Box<dyn Stage>, body: Bytes) -> Tried<Box<dyn Stage>> {
    for block in body.chunks(crate::config::limits::BLOCK_BYTES) {
        stage.write(body.slice_ref(block)).await.map_err(why)?;
    }
    Ok(stage)
}

fn same(what: &str, as_expected: bool) -> Tried<()> {
    if as_expected { Ok(()) } else { Err(format!("{what} is not as expected")) }
}

/// An error with its causes.
fn why(error: Error) -> String {
    causes(&error)
}
