//! Turns: what takes much memory, or a processor, is done for few at a time.
//!
//! **Invariant:** nobody waits for his turn without an end. A turn is owned, so that it can be given to work that no
//! client cuts short: it ends with the work, and not when the one who asked for it leaves.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Waits at most so many seconds for a turn; `None` if there is none by then.
///
/// On cancellation: nobody waits any more, and no turn is taken.
pub(crate) async fn turn(turns: &Arc<Semaphore>, seconds_max: u64) -> Option<OwnedSemaphorePermit> {
    let waited = tokio::time::timeout(Duration::from_secs(seconds_max), Arc::clone(turns).acquire_owned()).await;
    waited.ok()?.ok()
}
