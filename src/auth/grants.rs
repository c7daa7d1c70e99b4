//! What the grants of access control lists mean in actions.
//!
//! **Invariant:** a list gives nothing beside the actions named here: READ of a bucket lists it, WRITE changes its
//! objects, READ of an object reads it, and the two permissions on the list itself do just that.

use crate::model::acl::{Acl, Grantee, Permission};
use crate::model::action::Action;
use crate::model::caller::{Caller, Who};

/// To whom a grant is.
#[derive(Debug, Clone, Copy)]
pub(super) struct To<'a> {
    /// The caller.
    pub(super) caller: &'a Caller,
    /// Whether a grant to the caller by name counts.
    pub(super) by_name: bool,
}

/// The permission on a bucket that allows an action.
pub(super) fn on_bucket(action: Action) -> Option<Permission> {
    Some(match action {
        Action::ListBucket | Action::ListBucketVersions | Action::ListBucketMultipartUploads => Permission::Read,
        Action::PutObject | Action::DeleteObject | Action::AbortMultipartUpload | Action::ListMultipartUploadParts => {
            Permission::Write
        }
        Action::GetBucketAcl => Permission::ReadAcp,
        Action::PutBucketAcl => Permission::WriteAcp,
        _ => return None,
    })
}

/// The permission on an object that allows an action.
pub(super) fn on_object(action: Action) -> Option<Permission> {
    Some(match action {
        Action::GetObject
        | Action::GetObjectVersion
        | Action::GetObjectAttributes
        | Action::GetObjectVersionAttributes
        | Action::GetObjectTorrent => Permission::Read,
        Action::GetObjectAcl | Action::GetObjectVersionAcl => Permission::ReadAcp,
        Action::PutObjectAcl | Action::PutObjectVersionAcl => Permission::WriteAcp,
        _ => return None,
    })
}

/// Whether it is about the list itself, which its owner can always read and change.
pub(super) fn is_of_list(permission: Permission) -> bool {
    matches!(permission, Permission::ReadAcp | Permission::WriteAcp)
}

/// Whether a list grants something to the caller by name.
pub(super) fn by_name(acl: &Acl, permission: Permission, to: To<'_>) -> bool {
    match &to.caller.who {
        Who::User(user) => to.by_name && to_user(acl, permission, &user.name),
        // Of tokens only policies speak.
        Who::Root | Who::Token(_) | Who::Anonymous => false,
    }
}

/// Whether a list grants something to a user by name.
pub(super) fn to_user(acl: &Acl, permission: Permission, name: &str) -> bool {
    given(acl, permission).any(|grantee| matches!(grantee, Grantee::User(user) if user == name))
}

/// Whether a list grants something to a group that the caller is in.
pub(super) fn by_group(acl: &Acl, permission: Permission, caller: &Caller) -> bool {
    given(acl, permission).any(|grantee| match grantee {
        Grantee::AllUsers => true,
        Grantee::AuthenticatedUsers => matches!(caller.who, Who::Root | Who::User(_)),
        Grantee::User(_) | Grantee::LogDelivery => false,
    })
}

fn given(acl: &Acl, permission: Permission) -> impl Iterator<Item = &Grantee> {
    let gives = move |given: Permission| given == permission || given == Permission::FullControl;
    acl.0.iter().filter(move |grant| gives(grant.permission)).map(|grant| &grant.grantee)
}
