//! Uploads: raw or as a form, by a caller or by a signed address.
//!
//! **Invariant:** a body is streamed to the store, which refuses what is too large while it comes; of writes of one new
//! key that must not replace anything one is taken.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use super::error::{self, Refusal, Result};
use super::route::Op;
use super::sign::Scope;
use super::{Asked, Supabase, form, meta, names, row};
use crate::front::wire::{frames, length, limited};
use crate::model::caller::{Caller, Token, Who, id_of_subject};
use crate::model::condition::{Conditions, TagMatch};
use crate::model::name::{BucketName, ObjectKey};
use crate::model::object::Object;
use crate::store::Error;
use crate::store::request::{Given, Incoming, PutRequest};

/// The end of the names of empty objects that stand for folders.
const PLACEHOLDER: &str = ".emptyFolderPlaceholder";

/// The conditions of a write.
pub(super) fn conditions(upsert: bool) -> Conditions {
    Conditions { if_none_match: (!upsert).then_some(TagMatch::Any), ..Conditions::default() }
}

/// Why a write is refused, in the words for objects.
pub(super) fn refused(error: Error) -> Refusal {
    match error {
        Error::PreconditionFailed => Refusal::duplicate("KeyAlreadyExists"),
        error => error.into(),
    }
}

/// By a caller.
pub(super) async fn upload(front: &Supabase, asked: &Asked, body: Body) -> Result<Response> {
    let caller = front.caller(asked).await?;
    let bucket = front.bucket(&asked.route.bucket).await?;
    let key = names::new_key(&asked.route.key)?;
    let upsert = asked.route.op == Op::Update || asked.upserts();
    let object = front.put(&caller, asked, (&bucket, &key), upsert, body).await?;
    Ok(error::json(StatusCode::OK, &json!({ "Key": format!("{bucket}/{key}"), "Id": row::id(&object) })))
}

/// By a signed address, which says who owns what is written and whether it may replace anything.
pub(super) async fn signed(front: &Supabase, asked: &Asked, body: Body) -> Result<Response> {
    let claims = front.address(asked, Scope::Upload)?;
    let (bucket, key) = (front.bucket(&claims.bucket).await?, names::new_key(&claims.key)?);
    let caller = service_for(asked, claims.owner.as_deref());
    front.put(&caller, asked, (&bucket, &key), claims.upsert, body).await?;
    Ok(error::json(StatusCode::OK, &json!({ "Key": format!("{bucket}/{key}") })))
}

/// The service, in the name of a subject: the permission was asked for when the address was signed.
pub(super) fn service_for(asked: &Asked, owner: Option<&str>) -> Caller {
    asked.facts.set_caller(&owner.map_or_else(|| "signed".to_owned(), id_of_subject));
    Who::Token(Token::service_for(owner).into()).into()
}

impl Supabase {
    async fn put(
        &self,
        caller: &Caller,
        asked: &Asked,
        (bucket, key): (&BucketName, &ObjectKey),
        upsert: bool,
        body: Body,
    ) -> Result<Object> {
        let content = meta::of_headers(asked)?;
        let kind = content.content_type.clone().unwrap_or_default();
        let declared = length(&asked.head.headers);
        let is_form = kind.split(';').next().is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/form-data"));
        let (content, frames, length, behind) = if is_form {
            // Who may not write is told before the form is read; a role's policies may ask what its head says.
            if !self.store.is_judged(caller) {
                let conditions = conditions(upsert);
                self.store.try_put(caller, (bucket, key), &conditions, None, None).await.map_err(refused)?;
            }
            let form = form::read(&kind, frames(body), content).await?;
            (form.content, form.frames, None, Some(form.behind))
        } else {
            (content, frames(body), declared, None)
        };
        let most = if key.as_str().ends_with(PLACEHOLDER) { 0 } else { self.options.file_bytes_max };
        if length.is_some_and(|length| length > most) {
            return Err(Refusal::too_large());
        }
        let frames = limited(frames, most);
        let request = PutRequest {
            bucket: bucket.clone(),
            key: key.clone(),
            content,
            given: Given { keeps_created: upsert, ..Given::default() },
            conditions: conditions(upsert),
            body: Incoming { around: declared, ..Incoming::new(frames, length) },
        };
        self.store.put_with(caller, request, behind).await.map_err(refused)
    }
}
