//! Users and their access keys: from the credential of a request to its caller.
//!
//! **Invariant:** a secret leaves this module only for the one comparison of a signature; at rest it is sealed. What is
//! remembered here is dropped whenever the catalog says that identities changed, also by another process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;

use crate::auth::secret::{MasterKey, Secret};
use crate::catalog::{self, AccessKey, Catalog};
use crate::model::caller::{Caller, ROOT, User, Who};
use crate::model::id::random;
use crate::model::time::Clock;

/// Most access keys remembered; the whole memory is dropped when it is full.
const REMEMBERED_KEYS_MAX: usize = 10_000;

/// The administrator's credentials.
#[derive(Debug, Clone)]
pub struct RootCredentials {
    /// The access key id.
    pub access_key: String,
    /// The secret key.
    pub secret: Secret,
}

/// Verified identities.
#[derive(Debug)]
pub struct Users {
    catalog: Arc<dyn Catalog>,
    master_key: MasterKey,
    root: RootCredentials,
    remembered: DashMap<String, (Arc<User>, Secret)>,
    /// Moves before anything is forgotten, so that what was read before is not remembered after.
    epoch: AtomicU64,
}

impl Users {
    /// Over a catalog.
    #[must_use]
    pub fn new(catalog: Arc<dyn Catalog>, master_key: MasterKey, root: RootCredentials) -> Self {
        Self { catalog, master_key, root, remembered: DashMap::new(), epoch: AtomicU64::new(0) }
    }

    /// Forgets what it remembers.
    pub fn forget(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.remembered.clear();
    }

    /// The secret of an access key, if there is such a key.
    ///
    /// # Errors
    /// Failures of the catalog.
    pub async fn secret_of(&self, access_key: &str) -> catalog::Result<Option<Secret>> {
        if access_key == self.root.access_key {
            return Ok(Some(self.root.secret.clone()));
        }
        Ok(self.look_up(access_key).await?.map(|(_, secret)| secret))
    }

    /// The caller whose access key this is; its signature must have been verified.
    ///
    /// # Errors
    /// Failures of the catalog.
    pub async fn caller_of(&self, access_key: &str) -> catalog::Result<Option<Caller>> {
        if access_key == self.root.access_key {
            return Ok(Some(Caller::ROOT));
        }
        Ok(self
            .look_up(access_key)
            .await?
            .map(|(user, _)| if user.name == ROOT { Caller::ROOT } else { Who::User(user).into() }))
    }

    async fn look_up(&self, access_key: &str) -> catalog::Result<Option<(Arc<User>, Secret)>> {
        if let Some(found) = self.remembered.get(access_key) {
            return Ok(Some(found.clone()));
        }
        let epoch = self.epoch.load(Ordering::SeqCst);
        let Some(key) = self.catalog.key(access_key).await? else { return Ok(None) };
        let Some(user) = self.user(&key.user).await? else { return Ok(None) };
        let secret = match self.master_key.open(&key.access_key, &key.sealed_secret) {
            Ok(secret) => secret,
            Err(error) => {
                tracing::error!(access_key, %error, "an access key cannot be used");
                return Ok(None);
            }
        };
        if self.remembered.len() >= REMEMBERED_KEYS_MAX {
            self.remembered.clear();
        }
        let found = (Arc::new(user), secret);
        self.remembered.insert(access_key.to_owned(), found.clone());
        if self.epoch.load(Ordering::SeqCst) != epoch {
            self.remembered.remove(access_key);
        }
        Ok(Some(found))
    }

    /// One user. `root` is always there, so that it can have further keys.
    ///
    /// # Errors
    /// Failures of the catalog.
    pub async fn user(&self, name: &str) -> catalog::Result<Option<User>> {
        if name == ROOT {
            return Ok(Some(root_user()));
        }
        self.catalog.user(name).await
    }

    /// Adds an access key, with the given id and secret or fresh ones, and returns both.
    ///
    /// # Errors
    /// [`catalog::Error::AlreadyExists`] if the id is taken, [`catalog::Error::NotFound`] without such a user.
    pub async fn add_key(&self, user: &str, given: Option<(String, Secret)>) -> catalog::Result<(String, Secret)> {
        let (access_key, secret) = given.unwrap_or_else(fresh_key);
        if access_key == self.root.access_key {
            return Err(catalog::Error::AlreadyExists);
        }
        if user == ROOT {
            // Root is always there; its row exists for the sake of its further keys.
            self.catalog.put_user(root_user(), true).await?;
        }
        let key = AccessKey {
            access_key: access_key.clone(),
            user: user.to_owned(),
            sealed_secret: self.master_key.seal(&access_key, &secret),
            created: Clock::now(),
        };
        self.catalog.add_key(key).await?;
        Ok((access_key, secret))
    }
}

fn root_user() -> User {
    User { name: ROOT.into(), display_name: ROOT.into(), email: None, groups: Vec::new(), policy: "admin".into() }
}

/// A fresh access key of 20 characters and a secret of 40.
#[must_use]
pub fn fresh_key() -> (String, Secret) {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let text = |len: usize| -> String {
        let mut bytes = vec![0; len];
        random(&mut bytes);
        bytes.iter().map(|b| char::from(LETTERS[usize::from(b & 31)])).collect()
    };
    (text(20), Secret::new(&text(40)))
}
