//! Rows of uploads and of their parts.
//!
//! **Invariant:** a part row names one attempt of an open upload. Whatever stops being named (a part that was replaced,
//! the parts of an aborted upload) is named by a step in the outbox from the same transaction on. Parts hold the row of
//! their upload shared, so its state changes before or after them, never between.

use async_trait::async_trait;
use tokio_postgres::Row;

use super::commit::behind_gates;
use super::failure::{self, Fault, state};
use super::pool::{Begin, Call, Pool};
use super::rows::{self, get};
use super::{PostgresCatalog, admit, outbox, span, statements as sql};
use crate::catalog::columns::state_columns;
use crate::catalog::uploads::{Uploads, with_length};
use crate::catalog::{NewTask, PartAdded, Result, Scope, Step, Task, UploadEnd};
use crate::model::id::{BucketId, UploadId, VersionId};
use crate::model::time::Timestamp;
use crate::model::upload::{Part, Upload, UploadResult, UploadState};

#[async_trait]
impl Uploads for PostgresCatalog {
    async fn create_upload(&self, scope: &Scope, upload: Upload) -> Result<()> {
        admit(scope)?;
        create(&self.pool, upload).await
    }

    async fn upload(&self, scope: &Scope, id: UploadId) -> Result<Option<Upload>> {
        admit(scope)?;
        get_one(&self.pool, id).await
    }

    async fn uploads(
        &self,
        scope: &Scope,
        bucket: BucketId,
        prefix: &str,
        after: Option<(&str, Option<UploadId>)>,
        limit: usize,
    ) -> Result<Vec<Upload>> {
        admit(scope)?;
        list(&self.walks, bucket, prefix, after, limit).await
    }

    async fn set_upload_state(
        &self,
        scope: &Scope,
        id: UploadId,
        from: &UploadState,
        to: UploadState,
    ) -> Result<Option<Task>> {
        admit(scope)?;
        set_state(&self.pool, id, from, &to).await
    }

    async fn set_upload_length(&self, scope: &Scope, id: UploadId, length: u64) -> Result<()> {
        admit(scope)?;
        set_length(&self.pool, id, length).await
    }

    async fn tidy_uploads(&self, scope: &Scope, reopen: bool, before: Timestamp) -> Result<()> {
        admit(scope)?;
        tidy(&self.walks, reopen, before).await
    }

    async fn add_part(&self, scope: &Scope, upload: UploadId, part: Part) -> Result<PartAdded> {
        admit(scope)?;
        add_part(&self.pool, upload, &part).await
    }

    async fn parts(&self, scope: &Scope, upload: UploadId, after: u32, limit: usize) -> Result<Vec<Part>> {
        admit(scope)?;
        parts(&self.walks, upload, after, limit).await
    }
}

fn read(row: &Row) -> Result<Upload> {
    let result: Option<UploadResult> = rows::json_or_none(row, 12)?;
    let state = match (get(row, 11)?, result) {
        ("open", _) => UploadState::Open,
        ("completing", _) => UploadState::Completing,
        ("done", Some(result)) => UploadState::Done(Box::new(result)),
        ("aborted", _) => UploadState::Aborted,
        _ => return Err(Fault::Malformed("the state of an upload").into()),
    };
    Ok(Upload {
        id: rows::upload_id(row, 0)?,
        bucket: BucketId(get(row, 1)?),
        key: rows::key(row, 2)?,
        created: rows::timestamp(row, 3)?,
        initiator: get(row, 4)?,
        owner: get(row, 5)?,
        content: rows::json(row, 6)?,
        attached: rows::attached(row, 7)?,
        checksum: rows::sum_kind(row, 8)?,
        handle: get(row, 10)?,
        state,
    })
}

fn read_part(row: &Row) -> Result<Part> {
    Ok(Part {
        number: u32::try_from(get::<i32>(row, 0)?).map_err(|_| Fault::Malformed("the number of a part"))?,
        attempt: rows::version(row, 1)?,
        stamp: rows::stamp(row, 2)?,
        size: rows::unsigned(row, 3)?,
        modified: rows::timestamp(row, 4)?,
        etag: get(row, 5)?,
        checksum: rows::sum(rows::sum_kind(row, 6)?, row, 8)?,
        crc64nvme: rows::crc(get(row, 9)?),
    })
}

/// Begins an upload.
async fn create(pool: &Pool, upload: Upload) -> Result<()> {
    let (state, result, ended) = state_columns(&upload.state)?;
    let (algorithm, kind) = rows::kind_columns(upload.checksum);
    let lock = Call::new(sql::LOCK_BUCKET).with(upload.bucket.0).with(None::<i64>).with(true);
    let insert = Call::new(sql::INSERT_UPLOAD)
        .with(upload.id.to_string())
        .with(upload.bucket.0)
        .with(upload.key.as_str().to_owned())
        .with(upload.created.0)
        .with(upload.initiator)
        .with(upload.owner)
        .with(rows::to_json(&upload.content)?)
        .with(rows::attached_column(&upload.attached)?)
        .with(algorithm)
        .with(kind)
        .with(upload.handle)
        .with(state)
        .with(result)
        .with(ended);
    behind_gates(pool, Begin::Write, &[lock, insert]).await??;
    Ok(())
}

async fn ask(pool: &Pool, call: Call) -> Result<Vec<Row>> {
    Ok(pool.run(Begin::Read, &[call]).await?.pop().unwrap_or_default())
}

/// One upload.
async fn get_one(pool: &Pool, id: UploadId) -> Result<Option<Upload>> {
    ask(pool, Call::new(sql::UPLOAD).with(id.to_string())).await?.first().map(read).transpose()
}

/// Open and completing uploads by key, age and id.
///
/// A marker is a position in that order. An upload that was named as a marker and is forgotten by now stands before the
/// others of its key: a page may repeat some of them, but it leaves none out.
async fn list(
    pool: &Pool,
    bucket: BucketId,
    prefix: &str,
    after: Option<(&str, Option<UploadId>)>,
    limit: usize,
) -> Result<Vec<Upload>> {
    if prefix.contains('\0') {
        return Ok(Vec::new());
    }
    // A tilde is behind the digits of every id.
    let (key, created, id) = match after.filter(|(key, _)| *key >= prefix) {
        None => (prefix.to_owned(), i64::MIN, String::new()),
        Some((key, _)) if key.contains('\0') => {
            (key[..key.find('\0').unwrap_or(0)].to_owned(), i64::MAX, "~".to_owned())
        }
        Some((key, None)) => (key.to_owned(), i64::MAX, "~".to_owned()),
        Some((key, Some(id))) => (key.to_owned(), i64::MIN, id.to_string()),
    };
    let call = Call::new(sql::UPLOADS).with(bucket.0).with(key).with(created).with(id);
    ask(pool, call.with(span::until(prefix)).with(rows::limit(limit))).await?.iter().map(read).collect()
}

/// Compare-and-swap on the state.
async fn set_state(pool: &Pool, id: UploadId, from: &UploadState, to: &UploadState) -> Result<Option<Task>> {
    let (seen, _, _) = state_columns(from)?;
    let (state, result, ended) = state_columns(to)?;
    let set = Call::new(sql::SET_UPLOAD_STATE).with(id.to_string()).with(seen).with(state).with(result).with(ended);
    if *to != UploadState::Aborted {
        pool.run(Begin::Write, &[set]).await?;
        return Ok(None);
    }
    let parts = Call::new(sql::DELETE_PARTS).with(id.to_string());
    let (transaction, answers) = pool.begin(Begin::Write, &[set, parts]).await?;
    let [upload, parts] = &answers[..] else { return Err(Fault::Malformed("an upload").into()) };
    let upload = upload.first().ok_or(Fault::Malformed("an upload"))?;
    let mut attempts =
        parts.iter().map(|row| Ok((get::<i32>(row, 0)?, rows::version(row, 1)?))).collect::<Result<Vec<_>>>()?;
    attempts.sort_by_key(|(number, _)| *number);
    let attempts = attempts.into_iter().map(|(_, attempt)| attempt).collect();
    let task = NewTask {
        bucket: BucketId(get(upload, 1)?),
        key: rows::key(upload, 2)?,
        version: VersionId::fresh(),
        step: Step::FreeUpload { handle: get(upload, 3)?, attempts },
        bytes: None,
    };
    let written = transaction.finish(&[outbox::insertion(&task)?]).await?;
    outbox::numbered(task, written.first().map_or(&[], Vec::as_slice)).map(Some)
}

/// Says how long an open upload becomes.
async fn set_length(pool: &Pool, id: UploadId, length: u64) -> Result<()> {
    let find = Call::new(sql::UPLOAD_TO_CHANGE).with(id.to_string());
    let (transaction, answers) = pool.begin(Begin::Write, &[find]).await?;
    let found = answers.first().and_then(|rows| rows.first()).map(read).transpose();
    match found.and_then(|upload| with_length(upload, length)) {
        Ok(attached) => {
            let attached = rows::attached_column(&attached)?;
            let set = Call::new(sql::SET_UPLOAD_ATTACHED).with(id.to_string()).with(attached);
            transaction.finish(&[set]).await.map(|_| ())
        }
        Err(error) => {
            transaction.undo().await?;
            Err(error)
        }
    }
}

/// Ends a completing upload together with the commit that makes the object. Its caller frees the attempts by a step.
pub(super) fn end(all: &mut Vec<Call>, end: &UploadEnd) -> Result<()> {
    let (state, result, ended) = state_columns(&end.state)?;
    all.push(Call::new(sql::END_UPLOAD).with(end.id.to_string()).with(state).with(result).with(ended));
    all.push(Call::new(sql::DELETE_PARTS).with(end.id.to_string()));
    Ok(())
}

/// Returns completing uploads to open, if asked to, and forgets those that ended before `before`.
async fn tidy(pool: &Pool, reopen: bool, before: Timestamp) -> Result<()> {
    let reopen = reopen.then(|| Call::new(sql::REOPEN_UPLOADS));
    let forget = [sql::FORGET_PARTS, sql::FORGET_UPLOADS].map(|text| Call::new(text).with(before.0));
    let calls: Vec<_> = reopen.into_iter().chain(forget).collect();
    pool.run(Begin::Hint, &calls).await.map(|_| ())
}

fn put(id: UploadId, part: &Part, displaces: bool) -> Result<Call> {
    let (algorithm, kind) = rows::kind_columns(part.checksum.as_ref().map(|sum| (sum.algorithm, sum.kind)));
    Ok(Call::new(sql::PUT_PART)
        .with(id.to_string())
        .with(number(part.number)?)
        .with(part.attempt.to_string())
        .with(part.stamp.as_str().to_owned())
        .with(rows::signed(part.size)?)
        .with(part.modified.0)
        .with(part.etag.clone())
        .with(algorithm)
        .with(kind)
        .with(part.checksum.as_ref().map(|sum| sum.value.clone()))
        .with(rows::crc_column(part.crc64nvme))
        .with(displaces))
}

fn number(number: u32) -> Result<i32> {
    i32::try_from(number).map_err(|_| Fault::TooLarge(number.into()).into())
}

/// Names an attempt of a part. The attempt it replaces is dropped; the same attempt named again replaces nothing.
async fn add_part(pool: &Pool, id: UploadId, part: &Part) -> Result<PartAdded> {
    let lock = || Call::new(sql::LOCK_UPLOAD).with(id.to_string());
    // Most parts come once: that is one round trip.
    match pool.try_run(Begin::Write, &[lock(), put(id, part, false)?]).await? {
        Ok(_) => return Ok(PartAdded { displaced: None }),
        Err(error) if failure::ended_with(&error, state::DISPLACES) => {}
        Err(error) => return Err(error.into()),
    }
    let old = Call::new(sql::ATTEMPT).with(id.to_string()).with(number(part.number)?);
    let (transaction, answers) = pool.begin(Begin::Write, &[lock(), old]).await?;
    let [upload, old] = &answers[..] else { return Err(Fault::Malformed("an upload").into()) };
    let upload = upload.first().ok_or(Fault::Malformed("an upload"))?;
    let mut calls = vec![put(id, part, true)?];
    let mut task = None;
    if let Some(old) = old.first().filter(|old| rows::version(old, 0).is_ok_and(|old| old != part.attempt)) {
        let (version, step) = (rows::version(old, 0)?, Step::Drop { stamp: Some(rows::stamp(old, 1)?) });
        let (bucket, key) = (BucketId(get(upload, 1)?), rows::key(upload, 2)?);
        let drop = NewTask { bucket, key, version, step, bytes: None };
        calls.push(outbox::insertion(&drop)?);
        task = Some(drop);
    }
    let written = transaction.finish(&calls).await?;
    let numbered = |task| outbox::numbered(task, written.last().map_or(&[], Vec::as_slice));
    Ok(PartAdded { displaced: task.map(numbered).transpose()? })
}

/// Parts by number.
async fn parts(pool: &Pool, id: UploadId, after: u32, limit: usize) -> Result<Vec<Part>> {
    let after = i32::try_from(after).unwrap_or(i32::MAX);
    let call = Call::new(sql::PARTS).with(id.to_string()).with(after).with(rows::limit(limit));
    ask(pool, call).await?.iter().map(read_part).collect()
}
