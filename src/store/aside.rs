//! Steps about versions that are kept behind the current one: to their managed places, with records that say so.
//!
//! **Invariant:** only bytes whose row is gone are freed here; what a row names is moved.

use crate::model::id::VersionId;
use crate::model::name::ObjectKey;
use crate::model::object::Object;
use crate::model::place::{Displaced, Placed, Stamp};
use crate::model::record::Record;
use crate::model::versioning::VersionRef;
use crate::provider::LayOut;
use crate::store::bound::{Bound, is_absent};
use crate::store::error::Result;
use crate::store::{SERVICE, Store};

impl Store {
    /// Takes the lay-out of a version that is no longer current: what is kept goes to its managed place, the rest is
    /// freed.
    pub(super) async fn lay_aside(&self, bound: &Bound, step: &LayOut<'_>, row: Option<&Object>) -> Result<()> {
        let (key, version) = (step.key, step.version);
        if self.is_behind(bound, key, version).await? {
            self.move_aside(bound, key, version, step.stamp).await?;
        } else {
            self.free(bound, key, version, Some(step.stamp)).await?;
        }
        // What it displaced is owed nowhere else: left at the key, it would be adopted as if it had come back.
        let Some(over) = step.over.filter(|over| row.is_none_or(|row| row.stamp != **over)) else { return Ok(()) };
        match step.displaced {
            Displaced::Keep(Some(own)) if self.is_behind(bound, key, own).await? => {
                self.move_aside(bound, key, own, over).await
            }
            Displaced::Keep(Some(own)) => self.free(bound, key, own, Some(over)).await,
            Displaced::Keep(None) | Displaced::Free => self.free(bound, key, version, Some(over)).await,
        }
    }

    /// Whether a version is kept behind the current one.
    async fn is_behind(&self, bound: &Bound, key: &ObjectKey, version: VersionId) -> Result<bool> {
        let row = self.catalog().version(&SERVICE, bound.bucket.id, key, VersionRef::Id(version)).await?;
        let current = self.catalog().object(&SERVICE, bound.bucket.id, key).await?;
        Ok(row.is_some() && current.is_none_or(|current| current.version != version))
    }

    /// Moves the bytes of a version whose row says so from its key to its managed place.
    pub(super) async fn move_aside(
        &self,
        bound: &Bound,
        key: &ObjectKey,
        version: VersionId,
        stamp: &Stamp,
    ) -> Result<()> {
        let row = self.catalog().version(&SERVICE, bound.bucket.id, key, VersionRef::Id(version)).await?;
        if row.is_none_or(|row| row.placed == Placed::Natural) {
            return Ok(());
        }
        match bound.provider.take_aside(bound.place(), key, version, stamp).await {
            Ok(()) => self.note(bound, key, version).await,
            // A lay-out that is owed brings it there, or somebody has edited the file before it could be moved.
            Err(error) if is_absent(&error) => {
                tracing::warn!(bucket = %bound.bucket.name, %key, %version, "a version that was to be set aside is not at its key");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the record of a version anew, as its row says it now.
    pub(super) async fn note(&self, bound: &Bound, key: &ObjectKey, version: VersionId) -> Result<()> {
        let row = self.catalog().version(&SERVICE, bound.bucket.id, key, VersionRef::Id(version)).await?;
        let Some(row) = row else { return Ok(()) };
        let record = Record::of(&row, &bound.bucket.name);
        for place in [row.place(), row.other_place()] {
            match bound.provider.set_record(bound.place(), &place, &row.stamp, &record).await {
                Err(error) if is_absent(&error) => {}
                written => return Ok(written?),
            }
        }
        Ok(())
    }
}
