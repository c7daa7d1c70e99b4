//! The nine routes of the storage API from the side that asks, and what their answers mean.
//!
//! In production such an application says nothing of a failure but that there was one: a 500 stands for what is missing,
//! for what is there already, and for what is broken. So what a 500 leaves open is asked for by another request.
//!
//! **Invariant:** a success is one only if its body says so, in the form of the route; only an answer of the storage API
//! itself says that something is not there, never an address at which there is no such API.

use std::io;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, IF_MATCH};
use http::{HeaderValue, Method, Request, StatusCode};
use serde_json::{Value, json};

use super::array::Elements;
use super::entry::{FileEntry, container};
use super::names::segment;
use super::wire::{DIALECT, Wire, whole};
use crate::config::limits::REMOTE_ANSWER_BYTES_MAX;
use crate::model::time::Timestamp;
use crate::provider::cloud::transport::{Reply, failed, one_line};
use crate::provider::{Error, Result};

/// An answer that is not what it claims to be, or not of a storage API.
pub(super) fn strange(what: &'static str) -> Error {
    Error::Failed(io::Error::other(what))
}

/// Whether the other side is a Longshore.
pub(super) fn is_fuller(reply: &Reply) -> bool {
    reply.header(DIALECT) == "1"
}

/// The body of a small answer.
pub(super) async fn body(mut reply: Reply) -> Result<Bytes> {
    if reply.headers.contains_key(CONTENT_ENCODING) {
        return Err(strange("an answer is encoded, which was not asked for"));
    }
    let mut all = Vec::new();
    while let Some(block) = reply.next().await? {
        if all.len() + block.len() > REMOTE_ANSWER_BYTES_MAX {
            return Err(strange("an answer is larger than any that is expected"));
        }
        all.extend_from_slice(&block);
    }
    Ok(all.into())
}

async fn value(reply: Reply) -> Result<Value> {
    let text = body(reply).await?;
    serde_json::from_slice(&text).map_err(|_| strange("an answer is no JSON"))
}

/// What an answer means that was not hoped for.
pub(super) async fn refusal(reply: Reply) -> Error {
    let status = reply.status;
    let text = body(reply).await.unwrap_or_default();
    let error = serde_json::from_slice::<Value>(&text).map(|mut value| value["error"].take()).unwrap_or_default();
    let message = error["message"].as_str().unwrap_or_default();
    let shown: String = String::from_utf8_lossy(&text).chars().take(300).collect();
    let cause = || io::Error::other(format!("the service answered {} {}", status.as_u16(), one_line(&shown)));
    let known = error.is_object() && !message.contains("no method");
    match (status.as_u16(), error["code"].as_str().unwrap_or_default()) {
        (500, "ENOENT") => Error::NotFound,
        (404 | 410, _) if known => Error::NotFound,
        (_, "ENOSPC" | "EDQUOT") | (507, _) => Error::NoSpace,
        (_, "EROFS") => Error::ReadOnly,
        (401 | 403, _) | (_, "EACCES") => Error::Denied,
        (412 | 416, _) => Error::StampMismatch,
        (408 | 425 | 429 | 502..=504, _) => Error::Unavailable(cause()),
        _ => Error::Failed(cause()),
    }
}

/// The path of a file below a route of its container.
fn path(container: &str, route: &str, file: &str) -> String {
    format!("/{}/{route}/{}", segment(container), segment(file))
}

/// A listing as it comes.
#[derive(Debug)]
pub(super) struct Listing {
    reply: Reply,
    elements: Elements,
    /// It is a page in the order of names, as it was asked for; else all there is, in any order.
    pub(super) paged: bool,
}

impl Listing {
    fn of(reply: Reply) -> Self {
        let paged = is_fuller(&reply);
        Self { reply, elements: Elements::new(), paged }
    }

    /// The next element; `None` at the end of the whole array.
    pub(super) async fn next(&mut self) -> Result<Option<Value>> {
        loop {
            if let Some(element) = self.elements.next() {
                let element = serde_json::from_slice(&element);
                return element.map(Some).map_err(|_| strange("an entry of a listing is no JSON"));
            }
            match self.reply.next().await? {
                Some(block) => self.elements.take(&block).map_err(strange)?,
                None if self.elements.is_whole() => return Ok(None),
                None => {
                    return Err(Error::Unavailable(io::Error::new(io::ErrorKind::UnexpectedEof, "a listing was cut")));
                }
            }
        }
    }
}

/// Which part of a listing is asked for, of a side that can tell it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) prefix: &'a str,
    pub(super) after: Option<&'a str>,
    pub(super) limit: usize,
}

impl Wire {
    fn get(&self, path: &str) -> Result<Request<()>> {
        self.request(Method::GET, path)
    }

    /// All containers.
    pub(super) async fn containers(&self) -> Result<Listing> {
        let reply = self.ask(&self.get("")?).await?;
        if reply.status == StatusCode::OK { Ok(Listing::of(reply)) } else { Err(refusal(reply).await) }
    }

    /// When a container was made, if it is there.
    pub(super) async fn container(&self, name: &str) -> Result<Option<Timestamp>> {
        let reply = self.ask(&self.get(&format!("/{}", segment(name)))?).await?;
        match reply.status {
            // Some providers have nothing to say of one.
            StatusCode::NO_CONTENT => Ok(Some(Timestamp::default())),
            StatusCode::OK => match body(reply).await?.as_ref() {
                b"" => Ok(Some(Timestamp::default())),
                text => {
                    let said = serde_json::from_slice(text).map_err(|_| strange("a container is no JSON"))?;
                    container(&said, name).map(Some).ok_or_else(|| strange("another container was described"))
                }
            },
            _ => match refusal(reply).await {
                Error::NotFound => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Makes a container that is not there. What is there already cannot be told from a failure by the answer.
    pub(super) async fn create(&self, name: &str) -> Result<()> {
        let mut request = self.request(Method::POST, "")?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let text = json!({ "name": name }).to_string();
        let reply = self.send(request.map(|()| whole(text.into())), self.patience()).await?;
        if reply.status.is_success() { Ok(()) } else { Err(refusal(reply).await) }
    }

    /// Removes a container with whatever files are in it.
    pub(super) async fn destroy(&self, name: &str) -> Result<()> {
        let request = self.request(Method::DELETE, &format!("/{}", segment(name)))?;
        let reply = self.send(request.map(|()| whole(Bytes::new())), self.patience()).await?;
        if reply.status.is_success() { Ok(()) } else { Err(refusal(reply).await) }
    }

    /// The files of a container, or a part of them. Of one that is missing there are none.
    pub(super) async fn files(&self, container: &str, part: Part<'_>) -> Result<Listing> {
        let mut path = format!("/{}/files?limit={}&prefix={}", segment(container), part.limit, segment(part.prefix));
        if let Some(after) = part.after {
            path.push_str(&format!("&after={}", segment(after)));
        }
        let reply = self.ask(&self.get(&path)?).await?;
        if reply.status == StatusCode::OK { Ok(Listing::of(reply)) } else { Err(refusal(reply).await) }
    }

    /// What a file is, and whether a Longshore says so.
    pub(super) async fn file(&self, container: &str, name: &str) -> Result<(FileEntry, bool)> {
        let reply = self.ask(&self.get(&path(container, "files", name))?).await?;
        if reply.status != StatusCode::OK {
            return Err(refusal(reply).await);
        }
        let fuller = is_fuller(&reply);
        let entry = FileEntry::read(&value(reply).await?).filter(|entry| entry.name == name);
        Ok((entry.ok_or_else(|| strange("another file was described"))?, fuller))
    }

    /// Removes a file, if it is there, and if it is what was named; only a Longshore judges that.
    pub(super) async fn remove(&self, container: &str, name: &str, etag: Option<&str>) -> Result<()> {
        let mut request = self.request(Method::DELETE, &path(container, "files", name))?;
        if let Some(etag) = etag {
            request.headers_mut().insert(IF_MATCH, quoted(etag)?);
        }
        let error = match self.send(request.map(|()| whole(Bytes::new())), self.patience()).await {
            Ok(reply) if reply.status.is_success() => return Ok(()),
            Ok(reply) => refusal(reply).await,
            Err(error) => error,
        };
        match error {
            Error::NotFound => return Ok(()),
            Error::StampMismatch | Error::Denied => return Err(error),
            _ => {}
        }
        // It may have been gone already, or is gone now and only the answer was lost.
        match self.file(container, name).await {
            Err(Error::NotFound) => Ok(()),
            Ok(_) | Err(_) => Err(error),
        }
    }

    /// Asks for a file's bytes, or for a part of them.
    pub(super) async fn download(
        &self,
        (container, name): (&str, &str),
        part: &[(HeaderName, HeaderValue)],
    ) -> Result<Reply> {
        let mut request = self.get(&path(container, "download", name))?;
        request.headers_mut().extend(part.iter().cloned());
        let reply = self.ask(&request).await?;
        // To a Longshore that is a word about the bytes, which come as they are.
        if reply.headers.contains_key(CONTENT_ENCODING) && !is_fuller(&reply) {
            return Err(strange("a file is encoded, which was not asked for"));
        }
        match reply.status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(reply),
            // Of some providers what is not there comes through as they say it themselves.
            StatusCode::NOT_FOUND => match refusal(reply).await {
                Error::NotFound => Err(Error::NotFound),
                other => Err(self.file(container, name).await.err().unwrap_or(other)),
            },
            _ => Err(refusal(reply).await),
        }
    }

    /// A small file, whole; `None` if it is not there.
    pub(super) async fn small(&self, container: &str, name: &str) -> Result<Option<Bytes>> {
        match self.download((container, name), &[]).await {
            Ok(reply) if reply.status == StatusCode::OK => body(reply).await.map(Some),
            Ok(_) => Err(strange("a part came of what was asked for whole")),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The request of an upload to a container, without its body.
    pub(super) fn uploading(&self, container: &str, content_type: &str) -> Result<Request<()>> {
        let mut request = self.request(Method::POST, &format!("/{}/upload", segment(container)))?;
        let content_type = HeaderValue::try_from(content_type).map_err(|error| failed("a header's value", error))?;
        request.headers_mut().insert(CONTENT_TYPE, content_type);
        Ok(request)
    }
}

/// What the answer to an upload says.
pub(super) async fn uploaded(reply: Reply) -> Result<Value> {
    if reply.status == StatusCode::OK { value(reply).await } else { Err(refusal(reply).await) }
}

/// An `ETag` as conditions name it.
pub(super) fn quoted(etag: &str) -> Result<HeaderValue> {
    HeaderValue::try_from(format!("\"{etag}\"")).map_err(|error| failed("a header's value", error))
}
