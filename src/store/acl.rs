//! Access control lists: what a request becomes, and what is shown.
//!
//! **Invariant:** a list that is stored names users that exist, fits the ownership of its bucket, and is public only
//! where the bucket does not block it. Nobody learns which users exist before the decision let it write.

use std::collections::HashMap;

use crate::model::acl::{Acl, Canned, GRANTS_MAX, Grant, Grantee, Permission};
use crate::model::action::Action;
use crate::model::bucket::{Bucket, BucketConfig, Ownership};
use crate::model::caller::Caller;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::versioning::VersionRef;
use crate::store::Store;
use crate::store::error::{Error, Result};
use crate::store::request::{AclRequest, GranteeRequest, GrantsRequest, ShownAcl};

/// Users read at a time while one is looked for by its e-mail address.
const USERS_PAGE: usize = 1000;

impl Store {
    /// The list of a bucket.
    ///
    /// # Errors
    /// Refusals.
    pub async fn bucket_acl(&self, caller: &Caller, name: &BucketName) -> Result<ShownAcl> {
        let bucket = self.config(caller, name, Action::GetBucketAcl).await?;
        let acl = bucket.config.acl.clone();
        self.shown_acl(&bucket, bucket.owner.clone(), acl).await
    }

    /// The list of an object, or of one version of it.
    ///
    /// # Errors
    /// Refusals.
    pub async fn object_acl(
        &self,
        caller: &Caller,
        name: &BucketName,
        key: &ObjectKey,
        version: Option<VersionRef>,
    ) -> Result<ShownAcl> {
        let action = if version.is_some() { Action::GetObjectVersionAcl } else { Action::GetObjectAcl };
        let object = self.attached(caller, action, name, key, version).await?;
        let bucket = self.bound(name).await?.bucket.clone();
        let mut shown = self.shown_acl(&bucket, object.owner, object.attached.acl).await?;
        if bucket.settings.public {
            shown.acl.0.push(Grant { grantee: Grantee::AllUsers, permission: Permission::Read });
        }
        Ok(shown)
    }

    /// Sets the list of a bucket.
    ///
    /// # Errors
    /// [`Error::AclNotSupported`] where lists do not count, [`Error::AccessDenied`] for a public list where those are
    /// blocked or one that names another owner, users that do not exist; refusals.
    pub async fn set_bucket_acl(&self, caller: &Caller, name: &BucketName, request: &AclRequest) -> Result<()> {
        let bucket = self.config(caller, name, Action::PutBucketAcl).await?;
        let acl = self.resolve(request, &bucket.owner, &bucket.owner).await?;
        self.change_config(caller, name, Action::PutBucketAcl, |config, bucket| {
            if config.ownership == Some(Ownership::BucketOwnerEnforced) {
                return Err(Error::AclNotSupported);
            }
            may_be_public(acl.as_ref(), config)?;
            config.acl = unusual(acl.clone(), &bucket.owner);
            Ok(())
        })
        .await
    }

    /// Who owns what `writer` writes with this request, and the list it gets. The decision to write was taken.
    pub(super) async fn granted(
        &self,
        request: &AclRequest,
        writer: &str,
        bucket: &Bucket,
    ) -> Result<(String, Option<Acl>)> {
        let handed_over = matches!(request, AclRequest::Canned(Canned::BucketOwnerFullControl));
        match bucket.config.ownership {
            Some(Ownership::BucketOwnerEnforced) if handed_over || *request == AclRequest::None => {
                return Ok((bucket.owner.clone(), None));
            }
            Some(Ownership::BucketOwnerEnforced) => return Err(Error::AclNotSupported),
            Some(Ownership::BucketOwnerPreferred) if handed_over => return Ok((bucket.owner.clone(), None)),
            Some(Ownership::BucketOwnerPreferred | Ownership::ObjectWriter) | None => {}
        }
        let acl = self.resolve(request, writer, &bucket.owner).await?;
        may_be_public(acl.as_ref(), &bucket.config)?;
        Ok((writer.to_owned(), unusual(acl, writer)))
    }

    /// The list that a request asks for, of what `owner` owns.
    pub(super) async fn resolve(&self, request: &AclRequest, owner: &str, bucket_owner: &str) -> Result<Option<Acl>> {
        match request {
            AclRequest::None => Ok(None),
            AclRequest::Canned(canned) => Ok(Some(canned.grants(owner, bucket_owner))),
            AclRequest::Grants(asked) => self.resolve_grants(asked, owner).await.map(Some),
        }
    }

    async fn resolve_grants(&self, asked: &GrantsRequest, owner: &str) -> Result<Acl> {
        if asked.grants.len() > GRANTS_MAX {
            return Err(Error::MalformedAcl);
        }
        // Nobody gives away what it owns.
        if asked.owner.as_ref().is_some_and(|named| named != owner) {
            return Err(Error::AccessDenied);
        }
        let mut grants = Vec::with_capacity(asked.grants.len());
        let mut known: HashMap<&GranteeRequest, Grantee> = HashMap::new();
        for (grantee, permission) in &asked.grants {
            let grantee = match known.get(grantee) {
                Some(found) => found.clone(),
                None => {
                    let found = self.grantee(grantee).await?;
                    known.insert(grantee, found.clone());
                    found
                }
            };
            grants.push(Grant { grantee, permission: *permission });
        }
        Ok(Acl(grants))
    }

    async fn grantee(&self, asked: &GranteeRequest) -> Result<Grantee> {
        match asked {
            GranteeRequest::Group(group) => Ok(group.clone()),
            GranteeRequest::Id(id) => match self.0.users.user(id).await? {
                Some(user) => Ok(Grantee::User(user.name)),
                None => Err(Error::InvalidArgument { name: "CanonicalUser/ID", message: "Invalid id" }),
            },
            GranteeRequest::Email(email) => self.user_of_email(email).await.map(Grantee::User),
        }
    }

    /// The one user with this address. The catalog has no order by it, and grants by address are rare.
    async fn user_of_email(&self, email: &str) -> Result<String> {
        let (mut found, mut after) = (None, None::<String>);
        loop {
            let users = self.catalog().users(after.as_deref(), USERS_PAGE).await?;
            let ended = users.len() < USERS_PAGE;
            after = users.last().map(|user| user.name.clone());
            for user in users {
                if user.email.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(email))
                    && found.replace(user.name).is_some()
                {
                    return Err(Error::UnresolvableEmail);
                }
            }
            if ended {
                return found.ok_or(Error::UnresolvableEmail);
            }
        }
    }

    async fn shown_acl(&self, bucket: &Bucket, owner: String, acl: Option<Acl>) -> Result<ShownAcl> {
        let (owner, acl) = match bucket.config.ownership {
            Some(Ownership::BucketOwnerEnforced) => (bucket.owner.clone(), None),
            _ => (owner, acl),
        };
        let acl = acl.unwrap_or_else(|| Canned::Private.grants(&owner, &bucket.owner));
        let users = acl.0.iter().filter_map(|grant| match &grant.grantee {
            Grantee::User(id) => Some(id),
            Grantee::AllUsers | Grantee::AuthenticatedUsers | Grantee::LogDelivery => None,
        });
        let mut names = HashMap::new();
        for id in users.chain([&owner]) {
            if !names.contains_key(id) {
                // Somebody who was removed has no other name than its id.
                let name = self.0.users.user(id).await?.map_or_else(|| id.clone(), |user| user.display_name);
                names.insert(id.clone(), name);
            }
        }
        Ok(ShownAcl { owner, acl, names })
    }
}

/// Public lists may be blocked.
pub(super) fn may_be_public(acl: Option<&Acl>, config: &BucketConfig) -> Result<()> {
    let blocked = config.public_access.is_some_and(|block| block.block_acls);
    if blocked && acl.is_some_and(Acl::is_public) { Err(Error::AccessDenied) } else { Ok(()) }
}

/// A list unless it is the one that everything has.
pub(super) fn unusual(acl: Option<Acl>, owner: &str) -> Option<Acl> {
    acl.filter(|acl| *acl != Canned::Private.grants(owner, owner))
}
