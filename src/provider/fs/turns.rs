//! Order among the processes that serve one directory.
//!
//! A step of layout looks at names and then renames what it has judged. Between the two another step may put something
//! newer there, and although nothing is destroyed unseen, a newer version could be away from its key for a moment, or for
//! long if its mover dies. Inside a process a mutex keeps steps at one key apart; where several processes serve the
//! directory, locks on files of the reserved tree do. They end with their holder, however it ends.
//!
//! **Invariant:** who waits for a lock holds none of a higher number, so no two steps wait for each other. A file system
//! without locks, or without room for their files, goes without: steps are right then too, but for moments.

use std::os::fd::OwnedFd;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;

use super::open;
use super::space::{Make, Space};
use crate::model::id::VersionId;
use crate::model::name::ObjectKey;

/// Where the files of the locks are.
const LOCKS: &str = ".longshore/locks";
/// Locks of one container. Keys share them, so there are never more files.
const LOCKS_MAX: u64 = 64;

/// The turn of one step; it ends when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _locks: Vec<OwnedFd>,
}

/// The number of a lock. All processes must agree on it, also those of another release.
fn number(bytes: &[u8]) -> u64 {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ (hash >> 32)) % LOCKS_MAX
}

/// Waits until no step of another process is under way at a key or about a version.
pub(super) fn wait(space: &Space, key: Option<&ObjectKey>, version: VersionId) -> Turn {
    let mut locks = Vec::new();
    if space.terms.shared {
        let mut numbers: Vec<u64> = key.map(|key| number(key.as_str().as_bytes())).into_iter().collect();
        numbers.push(number(version.to_string().as_bytes()));
        numbers.sort_unstable();
        numbers.dedup();
        for number in numbers {
            match lock(space, number) {
                Ok(lock) => locks.push(lock),
                Err(errno) => {
                    tracing::debug!(container = %space.name, %errno, "steps of other processes are not waited for");
                    break;
                }
            }
        }
    }
    Turn { _locks: locks }
}

fn lock(space: &Space, number: u64) -> rustix::io::Result<OwnedFd> {
    let dir = space.make_dir(LOCKS, open::PLACE, Make::Reserved)?;
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&dir, format!("{number:02x}"), flags, Mode::RUSR | Mode::WUSR)?;
    loop {
        match flock(&file, FlockOperation::LockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
