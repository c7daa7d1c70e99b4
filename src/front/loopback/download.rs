//! Downloads: the bytes of a file, or some of them.
//!
//! **Invariant:** conditions and ranges are those of the store, the same for every interface, and the length that is told
//! is that of the bytes that come. What a browser would run is sent without rights.

use std::ops::Range;

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Method, StatusCode};

use super::error::{Attempt, Refusal, Result};
use super::route::Route;
use super::who::Known;
use super::{Asked, Loopback, file, media};
use crate::front::dates;
use crate::front::wire::{STILL, conditions, confine, if_range, outgoing, put};
use crate::model::object::Object;
use crate::model::range::ByteRange;
use crate::store::Error;
use crate::store::request::{Found, GetRequest, Portion};

pub(super) async fn serve(front: &Loopback, asked: &Asked, route: &Route, known: &Known) -> Result<Response> {
    let headers = &asked.head.headers;
    // One that is not understood is none.
    let range = headers.get(RANGE).and_then(|value| ByteRange::parse(value.to_str().ok()?));
    let portion = range.map_or(Portion::Whole, Portion::Range);
    let if_range = if_range(headers);
    let request = GetRequest { portion, if_range, conditions: conditions(headers), ..file::request_of(route)? };
    let attempt = Attempt::look(format!("/{}/{}", request.bucket, request.key));
    let answered = async {
        let caller = front.at(known, &request.bucket).await?;
        if asked.head.method == Method::HEAD {
            let found = front.store.head(&caller, request).await?;
            return Ok(answer(asked, &found, Body::empty()));
        }
        let served = front.store.get(&caller, request).await?;
        Ok(answer(asked, &served.found, outgoing(served.body)))
    };
    match answered.await {
        Ok(answer) => Ok(answer),
        Err(Error::NotModified { etag, modified, .. }) => {
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            put(answer.headers_mut(), ETAG, &format!("\"{etag}\""));
            put(answer.headers_mut(), LAST_MODIFIED, &dates::header(modified));
            Ok(answer)
        }
        Err(error) => Err(match attempt.refused(error) {
            refusal if refusal.status == 404 => {
                Refusal::new(404, format!("File not found: {}", route.file)).code("ENOENT")
            }
            refusal => refusal,
        }),
    }
}

fn answer(asked: &Asked, found: &Found, body: Body) -> Response {
    let Found { object, range, partial, .. } = found;
    let Range { start, end } = *range;
    let mut answer = Response::new(body);
    if *partial {
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    let headers = answer.headers_mut();
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    put(headers, CONTENT_LENGTH, &(end - start).to_string());
    if *partial && start < end {
        put(headers, CONTENT_RANGE, &format!("bytes {start}-{}/{}", end - 1, object.size));
    }
    put(headers, CONTENT_TYPE, &kind(asked, object));
    confine(headers, STILL);
    put(headers, ETAG, &format!("\"{}\"", object.etag));
    put(headers, LAST_MODIFIED, &dates::header(object.modified));
    let content = &object.content;
    for (name, value) in [
        (CACHE_CONTROL, &content.cache_control),
        (CONTENT_DISPOSITION, &content.disposition),
        (CONTENT_ENCODING, &content.encoding),
        (CONTENT_LANGUAGE, &content.language),
    ] {
        if let Some(value) = value {
            put(headers, name, value);
        }
    }
    answer
}

/// The type that a file is sent as: the one that is stored, as LoopBack writes it where its name says the same.
fn kind(asked: &Asked, object: &Object) -> String {
    let stored = object.content.content_type.as_deref();
    if asked.fuller {
        return stored.unwrap_or(media::UNTYPED).to_owned();
    }
    let by_name = media::of_name(object.key.as_str());
    let says_nothing = |kind: &str| [media::UNTYPED, "binary/octet-stream"].contains(&kind);
    match stored {
        Some(kind) if !says_nothing(kind) && kind != by_name => kind.to_owned(),
        _ => media::with_charset(by_name),
    }
}
