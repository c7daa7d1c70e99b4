//! Resumable uploads (TUS 1.0.0): begun, gone on with, asked about, given up.
//!
//! An upload is a multipart upload of the store. What else there is to know of it, its length, when it ends and what it
//! may replace, stands signed in its address, so that any process and any restart goes on with it. A length that is
//! said only later stands in the row of the upload. What is stored of it, and its end, are in [`stored`].
//!
//! **Invariant:** the offset that is told is the sum of what is stored. Of requests for one upload the latest goes on;
//! the one before it ends where it is.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};

use super::error::{Refusal, Result};
use super::route::Op;
use super::sign::Scope;
use super::{Asked, BASE, Supabase, meta, names, row, upload, wire};
use crate::model::caller::Caller;
use crate::model::id::UploadId;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::Content;
use crate::model::time::{Clock, Timestamp};
use crate::store::request::{CreateUpload, Given, Incoming, PutRequest, UploadRef};

mod stored;

use stored::Brought;

const VERSION: &str = "1.0.0";
const EXTENSIONS: &str = "creation,creation-with-upload,creation-defer-length,termination,expiration";
const PIECES: &str = "application/offset+octet-stream";
/// What the token of an upload's address is for.
const SCOPE: &str = "resumable";

/// An upload as its address tells of it.
#[derive(Debug, Clone)]
struct Ticket {
    upload: UploadRef,
    /// Bytes of the whole; `None`: not said yet.
    length: Option<u64>,
    upsert: bool,
    /// When it ends, in seconds since 1970.
    ends: i64,
}

/// Serves a request; refusals are plain text under the status that is meant.
pub(super) async fn serve(front: &Supabase, asked: &Asked, body: Body) -> Result<Response> {
    if asked.head.method == Method::OPTIONS {
        return Ok(options(front));
    }
    let method = method(asked)?;
    let served = match caller(front, asked).await {
        Ok(caller) => act(front, asked, method, &caller, body).await,
        // Who nobody knows is told so in JSON.
        Err(refusal) if refusal.code == "AccessDenied" => return Err(refusal),
        Err(refusal) => Err(refusal),
    };
    let mut answer = served.unwrap_or_else(|refusal| told(asked, refusal));
    if method == "HEAD" {
        put(&mut answer, "cache-control", "no-store");
    }
    Ok(answer)
}

/// What is asked for. Whoever cannot send a method says in a header which one is meant.
fn method(asked: &Asked) -> Result<&str> {
    match (asked.head.method.as_str(), asked.header("x-http-method-override")) {
        ("POST", _) if asked.route.key.is_empty() => Ok("POST"),
        ("POST", Some(meant @ ("HEAD" | "PATCH" | "DELETE"))) => Ok(meant),
        ("POST", _) => {
            let path = asked.head.uri.path();
            Err(Refusal::no_route("POST", path.strip_prefix(BASE).unwrap_or(path)))
        }
        (method, _) => Ok(method),
    }
}

async fn act(front: &Supabase, asked: &Asked, method: &str, caller: &Caller, body: Body) -> Result<Response> {
    match asked.header("tus-resumable") {
        None => Err(Refusal::invalid("Tus-Resumable Required").meaning(412)),
        Some(VERSION) => match method {
            "POST" => create(front, asked, caller, body).await,
            "HEAD" => head(front, asked, caller).await,
            "PATCH" => patch(front, asked, caller, body).await,
            _ => terminate(front, asked, caller).await,
        },
        Some(_) => Err(Refusal::invalid("Tus-Resumable version is not supported").meaning(412)),
    }
}

/// Who asks: by a token, or by a signed address in a header.
async fn caller(front: &Supabase, asked: &Asked) -> Result<Caller> {
    if asked.route.op != Op::ResumeSigned {
        if !asked.head.headers.contains_key(header::AUTHORIZATION) {
            return Err(crate::auth::jwt::TokenError::Malformed.into());
        }
        return front.caller(asked).await;
    }
    let token = asked.header("x-signature").ok_or(Refusal::invalid("Missing x-signature header"))?;
    let (bucket, key) = match front.ticket(asked) {
        Ok(ticket) => (ticket.upload.bucket.to_string(), ticket.upload.key.to_string()),
        Err(refusal) if !asked.route.key.is_empty() => return Err(refusal),
        Err(_) => {
            let said = Said::of(asked)?;
            (said.bucket, said.key)
        }
    };
    let address = front.read_address(token, Scope::Upload, &bucket, &key)?;
    Ok(upload::service_for(asked, address.owner.as_deref()))
}

fn answer(status: StatusCode) -> Response {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer.headers_mut().insert("tus-resumable", HeaderValue::from_static(VERSION));
    answer
}

fn told(asked: &Asked, refusal: Refusal) -> Response {
    refusal.log(&asked.facts);
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = answer(status);
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain;charset=UTF-8"));
    if status == StatusCode::PRECONDITION_FAILED {
        put(&mut answer, "tus-version", VERSION);
    }
    let text = if refusal.code == "EntityTooLarge" { "Maximum size exceeded" } else { &refusal.message };
    *answer.body_mut() = Body::from(text.to_owned());
    answer
}

fn put(answer: &mut Response, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

fn options(front: &Supabase) -> Response {
    let mut answer = answer(StatusCode::NO_CONTENT);
    put(&mut answer, "tus-version", VERSION);
    put(&mut answer, "tus-extension", EXTENSIONS);
    put(&mut answer, "tus-max-size", &front.options.file_bytes_max.to_string());
    answer
}

/// What the head of a creation says.
struct Said {
    bucket: String,
    key: String,
    content: Content,
}

impl Said {
    fn of(asked: &Asked) -> Result<Self> {
        use base64::Engine as _;
        let text = asked.header("upload-metadata").ok_or(Refusal::invalid("Metadata header is required"))?;
        let mut said = Self { bucket: String::new(), key: String::new(), content: Content::default() };
        said.content.content_type = Some(row::UNTYPED.to_owned());
        said.content.cache_control = Some(row::UNCACHED.to_owned());
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once(' ').unwrap_or((pair, ""));
            let value = base64::engine::general_purpose::STANDARD.decode(value.trim()).ok();
            let value = value.and_then(|value| String::from_utf8(value).ok());
            let value = value.ok_or(Refusal::invalid("Upload-Metadata is malformed"))?;
            match name {
                "bucketName" => said.bucket = value,
                "objectName" => said.key = value,
                "contentType" if !value.is_empty() => said.content.content_type = Some(meta::media_type(&value)?),
                "cacheControl" if meta::is_seconds(&value) => {
                    said.content.cache_control = Some(format!("max-age={value}"));
                }
                "metadata" => {
                    if let Some(document) = meta::document(&value)? {
                        meta::describe(&mut said.content, document);
                    }
                }
                _ => {}
            }
        }
        Ok(said)
    }
}

fn number(asked: &Asked, name: &str) -> Result<Option<u64>> {
    let Some(value) = asked.head.headers.get(name) else { return Ok(None) };
    let digits = |text: &&str| text.bytes().all(|b| b.is_ascii_digit());
    let value = value.to_str().ok().filter(digits).and_then(|text| text.parse().ok());
    value.map(Some).ok_or_else(|| Refusal::invalid(format!("{name} is no number")))
}

/// How long an upload becomes that is begun; `None`: that is said later.
fn whole_length(asked: &Asked) -> Result<Option<u64>> {
    let length = number(asked, "upload-length")?;
    match (length, asked.head.headers.get("upload-defer-length")) {
        (Some(_), None) => Ok(length),
        (None, Some(later)) if later == "1" => Ok(None),
        (_, Some(later)) if later != "1" => Err(Refusal::invalid("Invalid Upload-Defer-Length")),
        _ => Err(Refusal::invalid("Upload-Length or Upload-Defer-Length header required")),
    }
}

async fn create(front: &Supabase, asked: &Asked, caller: &Caller, body: Body) -> Result<Response> {
    let said = Said::of(asked)?;
    let (bucket, key) = (front.bucket(&said.bucket).await?, names::new_key(&said.key)?);
    let length = whole_length(asked)?;
    if length.is_some_and(|length| length > front.options.file_bytes_max) {
        return Err(Refusal::too_large());
    }
    let upsert = match asked.route.op {
        Op::ResumeSigned => {
            let token = asked.header("x-signature").unwrap_or_default();
            front.read_address(token, Scope::Upload, &said.bucket, &said.key)?.upsert
        }
        _ => asked.upserts(),
    };
    let conditions = upload::conditions(upsert);
    let target = (&bucket, &key);
    front.store.try_put(caller, target, &conditions, Some(&said.content), length).await.map_err(upload::refused)?;
    if length == Some(0) {
        return front.create_empty(asked, caller, (bucket, key), said.content, upsert).await;
    }
    let lives = i64::try_from(front.options.upload_seconds).unwrap_or(i64::MAX);
    let ends = Clock::now().seconds().saturating_add(lives);
    let given =
        Given { keeps_created: upsert, ends: Some(Timestamp(ends.saturating_mul(1_000_000_000))), ..Given::default() };
    let (content, checksum) = (said.content, None);
    let conditions = conditions.clone();
    let request =
        CreateUpload { conditions, length, bucket: bucket.clone(), key: key.clone(), content, given, checksum };
    let begun = front.store.create_upload(caller, request).await?;
    let ticket = Ticket { upload: UploadRef { bucket, key, id: begun.id }, length, upsert, ends };
    let mut made = answer(StatusCode::CREATED);
    put(&mut made, "location", &front.location(asked, &ticket)?);
    tell_end(&mut made, &ticket);
    if asked.header("content-type") == Some(PIECES) {
        let brought = Brought { offset: 0, length, bytes: wire::length(&asked.head.headers), body };
        let (offset, length) = front.take(caller, &ticket, brought).await?;
        tell_offset(&mut made, offset, length);
    }
    Ok(made)
}

fn tell_end(answer: &mut Response, ticket: &Ticket) {
    if let Some(ends) = super::dates::of_seconds(ticket.ends) {
        put(answer, "upload-expires", &ends);
    }
}

fn tell_offset(answer: &mut Response, offset: u64, length: Option<u64>) {
    put(answer, "upload-offset", &offset.to_string());
    if Some(offset) == length {
        put(answer, "tus-complete", "1");
    }
}

async fn head(front: &Supabase, asked: &Asked, caller: &Caller) -> Result<Response> {
    let ticket = front.ticket(asked)?;
    let progress = front.settled(caller, &ticket).await.map_err(for_now)?;
    let mut found = answer(StatusCode::OK);
    match progress.length {
        Some(length) => put(&mut found, "upload-length", &length.to_string()),
        None => put(&mut found, "upload-defer-length", "1"),
    }
    put(&mut found, "upload-offset", &progress.offset().to_string());
    tell_end(&mut found, &ticket);
    Ok(found)
}

/// A refusal of HEAD. What will pass is told as an upload that others have for now: at that clients ask again, and at
/// anything else tus-js-client and Uppy send the whole as a new upload.
fn for_now(refusal: Refusal) -> Refusal {
    match refusal.status {
        503 | 507 => refusal.meaning(423),
        _ => refusal,
    }
}

async fn patch(front: &Supabase, asked: &Asked, caller: &Caller, body: Body) -> Result<Response> {
    if asked.header("content-type") != Some(PIECES) {
        return Err(Refusal::media_type("Content-Type must be application/offset+octet-stream"));
    }
    let offset = number(asked, "upload-offset")?.ok_or(Refusal::invalid("Upload-Offset header required"))?;
    let ticket = front.ticket(asked)?;
    let (length, bytes) = (number(asked, "upload-length")?, wire::length(&asked.head.headers));
    let (offset, length) = front.take(caller, &ticket, Brought { offset, length, bytes, body }).await?;
    let mut taken = answer(StatusCode::NO_CONTENT);
    tell_offset(&mut taken, offset, length);
    tell_end(&mut taken, &ticket);
    Ok(taken)
}

async fn terminate(front: &Supabase, asked: &Asked, caller: &Caller) -> Result<Response> {
    let ticket = front.ticket(asked)?;
    let _turn = front.turns.next(ticket.upload.id).await?;
    front.store.give_up_upload(caller, &ticket.upload).await?;
    Ok(answer(StatusCode::NO_CONTENT))
}

fn gone() -> Refusal {
    Refusal::new(404, "NoSuchUpload", "Upload not found", "NoSuchUpload")
}

impl Supabase {
    /// The address of an upload: what is known of it, signed.
    fn location(&self, asked: &Asked, ticket: &Ticket) -> Result<String> {
        let UploadRef { bucket, key, id } = &ticket.upload;
        let claims = json!({
            "url": format!("{bucket}/{key}"),
            "scope": SCOPE,
            "upload": id.to_string(),
            "length": ticket.length,
            "upsert": ticket.upsert,
            "exp": ticket.ends,
        });
        let Value::Object(claims) = claims else { return Err(Refusal::internal()) };
        let token = self.tokens.sign(&claims).map_err(|_| Refusal::internal())?;
        Ok(format!("{}/{token}", asked.head.uri.path().trim_end_matches('/')))
    }

    /// What the address of a request says.
    fn ticket(&self, asked: &Asked) -> Result<Ticket> {
        let claims = self.tokens.address(&asked.route.key).map_err(|_| gone())?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let (bucket, key) = text("url").and_then(|url| url.split_once('/')).ok_or_else(gone)?;
        let id = text("upload").and_then(UploadId::parse).filter(|_| text("scope") == Some(SCOPE)).ok_or_else(gone)?;
        let bucket = BucketName::new(bucket).map_err(|_| gone())?;
        let key = ObjectKey::new(key).map_err(|_| gone())?;
        Ok(Ticket {
            upload: UploadRef { bucket, key, id },
            length: claims.get("length").and_then(Value::as_u64),
            upsert: claims.get("upsert").and_then(Value::as_bool).unwrap_or(false),
            ends: claims.get("exp").and_then(Value::as_i64).ok_or_else(gone)?,
        })
    }

    async fn create_empty(
        &self,
        asked: &Asked,
        caller: &Caller,
        (bucket, key): (BucketName, ObjectKey),
        content: Content,
        upsert: bool,
    ) -> Result<Response> {
        let body = Incoming::new(wire::frames(Body::empty()), Some(0));
        let conditions = upload::conditions(upsert);
        let named = UploadRef { bucket: bucket.clone(), key: key.clone(), id: UploadId::fresh() };
        let request = PutRequest {
            bucket,
            key,
            content,
            given: Given { keeps_created: upsert, ..Given::default() },
            conditions,
            body,
        };
        self.store.put(caller, request).await.map_err(upload::refused)?;
        let ticket = Ticket { upload: named, length: Some(0), upsert, ends: Clock::now().seconds() };
        let mut made = answer(StatusCode::CREATED);
        put(&mut made, "location", &self.location(asked, &ticket)?);
        tell_offset(&mut made, 0, Some(0));
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_as_locked() {
        let told = |status| for_now(Refusal::internal().meaning(status)).status;
        assert_eq!([503, 507].map(told), [423, 423]);
        assert_eq!([404, 409, 413, 423, 500].map(told), [404, 409, 413, 423, 500]);
    }
}
