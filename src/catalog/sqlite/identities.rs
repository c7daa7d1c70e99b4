//! Rows of users and of their access keys.
//!
//! **Invariant:** a key belongs to a user that exists, and every change moves the generation, so that a key that was
//! removed ends within the second in which caches look at it.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{buckets, rows, span, statements as sql};
use crate::catalog::{AccessKey, Error, Result};
use crate::model::caller::{ROOT, User};
use crate::model::time::Clock;

fn read_user(row: &Row<'_>) -> rows::Read<User> {
    Ok(User {
        name: row.get(0)?,
        display_name: row.get(1)?,
        email: row.get(2)?,
        groups: rows::json(row, 3)?,
        policy: row.get(4)?,
    })
}

fn read_key(row: &Row<'_>) -> rows::Read<AccessKey> {
    Ok(AccessKey {
        access_key: row.get(0)?,
        user: row.get(1)?,
        sealed_secret: row.get(2)?,
        created: rows::timestamp(row, 3)?,
        claims: row.get(4)?,
    })
}

/// Makes or replaces a user.
pub(super) fn put_user(connection: &Connection, user: &User, replace: bool) -> Result<()> {
    let mut statement = connection.prepare_cached(if replace { sql::PUT_USER } else { sql::INSERT_USER })?;
    let groups = rows::to_json(&user.groups)?;
    if statement.execute(params![user.name, user.display_name, user.email, groups, user.policy])? == 0 {
        return Err(Error::AlreadyExists);
    }
    buckets::next_generation(connection)
}

/// One user.
pub(super) fn user(connection: &Connection, name: &str) -> Result<Option<User>> {
    let mut statement = connection.prepare_cached(sql::USER)?;
    Ok(statement.query_row([name], read_user).optional()?)
}

/// Users by name.
pub(super) fn users(connection: &Connection, after: Option<&str>, limit: usize) -> Result<Vec<User>> {
    let mut statement = connection.prepare_cached(sql::USERS)?;
    let found = statement.query_map(params![after.unwrap_or_default(), span::rows(limit)], read_user)?;
    Ok(found.collect::<rows::Read<_>>()?)
}

/// Removes a user and its keys; its buckets pass to root.
pub(super) fn delete_user(connection: &Connection, name: &str) -> Result<()> {
    if connection.prepare_cached(sql::DELETE_USER)?.execute([name])? == 0 {
        return Err(Error::NotFound);
    }
    connection.prepare_cached(sql::DELETE_USER_KEYS)?.execute([name])?;
    connection.prepare_cached(sql::DELETE_PASSWORD)?.execute([name])?;
    connection.prepare_cached(sql::NOTE_REMOVED_USER)?.execute(params![name, Clock::now().seconds()])?;
    connection.prepare_cached(sql::DISOWN_BUCKETS)?.execute([name, ROOT])?;
    buckets::next_generation(connection)
}

/// Adds an access key.
pub(super) fn add_key(connection: &Connection, key: &AccessKey) -> Result<()> {
    if !connection.prepare_cached(sql::USER)?.exists([&key.user])? {
        return Err(Error::NotFound);
    }
    let mut statement = connection.prepare_cached(sql::INSERT_KEY)?;
    if statement.execute(params![key.access_key, key.user, key.sealed_secret, key.created.0, key.claims])? == 0 {
        return Err(Error::AlreadyExists);
    }
    buckets::next_generation(connection)
}

/// One access key.
pub(super) fn key(connection: &Connection, access_key: &str) -> Result<Option<AccessKey>> {
    let mut statement = connection.prepare_cached(sql::KEY)?;
    Ok(statement.query_row([access_key], read_key).optional()?)
}

/// The access keys of a user.
pub(super) fn keys(connection: &Connection, user: &str) -> Result<Vec<AccessKey>> {
    let mut statement = connection.prepare_cached(sql::KEYS)?;
    let found = statement.query_map([user], read_key)?;
    Ok(found.collect::<rows::Read<_>>()?)
}

/// Removes an access key.
pub(super) fn delete_key(connection: &Connection, access_key: &str) -> Result<()> {
    if connection.prepare_cached(sql::DELETE_KEY)?.execute([access_key])? == 0 {
        return Err(Error::NotFound);
    }
    buckets::next_generation(connection)
}
