//! A text that must not be seen.
//!
//! **Invariant:** a [`Secret`] prints nothing of itself and is compared in constant time.

use std::fmt;

use subtle::ConstantTimeEq as _;

/// A text that must not be seen.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// Takes a text in.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text, for the one call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}
impl Eq for Secret {}
