//! Lists as requests name them and as they are shown, and changes of what is attached to an object.
//!
//! **Invariant:** nothing here was resolved: who is named may not exist, and the list may not be allowed.

use std::collections::HashMap;

use crate::model::acl::{Acl, Grantee, Permission};
use crate::model::lock::Retention;
use crate::model::tag::Tags;
use crate::store::request::AclRequest;

/// Grants as a request names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrantsRequest {
    /// Whom the request takes for the owner; somebody else is refused.
    pub owner: Option<String>,
    /// Who is granted what, in the order given.
    pub grants: Vec<(GranteeRequest, Permission)>,
}

/// Somebody as a request names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum GranteeRequest {
    /// A user, by canonical id.
    Id(String),
    /// A user, by e-mail address.
    Email(String),
    /// A group.
    Group(Grantee),
}

/// A list as it is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShownAcl {
    /// Canonical id of the owner.
    pub owner: String,
    /// The grants in force.
    pub acl: Acl,
    /// The display names of all users in it.
    pub names: HashMap<String, String>,
}

/// A change of what is attached to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttachedChange {
    /// Its tags; none removes them.
    Tags(Tags),
    /// Its access control list.
    Acl(AclRequest),
    /// Its retention; `None` removes it.
    Retention(Option<Retention>),
    /// Its legal hold.
    LegalHold(bool),
    /// Whose it is, of an item of a FileStore.
    Owner(String),
}
