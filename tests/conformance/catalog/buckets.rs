//! Buckets.

use futures_util::future::join_all;
use longshore::catalog::{Catalog, Commit, Error, NewBucket};
use longshore::model::bucket::{Bucket, BucketSettings};
use longshore::model::id::{BucketId, VersionId};
use longshore::model::page::Seek;
use longshore::model::place::Layout;
use longshore::model::time::Timestamp;

use super::samples::*;

pub(super) async fn a_bucket_reads_back_as_written(catalog: &dyn Catalog) {
    let new = NewBucket {
        container: name("Other Ünit"),
        owner: "alice'".into(),
        settings: BucketSettings { layout: Layout::Managed, public: true, exclusive: true, hash_on_adopt: true },
        indexed: Some(Timestamp(5)),
        ..new_bucket("köln %_'")
    };
    let made = catalog.create_bucket(US, new.clone()).await.unwrap();
    let NewBucket { name, provider, container, owner, created, settings, config, indexed } = new;
    let config = std::sync::Arc::new(config);
    let wanted =
        Bucket { id: made.id, name, provider, container, owner, created, settings, config, revision: 0, indexed };
    assert_eq!(made, wanted);
    assert_eq!(catalog.bucket(US, &wanted.name).await.unwrap(), Some(wanted));
    assert_eq!(catalog.bucket(US, &super::samples::name("none")).await.unwrap(), None);
}

pub(super) async fn a_name_is_taken_once(catalog: &dyn Catalog) {
    let outcomes = join_all((0..16).map(|_| catalog.create_bucket(US, new_bucket("b")))).await;
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1, "{outcomes:?}");
    assert!(outcomes.iter().all(|o| matches!(o, Ok(_) | Err(Error::AlreadyExists))), "{outcomes:?}");
    bucket(catalog, "B").await;
    assert_eq!(catalog.buckets(US, "", None, 9).await.unwrap().len(), 2, "names that differ in case are two");
}

pub(super) async fn settings_and_the_walk_are_kept(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await;
    let settings = BucketSettings { public: true, ..b.settings };
    catalog.set_bucket(US, b.id, settings).await.unwrap();
    catalog.set_indexed(US, b.id, Some(Timestamp(77))).await.unwrap();
    let wanted = Bucket { settings, indexed: Some(Timestamp(77)), ..b.clone() };
    assert_eq!(catalog.bucket(US, &b.name).await.unwrap(), Some(wanted.clone()));
    catalog.set_indexed(US, b.id, None).await.unwrap();
    assert_eq!(catalog.bucket(US, &b.name).await.unwrap(), Some(Bucket { indexed: None, ..wanted }));
    assert_missing(catalog.set_bucket(US, BucketId(999), settings).await);
    assert_missing(catalog.set_indexed(US, BucketId(999), None).await);
}

pub(super) async fn buckets_come_by_name(catalog: &dyn Catalog) {
    for text in ["é", "b", "a-1", "B", "a", "a.1"] {
        bucket(catalog, text).await;
    }
    let names = async |prefix, after, limit| {
        let found = catalog.buckets(US, prefix, after, limit).await.unwrap();
        found.iter().map(|b| b.name.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("", None, 99).await, ["B", "a", "a-1", "a.1", "b", "é"]);
    assert_eq!(names("a", None, 99).await, ["a", "a-1", "a.1"]);
    assert_eq!(names("a", Some("a"), 1).await, ["a-1"]);
    assert_eq!(names("", Some("az"), 99).await, ["b", "é"]);
    assert_eq!(names("%", None, 99).await, [""; 0]);
}

pub(super) async fn a_bucket_with_objects_stays(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await;
    let object = plain("k");
    insert(catalog, b.id, &object).await;
    let refused = catalog.delete_bucket(US, b.id, false).await;
    assert!(matches!(refused, Err(Error::NotEmpty)), "{refused:?}");
    assert_eq!(catalog.bucket(US, &b.name).await.unwrap(), Some(b.clone()));
    catalog.commit(US, commit(vec![change(b.id, "k", Some(object.version), None)])).await.unwrap();
    catalog.delete_bucket(US, b.id, false).await.unwrap();
    assert_eq!(catalog.bucket(US, &b.name).await.unwrap(), None);
    assert_missing(catalog.delete_bucket(US, b.id, false).await);
}

pub(super) async fn a_bucket_goes_with_all_that_hangs_on_it(catalog: &dyn Catalog) {
    let (b, c) = (bucket(catalog, "b").await.id, bucket(catalog, "c").await.id);
    let mut attempts = Vec::new();
    for bucket in [b, c] {
        insert(catalog, bucket, &plain("k")).await;
        let id = upload(catalog, bucket, "u", 1).await.id;
        let part = part(1);
        attempts.push((id, part.attempt));
        catalog.add_part(US, id, part).await.unwrap();
        let tasks = vec![drop_of(bucket, "x", VersionId::fresh())];
        catalog.commit(US, Commit { tasks, ..Commit::default() }).await.unwrap();
    }
    catalog.delete_bucket(US, b, true).await.unwrap();
    assert_eq!(keys(catalog, b, "", Seek::From(String::new()), 9).await, [""; 0]);
    assert_eq!(catalog.upload(US, attempts[0].0).await.unwrap(), None);
    assert_eq!(catalog.parts(US, attempts[0].0, 0, 9).await.unwrap(), []);
    assert_eq!(catalog.named(US, b, &[attempts[0].1]).await.unwrap(), []);

    assert_eq!(keys(catalog, c, "", Seek::From(String::new()), 9).await, ["k"], "another bucket's rows stay");
    assert_eq!(catalog.parts(US, attempts[1].0, 0, 9).await.unwrap().len(), 1);
    let owed = tasks(catalog).await;
    assert!(owed.len() == 1 && owed[0].task.bucket == c, "{owed:?}");
}

pub(super) async fn a_number_is_never_used_again(catalog: &dyn Catalog) {
    let first = bucket(catalog, "b").await.id;
    catalog.delete_bucket(US, first, false).await.unwrap();
    assert_ne!(bucket(catalog, "b").await.id, first);
}
