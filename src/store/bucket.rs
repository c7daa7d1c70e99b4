//! Buckets: list, make, look up, change, remove.
//!
//! **Invariant:** the row decides whether a bucket exists; its container follows the row, and a creation or removal cut
//! short between the two is finished at the next start.

use std::sync::Arc;

use crate::auth::decide::{Rules, Target, Verdict, policy_counts};
use crate::catalog::{self, BucketIntent, NewBucket, Scope};
use crate::model::acl::Canned;
use crate::model::action::Action;
use crate::model::bucket::{Bucket, BucketConfig, BucketSettings, Intake};
use crate::model::caller::{Caller, ROOT};
use crate::model::name::BucketName;
use crate::model::place::Layout;
use crate::provider::{self, Provider};
use crate::store::acl::unusual;
use crate::store::bound::{Bound, is_absent};
use crate::store::config::fits_ownership;
use crate::store::error::{Error, Result};
use crate::store::mount::Mount;
use crate::store::request::{AclRequest, BucketPage, BucketQuery, CreateBucket};
use crate::store::{SERVICE, Store};

/// Rows read at a time while those the caller may not see are passed over.
const ROWS_PAGE: usize = 1000;

/// Refuses a layout that the storage cannot keep.
fn layout_is_possible(settings: BucketSettings, provider: &dyn Provider) -> Result<()> {
    if settings.layout == Layout::Natural && !provider.capabilities().natural {
        return Err(Error::InvalidRequest(
            "The storage of this bucket cannot keep objects under their own names; its layout can only be managed.",
        ));
    }
    Ok(())
}

impl Store {
    /// The caller's own buckets, and those of root's that its policy lists. Directories somebody made meanwhile are
    /// buckets, too, unless the store is only looked at.
    ///
    /// # Errors
    /// [`Error::AccessDenied`] for callers without a name, and failures of catalog and storage.
    pub async fn list_buckets(&self, caller: &Caller, query: BucketQuery) -> Result<BucketPage> {
        self.allow(caller, Action::ListAllMyBuckets, Target::Service)?;
        let scope = self.scope(caller);
        self.adopt_shared().await?;
        if scope == SERVICE {
            self.adopt_new_containers().await?;
        }
        let mut page = BucketPage::default();
        let mut after = query.after;
        loop {
            let rows = self.catalog().buckets(&scope, &query.prefix, after.as_deref(), ROWS_PAGE).await?;
            let ended = rows.len() < ROWS_PAGE;
            for bucket in rows {
                let listed = scope != SERVICE || bucket.owner == caller.id() || self.lists(caller, &bucket);
                if listed && page.buckets.len() == query.limit {
                    page.next = after;
                    return Ok(page);
                }
                after = Some(bucket.name.as_str().to_owned());
                if listed {
                    page.buckets.push(bucket);
                }
            }
            if ended {
                return Ok(page);
            }
        }
    }

    /// Whether a bucket of root's, or of anyone for an administrator, is the caller's to list.
    fn lists(&self, caller: &Caller, bucket: &Bucket) -> bool {
        policy_counts(caller, bucket)
            && self.allow(caller, Action::ListBucket, Target::Bucket(bucket, &Rules::of(bucket))).is_ok()
    }

    /// A storage that does not answer keeps nobody from seeing the buckets that are known.
    async fn adopt_new_containers(&self) -> Result<()> {
        let mount = self.mount_named(&self.0.default_provider)?;
        let adopts = mount.adopt && !self.0.looks;
        let Some(provider) = mount.serving().ok().filter(|_| adopts) else { return Ok(()) };
        let containers = match provider.containers().await {
            Err(error) if error.retryable() => {
                tracing::warn!(%error, "the containers of the default provider cannot be listed");
                return Ok(());
            }
            containers => containers?,
        };
        for container in containers {
            if !self.0.bounds.contains_key(&container.name) {
                match self.bound(&container.name).await {
                    Ok(_) | Err(Error::NoSuchBucket) => {}
                    Err(error) => tracing::warn!(bucket = %container.name, %error, "a container is not served"),
                }
            }
        }
        Ok(())
    }

    /// Makes a bucket of the caller's, with this configuration and list, on the provider that is asked for or that the
    /// rules say.
    ///
    /// # Errors
    /// [`Error::BucketOwned`], [`Error::BucketTaken`] also if the caller has it with another list or on another provider
    /// than is asked for, [`Error::AclWithOwnership`], refusals.
    pub async fn create_bucket(&self, caller: &Caller, name: &BucketName, request: CreateBucket) -> Result<Bucket> {
        self.allow(caller, Action::CreateBucket, Target::NewBucket(name))?;
        let scope = self.scope(caller);
        let nobody = (scope != SERVICE).then_some(ROOT);
        let owner = caller.owner().or(nobody).ok_or(Error::AccessDenied)?;
        if scope != SERVICE {
            self.ask_to_make(&scope, owner, name, &request).await?;
        }
        let acl = unusual(self.resolve(&request.acl, owner, owner).await?, owner);
        let config = BucketConfig { acl, ..request.config };
        fits_ownership(&config, owner)?;
        let (store, owner, name) = (self.clone(), owner.to_owned(), name.clone());
        let section = tokio::spawn(async move {
            store.make_bucket(owner, &name, config, (request.provider, request.public), &scope).await
        });
        section.await?
    }

    /// Asks for a role whether it may make a bucket, before a storage is looked at. What would count past the policies it
    /// may not set.
    async fn ask_to_make(&self, scope: &Scope, owner: &str, name: &BucketName, request: &CreateBucket) -> Result<()> {
        let CreateBucket { acl, config, public, .. } = request;
        let usual = matches!(acl, AclRequest::None | AclRequest::Canned(Canned::Private));
        if !usual || config.lock.is_some() || config.ownership.is_some() {
            return Err(Error::AccessDenied);
        }
        let intent = BucketIntent::Make { name: name.clone(), public: *public, intake: config.intake.clone() };
        match self.catalog().may_with_bucket(scope, &intent).await {
            Err(catalog::Error::AlreadyExists) => {
                let there = self.catalog().bucket(&SERVICE, name).await?;
                let own = there.is_some_and(|there| there.owner == owner);
                Err(if own { Error::BucketOwned } else { Error::BucketTaken })
            }
            other => Ok(other?),
        }
    }

    /// The provider of a bucket that is about to be made.
    fn routed(&self, name: &BucketName, asked: Option<&str>) -> String {
        let ruled = || self.0.bucket_rules.rule(name).and_then(|rule| rule.provider.as_deref());
        asked.or_else(ruled).unwrap_or(&self.0.default_provider).to_owned()
    }

    /// Whether there is a bucket of the name, or a container that becomes it.
    async fn is_taken(&self, name: &BucketName, provider: &str) -> Result<Option<Arc<Bound>>> {
        match self.bound(name).await {
            Ok(there) => return Ok(Some(there)),
            Err(Error::NoSuchBucket) => {}
            // The default provider cannot be asked whether a container of the name lies there; nobody asked for that one.
            Err(Error::Unavailable(_) | Error::NotAttached(_))
                if provider != self.0.default_provider && self.catalog().bucket(&SERVICE, name).await?.is_none() => {}
            Err(error) => return Err(error),
        }
        match self.adopt_from(provider, name).await? {
            Some(_) => Ok(Some(self.bound(name).await?)),
            None => Ok(None),
        }
    }

    /// The settings of a bucket that is made; a layout that its storage cannot keep is refused.
    fn settings_of_new(&self, name: &BucketName, mount: &Mount) -> Result<BucketSettings> {
        let mut settings = self.0.bucket_rules.settings(name, mount.usual_layout());
        if let Some(layout) = mount.shared() {
            settings = BucketSettings { layout, exclusive: true, ..settings };
        }
        layout_is_possible(settings, &*mount.serving()?)?;
        Ok(settings)
    }

    async fn make_bucket(
        &self,
        owner: String,
        name: &BucketName,
        config: BucketConfig,
        (asked, public): (Option<String>, bool),
        scope: &Scope,
    ) -> Result<Bucket> {
        let _order = self.0.names.lock_name(name).await;
        let routed = self.routed(name, asked.as_deref());
        if let Some(there) = self.is_taken(name, &routed).await? {
            let there = &there.bucket;
            let elsewhere = asked.is_some_and(|asked| asked != there.provider);
            let same = there.owner == owner && there.config.acl == config.acl && !elsewhere;
            return Err(if same { Error::BucketOwned } else { Error::BucketTaken });
        }
        let mount = self.mount_named(&routed)?;
        let provider = mount.serving()?;
        let now = Self::now();
        let new = NewBucket {
            name: name.clone(),
            settings: BucketSettings { public, ..self.settings_of_new(name, mount)? },
            provider: routed,
            container: name.clone(),
            owner,
            created: now,
            config,
            indexed: Some(now),
        };
        let bucket = match self.catalog().create_bucket(scope, new).await {
            Ok(bucket) => bucket,
            Err(catalog::Error::AlreadyExists) => return Err(Error::BucketTaken),
            Err(error) => return Err(error.into()),
        };
        if let Err(error) = self.make_container(&bucket, &*provider).await {
            if let Err(undo) = self.catalog().delete_bucket(&SERVICE, bucket.id, false).await {
                tracing::warn!(bucket = %name, error = %undo, "a bucket without a container stays; the next start makes it");
            }
            return Err(error);
        }
        self.forget_bucket(name);
        Ok(bucket)
    }

    /// A bucket, for a caller who may list it.
    ///
    /// # Errors
    /// Refusals.
    pub async fn head_bucket(&self, caller: &Caller, name: &BucketName) -> Result<Bucket> {
        let bound = self.enter(caller, name, Action::ListBucket).await?;
        self.see_bucket(caller, &bound).await?;
        Ok(bound.bucket.clone())
    }

    /// A bucket, for a caller who may know its location.
    ///
    /// # Errors
    /// Refusals.
    pub async fn bucket_location(&self, caller: &Caller, name: &BucketName) -> Result<Bucket> {
        let bound = self.enter(caller, name, Action::GetBucketLocation).await?;
        self.see_bucket(caller, &bound).await?;
        Ok(bound.bucket.clone())
    }

    /// The canonical id of a bucket's owner, to hold a request's expectation against. It reveals nothing else. `None`: there
    /// is no such bucket; a container of the name, if there is one, would be root's.
    ///
    /// # Errors
    /// Failures of the catalog.
    pub async fn owner_of_bucket(&self, name: &BucketName) -> Result<Option<String>> {
        self.known_bucket(name, |bucket| bucket.owner.clone()).await
    }

    /// Whether a bucket is open to whom an interface lets in as a guest, who has shown nothing: one of a user is not, nor
    /// is a FileStore, as its groups say what strangers may do. It reveals nothing else.
    ///
    /// # Errors
    /// Failures of the catalog.
    pub async fn takes_guests(&self, name: &BucketName) -> Result<bool> {
        let open = |bucket: &Bucket| bucket.owner == ROOT && bucket.config.bound_service().is_none();
        // A container without a row would be root's.
        Ok(self.known_bucket(name, open).await?.unwrap_or(true))
    }

    /// Something of a bucket, before anything is decided: so nobody's question makes us look at, and adopt, a container.
    async fn known_bucket<T>(&self, name: &BucketName, tell: impl FnOnce(&Bucket) -> T) -> Result<Option<T>> {
        if let Some(bound) = self.0.bounds.get(name) {
            return Ok(Some(tell(&bound.bucket)));
        }
        Ok(self.catalog().bucket(&SERVICE, name).await?.map(|bucket| tell(&bucket)))
    }

    /// Whether everyone may read the objects of a bucket. It reveals nothing else.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`] and failures of the catalog.
    pub async fn is_open(&self, name: &BucketName) -> Result<bool> {
        // Asked of the row, so that nobody's question makes us look at, and adopt, a container that is not open.
        let open =
            |bucket: &Bucket, _: &Rules| if bucket.settings.public { Verdict::Allowed } else { Verdict::Refused };
        match self.enter_if(name, open, false).await {
            Ok(_) => Ok(true),
            Err(Error::AccessDenied) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a bucket keeps versions, or did: then answers name them. It reveals nothing else.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`] and failures of the catalog.
    pub async fn keeps_versions(&self, name: &BucketName) -> Result<bool> {
        Ok(self.bound(name).await?.bucket.config.versioning.ever())
    }

    /// Changes the settings of a bucket; administrators only.
    ///
    /// # Errors
    /// Refusals.
    pub async fn set_bucket(&self, caller: &Caller, name: &BucketName, settings: BucketSettings) -> Result<()> {
        let bound = self.enter(caller, name, Action::Administer).await?;
        if settings.layout != bound.bucket.settings.layout {
            if bound.is_shared() {
                return Err(Error::InvalidRequest("Another server uses this bucket; its layout cannot be changed."));
            }
            layout_is_possible(settings, &*bound.provider)?;
        }
        match self.catalog().set_bucket(&SERVICE, bound.bucket.id, settings).await {
            Err(catalog::Error::NotFound) => return Err(Error::NoSuchBucket),
            other => other?,
        }
        self.forget_bucket(name);
        let bucket = Bucket { settings, ..bound.bucket.clone() };
        match &bound.container {
            Some(container) if self.is_marked(&bound).await? => {
                self.note_settings(&bucket, &*bound.provider, container).await
            }
            _ => Ok(()),
        }
    }

    /// Objects and bytes of a bucket; administrators only.
    ///
    /// # Errors
    /// Refusals.
    pub async fn usage(&self, caller: &Caller, name: &BucketName) -> Result<(u64, u64)> {
        let bound = self.enter(caller, name, Action::Administer).await?;
        Ok(self.catalog().usage(&SERVICE, bound.bucket.id).await?)
    }

    /// Removes an empty bucket with its container. Uploads in progress go with it; files that others put there keep it.
    ///
    /// # Errors
    /// [`Error::BucketNotEmpty`], refusals. On cancellation: it goes on without an answer.
    pub async fn delete_bucket(&self, caller: &Caller, name: &BucketName) -> Result<()> {
        let bound = self.enter(caller, name, Action::DeleteBucket).await?;
        bound.writable()?;
        let scope = self.scope(caller);
        self.ask_of_bucket(&scope, BucketIntent::Remove(bound.bucket.id)).await?;
        let store = self.clone();
        let section = tokio::spawn(async move { store.remove_bucket(&bound, &scope).await });
        section.await?
    }

    /// Asks about a bucket that is there.
    async fn ask_of_bucket(&self, scope: &Scope, intent: BucketIntent) -> Result<()> {
        match self.catalog().may_with_bucket(scope, &intent).await {
            Err(catalog::Error::NotFound) => Err(Error::NoSuchBucket),
            Err(catalog::Error::NotEmpty) => Err(Error::BucketNotEmpty),
            other => Ok(other?),
        }
    }

    /// Who goes on to open, close and limit a bucket: for a role that may, Longshore, as these are administrators' means.
    async fn who_updates(
        &self,
        caller: &Caller,
        name: &BucketName,
        public: Option<bool>,
        change: impl Fn(&mut Intake) -> Result<()>,
    ) -> Result<Caller> {
        let scope = self.scope(caller);
        if scope == SERVICE {
            return Ok(caller.clone());
        }
        let bucket = self.catalog().bucket(&SERVICE, name).await?.ok_or(Error::NoSuchBucket)?;
        let mut intake = bucket.config.intake.clone();
        change(&mut intake)?;
        let public = public.unwrap_or(bucket.settings.public);
        self.ask_of_bucket(&scope, BucketIntent::Set { bucket: bucket.id, public, intake }).await?;
        Ok(Caller::ROOT)
    }

    /// Opens or closes a bucket, and changes what it takes. Closed before and opened after: nobody reads what new limits
    /// keep out.
    ///
    /// # Errors
    /// Refusals.
    pub async fn update_bucket(
        &self,
        caller: &Caller,
        name: &BucketName,
        public: Option<bool>,
        change: impl Fn(&mut Intake) -> Result<()> + Send + Sync,
    ) -> Result<()> {
        let caller = &self.who_updates(caller, name, public, &change).await?;
        if public == Some(false) {
            self.open_bucket(caller, name, false).await?;
        }
        self.change_config(caller, name, Action::Administer, |config, _| change(&mut config.intake)).await?;
        if public == Some(true) {
            self.open_bucket(caller, name, true).await?;
        }
        Ok(())
    }

    async fn open_bucket(&self, caller: &Caller, name: &BucketName, public: bool) -> Result<()> {
        let settings = self.enter(caller, name, Action::Administer).await?.bucket.settings;
        self.set_bucket(caller, name, BucketSettings { public, ..settings }).await
    }

    async fn remove_bucket(&self, bound: &Arc<Bound>, scope: &Scope) -> Result<()> {
        let _order = self.0.names.lock_name(&bound.bucket.name).await;
        let Some(container) = &bound.container else { return Err(Error::NoSuchBucket) };
        // Who waited for another removal finds nothing left to remove.
        if !self.is_still_there(bound).await {
            return Err(Error::NoSuchBucket);
        }
        // A mark in the place of a mount that is missing would make every row there count as deleted.
        self.require_container(bound).await?;
        // Objects that are being freed are no longer there for anyone, but their files may be, for a moment.
        self.replay_of(bound.bucket.id).await?;
        // What others put there that cannot be an object keeps the bucket too: it would be found by the next look, and be
        // a bucket again.
        match bound.provider.is_vacant(bound.place()).await {
            Ok(true) => {}
            // What another server has left there without a row is nobody's.
            Ok(false) if bound.is_shared() => {}
            Ok(false) => return Err(Error::BucketNotEmpty),
            Err(error) if is_absent(&error) => return Err(self.lost_container(bound).await),
            Err(error) => return Err(error.into()),
        }
        self.mark_deleting(&*bound.provider, container, true).await?;
        match self.catalog().delete_bucket(scope, bound.bucket.id, false).await {
            Ok(()) => {}
            Err(error) => {
                self.mark_deleting(&*bound.provider, container, false).await?;
                return Err(match error {
                    catalog::Error::NotEmpty => Error::BucketNotEmpty,
                    catalog::Error::NotFound => Error::NoSuchBucket,
                    error => error.into(),
                });
            }
        }
        self.forget_bucket(&bound.bucket.name);
        match bound.provider.delete_container(bound.place()).await {
            Ok(()) | Err(provider::Error::NotFound) => self.remake_container(bound).await,
            Err(error) => {
                // The decision stands. What somebody put there meanwhile is served anew; all else goes at the next start.
                if matches!(error, provider::Error::NotEmpty) {
                    self.mark_deleting(&*bound.provider, container, false).await?;
                }
                tracing::warn!(bucket = %bound.bucket.name, %error, "the container of a deleted bucket is still there");
                Ok(())
            }
        }
    }

    /// Another process may have made a bucket of the name since the row went: then it was its container that went.
    async fn remake_container(&self, bound: &Bound) -> Result<()> {
        if !self.catalog().is_shared() {
            return Ok(());
        }
        match self.catalog().bucket(&SERVICE, &bound.bucket.name).await? {
            Some(bucket) if bucket.provider == bound.bucket.provider => {
                self.make_container(&bucket, &*bound.provider).await
            }
            _ => Ok(()),
        }
    }
}
