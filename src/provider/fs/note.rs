//! Notes: small files of ours in the reserved tree.
//!
//! **Invariant:** a note is replaced whole or not at all, and durably, in either durability: it names the catalog, and
//! a wrong or missing name would make absence count.

use rustix::fs::{AtFlags, Mode, OFlags, fsync, openat, renameat, unlinkat};
use rustix::io::Errno;

use bytes::Bytes;

use super::error::{Doing, failed, if_there, meaning};
use super::open;
use super::space::{Make, Space};
use super::spot::Facts;
use crate::model::id::VersionId;
use crate::model::name::RESERVED;
use crate::provider::{Note, Result};

/// Largest note that is read or written, in bytes.
const NOTE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Reads a note, if it is there.
pub(super) fn read(space: &Space, note: Note) -> Result<Option<Bytes>> {
    let path = format!("{RESERVED}/{}", note.name());
    let Some(file) = if_there(space.open(&path, open::FILE).doing("open a note"))? else { return Ok(None) };
    let facts = Facts::of_open(&file)?;
    if !facts.regular || facts.size > NOTE_BYTES_MAX {
        return Err(failed("a note is no file or too large"));
    }
    let mut text = vec![0; usize::try_from(facts.size).unwrap_or(0)];
    let mut len = 0;
    while len < text.len() {
        match rustix::io::pread(&file, &mut text[len..], len as u64).doing("read a note")? {
            0 => break,
            n => len += n,
        }
    }
    text.truncate(len);
    Ok(Some(Bytes::from(text)))
}

/// Writes a note.
pub(super) fn write(space: &Space, note: Note, text: &[u8]) -> Result<()> {
    if text.len() as u64 > NOTE_BYTES_MAX {
        return Err(failed("a note is too large"));
    }
    let dir = space.make_dir(RESERVED, open::DIRECTORY, Make::Reserved).doing("make the reserved tree")?;
    let fresh = format!("{}.{}", note.name(), VersionId::fresh());
    let written = (|| {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat(&dir, &fresh, flags, Mode::RUSR | Mode::WUSR)?;
        let mut rest = text;
        while !rest.is_empty() {
            match rustix::io::write(&file, rest) {
                Ok(n) => rest = &rest[n..],
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        fsync(&file)?;
        renameat(&dir, &fresh, &dir, note.name())
    })();
    if let Err(errno) = written {
        unlinkat(&dir, &fresh, AtFlags::empty()).ok();
        return Err(meaning(errno, "write a note"));
    }
    fsync(&dir).doing("sync the reserved tree")
}
