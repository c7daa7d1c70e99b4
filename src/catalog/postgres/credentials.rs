//! Rows of passwords, and of tokens that were given back.
//!
//! **Invariant:** a look for a name with a NUL, which Postgres has no place for, is not sent: there is no such user,
//! and a token of such a name counts as given back. A password is written by the statement that finds its user, and
//! goes with the row of the user.

use async_trait::async_trait;
use tokio_postgres::Row;

use super::pool::{Begin, Call};
use super::rows::get;
use super::{PostgresCatalog, statements as sql};
use crate::catalog::{Credentials, Result};

impl PostgresCatalog {
    async fn told(&self, call: Call) -> Result<Option<Row>> {
        let rows = self.pool.run(Begin::Read, &[call]).await?.pop();
        Ok(rows.unwrap_or_default().into_iter().next())
    }
}

#[async_trait]
impl Credentials for PostgresCatalog {
    async fn set_password(&self, user: &str, hash: &str) -> Result<()> {
        let call = Call::new(sql::PUT_PASSWORD).with(user.to_owned()).with(hash.to_owned());
        self.pool.run(Begin::Write, &[call]).await.map(|_| ())
    }

    async fn password(&self, user: &str) -> Result<Option<String>> {
        if user.contains('\0') {
            return Ok(None);
        }
        self.told(Call::new(sql::PASSWORD).with(user.to_owned())).await?.map(|row| get(&row, 0)).transpose()
    }

    async fn give_token_back(&self, token: &str, ends: i64, now: i64) -> Result<()> {
        let forget = Call::new(sql::FORGET_TOKENS).with(now);
        let put = Call::new(sql::PUT_TOKEN).with(token.to_owned()).with(ends);
        self.pool.run(Begin::Write, &[forget, put]).await.map(|_| ())
    }

    async fn is_given_back(&self, token: &str, user: &str, issued: i64) -> Result<bool> {
        // Neither a token nor a user of ours has such a name.
        if token.contains('\0') || user.contains('\0') {
            return Ok(true);
        }
        let call = Call::new(sql::TOKEN).with(token.to_owned()).with(user.to_owned()).with(issued);
        Ok(self.told(call).await?.is_some())
    }
}
