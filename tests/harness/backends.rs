//! The storages of the clouds as they run on one machine: each is started once, by the first test that asks, and shared.
//!
//! `compat/backends` has the programs, and `make tools` installs them. A backend that is not installed is a skip with its
//! name, and a failure under `CI=true`.
//!
//! **Invariant:** no backend outlives the run: a guard outside the terminal's process group holds it, and stops it when
//! the pipe from this process closes, however this process ends.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::report::skipped;

/// Below the ports that the kernel gives to clients.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// The most ports that one backend listens on.
const PORTS_EACH: u16 = 4;
/// A port that was free may be taken before the backend listens on it.
const STARTS_MAX: u32 = 3;

/// A storage that is running.
pub(crate) struct Backend {
    /// What the configuration calls it, and `compat/backends/client.py` too.
    pub(crate) provider: &'static str,
    /// The variables that its client programs read.
    pub(crate) variables: BTreeMap<String, String>,
    /// Where its requests go.
    pub(crate) address: SocketAddr,
    guards: Vec<Guard>,
}

/// The shell that stops a backend once its standard input closes.
pub(crate) struct Guard {
    pub(crate) child: Child,
    pub(crate) directory: PathBuf,
    pub(crate) variables: BTreeMap<String, String>,
    pipe: Option<ChildStdin>,
}

/// Azurite.
pub(crate) fn azure(test: &str) -> Option<&'static Backend> {
    static CELL: OnceLock<Backend> = OnceLock::new();
    alone(&CELL, test, "azure", "azurite")
}

/// An emulator of Google's storage.
pub(crate) fn google(test: &str) -> Option<&'static Backend> {
    static CELL: OnceLock<Backend> = OnceLock::new();
    alone(&CELL, test, "google", "gcs")
}

/// moto.
pub(crate) fn amazon(test: &str) -> Option<&'static Backend> {
    static CELL: OnceLock<Backend> = OnceLock::new();
    alone(&CELL, test, "amazon", "s3")
}

/// A LoopBack application on a directory.
pub(crate) fn loopback(test: &str) -> Option<&'static Backend> {
    static CELL: OnceLock<Backend> = OnceLock::new();
    alone(&CELL, test, "remote", "loopback")
}

/// The same that lets in only who has a token.
pub(crate) fn loopback_with_token(test: &str) -> Option<&'static Backend> {
    static CELL: OnceLock<Backend> = OnceLock::new();
    let start = || Backend::of("remote", Guard::start("loopback", &["a-token-of-Somebody+/="]));
    installed(test, "loopback").then(|| CELL.get_or_init(start))
}

/// Swift, which takes users itself.
pub(crate) fn openstack(test: &str) -> Option<&'static Backend> {
    static CELL: OnceLock<Backend> = OnceLock::new();
    alone(&CELL, test, "openstack", "swift")
}

/// A Swift of its own behind Keystone; the address is Keystone's.
pub(crate) fn keystone(test: &str) -> Option<&'static Backend> {
    static CELL: OnceLock<Backend> = OnceLock::new();
    if !(installed(test, "keystone") && installed(test, "swift")) {
        return None;
    }
    Some(CELL.get_or_init(|| {
        let ports = free_ports();
        let keystone = Guard::start("keystone", &[&ports.to_string()]);
        let environment = keystone.directory.join("env");
        // The catalog of Keystone names this port already.
        let swift = Guard::start_at("swift", ports, &[environment.to_str().expect("UTF-8")]).expect("Swift starts");
        let mut backend = Backend::of("openstack", keystone);
        backend.guards.push(swift);
        backend
    }))
}

/// The stand-in for Rackspace's identity service, before the Swift of [`openstack`].
pub(crate) fn rackspace(test: &str) -> Option<&'static Backend> {
    static CELL: OnceLock<Backend> = OnceLock::new();
    let swift = openstack(test)?;
    Some(CELL.get_or_init(|| {
        let environment = swift.guards[0].directory.join("env");
        let guard = Guard::start("identity-v2", &[environment.to_str().expect("UTF-8")]);
        let mut backend = Backend::of("rackspace", guard);
        backend.variables.extend(swift.variables.clone());
        backend
    }))
}

/// A name for a container that is legal everywhere and that no other run and no other call has.
pub(crate) fn fresh_name(stem: &str) -> String {
    static RUN: OnceLock<u32> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let run = RUN.get_or_init(|| {
        let mut bytes = [0; 4];
        getrandom::fill(&mut bytes).expect("randomness");
        u32::from_ne_bytes(bytes)
    });
    format!("{stem}-{run:08x}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("compat/backends")
}

/// The Python that has the providers' client programs.
pub(crate) fn python() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    if own.exists() { own } else { "python3".into() }
}

/// Whether the programs of a backend are there.
pub(crate) fn installed(test: &str, script: &'static str) -> bool {
    static KNOWN: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let found = known.contains(script) || {
        let mut look = Command::new(scripts().join(format!("{script}.sh")));
        look.arg("installed").stdin(Stdio::null()).stdout(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    if found {
        known.insert(script);
    }
    found || skipped(test, &format!("the backend {script} is missing: `make tools` installs it"))
}

fn alone(
    cell: &'static OnceLock<Backend>,
    test: &str,
    provider: &'static str,
    script: &'static str,
) -> Option<&'static Backend> {
    installed(test, script).then(|| cell.get_or_init(|| Backend::of(provider, Guard::start(script, &[]))))
}

/// The first of [`PORTS_EACH`] ports in a row that are free.
fn free_ports() -> u16 {
    static NEXT: OnceLock<Mutex<u16>> = OnceLock::new();
    let next = NEXT.get_or_init(|| {
        let mut bytes = [0; 2];
        getrandom::fill(&mut bytes).expect("randomness");
        Mutex::new(PORTS.start + u16::from_ne_bytes(bytes) % (PORTS.end - PORTS.start - PORTS_EACH))
    });
    let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..PORTS.len() {
        let first = *next;
        *next = if first + 2 * PORTS_EACH < PORTS.end { first + PORTS_EACH } else { PORTS.start };
        if (first..first + PORTS_EACH).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return first;
        }
    }
    panic!("no ports are free");
}

impl Guard {
    /// Starts a backend on ports that are free.
    pub(crate) fn start(script: &str, arguments: &[&str]) -> Self {
        let mut last = String::new();
        for _ in 0..STARTS_MAX {
            match Self::start_at(script, free_ports(), arguments) {
                Ok(guard) => return guard,
                Err(why) => last = why,
            }
        }
        panic!("the backend {script} does not start:\n{last}");
    }

    /// Starts a backend on a port and those behind it; what it said if it does not.
    fn start_at(script: &str, port: u16, arguments: &[&str]) -> Result<Self, String> {
        // Swift keeps what it knows in extended attributes, which the usual place of temporary files may lack.
        let directory = tempfile::Builder::new()
            .prefix(&format!("{script}-"))
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .expect("a directory")
            // The guard removes it: this process may not get to it.
            .keep();
        let mut command = Command::new(scripts().join("guard"));
        command.arg(&directory).arg(script).arg(port.to_string()).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().expect("the guard");
        let pipe = child.stdin.take();
        let mut lines = Vec::new();
        for line in BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok) {
            match line.as_str() {
                "ready" => {
                    let pairs = lines.iter().filter_map(|line: &String| line.split_once('='));
                    let variables = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                    return Ok(Self { child, directory, variables, pipe });
                }
                _ => lines.push(line),
            }
        }
        child.wait().expect("its status");
        Err(lines.join("\n"))
    }

    /// Lets go of it, as the end of this process does, and waits until it has stopped everything.
    pub(crate) fn release(mut self) -> PathBuf {
        self.pipe = None;
        self.child.wait().expect("its status");
        self.directory
    }
}

impl Backend {
    fn of(provider: &'static str, guard: Guard) -> Self {
        let mut backend = Self {
            provider,
            variables: guard.variables.clone(),
            address: ([127, 0, 0, 1], 0).into(),
            guards: vec![guard],
        };
        let url = backend.url().split("//").nth(1).expect("a URL");
        backend.address = url.split('/').next().and_then(|address| address.parse().ok()).expect("an address");
        backend
    }

    /// A variable of its client programs.
    #[track_caller]
    pub(crate) fn get(&self, name: &str) -> &str {
        self.variables.get(name).unwrap_or_else(|| panic!("no {name} among {:?}", self.variables.keys()))
    }

    /// Where its client programs begin.
    fn url(&self) -> &str {
        self.get(match self.provider {
            "azure" => "AZURE_STORAGE_ENDPOINT",
            "google" => "STORAGE_EMULATOR_HOST",
            "amazon" => "AWS_ENDPOINT_URL",
            "rackspace" => "RACKSPACE_AUTH_URL",
            "remote" => "LOOPBACK_URL",
            _ if self.variables.contains_key("OS_AUTH_URL") => "OS_AUTH_URL",
            _ => "ST_AUTH",
        })
    }

    /// The entry of a configuration file, with more lines of it.
    pub(crate) fn entry(&self, name: &str, more: &str) -> String {
        self.entry_by(name, self.address, more)
    }

    /// The same by way of another address.
    pub(crate) fn entry_by(&self, name: &str, address: SocketAddr, more: &str) -> String {
        let url = self.url().replace(&self.address.to_string(), &address.to_string());
        let of = |variable: &str| self.get(variable).to_owned();
        let pairs: Vec<(&str, String)> = match self.provider {
            "azure" => vec![
                ("endpoint", url),
                ("storageAccount", of("AZURE_STORAGE_ACCOUNT_NAME")),
                ("storageAccessKey", of("AZURE_STORAGE_ACCOUNT_KEY")),
            ],
            "google" => vec![("endpoint", url), ("projectId", of("GCS_PROJECT"))],
            "amazon" => vec![
                ("endpoint", url),
                ("keyId", of("AWS_ACCESS_KEY_ID")),
                ("key", of("AWS_SECRET_ACCESS_KEY")),
                ("region", of("AWS_REGION")),
            ],
            "remote" if of("LOOPBACK_TOKEN").is_empty() => vec![("url", url)],
            "remote" => vec![("url", url), ("accessToken", of("LOOPBACK_TOKEN"))],
            "rackspace" => vec![
                ("authUrl", url),
                ("username", of("RACKSPACE_USERNAME")),
                ("apiKey", of("RACKSPACE_API_KEY")),
                ("region", of("RACKSPACE_REGION")),
            ],
            _ if self.variables.contains_key("OS_AUTH_URL") => vec![
                ("authUrl", url),
                ("username", of("OS_USERNAME")),
                ("password", of("OS_PASSWORD")),
                ("project", of("OS_PROJECT_NAME")),
                ("domain", of("OS_USER_DOMAIN_NAME")),
                ("region", of("OS_REGION_NAME")),
            ],
            _ => vec![("authUrl", url), ("username", of("ST_USER")), ("password", of("ST_KEY"))],
        };
        let mut text = format!("[[provider]]\nname = {name:?}\nprovider = {:?}\n", self.provider);
        for (key, value) in pairs {
            text.push_str(&format!("{key} = {value:?}\n"));
        }
        text + more + "\n"
    }
}
