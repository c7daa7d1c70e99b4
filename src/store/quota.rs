//! What a bucket with a quota still takes, asked before bytes are read; the commit that makes an object counts.
//!
//! Parts are counted when they have become an object. Until then an upload holds no more of them than would fit, and a
//! bucket with a quota has no more than so many uploads.
//!
//! **Invariant:** a bucket without a quota is asked nothing.

use crate::config::limits::QUOTA_UPLOADS_MAX;
use crate::model::name::ObjectKey;
use crate::model::upload::Upload;
use crate::model::versioning::Versioning;
use crate::store::bound::Bound;
use crate::store::error::{Error, Result};
use crate::store::{SERVICE, Store};

impl Store {
    /// A body that does not fit into the quota now is refused before it is read; the commit counts again.
    ///
    /// # Errors
    /// [`Error::QuotaExceeded`].
    pub(super) async fn refuse_beyond_quota(&self, bound: &Bound, key: &ObjectKey, bytes: Option<u64>) -> Result<()> {
        let bytes = bytes.unwrap_or(0);
        if bytes > self.room_at(bound, key, bytes).await? { Err(Error::QuotaExceeded) } else { Ok(()) }
    }

    /// Most bytes of a part, which must fit into the quota together with the other parts of its upload. `bytes`: how long
    /// it is, if that was declared.
    ///
    /// # Errors
    /// [`Error::QuotaExceeded`] if that is more.
    pub(super) async fn room_for_part(
        &self,
        bound: &Bound,
        upload: &Upload,
        number: u32,
        bytes: Option<u64>,
    ) -> Result<u64> {
        if bound.bucket.config.quota.bytes.is_none() {
            return Ok(u64::MAX);
        }
        let parts = self.all_parts(upload).await?;
        let others: u64 = parts.values().filter(|part| part.number != number).map(|part| part.size).sum();
        let wanted = others.saturating_add(bytes.unwrap_or(u64::MAX));
        let left = self.room_at(bound, &upload.key, wanted).await?.saturating_sub(others);
        if bytes.is_some_and(|bytes| bytes > left) { Err(Error::QuotaExceeded) } else { Ok(left) }
    }

    /// Refuses an upload beside too many others, each of which may hold as much as fits.
    ///
    /// # Errors
    /// [`Error::QuotaExceeded`].
    pub(super) async fn refuse_more_uploads(&self, bound: &Bound) -> Result<()> {
        if bound.bucket.config.quota.is_none() {
            return Ok(());
        }
        let open = self.catalog().uploads(&SERVICE, bound.bucket.id, "", None, QUOTA_UPLOADS_MAX).await?;
        if open.len() < QUOTA_UPLOADS_MAX { Ok(()) } else { Err(Error::QuotaExceeded) }
    }

    /// How many bytes fit at a key. What is replaced there makes room, which is looked up if `bytes` do not fit without it.
    async fn room_at(&self, bound: &Bound, key: &ObjectKey, bytes: u64) -> Result<u64> {
        if bound.bucket.config.quota.is_none() {
            return Ok(u64::MAX);
        }
        let room = self.catalog().room(&SERVICE, bound.bucket.id).await?.and_then(|room| room.bytes);
        let Some(room) = room else { return Ok(u64::MAX) };
        if bytes <= room {
            return Ok(room);
        }
        let replaced = match bound.bucket.config.versioning {
            Versioning::Enabled => None,
            Versioning::Never | Versioning::Suspended => {
                self.catalog().object(&SERVICE, bound.bucket.id, key).await?.filter(|row| row.null)
            }
        };
        Ok(room.saturating_add(replaced.map_or(0, |row| row.size)))
    }
}
