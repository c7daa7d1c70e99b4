//! Steps owed to providers are rows of the commit that owes them.

use longshore::catalog::{Catalog, Change, Commit, Error, NewTask, Step, Task, Unnamed};
use longshore::model::id::VersionId;
use longshore::model::place::{Displaced, Stamp};
use longshore::model::upload::UploadState;

use super::samples::*;

async fn owe(catalog: &dyn Catalog, tasks: Vec<NewTask>) -> Vec<Task> {
    catalog.commit(US, Commit { tasks, ..Commit::default() }).await.expect("steps")
}

pub(super) async fn steps_are_numbered_and_kept_until_done(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    let step = |step| NewTask { bucket: b, key: key("k'\n"), version: VersionId::fresh(), step, bytes: None };
    let stamp = Stamp::new("s\"'\\");
    let new = vec![
        step(Step::LayOut {
            stamp: stamp.clone(),
            over: Some(stamp.clone()),
            displaced: Displaced::Keep(Some(VersionId::fresh())),
            counter: u64::MAX,
        }),
        step(Step::LayOut { stamp: stamp.clone(), over: None, displaced: Displaced::Free, counter: 0 }),
        step(Step::Drop { stamp: None }),
        step(Step::Drop { stamp: Some(stamp) }),
        step(Step::FreeUpload { handle: "h/\"".into(), attempts: vec![VersionId::fresh(), VersionId::fresh()] }),
    ];
    let written = owe(catalog, new.clone()).await;
    assert_eq!(written.iter().map(|task| task.task.clone()).collect::<Vec<_>>(), new, "in the order given");
    assert!(written.is_sorted_by(|a, b| a.id < b.id), "numbers grow");
    assert_eq!(tasks(catalog).await, written);
    assert_eq!(catalog.tasks(US, written[1].id, 2).await.unwrap(), written[2..4]);
    catalog.tasks_done(US, &[written[0].id, written[2].id, 999_999]).await.unwrap();
    assert_eq!(tasks(catalog).await, [written[1].clone(), written[3].clone(), written[4].clone()]);
    catalog.tasks_done(US, &[]).await.unwrap();
    catalog.tasks_done(US, &[written[0].id]).await.expect("a step may be done twice");
}

pub(super) async fn bytes_stay_with_their_step_until_it_is_done(catalog: &dyn Catalog) {
    let (b, c) = (bucket(catalog, "b").await.id, bucket(catalog, "c").await.id);
    let (version, bare) = (VersionId::fresh(), VersionId::fresh());
    let step = Step::Settle { stamp: Stamp::new("s") };
    let with = |bytes: &'static [u8]| NewTask {
        bucket: b,
        key: key("k"),
        version,
        step: step.clone(),
        bytes: Some(bytes::Bytes::from_static(bytes)),
    };
    let plain = NewTask { version: bare, bytes: None, ..with(b"") };
    let written = owe(catalog, vec![with(b"old\0"), with(b"newer"), with(b""), plain]).await;
    assert_eq!(written.iter().map(|task| task.inline).collect::<Vec<_>>(), [Some(4), Some(5), Some(0), None]);
    assert_eq!(tasks(catalog).await, written, "the bytes stay where they are");
    assert_eq!(catalog.tasks_of(US, b, &key("k")).await.unwrap(), written);
    let inline = async |bucket, version| catalog.inline(US, bucket, version).await.unwrap();
    assert_eq!(inline(b, version).await.as_deref(), Some(&b""[..]), "the newest");
    assert_eq!((inline(b, bare).await, inline(c, version).await), (None, None));
    catalog.tasks_done(US, &[written[2].id]).await.unwrap();
    assert_eq!(inline(b, version).await.as_deref(), Some(&b"newer"[..]));
    catalog.tasks_done(US, &[written[0].id, written[1].id]).await.unwrap();
    assert_eq!(inline(b, version).await, None);
}

pub(super) async fn steps_of_one_key_come_oldest_first(catalog: &dyn Catalog) {
    let (b, c) = (bucket(catalog, "b").await.id, bucket(catalog, "c").await.id);
    let new = [(b, "k"), (b, "other"), (c, "k"), (b, "k"), (b, "kk"), (b, "k")];
    let new = new.into_iter().map(|(bucket, text)| drop_of(bucket, text, VersionId::fresh())).collect();
    let written = owe(catalog, new).await;
    let of_k = [written[0].clone(), written[3].clone(), written[5].clone()];
    assert_eq!(catalog.tasks_of(US, b, &key("k")).await.unwrap(), of_k);
    assert_eq!(catalog.tasks_of(US, b, &key("none")).await.unwrap(), []);
}

pub(super) async fn numbers_are_never_used_again(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    let mut last = 0;
    for _ in 0..3 {
        let [task] = &owe(catalog, vec![drop_of(b, "k", VersionId::fresh())]).await[..] else { panic!("one step") };
        assert!(task.id > last, "{} after {last}", task.id);
        last = task.id;
        catalog.tasks_done(US, &[last]).await.unwrap();
    }
}

pub(super) async fn named_versions_are_found_wherever_they_are(catalog: &dyn Catalog) {
    let (b, c) = (bucket(catalog, "b").await.id, bucket(catalog, "c").await.id);
    let (object, elsewhere) = (rich("k"), rich("k"));
    insert(catalog, b, &object).await;
    insert(catalog, c, &elsewhere).await;
    let owed = owe(catalog, vec![drop_of(b, "x", VersionId::fresh())]).await.remove(0);
    let open = upload(catalog, b, "u", 1).await.id;
    let (kept, replaced) = (part(1), part(1));
    for part in [&replaced, &kept] {
        catalog.add_part(US, open, part.clone()).await.unwrap();
    }
    let aborted = upload(catalog, b, "u", 2).await.id;
    let attempts = [part(1), part(2)];
    for part in &attempts {
        catalog.add_part(US, aborted, part.clone()).await.unwrap();
    }
    let freed = catalog.set_upload_state(US, aborted, &UploadState::Open, UploadState::Aborted).await.unwrap();

    let named =
        [object.version, owed.task.version, kept.attempt, replaced.attempt, attempts[0].attempt, attempts[1].attempt];
    let mut asked = vec![VersionId::fresh(), elsewhere.version];
    asked.extend(named);
    assert_eq!(catalog.named(US, b, &asked).await.unwrap(), named);
    assert_eq!(catalog.named(US, c, &asked).await.unwrap(), [elsewhere.version]);
    assert_eq!(catalog.named(US, b, &[]).await.unwrap(), []);

    catalog.tasks_done(US, &[owed.id, freed.expect("a step").id]).await.unwrap();
    assert_eq!(catalog.named(US, b, &asked).await.unwrap(), [object.version, kept.attempt, replaced.attempt]);
}

/// A write that is slower than gc fails as a whole; one that was faster is safe.
pub(super) async fn a_version_that_was_given_up_cannot_be_named(catalog: &dyn Catalog) {
    let b = bucket(catalog, "b").await.id;
    let (slow, fast) = (rich("slow"), rich("fast"));
    insert(catalog, b, &fast).await;
    let unnamed = |version| Unnamed { version, stamp: Stamp::new("s") };
    let files = vec![unnamed(slow.version), unnamed(fast.version)];
    let given_up = catalog.give_up(US, b, files.clone()).await.expect("given up");
    let [task] = &given_up[..] else { panic!("one of the two: {given_up:?}") };
    assert_eq!((task.task.version, &task.task.step), (slow.version, &Step::Drop { stamp: Some(Stamp::new("s")) }));
    let change = Change::of_row(b, slow.key.clone(), None, Some(slow.clone()));
    let late = catalog.commit(US, Commit { changes: vec![change], ..Commit::default() }).await;
    assert!(matches!(late, Err(Error::Unavailable(_))), "{late:?}");
    assert_eq!(catalog.object(US, b, &slow.key).await.unwrap(), None);
    assert_eq!(catalog.give_up(US, b, files).await.unwrap(), [], "it is named by its step now");
    let part = part(1);
    let upload = upload(catalog, b, "up", 1).await;
    catalog.give_up(US, b, vec![unnamed(part.attempt)]).await.expect("given up");
    assert!(matches!(catalog.add_part(US, upload.id, part).await, Err(Error::Unavailable(_))));
}
