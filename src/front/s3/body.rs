//! Bodies of objects on their way in and out.
//!
//! s3s takes framing and signatures off; what it finds wrong comes as an error of a frame and is read here by type.
//!
//! **Invariant:** nothing is polled after the first error, and a body whose client falls silent ends.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Extensions, HeaderMap};
use s3s::dto::StreamingBlob;
use s3s::stream::ByteStream as _;
use s3s::stream::aws_chunked_stream::AwsChunkedStreamError as Chunked;
use s3s::stream::upload_stream::UploadStreamError as Upload;
use s3s::{BodySizeLimitExceeded, TrailingHeaders};
use sync_wrapper::SyncStream;

use super::declared::{self, Declared};
use super::detached::Detached;
use super::error::{Refusal, Result};
use super::last_chunk::Missing;
use super::rewrite::Trailers;
use super::xml_body::content_md5;
use crate::config::limits::BODY_IDLE_SECONDS_MAX;
use crate::model::checksum::Checksum;
use crate::store::BodyError;
use crate::store::request::{Body, Frames, Incoming, Trailer};

/// The body of a PutObject or UploadPart, with what its client declared.
pub(super) fn incoming(
    blob: Option<StreamingBlob>,
    headers: &HeaderMap,
    extensions: &Extensions,
    content_length: Option<i64>,
    trailers: Option<TrailingHeaders>,
) -> Result<Incoming> {
    let (length, frames) = match extensions.get::<Detached>().and_then(Detached::frames) {
        Some(frames) => (None, frames),
        None => {
            let blob = blob.unwrap_or_else(|| StreamingBlob::from_bytes(Bytes::new()));
            let declared = content_length.and_then(|length| u64::try_from(length).ok());
            let length = blob.remaining_length().exact().map(|length| length as u64).or(declared);
            (length, frames(blob))
        }
    };
    let Declared { checksum, algorithm, trailer } = declared::of(headers)?;
    let trailers = trailers.or_else(|| extensions.get::<Trailers>().map(|Trailers(trailers)| trailers.clone()));
    let trailer: Option<Trailer> = match (trailer, trailers) {
        (None, _) => None,
        (Some(_), None) => return Err(Refusal::request("A trailer was announced for a body that cannot have one.")),
        (Some(name), Some(trailers)) => Some(Box::new(move || {
            let sent = trailers.take().ok_or(BodyError::Trailer)?;
            let value = sent.get(&name).and_then(|value| value.to_str().ok()).ok_or(BodyError::Trailer)?;
            let sum: Option<Checksum> = algorithm.and_then(|algorithm| declared::read(algorithm, value.trim()));
            sum.ok_or(BodyError::Trailer)
        })),
    };
    Ok(Incoming { length, around: None, frames, md5: content_md5(headers)?, checksum, algorithm, trailer })
}

fn frames(blob: StreamingBlob) -> Frames {
    let idle = Duration::from_secs(BODY_IDLE_SECONDS_MAX);
    Box::pin(stream::unfold(Some(blob), move |blob| async move {
        let mut blob = blob?;
        match tokio::time::timeout(idle, blob.next()).await {
            Ok(None) => None,
            Ok(Some(Ok(frame))) => Some((Ok(frame), Some(blob))),
            Ok(Some(Err(error))) => Some((Err(meaning(error.as_ref())), None)),
            Err(_) => Some((Err(BodyError::Timeout), None)),
        }
    }))
}

/// What an error of a frame means.
fn meaning(error: &(dyn std::error::Error + Send + Sync + 'static)) -> BodyError {
    if let Some(error) = error.downcast_ref::<Upload>() {
        return match error {
            Upload::Underlying(source) => meaning(source.as_ref()),
            Upload::Sha256Mismatch => BodyError::SignedHash,
            Upload::LengthMismatch | Upload::Incomplete => BodyError::Incomplete,
        };
    }
    if let Some(error) = error.downcast_ref::<Chunked>() {
        return match error {
            Chunked::Underlying(source) => meaning(source.as_ref()),
            Chunked::SignatureMismatch => BodyError::Signature,
            Chunked::FormatError => BodyError::Malformed,
            Chunked::Incomplete | Chunked::LengthMismatch => BodyError::Incomplete,
            Chunked::ChunkMetaTooLarge(..) | Chunked::ChunkDataTooLarge(..) => BodyError::TooLarge,
            Chunked::TrailersTooLarge(..) | Chunked::TooManyTrailerHeaders(..) => BodyError::Trailer,
        };
    }
    if error.is::<Missing>() {
        return BodyError::Incomplete;
    }
    if error.is::<BodySizeLimitExceeded>() {
        return BodyError::TooLarge;
    }
    // The type of this one is not public.
    if error.to_string().starts_with("FileStreamError") { BodyError::Malformed } else { BodyError::Gone }
}

/// The body of an answer.
pub(super) fn outgoing(body: Body) -> StreamingBlob {
    match body {
        Body::Whole(bytes) => StreamingBlob::from_bytes(bytes),
        Body::Blocks(blocks) => StreamingBlob::wrap(SyncStream::new(blocks)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type StdError = Box<dyn std::error::Error + Send + Sync>;

    #[test]
    fn errors_of_frames_are_read_by_type() {
        let boxed = |error: Chunked| -> StdError { Box::new(error) };
        for (error, wanted) in [
            (boxed(Chunked::SignatureMismatch), BodyError::Signature),
            (boxed(Chunked::LengthMismatch), BodyError::Incomplete),
            (boxed(Chunked::ChunkDataTooLarge(9, 1)), BodyError::TooLarge),
            (boxed(Chunked::Underlying(Box::new(BodySizeLimitExceeded { size: 1, limit: 0 }))), BodyError::TooLarge),
            (Box::new(Upload::Sha256Mismatch), BodyError::SignedHash),
            (Box::new(Upload::Underlying("reset".into())), BodyError::Gone),
            ("FileStreamError: trailer".into(), BodyError::Malformed),
        ] {
            assert_eq!(meaning(error.as_ref()), wanted, "{error}");
        }
    }

    #[tokio::test]
    async fn a_body_ends_at_its_first_error() {
        let sent = [Ok(Bytes::from_static(b"a")), Err(std::io::Error::other("cut")), Ok(Bytes::from_static(b"b"))];
        let blob = StreamingBlob::wrap(stream::iter(sent));
        let got: Vec<_> = frames(blob).collect().await;
        assert_eq!(got, [Ok(Bytes::from_static(b"a")), Err(BodyError::Gone)]);
    }

    #[test]
    fn a_body_may_have_no_length() {
        let blob = StreamingBlob::wrap(stream::empty::<std::result::Result<Bytes, std::io::Error>>());
        let taken = incoming(Some(blob), &HeaderMap::new(), &Extensions::new(), None, None).expect("taken");
        assert_eq!(taken.length, None);
    }
}
