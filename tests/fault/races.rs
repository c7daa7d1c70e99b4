//! Many clients at the same key, upload or bucket at once: exactly one outcome, and nobody sees a second one.
//!
//! Nothing is synced here: what is raced for is decided in the catalog, and power is not lost.
//!
//! **Invariant:** the rounds of a race start all of its clients at one barrier.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::audit::files_below;
use super::dice::{bytes_of, report};
use super::load::{MANAGED, NATURAL, make_buckets};
use super::{at_full_size, ledger::md5_hex};
use crate::harness::{Answer, Client, Options, Server};

const CLIENTS: usize = 16;

fn rounds() -> u64 {
    if at_full_size() { 1000 } else { 100 }
}

async fn served() -> (Server, Client) {
    let server = Server::with(Options::default().arg("--durability").arg("os").env("LONGSHORE_LOG", "warn"));
    make_buckets(&server).await;
    let root = server.root();
    (server, root)
}

/// Both layouts in turn.
fn bucket(round: u64) -> &'static str {
    if round.is_multiple_of(2) { NATURAL } else { MANAGED }
}

/// Starts all requests at once; their answers in the order of the requests.
async fn at_once<F>(requests: Vec<F>) -> Vec<Answer>
where
    F: Future<Output = Answer> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(requests.len()));
    let started = requests.into_iter().map(|request| {
        let barrier = Arc::clone(&barrier);
        tokio::spawn(async move {
            barrier.wait().await;
            request.await
        })
    });
    let started: Vec<_> = started.collect();
    let mut answers = Vec::new();
    for request in started {
        answers.push(request.await.expect("an answer"));
    }
    answers
}

/// Bodies on both sides of what the catalog may hold.
fn body(round: u64, client: usize) -> Vec<u8> {
    let len = if round.is_multiple_of(3) { 30_000 } else { 600 };
    bytes_of((round << 8) + client as u64, len)
}

/// The one client that was answered with success; all others must have been told that they lost.
#[track_caller]
fn winner(answers: &[Answer], what: &str) -> usize {
    let won: Vec<usize> = (0..answers.len()).filter(|n| answers[*n].status == 200).collect();
    assert_eq!(won.len(), 1, "{what}: {won:?} of {} clients won", answers.len());
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        let lost = matches!(
            (answer.status, answer.code().as_str()),
            (412, "PreconditionFailed") | (409, "ConditionalRequestConflict")
        );
        assert!(lost, "{what}: {} {}", answer.status, answer.text());
    }
    won[0]
}

/// Reads a key until it is told to stop, and returns every body that it saw.
fn watch(
    root: &Client,
    bucket: &'static str,
    key: &str,
    stop: &Arc<AtomicBool>,
) -> tokio::task::JoinHandle<BTreeSet<Vec<u8>>> {
    let (root, key, stop) = (root.clone(), key.to_owned(), Arc::clone(stop));
    tokio::spawn(async move {
        let mut seen = BTreeSet::new();
        while !stop.load(Ordering::SeqCst) {
            let got = root.get(bucket, &key).await;
            match got.status {
                200 => {
                    assert_eq!(got.etag(), md5_hex(&got.body), "GET {key}");
                    seen.insert(got.body.to_vec());
                }
                status => assert_eq!(status, 404, "GET {key}: {}", got.text()),
            }
        }
        seen
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_creations_one_wins_and_the_others_were_never_there() {
    let (_server, root) = served().await;
    for round in 0..rounds() {
        let (bucket, key) = (bucket(round), format!("dir/new-{round}"));
        let stop = Arc::new(AtomicBool::new(false));
        let watching = watch(&root, bucket, &key, &stop);
        let put = |client| {
            let (root, key) = (root.clone(), key.clone());
            async move {
                let call = root.call("PUT", &format!("/{bucket}/{key}")).header("if-none-match", "*");
                call.body(body(round, client)).send().await
            }
        };
        let answers = at_once((0..CLIENTS).map(put).collect()).await;
        let won = body(round, winner(&answers, &key));
        assert!(root.get(bucket, &key).await.expect(200).body == won, "{key} has the bytes of one who lost");
        stop.store(true, Ordering::SeqCst);
        let seen = watching.await.expect("a reader that is answered rightly");
        assert!(seen.iter().all(|seen| *seen == won), "{key}: bytes of one who lost were read");
    }
    report(&format!("races: {} rounds of {CLIENTS} creations", rounds()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_overwrites_of_one_version_one_wins() {
    let (_server, root) = served().await;
    let key = "chain";
    for bucket in [NATURAL, MANAGED] {
        let mut etag = root.put(bucket, key, "the first").await.expect(200).etag().to_owned();
        let mut before = b"the first".to_vec();
        for round in 0..rounds() / 2 {
            let stop = Arc::new(AtomicBool::new(false));
            let watching = watch(&root, bucket, key, &stop);
            let put = |client| {
                let (root, etag) = (root.clone(), etag.clone());
                async move {
                    let call = root.call("PUT", &format!("/{bucket}/{key}")).header("if-match", &format!("\"{etag}\""));
                    call.body(body(round, client)).send().await
                }
            };
            let answers = at_once((0..CLIENTS).map(put).collect()).await;
            let won = winner(&answers, key);
            let bytes = body(round, won);
            etag = answers[won].etag().to_owned();
            assert!(root.get(bucket, key).await.expect(200).body == bytes, "round {round}: bytes of one who lost");
            stop.store(true, Ordering::SeqCst);
            let seen = watching.await.expect("a reader that is answered rightly");
            let strange = seen.iter().find(|seen| **seen != bytes && **seen != before);
            assert!(strange.is_none(), "round {round}: bytes of one who lost were read");
            before = bytes;
        }
    }
    report(&format!("races: {} rounds of {CLIENTS} overwrites", rounds()));
}

/// What one of the clients of a busy bucket does.
async fn disturb(root: Client, bucket: &'static str, client: usize, turns: u64) {
    for turn in 0..turns {
        let key = format!("busy/{}", (turn + client as u64) % 3);
        match client % 8 {
            0..3 => {
                // Several blocks, so that a reader is often in the middle of one.
                let len = if turn % 2 == 0 { 700_000 } else { 900 };
                let body = bytes_of(((client as u64) << 32) + turn, len);
                let put = root.put(bucket, &key, body.clone()).await.expect(200);
                assert_eq!(put.etag(), md5_hex(&body), "PUT {key}");
            }
            3 => drop(root.delete(bucket, &key).await.expect(204)),
            4 => {
                let keys = root.keys_of(bucket, "busy/").await;
                assert!(keys.is_sorted_by(|a, b| a < b), "listed twice or out of order: {keys:?}");
            }
            5 => {
                let path = format!("/{bucket}/busy/{}", (turn + client as u64 + 1) % 3);
                let copy = root.call("PUT", &path).header("x-amz-copy-source", &format!("{bucket}/{key}")).send().await;
                // A source that is replaced while it is copied is told as such.
                assert!(matches!(copy.status, 200 | 404 | 503), "copy: {} {}", copy.status, copy.text());
            }
            _ => {
                let got = root.get(bucket, &key).await;
                if got.status != 404 {
                    let got = got.expect(200);
                    assert_eq!(got.etag(), md5_hex(&got.body), "GET {key}: {} bytes", got.body.len());
                    let length = got.header("content-length").map(str::to_owned);
                    assert_eq!(length, Some(got.body.len().to_string()), "GET {key}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_whole_bodies_while_everything_changes() {
    let (server, root) = served().await;
    let turns = rounds() / 2;
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        for bucket in [NATURAL, MANAGED] {
            clients.spawn(disturb(root.clone(), bucket, client, turns));
        }
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap_or_else(|error| panic!("{error}\n{}", server.log()));
    }
    for bucket in [NATURAL, MANAGED] {
        let keys: BTreeSet<String> = root.keys_of(bucket, "").await.into_iter().collect();
        for n in 0..3 {
            let key = format!("busy/{n}");
            let status = root.head(bucket, &key).await.status;
            assert_eq!(status == 200, keys.contains(&key), "HEAD and LIST of {key} disagree");
        }
    }
    report(&format!("races: {} clients at 3 keys with {turns} requests each", 2 * CLIENTS));
}

async fn begin(root: &Client, bucket: &str, key: &str) -> String {
    let begun = root.call("POST", &format!("/{bucket}/{key}")).query("uploads", "").send().await.expect(200);
    begun.elements("UploadId").remove(0)
}

async fn part(root: Client, bucket: &'static str, key: String, upload: String, body: Vec<u8>) -> Answer {
    let call = root.call("PUT", &format!("/{bucket}/{key}")).query("uploadId", &upload).query("partNumber", "1");
    call.body(body).send().await
}

async fn complete(root: Client, bucket: &'static str, key: String, upload: String, etag: String) -> Answer {
    let list = format!("<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>");
    let list = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
    root.call("POST", &format!("/{bucket}/{key}")).query("uploadId", &upload).body(list).send().await
}

async fn abort(root: Client, bucket: &'static str, key: String, upload: String) -> Answer {
    root.call("DELETE", &format!("/{bucket}/{key}")).query("uploadId", &upload).send().await
}

type Request = std::pin::Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Complete, abort and another attempt of the part, at once. Returns whether it was completed, and whether aborted.
async fn end_race(root: &Client, bucket: &'static str, round: u64) -> (bool, bool) {
    let key = format!("ended-{round}");
    let (first, second) = (body(round, 1), body(round, 2));
    let upload = begin(root, bucket, &key).await;
    let etag =
        part(root.clone(), bucket, key.clone(), upload.clone(), first.clone()).await.expect(200).etag().to_owned();
    let of = || (root.clone(), key.clone(), upload.clone());
    let requests: Vec<Request> = vec![
        Box::pin({
            let (root, key, upload) = of();
            complete(root, bucket, key, upload, etag)
        }),
        Box::pin({
            let (root, key, upload) = of();
            abort(root, bucket, key, upload)
        }),
        Box::pin({
            let (root, key, upload) = of();
            part(root, bucket, key, upload, second)
        }),
    ];
    let answers = at_once(requests).await;
    let told: Vec<_> = answers.iter().map(|answer| (answer.status, answer.code())).collect();
    let told: Vec<_> = told.iter().map(|(status, code)| (*status, code.as_str())).collect();
    let completed = match told[0] {
        (200, _) => true,
        (404, "NoSuchUpload") | (409, "ConditionalRequestConflict") | (400, "InvalidPart") => false,
        _ => panic!("{key}: Complete was answered {told:?}"),
    };
    let aborted = match told[1] {
        (204, _) => true,
        (404, "NoSuchUpload") | (409, "ConditionalRequestConflict") => false,
        _ => panic!("{key}: the abort was answered {told:?}"),
    };
    assert!(matches!(told[2], (200, _) | (404, "NoSuchUpload")), "{key}: the part was answered {told:?}");
    assert!(!(completed && aborted), "{key} was completed and aborted");
    let got = root.get(bucket, &key).await;
    assert_eq!(got.status, if completed { 200 } else { 404 }, "{key}: {told:?}");
    assert!(!completed || got.body == first, "{key} has other bytes than were listed");
    let open = root.call("GET", &format!("/{bucket}/{key}")).query("uploadId", &upload).send().await;
    assert_eq!(open.status == 200, !completed && !aborted, "{key}: {told:?}, and its parts are {}", open.status);
    if open.status == 200 {
        abort(root.clone(), bucket, key, upload).await.expect(204);
    }
    (completed, aborted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_ends_in_one_way() {
    let (server, root) = served().await;
    let (mut completed, mut aborted) = (0, 0);
    for round in 0..rounds() {
        let ended = end_race(&root, bucket(round), round).await;
        completed += usize::from(ended.0);
        aborted += usize::from(ended.1);
    }
    let natural = root.keys_of(NATURAL, "").await.len();
    let managed = root.keys_of(MANAGED, "").await.len();
    assert_eq!(natural + managed, completed);
    // Everything that was stored and is not an object was freed.
    let mut server = server;
    assert!(server.stop().success());
    for (bucket, objects) in [(NATURAL, 0), (MANAGED, managed)] {
        let mut files = Vec::new();
        files_below(&server.data().join(bucket).join(".longshore/objects"), &mut files);
        assert_eq!(files.len(), objects, "bodies in {bucket} that no object has: {files:?}");
    }
    report(&format!("races: {} uploads, {completed} completed and {aborted} aborted", rounds()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn completes_of_one_upload_agree() {
    let (_server, root) = served().await;
    for round in 0..rounds() {
        let (bucket, key) = (bucket(round), format!("agreed-{round}"));
        let upload = begin(&root, bucket, &key).await;
        let body = body(round, 0);
        let etag = part(root.clone(), bucket, key.clone(), upload.clone(), body.clone()).await.expect(200);
        let etag = etag.etag().to_owned();
        let again = || complete(root.clone(), bucket, key.clone(), upload.clone(), etag.clone());
        let answers = at_once((0..8).map(|_| again()).collect()).await;
        // Who comes while another one is at it waits for it.
        let told: BTreeSet<_> = answers.into_iter().map(|answer| answer.expect(200).elements("ETag")).collect();
        assert_eq!(told.len(), 1, "{key}: {told:?}");
        assert!(root.get(bucket, &key).await.expect(200).body == body);
    }
    report(&format!("races: {} uploads completed by 8 clients each", rounds()));
}

/// Creations, removals and a PUT of one bucket at once.
async fn bucket_race(server: &Server, root: &Client, round: u64) -> bool {
    let name = format!("passing-{}", round % 4);
    let put = round.is_multiple_of(2);
    let request = |client: usize| -> Request {
        let (root, name) = (root.clone(), name.clone());
        match client % 4 {
            0 | 1 => Box::pin(async move { root.create_bucket(&name).await }),
            2 if put => Box::pin(async move { root.put(&name, "in/it", "bytes").await }),
            _ => Box::pin(async move { root.call("DELETE", &format!("/{name}")).send().await }),
        }
    };
    let answers = at_once((0..8).map(request).collect()).await;
    for (client, answer) in answers.iter().enumerate() {
        let known = matches!(
            (client % 4, answer.status, answer.code().as_str()),
            (0 | 1, 200, _)
                | (0 | 1, 409, "BucketAlreadyOwnedByYou" | "OperationAborted")
                | (2, 200, _)
                // Between the row of a new bucket and its directory.
                | (2 | 3, 503, "SlowDown")
                | (2 | 3, 404, "NoSuchBucket")
                | (2 | 3, 204, _)
                | (2 | 3, 409, "BucketNotEmpty" | "OperationAborted")
        );
        assert!(known, "client {client} at {name}: {} {}", answer.status, answer.text());
    }
    let there = root.call("HEAD", &format!("/{name}")).send().await.status == 200;
    let listed = root.call("GET", "/").send().await.expect(200).elements("Name").contains(&name);
    assert_eq!(there, listed, "HEAD and the list disagree on {name}");
    assert_eq!(there, server.data().join(&name).is_dir(), "the directory of {name}");
    let written = put && [2, 6].iter().any(|client: &usize| answers[*client].status == 200);
    if written {
        assert_eq!(root.get(&name, "in/it").await.expect(200).text(), "bytes", "a bucket with an object went");
        root.delete(&name, "in/it").await.expect(204);
    }
    if there {
        assert!(root.keys_of(&name, "").await.is_empty());
        root.call("DELETE", &format!("/{name}")).send().await.expect(204);
    }
    assert!(!server.data().join(&name).exists(), "{name} was deleted and is there");
    written
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_with_an_object_never_goes() {
    let (server, root) = served().await;
    let mut written = 0;
    for round in 0..rounds() {
        written += usize::from(bucket_race(&server, &root, round).await);
    }
    report(&format!("races: {} rounds at one bucket, an object in {written}", rounds()));
}
