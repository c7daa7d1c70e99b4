//! Moves: one commit takes an object from its key and puts it at another one.

use longshore::model::action::Action;
use longshore::model::bucket::{Bucket, BucketConfig, Quota};
use longshore::model::condition::{Conditions, TagMatch};
use longshore::model::object::Object;
use longshore::model::page::PageQuery;
use longshore::model::place::Layout;
use longshore::model::versioning::Versioning;
use longshore::store::Error;
use longshore::store::request::{Copied, CopyContent, CopyRequest, GetRequest, Portion, ScanOptions};

use super::{Bed, ROOT, key, md5_hex, pattern};

fn request(bed: &Bed, from: &str, to: &str) -> CopyRequest {
    CopyRequest {
        from_version: None,
        keep_tags: true,
        given: Default::default(),
        from_bucket: bed.bucket.clone(),
        from_key: key(from),
        source_conditions: Conditions::default(),
        source_key: None,
        bucket: bed.bucket.clone(),
        key: key(to),
        content: CopyContent::Keep,
        conditions: Conditions::default(),
        algorithm: None,
    }
}

async fn give(bed: &Bed, from: &str, to: &str) -> Result<Copied, Error> {
    bed.store.move_object(&ROOT, request(bed, from, to)).await
}

fn facts(object: &Object) -> impl PartialEq + std::fmt::Debug + use<> {
    (object.etag.clone(), object.size, object.content.clone(), object.checksum.clone(), object.created())
}

pub(super) async fn what_is_moved_stays_what_it_was(bed: &mut Bed) {
    for (name, len) in [("empty", 0), ("small", 5), ("large", 3 * 1024 * 1024 + 7)] {
        let body = pattern(len, 1);
        let put = bed.put(name, &body).await.expect("puts");
        let to = format!("to/{name}");
        let moved = give(bed, name, &to).await.expect("moves").object;
        assert_eq!(facts(&moved), facts(&put), "{name}");
        assert!(matches!(bed.get(name).await, Err(Error::NoSuchKey)));
        let (there, bytes) = bed.get(&to).await.expect("gets");
        assert_eq!((facts(&there), md5_hex(&bytes)), (facts(&put), put.etag.clone()), "{name}");
    }
    assert_eq!(bed.keys("", None, 10).await.0, ["to/empty", "to/large", "to/small"]);
    assert!(matches!(give(bed, "to/small", "to/small").await, Err(Error::InvalidRequest(_))));
    assert!(matches!(give(bed, "absent", "k").await, Err(Error::NoSuchKey)));
}

pub(super) async fn a_moved_object_is_a_plain_file_and_rebuilt(bed: &mut Bed) {
    let body = pattern(300_000, 7);
    bed.put("one/from", &body).await.expect("puts");
    give(bed, "one/from", "two/to").await.expect("moves");
    let files = bed.files.clone().expect("a directory");
    if bed.layout == Layout::Natural {
        assert_eq!(std::fs::read(files.join("two/to")).expect("a file"), body);
        assert!(!files.join("one").exists(), "an empty directory stays behind");
    }
    bed.assert_managed(usize::from(bed.layout == Layout::Managed));
    bed.reopen(false).await;
    let options = ScanOptions { rebuild: true, ..ScanOptions::default() };
    bed.store.scan(&ROOT, &bed.bucket, options).await.expect("rebuilds");
    assert_eq!(bed.keys("", None, 10).await.0, ["two/to"]);
    assert_eq!(bed.get("two/to").await.expect("gets").1, body);
}

pub(super) async fn a_move_replaces_only_what_it_may(bed: &mut Bed) {
    let (from, there) = (pattern(300_000, 1), pattern(200_000, 2));
    bed.put("from", &from).await.expect("puts");
    bed.put("there", &there).await.expect("puts");
    let absent = Conditions { if_none_match: Some(TagMatch::Any), ..Conditions::default() };
    let refused = CopyRequest { conditions: absent, ..request(bed, "from", "there") };
    assert!(matches!(bed.store.move_object(&ROOT, refused).await, Err(Error::PreconditionFailed)));
    let other = Conditions { if_match: Some(TagMatch::parse("other")), ..Conditions::default() };
    let refused = CopyRequest { source_conditions: other, ..request(bed, "from", "elsewhere") };
    assert!(matches!(bed.store.move_object(&ROOT, refused).await, Err(Error::PreconditionFailed)));
    assert_eq!(bed.get("from").await.expect("gets").1, from);
    assert_eq!(bed.get("there").await.expect("gets").1, there);
    give(bed, "from", "there").await.expect("moves");
    assert_eq!(bed.get("there").await.expect("gets").1, from);
    assert_eq!(bed.keys("", None, 10).await.0, ["there"]);
    bed.delete("there").await.expect("deletes");
    bed.assert_managed(0);
}

/// A key may be a directory on the way of another one, before or after the move.
pub(super) async fn a_file_becomes_a_directory_and_back(bed: &mut Bed) {
    let body = pattern(300_000, 3);
    bed.put("a", &body).await.expect("puts");
    for (from, to) in [("a", "a/b"), ("a/b", "a/b/c"), ("a/b/c", "a"), ("a", "a/b/c/d"), ("a/b/c/d", "a")] {
        give(bed, from, to).await.expect("moves");
        assert_eq!(bed.keys("", None, 10).await.0, [to]);
        assert_eq!(bed.get(to).await.expect("gets").1, body, "{from} to {to}");
        assert!(matches!(bed.get(from).await, Err(Error::NoSuchKey)), "{from} to {to}");
    }
}

pub(super) async fn a_full_bucket_has_room_for_a_move(bed: &mut Bed) {
    let body = pattern(100_000, 4);
    bed.put("from", &body).await.expect("puts");
    let full = |config: &mut BucketConfig, _: &Bucket| {
        config.quota = Quota { objects: Some(1), bytes: Some(100_000) };
        Ok(())
    };
    bed.store.change_config(&ROOT, &bed.bucket, Action::Administer, full).await.expect("sets");
    assert!(matches!(bed.put("more", b"x").await, Err(Error::QuotaExceeded)));
    assert!(matches!(bed.store.copy(&ROOT, request(bed, "from", "to")).await, Err(Error::QuotaExceeded)));
    give(bed, "from", "to").await.expect("moves");
    assert_eq!(bed.get("to").await.expect("gets").1, body);
    assert_eq!(bed.store.usage(&ROOT, &bed.bucket).await.expect("counts"), (1, 100_000));
}

/// Whoever looks meanwhile finds it once; nobody who writes at one of its keys loses what was acknowledged.
pub(super) async fn a_moving_object_is_there_once(bed: &mut Bed) {
    let body = pattern(50_000, 5);
    bed.put("k/0", &body).await.expect("puts");
    let moves = async {
        for round in 0..30 {
            give(bed, &format!("k/{round}"), &format!("k/{}", round + 1)).await.expect("moves");
        }
    };
    let looks = async {
        for _ in 0..60 {
            let query = PageQuery { prefix: "k/".into(), limit: 100, ..PageQuery::default() };
            let page = bed.store.list(&ROOT, &bed.bucket, query).await.expect("lists");
            assert_eq!(page.entries.len(), 1, "{:?}", page.entries);
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(moves, looks);
    assert_eq!(bed.get("k/30").await.expect("gets").1, body);
}

pub(super) async fn a_write_at_the_source_is_never_lost(bed: &mut Bed) {
    for round in 0..40u8 {
        let (old, new) = (pattern(20_000, round), pattern(21_000, round));
        bed.put("from", &old).await.expect("puts");
        let (moved, written) = tokio::join!(give(bed, "from", "to"), bed.put("from", &new));
        written.expect("puts");
        match moved {
            // It was moved before or after the write.
            Ok(_) => {
                let to = bed.get("to").await.expect("gets").1;
                match bed.get("from").await {
                    Ok((_, from)) => assert!(from == new && to == old, "round {round}"),
                    Err(Error::NoSuchKey) => assert!(to == new, "round {round}"),
                    Err(error) => panic!("{error:?}"),
                }
            }
            Err(Error::PreconditionFailed) => {
                assert_eq!(bed.get("from").await.expect("gets").1, new);
                assert!(matches!(bed.get("to").await, Err(Error::NoSuchKey)));
            }
            // Its bytes went away while they were copied.
            Err(Error::Unavailable(_)) => assert_eq!(bed.get("from").await.expect("gets").1, new),
            Err(error) => panic!("{error:?}"),
        }
        bed.delete("from").await.expect("deletes");
        bed.delete("to").await.expect("deletes");
    }
    bed.assert_managed(0);
}

/// Two objects that change places in circles, and many that want one key: nothing waits for itself.
pub(super) async fn moves_that_cross_come_to_an_end(bed: &mut Bed) {
    for round in 0..20u8 {
        bed.put("a", &pattern(1_000, round)).await.expect("puts");
        bed.put("b", &pattern(2_000, round)).await.expect("puts");
        let (one, other) = tokio::join!(give(bed, "a", "b"), give(bed, "b", "a"));
        let won = [one.is_ok(), other.is_ok()].into_iter().filter(|won| *won).count();
        assert!(won >= 1, "round {round}: {one:?} {other:?}");
        // Each one displaced what was at its target, or moved what the other one had brought there.
        assert_eq!(bed.keys("", None, 10).await.0.len(), 1, "round {round}");
        for key in ["a", "b"] {
            bed.delete(key).await.expect("deletes");
        }
    }
    bed.assert_managed(0);
}

pub(super) async fn with_versions_the_source_keeps_one(bed: &mut Bed) {
    bed.store.set_versioning(&ROOT, &bed.bucket, Versioning::Enabled).await.expect("sets");
    let body = pattern(300_000, 6);
    let put = bed.put("from", &body).await.expect("puts");
    let moved = give(bed, "from", "to").await.expect("moves").object;
    assert_eq!(facts(&moved), facts(&put));
    assert!(matches!(bed.get("from").await, Err(Error::Deleted { .. })));
    assert_eq!(bed.get("to").await.expect("gets").1, body);
    let request = GetRequest { version: Some(put.shown()), ..bed.request("from", Portion::Whole) };
    let found = bed.store.get(&ROOT, request).await.expect("the version is kept");
    assert_eq!(super::bytes(found.body).await.expect("reads"), body);
}
