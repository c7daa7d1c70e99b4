//! Objects as rows of JSON.
//!
//! **Invariant:** the id of an object is that of its row where there is a table of rows, and stays when the object is
//! overwritten. Its version is the version's id.

use serde_json::{Map, Value, json};

use super::dates;
use crate::model::caller::subject_of;
use crate::model::name::BucketName;
use crate::model::object::Object;

/// What an object is of that nobody gave a type.
pub(super) const UNTYPED: &str = "application/octet-stream";
/// How long what says nothing of it is kept by caches.
pub(super) const UNCACHED: &str = "no-cache";

/// 32 hexadecimal digits as a UUID.
pub(super) fn uuid(digits: &str) -> String {
    let part = |range: std::ops::Range<usize>| digits.get(range).unwrap_or_default().to_owned();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

/// The id of an object.
pub(super) fn id(object: &Object) -> String {
    uuid(&object.id().to_string())
}

/// The type of an object.
pub(super) fn content_type(object: &Object) -> &str {
    object.content.content_type.as_deref().unwrap_or(UNTYPED)
}

/// The caching of an object.
pub(super) fn cache_control(object: &Object) -> &str {
    object.content.cache_control.as_deref().unwrap_or(UNCACHED)
}

/// What Supabase keeps of the bytes.
pub(super) fn metadata(object: &Object) -> Value {
    let mut shown = json!({
        "eTag": format!("\"{}\"", object.etag),
        "size": object.size,
        "mimetype": content_type(object),
        "cacheControl": cache_control(object),
        "lastModified": dates::json(object.modified),
        "contentLength": object.size,
        "httpStatusCode": 200,
    });
    if let Some(robots) = &object.content.robots {
        shown["xRobotsTag"] = robots.as_str().into();
    }
    shown
}

/// What its writer keeps with it.
pub(super) fn user_metadata(object: &Object) -> Value {
    let document = object.content.document.as_deref().and_then(|text| serde_json::from_str(text).ok());
    document.unwrap_or_else(|| {
        let texts = object.content.user.iter().map(|(name, text)| (name.clone(), text.as_str().into()));
        Value::Object(texts.collect::<Map<_, _>>())
    })
}

/// The owner as Supabase shows it: none, unless a token's subject owns it.
pub(super) fn owner(id: &str) -> &str {
    subject_of(id).unwrap_or_default()
}

/// A row of a listing, under a name.
pub(super) fn listed(object: &Object, name: &str) -> Map<String, Value> {
    let created = dates::json(object.created());
    Map::from_iter([
        ("name".to_owned(), name.into()),
        ("id".to_owned(), id(object).into()),
        ("updated_at".to_owned(), dates::json(object.modified).into()),
        ("created_at".to_owned(), created.clone().into()),
        ("last_accessed_at".to_owned(), created.into()),
        ("metadata".to_owned(), metadata(object)),
    ])
}

/// A folder in a listing.
pub(super) fn folder(name: &str) -> Map<String, Value> {
    let nothing = ["id", "updated_at", "created_at", "last_accessed_at", "metadata"];
    let mut row = Map::from_iter([("name".to_owned(), name.into())]);
    row.extend(nothing.map(|member| (member.to_owned(), Value::Null)));
    row
}

/// The whole row.
pub(super) fn whole(bucket: &BucketName, object: &Object) -> Map<String, Value> {
    let mut row = listed(object, object.key.as_str());
    row.extend([
        ("bucket_id".to_owned(), bucket.as_str().into()),
        ("owner".to_owned(), owner(&object.owner).into()),
        ("owner_id".to_owned(), owner(&object.owner).into()),
        ("version".to_owned(), uuid(&object.version.to_string()).into()),
        ("user_metadata".to_owned(), user_metadata(object)),
    ]);
    row
}

/// What `info` tells.
pub(super) fn info(bucket: &BucketName, object: &Object) -> Value {
    json!({
        "id": id(object),
        "name": object.key.as_str(),
        "version": uuid(&object.version.to_string()),
        "bucket_id": bucket.as_str(),
        "size": object.size,
        "content_type": content_type(object),
        "cache_control": cache_control(object),
        "etag": format!("\"{}\"", object.etag),
        "metadata": user_metadata(object),
        "last_modified": dates::json(object.modified),
        "created_at": dates::json(object.created()),
    })
}
