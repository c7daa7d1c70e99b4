//! Rows of objects: lookups and listings.
//!
//! **Invariant:** a current version is a row that the tables of Supabase show, joined by its version to the facts; a row
//! that somebody else rewrote has another version. It shows only in a bucket that is shared, with what it says of itself.

use tokio_postgres::Row;

use super::pool::{Begin, Call, Pool};
use super::rows::{self, get};
use super::{span, statements as sql};
use crate::catalog::{Result, VersionWindow, Window};
use crate::model::id::{BucketId, VersionId};
use crate::model::name::ObjectKey;
use crate::model::object::{Entry, Object};
use crate::model::place::{Place, Placed};
use crate::model::versioning::VersionRef;

use super::failure::Fault;

fn read_entry(row: &Row) -> Result<Entry> {
    Ok(Entry {
        key: rows::key(row, 0)?,
        version: rows::version(row, 1)?,
        placed: rows::placed(row, 2)?,
        stamp: rows::stamp(row, 3)?,
        size: rows::unsigned(row, 4)?,
        modified: rows::timestamp(row, 5)?,
        etag: get(row, 6)?,
        owner: get(row, 7)?,
        storage_class: get(row, 8)?,
        checksum: rows::sum_kind(row, 9)?,
        counter: rows::unsigned(row, 11)?,
        null: get(row, 12)?,
        marker: get(row, 13)?,
        latest: false,
    })
}

/// A row of a listing.
pub(super) fn read_listed(row: &Row) -> Result<Entry> {
    Ok(Entry { latest: get(row, 14)?, ..read_entry(row)? })
}

/// A row of a lookup.
pub(super) fn read_object(row: &Row) -> Result<Object> {
    let entry = read_entry(row)?;
    let mut attached = rows::attached(row, 19)?;
    if let Some(id) = get::<Option<&str>>(row, 20)? {
        let id = VersionId::parse(id).ok_or(Fault::Malformed("the id of a row"))?;
        attached.id = Some(id).filter(|id| *id != entry.version);
    }
    Ok(Object {
        key: entry.key,
        version: entry.version,
        counter: entry.counter,
        placed: entry.placed,
        stamp: entry.stamp,
        size: entry.size,
        modified: entry.modified,
        etag: entry.etag,
        checksum: rows::sum(entry.checksum, row, 14)?,
        crc64nvme: get::<Option<i64>>(row, 15)?.map(rows::crc),
        content: rows::json(row, 16)?,
        parts: rows::json_or_none(row, 17)?.unwrap_or_default(),
        owner: entry.owner,
        null: entry.null,
        marker: entry.marker,
        revision: rows::unsigned(row, 18)?,
        attached,
    })
}

/// The only statement's rows.
pub(super) async fn ask(pool: &Pool, call: Call) -> Result<Vec<Row>> {
    Ok(pool.run(Begin::Read, &[call]).await?.pop().unwrap_or_default())
}

fn of_key(text: &'static str, bucket: BucketId, key: &ObjectKey) -> Call {
    Call::new(text).with(bucket.0).with(key.as_str().to_owned())
}

/// The current version of a key.
pub(super) async fn get_current(pool: &Pool, bucket: BucketId, key: &ObjectKey) -> Result<Option<Object>> {
    ask(pool, of_key(sql::OBJECT, bucket, key)).await?.first().map(read_object).transpose()
}

/// The current versions of these keys, in no order.
pub(super) async fn get_all(pool: &Pool, bucket: BucketId, keys: &[ObjectKey]) -> Result<Vec<Object>> {
    let names: Vec<String> = keys.iter().map(|key| key.as_str().to_owned()).collect();
    ask(pool, Call::new(sql::OBJECTS).with(bucket.0).with(names)).await?.iter().map(read_object).collect()
}

/// One version of a key: one statement for both tables, so that one which is demoted meanwhile is in one of them.
pub(super) async fn version(
    pool: &Pool,
    bucket: BucketId,
    key: &ObjectKey,
    version: VersionRef,
) -> Result<Option<Object>> {
    let call = match version {
        VersionRef::Id(id) => of_key(sql::VERSION, bucket, key).with(id.to_string()),
        VersionRef::Null => of_key(sql::NULL_VERSION, bucket, key),
    };
    ask(pool, call).await?.first().map(read_object).transpose()
}

/// Noncurrent versions and delete markers of a key, newest first.
pub(super) async fn history(pool: &Pool, bucket: BucketId, key: &ObjectKey, limit: usize) -> Result<Vec<Object>> {
    let call = of_key(sql::HISTORY, bucket, key).with(rows::limit(limit));
    ask(pool, call).await?.iter().map(read_object).collect()
}

/// A page of current versions.
pub(super) async fn list(pool: &Pool, bucket: BucketId, window: Window) -> Result<Vec<Entry>> {
    let Some(span) = span::span(&window.prefix, window.seek) else { return Ok(Vec::new()) };
    let call = Call::new(sql::LIST).with(bucket.0).with(span.from).with(span.until).with(rows::limit(window.limit));
    ask(pool, call).await?.iter().map(read_listed).collect()
}

/// A page of versions: the two tables merged.
pub(super) async fn list_versions(pool: &Pool, bucket: BucketId, window: VersionWindow) -> Result<Vec<Entry>> {
    let mut page: Vec<Entry> = Vec::new();
    if let Some((key, counter)) = window.rest_of {
        let call = of_key(sql::LIST_REST, bucket, &key).with(rows::signed(counter)?).with(rows::limit(window.limit));
        page = ask(pool, call).await?.iter().map(read_listed).collect::<Result<_>>()?;
    }
    let left = window.limit - page.len();
    let Some(span) = span::span(&window.prefix, window.seek).filter(|_| left > 0) else { return Ok(page) };
    let call = Call::new(sql::LIST_VERSIONS).with(bucket.0).with(span.from).with(span.until).with(rows::limit(left));
    let mut merged = ask(pool, call).await?.iter().map(read_listed).collect::<Result<Vec<_>>>()?;
    merged.sort_by(|a, b| (&a.key, b.counter, b.latest).cmp(&(&b.key, a.counter, a.latest)));
    merged.truncate(left);
    // The first of a key is the latest, also where it is a marker.
    for i in 0..merged.len() {
        merged[i].latest = i == 0 || merged[i - 1].key != merged[i].key;
    }
    page.extend(merged);
    Ok(page)
}

/// The number of objects and the sum of their bytes.
pub(super) async fn usage(pool: &Pool, bucket: BucketId) -> Result<(u64, u64)> {
    let rows = ask(pool, Call::new(sql::USAGE).with(bucket.0)).await?;
    let Some(row) = rows.first() else { return Ok((0, 0)) };
    let bytes: u128 = get::<&str>(row, 1)?.parse().map_err(|_| Fault::Malformed("a sum"))?;
    Ok((rows::unsigned(row, 0)?, u64::try_from(bytes).unwrap_or(u64::MAX)))
}

/// Points the row of a version at another of its places. A row that has moved on is left alone.
pub(super) async fn set_place(
    pool: &Pool,
    bucket: BucketId,
    key: &ObjectKey,
    version: VersionId,
    place: &Place,
) -> Result<()> {
    let placed = match place {
        Place::Managed(named) if *named == version => Placed::Managed,
        Place::Natural(named) if named == key => Placed::Natural,
        // Where a version lies that is shared with another server, its row says from the start.
        Place::Managed(_) | Place::Natural(_) => return Err(Fault::ForeignPlace.into()),
    };
    let call = of_key(sql::SET_PLACED, bucket, key).with(version.to_string()).with(rows::placed_column(placed));
    pool.run(Begin::Hint, &[call]).await.map(|_| ())
}
