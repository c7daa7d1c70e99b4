//! The commit decides: compare-and-swap of one key and of several, alone and in races.

use futures_util::future::join_all;
use longshore::catalog::{Catalog, Commit, Error, Progress};
use longshore::model::id::{BucketId, UploadId, VersionId};
use longshore::model::object::Object;
use longshore::model::page::Seek;
use longshore::model::place::{Place, Placed};
use longshore::model::time::Timestamp;
use longshore::model::upload::UploadState;

use super::samples::*;

async fn at(catalog: &dyn Catalog, bucket: BucketId, text: &str) -> Option<Object> {
    catalog.object(US, bucket, &key(text)).await.expect("a lookup")
}

pub(super) async fn an_object_reads_back_as_written(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    for object in [rich("rich"), plain("plain")] {
        insert(catalog, b, &object).await;
        let found = at(catalog, b, object.key.as_str()).await.expect("it is there");
        assert_eq!(found, object);
        let entry = catalog.list(US, b, window(object.key.as_str(), Seek::From(String::new()), 9)).await.unwrap();
        let [entry] = &entry[..] else { panic!("one entry: {entry:?}") };
        assert_eq!((&entry.key, entry.version, entry.placed), (&object.key, object.version, object.placed));
        assert_eq!((&entry.stamp, entry.size, entry.modified), (&object.stamp, object.size, object.modified));
        assert_eq!((&entry.etag, &entry.owner), (&object.etag, &object.owner));
        assert_eq!(entry.storage_class, object.content.storage_class);
        assert_eq!(entry.checksum, object.checksum.map(|sum| (sum.algorithm, sum.kind)));
    }
    assert_eq!(at(catalog, b, "ric").await, None);
}

pub(super) async fn an_insert_needs_no_row(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    let (first, second) = (rich("k"), plain("k"));
    insert(catalog, b, &first).await;
    assert_conflict(catalog.commit(US, commit(vec![change(b, "k", None, Some(&second))])).await);
    assert_eq!(at(catalog, b, "k").await, Some(first));
}

pub(super) async fn an_update_needs_the_version_it_was_checked_against(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    let (first, second, third) = (rich("k"), plain("k"), rich("k"));
    let update = |from: VersionId, to: &Object| commit(vec![change(b, "k", Some(from), Some(to))]);
    assert_conflict(catalog.commit(US, update(first.version, &second)).await);
    assert_eq!(at(catalog, b, "k").await, None, "an update makes no row");
    insert(catalog, b, &first).await;
    catalog.commit(US, update(first.version, &second)).await.unwrap();
    assert_eq!(at(catalog, b, "k").await.map(but_for_id), Some(second.clone()), "every column is replaced");
    assert_conflict(catalog.commit(US, update(first.version, &third)).await);
    assert_eq!(at(catalog, b, "k").await.map(but_for_id), Some(second));
}

pub(super) async fn a_delete_needs_the_version_it_was_checked_against(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    let object = rich("k");
    insert(catalog, b, &object).await;
    let delete = |version| commit(vec![change(b, "k", Some(version), None)]);
    assert_conflict(catalog.commit(US, delete(VersionId::fresh())).await);
    assert_eq!(at(catalog, b, "k").await, Some(object.clone()));
    catalog.commit(US, delete(object.version)).await.unwrap();
    assert_eq!(at(catalog, b, "k").await, None);
    assert_conflict(catalog.commit(US, delete(object.version)).await);
}

pub(super) async fn a_change_of_nothing_asserts_absence(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    let nothing = || commit(vec![change(b, "k", None, None)]);
    catalog.commit(US, nothing()).await.unwrap();
    insert(catalog, b, &plain("k")).await;
    assert_conflict(catalog.commit(US, nothing()).await);
}

pub(super) async fn all_changes_of_a_commit_or_none(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    let (old, new, moved) = (rich("from"), plain("other"), plain("to"));
    insert(catalog, b, &old).await;
    let attempt = |expect| Commit {
        changes: vec![
            change(b, "other", None, Some(&new)),
            change(b, "to", None, Some(&moved)),
            change(b, "from", Some(expect), None),
        ],
        tasks: vec![drop_of(b, "from", old.version)],
        upload: None,
        ..Commit::default()
    };
    assert_conflict(catalog.commit(US, attempt(VersionId::fresh())).await);
    assert_eq!(keys(catalog, b, "", Seek::From(String::new()), 9).await, ["from"]);
    assert_eq!(tasks(catalog).await, [], "no step without its commit");
    let written = catalog.commit(US, attempt(old.version)).await.unwrap();
    assert_eq!(keys(catalog, b, "", Seek::From(String::new()), 9).await, ["other", "to"]);
    assert_eq!(tasks(catalog).await, written);
}

pub(super) async fn changes_of_one_key_follow_each_other(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    let (first, second) = (rich("k"), plain("k"));
    let both = vec![change(b, "k", None, Some(&first)), change(b, "k", Some(first.version), Some(&second))];
    catalog.commit(US, commit(both)).await.unwrap();
    assert_eq!(at(catalog, b, "k").await.map(but_for_id), Some(second));
}

pub(super) async fn a_commit_into_a_bucket_that_is_gone_is_refused(catalog: &dyn Catalog) {
    let gone = bucket(catalog, "gone").await.id;
    let here = bucket(catalog, "here").await.id;
    catalog.delete_bucket(US, gone, false).await.unwrap();
    let object = plain("k");
    let both = vec![change(here, "k", None, Some(&object)), change(gone, "k", None, Some(&object))];
    assert_missing(catalog.commit(US, commit(both)).await);
    assert_missing(catalog.commit(US, commit(vec![change(gone, "k", Some(object.version), None)])).await);
    assert_eq!(at(catalog, here, "k").await, None);
    let task = Commit { tasks: vec![drop_of(gone, "k", object.version)], ..Commit::default() };
    assert_missing(catalog.commit(US, task).await);
    assert_eq!(tasks(catalog).await, []);
}

pub(super) async fn one_of_many_racing_creates_wins(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    for round in 0..20 {
        let text = format!("k{round}");
        let objects: Vec<_> = (0..16).map(|_| plain(&text)).collect();
        let tries = objects.iter().map(|object| {
            let one = Commit {
                changes: vec![change(b, &text, None, Some(object))],
                tasks: vec![drop_of(b, &text, object.version)],
                upload: None,
                ..Commit::default()
            };
            catalog.commit(US, one)
        });
        let outcomes = join_all(tries).await;
        let winners: Vec<_> = outcomes.iter().zip(&objects).filter(|(outcome, _)| outcome.is_ok()).collect();
        let [(Ok(steps), winner)] = &winners[..] else { panic!("one winner: {outcomes:?}") };
        assert!(outcomes.iter().all(|o| matches!(o, Ok(_) | Err(Error::Conflict))), "{outcomes:?}");
        assert_eq!(at(catalog, b, &text).await.as_ref(), Some(*winner));
        assert_eq!(catalog.tasks_of(US, b, &key(&text)).await.unwrap(), *steps, "and only its step is owed");
    }
}

/// A file and the mark of a directory of its name: each needs the other's key to be free.
pub(super) async fn one_of_racing_neighbours_wins(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    for round in 0..20 {
        let (file, mark) = (format!("n{round}"), format!("n{round}/"));
        let objects: Vec<_> = (0..16).map(|n| plain(if n % 2 == 0 { &file } else { &mark })).collect();
        let tries = objects.iter().map(|object| {
            let other = if object.key.as_str() == file { &mark } else { &file };
            let changes = vec![change(b, object.key.as_str(), None, Some(object))];
            catalog.commit(US, Commit { free: Some((b, key(other))), ..commit(changes) })
        });
        let outcomes = join_all(tries).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
        assert!(outcomes.iter().all(|o| matches!(o, Ok(_) | Err(Error::Conflict))), "{outcomes:?}");
        assert!(at(catalog, b, &file).await.is_some() != at(catalog, b, &mark).await.is_some());
    }
    // Nothing but the one key is in the way, and nothing of it is left.
    for text in ["n0/x", "n0x", "other/"] {
        let object = plain(text);
        let free = text.strip_suffix('/').map(|file| (b, key(file)));
        catalog.commit(US, Commit { free, ..commit(vec![change(b, text, None, Some(&object))]) }).await.expect(text);
    }
}

pub(super) async fn one_of_many_racing_updates_wins_each_round(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    let mut current = plain("k");
    insert(catalog, b, &current).await;
    for _ in 0..20 {
        let objects: Vec<_> = (0..8).map(|_| plain("k")).collect();
        let version = current.version;
        let tries = objects.iter().map(|o| catalog.commit(US, commit(vec![change(b, "k", Some(version), Some(o))])));
        let outcomes = join_all(tries).await;
        let won: Vec<_> = outcomes.iter().zip(&objects).filter(|(outcome, _)| outcome.is_ok()).collect();
        assert_eq!(won.len(), 1, "{outcomes:?}");
        current = at(catalog, b, "k").await.expect("it is there");
        assert_eq!(&but_for_id(current.clone()), won[0].1);
    }
}

pub(super) async fn a_conflict_leaves_its_neighbours_alone(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    let taken = plain("taken");
    insert(catalog, b, &taken).await;
    // Sent at once, so that they share transactions; every third one fails after it has written something.
    let objects: Vec<_> = (0..90).map(|i| plain(&format!("k{i:02}"))).collect();
    let tries = objects.iter().enumerate().map(|(i, object)| {
        let mut changes = vec![change(b, object.key.as_str(), None, Some(object))];
        if i % 3 == 0 {
            changes.push(change(b, "taken", None, Some(object)));
        }
        catalog.commit(US, commit(changes))
    });
    let outcomes = join_all(tries).await;
    for (i, (outcome, object)) in outcomes.iter().zip(&objects).enumerate() {
        assert_eq!(outcome.is_ok(), i % 3 != 0, "{i}: {outcome:?}");
        assert_eq!(at(catalog, b, object.key.as_str()).await.is_some(), i % 3 != 0, "{i}");
    }
    assert_eq!(at(catalog, b, "taken").await, Some(taken));
}

pub(super) async fn the_row_is_pointed_at_its_places(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    let object = plain("k");
    insert(catalog, b, &object).await;
    let placed = async || at(catalog, b, "k").await.expect("it is there").placed;
    let natural = Place::Natural(key("k"));
    catalog.set_place(US, b, &key("k"), object.version, &natural).await.unwrap();
    assert_eq!(placed().await, Placed::Natural);
    catalog.set_place(US, b, &key("k"), VersionId::fresh(), &natural).await.unwrap();
    catalog.set_place(US, b, &key("k"), object.version, &Place::Managed(object.version)).await.unwrap();
    assert_eq!(placed().await, Placed::Managed);
    let moved_on = VersionId::fresh();
    catalog.set_place(US, b, &key("k"), moved_on, &natural).await.unwrap();
    assert_eq!(placed().await, Placed::Managed, "another version's place is not this row's");
    for foreign in [Place::Managed(moved_on), Place::Natural(key("other"))] {
        assert!(catalog.set_place(US, b, &key("k"), object.version, &foreign).await.is_err(), "{foreign:?}");
    }
}

pub(super) async fn numbers_up_to_63_bits_are_kept_and_larger_ones_refused(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    let most = i64::MAX.unsigned_abs();
    let object = Object { size: most, counter: most, modified: Timestamp(i64::MIN), ..plain("k") };
    insert(catalog, b, &object).await;
    assert_eq!(at(catalog, b, "k").await, Some(object));
    for object in [Object { size: most + 1, ..plain("l") }, Object { counter: u64::MAX, ..plain("l") }] {
        let outcome = catalog.commit(US, commit(vec![change(b, "l", None, Some(&object))])).await;
        assert!(matches!(outcome, Err(Error::Failed(_))), "{outcome:?}");
    }
    assert_eq!(at(catalog, b, "l").await, None);
}

pub(super) async fn usage_counts_and_sums(catalog: &dyn Catalog) {
    let (b, other) = (bucket(catalog, "b").await.id, bucket(catalog, "other").await.id);
    assert_eq!(catalog.usage(US, b).await.unwrap(), (0, 0));
    insert(catalog, other, &plain("x")).await;
    let most = i64::MAX.unsigned_abs();
    for (i, size) in [0, 1, 4_294_967_296, most, most].into_iter().enumerate() {
        insert(catalog, b, &Object { size, ..plain(&format!("k{i}")) }).await;
    }
    // 1 + 2^32 + 2 (2^63 - 1) is more than 64 bits hold.
    assert_eq!(catalog.usage(US, b).await.unwrap(), (5, u64::MAX));
    assert_eq!(catalog.usage(US, other).await.unwrap(), (1, 10));
}

pub(super) async fn no_scoped_method_acts_under_a_role(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await;
    insert(catalog, b.id, &plain("k")).await;
    let role = &as_role("nobody", "x", "");
    let (id, k, u, at) = (b.id, key("k"), new_upload(b.id, "k", 1), Timestamp(i64::MAX));
    let place = Place::Natural(key("k"));
    let all = [
        ("create_bucket", catalog.create_bucket(role, new_bucket("c")).await.err()),
        ("bucket", catalog.bucket(role, &b.name).await.err()),
        ("buckets", catalog.buckets(role, "", None, 9).await.err()),
        ("set_bucket", catalog.set_bucket(role, id, b.settings).await.err()),
        ("set_indexed", catalog.set_indexed(role, id, None).await.err()),
        ("delete_bucket", catalog.delete_bucket(role, id, true).await.err()),
        ("object", catalog.object(role, id, &k).await.err()),
        ("list", catalog.list(role, id, window("", Seek::End, 9)).await.err()),
        ("glance", catalog.glance(role, id, window("", Seek::End, 9), true).await.err()),
        ("usage", catalog.usage(role, id).await.err()),
        ("commit", catalog.commit(role, Commit::default()).await.err()),
        ("give_up", catalog.give_up(role, id, Vec::new()).await.err()),
        ("note_progress", catalog.note_progress(role, id, Progress::default()).await.err()),
        ("progress", catalog.progress(role, id).await.err()),
        ("named", catalog.named(role, id, &[]).await.err()),
        ("tasks", catalog.tasks(role, 0, 9).await.err()),
        ("tasks_of", catalog.tasks_of(role, id, &k).await.err()),
        ("tasks_done", catalog.tasks_done(role, &[1]).await.err()),
        ("set_place", catalog.set_place(role, id, &k, VersionId::fresh(), &place).await.err()),
        ("create_upload", catalog.create_upload(role, u).await.err()),
        ("upload", catalog.upload(role, UploadId::fresh()).await.err()),
        ("uploads", catalog.uploads(role, id, "", None, 9).await.err()),
        ("set_upload_length", catalog.set_upload_length(role, UploadId::fresh(), 1).await.err()),
        ("tidy_uploads", catalog.tidy_uploads(role, true, at).await.err()),
        ("add_part", catalog.add_part(role, UploadId::fresh(), part(1)).await.err()),
        ("parts", catalog.parts(role, UploadId::fresh(), 0, 9).await.err()),
        (
            "set_upload_state",
            catalog.set_upload_state(role, UploadId::fresh(), &UploadState::Open, UploadState::Aborted).await.err(),
        ),
    ];
    for (method, error) in all {
        assert!(matches!(error, Some(Error::NoRoles)), "{method}: {error:?}");
    }
    assert_eq!(catalog.buckets(US, "", None, 9).await.unwrap(), [b]);
}
