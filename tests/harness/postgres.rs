//! Databases for catalogs: one server for the run, started by the first test that asks, and a fresh database for each.
//!
//! `compat/backends/postgres.sh` runs the server from the system's package; one that is missing is a skip with its name,
//! and a failure under `CI=true`.
//!
//! **Invariant:** a test's catalog is opened by a login that may do nothing by itself, as one in earnest should be; what
//! the test does beside it, it does by another.

use std::process::{Command, Stdio};
use std::sync::OnceLock;

use longshore::catalog::postgres::PostgresCatalog;
use longshore::model::secret::Secret;

use super::backends::{Guard, fresh_name, installed};

/// The server.
pub(crate) struct Postgres {
    guard: Guard,
}

/// A database that was brought up to date and never used.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    /// Its name.
    pub(crate) name: String,
    /// The address for a catalog.
    pub(crate) url: String,
    /// The address of a superuser.
    pub(crate) admin: String,
}

const TEMPLATE: &str = "longshore_template";

/// The server, with the database that others are copied from.
pub(crate) fn postgres(test: &str) -> Option<&'static Postgres> {
    static CELL: OnceLock<Postgres> = OnceLock::new();
    installed(test, "postgres").then(|| CELL.get_or_init(Postgres::start))
}

/// A server of the test's own, which it may stop.
pub(crate) fn own_postgres(test: &str) -> Option<Postgres> {
    installed(test, "postgres").then(Postgres::start)
}

/// A database of its own, or nothing where there is no server.
pub(crate) fn database(test: &str) -> Option<Database> {
    postgres(test).map(Postgres::fresh)
}

impl Postgres {
    fn start() -> Self {
        let server = Self { guard: Guard::start("postgres", &[]) };
        server.sql("postgres", &format!("CREATE DATABASE {TEMPLATE}"));
        let (url, login) = (server.admin(TEMPLATE), server.get("LONGSHORE_LOGIN").to_owned());
        // Tests ask from inside of runtimes of their own.
        let prepared = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(PostgresCatalog::prepare(&Secret::new(&url), Some(&login)))
        });
        prepared.join().expect("no panic").expect("a schema");
        server
    }

    /// A fresh database that is ready for a catalog.
    pub(crate) fn fresh(&self) -> Database {
        self.database(TEMPLATE)
    }

    /// Stops the server, without a word to its clients, and starts it again; returns when it answers.
    pub(crate) fn restart(&self) {
        let control = format!("{}/pg_ctl", self.get("PGBIN"));
        let mut restart = match rustix::process::geteuid().is_root() {
            true => Command::new("setpriv"),
            false => Command::new("env"),
        };
        if rustix::process::geteuid().is_root() {
            restart.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
        }
        restart.args([&control, "restart", "-s", "-w", "-m", "immediate", "-D", self.get("PGDATA"), "-l", "/dev/null"]);
        let status = restart.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).status().expect("pg_ctl");
        assert!(status.success(), "the server of the database does not start again");
    }

    /// A fresh database like another one.
    pub(crate) fn database(&self, like: &str) -> Database {
        let name = fresh_name("t").replace('-', "_");
        self.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {like}"));
        let (login, password) = (self.get("LONGSHORE_LOGIN"), self.get("LONGSHORE_LOGIN_PASSWORD"));
        let url = format!("postgres://{login}:{password}@127.0.0.1:{}/{name}", self.get("PGPORT"));
        Database { url, admin: self.admin(&name), name }
    }

    fn get(&self, name: &str) -> &str {
        self.guard.variables.get(name).map(String::as_str).expect("a variable of the backend")
    }

    /// The address of the superuser.
    pub(crate) fn admin(&self, database: &str) -> String {
        let (password, port) = (self.get("PGPASSWORD"), self.get("PGPORT"));
        format!("postgres://postgres:{password}@127.0.0.1:{port}/{database}")
    }

    /// Runs statements as the superuser, by a client that shares no code with the catalog, and returns what they print.
    pub(crate) fn sql(&self, database: &str, text: &str) -> String {
        let mut psql = Command::new(format!("{}/psql", self.get("PGBIN")));
        psql.args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", text]).stdin(Stdio::null());
        psql.envs(&self.guard.variables);
        let output = psql.output().expect("psql");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}: {said}");
        String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
    }
}
