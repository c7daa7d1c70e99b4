//! Opening what lies beneath a directory, and nothing else.
//!
//! A path is resolved by the kernel in one `openat2` that refuses to leave the directory, to enter a mount, to follow a
//! symbolic link or a link of procfs. Where a kernel or a sandbox does not have the call, the same is had segment by
//! segment: each is opened relative to the descriptor before it, without following links, and a directory of another
//! device is a mount.
//!
//! **Invariant:** no descriptor given out here was reached through a symbolic link or lies outside the directory, also
//! if somebody exchanges directories for links meanwhile. None lies in a mount below it: a file there cannot be renamed
//! to or from a place of ours, so it could neither be replaced nor deleted whole.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};
use rustix::io::{Errno, Result};

/// Tries of a resolution that the kernel asks to repeat.
const TRIES_MAX: usize = 4;

/// Within the directory, into no mount, and through no link of any kind.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_XDEV)
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);

/// A directory that is only a place to name things in.
pub(super) const PLACE: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);
/// A directory that can be read and synced.
pub(super) const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);
/// A file whose bytes are read. Opening a pipe that somebody put there must not wait for its other end.
pub(super) const FILE: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// How paths are resolved here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opener {
    /// By the kernel, in one call.
    Kernel,
    /// Segment by segment.
    Walk,
}

impl Opener {
    /// Finds out whether the kernel can do it.
    pub(super) fn probe(dir: impl AsFd) -> Self {
        match Self::Kernel.open(dir, ".", PLACE, Mode::empty()) {
            Ok(_) => Self::Kernel,
            Err(_) => Self::Walk,
        }
    }

    /// Opens `path` beneath `dir` if the kernel can do so from memory, without waiting for the disk.
    pub(super) fn open_cached(self, dir: impl AsFd, path: &str, flags: OFlags) -> Option<OwnedFd> {
        match self {
            Self::Kernel => {
                let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
                openat2(dir, path, flags, Mode::empty(), BENEATH | ResolveFlags::CACHED).ok()
            }
            Self::Walk => None,
        }
    }

    /// Opens the entry `name` of `dir`, which may be any bytes.
    pub(super) fn entry(self, dir: impl AsFd, name: &[u8], flags: OFlags) -> Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let dir = dir.as_fd();
        match self {
            Self::Kernel => again(|| openat2(dir, name, flags, Mode::empty(), BENEATH)),
            Self::Walk => stay(dir, again(|| openat(dir, name, flags, Mode::empty()))?),
        }
    }

    /// Opens `path` beneath `dir`. A mount in between is [`Errno::XDEV`].
    pub(super) fn open(self, dir: impl AsFd, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let dir = dir.as_fd();
        match self {
            Self::Kernel => again(|| openat2(dir, path, flags, mode, BENEATH)),
            Self::Walk => walk(dir, path, flags, mode),
        }
    }
}

fn again(open: impl Fn() -> Result<OwnedFd>) -> Result<OwnedFd> {
    for _ in 0..TRIES_MAX {
        match open() {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

/// What was opened in `dir`, unless it is the directory of a mount. Files are not asked: on some file systems that lie
/// over others they have a device of their own.
fn stay(dir: BorrowedFd<'_>, found: OwnedFd) -> Result<OwnedFd> {
    let stat = fstat(&found)?;
    let directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    if directory && stat.st_dev != fstat(dir)?.st_dev { Err(Errno::XDEV) } else { Ok(found) }
}

fn walk(dir: BorrowedFd<'_>, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    let (parents, name) = match path.rsplit_once('/') {
        Some((parents, name)) => (Some(parents), name),
        None => (None, path),
    };
    let mut at: Option<OwnedFd> = None;
    for segment in parents.iter().flat_map(|parents| parents.split('/')) {
        if segment.is_empty() || segment == ".." {
            return Err(Errno::NOENT);
        }
        let from = at.as_ref().map_or(dir, AsFd::as_fd);
        at = Some(stay(dir, openat(from, segment, PLACE | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())?)?);
    }
    if name.is_empty() || name == ".." {
        return Err(Errno::NOENT);
    }
    let from = at.as_ref().map_or(dir, AsFd::as_fd);
    stay(dir, again(|| openat(from, name, flags, mode))?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn neither_way_follows_a_link_or_leaves_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("root/a")).unwrap();
        std::fs::write(dir.path().join("root/a/f"), "x").unwrap();
        std::fs::write(dir.path().join("secret"), "x").unwrap();
        symlink("a", dir.path().join("root/link")).unwrap();
        symlink("../secret", dir.path().join("root/file")).unwrap();
        let root = std::fs::File::open(dir.path().join("root")).unwrap();
        for path in ["link/f", "file", "../secret", "a/../../secret", "/etc/passwd", "a//../../secret"] {
            assert!(Opener::Kernel.open_cached(&root, path, FILE).is_none(), "{path} was opened from memory");
        }
        for opener in [Opener::Kernel, Opener::Walk] {
            assert!(opener.open(&root, "a/f", FILE, Mode::empty()).is_ok(), "{opener:?}");
            for path in ["link/f", "file", "../secret", "a/../../secret", "/etc/passwd", "a//../../secret", "a/f/g"] {
                let refused = opener.open(&root, path, FILE, Mode::empty());
                assert!(refused.is_err(), "{opener:?} opened {path}");
            }
            assert!(opener.open(&root, "link", PLACE, Mode::empty()).is_err(), "{opener:?}");
        }
        assert_eq!(Opener::probe(&root), Opener::Kernel, "this suite runs where the kernel has openat2");
    }
}
