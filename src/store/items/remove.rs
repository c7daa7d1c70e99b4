//! Removing items, and directories with all that is in them.
//!
//! **Invariant:** files go before the marks of the directories that they are in, so a removal that is cut short leaves
//! directories with what is left in them. What was said about an item goes with it.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{Item, ItemError, ItemResult, within};
use crate::config::limits::{DELETES_AT_ONCE, ITEMS_PAGE_ROWS};
use crate::model::action::Action;
use crate::model::caller::Caller;
use crate::model::condition::Conditions;
use crate::model::item::ItemPath;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::service::Permission;
use crate::store::bound::Bound;
use crate::store::error::Result;
use crate::store::request::DeleteRequest;
use crate::store::{SERVICE, Store};

/// How many items keys are, told in their order: directories are seen by the first key in them.
#[derive(Debug, Default)]
struct Count {
    items: u64,
    last: String,
}

impl Count {
    /// Takes the next key, of which the first `from` bytes are the directory that is counted in.
    fn add(&mut self, key: &str, from: usize) {
        let slashes = key.bytes().enumerate().skip(from).filter(|(_, byte)| *byte == b'/');
        for (at, _) in slashes {
            if !self.last.starts_with(&key[..=at]) {
                self.items += 1;
            }
        }
        if !key.ends_with('/') {
            self.items += 1;
        }
        key.clone_into(&mut self.last);
    }
}

impl Store {
    /// Removes an item, with `recursive` also a directory that items are in. Returns how many were removed.
    ///
    /// # Errors
    /// [`ItemError::Path`] for the root, [`ItemError::NotEmpty`], [`ItemError::Cut`] if only part of it was done,
    /// [`Error::NoSuchKey`](crate::store::Error::NoSuchKey), refusals.
    pub async fn remove_item(
        &self,
        caller: &Caller,
        bucket: &BucketName,
        path: &ItemPath,
        recursive: bool,
    ) -> ItemResult<u64> {
        let Some(key) = path.file() else { return Err(ItemError::Path) };
        let (bound, item) = self.reach(caller, bucket, path, Permission::RemoveItem).await?;
        let removed = match item {
            Item::File(_) => {
                let request = DeleteRequest::current(bucket.clone(), key.clone(), Conditions::default());
                self.delete(&within(caller, Permission::RemoveItem), request).await?;
                1
            }
            Item::Directory(_) => self.remove_directory(caller, &bound, path, recursive).await?,
        };
        self.keep_directory(caller, &bound, &path.parent()).await?;
        Ok(removed)
    }

    async fn remove_directory(
        &self,
        caller: &Caller,
        bound: &Arc<Bound>,
        path: &ItemPath,
        recursive: bool,
    ) -> ItemResult<u64> {
        let some = self.keys_below(bound, path, None, 2).await?;
        let empty = some.iter().all(|key| Some(key) == path.mark());
        if !empty && !recursive {
            return Err(ItemError::NotEmpty);
        }
        self.may_below(caller, bound, path, Permission::RemoveItem)?;
        let remover = self.remover(caller, bound, path).await?;
        let mut count = Count::default();
        self.sweep(&remover, bound, path, false, &mut count).await?;
        self.sweep(&remover, bound, path, true, &mut Count::default()).await?;
        self.forget_said(bound, path).await?;
        Ok(count.items + 1)
    }

    /// Deletes the keys below a directory: files, or the marks that are left.
    async fn sweep(
        &self,
        caller: &Caller,
        bound: &Arc<Bound>,
        path: &ItemPath,
        marks: bool,
        count: &mut Count,
    ) -> ItemResult<()> {
        let mut after = None;
        let mut removed = 0;
        loop {
            let page = self.keys_below(bound, path, after.take(), ITEMS_PAGE_ROWS).await?;
            let ended = page.len() < ITEMS_PAGE_ROWS;
            after = page.last().map(|key| key.as_str().to_owned());
            page.iter().for_each(|key| count.add(key.as_str(), path.prefix().len()));
            let keys = page.into_iter().filter(|key| key.as_str().ends_with('/') == marks);
            let number = |_| 1_u64;
            let deletions = stream::iter(keys)
                .map(|key| {
                    let request = DeleteRequest::current(bound.bucket.name.clone(), key, Conditions::default());
                    self.delete(caller, request)
                })
                .buffer_unordered(DELETES_AT_ONCE)
                .map_ok(number);
            let mut deletions = std::pin::pin!(deletions);
            while let Some(done) = deletions.next().await {
                match done {
                    Ok(one) => removed += one,
                    Err(source) => return Err(ItemError::Cut { removed, source }),
                }
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// Forgets what is said about an item that was removed.
    pub(super) async fn forget_said(&self, bound: &Bound, path: &ItemPath) -> Result<()> {
        let name = &bound.bucket.name;
        if !self.bound(name).await?.bucket.config.service.as_ref().is_some_and(|service| service.says_of(path)) {
            return Ok(());
        }
        self.change_config(&Caller::ROOT, name, Action::PutBucketPolicy, |config, _| {
            if let Some(service) = &mut config.service {
                service.forget(path);
            }
            Ok(())
        })
        .await
    }

    /// After a deletion on whichever front: what is said about a path where nothing is any more would be said about
    /// whatever comes there next.
    pub(in crate::store) async fn forget_gone(&self, bound: &Arc<Bound>, key: &ObjectKey) {
        let Some(service) = bound.bucket.config.service.as_ref().filter(|service| !service.grants.is_empty()) else {
            return;
        };
        let Some(mut path) = ItemPath::of_key(key) else { return };
        while !path.is_root() {
            if service.grants.contains_key(path.as_str()) {
                let forgotten = match self.find(&SERVICE, bound, &path).await {
                    Ok(None) => self.forget_said(bound, &path).await.map_err(ItemError::from),
                    Ok(Some(_)) => Ok(()),
                    Err(error) => Err(error),
                };
                if let Err(error) = forgotten {
                    tracing::error!(bucket = %bound.bucket.name, %error, "what was said of a removed item is still there");
                }
            }
            path = path.parent();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_counted_once_with_or_without_a_mark() {
        for (keys, items) in [
            (&[][..], 0),
            (&["d/"][..], 0),
            (&["d/", "d/a", "d/b"][..], 2),
            (&["d/e/a", "d/e/b", "d/f/", "d/f/g/x"][..], 6),
            (&["d/e/", "d/e/f/"][..], 2),
        ] {
            let mut count = Count::default();
            keys.iter().for_each(|key| count.add(key, 2));
            assert_eq!(count.items, items, "{keys:?}");
        }
    }
}
