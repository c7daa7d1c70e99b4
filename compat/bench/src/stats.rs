//! What a pass measured: a latency histogram of fixed size, and the CPU time of the servers.
//!
//! **Invariant:** the memory does not grow with the number of requests. A bucket is 1/32 of a power of two of
//! microseconds, so a percentile is exact to about 3 per cent.

use std::fs;
use std::time::Duration;

const FINE_BITS: u32 = 5;
const FINE: usize = 1 << FINE_BITS;
/// Powers of two of microseconds above the linear range: up to 12 days.
const POWERS: usize = 36;

/// Linux reports process times in units of 1/100 s to user space, whatever the kernel's own tick is.
const TICKS_PER_SECOND: f64 = 100.0;

/// Counts of latencies by bucket.
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; FINE * (POWERS + 1)], total: 0 }
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let last = self.counts.len() - 1;
        self.counts[bucket(micros).min(last)] += 1;
        self.total += 1;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The latency in milliseconds that the given share of the requests did not exceed, 0 when there were none.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let wanted = (self.total as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return upper_micros(index) as f64 / 1000.0;
            }
        }
        0.0
    }
}

/// Below 32 µs one bucket a microsecond; above, 32 buckets for each power of two.
fn bucket(micros: u64) -> usize {
    if micros < FINE as u64 {
        return micros as usize;
    }
    let power = 63 - micros.leading_zeros();
    let fine = (micros >> (power - FINE_BITS)) as usize - FINE;
    FINE * (power - FINE_BITS + 1) as usize + fine
}

fn upper_micros(index: usize) -> u64 {
    if index < FINE {
        return index as u64;
    }
    let (row, fine) = (index / FINE - 1, index % FINE);
    ((FINE + fine + 1) as u64) << row
}

/// CPU seconds that a process and all its descendants, living or waited for, have used so far.
pub(crate) fn cpu_seconds(root: u32) -> Option<f64> {
    let mut processes: Vec<(u32, u32, u64)> = Vec::new();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok())
            && let Some((parent, ticks)) =
                fs::read_to_string(format!("/proc/{pid}/stat")).ok().as_deref().and_then(times)
        {
            processes.push((pid, parent, ticks));
        }
    }
    let mut family: Vec<u32> = vec![root];
    let mut ticks = processes.iter().find(|(pid, ..)| *pid == root)?.2;
    // Each process is appended once at most, so the walk ends.
    let mut next = 0;
    while next < family.len() {
        for (pid, parent, own) in &processes {
            if *parent == family[next] && !family.contains(pid) {
                family.push(*pid);
                ticks += own;
            }
        }
        next += 1;
    }
    Some(ticks as f64 / TICKS_PER_SECOND)
}

/// The parent and utime + stime + cutime + cstime of a line of /proc/PID/stat; the name may hold spaces and brackets.
fn times(stat: &str) -> Option<(u32, u64)> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let tick = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok());
    Some((fields.get(1)?.parse().ok()?, tick(11)? + tick(12)? + tick(13)? + tick(14)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_exact_to_three_per_cent() {
        let mut histogram = Histogram::new();
        for micros in 1..=100_000 {
            histogram.record(Duration::from_micros(micros));
        }
        for share in [0.5, 0.9, 0.99] {
            let (got, wanted) = (histogram.percentile(share), 100.0 * share);
            assert!((got - wanted).abs() / wanted < 0.035, "{share}: {got} ms, wanted {wanted}");
        }
    }

    #[test]
    fn every_bucket_holds_what_its_bound_says() {
        for micros in (0..200_000).step_by(7) {
            let index = bucket(micros);
            assert!(upper_micros(index) >= micros, "{micros}");
            assert!(index == 0 || upper_micros(index - 1) <= micros, "{micros}");
        }
    }

    #[test]
    fn reads_a_process_with_a_bracket_in_its_name() {
        let stat = "42 (a) b) S 7 1 1 0 -1 0 0 0 0 0 10 20 3 4 20 0 1 0";
        assert_eq!(times(stat), Some((7, 37)));
    }

    #[test]
    fn knows_its_own_cpu_time() {
        assert!(cpu_seconds(std::process::id()).is_some());
        assert!(cpu_seconds(u32::MAX).is_none());
    }
}
