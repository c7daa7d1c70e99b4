//! Joins: pieces that are objects become one that does not depend on them.
//!
//! A manifest that lists the pieces makes them one object for a while, and the service verifies each of them as it takes
//! it; that object is copied like any other, and then only the manifest is removed.
//!
//! **Invariant:** the pieces stay, whatever happens.

use http::Method;

use super::Swift;
use super::headers::untag;
use super::json::{Row, Segment};
use super::objects::Source;
use super::segments::below;
use crate::model::object::Content;
use crate::provider::Result;
use crate::provider::cloud::service::{At, Piece, When};

impl Swift {
    pub(super) async fn join_pieces(&self, to: At<'_>, pieces: &[Piece], content: &Content) -> Result<()> {
        let remains = self.before(to, When::Always).await?;
        let handle = self.begin_segments(to).await?;
        match self.join_below(to, &handle, pieces, content).await {
            Ok(()) => {
                self.free(to, remains, Some(&handle)).await;
                Ok(())
            }
            Err(error) => Err(self.give_up_after(to, &handle, error).await),
        }
    }

    async fn join_below(&self, to: At<'_>, handle: &str, pieces: &[Piece], content: &Content) -> Result<()> {
        let container = to.container;
        let segments = pieces.iter().map(|piece| Segment {
            path: format!("/{container}/{}", piece.name),
            etag: untag(&piece.tag).1.to_owned(),
            size_bytes: piece.size,
        });
        let prefix = format!("{}join", below(handle));
        let segments = self.fold(container, &prefix, segments.collect()).await?;
        let at = At { container, name: &prefix };
        let call = self.for_object(Method::PUT, at, "?multipart-manifest=put").await?;
        let etag = self.put_manifest(call, at, &segments).await?;
        let size = pieces.iter().map(|piece| piece.size).sum();
        let source = Source { at, etag: &etag, size };
        if size <= self.piece().await? {
            self.copy_whole(source, to, content).await?;
            // Nothing lists what is below the handle.
            let freed = self.free_handle(container, handle, vec![prefix]).await;
            return Ok(freed.unwrap_or_else(|error| {
                tracing::debug!(error = &error as &dyn std::error::Error, "segments stay until they are swept");
            }));
        }
        self.gather(source, to, handle, content).await?;
        self.remove_joined(container, &prefix).await;
        Ok(())
    }

    /// Removes the manifests that listed the pieces; what stays goes with the segments.
    async fn remove_joined(&self, container: &str, prefix: &str) {
        let names = match self.rows(container, prefix, "", 1000, None).await {
            Ok(rows) => rows.into_iter().filter_map(Row::entry).map(|entry| entry.name).collect(),
            Err(_) => vec![prefix.to_owned()],
        };
        if let Err(error) = self.remove_all(container, names).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "a manifest stays for a while");
        }
    }
}
