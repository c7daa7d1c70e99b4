//! What follows an object of a FileStore that another front gives another key, and what holds for one that comes.
//!
//! **Invariant:** an item that is moved or written over stays whose it is, and what is said of it is said of its new path
//! before it is there; nothing comes to be deeper than the service lets it. A body may take its time: who may write, and
//! whose it is then, is judged when it is clear what is displaced.

use std::borrow::Cow;

use crate::auth::decide::{Row, Target};
use crate::config::limits::GRANTED_GROUPS_MAX;
use crate::model::action::Action;
use crate::model::caller::Caller;
use crate::model::condition::Conditions;
use crate::model::item::ItemPath;
use crate::model::name::ObjectKey;
use crate::model::object::Object;
use crate::store::bound::Bound;
use crate::store::error::{Error, Result};
use crate::store::request::{CopyRequest, Given, Heritage};
use crate::store::{SERVICE, Store};

/// What the first half of a move attaches to its copy: in a FileStore the owner and the date of its source.
pub(in crate::store) fn given_to_copy<'g>(bound: &Bound, source: &Object, given: &'g Given) -> Cow<'g, Given> {
    if !given.moved || bound.bucket.config.bound_service().is_none() || given.heritage.is_some() {
        return Cow::Borrowed(given);
    }
    let heritage = Some(Heritage { owner: source.owner.clone(), created: source.created() });
    Cow::Owned(Given { heritage, ..given.clone() })
}

impl Store {
    /// Says of the key that an object is about to be moved to what is said of its own key.
    pub(in crate::store) async fn say_before_move(
        &self,
        source: &Bound,
        bound: &Bound,
        request: &CopyRequest,
    ) -> Result<()> {
        let paths = (ItemPath::of_key(&request.from_key), ItemPath::of_key(&request.key));
        let (true, (Some(from), Some(to)), Some(service)) = (request.given.moved, paths, &source.bucket.config.service)
        else {
            return Ok(());
        };
        // What is said of a directory is said of all that is in it, which stays.
        let Some(said) = service.grants.get(from.as_str()).filter(|_| from.file() == Some(&request.from_key)) else {
            return Ok(());
        };
        if self.catalog().object(&SERVICE, bound.bucket.id, &request.key).await?.is_some() {
            return Err(Error::PreconditionFailed);
        }
        self.change_config(&Caller::ROOT, &request.bucket, Action::PutBucketPolicy, |config, _| {
            let Some(service) = &mut config.service else { return Ok(()) };
            service.grants.insert(to.as_str().to_owned(), said.clone());
            // Where it comes from there is an entry less soon.
            if request.from_bucket != request.bucket && service.said() > GRANTED_GROUPS_MAX {
                return Err(Error::InvalidRequest("too many groups are named"));
            }
            Ok(())
        })
        .await
    }

    /// Refuses a new object with more levels than the FileStore lets it have.
    pub(in crate::store) async fn refuse_too_deep(&self, bound: &Bound, key: &ObjectKey) -> Result<()> {
        let most = bound.bucket.config.bound_service().and_then(|service| service.levels_max);
        let levels = key.as_str().trim_end_matches('/').split('/').count();
        if most.is_none_or(|most| levels <= most)
            || self.catalog().object(&SERVICE, bound.bucket.id, key).await?.is_some()
        {
            return Ok(());
        }
        Err(Error::InvalidRequest("The key has more levels than its FileStore takes."))
    }

    /// Decides about a write once more, by what it would displace. Under the key's lock.
    ///
    /// # Errors
    /// Refusals, in a FileStore; elsewhere what is displaced has no say.
    pub(in crate::store) async fn may_displace(
        &self,
        bound: &Bound,
        caller: &Caller,
        key: &ObjectKey,
        displaced: Option<&Object>,
    ) -> Result<()> {
        if bound.bucket.config.bound_service().is_none() {
            return Ok(());
        }
        let heir = if displaced.is_none() { self.heir(&bound.bucket, key).await? } else { None };
        let row = Row::of(displaced, heir.as_deref());
        self.allow(caller, Action::PutObject, Target::Object(&bound.bucket, &bound.rules, key, row))
    }

    /// Whose an object is that is `own` if it replaces nothing: an item of a FileStore stays whose it is, whoever writes
    /// it; but what a role writes is its own, as the policies were asked about a row that is.
    pub(in crate::store) fn owner_over<'a>(
        &self,
        bound: &Bound,
        caller: &Caller,
        own: &'a str,
        replaced: Option<&'a Object>,
    ) -> &'a str {
        let stays = bound.bucket.config.bound_service().is_some() && !self.is_judged(caller);
        replaced.filter(|_| stays).map_or(own, |replaced| &replaced.owner)
    }

    /// Refuses a write of which a neighbour must be missing that is there.
    pub(in crate::store) async fn refuse_beside(&self, bound: &Bound, conditions: &Conditions) -> Result<()> {
        let Some(neighbour) = &conditions.beside else { return Ok(()) };
        match self.catalog().object(&SERVICE, bound.bucket.id, neighbour).await? {
            Some(_) => Err(Error::PreconditionFailed),
            None => Ok(()),
        }
    }
}
