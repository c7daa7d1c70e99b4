//! The body of a request that was answered before it was read.
//!
//! A connection that is closed over unread bytes is reset, and a client that still writes may then never see the answer
//! that tells it why. So what is left of a body is read for a while and thrown away.
//!
//! **Invariant:** what is thrown away is bounded in bytes and in time, and a client that waits for "100 Continue" is not
//! told to send it. Whoever answers such a client can see whether it was.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::config::limits::{LINGER_BYTES_MAX, LINGER_SECONDS_MAX};

/// A body whose rest is read when it is dropped.
#[derive(Debug)]
pub struct Lingering {
    /// Taken when it is dropped.
    body: Option<Incoming>,
    /// Whether reading it is what makes the client send it.
    awaited: Awaited,
}

/// Whether a client still waits to be asked for the body of its request.
#[derive(Debug, Clone)]
pub(super) struct Awaited(Arc<AtomicBool>);

impl Awaited {
    /// As the request says.
    pub(super) fn new(awaited: bool) -> Self {
        Self(Arc::new(AtomicBool::new(awaited)))
    }

    /// Whether it waits.
    pub(super) fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Lingering {
    /// A body that its client sends at once, or, if it is `awaited`, when it is asked for it.
    pub(super) fn new(body: Incoming, awaited: Awaited) -> Self {
        Self { body: Some(body), awaited }
    }
}

impl Body for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        // Nobody is told to send nothing.
        if !self.is_end_stream() {
            self.awaited.0.store(false, Ordering::Relaxed);
        }
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let rest = self.body.take().filter(|body| !self.awaited.is_so() && !body.is_end_stream());
        if let (Some(rest), Ok(runtime)) = (rest, Handle::try_current()) {
            runtime.spawn(timeout(Duration::from_secs(LINGER_SECONDS_MAX), throw_away(rest)));
        }
    }
}

async fn throw_away(mut body: Incoming) {
    let mut left = LINGER_BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
