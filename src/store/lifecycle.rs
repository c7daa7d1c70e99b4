//! Lifecycle: the background work that does what the rules of buckets say.
//!
//! A pass walks the versions of each bucket that has rules, a window at a time, and asks [`due`] about each. What is due
//! goes through the same doors as a client's request, as root: object lock holds it, and a version that was replaced
//! since it was looked at stays, because the deletion names what was seen.
//!
//! **Invariant:** a pass decides nothing that is not decided again by the commit. So it may be cut short anywhere, run
//! twice, and run beside other gateways.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::catalog::VersionWindow;
use crate::config::limits::{LIFECYCLE_DELETES_AT_ONCE, LIFECYCLE_PASS_SECONDS_MAX, LIFECYCLE_WINDOW_ROWS};
use crate::model::bucket::Bucket;
use crate::model::caller::Caller;
use crate::model::condition::Conditions;
use crate::model::lifecycle::{Day, Due, Facts, Lifecycle, Rank, Rule, due};
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::{Entry, Object};
use crate::model::page::Seek;
use crate::model::tag::Tags;
use crate::model::time::{Clock, Timestamp};
use crate::model::versioning::VersionRef;
use crate::store::error::{Error, Result};
use crate::store::events::How;
use crate::store::gateways::Turn;
use crate::store::get::is_named;
use crate::store::request::{DeleteRequest, UploadRef};
use crate::store::{SERVICE, Store};

/// Between two looks whether a pass is due here.
const TURN_INTERVAL: Duration = Duration::from_millis(500);

/// What one pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LifecycleReport {
    /// Versions looked at.
    pub versions: u64,
    /// Versions, markers and keys removed.
    pub removed: u64,
    /// Uploads given up.
    pub aborted: u64,
    /// What was due and is held, or was not done for another reason.
    pub kept: u64,
}

/// What a version is found to be due for.
struct Finding {
    entry: Entry,
    due: Due,
}

/// The versions of a bucket in their order, a window at a time.
struct Versions<'a> {
    store: &'a Store,
    bucket: &'a Bucket,
    prefix: String,
    page: VecDeque<Entry>,
    rest_of: Option<(crate::model::name::ObjectKey, u64)>,
    seek: Seek,
    ended: bool,
}

impl Versions<'_> {
    /// The next one, with the one behind it left in place.
    async fn next(&mut self) -> Result<Option<Entry>> {
        // Whether a version is the last of its key is known from the one behind it.
        while self.page.len() < 2 && !self.ended {
            let window = VersionWindow {
                prefix: self.prefix.clone(),
                rest_of: self.rest_of.take(),
                seek: self.seek.clone(),
                limit: LIFECYCLE_WINDOW_ROWS,
            };
            let rows = self.store.catalog().list_versions(&SERVICE, self.bucket.id, window).await?;
            self.ended = rows.len() < LIFECYCLE_WINDOW_ROWS;
            if let Some(last) = rows.last() {
                self.rest_of = Some((last.key.clone(), last.counter));
                self.seek = Seek::After(last.key.as_str().to_owned());
            }
            self.page.extend(rows);
        }
        Ok(self.page.pop_front())
    }

    fn behind(&self) -> Option<&Entry> {
        self.page.front()
    }
}

/// What is known of the versions of one key that were passed.
#[derive(Default)]
struct Passed {
    latest: Option<Entry>,
    newer: u32,
}

impl Passed {
    /// Where the next version stands, given the one behind it.
    fn rank(&mut self, entry: &Entry, behind: Option<&Entry>) -> Rank {
        let before = self.latest.replace(entry.clone()).filter(|before| before.key == entry.key);
        let Some(before) = before else {
            self.newer = 0;
            return Rank::Current { alone: behind.is_none_or(|behind| behind.key != entry.key) };
        };
        let rank = Rank::Noncurrent { since: before.modified, newer: self.newer };
        self.newer = self.newer.saturating_add(u32::from(!entry.marker));
        rank
    }
}

impl Store {
    /// Follows the lifecycle rules until `stop`.
    pub async fn keep_lifecycle(&self, stop: CancellationToken, day: Day) {
        let pause = Duration::from_secs(u64::from(day.seconds() / 4).clamp(1, LIFECYCLE_PASS_SECONDS_MAX));
        let (mut turn, mut next) = (Turn::at("lifecycle"), Instant::now() + pause);
        while stop.run_until_cancelled(tokio::time::sleep(TURN_INTERVAL)).await.is_some() {
            // Whoever has the turn keeps it between two passes.
            if !self.has_turn(&mut turn).await || Instant::now() < next {
                continue;
            }
            next = Instant::now() + pause;
            let pass = self.in_turn(&mut turn, self.lifecycle_pass(Clock::now(), day));
            match stop.run_until_cancelled(pass).await.flatten() {
                Some(Ok(report)) if report.removed + report.aborted > 0 => {
                    tracing::info!(removed = report.removed, aborted = report.aborted, kept = report.kept, "expired");
                }
                Some(Ok(_)) | None => {}
                Some(Err(error)) => tracing::warn!(%error, "lifecycle rules could not be read"),
            }
        }
    }

    /// Does once what all rules say at the time `now`.
    ///
    /// # Errors
    /// Failures of the catalog; what fails of one bucket is left to the next pass.
    pub async fn lifecycle_pass(&self, now: Timestamp, day: Day) -> Result<LifecycleReport> {
        let mut report = LifecycleReport::default();
        let mut after: Option<BucketName> = None;
        loop {
            let after_name = after.as_ref().map(BucketName::as_str);
            let buckets = self.catalog().buckets(&SERVICE, "", after_name, LIFECYCLE_WINDOW_ROWS).await?;
            let Some(last) = buckets.last() else { return Ok(report) };
            after = Some(last.name.clone());
            for bucket in &buckets {
                let followed = match &bucket.config.lifecycle {
                    Some(lifecycle) => self.follow(bucket, lifecycle, now, day, &mut report).await,
                    None => Ok(()),
                };
                let done = match followed {
                    Ok(()) => self.abort_overdue(bucket, now, day, &mut report).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = done {
                    tracing::warn!(bucket = %bucket.name, %error, "lifecycle rules could not be followed");
                }
            }
        }
    }

    /// Does what the rules of one bucket say of its versions.
    async fn follow(
        &self,
        bucket: &Bucket,
        lifecycle: &Lifecycle,
        now: Timestamp,
        day: Day,
        report: &mut LifecycleReport,
    ) -> Result<()> {
        let acts = |rule: &&Rule| rule.enabled && (rule.expiration.is_some() || rule.noncurrent.is_some());
        let rules: Vec<&Rule> = lifecycle.rules.iter().filter(acts).collect();
        let Some(prefix) = common_prefix(rules.iter().map(|rule| rule.prefix())) else { return Ok(()) };
        let mut versions = Versions {
            store: self,
            bucket,
            seek: Seek::From(prefix.clone()),
            prefix,
            page: VecDeque::new(),
            rest_of: None,
            ended: false,
        };
        let (mut passed, mut found) = (Passed::default(), Vec::new());
        while let Some(entry) = versions.next().await? {
            report.versions += 1;
            let rank = passed.rank(&entry, versions.behind());
            if let Some(due) = self.due_of(bucket, &rules, &entry, rank, now, day).await? {
                found.push(Finding { entry, due });
            }
            if found.len() >= LIFECYCLE_WINDOW_ROWS {
                self.remove_all(bucket, std::mem::take(&mut found), report).await;
            }
        }
        self.remove_all(bucket, found, report).await;
        Ok(())
    }

    /// What the rules want of a version. Tags are read only if what else a rule says would have it gone.
    async fn due_of(
        &self,
        bucket: &Bucket,
        rules: &[&Rule],
        entry: &Entry,
        rank: Rank,
        now: Timestamp,
        day: Day,
    ) -> Result<Option<Due>> {
        let none = Tags::default();
        let facts = |tags| facts_of(entry, rank, tags);
        let plain = rules.iter().filter(|rule| !rule.asks_tags());
        if let Some(due) = plain.into_iter().find_map(|rule| due(rule, &facts(&none), now, day)) {
            return Ok(Some(due));
        }
        let tagged: Vec<_> = rules.iter().filter(|rule| rule.asks_tags()).collect();
        if entry.marker || !tagged.iter().any(|rule| entry.key.as_str().starts_with(rule.prefix())) {
            return Ok(None);
        }
        let id = VersionRef::Id(entry.version);
        let Some(object) = self.catalog().version(&SERVICE, bucket.id, &entry.key, id).await? else { return Ok(None) };
        Ok(tagged.into_iter().find_map(|rule| due(rule, &facts(&object.attached.tags), now, day)))
    }

    async fn remove_all(&self, bucket: &Bucket, found: Vec<Finding>, report: &mut LifecycleReport) {
        let removals = futures_util::stream::iter(found).map(|finding| self.expire(&bucket.name, finding));
        let mut removals = removals.buffer_unordered(LIFECYCLE_DELETES_AT_ONCE);
        while let Some(removed) = removals.next().await {
            if removed { report.removed += 1 } else { report.kept += 1 }
        }
    }

    /// Removes what is due, if it is still what was looked at.
    async fn expire(&self, bucket: &BucketName, Finding { entry, due }: Finding) -> bool {
        let seen = Conditions {
            if_last_modified: Some(entry.modified),
            if_size: Some(entry.size),
            ..Conditions::matching(&entry.etag)
        };
        let (version, conditions) = match due {
            Due::Delete => (None, seen),
            Due::Remove if entry.null && !entry.marker => (Some(VersionRef::Null), seen),
            Due::Remove if entry.null => (Some(VersionRef::Null), Conditions::default()),
            Due::Remove => (Some(VersionRef::Id(entry.version)), Conditions::default()),
        };
        let key = entry.key.clone();
        let request = DeleteRequest { bucket: bucket.clone(), key, version, bypass_governance: false, conditions };
        match self.delete_because(&Caller::ROOT, request, How::Lifecycle).await {
            Ok(_) => true,
            // Held, replaced or gone.
            Err(Error::ObjectLocked | Error::PreconditionFailed | Error::NoSuchKey | Error::NoSuchVersion) => false,
            Err(error) => {
                tracing::warn!(%bucket, key = %entry.key, %error, "an object that has expired is left to the next pass");
                false
            }
        }
    }

    /// Gives up the uploads of a bucket that are overdue.
    async fn abort_overdue(
        &self,
        bucket: &Bucket,
        now: Timestamp,
        day: Day,
        report: &mut LifecycleReport,
    ) -> Result<()> {
        let rules = bucket.config.lifecycle.iter().flat_map(|lifecycle| &lifecycle.rules);
        let rules: Vec<&Rule> = rules.filter(|rule| rule.enabled && rule.abort_days.is_some()).collect();
        let mut after = None;
        loop {
            let from = after.as_ref().map(|(key, id): &(String, _)| (key.as_str(), Some(*id)));
            let uploads = self.catalog().uploads(&SERVICE, bucket.id, "", from, LIFECYCLE_WINDOW_ROWS).await?;
            let Some(last) = uploads.last() else { return Ok(()) };
            after = Some((last.key.as_str().to_owned(), last.id));
            for upload in uploads {
                let overdue =
                    |rule: &&Rule| rule.abort_at(upload.key.as_str(), upload.created, day).is_some_and(|at| at <= now);
                let ended = upload.attached.ends.is_some_and(|ends| ends <= now);
                if !ended && !rules.iter().any(overdue) {
                    continue;
                }
                let named = UploadRef { bucket: bucket.name.clone(), key: upload.key.clone(), id: upload.id };
                match self.abort_upload(&Caller::ROOT, &named).await {
                    Ok(()) => report.aborted += 1,
                    // Completed, or being completed.
                    Err(Error::NoSuchUpload | Error::ConditionalConflict) => report.kept += 1,
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// When the current version of a key expires, and by which rule of its bucket.
    pub async fn expiration(&self, bucket: &BucketName, object: &Object) -> Option<(Timestamp, String)> {
        let bound = self.bound(bucket).await.ok()?;
        let lifecycle = bound.bucket.config.lifecycle.as_ref()?;
        let facts = Facts {
            key: object.key.as_str(),
            size: object.size,
            tags: &object.attached.tags,
            modified: object.modified,
            marker: object.marker,
            rank: Rank::Current { alone: true },
        };
        lifecycle.expires(&facts).map(|(at, rule)| (at, rule.to_owned()))
    }

    /// The same of a version that was just written, as long as it is the current one.
    pub async fn expiration_of_written(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        version: VersionRef,
    ) -> Option<(Timestamp, String)> {
        let bound = self.bound(bucket).await.ok()?;
        bound.bucket.config.lifecycle.as_ref()?;
        let object = self.catalog().object(&SERVICE, bound.bucket.id, key).await.ok()??;
        if !is_named(&object, version) {
            return None;
        }
        self.expiration(bucket, &object).await
    }
}

fn facts_of<'a>(entry: &'a Entry, rank: Rank, tags: &'a Tags) -> Facts<'a> {
    let Entry { key, size, modified, marker, .. } = entry;
    Facts { key: key.as_str(), size: *size, tags, modified: *modified, marker: *marker, rank }
}

/// The longest prefix that all of these begin with; `None` of none.
fn common_prefix<'a>(mut prefixes: impl Iterator<Item = &'a str>) -> Option<String> {
    let first = prefixes.next()?.to_owned();
    Some(prefixes.fold(first, |common, other| {
        let same = common.chars().zip(other.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a);
        same.collect()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_walk_serves_all_rules() {
        assert_eq!(common_prefix(["a/x", "a/y/", "a/"].into_iter()).as_deref(), Some("a/"));
        assert_eq!(common_prefix(["é", "è"].into_iter()).as_deref(), Some(""));
        assert_eq!(common_prefix(std::iter::empty()), None);
    }
}
