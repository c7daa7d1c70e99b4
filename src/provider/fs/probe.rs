//! What the file system of the root can do, found out by doing it once.
//!
//! **Invariant:** nothing of a probe is left behind, and where nothing can be written nothing is promised that needs
//! writing but the calls that every usual kernel has.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, XattrFlags};
use rustix::fs::{fsetxattr, ioctl_ficlone, linkat, mkdirat, openat, renameat_with, statat, unlinkat};

use super::open;
use crate::model::id::VersionId;

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
        Err(_) => Found { exchange: true, links: true, records: true, reflink: false, folds: false },
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
        return Found { exchange: false, links: false, records: false, reflink: false, folds };
    };
    Found {
        exchange: renameat_with(dir, "a", dir, "b", RenameFlags::EXCHANGE).is_ok(),
        links: linkat(dir, "a", dir, "c", AtFlags::empty()).is_ok(),
        records: fsetxattr(&a, "user.longshore", b"{}", XattrFlags::empty()).is_ok(),
        reflink: ioctl_ficlone(&b, &a).is_ok(),
        folds,
    }
}
