//! Files: listed, looked up, removed.
//!
//! **Invariant:** a list shows the keys without a slash, in the order of their bytes; a page that a program asks for is
//! shorter than it asked only at the end.

use axum::response::Response;

use super::error::{Attempt, Refusal, Result};
use super::format::Format;
use super::route::Route;
use super::rows::{self, Rows};
use super::tree::Tree;
use super::who::Known;
use super::{Asked, Loopback, names};
use crate::config::LoopbackAccess;
use crate::config::limits::LIST_KEYS_MAX;
use crate::front::dates;
use crate::front::wire;
use crate::model::caller::Caller;
use crate::model::condition::{Conditions, TagMatch};
use crate::model::name::BucketName;
use crate::model::object::{Entry, Object};
use crate::model::page::PageQuery;
use crate::model::time::Timestamp;
use crate::store::request::{DeleteRequest, GetRequest, Portion};
use crate::store::{Error, Store};

/// As the filesystem provider of LoopBack shows one.
fn shown(container: &BucketName, name: &str, size: u64, modified: Timestamp) -> Tree {
    let modified = Tree::text(dates::json(modified));
    Tree::object([
        ("container", Tree::text(container.as_str())),
        ("name", Tree::text(name)),
        ("size", Tree::Number(size)),
        ("atime", modified.clone()),
        ("mtime", modified.clone()),
        ("ctime", modified),
    ])
}

/// The same for who knows Longshore, with the rest of what is known.
fn shown_fully(container: &BucketName, object: &Object) -> Tree {
    let mut tree = shown(container, object.key.as_str(), object.size, object.modified);
    tree.push("etag", Tree::text(object.etag.as_str()));
    let kind = object.content.content_type.as_deref().unwrap_or(super::media::UNTYPED);
    tree.push("contentType", Tree::text(kind));
    let user = object.content.user.iter().map(|(name, value)| (name.clone(), Tree::text(value.as_str())));
    tree.push("metadata", Tree::Object(user.collect()));
    tree
}

struct Files {
    store: Store,
    caller: Caller,
    container: BucketName,
    prefix: String,
    after: Option<String>,
    /// How many are still wanted.
    left: usize,
    fuller: bool,
    ended: bool,
}

impl Rows for Files {
    async fn next(&mut self) -> std::result::Result<Option<Vec<Tree>>, Error> {
        if self.ended || self.left == 0 {
            return Ok(None);
        }
        let query = PageQuery {
            prefix: self.prefix.clone(),
            delimiter: Some("/".to_owned()),
            after: self.after.take(),
            limit: self.left.min(LIST_KEYS_MAX),
        };
        let page = self.store.list(&self.caller, &self.container, query).await?;
        self.ended = page.next.is_none();
        self.after = page.next;
        let rows: Vec<Tree> = if self.fuller {
            let objects = self.store.facts_of(&self.caller, &self.container, page.entries).await?;
            objects.iter().map(|object| shown_fully(&self.container, object)).collect()
        } else {
            let row = |entry: &Entry| shown(&self.container, entry.key.as_str(), entry.size, entry.modified);
            page.entries.iter().map(row).collect()
        };
        self.left -= rows.len().min(self.left);
        Ok(Some(rows))
    }
}

pub(super) async fn list(
    front: &Loopback,
    asked: &Asked,
    route: &Route,
    known: &Known,
    format: Format,
) -> Result<Response> {
    let container = names::container(&route.container)?;
    let attempt = Attempt::look(format!("/{container}"));
    let given = |name: &str| if asked.fuller { asked.parameter(name).filter(|text| !text.is_empty()) } else { None };
    let left = match given("limit").map(str::parse::<usize>) {
        None => usize::MAX,
        Some(Ok(limit)) => limit.min(LIST_KEYS_MAX),
        Some(Err(_)) => return Err(Refusal::new(400, "limit must be a whole number")),
    };
    let prefix = given("prefix").unwrap_or_default().to_owned();
    let rows = Files {
        store: front.store.clone(),
        caller: front.at(known, &container).await.map_err(|error| attempt.refused(error))?,
        container,
        after: given("after").map(str::to_owned),
        left,
        fuller: asked.fuller,
        // Nothing that is listed begins so.
        ended: prefix.contains('/'),
        prefix,
    };
    rows::send(asked, format, rows, |error| match error {
        // In LoopBack, too, a container that is not there has no files. Where a token is needed, nobody learns that.
        Error::NoSuchBucket | Error::AccessDenied if known.by_token || asked.mount.access != LoopbackAccess::Token => {
            Ok(Vec::new())
        }
        error => Err(attempt.refused(error)),
    })
    .await
}

/// To look at a file, whole and whatever it is.
pub(super) fn request_of(route: &Route) -> Result<GetRequest> {
    Ok(GetRequest {
        bucket: names::container(&route.container)?,
        key: names::file(&route.file)?,
        version: None,
        portion: Portion::Whole,
        conditions: Conditions::default(),
        if_range: None,
        customer_key: None,
    })
}

pub(super) async fn get(front: &Loopback, asked: &Asked, route: &Route, known: &Known) -> Result<Tree> {
    let request = request_of(route)?;
    let container = request.bucket.clone();
    let attempt = Attempt::look(format!("/{container}/{}", request.key));
    let found = async {
        let caller = front.at(known, &container).await?;
        front.store.head(&caller, request).await
    };
    let object = found.await.map_err(|error| attempt.refused(error))?.object;
    if asked.fuller {
        return Ok(shown_fully(&container, &object));
    }
    Ok(shown(&container, object.key.as_str(), object.size, object.modified))
}

pub(super) async fn remove(front: &Loopback, asked: &Asked, route: &Route, known: &Known) -> Result<Tree> {
    let (bucket, key) = (names::container(&route.container)?, names::file(&route.file)?);
    let attempt = Attempt::change("unlink", format!("/{bucket}/{key}"));
    let given = if asked.fuller { wire::conditions(&asked.head.headers) } else { Conditions::default() };
    let conditional = !given.is_empty();
    // Here what is not there cannot be removed.
    let if_match = given.if_match.or(Some(TagMatch::Any));
    let conditions = Conditions { if_match, ..given };
    let look = request_of(route)?;
    let removed = async {
        let caller = front.at(known, &bucket).await?;
        let request = DeleteRequest::current(bucket, key, conditions);
        match front.store.delete(&caller, request).await {
            // What policies hide from a role is not there for it.
            Err(Error::AccessDenied) if front.store.is_judged(&caller) => {
                front.store.head(&caller, look).await.and(Err(Error::AccessDenied))
            }
            other => other,
        }
    };
    removed.await.map_err(|error| match error {
        Error::NoSuchKey if conditional => attempt.refused(Error::PreconditionFailed),
        error => attempt.refused(error),
    })?;
    Ok(Tree::Object(Vec::new()))
}
