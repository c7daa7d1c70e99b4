//! Secrets in memory and at rest.
//!
//! **Invariant:** a [`Secret`] is written to disk only sealed with the master key (AES-256-GCM, a fresh 96-bit nonce in
//! front, the access key as associated data).

use std::collections::BTreeMap;
use std::fmt;

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroize as _;

use crate::model::id::random;

pub use crate::model::secret::Secret;

const NONCE_BYTES: usize = 12;

/// The sealed text is damaged or was sealed with another key or for another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed secret cannot be opened with this master key")]
pub struct Unsealable;

/// The key that seals secrets at rest.
#[derive(Clone)]
pub struct MasterKey([u8; 32]);

impl Drop for MasterKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl PartialEq for MasterKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}
impl Eq for MasterKey {}

/// Keys that the operator gives names: they seal what clients ask to be sealed with them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamedKeys {
    /// By name.
    pub keys: BTreeMap<String, MasterKey>,
    /// The one for whoever names none.
    pub default: Option<String>,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

impl MasterKey {
    /// From its bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A new one.
    #[must_use]
    pub fn generate() -> Self {
        let mut bytes = [0; 32];
        random(&mut bytes);
        Self(bytes)
    }

    /// Its bytes, for the file it is kept in.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A key for one use, from which neither this one nor that of another use can be told.
    ///
    /// # Panics
    /// Never: the hash takes keys of any length.
    #[must_use]
    pub fn for_use(&self, label: &[u8]) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("keys of any length are taken");
        mac.update(label);
        Self(mac.finalize().into_bytes().into())
    }

    /// Seals `secret` for `name`: it opens under that name only.
    ///
    /// # Panics
    /// Never: texts are far below the limit of the cipher.
    #[must_use]
    pub fn seal(&self, name: &str, secret: &Secret) -> Vec<u8> {
        let mut sealed = vec![0; NONCE_BYTES];
        random(&mut sealed);
        let nonce: [u8; NONCE_BYTES] = sealed[..NONCE_BYTES].try_into().expect("a nonce has its length");
        let payload = Payload { msg: secret.expose().as_bytes(), aad: name.as_bytes() };
        let text =
            self.cipher().encrypt(&Nonce::from(nonce), payload).expect("a secret is far below the cipher's limit");
        sealed.extend_from_slice(&text);
        sealed
    }

    /// Opens what was sealed for `name`.
    ///
    /// # Errors
    /// [`Unsealable`].
    pub fn open(&self, name: &str, sealed: &[u8]) -> Result<Secret, Unsealable> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(Unsealable)?;
        let payload = Payload { msg: text, aad: name.as_bytes() };
        let text = self.cipher().decrypt(&Nonce::from(*nonce), payload).map_err(|_| Unsealable)?;
        String::from_utf8(text).map(|text| Secret::new(&text)).map_err(|_| Unsealable)
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(&self.0.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_secrets_open_under_their_key_and_name_only() {
        let key = MasterKey::generate();
        let sealed = key.seal("AKIA", &Secret::new("hunter2"));
        assert_eq!(key.open("AKIA", &sealed), Ok(Secret::new("hunter2")));
        assert_eq!(key.open("AKIB", &sealed), Err(Unsealable));
        assert_eq!(MasterKey::generate().open("AKIA", &sealed), Err(Unsealable));
        assert_eq!(key.open("AKIA", &sealed[..5]), Err(Unsealable));
        assert!(!sealed.windows(7).any(|w| w == b"hunter2"));
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(..)");
    }
}
