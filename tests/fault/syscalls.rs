//! Calls of the kernel that fail, one by one, while a script of requests goes through everything that changes objects.
//!
//! A sequence is: from some call on, or that call alone, fail with one error; the script; then no more failures. What
//! was acknowledged is there, nothing shows of what failed, the server goes on working without a restart, and after
//! `kill -9` and a start all of that is still so. Only a commit whose sync failed may have happened after all.
//!
//! **Invariant:** what failed is counted from the trace, so a sequence that made nothing fail is not counted as one.

use std::collections::BTreeMap;

use super::at_full_size;
use super::audit::{audit, check_storage};
use super::dice::{Dice, has_tool, report};
use super::ledger::Ledger;
use super::load::make_buckets;
use super::script::Script;
use crate::harness::{Options, Server, Strace, Syscall};

/// What writes, syncs and names files, here and in the catalog.
const CALLS: [&str; 10] = [
    "pwritev",
    "pwrite64",
    "fsync",
    "fdatasync",
    "syncfs",
    "linkat",
    "renameat2",
    "mkdirat",
    "fsetxattr",
    "copy_file_range",
];
const ERRORS: [&str; 2] = ["EIO", "ENOSPC"];
/// At full size a series ends after so many sequences in which nothing failed.
const QUIET_SEQUENCES: usize = 2;
/// In the short form the number of the failing call is chosen below this.
const SHORT_NUMBER_MAX: usize = 12;

/// Which calls fail.
#[derive(Debug, Clone)]
struct Fault {
    call: &'static str,
    error: &'static str,
    number: usize,
    /// All later ones, too, until the storage is well again.
    from_there_on: bool,
}

struct Bench {
    /// There is one except while it is started again.
    server: Option<Server>,
    ledger: Ledger,
    scripts: u64,
    sequences: usize,
    /// Failures by call.
    faults: BTreeMap<String, usize>,
    refused: usize,
    read: usize,
}

impl Bench {
    async fn new() -> Self {
        let options = Options::default().env("LONGSHORE_LOG", "warn").env("TOKIO_WORKER_THREADS", "1");
        let server = Server::with(options);
        make_buckets(&server).await;
        let (ledger, faults) = (Ledger::default(), BTreeMap::new());
        let mut bench = Self { server: Some(server), ledger, scripts: 0, sequences: 0, faults, refused: 0, read: 0 };
        bench.script().run_well().await;
        bench
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("started")
    }

    fn script(&mut self) -> Script<'_> {
        self.scripts += 1;
        Script::new(self.server().root(), &self.ledger, self.scripts)
    }

    /// One sequence. Returns how many calls were made to fail.
    async fn sequence(&mut self, fault: &Fault, restart_at_once: bool) -> usize {
        let Fault { call, error, number, from_there_on } = fault;
        let plus = if *from_there_on { "+" } else { "" };
        let inject = format!("inject={call}:error={error}:when={number}{plus}");
        let strace = Strace::attach(self.server(), &["-e", &format!("trace={call}"), "-e", &inject]);
        let mut script = self.script();
        script.run().await;
        let failed = std::mem::take(&mut script.failed);
        let failures: Vec<Syscall> = strace.detach().into_iter().filter(Syscall::injected).collect();
        // A commit whose sync failed may have reached the disk.
        let unknown = failures.iter().any(|failure| failure.name == "fdatasync");
        if !unknown {
            failed.iter().for_each(|(name, ticket)| self.ledger.refuse(name, *ticket));
        }
        if !restart_at_once {
            self.read += audit(self.server(), &self.ledger).await;
            self.script().run_well().await;
        }
        self.restart();
        self.read += audit(self.server(), &self.ledger).await;
        check_storage(self.server());
        self.script().run_well().await;
        self.refused += failed.len();
        self.sequences += usize::from(!failures.is_empty());
        *self.faults.entry((*call).to_owned()).or_default() += failures.len();
        failures.len()
    }

    fn restart(&mut self) {
        let mut server = self.server.take().expect("started");
        server.kill();
        self.server = Some(server.restart());
    }

    fn report(&self) {
        let faults: usize = self.faults.values().sum();
        let Self { sequences, refused, read, .. } = self;
        report(&format!(
            "syscalls: {sequences} sequences, {faults} faults injected {:?}, {refused} requests refused, {} acknowledged \
             writes, {read} keys checked",
            self.faults,
            self.ledger.acknowledged(),
        ));
    }
}

/// Every number of every call, until the script makes no more such calls. Where all later ones fail too, numbers that lie
/// close together differ in little: they double.
async fn every_number(bench: &mut Bench) {
    for (call, error) in pairs() {
        for from_there_on in [false, true] {
            let (mut number, mut quiet) = (1, 0);
            while quiet < QUIET_SEQUENCES {
                let fault = Fault { call, error, number, from_there_on };
                if bench.sequence(&fault, number.is_multiple_of(3)).await == 0 {
                    quiet += 1;
                }
                number = if from_there_on { number * 2 } else { number + 1 };
            }
        }
    }
}

fn pairs() -> impl Iterator<Item = (&'static str, &'static str)> {
    CALLS.into_iter().flat_map(|call| ERRORS.map(|error| (call, error)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_fails_fails_its_request_and_nothing_else() {
    if !has_tool("syscalls", "strace", "`make tools` installs it") {
        return;
    }
    let mut bench = Bench::new().await;
    if at_full_size() {
        every_number(&mut bench).await;
        return bench.report();
    }
    let mut dice = Dice::of_run("syscalls");
    for (n, (call, error)) in pairs().enumerate() {
        let number = if n % 2 == 0 { 1 } else { dice.between(2, SHORT_NUMBER_MAX) };
        let fault = Fault { call, error, number, from_there_on: n % 3 == 0 };
        bench.sequence(&fault, n % 4 == 0).await;
    }
    assert!(bench.sequences > 0, "nothing was made to fail");
    bench.report();
}
