//! Items: files and directories over the keys of a bucket that is a FileStore.
//!
//! A directory is a prefix. One that nothing is in has an empty object of its name and a slash, which marks it; one that
//! loses its last item by a function of here gets such a mark.
//!
//! Whoever asks sees what its groups let it see; a role that a catalog judges by policies of its own sees the rows that
//! they show ([`judged`]).
//!
//! **Invariant:** each function takes its decision on the item that it is asked for, before it looks at anything below
//! it; what is below is not acted on if something nearer to it is said that refuses the caller.

mod follow;
mod grants;
mod judged;
mod list;
mod make;
mod remove;
mod serve;
mod shift;

use std::sync::Arc;

use crate::auth::decide::{Target, Verdict};
use crate::auth::service::Owned;
use crate::catalog::Scope;
use crate::model::bucket::Bucket;
use crate::model::caller::{Caller, ROOT, Who};
use crate::model::item::ItemPath;
use crate::model::name::{BucketName, NameError, ObjectKey};
use crate::model::object::Object;
use crate::model::page::{Page, PageQuery};
use crate::model::service::{OWNER, Permission};
use crate::model::time::Timestamp;
use crate::store::bound::Bound;
use crate::store::error::Error;
use crate::store::{SERVICE, Store};

pub(super) use follow::given_to_copy;
pub use list::{ItemList, ItemOrder, ItemQuery, ItemRow, ItemSort, ItemType};
pub use make::ItemChange;
pub(super) use serve::Served;
pub use serve::ServiceRules;

/// Why a function refuses, beside what the store refuses by itself.
#[derive(Debug, thiserror::Error)]
pub enum ItemError {
    /// The store does.
    #[error(transparent)]
    Store(#[from] Error),
    /// There is an item of this path.
    #[error("there is an item of this path")]
    Exists,
    /// The directory has items.
    #[error("the directory is not empty")]
    NotEmpty,
    /// What should be a directory is a file.
    #[error("the item is no directory")]
    NotDirectory,
    /// What should be a file is a directory.
    #[error("the item is no file")]
    NotFile,
    /// It cannot be done to this path.
    #[error("it cannot be done to this path")]
    Path,
    /// A directory would come to be in itself.
    #[error("a directory cannot be moved into itself")]
    Inside,
    /// The path has too many segments.
    #[error("the path has too many levels")]
    TooManyLevels,
    /// There are too many items.
    #[error("there are too many items")]
    TooManyItems,
    /// Too much would be said about permissions.
    #[error("too many groups are named")]
    TooManyGrants,
    /// There is no such user.
    #[error("there is no such user")]
    NoSuchUser,
    /// It was cut short.
    #[error("it was cut short after {removed} items")]
    Cut {
        /// What was removed until then.
        removed: u64,
        /// Why.
        source: Error,
    },
}

impl From<NameError> for ItemError {
    fn from(error: NameError) -> Self {
        Self::Store(error.into())
    }
}

impl From<crate::catalog::Error> for ItemError {
    fn from(error: crate::catalog::Error) -> Self {
        Self::Store(error.into())
    }
}

/// A result of a function.
pub type ItemResult<T> = std::result::Result<T, ItemError>;

/// What a path names.
#[derive(Debug, Clone)]
pub enum Item {
    /// A file.
    File(Box<Object>),
    /// A directory, with the object that marks it if there is one.
    Directory(Option<Box<Object>>),
}

impl Item {
    /// When it came to be, and when it was last changed. Of a directory without a mark nobody knows.
    #[must_use]
    pub fn dates(&self) -> Option<(Timestamp, Timestamp)> {
        match self {
            Self::File(object) | Self::Directory(Some(object)) => Some((object.created(), object.modified)),
            Self::Directory(None) => None,
        }
    }
}

/// The same caller, for a function and its steps.
fn within(caller: &Caller, permission: Permission) -> Caller {
    let mut context = caller.context.as_deref().cloned().unwrap_or_default();
    context.function = Some(permission);
    caller.clone().in_context(context)
}

/// Longshore itself, in the circumstances of a caller about whom it was decided.
fn decided(caller: &Caller) -> Caller {
    Caller { who: Who::Root, context: caller.context.clone() }
}

impl Store {
    /// What an item is.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`], refusals.
    pub async fn item(&self, caller: &Caller, bucket: &BucketName, path: &ItemPath) -> ItemResult<Item> {
        Ok(self.reach(caller, bucket, path, Permission::GetItem).await?.1)
    }

    /// When the bucket was made: since when there are directories that nothing says it of.
    ///
    /// # Errors
    /// Failures of the catalog.
    pub async fn service_made(&self, bucket: &BucketName) -> ItemResult<Timestamp> {
        Ok(self.bound(bucket).await?.bucket.created)
    }

    /// The file of a path, for who may read it.
    ///
    /// # Errors
    /// [`ItemError::NotFile`], [`Error::NoSuchKey`], refusals.
    pub async fn file_to_read(
        &self,
        caller: &Caller,
        bucket: &BucketName,
        path: &ItemPath,
    ) -> ItemResult<(Caller, ObjectKey)> {
        match (self.reach(caller, bucket, path, Permission::Read).await?.1, path.file()) {
            (Item::File(_), Some(key)) => Ok((within(caller, Permission::Read), key.clone())),
            _ => Err(ItemError::NotFile),
        }
    }

    /// Finds an item and takes the decision about it. Who may not learn what is in its directory is not told whether it
    /// is there.
    async fn reach(
        &self,
        caller: &Caller,
        bucket: &BucketName,
        path: &ItemPath,
        permission: Permission,
    ) -> ItemResult<(Arc<Bound>, Item)> {
        let bound = self.bound(bucket).await?;
        let verdict = self.decide_item(caller, &bound, path, permission, Owned::Unknown);
        if verdict == Verdict::Refused {
            return Err(Error::AccessDenied.into());
        }
        let Some(item) = self.find(&self.scope(caller), &bound, path).await? else {
            // Of what policies hide from a role they tell it nothing either.
            let told = verdict == Verdict::Allowed
                || self.is_judged(caller)
                || self.may_with(caller, &bound, &path.parent(), Permission::List, None).await?;
            return Err(if told { Error::NoSuchKey } else { Error::AccessDenied }.into());
        };
        if verdict == Verdict::NeedsObject && !self.may_with(caller, &bound, path, permission, Some(&item)).await? {
            return Err(Error::AccessDenied.into());
        }
        Ok((bound, item))
    }

    /// The decision. About a role that a catalog judges it says whether the role is kept out, and else asks the catalog.
    fn decide_item(
        &self,
        caller: &Caller,
        bound: &Bound,
        path: &ItemPath,
        permission: Permission,
        owned: Owned<'_>,
    ) -> Verdict {
        let target = Target::Item(&bound.bucket, &bound.rules, path, permission, owned);
        self.decide(caller, permission.action(), target)
    }

    /// The decision, with the owner looked up if it depends on that. Of a role it says that it is not kept out.
    async fn may_with(
        &self,
        caller: &Caller,
        bound: &Arc<Bound>,
        path: &ItemPath,
        permission: Permission,
        item: Option<&Item>,
    ) -> ItemResult<bool> {
        match self.decide_item(caller, bound, path, permission, Owned::Unknown) {
            Verdict::Allowed | Verdict::Catalog => return Ok(true),
            Verdict::NeedsObject => {}
            Verdict::Refused => return Ok(false),
        }
        let owner = match item {
            Some(item) => self.owner_of_item(&SERVICE, bound, path, item).await?,
            None => match self.find(&self.scope(caller), bound, path).await? {
                Some(item) => self.owner_of_item(&SERVICE, bound, path, &item).await?,
                None => None,
            },
        };
        let owned = owner.as_deref().map_or(Owned::Nobody, Owned::By);
        let verdict = self.decide_item(caller, bound, path, permission, owned);
        Ok(matches!(verdict, Verdict::Allowed | Verdict::Catalog))
    }

    /// Refuses if something is said below a directory that refuses the caller.
    fn may_below(&self, caller: &Caller, bound: &Bound, path: &ItemPath, permission: Permission) -> ItemResult<()> {
        let Some(service) = bound.bucket.config.bound_service() else { return Ok(()) };
        for said in service.said_below(path.prefix(), permission) {
            let said = ItemPath::parse(said)?;
            match self.decide_item(caller, bound, &said, permission, Owned::Nobody) {
                Verdict::Allowed | Verdict::Catalog => {}
                Verdict::Refused | Verdict::NeedsObject => return Err(Error::AccessDenied.into()),
            }
        }
        Ok(())
    }

    /// What is at a path, and seen. A file goes before a directory of its name.
    async fn find(&self, scope: &Scope, bound: &Arc<Bound>, path: &ItemPath) -> ItemResult<Option<Item>> {
        let (Some(file), Some(mark)) = (path.file(), path.mark()) else { return Ok(Some(Item::Directory(None))) };
        let object = match scope {
            Scope::Service => self.really_there(bound, file).await?,
            Scope::As(_) => self.catalog().object(scope, bound.bucket.id, file).await?,
        };
        if let Some(object) = object {
            return Ok(Some(Item::File(Box::new(object))));
        }
        if let Some(object) = self.catalog().object(scope, bound.bucket.id, mark).await? {
            return Ok(Some(Item::Directory(Some(Box::new(object)))));
        }
        Ok(self.has_below(scope, bound, path).await?.then_some(Item::Directory(None)))
    }

    /// Keys below a directory, its mark among them.
    async fn keys_below(
        &self,
        bound: &Arc<Bound>,
        path: &ItemPath,
        after: Option<String>,
        limit: usize,
    ) -> ItemResult<Vec<ObjectKey>> {
        let query = PageQuery { prefix: path.prefix().to_owned(), delimiter: None, after, limit };
        let page: Page<_> = self.page(bound, query, &SERVICE).await?;
        Ok(page.entries.into_iter().map(|entry| entry.key).collect())
    }

    /// Whose an item is, as far as that is seen.
    async fn owner_of_item(
        &self,
        scope: &Scope,
        bound: &Bound,
        path: &ItemPath,
        item: &Item,
    ) -> ItemResult<Option<String>> {
        match item {
            Item::File(object) => Ok(Some(object.owner.clone())),
            Item::Directory(Some(mark)) if mark.owner != ROOT => Ok(Some(mark.owner.clone())),
            Item::Directory(_) => Ok(self.owner_of_directory(scope, &bound.bucket, &path.parent()).await?),
        }
    }

    /// Whose a directory is: its own, or that of the nearest one around it which is somebody's. What is root's was made by
    /// nobody in particular.
    async fn owner_of_directory(
        &self,
        scope: &Scope,
        bucket: &Bucket,
        path: &ItemPath,
    ) -> Result<Option<String>, Error> {
        let mut at = path.clone();
        while let Some(mark) = at.mark() {
            let found = self.catalog().object(scope, bucket.id, mark).await?;
            if let Some(mark) = found.filter(|mark| mark.owner != ROOT) {
                return Ok(Some(mark.owner));
            }
            at = at.parent();
        }
        Ok(None)
    }

    /// Whose the directory is that a new object would come into, where that bears on the decision.
    pub(super) async fn heir(&self, bucket: &Bucket, key: &ObjectKey) -> Result<Option<String>, Error> {
        let Some(service) = bucket.config.bound_service() else { return Ok(None) };
        let Some(directory) = ItemPath::of_key(key).map(|path| path.parent()) else { return Ok(None) };
        if !service.groups(directory.as_str(), Permission::NewItem).contains(&OWNER) {
            return Ok(None);
        }
        self.owner_of_directory(&SERVICE, bucket, &directory).await
    }
}
