//! Objects: put, get, list, delete, copy, conditions, races.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::StreamExt as _;
use longshore::model::checksum::{Algorithm, Checksum};
use longshore::model::condition::{Conditions, TagMatch};
use longshore::model::name::BucketName;
use longshore::model::object::Content;
use longshore::model::page::PageQuery;
use longshore::model::range::ByteRange;
use longshore::store::request::{CopyContent, CopyRequest, Incoming, Portion, PutRequest};
use longshore::store::{BodyError, Error};

use super::{Bed, ROOT, incoming, key, md5_hex, pattern};

pub(super) async fn what_is_put_is_got_and_listed(bed: &mut Bed) {
    for (name, len) in [("empty", 0), ("small", 5), ("block", 256 * 1024), ("large", 3 * 1024 * 1024 + 7)] {
        let body = pattern(len, 1);
        let put = bed.put(name, &body).await.expect("puts");
        assert_eq!(put.etag, md5_hex(&body));
        let (got, bytes) = bed.get(name).await.expect("gets");
        assert_eq!(bytes, body, "{name}");
        let found = bed.store.head(&ROOT, bed.request(name, Portion::Whole)).await.expect("heads");
        assert_eq!((&found.object, &got), (&got, &put));
        assert_eq!(got.content.content_type.as_deref(), Some("text/plain"));
        let query = PageQuery { prefix: name.into(), limit: 10, ..PageQuery::default() };
        let page = bed.store.list(&ROOT, &bed.bucket, query).await.expect("lists");
        let entry = &page.entries[0];
        assert_eq!((&entry.etag, entry.size, entry.modified), (&put.etag, len as u64, put.modified));
    }
}

pub(super) async fn overwrite_and_delete_leave_nothing_behind(bed: &mut Bed) {
    for round in 0..5u8 {
        bed.put("a/b/c", &pattern(300_000, round)).await.expect("puts");
    }
    assert_eq!(bed.get("a/b/c").await.expect("gets").1, pattern(300_000, 4));
    bed.delete("a/b/c").await.expect("deletes");
    bed.delete("a/b/c").await.expect("a delete of nothing is fine");
    assert!(matches!(bed.get("a/b/c").await, Err(Error::NoSuchKey)));
    assert_eq!(bed.keys("", None, 10).await.0, Vec::<String>::new());
    bed.store.release().await.expect("a clean stop");
    bed.assert_managed(0);
}

pub(super) async fn keys_of_any_shape_are_kept_apart(bed: &mut Bed) {
    let long = format!("{}/{}", "s".repeat(300), "t".repeat(700));
    let keys = [
        "a",
        "a/b",
        "a/b/c",
        "a/",
        "a//b",
        "/a",
        "//",
        ".",
        "..",
        "../x",
        "a/../b",
        "./a",
        "a/.",
        "a#1",
        "a b",
        "a+b",
        "a%2Fb",
        "%",
        "~",
        "\u{1F600}",
        "e\u{301}",
        "\u{e9}",
        "a\u{1}\n\tb",
        "CON",
        "x/.longshore/y",
        ".longshore2",
        "-rf",
        "a\\b",
        "\u{202e}x",
        &long,
    ];
    for (i, name) in keys.iter().enumerate() {
        bed.put(name, format!("body {i}").as_bytes()).await.unwrap_or_else(|e| panic!("{name:?}: {e:?}"));
    }
    for (i, name) in keys.iter().enumerate() {
        let (object, body) = bed.get(name).await.unwrap_or_else(|e| panic!("{name:?}: {e:?}"));
        assert_eq!((object.key.as_str(), body), (*name, format!("body {i}").into_bytes()));
    }
    let mut sorted: Vec<String> = keys.iter().map(|k| (*k).to_owned()).collect();
    sorted.sort();
    assert_eq!(bed.keys("", None, 7).await.0, sorted);
    // A file in the way of a directory, gone and back, and the same the other way round.
    for name in ["a", "a/b"] {
        bed.delete(name).await.expect("deletes");
        bed.put(name, b"again").await.expect("puts");
        assert_eq!(bed.get(name).await.expect("gets").1, b"again");
        assert_eq!(bed.get("a/b/c").await.expect("gets").1, b"body 2");
    }
    for name in keys {
        bed.delete(name).await.expect("deletes");
    }
    assert_eq!(bed.keys("", None, 7).await.0, Vec::<String>::new());
}

pub(super) async fn listing_equals_a_sorted_set(bed: &mut Bed) {
    let mut all = BTreeSet::new();
    let mut state = 7u64;
    for _ in 0..300 {
        let mut name = String::new();
        for _ in 0..1 + state % 4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            name.push_str(["a", "b", "-", "/", "0", "é", "+", "z/", "a/b/"][(state >> 33) as usize % 9]);
        }
        all.insert(name);
    }
    for name in &all {
        bed.put(name, name.as_bytes()).await.expect("puts");
    }
    for limit in [1, 3, 1000] {
        for prefix in ["", "a", "a/", "z/", "nothing"] {
            let want: Vec<_> = all.iter().filter(|k| k.starts_with(prefix)).cloned().collect();
            assert_eq!(bed.keys(prefix, None, limit).await.0, want, "{prefix} {limit}");
            for delimiter in ["/", "b/", "é"] {
                let (mut keys, mut prefixes) = (Vec::new(), BTreeSet::new());
                for name in &want {
                    match name[prefix.len()..].find(delimiter) {
                        Some(at) => drop(prefixes.insert(name[..prefix.len() + at + delimiter.len()].to_owned())),
                        None => keys.push(name.clone()),
                    }
                }
                let got = bed.keys(prefix, Some(delimiter), limit).await;
                assert_eq!(got, (keys, prefixes.into_iter().collect()), "{prefix} {delimiter} {limit}");
            }
        }
    }
}

pub(super) async fn ranges_and_parts_of_plain_objects(bed: &mut Bed) {
    let body = pattern(700_000, 3);
    bed.put("k", &body).await.expect("puts");
    for (range, want) in [
        (ByteRange::FromTo(0, 0), 0..1),
        (ByteRange::FromTo(262_143, 262_144), 262_143..262_145),
        (ByteRange::From(699_999), 699_999..700_000),
        (ByteRange::Suffix(300_000), 400_000..700_000),
        (ByteRange::FromTo(5, u64::MAX), 5..700_000),
    ] {
        assert_eq!(bed.read("k", Portion::Range(range)).await.expect("reads").1, body[want], "{range:?}");
    }
    let past = bed.read("k", Portion::Range(ByteRange::From(700_000))).await;
    assert!(matches!(past, Err(Error::InvalidRange { size: 700_000 })));
    assert_eq!(bed.read("k", Portion::Part(1)).await.expect("reads").1, body);
    assert!(matches!(bed.read("k", Portion::Part(2)).await, Err(Error::NoSuchPart)));
}

pub(super) async fn a_body_that_is_not_as_declared_leaves_nothing(bed: &mut Bed) {
    let body = pattern(400_000, 1);
    let wrong_crc = Checksum { value: "AAAAAA==".into(), ..Checksum::full(Algorithm::Crc32, &[0; 4]) };
    let cases: Vec<(&str, Incoming)> = vec![
        ("short", Incoming { length: Some(400_001), ..incoming(&body) }),
        ("long", Incoming { length: Some(399_999), ..incoming(&body) }),
        ("md5", Incoming { md5: Some([0; 16]), ..incoming(&body) }),
        ("checksum", Incoming { checksum: Some(wrong_crc), ..incoming(&body) }),
        ("trailer", Incoming { trailer: Some(Box::new(|| Err(BodyError::Trailer))), ..incoming(&body) }),
        ("cut", {
            let frames = vec![Ok(Bytes::from(body[..300_000].to_vec())), Err(BodyError::Gone)];
            Incoming { frames: Box::pin(futures_util::stream::iter(frames)), ..incoming(&body) }
        }),
    ];
    bed.put("k", b"old").await.expect("puts");
    for (name, body) in cases {
        let (bucket, key) = (bed.bucket.clone(), key("k"));
        let request = PutRequest {
            given: Default::default(),
            bucket,
            key,
            content: Content::default(),
            conditions: Conditions::default(),
            body,
        };
        let refused = bed.store.put(&ROOT, request).await.expect_err(name);
        assert!(matches!(refused, Error::Body(_) | Error::BadDigest), "{name}: {refused:?}");
        assert_eq!(bed.get("k").await.expect("gets").1, b"old", "{name}");
    }
    bed.store.release().await.expect("a clean stop");
    let kept = usize::from(bed.layout == longshore::model::place::Layout::Managed);
    bed.assert_managed(kept);
}

pub(super) async fn a_dropped_put_leaves_nothing(bed: &mut Bed) {
    let some = futures_util::stream::repeat_with(|| Ok(Bytes::from(vec![0; 100_000]))).take(3);
    let stuck = some.chain(futures_util::stream::pending());
    let body = Incoming { length: Some(10_000_000), frames: Box::pin(stuck), ..incoming(b"") };
    let request = PutRequest {
        given: Default::default(),
        bucket: bed.bucket.clone(),
        key: key("k"),
        content: Content::default(),
        conditions: Conditions::default(),
        body,
    };
    let put = bed.store.put(&ROOT, request);
    let timed_out = tokio::time::timeout(std::time::Duration::from_millis(200), put).await;
    assert!(timed_out.is_err(), "the body never ends");
    assert!(matches!(bed.get("k").await, Err(Error::NoSuchKey)));
    assert_eq!(bed.keys("", None, 10).await.0, Vec::<String>::new());
    bed.assert_managed(0);
}

fn if_none_match(tag: &str) -> Conditions {
    Conditions { if_none_match: Some(TagMatch::parse(tag)), ..Conditions::default() }
}
fn if_match(tag: &str) -> Conditions {
    Conditions { if_match: Some(TagMatch::parse(tag)), ..Conditions::default() }
}

pub(super) async fn conditions_decide(bed: &mut Bed) {
    assert!(matches!(bed.put_if("k", b"1", if_match("*")).await, Err(Error::NoSuchKey)));
    let first = bed.put_if("k", b"1", if_none_match("*")).await.expect("creates");
    assert!(matches!(bed.put_if("k", b"2", if_none_match("*")).await, Err(Error::PreconditionFailed)));
    assert!(matches!(bed.put_if("k", b"2", if_match("no")).await, Err(Error::PreconditionFailed)));
    bed.put_if("k", b"2", if_match(&first.etag)).await.expect("updates");
    assert_eq!(bed.get("k").await.expect("gets").1, b"2");
    let mut request = bed.request("k", Portion::Whole);
    request.conditions = if_none_match(&md5_hex(b"2"));
    assert!(matches!(bed.store.get(&ROOT, request.clone()).await, Err(Error::NotModified { .. })));
    request.conditions = if_match(&first.etag);
    assert!(matches!(bed.store.head(&ROOT, request).await, Err(Error::PreconditionFailed)));
}

pub(super) async fn exactly_one_of_sixteen_creators_wins(bed: &mut Bed) {
    for round in 0..10 {
        let name = format!("race/{round}");
        let bodies: Vec<_> = (0..16u8).map(|i| vec![i; 9000]).collect();
        let tries = bodies.iter().map(|body| bed.put_if(&name, body, if_none_match("*")));
        let results = futures_util::future::join_all(tries).await;
        let won: Vec<_> = results.iter().enumerate().filter(|(_, r)| r.is_ok()).map(|(i, _)| i as u8).collect();
        assert_eq!(won.len(), 1, "{results:?}");
        assert_eq!(bed.get(&name).await.expect("gets").1, vec![won[0]; 9000]);
    }
    bed.store.release().await.expect("a clean stop");
    let kept = if bed.layout == longshore::model::place::Layout::Managed { 10 } else { 0 };
    bed.assert_managed(kept);
}

pub(super) async fn readers_see_the_old_or_the_new(bed: &mut Bed) {
    let body = |i: u8| vec![i; 600_000 + usize::from(i)];
    bed.put("k", &body(0)).await.expect("puts");
    let bed = &*bed;
    let writer = async {
        for i in 1..20 {
            bed.put("k", &body(i)).await.expect("puts");
        }
    };
    let reader = async {
        for _ in 0..60 {
            match bed.get("k").await {
                Ok((object, bytes)) => {
                    assert_eq!(md5_hex(&bytes), object.etag);
                    assert_eq!(bytes, body(bytes[0]));
                }
                // Cut, because the bytes went away under it: never a mix.
                Err(Error::Internal(_) | Error::Unavailable(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    };
    tokio::join!(writer, reader);
    assert_eq!(bed.get("k").await.expect("gets").1, body(19));
}

pub(super) async fn copies_carry_facts(bed: &mut Bed) {
    let body = pattern(600_000, 9);
    bed.put("from", &body).await.expect("puts");
    let request = |to: &str, content| CopyRequest {
        from_version: None,
        keep_tags: true,
        given: Default::default(),
        from_bucket: bed.bucket.clone(),
        from_key: key("from"),
        source_conditions: Conditions::default(),
        bucket: bed.bucket.clone(),
        key: key(to),
        content,
        conditions: Conditions::default(),
        algorithm: None,
    };
    let copy = bed.store.copy(&ROOT, request("to/copy", CopyContent::Keep)).await.expect("copies");
    assert_eq!(
        (copy.object.etag.as_str(), copy.object.content.content_type.as_deref()),
        (md5_hex(&body).as_str(), Some("text/plain"))
    );
    let other = Content { content_type: Some("a/b".into()), ..Content::default() };
    bed.store.copy(&ROOT, request("from", CopyContent::Replace(Box::new(other)))).await.expect("copies onto itself");
    assert_eq!(bed.get("from").await.expect("gets").0.content.content_type.as_deref(), Some("a/b"));
    assert!(matches!(bed.store.copy(&ROOT, request("from", CopyContent::Keep)).await, Err(Error::InvalidRequest(_))));
    bed.put("from", b"changed").await.expect("puts");
    assert_eq!(bed.get("to/copy").await.expect("gets").1, body, "a copy is not a link");
    let sha = CopyRequest { algorithm: Some(Algorithm::Sha256), ..request("sum", CopyContent::Keep) };
    let sum = bed.store.copy(&ROOT, sha).await.expect("copies").object.checksum.expect("a checksum");
    assert_eq!(sum.algorithm, Algorithm::Sha256);
    let refused = CopyRequest { source_conditions: if_none_match("*"), ..request("no", CopyContent::Keep) };
    assert!(matches!(bed.store.copy(&ROOT, refused).await, Err(Error::PreconditionFailed)));
}

pub(super) async fn buckets_come_and_go(bed: &mut Bed) {
    assert!(matches!(bed.store.create_bucket(&ROOT, &bed.bucket, Default::default()).await, Err(Error::BucketOwned)));
    bed.put("k", b"x").await.expect("puts");
    assert!(matches!(bed.store.delete_bucket(&ROOT, &bed.bucket).await, Err(Error::BucketNotEmpty)));
    bed.delete("k").await.expect("deletes");
    bed.store.delete_bucket(&ROOT, &bed.bucket).await.expect("deletes");
    assert!(matches!(bed.put("k", b"x").await, Err(Error::NoSuchBucket)));
    assert!(matches!(bed.get("k").await, Err(Error::NoSuchBucket)));
    bed.store.create_bucket(&ROOT, &bed.bucket, Default::default()).await.expect("makes it again");
    assert!(matches!(bed.get("k").await, Err(Error::NoSuchKey)));
    let missing = BucketName::new("missing").expect("legal");
    assert!(matches!(bed.store.head_bucket(&ROOT, &missing).await, Err(Error::NoSuchBucket)));
}
