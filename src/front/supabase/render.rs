//! Images in another size or format, made when they are asked for.
//!
//! **Invariant:** what is read is bounded in bytes and in pixels before it is decoded; the work is done on a thread that
//! may block, by few at a time, also where clients leave; who may not read an image learns nothing of it here either, and
//! takes nobody's turn.

use axum::body::Body;
use axum::response::Response;
use futures_util::StreamExt as _;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, EXPIRES, LAST_MODIFIED,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::error::{Refusal, Result};
use super::read::disposition;
use super::route::Op;
use super::schema::Fields;
use super::sign::Scope;
use super::transform::Transform;
use super::who::Known;
use super::{Asked, Supabase, dates, names, row, upload};
use crate::config::limits::{RENDER_BYTES_MAX, RENDER_WAIT_SECONDS_MAX};
use crate::front::turn::turn;
use crate::front::wire::{conditions, put};
use crate::model::condition::{Conditions, Current, ReadVerdict};
use crate::model::object::Object;
use crate::store::Error;
use crate::store::request::{Body as Bytes, GetRequest, Portion};

/// What is to be shown, and to whom.
struct Wanted {
    known: Known,
    bucket: String,
    key: String,
    transform: Transform,
    /// When a signed address ends.
    ends: Option<i64>,
}

async fn wanted(front: &Supabase, asked: &Asked) -> Result<Wanted> {
    let mut query = Fields::of_query(asked.query());
    let (bucket, key) = (asked.route.bucket.clone(), asked.route.key.clone());
    let known = match asked.route.op {
        Op::RenderPublic => Known { caller: asked.nobody(), verified: false },
        Op::RenderSigned => {
            let address = front.address(asked, Scope::Download)?;
            let known = Known { caller: upload::service_for(asked, None), verified: true };
            let transform = Transform::of_text(&address.transform, address.format.as_deref())?;
            let ends = address.ends;
            return Ok(Wanted { known, bucket: address.bucket, key: address.key, transform, ends });
        }
        _ => Known { caller: front.caller(asked).await?, verified: true },
    };
    Ok(Wanted { known, bucket, key, transform: Transform::of(&mut query)?, ends: None })
}

/// Serves an image.
pub(super) async fn serve(front: &Supabase, asked: &Asked) -> Result<Response> {
    let Wanted { known, bucket, key, transform, ends } = wanted(front, asked).await?;
    let bucket = front.bucket(&bucket).await?;
    front.let_in(&known, &bucket).await?;
    let whole = GetRequest {
        bucket: bucket.clone(),
        key: names::key(&key)?,
        version: None,
        portion: Portion::Whole,
        conditions: Conditions::default(),
        if_range: None,
        customer_key: None,
    };
    let served = match front.store.get(&known.caller, whole).await {
        Ok(served) => served,
        Err(error) => return Err(front.unread(&known, &bucket, error).await),
    };
    let object = served.found.object;
    let etag = variant(&object, transform);
    let current = Current { etag: &etag, modified: object.modified, size: object.size };
    let mut answer = Response::new(Body::empty());
    match conditions(&asked.head.headers).read(current) {
        ReadVerdict::Proceed => {
            let made = made(front, served.body, &object, transform).await?;
            let headers = answer.headers_mut();
            put(headers, CONTENT_TYPE, made.1);
            put(headers, CONTENT_LENGTH, &made.0.len().to_string());
            if let Some(name) = Fields::of_query(asked.query()).text("download") {
                put(headers, CONTENT_DISPOSITION, &disposition(&name));
            }
            if asked.head.method != Method::HEAD {
                *answer.body_mut() = Body::from(made.0);
            }
        }
        ReadVerdict::NotModified => *answer.status_mut() = StatusCode::NOT_MODIFIED,
        ReadVerdict::Failed => return Err(Error::PreconditionFailed.into()),
    }
    let headers = answer.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    put(headers, ETAG, &format!("\"{etag}\""));
    let said = transform.to_string();
    if !said.is_empty() {
        put(headers, HeaderName::from_static("x-transformations"), &said);
    }
    put(headers, LAST_MODIFIED, &dates::header(object.modified));
    match ends.and_then(dates::of_seconds) {
        Some(ends) => put(headers, EXPIRES, &ends),
        None => put(headers, CACHE_CONTROL, row::cache_control(&object)),
    }
    Ok(answer)
}

/// The ETag of what is made of an object.
fn variant(object: &Object, transform: Transform) -> String {
    format!("{}-{}", object.etag, transform.mark())
}

/// Reads an image and makes what is asked for of it, when it is its turn.
async fn made(front: &Supabase, body: Bytes, object: &Object, transform: Transform) -> Result<(Vec<u8>, &'static str)> {
    if object.size > RENDER_BYTES_MAX {
        return Err(Refusal::too_large());
    }
    let turn = turn(&front.renders, RENDER_WAIT_SECONDS_MAX).await;
    let turn = turn.ok_or_else(|| Refusal::busy("Too many images are being transformed"))?;
    let mut bytes = Vec::new();
    match body {
        Bytes::Whole(whole) => bytes.extend_from_slice(&whole),
        Bytes::Blocks(mut blocks) => {
            while let Some(block) = blocks.next().await {
                bytes.extend_from_slice(&block.map_err(Error::from)?);
            }
        }
    }
    let work = tokio::task::spawn_blocking(move || {
        // Nothing cuts this short, so the turn lasts as long.
        let _turn = turn;
        transform.make(&bytes)
    });
    let made = work.await.map_err(|error| Refusal::from(Error::from(error)))?;
    made.map_err(|error| {
        tracing::debug!(%error, "an image is not made");
        Refusal::invalid("The source image is invalid or unsupported for rendering")
    })
}
