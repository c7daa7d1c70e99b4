//! `longshore check`.
//!
//! Advice is what may well be meant as it is: it is told, and is no failure.
//!
//! **Invariant:** it leaves no file behind and claims no container; a catalog that is not there is not made, and an old one
//! stays old.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::app::{self, App, Opening, root_of_command};
use crate::cli::exit::{Failure, Outcome};
use crate::cli::{Served, bucket, print, provider};
use crate::config::root::RootKeys;
use crate::config::state::{State, StateError};
use crate::config::{Config, ProviderConfig, ProviderKind};
use crate::model::bucket::BucketRule;
use crate::model::causes::causes;
use crate::model::place::Layout;
use crate::provider::Provider;

/// The most that listing the containers of a provider may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    served: Served,
    /// Print JSON.
    #[arg(long, env = "LONGSHORE_JSON")]
    json: bool,
}

pub(super) async fn run(arguments: Arguments) -> Outcome {
    let config = Config::load(&arguments.served.overrides())?;
    let mut found = vec![
        ("s3 listener".to_owned(), json!(config.server.s3_listen)),
        ("rest listener".to_owned(), json!(config.server.rest_listen)),
    ];
    let mut problems = Vec::new();
    for provider in &config.providers {
        let name = format!("provider {}", print::plain(&provider.name));
        match describe(provider, &config).await {
            Ok(text) => found.push((name, json!(text))),
            Err(problem) => problems.push(format!("{name}: {problem}")),
        }
    }
    match state(&config).await {
        Ok(lines) => found.extend(lines),
        Err(failure) => problems.push(failure.text()),
    }
    let mut advice = Vec::new();
    if problems.is_empty() {
        match timeout(ANSWER_LIMIT, app::advice(&config)).await {
            Ok(Ok(found)) => advice = found,
            Ok(Err(error)) => problems.push(Failure::from(error).text()),
            Err(_) => problems.push("the database of the catalog does not answer".to_owned()),
        }
    }
    if arguments.json {
        let found: serde_json::Map<String, Value> = found.into_iter().collect();
        print::json(&json!({ "found": found, "problems": problems, "advice": advice }))?;
    } else {
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let advice = advice.iter().map(|advice| ("advice".to_owned(), json!(print::plain(advice))));
        print::rows(&found.into_iter().chain(advice).map(|(name, value)| vec![name, text(value)]).collect::<Vec<_>>())?;
    }
    if problems.is_empty() { Ok(()) } else { Err(Failure::failed(problems.join("\n"))) }
}

async fn describe(settings: &ProviderConfig, config: &Config) -> Result<String, String> {
    let kind = match &settings.kind {
        ProviderKind::Memory => return Ok("memory".to_owned()),
        ProviderKind::Filesystem { root } if !root.exists() => {
            return Ok(format!("filesystem at {}, which serve will make", root.display()));
        }
        ProviderKind::Filesystem { root } => format!("filesystem at {}", root.display()),
        kind => kind.name().to_owned(),
    };
    let opened = provider::open(config, settings).await?;
    if let Some(problem) = impossible_layout(settings, config, &*opened) {
        return Err(problem);
    }
    let listing = timeout(ANSWER_LIMIT, opened.containers()).await;
    let containers = listing.map_err(|_| "it does not answer".to_owned())?.map_err(|error| causes(&error))?;
    let read_only = containers.iter().filter(|container| !container.writable).count();
    Ok(format!("{kind}, {} containers, {read_only} of them read-only", containers.len()))
}

/// A layout that is asked for where it cannot be kept.
fn impossible_layout(settings: &ProviderConfig, config: &Config, provider: &dyn Provider) -> Option<String> {
    if provider.capabilities().natural {
        return None;
    }
    let cannot = "its storage cannot keep objects under their own names";
    if settings.common.layout == Some(Layout::Natural) {
        return Some(format!("layout = \"natural\" is not possible: {cannot}"));
    }
    let of_it = |rule: &&BucketRule| {
        rule.layout == Some(Layout::Natural)
            && *rule.provider.as_ref().unwrap_or(&config.server.default_provider) == settings.name
    };
    let rule = config.buckets.0.iter().find(of_it)?;
    Some(format!("layout = \"natural\" of the buckets {:?} is not possible: {cannot}", rule.pattern))
}

async fn state(config: &Config) -> Result<Vec<(String, Value)>, Failure> {
    let root = match RootKeys::from_environment()? {
        Some(_) => "from the environment",
        None => "generated",
    };
    let path = config.state.display().to_string();
    let state = match State::open(&config.state) {
        Err(StateError::Missing(_)) => {
            return Ok(vec![("state".into(), json!(format!("{path}, which serve will make")))]);
        }
        state => state?,
    };
    let mut found = vec![("state".into(), json!(path)), ("root credentials".into(), json!(root))];
    found.push(("server".into(), json!(if state.is_locked()? { "running" } else { "not running" })));
    if (config.catalog.is_some() || state.catalog().is_file()) && config.providers.iter().all(is_there) {
        let app = App::open(config, &state, root_of_command(&state)?, Opening::Look).await?;
        found.push(("buckets".into(), json!(bucket::all(&app).await?.len())));
    }
    Ok(found)
}

fn is_there(provider: &ProviderConfig) -> bool {
    match &provider.kind {
        ProviderKind::Filesystem { root } => root.is_dir(),
        _ => true,
    }
}
