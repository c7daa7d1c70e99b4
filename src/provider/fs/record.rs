//! Records beside the bytes: one extended attribute of the file.
//!
//! **Invariant:** a record never changes the bytes or the mtime, so never the stamp. A record too large for the file
//! system is written smaller and says so; a file system without attributes has none, and that is no error.

use std::os::fd::AsFd;

use rustix::fs::{XattrFlags, fgetxattr, fgetxattr_query, fsetxattr};
use rustix::io::Errno;

use super::error::meaning;
use crate::model::record::Record;
use crate::provider::{Error, Result};

/// The attribute's name; `user.` is what programs without privilege may write.
const NAME: &str = "user.longshore";
/// What Supabase's own server looks for beside a file: its type, and how long it may be cached.
const OF_SUPABASE: [&str; 2] = ["user.supabase.content-type", "user.supabase.cache-control"];
/// What the kernel takes at most.
const BYTES_MAX: usize = 64 * 1024;
/// Most records are smaller, so one call reads them.
const BYTES_USUAL: usize = 2048;
/// Sizes to try, one after the other: the kernel's limit, a block of ext4 less its overhead, what else fits beside the
/// attributes of others, and what an inode itself may hold.
const ROOM: [usize; 5] = [BYTES_MAX, 4000, 3000, 1500, 600];

/// The record beside the bytes of `file`, live or not; what is not one of ours is none.
pub(super) fn read(file: impl AsFd) -> Option<Record> {
    let mut text = vec![0; BYTES_USUAL];
    let len = match fgetxattr(&file, NAME, &mut text[..]) {
        Err(Errno::RANGE) => {
            let len = fgetxattr_query(&file, NAME).ok()?;
            text.resize(len.min(BYTES_MAX), 0);
            fgetxattr(&file, NAME, &mut text[..]).ok()?
        }
        other => other.ok()?,
    };
    Record::decode(text.get(..len)?)
}

/// Writes `record` beside the bytes of `file`, as much of it as there is room for.
pub(super) fn write(file: impl AsFd, record: &Record) -> Result<()> {
    if record.placed.is_of_version() {
        let content = &record.content;
        let kind = content.content_type.as_deref().unwrap_or("application/octet-stream");
        let caching = content.cache_control.as_deref().unwrap_or("no-cache");
        for (name, text) in OF_SUPABASE.into_iter().zip([kind, caching]) {
            match fsetxattr(&file, name, text.as_bytes(), XattrFlags::empty()) {
                Ok(()) | Err(Errno::OPNOTSUPP) => {}
                Err(errno) => return Err(meaning(errno, "write what another server looks for")),
            }
        }
    }
    let mut last: Option<(usize, Errno)> = None;
    for room in ROOM {
        let Some(text) = record.encode(room) else { break };
        if last.is_some_and(|(len, _)| len == text.len()) {
            continue;
        }
        match fsetxattr(&file, NAME, &text, XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP) => return Ok(()),
            Err(errno @ (Errno::TOOBIG | Errno::NOSPC | Errno::RANGE | Errno::DQUOT)) => {
                last = Some((text.len(), errno));
            }
            Err(errno) => return Err(meaning(errno, "write the record")),
        }
    }
    match last {
        // One that fits a block was refused: there is no block left.
        Some((len, Errno::NOSPC | Errno::DQUOT)) if len <= ROOM[2] => Err(Error::NoSpace),
        // Key and facts alone are too large for this file system: the bytes are kept without a record.
        _ => Ok(()),
    }
}
