//! Segments of large objects: where they are, whose they are, and when they go.
//!
//! All segments of one body lie in the container of their object below `.longshore/segments/<handle>/`. A handle is an
//! id with the time at which it was made; the object `owner` among its segments holds the name of the one object whose
//! manifest may list them. It is written before the first segment.
//!
//! A set of segments belongs to one name for ever: a copy, and so a move, gets segments of its own below a handle of its
//! own. So it may be removed when its owner's name is no large object or is one that lists nothing below the handle, and
//! only then; segments without an owner are left alone. It is never decided by age alone.
//!
//! Listings lag, and a copy goes on at the service when nobody waits for it any more: who frees segments may not see all
//! of them. So their owner stays, and the sweep removes it once the handle is old and nothing but the owner is listed.
//!
//! **Invariant:** no manifest lists what was removed here, as long as only Longshore writes manifests that list it; while
//! segments may come, their owner is there.

use std::io;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::Method;

use super::Swift;
use super::call::{is_missing, refusal};
use super::json::{Row, parts};
use crate::config::limits::CLOUD_PIECES_AT_ONCE;
use crate::model::id::UploadId;
use crate::model::time::Timestamp;
use crate::provider::cloud::payload::Payload;
use crate::provider::cloud::service::At;
use crate::provider::{Error, Result};

/// Where the segments of a container are.
const TREE: &str = ".longshore/segments/";
/// Names of a page, when segments are listed.
const PAGE: usize = 1000;

/// Whether a name lies among the segments.
pub(super) fn is_segment(name: &str) -> bool {
    name.starts_with(TREE)
}

/// What the names of all segments of a handle begin with.
pub(super) fn below(handle: &str) -> String {
    format!("{TREE}{handle}/")
}

/// The name of a segment.
pub(super) fn segment(handle: &str, number: usize) -> String {
    format!("{TREE}{handle}/{number:08}")
}

/// The handle of a segment's name.
pub(super) fn handle_of(name: &str) -> Option<&str> {
    let (handle, _) = name.strip_prefix(TREE)?.split_once('/')?;
    UploadId::parse(handle).map(|_| handle)
}

fn owner(handle: &str) -> String {
    format!("{TREE}{handle}/owner")
}

impl Swift {
    /// Begins segments for an object, and says whose they will be.
    pub(super) async fn begin_segments(&self, at: At<'_>) -> Result<String> {
        if !self.limits().await?.large {
            return Err(Error::Failed(io::Error::other("the cluster has no static large objects")));
        }
        let handle = UploadId::fresh().to_string();
        let owner = owner(&handle);
        let call = self.for_object(Method::PUT, At { container: at.container, name: &owner }, "").await?;
        let body = Payload::from(at.name.to_owned());
        let call = call.header("etag", &body.md5_hex())?.header("content-type", "text/plain; charset=utf-8")?;
        self.ask(&call.body(body)).await?;
        Ok(handle)
    }

    pub(super) async fn write_segment(&self, at: At<'_>, handle: &str, number: u32, body: &Payload) -> Result<String> {
        let name = segment(handle, usize::try_from(number).unwrap_or(usize::MAX));
        let call = self.for_object(Method::PUT, At { container: at.container, name: &name }, "").await?;
        let md5 = body.md5_hex();
        let call = call.header("etag", &md5)?.header("content-type", "application/octet-stream")?;
        self.ask(&call.body(body.clone())).await?;
        Ok(md5)
    }

    /// Gives up segments that no manifest lists.
    pub(super) async fn give_up(&self, at: At<'_>, handle: &str) -> Result<()> {
        if UploadId::parse(handle).is_none() || self.lists(at, handle).await? {
            return Ok(());
        }
        self.free_handle(at.container, handle, Vec::new()).await.map(drop)
    }

    /// Gives up what a call that failed was making, and passes its error on. What stays is found by the sweep.
    pub(super) async fn give_up_after(&self, at: At<'_>, handle: &str, error: Error) -> Error {
        if let Err(other) = self.give_up(at, handle).await {
            tracing::debug!(handle, error = &other as &dyn std::error::Error, "segments stay until they are swept");
        }
        error
    }

    /// Whether the manifest at a name lists segments of a handle.
    async fn lists(&self, at: At<'_>, handle: &str) -> Result<bool> {
        let call = self.for_object(Method::GET, at, "?multipart-manifest=get").await?.header("x-newest", "true")?;
        let reply = self.send(&call).await?;
        if is_missing(&reply) {
            return Ok(false);
        }
        if !reply.status.is_success() {
            return Err(refusal(reply).await);
        }
        if !reply.header("x-static-large-object").eq_ignore_ascii_case("true") {
            return Ok(false);
        }
        let start = format!("/{}/{}", at.container, below(handle));
        Ok(parts(&reply.bytes().await?)?.iter().any(|part| part.name.starts_with(&start)))
    }

    /// The name of the object that segments belong to.
    pub(super) async fn owner_of(&self, container: &str, handle: &str) -> Result<Option<String>> {
        let name = owner(handle);
        let reply = self.send(&self.for_object(Method::GET, At { container, name: &name }, "").await?).await?;
        if is_missing(&reply) {
            return Ok(None);
        }
        if !reply.status.is_success() {
            return Err(refusal(reply).await);
        }
        Ok(String::from_utf8(reply.bytes().await?.into()).ok())
    }

    /// Removes the segments of a handle that are known and those that are listed, and leaves their owner. Returns whether
    /// any were listed.
    pub(super) async fn free_handle(&self, container: &str, handle: &str, known: Vec<String>) -> Result<bool> {
        let (prefix, owner) = (below(handle), owner(handle));
        self.remove_all(container, known).await?;
        let (mut marker, mut met) = (String::new(), false);
        loop {
            let rows = self.rows(container, &prefix, &marker, self.segments_page().await?, None).await;
            let rows = match rows {
                Err(Error::NotFound) => return Ok(met),
                rows => rows?,
            };
            let mut names: Vec<String> = rows.into_iter().filter_map(Row::entry).map(|entry| entry.name).collect();
            let Some(last) = names.last() else { return Ok(met) };
            marker.clone_from(last);
            names.retain(|name| *name != owner);
            met |= !names.is_empty();
            self.remove_all(container, names).await?;
        }
    }

    pub(super) async fn segments_page(&self) -> Result<usize> {
        Ok(self.limits().await?.page.min(PAGE))
    }

    /// Removes what is at names, and nothing that it lists.
    pub(super) async fn remove_all(&self, container: &str, names: Vec<String>) -> Result<()> {
        let remove = |name: String| async move { self.remove_plainly(At { container, name: &name }).await };
        stream::iter(names).map(remove).buffer_unordered(CLOUD_PIECES_AT_ONCE).try_collect().await
    }

    pub(super) async fn sweep_segments(&self, container: &str, before: Timestamp) -> Result<u64> {
        let (mut swept, mut marker) = (0, String::new());
        loop {
            let rows = self.rows(container, TREE, &marker, self.segments_page().await?, Some("/")).await?;
            let folders: Vec<String> = rows.into_iter().filter_map(Row::folder).collect();
            let Some(last) = folders.last() else { return Ok(swept) };
            marker.clone_from(last);
            for handle in folders.iter().filter_map(|folder| handle_of(folder)) {
                swept += u64::from(self.sweep_handle(container, handle, before).await?);
            }
        }
    }

    /// Removes what was left of an old handle, and with a later sweep its owner. Returns whether there were segments.
    async fn sweep_handle(&self, container: &str, handle: &str, before: Timestamp) -> Result<bool> {
        let made = UploadId::parse(handle).map(|id| Timestamp(i64::try_from(id.made()).unwrap_or(i64::MAX)));
        if made.is_none_or(|made| made >= before) {
            return Ok(false);
        }
        let Some(name) = self.owner_of(container, handle).await? else {
            tracing::debug!(container, handle, "segments without an owner are left alone");
            return Ok(false);
        };
        if self.lists(At { container, name: &name }, handle).await? {
            return Ok(false);
        }
        if self.free_handle(container, handle, Vec::new()).await? {
            return Ok(true);
        }
        // Of what was freed or given up long ago nothing is left, and nothing comes any more.
        self.remove_plainly(At { container, name: &owner(handle) }).await?;
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_their_handle() {
        let handle = UploadId::fresh().to_string();
        let name = segment(&handle, 1);
        assert_eq!(name, format!(".longshore/segments/{handle}/00000001"));
        assert!(name.starts_with(&below(&handle)) && is_segment(&name));
        assert_eq!(handle_of(&name), Some(handle.as_str()));
        assert_eq!(handle_of(&below(&handle)), Some(handle.as_str()));
        for other in [".longshore/segments/x/00000001", "a/b", ".longshore/segments/"] {
            assert_eq!(handle_of(other), None, "{other}");
        }
    }
}
