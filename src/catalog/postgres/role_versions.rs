//! Versions behind the current ones, asked about under a role.
//!
//! The tables of Supabase hold current versions only, and policies speak of their rows. So a version is put into the place
//! of the current one behind a savepoint, the role is asked what it sees or may do, and all is undone: exact for any
//! policy, at a price that only requests about versions pay.
//!
//! **Invariant:** nothing of it is ever committed, and the facts that are told of a version are those it was asked with.

use std::collections::HashSet;

use super::pool::{Begin, Call, Pool};
use super::roles::{enter, leave, name_bucket, refusal, texts};
use super::rows;
use super::{objects, statements as sql};
use crate::catalog::{Acting, Change, History, Intent, Result, VersionWindow};
use crate::config::limits::{CATALOG_VERSIONS_AT_ONCE, LIST_KEYS_MAX};
use crate::model::id::{BucketId, VersionId};
use crate::model::name::ObjectKey;
use crate::model::object::{Entry, Object};
use crate::model::page::Seek;
use crate::model::versioning::VersionRef;

/// Puts a version into the place of the current one.
pub(super) fn place(bucket: BucketId, version: &Object) -> Call {
    let (metadata, user) = rows::shown(version);
    Call::new(sql::PLACE_VERSION)
        .with(bucket.0)
        .with(version.key.as_str().to_owned())
        .with(version.version.to_string())
        .with(version.owner.clone())
        .with(metadata)
        .with(user)
}

/// What a change means, for the policies; `None`: they have nothing to say about it.
///
/// A version that comes back from behind the current one, because that or a marker before it is removed, is not written:
/// what is asked for is the removal.
pub(super) fn intent_of(change: &Change) -> Option<Intent> {
    let removed = |version: Option<VersionId>| {
        let mut history = change.history.iter();
        history.find_map(|step| match step {
            History::Remove(seen) if Some(seen.version) != version => Some(seen.version),
            _ => None,
        })
    };
    let replaced = change.history.iter().find_map(|step| match step {
        History::Replace(seen, _) => Some(seen.version),
        _ => None,
    });
    let remove = |version| Intent::RemoveVersion(VersionRef::Id(version));
    let Some(object) = &change.becomes else {
        return match change.expect {
            Some(_) => Some(Intent::Remove),
            None => removed(None).map(remove),
        };
    };
    let comes_back =
        change.history.iter().any(|step| matches!(step, History::Remove(seen) if seen.version == object.version));
    match change.expect {
        Some(seen) if seen.version == object.version => Some(match (replaced, removed(None)) {
            (Some(version), _) => Intent::ChangeVersion(VersionRef::Id(version)),
            (None, Some(version)) => remove(version),
            (None, None) => Intent::Change,
        }),
        Some(_) if comes_back => Some(Intent::Remove),
        None if comes_back => removed(Some(object.version)).map(remove),
        Some(_) | None => Some(Intent::write(&object.content, Some(object.size))),
    }
}

/// One version, current or not, if the role would see it as the current one.
pub(super) async fn version(
    pool: &Pool,
    acting: &Acting,
    bucket: BucketId,
    key: &ObjectKey,
    version: VersionRef,
) -> Result<Option<Object>> {
    let Some(object) = objects::version(pool, bucket, key, version).await? else { return Ok(None) };
    let seen = seen(pool, acting, bucket, std::slice::from_ref(&object)).await?;
    Ok(Some(object).filter(|object| seen.contains(&object.version)))
}

/// Those of these versions that the role would see as the current ones.
async fn seen(pool: &Pool, acting: &Acting, bucket: BucketId, versions: &[Object]) -> Result<HashSet<VersionId>> {
    let mut found = HashSet::new();
    for some in versions.chunks(CATALOG_VERSIONS_AT_ONCE) {
        let mut calls = vec![name_bucket(bucket)];
        for version in some {
            let seen = Call::new(sql::SEEN_NAMES).with(vec![version.key.as_str().to_owned()]);
            let undo = Call::new(sql::ROLLBACK_TO);
            calls.extend([Call::new(sql::SAVEPOINT), place(bucket, version), enter(acting), seen, undo]);
        }
        let answers = pool.try_out(Begin::Write, &calls).await?.map_err(refusal)?;
        let answers = answers.iter().skip(1).skip(3).step_by(5);
        let visible = some.iter().zip(answers).filter(|(_, rows)| !rows.is_empty());
        found.extend(visible.map(|(version, _)| version.version));
    }
    Ok(found)
}

/// A page of the versions that the role sees.
pub(super) async fn list(
    pool: &Pool,
    acting: &Acting,
    bucket: BucketId,
    mut window: VersionWindow,
) -> Result<Vec<Entry>> {
    let (limit, mut page) = (window.limit, Vec::new());
    while page.len() < limit {
        let some = VersionWindow { limit: LIST_KEYS_MAX, ..window.clone() };
        let rows = objects::list_versions(pool, bucket, some).await?;
        let Some(last) = rows.last() else { break };
        let ended = rows.len() < LIST_KEYS_MAX;
        window.rest_of = Some((last.key.clone(), last.counter));
        window.seek = Seek::After(last.key.as_str().to_owned());
        let current = rows.iter().filter(|row| row.latest && !row.marker).map(|row| row.key.as_str().to_owned());
        let names = seen_names(pool, acting, bucket, current.collect()).await?;
        let behind = rows.iter().filter(|row| !row.latest || row.marker).map(|row| row.version.to_string());
        let call = Call::new(sql::VERSIONS_NAMED).with(bucket.0).with(behind.collect::<Vec<_>>());
        let behind = pool.run(Begin::Read, &[call]).await?;
        let behind = behind.iter().flatten().map(objects::read_object).collect::<Result<Vec<_>>>()?;
        let versions = seen(pool, acting, bucket, &behind).await?;
        page.extend(rows.into_iter().filter(|row| match row.latest && !row.marker {
            true => names.contains(row.key.as_str()),
            false => versions.contains(&row.version),
        }));
        if ended {
            break;
        }
    }
    page.truncate(limit);
    Ok(page)
}

/// Those of the names whose current versions the role sees.
async fn seen_names(pool: &Pool, acting: &Acting, bucket: BucketId, names: Vec<String>) -> Result<HashSet<String>> {
    let seen = Call::new(sql::SEEN_NAMES).with(names);
    let calls = [name_bucket(bucket), enter(acting), seen, leave()];
    let answers = pool.try_run(Begin::Read, &calls).await?.map_err(refusal)?;
    Ok(texts(&answers[2], 0)?.into_iter().collect())
}
