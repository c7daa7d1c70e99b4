//! `provider = "remote"`: a `LoopBack` storage service, or another Longshore, over REST.
//!
//! The address is said as `loopback-connector-remote` takes it: by `url`, or by `protocol`, `host`, `port` and `root`.
//!
//! **Invariant:** what a driver gets is the root of the API, without a slash at its end and without credentials in it.

use super::{RemoteConfig, address, is_address};
use crate::config::section::Section;

/// Where the connector looks when it is told nothing.
const HOST: &str = "localhost";
const PORT: u64 = 3000;
/// What the model is called that the storage component documents.
const CONTAINERS: &str = "containers";

pub(super) fn read(section: &mut Section<'_>) -> Option<RemoteConfig> {
    let url = url(section);
    let containers = section.one(&["containers"]).unwrap_or_else(|| CONTAINERS.to_owned());
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
    let named = containers.chars().all(plain) && !containers.starts_with('.');
    if !named {
        section.problem("containers", "expected the last segment of a path, such as \"containers\"");
    }
    let access_token = section.secret(&["accessToken", "access_token"]);
    let refuse_private = section.boolean("refuse_private").unwrap_or(false);
    Some(RemoteConfig { url: url?, containers: named.then_some(containers)?, access_token, refuse_private })
}

fn url(section: &mut Section<'_>) -> Option<String> {
    let apart = ["protocol", "host", "port", "root"];
    let given = apart.into_iter().find(|key| section.has(key));
    if section.has("url") {
        if let Some(key) = given {
            section.problem(key, "url says it already");
            apart.into_iter().for_each(|key| drop(section.word(key)));
        }
        return address(section, &["url"]);
    }
    let protocol = section.parse("protocol", "\"http\" or \"https\"", |text| {
        ["http", "https"].into_iter().find(|name| *name == text.trim_end_matches("://"))
    });
    let host = section.one(&["host"]).unwrap_or_else(|| HOST.to_owned());
    let port = section.number("port", 1, 65_535).unwrap_or(PORT);
    let root = section.one(&["root"]).unwrap_or_default();
    let root = root.trim_matches('/');
    let slash = if root.is_empty() { "" } else { "/" };
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
    let url = format!("{}://{host}:{port}{slash}{root}", protocol.unwrap_or("http"));
    if !is_address(&url) {
        section.problem("host", "expected the name of a host, and in root a path such as \"/api\"");
        return None;
    }
    Some(url)
}
