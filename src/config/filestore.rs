//! The `[filestore]` section: which buckets are FileStores, and under which names.
//!
//! **Invariant:** a service's name is one segment of a path that no other interface has, and two services have two
//! buckets.

use std::time::Duration;

use super::limits;
use super::section::Section;
use crate::model::name::BucketName;
use crate::model::service::{ADMINS, GROUP_BYTES_MAX};

/// First segments of paths that belong to other interfaces, and the name of the service of users.
const TAKEN: [&str; 22] = [
    "_longshore",
    "api",
    "bucket",
    "cdn",
    "console",
    "containers",
    "explorer",
    "favicon.ico",
    "healthz",
    "health",
    "metrics",
    "object",
    "readyz",
    "render",
    "robots.txt",
    "status",
    "storage",
    "ui",
    "upload",
    "users",
    "version",
    "vector",
];
/// Most services.
const SERVICES_MAX: usize = 1000;

/// The FileStore interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilestoreConfig {
    /// The domain below which the pages of tenants are, whose cookies count: `NAME.domain`.
    pub domain: Option<String>,
    /// Further origins of pages whose cookies count.
    pub origins: Vec<String>,
    /// How long a sign-in counts.
    pub sign_in: Duration,
    /// The services.
    pub services: Vec<ServiceConfig>,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceConfig {
    /// Its name: the first segment of its paths.
    pub name: String,
    /// Its bucket.
    pub bucket: BucketName,
    /// The group whose members may do everything.
    pub admin_group: String,
    /// Whether only those who have shown a credential read where nothing else is said.
    pub private: bool,
    /// Whether files are sent as attachments, so that no browser shows them as pages.
    pub attachment: bool,
    /// Most items.
    pub items_max: Option<u64>,
    /// Most bytes.
    pub bytes_max: Option<u64>,
    /// Most segments of a path.
    pub levels_max: Option<usize>,
}

impl FilestoreConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let domain = section.one(&["domain"]).map(|domain| domain.to_ascii_lowercase());
        let labels = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.');
        if domain.as_deref().is_some_and(|domain| !labels(domain) || domain.starts_with('.')) {
            section.problem("domain", "expected a name such as \"files.example\"");
        }
        let origins = section.texts("origins").unwrap_or_default();
        for origin in &origins {
            if !origin.starts_with("https://") && !origin.starts_with("http://") || origin.matches('/').count() != 2 {
                section.problem("origins", &format!("{origin:?} is no origin such as \"https://host\""));
            }
        }
        let seconds = section.number("sign_in_seconds", 1, 365 * 24 * 60 * 60);
        let services = section.sections("service");
        if services.len() > SERVICES_MAX {
            section.problem("service", "there are too many");
        }
        let mut read: Vec<ServiceConfig> = Vec::new();
        for mut service in services {
            if let Some(one) = ServiceConfig::read(&mut service) {
                if read.iter().any(|other| other.name == one.name) {
                    service.problem("name", "there is another service of this name");
                } else if read.iter().any(|other| other.bucket == one.bucket) {
                    service.problem("bucket", "another service has this bucket");
                }
                read.push(one);
            }
            service.finish();
        }
        section.finish();
        let sign_in = Duration::from_secs(seconds.unwrap_or(limits::SIGN_IN_SECONDS));
        Self { domain, origins, sign_in, services: read }
    }
}

impl ServiceConfig {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let name = section.text("name").unwrap_or_default();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let legal = !name.is_empty() && name.chars().all(plain) && !name.starts_with('.');
        if !legal {
            section.problem("name", "a service needs a name of letters, digits, and - _ .");
        } else if TAKEN.iter().any(|taken| taken.eq_ignore_ascii_case(&name)) {
            section.problem("name", &format!("{name:?} is a path of another interface"));
        }
        let bucket = section.one(&["bucket"]).unwrap_or_else(|| name.clone());
        let bucket = BucketName::new(&bucket).map_err(|error| section.problem("bucket", &error.to_string())).ok();
        let admin_group = section.one(&["admin_group"]).unwrap_or_else(|| ADMINS.to_owned());
        if admin_group.len() > GROUP_BYTES_MAX || admin_group.starts_with("sys:") {
            section.problem("admin_group", "it is no name of a group");
        }
        let private = section.boolean("private").unwrap_or(true);
        let attachment = section.boolean("attachment").unwrap_or(false);
        let items_max = section.number("max_items", 1, u64::MAX);
        let bytes_max = section.number("max_bytes", 1, u64::MAX);
        let levels_max = section.number("max_levels", 1, 512).and_then(|n| usize::try_from(n).ok());
        let bucket = bucket.filter(|_| legal)?;
        Some(Self { name, bucket, admin_group, private, attachment, items_max, bytes_max, levels_max })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Overrides};

    fn read(text: &str) -> Result<Config, String> {
        Config::parse(text, &Overrides::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_service_needs_a_name_and_nothing_else() {
        let config = read("[[filestore.service]]\nname = \"myapp\"").expect("sound");
        let service = &config.filestore.services[0];
        assert_eq!(
            (service.name.as_str(), service.bucket.as_str(), service.admin_group.as_str()),
            ("myapp", "myapp", "admins")
        );
        assert_eq!((service.items_max, service.private, service.attachment), (None, true, false));
        assert!(read("").expect("sound").filestore.services.is_empty());
    }

    #[test]
    fn services_do_not_share_names_paths_or_buckets() {
        let service = |lines: &str| format!("[[filestore.service]]\n{lines}\n");
        for (text, problem) in [
            (service(""), "a service needs a name"),
            (service("name = \"a/b\""), "a service needs a name"),
            (service("name = \"bucket\""), "is a path of another interface"),
            (service("name = \"users\""), "is a path of another interface"),
            (service("name = \"a\"") + &service("name = \"a\""), "another service of this name"),
            (service("name = \"a\"") + &service("name = \"b\"\nbucket = \"a\""), "another service has this bucket"),
            (service("name = \"a\"\nadmin_group = \"sys:everyone\""), "it is no name of a group"),
            (service("name = \"a\"\nmax_items = 0"), "expected a whole number"),
            ("[filestore]\norigins = [\"example\"]".to_owned(), "is no origin"),
            ("[filestore]\ndomain = \"a b\"".to_owned(), "expected a name"),
        ] {
            let problems = read(&text).expect_err(&text);
            assert!(problems.contains(problem), "{problems}");
        }
    }
}
