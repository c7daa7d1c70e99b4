//! Version 1: one request whose answer is all headers. `TempAuth`, `swauth` and Ceph's gateway speak it.
//!
//! **Invariant:** an answer without a token or without a storage URL is no grant. The password is in a header and never
//! in the address, which is logged.

use std::io;
use std::time::Duration;

use http::Method;

use super::Grant;
use crate::model::secret::Secret;
use crate::provider::cloud::transport::{Call, Reply};
use crate::provider::{Error, Result};

pub(super) fn ask(url: &str, username: &str, password: &Secret) -> Result<Call> {
    Call::new(Method::GET, url.to_owned()).header("x-auth-user", username)?.header("x-auth-key", password.expose())
}

pub(super) fn grant(reply: &Reply) -> Result<Grant> {
    let token = Some(reply.header("x-auth-token")).filter(|token| !token.is_empty());
    let token = token.unwrap_or_else(|| reply.header("x-storage-token"));
    let url = reply.header("x-storage-url");
    if token.is_empty() || url.is_empty() {
        let what = "the answer has no token or no storage URL: it is not that of an identity service of version 1";
        return Err(Error::Failed(io::Error::other(what)));
    }
    let life = reply.header("x-auth-token-expires").parse().ok().map(Duration::from_secs);
    Ok(Grant { token: Secret::new(token), url: url.to_owned(), life })
}
