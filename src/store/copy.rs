//! Copies: within a provider by its own means where the facts of the source still hold, else streamed and hashed.
//!
//! **Invariant:** the bytes copied are those of the source's stamp, checked before and after; never a hard link. Both
//! decisions, read of the source and write of the destination, are taken before either provider is asked.

use std::sync::Arc;

use crate::catalog::{Intent, Scope};
use crate::config::limits::PUT_BYTES_MAX;
use crate::model::action::Action;
use crate::model::caller::Caller;
use crate::model::checksum::ChecksumKind;
use crate::model::encryption::EncryptionRequest;
use crate::model::id::VersionId;
use crate::model::object::{Attached, Object};
use crate::provider::Stage;
use crate::store::attached::Accepted;
use crate::store::bound::Bound;
use crate::store::error::{Error, Result};
use crate::store::events::{Cause, How};
use crate::store::get::{Named, Opened, blocks};
use crate::store::ingest::pour;
use crate::store::items::given_to_copy;
use crate::store::put::{draft, takes};
use crate::store::relocate::{Leaving, Moved, inherit};
use crate::store::request::{Copied, CopyContent, CopyRequest};
use crate::store::seal::SealedStage;
use crate::store::write::{Along, By, Write, check_write, current_of};
use crate::store::{SERVICE, Store};

impl Store {
    /// Copies an object.
    ///
    /// # Errors
    /// Refusals; nothing is visible then. A failed condition on the source is always `PreconditionFailed`.
    pub async fn copy(&self, caller: &Caller, request: CopyRequest) -> Result<Copied> {
        self.transfer(caller, request, None).await
    }

    /// Copies; with `moved`, the source ends by the commit of the copy, which has its name for the rest.
    pub(super) async fn transfer(&self, caller: &Caller, request: CopyRequest, moved: Option<Moved>) -> Result<Copied> {
        let named = Named::new(&request.from_key, request.from_version, Action::GetObject);
        let source = self.enter_to_read(caller, &request.from_bucket, named.key, named.version, named.action).await?;
        let bound = self.enter_object(caller, &request.bucket, &request.key, Action::PutObject).await?;
        bound.writable()?;
        self.may_give(caller, &bound, &request.key, &request.given).await?;
        let onto_itself = request.from_bucket == request.bucket && request.from_key == request.key;
        // A copy of a version onto its own key makes it the current one again.
        let changes = request.from_version.is_some() || request.given.encryption != EncryptionRequest::Default;
        if onto_itself && !changes && matches!(request.content, CopyContent::Keep) {
            return Err(Error::InvalidRequest(
                "This copy request is illegal because it is trying to copy an object to itself without changing the \
                 object's metadata, storage class, website redirect location or encryption attributes.",
            ));
        }
        let scope = self.ask_to_copy(caller, &source, &bound, &request).await?;
        if !request.conditions.is_empty() {
            check_write(&request.conditions, self.really_there(&bound, &request.key).await?.as_ref())?;
        }
        let opened = self.open_source(caller, &source, named, &request).await?;
        if opened.object.size > PUT_BYTES_MAX {
            return Err(Error::InvalidRequest("The source of a copy may have at most 5 GiB."));
        }
        let size = Some(opened.object.size);
        takes(&bound, &request.key, &request.content.over(&opened.object.content), size)?;
        // What moves within a bucket takes no room; the commit counts.
        if moved != Some(Moved::AtOnce) || source.bucket.id != bound.bucket.id {
            self.refuse_beyond_quota(&bound, &request.key, size).await?;
        }
        let given = given_to_copy(&bound, &opened.object, &request.given);
        let Accepted { owner, own, mut attached } = self.accept(&bound, &request.key, caller, &given).await?;
        if request.keep_tags {
            attached.tags = self.carried_tags(caller, (&source, &opened.object), &bound, &request).await?;
        }
        if let Some(moved) = moved {
            inherit(moved, &opened.object, &owner, &mut attached);
        }
        let leaves = moved
            .filter(|moved| *moved == Moved::AtOnce)
            .map(|_| Leaving { bound: source.clone(), row: opened.object.clone() });
        let sealed = self.sealing_for(&bound, &request.key, &request.given.encryption)?;
        let (version, from) = (VersionId::fresh(), opened.object.shown());
        let stage = self.stage(&bound, version).await?;
        let mut stage = SealedStage::over(stage, sealed.as_ref().map(|sealed| &sealed.key), 0);
        let mut draft =
            self.copy_bytes(&source, opened, &bound, &mut stage, &request, (owner, attached), (version, moved)).await?;
        let (stage, _) = stage.finish(None).await?;
        if let Some(sealed) = sealed {
            sealed.note(&mut draft);
        }
        self.say_before_move(&source, &bound, &request).await?;
        let conditions = request.conditions;
        let by = By { caller: caller.clone(), cause: Cause::new(caller, How::Copy), scope, own };
        let to = bound.clone();
        let along = Along { leaves, ..Along::default() };
        let write = Write { bound, stage, draft, whole: None, conditions, along, by };
        match self.write(write).await {
            Ok(object) => Ok(Copied { object, source: from }),
            Err(error) => {
                self.forget_gone(&to, &request.key).await;
                Err(error)
            }
        }
    }

    /// Asks for a role whether it sees the source and may write the copy, and says as whom that is decided.
    async fn ask_to_copy(
        &self,
        caller: &Caller,
        source: &Bound,
        bound: &Bound,
        request: &CopyRequest,
    ) -> Result<Scope> {
        let scope = self.scope_to_write(caller, &request.conditions);
        if scope == SERVICE {
            return Ok(scope);
        }
        let (id, key) = (source.bucket.id, &request.from_key);
        let action = Named::new(key, request.from_version, Action::GetObject).action;
        let reading = self.scope_to_read(caller, source, action);
        let found = match request.from_version {
            None => self.catalog().object(&reading, id, key).await?.ok_or(Error::NoSuchKey)?,
            Some(version) => self.catalog().version(&reading, id, key, version).await?.ok_or(Error::NoSuchVersion)?,
        };
        let content = request.content.over(&found.content);
        self.ask(&scope, bound, &request.key, &Intent::write(&content, Some(found.size))).await?;
        Ok(scope)
    }

    /// Opens the source of a copy under its conditions.
    async fn open_source(
        &self,
        caller: &Caller,
        source: &Arc<Bound>,
        from: Named<'_>,
        request: &CopyRequest,
    ) -> Result<Opened> {
        let conditions = &request.source_conditions;
        self.open(caller, source, from.with(request.source_key.as_ref()), |object| {
            if conditions.copy_source(current_of(object)) { Ok(0..object.size) } else { Err(Error::PreconditionFailed) }
        })
        .await
    }

    #[expect(clippy::too_many_arguments, reason = "both sides of a copy and who asks")]
    async fn copy_bytes(
        &self,
        source: &Arc<Bound>,
        opened: Opened,
        bound: &Arc<Bound>,
        stage: &mut SealedStage,
        request: &CopyRequest,
        (owner, attached): (String, Attached),
        (version, moved): (VersionId, Option<Moved>),
    ) -> Result<Object> {
        let Opened { object, place, body } = opened;
        let content = request.content.over(&object.content).into_owned();
        let plain = !stage.seals() && object.attached.sealing.is_none();
        if plain && Arc::ptr_eq(&source.provider, &bound.provider) && facts_hold(&object, request, moved) {
            let range = 0..object.size;
            match stage.append(source.place(), &place, &object.stamp, range).await {
                Ok(()) => {}
                Err(error) if crate::store::bound::is_absent(&error) => {
                    return Err(Error::Unavailable("the source changed while it was copied".into()));
                }
                Err(error) => return Err(error.into()),
            }
            let mut copy = object;
            copy.version = version;
            copy.key = request.key.clone();
            (copy.owner, copy.attached) = (owner, attached);
            copy.content = content;
            copy.revision = 0;
            return Ok(copy);
        }
        let algorithm = request.algorithm.or(object.checksum.as_ref().map(|c| c.algorithm));
        let digest = pour(blocks(body), stage, PUT_BYTES_MAX, algorithm).await?;
        if digest.size != object.size {
            return Err(Error::Unavailable("the source changed while it was copied".into()));
        }
        Ok(draft(&request.key, version, content, &digest, (owner, attached)))
    }
}

/// Whether ETag and checksums of the source are also those of a plain copy of its bytes: not if it was uploaded in
/// parts, or its ETag is provisional, or another algorithm is asked for. What is moved stays what it was, parts and all.
fn facts_hold(source: &Object, request: &CopyRequest, moved: Option<Moved>) -> bool {
    if moved.is_some() && !source.parts.is_empty() {
        return true;
    }
    let plain_etag = source.parts.is_empty() && source.etag.len() == 32 && !source.etag.contains('-');
    let checksum = source.checksum.as_ref().is_some_and(|c| {
        c.kind == ChecksumKind::FullObject && request.algorithm.is_none_or(|asked| asked == c.algorithm)
    });
    plain_etag && checksum && source.crc64nvme.is_some()
}
