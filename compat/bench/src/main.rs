//! A load program for S3 endpoints, and for the Storage API of Supabase.
//!
//! It signs its own requests, keeps one connection for each worker, and puts the same load on two servers in the order
//! A, B, B, A, so that a machine that gets slower or faster meanwhile does not favour one of them. It reports requests
//! and bytes per second, latency percentiles, and the CPU time that the server's processes spent. A wrong answer is an
//! error, and a run with errors ends with exit code 1.

mod case;
mod client;
mod load;
mod multipart;
mod prepare;
mod reader;
mod report;
mod sign;
mod stats;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, Parser, Subcommand, ValueEnum};
use sha2::{Digest, Sha256};

use case::{Case, MIB, Operation, PART_BYTES};
use client::{Endpoint, Speaks};
use load::{Outcome, Plan};
use report::Row;
use sign::{Signer, UNSIGNED, hex};

/// Puts load on one or two endpoints and reports what they did.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the directories and files that the cases read, for a server that has not started yet.
    Files {
        /// The directory whose directories are the buckets.
        root: PathBuf,
        /// The cases to be run later.
        #[arg(long, value_delimiter = ',', required = true)]
        case: Vec<Case>,
    },
    /// Run cases.
    Run(Box<RunArgs>),
}

#[derive(Args)]
struct RunArgs {
    /// Host and port of server A.
    #[arg(long)]
    a: String,
    /// Host and port of server B; without it A runs twice.
    #[arg(long)]
    b: Option<String>,
    /// What the tables call server A.
    #[arg(long, default_value = "A")]
    a_name: String,
    /// What the tables call server B.
    #[arg(long, default_value = "B")]
    b_name: String,
    /// Send B plain requests without a signature, and only the cases that a web server can answer.
    #[arg(long)]
    b_plain: bool,
    /// Speak the Storage API of Supabase to A, below this path, instead of S3.
    #[arg(long)]
    a_storage: Option<String>,
    /// Speak the Storage API of Supabase to B, below this path, instead of S3.
    #[arg(long)]
    b_storage: Option<String>,
    /// Token for the Storage API of A.
    #[arg(long, env = "STORAGE_TOKEN_A", hide_env_values = true, default_value = "")]
    a_token: String,
    /// Token for the Storage API of B.
    #[arg(long, env = "STORAGE_TOKEN_B", hide_env_values = true, default_value = "")]
    b_token: String,
    /// Process of server A, then of server B, for their CPU time; children count.
    #[arg(long)]
    pid: Vec<u32>,
    /// The cases to run.
    #[arg(long, value_delimiter = ',', required = true)]
    case: Vec<Case>,
    /// Numbers of connections to run each case with.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64])]
    concurrency: Vec<u64>,
    /// Seconds of each of the four passes.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// How the body of a request is signed.
    #[arg(long, value_enum, default_value_t = Payload::Unsigned)]
    payload: Payload,
    /// Make the buckets and put the objects that the cases read through S3 first.
    #[arg(long)]
    prepare: bool,
    /// Append one JSON line for each pass to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Access key, for both servers.
    #[arg(long, env = "AWS_ACCESS_KEY_ID", default_value = "")]
    access_key: String,
    /// Secret key, for both servers.
    #[arg(long, env = "AWS_SECRET_ACCESS_KEY", hide_env_values = true, default_value = "")]
    secret_key: String,
    /// Region in the signatures.
    #[arg(long, env = "AWS_DEFAULT_REGION", default_value = "us-east-1")]
    region: String,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Payload {
    /// UNSIGNED-PAYLOAD
    Unsigned,
    /// The SHA-256 of the body, computed once for a case.
    Hashed,
}

impl Payload {
    fn name(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Hashed => "hashed",
        }
    }

    /// The value of x-amz-content-sha256 for a body of this length made of the block.
    fn of(self, block: &Bytes, length: u64) -> String {
        if self == Self::Unsigned {
            return UNSIGNED.into();
        }
        let (mut digest, mut left) = (Sha256::new(), length);
        while left > 0 {
            let take = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
            digest.update(&block[..take]);
            left -= take as u64;
        }
        hex(&digest.finalize())
    }
}

fn main() -> ExitCode {
    let mut random = vec![0; MIB as usize];
    if let Err(error) = getrandom::fill(&mut random) {
        eprintln!("random bytes: {error}");
        return ExitCode::from(2);
    }
    let block = Bytes::from(random);
    match Cli::parse().command {
        Command::Files { root, case } => match prepare::files(&root, &case, &block) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{}: {error}", root.display());
                ExitCode::from(2)
            }
        },
        Command::Run(args) => match tokio::runtime::Runtime::new() {
            Ok(runtime) => runtime.block_on(run(&args, &block)),
            Err(error) => {
                eprintln!("runtime: {error}");
                ExitCode::from(2)
            }
        },
    }
}

/// The servers in the order of the command line, each with its process where that is known.
fn servers(args: &RunArgs) -> Vec<(Endpoint, Option<u32>)> {
    let signer = Signer::new(&args.access_key, &args.secret_key, &args.region);
    let endpoint = |name: &str, address: &str, speaks: Speaks| Endpoint {
        name: name.into(),
        authority: address.trim_start_matches("http://").trim_end_matches('/').into(),
        speaks,
    };
    let speaks = |storage: &Option<String>, token: &str| match storage {
        Some(base) => Speaks::Storage { base: base.trim_end_matches('/').into(), token: token.into() },
        None => Speaks::S3(signer.clone()),
    };
    let a = endpoint(&args.a_name, &args.a, speaks(&args.a_storage, &args.a_token));
    let mut servers = vec![(a, args.pid.first().copied())];
    if let Some(b) = &args.b {
        let speaks = if args.b_plain { Speaks::Plain } else { speaks(&args.b_storage, &args.b_token) };
        servers.push((endpoint(&args.b_name, b, speaks), args.pid.get(1).copied()));
    }
    servers
}

async fn run(args: &RunArgs, block: &Bytes) -> ExitCode {
    let servers = servers(args);
    if args.prepare {
        for (endpoint, _) in servers.iter().filter(|(endpoint, _)| !matches!(endpoint.speaks, Speaks::Plain)) {
            if let Err(error) = prepare::objects(endpoint, &args.case, block).await {
                eprintln!("prepare {}: {error}", endpoint.name);
                return ExitCode::from(2);
            }
        }
    }
    let mut rows = Vec::new();
    for case in &args.case {
        for connections in &args.concurrency {
            match measure(args, &servers, *case, *connections, block).await {
                Ok(mut measured) => rows.append(&mut measured),
                Err(error) => {
                    eprintln!("{}: {error}", args.json.as_deref().unwrap_or("standard output".as_ref()).display());
                    return ExitCode::from(2);
                }
            }
        }
    }
    print!("{}", report::table(&rows));
    for row in rows.iter().filter(|row| row.outcome.errors > 0) {
        let why = row.outcome.first_error.as_deref().unwrap_or_default();
        eprintln!("{} x {} on {}: {} errors, first: {why}", row.case, row.connections, row.server, row.outcome.errors);
    }
    ExitCode::from(u8::from(rows.iter().any(|row| row.outcome.errors > 0)))
}

/// The passes of one case in the order A, B, B, A (A, A without a B), added up to one row for each server.
async fn measure(
    args: &RunArgs,
    servers: &[(Endpoint, Option<u32>)],
    case: Case,
    connections: u64,
    block: &Bytes,
) -> std::io::Result<Vec<Row>> {
    let able: Vec<_> = servers.iter().filter(|(endpoint, _)| case.suits(&endpoint.speaks)).collect();
    let body = if case.operation == Operation::Multipart { PART_BYTES } else { case.size };
    let mut rows: Vec<Row> =
        able.iter().map(|(endpoint, pid)| row(case, connections, endpoint, pid.map(|_| 0.0))).collect();
    for index in (0..able.len()).chain((0..able.len()).rev()) {
        let (endpoint, pid) = able[index];
        let no_payload = args.payload.of(block, 0);
        let plan = Arc::new(Plan {
            case,
            endpoint: endpoint.clone(),
            connections,
            seconds: Duration::from_secs_f64(args.seconds),
            block: block.clone(),
            payload: args.payload.of(block, body),
            ahead: Plan::signed_ahead(case, endpoint, &no_payload),
            no_payload,
        });
        let clients = load::ready(&plan).await;
        let before = pid.and_then(stats::cpu_seconds);
        let outcome = load::pass(&plan, clients).await;
        let used = pid.and_then(stats::cpu_seconds).zip(before).map(|(after, before)| after - before);
        let total = &mut rows[index];
        total.outcome.merge(&outcome);
        total.outcome.seconds += outcome.seconds;
        total.cpu = total.cpu.zip(used).map(|(sum, used)| sum + used);
        let single = Row { outcome, cpu: used, ..row(case, connections, endpoint, None) };
        if let Some(file) = &args.json {
            let mut file = OpenOptions::new().create(true).append(true).open(file)?;
            writeln!(file, "{}", single.json(args.payload.name()))?;
        }
    }
    Ok(rows)
}

fn row(case: Case, connections: u64, endpoint: &Endpoint, cpu: Option<f64>) -> Row {
    Row { case, connections, server: endpoint.name.clone(), outcome: Outcome::new(), cpu }
}
