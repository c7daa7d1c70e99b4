//! What the process counts and times, and its text for Prometheus.
//!
//! A leaf: it knows no other module, and every other may use it.
//!
//! **Invariant:** the number of series is bounded: a label is a name from the code, a configured name or a status,
//! never text of a client.

use std::fmt;
use std::future::Future;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Upper bounds in seconds: from a catalog look-up to a slow bulk transfer.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 20.0, 60.0];

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FrontLabel {
    front: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    front: &'static str,
    operation: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    part: String,
    method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WalkLabels {
    mode: &'static str,
    outcome: &'static str,
}

/// One request that ended.
#[derive(Debug, Clone, Copy)]
pub struct Served {
    /// The front that served it.
    pub front: &'static str,
    /// The operation, by its name in the code.
    pub operation: &'static str,
    /// The status of the answer.
    pub status: u16,
    /// Bytes of its body.
    pub bytes_in: u64,
    /// Bytes of the answer's body that were sent.
    pub bytes_out: u64,
    /// From its head to the end of the answer.
    pub took: Duration,
}

/// The metrics of the process.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Histograms<RequestLabels>,
    bytes_in: Family<FrontLabel, Counter>,
    bytes_out: Family<FrontLabel, Counter>,
    in_flight: Family<FrontLabel, Gauge>,
    connections: Family<FrontLabel, Gauge>,
    panics: Counter<u64, AtomicU64>,
    call_seconds: Histograms<CallLabels>,
    buckets_unindexed: Gauge,
    walk_files: Gauge,
    objects_held_back: Gauge,
    walks: Family<WalkLabels, Counter>,
    gc_freed_files: Counter,
    gc_freed_bytes: Counter,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("longshore"),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(seconds),
            bytes_in: Family::default(),
            bytes_out: Family::default(),
            in_flight: Family::default(),
            connections: Family::default(),
            panics: Counter::default(),
            call_seconds: Family::new_with_constructor(seconds),
            buckets_unindexed: Gauge::default(),
            walk_files: Gauge::default(),
            objects_held_back: Gauge::default(),
            walks: Family::default(),
            gc_freed_files: Counter::default(),
            gc_freed_bytes: Counter::default(),
        };
        let r = &mut metrics.registry;
        r.register("requests", "Requests that ended", metrics.requests.clone());
        let help = "Time from the head of a request to the end of its answer";
        r.register_with_unit("request_duration", help, Unit::Seconds, metrics.request_seconds.clone());
        r.register("received_bytes", "Bytes of request bodies", metrics.bytes_in.clone());
        r.register("sent_bytes", "Bytes of answer bodies", metrics.bytes_out.clone());
        r.register("requests_in_flight", "Requests under way", metrics.in_flight.clone());
        r.register("connections", "Open connections", metrics.connections.clone());
        r.register("panics", "Requests that ended in a panic", metrics.panics.clone());
        let help = "Time of calls to the catalog and to providers, until they return";
        r.register_with_unit("call_duration", help, Unit::Seconds, metrics.call_seconds.clone());
        let help = "Buckets whose index is not complete yet";
        r.register("buckets_unindexed", help, metrics.buckets_unindexed.clone());
        r.register("walk_files", "Files that the walk under way has met; 0 without one", metrics.walk_files.clone());
        let help = "Objects without a file that scans did not drop because they were too many";
        r.register("objects_held_back", help, metrics.objects_held_back.clone());
        r.register("walks", "Background walks of buckets that ended", metrics.walks.clone());
        r.register("gc_freed_files", "Files that gc has freed in the background", metrics.gc_freed_files.clone());
        r.register("gc_freed_bytes", "Bytes that gc has freed in the background", metrics.gc_freed_bytes.clone());
        metrics
    }
}

impl Metrics {
    /// Counts a request that ended.
    pub fn served(&self, served: Served) {
        let Served { front, operation, .. } = served;
        let labels = RequestLabels { front, operation, status: served.status };
        self.request_seconds.get_or_create(&labels).observe(served.took.as_secs_f64());
        self.requests.get_or_create(&labels).inc();
        self.bytes_in.get_or_create(&FrontLabel { front }).inc_by(served.bytes_in);
        self.bytes_out.get_or_create(&FrontLabel { front }).inc_by(served.bytes_out);
    }

    /// Counts a request that ended in a panic.
    pub fn panicked(&self) {
        self.panics.inc();
    }

    /// Counts one more request under way, for as long as the value lives.
    #[must_use]
    pub fn request_begins(&self, front: &'static str) -> Held {
        Held::new(self.in_flight.get_or_create_owned(&FrontLabel { front }))
    }

    /// Counts one more open connection, for as long as the value lives.
    #[must_use]
    pub fn connection_opens(&self, front: &'static str) -> Held {
        Held::new(self.connections.get_or_create_owned(&FrontLabel { front }))
    }

    /// Times a call of `method` of `part`, the catalog or the name of a provider.
    pub async fn time<T>(&self, part: &str, method: &'static str, call: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let result = call.await;
        let seconds = began.elapsed().as_secs_f64();
        self.call_seconds.get_or_create(&CallLabels { part: part.to_owned(), method }).observe(seconds);
        result
    }

    /// Tells how many buckets have no complete index, and how many objects scans held back.
    pub fn buckets(&self, unindexed: u64, held_back: u64) {
        self.buckets_unindexed.set(i64::try_from(unindexed).unwrap_or(i64::MAX));
        self.objects_held_back.set(i64::try_from(held_back).unwrap_or(i64::MAX));
    }

    /// Tells how many files the walk under way has met.
    pub fn walking(&self, files: u64) {
        self.walk_files.set(i64::try_from(files).unwrap_or(i64::MAX));
    }

    /// Counts a background walk that ended.
    pub fn walked(&self, mode: &'static str, outcome: &'static str) {
        self.walks.get_or_create(&WalkLabels { mode, outcome }).inc();
    }

    /// Counts what gc has freed.
    pub fn freed(&self, files: u64, bytes: u64) {
        self.gc_freed_files.inc_by(files);
        self.gc_freed_bytes.inc_by(bytes);
    }

    /// All of it, in the text format of Prometheus.
    ///
    /// # Errors
    /// Never in practice: a text takes what is written to it.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// One more, until it is dropped.
#[derive(Debug)]
pub struct Held(Gauge);

impl Held {
    fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_counted_is_in_the_text() {
        let metrics = Metrics::default();
        let held = metrics.request_begins("s3");
        let took = Duration::from_millis(3);
        let served = Served { front: "s3", operation: "GetObject", status: 200, bytes_in: 0, bytes_out: 7, took };
        metrics.served(served);
        assert_eq!(metrics.time("catalog", "object", async { 1 }).await, 1);
        let text = metrics.text().expect("text");
        for line in [
            "longshore_requests_total{front=\"s3\",operation=\"GetObject\",status=\"200\"} 1",
            "longshore_sent_bytes_total{front=\"s3\"} 7",
            "longshore_requests_in_flight{front=\"s3\"} 1",
            "longshore_call_duration_seconds_count{part=\"catalog\",method=\"object\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        drop(held);
        assert!(metrics.text().expect("text").contains("longshore_requests_in_flight{front=\"s3\"} 0"));
    }
}
