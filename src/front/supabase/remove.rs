//! Deletion of objects, one or many.
//!
//! **Invariant:** of many, what the caller may not read and delete stays, and is not told.

use axum::body::Body;
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use serde_json::json;

use super::error::{self, Refusal, Result};
use super::schema::{Fields, Given, not_empty_json};
use super::{Asked, Supabase, names, row};
use crate::config::limits::{COMMIT_TRIES_MAX, DELETES_AT_ONCE};
use crate::model::caller::Caller;
use crate::model::condition::{Conditions, TagMatch};
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::Object;
use crate::store::Error;
use crate::store::request::{DeleteRequest, GetRequest, Portion};

pub(super) async fn one(front: &Supabase, asked: &Asked) -> Result<Response> {
    let caller = front.caller(asked).await?;
    not_empty_json(&asked.head.headers)?;
    let bucket = front.bucket(&asked.route.bucket).await?;
    let key = names::key(&asked.route.key)?;
    let there = Conditions { if_match: Some(TagMatch::Any), ..Conditions::default() };
    match front.delete(&caller, &bucket, &key, there).await {
        Ok(()) => Ok(error::json(StatusCode::OK, &json!({ "message": "Successfully deleted" }))),
        Err(Error::AccessDenied) => Err(Refusal::denied("Access denied")),
        Err(Error::NoSuchBucket | Error::PreconditionFailed) => Err(Refusal::no_key()),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn many(front: &Supabase, asked: &Asked, body: Body) -> Result<Response> {
    let caller = front.caller(asked).await?;
    let mut fields = Fields::of_body(&asked.head.headers, body).await?;
    fields.required("prefixes");
    let names = match fields.texts("prefixes") {
        Given::Is(names) => {
            if names.is_empty() {
                fields.problem("/prefixes must NOT have fewer than 1 items");
            }
            names
        }
        Given::Null => {
            fields.problem("/prefixes must be array");
            Vec::new()
        }
        Given::Absent => Vec::new(),
    };
    fields.check()?;
    let bucket = front.bucket(&asked.route.bucket).await?;
    let keys: Vec<ObjectKey> = names.iter().filter_map(|name| names::key(name).ok()).collect();
    let (front, bucket, caller) = (&front, &bucket, &caller);
    let deletions = keys.into_iter().map(|key| async move { front.taken(caller, bucket, &key).await });
    let mut deletions = stream::iter(deletions).buffered(DELETES_AT_ONCE);
    let mut rows = Vec::new();
    while let Some(taken) = deletions.next().await {
        rows.extend(taken?.map(|object| row::whole(bucket, &object)));
    }
    Ok(error::json(StatusCode::OK, &rows))
}

impl Supabase {
    pub(super) async fn delete(
        &self,
        caller: &Caller,
        bucket: &BucketName,
        key: &ObjectKey,
        conditions: Conditions,
    ) -> std::result::Result<(), Error> {
        let (bucket, key) = (bucket.clone(), key.clone());
        let request = DeleteRequest::current(bucket, key, conditions);
        self.store.delete(caller, request).await.map(|_| ())
    }

    /// The facts of an object that a caller may read.
    pub(super) async fn facts(
        &self,
        caller: &Caller,
        bucket: &BucketName,
        key: &ObjectKey,
    ) -> std::result::Result<Object, Error> {
        let request = GetRequest {
            bucket: bucket.clone(),
            key: key.clone(),
            version: None,
            portion: Portion::Whole,
            conditions: Conditions::default(),
            if_range: None,
            customer_key: None,
        };
        Ok(self.store.head(caller, request).await?.object)
    }

    /// Deletes an object and returns what it was; `None` if it is not there for the caller.
    async fn taken(&self, caller: &Caller, bucket: &BucketName, key: &ObjectKey) -> Result<Option<Object>> {
        for _ in 0..COMMIT_TRIES_MAX {
            let object = match self.facts(caller, bucket, key).await {
                Ok(object) => object,
                Err(error) => return absent(error),
            };
            match self.delete(caller, bucket, key, Conditions::matching(&object.etag)).await {
                Ok(()) => return Ok(Some(object)),
                // Somebody overwrote it.
                Err(Error::PreconditionFailed) => {}
                Err(error) => return absent(error),
            }
        }
        Err(Error::ConditionalConflict.into())
    }
}

fn absent(error: Error) -> Result<Option<Object>> {
    let refusal = Refusal::from(error);
    if refusal.status == 404 || refusal.is_denied() { Ok(None) } else { Err(refusal) }
}
