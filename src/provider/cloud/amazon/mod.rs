//! Amazon S3, and what speaks its protocol: the REST API with signatures of version 4.
//!
//! No object is cached, so what others do there is seen at once. A condition goes with the write. Where a service answers
//! that it does not know `If-Match`, the driver looks before it writes and [`Service::rules`] says so from then on.
//!
//! **Invariant:** each body is sent with its MD5; an upload in blocks that did not end in an object is given up.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use tokio::sync::Semaphore;

use crate::config::limits::{CLOUD_PIECES_AT_ONCE, PART_BYTES_MIN};
use crate::model::object::Content;
use crate::model::time::Timestamp;
use crate::provider::cloud::payload::Payload;
use crate::provider::cloud::service::{At, Facts, Page, Piece, Rules, Sent, Service, When};
use crate::provider::cloud::transport::{Call, Reply, Transport};
use crate::provider::settings::{AmazonConfig, TransportConfig};
use crate::provider::{Blocks, Result};

use address::Address;
use seals::Seals;
use sign::Signer;

mod address;
mod containers;
mod copies;
mod facts;
mod names;
mod notes;
mod objects;
mod refusal;
mod seals;
mod sign;
mod uploads;
mod xml;

/// Bytes of Longshore's own metadata: eight entries with their names, less what some services count for the prefix.
const MARK_BYTES_MAX: usize = 1800;
/// Most parts of an upload.
const PARTS_MAX: u32 = 10_000;
/// Largest body of one request, and largest range that one request copies: 5 GiB.
const REQUEST_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;
/// The region where nothing names one.
const FIRST_REGION: &str = "us-east-1";

/// A storage that speaks S3.
#[derive(Debug)]
pub struct Amazon {
    transport: Transport,
    signer: Signer,
    address: Address,
    region: String,
    /// The service said that it does not know a condition on writes. `If-Match` is not tried again then.
    unjudged: AtomicBool,
    /// Bodies that are read to be written under a condition.
    passing: Semaphore,
    /// Where ETags are not of the clients' bytes.
    seals: Seals,
}

impl Amazon {
    /// Makes ready for the storage of a configuration; asks it nothing yet.
    ///
    /// # Errors
    /// The configuration contradicts itself, or the certificates cannot be read.
    pub async fn open(name: &str, config: &AmazonConfig, transport: TransportConfig) -> io::Result<Self> {
        let told = |name: &str| std::env::var(name).ok().filter(|region| !region.is_empty());
        let region = config.region.clone().or_else(|| told("AWS_REGION")).or_else(|| told("AWS_DEFAULT_REGION"));
        let region = region.unwrap_or_else(|| FIRST_REGION.to_owned());
        let address = Address::new(config, &region)?;
        // First, as it chooses the cryptography that asking for credentials needs too.
        let transport = Transport::new(name, transport)?;
        let signer = Signer::new(&config.credentials, &region, config.unsigned_payload)?;
        let passing = Semaphore::new(CLOUD_PIECES_AT_ONCE);
        let (unjudged, seals) = (AtomicBool::new(false), Seals::default());
        Ok(Self { transport, signer, address, region, unjudged, passing, seals })
    }

    async fn send(&self, call: &Call) -> Result<Reply> {
        self.transport.send(&self.signer, call).await
    }
}

#[async_trait]
impl Service for Amazon {
    fn rules(&self) -> Rules {
        Rules {
            conditions: !self.unjudged.load(Ordering::Relaxed),
            // Others than Amazon may answer as if they had judged, so the driver looks before it asks them.
            conditional_delete: self.address.amazon,
            // An ETag is made of the bytes.
            unique_tags: false,
            late_headers: false,
            md5: true,
            mark_bytes_max: MARK_BYTES_MAX,
            blocks_max: PARTS_MAX,
            join_bytes_min: PART_BYTES_MIN,
            copy_bytes_max: REQUEST_BYTES_MAX,
        }
    }

    fn holds(&self, name: &str) -> bool {
        names::holds(name)
    }

    fn may_name(&self, container: &str) -> bool {
        names::may_name(container)
    }

    async fn containers(&self) -> Result<Vec<(String, Timestamp)>> {
        self.all_containers("").await
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
        self.read(at, range, None).await
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
        self.copy_any(from, (&source.tag, source.size), to, content, when).await
    }

    async fn begin(&self, at: At<'_>, content: &Content) -> Result<String> {
        self.begin_upload(at, content).await
    }

    async fn block(&self, at: At<'_>, handle: &str, number: u32, body: &Payload) -> Result<String> {
        self.send_part(at, handle, number, body).await
    }

    async fn commit(&self, at: At<'_>, handle: &str, blocks: &[Sent], _: &Content) -> Result<String> {
        let parts: Vec<(u32, String)> = blocks.iter().map(|block| (block.number, block.tag.clone())).collect();
        let size = blocks.iter().map(|block| block.size).sum();
        self.complete(at, handle, (&parts, size), When::Always).await
    }

    async fn abort(&self, at: At<'_>, handle: &str) -> Result<()> {
        self.abort_upload(at, handle).await
    }

    async fn join(&self, to: At<'_>, pieces: &[Piece], content: &Content) -> Result<()> {
        self.join_all(to, pieces, content).await
    }

    async fn sweep(&self, container: &str, before: Timestamp) -> Result<u64> {
        Ok(self.sweep_uploads(container, before).await? + self.sweep_notes(container, before).await?)
    }
}
