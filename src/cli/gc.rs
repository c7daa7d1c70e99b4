//! `longshore gc`.
//!
//! **Invariant:** it frees nothing that a row, a part of an upload or a step names.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::cli::exit::{Failure, Outcome};
use crate::cli::scan::{Opened, Which};
use crate::cli::{print, progress};
use crate::config::{duration, limits};
use crate::model::caller::Caller;
use crate::model::name::BucketName;
use crate::store::request::{GcOptions, GcReport};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    which: Which,
    /// Only say what would be freed.
    #[arg(long, env = "LONGSHORE_DRY_RUN")]
    dry_run: bool,
    /// Leave alone what is younger, such as 90s, 30m, 24h, 7d; must be longer than any write takes. [default: 24h]
    #[arg(long, value_name = "DURATION", env = "LONGSHORE_GRACE", value_parser = duration)]
    grace: Option<Duration>,
    /// Free files that look like objects however many they are: with a catalog from a backup, those are newer objects.
    #[arg(long, env = "LONGSHORE_FORCE")]
    force: bool,
}

pub(super) async fn run(arguments: Arguments) -> Outcome {
    let Arguments { which, dry_run, grace, force } = arguments;
    let opened = if dry_run { Opened::to_look(&which).await? } else { Opened::to_change(&which).await? };
    let grace = grace.unwrap_or(Duration::from_secs(limits::GC_GRACE_SECONDS));
    let (store, options) = (&opened.app.store, GcOptions { dry_run, grace, force });
    let names = which.names(&opened.app).await?;
    let walks = names.into_iter().map(|name| async move {
        let report = store.gc(&Caller::ROOT, &name, options).await?;
        Ok((name, report))
    });
    let reports = progress::each(store, walks).await;
    opened.close().await?;
    let reports = reports?;
    if which.json {
        let shown = reports.iter().map(|(name, report)| json!({ "bucket": name.as_str(), "report": report }));
        print::json(&shown.collect::<Vec<_>>())?;
    } else {
        print::rows(&reports.iter().map(row).collect::<Vec<_>>())?;
    }
    let held_back: u64 = reports.iter().map(|(_, report)| report.held_back).sum();
    if held_back > 0 {
        return Err(Failure::refused(format!(
            "{held_back} files look like objects that no row names, and were kept: is the catalog an old one? If they may \
             go, use --force"
        )));
    }
    Ok(())
}

fn row((name, report): &(BucketName, GcReport)) -> Vec<String> {
    let cells = [
        ("managed", report.managed),
        ("young", report.young),
        ("freed", report.freed),
        ("bytes freed", report.freed_bytes),
        ("put back", report.put_back),
        ("staged removed", report.staged),
        ("held back", report.held_back),
    ];
    let cell = |(what, count): (&str, u64)| format!("{count} {what}");
    [print::plain(name.as_str())].into_iter().chain(cells.map(cell)).collect()
}
