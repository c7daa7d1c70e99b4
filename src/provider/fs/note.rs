//! Notes: small files of ours in the reserved tree.
//!
//! A container that takes no writes cannot hold any. Its notes are kept in a directory of the server's state, each with
//! the identity of the container it was written for.
//!
//! **Invariant:** a note is replaced whole or not at all, and durably, in either durability: it names the catalog, and
//! a wrong or missing name would make absence count. For the same reason a note kept apart is not there while another
//! directory than the one it was written for bears the container's name.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fsync, openat, renameat, unlinkat};
use rustix::io::Errno;

use bytes::Bytes;

use super::error::{Doing, failed, if_there, meaning};
use super::open;
use super::space::{Make, Space};
use super::spot::Facts;
use crate::model::id::VersionId;
use crate::model::name::RESERVED;
use crate::provider::{Error, Note, Result};

/// Largest note that is read or written, in bytes.
const NOTE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Reads a note, if it is there.
pub(super) fn read(space: &Space, note: Note) -> Result<Option<Bytes>> {
    let path = format!("{RESERVED}/{}", note.name());
    let Some(file) = if_there(space.open(&path, open::FILE).doing("open a note"))? else {
        return read_kept(space, note);
    };
    read_whole(&file).map(Some)
}

fn read_whole(file: &OwnedFd) -> Result<Bytes> {
    let facts = Facts::of_open(file)?;
    if !facts.regular || facts.size > NOTE_BYTES_MAX {
        return Err(failed("a note is no file or too large"));
    }
    let mut text = vec![0; usize::try_from(facts.size).unwrap_or(0)];
    let mut len = 0;
    while len < text.len() {
        match rustix::io::pread(file, &mut text[len..], len as u64).doing("read a note")? {
            0 => break,
            n => len += n,
        }
    }
    text.truncate(len);
    Ok(Bytes::from(text))
}

/// The file of a note that is kept apart.
fn kept_name(space: &Space, note: Note) -> String {
    format!("{}.{}", space.name, note.name())
}

/// Reads a note that is kept apart, if it was written for this very directory.
fn read_kept(space: &Space, note: Note) -> Result<Option<Bytes>> {
    let Some(dir) = &space.terms.notes else { return Ok(None) };
    let flags = open::FILE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(CWD, dir.join(kept_name(space, note)), flags, Mode::empty()).doing("open a note kept apart");
    let Some(file) = if_there(opened)? else { return Ok(None) };
    let text = read_whole(&file)?;
    let identity = format!("{}\n", space.lasting_identity()?);
    Ok(text.starts_with(identity.as_bytes()).then(|| text.slice(identity.len()..)))
}

/// Writes a note.
pub(super) fn write(space: &Space, note: Note, text: &[u8]) -> Result<()> {
    if text.len() as u64 > NOTE_BYTES_MAX {
        return Err(failed("a note is too large"));
    }
    let written = space
        .make_dir(RESERVED, open::DIRECTORY, Make::Reserved)
        .doing("make the reserved tree")
        .and_then(|dir| replace(&dir, note.name(), text));
    match (written, &space.terms.notes) {
        (Err(Error::ReadOnly | Error::Denied), Some(notes)) if !space.writable() => {
            let text = [space.lasting_identity()?.as_bytes(), b"\n", text].concat();
            replace(&made(notes)?, &kept_name(space, note), &text)
        }
        (written, _) => written,
    }
}

/// Opens the directory of notes kept apart, and makes it.
fn made(notes: &PathBuf) -> Result<OwnedFd> {
    match std::fs::create_dir_all(notes) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(Error::Failed(error)),
        _ => {}
    }
    openat(CWD, notes, open::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).doing("open the directory of notes kept apart")
}

/// Replaces a file in one step, and makes that durable.
fn replace(dir: &OwnedFd, name: &str, text: &[u8]) -> Result<()> {
    let fresh = format!("{name}.{}", VersionId::fresh());
    let written = (|| {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat(dir, &fresh, flags, Mode::RUSR | Mode::WUSR)?;
        let mut rest = text;
        while !rest.is_empty() {
            match rustix::io::write(&file, rest) {
                Ok(n) => rest = &rest[n..],
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        fsync(&file)?;
        renameat(dir, &fresh, dir, name)
    })();
    if let Err(errno) = written {
        unlinkat(dir, &fresh, AtFlags::empty()).ok();
        return Err(meaning(errno, "write a note"));
    }
    fsync(dir).doing("sync the directory of a note")
}
