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
use crate::catalog::{Acting, Commit, Error, Intent, Result, Task, Window};
use crate::config::limits::{CATALOG_ROLE_READS_MAX, CATALOG_WINDOW_ROWS};
use crate::model::bucket::Bucket;
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
        let answers = transaction.try_ask(&[end, enter(acting)?, seen, leave()]).await?.map_err(refusal)?;
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

/// Tries a change as the role. It is not undone yet.
async fn attempt(
    transaction: &mut Transaction<'_>,
    acting: &Acting,
    bucket: BucketId,
    key: &ObjectKey,
    intent: &Intent,
) -> Result<()> {
    let calls = [name_bucket(bucket), Call::new(sql::SAVEPOINT), enter(acting)?, offer(acting, key, intent)];
    let answers = transaction.try_ask(&calls).await?.map_err(refusal)?;
    // What is deleted is told; an object that is there and stays is one the role may not delete.
    if matches!(intent, Intent::Remove) && answers[3].is_empty() { Err(Error::Denied) } else { Ok(()) }
}

/// Whether the role may do what it is about to do. Nothing of it is left.
pub(super) async fn may(
    pool: &Pool,
    acting: &Acting,
    bucket: BucketId,
    key: &ObjectKey,
    intent: &Intent,
) -> Result<()> {
    enter(acting)?;
    let (mut transaction, _) = pool.try_begin(Begin::Write, &[]).await?.map_err(refusal)?;
    let outcome = attempt(&mut transaction, acting, bucket, key, intent).await;
    transaction.undo().await?;
    outcome
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
    let (mut transaction, _) = pool.try_begin(begin, &[]).await?.map_err(refusal)?;
    for change in &commit.changes {
        let intent = match &change.becomes {
            None => Intent::Remove,
            Some(object) => Intent::Write {
                content_type: object.content.content_type.clone(),
                length: Some(object.size),
                user: object.content.user.clone(),
            },
        };
        let tried = attempt(&mut transaction, acting, change.bucket, &change.key, &intent).await;
        if let Err(error) = tried {
            transaction.undo().await?;
            // Who was first is the commit's question.
            return Err(if matches!(error, Error::AlreadyExists) { Error::Conflict } else { error });
        }
        // The role ends here too: it was entered behind the savepoint.
        transaction.try_ask(&[Call::new(sql::ROLLBACK_TO)]).await?.map_err(refusal)?;
    }
    commit::finish(transaction, counted, commit).await
}
