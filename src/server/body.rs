//! Bodies that are counted as they pass, and the end of an exchange, which is the end of its answer's body.
//!
//! **Invariant:** the log line and the metrics of an exchange are written once, when the answer's body is dropped: sent
//! to its end, cut by the client, or never begun.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::response::Parts;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;

use crate::front::facts::RequestFacts;
use crate::metrics::{Held, Metrics, Served};
use crate::server::log::REQUEST;

/// What a body of an answer can end with.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The body of a request, counted.
#[derive(Debug)]
pub struct CountedBody<B> {
    inner: B,
    bytes: Arc<AtomicU64>,
}

impl<B> CountedBody<B> {
    pub(super) fn new(inner: B, bytes: Arc<AtomicU64>) -> Self {
        Self { inner, bytes }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for CountedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.bytes.fetch_add(data_bytes(frame), Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn data_bytes(frame: &Frame<Bytes>) -> u64 {
    frame.data_ref().map_or(0, |data| data.len() as u64)
}

/// What is known of an exchange when its answer begins.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) front: &'static str,
    pub(super) method: http::Method,
    pub(super) facts: RequestFacts,
    pub(super) metrics: Arc<Metrics>,
    pub(super) began: Instant,
    pub(super) bytes_in: Arc<AtomicU64>,
    pub(super) _held: Held,
}

/// The body of an answer, counted; at its end the exchange is logged.
pub struct AnswerBody {
    inner: UnsyncBoxBody<Bytes, BoxError>,
    record: Record,
    status: u16,
    bytes_out: u64,
    /// What the head promised; a body of a known length is not always asked for its end.
    length: Option<u64>,
    /// Whether the body came to its end, or has none.
    whole: bool,
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerBody").field("record", &self.record).finish_non_exhaustive()
    }
}

impl AnswerBody {
    pub(super) fn new(inner: UnsyncBoxBody<Bytes, BoxError>, record: Record, head: &Parts) -> Self {
        let status = head.status.as_u16();
        let length = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let whole = inner.is_end_stream() || record.method == http::Method::HEAD || status == 304;
        Self { inner, record, status, bytes_out: 0, length, whole }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.bytes_out += data_bytes(frame);
                self.whole = self.inner.is_end_stream();
            }
            Poll::Ready(None) => self.whole = true,
            Poll::Ready(Some(Err(error))) => {
                tracing::warn!(target: REQUEST, id = self.record.facts.id().as_str(), %error, "answer cut");
            }
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        let Record { front, method, facts, metrics, began, bytes_in, .. } = &self.record;
        let served = Served {
            front,
            operation: facts.operation().unwrap_or("Unknown"),
            status: self.status,
            bytes_in: bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out,
            took: began.elapsed(),
        };
        metrics.served(served);
        // Names are quoted, so that a hostile one cannot write a second line. The query is left out: it may hold a
        // signature.
        tracing::info!(
            target: REQUEST,
            id = facts.id().as_str(),
            front,
            method = method.as_str(),
            operation = served.operation,
            caller = facts.caller().unwrap_or("-"),
            bucket = facts.bucket().unwrap_or("-"),
            key = facts.key().unwrap_or("-"),
            status = served.status,
            bytes_in = served.bytes_in,
            bytes_out = served.bytes_out,
            ms = u64::try_from(served.took.as_millis()).unwrap_or(u64::MAX),
            cut = !self.whole && self.length != Some(self.bytes_out),
        );
    }
}
