//! Bodies in and out: staged, published, read, and known by their stamps.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::StreamExt as _;
use longshore::config::limits::BLOCK_BYTES;
use longshore::model::id::VersionId;
use longshore::model::place::{Place, Stamp};
use longshore::model::record::Record;
use longshore::provider::{Body, Error, LaidOut, Seal};

use super::bed::{Bed, assert_error, behaviours, collect, key, natural, pattern};

behaviours![
    a_published_body_is_what_was_written,
    a_dropped_stage_leaves_nothing,
    a_wrong_size_leaves_nothing,
    pieces_of_any_size_are_joined,
    ranges_are_exact,
    a_stamp_names_bytes_and_no_others,
    append_copies_what_its_stamp_names,
    records_are_replaced_without_touching_the_stamp,
    records_that_are_written_anew_are_read_whole,
    big_records_shrink,
    managed_files_are_freed_by_stamp,
    managed_files_are_listed_by_shard;
    bytes_edited_during_a_read_cut_it,
    bytes_that_became_fewer_cut_a_read,
    a_read_outlives_a_replacement,
    records_round_trip_and_die_on_edit,
    odd_keys_are_no_natural_places,
];

async fn a_published_body_is_what_was_written(bed: &Bed<'_>) {
    for size in [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 5 * BLOCK_BYTES + 17] {
        let body = pattern(size);
        let put = bed.publish("k", &body, 1).await;
        let stat = bed.provider.stat(&bed.container, &put.managed()).await.expect("there");
        assert_eq!((stat.stamp.clone(), stat.size), (put.stamp.clone(), size as u64));
        assert_eq!(stat.modified, put.record.modified);
        let read = bed.provider.read(&bed.container, &put.managed(), &put.stamp, 0..size as u64).await.expect("read");
        assert_eq!(matches!(read, Body::Whole(_)), size <= BLOCK_BYTES, "{size}");
        assert!(collect(read).await.expect("whole") == body, "{size} bytes came back changed");
        assert_error!(bed.provider.stat(&bed.container, &natural("k")).await, Error::NotFound);
    }
}

async fn a_dropped_stage_leaves_nothing(bed: &Bed<'_>) {
    for size in [0, 10, 3 * BLOCK_BYTES] {
        let mut stage = bed.provider.stage(&bed.container, VersionId::fresh()).await.expect("a stage");
        stage.write(pattern(size)).await.expect("written");
        stage.write(pattern(size)).await.expect("written");
        drop(stage);
    }
    assert_eq!(bed.managed_count().await, 0);
    assert_eq!(bed.provider.list(&bed.container, "", None, 10).await.expect("listed").files, []);
}

async fn a_wrong_size_leaves_nothing(bed: &Bed<'_>) {
    for (written, said) in [(3, 4), (4, 3), (0, 1), (2 * BLOCK_BYTES, BLOCK_BYTES), (BLOCK_BYTES, 2 * BLOCK_BYTES)] {
        let version = VersionId::fresh();
        let mut stage = bed.provider.stage(&bed.container, version).await.expect("a stage");
        stage.write(pattern(written)).await.expect("written");
        let seal = Seal { modified: bed.clock.unique(), size: said as u64, record: None, unsynced: false };
        assert_error!(stage.publish(seal).await, Error::Failed(_));
        assert_error!(bed.provider.stat(&bed.container, &Place::Managed(version)).await, Error::NotFound);
    }
    assert_eq!(bed.managed_count().await, 0);
}

async fn pieces_of_any_size_are_joined(bed: &Bed<'_>) {
    let body = pattern(3 * BLOCK_BYTES + 12_345);
    for piece in [701, 65_536, BLOCK_BYTES + 1, body.len()] {
        let version = VersionId::fresh();
        let mut stage = bed.provider.stage(&bed.container, version).await.expect("a stage");
        for (n, block) in body.chunks(piece).enumerate() {
            stage.write(Bytes::copy_from_slice(block)).await.expect("written");
            if n % 3 == 0 {
                stage.write(Bytes::new()).await.expect("an empty block is no end");
            }
        }
        let seal = Seal { modified: bed.clock.unique(), size: body.len() as u64, record: None, unsynced: false };
        let stamp = stage.publish(seal).await.expect("published");
        let read = bed.read(&Place::Managed(version), &stamp, body.len() as u64).await.expect("read");
        assert!(read == body, "pieces of {piece} bytes came back changed");
    }
}

async fn ranges_are_exact(bed: &Bed<'_>) {
    let body = pattern(4 * BLOCK_BYTES + 99);
    let (len, block) = (body.len(), BLOCK_BYTES);
    let put = bed.publish("k", &body, 1).await;
    for range in [0..0, 5..5, 0..1, 7..block + 7, 1..len, block - 1..3 * block + 1, len - 1..len, len..len, 0..len] {
        let asked = range.start as u64..range.end as u64;
        let read = bed.provider.read(&bed.container, &put.managed(), &put.stamp, asked).await.expect("read");
        assert!(collect(read).await.expect("whole") == body[range.clone()], "{range:?} came back changed");
    }
    let beyond = bed.provider.read(&bed.container, &put.managed(), &put.stamp, 0..len as u64 + 1).await;
    assert_error!(beyond, Error::Failed(_));
}

async fn a_stamp_names_bytes_and_no_others(bed: &Bed<'_>) {
    let one = bed.publish("k", b"one", 1).await;
    let two = bed.publish("k", b"two", 2).await;
    assert_ne!(one.stamp, two.stamp);
    assert_error!(bed.read(&one.managed(), &two.stamp, 3).await, Error::StampMismatch);
    assert_error!(bed.read(&Place::Managed(VersionId::fresh()), &two.stamp, 3).await, Error::NotFound);
    assert_error!(bed.read(&natural("k"), &one.stamp, 3).await, Error::NotFound);
}

/// A read of bytes that are edited meanwhile gives those that were meant, all of them if the storage keeps them for it,
/// or is cut before its end.
async fn read_while(bed: &Bed<'_>, edit: &[u8]) {
    let body = pattern(6 * BLOCK_BYTES);
    let put = bed.place("k", &body, 1).await;
    let read = bed.provider.read(&bed.container, &natural("k"), &put.stamp, 0..body.len() as u64).await;
    let Ok(Body::Blocks(mut blocks)) = read else { panic!("six blocks are no whole") };
    let mut got = blocks.next().await.expect("a block").expect("good").to_vec();
    bed.outside_write("k", edit);
    let mut end = None;
    while let Some(block) = blocks.next().await {
        match block {
            Ok(block) => got.extend_from_slice(&block),
            Err(error) => end = Some(error),
        }
    }
    match end {
        None if bed.provider.capabilities().flat => assert!(got == body, "the bytes that were meant, and no others"),
        Some(Error::StampMismatch) => assert!(got.len() < body.len(), "the last block was withheld"),
        end => panic!("ended with {end:?}"),
    }
    assert_error!(bed.read(&natural("k"), &put.stamp, 1).await, Error::StampMismatch);
}

async fn bytes_edited_during_a_read_cut_it(bed: &Bed<'_>) {
    let edited: Vec<u8> = pattern(6 * BLOCK_BYTES).iter().map(|b| !b).collect();
    read_while(bed, &edited).await;
}

async fn bytes_that_became_fewer_cut_a_read(bed: &Bed<'_>) {
    read_while(bed, b"short").await;
}

async fn a_read_outlives_a_replacement(bed: &Bed<'_>) {
    let body = pattern(6 * BLOCK_BYTES);
    let old = bed.place("k", &body, 1).await;
    let read = bed.provider.read(&bed.container, &natural("k"), &old.stamp, 0..body.len() as u64).await.expect("read");
    let new = bed.publish("k", b"new", 2).await;
    bed.lay_out(&new, Some(&old.stamp)).await.expect("laid out");
    assert!(collect(read).await.expect("the old bytes") == body);
    assert_eq!(bed.read(&natural("k"), &new.stamp, 3).await.expect("the new bytes"), b"new");
}

async fn append_copies_what_its_stamp_names(bed: &Bed<'_>) {
    let body = pattern(2 * BLOCK_BYTES + 5);
    let len = body.len() as u64;
    let (source, at) = bed.settle("source", &body, 1).await;
    let version = VersionId::fresh();
    let mut stage = bed.provider.stage(&bed.container, version).await.expect("a stage");
    stage.write(Bytes::from_static(b"head")).await.expect("written");
    stage.append(&bed.container, &at, &source.stamp, 3..len).await.expect("appended");
    stage.append(&bed.container, &at, &source.stamp, 0..0).await.expect("nothing appended");
    stage.write(Bytes::from_static(b"tail")).await.expect("written");
    let seal = Seal { modified: bed.clock.unique(), size: len + 5, record: None, unsynced: false };
    let stamp = stage.publish(seal).await.expect("published");
    let read = bed.read(&Place::Managed(version), &stamp, len + 5).await.expect("read");
    assert!(read == [b"head", &body[3..], b"tail"].concat());

    for (from, stamp, missing) in [
        (at.clone(), Stamp::new("0-0-0"), false),
        (natural("nothing"), source.stamp.clone(), true),
        (Place::Managed(VersionId::fresh()), source.stamp.clone(), true),
    ] {
        let mut stage = bed.provider.stage(&bed.container, VersionId::fresh()).await.expect("a stage");
        match stage.append(&bed.container, &from, &stamp, 0..1).await {
            Err(Error::NotFound) if missing => {}
            Err(Error::StampMismatch) if !missing => {}
            other => panic!("{from:?} gave {other:?}"),
        }
    }
    bed.provider.delete_managed(&bed.container, source.version, None).await.expect("freed");
    assert_eq!(bed.managed_count().await, 1);
}

async fn records_round_trip_and_die_on_edit(bed: &Bed<'_>) {
    let put = bed.place("k", b"bytes", 1).await;
    let stat = bed.provider.stat(&bed.container, &natural("k")).await.expect("there");
    assert_eq!(stat.record.as_ref(), Some(&put.record));
    assert!(put.record.is_live(stat.size, stat.modified));
    bed.outside_write("k", b"BYTES");
    let stat = bed.provider.stat(&bed.container, &natural("k")).await.expect("there");
    assert_ne!(stat.stamp, put.stamp);
    assert!(!stat.record.is_some_and(|record| record.is_live(stat.size, stat.modified)), "the edit has no record");
    let bare = VersionId::fresh();
    bed.publish_with(bare, b"part", bed.clock.unique(), None).await.expect("published");
    assert_eq!(bed.provider.stat(&bed.container, &Place::Managed(bare)).await.expect("there").record, None);
}

async fn records_are_replaced_without_touching_the_stamp(bed: &Bed<'_>) {
    let (put, at) = bed.settle("k", b"bytes", 1).await;
    let record = Record { owner: "somebody else".into(), ..put.record.clone() };
    bed.provider.set_record(&bed.container, &at, &put.stamp, &record).await.expect("set");
    let stat = bed.provider.stat(&bed.container, &at).await.expect("there");
    assert_eq!((stat.stamp, stat.record), (put.stamp.clone(), Some(record.clone())));
    let other = Stamp::new("1-2-3");
    let set = bed.provider.set_record(&bed.container, &at, &other, &put.record).await;
    assert_error!(set, Error::StampMismatch);
    let nowhere = Place::Managed(VersionId::fresh());
    let set = bed.provider.set_record(&bed.container, &nowhere, &put.stamp, &put.record).await;
    assert_error!(set, Error::NotFound);
}

async fn records_that_are_written_anew_are_read_whole(bed: &Bed<'_>) {
    const ROUNDS: usize = 20;
    let (put, at) = bed.settle("k", b"bytes", 1).await;
    let mut long = put.record.clone();
    long.content.user.insert("m".into(), "x".repeat(1500));
    let done = AtomicBool::new(false);
    let write = async {
        for round in 0..ROUNDS {
            let record = if round % 2 == 0 { &long } else { &put.record };
            bed.provider.set_record(&bed.container, &at, &put.stamp, record).await.expect("set");
        }
        done.store(true, Ordering::Release);
    };
    let read = async {
        while !done.load(Ordering::Acquire) {
            let found = bed.provider.stat(&bed.container, &at).await.expect("there").record;
            assert!(found.as_ref() == Some(&long) || found.as_ref() == Some(&put.record), "a part of one: {found:?}");
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(write, read);
}

async fn big_records_shrink(bed: &Bed<'_>) {
    let version = VersionId::fresh();
    let mut record = bed.record(version, "k", 5, 1);
    // 300 KiB: more than any file system keeps beside a file, so parts and metadata must go and the facts stay.
    record.content.user.insert("m".into(), "x".repeat(300 * 1024));
    let modified = record.modified;
    bed.publish_with(version, b"bytes", modified, Some(&record)).await.expect("published");
    let stat = bed.provider.stat(&bed.container, &Place::Managed(version)).await.expect("there");
    let kept = stat.record.expect("a record");
    assert!(kept.is_live(stat.size, stat.modified));
    assert_eq!((&kept.etag, kept.version, &kept.key), (&record.etag, version, &record.key));
    assert_eq!(kept.cut, kept.content.user.is_empty(), "what was left out is said");

    // A key that by itself exceeds the room of most file systems is no reason to refuse the bytes.
    let version = VersionId::fresh();
    let name = "\u{1}".repeat(1024);
    let record = bed.record(version, &name, 5, 1);
    let modified = record.modified;
    bed.publish_with(version, b"bytes", modified, Some(&record)).await.expect("published");
}

async fn managed_files_are_freed_by_stamp(bed: &Bed<'_>) {
    let put = bed.publish("k", b"bytes", 1).await;
    let other = Stamp::new("1-2-3");
    let freed = bed.provider.delete_managed(&bed.container, put.version, Some(&other)).await;
    assert_error!(freed, Error::StampMismatch);
    assert_eq!(bed.read(&put.managed(), &put.stamp, 5).await.expect("still there"), b"bytes");
    for _ in 0..2 {
        bed.provider.delete_managed(&bed.container, put.version, Some(&put.stamp)).await.expect("freed, or gone");
    }
    let second = bed.publish("k", b"bytes", 2).await;
    bed.provider.delete_managed(&bed.container, second.version, None).await.expect("freed");
    assert_eq!(bed.managed_count().await, 0);
}

async fn managed_files_are_listed_by_shard(bed: &Bed<'_>) {
    let mut expected = Vec::new();
    for n in 0..40 {
        expected.push(bed.publish("k", b"bytes", n).await.version);
    }
    expected.sort_by_key(|version| (version.shard(), *version));
    for limit in [1, 7, 1000] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = bed.provider.list_managed(&bed.container, after, limit).await.expect("listed");
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            after = Some(last.version);
            assert!(page.iter().all(|file| file.stat.record.as_ref().is_some_and(|r| r.version == file.version)));
            found.extend(page.into_iter().map(|file| file.version));
        }
        assert_eq!(found, expected, "pages of {limit}");
    }
}

const ODD: [&str; 8] = ["a//b", "/a", "a/", "..", "../x", "a/../b", ".", "./a"];

const RARE: [&str; 10] =
    ["\u{1}\n\t", "köln/ü", "a b+%~#1", "🦀", "x/.longshore/y", ".hidden", "-rf", "a\\b", "a'\"b", "…/..."];

async fn odd_keys_are_no_natural_places(bed: &Bed<'_>) {
    if bed.provider.capabilities().flat {
        return any_key_may_be_a_name(bed).await;
    }
    let long = "x".repeat(256);
    for name in ODD.into_iter().chain([&*long]) {
        let put = bed.publish(name, b"bytes", 1).await;
        assert_error!(bed.lay_out(&put, None).await, Error::Clash);
        assert_error!(bed.provider.stat(&bed.container, &natural(name)).await, Error::NotFound);
        assert_error!(bed.read(&natural(name), &put.stamp, 5).await, Error::NotFound);
        let taken = bed.provider.take_aside(&bed.container, &key(name), VersionId::fresh(), &put.stamp).await;
        assert_error!(taken, Error::NotFound);
        bed.provider.prune(&bed.container, &key(name)).await.expect("nothing to prune");
        assert_eq!(bed.read(&put.managed(), &put.stamp, 5).await.expect("at its managed place"), b"bytes");
    }
    for name in RARE {
        let put = bed.place(name, name.as_bytes(), 1).await;
        let read = bed.read(&natural(name), &put.stamp, name.len() as u64).await.expect("there");
        assert_eq!(read, name.as_bytes(), "{name:?}");
    }
}

/// Where names are flat any key may be one. Those that the storage would change stay at their managed places.
async fn any_key_may_be_a_name(bed: &Bed<'_>) {
    let long = "x".repeat(256);
    for name in ODD.into_iter().chain(RARE).chain([&*long]) {
        let put = bed.publish(name, name.as_bytes(), 1).await;
        let place = match bed.lay_out(&put, None).await {
            Ok(LaidOut::Done) => natural(name),
            Err(Error::Clash) => put.managed(),
            other => panic!("{name:?} gave {other:?}"),
        };
        let read = bed.read(&place, &put.stamp, name.len() as u64).await;
        assert_eq!(read.expect("there"), name.as_bytes(), "{name:?}");
        // The storages' own clients take such segments out of the addresses they ask for.
        let dots = name.split('/').any(|segment| matches!(segment, "." | ".."));
        if place == natural(name) && !dots {
            assert_eq!(bed.outside_read(name).as_deref(), Some(name.as_bytes()), "{name:?}");
        }
    }
}
