//! Rows of buckets.
//!
//! **Invariant:** every change of a bucket's row moves the generation, so that whoever cached it looks again. Whether
//! anyone may read it stands where the tables of Supabase have it, and nowhere else.

use std::sync::Arc;

use tokio_postgres::Row;

use super::commit::alone;
use super::pool::{Begin, Call, Pool};
use super::rows::{self, get};
use super::{failure::Fault, span, statements as sql};
use crate::catalog::{NewBucket, Progress, Result};
use crate::model::bucket::{Bucket, BucketConfig, BucketSettings, Quota};
use crate::model::id::BucketId;
use crate::model::name::BucketName;
use crate::model::page::Seek;
use crate::model::time::{Clock, Timestamp};

/// A row of a bucket.
pub(super) fn read(row: &Row) -> Result<Bucket> {
    let settings: BucketSettings = rows::json(row, 6)?;
    let mut config: BucketConfig = rows::json(row, 8)?;
    // What SQL or another server may have changed meanwhile.
    config.intake.bytes_max = get::<Option<i64>>(row, 11)?.and_then(|most| u64::try_from(most).ok());
    config.intake.types = get::<Option<Vec<String>>>(row, 12)?.unwrap_or_default();
    Ok(Bucket {
        id: BucketId(get(row, 0)?),
        name: rows::bucket_name(row, 1)?,
        provider: get(row, 2)?,
        container: rows::bucket_name(row, 3)?,
        owner: get(row, 4)?,
        created: rows::timestamp(row, 5)?,
        settings: BucketSettings { public: get(row, 10)?, ..settings },
        config: Arc::new(config),
        revision: rows::unsigned(row, 9)?,
        indexed: get::<_>(row, 7).map(|at: Option<i64>| at.map(Timestamp))?,
    })
}

async fn ask(pool: &Pool, call: Call) -> Result<Vec<Row>> {
    Ok(pool.run(Begin::Read, &[call]).await?.pop().unwrap_or_default())
}

/// The number that moves with every change of a bucket, a user or a key, by whichever process.
pub(super) async fn generation(pool: &Pool) -> Result<u64> {
    let rows = ask(pool, Call::new(sql::GENERATION)).await?;
    rows::unsigned(rows.first().ok_or(Fault::Malformed("the generation"))?, 0)
}

/// The statement that makes a bucket.
pub(super) fn insertion(new: &NewBucket) -> Result<Call> {
    Ok(Call::new(sql::INSERT_BUCKET)
        .with(new.name.as_str().to_owned())
        .with(new.provider.clone())
        .with(new.container.as_str().to_owned())
        .with(new.owner.clone())
        .with(new.created.0)
        .with(rows::to_json(&new.settings)?)
        .with(new.indexed.map(|at| at.0))
        .with(rows::to_json(&new.config)?)
        .with(new.settings.public)
        .with(!new.config.quota.is_none())
        .with(new.config.intake.bytes_max.map(rows::limit_of))
        .with(types(&new.config))
        .with(new.settings.layout.shared().map(rows::placed_column)))
}

/// Takes in the buckets that another server has made, and forgets those that it has removed.
pub(super) async fn adopt(pool: &Pool, provider: &str, settings: BucketSettings) -> Result<Vec<Bucket>> {
    let adopt = Call::new(sql::ADOPT_SHARED)
        .with(provider.to_owned())
        .with(rows::to_json(&settings)?)
        .with(Clock::now().0)
        .with(rows::to_json(&BucketConfig::default())?)
        .with(settings.layout.shared().map(rows::placed_column));
    let answers = pool.run(Begin::Write, &[Call::new(sql::FORGET_SHARED), adopt]).await?;
    let names: Vec<String> = answers.iter().flatten().map(|row| get(row, 0)).collect::<Result<_>>()?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    ask(pool, Call::new(sql::BUCKETS_NAMED).with(names)).await?.iter().map(read).collect()
}

/// The media types that a bucket takes, as the tables of Supabase have them.
fn types(config: &BucketConfig) -> Option<Vec<String>> {
    Some(config.intake.types.clone()).filter(|types| !types.is_empty())
}

/// Makes a bucket.
pub(super) async fn create(pool: &Pool, new: NewBucket) -> Result<Bucket> {
    let insert = insertion(&new)?;
    let made = if new.config.quota.is_none() {
        pool.run(Begin::Write, &[insert]).await?
    } else {
        let (transaction, made) = pool.begin(Begin::Write, &[insert]).await?;
        transaction.finish(&[set_quota(id_of(&made)?, new.config.quota)?]).await?;
        made
    };
    bucket_of(new, &made)
}

/// The bucket that the statement made.
pub(super) fn bucket_of(new: NewBucket, made: &[Vec<Row>]) -> Result<Bucket> {
    let id = id_of(made)?;
    let NewBucket { name, provider, container, owner, created, settings, config, indexed } = new;
    let config = Arc::new(config);
    Ok(Bucket { id, name, provider, container, owner, created, settings, config, revision: 0, indexed })
}

fn id_of(made: &[Vec<Row>]) -> Result<BucketId> {
    let row = made.first().and_then(|rows| rows.first()).ok_or(Fault::Malformed("the number of a bucket"))?;
    get(row, 1).map(BucketId)
}

/// One bucket.
pub(super) async fn get_one(pool: &Pool, name: &BucketName) -> Result<Option<Bucket>> {
    ask(pool, Call::new(sql::BUCKET).with(name.as_str().to_owned())).await?.first().map(read).transpose()
}

/// Buckets in the order of their names.
pub(super) async fn list(pool: &Pool, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Bucket>> {
    let seek = after.map_or_else(|| Seek::From(prefix.to_owned()), |name| Seek::After(name.to_owned()));
    let Some(span) = span::span(prefix, seek) else { return Ok(Vec::new()) };
    let call = Call::new(sql::BUCKETS).with(span.from).with(span.until).with(rows::limit(limit));
    ask(pool, call).await?.iter().map(read).collect()
}

/// The statement that changes the settings.
pub(super) fn setting(bucket: BucketId, settings: &BucketSettings) -> Result<Call> {
    Ok(Call::new(sql::SET_SETTINGS).with(bucket.0).with(rows::to_json(settings)?).with(settings.public))
}

/// Changes the settings.
pub(super) async fn set(pool: &Pool, bucket: BucketId, settings: &BucketSettings) -> Result<()> {
    alone(pool, bucket, vec![setting(bucket, settings)?]).await.map(|_| ())
}

/// Begins to count, with what is there now, or ends it. Nobody changes objects of the bucket meanwhile.
fn set_quota(bucket: BucketId, quota: Quota) -> Result<Call> {
    if quota.is_none() {
        return Ok(Call::new(sql::END_QUOTA).with(bucket.0));
    }
    let most = |most: Option<u64>| most.map(rows::signed).transpose();
    Ok(Call::new(sql::SET_QUOTA).with(bucket.0).with(most(quota.objects)?).with(most(quota.bytes)?))
}

/// A change of the configuration, with the counting that it asks for.
async fn change_config(pool: &Pool, bucket: BucketId, change: Call, quota: Quota) -> Result<()> {
    // The row that the change is about is held alone by it, before what there is is counted.
    alone(pool, bucket, vec![change, set_quota(bucket, quota)?]).await.map(|_| ())
}

/// Gives an adopted bucket its owner, date and settings back.
pub(super) async fn restore(
    pool: &Pool,
    bucket: BucketId,
    owner: &str,
    created: Timestamp,
    settings: &BucketSettings,
    config: &BucketConfig,
) -> Result<()> {
    let change = Call::new(sql::RESTORE_BUCKET)
        .with(bucket.0)
        .with(rows::to_json(settings)?)
        .with(settings.public)
        .with(owner.to_owned())
        .with(created.0)
        .with(rows::to_json(config)?)
        .with(!config.quota.is_none())
        .with(config.intake.bytes_max.map(rows::limit_of))
        .with(types(config));
    change_config(pool, bucket, change, config.quota).await
}

/// Replaces the configuration, if it is still that of `revision`.
pub(super) async fn set_config(pool: &Pool, bucket: BucketId, seen: u64, config: &BucketConfig) -> Result<()> {
    let change = Call::new(sql::SET_CONFIG).with(bucket.0).with(rows::signed(seen)?).with(rows::to_json(config)?);
    let change = change.with(!config.quota.is_none());
    let change = change.with(config.intake.bytes_max.map(rows::limit_of)).with(types(config));
    change_config(pool, bucket, change, config.quota).await
}

/// Notes when the bucket was last walked.
pub(super) async fn set_indexed(pool: &Pool, bucket: BucketId, at: Option<Timestamp>) -> Result<()> {
    let call = Call::new(sql::SET_INDEXED).with(bucket.0).with(at.map(|at| at.0));
    alone(pool, bucket, vec![call]).await.map(|_| ())
}

/// Notes how a walk goes. Nobody caches it, so the generation stays.
pub(super) async fn note_progress(pool: &Pool, bucket: BucketId, progress: &Progress) -> Result<()> {
    let call = Call::new(sql::NOTE_PROGRESS).with(bucket.0).with(rows::to_json(progress)?);
    pool.run(Begin::Hint, &[call]).await.map(|_| ())
}

/// How the latest walk went.
pub(super) async fn progress(pool: &Pool, bucket: BucketId) -> Result<Option<Progress>> {
    ask(pool, Call::new(sql::PROGRESS).with(bucket.0)).await?.first().map(|row| rows::json(row, 0)).transpose()
}

/// How much more the bucket may hold.
pub(super) async fn room(pool: &Pool, bucket: BucketId) -> Result<Option<Quota>> {
    let rows = ask(pool, Call::new(sql::QUOTA).with(bucket.0)).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let left = |held: usize, most: usize| -> Result<Option<u64>> {
        let most: Option<i64> = get(row, most)?;
        let held: i64 = get(row, held)?;
        Ok(most.map(|most| u64::try_from(most.saturating_sub(held)).unwrap_or(0)))
    };
    let room = Quota { objects: left(0, 2)?, bytes: left(1, 3)? };
    // A row is there because something is limited.
    if room.is_none() { Err(Fault::Malformed("a quota").into()) } else { Ok(Some(room)) }
}

/// Removes a bucket with all that hangs on it.
pub(super) async fn delete(pool: &Pool, bucket: BucketId, with_objects: bool) -> Result<()> {
    let mut calls = vec![Call::new(sql::LOCK_BUCKET_ALONE).with(bucket.0)];
    if with_objects {
        calls.extend(sql::DELETE_BUCKET_OBJECTS.iter().map(|text| Call::new(text).with(bucket.0)));
    } else {
        calls.push(Call::new(sql::BUCKET_IS_EMPTY).with(bucket.0));
    }
    calls.extend(deletion(bucket));
    alone(pool, bucket, calls).await.map(|_| ())
}

/// The statements that remove an empty bucket which is held alone.
pub(super) fn deletion(bucket: BucketId) -> impl Iterator<Item = Call> {
    sql::DELETE_BUCKET.iter().map(move |text| Call::new(text).with(bucket.0))
}
