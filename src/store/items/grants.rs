//! Who may do what to items, and whose they are.
//!
//! **Invariant:** a change is made whole or not at all, and only by whom the item's groups let; owners are users.

use std::sync::Arc;

use super::{Item, ItemError, ItemResult};
use crate::config::limits::GRANTED_GROUPS_MAX;
use crate::model::action::Action;
use crate::model::caller::{Caller, ROOT};
use crate::model::item::ItemPath;
use crate::model::name::BucketName;
use crate::model::service::{Grant, Permission};
use crate::store::bound::Bound;
use crate::store::error::Error;
use crate::store::request::{AttachedChange, Heritage};
use crate::store::{SERVICE, Store};

impl Store {
    /// Whether a caller has permissions on a path, whether or not something is there. To a role that policies judge what
    /// they hide is not there, and nothing can be done with it.
    ///
    /// # Errors
    /// Failures of catalog and storage.
    pub async fn may_do(
        &self,
        caller: &Caller,
        bucket: &BucketName,
        path: &ItemPath,
        permissions: &[Permission],
    ) -> ItemResult<Vec<bool>> {
        let bound = self.bound(bucket).await?;
        let mut answers = Vec::with_capacity(permissions.len());
        for permission in permissions {
            let yes = self.may_with(caller, &bound, path, *permission, None).await?
                && self.is_let_in(caller, &bound, path, *permission).await?;
            answers.push(yes);
        }
        Ok(answers)
    }

    /// The groups that have each permission on an item.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`], refusals.
    pub async fn permissions(
        &self,
        caller: &Caller,
        bucket: &BucketName,
        path: &ItemPath,
    ) -> ItemResult<Vec<(Permission, Vec<String>)>> {
        let (bound, _) = self.reach(caller, bucket, path, Permission::GetPermissions).await?;
        let Some(service) = bound.bucket.config.bound_service() else { return Ok(Vec::new()) };
        let groups = |permission: &Permission| {
            let groups = service.groups(path.as_str(), *permission);
            (*permission, groups.into_iter().map(str::to_owned).collect())
        };
        Ok(Permission::ALL.iter().map(groups).collect())
    }

    /// Changes which groups have permissions on an item and on what is below it.
    ///
    /// # Errors
    /// [`ItemError::TooManyGrants`], [`Error::NoSuchKey`], refusals.
    pub async fn set_permissions(
        &self,
        caller: &Caller,
        bucket: &BucketName,
        path: &ItemPath,
        changes: Vec<Grant>,
    ) -> ItemResult<()> {
        self.reach(caller, bucket, path, Permission::SetPermissions).await?;
        let changed = self.change_config(&Caller::ROOT, bucket, Action::PutBucketPolicy, |config, _| {
            let Some(service) = &mut config.service else { return Ok(()) };
            service.grant(path.as_str(), &changes);
            if service.said() > GRANTED_GROUPS_MAX {
                return Err(Error::InvalidRequest("too many groups are named"));
            }
            Ok(())
        });
        match changed.await {
            Err(Error::InvalidRequest(_)) => Err(ItemError::TooManyGrants),
            other => Ok(other?),
        }
    }

    /// Whose an item is; of a directory that is nobody's, whose it is in.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`], refusals.
    pub async fn item_owner(
        &self,
        caller: &Caller,
        bucket: &BucketName,
        path: &ItemPath,
    ) -> ItemResult<Option<String>> {
        let (bound, item) = self.reach(caller, bucket, path, Permission::GetOwner).await?;
        self.owner_of_item(&self.scope(caller), &bound, path, &item).await
    }

    /// Gives an item to a user. Its owner may, too.
    ///
    /// # Errors
    /// [`ItemError::NoSuchUser`], [`ItemError::Path`] for the root, [`Error::NoSuchKey`], refusals.
    pub async fn set_item_owner(
        &self,
        caller: &Caller,
        bucket: &BucketName,
        path: &ItemPath,
        owner: &str,
    ) -> ItemResult<()> {
        let (bound, item) = match self.reach(caller, bucket, path, Permission::SetOwner).await {
            Err(ItemError::Store(Error::AccessDenied)) => self.owned(caller, bucket, path).await?,
            other => other?,
        };
        if owner != ROOT && self.0.users.user(owner).await?.is_none() {
            return Err(ItemError::NoSuchUser);
        }
        let (key, there) = match (&item, path.file(), path.mark()) {
            (Item::File(_), Some(file), _) => (file, true),
            (Item::Directory(mark), _, Some(key)) => (key, mark.is_some()),
            _ => return Err(ItemError::Path),
        };
        if !there {
            let heritage = Heritage { owner: owner.to_owned(), created: bound.bucket.created };
            return self.mark_directory(&super::decided(caller), &bound, path, Some(heritage)).await;
        }
        let change = AttachedChange::Owner(owner.to_owned());
        let caller = super::decided(caller);
        self.set_attached(&caller, Action::PutObjectAcl, bucket, key, None, change, false).await?;
        Ok(())
    }

    /// An item of the caller's own.
    async fn owned(&self, caller: &Caller, bucket: &BucketName, path: &ItemPath) -> ItemResult<(Arc<Bound>, Item)> {
        let denied = || ItemError::Store(Error::AccessDenied);
        let name = caller.owner().filter(|_| !self.is_judged(caller)).ok_or_else(denied)?;
        let bound = self.bound(bucket).await?;
        let item = self.find(&SERVICE, &bound, path).await?.ok_or_else(denied)?;
        let owner = self.owner_of_item(&SERVICE, &bound, path, &item).await?;
        if owner.as_deref() == Some(name) { Ok((bound, item)) } else { Err(denied()) }
    }
}
