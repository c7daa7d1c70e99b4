//! Who asks.
//!
//! **Invariant:** a [`Caller`] exists only after its credential was verified; it holds no secret.

use std::sync::Arc;

/// The name, and canonical id, of the administrator.
pub const ROOT: &str = "root";

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// The administrator.
    Root,
    /// A user, by one of its access keys.
    User(Arc<User>),
    /// Nobody in particular.
    Anonymous,
}

/// A user as the authorizer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name, which is its canonical id.
    pub name: String,
    /// What lists show.
    pub display_name: String,
    /// Its e-mail address, if it has one.
    pub email: Option<String>,
    /// Its groups.
    pub groups: Vec<String>,
    /// Its policy: `readonly`, `readwrite`, `admin`, or the text of an IAM policy document.
    pub policy: String,
}

impl Caller {
    /// The canonical id under which what it creates is owned, and which logs show.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Root => ROOT,
            Self::User(user) => &user.name,
            Self::Anonymous => "anonymous",
        }
    }

    /// What lists show as its name.
    #[must_use]
    pub fn display_name(&self) -> &str {
        match self {
            Self::User(user) => &user.display_name,
            Self::Root | Self::Anonymous => self.id(),
        }
    }
}
