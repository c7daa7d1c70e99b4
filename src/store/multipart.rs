//! Multipart uploads up to their end: begin, parts, lists, abort. Completion is in `complete`.
//!
//! **Invariant:** each attempt of a part is a body of its own, durable before its row names it, and the attempt that is
//! named last counts. An upload is open to its initiator, the bucket's owner, administrators and root; to everybody else
//! it does not exist.

use std::sync::Arc;

use crate::catalog::{self, Intent};
use crate::config::limits::{LIST_KEYS_MAX, PART_NUMBER_MAX, PUT_BYTES_MAX};
use crate::model::action::Action;
use crate::model::caller::{Caller, Who};
use crate::model::checksum::Algorithm;
use crate::model::encryption::{CustomerKey, stored_stream};
use crate::model::id::{UploadId, VersionId};
use crate::model::name::BucketName;
use crate::model::object::Attached;
use crate::model::page::PageQuery;
use crate::model::time::Clock;
use crate::model::upload::{Part, Upload, UploadState};
use crate::provider::{Seal, Stage};
use crate::store::attached::Accepted;
use crate::store::bound::{Bound, is_absent};
use crate::store::error::{Error, Result};
use crate::store::get::{Named, blocks};
use crate::store::ingest::{Digest, pour, receive};
use crate::store::put::takes;
use crate::store::request::{
    CreateUpload, Incoming, PartCopied, PartCopy, PartPage, PartStored, UploadPage, UploadQuery, UploadRef,
};
use crate::store::seal::{DataKey, SealedStage, shows_md5};
use crate::store::{SERVICE, Store};

impl Store {
    /// Begins an upload.
    ///
    /// # Errors
    /// Refusals.
    pub async fn create_upload(&self, caller: &Caller, request: CreateUpload) -> Result<Upload> {
        let bound = self.enter_object(caller, &request.bucket, &request.key, Action::PutObject).await?;
        bound.writable()?;
        self.may_give(caller, &bound, &request.key, &request.given).await?;
        let scope = self.scope_to_write(caller, &request.conditions);
        self.ask(&scope, &bound, &request.key, &Intent::write(&request.content, request.length)).await?;
        takes(&bound, &request.key, &request.content, None)?;
        self.refuse_more_uploads(&bound).await?;
        let sealed = self.sealing_for(&bound, &request.key, &request.given.encryption)?;
        let Accepted { owner, attached, .. } = self.accept(&bound, &request.key, caller, &request.given).await?;
        let handle = match bound.provider.begin_upload(bound.place(), VersionId::fresh()).await {
            Err(error) if is_absent(&error) => return Err(self.lost_container(&bound).await),
            handle => handle?,
        };
        let upload = Upload {
            id: UploadId::fresh(),
            bucket: bound.bucket.id,
            key: request.key,
            created: Clock::now(),
            initiator: caller.initiator(),
            owner,
            content: request.content,
            attached: Attached { sealing: sealed.map(|sealed| sealed.sealing), ends: request.given.ends, ..attached },
            checksum: request.checksum,
            handle,
            state: UploadState::Open,
        };
        match self.catalog().create_upload(&SERVICE, upload.clone()).await {
            Ok(()) => Ok(upload),
            Err(catalog::Error::NotFound) => Err(Error::NoSuchBucket),
            Err(error) => Err(error.into()),
        }
    }

    /// An upload, for a caller who may write parts to it.
    ///
    /// # Errors
    /// [`Error::NoSuchUpload`] also for an upload that is somebody else's.
    pub async fn upload(&self, caller: &Caller, upload: &UploadRef) -> Result<Upload> {
        Ok(self.enter_upload(caller, upload, Action::PutObject).await?.1)
    }

    /// Decides, and finds the upload in whatever state it is.
    pub(super) async fn enter_upload(
        &self,
        caller: &Caller,
        upload: &UploadRef,
        action: Action,
    ) -> Result<(Arc<Bound>, Upload)> {
        let bound = self.enter_object(caller, &upload.bucket, &upload.key, action).await?;
        let row = self.catalog().upload(&SERVICE, upload.id).await?.ok_or(Error::NoSuchUpload)?;
        let same = row.bucket == bound.bucket.id && row.key == upload.key;
        if same && may_go_on(caller, &bound, &row) { Ok((bound, row)) } else { Err(Error::NoSuchUpload) }
    }

    /// Takes in one attempt of a part.
    ///
    /// # Errors
    /// Refusals; the parts stored before stay as they are.
    pub async fn upload_part(
        &self,
        caller: &Caller,
        upload: &UploadRef,
        number: u32,
        customer: Option<&CustomerKey>,
        body: Incoming,
    ) -> Result<PartStored> {
        check_number(number)?;
        let (bound, row) = self.enter_open(caller, upload).await?;
        let key = self.data_key(&bound, &row.key, row.attached.sealing.as_ref(), customer)?;
        let algorithm = row.checksum.map(|(algorithm, _)| algorithm);
        let sent = body.checksum.as_ref().map(|c| c.algorithm).or(body.algorithm);
        if let (Some(announced), Some(sent)) = (algorithm, sent)
            && announced != sent
        {
            return Err(Error::InvalidRequest(
                "Checksum Type mismatch occurred: the upload announced another algorithm.",
            ));
        }
        let bytes_max = takes(&bound, &row.key, &row.content, None)?;
        let room = self.room_for_part(&bound, &row, number, body.length).await?;
        let body = Incoming { algorithm: sent.or(algorithm), ..body };
        let attempt = VersionId::fresh();
        let stage = self.stage_part(&bound, &row, number, attempt).await?;
        let mut stage = SealedStage::over(stage, key.as_ref(), number);
        let digest = receive(body, &mut stage, bytes_max.min(room)).await.map_err(|error| match error {
            Error::TooLarge { .. } if room < bytes_max => Error::QuotaExceeded,
            error => error,
        })?;
        self.add_part(bound, row, number, attempt, (stage, key), digest, sent.or(algorithm)).await
    }

    /// Takes a part from an object.
    ///
    /// # Errors
    /// Refusals. A range past the end of the source is [`Error::InvalidRange`].
    pub async fn copy_part(
        &self,
        caller: &Caller,
        upload: &UploadRef,
        number: u32,
        customer: Option<&CustomerKey>,
        from: PartCopy,
    ) -> Result<PartCopied> {
        check_number(number)?;
        let named = Named::new(&from.from_key, from.from_version, Action::GetObject);
        let source = self.enter_to_read(caller, &from.from_bucket, named.key, named.version, named.action).await?;
        let (bound, row) = self.enter_open(caller, upload).await?;
        let key = self.data_key(&bound, &row.key, row.attached.sealing.as_ref(), customer)?;
        let opened = self
            .open(caller, &source, named.with(from.source_key.as_ref()), |object| {
                let current = crate::store::write::current_of(object);
                if !from.source_conditions.copy_source(current) {
                    return Err(Error::PreconditionFailed);
                }
                match from.range {
                    None => Ok(0..object.size),
                    Some((first, last)) if first <= last && last < object.size => Ok(first..last + 1),
                    Some(_) => Err(Error::InvalidRange { size: object.size }),
                }
            })
            .await?;
        let bytes = from.range.map_or(opened.object.size, |(first, last)| last - first + 1);
        self.room_for_part(&bound, &row, number, Some(bytes)).await?;
        let algorithm = row.checksum.map(|(algorithm, _)| algorithm);
        let attempt = VersionId::fresh();
        let stage = self.stage_part(&bound, &row, number, attempt).await?;
        let mut stage = SealedStage::over(stage, key.as_ref(), number);
        let source = opened.object.shown();
        let digest = pour(blocks(opened.body), &mut stage, PUT_BYTES_MAX, algorithm).await?;
        let part = self.add_part(bound, row, number, attempt, (stage, key), digest, algorithm).await?;
        Ok(PartCopied { part, source })
    }

    async fn enter_open(&self, caller: &Caller, upload: &UploadRef) -> Result<(Arc<Bound>, Upload)> {
        let (bound, row) = self.enter_upload(caller, upload, Action::PutObject).await?;
        bound.writable()?;
        match row.state {
            UploadState::Open => Ok((bound, row)),
            UploadState::Completing if self.reopen_if_left(row.id).await.is_ok() => Ok((bound, row)),
            UploadState::Completing | UploadState::Aborted | UploadState::Done(_) => Err(Error::NoSuchUpload),
        }
    }

    async fn stage_part(&self, bound: &Bound, row: &Upload, number: u32, attempt: VersionId) -> Result<Box<dyn Stage>> {
        match bound.provider.stage_part(bound.place(), &row.handle, number, attempt).await {
            Err(error) if is_absent(&error) => Err(self.lost_container(bound).await),
            staged => Ok(staged?),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a part, its upload and its bytes")]
    async fn add_part(
        &self,
        bound: Arc<Bound>,
        row: Upload,
        number: u32,
        attempt: VersionId,
        (stage, key): (SealedStage, Option<DataKey>),
        digest: Digest,
        algorithm: Option<Algorithm>,
    ) -> Result<PartStored> {
        let store = self.clone();
        let section = tokio::spawn(async move {
            let modified = store.0.clock.unique();
            let (stage, _) = stage.finish(None).await?;
            let sealing = row.attached.sealing;
            let etag = match &key {
                Some(key) if !shows_md5(sealing.as_ref()) => key.etag(&digest.etag()),
                _ => digest.etag(),
            };
            let size = if sealing.is_some() { stored_stream(digest.size) } else { digest.size };
            let stamp = match stage.publish(Seal { modified, size, record: None, unsynced: false }).await {
                Err(error) if is_absent(&error) => return Err(store.lost_container(&bound).await),
                stamp => stamp?,
            };
            let part = Part {
                number,
                attempt,
                stamp: stamp.clone(),
                size: digest.size,
                modified,
                etag,
                checksum: algorithm.map(|_| digest.checksum.clone()),
                crc64nvme: digest.crc64nvme,
            };
            let stored = PartStored { etag: part.etag.clone(), checksum: part.checksum.clone(), modified, sealing };
            match store.catalog().add_part(&SERVICE, row.id, part).await {
                Ok(added) => {
                    store.free_later(&bound, added.displaced.into_iter().collect());
                    Ok(stored)
                }
                Err(error @ (catalog::Error::Conflict | catalog::Error::NotFound | catalog::Error::NoSpace)) => {
                    if let Err(error) = bound.provider.delete_managed(bound.place(), attempt, Some(&stamp)).await {
                        tracing::warn!(%attempt, %error, "a refused part is left for gc");
                    }
                    match error {
                        catalog::Error::NoSpace => Err(Error::NoSpace),
                        _ => Err(Error::NoSuchUpload),
                    }
                }
                Err(error) => Err(error.into()),
            }
        });
        section.await?
    }

    /// Gives an upload up and frees its parts.
    ///
    /// # Errors
    /// [`Error::NoSuchUpload`] also after it was completed or given up; [`Error::ConditionalConflict`] while it is being
    /// completed.
    pub async fn abort_upload(&self, caller: &Caller, upload: &UploadRef) -> Result<()> {
        self.abort_as(caller, upload, Action::AbortMultipartUpload).await
    }

    /// The same, for interfaces where who may write may also give up what it began.
    ///
    /// # Errors
    /// As [`Store::abort_upload`].
    pub async fn give_up_upload(&self, caller: &Caller, upload: &UploadRef) -> Result<()> {
        self.abort_as(caller, upload, Action::PutObject).await
    }

    /// An upload with all its parts, for a caller who may write parts to it.
    ///
    /// # Errors
    /// As [`Store::upload`].
    pub async fn upload_progress(&self, caller: &Caller, upload: &UploadRef) -> Result<(Upload, Vec<Part>)> {
        let (_, row) = self.enter_upload(caller, upload, Action::PutObject).await?;
        let limit = usize::try_from(PART_NUMBER_MAX).unwrap_or(usize::MAX);
        let parts = self.catalog().parts(&SERVICE, row.id, 0, limit).await?;
        Ok((row, parts))
    }

    /// Says how long an upload becomes that was begun without a length. It is kept with the upload, also when that is
    /// complete; the same again changes nothing.
    ///
    /// # Errors
    /// [`Error::ConditionalConflict`]: another length was said, or it is being completed. As [`Store::upload`].
    pub async fn set_upload_length(&self, caller: &Caller, upload: &UploadRef, length: u64) -> Result<()> {
        let (_, row) = self.enter_open(caller, upload).await?;
        match self.catalog().set_upload_length(&SERVICE, row.id, length).await {
            Ok(()) => Ok(()),
            Err(catalog::Error::Conflict) => Err(Error::ConditionalConflict),
            Err(catalog::Error::NotFound) => Err(Error::NoSuchUpload),
            Err(error) => Err(error.into()),
        }
    }

    async fn abort_as(&self, caller: &Caller, upload: &UploadRef, action: Action) -> Result<()> {
        let (bound, row) = self.enter_upload(caller, upload, action).await?;
        match row.state {
            UploadState::Open => {}
            UploadState::Completing => self.reopen_if_left(row.id).await?,
            UploadState::Done(_) | UploadState::Aborted => return Err(Error::NoSuchUpload),
        }
        let swap = self.catalog().set_upload_state(&SERVICE, row.id, &UploadState::Open, UploadState::Aborted).await;
        match swap {
            Ok(task) => {
                self.free_later(&bound, task.into_iter().collect());
                Ok(())
            }
            Err(catalog::Error::Conflict) => Err(Error::ConditionalConflict),
            Err(catalog::Error::NotFound) => Err(Error::NoSuchUpload),
            Err(error) => Err(error.into()),
        }
    }

    /// A page of the parts of an upload, by number, after number `after`.
    ///
    /// # Errors
    /// As [`Store::upload`].
    pub async fn list_parts(&self, caller: &Caller, upload: &UploadRef, after: u32, limit: usize) -> Result<PartPage> {
        let (_, row) = self.enter_upload(caller, upload, Action::ListMultipartUploadParts).await?;
        if !matches!(row.state, UploadState::Open | UploadState::Completing) {
            return Err(Error::NoSuchUpload);
        }
        let mut parts = self.catalog().parts(&SERVICE, row.id, after, limit + 1).await?;
        let more = parts.len() > limit;
        parts.truncate(limit);
        Ok(PartPage { upload: row, parts, more })
    }

    /// A page of the uploads in progress of a bucket.
    ///
    /// # Errors
    /// Refusals.
    pub async fn list_uploads(&self, caller: &Caller, bucket: &BucketName, query: UploadQuery) -> Result<UploadPage> {
        let bound = self.enter(caller, bucket, Action::ListBucketMultipartUploads).await?;
        self.see_bucket(caller, &bound).await?;
        let judged = self.is_judged(caller);
        let keys =
            PageQuery { prefix: query.prefix.clone(), delimiter: query.delimiter.clone(), after: None, limit: 0 };
        let mut page = UploadPage::default();
        let mut after = query.key_marker.clone().map(|key| (key, query.upload_marker));
        // Behind what is told, where others' uploads are passed over.
        let mut passed = after.clone();
        let mut last_prefix = query.key_marker.clone().filter(|key| keys.common_prefix(key) == Some(key.as_str()));
        if query.limit == 0 {
            return Ok(page);
        }
        loop {
            let from = passed.as_ref().map(|(key, id)| (key.as_str(), *id));
            let rows = self.catalog().uploads(&SERVICE, bound.bucket.id, &query.prefix, from, LIST_KEYS_MAX).await?;
            let ended = rows.len() < LIST_KEYS_MAX;
            for row in rows {
                let here = (row.key.as_str().to_owned(), Some(row.id));
                passed = Some(here.clone());
                if judged && !may_go_on(caller, &bound, &row) {
                    continue;
                }
                let prefix = keys.common_prefix(row.key.as_str()).map(str::to_owned);
                if prefix.is_some() && prefix == last_prefix {
                    after = Some(here);
                    continue;
                }
                if page.uploads.len() + page.prefixes.len() == query.limit {
                    page.next = after;
                    return Ok(page);
                }
                after = Some(here);
                match prefix {
                    Some(prefix) => {
                        page.prefixes.push(prefix.clone());
                        last_prefix = Some(prefix);
                    }
                    None => page.uploads.push(row),
                }
            }
            if ended {
                return Ok(page);
            }
        }
    }
}

fn check_number(number: u32) -> Result<()> {
    if (1..=PART_NUMBER_MAX).contains(&number) {
        return Ok(());
    }
    let message = "Part number must be an integer between 1 and 10000, inclusive";
    Err(Error::InvalidArgument { name: "partNumber", message })
}

/// Whether an upload exists for this caller.
fn may_go_on(caller: &Caller, bound: &Bound, upload: &Upload) -> bool {
    match &caller.who {
        Who::Root => true,
        Who::User(user) => user.name == upload.initiator || user.name == bound.bucket.owner || user.policy == "admin",
        Who::Token(token) => token.is_service() || caller.initiator() == upload.initiator,
        Who::Anonymous => caller.id() == upload.initiator,
    }
}
