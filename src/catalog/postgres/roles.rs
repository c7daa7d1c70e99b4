//! What the role of a token may see and do, asked of the database itself.
//!
//! A statement under a role touches only the tables of Supabase, and says *may I, and which version*; what else is known of
//! that version is read as Longshore, in the same transaction. A write is tried as the role, undone, and only then done: so
//! its policies are asked before a body is read, and once more in the transaction that decides.
//!
//! **Invariant:** a role, its claims and everything else that is set for it end with the transaction; a row that the
//! policies hide looks like one that is not there; no policy is ever imitated here.

use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use super::commit::{self, Counted};
use super::failure::Fault;
use super::pool::{Begin, Call, Pool, Transaction};
use super::rows::{self, get};
use super::{buckets, objects, span, statements as sql};
use crate::catalog::{Acting, Change, Commit, Error, Intent, NewBucket, Result, Task, Window};
use crate::config::limits::{CATALOG_ROLE_READS_MAX, CATALOG_WINDOW_ROWS};
use crate::model::bucket::{Bucket, BucketSettings};
use crate::model::id::BucketId;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::{Entry, Object};
use crate::model::page::Seek;

/// The roles that a token may name. Whatever else the login may become is not for tokens.
pub(super) const ROLES: [&str; 2] = ["anon", "authenticated"];

/// The meaning of a refusal under a role.
fn refusal(error: tokio_postgres::Error) -> Error {
    match error.code() {
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => Error::Denied,
        Some(code) if *code == SqlState::UNIQUE_VIOLATION => Error::AlreadyExists,
        _ => error.into(),
    }
}

/// Names the bucket to the statements of the role, which cannot look it up.
fn name_bucket(bucket: BucketId) -> Call {
    Call::new(sql::NAME_BUCKET).with(bucket.0)
}

/// Becomes the role.
fn enter(acting: &Acting) -> Result<Call> {
    if !ROLES.contains(&acting.role.as_str()) {
        return Err(Error::NoRoles);
    }
    let subject = acting.claims.get("sub").and_then(serde_json::Value::as_str).unwrap_or_default();
    Ok(Call::new(sql::ENTER_ROLE)
        .with(acting.role.clone())
        .with(rows::without_nul(&acting.claims))
        .with(subject.replace('\0', "\u{FFFD}"))
        .with(acting.operation.clone()))
}

/// Is Longshore again.
fn leave() -> Call {
    Call::new(sql::LEAVE_ROLE)
}

/// The current version of a key, if the role sees it.
pub(super) async fn object(pool: &Pool, acting: &Acting, bucket: BucketId, key: &ObjectKey) -> Result<Option<Object>> {
    for _ in 0..CATALOG_ROLE_READS_MAX {
        let seen = Call::new(sql::SEEN_OBJECT).with(key.as_str().to_owned());
        let facts = Call::new(sql::OBJECT).with(bucket.0).with(key.as_str().to_owned());
        let calls = [name_bucket(bucket), enter(acting)?, seen, leave(), facts];
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

/// One bucket, if the role sees it.
pub(super) async fn bucket(pool: &Pool, acting: &Acting, name: &BucketName) -> Result<Option<Bucket>> {
    let seen = Call::new(sql::SEEN_BUCKET).with(name.as_str().to_owned());
    let row = Call::new(sql::BUCKET).with(name.as_str().to_owned());
    let calls = [enter(acting)?, seen, leave(), row];
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
        pool.try_begin(Begin::Read, &[enter(acting)?, seen, leave()]).await?.map_err(refusal)?;
    let names = texts(&answers[1], 0)?;
    let rows = transaction.finish(&[Call::new(sql::BUCKETS_NAMED).with(names)]).await?;
    rows.iter().flatten().map(buckets::read).collect()
}

fn texts(rows: &[Row], column: usize) -> Result<Vec<String>> {
    rows.iter().map(|row| get(row, column)).collect()
}

/// A page of what the role sees. Its policies are asked in windows of so many rows, as one that hides most of them would
/// otherwise be asked of all the rest at once.
pub(super) async fn list(pool: &Pool, acting: &Acting, bucket: BucketId, window: Window) -> Result<Vec<Entry>> {
    enter(acting)?;
    let Some(span) = span::span(&window.prefix, window.seek) else { return Ok(Vec::new()) };
    let (mut from, mut names, mut versions) = (span.from, Vec::new(), Vec::new());
    let (mut transaction, _) = pool.try_begin(Begin::Read, &[name_bucket(bucket)]).await?.map_err(refusal)?;
    while versions.len() < window.limit {
        let end = Call::new(sql::NAME_WINDOW).with(bucket.0).with(from.clone()).with(span.until.clone());
        let end = end.with(rows::limit(CATALOG_WINDOW_ROWS));
        let seen = Call::new(sql::SEEN_OBJECTS).with(from).with(rows::limit(window.limit - versions.len()));
        let calls = [end, enter(acting)?, seen, leave()];
        let answers;
        (transaction, answers) = transaction.try_go_on(&calls).await?.map_err(refusal)?;
        names.extend(texts(&answers[2], 0)?);
        versions.extend(texts(&answers[2], 1)?);
        let next: &str = get(answers[0].first().ok_or(Fault::Malformed("a window"))?, 0)?;
        if next == span.until {
            break;
        }
        from = next.to_owned();
    }
    let facts = Call::new(sql::LIST_OF).with(bucket.0).with(names).with(versions);
    let rows = transaction.finish(&[facts]).await?;
    let mut page = rows.iter().flatten().map(objects::read_listed).collect::<Result<Vec<_>>>()?;
    page.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(page)
}

/// What is offered to the policies for a change of a key.
fn offer(acting: &Acting, key: &ObjectKey, intent: &Intent) -> Call {
    let Intent::Write { content_type, length, user } = intent else {
        return Call::new(sql::TRY_DELETE).with(key.as_str().to_owned());
    };
    let subject = acting.claims.get("sub").and_then(serde_json::Value::as_str);
    let mut metadata = serde_json::Map::new();
    metadata.insert("mimetype".into(), content_type.clone().into());
    if let Some(length) = length {
        metadata.insert("contentLength".into(), (*length).into());
    }
    let user = (!user.is_empty()).then(|| rows::without_nul(&serde_json::json!(user)));
    Call::new(if acting.only_new { sql::TRY_INSERT } else { sql::TRY_UPSERT })
        .with(key.as_str().to_owned())
        .with(subject.map(|subject| subject.replace('\0', "\u{FFFD}")))
        .with(rows::without_nul(&metadata.into()))
        .with(user)
}

/// The statements that try a change as the role, behind a savepoint that undoes it and ends the role.
fn attempt(acting: &Acting, bucket: BucketId, key: &ObjectKey, intent: &Intent) -> Result<[Call; 4]> {
    Ok([name_bucket(bucket), Call::new(sql::SAVEPOINT), enter(acting)?, offer(acting, key, intent)])
}

/// What the last of them came to. What is deleted is told; an object that is there and stays is one the role may not delete.
fn verdict(intent: &Intent, answers: &[Vec<Row>]) -> Result<()> {
    let untouched = answers.last().is_none_or(Vec::is_empty);
    if *intent == Intent::Remove && untouched { Err(Error::Denied) } else { Ok(()) }
}

/// Whether the role may do what it is about to do. Nothing of it is left.
pub(super) async fn may(
    pool: &Pool,
    acting: &Acting,
    bucket: BucketId,
    key: &ObjectKey,
    intent: &Intent,
) -> Result<()> {
    let calls = attempt(acting, bucket, key, intent)?;
    let (transaction, answers) = pool.try_begin(Begin::Write, &calls).await?.map_err(refusal)?;
    transaction.undo().await?;
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
    enter(acting)?;
    let mut under_way: Option<Transaction<'_>> = None;
    for change in &commit.changes {
        let intent = intent_of(change);
        let calls = attempt(acting, change.bucket, &change.key, &intent)?;
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

fn intent_of(change: &Change) -> Intent {
    match &change.becomes {
        None => Intent::Remove,
        Some(object) => Intent::Write {
            content_type: object.content.content_type.clone(),
            length: Some(object.size),
            user: object.content.user.clone(),
        },
    }
}

/// Makes a bucket, if the role may. What it may hold is not the role's to say.
pub(super) async fn create_bucket(pool: &Pool, acting: &Acting, new: NewBucket) -> Result<Bucket> {
    enter(acting)?;
    if !new.config.quota.is_none() {
        return Err(Error::NoRoles);
    }
    let subject = acting.claims.get("sub").and_then(serde_json::Value::as_str);
    let insert = Call::new(sql::TRY_INSERT_BUCKET)
        .with(new.name.as_str().to_owned())
        .with(subject.map(|subject| subject.replace('\0', "\u{FFFD}")))
        .with(new.settings.public);
    let attempt = [Call::new(sql::SAVEPOINT), enter(acting)?, insert];
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
    let update = Call::new(sql::TRY_UPDATE_BUCKET).with(settings.public);
    let attempt = [name_bucket(bucket), Call::new(sql::SAVEPOINT), enter(acting)?, update];
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
    attempt.extend([Call::new(sql::SAVEPOINT), enter(acting)?, Call::new(sql::TRY_DELETE_BUCKET)]);
    let (transaction, answers) = pool.try_begin(Begin::Write, &attempt).await?.map_err(refusal)?;
    if answers.last().is_none_or(Vec::is_empty) {
        transaction.undo().await?;
        return Err(Error::NotFound);
    }
    let calls: Vec<_> = std::iter::once(Call::new(sql::ROLLBACK_TO)).chain(buckets::deletion(bucket)).collect();
    transaction.finish(&calls).await.map(|_| ())
}
