//! The credentials of `root`: which are refused, and where they come from.
//!
//! **Invariant:** no server runs with a root secret that is short or that anybody could guess, and none of this prints
//! a secret but [`RootKeys::generate`]'s caller, once.

use std::env;

use crate::auth::secret::Secret;
use crate::model::id::random;

/// Least characters of a root secret.
pub const SECRET_CHARS_MIN: usize = 16;
/// Least characters of a root access key.
pub const ACCESS_KEY_CHARS_MIN: usize = 3;
/// Most characters of either.
pub const CHARS_MAX: usize = 128;

const GENERATED_ACCESS_KEY_CHARS: usize = 20;
const GENERATED_SECRET_CHARS: usize = 40;

/// Words that product manuals print as secrets, also doubled to make them longer.
const WELL_KNOWN: [&str; 10] =
    ["minioadmin", "minio123", "admin", "password", "changeme", "secret", "root", "test", "longshore", "12345678"];
/// The example of the AWS manual.
const EXAMPLE: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// The environment variables, the first of a pair before its alias.
const ACCESS_KEY_VARIABLES: [&str; 2] = ["LONGSHORE_ROOT_ACCESS_KEY", "MINIO_ROOT_USER"];
const SECRET_VARIABLES: [&str; 2] = ["LONGSHORE_ROOT_SECRET_KEY", "MINIO_ROOT_PASSWORD"];

/// The credentials of `root`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootKeys {
    /// The access key.
    pub access_key: String,
    /// Its secret.
    pub secret: Secret,
}

/// Why root credentials are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RootKeysError {
    /// One of the pair is missing.
    #[error("the root access key and the root secret key must be given together")]
    Half,
    /// The access key has a bad length or character.
    #[error("the root access key must have 3 to 128 letters, digits or any of - _ . @ +")]
    AccessKey,
    /// The secret is short.
    #[error("the root secret key must have at least 16 characters")]
    Short,
    /// The secret is over-long or cannot be typed.
    #[error("the root secret key must have at most 128 visible ASCII characters")]
    Unusable,
    /// The secret is known to everybody.
    #[error("the root secret key is a well-known one; choose another")]
    WellKnown,
}

impl RootKeys {
    /// Takes credentials in, if they may be used.
    ///
    /// # Errors
    /// The reason why they are refused.
    pub fn new(access_key: &str, secret: Secret) -> Result<Self, RootKeysError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@+".contains(c);
        if !(ACCESS_KEY_CHARS_MIN..=CHARS_MAX).contains(&access_key.len()) || !access_key.chars().all(plain) {
            return Err(RootKeysError::AccessKey);
        }
        let text = secret.expose();
        if is_well_known(text) || text.eq_ignore_ascii_case(access_key) {
            return Err(RootKeysError::WellKnown);
        }
        if text.chars().count() < SECRET_CHARS_MIN {
            return Err(RootKeysError::Short);
        }
        if text.len() > CHARS_MAX || !text.chars().all(|c| c.is_ascii_graphic()) {
            return Err(RootKeysError::Unusable);
        }
        Ok(Self { access_key: access_key.to_owned(), secret })
    }

    /// Those of the environment, if it has any.
    ///
    /// # Errors
    /// The reason why they are refused.
    pub fn from_environment() -> Result<Option<Self>, RootKeysError> {
        Self::from_variables(|name| env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, RootKeysError> {
        let first = |names: [&str; 2]| names.iter().find_map(|name| variable(name));
        match (first(ACCESS_KEY_VARIABLES), first(SECRET_VARIABLES)) {
            (None, None) => Ok(None),
            (Some(access_key), Some(secret)) => Self::new(&access_key, Secret::new(&secret)).map(Some),
            (Some(_), None) | (None, Some(_)) => Err(RootKeysError::Half),
        }
    }

    /// New ones: 100 and 200 random bits.
    #[must_use]
    pub fn generate() -> Self {
        Self {
            access_key: random_text(GENERATED_ACCESS_KEY_CHARS),
            secret: Secret::new(&random_text(GENERATED_SECRET_CHARS)),
        }
    }
}

/// Random letters and digits that need no quotes anywhere and cannot be misread: 5 bits a character.
fn random_text(chars: usize) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let mut bytes = vec![0; chars];
    random(&mut bytes);
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect()
}

pub(super) fn is_well_known(secret: &str) -> bool {
    let text = secret.to_ascii_lowercase();
    let repeated = |word: &str| text.replace(word, "").is_empty();
    text.is_empty() || WELL_KNOWN.iter().any(|word| repeated(word)) || secret == EXAMPLE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessable_secrets_are_refused() {
        for (secret, why) in [
            ("", RootKeysError::WellKnown),
            ("minioadmin", RootKeysError::WellKnown),
            ("minioadminMINIOADMIN", RootKeysError::WellKnown),
            ("password", RootKeysError::WellKnown),
            ("changemechangeme", RootKeysError::WellKnown),
            (EXAMPLE, RootKeysError::WellKnown),
            ("operator-operator", RootKeysError::WellKnown),
            ("fifteen-chars-x", RootKeysError::Short),
            ("sixteen chars xy", RootKeysError::Unusable),
        ] {
            assert_eq!(RootKeys::new("operator-operator", Secret::new(secret)), Err(why), "{secret}");
        }
        assert!(RootKeys::new("operator", Secret::new("sixteen-chars-xy")).is_ok());
        assert_eq!(RootKeys::new("a/b", Secret::new("sixteen-chars-xy")), Err(RootKeysError::AccessKey));
    }

    #[test]
    fn the_environment_gives_both_or_none() {
        let with = |pairs: &[(&str, &str)]| {
            RootKeys::from_variables(|name| {
                pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(with(&[]), Ok(None));
        assert_eq!(with(&[("MINIO_ROOT_USER", "operator")]), Err(RootKeysError::Half));
        let alias = with(&[("MINIO_ROOT_USER", "operator"), ("MINIO_ROOT_PASSWORD", "sixteen-chars-xy")]);
        assert_eq!(alias.expect("sound").expect("given").access_key, "operator");
    }

    #[test]
    fn generated_credentials_pass() {
        let keys = RootKeys::generate();
        assert_eq!((keys.access_key.len(), keys.secret.expose().len()), (20, 40));
        assert!(RootKeys::new(&keys.access_key, keys.secret).is_ok());
    }
}
