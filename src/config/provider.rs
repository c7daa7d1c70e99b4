//! The providers of the configuration: `[[provider]]`.
//!
//! The settings of the `LoopBack` storage service are taken as they are (`key`, `keyId`, `apiKey`, `authUrl`, …), beside
//! names of our own in `snake_case`. Each secret may be in a file instead: `password_file` for `password`.
//!
//! **Invariant:** a [`ProviderConfig`] is complete and does not contradict itself; what is wrong with one was reported
//! with its place in the list, and none of its secrets was.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::DEFAULT_PROVIDER;
use crate::config::notification;
use crate::config::section::{Problems, Section};
use crate::model::name::BucketName;
use crate::model::place::Layout;

pub use crate::provider::settings::{
    AmazonConfig, AmazonCredentials, AzureConfig, AzureCredentials, GoogleConfig, GoogleCredentials, Reference,
    RemoteConfig, SwiftAuth, SwiftConfig, SwiftInterface, SwiftScope, TransportConfig,
};

mod amazon;
mod azure;
mod google;
mod remote;
mod swift;

/// Longest prefix of container names, in bytes: with it, each name that Amazon takes stays within ours.
const PREFIX_BYTES_MAX: usize = 37;
/// Longest name of a provider, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// What the kinds are called.
const KINDS: &str =
    "\"filesystem\", \"amazon\", \"azure\", \"google\", \"openstack\", \"rackspace\", \"remote\" or \"memory\"";

/// One place for bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderConfig {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: ProviderKind,
    /// How requests to it are made, if it is across a network.
    pub transport: TransportConfig,
    /// What any kind can be told.
    pub common: CommonConfig,
}

/// The kinds of storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderKind {
    /// A directory, whose top-level directories are the buckets.
    Filesystem {
        /// The directory.
        root: PathBuf,
    },
    /// The memory of the process.
    Memory,
    /// Amazon S3 and its like.
    Amazon(AmazonConfig),
    /// Azure Blob Storage.
    Azure(AzureConfig),
    /// Google Cloud Storage.
    Google(GoogleConfig),
    /// `OpenStack` Swift and Rackspace Cloud Files.
    Swift(SwiftConfig),
    /// A `LoopBack` storage service, or another Longshore.
    Remote(RemoteConfig),
}

impl ProviderKind {
    /// What the configuration calls it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Filesystem { .. } => "filesystem",
            Self::Memory => "memory",
            Self::Amazon(_) => "amazon",
            Self::Azure(_) => "azure",
            Self::Google(_) => "google",
            Self::Swift(SwiftConfig { auth: SwiftAuth::ApiKey { .. }, .. }) => "rackspace",
            Self::Swift(_) => "openstack",
            Self::Remote(_) => "remote",
        }
    }
}

/// What a provider of any kind can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommonConfig {
    /// What it is shared for with Supabase's own server, if it is.
    pub shared: Option<SharedConfig>,
    /// Where new bytes of its buckets end up, unless a rule for the bucket says it; `None`: at their keys where it can.
    pub layout: Option<Layout>,
    /// Containers that are there already are served as buckets.
    pub adopt: bool,
    /// What the names of its containers begin with; buckets are called what follows.
    pub prefix: String,
    /// Buckets whose containers are called otherwise.
    pub names: BTreeMap<BucketName, BucketName>,
}

/// Where Supabase's own server has its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedConfig {
    /// Its bucket of S3, or the directory in place of one.
    pub bucket: String,
    /// Its tenant.
    pub tenant: String,
}

impl SharedConfig {
    /// The directory of its buckets, below the one that it keeps files in.
    #[must_use]
    pub fn below(&self, root: &Path) -> PathBuf {
        root.join(&self.bucket).join(&self.tenant)
    }
}

impl Default for CommonConfig {
    fn default() -> Self {
        Self { shared: None, layout: None, adopt: true, prefix: String::new(), names: BTreeMap::new() }
    }
}

impl ProviderConfig {
    /// One that is told nothing but what it is.
    #[must_use]
    pub fn plain(name: &str, kind: ProviderKind) -> Self {
        Self { name: name.to_owned(), kind, transport: TransportConfig::default(), common: CommonConfig::default() }
    }

    /// Reads one; `None` if something of it is wrong, which was reported.
    fn read(mut section: Section<'_>) -> Option<Self> {
        let name = section.text("name").unwrap_or_default();
        let name = Some(name).filter(|name| !name.is_empty());
        match &name {
            None => section.problem("name", "a provider needs one"),
            Some(name) if name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) => {
                section.problem("name", &format!("expected at most {NAME_BYTES_MAX} bytes, no control characters"));
            }
            Some(_) => {}
        }
        let common = CommonConfig::read(&mut section);
        let (kind, remote) = kind(&mut section);
        let placed = matches!(kind, None | Some(ProviderKind::Filesystem { .. } | ProviderKind::Amazon(_)));
        if common.shared.is_some() && !placed {
            section.problem("layout", "\"supabase\" is of a filesystem or of amazon");
        }
        let transport = if remote { transport(&mut section) } else { TransportConfig::default() };
        section.finish();
        Some(Self { name: name?, kind: kind?, transport, common })
    }
}

/// The kind with its settings, and whether it is across a network.
fn kind(section: &mut Section<'_>) -> (Option<ProviderKind>, bool) {
    let kind = section.text("provider");
    match kind.as_deref() {
        Some("filesystem") => {
            let root = section.text("root").filter(|root| !root.is_empty());
            if root.is_none() {
                section.problem("root", "a filesystem needs it");
            }
            (root.map(|root| ProviderKind::Filesystem { root: root.into() }), false)
        }
        Some("memory") => (Some(ProviderKind::Memory), false),
        Some("amazon") => (amazon::read(section).map(ProviderKind::Amazon), true),
        Some("azure") => (azure::read(section).map(ProviderKind::Azure), true),
        Some("google") => (google::read(section).map(ProviderKind::Google), true),
        Some("openstack") => (swift::openstack(section).map(ProviderKind::Swift), true),
        Some("remote") => (remote::read(section).map(ProviderKind::Remote), true),
        Some("rackspace") => (swift::rackspace(section).map(ProviderKind::Swift), true),
        // The keys of what is not known cannot be told from misspelt ones.
        Some(_) | None => {
            section.problem("provider", &format!("expected {KINDS}"));
            section.pass_over();
            (None, false)
        }
    }
}

impl CommonConfig {
    fn read(section: &mut Section<'_>) -> Self {
        let known = |text: &str| Layout::parse(text).or((text == "supabase").then_some(Layout::Supabase));
        let mut layout = section.parse("layout", "\"natural\", \"managed\" or \"supabase\"", known);
        let shared = match layout.and_then(Layout::shared) {
            None => None,
            Some(_) => {
                let separator = |text: &str| match text {
                    "/" => Some(Layout::Supabase),
                    "-$v-" => Some(Layout::SupabaseFlat),
                    _ => None,
                };
                layout = section.parse("separator", "\"/\" or \"-$v-\"", separator).or(layout);
                Some(SharedConfig::read(section))
            }
        };
        let adopt = section.boolean("adopt").unwrap_or(true);
        let prefix = section.text("prefix").unwrap_or_default();
        if prefix.len() > PREFIX_BYTES_MAX || prefix.chars().any(|c| c == '/' || c.is_control()) {
            let what = format!("expected at most {PREFIX_BYTES_MAX} bytes, no slash and no control characters");
            section.problem("prefix", &what);
        }
        let mut names = BTreeMap::new();
        let mut containers = BTreeSet::new();
        for (bucket, container) in section.map("names") {
            match (BucketName::new(&bucket), BucketName::new(&container)) {
                (Ok(bucket), Ok(container)) => {
                    if !containers.insert(container.clone()) {
                        section.problem("names", &format!("two buckets cannot share the container {container:?}"));
                    }
                    names.insert(bucket, container);
                }
                (Err(why), _) => section.problem("names", &format!("{bucket:?} cannot be a bucket: {why}")),
                (_, Err(why)) => section.problem("names", &format!("{container:?} cannot be a container: {why}")),
            }
        }
        if shared.is_some() && (!prefix.is_empty() || !names.is_empty()) {
            section.problem(
                "layout",
                "\"supabase\" has no prefix and no other names: its buckets are called as its tables say",
            );
        }
        Self { shared, layout, adopt, prefix, names }
    }
}

impl SharedConfig {
    fn read(section: &mut Section<'_>) -> Self {
        let mut segment = |key: &str, default: Option<&str>| {
            let text = section.text(key).or(default.map(str::to_owned)).unwrap_or_default();
            if BucketName::new(&text).is_err() {
                section.problem(key, "expected a name, as the other server has it");
            }
            text
        };
        Self { bucket: segment("bucket", None), tenant: segment("tenant", Some(TENANT)) }
    }
}

fn transport(section: &mut Section<'_>) -> TransportConfig {
    let default = TransportConfig::default();
    let connect = section.number("connect_timeout_seconds", 1, 300).map(Duration::from_secs);
    let read = section.number("read_timeout_seconds", 1, 3600).map(Duration::from_secs);
    let concurrency = section.number("concurrency_max", 1, 10_000).and_then(|n| usize::try_from(n).ok());
    let retries = section.number("retries_max", 0, 20).and_then(|n| usize::try_from(n).ok());
    let ca_bundle = section.one(&["ca_bundle"]).map(PathBuf::from);
    if let Some(file) = ca_bundle.as_deref().filter(|file| !file.is_file()) {
        section.problem("ca_bundle", &format!("{} is no file", file.display()));
    }
    TransportConfig {
        connect_timeout: connect.unwrap_or(default.connect_timeout),
        read_timeout: read.unwrap_or(default.read_timeout),
        concurrency_max: concurrency.unwrap_or(default.concurrency_max),
        retries_max: retries.unwrap_or(default.retries_max),
        ca_bundle,
    }
}

/// Takes the address of a service; it comes without a trailing slash.
fn address(section: &mut Section<'_>, names: &[&str]) -> Option<String> {
    let text = section.one(names)?;
    let url = text.trim_end_matches('/');
    if is_address(url) {
        return Some(url.to_owned());
    }
    section.problem(names[0], "expected an address such as \"https://host/path\", without a user or a query in it");
    None
}

/// Whether paths can be put behind it.
fn is_address(url: &str) -> bool {
    notification::is_address(url) && !url.contains('?')
}

/// Reads all of them. Without one that new buckets are made on, that is the directory.
pub(super) fn read(
    sections: Vec<Section<'_>>,
    (dir, default): (&Path, &str),
    problems: &Problems,
) -> Vec<ProviderConfig> {
    let mut providers: Vec<ProviderConfig> = Vec::new();
    for (i, section) in sections.into_iter().enumerate() {
        let Some(provider) = ProviderConfig::read(section) else { continue };
        if providers.iter().any(|other| other.name == provider.name) {
            let what = format!("provider[{i}].name: {:?} is taken by another provider", provider.name);
            problems.borrow_mut().push(what);
            continue;
        }
        providers.push(provider);
    }
    if default == DEFAULT_PROVIDER && !providers.iter().any(|provider| provider.name == DEFAULT_PROVIDER) {
        let kind = ProviderKind::Filesystem { root: dir.to_owned() };
        providers.insert(0, ProviderConfig::plain(DEFAULT_PROVIDER, kind));
    }
    overlaps(&providers, problems);
    providers
}

/// The tenant of a server that has one only.
const TENANT: &str = "storage-single-tenant";

/// Two providers over one directory would be two owners of the same files.
fn overlaps(providers: &[ProviderConfig], problems: &Problems) {
    let root = |provider: &ProviderConfig| match &provider.kind {
        ProviderKind::Filesystem { root } => Some((provider.name.clone(), absolute(root))),
        ProviderKind::Memory
        | ProviderKind::Amazon(_)
        | ProviderKind::Azure(_)
        | ProviderKind::Google(_)
        | ProviderKind::Swift(_)
        | ProviderKind::Remote(_) => None,
    };
    let roots: Vec<(String, PathBuf)> = providers.iter().filter_map(root).collect();
    for (i, (name, root)) in roots.iter().enumerate() {
        for (other, below) in &roots[i + 1..] {
            if below.starts_with(root) || root.starts_with(below) {
                let what = format!("provider: the directories of {name:?} and {other:?} overlap");
                problems.borrow_mut().push(what);
            }
        }
    }
}

fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests;
