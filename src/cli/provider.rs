//! `longshore provider`.
//!
//! **Invariant:** neither command claims a container or needs a catalog, and what is printed names no secret.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use tokio::time::timeout;

use crate::app::{Opening, open_provider};
use crate::cli::exit::{Failure, Outcome};
use crate::cli::{Beside, print};
use crate::config::{Config, ProviderConfig};
use crate::provider::Capabilities;
use crate::provider::check::{self, Outcome as Tried};

/// The most that opening a provider may take.
const OPEN_LIMIT: Duration = Duration::from_secs(30);

/// The fronts.
const FRONTS: [&str; 4] = ["S3", "Supabase Storage API", "LoopBack storage API", "FileStore storage API"];
/// The capabilities that the table shows, with what it says where they are there and where not.
const CAPABILITIES: [(&str, &str, [&str; 2]); 5] = [
    ("natural", "objects under their own names", YES_NO),
    ("conditional", "who decides conditional writes", ["catalog and storage", "catalog"]),
    ("records", "a lost catalog can be rebuilt", YES_NO),
    ("durable", "survives power loss", YES_NO),
    ("inline", "small bodies by way of the catalog", YES_NO),
];
const YES_NO: [&str; 2] = ["yes", "no"];
/// What the other side is in the tests.
const EMULATED: [(&str, &str); 5] =
    [("amazon", " ¹"), ("azure", " ¹"), ("google", " ¹"), ("rackspace", " ²"), ("remote", " ³")];
const MARKS: &str = "
¹ Tested against an emulator, not the service itself.
² Tested against Swift itself, behind an identity service of our own making.
³ Tested against LoopBack 3 on its filesystem provider, and against Longshore; what is acknowledged is as durable as there.
";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the providers and what they can do.
    List(List),
    /// Try each operation of a provider in a container of its own, which is removed again.
    Check {
        /// The provider.
        name: String,
        #[command(flatten)]
        beside: Beside,
    },
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Print JSON.
    #[arg(long, env = "LONGSHORE_JSON", conflicts_with = "markdown")]
    json: bool,
    /// Print the table of fronts and providers as Markdown.
    #[arg(long, env = "LONGSHORE_MARKDOWN")]
    markdown: bool,
    #[command(flatten)]
    beside: Beside,
}

/// One line of the list.
#[derive(Debug, Serialize)]
struct Line {
    name: String,
    provider: &'static str,
    default: bool,
    /// What new buckets get; absent if the provider cannot be opened.
    layout: Option<&'static str>,
    capabilities: Option<Capabilities>,
    problem: Option<String>,
}

pub(super) async fn run(command: Command) -> Outcome {
    match command {
        Command::List(List { json, markdown, beside }) => {
            let lines = lines(&beside.config()?).await;
            match (json, markdown) {
                (true, _) => print::json(&lines)?,
                (false, true) => print::text(&matrix(&lines))?,
                (false, false) => print::rows(&lines.iter().map(row).collect::<Vec<_>>())?,
            }
            Ok(())
        }
        Command::Check { name, beside } => check(&beside.config()?, &name).await,
    }
}

async fn lines(config: &Config) -> Vec<Line> {
    let mut lines = Vec::new();
    for provider in &config.providers {
        let default = provider.name == config.server.default_provider;
        let (name, kind) = (provider.name.clone(), provider.kind.name());
        lines.push(match open(config, provider).await {
            Ok(opened) => {
                let capabilities = opened.capabilities();
                let usual = capabilities.usual_layout();
                let layout = Some(provider.common.layout.unwrap_or(usual).name());
                Line { name, provider: kind, default, layout, capabilities: Some(capabilities), problem: None }
            }
            Err(problem) => {
                Line { name, provider: kind, default, layout: None, capabilities: None, problem: Some(problem) }
            }
        });
    }
    lines
}

fn row(line: &Line) -> Vec<String> {
    let can = line.capabilities.map_or_else(String::new, |capabilities| able(&capabilities));
    let last = line.problem.as_deref().map_or(can, |problem| format!("cannot be opened: {problem}"));
    let layout = line.layout.unwrap_or("-").to_owned();
    let default = if line.default { "default" } else { "" };
    vec![print::plain(&line.name), line.provider.to_owned(), layout, default.to_owned(), print::plain(&last)]
}

/// The fronts and the capabilities, a column for each provider.
fn matrix(lines: &[Line]) -> String {
    let cells = |first: &str, cell: &dyn Fn(&Line) -> String| {
        lines.iter().fold(format!("| {first} |"), |row, line| format!("{row} {} |", cell(line))) + "\n"
    };
    let tried = |line: &Line| EMULATED.iter().find(|(kind, _)| *kind == line.provider).map_or("", |(_, mark)| *mark);
    let mut text = cells("", &|line| format!("{}{}", line.provider, tried(line)));
    text += &cells("---", &|_| "---".to_owned());
    for front in FRONTS {
        text += &cells(front, &|line| if line.capabilities.is_some() { "yes" } else { "not yet" }.to_owned());
    }
    for (capability, meaning, [with, without]) in CAPABILITIES {
        text += &cells(meaning, &|line| {
            let fields = json!(line.capabilities);
            fields[capability].as_bool().map_or("", |able| if able { with } else { without }).to_owned()
        });
    }
    text + MARKS
}

/// The capabilities that are there, by their names.
fn able(capabilities: &Capabilities) -> String {
    let fields = json!(capabilities);
    let there = fields.as_object().into_iter().flatten().filter(|(_, value)| value.as_bool() == Some(true));
    there.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(",")
}

async fn check(config: &Config, name: &str) -> Outcome {
    let Some(provider) = config.providers.iter().find(|provider| provider.name == name) else {
        return Err(Failure::failed(format!("there is no provider of the name {name:?}")));
    };
    let opened = open(config, provider).await.map_err(Failure::failed)?;
    let mut failed = 0;
    check::check(&*opened, |operation, outcome| {
        let text = match outcome {
            Tried::Works => "ok".to_owned(),
            Tried::NotOffered => "not offered".to_owned(),
            Tried::Failed(why) => {
                failed += 1;
                format!("FAILED {}", print::plain(&why))
            }
        };
        // Who does not read on is told by the exit code.
        let _ = print::rows(&[vec![format!("{operation:<32}"), text]]);
    })
    .await;
    match failed {
        0 => Ok(()),
        1 => Err(Failure::failed("one operation failed")),
        _ => Err(Failure::failed(format!("{failed} operations failed"))),
    }
}

pub(super) async fn open(
    config: &Config,
    provider: &ProviderConfig,
) -> Result<std::sync::Arc<dyn crate::provider::Provider>, String> {
    let opening = open_provider(provider, (config.server.durability, config.catalog.is_some()), Opening::Look, None);
    match timeout(OPEN_LIMIT, opening).await {
        Ok(opened) => opened.map_err(|error| error.to_string()),
        Err(_) => Err("it does not answer".to_owned()),
    }
}
