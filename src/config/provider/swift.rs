//! `provider = "openstack"` and `provider = "rackspace"`: Swift, and the ways to sign in to it.
//!
//! The version of the identity service is said by `auth_version`, else by the path of `authUrl`, else it is 3.
//!
//! **Invariant:** the address that a driver gets has its version in it, so no driver guesses one.

use super::{Reference, SwiftAuth, SwiftConfig, SwiftInterface, SwiftScope, address};
use crate::auth::secret::Secret;
use crate::config::section::Section;

/// Where Rackspace's customers sign in.
const RACKSPACE: &str = "https://identity.api.rackspacecloud.com/v2.0";
/// The domain of who names none, by its id.
const DEFAULT_DOMAIN: &str = "default";

/// The versions of the identity service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
    Three,
}

impl Version {
    /// As operators, `LoopBack` and paths write it.
    fn parse(text: &str) -> Option<Self> {
        match text.trim_start_matches(['/', 'v']) {
            "1" | "1.0" => Some(Self::One),
            "2" | "2.0" => Some(Self::Two),
            "3" => Some(Self::Three),
            _ => None,
        }
    }

    /// What the last segment of an address says.
    fn of(url: &str) -> Option<Self> {
        let last = url.rsplit('/').next().filter(|last| last.starts_with('v'));
        last.and_then(Self::parse)
    }

    fn path(self) -> &'static str {
        match self {
            Self::One => "/auth/v1.0",
            Self::Two => "/v2.0",
            Self::Three => "/v3",
        }
    }
}

/// Reads an `OpenStack`.
pub(super) fn openstack(section: &mut Section<'_>) -> Option<SwiftConfig> {
    let storage = Storage::read(section);
    let auth = match signing_in(section) {
        Some((Version::One, url)) => version_1(section, url),
        Some((Version::Two, url)) => version_2(section, url),
        Some((Version::Three, url)) => version_3(section, url),
        // The keys of a version that is not known cannot be told from misspelt ones.
        None => {
            section.pass_over();
            None
        }
    };
    Some(storage.with(auth?))
}

/// Reads a Rackspace account.
pub(super) fn rackspace(section: &mut Section<'_>) -> Option<SwiftConfig> {
    let storage = Storage::read(section);
    let url = address(section, &["authUrl", "auth_url"]).unwrap_or_else(|| RACKSPACE.to_owned());
    let url = if Version::of(&url).is_some() { url } else { format!("{url}{}", Version::Two.path()) };
    if Version::of(&url) != Some(Version::Two) {
        section.problem("authUrl", "Rackspace signs in with version 2.0");
    }
    let username = needed(section, &["username"], "rackspace");
    let api_key = section.secret(&["apiKey", "api_key"]);
    let password = section.secret(&["password"]);
    let tenant = reference(section, &["tenant", "tenantName"], &["tenantId", "tenant_id"]);
    let auth = match (api_key, password) {
        (Some(api_key), None) => SwiftAuth::ApiKey { url, username: username?, api_key, tenant },
        (None, Some(password)) => SwiftAuth::V2 { url, username: username?, password, tenant },
        (None, None) => {
            section.problem("apiKey", "rackspace needs it");
            return None;
        }
        (Some(_), Some(_)) => {
            section.problem("password", "apiKey says who we are already");
            return None;
        }
    };
    Some(storage.with(auth))
}

/// All but who we are.
struct Storage {
    region: Option<String>,
    interface: SwiftInterface,
    endpoint: Option<String>,
}

impl Storage {
    fn read(section: &mut Section<'_>) -> Self {
        let region = section.one(&["region"]);
        let endpoint = address(section, &["endpoint", "storage_url"]);
        let named = section.parse("interface", "\"public\", \"internal\" or \"admin\"", |text| match text {
            "public" => Some(SwiftInterface::Public),
            "internal" => Some(SwiftInterface::Internal),
            "admin" => Some(SwiftInterface::Admin),
            _ => None,
        });
        let internal = section.boolean("useInternal").unwrap_or(false).then_some(SwiftInterface::Internal);
        let admin = section.boolean("useAdmin").unwrap_or(false).then_some(SwiftInterface::Admin);
        let given: Vec<SwiftInterface> = [named, internal, admin].into_iter().flatten().collect();
        if given.len() > 1 {
            section.problem("interface", "one of interface, useInternal and useAdmin is enough");
        }
        Self { region, interface: given.first().copied().unwrap_or_default(), endpoint }
    }

    fn with(self, auth: SwiftAuth) -> SwiftConfig {
        let Self { region, interface, endpoint } = self;
        SwiftConfig { auth, region, interface, endpoint }
    }
}

/// The version of the identity service, and its address with that version in it.
fn signing_in(section: &mut Section<'_>) -> Option<(Version, String)> {
    let told = ["auth_version", "keystoneAuthVersion", "version"].map(|name| {
        let version = section.word(name)?;
        let known = Version::parse(&version);
        if known.is_none() {
            section.problem(name, "expected \"1\", \"2\" or \"3\"");
        }
        known
    });
    let told = told.into_iter().flatten().next();
    let given = section.has("authUrl") || section.has("auth_url");
    let Some(url) = address(section, &["authUrl", "auth_url"]) else {
        if !given {
            section.problem("authUrl", "openstack needs it");
        }
        return None;
    };
    match (told, Version::of(&url)) {
        (Some(told), Some(path)) if told != path => {
            section.problem("auth_version", "the path of authUrl says another version");
            None
        }
        (_, Some(version)) => Some((version, url)),
        (told, None) => {
            let version = told.unwrap_or(Version::Three);
            let url = format!("{url}{}", version.path());
            Some((version, url))
        }
    }
}

fn version_1(section: &mut Section<'_>, url: String) -> Option<SwiftAuth> {
    let username = needed(section, &["username"], "version 1");
    let password = password(section, &["password", "key"]);
    Some(SwiftAuth::V1 { url, username: username?, password: password? })
}

fn version_2(section: &mut Section<'_>, url: String) -> Option<SwiftAuth> {
    let username = needed(section, &["username"], "version 2");
    let password = password(section, &["password"]);
    let names = ["tenant", "tenantName", "tenant_name", "project", "project_name"];
    let tenant = reference(section, &names, &["tenantId", "tenant_id", "project_id"]);
    Some(SwiftAuth::V2 { url, username: username?, password: password?, tenant })
}

fn version_3(section: &mut Section<'_>, url: String) -> Option<SwiftAuth> {
    let user = reference(section, &["username"], &["user_id", "userid", "userId"]);
    let domain = reference(section, &["domain", "domainName", "domain_name"], &["domain_id", "domainId"]);
    let user_domain = reference(section, &["user_domain", "user_domain_name"], &["user_domain_id"]);
    let default = || Reference::Id(DEFAULT_DOMAIN.to_owned());
    let user_domain = user_domain.or_else(|| domain.clone()).unwrap_or_else(default);
    let secret = section.secret(&["application_credential_secret"]);
    let credential = reference(section, &["application_credential_name"], &["application_credential_id"]);
    if secret.is_some() || credential.is_some() {
        return application_credential(section, url, (credential, secret), user.map(|user| (user, user_domain)));
    }
    let names = ["project", "project_name", "projectName", "tenant", "tenantName", "tenant_name"];
    let project = reference(section, &names, &["project_id", "projectId", "tenant_id", "tenantId"]);
    let in_domain = reference(
        section,
        &["project_domain", "project_domain_name", "projectDomainName"],
        &["project_domain_id", "projectDomainId"],
    );
    if project.is_none() && in_domain.is_some() {
        section.problem("project_domain", "it belongs to a project, and there is none");
    }
    let scope = project.map_or(SwiftScope::Default, |project| {
        let domain = in_domain.or(domain).unwrap_or_else(|| user_domain.clone());
        SwiftScope::Project { project, domain }
    });
    if user.is_none() {
        section.problem("username", "version 3 needs it, or an application credential");
    }
    let password = password(section, &["password"]);
    Some(SwiftAuth::Password { url, user: user?, user_domain, password: password?, scope })
}

fn application_credential(
    section: &mut Section<'_>,
    url: String,
    (credential, secret): (Option<Reference>, Option<Secret>),
    user: Option<(Reference, Reference)>,
) -> Option<SwiftAuth> {
    if section.secret(&["password"]).is_some() {
        section.problem("password", "the application credential says who we are already");
    }
    if secret.is_none() {
        section.problem("application_credential_secret", "the application credential needs it");
    }
    match &credential {
        None => section.problem("application_credential_id", "the secret of an application credential needs it"),
        Some(Reference::Name(_)) if user.is_none() => {
            section.problem("username", "an application credential that is known by its name needs it");
        }
        Some(_) => {}
    }
    Some(SwiftAuth::ApplicationCredential { url, credential: credential?, user, secret: secret? })
}

fn needed(section: &mut Section<'_>, names: &[&str], by: &str) -> Option<String> {
    let found = section.one(names);
    if found.is_none() {
        section.problem(names[0], &format!("{by} needs it"));
    }
    found
}

fn password(section: &mut Section<'_>, names: &[&str]) -> Option<Secret> {
    let found = section.secret(names);
    if found.is_none() {
        section.problem(names[0], "the user needs it");
    }
    found
}

/// Takes what is known by its name or by its id.
fn reference(section: &mut Section<'_>, names: &[&str], ids: &[&str]) -> Option<Reference> {
    match (section.one(names), section.one(ids)) {
        (_, Some(id)) => Some(Reference::Id(id)),
        (name, None) => name.map(Reference::Name),
    }
}
