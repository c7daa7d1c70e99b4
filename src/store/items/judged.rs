//! What roles may do to items where a catalog judges them by policies of its own: the statement of each function is put
//! to them, as [`crate::auth::roles`] has it.
//!
//! **Invariant:** what the policies hide is not there. A directory is removed or moved with all that is in it, seen or
//! not, or stays as it is.

use std::sync::Arc;

use super::make::{only_new, taken};
use super::{Item, ItemResult, within};
use crate::catalog::{Intent, Scope};
use crate::config::limits::ITEMS_PAGE_ROWS;
use crate::model::caller::Caller;
use crate::model::id::{hex, random};
use crate::model::item::ItemPath;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::Content;
use crate::model::page::PageQuery;
use crate::model::service::Permission;
use crate::store::bound::Bound;
use crate::store::error::{Error, Result};
use crate::store::{SERVICE, Store};

impl Store {
    /// Whether a role would be let in by its policies; whoever else asks is not theirs to judge. Of a large directory
    /// they are asked about what comes first in it: to remove or move it is asked about all.
    pub(super) async fn is_let_in(
        &self,
        caller: &Caller,
        bound: &Arc<Bound>,
        path: &ItemPath,
        permission: Permission,
    ) -> ItemResult<bool> {
        let scope = self.scope(caller);
        if scope == SERVICE {
            return Ok(true);
        }
        if permission == Permission::NewItem {
            return self.may_come(caller, bound, path).await;
        }
        let Some(item) = self.find(&scope, bound, path).await? else { return Ok(false) };
        let nothing = Content::default();
        let (key, content, size) = match (&item, path.file(), path.mark()) {
            (Item::File(object), Some(key), _) => (key, &object.content, object.size),
            (Item::Directory(Some(mark)), _, Some(key)) => (key, &mark.content, mark.size),
            (_, _, Some(key)) => (key, &nothing, 0),
            // Of the root nothing is written, removed or moved.
            _ => return Ok(matches!(permission, Permission::GetItem | Permission::Read | Permission::List)),
        };
        let of_all = |intent: Intent| {
            let scope = &scope;
            let some = (path.prefix(), ITEMS_PAGE_ROWS);
            async move { self.ask_of_all(scope, bound, some, |_| Ok(intent.clone())).await }
        };
        let asked = match (permission, &item) {
            (Permission::GetItem | Permission::Read | Permission::List | Permission::GetOwner, _) => Ok(()),
            (Permission::SetItem | Permission::Write, _) => {
                self.ask(&scope, bound, key, &Intent::write(content, Some(size))).await
            }
            (Permission::RemoveItem, Item::File(_)) => self.ask(&scope, bound, key, &Intent::Remove).await,
            (Permission::Move, Item::File(_)) => self.ask(&scope, bound, key, &Intent::Change).await,
            (Permission::RemoveItem, Item::Directory(_)) => of_all(Intent::Remove).await,
            (Permission::Move, Item::Directory(_)) => of_all(Intent::Change).await,
            (Permission::NewItem, _)
            | (Permission::GetPermissions | Permission::SetPermissions | Permission::SetOwner, _) => {
                Err(Error::AccessDenied)
            }
        };
        yes(asked)
    }

    /// Whether a role may make an item of a new name in a directory.
    async fn may_come(&self, caller: &Caller, bound: &Arc<Bound>, directory: &ItemPath) -> ItemResult<bool> {
        let mut bytes = [0; 16];
        random(&mut bytes);
        let Ok(path) = directory.join(&hex(&bytes)) else { return Ok(false) };
        let Some(key) = path.file() else { return Ok(false) };
        let scope = self.scope_to_write(caller, &only_new(None));
        yes(self.ask(&scope, bound, key, &Intent::write(&Content::default(), None)).await)
    }

    /// Asks for a role whether it may make the object of an item, before it learns what is there.
    pub(super) async fn ask_for_item(
        &self,
        caller: &Caller,
        bucket: &BucketName,
        key: Option<&ObjectKey>,
        (content, length): (&Content, Option<u64>),
    ) -> ItemResult<()> {
        let scope = self.scope_to_write(caller, &only_new(None));
        let Some(key) = key.filter(|_| scope != SERVICE) else { return Ok(()) };
        let bound = self.bound(bucket).await?;
        self.ask(&scope, &bound, key, &Intent::write(content, length)).await.map_err(taken)
    }

    /// Asks for a role whether it may give an item another path, with all that is in it.
    pub(super) async fn ask_for_path(
        &self,
        caller: &Caller,
        bound: &Arc<Bound>,
        item: &Item,
        (from, to): (&ItemPath, &ItemPath),
    ) -> ItemResult<()> {
        let scope = self.scope(caller);
        let bucket = bound.bucket.id;
        let asked = match (item, from.file(), to.file()) {
            _ if scope == SERVICE => return Ok(()),
            (Item::File(_), Some(from), Some(to)) => {
                self.ask(&scope, bound, from, &Intent::Move { bucket, key: to.clone() }).await
            }
            _ => {
                let moved = |key: &ObjectKey| Ok(Intent::Move { bucket, key: super::shift::moved_key(key, from, to)? });
                self.ask_of_all(&scope, bound, (from.prefix(), usize::MAX), moved).await
            }
        };
        asked.map_err(taken)
    }

    /// Who removes what is in a directory: Longshore, once it was decided; for a role the role itself, about whose every
    /// step its policies are asked again.
    pub(super) async fn remover(
        &self,
        caller: &Caller,
        bound: &Arc<Bound>,
        directory: &ItemPath,
    ) -> ItemResult<Caller> {
        let scope = self.scope(caller);
        if scope == SERVICE {
            return Ok(super::decided(caller));
        }
        self.ask_of_all(&scope, bound, (directory.prefix(), usize::MAX), |_| Ok(Intent::Remove)).await?;
        Ok(within(caller, Permission::RemoveItem))
    }

    /// Whether anything is below a directory that is seen.
    pub(super) async fn has_below(&self, scope: &Scope, bound: &Arc<Bound>, path: &ItemPath) -> Result<bool> {
        let mut after = None;
        loop {
            let query = PageQuery { prefix: path.prefix().to_owned(), delimiter: None, after, limit: 1 };
            let page = self.page(bound, query, scope).await?;
            match page.next {
                _ if !page.entries.is_empty() => return Ok(true),
                Some(next) => after = Some(next),
                None => return Ok(false),
            }
        }
    }
}

/// What an answer of the policies means to who only asks.
fn yes(asked: Result<()>) -> ItemResult<bool> {
    match asked {
        // Who may put something there may also if something is there.
        Ok(()) | Err(Error::PreconditionFailed) => Ok(true),
        Err(Error::AccessDenied) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
