//! Buckets: made, listed, read, changed, emptied, removed.
//!
//! **Invariant:** what a caller may not see is told as if it were not there.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::error::{self, Refusal, Result};
use super::schema::{Fields, Given};
use super::{Asked, Supabase, dates, names, row};
use crate::config::limits::{LIST_BUCKETS_MAX, LIST_KEYS_MAX};
use crate::model::bucket::{Bucket, BucketConfig, Intake};
use crate::model::caller::Caller;
use crate::model::condition::Conditions;
use crate::model::name::BucketName;
use crate::model::page::PageQuery;
use crate::store::Error;
use crate::store::request::{BucketQuery, CreateBucket, DeleteRequest};

/// Most characters of one media type.
const TYPE_CHARS_MAX: usize = 1000;
/// Most media types of one bucket.
const TYPES_MAX: usize = 1000;
const SIZE_PATTERN: &str =
    "/file_size_limit must match pattern \"^[0-9]+(?:\\.[0-9]+)?(?:[gG][bB]|[mM][bB]|[kK][bB]|[bB])$\"";

/// What a caller may not see is not there.
fn hidden(error: Error) -> Refusal {
    match error {
        Error::AccessDenied => Refusal::no_bucket(),
        error => error.into(),
    }
}

fn shown(bucket: &Bucket, typed: bool) -> Map<String, Value> {
    let intake = &bucket.config.intake;
    let name = bucket.config.title.as_deref().unwrap_or(bucket.name.as_str());
    let created = dates::json(bucket.created);
    let mut shown = Map::from_iter([
        ("id".to_owned(), bucket.name.as_str().into()),
        ("name".to_owned(), name.into()),
        ("owner".to_owned(), row::owner(&bucket.owner).into()),
        ("public".to_owned(), bucket.settings.public.into()),
    ]);
    if typed {
        shown.insert("type".to_owned(), "STANDARD".into());
    }
    shown.extend([
        ("file_size_limit".to_owned(), intake.bytes_max.into()),
        (
            "allowed_mime_types".to_owned(),
            if intake.types.is_empty() { Value::Null } else { intake.types.clone().into() },
        ),
        ("created_at".to_owned(), created.clone().into()),
        ("updated_at".to_owned(), created.into()),
    ]);
    shown
}

/// The size that a bucket is limited to: a number of bytes, or a number with its unit.
fn size(fields: &mut Fields) -> Given<u64> {
    let value = match fields.take("file_size_limit") {
        None => return Given::Absent,
        Some(Value::Null) => return Given::Null,
        Some(value) => value,
    };
    let bytes = match &value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok().or_else(|| bytes_of(text)),
        _ => None,
    };
    if let Some(bytes) = bytes {
        return Given::Is(bytes);
    }
    if value.as_f64().is_some_and(|number| number < 0.0) {
        fields.problem("/file_size_limit must be >= 0");
    } else {
        fields.problem("/file_size_limit must be integer");
        fields.problem("/file_size_limit must pass \"finite\" keyword validation");
    }
    fields.problem(SIZE_PATTERN);
    fields.problem("/file_size_limit must match a schema in anyOf");
    Given::Absent
}

/// `20MB` and the like, to three digits.
fn bytes_of(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let (number, unit) = [("gb", 1e9), ("mb", 1e6), ("kb", 1e3), ("b", 1.0)]
        .iter()
        .find_map(|(unit, bytes)| lower.strip_suffix(unit).map(|number| (number.to_owned(), *bytes)))?;
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let (whole, rest) = number.split_once('.').unwrap_or((&number, "0"));
    if !digits(whole) || !digits(rest) || number.len() > 18 {
        return None;
    }
    let bytes = number.parse::<f64>().ok()? * unit;
    let scale = 10f64.powf((bytes.max(1.0).log10().floor() - 2.0).max(0.0));
    Some(((bytes / scale).round() * scale) as u64)
}

/// The media types that a bucket takes, without empty ones.
fn types(fields: &mut Fields) -> Result<Given<Vec<String>>> {
    let list = match fields.texts("allowed_mime_types") {
        Given::Is(list) => list,
        given => return Ok(given),
    };
    let list: Vec<String> = list.into_iter().filter(|kind| !kind.is_empty()).collect();
    if list.len() > TYPES_MAX {
        return Err(Refusal::schema("body/allowed_mime_types must NOT have more than 1000 items"));
    }
    for kind in &list {
        let parts = kind.split(';').next().unwrap_or_default();
        let legal = kind.ends_with('*') || parts.split_once('/').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty());
        if !legal || kind.len() > TYPE_CHARS_MAX || !kind.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            return Err(Refusal::media_type(format!("mime type {kind} is not supported")));
        }
    }
    Ok(Given::Is(list))
}

pub(super) async fn create(front: &Supabase, asked: &Asked, body: Body) -> Result<Response> {
    let caller = front.caller(asked).await?;
    let mut fields = Fields::of_body(&asked.head.headers, body).await?;
    fields.required("name");
    let name = fields.text("name").unwrap_or_default();
    let id = fields.text("id").filter(|id| !id.is_empty()).unwrap_or_else(|| name.clone());
    let public = fields.boolean("public").unwrap_or(false);
    let size = size(&mut fields);
    fields.word("type", &["STANDARD"]);
    fields.check()?;
    let types = types(&mut fields)?;
    fields.check()?;
    names::new_bucket(&name)?;
    let bucket = names::new_bucket(&id)?;
    let mut intake = Intake::default();
    front.limit(&mut intake, size, types)?;
    let title = (id != name).then(|| name.clone());
    let config = BucketConfig { intake, title, ..BucketConfig::default() };
    let request = CreateBucket { config, public, ..CreateBucket::default() };
    front.store.create_bucket(&caller, &bucket, request).await?;
    Ok(error::json(StatusCode::OK, &json!({ "name": name })))
}

impl Supabase {
    /// Sets what was given.
    fn limit(&self, intake: &mut Intake, size: Given<u64>, types: Given<Vec<String>>) -> Result<()> {
        match size {
            Given::Absent => {}
            Given::Null => intake.bytes_max = None,
            Given::Is(bytes) if bytes > self.options.file_bytes_max => return Err(Refusal::too_large()),
            Given::Is(bytes) => intake.bytes_max = Some(bytes),
        }
        match types {
            Given::Absent => {}
            Given::Null => intake.types = Vec::new(),
            Given::Is(types) => intake.types = types,
        }
        Ok(())
    }
}

pub(super) async fn list(front: &Supabase, asked: &Asked) -> Result<Response> {
    let caller = front.caller(asked).await?;
    let mut query = Fields::of_query(asked.query());
    let limit = query.integer("limit", 1);
    let offset = query.integer("offset", 0).unwrap_or(0);
    let column = query.word("sortColumn", &["id", "name", "created_at", "updated_at"]);
    let order = query.word("sortOrder", &["asc", "desc"]);
    let search = query.text("search").unwrap_or_default().to_lowercase();
    query.check()?;
    let mut buckets = front.visible(&caller).await?;
    buckets.retain(|bucket| bucket.name.as_str().to_lowercase().contains(&search));
    match column {
        Some("created_at" | "updated_at") => buckets.sort_by_key(|bucket| bucket.created),
        Some(_) => buckets.sort_by(|a, b| a.name.cmp(&b.name)),
        // As a table without an order shows them: by age.
        None => buckets.sort_by_key(|bucket| bucket.created),
    }
    if order == Some("desc") {
        buckets.reverse();
    }
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let page: Vec<_> = buckets.iter().skip(offset).take(limit).map(|bucket| shown(bucket, !is_old(asked))).collect();
    Ok(error::json(StatusCode::OK, &page))
}

/// Whether the client is an old one of Python, which fails on members that it does not know.
fn is_old(asked: &Asked) -> bool {
    let version = |text: &str, name: &str| {
        let version = text.split(name).nth(1)?.split([' ', ';', ',']).next()?;
        let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        Some((parts.next()?, parts.next().unwrap_or(0), parts.next().unwrap_or(0)))
    };
    let info = asked.header("x-client-info").and_then(|text| version(text, "supabase-py/"));
    let agent = asked.header("user-agent").and_then(|text| version(text, "storage3/"));
    info.is_some_and(|version| version < (2, 18, 0)) || agent.is_some_and(|version| version < (0, 12, 1))
}

impl Supabase {
    /// The buckets that a caller may see.
    async fn visible(&self, caller: &Caller) -> Result<Vec<Bucket>> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let query = BucketQuery { after, limit: LIST_BUCKETS_MAX, ..BucketQuery::default() };
            let page = match self.store.list_buckets(caller, query).await {
                Err(Error::AccessDenied) => return Ok(found),
                page => page?,
            };
            found.extend(page.buckets);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(found),
            }
        }
    }

    async fn found(&self, caller: &Caller, asked: &Asked) -> Result<Bucket> {
        let name = self.bucket(&asked.route.bucket).await?;
        self.store.head_bucket(caller, &name).await.map_err(hidden)
    }
}

pub(super) async fn get(front: &Supabase, asked: &Asked) -> Result<Response> {
    let caller = front.caller(asked).await?;
    let bucket = front.found(&caller, asked).await?;
    Ok(error::json(StatusCode::OK, &shown(&bucket, false)))
}

pub(super) async fn update(front: &Supabase, asked: &Asked, body: Body) -> Result<Response> {
    let caller = front.caller(asked).await?;
    let headers = &asked.head.headers;
    // A request that names nothing changes nothing, also without a body.
    let mut fields = match http_body::Body::is_end_stream(&body) {
        true => Fields::of_query(None),
        false => Fields::of_body(headers, body).await?,
    };
    let public = fields.boolean("public");
    let size = size(&mut fields);
    fields.check()?;
    let types = types(&mut fields)?;
    fields.check()?;
    let bucket = front.bucket(&asked.route.bucket).await?;
    // What a limit is refused for must not depend on what else is changed.
    front.limit(&mut Intake::default(), size.clone(), types.clone())?;
    let change = |intake: &mut Intake| {
        front.limit(intake, size.clone(), types.clone()).map_err(|_| Error::InvalidRequest("file_size_limit"))
    };
    match front.store.update_bucket(&caller, &bucket, public, change).await {
        Ok(()) => {}
        // A role that sees it, and may not make this of it.
        Err(error @ Error::AccessDenied) if front.store.is_judged(&caller) => return Err(error.into()),
        Err(error) => return Err(hidden(error)),
    }
    Ok(error::json(StatusCode::OK, &json!({ "message": "Successfully updated" })))
}

pub(super) async fn empty(front: &Supabase, asked: &Asked) -> Result<Response> {
    let caller = front.service(asked).await?;
    let name = front.bucket(&asked.route.bucket).await?;
    let mut after = None;
    loop {
        let query = PageQuery { after, limit: LIST_KEYS_MAX, ..PageQuery::default() };
        let page = front.store.list(&caller, &name, query).await?;
        for entry in page.entries {
            front.remove(&caller, &name, entry.key).await?;
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    Ok(error::json(StatusCode::OK, &json!({ "message": "Successfully emptied" })))
}

impl Supabase {
    async fn remove(&self, caller: &Caller, bucket: &BucketName, key: crate::model::name::ObjectKey) -> Result<()> {
        let conditions = Conditions::default();
        let bucket = bucket.clone();
        let request = DeleteRequest::current(bucket, key, conditions);
        self.store.delete(caller, request).await?;
        Ok(())
    }
}

pub(super) async fn delete(front: &Supabase, asked: &Asked) -> Result<Response> {
    let caller = front.caller(asked).await?;
    let name = front.bucket(&asked.route.bucket).await?;
    front.store.delete_bucket(&caller, &name).await.map_err(hidden)?;
    Ok(error::json(StatusCode::OK, &json!({ "message": "Successfully deleted" })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_and_three_digits() {
        for (text, bytes) in [
            ("20mb", Some(20_000_000)),
            ("1.5GB", Some(1_500_000_000)),
            ("1234kb", Some(1_230_000)),
            ("7B", Some(7)),
            ("0b", Some(0)),
            ("100XB", None),
            ("MB", None),
            ("1.mb", None),
            ("-1kb", None),
        ] {
            assert_eq!(bytes_of(text), bytes, "{text}");
        }
    }
}
