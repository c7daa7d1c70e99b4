//! What other programs do to objects of ours in a cloud that leaves our mark beside the bytes: they write over them in
//! place, and copy them elsewhere. And bodies that a cloud gives out piece by piece.

use std::sync::Arc;

use longshore::config::limits::{BLOCK_BYTES, CLOUD_BLOCK_BYTES};
use longshore::model::id::VersionId;
use longshore::model::place::Place;
use longshore::provider::cloud::CloudProvider;
use longshore::provider::cloud::service::{At, Service as _, When};
use longshore::provider::{Error, LaidOut, Provider as _};

use super::bed::{Bed, Put, assert_error, key, natural, pattern};
use super::clouds::open;
use super::objects::Objects;
use super::outside::InCloud;
use crate::conformance::store::md5_hex;
use crate::harness::{backends, fresh_name};

const CONTAINER: &str = "bed";

fn at(name: &str) -> At<'_> {
    At { container: CONTAINER, name }
}

/// Publishes a version with what a client said of it, and the ETag that it has.
async fn publish(bed: &Bed<'_>, name: &str, body: &[u8], counter: u64) -> Put {
    let version = VersionId::fresh();
    let mut record = bed.record(version, name, body.len() as u64, counter);
    record.etag = md5_hex(body);
    record.content.cache_control = Some("no-store".to_owned());
    record.content.user.insert("colour".to_owned(), "blue".to_owned());
    let stamp = bed.publish_with(version, body, record.modified, Some(&record)).await.expect("published");
    Put { version, stamp, key: key(name), counter, record }
}

async fn place(bed: &Bed<'_>, name: &str, body: &[u8]) -> Put {
    let put = publish(bed, name, body, 1).await;
    assert_eq!(bed.lay_out(&put, None).await.expect("laid out"), LaidOut::Done);
    put
}

/// A newer version comes to a key at which somebody has written: that is kept.
async fn is_kept(bed: &Bed<'_>, old: &Put, edit: &[u8]) {
    let new = bed.publish(old.key.as_str(), b"newer", 2).await;
    let LaidOut::DoneKeeping(name) = bed.lay_out(&new, Some(&old.stamp)).await.expect("laid out") else {
        panic!("an edit was taken for an older version of ours")
    };
    assert!(bed.outside.lost(&bed.container, &name).expect("kept") == edit);
}

/// Some services are told the headers of a body before its first byte, so that nothing of it is known by then.
#[tokio::test]
async fn a_body_in_blocks_has_its_headers_at_its_key() {
    let objects = Objects::new(false, true, 1700);
    let provider = CloudProvider::new(Arc::new(objects.clone()), false);
    let bed = Bed::new(&provider, &objects, CONTAINER).await;
    let body = pattern(CLOUD_BLOCK_BYTES + 1);
    let put = place(&bed, "k", &body).await;
    let seen = objects.head(at("k")).await.expect("there").content;
    assert_eq!((seen.content_type.as_deref(), seen.cache_control.as_deref()), (Some("text/plain"), Some("no-store")));
    assert_eq!(seen.user.get("colour").map(String::as_str), Some("blue"));
    for _ in 0..2 {
        let stat = provider.stat(&bed.container, &natural("k")).await.expect("there");
        assert_eq!(
            (stat.stamp, stat.record, stat.modified),
            (put.stamp.clone(), Some(put.record.clone()), put.record.modified)
        );
        assert!(bed.read(&natural("k"), &put.stamp, put.record.size).await.expect("there") == body);
        // As a deletion does that is not decided.
        provider.take_aside(&bed.container, &put.key, put.version, &put.stamp).await.expect("taken");
        assert!(bed.read(&put.managed(), &put.stamp, put.record.size).await.expect("aside") == body);
        assert_eq!(bed.lay_out(&put, None).await.expect("laid out again"), LaidOut::Done);
    }
}

/// A mark without a size spoke for whatever somebody put beneath it.
#[tokio::test]
async fn an_edit_beneath_the_mark_of_a_large_body_is_seen() {
    let objects = Objects::new(false, true, 1700);
    let provider = CloudProvider::new(Arc::new(objects.clone()), false);
    let bed = Bed::new(&provider, &objects, CONTAINER).await;
    let (body, size) = (pattern(CLOUD_BLOCK_BYTES + 1), CLOUD_BLOCK_BYTES as u64 + 1);
    let mut same_size = body.to_vec();
    same_size[1_000_000] ^= 1;
    for (name, edit) in [("shorter", b"somebody's work".to_vec()), ("same", same_size)] {
        let put = place(&bed, name, &body).await;
        objects.rewrite(at(name), &edit);
        assert_error!(bed.read(&natural(name), &put.stamp, size).await, Error::StampMismatch);
        let stat = provider.stat(&bed.container, &natural(name)).await.expect("there");
        assert!(stat.stamp != put.stamp && stat.record.is_none(), "{name}: the record of other bytes");
        is_kept(&bed, &put, &edit).await;
    }
    // Laid out before marks were completed: the size of the record tells.
    let put = publish(&bed, "before", &body, 1).await;
    let managed = format!(".longshore/objects/{}/{}", put.version.shard(), put.version);
    objects.duplicate(at(&managed), at("before"));
    objects.delete(at(&managed), When::Always).await.expect("removed");
    assert!(bed.read(&natural("before"), &put.stamp, size).await.expect("there") == body);
    objects.rewrite(at("before"), b"somebody's work");
    let stat = provider.stat(&bed.container, &natural("before")).await.expect("there");
    assert!(stat.record.is_none() && stat.foreign.is_some(), "the record of other bytes");
    is_kept(&bed, &put, b"somebody's work").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn amazon_has_the_headers_of_large_bodies() {
    let test = "conformance::provider::marks::amazon_has_the_headers_of_large_bodies";
    let Some(backend) = backends::amazon(test) else { return };
    let (provider, outside) = (open(backend).await, InCloud::of(backend));
    let bed = Bed::new(provider.as_ref(), &outside, &fresh_name("bed")).await;
    let body = pattern(CLOUD_BLOCK_BYTES + 1);
    let put = place(&bed, "k", &body).await;
    let seen = outside.stat(&bed.container, "k").expect("there");
    assert_eq!((seen["type"].as_str(), seen["metadata"]["colour"].as_str()), (Some("text/plain"), Some("blue")));
    assert!(bed.read(&natural("k"), &put.stamp, put.record.size).await.expect("there") == body);
    provider.take_aside(&bed.container, &put.key, put.version, &put.stamp).await.expect("taken");
    assert!(bed.read(&put.managed(), &put.stamp, put.record.size).await.expect("aside") == body);
}

/// A copy that others make carries the mark of its original, whose record is its own.
#[tokio::test]
async fn what_others_copied_leaves_the_record_of_its_original() {
    // So little room that records lie beside their bytes.
    let objects = Objects::new(false, true, 300);
    let provider = CloudProvider::new(Arc::new(objects.clone()), false);
    let bed = Bed::new(&provider, &objects, CONTAINER).await;
    let put = bed.place("k", b"bytes", 1).await;
    for name in ["deleted", "overwritten"] {
        objects.duplicate(at("k"), at(name));
        let stat = provider.stat(&bed.container, &natural(name)).await.expect("there");
        if name == "deleted" {
            let adopted = VersionId::fresh();
            provider.take_aside(&bed.container, &key(name), adopted, &stat.stamp).await.expect("taken");
            assert_error!(provider.stat(&bed.container, &natural(name)).await, Error::NotFound);
            provider.delete_managed(&bed.container, adopted, Some(&stat.stamp)).await.expect("freed");
            assert_error!(provider.stat(&bed.container, &Place::Managed(adopted)).await, Error::NotFound);
        } else {
            let new = bed.publish(name, b"newer", 2).await;
            assert_eq!(bed.lay_out(&new, Some(&stat.stamp)).await.expect("laid out"), LaidOut::Done);
        }
        let stat = provider.stat(&bed.container, &natural("k")).await.expect("there");
        assert_eq!((&stat.stamp, stat.record.as_ref()), (&put.stamp, Some(&put.record)), "{name}");
    }
    // What is really displaced takes its record with it.
    let new = bed.publish("k", b"newer", 2).await;
    assert_eq!(bed.lay_out(&new, Some(&put.stamp)).await.expect("laid out"), LaidOut::Done);
    let record = format!(".longshore/records/{}/{}", put.version.shard(), put.version);
    assert_error!(objects.head(at(&record)).await, Error::NotFound);
}

/// The tries were counted over the whole body, so that a long one had as many as a short one.
#[tokio::test]
async fn a_body_that_is_cut_again_and_again_is_read_to_its_end() {
    let objects = Objects::new(false, true, 1700);
    let provider = CloudProvider::new(Arc::new(objects.clone()), false);
    let bed = Bed::new(&provider, &objects, CONTAINER).await;
    let body = pattern(10 * BLOCK_BYTES);
    let put = bed.publish("k", &body, 1).await;
    objects.cut_reads(BLOCK_BYTES + 1);
    assert!(bed.read(&put.managed(), &put.stamp, put.record.size).await.expect("to its end") == body);
    // Nobody waits for one of which a few bytes come at a time.
    objects.cut_reads(1000);
    assert_error!(bed.read(&put.managed(), &put.stamp, put.record.size).await, Error::Unavailable(_));
}
