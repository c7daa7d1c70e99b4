//! Files so young that their stamp is not final: a further write might leave inode, mtime and size as they are.
//!
//! Providers say so of files that are not ours, where the clock of mtimes ticks. Such a file is adopted at once, but what
//! its row says as ETag is only a mark. Once the stamp is old it is final, and the first look at the row gives it the ETag
//! that belongs to the stamp. Until then every answer shows another ETag, so that no client can hold two reads together
//! by one that covers two bodies.
//!
//! **Invariant:** an ETag that is shown twice belongs to one body: it was given by us, or is derived from a final stamp.

use std::sync::Arc;
use std::time::Duration;

use md5::{Digest as _, Md5};

use crate::catalog::{self, Change};
use crate::config::limits::STAMP_YOUNG_NANOS;
use crate::model::id::{VersionId, hex};
use crate::model::name::ObjectKey;
use crate::model::object::{Entry, Object};
use crate::model::place::Stamp;
use crate::model::time::{Clock, Timestamp};
use crate::store::adopt::provisional_etag;
use crate::store::bound::Bound;
use crate::store::error::{Error, Result};
use crate::store::{SERVICE, Store};

/// The ETag that marks a row whose stamp was young when it was looked at. It has the form of a provisional one.
pub(super) fn young_etag(stamp: &Stamp) -> String {
    format!("{}-1", hex(&Md5::digest(format!("young {}", stamp.as_str()))))
}

fn is_marked(etag: &str, stamp: &Stamp) -> bool {
    etag.ends_with("-1") && etag == young_etag(stamp)
}

/// Whether a row is marked and its stamp is final by now.
pub(super) fn is_due(row: &Object) -> bool {
    is_marked(&row.etag, &row.stamp) && youth(row.modified).is_none()
}

/// How long until the stamp of this mtime is final; `None`: it is.
fn youth(modified: Timestamp) -> Option<Duration> {
    let age = Clock::now().0.saturating_sub(modified.0);
    // A date that lies further ahead than a tick was set by somebody, and the next write will not give it again.
    let young = age.unsigned_abs() < STAMP_YOUNG_NANOS.unsigned_abs();
    let left = STAMP_YOUNG_NANOS.saturating_sub(age);
    young.then(|| Duration::from_nanos(u64::try_from(left).unwrap_or(0)))
}

/// What a row is to an answer that is given now.
pub(super) enum Sight {
    /// As it says: its stamp is final.
    Final,
    /// Its stamp is young: the facts with an ETag for this answer alone.
    Young(Box<Object>),
    /// Its stamp was young and is final now: read it again.
    Settled,
}

/// What a listing shows of a row: the ETag that a look at the object would settle, as soon as it can.
pub(super) fn listed(mut entry: Entry) -> Entry {
    if is_marked(&entry.etag, &entry.stamp) && youth(entry.modified).is_none() {
        entry.etag = provisional_etag(&entry.stamp);
    }
    entry
}

impl Store {
    /// Looks at a row again whose stamp was young. Not under the key's lock.
    pub(super) async fn sight(&self, bound: &Arc<Bound>, row: &Object) -> Result<Sight> {
        if !is_marked(&row.etag, &row.stamp) {
            return Ok(Sight::Final);
        }
        if youth(row.modified).is_some() {
            let etag = young_etag(&Stamp::new(&VersionId::fresh().to_string()));
            return Ok(Sight::Young(Box::new(Object { etag, ..row.clone() })));
        }
        let _order = self.0.locks.lock(bound.bucket.id, &row.key).await;
        self.settle_stamp(bound, &row.key).await?;
        Ok(Sight::Settled)
    }

    /// Gives the row of a key the ETag that is due to it, if its stamp was young and is final. Under the key's lock.
    pub(super) async fn settle_stamp(&self, bound: &Arc<Bound>, key: &ObjectKey) -> Result<()> {
        let row = self.catalog().object(&SERVICE, bound.bucket.id, key).await?;
        let Some(mut row) = row.filter(is_due) else { return Ok(()) };
        row.etag = provisional_etag(&row.stamp);
        self.hash_adopted(bound, &mut row).await?;
        let change = Change::of_row(bound.bucket.id, key.clone(), Some(row.seen()), Some(row));
        match self.commit_change(change).await {
            Ok(()) | Err(catalog::Error::Conflict) => Ok(()),
            Err(catalog::Error::NotFound) => Err(Error::NoSuchBucket),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the stamp of an object that is to be hashed is final, so that its MD5 speaks for all who have it.
    pub(super) async fn until_final(object: &Object) {
        if is_marked(&object.etag, &object.stamp)
            && let Some(left) = youth(object.modified)
        {
            tokio::time::sleep(left).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_young_for_two_seconds_around_its_date() {
        let at = |nanos: i64| Timestamp(Clock::now().0 + nanos);
        assert!(youth(at(-1_000_000_000)).is_some_and(|left| left <= Duration::from_secs(1)));
        assert!(youth(at(1_000_000_000)).is_some_and(|left| left > Duration::from_secs(2)));
        assert_eq!((youth(at(-2_000_000_001)), youth(at(60_000_000_000))), (None, None));
    }

    #[test]
    fn a_mark_is_of_its_stamp() {
        let (one, other) = (Stamp::new("1-2-3"), Stamp::new("1-2-4"));
        assert!(is_marked(&young_etag(&one), &one));
        assert!(!is_marked(&young_etag(&one), &other) && !is_marked(&provisional_etag(&one), &one));
    }
}
