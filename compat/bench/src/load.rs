//! One pass: a case against one endpoint with a number of connections for a number of seconds.
//!
//! Every answer is checked for what the operation promises (status, length of the body, keys on the page): a fast
//! wrong answer is an error, and a pass with errors is no measurement. **Invariant:** a request that was started
//! before the end is finished and counted, and the time of the pass is that of its last request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::case::{Case, DELETES, Operation, PAGE_KEYS, PART_BYTES, scatter};
use crate::client::{Call, Client, Endpoint, Failed, OCTETS, element};
use crate::multipart;
use crate::reader::{self, Reader};
use crate::sign::encode_query;
use crate::stats::Histogram;

/// A worker gives up after this many failed requests: the server is gone, or the case is not for it.
const ERRORS_MAX: u64 = 20;

/// What every worker of a pass shares.
pub(crate) struct Plan {
    pub(crate) case: Case,
    pub(crate) endpoint: Endpoint,
    pub(crate) connections: u64,
    pub(crate) seconds: Duration,
    pub(crate) block: Bytes,
    /// The value of x-amz-content-sha256 for the body that this case sends, and for an empty one.
    pub(crate) payload: String,
    pub(crate) no_payload: String,
    /// Reads that are asked for again and again, by the number of their object; none where they are not signed ahead.
    pub(crate) ahead: Vec<Bytes>,
}

impl Plan {
    /// The reads of a case as they go over the wire, signed now: the pass is over long before their signatures are.
    pub(crate) fn signed_ahead(case: Case, endpoint: &Endpoint, no_payload: &str) -> Vec<Bytes> {
        let method = match case.operation {
            Operation::Get => "GET",
            Operation::Head => "HEAD",
            Operation::Put | Operation::Delete | Operation::Multipart | Operation::List => return Vec::new(),
        };
        let path = |n| endpoint.read_path(&case.bucket(), &case.key(n));
        (0..case.objects).map_while(|n| reader::request(endpoint, method, &path(n), no_payload)).collect()
    }
}

/// The connection of a worker.
pub(crate) enum Connection {
    /// For requests that are signed ahead.
    Reads(Reader),
    /// For all others.
    Any(Client),
}

/// What a pass has measured.
pub(crate) struct Outcome {
    pub(crate) latencies: Histogram,
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
}

impl Outcome {
    pub(crate) fn new() -> Self {
        Self { latencies: Histogram::new(), bytes: 0, seconds: 0.0, errors: 0, first_error: None }
    }

    /// Adds the figures of another worker or pass; the time is left to the caller.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.latencies.merge(&other.latencies);
        self.bytes += other.bytes;
        self.errors += other.errors;
        if self.first_error.is_none() {
            self.first_error.clone_from(&other.first_error);
        }
    }

    fn record(&mut self, began: Instant, done: Result<u64, Failed>) {
        match done {
            Ok(bytes) => {
                self.latencies.record(began.elapsed());
                self.bytes += bytes;
            }
            Err(Failed(why)) => {
                self.errors += 1;
                self.first_error.get_or_insert(why);
            }
        }
    }
}

/// Does what is not measured: objects for DELETE, the connections, and a first request on each.
pub(crate) async fn ready(plan: &Arc<Plan>) -> Vec<Connection> {
    if plan.case.operation == Operation::Delete {
        fill(plan).await;
    }
    let mut clients = Vec::new();
    for worker in 0..plan.connections {
        let mut connection = match plan.ahead.is_empty() {
            true => Connection::Any(Client::new(&plan.endpoint)),
            false => Connection::Reads(Reader::new(&plan.endpoint)),
        };
        if !matches!(plan.case.operation, Operation::Delete | Operation::Multipart) {
            // A failure shows again in the first measured request.
            let _ = once(plan, &mut connection, worker, worker).await;
        }
        clients.push(connection);
    }
    clients
}

/// Runs the pass over connections that are ready.
pub(crate) async fn pass(plan: &Arc<Plan>, clients: Vec<Connection>) -> Outcome {
    let began = Instant::now();
    let mut outcome = if plan.case.operation == Operation::Multipart {
        uploads(plan, clients, began).await
    } else {
        requests(plan, clients, began).await
    };
    outcome.seconds = began.elapsed().as_secs_f64();
    outcome
}

async fn requests(plan: &Arc<Plan>, clients: Vec<Connection>, began: Instant) -> Outcome {
    let next = Arc::new(AtomicU64::new(0));
    let limit = if plan.case.operation == Operation::Delete { DELETES } else { u64::MAX };
    let mut workers = JoinSet::new();
    for (worker, mut connection) in (0..).zip(clients) {
        let (plan, next) = (Arc::clone(plan), Arc::clone(&next));
        workers.spawn(async move {
            let mut own = Outcome::new();
            while began.elapsed() < plan.seconds && own.errors < ERRORS_MAX {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= limit {
                    break;
                }
                let start = Instant::now();
                let done = once(&plan, &mut connection, worker, n).await;
                own.record(start, done);
            }
            own
        });
    }
    let mut all = Outcome::new();
    while let Some(joined) = workers.join_next().await {
        match joined {
            Ok(own) => all.merge(&own),
            Err(error) => all.record(began, Err(Failed(format!("worker: {error}")))),
        }
    }
    all
}

/// One upload after the other, each with as many parts in flight as there are connections.
async fn uploads(plan: &Arc<Plan>, connections: Vec<Connection>, began: Instant) -> Outcome {
    let client = |connection| match connection {
        Connection::Any(client) => Some(client),
        Connection::Reads(_) => None,
    };
    let mut clients: Vec<Client> = connections.into_iter().filter_map(client).collect();
    let mut all = Outcome::new();
    let mut n = 0;
    while began.elapsed() < plan.seconds && all.errors < ERRORS_MAX {
        let start = Instant::now();
        let key = plan.case.key(n % plan.case.objects);
        let done = multipart::upload(plan, &mut clients, &key, plan.case.size.div_ceil(PART_BYTES)).await;
        all.record(start, done);
        n += 1;
    }
    all
}

/// One request of the case, and the number of bytes of objects that it moved.
async fn once(plan: &Plan, connection: &mut Connection, worker: u64, n: u64) -> Result<u64, Failed> {
    let Plan { case, .. } = plan;
    let object = scatter(n, case.objects);
    let client = match connection {
        Connection::Any(client) => client,
        Connection::Reads(reader) => {
            let index = usize::try_from(object).unwrap_or(usize::MAX);
            let length = reader.read(plan.ahead.get(index).map_or(&[], |request| &request[..])).await?;
            expect(length == case.size, || format!("{}: {length} bytes, wanted {}", case.key(object), case.size))?;
            return Ok(if case.operation == Operation::Get { length } else { 0 });
        }
    };
    match case.operation {
        Operation::Get => {
            let path = plan.endpoint.read_path(&case.bucket(), &case.key(object));
            let (length, _) = client.drain(&Call::bare("GET", &path, "", &plan.no_payload)).await?;
            expect(length == case.size, || format!("GET {path}: {length} bytes, wanted {}", case.size))?;
            Ok(length)
        }
        Operation::Head => {
            let path = plan.endpoint.read_path(&case.bucket(), &case.key(object));
            client.drain(&Call::bare("HEAD", &path, "", &plan.no_payload)).await?;
            Ok(0)
        }
        Operation::Put => put(plan, client, &case.key(worker * case.objects + n % case.objects)).await,
        Operation::Delete => {
            let (_, path) = plan.endpoint.write_path(&case.bucket(), &case.key(n));
            client.drain(&Call::bare("DELETE", &path, "", &plan.no_payload)).await?;
            Ok(0)
        }
        Operation::List => list(plan, client, n).await,
        Operation::Multipart => Err(Failed("an upload is more than one request".into())),
    }
}

async fn put(plan: &Plan, client: &mut Client, key: &str) -> Result<u64, Failed> {
    upload(&plan.endpoint, client, (&plan.case.bucket(), key), &plan.payload, (&plan.block, plan.case.size)).await
}

/// A full page from somewhere in the bucket; pages of all parts of the index come in turn.
async fn list(plan: &Plan, client: &mut Client, n: u64) -> Result<u64, Failed> {
    let pages = plan.case.objects / PAGE_KEYS;
    let after = scatter(n, pages - 1) * PAGE_KEYS;
    let query = format!("list-type=2&max-keys={PAGE_KEYS}&start-after={}", encode_query(&plan.case.key(after)));
    let path = format!("/{}", plan.case.bucket());
    let text = client.text(&Call::bare("GET", &path, &query, &plan.no_payload)).await?;
    let count = text.matches("<Key>").count() as u64;
    expect(count == PAGE_KEYS, || format!("LIST {path}: {count} keys on the page"))?;
    let (first, wanted) = (element(&text, "Key").unwrap_or_default(), plan.case.key(after + 1));
    expect(first == wanted, || format!("LIST {path}: the page starts with {first}, wanted {wanted}"))?;
    Ok(0)
}

/// Writes what the DELETE load removes, which is not measured.
async fn fill(plan: &Arc<Plan>) {
    let mut workers = JoinSet::new();
    for worker in 0..16 {
        let plan = Arc::clone(plan);
        workers.spawn(async move {
            let mut client = Client::new(&plan.endpoint);
            for n in (worker..DELETES).step_by(16) {
                // Where this fails, the load deletes a missing key; a server that is down shows in the load itself.
                let _ = put(&plan, &mut client, &plan.case.key(n)).await;
            }
        });
    }
    workers.join_all().await;
}

/// Writes one object, of so many bytes of the block again and again.
pub(crate) async fn upload(
    endpoint: &Endpoint,
    client: &mut Client,
    (bucket, key): (&str, &str),
    payload: &str,
    (block, length): (&Bytes, u64),
) -> Result<u64, Failed> {
    let (method, path) = endpoint.write_path(bucket, key);
    let call = Call { method, path: &path, query: "", payload, content_type: OCTETS, block, length };
    client.drain(&call).await?;
    Ok(length)
}

fn expect(holds: bool, why: impl FnOnce() -> String) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(Failed(why())) }
}
