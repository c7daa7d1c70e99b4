//! The log, on standard error.
//!
//! **Invariant:** libraries that write heads of requests, and with them signatures, into their own lines are silenced
//! below warnings, whatever filter the operator asks for.

use std::io::stderr;
use std::panic::PanicHookInfo;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// The environment variable with the filter.
pub const FILTER_VARIABLE: &str = "LONGSHORE_LOG";

const FILTER: &str = "info,s3s=off";

/// They print what they parse.
const SILENCED: [&str; 5] = ["s3s=off", "hyper=warn", "hyper_util=warn", "h2=warn", "axum=warn"];

/// Starts the log. A second call does nothing.
///
/// # Errors
/// The filter cannot be read.
pub fn start(format: LogFormat) -> Result<(), FilterError> {
    let filter = std::env::var(FILTER_VARIABLE).unwrap_or_else(|_| FILTER.to_owned());
    let filter = filter.parse::<EnvFilter>().map_err(|source| FilterError(source.into()))?;
    let silence = |filter: EnvFilter, directive: &&str| match directive.parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    };
    let filter = SILENCED.iter().fold(filter, silence);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(false);
    // A subscriber that is there already is as good: only tests start two.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
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
