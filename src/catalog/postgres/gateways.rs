//! The processes that serve the catalog: who is at work, who does which job, with which secrets.
//!
//! **Invariant:** a process is at work while the row of its name says so by the database's clock, and a job is whose row says
//! so. One process that has no name is no gateway, and does no job that another one might have.

use super::Call;
use super::pool::{Begin, Pool};
use super::rows::{self, get};
use super::statements as sql;
use crate::catalog::{Enlisted, GatewayId, Result, SecretMark};
use crate::config::limits::GATEWAY_LEASE_SECONDS;
use crate::model::id::RequestId;

/// This process as one of the gateways.
#[derive(Debug)]
pub(super) struct Gateway {
    run: String,
    /// What it said of its secrets.
    marks: std::sync::OnceLock<String>,
}

/// Seconds for an interval.
fn lease_seconds() -> f64 {
    f64::from(GATEWAY_LEASE_SECONDS)
}

impl Gateway {
    /// Of a name; without one it is none.
    pub(super) fn new(holder: Option<GatewayId>) -> Option<Self> {
        holder.map(|_| Self { run: RequestId::fresh().as_str().to_owned(), marks: std::sync::OnceLock::new() })
    }

    /// Begins.
    pub(super) async fn enlist(&self, pool: &Pool, secrets: &[SecretMark]) -> Result<Enlisted> {
        let names = |wanted: &dyn Fn(&&SecretMark) -> bool| -> (Vec<String>, Vec<String>) {
            secrets.iter().filter(wanted).map(|secret| (secret.name.clone(), secret.mark.clone())).unzip()
        };
        let ((lasting, lasting_marks), (all, marks)) = (names(&|secret| secret.lasting), names(&|_| true));
        let calls = [
            Call::new(sql::LOCK_META),
            Call::new(sql::KEEP_MARKS).with(lasting).with(lasting_marks),
            Call::new(sql::DIFFERING).with(all).with(marks),
            Call::new(sql::HAS_OTHERS),
        ];
        let (transaction, answers) = pool.begin(Begin::Write, &calls).await?;
        let differing = answers.get(2).map_or(&[][..], Vec::as_slice);
        let differing = differing.iter().map(|row| get(row, 0)).collect::<Result<Vec<String>>>()?;
        let others = answers.get(3).and_then(|rows| rows.first()).map_or(Ok(false), |row| get(row, 0))?;
        if !differing.is_empty() {
            transaction.undo().await?;
            // Marks are made with what lasts: if that differs, all do.
            let mut known = secrets.iter().filter(|secret| secret.lasting).map(|secret| &secret.name);
            let first = known.find(|name| differing.contains(name)).cloned();
            return Ok(Enlisted { differing: first.map_or(differing, |first| vec![first]), others });
        }
        let said: std::collections::BTreeMap<_, _> =
            secrets.iter().map(|secret| (&secret.name, &secret.mark)).collect();
        let said = rows::to_json(&said)?;
        let enlist = Call::new(sql::ENLIST).with(self.run.clone()).with(lease_seconds()).with(said.clone());
        transaction.finish(&[enlist, Call::new(sql::FORGET_GATEWAYS)]).await?;
        // Said once: a process begins once.
        let _ = self.marks.set(said);
        Ok(Enlisted { differing, others })
    }

    /// Goes on.
    pub(super) async fn beat(&self, pool: &Pool) -> Result<bool> {
        let marks = self.marks.get().cloned().unwrap_or_else(|| "{}".to_owned());
        let beat = Call::new(sql::BEAT).with(self.run.clone()).with(lease_seconds()).with(marks);
        Ok(pool.run(Begin::Hint, &[beat]).await?.iter().any(|rows| !rows.is_empty()))
    }

    /// Ends.
    pub(super) async fn leave(&self, pool: &Pool) -> Result<()> {
        let leave = Call::new(sql::LEAVE).with(self.run.clone());
        pool.run(Begin::Hint, &[leave, Call::new(sql::LEAVE_JOBS)]).await.map(|_| ())
    }
}

/// Whether another process is at work.
pub(super) async fn has_others(pool: &Pool) -> Result<bool> {
    let rows = pool.run(Begin::Read, &[Call::new(sql::HAS_OTHERS)]).await?.pop().unwrap_or_default();
    rows.first().map_or(Ok(false), |row| get(row, 0))
}

/// Takes a job, or keeps it.
pub(super) async fn lease(pool: &Pool, job: &str) -> Result<bool> {
    let call = Call::new(sql::LEASE).with(job.to_owned()).with(lease_seconds());
    Ok(pool.run(Begin::Hint, &[call]).await?.iter().any(|rows| !rows.is_empty()))
}

/// Gives a job back.
pub(super) async fn give_back(pool: &Pool, job: &str) -> Result<()> {
    pool.run(Begin::Hint, &[Call::new(sql::GIVE_BACK).with(job.to_owned())]).await.map(|_| ())
}
