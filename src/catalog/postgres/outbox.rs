//! Steps owed to providers, and the question which versions are still spoken for.
//!
//! **Invariant:** a step is written in the transaction that owes it; its number grows and is never used again. What is
//! given up is written while nobody else can name anything in that bucket.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use tokio_postgres::Row;

use super::commit::alone;
use super::pool::{Begin, Call, Pool};
use super::rows::{self, get};
use super::{failure::Fault, statements as sql};
use crate::catalog::{Event, NewEvent, NewTask, Result, Step, Task, Unnamed};
use crate::model::id::{BucketId, VersionId};
use crate::model::name::ObjectKey;
use crate::model::time::Timestamp;

fn read(row: &Row) -> Result<Task> {
    let task = NewTask {
        bucket: BucketId(get(row, 1)?),
        key: rows::key(row, 2)?,
        version: rows::version(row, 3)?,
        step: rows::json(row, 4)?,
        bytes: None,
    };
    let inline = get::<Option<i32>>(row, 5)?.and_then(|bytes| u64::try_from(bytes).ok());
    Ok(Task { id: get(row, 0)?, task, inline, ours: get(row, 6)? })
}

/// The statement that writes a step.
pub(super) fn insertion(task: &NewTask) -> Result<Call> {
    let frees = matches!(task.step, Step::FreeUpload { .. });
    let call = Call::new(sql::INSERT_TASK).with(task.bucket.0).with(task.key.as_str().to_owned());
    let bytes = task.bytes.as_ref().map(|bytes| bytes.to_vec());
    Ok(call.with(task.version.to_string()).with(frees).with(rows::to_json(&task.step)?).with(bytes))
}

/// The step with the number that the statement returned.
pub(super) fn numbered(mut task: NewTask, rows: &[Row]) -> Result<Task> {
    let row = rows.first().ok_or(Fault::Malformed("the number of a step"))?;
    let inline = task.bytes.take().map(|bytes| bytes.len() as u64);
    Ok(Task { id: get(row, 0)?, task, inline, ours: true })
}

async fn ask(pool: &Pool, call: Call) -> Result<Vec<Row>> {
    Ok(pool.run(Begin::Read, &[call]).await?.pop().unwrap_or_default())
}

/// The bytes kept with the newest step of a version.
pub(super) async fn inline(pool: &Pool, bucket: BucketId, version: VersionId) -> Result<Option<Bytes>> {
    let rows = ask(pool, Call::new(sql::INLINE).with(version.to_string()).with(bucket.0)).await?;
    rows.first().map(|row| get::<Vec<u8>>(row, 0).map(Bytes::from)).transpose()
}

/// Steps still owed, in the order of their numbers.
pub(super) async fn tasks(pool: &Pool, after: i64, limit: usize) -> Result<Vec<Task>> {
    ask(pool, Call::new(sql::TASKS).with(after).with(rows::limit(limit))).await?.iter().map(read).collect()
}

/// Those of this process.
pub(super) async fn own(pool: &Pool, after: i64, limit: usize) -> Result<Vec<Task>> {
    ask(pool, Call::new(sql::OWN_TASKS).with(after).with(rows::limit(limit))).await?.iter().map(read).collect()
}

/// Removes those of these steps whose version is still current, and returns them.
pub(super) async fn laid_out(pool: &Pool, done: &[i64]) -> Result<Vec<i64>> {
    if done.is_empty() {
        return Ok(Vec::new());
    }
    let call = Call::new(sql::DELETE_LAID_OUT).with(done.to_vec());
    let rows = pool.run(Begin::Hint, &[call]).await?.pop().unwrap_or_default();
    rows.iter().map(|row| get(row, 0)).collect()
}

/// Makes steps this process's own that belong to none at work.
pub(super) async fn take_over(pool: &Pool, limit: usize) -> Result<Vec<i64>> {
    let call = Call::new(sql::TAKE_OVER).with(rows::limit(limit));
    let rows = pool.run(Begin::Write, &[call]).await?.pop().unwrap_or_default();
    let mut taken = rows.iter().map(|row| get(row, 0)).collect::<Result<Vec<i64>>>()?;
    taken.sort_unstable();
    Ok(taken)
}

/// Steps still owed for one key, oldest first.
pub(super) async fn tasks_of(pool: &Pool, bucket: BucketId, key: &ObjectKey) -> Result<Vec<Task>> {
    let call = Call::new(sql::TASKS_OF).with(bucket.0).with(key.as_str().to_owned());
    ask(pool, call).await?.iter().map(read).collect()
}

/// Which of `versions` are named by a row, a part or a step, in the order given. One statement for all of them: a version
/// that moves from a row into the outbox meanwhile is in one of the two.
pub(super) async fn named(pool: &Pool, bucket: BucketId, versions: &[VersionId]) -> Result<Vec<VersionId>> {
    let texts: Vec<String> = versions.iter().map(ToString::to_string).collect();
    let rows = ask(pool, Call::new(sql::NAMED).with(bucket.0).with(texts)).await?;
    let named = rows.iter().map(|row| rows::version(row, 0)).collect::<Result<HashSet<_>>>()?;
    Ok(versions.iter().copied().filter(|version| named.contains(version)).collect())
}

/// Writes a `Drop` for each file that nothing names, under a key that no file can have: what lies at natural places is
/// not meant, even where it is the same file under two names.
pub(super) async fn give_up(pool: &Pool, bucket: BucketId, files: Vec<Unnamed>) -> Result<Vec<Task>> {
    let key = ObjectKey::new("//").expect("two slashes are a key");
    let task = |Unnamed { version, stamp }| {
        let step = Step::Drop { stamp: Some(stamp) };
        NewTask { bucket, key: key.clone(), version, step, bytes: None }
    };
    let tasks: Vec<NewTask> = files.into_iter().map(task).collect();
    let versions: Vec<String> = tasks.iter().map(|task| task.version.to_string()).collect();
    let steps = tasks.iter().map(|task| rows::to_json(&task.step)).collect::<Result<Vec<_>>>()?;
    let lock = Call::new(sql::LOCK_BUCKET_ALONE).with(bucket.0);
    let write = Call::new(sql::GIVE_UP).with(bucket.0).with(versions).with(steps);
    let written = alone(pool, bucket, vec![lock, write]).await?.pop().unwrap_or_default();
    let numbers = written.iter().map(|row| Ok((rows::version(row, 1)?, get::<i64>(row, 0)?)));
    let numbers = numbers.collect::<Result<HashMap<_, _>>>()?;
    let number = |task: NewTask| Some(Task { id: *numbers.get(&task.version)?, task, inline: None, ours: true });
    Ok(tasks.into_iter().filter_map(number).collect())
}

/// The oldest events for a target.
pub(super) async fn events(pool: &Pool, target: String, limit: usize) -> Result<Vec<Event>> {
    let rows = ask(pool, Call::new(sql::EVENTS).with(target).with(rows::limit(limit))).await?;
    let read = |row: &Row| -> Result<Event> {
        let event = NewEvent {
            bucket: BucketId(get(row, 1)?),
            key: rows::key(row, 2)?,
            target: get(row, 3)?,
            created: rows::timestamp(row, 4)?,
            text: get(row, 5)?,
        };
        Ok(Event { id: get(row, 0)?, event })
    };
    rows.iter().map(read).collect()
}

/// Removes events that are too old, and the oldest of those that are too many. Returns how many.
pub(super) async fn forget_events(pool: &Pool, before: Timestamp, most: u64) -> Result<u64> {
    let calls = [
        Call::new(sql::FORGET_OLD_EVENTS).with(before.0),
        Call::new(sql::FORGET_MANY_EVENTS).with(rows::signed(most)?),
    ];
    let gone = pool.run(Begin::Write, &calls).await?;
    gone.iter().flatten().map(|row| rows::unsigned(row, 0)).sum()
}
