//! `longshore bucket`.
//!
//! **Invariant:** what is not named on the command line stays as it was found, and limits are numbers that the catalog
//! can hold. Names that others gave are printed escaped.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::app::{App, Opening};
use crate::cli::exit::{Failure, Outcome};
use crate::cli::{Beside, print};
use crate::config::limits::CLI_PAGE_ROWS;
use crate::model::action::Action;
use crate::model::bucket::{Bucket, BucketConfig};
use crate::model::caller::Caller;
use crate::model::name::BucketName;
use crate::model::place::Layout;
use crate::store::request::{BucketQuery, Progress};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List all buckets.
    List {
        /// Print JSON.
        #[arg(long, env = "LONGSHORE_JSON")]
        json: bool,
        #[command(flatten)]
        beside: Beside,
    },
    /// Show one bucket.
    Show {
        /// The bucket.
        name: String,
        /// Print JSON.
        #[arg(long, env = "LONGSHORE_JSON")]
        json: bool,
        #[command(flatten)]
        beside: Beside,
    },
    /// Change settings of a bucket; what is not named stays.
    Set(Set),
}

#[derive(Debug, Args)]
pub(super) struct Set {
    /// The bucket.
    name: String,
    /// Where new bytes end up: at their keys, or at a fresh managed place each.
    #[arg(long, value_enum, value_name = "L", env = "LONGSHORE_LAYOUT")]
    layout: Option<LayoutName>,
    /// Whether anyone may read the objects.
    #[arg(long, value_name = "BOOL", env = "LONGSHORE_PUBLIC", num_args = 0..=1, default_missing_value = "true")]
    public: Option<bool>,
    /// Whether nobody but Longshore writes to the container.
    #[arg(long, value_name = "BOOL", env = "LONGSHORE_EXCLUSIVE", num_args = 0..=1, default_missing_value = "true")]
    exclusive: Option<bool>,
    /// Whether files that others put there are hashed when they are met.
    #[arg(long, value_name = "BOOL", env = "LONGSHORE_HASH_ON_ADOPT", num_args = 0..=1, default_missing_value = "true")]
    hash_on_adopt: Option<bool>,
    /// Most bytes it may hold, all versions together; `none`: any number.
    #[arg(long, value_name = "N", env = "LONGSHORE_QUOTA_BYTES", value_parser = limit)]
    quota_bytes: Option<Limit>,
    /// Most objects it may hold, all versions together; `none`: any number.
    #[arg(long, value_name = "N", env = "LONGSHORE_QUOTA_OBJECTS", value_parser = limit)]
    quota_objects: Option<Limit>,
    #[command(flatten)]
    beside: Beside,
}

/// A number, or none.
#[derive(Debug, Clone, Copy)]
struct Limit(Option<u64>);

fn limit(text: &str) -> Result<Limit, String> {
    if text == "none" {
        return Ok(Limit(None));
    }
    // The catalog keeps numbers of 63 bits.
    let number = text.parse().ok().filter(|number| i64::try_from(*number).is_ok());
    number.map(|number| Limit(Some(number))).ok_or_else(|| "a number, or none".to_owned())
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LayoutName {
    Natural,
    Managed,
}

pub(super) async fn run(command: Command) -> Outcome {
    match command {
        Command::List { json, beside } => list(json, beside).await,
        Command::Show { name, json, beside } => show(&name, json, beside).await,
        Command::Set(arguments) => set(arguments).await,
    }
}

/// The name of a bucket as an operator types it.
pub(super) fn bucket_name(name: &str) -> Result<BucketName, Failure> {
    BucketName::new(name).map_err(|error| Failure::failed(format!("{name:?} is no bucket name: {error}")))
}

/// All buckets, page by page.
pub(super) async fn all(app: &App) -> Result<Vec<Bucket>, Failure> {
    let mut buckets = Vec::new();
    let mut query = BucketQuery { limit: CLI_PAGE_ROWS, ..BucketQuery::default() };
    loop {
        let page = app.store.list_buckets(&Caller::ROOT, query.clone()).await?;
        buckets.extend(page.buckets);
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(buckets),
        }
    }
}

async fn list(as_json: bool, beside: Beside) -> Outcome {
    let app = beside.open(Opening::Look).await?;
    let mut buckets = Vec::new();
    for bucket in all(&app).await? {
        let progress = app.store.progress(&Caller::ROOT, &bucket.name).await?;
        buckets.push((bucket, progress));
    }
    if as_json {
        return Ok(print::json(&buckets.iter().map(shown).collect::<Vec<_>>())?);
    }
    let row = |(bucket, progress): &(Bucket, Option<Progress>)| {
        let settings = bucket.settings;
        let mut marks = vec![settings.layout.name()];
        marks.extend(
            [(settings.public, "public"), (settings.exclusive, "exclusive")].iter().filter(|m| m.0).map(|m| m.1),
        );
        vec![
            print::plain(bucket.name.as_str()),
            print::plain(&bucket.owner),
            bucket.provider.clone(),
            print::date(bucket.created),
            marks.join(","),
            index_of(bucket, progress.as_ref()),
        ]
    };
    Ok(print::rows(&buckets.iter().map(row).collect::<Vec<_>>())?)
}

async fn show(name: &str, as_json: bool, beside: Beside) -> Outcome {
    let name = bucket_name(name)?;
    let store = beside.open(Opening::Look).await?.store;
    let bucket = store.head_bucket(&Caller::ROOT, &name).await?;
    let progress = store.progress(&Caller::ROOT, &name).await?;
    let shown = shown(&(bucket, progress));
    if as_json {
        return Ok(print::json(&shown)?);
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), print::plain);
    let row = |(key, value): (&String, &Value)| vec![key.clone(), text(value)];
    Ok(print::rows(&shown.as_object().map(|map| map.iter().map(row).collect::<Vec<_>>()).unwrap_or_default())?)
}

/// How far the index of a bucket is, in words.
fn index_of(bucket: &Bucket, progress: Option<&Progress>) -> String {
    let progress = progress.copied().unwrap_or_default();
    if progress.held_back > 0 {
        return format!("{} objects held back: scan it with --force", progress.held_back);
    }
    match bucket.indexed {
        Some(indexed) => format!("indexed {}", print::date(indexed)),
        None if progress.files == 0 => "not indexed".to_owned(),
        None => format!("indexing, {} files so far", progress.files),
    }
}

fn shown((bucket, progress): &(Bucket, Option<Progress>)) -> Value {
    let walk = progress.map(|progress| {
        json!({
            "began": print::date(progress.began),
            "ended": progress.ended.map(print::date),
            "files": progress.files,
            "rows": progress.rows,
            "held_back": progress.held_back,
        })
    });
    json!({
        "name": bucket.name.as_str(),
        "provider": bucket.provider,
        "container": bucket.container.as_str(),
        "owner": bucket.owner,
        "created": print::date(bucket.created),
        "layout": bucket.settings.layout.name(),
        "public": bucket.settings.public,
        "exclusive": bucket.settings.exclusive,
        "hash_on_adopt": bucket.settings.hash_on_adopt,
        "quota_bytes": bucket.config.quota.bytes,
        "quota_objects": bucket.config.quota.objects,
        "indexed": bucket.indexed.map(print::date),
        "walk": walk,
    })
}

async fn set(arguments: Set) -> Outcome {
    let name = bucket_name(&arguments.name)?;
    let store = arguments.beside.open(Opening::Change).await?.store;
    let mut settings = store.head_bucket(&Caller::ROOT, &name).await?.settings;
    settings.layout = match arguments.layout {
        Some(LayoutName::Natural) => Layout::Natural,
        Some(LayoutName::Managed) => Layout::Managed,
        None => settings.layout,
    };
    settings.public = arguments.public.unwrap_or(settings.public);
    settings.exclusive = arguments.exclusive.unwrap_or(settings.exclusive);
    settings.hash_on_adopt = arguments.hash_on_adopt.unwrap_or(settings.hash_on_adopt);
    store.set_bucket(&Caller::ROOT, &name, settings).await?;
    let (bytes, objects) = (arguments.quota_bytes, arguments.quota_objects);
    let change = |config: &mut BucketConfig, _: &Bucket| {
        config.quota.bytes = bytes.map_or(config.quota.bytes, |Limit(most)| most);
        config.quota.objects = objects.map_or(config.quota.objects, |Limit(most)| most);
        Ok(())
    };
    Ok(store.change_config(&Caller::ROOT, &name, Action::Administer, change).await?)
}
