//! The schema, as numbered steps that only go forward, each in a transaction of its own.
//!
//! The first steps make what a database of Supabase has already, and leave it alone where it is there. Everything of
//! Longshore's own is in the schema `longshore`, but for the role that it acts under. Which tables are there is found out by
//! their columns and not by a list of what was done to them: that differs from release to release.
//!
//! **Invariant:** a step that was released never changes. Several processes may start at once: they take turns, and each
//! looks again what is missing once it is its turn. Only steps need a login that may do more than act as
//! `longshore_service`.

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Row, Transaction};

use super::connect::Address;
use super::failure::Fault;
use crate::catalog::{Error, Result};
use crate::model::id::CatalogId;

/// A step: a name for people, and what it does where it is not done.
struct Migration {
    name: &'static str,
    text: &'static str,
    /// What it does instead where the tables of Supabase are there already; `None`: the same.
    there: Option<&'static str>,
}

/// What tells that the tables of Supabase are there.
const OF_SUPABASE: &str = "storage.objects";
/// The roles that they need.
const ROLES: [&str; 3] = ["anon", "authenticated", "service_role"];

const ROLES_THERE: &str = include_str!("schema/roles-there.sql");
const MIGRATIONS: &[Migration] = &[
    Migration { name: "roles", text: include_str!("schema/roles.sql"), there: Some(ROLES_THERE) },
    Migration { name: "storage", text: include_str!("schema/storage.sql"), there: Some("") },
    Migration { name: "longshore", text: include_str!("schema/longshore.sql"), there: None },
    Migration { name: "shared", text: include_str!("schema/shared.sql"), there: None },
    Migration { name: "gateways", text: include_str!("schema/gateways.sql"), there: None },
    Migration { name: "key_claims", text: include_str!("schema/key_claims.sql"), there: None },
    Migration { name: "credentials", text: include_str!("schema/credentials.sql"), there: None },
];

/// Number, name and hash of what a database of Supabase has been through that looks like `storage.sql`: without them its
/// own server would begin anew.
const LEVELS: &str = include_str!("schema/levels.tsv");

/// What the tables of Supabase must have where they are there already. What else they may lack, `lacks` knows.
const COLUMNS: &[(&str, &[&str])] = &[
    (
        "buckets",
        &["id", "name", "owner", "public", "created_at", "updated_at", "file_size_limit", "allowed_mime_types"],
    ),
    ("objects", &["bucket_id", "name", "version", "owner", "metadata"]),
];

/// Processes that find steps missing take turns. Nothing else waits for it.
const TURN: &str = "SELECT pg_advisory_xact_lock(5569076217063131987)";
const BEGINNING: &str = "CREATE SCHEMA IF NOT EXISTS longshore; \
    CREATE TABLE IF NOT EXISTS longshore.migrations \
        (number integer PRIMARY KEY, name text NOT NULL, at timestamptz NOT NULL DEFAULT now())";

fn known() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

/// Brings the schema up to date, if it is not and the login may, and returns the catalog's id, which a new one gets here.
/// Who only `looks` is refused instead.
pub(super) async fn open(address: &Address, looks: bool) -> Result<CatalogId> {
    let mut client = address.connect().await?;
    let refused = match id(&mut client).await? {
        Ready::Yes(id) => return Ok(id),
        Ready::No if looks => return Err(Fault::Older.into()),
        Ready::NoService(error) if looks => return Err(Fault::NoService(error).into()),
        Ready::No => None,
        Ready::NoService(error) => Some(error),
    };
    let migrated = migrate(&mut client).await;
    if let (Some(error), Err(_)) = (refused, &migrated) {
        return Err(Fault::NoService(error).into());
    }
    migrated?;
    match id(&mut client).await? {
        Ready::Yes(id) => Ok(id),
        Ready::NoService(error) => Err(Fault::NoService(error).into()),
        Ready::No => Err(Fault::Malformed("the list of migrations").into()),
    }
}

/// Whether the catalog can be used as it is.
enum Ready {
    Yes(CatalogId),
    /// Its schema is missing or old.
    No,
    /// The login may not act as the catalog does.
    NoService(tokio_postgres::Error),
}

/// Acts as the catalog does, so that what is missing shows now.
async fn id(client: &mut Client) -> Result<Ready> {
    let fresh = CatalogId::fresh().to_string();
    match level_and_id(client, &fresh).await {
        Ok((level, _)) if level > known() => Err(Fault::Newer { found: level, known: known() }.into()),
        Ok((level, _)) if level < known() => Ok(Ready::No),
        Ok((_, id)) => {
            let id = CatalogId::parse(&id).ok_or(Fault::Malformed("the id of the catalog"))?;
            Ok(Ready::Yes(id))
        }
        Err(error) => {
            let missing = [
                SqlState::UNDEFINED_TABLE,
                SqlState::INVALID_SCHEMA_NAME,
                SqlState::UNDEFINED_OBJECT,
                SqlState::INVALID_PARAMETER_VALUE,
            ];
            match error.code() {
                Some(code) if missing.contains(code) => Ok(Ready::No),
                Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => Ok(Ready::NoService(error)),
                _ => Err(error.into()),
            }
        }
    }
}

async fn level_and_id(client: &mut Client, fresh: &str) -> std::result::Result<(i32, String), tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    transaction.batch_execute("SET LOCAL ROLE longshore_service").await?;
    let level = transaction.query_one("SELECT coalesce(max(number), 0) FROM longshore.migrations", &[]).await?;
    let level: i32 = level.try_get(0)?;
    if level != known() {
        return Ok((level, String::new()));
    }
    transaction.execute("UPDATE longshore.meta SET catalog_id = $1 WHERE catalog_id IS NULL", &[&fresh]).await?;
    let id: String = transaction.query_one("SELECT catalog_id FROM longshore.meta", &[]).await?.try_get(0)?;
    transaction.commit().await?;
    Ok((level, id))
}

/// Takes the steps that are missing.
async fn migrate(client: &mut Client) -> Result<()> {
    let encoding: String = one(client, "SHOW server_encoding").await?;
    if encoding != "UTF8" {
        return Err(Fault::Encoding(encoding).into());
    }
    check_roles(client).await?;
    for number in 1..=known() {
        step(client, number).await.map_err(|error| match error.code() {
            Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => Fault::NotMigrated(error).into(),
            _ => Error::from(error),
        })?;
    }
    check_storage(client).await
}

async fn one(client: &Client, text: &str) -> Result<String> {
    let row: Row = client.query_one(text, &[]).await?;
    Ok(row.try_get(0)?)
}

/// Takes one step, if it is still missing once it is our turn.
async fn step(client: &mut Client, number: i32) -> std::result::Result<(), tokio_postgres::Error> {
    let Some(migration) = usize::try_from(number - 1).ok().and_then(|i| MIGRATIONS.get(i)) else { return Ok(()) };
    let transaction = client.transaction().await?;
    transaction.batch_execute(TURN).await?;
    transaction.batch_execute(BEGINNING).await?;
    let taken = transaction.query_opt("SELECT 1 FROM longshore.migrations WHERE number = $1", &[&number]).await?;
    if taken.is_some() {
        return transaction.commit().await;
    }
    let row = transaction.query_one("SELECT to_regclass(CAST($1 AS text)) IS NOT NULL", &[&OF_SUPABASE]).await?;
    let there = if row.try_get(0)? { migration.there } else { None };
    // What is made must not depend on the settings of whoever makes it.
    transaction.batch_execute("SET LOCAL search_path = pg_catalog; SET LOCAL statement_timeout = 0").await?;
    transaction.batch_execute(there.unwrap_or(migration.text)).await?;
    if migration.name == "storage" && there.is_none() {
        note_levels(&transaction).await?;
    }
    let text = "INSERT INTO longshore.migrations (number, name) VALUES ($1, $2)";
    transaction.execute(text, &[&number, &migration.name]).await?;
    transaction.commit().await
}

/// Says what the tables of Supabase that were made here look like.
async fn note_levels(transaction: &Transaction<'_>) -> std::result::Result<(), tokio_postgres::Error> {
    for line in LEVELS.lines() {
        let mut fields = line.split('\t');
        let (Some(id), Some(name), Some(hash)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let id: i32 = id.parse().unwrap_or_default();
        let text = "INSERT INTO storage.migrations (id, name, hash) VALUES ($1, $2, $3)";
        transaction.execute(text, &[&id, &name, &hash]).await?;
    }
    Ok(())
}

/// Looks whether the roles are there that tables of Supabase need, which are there.
async fn check_roles(client: &Client) -> Result<()> {
    let text = "SELECT r FROM unnest(CAST($1 AS text[])) AS r WHERE to_regclass(CAST($2 AS text)) IS NOT NULL \
        AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = r) LIMIT 1";
    match client.query_opt(text, &[&ROLES.as_slice(), &OF_SUPABASE]).await? {
        Some(row) => Err(Fault::NoRole(row.try_get(0)?).into()),
        None => Ok(()),
    }
}

/// Looks whether tables that were there have what is used of them.
async fn check_storage(client: &Client) -> Result<()> {
    for (table, columns) in COLUMNS {
        let text = "SELECT CAST(column_name AS text) FROM information_schema.columns \
            WHERE table_schema = 'storage' AND CAST(table_name AS text) = $1";
        let found = client.query(text, &[table]).await?;
        let found: Vec<String> = found.iter().map(|row| row.try_get(0)).collect::<std::result::Result<_, _>>()?;
        if let Some(missing) = columns.iter().find(|column| !found.iter().any(|found| found == *column)) {
            return Err(Fault::OldStorage((*table).to_owned(), (*missing).to_owned()).into());
        }
    }
    Ok(())
}

/// Brings the schema up to date, and lets a login act as the catalog does and as the roles of users.
pub(super) async fn prepare(address: &Address, login: Option<&str>) -> Result<()> {
    let mut client = address.connect().await?;
    migrate(&mut client).await?;
    let Some(login) = login else { return Ok(()) };
    let text = "SELECT format('GRANT longshore_service, anon, authenticated, service_role TO %I', CAST($1 AS text))";
    let row = client.query_one(text, &[&login]).await?;
    let grant: String = row.try_get(0)?;
    Ok(client.batch_execute(&grant).await?)
}
