//! What a bucket's policy must be when it is set.
//!
//! An action on buckets whose statement names objects alone is refused, as Amazon does; an action on objects whose
//! statement names the bucket alone is taken, and allows nothing: clients are known to set such policies first.
//!
//! **Invariant:** whatever a statement names, also as what it leaves out, is everything, this bucket, or something that
//! can lie in it. What a policy allows is not decided here, and a stored one is not held to this again.

use crate::auth::policy::document::{Kind, parse};
use crate::auth::policy::question::ARN;
use crate::auth::policy::statement::Resources;
use crate::auth::policy::template::Template;
use crate::auth::policy::{Malformed, Policy};
use crate::model::name::BucketName;

/// Reads a policy that is to be set on a bucket.
///
/// # Errors
/// [`Malformed`]: it is not understood, or it speaks of something else than this bucket.
pub fn validate_bucket_policy(text: &str, bucket: &BucketName) -> Result<Policy, Malformed> {
    let policy = parse(text, Kind::Bucket)?;
    let (arn, below) = (format!("{ARN}{bucket}"), format!("{ARN}{bucket}/"));
    let on_bucket = |template: &Template| template.may_be(&arn);
    let on_objects = |template: &Template| template.may_begin_with(&below);
    for statement in &policy.statements {
        let (templates, others) = match &statement.resources {
            Resources::Any => continue,
            Resources::These(templates) => (templates, false),
            Resources::AllBut(templates) => (templates, true),
        };
        if templates.iter().any(|template| !template.is_any() && !on_bucket(template) && !on_objects(template)) {
            return Err(Malformed::new("Policy has invalid resource"));
        }
        let buckets_alone = statement.actions.has_on_buckets() && !statement.actions.has_on_objects();
        if buckets_alone && !others && !templates.iter().any(on_bucket) {
            return Err(Malformed::new("Action does not apply to any resource(s) in statement"));
        }
    }
    Ok(policy)
}
