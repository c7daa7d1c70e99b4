//! `longshore policy`.
//!
//! **Invariant:** nothing is changed, and nothing is decided here: the answer is the store's own. What follows from who
//! asks or from the object never counts from the command line.

use clap::{Args, Subcommand};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::app::Opening;
use crate::auth::decide::Verdict;
use crate::cli::bucket::bucket_name;
use crate::cli::exit::{Failure, Outcome};
use crate::cli::{Beside, print};
use crate::model::action::Action;
use crate::model::caller::Caller;
use crate::model::context::RequestContext;
use crate::model::name::ObjectKey;
use crate::model::tag::Tag;
use crate::model::time::Timestamp;
use crate::store::Resource;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say whether somebody may do something, and which rule decides. Exit code 1 says that it is denied.
    Explain(Explain),
}

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// Who asks: a user's name, root or anonymous.
    #[arg(long, value_name = "U", env = "LONGSHORE_USER")]
    user: String,
    /// What is asked for, as policies name it, such as s3:GetObject.
    #[arg(long, value_name = "A", env = "LONGSHORE_ACTION")]
    action: String,
    /// What it is to be done to: BUCKET, BUCKET/KEY, one of them as an ARN, or * for the service.
    #[arg(long, value_name = "R", env = "LONGSHORE_RESOURCE")]
    resource: String,
    /// What the request says of itself, such as aws:SourceIp=192.0.2.1; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", env = "LONGSHORE_CONTEXT")]
    context: Vec<String>,
    /// Print JSON.
    #[arg(long, env = "LONGSHORE_JSON")]
    json: bool,
    #[command(flatten)]
    beside: Beside,
}

pub(super) async fn run(command: Command) -> Outcome {
    match command {
        Command::Explain(arguments) => explain(arguments).await,
    }
}

async fn explain(arguments: Explain) -> Outcome {
    let action = action(&arguments.action)?;
    let resource = resource(&arguments.resource)?;
    let context = context(&arguments.context)?;
    let app = arguments.beside.open_identities(Opening::Look).await?;
    let asked = app.store.caller_named(&Caller::ROOT, &arguments.user).await?.in_context(context);
    let decision = app.store.explain(&Caller::ROOT, &asked, action, &resource).await?;
    let allowed = decision.verdict == Verdict::Allowed;
    let word = if allowed { "Allowed" } else { "Denied" };
    if arguments.json {
        let (sid, statement) = decision.source.statement().map_or((None, None), |(sid, n)| (sid, Some(n)));
        print::json(&json!({
            "decision": word, "source": decision.source.kind(), "sid": sid, "statement": statement,
            "reason": decision.source.to_string(),
        }))?;
    } else {
        print::rows(&[vec![format!("{word}: {}", decision.source)]])?;
    }
    if allowed { Ok(()) } else { Err(Failure::failed("denied")) }
}

fn action(text: &str) -> Result<Action, Failure> {
    let full = if text.contains(':') { text.to_owned() } else { format!("s3:{text}") };
    let known = Action::ALL.iter().find(|action| action.name().eq_ignore_ascii_case(&full));
    known.copied().ok_or_else(|| Failure::refused(format!("{text:?} is no action")))
}

fn resource(text: &str) -> Result<Resource, Failure> {
    let path = text.strip_prefix("arn:aws:s3:::").unwrap_or(text);
    if path == "*" {
        return Ok(Resource::Service);
    }
    match path.split_once('/') {
        None => Ok(Resource::Bucket(bucket_name(path)?)),
        Some((bucket, key)) => {
            let key = ObjectKey::new(key).map_err(|error| Failure::refused(format!("{key:?} is no key: {error}")))?;
            Ok(Resource::Object(bucket_name(bucket)?, key))
        }
    }
}

fn context(items: &[String]) -> Result<RequestContext, Failure> {
    let mut context = RequestContext::default();
    for item in items {
        let wrong = || Failure::refused(format!("--context {item:?} cannot be read"));
        let (name, value) = item.split_once('=').ok_or_else(wrong)?;
        let lower = name.to_ascii_lowercase();
        match lower.as_str() {
            "aws:sourceip" => context.source_ip = Some(value.parse().map_err(|_| wrong())?),
            "aws:securetransport" => context.secure = value.parse().map_err(|_| wrong())?,
            "aws:currenttime" => {
                let at = OffsetDateTime::parse(value, &Rfc3339).map_err(|_| wrong())?;
                context.at = Some(Timestamp::from_utc(at));
            }
            other if other.starts_with("s3:requestobjecttag/") => {
                let key = name["s3:requestobjecttag/".len()..].to_owned();
                context.tags.push(Tag { key, value: value.to_owned() });
            }
            // These are not the request's: they follow from who asks, and from the object.
            other if other.starts_with("s3:existingobjecttag/") || other.starts_with("aws:principal") => {
                return Err(wrong());
            }
            _ => context.values.entry(lower).or_default().push(value.to_owned()),
        }
    }
    Ok(context)
}
