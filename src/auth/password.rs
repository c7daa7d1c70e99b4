//! Passwords of users: hashed with Argon2id, and compared.
//!
//! **Invariant:** the text of a password is nowhere kept; a wrong one and one of somebody who has none take the same time.

use std::sync::LazyLock;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq as _;

use crate::auth::secret::Secret;
use crate::model::id::random;

/// Shortest password, in characters.
pub const PASSWORD_CHARS_MIN: usize = 8;
/// Longest password, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
/// KiB, passes and lanes: what is recommended for Argon2id where nothing is known of the machine.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);
/// The most memory that the text of a hash may ask for, in KiB.
const MEMORY_KIB_MAX: u32 = 256 * 1024;
const PASSES_MAX: u32 = 16;

fn hashed(password: &Secret, salt: &[u8], (memory, passes, lanes): (u32, u32, u32)) -> Option<[u8; HASH_BYTES]> {
    let params = Params::new(memory, passes, lanes, Some(HASH_BYTES)).ok()?;
    let mut out = [0; HASH_BYTES];
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon.hash_password_into(password.expose().as_bytes(), salt, &mut out).ok()?;
    Some(out)
}

/// The hash of a password as text, with all that is needed to compare one with it. `None` if there is no memory for it.
#[must_use]
pub fn hash(password: &Secret) -> Option<String> {
    let mut salt = [0; SALT_BYTES];
    random(&mut salt);
    let hash = hashed(password, &salt, COST)?;
    let (memory, passes, lanes) = COST;
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
    Some(format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${hash}"))
}

/// Whether a password is that of a hash. Without one it is none, after as much work.
#[must_use]
pub fn verify(password: &Secret, hash: Option<&str>) -> bool {
    static NONE: LazyLock<Option<String>> = LazyLock::new(|| self::hash(&Secret::new("nobody's")));
    let text = hash.or(NONE.as_deref()).unwrap_or_default();
    let same = same(password, text).unwrap_or(false);
    same && hash.is_some()
}

fn same(password: &Secret, text: &str) -> Option<bool> {
    let mut fields = text.strip_prefix("$argon2id$v=19$")?.split('$');
    let (cost, salt, hash) = (fields.next()?, fields.next()?, fields.next()?);
    let mut costs = cost.split(',');
    let mut number = |name: &str| costs.next()?.strip_prefix(name)?.parse::<u32>().ok();
    let cost = (number("m=")?, number("t=")?, number("p=")?);
    if cost.0 > MEMORY_KIB_MAX || cost.1 > PASSES_MAX || fields.next().is_some() {
        return None;
    }
    let (salt, hash) = (STANDARD_NO_PAD.decode(salt).ok()?, STANDARD_NO_PAD.decode(hash).ok()?);
    Some(bool::from(hashed(password, &salt, cost)?.ct_eq(hash.as_slice())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_by_its_hash() {
        let text = hash(&Secret::new("correct horse")).expect("memory");
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && !text.contains("horse"));
        assert!(verify(&Secret::new("correct horse"), Some(&text)));
        assert!(!verify(&Secret::new("correct horsf"), Some(&text)));
        assert!(!verify(&Secret::new("nobody's"), None));
        for damaged in ["", "$argon2id$v=19$m=19456,t=2,p=1$AAAA", "$argon2id$v=19$m=999999999,t=2,p=1$AAAA$AAAA"] {
            assert!(!verify(&Secret::new("x"), Some(damaged)), "{damaged}");
        }
    }
}
