//! Manifests of large objects: how they are written, and what of them is freed.
//!
//! A manifest lists at most as many segments as the cluster allows; of more, each thousand gets a manifest of its own
//! among the segments, and those are listed.
//!
//! Whoever overwrites or removes a large object frees its segments afterwards: ours, if the object is the one they belong
//! to, and those in the container that other clients keep beside (`<container>_segments`, `<container>+segments`).
//! Segments anywhere else are objects in their own right, perhaps somebody's only copy, and stay.
//!
//! **Invariant:** segments go after the manifest that lists them, so a name shows whole bytes or nothing; what a new
//! manifest lists stays.

use std::collections::BTreeMap;
use std::io;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{Method, StatusCode};

use super::Swift;
use super::call::refusal;
use super::headers::{Form, dress, fresh_write, tag, unquoted};
use super::json::{Segment, manifest, parts};
use super::objects::Source;
use super::segments::{below, handle_of, segment};
use crate::config::limits::{CLOUD_PIECES_AT_ONCE, SWIFT_PIECE_BYTES, SWIFT_SEGMENTS_MAX};
use crate::model::object::Content;
use crate::provider::cloud::payload::Payload;
use crate::provider::cloud::service::{At, Sent, When};
use crate::provider::cloud::transport::{Call, Reply};
use crate::provider::{Error, Result};

/// How deep manifests may list manifests: Swift's own limit.
const DEPTH_MAX: usize = 10;
/// Bytes that a cluster could have moved in the time that it takes to look at one segment of a manifest.
const LOOK_BYTES: u64 = 256 * 1024;

/// The segments of a large object that is about to go.
#[derive(Debug, Default)]
pub(super) struct Remains {
    /// Ours, by their handles.
    ours: BTreeMap<String, Vec<String>>,
    /// Those in containers beside, with the container.
    beside: BTreeMap<String, Vec<String>>,
    /// How many stay.
    strange: usize,
}

impl Remains {
    /// Takes a segment in, `/container/name` of a large object in `container`.
    fn add(&mut self, container: &str, path: &str) {
        let Some((at, name)) = path.trim_start_matches('/').split_once('/') else { return };
        if let Some(handle) = handle_of(name).filter(|_| at == container) {
            self.ours.entry(handle.to_owned()).or_default().push(name.to_owned());
        } else if at.strip_prefix(container).is_some_and(|rest| rest == "_segments" || rest == "+segments") {
            self.beside.entry(at.to_owned()).or_default().push(name.to_owned());
        } else {
            self.strange += 1;
        }
    }
}

impl Swift {
    /// What a large object lists, with what is listed by what it lists.
    pub(super) async fn remains(&self, at: At<'_>) -> Result<Remains> {
        let mut remains = Remains::default();
        let mut next = vec![(0, at.container.to_owned(), at.name.to_owned())];
        while let Some((depth, container, name)) = next.pop() {
            let of = At { container: &container, name: &name };
            let call = self.for_object(Method::GET, of, "?multipart-manifest=get").await?;
            let reply = self.send(&call.header("x-newest", "true")?).await?;
            if reply.status != StatusCode::OK || reply.header("x-static-large-object").is_empty() {
                // It went meanwhile, or is another object now.
                if reply.status.is_success() || reply.status == StatusCode::NOT_FOUND {
                    continue;
                }
                return Err(refusal(reply).await);
            }
            for part in parts(&reply.bytes().await?)? {
                remains.add(at.container, &part.name);
                let inner = part.name.trim_start_matches('/').split_once('/');
                if let Some((container, name)) = inner.filter(|_| part.sub_slo && depth < DEPTH_MAX) {
                    next.push((depth + 1, container.to_owned(), name.to_owned()));
                }
            }
        }
        Ok(remains)
    }

    /// Frees what an object left that is no longer at its name; what cannot be freed now is left to the sweep.
    pub(super) async fn free(&self, at: At<'_>, remains: Remains, keep: Option<&str>) {
        for (handle, names) in remains.ours {
            if keep == Some(handle.as_str()) {
                continue;
            }
            let freed = match self.owner_of(at.container, &handle).await {
                Ok(Some(owner)) if owner == at.name => self.free_handle(at.container, &handle, names).await.map(drop),
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
            warn(at.container, freed);
        }
        for (container, names) in remains.beside {
            warn(&container, self.remove_all(&container, names).await);
        }
        if remains.strange > 0 {
            tracing::info!(container = at.container, segments = remains.strange, "segments of another client stay");
        }
    }

    pub(super) async fn commit_segments(
        &self,
        at: At<'_>,
        handle: &str,
        blocks: &[Sent],
        content: &Content,
    ) -> Result<String> {
        let remains = self.before(at, When::Always).await?;
        let listed = blocks.iter().map(|block| {
            let number = usize::try_from(block.number).unwrap_or(usize::MAX);
            let path = format!("/{}/{}", at.container, segment(handle, number));
            Segment { path, etag: block.md5.clone(), size_bytes: block.size }
        });
        let tag = self.publish(at, handle, listed.collect(), content).await?;
        self.free(at, remains, Some(handle)).await;
        Ok(tag)
    }

    /// Copies a source of any size into segments and makes them the object at a name. Returns its tag.
    pub(super) async fn gather(
        &self,
        source: Source<'_>,
        to: At<'_>,
        handle: &str,
        content: &Content,
    ) -> Result<String> {
        // Larger segments rather than manifests of manifests.
        let most = self.limits().await?.object_bytes;
        let piece = SWIFT_PIECE_BYTES.max(source.size.div_ceil(SWIFT_SEGMENTS_MAX as u64)).min(most);
        let copy = |number: u64| async move {
            let range = number * piece..source.size.min((number + 1) * piece);
            let name = segment(handle, usize::try_from(number + 1).unwrap_or(usize::MAX));
            let size_bytes = range.end - range.start;
            let etag = self.copy_range(source, range, At { container: to.container, name: &name }).await?;
            Ok::<_, Error>(Segment { path: format!("/{}/{name}", to.container), etag, size_bytes })
        };
        let numbers = 0..source.size.div_ceil(piece);
        let segments = stream::iter(numbers).map(copy).buffered(CLOUD_PIECES_AT_ONCE).try_collect().await?;
        self.publish(to, handle, segments, content).await
    }

    /// Makes segments the object at a name. Returns its tag.
    async fn publish(&self, at: At<'_>, handle: &str, segments: Vec<Segment>, content: &Content) -> Result<String> {
        let segments = self.fold(at.container, &format!("{}m", below(handle)), segments).await?;
        let write = fresh_write();
        let call = self.for_object(Method::PUT, at, "?multipart-manifest=put").await?;
        let call = dress(call, at.name, content, self.limits().await?, &write)?;
        let etag = self.put_manifest(call, at, &segments).await?;
        Ok(tag(Form::Static, &etag, &write))
    }

    /// Lists segments in manifests of their own, until as few are left as one manifest may list.
    pub(super) async fn fold(&self, container: &str, prefix: &str, mut segments: Vec<Segment>) -> Result<Vec<Segment>> {
        let most = self.limits().await?.segments;
        let mut level = 0;
        while segments.len() > most {
            level += 1;
            let put = |(number, segments): (usize, Vec<Segment>)| async move {
                let name = format!("{prefix}{level}-{number:08}");
                let size_bytes = segments.iter().map(|segment| segment.size_bytes).sum();
                let at = At { container, name: &name };
                let call = self.for_object(Method::PUT, at, "?multipart-manifest=put").await?;
                let etag = self.put_manifest(call, at, &segments).await?;
                Ok::<_, Error>(Segment { path: format!("/{container}/{name}"), etag, size_bytes })
            };
            let groups: Vec<(usize, Vec<Segment>)> = segments.chunks(most).map(<[_]>::to_vec).enumerate().collect();
            segments = stream::iter(groups).map(put).buffered(CLOUD_PIECES_AT_ONCE).try_collect().await?;
        }
        Ok(segments)
    }

    /// Writes a manifest and returns its `ETag`, which is made of those of its segments.
    pub(super) async fn put_manifest(&self, call: Call, at: At<'_>, segments: &[Segment]) -> Result<String> {
        let etags: String = segments.iter().map(|segment| segment.etag.as_str()).collect();
        let etag = Payload::from(etags).md5_hex();
        let call = call.moving(LOOK_BYTES * segments.len() as u64).body(manifest(segments)?.into());
        let reply = self.send(&call).await?;
        if !reply.status.is_success() {
            return Err(refused(reply).await);
        }
        if unquoted(reply.header("etag")) == etag {
            return Ok(etag);
        }
        // A cluster without large objects keeps the text of the manifest as if it were a body.
        self.remove_plainly(at).await?;
        Err(Error::Failed(io::Error::other("the cluster took a manifest for something else")))
    }
}

/// What the refusal of a manifest means: what is wrong with its segments is in the text.
async fn refused(reply: Reply) -> Error {
    if reply.status != StatusCode::BAD_REQUEST {
        return refusal(reply).await;
    }
    let text = match reply.bytes().await {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) => return error,
    };
    tracing::debug!(text = text.chars().take(400).collect::<String>(), "a manifest is refused");
    manifest_refusal(&text)
}

fn manifest_refusal(text: &str) -> Error {
    if text.contains("404 Not Found") {
        Error::NotFound
    } else if text.contains("Mismatch") {
        Error::StampMismatch
    } else {
        Error::Failed(io::Error::other("the service refuses a manifest"))
    }
}

fn warn(container: &str, freed: Result<()>) {
    if let Err(error) = freed {
        tracing::warn!(container, error = &error as &dyn std::error::Error, "segments could not be freed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::UploadId;

    #[test]
    fn only_segments_that_are_known_to_be_such_are_freed() {
        let handle = UploadId::fresh().to_string();
        let ours = segment(&handle, 1);
        let mut remains = Remains::default();
        for path in [
            &format!("/c/{ours}"),
            "/c_segments/x/1",
            "/c+segments/y/1",
            "/c/a",
            &format!("/d/{ours}"),
            "/d_segments/x",
        ] {
            remains.add("c", path);
        }
        assert_eq!(remains.ours, BTreeMap::from([(handle, vec![ours])]));
        assert_eq!(remains.beside.keys().collect::<Vec<_>>(), ["c+segments", "c_segments"]);
        assert_eq!(remains.strange, 3);
    }

    #[test]
    fn what_is_wrong_with_a_manifest() {
        assert!(matches!(manifest_refusal("Errors:\n/c/1, 404 Not Found"), Error::NotFound));
        assert!(matches!(manifest_refusal("Errors:\n/c/1, Etag Mismatch"), Error::StampMismatch));
        assert!(matches!(manifest_refusal("Errors:\n/c/1, Size Mismatch"), Error::StampMismatch));
        assert!(matches!(manifest_refusal("Invalid SLO Manifest File"), Error::Failed(_)));
    }
}
