//! Google Cloud Storage, by its JSON protocol; bytes are read by the XML one, which gives their metadata with them.
//!
//! A tag is a generation, which is new with each write of a name. All conditions are on generations and judged by the
//! service. The MD5 that the service keeps is the digest; what was composed has none.
//!
//! A body in blocks is one temporary object for each block, `.longshore/blocks/<handle>/<number>`, which `commit`
//! composes. Unlike an upload of either protocol, which has to know its headers or its size at the start, that takes the
//! headers at the end, verifies each block by its MD5, and can send any block again.
//!
//! **Invariant:** as of [`Service`]. What is composed is named with generations, so nothing else than what was sent can
//! get into it.

use std::io;
use std::ops::Range;

use async_trait::async_trait;
use http::Method;
use serde::de::DeserializeOwned;

use self::address::{Address, Endpoint};
use self::auth::Account;
use self::json::strange;
use super::payload::Payload;
use super::service::{At, Facts, Page, Piece, Rules, Sent, Service, When};
use super::transport::{Call, Reply, Transport, failed};
use crate::config::limits::PART_NUMBER_MAX;
use crate::model::object::Content;
use crate::model::time::Timestamp;
use crate::provider::settings::{GoogleConfig, TransportConfig};
use crate::provider::{Blocks, Error, Result};

mod address;
mod auth;
mod containers;
mod json;
mod large;
mod objects;
mod read;

/// Most bytes of a name (the limit of the service).
const NAME_BYTES_MAX: usize = 1024;
/// Where the service serves challenges of certificate authorities.
const CHALLENGES: &str = ".well-known/acme-challenge/";
/// Most bytes of metadata for Longshore: three quarters of what an object can have.
const MARK_BYTES_MAX: usize = 6 * 1024;
/// Largest object (the limit of the service).
const OBJECT_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024 * 1024;
/// What the service itself has at places where a container would be read.
const PATHS: [&str; 6] = ["batch", "discovery", "download", "resumable", "storage", "upload"];

/// Google Cloud Storage.
#[derive(Debug)]
pub struct Google {
    transport: Transport,
    account: Account,
    endpoint: Endpoint,
}

impl Google {
    /// The driver of the provider of this name. Asks the service nothing.
    ///
    /// # Errors
    /// The credentials or the certificates cannot be read.
    pub async fn open(name: &str, config: &GoogleConfig, transport: TransportConfig) -> io::Result<Self> {
        let ca_bundle = transport.ca_bundle.clone();
        let transport = Transport::new(name, transport)?;
        let account = Account::open(config, ca_bundle).await?;
        let endpoint = Endpoint(account.endpoint.clone());
        Ok(Self { transport, account, endpoint })
    }

    /// Sends a call, whose answer must be a success.
    async fn ask(&self, call: &Call) -> Result<Reply> {
        let reply = self.transport.send(&self.account, call).await?;
        if reply.status.is_success() { Ok(reply) } else { Err(reply.refusal().await) }
    }

    /// Asks for JSON.
    async fn fetch<T: DeserializeOwned>(&self, address: Address) -> Result<T> {
        answer(self.ask(&Call::new(Method::GET, address.uri())).await?).await
    }

    /// Sends JSON and asks for some; the service may move `moved` bytes before it answers.
    async fn post<T: DeserializeOwned>(
        &self,
        address: Address,
        body: &(impl serde::Serialize + Sync),
        moved: u64,
    ) -> Result<T> {
        let text = serde_json::to_string(body).map_err(|error| failed("a body", error))?;
        let call = Call::new(Method::POST, address.uri()).header("content-type", "application/json")?.body(text.into());
        answer(self.ask(&call.moving(moved)).await?).await
    }
}

async fn answer<T: DeserializeOwned>(reply: Reply) -> Result<T> {
    let text = reply.bytes().await?;
    serde_json::from_slice(&text).map_err(|error| {
        tracing::debug!(error = &error as &dyn std::error::Error, "an answer is not what was expected");
        strange("other JSON than was asked for")
    })
}

#[async_trait]
impl Service for Google {
    fn rules(&self) -> Rules {
        Rules {
            conditions: true,
            conditional_delete: true,
            unique_tags: true,
            late_headers: true,
            md5: true,
            mark_bytes_max: MARK_BYTES_MAX,
            blocks_max: PART_NUMBER_MAX,
            join_bytes_min: 1,
            copy_bytes_max: OBJECT_BYTES_MAX,
        }
    }

    fn holds(&self, name: &str) -> bool {
        let length = (1..=NAME_BYTES_MAX).contains(&name.len());
        length && !name.contains(['\0', '\r', '\n']) && !matches!(name, "." | "..") && !name.starts_with(CHALLENGES)
    }

    fn may_name(&self, container: &str) -> bool {
        let bytes = container.as_bytes();
        let end = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let inner = |b: &u8| end(Some(b)) || b"-_.".contains(b);
        let address = container.parse::<std::net::Ipv4Addr>().is_ok();
        let google = container.starts_with("goog") || container.contains("google");
        (3..=63).contains(&bytes.len())
            && bytes.iter().all(inner)
            && end(bytes.first())
            && end(bytes.last())
            && !["..", ".-", "-."].iter().any(|pair| container.contains(pair))
            && !(address || google || PATHS.contains(&container))
    }

    async fn containers(&self) -> Result<Vec<(String, Timestamp)>> {
        self.list_containers().await
    }

    async fn container(&self, container: &str) -> Result<Option<Timestamp>> {
        self.look_at_container(container).await
    }

    async fn create_container(&self, container: &str) -> Result<()> {
        self.make_container(container).await
    }

    async fn delete_container(&self, container: &str) -> Result<()> {
        self.remove_container(container).await
    }

    async fn head(&self, at: At<'_>) -> Result<Facts> {
        self.look(at).await
    }

    async fn get(&self, at: At<'_>, range: Range<u64>) -> Result<(Facts, Blocks)> {
        self.read(at, range).await
    }

    async fn put(&self, at: At<'_>, body: &Payload, content: &Content, when: When<'_>) -> Result<String> {
        self.write(at, body, content, when).await
    }

    async fn delete(&self, at: At<'_>, when: When<'_>) -> Result<()> {
        self.remove(at, when).await
    }

    async fn list(&self, container: &str, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page> {
        self.page(container, prefix, after, limit).await
    }

    async fn copy(&self, from: At<'_>, source: &Facts, to: At<'_>, content: &Content, when: When<'_>) -> Result<()> {
        self.rewrite(from, source, to, content, when).await
    }

    async fn begin(&self, _at: At<'_>, _content: &Content) -> Result<String> {
        Ok(large::fresh_handle())
    }

    async fn block(&self, at: At<'_>, handle: &str, number: u32, body: &Payload) -> Result<String> {
        self.write_block(at.container, handle, number, body).await
    }

    async fn commit(&self, at: At<'_>, handle: &str, blocks: &[Sent], content: &Content) -> Result<String> {
        self.commit_blocks(at, handle, blocks, content).await
    }

    async fn abort(&self, at: At<'_>, handle: &str) -> Result<()> {
        self.remove_blocks(at.container, handle).await
    }

    async fn join(&self, to: At<'_>, pieces: &[Piece], content: &Content) -> Result<()> {
        self.join_pieces(to, pieces, content).await
    }

    async fn sweep(&self, container: &str, before: Timestamp) -> Result<u64> {
        self.sweep_blocks(container, before).await
    }
}

impl Google {
    fn project(&self) -> Result<&str> {
        let none = || Error::Failed(io::Error::other("project_id is not set, and the credentials name no project"));
        self.account.project.as_deref().ok_or_else(none)
    }
}

#[cfg(test)]
mod tests;
