//! Rows of uploads and of their parts.
//!
//! **Invariant:** a part row names one attempt of an open upload. Whatever stops being named (a part that was replaced,
//! the parts of an aborted upload) is named by a step in the outbox from the same transaction on.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::failure::Fault;
use super::{SqliteCatalog, buckets, outbox, rows, span, statements as sql};
use crate::catalog::columns::state_columns;
use crate::catalog::uploads::{Uploads, with_length};
use crate::catalog::{Error, NewTask, PartAdded, Result, Scope, Step, Task, UploadEnd};
use crate::model::id::{BucketId, UploadId, VersionId};
use crate::model::time::Timestamp;
use crate::model::upload::{Part, Upload, UploadResult, UploadState};

#[async_trait]
impl Uploads for SqliteCatalog {
    async fn create_upload(&self, scope: &Scope, upload: Upload) -> Result<()> {
        self.write(scope, move |c| create(c, &upload)).await
    }

    async fn upload(&self, scope: &Scope, id: UploadId) -> Result<Option<Upload>> {
        self.look(scope, |c| get(c, id)).await
    }

    async fn uploads(
        &self,
        scope: &Scope,
        bucket: BucketId,
        prefix: &str,
        after: Option<(&str, Option<UploadId>)>,
        limit: usize,
    ) -> Result<Vec<Upload>> {
        let (prefix, after) = (prefix.to_owned(), after.map(|(key, id)| (key.to_owned(), id)));
        self.walk(scope, move |c| {
            let after = after.as_ref().map(|(key, id)| (key.as_str(), *id));
            list(c, bucket, &prefix, after, limit)
        })
        .await
    }

    async fn set_upload_state(
        &self,
        scope: &Scope,
        id: UploadId,
        from: &UploadState,
        to: UploadState,
    ) -> Result<Option<Task>> {
        let from = from.clone();
        if to == UploadState::Aborted {
            return self.write_freeing(scope, move |c| set_state(c, id, &from, &to)).await;
        }
        self.write(scope, move |c| set_state(c, id, &from, &to)).await
    }

    async fn set_upload_length(&self, scope: &Scope, id: UploadId, length: u64) -> Result<()> {
        self.write(scope, move |c| set_length(c, id, length)).await
    }

    async fn tidy_uploads(&self, scope: &Scope, reopen: bool, before: Timestamp) -> Result<()> {
        self.write_hint(scope, move |c| tidy(c, reopen, before)).await
    }

    async fn add_part(&self, scope: &Scope, upload: UploadId, part: Part) -> Result<PartAdded> {
        self.write(scope, move |c| add_part(c, upload, &part)).await
    }

    async fn parts(&self, scope: &Scope, upload: UploadId, after: u32, limit: usize) -> Result<Vec<Part>> {
        self.walk(scope, move |c| parts(c, upload, after, limit)).await
    }
}

fn read(row: &Row<'_>) -> rows::Read<Upload> {
    let result: Option<UploadResult> = rows::json_or_none(row, 10)?;
    let state = match (rows::text(row, 9)?, result) {
        ("open", _) => UploadState::Open,
        ("completing", _) => UploadState::Completing,
        ("done", Some(result)) => UploadState::Done(Box::new(result)),
        ("aborted", _) => UploadState::Aborted,
        _ => {
            let fault = Box::new(Fault::Malformed("the state of an upload"));
            return Err(rusqlite::Error::FromSqlConversionFailure(9, rusqlite::types::Type::Text, fault));
        }
    };
    Ok(Upload {
        id: rows::upload_id(row, 0)?,
        bucket: BucketId(row.get(1)?),
        key: rows::key(row, 2)?,
        created: rows::timestamp(row, 3)?,
        initiator: row.get(4)?,
        owner: row.get::<_, Option<String>>(12)?.map_or_else(|| row.get(4), Ok)?,
        content: rows::json(row, 5)?,
        attached: rows::attached(row, 11)?,
        checksum: rows::sum_kind(row, 6)?,
        handle: row.get(8)?,
        state,
    })
}

fn read_part(row: &Row<'_>) -> rows::Read<Part> {
    Ok(Part {
        number: row.get(0)?,
        attempt: rows::version(row, 1)?,
        stamp: rows::stamp(row, 2)?,
        size: rows::unsigned(row, 3)?,
        modified: rows::timestamp(row, 4)?,
        etag: row.get(5)?,
        checksum: rows::sum(row, 6)?,
        crc64nvme: rows::crc(row.get(9)?),
    })
}

/// Begins an upload.
fn create(connection: &Connection, upload: &Upload) -> Result<()> {
    buckets::must_be(connection, upload.bucket)?;
    let (state, result, ended) = state_columns(&upload.state)?;
    let (algorithm, kind) = rows::kind_columns(upload.checksum);
    connection.prepare_cached(sql::INSERT_UPLOAD)?.execute(params![
        rows::bytes(upload.id),
        upload.bucket.0,
        upload.key.as_str(),
        upload.created.0,
        upload.initiator,
        rows::to_json(&upload.content)?,
        algorithm,
        kind,
        upload.handle,
        state,
        result,
        ended,
        rows::attached_column(&upload.attached)?,
        upload.owner,
    ])?;
    Ok(())
}

/// One upload.
fn get(connection: &Connection, id: UploadId) -> Result<Option<Upload>> {
    let mut statement = connection.prepare_cached(sql::UPLOAD)?;
    Ok(statement.query_row([rows::bytes(id)], read).optional()?)
}

/// Open and completing uploads by key, age and id.
///
/// A marker is a position in that order. An upload that was named as a marker and is forgotten by now stands before the
/// others of its key: a page may repeat some of them, but it leaves none out.
fn list(
    connection: &Connection,
    bucket: BucketId,
    prefix: &str,
    after: Option<(&str, Option<UploadId>)>,
    limit: usize,
) -> Result<Vec<Upload>> {
    // The empty blob is before every id, and 17 bytes of 0xFF are behind every id.
    let (key, created, id) = match after.filter(|(key, _)| *key >= prefix) {
        None => (prefix, i64::MIN, Vec::new()),
        Some((key, None)) => (key, i64::MAX, vec![0xFF; 17]),
        Some((key, Some(id))) => {
            let mut statement = connection.prepare_cached(sql::UPLOAD_CREATED)?;
            let created = statement.query_row(params![rows::bytes(id), bucket.0, key], |row| row.get(0)).optional()?;
            created.map_or_else(|| (key, i64::MIN, Vec::new()), |created| (key, created, rows::bytes(id).to_vec()))
        }
    };
    let mut statement = connection.prepare_cached(sql::UPLOADS)?;
    let columns = params![bucket.0, key, created, id, span::until(prefix), span::rows(limit)];
    let found = statement.query_map(columns, read)?;
    Ok(found.collect::<rows::Read<_>>()?)
}

/// Compare-and-swap on the state.
fn set_state(connection: &Connection, id: UploadId, from: &UploadState, to: &UploadState) -> Result<Option<Task>> {
    let upload = get(connection, id)?.ok_or(Error::NotFound)?;
    if upload.state != *from {
        return Err(Error::Conflict);
    }
    let (state, result, ended) = state_columns(to)?;
    connection.prepare_cached(sql::SET_UPLOAD_STATE)?.execute(params![rows::bytes(id), state, result, ended])?;
    if *to != UploadState::Aborted {
        return Ok(None);
    }
    let attempts = attempts(connection, id)?;
    delete_parts(connection, id)?;
    let step = Step::FreeUpload { handle: upload.handle, attempts };
    let task = NewTask { bucket: upload.bucket, key: upload.key, version: VersionId::fresh(), step, bytes: None };
    outbox::add(connection, task).map(Some)
}

/// Says how long an open upload becomes.
fn set_length(connection: &Connection, id: UploadId, length: u64) -> Result<()> {
    let attached = rows::attached_column(&with_length(get(connection, id)?, length)?)?;
    connection.prepare_cached(sql::SET_UPLOAD_ATTACHED)?.execute(params![rows::bytes(id), attached])?;
    Ok(())
}

/// Ends a completing upload together with the commit that makes the object. Its caller frees the attempts by a step.
pub(super) fn end(connection: &Connection, end: &UploadEnd) -> Result<()> {
    let (state, result, ended) = state_columns(&end.state)?;
    let mut statement = connection.prepare_cached(sql::END_UPLOAD)?;
    if statement.execute(params![rows::bytes(end.id), state, result, ended])? == 0 {
        return Err(Error::Conflict);
    }
    delete_parts(connection, end.id)
}

/// Returns completing uploads to open, if asked to, and forgets those that ended before `before`.
fn tidy(connection: &Connection, reopen: bool, before: Timestamp) -> Result<()> {
    if reopen {
        connection.prepare_cached(sql::REOPEN_UPLOADS)?.execute([])?;
    }
    connection.prepare_cached(sql::FORGET_PARTS)?.execute([before.0])?;
    connection.prepare_cached(sql::FORGET_UPLOADS)?.execute([before.0])?;
    Ok(())
}

fn attempts(connection: &Connection, id: UploadId) -> Result<Vec<VersionId>> {
    let mut statement = connection.prepare_cached(sql::ATTEMPTS)?;
    let found = statement.query_map([rows::bytes(id)], |row| rows::version(row, 0))?;
    Ok(found.collect::<rows::Read<_>>()?)
}

fn delete_parts(connection: &Connection, id: UploadId) -> Result<()> {
    connection.prepare_cached(sql::DELETE_PARTS)?.execute([rows::bytes(id)])?;
    Ok(())
}

/// Names an attempt of a part. The attempt it replaces is dropped; the same attempt named again replaces nothing.
fn add_part(connection: &Connection, id: UploadId, part: &Part) -> Result<PartAdded> {
    let upload = get(connection, id)?.ok_or(Error::NotFound)?;
    if upload.state != UploadState::Open {
        return Err(Error::Conflict);
    }
    outbox::must_not_be_owed(connection, upload.bucket, part.attempt)?;
    let displaced = connection
        .prepare_cached(sql::ATTEMPT)?
        .query_row(params![rows::bytes(id), part.number], |row| Ok((rows::version(row, 0)?, rows::stamp(row, 1)?)))
        .optional()?
        .filter(|(attempt, _)| *attempt != part.attempt);
    let (algorithm, kind) = rows::sum_columns(part.checksum.as_ref());
    connection.prepare_cached(sql::PUT_PART)?.execute(params![
        rows::bytes(id),
        part.number,
        rows::bytes(part.attempt),
        part.stamp.as_str(),
        rows::signed(part.size)?,
        part.modified.0,
        part.etag,
        algorithm,
        kind,
        part.checksum.as_ref().map(|sum| &sum.value),
        rows::crc_column(part.crc64nvme),
    ])?;
    let Some((version, stamp)) = displaced else { return Ok(PartAdded { displaced: None }) };
    let step = Step::Drop { stamp: Some(stamp) };
    let task = NewTask { bucket: upload.bucket, key: upload.key, version, step, bytes: None };
    Ok(PartAdded { displaced: Some(outbox::add(connection, task)?) })
}

/// Parts by number.
fn parts(connection: &Connection, id: UploadId, after: u32, limit: usize) -> Result<Vec<Part>> {
    let mut statement = connection.prepare_cached(sql::PARTS)?;
    let found = statement.query_map(params![rows::bytes(id), after, span::rows(limit)], read_part)?;
    Ok(found.collect::<rows::Read<_>>()?)
}
