//! Signed addresses: to read an object, or to write one, without a token of one's own.
//!
//! **Invariant:** permission is asked for when an address is signed, for exactly one object and one use; an address
//! carries no role, and counts for no other path.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::error::{self, Refusal, Result};
use super::schema::{Fields, Given};
use super::transform::Transform;
use super::who::listing;
use super::{Asked, Supabase, meta, names, upload};
use crate::front::wire::{decode, length};
use crate::model::caller::{Caller, Who};
use crate::model::condition::Conditions;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::time::Clock;
use crate::store::Error;
use crate::store::request::{GetRequest, Portion};

/// The latest end that clients can read: the milliseconds of it are a whole number for them.
const END_SECONDS_MAX: i64 = 9_007_199_254_740;
/// Most paths of one request.
const PATHS_MAX: usize = 1000;
const UNSIGNED: &str = "Either the object does not exist or you do not have access to it";

/// What an address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// To read.
    Download,
    /// To write.
    Upload,
}

impl Scope {
    fn name(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::Upload => "upload",
        }
    }
}

/// What a signed address says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) owner: Option<String>,
    pub(super) upsert: bool,
    /// What is to be made of an image, and in which format.
    pub(super) transform: String,
    pub(super) format: Option<String>,
    /// When it ends, in seconds since 1970.
    pub(super) ends: Option<i64>,
}

impl Supabase {
    /// The address of a request, whose token must be for its path.
    pub(super) fn address(&self, asked: &Asked, scope: Scope) -> Result<Address> {
        let mut query = Fields::of_query(asked.query());
        let Some(token) = query.text("token") else {
            return Err(Refusal::schema("querystring must have required property 'token'"));
        };
        self.read_address(&token, scope, &asked.route.bucket, &asked.route.key)
    }

    /// What a token says of a path, if it is for it.
    pub(super) fn read_address(&self, token: &str, scope: Scope, bucket: &str, key: &str) -> Result<Address> {
        let claims = self.tokens.address(token).map_err(Refusal::address)?;
        let is_upload = match claims.get("scope").and_then(Value::as_str) {
            Some("upload") => true,
            Some("download") => false,
            Some(_) => return Err(Refusal::signature("Invalid signature")),
            // Older servers told them apart so.
            None => claims.contains_key("upsert"),
        };
        match scope {
            Scope::Download if is_upload => return Err(Refusal::signature("Token is not scoped for download")),
            Scope::Upload if !is_upload => return Err(Refusal::signature("Token is not scoped for upload")),
            Scope::Download | Scope::Upload => {}
        }
        let url = claims.get("url").and_then(Value::as_str).unwrap_or_default();
        let path = format!("{bucket}/{key}");
        // Clients escape an address once more than they should where it holds a question mark.
        if url.is_empty() || (url != path && decode(&path).as_deref() != Some(url)) {
            return Err(Refusal::signature("Invalid signature"));
        }
        let (bucket, key) = url.split_once('/').ok_or(Refusal::signature("Invalid signature"))?;
        Ok(Address {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            owner: claims.get("owner").and_then(Value::as_str).map(str::to_owned),
            upsert: claims.get("upsert").and_then(Value::as_bool).unwrap_or(false),
            transform: claims.get("transformations").and_then(Value::as_str).unwrap_or_default().to_owned(),
            format: claims.get("format").and_then(Value::as_str).map(str::to_owned),
            ends: claims.get("exp").and_then(Value::as_f64).map(|ends| ends as i64),
        })
    }

    fn signed(&self, claims: Value) -> Result<String> {
        let claims = match claims {
            Value::Object(claims) => claims,
            _ => Map::new(),
        };
        self.tokens.sign(&claims).map_err(|_| Refusal::internal())
    }

    /// The address to read an object by.
    fn download(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        seconds: i64,
        transform: &Map<String, Value>,
    ) -> Result<String> {
        let now = Clock::now().seconds();
        let mut claims = json!({
            "url": format!("{bucket}/{key}"),
            "scope": Scope::Download.name(),
            "iat": now,
            "exp": now + seconds,
        });
        if !transform.is_empty() {
            claims["transformations"] = transformations(transform).into();
            if let Some(format) = transform.get("format").and_then(Value::as_str) {
                claims["format"] = format.into();
            }
        }
        let token = self.signed(claims)?;
        let door = if transform.is_empty() { "object" } else { "render/image" };
        Ok(format!("/{door}/sign/{}/{}?token={token}", escaped(bucket.as_str()), escaped(key.as_str())))
    }

    /// Whether the caller may read an object that is there.
    async fn readable(&self, caller: &Caller, bucket: &BucketName, key: &ObjectKey) -> Result<()> {
        let request = GetRequest {
            bucket: bucket.clone(),
            key: key.clone(),
            version: None,
            portion: Portion::Whole,
            conditions: Conditions::default(),
            if_range: None,
            customer_key: None,
        };
        match self.store.head(caller, request).await {
            Ok(_) => Ok(()),
            Err(Error::AccessDenied | Error::NoSuchBucket) => Err(Refusal::no_key()),
            Err(error) => Err(error.into()),
        }
    }
}

/// What of a name would end a path. The rest clients escape.
fn escaped(name: &str) -> String {
    name.replace('%', "%25").replace('?', "%3F").replace('#', "%23")
}

/// A transform as the token of an address has it: `width:100,height:50`.
fn transformations(transform: &Map<String, Value>) -> String {
    let known = ["width", "height", "resize", "quality", "gravity", "x_offset", "y_offset"];
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let set = |name: &&str| transform.get(*name).map(|value| format!("{name}:{}", text(value)));
    known.iter().filter_map(set).collect::<Vec<_>>().join(",")
}

fn seconds(fields: &mut Fields) -> Option<i64> {
    fields.required("expiresIn");
    fields.integer("expiresIn", 1)
}

fn in_time(seconds: i64) -> Result<i64> {
    let ends = Clock::now().seconds().checked_add(seconds).filter(|ends| *ends <= END_SECONDS_MAX);
    ends.map(|_| seconds).ok_or_else(|| Refusal::parameter("expiresIn"))
}

/// To read one object.
pub(super) async fn one(front: &Supabase, asked: &Asked, body: Body) -> Result<Response> {
    let caller = front.caller(asked).await?;
    let mut fields = Fields::of_body(&asked.head.headers, body).await?;
    let seconds = seconds(&mut fields);
    let transform = fields.inner("transform").unwrap_or_default();
    fields.check()?;
    Transform::of(&mut Fields::of_map(transform.clone()))?;
    let seconds = in_time(seconds.unwrap_or(1))?;
    let bucket = front.bucket(&asked.route.bucket).await?;
    let key = names::key(&asked.route.key)?;
    front.readable(&caller, &bucket, &key).await?;
    let url = front.download(&bucket, &key, seconds, &transform)?;
    Ok(error::json(StatusCode::OK, &json!({ "signedURL": url })))
}

/// To read many.
pub(super) async fn many(front: &Supabase, asked: &Asked, body: Body) -> Result<Response> {
    let caller = listing(front.caller(asked).await?, "");
    let mut fields = Fields::of_body(&asked.head.headers, body).await?;
    let seconds = seconds(&mut fields);
    fields.required("paths");
    let paths = match fields.texts("paths") {
        Given::Is(paths) => paths,
        Given::Absent | Given::Null => Vec::new(),
    };
    match paths.len() {
        0 => fields.problem("/paths must NOT have fewer than 1 items"),
        1..=PATHS_MAX => {}
        _ => fields.problem("/paths must NOT have more than 1000 items"),
    }
    fields.check()?;
    let seconds = in_time(seconds.unwrap_or(1))?;
    let bucket = front.bucket(&asked.route.bucket).await?;
    let mut answers = Vec::with_capacity(paths.len());
    for path in paths {
        let unsigned = json!({ "error": UNSIGNED, "path": path, "signedURL": Value::Null });
        let Ok(key) = names::key(&path) else {
            answers.push(unsigned);
            continue;
        };
        answers.push(match front.readable(&caller, &bucket, &key).await {
            Ok(()) => {
                let url = front.download(&bucket, &key, seconds, &Map::new())?;
                json!({ "error": Value::Null, "path": path, "signedURL": url })
            }
            Err(refusal) if refusal.status == 404 => unsigned,
            Err(refusal) => return Err(refusal),
        });
    }
    Ok(error::json(StatusCode::OK, &answers))
}

/// To write one object.
pub(super) async fn upload(front: &Supabase, asked: &Asked) -> Result<Response> {
    let caller = front.caller(asked).await?;
    let bucket = front.bucket(&asked.route.bucket).await?;
    let key = names::new_key(&asked.route.key)?;
    let upsert = asked.upserts();
    let conditions = upload::conditions(upsert);
    // The type of what will be written is known only if it is said; JSON is that of this request.
    let kind = asked.header("content-type").filter(|kind| !kind.starts_with("application/json"));
    let content = match kind {
        Some(_) => Some(meta::of_headers(asked)?),
        None => None,
    };
    // As is its length: that of this request stands for it.
    let length = length(&asked.head.headers);
    match front.store.try_put(&caller, (&bucket, &key), &conditions, content.as_ref(), length).await {
        Ok(()) => {}
        Err(Error::NoSuchBucket) => return Err(Refusal::no_related()),
        Err(error) => return Err(upload::refused(error)),
    }
    let now = Clock::now().seconds();
    let ends = now.saturating_add(i64::try_from(front.options.signed_upload_seconds).unwrap_or(i64::MAX));
    let mut claims = json!({
        "url": format!("{bucket}/{key}"),
        "upsert": upsert,
        "scope": Scope::Upload.name(),
        "iat": now,
        "exp": ends,
    });
    if let Who::Token(token) = &caller.who
        && let Some(subject) = token.subject()
    {
        claims["owner"] = subject.into();
    }
    let token = front.signed(claims)?;
    let url = format!("/object/upload/sign/{}/{}?token={token}", escaped(bucket.as_str()), escaped(key.as_str()));
    Ok(error::json(StatusCode::OK, &json!({ "url": url, "token": token })))
}
