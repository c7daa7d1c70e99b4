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
use crate::model::versioning::Versioning;
use crate::store::bound::Bound;
use crate::store::error::{Error, Result};
use crate::store::events::{Cause, How};
use crate::store::ingest::{Digest, receive};
use crate::store::request::PutRequest;
use crate::store::seal::SealedStage;
use crate::store::write::{Write, check_write};
use crate::store::{SERVICE, Store};

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
        self.refuse_beyond_quota(&bound, &request.key, request.body.length).await?;
        let (owner, attached) = self.accept(&bound, owner_of_write(&bound, caller), &request.given).await?;
        let sealed = self.sealing_for(&bound, &request.key, &request.given.encryption)?;
        let version = VersionId::fresh();
        let stage = self.stage(&bound, version).await?;
        let mut stage = SealedStage::over(stage, sealed.as_ref().map(|sealed| &sealed.key), 0);
        let digest = receive(request.body, &mut stage, PUT_BYTES_MAX).await?;
        let mut draft = draft(&request.key, version, request.content, &digest, (owner, attached));
        let (stage, whole) = stage.finish(digest.whole).await?;
        if let Some(sealed) = sealed {
            sealed.note(&mut draft);
        }
        let cause = Cause::new(caller, How::Put);
        self.write(Write { bound, stage, draft, whole, conditions: request.conditions, upload: None, cause }).await
    }

    /// A body that does not fit into the quota now is refused before it is read; the commit counts again.
    pub(super) async fn refuse_beyond_quota(&self, bound: &Bound, key: &ObjectKey, bytes: Option<u64>) -> Result<()> {
        if bound.bucket.config.quota.is_none() {
            return Ok(());
        }
        let room = self.catalog().room(&SERVICE, bound.bucket.id).await?.and_then(|room| room.bytes);
        let (Some(room), bytes) = (room, bytes.unwrap_or(0)) else { return Ok(()) };
        if bytes <= room {
            return Ok(());
        }
        // What the write replaces makes room for it.
        let replaced = match bound.bucket.config.versioning {
            Versioning::Enabled => None,
            Versioning::Never | Versioning::Suspended => {
                self.catalog().object(&SERVICE, bound.bucket.id, key).await?.filter(|row| row.null)
            }
        };
        let freed = replaced.map_or(0, |row| row.size);
        if bytes > room.saturating_add(freed) { Err(Error::QuotaExceeded) } else { Ok(()) }
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
    key: &ObjectKey,
    version: VersionId,
    content: Content,
    digest: &Digest,
    (owner, attached): (String, Attached),
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
        owner,
        null: true,
        marker: false,
        revision: 0,
        attached,
    }
}

/// Who writes owns, except that what nobody in particular writes belongs to the bucket's owner.
pub(super) fn owner_of_write<'a>(bound: &'a Bound, caller: &'a Caller) -> &'a str {
    match caller.who {
        Who::Anonymous => &bound.bucket.owner,
        Who::Root | Who::User(_) => caller.id(),
    }
}
