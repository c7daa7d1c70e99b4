//! Writers that keep a server busy with everything that changes objects, and a ledger of what they were told.
//!
//! Each writer has keys of its own, among them a key below another one, and a few that all share. They stop when the
//! server goes away.
//!
//! **Invariant:** each operation is in the ledger before it is sent.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::dice::{Dice, bytes_of};
use super::ledger::{Ledger, Name, Value};
use super::versions::{Keeper, Versions};
use crate::harness::{Answer, Call, Client, Server};

pub(super) const NATURAL: &str = "natural";
pub(super) const MANAGED: &str = "managed";
const WRITERS: usize = 8;
/// Writers of versions, beside those, where there are any.
const KEEPERS: usize = 2;
/// Bodies up to this size may be kept in the catalog.
const SMALL_BYTES_MAX: usize = 16 << 10;
const LARGE_BYTES_MAX: usize = 400 << 10;
const PART_BYTES_MIN: usize = 5 << 20;

/// How far an upload came, as its client knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum UploadIs {
    Open,
    /// Its Complete was sent and not answered.
    Completing,
    /// Its abort was sent and not answered.
    Aborting,
}

/// An upload that is not known to be over.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    pub(super) name: Name,
    /// Number and length of the acknowledged parts, in order.
    pub(super) parts: Vec<(u64, usize)>,
    pub(super) state: UploadIs,
}

/// What all writers share.
#[derive(Debug, Default)]
pub(super) struct Load {
    pub(super) ledger: Ledger,
    pub(super) uploads: Mutex<BTreeMap<String, Upload>>,
    stopped: AtomicBool,
    /// Acknowledgements until whoever waits is woken.
    left: AtomicUsize,
    enough: Notify,
    bodies: AtomicUsize,
    /// What is known of the bucket that keeps versions, if it is written to.
    versions: Option<Arc<Versions>>,
}

/// Makes one bucket of each layout.
pub(super) async fn make_buckets(server: &Server) {
    let root = server.root();
    for bucket in [NATURAL, MANAGED] {
        root.create_bucket(bucket).await.expect(200);
    }
    server.run(&["bucket", "set", MANAGED, "--layout", "managed"]);
}

impl Load {
    /// Also writes to the bucket that keeps versions.
    pub(super) fn with_versions(versions: Arc<Versions>) -> Self {
        Self { versions: Some(versions), ..Self::default() }
    }

    /// Keeps the server busy until so many operations were acknowledged, then lets `end` end it, and returns when all
    /// writers have noticed.
    pub(super) async fn until(
        self: &Arc<Self>,
        server: &mut Server,
        acknowledged: usize,
        dice: &mut Dice,
        end: impl FnOnce(&mut Server),
    ) {
        self.stopped.store(false, Ordering::SeqCst);
        self.left.store(acknowledged, Ordering::SeqCst);
        let mut writers = JoinSet::new();
        for n in 0..WRITERS {
            let (load, client, dice) = (Arc::clone(self), server.root(), dice.split());
            writers.spawn(async move { Writer { n, load, client, dice }.write().await });
        }
        for n in (0..KEEPERS).filter(|_| self.versions.is_some()) {
            let versions = self.versions.clone().unwrap_or_default();
            let (load, client, dice) = (Arc::clone(self), server.root(), dice.split());
            writers.spawn(async move { Keeper { n, load, versions, client, dice }.write().await });
        }
        let broken = tokio::select! {
            () = self.enough.notified() => None,
            ended = writers.join_next() => ended,
        };
        if let Some(ended) = broken {
            ended.expect("a writer that is answered rightly");
            panic!("a writer ended before its server did:\n{}", server.log());
        }
        tokio::task::block_in_place(|| end(server));
        self.stopped.store(true, Ordering::SeqCst);
        while let Some(ended) = writers.join_next().await {
            ended.expect("a writer that is answered rightly");
        }
    }

    /// A body that no other one is like.
    pub(super) fn fresh(&self) -> u64 {
        (self.bodies.fetch_add(1, Ordering::SeqCst) as u64 + 1) << 32
    }

    pub(super) fn uploads(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Upload>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what a writer asks for, while it is wanted.
    pub(super) async fn send(&self, client: &Client, call: Call<'_>) -> Step<Answer> {
        if self.stopped.load(Ordering::SeqCst) {
            return Err(Gone);
        }
        client.attempt(call.signed()).await.ok_or(Gone)
    }

    /// Counts an acknowledgement.
    pub(super) fn count(&self) {
        // At zero it stays: the end is near, and what comes now is counted by the ledger alone.
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left == Ok(1) {
            self.enough.notify_one();
        }
    }
}

struct Writer {
    n: usize,
    load: Arc<Load>,
    client: Client,
    dice: Dice,
}

/// The server went away.
pub(super) struct Gone;

pub(super) type Step<T = ()> = Result<T, Gone>;

impl Writer {
    async fn write(mut self) {
        while self.step().await.is_ok() {}
    }

    fn name(&mut self) -> Name {
        let bucket = if self.n.is_multiple_of(2) { NATURAL } else { MANAGED };
        let keys = ["a", "b", "b/c", "d/e/f", "ü +%&"];
        (bucket.to_owned(), format!("w{}/{}", self.n, self.dice.one_of(&keys)))
    }

    fn shared_name(&mut self) -> Name {
        ((*self.dice.one_of(&[NATURAL, MANAGED])).to_owned(), format!("shared/{}", self.dice.below(3)))
    }

    fn size(&mut self) -> usize {
        if self.dice.below(10) < 7 {
            self.dice.below(SMALL_BYTES_MAX + 1)
        } else {
            self.dice.between(SMALL_BYTES_MAX, LARGE_BYTES_MAX)
        }
    }

    async fn step(&mut self) -> Step {
        match self.dice.below(100) {
            0..55 => {
                let name = self.name();
                self.put(name).await
            }
            55..65 => {
                let name = self.shared_name();
                self.put(name).await
            }
            65..75 => {
                let name = self.name();
                self.delete(name).await
            }
            75..80 => {
                let name = self.shared_name();
                self.delete(name).await
            }
            80..90 => self.copy().await,
            _ => self.upload().await,
        }
    }

    async fn send(&self, call: Call<'_>) -> Step<Answer> {
        self.load.send(&self.client, call).await
    }

    fn call(&self, method: &str, name: &Name) -> Call<'_> {
        self.client.call(method, &format!("/{}/{}", name.0, name.1))
    }

    /// Sends what changes a key, with the ledger kept.
    async fn change(&self, name: &Name, value: Option<Value>, call: Call<'_>, status: u16) -> Step<Answer> {
        let ticket = self.load.ledger.begin(name, value);
        let answer = self.send(call).await?.expect(status);
        self.load.ledger.acknowledge(name, ticket);
        self.load.count();
        Ok(answer)
    }

    async fn put(&mut self, name: Name) -> Step {
        let (id, len) = (self.load.fresh(), self.size());
        let value = Value::whole(id, len);
        let call = self.call("PUT", &name).body(bytes_of(id, len));
        let answer = self.change(&name, Some(value.clone()), call, 200).await?;
        assert_eq!(answer.etag(), value.etag, "PUT {name:?} of {len} bytes");
        Ok(())
    }

    async fn delete(&mut self, name: Name) -> Step {
        self.change(&name, None, self.call("DELETE", &name), 204).await.map(drop)
    }

    async fn copy(&mut self) -> Step {
        let (from, to) = (self.name(), self.name());
        let Some(source) = self.load.ledger.certain(&from).filter(|_| from != to) else { return Ok(()) };
        let value = source.copied();
        let path = crate::harness::sign::escape(&format!("{}/{}", from.0, from.1), true);
        let call = self.call("PUT", &to).header("x-amz-copy-source", &path);
        let answer = self.change(&to, Some(value.clone()), call, 200).await?;
        assert_eq!(answer.elements("ETag"), [format!("\"{}\"", value.etag)], "copy of {from:?} to {to:?}");
        Ok(())
    }

    async fn upload(&mut self) -> Step {
        let name = self.name();
        let begun = self.send(self.call("POST", &name).query("uploads", "")).await?.expect(200);
        let id = begun.elements("UploadId").remove(0);
        self.load.uploads().insert(id.clone(), Upload { name: name.clone(), parts: Vec::new(), state: UploadIs::Open });
        let mut sizes = vec![self.size()];
        if self.dice.below(12) == 0 {
            sizes.insert(0, PART_BYTES_MIN);
        }
        for (number, len) in (1..).zip(sizes) {
            let body = self.load.fresh();
            let call = self.call("PUT", &name).query("uploadId", &id).query("partNumber", &format!("{number}"));
            self.send(call.body(bytes_of(body, len))).await?.expect(200);
            let mut uploads = self.load.uploads();
            uploads.get_mut(&id).expect("begun").parts.push((body, len));
        }
        if self.dice.below(4) == 0 {
            self.set_state(&id, UploadIs::Aborting);
            self.send(self.call("DELETE", &name).query("uploadId", &id)).await?.expect(204);
        } else {
            self.set_state(&id, UploadIs::Completing);
            let upload = self.load.uploads()[&id].clone();
            let value = Value::of_parts(&upload.parts);
            let call = complete(&self.client, &id, &upload);
            let answer = self.change(&name, Some(value.clone()), call, 200).await?;
            assert_eq!(answer.elements("ETag"), [format!("\"{}\"", value.etag)], "Complete of {name:?}");
        }
        self.load.uploads().remove(&id);
        Ok(())
    }

    fn set_state(&self, id: &str, state: UploadIs) {
        self.load.uploads().get_mut(id).expect("begun").state = state;
    }
}

/// The Complete of an upload with all its parts.
pub(super) fn complete<'c>(client: &'c Client, id: &str, upload: &Upload) -> Call<'c> {
    let part = |(number, (body, len)): (usize, &(u64, usize))| {
        let etag = Value::whole(*body, *len).etag;
        format!("<Part><PartNumber>{number}</PartNumber><ETag>\"{etag}\"</ETag></Part>")
    };
    let list: String = (1..).zip(&upload.parts).map(part).collect();
    let path = format!("/{}/{}", upload.name.0, upload.name.1);
    let body = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
    client.call("POST", &path).query("uploadId", id).body(body)
}
