//! Two gateways on one catalog in Postgres and one directory: together they keep every promise that one keeps alone.
//!
//! What clients ask of both is in `load`; what is tried once is in `pairs`.
//!
//! **Invariant:** the two share the catalog, the directory and the secrets, and nothing else.

mod load;
mod pairs;

use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::audit::audit;
use super::dice::{Dice, report};
use super::load::make_buckets;
use super::{at_full_size, ledger::Ledger};
use crate::harness::postgres::{Database, Postgres, own_postgres, postgres};
use crate::harness::{Options, Server};
use load::Pair;

/// What a gateway that is gone leaves may wait for a lease to end, and for the pass that looks.
const TAKEN_OVER_MAX: Duration = Duration::from_secs(40);
/// A catalog that is back must be used again by then.
const RECOVERY_MAX: Duration = Duration::from_secs(5);

/// What gateways share.
struct Site {
    database: Database,
    home: TempDir,
}

impl Site {
    fn new(database: Database) -> Self {
        Self { database, home: tempfile::tempdir().expect("a temporary directory") }
    }

    fn data(&self) -> std::path::PathBuf {
        self.home.path().join("data")
    }

    /// One of its gateways, with a state directory of its own in which the master key of all is.
    fn options(&self, name: &str) -> Options {
        let state = self.home.path().join(name);
        give_master_key(&state, &"5c".repeat(32));
        Options {
            data: Some(self.data()),
            state: Some(state),
            database: Some(self.database.clone()),
            ..Options::default()
        }
        .env("LONGSHORE_JWT_SECRET", "the secret of tokens that both gateways have")
        .env("LONGSHORE_LOG", "warn")
    }

    fn start(&self, name: &str) -> Server {
        Server::with(self.options(name))
    }

    /// Waits until nothing is owed to the storage any more.
    fn until_settled(&self, server: &Postgres, limit: Duration) -> Duration {
        let began = Instant::now();
        while server.sql(&self.database.name, "SELECT EXISTS (SELECT 1 FROM longshore.outbox)") == "t" {
            let owed = "SELECT count(*), min(step), min(holder) FROM longshore.outbox";
            assert!(began.elapsed() < limit, "owed: {}", server.sql(&self.database.name, owed));
            std::thread::sleep(Duration::from_millis(20));
        }
        began.elapsed()
    }
}

fn give_master_key(state: &Path, key: &str) {
    std::fs::create_dir_all(state).expect("a state directory");
    std::fs::write(state.join("master.key"), format!("{key}\n")).expect("a master key");
}

/// Holds what both gateways show against the ledger.
async fn audit_both(gateways: impl Iterator<Item = &Server>, ledger: &Ledger) -> usize {
    let mut read = 0;
    for server in gateways {
        read += audit(server, ledger).await;
    }
    read
}

/// Rounds of load: one of the two is killed in the middle of each, and started again under load.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_keep_the_promises_while_one_is_killed_again_and_again() {
    let Some(server) = postgres("two_gateways_keep_the_promises_while_one_is_killed_again_and_again") else { return };
    let mut dice = Dice::of_run("gateways");
    let site = Site::new(server.fresh());
    let mut gateways = [Some(site.start("one")), Some(site.start("other"))];
    let all = |gateways: &[Option<Server>; 2]| gateways.iter().flatten().map(Server::root).collect::<Vec<_>>();
    make_buckets(gateways[0].as_ref().expect("it runs")).await;
    let pair = Pair::new(all(&gateways));
    let (began, mut rounds, mut read) = (Instant::now(), 0, 0);
    // At full size one is killed every ten seconds, and all is held against the ledger once a minute.
    let (least, kills) = if at_full_size() { (Duration::from_secs(600), 6) } else { (Duration::ZERO, 1) };
    let mut killed = 0;
    while rounds < 3 || began.elapsed() < least {
        let writers = pair.begin(&mut dice);
        for _ in 0..kills {
            pair.go_on(2).await;
            let which = dice.below(2);
            let mut victim = gateways[which].take().expect("it runs");
            tokio::task::block_in_place(|| victim.kill());
            pair.set(which, None);
            // The other one goes on alone.
            pair.go_on(1).await;
            let again = tokio::task::block_in_place(|| victim.restart());
            pair.set(which, Some(again.root()));
            gateways[which] = Some(again);
            pair.go_on(1).await;
            killed += 1;
        }
        pair.end(writers).await;
        tokio::task::block_in_place(|| site.until_settled(server, TAKEN_OVER_MAX));
        read += audit_both(gateways.iter().flatten(), pair.ledger()).await;
        rounds += 1;
    }
    for gateway in gateways.iter_mut().flatten() {
        assert!(gateway.stop().success());
    }
    report(&format!(
        "gateways: {killed} kills in {} s, {}, {read} keys checked",
        began.elapsed().as_secs(),
        pair.told()
    ));
}

/// A gateway that is killed and never comes back: the other one does what it owed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_gateway_leaves_that_is_gone_is_taken_over() {
    let Some(server) = postgres("what_a_gateway_leaves_that_is_gone_is_taken_over") else { return };
    let mut dice = Dice::of_run("taken over");
    let site = Site::new(server.fresh());
    let (mut one, other) = (site.start("one"), site.start("other"));
    make_buckets(&one).await;
    let pair = Pair::new(vec![one.root(), other.root()]);
    let writers = pair.begin(&mut dice);
    pair.until(100).await;
    tokio::task::block_in_place(|| one.kill());
    pair.set(0, None);
    pair.until(50).await;
    pair.end(writers).await;
    let took = tokio::task::block_in_place(|| site.until_settled(server, TAKEN_OVER_MAX));
    let read = audit_both([&other].into_iter(), pair.ledger()).await;
    report(&format!(
        "gateways: all that was owed was done {} ms after the end of the load, {read} keys",
        took.as_millis()
    ));
}

/// The database goes in the middle of it: everybody is told to come again, nothing is lost, and soon all goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_that_restarts_under_load_loses_nothing() {
    let Some(server) = own_postgres("a_catalog_that_restarts_under_load_loses_nothing") else { return };
    let mut dice = Dice::of_run("catalog restarts");
    let site = Site::new(server.fresh());
    let (one, other) = (site.start("one"), site.start("other"));
    make_buckets(&one).await;
    let pair = Pair::new(vec![one.root(), other.root()]);
    pair.expect_silence();
    let mut slowest = Duration::ZERO;
    for round in 0..if at_full_size() { 10 } else { 1 } {
        let writers = pair.begin(&mut dice);
        pair.until(100).await;
        tokio::task::block_in_place(|| server.restart());
        let back = Instant::now();
        for gateway in [&one, &other] {
            let key = format!("back-{round}");
            while gateway.root().put(super::load::NATURAL, &key, "back").await.status != 200 {
                assert!(back.elapsed() < RECOVERY_MAX, "no write succeeds {} ms after", back.elapsed().as_millis());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            gateway.root().delete(super::load::NATURAL, &key).await.expect(204);
        }
        slowest = slowest.max(back.elapsed());
        pair.until(100).await;
        pair.end(writers).await;
        tokio::task::block_in_place(|| site.until_settled(&server, TAKEN_OVER_MAX));
        audit_both([&one, &other].into_iter(), pair.ledger()).await;
    }
    assert!(pair.turned_away() > 0, "nobody noticed");
    report(&format!(
        "gateways: the catalog restarted under load, {}, writes again after {} ms",
        pair.told(),
        slowest.as_millis()
    ));
}
