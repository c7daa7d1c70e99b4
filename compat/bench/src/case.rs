//! The loads that can be run, and the names of the objects that they read and write.
//!
//! What a load reads is made beforehand (`prepare.rs`) under the names that are computed here, so that the program
//! remembers no list of keys. **Invariant:** every key of a case sorts like its number.

use std::fmt;
use std::str::FromStr;

use crate::client::Speaks;

pub(crate) const KIB: u64 = 1024;
pub(crate) const MIB: u64 = 1024 * KIB;
/// Keys on one page of a listing, and files in one directory of a bucket that is listed.
pub(crate) const PAGE_KEYS: u64 = 1000;
/// The part size of a multipart upload.
pub(crate) const PART_BYTES: u64 = 8 * MIB;
/// Objects that one pass of the DELETE load removes.
pub(crate) const DELETES: u64 = 1000;
/// The bucket of objects that are read, which `files` makes as a directory.
pub(crate) const READ_BUCKET: &str = "bench-read";
/// The bucket that is written to.
pub(crate) const WRITE_BUCKET: &str = "bench-write";

/// What each request of a load does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Get,
    Head,
    Put,
    Delete,
    Multipart,
    List,
}

/// A load: an operation on a number of objects of one size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) operation: Operation,
    pub(crate) size: u64,
    /// Objects that are read, keys in the bucket that is listed, or the number of keys that one worker writes in turn.
    pub(crate) objects: u64,
}

const fn case(name: &'static str, operation: Operation, size: u64, objects: u64) -> Case {
    Case { name, operation, size, objects }
}

/// Every load by its name.
pub(crate) const CASES: [Case; 13] = [
    case("get-1k", Operation::Get, KIB, 2000),
    case("get-4k", Operation::Get, 4 * KIB, 2000),
    case("get-1m", Operation::Get, MIB, 100),
    case("get-64m", Operation::Get, 64 * MIB, 4),
    case("head", Operation::Head, 4 * KIB, 2000),
    case("put-1k", Operation::Put, KIB, 500),
    case("put-4k", Operation::Put, 4 * KIB, 500),
    case("put-1m", Operation::Put, MIB, 16),
    case("put-64m", Operation::Put, 64 * MIB, 1),
    case("delete", Operation::Delete, 4 * KIB, DELETES),
    case("multipart-256m", Operation::Multipart, 256 * MIB, 1),
    case("list-10k", Operation::List, 0, 10_000),
    case("list-1m", Operation::List, 0, 1_000_000),
];

impl FromStr for Case {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let names = || CASES.iter().map(|case| case.name).collect::<Vec<_>>().join(", ");
        CASES
            .iter()
            .find(|case| case.name == name)
            .copied()
            .ok_or_else(|| format!("no such case; there are: {}", names()))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name)
    }
}

impl Case {
    /// The bucket that the requests of this load name.
    pub(crate) fn bucket(&self) -> String {
        match self.operation {
            Operation::Get | Operation::Head => READ_BUCKET.into(),
            Operation::Put | Operation::Delete | Operation::Multipart => WRITE_BUCKET.into(),
            Operation::List => format!("bench-{}", self.name),
        }
    }

    /// The key of the object that is number `n` of those that exist before the load, or that DELETE removes.
    pub(crate) fn key(&self, n: u64) -> String {
        match self.operation {
            Operation::List => list_key(n),
            Operation::Get | Operation::Head => format!("{}/{n:07}", self.size),
            Operation::Put | Operation::Delete | Operation::Multipart => format!("{}/{n:07}", self.name),
        }
    }

    /// Whether a server that is spoken to like this can answer it.
    pub(crate) fn suits(&self, speaks: &Speaks) -> bool {
        match speaks {
            Speaks::S3(_) => true,
            Speaks::Storage { .. } => {
                matches!(self.operation, Operation::Get | Operation::Head | Operation::Put | Operation::Delete)
            }
            Speaks::Plain => matches!(self.operation, Operation::Get | Operation::Head),
        }
    }
}

/// A key of a bucket that is listed: 1,000 of them to a directory, as a file system likes it.
fn list_key(n: u64) -> String {
    format!("k/{:04}/{n:07}", n / PAGE_KEYS)
}

/// A fixed shuffle: the same sequence on each run and on each server, without runs of neighbours.
pub(crate) fn scatter(n: u64, below: u64) -> u64 {
    (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20) % below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_like_their_numbers() {
        let list: Case = "list-1m".parse().expect("a case");
        let keys: Vec<String> = [0, 9, 10, 999, 1000, 99_999, 100_000, 999_999].map(|n| list.key(n)).into();
        assert!(keys.is_sorted(), "{keys:?}");
    }

    #[test]
    fn an_unknown_case_is_refused_with_the_names_of_all() {
        assert!("get-5k".parse::<Case>().expect_err("no such case").contains("multipart-256m"));
    }

    #[test]
    fn the_shuffle_reaches_all_objects() {
        let mut seen = [false; 100];
        (0..2000).for_each(|n| seen[scatter(n, 100) as usize] = true);
        assert!(seen.iter().all(|hit| *hit));
    }
}
