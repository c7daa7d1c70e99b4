//! A body on its way to a service: bytes in memory, whole, so that a request can be repeated.
//!
//! **Invariant:** what is counted and hashed is what is sent.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use md5::{Digest as _, Md5};
use sha2::Sha256;

use crate::model::id::hex;

/// Bytes in pieces.
#[derive(Clone, Default)]
pub struct Payload {
    pieces: Vec<Bytes>,
    len: u64,
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.len)
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        let mut payload = Self::default();
        payload.push(bytes);
        payload
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl Payload {
    /// Adds bytes at the end.
    pub fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.len += piece.len() as u64;
            self.pieces.push(piece);
        }
    }

    /// Bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Their MD5.
    #[must_use]
    pub fn md5(&self) -> [u8; 16] {
        let mut md5 = Md5::new();
        self.pieces.iter().for_each(|piece| md5.update(piece));
        md5.finalize().into()
    }

    /// Their MD5 in lower-case hex.
    #[must_use]
    pub fn md5_hex(&self) -> String {
        hex(&self.md5())
    }

    /// Their SHA-256 in lower-case hex.
    #[must_use]
    pub fn sha256_hex(&self) -> String {
        let mut sha256 = Sha256::new();
        self.pieces.iter().for_each(|piece| sha256.update(piece));
        hex(&sha256.finalize())
    }

    /// As the body of one try.
    #[must_use]
    pub fn into_body(self) -> PayloadBody {
        PayloadBody { rest: self.pieces.into(), left: self.len }
    }
}

/// The body of one try.
#[derive(Debug)]
pub struct PayloadBody {
    rest: VecDeque<Bytes>,
    left: u64,
}

impl Body for PayloadBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.rest.pop_front().map(|piece| {
            self.left -= piece.len() as u64;
            Ok(Frame::data(piece))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
