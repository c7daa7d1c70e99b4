//! Rows of users and of their access keys.
//!
//! **Invariant:** a key belongs to a user that exists, and every change moves the generation, so that a key that was
//! removed ends within the second in which caches look at it.

use tokio_postgres::Row;

use super::pool::{Begin, Call, Pool};
use super::rows::{self, get};
use super::statements as sql;
use crate::catalog::{AccessKey, Result};
use crate::model::caller::User;
use crate::model::time::Clock;

fn read_user(row: &Row) -> Result<User> {
    Ok(User {
        name: get(row, 0)?,
        display_name: get(row, 1)?,
        email: get(row, 2)?,
        groups: rows::json(row, 3)?,
        policy: get(row, 4)?,
    })
}

fn read_key(row: &Row) -> Result<AccessKey> {
    Ok(AccessKey {
        access_key: get(row, 0)?,
        user: get(row, 1)?,
        sealed_secret: get(row, 2)?,
        created: rows::timestamp(row, 3)?,
        claims: get(row, 4)?,
    })
}

async fn ask(pool: &Pool, call: Call) -> Result<Vec<Row>> {
    Ok(pool.run(Begin::Read, &[call]).await?.pop().unwrap_or_default())
}

async fn write(pool: &Pool, call: Call) -> Result<()> {
    pool.run(Begin::Write, &[call]).await.map(|_| ())
}

/// A name that a client gives is looked up as it is; one with a NUL is nobody's.
fn holdable(text: &str) -> bool {
    !text.contains('\0')
}

/// Makes or replaces a user.
pub(super) async fn put_user(pool: &Pool, user: User, replace: bool) -> Result<()> {
    let groups = rows::to_json(&user.groups)?;
    let call = Call::new(sql::INSERT_USER).with(user.name).with(user.display_name).with(user.email);
    write(pool, call.with(groups).with(user.policy).with(replace)).await
}

/// One user.
pub(super) async fn user(pool: &Pool, name: &str) -> Result<Option<User>> {
    if !holdable(name) {
        return Ok(None);
    }
    ask(pool, Call::new(sql::USER).with(name.to_owned())).await?.first().map(read_user).transpose()
}

/// Users by name.
pub(super) async fn users(pool: &Pool, after: Option<&str>, limit: usize) -> Result<Vec<User>> {
    let after = super::span::next_without_nul(after.unwrap_or_default().to_owned());
    ask(pool, Call::new(sql::USERS).with(after).with(rows::limit(limit))).await?.iter().map(read_user).collect()
}

/// Removes a user and its keys; its buckets pass to root.
pub(super) async fn delete_user(pool: &Pool, name: &str) -> Result<()> {
    write(pool, Call::new(sql::DELETE_USER).with(name.to_owned()).with(Clock::now().seconds())).await
}

/// Adds an access key.
pub(super) async fn add_key(pool: &Pool, key: AccessKey) -> Result<()> {
    let call = Call::new(sql::INSERT_KEY).with(key.access_key).with(key.user).with(key.sealed_secret);
    write(pool, call.with(key.created.0).with(key.claims)).await
}

/// One access key.
pub(super) async fn key(pool: &Pool, access_key: &str) -> Result<Option<AccessKey>> {
    if !holdable(access_key) {
        return Ok(None);
    }
    ask(pool, Call::new(sql::KEY).with(access_key.to_owned())).await?.first().map(read_key).transpose()
}

/// The access keys of a user.
pub(super) async fn keys(pool: &Pool, user: &str) -> Result<Vec<AccessKey>> {
    ask(pool, Call::new(sql::KEYS).with(user.to_owned())).await?.iter().map(read_key).collect()
}

/// Removes an access key.
pub(super) async fn delete_key(pool: &Pool, access_key: &str) -> Result<()> {
    write(pool, Call::new(sql::DELETE_KEY).with(access_key.to_owned())).await
}
