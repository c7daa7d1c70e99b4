//! GET and HEAD: one catalog lookup, one open; the other place, the row again and reconciliation only if that fails.
//!
//! **Invariant:** bytes are answered only under the facts of the row whose stamp they carry.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::catalog::Scope;
use crate::config::limits::READ_TRIES_MAX;
use crate::model::action::Action;
use crate::model::caller::Caller;
use crate::model::condition::{Conditions, ReadVerdict};
use crate::model::encryption::CustomerKey;
use crate::model::name::ObjectKey;
use crate::model::object::{Object, PartFact};
use crate::model::place::Placed;
use crate::model::versioning::VersionRef;
use crate::provider::{self, Body};
use crate::store::adopt::Reconciled;
use crate::store::bound::{Bound, is_absent};
use crate::store::error::{Error, Result};
use crate::store::request::{Found, FoundBody, GetRequest, Portion};
use crate::store::seal::Reading;
use crate::store::write::current_of;
use crate::store::young::Sight;
use crate::store::{SERVICE, Store};

/// An object whose bytes were opened.
pub(super) struct Opened {
    pub(super) object: Object,
    pub(super) place: crate::model::place::Place,
    pub(super) body: Body,
}

/// What is to be opened, and what for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) key: &'a ObjectKey,
    pub(super) version: Option<VersionRef>,
    pub(super) action: Action,
    /// The key that the client encrypted it with.
    pub(super) customer: Option<&'a CustomerKey>,
}

impl<'a> Named<'a> {
    /// With the client's key.
    pub(super) fn with(self, customer: Option<&'a CustomerKey>) -> Self {
        Self { customer, ..self }
    }

    /// What may be done to an object and what may be done to its versions are two rights.
    pub(super) fn new(key: &'a ObjectKey, version: Option<VersionRef>, action: Action) -> Self {
        Self { key, version, action: if version.is_some() { action.of_version() } else { action }, customer: None }
    }
}

impl Store {
    /// Reads an object.
    ///
    /// # Errors
    /// Refusals; also those of the conditions and the range. The body itself ends early if the bytes change under it.
    pub async fn get(&self, caller: &Caller, request: GetRequest) -> Result<FoundBody> {
        let named = Named::new(&request.key, request.version, Action::GetObject);
        let bound = self.enter_to_read(caller, &request.bucket, &request.key, named.version, named.action).await?;
        let mut found = None;
        let opened = self
            .open(caller, &bound, named.with(request.customer_key.as_ref()), |object| {
                let answer = answer_of(object, &request)?;
                let range = answer.0.clone();
                found = Some(answer);
                Ok(range)
            })
            .await?;
        let (range, partial, part) = found.unwrap_or((0..0, false, None));
        Ok(FoundBody { found: Found { object: opened.object, range, partial, part }, body: opened.body })
    }

    /// The facts of an object (HEAD), as true as a read would find them.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn head(&self, caller: &Caller, request: GetRequest) -> Result<Found> {
        self.facts(caller, request, Action::GetObject).await
    }

    /// The facts of an object for GetObjectAttributes.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn attributes(&self, caller: &Caller, request: GetRequest) -> Result<Found> {
        self.facts(caller, request, Action::GetObjectAttributes).await
    }

    /// The facts of an object for who asks for it as a torrent, which none is.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn torrent(&self, caller: &Caller, request: GetRequest) -> Result<Found> {
        self.facts(caller, request, Action::GetObjectTorrent).await
    }

    async fn facts(&self, caller: &Caller, request: GetRequest, action: Action) -> Result<Found> {
        let named = Named::new(&request.key, request.version, action);
        let bound = self.enter_to_read(caller, &request.bucket, &request.key, named.version, action).await?;
        let mut found = None;
        let opened = self
            .open(caller, &bound, named.with(request.customer_key.as_ref()), |object| {
                found = Some(answer_of(object, &request)?);
                Ok(0..0)
            })
            .await?;
        let (range, partial, part) = found.unwrap_or((0..0, false, None));
        Ok(Found { object: opened.object, range, partial, part })
    }

    /// Opens a version of a key, the current one if none is named, if the caller may do `action` to it. `choose` sees its
    /// facts and says which bytes, or refuses. The bytes come plain.
    pub(super) async fn open(
        &self,
        caller: &Caller,
        bound: &Arc<Bound>,
        named: Named<'_>,
        mut choose: impl FnMut(&Object) -> Result<Range<u64>> + Send,
    ) -> Result<Opened> {
        let Named { key, version, action, customer } = named;
        let scope = self.scope_to_read(caller, bound, action);
        for _ in 0..READ_TRIES_MAX {
            let current = self.catalog().object(&scope, bound.bucket.id, key).await?;
            let names = |row: &Object| version.is_none_or(|version| is_named(row, version));
            let row = match (current.filter(names), version) {
                (Some(row), _) => row,
                (None, Some(version)) => {
                    match self.open_behind(caller, bound, named, (version, &scope), &mut choose).await? {
                        Some(opened) => return Ok(opened),
                        // It is current by now.
                        None => continue,
                    }
                }
                // For a role, what it does not see is not there.
                (None, None) if scope != SERVICE => return Err(Error::NoSuchKey),
                (None, None) => {
                    self.allow_search(caller, bound, action, key)?;
                    match self.adopt_file(bound, key).await? {
                        Some(row) => row,
                        None => return Err(self.missing(caller, bound, key).await?),
                    }
                }
            };
            self.allow_object(caller, bound, action, &row)?;
            let row = self.looked_at(bound, row).await?;
            let shown = match self.sight(bound, &row).await? {
                Sight::Final => None,
                Sight::Young(shown) => Some(*shown),
                Sight::Settled => continue,
            };
            let reading = self.reading(bound, &row, customer, || choose(shown.as_ref().unwrap_or(&row)));
            // A refusal is about what is there, so the bytes are looked at before it is told.
            let wanted = reading.as_ref().map_or(0..0, Reading::stored);
            if let Some((place, body)) = self.open_row(bound, &row, wanted).await? {
                let body = reading?.open(body)?;
                return Ok(Opened { object: shown.unwrap_or(row), place, body });
            }
            let again = self.catalog().object(&SERVICE, bound.bucket.id, key).await?;
            if again.as_ref() != Some(&row) {
                continue;
            }
            match self.reconcile(bound, &row).await? {
                Reconciled::Again => {}
                Reconciled::Gone if version.is_some() => return Err(Error::NoSuchVersion),
                Reconciled::Gone => return Err(self.missing(caller, bound, key).await?),
                Reconciled::Kept(bytes) => {
                    let reading = reading?;
                    let kept = Body::Whole(slice(&bytes, reading.stored())?);
                    let body = reading.open(kept)?;
                    return Ok(Opened { place: row.place(), object: row, body });
                }
            }
        }
        Err(Error::Unavailable("the object keeps changing".into()))
    }

    /// Opens a version behind the current one. `None`: it is not behind it any more.
    async fn open_behind(
        &self,
        caller: &Caller,
        bound: &Arc<Bound>,
        Named { key, action, customer, .. }: Named<'_>,
        (version, scope): (VersionRef, &Scope),
        choose: &mut (impl FnMut(&Object) -> Result<Range<u64>> + Send),
    ) -> Result<Option<Opened>> {
        let row = self.catalog().version(scope, bound.bucket.id, key, version).await?;
        match &row {
            Some(row) => self.allow_object(caller, bound, action, row)?,
            None => self.allow_search(caller, bound, action, key)?,
        }
        let row = match row {
            Some(row) if row.marker => {
                return Err(Error::MarkerNamed { version: row.shown(), modified: row.modified });
            }
            Some(row) => row,
            None if *scope != SERVICE => return Err(Error::NoSuchVersion),
            // A file that nobody knows yet is the version `null`.
            None if version == VersionRef::Null && self.adopt_file(bound, key).await?.is_some_and(|row| row.null) => {
                return Ok(None);
            }
            None => return Err(self.missing_version(caller, bound, key)),
        };
        let reading = self.reading(bound, &row, customer, || choose(&row));
        let wanted = reading.as_ref().map_or(0..0, Reading::stored);
        let mut opened = self.open_row(bound, &row, wanted.clone()).await?;
        let order;
        if opened.is_none() {
            // A lay-out under way holds it for a moment.
            order = self.0.locks.lock(bound.bucket.id, key).await;
            opened = self.open_row(bound, &row, wanted.clone()).await?;
            if opened.is_none()
                && let Some(bytes) = self.catalog().inline(&SERVICE, bound.bucket.id, row.version).await?
            {
                opened = Some((row.place(), Body::Whole(slice(&bytes, wanted.clone())?)));
            }
            if opened.is_none() && self.help_others(bound, &row.key).await? {
                opened = self.open_row(bound, &row, wanted).await?;
            }
            drop(order);
        }
        if let Some((place, body)) = opened {
            let body = reading?.open(body)?;
            return Ok(Some(Opened { object: row, place, body }));
        }
        let again = self.catalog().version(&SERVICE, bound.bucket.id, key, version).await?;
        if again.as_ref() != Some(&row) {
            return Ok(None);
        }
        let text = format!("the bytes of noncurrent version {} are not at its places", row.version);
        Err(Error::Internal(text.into()))
    }

    /// What is told of a key without a current version.
    pub(super) async fn missing(&self, caller: &Caller, bound: &Bound, key: &ObjectKey) -> Result<Error> {
        let missing = self.missing_key(caller, bound, key);
        if self.is_judged(caller) || !matches!(missing, Error::NoSuchKey) || !bound.bucket.config.versioning.ever() {
            return Ok(missing);
        }
        let newest = self.catalog().history(&SERVICE, bound.bucket.id, key, 1).await?.pop();
        Ok(newest.filter(|newest| newest.marker).map_or(missing, |marker| Error::Deleted { version: marker.shown() }))
    }

    pub(super) fn missing_version(&self, caller: &Caller, bound: &Bound, key: &ObjectKey) -> Error {
        match self.missing_key(caller, bound, key) {
            Error::NoSuchKey => Error::NoSuchVersion,
            denied => denied,
        }
    }

    /// Tries the two places of a row; `None` if its bytes are at neither.
    async fn open_row(
        &self,
        bound: &Arc<Bound>,
        row: &Object,
        range: Range<u64>,
    ) -> Result<Option<(crate::model::place::Place, Body)>> {
        for place in [row.place(), row.other_place()] {
            match bound.provider.read(bound.place(), &place, &row.stamp, range.clone()).await {
                Ok(body) => {
                    if row.placed != Placed::Managed && place != row.place() {
                        self.lay_out_again(bound.clone(), row.key.clone(), row.version);
                    }
                    return Ok(Some((place, body)));
                }
                Err(error) if is_absent(&error) => {}
                Err(provider::Error::Denied) => return Err(Error::Internal("a file may not be read".into())),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}

/// Whether a request that names `version` means this row.
pub(super) fn is_named(row: &Object, version: VersionRef) -> bool {
    match version {
        VersionRef::Null => row.null,
        VersionRef::Id(id) => row.version == id,
    }
}

/// A range of bytes that are in memory.
fn slice(bytes: &Bytes, range: Range<u64>) -> Result<Bytes> {
    let at = |n: u64| usize::try_from(n).ok().filter(|n| *n <= bytes.len());
    match (at(range.start), at(range.end)) {
        (Some(start), Some(end)) if start <= end => Ok(bytes.slice(start..end)),
        _ => Err(Error::Internal("bytes kept in the catalog are shorter than their row says".into())),
    }
}

type Answer = (Range<u64>, bool, Option<PartFact>);

/// What a request gets of an object: conditions first, then the range.
fn answer_of(object: &Object, request: &GetRequest) -> Result<Answer> {
    check_read(&request.conditions, object)?;
    let other = request.if_range.as_ref().is_some_and(|state| !state.names(&object.etag, object.modified));
    match request.portion {
        Portion::Whole => Ok((0..object.size, false, None)),
        Portion::Range(_) if other => Ok((0..object.size, false, None)),
        Portion::Range(range) => {
            let range = range.resolve(object.size).map_err(|_| Error::InvalidRange { size: object.size })?;
            Ok((range, true, None))
        }
        Portion::Part(number) => part_of(object, number),
    }
}

pub(super) fn check_read(conditions: &Conditions, object: &Object) -> Result<()> {
    match conditions.read(current_of(object)) {
        ReadVerdict::Proceed => Ok(()),
        ReadVerdict::Failed => Err(Error::PreconditionFailed),
        ReadVerdict::NotModified => Err(Error::NotModified {
            etag: object.etag.clone(),
            modified: object.modified,
            cache_control: object.content.cache_control.clone(),
        }),
    }
}

/// The bytes of one part. Parts count from 1 in the order of the object; an object that was not uploaded in parts is
/// its own part 1.
fn part_of(object: &Object, number: u32) -> Result<Answer> {
    if object.parts.is_empty() {
        return if number == 1 { Ok((0..object.size, true, None)) } else { Err(Error::NoSuchPart) };
    }
    let index = usize::try_from(number).ok().and_then(|n| n.checked_sub(1)).ok_or(Error::NoSuchPart)?;
    let part = object.parts.get(index).ok_or(Error::NoSuchPart)?;
    let start: u64 = object.parts[..index].iter().map(|p| p.size).sum();
    Ok((start..start + part.size, true, Some(part.clone())))
}

/// The blocks of a body as a stream, whichever form it has.
pub(super) fn blocks(body: Body) -> provider::Blocks {
    match body {
        Body::Whole(bytes) => {
            Box::pin(futures_util::stream::iter((!bytes.is_empty()).then_some(Ok::<Bytes, _>(bytes))))
        }
        Body::Blocks(blocks) => blocks,
    }
}
