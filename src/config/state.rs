//! The state directory: catalog, master key, root credentials, and the lock that one server holds.
//!
//! **Invariant:** it and the files of this module are readable by their owner only; a file appears whole or not at all,
//! also when two processes make it at once; a lock is held by an open descriptor, so a killed server leaves none behind.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::auth::secret::{MasterKey, Secret};
use crate::config::root::{RootKeys, RootKeysError};
use crate::model::id::{hex, random, unhex};

const CATALOG: &str = "catalog.db";
const LOCK: &str = "lock";
const MASTER_KEY: &str = "master.key";
const ROOT: &str = "root.json";
const JWT_SECRET: &str = "jwt.secret";
const NOTES: &str = "notes";

/// Largest file of this module, in bytes.
const FILE_BYTES_MAX: u64 = 4096;

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another server holds the lock.
    #[error("another server is running on the state directory {}", .0.display())]
    Locked(PathBuf),
    /// There is nothing to work on.
    #[error("there is no state directory {}: run `longshore serve` first, or name it by --state", .0.display())]
    Missing(PathBuf),
    /// A file holds something else than it should.
    #[error("{} is damaged", .0.display())]
    Damaged(PathBuf),
    /// The stored root credentials are refused.
    #[error("the root credentials in {} are refused", .0.display())]
    Root(PathBuf, #[source] RootKeysError),
    /// The file system failed.
    #[error("{}", .0.display())]
    Io(PathBuf, #[source] io::Error),
}

/// An opened state directory.
#[derive(Debug, Clone)]
pub struct State(PathBuf);

/// Held by the one server of a state directory.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RootFile {
    access_key: String,
    secret_key: String,
}

impl State {
    /// Opens the directory, and makes it if it is missing.
    ///
    /// # Errors
    /// Failures of the file system.
    pub fn create(path: &Path) -> Result<Self, StateError> {
        let io = |error| StateError::Io(path.to_owned(), error);
        if !path.is_dir() {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            parent.map_or(Ok(()), std::fs::create_dir_all).map_err(io)?;
            match DirBuilder::new().mode(0o700).create(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made.map_err(io)?,
            }
        }
        // One that was made by other hands may be open to all.
        std::fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(io)?;
        Ok(Self(path.to_owned()))
    }

    /// Opens the directory if it is there.
    ///
    /// # Errors
    /// [`StateError::Missing`].
    pub fn open(path: &Path) -> Result<Self, StateError> {
        if path.join(MASTER_KEY).is_file() {
            Ok(Self(path.to_owned()))
        } else {
            Err(StateError::Missing(path.to_owned()))
        }
    }

    /// The file of the SQLite catalog.
    #[must_use]
    pub fn catalog(&self) -> PathBuf {
        self.0.join(CATALOG)
    }

    /// The directory of what a provider cannot note in a container that takes no writes. Any name of a provider makes
    /// one segment.
    #[must_use]
    pub fn notes(&self, provider: &str) -> PathBuf {
        self.0.join(NOTES).join(hex(provider.as_bytes()))
    }

    /// The file of generated root credentials.
    #[must_use]
    pub fn root_file(&self) -> PathBuf {
        self.0.join(ROOT)
    }

    /// Takes the lock for as long as the value lives.
    ///
    /// # Errors
    /// [`StateError::Locked`].
    pub fn lock(&self) -> Result<StateLock, StateError> {
        let path = self.0.join(LOCK);
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(|error| StateError::Io(path.clone(), error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(StateLock { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StateError::Locked(self.0.clone())),
            Err(error) => Err(StateError::Io(path, error.into())),
        }
    }

    /// What together tells the server of this directory from every other one, also from one of a copy, and not from an
    /// earlier one of the same directory: the machine since it began, and the file of the lock.
    ///
    /// # Errors
    /// Failures of the file system.
    pub fn identity(&self) -> Result<Vec<String>, StateError> {
        let path = self.0.join(LOCK);
        let lock = path.metadata().map_err(|error| StateError::Io(path, error))?;
        let of_kernel = |name: &str| std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
        let (boot, host) = (of_kernel("random/boot_id"), of_kernel("hostname"));
        Ok(vec![boot, host, lock.dev().to_string(), lock.ino().to_string()])
    }

    /// Whether a server holds the lock.
    ///
    /// # Errors
    /// Failures of the file system.
    pub fn is_locked(&self) -> Result<bool, StateError> {
        if !self.0.join(LOCK).exists() {
            return Ok(false);
        }
        match self.lock() {
            Ok(_) => Ok(false),
            Err(StateError::Locked(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The key that seals secrets in the catalog; made at the first call.
    ///
    /// # Errors
    /// [`StateError::Damaged`], failures of the file system.
    pub fn master_key(&self) -> Result<MasterKey, StateError> {
        let path = self.0.join(MASTER_KEY);
        if let Some(text) = read(&path)? {
            return unhex(text.trim()).map(MasterKey::new).ok_or(StateError::Damaged(path));
        }
        let key = MasterKey::generate();
        if write_new(&path, &format!("{}\n", hex(key.bytes())))? { Ok(key) } else { self.master_key() }
    }

    /// The stored root credentials, if they were generated before.
    ///
    /// # Errors
    /// [`StateError::Damaged`], [`StateError::Root`].
    pub fn root_keys(&self) -> Result<Option<RootKeys>, StateError> {
        let path = self.root_file();
        let Some(text) = read(&path)? else { return Ok(None) };
        let file: RootFile = serde_json::from_str(&text).map_err(|_| StateError::Damaged(path.clone()))?;
        let keys = RootKeys::new(&file.access_key, Secret::new(&file.secret_key));
        keys.map(Some).map_err(|error| StateError::Root(path, error))
    }

    /// The file of a generated secret of tokens.
    #[must_use]
    pub fn jwt_file(&self) -> PathBuf {
        self.0.join(JWT_SECRET)
    }

    /// The secret of tokens that is kept here, if one was generated before.
    ///
    /// # Errors
    /// [`StateError::Damaged`].
    pub fn jwt_secret(&self) -> Result<Option<Secret>, StateError> {
        let path = self.jwt_file();
        let Some(text) = read(&path)? else { return Ok(None) };
        unhex::<32>(text.trim()).map(|_| Some(Secret::new(text.trim()))).ok_or(StateError::Damaged(path))
    }

    /// Generates the secret of tokens and keeps it. Of two processes that do, both get the one that is kept.
    ///
    /// # Errors
    /// Failures of the file system.
    pub fn generate_jwt_secret(&self) -> Result<Secret, StateError> {
        let mut bytes = [0; 32];
        random(&mut bytes);
        let text = hex(&bytes);
        if write_new(&self.jwt_file(), &format!("{text}\n"))? {
            return Ok(Secret::new(&text));
        }
        self.jwt_secret()?.ok_or_else(|| StateError::Damaged(self.jwt_file()))
    }

    /// Generates root credentials and keeps them. Of two processes that do, one wins and both get its credentials.
    ///
    /// # Errors
    /// Failures of the file system.
    pub fn generate_root_keys(&self) -> Result<RootKeys, StateError> {
        let keys = RootKeys::generate();
        let file = RootFile { access_key: keys.access_key.clone(), secret_key: keys.secret.expose().to_owned() };
        let text = serde_json::to_string_pretty(&file).map_err(|_| StateError::Damaged(self.root_file()))?;
        if write_new(&self.root_file(), &format!("{text}\n"))? {
            return Ok(keys);
        }
        self.root_keys()?.ok_or_else(|| StateError::Damaged(self.root_file()))
    }
}

fn read(path: &Path) -> Result<Option<String>, StateError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|error| StateError::Io(path.to_owned(), error))?,
    };
    let mut text = String::new();
    match file.take(FILE_BYTES_MAX).read_to_string(&mut text) {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(StateError::Damaged(path.to_owned())),
        Err(error) => Err(StateError::Io(path.to_owned(), error)),
    }
}

/// Makes a file that must not exist: written apart, synced, then linked to its name. `false`: somebody else was first.
fn write_new(path: &Path, text: &str) -> Result<bool, StateError> {
    let mut suffix = [0; 8];
    random(&mut suffix);
    let apart = path.with_extension(format!("{}.tmp", hex(&suffix)));
    let made = write_apart(&apart, text).and_then(|()| match std::fs::hard_link(&apart, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        linked => linked.map(|()| true),
    });
    let removed = std::fs::remove_file(&apart);
    let synced = path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all());
    let made = made.and_then(|made| removed.and(synced).map(|()| made));
    made.map_err(|error| StateError::Io(path.to_owned(), error))
}

fn write_apart(apart: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(apart)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_made_once_and_for_their_owner_only() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("deep/state");
        assert!(matches!(State::open(&path), Err(StateError::Missing(_))));
        let state = State::create(&path).expect("made");
        let key = state.master_key().expect("made");
        assert_eq!(state.master_key().expect("read").bytes(), key.bytes());
        assert_eq!(state.root_keys().expect("none yet"), None);
        let root = state.generate_root_keys().expect("made");
        assert_eq!(state.generate_root_keys().expect("read"), root);
        assert_eq!(state.root_keys().expect("read"), Some(root));
        let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&state.root_file()), mode(&path.join(MASTER_KEY))), (0o700, 0o600, 0o600));
        assert_eq!(std::fs::read_dir(&path).expect("readable").count(), 2);
        assert!(State::open(&path).is_ok());
    }

    #[test]
    fn damage_is_told() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = State::create(dir.path()).expect("made");
        std::fs::write(dir.path().join(MASTER_KEY), "short").expect("written");
        assert!(matches!(state.master_key(), Err(StateError::Damaged(_))));
        std::fs::write(state.root_file(), r#"{"access_key":"operator","secret_key":"password"}"#).expect("written");
        assert!(matches!(state.root_keys(), Err(StateError::Root(_, RootKeysError::WellKnown))));
    }

    #[test]
    fn one_holds_the_lock() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = State::create(dir.path()).expect("made");
        let held = state.lock().expect("free");
        assert!(matches!(state.lock(), Err(StateError::Locked(_))));
        drop(held);
        assert!(state.lock().is_ok());
    }
}
