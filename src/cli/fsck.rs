//! `longshore fsck`.
//!
//! **Invariant:** without `--repair` it changes nothing: no row, no file, no mark of a container. What is no bucket yet
//! stays so.

use clap::Args;
use serde_json::json;

use crate::cli::exit::{Failure, Outcome};
use crate::cli::scan::{Opened, Which};
use crate::cli::{print, progress};
use crate::model::caller::Caller;
use crate::model::name::BucketName;
use crate::store::request::{Finding, FsckOptions, FsckReport};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    which: Which,
    /// Read every byte and hold it against ETag and checksums.
    #[arg(long, env = "LONGSHORE_DEEP")]
    deep: bool,
    /// Do what a scan or gc would do about each finding. What cannot be repaired is kept and told.
    #[arg(long, env = "LONGSHORE_REPAIR")]
    repair: bool,
}

pub(super) async fn run(arguments: Arguments) -> Outcome {
    let Arguments { which, deep, repair } = arguments;
    let opened = if repair { Opened::to_change(&which).await? } else { Opened::to_look(&which).await? };
    let (store, options) = (&opened.app.store, FsckOptions { deep, repair });
    let names = which.names(&opened.app).await?;
    let walks = names.into_iter().map(|name| async move {
        let report = store.fsck(&Caller::ROOT, &name, options).await?;
        Ok((name, report))
    });
    let reports = progress::each(store, walks).await;
    opened.close().await?;
    let reports = reports?;
    show(&reports, which.json)?;
    let wrong: u64 = reports.iter().map(|(_, report)| report.wrong()).sum();
    if wrong > 0 { Err(Failure::wrong(format!("{wrong} things are wrong"))) } else { Ok(()) }
}

fn show(reports: &[(BucketName, FsckReport)], as_json: bool) -> Outcome {
    if as_json {
        let shown = reports.iter().map(|(name, report)| json!({ "bucket": name.as_str(), "report": report }));
        return Ok(print::json(&shown.collect::<Vec<_>>())?);
    }
    let mut rows = Vec::new();
    for (name, report) in reports {
        rows.extend(report.findings.iter().map(|finding| row(name, finding)));
    }
    print::rows(&rows)?;
    Ok(print::rows(&reports.iter().map(summary).collect::<Vec<_>>())?)
}

fn row(bucket: &BucketName, finding: &Finding) -> Vec<String> {
    vec![
        print::plain(bucket.as_str()),
        finding.kind.name().to_owned(),
        finding.version.map_or_else(|| "-".to_owned(), |version| version.to_string()),
        if finding.repaired { "repaired" } else { "kept" }.to_owned(),
        finding.key.as_deref().map_or_else(|| "-".to_owned(), print::plain),
    ]
}

fn summary((name, report): &(BucketName, FsckReport)) -> Vec<String> {
    let mut cells = vec![
        print::plain(name.as_str()),
        format!("{} files", report.files),
        format!("{} rows", report.rows),
        format!("{} managed", report.managed),
        format!("{} parts", report.parts),
        format!("{} bytes hashed", report.hashed_bytes),
        format!("{} encrypted and not verified", report.sealed),
        format!("{} wrong", report.wrong()),
        format!("{} repaired", report.repaired),
    ];
    cells.extend(report.counts.iter().map(|(kind, count)| format!("{count} {}", kind.name())));
    cells
}
