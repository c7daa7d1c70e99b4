//! What the other side says of containers, of files and of uploads, and how much of it is believed.
//!
//! Providers beneath a `LoopBack` application say different things of a file; `name` and `size` are what all of them say.
//!
//! **Invariant:** an object that speaks of another name than was asked for says nothing about the one that was.

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

use crate::model::object::Content;
use crate::model::place::Stamp;
use crate::model::time::{Clock, Timestamp};
use crate::provider::{Foreign, Stat};

/// For so long after a change another one may leave the time as it is, whose unit is a second at some services.
const YOUNG_NANOS: i64 = 3_000_000_000;

/// A file, as it is listed and described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileEntry {
    pub(super) name: String,
    pub(super) size: u64,
    /// What identifies the bytes at the other side, if it says so.
    pub(super) etag: Option<String>,
    /// When they were written, in its words.
    changed: Option<String>,
    content_type: Option<String>,
}

fn text(value: &Value, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| value[*name].as_str()).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A time as services write it.
fn instant(text: &str) -> Option<Timestamp> {
    let parsed = OffsetDateTime::parse(text, &Rfc3339).or_else(|_| OffsetDateTime::parse(text, &Rfc2822));
    parsed.ok().map(Timestamp::from_utc)
}

impl FileEntry {
    /// Reads one; `None` if it has no name or no size.
    pub(super) fn read(value: &Value) -> Option<Self> {
        let size = &value["size"];
        let size = size.as_u64().or_else(|| size.as_str()?.parse().ok())?;
        let etag = text(value, &["etag"]).map(|etag| etag.trim_start_matches("W/").trim_matches('"').to_owned());
        let changed = text(value, &["mtime", "lastModified", "updated"]);
        let content_type = text(value, &["contentType"]);
        Some(Self { name: text(value, &["name"])?, size, etag, changed, content_type })
    }

    /// What identifies the bytes at a key.
    pub(super) fn stamp(&self) -> Stamp {
        let by = match (&self.etag, &self.changed) {
            (Some(etag), _) => format!("e{etag}"),
            (None, Some(changed)) => format!("t{changed}"),
            (None, None) => String::new(),
        };
        Stamp::new(&format!("n{}-{by}", self.size))
    }

    pub(super) fn modified(&self) -> Timestamp {
        self.changed.as_deref().and_then(instant).unwrap_or_default()
    }

    /// As what lies at a key.
    pub(super) fn stat(&self) -> Stat {
        let modified = self.modified();
        let young = self.etag.is_none() && Clock::now().0.saturating_sub(modified.0) < YOUNG_NANOS;
        let etag = self.etag.clone().filter(|etag| is_of_s3(etag));
        let content = Content { content_type: self.content_type.clone(), ..Content::default() };
        let foreign = (etag.is_some() || content.content_type.is_some()).then(|| Box::new(Foreign { etag, content }));
        Stat { stamp: self.stamp(), size: self.size, modified, record: None, foreign, young }
    }
}

/// Whether clients of S3 would take it for an `ETag` of theirs.
fn is_of_s3(etag: &str) -> bool {
    let (md5, parts) = etag.split_once('-').unwrap_or((etag, "1"));
    md5.len() == 32 && md5.bytes().all(|b| b.is_ascii_hexdigit()) && parts.bytes().all(|b| b.is_ascii_digit())
}

/// When a container was made, as far as it says so. `None`: it speaks of another one, or is none.
pub(super) fn container(value: &Value, name: &str) -> Option<Timestamp> {
    // What some services say of a container has no name at the top.
    let same = value.is_object() && value.get("name").is_none_or(|said| said == name);
    let made = text(value, &["ctime", "timeCreated", "mtime"]);
    same.then(|| made.as_deref().and_then(instant).unwrap_or_default())
}

/// Whether the answer to an upload says that this file, and nothing else, was stored under its name.
pub(super) fn is_stored(answer: &Value, container: &str, name: &str, size: u64) -> bool {
    let Some(files) = answer["result"]["files"].as_object() else { return false };
    let mut entries = files.values().flat_map(|entries| match entries {
        Value::Array(entries) => entries.iter().collect(),
        one => vec![one],
    });
    let (Some(entry), None) = (entries.next(), entries.next()) else { return false };
    entry["name"] == name
        && entry.get("container").is_none_or(|said| said == container)
        && entry.get("size").is_none_or(|said| said.as_u64() == Some(size))
}

/// The name that an upload of `name` was stored under instead, if the answer says that it was.
pub(super) fn stored_instead(answer: &Value, name: &str) -> Option<String> {
    let files = answer["result"]["files"].as_object()?;
    let mut entries = files.values().filter_map(Value::as_array).flatten();
    let renamed = entries.find(|entry| entry["originalFilename"] == name)?;
    text(renamed, &["name"]).filter(|other| other != name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_of_all_providers_are_read() {
        let of = |value: Value| FileEntry::read(&value).expect("a file");
        let disk = of(json!({"container": "c", "name": "a", "size": 11, "mtime": "2026-11-21T20:24:46.352Z"}));
        assert_eq!(disk.stamp().as_str(), "n11-t2026-11-21T20:24:46.352Z");
        assert_eq!(disk.modified().subsec_nanos(), 352_000_000);
        assert!(!disk.stat().young && disk.stat().foreign.is_none());
        let md5 = "0cc175b9c0f1b6a831c399e269772661";
        let amazon = of(json!({"name": "a", "size": "11", "etag": format!("\"{md5}\""), "contentType": "text/plain"}));
        assert_eq!(amazon.stamp().as_str(), format!("n11-e{md5}"));
        assert_eq!(amazon.stat().foreign.expect("of its own").etag.as_deref(), Some(md5));
        assert_eq!(of(json!({"container": "c", "name": "a", "size": 0})).stamp().as_str(), "n0-");
        for none in [json!({"name": "a"}), json!({"size": 1}), json!([]), json!({"name": "a", "size": -1}), json!("x")]
        {
            assert_eq!(FileEntry::read(&none), None, "{none}");
        }
    }

    #[test]
    fn an_upload_is_believed_of_its_own_name_alone() {
        let answer = |entries: Value| json!({"result": {"files": {"file": entries}, "fields": {}}});
        let stored = |entries: Value| is_stored(&answer(entries), "c", "a", 3);
        assert!(stored(json!([{"container": "c", "name": "a", "size": 3}])));
        assert!(stored(json!([{"name": "a"}])), "the first generation says no more");
        for other in [
            json!([]),
            json!([{"name": "b", "size": 3}]),
            json!([{"name": "a", "size": 2}]),
            json!([{"name": "a", "container": "d"}]),
            json!([{"name": "a"}, {"name": "a"}]),
        ] {
            assert!(!stored(other.clone()), "{other}");
        }
        assert!(!is_stored(&json!({"error": {"statusCode": 500}}), "c", "a", 3));
        let renamed = answer(json!([{"name": "b", "originalFilename": "a"}]));
        assert_eq!(stored_instead(&renamed, "a").as_deref(), Some("b"));
        assert_eq!(stored_instead(&answer(json!([{"name": "b"}])), "a"), None, "not ours, as far as it says");
    }

    #[test]
    fn a_container_is_the_one_that_was_asked_for() {
        let made = "2026-11-21T20:24:46.352Z";
        assert!(container(&json!({"name": "c", "ctime": made}), "c").is_some_and(|at| at.0 > 0));
        assert_eq!(container(&json!({"isTruncated": false}), "c"), Some(Timestamp(0)));
        assert_eq!(container(&json!({"name": "d"}), "c"), None);
        assert_eq!(container(&json!("c"), "c"), None);
    }
}
