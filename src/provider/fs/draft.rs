//! A file that has no name yet.
//!
//! It lies on the file system of its managed place, in the very directory, so that naming it is one link. Where a file
//! system has no nameless files it bears a name in a directory of this process.
//!
//! **Invariant:** until [`Draft::publish`] has succeeded nobody can open it, and when it is dropped it is gone.

use std::io::IoSlice;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::fs::{copy_file_range, fsync, futimens, linkat, openat, unlinkat};
use rustix::io::{Errno, pread, pwrite, pwritev};

use super::error::{Doing, contended, failed, meaning};
use super::open;
use super::record;
use super::space::{Make, STAGED, Space};
use super::spot::{Facts, Spot};
use crate::config::limits::BLOCK_BYTES;
use crate::model::id::VersionId;
use crate::model::place::Stamp;
use crate::model::record::Record;
use crate::model::time::{Clock, Timestamp};
use crate::provider::{Error, Result};

/// Pieces that the kernel takes in one call.
const PIECES_MAX: usize = 1024;
/// Where the kernel shows our descriptors as paths.
const OWN_DESCRIPTORS: &str = "/proc/self/fd";

/// Tries to make a file in a directory that somebody removes at the same time.
const TRIES_MAX: usize = 4;
/// Age at which a staged file that bears a name is nobody's any more: its mtime moves with every block.
const ABANDONED_NANOS: i64 = 24 * 60 * 60 * 1_000_000_000;

/// Removes staged files that processes left which ended before they could.
fn sweep(space: &Space) {
    let Ok(staged) = space.open(STAGED, open::DIRECTORY) else { return };
    let Ok(processes) = Dir::read_from(&staged) else { return };
    for process in processes.filter_map(std::result::Result::ok) {
        let Some(process) = process.file_name().to_str().ok().and_then(VersionId::parse) else { continue };
        let path = format!("{STAGED}/{process}");
        let Ok(dir) = space.open(&path, open::DIRECTORY) else { continue };
        let Ok(files) = Dir::read_from(&dir) else { continue };
        let dir = Arc::new(dir);
        for file in files.filter_map(std::result::Result::ok) {
            let Ok(name) = file.file_name().to_str() else { continue };
            let spot = Spot { dir: dir.clone(), name: name.to_owned() };
            let old = |facts: Facts| facts.regular && Clock::now().0.saturating_sub(facts.modified.0) > ABANDONED_NANOS;
            if spot.look().is_ok_and(|facts| facts.is_some_and(old))
                && let Err(error) = spot.unlink()
            {
                tracing::warn!(%error, container = %space.name, "an abandoned staged file could not be removed");
            }
        }
        if process != space.terms.process {
            // One that another process uses is not empty, or is made again by it.
            unlinkat(&staged, process.to_string(), AtFlags::REMOVEDIR).ok();
        }
    }
}

/// A file that has no name yet.
#[derive(Debug)]
pub(super) struct Draft {
    file: OwnedFd,
    home: Spot,
    named: Option<Spot>,
    written: u64,
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(named) = &self.named
            && let Err(error) = named.unlink()
        {
            tracing::warn!(%error, name = %named.name, "a staged file could not be removed");
        }
    }
}

impl Draft {
    /// Makes an empty one for `managed(version)`.
    pub(super) fn open(space: &Space, version: VersionId) -> Result<Self> {
        let home = space.managed_made(version)?;
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP | Mode::ROTH | Mode::WOTH;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        if !space.terms.without.tmpfile {
            match openat(&*home.dir, ".", flags | OFlags::TMPFILE, mode) {
                Ok(file) => return Ok(Self { file, home, named: None, written: 0 }),
                Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => {}
                Err(errno) => return Err(meaning(errno, "stage a file")),
            }
        }
        Self::named(space, home, flags | OFlags::CREATE | OFlags::EXCL, mode)
    }

    /// One that bears a name of its own until it gets its managed one.
    fn named(space: &Space, home: Spot, flags: OFlags, mode: Mode) -> Result<Self> {
        space.first_staged.call_once(|| sweep(space));
        for _ in 0..TRIES_MAX {
            let dir = space.make_dir(&format!("{STAGED}/{}", space.terms.process), open::DIRECTORY, Make::Reserved);
            let dir = dir.doing("make the directory of staged files")?;
            let named = Spot { dir: Arc::new(dir), name: VersionId::fresh().to_string() };
            match openat(&*named.dir, &named.name, flags, mode) {
                // Another process found the directory empty and removed it.
                Err(Errno::NOENT) => {}
                file => {
                    let file = file.doing("stage a file")?;
                    return Ok(Self { file, home, named: Some(named), written: 0 });
                }
            }
        }
        Err(contended("stage a file"))
    }

    /// Writes blocks at the end.
    pub(super) fn write(&mut self, blocks: &[Bytes]) -> Result<()> {
        for blocks in blocks.chunks(PIECES_MAX) {
            let mut slices: Vec<IoSlice<'_>> = blocks.iter().map(|block| IoSlice::new(block)).collect();
            let mut rest = &mut slices[..];
            IoSlice::advance_slices(&mut rest, 0);
            while !rest.is_empty() {
                match pwritev(&self.file, rest, self.written) {
                    Ok(0) => return Err(failed("the file system takes no more bytes")),
                    Ok(n) => {
                        self.written += n as u64;
                        IoSlice::advance_slices(&mut rest, n);
                    }
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(meaning(errno, "write a staged file")),
                }
            }
        }
        Ok(())
    }

    /// Copies `range` of `source` to the end, sharing blocks where the file system can.
    pub(super) fn copy(&mut self, source: &OwnedFd, range: Range<u64>) -> Result<()> {
        let mut from = range.start;
        while from < range.end {
            let len = usize::try_from(range.end - from).unwrap_or(usize::MAX);
            match copy_file_range(source, Some(&mut from), &self.file, Some(&mut self.written), len) {
                // Zero is the end of a file that became shorter, and also what some file systems say that cannot.
                Ok(0) | Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::PERM) => {
                    return self.copy_through_memory(source, from..range.end);
                }
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(meaning(errno, "copy a file")),
            }
        }
        Ok(())
    }

    fn copy_through_memory(&mut self, source: &OwnedFd, range: Range<u64>) -> Result<()> {
        let mut from = range.start;
        let mut block = vec![0; BLOCK_BYTES];
        while from < range.end {
            let want = usize::try_from(range.end - from).unwrap_or(usize::MAX).min(BLOCK_BYTES);
            let got = match pread(source, &mut block[..want], from) {
                Ok(0) => return Err(Error::StampMismatch),
                Err(Errno::INTR) => continue,
                other => other.doing("read the source of a copy")?,
            };
            from += got as u64;
            let mut rest = &block[..got];
            while !rest.is_empty() {
                match pwrite(&self.file, rest, self.written) {
                    Ok(0) => return Err(failed("the file system takes no more bytes")),
                    Ok(n) => {
                        self.written += n as u64;
                        rest = &rest[n..];
                    }
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(meaning(errno, "write a copy")),
                }
            }
        }
        Ok(())
    }

    /// Gives it its mtime, its record and its managed name. Each step is durable before the next if `durable`.
    pub(super) fn publish(
        mut self,
        modified: Timestamp,
        size: u64,
        record: Option<&Record>,
        durable: bool,
    ) -> Result<Stamp> {
        if self.written != size {
            return Err(failed("other than the announced number of bytes was written"));
        }
        let facts = self.date(modified)?;
        if facts.size != size {
            return Err(failed("the staged file has another size than was written"));
        }
        if let Some(record) = record {
            if facts.modified == record.modified {
                record::write(&self.file, record)?;
            } else {
                // A file system that keeps coarser times: the record must speak for the time that is kept.
                record::write(&self.file, &Record { modified: facts.modified, ..record.clone() })?;
            }
        }
        if durable {
            fsync(&self.file).doing("sync a staged file")?;
        }
        self.name()?;
        let named = (|| {
            if durable {
                fsync(&*self.home.dir).doing("sync the directory of a managed file")?;
            }
            Facts::of_open(&self.file)
        })();
        if named.is_err() {
            self.home.unlink().ok();
        }
        Ok(named?.stamp())
    }

    fn date(&self, modified: Timestamp) -> Result<Facts> {
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: modified.seconds(), tv_nsec: modified.subsec_nanos().into() },
        };
        futimens(&self.file, &times).doing("set the mtime of a staged file")?;
        Facts::of_open(&self.file)
    }

    /// Gives the file its managed name, at which nothing may be.
    fn name(&mut self) -> Result<()> {
        if let Some(named) = self.named.take() {
            return match named.rename_new(&self.home) {
                Ok(()) => Ok(()),
                Err(errno) => {
                    self.named = Some(named);
                    Err(meaning(errno, "name a staged file"))
                }
            };
        }
        let path = format!("{OWN_DESCRIPTORS}/{}", self.file.as_raw_fd());
        match linkat(CWD, path, &*self.home.dir, &self.home.name, AtFlags::SYMLINK_FOLLOW) {
            // Without procfs a recent kernel links by the descriptor itself.
            Err(Errno::NOENT) => linkat(&self.file, "", &*self.home.dir, &self.home.name, AtFlags::EMPTY_PATH)
                .doing("name a staged file"),
            other => other.doing("name a staged file"),
        }
    }
}
