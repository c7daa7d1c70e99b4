//! New items, and changes of those that are there.
//!
//! **Invariant:** an item is made if nothing of its path is there, and changed if it is: the commit of the write looks
//! again. What is written stays whose it is.

use std::sync::Arc;

use super::{Item, ItemError, ItemResult, within};
use crate::config::limits::COMMIT_TRIES_MAX;
use crate::model::caller::Caller;
use crate::model::condition::{Conditions, TagMatch};
use crate::model::item::ItemPath;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::{Content, Object};
use crate::model::service::Permission;
use crate::store::bound::Bound;
use crate::store::error::Error;
use crate::store::request::{Behind, CopyContent, CopyRequest, Frames, Given, Heritage, Incoming, PutRequest};
use crate::store::{SERVICE, Store};

/// The type of the objects that mark directories.
const DIRECTORY: &str = "application/x-directory";

/// What is to become of an item.
pub struct ItemChange {
    /// Changes what is said about the bytes.
    pub content: Box<dyn Fn(Content) -> Content + Send + Sync>,
    /// Whether that changes anything.
    pub says: bool,
    /// New bytes, and what stands behind them.
    pub body: Option<(Incoming, Option<Behind>)>,
}

impl std::fmt::Debug for ItemChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ItemChange").field("says", &self.says).field("body", &self.body.is_some()).finish()
    }
}

/// What is said of the mark of a directory.
fn content_of_mark() -> Content {
    Content { content_type: Some(DIRECTORY.to_owned()), ..Content::default() }
}

/// A body without bytes.
fn nothing() -> Incoming {
    let frames: Frames = Box::pin(futures_util::stream::empty());
    Incoming::new(frames, Some(0))
}

/// The conditions of a write that must not replace anything. `beside`: the other key of its path.
pub(super) fn only_new(beside: Option<&ObjectKey>) -> Conditions {
    Conditions { if_none_match: Some(TagMatch::Any), beside: beside.cloned(), ..Conditions::default() }
}

impl Store {
    /// The bucket, if an item can be made: its directory is there, the caller may, and nothing has its path.
    ///
    /// # Errors
    /// [`ItemError::Exists`], [`ItemError::NotDirectory`], [`ItemError::TooManyLevels`], [`Error::NoSuchKey`] without the
    /// directory, refusals.
    pub(super) async fn room_for(
        &self,
        caller: &Caller,
        bucket: &BucketName,
        path: &ItemPath,
    ) -> ItemResult<Arc<Bound>> {
        if path.is_root() {
            return Err(ItemError::Exists);
        }
        let (bound, directory) = match self.reach(caller, bucket, &path.parent(), Permission::NewItem).await {
            // A role that sees nothing of a directory may be let put something there all the same.
            Err(ItemError::Store(Error::NoSuchKey)) if self.is_judged(caller) => {
                (self.bound(bucket).await?, Item::Directory(None))
            }
            found => found?,
        };
        if matches!(directory, Item::File(_)) {
            return Err(ItemError::NotDirectory);
        }
        bound.writable()?;
        let most = bound.bucket.config.bound_service().and_then(|service| service.levels_max);
        if most.is_some_and(|most| path.levels() > most) {
            return Err(ItemError::TooManyLevels);
        }
        // A directory that is on its way there is as good as there.
        let coming = bound.bucket.config.service.iter().flat_map(|service| &service.moves);
        if coming.into_iter().any(|moving| moving.to == path.as_str()) {
            return Err(ItemError::Exists);
        }
        match self.find(&self.scope(caller), &bound, path).await? {
            Some(_) => Err(ItemError::Exists),
            None => Ok(bound),
        }
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// Those of a path that is taken or has no directory.
    pub async fn make_directory(&self, caller: &Caller, bucket: &BucketName, path: &ItemPath) -> ItemResult<()> {
        self.ask_for_item(caller, bucket, path.mark(), (&content_of_mark(), Some(0))).await?;
        let bound = self.room_for(caller, bucket, path).await?;
        self.mark_directory(&within(caller, Permission::NewItem), &bound, path, None).await
    }

    /// The conditions of an item that is to come: not beside another one of its path, except that a role is told nothing
    /// of what its policies hide.
    fn new_beside(&self, caller: &Caller, other: Option<&ObjectKey>) -> Conditions {
        only_new(other.filter(|_| !self.is_judged(caller)))
    }

    /// Marks a directory.
    pub(super) async fn mark_directory(
        &self,
        caller: &Caller,
        bound: &Bound,
        path: &ItemPath,
        heritage: Option<Heritage>,
    ) -> ItemResult<()> {
        let Some(key) = path.mark() else { return Ok(()) };
        let request = PutRequest {
            bucket: bound.bucket.name.clone(),
            key: key.clone(),
            content: content_of_mark(),
            given: Given { heritage, ..Given::default() },
            conditions: self.new_beside(caller, path.file()),
            body: nothing(),
        };
        self.put(caller, request).await.map(|_| ()).map_err(taken)
    }

    /// Marks the directory that an item was in, if it would be gone without it: for a role as what it may make itself.
    pub(super) async fn keep_directory(
        &self,
        caller: &Caller,
        bound: &Arc<Bound>,
        directory: &ItemPath,
    ) -> ItemResult<()> {
        let scope = self.scope(caller);
        if directory.is_root() || self.find(&scope, bound, directory).await?.is_some() {
            return Ok(());
        }
        let marker = if scope == SERVICE { super::decided(caller) } else { caller.clone() };
        match self.mark_directory(&marker, bound, directory, None).await {
            Err(ItemError::Exists) => Ok(()),
            Err(ItemError::Store(Error::AccessDenied)) if scope != SERVICE => Ok(()),
            other => other,
        }
    }

    /// Makes a file.
    ///
    /// # Errors
    /// Those of a path that is taken or has no directory, and those of its bytes.
    pub async fn make_file(
        &self,
        caller: &Caller,
        bucket: &BucketName,
        path: &ItemPath,
        content: Content,
        (body, behind): (Incoming, Option<Behind>),
    ) -> ItemResult<()> {
        self.ask_for_item(caller, bucket, path.file(), (&content, body.expected())).await?;
        self.room_for(caller, bucket, path).await?;
        let key = path.file().ok_or(ItemError::Path)?.clone();
        let (bucket, conditions) = (bucket.clone(), self.new_beside(caller, path.mark()));
        let request = PutRequest { bucket, key, content, given: Given::default(), conditions, body };
        self.put_with(&within(caller, Permission::NewItem), request, behind).await.map_err(taken)?;
        Ok(())
    }

    /// Changes an item: its bytes, and what is said about them.
    ///
    /// # Errors
    /// [`ItemError::NotFile`] for the bytes of a directory, [`Error::NoSuchKey`], refusals.
    pub async fn set_item(
        &self,
        caller: &Caller,
        bucket: &BucketName,
        path: &ItemPath,
        change: ItemChange,
    ) -> ItemResult<()> {
        let (bound, item) = self.reach(caller, bucket, path, Permission::SetItem).await?;
        let (Item::File(object), Some(key)) = (item, path.file()) else {
            // A directory has no headers that anybody could be sent.
            return if change.body.is_some() { Err(ItemError::NotFile) } else { Ok(()) };
        };
        let caller = within(caller, Permission::SetItem);
        let ItemChange { content, says, body } = change;
        match body {
            Some((body, behind)) => {
                let content = content(object.content.clone());
                self.overwrite(&caller, &bound, *object, content, (body, behind)).await
            }
            None if says => self.describe(&caller, &bound, key, *object, content).await,
            None => Ok(()),
        }
    }

    /// Replaces the bytes of a file.
    ///
    /// # Errors
    /// [`ItemError::NotFile`], [`Error::NoSuchKey`], refusals.
    pub async fn write_item(
        &self,
        caller: &Caller,
        bucket: &BucketName,
        path: &ItemPath,
        mime: Option<String>,
        (body, behind): (Incoming, Option<Behind>),
    ) -> ItemResult<()> {
        let (bound, item) = self.reach(caller, bucket, path, Permission::Write).await?;
        let Item::File(object) = item else { return Err(ItemError::NotFile) };
        let mut content = object.content.clone();
        content.content_type = mime.or(content.content_type);
        self.overwrite(&within(caller, Permission::Write), &bound, *object, content, (body, behind)).await
    }

    async fn overwrite(
        &self,
        caller: &Caller,
        bound: &Bound,
        object: Object,
        content: Content,
        (body, behind): (Incoming, Option<Behind>),
    ) -> ItemResult<()> {
        let conditions = Conditions { if_match: Some(TagMatch::Any), ..Conditions::default() };
        let request = PutRequest {
            bucket: bound.bucket.name.clone(),
            key: object.key,
            content,
            given: Given { tags: object.attached.tags, ..Given::default() },
            conditions,
            body,
        };
        match self.put_with(caller, request, behind).await {
            Ok(_) => Ok(()),
            Err(Error::PreconditionFailed) => Err(Error::NoSuchKey.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Says something else about the same bytes.
    async fn describe(
        &self,
        caller: &Caller,
        bound: &Arc<Bound>,
        key: &ObjectKey,
        mut object: Object,
        content: Box<dyn Fn(Content) -> Content + Send + Sync>,
    ) -> ItemResult<()> {
        for _ in 0..COMMIT_TRIES_MAX {
            let new = content(object.content.clone());
            if new == object.content {
                return Ok(());
            }
            let request = CopyRequest {
                from_bucket: bound.bucket.name.clone(),
                from_key: key.clone(),
                from_version: None,
                source_conditions: Conditions::matching(&object.etag),
                source_key: None,
                bucket: bound.bucket.name.clone(),
                key: key.clone(),
                content: CopyContent::Replace(Box::new(new)),
                keep_tags: true,
                given: Given::default(),
                conditions: Conditions::matching(&object.etag),
                algorithm: None,
            };
            match self.copy(caller, request).await {
                Ok(_) => return Ok(()),
                Err(Error::PreconditionFailed) => {}
                Err(error) => return Err(error.into()),
            }
            // It was written meanwhile: what is said is said of what is there now.
            object = self.really_there(bound, key).await?.ok_or(Error::NoSuchKey)?;
        }
        Err(Error::ConditionalConflict.into())
    }
}

/// A write of something new that met something.
pub(super) fn taken(error: Error) -> ItemError {
    match error {
        Error::PreconditionFailed => ItemError::Exists,
        error => error.into(),
    }
}
