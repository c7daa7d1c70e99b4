//! Bodies at Google that are made of others: blocks, joins and copies.
//!
//! One composition takes 32 sources, so more are composed in a tree, whose inner nodes are temporary objects beside the
//! blocks. What was composed depends on none of its sources.
//!
//! **Invariant:** each source is named with its generation; what is temporary lies below `.longshore/blocks/<handle>/`
//! and is removed when the body is there or given up, or else by the sweep.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::Google;
use super::json::{Composition, Object, Resource, Rewritten, Source, WRITTEN, moment, number, strange};
use crate::config::limits::{
    CLOUD_PIECES_AT_ONCE, GOOGLE_COMPOSE_SOURCES_MAX, GOOGLE_REWRITE_BYTES, GOOGLE_REWRITES_MAX, LIST_KEYS_MAX,
};
use crate::model::id::UploadId;
use crate::model::name::RESERVED;
use crate::model::object::Content;
use crate::model::time::Timestamp;
use crate::provider::cloud::payload::Payload;
use crate::provider::cloud::service::{At, Facts, Piece, Sent, When};
use crate::provider::{Error, Result};

/// A handle, which says when it was made.
pub(super) fn fresh_handle() -> String {
    UploadId::fresh().to_string()
}

/// What all temporary names begin with.
fn temporary() -> String {
    format!("{RESERVED}/blocks/")
}

/// The name of a block, so that the order of names is that of numbers.
fn block_name(handle: &str, number: u32) -> String {
    format!("{}{handle}/{number:06}", temporary())
}

/// The handle in a temporary name.
fn handle_of(name: &str) -> &str {
    let rest = name.strip_prefix(&temporary()).unwrap_or_default();
    rest.split('/').next().unwrap_or_default()
}

impl Google {
    pub(super) async fn write_block(
        &self,
        container: &str,
        handle: &str,
        number: u32,
        body: &Payload,
    ) -> Result<String> {
        let name = block_name(handle, number);
        self.write(At { container, name: &name }, body, &Content::default(), When::Always).await
    }

    pub(super) async fn commit_blocks(
        &self,
        at: At<'_>,
        handle: &str,
        blocks: &[Sent],
        content: &Content,
    ) -> Result<String> {
        if blocks.is_empty() {
            return self.write(at, &Payload::default(), content, When::Always).await;
        }
        let piece =
            |block: &Sent| Piece { name: block_name(handle, block.number), tag: block.tag.clone(), size: block.size };
        let pieces: Vec<Piece> = blocks.iter().map(piece).collect();
        let size = pieces.iter().map(|piece| piece.size).sum();
        let composed = match self.compose_all(at, handle, pieces, content).await {
            // An earlier call may have got so far as to remove the blocks; no generation is that of what is not there.
            Err(error @ (Error::NotFound | Error::StampMismatch)) => {
                self.committed(at, size, content).await.map_err(|_| error)
            }
            composed => composed,
        }?;
        self.forget(at.container, handle).await;
        Ok(composed)
    }

    /// The tag of what is at a name, if it is known by a mark of Longshore's to be what was to be written there.
    async fn committed(&self, at: At<'_>, size: u64, content: &Content) -> Result<String> {
        let there = self.look(at).await?;
        let marked = content.user.keys().any(|name| name.starts_with("longshore"));
        let same = content
            .user
            .iter()
            .all(|(name, value)| !name.starts_with("longshore") || there.content.user.get(name) == Some(value));
        if marked && same && there.size == size { Ok(there.tag) } else { Err(Error::NotFound) }
    }

    pub(super) async fn join_pieces(&self, to: At<'_>, pieces: &[Piece], content: &Content) -> Result<()> {
        let handle = fresh_handle();
        let joined = self.compose_all(to, &handle, pieces.to_vec(), content).await;
        if pieces.len() > GOOGLE_COMPOSE_SOURCES_MAX {
            self.forget(to.container, &handle).await;
        }
        joined.map(drop)
    }

    /// Composes any number of pieces. A single one is composed too and not copied, so that no body that was sent in
    /// pieces has a digest.
    async fn compose_all(&self, to: At<'_>, handle: &str, mut pieces: Vec<Piece>, content: &Content) -> Result<String> {
        let nothing = Content::default();
        for level in 1.. {
            if pieces.len() <= GOOGLE_COMPOSE_SOURCES_MAX {
                break;
            }
            let groups: Vec<Vec<Piece>> = pieces.chunks(GOOGLE_COMPOSE_SOURCES_MAX).map(<[Piece]>::to_vec).collect();
            let made = groups.into_iter().enumerate().map(|(n, group)| {
                let name = format!("{}{handle}/level{level}-{n:06}", temporary());
                let nothing = &nothing;
                async move {
                    let at = At { container: to.container, name: &name };
                    let (tag, size) = self.compose(at, &group, nothing).await?;
                    Ok::<_, Error>(Piece { name, tag, size })
                }
            });
            pieces = stream::iter(made).buffered(CLOUD_PIECES_AT_ONCE).try_collect().await?;
        }
        self.compose(to, &pieces, content).await.map(|(tag, _)| tag)
    }

    /// Composes a few pieces; returns the tag and the size.
    async fn compose(&self, to: At<'_>, pieces: &[Piece], content: &Content) -> Result<(String, u64)> {
        let composition = Composition {
            source_objects: pieces.iter().map(|piece| Source::new(&piece.name, &piece.tag)).collect(),
            destination: Resource::new(content),
        };
        let made: Object = self.post(self.endpoint.compose(to).with("fields", WRITTEN), &composition, 0).await?;
        let size = pieces.iter().map(|piece| piece.size).sum();
        if number(&made.size)? != size {
            return Err(strange("the pieces do not make up the whole"));
        }
        Ok((made.generation, size))
    }

    /// Copies in as many requests as the service wants; each but the first one goes on where the last one ended.
    pub(super) async fn rewrite(
        &self,
        from: At<'_>,
        source: &Facts,
        to: At<'_>,
        content: &Content,
        when: When<'_>,
    ) -> Result<()> {
        let resource = Resource::new(content);
        let mut token = None::<String>;
        for _ in 0..GOOGLE_REWRITES_MAX {
            let address = self
                .endpoint
                .rewrite(from, to)
                .when(when)
                .with("ifSourceGenerationMatch", &source.tag)
                .with("maxBytesRewrittenPerCall", &GOOGLE_REWRITE_BYTES.to_string())
                .with("fields", "done,rewriteToken,resource(name,generation,size)")
                .with_some("rewriteToken", token.as_deref());
            let answer = self.post(address, &resource, source.size.min(GOOGLE_REWRITE_BYTES)).await;
            // A condition on the generation of the source is also not met where nothing is.
            if matches!(answer, Err(Error::StampMismatch)) && matches!(self.look(from).await, Err(Error::NotFound)) {
                return Err(Error::NotFound);
            }
            let Rewritten { done, rewrite_token, resource: made } = answer?;
            if done {
                let made = made.ok_or_else(|| strange("a copy that is done and not there"))?;
                let whole = number(&made.size)? == source.size;
                return if whole { Ok(()) } else { Err(strange("a copy of another size")) };
            }
            token = rewrite_token;
            if token.is_none() {
                return Err(strange("a copy that does not go on"));
            }
        }
        Err(strange("a copy that does not end"))
    }

    /// Removes what is temporary of a body that is there now. What stays is left to the sweep.
    async fn forget(&self, container: &str, handle: &str) {
        if let Err(error) = self.remove_blocks(container, handle).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "blocks stay until they are swept");
        }
    }

    pub(super) async fn remove_blocks(&self, container: &str, handle: &str) -> Result<()> {
        let prefix = format!("{}{handle}/", temporary());
        self.clear(container, &prefix, |_| Ok(true)).await.map(drop)
    }

    pub(super) async fn sweep_blocks(&self, container: &str, before: Timestamp) -> Result<u64> {
        self.clear(container, &temporary(), |object| Ok(begun(object)? < before)).await
    }

    /// Removes what is to go below a prefix. Returns of how many bodies.
    async fn clear(
        &self,
        container: &str,
        prefix: &str,
        goes: impl Fn(&Object) -> Result<bool> + Send + Sync,
    ) -> Result<u64> {
        let (mut after, mut bodies, mut last) = (None::<String>, 0, String::new());
        loop {
            let (objects, more) = match self.objects(container, prefix, after.as_deref(), LIST_KEYS_MAX).await {
                // With the container all of it is gone.
                Err(Error::NotFound) => return Ok(bodies),
                listed => listed?,
            };
            let Some(end) = objects.last().map(|object| object.name.clone()) else { return Ok(bodies) };
            let mut old = Vec::new();
            for object in objects {
                if goes(&object)? {
                    let handle = handle_of(&object.name);
                    if handle != last {
                        bodies += 1;
                        last = handle.to_owned();
                    }
                    old.push(object);
                }
            }
            let removals = old.into_iter().map(|object| async move {
                self.remove_generation(At { container, name: &object.name }, &object.generation).await
            });
            stream::iter(removals).buffer_unordered(CLOUD_PIECES_AT_ONCE).try_collect::<()>().await?;
            if !more {
                return Ok(bodies);
            }
            after = Some(end);
        }
    }
}

/// When the body was begun that a temporary object belongs to.
fn begun(object: &Object) -> Result<Timestamp> {
    match UploadId::parse(handle_of(&object.name)) {
        Some(handle) => Ok(Timestamp(i64::try_from(handle.made()).unwrap_or(i64::MAX))),
        None => moment(&object.time_created),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_name_says_its_body_and_when_it_was_begun() {
        let handle = fresh_handle();
        let name = block_name(&handle, 7);
        assert_eq!(name, format!(".longshore/blocks/{handle}/000007"));
        assert_eq!(handle_of(&name), handle);
        assert!(block_name(&handle, 9) < block_name(&handle, 10));
        let object = Object { name, ..Object::default() };
        let id = UploadId::parse(&handle).expect("an id");
        assert_eq!(begun(&object).expect("a time").0 as u64, id.made());
        let other = Object {
            name: format!("{}x/1", temporary()),
            time_created: "2026-11-22T07:58:02Z".into(),
            ..Object::default()
        };
        assert_eq!(begun(&other).expect("a time").seconds(), 1_795_334_282);
    }
}
