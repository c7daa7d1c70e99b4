//! Containers: listed, made, looked up, destroyed.
//!
//! **Invariant:** a container is destroyed with the files that a list of it shows; one that holds anything else stays as
//! it is, with all of them.

use axum::body::Body;
use axum::response::Response;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde_json::Value;

use super::error::{Attempt, Refusal, Result, broken};
use super::format::Format;
use super::route::Route;
use super::rows::{self, Rows};
use super::tree::Tree;
use super::who::Known;
use super::{Asked, Loopback, names};
use crate::config::limits::{DELETES_AT_ONCE, LIST_KEYS_MAX, LOOPBACK_BODY_BYTES_MAX};
use crate::front::dates;
use crate::front::wire::{frames, length, parameters};
use crate::model::bucket::Bucket;
use crate::model::caller::Caller;
use crate::model::condition::Conditions;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::page::PageQuery;
use crate::store::Error;
use crate::store::request::{BucketQuery, CreateBucket, DeleteRequest};

/// As the filesystem provider of LoopBack shows one. A directory's own size says nothing, here as there.
fn shown(bucket: &Bucket) -> Tree {
    let created = Tree::text(dates::json(bucket.created));
    Tree::object([
        ("name", Tree::text(bucket.name.as_str())),
        ("size", Tree::Number(0)),
        ("atime", created.clone()),
        ("mtime", created.clone()),
        ("ctime", created),
    ])
}

struct Containers {
    front: Loopback,
    known: Known,
    after: Option<String>,
    ended: bool,
}

impl Rows for Containers {
    async fn next(&mut self) -> std::result::Result<Option<Vec<Tree>>, Error> {
        if self.ended {
            return Ok(None);
        }
        let query = BucketQuery { after: self.after.take(), limit: LIST_KEYS_MAX, ..BucketQuery::default() };
        let page = self.front.store.list_buckets(&self.known.caller, query).await?;
        self.ended = page.next.is_none();
        self.after = page.next;
        let mut rows = Vec::with_capacity(page.buckets.len());
        for bucket in &page.buckets {
            if self.front.shows(&self.known, bucket).await {
                rows.push(shown(bucket));
            }
        }
        Ok(Some(rows))
    }
}

pub(super) async fn list(front: &Loopback, asked: &Asked, known: &Known, format: Format) -> Result<Response> {
    let rows = Containers { front: front.clone(), known: known.clone(), after: None, ended: false };
    let by_token = known.by_token;
    rows::send(asked, format, rows, |error| match error {
        // Who may list none has none.
        Error::AccessDenied if by_token => Ok(Vec::new()),
        Error::AccessDenied => Err(Refusal::unauthorized()),
        error => Err(Attempt::look("/".to_owned()).refused(error)),
    })
    .await
}

pub(super) async fn get(front: &Loopback, route: &Route, known: &Known) -> Result<Tree> {
    let name = names::container(&route.container)?;
    let attempt = Attempt::look(format!("/{name}"));
    let caller = front.at(known, &name).await.map_err(|error| attempt.refused(error))?;
    let bucket = front.store.head_bucket(&caller, &name).await.map_err(|error| attempt.refused(error))?;
    Ok(shown(&bucket))
}

pub(super) async fn create(front: &Loopback, asked: &Asked, known: &Known, body: Body) -> Result<Tree> {
    let Some(name) = name_of(asked, body).await? else {
        let message = "The \"path\" argument must be of type string. Received undefined";
        return Err(Refusal::new(500, message).named("TypeError").code("ERR_INVALID_ARG_TYPE"));
    };
    let name = names::container(&name)?;
    asked.facts.set_target(name.as_str(), None);
    let attempt = Attempt::change("mkdir", format!("/{name}"));
    let made = async {
        let caller = front.at(known, &name).await?;
        front.store.create_bucket(&caller, &name, CreateBucket::default()).await
    };
    Ok(shown(&made.await.map_err(|error| attempt.refused(error))?))
}

/// The name that a body gives.
async fn name_of(asked: &Asked, body: Body) -> Result<Option<String>> {
    let headers = &asked.head.headers;
    let kind = asked.header(CONTENT_TYPE.as_str()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let (json, form) = (essence == "application/json", essence == "application/x-www-form-urlencoded");
    if !json && !form {
        return Ok(None);
    }
    if let Some(encoding) = asked.header(CONTENT_ENCODING.as_str()).filter(|e| !e.eq_ignore_ascii_case("identity")) {
        let message = format!("unsupported content encoding \"{encoding}\"");
        return Err(Refusal::new(415, message).named("UnsupportedMediaTypeError"));
    }
    let too_large = || Refusal::new(413, "request entity too large").named("PayloadTooLargeError");
    if length(headers).is_some_and(|length| length > LOOPBACK_BODY_BYTES_MAX as u64) {
        return Err(too_large());
    }
    let (mut bytes, mut frames) = (Vec::new(), frames(body));
    while let Some(frame) = frames.next().await {
        bytes.extend_from_slice(&frame.map_err(broken)?);
        if bytes.len() > LOOPBACK_BODY_BYTES_MAX {
            return Err(too_large());
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    if form {
        let mut names = parameters(Some(&text)).filter(|(name, _)| name == "name").map(|(_, value)| value);
        let name = names.next();
        return Ok(if names.next().is_some() { None } else { name });
    }
    if text.trim().is_empty() {
        return Ok(None);
    }
    match serde_json::from_str::<Value>(&text) {
        Ok(Value::Object(members)) => Ok(members.get("name").and_then(Value::as_str).map(str::to_owned)),
        Ok(Value::Null) => Ok(None),
        Ok(_) => Err(Refusal::new(400, "Value is not an object.")),
        Err(error) if error.is_eof() => Err(Refusal::new(400, "Unexpected end of JSON input").named("SyntaxError")),
        Err(_) => Err(Refusal::new(400, "Unexpected token in JSON").named("SyntaxError")),
    }
}

pub(super) async fn destroy(front: &Loopback, route: &Route, known: &Known) -> Result<Tree> {
    let name = names::container(&route.container)?;
    let attempt = Attempt::change("rmdir", format!("/{name}"));
    let gone = async {
        let caller = front.at(known, &name).await?;
        // Asked first, so that nothing is removed from what may not be destroyed.
        match front.store.delete_bucket(&caller, &name).await {
            Err(Error::BucketNotEmpty) => {}
            other => return other,
        }
        if front.store.keeps_versions(&name).await? || front.is_deep(&caller, &name).await? {
            return Err(Error::BucketNotEmpty);
        }
        // What policies keep back, seen or not, keeps all of them.
        front.store.may_empty(&caller, &name).await?;
        front.empty(&caller, &name).await?;
        front.store.delete_bucket(&caller, &name).await
    };
    gone.await.map_err(|error| attempt.refused(error))?;
    Ok(Tree::Object(Vec::new()))
}

impl Loopback {
    /// Whether a container holds what no list of it shows.
    async fn is_deep(&self, caller: &Caller, name: &BucketName) -> std::result::Result<bool, Error> {
        let mut after = None;
        loop {
            let query =
                PageQuery { delimiter: Some("/".to_owned()), after, limit: LIST_KEYS_MAX, ..PageQuery::default() };
            let page = self.store.list(caller, name, query).await?;
            if !page.prefixes.is_empty() {
                return Ok(true);
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(false),
            }
        }
    }

    /// Removes the files of a container.
    async fn empty(&self, caller: &Caller, name: &BucketName) -> std::result::Result<(), Error> {
        let mut after = None;
        loop {
            let query =
                PageQuery { delimiter: Some("/".to_owned()), after, limit: LIST_KEYS_MAX, ..PageQuery::default() };
            let page = self.store.list(caller, name, query).await?;
            let removals = page.entries.into_iter().map(|entry| self.remove(caller, name, entry.key));
            stream::iter(removals).buffer_unordered(DELETES_AT_ONCE).try_collect::<()>().await?;
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn remove(&self, caller: &Caller, bucket: &BucketName, key: ObjectKey) -> std::result::Result<(), Error> {
        let conditions = Conditions::default();
        let request = DeleteRequest::current(bucket.clone(), key, conditions);
        self.store.delete(caller, request).await.map(|_| ())
    }
}
