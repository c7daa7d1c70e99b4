//! Object lock: of buckets, and the retention and legal hold of objects.
//!
//! **Invariant:** a retention has a mode and a date or is none at all, and a new date lies ahead. Whether a lock may be
//! set, shortened or lifted is the store's to decide, also where a bypass is asked for.

use s3s::S3Request;
use s3s::dto::{
    DefaultRetention as ShownDefault, GetObjectLegalHoldInput, GetObjectLegalHoldOutput,
    GetObjectLockConfigurationInput, GetObjectLockConfigurationOutput, GetObjectRetentionInput,
    GetObjectRetentionOutput, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockLegalHold,
    ObjectLockLegalHoldStatus, ObjectLockRetention, ObjectLockRetentionMode, ObjectLockRule, PutObjectLegalHoldInput,
    PutObjectLegalHoldOutput, PutObjectLockConfigurationInput, PutObjectLockConfigurationOutput,
    PutObjectRetentionInput, PutObjectRetentionOutput,
};

use super::error::{Refusal, Result};
use super::exchange::caller;
use super::gateway::Gateway;
use super::{given, wire};
use crate::model::action::Action;
use crate::model::lock::{DefaultRetention, LockConfig, Period, Retention, RetentionMode};
use crate::store::Error;
use crate::store::request::AttachedChange;

/// Longest default retention, in days.
const DEFAULT_DAYS_MAX: i32 = 36_500;
/// Longest default retention, in years.
const DEFAULT_YEARS_MAX: i32 = 100;

/// GetObjectLockConfiguration.
pub(super) async fn config(
    gateway: &Gateway,
    request: S3Request<GetObjectLockConfigurationInput>,
) -> Result<GetObjectLockConfigurationOutput> {
    let (caller, name) = (caller(&request.extensions), wire::bucket(&request.input.bucket)?);
    let bucket = gateway.store.config(&caller, &name, Action::GetBucketObjectLockConfiguration).await?;
    let Some(lock) = bucket.config.lock else {
        return Err(Refusal::new(
            404,
            "ObjectLockConfigurationNotFoundError",
            "Object Lock configuration does not exist for this bucket",
        )
        .with("BucketName", request.input.bucket));
    };
    let rule = lock.default.map(|default| {
        let (days, years) = match default.period {
            Period::Days(days) => (Some(wire::count(days)), None),
            Period::Years(years) => (None, Some(wire::count(years))),
        };
        let default = ShownDefault { days, years, mode: Some(shown_mode(default.mode)) };
        ObjectLockRule { default_retention: Some(default) }
    });
    let enabled = Some(ObjectLockEnabled::from_static(ObjectLockEnabled::ENABLED));
    let config = ObjectLockConfiguration { object_lock_enabled: enabled, rule };
    Ok(GetObjectLockConfigurationOutput { object_lock_configuration: Some(config) })
}

/// PutObjectLockConfiguration.
pub(super) async fn set_config(
    gateway: &Gateway,
    request: S3Request<PutObjectLockConfigurationInput>,
) -> Result<PutObjectLockConfigurationOutput> {
    let (caller, name) = (caller(&request.extensions), wire::bucket(&request.input.bucket)?);
    let config = request.input.object_lock_configuration.ok_or_else(Refusal::malformed_xml)?;
    let enabled = config.object_lock_enabled.as_ref().map(ObjectLockEnabled::as_str);
    if enabled != Some(ObjectLockEnabled::ENABLED) {
        return Err(Refusal::malformed_xml());
    }
    let default = match config.rule {
        None => None,
        Some(rule) => Some(default(rule.default_retention.ok_or_else(Refusal::malformed_xml)?)?),
    };
    gateway.store.set_lock(&caller, &name, LockConfig { default }).await?;
    Ok(PutObjectLockConfigurationOutput::default())
}

fn default(asked: ShownDefault) -> Result<DefaultRetention> {
    let mode = asked.mode.as_ref().and_then(read_mode).ok_or_else(Refusal::malformed_xml)?;
    let within = |n: i32, most: i32| {
        u32::try_from(n).ok().filter(|_| (1..=most).contains(&n)).ok_or_else(|| {
            Refusal::new(400, "InvalidRetentionPeriod", "Default retention period must be a positive integer value.")
        })
    };
    let period = match (asked.days, asked.years) {
        (Some(days), None) => Period::Days(within(days, DEFAULT_DAYS_MAX)?),
        (None, Some(years)) => Period::Years(within(years, DEFAULT_YEARS_MAX)?),
        (None, None) | (Some(_), Some(_)) => return Err(Refusal::malformed_xml()),
    };
    Ok(DefaultRetention { mode, period })
}

fn read_mode(mode: &ObjectLockRetentionMode) -> Option<RetentionMode> {
    RetentionMode::parse(mode.as_str())
}

fn shown_mode(mode: RetentionMode) -> ObjectLockRetentionMode {
    ObjectLockRetentionMode::from_static(mode.name())
}

/// GetObjectRetention.
pub(super) async fn retention(
    gateway: &Gateway,
    request: S3Request<GetObjectRetentionInput>,
) -> Result<GetObjectRetentionOutput> {
    let S3Request { input, extensions, .. } = request;
    let (bucket, key) = (wire::bucket(&input.bucket)?, wire::key(&input.key)?);
    let version = wire::version(input.version_id.as_deref())?;
    let caller = caller(&extensions);
    let object = gateway.store.attached(&caller, Action::GetObjectRetention, &bucket, &key, version).await?;
    let held = object.attached.lock.retention.ok_or(Error::NoSuchObjectLock)?;
    let shown =
        ObjectLockRetention { mode: Some(shown_mode(held.mode)), retain_until_date: Some(wire::time(held.until)) };
    Ok(GetObjectRetentionOutput { retention: Some(shown) })
}

/// PutObjectRetention. An empty one removes it.
pub(super) async fn set_retention(
    gateway: &Gateway,
    request: S3Request<PutObjectRetentionInput>,
) -> Result<PutObjectRetentionOutput> {
    let S3Request { input, extensions, .. } = request;
    let (bucket, key) = (wire::bucket(&input.bucket)?, wire::key(&input.key)?);
    let version = wire::version(input.version_id.as_deref())?;
    let asked = input.retention.ok_or_else(Refusal::malformed_xml)?;
    let retention = match (asked.mode, asked.retain_until_date) {
        (None, None) => None,
        (Some(mode), Some(until)) => {
            let mode = read_mode(&mode).ok_or_else(Refusal::malformed_xml)?;
            Some(given::future(Retention { mode, until: wire::moment(until) })?)
        }
        (None, Some(_)) | (Some(_), None) => return Err(Refusal::malformed_xml()),
    };
    let bypass = input.bypass_governance_retention.unwrap_or(false);
    let (caller, change) = (caller(&extensions), AttachedChange::Retention(retention));
    let action = Action::PutObjectRetention;
    gateway.store.set_attached(&caller, action, &bucket, &key, version, change, bypass).await?;
    Ok(PutObjectRetentionOutput::default())
}

/// GetObjectLegalHold.
pub(super) async fn legal_hold(
    gateway: &Gateway,
    request: S3Request<GetObjectLegalHoldInput>,
) -> Result<GetObjectLegalHoldOutput> {
    let S3Request { input, extensions, .. } = request;
    let (bucket, key) = (wire::bucket(&input.bucket)?, wire::key(&input.key)?);
    let version = wire::version(input.version_id.as_deref())?;
    let caller = caller(&extensions);
    let object = gateway.store.attached(&caller, Action::GetObjectLegalHold, &bucket, &key, version).await?;
    let on = object.attached.lock.legal_hold.ok_or(Error::NoSuchObjectLock)?;
    Ok(GetObjectLegalHoldOutput { legal_hold: Some(ObjectLockLegalHold { status: Some(shown_hold(on)) }) })
}

/// A legal hold in headers and bodies.
pub(super) fn shown_hold(on: bool) -> ObjectLockLegalHoldStatus {
    ObjectLockLegalHoldStatus::from_static(if on {
        ObjectLockLegalHoldStatus::ON
    } else {
        ObjectLockLegalHoldStatus::OFF
    })
}

/// PutObjectLegalHold.
pub(super) async fn set_legal_hold(
    gateway: &Gateway,
    request: S3Request<PutObjectLegalHoldInput>,
) -> Result<PutObjectLegalHoldOutput> {
    let S3Request { input, extensions, .. } = request;
    let (bucket, key) = (wire::bucket(&input.bucket)?, wire::key(&input.key)?);
    let version = wire::version(input.version_id.as_deref())?;
    let status = input.legal_hold.and_then(|hold| hold.status).ok_or_else(Refusal::malformed_xml)?;
    let on = match status.as_str() {
        ObjectLockLegalHoldStatus::ON => true,
        ObjectLockLegalHoldStatus::OFF => false,
        _ => return Err(Refusal::malformed_xml()),
    };
    let (caller, change) = (caller(&extensions), AttachedChange::LegalHold(on));
    gateway.store.set_attached(&caller, Action::PutObjectLegalHold, &bucket, &key, version, change, false).await?;
    Ok(PutObjectLegalHoldOutput::default())
}
