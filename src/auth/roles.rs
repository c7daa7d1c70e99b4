//! What roles of tokens may ask a catalog for that has policies of its own.
//!
//! | what | what the policies are asked |
//! |---|---|
//! | list, look at a bucket; its region, whether it keeps versions | `SELECT` on `storage.buckets` |
//! | make, remove a bucket; open, close and limit it | `INSERT`, `DELETE`, `UPDATE` there |
//! | list keys and versions | `SELECT` on `storage.objects` |
//! | read an object, its attributes, tags, list, retention and hold | `SELECT` |
//! | write one, also in parts | `INSERT`, and unless only a new one is to be made `UPDATE` and `SELECT` |
//! | change its tags | `UPDATE` |
//! | delete one | `DELETE` |
//! | all of these for a version | the same, as if it were the current one |
//! | go on with an upload, list or abort it | nothing: it is whose role and subject began it |
//!
//! The functions of a FileStore are the same statements:
//!
//! | function | what the policies are asked |
//! |---|---|
//! | `getItem`, `read`, `getOwner` | `SELECT` |
//! | `list` | `SELECT`; a directory is there if the role sees something in it, or its mark |
//! | `newItem` | `INSERT`; a directory that the role does not see need not be there |
//! | `setItem`, `write` | `SELECT`, and `INSERT` and `UPDATE` as to write over an object |
//! | `removeItem` | `SELECT` and `DELETE`; with `recursive` on all that is in the directory |
//! | `move` | `SELECT`, and `UPDATE` to the new name; of a directory, on all that is in it |
//! | `allowed` | those of the function; `newItem` for a new name, `move` without one, directories up to 1,000 keys |
//! | `getPermissions`, `setPermissions`, `setOwner` | refused |
//!
//! What groups have a permission usually is not asked of a role. What was said by `setPermissions`, and what a policy of
//! the bucket denies, keeps a role out on every front if it is not in the groups, and never lets it in
//! ([`crate::auth::decide::decide_said`]).
//!
//! Everything else that is set for a bucket or an object (policies, lists, locks, versioning, lifecycle, notification and
//! the like) gives or takes rights past these policies, and is for the service and for users. What a public bucket holds
//! everyone reads.
//!
//! **Invariant:** nothing is allowed here but the reading of a public bucket; the store puts each of these questions to the
//! catalog before anything happens.

use crate::auth::decide::{Target, Verdict};
use crate::model::action::Action;
use crate::model::bucket::Bucket;
use crate::model::service::Permission;

/// Whether everyone may do this in a bucket.
#[must_use]
pub fn is_open(action: Action, bucket: &Bucket) -> bool {
    let restricted = bucket.config.public_access.is_some_and(|block| block.restrict_buckets);
    action == Action::GetObject && bucket.settings.public && !restricted && bucket.config.bound_service().is_none()
}

/// Decides about a role of a catalog that has policies of its own.
#[must_use]
pub fn decide(action: Action, target: Target<'_>) -> Verdict {
    if target.bucket().is_some_and(|bucket| is_open(action, bucket)) {
        return Verdict::Allowed;
    }
    // Which groups may do what stands in no row.
    if matches!(target, Target::Item(_, _, _, Permission::GetPermissions, _)) {
        return Verdict::Refused;
    }
    match action {
        Action::CreateBucket
        | Action::DeleteBucket
        | Action::ListAllMyBuckets
        | Action::ListBucket
        | Action::ListBucketVersions
        | Action::ListBucketMultipartUploads
        | Action::GetBucketLocation
        | Action::GetBucketVersioning
        | Action::GetObject
        | Action::GetObjectVersion
        | Action::GetObjectAttributes
        | Action::GetObjectVersionAttributes
        | Action::GetObjectAcl
        | Action::GetObjectVersionAcl
        | Action::GetObjectTagging
        | Action::GetObjectVersionTagging
        | Action::GetObjectRetention
        | Action::GetObjectLegalHold
        | Action::GetObjectTorrent
        | Action::PutObject
        | Action::DeleteObject
        | Action::DeleteObjectVersion
        | Action::PutObjectTagging
        | Action::PutObjectVersionTagging
        | Action::DeleteObjectTagging
        | Action::DeleteObjectVersionTagging
        | Action::AbortMultipartUpload
        | Action::ListMultipartUploadParts => Verdict::Catalog,
        _ => Verdict::Refused,
    }
}
