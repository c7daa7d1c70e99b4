//! The providers of the store: which are there, and which are attached so far.
//!
//! A provider that does not answer when the server starts is tried again in the background, apart from the others. Until
//! it is attached its buckets are told to be unavailable; those of other providers are served meanwhile.
//!
//! **Invariant:** while a provider is held no request reaches it, and it is held from before the first request until its
//! containers were claimed and every step that is owed to them was tried. Only one pass over a provider runs at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::model::id::BucketId;
use crate::model::name::BucketName;
use crate::model::place::Layout;
use crate::model::task::TaskError;
use crate::model::time::Timestamp;
use crate::provider::{Container, Note, Provider};
use crate::store::attach::{Attach, AttachReport, Claimed, Unattached, foreign, half_rebuilt};
use crate::store::bound::Bound;
use crate::store::error::{Error, Result};
use crate::store::replay::TASKS_PAGE;
use crate::store::{SERVICE, Store};

/// A provider, and what its buckets are told to be.
#[derive(Debug, Clone)]
pub struct Mounted {
    /// The storage; `None`: it could not be opened yet.
    pub provider: Option<Arc<dyn Provider>>,
    /// Where new bytes of its buckets end up; `None`: at their keys where it can.
    pub layout: Option<Layout>,
    /// Containers without a bucket become one.
    pub adopt: bool,
    /// It is of this machine: once it answers, it is waited for.
    pub local: bool,
}

impl<P: Provider> From<Arc<P>> for Mounted {
    fn from(provider: Arc<P>) -> Self {
        Self::from(provider as Arc<dyn Provider>)
    }
}

impl From<Arc<dyn Provider>> for Mounted {
    fn from(provider: Arc<dyn Provider>) -> Self {
        Self { provider: Some(provider), layout: None, adopt: true, local: true }
    }
}

/// A provider of the store.
#[derive(Debug)]
pub(super) struct Mount {
    provider: OnceLock<Arc<dyn Provider>>,
    pub(super) layout: Option<Layout>,
    pub(super) adopt: bool,
    local: bool,
    /// Requests are turned away.
    held: AtomicBool,
    /// It has listed its containers.
    pub(super) answered: AtomicBool,
    pass: tokio::sync::Mutex<Pass>,
    /// What was said of it last, so that the log is not filled with it.
    told: Mutex<String>,
}

/// What the passes over the containers of a provider have come to.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// Containers that are attached: they are not looked at again.
    pub(super) claimed: BTreeSet<BucketName>,
    /// Containers that could not be, of which the log knows.
    pub(super) failed: BTreeSet<BucketName>,
    /// All that were there are attached.
    complete: bool,
}

impl From<Mounted> for Mount {
    fn from(mounted: Mounted) -> Self {
        Self {
            provider: mounted.provider.map_or_else(OnceLock::new, OnceLock::from),
            layout: mounted.layout,
            // There the tables say which buckets there are.
            adopt: mounted.adopt && mounted.layout.is_none_or(|layout| layout.shared().is_none()),
            local: mounted.local,
            held: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            pass: tokio::sync::Mutex::default(),
            told: Mutex::default(),
        }
    }
}

impl Mount {
    /// The storage, whether or not it is attached.
    pub(super) fn opened(&self) -> Result<Arc<dyn Provider>> {
        self.provider.get().cloned().ok_or_else(|| Error::NotAttached("the provider could not be opened yet"))
    }

    /// The storage, for requests.
    pub(super) fn serving(&self) -> Result<Arc<dyn Provider>> {
        if self.held.load(Ordering::SeqCst) {
            return Err(Error::NotAttached("the provider is not attached yet"));
        }
        self.opened()
    }

    /// The layout of its new buckets, unless a rule says it.
    pub(super) fn usual_layout(&self) -> Layout {
        let usual = || self.provider.get().map_or(Layout::Natural, |provider| provider.capabilities().usual_layout());
        self.layout.unwrap_or_else(usual)
    }

    /// The layout of its buckets, if another server uses them, too.
    pub(super) fn shared(&self) -> Option<Layout> {
        self.layout.filter(|layout| layout.shared().is_some())
    }

    /// Says a problem once.
    fn tell(&self, name: &str, error: &Error) {
        let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        let text = format!("{error}: {cause}");
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != text {
            tracing::error!(provider = name, error = %error, cause, "a provider is not attached; its buckets are unavailable");
            *told = text;
        }
    }
}

/// A pass over one provider that is under way.
type Going = JoinHandle<std::result::Result<AttachReport, Unattached>>;

impl Store {
    /// A provider by its name.
    pub(super) fn mount_named(&self, name: &str) -> Result<&Mount> {
        self.0.mounts.get(name).ok_or_else(|| Error::NotAttached("the provider is not configured"))
    }

    /// Whether there is a provider of this name.
    #[must_use]
    pub fn has_provider(&self, name: &str) -> bool {
        self.0.mounts.contains_key(name)
    }

    /// The provider of buckets for which nothing says another.
    #[must_use]
    pub fn default_provider_name(&self) -> &str {
        &self.0.default_provider
    }

    /// The providers that could not be opened yet.
    #[must_use]
    pub fn unopened(&self) -> Vec<String> {
        let unopened = self.0.mounts.iter().filter(|(_, mount)| mount.provider.get().is_none());
        unopened.map(|(name, _)| name.clone()).collect()
    }

    /// Takes in a provider that could be opened at last. It is attached by [`Store::attach_missing`].
    pub fn mount(&self, name: &str, provider: Arc<dyn Provider>) {
        if let Some(mount) = self.0.mounts.get(name) {
            provider.belongs_to(&self.catalog().id().to_string());
            // Who was first stays: somebody may work with it.
            let _ = mount.provider.set(provider);
        }
    }

    /// Attaches the providers, to serve them, and waits for each no longer than `limit`; a local one that has answered is
    /// waited for to its end. Those that are not attached by then are held, and go on in the background.
    ///
    /// # Errors
    /// A container that belongs to another catalog; failures of the catalog. For an administrator's eyes.
    pub async fn attach_within(&self, limit: Duration) -> Result<AttachReport> {
        self.catalog().tidy_uploads(&SERVICE, true, Timestamp(0)).await?;
        self.take_over_steps().await?;
        self.distrust_what_is_owed().await?;
        for mount in self.0.mounts.values() {
            mount.held.store(true, Ordering::SeqCst);
        }
        let deadline = Instant::now() + limit;
        let mut report = AttachReport { failed: self.unopened(), ..AttachReport::default() };
        let opened = self.0.mounts.keys().filter(|name| !report.failed.contains(name)).cloned();
        // A container's name that two providers have is the default one's bucket, so that one comes first.
        let (first, rest): (Vec<_>, Vec<_>) = opened.partition(|name| *name == self.0.default_provider);
        for names in [first, rest] {
            let passes: Vec<_> = names.into_iter().map(|name| (name.clone(), self.begin_pass(name))).collect();
            for (name, pass) in passes {
                self.end_pass(name, pass, deadline, &mut report).await?;
            }
        }
        Ok(report)
    }

    /// Waits for a pass until the deadline; then it goes on in the background.
    async fn end_pass(
        &self,
        name: String,
        mut pass: Going,
        deadline: Instant,
        report: &mut AttachReport,
    ) -> Result<()> {
        let mount = self.mount_named(&name)?;
        let ended = match timeout_at(deadline, &mut pass).await {
            Ok(ended) => Some(ended),
            Err(_) if mount.local && mount.answered.load(Ordering::SeqCst) => Some((&mut pass).await),
            Err(_) => None,
        };
        match ended {
            Some(Ok(Ok(attached))) => report.add(attached),
            Some(Ok(Err(Unattached::Refused(error)))) => return Err(error),
            Some(Ok(Err(Unattached::Failed(error)))) => {
                mount.tell(&name, &error);
                report.failed.push(name);
            }
            Some(Err(panicked)) => return Err(panicked.into()),
            None => {
                mount.tell(&name, &Error::NotAttached("it does not answer"));
                self.follow_pass(name.clone(), pass);
                report.failed.push(name);
            }
        }
        Ok(())
    }

    /// Begins a pass over each provider that is open and has none behind it that came to its end.
    pub fn attach_missing(&self) {
        for (name, mount) in &self.0.mounts {
            // Another pass is under way, or nothing is left to do.
            let idle = mount.pass.try_lock().is_ok_and(|pass| !pass.complete);
            if idle && mount.provider.get().is_some() {
                self.follow_pass(name.clone(), self.begin_pass(name.clone()));
            }
        }
    }

    /// A pass is a task of its own, so that nobody who gives up waiting cuts it short between two of its steps.
    fn begin_pass(&self, name: String) -> Going {
        let store = self.clone();
        tokio::spawn(async move { store.attach_provider(&name).await })
    }

    /// Hears of the end of a pass that nobody waits for.
    fn follow_pass(&self, name: String, pass: Going) {
        let store = self.clone();
        tokio::spawn(async move {
            let Ok(mount) = store.mount_named(&name) else { return };
            match pass.await {
                Ok(Ok(report)) => {
                    if report.buckets > 0 {
                        tracing::info!(provider = name, buckets = report.buckets, "a provider is attached");
                    }
                    let mut unclean = store.0.unclean.lock().unwrap_or_else(PoisonError::into_inner);
                    unclean.extend(report.unclean);
                }
                Ok(Err(Unattached::Refused(error) | Unattached::Failed(error))) => mount.tell(&name, &error),
                Err(error) => {
                    let error = TaskError::from(error);
                    tracing::error!(provider = name, %error, "a task of the server failed");
                }
            }
        });
    }

    /// Buckets that were attached in the background and whose last server did not stop cleanly, once.
    pub(super) fn take_unclean(&self) -> BTreeSet<BucketName> {
        std::mem::take(&mut *self.0.unclean.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One pass: claims the containers, adopts those without a bucket, takes what is owed, and lets requests in.
    async fn attach_provider(&self, name: &str) -> std::result::Result<AttachReport, Unattached> {
        let mount = self.mount_named(name)?;
        let provider = mount.opened()?;
        let mut pass = mount.pass.lock().await;
        self.adopt_shared_on(name, mount).await?;
        let report = self.claim_containers((name, mount), &*provider, Attach::Serve, &mut pass).await?;
        if !report.failed.is_empty() && pass.claimed.is_empty() {
            return Err(Unattached::Failed(Error::NotAttached("none of its containers could be attached")));
        }
        if mount.held.load(Ordering::SeqCst) {
            let buckets = self.all_buckets().await?.into_iter().filter(|bucket| bucket.provider == name).collect();
            self.restore_containers(buckets).await?;
            self.replay_in(self.bind_all(name).await?).await?;
            self.settle().await;
            mount.held.store(false, Ordering::SeqCst);
        }
        pass.complete = report.failed.is_empty();
        mount.told.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(report)
    }

    /// The buckets of a provider with their containers, as far as those are there.
    async fn bind_all(&self, name: &str) -> Result<BTreeMap<BucketId, Arc<Bound>>> {
        let mut bounds = BTreeMap::new();
        for bucket in self.all_buckets().await? {
            if bucket.provider != name {
                continue;
            }
            let (id, bucket_name) = (bucket.id, bucket.name.clone());
            match self.bind(bucket).await {
                Ok(bound) if bound.container.is_some() => {
                    bounds.insert(id, Arc::new(bound));
                }
                Ok(_) => {}
                // What is owed to it stays owed, and it holds nobody else up.
                Err(error) => tracing::warn!(bucket = %bucket_name, %error, "steps stay owed"),
            }
        }
        Ok(bounds)
    }

    /// Claims the containers of a provider that were not claimed in an earlier pass, and adopts those that have no bucket
    /// yet. Who looks only hears of them.
    pub(super) async fn claim_containers(
        &self,
        (name, mount): (&str, &Mount),
        provider: &dyn Provider,
        why: Attach,
        pass: &mut Pass,
    ) -> std::result::Result<AttachReport, Unattached> {
        let mut report = AttachReport::default();
        let containers = provider.containers().await.map_err(Error::from)?;
        mount.answered.store(true, Ordering::SeqCst);
        for container in containers {
            if pass.claimed.contains(&container.name) {
                continue;
            }
            // One that is damaged must not keep all others from being served; another's must not be touched.
            match self.attach_one((name, mount), provider, &container, why).await {
                Ok(Some(Claimed::Foreign)) => return Err(Unattached::Refused(foreign(&container.name))),
                Ok(Some(Claimed::HalfRebuilt)) => return Err(Unattached::Refused(half_rebuilt(&container.name))),
                Ok(Some(Claimed::Unadopted)) => {
                    report.unadopted.push(container.name.clone());
                    continue;
                }
                Ok(None) => continue,
                Ok(Some(Claimed::Clean)) => {}
                // Where another process is at work, it is not a crash that shows.
                Ok(Some(Claimed::Unclean)) if self.joined_others() => {}
                Ok(Some(Claimed::Unclean)) => report.unclean.push(container.name.clone()),
                Err(error) => {
                    if pass.failed.insert(container.name.clone()) {
                        tracing::error!(provider = %name, bucket = %container.name, %error, "a container cannot be attached");
                    }
                    report.failed.push(container.name.as_str().to_owned());
                    continue;
                }
            }
            pass.claimed.insert(container.name);
            report.buckets += 1;
        }
        Ok(report)
    }

    /// Claims one container and adopts it; `None` if it is none of ours: what is left of a bucket that was deleted, or
    /// what must not become one. Nobody makes a bucket of its name meanwhile, so that no container is claimed in vain.
    async fn attach_one(
        &self,
        (name, mount): (&str, &Mount),
        provider: &dyn Provider,
        container: &Container,
        why: Attach,
    ) -> Result<Option<Claimed>> {
        let _order = self.0.names.lock_name(&container.name).await;
        let row = self.catalog().bucket(&SERVICE, &container.name).await?;
        let known = row.as_ref().is_some_and(|row| row.provider == name);
        let deleted = match why {
            _ if known => false,
            // What is left goes at the next start.
            Attach::Look => self.is_being_deleted(provider, &container.name).await?,
            Attach::Serve | Attach::Scan | Attach::Rebuild => self.finish_deletion(provider, container).await?,
        };
        if deleted {
            return Ok(None);
        }
        if !known && !mount.adopt && !self.is_to_be_rebuilt(provider, container, why).await? {
            return Ok(None);
        }
        if let Some(row) = row.as_ref().filter(|_| !known) {
            tracing::warn!(bucket = %row.name, provider = %name, "a container is not served: the name is that of a bucket elsewhere");
            return Ok(None);
        }
        let claimed = self.claim_for(provider, container, why).await?;
        if why == Attach::Look {
            let whole = matches!(claimed, Claimed::Clean | Claimed::Unclean);
            return Ok(Some(if whole && row.is_none() { Claimed::Unadopted } else { claimed }));
        }
        if !matches!(claimed, Claimed::Foreign) && row.is_none() {
            let bucket = self.adopt(name, mount, container).await?;
            if why == Attach::Rebuild {
                self.restore_settings(provider, &bucket).await?;
            }
        }
        Ok(Some(claimed))
    }

    /// Whether a container is a bucket of a catalog that was lost: then it is one again, also where others become none.
    async fn is_to_be_rebuilt(&self, provider: &dyn Provider, container: &Container, why: Attach) -> Result<bool> {
        Ok(why == Attach::Rebuild && provider.read_note(&container.name, Note::Bucket).await?.is_some())
    }

    /// Takes every step of this process that is still owed in these buckets.
    pub(super) async fn replay_in(&self, bounds: BTreeMap<BucketId, Arc<Bound>>) -> Result<()> {
        let mut after = 0;
        loop {
            let page = self.catalog().own_tasks(&SERVICE, after, TASKS_PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            for task in &page {
                if let Some(bound) = bounds.get(&task.task.bucket) {
                    let _order = self.0.locks.lock(task.task.bucket, &task.task.key).await;
                    self.take_step(bound, task).await;
                }
            }
        }
    }

    /// The buckets to which a step is still owed.
    pub(super) async fn owing(&self) -> Result<BTreeSet<BucketId>> {
        let (mut after, mut owing) = (0, BTreeSet::new());
        loop {
            let page = self.catalog().tasks(&SERVICE, after, TASKS_PAGE).await?;
            let Some(last) = page.last() else { return Ok(owing) };
            after = last.id;
            owing.extend(page.iter().map(|task| task.task.bucket));
        }
    }
}
