//! The one thread that writes.
//!
//! Jobs wait in a bounded queue. The thread takes all that wait, runs each in a savepoint of one transaction, commits
//! once, and only then answers them: one fsync serves everybody who came while the last one was running. There is no
//! timer; under load groups form by themselves, and a lone job waits for nobody.
//!
//! **Invariant:** no answer leaves before the transaction it rests on is committed, not even a refusal, for it may rest
//! on what an earlier job of the group did. A job that fails is undone alone. If the commit fails, every job of the
//! group gets the error, and none of them happened.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::failure::{self, Fault};
use super::limits::{GROUP_JOBS_MAX, WRITE_QUEUE_JOBS_MAX};
use super::statements as sql;
use crate::catalog::{Error, Result};

/// One unit of work of a group.
trait Job: Send {
    /// Does the work and keeps its outcome. Whether it is to stay.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Tells whoever waits: the outcome, or why the group failed.
    fn answer(self: Box<Self>, failure: Option<Error>);
}

struct Pending<T, F> {
    work: Option<F>,
    outcome: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: FnOnce(&Connection) -> Result<T> + Send> Job for Pending<T, F> {
    fn run(&mut self, connection: &Connection) -> bool {
        // Whoever no longer waits is not served: nothing happened, which is one of the two permitted endings.
        let Some(work) = self.work.take().filter(|_| !self.reply.is_closed()) else { return false };
        let outcome = catch_unwind(AssertUnwindSafe(|| work(connection)));
        let outcome = outcome.unwrap_or_else(|_| Err(Fault::Panicked.into()));
        let stays = outcome.is_ok();
        self.outcome = Some(outcome);
        stays
    }

    fn answer(self: Box<Self>, failure: Option<Error>) {
        let outcome = match (failure, self.outcome) {
            (Some(failure), _) => Err(failure),
            (None, Some(outcome)) => outcome,
            (None, None) => Err(Fault::Closed.into()),
        };
        // Nobody listens if the request was dropped meanwhile.
        let _ = self.reply.send(outcome);
    }
}

enum Message {
    Job(Box<dyn Job>),
    Close(oneshot::Sender<Result<()>>),
}

/// Why a whole group failed.
enum GroupFailure {
    Database(Arc<rusqlite::Error>),
    GivenUp,
}

impl From<rusqlite::Error> for GroupFailure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(Arc::new(error))
    }
}

impl GroupFailure {
    fn for_one(&self) -> Error {
        match self {
            Self::Database(error) => failure::shared(error),
            Self::GivenUp => Fault::GivenUp.into(),
        }
    }
}

/// The queue to the thread.
#[derive(Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
}

impl Writer {
    /// Starts the thread, which owns the connection.
    pub(super) fn start(connection: Connection) -> Result<Self> {
        let (queue, jobs) = mpsc::channel(WRITE_QUEUE_JOBS_MAX);
        thread::Builder::new()
            .name("catalog-writer".into())
            .spawn(move || serve(connection, jobs))
            .map_err(|e| Error::Failed(Box::new(e)))?;
        Ok(Self { queue })
    }

    /// Runs `work` in a transaction and returns when that is committed.
    ///
    /// On cancellation: it may have happened whole, or not at all.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Pending { work: Some(work), outcome: None, reply };
        self.queue.send(Message::Job(Box::new(job))).await.map_err(|_| Fault::Closed)?;
        answer.await.unwrap_or_else(|_| Err(Fault::Closed.into()))
    }

    /// Whether the thread no longer takes jobs.
    pub(super) fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// Finishes the jobs that wait, empties the WAL into the file and ends the thread. `Ok` also if it has ended.
    pub(super) async fn close(&self) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        if self.queue.send(Message::Close(reply)).await.is_err() {
            return Ok(());
        }
        answer.await.unwrap_or_else(|_| Err(Fault::Closed.into()))
    }
}

/// The thread. It ends when it is told to, or when nobody can send any more.
fn serve(connection: Connection, mut jobs: mpsc::Receiver<Message>) {
    while let Some(first) = jobs.blocking_recv() {
        let mut group = Vec::new();
        let mut close = None;
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Job(job) => group.push(job),
                Message::Close(reply) => {
                    close = Some(reply);
                    break;
                }
            }
            next = if group.len() < GROUP_JOBS_MAX { jobs.try_recv().ok() } else { None };
        }
        commit_group(&connection, group);
        if let Some(reply) = close {
            jobs.close();
            drop(jobs);
            let _ = reply.send(shut(connection));
            return;
        }
    }
}

/// Runs a group, commits it, and answers everybody in it.
fn commit_group(connection: &Connection, mut group: Vec<Box<dyn Job>>) {
    if group.is_empty() {
        return;
    }
    let failure = run_group(connection, &mut group).err();
    if failure.is_some() && !connection.is_autocommit() {
        // If this fails too, the next BEGIN fails and says so: nothing is ever taken for committed.
        let _ = connection.execute_batch(sql::ROLLBACK);
    }
    for job in group {
        job.answer(failure.as_ref().map(GroupFailure::for_one));
    }
}

fn run_group(connection: &Connection, group: &mut [Box<dyn Job>]) -> std::result::Result<(), GroupFailure> {
    let execute = |text| connection.prepare_cached(text)?.execute([]);
    execute(sql::BEGIN)?;
    for job in group {
        execute(sql::SAVEPOINT)?;
        let stays = job.run(connection);
        // A full disk or a failing one makes SQLite undo the whole transaction, with the jobs before this one.
        if connection.is_autocommit() {
            return Err(GroupFailure::GivenUp);
        }
        if !stays {
            execute(sql::ROLLBACK_TO)?;
        }
        execute(sql::RELEASE)?;
    }
    execute(sql::COMMIT)?;
    Ok(())
}

/// Moves the WAL into the file and closes. The last connection to close takes the WAL away.
fn shut(connection: Connection) -> Result<()> {
    let checkpoint = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    connection.close().map_err(|(_, error)| error)?;
    Ok(checkpoint?)
}
