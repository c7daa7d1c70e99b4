//! Resumable uploads (TUS 1.0.0): begun, gone on with, asked about, given up.
//!
//! An upload is a multipart upload of the store. What else there is to know of it, its length, when it ends and what it
//! may replace, stands signed in its address, so that any process and any restart goes on with it. What comes is stored
//! in pieces, each durable before the next begins; when a client goes away what came until then is a piece, too.
//!
//! **Invariant:** the offset that is told is the sum of what is stored. Of requests for one upload the latest goes on;
//! the one before it ends where it is.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};

use super::error::{Refusal, Result};
use super::intake::{Source, Taken};
use super::route::Op;
use super::sign::Scope;
use super::{Asked, Supabase, meta, names, upload, wire};
use crate::config::limits::{PART_NUMBER_MAX, PIECE_BYTES};
use crate::model::caller::Caller;
use crate::model::id::UploadId;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::Content;
use crate::model::time::{Clock, Timestamp};
use crate::model::upload::{Part, UploadState};
use crate::store::Error;
use crate::store::request::{CompleteRequest, CreateUpload, Given, Incoming, ListedPart, PutRequest, UploadRef};

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
    let caller = match caller(front, asked).await {
        Ok(caller) => caller,
        // Who nobody knows is told so in JSON.
        Err(refusal) if refusal.code == "AccessDenied" => return Err(refusal),
        Err(refusal) => return Ok(told(asked, refusal)),
    };
    let served = match asked.header("tus-resumable") {
        None => Err(Refusal::invalid("Tus-Resumable Required").meaning(412)),
        Some(VERSION) => match asked.head.method.as_str() {
            "POST" => create(front, asked, &caller, body).await,
            "HEAD" => head(front, asked, &caller).await,
            "PATCH" => patch(front, asked, &caller, body).await,
            _ => terminate(front, asked, &caller).await,
        },
        Some(_) => Err(Refusal::invalid("Tus-Resumable version is not supported").meaning(412)),
    };
    Ok(served.unwrap_or_else(|refusal| told(asked, refusal)))
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
        said.content.content_type = Some(super::row::UNTYPED.to_owned());
        said.content.cache_control = Some(super::row::UNCACHED.to_owned());
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once(' ').unwrap_or((pair, ""));
            let value = base64::engine::general_purpose::STANDARD.decode(value.trim()).ok();
            let value = value.and_then(|value| String::from_utf8(value).ok());
            let value = value.ok_or(Refusal::invalid("Upload-Metadata is malformed"))?;
            match name {
                "bucketName" => said.bucket = value,
                "objectName" => said.key = value,
                "contentType" => said.content.content_type = Some(meta::media_type(&value)?),
                "cacheControl" if value.bytes().all(|b| b.is_ascii_graphic()) => {
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
    let value = value.to_str().ok().and_then(|text| text.parse().ok());
    value.map(Some).ok_or_else(|| Refusal::invalid(format!("{name} is no number")))
}

async fn create(front: &Supabase, asked: &Asked, caller: &Caller, body: Body) -> Result<Response> {
    let said = Said::of(asked)?;
    let (bucket, key) = (front.bucket(&said.bucket).await?, names::new_key(&said.key)?);
    let length = number(asked, "upload-length")?;
    if length.is_none() && asked.header("upload-defer-length") != Some("1") {
        return Err(Refusal::invalid("Upload-Length or Upload-Defer-Length header required"));
    }
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
        let offset = front.take(caller, &ticket, 0, ticket.length, body).await?;
        tell_offset(&mut made, offset, ticket.length);
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
    // Who asks wants to go on: what still waits for another connection ends first.
    let _turn = front.turns.next(ticket.upload.id).await?;
    let mut found = answer(StatusCode::OK);
    put(&mut found, "cache-control", "no-store");
    let offset = front.offset(caller, &ticket).await?;
    match ticket.length {
        Some(length) => put(&mut found, "upload-length", &length.to_string()),
        None => put(&mut found, "upload-defer-length", "1"),
    }
    put(&mut found, "upload-offset", &offset.to_string());
    tell_end(&mut found, &ticket);
    Ok(found)
}

async fn patch(front: &Supabase, asked: &Asked, caller: &Caller, body: Body) -> Result<Response> {
    if asked.header("content-type") != Some(PIECES) {
        return Err(Refusal::media_type("Content-Type must be application/offset+octet-stream"));
    }
    let offset = number(asked, "upload-offset")?.ok_or(Refusal::invalid("Upload-Offset header required"))?;
    let ticket = front.ticket(asked)?;
    let length = match (ticket.length, number(asked, "upload-length")?) {
        (Some(known), Some(said)) if known != said => return Err(Refusal::invalid("Upload-Length cannot be changed")),
        (known, said) => known.or(said),
    };
    if length.is_some_and(|length| length > front.options.file_bytes_max) {
        return Err(Refusal::too_large());
    }
    let offset = front.take(caller, &ticket, offset, length, body).await?;
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
        let body = wire::frames(Body::empty());
        let body =
            Incoming { length: Some(0), frames: body, md5: None, checksum: None, algorithm: None, trailer: None };
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

    /// The parts of an upload; `None`: it is complete.
    async fn parts(&self, caller: &Caller, upload: &UploadRef) -> Result<Option<Vec<Part>>> {
        let (state, parts) = self.store.upload_progress(caller, upload).await?;
        match state {
            UploadState::Open | UploadState::Completing => Ok(Some(parts)),
            UploadState::Done(_) => Ok(None),
            UploadState::Aborted => Err(gone()),
        }
    }

    async fn offset(&self, caller: &Caller, ticket: &Ticket) -> Result<u64> {
        let parts = self.parts(caller, &ticket.upload).await?;
        Ok(parts.map_or(ticket.length.unwrap_or(0), |parts| parts.iter().map(|part| part.size).sum()))
    }

    /// Takes in what comes from an offset on, and completes the upload if that is all. Returns the new offset.
    ///
    /// It goes on in a task of its own: a client that goes away ends its body, and what came until then counts.
    async fn take(
        &self,
        caller: &Caller,
        ticket: &Ticket,
        offset: u64,
        length: Option<u64>,
        body: Body,
    ) -> Result<u64> {
        let (front, caller, ticket) = (self.clone(), caller.clone(), ticket.clone());
        let taking = tokio::spawn(async move { front.take_in(&caller, &ticket, offset, length, body).await });
        taking.await.map_err(|error| Refusal::from(Error::Internal(error.into())))?
    }

    async fn take_in(
        &self,
        caller: &Caller,
        ticket: &Ticket,
        offset: u64,
        length: Option<u64>,
        body: Body,
    ) -> Result<u64> {
        let turn = self.turns.next(ticket.upload.id).await?;
        let conflict = || Refusal::invalid("Upload-Offset conflict").meaning(409);
        let Some(parts) = self.parts(caller, &ticket.upload).await? else { return Err(conflict()) };
        let mut at: u64 = parts.iter().map(|part| part.size).sum();
        if at != offset {
            return Err(conflict());
        }
        let mut next = parts.last().map_or(1, |part| part.number + 1);
        let left = length.unwrap_or(self.options.file_bytes_max).saturating_sub(at);
        let source = Source::new(wire::frames(body), left, turn.ended());
        // Few enough pieces for the longest upload.
        let piece = PIECE_BYTES.max(length.unwrap_or(0) / u64::from(PART_NUMBER_MAX / 2));
        while source.has_more().await {
            if next > PART_NUMBER_MAX {
                return Err(Refusal::too_large());
            }
            let taken: Taken = source.piece(piece);
            let frames = taken.frames;
            let body = Incoming { length: None, frames, md5: None, checksum: None, algorithm: None, trailer: None };
            self.store.upload_part(caller, &ticket.upload, next, None, body).await?;
            at += taken.bytes.load(std::sync::atomic::Ordering::SeqCst);
            next += 1;
        }
        if source.is_over() {
            return Err(Refusal::too_large());
        }
        if Some(at) == length {
            self.complete(caller, ticket).await?;
        }
        Ok(at)
    }

    async fn complete(&self, caller: &Caller, ticket: &Ticket) -> Result<()> {
        let Some(parts) = self.parts(caller, &ticket.upload).await? else { return Ok(()) };
        let listed = parts.into_iter().map(|part| ListedPart { number: part.number, etag: part.etag, checksum: None });
        let request = CompleteRequest {
            upload: ticket.upload.clone(),
            parts: listed.collect(),
            conditions: upload::conditions(ticket.upsert),
            size: ticket.length,
            checksum: None,
            kind: None,
            customer_key: None,
        };
        match self.store.join_upload(caller, request).await {
            Ok(_) => Ok(()),
            Err(error @ (Error::PreconditionFailed | Error::TooLarge { .. } | Error::TypeRefused(_))) => {
                // It can never be completed.
                self.store.give_up_upload(caller, &ticket.upload).await?;
                Err(upload::refused(error))
            }
            Err(error) => Err(upload::refused(error)),
        }
    }
}
