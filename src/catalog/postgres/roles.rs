//! What the role of a token may see and do, asked of the database itself.
//!
//! A statement under a role touches only the tables of Supabase, and says *may I, and which version*; what else is known of
//! that version is read as Longshore, in the same transaction. A write is tried as the role, undone, and only then done: so
//! its policies are asked before a body is read, and once more in the transaction that decides.
//!
//! **Invariant:** a role, its claims and everything else that is set for it end with the transaction; a row that the
//! policies hide looks like one that is not there; no policy is ever imitated here.

use std::collections::HashMap;

use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use super::commit::{self, Counted};
use super::failure::Fault;
use super::pool::{Begin, Call, Pool, Transaction};
use super::rows::{self, get};
use super::{buckets, objects, role_versions, span, statements as sql};
use crate::catalog::{Acting, BucketIntent, Commit, Error, Intent, NewBucket, Result, Sight, Task, Window};
use crate::config::limits::{CATALOG_ROLE_READS_MAX, CATALOG_WINDOW_ROWS};
use crate::model::bucket::{Bucket, BucketSettings, Intake};
use crate::model::id::BucketId;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::Object;
use crate::model::page::Seek;

/// The meaning of a refusal under a role.
pub(super) fn refusal(error: tokio_postgres::Error) -> Error {
    match error.code() {
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => Error::Denied,
        Some(code) if *code == SqlState::UNIQUE_VIOLATION => Error::AlreadyExists,
        // Of a bucket, in which there still is something.
        Some(code) if *code == SqlState::FOREIGN_KEY_VIOLATION => Error::NotEmpty,
        None => error.into(),
        Some(code) => {
            let state = code.code().to_owned();
            match error.into() {
                Error::Failed(source) => Error::Policy { state, source },
                meant => meant,
            }
        }
    }
}

/// Names the bucket to the statements of the role, which cannot look it up.
pub(super) fn name_bucket(bucket: BucketId) -> Call {
    Call::new(sql::NAME_BUCKET).with(bucket.0)
}

/// Becomes the role.
pub(super) fn enter(acting: &Acting) -> Call {
    Call::new(sql::ENTER_ROLE)
        .with(acting.role.clone())
        .with(rows::without_nul(&acting.claims))
        .with(subject(acting).unwrap_or_default())
        .with(acting.operation.clone())
}

/// Of whom the claims speak, as the database can hold it.
fn subject(acting: &Acting) -> Option<String> {
    let subject = acting.claims.get("sub").and_then(serde_json::Value::as_str);
    subject.map(|subject| subject.replace('\0', "\u{FFFD}"))
}

/// Is Longshore again.
pub(super) fn leave() -> Call {
    Call::new(sql::LEAVE_ROLE)
}

/// The current version of a key, if the role sees it.
pub(super) async fn object(pool: &Pool, acting: &Acting, bucket: BucketId, key: &ObjectKey) -> Result<Option<Object>> {
    for _ in 0..CATALOG_ROLE_READS_MAX {
        let seen = Call::new(sql::SEEN_OBJECT).with(key.as_str().to_owned());
        let facts = Call::new(sql::OBJECT).with(bucket.0).with(key.as_str().to_owned());
        let calls = [name_bucket(bucket), enter(acting), seen, leave(), facts];
        let answers = pool.try_run(Begin::Read, &calls).await?.map_err(refusal)?;
        let Some(seen) = answers[2].first() else { return Ok(None) };
        let object = answers[4].first().map(objects::read_object).transpose()?;
        let version: Option<&str> = get(seen, 0)?;
        match object {
            // Somebody else's row: nothing is known of it here.
            None => return Ok(None),
            Some(object) if version == Some(&object.version.to_string()) => return Ok(Some(object)),
            // It was written anew between the two questions.
            Some(_) => {}
        }
    }
    Err(Fault::Busy.into())
}

/// The current versions of these keys that the role sees, in no order.
pub(super) async fn objects(pool: &Pool, acting: &Acting, bucket: BucketId, keys: &[ObjectKey]) -> Result<Vec<Object>> {
    let names: Vec<String> = keys.iter().map(|key| key.as_str().to_owned()).collect();
    let seen = Call::new(sql::SEEN_VERSIONS).with(names.clone());
    let facts = Call::new(sql::OBJECTS).with(bucket.0).with(names);
    let calls = [name_bucket(bucket), enter(acting), seen, leave(), facts];
    let answers = pool.try_run(Begin::Read, &calls).await?.map_err(refusal)?;
    let mut versions: HashMap<String, String> =
        texts(&answers[2], 0)?.into_iter().zip(texts(&answers[2], 1)?).collect();
    let mut found = Vec::with_capacity(versions.len());
    for row in &answers[4] {
        let object = objects::read_object(row)?;
        match versions.remove(object.key.as_str()) {
            None => {}
            Some(version) if version == object.version.to_string() => found.push(object),
            // It was written anew between the two questions.
            Some(_) => found.extend(self::object(pool, acting, bucket, &object.key).await?),
        }
    }
    Ok(found)
}

/// One bucket, if the role sees it.
pub(super) async fn bucket(pool: &Pool, acting: &Acting, name: &BucketName) -> Result<Option<Bucket>> {
    let seen = Call::new(sql::SEEN_BUCKET).with(name.as_str().to_owned());
    let row = Call::new(sql::BUCKET).with(name.as_str().to_owned());
    let calls = [enter(acting), seen, leave(), row];
    let answers = pool.try_run(Begin::Read, &calls).await?.map_err(refusal)?;
    if answers[1].is_empty() {
        return Ok(None);
    }
    answers[3].first().map(buckets::read).transpose()
}

/// Buckets that the role sees, in the order of their names.
pub(super) async fn buckets(
    pool: &Pool,
    acting: &Acting,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Bucket>> {
    let seek = after.map_or_else(|| Seek::From(prefix.to_owned()), |name| Seek::After(name.to_owned()));
    let Some(span) = span::span(prefix, seek) else { return Ok(Vec::new()) };
    let seen = Call::new(sql::SEEN_BUCKETS).with(span.from).with(span.until).with(rows::limit(limit));
    let (transaction, answers) =
        pool.try_begin(Begin::Read, &[enter(acting), seen, leave()]).await?.map_err(refusal)?;
    let names = texts(&answers[1], 0)?;
    let rows = transaction.finish(&[Call::new(sql::BUCKETS_NAMED).with(names)]).await?;
    rows.iter().flatten().map(buckets::read).collect()
}

pub(super) fn texts(rows: &[Row], column: usize) -> Result<Vec<String>> {
    rows.iter().map(|row| get(row, column)).collect()
}

/// A page of what the role sees. Its policies are asked in windows of so many rows, as one that hides most of them would
/// otherwise be asked of all the rest at once; `windows`: after so many it stops where it is.
pub(super) async fn list(
    pool: &Pool,
    acting: &Acting,
    bucket: BucketId,
    window: Window,
    windows: Option<usize>,
) -> Result<Sight> {
    let Some(span) = span::span(&window.prefix, window.seek) else { return Ok(Sight::default()) };
    let (mut from, mut names, mut versions) = (span.from, Vec::new(), Vec::new());
    let (mut stopped, mut asked) = (None, 0);
    let mut under_way: Option<Transaction<'_>> = None;
    while versions.len() < window.limit {
        let end = Call::new(sql::NAME_WINDOW).with(bucket.0).with(from.clone()).with(span.until.clone());
        let end = end.with(rows::limit(CATALOG_WINDOW_ROWS - 1));
        let seen = Call::new(sql::SEEN_OBJECTS).with(from).with(rows::limit(window.limit - versions.len()));
        let calls = [name_bucket(bucket), end, enter(acting), seen, leave()];
        let tried = match under_way.take() {
            None => pool.try_begin(Begin::Read, &calls).await?,
            Some(transaction) => transaction.try_go_on(&calls).await?,
        };
        let (transaction, answers) = tried.map_err(refusal)?;
        under_way = Some(transaction);
        names.extend(texts(&answers[3], 0)?);
        versions.extend(texts(&answers[3], 1)?);
        let next: &str = get(answers[1].first().ok_or(Fault::Malformed("a window"))?, 0)?;
        if next == span.until {
            break;
        }
        asked += 1;
        if versions.len() < window.limit && windows.is_some_and(|windows| asked >= windows) {
            stopped = Some(next.trim_end_matches('\u{1}').to_owned());
            break;
        }
        from = next.to_owned();
    }
    let Some(transaction) = under_way else { return Ok(Sight::default()) };
    let facts = Call::new(sql::LIST_OF).with(bucket.0).with(names).with(versions);
    let rows = transaction.finish(&[facts]).await?;
    let mut entries = rows.iter().flatten().map(objects::read_listed).collect::<Result<Vec<_>>>()?;
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(Sight { entries, stopped })
}

/// What is offered to the policies for a change of a key.
fn offer(acting: &Acting, key: &ObjectKey, intent: &Intent) -> Call {
    let key = key.as_str().to_owned();
    match intent {
        Intent::Remove | Intent::RemoveVersion(_) => Call::new(sql::TRY_DELETE).with(key),
        Intent::Change | Intent::ChangeVersion(_) => Call::new(sql::TRY_CHANGE).with(key),
        Intent::Move { key: to, .. } => {
            Call::new(sql::TRY_MOVE).with(key).with(to.as_str().to_owned()).with(subject(acting))
        }
        Intent::Write { content_type, length, user } => {
            let mut metadata = serde_json::Map::new();
            metadata.insert("mimetype".into(), content_type.clone().into());
            if let Some(length) = length {
                metadata.insert("contentLength".into(), (*length).into());
            }
            Call::new(if acting.only_new { sql::TRY_INSERT } else { sql::TRY_UPSERT })
                .with(key)
                .with(subject(acting))
                .with(rows::without_nul(&metadata.into()))
                .with(user.as_ref().map(rows::without_nul))
        }
    }
}

/// The statements that try a change as the role, behind a savepoint that undoes it and ends the role. `version` takes the
/// place of the current one for it.
fn attempt(acting: &Acting, bucket: BucketId, key: &ObjectKey, intent: &Intent, version: Option<&Object>) -> Vec<Call> {
    let mut calls = vec![name_bucket(bucket)];
    if let Intent::Move { bucket, .. } = intent {
        calls.push(Call::new(sql::NAME_OTHER).with(bucket.0));
    }
    calls.push(Call::new(sql::SAVEPOINT));
    calls.extend(version.map(|version| role_versions::place(bucket, version)));
    calls.extend([enter(acting), offer(acting, key, intent)]);
    calls
}

/// The version that somebody means to do something with.
async fn meant(pool: &Pool, bucket: BucketId, key: &ObjectKey, intent: &Intent) -> Result<Option<Object>> {
    match intent {
        Intent::RemoveVersion(version) | Intent::ChangeVersion(version) => {
            let object = objects::version(pool, bucket, key, *version).await?;
            // What is not there is not the role's.
            object.map(Some).ok_or(Error::Denied)
        }
        Intent::Write { .. } | Intent::Remove | Intent::Change | Intent::Move { .. } => Ok(None),
    }
}

/// What the last of them came to: what is written is let in or not; all else is told of, and what stays as it was is
/// something that the role may not touch.
fn verdict(intent: &Intent, answers: &[Vec<Row>]) -> Result<()> {
    let untouched = answers.last().is_none_or(Vec::is_empty);
    if untouched && !matches!(intent, Intent::Write { .. }) { Err(Error::Denied) } else { Ok(()) }
}

/// Whether the role may do what it is about to do. Nothing of it is left.
pub(super) async fn may(
    pool: &Pool,
    acting: &Acting,
    bucket: BucketId,
    key: &ObjectKey,
    intent: &Intent,
) -> Result<()> {
    let version = meant(pool, bucket, key, intent).await?;
    let calls = attempt(acting, bucket, key, intent, version.as_ref());
    let answers = pool.try_out(Begin::Write, &calls).await?.map_err(refusal)?;
    verdict(intent, &answers)
}

/// Decides, if the role may do each of the changes.
pub(super) async fn commit(
    pool: &Pool,
    counted: &Counted,
    begin: Begin,
    acting: &Acting,
    commit: Commit,
) -> Result<Vec<Task>> {
    let mut under_way: Option<Transaction<'_>> = None;
    for change in &commit.changes {
        let Some(intent) = role_versions::intent_of(change) else { continue };
        let version = meant(pool, change.bucket, &change.key, &intent).await?;
        let calls = attempt(acting, change.bucket, &change.key, &intent, version.as_ref());
        let tried = match under_way.take() {
            None => pool.try_begin(begin, &calls).await?,
            Some(transaction) => {
                let back = std::iter::once(Call::new(sql::ROLLBACK_TO));
                transaction.try_go_on(&back.chain(calls).collect::<Vec<_>>()).await?
            }
        };
        let (transaction, answers) = tried.map_err(|error| match refusal(error) {
            // Who was first is the commit's question.
            Error::AlreadyExists => Error::Conflict,
            error => error,
        })?;
        if let Err(error) = verdict(&intent, &answers) {
            transaction.undo().await?;
            return Err(error);
        }
        under_way = Some(transaction);
    }
    match under_way {
        Some(transaction) => commit::finish(transaction, vec![Call::new(sql::ROLLBACK_TO)], counted, commit).await,
        None => commit::commit(pool, counted, begin, commit).await,
    }
}

/// What a bucket is limited to, as the tables of Supabase have it.
fn limited(call: Call, intake: &Intake) -> Call {
    let types = Some(intake.types.clone()).filter(|types| !types.is_empty());
    call.with(intake.bytes_max.map(rows::limit_of)).with(types)
}

fn offered_bucket(acting: &Acting, name: &BucketName, public: bool, intake: &Intake) -> Call {
    let insert = Call::new(sql::TRY_INSERT_BUCKET).with(name.as_str().to_owned()).with(subject(acting)).with(public);
    limited(insert, intake)
}

/// Whether the role may do this with a bucket. Nothing of it is left. One that it does not see is not there.
pub(super) async fn may_with_bucket(pool: &Pool, acting: &Acting, intent: &BucketIntent) -> Result<()> {
    let calls = match intent {
        BucketIntent::Make { name, public, intake } => {
            vec![enter(acting), offered_bucket(acting, name, *public, intake)]
        }
        BucketIntent::Set { bucket, public, intake } => {
            let update = limited(Call::new(sql::TRY_UPDATE_BUCKET).with(*public), intake);
            vec![name_bucket(*bucket), enter(acting), update]
        }
        BucketIntent::Remove(bucket) => {
            vec![name_bucket(*bucket), enter(acting), Call::new(sql::TRY_DELETE_BUCKET)]
        }
    };
    let answers = pool.try_out(Begin::Write, &calls).await?.map_err(refusal)?;
    let untouched = answers.last().is_none_or(Vec::is_empty);
    if untouched && !matches!(intent, BucketIntent::Make { .. }) { Err(Error::NotFound) } else { Ok(()) }
}

/// Makes a bucket, if the role may. What it may hold is not the role's to say.
pub(super) async fn create_bucket(pool: &Pool, acting: &Acting, new: NewBucket) -> Result<Bucket> {
    if !new.config.quota.is_none() {
        return Err(Error::NoRoles);
    }
    let insert = offered_bucket(acting, &new.name, new.settings.public, &new.config.intake);
    let attempt = [Call::new(sql::SAVEPOINT), enter(acting), insert];
    let (transaction, _) = pool.try_begin(Begin::Write, &attempt).await?.map_err(refusal)?;
    let made = transaction.finish(&[Call::new(sql::ROLLBACK_TO), buckets::insertion(&new)?]).await?;
    buckets::bucket_of(new, &made[1..])
}

/// Changes the settings of a bucket, if the role may. One that it does not see is not there.
pub(super) async fn set_bucket(
    pool: &Pool,
    acting: &Acting,
    bucket: BucketId,
    settings: &BucketSettings,
) -> Result<()> {
    let update = Call::new(sql::TRY_OPEN_BUCKET).with(settings.public);
    let attempt = [name_bucket(bucket), Call::new(sql::SAVEPOINT), enter(acting), update];
    let (transaction, answers) = pool.try_begin(Begin::Write, &attempt).await?.map_err(refusal)?;
    if answers[3].is_empty() {
        transaction.undo().await?;
        return Err(Error::NotFound);
    }
    let calls = [Call::new(sql::ROLLBACK_TO), buckets::setting(bucket, settings)?];
    transaction.finish(&calls).await.map(|_| ())
}

/// Removes an empty bucket, if the role may. One that it does not see is not there.
pub(super) async fn delete_bucket(pool: &Pool, acting: &Acting, bucket: BucketId) -> Result<()> {
    let first = [sql::LOCK_BUCKET_ALONE, sql::BUCKET_IS_EMPTY, sql::NAME_BUCKET];
    let mut attempt: Vec<_> = first.into_iter().map(|text| Call::new(text).with(bucket.0)).collect();
    attempt.extend([Call::new(sql::SAVEPOINT), enter(acting), Call::new(sql::TRY_DELETE_BUCKET)]);
    let (transaction, answers) = pool.try_begin(Begin::Write, &attempt).await?.map_err(refusal)?;
    if answers.last().is_none_or(Vec::is_empty) {
        transaction.undo().await?;
        return Err(Error::NotFound);
    }
    let calls: Vec<_> = std::iter::once(Call::new(sql::ROLLBACK_TO)).chain(buckets::deletion(bucket)).collect();
    transaction.finish(&calls).await.map(|_| ())
}
