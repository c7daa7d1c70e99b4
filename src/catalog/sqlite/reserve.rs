//! Space kept back beside the catalog, so that a full disk can be emptied.
//!
//! A deletion writes before it frees anything: its commit goes to the end of the write-ahead log. On a disk without a
//! free block, where the catalog lies beside the data as it does by default, nothing could ever be deleted. So a file
//! holds as much as the log needs between two checkpoints, and it goes when a deletion finds no space.
//!
//! **Invariant:** it is given up only for what frees something, and taken again when there is space.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FallocateFlags, fallocate};

use crate::config::limits::CATALOG_RESERVE_BYTES;

/// The space kept back.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    held: AtomicBool,
}

impl Reserve {
    /// Takes it beside the catalog at `path`. A disk that is full already has none to give. Blocks.
    pub(super) fn beside(path: &Path) -> Self {
        let reserve = Self::left(path);
        reserve.take();
        reserve
    }

    /// Leaves it as it is, for whoever writes nothing.
    pub(super) fn left(path: &Path) -> Self {
        let mut name = path.as_os_str().to_owned();
        name.push("-reserve");
        Self { path: name.into(), held: AtomicBool::new(false) }
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.load(Ordering::SeqCst)
    }

    /// Takes it, if there is space. Blocks.
    pub(super) fn take(&self) {
        match self.allocate() {
            Ok(()) => self.held.store(true, Ordering::SeqCst),
            Err(error) => {
                // Part of it may have been allocated.
                let _ = fs::remove_file(&self.path);
                tracing::debug!(%error, "no space is kept back for deletions");
            }
        }
    }

    fn allocate(&self) -> io::Result<()> {
        let file: File = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&self.path)?;
        Ok(fallocate(&file, FallocateFlags::empty(), 0, CATALOG_RESERVE_BYTES)?)
    }

    /// Gives it up. Blocks.
    pub(super) fn give_up(&self) {
        self.held.store(false, Ordering::SeqCst);
        match fs::remove_file(&self.path) {
            Ok(()) => tracing::warn!("the disk of the catalog is full: the space kept back for deletions is given up"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%error, "the space kept back for deletions cannot be given up"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn it_is_taken_given_up_and_taken_again() {
        let directory = tempfile::tempdir().unwrap();
        let reserve = Reserve::beside(&directory.path().join("catalog.db"));
        let path = directory.path().join("catalog.db-reserve");
        assert!(reserve.is_held());
        let meta = path.metadata().unwrap();
        assert!(meta.blocks() * 512 >= CATALOG_RESERVE_BYTES, "it holds space, and is not only long");
        assert_eq!(meta.mode() & 0o777, 0o600);
        reserve.give_up();
        reserve.give_up();
        assert!(!reserve.is_held() && !path.exists());
        reserve.take();
        assert!(reserve.is_held() && path.exists());
    }
}
