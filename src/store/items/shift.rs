//! Moving items: a file at once, a directory key by key.
//!
//! A directory on its way is noted in the configuration of its bucket before the first key moves, and what is said about
//! it is said of where it goes, too. Whoever finds such a note goes on with it: after a crash the next start does.
//!
//! **Invariant:** a key leaves its old path by the commit that puts it at the new one, and a move goes forward only.
//! An item that somebody else has made at the new path is left alone, and so is the one that would have come there.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};

use super::make::only_new;
use super::{Item, ItemError, ItemResult, decided, within};
use crate::config::limits::{COMMIT_TRIES_MAX, DELETES_AT_ONCE, ITEMS_MOVED_MAX, ITEMS_PAGE_ROWS};
use crate::model::action::Action;
use crate::model::caller::Caller;
use crate::model::condition::Conditions;
use crate::model::item::ItemPath;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::Object;
use crate::model::service::{Moving, Permission};
use crate::store::bound::Bound;
use crate::store::error::{Error, Result};
use crate::store::gateways::Turn;
use crate::store::request::{CopyContent, CopyRequest, Given, Heritage};
use crate::store::{SERVICE, Store};

/// Most directories of a bucket that are on their way at a time.
const MOVES_MAX: usize = 16;

/// Whether a key came to where it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moved {
    Yes,
    /// Something else is there.
    Blocked,
}

impl Store {
    /// Gives an item another path.
    ///
    /// # Errors
    /// [`ItemError::Path`] for the root, [`ItemError::Inside`], those of making an item, refusals.
    pub async fn move_item(
        &self,
        caller: &Caller,
        bucket: &BucketName,
        from: &ItemPath,
        to: &ItemPath,
    ) -> ItemResult<()> {
        let Some(key) = from.file() else { return Err(ItemError::Path) };
        let (bound, item) = self.reach(caller, bucket, from, Permission::Move).await?;
        if from == to {
            return Ok(());
        }
        if to.is_below(from) && matches!(item, Item::Directory(_)) {
            return Err(ItemError::Inside);
        }
        self.ask_for_path(caller, &bound, &item, (from, to)).await?;
        self.room_for(caller, bucket, to).await?;
        // What a role moves is its own, as its policies were asked about.
        let owner = self.is_judged(caller).then(|| self.owner_of_write(&bound, caller).to_owned());
        let moving = Moving { from: from.as_str().to_owned(), to: to.as_str().to_owned(), owner };
        match item {
            Item::File(_) => {
                let target = to.file().ok_or(ItemError::Path)?;
                let caller = decided(&within(caller, Permission::Move));
                if self.move_key(&caller, &bound, (key, target), (to.mark(), moving.owner.as_deref())).await?
                    == Moved::Blocked
                {
                    return Err(ItemError::Exists);
                }
            }
            Item::Directory(_) => {
                self.may_below(caller, &bound, from, Permission::Move)?;
                self.fits(&bound, from, to).await?;
                self.note_move(bucket, &moving).await?;
                let (store, bound, caller) = (self.clone(), bound.clone(), decided(caller));
                // A client that goes away does not stop it.
                let section = tokio::spawn(async move { store.carry(&caller, &bound, &moving).await });
                section.await.map_err(Error::from)??;
            }
        }
        self.keep_directory(caller, &bound, &from.parent()).await
    }

    /// Refuses a directory of which something would not fit where it goes.
    async fn fits(&self, bound: &Arc<Bound>, from: &ItemPath, to: &ItemPath) -> ItemResult<()> {
        let most = bound.bucket.config.bound_service().and_then(|service| service.levels_max);
        let (mut after, mut seen) = (None, 0);
        loop {
            let page = self.keys_below(bound, from, after.take(), ITEMS_PAGE_ROWS).await?;
            seen += page.len();
            if seen > ITEMS_MOVED_MAX {
                return Err(ItemError::TooManyItems);
            }
            for key in &page {
                let new = moved_key(key, from, to)?;
                let levels = new.as_str().trim_end_matches('/').split('/').count();
                if most.is_some_and(|most| levels > most) {
                    return Err(ItemError::TooManyLevels);
                }
            }
            after = page.last().map(|key| key.as_str().to_owned());
            if page.len() < ITEMS_PAGE_ROWS {
                return Ok(());
            }
        }
    }

    /// Notes a directory that is about to go to another path, and says of that what is said of the old one.
    async fn note_move(&self, bucket: &BucketName, moving: &Moving) -> Result<()> {
        let (from, to) = (ItemPath::parse(&moving.from)?, ItemPath::parse(&moving.to)?);
        self.change_config(&Caller::ROOT, bucket, Action::PutBucketPolicy, |config, _| {
            let Some(service) = &mut config.service else { return Ok(()) };
            if !service.moves.contains(moving) {
                if service.moves.len() >= MOVES_MAX {
                    return Err(Error::ConditionalConflict);
                }
                service.moves.push(moving.clone());
            }
            service.say_as(&from, &to);
            Ok(())
        })
        .await
    }

    /// Goes on with the directories that are on their way, each as one process at a time does it.
    pub(super) async fn carry_on(&self, bucket: &BucketName) {
        let Ok(bound) = self.bound(bucket).await else { return };
        let moves = bound.bucket.config.service.as_ref().map(|service| service.moves.clone()).unwrap_or_default();
        for moving in moves {
            // Somebody waits for this one already.
            if self.0.served.is_moving(&name_of(&bound, &moving)) {
                continue;
            }
            match self.carry(&Caller::ROOT, &bound, &moving).await {
                Ok(()) => tracing::info!(%bucket, "a directory that was on its way has come to its new path"),
                Err(error) => tracing::warn!(%bucket, %error, "a directory on its way has to wait"),
            }
        }
    }

    /// Moves all keys of a directory that is noted.
    async fn carry(&self, caller: &Caller, bound: &Arc<Bound>, moving: &Moving) -> ItemResult<()> {
        let (from, to) = (ItemPath::parse(&moving.from)?, ItemPath::parse(&moving.to)?);
        let name = name_of(bound, moving);
        if !self.0.served.begin(&name) {
            return Err(Error::ConditionalConflict.into());
        }
        let mut turn = Turn::at(format!("move {name}"));
        let carried = self.in_turn(&mut turn, self.carry_keys(caller, bound, (&from, &to), moving)).await;
        self.0.served.end(&name);
        let blocked = carried.ok_or(Error::ConditionalConflict)??;
        self.change_config(&Caller::ROOT, &bound.bucket.name, Action::PutBucketPolicy, |config, _| {
            if let Some(service) = &mut config.service {
                service.moves.retain(|other| other != moving);
                if !blocked {
                    service.forget(&from);
                }
            }
            Ok(())
        })
        .await?;
        if blocked { Err(ItemError::Exists) } else { Ok(()) }
    }

    /// True: something stayed, as something else is where it would have gone.
    async fn carry_keys(
        &self,
        caller: &Caller,
        bound: &Arc<Bound>,
        (from, to): (&ItemPath, &ItemPath),
        moving: &Moving,
    ) -> ItemResult<bool> {
        let (mut after, mut blocked) = (None, false);
        loop {
            let page = self.keys_below(bound, from, after.take(), ITEMS_PAGE_ROWS).await?;
            let ended = page.len() < ITEMS_PAGE_ROWS;
            after = page.last().map(|key| key.as_str().to_owned());
            let mut moves = stream::iter(page)
                .map(|key| async move {
                    let new = moved_key(&key, from, to)?;
                    self.move_key(caller, bound, (&key, &new), (None, moving.owner.as_deref())).await
                })
                .buffer_unordered(DELETES_AT_ONCE);
            while let Some(moved) = moves.next().await {
                blocked |= moved? == Moved::Blocked;
            }
            if ended {
                return Ok(blocked);
            }
        }
    }

    /// Gives one object another key, with all that it is, if nothing is there and nothing `beside` it. In a bucket with
    /// versions this may have been cut short: the copy that is there already counts as made.
    async fn move_key(
        &self,
        caller: &Caller,
        bound: &Arc<Bound>,
        (from, to): (&ObjectKey, &ObjectKey),
        (beside, owner): (Option<&ObjectKey>, Option<&str>),
    ) -> ItemResult<Moved> {
        let bucket = &bound.bucket.name;
        // What a role moves is its own, and what it does not see is not in its way.
        let conditions = only_new(beside.filter(|_| owner.is_none()));
        for _ in 0..COMMIT_TRIES_MAX {
            let Some(source) = self.really_there(bound, from).await? else { return Ok(Moved::Yes) };
            let owner = owner.unwrap_or(&source.owner);
            let mut request = CopyRequest { conditions: conditions.clone(), ..copy_of(bucket, &source, to, owner) };
            // Of a directory all was looked at, and all is said, before the first key moves.
            request.given.moved = beside.is_some();
            let copy = match self.move_object(caller, request).await {
                Ok(_) => return Ok(Moved::Yes),
                // It was written meanwhile, or something is there.
                Err(Error::PreconditionFailed) => {
                    let there = self.catalog().object(&SERVICE, bound.bucket.id, to).await?;
                    match there {
                        None if self.refuse_beside(bound, &conditions).await.is_err() => {
                            return Ok(Moved::Blocked);
                        }
                        None => continue,
                        Some(there) if is_copy(&source, &there, owner) => there,
                        Some(_) => return Ok(Moved::Blocked),
                    }
                }
                Err(Error::NoSuchKey) => return Ok(Moved::Yes),
                Err(error) => return Err(error.into()),
            };
            match self.give_up(caller, (bucket, &source), (bucket, &copy)).await {
                Ok(()) => return Ok(Moved::Yes),
                // What was copied is not what is there now: it begins anew.
                Err(Error::PreconditionFailed) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::ConditionalConflict.into())
    }
}

/// Under which name a directory is on its way.
fn name_of(bound: &Bound, moving: &Moving) -> String {
    format!("{}/{}", bound.bucket.name, moving.from)
}

/// The key that one of a directory gets.
pub(super) fn moved_key(key: &ObjectKey, from: &ItemPath, to: &ItemPath) -> Result<ObjectKey> {
    let rest = key.as_str().get(from.prefix().len()..).unwrap_or_default();
    Ok(ObjectKey::new(&format!("{}{rest}", to.prefix()))?)
}

/// Whether an object is what a move that was cut short has made of another one: it came to be at the same nanosecond, and
/// the other one was not written since. What was found in a directory has no hash until it is copied, so its ETag is
/// another one.
fn is_copy(source: &Object, there: &Object, owner: &str) -> bool {
    let facts = |object: &Object| (object.size, object.content.clone());
    let hashed = |object: &Object| !object.etag.contains('-');
    let same_bytes = match hashed(source) && hashed(there) {
        true => source.etag == there.etag,
        false => source.modified < there.modified,
    };
    let same = there.owner == owner && facts(source) == facts(there);
    there.attached.created == Some(source.created()) && same && same_bytes
}

fn copy_of(bucket: &BucketName, source: &Object, to: &ObjectKey, owner: &str) -> CopyRequest {
    CopyRequest {
        from_bucket: bucket.clone(),
        from_key: source.key.clone(),
        from_version: None,
        source_conditions: Conditions::matching(&source.etag),
        source_key: None,
        bucket: bucket.clone(),
        key: to.clone(),
        content: CopyContent::Keep,
        keep_tags: true,
        given: Given {
            heritage: Some(Heritage { owner: owner.to_owned(), created: source.created() }),
            ..Given::default()
        },
        conditions: Conditions::default(),
        algorithm: None,
    }
}
