//! Permissions and owners.
//!
//! **Invariant:** a change is read whole before any of it is asked for: where one entry is wrong nothing is changed. A
//! group whose name begins with `sys:` is one that the system knows. Who may do it is the store's to decide.

use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::Asked;
use super::error::{self, Refusal, Result};
use super::params::{Params, texts_of};
use crate::model::service::{AUTHENTICATED, EVERYONE, GROUP_BYTES_MAX, Grant, GrantChange, NOBODY, OWNER, Permission};

/// Most entries of one change, and most groups of one entry.
const ENTRIES_MAX: usize = 256;

pub(super) async fn allowed(asked: &Asked<'_>, params: &mut Params) -> Result<Response> {
    let one = params.texts("permission", true);
    let several = params.texts("permissions", true);
    let path = asked.item(params)?;
    let mut names = one.unwrap_or_default();
    names.extend(several.unwrap_or_default());
    let unknown: Vec<String> = names.iter().filter(|name| Permission::parse(name).is_none()).cloned().collect();
    if !unknown.is_empty() {
        return Err(Refusal::new(422, "unknown_permission").naming(unknown));
    }
    let mut permissions: Vec<Permission> = names.iter().filter_map(|name| Permission::parse(name)).collect();
    if permissions.is_empty() {
        permissions = Permission::ALL.to_vec();
    }
    permissions.sort_unstable();
    permissions.dedup();
    let answers = asked.store().may_do(&asked.caller, asked.bucket(), &path, &permissions).await?;
    let mut told = Map::from_iter([("result".to_owned(), Value::Bool(answers.iter().all(|yes| *yes)))]);
    told.extend(permissions.iter().zip(answers).map(|(permission, yes)| (permission.name().to_owned(), yes.into())));
    Ok(error::json(StatusCode::OK, &Value::Object(told)))
}

pub(super) async fn permissions(asked: &Asked<'_>, params: &mut Params) -> Result<Response> {
    let path = asked.item(params)?;
    let found = asked.store().permissions(&asked.caller, asked.bucket(), &path).await?;
    let told =
        |(permission, groups): &(Permission, Vec<String>)| json!({ "permission": permission.name(), "groups": groups });
    Ok(error::json(StatusCode::OK, &found.iter().map(told).collect()))
}

/// The changes that are asked for: one, or a list of them.
fn changes(params: &mut Params) -> Result<Vec<Grant>> {
    let given = match params.take("permissions") {
        Some(Value::Array(list)) if !list.is_empty() && list.len() <= ENTRIES_MAX => list,
        Some(one @ Value::Object(_)) => vec![one],
        // A form has no objects.
        Some(Value::String(text)) => match serde_json::from_str(&text) {
            Ok(Value::Array(list)) if !list.is_empty() && list.len() <= ENTRIES_MAX => list,
            Ok(one @ Value::Object(_)) => vec![one],
            _ => return Err(Refusal::invalid("permissions")),
        },
        _ => return Err(Refusal::invalid("permissions")),
    };
    given.into_iter().map(change).collect()
}

fn change(entry: Value) -> Result<Grant> {
    let Value::Object(mut entry) = entry else { return Err(Refusal::invalid("permissions")) };
    let name = match entry.remove("permission") {
        Some(Value::String(name)) if !name.is_empty() => name,
        _ => return Err(Refusal::invalid("permission")),
    };
    let Some(permission) = Permission::parse(&name) else {
        return Err(Refusal::new(422, "unknown_permission").naming(vec![name]));
    };
    let change = match entry.remove("action").filter(|action| !action.is_null()) {
        None => GrantChange::Add,
        Some(action) => match action.as_str() {
            Some("add" | "allow") => GrantChange::Add,
            Some("replace") => GrantChange::Replace,
            Some("revoke") => GrantChange::Revoke,
            _ => return Err(Refusal::invalid("action")),
        },
    };
    let named = |value: &Value| !value.is_null();
    let groups = entry.remove("groups").filter(named).or_else(|| entry.remove("group").filter(named));
    let groups = groups.and_then(|groups| texts_of(groups, false)).ok_or_else(|| Refusal::invalid("groups"))?;
    let enough = !groups.is_empty() || change == GrantChange::Replace;
    if !enough || groups.len() > ENTRIES_MAX || !groups.iter().all(|group| is_group(group)) {
        return Err(Refusal::invalid("groups"));
    }
    Ok(Grant { permission, groups, change })
}

/// Whether a text is the name of a group: those of the system are few.
fn is_group(name: &str) -> bool {
    let known = [EVERYONE, AUTHENTICATED, OWNER, NOBODY].contains(&name) || !name.starts_with("sys:");
    known && !name.is_empty() && name.len() <= GROUP_BYTES_MAX && !name.chars().any(char::is_control)
}

pub(super) async fn set_permissions(asked: &Asked<'_>, params: &mut Params) -> Result<Response> {
    let changes = changes(params)?;
    let path = asked.item(params)?;
    asked.store().set_permissions(&asked.caller, asked.bucket(), &path, changes).await?;
    Ok(error::result(true))
}

pub(super) async fn owner(asked: &Asked<'_>, params: &mut Params) -> Result<Response> {
    let path = asked.item(params)?;
    let owner = asked.store().item_owner(&asked.caller, asked.bucket(), &path).await?.unwrap_or_default();
    let shown = format!("/{path}");
    let body = json!({ "items": [{ "path": shown, "owner": owner }], "owner": owner });
    Ok(error::json(StatusCode::OK, &body))
}

pub(super) async fn set_owner(asked: &Asked<'_>, params: &mut Params) -> Result<Response> {
    let owner = match params.text("owner").filter(|owner| !owner.is_empty()).or_else(|| params.text("newOwner")) {
        Some(owner) if !owner.is_empty() && owner.len() <= GROUP_BYTES_MAX => owner,
        _ => return Err(Refusal::invalid("owner")),
    };
    let path = asked.item(params)?;
    asked.store().set_item_owner(&asked.caller, asked.bucket(), &path, &owner).await?;
    Ok(error::result(true))
}
