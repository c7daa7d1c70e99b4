//! `kill -9` while a directory of a FileStore moves, and again while the next starts go on with it.
//!
//! **Invariant:** a move that was noted comes to its end without being asked for again, and one that was not has touched
//! nothing. Either way every item is there once, with its bytes, its owner and what is said of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::at_full_size;
use super::audit::check_storage;
use super::dice::{Dice, bytes_of, report};
use crate::filestore::{Site, body, done};
use crate::harness::{Client, Options, Server};

const SERVICE: &str = "mystorage";
/// Each so many items are longer than what the catalog keeps for a while.
const ITEMS_PER_LONG_ONE: usize = 16;
const WRITERS: usize = 8;
/// A start takes about so long before it goes on with what it finds.
const START: Duration = Duration::from_millis(100);

fn items() -> usize {
    if at_full_size() { 5000 } else { 240 }
}

fn kills() -> usize {
    if at_full_size() { 12 } else { 4 }
}

/// Where an item lies in the directory.
fn name(n: usize) -> String {
    match n % 8 {
        0 => format!("{n:05}"),
        1 => format!("deep/er/{n:05}"),
        part => format!("{part}/{n:05}"),
    }
}

fn contents(n: usize) -> Vec<u8> {
    let long = n.is_multiple_of(ITEMS_PER_LONG_ONE);
    bytes_of(n as u64, if long { 20_000 + n } else { 1 + n % 200 })
}

/// Does something with every item, some at a time.
async fn with_each<F>(work: impl Fn(usize) -> F + Send + Sync + 'static)
where
    F: Future<Output = ()> + Send,
{
    let work = Arc::new(work);
    let mut workers = JoinSet::new();
    for worker in 0..WRITERS {
        let work = Arc::clone(&work);
        workers.spawn(async move {
            for n in (worker..items()).step_by(WRITERS) {
                work(n).await;
            }
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended.expect("a worker that saw nothing wrong");
    }
}

/// Every key of the service with its owner.
async fn owned(root: &Client) -> BTreeSet<(String, String)> {
    let (mut all, mut after) = (BTreeSet::new(), String::new());
    loop {
        let call = root.call("GET", &format!("/{SERVICE}")).query("list-type", "2").query("fetch-owner", "true");
        let page = call.query("start-after", &after).send().await.expect(200);
        let keys = page.elements("Key");
        let Some(last) = keys.last() else { return all };
        after.clone_from(last);
        all.extend(keys.into_iter().zip(page.elements("ID")));
    }
}

/// What must follow the directory: its keys without its name, their owners, and what is said of it.
struct Followers {
    owned: BTreeSet<(String, String)>,
    said: Vec<(&'static str, Value)>,
}

/// What things are said of.
const SAID_OF: [&str; 4] = ["", "/3", "/deep/er", "/00008"];

impl Followers {
    /// Fills a directory.
    async fn of(site: &Site, directory: &str) -> Self {
        site.directory(directory).await;
        site.directory(&format!("{directory}/empty")).await;
        let (root, ann) = (site.server.root(), site.server.user("ann", "readwrite"));
        let at = directory.to_owned();
        with_each(move |n| {
            let (client, key) = (if n % 3 == 0 { ann.clone() } else { root.clone() }, format!("{at}/{}", name(n)));
            async move { drop(client.put(SERVICE, &key, contents(n)).await.expect(200)) }
        })
        .await;
        for (n, path) in SAID_OF.iter().enumerate() {
            let permission = json!({"permission": "write", "groups": [format!("group-{n}")], "action": "replace"});
            let path = format!("{directory}{path}");
            done(&site.act("setPermissions", &path, json!({"permissions": permission})).await, true);
        }
        let followers = Self { owned: owned(&site.server.root()).await, said: Self::said(site, directory).await };
        assert!(followers.owned.len() == items() + 2, "{} keys", followers.owned.len());
        let owners: BTreeSet<_> = followers.owned.iter().map(|(_, owner)| owner).collect();
        assert!(owners.len() > 1, "all is {owners:?}'s");
        Self { owned: followers.below(directory), ..followers }
    }

    async fn said(site: &Site, directory: &str) -> Vec<(&'static str, Value)> {
        let mut said = Vec::new();
        for path in SAID_OF {
            let answer = site.act("getPermissions", &format!("{directory}{path}"), json!({})).await.expect(200);
            said.push((path, body(&answer)));
        }
        said
    }

    fn below(&self, directory: &str) -> BTreeSet<(String, String)> {
        let rest = |key: &str| key.strip_prefix(directory).map(str::to_owned);
        let told = |(key, owner): &(String, String)| (rest(key).unwrap_or_else(|| key.clone()), owner.clone());
        self.owned.iter().map(told).collect()
    }

    /// Requires all of it under one name, and nothing else anywhere.
    async fn are_at(&self, site: &Site, directory: &str) {
        let there = Self { owned: owned(&site.server.root()).await, said: Vec::new() }.below(directory);
        let (lost, new): (Vec<_>, Vec<_>) =
            (self.owned.difference(&there).collect(), there.difference(&self.owned).collect());
        assert!(lost.is_empty() && new.is_empty(), "at {directory}: lost {lost:?}, come {new:?}");
        assert_eq!(Self::said(site, directory).await, self.said, "what is said of {directory}");
        let config = site.server.config_of(SERVICE);
        let said = config["service"]["grants"].as_object().expect("grants");
        let strays: Vec<_> = said.keys().filter(|path| !path.starts_with(directory)).collect();
        assert!(strays.is_empty() && said.len() == SAID_OF.len(), "{said:?}");
        let (root, at) = (site.server.root(), directory.to_owned());
        with_each(move |n| {
            let (root, key) = (root.clone(), format!("{at}/{}", name(n)));
            async move {
                let answer = root.get(SERVICE, &key).await.expect(200);
                assert!(answer.body == contents(n), "{key} has other bytes: {}", answer.body.len());
            }
        })
        .await;
    }
}

/// The directories that are noted to be on their way.
fn noted(server: &Server) -> usize {
    server.config_of(SERVICE)["service"]["moves"].as_array().map_or(0, Vec::len)
}

/// Asks for a move and kills the server meanwhile, at once or as soon as something has moved.
async fn kill_while_moving(site: &mut Site, (from, to): (&str, &str), (begun, moment): (bool, Duration)) {
    let (rest, root, token) = (site.rest.clone(), site.server.root(), site.token("boss"));
    let (path, asked) = (format!("/{SERVICE}/api/{from}/@move"), json!({"newpath": format!("/{to}")}));
    let moving = tokio::spawn(async move {
        let call = rest.call("POST", &path).header("x-auth-token", &token);
        let call = call.header("content-type", "application/json").body(asked.to_string());
        rest.attempt(call.signed()).await
    });
    let until = Instant::now() + Duration::from_secs(30);
    while begun && root.list(SERVICE, &format!("{to}/")).await.elements("Key").is_empty() {
        assert!(Instant::now() < until, "nothing moves");
    }
    // The moment is what the seed chooses.
    tokio::time::sleep(moment).await;
    site.server.kill();
    let _ = moving.await.expect("an answer or none");
}

async fn until_moved(server: &Server) {
    let until = Instant::now() + Duration::from_secs(if at_full_size() { 120 } else { 30 });
    while noted(server) > 0 {
        assert!(Instant::now() < until, "a directory stays on its way");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn a_directory_survives(layout: &str) {
    let mut dice = Dice::of_run(&format!("moves, {layout}"));
    let mut site = Site::with(Options::default().env("LONGSHORE_LOG", "info"));
    site.server.run(&["bucket", "set", SERVICE, "--layout", layout]);
    let followers = Followers::of(&site, "m").await;
    let began = Instant::now();
    done(&site.act("move", "m", json!({"newpath": "/m0"})).await, true);
    let span = began.elapsed();
    followers.are_at(&site, "m0").await;
    let (mut at, mut cut, mut untouched, mut starts) = (0, 0, 0, 0);
    let moment = |dice: &mut Dice, most: Duration| {
        Duration::from_micros(dice.below(usize::try_from(most.as_micros()).expect("not so long").max(1)) as u64)
    };
    for kill in 0..kills() {
        let (from, to) = (format!("m{at}"), format!("m{}", at + 1));
        let begun = kill % 2 == 0;
        let when = moment(&mut dice, if begun { span / 2 } else { span });
        kill_while_moving(&mut site, (&from, &to), (begun, when)).await;
        let was_noted = noted(&site.server) > 0;
        cut += usize::from(was_noted);
        for _ in 0..dice.below(3) {
            site.server.begin_and_kill(moment(&mut dice, START + span));
            starts += 1;
        }
        site = Site::of(site.server.restart());
        until_moved(&site.server).await;
        let moved = site.server.root().list(SERVICE, &format!("{from}/")).await.elements("Key").is_empty();
        assert!(moved || !was_noted, "a move that was noted has not come to its end");
        if !moved {
            followers.are_at(&site, &from).await;
            untouched += 1;
            done(&site.act("move", &from, json!({"newpath": format!("/{to}")})).await, true);
        }
        followers.are_at(&site, &to).await;
        at += 1;
    }
    assert!(cut > 0, "no move was cut short");
    if std::env::var("LONGSHORE_TEST_CATALOG").is_err() {
        check_storage(&site.server);
    }
    assert!(site.server.stop().success());
    site.server.run(&["fsck", "--deep"]);
    let (items, kills) = (items(), kills());
    report(&format!(
        "moves, {layout}: {items} items, {kills} kills, {cut} of a move under way, {untouched} before it was noted, \
         {starts} of starts; an undisturbed move takes {} ms",
        span.as_millis()
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_survives_every_kill_while_it_moves() {
    a_directory_survives("natural").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_of_managed_bytes_survives_every_kill_while_it_moves() {
    a_directory_survives("managed").await;
}
