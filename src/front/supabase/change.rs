//! Copies and moves.
//!
//! A move is a copy whose source goes by the same commit. Whoever writes the source meanwhile is moved, too, or comes after.
//!
//! **Invariant:** the source must be readable and the destination writable, and for a move the source deletable, before
//! anything happens; without `x-upsert` nothing is replaced.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use super::error::{self, Refusal, Result};
use super::schema::Fields;
use super::{Asked, Supabase, meta, names, row, upload};
use crate::config::limits::COMMIT_TRIES_MAX;
use crate::model::caller::Caller;
use crate::model::condition::Conditions;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::{Content, Object};
use crate::store::Error;
use crate::store::request::{CopyContent, CopyRequest, Given};

/// From where to where.
struct Way {
    from: (BucketName, ObjectKey),
    to: (BucketName, ObjectKey),
    /// Whether the source goes when the copy is there.
    moves: bool,
}

impl Supabase {
    async fn way(&self, fields: &mut Fields) -> Result<Way> {
        for name in ["bucketId", "sourceKey", "destinationKey"] {
            fields.required(name);
        }
        let mut text = |name: &str| fields.text(name).unwrap_or_default();
        let (bucket, source, key) = (text("bucketId"), text("sourceKey"), text("destinationKey"));
        let other = text("destinationBucket");
        fields.check()?;
        let other = if other.is_empty() { &bucket } else { &other };
        Ok(Way {
            from: (self.bucket(&bucket).await?, names::key(&source)?),
            to: (self.bucket(other).await?, names::new_key(&key)?),
            moves: false,
        })
    }

    /// The source, for a caller who may read it.
    async fn source(&self, caller: &Caller, way: &Way) -> Result<Object> {
        match self.facts(caller, &way.from.0, &way.from.1).await {
            Ok(object) => Ok(object),
            Err(Error::AccessDenied | Error::NoSuchBucket) => Err(Refusal::no_key()),
            Err(error) => Err(error.into()),
        }
    }

    /// Copies, or moves; `content`: what to say of the copy instead, if it differs.
    async fn copied(
        &self,
        caller: &Caller,
        way: &Way,
        upsert: bool,
        content: impl Fn(&Object) -> Option<Content>,
        taken: &'static str,
    ) -> Result<(Object, Object)> {
        let conditions = upload::conditions(upsert);
        for _ in 0..COMMIT_TRIES_MAX {
            let source = self.source(caller, way).await?;
            let content = content(&source).unwrap_or_else(|| source.content.clone());
            let (target, size) = ((&way.to.0, &way.to.1), Some(source.size));
            match self.store.try_put(caller, target, &conditions, Some(&content), size).await {
                Ok(()) => {}
                Err(Error::NoSuchBucket) => return Err(Refusal::no_related()),
                Err(Error::PreconditionFailed) => return Err(Refusal::duplicate(taken)),
                Err(error) => return Err(error.into()),
            }
            let request = CopyRequest {
                from_bucket: way.from.0.clone(),
                from_key: way.from.1.clone(),
                from_version: None,
                // What is said of the copy is that of this source.
                source_conditions: Conditions::matching(&source.etag),
                source_key: None,
                bucket: way.to.0.clone(),
                key: way.to.1.clone(),
                content: CopyContent::Replace(Box::new(content)),
                keep_tags: true,
                given: Given { keeps_created: upsert, moved: way.moves, ..Given::default() },
                conditions: conditions.clone(),
                algorithm: None,
            };
            let copied = match way.moves {
                true => self.store.move_object(caller, request).await,
                false => self.store.copy(caller, request).await,
            };
            match copied {
                Ok(copied) => return Ok((source, copied.object)),
                // The source was overwritten, or the destination came to be: the next round tells.
                Err(Error::PreconditionFailed) => {}
                Err(Error::NoSuchBucket) => return Err(Refusal::no_related()),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::ConditionalConflict.into())
    }
}

pub(super) async fn copy(front: &Supabase, asked: &Asked, body: Body) -> Result<Response> {
    let caller = front.caller(asked).await?;
    let mut fields = Fields::of_body(&asked.head.headers, body).await?;
    let keep = fields.boolean("copyMetadata").unwrap_or(true);
    let said = fields.inner("metadata").unwrap_or_default();
    let way = front.way(&mut fields).await?;
    let text = |name: &str| said.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    let (kind, cache) = (text("mimetype"), text("cacheControl"));
    let kind = kind.filter(|_| !keep).map(|kind| meta::media_type(&kind)).transpose()?;
    let cache = cache.filter(|_| !keep);
    if cache.as_deref().is_some_and(|cache| http::HeaderValue::from_str(cache).is_err() || !cache.is_ascii()) {
        return Err(Refusal::invalid("Invalid cacheControl"));
    }
    let document = meta::header_document(asked)?;
    // What is not said of a row that is written over stays what it was.
    let kept = match document.is_none() && asked.upserts() && !keep {
        true => front.facts(&caller, &way.to.0, &way.to.1).await.ok().map(|object| object.content),
        false => None,
    };
    let changed = |source: &Object| {
        let mut content = source.content.clone();
        content.content_type = kind.clone().or(content.content_type);
        content.cache_control = cache.clone().or(content.cache_control);
        match &kept {
            Some(kept) => (content.document, content.user) = (kept.document.clone(), kept.user.clone()),
            None => meta::describe(&mut content, document.clone().unwrap_or_default()),
        }
        Some(content)
    };
    let content = |source: &Object| if keep { None } else { changed(source) };
    let (_, object) = front.copied(&caller, &way, asked.upserts(), content, "KeyAlreadyExists").await?;
    let (bucket, key) = &way.to;
    let mut answer = serde_json::Map::from_iter([
        ("Key".to_owned(), format!("{bucket}/{key}").into()),
        ("Id".to_owned(), row::id(&object).into()),
    ]);
    answer.extend(row::whole(bucket, &object));
    Ok(error::json(StatusCode::OK, &answer))
}

pub(super) async fn rename(front: &Supabase, asked: &Asked, body: Body) -> Result<Response> {
    let caller = front.caller(asked).await?;
    let mut fields = Fields::of_body(&asked.head.headers, body).await?;
    let way = Way { moves: true, ..front.way(&mut fields).await? };
    let moved = || Ok(error::json(StatusCode::OK, &json!({ "message": "Successfully moved" })));
    if way.from == way.to {
        front.source(&caller, &way).await?;
        return moved();
    }
    let caller = front.may_move(&caller, &way).await?;
    front.copied(&caller, &way, false, |_| None, "ResourceAlreadyExists").await?;
    moved()
}

impl Supabase {
    /// Who moves it. A move whose source would stay is refused.
    async fn may_move(&self, caller: &Caller, way: &Way) -> Result<Caller> {
        match self.store.may_move(caller, (&way.from.0, &way.from.1), (&way.to.0, &way.to.1)).await {
            Ok(caller) => Ok(caller),
            Err(Error::AccessDenied) => {
                // Who may not even read it does not learn that it is there.
                self.source(caller, way).await?;
                Err(Error::AccessDenied.into())
            }
            Err(Error::PreconditionFailed) => Err(Refusal::duplicate("ResourceAlreadyExists")),
            Err(Error::NoSuchBucket) if self.source(caller, way).await.is_ok() => Err(Refusal::no_related()),
            Err(Error::NoSuchBucket | Error::NoSuchKey) => Err(Refusal::no_key()),
            Err(error) => Err(error.into()),
        }
    }
}
