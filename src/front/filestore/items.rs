//! The functions that make, change, remove and move items.
//!
//! **Invariant:** all parameters are read and checked before anything is done.

use axum::response::Response;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::contents::Contents;
use super::error::{self, Refusal, Result};
use super::input::Input;
use super::params::Params;
use super::route::Function;
use super::{Asked, dates, item_path, meta};
use crate::model::item::{ItemPath, check_name};
use crate::model::object::{Content, Object};
use crate::model::time::Timestamp;
use crate::store::{Item, ItemChange};

/// What kind of item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
}

/// The words for it.
const KINDS: [(&str, Kind); 4] =
    [("f", Kind::File), ("file", Kind::File), ("d", Kind::Directory), ("directory", Kind::Directory)];

/// The type of a file.
pub(super) fn mime(object: Option<&Object>) -> &str {
    object.and_then(|object| object.content.content_type.as_deref()).unwrap_or(meta::UNTYPED)
}

/// An item as it is told.
pub(super) fn told(name: &str, item: &Item, made: Timestamp) -> Value {
    let (created, modified) = item.dates().unwrap_or((made, made));
    let mut told = json!({
        "name": name, "type": "d", "size": 0, "mime": "", "cache": "",
        "mtime": dates::shown(modified), "ctime": dates::shown(created),
    });
    if let Item::File(object) = item {
        told["type"] = "f".into();
        told["size"] = object.size.into();
        told["mime"] = mime(Some(object)).into();
        told["header"] = meta::header_of(&object.content).into();
        told["cache"] = object.content.cache_control.clone().unwrap_or_default().into();
    }
    told
}

pub(super) async fn get(asked: &Asked<'_>, params: &mut Params) -> Result<Response> {
    let path = asked.item(params)?;
    let item = asked.store().item(&asked.caller, asked.bucket(), &path).await?;
    let made = asked.store().service_made(asked.bucket()).await?;
    Ok(error::json(StatusCode::OK, &told(path.name(), &item, made)))
}

/// A name that an item may get: none that stands for a function.
fn new_name(name: &str) -> Result<()> {
    let function = name.strip_prefix('@').is_some_and(|name| Function::parse(name).is_some());
    if function || check_name(name).is_err() {
        return Err(Refusal::invalid("name"));
    }
    Ok(())
}

/// The path of an item that is to be made: its directory and its name, or one path for both.
fn new_path(path: ItemPath, name: Option<String>, filename: Option<String>) -> Result<ItemPath> {
    let path = match name.filter(|name| !name.is_empty()).or(filename) {
        Some(name) => {
            new_name(&name)?;
            path.join(&name).map_err(|_| Refusal::invalid("name"))?
        }
        None => path,
    };
    new_name(path.name())?;
    Ok(path)
}

pub(super) async fn make(asked: &Asked<'_>, mut input: Input) -> Result<Response> {
    let params = &mut input.params;
    let name = params.text("name");
    let kind = params.word("type", &KINDS).unwrap_or(Kind::File);
    let decode = params.boolean("decode");
    let said = meta::Said::of(params)?;
    let path = new_path(asked.item(params)?, name, input.filename)?;
    let contents = input.contents.take();
    let (caller, store, bucket) = (&asked.caller, asked.store(), asked.bucket());
    if kind == Kind::Directory {
        if contents.is_some_and(|contents| !contents.is_empty()) {
            return Err(Refusal::invalid("contents"));
        }
        store.make_directory(caller, bucket, &path).await?;
        return Ok(error::result(true));
    }
    let body = contents.unwrap_or(Contents::Whole(axum::body::Bytes::new(), None)).incoming(decode)?;
    let content = said.typed(input.kind, path.name()).apply(Content::default());
    store.make_file(caller, bucket, &path, content, body).await?;
    Ok(error::result(true))
}

pub(super) async fn set(asked: &Asked<'_>, mut input: Input) -> Result<Response> {
    let params = &mut input.params;
    let decode = params.boolean("decode");
    let mut said = meta::Said::of(params)?;
    let path = asked.item(params)?;
    if input.contents.is_some() && input.kind.as_deref().is_some_and(meta::is_type) {
        said = said.with_type(input.kind);
    }
    let body = input.contents.map(|contents| contents.incoming(decode)).transpose()?;
    let says = said.is_any();
    let change = ItemChange { content: Box::new(move |content| said.apply(content)), says, body };
    match asked.store().set_item(&asked.caller, asked.bucket(), &path, change).await {
        Err(crate::store::ItemError::NotFile) => Err(Refusal::new(422, "not_a_file").naming(vec!["contents".into()])),
        other => Ok(other.map(|()| error::result(true))?),
    }
}

pub(super) async fn write(asked: &Asked<'_>, mut input: Input) -> Result<Response> {
    let decode = input.params.boolean("decode");
    let path = asked.item(&mut input.params)?;
    let contents = input.contents.ok_or_else(|| Refusal::invalid("contents"))?;
    let body = contents.incoming(decode)?;
    let put = asked.head.method == Method::PUT;
    let mime = input.kind.filter(|kind| put && meta::is_type(kind));
    match asked.store().write_item(&asked.caller, asked.bucket(), &path, mime, body).await {
        Err(crate::store::ItemError::NotFile) => Err(Refusal::new(422, "not_a_file").naming(vec!["contents".into()])),
        other => Ok(other.map(|()| error::result(true))?),
    }
}

pub(super) async fn remove(asked: &Asked<'_>, params: &mut Params) -> Result<Response> {
    let recursive = params.boolean("recursive");
    let path = asked.item(params)?;
    let removed = asked.store().remove_item(&asked.caller, asked.bucket(), &path, recursive).await?;
    Ok(error::result(removed))
}

pub(super) async fn rename(asked: &Asked<'_>, params: &mut Params) -> Result<Response> {
    let new = params.needed("newpath");
    let path = asked.item(params)?;
    let to = item_path(&new).map_err(|refusal| refusal.about("newpath"))?;
    // Into this directory, under the same name.
    let to = match new.ends_with('/') {
        true => to.join(path.name()).map_err(|_| Refusal::invalid("newpath"))?,
        false => to,
    };
    if to.is_root() {
        return Err(Refusal::invalid("newpath"));
    }
    new_name(to.name())?;
    asked.store().move_item(&asked.caller, asked.bucket(), &path, &to).await?;
    Ok(error::result(true))
}
