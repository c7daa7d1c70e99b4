//! The file of the catalog and its connections.
//!
//! **Invariant:** the file is made with mode 0600 before SQLite opens it, and SQLite gives -wal and -shm the same mode.
//! No connection maps the file into memory, for mapped pages would count as ours and a torn file would end the process.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::failure::Fault;
use super::{Durability, migrations};
use crate::catalog::{Error, Result};
use crate::config::limits::{
    CATALOG_BUSY_SECONDS_MAX, CATALOG_READER_CACHE_KIB, CATALOG_STATEMENTS_KEPT_MAX, CATALOG_WAL_BYTES_KEPT,
    CATALOG_WRITER_CACHE_KIB,
};
use crate::model::file_system::FileSystem;

/// Refuses a place on a network file system.
pub(super) fn check_place(path: &Path) -> Result<()> {
    let exists = path.try_exists().map_err(failed)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let stat = rustix::fs::statfs(if exists { path } else { parent }).map_err(failed)?;
    check_kind(stat.f_type as u64)
}

fn check_kind(kind: u64) -> Result<()> {
    // It has neither reliable locks nor shared memory.
    match FileSystem::of(kind) {
        FileSystem::Network(name) => Err(Fault::NetworkFileSystem(name).into()),
        FileSystem::Local | FileSystem::UserSpace => Ok(()),
    }
}

/// Makes the file if it is missing, so that it never has another mode than 0600.
pub(super) fn create(path: &Path) -> Result<()> {
    fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(failed)?;
    Ok(())
}

fn failed(error: impl Into<std::io::Error>) -> Error {
    Error::Failed(Box::new(error.into()))
}

/// Opens what every connection has in common. URI names are off: a path is a path.
fn connect(path: &Path, cache_kib: i64) -> Result<Connection> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(Duration::from_secs(CATALOG_BUSY_SECONDS_MAX))?;
    connection.set_prepared_statement_cache_capacity(CATALOG_STATEMENTS_KEPT_MAX);
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

/// The connection that writes. The file is looked at before anything about it is changed.
pub(super) fn connect_writer(path: &Path, durability: Durability) -> Result<Connection> {
    let connection = connect(path, CATALOG_WRITER_CACHE_KIB)?;
    migrations::check(&connection)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(Fault::NoWal(mode).into());
    }
    connection.pragma_update(None, "synchronous", durability.synchronous())?;
    connection.pragma_update(None, "journal_size_limit", CATALOG_WAL_BYTES_KEPT)?;
    Ok(connection)
}

/// A connection that reads. It needs the right to write for the shared memory of the WAL, and refuses to use it.
pub(super) fn connect_reader(path: &Path) -> Result<Connection> {
    let connection = connect(path, CATALOG_READER_CACHE_KIB)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_refused() {
        for (kind, fine) in
            [(0x6969, false), (0xFFFF_FFFF_FF53_4D42, false), (0xFE53_4D42, false), (0xEF53, true), (0x0102_1994, true)]
        {
            assert_eq!(check_kind(kind).is_ok(), fine, "{kind:x}");
        }
    }

    #[test]
    fn a_reader_cannot_write() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("catalog.db");
        create(&path).unwrap();
        let mut writer = connect_writer(&path, Durability::Fsync).unwrap();
        migrations::migrate(&mut writer).unwrap();
        let reader = connect_reader(&path).unwrap();
        assert!(reader.execute("DELETE FROM meta", []).is_err());
        let synchronous: i64 = writer.query_row("PRAGMA synchronous", [], |row| row.get(0)).unwrap();
        assert_eq!(synchronous, 2, "full");
    }
}
