//! `OpenStack` Swift and Rackspace Cloud Files.
//!
//! A large body is a static large object (SLO): segments, each an object of its own, and a manifest at the name that
//! lists them; `slo` says how they are kept together. Swift judges one condition only, that nothing is at a name, and
//! that not quite atomically: the rest is a look before the write.
//!
//! Names are at most 1,024 bytes and hold anything but NUL.
//!
//! **Invariant:** what is not a large object shows the MD5 of its bytes everywhere, what is one shows no digest at all;
//! a tag identifies one write, since each write of ours carries a number of its own in its metadata.

mod auth;
mod call;
mod containers;
mod headers;
mod join;
mod json;
mod limits;
mod objects;
mod segments;
mod slo;

use std::io;
use std::ops::Range;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use self::auth::Identity;
use self::limits::Limits;
use super::payload::Payload;
use super::service::{At, Facts, Page, Piece, Rules, Sent, Service, When};
use super::transport::Transport;
use crate::config::limits::SWIFT_SEGMENTS_MAX;
use crate::model::object::Content;
use crate::model::time::Timestamp;
use crate::provider::settings::{SwiftConfig, TransportConfig};
use crate::provider::{Blocks, Result};

/// Longest name of a container, in bytes.
const CONTAINER_BYTES_MAX: usize = 256;
/// Longest name of an object, in bytes.
const NAME_BYTES_MAX: usize = 1024;
/// Largest object that is not one of segments, in bytes, unless a cluster allows less.
const OBJECT_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;
/// Most bytes of metadata for Longshore: with the longest name they fit in one attribute of a file on ext4, where an
/// object server may keep them.
const MARK_BYTES_MAX: usize = 1500;

/// One account of Swift.
#[derive(Debug)]
pub struct Swift {
    transport: Transport,
    identity: Identity,
    /// What the cluster allows, once it was asked.
    limits: OnceCell<Limits>,
}

impl Swift {
    /// Makes the client of an account; nothing is asked yet.
    ///
    /// # Errors
    /// The certificates cannot be read.
    #[expect(clippy::unused_async, reason = "all drivers are opened alike, and others have to wait")]
    pub async fn open(name: &str, config: &SwiftConfig, transport: TransportConfig) -> io::Result<Self> {
        let identity = Identity::new(name, config, &transport)?;
        Ok(Self { transport: Transport::new(name, transport)?, identity, limits: OnceCell::new() })
    }
}

#[async_trait]
impl Service for Swift {
    fn rules(&self) -> Rules {
        Rules {
            conditions: false,
            conditional_delete: false,
            unique_tags: true,
            late_headers: true,
            md5: true,
            mark_bytes_max: MARK_BYTES_MAX,
            blocks_max: u32::try_from(SWIFT_SEGMENTS_MAX * SWIFT_SEGMENTS_MAX).unwrap_or(u32::MAX),
            // Whoever lists containers has asked the cluster, so it was asked before anything is joined.
            join_bytes_min: self.limits.get().map_or(1, |limits| limits.segment_bytes),
            copy_bytes_max: OBJECT_BYTES_MAX,
        }
    }

    fn holds(&self, name: &str) -> bool {
        (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.contains('\0')
    }

    fn may_name(&self, container: &str) -> bool {
        (1..=CONTAINER_BYTES_MAX).contains(&container.len()) && !container.contains(['/', '\0'])
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
        Ok(self.look(at).await?.facts)
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
        self.duplicate(from, source, to, content, when).await
    }

    async fn begin(&self, at: At<'_>, _: &Content) -> Result<String> {
        self.begin_segments(at).await
    }

    async fn block(&self, at: At<'_>, handle: &str, number: u32, body: &Payload) -> Result<String> {
        self.write_segment(at, handle, number, body).await
    }

    async fn commit(&self, at: At<'_>, handle: &str, blocks: &[Sent], content: &Content) -> Result<String> {
        self.commit_segments(at, handle, blocks, content).await
    }

    async fn abort(&self, at: At<'_>, handle: &str) -> Result<()> {
        self.give_up(at, handle).await
    }

    async fn join(&self, to: At<'_>, pieces: &[Piece], content: &Content) -> Result<()> {
        self.join_pieces(to, pieces, content).await
    }

    async fn sweep(&self, container: &str, before: Timestamp) -> Result<u64> {
        self.sweep_segments(container, before).await
    }
}
