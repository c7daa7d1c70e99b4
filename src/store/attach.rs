//! Start and stop: containers claimed, adopted and released, owed steps taken.
//!
//! `.longshore/id` in each container names the catalog it belongs to. Another catalog's id stops the start: two catalogs
//! on one container would each undo the other's work.
//!
//! **Invariant:** nothing is served before every owed step was tried, and `clean` is written only after everything owed
//! was settled.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::bucket::{Bucket, BucketConfig, BucketSettings};
use crate::model::id::{BucketId, CatalogId};
use crate::model::name::BucketName;
use crate::model::time::{Clock, Timestamp};
use crate::provider::{self, Container, Note, Provider};
use crate::store::error::{Error, Result};
use crate::store::mount::{Mount, Pass};
use crate::store::{SERVICE, Store};

/// Buckets read at a time.
const BUCKETS_PAGE: usize = 1000;

/// Why the containers are attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// To serve them: they are marked as in use until [`Store::release`].
    Serve,
    /// To bring them up to date beside a server, which has marked them.
    Scan,
    /// To rebuild a lost catalog: containers of another catalog are taken over.
    Rebuild,
    /// To look at them: none is marked or adopted, and a deletion that was cut short stays so.
    Look,
}

/// What was attached.
#[derive(Debug, Clone, Default)]
pub struct AttachReport {
    /// Buckets with their containers.
    pub buckets: usize,
    /// Buckets whose last server did not stop cleanly.
    pub unclean: Vec<BucketName>,
    /// Containers that could not be looked at, and providers of which none could. They are served when they can be.
    pub failed: Vec<String>,
    /// Containers that become buckets when they are served, by [`Attach::Look`].
    pub unadopted: Vec<BucketName>,
}

/// How the claim of a container ended.
pub(super) enum Claimed {
    /// It is ours, and the last server stopped cleanly.
    Clean,
    /// It is ours, and something may be owed.
    Unclean,
    /// It belongs to another catalog.
    Foreign,
    /// A rebuild of it has not come to its end.
    HalfRebuilt,
    /// It is no bucket yet, and was only looked at.
    Unadopted,
}

/// The text of `.longshore/id`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Mark {
    catalog: CatalogId,
    /// Nothing was owed when the last server stopped.
    clean: bool,
    /// The bucket is being deleted; what is left of it goes at the next start.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deleting: bool,
    /// A rebuild took the container over and has not come to its end: the catalog knows a part of its objects only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    rebuilding: bool,
}

/// The text of `.longshore/bucket`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct BucketNote {
    owner: String,
    created: Timestamp,
    settings: BucketSettings,
    #[serde(default)]
    config: BucketConfig,
}

impl AttachReport {
    pub(super) fn add(&mut self, other: Self) {
        self.buckets += other.buckets;
        self.unclean.extend(other.unclean);
        self.failed.extend(other.failed);
        self.unadopted.extend(other.unadopted);
    }
}

/// Why a provider is not attached.
#[derive(Debug)]
pub(super) enum Unattached {
    /// A container is not ours to serve; somebody has to decide.
    Refused(Error),
    /// It does not answer, or not as it should; later it may.
    Failed(Error),
}

impl From<Error> for Unattached {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Mark {
    fn read(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }
}

fn json(value: &impl Serialize) -> Result<Bytes> {
    serde_json::to_vec_pretty(value).map(Bytes::from).map_err(|error| Error::Internal(error.into()))
}

impl Store {
    /// Whether the text of a container's id names this catalog.
    pub(super) fn is_ours(&self, text: &[u8]) -> bool {
        Mark::read(text).is_some_and(|mark| mark.catalog == self.catalog().id())
    }

    /// Claims every container, adopts those that have no bucket yet, and takes the steps that are still owed, as far as
    /// `why` asks for it.
    ///
    /// # Errors
    /// A container that belongs to another catalog; failures of storage and catalog. For an administrator's eyes.
    pub async fn attach(&self, why: Attach) -> Result<AttachReport> {
        let mut report = AttachReport::default();
        for (name, mount) in &self.0.mounts {
            let claimed = match mount.opened() {
                Ok(provider) => self.claim_containers((name, mount), &*provider, why, &mut Pass::default()).await,
                Err(error) => Err(error.into()),
            };
            match claimed {
                Ok(claimed) => report.add(claimed),
                Err(Unattached::Refused(error)) => return Err(error),
                Err(Unattached::Failed(error)) => {
                    tracing::error!(provider = %name, %error, "the containers of a provider cannot be listed");
                    report.failed.push(name.clone());
                }
            }
        }
        if why == Attach::Serve {
            self.restore_containers(self.all_buckets().await?).await?;
            self.catalog().tidy_uploads(&SERVICE, true, Timestamp(0)).await?;
        }
        // A rebuild goes on with what the catalog still keeps, so files that a crash damaged are written anew first.
        if matches!(why, Attach::Serve | Attach::Rebuild) {
            self.replay_after_start().await?;
            self.settle().await;
        }
        Ok(report)
    }

    /// Claims a container on the way; see [`Store::attach`].
    pub(super) async fn claim(&self, provider: &dyn Provider, container: &Container, clean: bool) -> Result<()> {
        match provider.read_note(&container.name, Note::Id).await? {
            Some(text) if self.is_ours(&text) => return Ok(()),
            Some(_) => return Err(foreign(&container.name)),
            None => {}
        }
        self.mark(provider, container, clean, false).await
    }

    /// Claims a container, or only says whose it is.
    pub(super) async fn claim_for(
        &self,
        provider: &dyn Provider,
        container: &Container,
        why: Attach,
    ) -> Result<Claimed> {
        let text = provider.read_note(&container.name, Note::Id).await?;
        let mark = text.as_deref().and_then(Mark::read);
        // A mark that cannot be read says nothing about the last stop.
        let clean = mark.as_ref().map_or(text.is_none(), |mark| mark.clean);
        let found = if clean { Claimed::Clean } else { Claimed::Unclean };
        let rebuilds = why == Attach::Rebuild;
        match (&mark, why) {
            (Some(mark), _) if !rebuilds && mark.catalog != self.catalog().id() => return Ok(Claimed::Foreign),
            (None, _) if !rebuilds && text.is_some() => return Ok(Claimed::Foreign),
            (Some(mark), _) if !rebuilds && mark.rebuilding => return Ok(Claimed::HalfRebuilt),
            (Some(_), Attach::Scan) | (_, Attach::Look) => return Ok(found),
            // A bucket with objects and a container that is not marked: its mount is missing, and what lies there
            // instead must not be taken for it.
            (None, _) if !rebuilds && self.has_objects(&container.name).await? => {
                tracing::error!(bucket = %container.name, "the directory is not the one that was served: is its mount missing?");
                return Ok(Claimed::Clean);
            }
            // An unclean container stays so until somebody decides that its rebuild is right.
            (Some(_), Attach::Rebuild) if !clean => return Ok(found),
            (Some(mark), Attach::Rebuild) if mark.rebuilding && mark.catalog == self.catalog().id() => {
                return Ok(found);
            }
            (_, Attach::Rebuild) if text.as_deref().is_some_and(|text| !self.is_ours(text)) => {
                self.mark_rebuilding(provider, container, true).await?;
                return Ok(found);
            }
            _ => {}
        }
        self.mark(provider, container, why != Attach::Serve, false).await?;
        Ok(found)
    }

    async fn has_objects(&self, name: &BucketName) -> Result<bool> {
        match self.catalog().bucket(&SERVICE, name).await? {
            Some(bucket) => Ok(self.catalog().usage(&SERVICE, bucket.id).await?.0 > 0),
            None => Ok(false),
        }
    }

    /// Takes containers over for a rebuild although their last server did not stop cleanly. They stay marked so until
    /// their rebuild has come to its end.
    ///
    /// # Errors
    /// Failures of the storage.
    pub async fn take_over(&self, names: &[BucketName]) -> Result<()> {
        for mount in self.0.mounts.values() {
            let provider = mount.opened()?;
            for container in provider.containers().await?.iter().filter(|c| names.contains(&c.name)) {
                self.mark_rebuilding(&*provider, container, false).await?;
            }
        }
        Ok(())
    }

    async fn mark(&self, provider: &dyn Provider, container: &Container, clean: bool, deleting: bool) -> Result<()> {
        let mark = Mark { catalog: self.catalog().id(), clean, deleting, rebuilding: false };
        self.write_mark(provider, container, &mark).await
    }

    /// Notes that a container is ours and is being rebuilt; whether its last stop was clean stays known.
    async fn mark_rebuilding(&self, provider: &dyn Provider, container: &Container, clean: bool) -> Result<()> {
        let mark = Mark { catalog: self.catalog().id(), clean, deleting: false, rebuilding: true };
        self.write_mark(provider, container, &mark).await
    }

    async fn write_mark(&self, provider: &dyn Provider, container: &Container, mark: &Mark) -> Result<()> {
        match provider.write_note(&container.name, Note::Id, json(mark)?).await {
            // Of a provider that keeps no notes elsewhere. What is absent there is never taken for deleted.
            Err(provider::Error::ReadOnly | provider::Error::Denied) if !container.writable => Ok(()),
            written => Ok(written?),
        }
    }

    /// Notes that the rebuild of a container has come to its end.
    pub(super) async fn mark_rebuilt(&self, bound: &crate::store::bound::Bound) -> Result<()> {
        let clean = self.was_left_clean(bound).await?;
        match &bound.container {
            Some(container) => self.mark(&*bound.provider, container, clean, false).await,
            None => Ok(()),
        }
    }

    /// Whether nothing was owed when the last server of a container stopped.
    pub(super) async fn was_left_clean(&self, bound: &crate::store::bound::Bound) -> Result<bool> {
        let text = bound.provider.read_note(bound.place(), Note::Id).await?;
        Ok(text.as_deref().and_then(Mark::read).is_some_and(|mark| mark.clean))
    }

    /// Whether a container is what is left of a bucket of ours that is being deleted.
    pub(super) async fn is_being_deleted(&self, provider: &dyn Provider, name: &BucketName) -> Result<bool> {
        let text = provider.read_note(name, Note::Id).await?;
        let mark = text.as_deref().and_then(Mark::read);
        Ok(mark.is_some_and(|mark| mark.deleting && mark.catalog == self.catalog().id()))
    }

    /// Removes what is left of a bucket without a row, whose deletion was cut short after its commit. True if it was one.
    pub(super) async fn finish_deletion(&self, provider: &dyn Provider, container: &Container) -> Result<bool> {
        if !self.is_being_deleted(provider, &container.name).await? {
            return Ok(false);
        }
        match provider.delete_container(&container.name).await {
            Ok(()) | Err(provider::Error::NotFound) => Ok(true),
            Err(provider::Error::NotEmpty) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the containers of empty buckets whose creation was cut short after its commit.
    pub(super) async fn restore_containers(&self, buckets: Vec<Bucket>) -> Result<()> {
        for bucket in buckets {
            let name = bucket.name.clone();
            if self.catalog().usage(&SERVICE, bucket.id).await?.0 > 0 {
                continue;
            }
            // The others are served all the same, and this one is when its storage answers or its name is free.
            match self.restore_container(bucket).await {
                Ok(()) => {}
                Err(Error::BucketTaken) => {
                    tracing::warn!(bucket = %name, "something else lies where its container belongs");
                }
                Err(error) => tracing::warn!(bucket = %name, %error, "its container cannot be made"),
            }
        }
        Ok(())
    }

    async fn restore_container(&self, bucket: Bucket) -> Result<()> {
        let bound = self.bind(bucket).await?;
        match bound.container {
            None => self.make_container(&bound.bucket, &*bound.provider).await,
            Some(_) => Ok(()),
        }
    }

    /// Makes the container of a bucket and writes its notes.
    pub(super) async fn make_container(&self, bucket: &Bucket, provider: &dyn Provider) -> Result<()> {
        match provider.create_container(&bucket.container).await {
            Ok(()) | Err(provider::Error::AlreadyExists) => {}
            Err(provider::Error::BadName) => {
                return Err(Error::InvalidRequest("The storage of this bucket takes no container of its name."));
            }
            Err(error) => return Err(error.into()),
        }
        // Something else may have the name: a file, or a link, which is followed nowhere.
        let container = provider.container(&bucket.container).await?.ok_or(Error::BucketTaken)?;
        self.mark(provider, &container, false, false).await?;
        self.note_settings(bucket, provider, &container).await
    }

    /// Notes that a container is about to go.
    pub(super) async fn mark_deleting(
        &self,
        provider: &dyn Provider,
        container: &Container,
        deleting: bool,
    ) -> Result<()> {
        self.mark(provider, container, false, deleting).await
    }

    /// Writes a bucket's settings beside its bytes, for `rebuild`.
    pub(super) async fn note_settings(&self, bucket: &Bucket, provider: &dyn Provider, at: &Container) -> Result<()> {
        if !at.writable {
            return Ok(());
        }
        let note = BucketNote {
            owner: bucket.owner.clone(),
            created: bucket.created,
            settings: bucket.settings,
            config: (*bucket.config).clone(),
        };
        Ok(provider.write_note(&at.name, Note::Bucket, json(&note)?).await?)
    }

    pub(super) async fn restore_settings(&self, provider: &dyn Provider, bucket: &Bucket) -> Result<()> {
        let Some(text) = provider.read_note(&bucket.container, Note::Bucket).await? else { return Ok(()) };
        let Ok(note) = serde_json::from_slice::<BucketNote>(&text) else {
            tracing::warn!(bucket = %bucket.name, "the note of its settings cannot be read");
            return Ok(());
        };
        Ok(self
            .catalog()
            .restore_bucket(&SERVICE, bucket.id, &note.owner, note.created, note.settings, note.config)
            .await?)
    }

    pub(super) async fn all_buckets(&self) -> Result<Vec<Bucket>> {
        let mut all: Vec<Bucket> = Vec::new();
        loop {
            let after = all.last().map(|bucket| bucket.name.clone());
            let page =
                self.catalog().buckets(&SERVICE, "", after.as_ref().map(BucketName::as_str), BUCKETS_PAGE).await?;
            let ended = page.len() < BUCKETS_PAGE;
            all.extend(page);
            if ended {
                return Ok(all);
            }
        }
    }

    /// The clean stop: takes and settles what is owed, marks the containers, closes the catalog. If something stays
    /// owed, containers stay marked as they are and the next start takes it up.
    ///
    /// # Errors
    /// Failures of storage and catalog.
    pub async fn release(&self) -> Result<()> {
        // What another process has displaced meanwhile is left by the first round.
        for _ in 0..2 {
            self.replay(i64::MAX).await?;
            self.settle().await;
            if self.catalog().own_tasks(&SERVICE, 0, 1).await?.is_empty() {
                break;
            }
        }
        let owing = self.owing().await?;
        if !owing.is_empty() {
            tracing::warn!(buckets = owing.len(), "steps are still owed; they are taken at the next start");
        }
        self.catalog().leave().await?;
        // The last one to leave marks them. Who begins while it does is seen afterwards, or marks them in his turn.
        if !self.catalog().has_others().await? {
            self.mark_all(&owing, true).await?;
            if self.catalog().has_others().await? {
                self.mark_all(&owing, false).await?;
            }
        }
        Ok(self.catalog().close().await?)
    }

    /// Marks the containers of all buckets to which nothing is owed.
    async fn mark_all(&self, owing: &BTreeSet<BucketId>, clean: bool) -> Result<()> {
        for bucket in self.all_buckets().await?.into_iter().filter(|bucket| !owing.contains(&bucket.id)) {
            // What was not attached is as it was left before.
            if self.mount_named(&bucket.provider).and_then(Mount::serving).is_err() {
                continue;
            }
            if let Err(error) = self.mark_stopped(bucket, clean).await {
                tracing::warn!(%error, "a bucket cannot be marked as left clean");
            }
        }
        Ok(())
    }

    async fn mark_stopped(&self, bucket: Bucket, clean: bool) -> Result<()> {
        let bound = self.bind(bucket).await?;
        match &bound.container {
            // Only what is ours: an unmarked directory may be the place of a mount that is missing.
            Some(container) if self.is_marked(&bound).await? => {
                self.mark(&*bound.provider, container, clean, false).await
            }
            _ => Ok(()),
        }
    }

    /// Whether the container is the one that was claimed and not in the middle of a rebuild, nor the place where its mount
    /// is missing.
    pub(super) async fn is_marked(&self, bound: &crate::store::bound::Bound) -> Result<bool> {
        let text = bound.provider.read_note(bound.place(), Note::Id).await?;
        let mark = text.as_deref().and_then(Mark::read);
        Ok(mark.is_some_and(|mark| mark.catalog == self.catalog().id() && !mark.rebuilding))
    }

    /// When something happens now, for rows.
    pub(super) fn now() -> Timestamp {
        Clock::now()
    }
}

pub(super) fn half_rebuilt(name: &BucketName) -> Error {
    let text = format!("the rebuild of bucket {name:?} was cut short: run `longshore rebuild` again");
    Error::Internal(text.into())
}

pub(super) fn foreign(name: &BucketName) -> Error {
    let text = format!(
        "the directory of bucket {name:?} belongs to another catalog: its .longshore/id names it. If the catalog was lost, \
         run `longshore rebuild`; otherwise serve it with the state directory it was served with before"
    );
    Error::Internal(text.into())
}
