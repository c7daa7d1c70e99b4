//! Uploads: one file as the only part of a form, whole or as it comes.
//!
//! The other side writes a file in place while it arrives, keeps what came of one that was cut, and may keep it under
//! another name. So an upload counts only if the answer names it, and what did not count is removed.
//!
//! **Invariant:** a form that was not told its end ends badly; nothing is removed but the name that was written, and a name
//! that the answer itself says is what became of it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Request};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Remote;
use super::entry::{is_stored, stored_instead};
use super::routes::{strange, uploaded};
use super::wire::{Sending, whole};
use crate::config::limits::{CLOUD_MOVE_SECONDS_MAX, REMOTE_BLOCKS_WAITING_MAX};
use crate::model::id::{hex, random};
use crate::model::task::TaskError;
use crate::provider::{Error, Result};

/// What is told of a file's type: its own is the catalog's to know.
const TYPE: &str = "application/octet-stream";

/// The frame of a form around one file.
#[derive(Debug)]
struct Form {
    boundary: String,
}

impl Form {
    fn fresh() -> Self {
        let mut bytes = [0; 16];
        random(&mut bytes);
        Self { boundary: format!("longshore-{}", hex(&bytes)) }
    }

    fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    /// Before the file. Its name is one of ours, in which nothing needs to be quoted.
    fn head(&self, name: &str) -> Bytes {
        let disposition = format!("form-data; name=\"file\"; filename=\"{name}\"");
        let head = format!("--{}\r\nContent-Disposition: {disposition}\r\nContent-Type: {TYPE}\r\n\r\n", self.boundary);
        head.into()
    }

    fn tail(&self) -> Bytes {
        format!("\r\n--{}--\r\n", self.boundary).into()
    }
}

/// What goes into a form that is under way.
#[derive(Debug)]
enum Piece {
    Bytes(Bytes),
    End,
}

/// A file that is sent as it comes.
#[derive(Debug)]
pub(super) struct Flow {
    /// Gone once it is cut.
    pieces: Option<mpsc::Sender<Piece>>,
    answer: JoinHandle<Result<Value>>,
    tail: Bytes,
    patience: Duration,
}

impl Flow {
    /// Sends the next bytes.
    pub(super) async fn send(&mut self, bytes: Bytes) -> Result<()> {
        self.push(Piece::Bytes(bytes)).await
    }

    async fn push(&mut self, piece: Piece) -> Result<()> {
        let Some(pieces) = &self.pieces else { return Err(strange("an upload was cut before")) };
        match timeout(self.patience, pieces.send(piece)).await {
            Ok(Ok(())) => Ok(()),
            // The answer came before the end: it says why.
            Ok(Err(_)) => match self.told().await {
                Ok(_) => Err(strange("an upload was answered before its end")),
                Err(error) => Err(error),
            },
            Err(_) => Err(Error::Unavailable(io::Error::new(io::ErrorKind::TimedOut, "an upload stalled"))),
        }
    }

    async fn told(&mut self) -> Result<Value> {
        (&mut self.answer).await.map_err(|error| Error::Failed(io::Error::other(TaskError::from(error))))?
    }

    /// Ends it well, and gives the answer.
    async fn finish(mut self) -> Result<Value> {
        let tail = std::mem::take(&mut self.tail);
        self.push(Piece::Bytes(tail)).await?;
        self.push(Piece::End).await?;
        self.told().await
    }

    /// Ends it badly, and waits until nothing more of it arrives.
    pub(super) async fn cut(mut self) {
        self.pieces = None;
        // It ends with an error, as it was meant to.
        let _ = timeout(self.patience, &mut self.answer).await;
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.answer.abort();
    }
}

/// The body of a form, as its pieces come.
fn flowing(pieces: mpsc::Receiver<Piece>) -> Sending {
    let frames = stream::unfold(Some(pieces), |pieces| async move {
        let mut pieces = pieces?;
        match pieces.recv().await {
            Some(Piece::Bytes(bytes)) => Some((Ok(Frame::data(bytes)), Some(pieces))),
            Some(Piece::End) => None,
            None => Some((Err(io::Error::other("the body was cut")), None)),
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

/// How long the answer to so many bytes is waited for.
fn allowed(patience: Duration, bytes: u64) -> Duration {
    patience + Duration::from_secs((bytes / (1024 * 1024)).min(CLOUD_MOVE_SECONDS_MAX))
}

impl Remote {
    /// Begins a file that is sent as it comes.
    pub(super) fn flow(self: &Arc<Self>, container: &str, name: &str) -> Result<Flow> {
        let form = Form::fresh();
        let request = self.wire.uploading(container, &form.content_type())?;
        let (pieces, waiting) = mpsc::channel(REMOTE_BLOCKS_WAITING_MAX);
        // There is room for the first one.
        let _ = pieces.try_send(Piece::Bytes(form.head(name)));
        let request = request.map(|()| flowing(waiting));
        let remote = Arc::clone(self);
        // Each piece waits for itself, and the end for its answer; the whole takes as long as its client needs.
        let longest = Duration::from_secs(7 * 24 * 60 * 60);
        let answer = tokio::spawn(async move { uploaded(remote.wire.send_flowing(request, longest).await?).await });
        Ok(Flow { pieces: Some(pieces), answer, tail: form.tail(), patience: self.wire.patience() })
    }

    /// Ends a file that was sent as it came, and is of so many bytes.
    pub(super) async fn land(&self, flow: Flow, (container, name): (&str, &str), size: u64) -> Result<()> {
        let answer = timeout(allowed(self.wire.patience(), size), flow.finish()).await;
        let late = || Error::Unavailable(io::Error::new(io::ErrorKind::TimedOut, "an upload is not answered"));
        self.judge(answer.map_err(|_| late()).flatten(), (container, name), size).await
    }

    /// Sends a whole file. One that failed is removed again.
    pub(super) async fn upload(&self, container: &str, name: &str, bytes: Bytes) -> Result<()> {
        let form = Form::fresh();
        let size = bytes.len() as u64;
        let mut all = BytesMut::from(form.head(name));
        all.extend_from_slice(&bytes);
        all.extend_from_slice(&form.tail());
        let mut request: Request<()> = self.wire.uploading(container, &form.content_type())?;
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(all.len()));
        let request = request.map(|()| whole(all.freeze()));
        let answer = match self.wire.send(request, allowed(self.wire.patience(), size)).await {
            Ok(reply) => uploaded(reply).await,
            Err(error) => Err(error),
        };
        match self.judge(answer, (container, name), size).await {
            Ok(()) => Ok(()),
            Err(error) => {
                self.clear(container, name).await;
                Err(error)
            }
        }
    }

    /// What the answer to an upload comes to. A failure that says nothing more may be that there is no such container.
    async fn judge(&self, answer: Result<Value>, (container, name): (&str, &str), size: u64) -> Result<()> {
        match answer {
            Ok(answer) if is_stored(&answer, container, name, size) => Ok(()),
            Ok(answer) => {
                if let Some(other) = stored_instead(&answer, name) {
                    self.clear(container, &other).await;
                    return Err(strange("an upload was stored under another name: the other side must keep names"));
                }
                Err(strange("the answer to an upload does not say that it was stored"))
            }
            Err(error @ Error::Failed(_)) => match self.wire.container(container).await {
                Ok(None) => Err(Error::NotFound),
                Ok(Some(_)) | Err(_) => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Removes what an upload that failed may have left; what stays is found later, as nothing names it.
    pub(super) async fn clear(&self, container: &str, name: &str) {
        if let Err(error) = self.wire.remove(container, name, None).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(container, name, error, "what is left of an upload stays until it is swept");
        }
    }
}
