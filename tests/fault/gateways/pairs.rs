//! What is tried once between two gateways that run: races, an upload across both, settings, secrets, stops.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Barrier;

use super::{Site, give_master_key};
use crate::fault::dice::bytes_of;
use crate::fault::load::{MANAGED, NATURAL, make_buckets};
use crate::harness::postgres::postgres;
use crate::harness::{Answer, Client, Server};
use crate::s3::notification::Hook;

const CLIENTS: usize = 16;
const ROUNDS: usize = 20;
/// Another gateway hears of a change by then.
const HEARD_MAX: Duration = Duration::from_secs(5);

/// A job of a gateway that was killed is another one's by then.
const PASSED_ON_MAX: Duration = Duration::from_secs(30);

/// Two gateways with the buckets of the tests.
async fn two(test: &str) -> Option<(Site, Server, Server)> {
    let site = Site::new(postgres(test)?.fresh());
    let (one, other) = (site.start("one"), site.start("other"));
    make_buckets(&one).await;
    Some((site, one, other))
}

/// Requests of both gateways' clients at once.
async fn at_once(pair: [&Client; 2], request: impl Fn(&Client, usize) -> crate::harness::Signed) -> Vec<Answer> {
    let barrier = Arc::new(Barrier::new(CLIENTS));
    let started = (0..CLIENTS).map(|n| {
        let (client, barrier) = (pair[n % 2].clone(), Arc::clone(&barrier));
        let signed = request(&client, n);
        tokio::spawn(async move {
            barrier.wait().await;
            client.send(signed).await
        })
    });
    let started: Vec<_> = started.collect();
    let mut answers = Vec::new();
    for request in started {
        answers.push(request.await.expect("an answer"));
    }
    answers
}

/// The one who was told that it won.
#[track_caller]
fn winner(answers: &[Answer]) -> usize {
    let won: Vec<usize> = (0..answers.len()).filter(|n| answers[*n].status == 200).collect();
    assert_eq!(won.len(), 1, "{won:?} of {} won", answers.len());
    for lost in answers.iter().filter(|answer| answer.status != 200) {
        let code = lost.code();
        assert!(["PreconditionFailed", "ConditionalRequestConflict"].contains(&&*code), "{}", lost.text());
    }
    won[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixteen_conditional_writes_through_two_gateways_one_wins() {
    let test = "of_sixteen_conditional_writes_through_two_gateways_one_wins";
    let Some((_site, one, other)) = two(test).await else { return };
    let (one, other) = (one.root(), other.root());
    let body = |round: usize, n: usize, len: usize| bytes_of(((round as u64) << 8) + n as u64, len);
    for round in 0..ROUNDS {
        let (bucket, key) = (if round % 2 == 0 { NATURAL } else { MANAGED }, format!("dir/{round}"));
        let len = if round % 3 == 0 { 30_000 } else { 700 };
        let path = format!("/{bucket}/{key}");
        let made = at_once([&one, &other], |client, n| {
            client.call("PUT", &path).header("if-none-match", "*").body(body(round, n, len)).signed()
        });
        let made = made.await;
        let first = winner(&made);
        let etag = made[first].etag().to_owned();
        for client in [&one, &other] {
            assert!(
                client.get(bucket, &key).await.expect(200).body == body(round, first, len),
                "bytes of one who lost"
            );
        }
        let next = at_once([&one, &other], |client, n| {
            let call = client.call("PUT", &path).header("if-match", &format!("\"{etag}\""));
            call.body(body(round, CLIENTS + n, len)).signed()
        });
        let second = winner(&next.await);
        for client in [&one, &other] {
            let got = client.get(bucket, &key).await.expect(200);
            assert!(got.body == body(round, CLIENTS + second, len), "bytes of one who lost");
            assert_eq!(client.keys_of(bucket, &key).await, std::slice::from_ref(&key));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_goes_through_any_gateway() {
    let Some((_site, one, other)) = two("an_upload_goes_through_any_gateway").await else { return };
    let (one, other) = (one.root(), other.root());
    for bucket in [NATURAL, MANAGED] {
        let path = format!("/{bucket}/across");
        let id = one.call("POST", &path).query("uploads", "").send().await.expect(200).elements("UploadId").remove(0);
        let mut list = String::new();
        for (number, client, len) in [(1, &other, 5 << 20), (2, &one, 1000)] {
            let call = client.call("PUT", &path).query("uploadId", &id).query("partNumber", &format!("{number}"));
            let etag = call.body(bytes_of(number, len)).send().await.expect(200).etag().to_owned();
            list.push_str(&format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"));
        }
        for client in [&one, &other] {
            let parts = client.call("GET", &path).query("uploadId", &id).send().await.expect(200);
            assert_eq!(parts.elements("PartNumber"), ["1", "2"]);
        }
        let body = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
        let complete = |client: &Client| client.call("POST", &path).query("uploadId", &id).body(body.clone()).signed();
        // All at once, through both: one outcome.
        let mut etags = Vec::new();
        for answer in at_once([&one, &other], |client, _| complete(client)).await {
            match answer.status {
                409 => assert_eq!(answer.code(), "ConditionalRequestConflict"),
                _ => etags.push(answer.expect(200).elements("ETag")),
            }
        }
        etags.push(other.send(complete(&other)).await.expect(200).elements("ETag"));
        assert!(etags.windows(2).all(|pair| pair[0] == pair[1]), "{etags:?}");
        for client in [&one, &other] {
            let got = client.get(bucket, "across").await.expect(200);
            assert!(got.body == [bytes_of(1, 5 << 20), bytes_of(2, 1000)].concat());
        }
        let open = one.call("GET", &format!("/{bucket}")).query("uploads", "").send().await.expect(200);
        assert!(open.elements("UploadId").is_empty());
    }
}

/// A bucket is set to keep versions through one gateway: from then on no write through the other one loses any.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_set_through_one_gateway_holds_for_the_next_write_through_the_other() {
    let test = "what_is_set_through_one_gateway_holds_for_the_next_write_through_the_other";
    let Some((_site, one, other)) = two(test).await else { return };
    let (first, second) = (one.root(), other.root());
    for (round, bucket) in [NATURAL, MANAGED].into_iter().enumerate() {
        // The other one remembers the bucket as it is.
        second.put(bucket, "k", "before").await.expect(200);
        let set = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
        first.call("PUT", &format!("/{bucket}")).query("versioning", "").body(set).send().await.expect(200);
        let put = second.put(bucket, "k", "after").await.expect(200);
        let version = put.header("x-amz-version-id").expect("a version").to_owned();
        assert_ne!(version, "null");
        second.delete(bucket, "k").await.expect(204);
        for client in [&first, &second] {
            let old = client.call("GET", &format!("/{bucket}/k")).query("versionId", "null").send().await;
            assert_eq!(old.expect(200).text(), "before", "round {round}");
            let new = client.call("GET", &format!("/{bucket}/k")).query("versionId", &version).send().await;
            assert_eq!(new.expect(200).text(), "after");
            client.get(bucket, "k").await.expect(404);
        }
    }
    // A key that is removed ends at the other one, too.
    let alice = one.user("alice", "readwrite");
    let access_key = alice.keys().expect("keys").access_key.clone();
    let alice = second.with_keys(alice.keys().cloned());
    let began = Instant::now();
    while alice.list(NATURAL, "").await.status != 200 {
        assert!(began.elapsed() < HEARD_MAX, "a new key does not count at the other gateway");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    one.run(&["key", "delete", "--access-key", &access_key]);
    let began = Instant::now();
    while alice.list(NATURAL, "").await.status != 403 {
        assert!(began.elapsed() < HEARD_MAX, "a key that was removed counts at the other gateway");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What one gateway seals the other one opens, so one with other secrets is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_with_other_secrets_does_not_start() {
    let Some((site, one, mut other)) = two("a_gateway_with_other_secrets_does_not_start").await else { return };
    assert!(other.stop().success());
    let refused = |options| match Server::try_with(options) {
        Ok(_) => panic!("it started"),
        Err((status, log)) => {
            assert_eq!(status.code(), Some(1), "{log}");
            log
        }
    };
    let log = refused(site.options("other").env("LONGSHORE_JWT_SECRET", "quite another secret of tokens than theirs"));
    assert!(log.contains("another secret of tokens") && !log.contains("another master key"), "{log}");
    let log = refused(site.options("other").env("LONGSHORE_ROOT_ACCESS_KEY", "OTHER"));
    assert!(log.contains("other root credentials"), "{log}");
    let options = site.options("third");
    give_master_key(options.state.as_deref().expect("named"), &"6d".repeat(32));
    let log = refused(options);
    assert!(log.contains("another master key") && log.contains("master.key"), "{log}");
    drop(one);
    // With nobody at work the secret of tokens may change; what is in the catalog stays sealed with its master key.
    let server = postgres("a_gateway_with_other_secrets_does_not_start").expect("it runs");
    server.sql(&site.database.name, "UPDATE longshore.gateways SET until = now()");
    let changed = site.options("other").env("LONGSHORE_JWT_SECRET", "quite another secret of tokens than theirs");
    let mut changed = Server::with(changed);
    assert!(changed.stop().success());
    let options = site.options("third");
    give_master_key(options.state.as_deref().expect("named"), &"6d".repeat(32));
    assert!(refused(options).contains("another master key"));
}

/// One of the gateways tells a webhook, in order; when it is killed the other one goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_told_by_one_gateway_at_a_time() {
    let Some(server) = postgres("a_webhook_is_told_by_one_gateway_at_a_time") else { return };
    let (site, hook) = (Site::new(server.fresh()), Hook::start(0));
    let start = |name: &str| Server::with(site.options(name).config(&hook.config()));
    let mut gateways = vec![start("one"), start("other")];
    make_buckets(&gateways[0]).await;
    let rule = "<TopicConfiguration><Id>all</Id><Topic>arn:longshore:sns:::hook</Topic><Event>s3:ObjectCreated:*</Event>\
        </TopicConfiguration>";
    let text = format!("<NotificationConfiguration>{rule}</NotificationConfiguration>");
    let first = gateways[0].root();
    first.call("PUT", &format!("/{MANAGED}")).query("notification", "").body(text).send().await.expect(200);
    let mut written: Vec<String> = Vec::new();
    let put = async |clients: &[Client], written: &mut Vec<String>| {
        for _ in 0..10 {
            for client in clients {
                let body = format!("{}", written.len());
                written.push(client.put(MANAGED, "k", body).await.expect(200).etag().to_owned());
            }
        }
    };
    put(&[gateways[0].root(), gateways[1].root()], &mut written).await;
    told(&hook, &written).await;
    // Each of the two is killed once, so that the one that tells them is.
    tokio::task::block_in_place(|| gateways[0].kill());
    put(&[gateways[1].root()], &mut written).await;
    told(&hook, &written).await;
    let again = tokio::task::block_in_place(|| gateways.remove(0).restart());
    tokio::task::block_in_place(|| gateways[0].kill());
    put(&[again.root()], &mut written).await;
    told(&hook, &written).await;
}

/// Waits until the webhook knows all that was written, in this order; it may have been told again what it knew.
async fn told(hook: &Hook, written: &[String]) {
    let began = Instant::now();
    loop {
        let got = hook.got.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let etag = |body: &serde_json::Value| body["Records"][0]["s3"]["object"]["eTag"].as_str().map(str::to_owned);
        let mut order: Vec<String> = got.iter().filter_map(|(_, body)| etag(body)).collect();
        order.dedup();
        if order.len() >= written.len() {
            assert_eq!(order, written, "told in another order");
            return;
        }
        assert!(began.elapsed() < PASSED_ON_MAX, "{} of {} were told", order.len(), written.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A container is marked as left clean by the last one that leaves it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_gateway_to_stop_marks_the_containers() {
    let Some((site, mut one, mut other)) = two("the_last_gateway_to_stop_marks_the_containers").await else { return };
    let clean = || {
        let text = std::fs::read_to_string(site.data().join(NATURAL).join(".longshore/id")).expect("a mark");
        let mark: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        mark["clean"].as_bool().expect("a boolean")
    };
    one.root().put(NATURAL, "k", "one").await.expect(200);
    other.root().put(NATURAL, "k", "other").await.expect(200);
    assert!(!clean());
    assert!(one.stop().success());
    assert!(!clean(), "the other one still serves it");
    other.root().put(NATURAL, "k", "after").await.expect(200);
    assert!(other.stop().success());
    assert!(clean());
    let one = one.restart();
    assert!(!clean());
    assert_eq!(one.root().get(NATURAL, "k").await.expect(200).text(), "after");
}
