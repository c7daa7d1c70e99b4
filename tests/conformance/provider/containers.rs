//! Containers and their notes.

use bytes::Bytes;
use longshore::model::id::VersionId;
use longshore::model::name::BucketName;
use longshore::model::place::{Place, Stamp};
use longshore::provider::{Error, Note, Seal};

use super::bed::{Bed, assert_error, behaviours, key, natural};
use crate::harness::fresh_name;

behaviours![
    containers_come_and_go,
    containers_are_sorted,
    a_missing_container_is_not_found,
    notes_are_replaced_whole;
    a_container_with_a_file_stays,
];

fn name(text: &str) -> BucketName {
    BucketName::new(text).expect("a legal name")
}

async fn containers_come_and_go(bed: &Bed<'_>) {
    let flat = bed.provider.capabilities().flat;
    let other = if flat { name(&fresh_name("other")) } else { name("Köln 2024") };
    assert_eq!(bed.provider.container(&other).await.expect("asked"), None);
    bed.provider.create_container(&other).await.expect("made");
    assert_error!(bed.provider.create_container(&other).await, Error::AlreadyExists);
    let container = bed.provider.container(&other).await.expect("asked").expect("there");
    assert_eq!(container.name, other);
    assert!(container.writable && !container.folds);
    let age = bed.clock.unique().0.abs_diff(container.created.0);
    assert!(age < 60_000_000_000 || (flat && container.created.0 == 0), "made {age} ns ago");
    bed.provider.delete_container(&other).await.expect("removed");
    assert_eq!(bed.provider.container(&other).await.expect("asked"), None);
    assert_error!(bed.provider.delete_container(&other).await, Error::NotFound);
}

async fn containers_are_sorted(bed: &Bed<'_>) {
    let mut made: Vec<_> = match bed.provider.capabilities().flat {
        true => ["sorted-b", "sorted-a"].map(|stem| name(&fresh_name(stem))).into(),
        false => ["sorted-b", "sorted-a", "Sorted", "sorted-ä"].map(name).into(),
    };
    for container in &made {
        bed.provider.create_container(container).await.expect("made");
    }
    let all = bed.provider.containers().await.expect("listed");
    assert!(all.is_sorted_by(|a, b| a.name < b.name));
    made.push(bed.container.clone());
    for container in made {
        assert!(all.iter().any(|found| found.name == container), "{container}");
    }
}

async fn a_container_with_a_file_stays(bed: &Bed<'_>) {
    let put = bed.place("a/b", b"bytes", 1).await;
    assert_error!(bed.provider.delete_container(&bed.container).await, Error::NotEmpty);
    assert_eq!(bed.read(&natural("a/b"), &put.stamp, 5).await.expect("untouched"), b"bytes");
    bed.provider.take_aside(&bed.container, &put.key, put.version, &put.stamp).await.expect("taken");
    bed.provider.delete_container(&bed.container).await.expect("empty directories and the reserved tree do not count");
    bed.provider.create_container(&bed.container).await.expect("made again");
    assert_eq!(bed.managed_count().await, 0, "nothing of the old one is left");
}

async fn a_missing_container_is_not_found(bed: &Bed<'_>) {
    let (p, gone) = (bed.provider, name("was-never-here"));
    let (version, stamp, place) = (VersionId::fresh(), Stamp::new("1-2-3"), natural("k"));
    assert_error!(p.stat(&gone, &place).await, Error::NotFound);
    assert_error!(p.read(&gone, &place, &stamp, 0..1).await, Error::NotFound);
    match p.stage(&gone, version).await {
        Err(Error::NotFound) => {}
        // It is told with the first bytes.
        Ok(stage) if p.capabilities().flat => {
            let seal = Seal { modified: bed.clock.unique(), size: 0, record: None, unsynced: false };
            assert_error!(stage.publish(seal).await, Error::NotFound);
        }
        other => panic!("{other:?}"),
    }
    assert_error!(p.list(&gone, "", None, 10).await, Error::NotFound);
    assert_error!(p.list_managed(&gone, None, 10).await, Error::NotFound);
    assert_error!(p.read_note(&gone, Note::Id).await, Error::NotFound);
    assert_error!(p.write_note(&gone, Note::Id, Bytes::new()).await, Error::NotFound);
    assert_error!(p.take_aside(&gone, &key("k"), version, &stamp).await, Error::NotFound);
    if !p.capabilities().flat {
        assert_error!(p.settle(&gone).await, Error::NotFound);
    }
    let mut stage = p.stage(&bed.container, version).await.expect("a stage");
    assert_error!(stage.append(&gone, &Place::Managed(version), &stamp, 0..1).await, Error::NotFound);
}

async fn notes_are_replaced_whole(bed: &Bed<'_>) {
    let (p, container) = (bed.provider, &bed.container);
    assert_eq!(p.read_note(container, Note::Id).await.expect("read"), None);
    for text in ["one", "a longer text", "", "x"] {
        p.write_note(container, Note::Id, Bytes::from(text)).await.expect("written");
        assert_eq!(p.read_note(container, Note::Id).await.expect("read"), Some(Bytes::from(text)));
    }
    assert_eq!(p.read_note(container, Note::Bucket).await.expect("read"), None);
    p.write_note(container, Note::Bucket, Bytes::from_static(b"settings")).await.expect("written");
    assert_eq!(p.read_note(container, Note::Id).await.expect("read"), Some(Bytes::from("x")));
    assert_eq!(p.list(container, "", None, 10).await.expect("listed").files, []);
}
