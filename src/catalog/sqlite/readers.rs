//! A bounded pool of connections that only read.
//!
//! There are two pools. Point lookups touch a few pages of B-trees that are almost always in memory: they run on the
//! task that asks, which was measured to be cheaper than handing them to another thread and waiting for it. Whatever
//! may read many rows (listings, parts, usage) runs on the blocking threads with connections of its own, so that no
//! number of slow listings delays a lookup.
//!
//! **Invariant:** no connection is held over an await, and none is left open once the pool was closed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::failure::Fault;
use super::file;
use crate::catalog::{Error, Result};
use crate::model::task::TaskError;

/// The pool.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    size: u32,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

/// A connection on loan; it goes back when this is dropped.
struct Loan {
    connection: Option<Connection>,
    readers: Arc<Readers>,
    _permit: OwnedSemaphorePermit,
}

impl Loan {
    fn run<T>(mut self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => file::connect_reader(&self.readers.path)?,
        };
        work(self.connection.insert(connection))
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        // A panic may have left a statement half-way: such a connection is closed, not lent again.
        if let Some(connection) = self.connection.take().filter(|_| !std::thread::panicking()) {
            self.readers.idle().push(connection);
        }
    }
}

impl Readers {
    /// A pool of at most `size` connections, which are opened when they are first needed.
    pub(super) fn new(path: PathBuf, size: u32) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(size as usize));
        Arc::new(Self { path, size, permits, idle: Mutex::default() })
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn borrow(self: &Arc<Self>) -> Result<Loan> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Fault::Closed)?;
        let connection = self.idle().pop();
        Ok(Loan { connection, readers: Arc::clone(self), _permit: permit })
    }

    /// Runs a point lookup on the task that asks.
    pub(super) async fn look<T>(self: &Arc<Self>, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.borrow().await?.run(work)
    }

    /// Runs what may read many rows on a blocking thread.
    ///
    /// On cancellation: it runs to its end unheard, and its connection counts until then.
    pub(super) async fn walk<T, F>(self: &Arc<Self>, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let loan = self.borrow().await?;
        let done = tokio::task::spawn_blocking(move || loan.run(work)).await;
        done.unwrap_or_else(|e| Err(Error::Failed(Box::new(TaskError::from(e)))))
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
