//! Encryption at rest: which key a body gets, and bytes on their way to and from the storage.
//!
//! The form of sealed bytes is in [`crate::model::encryption`]. A write asks [`Store::sealing_for`] what to seal with and
//! wraps its stage in a [`SealedStage`]; a read takes the key from [`Store::data_key`] and the bytes through a
//! [`Window`].
//!
//! **Invariant:** what is sealed lies at managed places only and is never copied as it is: its data key is bound to its
//! bucket and key, so copies are encrypted anew.

use std::ops::Range;

use crate::model::encryption::{CustomerKey, EncryptionRequest, NamedRequest, Scheme, Sealing};
use crate::model::name::ObjectKey;
use crate::model::object::Object;
use crate::model::upload::{Part, Upload};
use crate::provider::{self, Body};
use crate::store::Store;
use crate::store::bound::Bound;
use crate::store::error::{Error, Result};

mod cipher;
mod keys;
mod stage;
mod window;

pub(super) use cipher::DataKey;
pub(super) use keys::Keys;
pub(super) use stage::SealedStage;
pub(super) use window::is_damage;

use window::Window;

use keys::NoKey;

/// What a write seals with.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) sealing: Sealing,
    pub(super) key: DataKey,
}

impl Sealed {
    /// Notes in a draft how its bytes are sealed. Only what the server's own key seals shows the MD5 of its bytes.
    pub(super) fn note(self, draft: &mut Object) {
        if !shows_md5(Some(&self.sealing)) {
            draft.etag = self.key.etag(&draft.etag);
        }
        draft.attached.sealing = Some(self.sealing);
    }
}

/// A range of an object on its way out.
#[derive(Debug)]
pub(super) struct Reading {
    stored: Range<u64>,
    sealed: Option<(Window, DataKey)>,
}

impl Reading {
    fn of(sealing: Option<&Sealing>, key: Option<DataKey>, size: u64, part: u32, plain: Range<u64>) -> Result<Self> {
        let (Some(sealing), Some(key)) = (sealing, key) else {
            return Ok(Self { stored: plain, sealed: None });
        };
        let window = Window::of(sealing, size, part, plain);
        let window = window.ok_or_else(|| Error::Internal("a row does not fit the parts it was sealed in".into()))?;
        Ok(Self { stored: window.stored(), sealed: Some((window, key)) })
    }

    /// The bytes to read from the storage.
    pub(super) fn stored(&self) -> Range<u64> {
        self.stored.clone()
    }

    /// Makes what was read plain, if it is not.
    pub(super) fn open(self, body: Body) -> provider::Result<Body> {
        match self.sealed {
            Some((window, key)) => window.open(&key, body),
            None => Ok(body),
        }
    }
}

/// Whether ETags of what is sealed so are MD5s.
pub(super) fn shows_md5(sealing: Option<&Sealing>) -> bool {
    sealing.is_none_or(|sealing| sealing.scheme == Scheme::Server)
}

impl Store {
    /// How to read what `choose` says of an object. What it refuses is told before a key that is not right.
    pub(super) fn reading(
        &self,
        bound: &Bound,
        object: &Object,
        customer: Option<&CustomerKey>,
        choose: impl FnOnce() -> Result<Range<u64>>,
    ) -> Result<Reading> {
        let (plain, sealing) = (choose()?, object.attached.sealing.as_ref());
        let key = self.data_key(bound, &object.key, sealing, customer)?;
        Reading::of(sealing, key, object.size, 0, plain)
    }

    /// How to read a whole part of an upload.
    pub(super) fn reading_of_part(&self, bound: &Bound, upload: &Upload, part: &Part) -> Result<Reading> {
        let sealing = upload.attached.sealing.as_ref();
        let key = self.data_key(bound, &upload.key, sealing, None)?;
        Reading::of(sealing, key, part.size, part.number, 0..part.size)
    }

    /// What a write of this key seals with; `None`: nothing. The bucket decides where the request does not.
    ///
    /// # Errors
    /// Refusals of what was asked for.
    pub(super) fn sealing_for(
        &self,
        bound: &Bound,
        key: &ObjectKey,
        request: &EncryptionRequest,
    ) -> Result<Option<Sealed>> {
        let mut customer = None;
        let (scheme, bucket_key, context) = match request {
            EncryptionRequest::Default => match &bound.bucket.config.encryption {
                None => return Ok(None),
                Some(default) => match &default.named {
                    None => (Scheme::Server, default.bucket_key, None),
                    Some(name) => (self.named_scheme(Some(name))?, default.bucket_key, None),
                },
            },
            EncryptionRequest::Server => (Scheme::Server, false, None),
            EncryptionRequest::Named(NamedRequest { key, bucket_key, context }) => {
                (self.named_scheme(key.as_deref())?, *bucket_key, context.clone())
            }
            EncryptionRequest::Customer(key) => {
                customer = Some(key);
                (Scheme::Customer(key.md5.clone()), false, None)
            }
            EncryptionRequest::Unfit { name, message } => return Err(Error::InvalidArgument { name, message }),
        };
        let mut sealing = Sealing { scheme, data_key: String::new(), bucket_key, context, parts: Vec::new() };
        let data = DataKey::generate();
        let target = (&bound.bucket.name, key);
        self.0.seal_keys.seal(&mut sealing, customer, &data, target).map_err(refusal)?;
        Ok(Some(Sealed { sealing, key: data }))
    }

    fn named_scheme(&self, asked: Option<&str>) -> Result<Scheme> {
        self.0.seal_keys.name(asked).map(Scheme::Named).ok_or(Error::InvalidArgument {
            name: "x-amz-server-side-encryption-aws-kms-key-id",
            message: "A key must be named, as this server has no default one.",
        })
    }

    /// The key of bytes that are sealed so; `None`: they are not.
    ///
    /// # Errors
    /// Refusals of the key that the client sent, or did not send.
    pub(super) fn data_key(
        &self,
        bound: &Bound,
        key: &ObjectKey,
        sealing: Option<&Sealing>,
        customer: Option<&CustomerKey>,
    ) -> Result<Option<DataKey>> {
        match sealing {
            None if customer.is_some() => Err(refusal(NoKey::NotApplicable)),
            None => Ok(None),
            Some(sealing) => {
                let target = (&bound.bucket.name, key);
                self.0.seal_keys.open(sealing, customer, target).map(Some).map_err(refusal)
            }
        }
    }
}

fn refusal(no_key: NoKey) -> Error {
    match no_key {
        NoKey::Unknown => Error::UnknownEncryptionKey,
        NoKey::Missing => Error::InvalidRequest(
            "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to \
             retrieve the object.",
        ),
        NoKey::Other => {
            Error::InvalidRequest("The provided encryption parameters did not match the ones used originally.")
        }
        NoKey::NotApplicable => Error::InvalidRequest("The encryption parameters are not applicable to this object."),
        NoKey::Damaged => Error::Internal("a sealed data key does not open with the keys of this server".into()),
    }
}
