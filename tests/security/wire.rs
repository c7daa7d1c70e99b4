//! Requests written byte by byte: what no HTTP library would send, or keep in step with.
//!
//! **Invariant:** nothing waits for ever; a server that neither answers nor closes fails the test.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::Signed;

/// Seconds after which a server is stuck.
const SECONDS_MAX: u64 = 30;

/// What came back, as it stood on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// Reads an answer. One that never began has status 0.
    fn of(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, head, body: bytes[end..].to_vec() }
    }

    /// The code of an error in XML.
    pub(super) fn code(&self) -> String {
        let text = String::from_utf8_lossy(&self.body).into_owned();
        let rest = text.split_once("<Code>").map(|(_, rest)| rest).unwrap_or_default();
        rest.split_once("</Code>").map(|(code, _)| code.to_owned()).unwrap_or_default()
    }
}

/// The head of a signed request that is the last one of its connection.
pub(crate) fn last_head(signed: &Signed) -> String {
    signed.head().replacen("\r\n", "\r\nconnection: close\r\n", 1)
}

/// Sends bytes and reads until the server closes.
///
/// The sending side stays open: a server may take its end for that of the client.
pub(super) async fn exchange(address: SocketAddr, bytes: &[u8]) -> Reply {
    let mut socket = TcpStream::connect(address).await.expect("a connection");
    let (mut reader, mut writer) = socket.split();
    let mut answer = Vec::new();
    // A server that refuses early does not read the rest; then writing fails, and what it said counts.
    let both = async {
        let (_, _) = tokio::join!(writer.write_all(bytes), reader.read_to_end(&mut answer));
    };
    timeout(Duration::from_secs(SECONDS_MAX), both).await.expect("the server neither answers nor closes");
    Reply::of(&answer)
}

/// Sends a signed request as the last one of its connection.
pub(super) async fn send(address: SocketAddr, signed: &Signed) -> Reply {
    exchange(address, &[last_head(signed).as_bytes(), &signed.body].concat()).await
}
