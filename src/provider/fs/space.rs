//! One container: a directory held open, and the paths of our places in it.
//!
//! **Invariant:** everything in a container is reached from its descriptor and beneath it. The reserved tree is ours
//! alone (mode 0700), and no key leads into it, also where names fold.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, OnceLock, PoisonError};

use rustix::fs::{Access, AtFlags, Dir, FlockOperation, Mode, OFlags, StatVfsMountFlags, StatxFlags};
use rustix::fs::{accessat, flock, fstatvfs, fsync, mkdirat, openat, statat, statx};
use rustix::io::Errno;

use super::Without;
use super::error::{Doing, failed, is_clash};
use super::open::{self, Opener};
use super::reap::Reaper;
use super::spot::{Facts, Spot};
use crate::config::limits::STAMP_YOUNG_NANOS;
use crate::model::file_system::FileSystem;
use crate::model::id::VersionId;
use crate::model::name::{BucketName, ObjectKey, RESERVED};
use crate::model::place::Place;
use crate::model::time::{Clock, Timestamp};
use crate::provider::{Error, Result};

/// Tries to make a directory that somebody prunes at the same time.
const TRIES_MAX: usize = 16;
/// Steps of layout of one container that can be under way at once in one process.
const STEPS_AT_ONCE: usize = 64;
/// Entries looked at to find out whether names fold.
const FOLD_PROBES_MAX: usize = 64;

/// Where managed bytes are.
pub(super) const OBJECTS: &str = ".longshore/objects";
/// Where outside edits are kept that a lay-out met.
pub(super) const LOST: &str = ".longshore/lost";
/// Where staged bodies are named if the file system has no nameless files.
pub(super) const STAGED: &str = ".longshore/tmp";

/// A directory to make if it is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Make {
    /// In the reserved tree: private, and durable if the provider is.
    Reserved,
    /// On the way to a key: as the umask says; made durable by a later settle.
    Natural,
}

/// What holds for every container of a root directory.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    /// How paths are opened.
    pub(super) opener: Opener,
    /// Whether what is acknowledged is synced.
    pub(super) durable: bool,
    /// Whether other processes may serve the directory at the same time.
    pub(super) shared: bool,
    /// The calls that are not to be used here.
    pub(super) without: Without,
    /// Names the directory of staged bodies of this process.
    pub(super) process: VersionId,
    /// The device on which every write after a look shows in the mtime, if it was found to be one.
    pub(super) fine_times_on: Option<u64>,
    /// Where notes are kept of containers that take no writes.
    pub(super) notes: Option<PathBuf>,
    /// Removes what was displaced.
    pub(super) reaper: Arc<Reaper>,
}

/// One container.
#[derive(Debug)]
pub(super) struct Space {
    /// Its name.
    pub(super) name: BucketName,
    /// What holds for all containers.
    pub(super) terms: Terms,
    /// Ran when the first staged file that needs a name is made.
    pub(super) first_staged: Once,
    dir: OwnedFd,
    identity: (u64, u64),
    /// Looks at names never wait for anything but the disk.
    local: bool,
    /// Ran when the first mount below was met.
    first_mount: Once,
    folds: OnceLock<bool>,
    exchanges: AtomicBool,
    steps: [Mutex<()>; STEPS_AT_ONCE],
}

impl Space {
    /// A container whose directory was opened for reading.
    pub(super) fn new(name: BucketName, dir: OwnedFd, terms: Terms) -> Result<Self> {
        let stat = rustix::fs::fstat(&dir).doing("stat a container")?;
        let identity = (stat.st_dev, stat.st_ino);
        let kind = rustix::fs::fstatfs(&dir).doing("stat the file system of a container")?.f_type;
        let local = FileSystem::of(kind as u64) == FileSystem::Local;
        let exchanges = AtomicBool::new(!terms.without.exchange);
        let (first_staged, first_mount, folds) = (Once::new(), Once::new(), OnceLock::new());
        if terms.without.case {
            folds.get_or_init(|| true);
        }
        let steps = [const { Mutex::new(()) }; STEPS_AT_ONCE];
        Ok(Self { name, terms, first_staged, dir, identity, local, first_mount, folds, exchanges, steps })
    }

    /// What tells this directory from another one that comes to bear its name, also after a restart of the machine: its
    /// inode, and the file system it is on.
    pub(super) fn lasting_identity(&self) -> Result<String> {
        let system = fstatvfs(&self.dir).doing("stat the file system of a container")?.f_fsid;
        Ok(format!("{system:x}-{:x}", self.identity.1))
    }

    /// Device and inode: a directory of the same name that was mounted or made since has others.
    pub(super) fn identity(&self) -> (u64, u64) {
        self.identity
    }

    /// Whether looks at names never wait for anything but the disk.
    pub(super) fn is_local(&self) -> bool {
        self.local
    }

    /// Opens what lies beneath. What is mounted there is nothing.
    pub(super) fn open(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        self.open_here(path, flags).map_err(|errno| if errno == Errno::XDEV { Errno::NOENT } else { errno })
    }

    /// The same, but what is mounted there is [`Errno::XDEV`].
    fn open_here(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        self.told(self.terms.opener.open(&self.dir, path, flags, Mode::empty()))
    }

    /// Opens an entry of a directory of this container.
    pub(super) fn entry(&self, dir: impl AsFd, name: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
        self.told(self.terms.opener.entry(dir, name, flags))
    }

    /// Says once that there is a mount, as nothing else will: what is in it is not served.
    fn told<T>(&self, opened: rustix::io::Result<T>) -> rustix::io::Result<T> {
        if matches!(opened, Err(Errno::XDEV)) {
            self.first_mount.call_once(|| {
                tracing::warn!(container = %self.name, "a file system is mounted below a container and is not served");
            });
        }
        opened
    }

    /// Whether a further write to a file might leave its stamp as it is.
    pub(super) fn is_young(&self, facts: &Facts) -> bool {
        let fine = self.local && self.terms.fine_times_on == Some(self.identity.0);
        !fine && facts.modified.0.abs_diff(Clock::now().0) < STAMP_YOUNG_NANOS.unsigned_abs()
    }

    /// Whether names that differ in case are one. What is not known yet, because the container is empty and takes no
    /// writes, is asked again.
    pub(super) fn folds(&self) -> bool {
        if let Some(folds) = self.folds.get() {
            return *folds;
        }
        let Some(folds) = self.probe_folds() else { return false };
        *self.folds.get_or_init(|| folds)
    }

    fn probe_folds(&self) -> Option<bool> {
        let same = |name: &str, other: &str| {
            let look = |name: &str| {
                statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW).ok().map(|stat| (stat.st_dev, stat.st_ino))
            };
            look(name).map(|found| look(other) == Some(found))
        };
        if let Some(folds) = same(RESERVED, &RESERVED.to_ascii_uppercase()) {
            return Some(folds);
        }
        let entries = Dir::read_from(&self.dir).ok()?.take(FOLD_PROBES_MAX);
        for entry in entries.filter_map(std::result::Result::ok) {
            let Ok(name) = entry.file_name().to_str() else { continue };
            let other: String = name.chars().map(swap_case).collect();
            if other != name
                && let Some(folds) = same(name, &other)
            {
                return Some(folds);
            }
        }
        let name = format!("{RESERVED}-probe-{}", VersionId::fresh());
        mkdirat(&self.dir, &name, Mode::RWXU).ok()?;
        let folds = same(&name, &name.to_ascii_uppercase());
        rustix::fs::unlinkat(&self.dir, &name, AtFlags::REMOVEDIR).ok();
        folds
    }

    /// The path of `key`, if it may have one here.
    ///
    /// Where names fold, spellings that no rule of ours foresees may still name the reserved tree (a file system may
    /// fold beyond ASCII or ignore some characters), so the directories themselves are compared.
    pub(super) fn path_of<'k>(&self, key: &'k ObjectKey) -> Option<&'k str> {
        let folds = self.folds();
        let path = key.as_path(folds)?;
        if folds {
            let first = path.split('/').next().unwrap_or(path);
            if self.is_reserved(first) {
                return None;
            }
        }
        Some(path)
    }

    /// Whether `name`, in the container itself, is the reserved tree under whatever spelling.
    pub(super) fn is_reserved(&self, name: &str) -> bool {
        let look = |name: &str| statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW).ok().map(|s| (s.st_dev, s.st_ino));
        name == RESERVED || (self.folds() && look(name).is_some_and(|found| look(RESERVED) == Some(found)))
    }

    /// The path of a managed place.
    fn managed_path(version: VersionId) -> String {
        format!("{OBJECTS}/{}/{version}", version.shard())
    }

    /// Opens the regular file at a place, if that takes no waiting.
    pub(super) fn open_file_cached(&self, place: &Place) -> Option<(OwnedFd, Facts)> {
        // Whether names fold is found out by the first call that may wait.
        self.folds.get()?;
        let file = match place {
            Place::Managed(version) => {
                self.terms.opener.open_cached(&self.dir, &Self::managed_path(*version), open::FILE)
            }
            Place::Natural(key) => self.terms.opener.open_cached(&self.dir, self.path_of(key)?, open::FILE),
        }?;
        let facts = Facts::of_open(&file).ok()?;
        facts.regular.then_some((file, facts))
    }

    /// Opens the regular file at a place. What a mount covers may well be there still: that is no absence, but it is
    /// nothing we may have either.
    pub(super) fn open_file(&self, place: &Place) -> Result<(OwnedFd, Facts)> {
        let file = match place {
            Place::Managed(version) => self.open(&Self::managed_path(*version), open::FILE),
            Place::Natural(key) => self.open_here(self.path_of(key).ok_or(Error::NotFound)?, open::FILE),
        };
        let file = match file {
            Err(Errno::XDEV) => return Err(Error::Denied),
            file => file.doing("open a file")?,
        };
        let facts = Facts::of_open(&file)?;
        if facts.regular { Ok((file, facts)) } else { Err(Error::NotFound) }
    }

    /// The managed place of `version`, if its directory is there.
    pub(super) fn managed(&self, version: VersionId) -> Result<Spot> {
        let dir = self.open(&format!("{OBJECTS}/{}", version.shard()), open::DIRECTORY).doing("open a shard")?;
        Ok(Spot { dir: Arc::new(dir), name: version.to_string() })
    }

    /// The managed place of `version`; its directory is made if it is not there.
    pub(super) fn managed_made(&self, version: VersionId) -> Result<Spot> {
        let path = format!("{OBJECTS}/{}", version.shard());
        let dir = self.make_dir(&path, open::DIRECTORY, Make::Reserved).doing("make a shard")?;
        Ok(Spot { dir: Arc::new(dir), name: version.to_string() })
    }

    /// The place of a path that [`Space::path_of`] gave; with `make`, its parents are made.
    pub(super) fn natural(&self, path: &str, make: bool) -> rustix::io::Result<Spot> {
        let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
        let dir = match make && parent != "." {
            true => self.make_dir(parent, open::PLACE, Make::Natural)?,
            false => self.open_here(parent, open::PLACE)?,
        };
        Ok(Spot { dir: Arc::new(dir), name: name.to_owned() })
    }

    /// Opens a directory and makes it, and its parents, if they are not there.
    ///
    /// The reserved tree itself is made by its first note alone: a directory without it may be the place of a mount that
    /// is missing, and what were written there would be gone when the mount is back.
    pub(super) fn make_dir(&self, path: &str, flags: OFlags, make: Make) -> rustix::io::Result<OwnedFd> {
        for _ in 0..TRIES_MAX {
            match self.open_here(path, flags) {
                Err(Errno::NOENT) => {}
                other => return other,
            }
            if make == Make::Reserved && path != RESERVED {
                self.open_here(RESERVED, open::PLACE)?;
            }
            match self.make_dirs_once(path, make) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => {
                    if is_clash(errno) && make == Make::Natural {
                        self.prune(path);
                    }
                    return Err(errno);
                }
            }
        }
        // In a container that was deleted nothing can be made.
        let gone = rustix::fs::fstat(&self.dir).is_ok_and(|stat| stat.st_nlink == 0);
        Err(if gone { Errno::NOENT } else { Errno::AGAIN })
    }

    fn make_dirs_once(&self, path: &str, make: Make) -> rustix::io::Result<()> {
        let (mode, hold) = match make {
            Make::Reserved => (Mode::RWXU, open::DIRECTORY),
            Make::Natural => (Mode::RWXU | Mode::RWXG | Mode::RWXO, open::PLACE),
        };
        let flags = hold | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut at: Option<OwnedFd> = None;
        for segment in path.split('/') {
            let from = at.as_ref().map_or(self.dir.as_fd(), AsFd::as_fd);
            let next = match openat(from, segment, flags, Mode::empty()) {
                Err(Errno::NOENT) => {
                    match mkdirat(from, segment, mode) {
                        Ok(()) if make == Make::Reserved && self.terms.durable => fsync(from)?,
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(errno) => return Err(errno),
                    }
                    openat(from, segment, flags, Mode::empty())?
                }
                other => other?,
            };
            at = Some(next);
        }
        Ok(())
    }

    /// Removes the directory at `path` and its parents as far as they are empty. What stops it is no failure: a
    /// directory that is in use, gone, or not ours to remove.
    pub(super) fn prune(&self, path: &str) {
        let mut path = path;
        loop {
            let Ok(spot) = self.natural(path, false) else { return };
            match rustix::fs::unlinkat(&*spot.dir, &spot.name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(_) => return,
            }
            let Some((parent, _)) = path.rsplit_once('/') else { return };
            path = parent;
        }
    }

    /// Whether it takes writes: neither its mount nor its mode forbid them.
    pub(super) fn writable(&self) -> bool {
        let mounted = fstatvfs(&self.dir).is_ok_and(|stat| !stat.f_flag.contains(StatVfsMountFlags::RDONLY));
        mounted && accessat(&self.dir, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).is_ok()
    }

    /// When it was made; where the file system does not tell, when an entry of it was made or removed last.
    pub(super) fn created(&self) -> Timestamp {
        let mask = StatxFlags::BTIME | StatxFlags::MTIME;
        if let Ok(stat) = statx(&self.dir, "", AtFlags::EMPTY_PATH, mask) {
            let born = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
            let at = if born { stat.stx_btime } else { stat.stx_mtime };
            return Timestamp::from_parts(at.tv_sec, at.tv_nsec);
        }
        Facts::of_open(&self.dir).map(|facts| facts.modified).unwrap_or_default()
    }

    /// Waits until no other step of this process is under way at `key`. Steps are right without it, but two that run
    /// beside each other may exchange the same names back and forth for a while.
    pub(super) fn step_at(&self, key: &ObjectKey) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let n = usize::try_from(hasher.finish() % STEPS_AT_ONCE as u64).unwrap_or(0);
        self.steps[n].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether two names can be exchanged here.
    pub(super) fn exchanges(&self) -> bool {
        self.exchanges.load(Ordering::Relaxed)
    }

    /// Remembers that they cannot.
    pub(super) fn cannot_exchange(&self) {
        self.exchanges.store(false, Ordering::Relaxed);
    }

    /// Waits until no other step of layout is under way in this container, in this process or another one. Only needed
    /// where steps are no exchanges; a file system that has no locks either goes without.
    pub(super) fn alone(&self) -> Result<Option<OwnedFd>> {
        let dir = self.make_dir(RESERVED, open::PLACE, Make::Reserved).doing("make the reserved tree")?;
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = openat(&dir, "lock", flags, Mode::RUSR | Mode::WUSR).doing("open the lock of a container")?;
        loop {
            match flock(&lock, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(Some(lock)),
                Err(Errno::INTR) => {}
                Err(Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP) => return Ok(None),
                Err(errno) => return Err(super::error::meaning(errno, "lock a container")),
            }
        }
    }

    /// Makes every step taken so far durable.
    pub(super) fn settle(&self) -> Result<()> {
        self.terms.reaper.drain();
        rustix::fs::syncfs(&self.dir).doing("sync the file system of a container")
    }

    /// A fresh name in the directory of a managed place. It is one that belongs into this directory, so that `gc` finds
    /// it if we die before it is gone.
    pub(super) fn aside(managed: &Spot) -> Spot {
        let mut name = VersionId::fresh().to_string();
        if let Some(shard) = VersionId::parse(&managed.name).map(|version| version.shard()) {
            name.truncate(name.len() - shard.len());
            name.push_str(&shard);
        }
        Spot { dir: managed.dir.clone(), name }
    }

    /// Moves the file at `from`, if it still is what `facts` describe, to a free name in `.longshore/lost`, and returns
    /// the name.
    pub(super) fn keep(&self, from: &Spot, facts: &Facts, version: VersionId) -> Result<Option<String>> {
        let dir = self.make_dir(LOST, open::PLACE, Make::Reserved).doing("make the directory of lost files")?;
        let mut to = Spot { dir: Arc::new(dir), name: String::new() };
        for n in 0..1000 {
            to.name = format!("{version}-{n}");
            match from.take(&to, facts) {
                // Its second name, which a step that died half-way left.
                Err(Errno::EXIST) if to.look()?.is_some_and(|there| there.same_file(facts)) => {
                    return Ok(self.discard(from, facts)?.then_some(to.name));
                }
                Err(Errno::EXIST) => {}
                Err(Errno::NOENT) | Ok(false) => return Ok(None),
                Err(errno) => return Err(super::error::meaning(errno, "keep an outside edit")),
                Ok(true) => return Ok(Some(to.name)),
            }
        }
        Err(failed("too many outside edits of one version are kept"))
    }

    /// Takes a name away that [`Space::keep`] gave.
    pub(super) fn unkeep(&self, name: &str) -> Result<()> {
        let dir = self.make_dir(LOST, open::PLACE, Make::Reserved).doing("open the directory of lost files")?;
        Spot { dir: Arc::new(dir), name: name.to_owned() }.unlink()
    }

    /// Frees the file at `spot`, a managed place, if it still is what `facts` describe.
    pub(super) fn discard(&self, spot: &Spot, facts: &Facts) -> Result<bool> {
        let aside = Self::aside(spot);
        match spot.take(&aside, facts) {
            Ok(true) => self.terms.reaper.unlink(aside).map(|()| true),
            Ok(false) | Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(super::error::meaning(errno, "take a displaced file aside")),
        }
    }
}

fn swap_case(c: char) -> char {
    if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }
}
