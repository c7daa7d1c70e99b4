//! `longshore serve`.
//!
//! **Invariant:** the configuration is read and found sound before anything else begins: one with a mistake opens no
//! listener, no catalog and no log.

use std::net::SocketAddr;

use clap::Args;

use crate::app::{self, AppError};
use crate::cli::Served;
use crate::cli::exit::Outcome;
use crate::config::{Config, Durability, Interval, LogFormat, Overrides};
use crate::server::log;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    served: Served,
    /// Address of the S3 listener; port 0 takes a free one. [default: 127.0.0.1:9000]
    #[arg(long, value_name = "ADDR", env = "LONGSHORE_S3_LISTEN")]
    s3_listen: Option<SocketAddr>,
    /// Address of the listener of the REST interfaces, health and metrics; port 0 takes a free one. [default: 127.0.0.1:9001]
    #[arg(long, value_name = "ADDR", env = "LONGSHORE_REST_LISTEN")]
    rest_listen: Option<SocketAddr>,
    /// What an acknowledged write survives. [default: fsync]
    #[arg(long, value_enum, env = "LONGSHORE_DURABILITY")]
    durability: Option<Durability>,
    /// Between two walks of each bucket, which find what others changed and free what a crash left: 30m, 24h, off.
    /// [default: 24h]
    #[arg(long, value_name = "TIME", env = "LONGSHORE_SCAN_INTERVAL")]
    scan_interval: Option<Interval>,
    /// How log lines are written. [default: text]
    #[arg(long, value_enum, env = "LONGSHORE_LOG_FORMAT")]
    log_format: Option<LogFormat>,
}

pub(super) fn run(arguments: Arguments) -> Outcome {
    let Arguments { served, s3_listen, rest_listen, durability, scan_interval, log_format } = arguments;
    let overrides = Overrides { s3_listen, rest_listen, durability, scan_interval, log_format, ..served.overrides() };
    let config = Config::load(&overrides)?;
    log::start(config.server.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(AppError::System)?;
    Ok(runtime.block_on(app::serve(&config))?)
}
