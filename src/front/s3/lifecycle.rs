//! Lifecycle configuration of a bucket, between its document and the model.
//!
//! **Invariant:** what is answered is what was sent, with an id where a rule had none; a document that is refused leaves
//! the one that is kept as it is.

use s3s::S3Request;
use s3s::dto::{
    self, AbortIncompleteMultipartUpload, DeleteBucketLifecycleInput, DeleteBucketLifecycleOutput, ExpirationStatus,
    GetBucketLifecycleConfigurationInput, GetBucketLifecycleConfigurationOutput, LifecycleExpiration, LifecycleRule,
    LifecycleRuleAndOperator, LifecycleRuleFilter, PutBucketLifecycleConfigurationInput,
    PutBucketLifecycleConfigurationOutput, TransitionDefaultMinimumObjectSize, TransitionStorageClass,
};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::error::{Refusal, Result};
use super::exchange::caller;
use super::gateway::Gateway;
use super::wire;
use crate::model::action::Action;
use crate::model::id::RequestId;
use crate::model::lifecycle::{
    Expiration, Filter, Lifecycle, Noncurrent, NoncurrentTransition, Rule, Terms, Transition, Unsound,
};
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::Object;
use crate::model::tag::Tag;
use crate::model::time::Timestamp;
use crate::model::versioning::VersionRef;

/// What a client may say about the least size of a transition.
const MINIMUM_SIZES: [&str; 2] = ["all_storage_classes_128K", "varies_by_storage_class"];

/// PutBucketLifecycleConfiguration.
pub(super) async fn put(
    gateway: &Gateway,
    request: S3Request<PutBucketLifecycleConfigurationInput>,
) -> Result<PutBucketLifecycleConfigurationOutput> {
    let caller = caller(&request.extensions);
    let input = request.input;
    let bucket = wire::bucket(&input.bucket)?;
    // Who may not change it is told so, whatever the document is.
    gateway.store.config(&caller, &bucket, Action::PutLifecycleConfiguration).await?;
    let minimum = input.transition_default_minimum_object_size;
    let lifecycle = read(input.lifecycle_configuration.ok_or_else(Refusal::malformed_xml)?, minimum.clone())?;
    let change = |config: &mut crate::model::bucket::BucketConfig, _: &_| {
        config.lifecycle = Some(lifecycle.clone());
        Ok(())
    };
    gateway.store.change_config(&caller, &bucket, Action::PutLifecycleConfiguration, change).await?;
    Ok(PutBucketLifecycleConfigurationOutput { transition_default_minimum_object_size: minimum })
}

/// GetBucketLifecycleConfiguration.
pub(super) async fn get(
    gateway: &Gateway,
    request: S3Request<GetBucketLifecycleConfigurationInput>,
) -> Result<GetBucketLifecycleConfigurationOutput> {
    let bucket = wire::bucket(&request.input.bucket)?;
    let caller = caller(&request.extensions);
    let found = gateway.store.config(&caller, &bucket, Action::GetLifecycleConfiguration).await?;
    let Some(lifecycle) = &found.config.lifecycle else {
        let message = "The lifecycle configuration does not exist";
        return Err(Refusal::new(404, "NoSuchLifecycleConfiguration", message).with("BucketName", bucket.as_str()));
    };
    let minimum = lifecycle.minimum_size.clone().unwrap_or_else(|| MINIMUM_SIZES[0].to_owned());
    Ok(GetBucketLifecycleConfigurationOutput {
        rules: Some(lifecycle.rules.iter().map(shown).collect()),
        transition_default_minimum_object_size: Some(TransitionDefaultMinimumObjectSize::from(minimum)),
    })
}

/// DeleteBucketLifecycle.
pub(super) async fn delete(
    gateway: &Gateway,
    request: S3Request<DeleteBucketLifecycleInput>,
) -> Result<DeleteBucketLifecycleOutput> {
    let bucket = wire::bucket(&request.input.bucket)?;
    let change = |config: &mut crate::model::bucket::BucketConfig, _: &_| {
        config.lifecycle = None;
        Ok(())
    };
    let caller = caller(&request.extensions);
    gateway.store.change_config(&caller, &bucket, Action::PutLifecycleConfiguration, change).await?;
    Ok(DeleteBucketLifecycleOutput::default())
}

/// The header that says when an object expires. Days are those of the calendar.
pub(super) async fn expiration(gateway: &Gateway, bucket: &BucketName, object: &Object) -> Option<String> {
    header(gateway.store.expiration(bucket, object).await?)
}

/// The same of a version that was just completed.
pub(super) async fn expiration_of_written(
    gateway: &Gateway,
    bucket: &BucketName,
    key: &ObjectKey,
    version: VersionRef,
) -> Option<String> {
    header(gateway.store.expiration_of_written(bucket, key, version).await?)
}

fn header((at, rule): (Timestamp, String)) -> Option<String> {
    const DATE: &[BorrowedFormatItem<'_>] =
        format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    let date = at.to_utc().format(DATE).ok()?;
    // A name may hold what a header must not.
    let rule = percent_encoding::utf8_percent_encode(&rule, RULE_ESCAPES);
    Some(format!("expiry-date=\"{date}\", rule-id=\"{rule}\""))
}

const RULE_ESCAPES: &percent_encoding::AsciiSet =
    &percent_encoding::CONTROLS.add(b'"').add(b'%').add(b' ').add(b'\\').add(b'<').add(b'>');

fn refused(error: Unsound) -> Refusal {
    match error {
        Unsound::Malformed => Refusal::malformed_xml(),
        Unsound::Argument(message) => Refusal::new(400, "InvalidArgument", message),
        Unsound::Request(message) => Refusal::request(message),
    }
}

fn read(
    document: dto::BucketLifecycleConfiguration,
    minimum: Option<TransitionDefaultMinimumObjectSize>,
) -> Result<Lifecycle> {
    let minimum_size = minimum.map(|minimum| minimum.as_str().to_owned());
    if let Some(size) = minimum_size.as_deref().filter(|size| !MINIMUM_SIZES.contains(size)) {
        let message = "The default minimum size of transitions is not one of those there are.";
        return Err(Refusal::argument("x-amz-transition-default-minimum-object-size", size, message));
    }
    let rules = document.rules.into_iter().map(rule).collect::<Result<_>>()?;
    let lifecycle = Lifecycle { rules, minimum_size };
    lifecycle.check().map_err(refused)?;
    Ok(lifecycle)
}

/// A number of days or versions. One below zero is refused like zero where zero is, and else it is no number.
fn number(n: i32) -> Result<u32> {
    u32::try_from(n).map_err(|_| Refusal::new(400, "InvalidArgument", "A number of a rule must not be negative."))
}

fn rule(rule: LifecycleRule) -> Result<Rule> {
    let enabled = match rule.status.as_str() {
        ExpirationStatus::ENABLED => true,
        ExpirationStatus::DISABLED => false,
        _ => return Err(Refusal::malformed_xml()),
    };
    let abort = rule.abort_incomplete_multipart_upload;
    let abort_days = abort.map(|abort| abort.days_after_initiation.ok_or_else(Refusal::malformed_xml)).transpose()?;
    let class = |class: Option<TransitionStorageClass>| {
        class.map(|class| class.as_str().to_owned()).ok_or_else(Refusal::malformed_xml)
    };
    let transitions = rule.transitions.into_iter().flatten().map(|transition| {
        let days = transition.days.map(number).transpose()?;
        Ok(Transition { days, date: transition.date.map(wire::moment), class: class(transition.storage_class)? })
    });
    let noncurrent_transitions = rule.noncurrent_version_transitions.into_iter().flatten().map(|transition| {
        Ok(NoncurrentTransition {
            days: number(transition.noncurrent_days.ok_or_else(Refusal::malformed_xml)?)?,
            keep: transition.newer_noncurrent_versions.map(number).transpose()?,
            class: class(transition.storage_class)?,
        })
    });
    Ok(Rule {
        id: rule.id.filter(|id| !id.is_empty()).unwrap_or_else(fresh_id),
        enabled,
        prefix: rule.prefix,
        filter: rule.filter.map(filter).transpose()?,
        expiration: rule.expiration.map(read_expiration).transpose()?,
        noncurrent: rule.noncurrent_version_expiration.map(noncurrent).transpose()?,
        abort_days: abort_days.map(number).transpose()?,
        transitions: transitions.collect::<Result<_>>()?,
        noncurrent_transitions: noncurrent_transitions.collect::<Result<_>>()?,
    })
}

fn fresh_id() -> String {
    format!("{}{}", RequestId::fresh().as_str(), RequestId::fresh().as_str()).to_ascii_lowercase()
}

fn read_expiration(expiration: LifecycleExpiration) -> Result<Expiration> {
    Ok(Expiration {
        days: expiration.days.map(number).transpose()?,
        date: expiration.date.map(wire::moment),
        lone_marker: expiration.expired_object_delete_marker,
    })
}

fn noncurrent(expiration: dto::NoncurrentVersionExpiration) -> Result<Noncurrent> {
    Ok(Noncurrent {
        days: number(expiration.noncurrent_days.ok_or_else(Refusal::malformed_xml)?)?,
        keep: expiration.newer_noncurrent_versions.map(number).transpose()?,
    })
}

fn filter(filter: LifecycleRuleFilter) -> Result<Filter> {
    let and = filter.and.map(|and| {
        let LifecycleRuleAndOperator { prefix, tags, object_size_greater_than, object_size_less_than } = and;
        terms(prefix, tags.into_iter().flatten(), object_size_greater_than, object_size_less_than)
    });
    let LifecycleRuleFilter { prefix, tag, object_size_greater_than, object_size_less_than, .. } = filter;
    let terms = terms(prefix, tag.into_iter(), object_size_greater_than, object_size_less_than)?;
    Ok(Filter { terms, and: and.transpose()? })
}

fn terms(
    prefix: Option<String>,
    tags: impl Iterator<Item = dto::Tag>,
    greater: Option<i64>,
    less: Option<i64>,
) -> Result<Terms> {
    let size =
        |size: i64| u64::try_from(size).map_err(|_| Refusal::request("A size of a filter must not be negative."));
    let tags = tags.map(|tag| {
        let key = tag.key.filter(|key| !key.is_empty()).ok_or_else(Refusal::malformed_xml)?;
        Ok(Tag { key, value: tag.value.unwrap_or_default() })
    });
    Ok(Terms {
        prefix,
        tags: tags.collect::<Result<_>>()?,
        greater: greater.map(size).transpose()?,
        less: less.map(size).transpose()?,
    })
}

fn days(n: u32) -> i32 {
    wire::count(n)
}

fn shown(rule: &Rule) -> LifecycleRule {
    let status = if rule.enabled { ExpirationStatus::ENABLED } else { ExpirationStatus::DISABLED };
    let class = |class: &str| Some(TransitionStorageClass::from(class.to_owned()));
    let transitions = rule.transitions.iter().map(|transition| dto::Transition {
        days: transition.days.map(days),
        date: transition.date.map(wire::time),
        storage_class: class(&transition.class),
    });
    let noncurrent = rule.noncurrent_transitions.iter().map(|transition| dto::NoncurrentVersionTransition {
        noncurrent_days: Some(days(transition.days)),
        newer_noncurrent_versions: transition.keep.map(days),
        storage_class: class(&transition.class),
    });
    let abort = |n| AbortIncompleteMultipartUpload { days_after_initiation: Some(days(n)) };
    LifecycleRule {
        abort_incomplete_multipart_upload: rule.abort_days.map(abort),
        expiration: rule.expiration.map(|expiration| LifecycleExpiration {
            days: expiration.days.map(days),
            date: expiration.date.map(wire::time),
            expired_object_delete_marker: expiration.lone_marker,
        }),
        filter: rule.filter.as_ref().map(shown_filter),
        id: Some(rule.id.clone()),
        noncurrent_version_expiration: rule.noncurrent.map(|noncurrent| dto::NoncurrentVersionExpiration {
            noncurrent_days: Some(days(noncurrent.days)),
            newer_noncurrent_versions: noncurrent.keep.map(days),
        }),
        noncurrent_version_transitions: Some(noncurrent.collect::<Vec<_>>()).filter(|list| !list.is_empty()),
        prefix: rule.prefix.clone(),
        status: ExpirationStatus::from_static(status),
        transitions: Some(transitions.collect::<Vec<_>>()).filter(|list| !list.is_empty()),
    }
}

fn shown_filter(filter: &Filter) -> LifecycleRuleFilter {
    let tag = |tag: &Tag| dto::Tag { key: Some(tag.key.clone()), value: Some(tag.value.clone()) };
    let Filter { terms, and } = filter;
    LifecycleRuleFilter {
        and: and.as_ref().map(|and| LifecycleRuleAndOperator {
            object_size_greater_than: and.greater.map(wire::bytes),
            object_size_less_than: and.less.map(wire::bytes),
            prefix: and.prefix.clone(),
            tags: Some(and.tags.iter().map(tag).collect::<Vec<_>>()).filter(|tags| !tags.is_empty()),
        }),
        object_size_greater_than: terms.greater.map(wire::bytes),
        object_size_less_than: terms.less.map(wire::bytes),
        prefix: terms.prefix.clone(),
        tag: terms.tags.first().map(tag),
    }
}
