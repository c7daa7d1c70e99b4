//! `kill -9` in the middle of everything, again and again, over one directory. After every other kill the files that
//! were not synced yet are damaged too, as by a loss of power.
//!
//! **Invariant:** after each kill every key that was ever written is read whole, so that what an earlier kill damaged is
//! found too.

use std::sync::Arc;
use std::time::Duration;

use super::at_full_size;
use super::audit::{audit, check_storage, end_uploads};
use super::dice::{Dice, report};
use super::load::{Load, make_buckets};
use super::power::lose_unsynced;
use super::versions::{self, Versions};
use crate::harness::{Options, Server};

const ACKNOWLEDGED_MIN: usize = 5;
const ACKNOWLEDGED_MAX: usize = 100;
/// Every so many kills, the next start is killed too.
const KILLS_PER_KILLED_START: usize = 4;
/// A start takes about so long; it is killed at some moment in it.
const START_MICROS: usize = 60_000;

fn kills() -> usize {
    if at_full_size() { 1000 } else { 50 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_every_kill() {
    let mut dice = Dice::of_run("kill");
    let mut server = Server::with(Options::default().env("LONGSHORE_LOG", "warn"));
    make_buckets(&server).await;
    versions::make_bucket(&server).await;
    let versions = Arc::new(Versions::default());
    let load = Arc::new(Load::with_versions(Arc::clone(&versions)));
    let (mut read, mut kept, mut starts, mut damaged) = (0, 0, 0, 0);
    for kill in 0..kills() {
        let acknowledged = dice.between(ACKNOWLEDGED_MIN, ACKNOWLEDGED_MAX);
        load.until(&mut server, acknowledged, &mut dice, Server::kill).await;
        if kill % KILLS_PER_KILLED_START == 0 {
            server.begin_and_kill(Duration::from_micros(dice.below(START_MICROS) as u64));
            starts += 1;
        }
        if kill % 2 == 1 {
            damaged += lose_unsynced(&server, &mut dice);
        }
        server = server.restart();
        check_storage(&server);
        read += audit(&server, &load.ledger).await;
        kept += versions.audit(&server).await;
        end_uploads(&server, &load).await;
    }
    assert!(server.stop().success());
    server = server.restart();
    read += audit(&server, &load.ledger).await;
    kept += versions.audit(&server).await;
    check_storage(&server);
    let (kills, acknowledged) = (kills(), load.ledger.acknowledged());
    assert!(damaged > 0, "no file was found that had not been synced");
    report(&format!(
        "kill: {kills} kills under load, {starts} of starts, {acknowledged} acknowledged writes, {read} keys and {kept} \
         versions checked, {damaged} unsynced files damaged"
    ));
}
