//! What a loss of power does to files that nothing has synced yet.
//!
//! The power does not go here: a server was killed, and the files that only the catalog vouches for are damaged as a
//! file system may leave them.
//!
//! **Invariant:** only versions whose bytes the catalog keeps are damaged; everything else was synced.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::dice::Dice;
use super::load::MANAGED;
use crate::harness::Server;

/// A version that the catalog keeps.
struct Kept {
    bucket: String,
    key: String,
    version: String,
    current: bool,
    /// What identifies its own file: another version's may lie at its places for a moment.
    stamp: String,
}

/// Damages some files that were not synced when the server was killed; how many.
pub(super) fn lose_unsynced(server: &Server, dice: &mut Dice) -> usize {
    let mut damaged = 0;
    for Kept { bucket, key, version, current, stamp } in kept(&server.state()) {
        let container = server.data().join(&bucket);
        let managed = container.join(".longshore/objects").join(&version[30..]).join(&version);
        let natural = (current && bucket != MANAGED).then(|| container.join(&key));
        for path in std::iter::once(managed).chain(natural) {
            if path.is_file() && stamp_of(&path) == stamp && dice.below(3) > 0 {
                damage(&path, dice);
                damaged += 1;
            }
        }
    }
    damaged
}

/// What identifies a file, as the catalog writes it.
fn stamp_of(path: &Path) -> String {
    let meta = path.metadata().expect("there");
    let nanos = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
    format!("{:x}-{nanos:x}-{:x}", meta.ino(), meta.len())
}

/// Read from a copy: the log is to be recovered by the server alone.
fn kept(state: &Path) -> Vec<Kept> {
    let copy = tempfile::tempdir().expect("a temporary directory");
    for name in ["catalog.db", "catalog.db-wal"] {
        // After a start that came to its end there may be no log.
        let _ = std::fs::copy(state.join(name), copy.path().join(name));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let catalog = Connection::open_with_flags(copy.path().join("catalog.db"), flags).expect("the catalog");
    let text = "SELECT b.name, t.name, lower(hex(t.version)), o.version IS NOT NULL, \
                coalesce(o.stamp, v.stamp, '') FROM outbox t \
                JOIN buckets b ON b.id = t.bucket_id \
                LEFT JOIN objects o ON o.bucket_id = t.bucket_id AND o.name = t.name AND o.version = t.version \
                LEFT JOIN versions v ON v.bucket_id = t.bucket_id AND v.name = t.name AND v.version = t.version \
                WHERE t.bytes IS NOT NULL";
    let mut rows = catalog.prepare(text).expect("prepared");
    let rows = rows.query_map([], |row| {
        let [bucket, key, version] = [row.get(0)?, row.get(1)?, row.get(2)?];
        Ok(Kept { bucket, key, version, current: row.get(3)?, stamp: row.get(4)? })
    });
    rows.expect("asked").collect::<Result<_, _>>().expect("rows")
}

/// The name is lost, or the bytes, with or without the length. The mtime was set before and stays.
fn damage(path: &PathBuf, dice: &mut Dice) {
    if dice.below(3) == 0 {
        return std::fs::remove_file(path).expect("removed");
    }
    let meta = path.metadata().expect("there");
    let mut file: File = OpenOptions::new().write(true).open(path).expect("opened");
    if dice.below(2) == 0 {
        file.set_len(0).expect("cut");
    } else {
        let len = usize::try_from(meta.len()).expect("small");
        file.write_all(&vec![0; len]).expect("zeroed");
    }
    file.set_modified(meta.modified().expect("a time")).expect("set");
}
