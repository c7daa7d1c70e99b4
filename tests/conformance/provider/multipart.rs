//! Uploads in parts.

use bytes::Bytes;
use longshore::model::id::VersionId;
use longshore::model::place::{Place, Stamp};
use longshore::provider::{Error, PartRef, Seal};

use super::bed::{Bed, assert_error, behaviours, pattern};

behaviours![
    parts_are_joined_in_the_order_given,
    parts_of_any_size_are_joined,
    a_changed_part_is_refused,
    uploads_are_freed,
];

async fn part(bed: &Bed<'_>, handle: &str, number: u32, bytes: Bytes) -> PartRef {
    let (attempt, size) = (VersionId::fresh(), bytes.len() as u64);
    let mut stage = bed.provider.stage_part(&bed.container, handle, number, attempt).await.expect("a stage");
    stage.write(bytes).await.expect("written");
    let seal = Seal { modified: bed.clock.unique(), size, record: None, unsynced: false };
    PartRef { attempt, stamp: stage.publish(seal).await.expect("published"), size }
}

async fn parts_are_joined_in_the_order_given(bed: &Bed<'_>) {
    let version = VersionId::fresh();
    let handle = bed.provider.begin_upload(&bed.container, version).await.expect("begun");
    // None but the last may be smaller than what S3 asks for.
    let bodies = [pattern(5 * 1024 * 1024 + 1), pattern(5 * 1024 * 1024), pattern(10)];
    let mut parts = Vec::new();
    for (n, body) in [9, 1, 5].into_iter().zip(&bodies) {
        parts.push(part(bed, &handle, n, body.clone()).await);
    }
    let again = part(bed, &handle, 1, pattern(11)).await;
    let size = bodies.iter().map(|body| body.len() as u64).sum();
    let stage = bed.provider.assemble(&bed.container, &handle, &parts, version).await.expect("joined");
    let seal = Seal { modified: bed.clock.unique(), size, record: None, unsynced: false };
    let stamp = stage.publish(seal).await.expect("published");
    assert!(bed.read(&Place::Managed(version), &stamp, size).await.expect("read") == bodies.concat());
    assert_eq!(bed.read(&Place::Managed(again.attempt), &again.stamp, 11).await.expect("stays"), pattern(11));
    let empty = bed.provider.assemble(&bed.container, &handle, &[], VersionId::fresh()).await.expect("of no parts");
    empty
        .publish(Seal { modified: bed.clock.unique(), size: 0, record: None, unsynced: false })
        .await
        .expect("published");
}

/// An upload that is resumed has parts of the sizes at which its connections broke.
async fn parts_of_any_size_are_joined(bed: &Bed<'_>) {
    const KIB: usize = 1024;
    for sizes in [&[2355 * KIB, 6 * KIB * KIB, KIB * KIB][..], &[1, 0, 10], &[5 * KIB * KIB, 7, 0]] {
        let bodies: Vec<Bytes> = sizes.iter().map(|size| pattern(*size)).collect();
        let mut parts = Vec::new();
        for (n, body) in (1..).zip(&bodies) {
            parts.push(part(bed, "", n, body.clone()).await);
        }
        let (version, size) = (VersionId::fresh(), sizes.iter().sum::<usize>() as u64);
        let stage = bed.provider.assemble(&bed.container, "", &parts, version).await.expect("joined");
        let seal = Seal { modified: bed.clock.unique(), size, record: None, unsynced: false };
        let stamp = stage.publish(seal).await.expect("published");
        assert!(bed.read(&Place::Managed(version), &stamp, size).await.expect("read") == bodies.concat(), "{sizes:?}");
        for (part, body) in parts.iter().zip(&bodies) {
            let read = bed.read(&Place::Managed(part.attempt), &part.stamp, part.size).await.expect("the parts stay");
            assert!(read == *body, "{sizes:?}");
        }
    }
}

async fn a_changed_part_is_refused(bed: &Bed<'_>) {
    let good = part(bed, "", 1, pattern(10)).await;
    let changed = PartRef { stamp: Stamp::new("1-2-3"), ..good.clone() };
    let gone = PartRef { attempt: VersionId::fresh(), ..good.clone() };
    let version = VersionId::fresh();
    assert_error!(
        bed.provider.assemble(&bed.container, "", &[good.clone(), changed], version).await,
        Error::StampMismatch
    );
    assert_error!(bed.provider.assemble(&bed.container, "", &[good.clone(), gone], version).await, Error::NotFound);
    assert_eq!(bed.managed_count().await, 1, "only the part is there");
}

async fn uploads_are_freed(bed: &Bed<'_>) {
    let one = part(bed, "", 1, pattern(10)).await;
    let two = part(bed, "", 2, pattern(10)).await;
    let attempts = [one.attempt, VersionId::fresh(), two.attempt];
    for _ in 0..2 {
        bed.provider.free_upload(&bed.container, "", &attempts).await.expect("freed, or gone");
    }
    assert_eq!(bed.managed_count().await, 0);
}
