//! Containers as what lies beneath one name in a bucket of the service: Supabase's own server keeps all of its buckets in
//! one of S3, each beneath the name of its tenant.
//!
//! **Invariant:** no name leads out of the container that was named, and nothing is said or done of what lies elsewhere in
//! the bucket: uploads that others have begun there are never given up.

use std::ops::Range;

use async_trait::async_trait;

use super::payload::Payload;
use super::service::{At, Facts, Page, Piece, Rules, Sent, Service, Shared, When};
use crate::model::object::Content;
use crate::model::time::Timestamp;
use crate::provider::{Blocks, Result};

/// A service whose containers lie in one bucket of another.
#[derive(Debug)]
pub struct Beneath {
    inner: Shared,
    bucket: String,
    tenant: String,
}

impl Beneath {
    /// Containers of `tenant` in `bucket`.
    #[must_use]
    pub fn new(inner: Shared, bucket: &str, tenant: &str) -> Self {
        Self { inner, bucket: bucket.to_owned(), tenant: tenant.to_owned() }
    }

    /// What the names of a container begin with.
    fn prefix(&self, container: &str) -> String {
        format!("{}/{container}/", self.tenant)
    }

    fn name(&self, at: At<'_>) -> String {
        self.prefix(at.container) + at.name
    }

    fn at<'a>(&'a self, name: &'a str) -> At<'a> {
        At { container: &self.bucket, name }
    }
}

#[async_trait]
impl Service for Beneath {
    fn rules(&self) -> Rules {
        self.inner.rules()
    }

    fn holds(&self, name: &str) -> bool {
        self.inner.holds(name)
    }

    fn may_name(&self, _: &str) -> bool {
        true
    }

    /// None: the tables say which there are.
    async fn containers(&self) -> Result<Vec<(String, Timestamp)>> {
        Ok(Vec::new())
    }

    async fn container(&self, _: &str) -> Result<Option<Timestamp>> {
        self.inner.container(&self.bucket).await
    }

    /// There is nothing to make.
    async fn create_container(&self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn delete_container(&self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn head(&self, at: At<'_>) -> Result<Facts> {
        self.inner.head(self.at(&self.name(at))).await
    }

    async fn get(&self, at: At<'_>, range: Range<u64>) -> Result<(Facts, Blocks)> {
        self.inner.get(self.at(&self.name(at)), range).await
    }

    async fn put(&self, at: At<'_>, body: &Payload, content: &Content, when: When<'_>) -> Result<String> {
        self.inner.put(self.at(&self.name(at)), body, content, when).await
    }

    async fn delete(&self, at: At<'_>, when: When<'_>) -> Result<()> {
        self.inner.delete(self.at(&self.name(at)), when).await
    }

    async fn list(&self, container: &str, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page> {
        let base = self.prefix(container);
        let (prefix, after) = (format!("{base}{prefix}"), after.map(|after| format!("{base}{after}")));
        let mut page = self.inner.list(&self.bucket, &prefix, after.as_deref(), limit).await?;
        let bare = |name: &str| name.strip_prefix(&base).map(str::to_owned);
        page.next = page.next.and_then(|next| bare(&next));
        page.entries.retain_mut(|entry| match bare(&entry.name) {
            Some(name) => {
                entry.name = name;
                true
            }
            None => false,
        });
        Ok(page)
    }

    async fn copy(&self, from: At<'_>, source: &Facts, to: At<'_>, content: &Content, when: When<'_>) -> Result<()> {
        let (from, to) = (self.name(from), self.name(to));
        self.inner.copy(self.at(&from), source, self.at(&to), content, when).await
    }

    async fn begin(&self, at: At<'_>, content: &Content) -> Result<String> {
        self.inner.begin(self.at(&self.name(at)), content).await
    }

    async fn block(&self, at: At<'_>, handle: &str, number: u32, body: &Payload) -> Result<String> {
        self.inner.block(self.at(&self.name(at)), handle, number, body).await
    }

    async fn commit(&self, at: At<'_>, handle: &str, blocks: &[Sent], content: &Content) -> Result<String> {
        self.inner.commit(self.at(&self.name(at)), handle, blocks, content).await
    }

    async fn abort(&self, at: At<'_>, handle: &str) -> Result<()> {
        self.inner.abort(self.at(&self.name(at)), handle).await
    }

    async fn join(&self, to: At<'_>, pieces: &[Piece], content: &Content) -> Result<()> {
        let base = self.prefix(to.container);
        let piece = |piece: &Piece| Piece { name: format!("{base}{}", piece.name), ..piece.clone() };
        let pieces: Vec<Piece> = pieces.iter().map(piece).collect();
        self.inner.join(self.at(&self.name(to)), &pieces, content).await
    }

    /// Whose an upload is that was begun there cannot be told.
    async fn sweep(&self, _: &str, _: Timestamp) -> Result<u64> {
        Ok(0)
    }
}
