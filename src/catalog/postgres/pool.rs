//! A bounded pool of connections, and transactions on them.
//!
//! The login may do nothing by itself: each transaction enters the role it acts under with its first words, for itself
//! alone, so what forgets to is refused by the database, and nothing is left on a connection for whoever uses it next. A
//! transaction whose statements do not wait for each other's answers is sent at once, its end included: one round trip.
//!
//! **Invariant:** a connection goes back only when its transaction has ended; whoever is dropped half-way takes his
//! connection with him, the server rolls back, and his place in the pool is free when the server is done with him: it
//! never works for more than the pool is large, however many go away.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures_util::poll;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};
use tokio_util::sync::CancellationToken;

use super::connect::Address;
use super::failure::{self, Fault};
use super::lacks::Lacks;
use crate::catalog::{Error, Result};
use crate::config::limits::{CATALOG_ANSWER_SECONDS_MAX, CATALOG_MEETINGS_MAX, CATALOG_WAIT_SECONDS_MAX};

/// How a transaction begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// It reads, each statement what is committed when it begins.
    Read,
    /// It writes, durably.
    Write,
    /// It writes what a loss of the server's power may take back.
    Hint,
}

impl Begin {
    fn text(self) -> &'static str {
        match self {
            Self::Read => "BEGIN READ ONLY; SET LOCAL ROLE longshore_service",
            Self::Write => "BEGIN; SET LOCAL ROLE longshore_service; SET LOCAL storage.allow_delete_query = 'true'",
            Self::Hint => {
                "BEGIN; SET LOCAL ROLE longshore_service; SET LOCAL storage.allow_delete_query = 'true'; \
                 SET LOCAL synchronous_commit = off"
            }
        }
    }
}

/// How a transaction ends.
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";
/// Around what is prepared in a transaction.
const STEP_ASIDE: &str = "SAVEPOINT preparing; SET LOCAL ROLE longshore_service";
const STEP_BACK: &str = "ROLLBACK TO SAVEPOINT preparing; RELEASE SAVEPOINT preparing";

type Value = Box<dyn ToSql + Sync + Send>;

/// A statement with its values.
pub(super) struct Call {
    text: &'static str,
    values: Vec<Value>,
}

impl Call {
    pub(super) fn new(text: &'static str) -> Self {
        Self { text, values: Vec::new() }
    }

    /// With one more value.
    pub(super) fn with(mut self, value: impl ToSql + Sync + Send + 'static) -> Self {
        self.values.push(Box::new(value));
        self
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be secrets.
        f.write_str(self.text)
    }
}

/// A connection with what was prepared on it.
struct Connection {
    client: Client,
    prepared: HashMap<&'static str, Statement>,
    ended: CancellationToken,
}

/// The pool.
pub(super) struct Pool {
    address: Address,
    size: u32,
    lacks: Lacks,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("address", &self.address).field("size", &self.size).finish_non_exhaustive()
    }
}

/// A connection on loan, in a transaction.
pub(super) struct Transaction<'p> {
    connection: Connection,
    pool: &'p Pool,
    place: Place,
}

/// A place in the pool.
struct Place {
    permit: Option<OwnedSemaphorePermit>,
    /// Told when nothing is done any more on the connection that has the place; `None`: the connection went back.
    ended: Option<CancellationToken>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let (Some(ended), Some(permit)) = (self.ended.take(), self.permit.take()) else { return };
        // A server that is gone without a word ends no connection.
        let limit = Duration::from_secs(CATALOG_ANSWER_SECONDS_MAX);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = timeout(limit, ended.cancelled()).await;
                drop(permit);
            });
        }
    }
}

impl Pool {
    pub(super) fn new(address: Address, size: u32, lacks: Lacks) -> Self {
        Self { address, size, lacks, permits: Arc::new(Semaphore::new(size as usize)), idle: Mutex::default() }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn borrow(&self) -> Result<Transaction<'_>> {
        let permit = timeout(Duration::from_secs(CATALOG_WAIT_SECONDS_MAX), Arc::clone(&self.permits).acquire_owned());
        let permit = permit.await.map_err(|_| Fault::Busy)?.map_err(|_| Fault::Closed)?;
        // Those that ended while nobody used them (the server restarted) are passed over.
        let kept = std::iter::from_fn(|| self.idle().pop()).find(|connection| !connection.client.is_closed());
        let connection = match kept {
            Some(connection) => connection,
            None => {
                let (client, ended) = self.address.connect_told().await?;
                Connection { client, prepared: HashMap::new(), ended }
            }
        };
        let place = Place { permit: Some(permit), ended: Some(connection.ended.clone()) };
        Ok(Transaction { connection, pool: self, place })
    }

    /// Runs the statements as one transaction in one round trip, and returns what each one returned. The first that fails
    /// undoes them all.
    pub(super) async fn run(&self, begin: Begin, calls: &[Call]) -> Result<Vec<Vec<Row>>> {
        Ok(self.try_run(begin, calls).await??)
    }

    /// The same, with the database's own reason where it refuses.
    pub(super) async fn try_run(&self, begin: Begin, calls: &[Call]) -> Result<Asked<Vec<Vec<Row>>>> {
        self.whole(begin, calls, COMMIT).await
    }

    /// Runs the statements in one round trip to hear what they come to, and leaves nothing of it.
    pub(super) async fn try_out(&self, begin: Begin, calls: &[Call]) -> Result<Asked<Vec<Vec<Row>>>> {
        self.whole(begin, calls, ROLLBACK).await
    }

    async fn whole(&self, begin: Begin, calls: &[Call], end: &'static str) -> Result<Asked<Vec<Vec<Row>>>> {
        for meeting in 1.. {
            let mut transaction = self.borrow().await?;
            match limited(transaction.at_once(Some(begin), calls, Some(end))).await? {
                Ok(rows) => {
                    transaction.give_back();
                    return Ok(Ok(rows));
                }
                Err(error) => {
                    let survived = failure::leaves_the_connection(&error);
                    // The transaction was rolled back already, and its end was sent too.
                    if survived {
                        transaction.give_back();
                    }
                    // A question can be asked again where the one who was asked went away.
                    let again = failure::met(&error) || (begin == Begin::Read && !survived);
                    if !again || meeting >= CATALOG_MEETINGS_MAX {
                        return Ok(Err(error));
                    }
                }
            }
        }
        Err(Fault::Busy.into())
    }

    /// Begins a transaction with these statements; more can follow.
    pub(super) async fn begin(&self, begin: Begin, calls: &[Call]) -> Result<(Transaction<'_>, Vec<Vec<Row>>)> {
        Ok(self.try_begin(begin, calls).await??)
    }

    /// The same, with the database's own reason where it refuses.
    pub(super) async fn try_begin(
        &self,
        begin: Begin,
        calls: &[Call],
    ) -> Result<Asked<(Transaction<'_>, Vec<Vec<Row>>)>> {
        self.borrow().await?.go_on(Some(begin), calls).await
    }

    /// Waits until every connection is back and closes them all.
    pub(super) async fn close(&self) {
        if let Ok(all) = self.permits.acquire_many(self.size).await {
            self.permits.close();
            all.forget();
        }
        self.idle().clear();
    }
}

/// Ends the wait for a server that is gone without a word. Its own limit for a statement is shorter.
async fn limited<T>(work: impl Future<Output = T>) -> Result<T> {
    timeout(Duration::from_secs(CATALOG_ANSWER_SECONDS_MAX), work).await.map_err(|_| Error::from(Fault::Silent))
}

impl Transaction<'_> {
    /// Runs these statements and ends the transaction, in one round trip.
    pub(super) async fn finish(self, calls: &[Call]) -> Result<Vec<Vec<Row>>> {
        Ok(self.try_finish(calls).await??)
    }

    /// The same, with the database's own reason where it refuses.
    pub(super) async fn try_finish(mut self, calls: &[Call]) -> Result<Asked<Vec<Vec<Row>>>> {
        let asked = limited(self.at_once(None, calls, Some(COMMIT))).await?;
        if asked.as_ref().err().is_none_or(failure::leaves_the_connection) {
            self.give_back();
        }
        Ok(asked)
    }

    /// Runs these statements in one round trip; the transaction goes on unless one is refused.
    pub(super) async fn try_go_on(self, calls: &[Call]) -> Result<Asked<(Self, Vec<Vec<Row>>)>> {
        self.go_on(None, calls).await
    }

    async fn go_on(mut self, begin: Option<Begin>, calls: &[Call]) -> Result<Asked<(Self, Vec<Vec<Row>>)>> {
        match limited(self.at_once(begin, calls, None)).await? {
            Ok(rows) => Ok(Ok((self, rows))),
            Err(error) => {
                if failure::leaves_the_connection(&error) {
                    self.undo().await?;
                }
                Ok(Err(error))
            }
        }
    }

    /// Ends the transaction as if it had never been.
    pub(super) async fn undo(self) -> Result<()> {
        limited(self.connection.client.batch_execute(ROLLBACK)).await??;
        self.give_back();
        Ok(())
    }

    fn give_back(mut self) {
        if !self.connection.client.is_closed() {
            self.place.ended = None;
            self.pool.idle().push(self.connection);
        }
    }

    /// Sends everything before it waits for anything.
    async fn at_once(
        &mut self,
        begin: Option<Begin>,
        calls: &[Call],
        end: Option<&'static str>,
    ) -> Asked<Vec<Vec<Row>>> {
        let Connection { client, prepared, .. } = &mut self.connection;
        prepare(client, prepared, self.pool.lacks, calls, begin.is_some()).await?;
        let (client, prepared) = (&*client, &*prepared);
        let word = |text: &'static str| -> Sent<'_, Vec<Row>> {
            Box::pin(async move { client.batch_execute(text).await.map(|()| Vec::new()) })
        };
        let mut all: Vec<Sent<'_, Vec<Row>>> = Vec::with_capacity(calls.len() + 2);
        all.extend(begin.map(|begin| word(begin.text())));
        for call in calls {
            all.push(Box::pin(async move {
                let values: Vec<&(dyn ToSql + Sync)> = call.values.iter().map(|value| &**value as _).collect();
                client.query(&prepared[call.text], &values).await
            }));
        }
        all.extend(end.map(word));
        let mut rows = in_order(all).await?;
        rows.truncate(rows.len() - usize::from(end.is_some()));
        rows.drain(..usize::from(begin.is_some()));
        Ok(rows)
    }
}

type Asked<T> = std::result::Result<T, tokio_postgres::Error>;
type Sent<'a, T> = Pin<Box<dyn Future<Output = Asked<T>> + Send + 'a>>;

/// Sends all of these, in this order, and then hears their answers. What follows the first failure is only told that the
/// transaction is over.
async fn in_order<T>(mut all: Vec<Sent<'_, T>>) -> Asked<Vec<T>> {
    let mut answers = Vec::with_capacity(all.len());
    for sent in &mut all {
        // A statement is sent when it is first polled.
        answers.push(match poll!(sent) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        });
    }
    let mut outcome = Ok(Vec::with_capacity(all.len()));
    for (sent, answer) in all.into_iter().zip(answers) {
        let answer = match answer {
            Some(answer) => answer,
            None => sent.await,
        };
        outcome = outcome.and_then(|mut heard| {
            heard.push(answer?);
            Ok(heard)
        });
    }
    outcome
}

/// Prepares what was not yet, all at once, and in the role: the login may not even name the tables. `alone`: outside of a
/// transaction.
async fn prepare(
    client: &Client,
    prepared: &mut HashMap<&'static str, Statement>,
    lacks: Lacks,
    calls: &[Call],
    alone: bool,
) -> Asked<()> {
    let mut missing: Vec<&'static str> = Vec::new();
    for call in calls {
        if !prepared.contains_key(call.text) && !missing.contains(&call.text) {
            missing.push(call.text);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let word = |text: &'static str| -> Sent<'_, Option<Statement>> {
        Box::pin(async move { client.batch_execute(text).await.map(|()| None) })
    };
    let mut all = Vec::with_capacity(missing.len() + 2);
    // In a transaction the role may be another one just now, and is so again afterwards.
    let (first, last) = if alone { (Begin::Read.text(), "COMMIT") } else { (STEP_ASIDE, STEP_BACK) };
    all.push(word(first));
    for text in &missing {
        let text: &'static str = text;
        all.push(Box::pin(async move { client.prepare(&lacks.adapt(text)).await.map(Some) }) as Sent<'_, _>);
    }
    all.push(word(last));
    let made = in_order(all).await?;
    prepared.extend(missing.into_iter().zip(made.into_iter().flatten()));
    Ok(())
}
