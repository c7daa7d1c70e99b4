//! Sets of keys (JSON Web Key Sets).
//!
//! **Invariant:** a key verifies one algorithm: that of its kind, which its `alg` must not contradict. A key that cannot
//! be used is left out, and the log says why; it never stands for another.

use jsonwebtoken::DecodingKey;
use serde::Deserialize;

use super::Algorithm;
use crate::config::limits::{KEY_SET_BYTES_MAX, KEY_SET_KEYS_MAX};

/// Least bytes of a shared secret.
const SECRET_BYTES_MIN: usize = 32;
/// Least bytes of the modulus of an RSA key: 2048 bits.
const MODULUS_BYTES_MIN: usize = 256;

/// The text is no set of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no set of keys in JSON")]
pub struct InvalidKeys;

/// Keys to verify with.
#[derive(Debug, Default)]
pub struct KeySet(Vec<Key>);

struct Key {
    kid: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("kid", &self.kid).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<RawKey>,
}

#[derive(Deserialize)]
struct RawKey {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
}

impl KeySet {
    /// Reads a set. `secrets` says whether shared secrets may be in it: not in one that anybody can fetch.
    ///
    /// # Errors
    /// [`InvalidKeys`].
    pub fn parse(text: &str, secrets: bool) -> Result<Self, InvalidKeys> {
        if text.len() > KEY_SET_BYTES_MAX {
            return Err(InvalidKeys);
        }
        let raw: RawSet = serde_json::from_str(text).map_err(|_| InvalidKeys)?;
        if raw.keys.len() > KEY_SET_KEYS_MAX {
            return Err(InvalidKeys);
        }
        let mut keys = Vec::new();
        for raw in raw.keys.into_iter().filter(|raw| raw.purpose.as_deref().is_none_or(|purpose| purpose == "sig")) {
            match read(&raw, secrets) {
                Ok((algorithm, key)) => keys.push(Key { kid: raw.kid, algorithm, key }),
                Err(why) => tracing::warn!(kid = raw.kid, why, "a key for tokens is not used"),
            }
        }
        Ok(Self(keys))
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The keys that a token of this algorithm may be signed by, which names one or none.
    pub(super) fn named(&self, algorithm: Algorithm, kid: Option<&str>) -> impl Iterator<Item = &DecodingKey> {
        let meant = move |key: &&Key| key.algorithm == algorithm && (key.kid.is_none() || key.kid.as_deref() == kid);
        self.0.iter().filter(meant).map(|key| &key.key)
    }
}

fn read(raw: &RawKey, secrets: bool) -> Result<(Algorithm, DecodingKey), &'static str> {
    const DAMAGED: &str = "it is damaged";
    let part = |part: &Option<String>| part.clone().ok_or("a part of it is missing");
    let (algorithm, key) = match raw.kty.as_str() {
        "RSA" => {
            let (n, e) = (part(&raw.n)?, part(&raw.e)?);
            if n.len() < MODULUS_BYTES_MIN * 4 / 3 {
                return Err("it is too short");
            }
            (Algorithm::Rs256, DecodingKey::from_rsa_components(&n, &e).map_err(|_| DAMAGED)?)
        }
        "EC" if raw.crv.as_deref() == Some("P-256") => {
            let (x, y) = (part(&raw.x)?, part(&raw.y)?);
            (Algorithm::Es256, DecodingKey::from_ec_components(&x, &y).map_err(|_| DAMAGED)?)
        }
        "oct" if !secrets => return Err("it is a secret, and stands where anybody can read it"),
        "oct" => {
            use base64::Engine as _;
            let secret = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part(&raw.k)?).map_err(|_| DAMAGED)?;
            if secret.len() < SECRET_BYTES_MIN {
                return Err("it is too short");
            }
            (Algorithm::Hs256, DecodingKey::from_secret(&secret))
        }
        _ => return Err("its kind is not known"),
    };
    match &raw.alg {
        Some(alg) if alg != algorithm.name() => Err("its algorithm is not known"),
        _ => Ok((algorithm, key)),
    }
}
