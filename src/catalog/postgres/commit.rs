//! The commit that decides.
//!
//! Every expectation is a condition of the statement that changes the row, and the first that does not hold ends the
//! transaction, so all of it is sent at once. The row of the bucket is held shared for as long, which keeps the bucket
//! there, `gc` from giving bytes up that are being named, and a quota from being counted anew meanwhile.
//!
//! **Invariant:** of transactions that change one key one wins, whichever processes they come from: its row and the row of
//! its facts are changed only as they were seen, and where there is no row, the newest version behind it is locked before
//! its absence is looked at.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_postgres::Row;

use super::failure::{self, Fault, state};
use super::pool::{Begin, Call, Pool, Transaction};
use super::rows::{self, signed};
use super::{outbox, statements as sql, uploads};
use crate::catalog::{Change, Commit, Error, History, NewEvent, Result, Task};
use crate::config::limits::{CATALOG_COUNTED_REMEMBERED_MAX, CATALOG_LOCK_SECONDS_MAX};
use crate::model::id::BucketId;
use crate::model::object::{Object, Seen};

/// Between two tries of a commit that stands back.
const GATE_PAUSE: Duration = Duration::from_millis(5);

/// Buckets that were found to be counted. One that is missing here costs its commit a second try.
#[derive(Debug, Default)]
pub(super) struct Counted(Mutex<HashSet<BucketId>>);

impl Counted {
    fn set(&self) -> std::sync::MutexGuard<'_, HashSet<BucketId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, buckets: impl Iterator<Item = BucketId>) {
        let mut set = self.set();
        if set.len() >= CATALOG_COUNTED_REMEMBERED_MAX {
            set.clear();
        }
        set.extend(buckets);
    }
}

/// Decides.
pub(super) async fn commit(pool: &Pool, counted: &Counted, begin: Begin, commit: Commit) -> Result<Vec<Task>> {
    let known = counted.set().clone();
    let outcome = behind_gates(pool, begin, &calls(&commit, &|bucket| known.contains(&bucket))?).await?;
    let rows = match outcome {
        Err(error) if failure::ended_with(&error, state::COUNTED) => {
            counted.remember(commit.changes.iter().map(|change| change.bucket));
            behind_gates(pool, begin, &calls(&commit, &|_| true)?).await??
        }
        outcome => outcome?,
    };
    numbered(commit, &rows)
}

/// The steps, which were the last statements, with their numbers.
fn numbered(commit: Commit, rows: &[Vec<Row>]) -> Result<Vec<Task>> {
    let first = rows.len() - commit.tasks.len();
    commit.tasks.into_iter().zip(&rows[first..]).map(|(task, rows)| outbox::numbered(task, rows)).collect()
}

/// Decides in a transaction that has begun already, behind a few more statements, and ends it.
pub(super) async fn finish(
    transaction: Transaction<'_>,
    mut all: Vec<Call>,
    counted: &Counted,
    commit: Commit,
) -> Result<Vec<Task>> {
    let known = counted.set().clone();
    all.extend(calls(&commit, &|bucket| known.contains(&bucket))?);
    match transaction.try_finish(&all).await? {
        Ok(rows) => numbered(commit, &rows),
        Err(error) if failure::ended_with(&error, state::COUNTED) => {
            counted.remember(commit.changes.iter().map(|change| change.bucket));
            Err(Error::Conflict)
        }
        Err(error) if failure::ended_with(&error, state::GATE) => Err(Fault::Busy.into()),
        Err(error) => Err(error.into()),
    }
}

type Outcome = std::result::Result<Vec<Vec<Row>>, tokio_postgres::Error>;

/// Runs a transaction that shares buckets, once nobody waits to have one of them for himself.
pub(super) async fn behind_gates(pool: &Pool, begin: Begin, calls: &[Call]) -> Result<Outcome> {
    let until = Instant::now() + Duration::from_secs(CATALOG_LOCK_SECONDS_MAX);
    loop {
        match pool.try_run(begin, calls).await? {
            Err(error) if failure::ended_with(&error, state::GATE) && Instant::now() < until => {
                tokio::time::sleep(GATE_PAUSE).await;
            }
            outcome => return Ok(outcome),
        }
    }
}

/// Runs a transaction that needs a bucket for itself. Where it does not get it soon, those who share it stand back.
pub(super) async fn alone(pool: &Pool, bucket: BucketId, calls: Vec<Call>) -> Result<Vec<Vec<Row>>> {
    let mut all = vec![Call::new(sql::WAIT_SHORTLY)];
    all.extend(calls);
    match pool.try_run(Begin::Write, &all).await? {
        Err(error) if failure::waited(&error) => {}
        outcome => return outcome.map_err(Error::from).map(|rows| rows.into_iter().skip(1).collect()),
    }
    pool.run(Begin::Write, &[Call::new(sql::RAISE_GATE).with(bucket.0)]).await?;
    let lower = || Call::new(sql::LOWER_GATE).with(bucket.0);
    all.push(lower());
    let mut outcome = pool.run(Begin::Write, &all[1..]).await;
    match &mut outcome {
        Ok(rows) => rows.truncate(rows.len() - 1),
        // It falls by itself, too.
        Err(_) => drop(pool.run(Begin::Write, &[lower()]).await),
    }
    outcome
}

fn calls(commit: &Commit, counts: &dyn Fn(BucketId) -> bool) -> Result<Vec<Call>> {
    let mut all = Vec::new();
    let mut seen: Vec<(BucketId, Option<u64>)> = Vec::new();
    let of_changes = commit.changes.iter().map(|change| (change.bucket, change.revision));
    for lock in of_changes.chain(commit.tasks.iter().map(|task| (task.bucket, None))) {
        if !seen.iter().any(|(bucket, revision)| *bucket == lock.0 && (lock.1.is_none() || *revision == lock.1)) {
            seen.push(lock);
        }
    }
    // In the order of their numbers, so that no two transactions wait for each other.
    seen.sort_by_key(|(bucket, _)| *bucket);
    for (bucket, revision) in &seen {
        let changes = commit.changes.iter().any(|change| change.bucket == *bucket);
        let revision = revision.map(signed).transpose()?;
        all.push(Call::new(sql::LOCK_BUCKET).with(bucket.0).with(revision).with(counts(*bucket) || !changes));
    }
    seen.dedup_by_key(|(bucket, _)| *bucket);
    all.extend(seen.iter().filter(|(bucket, _)| counts(*bucket)).map(|(b, _)| Call::new(sql::LOCK_QUOTA).with(b.0)));
    // Before anything else of theirs, neighbours take turns: a statement behind it sees what the other one has made.
    let turn = commit.free.as_ref().map(|(bucket, key)| format!("{} {}", bucket.0, key.as_str().trim_end_matches('/')));
    all.extend(turn.into_iter().flat_map(|turn| sql::TAKE_TURN.map(|text| Call::new(text).with(turn.clone()))));
    for change in &commit.changes {
        if counts(change.bucket) {
            all.push(count(change, commit.within_quota)?);
        }
        apply(&mut all, change)?;
    }
    let free = commit.free.iter().map(|(b, key)| Call::new(sql::NO_OBJECT).with(b.0).with(key.as_str().to_owned()));
    all.extend(free);
    if let Some(end) = &commit.upload {
        uploads::end(&mut all, end)?;
    }
    all.extend(commit.events.iter().map(event));
    for task in &commit.tasks {
        all.push(outbox::insertion(task)?);
    }
    Ok(all)
}

fn of_key(text: &'static str, change: &Change) -> Call {
    Call::new(text).with(change.bucket.0).with(change.key.as_str().to_owned())
}

/// What a change adds to what its bucket holds, and which versions it takes from it.
fn count(change: &Change, bounded: bool) -> Result<Call> {
    let mut gone = Vec::new();
    let mut come: Vec<u64> = change.becomes.iter().map(|object| object.size).collect();
    for step in &change.history {
        let (removed, added) = match step {
            History::Add(object) => (None, Some(object)),
            History::Remove(seen) => (Some(seen), None),
            History::Replace(seen, object) => (Some(seen), Some(object)),
            History::Newest(_) => (None, None),
        };
        gone.extend(removed.map(|seen| seen.version.to_string()));
        come.extend(added.filter(|object| !object.marker).map(|object| object.size));
    }
    let bytes = come.iter().fold(0u64, |sum, size| sum.saturating_add(*size));
    let call = of_key(sql::COUNT, change).with(gone).with(rows::limit(come.len()));
    Ok(call.with(i64::try_from(bytes).unwrap_or(i64::MAX)).with(bounded))
}

/// Makes one change.
fn apply(all: &mut Vec<Call>, change: &Change) -> Result<()> {
    match (&change.expect, &change.becomes) {
        (None, None) => {
            all.push(of_key(sql::LOCK_NEWEST, change));
            all.push(of_key(sql::NO_OBJECT, change));
        }
        (Some(seen), None) if sql::has_no_facts(seen.revision) => {
            all.push(of_key(sql::DELETE_SHARED, change).with(seen.version.to_string()));
        }
        (Some(seen), Some(object)) if sql::has_no_facts(seen.revision) && seen.version == object.version => {
            all.push(values(of_key(sql::NOTE_SHARED, change), object)?);
        }
        (Some(seen), Some(object)) if sql::has_no_facts(seen.revision) => {
            let call = shown(values(of_key(sql::REPLACE_SHARED, change), object)?, object);
            all.push(call.with(is_fresh(change, object)).with(seen.version.to_string()));
        }
        (Some(seen), None) => {
            let call = of_key(sql::DELETE_OBJECT, change).with(seen.version.to_string());
            all.push(call.with(signed(seen.revision)?));
        }
        (None, Some(object)) => {
            let call = shown(values(of_key(sql::INSERT_OBJECT, change), object)?, object);
            let call = call.with(is_fresh(change, object)).with(object.id().to_string());
            all.push(call.with(object.created().0));
        }
        (Some(seen), Some(object)) if seen.version == object.version => {
            all.push(values(of_key(sql::UPDATE_FACTS, change), object)?.with(signed(seen.revision)?));
        }
        (Some(seen), Some(object)) => {
            let call = shown(values(of_key(sql::UPDATE_OBJECT, change), object)?, object);
            let call = call.with(is_fresh(change, object));
            all.push(call.with(seen.version.to_string()).with(signed(seen.revision)?));
        }
    }
    change.history.iter().try_for_each(|step| behind(all, change, step))
}

/// A version that comes back from behind the current one was never given up.
fn is_fresh(change: &Change, object: &Object) -> bool {
    let back = |step: &History| matches!(step, History::Remove(seen) if seen.version == object.version);
    !change.history.iter().any(back)
}

/// Makes one change of the versions behind the current one.
fn behind(all: &mut Vec<Call>, change: &Change, step: &History) -> Result<()> {
    let remove = |seen: &Seen| -> Result<Call> {
        Ok(of_key(sql::DELETE_VERSION, change).with(seen.version.to_string()).with(signed(seen.revision)?))
    };
    let add = |object: &Object, fresh: bool| -> Result<Call> {
        Ok(values(of_key(sql::INSERT_VERSION, change), object)?.with(object.marker).with(fresh))
    };
    match step {
        History::Add(object) => {
            all.push(add(object, change.expect.is_none_or(|seen| seen.version != object.version))?);
        }
        History::Remove(seen) => all.push(remove(seen)?),
        History::Replace(seen, object) => all.extend([remove(seen)?, add(object, false)?]),
        History::Newest(expected) => {
            all.push(of_key(sql::IS_NEWEST, change).with(expected.map(|version| version.to_string())));
        }
    }
    Ok(())
}

/// The values of the columns of facts, `$3` to `$20`.
fn values(call: Call, object: &Object) -> Result<Call> {
    let (algorithm, kind) = rows::kind_columns(object.checksum.as_ref().map(|sum| (sum.algorithm, sum.kind)));
    let parts = if object.parts.is_empty() { None } else { Some(rows::to_json(&object.parts)?) };
    Ok(call
        .with(object.version.to_string())
        .with(signed(object.counter)?)
        .with(rows::placed_column(object.placed))
        .with(object.stamp.as_str().to_owned())
        .with(signed(object.size)?)
        .with(object.modified.0)
        .with(object.etag.clone())
        .with(object.owner.clone())
        .with(object.content.storage_class.clone())
        .with(algorithm)
        .with(kind)
        .with(object.checksum.as_ref().map(|sum| sum.value.clone()))
        .with(object.crc64nvme.map(rows::crc_column))
        .with(rows::to_json(&object.content)?)
        .with(parts)
        .with(object.null)
        .with(signed(object.revision)?)
        .with(rows::attached_column(&object.attached)?))
}

/// What the tables of Supabase say, `$21` and `$22`.
fn shown(call: Call, object: &Object) -> Call {
    let (metadata, user) = rows::shown(object);
    call.with(metadata).with(user)
}

fn event(event: &NewEvent) -> Call {
    let NewEvent { bucket, key, target, created, text } = event;
    let call = Call::new(sql::INSERT_EVENT).with(bucket.0).with(key.as_str().to_owned());
    call.with(target.clone()).with(created.0).with(text.clone())
}
