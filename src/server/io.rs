//! The socket under a connection, watched for clients that stop: before the first bytes, or with a closed window.
//!
//! The HTTP library times the head of a request, but not the bytes by which HTTP/2 is told from HTTP/1, and not writes.
//!
//! **Invariant:** a connection that has not sent [`OPENING_BYTES`] in the time for a head, or takes nothing of an
//! answer for the time of a stall, ends with [`std::io::ErrorKind::TimedOut`].

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::config::limits::{HEADER_READ_SECONDS_MAX, OPENING_BYTES, WRITE_STALL_SECONDS_MAX};

/// A socket with its two watches.
#[derive(Debug)]
pub struct Watched<S> {
    socket: S,
    /// Until enough has been read.
    opening: Option<Pin<Box<Sleep>>>,
    read_bytes: usize,
    /// While a write is held up; kept for the next time.
    stall: Pin<Box<Sleep>>,
    stalled: bool,
}

impl<S> Watched<S> {
    /// Watches a socket from now on.
    pub fn new(socket: S) -> Self {
        Self {
            socket,
            opening: Some(Box::pin(sleep(Duration::from_secs(HEADER_READ_SECONDS_MAX)))),
            read_bytes: 0,
            stall: Box::pin(sleep(Duration::ZERO)),
            stalled: false,
        }
    }

    /// Passes on how a write went, unless it has been held up for too long.
    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = false;
            return written;
        }
        if !self.stalled {
            self.stalled = true;
            self.stall.as_mut().reset(Instant::now() + Duration::from_secs(WRITE_STALL_SECONDS_MAX));
        }
        ready!(self.stall.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buf);
        if let Some(opening) = &mut self.opening {
            if read.is_ready() {
                self.read_bytes += buf.filled().len() - before;
                if self.read_bytes >= OPENING_BYTES {
                    self.opening = None;
                }
            } else if opening.as_mut().poll(cx).is_ready() {
                let why = "the client sends nothing";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_given_up() {
        let (mut client, server) = duplex(64);
        client.write_all(b"PRI * HT").await.expect("written");
        let mut bytes = [0; 64];
        let mut server = Watched::new(server);
        assert_eq!(server.read(&mut bytes).await.expect("read"), 8);
        let error = server.read(&mut bytes).await.expect_err("nothing more comes");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (client, server) = duplex(64);
        let mut server = Watched::new(server);
        let error = server.write_all(&[0; 100]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(client);
    }
}
