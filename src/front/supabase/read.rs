//! Reads: the bytes of an object, their head, and what is known of them.
//!
//! **Invariant:** conditions and ranges are those of the store, the same for every interface; what a browser would run
//! is sent as text, or without rights.

use std::ops::Range;

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, EXPIRES,
    IF_NONE_MATCH, LAST_MODIFIED, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::error::{self, Refusal, Result};
use super::route::Op;
use super::schema::Fields;
use super::sign::Scope;
use super::who::Known;
use super::{Asked, Supabase, dates, names, row, upload};
use crate::front::wire::{STILL, conditions, confine, if_range, outgoing, put};
use crate::model::condition::Conditions;
use crate::model::name::BucketName;
use crate::model::object::Object;
use crate::model::range::ByteRange;
use crate::store::Error;
use crate::store::request::{Found, GetRequest, Portion};

const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");
/// What is not escaped in the name of a download.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'!').remove(b'~');

/// How an answer may be kept.
#[derive(Debug, Clone, Copy)]
enum Kept {
    /// As the object says.
    AsStored,
    /// Until then, in seconds since 1970.
    Until(Option<i64>),
}

/// By a caller, or by anyone.
pub(super) async fn get(front: &Supabase, asked: &Asked) -> Result<Response> {
    let known = front.reader(asked).await?;
    let bucket = front.bucket(&asked.route.bucket).await?;
    front.let_in(&known, &bucket).await?;
    front.serve(&known, asked, (&bucket, &asked.route.key), Kept::AsStored).await
}

/// By a signed address.
pub(super) async fn signed(front: &Supabase, asked: &Asked) -> Result<Response> {
    let address = front.address(asked, Scope::Download)?;
    let caller = upload::service_for(asked, None);
    let bucket = front.bucket(&address.bucket).await?;
    let known = Known { caller, verified: true };
    front.serve(&known, asked, (&bucket, &address.key), Kept::Until(address.ends)).await
}

/// What is known of an object.
pub(super) async fn info(front: &Supabase, asked: &Asked) -> Result<Response> {
    let known = front.reader(asked).await?;
    let bucket = front.bucket(&asked.route.bucket).await?;
    front.let_in(&known, &bucket).await?;
    let request = GetRequest {
        bucket: bucket.clone(),
        key: names::key(&asked.route.key)?,
        version: None,
        portion: Portion::Whole,
        conditions: Conditions::default(),
        if_range: None,
        customer_key: None,
    };
    let object = match front.store.head(&known.caller, request).await {
        Ok(found) => found.object,
        Err(error) => return Err(front.unread(&known, &bucket, error).await),
    };
    let mut answer = error::json(StatusCode::OK, &row::info(&bucket, &object));
    let headers = answer.headers_mut();
    put(headers, ETAG, &format!("\"{}\"", object.etag));
    put(headers, LAST_MODIFIED, &dates::header(object.modified));
    put(headers, CACHE_CONTROL, row::cache_control(&object));
    Ok(answer)
}

impl Supabase {
    /// Who reads, as the route asks for it.
    async fn reader(&self, asked: &Asked) -> Result<Known> {
        Ok(match asked.route.op {
            Op::GetPublic | Op::InfoPublic => Known { caller: asked.nobody(), verified: false },
            Op::GetAuthenticated | Op::InfoAuthenticated => Known { caller: self.caller(asked).await?, verified: true },
            _ => self.caller_if_any(asked).await,
        })
    }

    /// Where roles have policies of their own, who shows no token reads what is public and nothing else.
    pub(super) async fn let_in(&self, known: &Known, bucket: &BucketName) -> Result<()> {
        if known.verified || !self.store.judges_roles() || self.store.is_open(bucket).await? {
            return Ok(());
        }
        Err(Refusal::no_bucket())
    }

    /// Why something is not read: who shows no token learns of a bucket that is not public no more than that.
    pub(super) async fn unread(&self, known: &Known, bucket: &BucketName, error: Error) -> Refusal {
        match error {
            Error::AccessDenied => match self.store.is_open(bucket).await {
                Ok(open) if open || known.verified => Refusal::no_key(),
                Ok(_) | Err(_) => Refusal::no_bucket(),
            },
            error => error.into(),
        }
    }

    async fn serve(
        &self,
        known: &Known,
        asked: &Asked,
        (bucket, key): (&BucketName, &str),
        kept: Kept,
    ) -> Result<Response> {
        let request = GetRequest {
            bucket: bucket.clone(),
            key: names::key(key)?,
            version: None,
            portion: portion(&asked.head.headers)?,
            if_range: if_range(&asked.head.headers),
            conditions: conditions(&asked.head.headers),
            customer_key: None,
        };
        let shown = Shown { asked, kept };
        if asked.head.method == Method::HEAD {
            return match self.store.head(&known.caller, request).await {
                Ok(found) => Ok(shown.answer(&found.object, Some((&found.range, found.partial)), Body::empty())),
                Err(error) => self.not_served(known, bucket, &shown, error).await,
            };
        }
        match self.store.get(&known.caller, request).await {
            Ok(served) => {
                let Found { object, range, partial, .. } = &served.found;
                Ok(shown.answer(object, Some((range, *partial)), outgoing(served.body)))
            }
            Err(error) => self.not_served(known, bucket, &shown, error).await,
        }
    }

    async fn not_served(
        &self,
        known: &Known,
        bucket: &BucketName,
        shown: &Shown<'_>,
        error: Error,
    ) -> Result<Response> {
        let Error::NotModified { etag, modified, cache_control } = error else {
            return Err(self.unread(known, bucket, error).await);
        };
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        let headers = answer.headers_mut();
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        put(headers, ETAG, &format!("\"{etag}\""));
        put(headers, LAST_MODIFIED, &dates::header(modified));
        shown.keep(headers, cache_control.as_deref().unwrap_or(row::UNCACHED));
        Ok(answer)
    }
}

/// An object as a request asks for it to be shown.
struct Shown<'a> {
    asked: &'a Asked,
    kept: Kept,
}

impl Shown<'_> {
    fn keep(&self, headers: &mut HeaderMap, cache_control: &str) {
        match self.kept {
            Kept::AsStored => put(headers, CACHE_CONTROL, cache_control),
            Kept::Until(ends) => {
                if let Some(ends) = ends.and_then(dates::of_seconds) {
                    put(headers, EXPIRES, &ends);
                }
            }
        }
    }

    fn answer(&self, object: &Object, served: Option<(&Range<u64>, bool)>, body: Body) -> Response {
        let mut answer = Response::new(body);
        let (range, partial) = served.unwrap_or((&(0..0), false));
        if partial {
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        let headers = answer.headers_mut();
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        put(headers, CONTENT_LENGTH, &(range.end - range.start).to_string());
        if partial && range.start < range.end {
            put(headers, CONTENT_RANGE, &format!("bytes {}-{}/{}", range.start, range.end - 1, object.size));
        }
        show_type(headers, row::content_type(object));
        put(headers, ETAG, &format!("\"{}\"", object.etag));
        put(headers, LAST_MODIFIED, &dates::header(object.modified));
        put(headers, ROBOTS, object.content.robots.as_deref().unwrap_or("none"));
        if let Some(encoding) = &object.content.encoding {
            put(headers, http::header::CONTENT_ENCODING, encoding);
        }
        let mut cache_control = row::cache_control(object).to_owned();
        if self.asked.head.headers.contains_key(IF_NONE_MATCH) {
            cache_control.push_str(", stale-while-revalidate=30");
        }
        self.keep(headers, &cache_control);
        if let Some(name) = Fields::of_query(self.asked.query()).text("download") {
            put(headers, CONTENT_DISPOSITION, &disposition(&name));
        }
        answer
    }
}

/// The type, unless a browser would run what is of it.
fn show_type(headers: &mut HeaderMap, kind: &str) {
    let plain = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    put(headers, CONTENT_TYPE, if plain == "text/html" { "text/plain" } else { kind });
    // Drawings, among others.
    confine(headers, STILL);
}

pub(super) fn disposition(name: &str) -> String {
    if name.is_empty() {
        return "attachment;".to_owned();
    }
    let name = utf8_percent_encode(name, NAME);
    format!("attachment; filename={name}; filename*=UTF-8''{name}")
}

fn portion(headers: &HeaderMap) -> Result<Portion> {
    let Some(range) = headers.get(RANGE) else { return Ok(Portion::Whole) };
    let range = range.to_str().ok().and_then(ByteRange::parse);
    range.map(Portion::Range).ok_or_else(Refusal::range)
}
