//! Accepts connections, serves them, and stops: nothing more is accepted, what is under way ends, what does not is cut.
//!
//! **Invariant:** at most `connections_max` connections are open; each is a task of this listener's own set, so that
//! [`Listener::serve`] knows when the last one has ended.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::limits::{
    ACCEPT_RETRY_MILLIS, FIELDS_BYTES_MAX, HEADER_BYTES_MAX, HEADER_READ_SECONDS_MAX, HTTP2_CONNECTION_WINDOW_BYTES,
    HTTP2_FRAME_BYTES_MAX, HTTP2_PING_SECONDS, HTTP2_PONG_SECONDS_MAX, HTTP2_STREAM_WINDOW_BYTES, HTTP2_STREAMS_MAX,
};
use crate::model::task::TaskError;
use crate::server::exchange::{Exchange, Front};
use crate::server::io::Watched;

/// A bound socket, not yet served.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    connections_max: usize,
    drain: Duration,
}

impl Listener {
    /// Binds an address; port 0 takes a free one.
    ///
    /// # Errors
    /// The address is taken or is none of this machine's.
    pub async fn bind(address: SocketAddr, connections_max: usize, drain: Duration) -> io::Result<Self> {
        Ok(Self { socket: TcpListener::bind(address).await?, connections_max, drain })
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// Failures of the operating system.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `stop`, then until the last request ended or the time to drain is over.
    pub async fn serve<F: Front>(self, exchange: Exchange<F>, stop: CancellationToken) {
        let exchange = Arc::new(exchange);
        let permits = Arc::new(Semaphore::new(self.connections_max));
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = connections.join_next() => {
                    report(exchange.name(), ended);
                    continue;
                }
                accepted = accept(&self.socket, &permits) => accepted,
            };
            match accepted {
                Ok((socket, peer, permit)) => {
                    let connection = connection(socket, peer, Arc::clone(&exchange), graceful.watcher(), stop.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(front = exchange.name(), %error, "cannot accept");
                    sleep(Duration::from_millis(ACCEPT_RETRY_MILLIS)).await;
                }
            }
        }
        // Closed before the drain: a client that connects now is told at once.
        drop(self.socket);
        if timeout(self.drain, graceful.shutdown()).await.is_err() {
            tracing::warn!(front = exchange.name(), "cutting requests that did not end in time");
        }
        connections.shutdown().await;
    }
}

async fn accept(
    socket: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?;
    let (socket, peer) = socket.accept().await?;
    Ok((socket, peer, permit))
}

fn report(front: &'static str, ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended.map_err(TaskError::from) {
        tracing::error!(front, %error, "a connection ended in a panic");
    }
}

async fn connection<F: Front>(
    socket: TcpStream,
    peer: SocketAddr,
    exchange: Arc<Exchange<F>>,
    watcher: Watcher,
    stop: CancellationToken,
) {
    let _held = exchange.metrics().connection_opens(exchange.name());
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "cannot turn off the delay of small writes");
    }
    // A connection that has said nothing has no request to end: at a stop it is closed, not waited for.
    let opening = timeout(Duration::from_secs(HEADER_READ_SECONDS_MAX), socket.readable());
    tokio::select! {
        () = stop.cancelled() => return,
        opened = opening => match opened {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        },
    }
    let service = service_fn(|request| {
        let exchange = Arc::clone(&exchange);
        async move { Ok::<_, std::convert::Infallible>(exchange.run(peer, request).await) }
    });
    let builder = builder();
    let connection = builder.serve_connection(TokioIo::new(Watched::new(socket)), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(front = exchange.name(), %peer, error, "connection ended");
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(HEADER_READ_SECONDS_MAX))
        .max_buf_size(HEADER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
        .max_frame_size(HTTP2_FRAME_BYTES_MAX)
        .max_header_list_size(u32::try_from(FIELDS_BYTES_MAX + HEADER_BYTES_MAX).unwrap_or(u32::MAX))
        .keep_alive_interval(Duration::from_secs(HTTP2_PING_SECONDS))
        .keep_alive_timeout(Duration::from_secs(HTTP2_PONG_SECONDS_MAX));
    builder
}
