//! Configuration of buckets: versioning, policy, what blocks public access, who owns what is written, who pays.
//!
//! **Invariant:** a value that is not known is refused and never taken for a default, and each function asks the store
//! under the action of its own name: nothing is shown or said to be set before that was allowed.

use s3s::S3Request;
use s3s::dto::{
    BucketVersioningStatus, DeleteBucketOwnershipControlsInput, DeleteBucketOwnershipControlsOutput,
    DeleteBucketPolicyInput, DeleteBucketPolicyOutput, DeletePublicAccessBlockInput, DeletePublicAccessBlockOutput,
    GetBucketOwnershipControlsInput, GetBucketOwnershipControlsOutput, GetBucketPolicyInput, GetBucketPolicyOutput,
    GetBucketPolicyStatusInput, GetBucketPolicyStatusOutput, GetBucketRequestPaymentInput,
    GetBucketRequestPaymentOutput, GetBucketVersioningInput, GetBucketVersioningOutput, GetPublicAccessBlockInput,
    GetPublicAccessBlockOutput, MFADelete, ObjectOwnership, OwnershipControls, OwnershipControlsRule, Payer,
    PolicyStatus, PublicAccessBlockConfiguration, PutBucketOwnershipControlsInput, PutBucketOwnershipControlsOutput,
    PutBucketPolicyInput, PutBucketPolicyOutput, PutBucketRequestPaymentInput, PutBucketRequestPaymentOutput,
    PutBucketVersioningInput, PutBucketVersioningOutput, PutPublicAccessBlockInput, PutPublicAccessBlockOutput,
};

use super::error::{Refusal, Result};
use super::exchange::caller;
use super::gateway::Gateway;
use super::wire;
use crate::model::action::Action;
use crate::model::bucket::{Ownership, PublicAccessBlock};
use crate::model::versioning::Versioning;

/// GetBucketVersioning.
pub(super) async fn versioning(
    gateway: &Gateway,
    request: S3Request<GetBucketVersioningInput>,
) -> Result<GetBucketVersioningOutput> {
    let (caller, name) = (caller(&request.extensions), wire::bucket(&request.input.bucket)?);
    let bucket = gateway.store.config(&caller, &name, Action::GetBucketVersioning).await?;
    let status = match bucket.config.versioning {
        Versioning::Never => None,
        Versioning::Enabled => Some(BucketVersioningStatus::ENABLED),
        Versioning::Suspended => Some(BucketVersioningStatus::SUSPENDED),
    };
    Ok(GetBucketVersioningOutput { status: status.map(BucketVersioningStatus::from_static), mfa_delete: None })
}

/// PutBucketVersioning.
pub(super) async fn set_versioning(
    gateway: &Gateway,
    request: S3Request<PutBucketVersioningInput>,
) -> Result<PutBucketVersioningOutput> {
    let (caller, name) = (caller(&request.extensions), wire::bucket(&request.input.bucket)?);
    let asked = request.input.versioning_configuration;
    match asked.mfa_delete.as_ref().map(MFADelete::as_str) {
        None | Some(MFADelete::DISABLED) => {}
        Some(MFADelete::ENABLED) => return Err(Refusal::not_implemented("MFA delete")),
        Some(_) => return Err(Refusal::malformed_xml()),
    }
    let versioning = match asked.status.as_ref().map(BucketVersioningStatus::as_str) {
        Some(BucketVersioningStatus::ENABLED) => Versioning::Enabled,
        Some(BucketVersioningStatus::SUSPENDED) => Versioning::Suspended,
        Some(_) => return Err(Refusal::malformed_xml()),
        None => {
            return Err(Refusal::new(
                400,
                "IllegalVersioningConfigurationException",
                "The Versioning element must be specified",
            ));
        }
    };
    gateway.store.set_versioning(&caller, &name, versioning).await?;
    Ok(PutBucketVersioningOutput {})
}

/// GetBucketPolicy.
pub(super) async fn policy(
    gateway: &Gateway,
    request: S3Request<GetBucketPolicyInput>,
) -> Result<GetBucketPolicyOutput> {
    let (caller, name) = (caller(&request.extensions), wire::bucket(&request.input.bucket)?);
    let bucket = gateway.store.config(&caller, &name, Action::GetBucketPolicy).await?;
    match &bucket.config.policy {
        Some(text) => Ok(GetBucketPolicyOutput { policy: Some(text.clone()) }),
        None => Err(Refusal::new(404, "NoSuchBucketPolicy", "The bucket policy does not exist")
            .with("BucketName", request.input.bucket)),
    }
}

/// PutBucketPolicy.
pub(super) async fn set_policy(
    gateway: &Gateway,
    request: S3Request<PutBucketPolicyInput>,
) -> Result<PutBucketPolicyOutput> {
    let (caller, name) = (caller(&request.extensions), wire::bucket(&request.input.bucket)?);
    gateway.store.set_policy(&caller, &name, request.input.policy).await?;
    Ok(PutBucketPolicyOutput {})
}

/// DeleteBucketPolicy.
pub(super) async fn delete_policy(
    gateway: &Gateway,
    request: S3Request<DeleteBucketPolicyInput>,
) -> Result<DeleteBucketPolicyOutput> {
    let (caller, name) = (caller(&request.extensions), wire::bucket(&request.input.bucket)?);
    gateway.store.delete_policy(&caller, &name).await?;
    Ok(DeleteBucketPolicyOutput {})
}

/// GetBucketPolicyStatus.
pub(super) async fn policy_status(
    gateway: &Gateway,
    request: S3Request<GetBucketPolicyStatusInput>,
) -> Result<GetBucketPolicyStatusOutput> {
    let (caller, name) = (caller(&request.extensions), wire::bucket(&request.input.bucket)?);
    let is_public = Some(gateway.store.is_public(&caller, &name).await?);
    Ok(GetBucketPolicyStatusOutput { policy_status: Some(PolicyStatus { is_public }) })
}

/// GetPublicAccessBlock.
pub(super) async fn public_access(
    gateway: &Gateway,
    request: S3Request<GetPublicAccessBlockInput>,
) -> Result<GetPublicAccessBlockOutput> {
    let (caller, name) = (caller(&request.extensions), wire::bucket(&request.input.bucket)?);
    let bucket = gateway.store.config(&caller, &name, Action::GetBucketPublicAccessBlock).await?;
    let Some(block) = bucket.config.public_access else {
        return Err(Refusal::new(
            404,
            "NoSuchPublicAccessBlockConfiguration",
            "The public access block configuration was not found",
        )
        .with("BucketName", request.input.bucket));
    };
    let shown = PublicAccessBlockConfiguration {
        block_public_acls: Some(block.block_acls),
        ignore_public_acls: Some(block.ignore_acls),
        block_public_policy: Some(block.block_policy),
        restrict_public_buckets: Some(block.restrict_buckets),
    };
    Ok(GetPublicAccessBlockOutput { public_access_block_configuration: Some(shown) })
}

/// PutPublicAccessBlock. What it does not name is off.
pub(super) async fn set_public_access(
    gateway: &Gateway,
    request: S3Request<PutPublicAccessBlockInput>,
) -> Result<PutPublicAccessBlockOutput> {
    let (caller, name) = (caller(&request.extensions), wire::bucket(&request.input.bucket)?);
    let asked = request.input.public_access_block_configuration;
    let block = PublicAccessBlock {
        block_acls: asked.block_public_acls.unwrap_or(false),
        ignore_acls: asked.ignore_public_acls.unwrap_or(false),
        block_policy: asked.block_public_policy.unwrap_or(false),
        restrict_buckets: asked.restrict_public_buckets.unwrap_or(false),
    };
    gateway.store.set_public_access(&caller, &name, Some(block)).await?;
    Ok(PutPublicAccessBlockOutput {})
}

/// DeletePublicAccessBlock.
pub(super) async fn delete_public_access(
    gateway: &Gateway,
    request: S3Request<DeletePublicAccessBlockInput>,
) -> Result<DeletePublicAccessBlockOutput> {
    let (caller, name) = (caller(&request.extensions), wire::bucket(&request.input.bucket)?);
    gateway.store.set_public_access(&caller, &name, None).await?;
    Ok(DeletePublicAccessBlockOutput {})
}

const OWNERSHIPS: [(Ownership, &str); 3] = [
    (Ownership::BucketOwnerEnforced, ObjectOwnership::BUCKET_OWNER_ENFORCED),
    (Ownership::BucketOwnerPreferred, ObjectOwnership::BUCKET_OWNER_PREFERRED),
    (Ownership::ObjectWriter, ObjectOwnership::OBJECT_WRITER),
];

/// The ownership of a name.
pub(super) fn ownership_named(name: &ObjectOwnership) -> Option<Ownership> {
    OWNERSHIPS.iter().find(|(_, known)| *known == name.as_str()).map(|(ownership, _)| *ownership)
}

/// GetBucketOwnershipControls.
pub(super) async fn ownership(
    gateway: &Gateway,
    request: S3Request<GetBucketOwnershipControlsInput>,
) -> Result<GetBucketOwnershipControlsOutput> {
    let (caller, name) = (caller(&request.extensions), wire::bucket(&request.input.bucket)?);
    let bucket = gateway.store.config(&caller, &name, Action::GetBucketOwnershipControls).await?;
    let set = bucket.config.ownership.and_then(|set| OWNERSHIPS.iter().find(|(known, _)| *known == set));
    let Some((_, name)) = set else {
        return Err(Refusal::new(
            404,
            "OwnershipControlsNotFoundError",
            "The bucket ownership controls were not found",
        )
        .with("BucketName", request.input.bucket));
    };
    let rule = OwnershipControlsRule { object_ownership: ObjectOwnership::from_static(name) };
    Ok(GetBucketOwnershipControlsOutput { ownership_controls: Some(OwnershipControls { rules: vec![rule] }) })
}

/// PutBucketOwnershipControls: one rule.
pub(super) async fn set_ownership(
    gateway: &Gateway,
    request: S3Request<PutBucketOwnershipControlsInput>,
) -> Result<PutBucketOwnershipControlsOutput> {
    let (caller, name) = (caller(&request.extensions), wire::bucket(&request.input.bucket)?);
    let [rule] = &request.input.ownership_controls.rules[..] else { return Err(Refusal::malformed_xml()) };
    let ownership = ownership_named(&rule.object_ownership).ok_or_else(Refusal::malformed_xml)?;
    gateway.store.set_ownership(&caller, &name, Some(ownership)).await?;
    Ok(PutBucketOwnershipControlsOutput {})
}

/// DeleteBucketOwnershipControls.
pub(super) async fn delete_ownership(
    gateway: &Gateway,
    request: S3Request<DeleteBucketOwnershipControlsInput>,
) -> Result<DeleteBucketOwnershipControlsOutput> {
    let (caller, name) = (caller(&request.extensions), wire::bucket(&request.input.bucket)?);
    gateway.store.set_ownership(&caller, &name, None).await?;
    Ok(DeleteBucketOwnershipControlsOutput {})
}

/// GetBucketRequestPayment: the owner pays.
pub(super) async fn payment(
    gateway: &Gateway,
    request: S3Request<GetBucketRequestPaymentInput>,
) -> Result<GetBucketRequestPaymentOutput> {
    let (caller, name) = (caller(&request.extensions), wire::bucket(&request.input.bucket)?);
    gateway.store.config(&caller, &name, Action::GetBucketRequestPayment).await?;
    Ok(GetBucketRequestPaymentOutput { payer: Some(Payer::from_static(Payer::BUCKET_OWNER)) })
}

/// PutBucketRequestPayment: nobody else can pay.
pub(super) async fn set_payment(
    gateway: &Gateway,
    request: S3Request<PutBucketRequestPaymentInput>,
) -> Result<PutBucketRequestPaymentOutput> {
    let (caller, name) = (caller(&request.extensions), wire::bucket(&request.input.bucket)?);
    gateway.store.config(&caller, &name, Action::PutBucketRequestPayment).await?;
    match request.input.request_payment_configuration.payer.as_str() {
        Payer::BUCKET_OWNER => Ok(PutBucketRequestPaymentOutput {}),
        Payer::REQUESTER => Err(Refusal::not_implemented("Requester pays")),
        _ => Err(Refusal::malformed_xml()),
    }
}
