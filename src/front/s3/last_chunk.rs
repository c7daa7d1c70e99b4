//! Signed chunks end with an empty one. s3s takes a body that has all its bytes and no last chunk for whole; here it is
//! cut, which is what its client would be told by Amazon.
//!
//! **Invariant:** only the end of the body is remembered, and a body that is passed on ends as its signature says.

use bytes::Bytes;
use futures_util::stream;
use http::HeaderMap;
use http_body_util::{BodyExt as _, StreamBody};

/// The payload kind whose chunks are signed and that has no trailer.
const SIGNED_CHUNKS: &[u8] = b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
/// What the last chunk begins with.
const LAST: &[u8] = b"0;chunk-signature=";
/// Bytes of the last chunk: its head, 64 digits, two line ends.
const LAST_BYTES: usize = LAST.len() + 64 + 4;

/// The last chunk did not come.
#[derive(Debug, thiserror::Error)]
#[error("the last chunk did not come")]
pub(super) struct Missing;

/// The body of a request with signed chunks, which fails at its end if it has no last chunk.
pub(super) fn required(headers: &HeaderMap, body: s3s::Body) -> s3s::Body {
    if headers.get("x-amz-content-sha256").is_none_or(|kind| kind.as_bytes() != SIGNED_CHUNKS) {
        return body;
    }
    let frames = stream::unfold(Some((body, Vec::new())), |state| async move {
        let (mut body, mut tail) = state?;
        match body.frame().await {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    remember(&mut tail, data);
                }
                Some((Ok(frame), Some((body, tail))))
            }
            Some(Err(error)) => Some((Err(error), None)),
            None if is_last(&tail) => None,
            None => Some((Err(Missing.into()), None)),
        }
    });
    s3s::Body::http_body_unsync(StreamBody::new(Box::pin(frames)))
}

fn remember(tail: &mut Vec<u8>, data: &Bytes) {
    let end = &data[data.len().saturating_sub(LAST_BYTES)..];
    tail.extend_from_slice(end);
    tail.drain(..tail.len().saturating_sub(LAST_BYTES));
}

fn is_last(tail: &[u8]) -> bool {
    let Some(digits) = tail.strip_prefix(LAST).and_then(|rest| rest.strip_suffix(b"\r\n\r\n")) else { return false };
    digits.len() == 64 && digits.iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_known_however_it_is_cut_into_frames() {
        let whole = format!("5;chunk-signature={0}\r\nhello\r\n0;chunk-signature={0}\r\n\r\n", "a".repeat(64));
        for frame in [1, 7, 86, 1000] {
            let mut tail = Vec::new();
            for data in whole.as_bytes().chunks(frame) {
                remember(&mut tail, &Bytes::copy_from_slice(data));
            }
            assert!(is_last(&tail), "{frame}");
        }
        for cut in [2, 4, 80, 90] {
            let mut tail = Vec::new();
            remember(&mut tail, &Bytes::copy_from_slice(&whole.as_bytes()[..whole.len() - cut]));
            assert!(!is_last(&tail), "{cut}");
        }
    }
}
