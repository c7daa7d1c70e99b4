//! The figures of the passes as JSON lines, one for each pass, and as a Markdown table of the sums.

use serde_json::json;

use crate::case::Case;
use crate::load::Outcome;

/// What happened to one server in one case: all its passes, added up.
pub(crate) struct Row {
    pub(crate) case: Case,
    pub(crate) connections: u64,
    pub(crate) server: String,
    pub(crate) outcome: Outcome,
    /// CPU seconds of the server over the passes, where its process is known.
    pub(crate) cpu: Option<f64>,
}

impl Row {
    fn per_second(&self) -> f64 {
        if self.outcome.seconds > 0.0 { self.outcome.latencies.total() as f64 / self.outcome.seconds } else { 0.0 }
    }

    /// Millions of bytes, not MiB.
    fn megabytes_per_second(&self) -> f64 {
        if self.outcome.seconds > 0.0 { self.outcome.bytes as f64 / 1e6 / self.outcome.seconds } else { 0.0 }
    }

    fn cpu_per_thousand(&self) -> Option<f64> {
        let requests = self.outcome.latencies.total();
        self.cpu.filter(|_| requests > 0).map(|cpu| cpu * 1000.0 / requests as f64)
    }

    /// One JSON object on one line.
    pub(crate) fn json(&self, payload: &str) -> String {
        json!({
            "case": self.case.name, "connections": self.connections, "server": self.server, "payload": payload,
            "requests": self.outcome.latencies.total(), "seconds": self.outcome.seconds,
            "requests_per_second": self.per_second(), "megabytes_per_second": self.megabytes_per_second(),
            "p50_ms": self.outcome.latencies.percentile(0.5), "p99_ms": self.outcome.latencies.percentile(0.99),
            "cpu_seconds": self.cpu, "cpu_seconds_per_1000": self.cpu_per_thousand(),
            "errors": self.outcome.errors, "first_error": self.outcome.first_error,
        })
        .to_string()
    }
}

/// The table: the rows of one case and number of connections stand together, A before B, and A carries the ratio.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| case | connections | server | requests/s | MB/s | p50 ms | p99 ms | CPU s per 1,000 | errors | A/B requests/s |\n\
         | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for (index, row) in rows.iter().enumerate() {
        let pair = rows.get(index + 1).filter(|next| {
            next.case.name == row.case.name && next.connections == row.connections && next.server != row.server
        });
        let ratio = pair.filter(|next| next.per_second() > 0.0).map(|next| row.per_second() / next.per_second());
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
        text += &format!(
            "| {} | {} | {} | {:.1} | {:.1} | {:.2} | {:.2} | {} | {} | {} |\n",
            row.case,
            row.connections,
            row.server,
            row.per_second(),
            row.megabytes_per_second(),
            row.outcome.latencies.percentile(0.5),
            row.outcome.latencies.percentile(0.99),
            row.cpu_per_thousand().map_or("-".to_owned(), |cpu| format!("{cpu:.3}")),
            row.outcome.errors,
            number(ratio),
        );
    }
    text
}
