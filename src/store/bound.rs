//! A bucket bound to its container: what a request needs of both, looked up once and remembered.
//!
//! **Invariant:** what is remembered decides nothing. A bucket that is gone makes the commit fail, and whatever another
//! process changes is noticed when the catalog's generation moves, which is asked for twice a second.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::auth::decide::{Row, Rules, Target, Verdict};
use crate::catalog::NewBucket;
use crate::model::action::Action;
use crate::model::bucket::{Bucket, BucketConfig};
use crate::model::caller::{Caller, ROOT};
use crate::model::id::{BucketId, VersionId};
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::Object;
use crate::model::place::{Displaced, Layout, Placed};
use crate::model::time::Clock;
use crate::model::versioning::VersionRef;
use crate::provider::{self, Container, Provider, Stage};
use crate::store::error::{Error, Result};
use crate::store::mount::Mount;
use crate::store::{SERVICE, Store};

/// Most buckets remembered; all are forgotten when it is full.
const REMEMBERED_MAX: usize = 10_000;

/// A bucket with its container.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) bucket: Bucket,
    /// What its configuration says about access.
    pub(super) rules: Rules,
    pub(super) provider: Arc<dyn Provider>,
    /// `None`: the container is not there now, so nothing can be said about its objects.
    pub(super) container: Option<Container>,
    /// No other gateway writes there: the catalog is this one's alone, or the configuration says so.
    alone: bool,
}

impl Bound {
    /// Where its bytes are: the container's name.
    pub(super) fn place(&self) -> &BucketName {
        &self.bucket.container
    }

    /// Where new bytes of a key end up. Where names fold, two keys may be one path: new bytes go to managed places. So do
    /// those of a bucket with object lock, where nobody else can get at them, and those that a gateway might replace at a
    /// key without knowing of them.
    pub(super) fn placed(&self, key: &ObjectKey) -> Placed {
        if let Some(shared) = self.bucket.settings.layout.shared() {
            let fits = shared.path(key, VersionId::fresh()).is_some();
            return if fits { shared } else { Placed::Managed };
        }
        let can = self.provider.capabilities();
        let natural = self.bucket.settings.layout == Layout::Natural
            && can.natural
            && (can.conditional || self.alone)
            && !self.folds()
            && self.bucket.config.lock.is_none()
            && !(self.bucket.config.versioning.ever() && can.flat)
            && self.can_lie_at(key);
        if natural { Placed::Natural } else { Placed::Managed }
    }

    /// Where a version of a key lies that is laid out.
    pub(super) fn home(&self, key: &ObjectKey, version: VersionId) -> ObjectKey {
        let shared = self.bucket.settings.layout.shared();
        shared.and_then(|shared| shared.path(key, version)).unwrap_or_else(|| key.clone())
    }

    /// Whether another server writes there, too.
    pub(super) fn is_shared(&self) -> bool {
        self.bucket.settings.layout.shared().is_some()
    }

    /// What becomes of older versions that a lay-out meets at a key.
    pub(super) fn displacing(&self) -> Displaced {
        if self.bucket.config.versioning.ever() { Displaced::Keep(None) } else { Displaced::Free }
    }

    /// Whether names that differ in case are one here.
    pub(super) fn folds(&self) -> bool {
        self.container.as_ref().is_some_and(|c| c.folds)
    }

    /// Whether a file outside Longshore's knowledge may lie at the path of a key.
    pub(super) fn may_adopt(&self, key: &ObjectKey) -> bool {
        !self.bucket.settings.exclusive && !self.is_shared() && !self.folds() && self.can_lie_at(key)
    }

    /// Whether something may lie at a key itself.
    pub(super) fn can_lie_at(&self, key: &ObjectKey) -> bool {
        self.provider.capabilities().flat || key.as_path(self.folds()).is_some()
    }

    /// Refuses writes to a container that takes none, or that is not there.
    pub(super) fn writable(&self) -> Result<()> {
        match &self.container {
            Some(container) if container.writable => Ok(()),
            Some(_) => Err(Error::ReadOnly),
            None => Err(container_is_gone()),
        }
    }
}

/// The error for a container that is not there: never "no such object".
pub(super) fn container_is_gone() -> Error {
    Error::Unavailable("the container is not there".into())
}

impl Store {
    /// Finds a bucket and decides about it. A missing bucket is told to everyone, as S3 does.
    pub(super) async fn enter(&self, caller: &Caller, name: &BucketName, action: Action) -> Result<Arc<Bound>> {
        let decide = |bucket: &Bucket, rules: &Rules| self.decide(caller, action, Target::Bucket(bucket, rules));
        Ok(self.enter_if(name, decide, false).await?.0)
    }

    /// Finds a bucket and decides about one of its objects, by its current version where that bears on the decision.
    pub(super) async fn enter_object(
        &self,
        caller: &Caller,
        name: &BucketName,
        key: &ObjectKey,
        action: Action,
    ) -> Result<Arc<Bound>> {
        self.enter_version(caller, name, key, None, action).await
    }

    /// As [`Store::enter_object`], about the version that the request names, if it names one: what may be done to the
    /// object and what may be done to its versions are two rights.
    pub(super) async fn enter_version(
        &self,
        caller: &Caller,
        name: &BucketName,
        key: &ObjectKey,
        version: Option<VersionRef>,
        action: Action,
    ) -> Result<Arc<Bound>> {
        let action = if version.is_some() { action.of_version() } else { action };
        let (bound, open) = self.enter_open_object(caller, name, (key, version), action).await?;
        if open {
            let id = bound.bucket.id;
            let row = match version {
                None => self.catalog().object(&SERVICE, id, key).await?,
                Some(version) => self.catalog().version(&SERVICE, id, key, version).await?,
            };
            let heir = if row.is_none() { self.heir(&bound.bucket, key).await? } else { None };
            let row = Row::of(row.as_ref(), heir.as_deref());
            let verdict = self.decide(caller, action, Target::Object(&bound.bucket, &bound.rules, key, row));
            if !matches!(verdict, Verdict::Allowed | Verdict::Catalog) {
                let missing = !matches!(row, Row::Is(_)) && !action.needs_no_object();
                return Err(if missing { self.missing_key(caller, &bound, key) } else { Error::AccessDenied });
            }
        }
        Ok(bound)
    }

    /// Finds a bucket for a read of one of its objects. Where the decision depends on the object it is still to be
    /// taken, by [`Store::allow_object`], on the row that is served.
    pub(super) async fn enter_to_read(
        &self,
        caller: &Caller,
        name: &BucketName,
        key: &ObjectKey,
        version: Option<VersionRef>,
        action: Action,
    ) -> Result<Arc<Bound>> {
        let action = if version.is_some() { action.of_version() } else { action };
        Ok(self.enter_open_object(caller, name, (key, version), action).await?.0)
    }

    /// Decides about an object that was looked up.
    pub(super) fn allow_object(&self, caller: &Caller, bound: &Bound, action: Action, object: &Object) -> Result<()> {
        self.allow(caller, action, Target::Object(&bound.bucket, &bound.rules, &object.key, Row::Is(object)))
    }

    /// Decides, for a key that has no row, whether to look for a file of its name: a file that nobody has served yet is
    /// the bucket's, without a list of its own. Who may list may learn that there is one.
    pub(super) fn allow_search(&self, caller: &Caller, bound: &Bound, action: Action, key: &ObjectKey) -> Result<()> {
        let target = Target::Object(&bound.bucket, &bound.rules, key, Row::Missing);
        self.allow(caller, action, target).or_else(|_| self.allow_list(caller, (&bound.bucket, &bound.rules), key))
    }

    /// Whether the caller could find out by a listing what there is of a key.
    fn allow_list(&self, caller: &Caller, (bucket, rules): (&Bucket, &Rules), key: &ObjectKey) -> Result<()> {
        let target = Target::Bucket(bucket, rules);
        if caller.is_unbounded() {
            return self.allow(caller, Action::ListBucket, target);
        }
        let mut context = caller.context.as_deref().cloned().unwrap_or_default();
        context.values.insert("s3:prefix".to_owned(), vec![key.as_str().to_owned()]);
        self.allow(&caller.clone().in_context(context), Action::ListBucket, target)
    }

    /// The second says that the decision depends on the object.
    async fn enter_open_object(
        &self,
        caller: &Caller,
        name: &BucketName,
        (key, version): (&ObjectKey, Option<VersionRef>),
        action: Action,
    ) -> Result<(Arc<Bound>, bool)> {
        let decide = |bucket: &Bucket, rules: &Rules| {
            self.decide(caller, action, Target::Object(bucket, rules, key, Row::Unknown))
        };
        if !self.0.bounds.contains_key(name)
            && let Some(bucket) = self.catalog().bucket(&SERVICE, name).await?
        {
            let rules = Rules::of(&bucket);
            if decide(&bucket, &rules) == Verdict::NeedsObject {
                self.allow_unbound(caller, (&bucket, &rules), (key, version), action).await?;
            }
        }
        self.enter_if(name, decide, true).await
    }

    /// Decides about an object of a bucket whose container nobody has looked at yet: by its row, before anybody does.
    async fn allow_unbound(
        &self,
        caller: &Caller,
        (bucket, rules): (&Bucket, &Rules),
        (key, version): (&ObjectKey, Option<VersionRef>),
        action: Action,
    ) -> Result<()> {
        let row = match version {
            None => self.catalog().object(&SERVICE, bucket.id, key).await?,
            Some(version) => self.catalog().version(&SERVICE, bucket.id, key, version).await?,
        };
        let heir = if row.is_none() { self.heir(bucket, key).await? } else { None };
        let row = Row::of(row.as_ref(), heir.as_deref());
        let may = self.allow(caller, action, Target::Object(bucket, rules, key, row));
        match row {
            Row::Missing | Row::Under(_) => may.or_else(|_| self.allow_list(caller, (bucket, rules), key)),
            Row::Is(_) | Row::Unknown => may,
        }
    }

    /// The decision comes before the provider is asked for anything, also for a container that has no bucket yet: it
    /// would be root's, so who may do nothing with that does not make us look. What depends on an object is let through
    /// where `open` says so, and then the second of the result says it too.
    pub(super) async fn enter_if(
        &self,
        name: &BucketName,
        decide: impl Fn(&Bucket, &Rules) -> Verdict + Send,
        open: bool,
    ) -> Result<(Arc<Bound>, bool)> {
        let allow = |bucket: &Bucket, rules: &Rules| match decide(bucket, rules) {
            Verdict::Allowed | Verdict::Catalog => Ok(false),
            Verdict::NeedsObject if open => Ok(true),
            Verdict::NeedsObject | Verdict::Refused => Err(Error::AccessDenied),
        };
        if let Some(bound) = self.0.bounds.get(name).map(|bound| bound.clone()) {
            let open = allow(&bound.bucket, &bound.rules)?;
            return Ok((bound, open));
        }
        match self.catalog().bucket(&SERVICE, name).await? {
            Some(bucket) => allow(&bucket, &Rules::of(&bucket))?,
            // Nobody has set a list there yet, so nothing can depend on it; and in the name of a role nothing is adopted.
            None => match decide(&self.as_adopted(name), &Rules::default()) {
                Verdict::Allowed => false,
                Verdict::NeedsObject | Verdict::Refused | Verdict::Catalog => return Err(Error::NoSuchBucket),
            },
        };
        let bound = self.bound(name).await?;
        // The row may have changed between the two looks.
        let open = allow(&bound.bucket, &bound.rules)?;
        Ok((bound, open))
    }

    fn as_adopted(&self, name: &BucketName) -> Bucket {
        Bucket {
            id: BucketId(0),
            name: name.clone(),
            provider: self.0.default_provider.clone(),
            container: name.clone(),
            owner: ROOT.to_owned(),
            created: Clock::now(),
            settings: self.0.bucket_rules.settings(name, Layout::Natural),
            config: Arc::default(),
            revision: 0,
            indexed: None,
        }
    }

    /// "No such key", or what somebody is told who may not learn which keys exist.
    pub(super) fn missing_key(&self, caller: &Caller, bound: &Bound, key: &ObjectKey) -> Error {
        match self.allow_list(caller, (&bound.bucket, &bound.rules), key) {
            Ok(()) => Error::NoSuchKey,
            Err(denied) => denied,
        }
    }

    pub(super) async fn bound(&self, name: &BucketName) -> Result<Arc<Bound>> {
        if let Some(bound) = self.0.bounds.get(name) {
            return Ok(bound.clone());
        }
        let epoch = self.0.bounds_epoch.load(Ordering::SeqCst);
        let bucket = match self.catalog().bucket(&SERVICE, name).await? {
            Some(bucket) => bucket,
            None => self.adopt_container(name).await?.ok_or(Error::NoSuchBucket)?,
        };
        self.mount_named(&bucket.provider)?.serving()?;
        let bound = Arc::new(self.bind(bucket).await?);
        // A container that is not there may come back at any time.
        if bound.container.is_some() {
            if self.0.bounds.len() >= REMEMBERED_MAX {
                self.0.bounds.clear();
            }
            self.0.bounds.insert(name.clone(), bound.clone());
            // Somebody who changed the bucket meanwhile may have forgotten it before this was remembered.
            if self.0.bounds_epoch.load(Ordering::SeqCst) != epoch {
                self.0.bounds.remove(name);
            }
        }
        Ok(bound)
    }

    /// The bucket as it is now, for a write that was decided under what it was: another one of its name is none.
    pub(super) async fn bound_anew(&self, bound: &Bound) -> Result<Arc<Bound>> {
        self.forget_bucket(&bound.bucket.name);
        let now = self.bound(&bound.bucket.name).await?;
        if now.bucket.id != bound.bucket.id {
            return Err(Error::NoSuchBucket);
        }
        now.writable()?;
        Ok(now)
    }

    /// Also while its provider is not attached: requests go by [`Store::bound`].
    pub(super) async fn bind(&self, bucket: Bucket) -> Result<Bound> {
        let mount = self.mount_named(&bucket.provider)?;
        let provider = mount.opened()?;
        let container = provider.container(&bucket.container).await?;
        let rules = Rules::of(&bucket);
        let told = self.0.bucket_rules.settings(&bucket.name, mount.layout.unwrap_or(Layout::Managed)).layout;
        let alone = !self.catalog().is_shared() || told == Layout::Natural;
        Ok(Bound { bucket, rules, provider, container, alone })
    }

    /// A bucket for a container that has none: somebody made a directory.
    async fn adopt_container(&self, name: &BucketName) -> Result<Option<Bucket>> {
        let provider = &self.0.default_provider;
        if self.catalog().is_shared() {
            self.adopt_shared().await?;
            if let Some(bucket) = self.catalog().bucket(&SERVICE, name).await? {
                return Ok(Some(bucket));
            }
        }
        if self.0.looks || !self.mount_named(provider)?.adopt {
            return Ok(None);
        }
        self.adopt_from(provider, name).await
    }

    /// The same on any provider.
    pub(super) async fn adopt_from(&self, provider: &str, name: &BucketName) -> Result<Option<Bucket>> {
        let mount = self.mount_named(provider)?;
        let storage = mount.serving()?;
        let Some(container) = storage.container(name).await? else { return Ok(None) };
        if self.is_being_deleted(&*storage, name).await? {
            return Ok(None);
        }
        if mount.shared().is_some() {
            return Ok(None);
        }
        if !mount.adopt {
            return Err(Error::BucketTaken);
        }
        self.claim(&*storage, &container, false).await?;
        self.adopt(provider, mount, &container).await.map(Some)
    }

    /// The row of an adopted container. It belongs to root, whatever is written in it.
    pub(super) async fn adopt(&self, provider: &str, mount: &Mount, container: &Container) -> Result<Bucket> {
        let mut settings = self.0.bucket_rules.settings(&container.name, mount.usual_layout());
        if settings.layout == Layout::Natural && !mount.opened()?.capabilities().natural {
            settings.layout = Layout::Managed;
        }
        let new = NewBucket {
            name: container.name.clone(),
            provider: provider.to_owned(),
            container: container.name.clone(),
            owner: ROOT.to_owned(),
            created: Clock::now(),
            settings,
            config: BucketConfig::default(),
            indexed: None,
        };
        match self.catalog().create_bucket(&SERVICE, new).await {
            Ok(bucket) => {
                tracing::info!(bucket = %bucket.name, provider, "a container is served as a bucket");
                Ok(bucket)
            }
            Err(crate::catalog::Error::AlreadyExists) => {
                self.catalog().bucket(&SERVICE, &container.name).await?.ok_or(Error::NoSuchBucket)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Begins a body that will be published at the managed place of `version`.
    pub(super) async fn stage(&self, bound: &Bound, version: VersionId) -> Result<Box<dyn Stage>> {
        match bound.provider.stage(bound.place(), version).await {
            Err(error) if is_absent(&error) => Err(self.lost_container(bound).await),
            staged => Ok(staged?),
        }
    }

    /// What a write is told whose container went away meanwhile: with its bucket, or with its mount.
    pub(super) async fn lost_container(&self, bound: &Bound) -> Error {
        self.forget_bucket(&bound.bucket.name);
        match self.catalog().bucket(&SERVICE, &bound.bucket.name).await {
            Ok(Some(row)) if row.id == bound.bucket.id => container_is_gone(),
            Ok(_) => Error::NoSuchBucket,
            Err(error) => error.into(),
        }
    }

    /// Forgets a bucket whose row or container changed.
    pub(super) fn forget_bucket(&self, name: &BucketName) {
        self.0.bounds_epoch.fetch_add(1, Ordering::SeqCst);
        self.0.bounds.remove(name);
    }
}

impl Store {
    /// Forgets all buckets.
    pub(super) fn forget_buckets(&self) {
        self.0.bounds_epoch.fetch_add(1, Ordering::SeqCst);
        self.0.bounds.clear();
    }
}

/// A place that is missing, by way of the container or the bytes: for the callers that already know the row.
pub(super) fn is_absent(error: &provider::Error) -> bool {
    matches!(error, provider::Error::NotFound | provider::Error::StampMismatch)
}
