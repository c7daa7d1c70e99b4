//! A name in a directory, and the renames that natural layout is made of.
//!
//! **Invariant:** what is unlinked here was first renamed to a name that nobody else uses and compared there with what
//! the caller had judged. So whoever exchanges two names at the same moment never makes us destroy his bytes.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, RenameFlags, Stat};
use rustix::fs::{linkat, openat, renameat, renameat_with, statat, unlinkat};
use rustix::io::Errno;

use super::error::{Doing, if_there};
use super::{open, record};
use crate::model::place::Stamp;
use crate::model::record::Record;
use crate::model::time::Timestamp;
use crate::provider::Result;

/// What a stat tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    dev: u64,
    ino: u64,
    /// Bytes.
    pub(super) size: u64,
    /// Mtime.
    pub(super) modified: Timestamp,
    /// Whether it is a regular file.
    pub(super) regular: bool,
}

impl Facts {
    /// From what the kernel gave.
    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: Timestamp::from_parts(stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0)),
            regular: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
        }
    }

    /// Of an open descriptor.
    pub(super) fn of_open(file: impl AsFd) -> Result<Self> {
        rustix::fs::fstat(file).doing("stat an open file").map(|stat| Self::of(&stat))
    }

    /// What identifies the bytes: inode, mtime in nanoseconds and size.
    pub(super) fn stamp(&self) -> Stamp {
        Stamp::new(&format!("{:x}-{:x}-{:x}", self.ino, self.modified.0, self.size))
    }

    /// Whether these are the bytes that `stamp` identifies.
    pub(super) fn is(&self, stamp: &Stamp) -> bool {
        self.regular && stamp.names(&self.stamp())
    }

    /// Whether both are names of one file.
    pub(super) fn same_file(&self, other: &Self) -> bool {
        self.dev == other.dev && self.ino == other.ino
    }
}

/// Other bytes took a name between two looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moved;

/// A name in a directory that is held open.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    /// The directory.
    pub(super) dir: Arc<OwnedFd>,
    /// One segment.
    pub(super) name: String,
}

impl Spot {
    /// What is there, links not followed.
    pub(super) fn look(&self) -> Result<Option<Facts>> {
        let stat = statat(&*self.dir, &self.name, AtFlags::SYMLINK_NOFOLLOW).doing("stat a name");
        Ok(if_there(stat)?.map(|stat| Facts::of(&stat)))
    }

    /// The live record beside the bytes that `facts` describe, if there is one that we may read.
    ///
    /// # Errors
    /// [`Moved`]: other bytes have taken the name, so nothing can be said about those.
    pub(super) fn live_record(&self, facts: &Facts) -> std::result::Result<Option<Record>, Moved> {
        let flags = open::FILE | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::CLOEXEC;
        let file = match openat(&*self.dir, &self.name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::ACCESS | Errno::PERM) => return Ok(None),
            Err(_) => return Err(Moved),
        };
        if Facts::of_open(&file).ok().as_ref() != Some(facts) {
            return Err(Moved);
        }
        Ok(record::read(&file).filter(|record| record.is_live(facts.size, facts.modified)))
    }

    /// Gives what is here the name `to`, at which nothing may be.
    pub(super) fn rename_new(&self, to: &Self) -> rustix::io::Result<()> {
        match renameat_with(&*self.dir, &self.name, &*to.dir, &to.name, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS) => self.link_new(to),
            other => other,
        }
    }

    /// The same where the file system cannot rename without replacing: a second name, then the first one goes.
    fn link_new(&self, to: &Self) -> rustix::io::Result<()> {
        linkat(&*self.dir, &self.name, &*to.dir, &to.name, AtFlags::empty())?;
        unlinkat(&*self.dir, &self.name, AtFlags::empty())
    }

    /// Exchanges the two names.
    pub(super) fn exchange(&self, with: &Self) -> rustix::io::Result<()> {
        renameat_with(&*self.dir, &self.name, &*with.dir, &with.name, RenameFlags::EXCHANGE)
    }

    /// Makes `to` a second name of what is here.
    pub(super) fn link(&self, to: &Self) -> rustix::io::Result<()> {
        linkat(&*self.dir, &self.name, &*to.dir, &to.name, AtFlags::empty())
    }

    /// Puts what is here over whatever is at `to`. The two must not be names of one file: that would do nothing.
    pub(super) fn rename_over(&self, to: &Self) -> rustix::io::Result<()> {
        renameat(&*self.dir, &self.name, &*to.dir, &to.name)
    }

    /// Removes the name; `Ok` also if nothing is there.
    pub(super) fn unlink(&self) -> Result<()> {
        if_there(unlinkat(&*self.dir, &self.name, AtFlags::empty()).doing("remove a name")).map(|_| ())
    }

    /// Moves the file that `facts` describe to `to`, at which nothing may be. False if something else was here: it is
    /// here again, or, if the name was taken meanwhile, it stays at `to`.
    pub(super) fn take(&self, to: &Self, facts: &Facts) -> rustix::io::Result<bool> {
        self.rename_new(to)?;
        let taken = statat(&*to.dir, &to.name, AtFlags::SYMLINK_NOFOLLOW)?;
        if Facts::of(&taken) == *facts {
            return Ok(true);
        }
        match to.rename_new(self) {
            Ok(()) => {}
            Err(errno) => tracing::warn!(kept = %to.name, %errno, "a file taken aside could not be put back"),
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spots() -> (tempfile::TempDir, [Spot; 3]) {
        let root = tempfile::tempdir().unwrap();
        let dir: Arc<OwnedFd> = Arc::new(std::fs::File::open(root.path()).unwrap().into());
        let spots = ["a", "b", "c"].map(|name| Spot { dir: dir.clone(), name: name.to_owned() });
        for name in ["a", "b"] {
            std::fs::write(root.path().join(name), name).unwrap();
        }
        (root, spots)
    }

    #[test]
    fn a_file_that_was_not_judged_is_put_back() {
        let (root, [a, b, c]) = spots();
        let judged = b.look().unwrap().unwrap();
        assert_eq!(a.take(&c, &judged), Ok(false));
        assert_eq!(std::fs::read(root.path().join("a")).unwrap(), b"a");
        assert_eq!(c.look().unwrap(), None);
        let edited = a.look().unwrap().unwrap();
        std::fs::write(root.path().join("a"), "an edit").unwrap();
        assert_eq!(a.take(&c, &edited), Ok(false), "an edit in place is not what was judged");
        assert_eq!(std::fs::read(root.path().join("a")).unwrap(), b"an edit");
        assert_eq!(b.take(&c, &judged), Ok(true));
        assert_eq!(std::fs::read(root.path().join("c")).unwrap(), b"b");
        assert_eq!(a.live_record(&judged), Err(Moved));
        assert_eq!(b.live_record(&judged), Err(Moved));
        assert_eq!(c.live_record(&judged), Ok(None));
    }

    #[test]
    fn no_rename_replaces_what_is_there() {
        let (root, [a, b, c]) = spots();
        assert_eq!(a.rename_new(&b), Err(Errno::EXIST));
        assert_eq!(a.link_new(&b), Err(Errno::EXIST));
        assert_eq!(std::fs::read(root.path().join("b")).unwrap(), b"b");
        a.link_new(&c).unwrap();
        assert_eq!((a.look().unwrap(), std::fs::read(root.path().join("c")).unwrap()), (None, b"a".to_vec()));
        a.unlink().unwrap();
    }
}
