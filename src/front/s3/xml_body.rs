//! The body of a request that carries XML, verified while s3s reads it.
//!
//! s3s hands over the parsed document only, so the digests of its bytes are compared here. It reads such a body whole,
//! after the signature was verified, and does nothing if the body fails.
//!
//! **Invariant:** the last frame is not passed on before every digest was compared.

use std::pin::pin;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures_util::stream;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use md5::Md5;
use sha2::{Digest as _, Sha256};

use super::declared::{self, Declared};
use super::error::{Refusal, Result, body};
use super::exchange::Exchange;
use crate::config::limits::{BODY_IDLE_SECONDS_MAX, BODY_XML_BYTES_MAX};
use crate::model::checksum::{Checksum, Hasher};
use crate::model::id::unhex;
use crate::store::{BodyError, Error};

/// What the digests of a request are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The document.
    Plain,
    /// The document, which must have one: a list of deletions.
    Deletes,
    /// The object: a list of parts.
    Parts,
}

struct Digests {
    length: Option<u64>,
    seen: u64,
    md5: Option<(Md5, [u8; 16])>,
    sha256: Option<(Sha256, [u8; 32])>,
    checksum: Option<(Hasher, Checksum)>,
    /// The end of what was seen, in which a word may begin that the next frame ends.
    tail: Vec<u8>,
}

/// What no document of S3 has: a document type, which declares what a reader is to fetch and to expand, and a section of
/// characters, which s3s leaves out of the text.
const REFUSED: [&[u8; 9]; 2] = [b"<!DOCTYPE", b"<![CDATA["];

impl Digests {
    fn update(&mut self, frame: &[u8]) -> Result<()> {
        self.seen += frame.len() as u64;
        if self.seen > BODY_XML_BYTES_MAX as u64 {
            return Err(too_long());
        }
        self.tail.extend_from_slice(frame);
        let refused = |word: &[u8]| REFUSED.iter().any(|refused| word.eq_ignore_ascii_case(&refused[..]));
        if self.tail.windows(REFUSED[0].len()).any(refused) {
            return Err(Refusal::malformed_xml());
        }
        self.tail.drain(..self.tail.len().saturating_sub(REFUSED[0].len() - 1));
        if let Some((hasher, _)) = &mut self.md5 {
            hasher.update(frame);
        }
        if let Some((hasher, _)) = &mut self.sha256 {
            hasher.update(frame);
        }
        if let Some((hasher, _)) = &mut self.checksum {
            hasher.update(frame);
        }
        if self.length == Some(self.seen) { self.compare() } else { Ok(()) }
    }

    fn compare(&mut self) -> Result<()> {
        if self.length.is_some_and(|length| length != self.seen) {
            return Err(body(BodyError::Incomplete));
        }
        if let Some((hasher, wanted)) = self.sha256.take()
            && hasher.finalize()[..] != wanted
        {
            return Err(body(BodyError::SignedHash));
        }
        let md5 = self.md5.take().is_none_or(|(hasher, wanted)| hasher.finalize()[..] == wanted);
        let checksum = self.checksum.take().is_none_or(|(hasher, wanted)| wanted.raw() == Some(hasher.finish()));
        if md5 && checksum { Ok(()) } else { Err(Error::BadDigest.into()) }
    }
}

/// The body, verified; what it fails on is left in the exchange.
pub(super) fn checked(
    inner: s3s::Body,
    headers: &HeaderMap,
    kind: Kind,
    length: Option<u64>,
    exchange: Exchange,
) -> Result<s3s::Body> {
    let chunked = headers.contains_key("x-amz-decoded-content-length");
    let Declared { checksum, trailer, .. } = match kind {
        Kind::Parts => Declared::default(),
        Kind::Plain | Kind::Deletes => declared::of(headers)?,
    };
    if trailer.is_some() || (chunked && (checksum.is_some() || headers.contains_key("content-md5"))) {
        return Err(Refusal::not_implemented("A chunked XML body with a digest"));
    }
    let md5 = content_md5(headers)?;
    if kind == Kind::Deletes && md5.is_none() && checksum.is_none() {
        return Err(Refusal::request("Missing required header for this request: Content-MD5 OR x-amz-checksum-*"));
    }
    let hash = headers.get("x-amz-content-sha256").and_then(|v| unhex::<32>(v.to_str().ok()?));
    let digests = Digests {
        length,
        seen: 0,
        md5: md5.map(|wanted| (Md5::new(), wanted)),
        sha256: hash.map(|wanted| (Sha256::new(), wanted)),
        checksum: checksum.map(|wanted| (Hasher::new(wanted.algorithm), wanted)),
        tail: Vec::new(),
    };
    let frames = stream::unfold(Some((inner, digests)), move |state| {
        let exchange = exchange.clone();
        async move {
            let (mut inner, mut digests) = state?;
            match next(&mut inner, &mut digests).await {
                Ok(Some(frame)) => Some((Ok(Frame::data(frame)), Some((inner, digests)))),
                Ok(None) => None,
                Err(refusal) => Some((Err(exchange.refuse(refusal)), None)),
            }
        }
    });
    Ok(s3s::Body::http_body_unsync(StreamBody::new(Box::pin(frames))))
}

async fn next(inner: &mut s3s::Body, digests: &mut Digests) -> Result<Option<Bytes>> {
    let idle = Duration::from_secs(BODY_IDLE_SECONDS_MAX);
    loop {
        let frame = pin!(inner.frame());
        match tokio::time::timeout(idle, frame).await {
            Err(_) => return Err(body(BodyError::Timeout)),
            Ok(None) => return digests.compare().map(|()| None),
            Ok(Some(Err(_))) => return Err(body(BodyError::Gone)),
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    digests.update(&data)?;
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// 400 MaxMessageLengthExceeded for any document.
pub(super) fn too_long() -> Refusal {
    longer_than(BODY_XML_BYTES_MAX)
}

/// 400 MaxMessageLengthExceeded for a document that may have so many bytes.
pub(super) fn longer_than(bytes_max: usize) -> Refusal {
    Refusal::new(400, "MaxMessageLengthExceeded", "Your request was too big.")
        .with("MaxMessageLengthBytes", bytes_max.to_string())
}

/// The value of `Content-MD5`.
pub(super) fn content_md5(headers: &HeaderMap) -> Result<Option<[u8; 16]>> {
    let Some(value) = headers.get("content-md5") else { return Ok(None) };
    let raw = BASE64.decode(value.as_bytes()).ok().and_then(|raw| raw.try_into().ok());
    raw.map(Some).ok_or_else(|| Refusal::new(400, "InvalidDigest", "The Content-MD5 you specified was invalid."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::facts::RequestFacts;

    async fn read(text: &'static str, headers: &[(&'static str, &str)], kind: Kind) -> Option<String> {
        let headers: HeaderMap =
            headers.iter().map(|(n, v)| (n.parse().expect("a name"), v.parse().expect("a value"))).collect();
        let exchange = Exchange::new(RequestFacts::default());
        let inner = s3s::Body::from(Bytes::from_static(text.as_bytes()));
        let length = Some(text.len() as u64);
        match checked(inner, &headers, kind, length, exchange.clone()) {
            Err(refusal) => Some(refusal.code.into_owned()),
            Ok(body) => {
                let failed = body.collect().await.is_err();
                let refusal = exchange.take_refusal();
                assert_eq!(failed, refusal.is_some());
                refusal.map(|refusal| refusal.code.into_owned())
            }
        }
    }

    #[tokio::test]
    async fn every_digest_that_came_is_compared() {
        // Of "123456789".
        let (crc, md5) = ("y/Q5Jg==", "JfnnlDI7RTiF9RgfG2JNCw==");
        let sha = "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225";
        let zeros = "0".repeat(64);
        for (headers, wanted) in [
            (&[("x-amz-checksum-crc32", crc), ("content-md5", md5), ("x-amz-content-sha256", sha)][..], None),
            (&[("x-amz-checksum-crc32", "AAAAAA==")], Some("BadDigest")),
            (&[("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")], Some("BadDigest")),
            (&[("content-md5", "")], Some("InvalidDigest")),
            (&[("content-md5", md5), ("x-amz-content-sha256", &zeros)], Some("XAmzContentSHA256Mismatch")),
            (&[], Some("InvalidRequest")),
        ] {
            assert_eq!(read("123456789", headers, Kind::Deletes).await.as_deref(), wanted, "{headers:?}");
        }
        let object = &[("x-amz-checksum-crc32", "AAAAAA==")];
        assert_eq!(read("123456789", object, Kind::Parts).await, None, "that of the object is not that of the list");
    }
}
