//! Configuration: file, then environment, then flags; read once at start.
//!
//! The command line hands its flags over as [`Overrides`], in which the environment is already merged under the flags.
//!
//! **Invariant:** a [`Config`] is sound as a whole: whatever is wrong with its sources was reported, all of it at once,
//! before one existed. It holds no secret of clients; those of the operator are [`crate::auth::secret::Secret`]s.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::auth::secret::Secret;
use crate::config::root::SECRET_CHARS_MIN;
use crate::config::section::{Problems, Section};
use crate::model::bucket::{BucketRule, BucketRules};
use crate::model::name::RESERVED;
use crate::model::network::Network;
use crate::model::place::Layout;

mod encryption;
mod filestore;
mod interval;
mod jwt;
pub mod limits;
mod loopback;
mod notification;
pub mod provider;
pub mod root;
mod s3;
mod section;
pub mod state;
mod supabase;

pub use encryption::{EncryptionConfig, KeyError, KeyFrom, NamedKey};
pub use filestore::{FilestoreConfig, ServiceConfig};
pub use interval::{Interval, duration};
pub use jwt::{JWT_SECRET_VARIABLE, JwtConfig};
pub use loopback::{LoopbackAccess, LoopbackMount, NameConflict};
pub use notification::TargetConfig;
pub use provider::{CommonConfig, ProviderConfig, ProviderKind, SharedConfig};
pub use s3::S3Config;
pub use supabase::{ANON_KEY_VARIABLE, SupabaseConfig};

/// The name of the provider that new buckets are made on, unless the configuration says another.
pub const DEFAULT_PROVIDER: &str = "default";

/// Everything an operator can set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The root of the default filesystem provider.
    pub dir: PathBuf,
    /// Where master key and root credentials are kept, and the catalog unless it is in Postgres.
    pub state: PathBuf,
    /// The address of the catalog in Postgres; `None`: the embedded one, in the state directory.
    pub catalog: Option<Secret>,
    /// The listeners and how they work.
    pub server: ServerConfig,
    /// The S3 front.
    pub s3: S3Config,
    /// Where bytes live.
    pub providers: Vec<ProviderConfig>,
    /// The settings of buckets that are made or adopted.
    pub buckets: BucketRules,
    /// The keys that clients may name to have objects encrypted.
    pub encryption: EncryptionConfig,
    /// Which signed tokens count.
    pub jwt: JwtConfig,
    /// The Supabase Storage interface.
    pub supabase: SupabaseConfig,
    /// Where the LoopBack interface is served.
    pub loopback: Vec<LoopbackMount>,
    /// The FileStore interface.
    pub filestore: FilestoreConfig,
    /// Whom buckets can notify.
    pub targets: Vec<TargetConfig>,
    /// Limits that may be tuned.
    pub limits: LimitsConfig,
}

/// The listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// The address of the S3 listener.
    pub s3_listen: SocketAddr,
    /// The address of the REST listener.
    pub rest_listen: SocketAddr,
    /// What an acknowledged write survives.
    pub durability: Durability,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// What a scraper of the metrics must show; without it only this machine may read them.
    pub metrics_token: Option<Secret>,
    /// Between two walks of a bucket in the background; `None`: only new buckets are walked.
    pub scan_interval: Option<Duration>,
    /// The provider of buckets for which nothing says another.
    pub default_provider: String,
    /// The proxies that say where requests come from.
    pub trusted_proxies: Vec<Network>,
}

/// Limits that may be tuned. The others are in [`limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Most connections of one listener.
    pub connections_max: usize,
    /// Seconds that requests under way get at a stop.
    pub drain_seconds_max: u64,
    /// Largest body whose bytes the catalog keeps until its file is durable; 0: none.
    pub inline_bytes_max: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections_max: limits::CONNECTIONS_MAX,
            drain_seconds_max: limits::DRAIN_SECONDS_MAX,
            inline_bytes_max: limits::INLINE_BYTES_MAX,
        }
    }
}

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Durability {
    /// Power loss: files and catalog are synced before the answer.
    #[default]
    Fsync,
    /// The end of the process: the operating system writes when it likes.
    Os,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What flags and environment say; each goes before the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// The root of the default filesystem provider.
    pub dir: Option<PathBuf>,
    /// The state directory.
    pub state: Option<PathBuf>,
    /// The address of the catalog in Postgres.
    pub catalog: Option<Secret>,
    /// The address of the S3 listener.
    pub s3_listen: Option<SocketAddr>,
    /// The address of the REST listener.
    pub rest_listen: Option<SocketAddr>,
    /// What an acknowledged write survives.
    pub durability: Option<Durability>,
    /// How log lines are written.
    pub log_format: Option<LogFormat>,
    /// What a scraper of the metrics must show.
    pub metrics_token: Option<Secret>,
    /// What signs and verifies tokens.
    pub jwt_secret: Option<Secret>,
    /// What S3 requests that come with a token are signed with.
    pub anon_key: Option<Secret>,
    /// Between two walks of a bucket in the background.
    pub scan_interval: Option<Interval>,
}

/// The configuration is wrong; every reason is listed.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    file: Option<PathBuf>,
    problems: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "the configuration {} is wrong:", file.display())?,
            None => write!(f, "the configuration is wrong:")?,
        }
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl Config {
    /// Reads the file that `overrides` names, if any, and puts `overrides` over it.
    ///
    /// # Errors
    /// Every mistake that was found.
    pub fn load(overrides: &Overrides) -> Result<Self, ConfigError> {
        let named = |error: ConfigError| ConfigError { file: overrides.config.clone(), ..error };
        let text = match &overrides.config {
            Some(file) => read(file).map_err(|what| named(ConfigError { file: None, problems: vec![what] }))?,
            None => String::new(),
        };
        Self::parse(&text, overrides).map_err(named)
    }

    /// Reads the text of a file and puts `overrides` over it.
    ///
    /// # Errors
    /// Every mistake that was found.
    pub fn parse(text: &str, overrides: &Overrides) -> Result<Self, ConfigError> {
        let wrong = |problems| ConfigError { file: None, problems };
        let table = text.parse::<toml::Table>().map_err(|error| wrong(vec![error.to_string()]))?;
        let problems = Problems::default();
        let config = Self::from_table(table, overrides, &problems);
        let problems = problems.into_inner();
        if problems.is_empty() { Ok(config) } else { Err(wrong(problems)) }
    }

    fn from_table(table: toml::Table, overrides: &Overrides, problems: &Problems) -> Self {
        let mut top = Section::new("", table, problems);
        let mut server = top.section("server");
        let state = overrides.state.clone().or(server.text("state").map(PathBuf::from));
        let dir = directory(overrides.dir.as_deref(), state.as_deref());
        let server = ServerConfig::read(server, overrides);
        let providers = provider::read(top.sections("provider"), (&dir, &server.default_provider), problems);
        let config = Self {
            state: state.unwrap_or_else(|| dir.join(RESERVED)),
            catalog: catalog(top.section("catalog"), overrides),
            s3: S3Config::read(top.section("s3")),
            buckets: bucket_rules(top.sections("bucket"), &providers),
            providers,
            server,
            encryption: EncryptionConfig::read(top.section("encryption")),
            jwt: JwtConfig::read(top.section("jwt"), overrides.jwt_secret.as_ref()),
            supabase: SupabaseConfig::read(top.section("supabase"), overrides.anon_key.as_ref()),
            loopback: loopback::mounts(top.section("loopback")),
            filestore: FilestoreConfig::read(top.section("filestore")),
            targets: notification::targets(top.section("notification")),
            limits: LimitsConfig::read(top.section("limits")),
            dir,
        };
        // The routes of a mount are found in any case of letters.
        let hidden = |name: &str| {
            let first = |path: &str| path.split('/').nth(1).is_some_and(|first| first.eq_ignore_ascii_case(name));
            config.loopback.iter().any(|mount| first(&mount.path))
        };
        for service in config.filestore.services.iter().filter(|service| hidden(&service.name)) {
            let what = format!("the path of {:?} is one of [[loopback.mount]], too", service.name);
            Section::new("filestore.service", toml::Table::new(), problems).problem("name", &what);
        }
        if config.default_provider().is_none() {
            let what = format!("there is no provider of the name {:?}", config.server.default_provider);
            Section::new("server", toml::Table::new(), problems).problem("default_provider", &what);
        }
        top.finish();
        config
    }

    /// The provider of buckets for which nothing says another.
    #[must_use]
    pub fn default_provider(&self) -> Option<&ProviderConfig> {
        self.providers.iter().find(|provider| provider.name == self.server.default_provider)
    }
}

impl ServerConfig {
    fn read(mut section: Section<'_>, overrides: &Overrides) -> Self {
        let address = |section: &mut Section<'_>, key, port| {
            let found = section.parse(key, "an address such as \"127.0.0.1:9000\"", |text| text.parse().ok());
            found.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        };
        let s3_listen = address(&mut section, "s3_listen", 9000);
        let rest_listen = address(&mut section, "rest_listen", 9001);
        let durability = section.parse("durability", "\"fsync\" or \"os\"", choice).unwrap_or_default();
        let log_format = section.parse("log_format", "\"text\" or \"json\"", choice).unwrap_or_default();
        let token = section.text("metrics_token").map(|token| Secret::new(&token));
        let expected = "a length of time such as \"24h\", or \"off\"";
        let interval = section.parse("scan_interval", expected, |text| text.parse::<Interval>().ok());
        let interval = overrides.scan_interval.or(interval);
        let default_provider = section.one(&["default_provider"]).unwrap_or_else(|| DEFAULT_PROVIDER.to_owned());
        let trusted_proxies = networks(&mut section, "trusted_proxies");
        let daily = Some(Duration::from_secs(limits::SCAN_INTERVAL_SECONDS));
        let server = Self {
            scan_interval: interval.map_or(daily, |Interval(interval)| interval),
            metrics_token: overrides.metrics_token.clone().or(token),
            s3_listen: overrides.s3_listen.unwrap_or(s3_listen),
            rest_listen: overrides.rest_listen.unwrap_or(rest_listen),
            durability: overrides.durability.unwrap_or(durability),
            log_format: overrides.log_format.unwrap_or(log_format),
            default_provider,
            trusted_proxies,
        };
        if server.s3_listen == server.rest_listen && server.s3_listen.port() != 0 {
            section.problem("rest_listen", "it is the address of the S3 listener; each needs its own");
        }
        if server.metrics_token.as_ref().is_some_and(|token| token.expose().len() < SECRET_CHARS_MIN) {
            section.problem("metrics_token", "it must have at least 16 characters");
        }
        section.finish();
        server
    }
}

/// Takes a list of addresses and networks.
fn networks(section: &mut Section<'_>, key: &str) -> Vec<Network> {
    let mut found = Vec::new();
    for text in section.texts(key).unwrap_or_default() {
        match Network::parse(&text).filter(Network::is_narrow) {
            Some(network) => found.push(network),
            None => section
                .problem(key, &format!("{text:?} is no address, and no network of one's own such as \"10.0.0.0/8\"")),
        }
    }
    found
}

impl LimitsConfig {
    fn read(mut section: Section<'_>) -> Self {
        let default = Self::default();
        let connections = section.number("connections_max", 1, 1_000_000).and_then(|n| usize::try_from(n).ok());
        let drain = section.number("drain_seconds_max", 1, 3600);
        let inline = section.number("inline_bytes_max", 0, limits::INLINE_BYTES_MOST as u64);
        let inline = inline.and_then(|n| usize::try_from(n).ok());
        section.finish();
        Self {
            connections_max: connections.unwrap_or(default.connections_max),
            drain_seconds_max: drain.unwrap_or(default.drain_seconds_max),
            inline_bytes_max: inline.unwrap_or(default.inline_bytes_max),
        }
    }
}

/// The address of a catalog in Postgres.
fn catalog(mut section: Section<'_>, overrides: &Overrides) -> Option<Secret> {
    let url = section.secret(&["url"]);
    let url = overrides.catalog.clone().or(url);
    let scheme = url.as_ref().map(|url| url.expose().split_once("://").map_or("", |(scheme, _)| scheme));
    if scheme.is_some_and(|scheme| !["postgres", "postgresql"].contains(&scheme)) {
        section.problem("url", "expected postgres://USER:PASSWORD@HOST/DATABASE; without it the catalog is embedded");
    }
    section.finish();
    url
}

fn choice<T: clap::ValueEnum>(text: &str) -> Option<T> {
    T::from_str(text, false).ok()
}

/// A state directory in its usual place tells the directory it belongs to, so that `--state DIR/.longshore` alone is
/// enough for the commands that take no DIR.
fn directory(given: Option<&Path>, state: Option<&Path>) -> PathBuf {
    let parent = || state.filter(|state| state.ends_with(RESERVED)).and_then(Path::parent);
    match given.or_else(parent) {
        Some(dir) if dir.as_os_str().is_empty() => PathBuf::from("."),
        Some(dir) => dir.to_owned(),
        None => PathBuf::from("./data"),
    }
}

fn bucket_rules(sections: Vec<Section<'_>>, providers: &[ProviderConfig]) -> BucketRules {
    let rules = sections.into_iter().map(|mut section| {
        let pattern = section.text("match").unwrap_or_default();
        if pattern.is_empty() {
            section.problem("match", "a pattern of bucket names is needed, such as \"logs-*\"");
        }
        let rule = BucketRule {
            provider: section.one(&["provider"]),
            layout: section.parse("layout", "\"natural\" or \"managed\"", Layout::parse),
            exclusive: section.boolean("exclusive").unwrap_or(false),
            hash_on_adopt: section.boolean("hash_on_adopt").unwrap_or(false),
            pattern,
        };
        if let Some(name) = rule.provider.as_ref().filter(|name| !providers.iter().any(|p| p.name == **name)) {
            section.problem("provider", &format!("there is no provider of the name {name:?}"));
        }
        section.finish();
        rule
    });
    BucketRules(rules.collect())
}

fn read(file: &Path) -> Result<String, String> {
    let size = std::fs::metadata(file).map_err(|error| format!("it cannot be read: {error}"))?.len();
    if size > limits::CONFIG_BYTES_MAX {
        return Err(format!("it is larger than {} bytes", limits::CONFIG_BYTES_MAX));
    }
    std::fs::read_to_string(file).map_err(|error| format!("it cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, overrides: &Overrides) -> Result<Config, Vec<String>> {
        Config::parse(text, overrides).map_err(|error| error.problems)
    }

    #[test]
    fn every_problem_is_listed() {
        let text = r#"
            colour = "red"
            [catalog]
            url = "mysql://me:hidden@h/d"
            [server]
            s3_listen = "nowhere"
            durability = "paper"
            listen = 1
            [s3]
            domains = ["ok.example", "no_good"]
            [[provider]]
            name = "x"
            provider = "tape"
            [[provider]]
            provider = "memory"
            [[bucket]]
            layout = "flat"
            [limits]
            connections_max = 0
        "#;
        let problems = load(text, &Overrides::default()).expect_err("refused").join("\n");
        for part in [
            "colour: there is no such key",
            "catalog.url: expected postgres://",
            "server.s3_listen: expected an address",
            "server.durability: expected",
            "server.listen: there is no such key",
            "s3.domains: \"no_good\"",
            "provider[0].provider: expected",
            "provider[1].name: a provider needs one",
            "bucket[0].match",
            "bucket[0].layout",
            "limits.connections_max: expected a whole number from 1",
        ] {
            assert!(problems.contains(part), "{part} is not in\n{problems}");
        }
        assert!(!problems.contains("hidden"), "{problems}");
    }

    #[test]
    fn flags_go_before_the_file() {
        let text = "[server]\ns3_listen = \"127.0.0.1:1\"\nrest_listen = \"127.0.0.1:2\"\nstate = \"/s\"";
        let flags = Overrides {
            s3_listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 3))),
            state: Some("/t".into()),
            ..Overrides::default()
        };
        let config = load(text, &flags).expect("sound");
        assert_eq!((config.server.s3_listen.port(), config.server.rest_listen.port()), (3, 2));
        assert_eq!(config.state, Path::new("/t"));
    }

    #[test]
    fn the_default_provider_is_the_directory_unless_one_is_named_default() {
        let config = load("", &Overrides { dir: Some("/d".into()), ..Overrides::default() }).expect("sound");
        assert_eq!(config.state, Path::new("/d/.longshore"));
        let kind = config.default_provider().map(|provider| provider.kind.clone());
        assert_eq!(kind, Some(ProviderKind::Filesystem { root: "/d".into() }));
        let memory = "[[provider]]\nname = \"default\"\nprovider = \"memory\"";
        let config = load(memory, &Overrides::default()).expect("sound");
        assert_eq!(config.providers.len(), 1);
    }

    #[test]
    fn a_state_in_its_usual_place_tells_the_directory() {
        let state = |state: &str| Overrides { state: Some(state.into()), ..Overrides::default() };
        assert_eq!(load("", &state("/x/.longshore")).expect("sound").dir, Path::new("/x"));
        assert_eq!(load("", &state(".longshore")).expect("sound").dir, Path::new("."));
        assert_eq!(load("", &state("/var/state")).expect("sound").dir, Path::new("./data"));
    }

    #[test]
    fn scans_are_daily_unless_said_otherwise() {
        let interval = |text: &str| load(text, &Overrides::default()).map(|config| config.server.scan_interval);
        assert_eq!(interval(""), Ok(Some(Duration::from_secs(limits::SCAN_INTERVAL_SECONDS))));
        assert_eq!(interval("[server]\nscan_interval = \"off\""), Ok(None));
        assert_eq!(interval("[server]\nscan_interval = \"2h\""), Ok(Some(Duration::from_secs(7200))));
        assert!(interval("[server]\nscan_interval = \"0s\"").is_err());
    }

    #[test]
    fn providers_do_not_share_files() {
        let text = "[[provider]]\nname = \"other\"\nprovider = \"filesystem\"\nroot = \"/d/sub\"";
        let overrides = Overrides { dir: Some("/d".into()), ..Overrides::default() };
        assert!(load(text, &overrides).expect_err("refused")[0].contains("overlap"));
    }
}
