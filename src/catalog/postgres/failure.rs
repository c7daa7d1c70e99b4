//! Why the catalog in Postgres fails, in the words of the trait's errors.
//!
//! **Invariant:** an expectation that does not hold is what the statement said it is; whatever a later try may mend (a
//! lost connection, a server that restarts, a lock or a statement that took too long) is `Unavailable`; everything else is
//! `Failed` with its cause as source.

use tokio_postgres::error::{Severity, SqlState};

use crate::catalog::Error;

/// The states that `longshore.refuse` ends a transaction with.
pub(super) mod state {
    /// The row is gone.
    pub(in crate::catalog::postgres) const NOT_FOUND: &str = "LS404";
    /// Somebody else was first.
    pub(in crate::catalog::postgres) const CONFLICT: &str = "LS409";
    /// The name is taken.
    pub(in crate::catalog::postgres) const TAKEN: &str = "LSTKN";
    /// There are rows left.
    pub(in crate::catalog::postgres) const NOT_EMPTY: &str = "LSNTE";
    /// More than the quota.
    pub(in crate::catalog::postgres) const QUOTA: &str = "LSQTA";
    /// The bytes were given up.
    pub(in crate::catalog::postgres) const GIVEN_UP: &str = "LS503";
    /// The bucket is counted, and the transaction does not count.
    pub(in crate::catalog::postgres) const COUNTED: &str = "LSCNT";
    /// Somebody waits to have the bucket for himself.
    pub(in crate::catalog::postgres) const GATE: &str = "LSGAT";
    /// The part has an attempt already.
    pub(in crate::catalog::postgres) const DISPLACES: &str = "LSDUP";
}

/// A cause that the database itself does not report.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The address.
    #[error(
        "the address of the catalog must be postgres://USER:PASSWORD@HOST/DATABASE, with ?sslmode=require to encrypt"
    )]
    Address,
    /// The catalog was closed.
    #[error("the catalog is closed")]
    Closed,
    /// No answer in time.
    #[error("the database does not answer")]
    Silent,
    /// All connections were busy for too long.
    #[error("all connections to the database are busy")]
    Busy,
    /// `gc` was faster than the write.
    #[error("the bytes of a new version were given up before it was committed")]
    GivenUpBytes,
    /// The schema belongs to a newer release.
    #[error("the catalog has schema {found}, and this release knows schemas up to {known}: use the newer release")]
    Newer {
        /// The schema of the database.
        found: i32,
        /// The newest schema known here.
        known: i32,
    },
    /// The schema is missing or old, and nothing is to be changed.
    #[error("the schema of the catalog is missing or of an older release: `longshore serve` brings it up to date")]
    Older,
    /// The schema is missing or old, and the login may not change it.
    #[error(
        "the schema of the catalog is not up to date, and this login may not change it: run `longshore catalog migrate` \
         with the address of a login that may"
    )]
    NotMigrated(#[source] tokio_postgres::Error),
    /// The login may not act for Longshore.
    #[error("this login may not act as longshore_service: run `longshore catalog migrate --login NAME` with its name")]
    NoService(#[source] tokio_postgres::Error),
    /// A role that tokens may name must be there and weak.
    #[error("the role {0:?} of jwt.roles {1}")]
    Role(String, &'static str),
    /// The database cannot hold every name.
    #[error("the database must have the encoding UTF8, and has {0}")]
    Encoding(String),
    /// The tables of Supabase are there without a role that they need.
    #[error("the tables of Supabase are there, but the role {0} is not: make it first")]
    NoRole(String),
    /// The tables of Supabase that are there lack a column.
    #[error("the table storage.{0} is there, but lacks the column {1}: bring it up to date first")]
    OldStorage(String, String),
    /// A number that 64 signed bits cannot hold.
    #[error("the number {0} is too large for the catalog")]
    TooLarge(u64),
    /// A row that this code did not write.
    #[error("a row of the catalog is malformed: {0}")]
    Malformed(&'static str),
    /// The caller named a place that is not one of the version's two.
    #[error("the place is not one of this version's")]
    ForeignPlace,
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Closed | Fault::Silent | Fault::Busy | Fault::GivenUpBytes => Self::Unavailable(Box::new(fault)),
            Fault::Address
            | Fault::Newer { .. }
            | Fault::Older
            | Fault::NotMigrated(_)
            | Fault::NoService(_)
            | Fault::NoRole(_)
            | Fault::Role(..)
            | Fault::Encoding(_)
            | Fault::OldStorage(..)
            | Fault::TooLarge(_)
            | Fault::Malformed(_)
            | Fault::ForeignPlace => Self::Failed(Box::new(fault)),
        }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            None => Self::Unavailable(Box::new(error)),
            Some(code) => match code.code() {
                state::NOT_FOUND => Self::NotFound,
                state::CONFLICT => Self::Conflict,
                state::TAKEN => Self::AlreadyExists,
                state::NOT_EMPTY => Self::NotEmpty,
                state::QUOTA => Self::QuotaExceeded,
                state::GIVEN_UP => Fault::GivenUpBytes.into(),
                _ if *code == SqlState::DISK_FULL => Self::NoSpace,
                // Two rows of one key, where a statement expects none.
                _ if *code == SqlState::UNIQUE_VIOLATION => Self::Conflict,
                other if passes(other) => Self::Unavailable(Box::new(error)),
                _ => Self::Failed(Box::new(error)),
            },
        }
    }
}

/// Whether a later try may succeed where this state was the end.
fn passes(state: &str) -> bool {
    // Connections, resources, the operator's hand (a shutdown, a restart, a time limit), transactions that met.
    let classes = ["08", "53", "57", "40"];
    let lock_not_available = "55P03";
    // A server that was demoted, and another one is the leader by now.
    let read_only = "25006";
    classes.iter().any(|class| state.starts_with(class)) || [lock_not_available, read_only].contains(&state)
}

/// Whether the whole transaction may be sent once more at once: it met another one, and nothing of it was done.
pub(super) fn met(error: &tokio_postgres::Error) -> bool {
    let codes = [&SqlState::T_R_SERIALIZATION_FAILURE, &SqlState::T_R_DEADLOCK_DETECTED];
    error.code().is_some_and(|code| codes.contains(&code))
}

/// Whether the database refused a statement, and its connection goes on.
pub(super) fn leaves_the_connection(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|error| error.parsed_severity() == Some(Severity::Error))
}

/// Whether a lock was not to be had in time.
pub(super) fn waited(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
}

/// Whether a transaction ended with this state of ours.
pub(super) fn ended_with(error: &tokio_postgres::Error, state: &str) -> bool {
    error.code().is_some_and(|code| code.code() == state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself() {
        for state in ["08006", "57P01", "57P03", "57014", "53300", "40001", "40P01", "55P03", "25006"] {
            assert!(passes(state), "{state}");
        }
        for state in ["42501", "42P01", "22003", "28P01", "XX000"] {
            assert!(!passes(state), "{state}");
        }
    }
}
