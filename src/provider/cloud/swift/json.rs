//! The JSON of listings and manifests.
//!
//! **Invariant:** a row that names itself a large object or a link, or that may be a manifest of a prefix, shows no digest,
//! as its `hash` is not that of its bytes; a digest is 32 digits in lower case.

use serde::{Deserialize, Serialize};

use super::auth::instant;
use crate::model::time::Timestamp;
use crate::provider::Result;
use crate::provider::cloud::service::Entry;
use crate::provider::cloud::transport::failed;

/// One line of a listing, of an account or a container.
#[derive(Debug, Deserialize)]
pub(super) struct Row {
    name: Option<String>,
    subdir: Option<String>,
    hash: Option<String>,
    #[serde(default)]
    bytes: u64,
    content_type: Option<String>,
    last_modified: Option<String>,
    /// There for large objects only, whose `hash` is that of the manifest.
    slo_etag: Option<String>,
    /// There for symbolic links only, whose `hash` is that of nothing.
    symlink_path: Option<String>,
}

impl Row {
    fn modified(&self) -> Timestamp {
        self.last_modified.as_deref().and_then(instant).unwrap_or(Timestamp(0))
    }

    /// As a container.
    pub(super) fn container(self) -> Option<(String, Timestamp)> {
        let made = self.modified();
        Some((self.name?, made))
    }

    /// As an object.
    pub(super) fn entry(self) -> Option<Entry> {
        let modified = self.modified();
        // A dynamic large object is listed as the empty object that its manifest is, with the hash of nothing, and only a
        // look tells the two apart and shows its size. A marker of a directory is none, and there are many of them.
        let whole = self.bytes > 0 || self.is_directory();
        let plain = whole && self.slo_etag.is_none() && self.symlink_path.is_none();
        let digest = self.hash.filter(|hash| plain && is_md5(hash));
        Some(Entry { name: self.name?, digest, size: self.bytes, modified })
    }

    /// Whether it calls itself the marker of a directory, as clients write them.
    fn is_directory(&self) -> bool {
        let kind = self.content_type.as_deref().unwrap_or_default();
        kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/directory"))
    }

    /// What names of a listing with a delimiter have in common.
    pub(super) fn folder(self) -> Option<String> {
        self.subdir
    }
}

pub(super) fn rows(text: &[u8]) -> Result<Vec<Row>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(text).map_err(|error| failed("a listing", error))
}

/// One segment of a manifest, as it is read.
#[derive(Debug, Deserialize)]
pub(super) struct Part {
    /// `/container/name`.
    pub(super) name: String,
    /// Whether it is a large object itself.
    #[serde(default)]
    pub(super) sub_slo: bool,
}

pub(super) fn parts(text: &[u8]) -> Result<Vec<Part>> {
    serde_json::from_slice(text).map_err(|error| failed("a manifest", error))
}

/// One segment of a manifest, as it is written.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Segment {
    /// `/container/name`.
    pub(super) path: String,
    /// Its `ETag`, without quotes.
    pub(super) etag: String,
    /// Bytes.
    pub(super) size_bytes: u64,
}

pub(super) fn manifest(segments: &[Segment]) -> Result<String> {
    serde_json::to_string(segments).map_err(|error| failed("a manifest", error))
}

/// Whether it is 32 digits in lower case.
pub(super) fn is_md5(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_listing() {
        let text = br#"[
            {"bytes": 4, "hash": "74b87337454200d4d33f80c4663dc5e5", "name": "a/\u00fc", "content_type": "x",
             "last_modified": "2026-11-22T08:03:25.426410"},
            {"bytes": 10, "hash": "398919b83508bfc781e5ded0c1181fbd", "name": "big", "content_type": "x",
             "last_modified": "2026-11-22T08:03:25.595950", "slo_etag": "\"bf5c79a4687bae59e97198d0b95ff33b\""},
            {"bytes": 0, "hash": "d41d8cd98f00b204e9800998ecf8427e", "name": "b", "content_type": "video/mp4"},
            {"bytes": 0, "hash": "d41d8cd98f00b204e9800998ecf8427e", "name": "b/",
             "content_type": "application/directory;charset=utf-8"},
            {"subdir": "c/"}]"#;
        let mut rows = rows(text).expect("a listing").into_iter();
        let plain = rows.next().and_then(Row::entry).expect("an object");
        assert_eq!((plain.name.as_str(), plain.size), ("a/\u{fc}", 4));
        assert_eq!(plain.digest.as_deref(), Some("74b87337454200d4d33f80c4663dc5e5"));
        assert_eq!(plain.modified, Timestamp(1_795_334_605_426_410_000));
        let large = rows.next().and_then(Row::entry).expect("an object");
        assert_eq!((large.digest, large.size), (None, 10));
        let dynamic = rows.next().and_then(Row::entry).expect("an object, or one that names a prefix");
        assert_eq!((dynamic.digest, dynamic.size), (None, 0));
        let directory = rows.next().and_then(Row::entry).expect("an object");
        assert_eq!(directory.digest.as_deref(), Some("d41d8cd98f00b204e9800998ecf8427e"));
        assert_eq!(rows.next().and_then(Row::folder).as_deref(), Some("c/"));
        assert!(super::rows(b"").expect("nothing").is_empty());
    }

    #[test]
    fn manifests() {
        let segment = Segment { path: "/c \"/1".into(), etag: "e".into(), size_bytes: 3 };
        assert_eq!(manifest(&[segment]).expect("text"), r#"[{"path":"/c \"/1","etag":"e","size_bytes":3}]"#);
        let text = br#"[{"name": "/c/m", "bytes": 1, "hash": "h", "sub_slo": true}, {"name": "/c/1"}]"#;
        let parts = parts(text).expect("a manifest");
        assert_eq!(parts.iter().map(|part| part.sub_slo).collect::<Vec<_>>(), [true, false]);
    }
}
