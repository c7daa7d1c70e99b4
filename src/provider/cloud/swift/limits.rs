//! What a cluster allows: `GET /info`, read once.
//!
//! **Invariant:** a cluster that does not tell is taken for one with Swift's defaults.

use http::Method;
use serde_json::Value;

use super::Swift;
use crate::config::limits::SWIFT_SEGMENTS_MAX;
use crate::provider::Result;
use crate::provider::cloud::transport::Call;

/// What a cluster allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limits {
    /// Whether it has static large objects.
    pub(super) large: bool,
    /// Segments of one manifest.
    pub(super) segments: usize,
    /// Least bytes of a segment that is not the last of its manifest.
    pub(super) segment_bytes: u64,
    /// Bytes of an object that is not one of segments.
    pub(super) object_bytes: u64,
    /// Bytes of the name of an entry of metadata.
    pub(super) name_bytes: usize,
    /// Bytes of its value.
    pub(super) value_bytes: usize,
    /// Entries of metadata of one object.
    pub(super) entries: usize,
    /// Bytes of all of them.
    pub(super) metadata_bytes: usize,
    /// Names of a page of a listing.
    pub(super) page: usize,
    /// Containers of a page.
    pub(super) containers_page: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            large: true,
            segments: SWIFT_SEGMENTS_MAX,
            segment_bytes: 1,
            object_bytes: super::OBJECT_BYTES_MAX,
            name_bytes: 128,
            value_bytes: 256,
            entries: 90,
            metadata_bytes: 4096,
            page: 10_000,
            containers_page: 10_000,
        }
    }
}

impl Limits {
    fn read(text: &[u8]) -> Option<Self> {
        let info: Value = serde_json::from_slice(text).ok()?;
        let info = info.as_object()?;
        let default = Self::default();
        let number = |section: &str, name: &str| info.get(section)?.get(name)?.as_u64().filter(|n| *n > 0);
        let count = |section: &str, name: &str, default: usize| {
            number(section, name).map_or(default, |n| usize::try_from(n).unwrap_or(usize::MAX))
        };
        Some(Self {
            large: info.contains_key("slo"),
            segments: count("slo", "max_manifest_segments", default.segments).clamp(2, SWIFT_SEGMENTS_MAX),
            segment_bytes: number("slo", "min_segment_size").unwrap_or(default.segment_bytes),
            object_bytes: number("swift", "max_file_size").unwrap_or(default.object_bytes),
            name_bytes: count("swift", "max_meta_name_length", default.name_bytes),
            value_bytes: count("swift", "max_meta_value_length", default.value_bytes),
            entries: count("swift", "max_meta_count", default.entries),
            metadata_bytes: count("swift", "max_meta_overall_size", default.metadata_bytes),
            page: count("swift", "container_listing_limit", default.page),
            containers_page: count("swift", "account_listing_limit", default.containers_page),
        })
    }
}

/// Where a cluster tells, from the address of an account of it.
fn info(url: &str) -> Option<String> {
    let (base, _) = url.rsplit_once("/v1")?;
    Some(format!("{base}/info"))
}

impl Swift {
    /// What the cluster allows.
    pub(super) async fn limits(&self) -> Result<&Limits> {
        self.limits.get_or_try_init(|| self.read_limits()).await
    }

    async fn read_limits(&self) -> Result<Limits> {
        let Some(uri) = info(&self.identity.session().await?.url) else { return Ok(Limits::default()) };
        let reply = self.send(&Call::new(Method::GET, uri)).await?;
        if !reply.status.is_success() {
            tracing::debug!(status = reply.status.as_u16(), "the cluster does not tell what it allows");
            return Ok(Limits::default());
        }
        Ok(Limits::read(&reply.bytes().await?).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_and_what_is_not() {
        let told = br#"{"swift": {"max_file_size": 100, "max_meta_value_length": 64, "container_listing_limit": 5},
            "slo": {"max_manifest_segments": 10000, "min_segment_size": 1048576}}"#;
        let limits = Limits::read(told).expect("an answer");
        let expected = Limits {
            object_bytes: 100,
            value_bytes: 64,
            page: 5,
            segments: SWIFT_SEGMENTS_MAX,
            segment_bytes: 1 << 20,
            ..Limits::default()
        };
        assert_eq!(limits, expected);
        let without = Limits::read(br#"{"swift": {"max_meta_count": "many"}}"#).expect("an answer");
        assert_eq!(without, Limits { large: false, ..Limits::default() });
        assert_eq!(Limits::read(b"<html>"), None);
    }

    #[test]
    fn the_address() {
        assert_eq!(info("http://h:1/v1/AUTH_a").as_deref(), Some("http://h:1/info"));
        assert_eq!(info("http://h/swift/v1").as_deref(), Some("http://h/swift/info"));
        assert_eq!(info("http://h/x"), None);
    }
}
