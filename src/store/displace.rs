//! What becomes of what a write or a delete displaces: freed, or kept behind the current version.
//!
//! **Invariant:** in a bucket that keeps versions nothing leaves the catalog but what a request names, and the version
//! `null` that another `null` replaces. A version that is kept is at its managed place, or a step that brings it there
//! is owed by the commit that displaced it.

use crate::catalog::{History, NewTask, Step};
use crate::model::name::ObjectKey;
use crate::model::object::Object;
use crate::model::place::{Displaced, Placed};
use crate::model::versioning::{VersionRef, Versioning};
use crate::store::bound::Bound;
use crate::store::error::Result;
use crate::store::{SERVICE, Store};

/// What is behind the current version of a key, as far as a change of it needs to know.
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// The newest version or marker.
    pub(super) newest: Option<Object>,
    /// The one shown as `null`, where a new `null` would replace it.
    pub(super) null: Option<Object>,
}

/// How a commit keeps or frees what it displaces.
#[derive(Debug, Default)]
pub(super) struct Fate {
    pub(super) history: Vec<History>,
    pub(super) tasks: Vec<NewTask>,
    /// For the lay-out of what displaces it.
    pub(super) displaced: Displaced,
}

/// A version as it is kept behind a newer one.
pub(super) fn demoted(object: &Object) -> Object {
    Object { placed: Placed::Managed, ..object.clone() }
}

impl Store {
    /// Reads what is behind `current`. Under the key's lock.
    pub(super) async fn behind(&self, bound: &Bound, key: &ObjectKey, current: Option<&Object>) -> Result<Behind> {
        let versioning = bound.bucket.config.versioning;
        if versioning == Versioning::Never {
            return Ok(Behind::default());
        }
        let newest = self.catalog().history(&SERVICE, bound.bucket.id, key, 1).await?.pop();
        let replaces_null = versioning == Versioning::Suspended && current.is_none_or(|current| !current.null);
        let null = match replaces_null && newest.is_some() {
            true => self.catalog().version(&SERVICE, bound.bucket.id, key, VersionRef::Null).await?,
            false => None,
        };
        Ok(Behind { newest, null })
    }
}

/// What becomes of the current version that is displaced, by bytes that go to the key (`over`) or not, and of the `null`
/// that a new one replaces.
pub(super) fn fate(bound: &Bound, key: &ObjectKey, displaced: Option<&Object>, behind: &Behind, over: bool) -> Fate {
    let mut fate = Fate::default();
    let task = |version, step| NewTask { bucket: bound.bucket.id, key: key.clone(), version, step, bytes: None };
    let drop = |object: &Object| task(object.version, Step::Drop { stamp: Some(object.stamp.clone()) });
    let versioning = bound.bucket.config.versioning;
    if versioning != Versioning::Never {
        fate.displaced = Displaced::Keep(None);
    }
    if let Some(null) = &behind.null {
        fate.history.push(History::Remove(null.seen()));
        fate.tasks.push(drop(null));
    }
    let Some(displaced) = displaced else { return fate };
    if versioning == Versioning::Never || (versioning == Versioning::Suspended && displaced.null) {
        // A lay-out frees the file it displaces at the key. The step is for the rest: a managed place, or a file that a
        // delete which did not come to its commit has left aside.
        fate.tasks.push(drop(displaced));
        return fate;
    }
    fate.history.push(History::Add(Box::new(demoted(displaced))));
    match displaced.placed {
        Placed::Natural if over => fate.displaced = Displaced::Keep(Some(displaced.version)),
        Placed::Natural => fate.tasks.push(task(displaced.version, Step::SetAside { stamp: displaced.stamp.clone() })),
        Placed::Managed | Placed::Beneath | Placed::Beside => {}
    }
    fate
}
