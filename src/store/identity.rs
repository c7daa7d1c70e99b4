//! Users and access keys, for administrators.
//!
//! **Invariant:** every function asks first whether the caller administers, and none returns a secret but that of the
//! key which it has just made. Caches forget after every change of what was there, also after one that failed, as it
//! may have happened all the same.

use serde_json::{Map, Value};

use crate::auth::decide::Target;
use crate::auth::policy;
use crate::auth::secret::Secret;
use crate::catalog::{self, AccessKey};
use crate::config::root::SECRET_CHARS_MIN;
use crate::model::action::Action;
use crate::model::caller::{Caller, ROOT, User};
use crate::store::Store;
use crate::store::error::{Error, Result};

/// Shortest and longest access key id, in characters.
const ACCESS_KEY_CHARS: std::ops::RangeInclusive<usize> = 3..=128;

impl Store {
    pub(super) fn administer(&self, caller: &Caller) -> Result<()> {
        self.allow(caller, Action::Administer, Target::Service)
    }

    /// Users by name, after `after`.
    ///
    /// # Errors
    /// Refusals and failures of the catalog.
    pub async fn users(&self, caller: &Caller, after: Option<&str>, limit: usize) -> Result<Vec<User>> {
        self.administer(caller)?;
        Ok(self.catalog().users(after, limit).await?)
    }

    /// Makes a user, or replaces it.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a name or policy that is not understood, or a name that is taken.
    pub async fn put_user(&self, caller: &Caller, user: User, replace: bool) -> Result<()> {
        self.administer(caller)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
        if user.name.is_empty() || user.name.len() > 64 || !user.name.chars().all(plain) {
            let message = "A user name has 1 to 64 letters, digits and characters of +=,.@_-";
            return Err(Error::InvalidArgument { name: "name", message });
        }
        if ["root", "anonymous"].contains(&user.name.as_str()) {
            return Err(Error::InvalidArgument { name: "name", message: "This name is taken by Longshore itself" });
        }
        if policy::compile(&user.policy).is_err() {
            let message = "The policy is neither readonly, readwrite nor admin, nor a document that is understood";
            return Err(Error::InvalidArgument { name: "policy", message });
        }
        let put = self.catalog().put_user(user, replace).await;
        self.0.users.forget();
        match put {
            Err(catalog::Error::AlreadyExists) => {
                Err(Error::InvalidArgument { name: "name", message: "There is a user of this name" })
            }
            other => Ok(other?),
        }
    }

    /// Removes a user with its keys.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if there is none.
    pub async fn delete_user(&self, caller: &Caller, name: &str) -> Result<()> {
        self.administer(caller)?;
        let result = self.catalog().delete_user(name).await;
        self.0.users.forget();
        none_such(result, "There is no such user")
    }

    /// Adds an access key of a user: the one given, or a fresh one. Returns it with its secret.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if there is no such user, the key id is taken, or the secret is too short.
    pub async fn add_key(
        &self,
        caller: &Caller,
        user: &str,
        given: Option<(String, Secret)>,
    ) -> Result<(String, Secret)> {
        self.administer(caller)?;
        self.new_key(user, None, given).await
    }

    /// Adds an access key of a role: whoever has it is what a token of these claims, which name the role, would be.
    ///
    /// # Errors
    /// As [`Store::add_key`].
    pub async fn add_role_key(
        &self,
        caller: &Caller,
        claims: &Map<String, Value>,
        given: Option<(String, Secret)>,
    ) -> Result<(String, Secret)> {
        self.administer(caller)?;
        if !claims.get("role").is_some_and(Value::is_string) {
            return Err(Error::InvalidArgument { name: "role", message: "An access key of a role names it" });
        }
        self.new_key(ROOT, Some(claims), given).await
    }

    async fn new_key(
        &self,
        user: &str,
        claims: Option<&Map<String, Value>>,
        given: Option<(String, Secret)>,
    ) -> Result<(String, Secret)> {
        if let Some((access_key, secret)) = &given {
            let plain = access_key.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b',' && b != b'=');
            if !plain || !ACCESS_KEY_CHARS.contains(&access_key.len()) {
                let message = "An access key has 3 to 128 printable characters without / , =";
                return Err(Error::InvalidArgument { name: "access-key", message });
            }
            if secret.expose().chars().count() < SECRET_CHARS_MIN {
                let message = "A secret key has at least 16 characters";
                return Err(Error::InvalidArgument { name: "secret-key", message });
            }
        }
        match self.0.users.add_key(user, claims, given).await {
            Err(catalog::Error::AlreadyExists) => {
                Err(Error::InvalidArgument { name: "access-key", message: "This access key is taken" })
            }
            Err(catalog::Error::NotFound) => {
                Err(Error::InvalidArgument { name: "user", message: "There is no such user" })
            }
            other => Ok(other?),
        }
    }

    /// The access keys of a user, without their secrets.
    ///
    /// # Errors
    /// Refusals and failures of the catalog.
    pub async fn keys(&self, caller: &Caller, user: &str) -> Result<Vec<AccessKey>> {
        self.administer(caller)?;
        Ok(self.catalog().keys(user).await?)
    }

    /// Removes an access key. Requests signed with it are refused at once here, and within a second by other processes.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if there is none.
    pub async fn delete_key(&self, caller: &Caller, access_key: &str) -> Result<()> {
        self.administer(caller)?;
        let result = self.catalog().delete_key(access_key).await;
        self.0.users.forget();
        none_such(result, "There is no such access key")
    }
}

fn none_such(result: catalog::Result<()>, message: &'static str) -> Result<()> {
    match result {
        Err(catalog::Error::NotFound) => Err(Error::InvalidArgument { name: "name", message }),
        other => Ok(other?),
    }
}
