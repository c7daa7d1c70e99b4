//! One keep-alive connection to one endpoint.
//!
//! Each worker of a load owns one of these, so that concurrency is exactly the number of connections. Bodies go out as
//! clones of one shared block and come in frame by frame: **Invariant:** a worker holds one block and one frame,
//! whatever the size of the object.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::sign::{Signer, encode_path};

/// The largest XML answer that is read into memory: a page of 1,000 keys is below 1 MiB.
const XML_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The content type of what is uploaded.
pub(crate) const OCTETS: &str = "application/octet-stream";

/// Why a request did not do what it should.
#[derive(Debug)]
pub(crate) struct Failed(pub(crate) String);

impl fmt::Display for Failed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl From<hyper::Error> for Failed {
    fn from(error: hyper::Error) -> Self {
        Self(format!("connection: {error}"))
    }
}

/// What an endpoint is spoken to.
#[derive(Clone)]
pub(crate) enum Speaks {
    /// S3, signed.
    S3(Signer),
    /// The Storage API of Supabase, below a path, with a token.
    Storage { base: String, token: String },
    /// Plain HTTP, without a signature.
    Plain,
}

/// Where requests go and how.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) name: String,
    pub(crate) authority: String,
    pub(crate) speaks: Speaks,
}

impl Endpoint {
    /// The encoded path that an object is read at.
    pub(crate) fn read_path(&self, bucket: &str, key: &str) -> String {
        match &self.speaks {
            Speaks::Storage { base, .. } => format!("{base}/object/authenticated/{bucket}/{}", encode_path(key)),
            Speaks::S3(_) | Speaks::Plain => format!("/{bucket}/{}", encode_path(key)),
        }
    }

    /// The method and the encoded path that an object is written with.
    pub(crate) fn write_path(&self, bucket: &str, key: &str) -> (&'static str, String) {
        match &self.speaks {
            Speaks::Storage { base, .. } => ("POST", format!("{base}/object/{bucket}/{}", encode_path(key))),
            Speaks::S3(_) | Speaks::Plain => ("PUT", format!("/{bucket}/{}", encode_path(key))),
        }
    }
}

/// A body of a given length: one block again and again, the last time cut.
pub(crate) struct Repeated {
    block: Bytes,
    left: u64,
}

impl Repeated {
    pub(crate) fn new(block: &Bytes, length: u64) -> Self {
        Self { block: block.clone(), left: length }
    }
}

impl Body for Repeated {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.block.len());
        self.left -= take as u64;
        Poll::Ready(Some(Ok(Frame::data(self.block.slice(..take)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// What a request is about; the path and the query are encoded already.
pub(crate) struct Call<'a> {
    pub(crate) method: &'static str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) payload: &'a str,
    pub(crate) content_type: &'static str,
    pub(crate) block: &'a Bytes,
    pub(crate) length: u64,
}

impl<'a> Call<'a> {
    /// A request without a body.
    pub(crate) fn bare(method: &'static str, path: &'a str, query: &'a str, payload: &'a str) -> Self {
        static NOTHING: Bytes = Bytes::new();
        Self { method, path, query, payload, content_type: OCTETS, block: &NOTHING, length: 0 }
    }
}

/// The connection; it is made again by the next call after a failure.
pub(crate) struct Client {
    endpoint: Endpoint,
    sender: Option<SendRequest<Repeated>>,
}

impl Client {
    pub(crate) fn new(endpoint: &Endpoint) -> Self {
        Self { endpoint: endpoint.clone(), sender: None }
    }

    /// The connection, or a new one where the server has closed it since the last answer, as it may.
    async fn connected(&mut self) -> Result<SendRequest<Repeated>, Failed> {
        if let Some(mut sender) = self.sender.take()
            && sender.ready().await.is_ok()
        {
            return Ok(sender);
        }
        let refused = |error: std::io::Error| Failed(format!("connect to {}: {error}", self.endpoint.authority));
        let stream = TcpStream::connect(&self.endpoint.authority).await.map_err(refused)?;
        stream.set_nodelay(true).map_err(refused)?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with the sender; what it has to say about errors, the sender says too.
        tokio::spawn(connection);
        sender.ready().await?;
        Ok(sender)
    }

    async fn send(&mut self, call: &Call<'_>) -> Result<Response<Incoming>, Failed> {
        let target = if call.query.is_empty() { call.path.into() } else { format!("{}?{}", call.path, call.query) };
        let host = self.endpoint.authority.clone();
        let mut request = Request::builder().method(call.method).uri(target).header("host", &host);
        if matches!(call.method, "PUT" | "POST") {
            // Said by ourselves, for an empty body would go without a length.
            request = request.header("content-length", call.length);
        }
        match &self.endpoint.speaks {
            Speaks::S3(signer) => {
                let signed = signer.sign(call.method, &host, call.path, call.query, call.payload);
                request = request
                    .header("authorization", signed.authorization)
                    .header("x-amz-date", signed.date)
                    .header("x-amz-content-sha256", signed.content_sha256);
            }
            Speaks::Storage { token, .. } => {
                request = request.header("authorization", format!("Bearer {token}")).header("x-upsert", "true");
                if call.method == "POST" {
                    request = request.header("content-type", call.content_type);
                }
            }
            Speaks::Plain => {}
        }
        let request = request
            .body(Repeated::new(call.block, call.length))
            .map_err(|error| Failed(format!("{} {}: {error}", call.method, call.path)))?;
        let mut sender = self.connected().await?;
        let answer = sender.send_request(request).await?;
        self.sender = Some(sender);
        Ok(answer)
    }

    /// Sends a request, drops its answer frame by frame and returns the number of bytes and the ETag.
    pub(crate) async fn drain(&mut self, call: &Call<'_>) -> Result<(u64, String), Failed> {
        let answer = self.send(call).await?;
        let status = answer.status();
        let etag = answer.headers().get("etag").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let mut body = answer.into_body();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame?.data_ref().map_or(0, Bytes::len) as u64;
        }
        if status.is_success() {
            return Ok((length, etag));
        }
        Err(Failed(format!("{} {}: status {status}", call.method, call.path)))
    }

    /// Sends a request and returns the text of its answer, also of one that says an error in XML.
    pub(crate) async fn text(&mut self, call: &Call<'_>) -> Result<String, Failed> {
        let answer = self.send(call).await?;
        let status = answer.status();
        let mut body = answer.into_body();
        let mut text = Vec::new();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                text.extend_from_slice(&data);
            }
            if text.len() > XML_BYTES_MAX {
                return Err(Failed(format!("{} {}: the answer is larger than any page", call.method, call.path)));
            }
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        if status.is_success() && !text.contains("<Error>") {
            return Ok(text);
        }
        let start: String = text.chars().take(300).collect();
        Err(Failed(format!("{} {}: status {status}: {start}", call.method, call.path)))
    }
}

/// The text of the first element of this name, as it stands.
pub(crate) fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let start = xml.find(&format!("<{name}>"))? + name.len() + 2;
    let end = start + xml[start..].find("</")?;
    Some(&xml[start..end])
}
