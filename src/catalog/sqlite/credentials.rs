//! Rows of passwords, and of tokens that were given back.
//!
//! **Invariant:** a password is written in the transaction that finds its user, and removed in the one that removes the
//! user, so none is left to a later user of the name.

use async_trait::async_trait;
use rusqlite::{OptionalExtension as _, params};

use super::{SqliteCatalog, statements as sql};
use crate::catalog::{Credentials, Error, Result, Scope};

#[async_trait]
impl Credentials for SqliteCatalog {
    async fn set_password(&self, user: &str, hash: &str) -> Result<()> {
        let (user, hash) = (user.to_owned(), hash.to_owned());
        self.write(&Scope::Service, move |connection| {
            if !connection.prepare_cached(sql::USER)?.exists([&user])? {
                return Err(Error::NotFound);
            }
            connection.prepare_cached(sql::PUT_PASSWORD)?.execute([&user, &hash])?;
            Ok(())
        })
        .await
    }

    async fn password(&self, user: &str) -> Result<Option<String>> {
        self.look(&Scope::Service, |connection| {
            let mut statement = connection.prepare_cached(sql::PASSWORD)?;
            Ok(statement.query_row([user], |row| row.get(0)).optional()?)
        })
        .await
    }

    async fn give_token_back(&self, token: &str, ends: i64, now: i64) -> Result<()> {
        let token = token.to_owned();
        self.write(&Scope::Service, move |connection| {
            connection.prepare_cached(sql::FORGET_TOKENS)?.execute([now])?;
            connection.prepare_cached(sql::PUT_TOKEN)?.execute(params![token, ends])?;
            Ok(())
        })
        .await
    }

    async fn is_given_back(&self, token: &str, user: &str, issued: i64) -> Result<bool> {
        self.look(&Scope::Service, |connection| {
            Ok(connection.prepare_cached(sql::TOKEN)?.exists(params![token, user, issued])?)
        })
        .await
    }
}
