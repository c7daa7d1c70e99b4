//! The `[s3]` section.
//!
//! **Invariant:** domains are in lower case, and a length of time is at least a second.

use std::time::Duration;

use super::limits;
use super::section::Section;
use crate::model::lifecycle::{DAY_SECONDS, Day};

/// The S3 front.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct S3Config {
    /// Domains whose subdomains name buckets.
    pub domains: Vec<String>,
    /// Domains whose subdomains are the websites of buckets.
    pub website_domains: Vec<String>,
    /// The region that requests must be signed for; any if there is none.
    pub region: Option<String>,
    /// Whether signatures of the second version are let in.
    pub sigv2: bool,
    /// How long a day of lifecycle rules is; a short one is for tests.
    pub lifecycle_day: Day,
    /// How long lines of access logs wait for others before they are written.
    pub access_log_interval: Duration,
}

impl S3Config {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let mut domains = |key| {
            let domains = section.texts(key).unwrap_or_default();
            for domain in domains.iter().filter(|domain| !is_domain(domain)) {
                section.problem(key, &format!("{domain:?} is not a domain name"));
            }
            domains.iter().map(|domain| domain.to_ascii_lowercase()).collect::<Vec<_>>()
        };
        let (domains, website_domains) = (domains("domains"), domains("website_domains"));
        for domain in website_domains.iter().filter(|domain| domains.contains(domain)) {
            section.problem("website_domains", &format!("{domain:?} names buckets of S3 already"));
        }
        let region = section.parse("region", "a region such as \"us-east-1\"", |text| {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
            (!text.is_empty() && text.chars().all(plain)).then(|| text.to_owned())
        });
        let day = section.number("lifecycle_day_seconds", 1, u64::from(DAY_SECONDS));
        let interval = section.number("access_log_seconds", 1, 3600).unwrap_or(limits::ACCESS_LOG_SECONDS);
        let sigv2 = section.boolean("sigv2").unwrap_or_default();
        let day = day.and_then(|seconds| u32::try_from(seconds).ok());
        section.finish();
        Self {
            domains,
            website_domains,
            region,
            sigv2,
            lifecycle_day: day.map_or(Day::CALENDAR, Day::of_seconds),
            access_log_interval: Duration::from_secs(interval),
        }
    }
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    text.len() <= 253 && text.split('.').all(label)
}
