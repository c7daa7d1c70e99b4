//! Natural listing: a walk in the order of the bytes of keys, begun where the page begins.
//!
//! A directory `d` sorts as `d/`, so that the walk meets `a`, `a-b`, `a/b`, `a0` in this order. A directory is read
//! whole for each page, but only the names that the page can need are kept of it: the smallest ones behind the cursor.
//!
//! **Invariant:** memory is bounded by the limit of the page and the depth of paths, never by the size of a directory;
//! no symbolic link is followed, also not one that takes the place of a directory during the walk.

use std::collections::BinaryHeap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, statat};
use rustix::io::Errno;

use super::error::{Doing, if_there, meaning};
use super::open;
use super::space::{OBJECTS, STAGED, Space};
use super::spot::{Facts, Spot};
use crate::model::id::{VersionId, hex};
use crate::model::name::{ObjectKey, PATH_DEPTH_MAX};
use crate::model::place::Place;
use crate::model::time::Timestamp;
use crate::provider::{Error, Listed, ListedPage, ManagedFile, Result, Stat};

/// Names kept of a directory at least: so a page over directories that turn out to be empty reads each few times.
const BATCH_MIN: usize = 1000;
/// Names kept of a directory of which one file is enough.
const BATCH_BENEATH: usize = 16;

/// How many of the files beneath a directory behind the prefix are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beneath {
    /// All.
    All,
    /// One is enough.
    One,
}

/// Where a page begins and what belongs to it.
struct Walk<'a> {
    space: &'a Space,
    prefix: &'a [u8],
    after: Option<&'a [u8]>,
    limit: usize,
    beneath: Beneath,
    /// Beneath such a directory: the number of files on the page at which it is left.
    leave_at: Option<usize>,
    page: ListedPage,
}

/// Lists the files whose keys begin with `prefix` and come after `after`.
pub(super) fn list(
    space: &Space,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
    beneath: Beneath,
) -> Result<ListedPage> {
    let after = after.map(str::as_bytes);
    let (prefix_bytes, page) = (prefix.as_bytes(), ListedPage::default());
    let mut walk = Walk { space, prefix: prefix_bytes, after, limit, beneath, leave_at: None, page };
    if limit == 0 {
        return Ok(walk.page);
    }
    // The walk begins in the directory that the prefix names, without looking at what lies beside it. Where names fold
    // that directory may be spelled otherwise, so there the walk compares every segment with what is on disk.
    let start = match prefix.rsplit_once('/') {
        Some((dir, _)) if !space.folds() => match ObjectKey::new(dir).ok().filter(|dir| dir.as_path(false).is_some()) {
            Some(_) => dir,
            None => return Ok(walk.page),
        },
        _ => "",
    };
    let opened = match start {
        "" => space.open(".", open::DIRECTORY),
        dir => space.open(dir, open::DIRECTORY),
    };
    let Some(dir) = if_there(opened.doing("open a directory"))? else { return Ok(walk.page) };
    let (path, depth) = match start {
        "" => (Vec::new(), 0),
        dir => (format!("{dir}/").into_bytes(), dir.split('/').count()),
    };
    walk.directory(dir, &path, depth)?;
    Ok(walk.page)
}

impl Walk<'_> {
    /// Whether anything whose key begins with `path` (or is it, if it is no directory) can be on the page.
    fn wants(&self, path: &[u8], directory: bool) -> bool {
        let prefixed = path.starts_with(self.prefix) || (directory && self.prefix.starts_with(path));
        prefixed && self.after.is_none_or(|after| path > after || (directory && after.starts_with(path)))
    }

    /// Adds the files beneath a directory; `path` ends with a slash or is empty. False if the page is full.
    fn directory(&mut self, dir: OwnedFd, path: &[u8], depth: usize) -> Result<bool> {
        let mut entries = Dir::new(dir).doing("read a directory")?;
        let mut cursor: Option<Vec<u8>> = None;
        loop {
            let room = match self.leave_at {
                Some(_) => BATCH_BENEATH,
                None => (self.limit - self.page.files.len() + 1).max(BATCH_MIN),
            };
            let (names, whole) = self.batch(&mut entries, path, cursor.as_deref(), room)?;
            for name in &names {
                if !self.entry(&entries, path, name, depth)? {
                    return Ok(false);
                }
                if self.leave_at.is_some_and(|leave_at| self.page.files.len() >= leave_at) {
                    return Ok(true);
                }
            }
            if whole {
                return Ok(true);
            }
            cursor = names.last().cloned();
            entries.rewind();
        }
    }

    /// The smallest names of a directory behind the cursor, directories with a slash; and whether these are all.
    fn batch(
        &self,
        entries: &mut Dir,
        path: &[u8],
        cursor: Option<&[u8]>,
        room: usize,
    ) -> Result<(Vec<Vec<u8>>, bool)> {
        let mut kept = Smallest::new(room);
        let mut full = path.to_vec();
        while let Some(entry) = entries.read() {
            let entry = entry.doing("read a directory")?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let file_type = match entry.file_type() {
                FileType::Unknown => type_of(entries, name)?,
                known => known,
            };
            let directory = match file_type {
                FileType::RegularFile => false,
                FileType::Directory => true,
                _ => continue,
            };
            full.truncate(path.len());
            full.extend_from_slice(name);
            if directory {
                full.push(b'/');
            }
            let sorted = &full[path.len()..];
            if cursor.is_some_and(|cursor| sorted <= cursor) || !self.wants(&full, directory) {
                continue;
            }
            if path.is_empty() && directory && std::str::from_utf8(name).is_ok_and(|name| self.space.is_reserved(name))
            {
                continue;
            }
            kept.offer(sorted);
        }
        Ok(kept.into_sorted())
    }

    /// Adds one entry, or what is beneath it. False if the page is full.
    fn entry(&mut self, at: &Dir, path: &[u8], name: &[u8], depth: usize) -> Result<bool> {
        let full = [path, name].concat();
        let at = at.fd().doing("read a directory")?;
        if let Some(segment) = name.strip_suffix(b"/") {
            if std::str::from_utf8(segment).is_err() || depth + 1 >= PATH_DEPTH_MAX {
                self.page.unnameable += 1;
                return Ok(true);
            }
            return match self.space.entry(at, segment, open::DIRECTORY) {
                Ok(below) => {
                    let outermost = self.leave_at.is_none();
                    if outermost && self.beneath == Beneath::One && full.starts_with(self.prefix) {
                        self.leave_at = Some(self.page.files.len() + 1);
                    }
                    let more = self.directory(below, &full, depth + 1);
                    if outermost {
                        self.leave_at = None;
                    }
                    more
                }
                // It went away, or something else took its place: then the next page or scan meets that.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(true),
                // One directory that is somebody else's (lost+found, a mount) must not hide all others.
                Err(Errno::ACCESS | Errno::PERM | Errno::XDEV) => {
                    self.page.unnameable += 1;
                    Ok(true)
                }
                Err(errno) => Err(meaning(errno, "open a directory")),
            };
        }
        let key = std::str::from_utf8(&full).ok().and_then(|key| ObjectKey::new(key).ok());
        let Some(key) = key.filter(|key| key.as_path(self.space.folds()).is_some()) else {
            self.page.unnameable += 1;
            return Ok(true);
        };
        let stat = statat(at, name, AtFlags::SYMLINK_NOFOLLOW).doing("stat a file");
        let facts = match if_there(stat) {
            Err(Error::Denied) => {
                self.page.unnameable += 1;
                None
            }
            stat => stat?.map(|stat| Facts::of(&stat)).filter(|facts| facts.regular),
        };
        let Some(facts) = facts else { return Ok(true) };
        if self.page.files.len() == self.limit {
            self.page.more = true;
            return Ok(false);
        }
        let listed = Listed { key, stamp: facts.stamp(), size: facts.size, modified: facts.modified, md5: None };
        self.page.files.push(listed);
        Ok(true)
    }
}

/// The type of an entry, where the directory does not tell; what is gone is of no type.
fn type_of(entries: &Dir, name: &[u8]) -> Result<FileType> {
    let at = entries.fd().doing("read a directory")?;
    let stat = if_there(statat(at, name, AtFlags::SYMLINK_NOFOLLOW).doing("stat a file"))?;
    Ok(stat.map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode)))
}

/// The smallest of the names offered, at most as many as there is room for.
struct Smallest {
    heap: BinaryHeap<Vec<u8>>,
    room: usize,
    whole: bool,
}

impl Smallest {
    fn new(room: usize) -> Self {
        Self { heap: BinaryHeap::new(), room, whole: true }
    }

    fn offer(&mut self, name: &[u8]) {
        if self.heap.len() < self.room {
            self.heap.push(name.to_vec());
            return;
        }
        self.whole = false;
        if let Some(mut largest) = self.heap.peek_mut()
            && name < largest.as_slice()
        {
            name.clone_into(&mut largest);
        }
    }

    /// The names in order, and whether none was left out.
    fn into_sorted(self) -> (Vec<Vec<u8>>, bool) {
        (self.heap.into_sorted_vec(), self.whole)
    }
}

/// Lists managed files by shard and version.
pub(super) fn list_managed(space: &Space, after: Option<VersionId>, limit: usize) -> Result<Vec<ManagedFile>> {
    let mut files = Vec::new();
    let begin = after.and_then(|after| u8::from_str_radix(&after.shard(), 16).ok()).unwrap_or(0);
    for shard in begin..=u8::MAX {
        let path = format!("{OBJECTS}/{}", hex(&[shard]));
        let Some(dir) = if_there(space.open(&path, open::DIRECTORY).doing("open a shard"))? else { continue };
        let after = after.filter(|_| shard == begin).map(|after| after.to_string());
        let mut cursor = after.unwrap_or_default();
        let mut entries = Dir::new(dir).doing("read a shard")?;
        loop {
            let room = limit - files.len();
            if room == 0 {
                return Ok(files);
            }
            let (names, whole) = shard_batch(&mut entries, &cursor, room)?;
            for version in names.iter().filter_map(|name| VersionId::parse(std::str::from_utf8(name).ok()?)) {
                files
                    .extend(if_there(stat(space, &Place::Managed(version)))?.map(|stat| ManagedFile { version, stat }));
                cursor = version.to_string();
            }
            if whole {
                break;
            }
            entries.rewind();
        }
    }
    Ok(files)
}

fn shard_batch(entries: &mut Dir, cursor: &str, room: usize) -> Result<(Vec<Vec<u8>>, bool)> {
    let mut kept = Smallest::new(room);
    while let Some(entry) = entries.read() {
        let entry = entry.doing("read a shard")?;
        let name = entry.file_name();
        let is_version = name.to_str().ok().and_then(VersionId::parse).is_some();
        if is_version && name.to_bytes() > cursor.as_bytes() {
            kept.offer(name.to_bytes());
        }
    }
    Ok(kept.into_sorted())
}

/// Removes staged files that bear a name and that nobody wrote to since `before`: the mtime moves with every block.
pub(super) fn sweep_staged(space: &Space, before: Timestamp) -> Result<u64> {
    let mut removed = 0;
    for process in subdirectories(space, STAGED)? {
        let path = format!("{STAGED}/{process}");
        let Some(dir) = if_there(space.open(&path, open::DIRECTORY).doing("open staged files"))? else { continue };
        let files = Dir::read_from(&dir).doing("read staged files")?;
        let dir = Arc::new(dir);
        for file in files {
            let file = file.doing("read staged files")?;
            let Some(name) = file.file_name().to_str().ok().filter(|name| VersionId::parse(name).is_some()) else {
                continue;
            };
            let spot = Spot { dir: dir.clone(), name: name.to_owned() };
            if spot.look()?.is_some_and(|facts| facts.regular && facts.modified < before) {
                spot.unlink()?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}

/// The directories of processes in the directory of staged files.
fn subdirectories(space: &Space, path: &str) -> Result<Vec<VersionId>> {
    let Some(dir) = if_there(space.open(path, open::DIRECTORY).doing("open staged files"))? else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for entry in Dir::new(dir).doing("read staged files")? {
        found.extend(entry.doing("read staged files")?.file_name().to_str().ok().and_then(VersionId::parse));
    }
    Ok(found)
}

/// What is at a place, with its record.
pub(super) fn stat(space: &Space, place: &Place) -> Result<Stat> {
    let (file, facts) = space.open_file(place)?;
    Ok(Stat {
        stamp: facts.stamp(),
        size: facts.size,
        modified: facts.modified,
        record: super::record::read(&file),
        foreign: None,
        young: space.is_young(&facts),
    })
}
