//! A body on its way in, as a front hands it over.
//!
//! **Invariant:** what is declared of it is what its client said, and nothing of it was verified yet.

use std::fmt;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;

use crate::model::checksum::{Algorithm, Checksum};
use crate::store::error::BodyError;

/// The frames of a body as they arrive.
pub type Frames = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>;

/// Asked once, after the last frame: the checksum that came as a trailer.
pub type Trailer = Box<dyn FnOnce() -> Result<Checksum, BodyError> + Send>;

/// A body on its way in. It must end exactly as declared, or nothing happens.
pub struct Incoming {
    /// Declared length in bytes; `None` if the protocol has none.
    pub length: Option<u64>,
    /// The length of the request around a body that has none of its own: that of a form. It is more than the body's, and
    /// is what policies are told that are asked beforehand.
    pub around: Option<u64>,
    /// The frames.
    pub frames: Frames,
    /// The MD5 that the client says it has.
    pub md5: Option<[u8; 16]>,
    /// The checksum that the client says it has.
    pub checksum: Option<Checksum>,
    /// The checksum to compute and keep, if only its algorithm was named, or its value comes as a trailer.
    pub algorithm: Option<Algorithm>,
    /// Where the value comes from if it follows the body.
    pub trailer: Option<Trailer>,
}

impl Incoming {
    /// A body of which nothing is said but, perhaps, how long it is.
    #[must_use]
    pub fn new(frames: Frames, length: Option<u64>) -> Self {
        Self { length, around: None, frames, md5: None, checksum: None, algorithm: None, trailer: None }
    }

    /// How long it will be at most, as far as that is known beforehand, in bytes.
    #[must_use]
    pub fn expected(&self) -> Option<u64> {
        self.length.or(self.around)
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("length", &self.length).finish_non_exhaustive()
    }
}
