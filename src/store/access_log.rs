//! Access logs: collected here, written to the buckets that get them.
//!
//! Lines are kept in memory, by the bucket they are about, and written as one object when there are enough of them or the
//! first is old enough, and at a stop. What a crash finds in memory is lost, and so is what does not fit: S3 promises
//! access logs by best effort and no more.
//!
//! **Invariant:** the memory is bounded, and no request waits for its line. A line comes to a bucket of the owner of the one
//! that it is about, or to none.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use tokio_util::sync::CancellationToken;

use crate::config::limits::{ACCESS_LOG_BYTES_MAX, ACCESS_LOG_OBJECT_BYTES_MAX};
use crate::model::acl::Canned;
use crate::model::action::Action;
use crate::model::caller::Caller;
use crate::model::condition::Conditions;
use crate::model::id::{BucketId, RequestId};
use crate::model::logging::{Line, Named};
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::Content;
use crate::model::time::{Clock, Timestamp};
use crate::store::Store;
use crate::store::error::{Error, Result};
use crate::store::request::{AclRequest, Given, Incoming, PutRequest};

/// Between two looks for what is to be written.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Lines about one bucket.
#[derive(Debug)]
struct Batch {
    first: Timestamp,
    lines: Vec<u8>,
}

/// Lines that are not written yet.
#[derive(Debug, Default)]
pub(super) struct AccessLog {
    batches: Mutex<Batches>,
}

/// The bucket that lines are about: a later one of its name is another.
type About = (BucketId, BucketName);

#[derive(Debug, Default)]
struct Batches {
    by_bucket: HashMap<About, Vec<Batch>>,
    bytes: usize,
    lost: u64,
}

impl AccessLog {
    fn lock(&self) -> MutexGuard<'_, Batches> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, bucket: &About, line: &str, at: Timestamp) {
        let mut all = self.lock();
        if all.bytes + line.len() > ACCESS_LOG_BYTES_MAX {
            all.lost += 1;
            return;
        }
        all.bytes += line.len();
        let batches = all.by_bucket.entry(bucket.clone()).or_default();
        match batches.last_mut().filter(|batch| batch.lines.len() + line.len() <= ACCESS_LOG_OBJECT_BYTES_MAX) {
            Some(batch) => batch.lines.extend_from_slice(line.as_bytes()),
            None => batches.push(Batch { first: at, lines: line.as_bytes().to_vec() }),
        }
    }

    /// Takes the batches that are full or from before `before`. They no longer count.
    fn take(&self, before: Timestamp) -> Vec<(About, Batch)> {
        let mut all = self.lock();
        let mut taken = Vec::new();
        for (bucket, batches) in &mut all.by_bucket {
            let full = batches.len().saturating_sub(1);
            let due = batches.iter().enumerate().filter(|(i, batch)| *i < full || batch.first <= before).count();
            taken.extend(batches.drain(..due).map(|batch| (bucket.clone(), batch)));
        }
        all.by_bucket.retain(|_, batches| !batches.is_empty());
        all.bytes = all.bytes.saturating_sub(taken.iter().map(|(_, batch)| batch.lines.len()).sum());
        let lost = std::mem::take(&mut all.lost);
        drop(all);
        if lost > 0 {
            tracing::warn!(lost, "lines of access logs did not fit and are lost");
        }
        taken
    }
}

impl Store {
    /// Whether requests to a bucket may be logged: not if it is remembered here that they are not.
    #[must_use]
    pub fn may_log_access(&self, bucket: &BucketName) -> bool {
        self.0.bounds.get(bucket).is_none_or(|bound| bound.bucket.config.logging.is_some())
    }

    /// Whether requests to a bucket are logged, as far as it is remembered here.
    #[must_use]
    pub fn logs_access(&self, bucket: &BucketName) -> bool {
        self.0.bounds.get(bucket).is_some_and(|bound| bound.bucket.config.logging.is_some())
    }

    /// Logs a request to a bucket, if its owner wants it.
    pub fn log_access(&self, bucket: &BucketName, line: &Line) {
        let Some(bound) = self.0.bounds.get(bucket).map(|bound| bound.clone()) else { return };
        if bound.bucket.config.logging.is_some() {
            let text = line.text(&bound.bucket.owner, bucket);
            self.0.access_log.add(&(bound.bucket.id, bucket.clone()), &text, line.at);
        }
    }

    /// Writes access logs until `stop`, and then what is left. `interval`: how long lines wait for others.
    pub async fn keep_access_logs(&self, stop: CancellationToken, interval: Duration) {
        let nanos = i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX);
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_INTERVAL)).await.is_some() {
            self.write_access_logs(Timestamp(Clock::now().0.saturating_sub(nanos))).await;
        }
        self.write_access_logs(Timestamp(i64::MAX)).await;
    }

    async fn write_access_logs(&self, before: Timestamp) {
        for (about, batch) in self.0.access_log.take(before) {
            if let Err(error) = self.write_access_log(&about, batch).await {
                let (_, bucket) = &about;
                tracing::warn!(%bucket, %error, "an access log could not be written and is lost");
            }
        }
    }

    async fn write_access_log(&self, (id, name): &About, batch: Batch) -> Result<()> {
        let bound = match self.bound(name).await {
            Ok(bound) if bound.bucket.id == *id => bound,
            // Nobody wants it any more.
            Ok(_) | Err(Error::NoSuchBucket) => return Ok(()),
            Err(error) => return Err(error),
        };
        let Some(logging) = &bound.bucket.config.logging else { return Ok(()) };
        let unique = RequestId::fresh();
        let named = Named {
            bucket: name,
            owner: &bound.bucket.owner,
            region: &self.0.region,
            first: batch.first,
            delivered: Clock::now(),
            unique: unique.as_str(),
        };
        let key = ObjectKey::new(&logging.key(&named))?;
        let target = self.enter_object(&Caller::ROOT, &logging.target, &key, Action::PutObject).await?;
        // The name may have become another owner's since it was set.
        if !bound.bucket.may_log_to(&target.bucket) {
            let target = &logging.target;
            tracing::warn!(bucket = %name, %target, "the bucket for an access log has another owner, and the log is lost");
            return Ok(());
        }
        let lines = Bytes::from(batch.lines);
        let length = Some(lines.len() as u64);
        let body = Incoming::new(Box::pin(stream::once(async move { Ok(lines) })), length);
        let given = Given { acl: AclRequest::Canned(Canned::BucketOwnerFullControl), ..Given::default() };
        let content = Content { content_type: Some("text/plain".to_owned()), ..Content::default() };
        let bucket = logging.target.clone();
        let request = PutRequest { bucket, key, content, given, conditions: Conditions::default(), body };
        self.put_into(target, &Caller::ROOT, request, None).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(text: &str) -> About {
        (BucketId(1), BucketName::new(text).expect("legal"))
    }

    #[test]
    fn batches_wait_until_they_are_old_or_full() {
        let log = AccessLog::default();
        log.add(&about("b-1"), "one\n", Timestamp(10));
        log.add(&about("b-1"), "two\n", Timestamp(20));
        assert!(log.take(Timestamp(9)).is_empty());
        let taken = log.take(Timestamp(10));
        assert_eq!((taken.len(), &taken[0].1.lines[..]), (1, &b"one\ntwo\n"[..]));
        let long = "x".repeat(ACCESS_LOG_OBJECT_BYTES_MAX);
        log.add(&about("b-1"), &long, Timestamp(10));
        log.add(&about("b-1"), "new\n", Timestamp(20));
        assert_eq!(log.take(Timestamp(0)).len(), 1, "the full one");
    }

    #[test]
    fn what_does_not_fit_is_lost() {
        let log = AccessLog::default();
        let long = "x".repeat(ACCESS_LOG_OBJECT_BYTES_MAX);
        for n in 0..100 {
            log.add(&about(&format!("b-{n}")), &long, Timestamp(n));
        }
        assert!(log.lock().bytes <= ACCESS_LOG_BYTES_MAX);
        assert!(log.lock().lost > 0);
        log.take(Timestamp(i64::MAX));
        assert_eq!(log.lock().bytes, 0);
    }
}
