//! The walks of the server: new buckets are indexed at once, all others are scanned and cleaned up now and then.
//!
//! One bucket at a time, one walk after the other, in one of the processes that serve the catalog, so that the work of
//! clients goes before. A bucket whose walk fails waits longer each time. What a scan holds back is told in the log, in the metrics and by `bucket list`, and stays so
//! until somebody decides.
//!
//! **Invariant:** no walk here is forced: nothing is dropped or freed that a command would ask about first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::catalog::Progress;
use crate::metrics::Metrics;
use crate::model::bucket::Bucket;
use crate::model::id::BucketId;
use crate::model::name::BucketName;
use crate::store::error::Result;
use crate::store::gateways::Turn;
use crate::store::request::{GcOptions, GcReport, ScanOptions, ScanReport};
use crate::store::{SERVICE, Store};

/// Between two looks for buckets that are due.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Before a walk that failed is tried again; doubled each time.
const RETRY: Duration = Duration::from_secs(5);
/// The most it is doubled.
const DOUBLED_MAX: u32 = 10;
/// Between two samples of a walk for the metrics.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// When the server walks its buckets, and who hears of it.
#[derive(Debug, Clone, Default)]
pub struct Upkeep {
    /// Between two walks of a bucket; `None`: only new buckets are walked.
    pub scan_interval: Option<Duration>,
    /// Buckets that were not left clean: what the crash left is looked for at once.
    pub unclean: Vec<BucketName>,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
}

/// What is due for a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// Its first scan.
    Index,
    /// A scan, then what `gc` frees.
    Round,
    /// What `gc` frees and puts back, after a crash.
    Gc,
}

/// What is remembered between two looks.
struct Keeper {
    upkeep: Upkeep,
    unclean: BTreeSet<BucketName>,
    failed: BTreeMap<BucketId, (u32, Instant)>,
    held_back: BTreeMap<BucketId, u64>,
}

impl Store {
    /// Walks buckets until `stop`.
    pub async fn keep_up(&self, stop: CancellationToken, upkeep: Upkeep) {
        let unclean = upkeep.unclean.iter().cloned().collect();
        let mut keeper = Keeper { upkeep, unclean, failed: BTreeMap::new(), held_back: BTreeMap::new() };
        let mut turn = Turn::at("walks");
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_INTERVAL)).await.is_some() {
            if stop.run_until_cancelled(self.in_turn(&mut turn, self.look_round(&mut keeper))).await.is_none() {
                return;
            }
        }
    }

    async fn look_round(&self, keeper: &mut Keeper) {
        let Ok(buckets) = self.all_buckets().await else { return };
        keeper.unclean.extend(self.take_unclean());
        keeper.held_back.retain(|id, _| buckets.iter().any(|bucket| bucket.id == *id));
        for (id, held_back) in &mut keeper.held_back {
            // Somebody may have decided meanwhile.
            if let Ok(Some(progress)) = self.catalog().progress(&SERVICE, *id).await {
                *held_back = progress.held_back;
            }
        }
        let unindexed = buckets.iter().filter(|bucket| bucket.indexed.is_none()).count() as u64;
        keeper.upkeep.metrics.buckets(unindexed, keeper.held_back.values().sum());
        for bucket in buckets {
            if keeper.failed.get(&bucket.id).is_some_and(|(_, next)| Instant::now() < *next) {
                continue;
            }
            let Some(due) = self.due(keeper, &bucket).await else { continue };
            let metrics = Arc::clone(&keeper.upkeep.metrics);
            let walked = tokio::select! {
                walked = self.walk_due(&bucket, due, keeper) => walked,
                () = self.sample(&metrics) => return,
            };
            metrics.walking(0);
            if walked {
                keeper.failed.remove(&bucket.id);
                keeper.unclean.remove(&bucket.name);
            } else {
                let tries = keeper.failed.get(&bucket.id).map_or(0, |(tries, _)| tries + 1).min(DOUBLED_MAX);
                keeper.failed.insert(bucket.id, (tries, Instant::now() + RETRY * 2_u32.pow(tries)));
            }
        }
    }

    /// What is due for a bucket now.
    async fn due(&self, keeper: &Keeper, bucket: &Bucket) -> Option<Due> {
        let Some(indexed) = bucket.indexed else { return Some(Due::Index) };
        if keeper.unclean.contains(&bucket.name) {
            return Some(Due::Gc);
        }
        let interval = i64::try_from(keeper.upkeep.scan_interval?.as_nanos()).unwrap_or(i64::MAX);
        let is_over = |last: i64| Self::now().0.saturating_sub(last) >= interval;
        if !is_over(indexed.0) {
            return None;
        }
        // A walk that held something back is not noted as an index, but it was one.
        let ended = self.catalog().progress(&SERVICE, bucket.id).await.ok()?.and_then(|progress| progress.ended);
        ended.is_none_or(|ended| is_over(ended.0)).then_some(Due::Round)
    }

    /// Walks a bucket. False if it is to be tried again soon.
    async fn walk_due(&self, bucket: &Bucket, due: Due, keeper: &mut Keeper) -> bool {
        let mut done = true;
        if due != Due::Gc {
            done = match self.scan_due(bucket, due).await {
                Ok(report) => told(bucket, due, &report, keeper),
                Err(error) => {
                    let cause = std::error::Error::source(&error);
                    tracing::warn!(bucket = %bucket.name, %error, ?cause, "a bucket could not be walked");
                    keeper.upkeep.metrics.walked("scan", "failed");
                    false
                }
            };
        }
        if due != Due::Index {
            done &= match self.gc_due(bucket).await {
                Ok(report) => freed(bucket, &report, keeper),
                Err(error) => {
                    let cause = std::error::Error::source(&error);
                    tracing::warn!(bucket = %bucket.name, %error, ?cause, "a bucket could not be cleaned up");
                    keeper.upkeep.metrics.walked("gc", "failed");
                    false
                }
            };
        }
        done
    }

    async fn scan_due(&self, bucket: &Bucket, due: Due) -> Result<ScanReport> {
        let bound = self.bound(&bucket.name).await?;
        if due == Due::Round && bound.bucket.settings.exclusive {
            // Nobody else writes there, so there is nothing to find out.
            let now = Self::now();
            let progress = Progress { began: now, ended: Some(now), ..Progress::default() };
            self.catalog().note_progress(&SERVICE, bucket.id, progress).await?;
            return Ok(ScanReport::default());
        }
        self.scan_bound(&bound, ScanOptions::default()).await
    }

    async fn gc_due(&self, bucket: &Bucket) -> Result<GcReport> {
        let bound = self.bound(&bucket.name).await?;
        if bound.container.as_ref().is_some_and(|container| !container.writable) {
            return Ok(GcReport::default());
        }
        self.gc_bound(&bound, GcOptions::default()).await
    }

    /// Tells the metrics how far the walk under way has come, for as long as it goes.
    async fn sample(&self, metrics: &Metrics) {
        loop {
            tokio::time::sleep(SAMPLE_INTERVAL).await;
            metrics.walking(self.files_met());
        }
    }
}

/// Tells how a scan went. False if it is to be tried again soon.
fn told(bucket: &Bucket, due: Due, report: &ScanReport, keeper: &mut Keeper) -> bool {
    let (files, adopted, changed, removed) = (report.files, report.adopted, report.changed, report.removed);
    if report.held_back > 0 {
        keeper.held_back.insert(bucket.id, report.held_back);
        keeper.upkeep.metrics.walked("scan", "held_back");
        tracing::warn!(
            bucket = %bucket.name, held_back = report.held_back,
            "too many objects have lost their files, so none was dropped: look at the storage, or scan it with --force"
        );
        return due != Due::Index;
    }
    keeper.held_back.remove(&bucket.id);
    keeper.upkeep.metrics.walked("scan", "done");
    match due {
        Due::Index => tracing::info!(bucket = %bucket.name, files, adopted, "a bucket is indexed"),
        Due::Round | Due::Gc => {
            tracing::info!(bucket = %bucket.name, files, adopted, changed, removed, "a bucket was scanned");
        }
    }
    true
}

fn freed(bucket: &Bucket, report: &GcReport, keeper: &Keeper) -> bool {
    let GcReport { freed, freed_bytes, put_back, held_back, .. } = *report;
    keeper.upkeep.metrics.freed(freed, freed_bytes);
    keeper.upkeep.metrics.walked("gc", if held_back > 0 { "held_back" } else { "done" });
    if held_back > 0 {
        tracing::warn!(
            bucket = %bucket.name, held_back,
            "many files look like objects that no row names, and were kept: is the catalog an old one?"
        );
    }
    if freed > 0 || put_back > 0 {
        tracing::info!(bucket = %bucket.name, freed, freed_bytes, put_back, "a bucket was cleaned up");
    }
    true
}
