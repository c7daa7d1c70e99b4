//! A connection for loads of short reads, where a client of full size would cost as much as the server that is measured.
//!
//! The requests of a pass are signed before it begins, and an answer is taken apart where it lies. **Invariant:** an answer
//! counts only with a status of success, and its body is read to the end that its length says; one without a length is an
//! error.

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Endpoint, Failed, Speaks};

/// What is read at once, and the most that the head of an answer may take.
const BUFFER_BYTES: usize = 64 * 1024;
/// The most headers of an answer.
const HEADERS_MAX: usize = 64;

/// A request as it goes over the wire, as of now. `None` where the endpoint is spoken to in another way.
pub(crate) fn request(endpoint: &Endpoint, method: &str, path: &str, payload: &str) -> Option<Bytes> {
    let host = &endpoint.authority;
    let signature = match &endpoint.speaks {
        Speaks::S3(signer) => {
            let signed = signer.sign(method, host, path, "", payload);
            format!(
                "authorization: {}\r\nx-amz-date: {}\r\nx-amz-content-sha256: {}\r\n",
                signed.authorization, signed.date, signed.content_sha256
            )
        }
        Speaks::Plain => String::new(),
        Speaks::Storage { .. } => return None,
    };
    Some(format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{signature}\r\n").into())
}

/// The connection; it is made again by the next request after a failure, or where the server has closed it.
pub(crate) struct Reader {
    authority: String,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// What the head of an answer says.
struct Head {
    bytes: usize,
    status: u16,
    length: u64,
    closes: bool,
}

impl Reader {
    pub(crate) fn new(endpoint: &Endpoint) -> Self {
        Self { authority: endpoint.authority.clone(), stream: None, buffer: vec![0; BUFFER_BYTES] }
    }

    /// Sends a request, reads its answer to the end and returns how long the body was; of HEAD, nothing is read of it.
    pub(crate) async fn read(&mut self, request: &[u8]) -> Result<u64, Failed> {
        let of_head = request.starts_with(b"HEAD ");
        let again = self.stream.is_some();
        match self.exchange(request, of_head).await {
            // A server may close a connection that waits. Its end is read before anything of an answer.
            Ok(None) if again => self.exchange(request, of_head).await?,
            done => done?,
        }
        .ok_or_else(|| Failed("the connection ended before an answer".into()))
    }

    async fn exchange(&mut self, request: &[u8], of_head: bool) -> Result<Option<u64>, Failed> {
        let failed = |error: std::io::Error| Failed(format!("connection: {error}"));
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(&self.authority).await.map_err(failed)?;
                stream.set_nodelay(true).map_err(failed)?;
                stream
            }
        };
        stream.write_all(request).await.map_err(failed)?;
        let mut filled = 0;
        let head = loop {
            let read = stream.read(&mut self.buffer[filled..]).await.map_err(failed)?;
            if read == 0 {
                return if filled == 0 {
                    Ok(None)
                } else {
                    Err(Failed("the head of an answer is cut or too large".into()))
                };
            }
            filled += read;
            if let Some(head) = parse(&self.buffer[..filled])? {
                break head;
            }
        };
        if !(200..300).contains(&head.status) {
            return Err(Failed(format!("status {}", head.status)));
        }
        let mut left = if of_head { 0 } else { head.length.saturating_sub((filled - head.bytes) as u64) };
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let read = stream.read(&mut self.buffer[..most]).await.map_err(failed)?;
            if read == 0 {
                return Err(Failed("the body of an answer is cut".into()));
            }
            left -= read as u64;
        }
        if !head.closes {
            self.stream = Some(stream);
        }
        Ok(Some(head.length))
    }
}

/// The head of an answer; `None`: it is not whole yet.
fn parse(bytes: &[u8]) -> Result<Option<Head>, Failed> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut headers);
    let parsed = answer.parse(bytes).map_err(|error| Failed(format!("answer: {error}")))?;
    let httparse::Status::Complete(size) = parsed else { return Ok(None) };
    let value = |name: &str| {
        let found = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok()
    };
    let length = value("content-length").and_then(|length| length.parse().ok());
    Ok(Some(Head {
        bytes: size,
        status: answer.code.unwrap_or_default(),
        length: length.ok_or_else(|| Failed("an answer without a length".into()))?,
        closes: value("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_taken_apart_once_it_is_whole() {
        let text = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 42\r\nConnection: close\r\n\r\nbody";
        assert!(parse(&text[..40]).is_ok_and(|head| head.is_none()));
        let head = parse(text).ok().flatten().expect("a whole head");
        assert_eq!((head.bytes, head.status, head.length, head.closes), (text.len() - 4, 206, 42, true));
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err(), "a body must say how long it is");
    }
}
