//! The log, on standard error.
//!
//! **Invariant:** only lines of our own are told below warnings, and nothing of s3s at all, whatever filter the operator
//! asks for: libraries write what they parse into their lines, and with it signatures.

use std::io::stderr;
use std::panic::PanicHookInfo;

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::LogFormat;

mod line;

use line::Lines;
pub(crate) use line::REQUEST;

/// The environment variable with the filter.
pub const FILTER_VARIABLE: &str = "LONGSHORE_LOG";

const FILTER: &str = "info";

/// Starts the log. A second call does nothing.
///
/// # Errors
/// The filter cannot be read.
pub fn start(format: LogFormat) -> Result<(), FilterError> {
    let filter = std::env::var(FILTER_VARIABLE).unwrap_or_else(|_| FILTER.to_owned());
    let filter = filter.parse::<EnvFilter>().map_err(|source| FilterError(source.into()))?;
    // A second filter, because a directive of the first one gives way to a more exact one.
    let lines = tracing_subscriber::registry().with(filter).with(filter_fn(may_be_told));
    // A subscriber that is there already is as good: only tests start two.
    let _ = match format {
        LogFormat::Text => {
            lines.with(layer().event_format(Lines::default()).with_writer(stderr).with_ansi(false)).try_init()
        }
        LogFormat::Json => {
            lines.with(layer().json().flatten_event(true).with_writer(stderr).with_ansi(false)).try_init()
        }
    };
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

fn may_be_told(line: &Metadata<'_>) -> bool {
    let library = line.target().split("::").next().unwrap_or_default();
    library == env!("CARGO_CRATE_NAME") || (*line.level() <= Level::WARN && !library.starts_with("s3s"))
}

/// Logs where a panic came from. Its text is left out unless it is a literal: a formatted one may hold what a client
/// sent.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    let text = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("(a formatted text)");
    tracing::error!(at, text, "panic");
}

/// The filter cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{FILTER_VARIABLE} is no filter")]
pub struct FilterError(#[source] Box<dyn std::error::Error + Send + Sync>);
