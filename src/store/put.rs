//! PUT: authorize, refuse early, stage, commit, lay out.

use std::sync::Arc;

use crate::config::limits::PUT_BYTES_MAX;
use crate::model::action::Action;
use crate::model::caller::{Caller, Who};
use crate::model::condition::Conditions;
use crate::model::id::VersionId;
use crate::model::name::ObjectKey;
use crate::model::object::{Attached, Content, Object};
use crate::model::place::{Placed, Stamp};
use crate::model::time::Timestamp;
use crate::store::Store;
use crate::store::bound::Bound;
use crate::store::error::Result;
use crate::store::ingest::{Digest, receive};
use crate::store::request::PutRequest;
use crate::store::seal::SealedStage;
use crate::store::write::{Write, check_write};

impl Store {
    /// Writes an object. Answers after the commit, with the facts of the new version.
    ///
    /// # Errors
    /// Refusals; nothing is visible and nothing is left then. On cancellation before the body ended: the same; after it:
    /// the write goes on and is decided without an answer.
    pub async fn put(&self, caller: &Caller, request: PutRequest) -> Result<Object> {
        let bound = self.enter_object(caller, &request.bucket, &request.key, Action::PutObject).await?;
        bound.writable()?;
        self.refuse_early(&bound, &request.key, &request.conditions).await?;
        let sealed = self.sealing_for(&bound, &request.key, &request.given.encryption)?;
        let version = VersionId::fresh();
        let stage = self.stage(&bound, version).await?;
        let mut stage = SealedStage::over(stage, sealed.as_ref().map(|sealed| &sealed.key), 0);
        let digest = receive(request.body, &mut stage, PUT_BYTES_MAX).await?;
        let mut draft = draft(&bound, caller, &request.key, version, request.content, &digest);
        let (stage, whole) = stage.finish(digest.whole).await?;
        if let Some(sealed) = sealed {
            sealed.note(&mut draft);
        }
        self.write(Write { bound, stage, draft, whole, conditions: request.conditions, upload: None }).await
    }

    /// A condition that fails now is told before the body is read; the commit checks it again.
    async fn refuse_early(&self, bound: &Arc<Bound>, key: &ObjectKey, conditions: &Conditions) -> Result<()> {
        if conditions.is_empty() {
            return Ok(());
        }
        check_write(conditions, self.really_there(bound, key).await?.as_ref())
    }
}

/// An object of bytes that were taken in whole.
pub(super) fn draft(
    bound: &Bound,
    caller: &Caller,
    key: &ObjectKey,
    version: VersionId,
    content: Content,
    digest: &Digest,
) -> Object {
    Object {
        key: key.clone(),
        version,
        counter: 0,
        placed: Placed::Managed,
        stamp: Stamp::new(""),
        size: digest.size,
        modified: Timestamp::default(),
        etag: digest.etag(),
        checksum: Some(digest.checksum.clone()),
        crc64nvme: Some(digest.crc64nvme),
        content,
        parts: Vec::new(),
        owner: owner_of_write(bound, caller),
        null: true,
        marker: false,
        revision: 0,
        attached: Attached::default(),
    }
}

/// Who writes owns, except that what nobody in particular writes belongs to the bucket's owner.
pub(super) fn owner_of_write(bound: &Bound, caller: &Caller) -> String {
    match caller.who {
        Who::Anonymous => bound.bucket.owner.clone(),
        Who::Root | Who::User(_) => caller.id().to_owned(),
    }
}
