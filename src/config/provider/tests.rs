//! What is taken from `[[provider]]`, and what is refused.
//!
//! **Invariant:** all mistakes of a text are told at once, each with the place where it stands, and no secret is in
//! what is told.

use std::time::Duration;

use super::*;
use crate::auth::secret::Secret;
use crate::config::{Config, Overrides};

fn load(text: &str) -> Result<Vec<ProviderConfig>, String> {
    let overrides = Overrides { dir: Some("/d".into()), ..Overrides::default() };
    Config::parse(text, &overrides).map(|config| config.providers).map_err(|error| error.to_string())
}

/// The one provider of a text without its head.
fn one(kind: &str, settings: &str) -> Result<ProviderConfig, String> {
    let text =
        format!("[server]\ndefault_provider = \"x\"\n[[provider]]\nname = \"x\"\nprovider = \"{kind}\"\n{settings}");
    load(&text).map(|mut providers| providers.pop().expect("one"))
}

fn swift(settings: &str) -> SwiftConfig {
    match one("openstack", settings).expect("sound").kind {
        ProviderKind::Swift(config) => config,
        other => panic!("{other:?}"),
    }
}

fn name(text: &str) -> Reference {
    Reference::Name(text.into())
}

fn id(text: &str) -> Reference {
    Reference::Id(text.into())
}

#[test]
fn amazon_takes_the_names_of_loopback() {
    let provider = one("amazon", "key = \"s3cret\"\nkeyId = \"AKIA\"").expect("sound");
    let credentials = AmazonCredentials::Key { id: "AKIA".into(), secret: Secret::new("s3cret"), session_token: None };
    let plain = AmazonConfig { credentials, region: None, endpoint: None, path_style: false, unsigned_payload: true };
    assert_eq!(provider.kind, ProviderKind::Amazon(plain));
    assert_eq!(provider.transport, TransportConfig::default());
    assert!(!format!("{provider:?}").contains("s3cret"));
}

#[test]
fn amazon_elsewhere_has_paths_and_signed_bodies() {
    let settings = "endpoint = \"http://127.0.0.1:9/\"\nregion = \"r\"\nconcurrency_max = 3\nread_timeout_seconds = 7";
    let provider = one("amazon", settings).expect("sound");
    let ProviderKind::Amazon(amazon) = &provider.kind else { panic!("{provider:?}") };
    assert_eq!(amazon.credentials, AmazonCredentials::Ambient);
    assert_eq!((amazon.endpoint.as_deref(), amazon.region.as_deref()), (Some("http://127.0.0.1:9"), Some("r")));
    assert_eq!((amazon.path_style, amazon.unsigned_payload), (true, false));
    assert_eq!((provider.transport.concurrency_max, provider.transport.read_timeout), (3, Duration::from_secs(7)));
}

#[test]
fn azure_takes_one_way_to_sign_in() {
    let azure = |settings: &str| match one("azure", &format!("storageAccount = \"a\"\n{settings}")) {
        Ok(ProviderConfig { kind: ProviderKind::Azure(config), .. }) => Ok(config),
        Ok(other) => panic!("{other:?}"),
        Err(why) => Err(why),
    };
    assert_eq!(azure("").expect("sound").credentials, AzureCredentials::Ambient);
    let key = AzureCredentials::AccessKey(Secret::new("k"));
    assert_eq!(azure("storageAccessKey = \"k\"").expect("sound").credentials, key);
    let sas = azure("sas_token = \"s\"\nserversUrl = \"blob.example\"\nprotocol = \"http://\"").expect("sound");
    assert_eq!(sas.endpoint.as_deref(), Some("http://a.blob.example"));
    let client = azure("tenant_id = \"t\"\nclient_id = \"c\"\nclient_secret = \"s\"").expect("sound").credentials;
    assert!(matches!(client, AzureCredentials::Client { .. }));
    assert!(azure("tenant_id = \"t\"").expect_err("refused").contains("go together"));
    assert!(azure("bearer_token = \"b\"\nsas_token = \"s\"").expect_err("refused").contains("is enough"));
    assert!(one("azure", "").expect_err("refused").contains("provider[0].storageAccount: azure needs it"));
}

#[test]
fn google_takes_the_file_of_an_account() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("account.json");
    std::fs::write(&file, "{\"type\": \"service_account\"}\n").expect("written");
    let settings = format!("projectId = \"p\"\nkeyFilename = {:?}", file.to_str().expect("UTF-8"));
    let provider = one("google", &settings).expect("sound");
    let ProviderKind::Google(google) = provider.kind else { panic!("{provider:?}") };
    let account = GoogleCredentials::ServiceAccount(Secret::new("{\"type\": \"service_account\"}"));
    assert_eq!((google.credentials, google.project_id.as_deref()), (account, Some("p")));
    assert!(one("google", "service_account_key = \"no\"").expect_err("refused").contains("not the JSON"));
    assert!(one("google", "keyFilename = \"/nowhere\"").expect_err("refused").contains("provider[0].keyFilename"));
}

#[test]
fn the_version_of_keystone_is_told_by_the_setting_or_the_path() {
    let auth =
        |url: &str, more: &str| swift(&format!("username = \"u\"\npassword = \"p\"\nauthUrl = \"{url}\"\n{more}")).auth;
    for (url, more, told) in [
        ("http://h:5000", "", "http://h:5000/v3"),
        ("http://h:5000/v3/", "", "http://h:5000/v3"),
        ("http://h/identity", "auth_version = 3", "http://h/identity/v3"),
    ] {
        let domain = id("default");
        let password = SwiftAuth::Password {
            url: told.into(),
            user: name("u"),
            user_domain: domain,
            password: Secret::new("p"),
            scope: SwiftScope::Default,
        };
        assert_eq!(auth(url, more), password, "{url}");
    }
    for (url, more) in
        [("http://h/v2.0", ""), ("http://h", "auth_version = \"2\""), ("http://h", "keystoneAuthVersion = \"v2.0\"")]
    {
        assert!(matches!(auth(url, more), SwiftAuth::V2 { url, .. } if url == "http://h/v2.0"), "{url} {more}");
    }
    for (url, more) in [("http://h/auth/v1.0", ""), ("http://h", "version = 1"), ("http://h", "version = \"/v1.0\"")] {
        assert!(matches!(auth(url, more), SwiftAuth::V1 { url, .. } if url == "http://h/auth/v1.0"), "{url} {more}");
    }
    let other = "username = \"u\"\npassword = \"p\"\nauthUrl = \"http://h/v2.0\"\nauth_version = 3";
    assert!(one("openstack", other).expect_err("refused").contains("says another version"));
}

#[test]
fn keystone_knows_projects_and_domains_by_name_or_id() {
    let config = swift(
        "username = \"u\"\npassword = \"p\"\nauthUrl = \"http://h\"\nproject = \"demo\"\ndomainName = \"D\"\n\
         project_domain_id = \"pd\"\nregion = \"R\"\nuseInternal = true",
    );
    assert_eq!((config.region.as_deref(), config.interface), (Some("R"), SwiftInterface::Internal));
    let SwiftAuth::Password { user_domain, scope, .. } = config.auth else { panic!("{config:?}") };
    assert_eq!(user_domain, name("D"));
    assert_eq!(scope, SwiftScope::Project { project: name("demo"), domain: id("pd") });
    let config =
        swift("authUrl = \"http://h\"\napplication_credential_id = \"i\"\napplication_credential_secret = \"s\"");
    assert!(matches!(config.auth, SwiftAuth::ApplicationCredential { credential: Reference::Id(_), user: None, .. }));
    let unnamed = "authUrl = \"http://h\"\napplication_credential_name = \"n\"\napplication_credential_secret = \"s\"";
    assert!(one("openstack", unnamed).expect_err("refused").contains("known by its name"));
}

#[test]
fn rackspace_needs_a_user_and_its_key_only() {
    let provider = one("rackspace", "username = \"u\"\napiKey = \"k\"").expect("sound");
    assert_eq!(provider.kind.name(), "rackspace");
    let ProviderKind::Swift(SwiftConfig { auth, .. }) = provider.kind else { panic!("{provider:?}") };
    let url = "https://identity.api.rackspacecloud.com/v2.0".into();
    let expected = SwiftAuth::ApiKey { url, username: "u".into(), api_key: Secret::new("k"), tenant: None };
    assert_eq!(auth, expected);
    let elsewhere = one("rackspace", "username = \"u\"\napiKey = \"k\"\nauthUrl = \"http://h\"").expect("sound");
    let ProviderKind::Swift(SwiftConfig { auth: SwiftAuth::ApiKey { url, .. }, .. }) = elsewhere.kind else {
        panic!("{elsewhere:?}")
    };
    assert_eq!(url, "http://h/v2.0");
}

#[test]
fn a_secret_may_be_in_a_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("secret");
    std::fs::write(&file, "hunter2\r\n").expect("written");
    let path = file.to_str().expect("UTF-8");
    let provider = one("amazon", &format!("keyId = \"AKIA\"\nkey_file = {path:?}")).expect("sound");
    let ProviderKind::Amazon(AmazonConfig { credentials: AmazonCredentials::Key { secret, .. }, .. }) = provider.kind
    else {
        panic!("{provider:?}")
    };
    assert_eq!(secret, Secret::new("hunter2"));
    let twice = one("amazon", &format!("keyId = \"AKIA\"\nkey = \"x\"\nkey_file = {path:?}")).expect_err("refused");
    assert!(twice.contains("provider[0].key_file: it says the same as key"), "{twice}");
    let none = one("amazon", "keyId = \"AKIA\"\nkey_file = \"/nowhere\"").expect_err("refused");
    assert!(none.contains("provider[0].key_file: /nowhere cannot be read"), "{none}");
    assert!(!none.contains("needs it"), "{none}");
    std::fs::write(&file, "\n").expect("written");
    let empty = one("amazon", &format!("keyId = \"AKIA\"\nkey_file = {path:?}")).expect_err("refused");
    assert!(empty.contains("is empty"), "{empty}");
}

#[test]
fn every_mistake_of_every_provider_is_told_and_no_secret() {
    let text = r#"
        [server]
        default_provider = "none"
        [[provider]]
        name = "a"
        provider = "amazon"
        keyId = "AKIA"
        colour = "red"
        retries_max = 100
        [[provider]]
        name = "a"
        provider = "openstack"
        authUrl = "user:pass@host"
        password = "hunter2"
        username = "u"
        [[provider]]
        name = "c"
        provider = "rackspace"
        apiKey = "hunter2"
        password = "hunter2"
        interface = "secret"
        [[provider]]
        name = "d"
        provider = "memory"
        root = "/x"
        prefix = "a/b"
        names = { "x" = "c", "y" = "c", ".." = "z" }
        [[bucket]]
        match = "*"
        provider = "nowhere"
    "#;
    let problems = load(text).expect_err("refused");
    for part in [
        "server.default_provider: there is no provider of the name \"none\"",
        "provider[0].key: keyId needs it",
        "provider[0].colour: there is no such key",
        "provider[0].retries_max: expected a whole number",
        "provider[1].authUrl: expected an address",
        "provider[2].username: rackspace needs it",
        "provider[2].password: apiKey says",
        "provider[2].interface: expected",
        "provider[3].root: there is no such key",
        "provider[3].prefix: expected",
        "provider[3].names: two buckets cannot share",
        "provider[3].names: \"..\" cannot be a bucket",
        "bucket[0].provider: there is no provider of the name \"nowhere\"",
    ] {
        assert!(problems.contains(part), "{part} is not in\n{problems}");
    }
    assert!(!problems.contains("hunter2") && !problems.contains("user:pass"), "{problems}");
}

#[test]
fn what_all_take() {
    let settings = "layout = \"managed\"\nadopt = false\nprefix = \"ls-\"\nnames = { photos = \"Old Photos\" }";
    let common = one("memory", settings).expect("sound").common;
    assert_eq!((common.layout, common.adopt, common.prefix.as_str()), (Some(Layout::Managed), false, "ls-"));
    let names: Vec<_> = common.names.iter().map(|(bucket, at)| (bucket.as_str(), at.as_str())).collect();
    assert_eq!(names, [("photos", "Old Photos")]);
    assert_eq!(one("memory", "").expect("sound").common, CommonConfig::default());
}

#[test]
fn another_default_needs_no_directory() {
    let memory = "[[provider]]\nname = \"m\"\nprovider = \"memory\"";
    let kinds = |text: &str| -> Vec<_> {
        load(text).expect("sound").into_iter().map(|provider| (provider.name, provider.kind.name())).collect()
    };
    assert_eq!(kinds(memory), [("default".to_owned(), "filesystem"), ("m".to_owned(), "memory")]);
    let other = format!("[server]\ndefault_provider = \"m\"\n{memory}");
    assert_eq!(kinds(&other), [("m".to_owned(), "memory")]);
}

#[test]
fn a_remote_service_is_said_as_the_connector_takes_it() {
    let remote = |settings: &str| match one("remote", settings).expect("sound").kind {
        ProviderKind::Remote(config) => config,
        other => panic!("{other:?}"),
    };
    for (settings, url) in [
        ("url = \"http://h:1/api/\"", "http://h:1/api"),
        ("host = \"h\"\nport = 8\nroot = \"/api\"", "http://h:8/api"),
        ("host = \"h\"\nroot = \"api\"", "http://h:3000/api"),
        ("protocol = \"https\"\nhost = \"::1\"", "https://[::1]:3000"),
        ("", "http://localhost:3000"),
    ] {
        assert_eq!(remote(settings).url, url, "{settings}");
    }
    let told = remote("accessToken = \"hunter2\"\ncontainers = \"imageContainers\"\nrefuse_private = true");
    assert_eq!((told.containers.as_str(), told.refuse_private), ("imageContainers", true));
    assert_eq!(told.access_token, Some(crate::auth::secret::Secret::new("hunter2")));
    assert_eq!((remote("").containers.as_str(), remote("").refuse_private), ("containers", false));
    for (settings, problem) in [
        ("url = \"http://u:p@h/api\"", "without a user"),
        ("url = \"http://h\"\nport = 3", "url says it already"),
        ("url = \"ftp://h\"", "expected an address"),
        ("host = \"a b\"", "expected the name of a host"),
        ("containers = \"a/b\"", "last segment"),
        ("accesstoken = \"x\"", "no such key"),
    ] {
        let problems = one("remote", settings).expect_err(settings);
        assert!(problems.contains(problem), "{problems}");
    }
}
