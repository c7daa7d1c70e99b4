//! What the file system of the root can do, found out by doing it once.
//!
//! **Invariant:** nothing of a probe is left behind, and where nothing can be written nothing is promised that needs
//! writing but the calls that every usual kernel has.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, XattrFlags};
use rustix::fs::{fsetxattr, fstat, ioctl_ficlone, linkat, mkdirat, openat, renameat_with, statat, unlinkat};

use super::open;
use crate::model::id::VersionId;

/// Writes that are looked at one after the other, in far less time than the clock of a kernel takes for a tick.
const FINE_TIMES_TRIES: usize = 32;

/// What was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    /// Two names can be exchanged.
    pub(super) exchange: bool,
    /// A file can have two names.
    pub(super) links: bool,
    /// Files take extended attributes.
    pub(super) records: bool,
    /// Files can share blocks.
    pub(super) reflink: bool,
    /// Names that differ in case are one.
    pub(super) folds: bool,
    /// Every write after a look shows in the mtime, however soon it comes.
    pub(super) fine_times: bool,
}

/// Probes in a directory of its own beneath `root`.
pub(super) fn probe(root: &OwnedFd) -> Found {
    let name = format!(".longshore-probe-{}", VersionId::fresh());
    let flags = open::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = mkdirat(root, &name, Mode::RWXU).and_then(|()| openat(root, &name, flags, Mode::empty()));
    let found = match dir {
        Ok(dir) => {
            let folds = statat(root, name.to_ascii_uppercase(), AtFlags::SYMLINK_NOFOLLOW).is_ok();
            let found = try_all(&dir, folds);
            for file in ["a", "b", "c"] {
                unlinkat(&dir, file, AtFlags::empty()).ok();
            }
            found
        }
        Err(_) => Found { exchange: true, links: true, records: true, reflink: false, folds: false, fine_times: false },
    };
    unlinkat(root, &name, AtFlags::REMOVEDIR).ok();
    found
}

fn try_all(dir: &OwnedFd, folds: bool) -> Found {
    let make = |name: &str| {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat(dir, name, flags, Mode::RUSR | Mode::WUSR)?;
        rustix::io::write(&file, b"probe")?;
        openat(dir, name, OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
    };
    let (Ok(a), Ok(b)) = (make("a"), make("b")) else {
        return Found { exchange: false, links: false, records: false, reflink: false, folds, fine_times: false };
    };
    Found {
        fine_times: has_fine_times(&a),
        exchange: renameat_with(dir, "a", dir, "b", RenameFlags::EXCHANGE).is_ok(),
        links: linkat(dir, "a", dir, "c", AtFlags::empty()).is_ok(),
        records: fsetxattr(&a, "user.longshore", b"{}", XattrFlags::empty()).is_ok(),
        reflink: ioctl_ficlone(&b, &a).is_ok(),
        folds,
    }
}

fn has_fine_times(file: &OwnedFd) -> bool {
    let look = || fstat(file).map(|stat| (stat.st_mtime, stat.st_mtime_nsec)).ok();
    (0..FINE_TIMES_TRIES).all(|_| {
        let before = look();
        rustix::io::pwrite(file, b"again", 0).is_ok() && before.is_some() && look() != before
    })
}
