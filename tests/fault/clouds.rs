//! Storages that answer late, wrongly, in part or not at all: what clients are told must hold all the same.
//!
//! **Invariant:** a success has the right bytes, all of them; what was acknowledged is there once the storage is well
//! again, and after a restart; what was not is there whole or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::at_full_size;
use super::dice::{bytes_of, report};
use super::proxy::{Fault, Proxy, Rule};
use crate::harness::backends::{self, Backend, fresh_name};
use crate::harness::{Answer, Client, Options, Server, Signed};

/// No request may take longer, whatever the storage does.
const ANSWER_SECONDS_MAX: u64 = 90;
/// How long a storage that is well again may be taken for one that is not.
const WELL_SECONDS_MAX: u64 = 60;
const SMALL_BYTES: usize = 100 * 1024;
const LARGE_BYTES: usize = 20 * 1024 * 1024;
const PART_BYTES: usize = 5 * 1024 * 1024;
/// Less patience than in earnest, so that a storage that says nothing is given up within the test.
const IMPATIENT: &str = "read_timeout_seconds = 1\nretries_max = 2\n";

#[derive(Debug, Clone, Copy)]
enum Op {
    PutSmall,
    PutLarge,
    Get,
    GetRange,
    Multipart,
    Delete,
    List,
}

const OPS: [Op; 7] = [Op::PutSmall, Op::PutLarge, Op::Get, Op::GetRange, Op::Multipart, Op::Delete, Op::List];

/// What may go wrong, and for how many requests on end.
fn faults() -> Vec<(Fault, usize)> {
    let status = |status, retry_after| Fault::Status { status, retry_after };
    vec![
        (Fault::Delay(Duration::from_millis(300)), 2),
        (status(500, None), 1),
        (status(503, Some(1)), 1),
        (status(429, Some(1)), 1),
        (status(503, None), usize::MAX),
        (Fault::Reset, 1),
        (Fault::ResetAfter, 1),
        (Fault::Reset, usize::MAX),
        (Fault::ResetMid(50_000), 1),
        (Fault::Cut(50_000), 1),
        (Fault::Cut(10), usize::MAX),
        (Fault::Shorter(1), 1),
        (Fault::Shorter(1), usize::MAX),
        (Fault::Etag, 1),
        (Fault::Redirect("http://127.0.0.1:9/elsewhere".to_owned()), 1),
        (Fault::Hang, 1),
        (Fault::Hang, usize::MAX),
    ]
}

/// Containers of its own: those of other tests are in the same account.
fn apart() -> String {
    format!("prefix = \"{}-\"\n", fresh_name("t"))
}

/// A bucket on a storage behind a proxy, and what was acknowledged in it.
struct Bench {
    proxy: Proxy,
    server: Server,
    client: Client,
    bucket: String,
    /// What was acknowledged.
    there: BTreeMap<String, Vec<u8>>,
    /// What was sent and not acknowledged: there whole, or not at all.
    perhaps: BTreeMap<String, Vec<u8>>,
    /// What was acknowledged as removed.
    gone: BTreeSet<String>,
    next: u64,
    refusals: usize,
}

impl Bench {
    async fn on(backend: &Backend) -> Self {
        let proxy = Proxy::before(backend.address);
        let entry = backend.entry_by("cloud", proxy.address, &format!("{IMPATIENT}{}", apart()));
        let options = Options::default().config(&format!("{entry}[server]\ndefault_provider = \"cloud\"\n"));
        let server = Server::with(options);
        let client = server.root();
        let bucket = fresh_name("faults");
        client.create_bucket(&bucket).await.expect(200);
        let (there, perhaps, gone) = Default::default();
        let mut bench = Self { proxy, server, client, bucket, there, perhaps, gone, next: 0, refusals: 0 };
        bench.act(Op::PutSmall).await;
        bench.act(Op::PutLarge).await;
        assert_eq!(bench.there.len(), 2, "a storage that is well takes objects");
        bench
    }

    fn fresh(&mut self, len: usize) -> (String, Vec<u8>) {
        self.next += 1;
        (format!("d/k{}", self.next), bytes_of(self.next, len))
    }

    /// The answer, if one came whole.
    async fn send(&self, signed: Signed) -> Option<Answer> {
        let within = Duration::from_secs(ANSWER_SECONDS_MAX);
        tokio::time::timeout(within, self.client.attempt(signed))
            .await
            .expect("an answer, or the end of the connection")
    }

    /// Whether a request succeeded. What did not must be an error that says: later.
    fn succeeded(&mut self, answer: Option<&Answer>, success: u16) -> bool {
        let Some(answer) = answer else {
            self.refusals += 1;
            return false;
        };
        let code = answer.code();
        if answer.status == success && code.is_empty() {
            return true;
        }
        self.refusals += 1;
        let fair = matches!(answer.status, 500 | 503) || (answer.status == success && code == "InternalError");
        assert!(fair, "{answer:?}\n{}", answer.text());
        false
    }

    fn path(&self, key: &str) -> String {
        format!("/{}/{key}", self.bucket)
    }

    async fn act(&mut self, op: Op) {
        match op {
            Op::PutSmall => self.put(SMALL_BYTES).await,
            Op::PutLarge => self.put(LARGE_BYTES).await,
            Op::Multipart => self.multipart().await,
            Op::Get => {
                for key in self.some_keys() {
                    self.get(&key).await;
                }
            }
            Op::GetRange => self.get_range().await,
            Op::Delete => self.delete().await,
            Op::List => self.list().await,
        }
    }

    /// The large object that came first, and the newest.
    fn some_keys(&self) -> Vec<String> {
        let large = self.there.iter().find(|(_, bytes)| bytes.len() == LARGE_BYTES).map(|(key, _)| key.clone());
        let newest = self.there.keys().max_by_key(|key| key[3..].parse::<u64>().unwrap_or(0)).cloned();
        large.into_iter().chain(newest).collect()
    }

    async fn put(&mut self, len: usize) {
        let (key, bytes) = self.fresh(len);
        let signed = self.client.call("PUT", &self.path(&key)).body(bytes.clone()).signed();
        let answer = self.send(signed).await;
        let acknowledged = self.succeeded(answer.as_ref(), 200);
        if acknowledged { &mut self.there } else { &mut self.perhaps }.insert(key, bytes);
    }

    async fn get(&mut self, key: &str) {
        let signed = self.client.call("GET", &self.path(key)).signed();
        let answer = self.send(signed).await;
        if self.succeeded(answer.as_ref(), 200) {
            assert!(answer.expect("a success").body == self.there[key], "{key} has other bytes");
        }
    }

    async fn get_range(&mut self) {
        for key in self.some_keys() {
            let (first, last) = (self.there[&key].len() / 3, self.there[&key].len() / 2);
            let call = self.client.call("GET", &self.path(&key)).header("range", &format!("bytes={first}-{last}"));
            let signed = call.signed();
            let answer = self.send(signed).await;
            if self.succeeded(answer.as_ref(), 206) {
                assert!(answer.expect("a success").body == self.there[&key][first..=last], "{key} has other bytes");
            }
        }
    }

    async fn multipart(&mut self) {
        let (key, bytes) = self.fresh(2 * PART_BYTES + 1000);
        let path = self.path(&key);
        let answer = self.send(self.client.call("POST", &path).query("uploads", "").signed()).await;
        if !self.succeeded(answer.as_ref(), 200) {
            return;
        }
        let upload = answer.expect("a success").elements("UploadId").remove(0);
        let mut listed = String::new();
        for (n, part) in bytes.chunks(PART_BYTES).enumerate() {
            let number = (n + 1).to_string();
            let call = self.client.call("PUT", &path).query("partNumber", &number).query("uploadId", &upload);
            let signed = call.body(part).signed();
            let answer = self.send(signed).await;
            if !self.succeeded(answer.as_ref(), 200) {
                return;
            }
            let etag = answer.expect("a success").etag().to_owned();
            listed.push_str(&format!("<Part><PartNumber>{number}</PartNumber><ETag>\"{etag}\"</ETag></Part>"));
        }
        let body = format!("<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>");
        let answer = self.send(self.client.call("POST", &path).query("uploadId", &upload).body(body).signed()).await;
        let acknowledged = self.succeeded(answer.as_ref(), 200);
        if acknowledged { &mut self.there } else { &mut self.perhaps }.insert(key, bytes);
    }

    async fn delete(&mut self) {
        // What is removed was put while the storage was well or not: either may be.
        let Some(key) = self.there.iter().find(|(_, bytes)| bytes.len() == SMALL_BYTES).map(|(key, _)| key.clone())
        else {
            return;
        };
        let answer = self.send(self.client.call("DELETE", &self.path(&key)).signed()).await;
        let acknowledged = self.succeeded(answer.as_ref(), 204);
        let bytes = self.there.remove(&key).expect("it was there");
        if acknowledged {
            self.gone.insert(key);
        } else {
            self.perhaps.insert(key, bytes);
        }
    }

    async fn list(&mut self) {
        let call = self.client.call("GET", &format!("/{}", self.bucket)).query("list-type", "2");
        let signed = call.signed();
        let answer = self.send(signed).await;
        if self.succeeded(answer.as_ref(), 200) {
            self.listed(&answer.expect("a success").elements("Key"));
        }
    }

    /// A listing has all that is there, and nothing that is gone or never was.
    fn listed(&self, keys: &[String]) {
        let keys: BTreeSet<&String> = keys.iter().collect();
        for key in self.there.keys() {
            assert!(keys.contains(key), "{key} is not listed");
        }
        for key in keys {
            assert!(self.there.contains_key(key) || self.perhaps.contains_key(key), "{key} is listed");
        }
    }

    /// Waits until the storage is trusted again.
    async fn until_well(&self) {
        let until = Instant::now() + Duration::from_secs(WELL_SECONDS_MAX);
        let key = self.there.keys().next().expect("something is there").clone();
        loop {
            let signed = self.client.call("GET", &self.path(&key)).signed();
            if self.send(signed).await.is_some_and(|answer| answer.status == 200) {
                return;
            }
            assert!(Instant::now() < until, "a storage that is well again is not used");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Everything is as it was told.
    async fn verify(&mut self) {
        self.until_well().await;
        for (key, bytes) in &self.there {
            let answer = self.client.get(&self.bucket, key).await.expect(200);
            assert!(answer.body == *bytes, "{key} has other bytes");
        }
        for (key, bytes) in &self.perhaps {
            let answer = self.client.get(&self.bucket, key).await;
            assert!(answer.status == 404 || answer.expect(200).body == *bytes, "{key} is there in part");
        }
        for key in &self.gone {
            self.client.get(&self.bucket, key).await.expect(404);
        }
        let keys = self.client.keys_of(&self.bucket, "").await;
        self.listed(&keys);
    }
}

/// Operations meet faults at one of the first requests that they make of the storage; at full size every one meets each.
async fn told_truly(test: &str, backend: Option<&Backend>) {
    let Some(backend) = backend else { return };
    let mut bench = Bench::on(backend).await;
    let (mut rounds, mut met) = (0, 0);
    for (i, op) in OPS.into_iter().enumerate() {
        for (j, (fault, times)) in faults().into_iter().enumerate() {
            let places = match (at_full_size(), (i + j) % 3) {
                (true, _) => 0..5,
                // A third of them, each operation another.
                (false, 0) => j % 2..j % 2 + 1,
                (false, _) => 0..0,
            };
            for after in places {
                bench.until_well().await;
                if matches!(op, Op::Delete) {
                    bench.act(Op::PutSmall).await;
                }
                bench.proxy.arm([Rule { after, times, ..Rule::always(fault.clone()) }]);
                bench.act(op).await;
                let hits = bench.proxy.disarm();
                eprintln!("{op:?}, {fault:?} from {after}: {hits}, {} refusals so far", bench.refusals);
                // It makes no more requests than that.
                if hits == 0 && after > 0 && at_full_size() {
                    break;
                }
                (rounds, met) = (rounds + 1, met + usize::from(hits > 0));
            }
        }
    }
    bench.verify().await;
    bench.server.until_settled();
    bench.verify().await;
    let Bench { proxy, server, bucket, there, perhaps, gone, next, refusals, .. } = bench;
    let server = server.restart();
    let client = server.root();
    Bench { proxy, server, client, bucket, there, perhaps, gone, next, refusals }.verify().await;
    assert!(met * 2 > rounds, "{met} of {rounds} rounds met their fault");
    report(&format!("{test}: {met} of {rounds} rounds met their fault, {refusals} requests were refused"));
}

/// The time that some work on the disk takes, in rounds of which the middle one counts.
async fn work_on_disk(client: &Client, bucket: &str, round: usize) -> Duration {
    let mut times = Vec::new();
    for n in 0..15 {
        let began = Instant::now();
        let key = format!("r{round}/k{n}");
        client.put(bucket, &key, bytes_of(n, SMALL_BYTES)).await.expect(200);
        assert_eq!(client.get(bucket, &key).await.expect(200).body, bytes_of(n, SMALL_BYTES));
        client.list(bucket, &format!("r{round}/")).await.expect(200);
        times.push(began.elapsed());
    }
    times.sort_unstable();
    times[times.len() / 2]
}

/// A storage that says nothing holds up nobody who wants nothing of it.
async fn holds_up_nobody(test: &str, backend: Option<&Backend>) {
    let Some(backend) = backend else { return };
    let proxy = Proxy::before(backend.address);
    let disk = tempfile::tempdir().expect("a temporary directory");
    let patience = format!("read_timeout_seconds = 5\nretries_max = 1\n{}", apart());
    let entry = backend.entry_by("cloud", proxy.address, &patience);
    let config = format!(
        "{entry}[[provider]]\nname = \"disk\"\nprovider = \"filesystem\"\nroot = {:?}\n\
         [[bucket]]\nmatch = \"disk-*\"\nprovider = \"disk\"\n[server]\ndefault_provider = \"cloud\"\n",
        disk.path()
    );
    let server = Server::with(Options::default().config(&config));
    let client = server.root();
    let (far, near) = (fresh_name("far"), fresh_name("disk"));
    client.create_bucket(&far).await.expect(200);
    client.create_bucket(&near).await.expect(200);
    client.put(&far, "k", bytes_of(1, SMALL_BYTES)).await.expect(200);
    let baseline = work_on_disk(&client, &near, 0).await;
    proxy.arm([Rule::always(Fault::Hang)]);
    let waiting: Vec<_> = (0..64)
        .map(|n| {
            let (client, far) = (client.clone(), far.clone());
            tokio::spawn(async move {
                let call = if n % 2 == 0 {
                    client.call("GET", &format!("/{far}/k"))
                } else {
                    client.call("PUT", &format!("/{far}/{n}"))
                };
                let signed = call.signed();
                client.attempt(signed).await.map(|answer| answer.status)
            })
        })
        .collect();
    let beside = work_on_disk(&client, &near, 1).await;
    let hung = waiting.iter().filter(|task| !task.is_finished()).count();
    report(&format!("{test}: {baseline:?} alone, {beside:?} beside {hung} requests that hang"));
    assert!(beside < baseline * 10 + Duration::from_millis(500), "{beside:?} instead of {baseline:?}");
    proxy.disarm();
    for task in waiting {
        let status = task.await.expect("no panic");
        assert!(matches!(status, None | Some(200 | 500 | 503)), "{status:?}");
    }
}

macro_rules! on_each_cloud {
    ($($behaviour:ident: $($cloud:ident as $test:ident),*;)*) => {
        $($(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                $behaviour(stringify!($test), backends::$cloud(stringify!($test))).await;
            }
        )*)*
    };
}

on_each_cloud! {
    told_truly: azure as azure_is_told_truly, google as google_is_told_truly, amazon as amazon_is_told_truly,
        openstack as openstack_is_told_truly, loopback as remote_is_told_truly;
    holds_up_nobody: azure as azure_holds_up_nobody, openstack as openstack_holds_up_nobody,
        loopback as remote_holds_up_nobody;
}
