//! Access logging: the configuration of a bucket, and the line of each request.
//!
//! **Invariant:** the target of a request is logged without the signature and the token in it. A log is set to go to a
//! bucket of the same owner only, and who may not set it learns nothing of the target.

use std::net::IpAddr;
use std::time::Instant;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, HOST, HeaderName, REFERER, USER_AGENT};
use http::{HeaderMap, Request, Response};
use s3s::S3Request;
use s3s::dto::{
    GetBucketLoggingInput, GetBucketLoggingOutput, LoggingEnabled, PartitionDateSource, PartitionedPrefix,
    PutBucketLoggingInput, PutBucketLoggingOutput, SimplePrefix, TargetObjectKeyFormat,
};

use super::error::{Refusal, Result};
use super::exchange::caller;
use super::gateway::Gateway;
use super::{query, wire};
use crate::front::facts::RequestFacts;
use crate::model::action::Action;
use crate::model::bucket::BucketConfig;
use crate::model::caller::Caller;
use crate::model::logging::{KeyFormat, Line, Logging, PREFIX_BYTES_MAX};
use crate::model::name::BucketName;
use crate::model::time::{Clock, Timestamp};
use crate::store::{Error, Store};

/// PutBucketLogging. Without `LoggingEnabled` it ends.
pub(super) async fn put(
    gateway: &Gateway,
    request: S3Request<PutBucketLoggingInput>,
) -> Result<PutBucketLoggingOutput> {
    let caller = caller(&request.extensions);
    let bucket = wire::bucket(&request.input.bucket)?;
    let source = gateway.store.config(&caller, &bucket, Action::PutBucketLogging).await?;
    let logging = request.input.bucket_logging_status.logging_enabled.map(read).transpose()?;
    if let Some(logging) = &logging {
        let invalid = |message| Refusal::new(400, "InvalidTargetBucketForLogging", message);
        let target = gateway.store.config(&Caller::ROOT, &logging.target, Action::GetBucketLogging).await;
        let target = target.map_err(|error| match error {
            Error::NoSuchBucket => invalid("The target bucket for logging does not exist"),
            error => error.into(),
        })?;
        if !source.may_log_to(&target) {
            return Err(invalid("The owner for the bucket to be logged and the target bucket must be the same."));
        }
    }
    let change = |config: &mut BucketConfig, _: &_| {
        config.logging.clone_from(&logging);
        Ok(())
    };
    gateway.store.change_config(&caller, &bucket, Action::PutBucketLogging, change).await?;
    Ok(PutBucketLoggingOutput::default())
}

/// GetBucketLogging.
pub(super) async fn get(
    gateway: &Gateway,
    request: S3Request<GetBucketLoggingInput>,
) -> Result<GetBucketLoggingOutput> {
    let bucket = wire::bucket(&request.input.bucket)?;
    let caller = caller(&request.extensions);
    let found = gateway.store.config(&caller, &bucket, Action::GetBucketLogging).await?;
    let shown = |logging: &Logging| LoggingEnabled {
        target_bucket: logging.target.as_str().to_owned(),
        target_grants: None,
        target_object_key_format: logging.format.map(shown),
        target_prefix: logging.prefix.clone(),
    };
    Ok(GetBucketLoggingOutput { logging_enabled: found.config.logging.as_ref().map(shown) })
}

fn read(enabled: LoggingEnabled) -> Result<Logging> {
    if enabled.target_grants.is_some_and(|grants| !grants.is_empty()) {
        return Err(Refusal::not_implemented("TargetGrants"));
    }
    if enabled.target_prefix.len() > PREFIX_BYTES_MAX {
        return Err(Refusal::argument(
            "TargetPrefix",
            &enabled.target_prefix,
            "The prefix of log objects is too long.",
        ));
    }
    let format = match enabled.target_object_key_format {
        None => None,
        Some(TargetObjectKeyFormat { partitioned_prefix: None, simple_prefix: Some(_) }) => Some(KeyFormat::Simple),
        Some(TargetObjectKeyFormat { partitioned_prefix: Some(partitioned), simple_prefix: None }) => {
            let source = partitioned.partition_date_source;
            match source.as_ref().map(PartitionDateSource::as_str) {
                None | Some(PartitionDateSource::DELIVERY_TIME) => Some(KeyFormat::DeliveryTime),
                Some(PartitionDateSource::EVENT_TIME) => Some(KeyFormat::EventTime),
                Some(_) => return Err(Refusal::malformed_xml()),
            }
        }
        Some(_) => return Err(Refusal::malformed_xml()),
    };
    let target = BucketName::new(&enabled.target_bucket).map_err(|_| {
        Refusal::new(400, "InvalidTargetBucketForLogging", "The target bucket for logging does not exist")
    })?;
    Ok(Logging { target, prefix: enabled.target_prefix, format })
}

fn shown(format: KeyFormat) -> TargetObjectKeyFormat {
    let partitioned = |source| TargetObjectKeyFormat {
        partitioned_prefix: Some(PartitionedPrefix {
            partition_date_source: Some(PartitionDateSource::from_static(source)),
        }),
        simple_prefix: None,
    };
    match format {
        KeyFormat::Simple => TargetObjectKeyFormat { partitioned_prefix: None, simple_prefix: Some(SimplePrefix {}) },
        KeyFormat::DeliveryTime => partitioned(PartitionDateSource::DELIVERY_TIME),
        KeyFormat::EventTime => partitioned(PartitionDateSource::EVENT_TIME),
    }
}

/// The code of a refusal, in the extensions of its answer.
#[derive(Debug, Clone)]
pub(super) struct Code(pub(super) String);

/// What the log tells of a request, taken before it is served.
#[derive(Debug)]
pub(super) struct Visit {
    at: Timestamp,
    began: Instant,
    method: http::Method,
    target: String,
    peer: Option<IpAddr>,
    referer: Option<String>,
    agent: Option<String>,
    host: Option<String>,
    version: Option<String>,
    signed: Option<&'static str>,
}

impl Visit {
    /// Of a request that came.
    pub(super) fn of<B>(request: &Request<B>, facts: &RequestFacts) -> Self {
        let header = |name: HeaderName| header(request.headers(), &name);
        let uri = request.uri();
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let signed = match query::value(uri.query(), "X-Amz-Signature") {
            Some(_) => Some("QueryString"),
            None => request.headers().contains_key(AUTHORIZATION).then_some("AuthHeader"),
        };
        Self {
            at: Clock::now(),
            began: Instant::now(),
            method: request.method().clone(),
            // A signature in the query lets its reader in, until it has expired.
            target: format!("{} {} {:?}", request.method(), without_signature(target), request.version()),
            peer: facts.peer(),
            // The page of a signed address names it where it asks for what belongs to it.
            referer: header(REFERER).map(|referer| without_signature(&referer)),
            agent: header(USER_AGENT),
            host: header(HOST),
            version: query::value(uri.query(), "versionId"),
            signed,
        }
    }

    /// Logs it with its answer, if the bucket's requests are logged.
    pub(super) fn log<B>(self, store: &Store, facts: &RequestFacts, answer: &Response<B>) {
        let Some(bucket) = facts.bucket().and_then(|bucket| BucketName::new(bucket).ok()) else { return };
        if !store.logs_access(&bucket) {
            return;
        }
        let number = |text: Option<String>| text.and_then(|text| text.parse::<u64>().ok());
        let sent = number(header(answer.headers(), &CONTENT_LENGTH)).filter(|_| self.method != http::Method::HEAD);
        let whole =
            header(answer.headers(), &CONTENT_RANGE).and_then(|range| Some(range.rsplit_once('/')?.1.to_owned()));
        let object = matches!(facts.operation(), Some("GetObject" | "HeadObject"));
        let size = number(whole.or_else(|| header(answer.headers(), &CONTENT_LENGTH))).filter(|_| object);
        let line = Line {
            at: self.at,
            peer: self.peer,
            requester: facts.caller().filter(|caller| *caller != Caller::ANONYMOUS.id()).map(str::to_owned),
            request: facts.id().as_str().to_owned(),
            operation: operation(&self.method, facts),
            key: facts.key().map(str::to_owned),
            target: self.target,
            status: answer.status().as_u16(),
            error: answer.extensions().get::<Code>().map(|Code(code)| code.clone()),
            sent,
            size: size.filter(|_| answer.status().is_success()),
            millis: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            referer: self.referer,
            agent: self.agent,
            version: self.version,
            signed: self.signed,
            host: self.host,
        };
        store.log_access(&bucket, &line);
    }
}

/// `REST.METHOD.RESOURCE`, as AWS names what was asked for.
fn operation(method: &http::Method, facts: &RequestFacts) -> String {
    let resource = match facts.operation().unwrap_or_default() {
        "CreateMultipartUpload" | "ListMultipartUploads" => "UPLOADS",
        "CompleteMultipartUpload" | "AbortMultipartUpload" | "ListParts" => "UPLOAD",
        "UploadPart" | "UploadPartCopy" => "PART",
        "DeleteObjects" => "MULTI_OBJECT_DELETE",
        "ListObjectVersions" => "BUCKETVERSIONS",
        "GetBucketLocation" => "LOCATION",
        name if name.ends_with("Acl") => "ACL",
        name if name.ends_with("Tagging") => "TAGGING",
        name if name.ends_with("LifecycleConfiguration") || name.ends_with("Lifecycle") => "LIFECYCLE",
        name if name.ends_with("Versioning") => "VERSIONING",
        name if name.ends_with("Policy") => "BUCKETPOLICY",
        name if name.ends_with("Cors") => "CORS",
        name if name.ends_with("Logging") => "LOGGING_STATUS",
        name if name.ends_with("NotificationConfiguration") => "NOTIFICATION",
        name if name.ends_with("Website") => "WEBSITE",
        _ if facts.key().is_some() => "OBJECT",
        _ => "BUCKET",
    };
    format!("REST.{method}.{resource}")
}

fn header(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// A target or an address whose signature cannot be used again.
fn without_signature(target: &str) -> String {
    // The first is that of the second version.
    const SECRET: [&str; 3] = ["Signature", "X-Amz-Signature", "X-Amz-Security-Token"];
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let hidden = |pair: &str| {
        let name = query::decoded(pair.split('=').next().unwrap_or_default());
        if SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret)) {
            format!("{name}=-")
        } else {
            pair.to_owned()
        }
    };
    let pairs: Vec<_> = query.split('&').map(hidden).collect();
    format!("{path}?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_not_logged() {
        assert_eq!(without_signature("/b/k"), "/b/k");
        assert_eq!(without_signature("https://h/b/k?X-Amz-Signature=abc"), "https://h/b/k?X-Amz-Signature=-");
        assert_eq!(without_signature("/b/k?a=1&X-Amz-Signature=abc&b"), "/b/k?a=1&X-Amz-Signature=-&b");
        assert_eq!(without_signature("/b?X%2DAmz-Signature=abc"), "/b?X-Amz-Signature=-");
        assert_eq!(without_signature("/b/k?Expires=1&Signature=a%3D"), "/b/k?Expires=1&Signature=-");
    }
}
