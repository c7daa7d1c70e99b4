//! Which bucket a `Host` header names, if any.
//!
//! **Invariant:** a host outside the configured domains never names a bucket: it is path-style, whatever it looks like,
//! so no service name of a cluster can be taken for a bucket.

use http::header::HOST;
use http::{HeaderMap, Uri};
use s3s::S3Result;
use s3s::host::{S3Host, VirtualHost};

use super::query;
use crate::model::name::BucketName;

/// The domains under which `bucket.domain` names a bucket.
#[derive(Debug, Clone, Default)]
pub(super) struct Hosts(Vec<String>);

impl Hosts {
    /// Takes the configured domains in any case, with or without a port and dots around them.
    pub(super) fn new(domains: &[String]) -> Self {
        let mut domains: Vec<String> = domains.iter().filter_map(|domain| bare(domain)).collect();
        // The longest suffix decides where one domain lies below another.
        domains.sort_by_key(|domain| std::cmp::Reverse(domain.len()));
        Self(domains)
    }

    /// The bucket that `host` names.
    pub(super) fn bucket(&self, host: &str) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let host = bare(host)?;
        if self.0.contains(&host) {
            return None;
        }
        let under = |domain: &String| host.strip_suffix(domain.as_str())?.strip_suffix('.').map(str::to_owned);
        self.0.iter().find_map(under).filter(|bucket| !bucket.is_empty())
    }
}

/// The host that a request names.
pub(super) fn of<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> &'r str {
    let authority = uri.authority().map(http::uri::Authority::as_str);
    headers.get(HOST).and_then(|value| value.to_str().ok()).or(authority).unwrap_or_default()
}

/// The bucket that a request names, by its host or by the first segment of its path, with the rest of the path behind it.
pub(super) fn target(hosts: &Hosts, host: &str, path: &str) -> Option<(BucketName, String)> {
    let path = query::decoded_path(path);
    let path = path.strip_prefix('/').unwrap_or(&path);
    match hosts.bucket(host) {
        Some(bucket) => Some((BucketName::new(&bucket).ok()?, path.to_owned())),
        None => {
            let (bucket, rest) = path.split_once('/').unwrap_or((path, ""));
            Some((BucketName::new(bucket).ok()?, rest.to_owned()))
        }
    }
}

/// Lower case, without port and surrounding dots; `None` for what cannot be a domain.
fn bare(host: &str) -> Option<String> {
    if host.starts_with('[') {
        return None;
    }
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let host = host.trim_matches('.').to_ascii_lowercase();
    (!host.is_empty()).then_some(host)
}

impl S3Host for Hosts {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let plain = VirtualHost::new(host);
        Ok(match self.bucket(host) {
            Some(bucket) => plain.with_bucket(bucket),
            None => plain,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_configured_domains_name_buckets() {
        let hosts = Hosts::new(&["Example.com:9000".into(), "s3.example.com".into()]);
        for (host, bucket) in [
            ("b00.example.com", Some("b00")),
            ("b00.example.com:9000", Some("b00")),
            ("B00.Example.COM.", Some("b00")),
            ("a.b.example.com", Some("a.b")),
            ("b.s3.example.com", Some("b")),
            ("s3.example.com", None),
            ("example.com:9000", None),
            (".example.com", None),
            ("badexample.com", None),
            ("localhost", None),
            ("minio.default.svc:80", None),
            ("127.0.0.1:9000", None),
            ("[::1]:9000", None),
            ("", None),
        ] {
            assert_eq!(hosts.bucket(host).as_deref(), bucket, "{host}");
        }
    }
}
