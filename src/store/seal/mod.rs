//! Encryption at rest: which key a body gets, and bytes on their way to and from the storage.
//!
//! The form of sealed bytes is in [`crate::model::encryption`]. A write asks [`Store::sealing_for`] what to seal with and
//! wraps its stage in a [`SealedStage`]; a read takes the key from [`Store::data_key`] and the bytes through a
//! [`Window`].
//!
//! **Invariant:** what is sealed lies at managed places only and is never copied as it is: its data key is bound to its
//! bucket and key, so copies are encrypted anew.

use crate::model::encryption::{CustomerKey, EncryptionRequest, NamedRequest, Scheme, Sealing};
use crate::model::id::{hex, random};
use crate::model::name::ObjectKey;
use crate::model::object::Object;
use crate::store::Store;
use crate::store::bound::Bound;
use crate::store::error::{Error, Result};

mod bucket;
mod cipher;
mod keys;
mod stage;
mod window;

pub(super) use cipher::DataKey;
pub(super) use keys::Keys;
pub(super) use stage::SealedStage;
pub(super) use window::Window;

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
            draft.etag = opaque_etag();
        }
        draft.attached.sealing = Some(self.sealing);
    }
}

/// An ETag that says nothing about the bytes.
pub(super) fn opaque_etag() -> String {
    let mut bytes = [0; 16];
    random(&mut bytes);
    hex(&bytes)
}

/// Whether ETags of what is sealed so are MD5s.
pub(super) fn shows_md5(sealing: Option<&Sealing>) -> bool {
    sealing.is_none_or(|sealing| sealing.scheme == Scheme::Server)
}

impl Store {
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
                    Some(name) => (self.named(Some(name))?, default.bucket_key, None),
                },
            },
            EncryptionRequest::Server => (Scheme::Server, false, None),
            EncryptionRequest::Named(NamedRequest { key, bucket_key, context }) => {
                (self.named(key.as_deref())?, *bucket_key, context.clone())
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

    fn named(&self, asked: Option<&str>) -> Result<Scheme> {
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
        NoKey::Other => Error::InvalidRequest(
            "The provided encryption parameters did not match the ones used originally.",
        ),
        NoKey::NotApplicable => {
            Error::InvalidRequest("The encryption parameters are not applicable to this object.")
        }
        NoKey::Damaged => Error::Internal("a sealed data key does not open with the keys of this server".into()),
    }
}
