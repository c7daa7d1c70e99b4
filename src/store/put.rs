//! PUT: authorize, refuse early, stage, commit, lay out.
//!
//! **Invariant:** no body is read before it was decided that its caller may write, but for a short one of a role, of
//! which the commit asks. What the bucket takes is held against the type and the size that came, and not only against
//! those that were declared.

use std::sync::Arc;

use crate::catalog::Intent;
use crate::config::limits::{OBJECT_BYTES_MAX, PUT_BYTES_MAX};
use crate::model::action::Action;
use crate::model::caller::{Caller, ROOT};
use crate::model::condition::Conditions;
use crate::model::id::VersionId;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::{Attached, Content, Object};
use crate::model::place::{Placed, Stamp};
use crate::model::time::Timestamp;
use crate::store::attached::Accepted;
use crate::store::bound::Bound;
use crate::store::error::{Error, Result};
use crate::store::events::{Cause, How};
use crate::store::ingest::{Digest, receive};
use crate::store::request::{Behind, PutRequest};
use crate::store::seal::SealedStage;
use crate::store::write::{Along, By, Write, check_write};
use crate::store::{SERVICE, Store};

/// The type of what is of none.
const UNTYPED: &str = "application/octet-stream";

impl Store {
    /// Writes an object. Answers after the commit, with the facts of the new version.
    ///
    /// # Errors
    /// Refusals; nothing is visible and nothing is left then. On cancellation before the body ended: the same; after it:
    /// the write goes on and is decided without an answer.
    pub async fn put(&self, caller: &Caller, request: PutRequest) -> Result<Object> {
        self.put_with(caller, request, None).await
    }

    /// Whether an object could be written now: the decision, the conditions, and what the bucket takes.
    ///
    /// # Errors
    /// Those that the write would have.
    pub async fn try_put(
        &self,
        caller: &Caller,
        (bucket, key): (&BucketName, &ObjectKey),
        conditions: &Conditions,
        content: Option<&Content>,
        length: Option<u64>,
    ) -> Result<()> {
        let bound = self.enter_object(caller, bucket, key, Action::PutObject).await?;
        bound.writable()?;
        let usual = Content::default();
        let intent = Intent::write(content.unwrap_or(&usual), length);
        self.ask(&self.scope_to_write(caller, conditions), &bound, key, &intent).await?;
        if let Some(content) = content {
            takes(&bound, key, content, length)?;
        }
        self.refuse_early(&bound, key, conditions).await
    }

    /// Writes an object of which something is said behind its bytes.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub async fn put_with(&self, caller: &Caller, request: PutRequest, behind: Option<Behind>) -> Result<Object> {
        let bound = self.enter_object(caller, &request.bucket, &request.key, Action::PutObject).await?;
        self.put_into(bound, caller, request, behind).await
    }

    /// Writes an object to a bucket about which it was decided that the caller may.
    pub(super) async fn put_into(
        &self,
        bound: Arc<Bound>,
        caller: &Caller,
        request: PutRequest,
        behind: Option<Behind>,
    ) -> Result<Object> {
        bound.writable()?;
        self.may_give(caller, &bound, &request.key, &request.given).await?;
        let scope = self.scope_to_write(caller, &request.conditions);
        // The commit of a short body asks at once.
        if !self.0.inline.is_short(request.body.length) {
            let intent = Intent::write(&request.content, request.body.expected());
            self.ask(&scope, &bound, &request.key, &intent).await?;
            self.refuse_early(&bound, &request.key, &request.conditions).await?;
        } else if scope == SERVICE && !self.catalog().is_shared() {
            // Of a catalog that is across a network a question costs more than the short body that it may spare.
            self.refuse_early(&bound, &request.key, &request.conditions).await?;
        }
        // What follows may still name another type.
        let bytes_max = match &behind {
            None => takes(&bound, &request.key, &request.content, request.body.length)?,
            Some(_) => bound.bucket.config.intake.bytes_max(request.key.as_str(), PUT_BYTES_MAX),
        };
        self.refuse_beyond_quota(&bound, &request.key, request.body.length).await?;
        let Accepted { owner, own, attached } = self.accept(&bound, &request.key, caller, &request.given).await?;
        let sealed = self.sealing_for(&bound, &request.key, &request.given.encryption)?;
        let version = VersionId::fresh();
        let stage = self.stage(&bound, version).await?;
        let mut stage = SealedStage::over(stage, sealed.as_ref().map(|sealed| &sealed.key), 0);
        let digest = receive(request.body, &mut stage, bytes_max).await?;
        let content = match behind {
            None => request.content,
            Some(behind) => behind(request.content)?,
        };
        takes(&bound, &request.key, &content, Some(digest.size))?;
        let mut draft = draft(&request.key, version, content, &digest, (owner, attached));
        let (stage, whole) = stage.finish(digest.whole).await?;
        if let Some(sealed) = sealed {
            sealed.note(&mut draft);
        }
        let cause = Cause::new(caller, if request.given.posted { How::Post } else { How::Put });
        let by = By { caller: caller.clone(), cause, scope, own };
        let conditions = request.conditions;
        self.write(Write { bound, stage, draft, whole, conditions, along: Along::default(), by }).await
    }

    /// A condition that fails now is told before the body is read; the commit checks it again.
    async fn refuse_early(&self, bound: &Arc<Bound>, key: &ObjectKey, conditions: &Conditions) -> Result<()> {
        if conditions.is_empty() {
            return Ok(());
        }
        check_write(conditions, self.really_there(bound, key).await?.as_ref())
    }
}

/// Refuses what the bucket does not take, and says how many bytes it does.
pub(super) fn takes(bound: &Bound, key: &ObjectKey, content: &Content, bytes: Option<u64>) -> Result<u64> {
    let intake = &bound.bucket.config.intake;
    let kind = content.content_type.as_deref().unwrap_or(UNTYPED);
    if !intake.takes_type(key.as_str(), kind) {
        return Err(Error::TypeRefused(kind.to_owned()));
    }
    let bytes_max = intake.bytes_max(key.as_str(), OBJECT_BYTES_MAX);
    if bytes.is_some_and(|bytes| bytes > bytes_max) {
        return Err(Error::TooLarge { bytes_max });
    }
    Ok(bytes_max.min(PUT_BYTES_MAX))
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

impl Store {
    /// Who writes owns, except that what nobody in particular writes belongs to the bucket's owner; where policies may speak
    /// of owners, to nobody that they could mean.
    pub(super) fn owner_of_write<'a>(&self, bound: &'a Bound, caller: &'a Caller) -> &'a str {
        let nobody = if self.is_judged(caller) { ROOT } else { &bound.bucket.owner };
        caller.owner().unwrap_or(nobody)
    }
}
