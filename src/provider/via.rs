//! By which servers the request under way has come: a front takes it from the request, and a storage that is another
//! server is told it with every request that is made for this one.
//!
//! **Invariant:** a ring of servers ends, whoever notices it: each adds itself to what it was told, so that the first one
//! that is met again sees itself, and a list that grew too long is told no further.

use std::future::Future;
use std::sync::Arc;

tokio::task_local! {
    static CAME_BY: Arc<str>;
}

/// Does some work for a request that came by these servers, as its `Via` headers say.
pub async fn coming_by<T>(servers: Arc<str>, work: impl Future<Output = T>) -> T {
    CAME_BY.scope(servers, work).await
}

/// The servers by which the request has come for which this is done; empty: by none, as far as is known.
#[must_use]
pub fn came_by() -> Arc<str> {
    CAME_BY.try_with(Arc::clone).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_done_for_a_request_knows_how_it_came() {
        assert_eq!(&*came_by(), "");
        let known = coming_by("1.1 a, 1.1 b".into(), async { came_by() }).await;
        assert_eq!(&*known, "1.1 a, 1.1 b");
    }
}
