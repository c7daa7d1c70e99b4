//! Identifiers that Longshore makes: versions, uploads, requests, buckets, catalogs.
//!
//! **Invariant:** a [`VersionId`] is 32 lower-case hexadecimal digits, so it is a safe file name everywhere, also where
//! names fold, and 80 random bits make a second one of the same value impossible in practice.

use std::cell::RefCell;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::time::Clock;

/// Fills `bytes` with randomness of the operating system.
///
/// # Panics
/// If the operating system has none to give: then no key or id is safe to make.
pub fn random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system gives random bytes");
}

/// Lower-case hexadecimal digits of `bytes`.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// The bytes of lower-case hexadecimal digits, if `text` is exactly `N` of them.
#[must_use]
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != N * 2 {
        return None;
    }
    let value = |d: u8| match d {
        b'0'..=b'9' => Some(d - b'0'),
        b'a'..=b'f' => Some(d - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = (value(digits[2 * i])? << 4) | value(digits[2 * i + 1])?;
    }
    Some(bytes)
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 16]);

        impl $name {
            /// A new one: 48 bits of milliseconds, 80 random bits.
            #[must_use]
            pub fn fresh() -> Self {
                let mut bytes = [0; 16];
                random(&mut bytes[6..]);
                let millis = Clock::now().0 / 1_000_000;
                bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
                Self(bytes)
            }

            /// Reads 32 lower-case hexadecimal digits.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                unhex(text).map(Self)
            }

            /// When it was made, in nanoseconds since 1970, to the millisecond.
            #[must_use]
            pub fn made(&self) -> u64 {
                let millis = self.0[..6].iter().fold(0, |n, byte| (n << 8) | u64::from(*byte));
                millis.saturating_mul(1_000_000)
            }

            /// The last two digits, which are random: the directory that spreads managed files.
            #[must_use]
            pub fn shard(&self) -> String {
                hex(&self.0[15..])
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl TryFrom<String> for $name {
            type Error = &'static str;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text).ok_or("not 32 hexadecimal digits")
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

hex_id!(
    /// One version of one object, and the name of its managed place.
    VersionId
);
impl VersionId {
    /// The same as Supabase writes it: with hyphens. `None`: a version of zeros, which stands for none.
    #[must_use]
    pub fn uuid(self) -> Option<String> {
        let text = hex(&self.0);
        let parts = [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]];
        self.0.iter().any(|byte| *byte != 0).then(|| parts.join("-"))
    }
}
hex_id!(
    /// One multipart upload.
    UploadId
);
hex_id!(
    /// One catalog: what `.longshore/id` of its containers names.
    CatalogId
);

/// The catalog's number of a bucket. A bucket that is deleted and made again gets another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketId(pub i64);

/// Ids of requests that were drawn at once.
const DRAWN: usize = 64;

thread_local! {
    /// How many of them were used. They are no secrets, and one system call for each request would be much.
    static FRESH: RefCell<(usize, [[u8; 8]; DRAWN])> = const { RefCell::new((DRAWN, [[0; 8]; DRAWN])) };
}

/// One request, in logs and error bodies: 16 upper-case hexadecimal digits, as S3 clients expect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// A new one.
    #[must_use]
    pub fn fresh() -> Self {
        let bytes = FRESH.with_borrow_mut(|(used, fresh)| {
            if *used == fresh.len() {
                random(fresh.as_flattened_mut());
                *used = 0;
            }
            *used += 1;
            fresh[*used - 1]
        });
        let mut text = hex(&bytes);
        text.make_ascii_uppercase();
        Self(text)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip() {
        let id = VersionId::fresh();
        assert_eq!(VersionId::parse(&id.to_string()), Some(id));
        assert!(id.to_string().ends_with(&id.shard()));
        for bad in ["", "ABCDEF", &"g".repeat(32), &"A".repeat(32), &"a".repeat(33)] {
            assert_eq!(VersionId::parse(bad), None, "{bad}");
        }
    }
}
