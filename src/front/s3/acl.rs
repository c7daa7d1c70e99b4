//! Access control lists of buckets and objects.
//!
//! **Invariant:** a request sets a list in one way: by its canned name, by grants in headers, or by its body.

use http::HeaderMap;
use s3s::S3Request;
use s3s::dto::{
    AccessControlPolicy, GetBucketAclInput, GetBucketAclOutput, GetObjectAclInput, GetObjectAclOutput, Grant,
    Grantee as ShownGrantee, Owner, Permission as ShownPermission, PutBucketAclInput, PutBucketAclOutput,
    PutObjectAclInput, PutObjectAclOutput, Type,
};

use super::error::{Refusal, Result, malformed_acl};
use super::exchange::caller;
use super::gateway::Gateway;
use super::{given, wire};
use crate::model::acl::{Grantee, Permission};
use crate::model::action::Action;
use crate::store::request::{AclRequest, AttachedChange, GranteeRequest, GrantsRequest, ShownAcl};

const PERMISSIONS: [(Permission, &str); 5] = [
    (Permission::Read, ShownPermission::READ),
    (Permission::Write, ShownPermission::WRITE),
    (Permission::ReadAcp, ShownPermission::READ_ACP),
    (Permission::WriteAcp, ShownPermission::WRITE_ACP),
    (Permission::FullControl, ShownPermission::FULL_CONTROL),
];

/// GetBucketAcl.
pub(super) async fn bucket(gateway: &Gateway, request: S3Request<GetBucketAclInput>) -> Result<GetBucketAclOutput> {
    let caller = caller(&request.extensions);
    let shown = gateway.store.bucket_acl(&caller, &wire::bucket(&request.input.bucket)?).await?;
    let (owner, grants) = shown_list(&shown);
    Ok(GetBucketAclOutput { owner: Some(owner), grants: Some(grants) })
}

/// PutBucketAcl.
pub(super) async fn set_bucket(gateway: &Gateway, request: S3Request<PutBucketAclInput>) -> Result<PutBucketAclOutput> {
    let S3Request { input, headers, extensions, .. } = request;
    let asked = asked(given::acl(&headers)?, input.access_control_policy, &headers)?;
    gateway.store.set_bucket_acl(&caller(&extensions), &wire::bucket(&input.bucket)?, &asked).await?;
    Ok(PutBucketAclOutput {})
}

/// GetObjectAcl.
pub(super) async fn object(gateway: &Gateway, request: S3Request<GetObjectAclInput>) -> Result<GetObjectAclOutput> {
    let S3Request { input, extensions, .. } = request;
    let (bucket, key) = (wire::bucket(&input.bucket)?, wire::key(&input.key)?);
    let version = wire::version(input.version_id.as_deref())?;
    let shown = gateway.store.object_acl(&caller(&extensions), &bucket, &key, version).await?;
    let (owner, grants) = shown_list(&shown);
    Ok(GetObjectAclOutput { owner: Some(owner), grants: Some(grants), ..GetObjectAclOutput::default() })
}

/// PutObjectAcl.
pub(super) async fn set_object(gateway: &Gateway, request: S3Request<PutObjectAclInput>) -> Result<PutObjectAclOutput> {
    let S3Request { input, headers, extensions, .. } = request;
    let (bucket, key) = (wire::bucket(&input.bucket)?, wire::key(&input.key)?);
    let version = wire::version(input.version_id.as_deref())?;
    let action = if version.is_some() { Action::PutObjectVersionAcl } else { Action::PutObjectAcl };
    let asked = asked(given::object_acl(&headers)?, input.access_control_policy, &headers)?;
    let change = AttachedChange::Acl(asked);
    gateway.store.set_attached(&caller(&extensions), action, &bucket, &key, version, change, false).await?;
    Ok(PutObjectAclOutput::default())
}

/// The list that headers or the body ask for.
fn asked(by_headers: AclRequest, body: Option<AccessControlPolicy>, headers: &HeaderMap) -> Result<AclRequest> {
    match (by_headers, body) {
        (AclRequest::None, Some(body)) => of_body(body).map(AclRequest::Grants),
        (AclRequest::None, None) => {
            Err(Refusal::new(400, "MissingSecurityHeader", "Your request was missing a required header")
                .with("MissingHeaderName", "x-amz-acl"))
        }
        (by_headers, None) => Ok(by_headers),
        (_, Some(_)) => {
            let named = if headers.contains_key("x-amz-acl") { "x-amz-acl" } else { "x-amz-grant" };
            Err(Refusal::new(400, "UnexpectedContent", "This request does not support content").with("Header", named))
        }
    }
}

fn of_body(body: AccessControlPolicy) -> Result<GrantsRequest> {
    let owner = body.owner.and_then(|owner| owner.id).ok_or_else(malformed_acl)?;
    let grants = body.grants.ok_or_else(malformed_acl)?.into_iter().map(grant).collect::<Result<_>>()?;
    Ok(GrantsRequest { owner: Some(owner), grants })
}

fn grant(grant: Grant) -> Result<(GranteeRequest, Permission)> {
    let permission = grant.permission.ok_or_else(malformed_acl)?;
    let permission = PERMISSIONS.iter().find(|(_, name)| *name == permission.as_str()).ok_or_else(malformed_acl)?.0;
    let ShownGrantee { type_, id, email_address, uri, .. } = grant.grantee.ok_or_else(malformed_acl)?;
    let grantee = match type_.as_str() {
        Type::CANONICAL_USER => GranteeRequest::Id(id.ok_or_else(malformed_acl)?),
        Type::AMAZON_CUSTOMER_BY_EMAIL => GranteeRequest::Email(email_address.ok_or_else(malformed_acl)?),
        Type::GROUP => GranteeRequest::Group(wire::group(&uri.ok_or_else(malformed_acl)?)?),
        _ => return Err(malformed_acl()),
    };
    Ok((grantee, permission))
}

/// The grants as they are shown: those of groups first, as clients expect them.
fn shown_list(shown: &ShownAcl) -> (Owner, Vec<Grant>) {
    let name = |id: &str| shown.names.get(id).map_or(id, String::as_str).to_owned();
    let mut grants: Vec<_> = shown.acl.0.iter().collect();
    grants.sort_by_key(|grant| matches!(grant.grantee, Grantee::User(_)));
    let grants = grants.into_iter().map(|grant| {
        let empty = ShownGrantee {
            display_name: None,
            email_address: None,
            id: None,
            type_: Type::from_static(Type::GROUP),
            uri: wire::group_uri(&grant.grantee).map(str::to_owned),
        };
        let grantee = match &grant.grantee {
            Grantee::User(id) => ShownGrantee {
                type_: Type::from_static(Type::CANONICAL_USER),
                id: Some(id.clone()),
                display_name: Some(name(id)),
                ..empty
            },
            Grantee::AllUsers | Grantee::AuthenticatedUsers | Grantee::LogDelivery => empty,
        };
        let permission = PERMISSIONS.iter().find(|(known, _)| *known == grant.permission);
        let permission = permission.map(|(_, name)| ShownPermission::from_static(name));
        Grant { grantee: Some(grantee), permission }
    });
    let grants = grants.collect();
    (wire::named_owner(&shown.owner, &name(&shown.owner)), grants)
}
