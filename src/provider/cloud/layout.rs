//! The steps of natural layout on a cloud: copying a managed version to its key, and taking one aside.
//!
//! There are no renames, so a lay-out is a copy under the service's own condition on what lies at the key, and then the
//! removal of the managed object. The bytes are at one of the two names, or at both, at any time. Each round looks at
//! both, decides by what it sees and takes one step, so it does not matter whether it begins afresh, goes on after a
//! crash, or runs beside another gateway at the same key.
//!
//! **Invariant:** what is replaced at the key was judged by its tag, and the service replaces nothing else: the displaced
//! stamp, an older version of ours, or an outside edit that was copied to `.longshore/lost` before.

use std::io;

use super::mark::Known;
use super::service::{At, When};
use super::space::Space;
use crate::config::limits::CLOUD_ROUNDS_MAX;
use crate::model::id::VersionId;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::place::{Displaced, Stamp};
use crate::model::record::Record;
use crate::provider::{Error, LaidOut, LayOut, Result};

/// What lies at the key, to a lay-out.
enum Seen {
    /// Nothing.
    Nothing,
    /// The version that is laid out.
    This,
    /// What it displaces; if it stays, with its version.
    Older(Known, Option<VersionId>),
    /// A newer version of ours.
    Newer,
    /// An outside edit.
    Foreign(Known),
}

impl Space {
    /// Lays a version out at its key.
    pub(super) async fn lay_out(&self, bucket: &BucketName, step: &LayOut<'_>) -> Result<LaidOut> {
        let container = &*self.container(bucket)?;
        let key = step.key.as_str();
        if !self.service.holds(key) {
            return Err(Error::Clash);
        }
        let managed = Self::managed(step.version);
        let mut done = LaidOut::Done;
        for _ in 0..CLOUD_ROUNDS_MAX {
            let (ours, there) =
                tokio::try_join!(self.known_if_there(container, &managed), self.known_if_there(container, key))?;
            let seen = self.judge(bucket, step, there).await?;
            let Some(ours) = ours.filter(|ours| ours.stamp == *step.stamp) else {
                return match seen {
                    Seen::Nothing => Err(Error::NotFound),
                    Seen::This => Ok(done),
                    Seen::Older(..) | Seen::Newer | Seen::Foreign(_) => Ok(LaidOut::Superseded),
                };
            };
            let placed = match &seen {
                // The record beside the bytes goes on to speak for them.
                Seen::This => Ok(()),
                Seen::Newer => return Ok(LaidOut::Superseded),
                Seen::Nothing => self.move_to(container, &managed, &ours, key, When::Absent).await,
                Seen::Older(old, keep) => {
                    if let Some(version) = keep {
                        let to = Self::managed(*version);
                        self.move_to(container, key, old, &to, When::Absent).await.or_else(moved_on)?;
                    }
                    self.move_to(container, &managed, &ours, key, When::Is(&old.facts.tag)).await
                }
                Seen::Foreign(edit) => {
                    let name = format!("{}-{}", step.version, edit.facts.modified.0);
                    self.move_to(container, key, edit, &Self::lost(&name), When::Always).await?;
                    done = LaidOut::DoneKeeping(name);
                    self.move_to(container, &managed, &ours, key, When::Is(&edit.facts.tag)).await
                }
            };
            match placed {
                Ok(()) => {
                    let at = At { container, name: &managed };
                    self.service.delete(at, When::Is(&ours.facts.tag)).await.or_else(moved_on)?;
                    // What others copied here carries the mark of its original, whose record stays.
                    if let Seen::Older(old, None) = &seen
                        && let Some((_, version)) = self.record_of(bucket, old, step.key).await?
                    {
                        self.free_record(container, version).await?;
                    }
                    return Ok(done);
                }
                // Somebody changed one of the two names: look again.
                Err(Error::StampMismatch | Error::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Unavailable(io::Error::other("the key keeps changing")))
    }

    async fn judge(&self, bucket: &BucketName, step: &LayOut<'_>, there: Option<Known>) -> Result<Seen> {
        let Some(there) = there else { return Ok(Seen::Nothing) };
        if there.stamp == *step.stamp {
            return Ok(Seen::This);
        }
        if step.over == Some(&there.stamp) {
            let keep = match step.displaced {
                Displaced::Keep(version) => version,
                Displaced::Free => None,
            };
            return Ok(Seen::Older(there, keep));
        }
        let (counter, version) = match self.record_of(bucket, &there, step.key).await? {
            Some(found) => found,
            None => return Ok(Seen::Foreign(there)),
        };
        let keep = matches!(step.displaced, Displaced::Keep(_)).then_some(version);
        Ok(match counter.cmp(&step.counter) {
            std::cmp::Ordering::Less => Seen::Older(there, keep),
            std::cmp::Ordering::Greater => Seen::Newer,
            std::cmp::Ordering::Equal => Seen::Foreign(there),
        })
    }

    /// Order and version of an object of ours that was written for this key. A mark that was never completed speaks for
    /// whatever is there, so the record must be of bytes of this size.
    async fn record_of(&self, bucket: &BucketName, there: &Known, key: &ObjectKey) -> Result<Option<(u64, VersionId)>> {
        let Some(version) = there.version() else { return Ok(None) };
        let within = there.mark.as_ref().and_then(|mark| mark.record.as_deref().cloned());
        let record = match within {
            Some(record) => Some(record),
            None => self.read_record(&self.container(bucket)?, version).await?,
        };
        let ours = |record: &Record| record.version == version && record.is_of(bucket, key) && there.fits(record);
        Ok(record.filter(ours).map(|record| (record.counter, record.version)))
    }

    /// Moves the bytes of `stamp` from the key to `managed(version)`.
    pub(super) async fn take_aside(
        &self,
        container: &str,
        key: &ObjectKey,
        version: VersionId,
        stamp: &Stamp,
    ) -> Result<()> {
        let managed = Self::managed(version);
        let aside = self.known_if_there(container, &managed).await?.is_some_and(|known| known.stamp == *stamp);
        let there = match self.known_if_there(container, key.as_str()).await? {
            Some(there) if there.stamp == *stamp => there,
            _ if aside => return Ok(()),
            Some(_) => return Err(Error::StampMismatch),
            None => return Err(Error::NotFound),
        };
        if !aside {
            self.move_to(container, key.as_str(), &there, &managed, When::Always).await?;
        }
        let at = At { container, name: key.as_str() };
        match self.service.delete(at, When::Is(&there.facts.tag)).await {
            // What came to the key behind the copy stays there. The bytes are aside, perhaps for the last time.
            Err(Error::StampMismatch) => Ok(()),
            ended => ended,
        }
    }
}

/// Somebody else has taken the same step.
fn moved_on(error: Error) -> Result<()> {
    match error {
        Error::StampMismatch | Error::NotFound => Ok(()),
        error => Err(error),
    }
}
