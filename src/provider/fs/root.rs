//! The root directory: which containers there are, and the descriptors they are reached by.
//!
//! **Invariant:** a container is asked for by name each time, so a directory that was replaced, removed or whose mount
//! went away is noticed by the next call; a descriptor is only kept while the name still leads to it.

use std::collections::HashMap;
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags};
use rustix::fs::{fsync, mkdirat, openat, renameat_with, statat, unlinkat};
use rustix::io::Errno;

use super::error::{Doing, failed, if_there, meaning};
use super::open::{self, Opener};
use super::reap::Reaper;
use super::space::{Make, Space, Terms};
use super::{Durability, OpenOptions, Without, probe};
use crate::model::id::VersionId;
use crate::model::name::{BucketName, PATH_DEPTH_MAX, RESERVED};
use crate::provider::{Capabilities, Container, Error, Result};

/// Containers that were deleted but could not be removed at once bear this name until the next start.
const GONE: &str = ".longshore-gone-";
/// Directories that are looked into before a container is found to be empty. One deeper is not ours to judge.
const EMPTY_DEPTH_MAX: usize = 4 * PATH_DEPTH_MAX;

/// Containers held open: a server may have many more of them than descriptors.
const SPACES_MAX: usize = 256;

/// The root directory.
pub(super) struct Root {
    path: PathBuf,
    dir: OwnedFd,
    terms: Terms,
    folds: bool,
    capabilities: Capabilities,
    spaces: Mutex<HashMap<BucketName, Arc<Space>>>,
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Root")
            .field("path", &self.path)
            .field("capabilities", &self.capabilities)
            .finish_non_exhaustive()
    }
}

impl Root {
    /// Opens the directory, finds out what its file system can do, and, if it is to be changed, removes what a deletion
    /// left behind.
    pub(super) fn open(path: &Path, durability: Durability, options: OpenOptions) -> std::io::Result<Self> {
        let OpenOptions { without, notes, shared, looks } = options;
        let dir = rustix::fs::open(path, open::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let opener = if without.openat2 { Opener::Walk } else { Opener::probe(&dir) };
        let durable = durability == Durability::Fsync;
        let found = probe::probe(&dir);
        let exchange = found.exchange && !without.exchange;
        let capabilities = Capabilities {
            natural: exchange || found.links,
            exchange,
            records: found.records,
            durable,
            reflink: found.reflink,
            inline: durable,
            flat: false,
            conditional: true,
        };
        let fine_times_on = (found.fine_times && !without.fine_times)
            .then(|| rustix::fs::fstat(&dir).map(|stat| stat.st_dev))
            .transpose()?;
        let without = Without { exchange: !exchange, ..without };
        let process = VersionId::fresh();
        let root = Self {
            path: path.to_owned(),
            dir,
            terms: Terms {
                opener,
                durable,
                shared,
                without,
                process,
                fine_times_on,
                notes,
                reaper: Arc::new(Reaper::start()),
            },
            folds: found.folds || without.case,
            capabilities,
            spaces: Mutex::new(HashMap::new()),
        };
        if !looks {
            root.sweep();
        }
        Ok(root)
    }

    /// What it can keep of the promises.
    pub(super) fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// The container of this name, if it was entered before and is still the same.
    pub(super) fn entered(&self, name: &BucketName) -> Option<Arc<Space>> {
        let space = self.spaces.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()?;
        // On a network file system even this look could wait, so there it is left to those who may.
        (space.is_local() && self.identity_of(name).ok()? == space.identity()).then_some(space)
    }

    /// The container of this name.
    pub(super) fn enter(&self, name: &BucketName) -> Result<Arc<Space>> {
        let found = if is_ours(name.as_str()) { Err(Error::NotFound) } else { self.identity_of(name) };
        let mut spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = match found {
            Ok(identity) => identity,
            Err(error) => {
                spaces.remove(name);
                return Err(error);
            }
        };
        if let Some(space) = spaces.get(name).filter(|space| space.identity() == identity) {
            return Ok(space.clone());
        }
        spaces.remove(name);
        drop(spaces);
        if self.folds && !self.names()?.iter().any(|other| other == name) {
            return Err(Error::NotFound);
        }
        let flags = open::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = openat(&self.dir, name.as_str(), flags, Mode::empty()).doing("open a container")?;
        let space = Arc::new(Space::new(name.clone(), dir, self.terms.clone())?);
        let mut spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
        if spaces.len() >= SPACES_MAX
            && let Some(other) = spaces.keys().next().cloned()
        {
            spaces.remove(&other);
        }
        spaces.insert(name.clone(), space.clone());
        Ok(space)
    }

    fn identity_of(&self, name: &BucketName) -> Result<(u64, u64)> {
        let stat = statat(&self.dir, name.as_str(), AtFlags::SYMLINK_NOFOLLOW).doing("stat a container")?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            Ok((stat.st_dev, stat.st_ino))
        } else {
            Err(Error::NotFound)
        }
    }

    /// The names of all directories that can be containers, sorted.
    fn names(&self) -> Result<Vec<BucketName>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.dir).doing("read the root directory")? {
            let entry = entry.doing("read the root directory")?;
            let Some(name) = entry.file_name().to_str().ok().filter(|name| !is_ours(name)) else { continue };
            let Ok(name) = BucketName::new(name) else { continue };
            let directory = match entry.file_type() {
                FileType::Directory => true,
                FileType::Unknown => self.identity_of(&name).is_ok(),
                _ => false,
            };
            if directory {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// All containers.
    pub(super) fn containers(&self) -> Result<Vec<Container>> {
        let mut all = Vec::new();
        for name in self.names()? {
            match self.container(&name) {
                Ok(container) => all.extend(container),
                // Such as the `lost+found` of a file system: a directory that is not ours to open is no container.
                Err(Error::Denied) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// One container.
    pub(super) fn container(&self, name: &BucketName) -> Result<Option<Container>> {
        let Some(space) = if_there(self.enter(name))? else { return Ok(None) };
        Ok(Some(Container {
            name: name.clone(),
            created: space.created(),
            writable: space.writable(),
            folds: space.folds(),
        }))
    }

    /// Makes a container with its reserved tree.
    pub(super) fn create(&self, name: &BucketName) -> Result<()> {
        if is_ours(name.as_str()) {
            return Err(Error::Denied);
        }
        mkdirat(&self.dir, name.as_str(), Mode::RWXU | Mode::RWXG | Mode::RWXO).doing("make a container")?;
        let space = self.enter(name)?;
        space.make_dir(RESERVED, open::PLACE, Make::Reserved).doing("make the reserved tree")?;
        self.sync()
    }

    /// Whether a container holds nothing of its users'.
    pub(super) fn is_vacant(&self, name: &BucketName) -> Result<bool> {
        is_empty(&*self.enter(name)?)
    }

    /// Removes a container that holds nothing of its users'.
    ///
    /// It is looked through first, then renamed and looked through again, so that a file that arrives meanwhile is
    /// either seen or finds no container to arrive in.
    pub(super) fn delete(&self, name: &BucketName) -> Result<()> {
        let space = self.enter(name)?;
        if !is_empty(&space)? {
            return Err(Error::NotEmpty);
        }
        let gone = format!("{GONE}{}", VersionId::fresh());
        let rename = |from: &str, to: &str| match renameat_with(&self.dir, from, &self.dir, to, RenameFlags::NOREPLACE)
        {
            Err(Errno::INVAL | Errno::NOSYS) => rustix::fs::renameat(&self.dir, from, &self.dir, to),
            other => other,
        };
        rename(name.as_str(), &gone).doing("take a container aside")?;
        let same = statat(&self.dir, &gone, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| (stat.st_dev, stat.st_ino) == space.identity());
        if !same || !is_empty(&space)? {
            rename(&gone, name.as_str()).doing("put a container back")?;
            return Err(Error::NotEmpty);
        }
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.remove_tree(&gone)?;
        self.sync()
    }

    fn sync(&self) -> Result<()> {
        if self.terms.durable { fsync(&self.dir).doing("sync the root directory") } else { Ok(()) }
    }

    fn remove_tree(&self, name: &str) -> Result<()> {
        let flags = open::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = openat(&self.dir, name, flags, Mode::empty()).doing("open a deleted container")?;
        self.empty(dir, EMPTY_DEPTH_MAX)?;
        unlinkat(&self.dir, name, AtFlags::REMOVEDIR).doing("remove a container")
    }

    /// Removes everything in a directory of ours. A mount that somebody put there stays, and so does the rest.
    fn empty(&self, dir: OwnedFd, depth: usize) -> Result<()> {
        if depth == 0 {
            return Err(failed("a deleted container is too deep to remove"));
        }
        let mut entries = Dir::new(dir).doing("read a directory")?;
        while let Some(entry) = entries.read() {
            let entry = entry.doing("read a directory")?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let at = entries.fd().doing("read a directory")?;
            let removed = match self.terms.opener.entry(at, name.to_bytes(), open::DIRECTORY) {
                Ok(below) => {
                    self.empty(below, depth - 1)?;
                    unlinkat(at, name, AtFlags::REMOVEDIR)
                }
                Err(Errno::NOTDIR | Errno::LOOP) => unlinkat(at, name, AtFlags::empty()),
                Err(errno) => Err(errno),
            };
            if_there(removed.doing("remove what is in a deleted container"))?;
        }
        Ok(())
    }

    /// Removes what an earlier deletion left. What cannot be removed now is tried again at the next start.
    fn sweep(&self) {
        let Ok(entries) = Dir::read_from(&self.dir) else { return };
        for entry in entries.filter_map(std::result::Result::ok) {
            if let Some(name) = entry.file_name().to_str().ok().filter(|name| name.starts_with(GONE))
                && let Err(error) = self.remove_tree(name)
            {
                tracing::warn!(%error, name, "a deleted container could not be removed");
            }
        }
    }
}

/// Whether a name at the top belongs to Longshore: the state directory, deleted containers, probes.
fn is_ours(name: &str) -> bool {
    name.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED))
}

/// Whether nothing but the reserved tree and empty directories is in a container.
fn is_empty(space: &Space) -> Result<bool> {
    let dir = space.open(".", open::DIRECTORY).doing("open a container")?;
    only_directories(space, dir, EMPTY_DEPTH_MAX)
}

fn only_directories(space: &Space, dir: OwnedFd, depth: usize) -> Result<bool> {
    let mut entries = Dir::new(dir).doing("read a directory")?;
    while let Some(entry) = entries.read() {
        let entry = entry.doing("read a directory")?;
        let name = entry.file_name();
        let top = depth == EMPTY_DEPTH_MAX;
        if matches!(name.to_bytes(), b"." | b"..") || (top && name.to_str().is_ok_and(|name| space.is_reserved(name))) {
            continue;
        }
        if depth == 0 {
            return Ok(false);
        }
        match space.entry(entries.fd().doing("read a directory")?, name.to_bytes(), open::DIRECTORY) {
            Ok(below) => {
                if !only_directories(space, below, depth - 1)? {
                    return Ok(false);
                }
            }
            Err(Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => return Ok(false),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(meaning(errno, "open a directory")),
        }
    }
    Ok(true)
}
