//! `longshore scan` and `longshore rebuild`.
//!
//! **Invariant:** beside a running server a scan leaves the marks of the containers alone: only who holds the lock says
//! that a stop was clean. A rebuild holds the lock, and one that is refused leaves the mark that made it refuse. Who
//! only looks marks, adopts and removes no container, and says which ones are no buckets yet.

use clap::Args;
use serde_json::json;

use crate::app::{App, Opening, root_of_command};
use crate::cli::exit::{Failure, Outcome};
use crate::cli::{Served, bucket, print, progress};
use crate::config::Config;
use crate::config::state::{State, StateError, StateLock};
use crate::model::caller::Caller;
use crate::model::name::BucketName;
use crate::store::Attach;
use crate::store::request::{ScanOptions, ScanReport};

#[derive(Debug, Args)]
pub(super) struct ScanArguments {
    #[command(flatten)]
    which: Which,
    /// Only say what would be done.
    #[arg(long, env = "LONGSHORE_DRY_RUN")]
    dry_run: bool,
    /// Compute true MD5s of files that others put there.
    #[arg(long, env = "LONGSHORE_HASH")]
    hash: bool,
    /// Drop the rows of objects that have lost their files, however many they are.
    #[arg(long, env = "LONGSHORE_FORCE")]
    force: bool,
}

#[derive(Debug, Args)]
pub(super) struct RebuildArguments {
    #[command(flatten)]
    which: Which,
    /// Go on although the last stop was not clean, or although many objects have lost their files.
    #[arg(long, env = "LONGSHORE_FORCE")]
    force: bool,
}

/// Directories that are told of by their names.
const NAMES_TOLD_MAX: usize = 10;

/// Which buckets a command walks.
#[derive(Debug, Args)]
pub(super) struct Which {
    #[command(flatten)]
    served: Served,
    /// Only this bucket.
    #[arg(long, value_name = "B", env = "LONGSHORE_BUCKET")]
    bucket: Option<String>,
    /// Print JSON.
    #[arg(long, env = "LONGSHORE_JSON")]
    pub(super) json: bool,
}

/// What a walk needs, opened.
pub(super) struct Opened {
    pub(super) app: App,
    /// Held if no server is running.
    lock: Option<StateLock>,
}

impl Opened {
    /// To change what is found, beside a server or without one.
    pub(super) async fn to_change(which: &Which) -> Result<Self, Failure> {
        let config = Config::load(&which.served.clone().overrides())?;
        let state = State::create(&config.state)?;
        let lock = match state.lock() {
            Err(StateError::Locked(_)) => None,
            lock => Some(lock?),
        };
        let app = open(&config, &state, Opening::Change).await?;
        app.store.attach(if lock.is_some() { Attach::Serve } else { Attach::Scan }).await?;
        Ok(Self { app, lock })
    }

    /// To look only; there must be a catalog.
    pub(super) async fn to_look(which: &Which) -> Result<Self, Failure> {
        let config = Config::load(&which.served.clone().overrides())?;
        let app = open(&config, &State::open(&config.state)?, Opening::Look).await?;
        which.tell_unadopted(&app.store.attach(Attach::Look).await?.unadopted);
        Ok(Self { app, lock: None })
    }

    /// The clean stop, if no server is there to do it.
    pub(super) async fn close(self) -> Outcome {
        if self.lock.is_some() {
            self.app.store.release().await?;
        }
        Ok(())
    }
}

pub(super) async fn scan(arguments: ScanArguments) -> Outcome {
    let ScanArguments { which, dry_run, hash, force } = arguments;
    let options = ScanOptions { dry_run, hash, force, rebuild: false };
    let opened = if dry_run { Opened::to_look(&which).await? } else { Opened::to_change(&which).await? };
    let reports = each(&which, &opened.app, options).await;
    opened.close().await?;
    show(&reports?, which.json)
}

pub(super) async fn rebuild(arguments: RebuildArguments) -> Outcome {
    let RebuildArguments { which, force } = arguments;
    let options = ScanOptions { dry_run: false, hash: false, force, rebuild: true };
    let config = Config::load(&which.served.clone().overrides())?;
    let state = State::create(&config.state)?;
    let lock = match state.lock() {
        Err(StateError::Locked(_)) => return Err(Failure::refused("the server is running: stop it first")),
        lock => lock?,
    };
    let app = open(&config, &state, Opening::Change).await?;
    let unclean = app.store.attach(Attach::Rebuild).await?.unclean;
    if force {
        app.store.take_over(&unclean).await?;
    } else if !unclean.is_empty() {
        let names: Vec<String> = unclean.iter().map(|name| format!("{:?}", name.as_str())).collect();
        return Err(Failure::refused(format!(
            "the last stop was not clean, so the newest small objects may be in the old catalog alone ({}): \
             start the server with that catalog once, or use --force",
            names.join(", "),
        )));
    }
    let opened = Opened { app, lock: Some(lock) };
    let reports = each(&which, &opened.app, options).await;
    opened.close().await?;
    show(&reports?, which.json)
}

async fn open(config: &Config, state: &State, to: Opening) -> Result<App, Failure> {
    Ok(App::open(config, state, root_of_command(state)?, to).await?.whole()?)
}

impl Which {
    /// Their names.
    pub(super) async fn names(&self, app: &App) -> Result<Vec<BucketName>, Failure> {
        Ok(match &self.bucket {
            Some(name) => vec![bucket::bucket_name(name)?],
            None => bucket::all(app).await?.into_iter().map(|bucket| bucket.name).collect(),
        })
    }

    /// Says which directories would have been walked if they were buckets.
    fn tell_unadopted(&self, names: &[BucketName]) {
        let wanted = |name: &&BucketName| self.bucket.as_ref().is_none_or(|bucket| *bucket == name.as_str());
        let names: Vec<String> = names.iter().filter(wanted).map(|name| print::plain(name.as_str())).collect();
        if names.is_empty() {
            return;
        }
        let told = names.iter().take(NAMES_TOLD_MAX).map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        let more = match names.len().saturating_sub(NAMES_TOLD_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        print::aside(&format!("not adopted yet, and not looked into: {told}{more}"));
    }
}

async fn each(which: &Which, app: &App, options: ScanOptions) -> Result<Vec<(BucketName, ScanReport)>, Failure> {
    let walks = which.names(app).await?.into_iter().map(|name| async move {
        let report = app.store.scan(&Caller::ROOT, &name, options).await?;
        Ok((name, report))
    });
    progress::each(&app.store, walks).await
}

fn show(reports: &[(BucketName, ScanReport)], as_json: bool) -> Outcome {
    if as_json {
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

fn row((name, report): &(BucketName, ScanReport)) -> Vec<String> {
    let cells = [
        ("files", report.files),
        ("rows", report.rows),
        ("adopted", report.adopted),
        ("changed", report.changed),
        ("removed", report.removed),
        ("restored", report.restored),
        ("orphans", report.orphans),
        ("unnameable", report.unnameable),
        ("held back", report.held_back),
    ];
    let cell = |(what, count): (&str, u64)| format!("{count} {what}");
    [print::plain(name.as_str())].into_iter().chain(cells.map(cell)).collect()
}
