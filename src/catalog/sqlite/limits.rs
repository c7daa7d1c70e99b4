//! The limits of the embedded catalog, with the reason beside each.

use std::time::Duration;

/// Jobs that may wait for the writer. Past it callers wait for a place, so a burst costs time and not memory; several
/// groups' worth, so that the writer never runs dry.
pub(super) const WRITE_QUEUE_JOBS_MAX: usize = 512;
/// Jobs of one transaction. The gain of sharing one fsync flattens out long before, and whoever comes first waits for
/// the whole group.
pub(super) const GROUP_JOBS_MAX: usize = 128;
/// How long a statement waits for another process (the command line) to end its transaction.
pub(super) const BUSY_WAIT: Duration = Duration::from_secs(5);
/// Connections for point lookups. They are held only while a thread of the runtime computes.
pub(super) const LOOKUP_CONNECTIONS_MAX: u32 = 8;
/// Connections for listings and other walks, and so the threads they occupy at a time.
pub(super) const WALK_CONNECTIONS_MAX: u32 = 4;
/// Page cache of one reader, in KiB. The pages are in the cache of the operating system too; this saves only copies.
pub(super) const READER_CACHE_KIB: i64 = 2 * 1024;
/// Page cache of the writer, in KiB: what one group changes should fit, else SQLite spills into the WAL early.
pub(super) const WRITER_CACHE_KIB: i64 = 8 * 1024;
/// Prepared statements that each connection keeps: all that there are.
pub(super) const STATEMENTS_KEPT: usize = 80;
/// Bytes that the WAL keeps on disk after a checkpoint; one large transaction may make it longer for a while.
pub(super) const WAL_BYTES_KEPT: i64 = 64 * 1024 * 1024;
/// Bytes kept back so that a full disk can be emptied: twice what the WAL grows to between two checkpoints, which SQLite
/// makes every 1,000 pages of 4 KiB.
pub(super) const RESERVE_BYTES: u64 = 8 * 1024 * 1024;
