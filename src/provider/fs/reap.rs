//! Removes the files that were displaced, behind the answers.
//!
//! A file system that gives freed blocks back to its device at once (`discard`) takes a millisecond and more for the last
//! name of a file, while everything that a caller waits for is done. What comes here bears a fresh name in the directory
//! of a managed place, so nobody else can mean it, and `gc` finds it if the process ends first.
//!
//! **Invariant:** the queue is bounded: whoever finds it full removes its file itself. [`Reaper::drain`] returns when
//! everything that was handed over before it is gone.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use super::spot::Spot;
use crate::provider::Result;

/// Files that wait at most. Each holds a directory open.
const QUEUE_MAX: usize = 128;

/// How many files were handed over, and how many of them are done with.
#[derive(Debug, Default)]
struct Count {
    given: u64,
    done: u64,
}

/// The thread's end of the queue and ours.
#[derive(Debug)]
pub(super) struct Reaper {
    queue: Option<SyncSender<Spot>>,
    count: Arc<(Mutex<Count>, Condvar)>,
}

impl Reaper {
    /// Starts the thread; it ends with the last user of the reaper. Without a thread callers do the work.
    pub(super) fn start() -> Self {
        let count = Arc::<(Mutex<Count>, Condvar)>::default();
        let (queue, files) = sync_channel(QUEUE_MAX);
        let theirs = count.clone();
        let started = thread::Builder::new().name("fs-reaper".into()).spawn(move || reap(&files, &theirs));
        if let Err(error) = &started {
            tracing::warn!(%error, "displaced files are removed before the answers");
        }
        Self { queue: started.is_ok().then_some(queue), count }
    }

    /// Removes the name at `spot`, now or a little later.
    pub(super) fn unlink(&self, spot: Spot) -> Result<()> {
        let Some(queue) = &self.queue else { return spot.unlink() };
        // Counted first: whoever drains waits for it from now on.
        self.count.0.lock().unwrap_or_else(PoisonError::into_inner).given += 1;
        match queue.try_send(spot) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(spot) | TrySendError::Disconnected(spot)) => {
                let removed = spot.unlink();
                finished(&self.count);
                removed
            }
        }
    }

    /// Waits until everything that was handed over by now is done with.
    pub(super) fn drain(&self) {
        let (count, moved) = &*self.count;
        let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
        let until = count.given;
        while count.done < until {
            count = moved.wait(count).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn finished(count: &(Mutex<Count>, Condvar)) {
    count.0.lock().unwrap_or_else(PoisonError::into_inner).done += 1;
    count.1.notify_all();
}

fn reap(files: &Receiver<Spot>, count: &(Mutex<Count>, Condvar)) {
    while let Ok(spot) = files.recv() {
        if let Err(error) = spot.unlink() {
            tracing::warn!(%error, name = %spot.name, "a displaced file is left for gc");
        }
        finished(count);
    }
}
