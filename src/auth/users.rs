//! Users and their access keys: from the credential of a request to its caller.
//!
//! **Invariant:** a secret leaves this module only for the one comparison of a signature; at rest it is sealed. What is
//! remembered here is dropped whenever the catalog says that identities changed, also by another process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use serde_json::{Map, Value};

use crate::auth::secret::{MasterKey, Secret};
use crate::catalog::{self, AccessKey, Catalog};
use crate::model::caller::{Caller, ROOT, Token, User, Who};
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
    remembered: DashMap<String, (Who, Secret)>,
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
        Ok(self.look_up(access_key).await?.map(|(who, _)| who.into()))
    }

    async fn look_up(&self, access_key: &str) -> catalog::Result<Option<(Who, Secret)>> {
        if let Some(found) = self.remembered.get(access_key) {
            return Ok(Some(found.clone()));
        }
        let epoch = self.epoch.load(Ordering::SeqCst);
        let Some(key) = self.catalog.key(access_key).await? else { return Ok(None) };
        let Some(user) = self.user(&key.user).await? else { return Ok(None) };
        let name = sealed_for(&key.access_key, key.claims.as_deref());
        let secret = match self.master_key.open(&name, &key.sealed_secret) {
            Ok(secret) => secret,
            Err(error) => {
                tracing::error!(access_key, %error, "an access key cannot be used");
                return Ok(None);
            }
        };
        let who = match &key.claims {
            None if user.name == ROOT => Who::Root,
            None => Who::User(Arc::new(user)),
            Some(claims) => match token_of(claims) {
                Some(token) => Who::Token(Arc::new(token)),
                None => {
                    tracing::error!(
                        access_key,
                        "the claims of an access key cannot be read, and it counts for nothing"
                    );
                    return Ok(None);
                }
            },
        };
        if self.remembered.len() >= REMEMBERED_KEYS_MAX {
            self.remembered.clear();
        }
        let found = (who, secret);
        self.remembered.insert(access_key.to_owned(), found.clone());
        if self.epoch.load(Ordering::SeqCst) != epoch {
            self.remembered.remove(access_key);
        }
        Ok(Some(found))
    }

    /// The caller of a user, if there is one of the name.
    ///
    /// # Errors
    /// Failures of the catalog.
    pub async fn caller_of_user(&self, name: &str) -> catalog::Result<Option<Caller>> {
        if name == ROOT {
            return Ok(Some(Caller::ROOT));
        }
        Ok(self.user(name).await?.map(|user| Who::User(Arc::new(user)).into()))
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

    /// Adds an access key, with the given id and secret or fresh ones, and returns both. One with claims is a role's: root
    /// keeps it, and whoever has it may do what a token of these claims may.
    ///
    /// # Errors
    /// [`catalog::Error::AlreadyExists`] if the id is taken, [`catalog::Error::NotFound`] without such a user.
    pub async fn add_key(
        &self,
        user: &str,
        claims: Option<&Map<String, Value>>,
        given: Option<(String, Secret)>,
    ) -> catalog::Result<(String, Secret)> {
        let (access_key, secret) = given.unwrap_or_else(fresh_key);
        if access_key == self.root.access_key {
            return Err(catalog::Error::AlreadyExists);
        }
        if user == ROOT {
            // Root is always there; its row exists for the sake of its further keys.
            self.catalog.put_user(root_user(), true).await?;
        }
        let claims = claims.map(|claims| Value::Object(claims.clone()).to_string());
        let key = AccessKey {
            sealed_secret: self.master_key.seal(&sealed_for(&access_key, claims.as_deref()), &secret),
            access_key: access_key.clone(),
            user: user.to_owned(),
            created: Clock::now(),
            claims,
        };
        self.catalog.add_key(key).await?;
        Ok((access_key, secret))
    }
}

/// What the secret of a key is sealed for. Under other claims than it was made with it cannot be used.
fn sealed_for(access_key: &str, claims: Option<&str>) -> String {
    claims.map_or_else(|| access_key.to_owned(), |claims| format!("{access_key}\n{claims}"))
}

/// What the claims of a key say.
fn token_of(claims: &str) -> Option<Token> {
    let Ok(Value::Object(claims)) = serde_json::from_str(claims) else { return None };
    let role = claims.get("role").and_then(Value::as_str)?.to_owned();
    Some(Token::new(&role, claims))
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
