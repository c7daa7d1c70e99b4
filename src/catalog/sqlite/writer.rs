//! The one thread that writes.
//!
//! Jobs wait in a bounded queue. The thread takes all that wait, runs each in a savepoint of one transaction, commits
//! once, and only then answers them: one fsync serves everybody who came while the last one was running. There is no
//! timer; under load groups form by themselves, and a lone job waits for nobody.
//!
//! A group in which no job needs more is committed without an fsync of its own: what it wrote may be lost with the power,
//! but never before something older, and the next group that needs an fsync carries it along.
//!
//! **Invariant:** no answer leaves before the transaction it rests on is committed, not even a refusal, for it may rest
//! on what an earlier job of the group did. A job that fails is undone alone. If the commit fails, every job of the
//! group gets the error, and none of them happened.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::Durability;
use super::failure::{self, Fault};
use super::statements as sql;
use crate::catalog::{Error, Result};
use crate::config::limits::{CATALOG_GROUP_JOBS_MAX, CATALOG_QUEUE_JOBS_MAX};

/// How a job ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// What it did stays.
    Keep,
    /// It refused or failed, and what it did is undone.
    Undo,
    /// There was no space for it.
    Full,
}

/// One unit of work of a group.
trait Job: Send {
    /// What its commit needs.
    fn durability(&self) -> Durability;
    /// Does the work and keeps its outcome.
    fn run(&mut self, connection: &Connection) -> Verdict;
    /// Tells whoever waits: the outcome, or why the group failed.
    fn answer(self: Box<Self>, failure: Option<Error>);
}

struct Pending<T, F> {
    durability: Durability,
    work: Option<F>,
    outcome: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: FnOnce(&Connection) -> Result<T> + Send> Job for Pending<T, F> {
    fn durability(&self) -> Durability {
        self.durability
    }

    fn run(&mut self, connection: &Connection) -> Verdict {
        // Whoever no longer waits is not served: nothing happened, which is one of the two permitted endings.
        let Some(work) = self.work.take().filter(|_| !self.reply.is_closed()) else { return Verdict::Undo };
        let outcome = catch_unwind(AssertUnwindSafe(|| work(connection)));
        let outcome = outcome.unwrap_or_else(|_| Err(Fault::Panicked.into()));
        let verdict = match &outcome {
            Ok(_) => Verdict::Keep,
            Err(Error::NoSpace) => Verdict::Full,
            Err(_) => Verdict::Undo,
        };
        self.outcome = Some(outcome);
        verdict
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
    /// SQLite undid the transaction on its own.
    GivenUp,
    /// The same, because there was no space for one of the jobs.
    Full,
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
            Self::Full => Error::NoSpace,
        }
    }
}

/// The queue to the thread.
#[derive(Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
}

impl Writer {
    /// Starts the thread, which owns the connection. `durability` is the most that any commit gets.
    pub(super) fn start(connection: Connection, durability: Durability) -> Result<Self> {
        let (queue, jobs) = mpsc::channel(CATALOG_QUEUE_JOBS_MAX);
        thread::Builder::new()
            .name("catalog-writer".into())
            .spawn(move || serve(Committer { connection, most: durability, set: durability }, jobs))
            .map_err(|e| Error::Failed(Box::new(e)))?;
        Ok(Self { queue })
    }

    /// Runs `work` in a transaction and returns when that is committed, at least as safely as `durability` asks.
    ///
    /// On cancellation: it may have happened whole, or not at all.
    pub(super) async fn run<T, F>(&self, durability: Durability, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Pending { durability, work: Some(work), outcome: None, reply };
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
fn serve(mut committer: Committer, mut jobs: mpsc::Receiver<Message>) {
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
            next = if group.len() < CATALOG_GROUP_JOBS_MAX { jobs.try_recv().ok() } else { None };
        }
        committer.commit(group);
        if let Some(reply) = close {
            drop(jobs);
            let _ = reply.send(shut(committer.connection));
            return;
        }
    }
}

/// The connection, and what its next commit is set to.
struct Committer {
    connection: Connection,
    most: Durability,
    set: Durability,
}

impl Committer {
    /// Runs a group, commits it, and answers everybody in it.
    fn commit(&mut self, mut group: Vec<Box<dyn Job>>) {
        if group.is_empty() {
            return;
        }
        let failure = self.run(&mut group).err();
        if failure.is_some() && !self.connection.is_autocommit() {
            // If this fails too, the next BEGIN fails and says so: nothing is ever taken for committed.
            let _ = self.connection.execute_batch(sql::ROLLBACK);
        }
        for job in group {
            job.answer(failure.as_ref().map(GroupFailure::for_one));
        }
    }

    fn run(&mut self, group: &mut [Box<dyn Job>]) -> std::result::Result<(), GroupFailure> {
        let needed =
            if group.iter().any(|job| job.durability() == Durability::Fsync) { self.most } else { Durability::Os };
        if needed != self.set {
            self.connection.pragma_update(None, "synchronous", needed.synchronous())?;
            self.set = needed;
        }
        self.execute(sql::BEGIN)?;
        for job in group {
            self.execute(sql::SAVEPOINT)?;
            let verdict = job.run(&self.connection);
            // A disk that is full or fails makes SQLite undo the whole transaction, with the jobs before this one.
            if self.connection.is_autocommit() {
                return Err(if verdict == Verdict::Full { GroupFailure::Full } else { GroupFailure::GivenUp });
            }
            if verdict != Verdict::Keep {
                self.execute(sql::ROLLBACK_TO)?;
            }
            self.execute(sql::RELEASE)?;
        }
        self.execute(sql::COMMIT)?;
        Ok(())
    }

    fn execute(&self, text: &str) -> rusqlite::Result<usize> {
        self.connection.prepare_cached(text)?.execute([])
    }
}

/// Moves the WAL into the file and closes. The last connection to close takes the WAL away.
fn shut(connection: Connection) -> Result<()> {
    // Whatever was committed without an fsync gets one now.
    connection.pragma_update(None, "synchronous", Durability::Fsync.synchronous())?;
    let checkpoint = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    connection.close().map_err(|(_, error)| error)?;
    Ok(checkpoint?)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use futures_util::future::join_all;
    use rusqlite::params;

    use super::*;

    /// A writer over a small table, and a second connection that reads it.
    fn start(directory: &tempfile::TempDir, setup: &str) -> (Writer, Connection) {
        let path = directory.path().join("t.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x INTEGER PRIMARY KEY, y BLOB);").unwrap();
        connection.execute_batch(setup).unwrap();
        (Writer::start(connection, Durability::Fsync).unwrap(), Connection::open(&path).unwrap())
    }

    fn rows(reader: &Connection) -> Vec<i64> {
        let mut statement = reader.prepare("SELECT x FROM t ORDER BY x").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }

    fn insert(c: &Connection, x: i64, bytes: usize) -> Result<()> {
        c.execute("INSERT INTO t VALUES (?1, zeroblob(?2))", params![x, i64::try_from(bytes).unwrap()])?;
        Ok(())
    }

    type Work<T> = (Durability, Box<dyn FnOnce(&Connection) -> Result<T> + Send>);

    fn fsync<T>(work: impl FnOnce(&Connection) -> Result<T> + Send + 'static) -> Work<T> {
        (Durability::Fsync, Box::new(work))
    }

    /// Holds the writer in a job until the jobs of `rest` wait behind it, so that they are one group.
    async fn grouped<T: Send + 'static>(writer: &Writer, rest: Vec<Work<T>>) -> Vec<Result<T>> {
        let (go, wait) = channel::<()>();
        let (started, running) = oneshot::channel();
        let gate = writer.run(Durability::Os, move |_| {
            let _ = started.send(());
            let _ = wait.recv();
            Ok(())
        });
        let waiting = async {
            running.await.unwrap();
            let waiting = join_all(rest.into_iter().map(|(need, work)| writer.run(need, work)));
            // Each is in the queue once it was polled; then the gate opens.
            futures_util::join!(waiting, async move { drop(go) }).0
        };
        let (_, outcomes) = futures_util::join!(gate, waiting);
        outcomes
    }

    #[tokio::test]
    async fn a_panic_undoes_its_own_job_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (writer, reader) = start(&directory, "");
        let outcomes = grouped::<()>(
            &writer,
            vec![
                fsync(|c| insert(c, 1, 1)),
                fsync(|c| {
                    insert(c, 2, 1)?;
                    panic!("a job that panics, as this test wants")
                }),
                fsync(|c| insert(c, 3, 1)),
            ],
        )
        .await;
        assert!(matches!(outcomes[..], [Ok(()), Err(Error::Failed(_)), Ok(())]), "{outcomes:?}");
        assert_eq!(rows(&reader), [1, 3]);
    }

    #[tokio::test]
    async fn a_transaction_that_is_lost_is_lost_for_everybody_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let (writer, reader) = start(&directory, "");
        let outcomes = grouped::<()>(
            &writer,
            vec![fsync(|c| insert(c, 1, 1)), fsync(|c| Ok(c.execute_batch("ROLLBACK")?)), fsync(|c| insert(c, 3, 1))],
        )
        .await;
        assert!(outcomes.iter().all(|o| matches!(o, Err(Error::Unavailable(_)))), "{outcomes:?}");
        assert_eq!(rows(&reader), [0; 0]);
        writer.run(Durability::Fsync, |c| insert(c, 4, 1)).await.unwrap();
        assert_eq!(rows(&reader), [4], "and the writer goes on");
    }

    /// A deferred constraint fails at COMMIT and not before.
    #[tokio::test]
    async fn a_commit_that_fails_fails_everybody() {
        let directory = tempfile::tempdir().unwrap();
        let deferred = "PRAGMA foreign_keys = ON; CREATE TABLE u (x REFERENCES t (x) DEFERRABLE INITIALLY DEFERRED);";
        let (writer, reader) = start(&directory, deferred);
        let outcomes = grouped::<()>(
            &writer,
            vec![
                fsync(|c| insert(c, 1, 1)),
                fsync(|c| c.execute("INSERT INTO u VALUES (99)", []).map(drop).map_err(Error::from)),
                fsync(|_| Err(Error::Conflict)),
            ],
        )
        .await;
        assert!(outcomes.iter().all(|o| matches!(o, Err(Error::Failed(_)))), "{outcomes:?}");
        assert_eq!(rows(&reader), [0; 0]);
        writer.run(Durability::Fsync, |c| insert(c, 4, 1)).await.unwrap();
        assert_eq!(rows(&reader), [4], "and the writer goes on");
    }

    #[tokio::test]
    async fn no_space_is_told_and_what_was_answered_well_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let (writer, reader) = start(&directory, "PRAGMA max_page_count = 16;");
        let outcomes = grouped::<()>(
            &writer,
            vec![fsync(|c| insert(c, 1, 1)), fsync(|c| insert(c, 2, 1_000_000)), fsync(|c| insert(c, 3, 1))],
        )
        .await;
        assert!(matches!(outcomes[1], Err(Error::NoSpace)), "{outcomes:?}");
        assert!(outcomes.iter().all(|o| matches!(o, Ok(()) | Err(Error::NoSpace))), "{outcomes:?}");
        let answered: Vec<_> =
            [1, 2, 3].into_iter().zip(&outcomes).filter(|(_, o)| o.is_ok()).map(|(x, _)| x).collect();
        assert_eq!(rows(&reader), answered);
        writer.run(Durability::Fsync, |c| insert(c, 4, 1)).await.expect("the space was given back");
    }

    #[tokio::test]
    async fn a_group_gets_the_most_that_one_of_its_jobs_needs() {
        let directory = tempfile::tempdir().unwrap();
        let (writer, _reader) = start(&directory, "");
        let synchronous = |c: &Connection| Ok(c.query_row("PRAGMA synchronous", [], |row| row.get::<_, i64>(0))?);
        assert_eq!(writer.run(Durability::Os, synchronous).await.unwrap(), 1);
        assert_eq!(writer.run(Durability::Fsync, synchronous).await.unwrap(), 2);
        assert_eq!(writer.run(Durability::Os, synchronous).await.unwrap(), 1);
        let mixed = vec![(Durability::Os, fsync(synchronous).1), fsync(synchronous)];
        let outcomes = grouped(&writer, mixed).await;
        assert!(matches!(outcomes[..], [Ok(2), Ok(2)]), "{outcomes:?}");
    }
}
