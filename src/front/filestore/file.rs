//! Files as they are: `@read`, and the plain address of an item.
//!
//! **Invariant:** what a browser is sent is of the type that the item says and is not sniffed for another one, and what it
//! runs of it acts as nobody; what not everyone may read is kept by no cache without asking again.

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, LAST_MODIFIED, LOCATION, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::error::{Refusal, Result};
use super::params::Params;
use super::{Asked, items, meta};
use crate::front::dates;
use crate::front::wire;
use crate::model::caller::Caller;
use crate::model::condition::Conditions;
use crate::model::item::ItemPath;
use crate::model::name::ObjectKey;
use crate::model::object::Object;
use crate::model::range::ByteRange;
use crate::model::service::Permission;
use crate::store::request::{Found, GetRequest, Portion};
use crate::store::{Error, ItemError};

/// What a directory shows of itself.
const INDEX: &str = "index.html";

pub(super) async fn read(asked: &Asked<'_>, params: &mut Params) -> Result<Response> {
    let path = asked.item(params)?;
    let (caller, key) = asked.store().file_to_read(&asked.caller, asked.bucket(), &path).await?;
    asked.send(&caller, &path, key, asked.head.method != Method::POST).await
}

/// The plain address.
pub(super) async fn view(asked: &Asked<'_>) -> Result<Response> {
    let path = &asked.route.path;
    match asked.store().file_to_read(&asked.caller, asked.bucket(), path).await {
        Ok((caller, key)) => asked.send(&caller, path, key, true).await,
        Err(ItemError::NotFile) => asked.index(path).await,
        Err(error) => Err(error.into()),
    }
}

impl Asked<'_> {
    /// What is shown of a directory: its index, at an address that ends in a slash.
    async fn index(&self, path: &ItemPath) -> Result<Response> {
        let index = path.join(INDEX).map_err(|_| Refusal::not_found())?;
        let (caller, key) = match self.store().file_to_read(&self.caller, self.bucket(), &index).await {
            Err(ItemError::NotFile) => return Err(Refusal::not_found()),
            found => found?,
        };
        if self.route.slash {
            return self.send(&caller, &index, key, true).await;
        }
        let query = self.head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::FOUND;
        wire::put(answer.headers_mut(), LOCATION, &format!("{}/{query}", self.head.uri.path()));
        Ok(answer)
    }

    async fn send(&self, caller: &Caller, path: &ItemPath, key: ObjectKey, asks: bool) -> Result<Response> {
        let headers = &self.head.headers;
        let whole = GetRequest {
            bucket: self.bucket().clone(),
            key,
            version: None,
            portion: Portion::Whole,
            conditions: Conditions::default(),
            if_range: None,
            customer_key: None,
        };
        let request = match asks {
            true => GetRequest {
                conditions: wire::conditions(headers),
                portion: self.portion(),
                if_range: wire::if_range(headers),
                ..whole
            },
            false => whole,
        };
        let shown = self.kept(path).await?;
        if self.head.method == Method::HEAD {
            return match self.store().head(caller, request).await {
                Ok(found) => Ok(self.answer(&found, Body::empty(), shown)),
                Err(error) => unsent(error, shown),
            };
        }
        match self.store().get(caller, request).await {
            Ok(served) => Ok(self.answer(&served.found, wire::outgoing(served.body), shown)),
            Err(error) => unsent(error, shown),
        }
    }

    /// The one range that is asked for; of several the whole is sent.
    fn portion(&self) -> Portion {
        let range = self.head.headers.get(RANGE).and_then(|value| ByteRange::parse(value.to_str().ok()?));
        range.map_or(Portion::Whole, Portion::Range)
    }

    /// What caches are told of an item that says nothing of them.
    async fn kept(&self, path: &ItemPath) -> Result<Option<&'static str>> {
        let everyone = Caller::ANONYMOUS;
        let open = self.store().may_do(&everyone, self.bucket(), path, &[Permission::Read]).await?;
        Ok((open != [true]).then_some("private, no-cache"))
    }

    fn answer(&self, found: &Found, body: Body, kept: Option<&'static str>) -> Response {
        let Found { object, range, partial, .. } = found;
        let mut answer = Response::new(body);
        let headers = answer.headers_mut();
        for (name, value) in meta::headers_of(&object.content) {
            headers.append(name, value);
        }
        show(headers, object, kept);
        wire::put(headers, CONTENT_LENGTH, &(range.end - range.start).to_string());
        if *partial && range.start < range.end {
            wire::put(headers, CONTENT_RANGE, &format!("bytes {}-{}/{}", range.start, range.end - 1, object.size));
        }
        if self.service.attachment {
            headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
        }
        if *partial {
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        answer
    }
}

fn show(headers: &mut HeaderMap, object: &Object, kept: Option<&'static str>) {
    wire::put(headers, CONTENT_TYPE, items::mime(Some(object)));
    // Users write what others open, at an origin where these are known by their cookies.
    wire::confine(headers, wire::APART);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    wire::put(headers, ETAG, &format!("\"{}\"", object.etag));
    wire::put(headers, LAST_MODIFIED, &dates::header(object.modified));
    if let Some(encoding) = &object.content.encoding {
        wire::put(headers, CONTENT_ENCODING, encoding);
    }
    if let Some(cache) = object.content.cache_control.as_deref().or(kept) {
        wire::put(headers, CACHE_CONTROL, cache);
    }
}

fn unsent(error: Error, kept: Option<&'static str>) -> Result<Response> {
    let Error::NotModified { etag, modified, cache_control } = error else { return Err(error.into()) };
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NOT_MODIFIED;
    let headers = answer.headers_mut();
    wire::put(headers, ETAG, &format!("\"{etag}\""));
    wire::put(headers, LAST_MODIFIED, &dates::header(modified));
    if let Some(cache) = cache_control.as_deref().or(kept) {
        wire::put(headers, CACHE_CONTROL, cache);
    }
    Ok(answer)
}
