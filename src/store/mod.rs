//! The one door to data: it authorizes, then acts.
//!
//! **Invariant:** every effect follows exactly one decision ([`rights`]), taken before any provider call, and once more
//! under the key's lock for a write to a FileStore; only a commit of the catalog decides what an object is; each step
//! owed after it is in the outbox.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use dashmap::DashMap;

use crate::auth::secret::{MasterKey, NamedKeys, Secret};
use crate::auth::users::Users;
use crate::catalog::{Catalog, Scope};
use crate::config::TargetConfig;
use crate::model::bucket::BucketRules;
use crate::model::caller::Caller;
use crate::model::id::{CatalogId, UploadId};
use crate::model::name::BucketName;
use crate::model::time::Clock;

mod access_log;
mod acl;
mod adopt;
mod aside;
mod attach;
mod attached;
mod bound;
mod bucket;
mod complete;
mod config;
mod copy;
mod delete;
mod deliver;
mod displace;
pub mod error;
mod events;
mod explain;
mod gateways;
mod get;
mod identity;
pub mod ingest;
mod inline;
mod items;
mod late;
mod lifecycle;
mod list;
mod list_versions;
mod lock;
mod mount;
mod multipart;
mod outbox;
mod put;
mod quota;
mod relocate;
mod remove;
mod replay;
pub mod request;
mod rights;
mod seal;
mod shared;
mod sign_in;
mod site;
mod walk;
mod write;
mod young;

pub use crate::auth::users::RootCredentials;
pub use crate::provider::via::coming_by;
pub use attach::{Attach, AttachReport};
pub use error::{BodyError, Error, Result};
pub use explain::Resource;
pub use items::{
    Item, ItemChange, ItemError, ItemList, ItemOrder, ItemQuery, ItemResult, ItemRow, ItemSort, ItemType, ServiceRules,
};
pub use lifecycle::LifecycleReport;
pub use mount::Mounted;
pub use site::Site;
pub use walk::Upkeep;

use access_log::AccessLog;
use bound::Bound;
use complete::Running;
use gateways::Gateways;
use inline::Inline;
use lock::KeyLocks;
use mount::Mount;
use outbox::Outbox;
use walk::Walks;

/// What a store is made of.
#[derive(Debug)]
pub struct StoreParts {
    /// The catalog.
    pub catalog: Arc<dyn Catalog>,
    /// The providers by name.
    pub providers: BTreeMap<String, Mounted>,
    /// The provider of buckets for which nothing says another.
    pub default_provider: String,
    /// The settings that new and adopted buckets get.
    pub bucket_rules: BucketRules,
    /// Largest body whose bytes the catalog keeps until its file is durable, in bytes; 0: none.
    pub inline_bytes_max: usize,
    /// What opens sealed secrets, and seals what is encrypted under no other key.
    pub master_key: MasterKey,
    /// The keys that clients may ask for by name.
    pub named_keys: NamedKeys,
    /// The administrator.
    pub root: RootCredentials,
    /// Who can be notified.
    pub targets: Vec<TargetConfig>,
    /// The region that events name.
    pub region: String,
}

/// The store. Clones share everything.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    catalog: Arc<dyn Catalog>,
    mounts: BTreeMap<String, Mount>,
    default_provider: String,
    bucket_rules: BucketRules,
    targets: Vec<TargetConfig>,
    region: String,
    access_log: AccessLog,
    users: Users,
    clock: Clock,
    locks: KeyLocks,
    outbox: Outbox,
    gateways: Gateways,
    inline: Inline,
    seal_keys: seal::Keys,
    /// Seals positions in listings.
    positions: MasterKey,
    walks: Walks,
    bounds: DashMap<BucketName, Arc<Bound>>,
    /// Moves before anything is forgotten, so that what was read before is not remembered after.
    bounds_epoch: AtomicU64,
    /// Uploads that are being completed by this process; one in that state that is not here was left so.
    completing: DashMap<UploadId, Running>,
    /// Order among those who make, adopt and remove a bucket of one name. A storage that does not answer holds up nobody
    /// who works on another.
    names: KeyLocks,
    /// The FileStores that this process serves.
    served: items::Served,
    /// Buckets that were attached in the background and were not left clean.
    unclean: Mutex<BTreeSet<BucketName>>,
    /// It is only looked at: nobody's question makes a bucket of a container.
    looks: bool,
}

/// Statements of the store run under its own rights, after its own decision; those of a request about which the catalog
/// decides run under the caller's ([`rights`]).
const SERVICE: Scope = Scope::Service;

impl Store {
    /// Over a catalog and providers; touches neither. A server calls [`Store::attach`] before it listens.
    #[must_use]
    pub fn new(parts: StoreParts) -> Self {
        Self::over(parts, false)
    }

    /// The same for whoever changes nothing, by a catalog that is opened so: a container without a bucket becomes none.
    /// Who looks at containers calls [`Store::attach`] with [`Attach::Look`] first.
    #[must_use]
    pub fn to_look(parts: StoreParts) -> Self {
        Self::over(parts, true)
    }

    fn over(parts: StoreParts, looks: bool) -> Self {
        let catalog = parts.catalog.id().to_string();
        parts.providers.values().filter_map(|mounted| mounted.provider.as_ref()).for_each(|p| p.belongs_to(&catalog));
        Self(Arc::new(Inner {
            positions: parts.master_key.for_use(b"positions"),
            seal_keys: seal::Keys::new(&parts.master_key, parts.named_keys),
            users: Users::new(parts.catalog.clone(), parts.master_key, parts.root),
            catalog: parts.catalog,
            mounts: parts.providers.into_iter().map(|(name, mounted)| (name, mounted.into())).collect(),
            default_provider: parts.default_provider,
            bucket_rules: parts.bucket_rules,
            targets: parts.targets,
            region: parts.region,
            access_log: AccessLog::default(),
            clock: Clock::default(),
            locks: KeyLocks::new(),
            outbox: Outbox::default(),
            gateways: Gateways::default(),
            inline: Inline::new(parts.inline_bytes_max),
            walks: Walks::default(),
            bounds: DashMap::new(),
            bounds_epoch: AtomicU64::new(0),
            completing: DashMap::new(),
            names: KeyLocks::new(),
            served: items::Served::default(),
            unclean: Mutex::default(),
            looks,
        }))
    }

    /// The identity of the catalog: what two servers have in common that serve the same data.
    #[must_use]
    pub fn catalog_id(&self) -> CatalogId {
        self.catalog().id()
    }

    /// Whether catalog and storage answer.
    ///
    /// # Errors
    /// The failure of the one that does not.
    pub async fn ready(&self) -> Result<()> {
        self.catalog().ping().await?;
        Ok(())
    }

    /// The caller of an access key whose signature was verified; `None` if there is no such key.
    ///
    /// # Errors
    /// Failures of the catalog.
    pub async fn caller_of(&self, access_key: &str) -> Result<Option<Caller>> {
        Ok(self.0.users.caller_of(access_key).await?)
    }

    /// The caller of a user whose token was verified; `None` if there is no such user now.
    ///
    /// # Errors
    /// Failures of the catalog.
    pub async fn caller_of_user(&self, user: &str) -> Result<Option<Caller>> {
        Ok(self.0.users.caller_of_user(user).await?)
    }

    /// The secret of an access key, to verify a signature with; `None` if there is no such key.
    ///
    /// # Errors
    /// Failures of the catalog.
    pub async fn secret_of(&self, access_key: &str) -> Result<Option<Secret>> {
        Ok(self.0.users.secret_of(access_key).await?)
    }

    fn catalog(&self) -> &dyn Catalog {
        &*self.0.catalog
    }
}
