//! Starts, stops, kills and restarts the built server, and runs commands beside it.
//!
//! **Invariant:** it waits for what the server says (its ready line, its exit), never for a time to pass.

use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::client::Client;
use super::postgres::{Database, database, postgres};
use super::sign::Keys;

/// The access key of root.
pub(crate) const ROOT_ACCESS_KEY: &str = "HARNESSROOT";
/// The secret of root.
pub(crate) const ROOT_SECRET: &str = "harness-root-secret-5f1b0c";

const PROGRAM: &str = env!("CARGO_BIN_EXE_longshore");
const READY_SECONDS_MAX: u64 = 30;
const EXIT_SECONDS_MAX: u64 = 45;

/// How to start a server. What is not named is fresh.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// The served directory.
    pub(crate) data: Option<PathBuf>,
    /// The state directory; in its usual place if it is not named.
    pub(crate) state: Option<PathBuf>,
    /// The text of a configuration file.
    pub(crate) config: Option<String>,
    /// More arguments.
    pub(crate) args: Vec<String>,
    /// The database of its catalog. Without one the run decides: see [`catalog_of_the_run`].
    pub(crate) database: Option<Database>,
    /// Environment variables; they go over those of the harness. An empty value removes one.
    pub(crate) env: Vec<(String, String)>,
}

impl Options {
    /// With one more argument.
    pub(crate) fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// With one more environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a configuration file of this text.
    pub(crate) fn config(mut self, text: &str) -> Self {
        self.config = Some(text.to_owned());
        self
    }
}

/// A server that is running, or was.
pub(crate) struct Server {
    child: Child,
    /// Lines of standard output after the ready line.
    stdout: Receiver<String>,
    log: Arc<Mutex<String>>,
    logger: Option<JoinHandle<()>>,
    home: Arc<TempDir>,
    options: Options,
    /// The address of the S3 listener.
    pub(crate) s3: SocketAddr,
    /// The address of the REST listener.
    pub(crate) rest: SocketAddr,
}

/// A command line of the program with a clean environment.
pub(crate) fn longshore(args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(args).env_clear().env("RUST_BACKTRACE", "1").stdin(Stdio::null());
    for name in ["PATH", "TMPDIR", "LLVM_PROFILE_FILE"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command
}

impl Server {
    /// Starts a server on a fresh directory.
    pub(crate) fn start() -> Self {
        Self::with(Options::default())
    }

    /// Starts a server as the options say.
    pub(crate) fn with(options: Options) -> Self {
        match Self::try_with(options) {
            Ok(server) => server,
            Err((status, log)) => panic!("the server did not start ({status}):\n{log}"),
        }
    }

    /// Starts a server that may refuse to: then its exit status and its log.
    pub(crate) fn try_with(mut options: Options) -> Result<Self, (ExitStatus, String)> {
        let home = Arc::new(tempfile::tempdir().expect("a temporary directory"));
        options.data.get_or_insert_with(|| home.path().join("data"));
        options.database = options.database.or_else(catalog_of_the_run);
        Self::launch(options, home)
    }

    /// The command line and environment of a server.
    fn serve(options: &Options, home: &TempDir) -> Command {
        let mut command = longshore(&["serve", "--s3-listen", "127.0.0.1:0", "--rest-listen", "127.0.0.1:0"]);
        command.env("LONGSHORE_ROOT_ACCESS_KEY", ROOT_ACCESS_KEY).env("LONGSHORE_ROOT_SECRET_KEY", ROOT_SECRET);
        // At trace level, so that every run shows whether a secret gets into the log.
        command.env("LONGSHORE_LOG", "trace");
        command.envs(options.database.as_ref().map(|database| ("LONGSHORE_CATALOG", &database.url)));
        options.env.iter().for_each(|(name, value)| {
            if value.is_empty() {
                command.env_remove(name)
            } else {
                command.env(name, value)
            };
        });
        if let Some(text) = &options.config {
            let path = home.path().join("longshore.toml");
            std::fs::write(&path, text).expect("a configuration file");
            command.arg("--config").arg(path);
        }
        if let Some(state) = &options.state {
            command.arg("--state").arg(state);
        }
        command.args(&options.args).arg(options.data.as_ref().expect("a directory"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn launch(options: Options, home: Arc<TempDir>) -> Result<Self, (ExitStatus, String)> {
        let mut child = Self::serve(&options, &home).spawn().expect("the built server");
        let log = Arc::new(Mutex::new(String::new()));
        let logger = keep(child.stderr.take().expect("piped"), Arc::clone(&log));
        let stdout = lines(child.stdout.take().expect("piped"));
        let ready = stdout.recv_timeout(Duration::from_secs(READY_SECONDS_MAX));
        match ready.ok().as_deref().and_then(addresses) {
            Some((s3, rest)) => Ok(Self { child, stdout, log, logger: Some(logger), home, options, s3, rest }),
            None => {
                // A server that is neither ready nor at an end is stuck.
                let _ = child.kill();
                let status = child.wait().expect("its status");
                logger.join().expect("its log");
                let text = log.lock().unwrap_or_else(PoisonError::into_inner).clone();
                Err((status, text))
            }
        }
    }

    /// Waits until no step is owed to the storage any more, as the catalog itself says.
    pub(crate) fn until_settled(&self) {
        let owed: Box<dyn Fn() -> bool> = match &self.options.database {
            Some(database) => {
                let server = postgres("a server of this run").expect("it is running");
                Box::new(|| server.sql(&database.name, "SELECT EXISTS (SELECT 1 FROM longshore.outbox)") == "t")
            }
            None => {
                let file = self.data().join(".longshore/catalog.db");
                let catalog = rusqlite::Connection::open(file).expect("opens");
                catalog.busy_timeout(Duration::from_secs(5)).expect("waits");
                let text = "SELECT EXISTS (SELECT 1 FROM outbox)";
                Box::new(move || catalog.query_row(text, [], |row| row.get(0)).expect("reads"))
            }
        };
        let until = Instant::now() + Duration::from_secs(20);
        while owed() {
            assert!(Instant::now() < until, "steps stay owed");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The configuration of a bucket, as the catalog itself has it, also after a kill.
    pub(crate) fn config_of(&self, bucket: &str) -> serde_json::Value {
        let text: String = match &self.options.database {
            Some(database) => {
                let server = postgres("a server of this run").expect("it is running");
                let query = format!("SELECT config FROM longshore.bucket_settings WHERE bucket_id = '{bucket}'");
                server.sql(&database.name, &query)
            }
            None => {
                let catalog = rusqlite::Connection::open(self.state().join("catalog.db")).expect("opens");
                catalog.busy_timeout(Duration::from_secs(5)).expect("waits");
                let query = "SELECT config FROM buckets WHERE name = ?1";
                catalog.query_row(query, [bucket], |row| row.get(0)).expect("reads")
            }
        };
        serde_json::from_str(&text).expect("JSON")
    }

    /// The directory it serves.
    pub(crate) fn data(&self) -> &Path {
        self.options.data.as_deref().expect("set when it was started")
    }

    /// Its state directory.
    pub(crate) fn state(&self) -> PathBuf {
        self.options.state.clone().unwrap_or_else(|| self.data().join(".longshore"))
    }

    /// A client with root's key.
    pub(crate) fn root(&self) -> Client {
        self.client(ROOT_ACCESS_KEY, ROOT_SECRET)
    }

    /// A client with some key.
    pub(crate) fn client(&self, access_key: &str, secret: &str) -> Client {
        Client::new(self.s3, Some(Keys::new(access_key, secret)))
    }

    /// A client without a key.
    pub(crate) fn anonymous(&self) -> Client {
        Client::new(self.s3, None)
    }

    /// Makes a user with this policy and returns a client with a key of it.
    pub(crate) fn user(&self, name: &str, policy: &str) -> Client {
        self.run(&["user", "create", name, "--policy", policy]);
        let text = self.run(&["key", "create", "--user", name, "--json"]);
        let key: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let field = |name: &str| key[name].as_str().expect("a text").to_owned();
        self.client(&field("access_key"), &field("secret_key"))
    }

    /// Runs a command beside the server that must succeed, and returns what it printed.
    pub(crate) fn run(&self, args: &[&str]) -> String {
        let output = self.command(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "longshore {args:?} ended with {}:\n{stderr}", output.status);
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Runs a command beside the server.
    pub(crate) fn command(&self, args: &[&str]) -> Output {
        self.beside(args).output().expect("the built program")
    }

    /// A command beside the server, to be run.
    pub(crate) fn beside(&self, args: &[&str]) -> Command {
        let mut command = longshore(args);
        command.env("LONGSHORE_DIR", self.data()).env("LONGSHORE_STATE", self.state());
        command.envs(self.options.database.as_ref().map(|database| ("LONGSHORE_CATALOG", &database.url)));
        command
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it printed after the ready line; asked for when it has ended.
    pub(crate) fn printed(&self) -> Vec<String> {
        self.stdout.try_iter().collect()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The most bytes of memory it ever had resident.
    pub(crate) fn peak_memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a running server");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1024
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("a running server");
    }

    /// Asks it to stop and waits for its end.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Kills it as `kill -9` does, and waits for its end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a running server");
        self.wait();
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(EXIT_SECONDS_MAX);
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("its status") {
                break status;
            }
            assert!(Instant::now() < deadline, "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        };
        // The log is whole once the pipe is closed.
        if let Some(logger) = self.logger.take() {
            logger.join().expect("its log");
        }
        status
    }

    /// Starts a server on the same directories, after this one has ended, and kills it a moment later.
    pub(crate) fn begin_and_kill(&self, moment: Duration) {
        let mut command = Self::serve(&self.options, &self.home);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the built server");
        // No luck is waited for here: the moment of the kill is what the caller varies.
        std::thread::sleep(moment);
        child.kill().expect("killed, or at an end");
        child.wait().expect("its status");
    }

    /// Starts again on the same directories, after it was stopped or killed. The ports are others.
    pub(crate) fn restart(mut self) -> Self {
        if self.child.try_wait().expect("its status").is_none() {
            assert!(self.stop().success(), "the server did not stop cleanly");
        }
        match Self::launch(self.options.clone(), Arc::clone(&self.home)) {
            Ok(server) => server,
            Err((status, log)) => panic!("the server did not start again ({status}):\n{log}"),
        }
    }
}

/// With `LONGSHORE_TEST_CATALOG=postgres` each server that a test starts has a database of its own for its catalog.
fn catalog_of_the_run() -> Option<Database> {
    match std::env::var("LONGSHORE_TEST_CATALOG").as_deref() {
        Ok("postgres") => Some(database("the servers of this run").expect("PostgreSQL is installed")),
        _ => None,
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- log of the server ----\n{}", self.log());
        }
    }
}

fn addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let (s3, rest) = line.strip_prefix("longshore ready s3=http://")?.split_once(" rest=http://")?;
    Some((s3.parse().ok()?, rest.parse().ok()?))
}

fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn keep(pipe: impl Read + Send + 'static, log: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
            log.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}
