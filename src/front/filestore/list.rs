//! Directories in batches.
//!
//! **Invariant:** every parameter is read before the store is asked. A batch is never larger than [`ITEM_BATCH_MAX`],
//! whatever is asked for.

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::error::{self, Result};
use super::params::Params;
use super::{Asked, dates, items};
use crate::config::limits::{ITEM_BATCH, ITEM_BATCH_MAX};
use crate::store::{ItemOrder, ItemQuery, ItemRow, ItemSort, ItemType};

const TYPES: [(&str, ItemType); 5] = [
    ("all", ItemType::All),
    ("f", ItemType::Files),
    ("file", ItemType::Files),
    ("d", ItemType::Directories),
    ("directory", ItemType::Directories),
];
const SORTS: [(&str, ItemSort); 6] = [
    ("name", ItemSort::Name),
    ("path", ItemSort::Name),
    ("size", ItemSort::Size),
    ("type", ItemSort::Type),
    ("mtime", ItemSort::Modified),
    ("ctime", ItemSort::Created),
];
const ORDERS: [(&str, ItemOrder); 2] = [("<", ItemOrder::Ascending), (">", ItemOrder::Descending)];

fn told(row: &ItemRow) -> Value {
    let (kind, mime) = match row.directory {
        true => ("d", ""),
        false => ("f", items::mime(row.file.as_deref())),
    };
    json!({
        "name": row.name, "type": kind, "size": row.size, "mime": mime,
        "mtime": dates::shown(row.modified), "ctime": dates::shown(row.created),
    })
}

pub(super) async fn list(asked: &Asked<'_>, params: &mut Params) -> Result<Response> {
    let kind = params.word("type", &TYPES).unwrap_or_default();
    let sort = params.word("sort", &SORTS).unwrap_or_default();
    let order = params.word("order", &ORDERS).unwrap_or_default();
    let size = params.number("size").unwrap_or(ITEM_BATCH);
    let start = params.number("start").unwrap_or(1).max(1);
    if size == 0 {
        params.wrong("size");
    }
    let path = asked.item(params)?;
    let size = size.min(ITEM_BATCH_MAX);
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let query = ItemQuery { kind, sort, order, skip: count(start - 1), size: count(size) };
    let found = asked.store().list_items(&asked.caller, asked.bucket(), &path, query).await?;
    let items: Vec<Value> = found.items.iter().map(told).collect();
    let body = json!({ "items": items, "start": start, "size": size, "total": found.total });
    Ok(error::json(StatusCode::OK, &body))
}
