//! Clients that ask both gateways at random, and know what they were told.
//!
//! A client goes on when a gateway is gone: what it was about may have happened or not. What it has written through one
//! gateway it reads and lists through any.
//!
//! **Invariant:** each operation is in the ledger before it is sent; of those that race for one key or one version, the
//! ones that were told that they won are counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::fault::at_full_size;
use crate::fault::dice::{Dice, bytes_of};
use crate::fault::ledger::{Ledger, Name, Value, md5_hex};
use crate::fault::load::{MANAGED, NATURAL};
use crate::harness::{Answer, Call, Client};

const WRITERS: usize = 32;
const SMALL_BYTES_MAX: usize = 16 << 10;
const LARGE_BYTES_MAX: usize = 300 << 10;
const PART_BYTES_MIN: usize = 5 << 20;
/// Keys that everybody changes.
const SHARED: usize = 4;
/// Keys that only conditional writes change.
const CHAINS: usize = 3;
/// Clients that race for one new key.
const RACERS: usize = 8;
/// New keys that are raced for: all keys must fit into a page.
const RACES_MAX: usize = 1500;
/// An upload that a killed gateway was completing is free again by then.
const COMPLETE_MAX: Duration = Duration::from_secs(30);
/// Without an acknowledgement for so long, something hangs.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Of the ten seconds from one kill to the next.
const QUARTER: Duration = Duration::from_millis(2500);

/// Who is told that it was first: at a key, or at replacing a version of it.
type Race = (Name, Option<String>);

/// Both gateways, as their clients know them.
#[derive(Debug, Clone, Default)]
pub(super) struct Pair(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    clients: Mutex<Vec<Option<Client>>>,
    ledger: Ledger,
    stopped: AtomicBool,
    /// Whether gateways may turn everybody away for a while.
    silence: AtomicBool,
    bodies: AtomicUsize,
    racers: AtomicUsize,
    uploads: AtomicUsize,
    turned_away: AtomicUsize,
    won: Mutex<BTreeMap<Race, usize>>,
}

impl Pair {
    pub(super) fn new(clients: Vec<Client>) -> Self {
        let clients = Mutex::new(clients.into_iter().map(Some).collect());
        Self(Arc::new(Shared { clients, ..Shared::default() }))
    }

    fn clients(&self) -> MutexGuard<'_, Vec<Option<Client>>> {
        self.0.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A gateway is gone, or there again.
    pub(super) fn set(&self, which: usize, client: Option<Client>) {
        self.clients()[which] = client;
    }

    /// The catalog will be gone for a while.
    pub(super) fn expect_silence(&self) {
        self.0.silence.store(true, Ordering::SeqCst);
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    pub(super) fn turned_away(&self) -> usize {
        self.0.turned_away.load(Ordering::SeqCst)
    }

    /// What happened, for the report.
    pub(super) fn told(&self) -> String {
        let won = self.0.won.lock().unwrap_or_else(PoisonError::into_inner);
        let links = won.keys().filter(|(_, before)| before.is_some()).count();
        format!(
            "{} acknowledged operations, {} races for a key and {links} for a version won, {} uploads, {} answers 503",
            self.0.ledger.acknowledged(),
            won.len() - links,
            self.0.uploads.load(Ordering::SeqCst),
            self.turned_away()
        )
    }

    /// Starts all clients.
    pub(super) fn begin(&self, dice: &mut Dice) -> JoinSet<()> {
        self.0.stopped.store(false, Ordering::SeqCst);
        let mut writers = JoinSet::new();
        for n in 0..WRITERS {
            let mut writer = Writer { n, pair: self.clone(), dice: dice.split() };
            writers.spawn(async move {
                while !writer.pair.0.stopped.load(Ordering::SeqCst) {
                    // What was not answered is left as it is: the ledger knows.
                    let _ = writer.step().await;
                }
            });
        }
        writers
    }

    /// Waits for so many acknowledgements more.
    pub(super) async fn until(&self, more: usize) {
        let (start, mut last) = (self.0.ledger.acknowledged(), Instant::now());
        let mut seen = start;
        while seen < start + more as u64 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let now = self.0.ledger.acknowledged();
            if now > seen {
                (seen, last) = (now, Instant::now());
            }
            assert!(last.elapsed() < SILENCE_MAX, "nothing was acknowledged for {} s", SILENCE_MAX.as_secs());
        }
    }

    /// Lets the clients go on for a share of a round: a quarter of ten seconds at full size.
    pub(super) async fn go_on(&self, quarters: u32) {
        if at_full_size() {
            tokio::time::sleep(QUARTER * quarters).await;
        }
        self.until(40 * quarters as usize).await;
    }

    /// Ends all clients and requires that each was answered rightly.
    pub(super) async fn end(&self, mut writers: JoinSet<()>) {
        self.0.stopped.store(true, Ordering::SeqCst);
        while let Some(ended) = writers.join_next().await {
            ended.expect("a client that is answered rightly");
        }
    }
}

struct Writer {
    n: usize,
    pair: Pair,
    dice: Dice,
}

/// Nothing is known of what became of it.
struct Unknown;

type Step<T = ()> = Result<T, Unknown>;

impl Writer {
    async fn step(&mut self) -> Step {
        match self.dice.below(100) {
            0..28 => {
                let name = self.name();
                self.put(name).await
            }
            28..38 => {
                let name = self.shared_name();
                self.put(name).await
            }
            38..46 => {
                let name = self.name();
                self.delete(name).await
            }
            46..51 => {
                let name = self.shared_name();
                self.delete(name).await
            }
            51..57 => self.copy().await,
            57..67 => self.race().await,
            67..77 => self.chain().await,
            77..83 => self.upload().await,
            83..91 => self.read().await,
            91..96 => self.read_shared().await,
            _ => self.list().await,
        }
    }

    fn bucket(&self) -> &'static str {
        if self.n.is_multiple_of(2) { NATURAL } else { MANAGED }
    }

    fn name(&mut self) -> Name {
        let keys = ["a", "c", "d/e/f"];
        (self.bucket().to_owned(), format!("w{}/{}", self.n, self.dice.one_of(&keys)))
    }

    fn shared_name(&mut self) -> Name {
        ((*self.dice.one_of(&[NATURAL, MANAGED])).to_owned(), format!("shared/{}", self.dice.below(SHARED)))
    }

    fn fresh(&mut self) -> (u64, usize) {
        let id = (self.pair.0.bodies.fetch_add(1, Ordering::SeqCst) as u64 + 1) << 32;
        let len = match self.dice.below(10) {
            0..7 => self.dice.below(SMALL_BYTES_MAX + 1),
            _ => self.dice.between(SMALL_BYTES_MAX, LARGE_BYTES_MAX),
        };
        (id, len)
    }

    /// One of the gateways that are there.
    async fn client(&mut self) -> Client {
        loop {
            let there: Vec<Client> = self.pair.clients().iter().flatten().cloned().collect();
            if !there.is_empty() {
                return self.dice.one_of(&there).clone();
            }
            tokio::task::yield_now().await;
        }
    }

    /// Sends it to one of them. An answer 503 says that it may have happened.
    async fn send(&mut self, call: impl FnOnce(&Client) -> Call<'_> + Send) -> Step<Answer> {
        let client = self.client().await;
        let signed = call(&client).signed();
        let answer = client.attempt(signed).await.ok_or(Unknown)?;
        if answer.status != 503 {
            return Ok(answer);
        }
        assert!(matches!(&*answer.code(), "" | "SlowDown" | "ServiceUnavailable"), "{}", answer.text());
        self.pair.0.turned_away.fetch_add(1, Ordering::SeqCst);
        if self.pair.0.silence.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(Unknown)
    }

    /// Sends what changes a key, with the ledger kept. False: it was refused with one of these, and did not happen.
    async fn change(
        &mut self,
        name: &Name,
        value: Option<Value>,
        call: impl FnOnce(&Client) -> Call<'_> + Send,
        refusals: &[&str],
    ) -> Step<bool> {
        let ticket = self.pair.0.ledger.begin(name, value.clone());
        let answer = self.send(call).await?;
        if refusals.contains(&&*answer.code()) {
            self.pair.0.ledger.refuse(name, ticket);
            return Ok(false);
        }
        let wanted = if value.is_some() { 200 } else { 204 };
        assert_eq!(answer.status, wanted, "{name:?}: {}", answer.text());
        if let Some(value) = &value {
            let told = answer.header("etag").map(str::to_owned).or_else(|| answer.elements("ETag").pop());
            let told = told.map(|etag| etag.replace("&quot;", "\"").trim_matches('"').to_owned());
            assert_eq!(told.as_deref(), Some(&*value.etag), "{name:?}");
        }
        self.pair.0.ledger.acknowledge(name, ticket);
        Ok(true)
    }

    async fn put(&mut self, name: Name) -> Step {
        let (id, len) = self.fresh();
        let path = path_of(&name);
        let put = call_of(|client| client.call("PUT", &path).body(bytes_of(id, len)));
        self.change(&name, Some(Value::whole(id, len)), put, &[]).await.map(drop)
    }

    async fn delete(&mut self, name: Name) -> Step {
        let path = path_of(&name);
        self.change(&name, None, |client| client.call("DELETE", &path), &[]).await.map(drop)
    }

    async fn copy(&mut self) -> Step {
        let (from, to) = (self.name(), self.name());
        let Some(source) = self.pair.0.ledger.certain(&from).filter(|_| from != to) else { return Ok(()) };
        let (path, value) = (path_of(&to), source.copied());
        let source = format!("{}/{}", from.0, from.1);
        let call = call_of(|client| client.call("PUT", &path).header("x-amz-copy-source", &source));
        self.change(&to, Some(value), call, &[]).await.map(drop)
    }

    /// Counts one who was told that it was first.
    fn won(&self, race: Race) {
        let mut won = self.pair.0.won.lock().unwrap_or_else(PoisonError::into_inner);
        let count = won.entry(race.clone()).or_default();
        *count += 1;
        assert_eq!(*count, 1, "{race:?}: two were told that they won");
    }

    /// Tries to be the first at a new key, at which others try the same.
    async fn race(&mut self) -> Step {
        let number = self.pair.0.racers.fetch_add(1, Ordering::SeqCst) / RACERS;
        if number >= RACES_MAX {
            return self.chain().await;
        }
        let bucket = if number.is_multiple_of(2) { NATURAL } else { MANAGED };
        let name = (bucket.to_owned(), format!("new/{number}"));
        let (id, len) = self.fresh();
        let path = path_of(&name);
        let call = call_of(|client| client.call("PUT", &path).header("if-none-match", "*").body(bytes_of(id, len)));
        let lost = ["PreconditionFailed", "ConditionalRequestConflict"];
        if self.change(&name, Some(Value::whole(id, len)), call, &lost).await? {
            self.won((name, None));
        }
        Ok(())
    }

    /// Replaces the version of a key that it has read, which others try too.
    async fn chain(&mut self) -> Step {
        let number = self.dice.below(CHAINS);
        let bucket = if number.is_multiple_of(2) { NATURAL } else { MANAGED };
        let name = (bucket.to_owned(), format!("chain/{number}"));
        let path = path_of(&name);
        let got = self.send(|client| client.call("GET", &path)).await?;
        let before = match got.status {
            404 => None,
            _ => Some(whole(&name, &got.clone().expect(200))),
        };
        let (id, len) = self.fresh();
        // Shorter bodies may be alike, and what has the same ETag again may be replaced again.
        let len = len.max(16);
        let call = call_of(|client| {
            let call = client.call("PUT", &path).body(bytes_of(id, len));
            match &before {
                None => call.header("if-none-match", "*"),
                Some(etag) => call.header("if-match", &format!("\"{etag}\"")),
            }
        });
        let lost = ["PreconditionFailed", "ConditionalRequestConflict"];
        if self.change(&name, Some(Value::whole(id, len)), call, &lost).await? {
            self.won((name, before));
        }
        Ok(())
    }

    /// An upload whose steps go to any gateway.
    async fn upload(&mut self) -> Step {
        let name = self.name();
        let path = path_of(&name);
        let begun = self.send(|client| client.call("POST", &path).query("uploads", "")).await?.expect(200);
        let id = begun.elements("UploadId").remove(0);
        let mut parts = vec![self.fresh()];
        if self.dice.below(16) == 0 {
            parts.insert(0, (self.fresh().0, PART_BYTES_MIN));
        }
        let mut list = String::new();
        for (number, (body, len)) in (1..).zip(&parts) {
            let bytes = bytes_of(*body, *len);
            let call = call_of(|client| {
                let call = client.call("PUT", &path).query("uploadId", &id);
                call.query("partNumber", &format!("{number}")).body(bytes.clone())
            });
            let etag = self.send(call).await?.expect(200).etag().to_owned();
            list.push_str(&format!("<Part><PartNumber>{number}</PartNumber><ETag>\"{etag}\"</ETag></Part>"));
        }
        let body = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
        let complete = call_of(|client| client.call("POST", &path).query("uploadId", &id).body(body.clone()));
        let value = Value::of_parts(&parts);
        let began = Instant::now();
        // Whoever was not answered asks again, and is answered as it would have been.
        loop {
            match self.change(&name, Some(value.clone()), &complete, &["ConditionalRequestConflict"]).await {
                Ok(true) => break,
                Ok(false) | Err(Unknown) => {
                    assert!(began.elapsed() < COMPLETE_MAX, "{name:?}: the upload is not completed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        self.pair.0.uploads.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// What nobody else changes is read as it was written, through whichever gateway.
    async fn read(&mut self) -> Step {
        let name = self.name();
        let permitted = self.pair.0.ledger.permitted(&name);
        let path = path_of(&name);
        let got = self.send(|client| client.call("GET", &path)).await?;
        if got.status == 404 {
            assert!(permitted.contains(&None), "{name:?} is not there, permitted: {permitted:?}");
            return Ok(());
        }
        let etag = whole(&name, &got.clone().expect(200));
        let known = permitted.iter().flatten().any(|value| value.etag == etag);
        assert!(known, "{name:?} has ETag {etag}, permitted: {permitted:?}");
        Ok(())
    }

    /// What everybody changes is read whole.
    async fn read_shared(&mut self) -> Step {
        let name = self.shared_name();
        let path = path_of(&name);
        let got = self.send(|client| client.call("GET", &path)).await?;
        if got.status != 404 {
            whole(&name, &got.clone().expect(200));
        }
        Ok(())
    }

    /// The keys that nobody else changes are listed as they are.
    async fn list(&mut self) -> Step {
        let (bucket, prefix) = (self.bucket(), format!("w{}/", self.n));
        let call = call_of(|client| {
            client.call("GET", &format!("/{bucket}")).query("list-type", "2").query("prefix", &prefix)
        });
        let page = self.send(call).await?.expect(200);
        let keys = page.elements("Key");
        for key in ["a", "c", "d/e/f"] {
            let name = (bucket.to_owned(), format!("{prefix}{key}"));
            let permitted = self.pair.0.ledger.permitted(&name);
            let listed = keys.contains(&name.1);
            assert!(
                permitted.iter().any(|value| value.is_some() == listed),
                "{name:?} listed: {listed}, {permitted:?}"
            );
        }
        Ok(())
    }
}

fn path_of(name: &Name) -> String {
    format!("/{}/{}", name.0, name.1)
}

/// Only says what the closure is: a request to whichever gateway.
fn call_of<F: Fn(&Client) -> Call<'_>>(call: F) -> F {
    call
}

/// The ETag of an answer whose body is whole.
fn whole(name: &Name, got: &Answer) -> String {
    let etag = got.etag().to_owned();
    let length = got.header("content-length").and_then(|text| text.parse().ok());
    assert_eq!(length, Some(got.body.len()), "GET {name:?}");
    // Uploads have another kind of ETag; their bytes are looked at by the audits.
    assert!(etag.contains('-') || etag == md5_hex(&got.body), "GET {name:?}: bytes of another ETag than {etag}");
    etag
}
