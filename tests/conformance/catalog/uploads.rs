//! Uploads and their parts: states change by compare-and-swap, and what stops being named is owed to be freed.

use futures_util::future::join;
use longshore::catalog::{Catalog, Commit, NewTask, Step, UploadEnd};
use longshore::model::id::{BucketId, UploadId, VersionId};
use longshore::model::time::{Clock, Timestamp};
use longshore::model::upload::{Part, Upload, UploadResult, UploadState};

use super::samples::*;

fn done(version: VersionId) -> UploadState {
    let (etag, checksum) = ("e-2".into(), rich("x").checksum);
    UploadState::Done(Box::new(UploadResult { version, null: true, etag, checksum, listed: "digest".into() }))
}

async fn state(catalog: &dyn Catalog, id: UploadId) -> UploadState {
    catalog.upload(US, id).await.expect("a lookup").expect("it is there").state
}

async fn all_parts(catalog: &dyn Catalog, id: UploadId) -> Vec<Part> {
    catalog.parts(US, id, 0, 10_000).await.expect("parts")
}

async fn completing(catalog: &dyn Catalog, id: UploadId) {
    catalog.set_upload_state(US, id, &UploadState::Open, UploadState::Completing).await.expect("it was open");
}

/// The commit that turns an upload into an object.
fn finish(bucket: BucketId, upload: &Upload, version: VersionId, attempts: Vec<VersionId>) -> Commit {
    let mut object = plain(upload.key.as_str());
    object.version = version;
    let step = Step::FreeUpload { handle: upload.handle.clone(), attempts };
    Commit {
        changes: vec![change(bucket, upload.key.as_str(), None, Some(&object))],
        tasks: vec![NewTask { bucket, key: upload.key.clone(), version: VersionId::fresh(), step, bytes: None }],
        upload: Some(UploadEnd { id: upload.id, state: done(version) }),
        ..Commit::default()
    }
}

pub(super) async fn an_upload_reads_back_as_written(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    let rich = upload(catalog, b, "k", 7).await;
    assert_eq!(catalog.upload(US, rich.id).await.unwrap(), Some(rich));
    let poor = Upload { checksum: None, handle: String::new(), ..new_upload(b, "k", i64::MIN) };
    catalog.create_upload(US, poor.clone()).await.unwrap();
    assert_eq!(catalog.upload(US, poor.id).await.unwrap(), Some(poor));
    assert_eq!(catalog.upload(US, UploadId::fresh()).await.unwrap(), None);
    assert_missing(catalog.create_upload(US, new_upload(BucketId(999), "k", 1)).await);
}

pub(super) async fn uploads_come_by_key_age_and_id(catalog: &dyn Catalog) {
    let (b, c) = (bucket(catalog, "b").await.id, bucket(catalog, "c").await.id);
    let mut wanted = Vec::new();
    for (text, created) in [("z", 1), ("a", 9), ("a/b", 5), ("a", 3), ("a", 3), ("é", 2), ("\u{10FFFF}", 1)] {
        wanted.push(upload(catalog, b, text, created).await);
    }
    upload(catalog, c, "a", 1).await;
    wanted.sort_by_key(|u| (u.key.clone(), u.created, u.id));
    completing(catalog, wanted[0].id).await;
    wanted[0].state = UploadState::Completing;
    assert_eq!(catalog.uploads(US, b, "", None, 99).await.unwrap(), wanted);
    assert_eq!(catalog.uploads(US, b, "", None, 2).await.unwrap(), wanted[..2]);
    assert_eq!(catalog.uploads(US, b, "a", None, 99).await.unwrap(), wanted[..4]);
    assert_eq!(catalog.uploads(US, b, "a/", None, 99).await.unwrap(), wanted[3..4]);
    catalog.set_upload_state(US, wanted[1].id, &UploadState::Open, UploadState::Aborted).await.unwrap();
    wanted.remove(1);
    assert_eq!(catalog.uploads(US, b, "", None, 99).await.unwrap(), wanted, "what has ended is not listed");
}

pub(super) async fn markers_go_on_where_a_page_ended(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    let mut all = Vec::new();
    for i in 0..60 {
        all.push(upload(catalog, b, ["a", "a\u{1}", "b", "é"][i % 4], i64::try_from(i % 5).unwrap()).await);
    }
    all.sort_by_key(|u| (u.key.clone(), u.created, u.id));
    let mut walked: Vec<Upload> = Vec::new();
    loop {
        let after = walked.last().map(|u| (u.key.as_str(), Some(u.id)));
        let page = catalog.uploads(US, b, "", after, 7).await.unwrap();
        if page.is_empty() {
            break;
        }
        walked.extend(page);
    }
    assert_eq!(walked, all, "no gap and no duplicate");
    let keys = async |prefix: &str, after| {
        let page = catalog.uploads(US, b, prefix, Some(after), 99).await.unwrap();
        page.iter().map(|u| u.key.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(keys("", ("a\u{1}", None)).await, [["b"; 15], ["é"; 15]].concat(), "all of the key are passed over");
    assert_eq!(keys("", ("aa", None)).await, [["b"; 15], ["é"; 15]].concat());
    assert_eq!(keys("b", ("a", None)).await, ["b"; 15], "a marker before the prefix");
    assert_eq!(keys("a", ("b", None)).await, [""; 0], "a marker past the prefix");
    assert_eq!(keys("b", ("b", Some(UploadId::fresh()))).await, ["b"; 15], "a marker nobody knows leaves none out");

    let marker = &all[20];
    catalog.set_upload_state(US, marker.id, &UploadState::Open, UploadState::Aborted).await.unwrap();
    let rest = catalog.uploads(US, b, "", Some((marker.key.as_str(), Some(marker.id))), 99).await.unwrap();
    assert_eq!(rest, all[21..], "a marker that has ended since still stands where it stood");
}

pub(super) async fn a_part_replaces_the_one_before(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    let id = upload(catalog, b, "k", 1).await.id;
    let (first, second) = (part(1), part(1));
    assert_eq!(catalog.add_part(US, id, first.clone()).await.unwrap().displaced, None);
    let displaced = catalog.add_part(US, id, second.clone()).await.unwrap().displaced.expect("the first attempt");
    let step = Step::Drop { stamp: Some(first.stamp) };
    assert_eq!(displaced.task, NewTask { bucket: b, key: key("k"), version: first.attempt, step, bytes: None });
    assert_eq!(tasks(catalog).await, [displaced]);
    assert_eq!(all_parts(catalog, id).await, std::slice::from_ref(&second));
    let again = catalog.add_part(US, id, second.clone()).await.unwrap();
    assert_eq!(again.displaced, None, "the attempt that counts is never dropped");
    assert_eq!(all_parts(catalog, id).await, [second]);
}

pub(super) async fn parts_come_by_number(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    let id = upload(catalog, b, "k", 1).await.id;
    let other = upload(catalog, b, "k", 1).await.id;
    let mut wanted = Vec::new();
    for number in [10_000, 1, 256, 2, 9] {
        wanted.push(part(number));
        catalog.add_part(US, id, part(number)).await.unwrap();
        catalog.add_part(US, id, wanted[wanted.len() - 1].clone()).await.unwrap();
    }
    catalog.add_part(US, other, Part { checksum: None, ..part(3) }).await.unwrap();
    wanted.sort_by_key(|part| part.number);
    assert_eq!(all_parts(catalog, id).await, wanted);
    assert_eq!(catalog.parts(US, id, 2, 2).await.unwrap(), wanted[2..4]);
    assert_eq!(catalog.parts(US, id, 10_000, 9).await.unwrap(), []);
    assert_eq!(catalog.parts(US, UploadId::fresh(), 0, 9).await.unwrap(), []);
}

pub(super) async fn parts_need_an_open_upload(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    let id = upload(catalog, b, "k", 1).await.id;
    assert_missing(catalog.add_part(US, UploadId::fresh(), part(1)).await);
    completing(catalog, id).await;
    assert_conflict(catalog.add_part(US, id, part(1)).await);
    catalog.set_upload_state(US, id, &UploadState::Completing, UploadState::Open).await.unwrap();
    catalog.add_part(US, id, part(1)).await.unwrap();
    catalog.set_upload_state(US, id, &UploadState::Open, UploadState::Aborted).await.unwrap();
    assert_conflict(catalog.add_part(US, id, part(1)).await);
    assert_eq!(all_parts(catalog, id).await, []);
}

pub(super) async fn the_length_of_an_upload_is_said_once(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    let mut said = upload(catalog, b, "k", 1).await;
    let id = said.id;
    assert_missing(catalog.set_upload_length(US, UploadId::fresh(), 5).await);
    catalog.set_upload_length(US, id, 1 << 40).await.unwrap();
    catalog.set_upload_length(US, id, 1 << 40).await.expect("the same again");
    assert_conflict(catalog.set_upload_length(US, id, 5).await);
    said.attached.length = Some(1 << 40);
    assert_eq!(catalog.upload(US, id).await.unwrap(), Some(said.clone()), "and the rest stays");
    completing(catalog, id).await;
    assert_conflict(catalog.set_upload_length(US, id, 1 << 40).await);
    let version = VersionId::fresh();
    catalog.commit(US, finish(b, &said, version, Vec::new())).await.unwrap();
    let ended = catalog.upload(US, id).await.unwrap().expect("it is kept");
    assert_eq!((ended.state, ended.attached.length), (done(version), Some(1 << 40)));
}

pub(super) async fn an_abort_frees_the_attempts(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    let begun = upload(catalog, b, "k", 1).await;
    let other = upload(catalog, b, "k", 2).await.id;
    let (first, second) = (part(2), part(1));
    for part in [&first, &second] {
        catalog.add_part(US, begun.id, part.clone()).await.unwrap();
    }
    catalog.add_part(US, other, part(1)).await.unwrap();
    let abort = || catalog.set_upload_state(US, begun.id, &UploadState::Open, UploadState::Aborted);
    let task = abort().await.unwrap().expect("a step");
    assert_eq!((task.task.bucket, &task.task.key), (b, &begun.key));
    let attempts = vec![second.attempt, first.attempt];
    assert_eq!(task.task.step, Step::FreeUpload { handle: begun.handle, attempts });
    assert_eq!(tasks(catalog).await, [task]);
    assert_eq!(state(catalog, begun.id).await, UploadState::Aborted);
    assert_eq!(all_parts(catalog, begun.id).await, []);
    assert_eq!(all_parts(catalog, other).await.len(), 1, "another upload's parts stay");
    assert_conflict(abort().await);
    assert_missing(catalog.set_upload_state(US, UploadId::fresh(), &UploadState::Open, UploadState::Completing).await);
}

pub(super) async fn one_of_abort_and_complete_wins(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    for round in 0..20 {
        let id = upload(catalog, b, "k", round).await.id;
        catalog.add_part(US, id, part(1)).await.unwrap();
        let abort = catalog.set_upload_state(US, id, &UploadState::Open, UploadState::Aborted);
        let complete = catalog.set_upload_state(US, id, &UploadState::Open, UploadState::Completing);
        let (aborted, completing) =
            if round % 2 == 0 { join(abort, complete).await } else { swap(join(complete, abort).await) };
        assert!(aborted.is_ok() != completing.is_ok(), "{aborted:?} {completing:?}");
        assert_eq!(all_parts(catalog, id).await.len(), usize::from(completing.is_ok()));
        let wanted = if aborted.is_ok() { UploadState::Aborted } else { UploadState::Completing };
        assert_eq!(state(catalog, id).await, wanted);
    }
}

fn swap<A, B>((a, b): (A, B)) -> (B, A) {
    (b, a)
}

pub(super) async fn a_commit_ends_only_a_completing_upload(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    let begun = upload(catalog, b, "k", 1).await;
    let attempt = part(1);
    catalog.add_part(US, begun.id, attempt.clone()).await.unwrap();
    let version = VersionId::fresh();
    let finish = || finish(b, &begun, version, vec![attempt.attempt]);
    assert_conflict(catalog.commit(US, finish()).await);
    assert_eq!(catalog.object(US, b, &begun.key).await.unwrap(), None, "and nothing was changed");
    assert_eq!(all_parts(catalog, begun.id).await.len(), 1);

    completing(catalog, begun.id).await;
    let steps = catalog.commit(US, finish()).await.unwrap();
    assert_eq!(state(catalog, begun.id).await, done(version));
    assert_eq!(all_parts(catalog, begun.id).await, []);
    assert_eq!(tasks(catalog).await, steps);
    assert_eq!(catalog.object(US, b, &begun.key).await.unwrap().expect("the object").version, version);
    assert_conflict(catalog.commit(US, finish()).await);
    let gone = Upload { id: UploadId::fresh(), key: key("other"), ..begun };
    assert_conflict(catalog.commit(US, self::finish(b, &gone, VersionId::fresh(), Vec::new())).await);
}

pub(super) async fn a_commit_that_fails_leaves_the_upload_completing(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    insert(catalog, b, &plain("k")).await;
    let begun = upload(catalog, b, "k", 1).await;
    catalog.add_part(US, begun.id, part(1)).await.unwrap();
    completing(catalog, begun.id).await;
    assert_conflict(catalog.commit(US, finish(b, &begun, VersionId::fresh(), Vec::new())).await);
    assert_eq!(state(catalog, begun.id).await, UploadState::Completing);
    assert_eq!(all_parts(catalog, begun.id).await.len(), 1);
    assert_eq!(tasks(catalog).await, []);
}

pub(super) async fn tidying_reopens_and_forgets(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    let (open, half, given_up, finished) = (
        upload(catalog, b, "open", 1).await.id,
        upload(catalog, b, "half", 1).await.id,
        upload(catalog, b, "given-up", 1).await.id,
        upload(catalog, b, "finished", 1).await,
    );
    catalog.add_part(US, half, part(1)).await.unwrap();
    completing(catalog, half).await;
    catalog.set_upload_state(US, given_up, &UploadState::Open, UploadState::Aborted).await.unwrap();
    completing(catalog, finished.id).await;
    let version = VersionId::fresh();
    catalog.commit(US, finish(b, &finished, version, Vec::new())).await.unwrap();

    catalog.tidy_uploads(US, false, Timestamp(0)).await.unwrap();
    assert_eq!(state(catalog, half).await, UploadState::Completing);
    assert_eq!(state(catalog, finished.id).await, done(version), "what ended lately is remembered");
    catalog.tidy_uploads(US, true, Timestamp(0)).await.unwrap();
    assert_eq!(state(catalog, half).await, UploadState::Open);
    assert_eq!(state(catalog, given_up).await, UploadState::Aborted);
    catalog.tidy_uploads(US, false, Timestamp(Clock::now().0 + 1_000_000_000)).await.unwrap();
    assert_eq!(catalog.upload(US, given_up).await.unwrap(), None);
    assert_eq!(catalog.upload(US, finished.id).await.unwrap(), None);
    assert_eq!(state(catalog, open).await, UploadState::Open, "however old, what has not ended stays");
    assert_eq!(all_parts(catalog, half).await.len(), 1);
}
