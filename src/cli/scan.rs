//! `longshore scan` and `longshore rebuild`.
//!
//! **Invariant:** beside a running server a scan leaves the marks of the containers alone: only who holds the lock says
//! that a stop was clean. A rebuild holds the lock, and one that is refused leaves the mark that made it refuse.

use clap::Args;
use serde_json::json;

use crate::app::{App, root_of_command};
use crate::cli::exit::{Failure, Outcome};
use crate::cli::{Served, bucket, print};
use crate::config::Config;
use crate::config::state::{State, StateError, StateLock};
use crate::model::caller::Caller;
use crate::model::name::BucketName;
use crate::store::Attach;
use crate::store::request::{ScanOptions, ScanReport};

#[derive(Debug, Args)]
pub(super) struct ScanArguments {
    #[command(flatten)]
    walk: Walk,
    /// Only say what would be done.
    #[arg(long, env = "LONGSHORE_DRY_RUN")]
    dry_run: bool,
    /// Compute true MD5s of files that others put there.
    #[arg(long, env = "LONGSHORE_HASH")]
    hash: bool,
}

#[derive(Debug, Args)]
pub(super) struct RebuildArguments {
    #[command(flatten)]
    walk: Walk,
}

#[derive(Debug, Args)]
struct Walk {
    #[command(flatten)]
    served: Served,
    /// Only this bucket.
    #[arg(long, value_name = "B", env = "LONGSHORE_BUCKET")]
    bucket: Option<String>,
    /// Go on where the command would refuse: many objects are gone, or the last stop was not clean.
    #[arg(long, env = "LONGSHORE_FORCE")]
    force: bool,
    /// Print JSON.
    #[arg(long, env = "LONGSHORE_JSON")]
    json: bool,
}

pub(super) async fn scan(arguments: ScanArguments) -> Outcome {
    let ScanArguments { walk, dry_run, hash } = arguments;
    let options = ScanOptions { dry_run, hash, force: walk.force, rebuild: false };
    let config = Config::load(&walk.served.clone().overrides())?;
    let state = State::create(&config.state)?;
    let lock = match state.lock() {
        Err(StateError::Locked(_)) => None,
        lock => Some(lock?),
    };
    let app = open(&config, &state)?;
    if lock.is_some() {
        app.store.attach(Attach::Serve).await?;
    } else {
        app.store.attach(Attach::Scan).await?;
    }
    let reports = walk.each(&app, options).await;
    finish(&app, lock).await?;
    walk.print(&reports?)
}

pub(super) async fn rebuild(arguments: RebuildArguments) -> Outcome {
    let RebuildArguments { walk } = arguments;
    let options = ScanOptions { dry_run: false, hash: false, force: walk.force, rebuild: true };
    let config = Config::load(&walk.served.clone().overrides())?;
    let state = State::create(&config.state)?;
    let lock = match state.lock() {
        Err(StateError::Locked(_)) => return Err(Failure::refused("the server is running: stop it first")),
        lock => lock?,
    };
    let app = open(&config, &state)?;
    let unclean = app.store.attach(Attach::Rebuild).await?.unclean;
    if walk.force {
        app.store.take_over(&unclean).await?;
    } else if !unclean.is_empty() {
        let names: Vec<String> = unclean.iter().map(|name| format!("{:?}", name.as_str())).collect();
        return Err(Failure::refused(format!(
            "the last stop was not clean, so the newest small objects may be in the old catalog alone ({}): \
             start the server with that catalog once, or use --force",
            names.join(", "),
        )));
    }
    let reports = walk.each(&app, options).await;
    finish(&app, Some(lock)).await?;
    walk.print(&reports?)
}

fn open(config: &Config, state: &State) -> Result<App, Failure> {
    Ok(App::open(config, state, root_of_command(state)?, false)?)
}

async fn finish(app: &App, lock: Option<StateLock>) -> Outcome {
    if lock.is_some() {
        app.store.release().await?;
    }
    Ok(())
}

impl Walk {
    async fn each(&self, app: &App, options: ScanOptions) -> Result<Vec<(BucketName, ScanReport)>, Failure> {
        let names = match &self.bucket {
            Some(name) => vec![bucket::bucket_name(name)?],
            None => bucket::all(app).await?.into_iter().map(|bucket| bucket.name).collect(),
        };
        let mut reports = Vec::with_capacity(names.len());
        for name in names {
            let report = app.store.scan(&Caller::Root, &name, options).await?;
            reports.push((name, report));
        }
        Ok(reports)
    }

    fn print(&self, reports: &[(BucketName, ScanReport)]) -> Outcome {
        if self.json {
            let shown = reports.iter().map(|(name, report)| json!({ "bucket": name.as_str(), "report": report }));
            print::json(&shown.collect::<Vec<_>>())?;
        } else {
            print::rows(&reports.iter().map(row).collect::<Vec<_>>())?;
        }
        let held_back: u64 = reports.iter().map(|(_, report)| report.held_back).sum();
        if held_back > 0 {
            return Err(Failure::refused(format!(
                "{held_back} objects have lost their files; nothing was dropped in these buckets: look at the storage, \
                 or use --force"
            )));
        }
        Ok(())
    }
}

fn row((name, report): &(BucketName, ScanReport)) -> Vec<String> {
    let cells = [
        ("files", report.files),
        ("rows", report.rows),
        ("adopted", report.adopted),
        ("changed", report.changed),
        ("removed", report.removed),
        ("restored", report.restored),
        ("unnameable", report.unnameable),
        ("held back", report.held_back),
    ];
    let cell = |(what, count): (&str, u64)| format!("{count} {what}");
    [print::plain(name.as_str())].into_iter().chain(cells.map(cell)).collect()
}
