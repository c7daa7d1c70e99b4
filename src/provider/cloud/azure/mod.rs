//! Azure Blob Storage.
//!
//! What is particular to it: names are read as paths ([`names`]), listings are in another order ([`order`]), metadata
//! names are identifiers ([`headers`]), a container goes with all that is in it ([`containers`]), and a body in blocks
//! is staged at the very name it will have ([`blocks`]).
//!
//! **Invariant:** as of [`Service`].

use std::io;
use std::ops::Range;

use async_trait::async_trait;

use self::blocks::{BLOCKS_MAX, Whole};
use self::sign::Signer;
use crate::model::object::Content;
use crate::model::time::Timestamp;
use crate::provider::cloud::payload::Payload;
use crate::provider::cloud::service::{At, Facts, Page, Piece, Rules, Sent, Service, When};
use crate::provider::cloud::transport::{Call, Reply, Transport};
use crate::provider::settings::{AzureConfig, TransportConfig};
use crate::provider::{Blocks, Error, Result};

mod blobs;
mod blocks;
mod containers;
mod date;
mod headers;
mod list;
mod names;
mod order;
mod refusal;
mod sas;
mod sign;
mod xml;

/// Most bytes of metadata that Longshore may use: of the 8 KiB there are, with room for what each entry counts beside.
const MARK_BYTES_MAX: usize = 6 * 1024;
/// Most bytes of one write: 5,000 MiB.
const WRITE_BYTES_MAX: u64 = 5000 * 1024 * 1024;
/// Most bytes of a shared access signature of ours in an address, with a container's name.
const SIGNATURE_BYTES: usize = 64 + 192;

/// The blobs of one account.
#[derive(Debug)]
pub struct Azure {
    transport: Transport,
    signer: Signer,
    /// Where the account is, without a trailing slash.
    base: String,
    /// Bytes of an address beside the blob's name.
    beside: usize,
}

impl Azure {
    /// The account that is configured. Asks nothing of it.
    ///
    /// # Errors
    /// The key is none, or the certificates or credentials cannot be read.
    #[expect(clippy::unused_async, reason = "as of all drivers, of which some ask")]
    pub async fn open(name: &str, config: &AzureConfig, transport: TransportConfig) -> io::Result<Self> {
        // First, as it chooses the cryptography that credentials are asked for with.
        let transport = Transport::new(name, transport)?;
        let signer = Signer::new(config)?;
        let base = match &config.endpoint {
            Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
            None => format!("https://{}.blob.core.windows.net", config.account),
        };
        let beside = base.len() + SIGNATURE_BYTES.max(signer.token_bytes() + 65);
        Ok(Self { transport, signer, base, beside })
    }

    async fn send(&self, call: &Call) -> Result<Reply> {
        self.transport.send(&self.signer, call).await
    }

    fn address(&self, at: At<'_>) -> String {
        format!("{}/{}/{}", self.base, at.container, names::path(at.name))
    }

    /// The address of what may be there.
    fn readable(&self, at: At<'_>) -> Result<String> {
        if names::is_plain(at.name) { Ok(self.address(at)) } else { Err(Error::NotFound) }
    }

    /// The address of what is to be there.
    fn writable(&self, at: At<'_>) -> Result<String> {
        if names::is_taken(at.name) { Ok(self.address(at)) } else { Err(Error::Clash) }
    }
}

#[async_trait]
impl Service for Azure {
    fn rules(&self) -> Rules {
        Rules {
            conditions: true,
            conditional_delete: true,
            unique_tags: true,
            late_headers: true,
            md5: true,
            mark_bytes_max: MARK_BYTES_MAX,
            blocks_max: BLOCKS_MAX,
            join_bytes_min: 1,
            copy_bytes_max: WRITE_BYTES_MAX,
        }
    }

    fn holds(&self, name: &str) -> bool {
        names::fits(name, self.beside)
    }

    fn may_name(&self, container: &str) -> bool {
        names::may_name(container)
    }

    async fn containers(&self) -> Result<Vec<(String, Timestamp)>> {
        self.all_containers().await
    }

    async fn container(&self, container: &str) -> Result<Option<Timestamp>> {
        self.one_container(container).await
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
        self.copied(from, source, to, content, when).await
    }

    async fn begin(&self, _: At<'_>, _: &Content) -> Result<String> {
        Ok(blocks::handle())
    }

    async fn block(&self, at: At<'_>, handle: &str, number: u32, body: &Payload) -> Result<String> {
        self.send_block(at, handle, number, body).await
    }

    async fn commit(&self, at: At<'_>, handle: &str, blocks: &[Sent], content: &Content) -> Result<String> {
        self.commit_sent(at, handle, blocks, content).await
    }

    async fn abort(&self, _: At<'_>, _: &str) -> Result<()> {
        // Only a write of the name would drop its blocks at once, and that would be seen. The service drops them.
        Ok(())
    }

    async fn join(&self, to: At<'_>, pieces: &[Piece], content: &Content) -> Result<()> {
        let sources: Vec<Whole<'_>> = pieces
            .iter()
            .map(|Piece { name, tag, size }| Whole { from: At { container: to.container, name }, tag, size: *size })
            .collect();
        self.gather(to, &sources, content, When::Always, None).await
    }

    async fn sweep(&self, _: &str, _: Timestamp) -> Result<u64> {
        // The service drops blocks that nobody committed a week after the last was sent.
        Ok(0)
    }
}
