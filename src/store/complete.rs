//! CompleteMultipartUpload: check what is listed, assemble, then as any write.
//!
//! **Invariant:** one Complete at a time has the upload (`completing`, by compare-and-swap); whatever fails before the
//! commit returns it to `open`, and its parts stay. The result is kept, so a repeated Complete is answered alike; one that
//! comes while this process is at it waits.

use std::collections::BTreeMap;
use std::sync::Arc;

use dashmap::Entry;
use md5::{Digest as _, Md5};
use tokio::sync::{Notify, watch};

use crate::catalog::{self, Intent, Step};
use crate::config::limits::{COMPLETE_WAITS_MAX, OBJECT_BYTES_MAX, PART_BYTES_MIN, PART_NUMBER_MAX};
use crate::model::action::Action;
use crate::model::caller::Caller;
use crate::model::checksum::{Algorithm, Checksum, ChecksumKind};
use crate::model::encryption::stored_stream;
use crate::model::id::{UploadId, VersionId, hex};
use crate::model::object::{Attached, Object, PartFact};
use crate::model::place::{Placed, Stamp};
use crate::model::time::Timestamp;
use crate::model::upload::{Part, Upload, UploadState};
use crate::model::versioning::VersionRef;
use crate::provider::PartRef;
use crate::store::bound::{Bound, is_absent};
use crate::store::error::{Error, Result};
use crate::store::events::{Cause, How};
use crate::store::put::takes;
use crate::store::request::{CompleteRequest, Completed, ListedPart};
use crate::store::write::{Along, By, EndOfUpload, Write, check_write};
use crate::store::{SERVICE, Store};

impl Store {
    /// Makes an object of an upload. One that comes while this process makes it of the same parts waits for that to end.
    ///
    /// # Errors
    /// Refusals; the upload is open as before then. On cancellation: it goes on and is decided without an answer.
    pub async fn complete_upload(&self, caller: &Caller, request: CompleteRequest) -> Result<Completed> {
        self.complete_telling(caller, request, &Arc::default()).await
    }

    /// The same; `checked` is notified once what can be refused early was let pass, before bytes are copied or somebody
    /// else is waited for.
    ///
    /// # Errors
    /// As [`Store::complete_upload`].
    pub async fn complete_telling(
        &self,
        caller: &Caller,
        request: CompleteRequest,
        checked: &Arc<Notify>,
    ) -> Result<Completed> {
        self.complete_of(caller, request, PART_BYTES_MIN, checked).await
    }

    /// The same, of parts of any size.
    ///
    /// # Errors
    /// As [`Store::complete_upload`].
    pub async fn join_upload(&self, caller: &Caller, request: CompleteRequest) -> Result<Completed> {
        self.complete_of(caller, request, 1, &Arc::default()).await
    }

    /// `least`: bytes of a part that is not the last.
    async fn complete_of(
        &self,
        caller: &Caller,
        request: CompleteRequest,
        least: u64,
        checked: &Arc<Notify>,
    ) -> Result<Completed> {
        let listed = digest_of_list(&request.parts);
        let mut waits = 0;
        let (bound, row, here) = loop {
            let (bound, row) = self.enter_upload(caller, &request.upload, Action::PutObject).await?;
            bound.writable()?;
            // Nothing is decrypted, but who completes must have the key that the parts were encrypted with.
            self.data_key(&bound, &row.key, row.attached.sealing.as_ref(), request.customer_key.as_ref())?;
            if let Some(answer) = answer_of(&row, &listed) {
                return answer;
            }
            match Completing::enter(self, row.id, &listed, checked) {
                Ok(here) => break (bound, row, here),
                Err(running) if running.listed == listed && waits < COMPLETE_WAITS_MAX => {
                    drop((bound, row));
                    waits += 1;
                    checked.notify_one();
                    running.ended().await;
                }
                Err(_) => return Err(Error::ConditionalConflict),
            }
        };
        if row.state == UploadState::Completing {
            self.reopen(row.id).await?;
        }
        let scope = self.scope_to_write(caller, &request.conditions);
        if scope != SERVICE {
            let size = match request.size {
                None => Some(self.all_parts(&row).await?.values().map(|part| part.size).sum()),
                size => size,
            };
            self.ask(&scope, &bound, &row.key, &Intent::write(&row.content, size)).await?;
        }
        if !request.conditions.is_empty() {
            check_write(&request.conditions, self.really_there(&bound, &row.key).await?.as_ref())?;
        }
        let (caller, cause, own) = (caller.clone(), Cause::new(caller, How::Complete), Some(row.owner.clone()));
        let (store, by) = (self.clone(), By { caller, cause, scope, own });
        let section = tokio::spawn(async move { store.complete(bound, row, (request, least), by, here).await });
        section.await?
    }

    async fn complete(
        &self,
        bound: Arc<Bound>,
        row: Upload,
        request: (CompleteRequest, u64),
        by: By,
        here: Completing,
    ) -> Result<Completed> {
        let (open, completing) = (UploadState::Open, UploadState::Completing);
        match self.catalog().set_upload_state(&SERVICE, row.id, &open, completing.clone()).await {
            Ok(_) => {}
            // It ended since it was looked at, or another process is at it.
            Err(catalog::Error::Conflict) => {
                let row = self.catalog().upload(&SERVICE, row.id).await?.ok_or(Error::NoSuchUpload)?;
                return answer_of(&row, &here.listed).unwrap_or(Err(Error::ConditionalConflict));
            }
            Err(catalog::Error::NotFound) => return Err(Error::NoSuchUpload),
            Err(error) => return Err(error.into()),
        }
        let id = row.id;
        let result = self.assemble(bound, row, request, by, &here).await;
        if result.is_err()
            && let Err(error) = self.catalog().set_upload_state(&SERVICE, id, &completing, open).await
        {
            // Done after all, or to be reopened by whoever needs it next.
            tracing::debug!(upload = %id, %error, "the upload is not reopened");
        }
        result
    }

    /// Reopens an upload whose Complete failed and could not reopen it then. One that is under way is left alone.
    ///
    /// # Errors
    /// [`Error::ConditionalConflict`]: it is under way.
    pub(super) async fn reopen_if_left(&self, id: UploadId) -> Result<()> {
        let here = Completing::enter(self, id, "", &Arc::default());
        let Ok(_here) = here else { return Err(Error::ConditionalConflict) };
        self.reopen(id).await
    }

    /// The same for who has the upload.
    async fn reopen(&self, id: UploadId) -> Result<()> {
        let (open, completing) = (UploadState::Open, UploadState::Completing);
        match self.catalog().set_upload_state(&SERVICE, id, &completing, open).await {
            Ok(_) => Ok(()),
            // Another process is at it, or somebody else was faster: what it is now is seen by the swap that follows.
            Err(catalog::Error::Conflict) => match self.catalog().upload(&SERVICE, id).await? {
                Some(row) if row.state == UploadState::Completing => Err(Error::ConditionalConflict),
                _ => Ok(()),
            },
            Err(catalog::Error::NotFound) => Err(Error::NoSuchUpload),
            Err(error) => Err(error.into()),
        }
    }

    async fn assemble(
        &self,
        bound: Arc<Bound>,
        row: Upload,
        (request, least): (CompleteRequest, u64),
        by: By,
        here: &Completing,
    ) -> Result<Completed> {
        // Parts cannot change any more: the state keeps new attempts out.
        let stored = self.all_parts(&row).await?;
        let chosen = choose(&request.parts, &stored, least)?;
        let draft = draft(&row, &chosen, &request)?;
        takes(&bound, &draft.key, &draft.content, Some(draft.size))?;
        here.checked.notify_one();
        let parts: Vec<_> = chosen
            .iter()
            .map(|p| PartRef { attempt: p.attempt, stamp: p.stamp.clone(), size: stored_of(&row, p) })
            .collect();
        let stage = bound.provider.assemble(bound.place(), &row.handle, &parts, draft.version).await;
        let stage = stage.map_err(|error| {
            if is_absent(&error) { Error::Internal("a part is not as its row says".into()) } else { error.into() }
        })?;
        let attempts = stored.values().map(|part| part.attempt).collect();
        let free = Step::FreeUpload { handle: row.handle.clone(), attempts };
        let upload = Some(EndOfUpload { id: row.id, listed: here.listed.clone(), free });
        let along = Along { upload, ..Along::default() };
        let object =
            self.write(Write { bound, stage, draft, whole: None, conditions: request.conditions, along, by }).await?;
        let (version, sealing) = (object.shown(), object.attached.sealing);
        Ok(Completed { version, etag: object.etag, checksum: object.checksum, sealing })
    }

    /// The parts that are stored of an upload, by number.
    pub(super) async fn all_parts(&self, row: &Upload) -> Result<BTreeMap<u32, Part>> {
        let limit = usize::try_from(PART_NUMBER_MAX).unwrap_or(usize::MAX);
        let parts = self.catalog().parts(&SERVICE, row.id, 0, limit).await?;
        Ok(parts.into_iter().map(|part| (part.number, part)).collect())
    }
}

/// An upload that this process is completing, for as long as the value lives.
struct Completing {
    store: Store,
    id: UploadId,
    /// The digest of the list; empty if it is not completed but looked after.
    listed: String,
    checked: Arc<Notify>,
    /// Nothing is sent: those who wait see it go.
    _ends: watch::Sender<()>,
}

/// What others see of it.
#[derive(Debug, Clone)]
pub(super) struct Running {
    listed: String,
    end: watch::Receiver<()>,
}

impl Completing {
    /// `Err`: it is being completed already.
    fn enter(store: &Store, id: UploadId, listed: &str, checked: &Arc<Notify>) -> std::result::Result<Self, Running> {
        match store.0.completing.entry(id) {
            Entry::Occupied(running) => Err(running.get().clone()),
            Entry::Vacant(place) => {
                let (ends, end) = watch::channel(());
                place.insert(Running { listed: listed.to_owned(), end });
                let (store, listed, checked) = (store.clone(), listed.to_owned(), Arc::clone(checked));
                Ok(Self { store, id, listed, checked, _ends: ends })
            }
        }
    }
}

impl Drop for Completing {
    fn drop(&mut self) {
        self.store.0.completing.remove(&self.id);
    }
}

impl Running {
    /// Waits until it is over, however it ends.
    async fn ended(mut self) {
        let _ = self.end.changed().await;
    }
}

/// The answer to a Complete of an upload that has ended; `None`: it has not.
fn answer_of(row: &Upload, listed: &str) -> Option<Result<Completed>> {
    match &row.state {
        UploadState::Open | UploadState::Completing => None,
        UploadState::Done(result) if result.listed == listed => {
            let version = if result.null { VersionRef::Null } else { VersionRef::Id(result.version) };
            let (etag, checksum) = (result.etag.clone(), result.checksum.clone());
            Some(Ok(Completed { version, etag, checksum, sealing: row.attached.sealing.clone() }))
        }
        UploadState::Done(_) | UploadState::Aborted => Some(Err(Error::NoSuchUpload)),
    }
}

/// What a Complete lists, as one text to compare a repeat with.
fn digest_of_list(parts: &[ListedPart]) -> String {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(format!("{} {}\n", part.number, part.etag).as_bytes());
    }
    hex(&md5.finalize())
}

/// The stored parts that are listed, if the list is right. A number may be listed again: then what comes last counts.
/// A checksum that is not listed is not missed, also where S3 asks for those of a composite: many clients list none.
fn choose(listed: &[ListedPart], stored: &BTreeMap<u32, Part>, least: u64) -> Result<Vec<Part>> {
    if !listed.is_sorted_by_key(|part| part.number) {
        return Err(Error::InvalidPartOrder);
    }
    let mut chosen: Vec<Part> = Vec::with_capacity(listed.len());
    for (i, want) in listed.iter().enumerate() {
        if listed.get(i + 1).is_some_and(|next| next.number == want.number) {
            continue;
        }
        let invalid = Error::InvalidPart { number: want.number };
        let Some(part) = stored.get(&want.number) else { return Err(invalid) };
        let differs = matches!((&want.checksum, &part.checksum), (Some(want), Some(have)) if want != have);
        if part.etag != want.etag || differs {
            return Err(invalid);
        }
        chosen.push(part.clone());
    }
    let small = chosen.iter().rev().skip(1).find(|part| part.size < least);
    match small {
        Some(part) => Err(Error::PartTooSmall { number: part.number, size: part.size, etag: part.etag.clone() }),
        None => Ok(chosen),
    }
}

fn draft(row: &Upload, chosen: &[Part], request: &CompleteRequest) -> Result<Object> {
    let size = chosen.iter().try_fold(0u64, |sum, part| sum.checked_add(part.size));
    let size = size.filter(|size| *size <= OBJECT_BYTES_MAX).ok_or(Error::TooLarge { bytes_max: OBJECT_BYTES_MAX })?;
    if request.size.is_some_and(|declared| declared != size) {
        return Err(Error::InvalidRequest("The provided x-amz-mp-object-size does not match the size of the parts."));
    }
    let checksum = checksum_of(row, chosen)?;
    let kind = checksum.as_ref().map(|c| c.kind);
    if row.checksum.is_some() && request.kind.is_some_and(|asked| Some(asked) != kind) {
        return Err(Error::BadDigest);
    }
    if let (Some(declared), Some(have)) = (&request.checksum, &checksum)
        && declared.algorithm == have.algorithm
        && !is_meant(declared, have)
    {
        return Err(Error::BadDigest);
    }
    let shown = |part: &Part| part.checksum.clone().filter(|_| row.checksum.is_some());
    let mut attached = Attached { ends: None, length: None, ..row.attached.clone() };
    if let Some(sealing) = &mut attached.sealing {
        chosen.iter().for_each(|part| sealing.add_part(part.number, part.size));
    }
    let parts = chosen.iter().map(|p| PartFact { number: p.number, size: p.size, checksum: shown(p) }).collect();
    Ok(Object {
        key: row.key.clone(),
        version: VersionId::fresh(),
        counter: 0,
        placed: Placed::Managed,
        stamp: Stamp::new(""),
        size,
        modified: Timestamp::default(),
        etag: multipart_etag(chosen),
        crc64nvme: whole_crc(chosen),
        checksum,
        content: row.content.clone(),
        parts,
        owner: row.owner.clone(),
        null: true,
        marker: false,
        revision: 0,
        attached,
    })
}

/// Whether a client that declares a checksum means this one: it may leave out the count of parts behind a composite.
fn is_meant(declared: &Checksum, have: &Checksum) -> bool {
    let bare = have.value.rsplit_once('-').map(|(digest, _)| digest);
    declared.value == have.value || Some(declared.value.as_str()) == bare
}

/// Bytes of the file of a part.
fn stored_of(row: &Upload, part: &Part) -> u64 {
    if row.attached.sealing.is_some() { stored_stream(part.size) } else { part.size }
}

/// The checksum the finished object shows: of the kind announced, else CRC-64/NVME of the whole.
fn checksum_of(row: &Upload, chosen: &[Part]) -> Result<Option<Checksum>> {
    let malformed = || Error::Internal("the checksum of a stored part is malformed".into());
    let Some((algorithm, kind)) = row.checksum else {
        let crc = whole_crc(chosen).ok_or_else(malformed)?;
        return Ok(Some(Checksum::full(Algorithm::Crc64Nvme, &crc.to_be_bytes())));
    };
    let sums: Option<Vec<_>> = chosen.iter().map(|part| part.checksum.clone().map(|sum| (sum, part.size))).collect();
    let sums = sums.ok_or_else(malformed)?;
    let made = match kind {
        ChecksumKind::FullObject => Checksum::combine(algorithm, &sums),
        ChecksumKind::Composite => {
            let sums: Vec<_> = sums.into_iter().map(|(sum, _)| sum).collect();
            Checksum::compose(algorithm, &sums)
        }
    };
    made.map(Some).ok_or_else(malformed)
}

fn whole_crc(chosen: &[Part]) -> Option<u64> {
    let sums: Vec<_> = chosen
        .iter()
        .map(|part| (Checksum::full(Algorithm::Crc64Nvme, &part.crc64nvme.to_be_bytes()), part.size))
        .collect();
    let raw = Checksum::combine(Algorithm::Crc64Nvme, &sums)?.raw()?;
    Some(u64::from_be_bytes(raw.try_into().ok()?))
}

/// The MD5 of the parts' MD5s, with their number behind it.
fn multipart_etag(chosen: &[Part]) -> String {
    let mut md5 = Md5::new();
    for part in chosen {
        md5.update(crate::model::id::unhex::<16>(&part.etag).unwrap_or_default());
    }
    format!("{}-{}", hex(&md5.finalize()), chosen.len())
}
